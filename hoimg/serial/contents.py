"""Whether a change of size is in the images, or only in the outlines.

An outline that took in a part of a lesion at one exam and left it out at another makes a change
where none is. The images tell: what left a lesion has become soft tissue there, what joined it was
soft tissue before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume, Mask
from hoimg.serial.matching import away_from
from hoimg.serial.surface import Points

DEEP_MM = 1.5
"""Only what lies this far outside of the other outline counts: nearer, blur and placement act."""
DEEP_SHARE = 0.15
"""Of the larger outline; what lies deep in less of it cannot have made a change beyond the RC."""
KEPT = 0.6
"""Of the excess over soft tissue: with more of it at both exams nothing came or went."""


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


def _index(volume: CTVolume, points: Points) -> NDArray[np.intp]:
    return np.rint(volume.grid.to_index_zyx(points)).astype(np.intp)


def _inside(volume: CTVolume, points: Points) -> NDArray[np.bool_]:
    index = _index(volume, points)
    within = (index >= 0) & (index < np.asarray(volume.grid.size_zyx))
    return np.asarray(within.all(axis=1))


def _hu(volume: CTVolume, points: Points) -> NDArray[np.float64]:
    return np.asarray(volume.hu[tuple(_index(volume, points).T)], np.float64)
