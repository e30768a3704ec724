"""What one lesion's measurements may look at: a crop of the exam, never the whole of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Triple

AIR_HU = -250.0
"""Below this lies no soft tissue: air, lung or bowel gas (fat ends near -150 HU)."""

SOFT_TISSUE_HU = (-200.0, 150.0)
"""What counts as soft tissue around a lesion: fat to enhanced muscle."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LesionView:
    """A crop around one lesion. Points are millimetres along the array's axes z, y, x.

    The frame is the *exam's* array: point (0, 0, 0) is the centre of voxel [0, 0, 0] of the whole
    volume, so that a point divided by the spacing is an index there.

    Attributes:
        hu: float32 ``[z, y, x]``, HU.
        lesion: bool, the mask of this lesion.
        bone: bool, native bone.
        other: bool, other lesions, metal and voxels that were never measured.
        metal: bool.
        spacing_mm: Spacing zyx, mm.
        start: Index of the crop's first voxel in the whole array, zyx.
        full_size: Size of the whole array, zyx.
        invalid: bool or None, voxels outside the reconstruction circle or in a gap.
        gap_planes: Planes of the whole array (z index) that no slice imaged; ``invalid`` there.
    """

    hu: NDArray[np.float32]
    lesion: Bools
    bone: Bools
    other: Bools
    metal: Bools
    spacing_mm: Triple
    start: tuple[int, int, int] = (0, 0, 0)
    full_size: tuple[int, int, int] | None = None
    invalid: Bools | None = None
    gap_planes: tuple[int, ...] = ()

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, mm3."""
        z, y, x = self.spacing_mm
        return z * y * x

    @property
    def size_of_exam(self) -> tuple[int, int, int]:
        """Size of the array that the crop was cut from, zyx."""
        z, y, x = self.hu.shape
        return self.full_size or (z, y, x)

    @cached_property
    def foreign(self) -> NDArray[np.uint8]:
        """1 where neither lesion nor soft tissue is: native bone, other lesions, metal, air."""
        away = self.bone | self.other | (self.hu < AIR_HU)
        return (away & ~self.lesion).astype(np.uint8)

    @cached_property
    def coefficients(self) -> NDArray[np.float32]:
        """Cubic spline coefficients of ``hu`` for sub-voxel sampling."""
        from scipy import ndimage

        filtered = ndimage.spline_filter(self.hu, order=3, output=np.float32, mode="mirror")
        return np.asarray(filtered, np.float32)

    def to_index(self, points_mm: Floats) -> Floats:
        """Points (``(..., 3)``, mm zyx) as fractional indices into the crop."""
        scaled: Floats = points_mm / np.asarray(self.spacing_mm) - np.asarray(self.start)
        return scaled

    def sample_hu(self, points_mm: Floats, order: int = 3) -> NDArray[np.float32]:
        """HU at points ``(..., 3)``, cubic (or linear, order 1); beyond the crop the nearest."""
        from scipy import ndimage

        index = self.to_index(points_mm)
        index = np.clip(index, 0, np.asarray(self.hu.shape) - 1.0)
        values = ndimage.map_coordinates(
            self.coefficients if order == 3 else self.hu,
            np.moveaxis(index, -1, 0),
            order=order,
            prefilter=False,
            mode="mirror",
            output=np.float32,
        )
        return np.asarray(values, np.float32)

    def pick(self, array: NDArray[Any], points_mm: Floats) -> NDArray[Any]:
        """Values of ``array`` (same shape as the crop) at the voxels nearest to the points."""
        index = np.rint(self.to_index(points_mm)).astype(np.intp)
        index = np.clip(index, 0, np.asarray(self.hu.shape) - 1)
        return np.asarray(array[index[..., 0], index[..., 1], index[..., 2]])

    def voxel_points(self, index_zyx: NDArray[np.intp]) -> Floats:
        """Centres (mm zyx) of voxels given by crop indices ``(n, 3)``."""
        points: Floats = (index_zyx + np.asarray(self.start)) * np.asarray(self.spacing_mm)
        return points

    def narrow(self, margin_mm: float) -> LesionView:
        """The same view with only ``margin_mm`` around the lesion."""
        from hoimg.geometry import bounding_box, margin_voxels

        box = bounding_box(self.lesion, margin_voxels(margin_mm, self.spacing_mm))
        return self if box is None else self.cut(box)

    def cut(self, box: Box) -> LesionView:
        """The part of the view in ``box`` (crop indices)."""
        first = tuple(a + int(s.start) for a, s in zip(self.start, box, strict=True))
        return replace(
            self,
            hu=self.hu[box],
            lesion=self.lesion[box],
            bone=self.bone[box],
            other=self.other[box],
            metal=self.metal[box],
            start=(first[0], first[1], first[2]),
            full_size=self.size_of_exam,
            invalid=None if self.invalid is None else self.invalid[box],
        )


def view_of_arrays(
    hu: NDArray[Any],
    spacing_mm: Triple,
    lesion: NDArray[Any],
    *,
    bone: Bools | None = None,
    other: Bools | None = None,
    metal: Bools | None = None,
) -> LesionView:
    """A view from plain arrays, for scripts: ``hu`` and masks of one shape ``[z, y, x]``.

    Args:
        hu: HU.
        spacing_mm: Spacing zyx, mm.
        lesion: Mask of the lesion (non-zero is lesion).
        bone: Native bone; None means none.
        other: Other lesions; None means none.
        metal: Metal; None means none.

    Raises:
        ValueError: when shapes differ or the mask is empty.
    """
    mask = np.asarray(lesion) != 0
    empty = np.zeros(hu.shape, bool)
    metal_mask = empty if metal is None else metal
    if mask.shape != hu.shape:
        raise ValueError(f"mask {mask.shape} does not fit array {hu.shape}")
    if not mask.any():
        raise ValueError("the mask is empty: there is nothing to measure")
    return LesionView(
        hu=np.asarray(hu, np.float32),
        lesion=mask,
        bone=empty if bone is None else bone,
        other=metal_mask if other is None else other | metal_mask,
        metal=metal_mask,
        spacing_mm=spacing_mm,
    )
