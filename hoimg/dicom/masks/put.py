"""A given mask onto an exam's voxels, by place in millimetres, or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.masks.checks import (
    check_covers,
    check_frame,
    check_inside,
    check_overlap,
    check_planes,
)
from hoimg.dicom.masks.given import GivenMask, Placed, Use
from hoimg.dicom.masks.planes import Piece
from hoimg.dicom.masks.skeleton import choose_bones
from hoimg.errors import InputRefused
from hoimg.geometry import Box, Grid
from hoimg.image import Mask
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

Bool = NDArray[np.bool_]
KEPT = 0.5
"""A region that would keep less of its volume than this on coarser voxels is thinner than they
are, and is put onto every voxel that it covers about as well as any."""
CHANGED = 0.1
"""A change of a lesion's volume by more than this, through resampling, is a finding."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One region, or all together, on a box of the exam's voxels.

    ``grown``: it is thinner than the voxels and was put onto all that it touches.
    """

    label: int
    inside: Bool
    box: Box
    volume_mm3: float
    exact: bool
    grown: bool = False


def put_on(
    given: GivenMask,
    grid: Grid,
    use: Use,
    *,
    frame_of_reference_uid: str | None = None,
    settings: IntakeSettings | None = None,
) -> Placed:
    """Put what a reader gave onto an exam's voxels.

    Voxels that are the exam's own (whatever their order in the file) are taken as they are.
    Otherwise an exam's voxel belongs to a region when its centre does, or, where the mask is
    finer, when more than half of the points looked up in it do.

    Args:
        given: From :func:`hoimg.dicom.masks.read_given`.
        grid: The exam's voxels.
        use: What the mask is for: ``roi``, ``skeleton`` or ``mask``.
        frame_of_reference_uid: The exam's; None when its files state none.
        settings: Section ``intake``; None for the defaults.

    Raises:
        InputRefused: an empty mask (``mask_empty``), one of another patient space
            (``mask_other_frame``), elsewhere (``mask_elsewhere``), partly outside
            (``mask_outside``), a skeleton that does not cover the exam
            (``mask_does_not_cover``), lesions that overlap (``mask_overlaps``).
    """
    settings = settings or IntakeSettings()
    findings = [*given.findings, *check_frame(given, frame_of_reference_uid, use)]
    pieces = given.pieces
    if given.draw is not None:
        pieces, drawn = given.draw(grid)
        findings += drawn
    if use == "skeleton":
        pieces, chosen = choose_bones(given.regions, pieces, closed_names=given.closed_names)
        findings += chosen
    pieces = tuple(p.on_slices_of(grid) for q in pieces if (p := q.cropped()) is not None)
    if not pieces:
        raise InputRefused(
            f"--{use}: the {given.source} is empty; give one with a structure in it", "mask_empty"
        )
    check_inside(pieces, grid, use, settings.mask_outside_max)
    if use == "skeleton" and given.extents:
        check_covers(given.extents, grid, settings.skeleton_cover_min)
    parts = [p for piece in pieces for p in _parts(piece, grid, each=use == "mask")]
    if not any(part.inside.any() for part in parts):  # e.g. voxels of astronomic size
        raise InputRefused(
            f"--{use}: no voxel of the exam has its centre in it; is its header damaged?",
            "mask_elsewhere",
        )
    if use == "mask":
        return _lesions(given, parts, grid, findings, settings)
    joined = np.zeros(grid.size_zyx, dtype=bool)
    for part in parts:
        joined[part.box] |= part.inside
    if use == "skeleton" and not given.extents:
        check_planes(joined, settings.skeleton_planes_min)
    return Placed(Mask(joined, grid), tuple(findings))


def _lesions(
    given: GivenMask,
    parts: Sequence[_Part],
    grid: Grid,
    findings: list[Finding],
    settings: IntakeSettings,
) -> Placed:
    names = {r.label: f"{r.label} ({r.name})" if r.name else str(r.label) for r in given.regions}
    labels = np.zeros(grid.size_zyx, dtype=np.uint16)
    voxels: dict[int, int] = {}
    for part in parts:
        voxels[part.label] = voxels.get(part.label, 0) + int(np.count_nonzero(part.inside))
    grown = {p.label for p in parts if p.grown}
    shared_mm3 = 0.0
    for part in sorted(parts, key=lambda p: not p.grown):  # what is thin keeps its few voxels
        there = labels[part.box]
        if part.grown:
            there[part.inside & (there == 0)] = part.label
            continue
        taken = there[part.inside]
        counts = np.bincount(taken[taken > 0])
        for other in np.flatnonzero(counts):
            if int(other) == part.label or int(other) in grown:
                continue  # contours of one structure in several orientations; see above
            shared = float(counts[other]) * grid.voxel_volume_mm3
            smaller = min(voxels[int(other)], voxels[part.label]) * grid.voxel_volume_mm3
            check_overlap(
                names.get(int(other), str(other)),
                names.get(part.label, str(part.label)),
                shared,
                smaller,
                settings.mask_overlap_max,
            )
            shared_mm3 += shared
        there[part.inside & (there == 0)] = part.label
    for part in parts:
        if not (labels[part.box] == part.label).any():
            lesion = names.get(part.label, str(part.label))
            raise InputRefused(
                f"--mask: lesion {lesion} is smaller than the exam's voxels and shares them "
                "with another; give the mask on the exam's own voxels",
                "mask_too_fine",
            )
    if shared_mm3:
        findings.append(
            finding(
                "mask_overlap_small",
                f"Lesions of the given mask share {shared_mm3:.0f} mm3, which the one with the "
                "lower number keeps.",
            )
        )
    findings += _changes(parts, grid)
    return Placed(
        Mask(labels, grid),
        tuple(findings),
        {p.label: ("outline_resampled",) for p in parts if not p.exact},
        {r.label: r.tracking_uid for r in given.regions if r.tracking_uid},
    )


def _changes(parts: Sequence[_Part], grid: Grid) -> list[Finding]:
    moved = [p for p in parts if not p.exact]
    if not moved:
        return []
    changes = [np.count_nonzero(p.inside) * grid.voxel_volume_mm3 / p.volume_mm3 - 1 for p in moved]
    worst = max(changes, key=abs)
    code = "mask_volume_changed" if abs(worst) > CHANGED else "mask_resampled"
    return [
        finding(
            code,
            f"{len(moved)} lesion outline(s) were resampled onto the exam's voxels; the volume "
            f"of one changed by {100 * worst:+.0f} %, the others by less.",
        )
    ]


def _parts(piece: Piece, grid: Grid, *, each: bool) -> Iterable[_Part]:
    """The regions of a piece on the exam's voxels: one by one, or all as one."""
    if not each:
        yield _part(1, Piece(piece.labels != 0, piece.planes), grid)
        return
    from scipy import ndimage as ndi

    for number, box in enumerate(ndi.find_objects(piece.labels.astype(np.uint16)), start=1):
        if box is not None:
            own = Piece(piece.labels[box] == number, piece.planes.crop(box))
            yield _part(number, own, grid)


