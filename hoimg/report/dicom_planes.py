"""Where the frames of a source series lie, and the proof that an array lies where they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused
from hoimg.geometry import Grid

if TYPE_CHECKING:
    from pydicom import Dataset

PLANE_TOLERANCE = 0.25
"""Largest distance, in voxels along each axis, between a source plane's corner and the grid's.
Half a voxel would still name the plane without doubt; a quarter leaves room for slice positions
that scatter within the reader's tolerance and none for a flip, a shift or a transposition."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest deviation between direction cosines of the slices of one series (0.06 degrees)."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Geometry of frames of a series that lie in parallel planes.

    Attributes:
        positions_lps_mm: Centre of each frame's first pixel, ``(n, 3)``.
        file_of: For each frame the index of its file.
        number_of: For each frame its number in the file, from 0.
        multiframe: Whether the files are multi-frame.
        row_lps: Direction along a row.
        column_lps: Direction down a column.
        spacing_yx_mm: Pixel spacing.
        thickness_mm: Slice thickness; 0 when unknown.
        size_yx: Rows and columns.
    """

    positions_lps_mm: NDArray[np.float64]
    file_of: NDArray[np.intp]
    number_of: NDArray[np.intp]
    multiframe: bool
    row_lps: NDArray[np.float64]
    column_lps: NDArray[np.float64]
    spacing_yx_mm: tuple[float, float]
    thickness_mm: float
    size_yx: tuple[int, int]

    def select(self, chosen: NDArray[np.bool_]) -> Frames:
        """Only the chosen frames."""
        return Frames(
            self.positions_lps_mm[chosen],
            self.file_of[chosen],
            self.number_of[chosen],
            self.multiframe,
            self.row_lps,
            self.column_lps,
            self.spacing_yx_mm,
            self.thickness_mm,
            self.size_yx,
        )


def frames_of(raw: Sequence[Dataset], grid: Grid, first: Path) -> Frames:
    """Geometry of all frames of a series; of multi-frame files those parallel to the grid.

    Args:
        raw: Header per file.
        grid: Grid of the array read from them.
        first: The first file, for messages.

    Raises:
        InputRefused: when geometry is missing or single-frame slices differ in orientation.
    """
    multiframe = "PerFrameFunctionalGroupsSequence" in raw[0]
    places: list[Any] = []
    turns: list[Any] = []
    files: list[int] = []
    try:
        if multiframe:
            for number, header in enumerate(raw):
                found = [_frame_groups(header, f) for f in header.PerFrameFunctionalGroupsSequence]
                places += [place for place, _, _ in found]
                turns += [turn for _, turn, _ in found]
                files += [number] * len(found)
            measures = _frame_groups(raw[0], raw[0].PerFrameFunctionalGroupsSequence[0])[2]
        else:
            places = [header.ImagePositionPatient for header in raw]
            turns = [header.ImageOrientationPatient for header in raw]
            files = list(range(len(raw)))
            measures = raw[0]
        directions = np.array([[float(v) for v in o] for o in turns])
        spacing = [float(v) for v in measures.PixelSpacing]
        positions = np.array([[float(v) for v in p] for p in places])
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputRefused(
            f"{first.name}: position, orientation or pixel spacing is missing from its header",
            "dicom_source_unreadable",
        ) from error
    parallel = np.ones(len(positions), bool)
    if multiframe:
        axes = np.asarray(grid.direction)
        own = np.concatenate([axes[:, 0], axes[:, 1]])
        parallel = np.abs(directions - own).max(axis=1) <= 2 * ORIENTATION_TOLERANCE
        parallel = parallel if parallel.any() else np.ones(len(positions), bool)
    start = directions[np.flatnonzero(parallel)[0]]
    if np.abs(directions[parallel] - start).max() > 2 * ORIENTATION_TOLERANCE:
        raise InputRefused(
            f"{first.parent.name}: the slices of the series have different orientations",
            "dicom_source_misaligned",
        )
    thickness = measures.get("SliceThickness")
    counts = np.bincount(files, minlength=len(raw))
    numbers = np.concatenate([np.arange(count) for count in counts])
    return Frames(
        positions,
        np.asarray(files, np.intp),
        numbers.astype(np.intp),
        multiframe,
        start[:3],
        start[3:],
        (spacing[0], spacing[1]),
        float(thickness) if thickness else 0.0,
        (int(raw[0].Rows), int(raw[0].Columns)),
    ).select(parallel)


def _frame_groups(header: Dataset, frame: Dataset) -> tuple[Any, Any, Dataset]:
    shared = header.SharedFunctionalGroupsSequence[0]

    def group(name: str) -> Dataset:
        item: Dataset = (frame if name in frame else shared)[name].value[0]
        return item

    place = group("PlanePositionSequence").ImagePositionPatient
    turn = group("PlaneOrientationSequence").ImageOrientationPatient
    return place, turn, group("PixelMeasuresSequence")


def on_grid(frames: Frames, grid: Grid, folder: Path) -> tuple[Frames, NDArray[np.intp]]:
    """Frames that fill the grid's planes one by one, and the array plane of each.

    Three corners of every frame are compared with the grid: two edges and not the diagonal alone,
    as a transposed square image has the same diagonal. Of multi-frame files frames of other stacks
    are left out.

    Raises:
        InputRefused: when frames do not lie on the planes, or a plane has no frame.
    """
    rows, columns = frames.size_yx
    planes = np.rint(grid.to_index_zyx(frames.positions_lps_mm)[:, 0])
    gaps = np.max(
        [
            np.abs(there - np.column_stack([planes, 0 * planes + y, 0 * planes + x]))
            for there, y, x in _corners(frames, grid)
        ],
        axis=(0, 2),
    )
    fits = (gaps <= PLANE_TOLERANCE) & (planes >= 0) & (planes < grid.size_zyx[0])
    if frames.multiframe and fits.any():
        _, firsts = np.unique(planes[fits], return_index=True)
        kept = np.zeros(len(planes), bool)
        kept[np.flatnonzero(fits)[np.sort(firsts)]] = True
        if kept.sum() == grid.size_zyx[0]:
            frames, planes, gaps = frames.select(kept), planes[kept], gaps[kept]
    same_size = (rows, columns) == grid.size_zyx[1:]
    complete = np.array_equal(np.sort(planes), np.arange(grid.size_zyx[0]))
    if not same_size or not complete or gaps.max() > PLANE_TOLERANCE:
        raise _misaligned(frames, grid, folder, float(gaps.max()))
    return frames, planes.astype(np.intp)


def inside_grid(frames: Frames, grid: Grid, folder: Path) -> tuple[Frames, NDArray[np.float64]]:
    """Frames that were moved onto the grid, and the place of each along its z axis, in planes.

    The proof is weaker than :func:`on_grid`: planes and pixels are parallel and as large as the
    grid's, every frame lies wholly inside of it, and the first and last of them on its ends.

    Raises:
        InputRefused: when one of this does not hold.
    """
    corners = [there for there, _, _ in _corners(frames, grid)]
    last = np.asarray(grid.size_zyx) - 1
    limit = 0.5 + PLANE_TOLERANCE
    outside = np.max([np.maximum(-there, there - last).max(axis=1) for there in corners], axis=0)
    if frames.multiframe and (outside <= limit).any():
        inside = outside <= limit
        frames, outside = frames.select(inside), outside[inside]
        corners = [there[inside] for there in corners]
    turned = max(float(np.ptp([there[:, 0] for there in corners], axis=0).max()), 0.0)
    spacing = np.abs(np.subtract(frames.spacing_yx_mm, grid.spacing_zyx_mm[1:])).max()
    along = corners[0][:, 0]
    ends = max(abs(float(along.min())), abs(float(along.max() - last[0])))
    if outside.max() > limit or max(turned, ends) > PLANE_TOLERANCE or spacing > 1e-4:
        raise _misaligned(frames, grid, folder, float(max(outside.max(), turned, ends)))
    return frames, along


def _corners(frames: Frames, grid: Grid) -> list[tuple[NDArray[np.float64], int, int]]:
    """Indices in the grid of each frame's first pixel and the ends of its first row and column."""
    rows, columns = frames.size_yx
    across = frames.row_lps * frames.spacing_yx_mm[1] * (columns - 1)
    down = frames.column_lps * frames.spacing_yx_mm[0] * (rows - 1)
    return [
        (grid.to_index_zyx(frames.positions_lps_mm + shift), y, x)
        for shift, y, x in ((0 * across, 0, 0), (across, 0, columns - 1), (down, rows - 1, 0))
    ]


def _misaligned(frames: Frames, grid: Grid, folder: Path, off: float) -> InputRefused:
    rows, columns = frames.size_yx
    return InputRefused(
        f"{folder.name}: the label map's grid is not that of the source images "
        f"({len(frames.positions_lps_mm)} planes of {rows}x{columns} against {grid.size_zyx}, up "
        f"to {off:.2f} voxels apart); write DICOM objects for the exam as it was read",
        "dicom_source_misaligned",
    )
