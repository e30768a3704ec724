"""``hoimg report``: one patient's CT and films into a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.cli.options import AllowGaps
from hoimg.errors import UsageError

if TYPE_CHECKING:
    import datetime

    from hoimg.film_regions import FilmRegion
    from hoimg.regions import Region


def report(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Folders, files or zip archives of one patient: a study, or several; - reads "
            "paths from standard input."
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the report; made if absent.")
    ],
    patient: Annotated[
        str | None, typer.Option("--patient", help="PatientID, where PATHS hold several patients.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option("--series", help="SeriesInstanceUID to analyse in its study."),
    ] = None,
    roi: Annotated[
        list[str] | None,
        typer.Option(
            "--roi",
            help="Region: only mineral inside is called, whatever it is. On a CT a mask (MASKS "
            "below), box:X0,Y0,Z0,X1,Y1,Z1 or sphere:X,Y,Z,R in LPS mm; on a film see FILMS below. "
            "Repeatable.",
        ),
    ] = None,
    seed: Annotated[
        list[str] | None,
        typer.Option("--seed", help="Point X,Y,Z in LPS mm: call the mineral there. Repeatable."),
    ] = None,
    skeleton: Annotated[
        Path | None,
        typer.Option(
            "--skeleton", help="Mask of the native skeleton of the whole exam. MASKS below."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", help="Mask of lesions to measure as they are. MASKS below."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            help="Point X,Y,Z (LPS mm) in a piece that was left out: call it. With several exams "
            "EXAM_ID:X,Y,Z. Repeatable.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="The same in a lesion: leave it out. Repeatable."),
    ] = None,
    edits: Annotated[
        Path | None,
        typer.Option("--edits", help="edits.json of an earlier report: apply all of it."),
    ] = None,
    onset: Annotated[
        str | None, typer.Option("--onset", help="Date of injury or first symptom, YYYY-MM-DD.")
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            "--context",
            help="JSON file of aetiology, laboratory values and bone scans: shown in the report, "
            "no label depends on it (docs/methods/maturity).",
        ),
    ] = None,
    allow_gaps: AllowGaps = False,
    pdf: Annotated[
        bool,
        typer.Option(
            "--pdf",
            help="Print the page to report.pdf as well, with the Chromium, Chrome or Edge found.",
        ),
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings in TOML (see docs/methods).")
    ] = None,
) -> None:
    """Find, measure, follow and stage the ossifications of one patient; write a report.

    Examples:

    \b
      hoimg report scans/ -o report/
      hoimg report 2024-01 2024-07 2025-02 -o report/ --onset 2023-11-30
      hoimg report scan/ -o report/ --seed 62.5,-11,840.2
      hoimg report scan/ -o report/ --roi sphere:62.5,-11,840.2,30
      hoimg report scan/ -o report/ --mask outlines.seg.dcm --skeleton bones.nii.gz
      hoimg report film/ -o report/ --roi box:410,300,620,520
      hoimg report films/ -o report/ --roi 1=day0000_dx_bde10e:box:410,300,620,520
      hoimg report scans/ -o report/ --pdf
      hoimg report scan/ -o second/ --edits report/edits.json --exclude -41,12.5,803

    MASKS may be a label map (.nii.gz, .nrrd, .mha, 3D Slicer's .seg.nrrd), a DICOM SEG or
    RTSTRUCT file, a folder that holds one of these, or a folder of one mask per structure such as
    TotalSegmentator writes. They are placed in millimetres; a mask of another scan, or a skeleton
    that does not cover the exam, is refused.

    FILMS (CR, DX): without a region no lesion is called on a film. --roi takes
    [LABEL=][FILM:]box:X0,Y0,X1,Y1 or polygon:X1,Y1,X2,Y2,... in pixels from the film's upper left
    corner (with mm at the end: millimetres), [FILM:]FILE for a label image on the film's own
    pixels (PNG, one-slice NIfTI), or a DICOM SEG, SR or presentation state that references the
    film. FILM is an exam_id of the report, or the film's SOP or series UID; one film needs none.
    One label is one lesion, on all films that have it.
    """
    from hoimg.context import read_context
    from hoimg.edits import given_edits, read_edits
    from hoimg.guidance import read_guidance
    from hoimg.pipeline import analyze_patient
    from hoimg.settings import read_settings, with_gaps

    console = console_of(ctx)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder with -o")
    settings = with_gaps(read_settings(config), allow_gaps)
    roi_file, regions, film_regions = _regions(roi or [])
    corrections = given_edits(
        None if edits is None else read_edits(edits),
        include=include or [],
        exclude=exclude or [],
        series_uid=series,
    )
    guidance = read_guidance(
        series_uid=series,
        roi=roi_file,
        regions=regions,
        seeds_lps_mm=[_point(text) for text in seed or []],
        skeleton=skeleton,
        mask=mask,
        film_regions=film_regions,
        settings=settings,
    )
    onset_date = None if onset is None else _date(onset)
    from hoimg.cli.paths import named_paths
    from hoimg.cli.report_table import print_table
    from hoimg.dicom import open_sources, read_patient
    from hoimg.names import names_in
    from hoimg.report import write_report

    # What archives hold stays until the command ends: pixels are read last.
    sources = ctx.with_resource(open_sources(named_paths(paths), settings))
    with console.progress("Reading") as step:
        step("headers")
        found = read_patient(sources, settings, patient=patient, series=series)
    told = None if context is None else read_context(context, found.baseline_date)
    count = len(found.exams)
    with console.progress(f"Analysing {count} exam(s)", total=2 * count - 1) as step:
        result = analyze_patient(
            found,
            settings,
            guidance=guidance,
            edits=corrections,
            onset=onset_date,
            context=told,
            names=names_in(output, found.patient_key),
            on_step=step,
        )
    with console.progress("Writing") as step:
        step("report")
        page = write_report(result, output)
    print_table(result, page, console)
    if pdf:
        from hoimg.report.pdf import add_pdf

        with console.progress("Printing") as step:
            step("page")
            add_pdf(output)


def _point(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seed {text}: give three numbers X,Y,Z in LPS mm") from error
    return (x, y, z)


def _regions(texts: list[str]) -> tuple[Path | None, list[Region], list[FilmRegion]]:
    """The file and the shapes among the words given with ``--roi``, and the regions on films."""
    from hoimg.dicom.masks.film_files import is_film_file, read_film_regions
    from hoimg.film_regions import parse_film_region, split_film
    from hoimg.regions import parse_region

    files: list[str] = []
    shapes: list[Region] = []
    films: list[FilmRegion] = []
    for text in texts:
        if (drawn := parse_film_region(text)) is not None:
            films.append(drawn)
            continue
        if (shape := parse_region(text)) is not None:
            shapes.append(shape)
            continue
        # Only now a path: a polygon may be longer than the name of a file can be.
        name, path = (None, text) if Path(text).exists() else split_film(text)
        if name is not None or is_film_file(Path(path)):
            if not Path(path).is_file():
                raise UsageError(f"--roi {path}: no such file")
            films += read_film_regions(Path(path), name)
        else:
            files.append(text)
    if len(files) > 1:
        raise UsageError(f"--roi {files[1]}: give one mask (it may hold several structures)")
    return Path(files[0]) if files else None, shapes, films


def _date(text: str) -> datetime.date:
    from datetime import date

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--onset {text}: give a date as YYYY-MM-DD") from error
