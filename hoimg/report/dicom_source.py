"""The source headers behind an exam, and the proof that an array lies where they say.

Only headers are read, never pixels. Of each file a small clean header is kept (references and
geometry) and, once per series, the patient and study attributes that a DICOM object in the same
study has to repeat. Which array plane a file belongs to is decided by its position in the patient,
not by the order of the list.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.report.dicom_context import derive_uid, unspoken

if TYPE_CHECKING:
    from pydicom import Dataset

PLANE_TOLERANCE = 0.25
"""Largest distance, in voxels along each axis, between a source plane's corner and the grid's.
Half a voxel would still name the plane without doubt; a quarter leaves room for slice positions
that scatter within the reader's tolerance and none for a flip, a shift or a transposition."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest deviation between direction cosines of the slices of one series (0.06 degrees)."""

UNKNOWN_DATE = "19000101"
"""Written where a date is mandatory and the source headers have none."""

IDENTITY_KEYWORDS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Patient and study attributes that are repeated as the source headers have them, and no others."""

BLANK_KEYWORDS = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
)
"""What highdicom wants to find in a source header; blank until the finished object gets its own."""

_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_REFERENCE_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_GEOMETRY_KEYWORDS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True, eq=False)
class Frames:
    """Geometry of all frames of a series: ``(n, 3)`` positions and what they share."""

    positions_lps_mm: NDArray[np.float64]
    row_lps: NDArray[np.float64]
    column_lps: NDArray[np.float64]
    spacing_yx_mm: tuple[float, float]
    thickness_mm: float
    size_yx: tuple[int, int]


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """The series that an exam was read from.

    Attributes:
        identity: Patient and study attributes, decoded, as the source has them.
        study_uid: Study Instance UID; the given one where the header has none that is valid.
        series_uid: Series Instance UID, in the same way.
        headers: Header per file: in order of the array's z axis, or the one multi-frame file.
        frames: Geometry of all frames.
        grid: Grid of the array.
        plane_of_frame: For a multi-frame file the array plane of each of its frames, in frame
            order; None for single-frame files.
        date: Date of the study, ``YYYYMMDD``.
        time: Time of the study, ``HHMMSS``.
    """

    identity: Dataset
    study_uid: str
    series_uid: str
    headers: tuple[Dataset, ...]
    frames: Frames
    grid: Grid
    plane_of_frame: tuple[int, ...] | None
    date: str
    time: str

    def plane_images(self, start: int, stop: int) -> tuple[Dataset, ...]:
        """Clean headers of the files that hold the array planes ``start`` to ``stop - 1``.

        They have references and geometry, and no patient: highdicom copies, checks and quotes what
        it is given.
        """
        if self.plane_of_frame is not None:
            return (_multiframe_header(self),)
        return tuple(_plane_header(self, header) for header in self.headers[start:stop])


def read_source(
    files: Sequence[Path], grid: Grid, *, study_uid: str = "", series_uid: str = ""
) -> SourceSeries:
    """Read the headers of a series and prove that ``grid`` is the grid of its pixels.

    Args:
        files: The DICOM files of one series, in any order: one per plane, or one multi-frame file.
        grid: Grid of the array that was read from them.
        study_uid: Taken where the header has no valid Study Instance UID; derived from the files'
            own UIDs where this is none either.
        series_uid: The same for the series.

    Returns:
        The series with its files in order of the array's z axis.

    Raises:
        InputRefused: when a file is missing or no image, the files are not of one series, or the
            planes do not lie on the grid (code ``dicom_source_unreadable`` or
            ``dicom_source_misaligned``).
    """
    with unspoken():
        raw = [_read_header(Path(path)) for path in files]
        _check_one_series(raw, files)
        frames = _frames_of(raw, files[0])
        planes = _planes_on_grid(frames, grid, files[0].parent)
        order: list[int] = np.argsort(planes).tolist()
        of_frame: tuple[int, ...] | None = None
        if "PerFrameFunctionalGroupsSequence" in raw[0]:
            order, of_frame = [0], tuple(int(plane) for plane in planes)
        headers = tuple(raw[i] for i in order)
        for header in headers:
            _name_instance(header)
        study = _uid(headers[0], "StudyInstanceUID", study_uid)
        series = _uid(headers[0], "SeriesInstanceUID", series_uid)
        identity = _identity(headers[0])
        identity.StudyInstanceUID = study
        return SourceSeries(
            identity, study, series, headers, frames, grid, of_frame, *_moment(headers[0])
        )


def _read_header(path: Path) -> Dataset:
    from pydicom import dcmread

    tags = [*IDENTITY_KEYWORDS, *_REFERENCE_KEYWORDS, *_GEOMETRY_KEYWORDS, *_DATES]
    wanted: list[Any] = ["SpecificCharacterSet", *dict.fromkeys(tags)]
    try:
        header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=wanted)
    except Exception as error:
        # a damaged header fails in as many ways as it has fields: one refusal for all of them,
        # and without the error's own text, which may quote the patient
        raise InputRefused(
            f"{path.name}: its header cannot be read any more ({type(error).__name__}); "
            "keep the source files in place until the report is written",
            "dicom_source_unreadable",
        ) from None
    missing = [keyword for keyword in ("Rows", "Columns") if not header.get(keyword)]
    if missing:
        raise InputRefused(
            f"{path.name}: is no DICOM image ({', '.join(missing)} missing)",
            "dicom_source_unreadable",
        )
    return header


def _name_instance(header: Dataset) -> None:
    """Fill in the instance's class and UID where a careless de-identifier has emptied them."""
    from pydicom.uid import UID, CTImageStorage

    meta = getattr(header, "file_meta", {})
    if not header.get("SOPClassUID"):
        header.SOPClassUID = meta.get("MediaStorageSOPClassUID") or CTImageStorage
    if not UID(str(header.get("SOPInstanceUID") or "")).is_valid:
        named = UID(str(meta.get("MediaStorageSOPInstanceUID") or ""))
        place = str(header.get("ImagePositionPatient"))
        series = str(header.get("SeriesInstanceUID"))
        header.SOPInstanceUID = named if named.is_valid else derive_uid("image", series, place)


