"""The working grid: the exam block-averaged to about 1.5 mm, on which candidates are found.

Detection does not need the scanner's full resolution; outlines do, and are drawn later in small
native crops. Whole-number factors keep the map between the two grids exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid
from hoimg.image import CTVolume
from hoimg.memory import sparse_filled


@dataclass(frozen=True, eq=False)
class Working:
    """A block-averaged copy of an exam.

    Attributes:
        hu: float32 array zyx, HU, averaged over blocks of ``factors`` native voxels.
        grid: The working grid in patient space.
        factors: Native voxels per working voxel along z, y, x.
    """

    hu: NDArray[np.float32]
    grid: Grid
    factors: tuple[int, int, int]

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Spacing of the working grid, mm."""
        return self.grid.spacing_zyx_mm

    @property
    def voxel_mm3(self) -> float:
        """Volume of a working voxel, mm3."""
        return self.grid.voxel_volume_mm3

    def native_box(self, box: Box, native_size: tuple[int, int, int]) -> Box:
        """The native voxels under a box of working voxels."""
        parts = [
            slice(s.start * f, min(s.stop * f, n))
            for s, f, n in zip(box, self.factors, native_size, strict=True)
        ]
        return (parts[0], parts[1], parts[2])

    def to_native(self, array: NDArray[Any], native_size: tuple[int, int, int]) -> NDArray[Any]:
        """Repeat a working array onto the native grid (nearest neighbour)."""
        if not array.any():
            return np.zeros(native_size, dtype=array.dtype)  # takes no memory until it is written
        out = array
        for axis in (2, 1, 0):  # the last steps, over the most voxels, copy whole rows and slices
            factor, size = self.factors[axis], native_size[axis]
            if factor > 1:
                out = np.repeat(out, factor, axis=axis)
            if out.shape[axis] < size:  # native voxels left over at the far end
                pad = [(0, 0)] * 3
                pad[axis] = (0, size - out.shape[axis])
                out = np.pad(out, pad, mode="edge")
        return out

    def to_native_sparse(
        self, array: NDArray[Any], native_size: tuple[int, int, int]
    ) -> NDArray[Any]:
        """The same where little is set: empty rows take no memory."""
        (nz, ny, nx), last = native_size, len(array) - 1
        planes = (array[min(k // self.factors[0], last)] for k in range(nz))
        whole = (self.to_native(plane[None], (1, ny, nx))[0] for plane in planes)
        return sparse_filled(native_size, array.dtype, whole)

    def block(self, array: NDArray[Any], native_box: Box) -> NDArray[Any]:
        """A box of the native grid out of a working array (nearest neighbour), a copy."""
        index = (
            np.minimum(np.arange(s.start, s.stop) // factor, size - 1)
            for s, factor, size in zip(native_box, self.factors, array.shape, strict=True)
        )
        return array[np.ix_(*index)]


def make_working(volume: CTVolume, target_mm: float, floor_hu: float = -1024.0) -> Working:
    """Average a volume over whole blocks so that no axis is finer than about ``target_mm``.

    Args:
        volume: The exam.
        target_mm: Wanted spacing; axes already coarser than 2/3 of it are kept as they are.
        floor_hu: Padding and values below this are raised to it, so that a block at the edge of
            the reconstruction circle does not average padding.

    Returns:
        The working copy; blocks that do not fill up at the far end are left out.
    """
    nz, ny, nx = volume.grid.size_zyx
    factors = tuple(max(1, round(target_mm / s)) for s in volume.grid.spacing_zyx_mm)
    fz, fy, fx = (min(f, n) for f, n in zip(factors, (nz, ny, nx), strict=True))
    mz, my, mx = nz // fz, ny // fy, nx // fx
    out = np.zeros((mz, my, mx), dtype=np.float32)
    for k in range(mz):  # slab by slab: never a float copy of the whole volume
        slab = volume.hu[k * fz : (k + 1) * fz, : my * fy, : mx * fx].astype(np.float32)
        np.maximum(slab, floor_hu, out=slab)
        out[k] = over_blocks(np.add, slab, (fy, fx))
    out /= fz * fy * fx
    spacing = volume.grid.spacing_zyx_mm
    start = volume.grid.to_lps_mm([(fz - 1) / 2, (fy - 1) / 2, (fx - 1) / 2])
    grid = Grid(
        (mz, my, mx),
        (spacing[0] * fz, spacing[1] * fy, spacing[2] * fx),
        (float(start[0]), float(start[1]), float(start[2])),
        volume.grid.direction,
    )
    return Working(out, grid, (fz, fy, fx))


def block_maxima(volume: CTVolume, working: Working) -> NDArray[Any]:
    """The largest native voxel of each working voxel, in the exam's own type."""
    fz, fy, fx = working.factors
    mz, my, mx = working.hu.shape
    out = np.zeros(working.hu.shape, dtype=volume.hu.dtype)
    for k in range(mz):
        slab = volume.hu[k * fz : (k + 1) * fz, : my * fy, : mx * fx]
        out[k] = over_blocks(np.maximum, slab, (fy, fx))
    return out


def over_blocks(
    together: np.ufunc, slab: NDArray[Any], factors_yx: tuple[int, int]
) -> NDArray[Any]:
    """Reduce a slab to one slice of blocks, of all its slices and some rows and columns.

    One axis at a time keeps the long axis contiguous; numpy reduces all three at once ten times
    slower.

    Args:
        together: ``np.add``, ``np.maximum`` or the like.
        slab: Array zyx whose rows and columns are whole blocks.
        factors_yx: Rows and columns of a block.
    """
    fy, fx = factors_yx
    plane = together.reduce(slab, axis=0)
    rows = together.reduce(plane.reshape(-1, fy, plane.shape[1]), axis=1)
    columns: NDArray[Any] = rows[:, ::fx].copy()
    for k in range(1, fx):
        together(columns, rows[:, k::fx], out=columns)
    return columns
