"""How one exam lies in another one: rigid parts, and points carried from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.body import Body, owner
from hoimg.serial.surface import Matrix4, Points, move
from hoimg.serial.tissue import Tissue

RIGID_RATIO = 0.5
"""A point moves with its nearest part alone while that is nearer than this times any other."""
SKIN_MM, SKIN_SHARE = 4.0, 0.25
"""The first millimetres from a bone count for this fraction only: what lies on it goes with it."""
UNDONE_MM, UNDOING_STEPS = 0.05, 40
"""The way back through tissue is sought until it misses by less, in at most so many steps."""
LOST_MM = 0.5
"""Where it still misses by more (tissue folds, joints slide), the blend's way back stands."""


def _no_points() -> Points:
    return np.empty((0, 3))


@dataclass(frozen=True, eq=False)
class Part:
    """A bone or a group of bones that moved as one body.

    Attributes:
        matrix_lps: 4x4 rigid matrix, fixed LPS to moving LPS, mm.
        accepted: Whether it was verified.
        bone_overlap: Dice of its bone in the common view, or None.
        residual_mm: Median distance between the surfaces of its bone, mm, or None.
        reason: Why it was rejected: the reasons of :class:`Registration`, ``joint_torn`` (it left
            the part it is joined to) or ``bone_unexplained`` (no motion was found); None when
            accepted.
        fixed_points_lps_mm: Surface points of its bone in the fixed exam.
        moving_points_lps_mm: The same in the moving exam.
    """

    matrix_lps: Matrix4
    accepted: bool
    bone_overlap: float | None = None
    residual_mm: float | None = None
    reason: str | None = None
    fixed_points_lps_mm: Points = field(default_factory=_no_points)
    moving_points_lps_mm: Points = field(default_factory=_no_points)

    def inverse(self) -> Part:
        """The same part from the moving exam's side."""
        return Part(
            np.linalg.inv(self.matrix_lps),
            self.accepted,
            self.bone_overlap,
            self.residual_mm,
            self.reason,
            self.moving_points_lps_mm,
            self.fixed_points_lps_mm,
        )

    def distance_mm(self, points_lps_mm: Points) -> NDArray[np.float64]:
        """Distance of fixed points to its bone's surface points; infinite without any."""
        if not len(self.fixed_points_lps_mm):
            return np.full(len(points_lps_mm), np.inf)
        found: NDArray[np.float64] = self._tree.query(points_lps_mm)[0]
        return found

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.fixed_points_lps_mm)


