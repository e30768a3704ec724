"""``hoimg export``: a report's lesions in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.errors import UsageError
from hoimg.export.kinds import Kind


def export(
    ctx: typer.Context,
    report: Annotated[Path, typer.Argument(help="A report folder or its report.json.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the files; made if absent.")
    ],
    to: Annotated[
        list[Kind],
        typer.Option("--to", help="Format, repeatable.", show_default=False),
    ],
) -> None:
    """Write a report's lesions for planning, printing and statistics.

    \b
      csv       one number a row with interval, unit, and the reason where it is missing
      nifti     label map of each exam, and a JSON file that says what its numbers are
      rtstruct  DICOM structure set of each CT (carries the patient's identity)
      stl, ply, obj
                mesh of each lesion and of the native skeleton of each CT, LPS millimetres

    \b
    Examples:
      hoimg export report/ -o planning/ --to rtstruct --to stl
      hoimg export report/ -o statistics/ --to csv
    """
    from hoimg.export.run import export_report
    from hoimg.report.saved import read_saved

    console = console_of(ctx)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder with -o")
    saved = read_saved(report)
    with console.progress("Exporting") as step:
        done = export_report(saved, to, output, step)
    for line in done.left_out:
        console.say(line)
    typer.echo(f"{len(done.written)} file(s) in {output}")
