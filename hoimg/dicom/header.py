"""One file's header, read without pixels and turned into plain, cleaned values.

Nothing here trusts the file: UIDs are made valid, texts are stripped of control characters and
cut, numbers that do not parse become None, and a deflated file that would blow up is refused
before it is inflated.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import logging
import math
import os
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hoimg.dicom.types import StoredPixels

if TYPE_CHECKING:
    from pydicom import Dataset

# fmt: off
_TAGS = [
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID",
    "SeriesInstanceUID", "PatientID", "PatientBirthDate", "PatientSex", "Modality", "ImageType",
    "SeriesDescription", "StudyDate", "StudyTime", "SeriesDate", "AcquisitionDate",
    "ContentDate", "SeriesNumber", "InstanceNumber", "AcquisitionNumber",
    "TemporalPositionIdentifier", "FrameOfReferenceUID", "SeriesTime", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness",
    "GantryDetectorTilt", "KVP", "ConvolutionKernel", "ContrastBolusAgent", "Manufacturer",
    "ManufacturerModelName", "XRayTubeCurrent", "PatientPosition", "BodyPartExamined",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence",
    "LossyImageCompression", "BitsStored", "PixelRepresentation", "PixelPaddingValue",
    "PixelPaddingRangeLimit",
]
# fmt: on

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_LOSSY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 52, 53, 54, 55, 56, 81, 203))
_CT_IMAGES = "1.2.840.10008.5.1.4.1.1.2"
_DICOMDIR = "1.2.840.10008.1.3.10"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"
MAX_INFLATED = 512 * 2**20
"""Bytes that a deflated file may grow to; a classic CT slice has 0.5 MB."""
MAX_SIDE = 8192
"""Rows or columns above this are taken for a damaged header."""


class DamagedFile(Exception):
    """The file starts like DICOM and cannot be read."""


@dataclass(frozen=True)
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


class _Quiet:
    """Who is inside :func:`quiet_pydicom`, and how to undo it."""

    lock = threading.Lock()
    inside = 0
    undo = ExitStack()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks about invalid values off stderr; our own checks judge the values.

    Logger, warning filters and validation mode belong to the process, and exams are read on
    threads: the first one in sets them, the last one out puts them back.
    """
    with _Quiet.lock:
        if _Quiet.inside == 0:
            _Quiet.undo = _silence()
        _Quiet.inside += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.inside -= 1
            if _Quiet.inside == 0:
                _Quiet.undo.close()


def _silence() -> ExitStack:
    from pydicom import config

    log = logging.getLogger("pydicom")
    undo = ExitStack()
    undo.callback(log.setLevel, log.level)
    mode = config.settings.reading_validation_mode
    undo.callback(setattr, config.settings, "reading_validation_mode", mode)
    undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    log.setLevel(logging.CRITICAL)
    config.settings.reading_validation_mode = config.IGNORE
    return undo


