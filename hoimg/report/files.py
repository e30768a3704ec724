"""The files of a report that programs read: JSON, CSV, label maps and the manifest."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

from hoimg.reading import last_word
from hoimg.report.change_words import change_words
from hoimg.results import Change, ExamImages, FilmImages, Lesion, Observation, Report, TotalChange

LIBRARIES = ("numpy", "scipy", "scikit-image", "SimpleITK", "pydicom", "highdicom")

_INTERVALS = tuple(name for name in Observation.model_fields if "_ci95" in name)
_SCALARS = tuple(
    name
    for name in Observation.model_fields
    if name not in {"exam_id", *_INTERVALS, "centroid_lps_mm", "bone_contacts", "flags"}
)
_CHANGE = tuple(name for name in Change.model_fields if name not in {"to_exam", "parents", "flags"})

CSV_COLUMNS: tuple[str, ...] = (
    "patient_key", "lesion_id", "tracking_uid", "exam_id", "modality", "days_from_baseline",
    "series_instance_uid", *_SCALARS,
    *(name.replace("_ci95", f"_ci95_{end}") for name in _INTERVALS for end in ("low", "high")),
    "centroid_left_lps_mm", "centroid_posterior_lps_mm", "centroid_superior_lps_mm", "flags",
    *(f"change_{name}" if not name.startswith(("volume_", "mass_", "density_", "rim_")) else name
      for name in _CHANGE),
    "change_parents", "change_flags", "change_text", "maturity_label", "maturity_reasons",
    "reader_decision", "reader_label", "reader", "reader_time", "reader_notes",
)  # fmt: skip

CHANGES_COLUMNS: tuple[str, ...] = (
    "patient_key", "lesion_id", "tracking_uid", *Change.model_fields, "text",
)  # fmt: skip

_TOTAL_CHANGE = tuple(n for n in TotalChange.model_fields if n not in {"lesions", "left_out"})
TOTALS_COLUMNS: tuple[str, ...] = (
    "patient_key", "exam_id", "days_from_baseline", "region", "lesions", "volume_mm3",
    "volume_ci95_low_mm3", "volume_ci95_high_mm3", "mineral_mass_hu_mm3",
    "mineral_mass_ci95_low_hu_mm3", "mineral_mass_ci95_high_hu_mm3", "complete", "not_evaluable",
    "new_lesions", "new_volume_mm3", "new_since_baseline", "new_since_baseline_volume_mm3",
    "first_in_view", "resolved",
    *(f"{since}_{name.replace('_ci95', f'_ci95_{end}')}" for since in ("previous", "baseline")
      for name in _TOTAL_CHANGE for end in (("low", "high") if "_ci95" in name else ("",))),
    "flags",
)  # fmt: skip


def add_labelmaps(
    report: Report, images: Mapping[str, ExamImages], films: Mapping[str, FilmImages] | None = None
) -> Report:
    """The report with each exam's label map paths filled, relative to the report folder.

    Args:
        report: Without them.
        images: Of the CT exams.
        films: Those that were read: they have a map of lesions, and one of regions where any
            were given.
    """
    films = films or {}
    exams = [
        exam.model_copy(
            update={
                "labelmap": f"exams/{exam.exam_id}/lesions.nii.gz",
                "excluded_labelmap": f"exams/{exam.exam_id}/excluded.nii.gz",
                "anatomy": None
                if images[exam.exam_id].anatomy is None
                else f"exams/{exam.exam_id}/anatomy.nii.gz",
            }
        )
        if exam.exam_id in images
        else exam.model_copy(
            update={
                "labelmap": f"exams/{exam.exam_id}/lesions.nii.gz"
                if exam.exam_id in films
                else None,
                "excluded_labelmap": None,
                "anatomy": None,
                "regions": f"exams/{exam.exam_id}/regions.nii.gz"
                if exam.exam_id in films and films[exam.exam_id].regions_yx.any()
                else None,
            }
        )
        for exam in report.exams
    ]
    return report.model_copy(update={"exams": exams})


def write_labelmaps(images: Mapping[str, ExamImages], folder: Path) -> None:
    """Write the maps of each exam on the exam's own grid.

    ``lesions.nii.gz`` and ``excluded.nii.gz`` are uint16, ``anatomy.nii.gz`` uint8
    (:mod:`hoimg.anatomy`); the last is left away where the exam has none.
    """
    import numpy as np

    from hoimg.image import write_nifti

    for exam_id, exam in images.items():
        target = folder / "exams" / exam_id
        target.mkdir(parents=True, exist_ok=True)
        for name, mask in (("lesions", exam.lesions), ("excluded", exam.excluded)):
            array = mask.array.astype(np.uint16, copy=False)
            write_nifti(target / f"{name}.nii.gz", array, mask.grid)
        if exam.anatomy is not None:
            bits = exam.anatomy.packed()
            write_nifti(target / "anatomy.nii.gz", bits.array, bits.grid)


def write_film_labelmaps(films: Mapping[str, FilmImages], folder: Path) -> None:
    """Write ``lesions.nii.gz`` of each film: one slice on the film's own pixels, uint16.

    And ``regions.nii.gz`` likewise, where regions were given. The first axis is the columns, the
    second the rows. A film has no place in the patient: the
    first pixel lies at 0, and a pixel is 1 mm wide where the film has no size to be trusted.
    """
    from hoimg.geometry import Grid
    from hoimg.image import write_nifti

    for exam_id, images in films.items():
        target = folder / "exams" / exam_id
        target.mkdir(parents=True, exist_ok=True)
        y, x = images.film.spacing_yx_mm or (1.0, 1.0)
        grid = Grid((1, *images.labels_yx.shape), (1.0, y, x), (0.0, 0.0, 0.0))
        write_nifti(target / "lesions.nii.gz", images.labels_yx[None], grid)
        if images.regions_yx.any():
            write_nifti(target / "regions.nii.gz", images.regions_yx[None], grid)


def report_json(report: Report) -> str:
    """``report.json``: names in the model's order, null for what is missing."""
    return report.model_dump_json(indent=2) + "\n"


