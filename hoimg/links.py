"""Where each lesion's place lies in every other exam, so that exams can be shown side by side.

Measures never use it: they are made on each exam's own voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hoimg.results import Lesion, Link, Links, Observation

if TYPE_CHECKING:
    from hoimg.analysis import ExamAnalysis
    from hoimg.serial import Registration

NOT_CARRIED = "not_carried"
"""Reason: bone about the lesion could not be placed, or its place is out of view on the way."""


def links_of(
    lesions: Sequence[Lesion],
    analyses: Sequence[ExamAnalysis],
    registrations: Mapping[tuple[str, str], Registration],
) -> dict[str, Links]:
    """Each lesion's links by tracking UID; lesions that no CT shows have none.

    The lesion moves as one stiff body, as it does in matching. Where no verified way leads to an
    exam that shows it too, its centroids are put upon each other; else its place is not known.

    Args:
        lesions: Followed over the exams.
        analyses: The CT exams that were read.
        registrations: By fixed and moving exam.
    """
    from hoimg.serial.matching import clouds, way_between

    views = {a.exam.exam_id: a.volume.grid for a in analyses}
    references = [(lesion, _reference(lesion, views)) for lesion in lesions]
    wanted = {reference.exam_id for _, reference in references if reference is not None}
    shapes = {
        a.exam.exam_id: clouds(a.segmentation.lesions) for a in analyses if a.exam.exam_id in wanted
    }
    ways = {
        (here, there): way_between(here, there, registrations, views)
        for here in wanted
        for there in views
        if there != here
    }
    out = {}
    for lesion, reference in references:
        if reference is None:
            continue
        here = reference.exam_id
        cloud = shapes[here].get(reference.label or 0)
        if cloud is None:
            continue
        points = cloud.points_lps_mm
        seen = {o.exam_id: o for o in lesion.observations}
        to = {}
        for there in views:
            if there == here:
                continue
            way = ways[here, there]
            if way is not None and way.covers(points):
                to[there] = Link(np.asarray(way.motion(points), np.float64), "registration")
            else:
                reason = NOT_CARRIED if way is not None else _why_not(there, here, registrations)
                to[there] = _by_centres(reference, seen.get(there), reason)
        out[lesion.tracking_uid] = Links(here, to)
    return out


def _reference(lesion: Lesion, views: Mapping[str, object]) -> Observation | None:
    shown = [o for o in lesion.observations if o.exam_id in views and o.label is not None]
    named = [o for o in shown if o.exam_id == lesion.maturity.exam_id]
    return next(iter(named or shown[-1:]), None)


def _why_not(
    there: str, here: str, registrations: Mapping[tuple[str, str], Registration]
) -> str | None:
    """Why the registration that should have led there was rejected; either end may be at fault."""
    for exam in (there, here):
        for pair, found in registrations.items():
            if exam in pair and not found.accepted:
                return found.reason
    return None


def _by_centres(here: Observation, there: Observation | None, reason: str | None) -> Link:
    if there is None or here.centroid_lps_mm is None or there.centroid_lps_mm is None:
        return Link(None, None, reason)
    shift = np.eye(4)
    shift[:3, 3] = np.subtract(there.centroid_lps_mm, here.centroid_lps_mm)
    return Link(shift, "centres", reason)
