"""Basins: the scan near bone, parted along its ridges by a watershed by dynamics.

The core of a mature lesion is one basin, the marrow of each native bone another, even where the two
are fused; a lesion with septa may be several. After the second trial in
``docs/methods/segment.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, bounding_box, widened
from hoimg.segment.morphology import dilate_mm, fill_holes, smooth_mm
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings
from hoimg.side_threads import side_threads

Bool = NDArray[np.bool_]
Labels = NDArray[np.int32]

FLOOR_HU = 65.0
"""Below lies soft tissue and marrow: one flat floor, so that muscle's noise makes few basins."""
DENSE_HU = 130.0
"""Only the neighbourhood of what is denser is looked at."""
CEILING_HU = 700.0
"""Above lies only cortex."""
STEP_HU = 8.0
"""Heights are rounded to this before the flooding."""
DYNAMICS_HU = 40.0
"""A basin shallower than this joins its neighbour: noise and trabeculae make none."""
ENCLOSING_HU = 250.0
ENCLOSED = 0.75
"""Part of the surface of a large low region near which bone makes it marrow."""
FLOOD_ROOM = (2, 2, 2)
"""Voxels round what is flooded that its lowest places depend on."""
WALL_FACES = 6
"""Basins with fewer common faces (of working voxels) only meet at an edge."""


@dataclass(frozen=True, eq=False)
class Basins:
    """The scan near bone, parted along its ridges.

    Attributes:
        labels: int32 zyx; 0 far from anything dense.
        background: Per label, whether it is soft tissue or air (0 is).
        hu: float32 zyx, what was flooded: the working scan, smoothed 0.6 mm.
        sizes: Per label, how many voxels it has.
    """

    labels: Labels
    background: NDArray[np.bool_]
    hu: NDArray[np.float32]
    sizes: NDArray[np.int64]


def find_basins(working: Working, settings: SegmentSettings) -> Basins:
    """Part the neighbourhood of what is dense along the ridges of bone.

    Args:
        working: The exam at about 1.5 mm.
        settings: Section ``segment``.
    """
    hu = smooth_mm(working.hu, 0.6, working.spacing_zyx_mm)
    labels, background = _basins(hu, working, settings)
    sizes = np.bincount(labels.ravel(), minlength=len(background))
    return Basins(labels, background, hu, sizes)


def _basins(
    hu: NDArray[np.float32], working: Working, settings: SegmentSettings
) -> tuple[Labels, NDArray[np.bool_]]:
    """Basins of the scan near bone, and per label whether it is background (soft tissue, air).

    Flooded from every minimum, then joined twice: where the pass between two basins is less than
    the dynamics above the shallower one, and where their common ridge is much lower than their
    rims towards soft tissue (septa of a lesion, noise across a rib's marrow; not the cortex between
    a lesion and the bone that it stands on).
    """
    # Only the neighbourhood of dense voxels is flooded, with every cavity that they enclose.
    near = fill_holes(dilate_mm(hu > DENSE_HU, 4.0, working.spacing_zyx_mm))
    steps = np.rint(np.clip(hu, FLOOR_HU, CEILING_HU) / STEP_HU).astype(np.int16)
    with side_threads(1) as beside:
        opening = beside.submit(_open, hu, settings.shell_max_mm3 / working.voxel_mm3)
        basins = flooded(steps, near)
        open_air = opening.result()
    background = np.zeros(int(basins.max()) + 1, dtype=bool)
    background[basins[open_air]] = True
    background[0] = True
    clipped = np.clip(hu, FLOOR_HU, CEILING_HU)
    basins, background = join_shallow(basins, clipped, background, DYNAMICS_HU, FLOOR_HU)
    return _join_low_ridges(basins, hu, background, settings.shell_pass_ratio)


def flooded(heights: NDArray[np.int16], mask: Bool) -> Labels:
    """Watershed of a mask from every local minimum, over faces; 0 outside, labels from 1.

    Args:
        heights: What is flooded, in steps.
        mask: What is parted.
    """
    import cc3d
    from skimage.morphology import local_minima
    from skimage.segmentation import watershed

    out = np.zeros(mask.shape, dtype=np.int32)
    box = bounding_box(mask, FLOOD_ROOM)
    if box is not None:
        lowest = local_minima(heights[box], connectivity=1) & mask[box]
        starts = cc3d.connected_components(lowest, connectivity=6, out_dtype=np.uint32)
        out[box] = watershed(heights[box], starts.view(np.int32), mask=mask[box], connectivity=1)
    return out


def _open(hu: NDArray[np.float32], max_voxels: float) -> Bool:
    """Soft tissue and air: joined to more of it than any lesion's core holds, and not in bone."""
    import cc3d
    from scipy import ndimage as ndi

    labels: Labels = cc3d.connected_components(
        hu <= FLOOR_HU, connectivity=6, out_dtype=np.uint32
    ).view(np.int32)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = sizes > max_voxels
    boxes = ndi.find_objects(labels)
    for label in np.flatnonzero(large):
        # The marrow of a whole femur is as large, but cortex lies all round it.
        if label != sizes.argmax() and _enclosed(labels, int(label), boxes[label - 1], hu):
            large[label] = False
    found: Bool = large[labels]
    return found