@dataclass(frozen=True, eq=False)
class Registration:
    """How the fixed exam lies in the moving one.

    Attributes:
        matrix_lps: 4x4 rigid matrix of the main part, FIXED LPS points to MOVING LPS points, mm.
        accepted: Whether it may be used for matching.
        bone_overlap: Dice of the bones in the common view, each carried by its part; bone that no
            accepted part explains counts as missed. None without common view.
        residual_mm: Median distance between the surfaces of the main part's bone in the common
            view, mm, or None.
        reason: Why it was rejected: ``no_bone``, ``no_common_view``, ``bones_do_not_overlap``,
            ``surfaces_too_far_apart``, ``bones_unlike``, ``bones_differ_in_size``, ``mirrored`` or
            ``bone_pattern_differs`` (mirrored, or another patient); None when accepted.
        parts: The main part first, then those that moved on their own, then bone that could not
            be placed. One or none: everything moves by ``matrix_lps``.
        tissue: What the images tell of the tissue between the parts; None: nothing.
        undoes: The placement whose way back this is, where it has :attr:`tissue`.
        bodies: Lesions whose own image told how they moved.
    """

    matrix_lps: Matrix4 = field(default_factory=lambda: np.eye(4))
    accepted: bool = False
    bone_overlap: float | None = None
    residual_mm: float | None = None
    reason: str | None = None
    parts: tuple[Part, ...] = ()
    tissue: Tissue | None = None
    undoes: Registration | None = None
    bodies: tuple[Body, ...] = ()

    def inverse(self) -> Registration:
        """The same placement from the moving exam's side.

        On each bone it undoes :meth:`carry`. Between bones of different parts both blend by the
        distances in the exam that they start from, so that they undo each other only nearly; with
        :attr:`tissue` the way back is solved, and undoes it within ``LOST_MM``.
        """
        if self.undoes is not None:
            return self.undoes
        return Registration(
            np.linalg.inv(self.matrix_lps),
            self.accepted,
            self.bone_overlap,
            self.residual_mm,
            self.reason,
            tuple(part.inverse() for part in self.parts),
            undoes=self if self.tissue is not None else None,
            bodies=tuple(body.inverse() for body in self.bodies),
        )

    def carry(self, points_lps_mm: Points) -> Points:
        """Fixed points to where they lie in the moving exam, LPS mm, ``(n, 3)``.

        With ``d`` the distance of a point to each accepted part's bone, of which the first
        ``SKIN_MM`` count for a quarter, plus 0.25 mm, and ``m`` the least of them, a part weighs
        ``s(2 m / d - 1)``, where ``s(t) = t² (3 - 2 t)`` for t in 0 to 1 and 0 below; farther from
        bone the images may put these weights right (:attr:`tissue`). Between the parts' motions
        the point goes along the screw that leads from one to the other, by the weights: between
        two bones of a joint it turns by a part of the angle about the joint, and keeps its
        distance from it. Without :attr:`tissue` it moves rigidly with its nearest bone wherever
        every other part is at least twice as far. It is continuous everywhere.
        """
        if sum(part.accepted for part in self.parts) < 2:
            return move(self.matrix_lps, points_lps_mm)
        carried = _moved(self._motions(points_lps_mm), points_lps_mm)
        if self.undoes is None or not len(carried):
            return carried
        start, best = carried, np.full(len(carried), LOST_MM)
        forward, wanted = self.undoes, points_lps_mm
        for _ in range(UNDOING_STEPS):
            there = forward._motions(start)
            gap = wanted - _moved(there, start)
            miss = np.linalg.norm(gap, axis=1)
            closer = miss < best
            carried = np.where(closer[:, None], start, carried)
            best = np.minimum(best, miss)
            if (best < UNDONE_MM).all():
                break
            # The motion's own turn taken back: exact where tissue moves as one piece.
            start = start + 0.7 * np.einsum("nji,nj->ni", there[:, :3, :3], gap)
        return carried

    def carry_body(self, points_lps_mm: Points) -> Points:
        """As :meth:`carry` for the points of one stiff body, ``(n, 3)``, as mineral is.

        The whole body moves by one rigid motion, blended by its own distance to each bone: what
        touches a bone goes with it. Far from bone the images' weights are its points' mean.
        """
        if not len(points_lps_mm):
            return points_lps_mm
        return move(self.body_motion(points_lps_mm), points_lps_mm)

    def body_motion(self, points_lps_mm: Points) -> Matrix4:
        """The rigid motion, 4x4, fixed LPS to moving LPS, of a stiff body by its points.

        Its own, where it is one of :attr:`bodies`.
        """
        own = owner(self.bodies, points_lps_mm)
        return self._surroundings(points_lps_mm) if own is None else own.motion_lps

    def _surroundings(self, points_lps_mm: Points) -> Matrix4:
        """The motion of a body that goes with what lies round it."""
        if sum(part.accepted for part in self.parts) < 2:
            return self.matrix_lps
        away = np.array([[part.distance_mm(points_lps_mm).min()] for part in self.parts])
        matrices, weights = self._blend(away)
        if self.tissue is not None:
            near = np.full(len(points_lps_mm), away.min())
            spread = np.repeat(weights, len(points_lps_mm), axis=1)
            weights = self.tissue.mended(points_lps_mm, spread, near).mean(axis=1, keepdims=True)
        motion: Matrix4 = between(matrices, weights)[0]
        return motion if self.undoes is None else self._undone(points_lps_mm, motion)

    def _undone(self, points_lps_mm: Points, motion: Matrix4) -> Matrix4:
        """The motion whose inverse :attr:`undoes` gives the body where it comes from."""
        assert self.undoes is not None
        best, least, start = motion, LOST_MM, motion
        for _ in range(UNDOING_STEPS):
            placed = move(start, points_lps_mm)
            there = self.undoes._surroundings(placed)
            miss = float(np.linalg.norm(move(there, placed) - points_lps_mm, axis=1).max())
            if miss < least:
                best, least = start, miss
            if miss < UNDONE_MM:
                break
            start = between([start, np.linalg.inv(there)], np.array([[0.3], [0.7]]))[0]
        return best

    def _motions(self, points_lps_mm: Points) -> NDArray[np.float64]:
        """The rigid motion ``(n, 4, 4)`` of the surroundings of each fixed point."""
        away = np.stack([part.distance_mm(points_lps_mm) for part in self.parts])
        matrices, weights = self._blend(away)
        if self.tissue is not None:
            weights = self.tissue.mended(points_lps_mm, weights, away.min(axis=0))
        return between(matrices, weights)

    def _blend(self, away_mm: NDArray[np.float64]) -> tuple[list[Matrix4], NDArray[np.float64]]:
        """The accepted parts' motions and weights, by the distance to each part's bone."""
        accepted = [part.accepted for part in self.parts]
        matrices = [part.matrix_lps for part in self.parts if part.accepted]
        return matrices, weights_by_distance(away_mm[accepted])

    def nearest_part(self, points_lps_mm: Points) -> NDArray[np.intp]:
        """Index into ``parts`` of the part whose bone is nearest to each fixed point."""
        if len(self.parts) < 2:
            return np.zeros(len(points_lps_mm), dtype=np.intp)
        away = np.stack([part.distance_mm(points_lps_mm) for part in self.parts])
        nearest: NDArray[np.intp] = away.argmin(axis=0)
        return nearest

    def covers(self, points_lps_mm: Points) -> NDArray[np.bool_]:
        """Which fixed points it may carry: accepted, and so is the part of their nearest bone."""
        if len(self.parts) < 2:
            return np.full(len(points_lps_mm), self.accepted)
        trusted = np.array([part.accepted for part in self.parts]) & self.accepted
        hit: NDArray[np.bool_] = trusted[self.nearest_part(points_lps_mm)]
        return hit

    def turn_deg(self, part: Part) -> float | None:
        """How far a part turned against the main one, degrees; None where it was not placed."""
        if part.reason == "bone_unexplained":
            return None
        return turn_deg(self.matrix_lps, part.matrix_lps)


