"""The typed results that the stages fill and the report writes; names are a public contract.

Missing values are ``None`` and their reason stands in ``flags``; a zero is a measured zero.
The JSON Schema of :class:`Report` is what ``hoimg schema`` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hoimg.image import CTVolume, Mask
from hoimg.results_film import Film as Film
from hoimg.results_film import FilmImages as FilmImages
from hoimg.results_over_time import Aetiology as Aetiology
from hoimg.results_over_time import Category as Category
from hoimg.results_over_time import Change as Change
from hoimg.results_over_time import Context as Context
from hoimg.results_over_time import Course as Course
from hoimg.results_over_time import ExamTotal as ExamTotal
from hoimg.results_over_time import FollowUp as FollowUp
from hoimg.results_over_time import Label as Label
from hoimg.results_over_time import LabelAt as LabelAt
from hoimg.results_over_time import LeftOut as LeftOut
from hoimg.results_over_time import Need as Need
from hoimg.results_over_time import RegionTotal as RegionTotal
from hoimg.results_over_time import ResultModel as ResultModel
from hoimg.results_over_time import TotalChange as TotalChange
from hoimg.results_over_time import Totals as Totals
from hoimg.results_over_time import Trend as Trend

if TYPE_CHECKING:
    from hoimg.anatomy import Anatomy
    from hoimg.edits import Edits

SCHEMA_VERSION = "1.0.0"

STATEMENT = (
    "Imaging maturity estimate. Not validated against histology or recurrence: no public images of "
    "heterotopic ossification exist. Studies disagree on whether maturity or delay predicts "
    "recurrence. This is not advice to operate or to wait, and it does not exclude malignancy. "
    "For research use only; not a medical device."
)

PsfSource = Literal["cortex", "skin", "slice_thickness", "usual"]
Level = Literal["info", "warning", "error"]
Status = Literal["measured", "not_measurable", "absent"]
CriterionResult = Literal["pass", "fail", "intermediate", "unrated"]


class Finding(ResultModel):
    """One outcome of one check of the input or of a stage."""

    code: str = Field(description="Stable name of the check's outcome, snake_case.")
    level: Level
    message: str = Field(description="What was seen, in one sentence, without identity.")
    fix: str | None = Field(default=None, description="What the user can do about it.")


class Calibration(ResultModel):
    """How the HU of one exam were turned into milligrams of mineral."""

    method: Literal["given", "rod", "phantomless"] = Field(
        description="given: a slope from the settings; rod: rods of known density in the scan; "
        "phantomless: tube voltage and the patient's own fat and muscle."
    )
    material: Literal["HA", "K2HPO4"] = Field(
        description="What the milligrams are of; hydroxyapatite and K2HPO4 are different units."
    )
    slope_hu_per_mg_cm3: float = Field(
        gt=0, description="HU that 1 mg/cm3 adds to what reads intercept_hu, in its place."
    )
    intercept_hu: float = Field(description="HU without mineral.")
    slope_error: float = Field(ge=0, description="Standard error of the slope, a fraction of it.")
    effective_kev: float | None = Field(
        default=None, description="phantomless: effective photon energy, keV."
    )
    source: str = Field(description="What it was read from, in words.")


class Acquisition(ResultModel):
    """How an exam was made, as far as the numbers depend on it."""

    kvp: float | None = Field(default=None, description="Tube voltage, kV.")
    kernel: str | None = Field(
        default=None, description="Convolution kernel as the scanner names it."
    )
    slice_thickness_mm: float | None = Field(
        default=None, description="Nominal slice thickness, mm."
    )
    spacing_zyx_mm: tuple[float, float, float] | None = Field(
        default=None, description="Distance between voxel centres along the array axes z, y, x, mm."
    )
    size_zyx: tuple[int, int, int] | None = None
    contrast: bool | None = Field(default=None, description="Contrast agent named in the header.")
    manufacturer: str | None = None
    model: str | None = None
    tube_current_ma: float | None = None
    patient_position: str | None = None
    body_part: str | None = None
    series_choice: str | None = Field(
        default=None, description="Why this series was chosen among those of the study."
    )
    native_skeleton: str | None = Field(
        default=None, description="Which provider decided what the native skeleton is."
    )
    noise_hu: float | None = Field(
        default=None, description="Noise SD measured in soft tissue, HU."
    )
    psf_fwhm_zyx_mm: tuple[float, float, float] | None = Field(
        default=None, description="Point spread (full width at half maximum) along z, y, x, mm."
    )
    psf_source_zyx: tuple[PsfSource, PsfSource, PsfSource] | None = Field(
        default=None,
        description="What each value was read from: edges of bone (`cortex`) or of skin; the slice "
        "thickness; `usual`: nothing, an assumed one was used and `psf_fwhm_zyx_mm` is null.",
    )
    cortex_hu: float | None = Field(
        default=None, description="The patient's own normal cortex: typical peak of the shell, HU."
    )
    muscle_hu: float | None = Field(
        default=None, description="The patient's own muscle: median of even squares of 7 mm, HU."
    )
    fat_hu: float | None = Field(
        default=None, description="The patient's own fat, in the same way, HU."
    )
    calibration: Calibration | None = Field(
        default=None, description="Null: HU were not turned into milligrams; see the flags."
    )


class Outline(ResultModel):
    """One label of an exam's label map, as it was written."""

    label: int
    flags: list[str] = Field(
        default_factory=list, description="What segmentation says of it; observations repeat it."
    )
    sha256: str = Field(description="Of its voxels: whether it was redrawn since shows by it.")


