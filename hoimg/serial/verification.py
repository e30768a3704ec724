"""Is a placement true? Each part is judged by overlap, surface distance, likeness and its joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.align import TRUNCATION_MM, stretch
from hoimg.serial.intensity import NEAR_BONE_MM, Images, correlation
from hoimg.serial.parts import LEFT, Division, without_loose
from hoimg.serial.placement import Part, Registration, turn_deg
from hoimg.serial.skin import Skin
from hoimg.serial.surface import Bones, Matrix4, Points, move, sample, telling, thin
from hoimg.settings import SerialSettings

VOXELS = 60_000
"""Bone voxels of either exam that overlap is measured with, evenly chosen."""
JOINED_MM = 12.0
"""Parts nearer to each other than this are joined there."""
MOST_SLIDE_MM = 15.0
"""However far a part turned, its joint is not farther apart than this."""
JOINT_REACH_MM = 50.0
"""Somewhere within this of the contact the axis of a joint passes."""


def verify(
    division: Division, moving: Bones, images: Images, settings: SerialSettings
) -> Registration:
    """Measure overlap, residual and likeness of a divided skeleton; accept or reject each part.

    The whole is accepted when its main part is, and when the accepted parts together explain
    enough of the bone in common view: a stranger's skeleton must not pass for a few pieces of it
    that happen to fit.
    """
    skin, matrices = division.skin, division.matrices
    fixed, other = skin.bones, Skin(moving)
    theirs = _labels_of_moving(division, other)
    ours_of = division.labels[skin.owner] if division.divided else None
    counts = [
        _counted(fixed, moving, matrices, skin, division.labels, ours_of),
        _counted(moving, fixed, [np.linalg.inv(m) for m in matrices], other, theirs, None),
    ]
    index = np.argwhere(fixed.distance_mm < NEAR_BONE_MM)
    near = labels_near(division, index)
    parts = []
    for k, matrix in enumerate(matrices):
        dice, common = _dice([c[k] for c in counts])
        ends = skin.points[division.labels == k], other.points[theirs == k]
        residual = _residual(fixed, moving, matrix, *ends)
        likeness = None
        if residual is not None:
            likeness = correlation(fixed, moving, images, matrix, index[near == k])
        least = settings.min_part_correlation if k else settings.min_bone_correlation
        reason = _reason(dice, common, residual, likeness, least, settings)
        if reason is None:
            strain, by_mm = stretch(thin(ends[0], 3000), moving, matrix)
            if strain > settings.max_bone_stretch and by_mm > settings.max_bone_stretch_mm:
                reason = "bones_differ_in_size"
        if reason is None and k > 0 and _torn(skin, division.labels, matrices, k, settings):
            reason = "joint_torn"
        parts.append(Part(matrix, reason is None, dice, residual, reason, *ends))
    left = skin.points[division.labels == LEFT], other.points[theirs == LEFT]
    if len(left[0]) or len(left[1]):
        parts.append(Part(matrices[0], False, None, None, "bone_unexplained", *left))
    accepted = [k for k in range(len(matrices)) if parts[k].accepted]
    total = _explained(counts, accepted)
    reason = parts[0].reason
    if reason is None and (total is None or total < settings.min_explained_bone):
        reason = "bones_do_not_overlap"
    return Registration(
        matrices[0], reason is None, total, parts[0].residual_mm, reason, tuple(parts)
    )


def _reason(
    dice: float | None,
    common_mm3: float,
    residual: float | None,
    likeness: float | None,
    min_likeness: float,
    settings: SerialSettings,
) -> str | None:
    if dice is None or residual is None or common_mm3 < settings.min_common_bone_mm3:
        return "no_common_view"
    if dice < settings.min_bone_overlap:
        return "bones_do_not_overlap"
    if residual > settings.max_residual_mm:
        return "surfaces_too_far_apart"
    if likeness is None or likeness < min_likeness:
        return "bones_unlike"
    return None


def _labels_of_moving(division: Division, other: Skin) -> NDArray[np.intp]:
    """The part of each surface point of the moving skeleton, or ``LEFT``.

    It is that of the fixed point which is carried nearest to it. Bone that no part explains,
    although its place is in the fixed exam's view, is left over where there is much of it.
    """
    from scipy.spatial import cKDTree

    skin = division.skin
    own = division.labels >= 0
    carried = np.empty_like(skin.points)
    for k, matrix in enumerate(division.matrices):
        carried[division.labels == k] = move(matrix, skin.points[division.labels == k])
    label = np.zeros(len(other.points), dtype=np.intp)
    if division.divided:
        _, nearest = cKDTree(carried[own]).query(other.points)
        label = division.labels[own][nearest]
    back = [np.linalg.inv(m) for m in division.matrices]
    return without_loose(other, back, skin.bones, label, division.min_bone_mm3)


def labels_near(division: Division, index: NDArray[np.intp]) -> NDArray[np.intp]:
    """The part of voxels of the fixed working grid: that of the nearest surface point.

    ``LEFT`` where no part is, and for a part other than the main one where another part is less
    than twice as far: inside a joint the surface says little about whose a voxel is.
    """
    from scipy.spatial import cKDTree

    if not division.divided:
        return np.zeros(len(index), dtype=np.intp)
    skin = division.skin
    points = skin.bones.grid.to_lps_mm(index)
    nearest = skin.nearest(points)
    label = division.labels[nearest].copy()
    away = np.linalg.norm(points - skin.points[nearest], axis=1)
    for k in range(1, len(division.matrices)):
        mine = np.flatnonzero(label == k)
        other, _ = cKDTree(skin.points[division.labels != k]).query(points[mine])
        label[mine[other < 2 * away[mine]]] = LEFT
    return label


def _counted(
    start: Bones,
    end: Bones,
    ways: list[Matrix4],
    skin: Skin,
    labels: NDArray[np.intp],
    voxel_labels: NDArray[np.intp] | None,
) -> list[tuple[float, float]]:
    """Volume seen and volume that falls onto bone, mm3, of each part, and at last what is left."""
    if voxel_labels is None:
        divided = (labels != 0).any()
        voxel_labels = labels[skin.owner] if divided else np.zeros(len(skin.voxels), dtype=np.intp)
    chosen = thin(np.arange(len(skin.voxels)), VOXELS)
    points, label = start.grid.to_lps_mm(skin.voxels[chosen]), voxel_labels[chosen]
    share = start.volume_mm3 / len(points)
    counted = []
    for k in (*range(len(ways)), LEFT):
        moved = move(ways[max(k, 0)], points[label == k])
        moved = moved[telling(end, moved)]
        hit = sample(end, moved) <= 0.5 * start.grid.spacing_zyx_mm[0]
        counted.append((len(moved) * share, float(np.count_nonzero(hit)) * share))
    return counted


def _dice(sides: list[tuple[float, float]]) -> tuple[float | None, float]:
    """Dice of a part in the common view, and the smaller of its volumes seen, mm3."""
    seen = sum(s for s, _ in sides)
    return (sum(h for _, h in sides) / seen if seen else None), min(s for s, _ in sides)


def _explained(counts: list[list[tuple[float, float]]], accepted: list[int]) -> float | None:
    """Dice of all bone in common view where only accepted parts (or, if none is, all) count."""
    seen = sum(s for side in counts for s, _ in side)
    parts = accepted or range(len(counts[0]) - 1)
    return sum(side[k][1] for side in counts for k in parts) / seen if seen else None


def _residual(
    fixed: Bones, moving: Bones, matrix: Matrix4, ours: Points, theirs: Points
) -> float | None:
    """Median distance of a part's surface points to the other skeleton in common view, mm."""
    gaps = []
    for points, end, way in ((ours, moving, matrix), (theirs, fixed, np.linalg.inv(matrix))):
        moved = move(way, points)
        gap = np.abs(sample(end, moved[telling(end, moved)]))
        gaps.append(np.minimum(gap, TRUNCATION_MM))
    together = np.concatenate(gaps)
    return float(np.median(together)) if together.size else None


