"""The whole of a batch: who is there, what is to do, one process each, results recorded."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from hoimg.archive.census import NOBODY, Census
from hoimg.archive.cluster import Cluster, Where
from hoimg.archive.database import DATABASE, Database
from hoimg.archive.export import export_tables
from hoimg.archive.lock import LOCK, Lock
from hoimg.archive.plan import JOBS, PATIENTS, WORK, Plan, Step, make_plan
from hoimg.archive.publish import (
    clear_traces,
    clear_work,
    discard,
    found_report,
    latest_report,
    left_over,
    publish,
)
from hoimg.archive.records import refused_rows, rows_of_outcome
from hoimg.archive.tables import PATIENTS as PATIENTS_TABLE
from hoimg.archive.tables import Row
from hoimg.archive.task import CHILD, SOFTWARE, Outcome, Task, fingerprint, probe
from hoimg.errors import HoimgError, UsageError
from hoimg.settings import Settings


@dataclass
class Progress:
    """How far a run is; changed while it runs.

    Attributes:
        planned: Patients to analyse in this run.
        kept: Patients that were finished before.
        done: Reports made in this run.
        failures: Failed in this run, by code.
        adopted: Of those in this run, finished by an interrupted one and only recorded now.
        peak_mb: Most memory of one patient so far.
        aside: Earlier reports that were moved to ``replaced/``.
    """

    planned: int = 0
    kept: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    adopted: int = 0
    peak_mb: float = 0.0
    aside: int = 0

    @property
    def ended(self) -> int:
        """Patients of this run that are recorded."""
        return self.done + self.failures.total()


Watch = Callable[[Progress], None]
HERE = Where()


@dataclass(frozen=True)
class Summary:
    """What stands at the end of a run.

    Attributes:
        progress: What this run did.
        done: Patients of the census with a report.
        failed: Patients and paths of the census without one: key, code and message.
        gone: Patients of earlier runs whose files were not there.
    """

    progress: Progress
    done: int
    failed: tuple[tuple[str, str, str], ...]
    gone: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Patients and paths of the census."""
        return self.done + len(self.failed)


