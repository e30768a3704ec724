"""Native bone known by its marrow, and what lies on it beyond its own cortex.

A bone of the skeleton is a long, large or cut tube of marrow behind a ridge of cortex; that ridge
goes on below an ossification that has grown onto it. So the marrow basins of the watershed tell
where native bone is, the distance of the bone's free surface from them tells how thick its cortex
is, and mineral farther out than the cortex round about is an outgrowth, cut off at the native
surface. Needs no other side: the provider for one-sided limbs, and for lesions over which a
deformable registration would stretch the other side's bone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.basins import Basins
from hoimg.segment.features import extents_mm
from hoimg.segment.morphology import dilate_mm, distance_mm, fill_holes
from hoimg.segment.shells import compactness, inscribed_mm
from hoimg.segment.working import Working

Bool = NDArray[np.bool_]

LEAST_MM3 = 250.0
"""Smaller basins are noise and trabeculae."""
DRAWN_OUT = 7.0
"""Volume over that of the inscribed sphere from which on a basin is a tube or a plate."""
TUBE_MM3 = 800.0
TUBE_MM = 25.0
LARGE_MM3 = 6000.0
CUT_MM3 = 1500.0
"""A basin of this size that leaves the scan is a cut bone."""
REACH_MM = 14.0
"""Cortex is nowhere thicker than this beyond the marrow's ridge."""
ROUND_ABOUT_MM = 10.0
"""Standard deviation of the window in which the thickness of the cortex is taken."""
SHARPNESS_MM = 1.0
"""Thinner places count more by exp(-distance / this): what lies on a bone makes it only thicker."""


