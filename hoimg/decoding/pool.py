"""Child processes that decode the frames of a series, and what becomes of those that fail.

Each pool has its own children and ends them when it is left, whatever happens. Nothing is shared
between pools, so two threads may each have one. Needs a POSIX system.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.decoding.codecs import Form
from hoimg.decoding.limits import Limits

START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from hoimg.decoding.worker import main; main()"
)
"""What a child runs. It finds modules where the parent does, and never in the current folder."""
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # glibc keeps what it frees: a frame's memory is used for the next one (0.2 s less in 400).
    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
}
"""What a child gets beside the parent's environment."""
MAX_SLOTS = 8
"""Frames that a child is given at a time. On a busy machine the parent may not come to take one for
a while; the child should have something to do meanwhile."""
SLOTS_BYTES = 32 * 2**20
"""Memory for these frames; for large ones only two fit."""
FRAMES_PER_CHILD = 8
"""A second child is not started for fewer frames: starting takes as long as decoding them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One frame to decode.

    Attributes:
        file: Where it lies.
        offset: Byte offset of the pixel data element; ignored for a deflated file.
        frame: Frame number from 0.
        frames: Frames that the file declares.
        form: What the header declares of the frame.
    """

    file: Path
    offset: int
    frame: int
    frames: int
    form: Form


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame as the decoder gave it.

    Attributes:
        index: Number of the request.
        values: Flat array of the stored values, unsigned. It is a view of memory that the next
            frame will use: done with before the next one is asked for.
        precision: Bits of the values, when the codestream states them and knows no sign.
        tag: Tag of the element that held the pixels.
    """

    index: int
    values: NDArray[Any]
    precision: int | None
    tag: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A frame that could not be decoded.

    Attributes:
        index: Number of the request.
        code: ``pixels_unreadable``, ``decode_crashed``, ``decode_timeout`` or ``decode_too_large``.
        reason: What happened, without a path.
    """

    index: int
    code: str
    reason: str


