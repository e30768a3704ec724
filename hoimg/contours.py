"""The outline of a mask in one plane as closed polygons that give back every pixel.

Polygons run half-way between the centres of pixels inside and outside (marching squares at 0.5),
so that a pixel's centre never lies on one. A hole is joined to the outline round it by a channel of
no width (keyhole, PS3.3 C.8.8.6.3), which every reader understands, where a contour within a
contour is a hole for some and a second body for others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def outlines(mask_yx: NDArray[np.bool_]) -> list[Float]:
    """Polygons round a mask, one for each piece of it.

    Args:
        mask_yx: bool ``[y, x]``.

    Returns:
        Each ``(n, 2)``: row and column of its points in pixels, where centres of pixels are whole
        numbers; the first point is not repeated. Pixels that meet at a corner only are pieces of
        their own.
    """
    from scipy import ndimage

    pieces, _ = ndimage.label(mask_yx)  # by sides, as marching squares joins them below
    polygons = []
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        corner = np.array([box[0].start - 1, box[1].start - 1])
        polygons.append(_outline(pieces[box] == number) + corner)
    return polygons


def joined(rings: Sequence[Float]) -> Float:
    """Closed polygons as one, by channels of no width from the first to the others.

    Filled by the even-odd rule it holds what they hold together, holes left out.
    """
    others = list(rings[1:])
    polygon: Float = rings[0]
    while others:
        # The nearest first: its channel crosses no other.
        gaps = [_nearest(polygon, other) for other in others]
        first = min(range(len(others)), key=lambda k: gaps[k][0])
        _, i, j = gaps[first]
        ring = np.roll(others.pop(first), -j, axis=0)
        polygon = np.concatenate([polygon[: i + 1], ring, ring[:1], polygon[i:]])
    return polygon


def _outline(piece_yx: NDArray[np.bool_]) -> Float:
    """The one polygon of a piece, in pixels of a frame that is one pixel wider."""
    from skimage.measure import find_contours

    rings = find_contours(np.pad(piece_yx, 1).astype(np.float32), 0.5, fully_connected="low")
    return joined(sorted((_corners(ring[:-1]) for ring in rings), key=_area, reverse=True))


def _corners(ring: Float) -> Float:
    """A ring without the points that lie on a line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    kept: Float = ring[np.abs(turns) > 1e-9]
    return kept


def _area(ring: Float) -> float:
    y, x = ring.T
    return float(abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))))


def _nearest(one: Float, other: Float) -> tuple[float, int, int]:
    """The smallest distance between points of two rings, and which points those are."""
    from scipy.spatial import cKDTree

    gaps, of_other = cKDTree(other).query(one)
    i = int(gaps.argmin())
    return float(gaps[i]), i, int(of_other[i])
