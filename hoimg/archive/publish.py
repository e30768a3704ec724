"""A finished report from where its process wrote it to where it belongs. Nothing is deleted."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from hoimg.archive.plan import PATIENTS, REPLACED, WORK
from hoimg.archive.task import OUTCOME, REPORT, TRACE, Outcome, read_outcome
from hoimg.report.files import sha256
from hoimg.report.writer import written_files
from hoimg.whole_files import sync_folder

FAILURES = "failures"


def found_report(outcome: Outcome, out: Path) -> Path | None:
    """Where the report that an outcome speaks of lies, whole: as made, or moved to its place.

    Returns:
        Its folder; None when it is not there, or any of its files is not as its manifest says.
    """
    places = (Path(outcome.folder) / REPORT, out / PATIENTS / outcome.key)
    return next((folder for folder in places if _is_it(folder, outcome)), None)


def publish(outcome: Outcome, report: Path | None, out: Path) -> Path | None:
    """Move the report of an outcome to ``patients/<key>``, and what stood there aside.

    May be called again after it was interrupted anywhere.

    Args:
        outcome: How a patient ended.
        report: Where their report lies (:func:`found_report`); None when they failed.
        out: Folder of the results.

    Returns:
        Where an earlier report was moved to; None when there was none.

    Raises:
        OSError: when something cannot be moved.
    """
    target = out / PATIENTS / outcome.key
    if report == target:
        return None  # moved, and interrupted before that was recorded
    aside = None
    if target.exists():
        aside = _free(out / REPLACED, outcome.key)
        target.replace(aside)
        sync_folder(aside.parent)
    if report is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        report.replace(target)
        sync_folder(target.parent)
    trace = Path(outcome.folder) / TRACE
    if trace.is_file():
        (out / FAILURES).mkdir(exist_ok=True)
        trace.replace(out / FAILURES / f"{outcome.key}.txt")
    return aside


def latest_report(out: Path, key: str) -> Path | None:
    """The newest report of a patient, replaced or not: it names the lesions of the next one."""
    if (out / PATIENTS / key).is_dir():
        return out / PATIENTS / key
    number = _replaced(out / REPLACED, key)
    return out / REPLACED / f"{key}-{number}" if number else None


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


def discard(outcome: Outcome) -> None:
    """Remove what is left of a task that is recorded."""
    shutil.rmtree(outcome.folder, ignore_errors=True)


def clear_work(out: Path) -> None:
    """Remove what unfinished processes left; nothing that is finished lies there."""
    shutil.rmtree(out / WORK, ignore_errors=True)


def clear_traces(out: Path, failed: Collection[str]) -> None:
    """Remove from ``failures/`` what is of nobody whose failure is on record any more.

    Args:
        out: Folder of the results.
        failed: Keys whose recorded failure has its trace there.
    """
    for trace in (out / FAILURES).glob("*.txt"):
        if trace.stem not in failed:
            trace.unlink(missing_ok=True)


def _is_it(folder: Path, outcome: Outcome) -> bool:
    try:
        return sha256(folder / "manifest.json") == outcome.manifest_sha256 and all(
            sha256(folder / name) == written for name, written in written_files(folder).items()
        )
    except OSError:
        return False


def _replaced(folder: Path, key: str) -> int:
    """How many replaced reports of a patient there are; they are numbered from 1."""
    number = 0
    while (folder / f"{key}-{number + 1}").exists():
        number += 1
    return number


def _free(folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}-{_replaced(folder, key) + 1}"
