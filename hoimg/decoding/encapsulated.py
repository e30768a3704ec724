"""Fragments of compressed pixel data, put together to frames (PS3.5 A.4).

pydicom does the same; this one bounds what it reads, and spares a child process the second that
importing pydicom takes. The tests hold it to pydicom's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

MAX_FRAGMENTS = 1_000_000
"""Fragments of one file; more are taken for damage."""
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_CODESTREAMS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""How a JPEG or JPEG-LS image, a JPEG 2000 codestream and a JP2 file start."""

Fragment = tuple[int, int]
"""Offset in the file and length in bytes."""


class DamagedFragments(Exception):
    """The fragments are cut off or cannot be told apart into frames."""


def find_frames(stream: BinaryIO, start: int, count: int) -> list[list[Fragment]]:
    """The fragments of each frame.

    An extended offset table needs no reading: with it each frame is one fragment by the standard.

    Args:
        stream: The file.
        start: Offset of the value of the pixel data element: the basic offset table's item.
        count: Number of frames the header declares.

    Raises:
        DamagedFragments: cut off, or not as many frames as declared.
    """
    stream.seek(0, 2)
    size = stream.tell()
    table, items = _items(stream, start, size)
    if not items:
        raise DamagedFragments("no fragments")
    if count == 1:
        return [items]
    if len(items) == count:
        return [[item] for item in items]
    starts = _starts_by_table(stream, table, items, count)
    if starts is None:
        starts = [k for k, item in enumerate(items) if _starts_codestream(stream, item)]
    if len(starts) != count or starts[0] != 0:
        raise DamagedFragments(f"{len(items)} fragments for {count} frames")
    return [items[a:b] for a, b in zip(starts, [*starts[1:], len(items)], strict=True)]


def read_frame(stream: BinaryIO, fragments: Sequence[Fragment]) -> bytes:
    """The compressed bytes of one frame."""
    parts = []
    for offset, length in fragments:
        stream.seek(offset)
        parts.append(stream.read(length))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _items(stream: BinaryIO, start: int, size: int) -> tuple[Fragment, list[Fragment]]:
    """The offset table and the fragments."""
    found: list[Fragment] = []
    place = start
    while len(found) <= MAX_FRAGMENTS:
        stream.seek(place)
        head = stream.read(8)
        if head[:4] == _END and found:
            return found[0], found[1:]
        length = int.from_bytes(head[4:], "little")
        if len(head) < 8 or head[:4] != _ITEM or place + 8 + length > size:
            raise DamagedFragments("cut off or damaged between fragments")
        found.append((place + 8, length))
        place += 8 + length
    raise DamagedFragments("too many fragments")


def _starts_by_table(
    stream: BinaryIO, table: Fragment, items: Sequence[Fragment], count: int
) -> list[int] | None:
    """Index of each frame's first fragment by the basic offset table; None when it does not fit."""
    offset, length = table
    if length != 4 * count:
        return None
    stream.seek(offset)
    raw = stream.read(length)
    first = items[0][0]
    index = {item[0] - first: k for k, item in enumerate(items)}
    places = [int.from_bytes(raw[k : k + 4], "little") for k in range(0, length, 4)]
    found = [index.get(place, -1) for place in places]
    return found if found == sorted(set(found)) and found[0] == 0 else None


def _starts_codestream(stream: BinaryIO, item: Fragment) -> bool:
    stream.seek(item[0])
    return stream.read(8).startswith(_CODESTREAMS)
