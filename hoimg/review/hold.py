"""One review at a time on one report: a second server would write over what the first one keeps."""

from __future__ import annotations

import os
from pathlib import Path

from hoimg.errors import UsageError


class Hold:
    """Holds a report's folder until it is let go; the kernel lets go when the process dies.

    It leaves no file: the folder itself is locked. Without effect outside POSIX.

    Args:
        folder: The report's.

    Raises:
        UsageError: another review holds it, or it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = None
        if os.name != "posix":
            return
        import fcntl

        try:
            handle = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be opened ({error.strerror})") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UsageError(
                f"{folder}: another hoimg review has this report open; end that one first, or "
                "use the address that it printed"
            ) from None
        except OSError:  # a file system without locks: two servers are told apart when one writes
            os.close(handle)
            return
        self._handle = handle

    def let_go(self) -> None:
        """Let another review in."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
