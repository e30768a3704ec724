"""Digital limbs with a joint that bends: a right hip (ball and socket) and an arm (hinge).

The joint surfaces are a ball in a hollow ball and a roll in a hollow roll, 2 mm apart, so that the
bones can turn about the joint's centre without running into each other. Sizes are an average
adult's, rounded; nothing here was measured on a person.
"""

from __future__ import annotations

import numpy as np

from hoimg.geometry import Triple
from hoimg.simulate.shapes import smooth_min
from hoimg.simulate.tissues import (
    CORTEX,
    FAT,
    MARROW,
    SKIN,
    SPONGY,
    VESSEL,
    Field,
    Points,
    Tissue,
    ball,
    capsule,
    egg,
    muscles,
    tube,
)

BELOW_MM = 65.0
"""How far a limb is painted below what a scan shows, mm."""
ABOVE_MM = 30.0
"""And above it: what is pulled down when the limb bends."""
CARTILAGE_MM = 2.0
"""Gap between joint surfaces, mm."""

Parts = tuple[list[Tissue], Triple, Triple, Triple]
"""Tissues, lower and upper corner, the joint's centre; LPS mm."""


def hip(rng: np.random.Generator, long: float) -> Parts:
    """Right hip: wing, socket, ramus and tuber of half a pelvis; the upper femur.

    Bends about x (up to 40 degrees to the front, 20 to the back), y and z (up to 30 degrees).
    """
    size = float(rng.uniform(0.93, 1.07))
    at = np.array([0.0, float(rng.uniform(-3, 3)), 0.62 * long + float(rng.uniform(-4, 4))])
    head = 23.0 * size

    def place(x: float, y: float, z: float) -> Triple:
        p = at + size * np.array([x, y, z])
        return (float(p[0]), float(p[1]), float(p[2]))

    def pelvis(shrink: float) -> Field:
        def inside(p: Points) -> Points:
            cup = ball(p, place(14, 0, 14), 33 * size)
            wing = egg(p, place(24, 8, 62), (9 * size, 44 * size, 52 * size))
            ramus = capsule(p, place(24, -12, -4), place(72, -34, -26), 8 * size)
            tuber = capsule(p, place(20, 14, -4), place(30, 36, -52), 13 * size)
            solid = smooth_min(smooth_min(cup, wing, 6.0), smooth_min(ramus, tuber, 4.0), 4.0)
            hollow = head + CARTILAGE_MM - np.linalg.norm(p - at.astype(np.float32), axis=1)
            return np.asarray(np.maximum(solid, hollow) + shrink, np.float32)

        return inside

    def femur(shrink: float) -> Field:
        def inside(p: Points) -> Points:
            neck = capsule(p, place(0, 0, 0), place(-40, 4, -32), 13.5 * size)
            trochanter = egg(p, place(-48, 8, -28), (14 * size, 18 * size, 20 * size))
            shaft = capsule(p, place(-44, 3, -42), place(-36, -4, -260), 14.5 * size)
            lesser = ball(p, place(-31, 13, -64), 9 * size)
            solid = smooth_min(smooth_min(neck, trochanter, 6.0), shaft, 6.0)
            solid = smooth_min(smooth_min(solid, lesser, 5.0), ball(p, place(0, 0, 0), head), 2.0)
            return np.asarray(solid + shrink, np.float32)

        return inside

    def canal(p: Points) -> Points:
        return capsule(p, place(-43, 3, -75), place(-36, -4, -260), 8.5 * size)

    x, y, _ = place(-8, 0, 0)
    wide, deep = 108 * size, 92 * size
    tissues = [
        Tissue(tube(x, y, wide, deep), SKIN),
        Tissue(tube(x, y, wide - 2, deep - 2), FAT),
        *muscles(rng, wide - 14, deep - 14, (x - 30, y), 0.0),
        Tissue(tube(x + 30, y - 52, 5.0, 5.0), VESSEL),
        Tissue(tube(x + 42, y - 48, 6.0, 5.5), VESSEL),
        Tissue(pelvis(0.0), CORTEX, True),
        Tissue(pelvis(1.8), SPONGY, True),
        Tissue(femur(0.0), CORTEX, True, True),
        Tissue(femur(2.6), SPONGY, True, True),
        Tissue(canal, MARROW, True, True),
    ]
    low = (x - wide - 12, y - deep - 12, -BELOW_MM)
    return tissues, low, (x + 0.75 * wide, y + deep + 12, long + ABOVE_MM), place(0, 0, 0)


def arm(rng: np.random.Generator, long: float) -> Parts:
    """Right arm, stretched: humerus, and radius and ulna that turn about its roll (x axis).

    Bends about x, up to 40 degrees to the front.
    """
    size = float(rng.uniform(0.93, 1.07))
    at = np.array([0.0, float(rng.uniform(-3, 3)), 0.55 * long + float(rng.uniform(-4, 4))])
    roll = 10.0 * size

    def place(x: float, y: float, z: float) -> Triple:
        p = at + size * np.array([x, y, z])
        return (float(p[0]), float(p[1]), float(p[2]))

    def humerus(shrink: float) -> Field:
        def inside(p: Points) -> Points:
            shaft = capsule(p, place(1, 0, 24), place(-2, 3, 220), 10.5 * size)
            wide = egg(p, place(3, 1, 14), (29 * size, 9 * size, 18 * size))
            trochlea = capsule(p, place(-19, 0, 0), place(17, 0, 0), roll)
            return smooth_min(smooth_min(shaft, wide, 7.0), trochlea, 1.5) + np.float32(shrink)

        return inside

    def forearm(shrink: float) -> Field:
        def inside(p: Points) -> Points:
            ulna = capsule(p, place(8, 5, -12), place(13, 2, -260), 7.5 * size)
            hook = capsule(p, place(8, 14, -12), place(6, 21, 8), 7.0 * size)
            coronoid = ball(p, place(7, -6, -17), 7.5 * size)
            ulna = smooth_min(smooth_min(ulna, hook, 5.0), coronoid, 4.0)
            radius = capsule(p, place(-12, -2, -26), place(-15, -5, -260), 6.5 * size)
            radius = smooth_min(radius, egg(p, place(-12, -2, -20), (10.5, 10.5, 9.0)), 3.0)
            q = p - at.astype(np.float32)
            hollow = roll + CARTILAGE_MM - np.sqrt(q[:, 1] ** 2 + q[:, 2] ** 2)
            return np.asarray(
                np.maximum(np.minimum(ulna, radius), hollow) + np.float32(shrink), np.float32
            )

        return inside

    x, y, _ = place(0, 2, 0)
    wide, deep = 52 * size, 47 * size
    tissues = [
        Tissue(tube(x, y, wide, deep), SKIN),
        Tissue(tube(x, y, wide - 2, deep - 2), FAT),
        *muscles(rng, wide - 8, deep - 8, (x, y)),
        Tissue(tube(x + 14, y - 16, 2.6, 2.6), VESSEL),
        Tissue(humerus(0.0), CORTEX, True),
        Tissue(humerus(2.4), SPONGY, True),
        Tissue(forearm(0.0), CORTEX, True, True),
        Tissue(forearm(2.2), SPONGY, True, True),
    ]
    low = (x - wide - 14, y - deep - 40, -BELOW_MM)
    return tissues, low, (x + wide + 14, y + deep + 14, long + ABOVE_MM), place(0, 0, 0)
