"""What DICOM objects take over from the headers of their source: patient, study, references.

Only headers are read, never pixels. Patient and study attributes are kept apart from the
references, which are all that highdicom sees: it copies, checks and quotes what it is given.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hoimg.errors import InputRefused
from hoimg.report.dicom_context import derive_uid

if TYPE_CHECKING:
    from pydicom import Dataset

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


@dataclass(frozen=True, eq=False)
class Source:
    """The patient and study that an exam's objects belong to, and when it was made.

    Attributes:
        identity: Patient and study attributes, decoded, as the source has them.
        study_uid: Study Instance UID; the given one where the header has none that is valid.
        series_uid: Series Instance UID, in the same way.
        date: Date of the study, ``YYYYMMDD``.
        time: Time of the study, ``HHMMSS``.
    """

    identity: Dataset
    study_uid: str
    series_uid: str
    date: str
    time: str


def read_header(path: Path, more: Iterable[str]) -> Dataset:
    """The elements of an image's header that objects need.

    Args:
        path: A DICOM file.
        more: Keywords beside patient, study, dates and references.

    Raises:
        InputRefused: it cannot be read, or is no image.
    """
    from pydicom import dcmread

    tags = [*IDENTITY_KEYWORDS, *_REFERENCE_KEYWORDS, *more, *_DATES]
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


def name_instance(header: Dataset, usual_class: str) -> None:
    """Fill in the instance's class and UID where a careless de-identifier has emptied them."""
    from pydicom.uid import UID

    meta = getattr(header, "file_meta", {})
    if not header.get("SOPClassUID"):
        header.SOPClassUID = meta.get("MediaStorageSOPClassUID") or usual_class
    if not UID(str(header.get("SOPInstanceUID") or "")).is_valid:
        named = UID(str(meta.get("MediaStorageSOPInstanceUID") or ""))
        place = str(header.get("ImagePositionPatient"))
        series = str(header.get("SeriesInstanceUID"))
        header.SOPInstanceUID = named if named.is_valid else derive_uid("image", series, place)


def source_of(header: Dataset, study_uid: str, series_uid: str) -> Source:
    """Patient, study and dates of a header.

    Args:
        header: Its instance is named.
        study_uid: Taken where the header has no valid Study Instance UID; derived from the
            instance's where this is none either.
        series_uid: The same for the series.
    """
    study = _uid(header, "StudyInstanceUID", study_uid)
    series = _uid(header, "SeriesInstanceUID", series_uid)
    identity = _identity(header)
    identity.StudyInstanceUID = study
    return Source(identity, study, series, *_moment(header))


def clean(source: Source, header: Dataset, usual_modality: str) -> Dataset:
    """References and blank identity; highdicom insists that the attributes exist."""
    from pydicom import Dataset

    kept = Dataset()
    for keyword in _REFERENCE_KEYWORDS:
        if keyword in header:
            kept.add(header[keyword])
    kept.StudyInstanceUID, kept.SeriesInstanceUID = source.study_uid, source.series_uid
    if not kept.get("Modality"):
        kept.Modality = usual_modality
    for keyword in BLANK_KEYWORDS:
        setattr(kept, keyword, "")
    return kept


def _uid(header: Dataset, keyword: str, given: str) -> str:
    from pydicom.uid import UID

    for text in (str(header.get(keyword) or ""), given):
        if UID(text).is_valid:
            return text
    return derive_uid(keyword, str(header.SOPInstanceUID))


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
