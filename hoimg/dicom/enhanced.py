"""Enhanced CT: all slices in one multi-frame file, their places in functional groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoimg.dicom.slices import Geometry, check_geometry
from hoimg.settings import IntakeSettings

MAX_FRAMES = 8192
"""Frames above this are taken for a damaged header."""


@dataclass(frozen=True)
class Frames:
    """What the functional groups say; one entry per frame in stored order.

    Attributes:
        positions_lps_mm: Centre of the first pixel.
        orientations: Six direction cosines.
        slopes: Rescale slope.
        intercepts: Rescale intercept.
        spacing_yx_mm: The one pixel spacing of all frames.
        thickness_mm: Of the first frame.
        kvp: Tube voltage of the first frame, kV.
        kernel: Convolution kernel of the first frame.
    """

    positions_lps_mm: tuple[tuple[float, ...], ...]
    orientations: tuple[tuple[float, ...], ...]
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    spacing_yx_mm: tuple[float, float]
    thickness_mm: float | None
    kvp: float | None
    kernel: str | None

    def geometry(self, rows_columns: tuple[int, int], settings: IntakeSettings) -> Geometry:
        """Order and grid of the frames, checked like single slices."""
        return check_geometry(
            self.positions_lps_mm,
            self.orientations,
            self.spacing_yx_mm,
            rows_columns,
            self.thickness_mm,
            settings,
        )


def read_frames(path: Path) -> Frames | None:
    """Read the functional groups; None when a frame lacks its place, spacing or rescale.

    Raises:
        Exception: whatever the parser raises on a damaged file; callers name the file.
    """
    from pydicom import dcmread

    tags = [
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "NumberOfFrames",
    ]
    ds = dcmread(path, stop_before_pixels=True, specific_tags=tags)
    shared = next(iter(ds.get("SharedFunctionalGroupsSequence") or [None]))
    frames = list(ds.get("PerFrameFunctionalGroupsSequence") or [])
    if not frames or len(frames) != int(ds.get("NumberOfFrames") or 0) or len(frames) > MAX_FRAMES:
        return None

    def every(group: str, tag: str, count: int) -> list[tuple[float, ...]] | None:
        found = []
        for frame in frames:
            value = _macro(frame, shared, group, tag)
            numbers = () if value is None else tuple(float(v) for v in np.atleast_1d(value))
            if len(numbers) != count or not np.isfinite(numbers).all():
                return None
            found.append(numbers)
        return found

    positions = every("PlanePositionSequence", "ImagePositionPatient", 3)
    cosines = every("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacings = every("PixelMeasuresSequence", "PixelSpacing", 2)
    slopes = every("PixelValueTransformationSequence", "RescaleSlope", 1)
    intercepts = every("PixelValueTransformationSequence", "RescaleIntercept", 1)
    if positions is None or cosines is None or spacings is None:
        return None
    if slopes is None or intercepts is None or len(set(spacings)) != 1 or min(spacings[0]) <= 0:
        return None
    thickness = _macro(frames[0], shared, "PixelMeasuresSequence", "SliceThickness")
    kvp = _macro(frames[0], shared, "CTXRayDetailsSequence", "KVP")
    kernel = _macro(frames[0], shared, "CTReconstructionSequence", "ConvolutionKernel")
    return Frames(
        tuple(positions),
        tuple(cosines),
        tuple(s[0] for s in slopes),
        tuple(i[0] for i in intercepts),
        (spacings[0][0], spacings[0][1]),
        float(thickness) if thickness else None,
        float(kvp) if kvp else None,
        str(kernel) if kernel else None,
    )


def _macro(frame: Any, shared: Any, group: str, tag: str) -> Any:
    """A value from a frame's own functional group, else from the one that all frames share."""
    for holder in (frame, shared):
        items = None if holder is None else holder.get(group)
        if items and items[0].get(tag) is not None:
            return items[0].get(tag)
    return None
