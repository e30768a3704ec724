"""Bones that moved on their own: the fixed skeleton divided by the rigid motions that explain it.

Surface points that one motion leaves far from the other exam's bone form groups. Each group is
aligned by itself from many starts, every point goes to the motion that fits it and its
neighbours best, and each motion is fitted again to its own points, until no group is left. Where
one motion explains little, it starts from the best two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.serial.align import OUT_OF_VIEW_MM, TRUNCATION_MM, descend, rigid, settled
from hoimg.serial.hinge import two_motions
from hoimg.serial.intensity import NEAR_BONE_MM, Images, correlation
from hoimg.serial.skin import POINTS, Skin
from hoimg.serial.surface import Bones, Matrix4, Points, inside, move, sample, thin

SUSPECT_MM, SUSPECT_TIMES = 0.9, 1.8
"""A group is tried where the mean gap exceeds both this and this many times the typical gap."""
LOOSE_MM = 2.5
"""Mean gap of a surface point and its neighbours from which on a motion does not explain it."""
HOPELESS = 0.25
"""A main motion that explains less of the surface in view is no start for dividing."""
UNLIKE = 0.6
"""Nor is one whose explained bone correlates less in HU: a mirrored exam, or a stranger's."""
SURE = 0.88
"""From this correlation on the main motion is true of some bone, and the rest may be searched."""
GAIN = 0.6
"""A motion of its own must leave a group's mean gap below this fraction of what it was."""
LED_OUT = 0.02
"""A better motion leads no more than this part of the group out of view."""
SEED = 0.25
"""A group is tried from this fraction of the bone that a part needs: its joint end may fit both."""
MOST_PARTS, MOST_TRIES = 8, 10
STILL_MM = 0.02
"""A descent that moves by less has arrived."""
LATTICE_MM = 4.0
FAR_MM = 25.0
"""The search for a group's place counts a point farther off than this as this far off."""
STARTS_DESCENDED = 10
TURN_STEP_DEG, MOST_TURN_DEG = 15.0, 60.0
"""Rotations about the joint that the search tries; long bones are also laid axis on axis."""
LEFT = -1
"""Part of a bone voxel that no motion explains."""


@dataclass(frozen=True, eq=False)
class Division:
    """A skeleton divided by motions.

    Attributes:
        matrices: Fixed LPS to moving LPS, the main motion first.
        skin: Points of the fixed skeleton.
        labels: For each of its points an index into ``matrices``, or ``LEFT``.
        min_bone_mm3: Least bone of a part, and of what counts as left over.
        hopeless: Whether the main motion explains too little to go on from.
    """

    matrices: list[Matrix4]
    skin: Skin
    labels: NDArray[np.intp]
    min_bone_mm3: float
    hopeless: bool = False

    @property
    def divided(self) -> bool:
        """Whether not all points belong to the main motion."""
        return bool(self.labels.any())


