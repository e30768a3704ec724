"""The typed results that speak of one exam: how it was made, findings, outlines, hips.

Part of :mod:`hoimg.results`, from which they are imported; the rules stated there hold here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hoimg.results_film import Film, OutlineOnFilm, Suggestion
from hoimg.results_over_time import ResultModel

PsfSource = Literal["cortex", "skin", "slice_thickness", "usual"]
Level = Literal["info", "warning", "error"]


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
    contrast: bool | None = Field(
        default=None, description="Contrast agent named in the header, or seen in the image."
    )
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
    sha256: str = Field(
        description="Of its voxels: whether it was redrawn since shows by it. Empty: on a film "
        "other outlines cover it wholly."
    )
    on_film: OutlineOnFilm | None = Field(default=None, description="Of a film's; null on CT.")


class Hip(ResultModel):
    """One hip that lesions of an exam lie about. On CT grades are equivalents of those on films.

    On a film all is of shadows: joined and bridged are apparent, the gap is that of the projection.
    """

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
        "joint's own surfaces left out, mm; 0 where ossification joins both sides. On a film in mm "
        "of its spacing_source; at the detector it is longer than in the patient.",
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
    plane: Literal["frontal", "lateral"] | None = Field(
        default=None, description="Of the film; this and what follows is null on CT."
    )
    overlying: list[int] = Field(
        default_factory=list,
        description="Of labels: within a bone's shadow all round, so that the film does not show "
        "whether they are one with it.",
    )
    gap_px: float | None = Field(
        default=None, description="The gap in pixels along rows; 0: apparently bridged."
    )
    gap_ends_yx: tuple[tuple[float, float], tuple[float, float]] | None = Field(
        default=None,
        description="Where it was measured, row and column of pixels whose centres are whole "
        "numbers: pelvic side, femoral side.",
    )
    largest_island_mm: float | None = None
    head_centre_yx: tuple[float, float] | None = Field(default=None, description="Likewise.")
    head_radius_px: float | None = Field(default=None, description="Along columns.")
    landmarks: Literal["given", "found"] | None = None
    brooker: Literal["0", "I", "II", "borderline II/III", "III", "IV (apparent)"] | None = Field(
        default=None, description="From a frontal film."
    )
    della_valle: Literal["A", "B", "borderline B/C", "C"] | None = Field(
        default=None, description="From a frontal film."
    )
    biplanar: Literal["1", "borderline 1/2", "2"] | None = Field(
        default=None, description="From a frontal and a lateral film of one day."
    )
    lateral_exam: str | None = Field(
        default=None, description="The lateral film that biplanar takes, an exam_id."
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
    regions: str | None = Field(
        default=None,
        description="Path relative to the report folder of a film's map of the regions that were "
        "given; null without any.",
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
    suggestions: list[Suggestion] = Field(
        default_factory=list,
        description="On a film: for a reader to confirm; not among the lesions.",
    )
