"""Compare what was called in one exam with the truth: the rules of ``docs/methods/validate.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import bounding_box
from hoimg.image import Mask
from hoimg.validate.cases import TruthLesion, TruthObservation
from hoimg.validate.distance import surface_distances
from hoimg.validate.types import ExamScore, FalseLesion, LesionScore

FOUND_DICE = 0.1
"""Least Dice of a true lesion that counts as found: a lesion of 1 mL that is called together with
more than 18 mL of rib is not found, and with less it is found with that Dice and that volume."""

INSIDE = 0.5
"""A called lesion that lies by more than this in truths is a piece of them, never a false one."""

HOLDS = 0.3
"""A called lesion holds a truth's place when it contains this part of it (for merging)."""


NAMED = 0.1
"""An excluded piece that holds this part of a missed truth says why it was missed."""


def score_exam(
    truth: Mask,
    called: Mask,
    lesions: Sequence[tuple[TruthLesion, TruthObservation]],
    *,
    case: str,
    exam: int = 0,
    family: str | None = None,
    volumes_mm3: Mapping[int, float | None] | None = None,
    excluded: Mask | None = None,
    reasons: Mapping[int, str] | None = None,
    seconds: float | None = None,
) -> ExamScore:
    """Score one exam.

    Args:
        truth: True lesions, labelled as in ``lesions``; other labels count as nothing.
        called: Called lesions on the same grid.
        lesions: What ``case.json`` says of this exam.
        case: Name of the case.
        exam: Index of the exam in the case.
        family: Kind of case.
        volumes_mm3: Reported volume per called label; voxels are counted where it is missing.
        excluded: Label map of what was left out, on the same grid.
        reasons: Why, by its label.
        seconds: How long the exam took.

    Raises:
        ValueError: when the grids differ or a true label has no voxel.
    """
    if not truth.grid.same_as(called.grid, tolerance_mm=0.05):
        raise ValueError("truth and result lie on different grids")
    voxel = truth.grid.voxel_volume_mm3
    true_labels = [seen.label for _, seen in lesions]
    missing = set(true_labels) - set(np.unique(truth.array[truth.array > 0]).tolist())
    if missing:
        raise ValueError(f"label {min(missing)} of case.json has no voxel in the truth")
    sizes = np.bincount(called.array.ravel())
    sizes[0] = 0
    known = np.isin(truth.array, true_labels)
    true_sizes = np.bincount(truth.array.ravel(), minlength=max(true_labels, default=0) + 1)
    overlaps = _overlaps(truth.array, called.array, true_labels)
    reported = {} if volumes_mm3 is None else volumes_mm3

    scores = []
    taken: set[int] = set()
    for lesion, seen in lesions:
        mine = overlaps[seen.label]
        dices = {
            label: 2 * count / (sizes[label] + true_sizes[seen.label])
            for label, count in mine.items()
        }
        best = max(dices, key=lambda label: dices[label], default=None)
        found = best is not None and dices[best] >= FOUND_DICE
        pieces = sum(count > INSIDE * sizes[label] for label, count in mine.items())
        score = LesionScore(
            case=case,
            exam=exam,
            lesion=lesion.id,
            family=family,
            where=lesion.where,
            stage=seen.stage,
            truth_mm3=seen.volume_mm3,
            found=found,
            called=best,
            dice=0.0 if best is None else float(dices[best]),
            covered=0.0 if best is None else float(mine[best] / true_sizes[seen.label]),
            pieces=pieces,
        )
        if found and best is not None:
            taken.add(best)
            volume = reported.get(best)
            volume = float(sizes[best] * voxel) if volume is None else volume
            mean, p95 = _distances(truth, called, seen.label, best)
            held = [
                label
                for label in true_labels
                if overlaps[label].get(best, 0) >= HOLDS * true_sizes[label]
            ]
            score = score.model_copy(
                update={
                    "called_mm3": volume,
                    "volume_error_pct": 100.0 * (volume / seen.volume_mm3 - 1.0),
                    "surface_mean_mm": mean,
                    "surface_p95_mm": p95,
                    "merged": bool(set(held) - {seen.label}),
                }
            )
        elif excluded is not None:
            why = _left_out(truth, excluded, reasons or {}, seen.label)
            score = score.model_copy(update={"left_out": why})
        scores.append(score)
    labels = [int(label) for label in np.flatnonzero(sizes)]
    return ExamScore(
        case=case,
        exam=exam,
        family=family,
        seconds=seconds,
        called=len(labels),
        lesions=tuple(scores),
        false_lesions=tuple(
            _false(called, known, label, case, exam, family)
            for label in labels
            if label not in taken
            and np.count_nonzero(known & (called.array == label)) <= INSIDE * sizes[label]
        ),
    )


def _overlaps(
    truth: NDArray[np.unsignedinteger], called: NDArray[np.unsignedinteger], labels: Sequence[int]
) -> dict[int, dict[int, int]]:
    """Voxels shared by each true label and each called one."""
    out: dict[int, dict[int, int]] = {}
    for label in labels:
        counts = np.bincount(called[truth == label])
        out[label] = {int(k): int(counts[k]) for k in np.flatnonzero(counts) if k > 0}
    return out


def _left_out(truth: Mask, excluded: Mask, reasons: Mapping[int, str], label: int) -> str | None:
    """Reason of the excluded piece that holds most of a truth."""
    here = excluded.array[truth.array == label]
    counts = np.bincount(here)
    counts[0] = 0
    best = int(counts.argmax())
    return reasons.get(best) if counts[best] >= NAMED * here.size else None


def _distances(truth: Mask, called: Mask, label: int, other: int) -> tuple[float, float]:
    """Surface distances of one pair, in the box that holds both."""
    first, second = truth.array == label, called.array == other
    box = bounding_box(first | second)
    if box is None:
        raise ValueError("a pair without voxels has no surface")
    return surface_distances(first[box], second[box], truth.grid.spacing_zyx_mm)


def _false(
    called: Mask, known: NDArray[np.bool_], label: int, case: str, exam: int, family: str | None
) -> FalseLesion:
    inside = called.array == label
    count = int(np.count_nonzero(inside))
    x, y, z = (float(v) for v in called.grid.to_lps_mm(ndimage.center_of_mass(inside)))
    return FalseLesion(
        case=case,
        exam=exam,
        family=family,
        called=label,
        volume_mm3=count * called.grid.voxel_volume_mm3,
        centroid_lps_mm=(round(x, 1), round(y, 1), round(z, 1)),
        in_truth=float(np.count_nonzero(inside & known) / count),
    )
