"""Headers to groups of images that may be one volume.

A group is one series, split further where one series number holds what cannot be one volume: two
image sizes, units or frames of reference, a localizer among axial slices, reformats in several
planes, two phases at the same places. A split is made only where the headers themselves part the
images into stacks that are each whole. Where they leave a doubt, or two ways to part them, the
images stay together and the geometry check refuses them by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.header import Header
from hoimg.dicom.kinds import (
    ENHANCED,
    LOCALIZER_WORDS,
    NO_VOLUME_WORDS,
    RADIOGRAPHS,
    is_digitised_film,
    is_original,
    kind_of,
)
from hoimg.dicom.people import identity_of
from hoimg.dicom.slices import ORIENTATION_TOLERANCE, direction_of
from hoimg.dicom.spacing import POSITION_ROUNDING_MM

__all__ = [
    "ENHANCED", "LOCALIZER_WORDS", "NO_VOLUME_WORDS", "RADIOGRAPHS", "group_headers",
    "identity_of", "is_digitised_film", "kind_of",
]  # fmt: skip

MAX_PLANES = 16
"""Orientations within one series that are looked at; with more it is a rotation, no stack."""
MIN_STACK = 3
"""Images that make a stack of their own when one series holds several."""
MIN_REFORMAT = 5
"""Images that make a reformatted plane of its own; fewer stay with the others, and are refused."""
STEP_TOLERANCE = 0.02
"""Largest deviation of a step from the median step in a regular stack, as a share."""
ODD_IMAGES = 2
"""So many images across a longer stack are a localizer that the header does not call so."""


def group_headers(headers: Iterable[Header]) -> list[list[Header]]:
    """Split headers into groups of which each may be one volume.

    Args:
        headers: In any order.

    Returns:
        The groups, each sorted by path.
    """
    by_series: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        kind = kind_of(header)
        form = ("", "", "", "")
        if kind == "volume":
            unit = "" if header.rescale_type == "HU" else header.rescale_type
            form = (str(header.rows), str(header.columns), _spacing_key(header), unit)
        series = (identity_of(header), header.study_uid, header.series_uid, header.modality)
        by_series[(*series, kind, *form)].append(header)
    groups: list[list[Header]] = []
    for key, members in by_series.items():
        members.sort(key=lambda h: str(h.path))
        if key[4] == "volume":
            for part in _split_frames(members):
                groups += _split_planes(part)
        else:
            groups.append(members)
    return groups


def _spacing_key(header: Header) -> str:
    if header.spacing_yx_mm is None:
        return "none"
    return "/".join(f"{v:.4f}" for v in header.spacing_yx_mm)


def _split_frames(members: list[Header]) -> list[list[Header]]:
    """Split by frame of reference; positions in two of them cannot be compared."""
    frames = [h.frame_of_reference for h in members]
    # Images that name no frame belong to the one that there is.
    return _parts(members, frames) if len(set(frames) - {""}) > 1 else [members]


def _split_planes(members: list[Header]) -> list[list[Header]]:
    """Split by orientation: single odd images, and the planes of reformats."""
    unplaced = [h for h in members if not (h.position_lps_mm and h.orientation)]
    if unplaced:
        rest = [h for h in members if h.position_lps_mm and h.orientation]
        # A page without a place that is no original goes; an original without one is missed.
        if rest and all(is_original(h) for h in rest) and not any(map(is_original, unplaced)):
            return [*_split_planes(rest), unplaced]
        return [members]
    planes = _planes(members)
    if len(planes) > MAX_PLANES:
        return [members]
    if len(planes) == 1:
        return _split_phases(members)
    if len(planes[0]) >= MIN_REFORMAT and all(len(p) <= ODD_IMAGES for p in planes[1:]):
        return _split_phases(planes[0]) + planes[1:]
    if not _told_apart(planes):
        return [members]
    stacks = [stack for plane in planes for stack in _split_phases(plane)]
    whole = all(len(s) >= MIN_REFORMAT and _is_regular(s) for s in stacks)
    return stacks if whole else [members]


def _planes(members: Sequence[Header]) -> list[list[Header]]:
    """Images by orientation, the largest plane first; stops at one plane too many."""
    planes: list[list[Header]] = []
    for header in members:
        for plane in planes:
            pairs = zip(header.orientation or (), plane[0].orientation or (), strict=True)
            if max(abs(a - b) for a, b in pairs) <= ORIENTATION_TOLERANCE:
                plane.append(header)
                break
        else:
            planes.append([header])
            if len(planes) > MAX_PLANES:
                break
    return sorted(planes, key=len, reverse=True)


def _told_apart(planes: Sequence[Sequence[Header]]) -> bool:
    """Whether the headers say that the planes are different things.

    Reformats may lie in any plane. Originals of two orientations under one series number
    contradict themselves, unless acquisition or image type tell them apart.
    """
    if not any(is_original(h) for plane in planes for h in plane):
        return True
    types = [{h.image_type for h in plane} for plane in planes]
    return all(not a & b for a, b in combinations(types, 2))


def _split_phases(members: list[Header]) -> list[list[Header]]:
    """Split what the headers tell apart (phase, kernel ...) and what lies at the same places.

    Images are parted by one header field, or by two, when each part is then free of doubles and
    the parts lie over the same stretch. Two phases whose slices fall between each other look like
    one stack of half the step, so interleaved regular parts are parted too.
    """
    columns: list[tuple[object, ...]] = [
        *zip(*(h.split_keys for h in members), strict=True),
        tuple(h.image_type for h in members),
        tuple(h.thickness_mm for h in members),
    ]
    # A value for each slice (a time, say) leaves no stacks.
    useful = [c for c in columns if 1 < len(set(c)) <= len(members) // MIN_STACK]
    pairs = [tuple(zip(a, b, strict=True)) for a, b in combinations(useful, 2)]
    for labels in (useful, pairs):
        found: list[list[list[Header]]] = []
        for label in labels:
            parts = _parts(members, label)
            if _is_clean(members, parts) and not any(_same(parts, other) for other in found):
                found.append(parts)
        if len(found) > 1:  # only one of them may make sense
            found = [parts for parts in found if all(map(_is_regular, parts))]
        if found:
            return found[0] if len(found) == 1 else [members]
    return [members]


def _parts(members: Sequence[Header], label: Sequence[object]) -> list[list[Header]]:
    """The images by their label, in order of the labels."""
    parts: dict[str, list[Header]] = defaultdict(list)
    for header, name in zip(members, label, strict=True):
        parts[str(name)].append(header)
    return [parts[name] for name in sorted(parts)]


def _is_clean(members: Sequence[Header], parts: Sequence[Sequence[Header]]) -> bool:
    """Whether a parting makes stacks of what was none, or frees stacks from each other."""
    if any(len(part) < MIN_STACK or _is_doubled(part) for part in parts):
        return False
    return _is_doubled(members) or (all(map(_is_regular, parts)) and _interleaved(parts))


def _same(parts: Sequence[Sequence[Header]], other: Sequence[Sequence[Header]]) -> bool:
    return {frozenset(map(id, p)) for p in parts} == {frozenset(map(id, p)) for p in other}


def _steps(members: Sequence[Header]) -> NDArray[np.float64] | None:
    """Steps between neighbouring slices, mm; copies of one image count once."""
    axes = direction_of(np.asarray(members[0].orientation, dtype=float))
    places = {(h.sop_uid, h.position_lps_mm) for h in members}
    if axes is None or len(places) < 2:
        return None
    along = np.asarray([place for _, place in places], dtype=float) @ axes[:, 2]
    return np.diff(np.sort(along))


def _is_doubled(members: Sequence[Header]) -> bool:
    steps = _steps(members)
    return steps is not None and bool(steps.min() <= POSITION_ROUNDING_MM)


def _is_regular(members: Sequence[Header]) -> bool:
    """Whether all steps are alike, so that nothing is missing and nothing strange between."""
    steps = _steps(members)
    if steps is None or steps.min() <= POSITION_ROUNDING_MM:
        return False
    usual = float(np.median(steps))
    return bool(np.abs(steps - usual).max() <= max(STEP_TOLERANCE * usual, POSITION_ROUNDING_MM))


def _interleaved(parts: Sequence[Sequence[Header]]) -> bool:
    """Whether each part reaches into another one by more than a step."""
    axes = direction_of(np.asarray(parts[0][0].orientation, dtype=float))
    if axes is None:
        return False
    spans = []
    for part in parts:
        along = np.asarray([h.position_lps_mm for h in part], dtype=float) @ axes[:, 2]
        low, high = float(along.min()), float(along.max())
        spans.append((low, high, (high - low) / (len(part) - 1)))
    return all(
        any(
            min(high, other[1]) - max(low, other[0]) > max(step, other[2])
            for other in spans[:k] + spans[k + 1 :]
        )
        for k, (low, high, step) in enumerate(spans)
    )