def divide(
    fixed: Bones, moving: Bones, images: Images, main: Matrix4, min_bone_mm3: float
) -> Division:
    """Divide the fixed skeleton by the motions that carry its bones onto the moving one.

    Args:
        fixed: The skeleton to divide.
        moving: The skeleton it is carried onto.
        images: Intensities of both.
        main: Motion of the largest part, from :func:`~hoimg.serial.align.align`.
        min_bone_mm3: A group with less bone gets no motion of its own.

    Returns:
        One motion that owns every point where no larger group is left unexplained by it.
    """
    skin, other = Skin(fixed), Skin(moving)
    matrices = [main]
    if not _explains(skin, main, skin.gaps(main, moving), other, images, SURE):
        matrices = two_motions(skin, main, moving)
    if len(matrices) > 1:
        matrices, label = _refitted(skin, matrices, moving)
        share = [float(skin.volume_mm3[label == k].sum()) for k in (0, 1)]
        if min(share) < min_bone_mm3:
            matrices = [main]
        elif share[1] > share[0]:
            matrices.reverse()
    matrices = [settled(m) for m in matrices]
    gaps = [skin.gaps(m, moving) for m in matrices]
    if not _explains(skin, matrices[0], gaps[0], other, images, UNLIKE):
        label = np.zeros(len(skin.points), dtype=np.intp)
        return Division(matrices[:1], skin, label, min_bone_mm3, True)
    given_up = np.zeros(len(skin.points), dtype=bool)
    for _ in range(MOST_TRIES):
        group = _suspect(skin, _least(gaps), given_up, SEED * min_bone_mm3)
        if group is None or len(matrices) == MOST_PARTS:
            break
        found = _own_motion(skin, group, matrices, gaps, other)
        if found is not None:
            refitted, label = _refitted(skin, [*matrices, found], moving)
            new = [skin.gaps(m, moving) for m in refitted]
            own = label == len(matrices)
            before, after = (np.nanmean(np.append(_least(g)[own], np.nan)) for g in (gaps, new))
            if skin.volume_mm3[own].sum() >= min_bone_mm3 and after < GAIN * before:
                matrices, gaps = refitted, new
                continue
        moved = _elsewhere(skin, group, matrices, gaps, other)
        if moved is not None:
            matrices = moved
            gaps = [skin.gaps(m, moving) for m in matrices]
            continue
        given_up[group] = True
    matrices = [settled(m) for m in matrices]
    label = without_loose(skin, matrices, moving, _choice(skin, gaps), min_bone_mm3)
    return Division(matrices, skin, label, min_bone_mm3)


def without_parts(division: Division, kept: list[int], moving: Bones) -> Division:
    """A division by some of its motions alone; what the others had goes where it fits.

    Bone that one exam has lost to an ossification beside it seems to have gone elsewhere. Under
    the motion of its neighbours it comes to lie in that ossification.

    Args:
        division: As found.
        kept: The motions to keep, the main one first.
        moving: The skeleton that the fixed one is carried onto.
    """
    skin = division.skin
    matrices = [division.matrices[k] for k in kept]
    gaps = [skin.gaps(m, moving, doubt=True) for m in matrices]
    label = np.full(len(skin.points), LEFT, dtype=np.intp)
    for new, old in enumerate(kept):
        label[division.labels == old] = new
    lost = label == LEFT
    label[lost] = _choice(skin, gaps)[lost]
    label = without_loose(skin, matrices, moving, label, division.min_bone_mm3)
    return replace(division, matrices=matrices, labels=label)


def _explains(
    skin: Skin,
    main: Matrix4,
    gap: NDArray[np.float64],
    other: Skin,
    images: Images,
    likeness: float,
) -> bool:
    """Whether the main motion explains enough, and bone whose HU correlate so well."""
    seen = ~np.isnan(gap)
    good = np.nan_to_num(gap, nan=np.inf) < LOOSE_MM
    if np.count_nonzero(good) < HOPELESS * max(int(np.count_nonzero(seen)), 1):
        return False
    index = thin(np.argwhere(skin.bones.distance_mm < NEAR_BONE_MM), POINTS)
    index = index[good[skin.nearest(skin.bones.grid.to_lps_mm(index))]]
    alike = correlation(skin.bones, other.bones, images, main, index)
    return alike is not None and alike >= likeness


def _suspect(
    skin: Skin, gap: NDArray[np.float64], given_up: NDArray[np.bool_], least_mm3: float
) -> NDArray[np.intp] | None:
    """The largest group that the motions so far explain badly and that was not tried yet."""
    if np.isnan(gap).all():
        return None
    limit = max(SUSPECT_MM, SUSPECT_TIMES * float(np.nanmedian(gap)))
    for group in skin.groups(np.nan_to_num(gap, nan=0.0) > limit):
        if skin.volume_mm3[group].sum() >= least_mm3 and given_up[group].mean() < 0.5:
            return group
    return None


