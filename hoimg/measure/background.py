"""The soft tissue that a lesion lies in and displaces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import margin_voxels
from hoimg.measure.view import SOFT_TISSUE_HU, LesionView

GAP_MM = 2.5
"""Nearer to the lesion its own blur is measured instead of the tissue."""

REACH_MM = 7.0
"""Farther away lies other tissue than the one displaced."""

MIN_VOXELS = 40
MIN_OCTANTS = 3

USUAL_HU, USUAL_SD_HU = 40.0, 40.0
"""Muscle with some fat, where no soft tissue can be read round a lesion; always flagged."""


@dataclass(frozen=True)
class Background:
    """The soft tissue around a lesion.

    Attributes:
        hu: Its mean, HU.
        sd_hu: SD of the error of that mean, HU: the SD of the means of the eight octants around the
            lesion over the root of their number, since fat and muscle lie in patches and a
            voxel's neighbours say the same as it does; with fewer than three octants in view the
            voxels' SD itself.
        measured: Whether it was read round the lesion; else it is ``USUAL_HU``.
    """

    hu: float
    sd_hu: float
    measured: bool


def local_background(view: LesionView) -> Background:
    """Mean HU, and its error, of soft tissue 2.5 to 7 mm outside the lesion.

    The mean of everything between fat and muscle, not a median: a lesion between both displaces
    both, and a median would jump from one to the other as their shares change. Tissue within 2 mm
    of native bone, other lesions, metal and air is left out.

    Returns:
        ``USUAL_HU``, not measured, where fewer than 40 such voxels are in view.
    """
    near = view.narrow(REACH_MM)
    gap = _grow(near.lesion, GAP_MM, near)
    blocked = _grow((near.foreign != 0) & ~near.lesion, 2.0, near)
    low, high = SOFT_TISSUE_HU
    use = ~gap & ~blocked & (near.hu >= low) & (near.hu <= high)
    values = near.hu[use]
    if values.size < MIN_VOXELS:
        return Background(USUAL_HU, USUAL_SD_HU, measured=False)
    mean = float(values.mean(dtype=np.float64))
    index = np.argwhere(use)
    side = index > np.argwhere(near.lesion).mean(axis=0)
    octant = side @ np.array([4, 2, 1])
    counts = np.bincount(octant, minlength=8)
    sums = np.bincount(octant, weights=values.astype(np.float64), minlength=8)
    full = counts >= MIN_VOXELS // 8
    if np.count_nonzero(full) < MIN_OCTANTS:
        return Background(mean, float(values.std(dtype=np.float64)), measured=True)
    means = sums[full] / counts[full]
    return Background(mean, float(means.std(ddof=1)) / math.sqrt(means.size), measured=True)


def _grow(mask: NDArray[np.bool_], by_mm: float, view: LesionView) -> NDArray[np.bool_]:
    """Widen a mask by a box of ``by_mm``: separable, hence fast; corners reach a little more."""
    from scipy import ndimage

    size = [2 * m + 1 for m in margin_voxels(by_mm, view.spacing_mm)]
    grown = ndimage.maximum_filter(mask.astype(np.uint8), size=size, mode="constant")
    return np.asarray(grown != 0)
