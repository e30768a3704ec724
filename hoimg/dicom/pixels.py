"""Pixels of an exam in exact Hounsfield units.

Uncompressed pixels are read from their known place in the file straight into the volume. Compressed
and deflated ones are decoded in child processes (:mod:`hoimg.decoding`), whatever the file does to
the decoder. Either way :mod:`hoimg.dicom.hounsfield` turns stored values into HU here.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.decoding import element as el
from hoimg.decoding.codecs import CODECS, NAMES, Form
from hoimg.decoding.limits import Limits
from hoimg.dicom.hounsfield import HuStack, clean
from hoimg.dicom.types import SliceSource, Stack, StoredPixels
from hoimg.errors import HoimgError, InputRefused
from hoimg.side_threads import side_threads

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _BIG_ENDIAN)
MAX_TRAILING = 8192
"""Bytes that the pixel data may be longer than the image (writers pad to a block); the longer ones
hold another image than the header declares."""

READ_AHEAD = 8
"""Slices that are read while another is turned into HU."""

_ADVICE = {
    "pixels_unreadable": "copy it again, or export it uncompressed",
    "decode_crashed": "export it uncompressed",
    "decode_timeout": "export it uncompressed",
    "decode_too_large": "export it again; its header is damaged",
}


def read_stack(
    stack: Stack, *, children: int | None = None, limits: Limits | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read the slices of a stack in their order.

    Args:
        stack: What to read. All slices have the size of the first.
        children: Processes that decode compressed slices; None for two (one with one core). Give 1
            when several stacks are read at once.
        limits: What an untrusted file may ask for; the defaults when None.

    Returns:
        HU ``[slice, y, x]``, int16 when every value is a whole number that fits, else float32; and
        where the file marks padding (PixelPaddingValue and its range limit), None for nowhere.
        Padded pixels keep the value they have in the file.

    Raises:
        InputRefused: when a file cannot be read or decoded; the message names it. Codes:
            ``pixels_unreadable``, ``decode_crashed``, ``decode_timeout``, ``decode_too_large``.
        HoimgError: when no child process can be started.
    """
    limits = limits or Limits()
    first = stack.slices[0].stored
    for source in stack.slices:
        _check(source.file, source.stored, limits)
        if (source.stored.rows, source.stored.columns) != (first.rows, first.columns):
            raise _refused(source.file, "has another size than the first slice")
    volume = HuStack((len(stack.slices), first.rows, first.columns))
    numbers = range(len(stack.slices))
    native = [z for z in numbers if stack.slices[z].stored.syntax in _NATIVE]
    compressed = [z for z in numbers if stack.slices[z].stored.syntax not in _NATIVE]
    for z, raw in _read_all(stack, native, volume):
        _put(volume, z, stack.slices[z], raw)
    decoded = _decode([stack.slices[z] for z in compressed], children, limits)
    for k, raw, precision in decoded:
        _put(volume, compressed[k], stack.slices[compressed[k]], raw, precision)
    return volume.hu, volume.padded


def read_stored(
    file: Path, stored: StoredPixels, frame: int = 0, *, limits: Limits | None = None
) -> NDArray[Any]:
    """Stored values ``[y, x]`` of one frame, before any rescale.

    Args:
        file: Where it lies.
        stored: How the file stores its values.
        frame: Frame number from 0.
        limits: What an untrusted file may ask for; the defaults when None.

    Returns:
        Integers, signed or unsigned as the header says, without what lies in unused bits (but for
        padding, which keeps its value); or floats.

    Raises:
        InputRefused: as :func:`read_stack`.
        HoimgError: when no child process can be started.
    """
    limits = limits or Limits()
    _check(file, stored, limits)
    if stored.syntax in _NATIVE:
        return _cleaned(file, _read_native(file, stored, frame), stored)
    source = SliceSource(file, frame, 1.0, 0.0, stored)
    [values] = [_cleaned(file, raw, stored, p) for _, raw, p in _decode([source], 1, limits)]
    return values


