"""Edges of one surface along the scan's own axes: how wide each is, and how it lies.

The surface of a mask is crossed by rows of voxels along one axis. Between the voxels of a row HU
are those of the cubic spline, which needs no more than the row; so nothing but the rows is read,
and along z there is no slab to cut. Four rows beside it, where the same edge lies a little farther
in or out, say how the surface is tilted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.measure.profiles import DISTANCES_MM, INSIDE_MM, OUTSIDE_MM, Edges, read_edges
from hoimg.measure.size import FWHM_PER_SIGMA
from hoimg.measure.view import AIR_HU

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

ROWS_PER_PLANE = 100
PLANES = 16
"""Rows along x and y: so many of them in each of so many slices."""

ROWS_ALONG_Z = 2000
LINES_OF_Z = 48
"""Rows along z: so many, in planes through so many rows of the image."""

BESIDE_MM = 1.5
"""How far away the rows beside are."""

MAX_SLOPE = 0.75
"""Beyond this (37 degrees) a row crosses the surface too obliquely."""

BASE_MM = 3.0
"""Length over which the tissue outside is read."""


LEAD_MM = (2.5, 4.0)
"""The tissue outside is read from here on at the earliest and the latest."""

EVEN_HU = 60.0
"""Beyond this between the nearer and the farther half of it, it is not one tissue."""

AGAIN_MM = 1.5
"""The mask met again farther out than this is another part of it."""

REACH_MM = 1.5
"""How far outside of the mask an edge may lie, or three quarters of a voxel."""

ZONE_MM = 3.0
"""How far inside of it its peak may lie."""


@dataclass(frozen=True)
class Surface:
    """What HU an edge joins.

    Attributes:
        base_hu: Least and most outside.
        peak_hu: Least and most inside.
        shell: Whether it may be a thin shell, of bone.
    """

    base_hu: tuple[float, float]
    peak_hu: tuple[float, float]
    shell: bool


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of voxels that cross a surface, ``n`` of them.

    Attributes:
        inside: Index zyx of the last voxel within the mask, ``(n, 3)``.
        outward: +1 or -1, the direction along the axis that leads out, ``(n,)``.
        axis: Of z, y, x.
    """

    inside: Indices
    outward: Indices
    axis: int

    def __getitem__(self, use: Bools | Indices) -> Rows:
        return Rows(self.inside[use], self.outward[use], self.axis)


def rows_across(mask: Bools, axis: int, planes: Indices | None = None) -> Rows:
    """Evenly chosen rows that cross the mask's surface.

    Args:
        mask: ``[z, y, x]``.
        axis: Along which the rows run.
        planes: Slices in which rows along y or x are looked for; unused along z.
    """
    if axis == 0:
        lines = evenly(np.flatnonzero(mask[::2].any(axis=(0, 2))), LINES_OF_Z)
        inside, outward = _changes(mask[:, lines], 0)
        inside[:, 1] = lines[inside[:, 1]]
        take = evenly(np.arange(len(inside)), ROWS_ALONG_Z)
        return Rows(inside[take], outward[take], 0)
    inside_parts: list[Indices] = [np.empty((0, 3), np.intp)]
    outward_parts: list[Indices] = [np.empty(0, np.intp)]
    for z in planes if planes is not None else ():
        inside, outward = _changes(mask[z : z + 1], axis)
        take = evenly(np.arange(len(inside)), ROWS_PER_PLANE)
        inside_parts.append(inside[take] + np.array([z, 0, 0], np.intp))
        outward_parts.append(outward[take])
    return Rows(np.concatenate(inside_parts), np.concatenate(outward_parts), axis)


def _changes(mask: Bools, axis: int) -> tuple[Indices, Indices]:
    """Where rows along ``axis`` leave the mask: last voxel inside, and the way out."""
    low = np.moveaxis(mask, axis, 0)[:-1]
    high = np.moveaxis(mask, axis, 0)[1:]
    differs = low != high
    # On a flat array this is many times faster than argwhere where few voxels differ.
    index = np.column_stack(np.unravel_index(np.flatnonzero(differs), differs.shape))
    outward = np.where(low[tuple(index.T)], 1, -1)
    index[:, 0] += outward < 0
    order = [1, 2]
    order.insert(axis, 0)
    return index[:, order], outward


