"""The child process that decodes: one request a line on stdin, one answer a line on stdout.

Pixels are left in memory that the parent shares. Whatever a file makes a decoder do stays here:
memory is limited by the kernel, files cannot be written, a decoder that hangs is ended by an
alarm of the kernel even when the parent has died, and nothing but numbers goes back.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import sys
from typing import Any, BinaryIO

from hoimg.decoding import codecs, encapsulated
from hoimg.decoding.element import HEAD, PixelElement, parse_element

DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_WRITTEN = 2**20
"""Bytes that a decoder may write to any file: its remarks on stderr."""


def main() -> None:
    """Serve requests until stdin ends. ``sys.argv[-1]`` holds the settings as JSON."""
    settings = json.loads(sys.argv[-1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # Decoders print: neither into the answers nor, unheard, onto the user's terminal.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    memory = mmap.mmap(settings["shared"], settings["slots"] * settings["slot_bytes"])
    failed = ""
    for syntax in settings["syntaxes"]:
        try:
            codecs.load(codecs.CODECS.get(syntax, "plain"))
        except ImportError as error:
            failed = f"{codecs.PACKAGES[codecs.CODECS[syntax]]} is not installed ({error.name})"
    _limit(settings["memory_bytes"])
    print(json.dumps({"ready": True}), file=answers, flush=True)
    files = _Files(settings["max_inflated"])
    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        for line in sys.stdin:
            request = json.loads(line)
            signal.alarm(int(request["seconds"]) + 5)
            try:
                answer = {"failed": failed} if failed else _answer(request, files, memory, settings)
            except MemoryError:
                answer = {"failed": "memory", "code": "decode_too_large"}
            except BaseException as error:  # decoders raise anything, even a panic of Rust
                answer = {"failed": f"{type(error).__name__}: {error}"[:200]}
            signal.alarm(0)
            print(json.dumps(answer), file=answers, flush=True)


def _limit(memory_bytes: int) -> None:
    """Let the process grow by ``memory_bytes`` from here, and write nothing to speak of."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_WRITTEN, MAX_WRITTEN))
    with contextlib.suppress(OSError, ValueError):  # no /proc: not Linux, where it would not hold
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 (lean imports)
            used = int(statm.read().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))


def _answer(
    request: dict[str, Any], files: _Files, memory: mmap.mmap, settings: dict[str, Any]
) -> dict[str, Any]:
    form = codecs.Form(**request["form"])
    os.ftruncate(2, 0)
    if form.syntax == DEFLATED:
        frame, tag, vr = files.inflated(request, form)
    else:
        frame, tag, vr = files.compressed(request, form)
    if codecs.complains(os.pread(2, 65536, 0)):
        raise codecs.UndecodableFrame("the data are damaged within the image")
    size = len(frame.data)
    if size > settings["slot_bytes"]:
        raise codecs.UndecodableFrame(f"gives {size} bytes")
    start = request["slot"] * settings["slot_bytes"]
    memory[start : start + size] = frame.data
    return {"bytes": size, "item": frame.item_bytes, "precision": frame.precision, "tag": tag,
            "vr": vr}  # fmt: skip


class _Files:
    """What was found in the file last asked for: the frames of one file come one by one."""

    def __init__(self, max_inflated: int) -> None:
        self._max_inflated = max_inflated
        self._key: tuple[str, int] | None = None
        self._stream: BinaryIO | None = None
        self._frames: list[list[encapsulated.Fragment]] = []
        self._plain, self._element, self._offset = b"", PixelElement(0, "", 0, 0), 0

    def compressed(
        self, request: dict[str, Any], form: codecs.Form
    ) -> tuple[codecs.Frame, int, str]:
        key = (request["file"], request["offset"])
        if key != self._key or self._stream is None:
            self._key = None
            if self._stream is not None:
                self._stream.close()
            self._stream = stream = open(request["file"], "rb")  # noqa: PTH123, SIM115
            stream.seek(request["offset"])
            element = parse_element(stream.read(HEAD))
            if element is None or element.length is not None:
                raise codecs.UndecodableFrame("no compressed pixel data where the header ends")
            start = request["offset"] + element.start
            self._frames = encapsulated.find_frames(stream, start, request["frames"])
            self._element, self._key = element, key
        source = encapsulated.read_frame(self._stream, self._frames[request["frame"]])
        frame = codecs.decode_frame(source, form)
        return frame, self._element.tag, self._element.vr

    def inflated(self, request: dict[str, Any], form: codecs.Form) -> tuple[codecs.Frame, int, str]:
        """A frame of a deflated file, whose pixels are plain once inflated."""
        key = (request["file"], -1)
        if key != self._key:
            self._key = None
            self._inflate(request["file"])
            self._key = key
        step = form.pixels * form.bits_allocated // 8
        length = self._element.length
        if length is None or length < request["frames"] * step:
            raise codecs.UndecodableFrame(f"{length} bytes of pixels")
        start = self._offset + self._element.start + request["frame"] * step
        frame = codecs.Frame(self._plain[start : start + step], form.bits_allocated // 8)
        return frame, self._element.tag, self._element.vr

    def _inflate(self, file: str) -> None:
        from hoimg.dicom.elements import walk, walk_meta
        from hoimg.dicom.inflate import inflate

        with open(file, "rb") as stream:  # noqa: PTH123
            head = stream.read(65536)
            _, place = walk_meta(head, 132 if head[128:132] == b"DICM" else 0)
            self._plain = plain = inflate(stream, place, self._max_inflated + 1)
        if len(plain) > self._max_inflated:
            raise MemoryError
        _, self._offset = walk(
            plain, lambda a, n: plain[a : a + n], 0, len(plain), implicit=False, wanted=()
        )
        element = parse_element(plain[self._offset : self._offset + HEAD])
        if element is None:
            raise codecs.UndecodableFrame("no pixel data")
        self._element = element
