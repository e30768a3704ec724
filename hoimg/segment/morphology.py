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

SMALL_VOXELS = 60_000
"""Of fewer voxels scipy's distance map takes less than the start of SimpleITK's threads."""


def distance_mm(mask: Bool, spacing_zyx_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance from each voxel centre to the nearest true voxel centre, mm; inf if none is true.

    Args:
        mask: Boolean array zyx.
        spacing_zyx_mm: Voxel spacing, mm.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    if mask.size < SMALL_VOXELS:
        from scipy import ndimage as ndi

        exact = ndi.distance_transform_edt(~mask, sampling=spacing_zyx_mm)
        return np.asarray(exact, dtype=np.float32)
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(s) for s in spacing_zyx_mm[::-1]])
    # Danielsson/Maurer of the complement would measure to the boundary; the squared, unsigned map
    # measures between voxel centres, which is what a radius in mm means here.
    field = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    out: NDArray[np.float32] = np.maximum(sitk.GetArrayViewFromImage(field), 0)
    return out


def depth_mm(mask: Bool, spacing_zyx_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance from each voxel centre of the mask to the nearest one outside of it, mm; 0 outside.

    Beyond the array's edge is outside, one voxel away.

    Args:
        mask: Boolean array zyx.
        spacing_zyx_mm: Voxel spacing, mm.
    """
    out = np.zeros(mask.shape, dtype=np.float32)
    box = bounding_box(mask)
    if box is not None:
        away = distance_mm(~np.pad(mask[box], 1), spacing_zyx_mm)
        out[box] = away[1:-1, 1:-1, 1:-1]
    return out


def dilate_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """All voxels within ``radius_mm`` of the mask, between voxel centres."""
    return dilations_mm(mask, (radius_mm,), spacing_zyx_mm)[0]


def dilations_mm(
    mask: Bool, radii_mm: Sequence[float], spacing_zyx_mm: Sequence[float]
) -> list[Bool]:
    """A mask dilated by each of some radii, at little more than the cost of the largest."""
    box = bounding_box(mask, margin_voxels(max(radii_mm), spacing_zyx_mm))
    if box is None:
        return [np.zeros_like(mask) for _ in radii_mm]
    out = []
    for grown in _dilate(mask[box], radii_mm, spacing_zyx_mm):
        whole = np.zeros_like(mask)
        whole[box] = grown
        out.append(whole)
    return out


def erode_mm(mask: Bool, radius_mm: float, spacing_zyx_mm: Sequence[float]) -> Bool:
    """Voxels farther than ``radius_mm`` from the outside; beyond the array's edge is inside."""
    box = bounding_box(mask, (1, 1, 1))
    out = np.zeros_like(mask)
    if box is not None:
        out[box] = mask[box] & ~_dilate(~mask[box], (radius_mm,), spacing_zyx_mm)[0]
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
    import cc3d

    box = bounding_box(mask)
    if box is None:
        return mask.copy()
    out = mask.copy()
    # What faces join to the outside is no hole. One labelling is far faster than flooding; for
    # slices on their own, an empty one between each two keeps them apart.
    room = [(0, 0) if per_slice else (1, 1), (1, 1), (1, 1)]
    around = np.pad(~mask[box], room, constant_values=True)
    if per_slice:
        parted = np.zeros((2 * around.shape[0], *around.shape[1:]), dtype=bool)
        parted[::2] = around
        labels = cc3d.connected_components(parted, connectivity=6)[::2]
        out[box] = (labels != labels[:, :1, :1])[:, 1:-1, 1:-1]
    else:
        labels = cc3d.connected_components(around, connectivity=6)
        out[box] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return out


def label_components(mask: Bool) -> tuple[NDArray[np.int32], int]:
    """Connected components (26 neighbours): label map int32, in the order of their first voxels,
    and how many."""
    import cc3d

    labels, count = cc3d.connected_components(
        mask, connectivity=26, out_dtype=np.uint32, return_N=True
    )
    return labels.view(np.int32), int(count)


def remove_small(mask: Bool, min_voxels: float) -> Bool:
    """Drop components of fewer than ``min_voxels`` voxels."""
    import cc3d

    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    # Mineral is a small part of a scan: only its own voxels are counted and written.
    at = np.nonzero(mask)
    own = labels[at]
    out = np.zeros_like(mask)
    out[at] = np.bincount(own, minlength=count + 1)[own] >= min_voxels
    return out


def smooth_mm(
    hu: NDArray[Any], sigma_mm: float, spacing_zyx_mm: Sequence[float]
) -> NDArray[np.float32]:
    """Gaussian smoothing with a width in mm, as float32."""
    from scipy import ndimage as ndi

    out: NDArray[np.float32] = ndi.gaussian_filter(
        hu, [sigma_mm / s for s in spacing_zyx_mm], output=np.float32, truncate=3.0, mode="nearest"
    )
    return out


def _dilate(mask: Bool, radii_mm: Sequence[float], spacing_zyx_mm: Sequence[float]) -> list[Bool]:
    """Both ways give the same voxels; moving a small ball's rows is several times faster."""
    balls = [_half_rows(radius, spacing_zyx_mm) for radius in radii_mm]
    if sum(2 ** ((z > 0) + (y > 0)) for ball in balls for z, y in ball) > MOST_ROWS:
        away = distance_mm(mask, spacing_zyx_mm)
        # The map is float32: a centre exactly on the sphere must not fall outside by rounding.
        return [away <= radius + 1e-4 for radius in radii_mm]
    # Rows lie end to end, with empty voxels between, so that each step is one run over memory (an
    # array's own rows are too short for numpy), and eight voxels lie in a byte.
    wide = max(max(ball.values()) for ball in balls)
    high = max(y for ball in balls for _, y in ball)
    size = mask.shape[2]
    rows_yx = (mask.shape[1] + high, size + wide + -(size + wide) % 8)
    laid = np.zeros((mask.shape[0], *rows_yx), dtype=bool)  # np.pad takes three times as long
    laid[:, : mask.shape[1], :size] = mask
    grown, row = laid.ravel(), laid.ravel().copy()
    rows = [np.packbits(row)]
    for reach in range(1, wide + 1):
        row[reach:] |= grown[:-reach]
        row[:-reach] |= grown[reach:]
        rows.append(np.packbits(row))
    out = []
    for ball in balls:
        every = rows[ball[0, 0]].copy()
        for (z, y), reach in ball.items():
            for dz in {z, -z}:
                for dy in {y, -y}:
                    step = (dz * laid.shape[1] + dy) * laid.shape[2] // 8
                    if step > 0:
                        every[step:] |= rows[reach][:-step]
                    elif step < 0:
                        every[:step] |= rows[reach][-step:]
        voxels = np.unpackbits(every, count=laid.size).view(bool).reshape(laid.shape)
        out.append(np.ascontiguousarray(voxels[:, : mask.shape[1], :size]))
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
