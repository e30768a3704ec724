"""``hoimg measure``: every number of an existing report again, from its label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.errors import UsageError


def measure(
    ctx: typer.Context,
    report: Annotated[Path, typer.Argument(help="A report folder or its report.json.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Folders, files or zip archives that the report was made from; other series and "
            "patients may be there too; - reads paths from standard input."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder for the new report; made if absent."),
    ],
) -> None:
    """Recompute all numbers of a report from its label maps, without segmenting again.

    With untouched label maps the new report is the old one. Where you redrew lesions.nii.gz of an
    exam (same voxels, one value per lesion), your outlines are measured as they are: a value that
    you kept is the same lesion, a new value a new one, and a value that you removed is a lesion
    not seen there (on a film: not looked for there). Settings are those of the report.

    Examples:

    \b
      hoimg measure report/ scans/ -o again/
      hoimg measure report/ 2024-01 2024-07 2025-02.zip -o corrected/
    """
    from hoimg.cli.paths import named_paths
    from hoimg.cli.report_table import print_table
    from hoimg.dicom import open_sources
    from hoimg.dicom.again import read_again
    from hoimg.remeasure import remeasure_patient
    from hoimg.report import write_report
    from hoimg.report.saved import read_saved

    console = console_of(ctx)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder with -o")
    saved = read_saved(report)
    if output.resolve() == saved.folder.resolve():
        raise UsageError(
            f"{output}: is the report that is measured again; name another folder with -o"
        )
    wanted = [e for e in saved.report.exams if e.labelmap is not None]
    if not wanted:
        raise UsageError(f"{saved.folder}: no exam of this report has a label map to measure")
    grids = {exam.exam_id: saved.grid(exam.exam_id) for exam in saved.measured}
    # What archives hold stays until the command ends: pixels are read last.
    sources = ctx.with_resource(open_sources(named_paths(paths), saved.settings))
    with console.progress("Reading") as step:
        step("headers")
        exams = read_again(sources, wanted, grids, saved.settings)
    count = len(exams)
    with console.progress(f"Measuring {count} exam(s)", total=2 * count - 1) as step:
        result = remeasure_patient(saved, exams, on_step=step)
    if result.report.software != saved.report.software:
        console.warn(
            f"the report was made by {saved.report.software}, measured again by "
            f"{result.report.software}; numbers of untouched lesions may differ"
        )
    with console.progress("Writing") as step:
        step("report")
        page = write_report(result, output)
    print_table(result, page, console)
    for before, exam in zip(saved.report.exams, result.report.exams, strict=True):
        # Those of earlier times were told then; the same words may be new again.
        new = list(exam.findings)
        for finding in before.findings:
            if finding in new:
                new.remove(finding)
        for finding in new:
            console.say(f"{exam.exam_id}: {finding.message}")