def decoded_frames(
    file: Path, stored: StoredPixels, *, limits: Limits | None = None
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Number and stored values ``[y, x]`` of every frame of a compressed file, as they come.

    Args:
        file: Where it lies.
        stored: How the file stores its values.
        limits: What an untrusted file may ask for; the defaults when None.

    Raises:
        InputRefused: as :func:`read_stack`.
        HoimgError: when no child process can be started.
    """
    limits = limits or Limits()
    _check(file, stored, limits)
    sources = [SliceSource(file, k, 1.0, 0.0, stored) for k in range(stored.frames)]
    for index, raw, precision in _decode(sources, None, limits):
        yield index, _cleaned(file, raw, stored, precision)


def _check(file: Path, stored: StoredPixels, limits: Limits) -> None:
    """Refuse before anything is read or allocated."""
    if stored.samples != 1 or stored.bits_allocated not in (8, 16, 32, 64):
        raise _refused(file, f"{stored.samples} x {stored.bits_allocated} bits are no CT pixels")
    native = stored.syntax in _NATIVE
    if not native and stored.syntax not in (*CODECS, _DEFLATED):
        raise _refused(file, f"no decoder for transfer syntax {stored.syntax[:64]}")
    frame_bytes = stored.rows * stored.columns * stored.bits_allocated // 8
    try:
        size = None if native else file.stat().st_size
    except OSError as error:
        raise _refused(file, error.strerror or "cannot be opened") from error
    excess = limits.excess(frame_bytes, stored.frames, size)
    if excess is not None:
        raise _refused(file, excess, "decode_too_large")


def _put(
    volume: HuStack, z: int, source: SliceSource, raw: NDArray[Any], precision: int | None = None
) -> None:
    try:
        volume.put(z, raw, source.stored, source.slope, source.intercept, precision)
    except ValueError as error:
        raise _refused(source.file, str(error)) from error


def _cleaned(
    file: Path, raw: NDArray[Any], stored: StoredPixels, precision: int | None = None
) -> NDArray[Any]:
    """Stored values of a frame, in memory of their own."""
    try:
        values = clean(raw, stored, precision)[0]
    except ValueError as error:
        raise _refused(file, str(error)) from error
    return values if values.base is None else values.copy()


def _read_all(
    stack: Stack, numbers: Sequence[int], volume: HuStack
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Uncompressed slices in order. The next few are read meanwhile: reading needs no lock."""

    def read(z: int) -> NDArray[Any]:
        source = stack.slices[z]
        return _read_native(source.file, source.stored, source.frame, volume, z)

    with side_threads(2) as readers:
        ahead = deque(readers.submit(read, z) for z in numbers[:READ_AHEAD])
        for k, z in enumerate(numbers):
            raw = ahead.popleft().result()
            if k + READ_AHEAD < len(numbers):
                ahead.append(readers.submit(read, numbers[k + READ_AHEAD]))
            yield z, raw


def _read_native(
    file: Path, stored: StoredPixels, frame: int, volume: HuStack | None = None, z: int = 0
) -> NDArray[Any]:
    """Uncompressed values of one frame, unsigned or float; in the volume's memory if possible."""
    shape = (stored.rows, stored.columns)
    step = stored.rows * stored.columns * stored.bits_allocated // 8
    big = stored.syntax == _BIG_ENDIAN
    # Without waiting: a pipe put in the place of a scanned file must not hang the reading.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(file, flags), "rb", buffering=0) as stream:
            stream.seek(stored.element_offset)
            element = el.parse_element(stream.read(el.HEAD) or b"", big_endian=big)
            if element is None or element.length is None:
                raise _refused(file, "no uncompressed pixel data where the header ends")
            dtype = _dtype(element.tag, stored)
            spare = element.length - stored.frames * step
            if dtype is None or spare < 0 or spare > min(MAX_TRAILING, stored.frames * step - 1):
                raise _refused(
                    file,
                    f"holds {element.length} bytes of pixels where {stored.frames} frame(s) of "
                    f"{stored.rows} x {stored.columns} belong",
                )
            raw = np.empty(shape, dtype) if volume is None else volume.room(z, dtype)
            _fill(stream, stored.element_offset + element.start + frame * step, raw)
    except OSError as error:
        raise _refused(file, error.strerror or "cannot be read") from error
    except EOFError as error:
        raise _refused(file, "ends before its pixels do", "truncated_files") from error
    # Eight bits in words of 16 are swapped in pairs, as any other words.
    unit = np.dtype("u2") if element.vr == "OW" and dtype.itemsize == 1 else dtype
    if big and unit.itemsize > 1:
        raw.reshape(-1).view(unit).byteswap(inplace=True)
    return raw


def _fill(stream: Any, offset: int, raw: NDArray[Any]) -> None:
    stream.seek(offset)
    flat: Any = raw.reshape(-1).view(np.uint8)
    left = memoryview(flat)
    while left:
        count = stream.readinto(left)
        if not count:
            raise EOFError
        left = left[count:]


def _dtype(tag: int, stored: StoredPixels) -> np.dtype[Any] | None:
    """Type of the values in an element; None when the element is not of the declared kind."""
    kinds = {el.PIXEL_DATA: "u", el.FLOAT_PIXEL_DATA: "f", el.DOUBLE_PIXEL_DATA: "f"}
    size = stored.bits_allocated // 8
    expected = {el.FLOAT_PIXEL_DATA: 4, el.DOUBLE_PIXEL_DATA: 8}.get(tag)
    if tag not in kinds or (size not in (1, 2, 4) if expected is None else size != expected):
        return None
    return np.dtype(f"<{kinds[tag]}{size}")


def _decode(
    sources: Sequence[SliceSource], children: int | None, limits: Limits
) -> Iterator[tuple[int, NDArray[Any], int | None]]:
    """Number, stored values ``[y, x]`` and precision of each compressed slice, as they come."""
    if not sources:
        return
    from hoimg.decoding.pool import DecodePool, Failed, Request

    requests = [
        Request(s.file, s.stored.element_offset, s.frame, s.stored.frames, _form(s.stored))
        for s in sources
    ]
    try:
        with DecodePool(requests, children, limits) as pool:
            for result in pool.results():
                source = sources[result.index]
                stored = source.stored
                if isinstance(result, Failed):
                    what = NAMES.get(stored.syntax, "deflated")
                    reason = f"pixels ({what}) cannot be decoded: {result.reason}"
                    raise _refused(source.file, reason, result.code)
                dtype = _dtype(result.tag, stored)
                if dtype is None:
                    raise _refused(source.file, "no pixel data of the declared kind")
                values = result.values.view(dtype) if dtype.kind == "f" else result.values
                yield result.index, values.reshape(stored.rows, stored.columns), result.precision
    except ChildProcessError as error:
        raise HoimgError(f"{error}; try 'hoimg doctor'") from error


def _form(stored: StoredPixels) -> Form:
    return Form(
        stored.syntax, stored.rows, stored.columns, stored.bits_allocated, stored.bits_stored,
        stored.signed,
    )  # fmt: skip


def _refused(file: Path, reason: str, code: str = "pixels_unreadable") -> InputRefused:
    advice = _ADVICE.get(code, _ADVICE["pixels_unreadable"])
    return InputRefused(f"{file}: {reason}; {advice}", code)
