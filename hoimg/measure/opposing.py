"""The gap between opposing bone surfaces of a hip, and which lesion is joined to which side.

Opposing surfaces are pelvis with the ossification joined to it, and femur with the ossification
joined to it. At least one of the two must be ossification: native bones face each other in every
hip. The joint's own surfaces, head and socket, do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Triple, widened
from hoimg.measure.between import Between, between
from hoimg.measure.contact import MIN_CONTACT_MM2
from hoimg.measure.hip_sides import FEMUR, PELVIS, HipSides
from hoimg.measure.relation import nearest_mm, surface_points

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEW = 3000
"""Points from which a bound is made before the nearest pair is looked for."""


@dataclass(frozen=True, eq=False)
class OpposingGap:
    """What the lesions about a hip leave between its two sides.

    Attributes:
        to_pelvis: Values of the lesions joined to the pelvis, directly or through others.
        to_femur: The same for the femur.
        gap_mm: Least distance between opposing surfaces; 0 where a lesion joins both; None where
            no lesion is joined to either.
        sd_mm: SD of it, from the size of the voxels alone; None with it.
        ends_mm: The two points between which it was measured, mm zyx in the array's frame.
    """

    to_pelvis: tuple[int, ...]
    to_femur: tuple[int, ...]
    gap_mm: float | None
    sd_mm: float | None = None
    ends_mm: tuple[Floats, Floats] | None = None


def opposing_gap(
    sides: HipSides,
    labels: NDArray[np.integer],
    boxes: Mapping[int, Box],
    bone: Bools,
    hu: NDArray[np.generic],
    spacing_mm: Triple,
    *,
    joint_mm: float,
    boundary_sd_voxels: float,
) -> OpposingGap:
    """Measure the gap of one hip.

    Args:
        sides: The hip, not refused.
        labels: The exam's lesions, one value each.
        boxes: Of the lesions about this hip, by value.
        bone: Native bone, filled, same shape.
        hu: The exam, HU.
        spacing_mm: Spacing zyx, mm.
        joint_mm: Native bone this near to the head's sphere is the joint's own surface.
        boundary_sd_voxels: SD of the place of a surface that a mask gives.
    """
    touching = {value: _touched(sides, labels, value, boxes[value], bone, spacing_mm)
                for value in boxes}  # fmt: skip
    chain = _chains({v: near for v, (_, near) in touching.items()})
    joined = {
        side: tuple(
            sorted(
                v for group in chain if any(side in touching[w][0] for w in group) for v in group
            )
        )
        for side in (PELVIS, FEMUR)
    }
    to_pelvis, to_femur = joined[PELVIS], joined[FEMUR]
    if not to_pelvis and not to_femur:
        return OpposingGap((), (), None)
    if set(to_pelvis) & set(to_femur):
        return OpposingGap(
            to_pelvis, to_femur, 0.0, float(np.sqrt(2.0)) * boundary_sd_voxels * max(spacing_mm)
        )
    ossified = {
        PELVIS: _lesion_points(labels, to_pelvis, boxes, spacing_mm),
        FEMUR: _lesion_points(labels, to_femur, boxes, spacing_mm),
    }
    best: Between | None = None
    for own, other in ((PELVIS, FEMUR), (FEMUR, PELVIS)):
        if len(ossified[own]) == 0:
            continue
        targets = [ossified[other]]
        bound = _upper_bound(sides, other, ossified[own], joint_mm, spacing_mm)
        if bound is not None:
            targets.append(
                _bone_points(sides, other, ossified[own], bound, bone, spacing_mm, joint_mm)
            )
        found = between(ossified[own], np.concatenate(targets), hu, spacing_mm)
        if found is not None and (best is None or found.distance_mm < best.distance_mm):
            turned = found.ends_mm if own == PELVIS else found.ends_mm[::-1]
            best = replace(found, ends_mm=turned)
    if best is None:
        return OpposingGap(to_pelvis, to_femur, None)
    sd = _sd(best.ends_mm[1] - best.ends_mm[0], spacing_mm, boundary_sd_voxels)
    return OpposingGap(
        to_pelvis, to_femur, best.distance_mm, sd, (best.ends_mm[0], best.ends_mm[1])
    )


def _sd(along: Floats, spacing_mm: Triple, boundary_sd_voxels: float) -> float:
    """SD of a distance between two surfaces, mm, from the voxels' size in its direction."""
    unit = along / max(float(np.linalg.norm(along)), 1e-9)
    voxel = float(np.linalg.norm(unit * np.asarray(spacing_mm)))
    return float(np.sqrt(2.0)) * boundary_sd_voxels * voxel


