"""A reader's last word on what was found: call what was left out, leave out, split or merge.

Works on a finished segmentation, so that how pieces were found and judged plays no part: a point
in a piece of the excluded map makes it a lesion, outlined like any other; a point in a lesion moves
it to the excluded map; points in one lesion, or a plane through it, split it, points in several
make them one. Nothing else changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hoimg.geometry import Triple
from hoimg.image import CTVolume
from hoimg.results import Finding
from hoimg.segment.draft import BY_READER, Draft, Pick
from hoimg.segment.types import Segmentation
from hoimg.settings import SegmentSettings

INCLUDED = "included_by_reader"

Action = Literal["include", "exclude", "split", "cut", "merge"]


@dataclass(frozen=True)
class Asked:
    """One correction.

    Attributes:
        action: What to do.
        point_lps_mm: A point in the piece meant, LPS mm, or within 3 mm of it.
        more_lps_mm: To split: one in each other part. To cut: three of the plane. To merge: one in
            each other lesion.
    """

    action: Action
    point_lps_mm: Triple
    more_lps_mm: tuple[Triple, ...] = ()


@dataclass(frozen=True)
class Overruled:
    """What became of one point.

    Attributes:
        action: What was asked.
        point_lps_mm: LPS mm.
        outcome: ``included``, ``excluded``, ``split``, ``merged`` or ``no_effect``.
        was: What lay there: an exclusion's reason, ``lesion``, ``native_skeleton``, ``nothing`` or
            ``outside_scan``.
        note: The numbers of the exclusion that was overruled.
        volume_mm3: Volume of what lay there, before; None for nothing.
        finding: What the reader must be told where the point had no effect.
    """

    action: Action
    point_lps_mm: Triple
    outcome: Literal["included", "excluded", "split", "merged", "no_effect"]
    was: str
    note: str = ""
    volume_mm3: float | None = None
    finding: Finding | None = None


def overrule(
    volume: CTVolume,
    segmentation: Segmentation,
    asked: Sequence[Asked],
    settings: SegmentSettings | None = None,
    *,
    keep_numbers: bool = False,
) -> tuple[Segmentation, list[Overruled]]:
    """Apply a reader's points, in their order.

    Args:
        volume: The exam, HU.
        segmentation: What was found in it.
        asked: The corrections.
        settings: Section ``segment``; None for the defaults.
        keep_numbers: Leave gaps in the lesions' numbers, which then still name what they named.

    Returns:
        The segmentation after it, its findings extended by one warning for every point without
        effect, and what became of each point. Lesions are numbered anew without gaps when some
        went, unless ``keep_numbers``; of a lesion that was split the largest part keeps its number,
        of merged ones the largest lesion's stays. Labels of the excluded map are kept, and those
        of included pieces are not used again.
    """
    draft = Draft(volume, segmentation, settings or SegmentSettings())
    work = {
        "include": _include,
        "exclude": _exclude,
        "split": _split,
        "cut": _cut,
        "merge": _merge,
    }
    done = [work[one.action](draft, one) for one in asked]
    told = [o.finding for o in done if o.finding is not None]
    return draft.finished(told, keep_numbers=keep_numbers), done


def _include(draft: Draft, asked: Asked) -> Overruled:
    point = asked.point_lps_mm
    lesion, left = draft.pick(draft.lesions, point), draft.pick(draft.excluded, point)
    if left is None or (lesion is not None and lesion.away_mm < left.away_mm):
        return _no_effect(draft, "include", point, lesion, None)
    region = draft.regions[left.label]
    flags = [INCLUDED, f"overruled:{region.reason}"]
    if region.reason == BY_READER:
        draft.restore(left.label, flags)
    else:
        draft.call(left.label, flags)
    return Overruled("include", point, "included", region.reason, region.note, region.volume_mm3)


def _exclude(draft: Draft, asked: Asked) -> Overruled:
    point = asked.point_lps_mm
    lesion, left = draft.pick(draft.lesions, point), draft.pick(draft.excluded, point)
    if lesion is None or (left is not None and left.away_mm < lesion.away_mm):
        return _no_effect(draft, "exclude", point, None, left)
    size = draft.leave(lesion.label)
    return Overruled("exclude", point, "excluded", "lesion", volume_mm3=size)


def _split(draft: Draft, asked: Asked) -> Overruled:
    """Every voxel to the point that it belongs to; all points must lie in one lesion."""
    points = [asked.point_lps_mm, *asked.more_lps_mm]
    picked = [draft.pick(draft.lesions, point) for point in points]
    for point, found in zip(points, picked, strict=True):
        if found is None:
            left = draft.pick(draft.excluded, point)
            return _no_effect(draft, "split", point, None, left)
    label = next(p.label for p in picked if p is not None)
    lesion = draft.pick(draft.lesions, points[0])
    if any(p is not None and p.label != label for p in picked):
        said = "its points lie in different lesions, so that there is nothing to split."
        return _no_effect(draft, "split", points[0], lesion, None, said)
    size = draft.volume_of(draft.lesions, label)
    if not draft.split(label, points):
        said = "two of its points mean one place; take points in the middle of each part."
        return _no_effect(draft, "split", points[0], lesion, None, said)
    return Overruled("split", points[0], "split", "lesion", volume_mm3=size)


def _cut(draft: Draft, asked: Asked) -> Overruled:
    """Every voxel to its side of a plane."""
    point = asked.point_lps_mm
    lesion = draft.pick(draft.lesions, point)
    if lesion is None:
        return _no_effect(draft, "cut", point, None, draft.pick(draft.excluded, point))
    size = draft.volume_of(draft.lesions, lesion.label)
    if not draft.cut(lesion.label, asked.more_lps_mm):
        said = "all of it lies on one side of the cut."
        return _no_effect(draft, "cut", point, lesion, None, said)
    return Overruled("cut", point, "split", "lesion", volume_mm3=size)


def _merge(draft: Draft, asked: Asked) -> Overruled:
    points = [asked.point_lps_mm, *asked.more_lps_mm]
    labels: list[int] = []
    for point in points:
        found = draft.pick(draft.lesions, point)
        if found is None:
            return _no_effect(draft, "merge", point, None, draft.pick(draft.excluded, point))
        labels.append(found.label)
    lesion = draft.pick(draft.lesions, points[0])
    if len(set(labels)) < 2:
        said = "its points lie in one lesion already."
        return _no_effect(draft, "merge", points[0], lesion, None, said)
    size = draft.merge(labels)
    return Overruled("merge", points[0], "merged", "lesion", volume_mm3=size)


def _no_effect(
    draft: Draft,
    action: Action,
    point: Triple,
    lesion: Pick | None,
    left: Pick | None,
    why: str = "a lesion is called there already.",
) -> Overruled:
    was, note, size, code = "nothing", "", None, "edit_hits_nothing"
    x, y, z = point
    said, fix = f"--{action} {x:g},{y:g},{z:g}: ", None
    if lesion is not None:
        was, size, code = "lesion", draft.volume_of(draft.lesions, lesion.label), "edit_no_effect"
        said += why
    elif left is not None:
        region = draft.regions[left.label]
        was, note, size, code = region.reason, region.note, region.volume_mm3, "edit_no_effect"
        said += f"what lies there is left out already ({region.reason})."
    elif (index := draft.index_of(point)) is None:
        was = "outside_scan"
        said += "the point lies outside of the scan."
        fix = "Points are LPS mm: x to the patient's left, y to the back, z to the head."
    elif action == "include" and draft.skeleton[index]:
        was, code = "native_skeleton", "edit_in_skeleton"
        said += "that place is taken for native bone, so that no candidate lies there."
        fix = f"Give the point with --seed {x:g},{y:g},{z:g} to outline what stands out of the bone"
        fix += ", or a skeleton with --skeleton."
    else:
        said += "nothing that could be meant lies within 3 mm. " + draft.nearest(action, point)
        fix = "Take a point inside the piece; 'hoimg explain REPORT excluded' lists one for each."
    told = Finding(code=code, level="warning", message=said.rstrip(), fix=fix)
    return Overruled(action, point, "no_effect", was, note, size, told)
