"""Candidates of the working grid put onto the exam's own grid, with native bone beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, bounding_box, nested
from hoimg.image import CTVolume
from hoimg.memory import sparse_zeros
from hoimg.segment.blur_rind import with_own_blur
from hoimg.segment.candidates import Candidate
from hoimg.segment.draft import middle_and_inside
from hoimg.segment.morphology import close_mm, fill_holes, label_components
from hoimg.segment.outline import outline
from hoimg.segment.search import Left
from hoimg.segment.types import ExcludedRegion
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

LISTED_MM3 = 60.0
"""Smaller specks are noise or a single voxel's calcium; they are not listed one by one."""


class Drawing:
    """The exam's grid with native bone and metal on it, on which candidates are outlined.

    Args:
        volume: The exam, HU.
        working: Its working grid.
        metal: Metal on the working grid.
        bone: Native bone on the working grid.
        core: Where native bone certainly is, on the working grid; what stands on bone is outlined
            up to it.
        beyond: What lies beyond the ridge between a closed shell and the bone it touches.
        called: What is called a lesion, and no bone.
        settings: Section ``segment``.
    """

    def __init__(
        self,
        volume: CTVolume,
        working: Working,
        *,
        metal: Bool,
        bone: Bool,
        core: Bool,
        beyond: Bool,
        called: Sequence[Candidate],
        settings: SegmentSettings,
    ) -> None:
        self.volume, self.working, self.settings = volume, working, settings
        self.core, self.beyond = core, beyond
        size = volume.grid.size_zyx
        self.skeleton = _native_skeleton(size, working, bone, called)
        self.metal = working.to_native_sparse(metal, size)
        self.lesions: NDArray[np.uint16] = sparse_zeros(size, np.uint16)

    def outlined(self, candidate: Candidate) -> tuple[Box, list[Bool]]:
        """A candidate's outline beside bone, metal and the lesions so far.

        Returns:
            A box of the exam's array and the pieces of the outline in it, none if it is empty.
        """
        grid = self.volume.grid
        box = self.working.native_box(candidate.box, grid.size_zyx)
        rough = _upsampled(candidate.mask, self.working, box)
        forbidden = self.skeleton[box] & ~rough
        if candidate.shell:
            forbidden = forbidden | _upsampled(self.beyond[candidate.box], self.working, box)
        elif candidate.attached:
            forbidden &= _upsampled(self.core[candidate.box], self.working, box)
        forbidden = forbidden | self.metal[box] | (self.lesions[box] > 0)
        spacing, group_mm = grid.spacing_zyx_mm, self.settings.group_mm
        mask = outline(self.volume.hu[box], rough, forbidden, spacing, group_mm)
        return box, _parts(mask, 0.5 * self.settings.min_lesion_mm3 / grid.voxel_volume_mm3)

    def excluded(self, left: list[Left]) -> tuple[NDArray[np.uint16], list[ExcludedRegion]]:
        """What was not called, largest first, as a label map and a list."""
        size, grid = self.volume.grid.size_zyx, self.volume.grid
        out = sparse_zeros(size, np.uint16)
        regions: list[ExcludedRegion] = []
        taken = np.zeros(self.working.hu.shape, dtype=bool)
        for mask, box, reason, note in sorted(left, key=lambda item: -np.count_nonzero(item[0])):
            tight = bounding_box(mask)
            small = np.count_nonzero(mask) * self.working.voxel_mm3 < LISTED_MM3
            if tight is None or small or len(regions) >= 65_000:
                continue
            inner = nested(box, tight)
            native_box = self.working.native_box(inner, size)
            free = _upsampled(mask[tight] & ~taken[inner], self.working, native_box)
            taken[inner] |= mask[tight]
            free &= self.lesions[native_box] == 0
            if not free.any():
                continue
            label = len(regions) + 1
            out[native_box][free] = label
            middle, inside = middle_and_inside(free, native_box, grid)
            size_mm3 = float(free.sum()) * grid.voxel_volume_mm3
            regions.append(ExcludedRegion(label, reason, size_mm3, middle, note, inside))
        return out, regions


def _parts(mask: Bool, min_voxels: float) -> list[Bool]:
    """The pieces of an outline that are large enough; two lesions side by side come apart here."""
    labels, count = label_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    least = max(min_voxels, 0.15 * sizes.max())
    return [labels == k for k in range(1, count + 1) if sizes[k] >= least]


def _upsampled(mask: Bool, working: Working, box: Box) -> Bool:
    size = (
        box[0].stop - box[0].start,
        box[1].stop - box[1].start,
        box[2].stop - box[2].start,
    )
    z, y, x = (slice(0, n) for n in size)
    out: Bool = working.to_native(mask, size)[z, y, x]
    return out


def _native_skeleton(
    size: tuple[int, int, int], working: Working, bone: Bool, called: Sequence[Candidate]
) -> Bool:
    """Native bone with its marrow, on the native grid, without what was called a lesion."""
    spacing = working.spacing_zyx_mm
    taken = np.zeros_like(bone)
    for candidate in called:
        taken[candidate.box] |= candidate.mask
    taken = with_own_blur(taken, working.hu, spacing, [c.box for c in called])
    bone = bone & ~taken
    solid = fill_holes(close_mm(bone, 3.0, spacing), per_slice=True) & ~taken
    return working.to_native(solid, size)