class Hip(ResultModel):
    """One hip that lesions of an exam lie about. Grades are equivalents on CT, not on a film."""

    side: Literal["left", "right"] = Field(description="The patient's side.")
    labels: list[int] = Field(
        default_factory=list, description="Lesions about it: values in the exam's label map."
    )
    lesions: list[str] = Field(default_factory=list, description="The same as lesion_id.")
    joined_to_pelvis: list[int] = Field(
        default_factory=list, description="Of labels: joined to the pelvis, or to one that is."
    )
    joined_to_femur: list[int] = Field(default_factory=list)
    gap_mm: float | None = Field(
        default=None,
        description="Least distance between opposing bone surfaces, ossification included and the "
        "joint's own surfaces left out, mm; 0 where ossification joins both sides.",
    )
    gap_ci95_mm: tuple[float, float] | None = None
    gap_ends_lps_mm: tuple[tuple[float, float, float], tuple[float, float, float]] | None = Field(
        default=None, description="Where it was measured: pelvic side, femoral side."
    )
    site_angle_deg: float | None = Field(
        default=None,
        description="Mean direction of the ossification from the femur, in the axial plane: 0 "
        "anterior, 90 medial, 180 posterior, 270 lateral.",
    )
    site_share: float | None = Field(
        default=None, description="Share of twelve sectors round the femur that it takes, 0 to 1."
    )
    head_centre_lps_mm: tuple[float, float, float] | None = None
    head_radius_mm: float | None = None
    brooker_equivalent: (
        Literal["0", "I", "II", "borderline II/III", "III", "IV (apparent)"] | None
    ) = Field(default=None, description="Brooker-equivalent (CT).")
    della_valle_equivalent: Literal["A", "B", "borderline B/C", "C"] | None = Field(
        default=None, description="Della Valle-equivalent (CT)."
    )
    mavrogenis_equivalent: Literal["1", "2", "3", "4"] | None = Field(
        default=None,
        description="Mavrogenis-equivalent (CT), site alone; its letter (a spinal cord, b brain "
        "injury) is clinical and is not given.",
    )
    flags: list[str] = Field(default_factory=list)


