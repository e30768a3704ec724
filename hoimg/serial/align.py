"""Rigid alignment of two exams' bone surfaces from many starts; no image is needed.

Surface points of one exam fall onto the distance field of the other one by Gauss-Newton steps with
a robust weight. One descent takes some milliseconds, so every start that could be right is tried:
as the scanner says, bone centre on bone centre, and the best places of a search over all
translations for a few rotations.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.serial.surface import (
    EDGE_MM,
    Bones,
    Matrix4,
    Points,
    inside,
    move,
    sample,
    telling,
    thin,
)

COARSE_MM = 10.0
"""Voxel of the search over translations."""
ROTATIONS_DEG = (-30.0, -15.0, 15.0, 30.0)
"""Rotations about each patient axis that the search tries besides none."""
STARTS_KEPT = 4
TRUNCATION_MM = 10.0
"""A point farther off than this counts as much as one this far off."""
OUT_OF_VIEW_MM = 4.0
"""What a point outside the other view costs: worse than a fit, better than a misfit."""
GOOD_FIT_MM = 1.0
"""Median surface distance below which no further start is tried."""
STRAIN_SD, OFFSET_SD_MM = 0.02, 1.0
"""How far a strain and an even offset may go for free in :func:`stretch`."""
POINT_VARIANCE_MM2 = 50.0
"""Variance of a point's gap there: 0.5 mm, and some two hundred neighbours err alike."""
MIN_VIEW = 0.1
"""Smallest fraction of either exam's bone in the common view that the search considers."""


def align(fixed: Bones, moving: Bones) -> Matrix4:
    """The best rigid 4x4 matrix (fixed LPS to moving LPS) by bone surface.

    The rotations are searched only where no unrotated start already fits.
    """
    few = thin(fixed.points_lps_mm, 800)
    shift = np.eye(4)
    shift[:3, 3] = moving.points_lps_mm.mean(axis=0) - fixed.points_lps_mm.mean(axis=0)
    best: Matrix4 = np.eye(4)
    lowest = math.inf
    for starts in ([np.eye(4), shift, *search(fixed, moving, (0.0,))], ROTATIONS_DEG):
        if isinstance(starts, tuple):
            if _fits(few, moving, best):
                break
            starts = search(fixed, moving, starts)
        for start in starts:
            matrix = descend(few, moving, start, scales_mm=(10.0, 6.0, 3.0))
            value = cost(few, moving, matrix)
            if value < lowest:
                best, lowest = matrix, value
    return descend(thin(fixed.points_lps_mm, 4000), moving, best, scales_mm=(3.0, 1.5))


def _fits(points: Points, moving: Bones, matrix: Matrix4) -> bool:
    """Whether at least a third of the points is in view and their median distance is small."""
    moved = move(matrix, points)
    seen = moved[inside(moving.view, moved)]
    if 3 * len(seen) < len(points):
        return False
    return float(np.median(np.abs(sample(moving, seen)))) < GOOD_FIT_MM


def cost(points: Points, moving: Bones, matrix: Matrix4) -> float:
    """Mean truncated distance of points to the other surface, mm."""
    moved = move(matrix, points)
    gap = np.minimum(np.abs(sample(moving, moved)), TRUNCATION_MM)
    gap[~inside(moving.view, moved)] = OUT_OF_VIEW_MM
    return float(gap.mean())


