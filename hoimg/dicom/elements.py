"""Walk over the elements of a little endian data set up to its pixels, keeping only some values.

pydicom builds an object for each element and each item of a sequence. The scan of a hospital's
export needs fifty short values of each of many thousand files, so this walk keeps their bytes and
steps over everything else: five times faster, and with bounds that pydicom lacks (depth, number
of elements, bytes kept). It judges nothing: at whatever does not look exactly as the standard
says it gives up with :class:`Irregular`, and the file is left to pydicom.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from struct import Struct

MAX_DEPTH = 64
"""Sequences within sequences beyond this are taken for an attack; real files have a handful."""
MAX_ELEMENTS = 2_000_000
"""Elements of one header; an enhanced CT of 2000 frames has a tenth of it."""
MAX_VALUE = 65536
"""Bytes of one value that are kept; a short text, number or UID has at most 64."""

_CHUNK = 65536
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_EXPLICIT = Struct("<HH2sH").unpack_from
_IMPLICIT = Struct("<HHL").unpack_from
_LENGTH = Struct("<L").unpack_from

Fetch = Callable[[int, int], bytes]
"""``fetch(offset, count)`` gives ``count`` bytes; fewer only at the end of the data."""


class DamagedFile(Exception):
    """The file starts like DICOM and cannot be read."""


class Irregular(Exception):
    """The data set is not laid out as the standard says; another reader may still make sense."""


class _Window:
    """A stretch of the data that moves on as it is read."""

    __slots__ = ("base", "data", "fetch")

    def __init__(self, fetch: Fetch, head: bytes) -> None:
        self.fetch, self.base, self.data = fetch, 0, head

    def move(self, offset: int, count: int = _CHUNK) -> bytes:
        """Let the window start at ``offset``."""
        self.data = self.fetch(offset, count)
        self.base = offset
        return self.data


def walk_meta(data: bytes, start: int) -> tuple[dict[int, bytes], int]:
    """The elements of group 0002, always explicit little endian, and the offset behind them.

    Args:
        data: The first bytes of the file, long enough to hold the whole group.
        start: Where the group begins.
    """
    found: dict[int, bytes] = {}
    place = start
    while place + 12 <= len(data):
        group, element, vr, length = _EXPLICIT(data, place)
        if group != 2:
            return found, place
        place += 8
        if vr in _LONG:
            length = _LENGTH(data, place)[0]
            place += 4
        elif vr not in _SHORT:
            raise Irregular
        if place + length > len(data):
            raise Irregular
        found[group << 16 | element] = data[place : place + length]
        place += length
    return found, place


def walk(
    head: bytes, fetch: Fetch, start: int, size: int, *, implicit: bool, wanted: Collection[int]
) -> tuple[dict[int, bytes], int]:
    """The wanted elements of a data set, and the offset at which its pixel data element starts.

    Args:
        head: The first bytes, at least up to ``start``; what the caller has read anyway.
        fetch: Gives bytes from anywhere.
        start: Where the data set begins.
        size: Where the data end. A header that is cut off ends there.
        implicit: Whether elements state no VR.
        wanted: Tags to keep. Only the first 64 kB of a value are kept; a sequence of undefined
            length counts as present with an empty value.

    Raises:
        Irregular: an unknown VR, or an element that is longer than what is left.
        DamagedFile: sequences nested too deep, cut off within, or too many elements.
    """
    found: dict[int, bytes] = {}
    window = _Window(fetch, head)
    data, place = head, start
    end = len(data)
    for count in range(MAX_ELEMENTS):
        if place + 12 > end and window.base + end < size:
            data, place = window.move(window.base + place), 0
            end = len(data)
        if place + 8 > end:
            return found, size
        if implicit:
            group, element, length = _IMPLICIT(data, place)
            if count == 0 and data[place + 4 : place + 6] in _SHORT | _LONG:
                raise Irregular  # declared implicit, written explicit
            tag = group << 16 | element
            if tag in _PIXELS:
                return found, window.base + place
            body, vr = place + 8, b""
        else:
            group, element, vr, length = _EXPLICIT(data, place)
            tag = group << 16 | element
            if tag in _PIXELS:
                return found, window.base + place
            body = place + 8
            if vr in _LONG:
                if body + 4 > end:
                    return found, size
                length = _LENGTH(data, body)[0]
                body += 4
            elif vr not in _SHORT:
                raise Irregular
        if tag >= 0xFFFE0000 and group == 0xFFFE:
            raise Irregular
        if length == _UNDEFINED:
            if vr not in (b"SQ", b"UN", b""):
                raise Irregular
            skipped = _skip_sequence(window, window.base + body, size, implicit or vr == b"UN")
            if tag in wanted:
                found[tag] = b""
            data, place = window.data, skipped - window.base
            end = len(data)
            continue
        if tag in wanted:
            kept = min(length, MAX_VALUE)
            if body + kept > end and window.base + end < size:
                offset = window.base + body
                data, body = window.move(offset, max(kept, _CHUNK)), 0
                end = len(data)
            found[tag] = data[body : body + kept]
        place = body + length
        if place > end:
            offset = window.base + place
            if offset > size:
                return found, size  # cut off within this element
            data, place = window.move(offset), 0
            end = len(data)
    raise DamagedFile("too many elements in the header")


def _skip_sequence(window: _Window, offset: int, size: int, implicit: bool) -> int:
    """The offset behind a sequence of undefined length; ``offset`` is that of its first item.

    Nothing is built and nothing recurs: ``inside`` holds, for each sequence or item that is open,
    whether it is an item and whether its elements are implicit.
    """
    inside: list[tuple[bool, bool]] = [(False, implicit)]
    data, base = window.data, window.base
    place, end = offset - base, len(data)
    for _ in range(MAX_ELEMENTS):
        if place + 12 > end and base + end < size:
            base += place
            data, place = window.move(base), 0
            end = len(data)
        if place + 8 > end:
            raise DamagedFile("ends within a sequence")
        in_item, plain = inside[-1]
        group, element, length = _IMPLICIT(data, place)
        tag = group << 16 | element
        place += 8
        if tag in (_ITEM_END, _SEQUENCE_END):
            if in_item != (tag == _ITEM_END):
                raise Irregular
            inside.pop()
            if not inside:
                return base + place
            continue
        vr = b""
        if in_item and not plain:
            vr, length = data[place - 4 : place - 2], length >> 16
            if vr in _LONG:
                if place + 4 > end:
                    raise DamagedFile("ends within a sequence")
                length = _LENGTH(data, place)[0]
                place += 4
            elif vr not in _SHORT:
                raise Irregular
        elif not in_item and tag != _ITEM:
            raise Irregular
        if length == _UNDEFINED:
            if len(inside) >= 2 * MAX_DEPTH:
                raise DamagedFile("sequences are nested too deep")
            if in_item and vr not in (b"SQ", b"UN", b""):
                raise Irregular
            inside.append((not in_item, plain or vr == b"UN"))
            continue
        place += length
        if place > end:
            base += place
            if base > size:
                raise DamagedFile("ends within a sequence")
            data, place = window.move(base), 0
            end = len(data)
    raise DamagedFile("too many elements in the header")
