"""Work beside other work: what runs outside of Python's lock, where there is a core for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def side_threads(threads: int) -> Executor:
    """Threads for work beside the caller's; to be used with ``with``.

    As libraries do, this goes by ``OMP_NUM_THREADS``. Where it is 1, as in a patient's process of a
    batch, what is submitted is done at once by the caller: as many such processes as there are
    cores are not in each other's way, and what two lanes of work need is in memory one after the
    other. Results are the same.

    Args:
        threads: How many, where there may be more than one.
    """
    if os.environ.get("OMP_NUM_THREADS") == "1":
        return _Here()
    return ThreadPoolExecutor(threads)


class _Here(Executor):
    """Does what is submitted in the thread that submits it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # raised where the result is asked for, as from a thread
            done.set_exception(error)
        return done
