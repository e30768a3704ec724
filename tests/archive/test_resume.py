"""Killed at any moment, a batch goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from archives import (
    files,
    go,
    key_of,
    statuses,
    tables,
    workers_with_a_patient,
    write_root,
)

from hoimg.archive import publish
from hoimg.archive.run import Progress

HERE = Path(__file__).parent
KINDS = ["good"] * 3 + ["refused", "crash", "good", "bug"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Seven patients and what one quiet run makes of them."""
    base = tmp_path_factory.mktemp("resume")
    root = write_root(base / "root", *KINDS)
    summary = go(root, base / "out", workers=1)
    assert (summary.done, len(summary.failed)) == (4, 3)
    return root, base / "out"


def same(out: Path, other: Path) -> bool:
    return tables(out) == tables(other) and files(out) == files(other)


def recorded(out: Path) -> set[str]:
    try:
        return set(statuses(out))
    except sqlite3.OperationalError:
        return set()


def start(
    root: Path, out: Path, log: Path, workers: int, *more: str, seconds: float = 0.3
) -> subprocess.Popen[bytes]:
    paths = [str(HERE), *sys.path]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HOIMG_TEST_LOG": str(log)}
    words = [sys.executable, str(HERE / "runner.py"), str(root), str(out), str(workers), *more]
    return subprocess.Popen(words, env={**env, "HOIMG_TEST_SECONDS": str(seconds)})


def kill_when(process: subprocess.Popen[bytes], true: Callable[[], bool]) -> None:
    """SIGKILL to the parent, as soon as something is so; its workers have to end by themselves."""
    below = []
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, "it did not come so far"
        assert process.poll() is None, "it ended before"
        below = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.02)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive, "a worker or a patient's process outlives the program"


def test_one_and_two_workers_and_another_order_give_the_same(undisturbed, tmp_path):
    root, out = undisturbed
    go(root, tmp_path / "out", dask=True, workers=2, turn=True)
    assert same(tmp_path / "out", out)


def test_the_parent_killed_again_and_again(undisturbed, tmp_path):
    root, quiet = undisturbed
    out = tmp_path / "out"
    finished: set[str] = set()
    # While the first patients run; when one and when five are recorded; then to the end.
    for number, (wanted, workers) in enumerate(((0, 2), (1, 2), (5, 1), (None, 1))):
        log = tmp_path / f"log{number}"
        process = start(root, out, log, workers)
        if wanted is None:
            assert process.wait(300) == 4
        else:
            kill_when(process, lambda n=wanted, f=log: f.exists() and len(recorded(out)) >= n)
        assert not finished & set(log.read_text().split()), "a finished patient was done again"
        finished = recorded(out)
    assert same(out, quiet)
    with sqlite3.connect(out / "results.sqlite") as database:
        states = [s for (s,) in database.execute("SELECT state FROM runs ORDER BY run")]
    assert states == ["killed", "killed", "killed", "finished"]


def test_a_worker_killed_costs_nothing_but_time(undisturbed, tmp_path, monkeypatch):
    root, quiet = undisturbed
    log = tmp_path / "log"
    monkeypatch.setenv("HOIMG_TEST_LOG", str(log))
    monkeypatch.setenv("HOIMG_TEST_SECONDS", "0.3")
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        """Kill the worker above a patient's process, once early and once late."""
        if len(killed) < 2 and progress.ended >= 3 * len(killed):
            for worker in workers_with_a_patient(os.getpid())[:1]:
                assert "multiprocessing" in " ".join(psutil.Process(worker).cmdline())
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    summary = go(root, tmp_path / "out", dask=True, workers=2, watch=watch)
    assert len(set(killed)) == 2
    assert (summary.done, len(summary.failed)) == (4, 3)
    assert same(tmp_path / "out", quiet)


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_interrupted_while_a_report_is_published(undisturbed, tmp_path, monkeypatch, moment):
    """Before it is moved, after it is moved, and when it is recorded but not yet tidied up."""
    root, quiet = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    monkeypatch.setenv("HOIMG_TEST_LOG", str(log))
    calls = []

    class Killed(BaseException):
        pass

    def stop_second(*_: object, **__: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Killed

    real = publish.publish
    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr("hoimg.archive.run.publish", lambda *a: (stop_second(), real(*a))[1])
        elif moment == "between":
            patch.setattr("hoimg.archive.run.publish", lambda *a: (real(*a), stop_second())[0])
        else:
            patch.setattr("hoimg.archive.run.discard", stop_second)
        with pytest.raises(Killed):
            go(root, out, workers=1)
    # The second patient's process had ended; its outcome is taken up, not made again.
    finished = set(log.read_text().split()[:2])
    log.unlink()
    summary = go(root, out, workers=1)
    assert not finished & set(log.read_text().split())
    assert summary.progress.adopted >= (0 if moment == "after" else 1)
    assert same(out, quiet)


def test_a_full_disk_stops_clearly_and_harms_nothing(undisturbed, tmp_path):
    root, quiet = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    for limit in (2_000, 60_000, 150_000):
        process = start(root, out, log, 1, str(limit), seconds=0)
        assert process.wait(300) == 1
        if (out / "results.sqlite").exists() and recorded(out):
            tables(out)  # whole: the integrity check is in there
    done = recorded(out)
    log.unlink(missing_ok=True)
    assert start(root, out, log, 1, str(2**30), seconds=0).wait(300) == 4
    assert not done & set(log.read_text().split())
    assert same(out, quiet)


def test_a_patient_whose_disk_is_full_stops_the_run_and_is_no_failure(tmp_path):
    from hoimg.errors import HoimgError

    root = write_root(tmp_path / "root", "good", "full")
    with pytest.raises(HoimgError, match=r"No space left on device.*go on"):
        go(root, tmp_path / "out", workers=1)
    (full,) = root.rglob("full.dcm")
    assert key_of(full) not in statuses(tmp_path / "out")
    moved = full.rename(full.with_name("good.dcm"))
    assert moved.exists()
    assert go(root, tmp_path / "out", workers=1).done == 2


def test_files_changed_redo_that_patient_and_keep_the_earlier_report(
    undisturbed, tmp_path, monkeypatch
):
    import shutil

    from archives import settings
    from synthetic_archive_ct import write_one

    root, quiet = undisturbed
    mine, out, log = tmp_path / "root", tmp_path / "out", tmp_path / "log"
    shutil.copytree(root, mine)  # with the times of change
    shutil.copytree(quiet, out)
    monkeypatch.setenv("HOIMG_TEST_LOG", str(log))
    # The same files under other names and folders are the same input.
    first = sorted(mine.rglob("good.dcm"))[0]
    first.parent.rename(mine / "somewhere else")
    assert go(mine, out).progress.planned == 0
    assert not log.exists()
    # One more image of a patient: that one again, the report of before is kept aside.
    key = key_of(mine / "somewhere else" / "good.dcm")
    write_one(mine / "x" / "good2.dcm", "SECRET-00", number=2)
    summary = go(mine, out)
    assert log.read_text().split() == [key]
    assert summary.progress.aside == 1
    assert [p.name for p in (out / "replaced").iterdir()] == [f"{key}-1"]
    # Other settings: everybody again.
    log.unlink()
    other = settings()
    other = other.model_copy(
        update={"segment": other.segment.model_copy(update={"metal_hu": 2600.0})}
    )
    assert go(mine, out, workers=2, settings=other).progress.planned == len(KINDS)
    # A second one beside the first; those that failed had none.
    assert len(list((out / "replaced").iterdir())) == 1 + KINDS.count("good")
    assert (out / "replaced" / f"{key}-2").is_dir()
