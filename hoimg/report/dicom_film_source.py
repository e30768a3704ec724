"""The file behind a film: whose it is, which image objects refer to, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.dicom.film_values import (
    DamagedLut,
    Modality,
    Presentation,
    Voi,
    modality_of,
    presentation_of,
    voi_of,
)
from hoimg.errors import InputRefused
from hoimg.report.dicom_context import unspoken
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
)


@dataclass(frozen=True, eq=False)
class SourceFilm(Source):
    """The image that a film was read from.

    Attributes:
        image: Clean header: references, no patient.
        frame_number: Of the film in a file of several frames, from 1; None in a file of one.
        modality: How the file's values become those that a window speaks of.
        voi: The window or table that the file wants to be looked at with, if it has one.
        presentation: How they reach the screen.
        range: Lowest and highest value of the modality that stored bits can become.
    """

    image: Dataset
    frame_number: int | None
    modality: Modality
    voi: Voi
    presentation: Presentation
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
    from pydicom.uid import DigitalXRayImageStorageForPresentation

    film = exam.film
    assert film is not None
    with unspoken():
        header = read_header(path, _SHOWN_KEYWORDS)
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
        of = source_of(header, exam.study_instance_uid, exam.series_instance_uid)
        try:
            modality, voi, shown = modality_of(header), voi_of(header), presentation_of(header)
        except DamagedLut as error:
            raise InputRefused(
                f"{exam.exam_id}: a look-up table in its header is damaged",
                "dicom_source_unreadable",
            ) from error
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
            voi,
            shown,
            modality.limits(bits, signed),
        )
