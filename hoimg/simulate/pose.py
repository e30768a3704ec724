"""Limbs that move on their own: bones turn rigidly about joints, what lies between follows.

A pose is defined backwards, from the moved patient to the unmoved one, so that each moved point
knows what it shows. A bone's points go exactly by its own rigid motion. A point between bones turns
by a part of each joint's angle; the part is 1 at that joint's bones, 0 at all others, and changes
smoothly with the ratio of the distances. Turning by a part of the angle, about the same centre,
keeps every point's distance from the joint, where a mean of the moved points would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid, Triple
from hoimg.image import Mask, to_sitk
from hoimg.simulate.resample import rigid_matrix

Points = NDArray[np.float64]
Matrix4 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Joint:
    """A joint and the bones beyond it.

    Attributes:
        name: E.g. ``right hip``.
        bones: Bones that move with the limb, in the patient's frame.
        center_lps_mm: What they turn about, e.g. the middle of the femoral head.
    """

    name: str
    bones: Mask
    center_lps_mm: Triple


@dataclass(frozen=True)
class Bend:
    """How far a joint is bent in an exam.

    Attributes:
        joint: Name of the joint.
        degrees_xyz: Rotations about x, y, z (in that order) through the joint's centre, degrees;
            no more than 40 in all is meant.
    """

    joint: str
    degrees_xyz: Triple


@dataclass(frozen=True, eq=False)
class Rig:
    """A skeleton with joints, in the patient's frame.

    Attributes:
        bone: The whole native skeleton.
        joints: Each with bones on the grid of ``bone``; no bone belongs to two. Joints do not hang
            on one another: what is no joint's stays where it is.
        band_mm: What lies this near to a bone moves exactly with it, mm: partial volume, cartilage
            and attached ossification. At least a voxel of the scan.
    """

    bone: Mask
    joints: Sequence[Joint]
    band_mm: float = 3.0

    def __post_init__(self) -> None:
        for joint in self.joints:
            if not joint.bones.grid.same_as(self.bone.grid):
                raise ValueError(f"{joint.name}: its bones must lie on the skeleton's grid")
            if not joint.bones.array.any():
                raise ValueError(f"{joint.name}: no bone lies beyond it")

    @cached_property
    def distances_mm(self) -> list[NDArray[np.float32]]:
        """Signed distance (negative inside) to what stays, then to each joint's bones, mm."""
        moving = [j.bones.array > 0 for j in self.joints]
        still = (self.bone.array > 0) & ~np.logical_or.reduce(moving)
        return [signed_distance(m, self.bone.grid) for m in (still, *moving)]

    def index_of(self, name: str) -> int:
        """Place of a joint among :attr:`joints`.

        Raises:
            ValueError: for a joint that is not there.
        """
        names = [j.name for j in self.joints]
        if name not in names:
            raise ValueError(f"no joint {name!r}; there are {', '.join(names) or 'none'}")
        return names.index(name)