def descend(
    points: Points,
    moving: Bones,
    start: Matrix4,
    *,
    scales_mm: tuple[float, ...],
    still_mm: float = 1e-3,
) -> Matrix4:
    """Gauss-Newton onto the distance field.

    Args:
        points: Fixed surface points, LPS mm.
        moving: The bones that they fall onto.
        start: Where to begin.
        scales_mm: Widths of Tukey's weight, one after the other.
        still_mm: A step that moves nothing within 100 mm of the centre by more is the last one.
    """
    matrix = start.copy()
    for scale in scales_mm:
        for _ in range(15):
            moved = move(matrix, points)
            kept = moved[inside(moving.view, moved)]
            if len(kept) < 20:
                return matrix
            value = sample(moving, kept)
            weight = np.clip(1 - (value / (2 * scale)) ** 2, 0, None) ** 2
            centre = kept.mean(axis=0)
            slope = _slope(moving, kept)
            jacobian = np.hstack([np.cross(kept - centre, slope), slope])
            weighted = jacobian * weight[:, None]
            # The small ridge (in mm and radians over the bone's reach) keeps still what the
            # points cannot tell, for example the turn of a lone shaft about its axis.
            normal = weighted.T @ jacobian + np.diag([1.0] * 3 + [1e-3] * 3)
            move_by = -np.linalg.solve(normal, weighted.T @ value)
            size = float(np.linalg.norm(move_by[:3]))
            if size > 0.2:
                move_by *= 0.2 / size
            matrix = rigid(move_by[:3], move_by[3:], centre) @ matrix
            if np.linalg.norm(move_by[3:]) < still_mm and size < still_mm / 100:
                break
    return matrix


def rigid(rotation_rad: NDArray[np.float64], shift_mm: Points, centre: Points) -> Matrix4:
    """4x4 matrix of a rotation (vector: axis times angle) about ``centre``, then a shift."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(rotation_rad).as_matrix()
    matrix[:3, 3] = centre + shift_mm - matrix[:3, :3] @ centre
    return matrix


def stretch(points: Points, moving: Bones, matrix: Matrix4) -> tuple[float, float]:
    """How much a placed bone must be stretched to fit best.

    Rotation, shift, a symmetric strain and an even offset of the surfaces (another kernel thickens
    every bone alike) are fitted together to the distance field. The strain and the offset are held
    back (:data:`STRAIN_SD`, :data:`OFFSET_SD_MM`), so that what the points cannot tell stays near
    0. One patient's bones do not change in size.

    Args:
        points: Fixed surface points, LPS mm.
        moving: The bones that they were carried onto.
        matrix: Where they were carried.

    Returns:
        Largest absolute difference of a principal stretch from 1, a fraction, and how far the
        strain moves the points, root mean square, mm.
    """
    moved = move(matrix, points)
    moved = moved[telling(moving, moved, EDGE_MM)]
    if len(moved) < 50:
        return 0.0, 0.0
    centre = moved.mean(axis=0)
    strain, offset = np.eye(3), 0.0
    place = moved.copy()
    rows, cols = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]
    held = np.diag(
        [0.0] * 6 + [1 / STRAIN_SD**2] * 3 + [2 / STRAIN_SD**2] * 3 + [1 / OFFSET_SD_MM**2]
    )
    for _ in range(4):
        value = sample(moving, place) + offset
        weight = np.clip(1 - (value / 6.0) ** 2, 0, None) ** 2 / POINT_VARIANCE_MM2
        slope = _slope(moving, place)
        now = place - centre
        pull = slope[:, rows] * now[:, cols]
        pull[:, 3:] += slope[:, cols[3:]] * now[:, rows[3:]]
        jacobian = np.hstack([np.cross(now, slope), slope, pull, np.ones((len(place), 1))])
        weighted = jacobian * weight[:, None]
        so_far = np.concatenate([np.zeros(6), strain_of(strain)[rows, cols], [offset]])
        right = weighted.T @ value + held @ so_far
        by = -np.linalg.solve(weighted.T @ jacobian + held + 1e-6 * np.eye(13), right)
        small = np.zeros((3, 3))
        small[rows, cols] = by[6:12]
        small[cols, rows] = by[6:12]
        turn = rigid(by[:3], by[3:6], np.zeros(3))
        step = turn[:3, :3] @ (np.eye(3) + small)
        strain = step @ strain
        offset += float(by[12])
        place = centre + now @ step.T + by[3:6]
    pure = strain_of(strain)
    by_strain = np.linalg.norm((moved - centre) @ pure, axis=1)
    return float(np.abs(np.linalg.eigvalsh(pure)).max()), float(np.sqrt(np.mean(by_strain**2)))


def strain_of(deformation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric strain of a deformation without its rotation."""
    _, size, axes = np.linalg.svd(deformation)
    found: NDArray[np.float64] = axes.T @ np.diag(size - 1) @ axes
    return found


