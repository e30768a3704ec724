"""A folder of pulled DICOM files, and ``pull.json``: each file with its UIDs and SHA-256.

A file appears under its name when it is whole, never before. Names are hashes of UIDs, so that no
text of an archive becomes a path: ``<study>/<series>/<instance>.dcm``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from hoimg.dicom.header import DamagedFile, Header, quiet_pydicom, read_header
from hoimg.errors import UsageError
from hoimg.pacs.archive import Instance
from hoimg.pacs.errors import PacsError
from hoimg.whole_files import remove_left_parts, write_whole

MANIFEST = "pull.json"
SAVE_EVERY_S = 2.0
"""A list of the files is written this often; what came since is read once more after a crash."""


@dataclass(frozen=True)
class Entry:
    """A file of the folder: its path in it, size and SHA-256."""

    path: str
    size_bytes: int
    sha256: str


class PullFolder:
    """The files that came from archives, in one folder.

    Args:
        folder: Where; made when it does not exist. Files of others in it stay as they are.

    Raises:
        UsageError: when it is a file, cannot be written, or its ``pull.json`` is not of hoimg.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: no folder can be made there ({error.strerror})") from error
        self._entries = _read_manifest(folder / MANIFEST)
        self._saved = time.monotonic()
        remove_left_parts(folder, "*/*/")

    def path_of(self, instance: Instance) -> Path:
        """Where a file of the folder lies, whether it is there or not."""
        return self.folder / place_of(instance)

    def holds(self, instance: Instance) -> bool:
        """Whether a file is there, whole and as it came.

        One that was changed since does not count. One that is not listed (the run was killed
        before it wrote its list) is read, and listed when it is what its place says.
        """
        path = self.path_of(instance)
        if path.is_symlink() or not path.is_file():
            return False
        data = path.read_bytes()
        entry = self._entries.get(instance)
        if entry is not None:
            return entry.sha256 == hashlib.sha256(data).hexdigest()
        with contextlib.suppress(PacsError):
            check_object(path, instance)
            self._note(instance, path, data)
            return True
        return False

    def add(self, instance: Instance, data: bytes) -> None:
        """Write a file under its name, after it was checked under another one.

        Args:
            instance: What was asked for.
            data: A Part 10 file.

        Raises:
            PacsError: when it is not that object, or not a whole one.
            OSError: when it cannot be written.
        """
        path = self.path_of(instance)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data, lambda part: check_object(part, instance))
        self._note(instance, path, data)
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write ``pull.json``."""
        from hoimg import __version__

        entries = [
            {
                "study_instance_uid": instance.study_uid,
                "series_instance_uid": instance.series_uid,
                "sop_instance_uid": instance.sop_uid,
                **vars(entry),
            }
            for instance, entry in sorted(self._entries.items())
        ]
        content = {"software": f"hoimg {__version__}", "instances": entries}
        text = json.dumps(content, indent=1) + "\n"
        write_whole(self.folder / MANIFEST, text.encode())
        self._saved = time.monotonic()

    def _note(self, instance: Instance, path: Path, data: bytes) -> None:
        place = path.relative_to(self.folder).as_posix()
        self._entries[instance] = Entry(place, len(data), hashlib.sha256(data).hexdigest())


def place_of(instance: Instance) -> Path:
    """``<study>/<series>/<instance>.dcm``, hashes of the UIDs."""
    study, series = _short(instance.study_uid, 16), _short(instance.series_uid, 16)
    return Path(study, series, f"{_short(instance.sop_uid, 24)}.dcm")


def check_object(path: Path, instance: Instance) -> None:
    """See that a file is the object that was asked for, and not cut off.

    Raises:
        PacsError: when it is not.
    """
    header = header_of(path)
    if header is None or header.truncated:
        raise PacsError("the archive sent a file that is damaged or cut off", "bad_answer")
    if header.sop_uid != instance.sop_uid.strip():
        raise PacsError("the archive sent another object than was asked for", "bad_answer")


def header_of(path: Path) -> Header | None:
    """The header of a DICOM file; None when it is none that can be read."""
    with quiet_pydicom():
        try:
            return read_header(path)
        except DamagedFile:
            return None


def _read_manifest(path: Path) -> dict[Instance, Entry]:
    if not os.path.lexists(path):
        return {}
    try:
        listed = json.loads(path.read_bytes())["instances"]
        return {
            Instance(
                str(e["study_instance_uid"]),
                str(e["series_instance_uid"]),
                str(e["sop_instance_uid"]),
            ): Entry(str(e["path"]), int(e["size_bytes"]), str(e["sha256"]))
            for e in listed
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path}: was not written by hoimg pull, or was damaged; move it away, and what is "
            "there whole is listed again"
        ) from None


def _short(uid: str, length: int) -> str:
    return hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()[:length]
