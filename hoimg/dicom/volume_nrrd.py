"""The header of an NRRD file (``.nrrd``, or ``.nhdr`` with its data file beside it).

pynrrd reads the header. NRRD lets a header name any file as its data and leave out in which
frame its axes are given; the first must not lead out of the folder, the second is refused.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from hoimg.dicom.findings import finding
from hoimg.dicom.volume_layout import VolumeLayout
from hoimg.geometry import Grid
from hoimg.image import grid_of_affine
from hoimg.results import Finding

SPACES = {
    "left-posterior-superior": "LPS",
    "lps": "LPS",
    "right-anterior-superior": "RAS",
    "ras": "RAS",
    "left-anterior-superior": "LAS",
    "las": "LAS",
}
"""Spaces of the format that say where the patient's left, back and head are."""
MAX_HEADER = 2**20
"""Bytes; a header is a few hundred of them, one per slice at most a few thousand."""
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(
        ("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"
    ),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    "float": "f4",
    "double": "f8",
}
_GZIP = ("gzip", "gz")


def read_nrrd_header(path: Path) -> VolumeLayout | None:
    """Layout and findings of one NRRD file; None when it is none.

    Raises:
        ValueError: when its header makes no sense, or it names a data file outside of its folder;
            says why, without a path.
        OSError: when it or its data file cannot be opened.
    """
    with path.open("rb") as stream:
        start = stream.read(MAX_HEADER)
    if not start.startswith(b"NRRD000"):
        return None
    header, length = _fields(start)
    sizes = [int(n) for n in header.get("sizes", ())]
    if len(sizes) != 3 or header.get("dimension") != 3 or min(sizes) < 1:
        raise ValueError(f"it has {len(sizes)} axes; three are read")
    encoding = str(header.get("encoding", "")).lower()
    if encoding not in ("raw", *_GZIP):
        raise ValueError(f"voxels stored as {encoding[:16] or '?'}; save it as raw or gzip")
    type_name = _TYPES.get(str(header.get("type", "")).lower())
    if type_name is None:
        raise ValueError(f"voxels of type {str(header.get('type'))[:24]} are no HU")
    endian = str(header.get("endian", "")).lower()
    if type_name[1] != "1" and endian not in ("little", "big"):
        raise ValueError("it does not state its byte order")
    data, offset = _data_file(path, header, length)
    if int(header.get("line skip", header.get("lineskip", 0))) != 0:
        raise ValueError("its data file starts with text lines")
    gzipped = encoding in _GZIP
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    dtype = np.dtype(type_name).newbyteorder(">" if endian == "big" else "<")
    if skip == -1 and not gzipped:  # the voxels are the end of the file
        offset = data.stat().st_size - math.prod(sizes) * dtype.itemsize
    elif skip > 0 and not gzipped:
        offset += skip
    elif skip != 0:
        raise ValueError("it skips bytes of compressed data")
    if offset < 0:
        raise ValueError("its data file is shorter than its voxels")
    x, y, z = sizes
    grid, findings = _place(header, (z, y, x))
    return VolumeLayout(
        data=data,
        offset=offset,
        gzipped=gzipped,
        whole_file_gzipped=False,
        dtype=dtype.str,
        size_zyx=(z, y, x),
        slope=1.0,
        intercept=0.0,
        grid=grid,
        findings=tuple(findings),
    )


def _fields(start: bytes) -> tuple[dict[str, Any], int]:
    """Fields of the header, and where it ends."""
    import nrrd

    ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := start.find(mark)) >= 0]
    length = min(ends, default=len(start))
    stream = io.BytesIO(start[:length])
    try:
        header = nrrd.read_header(stream)
    except Exception as error:  # pynrrd raises whatever its parsing meets
        raise ValueError(f"its header is damaged ({type(error).__name__})") from error
    return {str(key).lower(): value for key, value in header.items()}, length


def _data_file(path: Path, header: dict[str, Any], length: int) -> tuple[Path, int]:
    """The file with the voxels and where they begin; a detached one must lie beside the header."""
    name = header.get("data file", header.get("datafile"))
    if name is None:
        return path, length
    plain = str(name).removeprefix("./")
    if not plain or plain != Path(plain).name or plain in (".", "..") or "\0" in plain:
        raise ValueError("it names a data file outside of its folder; put both into one folder")
    data = path.parent / plain
    if data.resolve().parent != path.parent.resolve():
        raise ValueError("its data file is a link that leads out of its folder")
    if not data.is_file():
        raise ValueError("its data file is missing")
    return data, 0


def _place(
    header: dict[str, Any], size_zyx: tuple[int, int, int]
) -> tuple[Grid | None, list[Finding]]:
    """The grid that the header states, and what makes it doubtful."""
    space = SPACES.get(str(header.get("space", "")).strip().lower())
    if space is None:
        return None, [finding("unknown_space", "The header does not name a patient frame.")]
    units = {str(u).strip().lower() for u in header.get("space units", ())}
    if units - {"mm", "millimeter", "millimeters", ""}:
        return None, [finding("unknown_space", "The axes are not given in mm.")]
    axes = np.asarray(header.get("space directions", np.nan), dtype=float)
    origin = np.asarray(header.get("space origin", np.nan), dtype=float)
    if axes.shape != (3, 3) or origin.shape != (3,) or not np.isfinite([*axes, origin]).all():
        return None, [finding("no_orientation", "Directions or origin of the axes are missing.")]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes.T, origin
    try:
        return grid_of_affine(affine, size_zyx, space), []
    except ValueError:
        return None, [finding("sheared_affine", "The voxel axes are not at right angles.")]
