"""Tasks onto a Dask cluster: a few at a time, each tried again where what failed may pass."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hoimg.archive.contain import run_task
from hoimg.archive.task import Outcome, Task, failed
from hoimg.errors import HoimgError
from hoimg.settings import BatchSettings

if TYPE_CHECKING:
    from distributed import Client, Future

TICK_S = 0.5
LOST = 0
"""How many workers may die with a task before the scheduler gives it back to us: we count."""
START_S = 60.0
CLOSE_S = 10.0
COUNT_EVERY_S = 5.0
NOBODY_S = 120.0
"""A cluster without any worker for so long is taken to be lost."""
QUEUE_S = 24 * 3600.0
"""The same where jobs may have to wait in a queue."""


class ClusterLost(HoimgError):
    """The scheduler cannot be reached any more; exit code 1. What was finished is recorded."""


@dataclass(frozen=True)
class Where:
    """On which machines: this one, unless one of the others is named.

    Attributes:
        workers: Worker processes of this machine, or jobs of SLURM.
        scheduler: Address of a Dask cluster that is there (``tcp://host:port``); its workers need
            this version of hoimg and the same paths.
        slurm: Whether workers are jobs of SLURM.
    """

    workers: int = 1
    scheduler: str | None = None
    slurm: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.scheduler or ("SLURM" if self.slurm else "the local cluster")


class Cluster:
    """A context manager around a Dask cluster.

    A local one listens on loopback only, encrypted with a certificate of its own, so that no
    other user of the machine can send it work.

    Args:
        where: Which cluster.
        limits: Of one patient; ``tries`` says how often what may pass is tried.
        shared: A folder that all its machines see.

    Raises:
        HoimgError: on entering, when it cannot be reached or has no worker.
    """

    def __init__(self, where: Where, limits: BatchSettings, shared: Path) -> None:
        self.where = where
        self.limits = limits
        self.shared = shared
        self._undo = contextlib.ExitStack()
        self._client: Client | None = None
        self._threads_known = 1
        self._counted = self._seen = 0.0

    def __enter__(self) -> Cluster:
        import logging

        from distributed import Client

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
                        # Twenty milliseconds by default, in each of its processes.
                        "distributed.admin.tick.interval": "1s",
                        "distributed.scheduler.work-stealing": False,
                        "distributed.scheduler.worker-saturation": 1.0,
                        # Every other user of the machine could read their pages.
                        "distributed.scheduler.http.routes": [],
                        "distributed.worker.http.routes": [],
                    }
                )
            )
            try:
                if self.where.scheduler is None:
                    cluster = self._started()
                    undo.callback(_close, cluster)
                    self._client = Client(cluster)
                else:
                    self._client = Client(self.where.scheduler, timeout=START_S)
                undo.callback(_close, self._client)
                wait_s = QUEUE_S if self.where.slurm else START_S
                self._client.wait_for_workers(1, timeout=wait_s)
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                raise HoimgError(
                    f"{self.where.name}: no Dask worker can be reached there "
                    f"({type(error).__name__}); {self._hint()}"
                ) from error
            self._undo = undo.pop_all()
        return self

    def _started(self) -> Any:
        """A cluster of our own, which has to be closed."""
        import logging

        from distributed import LocalCluster

        if self.where.slurm:
            from hoimg.archive.slurm import slurm_cluster

            return slurm_cluster(self.where.workers, self.limits, self.shared)
        with warnings.catch_warnings():
            # Beside another batch it takes another port for the pages that it has not.
            warnings.filterwarnings("ignore", r"(?s)Port \d+ is already in use", UserWarning)
            return LocalCluster(
                n_workers=self.where.workers,
                threads_per_worker=1,
                host="127.0.0.1",
                # The patients' processes have a limit; a worker itself holds nothing.
                memory_limit=0,
                dashboard_address=None,
                security=True,
                silence_logs=logging.CRITICAL,
            )

    def _hint(self) -> str:
        if self.where.slurm:
            return "see whether sbatch works here, and what squeue says of the jobs"
        return "start scheduler and workers first, or leave --scheduler away"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(Exception):
            self._undo.close()
        self._client = None  # with it go the files of a certificate

    def outcomes(
        self,
        tasks: Iterable[Task],
        again: Callable[[Task], Task],
        tick: Callable[[], None],
    ) -> Iterator[Outcome]:
        """Run the tasks; give each outcome when it is there, in any order.

        Args:
            tasks: Taken one by one as there is room.
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
            # A task for each thread, the next when one ends. What is sent ahead goes to a worker at
            # once, and would wait there behind a long patient while another worker has none.
            room = self._threads(client) - len(out)
            while room > 0:
                nxt = back.popleft() if back else next(((t, 1) for t in waiting), None)
                if nxt is None:
                    break
                out[self._send(client, nxt[0])] = nxt
                room -= 1
            if not out:
                return
            tick()
            for future in self._ready(client, list(out)):
                task, attempt = out.pop(future)
                outcome = replace(self._outcome(future, task), attempts=attempt)
                future.release()
                if outcome.passing and not outcome.fatal and attempt < self.limits.tries:
                    back.append((again(task), attempt + 1))
                else:
                    yield outcome

    def _send(self, client: Client, task: Task) -> Future[Any]:
        return client.submit(run_task, task, self.limits, key=task.folder, pure=False)

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
        elif now - self._seen > (QUEUE_S if self.where.slurm else NOBODY_S):
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
            f"{self.where.name}: the Dask scheduler is gone; what was "
            "finished is recorded: start the same command again to go on"
        )


def _close(what: Any) -> None:
    """Close a cluster or client, but never wait long for one that is broken."""
    with contextlib.suppress(Exception):
        what.close(timeout=CLOSE_S)
