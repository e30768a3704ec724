"""Where voxels lie in the patient: one small validated class, apart from any pixels.

Arrays are indexed ``[z, y, x]``; points are LPS millimetres (DICOM's patient frame: +x to the
patient's left, +y to the back, +z to the head). NIfTI and Slicer use RAS; only
:mod:`hoimg.image` converts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]
Box = tuple[slice, slice, slice]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
ORTHONORMAL_TOLERANCE = 1e-3
"""Largest deviation of ``direction.T @ direction`` from identity (a direction cosine is printed
with six digits by scanners; 1e-3 is 0.06 degrees)."""


@dataclass(frozen=True)
class Grid:
    """A regular voxel grid in patient space.

    Attributes:
        size_zyx: Number of voxels along each array axis.
        spacing_zyx_mm: Distance between voxel centres along each array axis, mm.
        origin_lps_mm: Centre of voxel ``[0, 0, 0]``, LPS mm.
        direction: 3x3 orthonormal matrix whose *columns* are the LPS unit vectors along the
            array's x, y and z axes (ITK's convention).

    Raises:
        ValueError: for a size below one, a spacing that is not positive and finite, or a
            direction that is not orthonormal.
    """

    size_zyx: tuple[int, int, int]
    spacing_zyx_mm: Triple
    origin_lps_mm: Triple = (0.0, 0.0, 0.0)
    direction: Matrix = IDENTITY

    def __post_init__(self) -> None:
        if len(self.size_zyx) != 3 or any(int(n) != n or n < 1 for n in self.size_zyx):
            raise ValueError(f"size_zyx must be three whole numbers >= 1, got {self.size_zyx}")
        if len(self.spacing_zyx_mm) != 3 or not all(
            math.isfinite(s) and s > 0 for s in self.spacing_zyx_mm
        ):
            raise ValueError(f"spacing must be positive and finite, got {self.spacing_zyx_mm}")
        if not np.isfinite(self.origin_lps_mm).all():
            raise ValueError(f"origin must be finite, got {self.origin_lps_mm}")
        matrix = np.asarray(self.direction, dtype=float)
        if matrix.shape != (3, 3) or not np.allclose(
            matrix.T @ matrix, np.eye(3), atol=ORTHONORMAL_TOLERANCE
        ):
            raise ValueError(f"direction must be a 3x3 orthonormal matrix, got {self.direction}")
        object.__setattr__(self, "size_zyx", tuple(int(n) for n in self.size_zyx))
        object.__setattr__(self, "spacing_zyx_mm", _triple(self.spacing_zyx_mm))
        object.__setattr__(self, "origin_lps_mm", _triple(self.origin_lps_mm))
        object.__setattr__(self, "direction", tuple(_triple(row) for row in matrix))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return math.prod(self.spacing_zyx_mm)

    @property
    def affine_xyz_to_lps(self) -> NDArray[np.float64]:
        """4x4 matrix from voxel index ``(x, y, z, 1)`` to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing_zyx_mm[::-1])
        affine[:3, 3] = self.origin_lps_mm
        return affine

    def to_lps_mm(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """Map voxel indices (``(3,)`` or ``(n, 3)``, zyx, may be fractional) to LPS mm."""
        xyz = np.asarray(index_zyx, dtype=float)[..., ::-1]
        affine = self.affine_xyz_to_lps
        points: NDArray[np.float64] = xyz @ affine[:3, :3].T + affine[:3, 3]
        return points

    def to_index_zyx(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Map LPS mm points (``(3,)`` or ``(n, 3)``) to fractional voxel indices, zyx."""
        inverse = np.linalg.inv(self.affine_xyz_to_lps)
        xyz = np.asarray(points_lps_mm, dtype=float) @ inverse[:3, :3].T + inverse[:3, 3]
        index: NDArray[np.float64] = xyz[..., ::-1]
        return index

    def crop(self, box: Box) -> Grid:
        """The grid of ``array[box]``; slices need a start and a stop and no step."""
        start = tuple(int(s.start) for s in box)
        size = tuple(int(s.stop) - int(s.start) for s in box)
        return Grid(
            (size[0], size[1], size[2]),
            self.spacing_zyx_mm,
            _triple(self.to_lps_mm(start)),
            self.direction,
        )

    def same_as(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Whether every voxel of both grids lies at the same place within ``tolerance_mm``.

        The eight corners are compared, so that a small error in spacing or direction counts as
        much as it moves the far end of the grid.
        """
        if self.size_zyx != other.size_zyx:
            return False
        corners = self.corners_zyx()
        gap = self.to_lps_mm(corners) - other.to_lps_mm(corners)
        return bool(np.abs(gap).max() <= tolerance_mm)

    def corners_zyx(self) -> NDArray[np.float64]:
        """Indices of the eight outermost voxel centres, ``(8, 3)``."""
        last = [n - 1 for n in self.size_zyx]
        return np.array(
            [[z, y, x] for z in (0, last[0]) for y in (0, last[1]) for x in (0, last[2])],
            dtype=float,
        )


def bounding_box(mask: NDArray[Any], margin: Sequence[int] = (0, 0, 0)) -> Box | None:
    """Smallest box that holds every true voxel, widened by ``margin`` voxels and clipped.

    Args:
        mask: Array zyx; what is not 0 counts.
        margin: Voxels to add on both sides of each axis.

    Returns:
        Three slices, or None when the mask is empty.
    """
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if planes.size == 0:
        return None
    # Rows and columns from one pass over the slices: along rows numpy is slow.
    over = np.asarray(mask[planes[0] : planes[-1] + 1].any(axis=0))
    slices = []
    for axis, hit in enumerate(
        (planes, np.flatnonzero(over.any(axis=1)), np.flatnonzero(over.any(axis=0)))
    ):
        low = max(int(hit[0]) - int(margin[axis]), 0)
        high = min(int(hit[-1]) + 1 + int(margin[axis]), mask.shape[axis])
        slices.append(slice(low, high))
    return (slices[0], slices[1], slices[2])


def label_boxes(labels: NDArray[Any]) -> dict[int, Box]:
    """Smallest box of each label of a label map, by label; 0 is background.

    Args:
        labels: Array zyx, unsigned; bool is one label. Where most of it is empty, as in a map of
            lesions, this takes a tenth of a pass over the labels.
    """
    from scipy.ndimage import find_objects

    box = bounding_box(labels)
    if box is None:
        return {}
    part = labels[box]
    found = find_objects(part.astype(np.uint8) if part.dtype == bool else part)
    return {k: nested(box, inner) for k, inner in enumerate(found, start=1) if inner is not None}


def margin_voxels(margin_mm: float, spacing_zyx_mm: Sequence[float]) -> tuple[int, int, int]:
    """Whole voxels that cover ``margin_mm`` along each axis (rounded up)."""
    z, y, x = (math.ceil(margin_mm / s - 1e-9) for s in spacing_zyx_mm)
    return (z, y, x)


def overlap(one: Box, other: Box) -> tuple[Box, Box]:
    """The voxels that two crops of one array share, as a box of either crop; empty where none."""
    here, there = [], []
    for a, b in zip(one, other, strict=True):
        low, high = max(a.start, b.start), min(a.stop, b.stop)
        high = max(low, high)
        here.append(slice(low - a.start, high - a.start))
        there.append(slice(low - b.start, high - b.start))
    return (here[0], here[1], here[2]), (there[0], there[1], there[2])


def nested(outer: Box, inner: Box) -> Box:
    """A box within a crop, as a box of the whole array.

    Args:
        outer: Where the crop lies in the array.
        inner: The box in the crop.
    """
    z, y, x = (
        slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True)
    )
    return (z, y, x)


def widened(box: Box, margin: Sequence[int], shape: Sequence[int]) -> Box:
    """A box with a margin on every side (voxels, zyx), as far as the array goes."""
    parts = [
        slice(max(s.start - m, 0), min(s.stop + m, n))
        for s, m, n in zip(box, margin, shape, strict=True)
    ]
    return (parts[0], parts[1], parts[2])


def _triple(values: ArrayLike) -> Triple:
    a, b, c = (float(v) for v in np.asarray(values, dtype=float))
    return (a, b, c)
