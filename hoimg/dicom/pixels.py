"""Pixels of an exam in exact Hounsfield units.

Each slice is decoded by the first decoder that can, turned into HU with its own rescale and put
at its place; the volume stays int16 as long as every value is a whole number that fits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.header import quiet_pydicom
from hoimg.dicom.types import Stack
from hoimg.errors import InputRefused

if TYPE_CHECKING:
    from pydicom import Dataset

_RLE = "1.2.840.10008.1.2.5"
_PLUGINS = ("pylibjpeg", "pyjpegls", "gdcm")
_RLE_PLUGINS = ("pylibjpeg", "pydicom")
"""In order of preference. GDCM never decodes RLE: it is ten times slower than pylibjpeg."""


def read_stack(stack: Stack) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read the slices of a stack in their order.

    Returns:
        HU ``[slice, y, x]``, int16 when every value is a whole number that fits, else float32; and
        where the file marks padding (PixelPaddingValue and its range limit), None for nowhere.
        Padded pixels keep the value they have in the file.

    Raises:
        InputRefused: when a file cannot be read or decoded; the message names it.
    """
    first = stack.slices[0].stored
    shape = (len(stack.slices), first.rows, first.columns)
    hu: NDArray[Any] = np.empty(shape, dtype=np.int16)
    padded: NDArray[np.bool_] | None = None
    with quiet_pydicom():
        slices = (
            _enhanced_slices(stack, shape[1:])
            if first.frames > 1
            else (read_slice(source.file, shape[1:]) for source in stack.slices)
        )
        for z, (values, padding) in enumerate(slices):
            if hu.dtype == np.int16 and not _fits_int16(values):
                hu = hu.astype(np.float32)
            hu[z] = values
            if padding is not None:
                if padded is None:
                    padded = np.zeros(shape, dtype=bool)
                padded[z] = padding
    return hu, padded


def read_slice(
    file: Path, shape_yx: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """HU of one classic CT image, and where it is padded (None for nowhere).

    Returns:
        int32 when slope and intercept are whole numbers, else float64.

    Raises:
        InputRefused: with the file's name.
    """
    from pydicom import dcmread

    try:
        dataset = dcmread(file, force=True)
        stored = decode(dataset, file)
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    except InputRefused:
        raise
    except Exception as error:  # parsers and codecs raise anything on damaged data; named below
        raise InputRefused(
            f"{file}: cannot be read as a CT image ({type(error).__name__}); "
            "copy or export it again",
            "pixels_unreadable",
        ) from error
    if stored.shape != shape_yx:
        raise InputRefused(
            f"{file}: holds {stored.shape} pixels where {shape_yx} belong; export it again",
            "pixels_unreadable",
        )
    padding = _padding(dataset, stored)
    if slope.is_integer() and intercept.is_integer() and stored.dtype.itemsize <= 2:
        whole: NDArray[Any] = stored.astype(np.int32)
        if abs(slope) < 2**14 and abs(intercept) < 2**29:
            return whole * int(slope) + int(intercept), padding
    return stored.astype(np.float64) * slope + intercept, padding


def _enhanced_slices(
    stack: Stack, shape_yx: tuple[int, int]
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_] | None]]:
    """HU and padding of each frame of enhanced CT files, in the order of the stack."""
    from pydicom import dcmread

    files: dict[Path, tuple[Any, NDArray[Any]]] = {}
    for source in stack.slices:
        file, shape = source.file, (source.stored.frames, *shape_yx)
        if file not in files:
            try:
                dataset = dcmread(file)
                files[file] = dataset, decode(dataset, file)
            except InputRefused:
                raise
            except Exception as error:  # parsers and codecs raise anything; named below
                raise InputRefused(
                    f"{file}: cannot be read as an enhanced CT ({type(error).__name__}); "
                    "export it again",
                    "pixels_unreadable",
                ) from error
        dataset, stored = files[file]
        if stored.shape != shape:
            raise InputRefused(
                f"{file}: holds {stored.shape} pixels where {shape} belong; export it again",
                "pixels_unreadable",
            )
        values = stored[source.frame].astype(np.float64) * source.slope
        yield values + source.intercept, _padding(dataset, stored[source.frame])


def decode(dataset: Dataset, file: Path) -> NDArray[Any]:
    """Stored values ``[y, x]``, or ``[frame, y, x]``, by the first decoder that can.

    Raises:
        InputRefused: when none does; the message names the file and the compression.
    """
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.get("TransferSyntaxUID", None) or _guess_syntax(dataset)
    if not syntax.is_compressed:
        stored: NDArray[Any] = get_decoder(syntax).as_array(dataset, raw=True)[0]
        return stored
    reasons = []
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:  # a retired JPEG process; SimpleITK may still know it
        decoder = None
    for plugin in _RLE_PLUGINS if syntax == _RLE else _PLUGINS:
        if decoder is None or plugin not in decoder.available_plugins:
            continue
        try:
            stored = decoder.as_array(dataset, raw=True, decoding_plugin=plugin)[0]
            return stored
        except Exception as error:  # try the next codec; the last reason ends in the refusal
            reasons.append(f"{plugin}: {type(error).__name__}")
    try:
        return _decode_with_itk(dataset, file)
    except RuntimeError:
        reasons.append("SimpleITK: RuntimeError")
    raise InputRefused(
        f"{file}: pixels ({syntax.name}) cannot be decoded [{', '.join(reasons)}]; "
        "export it uncompressed",
        "pixels_unreadable",
    )


def _decode_with_itk(dataset: Dataset, file: Path) -> NDArray[Any]:
    """Stored values through GDCM inside SimpleITK, which has applied the rescale: undo it."""
    import SimpleITK as sitk

    with _codec_silenced():
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0].astype(np.float64)
    stored = (image - float(dataset.RescaleIntercept)) / float(dataset.RescaleSlope)
    kind = np.int16 if dataset.PixelRepresentation else np.uint16
    return np.asarray(np.rint(stored).astype(kind))


_STDERR = threading.Lock()
"""Held while descriptor 2 points elsewhere: a second thread would keep that as the original."""


@contextmanager
def _codec_silenced() -> Iterator[None]:
    """Close stderr to the C library's remarks (libjpeg prints several lines per 12-bit slice)."""
    with _STDERR:
        yield from _without_stderr()


def _without_stderr() -> Iterator[None]:
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


def _guess_syntax(dataset: Dataset) -> Any:
    """Transfer syntax of a data set without file meta information."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit = dataset.original_encoding[0]
    syntax = ExplicitVRLittleEndian if implicit is False else ImplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _fits_int16(values: NDArray[Any]) -> bool:
    if values.min() < -32768 or values.max() > 32767:
        return False
    return values.dtype.kind == "i" or bool(np.array_equal(values, np.rint(values)))


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where stored values are padding; the tag is compared as the pixels are stored."""
    value = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    low = _as_stored(value, stored.dtype)
    high = low if limit is None or limit == "" else _as_stored(limit, stored.dtype)
    low, high = min(low, high), max(low, high)
    padding = np.asarray((stored >= low) & (stored <= high))
    return padding if padding.any() else None


def _as_stored(value: Any, kind: np.dtype[Any]) -> int:
    """A padding value in the pixels' own type: writers often store -2000 as unsigned 63536."""
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    bits = 8 * kind.itemsize
    number %= 1 << bits
    if kind.kind == "i" and number >= 1 << (bits - 1):
        number -= 1 << bits
    return number
