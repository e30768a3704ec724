"""A film's outlines for any viewer: a Grayscale Softcopy Presentation State that draws them.

It changes nothing of how the film is looked at. A presentation state replaces the image's own
transformations, and what it does not state is taken as none (PS3.4 N.2.1), so that the file's
rescale or table, its window or table and its polarity are all repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.film_values import Lut
from hoimg.report import dicom_codes as codes
from hoimg.report.dicom_context import RESEARCH_USE, ObjectContext
from hoimg.report.dicom_film_source import SourceFilm, grey_frame
from hoimg.report.film_polygons import MOST_POINTS, pieces_of
from hoimg.report.hip_view import gap_words
from hoimg.results import FilmImages

if TYPE_CHECKING:
    from pydicom import Dataset

OUTLINES, HIPS = "HO_OUTLINES", "HO_HIPS"
OUTLINE_RGB, HIP_RGB = (255, 210, 62), (255, 255, 255)
"""As on the page."""


def build_presentation_state(
    context: ObjectContext,
    film: SourceFilm,
    images: FilmImages,
    outlines: Mapping[int, NDArray[np.bool_]],
) -> Dataset:
    """A presentation state that draws each lesion's outline with its name, and each hip's gap.

    Args:
        context: The film; its source is ``film``.
        film: How the file wants to be looked at.
        images: The film's pixels; they make the window where the file has none.
        outlines: By label, at least one.

    Returns:
        The dataset, ready to be written. Outlines are closed lines, one for each piece, with the
        lesion's tracking UID. A hip's gap is an open line, its femoral head a cross of the head's
        width: closed graphics are lesions and nothing else, so that they can be read back.
    """
    from highdicom import ModalityLUTTransformation, PresentationLUTTransformation
    from highdicom.color import CIELabColor
    from highdicom.pr import (
        GraphicAnnotation,
        GraphicLayer,
        GrayscaleSoftcopyPresentationState,
        SoftcopyVOILUTTransformation,
    )

    header = grey_frame(film)
    layers: list[Any] = []
    annotations: list[Any] = []
    drawn = (
        (OUTLINES, "Lesions, by hoimg", OUTLINE_RGB, *_lesions(context, outlines)),
        (HIPS, "Hips: gap and head, by hoimg", HIP_RGB, *_hips(context)),
    )
    for name, told, colour, graphics, texts in drawn:
        if not graphics:
            continue
        layer = GraphicLayer(name, len(layers) + 1, told, CIELabColor.from_rgb(*colour))
        layer.GraphicLayerRecommendedDisplayGrayscaleValue = 65535
        annotation = GraphicAnnotation(
            [header], layer, graphic_objects=graphics, text_objects=texts or None
        )
        if film.frame_number is not None:
            annotation.ReferencedImageSequence[0].ReferencedFrameNumber = film.frame_number
        layers.append(layer)
        annotations.append(annotation)
    dataset: Dataset = GrayscaleSoftcopyPresentationState(
        referenced_images=[header],
        content_label=OUTLINES,
        content_description=RESEARCH_USE,
        graphic_layers=layers,
        graphic_annotations=annotations,
        # Place holders: else it looks for them in the header, as if a file of frames were enhanced.
        modality_lut_transformation=ModalityLUTTransformation(0.0, 1.0, "US"),
        voi_lut_transformations=[SoftcopyVOILUTTransformation(1.0, 2.0)],
        presentation_lut_transformation=PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if film.presentation.inverse else "IDENTITY"
        ),
        concept_name=codes.REPORT_TITLE.to_dicom(),
        **context.naming("PR"),
        **context.equipment(),
    )
    _keep_the_look(dataset, film, _window(context, film, images))
    [area] = dataset.DisplayedAreaSelectionSequence
    area.PresentationPixelAspectRatio = _aspect(context)
    dataset.Laterality = None  # stated on the image; dciodvfy wants it here or a body part
    context.place_in_study(dataset, "PR")
    return dataset


def _lesions(
    context: ObjectContext, outlines: Mapping[int, NDArray[np.bool_]]
) -> tuple[list[Any], list[Any]]:
    from highdicom.pr import GraphicObject

    graphics: list[Any] = []
    texts: list[Any] = []
    for lesion, seen in context.observations():
        if seen.label is None or seen.label not in outlines:
            continue
        named: dict[str, Any] = {
            "tracking_id": lesion.lesion_id,
            "tracking_uid": lesion.tracking_uid,
        }
        pieces = [p for p in pieces_of(outlines[seen.label]) if len(p) <= MOST_POINTS]
        graphics += [GraphicObject("POLYLINE", piece, "PIXEL", **named) for piece in pieces]
        if pieces:
            # Beside the upper right end of the largest piece.
            piece = max(pieces, key=lambda p: float(np.ptp(p, axis=0).prod()))
            corner = (float(piece[:, 0].max()), float(piece[:, 1].min()))
            texts.append(_text(lesion.lesion_id, corner, **named))
    return graphics, texts


def _hips(context: ObjectContext) -> tuple[list[Any], list[Any]]:
    from highdicom.pr import GraphicObject

    exam = context.exam
    assert exam.film is not None
    y, x = exam.film.spacing_yx_mm or (1.0, 1.0)
    size = np.array([exam.film.columns, exam.film.rows], float)
    graphics: list[Any] = []
    texts: list[Any] = []

    def line(ends: list[tuple[float, float]]) -> None:
        points = np.clip(np.array(ends), 0, size)
        graphics.append(GraphicObject("POLYLINE", points, "PIXEL"))

    for hip in exam.hips:
        if hip.gap_ends_yx is not None:
            ends = [(column + 0.5, row + 0.5) for row, column in hip.gap_ends_yx]
            line(ends)
            corner = tuple(np.clip(ends[1], 0, size).tolist())
            texts.append(_text(f"{hip.side} hip, gap {gap_words(exam, hip)}", corner))
        if hip.head_centre_yx is not None and hip.head_radius_px is not None:
            row, column = (v + 0.5 for v in hip.head_centre_yx)
            across, down = hip.head_radius_px, hip.head_radius_px * x / y
            line([(column - across, row), (column + across, row)])
            line([(column, row - down), (column, row + down)])
    return graphics, texts


def _text(words: str, anchor_xy: tuple[float, float], **named: Any) -> Any:
    from highdicom.pr import TextObject

    return TextObject(words, "PIXEL", anchor_point=anchor_xy, anchor_point_visible=False, **named)


def _keep_the_look(dataset: Dataset, film: SourceFilm, window: tuple[float, float] | None) -> None:
    from pydicom import Dataset

    if film.modality.lut is not None:
        table = _table(film.modality.lut, scaled=False)
        table.ModalityLUTType = "US"
        dataset.ModalityLUTSequence = [table]
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            delattr(dataset, keyword)
    else:
        dataset.RescaleSlope, dataset.RescaleIntercept = (
            _decimal(film.modality.slope),
            _decimal(film.modality.intercept),
        )
    look = Dataset()
    if film.voi.lut is not None:
        look.VOILUTSequence = [_table(film.voi.lut)]
    elif film.voi.center is not None and film.voi.width is not None:
        look.WindowCenter, look.WindowWidth = _decimal(film.voi.center), _decimal(film.voi.width)
        if film.voi.function != "LINEAR":
            look.VOILUTFunction = film.voi.function
    elif window is not None:
        low, high = window
        look.WindowCenter, look.WindowWidth = _decimal((low + high) / 2), _decimal(high - low)
        look.VOILUTFunction = "LINEAR_EXACT"
    dataset.pop("SoftcopyVOILUTSequence", None)
    if len(look):
        dataset.SoftcopyVOILUTSequence = [look]
    if film.presentation.lut is not None:
        dataset.pop("PresentationLUTShape", None)
        dataset.PresentationLUTSequence = [_table(film.presentation.lut)]


def _window(
    context: ObjectContext, film: SourceFilm, images: FilmImages
) -> tuple[float, float] | None:
    """Lowest and highest modality value of the film: what viewers take where a file has no window.

    None where all are the same.
    """
    assert context.exam.film is not None
    pixels, valid = images.film.pixels, images.film.valid
    known = pixels if valid is None else pixels[valid]
    if not known.size or known.min() == known.max():
        return None
    low, high = float(known.min()), float(known.max())
    if context.exam.film.mirrored:  # by reading, about the middle of what its bits can hold
        low, high = sum(film.range) - high, sum(film.range) - low
    return low, high


def _aspect(context: ObjectContext) -> list[int]:
    """Height and width of a pixel as whole numbers (PS3.3 C.10.4)."""
    assert context.exam.film is not None
    y, x = context.exam.film.spacing_yx_mm or (1.0, 1.0)
    ratio = Fraction(y / x).limit_denominator(10_000)
    return [ratio.numerator, ratio.denominator]


def _table(lut: Lut, *, scaled: bool = True) -> Dataset:
    """A look-up table with 16 bits an entry, as every reader takes it.

    Args:
        lut: The file's.
        scaled: Whether outputs count as a share of the largest one; those of a modality do not.
    """
    from pydicom import Dataset

    entries = lut.entries.astype(np.float64) * (65535 / lut.top if scaled else 1)
    kind = "SS" if lut.first < 0 else "US"
    count = len(entries) % 65536
    if kind == "SS" and count >= 32768:
        count -= 65536
    item = Dataset()
    item.add_new("LUTDescriptor", kind, [count, lut.first, 16])
    item.add_new("LUTData", "OW", np.rint(entries).astype("<u2").tobytes())
    return item


def _decimal(value: float) -> Any:
    from pydicom.valuerep import DS

    return DS(float(value), auto_format=True)
