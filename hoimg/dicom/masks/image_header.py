"""What the header of an image file may ask for before ITK reads it.

ITK's readers trust what they read: an NRRD field of ten thousand characters ends the process, and
both NRRD and MetaImage may name any file of the machine as their data. So the text headers are
looked at here first, and only plain ones are handed on.
"""

from __future__ import annotations

import math
from pathlib import Path

from hoimg.dicom.volume_nrrd import MAX_HEADER

MAX_FIELD = 1000
"""Characters of one field; a list of sizes or directions has at most some hundred."""
MAX_REMARK = 65_536
"""Characters of one free text (``key:=value``): 3D Slicer's terms have some hundred."""
MAX_FIELDS = 20_000
"""Lines; 3D Slicer writes about ten for each segment."""
_NRRD_LISTS = ("data file", "datafile")
_META_NUMBERS = ("dimsize", "elementsize", "elementspacing", "offset", "transformmatrix")


class OddHeader(ValueError):
    """A header that no program for masks writes; says why, without a path."""


def check_image_header(path: Path, max_voxels: int) -> None:
    """Look at an NRRD or MetaImage header; other files pass.

    Args:
        path: The file.
        max_voxels: More are refused.

    Raises:
        OddHeader: when the header is not to be handed on.
        OSError: when the file cannot be opened.
    """
    with path.open("rb") as stream:
        start = stream.read(MAX_HEADER)
    if start.startswith(b"NRRD"):
        _check_nrrd(path, start, max_voxels)
    elif path.name.endswith((".nrrd", ".nhdr")):
        raise OddHeader("does not begin like an NRRD file")
    elif path.name.endswith((".mha", ".mhd")):
        _check_meta(path, start, max_voxels)


def _check_nrrd(path: Path, start: bytes, max_voxels: int) -> None:
    lines = _lines(start.replace(b"\r\n", b"\n").split(b"\n\n")[0])
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("#"):
            continue
        free = line.find(":=")
        name, mark, value = line.partition(":")
        if 0 <= free <= len(name):
            continue
        if not mark:
            raise OddHeader("has a line in its header that is no field")
        if len(line) > MAX_FIELD:
            raise OddHeader("has an absurdly long field in its header")
        if name.strip().lower() in fields:
            raise OddHeader("states a field of its header twice")
        fields[name.strip().lower()] = value.strip()
    _check_sizes(fields.get("sizes", "").split(), max_voxels)
    _check_data(path, next((fields[k] for k in _NRRD_LISTS if k in fields), None))


def _check_meta(path: Path, start: bytes, max_voxels: int) -> None:
    fields: dict[str, str] = {}
    # The last field; binary voxels may follow.
    end = start.lower().find(b"elementdatafile")
    stop = start.find(b"\n", end) if end >= 0 else -1
    for line in _lines(start[: stop if stop >= 0 else len(start)]):
        name, mark, value = line.partition("=")
        if not mark and line.strip():
            raise OddHeader("has a line in its header that is no field")
        if len(line) > MAX_FIELD:
            raise OddHeader("has an absurdly long field in its header")
        if name.strip().lower() in fields:
            raise OddHeader("states a field of its header twice")
        fields[name.strip().lower()] = value.strip()
    for name in _META_NUMBERS:
        try:
            numbers = [float(v) for v in fields.get(name, "").split()]
        except ValueError as error:
            raise OddHeader("has words where its header needs numbers") from error
        if not all(math.isfinite(v) for v in numbers):
            raise OddHeader("has numbers in its header that are none")
    sizes = fields.get("dimsize", "").split()
    if fields.get("ndims", "") != str(len(sizes)):
        raise OddHeader("contradicts itself about the number of its axes")
    _check_sizes(sizes, max_voxels)
    if "elementdatafile" not in fields:
        raise OddHeader("names no data in its header")
    data = fields["elementdatafile"]
    _check_data(path, None if data.upper() == "LOCAL" else data)


def _lines(header: bytes) -> list[str]:
    lines = header.decode("utf-8", "replace").split("\n")
    if len(lines) > MAX_FIELDS or any(len(line) > MAX_REMARK for line in lines):
        raise OddHeader("has an absurdly long header")
    if any(ord(c) < 32 and c not in "\t\r" for line in lines for c in line):
        raise OddHeader("has control characters in its header")
    return lines


def _check_sizes(sizes: list[str], max_voxels: int) -> None:
    if not 2 <= len(sizes) <= 4 or not all(s.isascii() and s.isdigit() for s in sizes):
        raise OddHeader("states no sensible size")
    if not 0 < math.prod(int(s[:20]) for s in sizes) <= max_voxels:
        raise OddHeader("declares no voxels, or more than can be read")


def _check_data(path: Path, name: str | None) -> None:
    """The voxels lie in the file itself (None), or beside it."""
    if name is None:
        return
    plain = name.removeprefix("./")
    if not plain or plain != Path(plain).name or plain == ".." or plain.upper().startswith("LIST"):
        raise OddHeader("names a data file outside of its folder, or several")
    if (path.parent / plain).resolve().parent != path.parent.resolve():
        raise OddHeader("has a data file that is a link out of its folder")
