"""What structured reports of CT and of films share: the document, a lesion's items, remarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hoimg.reading import who_and_when
from hoimg.report import dicom_codes as codes
from hoimg.report.change_words import change_words
from hoimg.report.dicom_context import MANUFACTURER, MODEL, ObjectContext, derive_uid
from hoimg.report.reader_view import decision_text
from hoimg.results import Change, Hip, Lesion, Observation

if TYPE_CHECKING:
    from pydicom import Dataset

LONGEST_NOTE = 1000
"""Characters of a reader's note in the SR; ``report.json`` holds it whole."""


def document(
    context: ObjectContext,
    make: Any,
    procedure: codes.Coded,
    groups: Sequence[Any],
    evidence: Sequence[Dataset],
    comments: Sequence[str],
) -> Dataset:
    """A whole report after TID 1500, of hoimg as the observer.

    Args:
        context: The exam.
        make: The class of highdicom that builds it.
        procedure: What was done to the patient.
        groups: Measurement groups, at least one.
        evidence: What the groups refer to: images, a segmentation.
        comments: Said of the report as a whole.

    Returns:
        The dataset, ready to be written.
    """
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import (
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
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=procedure.to_dicom(),
        imaging_measurements=list(groups),
        title=codes.REPORT_TITLE.to_dicom(),
    )
    for text in comments:
        content[0].ContentSequence.append(comment_item(text))
    dataset: Dataset = make(
        evidence=list(evidence),
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


def measured_items(
    source: Observation | Change | Hip, table: Sequence[codes.MeasureCode]
) -> list[tuple[codes.MeasureCode, float | int]]:
    """The numbers of ``source`` that exist, with their codes.

    Args:
        source: An observation, a change or a hip of the report.
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


def lesion_items(
    context: ObjectContext,
    lesion: Lesion,
    seen: Observation,
    measures: Sequence[codes.MeasureCode],
    changed: Sequence[codes.MeasureCode],
) -> dict[str, Any]:
    """Arguments of any measurement group of a lesion: its name, numbers and evaluations.

    Args:
        context: The exam.
        lesion: The lesion.
        seen: What was seen of it at this exam.
        measures: Its numbers.
        changed: Those of its changes that end here.
    """
    changes = _changes(context, lesion)
    numbers = measured_items(seen, measures)
    for change in changes:
        numbers += measured_items(change, changed)
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
    shared = shared_items(context, lesion.lesion_id, lesion.tracking_uid)
    shared["finding_type"] = codes.LESION_TYPE.to_dicom()
    shared["finding_category"] = codes.CATEGORY.to_dicom()
    shared["measurements"] = [number_item(code, value) for code, value in numbers]
    shared["qualitative_evaluations"] = [evaluation_item(*pair) for pair in evaluations]
    return shared


def none_group(context: ObjectContext, status: str) -> Any:
    """The group of an exam without any lesion, as there has to be one.

    Args:
        context: The exam.
        status: Why, one of ``STATUS_VALUES``.
    """
    from highdicom.sr import MeasurementsAndQualitativeEvaluations

    uid = derive_uid("none found", context.instance_uid("SR"))
    return MeasurementsAndQualitativeEvaluations(
        **shared_items(context, status.replace("_", " "), uid),
        finding_type=codes.LESION_TYPE.to_dicom(),
        finding_category=codes.CATEGORY.to_dicom(),
        qualitative_evaluations=[evaluation_item(codes.STATUS, codes.STATUS_VALUES[status])],
    )


def shared_items(context: ObjectContext, identifier: str, uid: str) -> dict[str, Any]:
    """Arguments of any measurement group: what it is called, the day, the software."""
    from highdicom.sr import (
        AlgorithmIdentification,
        LongitudinalTemporalOffsetFromEvent,
        TimePointContext,
        TrackingIdentifier,
    )

    report, exam = context.report, context.exam
    return {
        "tracking_identifier": TrackingIdentifier(uid=uid, identifier=identifier),
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


def remarks(context: ObjectContext, lesion: Lesion, seen: Observation) -> list[str]:
    """What a reader of the numbers has to know and no code says."""
    told = []
    if seen.flags:
        told.append(f"Flags: {', '.join(seen.flags)}")
    for change in _changes(context, lesion):
        words = f"Change against exam {change.from_exam}: {change_words(change)}"
        told.append("; ".join([words, *change.flags]))
    if context.maturity_here(lesion):
        reasons = ", ".join(lesion.maturity.reasons) or "none given"
        summary = f" {lesion.maturity.summary}" if lesion.maturity.summary else ""
        told.append(f"Imaging maturity: {lesion.maturity.label}; reasons: {reasons}.{summary}")
        told += [
            f"By the reader: {decision_text(said)} ({who_and_when(said)})"
            + (f": {said.note[:LONGEST_NOTE]}" if said.note else "")
            for said in context.report.reader
            if said.lesion_id == lesion.lesion_id
        ]
    return told


def _changes(context: ObjectContext, lesion: Lesion) -> list[Change]:
    return [c for c in lesion.changes if c.to_exam == context.exam.exam_id]


def number_item(code: codes.MeasureCode, value: float | int) -> Any:
    """A number with its unit, and its statistic where it is one."""
    from highdicom.sr import Measurement

    return Measurement(
        name=code.name.to_dicom(),
        value=value,
        unit=code.unit.to_dicom(),
        derivation=None if code.derivation is None else code.derivation.to_dicom(),
    )


def evaluation_item(name: codes.Coded, value: codes.Coded) -> Any:
    """A coded answer to a coded question."""
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(name=name.to_dicom(), value=value.to_dicom())


def comment_item(text: str) -> Any:
    """Free text."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    return TextContentItem(
        name=codes.COMMENT.to_dicom(),
        value=text,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
