"""The blur round an outline: dense voxels outside of it that are its own slope, and no bone.

An outline lies at half the height of an edge. Beyond it the scan is still denser than soft tissue
for a voxel or two. Taken for native bone, that rind would say that the lesion lies on bone all
round, so that no edge of it could be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Triple, margin_voxels, widened

Bool = NDArray[np.bool_]

REACH_MM = 3.0
"""Blur carries no farther: 1.5 times the widest point spread met (2 mm)."""
PART = 0.7
"""A slope outside of a half-height outline stays below this part of what lies inside of it nearby:
half, and noise. Cortex that a lesion lies on does not."""


def with_own_blur(
    outlines: Bool, hu_zyx: NDArray[np.generic], spacing_zyx_mm: Triple, boxes: Iterable[Box]
) -> Bool:
    """Outlines with the voxels round them from which HU rises steepest into an outline.

    Args:
        outlines: Any lesions, ``[z, y, x]``; not written to.
        hu_zyx: The scan on the same grid.
        spacing_zyx_mm: Its spacing.
        boxes: One round each lesion: only near them is anything computed.

    Returns:
        ``outlines`` and their blur, at most ``REACH_MM`` (but two voxels) outside along an axis.
        Voxels of soft tissue may be among them; native bone whose own ridge is near is not.
    """
    reach = tuple(max(m, 2) for m in margin_voxels(REACH_MM, spacing_zyx_mm))
    out = outlines.copy()
    for tight in boxes:
        box = widened(tight, [r + 1 for r in reach], outlines.shape)
        found = _slopes(outlines[box], hu_zyx[box].astype(np.float32), spacing_zyx_mm, reach)
        # On the crop's faces not all neighbours are known; what lies there is another lesion's.
        known = tuple(
            slice(int(s.start > 0), (s.stop - s.start) - int(s.stop < n))
            for s, n in zip(box, outlines.shape, strict=True)
        )
        out[box][known] |= found[known]
    return out


def boxes_of(labels: NDArray[Any]) -> list[Box]:
    """The box of each label of a label map or binary mask."""
    from scipy.ndimage import find_objects

    whole = labels.view(np.uint8) if labels.dtype == bool else labels
    return [box for box in find_objects(whole) if box is not None]


def _slopes(own: Bool, hu: NDArray[np.float32], spacing: Triple, reach: Sequence[int]) -> Bool:
    """The blur round the outlines of one crop."""
    from scipy import ndimage as ndi

    inside = ndi.maximum_filter(np.where(own, hu, -np.inf), [2 * r + 1 for r in reach])
    slope = np.flatnonzero(~own & (hu < PART * inside))
    goal = _steepest(hu, spacing).reshape(-1)[slope]
    flat = own.reshape(-1).copy()
    for _ in range(2 * max(reach)):
        joins = flat[goal] & ~flat[slope]
        if not joins.any():
            break
        flat[slope[joins]] = True
    return flat.reshape(own.shape) & ~own


def _steepest(hu: NDArray[np.float32], spacing: Triple) -> NDArray[np.intp]:
    """Flat index of the neighbour (of 26) to which HU rises most per mm; a top's own."""
    best = np.zeros(hu.shape, np.float32)
    to = np.arange(hu.size).reshape(hu.shape)
    index = to.copy()
    for step in itertools.product((-1, 0, 1), repeat=3):
        if not any(step):
            continue
        away = float(np.linalg.norm(np.multiply(step, spacing)))
        here = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, hu.shape, strict=True))
        there = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, hu.shape, strict=True))
        rise = (hu[there] - hu[here]) / away
        better = rise > best[here]
        best[here][better] = rise[better]
        to[here][better] = index[there][better]
    return to
