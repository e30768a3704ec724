"""What the cohort page tells, as values read from ``results.sqlite``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select

from hoimg.archive.database import DATABASE, Database
from hoimg.archive.tables import (
    CHANGES,
    EXAMS,
    FINDINGS,
    LABELS,
    LESIONS,
    OBSERVATIONS,
    PATIENTS,
    Row,
)
from hoimg.errors import UsageError

MOST_PATIENTS = 10_000
"""More would make a page that no browser opens."""


@dataclass(frozen=True)
class LastChange:
    """The change of a lesion that the newest exam shows, from the nearest exam before it.

    Attributes:
        category: As in the report.
        days: Between the two exams.
        volume_pct: Change of volume, %; None where it was not measured.
        rc_pct: What it has to exceed, %.
        comparable: Whether both exams were made alike enough.
    """

    category: str
    days: int
    volume_pct: float | None
    rc_pct: float | None
    comparable: bool


@dataclass(frozen=True)
class LesionCourse:
    """One lesion over time.

    Attributes:
        patient_key: Whose it is.
        lesion_id: Within the patient.
        label: The maturity label now.
        reasons: Codes behind it.
        region: Of the body; None where nothing tells it.
        volumes: Day and volume, mm3, of each exam that measured one, in date order.
        labels: Day and label of each exam that was rated, in date order.
        change: The last one; None for a lesion that was seen once.
        last_seen: How the newest exam that speaks of it saw it: ``measured``, ``absent``, …
    """

    patient_key: str
    lesion_id: str
    label: str
    reasons: tuple[str, ...]
    region: str | None
    volumes: tuple[tuple[int, float], ...]
    labels: tuple[tuple[int, str], ...]
    change: LastChange | None
    last_seen: str | None

    @property
    def now_mm3(self) -> float | None:
        """What the newest exam that speaks of it measured; None where it measured none."""
        return self.volumes[-1][1] if self.last_seen == "measured" and self.volumes else None


@dataclass(frozen=True)
class Patient:
    """One patient, or path of the input without one.

    Attributes:
        key: Pseudonym, as in the report.
        status: ``done`` or ``failed``.
        code: Why it failed.
        message: The same in words.
        days: Of its exams from the first, in order.
        total_mm3: Volume of all lesions at the newest CT; None where it is not known.
        warnings: Findings of its exams that are warnings or errors.
        lesions: In the order of the report.
    """

    key: str
    status: str
    code: str | None
    message: str | None
    days: tuple[int, ...] = ()
    total_mm3: float | None = None
    warnings: int = 0
    lesions: tuple[LesionCourse, ...] = field(default=())

    @property
    def done(self) -> bool:
        """Whether there is a report."""
        return self.status == "done"


def read_cohort(out: Path) -> list[Patient]:
    """Everybody in the results of a batch, in the order of their keys.

    Args:
        out: Folder of the results.

    Raises:
        UsageError: when it holds none.
    """
    with Database(out / DATABASE, read_only=True) as database:
        rows = _some(database, PATIENTS, "patient_key", "status", "code", "message")
        if len(rows) > MOST_PATIENTS:
            raise UsageError(
                f"{out}: {len(rows)} patients are too many for a page (at most {MOST_PATIENTS}); "
                "ask with hoimg query, or take the files in its folder tables"
            )
        lesions = _lesions(database)
        of_exam = ("patient_key", "days_from_baseline", "total_lesions", "total_volume_mm3")
        exams = _grouped(_some(database, EXAMS, *of_exam), "patient_key")
        warned = {
            row["patient_key"]: row["n"]
            for row in database.ask(
                select(FINDINGS.c.patient_key, func.count().label("n"))
                .where(FINDINGS.c.level != "info")
                .group_by(FINDINGS.c.patient_key)
            )
        }
        return [
            Patient(
                row["patient_key"],
                row["status"],
                row["code"],
                row["message"],
                tuple(sorted(e["days_from_baseline"] for e in exams[row["patient_key"]])),
                _newest_total(exams[row["patient_key"]]),
                warned.get(row["patient_key"], 0),
                tuple(lesions[row["patient_key"]]),
            )
            for row in rows
        ]


def _lesions(database: Database) -> Mapping[str, list[LesionCourse]]:
    key = ("patient_key", "lesion_id")
    seen = _grouped(_some(database, OBSERVATIONS, *key, "day", "status", "volume_mm3"), *key)
    of_change = ("from_day", "to_day", "days", "category", "comparable")
    sizes = ("volume_change_pct", "volume_rc_pct")
    changed = _grouped(_some(database, CHANGES, *key, *of_change, *sizes), *key)
    rated = _grouped(_some(database, LABELS, *key, "day", "label"), *key)
    found: defaultdict[str, list[LesionCourse]] = defaultdict(list)
    for row in _some(database, LESIONS, *key, "maturity_label", "maturity_reasons", "region"):
        who = (row["patient_key"], row["lesion_id"])
        observed = sorted(seen[who], key=lambda o: o["day"])
        found[row["patient_key"]].append(
            LesionCourse(
                *who,
                row["maturity_label"],
                tuple(json.loads(row["maturity_reasons"] or "[]")),
                row["region"],
                tuple((o["day"], o["volume_mm3"]) for o in observed if o["volume_mm3"] is not None),
                tuple(sorted((r["day"], r["label"]) for r in rated[who])),
                _last(changed[who]),
                observed[-1]["status"] if observed else None,
            )
        )
    return found


def _last(changes: list[Row]) -> LastChange | None:
    if not changes:
        return None
    row = max(changes, key=lambda c: (c["to_day"], c["from_day"]))
    return LastChange(
        row["category"],
        row["days"],
        row["volume_change_pct"],
        row["volume_rc_pct"],
        bool(row["comparable"]),
    )


def _newest_total(exams: list[Row]) -> float | None:
    """Of the newest exam that can have one: a film has no volume."""
    scans = [e for e in exams if e["total_lesions"] is not None]
    newest = max(scans, key=lambda e: e["days_from_baseline"], default=None)
    return None if newest is None else newest["total_volume_mm3"]


def _some(database: Database, table: Table, *names: str) -> list[Row]:
    """These columns of every row, in the order of the table's key."""
    wanted = select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)
    return database.ask(wanted)


def _grouped(rows: Iterable[Row], *names: str) -> defaultdict[Any, list[Row]]:
    """Rows by the value of a column, or by the values of several."""
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[names[0]] if len(names) == 1 else tuple(row[n] for n in names)].append(row)
    return groups
