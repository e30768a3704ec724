"""Morphology in millimetres, through distance maps: cost does not grow with the radius."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box, margin_voxels

Bool = NDArray[np.bool_]


def distance_mm(mask: Bool, spacing_zyx_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance from each voxel centre to the nearest true voxel centre, mm; inf if none is true.

    Args:
        mask: Boolean array zyx.
        spacing_zyx_mm: Voxel spacing, mm.
    """
    import SimpleITK as sitk

    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(s) for s in spacing_zyx_mm[::-1]])
    # Danielsson/Maurer of the complement would measure to the boundary; the squared, unsigned map
    # measures between voxel centres, which is what a radius in mm means here.
    field = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    out: NDArray[np.float32] = np.maximum(sitk.GetArrayFromImage(field), 0)
    return out


def dilate_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """All voxels within ``radius_mm`` of the mask."""
    return _in_box(mask, radius_mm, spacing_zyx_mm, _dilate)


def erode_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Voxels farther than ``radius_mm`` from the outside; beyond the array's edge is inside."""
    if not mask.any():
        return mask.copy()
    return mask & (distance_mm(~mask, spacing_zyx_mm) > radius_mm)


def open_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Erosion, then dilation: parts thinner than twice the radius go."""
    core = erode_mm(mask, radius_mm, spacing_zyx_mm)
    return dilate_mm(core, radius_mm, spacing_zyx_mm) & mask


def close_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Dilation, then erosion: gaps narrower than twice the radius fill."""

    def closing(part: Bool, radius: float, spacing: Sequence[float]) -> Bool:
        grown = _dilate(part, radius, spacing)
        return part | (grown & (distance_mm(~grown, spacing) > radius))

    return _in_box(mask, radius_mm, spacing_zyx_mm, closing, room=2)


def fill_holes(mask: Bool, per_slice: bool = False) -> Bool:
    """Fill cavities that nothing connects with the outside, in 3D or slice by slice (axial).

    Slice by slice also fills tubes that leave the field of view, such as a long bone's marrow.
    """
    from scipy import ndimage as ndi

    box = bounding_box(mask)
    if box is None:
        return mask.copy()
    out = mask.copy()
    if per_slice:
        for z in range(box[0].start, box[0].stop):
            out[z, box[1], box[2]] = ndi.binary_fill_holes(mask[z, box[1], box[2]])
    else:
        out[box] = ndi.binary_fill_holes(mask[box])
    return out


def label_components(mask: Bool) -> tuple[NDArray[np.int32], int]:
    """Connected components (26 neighbours): label map int32 and how many."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    labelled = sitk.ConnectedComponent(image, True)
    array: NDArray[np.int32] = sitk.GetArrayFromImage(labelled).astype(np.int32)
    return array, int(array.max())


def remove_small(mask: Bool, min_voxels: float) -> Bool:
    """Drop components of fewer than ``min_voxels`` voxels."""
    labels, count = label_components(mask)
    if count == 0:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    keep = sizes >= min_voxels
    keep[0] = False
    kept: Bool = keep[labels]
    return kept


def smooth_mm(
    hu: NDArray[Any], sigma_mm: float, spacing_zyx_mm: Sequence[float]
) -> NDArray[np.float32]:
    """Gaussian smoothing with a width in mm, as float32."""
    from scipy import ndimage as ndi

    out: NDArray[np.float32] = ndi.gaussian_filter(
        hu, [sigma_mm / s for s in spacing_zyx_mm], output=np.float32, truncate=3.0, mode="nearest"
    )
    return out


def _dilate(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    grown: Bool = distance_mm(mask, spacing_zyx_mm) <= radius_mm
    return grown


def _in_box(
    mask: Bool, radius_mm: float, spacing: Sequence[float], work: Any, room: int = 1
) -> Bool:
    box = bounding_box(mask, margin_voxels(room * radius_mm + max(spacing), spacing))
    out = np.zeros_like(mask)
    if box is not None:
        out[box] = work(mask[box], radius_mm, spacing)
    return out
