"""The soft tissue that a lesion lies in and displaces."""

from __future__ import annotations

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

PATCH_MM = 3.0
"""Tissue of a kind comes in patches of about this size, which one reading speaks for."""

USUAL_HU, USUAL_SD_HU = 40.0, 40.0
"""Muscle with some fat, where no soft tissue can be read round a lesion; always flagged."""


@dataclass(frozen=True)
class Background:
    """Soft tissue round a lesion.

    Attributes:
        hu: Its mean, HU.
        sd_hu: SD of the error of that mean, HU.
        measured: Whether it was read round the lesion.
    """

    hu: float
    sd_hu: float
    measured: bool


def local_background(view: LesionView) -> Background:
    """Mean HU of soft tissue 2.5 to 7 mm outside the lesion.

    The mean of everything between fat and muscle, not a median: a lesion between both displaces
    both, and a median would jump from one to the other as their shares change. Tissue within 2 mm
    of native bone, other lesions, metal and air is left out.

    Its error is the spread of these voxels over the root of the patches of ``PATCH_MM`` among them:
    which of the tissues round about the lesion has displaced is not known better.

    Returns:
        The mean and its error; ``USUAL_HU``, not measured, with fewer than 40 such voxels in view.
    """
    near = view.narrow(REACH_MM)
    gap = _grow(near.lesion, GAP_MM, near)
    blocked = _grow((near.foreign != 0) & ~near.lesion, 2.0, near)
    low, high = SOFT_TISSUE_HU
    use = ~gap & ~blocked & (near.hu >= low) & (near.hu <= high)
    values = near.hu[use]
    if values.size < MIN_VOXELS:
        return Background(USUAL_HU, USUAL_SD_HU, measured=False)
    patches = max(values.size * view.voxel_mm3 / PATCH_MM**3, 1.0)
    spread = float(values.std(dtype=np.float64))
    return Background(float(values.mean(dtype=np.float64)), spread / patches**0.5, measured=True)


def _grow(mask: NDArray[np.bool_], by_mm: float, view: LesionView) -> NDArray[np.bool_]:
    """Widen a mask by a box of ``by_mm``: separable, hence fast; corners reach a little more."""
    from scipy import ndimage

    size = [2 * m + 1 for m in margin_voxels(by_mm, view.spacing_mm)]
    grown = ndimage.maximum_filter(mask.astype(np.uint8), size=size, mode="constant")
    return np.asarray(grown != 0)
