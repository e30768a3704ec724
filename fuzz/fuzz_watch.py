"""What is watched while a mutant is read: files, processes, handles, time and memory."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hoimg.errors import HoimgError

MAX_SECONDS = 10.0
"""Processor time of one mutant, children included."""
MAX_GROWTH = 400 * 2**20
"""Bytes by which memory may rise above where it stood before a mutant of some kilobytes."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "shutil.rmtree", "shutil.move", "shutil.copyfile"),
}
_NEVER = ("os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")


@dataclass
class World:
    """Folders of one worker: what may be read, what may be written, and what must stay alone."""

    root: Path

    def __post_init__(self) -> None:
        self.input, self.tmp, self.cwd = (self.root / name for name in ("in", "tmp", "cwd"))
        self.secret = self.root / "secret"
        for folder in (self.input, self.tmp, self.cwd):
            folder.mkdir(parents=True)
        self.secret.write_bytes(b"secret")
        self.armed = False
        self.seen: list[str] = []

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """What Python does to files, processes and the network, while a mutant is read."""
        if not self.armed:
            return
        if event == "open" and isinstance(args[0], str | bytes):
            path, mode, flags = os.fsdecode(args[0]), args[1], args[2]
            real = os.path.realpath(path)
            if real in (str(self.secret), "/etc/passwd"):
                self.seen.append(f"read of {path!r}")
            writes = any(c in (mode or "") for c in "wxa+") or (
                isinstance(flags, int) and flags & _WRITES
            )
            if writes and not (real + "/").startswith((str(self.tmp) + "/", "/dev/null/")):
                self.seen.append(f"write to {path!r}")
        elif event in _CHANGES:
            name, *more = args
            opened = more[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            if isinstance(opened, int) and opened >= 0:  # relative to an open folder
                name = f"/proc/self/fd/{opened}/{os.fsdecode(name)}"
            # By number: memory that is shared with a child, or a file that was opened, and seen.
            if not isinstance(name, int) and not os.path.realpath(name).startswith(str(self.tmp)):
                self.seen.append(f"{event} {os.fsdecode(name)!r}")
        elif event == "subprocess.Popen":
            if args[0] != sys.executable:
                self.seen.append(f"{event} {args[0]!r}")
        elif event in _NEVER:
            self.seen.append(event)

    def put(self, files: dict[str, bytes], *, link: bool = False) -> None:
        """Write a mutant's files, and perhaps a link that leads out."""
        shutil.rmtree(self.input)
        self.input.mkdir()
        for name, data in files.items():
            target = self.input / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if link:
            (self.input / "link").symlink_to(self.secret)

    def listing(self) -> list[str]:
        """Everything below the root but what is temporary."""
        return sorted(str(p) for p in self.root.rglob("*") if self.tmp not in p.parents)


def problems_of(world: World, before: list[str], handles: int) -> Iterator[str]:
    """What was left behind."""
    yield from world.seen
    world.seen.clear()
    left = list(world.tmp.rglob("*"))
    if left:
        yield f"left in the temporary folder: {left[:3]}"
        shutil.rmtree(world.tmp)
        world.tmp.mkdir()
    if world.listing() != before:
        yield f"files changed: {set(world.listing()) ^ set(before)}"
    if children := _children():
        yield f"processes left: {children}"
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if _handles() > handles:
        gc.collect()
        if _handles() > handles:
            yield "file handles left open"


def _handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> list[int]:
    children: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread may end between being listed and being read; what it started is then listed
        # under another thread.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children += map(int, (task / "children").read_text().split())
    return children


def memory(field: str) -> int:
    """A line of this process' status, bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(field + ":")[1].split()[0]) * 1024


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def watched(
    world: World, before: list[str], work: Callable[[], list[str]], seconds: float = MAX_SECONDS
) -> tuple[str, list[str]]:
    """Do some work; its outcome, and what was wrong."""
    wrong: list[str] = []
    handles = _handles()
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest use of memory so far
    start, used = _cpu(), memory("VmRSS")
    world.armed = True
    try:
        outcome = work()[0]
    except HoimgError as error:
        outcome = f"refused {getattr(error, 'code', type(error).__name__)}"
        if "\n" in str(error) or any(ord(c) < 32 for c in str(error)):
            wrong.append(f"an error of several lines: {str(error)[:200]!r}")
    except BaseException:  # the point of the exercise
        outcome = "ESCAPED"
        wrong.append(traceback.format_exc())
    finally:
        world.armed = False
    spent, grown = _cpu() - start, memory("VmHWM") - used
    if spent > seconds:
        wrong.append(f"took {spent:.1f} s of processor time")
    if grown > MAX_GROWTH:
        wrong.append(f"took {grown / 2**20:.0f} MB")
    wrong += problems_of(world, before, handles)
    return outcome, wrong