def _uid(header: Dataset, keyword: str, given: str) -> str:
    from pydicom.uid import UID

    for text in (str(header.get(keyword) or ""), given):
        if UID(text).is_valid:
            return text
    return derive_uid(keyword, str(header.SOPInstanceUID))


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


def _frames_of(raw: Sequence[Dataset], first: Path) -> Frames:
    try:
        if "PerFrameFunctionalGroupsSequence" in raw[0]:
            places, measures, orientations = _functional_groups(raw[0])
        else:
            places = [header.ImagePositionPatient for header in raw]
            orientations = [header.ImageOrientationPatient for header in raw]
            measures = raw[0]
        directions = np.array([[float(v) for v in o] for o in orientations])
        spacing = [float(v) for v in measures.PixelSpacing]
        positions = np.array([[float(v) for v in p] for p in places])
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputRefused(
            f"{first.name}: position, orientation or pixel spacing is missing from its header",
            "dicom_source_unreadable",
        ) from error
    if np.abs(directions - directions[0]).max() > ORIENTATION_TOLERANCE:
        raise InputRefused(
            f"{first.parent.name}: the slices of the series have different orientations",
            "dicom_source_misaligned",
        )
    thickness = measures.get("SliceThickness")
    return Frames(
        positions,
        directions[0, :3],
        directions[0, 3:],
        (spacing[0], spacing[1]),
        float(thickness) if thickness else 0.0,
        (int(raw[0].Rows), int(raw[0].Columns)),
    )


def _functional_groups(header: Dataset) -> tuple[list[Any], Dataset, list[Any]]:
    shared = header.SharedFunctionalGroupsSequence[0]
    frames = header.PerFrameFunctionalGroupsSequence

    def group(frame: Dataset, name: str) -> Dataset:
        item: Dataset = (frame if name in frame else shared)[name].value[0]
        return item

    places = [group(f, "PlanePositionSequence").ImagePositionPatient for f in frames]
    turns = [group(f, "PlaneOrientationSequence").ImageOrientationPatient for f in frames]
    return places, group(frames[0], "PixelMeasuresSequence"), turns