def _torn(
    skin: Skin,
    labels: NDArray[np.intp],
    matrices: list[Matrix4],
    k: int,
    settings: SerialSettings,
) -> bool:
    """Whether a part left the one it is joined to, which no joint allows.

    No point near their contact stays in place. Pieces of a stranger's skeleton that is larger or
    smaller than the patient's slide like that without turning.
    """
    from scipy.spatial import cKDTree

    others = (labels >= 0) & (labels != k)
    own = skin.points[labels == k]
    if not others.any() or not len(own):
        return False
    gap, index = cKDTree(own).query(skin.points[others], distance_upper_bound=JOINED_MM)
    touch = np.isfinite(gap)
    if not touch.any():
        return False
    partner = np.bincount(labels[others][touch]).argmax()
    centre = own[index[touch & (labels[others] == partner)]].mean(axis=0)
    # The axis may pass through the middle of the bone: a ball of points, not its surface alone.
    steps = np.linspace(-JOINT_REACH_MM, JOINT_REACH_MM, 11)
    ball = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = centre + ball[np.linalg.norm(ball, axis=1) <= JOINT_REACH_MM]
    apart = np.linalg.norm(move(matrices[k], ball) - move(matrices[partner], ball), axis=1)
    angle = turn_deg(matrices[partner], matrices[k])
    shift = float(apart.min())
    allowed = settings.max_joint_slide_mm + settings.joint_slide_per_degree_mm * angle
    return shift > min(allowed, MOST_SLIDE_MM)
