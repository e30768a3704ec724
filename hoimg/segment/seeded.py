"""The lesion at one point that a reader gives: always outlined, whatever it may be.

Nothing is asked but what lies around the point. It is outlined from there
(:mod:`hoimg.segment.from_point`); of the ways to do that, and of what the search without help would
outline there, the one is taken that has the point in its middle (:mod:`hoimg.segment.middle`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, overlap
from hoimg.image import CTVolume
from hoimg.results import Finding
from hoimg.segment.draft import Draft
from hoimg.segment.evidence import LEAST_PLATEAU_HU, soft_background
from hoimg.segment.from_point import outlines_at
from hoimg.segment.middle import SeededLesion, middle_part, off_middle
from hoimg.segment.types import Segmentation
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]
Triple = tuple[float, float, float]

FROM_SEED = "from_seed"
COVERED = 0.25
"""What was left out and is covered by this part has become the lesion at the seed."""
SHORT, LEAKED = 0.8, 3.0
"""Volume of what was drawn from a point over that of what the search without help outlines there.
The search goes by mineral and misses what is faint, so that more is no fault in itself."""
CLEARLY, EQUAL = 0.3, 0.1
"""Differences of a point's distance from the middle, in standard deviations of the form. A reader
places it no better than the first, an eighth of a ball's radius; one below the second is none."""
MIDDLE = 1.1
"""In standard deviations: half of a ball's radius from its middle (its radius has sqrt 5)."""
LEAST_LEAK_MM3 = 1000.0
"""What leaked into a bone is larger; a lesion of which less lies to one side was found in part."""


def call_at_points(
    volume: CTVolume,
    segmentation: Segmentation,
    points_lps_mm: Sequence[Triple],
    settings: SegmentSettings,
    *,
    mineral_hu: float,
    working: Working,
    given: Bool | None = None,
    paired_mm: NDArray[np.float32] | None = None,
    suggested: Sequence[tuple[Box, list[Bool]] | None] | None = None,
) -> Segmentation:
    """Call what holds each of a reader's points, besides what is called already.

    Args:
        volume: The exam, HU.
        segmentation: What was found in it.
        points_lps_mm: One in each lesion, LPS mm.
        settings: Section ``segment``.
        mineral_hu: Voxels above this are mineral (in this exam's tube voltage).
        working: The exam's working grid.
        given: A native skeleton on the working grid, or None to find it by marrow and other side.
        paired_mm: Distance to mirrored bone on the working grid, or None.
        suggested: For each point what the search without help would outline there: a box and the
            pieces in it, or None.

    Returns:
        The segmentation with the lesions added; a finding tells of each point without one.
    """
    draft = Draft(volume, segmentation, settings)
    told: list[Finding] = []
    for number, point in enumerate(points_lps_mm):
        index = draft.index_of(point)
        if index is not None and draft.lesions[index]:
            continue
        drawn = outlines_at(
            volume,
            point,
            draft.metal,
            draft.lesions,
            settings,
            mineral_hu=mineral_hu,
            working=working,
            given=given,
            paired_mm=paired_mm,
        )
        likely = None if suggested is None else suggested[number]
        suggestion: SeededLesion | None = None
        if likely is not None and index is not None:
            suggestion = _piece_at(index, *likely, draft)
        if index is None or not (drawn or suggestion):
            told.append(_nothing_there(point, index is None))
            continue
        if drawn and suggestion and _soft_beyond(drawn[0], suggestion, volume):
            drawn = []
        place = np.asarray(draft.grid.to_index_zyx(point), dtype=float)
        found = _meant(drawn, suggestion, place, draft.grid.spacing_zyx_mm)
        covered = np.bincount(draft.excluded[found.box][found.mask])
        for label in np.flatnonzero(covered).tolist():
            region = draft.regions.get(label)
            size = covered[label] * draft.grid.voxel_volume_mm3
            if region is not None and size >= COVERED * region.volume_mm3:
                draft.forget(label)
        draft.add(found.mask, found.mask, found.box, [FROM_SEED])
    return draft.finished(told)


def _piece_at(
    index: tuple[int, int, int], box: Box, parts: Sequence[Bool], draft: Draft
) -> SeededLesion | None:
    """Of the pieces of an outline the one nearest to a point."""
    free = [part & (draft.lesions[box] == 0) for part in parts]
    free = [part for part in free if part.any()]
    if not free:
        return None
    at = np.asarray(index) - [s.start for s in box]
    spacing = np.asarray(draft.grid.spacing_zyx_mm)
    away = [float(np.linalg.norm((np.argwhere(p) - at) * spacing, axis=1).min()) for p in free]
    return SeededLesion(box, free[int(np.argmin(away))])


def _meant(
    drawn: Sequence[SeededLesion],
    suggestion: SeededLesion | None,
    point: NDArray[np.float64],
    spacing_zyx_mm: tuple[float, float, float],
) -> SeededLesion:
    """Of what was drawn from the point and what the search suggests, what the reader meant.

    What is drawn in other ways is taken where it has the point nearer to its middle, a suggestion
    of about the same volume where it has it clearly nearer. A suggestion of much less volume says
    that the drawing leaked, and is taken unless that has the point nearer to its middle; one of
    more, that it stopped short in the part round the point, which is always centred there: then
    only a suggestion that itself runs off to one side is left. What still runs off to one side,
    with no suggestion that agrees, is cut.
    """
    off = [off_middle(one, point, spacing_zyx_mm) for one in drawn]
    best = int(np.argmin([o + EQUAL * (k > 0) for k, o in enumerate(off)])) if drawn else -1
    agreed = False
    if suggestion is not None:
        aside = off_middle(suggestion, point, spacing_zyx_mm)
        if not drawn:
            return suggestion
        ratio = float(drawn[0].mask.sum()) / float(suggestion.mask.sum())
        agreed = SHORT <= ratio <= LEAKED
        if ratio < SHORT:
            taken = aside <= max(MIDDLE, off[best])
        else:
            taken = aside <= off[best] + (-CLEARLY if agreed else EQUAL)
        if taken:
            return suggestion
    found = drawn[best]
    if agreed or off[best] <= MIDDLE:
        return found
    part = middle_part(found, point)
    beyond = float(found.mask.sum() - part.mask.sum()) * float(np.prod(spacing_zyx_mm))
    return part if beyond >= LEAST_LEAK_MM3 else found


def _soft_beyond(drawn: SeededLesion, suggestion: SeededLesion, volume: CTVolume) -> bool:
    """Whether an outline is much larger than a suggestion by soft tissue, not by mineral."""
    if drawn.mask.sum() <= LEAKED * suggestion.mask.sum():
        return False
    hu = volume.hu[drawn.box].astype(np.float32)
    beyond = drawn.mask.copy()
    here, there = overlap(drawn.box, suggestion.box)
    beyond[here] &= ~suggestion.mask[there]
    background = soft_background(hu, ~drawn.mask & (hu > 0) & (hu < 110))
    return float(hu[beyond].mean()) - background < LEAST_PLATEAU_HU


def _nothing_there(point: Triple, outside: bool) -> Finding:
    x, y, z = point
    said = "lies outside of the scan" if outside else "has no mineral around that could be outlined"
    return Finding(
        code="seed_hits_nothing",
        level="warning",
        message=f"--seed {x:g},{y:g},{z:g} {said}.",
        fix="Points are LPS mm: x to the patient's left, y to the back, z to the head; take one "
        "inside the lesion.",
    )
