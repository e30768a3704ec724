"""One file's header, read without pixels and turned into plain, cleaned values.

Nothing here trusts the file: UIDs are made valid, texts are stripped of control characters and
cut, numbers that do not parse become None, and what is read has bounds (depth and length of the
header, size of a deflated file) whatever the file claims.

Regular files are walked by :mod:`hoimg.dicom.elements`; the others (big endian, odd VRs, icons
with compressed pixels within sequences) are parsed by pydicom, from a bounded piece of the file.
"""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from hoimg.dicom.clean import clean_text, clean_uid, parse_date, patient_key
from hoimg.dicom.convert import MAX_SIDE, of_series
from hoimg.dicom.elements import DamagedFile, Fetch, Irregular, walk, walk_meta
from hoimg.dicom.inflate import check_inflated, inflate
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.dicom.types import StoredPixels
from hoimg.dicom.values import TAGS, DatasetSource, RawSource, Source, Values

__all__ = [
    "MAX_SIDE", "NATIVE", "DamagedFile", "FileKind", "Header", "Pool", "clean_text", "clean_uid",
    "look", "parse_date", "patient_key", "quiet_pydicom", "read_header",
]  # fmt: skip

_T = TypeVar("_T", bound=Hashable)
_WANTED = frozenset(TAGS.values())
# What differs from slice to slice; all else is the same throughout a series and converted once.
_OF_A_SLICE = frozenset(
    TAGS[k]
    for k in (
        *("SOPInstanceUID", "ImagePositionPatient", "InstanceNumber", "AcquisitionNumber"),
        *("AcquisitionTime", "TriggerTime", "XRayTubeCurrent"),
    )
)
_OF_A_SERIES = tuple(sorted(_WANTED - _OF_A_SLICE))
_DEFLATED = "1.2.840.10008.1.2.1.99"
_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = (_IMPLICIT, "1.2.840.10008.1.2.1", _BIG_ENDIAN)
_CT_IMAGES = "1.2.840.10008.5.1.4.1.1.2"
_DICOMDIR = "1.2.840.10008.1.3.10"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_HEAD = 65536
MAX_HEADER = 16 * 2**20
"""Bytes of header that pydicom, or the inflating of a deflated file, is let go through."""
MAX_POOL = 50_000
"""Shared values kept at once; an attacker's unique ones are forgotten instead of piling up."""


class FileKind(Enum):
    """What a file is that holds no DICOM object."""

    OTHER = "other"
    ARCHIVE = "archive"
    DICOMDIR = "dicomdir"


@dataclass(frozen=True, slots=True)
class Header:
    """What the intake needs to know of one file. None is absent or unreadable."""

    path: Path
    patient_id: str
    person: tuple[str, str]
    study_uid: str
    series_uid: str
    sop_uid: str
    made_up_uids: bool
    sop_class: str
    modality: str
    image_type: tuple[str, ...]
    description: str
    date: datetime.date | None
    study_time: str
    instance: int | None
    split_keys: tuple[str, ...]
    rows: int | None
    columns: int | None
    frames: int
    plain: bool
    spacing_yx_mm: tuple[float, float] | None
    position_lps_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    thickness_mm: float | None
    tilt_deg: float | None
    kvp: float | None
    kernel: str | None
    contrast: bool
    manufacturer: str | None
    model: str | None
    tube_current_ma: float | None
    patient_position: str | None
    body_part: str | None
    has_rescale: bool
    rescale_type: str
    lossy: bool
    truncated: bool
    slope: float | None
    intercept: float | None
    stored: StoredPixels | None
    conversion: str = ""
    issuer: str = ""
    person_key: str = ""
    frame_of_reference: str = ""


class Pool:
    """Values that many headers of one scan share, kept once; bounded by :data:`MAX_POOL`."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def share(self, value: _T) -> _T:
        """The first value equal to this one."""
        return cast("_T", self.recall(value, lambda: value))

    def recall(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made for this key before, else what ``make`` gives now."""
        try:
            return self._kept[key]
        except KeyError:
            if len(self._kept) >= MAX_POOL:
                self._kept.clear()
            made = self._kept[key] = make()
            return made


def read_header(path: Path) -> Header | None:
    """Read one file's header; call inside :func:`hoimg.dicom.quiet.quiet_pydicom`.

    Returns:
        None when the file is no DICOM, or a DICOMDIR.

    Raises:
        DamagedFile: when the file starts like DICOM and its header cannot be read.
        OSError: when the file cannot be opened.
    """
    found = look(path, Pool())
    return found if isinstance(found, Header) else None


def look(path: Path, pool: Pool) -> Header | FileKind:
    """Read one file's header, or say what else the file is.

    The file is opened once. What is no regular file is never read (a pipe would hang).

    Args:
        path: The file.
        pool: Shared values of this scan.

    Raises:
        DamagedFile: when the file starts like DICOM and its header cannot be read.
        OSError: when the file cannot be opened.
    """
    # Without waiting: a pipe put in the place of a listed file must not hang the scan.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb", buffering=0) as stream:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            return FileKind.OTHER
        head = stream.read(min(_HEAD, info.st_size))
        if head[:4] in _ZIP:
            return FileKind.ARCHIVE
        start = _start(head)
        if start is None:
            return FileKind.OTHER
        try:
            return _read(path, cast("BinaryIO", stream), head, start, info.st_size, pool)
        except (DamagedFile, OSError):
            raise
        except Exception as error:  # a parser fed with garbage may raise anything
            raise DamagedFile(type(error).__name__) from error


