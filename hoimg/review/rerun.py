"""The report that honours the decisions, made by ``hoimg measure`` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hoimg.errors import HoimgError, UsageError

_RUN = "from hoimg.cli.main import main; main()"
_GRACE_S = 10.0
MAX_WORDS = 500
"""Characters of the command's last line that the page shows."""


class Rerun:
    """Makes one new report at a time, in a thread that follows the command.

    Args:
        scans: What the report was made from.
        output: Folder of the first new report; a later one, or one where that is taken, gets a
            number: ``NAME-2``.
        on_done: Told of the new report's folder; what it raises is shown as what went wrong.
    """

    def __init__(
        self, scans: Sequence[Path], output: Path, on_done: Callable[[Path], None]
    ) -> None:
        self._scans, self._output, self._on_done = tuple(scans), output, on_done
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._words, self._error, self._made = "", "", 0

    @property
    def running(self) -> bool:
        """Whether a report is being made."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def state(self) -> dict[str, Any]:
        """For the page: ``running``, ``words`` of progress, ``error`` of the last try, and how
        many reports were ``made``."""
        return {
            "running": self.running,
            "words": self._words,
            "error": self._error,
            "made": self._made,
        }

    def start(self, report: Path) -> None:
        """Begin to make the report anew.

        Args:
            report: Its folder, with the decisions in its ``edits.json``.

        Raises:
            UsageError: one is being made.
        """
        with self._lock:
            if self.running:
                raise UsageError("the new report is being made already")
            self._words, self._error = "starting", ""
            self._thread = threading.Thread(target=self._work, args=(report,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End what runs; what was written of it has no ``manifest.json``, and is no report."""
        self._stopped = True
        child, thread = self._child, self._thread
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
        if thread is not None:
            thread.join(_GRACE_S)

    def _work(self, report: Path) -> None:
        try:
            folder = self._free()
            code = self._measure(report, folder)
            if code == 0:
                self._on_done(folder)
                self._made += 1
            elif code < 0:  # the last words are of progress
                self._error = (
                    f"hoimg measure was ended by signal {-code} after: {self._words}; the machine "
                    "may have run out of memory"
                )
            else:
                self._error = self._words
        except (HoimgError, OSError) as error:
            self._error = str(error)
        except Exception as error:  # a thread that dies in silence would leave the page waiting
            self._error = f"the new report cannot be opened ({type(error).__name__})"

    def _measure(self, report: Path, folder: Path) -> int:
        words = ["measure", str(report), *map(str, self._scans), "-o", str(folder)]
        self._child = subprocess.Popen(
            [sys.executable, "-c", _RUN, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if self._stopped:
            self._child.terminate()
        assert self._child.stderr is not None
        with self._child.stderr as lines:
            for line in lines:
                said = line.strip().removeprefix("hoimg: ")
                if said and not said.startswith("warning:"):
                    self._words = said[:MAX_WORDS]
        return self._child.wait()

    def _free(self) -> Path:
        for number in range(1, 1000):
            folder = self._output
            if number > 1:
                folder = folder.with_name(f"{folder.name}-{number}")
            if not folder.exists():
                return folder
        raise UsageError(
            f"{self._output}: a thousand reports lie there; name another place with -o"
        )
