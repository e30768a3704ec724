"""A triangle mesh round a mask: volume, area, normals, curvature, and averaging along it.

Points are millimetres zyx (see :class:`hoimg.measure.view.LesionView`). Faces are ordered so that
the enclosed volume comes out positive and normals point outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple

Floats = NDArray[np.float64]

STAIR_SIGMA_VOXELS = 0.8
"""Blur of a mask before its surface is drawn: just enough to take off the voxel stairs."""

MESH_STEP_MM = (0.6, 2.0)
"""Finest and coarsest mesh; between them an eighteenth of the lesion's diameter."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface.

    Attributes:
        points: ``(n, 3)`` mm zyx.
        faces: ``(m, 3)`` vertex numbers.
        step_mm: Typical edge length, mm.
    """

    points: Floats
    faces: NDArray[np.intp]
    step_mm: float

    @cached_property
    def _face_vectors(self) -> Floats:
        a, b, c = (self.points[self.faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    @cached_property
    def volume_mm3(self) -> float:
        """Enclosed volume by the divergence theorem, mm3 (IBSI RNU0, "volume (mesh)")."""
        a = self.points[self.faces[:, 0]] - self.points.mean(axis=0)
        return float(np.einsum("ij,ij->", a, self._face_vectors) / 6.0)

    @cached_property
    def area_mm2(self) -> float:
        """Surface area, mm2 (IBSI C0JK)."""
        return float(np.linalg.norm(self._face_vectors, axis=1).sum() / 2.0)

    @cached_property
    def centroid_mm(self) -> Floats:
        """Centre of the enclosed volume, mm zyx."""
        middle = self.points.mean(axis=0)
        a, b, c = (self.points[self.faces[:, i]] - middle for i in range(3))
        sixth = np.einsum("ij,ij->i", a, np.cross(b, c))
        total = sixth.sum()
        if total <= 0:
            return np.asarray(middle)
        centre: Floats = middle + ((a + b + c) * sixth[:, None]).sum(axis=0) / (4.0 * total)
        return centre

    @cached_property
    def vertex_area(self) -> Floats:
        """Area that belongs to each vertex, mm2, ``(n,)``."""
        third = np.linalg.norm(self._face_vectors, axis=1) / 6.0
        total = np.bincount(self.faces.ravel(), np.repeat(third, 3), minlength=len(self.points))
        return np.asarray(total, np.float64)

    @cached_property
    def normals(self) -> Floats:
        """Outward unit normals at the vertices, averaged over neighbours, ``(n, 3)``."""
        flat = self.faces.ravel()
        vectors = np.repeat(self._face_vectors, 3, axis=0)
        summed = np.stack(
            [np.bincount(flat, vectors[:, i], minlength=len(self.points)) for i in range(3)], axis=1
        )
        total = self.average(summed, 2)
        units: Floats = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
        return units

    @cached_property
    def _edges(self) -> NDArray[np.intp]:
        f = self.faces
        return np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])

    @cached_property
    def averaging(self) -> Any:
        """Sparse ``(n, n)`` matrix: the mean over a vertex and its direct neighbours."""
        from scipy import sparse

        n = len(self.points)
        i, j = self._edges.T
        matrix = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
        matrix = matrix + matrix.T + sparse.identity(n, format="csr")
        matrix.data[:] = 1.0
        weights = sparse.diags(1.0 / np.asarray(matrix.sum(axis=1)).ravel())
        return (weights @ matrix).tocsr()

    def average(self, values: NDArray[Any], times: int) -> Floats:
        """Average ``(n,)`` or ``(n, k)`` values over neighbours, ``times`` rounds."""
        out = values
        for _ in range(times):
            out = self.averaging @ out
        return np.asarray(out)

    def rounds_for(self, radius_mm: float) -> int:
        """Rounds of averaging that reach about ``radius_mm`` (they add in quadrature)."""
        return int(np.clip(round((radius_mm / self.step_mm) ** 2 * 1.5), 1, 30))

    @cached_property
    def mean_curvature(self) -> Floats:
        """Mean curvature per vertex, 1/mm, positive where convex, averaged over about 2 mm.

        From the angle between neighbouring faces: half of length times angle, summed over edges,
        is the integral of mean curvature of a polyhedron.
        """
        units = self._face_vectors / np.maximum(
            np.linalg.norm(self._face_vectors, axis=1, keepdims=True), 1e-12
        )
        edges = self._edges
        owner = np.tile(np.arange(len(self.faces)), 3)
        n = len(self.points)
        key = np.minimum(edges[:, 0], edges[:, 1]) * n + np.maximum(edges[:, 0], edges[:, 1])
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        first, second = order[same], order[same + 1]
        along = self.points[edges[first, 1]] - self.points[edges[first, 0]]
        length = np.linalg.norm(along, axis=1)
        one, two = units[owner[first]], units[owner[second]]
        sine = np.einsum("ij,ij->i", np.cross(one, two), along) / np.maximum(length, 1e-12)
        angle = np.arctan2(sine, np.einsum("ij,ij->i", one, two))
        share = 0.25 * length * angle
        total = np.bincount(edges[first].ravel(), np.repeat(share, 2), minlength=n)
        times = self.rounds_for(2.0)
        area = np.maximum(self.average(self.vertex_area, times), 1e-9)
        curvature = self.average(total, times) / area
        return np.clip(curvature, -0.4, 0.4)

    def moved(self, outwards_mm: Floats) -> Mesh:
        """The surface with each vertex moved along its normal, ``(n,)`` mm."""
        return Mesh(self.points + self.normals * outwards_mm[:, None], self.faces, self.step_mm)


def mesh_of_mask(
    mask: NDArray[np.bool_],
    spacing_mm: Triple,
    start: tuple[int, int, int] = (0, 0, 0),
    step_mm: float | None = None,
) -> Mesh | None:
    """The surface of a mask without voxel stairs, enclosing the mask's own volume.

    The mask is blurred by 0.8 voxel along each axis; the level is the one that as many voxels
    exceed as the mask has, so that blurring moves no volume in or out.

    Args:
        mask: bool ``[z, y, x]``.
        spacing_mm: Spacing zyx, mm.
        start: Index of the mask's first voxel in the frame of the points.
        step_mm: Edge length; by default an eighteenth of the mask's diameter within
            :data:`MESH_STEP_MM`.

    Returns:
        The mesh, or None for an empty mask.
    """
    from scipy import ndimage
    from skimage import measure

    count = int(np.count_nonzero(mask))
    if count == 0:
        return None
    spacing = np.asarray(spacing_mm)
    pad = 4
    smooth = ndimage.gaussian_filter(
        np.pad(mask, pad).astype(np.float32), STAIR_SIGMA_VOXELS, truncate=3.0
    )
    reached = smooth[smooth > 0]  # all of the mask, and few of the many zeros round it
    ranked = np.partition(reached, reached.size - count)
    level = float(np.clip(ranked[reached.size - count], 0.05, 0.95))
    diameter = (6.0 * count * float(spacing.prod()) / np.pi) ** (1 / 3)
    step = step_mm or float(np.clip(diameter / 18.0, *MESH_STEP_MM))
    shape = np.ceil((np.asarray(smooth.shape) - 1) * spacing / step).astype(int) + 1
    fine = ndimage.affine_transform(
        smooth, step / spacing, output_shape=tuple(shape), order=1, mode="constant"
    )
    if not fine.min() < level < fine.max():
        level = float(0.5 * fine.max())
    points, faces, _, _ = measure.marching_cubes(fine, level, allow_degenerate=False)
    frame = (np.asarray(start) - pad) * spacing
    mesh = Mesh(points.astype(np.float64) * step + frame, faces.astype(np.intp), step)
    if mesh.volume_mm3 < 0:
        mesh = Mesh(mesh.points, mesh.faces[:, ::-1].copy(), step)
    # Flat facets cut corners off a curved surface: one uniform step restores the mask's volume.
    short = count * float(spacing.prod()) - mesh.volume_mm3
    return mesh.moved(np.full(len(points), np.clip(short / mesh.area_mm2, -step / 2, step / 2)))
