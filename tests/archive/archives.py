"""Archives of tiny patients for tests, and what a batch left, in a form that can be compared."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import odd_child
import psutil
import pydicom
from synthetic_archive_ct import write_one

from hoimg.archive import child
from hoimg.archive.census import Census, census_of_root
from hoimg.archive.cluster import Where
from hoimg.archive.contain import run_task
from hoimg.archive.run import Summary, run_batch
from hoimg.archive.task import Outcome, Task
from hoimg.settings import BatchSettings, Settings

VOLATILE = {"runs", "timings"}
"""Tables that say when and how long, and so differ from run to run."""


def settings(**batch: Any) -> Settings:
    """Limits for tests; results are small, so that little free space is asked for."""
    return Settings(batch=BatchSettings(**{"free_gb": 0.0, "minutes": 2.0, **batch}))


def write_root(root: Path, *kinds: str) -> Path:
    """A folder of one patient for each kind (see :mod:`odd_child`), named after a person."""
    for number, kind in enumerate(kinds):
        write_one(root / f"Zoltanfy^Otto{number:02d}" / f"{kind}.dcm", f"SECRET-{number:02d}")
    return root


class OneAfterTheOther:
    """In place of the Dask cluster where a test is about something else.

    A patient that would end its process has one; the others are done here.
    """

    def __init__(self, where: Where, limits: BatchSettings, shared: Path) -> None:
        assert where.scheduler is None
        self.limits = limits

    def __enter__(self) -> OneAfterTheOther:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def outcomes(
        self,
        tasks: Iterable[Task],
        again: Callable[[Task], Task],
        tick: Callable[[], None],
    ) -> Iterator[Outcome]:
        for task in tasks:
            tick()
            outcome = _done(task, self.limits)
            for attempt in range(2, self.limits.tries + 1):
                if outcome.passing and not outcome.fatal:
                    outcome = replace(_done(again(task), self.limits), attempts=attempt)
            yield outcome


def _done(task: Task, limits: BatchSettings) -> Outcome:
    if Path(task.files[0]).stem in odd_child.ENDS_ITS_PROCESS:
        return run_task(task, limits)
    Path(task.folder).mkdir(parents=True)
    with patch("hoimg.archive.child._report", odd_child.act):
        return child.do(task)


def go(
    root: Path,
    out: Path,
    *,
    dask: bool = False,
    turn: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    **more: Any,
) -> Summary:
    """A batch with the stand-in for the analysis."""
    wanted = more.pop("settings", None) or settings()
    census = census_of_root(root, wanted)
    if turn:
        census = backwards(census)
    with ExitStack() as stack:
        if not dask:
            stack.enter_context(patch("hoimg.archive.run.Cluster", OneAfterTheOther))
        where = Where(workers, scheduler)
        return run_batch(census, out, wanted, where=where, entry=odd_child.__name__, **more)


def workers_with_a_patient(top: int) -> list[int]:
    """The worker above each patient's process that runs somewhere below a process."""
    found = []
    for process in psutil.Process(top).children(recursive=True):
        with suppress(psutil.Error):  # it may have ended just now
            if odd_child.__name__ in process.cmdline():
                found.append(process.ppid())
    return found


def backwards(census: Census) -> Census:
    return replace(census, cases=census.cases[::-1])


def tables(out: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that does not say when or how long, read with sqlite3 itself."""
    with closing(sqlite3.connect(out / "results.sqlite")) as database:
        names = [
            r[0] for r in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        assert set(names) > VOLATILE
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {
            name: sorted(database.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in names
            if name not in VOLATILE
        }


def statuses(out: Path) -> dict[str, tuple[str, str | None]]:
    """Key of each patient to status and code."""
    with closing(sqlite3.connect(out / "results.sqlite")) as database:
        return {
            k: (s, c)
            for k, s, c in database.execute("SELECT patient_key,status,code FROM patients")
        }


def files(out: Path) -> dict[str, str]:
    """Hash of every file but the database, the lock and the exported tables of time."""
    skipped = {"results.sqlite", "results.sqlite-wal", "results.sqlite-shm", "batch.lock"} | {
        f"tables/{name}.{kind}" for name in VOLATILE for kind in ("csv", "parquet")
    }
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and (name := path.relative_to(out).as_posix()) not in skipped
    }


def key_of(path: Path) -> str:
    """The key that stands for a file's patient, computed from the documented formula."""
    return key_of_id(str(pydicom.dcmread(path, stop_before_pixels=True).PatientID))


def key_of_id(patient_id: str) -> str:
    """The key that stands for a PatientID without an issuer."""
    return "p" + hmac.new(b"hoimg", f"id:{patient_id}".encode(), "sha256").hexdigest()[:12]
