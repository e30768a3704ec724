"""Which array axis is shown how, so that every grid is displayed by the radiological convention.

Axial slices are viewed from the feet (patient's right on the image's left, front on top), coronal
slices from the front (right on the left, head on top), sagittal slices with the front on the
left and the head on top. The direction cosines decide; a plane's name never does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hoimg.geometry import Grid

PlaneName = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")

# Per plane: patient axis (0 = L, 1 = P, 2 = S) of the normal, then axis and sign of the image's
# rightward and downward directions.
_VIEW: dict[PlaneName, tuple[int, tuple[int, int], tuple[int, int]]] = {
    "axial": (2, (0, 1), (1, 1)),
    "coronal": (1, (0, 1), (2, -1)),
    "sagittal": (0, (1, 1), (2, -1)),
}
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))


@dataclass(frozen=True)
class Plane:
    """How one plane of a grid is turned into an upright picture.

    Attributes:
        name: ``axial``, ``coronal`` or ``sagittal``; on an oblique grid the nearest of them.
        normal_axis: Array axis (0 = z, 1 = y, 2 = x) that the slice is taken along.
        row_axis: Array axis that runs down the picture.
        column_axis: Array axis that runs across the picture.
        flip_rows: Whether the row axis is reversed for display.
        flip_columns: Whether the column axis is reversed for display.
        pixel_mm: Height and width of one displayed voxel, mm.
        letters: Where the left, right, top and bottom edge lie in the patient (R L A P H F).
        tilt_deg: Largest angle between an array axis and the patient axis it stands for, degrees.
    """

    name: PlaneName
    normal_axis: int
    row_axis: int
    column_axis: int
    flip_rows: bool
    flip_columns: bool
    pixel_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    tilt_deg: float

    def take(self, array_zyx: NDArray[Any], index: int) -> NDArray[Any]:
        """The upright slice at ``index`` of the normal axis, ``[row, column]`` (a view)."""
        image: NDArray[Any] = np.take(array_zyx, index, axis=self.normal_axis)
        if self.row_axis > self.column_axis:
            image = image.T
        image = image[::-1] if self.flip_rows else image
        return np.fliplr(image) if self.flip_columns else image

    def place_mm(self, index_zyx: ArrayLike, size_zyx: tuple[int, int, int]) -> tuple[float, float]:
        """Across and down in the whole upright slice of a voxel index, mm from its corner."""
        index = np.asarray(index_zyx, dtype=float)
        row, column = float(index[self.row_axis]), float(index[self.column_axis])
        if self.flip_rows:
            row = size_zyx[self.row_axis] - 1 - row
        if self.flip_columns:
            column = size_zyx[self.column_axis] - 1 - column
        return (column + 0.5) * self.pixel_mm[1], (row + 0.5) * self.pixel_mm[0]


def plane_of(grid: Grid, name: PlaneName) -> Plane:
    """Find the array axes and flips that show ``grid`` upright in one plane.

    Each array axis is given to one patient axis such that the sum of the absolute direction
    cosines is largest, so that no two array axes claim the same one on a grid turned by 45 degrees.
    """
    cosines = np.asarray(grid.direction)[:, ::-1].T  # [array axis z y x, patient axis L P S]
    order = max(
        permutations(range(3)), key=lambda p: sum(abs(cosines[p[axis], axis]) for axis in range(3))
    )
    normal, (right, right_sign), (down, down_sign) = _VIEW[name]
    row_axis, column_axis = order[down], order[right]
    flip_rows = bool(cosines[row_axis, down] * down_sign < 0)
    flip_columns = bool(cosines[column_axis, right] * right_sign < 0)
    to_right = cosines[column_axis] * (-1 if flip_columns else 1)
    to_bottom = cosines[row_axis] * (-1 if flip_rows else 1)
    smallest = min(abs(cosines[order[axis], axis]) for axis in range(3))
    return Plane(
        name=name,
        normal_axis=order[normal],
        row_axis=row_axis,
        column_axis=column_axis,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        pixel_mm=(grid.spacing_zyx_mm[row_axis], grid.spacing_zyx_mm[column_axis]),
        letters=(_letter(-to_right), _letter(to_right), _letter(-to_bottom), _letter(to_bottom)),
        tilt_deg=math.degrees(math.acos(min(1.0, float(smallest)))),
    )


def _letter(vector_lps: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(vector_lps)))
    return _LETTERS[axis][0 if vector_lps[axis] > 0 else 1]