def _start(head: bytes) -> int | None:
    """Where file meta information or data set begin; None when it is no DICOM."""
    if head[128:132] == b"DICM":
        return 132
    # Without the part-10 preamble: the meta group, or a data set with group 0008 first.
    if head[:2] == b"\x02\x00" and head[3:6] == b"\x00UL":
        return 0
    return 0 if head[:2] == b"\x08\x00" and head[3:4] == b"\x00" else None


def _read(
    path: Path, stream: BinaryIO, head: bytes, start: int, size: int, pool: Pool
) -> Header | FileKind:
    meta, place = walk_meta(head, start)
    syntax, media_class = (_ascii(meta.get(tag, b"")) for tag in (0x00020010, 0x00020002))
    if media_class == _DICOMDIR:
        return FileKind.DICOMDIR
    if syntax == _DEFLATED:
        check_inflated(stream, place, size)
    try:
        raw, offset = _walk(stream, head, place, size, syntax)
    except Irregular:
        if syntax == _DEFLATED:
            source, offset = _parse_deflated(stream, place), 0
        else:
            source, offset = _parse(stream, size, start)
        common = None
    else:
        source = RawSource(raw)
        common = (syntax, media_class, *map(raw.get, _OF_A_SERIES))
    values = Values(source)
    if common is None:
        made = of_series(values, syntax, media_class)
    else:
        made = pool.recall(common, lambda: of_series(values, syntax, media_class))
    sop_class, rows = made.fields["sop_class"], made.fields["rows"]
    if sop_class == _DICOMDIR:
        return FileKind.DICOMDIR
    if start == 0 and not sop_class:
        return FileKind.OTHER
    if rows is None and (sop_class == "" or sop_class.startswith(_CT_IMAGES)):
        raise DamagedFile("ends within the header")  # a cut is taken for the end
    stored = None
    if made.stored is not None:
        place = 0 if syntax == _DEFLATED else offset
        stored = replace(made.stored, element_offset=place)
    split_keys = (
        *(values.text(k) for k in ("AcquisitionNumber", "AcquisitionTime", "TriggerTime")),
        *made.split_keys,
    )
    return Header(
        path=path,
        sop_uid=values.text("SOPInstanceUID"),
        instance=values.integer("InstanceNumber"),
        position_lps_mm=values.numbers("ImagePositionPatient", 3),
        tube_current_ma=values.positive("XRayTubeCurrent"),
        split_keys=pool.share(split_keys),
        stored=pool.share(stored),
        truncated=made.fields["plain"]
        and stored is not None
        and _truncated(stream, offset, size, stored),
        **made.fields,
    )


def _walk(
    stream: BinaryIO, head: bytes, place: int, size: int, syntax: str
) -> tuple[dict[int, bytes], int]:
    if syntax == _BIG_ENDIAN:
        raise Irregular
    if syntax == _DEFLATED:
        for limit in (_HEAD, MAX_HEADER):
            plain = inflate(stream, place, limit)
            raw, offset = walk(plain, _piece(plain), 0, len(plain), implicit=False, wanted=_WANTED)
            if offset < len(plain) or len(plain) < limit:
                return raw, 0  # the pixels have no place in the file
        raise DamagedFile("the header inflates beyond all measure")
    implicit = syntax == _IMPLICIT
    if syntax == "":
        implicit = not head[place + 4 : place + 6].isalpha()
    fetch = _piece(head) if len(head) == size else _pieces(stream)
    return walk(head, fetch, place, size, implicit=implicit, wanted=_WANTED)


def _pieces(stream: BinaryIO) -> Fetch:
    def fetch(offset: int, count: int) -> bytes:
        stream.seek(offset)
        return stream.read(count)

    return fetch


def _piece(data: bytes) -> Fetch:
    return lambda offset, count: data[offset : offset + count]


def _parse(stream: BinaryIO, size: int, start: int) -> tuple[Source, int]:
    """The header by pydicom, from the first bytes only: it sets no bound of its own."""
    from pydicom import dcmread

    stream.seek(0)
    piece = BytesIO(stream.read(MAX_HEADER))
    dataset = dcmread(piece, stop_before_pixels=True, specific_tags=list(TAGS), force=start == 0)
    if piece.tell() >= MAX_HEADER and size > MAX_HEADER:
        raise DamagedFile("the header is longer than 16 MB")
    return DatasetSource(dataset), piece.tell()


def _parse_deflated(stream: BinaryIO, place: int) -> Source:
    """The same of what the first bytes inflate to: pydicom would inflate and parse all of it."""
    from pydicom.filereader import read_dataset

    plain = inflate(stream, place, MAX_HEADER)
    dataset = read_dataset(
        BytesIO(plain),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 == 0x7FE0,
        specific_tags=sorted(_WANTED),
    )
    return DatasetSource(dataset)


def _truncated(stream: BinaryIO, offset: int, size: int, stored: StoredPixels) -> bool:
    """Whether the pixel data cannot be whole: too short, or compressed without its end mark."""
    if stored.syntax in ("", *NATIVE):
        # Tag, VR and length come before the pixels.
        element = 8 if stored.syntax in ("", _IMPLICIT) else 12
        pixels = stored.frames * stored.rows * stored.columns
        return size - offset < element + pixels * stored.bits_allocated // 8
    if stored.syntax == _DEFLATED:
        return False
    # The mark is the last thing in most files; elsewhere it is searched piece by piece.
    return not (_holds_end(stream, max(size - 4096, offset)) or _holds_end(stream, offset))


def _holds_end(stream: BinaryIO, offset: int) -> bool:
    stream.seek(offset)
    last = b""
    while piece := stream.read(2**20):
        if _SEQUENCE_END in last + piece:
            return True
        last = piece[-3:]
    return False


def _ascii(raw: bytes) -> str:
    return raw.decode("ascii", "replace").strip(" \0")
