"""The scan's own blur, read from its edges: bone against soft tissue and skin against air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple, bounding_box
from hoimg.measure.blur import sigma_of_flank
from hoimg.measure.relation import nearest_mm, surface_points
from hoimg.measure.size import FWHM_PER_SIGMA
from hoimg.measure.steps import (
    PLANES,
    Rows,
    Samples,
    Surface,
    evenly,
    read_steps,
    rows_across,
)
from hoimg.results import PsfSource
from hoimg.side_threads import side_threads

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

MIN_EDGES = 40
"""Fewer edges of a kind, in one direction, say nothing. Each is read from five rows."""

QUANTILE = 25.0
"""Which percentile of the edges counts: fat strands, folds, hair, a slanting cortex, motion and an
uneven bone only widen them; noise widens some and narrows others."""

MAX_NZ2 = 0.04
"""Edges of the plane: the normal's squared component along z (11 degrees); what blur along z adds
to them is taken back."""

MIN_NZ2 = 0.75
"""Edges along z (within 30 degrees); what blur in the plane adds to them is taken back."""

SAMPLED = 0.68
"""No finer than this many voxels, or slice thicknesses: FWHM of the Gaussian with the spread of a
box. A slice is the mean over its thickness, and between voxels nothing was sampled."""

DENSEST = 90.0
"""Percentile of the peaks that stands for the patient's own compact bone, where it is denser than
usual: to tell a thin cortex from a less dense one."""

METAL_MARGIN_MM = 20.0
"""No edge is read this close to metal, for its streaks."""

METAL_POINTS = 20000
"""Of the metal's surface; beside the margin their distance is small."""

PLANE_BLUR_MM = 2.0
"""Widest usual blur in the plane: the tissue outside is read beyond it."""

MIN_PLANES = 6
"""With so many slices free of metal, the others are not read in the plane."""

BONE = Surface(base_hu=(-200.0, 150.0), peak_hu=(250.0, np.inf), shell=True)
"""Cortex borders on fat to enhanced muscle. Lower peaks are joints, growth plates or a mask beside
the bone."""

SKIN = Surface(base_hu=(-1100.0, -900.0), peak_hu=(-200.0, 150.0), shell=False)
"""Skin borders on air. Nothing reads below -1100 HU: scanners write -2000 and less where they
reconstructed nothing, and a body cut off there ends in a step sharper than any scanner's."""


@dataclass(frozen=True)
class PointSpread:
    """The blur of a scan along its axes.

    Attributes:
        fwhm_zyx_mm: Full width at half maximum of a Gaussian, voxel averaging included, mm.
        source_zyx: Where each value comes from.
    """

    fwhm_zyx_mm: Triple
    source_zyx: tuple[PsfSource, PsfSource, PsfSource]

    @property
    def measured(self) -> bool:
        """Whether the scan's own edges gave the blur in the plane at least."""
        return self.source_zyx[1] != "usual"


def fallback_fwhm(spacing_mm: Triple, slice_mm: float) -> Triple:
    """A usual point spread where none can be measured: 1 mm or 1.4 pixels in plane, a slice in z.

    Body CT with a standard kernel resolves about 1 mm at best.
    """
    _, y, x = spacing_mm
    return (max(slice_mm, spacing_mm[0]), max(1.0, 1.4 * y), max(1.0, 1.4 * x))


def point_spread(
    hu: NDArray[np.generic],
    spacing_mm: Triple,
    *,
    skeleton: Bools,
    body: Bools,
    lesions: NDArray[Any] | None = None,
    metal: Bools | None = None,
    valid: Bools | None = None,
    slice_mm: float | None = None,
    material_hu: float = 1200.0,
) -> PointSpread:
    """Point spread from the outer edges of bone and of skin.

    Rows of voxels along each axis cross the two surfaces (:mod:`hoimg.measure.steps`). The 10-90 %
    width of an edge along its normal gives a Gaussian's sigma, of a step 2.56 sigma, of a thin
    cortex down to 1.69 (:func:`hoimg.measure.blur.sigma_of_flank`). Sigma along a normal n is
    ``sigma_xy^2 (1 - nz^2) + sigma_z^2 nz^2``, squared: edges that face sideways give sigma_xy,
    those that face up or down sigma_z. Of bone and skin the sharper counts, by the 25th percentile
    of its edges, if it has 40 of them. Along z the stated slice thickness bounds both, and stands
    where neither can be read.

    Args:
        hu: HU ``[z, y, x]``.
        spacing_mm: Spacing zyx, mm.
        skeleton: Native bone, filled.
        body: The patient, filled.
        lesions: Non-zero where no edge is read.
        metal: Metal; edges within 20 mm of it are not read.
        valid: Where something was measured; None for everywhere.
        slice_mm: Slice thickness as stated; None where it is not known.
        material_hu: Density of compact bone, HU.
    """
    _, dy, dx = spacing_mm
    thick = max(slice_mm or 0.0, spacing_mm[0])
    scan = _Scan(hu, spacing_mm, lesions, metal, valid, material_hu)
    both: tuple[tuple[PsfSource, Bools, Surface], ...] = (
        ("cortex", skeleton, BONE),
        ("skin", body, SKIN),
    )
    with side_threads(2) as threads:
        edges = threads.map(lambda one: scan.edges(one[1], one[2], thick), both)
        read = [(name, found) for (name, _, _), found in zip(both, edges, strict=True)]
    in_plane = _sharper([(name, edges.in_plane_sigma(thick)) for name, edges in read])
    if in_plane is None:
        return PointSpread(fallback_fwhm(spacing_mm, thick), ("slice_thickness", "usual", "usual"))
    source, fwhm = in_plane
    fwhm = max(fwhm, SAMPLED * max(dy, dx))
    along_z = _sharper([(name, edges.z_sigma(fwhm)) for name, edges in read])
    if along_z is None or (slice_mm is not None and along_z[1] >= thick):
        return PointSpread((thick, fwhm, fwhm), ("slice_thickness", source, source))
    return PointSpread((max(along_z[1], SAMPLED * thick), fwhm, fwhm), (along_z[0], source, source))


