"""kill -9 at random moments, and whether the results are those of an undisturbed run.

    python benchmarks/archive/kills.py --patients 20 --kills 20

With the stand-in for the analysis that the tests have; processes, Dask and the database are the
real ones. Every kill hits the program (with the scheduler of its local cluster in it), a worker or
a patient's process, or, with ``--apart``, the scheduler or a worker of a cluster that was started
apart. No finished patient may be done again.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "archive")]

from archives import files, go, statuses, tables, write_root  # noqa: E402

KINDS = ("good", "refused", "good", "bug", "good", "crash", "good", "good", "flaky", "good")
RUNNER = """
import sys
from pathlib import Path
from archives import go
from hoimg.errors import HoimgError
if __name__ == "__main__":
    root, out, address = sys.argv[1:]
    try:
        go(Path(root), Path(out), dask=True, workers=2, scheduler=address or None)
    except HoimgError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


def targets(program: int, cluster: list[subprocess.Popen[bytes]]) -> dict[str, list[int]]:
    """What can be hit now, by kind."""
    found: dict[str, list[int]] = {"program": [program]}
    for top in (psutil.Process(program), *(psutil.Process(p.pid) for p in cluster)):
        for process in top.children(recursive=True):
            try:
                words = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue  # ended in between
            kind = "patient" if "odd_child" in words else "worker"
            if "resource_tracker" not in words:
                found.setdefault(kind, []).append(process.pid)
    if cluster:
        found["scheduler"] = [cluster[0].pid]
        found["worker"] = [p.pid for p in cluster[1:]]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--apart", action="store_true")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "archive"), str(ROOT)])
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        kinds = [KINDS[k % len(KINDS)] for k in range(given.patients)]
        # What one attempt mends is mended already, so that all runs meet the same.
        root = write_root(base / "root", *("good" if k == "flaky" else k for k in kinds))
        go(root, base / "quiet")
        hit: dict[str, int] = {}
        again, runs, left = 0, 0, given.kills
        out, log = base / "out", base / "log"
        while left:
            runs += 1
            done = recorded(out)
            kind, ended = one(root, out, log, rng, given.apart)
            if kind is not None:
                hit[kind] = hit.get(kind, 0) + 1
                left -= 1
            started = log.read_text().split() if log.exists() else []
            again += len(done & set(started))
            log.unlink(missing_ok=True)
            # Killed after the last patient it has not written the tables yet: the next run does.
            if ended and len(recorded(out)) == len(kinds):
                assert tables(out) == tables(base / "quiet"), "the database differs"
                assert files(out) == files(base / "quiet"), "the files differ"
                out = base / f"out{runs}"  # all done: from the beginning
        go(root, out)
        assert tables(out) == tables(base / "quiet"), "the database differs"
        assert files(out) == files(base / "quiet"), "the files differ"
        print(f"{given.kills} kills in {runs + 1} runs: {hit}")
        print(f"finished patients done again: {again}")


def recorded(out: Path) -> set[str]:
    """Keys of the patients in the database of a run."""
    return set(statuses(out)) if (out / "results.sqlite").exists() else set()


def one(
    root: Path, out: Path, log: Path, rng: random.Random, apart: bool
) -> tuple[str | None, bool]:
    """A run that is hit once, at a random moment.

    Returns:
        What was hit, None where it ended before; and whether it came to its end.
    """
    os.environ.update({"HOIMG_TEST_LOG": str(log), "HOIMG_TEST_SECONDS": "0.3"})
    cluster, address = start_cluster(log.parent) if apart else ([], "")
    words = [sys.executable, "-c", RUNNER, str(root), str(out), address]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    kind = None
    try:
        end = time.monotonic() + rng.uniform(2.0, 30.0)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is None:
            can = targets(process.pid, cluster)
            kind = rng.choice(sorted(can))
            try:
                os.kill(rng.choice(can[kind]), signal.SIGKILL)
            except ProcessLookupError:
                kind = None
        process.wait(300)
    finally:
        for other in cluster:
            other.kill()
            other.wait()
    return kind, process.returncode == 0


def start_cluster(folder: Path) -> tuple[list[subprocess.Popen[bytes]], str]:
    """Scheduler and two workers, started apart."""
    import json

    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    words = [sys.executable, "-m"]
    made = [
        subprocess.Popen(
            [*words, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
             "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)],
            stderr=subprocess.DEVNULL,
        )
    ]  # fmt: skip
    # It is there for a moment before anything is in it, and workers read it, too.
    while not file.exists() or not file.read_text().endswith("}"):
        time.sleep(0.05)
    for _ in range(2):
        made.append(
            subprocess.Popen(
                [*words, "distributed.cli.dask_worker", "--scheduler-file", str(file),
                 "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0",
                 "--local-directory", str(folder)],
                stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
    return made, str(json.loads(file.read_text())["address"])


if __name__ == "__main__":
    main()