def _own_motion(
    skin: Skin,
    group: NDArray[np.intp],
    matrices: list[Matrix4],
    gaps: list[NDArray[np.float64]],
    other: Skin,
) -> Matrix4 | None:
    """The motion of a group: near one that is known, or else searched for."""
    near, nearest_mm = _nearest(group, gaps)
    some = thin(skin.points[group], 1000)
    matrix = descend(some, other.bones, matrices[near], scales_mm=(6.0, 3.0), still_mm=STILL_MM)
    after = np.nan_to_num(skin.gaps(matrix, other.bones)[group], nan=OUT_OF_VIEW_MM).mean()
    if after < GAIN * nearest_mm and after < SUSPECT_MM:
        return matrix
    loose = np.nan_to_num(_least(gaps), nan=0.0) > LOOSE_MM
    far = group[loose[group]]
    return _placed(skin, far, loose, matrices, near, other) if len(far) >= len(group) / 4 else None


def _elsewhere(
    skin: Skin,
    group: NDArray[np.intp],
    matrices: list[Matrix4],
    gaps: list[NDArray[np.float64]],
    other: Skin,
) -> list[Matrix4] | None:
    """The motions with a better one for the part beside a group, which had settled wrongly.

    The head of a bent bone turns in its socket without a trace, so that a part may come to rest on
    half of its bone; the group is the other half. Both are placed anew, as one.
    """
    near, _ = _nearest(group, gaps)
    if near == 0:
        return None
    loose = _choice(skin, gaps) == near
    loose[group] = True
    own = np.flatnonzero(loose)
    rest = [m for k, m in enumerate(matrices) if k != near]
    found = _placed(skin, own, loose, rest, 0, other)
    if found is None:
        return None
    new = [found if k == near else m for k, m in enumerate(matrices)]
    refitted, _ = _refitted(skin, new, other.bones)
    made = [skin.gaps(m, other.bones) for m in refitted]
    before, after = (_least(g)[own] for g in (gaps, made))
    if np.isnan(after).mean() > np.isnan(before).mean() + LED_OUT:
        return None
    better = np.count_nonzero(after > SUSPECT_MM) < GAIN * np.count_nonzero(before > SUSPECT_MM)
    return refitted if better else None


def _nearest(group: NDArray[np.intp], gaps: list[NDArray[np.float64]]) -> tuple[int, float]:
    """The motion that explains a group best, and the mean gap that it leaves, mm."""
    means = [float(np.nan_to_num(g[group], nan=OUT_OF_VIEW_MM).mean()) for g in gaps]
    near = int(np.argmin(means))
    return near, means[near]


