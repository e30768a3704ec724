"""The course of a lesion over three or more exams: a straight line in the logarithm of its volume.

Weighted least squares. The error of a measurement is known beforehand: the larger of its own 95 %
interval and the repeatability that two exams are compared with, so that a course and a pair speak
with one voice. The 95 % interval of the slope is 1.96 times its error by those. Where the points
scatter about the line more than such errors explain (chi-squared beyond its 95 % point), the line
is not the whole story: the course is flagged, and its interval is that of the scatter, by
Student's t with n - 2 degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from hoimg.results import Acquisition, Change, Course, LeftOut, Observation, Trend
from hoimg.serial.change import comparability, incomparable_in
from hoimg.serial.repeatability import rc_volume_pct
from hoimg.settings import SerialSettings

DAYS_PER_YEAR = 365.25
NORMAL_95 = 1.96
RC_PER_SD = 2.77
LARGEST_EXPONENT = 50.0


def fit_course(
    observations: Sequence[Observation],
    changes: Sequence[Change],
    acquisitions: Mapping[str, Acquisition],
    days: Mapping[str, int],
    settings: SerialSettings,
) -> Course:
    """The course of one tracked lesion.

    Args:
        observations: Of the lesion, at most one per exam.
        changes: Of the lesion; a merge or split in them begins the course anew.
        acquisitions: By exam_id.
        days: Days from baseline by exam_id.
        settings: Repeatability and comparability.

    Returns:
        A rate with its interval, or null with the reason in ``flags``: ``too_few_exams``,
        ``too_few_comparable_exams``, ``no_interval``. Exams that measured the lesion and are left
        out stand in ``left_out``. Flags of a rate: ``not_log_linear``, ``annualised_beyond_span``
        (less than a year was seen).
    """
    ordered = sorted(
        (o for o in observations if o.status == "measured"), key=lambda o: days[o.exam_id]
    )
    left: dict[str, list[str]] = {}
    usable = []
    start = _begins(ordered, changes, days)
    for seen in ordered:
        reasons = incomparable_in([seen], [seen], settings)
        if seen.volume_mm3 is None or seen.volume_mm3 <= 0:
            reasons.append("volume_not_measured")
        if days[seen.exam_id] < start:
            reasons.append("before_merge_or_split")
        if reasons:
            left[seen.exam_id] = reasons
        else:
            usable.append(seen)
    kept, others = _alike(usable, acquisitions, settings)
    left |= others
    base = Course(
        n=len(kept),
        exams=[o.exam_id for o in kept],
        from_exam=kept[0].exam_id if kept else None,
        to_exam=kept[-1].exam_id if kept else None,
        days=days[kept[-1].exam_id] - days[kept[0].exam_id] if kept else None,
        left_out=[
            LeftOut(exam_id=o.exam_id, reasons=left[o.exam_id])
            for o in ordered
            if o.exam_id in left
        ],
    )
    if len(kept) < settings.course_min_exams:
        enough = len(ordered) >= settings.course_min_exams
        why = "too_few_comparable_exams" if enough else "too_few_exams"
        return base.model_copy(update={"flags": [why]})
    return _fitted(base, kept, [days[o.exam_id] for o in kept], settings)


def _begins(
    ordered: Sequence[Observation], changes: Sequence[Change], days: Mapping[str, int]
) -> int:
    """Day from which the lesion is one and the same: that of its last merge or split."""
    own = {o.exam_id for o in ordered}
    turns = [
        days[c.to_exam] for c in changes if c.category in ("merged", "split") and c.to_exam in own
    ]
    return max(turns, default=-(10**9))


def _alike(
    usable: Sequence[Observation],
    acquisitions: Mapping[str, Acquisition],
    settings: SerialSettings,
) -> tuple[list[Observation], dict[str, list[str]]]:
    """The largest group of exams each comparable with all others, the latest of equal ones.

    From every exam as the first member, the others join from the latest to the earliest.
    """

    def between(a: Observation, b: Observation) -> list[str]:
        one, other = (acquisitions.get(o.exam_id, Acquisition()) for o in (a, b))
        return [*comparability(one, other, settings), *incomparable_in([a], [b], settings)]

    why = {frozenset((a.exam_id, b.exam_id)): between(a, b) for a, b in combinations(usable, 2)}
    best: list[Observation] = []
    for first in reversed(usable):
        group = [first]
        for other in reversed(usable):
            if other is not first and all(
                not why[frozenset((other.exam_id, o.exam_id))] for o in group
            ):
                group.append(other)
        if len(group) > len(best):
            best = group
    members = {o.exam_id for o in best}
    left = {
        o.exam_id: sorted({r for m in members for r in why[frozenset((o.exam_id, m))]})
        for o in usable
        if o.exam_id not in members
    }
    return [o for o in usable if o.exam_id in members], left


def _fitted(
    base: Course, kept: Sequence[Observation], days: Sequence[int], settings: SerialSettings
) -> Course:
    from scipy import stats

    times = np.array(days, float) - days[0]
    if times[-1] <= 0:
        return base.model_copy(update={"flags": ["no_interval"]})
    values = np.log([o.volume_mm3 for o in kept if o.volume_mm3 is not None])
    sd = np.array([_sd(o, settings) for o in kept])
    weights = sd**-2
    middle = float(np.average(times, weights=weights))
    level = float(np.average(values, weights=weights))
    moment = float(np.sum(weights * (times - middle) ** 2))
    slope = float(np.sum(weights * (times - middle) * values)) / moment
    line = level + slope * (times - middle)
    chi2, freedom = float(np.sum(weights * (values - line) ** 2)), len(kept) - 2
    half = NORMAL_95 / math.sqrt(moment)
    flags = []
    if chi2 > stats.chi2.ppf(0.95, freedom):
        flags.append("not_log_linear")
        scatter = math.sqrt(chi2 / freedom / moment) * float(stats.t.ppf(0.975, freedom))
        half = max(half, scatter)
    if times[-1] < DAYS_PER_YEAR:
        flags.append("annualised_beyond_span")
    low, high = slope - half, slope + half
    trend: Trend = "no_detectable_trend"
    if low > 0:
        trend = "increasing"
    elif high < 0:
        trend = "decreasing"
    return base.model_copy(
        update={
            "rate_pct_per_year": _per_year(slope),
            "rate_ci95_pct_per_year": (_per_year(low), _per_year(high)),
            "doubling_days": math.log(2) / slope if trend == "increasing" else None,
            "trend": trend,
            "start_mm3": float(np.exp(line[0])),
            "end_mm3": float(np.exp(line[-1])),
            "flags": flags,
        }
    )


def _sd(seen: Observation, settings: SerialSettings) -> float:
    """SD of the logarithm of one volume: of its RC, or of its own interval where that is wider."""
    assert seen.volume_mm3 is not None
    known = math.log1p(rc_volume_pct(seen.volume_mm3, settings) / 100) / RC_PER_SD
    if seen.volume_ci95_mm3 is None or seen.volume_ci95_mm3[0] <= 0:
        return known
    low, high = seen.volume_ci95_mm3
    return max(known, math.log(high / low) / (2 * NORMAL_95))


def _per_year(slope_per_day: float) -> float:
    exponent = min(slope_per_day * DAYS_PER_YEAR, LARGEST_EXPONENT)
    return 100 * math.expm1(exponent)
