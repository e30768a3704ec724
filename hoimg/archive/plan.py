"""What a run would do, and why: what is done already with the same files and settings stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hoimg.archive.census import Case, Census
from hoimg.archive.database import Known
from hoimg.archive.task import SOFTWARE
from hoimg.settings import Settings

PATIENTS = "patients"
REPLACED = "replaced"
WORK = "work"
JOBS = "slurm"
"""Folders in the folder of results."""


@dataclass(frozen=True)
class Step:
    """A patient to analyse, and why: a few words, equal for equal reasons."""

    case: Case
    why: str


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        steps: Patients to analyse: most files first, so that no large one is left to be waited for
            alone, and then in the order of their keys.
        kept: Patients that are done, or failed for good, by key.
        gone: Keys in the database whose files are not there this time; they are left as they are.
    """

    steps: tuple[Step, ...]
    kept: Mapping[str, Known]
    gone: tuple[str, ...] = ()


def make_plan(census: Census, known: Mapping[str, Known], out: Path, settings: Settings) -> Plan:
    """Compare who is there with what is done.

    Args:
        census: Who is there.
        known: From the database.
        out: Folder of the results: a report that is gone from it is made again.
        settings: Of this run.
    """
    steps, kept = [], {}
    for case in census.cases:
        before = known.get(case.key)
        why = "new" if before is None else _why(before, case, out, settings)
        if why is not None:
            steps.append(Step(case, why))
        elif before is not None:
            kept[case.key] = before
    steps.sort(key=lambda step: (-len(step.case.files), step.case.key))
    there = {c.key for c in census.cases} | {r.key for r in census.refused}
    gone = tuple(sorted(k for k in known if k not in there and k.startswith("p")))
    return Plan(tuple(steps), kept, gone)


def _why(before: Known, case: Case, out: Path, settings: Settings) -> str | None:
    if before.input_sha256 != case.input_sha256:
        return "files changed"
    if before.config_sha256 != settings.sha256:
        return "settings changed"
    if before.software != SOFTWARE:
        return "another version of hoimg"
    if before.status == "done":
        whole = (out / PATIENTS / case.key / "manifest.json").is_file()
        return None if whole else "its report is gone"
    if before.passing:
        return f"failed before for a reason that may pass ({before.code})"
    limits = {"over_time": settings.batch.minutes, "over_memory": settings.batch.memory_gb}
    limit = limits.get(before.code or "")
    if limit is not None and before.over_limit is not None and limit > before.over_limit:
        return f"the limit that it went over is higher now ({before.code})"
    return None
