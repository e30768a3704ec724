"""The numbers as a structured report: Comprehensive 3D SR after TID 1500, a group per lesion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hoimg.report import dicom_codes as codes
from hoimg.report.change_words import change_words
from hoimg.report.dicom_context import MANUFACTURER, MODEL, ObjectContext, derive_uid
from hoimg.report.dicom_source import BLANK_KEYWORDS
from hoimg.report.reader_view import decision_text, who_and_when
from hoimg.results import Change, Lesion, Observation

if TYPE_CHECKING:
    from pydicom import Dataset


LONGEST_NOTE = 1000
"""Characters of a reader's note in the SR; ``report.json`` holds it whole."""


def measured_items(
    source: Observation | Change, table: Sequence[codes.MeasureCode]
) -> list[tuple[codes.MeasureCode, float | int]]:
    """The numbers of ``source`` that exist, with their codes.

    Args:
        source: An observation or a change of the report.
        table: Which fields to take.

    Returns:
        One pair per number; a field that is None (or not finite) has none, as a missing value is
        never written as a number.
    """
    items: list[tuple[codes.MeasureCode, float | int]] = []
    for code in table:
        value = getattr(source, code.field)
        if value is not None and code.index is not None:
            value = value[code.index]
        if value is not None and math.isfinite(value):
            items.append((code, value))
    return items


def build_measurement_report(context: ObjectContext, segmentation: Dataset | None) -> Dataset:
    """A Comprehensive 3D SR with one measurement group per lesion of the exam.

    Args:
        context: The exam.
        segmentation: Its Segmentation, or None when it has no lesion with voxels.

    Returns:
        The dataset, ready to be written. An exam without lesions says so in a group of its own.
    """
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import (
        Comprehensive3DSR,
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes as named

    observer = ObserverContext(
        observer_type=named.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=derive_uid("device", context.report.software),
            name=context.report.software,
            manufacturer_name=MANUFACTURER,
            model_name=MODEL,
        ),
    )
    groups = [
        _group(context, segmentation, lesion, seen) for lesion, seen in context.observations()
    ]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.CT_PROCEDURE.to_dicom(),
        imaging_measurements=groups or [_none_found(context)],
        title=codes.REPORT_TITLE.to_dicom(),
    )
    content[0].ContentSequence.append(_comment(context.report.statement))
    images = list(context.images)
    evidence = images if segmentation is None else [_bare(segmentation), *images]
    dataset: Dataset = Comprehensive3DSR(
        evidence=evidence,
        content=content,
        is_complete=True,
        is_final=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=codes.PRIVATE_SCHEME,
                name=codes.PRIVATE_SCHEME_NAME,
                responsible_organization=MANUFACTURER,
            )
        ],
        **context.naming("SR"),
        **context.equipment(),
    )
    context.place_in_study(dataset, "SR")
    return dataset


def _group(
    context: ObjectContext, segmentation: Dataset | None, lesion: Lesion, seen: Observation
) -> Any:
    """TID 1411 for a lesion with a segment, TID 1501 for one without (absent at this exam)."""
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        ReferencedSegment,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    changes = [c for c in lesion.changes if c.to_exam == context.exam.exam_id]
    numbers = measured_items(seen, codes.OBSERVATION_MEASURES)
    for change in changes:
        numbers += measured_items(change, codes.CHANGE_MEASURES)
    evaluations = [(codes.STATUS, codes.STATUS_VALUES[seen.status])]
    if context.maturity_here(lesion):
        evaluations.append((codes.MATURITY, codes.MATURITY_LABELS[lesion.maturity.label]))
        if lesion.reader_label is not None:
            evaluations.append((codes.READER_LABEL, codes.MATURITY_LABELS[lesion.reader_label]))
    # Where exams may not be compared no change is claimed, nor that there is none.
    evaluations += [
        (codes.CHANGE, codes.CHANGE_VALUES[change.category])
        for change in changes
        if change.comparable or change.category != "no_detectable_change"
    ]
    shared = _shared(context, lesion.lesion_id, lesion.tracking_uid)
    shared["measurements"] = [_number(code, value) for code, value in numbers]
    shared["qualitative_evaluations"] = [_evaluation(name, value) for name, value in evaluations]
    number = next((s.number for s in context.segments if s.label == seen.label), None)
    group: Any
    if segmentation is None or number is None:
        group = MeasurementsAndQualitativeEvaluations(**shared)
    else:
        segment = ReferencedSegment.from_segmentation(segmentation, segment_number=number)
        group = VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=segment, **shared
        )
    for text in _remarks(context, lesion, seen, changes):
        group[0].ContentSequence.append(_comment(text))
    return group