def _least(gaps: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Smallest gap over the motions; NaN where all of them lead out of view."""
    together: NDArray[np.float64] = np.fmin.reduce(gaps)
    return together


def _choice(skin: Skin, gaps: list[NDArray[np.float64]]) -> NDArray[np.intp]:
    """The motion of each point: the least gap, then twice the majority of its neighbours."""
    cost = np.stack([np.nan_to_num(g, nan=OUT_OF_VIEW_MM) for g in gaps])
    label: NDArray[np.intp] = cost.argmin(axis=0)
    if len(gaps) == 1:
        return label
    for _ in range(2):
        votes = np.stack([skin.mean @ (label == k).astype(float) for k in range(len(gaps))])
        label = (votes - 0.1 * np.minimum(cost, LOOSE_MM)).argmax(axis=0)
    # Where nothing is in view, the nearest point that is seen speaks.
    seen = ~np.isnan(_least(gaps))
    if seen.any() and not seen.all():
        from scipy.spatial import cKDTree

        _, nearest = cKDTree(skin.points[seen]).query(skin.points[~seen])
        label[~seen] = label[seen][nearest]
    return label


def without_loose(
    skin: Skin,
    matrices: list[Matrix4],
    other: Bones,
    label: NDArray[np.intp],
    min_bone_mm3: float,
) -> NDArray[np.intp]:
    """Labels with ``LEFT`` where much bone, in view after its motion, lies far from the other's.

    Other mineral at its place counts as bone: it may be the same, called otherwise.
    """
    gaps = np.stack([skin.gaps(matrix, other, doubt=True) for matrix in matrices])
    own = gaps[label, np.arange(len(label))]
    label = label.copy()
    for group in skin.groups(np.nan_to_num(own, nan=0.0) > LOOSE_MM):
        if skin.volume_mm3[group].sum() >= min_bone_mm3:
            label[group] = LEFT
    return label


def _refitted(
    skin: Skin, matrices: list[Matrix4], moving: Bones
) -> tuple[list[Matrix4], NDArray[np.intp]]:
    """Points to motions and motions to their points, in turns."""
    matrices = list(matrices)
    gaps = [skin.gaps(m, moving) for m in matrices]
    before = np.full(len(skin.points), LEFT)
    for scales in ((6.0, 3.0), (3.0, 1.5), (3.0, 1.5)):
        label = _choice(skin, gaps)
        for k in range(len(matrices)):
            own = label == k
            changed = np.count_nonzero(own != (before == k))
            if np.count_nonzero(own) >= 50 and changed > 0.02 * np.count_nonzero(own):
                some = thin(skin.points[own], 2000)
                matrices[k] = descend(
                    some, moving, matrices[k], scales_mm=scales, still_mm=STILL_MM
                )
                gaps[k] = skin.gaps(matrices[k], moving)
        before = label
    return matrices, _choice(skin, gaps)


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Distance to a few points on a coarse lattice, nearest cell, ``FAR_MM`` outside."""

    grid: Grid
    distance_mm: NDArray[np.float32]

    @classmethod
    def round(cls, points: Points) -> _Lattice:
        from scipy.ndimage import distance_transform_edt

        low = np.floor(points.min(axis=0) - FAR_MM)
        size = np.ceil((points.max(axis=0) + FAR_MM - low) / LATTICE_MM).astype(int)[::-1] + 1
        grid = Grid(
            (int(size[0]), int(size[1]), int(size[2])),
            (LATTICE_MM,) * 3,
            (float(low[0]), float(low[1]), float(low[2])),
        )
        empty = np.ones(grid.size_zyx, dtype=bool)
        empty[tuple(np.rint(grid.to_index_zyx(points)).astype(int).T)] = False
        return cls(grid, distance_transform_edt(empty, sampling=LATTICE_MM).astype(np.float32))

    def __call__(self, points: Points) -> NDArray[np.float64]:
        index = np.rint((points - self.grid.origin_lps_mm) / LATTICE_MM).astype(int)[..., ::-1]
        last = np.asarray(self.grid.size_zyx) - 1
        hit = ((index >= 0) & (index <= last)).all(axis=-1)
        index = np.clip(index, 0, last)
        value = self.distance_mm[index[..., 0], index[..., 1], index[..., 2]]
        out: NDArray[np.float64] = np.where(hit, np.minimum(value, FAR_MM), FAR_MM)
        return out


def _placed(
    skin: Skin,
    group: NDArray[np.intp],
    loose: NDArray[np.bool_],
    matrices: list[Matrix4],
    near: int,
    other: Skin,
) -> Matrix4 | None:
    """A motion that carries a group onto bone of the other exam that nothing else explains."""
    back = [other.gaps(np.linalg.inv(m), skin.bones) for m in matrices]
    least = np.fmin.reduce(back)
    free = np.isnan(least) | (least > LOOSE_MM)
    if np.count_nonzero(free) < 50:
        return None
    target = _Lattice.round(other.points[free])
    points = skin.points[group]
    # What the known motions explain next to the group is its joint.
    from scipy.spatial import cKDTree

    gap, index = cKDTree(points).query(skin.points[~loose], distance_upper_bound=30.0)
    joint = skin.points[~loose][np.isfinite(gap)]
    edge = points[np.unique(index[np.isfinite(gap) & (gap < 12.0)])]
    starts = []
    for place in (joint, edge):
        if len(place):
            starts.append(_about(matrices[near], place.mean(axis=0)))
    starts.append(_axis_on_axis(points, [other.points[g] for g in other.groups(free)[:3]]))
    every = np.concatenate([s for s in starts if len(s)]) if starts else np.empty((0, 4, 4))
    few = thin(points, 200)
    moved = np.einsum("kij,nj->kni", every[:, :3, :3], few) + every[:, None, :3, 3]
    score = target(moved).mean(axis=1)
    best, lowest = None, math.inf
    some = thin(points, 500)
    for k in _distinct(moved, score):
        matrix = descend(some, other.bones, every[k], scales_mm=(10.0, 6.0, 3.0), still_mm=STILL_MM)
        value = _misfit(some, other.bones, target, matrix)
        if value < lowest:
            best, lowest = matrix, value
        if lowest < 1.0:
            break
    return best if lowest < LOOSE_MM else None


def _misfit(points: Points, moving: Bones, target: _Lattice, matrix: Matrix4) -> float:
    """Mean truncated distance to the other bone, and to that part of it which is free."""
    moved = move(matrix, points)
    gap = np.maximum(np.abs(sample(moving, moved)), target(moved) - 2 * LATTICE_MM)
    gap = np.clip(gap, 0, TRUNCATION_MM)
    gap[~inside(moving.view, moved)] = OUT_OF_VIEW_MM
    return float(gap.mean())


def _distinct(moved: NDArray[np.float64], score: NDArray[np.float64]) -> list[int]:
    """The best starts, no two of them nearly the same."""
    chosen: list[int] = []
    for k in np.argsort(score, kind="stable")[:300]:
        apart = all(np.abs(moved[k] - moved[j]).max() > 20.0 for j in chosen)
        if apart:
            chosen.append(int(k))
        if len(chosen) == STARTS_DESCENDED:
            break
    return chosen


def _about(matrix: Matrix4, centre: Points) -> NDArray[np.float64]:
    """A known motion after turns about a joint and small shifts of it, ``(k, 4, 4)``."""
    steps = np.arange(-MOST_TURN_DEG, MOST_TURN_DEG + 1, TURN_STEP_DEG)
    ball = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= MOST_TURN_DEG]
    shifts = np.concatenate([np.zeros((1, 3)), 12.0 * np.eye(3), -12.0 * np.eye(3)])
    made = []
    for turn in ball:
        turned = rigid(np.radians(turn), np.zeros(3), centre)
        for shift in shifts:
            one = turned.copy()
            one[:3, 3] += shift
            made.append(one)
    every: NDArray[np.float64] = np.asarray(matrix, np.float64) @ np.stack(made)
    return every


