"""The file behind a film: whose it is, which image objects refer to, and how it is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.dicom.film_values import (
    Modality,
    Presentation,
    Voi,
    modality_of,
    presentation_of,
    voi_of,
)
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.report.dicom_header import Source, clean, name_instance, read_header, source_of
from hoimg.results import Exam

if TYPE_CHECKING:
    from pydicom import Dataset

_SHOWN_KEYWORDS = (
    "PhotometricInterpretation",
    "PixelRepresentation",
    "BitsStored",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "PresentationLUTSequence",
    "PatientOrientation",
)
_DIRECTION = re.compile(r"[ALRPHF]{1,3}")


@dataclass(frozen=True, eq=False)
class SourceFilm(Source):
    """The image that a film was read from.

    Attributes:
        image: Clean header: references, no patient.
        frame_number: Of the film in a file of several frames, from 1; None in a file of one.
        modality: How the file's values become those that a window speaks of.
        voi: The window or table that the file wants to be looked at with, if it has one.
        presentation: How they reach the screen.
        orientation: Where its rows and columns lead in the patient; empty where it does not say.
        range: Lowest and highest value of the modality that stored bits can become.
    """

    image: Dataset
    frame_number: int | None
    modality: Modality
    voi: Voi
    presentation: Presentation
    orientation: tuple[str, ...]
    range: tuple[float, float]


def read_film_source(path: Path, exam: Exam) -> SourceFilm:
    """Read the header of a film's file and prove that it is the film of the report.

    Args:
        path: The DICOM file.
        exam: The film in the report.

    Raises:
        InputRefused: ``dicom_source_unreadable``: it is missing or no image;
            ``dicom_source_misaligned``: it is another image, or has another size.
    """
    with quiet_pydicom():
        header = read_header(path, _SHOWN_KEYWORDS)
        try:
            return _source(header, exam)
        except InputRefused:
            raise
        except Exception as error:  # a damaged value raises anything where it is asked for
            raise InputRefused(
                f"{exam.exam_id}: its header holds values that make no sense "
                f"({type(error).__name__})",
                "dicom_source_unreadable",
            ) from None


def grey_frame(film: SourceFilm) -> Dataset:
    """The film's header as one grey frame without any look, as highdicom takes it."""
    from pydicom import Dataset

    header = Dataset()
    header.update(film.image)
    # A film has no place in the patient, though its header may name a frame of reference.
    for keyword in ("NumberOfFrames", "FrameOfReferenceUID", "PositionReferenceIndicator"):
        header.pop(keyword, None)
    header.SamplesPerPixel = 1
    return header


def _source(header: Dataset, exam: Exam) -> SourceFilm:
    from pydicom.uid import UID, DigitalXRayImageStorageForPresentation

    film = exam.film
    assert film is not None
    frames = int(header.get("NumberOfFrames") or 1)
    named = str(header.get("SOPInstanceUID") or "")
    if (
        (int(header.Rows), int(header.Columns)) != (film.rows, film.columns)
        or film.frame >= frames
        or (film.sop_instance_uid is not None and named != film.sop_instance_uid)
    ):
        raise InputRefused(
            f"{exam.exam_id}: its file is another image than the one that was read; keep the "
            "source files in place until the report is written",
            "dicom_source_misaligned",
        )
    name_instance(header, DigitalXRayImageStorageForPresentation)
    if "Storage" not in UID(header.SOPClassUID).name:  # the name of what is in no list is the UID
        raise InputRefused(
            f"{exam.exam_id}: is of a class that is not DICOM's own, which its objects cannot cite",
            "dicom_source_unreadable",
        )
    turned = header.get("PatientOrientation") or ()
    of = source_of(header, exam.study_instance_uid, exam.series_instance_uid)
    modality = modality_of(header)
    bits, signed = int(header.get("BitsStored") or 16), bool(header.get("PixelRepresentation"))
    return SourceFilm(
        of.identity,
        of.study_uid,
        of.series_uid,
        of.date,
        of.time,
        clean(of, header, exam.modality),
        film.frame + 1 if frames > 1 else None,
        modality,
        voi_of(header),
        presentation_of(header),
        tuple(turned) if all(_DIRECTION.fullmatch(str(way)) for way in turned) else (),
        modality.limits(bits, signed),
    )
