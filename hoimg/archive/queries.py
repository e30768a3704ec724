"""Questions that are asked of a batch's results again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, func, literal, or_, select

from hoimg.archive.database import Database
from hoimg.archive.tables import (
    CHANGES,
    EXAMS,
    FINDINGS,
    LESIONS,
    OBSERVATIONS,
    PATIENTS,
    Row,
    reasons,
)

GROWING = ("new", "enlarging")


def changed(day: int | None) -> Select[Any]:
    """Lesions that were called new or enlarging by a comparison with an exam on or after a day.

    Args:
        day: Days from the patient's first exam; None for all.
    """
    c = CHANGES.c
    found = select(
        c.patient_key, c.lesion_id, c.category, c.from_exam, c.to_exam, c.from_day, c.to_day,
        c.volume_change_pct, c.volume_rc_pct, c.area_change_pct, c.area_rc_pct,
    ).where(c.category.in_(GROWING))  # fmt: skip
    if day is not None:
        found = found.where(c.to_day >= day)
    return found.order_by(c.patient_key, c.lesion_id, c.to_day, c.from_day)


def mature(day: int | None) -> Select[Any]:
    """Lesions labelled mature now, and since which exam without a break.

    Args:
        day: Only those that have been so since this day or a later one; None for all.
    """
    c = LESIONS.c
    found = select(
        c.patient_key, c.lesion_id, c.mature_since_day, c.maturity_mature_since_exam,
        c.maturity_exam_id, c.maturity_stage_ledermann,
    ).where(c.maturity_label == "mature")  # fmt: skip
    if day is not None:
        found = found.where(c.mature_since_day >= day)
    return found.order_by(c.patient_key, c.lesion_id)


def not_evaluable(day: int | None) -> Select[Any]:
    """What could not be judged, and why: patients, exams, measurements, labels left open.

    Args:
        day: Only what speaks of an exam from this day on; None for all. Patients without a report,
            and labels that speak of no exam, are always told.
    """
    p, e, o, le, f = PATIENTS.c, EXAMS.c, OBSERVATIONS.c, LESIONS.c, FINDINGS.c
    patients = select(
        literal("patient").label("what"), p.patient_key, literal(None).label("lesion_id"),
        literal(None).label("exam_id"), p.code.label("why"),
    ).where(p.status != "done")  # fmt: skip
    exams = (
        select(literal("exam"), f.patient_key, literal(None), f.exam_id, f.code)
        .join(EXAMS, (e.patient_key == f.patient_key) & (e.exam_id == f.exam_id))
        .where(f.level == "error")
    )
    measured = select(
        literal("measurement"), o.patient_key, o.lesion_id, o.exam_id, o.flags
    ).where(o.status == "not_measurable")  # fmt: skip
    labels = (
        select(
            literal("label"), le.patient_key, le.lesion_id, le.maturity_exam_id, le.maturity_reasons
        )
        .outerjoin(EXAMS, (e.patient_key == le.patient_key) & (e.exam_id == le.maturity_exam_id))
        .where(le.maturity_label == "indeterminate")
    )
    if day is not None:
        exams = exams.where(e.days_from_baseline >= day)
        measured = measured.where(o.day >= day)
        labels = labels.where(or_(e.exam_id.is_(None), e.days_from_baseline >= day))
    together = patients.union_all(exams, measured, labels).subquery()
    t = together.c
    return select(together).order_by(t.patient_key, t.what, t.lesion_id, t.exam_id)


def failures(_day: int | None) -> Select[Any]:
    """How many patients failed for which reason, the commonest first."""
    c = PATIENTS.c
    count = func.count()
    return (
        select(c.code, count.label("patients"), func.min(c.message).label("for_example"))
        .where(c.status != "done")
        .group_by(c.code)
        .order_by(count.desc(), c.code)
    )


def failed(_day: int | None) -> Select[Any]:
    """Each patient that failed, and why."""
    c = PATIENTS.c
    return (
        select(c.patient_key, c.code, c.message, c.passing.label("may_pass"))
        .where(c.status != "done")
        .order_by(c.patient_key)
    )


QUESTIONS: dict[str, Callable[[int | None], Select[Any]]] = {
    "changed": changed,
    "mature": mature,
    "not-evaluable": not_evaluable,
    "failures": failures,
    "failed": failed,
}
"""By the name that ``hoimg query`` knows them by."""


def ask(database: Database, question: str, day: int | None = None) -> tuple[list[str], list[Row]]:
    """Column names and rows of the answer to a question of :data:`QUESTIONS`."""
    statement = QUESTIONS[question](day)
    names = [column.name for column in statement.selected_columns]
    rows = database.ask(statement)
    for row in rows:
        if question == "not-evaluable" and row["what"] in ("measurement", "label"):
            row["why"] = reasons(row["why"])
    return names, rows
