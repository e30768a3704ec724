"""Contours in millimetres into pixels on an exam's own slices.

A voxel belongs to a structure when its centre lies inside by the even-odd rule, so that contours
within contours are holes, whether they are drawn apart or joined by a keyhole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.masks.planes import JOIN, TIE, Piece, Planes
from hoimg.dicom.masks.polygon import fill
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.results import Finding

Float = NDArray[np.float64]
Contour = Float
"""Points of one closed contour, ``(n, 3)`` LPS mm, the first not repeated."""

SAME_PLANE_MM = 0.05
"""Contours closer than this along their normal lie in one plane (programs print 0.01 mm; no CT has
slices this thin)."""
FLAT_MM = 0.1
"""Points of a contour may lie this far beside its plane, mm, and a tenth of a slice more."""
EVEN = 0.1
"""Steps that differ by less than this share are even."""
MAX_PIXELS = 8192
"""Pixels along one side that a contour may span; more is a damaged file."""
CROSSING_PIXELS = 0.02
"""Share of the smaller of two contours that may lie in the other one before they are neither apart
nor one inside the other."""


@dataclass(frozen=True, eq=False)
class Structure:
    """All closed contours of one structure."""

    label: int
    contours: tuple[Contour, ...]


@dataclass(frozen=True, eq=False)
class _Frame:
    """Axes that contours are drawn in."""

    matrix: Float  # columns: x, y, along; LPS
    spacing_yx_mm: tuple[float, float]
    step_mm: float

    def local(self, points_lps_mm: Float, origin: Float) -> Float:
        """(x, y, along) in mm."""
        out: Float = (points_lps_mm - origin) @ self.matrix
        return out


def draw(
    structures: Sequence[Structure], path: Path, grid: Grid
) -> tuple[tuple[Piece, ...], tuple[Finding, ...]]:
    """Draw structures for an exam.

    Contours in the exam's slices are drawn on its own pixels. Contours in other planes (drawn on a
    sagittal reformat, or on a tilted scan) are drawn on pixels of the exam's finest spacing in
    their own plane, and resampled later.

    A contour stands for the step between the contours of its structure where most steps are that
    one, else for the step of all structures together where most are that one, else for the exam's
    own slice spacing.

    Args:
        structures: Labels and contours, LPS mm.
        path: The file, for messages.
        grid: The exam's voxels.

    Returns:
        A piece per structure and orientation, and what is doubtful about the outlines.

    Raises:
        InputRefused: ``mask_unreadable`` for a contour that does not lie in one plane.
    """
    pieces: list[Piece] = []
    crossing, skipping = 0, 0
    usual = _even_step(
        _levels([c for s in structures for c in s.contours], np.asarray(grid.direction)[:, 2])
    )
    for structure in structures:
        for frame, contours in _by_orientation(structure.contours, grid, path):
            piece, crossed, skips = _draw_one(structure.label, contours, frame, grid, path, usual)
            crossing += crossed
            skipping += skips
            if piece is not None:
                pieces.append(piece)
    notes = []
    if crossing:
        notes.append(
            finding(
                "contours_cross",
                f"{crossing} pair(s) of contours of one structure cross; where they overlap "
                "counts as outside.",
            )
        )
    if skipping:
        notes.append(
            finding(
                "contours_skip_slices",
                f"{skipping} structure(s) have stretches between outlines that hold none; these "
                "were left empty.",
            )
        )
    return tuple(pieces), tuple(notes)


def _by_orientation(
    contours: Sequence[Contour], grid: Grid, path: Path
) -> list[tuple[_Frame, list[Contour]]]:
    """Contours in the exam's slices first, then groups that share a normal."""
    own = _Frame(np.asarray(grid.direction), grid.spacing_zyx_mm[1:], grid.spacing_zyx_mm[0])
    groups: list[tuple[_Frame, list[Contour]]] = [(own, [])]
    for points in contours:
        for frame, members in groups:
            if _flat(points, frame):
                members.append(points)
                break
        else:
            frame = _frame_of(points, grid)
            if not _flat(points, frame):
                raise InputRefused(
                    f"{path}: a contour of the structure set does not lie in one plane; export "
                    "the structures again as planar contours",
                    "mask_unreadable",
                )
            groups.append((frame, [points]))
    return [(frame, members) for frame, members in groups if members]


def _flat(points: Contour, frame: _Frame) -> bool:
    along = points @ frame.matrix[:, 2]
    return float(np.ptp(along)) <= FLAT_MM + 0.1 * frame.step_mm


