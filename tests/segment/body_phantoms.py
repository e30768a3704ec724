"""A body made of formulas: two thigh bones, a bone across, muscle, fat; lesions planted at will.

Signed depths in mm (positive inside) are turned into fractions of a voxel, so that edges lie where
the formula says. Points are LPS mm, x to the patient's left, with the body's axis at x = y = 0.
"""

from functools import cache

import numpy as np
from scipy import ndimage

from hoimg.image import CTVolume

SPACING = (2.0, 2.0, 2.0)
SHAPE = (48, 104, 144)
ORIGIN = (-143.0, -103.0, 0.0)  # x, y, z of voxel [0, 0, 0]
MUSCLE, FAT, CORTEX, MARROW = 55.0, -100.0, 800.0, 20.0
SHELL_AT = (-22.0, -42.0, 40.0)
SHELL_RADIUS = 10.0
STONE_AT = (12.0, -45.0, 70.0)
METAL_AT = (112.0, 0.0, 30.0)


def axes(shape=SHAPE, spacing=SPACING, origin=ORIGIN):
    """x, y, z of every voxel, broadcastable."""
    z, y, x = (np.arange(n) * s + o for n, s, o in zip(shape, spacing, origin[::-1], strict=True))
    return x[None, None, :], y[None, :, None], z[:, None, None]


def fraction(depth):
    return np.clip(depth / SPACING[0] + 0.5, 0, 1)


def paint(hu, depth, value):
    inside = fraction(depth)
    hu += inside * (value - hu)


def ball(centre, radius):
    x, y, z = axes()
    return radius - np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)


def bones(sides=(-1, 1), knob=0.0):
    """Depth inside bone: shafts with heads, and a bar across behind; a knob on one shaft."""
    x, y, z = axes()
    depth = np.full(SHAPE, -1e3)
    for side in sides:
        shaft = 14 - np.hypot(x - 70 * side, y) + 0 * z
        depth = np.maximum(depth, np.minimum(shaft, 70 - z))
        depth = np.maximum(depth, ball((60 * side, 0, 68), 19))
    if len(sides) == 2:
        bar = 11 - np.hypot(y - 25, z - 66) + 0 * x
        depth = np.maximum(depth, np.minimum(bar, 66 - np.abs(x)))
    if knob:
        depth = np.maximum(depth, ball((-70, -18, 30), knob))
    return depth


@cache
def limbs(sides=(-1, 1), knob=0.0):
    """HU without noise: float64 array zyx."""
    x, y, z = axes()
    r = np.sqrt((x / 136.0) ** 2 + (y / 96.0) ** 2) + 0 * z
    hu = np.full(SHAPE, -1000.0)
    paint(hu, (1 - r) * 96, FAT)
    paint(hu, (0.9 - r) * 96, MUSCLE)
    bone = bones(sides, knob)
    paint(hu, bone, CORTEX)
    paint(hu, bone - 4.0, MARROW)
    return hu


def volume(hu, *, seed=0, noise=8.0):
    soft = ndimage.gaussian_filter(hu, 0.4)
    soft = soft + np.random.default_rng(seed).normal(0, noise, hu.shape)
    return CTVolume.from_array(np.rint(soft).astype(np.int16), SPACING, ORIGIN)


def with_shell(hu):
    paint(hu, ball(SHELL_AT, SHELL_RADIUS), 800.0)
    paint(hu, ball(SHELL_AT, SHELL_RADIUS - 3.0), 40.0)


def with_stone(hu):
    paint(hu, ball(STONE_AT, 6.0), 500.0)
    paint(hu, ball(STONE_AT, 3.5), 900.0)


def with_metal(hu):
    paint(hu, ball(METAL_AT, 6.0), 3000.0)


def patient(*parts, sides=(-1, 1), knob=0.0, seed=0):
    hu = limbs(sides, knob).copy()
    for part in parts:
        part(hu)
    return volume(hu, seed=seed)


def index_of(point_lps_mm):
    return tuple(
        round((p - o) / s)
        for p, o, s in zip(point_lps_mm[::-1], ORIGIN[::-1], SPACING, strict=True)
    )