def _sharper(found: Sequence[tuple[PsfSource, Floats]]) -> tuple[PsfSource, float] | None:
    """Name and FWHM of the sharper of those that have enough edges."""
    read = [
        (float(np.percentile(sigma, QUANTILE)) * FWHM_PER_SIGMA, name)
        for name, sigma in found
        if len(sigma) >= MIN_EDGES
    ]
    return min(read)[::-1] if read else None


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges of one surface: sigma squared along the normal, mm2, and the normal's nz squared."""

    squared: Floats
    nz2: Floats

    def in_plane_sigma(self, slice_mm: float) -> Floats:
        """Sigma in the plane at each edge that faces sideways, mm."""
        level = self.nz2 <= MAX_NZ2
        squared, nz2 = self.squared[level], self.nz2[level]
        rest = squared - (slice_mm / FWHM_PER_SIGMA) ** 2 * nz2
        return np.sqrt(np.maximum(rest, squared / 4) / (1.0 - nz2))

    def z_sigma(self, fwhm_mm: float) -> Floats:
        """Sigma along z at each edge that faces up or down, mm, given the blur in the plane."""
        upright = self.nz2 >= MIN_NZ2
        squared, nz2 = self.squared[upright], self.nz2[upright]
        rest = squared - (fwhm_mm / FWHM_PER_SIGMA) ** 2 * (1.0 - nz2)
        return np.sqrt(np.maximum(rest, squared / 4) / nz2)


@dataclass(frozen=True, eq=False)
class _Scan:
    """What edges are read in, and what is kept away from."""

    hu: NDArray[np.generic]
    spacing_mm: Triple
    lesions: NDArray[Any] | None
    metal: Bools | None
    valid: Bools | None
    material_hu: float

    def edges(self, mask: Bools, surface: Surface, slice_mm: float) -> _Edges:
        """Every edge of the mask's surface that can be read."""
        planes = self._planes(mask)
        parts = [
            self._read(mask, rows_across(mask, axis, planes), surface, blur_mm)
            for axis, blur_mm in ((0, slice_mm), (1, PLANE_BLUR_MM), (2, PLANE_BLUR_MM))
        ]
        peak, base, core, thickness, width, share, nz2 = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        material: Floats | float = 0.0
        if surface.shell and peak.size:
            own = float(np.percentile(peak, DENSEST))
            material = max(self.material_hu, own) - base
        sigma = sigma_of_flank(width, peak - base, core - base, thickness, material)
        return _Edges(sigma**2 * share, nz2)

    def _planes(self, mask: Bools) -> Indices:
        """Slices to read in: evenly chosen, not the first or last, without metal if possible."""
        planes = np.flatnonzero(mask.any(axis=(1, 2)))
        planes = planes[(planes > 0) & (planes < len(mask) - 1)]
        if self.metal is not None:
            clean = np.setdiff1d(planes, np.flatnonzero(self.metal.any(axis=(1, 2))))
            planes = clean if clean.size >= MIN_PLANES else planes
        return evenly(planes, PLANES)

    def _read(
        self, mask: Bools, rows: Rows, surface: Surface, blur_mm: float
    ) -> tuple[Floats, ...]:
        """Peak, base, core, thickness and width of each edge along its row, and how it lies."""
        if len(self._metal_points):
            place = rows.inside * np.asarray(self.spacing_mm)
            rows = rows[np.isinf(nearest_mm(place, self._metal_points, METAL_MARGIN_MM))]
        found, squares = read_steps(
            self.hu, self.spacing_mm, mask, rows, surface, blur_mm=blur_mm, blocked=self._blocked
        )
        return (
            found.peak_hu,
            found.base_hu,
            found.inner_hu,
            found.thickness_mm,
            found.width_mm,
            squares[:, rows.axis],
            squares[:, 0],
        )

    @cached_property
    def _metal_points(self) -> Floats:
        """Some points of the metal's surface, mm zyx."""
        box = None if self.metal is None else bounding_box(self.metal)
        if self.metal is None or box is None:
            return np.empty((0, 3))
        start = (box[0].start - 1, box[1].start - 1, box[2].start - 1)
        points = surface_points(np.pad(self.metal[box], 1), self.spacing_mm, start)
        return points[evenly(np.arange(len(points)), METAL_POINTS)]

    def _blocked(self, at: Samples) -> Bools:
        """Samples in lesions, metal or where nothing was measured."""
        found = np.zeros(at.index.shape[:2], bool)
        for mask in (self.lesions, self.metal):
            if mask is not None:
                found |= at.of(mask) != 0
        if self.valid is not None:
            found |= ~at.of(self.valid)
        return found
