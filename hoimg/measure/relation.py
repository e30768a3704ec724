"""Where a lesion lies relative to bone, metal and the end of the scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.measure.view import LesionView

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MaskWithin = Callable[[float], tuple[Bools, tuple[int, int, int]]]
"""Gives a mask cropped to a margin (mm) round the lesion and the crop's first index."""

MAX_POINTS = 60_000
"""More surface points than this are thinned before the nearest is looked for."""


@dataclass(frozen=True)
class Distance:
    """A distance in mm, or None with the reason."""

    value_mm: float | None
    reason: str | None = None


def surface_points(
    mask: Bools, spacing_mm: Triple, start: tuple[int, int, int] = (0, 0, 0)
) -> Floats:
    """Centres of the voxel faces between true and false, mm zyx, ``(n, 3)``.

    Faces, not voxel centres: the surface of a mask lies half a voxel outside of its last centre.
    The crop's own faces are no surface.
    """
    found = []
    for axis in range(3):
        low = np.moveaxis(mask, axis, 0)[:-1]
        high = np.moveaxis(mask, axis, 0)[1:]
        differs = low != high
        # On a flat array this is many times faster than argwhere where few voxels differ.
        flat = np.flatnonzero(differs)
        index = np.column_stack(np.unravel_index(flat, differs.shape)).astype(np.float64)
        index[:, 0] += 0.5
        order = [axis] + [a for a in range(3) if a != axis]
        back = np.empty_like(index)
        back[:, order] = index
        found.append(back)
    points: Floats = (np.concatenate(found) + np.asarray(start)) * np.asarray(spacing_mm)
    return points


def nearest_mm(points_mm: Floats, targets_mm: Floats, limit_mm: float = np.inf) -> Floats:
    """Distance of each point to the nearest target, mm; infinite beyond ``limit_mm``."""
    from scipy.spatial import cKDTree

    if len(targets_mm) == 0:
        return np.full(len(points_mm), np.inf)
    distance, _ = cKDTree(targets_mm).query(points_mm, distance_upper_bound=limit_mm)
    return np.asarray(distance, np.float64)


def values_at(
    array: NDArray[np.generic],
    points_mm: Floats,
    spacing_mm: Triple | Floats,
    start: tuple[int, int, int] = (0, 0, 0),
) -> NDArray[np.int64]:
    """Values of a crop at the voxels nearest to points, 0 outside of it.

    Args:
        array: Whole numbers or flags, ``[z, y, x]``.
        points_mm: mm zyx in the frame of the points, ``(..., 3)``.
        spacing_mm: Spacing zyx, mm.
        start: Index of the crop's first voxel in that frame.
    """
    index = np.rint(points_mm / np.asarray(spacing_mm) - np.asarray(start)).astype(np.intp)
    inside = ((index >= 0) & (index < array.shape)).all(axis=-1)
    out = np.zeros(index.shape[:-1], np.int64)
    z, y, x = index[inside].T
    out[inside] = array[z, y, x]
    return out


def distance_to(
    points_mm: Floats,
    within: MaskWithin,
    spacing_mm: Triple,
    *,
    name: str,
    present: bool,
    radius_mm: float,
) -> Distance:
    """Smallest distance between a lesion's surface and a mask's surface.

    The search widens in steps, so that a near neighbour costs a small crop only.

    Args:
        points_mm: The lesion's surface, mm zyx.
        within: Gives the mask near the lesion.
        spacing_mm: Spacing zyx, mm.
        name: ``bone`` or ``metal``, for the reason.
        present: Whether the exam holds any of it.
        radius_mm: Farthest distance looked for.

    Returns:
        The distance; None with ``no_<name>_in_view`` when the exam holds none, or
        ``<name>_beyond_search_radius``.
    """
    if not present:
        return Distance(None, f"no_{name}_in_view")
    beyond = f"{name}_beyond_search_radius"
    low, high = points_mm.min(axis=0), points_mm.max(axis=0)
    for margin in sorted({min(12.0, radius_mm), min(30.0, radius_mm), radius_mm}):
        mask, start = within(margin)
        if not mask.any():
            continue
        targets = surface_points(mask, spacing_mm, start)
        if len(targets) == 0:
            return Distance(0.0)
        if len(targets) > MAX_POINTS:
            # Only targets whose distance to the lesion's box does not exceed the best known
            # distance to a surface point can be the nearest one.
            gap = np.linalg.norm(np.maximum(np.maximum(low - targets, targets - high), 0.0), axis=1)
            few = targets[:: len(targets) // 2000 + 1]
            bound = float(nearest_mm(points_mm[:: len(points_mm) // 300 + 1], few).min())
            targets = targets[gap <= bound]
        best = float(nearest_mm(points_mm, targets).min())
        if best <= margin or margin >= radius_mm:
            return Distance(best) if best <= radius_mm else Distance(None, beyond)
    return Distance(None, beyond)


def touches(view: LesionView, mask: Bools) -> bool:
    """Whether a voxel of the lesion has a voxel of ``mask`` beside it (face, edge or corner)."""
    from scipy import ndimage

    near = view.narrow(2.0 * max(view.spacing_mm))
    offset = [a - b for a, b in zip(near.start, view.start, strict=True)]
    box = tuple(slice(o, o + n) for o, n in zip(offset, near.hu.shape, strict=True))
    grown = ndimage.binary_dilation(near.lesion, structure=np.ones((3, 3, 3), bool))
    return bool((grown & mask[box]).any())


def touches_scan_end(view: LesionView) -> bool:
    """Whether the mask reaches the array's edge or voxels beside or below the slices.

    Planes in a gap between slices do not count: see :func:`crosses_gap`.
    """
    for axis, (first, size) in enumerate(zip(view.start, view.size_of_exam, strict=True)):
        layers = np.moveaxis(view.lesion, axis, 0)
        at_start = first == 0 and bool(layers[0].any())
        at_stop = first + len(layers) == size and bool(layers[-1].any())
        if at_start or at_stop:
            return True
    if view.invalid is None:
        return False
    outside = view.invalid
    inside = [k - view.start[0] for k in view.gap_planes]
    inside = [k for k in inside if 0 <= k < len(outside)]
    if inside:
        outside = outside.copy()
        outside[inside] = False
    return touches(view, outside)


def crosses_gap(view: LesionView) -> bool:
    """Whether the mask lies in, across or right beside a plane that no slice imaged."""
    planes = np.flatnonzero(view.lesion.any(axis=(1, 2))) + view.start[0]
    return any(planes[0] - 1 <= k <= planes[-1] + 1 for k in view.gap_planes)
