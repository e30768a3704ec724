"""``hoimg info``: what is under the paths, what would be analysed and why, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hoimg.cli.options import AllowGaps

if TYPE_CHECKING:
    from hoimg.dicom import Inventory, Patient, SeriesInfo
    from hoimg.errors import HoimgError
    from hoimg.results import Finding


def info(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Folders, files, zip archives, a DICOMDIR; - reads paths from standard input.",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    allow_gaps: AllowGaps = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings.", metavar="FILE")
    ] = None,
) -> None:
    """Show patients, studies and series, the series chosen for analysis and why, and findings.

    Ends with exit code 3 when nothing under the paths can be measured.

    \b
    Examples:
      hoimg info scans/
      hoimg info --json scans/ > scans.json
      hoimg info disc.zip other/DICOMDIR
      find /archive -newer last -print0 | hoimg info -
    """
    from hoimg.cli.console import console_of
    from hoimg.cli.paths import named_paths
    from hoimg.dicom import open_sources, scan
    from hoimg.settings import read_settings, with_gaps

    settings = with_gaps(read_settings(config), allow_gaps)
    paths = named_paths(paths)
    with (
        open_sources(paths, settings) as sources,
        console_of(ctx).progress("Reading headers") as step,
    ):

        def tell(done: int, total: int) -> None:
            if done % max(total // 10, 1) == 0:
                step(f"{done} of {total} files")

        inventory = scan(sources, settings, on_progress=tell)
    patients, refusals = _patients(inventory, paths)
    if json:
        from json import dumps

        typer.echo(dumps(as_json(inventory, patients), indent=2))
    elif inventory.series:
        from hoimg.cli.info_table import print_tables

        print_tables(inventory, patients)
    if not patients:
        raise refusals[0]


def as_json(inventory: Inventory, patients: dict[str, Patient]) -> dict[str, Any]:
    """What ``hoimg info --json`` prints: no names, IDs, dates or paths.

    Dates appear as days from the patient's first usable exam.
    """
    chosen = chosen_of(patients)
    films = {
        (e.film.file, e.film.frame): e.exam_id
        for patient in patients.values()
        for e in patient.radiographs
        if e.film is not None
    }
    return {
        "files_seen": inventory.files_seen,
        "files_skipped": inventory.files_skipped,
        "files_unreadable": len(inventory.unreadable),
        "findings": _findings(inventory.findings),
        "patients": [
            {
                "patient_key": key,
                "usable": key in patients,
                "findings": _findings(
                    patients[key].findings
                    if key in patients
                    else inventory.patient_findings.get(key, ())
                ),
                "studies": [
                    {
                        "study_instance_uid": uid,
                        "series": [_series_json(s, chosen, films) for s in members],
                    }
                    for uid, members in studies_of(inventory, key).items()
                ],
            }
            for key in inventory.patient_keys
        ],
    }


def _patients(
    inventory: Inventory, paths: Sequence[Path]
) -> tuple[dict[str, Patient], list[HoimgError]]:
    """Each patient that can be analysed, and the refusals of the others."""
    from hoimg.dicom.read import refusal, select_patient
    from hoimg.errors import InputRefused

    patients: dict[str, Patient] = {}
    refusals: list[HoimgError] = []
    for key in inventory.patient_keys:
        try:
            patients[key] = select_patient(inventory, paths, patient=key)
        except InputRefused as error:
            refusals.append(error)
    return patients, refusals or [refusal((), inventory, paths)]


def studies_of(inventory: Inventory, key: str) -> dict[str, list[SeriesInfo]]:
    """The series of one patient by study."""
    studies: dict[str, list[SeriesInfo]] = {}
    for series in inventory.series:
        if series.patient_key == key:
            studies.setdefault(series.study_uid, []).append(series)
    return studies


def chosen_of(patients: dict[str, Patient]) -> dict[int, tuple[str, int, str]]:
    """Identity of each chosen series to (exam_id, days, reason); of several films those of one."""
    return {
        id(exam.series): (
            exam.exam_id,
            exam.days_from_baseline,
            exam.acquisition.series_choice or "",
        )
        for patient in patients.values()
        for exam in patient.exams
    }


def _series_json(
    series: SeriesInfo,
    chosen: dict[int, tuple[str, int, str]],
    films: dict[tuple[Path, int], str],
) -> dict[str, Any]:
    from hoimg.cli.films import film_json

    exam = chosen.get(id(series))
    return {
        "series_instance_uid": series.series_uid,
        "modality": series.modality,
        "kind": series.kind,
        "images": len(series.files),
        "original": series.original,
        "coverage_mm": series.coverage_mm if series.usable else None,
        "usable": series.usable,
        "chosen": exam is not None,
        "exam_id": exam[0] if exam and not series.films else None,
        "days_from_baseline": exam[1] if exam else None,
        "series_choice": exam[2] if exam else None,
        "acquisition": series.acquisition.model_dump(mode="json"),
        "films": [film_json(f, films.get((f.file, f.frame))) for f in series.films],
        "findings": _findings(series.findings),
    }


def _findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [f.model_dump(mode="json") for f in findings]
