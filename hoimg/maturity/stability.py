"""R4, the serial test: did volume, mass and density stay within their repeatability?

It works on the changes alone (their repeatability coefficients were set by the serial stage) and
looks three ways, because the worst error is a growing lesion called mature:

1. against the most recent usable prior at least ``serial_min_days`` older (the reference);
2. against every usable exam since that reference: growth on the last interval counts, however
   short;
3. against older exams, for a rise in steps below the repeatability coefficient: a rise beyond it
   that no later exam shows to have slowed is still going on. A lesion that grew and then came to
   rest is not held back by its past.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hoimg.maturity import flags
from hoimg.results import Change, Criterion, CriterionResult, Observation
from hoimg.settings import MaturitySettings

Metric = Literal["volume", "mass", "density"]
METRICS: tuple[Metric, ...] = ("volume", "mass", "density")
EVIDENCE = {
    "volume": "repeatability borrowed from calcium and nodule rescans",
    "mass": "repeatability default (engineering choice)",
    "density": "repeatability default (engineering choice)",
}


@dataclass(frozen=True)
class Step:
    """One metric between an earlier exam and the exam judged.

    Attributes:
        change: In ``unit``: percent of the earlier value (volume, mass) or HU (density).
        limit: The repeatability coefficient in force, in the same unit.
        unit: ``%`` or ``HU``.
        known: The coefficient by the settings, where the measurements' own intervals widened it.
    """

    change: float
    limit: float
    unit: str
    known: float

    @property
    def unclear(self) -> bool:
        """An increase beyond the coefficient that only the measurements' intervals excuse."""
        return self.known < self.change <= self.limit

    @property
    def direction(self) -> int:
        """1 for an increase beyond the coefficient, -1 for a decrease beyond it, else 0."""
        return (self.change > self.limit) - (self.change < -self.limit)

    @property
    def amount(self) -> float:
        """The change on a scale on which rates add up: logarithm for percent, HU as it is."""
        if self.unit == "HU":
            return self.change
        return math.log(max(1 + self.change / 100, 1e-6))


@dataclass(frozen=True)
class Stability:
    """The outcome of R4.

    Attributes:
        criteria: R4 and its three parts.
        result: Of R4 as a whole.
        reasons: Reason codes: of the failure, of why it is unrated, or of how it passed.
        limits: Repeatability coefficients in force for the change shown, in words; may be empty.
    """

    criteria: list[Criterion]
    result: CriterionResult
    reasons: list[str]
    limits: str = ""


def step(change: Change, metric: Metric) -> Step | None:
    """The change of one metric with its coefficient; None where either is missing."""
    value, limit, known, unit = {
        "volume": (
            change.volume_change_pct,
            change.volume_rc_pct,
            change.volume_rc_settings_pct,
            "%",
        ),
        "mass": (change.mass_change_pct, change.mass_rc_pct, change.mass_rc_settings_pct, "%"),
        "density": (
            change.density_change_hu,
            change.density_rc_hu,
            change.density_rc_settings_hu,
            "HU",
        ),
    }[metric]
    if value is None or limit is None or not (math.isfinite(value) and math.isfinite(limit)):
        return None
    return Step(value, limit, unit, limit if known is None else known)


def prior_is_usable(prior: Observation, settings: MaturitySettings) -> bool:
    """Whether an earlier observation is whole and undisturbed enough to compare with.

    Its size does not matter here: a lesion that was small and grew has grown.
    """
    near = prior.distance_to_metal_mm
    return (
        prior.status == "measured"
        and prior.touches_fov is not True
        and not flags.has_any(
            prior.flags, flags.CUT | flags.GAP | flags.STREAK | flags.CONTRAST | flags.NEAR_METAL
        )
        and (near is None or near >= settings.gate_metal_distance_mm)
    )


def r4_serial(
    latest_exam: str,
    observations: Mapping[str, Observation],
    changes: Sequence[Change],
    days: Mapping[str, int],
    settings: MaturitySettings,
) -> Stability:
    """Rate R4 for the exam judged.

    Args:
        latest_exam: The exam judged.
        observations: By exam_id.
        changes: Of this lesion; those that end at the exam judged are used.
        days: Days from baseline by exam_id.
        settings: Thresholds.

    Returns:
        The rating; unrated, with the reason, where no usable prior is old enough and nothing
        increased.
    """
    judged = days[latest_exam]
    priors = [
        c
        for c in changes
        if c.to_exam == latest_exam
        and c.category not in ("new", "resolved")
        and c.from_exam in observations
        and days[c.from_exam] < judged
    ]
    priors.sort(key=lambda c: days[c.from_exam], reverse=True)
    usable = [
        c for c in priors if c.comparable and prior_is_usable(observations[c.from_exam], settings)
    ]
    old = [c for c in usable if judged - days[c.from_exam] >= settings.serial_min_days]
    reference = next((c for c in old if _complete(c) and _same_identity(c)), None)
    window = _window(usable, old, reference, days)

    rising = [m for m in METRICS if any(_direction(c, m) > 0 for c in window)]
    creeping = [
        m for m in METRICS if m not in rising and _creeps(usable, m, days, judged, settings)
    ]
    shown = reference or (old[0] if old else (usable[0] if usable else None))
    unclear = any(
        s is not None and s.unclear for c in window for m in METRICS for s in [step(c, m)]
    )
    wide = reference is not None and any(
        s is not None and s.limit > settings.serial_max_widening * s.known
        for s in (step(reference, m) for m in METRICS)
    )
    reasons, result = _outcome(
        rising, creeping, reference, usable, old, priors, unclear=unclear, wide=wide
    )
    interval = None if shown is None else judged - days[shown.from_exam]
    head = Criterion(
        id="R4",
        name="unchanged over time",
        value=None if interval is None else float(interval),
        unit="days since the prior compared with",
        pass_at=f">= {settings.serial_min_days} days and volume, mass, density within "
        "their repeatability",
        fail_at="any increase beyond its repeatability",
        result=result,
        evidence="84 days default (guided by 81 days for nodules)",
        note=", ".join(reasons) + (f"; compared with {shown.from_exam}" if shown else ""),
    )
    parts = [_part(m, shown, m in rising, m in creeping) for m in METRICS]
    return Stability([head, *parts], result, reasons, _limits(shown))


