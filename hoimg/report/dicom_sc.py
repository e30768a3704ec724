"""The table as a picture (secondary capture), for viewers that do not show structured reports."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.report.dicom_context import RESEARCH_USE, ObjectContext
from hoimg.report.film_view import film_words, spacing_words
from hoimg.report.hip_view import hip_line
from hoimg.results import Lesion, Observation

if TYPE_CHECKING:
    from pydicom import Dataset

FONT_PX = 16
WIDTH_PX = 1400
_MARGIN = 24
_LINE = 24
_COLUMNS: tuple[tuple[str, int], ...] = (
    ("Lesion", 110),
    ("Status", 150),
    ("Volume mm3 (95 % interval)", 270),
    ("Mass HU mm3", 130),
    ("Mean HU", 90),
    ("SD HU", 80),
    ("Median HU", 100),
    ("Diameter mm", 120),
    ("Rim", 70),
    ("Imaging maturity", 200),
)
_FILM_COLUMNS: tuple[tuple[str, int], ...] = (
    ("Lesion", 110),
    ("Status", 150),
    ("Area mm2 (95 % interval)", 240),
    ("Area px", 110),
    ("Length mm (95 % interval)", 240),
    ("Corticated", 110),
    ("Edge ratio", 110),
    ("Density", 90),
    ("Imaging maturity", 200),
)
_NONE = "-"
"""A value that does not exist; never a zero."""


def table_rows(context: ObjectContext) -> list[tuple[list[str], str]]:
    """The table as text: cells and, per lesion, a line of notes (empty when there is none).

    Args:
        context: The exam.

    Returns:
        One entry per lesion that the report speaks of at this exam.
    """
    return [
        (_cells(context, lesion, seen), _note(context, lesion, seen))
        for lesion, seen in context.observations()
    ]


def _cells(context: ObjectContext, lesion: Lesion, seen: Observation) -> list[str]:
    label = lesion.maturity.label if context.maturity_here(lesion) else "see latest exam"
    first = [lesion.lesion_id, seen.status.replace("_", " ")]
    if context.exam.film is not None:
        return [
            *first,
            _with_limits(seen.area_mm2, seen.area_ci95_mm2, 0),
            _text(seen.area_px2, 0),
            _with_limits(seen.length_mm, seen.length_ci95_mm, 1),
            _text(seen.corticated_fraction, 2),
            _text(seen.edge_ratio, 2),
            _text(seen.density_index, 2),
            label,
        ]
    return [
        *first,
        _with_limits(seen.volume_mm3, seen.volume_ci95_mm3, 0),
        _text(seen.mineral_mass_hu_mm3, 0),
        _text(seen.mean_hu, 0),
        _text(seen.sd_hu, 0),
        _text(seen.median_hu, 0),
        _text(seen.max_diameter_mm, 1),
        _text(seen.rim_fraction, 2),
        label,
    ]


def _note(context: ObjectContext, lesion: Lesion, seen: Observation) -> str:
    parts = []
    if context.maturity_here(lesion) and lesion.maturity.reasons:
        parts.append("reasons: " + ", ".join(lesion.maturity.reasons))
    if seen.flags:
        parts.append("flags: " + ", ".join(seen.flags))
    return "; ".join(parts)


def _with_limits(value: float | None, limits: tuple[float, float] | None, digits: int) -> str:
    text = _text(value, digits)
    if limits is not None:
        text += f" ({_text(limits[0], digits)} to {_text(limits[1], digits)})"
    return text


def _text(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def render_table(context: ObjectContext) -> NDArray[np.uint8]:
    """The summary as an 8-bit grey picture, ``(rows, columns)``, black on white.

    Meaning is carried by words alone, so it reads the same for every eye. It holds no
    name, number, date or UID of the patient: those stand in the object's header only, where a
    de-identifier finds them.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows = table_rows(context)
    report, exam = context.report, context.exam
    head = [
        "Heterotopic ossification: imaging measurements",
        f"Exam {exam.exam_id}, day {exam.days_from_baseline} from baseline",
        f"{RESEARCH_USE.upper()}.",
    ]
    columns, none = _COLUMNS, "No heterotopic ossification found at this exam."
    hips: list[str] = []
    if exam.film is not None:
        columns, none = _FILM_COLUMNS, "No region was given on this film: nothing was looked for."
        head.append(f"Film: {film_words(exam.film)}; {spacing_words(exam.film)}")
        hips = [f"Hip: {hip_line(exam, hip)}" for hip in exam.hips]
    wide = (WIDTH_PX - 2 * _MARGIN) // (FONT_PX // 2)
    foot = [part for told in (*hips, report.statement) for part in textwrap.wrap(told, wide)]
    foot += textwrap.wrap(f"{report.software}; configuration {report.config_sha256}", wide)
    notes = [textwrap.wrap(note, wide - 8) for _, note in rows]
    lines = len(head) + 1 + max(len(rows), 1) + sum(map(len, notes)) + 2 + len(foot)
    picture = Image.new("L", (WIDTH_PX, lines * _LINE + 2 * _MARGIN), 255)
    draw = ImageDraw.Draw(picture)
    font: Any = ImageFont.load_default(FONT_PX)
    y = _MARGIN

    def line(texts: list[tuple[int, str, int]], fill: int = 0) -> None:
        nonlocal y
        for x, text, width in texts:
            draw.text((x, y), _fit(draw, text, font, width), font=font, fill=fill)
        y += _LINE

    full = WIDTH_PX - 2 * _MARGIN
    for text in head:
        line([(_MARGIN, text, full)])
    line(_spread([name for name, _ in columns], columns))
    draw.line((_MARGIN, y - 3, WIDTH_PX - _MARGIN, y - 3), fill=0, width=2)
    if not rows:
        line([(_MARGIN, none, full)])
    for (cells, _), wrapped in zip(rows, notes, strict=True):
        line(_spread(cells, columns))
        for text in wrapped:
            line([(_MARGIN + 32, text, full - 32)], fill=64)
    y += _LINE // 2
    draw.line((_MARGIN, y, WIDTH_PX - _MARGIN, y), fill=0, width=1)
    y += _LINE // 2
    for text in foot:
        line([(_MARGIN, text, full)])
    return np.asarray(picture, dtype=np.uint8)


