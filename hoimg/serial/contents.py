"""Whether a change of size is in the images, or only in the outlines.

An outline that took in a part of a lesion at one exam and left it out at another makes a change
where none is. The images tell: what left a lesion has become soft tissue there, what joined it was
soft tissue before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import margin_voxels
from hoimg.image import CTVolume, Mask
from hoimg.serial.matching import Cloud, away_from, lattice
from hoimg.serial.surface import Matrix4, Points, move

DEEP_MM = 1.5
"""Only what lies this far outside of the other outline counts: nearer, blur and placement act."""
DEEP_SHARE = 0.15
"""Of the larger outline; what lies deep in less of it cannot have made a change beyond the RC."""
KEPT = 0.6
"""Of the excess over soft tissue: with more of it at both exams nothing came or went."""
ASIDE_MM = 2.0
"""Lesions that are more alike when one is shifted by this were not laid on each other."""
AROUND_MM = 3.0
"""What lies round the later lesion counts for that up to this distance."""
DENSE = 0.5
"""Of the mean excess where both outlines lie: there something is dense."""
ALONE = 0.75
"""With less of its excess in the other scan a place is dense in its own scan alone. At the edge of
a body that grew by the width of the blur about two thirds are left of it."""
LATTICE_MM = 1.0
"""Single places are judged on a lattice this fine."""
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


@dataclass(frozen=True, eq=False)
class Shown:
    """A lesion as one exam shows it.

    Attributes:
        volume: The exam, HU.
        lesions: All its lesions, on the same grid.
        lesion: The one.
        soft_hu: Soft tissue round it.
    """

    volume: CTVolume
    lesions: Mask
    lesion: Cloud
    soft_hu: float


def growth_shown(earlier: Shown, later: Shown, to_earlier: Matrix4) -> float | None:
    """By how much a lesion grew that the images show, whatever its outlines.

    What the later outline gained counts where the later scan alone is dense, less what the earlier
    outline holds and the earlier scan alone is dense in. The scans' excess over soft tissue is set
    equal where both outlines lie, so that a lesion that only became denser gained nothing.

    Args:
        earlier: The lesion at the earlier exam.
        later: The lesion at the later exam.
        to_earlier: Rigid motion that lays the later lesion on the earlier one, 4x4, LPS mm.

    Returns:
        Fraction of what both outlines hold; None where they hold nothing dense together, or are
        not laid on each other: shifted by ``ASIDE_MM`` they would be more alike.
    """
    if _aside(later, earlier, to_earlier):
        return None
    came = _alone(later, earlier, to_earlier)
    went = _alone(earlier, later, np.linalg.inv(to_earlier))
    return None if came is None or went is None else came - went


def _aside(own: Shown, other: Shown, motion: Matrix4) -> bool:
    """Whether lesions are more alike when one is shifted along an axis."""
    points, _ = lattice(own.lesions, own.lesion, LATTICE_MM, AROUND_MM)
    there = move(motion, points)
    shifts = ASIDE_MM * np.vstack([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    within = np.all([_inside(other.volume, there + shift) for shift in shifts], axis=0)
    if np.count_nonzero(within) < 2:
        return True
    ours = _smooth_hu(own.volume, points[within])
    alike = [
        np.corrcoef(ours, _smooth_hu(other.volume, there[within] + shift))[0, 1] for shift in shifts
    ]
    return not alike[0] >= max(alike[1:])


def _alone(own: Shown, other: Shown, motion: Matrix4) -> float | None:
    """What is dense in one scan alone, outside of the other's outline, by what both hold."""
    points, away = lattice(own.lesions, own.lesion, LATTICE_MM, 0.0)
    there = move(motion, points)
    within = _inside(other.volume, there) & (away == 0)
    points, there = points[within], there[within]
    out = away_from(other.lesions, there, DEEP_MM) > 0
    both = ~out
    ours = _smooth_hu(own.volume, points) - own.soft_hu
    theirs = _smooth_hu(other.volume, there) - other.soft_hu
    if not both.any() or min(ours[both].mean(), theirs[both].mean()) <= 0:
        return None
    equal = ours[both].sum() / theirs[both].sum()
    alone = out & (ours > DENSE * ours[both].mean()) & (theirs * equal < ALONE * ours)
    return float(np.count_nonzero(alone) / np.count_nonzero(both))


def _index(volume: CTVolume, points: Points) -> NDArray[np.intp]:
    return np.rint(volume.grid.to_index_zyx(points)).astype(np.intp)


def _inside(volume: CTVolume, points: Points) -> NDArray[np.bool_]:
    index = _index(volume, points)
    within = (index >= 0) & (index < np.asarray(volume.grid.size_zyx))
    return np.asarray(within.all(axis=1))


def _hu(volume: CTVolume, points: Points) -> NDArray[np.float64]:
    return np.asarray(volume.hu[tuple(_index(volume, points).T)], np.float64)


def _smooth_hu(volume: CTVolume, points: Points) -> NDArray[np.float64]:
    """HU of the voxels that hold the points, in view, smoothed."""
    from scipy.ndimage import gaussian_filter

    index = _index(volume, points)
    if not len(index):
        return np.empty(0)
    margin = margin_voxels(4 * SMOOTH_MM, volume.grid.spacing_zyx_mm)
    low = np.maximum(index.min(axis=0) - margin, 0)
    high = np.minimum(index.max(axis=0) + margin + 1, volume.grid.size_zyx)
    part = volume.hu[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    sigma = [SMOOTH_MM / s for s in volume.grid.spacing_zyx_mm]
    smooth = gaussian_filter(part.astype(np.float32), sigma, mode="nearest")
    return np.asarray(smooth[tuple((index - low).T)], np.float64)
