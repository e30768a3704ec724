"""Who is under a folder or in a list of paths: patients with their files, and what is nobody's.

Only headers are looked at, and none is kept: a patient is a key, paths and a hash.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hoimg.archive.wording import safe_message
from hoimg.dicom.clean import patient_key
from hoimg.dicom.findings import finding
from hoimg.dicom.header import Header
from hoimg.dicom.people import identity_of
from hoimg.dicom.read import read_patient
from hoimg.dicom.scan import Progress, Seen, each_header
from hoimg.dicom.sources import Sources, open_sources
from hoimg.dicom.types import SeriesInfo
from hoimg.dicom.volume_files import describe_volume_file
from hoimg.dicom.volume_nrrd import read_nrrd_header
from hoimg.dicom.volume_sidecar import sidecar_path
from hoimg.errors import HoimgError, InputRefused, UsageError
from hoimg.results import Finding
from hoimg.settings import Settings

NOBODY = "u"
"""First letter of the key of a path that holds no patient; a patient's is ``p``."""
_PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_SAYS_IMAGES = (*_PACKED, ".dcm", ".dicom", ".ima", ".nii", ".nrrd", ".nhdr")
"""Names of files that were meant to be somebody's images."""


@dataclass(frozen=True)
class Case:
    """One patient to analyse.

    Attributes:
        key: The keyed hash that stands for the patient.
        files: The patient's files (an archive in place of what it holds), sorted; none of one who
            is in a PACS.
        input_sha256: Hash over SOP Instance UID, size and time of change of each file: the same
            wherever the files lie and whatever they are called.
        url: The PACS that has the images.
        studies: The studies to pull from there, sorted.
    """

    key: str
    files: tuple[Path, ...]
    input_sha256: str
    url: str | None = None
    studies: tuple[str, ...] = ()


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
    """Files of each patient, gathered header by header; and whose alone lie in a folder."""

    files: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    marks: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    owners: dict[str, str | None] = field(default_factory=dict)

    def add(self, key: str, path: Path, uid: str, sources: Sources) -> None:
        named = sources.outermost(path)
        folder = os.path.dirname(named)  # noqa: PTH120 - a plain string, a million times
        self.owners[folder] = key if self.owners.get(folder, key) == key else None
        self.files[key][str(named)] = None
        self.marks[key].append(_mark(uid, path, named))

    def add_volume(self, info: SeriesInfo, sources: Sources) -> None:
        """A volume file, with what is read beside it; a label map is nobody's scan."""
        if info.kind == "label_map":
            return
        for path in info.files:
            self.add(info.patient_key, path, info.series_uid, sources)
            for other in _beside(path):
                mark = _mark(f"beside {info.series_uid}", other, sources.outermost(other))
                self.marks[info.patient_key].append(mark)

    def add_damaged(self, path: Path, sources: Sources) -> None:
        """What cannot be read counts to the patient whose files alone lie in its folder."""
        owner = self.owners.get(os.path.dirname(sources.outermost(path)))  # noqa: PTH120
        if owner is not None:
            self.add(owner, path, "damaged", sources)

    def cases(self) -> tuple[Case, ...]:
        return tuple(
            Case(key, tuple(Path(p) for p in sorted(files)), _together(self.marks[key]))
            for key, files in sorted(self.files.items())
        )


def census_of_root(
    root: Path, settings: Settings, *, on_progress: Progress | None = None
) -> Census:
    """Everybody under a folder, whatever the folders in it are called.

    A damaged file or archive counts to the patient whose files alone lie in its folder. An entry
    of ``root`` with files of nobody is refused as a whole, with what ``hoimg report`` says of it.
    Volume files (NIfTI, NRRD) in an entry with DICOM are left aside, as ``hoimg report`` does.

    Args:
        root: A folder, or an archive.
        settings: Section ``intake``.
        on_progress: Called with (files read, files to read).

    Raises:
        UsageError: when there is no such path.
    """
    people = _People()
    with open_sources(root, settings) as sources:
        found = _gather(people, sources, settings, on_progress, root)
        whose = {_entry(Path(f), root) for files in people.files.values() for f in files}
        aside = _volumes_apart(found, whose, people, sources, settings, root)
        alone = sorted({_entry(f, root) for f in sources.files} - whose)
        broken = sources.broken | {sources.outermost(path) for path in found.damaged}
        findings = [*sources.findings(), *_said_aside(aside)]
    labels = {f for v in found.volumes if v.kind == "label_map" for f in v.files}
    lost = [
        path
        for path in alone
        if path.is_dir() or path in broken or path == root or _says_images(path)
        if path not in labels
    ]
    refused = [_refused(path, path.relative_to(root).as_posix(), settings) for path in lost]
    return Census(people.cases(), _sorted(refused), found.seen, tuple(findings))


def _says_images(path: Path) -> bool:
    """Whether its name says so; a text file beside the patients' folders is nobody lost."""
    return path.name.lower().endswith(_SAYS_IMAGES)


def _volumes_apart(
    found: Seen,
    whose: set[Path],
    people: _People,
    sources: Sources,
    settings: Settings,
    root: Path,
) -> int:
    """Take the volume files of entries without DICOM, whose patients have nothing else.

    Returns:
        How many lie beside DICOM and are left aside.
    """
    with_dicom, aside = set(whose), 0
    for path in found.aside:
        entry = _entry(sources.outermost(path), root)
        if entry in with_dicom:
            aside += 1
            continue
        try:
            info = describe_volume_file(path, settings.intake)
        except OSError:
            found.damaged.append(path)
            continue
        if info is not None:
            found.volumes.append(info)
            people.add_volume(info, sources)
            whose |= {entry} if info.kind != "label_map" else set()
    return aside


def _said_aside(count: int) -> list[Finding]:
    said = f"{count} volume file(s) (NIfTI, NRRD) lie beside DICOM and were left aside."
    return [finding("volume_files_aside", said)] if count else []


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


def _gather(
    people: _People,
    sources: Sources,
    settings: Settings,
    tell: Progress | None,
    root: Path | None = None,
) -> Seen:
    """Read every header; give each file to its patient.

    Args:
        root: The folder of everybody: an archive in it is nobody else's.
    """

    def take(header: Header) -> None:
        people.add(patient_key(identity_of(header)), header.path, header.sop_uid, sources)

    found = each_header(sources, settings.intake, take, tell)
    for volume in found.volumes:
        people.add_volume(volume, sources)
    for path in (*found.damaged, *sorted(sources.broken)):
        named = sources.outermost(path)
        packed = named != path or path in sources.broken
        if not (packed and named.parent == root):
            people.add_damaged(path, sources)
    return found


def _beside(path: Path) -> Iterator[Path]:
    """The sidecar of a volume file and the data file that its header names, where they are."""
    if (side := sidecar_path(path)).is_file():
        yield side
    if path.name.lower().endswith(".nhdr"):
        with suppress(ValueError, OSError):
            layout = read_nrrd_header(path)
            if layout is not None:
                yield layout.data


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
