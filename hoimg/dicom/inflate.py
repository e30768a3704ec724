"""Deflated files (transfer syntax 1.2.840.10008.1.2.1.99), inflated within bounds."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from hoimg.dicom.elements import DamagedFile

MAX_INFLATED = 512 * 2**20
"""Bytes that a deflated file may grow to; a classic CT slice has 0.5 MB."""


def check_inflated(stream: BinaryIO, place: int, size: int) -> None:
    """Refuse a deflated file that would grow beyond the limit (decoders inflate it whole).

    Args:
        stream: The file.
        place: Where the deflated data set begins.
        size: Bytes of the file.

    Raises:
        DamagedFile: when it grows beyond :data:`MAX_INFLATED`.
    """
    if size * 1032 < MAX_INFLATED:  # deflate cannot compress better than 1032 : 1
        return
    stream.seek(place)
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := inflater.unconsumed_tail or stream.read(2**16):
        total += len(inflater.decompress(chunk, 2**20))
        if total > MAX_INFLATED:
            raise DamagedFile("inflates to more than 512 MB")


def inflate(stream: BinaryIO, place: int, limit: int) -> bytes:
    """At most ``limit`` bytes of the deflated data set that begins at ``place``."""
    stream.seek(place)
    inflater, plain = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    while len(plain) < limit and (chunk := inflater.unconsumed_tail or stream.read(2**16)):
        plain += inflater.decompress(chunk, limit - len(plain))
    return bytes(plain)
