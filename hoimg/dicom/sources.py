"""What the user names, as files to read: folders walked, archives unpacked, discs followed.

Archives are unpacked into a private temporary folder, so that all that follows sees real files.
The folder lives as long as its :class:`Sources`: to the end of a ``with`` block, else to the end
of the process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from hoimg.dicom.archive import BadArchive, Budget, unpack
from hoimg.dicom.elements import DamagedFile
from hoimg.dicom.files import list_files
from hoimg.dicom.findings import finding
from hoimg.dicom.media import read_dicomdir
from hoimg.results import Finding
from hoimg.settings import IntakeSettings, Settings


class Sources:
    """Files to scan, and a place for what archives hold. Make it with :func:`open_sources`.

    Attributes:
        files: Files under the named paths, each once, sorted.
        roots: The paths as they were named.
        settings: Section ``intake``.
        broken: Archives that the user has of which something could not be unpacked.
    """

    def __init__(self, roots: Sequence[Path], settings: IntakeSettings) -> None:
        listing = list_files(roots)
        self.files = listing.files
        self.roots = tuple(roots)
        self.settings = settings
        self._named = {os.path.realpath(path) for path in listing.named}
        self._closed = listing.closed_folders
        self._folder: Path | None = None
        self._owner = os.getpid()
        self._budget = Budget(settings.zip_max_bytes)
        self._depth: dict[Path, int] = {}
        self._origin: dict[Path, str] = {}
        self._outer: dict[Path, Path] = {}
        self._unpacked = 0
        self.broken: set[Path] = set()
        self._said: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Sources:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was unpacked; safe to call again."""
        folder, self._folder = self._folder, None
        # A forked worker inherits this object, but the folder belongs to the one who made it.
        if folder is not None and os.getpid() == self._owner:
            shutil.rmtree(folder, ignore_errors=True)
        atexit.unregister(self.close)

    def is_named(self, file: Path) -> bool:
        """Whether the file was named itself, rather than found in a folder or an archive."""
        return os.path.realpath(file) in self._named

    def origin(self, file: Path) -> str:
        """Where a file comes from, for messages on the terminal: path, or archive and number."""
        return self._origin.get(file, str(file))

    def outermost(self, file: Path) -> Path:
        """The file that the user has: itself, or the archive that it was unpacked from."""
        return self._outer.get(file, file)

    def expand_archive(self, archive: Path) -> list[Path]:
        """Unpack what may be an image; what goes wrong becomes a finding."""
        depth = self._depth.get(archive, 0) + 1
        if depth > self.settings.zip_max_depth:
            self._say("archive_limits", "Zip archives are nested deeper than the limit.")
            self.broken.add(self.outermost(archive))
            return []
        try:
            members, failed, _ = unpack(archive, self._place, self._budget, self.settings)
        except (BadArchive, OSError) as error:
            self._failed(error, archive)
            return []
        for failure in failed:
            self._failed(failure, archive)
        for member in members:
            self._depth[member.path] = depth
            self._outer[member.path] = self.outermost(archive)
            self._origin[member.path] = f"{self.origin(archive)} (file {member.number} within)"
        return [member.path for member in members]

    def expand_dicomdir(self, path: Path) -> list[Path]:
        """The files that a DICOMDIR refers to within its own folder."""
        try:
            disc = read_dicomdir(path)
        except (DamagedFile, OSError):
            self._say("dicomdir_damaged", "A DICOMDIR cannot be read.")
            return []
        if disc.missing:
            self._say("dicomdir_missing_files", f"{disc.missing} file(s) of a DICOMDIR are absent.")
        if disc.refused:
            self._say(
                "dicomdir_refused",
                f"{disc.refused} name(s) in a DICOMDIR lead out of its folder or are no names.",
            )
        return list(disc.files)

    def findings(self) -> list[Finding]:
        """What was wrong with folders, archives and discs so far; equal ones once."""
        found = []
        if self._closed:
            said = f"{self._closed} folder(s) could not be opened; what they hold is unknown."
            found.append(finding("closed_folders", said))
        for (code, said), count in self._said.items():
            found.append(finding(code, said if count == 1 else f"{said} ({count} times)"))
        return found

    def _say(self, code: str, said: str) -> None:
        self._said[(code, said)] += 1

    def _failed(self, error: BadArchive | OSError, archive: Path) -> None:
        self.broken.add(self.outermost(archive))
        if isinstance(error, BadArchive):
            self._say(error.code, str(error))
        else:  # the message of the system names a path
            self._say("archive_damaged", "A zip archive could not be read or unpacked.")

    def _place(self, suffix: str) -> Path:
        """An unused path; a thousand files to a folder."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hoimg-"))  # readable by its owner only
            atexit.register(self.close)
        self._unpacked += 1
        folder = self._folder / f"{self._unpacked // 1000:04d}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{self._unpacked:07d}{suffix}"


def open_sources(
    paths: Path | Iterable[Path], settings: Settings | IntakeSettings | None = None
) -> Sources:
    """List what lies under some paths; archives are unpacked while it is scanned.

    Use it as a context manager around everything that needs the files (reading pixels too)::

        with open_sources(["exams.zip"]) as sources:
            patient = read_patient(sources)
            volume = load_volume(patient.exams[0])

    :func:`hoimg.dicom.scan` does it by itself for plain paths; what it unpacks then stays until
    the process ends.

    Args:
        paths: Files, folders, zip archives or a DICOMDIR.
        settings: All settings or their section ``intake``; the defaults when None.

    Raises:
        UsageError: when a path does not exist or is neither file nor folder.
    """
    if not isinstance(settings, IntakeSettings):
        settings = (settings or Settings()).intake
    roots = [paths] if isinstance(paths, str | Path) else list(paths)
    return Sources([Path(root) for root in roots], settings)