class Exam(ResultModel):
    """One exam as analysed: a CT study at a date, or one film."""

    exam_id: str
    modality: str
    study_instance_uid: str
    series_instance_uid: str
    days_from_baseline: int
    acquisition: Acquisition = Field(default_factory=Acquisition)
    findings: list[Finding] = Field(default_factory=list)
    labelmap: str | None = Field(default=None, description="Path relative to the report folder.")
    excluded_labelmap: str | None = Field(
        default=None, description="Path relative to the report folder."
    )
    anatomy: str | None = Field(
        default=None,
        description="Path relative to the report folder of the map of body (bit 1), native "
        "skeleton (2) and metal (4).",
    )
    outlines: list[Outline] = Field(default_factory=list)
    hips: list[Hip] = Field(
        default_factory=list, description="Hips that a lesion lies about; none is looked for else."
    )
    film: Film | None = Field(default=None, description="Of a radiograph; null for a CT.")


class BoneContact(ResultModel):
    """One patch of a lesion's surface that lies on native bone."""

    area_mm2: float
    centroid_lps_mm: tuple[float, float, float]
    bone: int = Field(
        description="Piece of native bone, from 1; pieces do not join within 30 mm of the lesion."
    )


class Observation(ResultModel):
    """One lesion in one exam. ``None`` is never zero: its reason stands in ``flags``."""

    exam_id: str
    status: Status
    label: int | None = Field(default=None, description="Value in the exam's label map.")
    volume_mm3: float | None = Field(
        default=None, description="V_env: filled half-maximum envelope, the primary size, mm3."
    )
    volume_ci95_mm3: tuple[float, float] | None = None
    threshold_volume_mm3: float | None = Field(
        default=None, description="V_min: volume at or above 150 HU (120 kVp equivalent), mm3."
    )
    threshold_volume_ci95_mm3: tuple[float, float] | None = None
    mineral_mass_hu_mm3: float | None = Field(
        default=None, description="Integrated excess attenuation over local background, HU mm3."
    )
    mineral_mass_ci95_hu_mm3: tuple[float, float] | None = None
    mineral_mass_mg: float | None = Field(
        default=None, description="Mineral mass in mg hydroxyapatite; only when calibrated."
    )
    mineral_mass_ci95_mg: tuple[float, float] | None = Field(
        default=None,
        description="Its 95 % interval: errors of the slope and of mineral_mass_hu_mm3.",
    )
    mean_mg_cm3: float | None = Field(
        default=None,
        description="Mean of mineral voxels over the soft tissue, mg hydroxyapatite per cm3.",
    )
    mineral_mass_k2hpo4_mg: float | None = Field(
        default=None,
        description="Mineral mass where the calibration is one of K2HPO4, in mg K2HPO4; never "
        "converted to hydroxyapatite.",
    )
    mineral_mass_k2hpo4_ci95_mg: tuple[float, float] | None = None
    mean_k2hpo4_mg_cm3: float | None = None
    mean_hu: float | None = Field(default=None, description="D_min: mean of mineral voxels, HU.")
    mean_ci95_hu: tuple[float, float] | None = None
    mean_over_cortex: float | None = Field(
        default=None, description="mean_hu over the patient's own cortex (cortex_hu) in that exam."
    )
    sd_hu: float | None = None
    median_hu: float | None = None
    p95_hu: float | None = None
    rim_fraction: float | None = Field(
        default=None, description="RIM: fraction of the surface with a cortex-like peak, 0 to 1."
    )
    rim_fraction_ci95: tuple[float, float] | None = None
    edge_ratio: float | None = Field(
        default=None, description="EDGE: 10-90 % edge width over that of the patient's own cortex."
    )
    edge_ratio_ci95: tuple[float, float] | None = None
    zone_contrast_hu: float | None = Field(
        default=None, description="ZONE: mean of the shell minus mean of the core, HU."
    )
    zone_contrast_ci95_hu: tuple[float, float] | None = None
    core_marrow_fraction: float | None = Field(
        default=None, description="CORE: fraction of the core that is marrow-like, 0 to 1."
    )
    core_marrow_fraction_ci95: tuple[float, float] | None = None
    max_diameter_mm: float | None = None
    max_diameter_ci95_mm: tuple[float, float] | None = None
    surface_area_mm2: float | None = None
    surface_area_ci95_mm2: tuple[float, float] | None = None
    sphericity: float | None = None
    centroid_lps_mm: tuple[float, float, float] | None = None
    distance_to_bone_mm: float | None = None
    touches_bone: bool | None = None
    bone_contact_area_mm2: float | None = Field(
        default=None, description="Area of the surface that lies on native bone, mm2."
    )
    bone_contacts: list[BoneContact] = Field(default_factory=list)
    bridges_bones: bool | None = Field(
        default=None, description="Whether it lies on two bones that do not join near it."
    )
    cleft_fraction: float | None = Field(
        default=None,
        description="Share of the surface facing bone that a lucent cleft separates from it, 0 to "
        "1; null where none is seen, since a narrow one would not be.",
    )
    cleft_width_mm: float | None = Field(
        default=None, description="Median width of that cleft, mm."
    )
    gap_to_second_bone_mm: float | None = Field(
        default=None,
        description="Distance to the nearest bone that it does not lie on, or to the second "
        "nearest where it lies on none, mm; within 30 mm.",
    )
    touches_fov: bool | None = None
    distance_to_metal_mm: float | None = None
    background_hu: float | None = Field(
        default=None, description="Local soft-tissue background, HU."
    )
    rim_profiles: int | None = Field(
        default=None, description="Number of surface profiles behind RIM and EDGE."
    )
    region_label: int | None = Field(
        default=None,
        description="Radiographs: label of the region that was given, also where nothing was "
        "outlined in it.",
    )
    area_mm2: float | None = Field(default=None, description="Radiographs: projected area, mm2.")
    area_ci95_mm2: tuple[float, float] | None = None
    area_px2: float | None = Field(
        default=None, description="Radiographs: the same in pixels, also without a pixel size."
    )
    area_ci95_px2: tuple[float, float] | None = None
    length_mm: float | None = Field(
        default=None, description="Radiographs: longest dimension of the shadow, mm."
    )
    length_ci95_mm: tuple[float, float] | None = None
    length_px: float | None = None
    corticated_fraction: float | None = Field(
        default=None,
        description="Radiographs: fraction of the outline with a cortex-like line, 0 to 1; what "
        "rim_fraction is on CT.",
    )
    corticated_fraction_ci95: tuple[float, float] | None = None
    density_index: float | None = Field(
        default=None, description="Radiographs: (lesion - soft) / (cortex - soft), same film."
    )
    density_index_ci95: tuple[float, float] | None = None
    contrast_to_noise: float | None = Field(
        default=None, description="Radiographs: the lesion's signal over the unevenness around it."
    )
    spacing_source: str | None = Field(
        default=None, description="Radiographs: where the pixel size comes from; see exams[].film."
    )
    flags: list[str] = Field(default_factory=list)


