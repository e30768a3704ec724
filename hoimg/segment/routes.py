"""Candidates by several routes: each proposes what may be a lesion, one judge takes the best.

The routes fail in different places and overlap; nothing is decided here. All on the working grid.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import margin_voxels, overlap, widened
from hoimg.memory import give_back_freed_memory
from hoimg.segment.candidates import BRIGHT_HU, GROW_BACK_MM, ROOM_MM, Candidate, faint_mineral
from hoimg.segment.division import OPENED_MM, SURFACE_MM, Division
from hoimg.segment.morphology import (
    close_mm,
    dilate_mm,
    fill_holes,
    label_components,
    open_mm,
    remove_small,
)
from hoimg.segment.parts import basin_parts, joined_parts, lump_parts
from hoimg.segment.shells import Shells
from hoimg.segment.survey import Survey
from hoimg.segment.working import Working
from hoimg.side_threads import side_threads

Bool = NDArray[np.bool_]

FAINT = (1.0, 0.65)
"""Floccules are looked for at the settings' limits, and again at this part of them."""
LEAST_MM3 = 100.0
LARGEST_MM3 = 250_000.0
"""Larger pieces are nets of bone or vessels through the scan, and no one candidate."""
SAME = 0.85
"""Two candidates that share this much (over their union) are one."""


def propose(maps: Survey) -> list[Candidate]:
    """Propose candidates by every route; overlapping ones are all given."""
    working, division, closed = maps.working, maps.division, maps.closed
    spacing, group_mm = working.spacing_zyx_mm, maps.settings.group_mm
    shelled = closed.labels > 0
    near_kept = dilate_mm(division.kept, max(spacing), spacing)
    # What lies on a shell's surface is its blur and its crumbs.
    off_shell = ~dilate_mm(shelled, 2.0, spacing)
    sure = division.kept & ~division.loose
    with side_threads(1) as beside:
        outgrown = beside.submit(_outgrown, maps, off_shell)
        parts = beside.submit(_cut_out, maps, shelled, near_kept)
        floccules = _floccules(maps, sure)
        by_marrow, by_mirror = outgrown.result()
        out = list(_shelled(closed, division, near_kept, spacing))
        for grown in by_marrow:
            out += _pieces(grown, "marrow", near_kept, working)
        out += _pieces(by_mirror, "mirror", near_kept, working)
        standing = by_mirror.copy()
        for grown in by_marrow:
            standing |= grown
        hard = sure | maps.metal | shelled
        for faint in floccules:
            free = remove_small((division.free | faint) & off_shell, 20.0 / working.voxel_mm3)
            grouped = _grouped(free, hard, group_mm, spacing)
            out += _pieces(grouped, "free", near_kept, working)
            # Floccules beside an outgrowth belong to it; or they do not.
            if standing.any():
                every = _grouped(free | standing, hard, group_mm, spacing)
                out += _pieces(every & off_shell, "joined", near_kept, working)
        return _distinct(out + parts.result())


def _outgrown(maps: Survey, off_shell: Bool) -> tuple[list[Bool], Bool]:
    """What stands out from bone: beyond its cortex, by each opening, and off mirrored bone."""
    division, marrow, mirror = maps.division, maps.marrow, maps.mirror
    native = ~marrow.beyond(SURFACE_MM) & marrow.known()
    by_marrow = []
    for radius in OPENED_MM:
        # A lump on a bone whose marrow was not seen comes off only at a wider opening.
        seeds = open_mm(division.marrow_suspects, radius, maps.working.spacing_zyx_mm)
        by_marrow.append(_grown(seeds, maps, native) & off_shell)
    if mirror is not None:
        native |= mirror.distance_mm <= 0.5
    return by_marrow, _grown(division.mirror_suspects, maps, native) & off_shell


def _floccules(maps: Survey, sure: Bool) -> list[Bool]:
    """Faint mineral away from bone and from the blur of what is dense, at each limit."""
    working, division = maps.working, maps.division
    spacing = working.spacing_zyx_mm
    halo = max(2.0, 1.2 * max(spacing))  # partial volume of cortex
    near_bone = dilate_mm(maps.marrow.inside | open_mm(sure, 0.6, spacing), halo, spacing)
    bright = division.free | division.marrow_suspects | division.mirror_suspects
    bright &= working.hu > BRIGHT_HU
    # The blur around a dense body is no floccule, and would bridge two lesions side by side.
    clear = ~(dilate_mm(bright, 3.5, spacing) | near_bone)
    del bright
    barred = near_bone | maps.metal | maps.streaks
    found = faint_mineral(working, maps.body, barred, maps.soft, maps.settings, FAINT)
    return [faint & clear for faint in found]


