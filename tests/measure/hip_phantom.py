"""A hip made of balls and rods, with spurs whose gap is known from their formulas.

Points are LPS mm about the middle of the femoral head; ``out`` is +1 for a left hip, -1 for a right
one: lateral is ``out * x``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume

HEAD, SPACE, WALL = 24.0, 4.0, 8.0
ROD = 5.0
LOW, HIGH = np.array([-65.0, -50.0, -95.0]), np.array([95.0, 50.0, 95.0])  # lateral, y, z


def ball(points, centre, radius):
    """Depth inside a ball, mm."""
    return radius - np.linalg.norm(points - np.asarray(centre), axis=-1)


def rod(points, start, end, radius):
    """Depth inside a rod with round ends, mm."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = b - a
    t = np.clip((points - a) @ along / (along @ along), 0, 1)
    return radius - np.linalg.norm(points - (a + t[..., None] * along), axis=-1)


def femur(p):
    return np.max(
        [
            ball(p, (0, 0, 0), HEAD),
            rod(p, (0, 0, 0), (45, 0, -35), 12),
            ball(p, (55, 0, -15), 16),
            rod(p, (48, 0, -35), (50, 0, -200), 14),
        ],
        axis=0,
    )


def pelvis(p):
    away = np.linalg.norm(p, axis=-1)
    towards = (p @ np.array([-0.75, 0.0, 0.66])) / np.maximum(away, 1e-6)
    shell = np.minimum(away - HEAD - SPACE, HEAD + SPACE + WALL - away)
    socket = np.minimum(shell, (towards - 0.1) * away)
    bones = [
        rod(p, (-30, 0, 26), (-20, 0, 90), 10),
        rod(p, (-38, 0, -4), (-35, 0, -60), 9),
    ]
    hollow = -ball(p, (0, 0, 0), HEAD + SPACE)
    return np.maximum(socket, np.minimum(np.max(bones, axis=0), hollow))


@dataclass
class Hip:
    """What a test needs of a phantom."""

    volume: CTVolume
    skeleton: np.ndarray
    labels: np.ndarray


def hip(lesions=(), *, out=1, spacing=(1.5, 1.5, 1.5), turn_deg=0.0, low=LOW, high=HIGH, shift=0.0):
    """A hip on a grid; ``lesions`` are functions of points that give the depth inside, mm.

    Points that they are given have lateral as their first coordinate, whichever side it is.
    """
    size = np.ceil((high - low) / np.asarray(spacing)[::-1]).astype(int)
    turn = Rotation.from_euler("zyx", [turn_deg, turn_deg / 2, -turn_deg / 3], degrees=True)
    direction = turn.as_matrix()
    half = (size - 1) / 2 * np.asarray(spacing)[::-1]
    middle = (low + high) / 2 * np.array([out, 1, 1]) + shift
    grid = Grid(
        (int(size[2]), int(size[1]), int(size[0])),
        spacing,
        tuple(middle - direction @ half),
        tuple(map(tuple, direction)),
    )
    index = np.moveaxis(np.indices(grid.size_zyx, np.float32), 0, -1).reshape(-1, 3)
    p = grid.to_lps_mm(index).reshape(*grid.size_zyx, 3).astype(np.float32) * [out, 1, 1]
    native = np.maximum(femur(p), pelvis(p))
    labels = np.zeros(grid.size_zyx, np.uint16)
    every = native
    for value, depth_of in enumerate(lesions, start=1):
        depth = depth_of(p)
        labels[(depth > 0) & (native <= 0) & (labels == 0)] = value
        every = np.maximum(every, depth)
    step = float(np.mean(spacing))
    bone = np.where(every < 2.5, 900.0, 300.0)
    hu = 50.0 + np.clip(every / step + 0.5, 0, 1) * (bone - 50.0)
    hu += np.random.default_rng(1).normal(0, 15, hu.shape)
    return Hip(CTVolume(np.rint(hu).astype(np.int16), grid), native > 0, labels)


def upper_spur(p):
    """Ossification on the ilium that reaches out over the trochanter; its lower side is at 55."""
    return rod(p, (-20, 0, 60), (75, 0, 60), ROD)


def lower_spur(gap):
    """Ossification on the trochanter that leaves ``gap`` mm to the upper one."""
    return lambda p: rod(p, (60, 0, -10), (60, 0, 55 - ROD - gap), ROD)