def read_header(path: Path) -> Header | None:
    """Read one file's header; call inside :func:`quiet_pydicom`.

    Returns:
        None when the file is no DICOM, or a DICOMDIR.

    Raises:
        DamagedFile: when the file starts like DICOM and its header cannot be read.
        OSError: when the file cannot be opened.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(132)
    preamble = start[128:132] == b"DICM"
    # Data sets written without the part-10 header start with group 0008, little endian.
    if not preamble and not (start[:2] == b"\x08\x00" and start[3:4] == b"\x00"):
        return None
    try:
        dataset, offset = _parse(path, size, force=not preamble)
        meta = getattr(dataset, "file_meta", {})
        sop_class = _text(dataset, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
        if sop_class == _DICOMDIR:
            return None
        if not preamble and not sop_class:
            return None
        syntax = str(meta.get("TransferSyntaxUID", ""))
        header = _header(path, size, offset, dataset, sop_class, syntax)
    except (DamagedFile, OSError):
        raise
    except Exception as error:  # a parser fed with garbage may raise anything; the caller counts it
        raise DamagedFile(type(error).__name__) from error
    if header.rows is None and (sop_class == "" or sop_class.startswith(_CT_IMAGES)):
        raise DamagedFile("ends within the header")  # pydicom takes a cut for the end
    return header


def patient_key(identity: str) -> str:
    """Keyed hash (HMAC-SHA256, 12 hex digits) that stands for a patient in every output.

    The key comes from the environment variable ``HOIMG_PATIENT_KEY``. Without it a fixed key is
    used: results then repeat everywhere, but who knows a PatientID can recompute its hash.
    """
    secret = os.environ.get("HOIMG_PATIENT_KEY", "hoimg").encode()
    return "p" + hmac.new(secret, identity.encode("utf-8", "replace"), "sha256").hexdigest()[:12]


def clean_uid(raw: str, seed: str) -> tuple[str, bool]:
    """A valid UID and whether it had to be made up.

    Args:
        raw: As in the file; kept when it is a valid UID of at most 64 characters.
        seed: Text that the replacement is derived from, so that equal files give equal UIDs.
    """
    if len(raw) <= 64 and _UID.fullmatch(raw):
        return raw, False
    digest = hashlib.sha256(f"{raw}\0{seed}".encode("utf-8", "replace")).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}", True


def clean_text(raw: str, length: int = 64) -> str:
    """Printable characters only, single spaces, at most ``length`` of them."""
    printable = "".join(c if c.isprintable() else " " for c in raw[: 16 * length])
    return " ".join(printable.split())[:length]


def parse_date(raw: str) -> datetime.date | None:
    """``YYYYMMDD`` (or the old ``YYYY.MM.DD``) as a date; None when it is none."""
    digits = raw.strip().replace(".", "")
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _parse(path: Path, size: int, force: bool) -> tuple[Dataset, int]:
    """The header and the offset at which the pixel data element starts."""
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    if not force:
        meta = read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:
            _check_inflated(path, size)
    with path.open("rb") as stream:
        dataset = dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS, force=force)
        return dataset, stream.tell()


def _check_inflated(path: Path, size: int) -> None:
    """Refuse a deflated file that would grow beyond the limit (pydicom inflates it whole)."""
    if size * 1032 < MAX_INFLATED:  # deflate cannot compress better than 1032 : 1
        return
    with path.open("rb") as stream:
        head = stream.read(144)
        # (0002,0000) UL: length of the rest of the file meta information
        length = int.from_bytes(head[140:144], "little")
        stream.seek(144 + length)
        inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while chunk := inflater.unconsumed_tail or stream.read(2**20):
            total += len(inflater.decompress(chunk, 2**20))
            if total > MAX_INFLATED:
                raise DamagedFile("inflates to more than 512 MB")


def _header(path: Path, size: int, offset: int, ds: Dataset, sop_class: str, syntax: str) -> Header:
    rest = size - offset
    rows, columns = _int(ds, "Rows"), _int(ds, "Columns")
    bits, frames = _int(ds, "BitsAllocated") or 0, _int(ds, "NumberOfFrames") or 1
    samples = _int(ds, "SamplesPerPixel") or 1
    day = next(
        (
            found
            for tag in ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate")
            if (found := parse_date(_text(ds, tag))) is not None
        ),
        None,
    )
    # Content that all files of a study (series) share, for files without UIDs.
    study_seed = "|".join(_text(ds, t) for t in ("PatientID", "StudyDate", "StudyTime"))
    frame = _text(ds, "FrameOfReferenceUID")
    series_seed = "|".join(
        [study_seed, frame]
        + [_text(ds, t) for t in ("Modality", "SeriesNumber", "SeriesTime", "SeriesDescription")]
    )
    study, made_study = clean_uid(_text(ds, "StudyInstanceUID"), study_seed)
    series, made_series = clean_uid(_text(ds, "SeriesInstanceUID"), series_seed)
    plain = (
        samples == 1
        and bits in (8, 16, 32)
        and _text(ds, "PhotometricInterpretation") in ("MONOCHROME2", "MONOCHROME1")
        and rows is not None
        and columns is not None
        and 1 < rows <= MAX_SIDE
        and 1 < columns <= MAX_SIDE
    )
    agent = _text(ds, "ContrastBolusAgent").strip().upper()
    spacing = _numbers(ds, "PixelSpacing", 2)
    stored = None
    if rows is not None and columns is not None and bits:
        stored = StoredPixels(
            syntax=syntax,
            element_offset=0 if syntax == _DEFLATED else offset,
            rows=rows,
            columns=columns,
            frames=frames,
            bits_allocated=bits,
            bits_stored=_int(ds, "BitsStored") or bits,
            signed=bool(_int(ds, "PixelRepresentation")),
            samples=samples,
            photometric=clean_text(_text(ds, "PhotometricInterpretation"), 16).upper(),
            padding=_padding(ds, bits, bool(_int(ds, "PixelRepresentation"))),
        )
    return Header(
        path=path,
        patient_id=_text(ds, "PatientID").strip(),
        person=(_text(ds, "PatientBirthDate").strip(), _text(ds, "PatientSex").strip()),
        study_uid=study,
        series_uid=series,
        sop_uid=_text(ds, "SOPInstanceUID"),
        made_up_uids=made_study or made_series,
        sop_class=sop_class,
        modality=clean_text(_text(ds, "Modality"), 16).upper(),
        image_type=tuple(clean_text(t, 32).upper() for t in _many(ds, "ImageType")),
        description=clean_text(_text(ds, "SeriesDescription")),
        date=day,
        study_time=re.sub(r"[^0-9]", "", _text(ds, "StudyTime").split(".")[0])[:6],
        instance=_int(ds, "InstanceNumber"),
        split_keys=(
            _text(ds, "AcquisitionNumber"),
            _text(ds, "ConvolutionKernel"),
            _text(ds, "KVP"),
            _text(ds, "TemporalPositionIdentifier"),
        ),
        rows=rows,
        columns=columns,
        frames=frames,
        plain=plain,
        spacing_yx_mm=None if spacing is None or min(spacing) <= 0 else (spacing[0], spacing[1]),
        position_lps_mm=_numbers(ds, "ImagePositionPatient", 3),
        orientation=_numbers(ds, "ImageOrientationPatient", 6),
        thickness_mm=_positive(ds, "SliceThickness"),
        tilt_deg=_number(ds, "GantryDetectorTilt"),
        kvp=_positive(ds, "KVP"),
        kernel=clean_text("/".join(_many(ds, "ConvolutionKernel"))) or None,
        contrast=agent not in ("", "NONE", "NO", "N", "0", "UNKNOWN"),
        manufacturer=clean_text(_text(ds, "Manufacturer")) or None,
        model=clean_text(_text(ds, "ManufacturerModelName")) or None,
        tube_current_ma=_positive(ds, "XRayTubeCurrent"),
        patient_position=clean_text(_text(ds, "PatientPosition"), 16) or None,
        body_part=clean_text(_text(ds, "BodyPartExamined")) or None,
        has_rescale=_number(ds, "RescaleIntercept") is not None
        and _number(ds, "RescaleSlope") not in (None, 0.0)
        and "ModalityLUTSequence" not in ds,
        rescale_type=_text(ds, "RescaleType").strip().upper(),
        lossy=_text(ds, "LossyImageCompression") == "01" or syntax in _LOSSY,
        truncated=plain
        and _truncated(path, rest, syntax, frames * (rows or 0) * (columns or 0), bits),
        slope=_number(ds, "RescaleSlope"),
        intercept=_number(ds, "RescaleIntercept"),
        stored=stored,
    )


def _padding(ds: Dataset, bits: int, signed: bool) -> tuple[int, int] | None:
    """Padding value and range limit in the pixels' own type: writers store -2000 as 63536."""
    values = []
    for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        raw = _raw(ds, name)
        if isinstance(raw, bytes):
            raw = int.from_bytes(raw[:2], "little")
        if isinstance(raw, int):
            number = raw % (1 << bits)
            wraps = signed and number >= 1 << (bits - 1)
            values.append(number - (1 << bits) if wraps else number)
        elif not values:
            return None
    return min(values), max(values)


