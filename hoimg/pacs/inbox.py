"""What came in, filed by patient, and which patients' files no report has seen yet.

``DIR/<patient key>/scans/<study>/<series>/<instance>.dcm``, ``DIR/<patient key>/report/`` and, when
a report was tried, ``DIR/<patient key>/reported.json`` with the set of files that it saw.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hoimg.dicom.clean import patient_key
from hoimg.dicom.people import identity_of
from hoimg.errors import UsageError
from hoimg.pacs.archive import Instance
from hoimg.pacs.folder import header_of, place_of
from hoimg.whole_files import remove_left_parts, sync_folder, whole_part, write_whole

SEEN = "reported.json"


class Taken(Enum):
    """What became of an object."""

    new = "new"
    known = "known"
    """The same file came before."""
    other = "other"
    """Another file of the same UID came before, and stays."""
    damaged = "damaged"
    """It cannot be read, or is cut off."""


@dataclass(frozen=True)
class Waiting:
    """A patient with files that no report has seen, by key, and when the last one came."""

    key: str
    since: float


class Inbox:
    """A folder of patients, filled from several threads.

    Args:
        folder: Made when it does not exist.
        config_sha256: Hash of the settings of reports that are made now.

    Raises:
        UsageError: when it cannot be made or written.
    """

    def __init__(self, folder: Path, config_sha256: str) -> None:
        self.folder = folder
        self._config = config_sha256
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Nobody was told that these had arrived.
            remove_left_parts(folder, "")
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror})") from error
        for scans in folder.glob("*/scans"):
            key = scans.parent.name
            if self._seen(key) != self.state(key):
                self._last[key] = time.monotonic()

    def scans(self, key: str) -> Path:
        """Where a patient's files lie."""
        return self.folder / key / "scans"

    def report(self, key: str) -> Path:
        """Where a patient's report goes: ``report``.

        Where that one was made with other settings (before an upgrade, say) it stays, and the
        name gets a part of their hash.
        """
        from hoimg.report.writer import read_manifest

        usual = self.folder / key / "report"
        earlier = read_manifest(usual).get("config_sha256", self._config)
        return usual if earlier == self._config else usual.with_name(f"report-{self._config[:8]}")

    def take(self, data: bytes) -> Taken:
        """File one object; when this returns, it is on the disk under its final name.

        Args:
            data: A Part 10 file.

        Raises:
            OSError: when it cannot be written.
        """
        with whole_part(self.folder, data) as part:
            header = header_of(part)
            if header is None or header.truncated or header.made_up_uids or not header.sop_uid:
                return Taken.damaged
            instance = Instance(header.study_uid, header.series_uid, header.sop_uid)
            key = patient_key(identity_of(header))
            path = self.scans(key) / place_of(instance)
            with self._lock:
                if path.exists():
                    return Taken.known if path.read_bytes() == data else Taken.other
                fresh = not path.parent.exists()
                path.parent.mkdir(parents=True, exist_ok=True)
                part.replace(path)
                # Before what may fail yet: sent again, it is known, and waits for its report.
                self._last[key] = time.monotonic()
                # The name has to outlast a power cut as well, and so have new folders.
                for above in [path.parent, *path.parents[1:5]] if fresh else [path.parent]:
                    sync_folder(above)
                return Taken.new

    def waiting(self) -> list[Waiting]:
        """Patients with files that no report has seen, the one that waits longest first."""
        with self._lock:
            found = [Waiting(key, since) for key, since in self._last.items()]
        return sorted(found, key=lambda w: (w.since, w.key))

    def state(self, key: str) -> str:
        """Which files a patient has, as a hash."""
        names = sorted(
            p.relative_to(self.folder).as_posix() for p in self.scans(key).rglob("*.dcm")
        )
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def note(self, waiting: Waiting, state: str, exit_code: int) -> None:
        """Say that a report was tried on these files; a patient with newer ones waits on.

        Args:
            waiting: As it was before the report was begun.
            state: As it was then.
            exit_code: How it ended.

        Raises:
            OSError: when it cannot be written; the patient is done again at the next start, or
                when more comes.
        """
        with self._lock:
            if self._last.get(waiting.key) == waiting.since:
                del self._last[waiting.key]
        content: dict[str, Any] = {"files": state, "exit_code": exit_code}
        path = self.folder / waiting.key / SEEN
        write_whole(path, (json.dumps(content) + "\n").encode())

    def _seen(self, key: str) -> str:
        try:
            return str(json.loads((self.folder / key / SEEN).read_bytes())["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
