"""Whether a change of size is in the images, or only in the outlines.

An outline that took in a part of a lesion at one exam and left it out at another makes a change
where none is. The images tell: what left a lesion has become soft tissue there, what joined it was
soft tissue before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import margin_voxels
from hoimg.image import CTVolume, Mask
from hoimg.serial.matching import away_from
from hoimg.serial.surface import Points

DEEP_MM = 1.5
"""Only what lies this far outside of the other outline counts: nearer, blur and placement act."""
DEEP_SHARE = 0.15
"""Of the larger outline; what lies deep in less of it cannot have made a change beyond the RC."""
KEPT = 0.6
"""Of the excess over soft tissue: with more of it at both exams nothing came or went."""

ALONE = 0.75
"""With less of its excess in the other scan a place is dense in its own scan alone. At the edge of
a body that grew by the width of the blur about two thirds are left of it."""
SMOOTH_MM = 1.0
"""Standard deviation of the smoothing before single places are judged."""


def only_in_outlines(
    here_lps_mm: Points,
    there_lps_mm: Points,
    here: CTVolume,
    there: CTVolume,
    other: Mask,
    soft_hu: float,
) -> bool:
    """Whether what one outline holds more than another is as dense in both scans.

    Args:
        here_lps_mm: Points of the larger lesion in its own exam, ``(n, 3)``.
        there_lps_mm: The same points in the exam with the smaller one.
        here: The exam with the larger lesion.
        there: The exam with the smaller one.
        other: All lesions of that exam.
        soft_hu: Soft tissue round the lesion, HU.
    """
    deep = away_from(other, there_lps_mm, DEEP_MM) > DEEP_MM
    deep &= _inside(there, there_lps_mm)
    if np.count_nonzero(deep) < DEEP_SHARE * len(here_lps_mm):
        return False
    before = _hu(here, here_lps_mm[deep]) - soft_hu
    after = _hu(there, there_lps_mm[deep]) - soft_hu
    return bool(before.sum() > 0 and after.sum() > KEPT * before.sum())


def gained(
    here_lps_mm: Points,
    there_lps_mm: Points,
    here: CTVolume,
    there: CTVolume,
    other: Mask,
    soft_hu: tuple[float, float],
) -> float | None:
    """What one outline holds beyond another and is dense in its own scan alone.

    The other scan's excess over soft tissue is set equal where both outlines lie, so that a lesion
    that only became denser gained nothing.

    Args:
        here_lps_mm: Points of a lesion in its own exam, ``(n, 3)``.
        there_lps_mm: The same points in the other exam.
        here: The lesion's own exam.
        there: The other exam.
        other: All lesions of that exam.
        soft_hu: Soft tissue round the lesion here and there, HU.

    Returns:
        By the size of what both outlines hold; None where they hold nothing dense together.
    """
    within = _inside(there, there_lps_mm)
    held = within & (away_from(other, there_lps_mm, DEEP_MM) == 0)
    ours = _hu(here, here_lps_mm, SMOOTH_MM) - soft_hu[0]
    theirs = np.where(within, _hu(there, there_lps_mm, SMOOTH_MM) - soft_hu[1], 0.0)
    common = ours[held].sum(), theirs[held].sum()
    if min(common) <= 0:
        return None
    alone = within & ~held & (theirs * common[0] / common[1] < ALONE * ours)
    return float(np.count_nonzero(alone) / np.count_nonzero(held))


def _index(volume: CTVolume, points: Points) -> NDArray[np.intp]:
    return np.rint(volume.grid.to_index_zyx(points)).astype(np.intp)


def _inside(volume: CTVolume, points: Points) -> NDArray[np.bool_]:
    index = _index(volume, points)
    within = (index >= 0) & (index < np.asarray(volume.grid.size_zyx))
    return np.asarray(within.all(axis=1))


def _hu(volume: CTVolume, points: Points, smooth_mm: float = 0.0) -> NDArray[np.float64]:
    """HU of the voxels that hold the points; of their surroundings, clamped to the view."""
    index = _index(volume, points)
    if not smooth_mm:
        return np.asarray(volume.hu[tuple(index.T)], np.float64)
    from scipy.ndimage import gaussian_filter

    size = np.asarray(volume.grid.size_zyx)
    index = np.clip(index, 0, size - 1)
    margin = margin_voxels(4 * smooth_mm, volume.grid.spacing_zyx_mm)
    low = np.maximum(index.min(axis=0) - margin, 0)
    high = np.minimum(index.max(axis=0) + margin + 1, size)
    part = volume.hu[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    sigma = [smooth_mm / s for s in volume.grid.spacing_zyx_mm]
    smooth = gaussian_filter(part.astype(np.float32), sigma, mode="nearest")
    return np.asarray(smooth[tuple((index - low).T)], np.float64)