def _part(label: int, piece: Piece, grid: Grid) -> _Part:
    box = piece.box_in(grid)
    if box is None:  # only a share that may lie outside is left out; check_inside saw to that
        nowhere = (slice(0, 0), slice(0, 0), slice(0, 0))
        return _Part(label, np.zeros((0, 0, 0), bool), nowhere, piece.volume_mm3, False)
    samples = piece.samples_in(grid)
    exact = piece.coincides(grid)
    grown = False
    if exact or samples == (1, 1, 1):
        inside = piece.at(grid, box)
    else:
        inside, grown = _majority(piece, grid, box, samples)
    if not exact and not inside.any():
        inside, grown = _touched(piece, grid, box), True
    return _Part(label, inside, box, piece.volume_mm3, exact, grown)


def _majority(
    piece: Piece, grid: Grid, box: Box, samples: tuple[int, int, int]
) -> tuple[Bool, bool]:
    """Voxels of which more than half lies inside; of two halves the one with the centre.

    Returns:
        The voxels, and whether the region is too thin for that rule.
    """
    z, y, x = ([(i + 0.5) / n - 0.5 for i in range(n)] for n in samples)
    total = samples[0] * samples[1] * samples[2]
    count = np.zeros([s.stop - s.start for s in box], dtype=np.uint16)
    for dz in z:
        for dy in y:
            for dx in x:
                count += piece.at(grid, box, (dz, dy, dx))
    inside: Bool = 2 * count.astype(np.int32) > total
    if total % 2 == 0:
        inside |= (2 * count == total) & piece.at(grid, box)
    placed = np.count_nonzero(inside) * grid.voxel_volume_mm3
    best = int(count.max())
    if best and placed < KEPT * piece.volume_mm3:
        return 2 * count.astype(np.int32) >= best, True
    return inside, False


def _touched(piece: Piece, grid: Grid, box: Box) -> Bool:
    """Voxels that hold the centre of one of the region's own: nothing given vanishes."""
    inside = np.zeros([s.stop - s.start for s in box], dtype=bool)
    start = np.array([s.start for s in box])
    for points in piece.points_lps_mm():
        index = np.floor(grid.to_index_zyx(points) + 0.5).astype(int) - start
        kept = ((index >= 0) & (index < inside.shape)).all(axis=1)
        inside[tuple(index[kept].T)] = True
    return inside