def evenly(items: Indices, count: int) -> Indices:
    """At most ``count`` of the items, evenly chosen."""
    if len(items) <= count:
        return items
    return items[np.linspace(0, len(items) - 1, count).round().astype(np.intp)]


@dataclass(frozen=True, eq=False)
class Samples:
    """Where the voxels of each row lie.

    Attributes:
        index: ``(n, k, 3)``.
        distance_mm: Of each from the mask's border, outwards, ``(k,)``.
    """

    index: Indices
    distance_mm: Floats

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Values there, ``(n, k)``."""
        return array[self.index[..., 0], self.index[..., 1], self.index[..., 2]]


def samples_of(rows: Rows, spacing_mm: Triple, shift: tuple[int, int, int] = (0, 0, 0)) -> Samples:
    """The voxels of each row (or of the row beside it), as far as profiles reach."""
    step = _row_steps(spacing_mm[rows.axis])
    index = np.repeat((rows.inside + np.asarray(shift))[:, None, :], len(step), axis=1)
    index[..., rows.axis] += rows.outward[:, None] * step
    distance = np.asarray(step - 0.5, np.float64) * spacing_mm[rows.axis]
    return Samples(index, distance)


def _whole(rows: Rows, spacing_mm: Triple, shape: tuple[int, ...]) -> Rows:
    """Those rows which, with the rows beside them, end within the scan."""
    reach = np.array(_beside(spacing_mm))
    reach[rows.axis] = 0
    low, high = rows.inside - reach, rows.inside + reach
    steps = _row_steps(spacing_mm[rows.axis])
    ends = rows.inside[:, rows.axis, None] + rows.outward[:, None] * steps[[0, -1]]
    low[:, rows.axis], high[:, rows.axis] = ends.min(axis=1), ends.max(axis=1)
    return rows[((low >= 0) & (high < np.asarray(shape))).all(axis=1)]


def _row_steps(step_mm: float) -> Indices:
    count = int(np.ceil(OUTSIDE_MM / step_mm + 0.5)) + 1
    return np.arange(1 - count, count + 1)


def _beside(spacing_mm: Triple) -> list[int]:
    return [max(1, round(BESIDE_MM / s)) for s in spacing_mm]


@lru_cache(maxsize=8)
def _spline(step_mm: float) -> Floats:
    """Weights ``(k, len(DISTANCES_MM))`` that give a row's cubic spline at ``DISTANCES_MM``."""
    from scipy import ndimage

    steps = _row_steps(step_mm)
    place = DISTANCES_MM / step_mm + 0.5 - steps[0]
    unit = np.eye(len(steps))
    return np.stack([ndimage.map_coordinates(row, [place], order=3, mode="mirror") for row in unit])


def profiles_of(hu: NDArray[np.generic], samples: Samples) -> Floats:
    """HU at ``DISTANCES_MM`` of each row."""
    step = float(samples.distance_mm[1] - samples.distance_mm[0])
    return np.asarray(samples.of(hu), np.float64) @ _spline(step)


