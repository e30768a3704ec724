"""Outer forms of ossifications, as implicit functions: negative inside, about millimetres.

A form is given at unit size; :class:`Scaled` brings it to a size in millimetres. Points are
offsets from the lesion's centre in LPS millimetres, ``(n, 3)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.simulate.noise import SmoothField

Vector = tuple[float, float, float]


class Shape(Protocol):
    """Anything that gives a signed function of points and a radius that encloses it."""

    @property
    def reach_mm(self) -> float:
        """Radius about the centre outside which the function is positive everywhere, mm."""

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Signed value at offsets ``(n, 3)``: negative inside, roughly distance in mm."""


@dataclass(frozen=True)
class Sphere:
    """A ball, for tests and for calibration objects: an exact distance function."""

    radius_mm: float
    center_mm: Vector = (0.0, 0.0, 0.0)

    @property
    def reach_mm(self) -> float:
        """Farthest point from the origin, mm."""
        return self.radius_mm + float(np.linalg.norm(self.center_mm))

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Exact signed distance."""
        gap = np.asarray(offsets_mm, np.float32) - np.asarray(self.center_mm, np.float32)
        return np.asarray(np.linalg.norm(gap, axis=1) - self.radius_mm, np.float32)


@dataclass(frozen=True)
class Scaled:
    """A form enlarged by ``factor`` about its centre and moved by ``shift_mm``."""

    shape: Shape
    factor: float
    shift_mm: Vector = (0.0, 0.0, 0.0)

    @property
    def reach_mm(self) -> float:
        """Radius about the unmoved centre that encloses the form, mm."""
        return self.shape.reach_mm * self.factor + float(np.linalg.norm(self.shift_mm))

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """``factor * shape((offset - shift) / factor)``: distances scale with the form."""
        moved = np.asarray(offsets_mm, np.float32) - np.asarray(self.shift_mm, np.float32)
        return np.asarray(self.shape(moved / np.float32(self.factor)) * self.factor, np.float32)


@dataclass(frozen=True)
class Union:
    """Two forms that have grown into one, joined by a neck of about ``neck_mm``."""

    first: Shape
    second: Shape
    neck_mm: float = 3.0

    @property
    def reach_mm(self) -> float:
        """Radius about the common origin that encloses both, mm."""
        return max(self.first.reach_mm, self.second.reach_mm) + self.neck_mm

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Smooth minimum of the two."""
        return smooth_min(self.first(offsets_mm), self.second(offsets_mm), self.neck_mm)


