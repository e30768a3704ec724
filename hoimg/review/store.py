"""``edits.json`` under a reader's hand: read, added to, taken back; never half written or lost."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from hoimg.edits import Edits, edits_of
from hoimg.errors import UsageError
from hoimg.whole_files import write_whole


class Conflict(Exception):
    """The file is not the one that the reader saw."""


@dataclass(frozen=True)
class Store:
    """The file of one report.

    Attributes:
        path: ``edits.json``.
    """

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> tuple[Edits, str]:
        """The edits and their version, which changes with the file.

        Raises:
            UsageError: the file is gone, or is no file of edits any more.
        """
        with self._lock:
            return self._read()

    def change(self, seen: str, work: Callable[[Edits], Edits]) -> tuple[Edits, str]:
        """Write what ``work`` makes of the edits, if they are those that the reader saw.

        Args:
            seen: Version of the edits on which the reader decided.
            work: Gives the new edits.

        Returns:
            The edits as they are now, and their version.

        Raises:
            Conflict: the file was changed since, here or elsewhere; nothing is written.
            UsageError: as :meth:`read`, or the file cannot be written.
        """
        with self._lock:
            edits, version = self._read()
            if version != seen:
                raise Conflict
            after = work(edits)
            text = after.text().encode()
            try:
                # Who may read the file stays; a crash leaves this one or the other.
                write_whole(self.path, text, lambda part: shutil.copymode(self.path, part))
            except OSError as error:
                raise UsageError(f"{self.path}: cannot be written ({error.strerror})") from error
            return after, _version(text)

    def _read(self) -> tuple[Edits, str]:
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read ({error.strerror})") from error
        return edits_of(text, self.path), _version(text)


def without(edits: Edits, time: datetime) -> Edits:
    """The edits without the decision of a moment, as far as it can be taken back here.

    A correction that is in the report's label maps already stays: only a new report undoes it.
    """
    return edits.model_copy(
        update={
            "edits": tuple(
                e for e in edits.edits if e.time != time or (e.of_the_map and e.applied is not None)
            ),
            "on_films": tuple(
                e
                for e in edits.on_films
                if e.time != time or (e.action == "exclude" and e.applied is not None)
            ),
            "regions": tuple(r for r in edits.regions if r.time != time or r.applied),
        }
    )


def _version(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
