"""A hip made of balls and rods, with spurs whose gap is known from their formulas.

Points are LPS mm about the middle of the femoral head, as three arrays; the first is lateral,
whichever side it is: ``out`` is +1 for a left hip, -1 for a right one, and lateral ``out * x``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume

HEAD, SPACE, WALL = 24.0, 4.0, 8.0
ROD = 5.0
LOW, HIGH = (-60.0, -45.0, -80.0), (85.0, 45.0, 80.0)  # lateral, y, z


def ball(p, centre, radius):
    """Depth inside a ball, mm."""
    return radius - np.sqrt(sum((v - c) ** 2 for v, c in zip(p, centre, strict=True)))


def rod(p, start, end, radius):
    """Depth inside a rod with round ends, mm."""
    along = [float(b - a) for a, b in zip(start, end, strict=True)]
    length2 = sum(d * d for d in along)
    t = sum((v - a) * (d / length2) for v, a, d in zip(p, start, along, strict=True) if d)
    t = np.clip(t, 0, 1)
    off = [v - a - (t * d if d else 0) for v, a, d in zip(p, start, along, strict=True)]
    return radius - np.sqrt(sum(o * o for o in off))


def joined(*depths):
    """Depth inside any of several bodies."""
    return np.maximum.reduce(depths)


def femur(p):
    return joined(
        ball(p, (0, 0, 0), HEAD),
        rod(p, (0, 0, 0), (45, 0, -35), 12),
        ball(p, (55, 0, -15), 16),
        rod(p, (48, 0, -35), (50, 0, -200), 14),
    )


def pelvis(p):
    away = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
    towards = 0.66 * p[2] - 0.75 * p[0]
    shell = np.minimum(away - HEAD - SPACE, HEAD + SPACE + WALL - away)
    socket = np.minimum(shell, towards - 0.1 * away)
    bones = joined(rod(p, (-30, 0, 26), (-20, 0, 90), 10), rod(p, (-38, 0, -4), (-35, 0, -60), 9))
    return np.maximum(socket, np.minimum(bones, away - HEAD - SPACE))


@dataclass
class Hip:
    """What a test needs of a phantom."""

    volume: CTVolume
    skeleton: np.ndarray
    labels: np.ndarray


@lru_cache(maxsize=2)
def _native(out, spacing, turn_deg, low, high, shift):
    """(grid, points, depth inside femur or pelvis)."""
    low, high = np.array(low), np.array(high)
    xyz = np.array(spacing[::-1])
    size = np.ceil((high - low) / xyz).astype(int)
    turn = Rotation.from_euler("zyx", [turn_deg, turn_deg / 2, -turn_deg / 3], degrees=True)
    direction = turn.as_matrix()
    middle = (low + high) / 2 * np.array([out, 1, 1]) + shift
    grid = Grid(
        tuple(int(n) for n in size[::-1]),
        spacing,
        tuple(middle - direction @ ((size - 1) / 2 * xyz)),
        tuple(map(tuple, direction)),
    )
    z, y, x = np.ogrid[tuple(slice(n) for n in grid.size_zyx)]
    matrix = grid.affine_xyz_to_lps
    p = [(m[0] * x + m[1] * y + m[2] * z + m[3]).astype(np.float32) for m in matrix[:3]]
    p[0] = p[0] * np.float32(out)
    return grid, p, np.maximum(femur(p), pelvis(p))


def hip(lesions=(), *, out=1, spacing=(1.5, 1.5, 1.5), turn_deg=0.0, low=LOW, high=HIGH, shift=0.0):
    """A hip on a grid; ``lesions`` are functions of points that give the depth inside, mm."""
    grid, p, native = _native(out, spacing, turn_deg, tuple(low), tuple(high), shift)
    labels = np.zeros(grid.size_zyx, np.uint16)
    every = native
    for value, depth_of in enumerate(lesions, start=1):
        depth = depth_of(p)
        labels[(depth > 0) & (native <= 0) & (labels == 0)] = value
        every = np.maximum(every, depth)
    hu = 50.0 + np.clip(every / float(np.mean(spacing)) + 0.5, 0, 1) * 650.0
    hu += np.random.default_rng(1).normal(0, 15, hu.shape)
    return Hip(CTVolume(np.rint(hu).astype(np.int16), grid), native > 0, labels)


def upper_spur(p):
    """Ossification on the ilium that reaches out over the trochanter; its lower side is at 55."""
    return rod(p, (-20, 0, 60), (75, 0, 60), ROD)


def lower_spur(gap):
    """Ossification on the trochanter that leaves ``gap`` mm to the upper one."""
    return lambda p: rod(p, (60, 0, -10), (60, 0, 55 - ROD - gap), ROD)
