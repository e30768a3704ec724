"""Whether a given mask speaks of the exam at hand; refused by name where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.masks.given import GivenMask, Use
from hoimg.dicom.masks.planes import Piece
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.results import Finding

PROBES_ZYX = (256, 64, 64)
"""Points along each axis of an exam at which the cover of a skeleton is probed, at most."""
SLACK = 1e-3
"""Share of a voxel that a place may lie outside of a grid by rounding."""


def check_frame(given: GivenMask, exam_uid: str | None, use: Use) -> list[Finding]:
    """Positions only mean something in one patient space (frame of reference).

    Two scans of one protocol often have the same grid, so that grids which agree prove nothing:
    another frame is refused. A label map states none; its place is all there is.

    Raises:
        InputRefused: ``mask_other_frame``.
    """
    if given.source == "label map":
        return []
    if given.frame_of_reference_uid is None or exam_uid is None:
        return [
            finding(
                "mask_frame_unknown",
                f"The given {given.source} or the exam states no frame of reference; positions "
                "were taken to be in the same one.",
            )
        ]
    if given.frame_of_reference_uid == exam_uid:
        return []
    raise InputRefused(
        f"--{use}: the {given.source} was made in another frame of reference than the exam "
        "(another scan or another position of the patient); give one made on this exam, or on "
        "another series of the same scan",
        "mask_other_frame",
    )


def check_inside(pieces: Sequence[Piece], grid: Grid, use: Use, most: float) -> None:
    """What is given must lie inside of the exam.

    A skeleton may reach beyond (of a longer scan); a region or a lesion must not, by more than
    the share ``most``, as what is cut off would be missing from the numbers.

    Raises:
        InputRefused: ``mask_elsewhere`` when no voxel lies inside, ``mask_outside`` when too
            many lie outside.
    """
    inside: dict[int, int] = {}
    total: dict[int, int] = {}
    for piece in pieces:
        for label, (held, all_of_it) in _counts(piece, grid, each=use == "mask").items():
            inside[label] = inside.get(label, 0) + held
            total[label] = total.get(label, 0) + all_of_it
    if not sum(inside.values()):
        raise InputRefused(
            f"--{use}: no voxel of it lies inside of the exam; is it from another scan?",
            "mask_elsewhere",
        )
    if use == "skeleton":
        return
    for label, count in total.items():
        share = 1 - inside[label] / count
        if share > most + 1e-9:  # exactly the limit is allowed
            what = f"label {label}" if use == "mask" else "it"
            raise InputRefused(
                f"--{use}: {100 * share:.1f} % of {what} lies outside of the exam; give a mask "
                "of this exam, or cut it to the exam's field of view",
                "mask_outside",
            )


def _counts(piece: Piece, grid: Grid, *, each: bool) -> dict[int, tuple[int, int]]:
    """Label (1 for all together) to (voxels inside of the exam, all voxels)."""
    count, rows, columns = piece.labels.shape
    corners = np.array(
        [(k, r, c) for k in range(count) for r in (0, rows - 1) for c in (0, columns - 1)],
        dtype=float,
    )
    whole = bool(_within(piece.planes.to_lps_mm(corners), grid).all())
    if whole and not each:
        number = int(np.count_nonzero(piece.labels))
        return {1: (number, number)}
    size = int(piece.labels.max()) + 1 if each else 2
    inside, total = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for plane, labels in enumerate(piece.labels):
        index = np.argwhere(labels)
        values = labels[tuple(index.T)] if each else np.ones(len(index), dtype=np.uint8)
        total += np.bincount(values, minlength=size)
        if not whole:
            points = piece.planes.to_lps_mm(np.insert(index, 0, plane, axis=1))
            values = values[_within(points, grid)]
        inside += np.bincount(values, minlength=size)
    return {int(v): (int(inside[v]), int(total[v])) for v in np.flatnonzero(total)}


def _within(
    points_lps_mm: NDArray[np.float64], grid: Grid, slack: float = SLACK
) -> NDArray[np.bool_]:
    """Which points lie inside of the grid's voxels."""
    index = grid.to_index_zyx(points_lps_mm)
    last = np.asarray(grid.size_zyx) - 0.5
    return np.asarray(((index >= -0.5 - slack) & (index <= last + slack)).all(axis=1))


def check_covers(extents: Sequence[Grid], grid: Grid, least: float) -> None:
    """A skeleton must speak of the whole exam: bone that it does not know would be called.

    Voxel centres of the exam count as covered up to half a voxel beyond the mask's own grid.

    Raises:
        InputRefused: ``mask_does_not_cover``, with the share that is covered.
    """
    axes = [
        (np.arange(count) + 0.5) * n / count - 0.5  # each speaks of the same share
        for n, count in zip(grid.size_zyx, map(min, grid.size_zyx, PROBES_ZYX), strict=True)
    ]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid.to_lps_mm(index)
    covered = np.zeros(len(points), dtype=bool)
    for extent in extents:
        covered |= _within(points, extent, slack=0.5 + SLACK)
    share = float(covered.mean())
    if share < least:
        raise InputRefused(
            f"--skeleton: the mask's own field of view covers {_percent(share)} of the exam; "
            "bone outside of it would be called ossification. Give a skeleton of the whole exam",
            "mask_does_not_cover",
        )


def check_planes(skeleton: NDArray[Any], least: float) -> None:
    """A skeleton that stores only what is there must be there in nearly every slice.

    Raises:
        InputRefused: ``mask_does_not_cover``, with the share of slices that hold some of it.
    """
    share = float(skeleton.any(axis=(1, 2)).mean())
    if share < least:
        raise InputRefused(
            f"--skeleton: only {_percent(share)} of the exam's slices hold some of it; bone in "
            "the others would be called ossification. Give a skeleton of the whole exam",
            "mask_does_not_cover",
        )


def check_overlap(one: str, other: str, shared_mm3: float, smaller_mm3: float, most: float) -> None:
    """A voxel belongs to one lesion; two outlines may share only a trace.

    Raises:
        InputRefused: ``mask_overlaps``, naming the pair and the volume.
    """
    if shared_mm3 > most * smaller_mm3 * (1 + 1e-9):  # exactly the limit is allowed
        raise InputRefused(
            f"--mask: lesions {one} and {other} overlap by {shared_mm3:.0f} mm3; give each voxel "
            "to one lesion",
            "mask_overlaps",
        )


def _percent(share: float) -> str:
    """Rounded down, so that what does not cover never reads 100 %."""
    return f"{np.floor(1000 * share) / 10:.1f} %"
