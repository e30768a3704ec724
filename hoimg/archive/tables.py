"""The tables of ``results.sqlite``: what each row stands for, and a report as rows of them."""

from __future__ import annotations

import json
import zlib
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from hoimg.archive.flat import Column as Flat
from hoimg.archive.flat import columns_of, row_of
from hoimg.results import (
    Acquisition,
    Change,
    Course,
    Exam,
    ExamTotal,
    LabelAt,
    Maturity,
    Observation,
    Report,
)

Row = dict[str, Any]

_EXAM = columns_of(Exam, {"acquisition", "findings", "outlines", "hips", "film", "suggestions"})
_ACQUISITION = columns_of(Acquisition)
_TOTAL = columns_of(
    ExamTotal,
    {"exam_id", "regions", "since_previous", "since_baseline", "not_evaluable"},
    "total_",
)
_COURSE = columns_of(Course, {"left_out"}, "course_")
_MATURITY = columns_of(
    Maturity,
    {"criteria", "followup", "history", "earliest_informative_followup"},
    "maturity_",
)
_OBSERVATION = columns_of(Observation)
_CHANGE = columns_of(Change)
_LABEL = columns_of(LabelAt)

METADATA = MetaData()
_TYPES: dict[str, Any] = {"bool": Boolean, "int": Integer, "float": Float, "text": Text}


def _table(name: str, key: dict[str, Any], *groups: list[Flat], **more: Any) -> Table:
    columns = [Column(n, kind, nullable=False) for n, kind in key.items()]
    names = set(key)
    for flat in (f for group in groups for f in group if f.name not in names):
        columns.append(Column(flat.name, _TYPES[flat.kind]))
    columns += [Column(n, kind) for n, kind in more.items()]
    return Table(name, METADATA, *columns, PrimaryKeyConstraint(*key), sqlite_with_rowid=False)


_PATIENT = {"patient_key": Text}
_LESION = {**_PATIENT, "lesion_id": Text}

RUNS = Table(
    "runs",
    METADATA,
    Column("run", Integer, primary_key=True),
    *(Column(n, Text) for n in ("started", "ended", "state", "software", "config_sha256")),
    *(Column(n, Text) for n in ("settings", "host")),
    *(Column(n, Integer) for n in ("pid", "planned", "done", "failed")),
)
PATIENTS = _table(
    "patients",
    _PATIENT,
    status=Text,
    code=Text,
    message=Text,
    passing=Boolean,
    over_limit=Float,
    input_sha256=Text,
    config_sha256=Text,
    software=Text,
    files=Integer,
    exams=Integer,
    lesions=Integer,
)
TIMINGS = _table(
    "timings", _PATIENT, run=Integer, attempts=Integer, seconds=Float, peak_mb=Float, machine=Text
)
EXAMS = _table("exams", {**_PATIENT, "exam_id": Text}, _EXAM, _ACQUISITION, _TOTAL)
LESIONS = _table(
    "lesions", _LESION, _COURSE, _MATURITY, tracking_uid=Text, region=Text, mature_since_day=Integer
)
OBSERVATIONS = _table("observations", {**_LESION, "exam_id": Text}, _OBSERVATION, day=Integer)
CHANGES = _table(
    "changes", {**_LESION, "number": Integer}, _CHANGE, from_day=Integer, to_day=Integer
)
LABELS = _table("labels", {**_LESION, "exam_id": Text}, _LABEL)
FINDINGS = _table(
    "findings",
    {**_PATIENT, "number": Integer},
    exam_id=Text,
    code=Text,
    level=Text,
    message=Text,
    fix=Text,
)
OF_PATIENT = (PATIENTS, TIMINGS, EXAMS, LESIONS, OBSERVATIONS, CHANGES, LABELS, FINDINGS)
"""Every table with rows of a patient, which are written and replaced together."""


def _version(metadata: MetaData) -> int:
    columns = [f"{t.name}.{c.name} {c.type}" for t in metadata.sorted_tables for c in t.columns]
    return zlib.crc32("\n".join(columns).encode()) & 0x7FFFFFFF


VERSION = _version(METADATA)
"""Of the tables, kept in SQLite's ``user_version``: another one whenever a column is."""


def rows_of(report: Report) -> dict[Table, list[Row]]:
    """A report as rows; ``patients`` and ``timings`` are left to who ran it."""
    key = {"patient_key": report.patient_key}
    day = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    totals = {t.exam_id: t for t in report.totals.exams} if report.totals is not None else {}
    regions = report.totals.region_of if report.totals is not None else {}
    rows: dict[Table, list[Row]] = {table: [] for table in OF_PATIENT[2:]}
    for exam in report.exams:
        rows[EXAMS].append(
            {
                **key,
                **row_of(_EXAM, exam),
                **row_of(_ACQUISITION, exam.acquisition),
                **row_of(_TOTAL, totals.get(exam.exam_id)),
            }
        )
        for found in exam.findings:
            number = len(rows[FINDINGS])
            told = found.model_dump(mode="json")
            rows[FINDINGS].append({**key, "number": number, "exam_id": exam.exam_id, **told})
    for lesion in report.lesions:
        own = {**key, "lesion_id": lesion.lesion_id}
        since = lesion.maturity.mature_since_exam
        rows[LESIONS].append(
            {
                **own,
                **row_of(_COURSE, lesion.course),
                **row_of(_MATURITY, lesion.maturity),
                "tracking_uid": lesion.tracking_uid,
                "region": regions.get(lesion.lesion_id),
                "mature_since_day": None if since is None else day.get(since),
            }
        )
        rows[OBSERVATIONS] += [
            {**own, "day": day[o.exam_id], **row_of(_OBSERVATION, o)} for o in lesion.observations
        ]
        rows[CHANGES] += [
            {
                **own,
                "number": number,
                **row_of(_CHANGE, change),
                "from_day": day[change.from_exam],
                "to_day": day[change.to_exam],
            }
            for number, change in enumerate(lesion.changes)
        ]
        rows[LABELS] += [{**own, **row_of(_LABEL, at)} for at in lesion.maturity.history]
    return rows


def rows_of_failure(key: str, findings: tuple[dict[str, Any], ...]) -> dict[Table, list[Row]]:
    """What the input's checks said of a patient without a report."""
    return {
        FINDINGS: [
            {"patient_key": key, "number": n, "exam_id": None, **told}
            for n, told in enumerate(findings)
        ]
    }


def reasons(text: str | None) -> str:
    """A column of JSON words as one text."""
    return "" if not text else "; ".join(str(word) for word in json.loads(text))
