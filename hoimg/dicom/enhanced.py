"""Enhanced CT: many slices in one multi-frame file, their places in functional groups.

A series may be one file, several that each hold part of the frames (a concatenation, or one file
per pass of the table), and a file may hold several stacks. Frames are taken out of their files
first and put together to stacks afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoimg.dicom.header import Header, clean_text
from hoimg.dicom.slices import ORIENTATION_TOLERANCE, duplicate_positions

MAX_FRAMES = 8192
"""Frames above this are taken for a damaged header."""
MIN_STACK = 3
"""Frames are parted by a tag only where each part has this many: a tag that differs from frame to
frame parts nothing."""

_SPLITS = (
    ("FrameContentSequence", "StackID"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
    ("CTReconstructionSequence", "ConvolutionKernel"),
    ("CTXRayDetailsSequence", "KVP"),
    ("CTImageFrameTypeSequence", "FrameType"),
)
"""What tells stacks apart that share positions, in the order in which it is tried."""
_LEGACY = (
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)
"""Where Legacy Converted files keep what has no functional group of its own."""


@dataclass(frozen=True)
class Frame:
    """One frame; None is absent or unreadable.

    Attributes:
        header: Header of its file.
        number: From 0, in stored order.
        position_lps_mm: Centre of the first pixel.
        orientation: Six direction cosines.
        spacing_yx_mm: Pixel spacing.
        slope: Rescale slope.
        intercept: Rescale intercept.
        rescale_type: E.g. ``HU``; may be empty.
        thickness_mm: Slice thickness.
        kvp: Tube voltage, kV.
        kernel: Convolution kernel.
        tilt_deg: GantryDetectorTilt.
        tube_current_ma: Tube current, mA.
        contrast: Whether contrast agent was given.
        words: Values of FrameType, else of ImageType.
        keys: Values of the tags that stacks are told apart by.
    """

    header: Header
    number: int
    position_lps_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_yx_mm: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    thickness_mm: float | None
    kvp: float | None
    kernel: str | None
    tilt_deg: float | None
    tube_current_ma: float | None
    contrast: bool
    words: frozenset[str]
    keys: tuple[str, ...]

    @property
    def has_rescale(self) -> bool:
        """Whether a linear rescale to HU is stated."""
        return self.slope not in (None, 0.0) and self.intercept is not None


@dataclass(frozen=True)
class Part:
    """Place of a file in a concatenation: its UID, number from 1, and how many there are."""

    concatenation: str
    number: int | None
    total: int | None


def read_frames(header: Header) -> tuple[list[Frame], Part] | None:
    """Read the functional groups of a file.

    Returns:
        Its frames in stored order, and its place in a concatenation; None when the file does not
        describe each of its frames.

    Raises:
        Exception: whatever the parser raises on a damaged file; callers name the file.
    """
    ds = _parse(header.path)
    shared = next(iter(ds.get("SharedFunctionalGroupsSequence") or [None]))
    frames = list(ds.get("PerFrameFunctionalGroupsSequence") or [])
    if not frames or len(frames) != int(ds.get("NumberOfFrames") or 0) or len(frames) > MAX_FRAMES:
        return None
    part = Part(
        str(ds.get("ConcatenationUID") or ""),
        _whole(ds.get("InConcatenationNumber")),
        _whole(ds.get("InConcatenationTotalNumber")),
    )
    return [_frame(header, n, item, shared) for n, item in enumerate(frames)], part


def missing_parts(parts: Sequence[Part]) -> int:
    """How many files of the concatenations are not there."""
    seen: dict[str, set[int]] = defaultdict(set)
    total: dict[str, int] = defaultdict(int)
    for part in parts:
        if part.concatenation and part.number is not None:
            seen[part.concatenation].add(part.number)
            most = max(total[part.concatenation], part.number, part.total or 0)
            total[part.concatenation] = most
    return sum(total[uid] - len(seen[uid]) for uid in seen)


def stacks_of(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames parted into stacks of which each may be one volume.

    Size, pixel spacing and StackID part frames always; other tags where frames lie at one position
    or in different orientations and the tag resolves that. What cannot be parted stays together,
    and the geometry check refuses it by name.
    """
    forms: dict[tuple[Any, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        spacing = frame.spacing_yx_mm and tuple(round(v, 4) for v in frame.spacing_yx_mm)
        forms[frame.header.rows, frame.header.columns, spacing].append(frame)
    stacks: list[list[Frame]] = []
    for form in forms.values():
        by_stack = _parted(form, 0)
        for stack in by_stack if all(len(s) >= MIN_STACK for s in by_stack) else [form]:
            stacks += _resolved(stack)
    return stacks


def _resolved(stack: list[Frame]) -> list[list[Frame]]:
    if _is_one_stack(stack):
        return [stack]
    for key in range(1, len(_SPLITS)):
        parts = _parted(stack, key)
        if len(parts) > 1 and all(len(p) >= MIN_STACK and _is_one_stack(p) for p in parts):
            return parts
    return [stack]


def _parted(frames: Sequence[Frame], key: int) -> list[list[Frame]]:
    parts: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        parts[frame.keys[key]].append(frame)
    return [parts[value] for value in sorted(parts)]


def _is_one_stack(frames: Sequence[Frame]) -> bool:
    """Whether frames have one orientation and no two of them one position."""
    placed = [(f.position_lps_mm, f.orientation) for f in frames]
    positions = [p for p, o in placed if p and o]
    cosines = np.array([o for p, o in placed if p and o])
    if len(positions) < len(frames):
        return True  # nothing can be told; refused for the missing places
    if np.abs(cosines - cosines[0]).max() > ORIENTATION_TOLERANCE:
        return False
    return not duplicate_positions(positions, cosines[0].tolist())


def _parse(path: Path) -> Any:
    from pydicom import dcmread

    tags: list[Any] = [
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "NumberOfFrames",
        "ConcatenationUID",
        "InConcatenationNumber",
        "InConcatenationTotalNumber",
    ]
    return dcmread(path, stop_before_pixels=True, specific_tags=tags)


def _frame(header: Header, number: int, item: Any, shared: Any) -> Frame:
    def value(group: str, tag: str) -> Any:
        return _macro(item, shared, group, tag)

    def numbers(group: str, tag: str, count: int) -> tuple[float, ...] | None:
        return _numbers(value(group, tag), count)

    def number_of(group: str, tag: str) -> float | None:
        found = numbers(group, tag, 1)
        return None if found is None else found[0]

    def text(group: str, tag: str) -> str:
        found = value(group, tag)
        many = [found] if found is None or isinstance(found, str | bytes) else found
        joined = "/".join(str(v) for v in (many if np.iterable(many) else [many]) if v is not None)
        return clean_text(joined)

    spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    slope = number_of("PixelValueTransformationSequence", "RescaleSlope")
    thickness = number_of("PixelMeasuresSequence", "SliceThickness")
    kvp = number_of("CTXRayDetailsSequence", "KVP")
    kind = text("CTImageFrameTypeSequence", "FrameType").upper()
    given = text("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered").upper()
    return Frame(
        header=header,
        number=number,
        position_lps_mm=numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        spacing_yx_mm=spacing if spacing and min(spacing) > 0 else None,
        slope=slope or None,
        intercept=number_of("PixelValueTransformationSequence", "RescaleIntercept"),
        rescale_type=text("PixelValueTransformationSequence", "RescaleType").upper(),
        thickness_mm=thickness if thickness and thickness > 0 else None,
        kvp=kvp if kvp and kvp > 0 else None,
        kernel=text("CTReconstructionSequence", "ConvolutionKernel") or None,
        tilt_deg=number_of("CTAcquisitionDetailsSequence", "GantryDetectorTilt"),
        tube_current_ma=number_of("CTExposureSequence", "XRayTubeCurrentInmA"),
        contrast=header.contrast or given == "YES",
        words=frozenset(kind.split("/")) if kind else frozenset(header.image_type),
        keys=tuple(text(*split) for split in _SPLITS),
    )


def _macro(frame: Any, shared: Any, group: str, tag: str) -> Any:
    """A value from a frame's own functional group, else from the one that all frames share."""
    for name in (group, *_LEGACY):
        for holder in (frame, shared):
            items = None if holder is None else holder.get(name)
            if items and items[0].get(tag) is not None:
                return items[0].get(tag)
    return None


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    try:
        found = () if value is None else tuple(float(v) for v in np.atleast_1d(value))
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and bool(np.isfinite(found).all()) else None


def _whole(value: Any) -> int | None:
    found = _numbers(value, 1)
    return None if found is None else int(found[0])
