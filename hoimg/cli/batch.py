"""``hoimg batch``: everybody under a folder, or in a list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import Console, console_of
from hoimg.cli.options import AllowGaps
from hoimg.errors import WITH_FAILURES, UsageError

if TYPE_CHECKING:
    import threading

    from hoimg.archive.census import Census
    from hoimg.archive.cluster import Where
    from hoimg.archive.plan import Plan
    from hoimg.archive.run import Summary
    from hoimg.settings import Settings

SHOWN = 20
"""Failures that are told one by one at the end."""


def batch(
    ctx: typer.Context,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for all results; made if absent.")
    ],
    root: Annotated[
        str | None,
        typer.Argument(
            help="Folder with the scans of many patients, or a PACS with a query, such as "
            "https://HOST/dicom-web?ModalitiesInStudy=CT."
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="File with a path for each patient, one a line, in place of ROOT; - reads "
            "standard input.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Patients at a time. [default: 1 per core of this machine]"
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="A Dask cluster that is there, tcp://host:port: its workers need this version of "
            "hoimg and the same paths.",
        ),
    ] = None,
    slurm: Annotated[
        bool,
        typer.Option(
            "--slurm",
            help="Workers are jobs of SLURM, as many as --workers says (pip install "
            "'hoimg[cluster]'); partition and account as in Dask's jobqueue.yaml.",
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on when all is done: take who comes into ROOT when their files have been "
            "quiet (setting batch.settle_s), until Ctrl-C or SIGTERM.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and why; write nothing.")
    ] = False,
    allow_gaps: AllowGaps = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Settings in TOML; section batch limits each patient's time and memory.",
        ),
    ] = None,
) -> None:
    """Report on every patient under ROOT, each in a process of its own, and tabulate the results.

    OUTPUT/patients/<key> holds what hoimg report writes, <key> is the keyed hash that reports carry
    too. OUTPUT/results.sqlite holds all numbers, OUTPUT/tables the same as Parquet and CSV; ask
    with hoimg query. A patient that fails, hangs or needs too much memory is recorded with its
    reason, and the rest goes on: exit code 4 then. The same command again goes on where a run
    was stopped, and does again only what has changed.

    \b
    Examples:
      hoimg batch archive/ -o results/
      hoimg batch archive/ -o results/ --dry-run
      hoimg batch 'https://pacs.example.org/dicom-web?ModalitiesInStudy=CT' -o results/
      find archive -mindepth 1 -maxdepth 1 | hoimg batch --list - -o results/
      hoimg batch archive/ -o results/ --scheduler tcp://head:8786
      hoimg batch archive/ -o results/ --slurm --workers 64
      hoimg batch incoming/ -o results/ --watch
    """
    from hoimg.settings import read_settings, with_gaps

    if (root is None) == (listed is None):
        raise UsageError("give either ROOT or --list FILE")
    if scheduler is not None and workers is not None:
        raise UsageError("--scheduler: its workers are those that are there; leave --workers away")
    if scheduler is not None and slurm:
        raise UsageError("give either --scheduler or --slurm")
    if slurm and workers is None:
        raise UsageError("--slurm: say with --workers how many jobs")
    if watch and (dry_run or root is None or not Path(root).is_dir()):
        raise UsageError("--watch: give a folder as ROOT, and no --dry-run")
    from hoimg.archive.cluster import Where
    from hoimg.archive.run import check_places, plan_only
    from hoimg.decoding.pool import cores

    console = console_of(ctx)
    settings = with_gaps(read_settings(config), allow_gaps)
    where = Where(workers or cores(), scheduler, slurm)
    if watch:
        check_places(output, [Path(root or "")])
        if _watch(Path(root or ""), output, settings, where, console):
            raise typer.Exit(WITH_FAILURES)
        return
    if root is not None and "://" in root:
        check_places(output, [])
        census = _census_of_pacs(root, console)
    else:
        paths = [Path(root)] if root is not None else _listed(listed or Path("-"))
        check_places(output, paths)
        census = _census(paths, root is not None, settings, console)
    for found in census.findings:
        console.warn(f"{found.message} {found.fix or ''}".strip())
    if not census.cases and not census.refused:
        # Of a PACS without the query, which may name a patient.
        name = str(root or listed).partition("?")[0]
        raise UsageError(f"{name}: holds no patients that were asked for; give others")
    if dry_run:
        _tell_plan(plan_only(census, output, settings), census)
        return
    summary = _run(census, output, settings, where, console)
    if summary.failed:
        raise typer.Exit(WITH_FAILURES)


def _run(
    census: Census,
    output: Path,
    settings: Settings,
    where: Where,
    console: Console,
    stop: threading.Event | None = None,
) -> Summary:
    """One run, shown while it goes on and summed up at its end."""
    from hoimg.archive.run import Progress, run_batch
    from hoimg.archive.watch import Stopped
    from hoimg.cli.batch_view import watching

    with watching(console) as show:

        def watch(progress: Progress) -> None:
            if stop is not None and stop.is_set():
                raise Stopped
            show(progress)

        summary = run_batch(census, output, settings, where=where, watch=watch)
    if stop is None:
        _tell_summary(summary, census, output, console)
    elif summary.progress.ended:
        # Who is not complete yet is there all the same.
        _tell_summary(replace(summary, gone=()), census, output, console)
    return summary


def _watch(root: Path, output: Path, settings: Settings, where: Where, console: Console) -> bool:
    """Run on who is complete until told to end; whether some of the last run have failed."""
    from hoimg.archive.watch import Stopped, watch_folder
    from hoimg.cli.until_told import until_told

    last: list[Summary] = []
    with until_told() as stop:

        def tell(_done: int, _total: int) -> None:
            if stop.is_set():
                raise Stopped

        def take_census() -> Census:
            from hoimg.archive.census import census_of_root

            return census_of_root(root, settings, on_progress=tell)

        def run(census: Census) -> None:
            last[:] = [_run(census, output, settings, where, console, stop)]

        console.say(f"watching {root}; Ctrl-C ends it")
        watch_folder(root, settings.batch.settle_s, stop, take_census, run)
    console.say("stopped; what was not finished is done at the next start")
    return bool(last and last[0].failed)


def _census_of_pacs(address: str, console: Console) -> Census:
    from hoimg.archive.remote import census_of_pacs, split_query
    from hoimg.pacs.connect import connect

    url, query = split_query(address)
    archive, warning = connect(url)
    if warning is not None:
        console.warn(warning)
    with archive, console.progress("Asking for studies"):
        return census_of_pacs(archive, query, url)


def _census(paths: list[Path], is_root: bool, settings: Settings, console: Console) -> Census:
    from hoimg.archive.census import census_of_list, census_of_root

    with console.progress("Reading headers") as step:

        def tell(done: int, total: int) -> None:
            if done % 500 == 0:
                step(f"{done} of {total}")

        if is_root:
            return census_of_root(paths[0], settings, on_progress=tell)
        return census_of_list(paths, settings, on_progress=tell)


def _listed(file: Path) -> list[Path]:
    from hoimg.cli.paths import named_paths

    if str(file) == "-":
        return named_paths([file])
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as stream:
            return named_paths([Path("-")], stream)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from error


def _tell_plan(plan: Plan, census: Census) -> None:
    """One line a patient on standard output, then the sums."""
    for step in plan.steps:
        typer.echo(f"{step.case.key}\trun\t{step.why}")
    for key, known in plan.kept.items():
        typer.echo(f"{key}\tkeep\t{known.status}{f' ({known.code})' if known.code else ''}")
    for refused in census.refused:
        typer.echo(f"{refused.key}\tfail\t{refused.code}")
    for key in plan.gone:
        typer.echo(f"{key}\tkeep\tits files are not there")
    typer.echo(
        f"{len(plan.steps)} to run, {len(plan.kept)} kept, {len(census.refused)} without a patient"
    )


def _tell_summary(summary: Summary, census: Census, output: Path, console: Console) -> None:
    """The sums on standard output; on the terminal the failures with their paths."""
    where: dict[str, object] = {
        case.key: case.files[0].parent if case.files else case.url for case in census.cases
    }
    where |= {refused.key: refused.path for refused in census.refused}
    for key, code, message in summary.failed[:SHOWN]:
        console.warn(f"{key} ({where.get(key, '?')}): {code}: {message}")
    if len(summary.failed) > SHOWN:
        console.warn(f"and {len(summary.failed) - SHOWN} more: hoimg query {output} failed")
    if summary.progress.aside:
        console.say(
            f"{summary.progress.aside} earlier report(s) that were made anew lie in "
            f"{output / 'replaced'}"
        )
    if summary.gone:
        console.say(f"{len(summary.gone)} earlier patient(s) are not there now; results kept")
    typer.echo(
        f"{summary.total} patients: {summary.done} with a report, {len(summary.failed)} failed "
        f"({summary.progress.ended} in this run)"
    )
    typer.echo(f"Results: {output / 'results.sqlite'}")
