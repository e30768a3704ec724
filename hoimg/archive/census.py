"""Who is under a folder or in a list of paths: patients with their files, and what is nobody's.

Only headers are looked at, and none is kept: a patient is a key, paths and a hash.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hoimg.archive.wording import safe_message
from hoimg.dicom.clean import patient_key
from hoimg.dicom.header import Header
from hoimg.dicom.people import identity_of
from hoimg.dicom.read import read_patient
from hoimg.dicom.scan import Progress, Seen, each_header
from hoimg.dicom.sources import Sources, open_sources
from hoimg.errors import HoimgError, InputRefused, UsageError
from hoimg.results import Finding
from hoimg.settings import Settings

NOBODY = "u"
"""First letter of the key of a path that holds no patient; a patient's is ``p``."""


@dataclass(frozen=True)
class Case:
    """One patient to analyse.

    Attributes:
        key: The keyed hash that stands for the patient.
        files: The patient's files (an archive in place of what it holds), sorted.
        input_sha256: Hash over SOP Instance UID, size and time of change of each file: the same
            wherever the files lie and whatever they are called.
    """

    key: str
    files: tuple[Path, ...]
    input_sha256: str


@dataclass(frozen=True)
class Refused:
    """A path that gives no patient to analyse, and why.

    Attributes:
        key: Keyed hash of the path, with :data:`NOBODY` in front.
        code: As of an error of the input.
        message: Without path or identity.
        path: For messages on the terminal only.
        input_sha256: As of :class:`Case`.
    """

    key: str
    code: str
    message: str
    path: Path
    input_sha256: str


@dataclass(frozen=True)
class Census:
    """What was found.

    Attributes:
        cases: Patients, sorted by key.
        refused: Paths without one, sorted by key.
        files_seen: Files looked at.
        findings: About folders and archives that could not be read.
    """

    cases: tuple[Case, ...]
    refused: tuple[Refused, ...]
    files_seen: int
    findings: tuple[Finding, ...] = ()


@dataclass
class _People:
    """Files of each patient, gathered header by header."""

    files: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    marks: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def add(self, key: str, named: str, mark: bytes) -> None:
        self.files[key][named] = None
        self.marks[key].append(mark)

    def cases(self) -> tuple[Case, ...]:
        return tuple(
            Case(key, tuple(Path(p) for p in sorted(files)), _together(self.marks[key]))
            for key, files in sorted(self.files.items())
        )


def census_of_root(
    root: Path, settings: Settings, *, on_progress: Progress | None = None
) -> Census:
    """Everybody under a folder, whatever the folders in it are called.

    A damaged file counts to the patient whose files alone lie in its folder. An entry of ``root``
    with files of nobody is refused as a whole, with what ``hoimg report`` says of it.

    Args:
        root: A folder, or an archive.
        settings: Section ``intake``.
        on_progress: Called with (files read, files to read).

    Raises:
        UsageError: when there is no such path.
    """
    people = _People()
    with open_sources(root, settings) as sources:
        found = _gather(people, sources, settings, on_progress)
        whose = {_entry(Path(f), root) for files in people.files.values() for f in files}
        alone = sorted({_entry(f, root) for f in sources.files} - whose)
        findings = tuple(sources.findings())
    # A text file beside the patients' folders is nobody that was lost.
    damaged = set(found.damaged)
    lost = [path for path in alone if path.is_dir() or path in damaged or path == root]
    refused = [_refused(path, path.relative_to(root).as_posix(), settings) for path in lost]
    return Census(people.cases(), _sorted(refused), found.seen, findings)


def census_of_list(
    paths: Sequence[Path], settings: Settings, *, on_progress: Progress | None = None
) -> Census:
    """One patient a path; the same patient at two paths is one, with the files of both.

    A path that does not exist, holds nobody or several patients is refused, and stops no other.

    Args:
        paths: Files or folders.
        settings: Section ``intake``.
        on_progress: Called with (paths read, paths to read).
    """
    people, refused, seen = _People(), list[Refused](), 0
    findings: list[Finding] = []
    for number, path in enumerate(paths, 1):
        here = _People()
        try:
            with open_sources(path, settings) as sources:
                seen += _gather(here, sources, settings, None).seen
                findings += sources.findings()
        except UsageError:
            refused.append(
                _nobody(path, str(path), "no_such_path", "There is no such file or folder.")
            )
            continue
        if not here.files:
            refused.append(_refused(path, str(path), settings))
        elif len(here.files) > 1:
            said = f"Holds {len(here.files)} patients; list one path for each."
            refused.append(_nobody(path, str(path), "several_patients", said))
        else:
            for key, files in here.files.items():
                people.files[key].update(files)
                people.marks[key] += here.marks[key]
        if on_progress is not None:
            on_progress(number, len(paths))
    return Census(
        people.cases(), _sorted(refused), seen, tuple({f.message: f for f in findings}.values())
    )


def _gather(people: _People, sources: Sources, settings: Settings, tell: Progress | None) -> Seen:
    """Read every header; give each file to its patient."""
    owners: dict[str, str | None] = {}

    def note(key: str, path: Path, uid: str) -> None:
        named = sources.outermost(path)
        folder = os.path.dirname(named)  # noqa: PTH120 - a plain string, a million times
        owners[folder] = key if owners.get(folder, key) == key else None
        people.add(key, str(named), _mark(uid, path, named))

    def take(header: Header) -> None:
        note(patient_key(identity_of(header)), header.path, header.sop_uid)

    found = each_header(sources, settings.intake, take, tell)
    for volume in found.volumes:
        if volume.kind != "label_map":
            for path in volume.files:
                note(volume.patient_key, path, volume.series_uid)
    for path in found.damaged:
        named = sources.outermost(path)
        owner = owners.get(os.path.dirname(named))  # noqa: PTH120
        if owner is not None:
            people.add(owner, str(named), _mark("damaged", path, named))
    return found


def _mark(uid: str, path: Path, named: Path) -> bytes:
    """What tells a file from every other and from itself once it is changed.

    Of a file in an archive the time is the archive's, as it was unpacked just now.
    """
    try:
        size, time = path.stat().st_size, named.stat().st_mtime_ns
    except OSError:
        size = time = -1
    return hashlib.sha256(f"{uid}|{size}|{time}".encode()).digest()[:16]


def _together(marks: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(marks))).hexdigest()


def _entry(path: Path, root: Path) -> Path:
    """The entry of ``root`` that a path lies in."""
    return root if path == root else root / path.relative_to(root).parts[0]


def _refused(path: Path, name: str, settings: Settings) -> Refused:
    """Why ``hoimg report`` would not take a path without any patient."""
    try:
        with open_sources(path, settings) as sources:
            read_patient(sources, settings)
    except InputRefused as error:
        return _nobody(path, name, error.code, safe_message(error, [path]))
    except HoimgError as error:
        return _nobody(path, name, "no_dicom", safe_message(error, [path]))
    return _nobody(path, name, "no_dicom", "Holds nobody's images.")


def _nobody(path: Path, name: str, code: str, message: str) -> Refused:
    key = NOBODY + patient_key(f"path:{name}")[1:]
    return Refused(key, code, message, path, _together([_mark(code, path, path)]))


def _sorted(refused: Iterable[Refused]) -> tuple[Refused, ...]:
    return tuple({r.key: r for r in sorted(refused, key=lambda r: r.key)}.values())