def read_steps(
    hu: NDArray[np.generic],
    spacing_mm: Triple,
    mask: Bools,
    rows: Rows,
    surface: Surface,
    *,
    blur_mm: float,
    blocked: Callable[[Samples], Bools],
) -> tuple[Edges, Floats]:
    """Read the edge that each row crosses, where it can be read.

    Left out are rows that end outside of the scan, that touch what is blocked or another part of
    the mask farther out, whose tissue outside is uneven, or that cross the surface obliquely.

    Args:
        hu: HU ``[z, y, x]``.
        spacing_mm: Spacing zyx, mm.
        mask: What the surface bounds.
        rows: From :func:`rows_across`.
        surface: HU to expect.
        blur_mm: FWHM as wide as it may be along the rows; tissue outside is read beyond it.
        blocked: Which samples a row must not touch.

    Returns:
        Edges along the rows (not along the normal), and the squared components ``(n, 3)`` of the
        surface's normals, zyx.
    """
    lead = float(np.clip(0.75 + 2.0 * blur_mm / FWHM_PER_SIGMA, *LEAD_MM))
    rows = _whole(rows, spacing_mm, hu.shape)
    samples = samples_of(rows, spacing_mm)
    away = blocked(samples) | (samples.of(mask) & (samples.distance_mm > AGAIN_MM))
    if surface.base_hu[0] > AIR_HU:
        away |= samples.of(hu) < AIR_HU
    near = (samples.distance_mm >= -INSIDE_MM) & (samples.distance_mm <= lead + BASE_MM)
    rows = rows[np.flatnonzero(~(away & near).any(axis=1))]
    profiles = profiles_of(hu, samples_of(rows, spacing_mm))
    base, uneven = _base(profiles, lead)
    reach = max(REACH_MM, 0.75 * spacing_mm[rows.axis])
    here = np.zeros(len(base))
    edges = read_edges(profiles, base, here, depth_mm=ZONE_MM, reach_mm=reach)
    good = np.isfinite(edges.width_mm) & np.isfinite(edges.half_mm) & (uneven < EVEN_HU)
    good &= (base > surface.base_hu[0]) & (base < surface.base_hu[1])
    good &= (edges.peak_hu > surface.peak_hu[0]) & (edges.peak_hu < surface.peak_hu[1])
    edges, squares = _bundled(hu, rows[good], spacing_mm, _only(edges, good))
    read = np.isfinite(edges.width_mm) & np.isfinite(squares[:, 0])
    return _only(edges, read), squares[read]


def _only(edges: Edges, use: Bools) -> Edges:
    return Edges(**{f.name: getattr(edges, f.name)[use] for f in fields(Edges)})


def _base(profiles: Floats, lead_mm: float) -> tuple[Floats, Floats]:
    """Mean of the tissue from ``lead_mm`` outside on, and how far its two halves differ, HU."""
    beyond = DISTANCES_MM - lead_mm
    use = (beyond >= 0) & (beyond <= BASE_MM)
    near, far = np.array_split(profiles[:, use], 2, axis=1)
    return profiles[:, use].mean(axis=1), np.abs(near.mean(axis=1) - far.mean(axis=1))


def _bundled(
    hu: NDArray[np.generic], rows: Rows, spacing_mm: Triple, edges: Edges
) -> tuple[Edges, Floats]:
    """Each edge as the median of five rows, and the surface's normal there.

    Args:
        hu: HU ``[z, y, x]``.
        rows: The rows.
        spacing_mm: Spacing zyx, mm.
        edges: What was read from them.

    Returns:
        The edges, and the normals' squared components ``(n, 3)`` zyx; NaN where the rows beside
        show no edge or the surface is steeper than ``MAX_SLOPE``.
    """
    beside = _beside(spacing_mm)
    all_five = [edges]
    slope = np.zeros((len(rows.inside), 3))
    for other in (a for a in range(3) if a != rows.axis):
        away = beside[other] * spacing_mm[other]
        pair = []
        for side in (-1, 1):
            shift = [0, 0, 0]
            shift[other] = side * beside[other]
            moved = samples_of(rows, spacing_mm, (shift[0], shift[1], shift[2]))
            pair.append(
                read_edges(
                    profiles_of(hu, moved),
                    edges.base_hu,
                    edges.half_mm,
                    depth_mm=ZONE_MM,
                    reach_mm=MAX_SLOPE * away,
                )
            )
        slope[:, other] = (pair[1].half_mm - pair[0].half_mm) / (2 * away)
        all_five += pair
    size = (slope**2).sum(axis=1)
    size[size > MAX_SLOPE**2] = np.nan
    squares = slope**2
    squares[:, rows.axis] = 1.0
    middle = {
        f.name: np.median([getattr(e, f.name) for e in all_five], axis=0) for f in fields(Edges)
    }
    return Edges(**middle), squares / (1.0 + size)[:, None]