def _moved(motions: NDArray[np.float64], points_lps_mm: Points) -> Points:
    """Each point by its own motion."""
    moved: Points = (motions[:, :3, :3] @ points_lps_mm[:, :, None])[..., 0] + motions[:, :3, 3]
    return moved


def weights_by_distance(away_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each part ``(parts, n)`` at points that far from its bone, mm."""
    away = away_mm - (1 - SKIN_SHARE) * np.minimum(away_mm, SKIN_MM) + SKIN_SHARE
    near = np.clip((away.min(axis=0) / away - RIGID_RATIO) / (1 - RIGID_RATIO), 0, 1)
    weight: NDArray[np.float64] = near**2 * (3 - 2 * near)
    share: NDArray[np.float64] = weight / weight.sum(axis=0)
    return share


def between(matrices: Sequence[Matrix4], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rigid motions ``(n, 4, 4)`` between those of the parts, by weights ``(parts, n)``.

    The parts' motions against the first one are written as twists (axis times angle, and shift),
    whose weighted mean is taken back to a motion (Murray, Li, Sastry 1994, ch. 2: the exponential
    of SE(3)).
    """
    from scipy.spatial.transform import Rotation

    first = np.asarray(matrices[0])
    turns, shifts = [], []
    for matrix in matrices:
        own = np.linalg.inv(first) @ matrix
        turn = Rotation.from_matrix(own[:3, :3]).as_rotvec()
        turns.append(turn)
        shifts.append(np.linalg.solve(_shift_of_twist(turn[None])[0], own[:3, 3]))
    turn = weight.T @ np.array(turns)
    shift = weight.T @ np.array(shifts)
    motions = np.tile(np.eye(4), (len(turn), 1, 1))
    motions[:, :3, :3] = Rotation.from_rotvec(turn).as_matrix()
    motions[:, :3, 3] = (_shift_of_twist(turn) @ shift[:, :, None])[..., 0]
    blended: NDArray[np.float64] = first @ motions
    return blended


def _shift_of_twist(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix ``(n, 3, 3)`` that leads from a twist's shift to that of its motion."""
    angle = np.linalg.norm(turn, axis=1)[:, None, None]
    safe = np.maximum(angle, 1e-4)
    x, y, z = turn.T
    none = np.zeros_like(x)
    cross = np.stack([none, -z, y, z, none, -x, -y, x, none], axis=1).reshape(-1, 3, 3)
    # Below 1e-4 rad the series' next terms are under 1e-9 of the shift.
    first = np.where(angle > 1e-4, (1 - np.cos(safe)) / safe**2, 0.5)
    second = np.where(angle > 1e-4, (safe - np.sin(safe)) / safe**3, 1 / 6)
    matrix: NDArray[np.float64] = np.eye(3) + first * cross + second * cross @ cross
    return matrix


def turn_deg(one: Matrix4, other: Matrix4) -> float:
    """Angle between the rotations of two rigid matrices, degrees."""
    turn = one[:3, :3].T @ other[:3, :3]
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
