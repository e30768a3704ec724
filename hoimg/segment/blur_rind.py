"""The blur round an outline: dense voxels outside of it that are its own slope, and no bone.

An outline lies at half the height of an edge. Beyond it the scan is still denser than soft tissue
for a voxel or two. Taken for native bone, that rind would say that the lesion lies on bone all
round, so that no edge of it could be read.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple, bounding_box, margin_voxels

Bool = NDArray[np.bool_]

REACH_MM = 3.0
"""Blur carries no farther: 1.5 times the widest point spread met (2 mm)."""
PART = 0.7
"""A slope outside of a half-height outline stays below this part of what lies inside of it nearby:
half, and noise. Cortex that a lesion lies on does not."""


def with_own_blur(outlines: Bool, hu_zyx: NDArray[np.generic], spacing_zyx_mm: Triple) -> Bool:
    """Outlines with the voxels round them from which HU rises steepest into an outline.

    Args:
        outlines: Any lesions, ``[z, y, x]``.
        hu_zyx: The scan on the same grid.
        spacing_zyx_mm: Its spacing.

    Returns:
        ``outlines`` and their blur, at most ``REACH_MM`` (but two voxels) outside. Voxels of
        soft tissue may be among them; native bone whose own ridge is near is not.
    """
    from scipy import ndimage as ndi

    reach = tuple(max(m, 2) for m in margin_voxels(REACH_MM, spacing_zyx_mm))
    box = bounding_box(outlines, tuple(r + 1 for r in reach))
    if box is None:
        return outlines
    out = outlines.copy()
    own = out[box]
    hu = hu_zyx[box].astype(np.float32)
    size = [2 * r + 1 for r in reach]
    inside = ndi.maximum_filter(np.where(own, hu, -np.inf), size)
    slope = ~own & (hu < PART * inside)
    upwards = _steepest(hu, spacing_zyx_mm)
    z, y, x = np.nonzero(slope)
    goal = upwards[z, y, x]
    flat = own.reshape(-1)
    here = np.ravel_multi_index((z, y, x), own.shape)
    for _ in range(2 * max(reach)):
        joins = flat[goal] & ~flat[here]
        if not joins.any():
            break
        flat[here[joins]] = True
    own[...] = flat.reshape(own.shape)
    return out


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
