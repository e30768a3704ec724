"""From scores to tables: groups of lesions, false lesions a scan, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.validate.types import (
    CaseScore,
    Estimate,
    ExamScore,
    FalseScore,
    GroupScore,
    LesionScore,
)

REPLICATES = 1000
SEED = 20240501
"""Of the bootstrap: the same scores give the same intervals."""

SIZES_ML: tuple[tuple[str, float, float], ...] = (
    ("below 0.5 mL", 0.0, 0.5),
    ("0.5-1 mL", 0.5, 1.0),
    ("1-5 mL", 1.0, 5.0),
    ("5 mL and more", 5.0, float("inf")),
)
STAGE_SPLIT = 0.5
"""Lesions below this stage have no rim over most of their surface."""

Statistic = Callable[[NDArray[np.float64]], float]


def select(
    lesions: Iterable[LesionScore],
    *,
    where: Sequence[str] | None = None,
    ml: tuple[float, float] | None = None,
    stage: tuple[float, float] | None = None,
    families: Sequence[str] | None = None,
) -> list[LesionScore]:
    """The lesions of a group; a lesion whose ``case.json`` lacks the field is in none.

    Args:
        lesions: All of them.
        where: Places.
        ml: True volume from (included) to (excluded), mL.
        stage: Stage from (included) to (excluded).
        families: Kinds of case.
    """
    return [
        one
        for one in lesions
        if (where is None or one.where in where)
        and (ml is None or ml[0] <= one.truth_mm3 / 1000 < ml[1])
        and (stage is None or (one.stage is not None and stage[0] <= one.stage < stage[1]))
        and (families is None or one.family in families)
    ]


def standard_groups(lesions: Sequence[LesionScore]) -> list[tuple[str, list[LesionScore]]]:
    """The groups of every validation, empty ones left out."""
    early, late = (0.0, STAGE_SPLIT), (STAGE_SPLIT, 1.01)
    loose = ("free", "near")
    made = [("all", list(lesions))]
    made += [(place, select(lesions, where=[place])) for place in ("free", "near", "attached")]
    made += [(name, select(lesions, ml=(low, high))) for name, low, high in SIZES_ML]
    made += [
        (f"stage below {STAGE_SPLIT:g}", select(lesions, stage=early)),
        (f"stage {STAGE_SPLIT:g} and above", select(lesions, stage=late)),
    ]
    big = (0.5, float("inf"))
    made += [
        ("free or near, 0.5 mL and more", select(lesions, where=loose, ml=big)),
        (". . stage 0.5 and above", select(lesions, where=loose, ml=big, stage=late)),
        (". . stage below 0.5", select(lesions, where=loose, ml=big, stage=early)),
        ("free or near, below 0.5 mL", select(lesions, where=loose, ml=(0.0, 0.5))),
        ("attached, 1 mL and more", select(lesions, where=["attached"], ml=(1.0, float("inf")))),
    ]
    families = sorted({one.family for one in lesions if one.family is not None})
    made += [(f"family {name}", select(lesions, families=[name])) for name in families]
    return [(name, group) for name, group in made if group]


def summarize(name: str, lesions: Sequence[LesionScore]) -> GroupScore:
    """Numbers of one group, with intervals by resampling cases."""
    hits = [one for one in lesions if one.found]
    errors = [(one.case, one.volume_error_pct) for one in hits if one.volume_error_pct is not None]
    size = [(case, abs(value)) for case, value in errors]
    dices = np.array([one.dice for one in hits])
    return GroupScore(
        name=name,
        lesions=len(lesions),
        found=len(hits),
        sensitivity=_rate([(one.case, float(one.found)) for one in lesions]),
        dice=estimate([(one.case, one.dice) for one in hits], np.median),
        dice_p10=float(np.percentile(dices, 10)) if dices.size else None,
        surface_mean_mm=_median_of(hits, "surface_mean_mm"),
        surface_p95_mm=_median_of(hits, "surface_p95_mm"),
        volume_error_pct=estimate(size, np.median),
        volume_bias_pct=estimate(errors, np.median),
        split=sum(one.pieces > 1 for one in lesions),
        merged=sum(one.merged for one in lesions),
    )


def false_score(name: str, exams: Sequence[ExamScore]) -> FalseScore:
    """False lesions a scan of one group of scans."""
    counts = [(exam.case, float(len(exam.false_lesions))) for exam in exams]
    sizes = [one.volume_mm3 for exam in exams for one in exam.false_lesions]
    return FalseScore(
        name=name,
        scans=len(exams),
        false_lesions=len(sizes),
        per_scan=estimate(counts, np.mean),
        largest_mm3=max(sizes, default=None),
    )


def false_groups(exams: Sequence[ExamScore]) -> list[FalseScore]:
    """False lesions over all scans, those without any lesion, and per kind of case."""
    made = [false_score("all scans", exams)]
    clean = [exam for exam in exams if not exam.lesions]
    if clean and len(clean) < len(exams):
        made.append(false_score("scans without lesions", clean))
    for family in sorted({exam.family for exam in exams if exam.family is not None}):
        made.append(
            false_score(f"family {family}", [exam for exam in exams if exam.family == family])
        )
    return made


def confusion(cases: Iterable[CaseScore]) -> dict[str, dict[str, int]]:
    """Expected maturity label to given label to count."""
    table: dict[str, dict[str, int]] = {}
    for pair in (pair for case in cases for pair in case.labels):
        row = table.setdefault(pair.truth, {})
        row[pair.called] = row.get(pair.called, 0) + 1
    return {truth: dict(sorted(row.items())) for truth, row in sorted(table.items())}


def estimate(values: Sequence[tuple[str, float]], statistic: Any) -> Estimate:
    """A statistic with its 95 % percentile interval, by resampling whole cases.

    Lesions of one case share anatomy, noise and registration, so cases, not lesions, are drawn.

    Args:
        values: ``(case, value)``.
        statistic: Array to number, e.g. ``np.median``.

    Returns:
        Without values all null; from one case no interval.
    """
    if not values:
        return Estimate(value=None)
    clusters: dict[str, list[float]] = {}
    for case, value in values:
        clusters.setdefault(case, []).append(value)
    parts = [np.array(clusters[case], float) for case in sorted(clusters)]
    whole = float(statistic(np.concatenate(parts)))
    if len(parts) < 2:
        return Estimate(value=whole)
    rng = np.random.default_rng(SEED)
    draws = rng.integers(len(parts), size=(REPLICATES, len(parts)))
    found = [float(statistic(np.concatenate([parts[n] for n in draw]))) for draw in draws]
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(value=whole, low=float(low), high=float(high))


def _rate(values: Sequence[tuple[str, float]]) -> Estimate:
    """A rate. When all or none were found a bootstrap knows no spread: Clopper and Pearson's."""
    made = estimate(values, np.mean)
    if made.value in (0.0, 1.0):
        from scipy.stats import binomtest

        hits = round(sum(value for _, value in values))
        exact = binomtest(hits, len(values)).proportion_ci(0.95, "exact")
        return Estimate(value=made.value, low=float(exact.low), high=float(exact.high))
    return made


def _median_of(lesions: Sequence[LesionScore], name: str) -> Estimate:
    values = [(one.case, getattr(one, name)) for one in lesions]
    return estimate([(case, v) for case, v in values if v is not None], np.median)