def _limits(shown: Change | None) -> str:
    found = {m: step(shown, m) for m in METRICS} if shown is not None else {}
    known = [f"{m} {s.limit:.3g} {s.unit}" for m, s in found.items() if s is not None]
    return f"RC: {', '.join(known)}" if known else ""


def _outcome(
    rising: list[Metric],
    creeping: list[Metric],
    reference: Change | None,
    usable: list[Change],
    old: list[Change],
    priors: list[Change],
    *,
    unclear: bool,
    wide: bool,
) -> tuple[list[str], CriterionResult]:
    if rising or creeping:
        found = [f"{m}_increase" for m in rising] + [f"slow_{m}_increase" for m in creeping]
        return found, "fail"
    if reference is not None and unclear:
        return ["stability_untested", "increase_within_uncertainty"], "unrated"
    if wide:
        return ["stability_untested", "measurement_too_uncertain"], "unrated"
    if reference is not None:
        falling = any(_direction(reference, m) < 0 for m in METRICS)
        return ["regressing" if falling else "no_detectable_change"], "pass"
    if not priors:
        return ["stability_untested"], "unrated"
    if not usable:
        return ["stability_untested", "prior_not_comparable"], "unrated"
    if not old:
        return ["stability_untested", "interval_too_short"], "unrated"
    if not any(_same_identity(c) for c in old):
        return ["stability_untested", "merged_or_split"], "unrated"
    return ["stability_untested", "change_not_measured"], "unrated"


def _window(
    usable: list[Change], old: list[Change], reference: Change | None, days: Mapping[str, int]
) -> list[Change]:
    """Changes on which an increase fails R4: since the reference, or else since the youngest
    exam that is old enough, or else all."""
    start = reference or (old[0] if old else None)
    if start is None:
        return usable
    return [c for c in usable if days[c.from_exam] >= days[start.from_exam]]


def _creeps(
    usable: list[Change],
    metric: Metric,
    days: Mapping[str, int],
    judged: int,
    settings: MaturitySettings,
) -> bool:
    """Whether a rise beyond its coefficient since some exam has not slowed at any exam since."""
    seen: list[tuple[int, Step]] = []
    for change in usable:
        found = step(change, metric)
        if found is not None:
            seen.append((judged - days[change.from_exam], found))
    for k, (span, rise) in enumerate(seen):
        if rise.direction <= 0:
            continue
        least = settings.slow_rise_fraction * rise.amount / span
        if all(later.amount >= least * gap for gap, later in seen[:k]):
            return True
    return False


def _direction(change: Change, metric: Metric) -> int:
    found = step(change, metric)
    return 0 if found is None else found.direction


def _complete(change: Change) -> bool:
    return all(step(change, metric) is not None for metric in METRICS)


def _same_identity(change: Change) -> bool:
    return change.category not in ("merged", "split")


def _part(metric: Metric, change: Change | None, rising: bool, creeping: bool) -> Criterion:
    found = None if change is None else step(change, metric)
    result: CriterionResult = "unrated"
    if rising or creeping:
        result = "fail"
    elif found is not None:
        result = "intermediate" if found.unclear else "pass"
    note = ""
    if creeping:
        note = "a slow rise beyond its repeatability since an older exam goes on"
    elif rising and found is not None and found.direction <= 0:
        note = "increase since a later exam"
    elif found is not None and found.direction < 0:
        note = "true decrease, compatible with maturity"
    elif found is not None and found.unclear:
        note = "increase that only the uncertainty of the two measurements excuses"
    return Criterion(
        id=f"R4.{metric}",
        name=f"change of {metric}",
        value=None if found is None else found.change,
        unit="HU" if metric == "density" else "%",
        pass_at=None if found is None else f"<= {found.known:.3g}",
        fail_at=None if found is None else f"> {found.limit:.3g}",
        result=result,
        evidence=EVIDENCE[metric],
        note=note,
    )
