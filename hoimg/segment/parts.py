"""Parts of bone that may be no native bone: cut out by form, off what is known to be native.

A large or flat ossification with marrow of its own looks like a bone's marrow, and one on a bone
without visible marrow (a rib, a process) is no outgrowth of anything. So bone is parted in two
ways, each part being a candidate: along the ridges of its cortex (*basins* with their rim), and at
its necks (*lumps*: the watershed of the distance to the surface, which parts a ball from the thin
bone that it stands on). Parts on what is known to be native (by the other side, or a given
skeleton) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, bounding_box, margin_voxels, widened
from hoimg.segment.basins import FLOOD_ROOM, Basins, flooded, join_shallow
from hoimg.segment.candidates import ROOM_MM
from hoimg.segment.marrow import Marrow
from hoimg.segment.morphology import (
    close_mm,
    depth_mm,
    dilate_mm,
    fill_holes,
    label_components,
    open_mm,
    smooth_mm,
)
from hoimg.segment.shells import with_rim
from hoimg.segment.working import Working

Bool = NDArray[np.bool_]
Part = tuple[Box, Bool]

LEAST_MM3, LARGEST_MM3 = 200.0, 60_000.0
UNEXPLAINED = 0.3
"""A part of which all but less than this lies on what is known to be native is native."""
NECK_MM = 0.8
"""Two lumps are two where the neck between them is narrower than the smaller by this in radius."""
DEEPEST_MM = 12.0
"""What lies deeper makes no neck."""
NEIGHBOUR_MM = 8.0
"""Only bone this near to what is off the known skeleton is parted."""


def basin_parts(
    parted: Basins,
    shells: Bool,
    off: Bool | None,
    working: Working,
) -> list[Part]:
    """Basins with their rim, off what is known to be native and not cut by the scan's end.

    Args:
        parted: Basins of the scan.
        shells: Closed shells, which are candidates already.
        off: Voxels off what is known to be native, or None where nothing is known.
        working: The working grid.
    """
    labels, background = parted.labels, parted.background
    shelled = np.bincount(labels[shells], minlength=len(background))
    wanted = ~background & (shelled < 0.5 * np.maximum(parted.sizes, 1))
    out = []
    for box, core in _uncut(labels, parted.sizes, wanted, off, working):
        whole, _ = with_rim(core, labels[box], background, parted.hu[box], working)
        out.append((box, whole))
    return out


@dataclass(frozen=True, eq=False)
class BoneDepth:
    """Bone with its marrow, and how deep in it each voxel lies.

    Attributes:
        solid: Bone with its marrow.
        depth_mm: float32, distance to its surface, smoothed, at most ``DEEPEST_MM``.
    """

    solid: Bool
    depth_mm: NDArray[np.float32]


def bone_depth(bone: Bool, marrow: Marrow, shells: Bool, working: Working) -> BoneDepth:
    """How deep in bone each voxel lies.

    Args:
        bone: Dense voxels of pieces that hold native bone.
        marrow: Native bone by its marrow.
        shells: Closed shells, which are candidates already.
        working: The working grid.
    """
    spacing = working.spacing_zyx_mm
    solid = fill_holes(close_mm(bone & ~shells, 2.0, spacing), per_slice=True)
    solid |= (marrow.inside | bone) & ~shells
    depth = smooth_mm(depth_mm(solid, spacing), 0.8, spacing)
    return BoneDepth(solid, np.minimum(depth, DEEPEST_MM, out=depth))


def lump_parts(bone: BoneDepth, off: Bool, working: Working) -> list[Part]:
    """Bone with its marrow, parted at its necks; parts off what is known to be native.

    Args:
        bone: Bone with its marrow, and its depth.
        off: Voxels off what is known to be native.
        working: The working grid.
    """
    spacing = working.spacing_zyx_mm
    # Only the neighbourhood of what may be no native bone is parted.
    solid = bone.solid & dilate_mm(bone.solid & off, NEIGHBOUR_MM, spacing)
    box = bounding_box(solid, FLOOD_ROOM)
    if box is None:
        return []
    steps = np.rint(-10.0 * bone.depth_mm[box]).astype(np.int16)
    flood = flooded(steps, solid[box])
    del steps
    count = int(flood.max()) + 1
    flood, _ = join_shallow(flood, -bone.depth_mm[box], np.zeros(count, dtype=bool), NECK_MM)
    lumps = np.zeros(solid.shape, dtype=np.int32)
    lumps[box] = flood
    del flood
    sizes = np.bincount(lumps[solid], minlength=count)
    return list(_uncut(lumps, sizes, np.ones(count, dtype=bool), off, working))


def joined_parts(parts: list[Part], off: Bool, bone: Bool, working: Working) -> Iterator[Part]:
    """Parts that touch, with the bone between them that is off what is known, as one.

    Args:
        parts: Basins and lumps.
        off: Voxels off what is known to be native.
        bone: Dense voxels of pieces that hold native bone.
        working: The working grid.
    """
    from scipy import ndimage as ndi

    spacing = working.spacing_zyx_mm
    every = np.zeros_like(bone)
    for box, mask in parts:
        every[box] |= mask
    every = open_mm(fill_holes((every | bone) & off), 1.6, spacing)
    labels, _ = label_components(every)
    room = margin_voxels(ROOM_MM, spacing)
    for label, part in enumerate(ndi.find_objects(labels), start=1):
        if part is None:
            continue
        box = widened(part, room, labels.shape)
        mask = labels[box] == label
        if LEAST_MM3 <= mask.sum() * working.voxel_mm3 <= LARGEST_MM3:
            yield box, mask


def _uncut(
    labels: NDArray[np.int32],
    sizes: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    off: Bool | None,
    working: Working,
) -> Iterator[Part]:
    """Wanted labels of the right size, off what is known and not cut by the scan's end."""
    from scipy import ndimage as ndi

    count = len(wanted)
    volume = sizes * working.voxel_mm3
    wanted = wanted & (volume >= LEAST_MM3) & (volume <= LARGEST_MM3)
    if off is not None:
        # Without what has no label, which is most of a scan: counting takes eight bytes a voxel.
        alone = np.bincount(labels[off & (labels > 0)], minlength=count)
        wanted &= alone >= UNEXPLAINED * np.maximum(sizes, 1)
    room = margin_voxels(ROOM_MM, working.spacing_zyx_mm)
    last = labels.shape[0]
    for label, part in enumerate(ndi.find_objects(labels), start=1):
        if part is None or not wanted[label] or part[0].start == 0 or part[0].stop == last:
            continue
        box = widened(part, room, labels.shape)
        yield box, labels[box] == label
