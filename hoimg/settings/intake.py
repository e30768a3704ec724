"""Section ``intake``: what is refused before any pixel is measured."""

from __future__ import annotations

from typing import Literal

from hoimg.settings.threshold import Section, threshold


class IntakeSettings(Section):
    """Reading: what is refused before any pixel is measured."""

    min_slices: int = threshold(
        5,
        unit="slices",
        meaning="A CT series with fewer slices is no volume to segment and is refused.",
        source="engineering choice",
        status="default",
        ge=2,
    )
    spacing_tolerance: float = threshold(
        0.02,
        unit="fraction of the spacing",
        meaning="Largest deviation of one slice step from the median step before it is a gap.",
        source="scanners print positions to 0.01 mm or better",
        status="default",
        gt=0,
        lt=0.5,
    )
    thick_slice_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Thicker slices are measured with a warning: rim and margin stay unrated.",
        source="a 1 mm shell of 1200 HU peaks at 401 HU for FWHM 3 mm (calculated)",
        status="default",
        gt=0,
    )
    max_slice_thickness_mm: float = threshold(
        10.0,
        unit="mm",
        meaning="Slices thicker than this are refused.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    allow_gaps: bool = threshold(
        False,
        unit="",
        meaning="Series with missing, uneven or gapped slices are measured on their true positions "
        "with the gaps marked, instead of refused.",
        source="engineering choice: a gap hides tissue",
        status="default",
    )
    refuse_at: Literal["error", "warning"] = threshold(
        "error",
        unit="level",
        meaning="Findings of this level and above keep a series (or exam) out of the analysis.",
        source='engineering choice; "warning" lets only scans without any doubt in',
        status="default",
    )
    kvp_low: float = threshold(
        70.0,
        unit="kV",
        meaning="A lower stated tube voltage is unusual and gets a warning.",
        source="tube voltages of clinical CT are 70 to 150 kV",
        status="default",
        gt=0,
    )
    kvp_high: float = threshold(
        150.0,
        unit="kV",
        meaning="A higher stated tube voltage is unusual and gets a warning.",
        source="tube voltages of clinical CT are 70 to 150 kV",
        status="default",
        gt=0,
    )
    zip_max_bytes: int = threshold(
        32 * 2**30,
        unit="bytes",
        meaning="All zip archives of one scan together are unpacked up to this size; what goes "
        "beyond is left out with a finding.",
        source="engineering choice; a whole-body CT of 4000 slices has 2 GiB",
        status="default",
        gt=0,
    )
    zip_max_ratio: float = threshold(
        200.0,
        unit="inflated bytes per stored byte",
        meaning="A member of a zip archive above 16 MiB that inflates by more is left out.",
        source="engineering choice; CT slices shrink to a third, deflate reaches 1032",
        status="default",
        gt=1,
    )
    zip_max_members: int = threshold(
        200_000,
        unit="files",
        meaning="Zip archives with more members are left out.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    zip_max_depth: int = threshold(
        3,
        unit="levels",
        meaning="Zip archives within archives are opened down to this level; 1 opens none within.",
        source="engineering choice",
        status="default",
        ge=1,
    )
    affine_tolerance_mm: float = threshold(
        0.1,
        unit="mm",
        meaning="A NIfTI file whose sform, qform and voxel sizes put a voxel further apart than "
        "this is refused.",
        source="engineering choice; rounding to float32 moves a voxel by less than 0.001 mm",
        status="default",
        ge=0,
    )
    max_voxels: int = threshold(
        1_500_000_000,
        unit="voxels",
        meaning="A volume file (NIfTI, NRRD) that declares more is refused before it is read.",
        source="engineering choice; 512x512x4000 has 1.05e9",
        status="default",
        gt=0,
    )
    max_unmeasured: float = threshold(
        0.5,
        unit="fraction of the voxels",
        meaning="A volume file with a larger share of NaN or infinite voxels is refused.",
        source="engineering choice; the corners outside of a reconstruction circle are 21 %",
        status="default",
        ge=0,
        le=1,
    )
    min_spacing_mm: float = threshold(
        0.02,
        unit="mm",
        meaning="A volume file with voxels closer than this is taken to be in another unit.",
        source="engineering choice; the sharpest clinical CT has 0.1 mm",
        status="default",
        gt=0,
    )
    tissue_below_hu: float = threshold(
        -50.0,
        unit="HU",
        meaning="A volume file without any voxel below this is no CT in HU: every CT shows air or "
        "fat, a label map or a picture shows neither.",
        source="fat is -120 to -80 HU",
        status="default",
    )
    mask_fraction_min: float = threshold(
        0.5,
        unit="fraction",
        meaning="A pixel of a fractional DICOM segmentation is inside from this probability (or "
        "occupancy) on.",
        source="engineering choice: the border where both sides are as likely",
        status="default",
        gt=0,
        le=1,
    )
    mask_outside_max: float = threshold(
        0.02,
        unit="fraction of the region or lesion",
        meaning="A given region or lesion of which more lies outside of the exam is refused.",
        source="engineering choice; above rounding at the border, below any real cut",
        status="default",
        ge=0,
        lt=1,
    )
    mask_overlap_max: float = threshold(
        0.01,
        unit="fraction of the smaller lesion",
        meaning="Given lesions that share more are refused.",
        source="engineering choice: a voxel belongs to one lesion",
        status="default",
        ge=0,
        lt=1,
    )
    skeleton_cover_min: float = threshold(
        0.99,
        unit="fraction of the exam",
        meaning="A given skeleton whose own field of view covers less of the exam is refused.",
        source="engineering choice: bone that it does not know would be called",
        status="default",
        gt=0,
        le=1,
    )
    skeleton_planes_min: float = threshold(
        0.9,
        unit="fraction of the exam's slices",
        meaning="A given skeleton in a file that stores only what is there (DICOM segmentation, "
        "structure set) and that lies in fewer slices is refused.",
        source="engineering choice: nearly every slice of a body holds bone",
        status="default",
        gt=0,
        le=1,
    )
    film_spacing_min_mm: float = threshold(
        0.01,
        unit="mm",
        meaning="A smaller pixel spacing of a radiograph is refused.",
        source="engineering choice; the sharpest detectors (mammography) have 0.05 mm",
        status="default",
        gt=0,
    )
    film_spacing_max_mm: float = threshold(
        2.0,
        unit="mm",
        meaning="A larger pixel spacing of a radiograph is refused.",
        source="engineering choice; detectors have 0.1-0.2 mm, reduced copies up to 1.5 mm",
        status="default",
        gt=0,
    )
    film_side_max_mm: float = threshold(
        2000.0,
        unit="mm",
        meaning="A spacing that makes a radiograph longer than this is refused.",
        source="engineering choice; the longest whole-body exposures have 1.8 m",
        status="default",
        gt=0,
    )
    film_aspect_tolerance: float = threshold(
        0.01,
        unit="fraction",
        meaning="Row and column spacing of a radiograph may differ by this from what "
        "PixelAspectRatio states (1 when absent).",
        source="engineering choice; rounding explains 0.1 % (1.2 and 1.2012 mm on one real film)",
        status="default",
        gt=0,
    )
    film_magnification_max: float = threshold(
        2.0,
        unit="",
        meaning="A larger magnification of a radiograph is refused.",
        source="engineering choice; a hip has 1.15-1.25, magnified views up to 2",
        status="default",
        gt=1,
    )
    film_magnification_tolerance: float = threshold(
        0.02,
        unit="fraction",
        meaning="If the stated magnification and SID / SOD differ by more, neither is used.",
        source="ERMF is defined as SID / SOD; both are printed with few digits",
        status="default",
        gt=0,
    )
    hu_offset_warning: float = threshold(
        25.0,
        unit="HU",
        meaning="Air that reads this much too high or low gets a warning.",
        source="engineering choice; scanners are held to -1000 +- 10 in air",
        status="default",
        gt=0,
    )
    hu_offset_error: float = threshold(
        50.0,
        unit="HU",
        meaning="Air or tissue further off than this is no HU scale: the exam is refused.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    floor_hu: float = threshold(
        -950.0,
        unit="HU",
        meaning="Values that end in a wall above this were windowed: the exam is refused.",
        source="air reads -1000",
        status="default",
    )
    ceiling_hu: float = threshold(
        2000.0,
        unit="HU",
        meaning="Values that end in a wall below this were windowed: the exam is refused; above "
        "it they are saturated.",
        source="compact bone reads 800-1900 HU",
        status="default",
        gt=0,
    )
    saturated_mm3: float = threshold(
        10.0,
        unit="mm3",
        meaning="Less than this at the highest value is not looked at.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    foreign_ratio: float = threshold(
        2.0,
        unit="ratio",
        meaning="A slice that differs from both neighbours this much more than they differ from "
        "each other is of another scan.",
        source="engineering choice; up to 1.0 measured in four real scans",
        status="default",
        gt=1,
    )
    jump_ratio: float = threshold(
        5.0,
        unit="ratio",
        meaning="A change between two slices this much larger than beside it gets a warning.",
        source="engineering choice; 1.3 measured in patients, 3.8 at the end of a phantom",
        status="default",
        gt=1,
    )
    truncated_share: float = threshold(
        0.02,
        unit="fraction of the outline",
        meaning="More of the body's outline on the edge of the field of view gets a warning.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    max_noise_hu: float = threshold(
        50.0,
        unit="HU",
        meaning="More noise in soft tissue gets a warning.",
        source="engineering choice; thin soft-tissue reconstructions have 10-30 HU",
        status="default",
        gt=0,
    )
    streak_ratio: float = threshold(
        1.8,
        unit="ratio",
        meaning="Noise this much rougher in one direction than in the other is streaks.",
        source="engineering choice; up to 1.3 measured where noise is above 5 HU",
        status="default",
        gt=1,
    )
    streak_noise_hu: float = threshold(
        25.0,
        unit="HU",
        meaning="Streaks with less noise across them are not looked at.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    streak_share: float = threshold(
        0.05,
        unit="fraction of the slices",
        meaning="Streaks in more of the slices get a warning.",
        source="engineering choice",
        status="default",
        ge=0,
    )
    metal_hu: float = threshold(
        2500.0,
        unit="HU",
        meaning="Voxels above this are metal or cement.",
        source="metal and cement exceed 2500-3000 HU or saturate",
        status="default",
        gt=0,
    )
    metal_mm3: float = threshold(
        20.0,
        unit="mm3",
        meaning="More metal than this gets a warning.",
        source="engineering choice",
        status="default",
        ge=0,
    )
