"""The gap between a lesion and the nearest bone that it neither lies on nor is nearest to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple, widened
from hoimg.measure.contact import NEIGHBOURHOOD_MM
from hoimg.measure.relation import MaskWithin, nearest_mm, surface_points

Floats = NDArray[np.float64]

MIN_BONE_MM3 = 500.0
"""Smaller pieces of a native skeleton are crumbs, sesamoids and phalanges, not a second bone."""


@dataclass(frozen=True)
class SecondBone:
    """A distance in mm, or None with the reason."""

    gap_mm: float | None
    reason: str | None = None


def gap_to_second_bone(
    points_mm: Floats, bone_within: MaskWithin, spacing_mm: Triple, contact_mm: float
) -> SecondBone:
    """Least distance to a second bone.

    The first bone is each one that the lesion lies on, or the nearest where it lies on none. Pieces
    of native bone that do not join within 30 mm of the lesion are two bones.

    Args:
        points_mm: The lesion's surface, mm zyx in the array's frame.
        bone_within: Gives native bone to a margin (mm) round the lesion, and its first index.
        spacing_mm: Spacing zyx, mm.
        contact_mm: A bone this close, or half a voxel's diagonal, is lain on.

    Returns:
        The gap; None with ``no_second_bone_near``.
    """
    import cc3d
    from scipy import ndimage

    bone, start = bone_within(NEIGHBOURHOOD_MM)
    pieces = cc3d.connected_components(bone, connectivity=26)
    count = np.bincount(pieces.ravel())
    count[0] = 0
    large = np.flatnonzero(count * float(np.prod(spacing_mm)) >= MIN_BONE_MM3)
    if len(large) < 2:
        return SecondBone(None, "no_second_bone_near")
    boxes = ndimage.find_objects(pieces.astype(np.int32))
    near = []
    for k in large:
        box = widened(boxes[k - 1], (1, 1, 1), pieces.shape)
        z, y, x = (a.start + b for a, b in zip(box, start, strict=True))
        surface = surface_points(pieces[box] == k, spacing_mm, (z, y, x))
        near.append(float(nearest_mm(points_mm, surface, NEIGHBOURHOOD_MM).min()))
    near.sort()
    touched = sum(d <= max(contact_mm, 0.5 * float(np.linalg.norm(spacing_mm))) for d in near)
    rest = [d for d in near[max(touched, 1) :] if d <= NEIGHBOURHOOD_MM]
    return SecondBone(rest[0]) if rest else SecondBone(None, "no_second_bone_near")