def _spread(cells: list[str], columns: tuple[tuple[str, int], ...]) -> list[tuple[int, str, int]]:
    placed, x = [], _MARGIN
    for cell, (_, width) in zip(cells, columns, strict=True):
        placed.append((x, cell, width - 10))
        x += width
    return placed


def _fit(draw: Any, text: str, font: Any, width: int) -> str:
    """``text``, cut with an ellipsis where it would run into the next column."""
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text + "…"


def build_summary_image(context: ObjectContext) -> Dataset:
    """A Secondary Capture of the exam's table.

    Args:
        context: The exam.

    Returns:
        The dataset, ready to be written.
    """
    from highdicom.sc import SCImage
    from pydicom import Dataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset: Dataset = SCImage(
        pixel_array=render_table(context),
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=context.source.study_uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **context.naming("SC"),
        **context.equipment(),
    )
    # a table has no direction in the patient; highdicom demands one, DICOM takes an empty value
    dataset.PatientOrientation = None
    dataset.Laterality = None  # which side the table speaks of is not known
    dataset.BurnedInAnnotation = "NO"
    dataset.DerivationDescription = "Table of measurements. " + RESEARCH_USE
    items = []
    for image in context.images:
        item = Dataset()
        item.ReferencedSOPClassUID = image.SOPClassUID
        item.ReferencedSOPInstanceUID = image.SOPInstanceUID
        items.append(item)
    series = Dataset()
    series.SeriesInstanceUID = context.source.series_uid
    series.ReferencedInstanceSequence = items
    dataset.ReferencedSeriesSequence = [series]
    dataset.SourceImageSequence = items
    context.place_in_study(dataset, "SC")
    return dataset