def _frame_of(points: Contour, grid: Grid) -> _Frame:
    """Axes of a contour's own plane; its normal by Newell's sum, which any polygon has."""
    after = np.roll(points, -1, axis=0)
    normal = np.cross(points - points[0], after - points[0]).sum(axis=0)
    length = float(np.linalg.norm(normal))
    axes = np.asarray(grid.direction)
    normal = axes[:, 2] if length == 0 else normal / length
    if normal[np.abs(normal).argmax()] < 0:
        normal = -normal
    beside = axes[:, int(np.abs(axes.T @ normal).argmin())]
    x = beside - (beside @ normal) * normal
    x /= np.linalg.norm(x)
    finest = min(grid.spacing_zyx_mm)
    # distance between exam voxels along this normal
    steps = np.abs(axes.T @ normal) * grid.spacing_zyx_mm[::-1]
    matrix = np.stack([x, np.cross(normal, x), normal], axis=1)
    return _Frame(matrix, (finest, finest), float(steps.max()))


def _draw_one(
    label: int,
    contours: Sequence[Contour],
    frame: _Frame,
    grid: Grid,
    path: Path,
    usual: float | None,
) -> tuple[Piece | None, int, bool]:
    """One structure's contours of one orientation, pairs that cross, whether slices are skipped."""
    origin = np.asarray(grid.origin_lps_mm)
    flat = [frame.local(points, origin) for points in contours]
    levels = np.array([points[:, 2].mean() for points in flat])
    order = np.argsort(levels, kind="stable")
    along: list[float] = []
    members: list[list[Float]] = []
    for index in order:
        if not along or levels[index] - along[-1] > SAME_PLANE_MM:
            along.append(float(levels[index]))
            members.append([])
        # row and column in pixels of the frame
        members[-1].append(flat[index][:, 1::-1] / frame.spacing_yx_mm)
    every = np.concatenate([p for plane in members for p in plane])
    low = np.floor(every.min(axis=0)).astype(int)
    high = np.ceil(every.max(axis=0)).astype(int) + 1
    rows, columns = (int(n) for n in high - low)
    if max(rows, columns) > MAX_PIXELS:
        raise InputRefused(
            f"{path}: a contour of the structure set spans more than {MAX_PIXELS} pixels; "
            "export the structures again",
            "mask_unreadable",
        )
    slab = _even_step(along) or usual or frame.step_mm
    if len(along) > 1:
        slab = min(slab, max(float(np.diff(along).min()), frame.step_mm))
    dtype = np.uint8 if label < 256 else np.uint16
    labels = np.zeros((len(along), rows, columns), dtype=dtype)
    crossed = 0
    for plane, polygons in enumerate(members):
        # a border through pixel centres is met to rounding only: see TIE
        inside, pairs = _fill_plane([p - low - TIE for p in polygons], rows, columns)
        labels[plane][inside] = label
        crossed += pairs
    place = origin + frame.matrix[:, :2] @ (low[::-1] * frame.spacing_yx_mm[::-1])
    a, b, c = (float(v) for v in place)
    planes = Planes(
        origin_lps_mm=(a, b, c),
        direction=tuple(tuple(float(v) for v in row) for row in frame.matrix),  # type: ignore[arg-type]
        spacing_yx_mm=frame.spacing_yx_mm,
        along_mm=tuple(along),
        slab_mm=slab,
    )
    skips = bool((np.diff(along) > JOIN * slab).any())
    return Piece(labels, planes).cropped(), crossed, skips


def _levels(contours: Sequence[Contour], normal: Float) -> list[float]:
    """Distinct places of contours along a normal, mm."""
    out: list[float] = []
    for level in sorted(float((points @ normal).mean()) for points in contours):
        if not out or level - out[-1] > SAME_PLANE_MM:
            out.append(level)
    return out


def _even_step(levels: Sequence[float]) -> float | None:
    """The step between planes when more than half of at least two steps are the least one."""
    steps = np.diff(levels)
    if len(steps) < 2:
        return None
    even = steps[steps <= (1 + EVEN) * steps.min()]
    return float(even.mean()) if 2 * len(even) > len(steps) else None


def _fill_plane(
    polygons: Sequence[Float], rows: int, columns: int
) -> tuple[NDArray[np.bool_], int]:
    """All contours of one plane by the even-odd rule, and how many pairs cross."""
    low = np.array([np.floor(p.min(axis=0)) for p in polygons])
    high = np.array([np.ceil(p.max(axis=0)) for p in polygons])
    crossed = 0
    for number in range(len(polygons)):
        meets = (low[:number] < high[number]).all(axis=1) & (high[:number] > low[number]).all(
            axis=1
        )
        crossed += sum(_cross(polygons[number], polygons[int(k)]) for k in np.flatnonzero(meets))
    return fill(polygons, rows, columns), crossed


def _cross(one: Float, other: Float) -> bool:
    """Whether two contours are neither apart nor one inside the other."""
    corner = np.floor(np.minimum(one.min(axis=0), other.min(axis=0)))
    rows, columns = (np.ceil(np.maximum(one.max(axis=0), other.max(axis=0))) - corner + 1).astype(
        int
    )
    a, b = (fill([p - corner], int(rows), int(columns)) for p in (one, other))
    smaller = min(int(a.sum()), int(b.sum()))
    shared = int(np.count_nonzero(a & b))
    edge = max(math.ceil(CROSSING_PIXELS * smaller), 1)
    return edge < shared < smaller - edge
