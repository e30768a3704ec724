"""A Dask cluster started apart from the program: the same results, and an end that is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest
from archives import files, go, settings, tables, workers_with_a_patient, write_root

from hoimg.archive.cluster import Cluster, ClusterLost, Where
from hoimg.archive.run import Progress
from hoimg.errors import HoimgError

HERE = Path(__file__).parent
KINDS = ["good", "refused", "good", "crash", "good"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Five patients and what one quiet run makes of them."""
    base = tmp_path_factory.mktemp("existing")
    root = write_root(base / "root", *KINDS)
    go(root, base / "out")
    return root, base / "out"


class Running:
    """Scheduler and workers, as ``dask scheduler`` and ``dask worker`` start them."""

    def __init__(self, folder: Path, log: Path, seconds: float) -> None:
        folder.mkdir()
        self.folder = folder
        paths = [str(HERE), *sys.path]
        self._env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "HOIMG_TEST_LOG": str(log),
            "HOIMG_TEST_SECONDS": str(seconds),
        }
        self._file = folder / "scheduler.json"
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(self._file),
        )  # fmt: skip
        # It is there for a moment before anything is in it, and workers read it, too.
        until(lambda: self._file.exists() and self._file.read_text().endswith("}"))
        self.address = str(json.loads(self._file.read_text())["address"])
        self.workers = [self.add() for _ in range(2)]

    def add(self) -> subprocess.Popen[bytes]:
        """One more worker, of one thread."""
        return self._start(
            "dask_worker", "--scheduler-file", str(self._file), "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--memory-limit", "0", "--local-directory", str(self.folder),
        )  # fmt: skip

    def _start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{what}", *words],
            env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not true():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.02)


@contextmanager
def running(folder: Path, log: Path, seconds: float = 0.0) -> Iterator[Running]:
    cluster = Running(folder, log, seconds)
    try:
        yield cluster
    finally:
        cluster.end()


def same(out: Path, other: Path) -> bool:
    return tables(out) == tables(other) and files(out) == files(other)


def test_it_does_the_same_and_loses_nothing_with_a_worker(undisturbed, tmp_path):
    root, quiet = undisturbed
    log = tmp_path / "log"
    with running(tmp_path / "dask", log, 0.6) as cluster:
        killed: list[int] = []

        def watch(progress: Progress) -> None:
            """Kill a worker that has a patient, once, and have another one come."""
            for worker in cluster.workers:
                if not killed and progress.ended >= 1 and workers_with_a_patient(worker.pid):
                    worker.kill()
                    worker.wait()
                    killed.append(worker.pid)
            if killed and len(cluster.workers) == 2:
                cluster.workers.append(cluster.add())

        summary = go(root, tmp_path / "out", dask=True, scheduler=cluster.address, watch=watch)
        assert killed
        assert (summary.done, len(summary.failed)) == (3, 2)
        assert same(tmp_path / "out", quiet)
        # The cluster is not ours to end.
        assert cluster.scheduler.poll() is None
        log.unlink()
        assert go(root, tmp_path / "out", dask=True, scheduler=cluster.address).progress.kept == 5
        assert not log.exists()


def test_a_scheduler_that_is_killed_stops_the_run_clearly_and_the_next_one_goes_on(
    undisturbed, tmp_path
):
    root, quiet = undisturbed
    log, done = tmp_path / "log", set[str]()
    with running(tmp_path / "dask", log, 0.3) as cluster:

        def watch(progress: Progress) -> None:
            if progress.ended >= 1 and cluster.scheduler.poll() is None:
                os.kill(cluster.scheduler.pid, signal.SIGKILL)
                cluster.scheduler.wait()

        with pytest.raises(ClusterLost, match=r"tcp://127.*scheduler is gone.*go on"):
            go(root, tmp_path / "out", dask=True, scheduler=cluster.address, watch=watch)
        done = {str(row[0]) for row in tables(tmp_path / "out")["patients"]}
        assert done
    log.unlink()
    with running(tmp_path / "again", log) as cluster:
        go(root, tmp_path / "out", dask=True, scheduler=cluster.address)
    assert not done & set(log.read_text().split())
    assert same(tmp_path / "out", quiet)


def listening() -> set[tuple[str, int]]:
    """Addresses that this process and all below it listen on."""
    me = psutil.Process()
    places = [c for p in (me, *me.children(recursive=True)) for c in p.net_connections("tcp")]
    return {(c.laddr.ip, c.laddr.port) for c in places if c.status == psutil.CONN_LISTEN}


def answered(host: str, port: int) -> set[int]:
    """Codes that Dask's pages give; nothing where no HTTP is spoken."""
    codes = set()
    for page in ("/info/main/workers.html", "/json/identity.json", "/metrics", "/health"):
        connection = HTTPConnection(host, port, timeout=30)
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("GET", page)
            codes.add(connection.getresponse().status)
    return codes


def test_a_cluster_of_ours_has_no_page_for_other_users_of_the_machine(tmp_path):
    before = listening()
    with Cluster(Where(), settings().batch, tmp_path):
        places = listening() - before
        assert {host for host, _ in places} == {"127.0.0.1"}
        assert set.union(*(answered(*place) for place in places)) == {404}


def test_where_no_cluster_is_the_run_says_so(undisturbed, tmp_path, monkeypatch):
    root, _ = undisturbed
    monkeypatch.setattr("hoimg.archive.cluster.START_S", 0.5)
    with pytest.raises(HoimgError, match=r"tcp://127\.0\.0\.1:9: no Dask worker.*start scheduler"):
        go(root, tmp_path / "out", dask=True, scheduler="tcp://127.0.0.1:9")
