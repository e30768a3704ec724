"""``hoimg validate``: run cases with known truth and score the results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.errors import WITH_FAILURES, UsageError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from hoimg.validate import Validation


class Guidance(StrEnum):
    """What each case is given."""

    none = "none"
    seed = "seed"
    skeleton = "skeleton"


def validate(
    ctx: typer.Context,
    cases: Annotated[
        Path,
        typer.Argument(metavar="CASES", help="A folder with case.json, or a folder of such."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the scores.")],
    guidance: Annotated[
        Guidance,
        typer.Option(
            "--guidance",
            help="none; seed: one point in each lesion; skeleton: the mask named in case.json.",
        ),
    ] = Guidance.none,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cases run at a time.")] = 2,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings.", metavar="FILE")
    ] = None,
) -> None:
    """Score hoimg on cases with known truth: what it finds, how well it outlines and measures.

    Writes validation.json and validation.html. Ends with exit code 4 when a case failed.

    \b
    Examples:
      hoimg simulate -o case/ && hoimg validate case/ -o scores/
      hoimg validate cases/ -o scores/ --guidance seed
    """
    from hoimg.settings import read_settings
    from hoimg.validate import Options, find_cases, validate_cases, write_validation

    console = console_of(ctx)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder with -o")
    folders = find_cases(cases)
    names = [_name(folder, cases) for folder in folders]
    options = Options(guidance.value, read_settings(config), jobs)
    with console.progress(f"Scoring {len(folders)} case(s)", total=len(folders)) as step:
        validation, scenes = validate_cases(folders, options, names=names, on_step=step)
    page = write_validation(validation, scenes, output)
    print_tables(validation)
    for case in validation.failed:
        console.warn(f"{case.case}: {case.failed}")
    print(f"Scores: {page}")
    if validation.failed:
        raise typer.Exit(WITH_FAILURES)


def print_tables(validation: Validation) -> None:
    """The tables on standard output."""
    import sys

    from rich.console import Console as RichConsole

    width = None if sys.stdout.isatty() else 160
    out = RichConsole(file=sys.stdout, width=width, highlight=False, emoji=False, markup=False)
    _lesions(validation, out)
    _false(validation, out)
    if validation.confusion:
        out.print("Maturity at the last exam (truth: given)")
        for truth, row in validation.confusion.items():
            given = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in row.items())
            out.print(f"  {truth}: {given}")


def _lesions(validation: Validation, out: RichConsole) -> None:
    from rich import box
    from rich.table import Table

    from hoimg.validate.writer import headline, number, span

    table = Table(title=headline(validation), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("lesions")
    for name in ("found", "sensitivity", "Dice", "p10", "surface mm", "95 %", "volume error %"):
        table.add_column(name, no_wrap=True)
    table.add_column("bias %", no_wrap=True)
    table.add_column("split/merged", no_wrap=True)
    for group in validation.groups:
        table.add_row(
            group.name,
            f"{group.found}/{group.lesions}",
            span(group.sensitivity, 2),
            span(group.dice, 2),
            number(group.dice_p10, 2),
            number(group.surface_mean_mm.value, 2),
            number(group.surface_p95_mm.value, 1),
            span(group.volume_error_pct, 0),
            span(group.volume_bias_pct, 0, sign=True),
            f"{group.split}/{group.merged}",
        )
    out.print(table)


def _false(validation: Validation, out: RichConsole) -> None:
    from rich import box
    from rich.table import Table

    from hoimg.validate.writer import number, span

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("scans", "number", "false lesions", "a scan", "largest mL"):
        table.add_column(name, no_wrap=True)
    for group in validation.false_groups:
        largest = None if group.largest_mm3 is None else group.largest_mm3 / 1000
        table.add_row(
            group.name,
            str(group.scans),
            str(group.false_lesions),
            span(group.per_scan, 2),
            number(largest, 2),
        )
    out.print(table)


def _name(folder: Path, root: Path) -> str:
    """A case's name: where it lies below what was given."""
    if folder == root:
        return folder.resolve().name
    return folder.relative_to(root).as_posix()
