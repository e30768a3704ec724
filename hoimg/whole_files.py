"""Files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, SUFFIX = ".hoimg-", ".part"
"""Names of files that are being written; a program that was killed leaves them."""
LEFT_S = 3600.0
"""One that nobody has written to for so long is of a program that was killed. A live one is seconds
old; an hour outlasts a slow disk and the clocks of two machines on one share."""


def write_whole(path: Path, data: bytes, check: Callable[[Path], None] | None = None) -> None:
    """Write a file so that its name never stands for less than all of it, whatever happens.

    Args:
        path: Replaced when it exists; its folder exists.
        data: All of it.
        check: Called with the file under a temporary name; what it raises leaves no file.

    Raises:
        OSError: when it cannot be written; nothing is left then.
    """
    with whole_part(path.parent, data) as part:
        if check is not None:
            check(part)
        part.replace(path)


@contextmanager
def whole_part(folder: Path, data: bytes) -> Iterator[Path]:
    """A file on the disk under a temporary name, to be moved to its own; else it goes again.

    Raises:
        OSError: when it cannot be written; nothing is left then.
    """
    part = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


def remove_left_parts(folder: Path, places: str) -> None:
    """Remove what programs that were killed have left, and nothing that another one writes now.

    Args:
        folder: Where to look.
        places: Glob of the folders in it that hold such files, with a slash at its end; empty for
            itself.
    """
    for part in folder.glob(f"{places}{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # its own program was faster
            if time.time() - part.stat().st_mtime > LEFT_S:
                part.unlink()


def sync_folder(folder: Path) -> None:
    """See that the names in a folder are on the disk; without effect outside POSIX."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
