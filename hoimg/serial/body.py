"""A lesion as one stiff body that showed by its own image how it moved between two exams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoimg.serial.surface import Matrix4, Points, move

LOST_MM = 3.0
"""Points belong to a body whose points are no farther."""


@dataclass(frozen=True, eq=False)
class Body:
    """A lesion that showed how it moved.

    Attributes:
        points_lps_mm: ``(n, 3)``: its voxels' centres in the fixed exam, at most 4000 of them.
        motion_lps: 4x4 rigid matrix, fixed LPS to moving LPS, mm.
        alike: How well it correlates there.
    """

    points_lps_mm: Points
    motion_lps: Matrix4
    alike: float

    def inverse(self) -> Body:
        """The same lesion from the moving exam's side."""
        moved = move(self.motion_lps, self.points_lps_mm)
        return Body(moved, np.linalg.inv(self.motion_lps), self.alike)

    def away_mm(self, point_lps_mm: Points) -> float:
        """Distance of a fixed point to its points."""
        return float(np.linalg.norm(self.points_lps_mm - point_lps_mm, axis=1).min())


def owner(bodies: Sequence[Body], points_lps_mm: Points) -> Body | None:
    """The body that fixed points belong to, by the one in their middle; None: to none."""
    if not bodies or not len(points_lps_mm):
        return None
    off = np.linalg.norm(points_lps_mm - points_lps_mm.mean(axis=0), axis=1)
    middle = points_lps_mm[off.argmin()]
    nearest = min(bodies, key=lambda body: body.away_mm(middle))
    return nearest if nearest.away_mm(middle) <= LOST_MM else None