class Criterion(ResultModel):
    """One rule of the rule set with everything needed to check it by hand."""

    id: str
    name: str = ""
    value: float | None
    unit: str | None
    pass_at: str | None = Field(description="When the rule passes, e.g. '>= 0.75'.")
    fail_at: str | None
    result: CriterionResult
    evidence: str = Field(
        description="Evidence status: established, borrowed or default, in words."
    )
    note: str = ""


class Maturity(ResultModel):
    """The imaging-maturity label of a lesion at its latest exam, with its whole chain."""

    label: Label
    exam_id: str | None = Field(default=None, description="The exam that the label speaks of.")
    reasons: list[str] = Field(description="Reason codes; see docs/methods.md.")
    summary: str = Field(default="", description="The answer in one sentence.")
    criteria: list[Criterion]
    stage_ledermann: int | None = Field(
        default=None, description="Approximate Ledermann 2002 grade, 2 to 4."
    )
    earliest_informative_followup: date | None = Field(
        default=None,
        description="Earliest date from which a follow-up could rate stability (R4). With "
        "pseudonymous dates off the wire see earliest_informative_followup_day.",
    )
    earliest_informative_followup_day: int | None = Field(
        default=None, description="The same as days from baseline."
    )
    followup: FollowUp | None = Field(
        default=None, description="The kind of scan as well; null where nothing is open."
    )
    mature_since_exam: str | None = Field(
        default=None, description="First of the exams in a row that ends now, all labelled mature."
    )
    history: list[LabelAt] = Field(
        default_factory=list, description="The label at each exam that measured the lesion."
    )


