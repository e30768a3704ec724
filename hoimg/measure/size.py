"""The half-maximum envelope: the primary size.

From the mask's own surface, lines along the normals find where HU falls half way from the local
rim plateau to the local soft tissue. The surface moves there, twice; then two known effects of
blur are taken back (a thin rim's half-height lies outside, that of a convex surface inside the
true boundary). Where the surface lies on native bone, at the end of the scan, or where no edge is
visible, the mask's surface stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.measure.blur import half_height_shift
from hoimg.measure.graded import edge_alone, reached, rise_inwards
from hoimg.measure.profiles import DISTANCES_MM, Edges, line_points, outside_base, read_edges
from hoimg.measure.surface import Mesh
from hoimg.measure.view import LesionView

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FWHM_PER_SIGMA = 2.3548
FLANK_PER_SIGMA = 1.69
"""10-90 % width of the flank of a Gaussian peak in sigma (that of a step edge is 2.56): no blur
can be wider than the sharpest edges seen, so it bounds the point spread at this lesion."""

ZONE_MM = 3.0
"""How far inside the surface the plateau or peak of the outer zone is looked for."""

MUSCLE_TOP_HU = 75.0
"""No boundary of mineral is drawn at a lower HU: between a faint lesion and fat farther out there
may be muscle, whose own edge half the height would find."""

MIN_CONTRAST_HU = 40.0
"""Below this above soft tissue nothing is called an edge."""

PATCHY_SPREAD = 0.4
"""10-90 % range of the contrast along the surface over its median: a homogeneous faint lesion
stays below 0.3, floccules reach 0.6 and more."""

PATCHY_RIM_HU = 300.0
"""Patches of margin that rise less than this above soft tissue are floccules, not rim."""

CLUMP_SHIFT_MM = 0.3
"""Half-heights of an even body lie within 0.25 mm of its outline on the average. Where those of a
faint one lie farther inside than this, they are its brightest clumps': in a small lesion every
profile meets one within its reach, and the contrast looks even..."""
CLUMP_RADIUS_MM = 5.5
"""...which is 2.5 mm of search and ``ZONE_MM``. A larger body whose contrast is even has a rim."""

PATCH_MM = 1.2
"""Radius over which neighbouring profiles are averaged, against noise."""


@dataclass(frozen=True, eq=False)
class Envelope:
    """A lesion's surface and what was read across it.

    Attributes:
        mesh: The half-maximum surface, corrected.
        edges: Readings per vertex; distances relative to the final surface's vertices.
        profiles: HU ``(n, k)`` at ``DISTANCES_MM`` from ``read_mesh``'s vertices.
        read_mesh: Surface on which the profiles were read (the half-height itself).
        free: Vertices away from native bone and the scan's end.
        seen: Vertices whose boundary the image shows.
        foreign: ``(n, k)``, samples in bone, other lesions, metal or air.
        sigma_mm: Blur along each vertex's normal, mm.
        contact: Vertices on native bone.
        corrected_mm: Size of the two corrections for blur at each vertex, mm, in quadrature (in the
            move itself they may cancel).
        rise_hu: In a body that grows denser inwards throughout, by how much, HU, a value for each
            profile that shows it (:mod:`hoimg.measure.graded`); None in any other.
    """

    mesh: Mesh
    edges: Edges
    profiles: NDArray[np.float32]
    read_mesh: Mesh
    free: Bools
    seen: Bools
    foreign: Bools
    sigma_mm: Floats
    contact: Bools
    corrected_mm: Floats
    rise_hu: Floats | None = None

    @property
    def volume_mm3(self) -> float:
        """V_env, mm3."""
        return self.mesh.volume_mm3


def half_maximum_envelope(
    view: LesionView,
    start: Mesh,
    *,
    background_hu: float,
    fwhm_zyx_mm: Triple,
    contact_distance_mm: Floats | None = None,
    contact_mm: float = 1.0,
    rim_material_hu: float = 1200.0,
    noise_hu: float = 0.0,
) -> Envelope:
    """Find the half-maximum envelope of the lesion in ``view``.

    Args:
        view: The lesion's crop, with at least 7 mm round the mask where the scan allows.
        start: The mask's own surface, from :func:`hoimg.measure.surface.mesh_of_mask`.
        background_hu: Soft tissue, used where none can be read beside the surface.
        fwhm_zyx_mm: The scan's point spread along the array axes.
        contact_distance_mm: Distance of each vertex of ``start`` to native bone, mm; None means
            no bone near.
        contact_mm: Vertices this close to bone are attached to it.
        rim_material_hu: Density of compact rim in this scan, HU.
        noise_hu: Noise SD of a voxel, HU.
    """
    n = len(start.points)
    contact = (
        np.zeros(n, bool) if contact_distance_mm is None else contact_distance_mm <= contact_mm
    )
    free = ~contact & ~_at_the_end(view, start)
    noise_floor = max(MIN_CONTRAST_HU, 2.0 * noise_hu)

    first = _read(view, start, background_hu, fwhm_zyx_mm, reach_mm=2.5, order=1)
    shown = free & np.isfinite(first.edges.peak_hu)
    rise = rise_inwards(first.smooth, first.edges.base_hu, shown, first.sigma_mm, first.not_its_own)
    alone = rise is not None
    if alone:
        first = _read(view, start, background_hu, fwhm_zyx_mm, reach_mm=2.5, order=1, alone=True)
    marked = free & _with_margin(first.edges, free, noise_floor, start.volume_mm3)
    mesh = start.moved(_shift(first, start, marked, noise_floor))
    second = _read(view, mesh, background_hu, fwhm_zyx_mm, reach_mm=1.5, order=1, alone=alone)
    mesh = mesh.moved(_shift(second, mesh, marked, noise_floor))
    last = _read(view, mesh, background_hu, fwhm_zyx_mm, reach_mm=1.0, order=3, alone=alone)
    edges = last.edges
    seen = marked & np.isfinite(edges.half_mm) & (edges.peak_hu - edges.base_hu >= noise_floor)
    move = _shift(last, mesh, marked, noise_floor)
    sigma = _bounded(last.sigma_mm, edges, seen)
    back = half_height_shift(
        edges.peak_hu - edges.base_hu,
        edges.inner_hu - edges.base_hu,
        edges.thickness_mm,
        rim_material_hu - edges.base_hu,
        sigma,
    )
    # Averaged like the edge itself; only where the image placed the boundary: beside a patch of rim
    # the floccules stay where the mask has them.
    trust = seen.astype(float)
    times = mesh.rounds_for(2.0)
    weight = mesh.average(trust, times)
    back = mesh.average(np.where(seen, back, 0.0), times) / np.maximum(weight, 0.5)
    curved = np.clip(sigma**2 * mesh.mean_curvature, -0.5, 0.5) * np.minimum(weight * 2.0, 1.0)
    final = mesh.moved(np.where(marked, move - back + curved, 0.0))
    corrected = np.where(marked, np.hypot(back, curved), 0.0)
    return Envelope(
        mesh=final,
        edges=edges,
        profiles=last.profiles,
        read_mesh=mesh,
        free=free,
        seen=seen,
        foreign=last.foreign,
        sigma_mm=sigma,
        contact=contact,
        corrected_mm=corrected,
        rise_hu=rise,
    )


@dataclass(frozen=True, eq=False)
class _Reading:
    edges: Edges
    profiles: NDArray[np.float32]
    smooth: Floats
    foreign: Bools
    not_its_own: Bools
    sigma_mm: Floats


def _read(
    view: LesionView,
    mesh: Mesh,
    background_hu: float,
    fwhm_zyx_mm: Triple,
    *,
    reach_mm: float,
    order: int,
    alone: bool = False,
) -> _Reading:
    """HU across a mesh and the edges there; ``alone``: each edge by itself, not by a plateau."""
    normals = mesh.normals
    lines = line_points(mesh.points, normals)
    profiles = view.sample_hu(lines, order)
    outside = DISTANCES_MM > 0
    anything = view.pick(view.foreign, lines) != 0
    foreign = anything & outside
    sigma = directional_sigma(normals, fwhm_zyx_mm)
    smooth = mesh.average(profiles, mesh.rounds_for(PATCH_MM))
    here = np.zeros(len(normals))
    base, count = outside_base(smooth, foreign, here, 0.75 + 2.0 * sigma)
    enough = (count >= 4).astype(float)
    times = mesh.rounds_for(3.0)
    weight = mesh.average(enough, times)
    local = mesh.average(np.where(enough > 0, base, 0.0), times) / np.maximum(weight, 1e-6)
    base = np.where(weight > 0.05, local, background_hu)
    # Behind a thin body lies what it grows on, whose height is none of its own.
    not_its_own = reached(anything & ~outside, sigma)
    depth = np.maximum(ZONE_MM, 2.5 * sigma)
    if alone:
        place, depth = edge_alone(smooth, base, sigma)
        here = np.where(np.abs(place) <= 2.5, place, 0.0)
    edges = read_edges(
        smooth,
        base,
        here,
        depth_mm=depth,
        reach_mm=reach_mm,
        blocked=foreign | not_its_own,
        floor=MUSCLE_TOP_HU,
    )
    return _Reading(edges, profiles, smooth, foreign, not_its_own, sigma)


def directional_sigma(normals: Floats, fwhm_zyx_mm: Triple) -> Floats:
    """Blur sigma along unit vectors ``(n, 3)`` (zyx) of an axis-aligned Gaussian, mm."""
    sigma = np.asarray(fwhm_zyx_mm) / FWHM_PER_SIGMA
    along: Floats = np.sqrt((normals**2 * sigma**2).sum(axis=1))
    return along


def _with_margin(edges: Edges, free: Bools, noise_floor: float, volume_mm3: float) -> Bools:
    """Vertices whose own edge may place the boundary.

    Where the contrast is even, all of them. A patchy lesion is drawn by its hull:
    between floccules the nearest edge lies deep inside, and an envelope drawn in to it shrinks by
    10-20 %. There only patches of true rim move; everything else stays where the mask has it.
    """
    contrast = edges.peak_hu - edges.base_hu
    good = free & np.isfinite(edges.half_mm) & (contrast >= noise_floor)
    if not good.any():
        return np.zeros(len(free), bool)
    low, middle, high = np.percentile(contrast[free & np.isfinite(contrast)], [10, 50, 90])
    typical = float(np.percentile(contrast[good], 90))
    if high - low <= PATCHY_SPREAD * max(float(middle), 1.0):
        radius_mm = (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3)
        clumps = radius_mm <= CLUMP_RADIUS_MM and typical < PATCHY_RIM_HU
        clumps &= bool(edges.half_mm[good].mean() < -CLUMP_SHIFT_MM)
        return np.zeros(len(free), bool) if clumps else free
    if typical < PATCHY_RIM_HU:
        return np.zeros(len(free), bool)
    return np.asarray(good & (contrast >= max(0.5 * typical, PATCHY_RIM_HU)))


def _shift(reading: _Reading, mesh: Mesh, free: Bools, noise_floor: float) -> Floats:
    """How far each vertex moves to reach the half-height, averaged over neighbours, mm."""
    edges = reading.edges
    contrast = edges.peak_hu - edges.base_hu
    good = free & np.isfinite(edges.half_mm) & (contrast >= noise_floor)
    if not good.any():
        return np.zeros(len(good))
    move = np.clip(np.where(good, edges.half_mm, 0.0), -2.5, 2.5)
    times = mesh.rounds_for(PATCH_MM)
    weight = mesh.average(good.astype(float), times)
    smooth = mesh.average(np.where(good, move, 0.0), times) / np.maximum(weight, 0.5)
    return np.where(free, smooth, 0.0)


def _bounded(sigma_mm: Floats, edges: Edges, seen: Bools) -> Floats:
    """Blur no wider than the sharpest quarter of this lesion's own edges allows.

    Each edge is held against the blur along its own normal: in thick slices the sharp edges of the
    plane say nothing of the blur along z.
    """
    read = seen & np.isfinite(edges.width_mm)
    if np.count_nonzero(read) < 20:
        return sigma_mm
    part = float(np.percentile(edges.width_mm[read] / sigma_mm[read], 25)) / FLANK_PER_SIGMA
    return sigma_mm * min(part, 1.0)


def _at_the_end(view: LesionView, mesh: Mesh) -> Bools:
    """Vertices within one voxel of the end of the scan or of voxels never measured."""
    index = mesh.points / np.asarray(view.spacing_mm)
    last = np.asarray(view.size_of_exam) - 1.0
    cut = ((index < 0.5) | (index > last - 0.5)).any(axis=1)
    if view.invalid is not None:
        out = view.pick(view.invalid, mesh.points + mesh.normals * max(view.spacing_mm))
        cut |= out.astype(bool)
    return np.asarray(cut)
