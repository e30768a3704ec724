"""One patient in a process of its own, watched: what runs on a worker of the cluster."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from hoimg.archive.task import NO_ROOM, Outcome, Task, failed, read_outcome
from hoimg.settings import BatchSettings

START = (
    "import sys, json, importlib; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[3]).main()"
)
"""It finds modules where its parent does, and never in the current folder."""
ENVIRONMENT = {
    # One core a patient: the cluster keeps the others busy.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}
LOOK_EVERY_S = 0.05
MEMORY_EVERY_S = 0.25
_MB = 1e6


def run_task(task: Task, limits: BatchSettings) -> Outcome:
    """Start the patient's process, see that it stays within its limits, and take its outcome.

    Whatever the process does (hang, crash, take all memory), this returns an outcome. The
    process and all that it started are gone then.

    Args:
        task: The patient.
        limits: Minutes and memory.
    """
    begun, watch = time.monotonic(), _Watch()
    try:
        outcome = _run(task, limits, watch)
    except OSError as error:
        said = f"The patient's process could not be started: {error.strerror}."
        full = error.errno in NO_ROOM
        outcome = failed(
            task, "no_room" if full else "io_error", said, passing=not full, fatal=full
        )
    return replace(
        outcome,
        seconds=round(time.monotonic() - begun, 2),
        peak_mb=round(watch.peak_bytes / _MB, 1),
        machine=platform.node(),
    )


@dataclass
class _Watch:
    """What was seen while the process ran."""

    peak_bytes: int = 0
    over: str = ""


def _run(task: Task, limits: BatchSettings, watch: _Watch) -> Outcome:
    Path(task.folder).mkdir(parents=True)
    life, hold = os.pipe()
    try:
        # Not on the command line, where everyone could read the paths, nor in a file with a name.
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answer:
            asked.write(json.dumps(asdict(task)).encode())
            asked.seek(0)
            with _process(task, asked, answer, life) as process:
                _wait(process, limits, watch)
            answer.seek(0)
            said = answer.read().decode("utf-8", "replace")
    finally:
        os.close(life)
        os.close(hold)
    if watch.over == "over_time":
        text = f"It took longer than {limits.minutes:g} minutes (setting batch.minutes)."
        return failed(task, "over_time", text, limit=limits.minutes)
    if watch.over == "over_memory":
        text = f"It needed more than {limits.memory_gb:g} GB (setting batch.memory_gb)."
        return failed(task, "over_memory", text, limit=limits.memory_gb)
    try:
        return replace(read_outcome(said), key=task.key, fingerprint=task.fingerprint)
    except ValueError:
        return _ended(task, process.returncode)


def _ended(task: Task, code: int) -> Outcome:
    """A process that ended without a word."""
    if code == -signal.SIGKILL:
        # Somebody did that, most likely the system when memory was short.
        said = "The process was killed; the machine may have run out of memory."
        return failed(task, "process_killed", said, passing=True)
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return failed(task, "process_crashed", f"The process crashed ({name}).")
    return failed(task, "process_failed", f"The process ended with code {code} and no outcome.")


@contextlib.contextmanager
def _process(
    task: Task, asked: IO[bytes], answer: IO[bytes], life: int
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a group of its own that is ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", START, json.dumps(sys.path), str(life), task.entry],
        stdin=asked,
        stdout=answer,
        stderr=subprocess.DEVNULL,
        pass_fds=(life,),
        start_new_session=True,
        env={**os.environ, **ENVIRONMENT},
    )
    try:
        yield process
    finally:
        # Until it is waited for, its number is nobody else's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], limits: BatchSettings, watch: _Watch) -> None:
    """Wait until the process has ended or is over a limit."""
    now = time.monotonic()
    end, look = now + 60 * limits.minutes, now
    while not _over(process):
        now = time.monotonic()
        if now > end:
            watch.over = "over_time"
            return
        if now >= look:
            look = now + MEMORY_EVERY_S
            used = memory_of(process.pid)
            watch.peak_bytes = max(watch.peak_bytes, used)
            if used > limits.memory_gb * 1e9:
                watch.over = "over_memory"
                return
        time.sleep(LOOK_EVERY_S)


def _over(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it is left to be waited for, so that its group can be ended safely."""
    found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    return found is not None


def memory_of(pid: int) -> int:
    """Memory of a process and all below it, bytes; what they share counts once for the largest."""
    import psutil

    private, shared = 0, 0
    try:
        for process in _with_below(pid):
            with contextlib.suppress(psutil.Error):
                held = psutil.Process(process).memory_info()
                common = getattr(held, "shared", 0)
                private += held.rss - common
                shared = max(shared, common)
    except psutil.Error:
        return 0
    return private + shared


def _with_below(pid: int) -> list[int]:
    """A process and all below it, by the kernel's own lists of children.

    Where it keeps none psutil goes through all processes of the machine, which costs far more.
    """
    found, waiting = list[int](), [pid]
    while waiting:
        found.append(one := waiting.pop())
        try:
            lists = list(Path(f"/proc/{one}/task").glob("*/children"))
            waiting += [int(word) for file in lists for word in file.read_text().split()]
        except OSError:
            continue  # it has just ended
        if one == pid and not lists:
            import psutil

            return [pid, *(p.pid for p in psutil.Process(pid).children(recursive=True))]
    return found
