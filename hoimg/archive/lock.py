"""One run at a time on one folder of results."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from hoimg.errors import UsageError
from hoimg.whole_files import PREFIX

LOCK = "batch.lock"
BEAT_S = 20.0
STALE_S = 300.0
"""A run on another machine that gave no sign for so long is dead."""


class Lock:
    """Holds a folder until it is left; the system lets go of it when the process dies.

    On one machine the lock is the kernel's, so that no stale one can stay whatever happens. As
    some network file systems do not tell other machines of such locks, the file also names who
    holds it and is touched every 20 s: another machine's is stale after five minutes of silence.

    Args:
        folder: Exists.

    Raises:
        UsageError: on entering, when another run holds the folder or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._file: int | None = None
        self._beaten = 0.0

    def __enter__(self) -> Lock:
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UsageError(f"{self.path.parent}: cannot be written ({error.strerror})") from error
        try:
            self._take(self._file)
        except BaseException:
            os.close(self._file)
            self._file = None
            raise
        return self

    def _take(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise self._held(_holder(self.path)) from error
        holder = _holder(self.path)
        elsewhere = bool(holder) and holder.get("host") != platform.node()
        if elsewhere and self._silent_s() < STALE_S:
            raise self._held(holder)
        mine = {"pid": os.getpid(), "host": platform.node(), "started": int(time.time())}
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(mine).encode(), 0)
        os.fsync(file)

    def beat(self) -> None:
        """Give a sign of life; call it often."""
        now = time.monotonic()
        if self._file is not None and now - self._beaten >= BEAT_S:
            self._beaten = now
            os.utime(self._file)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def _silent_s(self) -> float:
        """Seconds since the holder's last sign, by the clock of the file system alone."""
        with _fresh(self.path.parent) as now:
            return now.stat().st_mtime - self.path.stat().st_mtime

    def _held(self, holder: dict[str, Any]) -> UsageError:
        who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
        return UsageError(
            f"{self.path.parent}: another batch runs there ({who}); wait for its end, or name "
            "another folder with -o"
        )


def _holder(path: Path) -> dict[str, Any]:
    """Who is named in the file; empty when nobody is."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A new file, gone afterwards: the time of its making is the file system's now."""
    path = folder / f"{PREFIX}clock-{os.getpid()}.part"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
