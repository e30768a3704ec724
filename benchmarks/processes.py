"""What a whole process costs, by the kernel's own account of it."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Of one process with all that it started and waited for.

    Attributes:
        wall_s: From its start to its end.
        cpu_s: Time on processors, user and system; on a busy machine it drifts far less.
        peak_bytes: Highest resident memory of the largest single one of these processes.
        said: Standard output.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    said: str


def apart(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call something large in a process of its own.

    The kernel counts what its parent held when a process was started as that process's own peak,
    so that who measures has to stay small.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given, **named).result()


def cost_of(words: Sequence[str]) -> Cost:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, said)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure; what was said is that of the last."""
    return Cost(
        statistics.median(c.wall_s for c in costs),
        statistics.median(c.cpu_s for c in costs),
        round(statistics.median(c.peak_bytes for c in costs)),
        costs[-1].said,
    )
