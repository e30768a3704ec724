"""Rules of one exam: R1 rim, R2 margin, R3 inside, R5 age, R6 reverse zoning.

Each rule is a pure function that returns value, thresholds, result and evidence status. The
concepts of R1, R2 and R6 are established; none of their numbers is.
"""

from __future__ import annotations

from dataclasses import dataclass

from hoimg.maturity.gate import effective_slice_mm
from hoimg.results import Acquisition, Criterion, CriterionResult, Observation
from hoimg.settings import MaturitySettings

CONCEPT = "concept established; number default (engineering choice)"


@dataclass(frozen=True)
class Limits:
    """The two limits of a rule; a value at a limit has reached it.

    Attributes:
        passes: From here on the rule passes.
        fails: From here on, the other way, it fails.
        upwards: Whether greater values are riper.
    """

    passes: float
    fails: float
    upwards: bool

    def rate(self, value: float | None) -> CriterionResult:
        """A value by the limits; unrated without one."""
        if value is None:
            return "unrated"
        sign = 1.0 if self.upwards else -1.0
        if sign * value >= sign * self.passes:
            return "pass"
        return "fail" if sign * value <= sign * self.fails else "intermediate"

    def criterion(
        self,
        id_: str,
        name: str,
        value: float | None,
        unit: str,
        result: CriterionResult,
        note: str,
    ) -> Criterion:
        """The rule with its limits in words."""
        passes, fails = (">=", "<=") if self.upwards else ("<=", ">=")
        return Criterion(
            id=id_,
            name=name,
            value=value,
            unit=unit,
            pass_at=f"{passes} {self.passes:g}",
            fail_at=f"{fails} {self.fails:g}",
            result=result,
            evidence=CONCEPT,
            note=note,
        )


def rim_limits(settings: MaturitySettings) -> Limits:
    """Of R1, on CT and on films."""
    return Limits(settings.rim_pass, settings.rim_fail, upwards=True)


def margin_limits(settings: MaturitySettings) -> Limits:
    """Of R2, on CT and on films."""
    return Limits(settings.edge_pass, settings.edge_fail, upwards=False)


def r1_rim(
    observation: Observation, acquisition: Acquisition, settings: MaturitySettings
) -> Criterion:
    """R1: the fraction of the surface that carries a cortex-like rim (higher is riper)."""
    value, limits = observation.rim_fraction, rim_limits(settings)
    note = _why_unrated(value, acquisition, settings)
    result = "unrated" if note else limits.rate(value)
    return limits.criterion("R1", "cortical rim", value, "fraction of the surface", result, note)


def r2_margin(
    observation: Observation, acquisition: Acquisition, settings: MaturitySettings
) -> Criterion:
    """R2: edge width relative to the patient's own normal cortex (lower is riper)."""
    value, limits = observation.edge_ratio, margin_limits(settings)
    note = _why_unrated(value, acquisition, settings)
    result = "unrated" if note else limits.rate(value)
    return limits.criterion(
        "R2", "sharp margin", value, "times the own cortex's edge", result, note
    )


def r3_inside(observation: Observation, settings: MaturitySettings) -> Criterion:
    """R3: marrow inside supports ripeness; its absence says nothing, so R3 never fails."""
    value = observation.core_marrow_fraction
    result: CriterionResult = "unrated"
    if value is not None:
        result = "pass" if value >= settings.core_pass else "intermediate"
    return Criterion(
        id="R3",
        name="marrow inside (supportive only)",
        value=value,
        unit="fraction of the core",
        pass_at=f">= {settings.core_pass:g}",
        fail_at=None,
        result=result,
        evidence="supportive only; number default (engineering choice)",
        note="not measured" if value is None else "",
    )


def r5_age(age_days: int | None, settings: MaturitySettings) -> Criterion:
    """R5: a *known* age below ``age_min_days`` blocks mature; an unknown age blocks nothing.

    Args:
        age_days: Days from the known onset to the exam judged, or None.
        settings: Thresholds.
    """
    limit = settings.age_min_days
    result: CriterionResult = "unrated"
    if age_days is not None:
        result = "pass" if age_days >= limit else "fail"
    return Criterion(
        id="R5",
        name="age of the lesion",
        value=None if age_days is None else float(age_days),
        unit="days",
        pass_at=f">= {limit}",
        fail_at=f"< {limit}",
        result=result,
        evidence="from the published course (zoning at 5-8 weeks)",
        note="onset not given" if age_days is None else "",
    )


def r6_zoning(observation: Observation, settings: MaturitySettings) -> Criterion:
    """R6: a shell darker than the core by more than ``reverse_zone_hu`` is a red flag."""
    value = observation.zone_contrast_hu
    limit = settings.reverse_zone_hu
    result: CriterionResult = "unrated"
    if value is not None:
        result = "fail" if value < -limit else "pass"
    return Criterion(
        id="R6",
        name="no reverse zoning",
        value=value,
        unit="HU (shell minus core)",
        pass_at=f">= {-limit:g}",
        fail_at=f"< {-limit:g}",
        result=result,
        evidence=CONCEPT,
        note="red flag: centre denser than the rim" if result == "fail" else "",
    )


def _why_unrated(value: float | None, acquisition: Acquisition, settings: MaturitySettings) -> str:
    """Why a surface rule cannot be rated, or an empty string."""
    thickness = effective_slice_mm(acquisition)
    if thickness is None:
        return "slice thickness unknown"
    if thickness > settings.rim_max_slice_mm:
        return f"slices of {thickness:g} mm are too thick (limit {settings.rim_max_slice_mm:g} mm)"
    return "not measured" if value is None else ""
