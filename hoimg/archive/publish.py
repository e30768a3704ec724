"""A finished report from where its process wrote it to where it belongs. Nothing is deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hoimg.archive.plan import PATIENTS, REPLACED, WORK
from hoimg.archive.task import OUTCOME, REPORT, TRACE, Outcome, read_outcome
from hoimg.report.files import sha256
from hoimg.whole_files import sync_folder

FAILURES = "failures"


def publish(outcome: Outcome, out: Path) -> Path | None:
    """Move the report of an outcome to ``patients/<key>``, and what stood there aside.

    May be called again after it was interrupted anywhere.

    Returns:
        Where an earlier report was moved to; None when there was none.

    Raises:
        OSError: when something cannot be moved.
    """
    made = Path(outcome.folder) / REPORT
    target = out / PATIENTS / outcome.key
    if outcome.status == "done" and not made.exists() and _is_it(target, outcome):
        return None  # moved, and interrupted before that was recorded
    aside = None
    if target.exists():
        aside = _free(out / REPLACED, outcome.key)
        target.replace(aside)
    if outcome.status == "done":
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
        sync_folder(target.parent)
    trace = Path(outcome.folder) / TRACE
    if trace.is_file():
        (out / FAILURES).mkdir(exist_ok=True)
        trace.replace(out / FAILURES / f"{outcome.key}.txt")
    return aside


def left_over(out: Path) -> Iterator[Outcome]:
    """Outcomes that an interrupted run had, but did not record."""
    for folder in sorted((out / WORK).glob("*/")):
        try:
            outcome = read_outcome((folder / OUTCOME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        # The folder of results may have been moved since.
        if folder.name == Path(outcome.folder).name and not outcome.passing and not outcome.fatal:
            yield replace(outcome, folder=str(folder))


def is_whole(outcome: Outcome, out: Path) -> bool:
    """Whether the report that an outcome speaks of is there, moved or not."""
    if outcome.status == "failed":
        return True
    made = Path(outcome.folder) / REPORT
    return _is_it(made, outcome) or (
        not made.exists() and _is_it(out / PATIENTS / outcome.key, outcome)
    )


def discard(outcome: Outcome) -> None:
    """Remove what is left of a task that is recorded."""
    shutil.rmtree(outcome.folder, ignore_errors=True)


def clear_work(out: Path) -> None:
    """Remove what unfinished processes left; nothing that is finished lies there."""
    shutil.rmtree(out / WORK, ignore_errors=True)


def _is_it(folder: Path, outcome: Outcome) -> bool:
    try:
        return sha256(folder / "manifest.json") == outcome.manifest_sha256
    except OSError:
        return False


def _free(folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (folder / f"{key}-{number}").exists():
        number += 1
    return folder / f"{key}-{number}"
