"""Femoral heads near the lesions: bone ends whose surface is a sphere.

A sphere is looked for in the CT itself, not in the skeleton's mask: where slices are thick the
joint space is narrower than a voxel, and the mask of femur and pelvis is one piece. Along rays
from a point deep in bone HU falls at the head's surface, into cartilage or into soft tissue; the
sphere on which it falls in most directions is the head's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Triple

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HEAD_RADIUS_MM = (18.0, 30.0)
"""Femoral heads of adults measure 40-56 mm across; a margin for small and for widened ones."""

WORK_MM = 3.0
"""Coarsest voxel on which heads are looked for: a head is still fourteen voxels wide."""

DEEP_MM = 9.0
"""Centres are looked for this deep in bone: half of the smallest head, since marrow that a
skeleton leaves out makes its mask shallow."""

MIN_SEEN = 0.5
"""Share of directions in view in which HU falls at the sphere's surface. The neck takes a tenth,
and where the joint space is narrower than a voxel most of the socket hides its edge: a real hip at
3 mm keeps 0.52-0.61 (one patient)."""

RAYS = 400

_EDGE_HU = (60.0, 250.0)
"""Smallest fall that is an edge, and the largest that still adds weight."""

CLEAR = 0.7
"""A sphere seen in this share of directions is put forward at once; fainter ones wait until all
are known, and the clearest comes first: beside a head lie spheres that graze it."""

_STEP_MM = 0.6

APART_MM = 110.0
"""Near an accepted head no other is tried: the two heads of a patient lie 160-190 mm apart."""

_HOPELESS = 0.35
"""A first guess whose sphere meets edges in fewer directions is given up at once."""

_TRIED = 40
"""Best centres of the coarse search that are refined."""


@dataclass(frozen=True, eq=False)
class Head:
    """A sphere that bone ends in.

    Attributes:
        centre_mm: mm zyx in the array's frame.
        radius_mm: Of the surface at which HU falls: the head's own where the joint space is
            visible, else up to 3 mm more (the socket's).
        edge: Whether it falls there, in each of ``directions(RAYS)``.
        seen: The same as a share of the directions in view.
    """

    centre_mm: Floats
    radius_mm: float
    edge: Bools
    seen: float


def directions(count: int) -> Floats:
    """Unit vectors evenly over the sphere, ``(count, 3)`` (Fibonacci's spiral)."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    turn = np.pi * (1.0 + 5.0**0.5) * k
    ring = np.sqrt(1.0 - z * z)
    return np.stack([z, ring * np.sin(turn), ring * np.cos(turn)], axis=1)


def find_heads(
    hu: NDArray[np.generic],
    bone: Bools,
    boxes: Sequence[Box],
    spacing_mm: Triple,
    reach_mm: float,
    accept: Callable[[Head], bool],
) -> list[Head]:
    """Spheres in bone whose centre lies within ``reach_mm`` of one of the boxes.

    Args:
        hu: The exam, HU.
        bone: Native bone and metal in it, filled, same shape.
        boxes: Of the lesions.
        spacing_mm: Spacing zyx, mm.
        reach_mm: Farther centres are not looked for.
        accept: Asked about each sphere, likeliest first: whether it is what is looked for. Near
            one that is, no other is tried.

    Returns:
        The accepted ones.
    """
    step = [max(1, int(WORK_MM / s)) for s in spacing_mm]
    low = np.array([[s.start for s in b] for b in boxes]) * np.asarray(spacing_mm)
    high = np.array([[s.stop - 1 for s in b] for b in boxes]) * np.asarray(spacing_mm)
    found: list[Head] = []

    def near(head: Head) -> bool:
        # The rims of two regions overlap: a head accepted in one is not asked about in the next.
        if any(np.linalg.norm(head.centre_mm - h.centre_mm) < APART_MM for h in found):
            return False
        outside = np.maximum(np.maximum(low - head.centre_mm, head.centre_mm - high), 0.0)
        return bool(np.linalg.norm(outside, axis=1).min() <= reach_mm) and accept(head)

    for box in _regions(boxes, bone.shape, spacing_mm, reach_mm):
        rim = [int(np.ceil(1.5 * HEAD_RADIUS_MM[1] / s)) for s in spacing_mm]
        wide = tuple(
            slice(max(s.start - m, 0), min(s.stop + m, n), k)
            for s, m, n, k in zip(box, rim, bone.shape, step, strict=True)
        )
        start = np.array([s.start for s in wide]) * np.asarray(spacing_mm)
        scale = np.asarray(spacing_mm) * step
        coarse = np.clip(hu[wide], -100, 800).astype(np.float32)
        found += _heads_of(coarse, bone[wide], start, scale, near)
    return found


def _regions(
    boxes: Sequence[Box], shape: Sequence[int], spacing_mm: Triple, reach_mm: float
) -> list[Box]:
    """The boxes with ``reach_mm`` around, those that overlap as one."""
    out: list[list[slice]] = []
    for box in boxes:
        new = [
            slice(max(int(s.start - reach_mm / d), 0), min(int(s.stop + reach_mm / d) + 1, n))
            for s, d, n in zip(box, spacing_mm, shape, strict=True)
        ]
        while True:
            near = [
                o
                for o in out
                if all(a.start < b.stop and b.start < a.stop for a, b in zip(o, new, strict=True))
            ]
            if not near:
                break
            for o in near:
                out.remove(o)
                new = [
                    slice(min(a.start, b.start), max(a.stop, b.stop))
                    for a, b in zip(o, new, strict=True)
                ]
        out.append(new)
    return [(o[0], o[1], o[2]) for o in out]


def _heads_of(
    hu: NDArray[np.float32],
    bone: Bools,
    start_mm: Floats,
    scale: Floats,
    accept: Callable[[Head], bool],
) -> list[Head]:
    from scipy import ndimage

    if not bone.any():
        return []
    # Bone that the scan cuts goes on beyond its end: the array's faces are no surface.
    depth = ndimage.distance_transform_edt(bone, scale)
    thin = max(1, round(6.0 / float(scale.min())))
    deep = np.argwhere(depth[::thin, ::thin, ::thin] >= DEEP_MM) * thin
    if len(deep) == 0:
        return []
    centres = deep * scale
    score, radius = _coarse_scores(hu, centres, scale)
    heads: list[Head] = []
    waiting: list[Head] = []
    left = np.ones(len(centres), bool)
    for _ in range(_TRIED):
        if not left.any():
            break
        k = int(np.where(left, score, -1.0).argmax())
        left &= np.linalg.norm(centres - centres[k], axis=1) >= 10.0
        head = _refined(hu, centres[k], radius[k], scale)
        if head is None:
            continue
        if head.seen < CLEAR:
            waiting.append(head)
        elif accept(replace(head, centre_mm=head.centre_mm + start_mm)):
            heads.append(head)
            left &= np.linalg.norm(centres - head.centre_mm, axis=1) >= APART_MM
    for head in sorted(waiting, key=lambda h: -h.seen):
        if all(np.linalg.norm(head.centre_mm - h.centre_mm) >= APART_MM for h in heads) and accept(
            replace(head, centre_mm=head.centre_mm + start_mm)
        ):
            heads.append(head)
    return [replace(h, centre_mm=h.centre_mm + start_mm) for h in heads]


def _coarse_scores(
    hu: NDArray[np.float32], centres: Floats, scale: Floats
) -> tuple[Floats, Floats]:
    """How much HU falls on the best sphere round each centre, 0 to 1, and its radius."""
    step = max(1.5, float(scale.max()) / 2)
    radii = np.arange(HEAD_RADIUS_MM[0] - step, HEAD_RADIUS_MM[1] + 1.5 * step, step)
    rays = directions(96)
    score = np.empty(len(centres))
    radius = np.empty(len(centres))
    for first in range(0, len(centres), 500):
        part = slice(first, first + 500)
        points = centres[part, None, None] + rays[:, None] * radii[:, None]
        value = _sample(hu, points, scale)
        fall = np.clip(value[..., :-2] - value[..., 2:], 0.0, _EDGE_HU[1]).mean(axis=1)
        best = fall.argmax(axis=1)
        score[part] = fall.max(axis=1) / _EDGE_HU[1]
        radius[part] = radii[1:-1][best]
    return score, radius


def _refined(hu: NDArray[np.float32], centre: Floats, radius: float, scale: Floats) -> Head | None:
    """The sphere through the falls of HU nearest to a first guess, fitted again and again."""
    half = max(2, round(0.4 * float(scale.max()) / _STEP_MM))
    size = (np.asarray(hu.shape) - 1) * scale
    rays = directions(RAYS // 2)
    for reach in (6.0, 6.0, 4.0, 4.0, 3.0, 3.0, 3.0):
        if reach == 3.0:
            rays = directions(RAYS)
        count = round(reach / _STEP_MM) + half
        along = radius + np.arange(-count, count + 1) * _STEP_MM
        value = _sample(hu, centre + rays[:, None] * along[:, None], scale)
        fall = np.clip(value[:, : -2 * half] - value[:, 2 * half :], 0.0, _EDGE_HU[1])
        along = along[half:-half]
        fall = fall * np.exp(-0.5 * ((along - radius) / reach) ** 2)
        place, height = along[fall.argmax(axis=1)], fall.max(axis=1)
        ends = centre + rays * (radius + half * _STEP_MM)
        inside = ((ends >= 0) & (ends <= size)).all(axis=1)
        weight = np.where(inside, height, 0.0)
        near = (weight > _EDGE_HU[0]) & (np.abs(place - radius) <= 0.75 * reach)
        if np.count_nonzero(near) < _HOPELESS * max(int(np.count_nonzero(inside)), 40):
            return None
        centre, radius = _fitted_sphere(centre + rays * place[:, None], weight)
        if not HEAD_RADIUS_MM[0] - 4 < radius < HEAD_RADIUS_MM[1] + 4:
            return None
    on = inside & (height > _EDGE_HU[0]) & (np.abs(place - radius) < 2.0)
    seen = float(on.sum() / max(inside.sum(), 1))
    if seen < MIN_SEEN or not HEAD_RADIUS_MM[0] <= radius <= HEAD_RADIUS_MM[1]:
        return None
    return Head(centre, radius, on, seen)


def _fitted_sphere(points: Floats, weight: Floats) -> tuple[Floats, float]:
    """Least squares with weights, linear in the centre and in r2 - |c|2."""
    rows = np.column_stack([2.0 * points, np.ones(len(points))]) * weight[:, None]
    solved, *_ = np.linalg.lstsq(rows, (points**2).sum(axis=1) * weight, rcond=None)
    centre = solved[:3]
    return centre, float(np.sqrt(max(solved[3] + centre @ centre, 0.0)))


def _sample(hu: NDArray[np.float32], points_mm: Floats, scale: Floats) -> NDArray[np.float32]:
    from scipy import ndimage

    place = np.moveaxis(points_mm / scale, -1, 0)
    out = ndimage.map_coordinates(hu, place, order=1, mode="nearest", output=np.float32)
    return np.asarray(out, np.float32)
