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

from hoimg.segment.film_follow import STEP_MM, Follower
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

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
    follow = Follower(gradient_yx, region, typical, spacing_mm, settings.native_min_radius_mm)
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
