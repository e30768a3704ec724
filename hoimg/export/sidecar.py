"""What the numbers in a NIfTI label map stand for, as JSON beside it."""

from __future__ import annotations

import json

from hoimg.results import Report


def sidecar_json(report: Report, exam_id: str) -> str:
    """The labels of an exam's map, each with its lesion and what the report says of it.

    Args:
        report: The report.
        exam_id: The exam.

    Returns:
        JSON: ``labels[]{value, name, lesion_ids[], tracking_uid, volume_mm3, area_mm2,
        maturity_label, maturity_exam_id}`` in order of value. Lesions that share a label (they
        have merged) are named together; numbers are those of the first.
    """
    exam = next(e for e in report.exams if e.exam_id == exam_id)
    labels: dict[int, dict[str, object]] = {}
    for lesion in report.lesions:
        for seen in lesion.observations:
            if seen.exam_id != exam_id or seen.label is None:
                continue
            entry = labels.setdefault(
                seen.label,
                {
                    "value": seen.label,
                    "name": f"Heterotopic ossification {lesion.lesion_id}",
                    "lesion_ids": [],
                    "tracking_uid": lesion.tracking_uid,
                    "volume_mm3": seen.volume_mm3,
                    "area_mm2": seen.area_mm2,
                    "maturity_label": lesion.maturity.label,
                    "maturity_exam_id": lesion.maturity.exam_id,
                },
            )
            named = entry["lesion_ids"]
            assert isinstance(named, list)
            named.append(lesion.lesion_id)
    content = {
        "software": report.software,
        "config_sha256": report.config_sha256,
        "statement": report.statement,
        "patient_key": report.patient_key,
        "exam_id": exam_id,
        "modality": exam.modality,
        "days_from_baseline": exam.days_from_baseline,
        "series_instance_uid": exam.series_instance_uid,
        "background": 0,
        "labels": [labels[value] for value in sorted(labels)],
    }
    return json.dumps(content, indent=2) + "\n"
