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

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hoimg.image import CTVolume, Mask
from hoimg.results_exam import Acquisition as Acquisition
from hoimg.results_exam import Calibration as Calibration
from hoimg.results_exam import Exam as Exam
from hoimg.results_exam import Finding as Finding
from hoimg.results_exam import Hip as Hip
from hoimg.results_exam import Level as Level
from hoimg.results_exam import Outline as Outline
from hoimg.results_exam import PsfSource as PsfSource
from hoimg.results_film import Film as Film
from hoimg.results_film import FilmImages as FilmImages
from hoimg.results_film import OutlineOnFilm as OutlineOnFilm
from hoimg.results_film import Suggestion as Suggestion
from hoimg.results_observation import BoneContact as BoneContact
from hoimg.results_observation import Observation as Observation
from hoimg.results_observation import Status as Status
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
from hoimg.results_reader import ReaderEdit as ReaderEdit

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

CriterionResult = Literal["pass", "fail", "intermediate", "unrated"]


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
    reader_decision: Literal["accepted", "relabelled"] | None = Field(
        default=None, description="A reader's last word on the label; see Report.reader."
    )
    reader_label: Label | None = Field(
        default=None,
        description="The reader's own maturity label where relabelled. maturity.label stays the "
        "computed one.",
    )


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
        description="Median distance between the two surfaces of the main part's bone, mm. Of "
        "films: how far blocks of bone lie from their place, 80th percentile, mm of the earlier.",
    )
    reason: str | None = None
    tracking_uid: str | None = Field(
        default=None,
        description="The lesion by whose surroundings a film was placed; null where the exams "
        "were placed as a whole.",
    )
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
    reader: list[ReaderEdit] = Field(
        default_factory=list, description="What readers decided, in the order of edits.json."
    )


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
class Link:
    """Where the surroundings of a lesion lie in another exam than its reference.

    Attributes:
        matrix_lps: 4x4 rigid matrix, LPS points of the reference exam to LPS points of this one,
            mm; None where the place is not known.
        by: ``registration``, or ``centres`` where that was rejected and the lesion's centroids
            were put upon each other without a turn; None without a matrix.
        reason: Why it is not by the registration, a reason code; None when it is.
    """

    matrix_lps: NDArray[np.float64] | None
    by: Literal["registration", "centres"] | None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Links:
    """How the exams show one lesion's place, for a reader who compares them.

    Attributes:
        exam_id: The reference: the exam that the label speaks of, or else the last that shows it.
        to: By exam_id of every other CT that was read.
    """

    exam_id: str
    to: Mapping[str, Link]


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
        links: By ``tracking_uid`` of the lesions that a CT shows.
    """

    report: Report
    images: Mapping[str, ExamImages]
    settings_toml: str = ""
    edits: Edits | None = None
    films: Mapping[str, FilmImages] = field(default_factory=dict)
    links: Mapping[str, Links] = field(default_factory=dict)
