"""Results of a batch of many made-up patients, written through the project's own tables."""

from __future__ import annotations

import random
from pathlib import Path

from hoimg.archive.database import DATABASE, Database
from hoimg.archive.tables import PATIENTS, rows_of
from hoimg.results import (
    Change,
    Exam,
    ExamTotal,
    Finding,
    LabelAt,
    Lesion,
    Maturity,
    Observation,
    Report,
    Totals,
)

REGIONS = ("right_hip", "left_hip", "right_elbow", "left_elbow", "abdomen", None)
CODES = ("no_dicom", "not_hounsfield", "over_time", "over_memory", "process_crashed")
REASONS = ("stability_untested", "slice_too_thick", "volume_below_repeatability", "metal_near")
FAILED_EACH = 16
"""One in so many patients has no report."""


def key_of(number: int) -> str:
    return f"p{number:012x}"


def write_cohort_of(out: Path, count: int, seed: int = 1) -> list[Report]:
    """Write ``results.sqlite`` with ``count`` patients; gives the reports in it."""
    made, rows = [], {}
    for number in range(count):
        key = key_of(number)
        if number % FAILED_EACH == FAILED_EACH - 1:
            rows[key] = {PATIENTS: [patient_row(key, code=CODES[number // FAILED_EACH % 5])]}
            continue
        report = report_of(key, random.Random(f"{seed} {number}"))
        made.append(report)
        rows[key] = {PATIENTS: [patient_row(key)], **rows_of(report)}
    put(out, rows)
    return made


def put(out: Path, rows) -> None:
    """All patients in one transaction, which spares a thousand waits for the disk."""
    out.mkdir(exist_ok=True)
    with Database(out / DATABASE) as database:
        database.put_refused("", rows)


def patient_row(key: str, code: str | None = None, message: str | None = None) -> dict:
    return {
        "patient_key": key,
        "status": "failed" if code else "done",
        "code": code,
        "message": message or (f"What {code} means, and what to do." if code else None),
        "passing": False,
        "input_sha256": "i",
        "config_sha256": "c",
        "software": "s",
    }


def report_of(key: str, rng: random.Random) -> Report:
    days = [0]
    for _ in range(rng.randrange(1, 5)):
        days.append(days[-1] + rng.randrange(28, 220))
    ids = [f"day{day:04d}_ct" for day in days]
    lesions = [_lesion(f"L{n + 1}", ids, days, rng) for n in range(rng.choice((0, 1, 1, 2, 3)))]
    totals = [
        ExamTotal(
            exam_id=exam_id,
            lesions=len(lesions),
            volume_mm3=sum(x.observations[n].volume_mm3 or 0.0 for x in lesions),
            complete=True,
        )
        for n, exam_id in enumerate(ids)
    ]
    region_of = {x.lesion_id: r for x in lesions if (r := rng.choice(REGIONS)) is not None}
    return Report(
        software="hoimg test",
        config_sha256="c",
        patient_key=key,
        exams=[
            Exam(
                exam_id=exam_id, modality="CT", study_instance_uid="1.2", days_from_baseline=day,
                series_instance_uid="1.2.1",
                findings=[Finding(code="thick_slices", level="warning", message="Thick.")]
                if rng.random() < 0.2 else [],
            )
            for exam_id, day in zip(ids, days, strict=True)
        ],
        lesions=lesions,
        totals=Totals(exams=totals, region_of=region_of),
        excluded=[],
    )  # fmt: skip


def _lesion(name: str, ids: list[str], days: list[int], rng: random.Random) -> Lesion:
    volume, volumes = rng.lognormvariate(8.0, 1.3), []
    for _ in days:
        volumes.append(volume)
        volume *= rng.lognormvariate(0.1, 0.3)
    changes = []
    for n in range(1, len(days)):
        pct = 100 * (volumes[n] / volumes[n - 1] - 1)
        category = "enlarging" if pct > 25 else "shrinking" if pct < -25 else "no_detectable_change"
        changes.append(
            Change(
                from_exam=ids[n - 1], to_exam=ids[n], days=days[n] - days[n - 1],
                volume_change_pct=pct, volume_rc_pct=25.0, category=category,
                comparable=rng.random() > 0.1,
            )
        )  # fmt: skip
    stages = sorted(rng.choice(("immature", "indeterminate", "mature")) for _ in days)
    reasons = [rng.choice(REASONS)] if stages[-1] == "indeterminate" else ["all_criteria_pass"]
    return Lesion(
        lesion_id=name,
        tracking_uid="1.2.3",
        observations=[
            Observation(exam_id=e, status="measured", volume_mm3=v)
            for e, v in zip(ids, volumes, strict=True)
        ],
        changes=changes,
        maturity=Maturity(
            label=stages[-1], exam_id=ids[-1], reasons=reasons, criteria=[],
            history=[
                LabelAt(exam_id=e, day=d, label=s, reasons=[])
                for e, d, s in zip(ids, days, stages, strict=True)
            ],
        ),
    )  # fmt: skip
