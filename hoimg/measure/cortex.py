"""The patient's own normal cortex: how high and how sharp a shell of bone reads in this scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple, bounding_box, margin_voxels
from hoimg.measure.blur import shell_tables
from hoimg.measure.profiles import line_points, outside_base, read_edges
from hoimg.measure.size import directional_sigma
from hoimg.measure.view import AIR_HU, LesionView
from hoimg.side_threads import side_threads

Floats = NDArray[np.float64]

SLABS = 12
"""Thin slabs across the skeleton in which cortex is read: enough for a median, no full pass."""

PROFILES_PER_SLAB = 250
MIN_PROFILES = 60
MIN_PEAK_HU = 200.0
"""Lower peaks are joints, growth plates or a mask beside the bone, not cortex."""

MARGIN_MM = 8.0


@dataclass(frozen=True)
class Cortex:
    """The patient's own cortex in one scan.

    Attributes:
        peak_hu: Median peak of its outer shell, HU.
        matched_peak_hu: The same with thick cortex reduced to what a shell of
            ``matched_cortex_mm`` of the same bone would read under this blur, HU.
        width_mm: Median 10-90 % width of its outer flank, mm.
        profiles: Number of profiles.
    """

    peak_hu: float
    matched_peak_hu: float
    width_mm: float
    profiles: int


def own_cortex(
    hu: NDArray[np.generic],
    spacing_mm: Triple,
    skeleton: NDArray[np.bool_],
    avoid: NDArray[np.bool_] | NDArray[np.unsignedinteger],
    *,
    fwhm_zyx_mm: Triple,
    matched_mm: float = 1.5,
    metal: NDArray[np.bool_] | None = None,
) -> Cortex | None:
    """Read the outer cortex where native bone borders on soft tissue.

    Args:
        hu: The exam's HU ``[z, y, x]``.
        spacing_mm: Spacing zyx, mm.
        skeleton: Native bone, filled.
        avoid: Lesions (non-zero).
        fwhm_zyx_mm: Point spread.
        matched_mm: Thickness to which thick cortex is matched.
        metal: Metal; slabs that hold some are left out where others suffice.

    Returns:
        The reference, or None with fewer than 60 readable profiles.
    """
    rows = np.flatnonzero(skeleton.any(axis=(1, 2)))
    if rows.size == 0:
        return None
    if metal is not None:
        clean = rows[~np.asarray(metal.any(axis=(1, 2)))[rows]]
        rows = clean if clean.size >= min(rows.size, 5) else rows
    half = max(margin_voxels(MARGIN_MM, spacing_mm)[0] // 2, 2)
    # Away from the scan's ends, where the mask's end is no cortex.
    inner = rows[(rows >= half) & (rows < hu.shape[0] - half)]
    rows = inner if inner.size else rows
    chosen = np.unique(rows[np.linspace(0, rows.size - 1, SLABS).round().astype(int)])

    def read(z: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        return _read_slab(hu, spacing_mm, skeleton, avoid, metal, z, half, fwhm_zyx_mm)

    with side_threads(2) as both:
        parts = list(both.map(read, chosen.tolist()))
    peak, base, width, thickness, sigma = (
        np.concatenate([part[i] for part in parts]) for i in range(5)
    )
    good = np.isfinite(peak) & np.isfinite(width) & (peak >= MIN_PEAK_HU) & (base < 150.0)
    if np.count_nonzero(good) < MIN_PROFILES:
        return None
    peak, base, width, thickness, sigma = (v[good] for v in (peak, base, width, thickness, sigma))
    return Cortex(
        peak_hu=float(np.median(peak)),
        matched_peak_hu=float(np.median(_matched(peak, base, thickness, sigma, matched_mm))),
        width_mm=float(np.median(width)),
        profiles=int(good.sum()),
    )


def _matched(
    peak: Floats, base: Floats, thickness: Floats, sigma: Floats, matched_mm: float
) -> Floats:
    """Peaks that shells of ``matched_mm`` would have, where the cortex is thicker, HU."""
    tables = shell_tables()
    row = int(np.abs(tables.core).argmin())
    reduced = np.interp(matched_mm / sigma, tables.u, tables.peak[row])
    thick = thickness > np.interp(matched_mm / sigma, tables.u, tables.thickness[row]) * sigma
    return np.where(thick, base + (peak - base) * reduced, peak)


def _read_slab(
    hu: NDArray[np.generic],
    spacing_mm: Triple,
    skeleton: NDArray[np.bool_],
    avoid: NDArray[np.generic],
    metal: NDArray[np.bool_] | None,
    z: int,
    half: int,
    fwhm_zyx_mm: Triple,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Profiles through the outer bone surface of one slice, read in a slab around it."""
    nothing = np.empty(0)
    margin = margin_voxels(MARGIN_MM, spacing_mm)
    plane = bounding_box(skeleton[z : z + 1], (0, margin[1], margin[2]))
    if plane is None:
        return nothing, nothing, nothing, nothing, nothing
    low, high = max(z - half, 0), min(z + half + 1, hu.shape[0])
    box = (slice(low, high), plane[1], plane[2])
    bone = skeleton[box]
    other = avoid[box] != 0
    view = LesionView(
        hu=np.asarray(hu[box], np.float32),
        lesion=np.zeros_like(bone),
        bone=bone,
        other=other if metal is None else other | metal[box],
        metal=np.zeros_like(bone),
        spacing_mm=spacing_mm,
        start=(low, plane[1].start, plane[2].start),
        full_size=(hu.shape[0], hu.shape[1], hu.shape[2]),
    )
    points, normals = _outer_points(view, z - low)
    if len(points) == 0:
        return nothing, nothing, nothing, nothing, nothing
    lines = line_points(points, normals)
    profiles = view.sample_hu(lines)
    away = view.other | (view.hu < AIR_HU)
    from hoimg.measure.profiles import DISTANCES_MM

    blocked = view.pick(away, lines)
    # Bone met again after leaving it is another bone.
    again = (DISTANCES_MM > 1.5)[None, :] & view.pick(view.bone, lines)
    blocked = blocked | again
    sigma = directional_sigma(normals, fwhm_zyx_mm)
    here = np.zeros(len(points))
    base, count = outside_base(profiles, blocked, here, 0.75 + 2.0 * sigma)
    edges = read_edges(profiles, base, here, depth_mm=3.0, reach_mm=1.5, blocked=blocked)
    peak = np.where((count >= 4) & np.isfinite(edges.half_mm), edges.peak_hu, np.nan)
    return peak, base, edges.width_mm, edges.thickness_mm, sigma