def _cut_out(maps: Survey, shelled: Bool, near_kept: Bool) -> list[Candidate]:
    """Parts of bone by form, for what looks like a bone's marrow or has no marrow beside it."""
    give_back_freed_memory()  # parting bone takes the most of the whole search
    working, division = maps.working, maps.division
    spacing = working.spacing_zyx_mm
    off: Bool | None = None
    if division.provider == "given":
        known_to_mm = max(maps.settings.given_tolerance_mm, max(spacing))
        off = maps.marrow.distance_mm > known_to_mm
    elif maps.mirror is not None:
        off = maps.mirror.distance_mm > maps.mirror.known_to_mm(maps.settings, spacing)
    basins = basin_parts(maps.parted, shelled, off, working)
    every = [("basin", basins)]
    if off is not None:
        # Where nothing is known to be native, every bone would be lumps of its own length.
        lumps = lump_parts(maps.bone_depth, off, working)
        give_back_freed_memory()
        joined = joined_parts(basins + lumps, off, division.bone, working)
        every += [("lump", lumps), ("parts", list(joined))]
    return [
        Candidate(box, mask, bool(near_kept[box][mask].any()), route=route)
        for route, parts in every
        for box, mask in parts
    ]


def _grouped(mask: Bool, wall: Bool, group_mm: float, spacing: tuple[float, float, float]) -> Bool:
    """Pieces near each other joined, and what they enclose filled, without crossing the wall."""
    joined = close_mm(mask, group_mm / 2, spacing) & ~wall
    return fill_holes(joined) & ~wall


def _grown(seeds: Bool, maps: Survey, native: Bool) -> Bool:
    """Suspects grown back to the native surface that they stand on, and their cores filled."""
    if not seeds.any():
        return seeds
    division = maps.division
    spacing = maps.working.spacing_zyx_mm
    wall = maps.metal | division.solid | division.kept
    reach = division.dense & dilate_mm(seeds, GROW_BACK_MM, spacing) & ~native
    grown = close_mm(seeds | reach, maps.settings.group_mm / 2, spacing)
    # Lesion and native bone together close the envelope of a fused lesion's marrow core.
    hard = (wall & ~grown) | native
    filled = fill_holes(grown | hard) & ~hard
    grown |= filled & dilate_mm(grown, 8.0, spacing)
    return grown & ~native


def _shelled(
    closed: Shells, division: Division, near_kept: Bool, spacing: tuple[float, float, float]
) -> Iterator[Candidate]:
    """Each closed shell with the smaller pieces of free mineral that touch it."""
    from scipy import ndimage as ndi

    shells = closed.labels
    margin = margin_voxels(ROOM_MM, spacing)
    for label, part in enumerate(ndi.find_objects(shells), start=1):
        if part is None:
            continue
        box = widened(part, margin, shells.shape)
        piece = shells[box] == label
        crumbs, count = label_components(division.free[box] & (shells[box] == 0))
        touching = np.unique(crumbs[dilate_mm(piece, max(spacing), spacing)])
        sizes = np.bincount(crumbs.ravel(), minlength=count + 1)
        keep = np.zeros(count + 1, dtype=bool)
        keep[touching] = sizes[touching] < 0.5 * piece.sum()
        keep[0] = False
        mask = fill_holes(piece | keep[crumbs])
        attached = bool(near_kept[box][mask].any())
        yield Candidate(box, mask, attached, shell=True, route="shell")


def _pieces(mask: Bool, route: str, near_kept: Bool, working: Working) -> Iterator[Candidate]:
    from scipy import ndimage as ndi

    spacing = working.spacing_zyx_mm
    labels, count = label_components(mask)
    volume = np.bincount(labels[mask], minlength=count + 1) * working.voxel_mm3
    wanted = (volume >= LEAST_MM3) & (volume <= LARGEST_MM3)
    margin = margin_voxels(ROOM_MM, spacing)
    for label, part in enumerate(ndi.find_objects(labels), start=1):
        if part is None or not wanted[label]:
            continue
        box = widened(part, margin, labels.shape)
        piece = labels[box] == label
        yield Candidate(box, piece, bool(near_kept[box][piece].any()), route=route)


def _distinct(candidates: list[Candidate]) -> list[Candidate]:
    """Without those that repeat an earlier one."""
    out: list[Candidate] = []
    sizes: list[int] = []
    for one in candidates:
        size = one.voxels
        for other, other_size in zip(out, sizes, strict=True):
            if min(size, other_size) < SAME * max(size, other_size):
                continue
            both = shared_voxels(one, other)
            if both >= SAME * (size + other_size - both):
                break
        else:
            out.append(one)
            sizes.append(size)
    return out


def shared_voxels(one: Candidate, other: Candidate) -> int:
    """How many voxels two candidates share."""
    if any(a.stop <= b.start or b.stop <= a.start for a, b in zip(one.box, other.box, strict=True)):
        return 0  # most pairs are far apart
    here, there = overlap(one.box, other.box)
    return int(np.count_nonzero(one.mask[here] & other.mask[there]))