def _truncated(path: Path, rest: int, syntax: str, pixels: int, bits: int) -> bool:
    """Whether the pixel data cannot be whole: too short, or compressed without its end mark.

    ``rest`` is the number of bytes from the start of the pixel data element to the file's end.
    """
    if syntax in ("", *_NATIVE):
        element = 8 if syntax in ("", _NATIVE[0]) else 12  # tag, VR and length before the pixels
        return rest < element + pixels * bits // 8
    if syntax == _DEFLATED:
        return False
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - 4096, 0))
        if _SEQUENCE_END in stream.read():
            return False
        stream.seek(0)
        return rest <= 0 or _SEQUENCE_END not in stream.read()


def _raw(ds: Dataset, name: str) -> Any:
    try:
        return ds.get(name)
    except Exception:  # a damaged element: any conversion may fail; absent is what it amounts to
        return None


def _many(ds: Dataset, name: str) -> list[str]:
    value = _raw(ds, name)
    if value is None:
        return []
    if isinstance(value, str | bytes | int | float):
        return [str(value)]
    try:
        return [str(v) for v in value]
    except TypeError:
        return [str(value)]


def _text(ds: Dataset, name: str) -> str:
    return "/".join(_many(ds, name)).strip(" \0")


def _numbers(ds: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(v) for v in _many(ds, name))
    except ValueError:
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


def _number(ds: Dataset, name: str) -> float | None:
    values = _numbers(ds, name, 1)
    return None if values is None else values[0]


def _positive(ds: Dataset, name: str) -> float | None:
    value = _number(ds, name)
    return value if value is not None and value > 0 else None


def _int(ds: Dataset, name: str) -> int | None:
    value = _number(ds, name)
    return None if value is None else int(value)