def lesions_csv(report: Report) -> str:
    """``lesions.csv``: a row per lesion and exam; an empty cell is a missing value.

    The change columns hold what happened from the exam before to this one; the maturity columns
    are filled in the row of the exam that the label speaks of.
    """
    exams = {exam.exam_id: exam for exam in report.exams}
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for lesion in report.lesions:
        for seen in lesion.observations:
            exam = exams[seen.exam_id]
            row: dict[str, Any] = {
                "patient_key": report.patient_key,
                "lesion_id": lesion.lesion_id,
                "tracking_uid": lesion.tracking_uid,
                "exam_id": seen.exam_id,
                "modality": exam.modality,
                "days_from_baseline": exam.days_from_baseline,
                "series_instance_uid": exam.series_instance_uid,
                **{name: getattr(seen, name) for name in _SCALARS},
                **_triples(seen),
                "flags": ";".join(seen.flags),
                **_change_cells(lesion, seen.exam_id),
            }
            if seen.exam_id == lesion.maturity.exam_id:
                row["maturity_label"] = lesion.maturity.label
                row["maturity_reasons"] = ";".join(lesion.maturity.reasons)
                row |= _reader_cells(report, lesion)
            writer.writerow({name: csv_cell(value) for name, value in row.items()})
    return text.getvalue()


def _reader_cells(report: Report, lesion: Lesion) -> dict[str, Any]:
    """A reader's last word on the label, and every note about the lesion."""
    said = [e for e in report.reader if e.lesion_id == lesion.lesion_id]
    last = last_word(lesion.lesion_id, said)
    return {
        "reader_decision": lesion.reader_decision,
        "reader_label": lesion.reader_label,
        "reader": None if last is None else last.reader,
        "reader_time": None if last is None or last.time is None else last.time.isoformat(),
        "reader_notes": " | ".join(e.note for e in said if e.note),
    }


def changes_csv(report: Report) -> str:
    """``changes.csv``: a row per change of a lesion, those that skip exams included."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CHANGES_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for lesion in report.lesions:
        for change in lesion.changes:
            row: dict[str, Any] = {
                "patient_key": report.patient_key,
                "lesion_id": lesion.lesion_id,
                "tracking_uid": lesion.tracking_uid,
                **{name: getattr(change, name) for name in Change.model_fields},
                "parents": ";".join(change.parents),
                "flags": ";".join(change.flags),
                "text": change_words(change),
            }
            writer.writerow({name: csv_cell(value) for name, value in row.items()})
    return text.getvalue()


def totals_csv(report: Report) -> str:
    """``totals.csv``: a row per exam for the whole patient (region empty), and one per region."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TOTALS_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    days = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    for total in report.totals.exams if report.totals is not None else ():
        base: dict[str, Any] = {
            "patient_key": report.patient_key,
            "exam_id": total.exam_id,
            "days_from_baseline": days[total.exam_id],
        }
        row: dict[str, Any] = {
            **base,
            **{name: getattr(total, name) for name in TOTALS_COLUMNS if hasattr(total, name)},
            **_limits("volume", total.volume_ci95_mm3, "mm3"),
            **_limits("mineral_mass", total.mineral_mass_ci95_hu_mm3, "hu_mm3"),
            "not_evaluable": ";".join(x.lesion_id or "" for x in total.not_evaluable),
            **_total_change_cells("previous", total.since_previous),
            **_total_change_cells("baseline", total.since_baseline),
        }
        rows = [row]
        rows += [
            {
                **base,
                "region": found.region or "unknown",
                "lesions": len(found.lesions),
                "volume_mm3": found.volume_mm3,
                **_limits("volume", found.volume_ci95_mm3, "mm3"),
                "complete": found.complete,
                "new_volume_mm3": found.new_volume_mm3,
                **_total_change_cells("previous", found.since_previous),
                **_total_change_cells("baseline", found.since_baseline),
            }
            for found in total.regions
        ]
        for cells in rows:
            writer.writerow(
                {
                    name: csv_cell(";".join(value) if isinstance(value, list) else value)
                    for name, value in cells.items()
                }
            )
    return text.getvalue()


