"""The source headers behind an exam, and the proof that an array lies where they say.

Only headers are read, never pixels. Of each file a small clean header is kept (references and
geometry) and, once per series, the patient and study attributes that a DICOM object in the same
study has to repeat. Which array plane a file belongs to is decided by its position in the patient,
not by the order of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.report.dicom_context import derive_uid
from hoimg.report.dicom_header import Source, clean, name_instance, read_header, source_of
from hoimg.report.dicom_planes import PLANE_TOLERANCE, Frames, frames_of, inside_grid, on_grid

if TYPE_CHECKING:
    from pydicom import Dataset

_GEOMETRY_KEYWORDS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True, eq=False)
class SourceSeries(Source):
    """The series that an exam was read from.

    Attributes:
        headers: Header per file, single-frame ones in order of the array's z axis.
        frames: Geometry of the frames that the array was made of.
        grid: Grid of the array.
        place_of: For each of ``headers`` the array planes that it reaches, lowest and highest;
            between two planes where slices were moved onto the grid.
        plane_of_frame: For one multi-frame file whose frames are the array's planes, the plane of
            each of its frames, in frame order; else None.
        own_planes: Whether objects have to state the array's planes themselves, because they are
            not those of one file or of single-frame files one by one.
        date: Date of the study, ``YYYYMMDD``.
        time: Time of the study, ``HHMMSS``.
    """

    headers: tuple[Dataset, ...]
    frames: Frames
    grid: Grid
    place_of: tuple[tuple[float, float], ...]
    plane_of_frame: tuple[int, ...] | None
    own_planes: bool

    def plane_images(self, start: int, stop: int) -> tuple[Dataset, ...]:
        """Clean headers of the files that hold the array planes ``start`` to ``stop - 1``.

        Where slices were moved onto the grid, those that the planes were made of. They have
        references and geometry, and no patient: highdicom copies, checks and quotes what it is
        given.
        """
        # from the last slice at or before the first plane to the first at or after the last one
        below = [high for _, high in self.place_of if high <= start + PLANE_TOLERANCE]
        above = [low for low, _ in self.place_of if low >= stop - 1 - PLANE_TOLERANCE]
        first, last = max(below, default=-np.inf), min(above, default=np.inf)
        make = _multiframe_header if self.frames.multiframe else _plane_header
        return tuple(
            make(self, self.headers[number], number)
            for number, (low, high) in enumerate(self.place_of)
            if high >= first and low <= last
        )


def read_source(
    files: Sequence[Path],
    grid: Grid,
    *,
    study_uid: str = "",
    series_uid: str = "",
    resampled: bool = False,
) -> SourceSeries:
    """Read the headers of a series and prove that ``grid`` is the grid of its pixels.

    Args:
        files: The DICOM files of one series, in any order: one per plane, or multi-frame files.
        grid: Grid of the array that was read from them.
        study_uid: Taken where the header has no valid Study Instance UID; derived from the files'
            own UIDs where this is none either.
        series_uid: The same for the series.
        resampled: Whether slices were moved onto the grid (tilt, gaps, uneven steps). Else every
            plane of the grid has to be a slice.

    Returns:
        The series with its files in order of the array's z axis.

    Raises:
        InputRefused: when a file is missing or no image, the files are not of one series, or the
            planes do not lie on the grid (code ``dicom_source_unreadable`` or
            ``dicom_source_misaligned``).
    """
    from pydicom.uid import CTImageStorage

    with quiet_pydicom():
        raw = [read_header(Path(path), _GEOMETRY_KEYWORDS) for path in files]
        _check_one_series(raw, files)
        frames = frames_of(raw, grid, files[0])
        if resampled:
            frames, places = inside_grid(frames, grid, files[0].parent)
        else:
            frames, planes = on_grid(frames, grid, files[0].parent)
            places = planes.astype(float)
        order: list[int] = frames.file_of[np.argsort(places)].tolist()
        if frames.multiframe:
            order = sorted(set(order))
        reach = [places[frames.file_of == i] for i in order]
        whole = len(order) == 1 and len(places) == int(raw[order[0]].get("NumberOfFrames") or 0)
        of_frame: tuple[int, ...] | None = None
        if frames.multiframe and whole and not resampled:
            of_frame = tuple(int(plane) for plane in places)
        headers = tuple(raw[i] for i in order)
        for header in headers:
            name_instance(header, CTImageStorage)
        of = source_of(headers[0], study_uid, series_uid)
        return SourceSeries(
            of.identity,
            of.study_uid,
            of.series_uid,
            of.date,
            of.time,
            headers,
            # files are from here on those that are cited
            replace(frames, file_of=np.searchsorted(order, frames.file_of))
            if frames.multiframe
            else frames,
            grid,
            tuple((float(r.min()), float(r.max())) for r in reach),
            of_frame,
            resampled or (frames.multiframe and of_frame is None),
        )


def _check_one_series(raw: Sequence[Dataset], files: Sequence[Path]) -> None:
    def key(header: Dataset) -> tuple[str, str, int, int]:
        return (
            str(header.get("StudyInstanceUID")),
            str(header.get("SeriesInstanceUID")),
            int(header.Rows),
            int(header.Columns),
        )

    for header, path in zip(raw, files, strict=True):
        if key(header) != key(raw[0]):
            raise InputRefused(
                f"{Path(path).name}: belongs to another series or has another size than the first "
                "source file",
                "dicom_source_misaligned",
            )


def _clean(source: SourceSeries, header: Dataset) -> Dataset:
    kept = clean(source, header, "CT")
    if not kept.get("FrameOfReferenceUID"):
        kept.FrameOfReferenceUID = derive_uid("frame of reference", source.series_uid)
    return kept


def _plane_header(source: SourceSeries, header: Dataset, _number: int) -> Dataset:
    kept, frames = _clean(source, header), source.frames
    kept.ImagePositionPatient = header.ImagePositionPatient
    # the first slice's cosines for all: highdicom demands that they agree to the last digit
    kept.ImageOrientationPatient = _numbers([*frames.row_lps, *frames.column_lps])
    kept.PixelSpacing = _numbers(frames.spacing_yx_mm)
    kept.SliceThickness, kept.SpacingBetweenSlices = _slice_numbers(frames, source.grid)
    return kept


def _multiframe_header(source: SourceSeries, header: Dataset, number: int) -> Dataset:
    from pydicom import Dataset

    kept, frames = _clean(source, header), source.frames.select(source.frames.file_of == number)
    shared, measures, turn = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = _numbers(frames.spacing_yx_mm)
    measures.SliceThickness, measures.SpacingBetweenSlices = _slice_numbers(frames, source.grid)
    turn.ImageOrientationPatient = _numbers([*frames.row_lps, *frames.column_lps])
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    kept.SharedFunctionalGroupsSequence = [shared]
    items = []
    for position in frames.positions_lps_mm:
        item, place = Dataset(), Dataset()
        place.ImagePositionPatient = _numbers(position)
        item.PlanePositionSequence = [place]
        items.append(item)
    kept.PerFrameFunctionalGroupsSequence = items
    kept.NumberOfFrames = len(items)
    return kept


def _slice_numbers(frames: Frames, grid: Grid) -> tuple[Any, Any]:
    step = grid.spacing_zyx_mm[0]
    thickness = frames.thickness_mm if frames.thickness_mm > 0 else step
    pair = _numbers([thickness, step])
    return pair[0], pair[1]


def _numbers(values: Sequence[float] | NDArray[np.float64]) -> list[Any]:
    from pydicom.valuerep import DS

    return [DS(float(value), auto_format=True) for value in values]
