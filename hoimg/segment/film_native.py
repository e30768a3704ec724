"""Edges on a film that go on outside of a region and leave it again: those of native bone.

A lesion ends inside of the region that a reader draws round it; the shaft behind it does not. Such
edges are followed from the region's border inwards, through places where something lies over them,
as long as they bend gently, and count only when they come out again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEP_MM = 0.5
SIDEWAYS_MM = 0.8
"""How far beside the expected course an edge is looked for."""
GONE = 0.35, 2.5
"""An edge is lost where it is weaker or stronger than outside by these factors: another one."""
MOST_TURN = 1.7
"""Radian in all; what turns further than a right angle encloses something."""
LONGEST_MM = 150.0


@dataclass(frozen=True, eq=False)
class NativeEdges:
    """Where native edges run.

    Attributes:
        on: Pixels on them, bool ``[y, x]``.
        normal_yx: Their normals towards the brighter side, ``[2, y, x]``, at these pixels.
    """

    on: Bools
    normal_yx: Floats


@dataclass(frozen=True, eq=False)
class _Course:
    """Edges followed together: arrays ``[step, edge]``."""

    points: Floats
    normals: Floats
    seen: Bools
    strengths: Floats
    out: Bools


def native_edges(
    gradient_yx: tuple[Floats, Floats],
    region: Bools,
    typical: float,
    spacing_mm: float,
    settings: FilmSettings,
) -> NativeEdges:
    """Follow the edges that cross the border of a region.

    Args:
        gradient_yx: Of the film, per pixel.
        region: Bool ``[y, x]``; the picture has to go on around it.
        typical: Strength of the gradient that is usual outside.
        spacing_mm: Of the pixels.
        settings: How straight native edges are.
    """
    none = NativeEdges(np.zeros(region.shape, bool), np.zeros((2, *region.shape)))
    points, inwards, normals = _crossings(gradient_yx, region, typical, spacing_mm)
    if len(points) == 0:
        return none
    follow = _Follower(gradient_yx, region, typical, spacing_mm, settings.native_min_radius_mm)
    outside = settings.native_outside_mm
    before = follow.run(points, -inwards, normals, outside, None)
    share = before.seen.sum(0) / (outside / STEP_MM)
    native = (share >= 0.8) | before.out
    if not native.any():
        return none
    known = np.where(before.seen, before.strengths, np.nan)[:, native]
    rows, columns = points[native].astype(int).T
    start = np.hypot(*(g[rows, columns] for g in gradient_yx))
    usual = np.array([np.nanmedian(k) if np.isfinite(k).any() else math.nan for k in known.T])
    usual = np.where(np.isfinite(usual), usual, start)
    after = follow.run(points[native], inwards[native], normals[native], LONGEST_MM, usual)
    kept = after.seen & after.out[None, :]
    index = np.clip(np.rint(after.points[kept]).astype(int), 0, np.array(region.shape) - 1)
    none.on[index[:, 0], index[:, 1]] = True
    none.normal_yx[:, index[:, 0], index[:, 1]] = after.normals[kept].T
    return none


def without_native(
    gradient_yx: tuple[Floats, Floats], native: NativeEdges, reach_px: float
) -> tuple[Floats, Floats]:
    """The gradient with its part across native edges taken away near them."""
    from scipy import ndimage

    if not native.on.any():
        return gradient_yx
    distance, nearest = ndimage.distance_transform_edt(~native.on, return_indices=True)
    ny, nx = native.normal_yx[:, nearest[0], nearest[1]]
    down, right = gradient_yx
    across = np.where(distance <= reach_px, down * ny + right * nx, 0.0)
    return down - across * ny, right - across * nx


def _crossings(
    gradient_yx: tuple[Floats, Floats], region: Bools, typical: float, spacing_mm: float
) -> tuple[Floats, Floats, Floats]:
    """Crests of the gradient just outside of the region: points, inward courses, normals."""
    from scipy import ndimage

    down, right = gradient_yx
    strength = np.hypot(down, right)
    unit = np.stack([down, right]) / (strength + 1e-12)
    at = np.indices(strength.shape).astype(float)
    ahead, behind = (
        ndimage.map_coordinates(strength, at + sign * unit, order=1, mode="nearest")
        for sign in (1, -1)
    )
    crest = (strength >= ahead) & (strength > behind) & (strength > 2 * typical)
    outside = ndimage.distance_transform_edt(~region)
    rim = crest & (outside > 0) & (outside <= 0.2 / spacing_mm + 1.5)
    depth = ndimage.distance_transform_edt(region) - outside
    way = np.stack([ndimage.gaussian_filter(depth, 1, order=o) for o in ((1, 0), (0, 1))])
    points = np.argwhere(rim)
    normals = unit[:, rim].T
    inwards = np.stack([-normals[:, 1], normals[:, 0]], 1)
    towards = (inwards * way[:, rim].T).sum(1)
    inwards = np.where(towards[:, None] < 0, -inwards, inwards)
    # An edge that runs along the border does not cross it.
    crosses = np.abs(towards) > 0.25 * (np.hypot(*way[:, rim]) + 1e-12)
    return points[crosses].astype(float), inwards[crosses], normals[crosses]


@dataclass(frozen=True, eq=False)
class _Follower:
    gradient_yx: tuple[Floats, Floats]
    region: Bools
    typical: float
    spacing_mm: float
    radius_mm: float

    def run(
        self,
        points: Floats,
        ways: Floats,
        normals: Floats,
        length_mm: float,
        usual: Floats | None,
    ) -> _Course:
        """Follow edges step by step.

        With ``usual`` (their strengths) they go through the region and end behind it; without,
        they go away from it for ``length_mm``.
        """
        from scipy import ndimage

        step = STEP_MM / self.spacing_mm
        aside = np.linspace(-SIDEWAYS_MM, SIDEWAYS_MM, 9) / self.spacing_mm
        preferred = 1 - 0.25 * np.abs(aside) * self.spacing_mm
        angle = np.arctan2(ways[:, 0], ways[:, 1])
        hand = np.sign((np.stack([ways[:, 1], -ways[:, 0]], 1) * normals).sum(1))
        hand = np.where(hand == 0, 1.0, hand)
        first, place = angle.copy(), points.copy()
        bend, missed = np.zeros(len(points)), np.zeros(len(points))
        alive, out = np.ones(len(points), bool), np.zeros(len(points), bool)
        size = np.array(self.region.shape) - 1
        kept: list[tuple[Floats, Floats, Bools, Floats]] = []
        for number in range(int(length_mm / STEP_MM)):
            way = np.stack([np.sin(angle), np.cos(angle)], 1)
            normal = hand[:, None] * np.stack([way[:, 1], -way[:, 0]], 1)
            ahead = place + step * way
            tried = ahead[:, None, :] + aside[None, :, None] * normal[:, None, :]
            values = [
                ndimage.map_coordinates(g, tried.reshape(-1, 2).T, order=1, mode="nearest")
                for g in self.gradient_yx
            ]
            along = np.stack(values, -1).reshape(*tried.shape)
            rise = (along * normal[:, None, :]).sum(-1)
            best = np.argmax(rise * preferred, axis=1)
            strength = rise[np.arange(len(place)), best]
            seen = strength > 1.2 * self.typical
            if usual is not None:
                seen &= (strength > GONE[0] * usual) & (strength < GONE[1] * usual)
            moved = np.where(seen, aside[best], 0.0)
            turn = np.clip(hand * np.arctan2(moved, step), -0.5, 0.5)
            bend = np.clip(bend + 0.1 * turn, -STEP_MM / self.radius_mm, STEP_MM / self.radius_mm)
            angle = angle + bend + 0.25 * turn
            place = ahead + 0.5 * moved[:, None] * normal
            missed = np.where(seen, 0.0, missed + STEP_MM)
            on_film = ((place >= 0) & (place <= size)).all(1)
            out |= alive & ~on_film
            alive &= on_film & (missed <= 4.0) & (np.abs(angle - first) < MOST_TURN)
            if usual is not None and number * STEP_MM > 4.0:
                rows, columns = np.clip(np.rint(place).astype(int), 0, size).T
                left = alive & ~self.region[rows, columns]
                out |= left
                alive &= ~left
            kept.append((place.copy(), normal, seen & alive, strength))
            if not alive.any():
                break
        parts = [np.array(part) for part in zip(*kept, strict=True)]
        return _Course(parts[0], parts[1], parts[2], parts[3], out)
