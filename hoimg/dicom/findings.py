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
    "gantry_tilt": ("error", "Give a reconstruction without gantry tilt."),
    "shifted_slices": ("error", "Give a series whose slices lie straight above each other."),
    "duplicate_slices": ("error", "Keep one image per slice position."),
    "too_few_slices": ("error", "Give the whole series; single slices cannot be measured."),
    "mixed_orientation": ("error", "Give each orientation as a series of its own."),
    "not_a_volume": ("error", "Give a series of neighbouring slices, not one plane repeated."),
    "bad_orientation": ("error", "Export the series again; its orientation tags are damaged."),
    "no_pixel_spacing": ("error", "Export the original CT images, which state their pixel size."),
    "no_position": ("error", "Export the original CT images, which state their position."),
    "slice_too_thick": ("error", "Give a thinner reconstruction (1.5 mm or less is best)."),
    "thick_slices": ("warning", "Give a reconstruction of 1.5 mm or less if there is one."),
    # pixels of a CT series
    "truncated_files": ("error", "Copy or export the named files again."),
    "not_hounsfield": ("error", "Give the original CT series in Hounsfield units."),
    "no_rescale": ("error", "Export the original CT images with their rescale tags."),
    "bad_image": ("error", "Export the original single-channel 16-bit CT images."),
    "multiframe_not_supported": ("error", "Export as classic CT images, one file per slice."),
    "pixels_unreadable": ("error", "Export the series uncompressed or as JPEG 2000 lossless."),
    "lossy_compression": ("warning", "Prefer the losslessly stored series for measuring."),
    "gantry_tilt_tag": ("warning", "Check that the series was resampled to upright slices."),
    "unspecified_units": ("warning", "Check the numbers: the header does not say they are HU."),
    # identity and date
    "missing_uids": ("warning", "Nothing to do; grouping rests on the other tags."),
    "identity_conflict": ("warning", "Check that all exams are of the same person."),
    "missing_date": ("error", "Give exams that state their study date."),
    # what is no CT volume
    "localizer": ("info", "Nothing to do; localizers are never measured."),
    "secondary_capture": ("info", "Nothing to do; screen captures are never measured."),
    "derived_image": ("info", "Nothing to do; projections and maps are never measured."),
    "not_an_image": ("info", "Nothing to do."),
    "radiograph_not_measured": ("warning", "Give a CT; radiographs are listed, not measured."),
    "modality_not_supported": ("warning", "Give a CT; other modalities carry no HU."),
    # files
    "identical_copies": ("info", "Nothing to do; one copy of each was used."),
    "unreadable_files": ("warning", "Copy or export the damaged files again."),
    "skipped_files": ("info", "Nothing to do."),
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