@dataclass(frozen=True, eq=False)
class Pose:
    """A rig with some joints bent.

    Attributes:
        rig: The skeleton.
        bends: At most one for each joint; the others keep still.
    """

    rig: Rig
    bends: Sequence[Bend]
    _turns: list[NDArray[np.float64]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        turns = [np.zeros(3) for _ in self.rig.joints]
        for bend in self.bends:
            matrix = rigid_matrix(bend.degrees_xyz, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
            index = self.rig.index_of(bend.joint)
            turns[index] = Rotation.from_matrix(matrix[:3, :3]).as_rotvec()
        object.__setattr__(self, "_turns", turns)

    def motion(self, name: str | None, part: float = 1.0) -> Matrix4:
        """4x4 rigid motion of a joint's bones, unmoved to moved LPS points.

        Args:
            name: The joint; None: the bones that stay (identity).
            part: Part of its angle.
        """
        if name is None:
            return np.eye(4)
        index = self.rig.index_of(name)
        return _turn_about(part * self._turns[index], self.rig.joints[index].center_lps_mm)

    def gaps_mm(self, moved_lps: Points) -> NDArray[np.float64]:
        """Signed distances of moved points to each moved bone group, ``(1 + joints, n)``, mm.

        The first row is for the bones that stay.
        """
        grid = self.rig.bone.grid
        rows = [lookup(self.rig.distances_mm[0], grid, moved_lps)]
        for joint, field_mm in zip(self.rig.joints, self.rig.distances_mm[1:], strict=True):
            back = np.linalg.inv(self.motion(joint.name))
            rows.append(lookup(field_mm, grid, transform(back, moved_lps)))
        return np.stack(rows)

    def shares(self, moved_lps: Points) -> NDArray[np.float64]:
        """Part of each group's motion that moved points follow, ``(1 + joints, n)``; sums to 1."""
        gaps = self.gaps_mm(moved_lps)
        away = np.maximum(gaps - self.rig.band_mm, 0.0)
        # Where two groups meet, the nearer one has it all: joint surfaces slide, not stretch.
        nearest = gaps.argmin(axis=0)
        touched = away.min(axis=0) <= 0
        near = 1.0 / np.maximum(away, 1e-3)
        share = near / near.sum(axis=0)
        share = share * share * (3.0 - 2.0 * share)
        share /= share.sum(axis=0)
        share[:, touched] = 0.0
        share[nearest[touched], np.flatnonzero(touched)] = 1.0
        return np.asarray(share)

    def backward(self, moved_lps: Points) -> Points:
        """Unmoved points of moved ones, ``(n, 3)`` LPS mm."""
        moved_lps = np.asarray(moved_lps, float)
        share = self.shares(moved_lps)
        back = moved_lps.copy()
        for index, joint in enumerate(self.rig.joints):
            if not np.any(self._turns[index]):
                continue
            center = np.asarray(joint.center_lps_mm)
            turn = Rotation.from_rotvec(-share[index + 1][:, None] * self._turns[index])
            back += turn.apply(moved_lps - center) + center - moved_lps
        return back

    def forward(self, unmoved_lps: Points) -> Points:
        """Moved points of unmoved ones, ``(n, 3)`` LPS mm: the inverse of :meth:`backward`.

        Solved by bisection along each point's circle about the bent joint; with several joints
        bent, along each in turn. Where a fold shows the same point twice, one of them is given.

        Raises:
            ValueError: when a point cannot be found within 0.01 mm: it is one that no moved point
                shows, e.g. between joint surfaces that slide over each other.
        """
        wanted = np.atleast_2d(np.asarray(unmoved_lps, float))
        bent = [i for i, turn in enumerate(self._turns) if np.any(turn)]
        if not bent:
            return wanted.copy()
        moved, goal = wanted.copy(), wanted.copy()
        for _ in range(1 if len(bent) == 1 else 30):
            for index in bent:
                # What the other joints do to the point, as it is placed now, is taken off first.
                moved = self._turned(index, goal)
                goal = wanted + self._by_others(index, moved)
        error = np.linalg.norm(self.backward(moved) - wanted, axis=1)
        if error.max() > 0.01:
            raise ValueError(
                f"{np.count_nonzero(error > 0.01)} points lie where joint surfaces slide or tissue "
                "folds; they have no single place in this pose"
            )
        return moved

    def _turned(self, index: int, goal: Points) -> Points:
        """Points that joint ``index`` alone brings back to ``goal``, by bisection of the part."""
        center = np.asarray(self.rig.joints[index].center_lps_mm)
        turn = self._turns[index]

        def at(part: NDArray[np.float64]) -> Points:
            return np.asarray(
                Rotation.from_rotvec(part[:, None] * turn).apply(goal - center) + center
            )

        low, high = np.zeros(len(goal)), np.ones(len(goal))
        for _ in range(45):
            middle = (low + high) / 2
            over = middle >= self.shares(at(middle))[index + 1]
            high = np.where(over, middle, high)
            low = np.where(over, low, middle)
        # At a jump (a bone's own edge) the upper end may be the root, not the middle.
        ends = np.stack([low, high])
        misses = np.abs(ends - [self.shares(at(part))[index + 1] for part in ends])
        best = misses.argmin(axis=0)
        return at(ends[best, np.arange(len(goal))])

    def _by_others(self, index: int, moved: Points) -> Points:
        """How far all joints but one move a point, moved minus unmoved, LPS mm."""
        share = self.shares(moved)
        by = np.zeros_like(moved)
        for other, joint in enumerate(self.rig.joints):
            if other == index or not np.any(self._turns[other]):
                continue
            center = np.asarray(joint.center_lps_mm)
            turn = Rotation.from_rotvec(-share[other + 1][:, None] * self._turns[other])
            by -= turn.apply(moved - center) + center - moved
        return by

    def carried(self, center_lps: Sequence[float], by: int | None = None) -> Matrix4:
        """Rigid motion of a small neighbourhood, 4x4, unmoved to moved LPS points.

        Args:
            center_lps: Its middle in the unmoved patient.
            by: Bone group that carries it (0: what stays, 1 + i: joint i); None: the motion at its
                middle.

        Raises:
            ValueError: as :meth:`forward`.
        """
        if by is not None:
            return self.motion(None if by == 0 else self.rig.joints[by - 1].name)
        center = np.asarray(center_lps, float)
        moved = self.forward(center[None])[0]
        share = self.shares(moved[None])[:, 0]
        turn = np.eye(3)
        for index, rotvec in enumerate(self._turns):
            turn = Rotation.from_rotvec(share[index + 1] * rotvec).as_matrix() @ turn
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        matrix[:3, 3] = moved - turn @ center
        return matrix

    def overlap_mm3(self) -> float:
        """Volume that moved bones share with other bones, mm3: how far a joint was overbent.

        What they share in the unmoved patient (nothing, for masks that do not overlap) is not
        taken off.
        """
        grid = self.rig.bone.grid
        total = 0.0
        for joint in self.rig.joints:
            points = grid.to_lps_mm(np.argwhere(joint.bones.array > 0))
            gaps = self.gaps_mm(transform(self.motion(joint.name), points))
            own = self.rig.index_of(joint.name) + 1
            others = np.delete(gaps, own, axis=0).min(axis=0)
            total += np.count_nonzero(others < 0) * grid.voxel_volume_mm3
        return total


def signed_distance(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float32]:
    """Distance to a mask's surface, mm, negative inside; 1000 everywhere for an empty mask."""
    if not mask.any():
        return np.full(mask.shape, 1000.0, np.float32)
    import SimpleITK as sitk

    plain = Grid(grid.size_zyx, grid.spacing_zyx_mm)  # distances do not depend on the place
    image = sitk.SignedMaurerDistanceMap(
        to_sitk(mask.astype(np.uint8), plain),
        insideIsPositive=False,
        squaredDistance=False,
        useImageSpacing=True,
    )
    # ITK's zero is the centre of the outermost voxels; their surface lies half a voxel further out.
    out: NDArray[np.float32] = sitk.GetArrayFromImage(image).astype(np.float32)
    return out - np.float32(min(grid.spacing_zyx_mm) / 2)


def lookup(array: NDArray[Any], grid: Grid, points_lps: Points) -> NDArray[np.float64]:
    """Linear interpolation at points; beyond the grid the nearest edge plus the way to it, mm."""
    index = grid.to_index_zyx(points_lps)
    kept = np.clip(index, 0, np.asarray(grid.size_zyx) - 1)
    beyond = np.linalg.norm((index - kept) * grid.spacing_zyx_mm, axis=1)
    values = ndimage.map_coordinates(array, kept.T, order=1, mode="nearest", output=np.float64)
    return np.asarray(values + beyond)


def transform(matrix: NDArray[Any], points: Points) -> Points:
    """Points ``(n, 3)`` moved by a 4x4 matrix."""
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _turn_about(rotvec: NDArray[np.float64], center_lps_mm: Triple) -> Matrix4:
    matrix = np.eye(4)
    center = np.asarray(center_lps_mm)
    matrix[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    matrix[:3, 3] = center - matrix[:3, :3] @ center
    return matrix