class Lobulated:
    """A lobulated mass: two to five overlapping ellipsoids, smoothly joined, with an uneven skin.

    Args:
        seed: Draws number, size, place and direction of the lobes.
        roughness: Amplitude of the low-frequency skin, as a part of the main radius (about 1).
        lobes: Lobes beside the main one; None: one to four, drawn.
    """

    reach_mm = 2.6

    def __init__(self, seed: int, roughness: float = 0.06, lobes: int | None = None) -> None:
        rng = np.random.default_rng([seed, 11])
        parts = [(np.zeros(3), rng.uniform(0.75, 1.1, 3), rotation(rng))]
        for _ in range(int(rng.integers(1, 5)) if lobes is None else lobes):
            place = rng.standard_normal(3)
            place *= rng.uniform(0.45, 0.85) / np.linalg.norm(place)
            parts.append((place, rng.uniform(0.4, 0.75, 3), rotation(rng)))
        self._lobes = parts
        self._skin = SmoothField([seed, 12], 0.55)
        self._roughness = roughness

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Smooth union of the lobes plus the skin."""
        points = np.asarray(offsets_mm, np.float32)
        value = np.full(len(points), np.float32(1e3))
        for place, radii, turn in self._lobes:
            local = (points - place.astype(np.float32)) @ turn.astype(np.float32)
            value = smooth_min(value, ellipsoid(local, radii), 0.25)
        # Only the skin needs the (slower) random field.
        near = np.abs(value) < 4 * self._roughness
        value[near] += self._roughness * np.clip(self._skin(points[near]), -2.5, 2.5)
        return value


class Plaque:
    """A curved bar or sheet between two points, as bridges between bones are.

    The unit form runs from ``-half`` to ``+half`` along a bent line; across it is flattened, thin
    along ``normal``.

    Args:
        half: Half of the chord, LPS, in multiples of the unit width (length 1.5 to 6 is sensible).
        normal: Direction in which the plaque is thin.
        seed: Draws the bend, the flattening and the skin.
        flat: How many times it is broader than thick; None: 1.3 to 1.9, drawn.
    """

    def __init__(
        self, half: Vector, normal: Vector, seed: int, *, flat: float | None = None
    ) -> None:
        rng = np.random.default_rng([seed, 21])
        chord = np.asarray(half, float)
        thin = np.asarray(normal, float)
        along = chord / np.linalg.norm(chord)
        thin = thin - along * (thin @ along)
        if np.linalg.norm(thin) < 1e-6:
            thin = np.cross(along, rotation(rng)[:, 0])
        thin /= np.linalg.norm(thin)
        bend = thin * rng.uniform(0.1, 0.5) * np.linalg.norm(chord) * rng.choice([-1.0, 1.0])
        t = np.linspace(0, 1, 17)[:, None]
        self._line = (1 - t) ** 2 * -chord + 2 * t * (1 - t) * bend + t**2 * chord
        self._radius = 1.0 + 0.2 * np.sin(np.pi * (t[:, 0] * rng.uniform(1, 2.5) + rng.uniform()))
        drawn = rng.uniform(1.3, 1.9)
        flat = drawn if flat is None else flat
        # Stretching space along the thin direction makes a round bar flat.
        self._stretch = np.eye(3) + (flat - 1.0) * np.outer(thin, thin)
        self._flat = flat
        self._skin = SmoothField([seed, 22], 0.6)
        self.reach_mm = float(np.linalg.norm(chord) + np.linalg.norm(bend) + 1.6)

    def __call__(self, offsets_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Distance to the bent line less its radius, plus the skin."""
        points = np.asarray(offsets_mm, np.float32)
        flat_points = points @ self._stretch.astype(np.float32)
        line = (self._line @ self._stretch).astype(np.float32)
        value = np.full(len(points), np.float32(1e3))
        for index in range(len(line) - 1):
            a, b = line[index], line[index + 1]
            step = b - a
            t = np.clip((flat_points - a) @ step / np.float32(step @ step), 0, 1)
            gap = np.linalg.norm(flat_points - (a + t[:, None] * step), axis=1)
            radius = self._radius[index] + t * (self._radius[index + 1] - self._radius[index])
            value = np.minimum(value, gap - radius.astype(np.float32))
        near = np.abs(value) < 0.4
        value[near] += 0.08 * np.clip(self._skin(points[near]), -2.5, 2.5)
        return value


def evaluate_on_cube(
    shape: Shape, points_mm: NDArray[Any], side: int, step_mm: float
) -> NDArray[np.float32]:
    """A form's values on a cube of points, the far outside left out: most of a cube is empty.

    Every third point along each axis is evaluated first; then all points of the cells round which
    a value is below 3 mm. Elsewhere the result is 10 mm. So values are exact inside and within
    about 2 mm of the surface, for forms that are wider than 1 mm or so.

    Args:
        shape: The form.
        points_mm: Points of a cubic lattice, ``(side**3, 3)``, z slowest.
        side: Points along each axis.
        step_mm: Their spacing, mm; a coarse lattice (above 0.5 mm) is evaluated in full.

    Returns:
        float32 ``[z, y, x]``.
    """
    size = (side,) * 3
    if step_mm > 0.5 or side < 24:
        return shape(points_mm).reshape(size)
    stride = 3
    probe = np.zeros(size, bool)
    probe[::stride, ::stride, ::stride] = True
    count = -(-side // stride)
    near = shape(points_mm[probe.ravel()]).reshape((count,) * 3) < 3.0
    near = ndimage.binary_dilation(near, np.ones((3, 3, 3), bool))
    for axis in range(3):
        near = np.repeat(near, stride, axis=axis)
    wanted = near[:side, :side, :side].ravel()
    values = np.full(wanted.size, np.float32(10.0))
    values[wanted] = shape(points_mm[wanted])
    return values.reshape(size)


def smooth_min(a: NDArray[Any], b: NDArray[Any], width: float) -> NDArray[np.float32]:
    """Minimum of two fields, rounded where they differ by less than ``width`` (quadratic)."""
    h = np.clip(width - np.abs(a - b), 0, None) / np.float32(width)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(width * 0.25), np.float32)


def ellipsoid(points: NDArray[Any], radii: Sequence[float] | NDArray[Any]) -> NDArray[np.float32]:
    """First-order distance to an ellipsoid: k0 (k0 - 1) / k1 (Quilez's bound)."""
    r = np.asarray(radii, np.float32)
    k0 = np.linalg.norm(points / r, axis=1)
    k1 = np.maximum(np.linalg.norm(points / (r * r), axis=1), 1e-6)
    return np.asarray(np.where(k0 < 1e-3, -r.min(), k0 * (k0 - 1.0) / k1), np.float32)


def rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random proper rotation."""
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return np.asarray(q, float)
