"""Files and folders to series: find the images, group them, check each group.

Only headers are read (of volume files, as much as it takes to see that they hold HU).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hoimg.dicom.describe import describe
from hoimg.dicom.elements import DamagedFile
from hoimg.dicom.findings import finding
from hoimg.dicom.groups import group_headers
from hoimg.dicom.header import FileKind, Header, Pool, look
from hoimg.dicom.people import People
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.dicom.sources import Sources, open_sources
from hoimg.dicom.types import Inventory, SeriesInfo
from hoimg.dicom.volume_files import describe_volume_file, volume_format
from hoimg.results import Finding
from hoimg.settings import IntakeSettings, Settings

Progress = Callable[[int, int], None]


def scan(
    paths: Path | Sequence[Path] | Sources,
    settings: Settings | None = None,
    *,
    on_progress: Progress | None = None,
) -> Inventory:
    """Find every series under files and folders, whatever the files are called.

    Args:
        paths: One path or several; folders are searched recursively. Zip archives are unpacked,
            wherever they lie; a DICOMDIR that is named itself leads to the files of its disc, one
            found in a folder is skipped, as its files are found anyway. With plain paths, what
            was unpacked stays until the process ends; give :func:`open_sources` to decide.
        settings: ``settings.intake`` holds the limits; the defaults when None.
        on_progress: Called with (files read, files to read).

    Returns:
        All series with their findings. Files that are no images are counted, damaged ones listed.

    Raises:
        UsageError: when a path does not exist.
    """
    intake = (settings or Settings()).intake
    sources = paths if isinstance(paths, Sources) else open_sources(paths, intake)
    people, headers = People(), list[Header]()

    def keep(header: Header) -> None:
        people.add(header)
        headers.append(header)

    found = each_header(sources, intake, keep, on_progress)
    with quiet_pydicom():
        series = [*found.volumes, *_describe_all(headers, intake)]
    series.sort(key=lambda s: (s.patient_key, str(s.date), s.study_time, s.study_uid, s.series_uid))
    ids = people.patient_ids()
    return Inventory(
        series=tuple(_say_parted(series)),
        findings=tuple(_findings(found, sources)),
        files_seen=found.seen,
        files_skipped=found.skipped + len(found.aside),
        unreadable=tuple(found.damaged),
        patient_findings=people.findings(),
        patient_ids=ids,
        origins={
            file: sources.origin(file)
            for file in (*found.damaged, *(f for s in series for f in s.files))
            if sources.origin(file) != str(file)
        },
    )


@dataclass
class Seen:
    """What looking at all files gave, beside the headers.

    Attributes:
        images: Headers that were handed on.
        volumes: NIfTI and NRRD files that count as series.
        damaged: Files that are DICOM but damaged in the header.
        seen: Regular files looked at.
        skipped: Of them, files that are no DICOM.
        aside: Volume files left aside, as there is DICOM.
    """

    images: int = 0
    volumes: list[SeriesInfo] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    seen: int = 0
    skipped: int = 0
    aside: list[Path] = field(default_factory=list)


def each_header(
    sources: Sources,
    settings: IntakeSettings,
    take: Callable[[Header], None],
    on_progress: Progress | None = None,
) -> Seen:
    """Look at every file, and at what archives and discs among them hold; keep no header.

    Args:
        sources: Where to look.
        settings: Section ``intake``.
        take: Called with each DICOM header.
        on_progress: Called with (files read, files to read).
    """
    with quiet_pydicom():
        return _look_at_all(sources, settings, take, on_progress)


def _look_at_all(
    sources: Sources,
    settings: IntakeSettings,
    take: Callable[[Header], None],
    tell: Progress | None,
) -> Seen:
    found, pool = Seen(), Pool()
    waiting = list(reversed(sources.files))
    known = set(sources.files)
    volume_files: list[Path] = []
    while waiting:
        file = waiting.pop()
        more: Iterable[Path] = ()
        try:
            if volume_format(file) is not None:
                volume_files.append(file)
            else:
                seen = look(file, pool)
                if isinstance(seen, Header):
                    found.images += 1
                    take(seen)
                elif seen is FileKind.ARCHIVE:
                    more = sources.expand_archive(file)
                elif seen is FileKind.DICOMDIR and sources.is_named(file):
                    more = sources.expand_dicomdir(file)
                else:
                    found.skipped += 1
        except (DamagedFile, OSError):
            found.damaged.append(file)
        found.seen += 1
        new = [path for path in more if path not in known]
        known.update(new)
        waiting += reversed(new)
        if tell is not None:
            tell(found.seen, found.seen + len(waiting))
    _read_volumes(found, volume_files, sources, settings)
    return found


def _read_volumes(
    found: Seen, files: Sequence[Path], sources: Sources, settings: IntakeSettings
) -> None:
    """Look at NIfTI and NRRD files: those that were named, or all where there is no DICOM.

    Beside DICOM they are converted copies, masks or results of earlier runs. As they state no
    patient, each would count as one more person.
    """
    for file in files:
        if found.images and not sources.is_named(file):
            found.aside.append(file)
            continue
        try:
            info = describe_volume_file(file, settings)
        except OSError:
            found.damaged.append(file)
            continue
        if info is None:
            found.skipped += 1
        else:
            found.volumes.append(info)


def _describe_all(headers: list[Header], settings: IntakeSettings) -> Iterator[SeriesInfo]:
    """The series of all headers; a group's headers are let go once it is described."""
    groups = group_headers(headers)
    headers.clear()
    while groups:
        yield from describe(groups.pop(), settings)


def _say_parted(series: Sequence[SeriesInfo]) -> Iterator[SeriesInfo]:
    """Tell of volumes that were stored together under one series number."""

    def key(info: SeriesInfo) -> tuple[str, str, str]:
        return info.patient_key, info.study_uid, info.series_uid

    volumes = Counter(key(info) for info in series if info.usable)
    for info in series:
        count = volumes[key(info)]
        if info.usable and count > 1:
            said = f"The series holds {count} volumes (phases, planes or reconstructions)."
            yield replace(info, findings=(*info.findings, finding("series_parted", said)))
        else:
            yield info


def _findings(found: Seen, sources: Sources) -> Iterator[Finding]:
    if found.damaged:
        said = f"{len(found.damaged)} file(s) are damaged and were left out."
        yield finding("unreadable_files", said)
    if found.skipped:
        yield finding("skipped_files", f"{found.skipped} file(s) are no DICOM images.")
    if found.aside:
        said = f"{len(found.aside)} volume file(s) (NIfTI, NRRD) beside DICOM were left aside."
        yield finding("volume_files_aside", said)
    labels = sum(info.kind == "label_map" for info in found.volumes)
    if labels:
        yield finding("label_maps_aside", f"{labels} volume file(s) hold labels, no scan.")
    yield from sources.findings()
