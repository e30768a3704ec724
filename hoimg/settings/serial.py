"""Section ``serial``: registration, matching and change."""

from __future__ import annotations

from hoimg.settings.threshold import Section, threshold


class SerialSettings(Section):
    """Registration, matching and change."""

    min_bone_overlap: float = threshold(
        0.7,
        unit="Dice",
        meaning="A registration whose bones overlap less in the common view is rejected.",
        source="engineering choice",
        status="default",
    )
    max_residual_mm: float = threshold(
        1.0,
        unit="mm",
        meaning="A registration with a larger median bone-surface distance is rejected.",
        source="engineering choice; 0.35-0.5 measured for one patient re-positioned, 1.0-1.2 for "
        "mirrored exams and a patient scaled by 3 %",
        status="default",
    )
    min_tissue_correlation: float = threshold(
        0.3,
        unit="correlation coefficient",
        meaning="Soft tissue between bones that moved on their own is laid by the images only "
        "where it then correlates this well; else by the distance to each bone.",
        source="engineering choice; five times the scatter of noise in one window",
        status="default",
        gt=0,
        le=1,
    )
    min_tissue_gain: float = threshold(
        0.03,
        unit="correlation coefficient",
        meaning="And only where it correlates better by this than by the distance to each bone.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    min_lesion_correlation: float = threshold(
        0.6,
        unit="correlation coefficient",
        meaning="Between bones that moved on their own a lesion is laid by its own image only "
        "where it then correlates this well with the other exam.",
        source="engineering choice; 0.8-0.99 measured in simulation where it was laid rightly",
        status="default",
        gt=0,
        le=1,
    )
    min_outline_correlation: float = threshold(
        0.7,
        unit="correlation coefficient",
        meaning="Where its image tells nothing, by the outlines of both exams only where the "
        "distances to their surfaces correlate this well.",
        source="engineering choice",
        status="default",
        gt=0,
        le=1,
    )
    min_lesion_lead: float = threshold(
        0.1,
        unit="correlation coefficient",
        meaning="And only where it correlates better by this than at any other place on the way "
        "between the bones' motions.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    min_lesion_gain: float = threshold(
        0.03,
        unit="correlation coefficient",
        meaning="The place by bones and tissue is kept where the lesion's best one correlates no "
        "better by this.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    seed: int = threshold(
        20260101,
        unit="",
        meaning="Seed of the registration's sampling, so that a run repeats exactly.",
        source="engineering choice",
        status="default",
    )
    rc_volume_floor_pct: float = threshold(
        25.0,
        unit="%",
        meaning="The repeatability coefficient of volume is never below this.",
        source="nodule guideline 25 %, screening nodules +-27 %",
        status="borrowed",
    )
    rc_volume_base_pct: float = threshold(
        16.0,
        unit="%",
        meaning="Base term of the volume's repeatability: base + root / sqrt(V in mm3).",
        source="calcium rescan limit (MESA), calcified nodules",
        status="borrowed",
    )
    rc_volume_root_pct: float = threshold(
        430.0,
        unit="% mm^1.5",
        meaning="Root term of the volume's repeatability: base + root / sqrt(V in mm3).",
        source="calcium rescan limit (MESA)",
        status="borrowed",
    )
    rc_density_pct: float = threshold(
        10.0,
        unit="%",
        meaning="Repeatability of density is the larger of this and rc_density_hu.",
        source="engineering choice",
        status="default",
    )
    rc_density_hu: float = threshold(
        50.0,
        unit="HU",
        meaning="Repeatability of density is the larger of this and rc_density_pct.",
        source="engineering choice",
        status="default",
    )
    rc_mass_pct: float = threshold(
        10.0,
        unit="%",
        meaning="Repeatability of mass until measured.",
        source="engineering choice",
        status="default",
    )
    rc_rim: float = threshold(
        0.2,
        unit="fraction of the surface",
        meaning="Repeatability of the rim; shown beside its change, decides nothing.",
        source="engineering choice; 0.06 measured in simulation: benchmarks/repeatability.py",
        status="default",
        gt=0,
    )
    volume_with_mass_pct: float = threshold(
        20.0,
        unit="%",
        meaning="A change of volume beyond this is called where mass changed beyond its RC in the "
        "same direction.",
        source="measured in simulation: benchmarks/repeatability.py; twice the growth that was "
        "read of bodies that only became denser",
        status="default",
        gt=0,
    )
    growth_in_images: float = threshold(
        0.4,
        unit="fraction",
        meaning="Where the images show at least this much of a growth, dense at the later exam "
        "alone, the intervals of the outlines do not widen the repeatability coefficients.",
        source="between 0.12 at most for unchanged lesions that were drawn larger and 0.5 at least "
        "for such that grew by 30 %, in simulation (tuning)",
        status="default",
        gt=0,
    )
    shared_error: float = threshold(
        0.9,
        unit="correlation coefficient",
        meaning="How far the errors of two comparable measurements of a lesion are one and the "
        "same (blur, threshold) and cancel in their difference; 0 for independent errors.",
        source="measured in simulation: benchmarks/repeatability.py (0.94 for the volume of "
        "unchanged bodies)",
        status="default",
        ge=0,
        le=1,
    )
    shared_error_changed: float = threshold(
        0.6,
        unit="correlation coefficient",
        meaning="The same for a lesion whose density changed beyond its RC by the settings: it "
        "looks different, and so do the errors.",
        source="measured in simulation: benchmarks/repeatability.py (0.63 for the volume of bodies "
        "that became half denser)",
        status="default",
        ge=0,
        le=1,
    )
    max_slice_difference: float = threshold(
        0.25,
        unit="fraction",
        meaning="A prior whose slice thickness differs by more blocks the serial test.",
        source="engineering choice",
        status="default",
    )
    near_metal_mm: float = threshold(
        10.0,
        unit="mm",
        meaning="Exams are not compared where the lesion lies nearer to metal than this in one of "
        "them only.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    course_min_exams: int = threshold(
        3,
        unit="exams",
        meaning="A course is fitted through no fewer comparable measurements.",
        source="two exams only tell change against repeatability",
        status="established",
        ge=3,
    )
    max_match_gap_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="A point of a lesion farther than this from a lesion of another exam does not "
        "count towards their being the same.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    min_match: float = threshold(
        0.2,
        unit="fraction",
        meaning="Two lesions of different exams overlapping less are not the same lesion.",
        source="engineering choice",
        status="default",
        gt=0,
        le=1,
    )
    min_part: float = threshold(
        0.5,
        unit="fraction",
        meaning="A lesion lying by at least this in one that is already matched merged into it, "
        "or split off from it.",
        source="engineering choice",
        status="default",
        gt=0,
        le=1,
    )
    max_outside_view: float = threshold(
        0.05,
        unit="fraction",
        meaning="A lesion whose place lies outside the other exam's view by more is not "
        "measurable there, never resolved.",
        source="engineering choice",
        status="default",
        ge=0,
        lt=1,
    )
    registration_voxel_mm: float = threshold(
        2.0,
        unit="mm",
        meaning="Grid on which exams are registered.",
        source="engineering choice",
        status="default",
        ge=0.5,
        le=5,
    )
    min_bone_correlation: float = threshold(
        0.8,
        unit="correlation coefficient",
        meaning="A registration whose bones' HU agree less is rejected: mirrored exams and other "
        "patients can overlap well and still differ inside and at the ends.",
        source="engineering choice; 0.93-0.98 measured for one patient re-positioned, about 0.75 "
        "for a patient scaled by 3 %, 0.25 mirrored",
        status="default",
        ge=0,
        le=1,
    )
    min_common_bone_mm3: float = threshold(
        10_000.0,
        unit="mm3",
        meaning="A registration with less bone in the common view is rejected.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    min_explained_bone: float = threshold(
        0.5,
        unit="fraction",
        meaning="A registration whose accepted parts explain less of the bone in common view is "
        "rejected.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    min_part_correlation: float = threshold(
        0.7,
        unit="correlation coefficient",
        meaning="The same as min_bone_correlation for a part that moved on its own, whose patient "
        "the main part has already proved.",
        source="engineering choice; 0.79-0.97 measured for a rotated femur",
        status="default",
        ge=0,
        le=1,
    )
    mirror_gain: float = threshold(
        0.03,
        unit="correlation coefficient",
        meaning="A registration is rejected as mirrored when the bones' HU correlate by more than "
        "this better with one exam mirrored left to right.",
        source="measured in simulation on a real trunk and digital limbs: at most -0.2 for one "
        "patient re-positioned, 0.1-0.2 mirrored",
        status="default",
        gt=0,
    )
    min_bone_pattern: float = threshold(
        0.4,
        unit="rank correlation coefficient",
        meaning="A registration is rejected when the pattern of marrow and struts inside the bones "
        "(1.2-4 mm, 3 mm off cortex) agrees less, where it shows above the noise.",
        source="measured in simulation: 0.62-0.97 for one patient with other slices, dose and "
        "pose; at most 0.17 for strangers with bones of the same shape, 0.26 mirrored",
        status="default",
        ge=-1,
        le=1,
    )
    max_bone_stretch: float = threshold(
        0.015,
        unit="fraction",
        meaning="A part whose bone would have to be stretched by more, and by more than "
        "max_bone_stretch_mm, to fit best is another patient's.",
        source="engineering choice; at most 0.01 measured for one patient re-positioned, "
        "0.014-0.025 for a patient scaled by 2-5 %",
        status="default",
        gt=0,
    )
    max_bone_stretch_mm: float = threshold(
        0.6,
        unit="mm",
        meaning="See max_bone_stretch: root mean square of what the stretch moves the surface by.",
        source="engineering choice; at most 0.3 measured for one patient re-positioned, 0.7-2.0 "
        "for a patient scaled by 2-5 %",
        status="default",
        gt=0,
    )
    max_joint_slide_mm: float = threshold(
        1.0,
        unit="mm",
        meaning="A part that moved on its own is rejected when no point near its contact with the "
        "part that it is joined to stayed within this and joint_slide_per_degree_mm.",
        source="engineering choice; bodies scaled by 3-5 % break into pieces that slide by 1-12 mm "
        "and hardly turn",
        status="default",
        ge=0,
    )
    joint_slide_per_degree_mm: float = threshold(
        0.2,
        unit="mm/degree",
        meaning="How much farther a part may have left the part it is joined to for each degree "
        "that it turned against it; at most 15 mm in all.",
        source="engineering choice; 0.04-0.1 measured for a turned femur",
        status="default",
        ge=0,
    )
    metal_hides_mm: float = threshold(
        5.0,
        unit="mm",
        meaning="A lesion whose place lies within this of metal in another exam, and is not found "
        "there, is not measurable there, never resolved or new.",
        source="engineering choice: blooming and the strongest streaks",
        status="default",
        ge=0,
    )
