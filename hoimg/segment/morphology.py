"""Morphology in millimetres: small balls as structuring elements, large ones by distance maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box, margin_voxels

Bool = NDArray[np.bool_]

MOST_ROWS = 600
"""A ball of more rows of voxels than this is slower than a distance map (timed on 13 million
voxels)."""


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
    """All voxels within ``radius_mm`` of the mask, between voxel centres."""
    box = bounding_box(mask, margin_voxels(radius_mm, spacing_zyx_mm))
    out = np.zeros_like(mask)
    if box is not None:
        out[box] = _dilate(mask[box], radius_mm, spacing_zyx_mm)
    return out


def erode_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Voxels farther than ``radius_mm`` from the outside; beyond the array's edge is inside."""
    box = bounding_box(mask, (1, 1, 1))
    out = np.zeros_like(mask)
    if box is not None:
        out[box] = mask[box] & ~_dilate(~mask[box], radius_mm, spacing_zyx_mm)
    return out


def open_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Erosion, then dilation: parts thinner than twice the radius go."""
    core = erode_mm(mask, radius_mm, spacing_zyx_mm)
    return dilate_mm(core, radius_mm, spacing_zyx_mm) & mask


def close_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Dilation, then erosion: gaps narrower than twice the radius fill."""
    grown = dilate_mm(mask, radius_mm, spacing_zyx_mm)
    return mask | erode_mm(grown, radius_mm, spacing_zyx_mm)


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
        return out
    import SimpleITK as sitk

    # What faces join to the outside is no hole; one labelling is far faster than scipy's flooding.
    around = np.pad(~mask[box], 1, constant_values=True).astype(np.uint8)
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(around), False))
    out[box] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
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
    """Both ways give the same voxels; moving a small ball's rows is several times faster."""
    half = _half_rows(radius_mm, spacing_zyx_mm)
    if sum(2 ** ((z > 0) + (y > 0)) for z, y in half) > MOST_ROWS:
        # The map is float32: a centre exactly on the sphere must not fall outside by rounding.
        near: Bool = distance_mm(mask, spacing_zyx_mm) <= radius_mm + 1e-4
        return near
    rows = [mask]
    for reach in range(1, max(half.values()) + 1):
        wider = rows[-1].copy()
        if reach < mask.shape[2]:
            wider[:, :, reach:] |= mask[:, :, :-reach]
            wider[:, :, :-reach] |= mask[:, :, reach:]
        rows.append(wider)
    out = rows[half[0, 0]].copy()
    for (z, y), reach in half.items():
        for dz in {z, -z}:
            for dy in {y, -y}:
                if (dz or dy) and z < mask.shape[0] and y < mask.shape[1]:
                    to_z, from_z = _moved(dz)
                    to_y, from_y = _moved(dy)
                    out[to_z, to_y] |= rows[reach][from_z, from_y]
    return out


def _half_rows(radius_mm: float, spacing_zyx_mm: Sequence[float]) -> dict[tuple[int, int], int]:
    """A ball as rows along x: offset (z, y), not negative, to the row's reach to either side."""
    sz, sy, sx = spacing_zyx_mm
    limit = radius_mm**2 + 1e-6
    out = {}
    for z in range(int(radius_mm / sz + 1e-6) + 1):
        for y in range(int(radius_mm / sy + 1e-6) + 1):
            rest = limit - (z * sz) ** 2 - (y * sy) ** 2
            if rest >= 0:
                out[z, y] = int(rest**0.5 / sx + 1e-9)
    return out


def _moved(step: int) -> tuple[slice, slice]:
    """Where to, and where from, to move an array by a step along one axis."""
    if step == 0:
        return slice(None), slice(None)
    if step > 0:
        return slice(step, None), slice(None, -step)
    return slice(None, step), slice(-step, None)