def _planes_on_grid(frames: Frames, grid: Grid, folder: Path) -> NDArray[np.intp]:
    """Array plane of each frame, after checking three corners of every frame against the grid."""
    rows, columns = frames.size_yx
    across = frames.row_lps * frames.spacing_yx_mm[1] * (columns - 1)
    down = frames.column_lps * frames.spacing_yx_mm[0] * (rows - 1)
    start = grid.to_index_zyx(frames.positions_lps_mm)
    planes = np.rint(start[:, 0])
    # two edges and not the diagonal alone: a transposed square image has the same diagonal
    gaps = []
    for shift, y, x in ((0 * across, 0, 0), (across, 0, columns - 1), (down, rows - 1, 0)):
        there = grid.to_index_zyx(frames.positions_lps_mm + shift)
        expected = np.column_stack([planes, np.full(planes.size, y), np.full(planes.size, x)])
        gaps.append(np.abs(there - expected).max())
    same_size = (rows, columns) == grid.size_zyx[1:]
    complete = np.array_equal(np.sort(planes), np.arange(grid.size_zyx[0]))
    if not same_size or not complete or max(gaps) > PLANE_TOLERANCE:
        raise InputRefused(
            f"{folder.name}: the label map's grid is not that of the source images "
            f"({planes.size} planes of {rows}x{columns} against {grid.size_zyx}, up to "
            f"{max(gaps):.2f} voxels apart); write DICOM objects for the exam as it was read",
            "dicom_source_misaligned",
        )
    return planes.astype(np.intp)


def _identity(header: Dataset) -> Dataset:
    from pydicom import Dataset

    kept = Dataset()
    header.decode()
    for keyword in IDENTITY_KEYWORDS:
        if keyword in header:
            kept.add(header[keyword])
    return kept


def _moment(header: Dataset) -> tuple[str, str]:
    date = UNKNOWN_DATE
    for keyword in _DATES:
        text = str(header.get(keyword) or "").strip()
        if re.fullmatch(r"\d{8}", text):
            try:
                dt.datetime.strptime(text, "%Y%m%d")
            except ValueError:
                continue
            date = text
            break
    time = str(header.get("StudyTime") or "").strip()
    valid = re.fullmatch(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)(\.\d{1,6})?", time)
    return date, time[:6] if valid else "000000"


def _clean(source: SourceSeries, header: Dataset) -> Dataset:
    """References and blank identity; highdicom insists that the attributes exist."""
    from pydicom import Dataset

    kept = Dataset()
    for keyword in _REFERENCE_KEYWORDS:
        if keyword in header:
            kept.add(header[keyword])
    kept.StudyInstanceUID, kept.SeriesInstanceUID = source.study_uid, source.series_uid
    if not kept.get("FrameOfReferenceUID"):
        kept.FrameOfReferenceUID = derive_uid("frame of reference", source.series_uid)
    if not kept.get("Modality"):
        kept.Modality = "CT"
    for keyword in BLANK_KEYWORDS:
        setattr(kept, keyword, "")
    return kept


def _plane_header(source: SourceSeries, header: Dataset) -> Dataset:
    kept, frames = _clean(source, header), source.frames
    kept.ImagePositionPatient = header.ImagePositionPatient
    # the first slice's cosines for all: highdicom demands that they agree to the last digit
    kept.ImageOrientationPatient = _numbers([*frames.row_lps, *frames.column_lps])
    kept.PixelSpacing = _numbers(frames.spacing_yx_mm)
    kept.SliceThickness, kept.SpacingBetweenSlices = _slice_numbers(frames, source.grid)
    return kept


def _multiframe_header(source: SourceSeries) -> Dataset:
    from pydicom import Dataset

    kept, frames = _clean(source, source.headers[0]), source.frames
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
    return kept


def _slice_numbers(frames: Frames, grid: Grid) -> tuple[Any, Any]:
    step = grid.spacing_zyx_mm[0]
    thickness = frames.thickness_mm if frames.thickness_mm > 0 else step
    pair = _numbers([thickness, step])
    return pair[0], pair[1]


def _numbers(values: Sequence[float] | NDArray[np.float64]) -> list[Any]:
    from pydicom.valuerep import DS

    return [DS(float(value), auto_format=True) for value in values]
