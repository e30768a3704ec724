"""More outer forms of ossifications: what the lobulated mass and the plaque leave out.

Ossification follows what it grows in: along a muscle it is a bar, round a bone or a fascia a sheet;
in its first weeks a cluster of lumps; at its margin often spiky. Forms are given at unit size as in
:mod:`hoimg.simulate.shapes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.simulate.noise import SmoothField
from hoimg.simulate.shapes import (
    Lobulated,
    Plaque,
    Shape,
    Vector,
    ellipsoid,
    rotation,
    smooth_min,
)

KINDS = ("lobulated", "plaque", "ellipsoid", "cluster", "spiky", "bar", "sheet")
"""Names of all forms that :func:`draw_form` knows."""


class Ellipsoid:
    """A smooth ellipsoid with axes of 0.55 to 1.7; a quarter of them are balls.

    Args:
        seed: Draws axes and direction.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 23])
        axes = np.ones(3) if rng.random() < 0.25 else np.exp(rng.uniform(-0.6, 0.55, 3))
        self._axes = axes.astype(np.float32)
        self._turn = rotation(rng).astype(np.float32)
        self.reach_mm = float(axes.max()) + 0.1

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """First-order distance."""
        return ellipsoid(np.asarray(offsets_mm, np.float32) @ self._turn, self._axes)


class Cluster:
    """Three to six balls that touch or overlap, with furrows between them.

    Args:
        seed: Draws number, size and place.
    """

    reach_mm = 3.2

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 24])
        balls = [(np.zeros(3), float(rng.uniform(0.7, 1.0)))]
        for _ in range(int(rng.integers(2, 6))):
            place, radius = balls[int(rng.integers(len(balls)))]
            own = float(rng.uniform(0.45, 0.85))
            step = rng.standard_normal(3)
            step *= 0.75 * (radius + own) / np.linalg.norm(step)
            moved = place + step
            if np.linalg.norm(moved) < 2.2:
                balls.append((moved, own))
        self._balls = balls

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Smooth union of the balls."""
        points = np.asarray(offsets_mm, np.float32)
        value = np.full(len(points), np.float32(1e3))
        for place, radius in self._balls:
            gap = np.linalg.norm(points - place.astype(np.float32), axis=1) - np.float32(radius)
            value = smooth_min(value, gap, 0.12)
        return value


class Spiky:
    """A body whose surface runs out into points and hollows of up to a third of its radius.

    Args:
        seed: Draws the surface.
    """

    reach_mm = 2.1

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 25])
        self._coarse = SmoothField([seed, 26], 0.75)
        self._fine = SmoothField([seed, 27], 0.38)
        self._parts = rng.uniform(0.1, 0.2), rng.uniform(0.05, 0.12)

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Distance to a unit ball plus two fields over its surface."""
        points = np.asarray(offsets_mm, np.float32)
        length = np.linalg.norm(points, axis=1)
        value = length - np.float32(1.0)
        near = (length > 0.3) & (length < 2.0)
        surface = points[near] / length[near, None]
        wide, narrow = self._parts
        value[near] -= wide * np.clip(self._coarse(surface), -2.2, 2.5)
        value[near] -= narrow * np.clip(self._fine(surface), -2.2, 2.5)
        return np.asarray(value, np.float32)


class Sheet:
    """A piece of a bent sheet of even thickness, as it lies round a bone or along a fascia.

    Args:
        normal: Direction in which it is thin, at its middle; it bends towards ``-normal``.
        seed: Draws width, bend, thickness and the edge.
    """

    def __init__(self, normal: Vector, seed: int) -> None:
        rng = np.random.default_rng([seed, 28])
        out = np.asarray(normal, float) / np.linalg.norm(normal)
        side = np.cross(out, rng.standard_normal(3))
        side /= np.linalg.norm(side)
        self._frame = np.stack([out, side, np.cross(out, side)], axis=1).astype(np.float32)
        self._bend = float(rng.uniform(1.4, 4.0))
        self._half = float(rng.uniform(0.26, 0.42))
        self._width = float(rng.uniform(0.8, 1.1)), float(rng.uniform(1.0, 1.7))
        self._skin = SmoothField([seed, 29], 0.6)
        self.reach_mm = float(np.hypot(*self._width)) + self._half + 0.4

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Distance to the sheet's middle and to its rounded edge, plus the skin."""
        points = np.asarray(offsets_mm, np.float32)
        out, side, along = (points @ self._frame).T
        centre = out + np.float32(self._bend)  # a cylinder round the axis at -bend
        depth = np.hypot(centre, side) - np.float32(self._bend)
        arc = np.arctan2(side, centre) * np.float32(self._bend)
        edge = np.hypot(arc / self._width[0], along / self._width[1]) - np.float32(1.0)
        edge = edge * np.float32(min(self._width))
        beyond = np.maximum(edge + np.float32(self._half), 0.0)
        value = np.hypot(depth, beyond) - np.float32(self._half)
        near = np.abs(value) < 0.4
        value[near] += 0.05 * np.clip(self._skin(points[near]), -2.5, 2.5)
        return np.asarray(value, np.float32)


def draw_form(kind: str, normal_lps: NDArray[Any], seed: int) -> Shape:
    """A random form of one kind; bars, sheets and plaques lie along the bone's surface.

    Args:
        kind: One of :data:`KINDS`.
        normal_lps: Away from the bone.
        seed: Draws the form.

    Raises:
        ValueError: for another kind.
    """
    if kind == "lobulated":
        return Lobulated(seed)
    if kind == "ellipsoid":
        return Ellipsoid(seed)
    if kind == "cluster":
        return Cluster(seed)
    if kind == "spiky":
        return Spiky(seed)
    normal = _vector(normal_lps)
    if kind == "sheet":
        return Sheet(normal, seed)
    if kind not in ("plaque", "bar"):
        raise ValueError(f"a form is one of {', '.join(KINDS)}, got {kind}")
    rng = np.random.default_rng(seed)
    along = np.cross(normal_lps, rng.standard_normal(3))
    along *= rng.uniform(1.6, 3.0) / np.linalg.norm(along)
    return Plaque(_vector(along), normal, seed, flat=1.0 if kind == "bar" else None)


def _vector(values: NDArray[Any]) -> Vector:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
