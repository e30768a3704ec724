"""Writing a report folder as a whole: staged aside, then moved into place file by file."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hoimg.edits import Edits, all_of, read_edits
from hoimg.errors import InputRefused, UsageError
from hoimg.memory import give_back_freed_memory
from hoimg.report import files
from hoimg.results import Finding, PatientResult, Report
from hoimg.side_threads import side_threads

NOT_WRITTEN = "DICOM objects were not written."
"""How the finding of an exam without DICOM objects begins."""
PDF = "report.pdf"
"""Of :func:`hoimg.report.pdf.add_pdf`."""
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def write_report(result: PatientResult, folder: Path) -> Path:
    """Write everything a report consists of.

    The files are ``report.json``, ``report.html``, ``lesions.csv``, ``changes.csv``,
    ``totals.csv``, ``settings.toml``, ``edits.json``, per exam with pixels
    ``exams/<exam_id>/lesions.nii.gz``, ``excluded.nii.gz`` and ``anatomy.nii.gz`` (of a film the
    first alone), per exam read from DICOM files the objects of
    :func:`~hoimg.report.dicom_objects.write_dicom_objects`, and last ``manifest.json``. Everything
    is made in a staging folder inside ``folder`` first: a failure on the way leaves an earlier
    report untouched. Files of others stay; nothing is deleted but a ``report.pdf`` that hoimg
    printed of the page before.

    Args:
        result: The analysed patient.
        folder: Where to write; made when it does not exist. It may hold foreign files, and an
            earlier report of the same patient made with the same settings, which is replaced.

    Returns:
        Path of ``report.html``.

    Raises:
        UsageError: when ``folder`` is a file or cannot be written, holds a report of another
            patient or other settings, or when a file in the way was not written by hoimg or was
            changed since.
        ValueError: when an exam_id is no safe folder name, is not unique, or has pixels but no
            entry in the report.
    """
    _check_ids(result)
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; give a folder for the report")
    _check_earlier(result.report, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = tempfile.TemporaryDirectory(prefix=".hoimg-", suffix=".partial", dir=folder)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from error
    with staging as name:
        staged = Path(name)
        _make(result, staged)
        _commit(staged, folder)
    return folder / "report.html"


def _make(result: PatientResult, staged: Path) -> None:
    from hoimg.report.page import page_html

    report = files.add_labelmaps(result.report, result.images, result.films)
    give_back_freed_memory()  # what was measured with; maps, objects and page are made at once

    def page(told: Report) -> str:
        return page_html(told, result.images, result.settings_toml, result.films, result.links)

    with side_threads(2) as beside:  # compressing and drawing run outside of Python's lock
        maps = beside.submit(files.write_labelmaps, result.images, staged)
        html = beside.submit(page, report)
        files.write_film_labelmaps(result.films, staged)
        told = _write_dicom(replace(result, report=report), staged)
        maps.result()
        # Where no object could be written, the page says so; that is rare.
        shown = html.result() if told == report else page(told)
    report = told
    texts = {
        "report.json": files.report_json(report),
        "lesions.csv": files.lesions_csv(report),
        "changes.csv": files.changes_csv(report),
        "totals.csv": files.totals_csv(report),
        "settings.toml": result.settings_toml,
        "edits.json": (result.edits or Edits()).text(),
        "report.html": shown,
    }
    for file_name, text in texts.items():
        (staged / file_name).write_text(text, encoding="utf-8", newline="\n")
    manifest = files.manifest_json(report, result.settings_toml, staged)
    (staged / "manifest.json").write_text(manifest, encoding="utf-8", newline="\n")


def _write_dicom(result: PatientResult, staged: Path) -> Report:
    """Write the DICOM objects; an exam whose source files refuse it gets a finding instead.

    The numbers do not depend on these objects, so that a report is not lost with them.
    """
    from hoimg.report.dicom_objects import write_dicom_objects

    exams = []
    for exam in result.report.exams:
        only = {exam.exam_id}
        images = {k: v for k, v in result.images.items() if k in only}
        films = {k: v for k, v in result.films.items() if k in only}
        try:
            write_dicom_objects(replace(result, images=images, films=films), staged)
        except InputRefused as error:
            told = Finding(code=error.code, level="warning", message=f"{NOT_WRITTEN} {error}")
            exam = exam.model_copy(update={"findings": [*exam.findings, told]})
        exams.append(exam)
    return result.report.model_copy(update={"exams": exams})


def _check_ids(result: PatientResult) -> None:
    ids = [exam.exam_id for exam in result.report.exams]
    for exam_id in ids:
        if not _SAFE_ID.fullmatch(exam_id):
            raise ValueError(f"exam_id {exam_id!r} is no safe folder name")
    # Some file systems know no difference between upper and lower case.
    if len({exam_id.lower() for exam_id in ids}) < len(ids):
        raise ValueError(f"exam_id must be unique, got {ids}")
    unknown = {*result.images, *result.films} - set(ids)
    if unknown:
        raise ValueError(f"images of exams that the report does not hold: {sorted(unknown)}")


def _check_earlier(report: Report, folder: Path) -> None:
    earlier = read_manifest(folder)
    if not earlier:
        return
    if earlier.get("patient_key") != report.patient_key:
        raise UsageError(f"{folder}: holds the report of another patient; give another folder")
    if earlier.get("config_sha256") != report.config_sha256:
        raise UsageError(
            f"{folder}: holds a report made with other settings; give another folder to keep both"
        )


def read_manifest(folder: Path) -> Mapping[str, object]:
    """The manifest of the report in a folder; empty when there is none that can be read."""
    try:
        content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def written_files(folder: Path) -> Mapping[str, str]:
    """SHA-256 by path of what the report in a folder was written as; empty without a manifest."""
    entries = read_manifest(folder).get("files")
    return {
        entry["path"]: entry["sha256"]
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and {"path", "sha256"} <= set(entry)
    }


def _commit(staged: Path, folder: Path) -> None:
    """Move the staged files into place, the manifest last: where it fits, the report is whole."""
    made = sorted(files.walk(staged), key=lambda path: path.name == "manifest.json")
    _check_in_the_way(made, staged, folder)
    printed = folder / PDF
    if printed.is_file() and files.sha256(printed) == written_files(folder).get(PDF):
        # It shows the page before, and would tell on paper what no longer stands.
        printed.unlink()
    for path in made:
        target = folder / path.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)  # atomic within one file system


def _check_in_the_way(made: list[Path], staged: Path, folder: Path) -> None:
    """Refuse before anything moves when a file would be lost that hoimg did not write."""
    known = written_files(folder)
    for path in made:
        relative = path.relative_to(staged)
        target = folder / relative
        if not os.path.lexists(target) or (relative.name == "manifest.json" and known):
            continue
        if not target.is_file() or target.is_symlink():
            raise UsageError(f"{target}: is in the way of the report; give another folder")
        digest = files.sha256(target)
        if relative.as_posix() == "edits.json" and _holds_all(target, path):
            continue  # what readers decided since the report was written is in the new one
        # A file equal to the new one is what a run left that was stopped while moving.
        if digest not in (known.get(relative.as_posix()), files.sha256(path)):
            raise UsageError(
                f"{target}: was not written by hoimg, or was changed since; "
                "move it away or give another folder"
            )


def _holds_all(earlier: Path, later: Path) -> bool:
    """Whether a file of edits holds every decision of an earlier one."""
    try:
        return all_of(read_edits(earlier), read_edits(later))
    except UsageError:
        return False
