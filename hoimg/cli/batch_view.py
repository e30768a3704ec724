"""What a batch shows while it runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hoimg.cli.console import Console

if TYPE_CHECKING:
    from hoimg.archive.run import Progress

EVERY_S = 10.0
"""Between plain lines."""
MEMORY_EVERY_S = 2.0


@contextmanager
def watching(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Show a run's progress until the block is left; a function to call with it."""
    if console.quiet:
        yield lambda _progress: None
    elif console.stream.isatty():
        from rich.console import Console as RichConsole
        from rich.live import Live
        from rich.text import Text

        view = _View()
        with Live(
            Text("starting"),
            console=RichConsole(file=console.stream),
            refresh_per_second=2,
            transient=True,
        ) as live:
            yield lambda progress: live.update(Text(view.line(progress)))
    else:
        yield _lines(console)


def _lines(console: Console) -> Callable[[Progress], None]:
    view, last = _View(), time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_S:
            last = now
            console.say(view.line(progress))

    return show


class _View:
    """Progress in words."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._memory = 0.0
        self._looked = float("-inf")

    def line(self, progress: Progress) -> str:
        """E.g. ``12/200 patients, 3.1/min, 61 min left, 2 failed (no_dicom 2), 812 MB``."""
        words = [f"{progress.ended}/{progress.planned} patients"]
        if progress.kept:
            words.append(f"{progress.kept} done before")
        made = progress.ended - progress.adopted
        minutes = (time.monotonic() - self.begun) / 60
        if made > 0 and minutes > 0:
            rate = made / minutes
            words.append(f"{rate:.1f}/min")
            left = (progress.planned - progress.ended) / rate
            words.append(f"{left:.0f} min left" if left >= 1.5 else f"{60 * left:.0f} s left")
        if progress.failures:
            codes = ", ".join(f"{code} {n}" for code, n in progress.failures.most_common(3))
            words.append(f"{progress.failures.total()} failed ({codes})")
        most = f", at most {progress.peak_mb:.0f} MB a patient" if progress.peak_mb else ""
        words.append(f"{self._used():.0f} MB now{most}")
        return ", ".join(words)

    def _used(self) -> float:
        """Memory of this process and all below it, MB; an existing cluster's is not seen."""
        import os

        from hoimg.archive.contain import memory_of

        now = time.monotonic()
        if now - self._looked >= MEMORY_EVERY_S:
            self._looked, self._memory = now, memory_of(os.getpid()) / 1e6
        return self._memory
