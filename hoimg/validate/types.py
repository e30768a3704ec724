"""What scoring gives; :class:`Validation` is the whole of ``validation.json``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.0"


class _Score(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LesionScore(_Score):
    """One true lesion in one exam against what was called there."""

    case: str
    exam: int
    lesion: str
    family: str | None = None
    where: str | None = None
    stage: float | None = None
    truth_mm3: float = Field(description="True volume: sub-voxel where case.json has it, mm3.")
    found: bool
    called: int | None = Field(default=None, description="Label of the best overlapping lesion.")
    dice: float = Field(description="Dice with that lesion; 0 without one.")
    covered: float = Field(default=0.0, description="Part of the truth that it contains, 0 to 1.")
    called_mm3: float | None = Field(
        default=None, description="Its reported volume, mm3; null when not found."
    )
    volume_error_pct: float | None = Field(
        default=None, description="Reported minus true volume in per cent of the true one."
    )
    surface_mean_mm: float | None = Field(
        default=None, description="Mean distance of the two surfaces, both ways, mm."
    )
    surface_p95_mm: float | None = Field(
        default=None, description="95th percentile of those distances, mm."
    )
    pieces: int = Field(
        default=0, description="Called lesions that lie by more than half in this truth."
    )
    merged: bool = Field(
        default=False, description="The best lesion also holds another truth's place."
    )
    left_out: str | None = Field(
        default=None,
        description="Why a truth that was not found was left out: reason and note of the excluded "
        "piece that holds most of it; null when found, or when none holds a tenth of it.",
    )


class FalseLesion(_Score):
    """A called lesion that is no true one."""

    case: str
    exam: int
    family: str | None = None
    called: int
    volume_mm3: float
    centroid_lps_mm: tuple[float, float, float]
    in_truth: float = Field(description="Part of it that lies in some truth, 0 to 1/2.")


class ExamScore(_Score):
    """One exam."""

    case: str
    exam: int
    family: str | None = None
    seconds: float | None = None
    called: int = Field(description="Lesions that were called.")
    lesions: tuple[LesionScore, ...] = ()
    false_lesions: tuple[FalseLesion, ...] = ()


class LabelPair(_Score):
    """The maturity label of one true lesion at its last exam, expected and given."""

    case: str
    lesion: str
    truth: str
    called: str = Field(description="A label, or ``not_found``.")


class CaseScore(_Score):
    """One case: its exams, or why it has no score."""

    case: str
    exams: tuple[ExamScore, ...] = ()
    labels: tuple[LabelPair, ...] = ()
    failed: str | None = None
    skipped: str | None = None


class Estimate(_Score):
    """A number with its 95 % interval; null without anything to compute it from."""

    value: float | None
    low: float | None = None
    high: float | None = None


class GroupScore(_Score):
    """Numbers of one group of lesions."""

    name: str
    lesions: int
    found: int
    sensitivity: Estimate
    dice: Estimate = Field(description="Median over the found.")
    dice_p10: float | None = Field(default=None, description="10th percentile over the found.")
    surface_mean_mm: Estimate = Field(description="Median over the found.")
    surface_p95_mm: Estimate = Field(description="Median over the found.")
    volume_error_pct: Estimate = Field(description="Median of the absolute error of the found.")
    volume_bias_pct: Estimate = Field(description="Median of the signed error of the found.")
    split: int = Field(description="Truths in which two or more called lesions lie.")
    merged: int = Field(description="Truths whose lesion also holds another truth's place.")


class FalseScore(_Score):
    """False lesions of one group of scans."""

    name: str
    scans: int
    false_lesions: int
    per_scan: Estimate
    largest_mm3: float | None = None


class Validation(_Score):
    """The whole of ``validation.json``."""

    schema_version: str = SCHEMA_VERSION
    software: str
    settings_sha256: str
    guidance: str
    cases: tuple[CaseScore, ...]
    groups: tuple[GroupScore, ...]
    false_groups: tuple[FalseScore, ...]
    confusion: dict[str, dict[str, int]] = Field(
        description="Expected maturity label to given label to number of lesions."
    )

    @property
    def exams(self) -> list[ExamScore]:
        """All exams that were scored."""
        return [exam for case in self.cases for exam in case.exams]

    @property
    def failed(self) -> list[CaseScore]:
        """Cases that could not be scored."""
        return [case for case in self.cases if case.failed is not None]
