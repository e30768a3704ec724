"""Every threshold of every stage: one model, a section per stage, TOML in, resolved TOML out.

Each threshold states its unit, what it means, where it comes from and its evidence status:
``established`` (in the literature, for this use), ``borrowed`` (measured, but elsewhere) or
``default`` (an engineering choice with no evidence behind it).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hoimg.errors import UsageError

Evidence = Literal["established", "borrowed", "default"]


def threshold(
    default: Any, *, unit: str, meaning: str, source: str, status: Evidence, **limits: Any
) -> Any:
    """A settings field that carries its unit, meaning, source and evidence status."""
    extra: dict[str, Any] = {"unit": unit, "source": source, "status": status}
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IntakeSettings(_Section):
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


class SegmentSettings(_Section):
    """Finding ectopic mineral apart from the skeleton."""

    mineral_hu_120kvp: float = threshold(
        150.0,
        unit="HU at 120 kVp",
        meaning="Voxels above this are mineral; corrected for the exam's tube voltage.",
        source="150-200 HU in HO papers",
        status="default",
    )
    metal_hu: float = threshold(
        2500.0,
        unit="HU",
        meaning="Voxels above this are metal or cement.",
        source="metal and cement exceed 2500-3000 HU or saturate",
        status="default",
    )
    least_score: float = threshold(
        0.08,
        unit="score",
        meaning="Free candidates with at least this score of the classifier are called.",
        source="false and missed lesions on tuning, training and varied cases, cross-validated",
        status="default",
        gt=0,
        lt=1,
    )
    attached_score: float = threshold(
        0.045,
        unit="score",
        meaning="The same for candidates that touch native bone.",
        source="as above: fewer of them are false",
        status="default",
        gt=0,
        lt=1,
    )
    doubtful_score: float = threshold(
        0.2,
        unit="score",
        meaning="The same for candidates on bone that are larger than 10 mL, or of which less than "
        "40 % lies off mirrored bone: they may be a whole bone.",
        source="no lesion of 156 varied cases was lost for it (cross-validated); a whole iliac "
        "wing was called at 0.09 on a scan of another simulator",
        status="default",
        gt=0,
        lt=1,
    )
    contrast_score: float = threshold(
        0.1,
        unit="score",
        meaning="The same for all candidates where a contrast agent is named.",
        source="as above: 0.5 false lesions a chest instead of 0.75, and none missed for it",
        status="default",
        gt=0,
        lt=1,
    )
    coarse_score: float = threshold(
        0.4,
        unit="score",
        meaning="The same where voxels are coarser than 2.5 mm, which the classifier never saw.",
        source="one scan of 3 mm without lesions",
        status="default",
        gt=0,
        lt=1,
    )
    new_score: float = threshold(
        0.05,
        unit="score",
        meaning="The same for mineral that an earlier exam of the patient did not have.",
        source="engineering choice",
        status="default",
        gt=0,
        lt=1,
    )
    given_score: float = threshold(
        0.035,
        unit="score",
        meaning="The same for what stands on, or within 4 mm of, a skeleton that was given.",
        source="tuning cases: as many false ones as at 0.1 with an earlier classifier",
        status="default",
        gt=0,
        lt=1,
    )
    min_lesion_mm3: float = threshold(
        150.0,
        unit="mm3",
        meaning="Candidates smaller than this are listed under excluded as too_small.",
        source="engineering choice",
        status="default",
        gt=0,
    )

    working_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Spacing of the grid on which candidates are found (outlines use the native one).",
        source="finer adds time, not lesions of 0.2 mL and more",
        status="default",
        gt=0,
    )
    mirror_tolerance_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="Bone this close to mirrored bone is native.",
        source="97.6 % of bone lies within 3 mm of its mirrored partner (one pelvis)",
        status="default",
    )
    mirror_loose_mm: float = threshold(
        8.0,
        unit="mm",
        meaning="Long thin pieces (ribs) this close to mirrored bone are native.",
        source="asymmetry of ribs in two scans",
        status="default",
    )
    shell_soft_outside: float = threshold(
        0.73,
        unit="fraction",
        meaning="A closed shell is a lesion's when this much of its outside is soft tissue.",
        source="planted 0.73-0.99, native bone up to 0.7 (tuning cases)",
        status="default",
        gt=0,
        le=1,
    )
    shell_compactness: float = threshold(
        7.0,
        unit="volumes of the inscribed sphere",
        meaning="A closed shell's core larger than this is drawn out, as ribs and processes are.",
        source="planted 2-7 (tuning cases)",
        status="default",
        gt=1,
    )
    shell_inscribed_mm: float = threshold(
        2.3,
        unit="mm",
        meaning="Least radius of the largest sphere in a closed shell's core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    shell_rim_over_core: float = threshold(
        1.1,
        unit="ratio",
        meaning="The rim of a closed shell is at least this many times as dense as its core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    shell_pass_ratio: float = threshold(
        0.75,
        unit="ratio",
        meaning="A ridge lower than this times the rim joins the cores on its two sides.",
        source="joins septa of a lesion and noise across ribs, keeps cortex (tuning cases)",
        status="default",
        gt=0,
        lt=1,
    )
    shell_min_mm3: float = threshold(
        100.0,
        unit="mm3",
        meaning="Least volume of a closed shell's core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    shell_max_mm3: float = threshold(
        60_000.0,
        unit="mm3",
        meaning="Largest volume of a closed shell's core.",
        source="engineering choice",
        status="default",
        gt=0,
    )
    mirror_faint_mm: float = threshold(
        2.0,
        unit="mm",
        meaning="Outgrowths of bone this close to anything dense on the other side are native.",
        source="one pelvis; 4 mm lost small attached lesions",
        status="default",
    )
    given_tolerance_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Bone this close to a given skeleton mask, or within a voxel of it, is native.",
        source="92-98 % of bone lies within 1 mm of a model's mask (pelvis, two scans)",
        status="default",
    )
    totalsegmentator: Literal["off", "fast", "full"] = threshold(
        "off",
        unit="",
        meaning="Let TotalSegmentator draw the native skeleton, where it is installed with its "
        "weights and no skeleton is given; fast is its 3 mm model.",
        source="engineering choice: it takes minutes and is a program of its own",
        status="default",
    )
    totalsegmentator_minutes: float = threshold(
        30.0,
        unit="min",
        meaning="TotalSegmentator is ended after this long.",
        source="engineering choice: its 1.5 mm models take minutes even without a GPU",
        status="default",
        gt=0,
    )
    given_doubted_below: float = threshold(
        0.85,
        unit="fraction",
        meaning="A given skeleton that agrees with less of the bone gets a warning.",
        source="0.87-1.0 for masks of a model, 0.7 and less when mirrored or moved by 10 mm",
        status="default",
        ge=0,
        le=1,
    )
    given_refused_below: float = threshold(
        0.6,
        unit="fraction",
        meaning="A given skeleton that agrees with less of the bone is refused.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    prior_exam: bool = threshold(
        True,
        unit="",
        meaning="Bone that the patient's earliest CT did not have is suspect in the later ones.",
        source="engineering choice",
        status="default",
    )
    prior_tolerance_mm: float = threshold(
        2.5,
        unit="mm",
        meaning="Bone this close to the bone of an earlier exam was there before.",
        source="one and a half voxels of the grid on which exams are laid on each other",
        status="default",
        gt=0,
    )
    prior_agreement: float = threshold(
        0.9,
        unit="fraction",
        meaning="Least fraction of the bone, and of that round a suspect, that must lie on the "
        "bone of an earlier exam before that exam adds suspects.",
        source="engineering choice",
        status="default",
        ge=0,
        le=1,
    )
    skeleton_component_mm3: float = threshold(
        40_000.0,
        unit="mm3",
        meaning="A connected dense piece this large holds native bone.",
        source="engineering choice",
        status="default",
    )
    cut_bone_mm3: float = threshold(
        1500.0,
        unit="mm3",
        meaning="Without another side, a piece this large that leaves the scan is a cut bone.",
        source="engineering choice",
        status="default",
    )
    faint_excess_hu: float = threshold(
        35.0,
        unit="HU",
        meaning="Local mean above muscle that makes a faint floccule, where also uneven.",
        source="84 HU local mean in one pelvis",
        status="default",
    )
    faint_sd_hu: float = threshold(
        38.0,
        unit="HU",
        meaning="Local unevenness (SD in 2 mm) of a faint floccule, beyond the scan's own noise.",
        source="one pelvis",
        status="default",
    )
    group_mm: float = threshold(
        4.0,
        unit="mm",
        meaning="Mineral pieces closer than this are one lesion.",
        source="floccules of one lesion lie 1-4 mm apart",
        status="default",
    )
    scan_end_mm: float = threshold(
        4.5,
        unit="mm",
        meaning="Pieces this close to the first or last slice cannot be told from cut bone.",
        source="one pelvis",
        status="default",
    )


class MeasureSettings(_Section):
    """Numbers of a lesion."""

    threshold_hu_120kvp: float = threshold(
        150.0,
        unit="HU at 120 kVp",
        meaning="Fixed threshold of the secondary volume, for comparison with papers.",
        source="150-200 HU in HO papers",
        status="default",
    )
    rim_peak_fraction: float = threshold(
        0.5,
        unit="fraction of the patient's own cortex at matched thickness",
        meaning="A surface profile whose peak reaches this is cortex-like.",
        source="engineering choice",
        status="default",
    )
    rim_peak_fallback_hu: float = threshold(
        500.0,
        unit="HU",
        meaning="Used where no normal cortex is in view and slices are 1.5 mm or thinner.",
        source="engineering choice",
        status="default",
    )
    rim_max_slice_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Slices thicker than this leave rim and edge unrated.",
        source="a 1 mm shell of 1200 HU peaks at 401 HU for FWHM 3 mm (calculated)",
        status="default",
    )
    rim_peak_floor_hu: float = threshold(
        300.0,
        unit="HU",
        meaning="A profile with a lower peak is never cortex-like, however faint the own cortex.",
        source="cancellous bone and floccules read up to 300 HU",
        status="default",
    )
    rim_depth_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="Depth of the outer zone (shell) in which a rim is looked for.",
        source="engineering choice",
        status="default",
    )
    rim_min_profiles: int = threshold(
        50,
        unit="profiles",
        meaning="Fewer surface profiles away from native bone leave rim and edge unrated.",
        source="engineering choice",
        status="default",
    )
    rim_material_hu: float = threshold(
        1200.0,
        unit="HU at 120 kVp",
        meaning="Density of a compact shell, assumed when a thin shell is corrected for blur.",
        source="compact bone reads 800-1500 HU",
        status="default",
    )
    matched_cortex_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Own cortex thicker than this is compared as if it were this thick.",
        source="shells of mature ossification are 1-2 mm thick",
        status="default",
    )
    edge_min_contrast_hu: float = threshold(
        200.0,
        unit="HU",
        meaning="Surface profiles that rise less above soft tissue have no margin: they are wide.",
        source="engineering choice",
        status="default",
    )
    edge_wide_mm: float = threshold(
        6.0,
        unit="mm",
        meaning="Width given to a profile without a monotone edge.",
        source="engineering choice",
        status="default",
    )
    core_depth_mm: float = threshold(
        4.0,
        unit="mm",
        meaning="Deeper voxels are the core.",
        source="shell depth plus blur",
        status="default",
    )
    core_min_mm3: float = threshold(
        30.0,
        unit="mm3",
        meaning="Smaller cores leave zone and core unrated.",
        source="engineering choice",
        status="default",
    )
    core_marrow_low_hu: float = threshold(
        -150.0,
        unit="HU",
        meaning="Lower limit of marrow-like core voxels.",
        source="below fat",
        status="default",
    )
    core_marrow_high_hu: float = threshold(
        250.0,
        unit="HU",
        meaning="Upper limit of marrow-like core voxels.",
        source="trabecular marrow reads up to about 250 HU",
        status="default",
    )
    core_enclosed_rim: float = threshold(
        0.5,
        unit="fraction",
        meaning="A core under a rim of less than this share of the surface holds no marrow.",
        source="engineering choice",
        status="default",
    )
    contact_mm: float = threshold(
        1.0,
        unit="mm",
        meaning="Surface this close to native bone is attached to it and is no free margin.",
        source="about one voxel",
        status="default",
    )
    cleft_reach_mm: float = threshold(
        4.0,
        unit="mm",
        meaning="Bone that the surface's normal meets within this is faced: a cleft is looked for.",
        source="engineering choice; profiles are read to 6 mm",
        status="default",
        gt=0,
        le=4.0,
    )
    search_radius_mm: float = threshold(
        60.0,
        unit="mm",
        meaning="Bone and metal farther away are not looked for.",
        source="engineering choice",
        status="default",
    )
    hip_reach_mm: float = threshold(
        80.0,
        unit="mm",
        meaning="A lesion this close to the middle of a femoral head lies about that hip.",
        source="engineering choice; the trochanters end 60-70 mm from it",
        status="default",
        gt=0,
    )
    hip_joint_mm: float = threshold(
        6.0,
        unit="mm",
        meaning="Native bone this close to a femoral head's sphere is the joint's own surface and "
        "faces no gap.",
        source="engineering choice; a joint space of 3-5 mm and a voxel",
        status="default",
        gt=0,
    )
    boundary_sd_fraction: float = threshold(
        0.02,
        unit="fraction of the point spread",
        meaning="SD of the boundary's place where the image shows it.",
        source="240 bodies of known volume (benchmarks/physics_objects.py, tuning seeds)",
        status="default",
    )
    correction_sd_fraction: float = threshold(
        0.4,
        unit="fraction",
        meaning="SD of what is taken back for blur at thin rims and curved surfaces, of its size.",
        source="240 bodies of known volume (benchmarks/physics_objects.py, tuning seeds)",
        status="default",
    )
    segmentation_sd_voxels: float = threshold(
        0.5,
        unit="voxels",
        meaning="SD of the boundary's place where only the mask gives it (no edge, scan's end).",
        source="planted lesions of the tuning seeds",
        status="default",
    )
    contact_sd_mm: float = threshold(
        2.0,
        unit="mm",
        meaning="SD of the boundary's place where the lesion lies on bone.",
        source="67 planted lesions on bone of the tuning seeds",
        status="default",
    )
    calibration_material: Literal["HA", "K2HPO4"] = threshold(
        "HA",
        unit="",
        meaning="What the given slope, rods or phantom are of: hydroxyapatite or K2HPO4.",
        source="the site's phantom",
        status="default",
    )
    calibration_slope_hu: float | None = threshold(
        None,
        unit="HU per mg/cm3",
        meaning="Slope of the site's own phantom at calibration_kvp, HU for each mg/cm3 (not the "
        "other way round), as diagnostic CT can have; unset: none is given.",
        source="the site's phantom",
        status="default",
        ge=0.8,
        le=4.2,
    )
    calibration_intercept_hu: float = threshold(
        0.0,
        unit="HU",
        meaning="HU without mineral that goes with calibration_slope_hu.",
        source="water reads 0 HU",
        status="default",
    )
    calibration_kvp: float | None = threshold(
        None,
        unit="kV",
        meaning="Tube voltage at which calibration_slope_hu was measured; an exam at another one "
        "is not calibrated by it.",
        source="the site's phantom",
        status="default",
        gt=0,
    )
    calibration_rods: tuple[str, ...] = threshold(
        (),
        unit="mg/cm3=region in LPS mm",
        meaning="Rods of known density in the scan, such as 200=sphere:X,Y,Z,R and 0=sphere:... "
        "for water; with one rod alone water is taken as 0 HU.",
        source="the site's phantom",
        status="default",
    )
    calibration_phantom_mg_cm3: tuple[float, ...] = threshold(
        (),
        unit="mg/cm3",
        meaning="Densities of the rods of the phantom below the patient that stand out from its "
        "body, two at least; as many rods are looked for outside of the patient.",
        source="the site's phantom",
        status="default",
    )
    calibration_error: float = threshold(
        0.05,
        unit="fraction of the slope, 1 SD",
        meaning="Error of a given slope or of rods besides noise: another place in the beam.",
        source="engineering choice",
        status="default",
        ge=0,
        lt=1,
    )
    calibration_water_sd_hu: float = threshold(
        15.0,
        unit="HU",
        meaning="SD of water's HU where one rod is read against water at 0 HU.",
        source="engineering choice; a water insert read 33 HU in one real phantom scan",
        status="default",
        ge=0,
    )
    phantomless: bool = threshold(
        True,
        unit="",
        meaning="Without a given slope, rods or phantom, milligrams are estimated from the tube "
        "voltage and the patient's own fat and muscle, and marked as such.",
        source="after Michalski 2020",
        status="borrowed",
    )
    phantomless_slope_120kvp: float = threshold(
        1.4,
        unit="HU per mg/cm3 at 120 kVp",
        meaning="Usual slope of hydroxyapatite, from which phantomless calibration starts.",
        source="1.2-1.7 at 120 kVp (calculated); other tube voltages by published factors",
        status="borrowed",
        gt=0,
    )
    phantomless_slope_sd: float = threshold(
        0.09,
        unit="SD of the slope's logarithm",
        meaning="How far scanners and patients lie from the usual slope.",
        source="1.2 to 1.7 taken as a 95 % range",
        status="borrowed",
        gt=0,
    )
    fat_sd_hu: float = threshold(
        20.0,
        unit="HU",
        meaning="SD of fat's HU about the tabulated composition.",
        source="adipose tissue with 1 SD less and more lipid than the mean (Woodard and White "
        "1986) reads 22 HU more and less at 70 keV",
        status="borrowed",
        gt=0,
    )
    muscle_sd_hu: float = threshold(
        10.0,
        unit="HU",
        meaning="SD of muscle's HU about the tabulated composition; 3 SD off is refused.",
        source="engineering choice",
        status="default",
        gt=0,
    )

    @model_validator(mode="after")
    def _one_calibration(self) -> MeasureSettings:
        """One way to calibrate at the most, and complete."""
        ways = (self.calibration_slope_hu, self.calibration_rods, self.calibration_phantom_mg_cm3)
        if sum(way not in (None, ()) for way in ways) > 1:
            raise ValueError(
                "give one of calibration_slope_hu, calibration_rods, calibration_phantom_mg_cm3"
            )
        if self.calibration_slope_hu is not None and self.calibration_kvp is None:
            raise ValueError("calibration_slope_hu needs calibration_kvp")
        if len(set(self.calibration_phantom_mg_cm3)) == 1:
            raise ValueError("calibration_phantom_mg_cm3 needs two different densities")
        if self.calibration_rods:
            from hoimg.regions import parse_rod

            try:
                densities = {parse_rod(text)[0] for text in self.calibration_rods}
            except UsageError as error:
                raise ValueError(str(error)) from error
            if densities == {0.0}:
                raise ValueError("calibration_rods needs a rod with mineral")
        return self


class SerialSettings(_Section):
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
    max_slice_difference: float = threshold(
        0.25,
        unit="fraction",
        meaning="A prior whose slice thickness differs by more blocks the serial test.",
        source="engineering choice",
        status="default",
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


class MaturitySettings(_Section):
    """The rule set."""

    gate_max_slice_mm: float = threshold(
        2.5, unit="mm", meaning="Thicker slices fail the quality gate.",
        source="engineering choice", status="default",
    )  # fmt: skip
    rim_max_slice_mm: float = threshold(
        1.5, unit="mm", meaning="Thicker slices leave rim and margin unrated.",
        source="partial-volume calculation", status="default",
    )  # fmt: skip
    gate_min_volume_mm3: float = threshold(
        320.0, unit="mm3", meaning="Smaller lesions have a volume repeatability above 40 %.",
        source="from the borrowed repeatability formula", status="borrowed",
    )  # fmt: skip
    gate_metal_distance_mm: float = threshold(
        10.0, unit="mm", meaning="Lesions nearer to metal fail the quality gate.",
        source="engineering choice", status="default",
    )  # fmt: skip
    rim_pass: float = threshold(
        0.75, unit="fraction", meaning="R1 passes at or above.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    rim_fail: float = threshold(
        0.25, unit="fraction", meaning="R1 fails at or below.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    edge_pass: float = threshold(
        1.5, unit="ratio", meaning="R2 passes at or below.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    edge_fail: float = threshold(
        2.5, unit="ratio", meaning="R2 fails at or above.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    core_pass: float = threshold(
        0.2, unit="fraction", meaning="R3 (supportive) passes at or above.",
        source="engineering choice", status="default",
    )  # fmt: skip
    serial_min_days: int = threshold(
        84, unit="days", meaning="R4 needs at least this interval.",
        source="guided by the best interval of 81 d for nodules", status="default",
    )  # fmt: skip
    age_min_days: int = threshold(
        56, unit="days", meaning="R5: a known age below this blocks mature.",
        source="zoning appears at 5-8 weeks", status="established",
    )  # fmt: skip
    reverse_zone_hu: float = threshold(
        100.0, unit="HU", meaning="R6: a shell darker than the core by more is a red flag.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    hip_gap_limit_mm: float = threshold(
        10.0, unit="mm", meaning="Brooker II and III, Della Valle B and C part at this gap.",
        source="Brooker, Della Valle: 1 cm on a film", status="established", gt=0,
    )  # fmt: skip
    hip_gap_borderline: float = threshold(
        0.2, unit="fraction of the limit",
        meaning="A gap within this of the limit is borderline: readers agree poorly (kappa .43).",
        source="engineering choice on poor agreement", status="default", ge=0, lt=1,
    )  # fmt: skip
    hip_circumferential: float = threshold(
        0.75, unit="fraction of the circumference",
        meaning="Ossification that goes round the femur by this much is circumferential.",
        source="engineering choice; the published class is a reader's word", status="default",
    )  # fmt: skip
    hip_anterior_deg: float = threshold(
        30.0, unit="degrees",
        meaning="Anterior reaches this far to either side; medial of it is anteromedial.",
        source="engineering choice; the published class is a reader's word", status="default",
    )  # fmt: skip
    hip_posterior_deg: float = threshold(
        75.0, unit="degrees",
        meaning="Posterior reaches this far to either side of straight back.",
        source="engineering choice; the published class is a reader's word", status="default",
    )  # fmt: skip
    slow_rise_fraction: float = threshold(
        0.5, unit="fraction of the mean rate of rise",
        meaning="A rise beyond its RC since an older exam is still going on, and fails R4, when "
        "no later exam shows it to have slowed below this fraction of its mean rate.",
        source="engineering choice; guards against growth hidden in steps below the RC",
        status="default", gt=0, le=1,
    )  # fmt: skip


class Settings(_Section):
    """All sections. Change a value in a TOML file given with ``--config``."""

    intake: IntakeSettings = IntakeSettings()
    segment: SegmentSettings = SegmentSettings()
    measure: MeasureSettings = MeasureSettings()
    serial: SerialSettings = SerialSettings()
    maturity: MaturitySettings = MaturitySettings()

    @property
    def sha256(self) -> str:
        """Hash of every resolved value, independent of order and formatting."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_toml(self) -> str:
        """The resolved settings as TOML; reading it back gives equal settings."""
        lines: list[str] = []
        for name, section in self.model_dump(mode="json").items():
            lines.append(f"[{name}]")
            # TOML has no null: a setting that is unset is left out.
            lines += [f"{k} = {json.dumps(v)}" for k, v in section.items() if v is not None]
            lines.append("")
        return "\n".join(lines)


def read_settings(path: Path | None) -> Settings:
    """Read a TOML file of settings; values left out keep their defaults.

    Args:
        path: The file, or None for the defaults.

    Raises:
        UsageError: when the file cannot be read, is no TOML, or names an unknown or bad value.
    """
    if path is None:
        return Settings()
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: settings cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no TOML file ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: setting '{where}': {first['msg']}") from error


def with_gaps(settings: Settings, allow: bool) -> Settings:
    """The settings with ``intake.allow_gaps`` set where the command line asks for it."""
    if not allow:
        return settings
    intake = settings.intake.model_copy(update={"allow_gaps": True})
    return settings.model_copy(update={"intake": intake})