@dataclass(frozen=True, eq=False)
class Marrow:
    """Native bone by its marrow, on the working grid.

    Attributes:
        inside: Marrow of native bones, up to the ridge of their cortex.
        distance_mm: float32, distance to it.
        cortex_mm: float32, how far out the surface of that bone lies round about; nan where no
            native surface is near enough to tell. One value for each block of 2 x 2 x 2 voxels:
            it is taken in a wide window.
    """

    inside: Bool
    distance_mm: NDArray[np.float32]
    cortex_mm: NDArray[np.float32]

    @classmethod
    def bare(cls, inside: Bool, distance_mm: NDArray[np.float32]) -> Marrow:
        """Bone whose surface is that of what is inside: it has no cortex beyond it."""
        blocks = [(n + 1) // 2 for n in inside.shape]
        return cls(inside, distance_mm, np.zeros(blocks, dtype=np.float32))

    def beyond(self, margin_mm: float) -> Bool:
        """Voxels farther out than the native surface and a margin; false where nothing is known."""
        return self._compared(np.greater, margin_mm)

    def within(self, margin_mm: float) -> Bool:
        """Voxels inside of the native surface and a margin; false where nothing is known."""
        return self._compared(np.less_equal, margin_mm)

    def known(self) -> Bool:
        """Voxels whose native surface is near enough to tell how far out it lies."""
        return np.stack([np.isfinite(cortex) for cortex in self._cortex_yx()])

    def out_mm(self, at: tuple[NDArray[np.intp], ...]) -> NDArray[np.float32]:
        """How far beyond the native surface voxels lie, by their indices zyx; nan if unknown."""
        z, y, x = at
        out: NDArray[np.float32] = self.distance_mm[at] - self.cortex_mm[z // 2, y // 2, x // 2]
        return out

    def _compared(self, how: np.ufunc, margin_mm: float) -> Bool:
        out = np.empty(self.distance_mm.shape, dtype=bool)
        with np.errstate(invalid="ignore"):
            for own, distance, cortex in zip(out, self.distance_mm, self._cortex_yx(), strict=True):
                how(distance, cortex + np.float32(margin_mm), out=own)
        return out

    def _cortex_yx(self) -> Iterator[NDArray[np.float32]]:
        """The cortex of every voxel, slice by slice: the whole is as large as the exam's maps."""
        slices, rows, columns = self.distance_mm.shape
        for k in range(slices):
            yield self.cortex_mm[k // 2].repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]


def native_marrow(basins: Basins, dense: Bool, shells: Bool, working: Working) -> Marrow:
    """Find native marrow and the thickness of the cortex round it.

    Args:
        basins: Basins of the scan.
        dense: Voxels above the mineral threshold, without metal.
        shells: Lesions with a closed shell; their basins are never native.
        working: The working grid.
    """
    return marrow_of(_native_basins(basins, shells, working), basins, dense, shells, working)


def marrow_of(
    native: NDArray[np.bool_], basins: Basins, dense: Bool, shells: Bool, working: Working
) -> Marrow:
    """The same, where it is known which basins are native marrow (a flag per label)."""
    # Deep marrow lies too far from anything dense to have a basin; slice by slice it is filled.
    inside = fill_holes(native[basins.labels], per_slice=True) & ~shells
    spacing = working.spacing_zyx_mm
    distance = distance_mm(inside, spacing)
    near = dense & (distance < REACH_MM)
    # Only a surface towards soft tissue is a bone's surface; cortex below a lesion has none.
    soft = (basins.hu > -250) & (basins.hu < 130) & ~inside
    surface = near & dilate_mm(soft, 1.05 * max(spacing), spacing)
    return Marrow(inside, distance, _thickness(distance, surface, spacing))


def _native_basins(basins: Basins, shells: Bool, working: Working) -> NDArray[np.bool_]:
    """Which basins are the marrow of native bones: tubes, large ones, cut ones."""
    from scipy import ndimage as ndi

    native = np.zeros(len(basins.background), dtype=bool)
    volumes = basins.sizes * working.voxel_mm3
    shelled = np.bincount(basins.labels[shells], minlength=len(native))
    wanted = (volumes >= LEAST_MM3) & ~basins.background & (shelled < 0.5 * basins.sizes)
    slices = working.hu.shape[0]
    for label, part in enumerate(ndi.find_objects(basins.labels), start=1):
        if part is None or not wanted[label]:
            continue
        cut = part[0].start == 0 or part[0].stop == slices
        if volumes[label] > LARGE_MM3 or (cut and volumes[label] > CUT_MM3):
            native[label] = True
            continue
        mask = basins.labels[part] == label
        if compactness(volumes[label], inscribed_mm(mask, working)) > DRAWN_OUT:
            long = extents_mm(mask, working.spacing_zyx_mm)[0] > TUBE_MM
            native[label] = volumes[label] > TUBE_MM3 or long
    return native


def _thickness(
    distance: NDArray[np.float32], surface: Bool, spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Soft minimum of the surface's distance in a Gaussian window; nan where there is none.

    For each block of 2 x 2 x 2 voxels.
    """
    from scipy import ndimage as ndi

    weight = np.zeros_like(distance)
    value = np.zeros_like(distance)
    away = distance[surface]
    weight[surface] = np.exp(-away / SHARPNESS_MM)
    value[surface] = weight[surface] * np.minimum(away, REACH_MM)
    # The window is wide: blocks of two voxels lose nothing and cost an eighth.
    sigma = [ROUND_ABOUT_MM / (2 * s) for s in spacing]
    parts = [
        ndi.gaussian_filter(_halved(a), sigma, truncate=2.5, mode="constant")
        for a in (value, weight)
    ]
    coarse = np.full(parts[0].shape, np.nan, dtype=np.float32)
    np.divide(parts[0], parts[1], out=coarse, where=parts[1] > 1e-8)
    return coarse


def _halved(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of blocks of 2x2x2 voxels, the last ones padded with zeros."""
    pad = [(0, n % 2) for n in array.shape]
    whole = np.pad(array, pad)
    z, y, x = (n // 2 for n in whole.shape)
    out: NDArray[np.float32] = whole.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
    return out
