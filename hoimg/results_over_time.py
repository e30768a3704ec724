"""The typed results that speak of more than one exam: changes, courses, totals, context.

Part of :mod:`hoimg.results`, from which they are imported; the rules stated there hold here.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Category = Literal[
    "new", "enlarging", "no_detectable_change", "shrinking", "resolved", "merged", "split"
]
Label = Literal["immature", "mature", "indeterminate"]
Trend = Literal["increasing", "decreasing", "no_detectable_trend"]


class ResultModel(BaseModel):
    """Nothing else than what is named, and null for a number that JSON lacks."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class Change(ResultModel):
    """What happened to a lesion between two exams."""

    from_exam: str
    to_exam: str
    days: int
    volume_change_pct: float | None = None
    volume_rc_pct: float | None = Field(
        default=None,
        description="Repeatability coefficient in force, percent of volume: that of the settings, "
        "or what the 95 % intervals of the two measurements allow where that is more (flag "
        "volume_rc_from_intervals) and the images do not show the growth (flag growth_in_images).",
    )
    mass_change_pct: float | None = None
    mass_rc_pct: float | None = None
    density_change_hu: float | None = None
    density_rc_hu: float | None = None
    volume_rc_settings_pct: float | None = Field(
        default=None, description="RC by the settings alone, before the intervals."
    )
    mass_rc_settings_pct: float | None = None
    density_rc_settings_hu: float | None = None
    rim_change: float | None = Field(
        default=None, description="Change of rim_fraction; shown, decides nothing."
    )
    rim_rc: float | None = None
    area_change_pct: float | None = Field(
        default=None,
        description="Radiographs: change of the projected area; with the flag "
        "area_change_of_outlines_together that of outlines drawn on both films at once, not of the "
        "areas of the observations.",
    )
    area_rc_pct: float | None = Field(
        default=None, description="Its repeatability coefficient in force, percent of the area."
    )
    category: Category
    comparable: bool = Field(
        default=True, description="Whether both exams were made alike enough for the serial test."
    )
    parents: list[str] = Field(
        default_factory=list, description="lesion_id of the lesions that merged or split."
    )
    flags: list[str] = Field(default_factory=list)


class LeftOut(ResultModel):
    """An exam or a lesion that a number does not speak of, and why."""

    exam_id: str | None = None
    lesion_id: str | None = None
    reasons: list[str]


class Course(ResultModel):
    """A lesion's volume over three or more comparable exams: a straight line in its logarithm."""

    n: int = Field(description="Measurements that the line goes through, or would.")
    exams: list[str] = Field(default_factory=list, description="Their exams, in date order.")
    from_exam: str | None = None
    to_exam: str | None = None
    days: int | None = Field(default=None, description="From the first to the last of them.")
    rate_pct_per_year: float | None = Field(
        default=None, description="Annualised; null with the reason in flags."
    )
    rate_ci95_pct_per_year: tuple[float, float] | None = None
    doubling_days: float | None = Field(
        default=None, description="Days to twice the volume, only where it grows beyond doubt."
    )
    trend: Trend | None = Field(
        default=None, description="By whether the interval of the rate holds zero."
    )
    start_mm3: float | None = Field(default=None, description="The line at from_exam, mm3.")
    end_mm3: float | None = Field(default=None, description="The line at to_exam, mm3.")
    left_out: list[LeftOut] = Field(default_factory=list)
    flags: list[str] = Field(default_factory=list)


class TotalChange(ResultModel):
    """How the total changed since an earlier exam. Negative is less ossification; never clipped."""

    from_exam: str
    days: int
    lesions: list[str] = Field(
        description="Compared: evaluable at both exams, new and resolved ones included."
    )
    volume_change_mm3: float | None = None
    volume_change_ci95_mm3: tuple[float, float] | None = None
    volume_change_pct: float | None = None
    volume_rc_pct: float | None = None
    annualised_mm3_per_year: float | None = None
    annualised_pct_per_year: float | None = None
    comparable: bool = True
    complete: bool = Field(description="Whether every lesion of both exams is compared.")
    left_out: list[LeftOut] = Field(default_factory=list)
    flags: list[str] = Field(default_factory=list)