def check_places(out: Path, inputs: list[Path]) -> None:
    """Refuse results inside the input, where the next run would take them for scans.

    Raises:
        UsageError: then, or when ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder with -o")
    real = out.resolve()
    for path in inputs:
        if path.is_dir() and real.is_relative_to(path.resolve()):
            raise UsageError(f"{out}: lies within {path}; name a folder outside of it with -o")


def plan_only(census: Census, out: Path, settings: Settings) -> Plan:
    """What :func:`run_batch` would do now; writes nothing.

    Raises:
        UsageError: when ``out`` holds something else than results of a batch.
    """
    _check_own(out)
    if not (out / DATABASE).exists():
        return make_plan(census, {}, out, settings)
    with Database(out / DATABASE, read_only=True) as database:
        return make_plan(census, database.known(), out, settings)


def run_batch(
    census: Census,
    out: Path,
    settings: Settings,
    *,
    where: Where = HERE,
    entry: str = CHILD,
    watch: Watch = lambda _progress: None,
) -> Summary:
    """Analyse everybody who is not done; go on where an interrupted run stopped.

    The workers of a local cluster import the calling script again: call this below
    ``if __name__ == "__main__":``.

    Args:
        census: Who is there.
        out: Folder of the results, made if absent; see ``docs/contracts.md``.
        settings: All settings; the section ``batch`` limits each patient.
        where: On which machines: a worker on this one by default.
        entry: Module whose ``main`` the process of a patient runs.
        watch: Called a few times a second, and for each patient.

    Returns:
        What stands: nobody of the census is left out of its totals.

    Raises:
        UsageError: another run holds the folder, it cannot be written, or is no folder of a batch.
        HoimgError: the cluster cannot be reached, or there is no room for results; what was
            finished is recorded, and the same call goes on.
    """
    _make(out)
    with ExitStack() as stack:
        lock = stack.enter_context(Lock(out))
        database = stack.enter_context(Database(out / DATABASE))
        return _Run(out, settings, database, lock, entry, watch).go(census, where)


def _check_own(out: Path) -> None:
    """Refuse a folder with files of others."""
    foreign = out.is_dir() and not (out / LOCK).exists() and any(out.iterdir())
    if foreign and not (out / DATABASE).exists():
        raise UsageError(f"{out}: holds other files; name a new or empty folder with -o")


def _make(out: Path) -> None:
    _check_own(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be made ({error.strerror})") from error


class _Run:
    """One run on one folder."""

    def __init__(
        self,
        out: Path,
        settings: Settings,
        database: Database,
        lock: Lock,
        entry: str,
        watch: Watch,
    ) -> None:
        self.out = out.absolute()
        self.settings = settings
        self.database = database
        self.lock = lock
        self.entry = entry
        self.watch = watch
        self.progress = Progress()
        self.steps: dict[str, Step] = {}
        self.number = 0

    def go(self, census: Census, where: Where) -> Summary:
        self._forget_unrecorded()
        plan = make_plan(census, self.database.known(), self.out, self.settings)
        self.progress.planned, self.progress.kept = len(plan.steps), len(plan.kept)
        self.number = self.database.begin_run(self._run_row(plan))
        refused = {r.key: refused_rows(r, self.settings) for r in census.refused}
        self.database.put_refused(NOBODY, refused)
        state = "stopped"
        try:
            self._adopt(plan)
            if self.steps:
                where = replace(where, workers=min(where.workers, len(self.steps)))
                with Cluster(where, self.settings.batch, self.out / JOBS) as cluster:
                    for outcome in cluster.outcomes(self._tasks(), self._again, self._tick):
                        self._take(outcome)
            state = "finished"
        except OSError as error:
            raise self._no_room(error.strerror or "I/O error") from error
        finally:
            self._end(state)
        clear_work(self.out)
        known = self.database.known()
        try:
            clear_traces(self.out, {k for k, was in known.items() if was.code == "unexpected"})
            export_tables(self.database, self.out)
        except OSError as error:
            raise self._no_room(error.strerror or "I/O error") from error
        return self._summary(census, plan)

    def _end(self, state: str) -> None:
        done, bad = self.progress.done, self.progress.failures.total()
        try:
            self.database.end_run(self.number, state, done, bad)
        except HoimgError:
            if state == "finished":
                raise  # else something worse is being told already

    def _forget_unrecorded(self) -> None:
        """Forget what stands of a patient whose report was replaced by one that is not recorded.

        A run that is killed between the two leaves the new report and the rows of the old one.
        """
        known = self.database.known()
        stale = [
            outcome.key
            for outcome in left_over(self.out)
            if (was := known.get(outcome.key)) is not None
            and outcome.fingerprint
            != fingerprint(outcome.key, was.input_sha256, was.config_sha256, was.software)
            and found_report(outcome, self.out) == self.out / PATIENTS / outcome.key
        ]
        self.database.forget(stale)

    def _adopt(self, plan: Plan) -> None:
        """Record what an interrupted run finished; the rest of its work is thrown away."""
        self.steps = {step.case.key: step for step in plan.steps}
        for outcome in left_over(self.out):
            step = self.steps.get(outcome.key)
            if (
                step is not None
                and outcome.fingerprint == self._fingerprint(step)
                and (outcome.status == "failed" or found_report(outcome, self.out) is not None)
            ):
                self.progress.adopted += 1
                self._take(outcome)
        clear_work(self.out)

    def _tasks(self) -> Iterator[Task]:
        settings = self.settings.model_dump_json(exclude={"batch"})
        known = probe()
        for key, step in list(self.steps.items()):
            self._check_room()
            earlier = latest_report(self.out, key)
            yield Task(
                key=key,
                files=tuple(str(f.absolute()) for f in step.case.files),
                settings=settings,
                fingerprint=self._fingerprint(step),
                folder=str(self._folder(key)),
                earlier=None if earlier is None else str(earlier),
                probe=known,
                entry=self.entry,
                url=step.case.url,
                studies=step.case.studies,
            )

    def _fingerprint(self, step: Step) -> str:
        return fingerprint(step.case.key, step.case.input_sha256, self.settings.sha256)

    def _again(self, task: Task) -> Task:
        return replace(task, folder=str(self._folder(task.key)))

    def _folder(self, key: str) -> Path:
        # A lost process may still write, so that no two attempts share a folder.
        return self.out / WORK / f"{key}-{secrets.token_hex(6)}"

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.out).free
        if free < self.settings.batch.free_gb * 1e9:
            raise self._no_room(f"{free / 1e9:.1f} GB free, batch.free_gb asks for more")

    def _no_room(self, said: str) -> HoimgError:
        return HoimgError(
            f"{self.out}: results cannot be written ({said}); what was finished is recorded: "
            "make room there, then start the same command again to go on"
        )

    def _tick(self) -> None:
        self.lock.beat()
        self.watch(self.progress)

    def _take(self, outcome: Outcome) -> None:
        """Publish and record one patient."""
        if outcome.fatal:
            said = outcome.message or outcome.code or ""
            if outcome.code == "no_room":
                raise self._no_room(said.rstrip("."))
            raise HoimgError(f"{self.out}: stopped: {said}")
        step = self.steps[outcome.key]
        report = found_report(outcome, self.out) if outcome.status == "done" else None
        if outcome.status == "done" and report is None:
            said = "Its report is not where its process wrote it, or not whole."
            outcome = replace(
                outcome, status="failed", code="report_lost", message=said, passing=True
            )
        # Read before anything is moved: what stands there stays until the new one is at hand.
        rows = rows_of_outcome(outcome, step.case, report, self.number, self.settings)
        if publish(outcome, report, self.out) is not None:
            self.progress.aside += 1
        self.database.put(outcome.key, rows)
        discard(outcome)
        del self.steps[outcome.key]
        if outcome.status == "done":
            self.progress.done += 1
        else:
            self.progress.failures[outcome.code or "failed"] += 1
        self.progress.peak_mb = max(self.progress.peak_mb, outcome.peak_mb)
        self.watch(self.progress)

    def _run_row(self, plan: Plan) -> Row:
        return {
            "software": SOFTWARE,
            "config_sha256": self.settings.sha256,
            "settings": self.settings.to_toml(),
            "host": platform.node(),
            "pid": os.getpid(),
            "planned": len(plan.steps),
        }

    def _summary(self, census: Census, plan: Plan) -> Summary:
        rows = {row["patient_key"]: row for row in self.database.rows(PATIENTS_TABLE)}
        keys = [*(c.key for c in census.cases), *(r.key for r in census.refused)]
        here = [rows[key] for key in keys]
        bad = tuple(
            (row["patient_key"], row["code"] or "", row["message"] or "")
            for row in here
            if row["status"] != "done"
        )
        return Summary(self.progress, len(here) - len(bad), bad, plan.gone)