def _none_found(context: ObjectContext) -> Any:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations

    uid = derive_uid("none found", context.instance_uid("SR"))
    return MeasurementsAndQualitativeEvaluations(
        **_shared(context, "none found", uid),
        qualitative_evaluations=[_evaluation(codes.STATUS, codes.STATUS_VALUES["none_found"])],
    )


def _shared(context: ObjectContext, identifier: str, uid: str) -> dict[str, Any]:
    from highdicom.sr import (
        AlgorithmIdentification,
        LongitudinalTemporalOffsetFromEvent,
        TimePointContext,
        TrackingIdentifier,
    )

    report, exam = context.report, context.exam
    return {
        "tracking_identifier": TrackingIdentifier(uid=uid, identifier=identifier),
        "finding_type": codes.LESION_TYPE.to_dicom(),
        "finding_category": codes.CATEGORY.to_dicom(),
        "time_point_context": TimePointContext(
            time_point=exam.exam_id,
            temporal_offset_from_event=LongitudinalTemporalOffsetFromEvent(
                value=exam.days_from_baseline,
                unit=codes.DAY.to_dicom(),
                event_type=codes.BASELINE.to_dicom(),
            ),
        ),
        "algorithm_id": AlgorithmIdentification(
            name="hoimg",
            version=report.software,
            parameters=[f"config_sha256={report.config_sha256}"],
        ),
    }


def _remarks(
    context: ObjectContext, lesion: Lesion, seen: Observation, changes: Sequence[Change]
) -> list[str]:
    """What a reader of the numbers has to know and no code says."""
    remarks = []
    if seen.flags:
        remarks.append(f"Flags: {', '.join(seen.flags)}")
    for change in changes:
        words = f"Change against exam {change.from_exam}: {change_words(change)}"
        remarks.append("; ".join([words, *change.flags]))
    if context.maturity_here(lesion):
        reasons = ", ".join(lesion.maturity.reasons) or "none given"
        summary = f" {lesion.maturity.summary}" if lesion.maturity.summary else ""
        remarks.append(f"Imaging maturity: {lesion.maturity.label}; reasons: {reasons}.{summary}")
        remarks += [
            f"By the reader: {decision_text(said)} ({who_and_when(said)})"
            + (f": {said.note[:LONGEST_NOTE]}" if said.note else "")
            for said in context.report.reader
            if said.lesion_id == lesion.lesion_id
        ]
    return remarks


def _number(code: codes.MeasureCode, value: float | int) -> Any:
    from highdicom.sr import Measurement

    return Measurement(
        name=code.name.to_dicom(),
        value=value,
        unit=code.unit.to_dicom(),
        derivation=None if code.derivation is None else code.derivation.to_dicom(),
    )


def _evaluation(name: codes.Coded, value: codes.Coded) -> Any:
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(name=name.to_dicom(), value=value.to_dicom())


def _comment(text: str) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    return TextContentItem(
        name=codes.COMMENT.to_dicom(),
        value=text,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )


def _bare(segmentation: Dataset) -> Dataset:
    """The segmentation's UIDs without its patient, which is put into the SR at the very end."""
    from pydicom import Dataset

    kept = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(kept, keyword, segmentation[keyword].value)
    for keyword in BLANK_KEYWORDS:
        setattr(kept, keyword, "")
    return kept