class RegionTotal(ResultModel):
    """What lies in one region of the body at one exam."""

    region: str | None = Field(description="Null where nothing tells the region.")
    lesions: list[str] = Field(description="Its lesions with a volume at this exam.")
    volume_mm3: float | None = Field(description="Null where none of its lesions is evaluable.")
    volume_ci95_mm3: tuple[float, float] | None = None
    new_volume_mm3: float | None = None
    complete: bool
    since_previous: TotalChange | None = None
    since_baseline: TotalChange | None = None


class ExamTotal(ResultModel):
    """All lesions of the patient at one exam."""

    exam_id: str
    lesions: int = Field(description="Lesions with a volume.")
    volume_mm3: float | None = Field(
        default=None, description="Sum; null where nothing of the exam is evaluable."
    )
    volume_ci95_mm3: tuple[float, float] | None = Field(
        default=None, description="Sum of the limits: errors within an exam taken as one."
    )
    mineral_mass_hu_mm3: float | None = None
    mineral_mass_ci95_hu_mm3: tuple[float, float] | None = None
    complete: bool = Field(
        description="False: lesions that are there, or may be, are not in the sum or only in part."
    )
    not_evaluable: list[LeftOut] = Field(default_factory=list)
    new_lesions: list[str] = Field(
        default_factory=list,
        description="Not there at the exam before that shows their place, and there now.",
    )
    new_volume_mm3: float | None = Field(default=None, description="Of new_lesions, at this exam.")
    new_since_baseline: list[str] = Field(
        default_factory=list, description="Not there when their place was first seen."
    )
    new_since_baseline_volume_mm3: float | None = None
    first_in_view: list[str] = Field(
        default_factory=list,
        description="Measured here first, and no earlier exam shows their place: not called new.",
    )
    resolved: list[str] = Field(default_factory=list)
    regions: list[RegionTotal] = Field(default_factory=list)
    since_previous: TotalChange | None = None
    since_baseline: TotalChange | None = None
    flags: list[str] = Field(default_factory=list)


class Totals(ResultModel):
    """The patient as a whole, exam by exam."""

    exams: list[ExamTotal]
    region_of: dict[str, str | None] = Field(
        default_factory=dict, description="Region by lesion_id; null: nothing tells it."
    )
    region_source: dict[str, str] = Field(
        default_factory=dict, description="What told it, or why it is null, by lesion_id."
    )


class LabelAt(ResultModel):
    """What the label would have been at an exam, from what was known up to then."""

    exam_id: str
    day: int
    label: Label
    reasons: list[str]
    stage_ledermann: int | None = None


class Need(ResultModel):
    """One thing that a follow-up scan has to be for the lesion to be judged on it."""

    code: str
    text: str


class FollowUp(ResultModel):
    """From when, and by what kind of scan, the lesion could be judged. No advice to scan."""

    earliest_day: int | None = Field(
        default=None, description="Days from baseline; null: no scan of this kind settles it."
    )
    earliest_date: date | None = None
    scans: int | None = Field(
        default=None,
        description="1: one more; 2: the exam judged cannot be compared with, so that a first scan "
        "and one made alike later are needed.",
    )
    like_exam: str | None = Field(default=None, description="The exam to be made alike to.")
    needs: list[Need] = Field(default_factory=list)
    flags: list[str] = Field(default_factory=list)


Aetiology = Literal[
    "spinal_cord_injury", "brain_injury", "other_neurogenic", "arthroplasty", "other_surgery",
    "trauma", "burn", "fop", "other", "unknown",
]  # fmt: skip
LabName = Literal["alkaline_phosphatase", "c_reactive_protein", "esr", "creatine_kinase", "other"]
BoneScan = Literal["increased", "not_increased", "equivocal"]


class Laboratory(ResultModel):
    """One laboratory value; shown, never used for a label."""

    name: LabName
    value: float = Field(allow_inf_nan=False)
    unit: str = Field(min_length=1, max_length=16, pattern=r"^[A-Za-zµ0-9/.^%* -]+$")
    day: int = Field(description="Days from baseline, may be negative.")
    upper_limit: float | None = Field(
        default=None, allow_inf_nan=False, description="Upper limit of normal, same unit."
    )


class BoneScanResult(ResultModel):
    """Uptake of the lesions on a bone scan; shown, never used for a label."""

    day: int
    uptake: BoneScan


class Context(ResultModel):
    """What a reader told about the patient. It is shown; no label depends on it."""

    aetiology: Aetiology | None = None
    laboratory: list[Laboratory] = Field(default_factory=list)
    bone_scans: list[BoneScanResult] = Field(default_factory=list)