def _outer_points(view: LesionView, row: int) -> tuple[Floats, Floats]:
    """Points on the bone's outer surface in slice ``row`` of a slab, and outward normals."""
    bone = view.bone[row]
    found = []
    for axis in (0, 1):
        low = np.moveaxis(bone, axis, 0)[:-1]
        high = np.moveaxis(bone, axis, 0)[1:]
        index = np.argwhere(low != high).astype(np.float64)
        index[:, 0] += 0.5
        found.append(index if axis == 0 else index[:, ::-1])
    flat = np.concatenate(found)
    flat = flat[:: max(len(flat) // PROFILES_PER_SLAB, 1)]
    index = np.column_stack([np.full(len(flat), float(row)), flat])
    points = (index + np.asarray(view.start)) * np.asarray(view.spacing_mm)
    # The normal from HU's gradient over +-1.5 mm: finer than the mask's voxel stairs.
    gradient = np.empty_like(points)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1.5
        gradient[:, axis] = view.sample_hu(points + step) - view.sample_hu(points - step)
    size = np.linalg.norm(gradient, axis=1, keepdims=True)
    normals = -gradient / np.maximum(size, 1e-6)
    inside = view.pick(view.bone, points - 1.5 * normals).astype(bool)
    outside = ~view.pick(view.bone | view.other, points + 2.0 * normals).astype(bool)
    good = inside & outside & (size[:, 0] > 0)
    return points[good], normals[good]
