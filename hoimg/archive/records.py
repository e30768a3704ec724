"""What a run puts on record: a patient that ended, or a path without one, as rows of the tables."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Table

from hoimg.archive.census import Case, Refused
from hoimg.archive.tables import PATIENTS, TIMINGS, Row, rows_of, rows_of_failure
from hoimg.archive.task import SOFTWARE, Outcome
from hoimg.report.saved import read_report
from hoimg.settings import Settings

Rows = dict[Table, list[Row]]


def rows_of_outcome(
    outcome: Outcome, case: Case, report: Path | None, run: int, settings: Settings
) -> Rows:
    """All rows of a patient that ended.

    Args:
        outcome: How.
        case: Its files.
        report: Folder of its report; None when it failed.
        run: Number of the run.
        settings: Of the run.
    """
    patient = _patient(case.key, outcome.status, case.input_sha256, settings)
    patient["files"] = len(case.files)
    if report is not None:
        content = read_report(report)
        rows = rows_of(content)
        patient |= {"exams": len(content.exams), "lesions": len(content.lesions)}
    else:
        rows = rows_of_failure(outcome.key, outcome.findings)
        patient |= {"code": outcome.code, "message": outcome.message}
        patient |= {"passing": outcome.passing, "over_limit": outcome.limit}
    timing = {
        "patient_key": outcome.key,
        "run": run,
        "attempts": outcome.attempts,
        # Of one that an interrupted run finished, they are not known.
        "seconds": outcome.seconds or None,
        "peak_mb": outcome.peak_mb or None,
        "machine": outcome.machine or None,
    }
    return {PATIENTS: [patient], TIMINGS: [timing], **rows}


def refused_rows(refused: Refused, settings: Settings) -> Rows:
    """All rows of a path without a patient."""
    row = _patient(refused.key, "failed", refused.input_sha256, settings)
    return {PATIENTS: [row | {"code": refused.code, "message": refused.message}]}


def _patient(key: str, status: str, input_sha256: str, settings: Settings) -> Row:
    return {
        "patient_key": key,
        "status": status,
        "passing": False,
        "input_sha256": input_sha256,
        "config_sha256": settings.sha256,
        "software": SOFTWARE,
    }
