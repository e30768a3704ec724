"""``hoimg query``: ask a batch's results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hoimg.cli.console import Console, console_of
from hoimg.errors import UsageError

if TYPE_CHECKING:
    from hoimg.archive.tables import Row


def query(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that hoimg batch wrote.")],
    question: Annotated[
        Literal["changed", "mature", "not-evaluable", "failures", "failed", "cohort"],
        typer.Argument(
            help="changed: new or enlarging lesions; mature: labelled mature, since when; "
            "not-evaluable: what could not be judged and why; failures: counted by reason; failed: "
            "one by one; cohort: everybody on a page, DIR/cohort.html."
        ),
    ],
    since: Annotated[
        int | None,
        typer.Option(
            "--since-day",
            metavar="DAY",
            min=0,
            max=1_000_000,
            help="Only from this day on, counted from each patient's first exam (results hold no "
            "dates).",
        ),
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to print it.")
    ] = "table",
) -> None:
    """Ask the results of a batch; the answer goes to standard output.

    For other questions open DIR/results.sqlite, or the files in DIR/tables.

    \b
    Examples:
      hoimg query results/ changed --since-day 180
      hoimg query results/ not-evaluable --format csv > open.csv
      hoimg query results/ failures
      hoimg query results/ cohort
    """
    if question == "cohort":
        if since is not None or form != "table":
            raise UsageError("--since-day and --format do not go with cohort, which is a page")
        _page(folder, console_of(ctx))
        return
    from hoimg.archive.database import DATABASE, Database
    from hoimg.archive.queries import ask

    with Database(folder / DATABASE, read_only=True) as database:
        names, rows = ask(database, question, since)
    if form == "json":
        import json

        typer.echo(json.dumps(rows, indent=2))
    elif form == "csv":
        _csv(names, rows)
    else:
        _table(names, rows)


def _page(folder: Path, console: Console) -> None:
    """Write the cohort page and say where it is."""
    from hoimg.cohort.page import write_cohort

    with console.progress("Looking into reports") as step:
        try:
            page = write_cohort(folder, lambda done, total: step(f"{done} of {total}"))
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror})") from error
    typer.echo(str(page))


def _csv(names: list[str], rows: list[Row]) -> None:
    import csv

    from hoimg.report.files import csv_cell

    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: csv_cell(value) for name, value in row.items()})


def _table(names: list[str], rows: list[Row]) -> None:
    cells = [[name.replace("_", " ") for name in names]]
    cells += [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    for line in cells:
        typer.echo("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