def _touched(
    sides: HipSides,
    labels: NDArray[np.integer],
    value: int,
    box: Box,
    bone: Bools,
    spacing_mm: Triple,
) -> tuple[set[int], set[int]]:
    """Sides of native bone and other lesions that a lesion has beside it.

    The head itself is no place to grow from: it is cartilage there. Less than 10 mm2 is no contact.
    """
    from scipy import ndimage

    wide = widened(box, (1, 1, 1), labels.shape)
    lesion = labels[wide] == value
    rim = ndimage.binary_dilation(lesion, np.ones((3, 3, 3), bool)) & ~lesion
    of = sides.at(wide)
    at = np.argwhere(rim & bone[wide] & (of > 0))
    points = (at + [s.start for s in wide]) * np.asarray(spacing_mm)
    outside = np.linalg.norm(points - sides.head.centre_mm, axis=1) > sides.ball_mm
    side = of[tuple(at.T)]
    face = float(np.prod(spacing_mm)) ** (2.0 / 3.0)
    found = {
        s
        for s in (PELVIS, FEMUR)
        if np.count_nonzero((side == s) & (outside | (s == PELVIS))) * face >= MIN_CONTACT_MM2
    }
    other, count = np.unique(labels[wide][rim], return_counts=True)
    near = {int(v) for v, n in zip(other, count, strict=True) if n * face >= MIN_CONTACT_MM2}
    return found, near - {0, value}


def _chains(near: Mapping[int, set[int]]) -> list[set[int]]:
    """Lesions that touch one another, as groups."""
    left = set(near)
    groups = []
    while left:
        group: set[int] = set()
        more = {min(left)}
        while more:
            group |= more
            more = {w for v in more for w in near[v]} & set(near) - group
            more |= {v for v in left - group if near[v] & group}
        left -= group
        groups.append(group)
    return groups


def _lesion_points(
    labels: NDArray[np.integer], values: tuple[int, ...], boxes: Mapping[int, Box],
    spacing_mm: Triple,
) -> Floats:  # fmt: skip
    found = [np.empty((0, 3))]
    for value in values:
        wide = widened(boxes[value], (1, 1, 1), labels.shape)
        z, y, x = (s.start for s in wide)
        found.append(surface_points(labels[wide] == value, spacing_mm, (z, y, x)))
    return np.concatenate(found)


def _upper_bound(
    sides: HipSides, side: int, points: Floats, joint_mm: float, spacing_mm: Triple
) -> float | None:
    """No less than the distance to native bone of one side, from few points; None for no bone."""
    index = np.argwhere(sides.labels[::2, ::2, ::2] == side) * 2
    at = (index * sides.step + [s.start for s in sides.box]) * np.asarray(spacing_mm)
    at = at[np.linalg.norm(at - sides.head.centre_mm, axis=1) > sides.head.radius_mm + joint_mm]
    if len(at) == 0:
        return None
    few = at[:: len(at) // FEW + 1]
    return float(nearest_mm(points[:: len(points) // FEW + 1], few).min())


def _bone_points(
    sides: HipSides, side: int, points: Floats, bound_mm: float, bone: Bools, spacing_mm: Triple,
    joint_mm: float,
) -> Floats:  # fmt: skip
    """Surface of native bone of one side within ``bound_mm`` of points, on the exam's voxels."""
    spacing = np.asarray(spacing_mm)
    low, high = points.min(axis=0) - bound_mm, points.max(axis=0) + bound_mm
    box = tuple(
        slice(max(int(a / d) - 1, s.start, 0), min(int(b / d) + 2, s.stop))
        for a, b, d, s in zip(low, high, spacing, sides.box, strict=True)
    )
    cut = (box[0], box[1], box[2])
    near = bone[cut] & (sides.at(cut) == side)
    found = surface_points(near, spacing_mm, (cut[0].start, cut[1].start, cut[2].start))
    away = np.linalg.norm(found - sides.head.centre_mm, axis=1)
    kept: Floats = found[away > sides.head.radius_mm + joint_mm]
    return kept
