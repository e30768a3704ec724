"""Files that are present twice: dropped when truly the same image, kept (and refused) otherwise."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hoimg.dicom.header import NATIVE, Header

_CHUNK = 2**20


def drop_identical(members: Sequence[Header]) -> tuple[list[Header], int]:
    """Drop copies of an image: same SOPInstanceUID, same position, same pixel data and rescale.

    Two images with one UID and other pixels are both kept, so that the geometry check refuses
    them as ``duplicate_slices``: nobody can say which is right.

    Returns:
        The headers kept, in their order, and the number dropped.
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, header in enumerate(members):
        alike[(header.sop_uid, header.position_lps_mm, header.orientation)].append(index)
    dropped: set[int] = set()
    for indices in alike.values():
        if len(indices) == 1:
            continue
        seen: set[bytes] = set()
        for index in indices:
            print_ = _fingerprint(members[index])
            if print_ in seen:
                dropped.add(index)
            seen.add(print_)
    return [h for i, h in enumerate(members) if i not in dropped], len(dropped)


def _fingerprint(header: Header) -> bytes:
    """Hash of the stored pixels and of what gives them meaning.

    Bytes are compared as they lie in the file, so nothing is decoded: of native pixels exactly
    those of the image, otherwise all from the pixel data element on, or the whole file where the
    element has no place of its own (deflated) or is cut off.
    """
    stored = header.stored
    start, length = 0, -1
    if stored is not None and stored.element_offset and not header.truncated:
        start = stored.element_offset
        if stored.syntax in NATIVE:
            pixels = stored.frames * stored.rows * stored.columns * stored.samples
            element = 8 if stored.syntax == NATIVE[0] else 12  # tag, VR, length
            length = element + pixels * stored.bits_allocated // 8
    facts = (header.slope, header.intercept, replace(stored, element_offset=0) if stored else None)
    digest = hashlib.sha256(repr(facts).encode())
    with header.path.open("rb") as stream:
        stream.seek(start)
        while length and (chunk := stream.read(_CHUNK if length < 0 else min(_CHUNK, length))):
            digest.update(chunk)
            length -= len(chunk) if length > 0 else 0
    return digest.digest()
