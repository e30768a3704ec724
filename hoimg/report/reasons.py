"""Reason codes and flags of the other stages in plain words, and which flag explains which gap."""

from __future__ import annotations

from hoimg.maturity import reason_words
from hoimg.results import Observation

FLAGS: dict[str, str] = {
    "attached_to_bone": "attached to native bone",
    "skeleton_disputed": "one provider of the native skeleton takes it for native bone",
    "touches_fov": "cut by the field of view: the true size is larger",
    "crosses_gap": "slices are missing in it or beside it: its size is a guess there",
    "not_calibrated": "no mg: the scan was not calibrated",
    "calibration_phantomless": "mg estimated without a phantom, from tube voltage, fat and muscle",
    "calibrated_in_k2hpo4": "calibrated in K2HPO4: no mg of hydroxyapatite",
    "calibration_refused_contrast": "no phantomless mg: contrast agent",
    "calibration_refused_metal": "no phantomless mg: metal in the body",
    "calibration_refused_kvp_unknown": "no mg: tube voltage unknown",
    "calibration_refused_kvp_differs": "no mg: the given calibration is for another tube voltage",
    "calibration_refused_no_tissue": "no phantomless mg: too little fat or muscle in view",
    "calibration_refused_tissue": "no phantomless mg: fat or muscle reads unlike fat or muscle",
    "calibration_rod_not_in_view": "no mg: a calibration rod's region is not wholly in the scan",
    "calibration_rod_uneven": "no mg: a calibration rod's region is uneven",
    "calibration_rods_implausible": "no mg: the rods' HU do not fit their densities",
    "calibration_phantom_not_found": "no mg: the calibration phantom was not found",
    "cortex_not_measurable": "no normal cortex in view to compare with",
    "background_not_measurable": "too little soft tissue around for a local background",
    "no_mineral_voxels": "no voxel above the mineral threshold",
    "boundary_from_mask_only": "boundary taken from the mask: too faint for the half-maximum one",
    "outline_given": "outline was given, not found",
    "outline_edited": "outline was redrawn by a reader",
    "outline_resampled": "given outline was resampled onto the exam's voxels",
    "rim_unrated_slice_thickness": "rim and margin not rated: slices too thick",
    "rim_unrated_few_profiles": "rim and margin not rated: too little free surface",
    "rim_without_cortex_reference": "rim rated by a fixed HU: no normal cortex in view",
    "edge_unrated_no_cortex": "margin not rated: no normal cortex in view",
    "zone_unrated_few_profiles": "shell and core not compared: too little free surface",
    "core_too_small": "core too small to judge",
    "core_unrated_without_rim": "core not rated: no rim encloses it",
    "core_not_enclosed": "core not rated: the rim does not enclose it",
    "no_bone_in_view": "no native bone in view",
    "no_metal_in_view": "no metal in view",
    "bone_beyond_search_radius": "no native bone within the search radius",
    "metal_beyond_search_radius": "no metal within the search radius",
    "included_by_reader": "had been left out, called by the reader",
    "split_by_reader": "the reader split the lesion that was found",
    "merged_by_reader": "the reader made one lesion of several that were found",
    "from_seed": "outlined from the reader's seed, whatever it may be",
    "called_in_region": "called because it lies in the reader's region",
    "overruled": "it had been left out as",
    "outline_rough": "no boundary could be drawn; shown as it was found",
    "exam_unreadable": "the exam's pixels could not be read",
    "no_measurement": "not measured in this exam",
    "outside_fov": "its place lies outside of this exam's field of view",
    "registration_rejected": "the exams, or the bones near it, could not be placed onto each other",
    "matched_by_nearest_bone": "followed with a bone that moved on its own",
    "hidden_by_metal": "its place is hidden by metal in this exam",
    "merged_into": "has grown together with",
    "part_of": "counted as part of",
    "part_not_measured": "a part was not measured",
    "projection_changed": "the films show the part in different projections",
    "projection_not_checked": "it cannot be told whether both films show one projection",
    "film_registration_too_little_in_common": "too little bone around it to place the films",
    "film_registration_bones_unlike": "the films could not be placed: the bones are unlike",
    "film_registration_implausible": "the films could not be placed: turn or size is implausible",
    "region_carried": "region was carried over from another film of the same view",
    "area_rc_from_intervals": "RC of the area widened to what the intervals allow",
    "area_change_of_outlines_together": "change of the area by outlines drawn on both films at "
    "once; the areas of each film are of its own outline and may differ by another amount",
    "area_changes_disagree": "outlines drawn on both films at once and on each alone tell "
    "different changes",
    "area_change_not_measured": "change of the projected area not measured",
    "change_not_in_images": "only the outlines differ: the images are as dense there at both exams",
    "growth_in_images": "what the outline gained was soft tissue in the earlier image",
    "long_interval": "compares across exams in between",
    "by_volume_and_mass": "called by volume and mass together",
    "volume_rc_from_intervals": "RC of volume widened to what the measurements allow",
    "mass_rc_from_intervals": "RC of mass widened to what the measurements allow",
    "density_rc_from_intervals": "RC of density widened to what the measurements allow",
    "rim_rc_from_intervals": "RC of the rim widened to what the measurements allow",
    "metal_differs": "metal near it in one of the exams only",
    "before_merge_or_split": "before it merged or split",
    "too_few_exams": "fewer than three measurements",
    "too_few_comparable_exams": "fewer than three comparable measurements",
    "no_interval": "no time between the measurements",
    "not_log_linear": "the points do not lie on a line: it did not change at one rate",
    "annualised_beyond_span": "less than a year was seen",
    "lesions_not_matched": "the exam could not be placed onto the others: its lesions are counted "
    "under names of their own",
    "nothing_evaluable": "nothing could be evaluated",
    "no_region_known": "nothing in the scan tells the region",
    "body_parts_differ": "the exams state different body parts",
    "hip_in_view": "the hip is in view",
    "dicom_body_part": "as the scan states",
    "red_flag_not_settled_by_follow_up": "a red flag is not settled by a later scan of this kind",
    "mimic_not_settled_by_follow_up": "a mimic is not settled by a later scan of this kind",
    "volume_change_not_measured": "volume change not measured",
    "kvp_differs": "tube voltage differs",
    "kernel_differs": "kernel differs",
    "slice_thickness_differs": "slice thickness differs",
    "kvp_unknown": "tube voltage unknown",
    "kernel_unknown": "kernel unknown",
    "slice_thickness_unknown": "slice thickness unknown",
    "no_bone": "no bone to place the exams by",
    "no_common_view": "the exams show no common part of the body",
    "bones_do_not_overlap": "the bones do not overlap well enough",
    "surfaces_too_far_apart": "the bone surfaces lie too far apart",
    "bones_unlike": "the bones are unlike each other",
    "bones_differ_in_size": "the bones differ in size, as those of two patients do",
    "mirrored": "one of the exams is mirrored left to right",
    "bone_pattern_differs": "the bones differ inside, as those of two patients do",
    "joint_torn": "it would have left the bone it is joined to",
    "not_carried": "bone near the lesion was not placed there, or it lies out of view",
    "bone_unexplained": "no motion was found that places this bone",
    "bones_not_separable": "it lies on bone at several places, and whether that is one bone or two "
    "cannot be told",
    "cleft_no_bone_faced": "no cleft to look for: it faces no bone nearby",
    "cleft_unrated_faint": "cleft not rated: too faint where it faces bone",
    "cleft_below_resolution": "no cleft to bone seen; one narrower than the scan resolves cannot "
    "be excluded",
    "no_second_bone_near": "no second bone within 30 mm",
    "hip_not_in_view": "too little of the hip in view",
    "hip_not_separable": "femur and pelvis could not be told apart",
    "no_ossification_joined": "islands only: joined to neither pelvis nor femur",
    "gap_not_measured": "no opposing bone in view",
    "island_size_not_measured": "the size of an island was not measured",
    "film_gives_no_volume": "a film gives no volume, HU or mass",
    "film_contrast_below_noise": "its shadow does not stand out of what is round it",
    "film_outline_follows_bone": "the edges found in the region go on outside of it, as bone does",
    "no_spacing": "no millimetres: the film has no pixel size that can be trusted",
    "detector_uncorrected": "mm at detector, uncorrected",
    "edge_not_readable": "its edge cannot be read: too noisy, or other shadows run into it",
    "no_own_cortex": "no clean edge of cortex on this film to compare with",
    "film_looks_inverted": "not measured: the film looks inverted, though its tags deny it",
    "region_across_exposures": "not measured: the region reaches over two exposures of one plate",
    "region_outside_field": "the region lies outside of the exposed field",
    "region_leaves_no_background": "the region leaves too little around it to compare with",
    "region_too_large": "the region is larger than any lesion: draw it closer",
    "region_beyond_film": "the region reaches beyond the film",
    "region_suggested": "nobody gave this region: the settings let suggestions count",
    "region_too_tight": "the outline lies on the region's border: the true size may be larger",
    "overlaps_cortex": "an edge of native bone runs through it",
    "burned_in_text": "the film has text in its pixels",
    "gap_at_detector": "the gap holds at the detector: in the patient it is smaller",
    "magnification_assumed": "graded as every usual magnification of a hip would be",
    "lesion_overlies_bone": "lies over a bone's shadow: whether it is one with it is not seen",
    "view_not_frontal": "Brooker and Della Valle are for films from the front",
    "gap_not_in_mm": "the gap is known in pixels only",
    "island_size_not_in_mm": "the size of islands is known in pixels only",
    "island_size_not_corrected": "whether an island reaches 10 mm depends on the magnification",
    "lateral_gap_unknown": "no gap that can be measured on the lateral film",
    "no_lateral_hip": "biplanar needs a lateral film of that day with landmarks of this hip",
    "lesion_not_outlined": "a lesion beside it could not be outlined: the gap may be smaller",
    "site_lateral": "lateral: the system has no such site",
}
"""Flags of the stages before maturity; the reasons for a label are worded by that stage itself."""

