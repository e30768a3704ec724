"""A stack of parallel planes of labels, and which of its pixels lies at an exam's voxel.

Label maps, segmentation frames and rasterised contours all are such a stack. A stack need not be
regular: planes may be missing, and each may be shifted within itself (a scan with a tilted
gantry).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, Matrix, Triple, bounding_box

Float = NDArray[np.float64]
Index = NDArray[np.intp]

JOIN = 1.25
"""Planes farther apart than this many slabs leave a gap between them; up to it they meet halfway
(slabs may be stated a little thinner than the planes' distance)."""
TIE = 1e-4
"""A point on the border of two pixels, within this share of a pixel, belongs to the second one.
Headers round positions, so that borders are never met exactly."""
COINCIDE = 0.05
"""Voxels whose centres are closer than this share of a voxel are the same voxel."""
MAX_SAMPLES = 8
"""Points along each axis of an exam's voxel that are looked up in a finer mask, at most."""


@dataclass(frozen=True)
class Planes:
    """Where the pixels of a stack of parallel planes lie.

    Attributes:
        origin_lps_mm: Centre of the first row's first pixel at ``along_mm`` 0, LPS mm.
        direction: 3x3; its columns are the LPS unit vectors along a row of pixels (x), along a
            column of pixels (y), and along the stack.
        spacing_yx_mm: Distance between rows and between columns, mm.
        along_mm: Distance of each plane from the origin along the stack, mm, rising.
        slab_mm: Thickness of tissue that one plane stands for, mm.
        shift_yx_mm: Place of each plane's first pixel beside the stack's axis along y and x, mm;
            empty when all lie straight above each other.
        certain: Whether ``slab_mm`` is known. When it is not, and the planes lie on an exam's own
            slices, they are taken to be those.
    """

    origin_lps_mm: Triple
    direction: Matrix
    spacing_yx_mm: tuple[float, float]
    along_mm: tuple[float, ...]
    slab_mm: float
    shift_yx_mm: tuple[tuple[float, float], ...] = ()
    certain: bool = True

    @classmethod
    def of_grid(cls, grid: Grid) -> Planes:
        """The planes of a regular grid, one per index along z."""
        step = grid.spacing_zyx_mm[0]
        return cls(
            origin_lps_mm=grid.origin_lps_mm,
            direction=grid.direction,
            spacing_yx_mm=grid.spacing_zyx_mm[1:],
            along_mm=tuple(step * k for k in range(grid.size_zyx[0])),
            slab_mm=step,
        )

    @property
    def pixel_volume_mm3(self) -> float:
        """Volume that one pixel stands for, mm3."""
        return self.slab_mm * math.prod(self.spacing_yx_mm)

    @cached_property
    def edges_mm(self) -> tuple[Float, Float]:
        """Lower and upper end of the stretch that each plane stands for, along the stack, mm."""
        along = np.asarray(self.along_mm)
        low, high = along - self.slab_mm / 2, along + self.slab_mm / 2
        middle = (along[1:] + along[:-1]) / 2
        joined = np.diff(along) <= JOIN * self.slab_mm
        low[1:][joined] = middle[joined]
        high[:-1][joined] = middle[joined]
        return low, high

    def plane_at(self, along_mm: Float) -> Index:
        """Index of the plane that stands for each distance along the stack; -1 for none."""
        low, high = self.edges_mm
        moved = along_mm + TIE * self.slab_mm
        found = np.searchsorted(low, moved, side="right") - 1
        inside = (found >= 0) & (moved < high[np.maximum(found, 0)])
        return np.where(inside, found, -1)

    def crop(self, box: Box) -> Planes:
        """The planes of ``labels[box]``."""
        planes, rows, columns = box
        dy, dx = rows.start * self.spacing_yx_mm[0], columns.start * self.spacing_yx_mm[1]
        x, y, _ = np.asarray(self.direction).T
        origin = np.asarray(self.origin_lps_mm) + dx * x + dy * y
        return replace(
            self,
            origin_lps_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
            along_mm=self.along_mm[planes.start : planes.stop],
            shift_yx_mm=self.shift_yx_mm[planes.start : planes.stop],
        )

    def to_lps_mm(self, index: NDArray[Any]) -> Float:
        """Map (plane, row, column), whole numbers for the plane, ``(n, 3)``, to LPS mm."""
        plane = index[:, 0].astype(int)
        local = np.empty((len(index), 3))
        local[:, 0] = index[:, 2] * self.spacing_yx_mm[1]
        local[:, 1] = index[:, 1] * self.spacing_yx_mm[0]
        local[:, 2] = np.asarray(self.along_mm)[plane]
        if self.shift_yx_mm:
            local[:, :2] += np.asarray(self.shift_yx_mm)[plane][:, ::-1]
        points: Float = local @ np.asarray(self.direction).T + self.origin_lps_mm
        return points

    def from_grid(self, grid: Grid) -> tuple[Float, Float]:
        """Matrix and offset from an exam's index (zyx) to (mm along the stack, row, column).

        The offset is that of a plane without shift.
        """
        turn = np.asarray(self.direction).T  # LPS to x, y, along
        affine = grid.affine_xyz_to_lps
        matrix = (turn @ affine[:3, :3])[::-1, ::-1]  # both sides in the order of an array
        offset = (turn @ (affine[:3, 3] - self.origin_lps_mm))[::-1]
        units = np.array([1.0, *self.spacing_yx_mm])
        return matrix / units[:, None], offset / units


@dataclass(frozen=True, eq=False)
class Piece:
    """Labels on a stack of planes.

    Attributes:
        labels: Array ``[plane, row, column]``, bool or unsigned; 0 is background.
        planes: Where they lie.
    """

    labels: NDArray[Any]
    planes: Planes

    @property
    def volume_mm3(self) -> float:
        """Volume of all labels together, mm3."""
        return float(np.count_nonzero(self.labels)) * self.planes.pixel_volume_mm3

    def cropped(self) -> Piece | None:
        """Only the box that holds labels; None when there is none."""
        box = bounding_box(self.labels != 0)
        return None if box is None else Piece(self.labels[box], self.planes.crop(box))

    def points_lps_mm(self) -> Iterator[Float]:
        """Centres of the labelled pixels, plane by plane, LPS mm."""
        for plane, labels in enumerate(self.labels):
            index = np.argwhere(labels)
            if len(index):
                yield self.planes.to_lps_mm(np.insert(index, 0, plane, axis=1))

    def box_in(self, grid: Grid) -> Box | None:
        """The box of the exam's voxels that may touch this piece; None when there are none."""
        count, rows, columns = self.labels.shape
        corners = np.array(
            [
                (k, r, c)
                for k in range(count)  # planes may be shifted: all of them
                for r in (-0.5, rows - 0.5)
                for c in (-0.5, columns - 0.5)
            ]
        )
        half = np.asarray(self.planes.direction)[:, 2] * self.planes.slab_mm * JOIN / 2
        points = self.planes.to_lps_mm(corners)
        index = grid.to_index_zyx(np.concatenate([points - half, points + half]))
        low = np.maximum(np.floor(index.min(axis=0) - 0.5).astype(int), 0)
        high = np.minimum(np.ceil(index.max(axis=0) + 0.5).astype(int) + 1, grid.size_zyx)
        if (low >= high).any():
            return None
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return (z, y, x)

    def coincides(self, grid: Grid) -> bool:
        """Whether every pixel is one of the exam's voxels (or of its continuation outside)."""
        count, rows, columns = self.labels.shape
        ends = [(k, r, c) for k in range(count) for r in (0, rows - 1) for c in (0, columns - 1)]
        index = grid.to_index_zyx(self.planes.to_lps_mm(np.array(ends, dtype=float)))
        if np.abs(index - np.rint(index)).max() > COINCIDE:
            return False
        matrix, _ = self.planes.from_grid(grid)
        matrix[0] /= self.planes.slab_mm
        steps = np.abs(matrix)
        # one step of the exam is one step of the piece along one axis, and none along the others
        return bool(
            (np.abs(steps.max(axis=0) - 1) <= COINCIDE).all()
            and (steps.sum(axis=0) - steps.max(axis=0) <= COINCIDE).all()
        )

    def on_slices_of(self, grid: Grid) -> Piece:
        """The same, standing for the exam's own slices where that is the likelier reading."""
        if self.planes.certain:
            return self
        normal = np.asarray(self.planes.direction)[:, 2]
        steps = np.abs(np.asarray(grid.direction).T @ normal) * grid.spacing_zyx_mm[::-1]
        trial = Piece(self.labels, replace(self.planes, slab_mm=float(steps.max())))
        return trial if trial.coincides(grid) else self

    def samples_in(self, grid: Grid) -> tuple[int, int, int]:
        """Points to look up along each axis of an exam's voxel, so that no pixel is passed over."""
        matrix, _ = self.planes.from_grid(grid)
        matrix[0] /= self.planes.slab_mm
        ratio = np.abs(matrix).max(axis=0)
        z, y, x = (min(max(math.ceil(r - 0.02), 1), MAX_SAMPLES) for r in ratio)
        return (z, y, x)

    def at(self, grid: Grid, box: Box, offset_zyx: Triple = (0.0, 0.0, 0.0)) -> NDArray[Any]:
        """The label at each voxel centre of ``box`` in the exam's grid.

        Args:
            grid: The exam's.
            box: Which of its voxels.
            offset_zyx: Look beside the centres, in voxels of the exam.
        """
        matrix, offset = self.planes.from_grid(grid)
        start = [s.start + o for s, o in zip(box, offset_zyx, strict=True)]
        size = [s.stop - s.start for s in box]
        offset = offset + matrix @ np.asarray(start, dtype=float)
        axes = None if self.planes.shift_yx_mm else self._own_axes(matrix, size)
        if axes is None:
            return self._at_turned(matrix, offset, size)
        return self._at_aligned(matrix, offset, size, axes)

    def _own_axes(self, matrix: Float, size: list[int]) -> list[int] | None:
        """The exam's axis along which each of (stack, row, column) runs; None when turned.

        Axes that part by less than a small share of a voxel over the whole box run along each
        other: direction cosines are printed with few digits.
        """
        reach = np.abs(matrix) * np.asarray(size)
        reach[0] /= self.planes.slab_mm
        axes = [int(np.argmax(row)) for row in np.abs(matrix)]
        beside = sum(float(row.sum() - row[a]) for row, a in zip(reach, axes, strict=True))
        return axes if sorted(axes) == [0, 1, 2] and beside < COINCIDE else None

    def _at_aligned(
        self, matrix: Float, offset: Float, size: list[int], axes: list[int]
    ) -> NDArray[Any]:
        """Axes run along each other: one index per axis."""
        found = []
        for own, axis in enumerate(axes):
            place = offset[own] + matrix[own, axis] * np.arange(size[axis])
            if own == 0:
                found.append(self.planes.plane_at(place))
            else:
                found.append(_pixel_at(place, self.labels.shape[own]))
        inside = [np.flatnonzero(index >= 0) for index in found]
        taken = self.labels[np.ix_(*(i[k] for i, k in zip(found, inside, strict=True)))]
        out = np.zeros(size, dtype=self.labels.dtype)
        order = [axes.index(axis) for axis in range(3)]
        out[np.ix_(*(inside[own] for own in order))] = taken.transpose(order)
        return out

    def _at_turned(self, matrix: Float, offset: Float, size: list[int]) -> NDArray[Any]:
        """Any orientation: plane of the exam by plane."""
        out = np.zeros(size, dtype=self.labels.dtype)
        _, rows, columns = self.labels.shape
        y, x = np.arange(size[1])[:, None], np.arange(size[2])[None, :]
        shift = np.asarray(self.planes.shift_yx_mm or [(0.0, 0.0)]) / self.planes.spacing_yx_mm
        for z in range(size[0]):
            along, row, column = (
                offset[own] + matrix[own, 0] * z + matrix[own, 1] * y + matrix[own, 2] * x
                for own in range(3)
            )
            plane = self.planes.plane_at(along)
            if self.planes.shift_yx_mm:
                row, column = row - shift[plane, 0], column - shift[plane, 1]
            r, c = _pixel_at(row, rows), _pixel_at(column, columns)
            inside = (plane >= 0) & (r >= 0) & (c >= 0)
            out[z][inside] = self.labels[plane[inside], r[inside], c[inside]]
        return out


def _pixel_at(place: Float, count: int) -> Index:
    """Index of the pixel around each place (in pixels); -1 outside."""
    index = np.floor(place + 0.5 + TIE).astype(np.intp)
    return np.where((index >= 0) & (index < count), index, -1)
