"""Whether two films were taken in the same projection: what no similarity explains.

A patient turned under the tube shifts near bones against far ones, by depth times the sine of the
turn, and moves the lesion against the bone. See ``docs/methods/film-serial.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.film_pair import Pair
from hoimg.serial.film_picture import evened, ranked
from hoimg.serial.film_register import FilmPlacement
from hoimg.serial.film_similarity import Similarity
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PROJECTION = "projection_changed"
UNSURE = "projection_not_checked"

BLUR_MM = 1.0
BLOCK_MM = 6.0
"""Half the side of a block that is looked for on its own."""
SEARCH_MM = 7.0
STEP_PX = 2
APART_MM = 4.0
DRIFT_COST = 0.002
"""Likeness that a block loses with each square millimetre: along a straight edge it stays put."""
LEAST_TEXTURE = 0.6
"""Spread of a block's evened values; flat parts of soft tissue and noise are below."""
LEAST_BLOCKS = 25
MATCHED = 0.6


@dataclass(frozen=True)
class ProjectionCheck:
    """What is left between two films after the best similarity.

    Attributes:
        moved_mm: 80th percentile (near blocks count more) of how far blocks of bone lie from where
            the similarity puts them; None with too few blocks.
        lost: Share of blocks that are found nowhere near.
        blocks: How many were looked for.
        lesion_aside_mm: By how much each of the lesion's outlines reaches beyond the other: growth
            or shrinking alone give 0, a lesion that moved against the bone its shift. None where
            there are no two outlines.
        reason: ``projection_changed``, ``projection_not_checked`` (too few blocks, or films that
            are less alike than those of one projection) or None.
    """

    moved_mm: float | None
    lost: float | None
    blocks: int
    lesion_aside_mm: float | None
    reason: str | None


def check_projection(
    pair: Pair,
    placement: FilmPlacement,
    settings: FilmSettings,
    outlines: tuple[Bools, Bools] | None = None,
    spacing_yx_mm: tuple[float, float] = (1.0, 1.0),
    *,
    together: bool = False,
) -> ProjectionCheck:
    """Look for blocks of bone that moved on their own, and for a lesion that moved against bone.

    Args:
        pair: From :func:`hoimg.serial.film_pair.make_pair`.
        placement: Of these films, with a similarity.
        settings: Thresholds.
        outlines: The lesion's outlines, both on the earlier film's pixels; None without two.
        spacing_yx_mm: Of these pixels.
        together: Whether the outlines were drawn on both films at once: what only one of them has
            is then in the films, not in how they were drawn.
    """
    assert placement.similarity is not None
    moved, lost, blocks = blocks_moved(pair, placement.similarity)
    aside = None if outlines is None else reaching_aside(*outlines, spacing_yx_mm)
    reason = None
    if (
        (aside is not None and aside > settings.projection_max_lesion_aside_mm)
        or (together and outlines and both_ways(*outlines) > settings.projection_max_both_ways)
        or (moved is not None and moved > settings.projection_max_moved_mm)
    ):
        reason = PROJECTION
    elif moved is None or lost is None:
        reason = UNSURE
    elif lost > settings.projection_max_lost:
        reason = PROJECTION
    elif (placement.likeness or 0.0) < settings.projection_min_likeness:
        reason = UNSURE
    return ProjectionCheck(moved, lost, blocks, aside, reason)


def blocks_moved(pair: Pair, similarity: Similarity) -> tuple[float | None, float | None, int]:
    """How far blocks lie from their place (mm), the share of lost ones, and how many there are."""
    vectors, likeness, weights = block_vectors(pair, similarity)
    count = len(weights)
    if count < LEAST_BLOCKS:
        return None, None, count
    found = likeness >= MATCHED
    lost = float(weights[~found].sum() / weights.sum())
    if found.sum() < LEAST_BLOCKS:
        return None, lost, count
    far = np.linalg.norm(vectors[found], axis=1)
    order = np.argsort(far)
    share = np.cumsum(weights[found][order])
    at = int(np.searchsorted(share, 0.8 * share[-1]))
    return float(far[order][min(at, len(far) - 1)]), lost, count


