"""A film's numbers as a structured report: Comprehensive SR after TID 1500.

Each lesion's outline stands in its group as a closed polyline on the film's own pixels. Suggestions
are no findings and are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.report import dicom_codes as codes
from hoimg.report import dicom_film_codes as film_codes
from hoimg.report.dicom_context import ObjectContext, derive_uid
from hoimg.report.dicom_film_source import SourceFilm
from hoimg.report.dicom_sr_items import (
    comment_item,
    document,
    evaluation_item,
    lesion_items,
    measured_items,
    none_group,
    number_item,
    remarks,
    shared_items,
)
from hoimg.report.film_polygons import MOST_POINTS, one_line
from hoimg.report.film_view import film_words, spacing_words
from hoimg.results import Hip, Lesion, Observation

if TYPE_CHECKING:
    from pydicom import Dataset

NO_POLYLINE = "The outline has more corners than one polyline can hold; see the label map."


def build_film_report(
    context: ObjectContext, film: SourceFilm, outlines: Mapping[int, NDArray[np.bool_]]
) -> Dataset:
    """A Comprehensive SR with one group for each lesion of the film and for each hip.

    Args:
        context: The film; its source is ``film``.
        film: The image that groups refer to.
        outlines: By label.

    Returns:
        The dataset, ready to be written. On a film without a region nothing was looked for, and
        its one group says so.
    """
    from highdicom.sr import ComprehensiveSR

    groups = [
        _lesion(context, film, lesion, seen, outlines) for lesion, seen in context.observations()
    ]
    groups = groups or [none_group(context, "not_looked_for")]
    groups += [_hip(context, film, hip) for hip in context.exam.hips]
    exam = context.exam
    assert exam.film is not None
    what = [f"Film: {film_words(exam.film)}. {spacing_words(exam.film)}."]
    told = [f"Finding ({f.level}) {f.code}: {f.message}" for f in exam.findings]
    return document(
        context,
        ComprehensiveSR,
        codes.FILM_PROCEDURE,
        groups,
        context.images,
        [context.report.statement, *what, *told],
    )


def _lesion(
    context: ObjectContext,
    film: SourceFilm,
    lesion: Lesion,
    seen: Observation,
    outlines: Mapping[int, NDArray[np.bool_]],
) -> Any:
    """TID 1410 for a lesion with an outline, TID 1501 for one without."""
    shared = lesion_items(
        context, lesion, seen, film_codes.FILM_MEASURES, film_codes.FILM_CHANGE_MEASURES
    )
    if seen.status == "measured" and seen.spacing_source in film_codes.SPACINGS:
        value = film_codes.SPACINGS[seen.spacing_source]
        shared["qualitative_evaluations"].append(evaluation_item(film_codes.SPACING, value))
    told = remarks(context, lesion, seen)
    inside = None if seen.label is None else outlines.get(seen.label)
    line = None if inside is None else one_line(inside)
    if line is not None and len(line) > MOST_POINTS:
        line, told = None, [*told, NO_POLYLINE]
    return _group(film, line, told, shared)


def _hip(context: ObjectContext, film: SourceFilm, hip: Hip) -> Any:
    """A group of its own for a hip: its gap as a line, its grades, the head."""
    from highdicom.sr import FindingSite

    exam = context.exam
    assert exam.film is not None
    uid = derive_uid("hip", context.report.patient_key, hip.side)
    evaluations = [
        (name, values[grade])
        for name, values, grade in (
            (film_codes.BROOKER, film_codes.BROOKER_GRADES, hip.brooker),
            (film_codes.DELLA_VALLE, film_codes.DELLA_VALLE_GRADES, hip.della_valle),
            (film_codes.BIPLANAR, film_codes.BIPLANAR_GRADES, hip.biplanar),
            (film_codes.LANDMARKS, film_codes.LANDMARKS_VALUES, hip.landmarks),
        )
        if grade is not None
    ]
    evaluations.append((film_codes.SPACING, film_codes.SPACINGS[exam.film.spacing_source]))
    shared = shared_items(context, f"{hip.side} hip", uid)
    shared["measurements"] = [
        number_item(*pair) for pair in measured_items(hip, film_codes.HIP_MEASURES)
    ]
    shared["qualitative_evaluations"] = [evaluation_item(*pair) for pair in evaluations]
    shared["finding_sites"] = [
        FindingSite(
            anatomic_location=codes.HIP_JOINT.to_dicom(),
            laterality=codes.SIDES[hip.side].to_dicom(),
        )
    ]
    told = [f"Lesions: {', '.join(hip.lesions) or 'none'}"]
    if hip.flags:
        told.append(f"Flags: {', '.join(hip.flags)}")
    ends = None
    if hip.gap_ends_yx is not None:
        size = (exam.film.columns, exam.film.rows)
        ends = np.clip(np.array(hip.gap_ends_yx)[:, ::-1] + 0.5, 0, size)
    return _group(film, ends, told, shared)


def _group(
    film: SourceFilm, line_xy: NDArray[np.float64] | None, told: list[str], shared: dict[str, Any]
) -> Any:
    from highdicom.sr import (
        ImageRegion,
        MeasurementsAndQualitativeEvaluations,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
    )

    group: Any
    if line_xy is None:
        group = MeasurementsAndQualitativeEvaluations(**shared)
    else:
        source = SourceImageForRegion(
            film.image.SOPClassUID,
            film.image.SOPInstanceUID,
            None if film.frame_number is None else [film.frame_number],
        )
        region = ImageRegion("POLYLINE", line_xy, source)
        group = PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **shared)
    for text in told:
        group[0].ContentSequence.append(comment_item(text))
    return group
