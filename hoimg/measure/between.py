"""The least distance between two surfaces that face each other across soft tissue.

Masks give it to a voxel: the least of many distances between voxel faces is on the average shorter
than the real one, most of all on a grid that lies askew. So the nearest pairs of faces are looked
up in the CT: along the line through a pair each surface lies where HU is half way between its own
peak and the soft tissue in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple

Floats = NDArray[np.float64]

INSIDE_MM = 3.0
"""How far behind a face its peak is looked for."""

STEP_MM = 0.2

MIN_RISE_HU = 100.0
"""A smaller rise above the tissue in between is no edge; the masks' faces stand."""

MAX_PAIRS = 200


@dataclass(frozen=True, eq=False)
class Between:
    """A distance and its two ends.

    Attributes:
        distance_mm: Between the surfaces.
        ends_mm: On the first and on the second surface, ``(2, 3)`` mm zyx in the array's frame.
    """

    distance_mm: float
    ends_mm: Floats


def between(
    first_mm: Floats, second_mm: Floats, hu: NDArray[np.generic], spacing_mm: Triple
) -> Between | None:
    """The least distance between two surfaces.

    Args:
        first_mm: Points on the first, ``(n, 3)`` mm zyx in the array's frame.
        second_mm: Points on the second.
        hu: The exam.
        spacing_mm: Spacing zyx, mm.

    Returns:
        The distance; None when either has no point.
    """
    from scipy.spatial import cKDTree

    if len(first_mm) == 0 or len(second_mm) == 0:
        return None
    distance, which = cKDTree(second_mm).query(first_mm)
    voxel = float(np.linalg.norm(spacing_mm))
    near = np.argsort(distance)[:MAX_PAIRS]
    near = near[distance[near] <= distance[near[0]] + voxel]
    a, b = first_mm[near], second_mm[which[near]]
    masks = Between(float(distance[near[0]]), np.stack([a[0], b[0]]))
    length = distance[near]
    if length[0] < 1e-6:
        return masks
    unit = (b - a) / length[:, None]
    found = [
        _edges(hu, spacing_mm, p, u, float(n), voxel)
        for p, u, n in zip(a, unit, length, strict=True)
    ]
    seen = [(k, e) for k, e in enumerate(found) if e is not None]
    if len(seen) < len(found) / 2:
        return masks
    k, (start, stop) = min(seen, key=lambda item: item[1][1] - item[1][0])
    return Between(stop - start, np.stack([a[k] + unit[k] * start, a[k] + unit[k] * stop]))


def _edges(
    hu: NDArray[np.generic], spacing_mm: Triple, point: Floats, unit: Floats, length: float,
    voxel_mm: float,
) -> tuple[float, float] | None:  # fmt: skip
    """Where a line from one surface to the other leaves the first and meets the second, mm.

    None where the CT shows no soft tissue between two edges, or shows an edge more than a voxel's
    diagonal from its mask's face: then it is another edge.
    """
    along = np.arange(-INSIDE_MM, length + INSIDE_MM + STEP_MM, STEP_MM)
    value = _along(hu, spacing_mm, point, unit, along)
    middle = (along > -voxel_mm) & (along < length + voxel_mm)
    low = int(np.flatnonzero(middle)[value[middle].argmin()])
    left, right = value[: low + 1].max(), value[low:].max()
    base = float(value[low])
    if min(left, right) - base < MIN_RISE_HU:
        return None
    left_half, right_half = (left + base) / 2.0, (right + base) / 2.0
    before = int(np.flatnonzero(value[: low + 1] >= left_half)[-1])
    after = low + int(np.flatnonzero(value[low:] >= right_half)[0])
    # Linear between the samples on both sides of a half-height.
    start = along[before] + STEP_MM * _part(value[before], left_half, value[before + 1])
    stop = along[after] - STEP_MM * _part(value[after], right_half, value[after - 1])
    if abs(start) > voxel_mm or abs(stop - length) > voxel_mm:
        return None
    return float(start), float(stop)


def _part(high: float, half: float, low: float) -> float:
    """How far a half-height lies from a sample above it towards the next one below it, 0 to 1."""
    return float((high - half) / max(high - low, 1e-6))


def _along(
    hu: NDArray[np.generic], spacing_mm: Triple, point: Floats, unit: Floats, along: Floats
) -> NDArray[np.float32]:
    """HU on a line, linear between voxels, from as small a crop as holds it."""
    from scipy import ndimage

    place = (point + unit * along[:, None]) / np.asarray(spacing_mm)
    low = np.clip(np.floor(place.min(axis=0)).astype(int), 0, np.asarray(hu.shape) - 1)
    high = np.clip(np.ceil(place.max(axis=0)).astype(int) + 1, low + 1, hu.shape)
    crop = hu[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    out = ndimage.map_coordinates(crop, (place - low).T, order=1, mode="nearest")
    return np.asarray(out, np.float32)
