"""One decoder for each compressed transfer syntax: the fastest of those that are exact.

Times per 512 x 512 slice of 12 bits (``docs/methods/dicom.md`` has them all): JPEG 2000 38 ms by
OpenJPEG, 41 by GDCM; HTJ2K 6 ms by OpenJPEG; JPEG-LS 6 ms by CharLS, 9 by GDCM; RLE 1.3 ms by
pylibjpeg, 16 by GDCM; JPEG lossless 7 ms by GDCM. There is no second try with another decoder:
where the first one refuses damaged data the second may return them as an image.

Only the library that a syntax needs is imported, inside of its function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO

_JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
ENCAPSULATED = "1.2.840.10008.1.2.1.98"

CODECS: dict[str, str] = {
    RLE: "rle",
    ENCAPSULATED: "plain",
    **dict.fromkeys((_JPEG + n for n in ("80", "81")), "jpeg_ls"),
    **dict.fromkeys((_JPEG + n for n in ("90", "91", "201", "202", "203")), "openjpeg"),
    **dict.fromkeys((_JPEG + n for n in ("50", "51", "53", "55", "57", "70")), "gdcm"),
}
"""Transfer syntax UID to the name of its decoder."""

PACKAGES = {
    "rle": "pylibjpeg-rle",
    "plain": "nothing",
    "jpeg_ls": "pyjpegls",
    "openjpeg": "pylibjpeg-openjpeg",
    "gdcm": "python-gdcm",
}
"""Decoder to the package on PyPI that it comes from."""

_MODULES = {
    "rle": ("rle.rle",),
    "plain": (),
    "jpeg_ls": ("jpeg_ls",),
    "openjpeg": ("openjpeg.utils", "_openjpeg"),
    "gdcm": ("gdcm",),
}

NAMES = {
    RLE: "RLE lossless",
    ENCAPSULATED: "encapsulated uncompressed",
    _JPEG + "50": "JPEG baseline",
    _JPEG + "51": "JPEG extended, 12 bits",
    _JPEG + "53": "JPEG spectral selection (retired)",
    _JPEG + "55": "JPEG full progression (retired)",
    _JPEG + "57": "JPEG lossless",
    _JPEG + "70": "JPEG lossless, first-order prediction",
    _JPEG + "80": "JPEG-LS lossless",
    _JPEG + "81": "JPEG-LS near-lossless",
    _JPEG + "90": "JPEG 2000 lossless",
    _JPEG + "91": "JPEG 2000",
    _JPEG + "201": "HTJ2K lossless",
    _JPEG + "202": "HTJ2K lossless, RPCL",
    _JPEG + "203": "HTJ2K",
}
"""Transfer syntax UID to its name in messages."""

_COMPLAINTS = (b"Corrupt JPEG data", b"Premature end of JPEG")
"""What libjpeg says on stderr while it makes up the missing part of an image."""


class UndecodableFrame(Exception):
    """The compressed data are damaged or are not what the header declares."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the header declares of a frame.

    Attributes:
        syntax: Transfer syntax UID.
        rows: Rows.
        columns: Columns.
        bits_allocated: 8, 16 or 32.
        bits_stored: Up to ``bits_allocated``.
        signed: Whether values are two's complement.
    """

    syntax: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def pixels(self) -> int:
        """Pixels of the frame."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame.

    Attributes:
        data: Values in rows, little endian.
        item_bytes: Bytes of one value.
        precision: Bits of the values, when the codestream states them and knows no sign.
    """

    data: bytes | bytearray | memoryview
    item_bytes: int
    precision: int | None = None


def load(codec: str) -> None:
    """Import a decoder's library, so that it is there before memory is limited.

    Raises:
        ImportError: when it is not installed.
    """
    for module in _MODULES[codec]:
        import_module(module)


def decode_frame(source: bytes, form: Form) -> Frame:
    """Decode one frame of a single channel.

    Args:
        source: The compressed bytes of the frame.
        form: What the header declares.

    Raises:
        UndecodableFrame: when the data are damaged or have another size than declared.
        Exception: whatever the library raises.
    """
    codec = CODECS[form.syntax]
    frame = _DECODERS[codec](source, form)
    if len(frame.data) != form.pixels * frame.item_bytes:
        raise UndecodableFrame(f"{len(frame.data)} bytes for {form.pixels} pixels")
    return frame


def complains(stderr: bytes) -> bool:
    """Whether a decoder has said that it made up part of the image."""
    return any(text in stderr for text in _COMPLAINTS)


def _plain(source: bytes, form: Form) -> Frame:
    size = form.pixels * form.bits_allocated // 8
    return Frame(source[:size] if len(source) <= size + 1 else source, form.bits_allocated // 8)


def _rle(source: bytes, form: Form) -> Frame:
    # Segment by segment: the library's decoder of whole frames takes segments that are too long.
    import numpy as np
    from rle.rle import decode_segment

    size = form.bits_allocated // 8
    header = [int.from_bytes(source[k : k + 4], "little") for k in range(0, 64, 4)]
    bounds = [*header[1 : 1 + size], len(source)]
    if header[0] != size or bounds[0] != 64 or bounds != sorted(bounds):
        raise UndecodableFrame(f"{header[0]} segments where {size} belong")
    planes = np.empty((form.pixels, size), np.uint8)
    for k in range(size):  # the highest byte of all pixels comes first
        plane = decode_segment(source[bounds[k] : bounds[k + 1]])
        if len(plane) - form.pixels not in (0, 1):  # one may be added to make it even
            raise UndecodableFrame(f"{len(plane)} bytes for {form.pixels} pixels")
        planes[:, size - 1 - k] = np.frombuffer(plane, np.uint8, form.pixels)
    return Frame(planes.reshape(-1).data, size)


def _jpeg_ls(source: bytes, form: Form) -> Frame:
    import jpeg_ls

    precision = _check_jpeg(source, form)
    data, _ = jpeg_ls.decode_pixel_data(source)
    return Frame(data, 1 if precision <= 8 else 2, precision)


def _openjpeg(source: bytes, form: Form) -> Frame:
    import _openjpeg
    from openjpeg.utils import get_parameters

    kind = 0 if source[:4] == b"\xff\x4f\xff\x51" else 2
    stream = BytesIO(source)
    said = get_parameters(stream, kind)
    if (said["rows"], said["columns"], said["samples_per_pixel"]) != (form.rows, form.columns, 1):
        raise UndecodableFrame(f"holds {said['rows']} x {said['columns']} pixels")
    stream.seek(0)
    code, data = _openjpeg.decode(stream, kind, as_array=False)
    if code:  # the rest of the image has been left black
        raise UndecodableFrame(f"OpenJPEG error {code}")
    bits = int(said["precision"])
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return Frame(data, size, None if said["is_signed"] else bits)


def _gdcm(source: bytes, form: Form) -> Frame:
    import gdcm

    precision = _check_jpeg(source, form)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((form.columns, form.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    syntax = gdcm.TransferSyntax.GetTSType(form.syntax)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    bits = form.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, form.bits_allocated, bits, bits - 1, int(form.signed)))
    text = image.GetBuffer()
    if text is None:
        raise UndecodableFrame("GDCM cannot decode it")
    # GDCM hands bytes over as text.
    return Frame(text.encode("utf-8", "surrogateescape"), form.bits_allocated // 8, precision)


_DECODERS: dict[str, Callable[[bytes, Form], Frame]] = {
    "rle": _rle,
    "plain": _plain,
    "jpeg_ls": _jpeg_ls,
    "openjpeg": _openjpeg,
    "gdcm": _gdcm,
}


def _check_jpeg(source: bytes, form: Form) -> int:
    """Bits of a JPEG or JPEG-LS image, when it has the size that the header declares."""
    place = 2
    while source[:2] == b"\xff\xd8" and source[place : place + 1] == b"\xff":
        marker = source[place + 1 : place + 2]
        if marker == b"\xff":  # fill bytes may come before a marker
            place += 1
            continue
        segment = source[place + 4 : place + 10]
        # Start of frame: FFC0 - FFCF but for the tables C4, C8, CC; FFF7 is that of JPEG-LS.
        if marker == b"\xf7" or (b"\xc0" <= marker <= b"\xcf" and marker not in b"\xc4\xc8\xcc"):
            rows, columns = (int.from_bytes(segment[k : k + 2], "big") for k in (1, 3))
            if (rows, columns) != (form.rows, form.columns) or segment[5:6] != b"\x01":
                raise UndecodableFrame(f"holds {rows} x {columns} pixels")
            return segment[0]
        place += 2 + int.from_bytes(source[place + 2 : place + 4], "big")
    raise UndecodableFrame("no JPEG image")
