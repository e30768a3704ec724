"""A skeleton's surface as a few thousand points that know their neighbours and their bone."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.align import TRUNCATION_MM
from hoimg.serial.surface import (
    EDGE_MM,
    Bones,
    Matrix4,
    Points,
    inside,
    move,
    sample,
    telling,
    thin,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

POINTS = 8000
UNSURE_GAP_MM = 0.5
"""About the gap of bones that are placed rightly."""
NEIGHBOURS, SMOOTHINGS = 12, 3
"""Points that a mean goes over, and how many times over."""


class Skin:
    """Surface points of a skeleton with means over neighbours, and what belongs to each point."""

    def __init__(self, bones: Bones) -> None:
        self.bones = bones
        self.points: Points = thin(bones.points_lps_mm, POINTS)

    @cached_property
    def mean(self) -> csr_matrix:
        """Sparse ``(n, n)``: mean over a point and its nearest neighbours, some times over."""
        from scipy.sparse import csr_matrix

        count = len(self.points)
        near = self.neighbours
        rows = np.repeat(np.arange(count), near.shape[1])
        once = csr_matrix((np.full(near.size, 1 / near.shape[1]), (rows, near.ravel())))
        return once

    @cached_property
    def neighbours(self) -> NDArray[np.intp]:
        """Indices ``(n, k)`` of the nearest points, the point itself among them."""
        found: NDArray[np.intp]
        _, found = self._tree.query(self.points, k=min(NEIGHBOURS, len(self.points)))
        return found.reshape(len(self.points), -1)

    @cached_property
    def voxels(self) -> NDArray[np.intp]:
        """Index zyx ``(m, 3)`` of every bone voxel on the working grid."""
        return np.argwhere(self.bones.mask)

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """The surface point nearest to each bone voxel."""
        return self.nearest(self.bones.grid.to_lps_mm(self.voxels))

    @cached_property
    def volume_mm3(self) -> NDArray[np.float64]:
        """Volume of the bone voxels that belong to each point."""
        count: NDArray[np.float64] = np.bincount(self.owner, minlength=len(self.points)).astype(
            float
        )
        return count * self.bones.grid.voxel_volume_mm3

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.points)

    def nearest(self, points: Points) -> NDArray[np.intp]:
        """The surface point nearest to each of any points."""
        found: NDArray[np.intp]
        _, found = self._tree.query(points)
        return found

    def smooth(self, values: NDArray[Any], weight: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Means over neighbours that count; NaN where none does."""
        top, bottom = np.where(weight, values, 0.0).astype(float), weight.astype(float)
        for _ in range(SMOOTHINGS):
            top, bottom = self.mean @ top, self.mean @ bottom
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(bottom > 1e-6, top / bottom, np.nan)

    def gaps(self, matrix: Matrix4, other: Bones, *, doubt: bool = False) -> NDArray[np.float64]:
        """Mean gap to the other skeleton after a motion, mm; NaN where none is in view.

        With ``doubt``, mineral that the other exam does not call bone may be this bone all the
        same: it is as good as a gap of ``UNSURE_GAP_MM``.
        """
        moved = move(matrix, self.points)
        gap = np.minimum(np.abs(sample(other, moved)), TRUNCATION_MM)
        seen = inside(other.view, moved, EDGE_MM)
        if doubt:
            gap[seen & ~telling(other, moved, EDGE_MM)] = UNSURE_GAP_MM
        return self.smooth(gap, seen)

    def groups(self, chosen: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        """Connected groups among chosen points, the one with most bone first."""
        from scipy.sparse.csgraph import connected_components

        index = np.flatnonzero(chosen)
        if not len(index):
            return []
        graph = self.mean[index][:, index]
        count, label = connected_components(graph, directed=False)
        found = [index[label == k] for k in range(count)]
        return sorted(found, key=lambda g: (-float(self.volume_mm3[g].sum()), int(g[0])))