def settled(matrix: Matrix4) -> Matrix4:
    """Rounded far below any meaning (1e-9), where the order of sums on threads would show."""
    rounded: Matrix4 = np.round(matrix, 9) + 0.0
    return rounded


def search(fixed: Bones, moving: Bones, angles_deg: tuple[float, ...]) -> list[Matrix4]:
    """The best translation for each of a few rotations, by overlap of bone in the common view."""
    centre = fixed.points_lps_mm.mean(axis=0)
    turns = [axis * math.radians(angle) for angle in angles_deg for axis in np.eye(3)]
    turns = turns if any(angles_deg) else [np.zeros(3)]
    target = _Lattice(moving)
    points = thin(fixed.grid.to_lps_mm(np.argwhere(fixed.mask)), 20_000)
    view = _cells(fixed.view)
    tried = [target.best_shift(rigid(turn, np.zeros(3), centre), points, view) for turn in turns]
    tried.sort(key=lambda pair: -pair[0])
    return [matrix for score, matrix in tried[:STARTS_KEPT] if score > 0]


class _Lattice:
    """The moving exam's bone and view as counts on a coarse lattice along the patient axes."""

    def __init__(self, moving: Bones) -> None:
        self.bone = thin(moving.grid.to_lps_mm(np.argwhere(moving.mask)), 20_000)
        self.view = _cells(moving.view)

    def best_shift(self, turn: Matrix4, points: Points, view: Points) -> tuple[float, Matrix4]:
        """Best Dice in the common view over all translations after ``turn``, and its matrix."""
        from scipy.fft import irfftn, next_fast_len, rfftn

        bone, seen = move(turn, points), move(turn, view)
        here, there = _origin(bone, seen), _origin(self.bone, self.view)
        arrays = [
            _raster(bone, here),
            _raster(seen, here),
            _raster(self.bone, there),
            _raster(self.view, there),
        ]
        shape = tuple(
            next_fast_len(
                max(arrays[0].shape[k], arrays[1].shape[k])
                + max(arrays[2].shape[k], arrays[3].shape[k]),
                real=True,
            )
            for k in range(3)
        )
        f_bone, f_view, m_bone, m_view = (rfftn(a, shape) for a in arrays)
        both, mine, its = (
            irfftn(np.conj(a) * b, shape)
            for a, b in ((f_bone, m_bone), (f_bone, m_view), (f_view, m_bone))
        )
        enough = (mine > MIN_VIEW * arrays[0].sum()) & (its > MIN_VIEW * arrays[2].sum())
        dice = np.where(enough, 2 * both / np.maximum(mine + its, 1e-6), 0.0)
        peak = np.array(np.unravel_index(int(dice.argmax()), shape))
        lag = np.where(peak > np.array(shape) // 2, peak - np.array(shape), peak)
        # Lags beyond half the padded shape wrap round; both readings agree modulo the shape.
        matrix = turn.copy()
        matrix[:3, 3] += there - here + lag * COARSE_MM
        return float(dice.max()), matrix


def _cells(view: Grid) -> Points:
    """Points that fill a view at the lattice's pitch."""
    steps = [max(COARSE_MM / 2 / s, 1.0) for s in view.spacing_zyx_mm]
    axes = [np.arange(0, n, step) for n, step in zip(view.size_zyx, steps, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return view.to_lps_mm(index)


def _origin(*clouds: Points) -> Points:
    lowest: Points = np.floor(np.min([c.min(axis=0) for c in clouds], axis=0) / COARSE_MM)
    return lowest * COARSE_MM


def _raster(points: Points, origin: Points) -> NDArray[np.float32]:
    index = np.rint((points - origin) / COARSE_MM).astype(int)
    array = np.zeros(index.max(axis=0) + 1, dtype=np.float32)
    array[tuple(index.T)] = 1.0
    return array


def _slope(moving: Bones, points: Points) -> Points:
    """Gradient of the distance field at points, by central differences of one voxel."""
    step = moving.grid.spacing_zyx_mm[0]
    parts = []
    for axis in range(3):
        by = np.zeros(3)
        by[axis] = step
        parts.append((sample(moving, points + by) - sample(moving, points - by)) / (2 * step))
    return np.stack(parts, axis=1)
