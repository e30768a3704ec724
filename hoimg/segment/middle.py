"""Which outline a reader meant: one that has the point in its middle.

An outline that leaked runs off to one side, into the bone; one that stopped short in a piece of the
lesion lies beside its middle as well. Neither volume nor surface tells them from the lesion: bone
has a boundary like any. So a point is taken for what readers make of it, about the middle of what
they mean, and that in the measure of the form itself: a long lesion may be met far from its middle
along its axis, not across.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box
from hoimg.segment.morphology import label_components

Bool = NDArray[np.bool_]

SIDES = 3.0
"""From a point in the middle half of a ball, no side is farther than this many times the opposite
one: (1 + 1/2) / (1 - 1/2)."""


@dataclass(frozen=True, eq=False)
class SeededLesion:
    """A lesion outlined from a point.

    Attributes:
        box: Its place in the exam's array.
        mask: Boolean array of the box's shape.
    """

    box: Box
    mask: Bool


def off_middle(
    lesion: SeededLesion, point: NDArray[np.float64], spacing_zyx_mm: Sequence[float]
) -> float:
    """Distance of a point from a form's centroid, in standard deviations of the form that way.

    In a ball of radius R the standard deviation along any line is R / sqrt(5).

    Args:
        lesion: The form; not empty.
        point: Index zyx in the exam, fractions of voxels included.
        spacing_zyx_mm: Voxel spacing, mm.
    """
    spacing = np.asarray(spacing_zyx_mm, dtype=float)
    places = (np.argwhere(lesion.mask) + [s.start for s in lesion.box]) * spacing
    middle = places.mean(axis=0)
    way = point * spacing - middle
    length = float(np.linalg.norm(way))
    if length == 0.0:
        return 0.0
    along = (places - middle) @ (way / length)
    # A form one voxel thick has still that voxel's own width.
    return length / float(np.hypot(along.std(), spacing.min() / np.sqrt(12.0)))


def middle_part(lesion: SeededLesion, point: NDArray[np.float64]) -> SeededLesion:
    """The part of a form whose middle half holds a point: no side reaches too far.

    Args:
        lesion: The form.
        point: Index zyx in the exam, fractions of voxels included.

    Returns:
        What remains, connected with the point; the form itself where the point lies outside of it.
    """
    at = np.rint(point).astype(int) - [s.start for s in lesion.box]
    size = np.asarray(lesion.mask.shape)
    if (at < 0).any() or (at >= size).any() or not lesion.mask[tuple(at)]:
        return lesion
    places = np.argwhere(lesion.mask)
    opposite = np.rint(at - (places - at) / SIDES).astype(int)
    inside = ((opposite >= 0) & (opposite < size)).all(axis=1)
    inside[inside] = lesion.mask[tuple(opposite[inside].T)]
    kept = np.zeros_like(lesion.mask)
    kept[tuple(places[inside].T)] = True
    labels, _ = label_components(kept)
    return SeededLesion(lesion.box, labels == labels[tuple(at)])