class Lesion(ResultModel):
    """One tracked lesion: what was seen at every exam, what changed, and the label."""

    lesion_id: str
    tracking_uid: str
    observations: list[Observation]
    changes: list[Change]
    course: Course | None = None
    maturity: Maturity


class Excluded(ResultModel):
    """A candidate that was not called ossification, and why."""

    exam_id: str
    label: int = Field(description="Value in the exam's excluded label map.")
    reason: str
    volume_mm3: float
    centroid_lps_mm: tuple[float, float, float]
    note: str = ""
    inside_lps_mm: tuple[float, float, float] | None = Field(
        default=None, description="A point in it, LPS mm, with which --include names it."
    )


class RegisteredPart(ResultModel):
    """A bone or group of bones that was placed as one body, or that could not be placed."""

    accepted: bool
    bone_overlap: float | None = Field(default=None, description="Dice of its bone in common view.")
    residual_mm: float | None = Field(
        default=None, description="Median distance between the two surfaces of its bone, mm."
    )
    turn_deg: float | None = Field(
        default=None, description="How far it turned against the main part, degrees."
    )
    reason: str | None = None


class RegistrationSummary(ResultModel):
    """How one exam was placed onto another, and whether that is trusted."""

    from_exam: str
    to_exam: str
    accepted: bool
    bone_overlap: float | None = Field(default=None, description="Dice of bone in the common view.")
    residual_mm: float | None = Field(
        default=None,
        description="Median distance between the two surfaces of the main part's bone, mm.",
    )
    reason: str | None = None
    parts: list[RegisteredPart] = Field(
        default_factory=list,
        description="The main part first, then bones that moved on their own, then bone that "
        "could not be placed.",
    )


class Report(ResultModel):
    """The whole of ``report.json``."""

    schema_version: str = SCHEMA_VERSION
    software: str
    config_sha256: str
    statement: str = STATEMENT
    patient_key: str = Field(
        description="Keyed hash of the patient's identity, never the identity."
    )
    baseline_date: date | None = Field(
        default=None, description="Date of the first exam; null unless identity is shown."
    )
    onset_day: int | None = Field(
        default=None,
        description="Given day of injury or first symptom, in days from baseline; null if unknown.",
    )
    context: Context | None = Field(
        default=None, description="What a reader told about the patient; no label depends on it."
    )
    exams: list[Exam]
    lesions: list[Lesion]
    totals: Totals | None = None
    excluded: list[Excluded]
    registrations: list[RegistrationSummary] = Field(default_factory=list)


@dataclass(frozen=True, eq=False)
class ExamImages:
    """The pixels behind one exam of a report, for pictures, label maps and DICOM objects.

    Attributes:
        exam_id: As in the report.
        volume: The exam in HU on its own grid.
        lesions: Label map, uint16; values are ``Observation.label``.
        excluded: Label map, uint16; values are ``Excluded.label``.
        source_files: The DICOM files that the volume was read from, in slice order of the array's
            z axis; empty when it came from an array.
        resampled: Whether slices were moved onto the volume's grid (tilt, gaps, uneven steps), so
            that its planes are not the files' own.
        anatomy: Body, native skeleton and metal; None where nothing is to be measured again.
    """

    exam_id: str
    volume: CTVolume
    lesions: Mask
    excluded: Mask
    source_files: tuple[Path, ...] = ()
    resampled: bool = False
    anatomy: Anatomy | None = None


@dataclass(frozen=True, eq=False)
class PatientResult:
    """Everything that :func:`hoimg.report.write_report` needs.

    Attributes:
        report: The numbers, as in ``report.json``; its label map paths are filled on writing.
        images: By ``exam_id``.
        settings_toml: The resolved settings, as written beside the report.
        edits: A reader's corrections and what each did, as written beside the report; None for
            none.
        films: By ``exam_id``; of those read.
    """

    report: Report
    images: Mapping[str, ExamImages]
    settings_toml: str = ""
    edits: Edits | None = None
    films: Mapping[str, FilmImages] = field(default_factory=dict)
