"""Edges of a film followed step by step, as long as they bend gently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEP_MM = 0.5
SIDEWAYS_MM = 0.8
"""How far beside the expected course an edge is looked for."""
GONE = 0.35, 2.5
"""An edge is lost where it is weaker or stronger than outside by these factors: another one."""
MOST_TURN = 1.7
"""Radian in all; what turns further than a right angle encloses something."""


@dataclass(frozen=True, eq=False)
class Course:
    """Edges followed together, a step every :data:`STEP_MM`.

    Attributes:
        points: Pixels, ``[step, edge, 2]``, rows and columns.
        normals: Of the edge there, towards its brighter side.
        seen: Whether there is an edge at all, ``[step, edge]``.
        strengths: Its rise per pixel.
        out: Whether the course left the region (the film), ``[edge]``.
    """

    points: Floats
    normals: Floats
    seen: Bools
    strengths: Floats
    out: Bools


@dataclass(frozen=True, eq=False)
class Follower:
    """Follows edges that bend gently, many at a time.

    Attributes:
        gradient_yx: Of the film, per pixel.
        region: Bool ``[y, x]``, of the same shape.
        typical: Strength of the gradient that is usual outside of the region.
        spacing_mm: Of the pixels.
        radius_mm: An edge bends no more than this.
    """

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
    ) -> Course:
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
        return Course(parts[0], parts[1], parts[2], parts[3], out)
