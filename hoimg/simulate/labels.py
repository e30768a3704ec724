"""The label that a perfect reader gives at the last exam: the rule set on true values.

Written from the published rule set, not from :mod:`hoimg.maturity`, so that the two can disagree.
It takes true volumes and stages in place of measured rims and margins: stage 0.9 has a complete
rim, stage 0.3 none. What lies between, or lacks a prior, cannot be called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hoimg.simulate.plans import ExamPlan

RIPE, UNRIPE = 0.9, 0.3
"""From this stage on the rim is complete; up to this one there is next to none."""
STAGE_RISE = 0.1
"""A larger rise of the stage is mineral still being laid down (density rises by 10 % or more)."""
LEAST_DAYS = 84
RIM_SLICE_MM, GATE_SLICE_MM, GATE_MM3 = 1.5, 2.5, 320.0
ALIKE = 0.25
"""Slices that differ by more cannot be compared."""


@dataclass(frozen=True)
class Seen:
    """A lesion's true state at one exam.

    Attributes:
        volume_mm3: None: absent, or part of another lesion.
        stage: 0 to 1.
        whole: Whether all of it lies in view, 10 mm or more from metal and streaks.
        alone: Whether it is one lesion, not a merged one or one of two parts, as at the last exam.
    """

    volume_mm3: float | None
    stage: float
    whole: bool = True
    alone: bool = True


def rc_fraction(volume_mm3: float) -> float:
    """Repeatability of a volume, as a part of it: max(25, 16 + 430 / sqrt(V)) % (borrowed)."""
    return max(25.0, 16.0 + 430.0 / math.sqrt(volume_mm3)) / 100.0


def alike(a: ExamPlan, b: ExamPlan) -> bool:
    """Whether two exams may be compared: tube voltage, kernel, slices within 25 %."""
    thick, thin = max(a.slice_mm, b.slice_mm), min(a.slice_mm, b.slice_mm)
    return a.kvp == b.kvp and a.kernel == b.kernel and thick / thin - 1.0 <= ALIKE


def grew(exams: Sequence[ExamPlan], seen: Sequence[Seen]) -> bool:
    """Whether comparable exams show that a lesion is growing or ripening at the last exam."""
    last = len(exams) - 1
    priors = _priors(exams, seen)
    if seen[last].volume_mm3 is None or not priors:
        return False
    old = [i for i in priors if exams[last].days - exams[i].days >= LEAST_DAYS]
    since = priors if not old else [i for i in priors if i >= old[-1]]
    if any(_rose(seen[i], seen[last]) for i in since):
        return True
    for i in old[:-1]:
        if not _rose(seen[i], seen[last]):
            continue
        # An older rise counts as over when its last interval is slower than half its mean rate.
        mean = _rate(exams, seen, i, last)
        if all(_rate(exams, seen, j, last) >= 0.5 * mean for j in priors if j > i):
            return True
    return False


def true_label(
    exams: Sequence[ExamPlan], seen: Sequence[Seen], *, reverse_zoning: bool = False
) -> str:
    """``immature``, ``mature`` or ``indeterminate`` at the last exam.

    Args:
        exams: All exams in date order.
        seen: The lesion's true state at each.
        reverse_zoning: Whether its centre is denser than its edge: the label is withheld.
    """
    now, exam = seen[-1], exams[-1]
    volume = now.volume_mm3
    if volume is None or volume < GATE_MM3 or not now.whole or reverse_zoning:
        return "indeterminate"
    if exam.slice_mm > GATE_SLICE_MM:
        return "indeterminate"
    rims = exam.slice_mm <= RIM_SLICE_MM
    if grew(exams, seen) or (rims and now.stage <= UNRIPE):
        return "immature"
    long = [i for i in _priors(exams, seen) if exam.days - exams[i].days >= LEAST_DAYS]
    return "mature" if rims and now.stage >= RIPE and long else "indeterminate"


def _priors(exams: Sequence[ExamPlan], seen: Sequence[Seen]) -> list[int]:
    """Earlier exams that the last one may be compared with."""
    return [
        i
        for i in range(len(exams) - 1)
        if seen[i].volume_mm3 is not None
        and seen[i].whole
        and seen[i].alone
        and alike(exams[i], exams[-1])
    ]


def _rose(before: Seen, after: Seen) -> bool:
    first, last = before.volume_mm3, after.volume_mm3
    if first is None or last is None:
        return False
    return last / first - 1.0 > rc_fraction(first) or after.stage - before.stage > STAGE_RISE


def _rate(exams: Sequence[ExamPlan], seen: Sequence[Seen], i: int, j: int) -> float:
    first, last = seen[i].volume_mm3, seen[j].volume_mm3
    if first is None or last is None:
        return 0.0
    days = exams[j].days - exams[i].days
    return max(math.log(last / first), seen[j].stage - seen[i].stage) / max(days, 1)
