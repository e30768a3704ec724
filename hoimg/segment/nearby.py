"""Native bone around a reader's point, known by its marrow.

As :mod:`hoimg.segment.marrow` does for a scan, but in a small block, where bones are cut on all
sides, and never of the basin that holds the point: that is the lesion's own core.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid
from hoimg.image import CTVolume
from hoimg.segment.basins import find_basins
from hoimg.segment.features import extents_mm
from hoimg.segment.marrow import marrow_of
from hoimg.segment.shells import compactness, inscribed_mm
from hoimg.segment.working import Working, make_working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

CUT_MM3 = 300.0
"""A basin of this size that leaves the block is a bone."""
TUBE_MM3, TUBE_MM, DRAWN_OUT = 800.0, 25.0, 7.0
"""A basin of this size or length that is this many times its inscribed sphere is a bone."""
LARGE_MM3 = 6000.0
LEAST_MM3 = 150.0


def native_around(
    hu: NDArray[np.float32],
    point: NDArray[np.float64],
    spacing_zyx_mm: tuple[float, float, float],
    settings: SegmentSettings,
    mineral_hu: float,
) -> tuple[Bool, Bool]:
    """Native bone in a block by its marrow, and the basin that holds the point.

    Args:
        hu: The block around the point, HU, array zyx.
        point: Index zyx in the block.
        spacing_zyx_mm: Voxel spacing, mm.
        settings: Section ``segment``.
        mineral_hu: Voxels above this are mineral (in this exam's tube voltage).

    Returns:
        Two boolean arrays of the block's shape; the second is empty where no basin of a bone or a
        lesion, but open soft tissue holds the point.
    """
    from scipy import ndimage as ndi

    z, y, x = hu.shape
    grid = Grid((z, y, x), spacing_zyx_mm, (0.0, 0.0, 0.0))
    working = make_working(CTVolume(hu, grid), settings.working_mm)
    parted = find_basins(working, settings)
    labels = parted.labels
    here = np.minimum(np.rint(point).astype(int) // working.factors, np.asarray(labels.shape) - 1)
    own = int(labels[tuple(here)])
    if parted.background[own]:
        own = 0
    count = len(parted.background)
    volumes = parted.sizes * working.voxel_mm3
    native = np.zeros(count, dtype=bool)
    for label, part in enumerate(ndi.find_objects(labels), start=1):
        wanted = part is not None and label != own and not parted.background[label]
        if wanted and part is not None and volumes[label] >= LEAST_MM3:
            native[label] = _bone_like(labels, label, part, float(volumes[label]), working)
    core = (labels == own) if own else np.zeros(labels.shape, dtype=bool)
    dense = parted.hu > mineral_hu
    marrow = marrow_of(native, parted, dense, core, working)
    bone = marrow.inside | (dense & marrow.within(0.0))
    size = (z, y, x)
    return working.to_native(bone & ~core, size), working.to_native(core, size)


def _bone_like(
    labels: NDArray[np.int32], label: int, part: Box, volume_mm3: float, working: Working
) -> bool:
    """Whether a basin is a bone's marrow: large, cut by the block, or drawn out."""
    cut = any(s.start == 0 or s.stop == n for s, n in zip(part, labels.shape, strict=True))
    if volume_mm3 > LARGE_MM3 or (cut and volume_mm3 > CUT_MM3):
        return True
    mask = labels[part] == label
    if compactness(volume_mm3, inscribed_mm(mask, working)) <= DRAWN_OUT:
        return False
    return volume_mm3 > TUBE_MM3 or extents_mm(mask, working.spacing_zyx_mm)[0] > TUBE_MM
