"""Morphology in millimetres: small balls as structuring elements, large ones by distance maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box, margin_voxels

Bool = NDArray[np.bool_]

LARGEST_BALL_VOXELS = 250
"""Above this a distance map is faster than a structuring element (timed on 5 million voxels)."""


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
    """Both ways give the same voxels; a small ball is several times faster than a distance map."""
    from scipy import ndimage as ndi

    ball = _ball(radius_mm, spacing_zyx_mm)
    grown: Bool
    if ball.sum() <= LARGEST_BALL_VOXELS:
        grown = ndi.binary_dilation(mask, ball)
    else:
        # The map is float32: a centre exactly on the sphere must not fall outside by rounding.
        grown = distance_mm(mask, spacing_zyx_mm) <= radius_mm + 1e-4
    return grown


def _ball(radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """All voxel offsets within the radius, as a structuring element."""
    reach = [int(radius_mm / s + 1e-6) for s in spacing_zyx_mm]
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    squared = sum((a * s) ** 2 for a, s in zip(axes, spacing_zyx_mm, strict=True))
    inside: Bool = np.asarray(squared <= radius_mm**2 + 1e-6)
    return inside
