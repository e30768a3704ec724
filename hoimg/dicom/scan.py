"""Files and folders to series: find the DICOM files, group them, check each group.

Only headers are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from hoimg.dicom.describe import describe
from hoimg.dicom.files import list_files
from hoimg.dicom.findings import finding
from hoimg.dicom.groups import group_headers, identity_of
from hoimg.dicom.header import DamagedFile, Header, patient_key, quiet_pydicom, read_header
from hoimg.dicom.types import Inventory
from hoimg.results import Finding
from hoimg.settings import Settings

Progress = Callable[[int, int], None]


def scan(
    paths: Path | Sequence[Path],
    settings: Settings | None = None,
    *,
    on_progress: Progress | None = None,
) -> Inventory:
    """Find every series under files and folders, whatever the files are called.

    Args:
        paths: One path or several; folders are searched recursively.
        settings: ``settings.intake`` holds the limits; the defaults when None.
        on_progress: Called with (files read, files to read).

    Returns:
        All series with their findings. Files that are no DICOM are counted, damaged ones listed.

    Raises:
        UsageError: when a path does not exist.
    """
    intake = (settings or Settings()).intake
    files = list_files([paths] if isinstance(paths, Path) else paths)
    headers: list[Header] = []
    damaged: list[Path] = []
    skipped = 0
    with quiet_pydicom():
        for number, file in enumerate(files, 1):
            try:
                header = read_header(file)
            except (DamagedFile, OSError):
                damaged.append(file)
                continue
            finally:
                if on_progress is not None:
                    on_progress(number, len(files))
            if header is None:
                skipped += 1
            else:
                headers.append(header)
        series = [info for group in group_headers(headers) for info in describe(group, intake)]
    findings = []
    if damaged:
        findings.append(
            finding("unreadable_files", f"{len(damaged)} file(s) are damaged and were left out.")
        )
    if skipped:
        findings.append(finding("skipped_files", f"{skipped} file(s) are no DICOM images."))
    series.sort(key=lambda s: (s.patient_key, str(s.date), s.study_time, s.study_uid, s.series_uid))
    return Inventory(
        series=tuple(series),
        findings=tuple(findings),
        files_seen=len(files),
        files_skipped=skipped,
        unreadable=tuple(damaged),
        patient_findings=_identity_conflicts(headers),
        patient_ids={patient_key(identity_of(h)): h.patient_id for h in headers},
    )


def _identity_conflicts(headers: Sequence[Header]) -> dict[str, tuple[Finding, ...]]:
    """By patient key: one PatientID with several birth dates or sexes, perhaps two people."""
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for header in headers:
        if header.patient_id:
            people[patient_key(identity_of(header))].add(header.person)
    note = finding("identity_conflict", "Birth date or sex differ under one patient ID.")
    return {
        key: (note,)
        for key, seen in people.items()
        if any(len({person[i] for person in seen if person[i]}) > 1 for i in (0, 1))
    }
