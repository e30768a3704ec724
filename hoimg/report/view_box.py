"""The box about a lesion that the viewer shows, and each exam's voxels put into it.

The box is upright in the patient (x to the left, y to the back, z to the head) at the lesion's
reference exam; the other exams are put into it by the lesion's links, so that one place of the box
is one place of the patient in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid
from hoimg.report import hu_codes
from hoimg.results import ExamImages

AROUND_MM = 22.0
"""Surroundings shown on every side of the lesion, mm."""
LEAST_SIDE_MM = 64.0
"""A side of the box is at least this long, mm."""
EXCLUDED_BIT, SKELETON_BIT = 64, 128
"""Bits of a mark; the six bits below are a number of :attr:`Marks.numbers`."""
MOST_NUMBERS = 63


@dataclass(frozen=True)
class ViewBox:
    """Where a lesion's voxels lie.

    Attributes:
        origin_lps_mm: Centre of the first voxel in the reference exam, LPS mm.
        step_mm: Side of the cubic voxels, mm.
        size_zyx: Voxels along z, y, x.
    """

    origin_lps_mm: tuple[float, float, float]
    step_mm: float
    size_zyx: tuple[int, int, int]

    def index_to_lps(self) -> NDArray[np.float64]:
        """4x4 matrix from ``(z, y, x, 1)`` to LPS mm of the reference exam."""
        matrix = np.zeros((4, 4))
        for row, column in ((0, 2), (1, 1), (2, 0)):
            matrix[row, column] = self.step_mm
        matrix[:3, 3] = self.origin_lps_mm
        matrix[3, 3] = 1.0
        return matrix


def box_about(
    corners_lps_mm: NDArray[np.float64], voxels: float, finest_mm: float, grid: Grid | None = None
) -> ViewBox:
    """The box about points of a lesion, in the reference exam.

    Args:
        corners_lps_mm: Corners of what must be in it, ``(n, 3)``.
        voxels: At most about so many voxels.
        finest_mm: Smaller steps than this show nothing more, mm.
        grid: The reference exam's; a voxel of the box is put on one of its.
    """
    low, high = corners_lps_mm.min(axis=0), corners_lps_mm.max(axis=0)
    side = np.maximum(high - low + 2 * AROUND_MM, LEAST_SIDE_MM)
    step = float((side.prod() / voxels) ** (1 / 3))
    # The scan's own pixels where there is room for them: they need no interpolation.
    step = finest_mm if step <= finest_mm else float(np.ceil(step * 20) / 20)
    count = np.ceil(side / step).astype(int)
    origin = (low + high) / 2 - (count - 1) * step / 2
    if grid is not None:
        origin = grid.to_lps_mm(np.rint(grid.to_index_zyx(origin)))
    x, y, z = (int(n) for n in count)
    a, b, c = (round(float(v), 4) for v in origin)
    return ViewBox((a, b, c), step, (z, y, x))


def corners_of(box: Box, grid: Grid) -> NDArray[np.float64]:
    """The eight outer corners of a box of voxels, LPS mm."""
    ends = [(s.start - 0.5, s.stop - 0.5) for s in box]
    return grid.to_lps_mm([[z, y, x] for z in ends[0] for y in ends[1] for x in ends[2]])


def sample(
    images: ExamImages, view: ViewBox, motion: NDArray[np.float64], numbers: Mapping[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """One exam's codes of HU and its marks in a view box; None where they do not meet.

    HU are interpolated linearly, after averaging whole voxels where the box is coarser than the
    scan; marks are those of the nearest voxel.

    Args:
        images: The exam.
        view: The box, in the reference exam.
        motion: 4x4, reference LPS to this exam's LPS, mm.
        numbers: Label of the exam's label map to the number that marks it, 1 to 63.
    """
    from scipy.ndimage import affine_transform

    grid = images.volume.grid
    to_index = np.linalg.inv(grid.affine_xyz_to_lps) @ motion @ view.index_to_lps()
    to_index[:3] = to_index[2::-1]  # rows xyz to zyx
    ends = [(-0.5, n - 0.5) for n in view.size_zyx]
    corners = np.array([[z, y, x, 1.0] for z in ends[0] for y in ends[1] for x in ends[2]])
    reach = (to_index @ corners.T)[:3]
    box = []
    for axis, count in enumerate(grid.size_zyx):
        low = max(0, int(np.floor(reach[axis].min())) - 2)
        high = min(count, int(np.ceil(reach[axis].max())) + 3)
        if low >= high:
            return None
        box.append(slice(low, high))
    cut: Box = (box[0], box[1], box[2])
    matrix = to_index[:3, :3]
    shift = to_index[:3, 3] - [s.start for s in cut]
    coarse, factors = _averaged(images.volume.hu[cut], view.step_mm, grid.spacing_zyx_mm)
    hu = affine_transform(
        coarse,
        matrix / factors[:, None],
        (shift - (factors - 1) / 2) / factors,
        view.size_zyx,
        output=np.float32,
        order=1,
        cval=np.nan,
    )
    marks = affine_transform(
        _marks(images, cut, numbers), matrix, shift, view.size_zyx, order=0, cval=0
    )
    return hu_codes.encode(hu), marks


def _averaged(
    hu: NDArray[Any], step_mm: float, spacing_zyx_mm: tuple[float, float, float]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Whole voxels averaged where two or more of them lie within a step."""
    factors = [
        max(1, min(int(step_mm / s + 1e-6), n))
        for s, n in zip(spacing_zyx_mm, hu.shape, strict=True)
    ]
    for axis, factor in enumerate(factors):
        if factor > 1:
            count = hu.shape[axis] // factor
            kept = np.take(hu, np.arange(count * factor), axis=axis)
            shape = (*hu.shape[:axis], count, factor, *hu.shape[axis + 1 :])
            hu = kept.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return hu, np.array(factors, dtype=float)


def _marks(images: ExamImages, cut: Box, numbers: Mapping[int, int]) -> NDArray[np.uint8]:
    labels = images.lesions.array[cut]
    table = np.zeros(max(int(labels.max(initial=0)), *numbers, 0) + 1, np.uint8)
    for label, number in numbers.items():
        table[label] = number
    marks: NDArray[np.uint8] = table[labels.astype(np.uint16, copy=False)]
    marks[images.excluded.array[cut] != 0] |= EXCLUDED_BIT
    if images.anatomy is not None:
        marks[images.anatomy.skeleton.array[cut] != 0] |= SKELETON_BIT
    return marks