def _enclosed(labels: Labels, label: int, part: Box, hu: NDArray[np.float32]) -> bool:
    """Whether bone lies within three voxels of most of a region's surface."""
    from scipy import ndimage as ndi

    box = widened(part, (4, 4, 4), labels.shape)
    mask = labels[box] == label
    surface = mask & ~ndi.binary_erosion(mask, border_value=1)
    bone = ndi.maximum_filter(hu[box], size=7) > ENCLOSING_HU
    return bool(bone[surface].mean() >= ENCLOSED)


def join_shallow(
    basins: Labels,
    heights: NDArray[np.float32],
    background: NDArray[np.bool_],
    dynamics: float,
    background_floor: float = -np.inf,
) -> tuple[Labels, NDArray[np.bool_]]:
    """Join basins by dynamics, lowest pass first (each basin's depth is that of its minimum).

    Args:
        basins: int32, 0 outside.
        heights: What was flooded.
        background: Per label, whether it is background; what joins background becomes it.
        dynamics: A basin shallower than this joins its neighbour.
        background_floor: Depth of the background's basins.
    """
    count = len(background)
    floor = np.full(count, np.inf)
    inside = basins > 0
    np.minimum.at(floor, basins[inside], heights[inside].astype(float))
    floor[background] = background_floor
    ridges = ridges_between(basins, heights, quantile=0.0)
    parent = np.arange(count)
    for k in np.argsort(ridges.height, kind="stable"):
        a, b = _root(parent, int(ridges.first[k])), _root(parent, int(ridges.second[k]))
        if a == b or ridges.height[k] - max(floor[a], floor[b]) >= dynamics:
            continue
        keep, drop = (a, b) if floor[a] <= floor[b] else (b, a)
        parent[drop] = keep
        background[keep] |= background[drop]
    return _relabelled(basins, parent), background


def _join_low_ridges(
    basins: Labels, hu: NDArray[np.float32], background: NDArray[np.bool_], pass_ratio: float
) -> tuple[Labels, NDArray[np.bool_]]:
    """Join basins whose common ridge is much lower than their rims towards soft tissue."""
    ridges = ridges_between(basins, hu, quantile=0.5)
    rim = _rims(ridges, background)
    parent = np.arange(len(background))
    inner = ~background[ridges.first] & ~background[ridges.second] & (ridges.faces >= WALL_FACES)
    low = ridges.height < pass_ratio * np.minimum(rim[ridges.first], rim[ridges.second])
    for k in np.flatnonzero(inner & low):
        a, b = _root(parent, int(ridges.first[k])), _root(parent, int(ridges.second[k]))
        parent[a] = b
    return _relabelled(basins, parent), background


def _root(parent: NDArray[np.int64], label: int) -> int:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = int(parent[label])
    return label


def _relabelled(basins: Labels, parent: NDArray[np.int64]) -> Labels:
    roots = np.array([_root(parent, k) for k in range(len(parent))], dtype=np.int32)
    return roots[basins]


@dataclass(frozen=True, eq=False)
class Ridges:
    """Pairs of touching basins, a height of their common faces, and how many faces there are."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    height: NDArray[np.float64]
    faces: NDArray[np.int64]


def _rims(ridges: Ridges, background: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Per basin, the mean ridge height towards background; inf where it has no such ridge."""
    total, weight = np.zeros(len(background)), np.zeros(len(background))
    for own, other in ((ridges.first, ridges.second), (ridges.second, ridges.first)):
        outer = background[other] & ~background[own]
        np.add.at(total, own[outer], (ridges.height * ridges.faces)[outer])
        np.add.at(weight, own[outer], ridges.faces[outer])
    return np.where(weight > 0, total / np.maximum(weight, 1), np.inf)


def ridges_between(basins: Labels, hu: NDArray[np.float32], quantile: float) -> Ridges:
    """The ridges between basins; a face's height is that of the higher of its two voxels."""
    pairs, heights = [], []
    count = int(basins.max()) + 1
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        a, b = basins[tuple(low)], basins[tuple(high)]
        parted = (a != b) & (a > 0) & (b > 0)
        heights.append(np.maximum(hu[tuple(low)][parted], hu[tuple(high)][parted]))
        one, two = a[parted].astype(np.int64), b[parted].astype(np.int64)
        pairs.append(np.minimum(one, two) * count + np.maximum(one, two))
    key, height = np.concatenate(pairs), np.concatenate(heights)
    order = np.lexsort((height, key))
    key, height = key[order], height[order]
    found, start, faces = np.unique(key, return_index=True, return_counts=True)
    place = start + (quantile * (faces - 1)).astype(np.int64)
    return Ridges(found // count, found % count, height[place].astype(float), faces)


def united(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """The root of each label, where the labels of each pair are one."""
    parent = np.arange(count)
    for a, b in pairs:
        one, two = _root(parent, a), _root(parent, b)
        parent[max(one, two)] = min(one, two)
    return np.array([_root(parent, k) for k in range(count)])
