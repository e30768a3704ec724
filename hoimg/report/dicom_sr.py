"""The numbers as a structured report: Comprehensive 3D SR after TID 1500, a group per lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoimg.report import dicom_codes as codes
from hoimg.report.dicom_context import ObjectContext
from hoimg.report.dicom_header import BLANK_KEYWORDS
from hoimg.report.dicom_sr_items import (
    comment_item,
    document,
    lesion_items,
    none_group,
    remarks,
)
from hoimg.results import Lesion, Observation

if TYPE_CHECKING:
    from pydicom import Dataset


def build_measurement_report(context: ObjectContext, segmentation: Dataset | None) -> Dataset:
    """A Comprehensive 3D SR with one measurement group per lesion of the exam.

    Args:
        context: The exam.
        segmentation: Its Segmentation, or None when it has no lesion with voxels.

    Returns:
        The dataset, ready to be written. An exam without lesions says so in a group of its own.
    """
    from highdicom.sr import Comprehensive3DSR

    groups = [
        _group(context, segmentation, lesion, seen) for lesion, seen in context.observations()
    ]
    images = list(context.images)
    return document(
        context,
        Comprehensive3DSR,
        codes.CT_PROCEDURE,
        groups or [none_group(context, "none_found")],
        images if segmentation is None else [_bare(segmentation), *images],
        [context.report.statement],
    )


def _group(
    context: ObjectContext, segmentation: Dataset | None, lesion: Lesion, seen: Observation
) -> Any:
    """TID 1411 for a lesion with a segment, TID 1501 for one without (absent at this exam)."""
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        ReferencedSegment,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    shared = lesion_items(context, lesion, seen, codes.OBSERVATION_MEASURES, codes.CHANGE_MEASURES)
    number = next((s.number for s in context.segments if s.label == seen.label), None)
    group: Any
    if segmentation is None or number is None:
        group = MeasurementsAndQualitativeEvaluations(**shared)
    else:
        segment = ReferencedSegment.from_segmentation(segmentation, segment_number=number)
        group = VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=segment, **shared
        )
    for text in remarks(context, lesion, seen):
        group[0].ContentSequence.append(comment_item(text))
    return group


def _bare(segmentation: Dataset) -> Dataset:
    """The segmentation's UIDs without its patient, which is put into the SR at the very end."""
    from pydicom import Dataset

    kept = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(kept, keyword, segmentation[keyword].value)
    for keyword in BLANK_KEYWORDS:
        setattr(kept, keyword, "")
    return kept
