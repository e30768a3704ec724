"""The pixel data element of a DICOM file, read at a known offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA = 0x7FE00010, 0x7FE00008, 0x7FE00009
HEAD = 12
"""Bytes that tag, VR and length take at most."""
_UNDEFINED = 0xFFFFFFFF
# Read as an implicit length these would be odd numbers, which the standard forbids: no confusion.
_VRS = (b"OB\0\0", b"OW\0\0", b"OF\0\0", b"OD\0\0", b"UN\0\0")


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixels of a file are.

    Attributes:
        tag: PixelData, FloatPixelData or DoubleFloatPixelData.
        vr: ``OB``, ``OW`` ...; empty in a file of implicit VR.
        start: Bytes from the start of the element to its value.
        length: Bytes of the value; None when undefined (fragments follow).
    """

    tag: int
    vr: str
    start: int
    length: int | None


def parse_element(head: bytes, *, big_endian: bool = False) -> PixelElement | None:
    """Read tag, VR and length of a pixel data element.

    Args:
        head: The first :data:`HEAD` bytes of the element; explicit or implicit VR is recognised.
        big_endian: Byte order.

    Returns:
        None when no pixel data element starts here.
    """
    order: Literal["big", "little"] = "big" if big_endian else "little"
    if len(head) < 8:
        return None
    tag = _number(head[:2], order) << 16 | _number(head[2:4], order)
    if tag not in (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA):
        return None
    if head[4:8] not in _VRS:
        return PixelElement(tag, "", 8, _defined(_number(head[4:8], order)))
    if len(head) < HEAD:
        return None
    length = _defined(_number(head[8:12], order))
    return PixelElement(tag, head[4:6].decode("ascii"), HEAD, length)


def _number(raw: bytes, order: Literal["big", "little"]) -> int:
    return int.from_bytes(raw, order)


def _defined(length: int) -> int | None:
    return None if length == _UNDEFINED else length
