"""The search: every route proposes, one judge takes the best of each place.

Candidates of different routes overlap. The one with the highest score wins its place; what is left
over is listed with the reason why it was not called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, margin_voxels
from hoimg.segment.candidates import Candidate
from hoimg.segment.classifier import Opinion, opinions
from hoimg.segment.exclude import Place, hard_exclusion, likely_reason
from hoimg.segment.features import Features
from hoimg.segment.routes import propose, shared_voxels
from hoimg.segment.survey import Survey
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]
Left = tuple[Bool, Box, str, str]

GROWN_ON_MM = 2.5
"""Coarsest voxels that the classifier was grown on; of coarser ones it knows less."""
POINTED_SCORE = 0.02
"""A candidate with less says nothing of what a reader's point means."""
POINTED_MM = 2.0
"""A point between floccules may lie this far from their candidate."""
LARGE_MM3 = 10_000.0
EXPLAINED = 0.4
"""Of an outgrowth this part at least lies off mirrored bone; of a native bone less."""
SHARED = 0.25
"""Candidates that share this much of the smaller one are for one place."""

CUTS = ("basin", "lump", "parts")
"""Routes that cut bone into parts."""
INSIDE = 0.9
"""A cut of which this much lies in a piece is a part of it."""
HARDLY = 0.5
"""A cut is hardly likelier than the whole where the whole has this part of its score."""


@dataclass(frozen=True, eq=False)
class Found:
    """What the search found.

    Attributes:
        called: Candidates that are called ossification; they do not overlap by much.
        left: Mask, box, reason and numbers of what was not called.
        pointed: For each point of a reader the likeliest candidate that holds it, or None.
    """

    called: list[Candidate]
    left: list[Left]
    pointed: list[Candidate | None]


@dataclass(frozen=True, eq=False)
class _Judged:
    candidate: Candidate
    features: Features
    place: Place
    said: Opinion
    hard: tuple[str, str] | None


def search(
    maps: Survey,
    wanted: Callable[[Candidate], bool] | None = None,
    points_zyx: Sequence[NDArray[np.int64]] = (),
) -> Found:
    """Propose, judge and choose.

    Args:
        maps: The exam's maps.
        wanted: Guided use: whether a candidate lies where the reader points; such ones are called
            whatever they may be, others are not. None: everything is judged.
        points_zyx: A reader's points, voxels of the working grid.
    """
    judged = _judged(maps, propose(maps))
    judged = sorted(_wholes_for_cuts(judged), key=lambda j: -j.said.probability)
    called: list[Candidate] = []
    left: list[Left] = []
    refused: list[_Judged] = []
    for one in judged:
        if wanted is not None and not wanted(one.candidate):
            refused.append(one)
        elif not _apart(one.candidate, called):
            continue
        elif wanted is not None or _is_lesion(one, maps):
            called.append(one.candidate)
        else:
            refused.append(one)
    listed: list[Candidate] = []
    for one in refused:
        if not (_apart(one.candidate, called) and _apart(one.candidate, listed)):
            continue
        listed.append(one.candidate)
        box, mask = one.candidate.box, one.candidate.mask
        if wanted is not None and _is_lesion(one, maps):
            left.append((mask, box, "unassessed", "outside of the region or seeds that were given"))
        else:
            reason, note = one.hard or likely_reason(one.features, one.place, maps.settings)
            left.append((mask, box, reason, f"{note} ({one.said.words()})"))
    margin = margin_voxels(POINTED_MM, maps.working.spacing_zyx_mm)
    return Found(called, left, [_holding(point, judged, margin) for point in points_zyx])


def _holding(
    point_zyx: NDArray[np.int64], judged: list[_Judged], margin: tuple[int, int, int]
) -> Candidate | None:
    """The candidate with the highest score of those that hold a point, or come near to it."""
    for one in judged:
        if one.said.probability < POINTED_SCORE:
            break
        if one.hard is not None:
            continue
        box, mask = one.candidate.box, one.candidate.mask
        at = [int(k) - s.start for k, s in zip(point_zyx, box, strict=True)]
        near = tuple(
            slice(max(k - m, 0), max(k + m + 1, 0)) for k, m in zip(at, margin, strict=True)
        )
        if mask[near].any():
            return one.candidate
    return None


def _judged(maps: Survey, proposed: Sequence[Candidate]) -> list[_Judged]:
    described = [maps.of(candidate) for candidate in proposed]
    return [
        _Judged(candidate, features, place, said, hard_exclusion(features, place, maps.settings))
        for candidate, (features, place, _), said in zip(
            proposed, described, opinions(described), strict=True
        )
    ]


def _wholes_for_cuts(judged: Sequence[_Judged]) -> list[_Judged]:
    """Pieces free of bone as a whole, in place of cuts of them that are hardly likelier.

    Bone is cut into parts to find what stands on it. Of mineral that stands on no bone a cut is a
    part of a lesion at most, and its size would be given as the lesion's.
    """
    wholes = [j for j in judged if j.candidate.route == "free" and not j.place.attached]
    out = []
    for one in judged:
        whole = None
        if one.candidate.route in CUTS and not one.place.attached:
            inside = (w for w in wholes if _holds(w.candidate, one.candidate))
            whole = max(inside, key=lambda w: w.said.probability, default=None)
        if whole is not None and whole.said.probability >= HARDLY * one.said.probability:
            one = replace(whole, said=max(one.said, whole.said, key=lambda o: o.probability))
        out.append(one)
    return out


def _holds(whole: Candidate, part: Candidate) -> bool:
    """Whether one candidate is part of another."""
    return shared_voxels(whole, part) >= INSIDE * part.voxels


def _is_lesion(one: _Judged, maps: Survey) -> bool:
    if one.hard is not None:
        return False
    least = asked_score(one.features, one.place, maps.settings)
    voxel_mm = max(maps.working.spacing_zyx_mm)
    if voxel_mm > GROWN_ON_MM and not one.place.beside_given:
        least = max(least, maps.settings.coarse_score)
        if one.features.inscribed_mm < voxel_mm:
            return False  # no voxel of it is free of partial volume
    return one.said.probability >= least


def asked_score(features: Features, place: Place, settings: SegmentSettings) -> float:
    """The least score from which on a candidate is called, by where it lies.

    Args:
        features: Its features.
        place: Its place.
        settings: Section ``segment``.
    """
    if place.beside_given:  # what a skeleton leaves out needs less to be believed
        return settings.given_score
    least = settings.attached_score if place.attached else settings.least_score
    if place.attached and isnan(place.agreement):
        # Rims and processes of a normal bone have no partner here that would speak for them.
        least = max(least, settings.alone_score)
    doubtful = place.unpaired < EXPLAINED or features.volume_mm3 > LARGE_MM3
    if place.attached and doubtful:  # to call a whole bone a lesion is the worse error
        least = max(least, settings.doubtful_score)
    if place.scan_end_mm <= settings.scan_end_mm:  # only a part of it is seen
        least = max(least, settings.end_score)
    if place.fresh > 0.5:  # what was not there at an earlier date needs less too
        least = settings.new_score
    if place.contrast:  # vessels and organs look like it
        least = max(least, settings.contrast_score)
    return least


def _apart(candidate: Candidate, others: list[Candidate]) -> bool:
    """Whether a candidate shares little with any of some others."""
    return all(
        shared_voxels(candidate, other) < SHARED * min(candidate.voxels, other.voxels)
        for other in others
    )
