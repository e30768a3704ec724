"""Tasks onto a Dask cluster: a few at a time, each tried again where what failed may pass."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hoimg.archive.contain import run_task
from hoimg.archive.task import Outcome, Task, failed
from hoimg.errors import HoimgError
from hoimg.settings import BatchSettings

if TYPE_CHECKING:
    from distributed import Client, Future

TICK_S = 0.5
AHEAD = 2
"""Tasks sent for each thread of the cluster, so that none waits for us; the scheduler never holds
more, however many patients there are."""
LOST = 0
"""How many workers may die with a task before the scheduler gives it back to us: we count."""
START_S = 60.0
CLOSE_S = 10.0
COUNT_EVERY_S = 5.0
NOBODY_S = 120.0
"""A cluster without any worker for so long is taken to be lost."""


class ClusterLost(HoimgError):
    """The scheduler cannot be reached any more; exit code 1. What was finished is recorded."""


class Cluster:
    """A context manager around a Dask cluster: one of this machine, or one that is there.

    A local one listens on loopback only, encrypted with a certificate of its own, so that no
    other user of the machine can send it work.

    Args:
        workers: Worker processes of a local cluster.
        scheduler: Address of an existing one (``tcp://host:port``) in its place; its workers need
            this version of hoimg and the same paths.

    Raises:
        HoimgError: on entering, when it cannot be reached or has no worker.
    """

    def __init__(self, workers: int = 1, scheduler: str | None = None) -> None:
        self.workers = workers
        self.scheduler = scheduler
        self._undo = contextlib.ExitStack()
        self._client: Client | None = None
        self._threads_known = 1
        self._counted = self._seen = 0.0

    def __enter__(self) -> Cluster:
        import logging

        from distributed import Client, LocalCluster

        # Its own log tells of every worker that comes and goes.
        for name in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with contextlib.ExitStack() as undo:
            import dask

            undo.enter_context(
                dask.config.set(
                    {
                        "distributed.scheduler.allowed-failures": LOST,
                        "distributed.worker.profile.enabled": False,
                        "distributed.admin.system-monitor.interval": "10s",
                        "distributed.scheduler.work-stealing": False,
                        "distributed.scheduler.worker-saturation": 1.0,
                    }
                )
            )
            try:
                if self.scheduler is None:
                    cluster = LocalCluster(
                        n_workers=self.workers,
                        threads_per_worker=1,
                        host="127.0.0.1",
                        # The patients' processes have a limit; a worker itself holds nothing.
                        memory_limit=0,
                        dashboard_address=None,
                        security=True,
                        silence_logs=logging.CRITICAL,
                    )
                    undo.callback(_close, cluster)
                    self._client = Client(cluster)
                else:
                    self._client = Client(self.scheduler, timeout=START_S)
                undo.callback(_close, self._client)
                self._client.wait_for_workers(1, timeout=START_S)
            except (OSError, TimeoutError, ValueError) as error:
                where = self.scheduler or "the local cluster"
                raise HoimgError(
                    f"{where}: no Dask worker can be reached there ({type(error).__name__}); "
                    "start scheduler and workers first, or leave --scheduler away"
                ) from error
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(Exception):
            self._undo.close()

    def outcomes(
        self,
        tasks: Iterable[Task],
        limits: BatchSettings,
        again: Callable[[Task], Task],
        tick: Callable[[], None],
    ) -> Iterator[Outcome]:
        """Run the tasks; give each outcome when it is there, in any order.

        Args:
            tasks: Taken one by one as there is room.
            limits: Of one patient; ``tries`` says how often what may pass is tried.
            again: Gives the task with another folder, as the one before may still be written to.
            tick: Called a few times a second.

        Raises:
            ClusterLost: the scheduler is gone.
        """
        client = self._client
        assert client is not None
        self._counted, self._seen = float("-inf"), time.monotonic()
        waiting, out = iter(tasks), dict[Any, tuple[Task, int]]()
        back: deque[tuple[Task, int]] = deque()
        while True:
            room = AHEAD * self._threads(client) - len(out)
            while room > 0:
                nxt = back.popleft() if back else next(((t, 1) for t in waiting), None)
                if nxt is None:
                    break
                out[self._send(client, nxt[0], limits)] = nxt
                room -= 1
            if not out:
                return
            tick()
            for future in self._ready(client, list(out)):
                task, attempt = out.pop(future)
                outcome = replace(self._outcome(future, task), attempts=attempt)
                future.release()
                if outcome.passing and not outcome.fatal and attempt < limits.tries:
                    back.append((again(task), attempt + 1))
                else:
                    yield outcome

    def _send(self, client: Client, task: Task, limits: BatchSettings) -> Future[Any]:
        return client.submit(run_task, task, limits, key=task.folder, pure=False)

    def _threads(self, client: Client) -> int:
        """Threads of the cluster, at least one; asked for every few seconds only."""
        now = time.monotonic()
        if now - self._counted < COUNT_EVERY_S:
            return self._threads_known
        scheduler: Any = client.scheduler
        try:
            cores = client.sync(scheduler.ncores, workers=None, callback_timeout=START_S)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise self._lost() from error
        self._counted = now
        if cores:
            self._seen = now
        elif now - self._seen > NOBODY_S:
            raise self._lost()
        self._threads_known = max(int(sum(cores.values())), 1)
        return self._threads_known

    def _ready(self, client: Client, futures: list[Future[Any]]) -> list[Future[Any]]:
        from distributed import CancelledError, wait

        with contextlib.suppress(TimeoutError, CancelledError, OSError):
            wait(futures, timeout=TICK_S, return_when="FIRST_COMPLETED")
        if client.status not in ("running", "connecting") or any(f.cancelled() for f in futures):
            raise self._lost()
        return [f for f in futures if f.done()]

    def _outcome(self, future: Future[Any], task: Task) -> Outcome:
        from distributed import KilledWorker

        if future.status == "finished":
            result = future.result()
            assert isinstance(result, Outcome)
            return result
        error = future.exception()
        if isinstance(error, KilledWorker):
            return failed(
                task, "worker_lost", "The worker was lost while it was at this.", passing=True
            )
        said = f"The worker could not run it ({type(error).__name__})."
        return failed(task, "worker_failed", said, passing=isinstance(error, OSError))

    def _lost(self) -> ClusterLost:
        return ClusterLost(
            f"{self.scheduler or 'the local cluster'}: the Dask scheduler is gone; what was "
            "finished is recorded: start the same command again to go on"
        )


def _close(what: Any) -> None:
    """Close a cluster or client, but never wait long for one that is broken."""
    with contextlib.suppress(Exception):
        what.close(timeout=CLOSE_S)
