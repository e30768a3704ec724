"""The soft tissue that a lesion lies in and displaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import margin_voxels
from hoimg.measure.view import SOFT_TISSUE_HU, LesionView

GAP_MM = 2.5
"""Nearer to the lesion its own blur is measured instead of the tissue."""

REACH_MM = 7.0
"""Farther away lies other tissue than the one displaced."""

MIN_VOXELS = 40


def local_background(view: LesionView) -> float | None:
    """Mean HU of soft tissue 2.5 to 7 mm outside the lesion.

    The mean of everything between fat and muscle, not a median: a lesion between both displaces
    both, and a median would jump from one to the other as their shares change. Tissue within 2 mm
    of native bone, other lesions, metal and air is left out.

    Returns:
        HU, or None where fewer than 40 such voxels are in view.
    """
    near = view.narrow(REACH_MM)
    gap = _grow(near.lesion, GAP_MM, near)
    blocked = _grow((near.foreign != 0) & ~near.lesion, 2.0, near)
    low, high = SOFT_TISSUE_HU
    use = ~gap & ~blocked & (near.hu >= low) & (near.hu <= high)
    values = near.hu[use]
    if values.size < MIN_VOXELS:
        return None
    return float(values.mean(dtype=np.float64))


def _grow(mask: NDArray[np.bool_], by_mm: float, view: LesionView) -> NDArray[np.bool_]:
    """Widen a mask by a box of ``by_mm``: separable, hence fast; corners reach a little more."""
    from scipy import ndimage

    size = [2 * m + 1 for m in margin_voxels(by_mm, view.spacing_mm)]
    grown = ndimage.maximum_filter(mask.astype(np.uint8), size=size, mode="constant")
    return np.asarray(grown != 0)
