"""Every finding of the intake: its code, how grave it is and what the user can do about it.

An ``error`` keeps the series (or study) out of the analysis, a ``warning`` lets it in and is shown,
``info`` only says what was left aside. The table is the single source of ``docs/findings.md``.
"""

from __future__ import annotations

from hoimg.results import Finding, Level

FINDINGS: dict[str, tuple[Level, str]] = {
    # geometry of a CT series
    "missing_slices": ("error", "Export the complete series again from the PACS."),
    "variable_spacing": ("error", "Give a series with evenly spaced slices."),
    "slice_gaps": ("error", "Give a contiguous reconstruction, without gaps between slices."),
    "gaps_allowed": ("warning", "Look at the marked gaps; lesions at them are flagged."),
    "uneven_resampled": ("warning", "Prefer a series with evenly spaced slices."),
    "gantry_tilt": ("warning", "Prefer a reconstruction without gantry tilt if there is one."),
    "gantry_tilt_uncorrectable": ("error", "Give a reconstruction without gantry tilt."),
    "shifted_slices": ("error", "Give a series whose slices lie straight above each other."),
    "duplicate_slices": ("error", "Keep one image per slice position."),
    "too_few_slices": ("error", "Give the whole series; single slices cannot be measured."),
    "mixed_orientation": ("error", "Give each orientation as a series of its own."),
    "not_a_volume": ("error", "Give a series of neighbouring slices, not one plane repeated."),
    "bad_orientation": ("error", "Export the series again; its orientation tags are damaged."),
    "no_pixel_spacing": ("error", "Export the original CT images, which state their pixel size."),
    "no_position": ("error", "Export the original CT images, which state their position."),
    "slice_too_thick": ("error", "Give a thinner reconstruction (1.5 mm or less is best)."),
    "thickness_not_spacing": ("info", "Nothing to do; both numbers are in the report."),
    "thick_slices": ("warning", "Give a reconstruction of 1.5 mm or less if there is one."),
    # pixels of a CT series
    "truncated_files": ("error", "Copy or export the named files again."),
    "not_hounsfield": ("error", "Give the original CT series in Hounsfield units."),
    "no_rescale": ("error", "Export the original CT images with their rescale tags."),
    "bad_image": ("error", "Export the original single-channel 16-bit CT images."),
    "multiframe_not_supported": ("error", "Export as classic CT images, one file per slice."),
    "pixels_unreadable": ("error", "Export the series uncompressed or as JPEG 2000 lossless."),
    "decode_crashed": ("error", "Export the series uncompressed or as JPEG 2000 lossless."),
    "decode_timeout": ("error", "Export the series uncompressed or as JPEG 2000 lossless."),
    "decode_too_large": ("error", "Export the named file again; it declares absurd sizes."),
    "lossy_compression": ("warning", "Prefer the losslessly stored series for measuring."),
    "gantry_tilt_tag": ("warning", "Check that the series was resampled to upright slices."),
    "unspecified_units": ("warning", "Check the numbers: the header does not say they are HU."),
    "rescale_varies": ("info", "Nothing to do; each slice gets its own rescale."),
    # how a CT was made
    "sharp_kernel": ("warning", "Prefer a soft-tissue kernel of the same scan for size."),
    "mixed_acquisition": ("warning", "Give a series whose slices were all made alike."),
    "missing_kvp": ("warning", "Compare densities with other exams with care."),
    "unusual_kvp": ("warning", "Check the tube voltage; HU of mineral depend on it."),
    "missing_thickness": ("info", "Nothing to do; the slice spacing is taken."),
    "contrast_given": ("warning", "Prefer a series without contrast; vessels look like mineral."),
    "no_date": ("warning", "Give exams that state their study date, to follow them in time."),
    "material_map": ("error", "Give the conventional CT series, not a material map."),
    "monoenergetic": ("warning", "Prefer the conventional series; HU depend on the energy."),
    "synthetic_ct": ("error", "Give a real CT; a computed one holds no mineral of its own."),
    "cone_beam": ("warning", "Prefer a multi-slice CT; cone-beam numbers are no exact HU."),
    "position_contradiction": ("warning", "Check left and right on the images."),
    # pixels, after they were read
    "wrong_hu_scale": ("error", "Export the original CT with its rescale; air must read -1000."),
    "hu_offset": ("warning", "Compare densities with other scanners with care."),
    "clipped_hu": ("error", "Export the original CT, not a windowed copy."),
    "saturated_hu": ("warning", "Nothing to do; only the densest voxels are concerned."),
    "empty_volume": ("error", "Export the series again; its pixels hold no image."),
    "empty_slices": ("error", "Export the series again; slices within the scan hold no image."),
    "empty_end_slices": ("warning", "Nothing to do if the scan was meant to end there."),
    "repeated_slices": ("error", "Export the series again; slices stand in for missing ones."),
    "foreign_slice": ("error", "Look at the named slices; leave out what is of another scan."),
    "slice_jump": ("warning", "Look at the named slices; anatomy may be missing or has moved."),
    "truncated_fov": ("warning", "Prefer a reconstruction that shows the whole cross-section."),
    "high_noise": ("warning", "Prefer a smoother kernel, thicker slices or another exam."),
    "streaks": ("warning", "Read faint mineral in the named slices with care."),
    "metal_present": ("warning", "Nothing to do; lesions near metal are marked."),
    # volume files
    "volume_file_unreadable": ("error", "Export the scan again, best as DICOM."),
    "volume_file_too_large": ("error", "Give the scan itself, not an upsampled copy."),
    "several_volumes": ("error", "Give a file with one volume."),
    "no_orientation": ("error", "Convert the DICOM series again; the place of voxels is lost."),
    "sform_qform_disagree": ("error", "Convert the DICOM series again, or mend the header."),
    "sheared_affine": ("error", "Resample to a rectangular grid, or give the DICOM series."),
    "template_space": ("error", "Give the scan in the patient's own space."),
    "unknown_space": ("error", "Save with a patient frame (e.g. left-posterior-superior) in mm."),
    "implausible_spacing": ("error", "Mend the unit of length in the header."),
    "unit_not_stated": ("info", "Nothing to do if the voxel sizes above are right in mm."),
    "too_few_values": ("error", "Give the scan without NaN or infinite values."),
    "non_finite_values": ("warning", "Nothing to do if only the surroundings are concerned."),
    "sidecar_damaged": ("warning", "Mend the JSON file beside the volume file."),
    "no_acquisition_facts": (
        "warning",
        "Put the JSON sidecar of dcm2niix beside it, or give the DICOM series.",
    ),
    "no_dicom_source": ("info", "For SEG and SR objects give the DICOM series."),
    # identity and date
    "missing_uids": ("warning", "Nothing to do; grouping rests on the other tags."),
    "identity_conflict": ("warning", "Check that all exams are of the same person."),
    "same_person_two_ids": (
        "warning",
        "If it is one person, correct the PatientID at its source; nothing was joined.",
    ),
    "one_id_two_issuers": (
        "warning",
        "If it is one person, correct the issuer at its source; nothing was joined.",
    ),
    "missing_date": ("error", "Give exams that state their study date."),
    # radiographs
    "bad_film": ("error", "Export the original film: one grey-scale image of up to 16 bits."),
    "film_processed": ("info", "Nothing to do; grey values are ordinal within one film."),
    "film_raw": ("info", "Prefer the processed image of the same exposure for the eye."),
    "polarity_doubtful": ("warning", "Look at the film: bone must be lighter than air."),
    "view_doubtful": ("warning", "Check on the film which view it is."),
    "side_conflict": ("warning", "Check on the film which side it is."),
    "spacing_refused": ("warning", "Ask for the detector's pixel size, or a calibrated film."),
    "spacing_ambiguous": ("warning", "Take lengths as upper limits; calibrate with a marker."),
    "spacing_uncorrected": ("warning", "Take lengths as too long (a hip: by 15 to 25 %)."),
    "spacing_missing": ("warning", "Give the original film; lengths are in pixels only."),
    "magnification_refused": ("warning", "Check the distances from source to film and patient."),
    "burned_in_text": ("warning", "Remove text before sharing; keep it out of regions."),
    "radiograph": ("info", "Give regions with --roi; without one no lesion is called on a film."),
    "same_exposure": ("info", "Nothing; a region on the other image counts on this one."),
    "film_refused": ("warning", "See the findings of those films with 'hoimg info'."),
    "two_exposures": ("warning", "Measure each part on its own; they share no landmark."),
    # what is no original CT volume
    "reformatted": ("info", "Nothing to do; original axial images are preferred where present."),
    "series_parted": ("info", "Nothing to do; each volume is listed, the choice says why."),
    "thick_slab": ("warning", "Give the thin slices that the slabs were made from."),
    "localizer": ("info", "Nothing to do; localizers are never measured."),
    "secondary_capture": ("info", "Nothing to do; screen captures are never measured."),
    "derived_image": ("info", "Nothing to do; projections and maps are never measured."),
    "not_an_image": ("info", "Nothing to do."),
    "radiograph_not_measured": (
        "warning",
        "Give CT, CR or DX; other projections are only counted.",
    ),
    "modality_not_supported": ("warning", "Give a CT; other modalities carry no HU."),
    # masks that a reader gives
    "mask_unreadable": ("error", "Save the mask again from the program that made it."),
    "mask_not_labels": ("error", "Give whole numbers, one per structure, 0 for background."),
    "mask_empty": ("error", "Give a mask with a structure in it."),
    "mask_ambiguous": ("error", "Name one file instead of a folder with several."),
    "mask_no_geometry": ("error", "Give a mask made on a CT."),
    "mask_other_frame": ("error", "Give a mask made on this exam or another series of it."),
    "mask_elsewhere": ("error", "Give a mask of this exam."),
    "mask_outside": ("error", "Cut the mask to the exam's field of view."),
    "mask_does_not_cover": ("error", "Give a skeleton of the whole exam."),
    "mask_overlaps": ("error", "Give each voxel to one lesion."),
    "mask_too_fine": ("error", "Give the mask on the exam's own voxels."),
    "mask_overlap_small": ("warning", "Nothing to do if it is a border drawn twice."),
    "mask_frame_unknown": ("warning", "Check on the pictures that the mask lies where it should."),
    "mask_resampled": ("info", "Nothing to do; the volumes agree with the mask's own."),
    "mask_volume_changed": ("warning", "Give the mask on the exam's own voxels."),
    "contours_skipped": ("info", "Nothing to do; only closed contours enclose anything."),
    "contours_cross": ("warning", "Check that structure's outlines."),
    "contours_skip_slices": ("warning", "Check whether slices were left out by mistake."),
    "structures_elsewhere": ("warning", "Nothing to do if they belong to another scan."),
    "skeleton_chosen": ("info", "Nothing to do; the bones of the file were used."),
    "skeleton_not_named": ("warning", "Check that the mask holds bone and nothing else."),
    # files
    "identical_copies": ("info", "Nothing to do; one copy of each was used."),
    "unreadable_files": ("warning", "Copy or export the damaged files again."),
    "skipped_files": ("info", "Nothing to do."),
    "label_maps_aside": ("info", "Give masks with --mask, --roi or --skeleton."),
    "volume_files_aside": ("info", "Name a volume file itself to have it read."),
    "closed_folders": ("warning", "Make the folders readable, or start as a user who may."),
    "archive_damaged": ("warning", "Copy the zip archive again, or unpack it and give the folder."),
    "archive_encrypted": ("warning", "Unpack the zip archive with its password, give the folder."),
    "archive_limits": (
        "warning",
        "If the archive is trusted, unpack it and give the folder, or raise intake.zip_*.",
    ),
    "dicomdir_damaged": ("warning", "Give the folder of the disc instead of its DICOMDIR."),
    "dicomdir_missing_files": ("warning", "Copy the disc again; files it names are not there."),
    "dicomdir_refused": (
        "warning",
        "Do not trust this disc: names in its DICOMDIR lead out of its folder or are no names.",
    ),
    # choice among series and studies
    "series_refused": ("warning", "See the findings of that series with 'hoimg info'."),
    "study_refused": ("warning", "See the findings of that study with 'hoimg info'."),
}
"""Code to (level, what to do)."""


def finding(code: str, message: str) -> Finding:
    """A finding of the table with the message of this occurrence.

    Args:
        code: A key of :data:`FINDINGS`.
        message: What was seen, in one sentence, without identity and without a path.
    """
    level, fix = FINDINGS[code]
    return Finding(code=code, level=level, message=message, fix=fix)