class DecodePool:
    """A context manager with up to ``children`` processes, started when first needed.

    Args:
        requests: All frames to decode; the largest sets the size of the shared memory.
        children: Processes at most; None for two, or one on a machine with one core.
        limits: What a file may ask for.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        children: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._requests = requests
        self._limits = limits or Limits()
        most = min(2, cores()) if children is None else children
        self._most = max(1, min(most, -(-len(requests) // FRAMES_PER_CHILD)))
        # A decoder may hand values over in the next larger type.
        pixels = max((r.form.pixels for r in requests), default=0)
        self._slot_bytes = max(-(-8 * pixels // mmap.PAGESIZE), 1) * mmap.PAGESIZE
        self._slots = min(max(SLOTS_BYTES // self._slot_bytes, 2), MAX_SLOTS)
        self._children: list[_Child] = []

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *_: object) -> None:
        while self._children:
            self._children.pop().end()

    def results(self) -> Iterator[Decoded | Failed]:
        """Decode every frame, in about the order of the requests.

        A child that crashes, hangs or asks for too much memory costs the frame that it was at; it
        is replaced, and the others are decoded.

        Raises:
            ChildProcessError: when no child can be started at all.
        """
        waiting = deque(range(len(self._requests)))
        while waiting or any(child.given for child in self._children):
            self._feed(waiting)
            for child in self._wait():
                yield from self._listen(child, waiting)

    def _feed(self, waiting: deque[int]) -> None:
        while waiting and len(self._children) < self._most:
            self._children.append(self._start())
        for _ in range(self._slots):
            for child in self._children:
                if waiting and child.free:
                    index = waiting.popleft()
                    child.give(index, self._requests[index], self._seconds(index))

    def _wait(self) -> list[_Child]:
        """Children that have answered or ended; those that are overdue are ended first."""
        busy = [child for child in self._children if child.given]
        with selectors.DefaultSelector() as selector:
            for child in busy:
                selector.register(child.answers, selectors.EVENT_READ, child)
            left = min(child.deadline for child in busy) - time.monotonic()
            ready = [key.data for key, _ in selector.select(max(left, 0.0))]
        now = time.monotonic()
        for child in busy:
            if child not in ready and child.deadline <= now:
                child.overdue = True
                child.process.kill()
                ready.append(child)
        return ready

    def _listen(self, child: _Child, waiting: deque[int]) -> Iterator[Decoded | Failed]:
        answers, ended = child.read()
        for answer in answers:
            if child.spent:
                break  # what it was asked next had no memory left; another child is asked again
            if "ready" in answer and not child.ready:
                child.ready = True
            elif child.given:
                index, slot = child.given.popleft()
                yield self._result(child, index, slot, answer)
                child.free.append(slot)
                child.spent = child.spent or bool(answer.get("code"))
            if child.given:
                child.deadline = time.monotonic() + self._seconds(child.given[0][0])
        if not ended and not child.spent:
            return
        self._children.remove(child)
        code, reason = child.end()
        if not child.ready:
            raise ChildProcessError(f"a decoder process does not start: {reason}")
        lost = [index for index, _ in child.given]
        # Not when it answered after all, or is replaced because its memory is used up.
        if lost and not (child.overdue and answers) and not child.spent:
            yield Failed(lost.pop(0), code, reason)
        waiting.extendleft(reversed(lost))

    def _result(
        self, child: _Child, index: int, slot: int, answer: dict[str, Any]
    ) -> Decoded | Failed:
        if "failed" in answer:
            code = "decode_too_large" if answer.get("code") else "pixels_unreadable"
            reason = "asks for too much memory" if answer.get("code") else str(answer["failed"])
            return Failed(index, code, "".join(c if c.isprintable() else " " for c in reason))
        # What comes from a child is not trusted more than the file.
        form = self._requests[index].form
        item, precision, tag = (answer.get(key) for key in ("item", "precision", "tag"))
        if item not in (1, 2, 4, 8) or answer.get("bytes") != form.pixels * item:
            return Failed(index, "pixels_unreadable", "gives another number of pixels")
        values = np.frombuffer(child.shared, f"<u{item}", form.pixels, slot * self._slot_bytes)
        if not (isinstance(precision, int) and 0 < precision <= 8 * item):
            precision = None
        return Decoded(index, values, precision, tag if isinstance(tag, int) else 0)

    def _seconds(self, index: int) -> float:
        megapixels = self._requests[index].form.pixels / 1e6
        return self._limits.seconds + self._limits.seconds_per_megapixel * megapixels

    def _start(self) -> _Child:
        syntaxes = sorted({request.form.syntax for request in self._requests})
        # Sixteen bytes a pixel: decoders hold integers of 32 bits, wavelet planes and copies.
        extra = 2 * self._slot_bytes + self._limits.memory_bytes
        if any(s.endswith(".99") for s in syntaxes):
            extra += 3 * self._limits.inflated_bytes
        settings = {
            "slots": self._slots,
            "slot_bytes": self._slot_bytes,
            "syntaxes": syntaxes,
            "memory_bytes": extra,
            "max_inflated": self._limits.inflated_bytes,
        }
        return _Child(settings, self._limits.start_seconds)


class _Child:
    """One process, the memory shared with it and the requests it was given."""

    def __init__(self, settings: dict[str, Any], start_seconds: float) -> None:
        size = settings["slots"] * settings["slot_bytes"]
        shared = _shared_file(size)
        try:
            self.shared = mmap.mmap(shared, size)
            with tempfile.TemporaryFile() as remarks:
                self.process = subprocess.Popen(
                    [
                        sys.executable, "-P", "-c", START, json.dumps(sys.path),
                        json.dumps({**settings, "shared": shared}),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=remarks,
                    pass_fds=(shared,),
                    env={**os.environ, **ENVIRONMENT},
                )  # fmt: skip
        finally:
            os.close(shared)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.free = deque(range(settings["slots"]))
        self.given: deque[tuple[int, int]] = deque()
        self.deadline = time.monotonic() + start_seconds
        self.ready = self.overdue = self.spent = False
        self._unread = b""

    def give(self, index: int, request: Request, seconds: float) -> None:
        """Hand over a request; when the child has died, :meth:`read` will say so."""
        slot = self.free.popleft()
        if self.ready and not self.given:
            self.deadline = time.monotonic() + seconds
        self.given.append((index, slot))
        line = json.dumps(
            {
                "file": os.path.abspath(request.file),  # noqa: PTH100 (keeps "..": links)
                "offset": request.offset,
                "frame": request.frame,
                "frames": request.frames,
                "form": asdict(request.form),
                "slot": slot,
                "seconds": seconds,
            }
        )
        with contextlib.suppress(BrokenPipeError):
            self.requests.write(line.encode("ascii") + b"\n")
            self.requests.flush()

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Answers that have come, and whether the child has ended or talks nonsense."""
        new = os.read(self.answers.fileno(), 65536)
        *lines, self._unread = (self._unread + new).split(b"\n")
        answers: list[dict[str, Any]] = []
        for line in lines:
            try:
                answer = json.loads(line)
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                return answers, True
            answers.append(answer)
        return answers, not new or self.overdue or len(self._unread) > 65536

    def end(self) -> tuple[str, str]:
        """End the process and say what it died of, had it died by itself."""
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.requests.close()
        self.answers.close()
        status = self.process.wait()
        if self.overdue or status == -signal.SIGALRM:
            return "decode_timeout", "takes too long"
        try:
            how = signal.Signals(-status).name if status < 0 else f"exit code {status}"
        except ValueError:  # a real-time signal has no name
            how = f"signal {-status}"
        return "decode_crashed", f"crashes the decoder ({how})"


def _shared_file(size: int) -> int:
    """Descriptor of memory to share, which vanishes with its last user."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            return os.dup(file.fileno())
    shared = os.memfd_create("hoimg-pixels", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(shared, size)
    # A child that made it shorter would kill the parent at its next look.
    fcntl.fcntl(shared, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return shared


def cores() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
