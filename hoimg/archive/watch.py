"""A folder that others copy into: a patient is taken when all of their files have been quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hoimg.archive.census import Census
from hoimg.dicom.files import list_files

State = tuple[int, int]
"""Size and time of change of a file, ns."""
LOOK_EVERY_S = 10.0
"""At most between two looks; a quarter of the quiet time where that is less."""


class Stopped(Exception):
    """Told to end; raised by who notices it, and told to nobody."""


@dataclass(frozen=True)
class Look:
    """What a look at a folder gave.

    Attributes:
        quiet: Files that have been as they are for long enough.
        busy: Folders, but the one that is watched, with another file right in them.
    """

    quiet: dict[Path, State]
    busy: frozenset[Path]


class Quiet:
    """Which files under a folder have kept size and time of change for a while.

    The while counts from when we first saw a file so, by our own clock: copies may keep the times
    of their originals, and the clocks of other machines differ.

    Args:
        root: The folder.
        settle_s: How long, s.
        clock: Seconds that only grow.
    """

    def __init__(
        self, root: Path, settle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._settle_s, self._clock = root, settle_s, clock
        self._seen: dict[Path, tuple[State, float]] = {}

    def look(self) -> Look:
        """Look at every file.

        Raises:
            UsageError: when the folder is gone.
        """
        now, seen = self._clock(), dict[Path, tuple[State, float]]()
        for path in list_files([self._root]).files:
            if (state := _state(path)) is not None:
                before = self._seen.get(path)
                seen[path] = (state, before[1] if before and before[0] == state else now)
        self._seen = seen
        quiet = {p: state for p, (state, since) in seen.items() if now - since >= self._settle_s}
        # Right in the root what comes is mostly somebody else's.
        busy = {path.parent for path in seen.keys() - quiet.keys()} - {self._root}
        return Look(quiet, frozenset(busy))


def complete(census: Census, look: Look) -> Census:
    """Those of a census whose files are all quiet, with no other file coming in beside them.

    Args:
        census: Taken after the look: what came or changed since is not quiet.
        look: The last one.
    """

    def still(path: Path) -> bool:
        return path.parent not in look.busy and _state(path) == look.quiet.get(path, ())

    def all_still(path: Path) -> bool:
        if not path.is_dir():
            return still(path)
        return not any(folder.is_relative_to(path) for folder in look.busy)

    return replace(
        census,
        cases=tuple(case for case in census.cases if all(still(file) for file in case.files)),
        refused=tuple(refused for refused in census.refused if all_still(refused.path)),
    )


def watch_folder(
    root: Path,
    settle_s: float,
    stop: threading.Event,
    take_census: Callable[[], Census],
    run: Callable[[Census], None],
) -> None:
    """Run on who is complete, again and again, until told to stop.

    Args:
        root: The folder.
        settle_s: How long the files of a patient have to be quiet.
        stop: Set from a signal handler; ``take_census`` and ``run`` may raise :class:`Stopped`
            when they see it.
        take_census: Reads the headers; called when what is quiet has changed, or a folder has
            come to rest because what still came into it is gone again.
        run: Given who is complete.

    Raises:
        UsageError: when the folder is gone.
    """
    quiet, before = Quiet(root, settle_s), Look({}, frozenset())
    while not stop.is_set():
        look = quiet.look()
        if look.quiet != before.quiet or before.busy - look.busy:
            try:
                run(complete(take_census(), look))
            except Stopped:
                return
        before = look
        stop.wait(min(LOOK_EVERY_S, settle_s / 4))


def _state(path: Path) -> State | None:
    """None of a file that is gone."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns
