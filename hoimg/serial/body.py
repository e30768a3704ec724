"""A lesion as one stiff body that showed by its own image how it moved between two exams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hoimg.serial.surface import Matrix4, Points, move

SHARED, NEAR_MM = 0.2, 2.0
"""Two lesions that have more in common at the one exam, and less than half of it at the other,
cannot both have been placed rightly; points this near to each other are common."""
OWN_MM = 3.0
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
    return nearest if nearest.away_mm(middle) <= OWN_MM else None


def without_clashes(bodies: Sequence[Body], least_lead: float) -> tuple[Body, ...]:
    """Bodies without those laid on another one that they do not lie on in the other exam.

    Neither of two such lesions is believed, unless one of them is clearly more alike.
    """
    lost = set()
    moved = [body.inverse().points_lps_mm for body in bodies]
    for a, b in combinations(range(len(bodies)), 2):
        before = common(bodies[a].points_lps_mm, bodies[b].points_lps_mm)
        after = common(moved[a], moved[b])
        if max(before, after) < SHARED or min(before, after) >= max(before, after) / 2:
            continue
        lead = bodies[a].alike - bodies[b].alike
        lost |= {a} if lead <= -least_lead else {b} if lead >= least_lead else {a, b}
    return tuple(body for k, body in enumerate(bodies) if k not in lost)


def common(one: Points, other: Points) -> float:
    """Larger share of either's points within ``NEAR_MM`` of the other's."""
    from scipy.spatial import cKDTree

    reach = NEAR_MM
    low = np.maximum(one.min(axis=0), other.min(axis=0)) - reach
    high = np.minimum(one.max(axis=0), other.max(axis=0)) + reach
    if (low > high).any():
        return 0.0
    shares = []
    for points, target in ((one, other), (other, one)):
        distance, _ = cKDTree(target).query(points, distance_upper_bound=reach)
        shares.append(float(np.isfinite(distance).mean()))
    return max(shares)
