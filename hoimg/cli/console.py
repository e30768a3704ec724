"""What the commands say on standard error: notes, warnings, progress and the log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import typer

PATIENCE_S = 2.0
"""Work shorter than this shows no progress; off a terminal, lines are this far apart."""
VERBOSE_PATIENCE_S = 0.2

Step = Callable[[str], None]


@dataclass(frozen=True)
class Console:
    """Where and how much a command tells its user; results go to standard output instead.

    Attributes:
        verbosity: -1 with ``-q``, 0 by default, 1 with ``-v``.
        stream: Where it is written, standard error by default.
    """

    verbosity: int = 0
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    @property
    def quiet(self) -> bool:
        """Whether only warnings and errors are wanted."""
        return self.verbosity < 0

    @property
    def verbose(self) -> bool:
        """Whether details and tracebacks are wanted."""
        return self.verbosity > 0

    def say(self, message: str) -> None:
        """A line for the user, unless ``-q``."""
        if not self.quiet:
            self._line(message)

    def detail(self, message: str) -> None:
        """A line only with ``-v``."""
        if self.verbose:
            self._line(message)

    def warn(self, message: str) -> None:
        """A line that is shown even with ``-q``."""
        self._line(f"warning: {message}")

    @contextmanager
    def progress(self, title: str, total: int | None = None) -> Iterator[Step]:
        """Show how far a piece of work has come; call the given function at each step's start.

        A bar on a terminal; elsewhere plain lines at least two seconds apart (0.2 with ``-v``),
        so that short work stays silent and a log file stays readable.

        Args:
            title: What is being done, e.g. ``Analysing 4 exams``.
            total: Number of steps, or None when unknown.
        """
        if self.quiet:
            yield lambda _message: None
        elif self.stream.isatty():
            with self._bar(title, total) as step:
                yield step
        else:
            yield self._lines(title, total)

    @contextmanager
    def _bar(self, title: str, total: int | None) -> Iterator[Step]:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=RichConsole(file=self.stream),
            transient=True,
        )
        task = bar.add_task(title, total=total)
        started = 0

        def step(message: str) -> None:
            nonlocal started
            # A step is announced when it starts, so the bar shows those that have ended.
            bar.update(task, description=f"{title}: {message}", completed=started)
            started += 1

        with bar:
            yield step

    def _lines(self, title: str, total: int | None) -> Step:
        patience = VERBOSE_PATIENCE_S if self.verbose else PATIENCE_S
        begun = last = time.monotonic()
        started = 0

        def step(message: str) -> None:
            nonlocal last, started
            started += 1
            now = time.monotonic()
            if now - last >= patience:
                last = now
                of = "" if total is None else f"/{total}"
                self._line(f"{title}: {started}{of} {message} ({now - begun:.0f} s)")

        return step

    def _line(self, message: str) -> None:
        print(f"hoimg: {message}", file=self.stream, flush=True)


def console_of(ctx: typer.Context) -> Console:
    """The console of the running command; a default one when a command is called on its own."""
    found = ctx.find_object(Console)
    return found if found is not None else Console()


@contextmanager
def logging_to(console: Console) -> Iterator[None]:
    """Send logs and Python's warnings to the console while a command runs; only commands do this.

    Warnings of the libraries that read DICOM quote raw header values, which may name the patient,
    so they are shown only with ``-v``.
    """
    import logging
    import warnings

    import structlog

    level = logging.INFO if console.verbose else logging.ERROR
    handler = logging.StreamHandler(console.stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    former = root.level
    root.addHandler(handler)
    root.setLevel(level)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(console.stream),
        cache_logger_on_first_use=False,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default" if console.verbose else "ignore")
            yield
    finally:
        structlog.reset_defaults()
        root.setLevel(former)
        root.removeHandler(handler)