def _axis_on_axis(points: Points, targets: list[Points]) -> NDArray[np.float64]:
    """Principal axes laid on principal axes, both ways, turned about the long one and slid."""
    made = []
    centre, axes = _principal(points)
    for target in targets:
        if len(target) < 50:
            continue
        there, onto = _principal(target)
        for flip in (1.0, -1.0):
            for turn in np.radians(np.arange(0, 360, 30)):
                c, s = math.cos(turn), math.sin(turn)
                roll = np.array([[flip, 0, 0], [0, c, -s * flip], [0, s, c * flip]])
                rotation = onto @ roll @ axes.T
                for slide in (-50.0, -25.0, 0.0, 25.0, 50.0):
                    one = np.eye(4)
                    one[:3, :3] = rotation
                    one[:3, 3] = there + slide * onto[:, 0] - rotation @ centre
                    made.append(one)
    return np.stack(made) if made else np.empty((0, 4, 4))


def _principal(points: Points) -> tuple[Points, Points]:
    """Mean, and a right-handed frame whose first column is the longest axis."""
    centre = points.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((points - centre).T))
    axes = axes[:, ::-1].copy()
    # The sign of an eigenvector is free: take the one whose largest entry is positive.
    for k in range(2):
        axes[:, k] *= np.sign(axes[np.abs(axes[:, k]).argmax(), k])
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return centre, axes
