"""What a batch shows while it runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hoimg.cli.console import Console

if TYPE_CHECKING:
    from rich.console import Group

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
            Text("starting the cluster"),
            console=RichConsole(file=console.stream),
            refresh_per_second=2,
            transient=True,
        ) as live:
            yield lambda progress: live.update(view.panel(progress))
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
        """E.g. ``12/200 patients, 3.1/min, 61 min left, 2 failed (no_dicom 2), 812 MB now``."""
        return ", ".join(
            [*self._done(progress), *self._failed(progress), *self._memory_words(progress)]
        )

    def panel(self, progress: Progress) -> Group:
        """The same for a terminal: a bar and up to three lines, cut where the terminal ends."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        lines = [self._done(progress), self._failed(progress), self._memory_words(progress)]
        return Group(
            Padding(
                ProgressBar(progress.planned or 1, progress.ended, width=60), 0
            ),  # ends the line
            *(
                Text(", ".join(words), no_wrap=True, overflow="ellipsis")
                for words in filter(None, lines)
            ),
        )

    def _done(self, progress: Progress) -> list[str]:
        words = [f"{progress.ended}/{progress.planned} patients"]
        made = progress.ended - progress.adopted
        seconds = time.monotonic() - self.begun
        if made > 0 and seconds > 0:
            rate = made / seconds
            words.append(_rate(rate))
            words.append(f"{_time((progress.planned - progress.ended) / rate)} left")
        if progress.kept:
            words.append(f"{progress.kept} done before")
        return words

    def _failed(self, progress: Progress) -> list[str]:
        if not progress.failures:
            return []
        codes = ", ".join(f"{code} {n}" for code, n in progress.failures.most_common(3))
        more = ", …" if len(progress.failures) > 3 else ""
        return [f"{progress.failures.total()} failed ({codes}{more})"]

    def _memory_words(self, progress: Progress) -> list[str]:
        words = [f"{_size(self._used())} now"]
        if progress.peak_mb:
            words.append(f"at most {_size(progress.peak_mb)} a patient")
        return words

    def _used(self) -> float:
        """Memory of this process and all below it, MB; an existing cluster's is not seen."""
        import os

        from hoimg.archive.contain import memory_of

        now = time.monotonic()
        if now - self._looked >= MEMORY_EVERY_S:
            self._looked, self._memory = now, memory_of(os.getpid()) / 1e6
        return self._memory


def _rate(each_s: float) -> str:
    """Patients a minute, or an hour where that is less than one."""
    return f"{60 * each_s:.1f}/min" if each_s >= 1 / 60 else f"{3600 * each_s:.1f}/h"


def _time(seconds: float) -> str:
    """The two largest units: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def _size(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