# Which words in a flag say that it speaks of this field.
_ABOUT: dict[str, tuple[str, ...]] = {
    "volume_mm3": ("volume", "size"),
    "threshold_volume_mm3": ("threshold", "volume"),
    "mineral_mass_hu_mm3": ("mass", "background"),
    "mineral_mass_mg": ("calibrated", "calibration_r", "calibration_phantom_", "background"),
    "mineral_mass_k2hpo4_mg": ("calibrated", "calibration_r", "background"),
    "mean_mg_cm3": (
        "calibrated",
        "calibration_r",
        "calibration_phantom_",
        "background",
        "no_mineral",
    ),
    "mean_over_cortex": ("cortex_not", "no_mineral"),
    "mean_hu": ("density", "mean", "mineral"),
    "median_hu": ("density", "mineral"),
    "p95_hu": ("density", "mineral"),
    "background_hu": ("background",),
    "rim_fraction": ("rim",),
    "edge_ratio": ("edge", "margin", "rim_unrated", "no_own_cortex"),
    "zone_contrast_hu": ("zone", "core_too_small", "shell"),
    "core_marrow_fraction": ("core",),
    "max_diameter_mm": ("diameter",),
    "surface_area_mm2": ("surface",),
    "sphericity": ("sphericity", "surface"),
    "distance_to_bone_mm": ("no_bone", "bone_beyond", "skeleton"),
    "touches_bone": ("no_bone", "bone_beyond", "skeleton"),
    "bone_contact_area_mm2": ("no_bone", "bone_beyond", "skeleton"),
    "bridges_bones": ("bones",),
    "cleft_fraction": ("cleft",),
    "cleft_width_mm": ("cleft",),
    "gap_to_second_bone_mm": ("second_bone",),
    "distance_to_metal_mm": ("metal",),
    "area_mm2": ("spacing",),
    "length_mm": ("spacing",),
    "corticated_fraction": ("edge_not",),
    "density_index": ("no_own_cortex",),
}


def reason_text(code: str) -> str:
    """A reason code or flag in plain words; an unknown one is spelt out.

    A code may carry a detail after a colon (``merged:L2``); the detail is kept.
    """
    head, colon, detail = code.partition(":")
    text = FLAGS.get(head) or reason_words(head)
    return f"{text}: {detail.strip()}" if colon and detail.strip() else text


def missing_reason(field: str, seen: Observation) -> str:
    """Why a field of an observation is missing, in plain words; empty when its status says it."""
    if seen.status == "absent":
        return ""
    about = _ABOUT.get(field, ())
    told = [flag for flag in seen.flags if any(word in flag.split(":")[0] for word in about)]
    if told:
        return "; ".join(reason_text(flag) for flag in told)
    # What speaks of calibration explains milligrams and nothing else.
    others = [flag for flag in seen.flags if "calibrat" not in flag]
    if len(others) > 1:
        return "see flags"
    return reason_text(others[0]) if others else ""
