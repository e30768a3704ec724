"""The start surface of a lesion that is only a few thick slices high.

A mask of whole voxels cannot end within a slice: with 3 mm slices a body 5 mm long is drawn as one,
two or three of them, 3 to 9 mm, and the search along the normals, which sees each flank with the
plateau beside it, takes a slice that is half filled for a full one. HU say how far a slice is
filled. Between slices they are joined by a line, and the surface begins where that line passes half
way from soft tissue to the lesion's plateau.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.measure.relation import touches_scan_end
from hoimg.measure.surface import Mesh, mesh_of_mask
from hoimg.measure.view import LesionView

PIXELS_HIGH = 2.0
"""Slices are divided into parts of about two pixels; from three pixels on there are two parts."""

MAX_SLICES = 3
"""Of a higher lesion most slices are full, and the search along the normals does as well."""

PLATEAU_PERCENTILE = 90.0
"""Of the mask's HU, in which half-filled slices and flanks are many and noise raises the top."""

SMOOTH_PIXELS = 0.7
"""In-plane blur before the level is applied, against noise; the level lies where blur does not
move a straight edge."""

KEPT_EXCESS = 0.5
"""Most of the mask's excess must lie in one piece within the level: floccules in a hull do not."""


def start_surface(view: LesionView, background_hu: float | None) -> Mesh | None:
    """The lesion's surface to begin with: the mask's own, or that of its filled part of slices.

    Args:
        view: The lesion's crop.
        background_hu: Soft tissue around it, HU; None: not measurable, the mask's own is taken.

    Returns:
        The mesh, or None for an empty mask.
    """
    if touches_scan_end(view):  # what lies beyond is not known; the mask's own end stands
        return mesh_of_mask(view.lesion, view.spacing_mm, view.start)
    step, *pixel = view.spacing_mm
    slices = int(np.count_nonzero(view.lesion.any(axis=(1, 2))))
    parts = round(step / max(pixel) / PIXELS_HIGH)
    if background_hu is not None and slices <= MAX_SLICES and parts >= 2:
        filled = _above_half(view, background_hu, parts)
        if filled is not None:
            z, y, x = view.start
            fine = (step / parts, view.spacing_mm[1], view.spacing_mm[2])
            return mesh_of_mask(filled, fine, (z * parts, y, x))
    return mesh_of_mask(view.lesion, view.spacing_mm, view.start)


def _above_half(view: LesionView, background_hu: float, parts: int) -> NDArray[np.bool_] | None:
    """The lesion on ``parts`` times as many slices; None where no one body reaches the level."""
    from scipy import ndimage

    excess = view.hu[view.lesion] - background_hu
    half = 0.5 * float(np.percentile(excess, PLATEAU_PERCENTILE))
    if half <= 0:
        return None
    smooth = ndimage.gaussian_filter(view.hu - background_hu, (0.0, SMOOTH_PIXELS, SMOOTH_PIXELS))
    place = np.arange((view.hu.shape[0] - 1) * parts + 1) / parts
    low = np.floor(place).astype(int)
    share = (place - low)[:, None, None]
    fine = smooth[low] * (1 - share) + smooth[np.minimum(low + 1, len(smooth) - 1)] * share
    nearest = np.rint(place).astype(int)
    # A voxel beside the mask may be filled by less than half and still belong.
    near = ndimage.binary_dilation(view.lesion) & ~view.bone & ~view.other
    body = (fine >= half) & near[nearest]
    labels, count = ndimage.label(body)
    if count == 0:
        return None
    body = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    for plane in body:
        plane[...] = ndimage.binary_fill_holes(plane)
    drawn = view.lesion[nearest]
    bright = np.maximum(fine, 0.0)
    one_body = bright[body & drawn].sum() >= KEPT_EXCESS * bright[drawn].sum()
    return body if one_body else None