def _limits(name: str, ci95: tuple[float, float] | None, unit: str) -> dict[str, float | None]:
    low, high = ci95 or (None, None)
    return {f"{name}_ci95_low_{unit}": low, f"{name}_ci95_high_{unit}": high}


def _total_change_cells(since: str, change: TotalChange | None) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name in _TOTAL_CHANGE if change is not None else ():
        value = getattr(change, name)
        if "_ci95" in name:
            low, high = value or (None, None)
            cells[f"{since}_{name.replace('_ci95', '_ci95_low')}"] = low
            cells[f"{since}_{name.replace('_ci95', '_ci95_high')}"] = high
        else:
            cells[f"{since}_{name}"] = value
    return cells


def csv_cell(value: object) -> str:
    """A value as CSV text; text that a spreadsheet would run as a formula gets a leading quote.

    Numbers keep every digit (the shortest text that reads back as the same number).
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    # Spreadsheets skip blanks and control characters before they look for a formula.
    start = text.lstrip(" \t\r\n\0\u00a0")
    if start.startswith(("=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠")):
        return f"'{text}"
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) else text


def change_into(lesion: Lesion, exam_id: str) -> Change | None:
    """The change from the nearest earlier exam to this one; others span exams in between."""
    found = [change for change in lesion.changes if change.to_exam == exam_id]
    return min(found, key=lambda change: change.days, default=None)


def _triples(seen: Observation) -> dict[str, float | None]:
    left, back, up = seen.centroid_lps_mm or (None, None, None)
    limits: dict[str, float | None] = {}
    for name in _INTERVALS:
        low, high = getattr(seen, name) or (None, None)
        limits[name.replace("ci95", "ci95_low")] = low
        limits[name.replace("ci95", "ci95_high")] = high
    return {
        **limits,
        "centroid_left_lps_mm": left,
        "centroid_posterior_lps_mm": back,
        "centroid_superior_lps_mm": up,
    }


def _change_cells(lesion: Lesion, exam_id: str) -> dict[str, Any]:
    change = change_into(lesion, exam_id)
    if change is None:
        return {}
    cells: dict[str, Any] = {}
    for name in _CHANGE:
        own = name.startswith(("volume_", "mass_", "density_", "rim_"))
        cells[name if own else f"change_{name}"] = getattr(change, name)
    return cells | {
        "change_parents": ";".join(change.parents),
        "change_flags": ";".join(change.flags),
        "change_text": change_words(change),
    }


def manifest_json(report: Report, settings_toml: str, folder: Path) -> str:
    """``manifest.json``: what made the report, and every file with its size and hash.

    No time stamp stands in it: the same input and settings give the same bytes.
    """
    entries = [file_entry(path, folder) for path in walk(folder)]
    return (
        json.dumps(
            {
                "schema_version": report.schema_version,
                "software": report.software,
                "python": platform.python_version(),
                "libraries": {name: _version(name) for name in LIBRARIES},
                "config_sha256": report.config_sha256,
                "patient_key": report.patient_key,
                "inputs": [
                    {
                        "exam_id": exam.exam_id,
                        "study_instance_uid": exam.study_instance_uid,
                        "series_instance_uid": exam.series_instance_uid,
                    }
                    for exam in report.exams
                ],
                "settings": tomllib.loads(settings_toml),
                "files": entries,
            },
            indent=2,
        )
        + "\n"
    )


def file_entry(path: Path, folder: Path) -> dict[str, str | int]:
    """Path relative to ``folder`` (with ``/``), size in bytes and SHA-256 of a file."""
    return {
        "path": PurePosixPath(path.relative_to(folder)).as_posix(),
        "size_bytes": path.stat().st_size,
        "sha256": sha256(path),
    }


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(folder: Path) -> Iterable[Path]:
    """Every file under ``folder`` in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
