"""What digital limbs are painted of: tissues as implicit functions, negative inside, about mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.simulate.shapes import ellipsoid, smooth_min

AIR, SKIN, FAT, MUSCLE, VESSEL, MARROW, SPONGY, CORTEX = -1000, 20, -100, 58, 45, -40, 230, 1350
"""HU of the tissues at 120 kVp (vessel without contrast)."""

UNEVEN_HU: dict[float, float] = {MUSCLE: 6.0, SPONGY: 60.0}
"""Standard deviation of the fat between fibres and of the struts of spongy bone, HU."""

Points = NDArray[np.float32]
Field = Callable[[Points], Points]


@dataclass(frozen=True)
class Tissue:
    """One layer of paint.

    Attributes:
        inside: Implicit function of LPS points ``(n, 3)``.
        hu: Its HU.
        bone: Whether it is native bone (cortex or what lies in it).
        beyond: Whether it lies beyond the limb's joint and moves with it.
    """

    inside: Field
    hu: float
    bone: bool = False
    beyond: bool = False


def muscles(
    rng: np.random.Generator,
    wide: float,
    deep: float,
    centre: tuple[float, float],
    x0: float = 0.0,
) -> list[Tissue]:
    """Six to eight muscle bellies round the bone with thin fat between them."""
    count = int(rng.integers(6, 9))
    turn = rng.uniform(0, 2 * np.pi)

    def bellies(p: Points) -> Points:
        angle = np.arctan2(p[:, 1] - centre[1], p[:, 0] - x0 - centre[0])
        # Distance to the nearest septum, as arc length; septa twist slowly along the limb.
        phase = (angle + turn + 0.004 * p[:, 2]) * count / (2 * np.pi)
        away = np.abs(phase - np.rint(phase)) * 2 * np.pi / count
        radius = length(p[:, 0] - x0 - centre[0], p[:, 1] - centre[1])
        septum = 0.9 - away * radius
        skin = ellipse(p[:, 0] - x0, p[:, 1], wide, deep)
        return -smooth_min(-skin, -np.where(radius < 18, -5.0, septum), 2.0)

    return [Tissue(bellies, MUSCLE)]


def tube(cx: float, cy: float, rx: float, ry: float) -> Field:
    """An elliptic cylinder along z."""

    def inside(p: Points) -> Points:
        return ellipse(p[:, 0] - cx, p[:, 1] - cy, rx, ry)

    return inside


def length(x: Any, y: Any) -> Any:
    """Length of (x, y); ``np.hypot`` guards against overflow, which takes five times as long."""
    return np.sqrt(x * x + y * y)


def ellipse(x: Any, y: Any, rx: Any, ry: Any) -> Points:
    """First-order distance to an ellipse."""
    rx, ry = np.maximum(rx, 0.3), np.maximum(ry, 0.3)
    k0 = length(x / rx, y / ry)
    k1 = np.maximum(length(x / rx**2, y / ry**2), 1e-6)
    inner = -np.minimum(rx, ry)
    return np.asarray(np.where(k0 < 1e-3, inner, k0 * (k0 - 1) / k1), np.float32)


def capsule(p: Points, start: Triple, end: Triple, radius: float) -> Points:
    """Exact distance to a round bar between two points, LPS mm."""
    a = np.asarray(start, np.float32)
    axis = np.asarray(end, np.float32) - a
    along = np.clip(((p - a) @ axis) / np.float32(axis @ axis), 0.0, 1.0)
    gap = np.linalg.norm(p - a - along[:, None] * axis, axis=1) - np.float32(radius)
    return np.asarray(gap, np.float32)


def ball(p: Points, center: Triple, radius: float) -> Points:
    """Exact distance to a ball, LPS mm."""
    gap = np.linalg.norm(p - np.asarray(center, np.float32), axis=1) - np.float32(radius)
    return np.asarray(gap, np.float32)


def egg(p: Points, center: Triple, radii: Triple) -> Points:
    """First-order distance to an ellipsoid with axes along x, y, z, LPS mm."""
    return ellipsoid(p - np.asarray(center, np.float32), np.asarray(radii))
