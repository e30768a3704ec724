"""The closed surface that best parts evidence for a lesion from evidence against it.

Rays leave a point inside the lesion in all directions; the surface crosses each of them once, and
neighbouring rays at about the same place. Of all such surfaces the one with the largest sum of
evidence inside is found exactly, as a minimum cut of a graph (Wu and Chen, ICALP 2002; Li et al.,
IEEE Trans Pattern Anal Mach Intell 2006;28:119-134). Gaps in a rim and between floccules need no
closing by a ball: the rays beside a gap hold the surface. A form that is not seen whole from one
point is put together from several.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box
from hoimg.segment.morphology import distance_mm, open_mm

Bool = NDArray[np.bool_]
Floats = NDArray[np.float32]

RAYS = 500
STEP_MM = 0.5
"""Distance of two nodes on a ray: below the voxel spacing of most exams."""
STEEPEST = 2
"""Neighbouring rays end at most this many steps apart."""
SMOOTHNESS = 0.02
"""Cost of each step between neighbouring rays, in evidence: enough to decide where nothing else
does, too little to round a lesion off."""
GAP_MM = 5.0
"""Behind this much of clear soft tissue on a ray lies something else."""
CLEAR = -0.5
"""Evidence below this is clear."""
NEAREST_GAP_MM = 6.0
"""The core of a lesion may be soft: gaps nearer to the point than this do not count."""
LEFT_OVER_MM = 8.0
"""Parts of the form farther than this from all points so far get a point of their own, where they
are at least two millimetres deep."""
DEPTH_MM = 2.0
SKIN_MM = 1.0
MOST_POINTS = 6
_SURE = 100_000_000
_SCALE = 100.0
"""Evidence is rounded to hundredths: the cut is of whole numbers."""


def enclosed_part(mask: Bool, spacing_zyx_mm: Sequence[float], reach_mm: float) -> Floats:
    """From how many of 26 directions a voxel meets the mask within ``reach_mm``: 0 to 1.

    Args:
        mask: Boolean array zyx.
        spacing_zyx_mm: Voxel spacing, mm.
        reach_mm: How far is looked.
    """
    out = np.zeros(mask.shape, dtype=np.float32)
    steps = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if a or b or c]
    for step in steps:
        length = float(np.linalg.norm(np.multiply(step, spacing_zyx_mm)))
        out += _met(mask, step, max(1, int(reach_mm / length)))
    return out / np.float32(len(steps))


def star_union(
    evidence: Floats,
    point: Sequence[float] | NDArray[np.float64],
    spacing_zyx_mm: Sequence[float],
    reach_mm: float,
    *,
    clear: float = CLEAR,
    gap_mm: float = GAP_MM,
) -> Bool:
    """The form with the largest sum of evidence that is seen from a few points inside.

    Args:
        evidence: float32 zyx, about -1 (not the lesion) to 1 (the lesion).
        point: Inside the lesion, array index zyx.
        spacing_zyx_mm: Voxel spacing, mm.
        reach_mm: The surface lies at most this far from each point.
        clear: Evidence below this is clear soft tissue.
        gap_mm: Behind this much of it on a ray lies something else.

    Returns:
        Boolean array of the evidence's shape; never empty.
    """
    spacing = np.asarray(spacing_zyx_mm, dtype=float)
    points = [np.asarray(point, dtype=float)]
    found = star(evidence, points[0], spacing, reach_mm, clear, gap_mm)
    far = _distance_to(points[0], evidence.shape, spacing)
    for _ in range(MOST_POINTS - 1):
        depth = distance_mm(~np.pad(found, 1), spacing_zyx_mm)[1:-1, 1:-1, 1:-1]
        wish = np.where(depth >= DEPTH_MM, far - LEFT_OVER_MM + 0.5 * depth, 0.0)
        if wish.max() <= 0:
            break
        more = np.array(np.unravel_index(int(wish.argmax()), wish.shape), dtype=float)
        seen = star(evidence, more, spacing, reach_mm, clear, gap_mm)
        # Two surfaces of one face differ by a part of a step; their union would lie too far out.
        found |= open_mm(seen & ~found, SKIN_MM, spacing_zyx_mm)
        far = np.minimum(far, _distance_to(more, evidence.shape, spacing))
    return found


def star(
    evidence: Floats,
    point: NDArray[np.float64],
    spacing: NDArray[np.float64],
    reach_mm: float,
    clear: float,
    gap_mm: float,
) -> Bool:
    """The form seen whole from one point; arguments as for :func:`star_union`."""
    from scipy import ndimage as ndi

    rays, neighbours = _rays(RAYS)
    radii: NDArray[np.float64] = STEP_MM * np.arange(1.0, 1.0 + max(4, int(reach_mm / STEP_MM)))
    places = rays[:, None, :] * radii[None, :, None] / spacing + point
    last = np.asarray(evidence.shape) - 0.5
    outside = ((places < -0.5) | (places > last)).any(axis=-1)
    values = ndi.map_coordinates(evidence, places.reshape(-1, 3).T, order=1, mode="nearest")
    values = values.reshape(outside.shape)
    values[outside] = -2.0
    kept = _to_first_gap(values, radii, clear, gap_mm).astype(np.float64)
    ends = radii[_cut(-STEP_MM * np.cumsum(kept, axis=1), neighbours)]
    return _inside(ends, rays, point, spacing, evidence.shape)


def _to_first_gap(
    values: Floats, radii: NDArray[np.float64], clear: float, gap_mm: float
) -> Floats:
    """Evidence along rays, with none left behind the first wide gap."""
    out = values.copy()
    run = np.zeros(len(values))
    over = np.zeros(len(values), dtype=bool)
    for k, radius in enumerate(radii):
        run = np.where(values[:, k] < clear, run + STEP_MM, 0.0)
        over |= (run >= gap_mm) & (radius > NEAREST_GAP_MM)
        out[over, k] = np.minimum(out[over, k], -0.4)
    return out


def _cut(cost: NDArray[np.float64], neighbours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the surface on every ray: the closed set of least cost, by a minimum cut."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count, length = cost.shape
    weight = np.diff(cost, axis=1, prepend=0.0) * _SCALE
    weight[:, 0] = -1e6  # the first node is inside
    whole = np.rint(np.clip(weight, -1e6, 1e6)).astype(np.int64).ravel()
    nodes = np.arange(count * length).reshape(count, length)
    source, sink = count * length, count * length + 1
    start, end, size = [nodes[:, 1:].ravel()], [nodes[:, :-1].ravel()], [_SURE]
    for own, other in (neighbours.T, neighbours.T[::-1]):
        for fewer, price in ((STEEPEST, _SURE), (0, max(1, int(SMOOTHNESS * _SCALE)))):
            start.append(nodes[own][:, fewer + 1 :].ravel())
            end.append(nodes[other][:, 1 : length - fewer].ravel())
            size.append(price)
    sizes = [np.full(len(s), price) for s, price in zip(start, size, strict=True)]
    wanted, unwanted = np.flatnonzero(whole < 0), np.flatnonzero(whole > 0)
    start += [np.full(wanted.size, source), unwanted]
    end += [wanted, np.full(unwanted.size, sink)]
    sizes += [-whole[wanted], whole[unwanted]]
    graph = coo_matrix(
        (np.concatenate(sizes).astype(np.int32), (np.concatenate(start), np.concatenate(end))),
        shape=(sink + 1, sink + 1),
    ).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    inside = np.zeros(sink + 1, dtype=bool)
    inside[breadth_first_order(left, source, return_predecessors=False)] = True
    found: NDArray[np.int64] = inside[:source].reshape(count, length).sum(axis=1) - 1
    return np.maximum(found, 0)


def _inside(
    ends: NDArray[np.float64],
    rays: NDArray[np.float64],
    point: NDArray[np.float64],
    spacing: NDArray[np.float64],
    shape: tuple[int, ...],
) -> Bool:
    """Voxels nearer to the point than the surface in their direction (of the three rays next)."""
    from scipy.spatial import cKDTree

    reach = np.ceil((ends.max() + 1.0) / spacing).astype(int)
    middle = np.rint(point).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, shape)
    box = _box(low, high)
    axes = [(np.arange(a, b) - p) * s for a, b, p, s in zip(low, high, point, spacing, strict=True)]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    length = np.linalg.norm(offsets, axis=-1)
    direction = offsets / np.maximum(length, 1e-6)[..., None]
    gap, nearest = cKDTree(rays).query(direction.reshape(-1, 3), k=3)
    share = 1.0 / np.maximum(gap, 1e-3)
    end = (share * ends[nearest]).sum(axis=1) / share.sum(axis=1)
    out = np.zeros(shape, dtype=bool)
    # The surface lies half a step behind the last node that is inside.
    out[box] = length <= end.reshape(length.shape) + 0.5 * STEP_MM
    return out


def _box(low: NDArray[np.int64], high: NDArray[np.int64]) -> Box:
    return (
        slice(int(low[0]), int(high[0])),
        slice(int(low[1]), int(high[1])),
        slice(int(low[2]), int(high[2])),
    )


def _distance_to(
    point: NDArray[np.float64], shape: tuple[int, ...], spacing: NDArray[np.float64]
) -> NDArray[np.float64]:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    squared: NDArray[np.float64] = (
        ((z - point[0]) * spacing[0]) ** 2
        + ((y - point[1]) * spacing[1]) ** 2
        + ((x - point[2]) * spacing[2]) ** 2
    )
    return np.sqrt(squared)


@lru_cache(maxsize=4)
def _rays(count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Even directions on the sphere (a Fibonacci spiral) ``(n, 3)``, and pairs of neighbours."""
    from scipy.spatial import ConvexHull

    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    turn = np.pi * (1 + 5**0.5) * k
    across = np.sqrt(1 - z * z)
    rays = np.stack([z, np.sin(turn) * across, np.cos(turn) * across], axis=1)
    triangles = ConvexHull(rays).simplices
    pairs = np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])
    return rays, np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64)


def _met(mask: Bool, step: tuple[int, int, int], count: int) -> Bool:
    """Whether any of the next ``count`` voxels in a direction is true, by doubling."""
    out = _moved(mask, step, 1)
    done = 1
    while done < count:
        more = min(done, count - done)
        out = out | _moved(out, step, more)
        done += more
    return out


def _moved(mask: Bool, step: tuple[int, int, int], times: int) -> Bool:
    out = np.zeros_like(mask)
    source, target = [], []
    for one, size in zip(step, mask.shape, strict=True):
        shift = one * times
        if abs(shift) >= size:
            return out
        source.append(slice(max(shift, 0), size + min(shift, 0)))
        target.append(slice(max(-shift, 0), size - max(shift, 0)))
    out[tuple(target)] = mask[tuple(source)]
    return out