def block_vectors(pair: Pair, similarity: Similarity) -> tuple[Floats, Floats, Floats]:
    """Each textured block's own shift (mm of the earlier film), its likeness there, its weight."""
    from scipy import ndimage

    own, known, other, other_known = _on_one_grid(pair, similarity)
    step = np.asarray(pair.earlier.step_yx_mm)
    size = [2 * max(round(BLOCK_MM / s), 1) + 1 for s in step]

    def mean(values: Floats) -> Floats:
        return np.asarray(ndimage.uniform_filter(values, size, mode="constant"))

    def share(values: Floats) -> Floats:
        """A mean of what is never negative; its running sums leave rounding errors."""
        return np.maximum(mean(values), 0.0)

    mask = known.astype(np.float64)
    covered = share(mask)
    reach = [round(SEARCH_MM / s / STEP_PX) for s in step]
    shifts = [
        (STEP_PX * a, STEP_PX * b)
        for a in range(-reach[0], reach[0] + 1)
        for b in range(-reach[1], reach[1] + 1)
    ]
    every = tuple(slice(None, None, max(round(APART_MM / s), 1)) for s in step)
    texture = np.sqrt(share(mask * own**2) / np.maximum(covered, 1e-6))
    chosen = ((covered > 0.5) & (texture > LEAST_TEXTURE) & known)[every]
    scores = np.full((len(shifts), int(chosen.sum())), -1.0)
    for number, (down, right) in enumerate(shifts):
        there = _farther(other, down, right)
        on = mask * _farther(other_known, down, right)
        total = np.sqrt(share(on * own**2) * share(on * there**2))
        alike = mean(on * own * there) / np.maximum(total, 1e-6)
        alike[share(on) < 0.6 * covered] = -1.0
        cost = DRIFT_COST * ((down * step[0]) ** 2 + (right * step[1]) ** 2)
        scores[number] = (alike - cost)[every][chosen]
    if not chosen.any():
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    best = np.argmax(scores, axis=0)
    likeness = scores[best, np.arange(len(best))]
    vectors = np.asarray(shifts, float)[best] * step
    likeness += DRIFT_COST * (vectors**2).sum(axis=1)
    vectors += _finer(scores, best, 2 * reach[1] + 1) * STEP_PX * step
    seen = likeness > -0.5  # elsewhere the later film ends
    away = np.linalg.norm(pair.earlier.places() - np.asarray(pair.pivot_yx_mm), axis=-1)
    near = np.exp(-0.5 * (away / (0.6 * away[pair.window].max())) ** 2)[every][chosen]
    near *= ranked(pair.earlier, pair.window)[every][chosen] ** 2
    return vectors[seen], likeness[seen], near[seen]


def _farther(values: Floats, down: int, right: int) -> Floats:
    """At each pixel the value so many pixels farther down and right; 0 beyond the edge."""
    out = np.zeros_like(values)
    rows, columns = (
        (slice(max(-k, 0), n - max(k, 0)), slice(max(k, 0), n - max(-k, 0)))
        for k, n in zip((down, right), values.shape, strict=True)
    )
    out[rows[0], columns[0]] = values[rows[1], columns[1]]
    return out


def _finer(scores: Floats, best: NDArray[np.intp], columns: int) -> Floats:
    """Where a parabola through the best score and its neighbours peaks, steps from the best."""
    every = np.arange(len(best))
    off = np.zeros((len(best), 2))
    row, column = np.divmod(best, columns)
    rows = len(scores) // columns
    for axis, by, inside in (
        (0, columns, (row > 0) & (row < rows - 1)),
        (1, 1, (column > 0) & (column < columns - 1)),
    ):
        at, k = best[inside], every[inside]
        low, middle, high = (scores[at + d, k] for d in (-by, 0, by))
        bend = low - 2 * middle + high
        peak = np.where(bend < -1e-9, 0.5 * (low - high) / np.minimum(bend, -1e-9), 0.0)
        off[inside, axis] = np.clip(np.where(np.minimum(low, high) > -0.5, peak, 0.0), -0.5, 0.5)
    return off


def _on_one_grid(pair: Pair, similarity: Similarity) -> tuple[Floats, Bools, Floats, Floats]:
    """Both films evened on the earlier one's small pixels, and where they are known."""
    from scipy import ndimage

    own, known = evened(pair.earlier, pair.window, BLUR_MM)
    whole = np.ones(pair.later.values.shape, bool)
    film, film_known = evened(pair.later, whole, BLUR_MM, similarity.scale)
    at = pair.later.pixels_of(similarity.forward(pair.earlier.places()))
    at = np.moveaxis(at, -1, 0)
    other = ndimage.map_coordinates(film, at, order=1)
    other_known = ndimage.map_coordinates(film_known.astype(np.float64), at, order=1) > 0.5
    return own, known, np.where(other_known, other, 0.0), other_known.astype(np.float64)


def both_ways(one: Bools, other: Bools) -> float:
    """The lesser of what only the one and only the other mask has, over the lesser of their areas.

    Growth or shrinking alone give 0, a lesion that turned or moved against the bone does not.
    Infinite where one is empty.
    """
    least = min(int(one.sum()), int(other.sum()))
    return min(int((one & ~other).sum()), int((other & ~one).sum())) / least if least else math.inf


def reaching_aside(one: Bools, other: Bools, spacing_yx_mm: tuple[float, float]) -> float:
    """The lesser of the two distances by which each mask reaches beyond the other, mm.

    95th percentile over the rim of a mask of the distance to the other; of two disjoint masks it is
    how far they lie apart, and infinite where one lies off the film.
    """
    from scipy import ndimage

    if not one.any() or not other.any():
        return math.inf
    rows, columns = (np.flatnonzero((one | other).any(axis=1 - k)) for k in (0, 1))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    first, second = one[box], other[box]
    beyond = []
    for a, b in ((first, second), (second, first)):
        rim = a & ~ndimage.binary_erosion(a)
        far = ndimage.distance_transform_edt(~b, sampling=spacing_yx_mm)
        beyond.append(float(np.percentile(far[rim], 95)))
    return min(beyond)
