"""Files that are present twice: dropped when truly the same image, kept (and refused) otherwise."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from hoimg.dicom.header import Header


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
    """Hash of the stored pixels and their rescale; of the whole file where it cannot be parsed."""
    from pydicom import dcmread

    if header.truncated:
        return hashlib.sha256(header.path.read_bytes()).digest()
    tags = ["PixelData", "RescaleSlope", "RescaleIntercept", "PixelRepresentation"]
    ds = dcmread(header.path, force=True, specific_tags=tags)
    digest = hashlib.sha256(ds.get("PixelData", b""))
    for tag in tags[1:]:
        digest.update(f"|{ds.get(tag)}".encode())
    digest.update(str(ds.file_meta.get("TransferSyntaxUID", "")).encode())
    return digest.digest()
