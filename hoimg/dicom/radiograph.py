"""A film's pixels: the values that are measured, and the picture that is looked at.

Measured are *modality* values (stored values through the rescale or modality LUT), mirrored where
the header says that larger ones attenuate less. Window, VOI LUT and presentation LUT are choices of
how to look: they clip and bend, so they make the picture only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.film import FilmInfo
from hoimg.dicom.film_values import DamagedLut, modality_of, presentation_of, voi_of
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.image import Radiograph

if TYPE_CHECKING:
    from pydicom import Dataset


def load_radiograph(film: FilmInfo) -> Radiograph:
    """Read a film for measuring.

    Returns:
        Modality values ``[y, x]``, float32, larger = more attenuating. A mirrored film is mirrored
        about the middle of the values that its bits can hold, not of those that it has, so that
        differences are kept and two films of one detector stay comparable. ``valid`` is false for
        padding, and outside of a rectangular collimator or shutter that the header states.

    Raises:
        InputRefused: when the film has an error, or its pixels cannot be read; names the file.
    """
    with quiet_pydicom():
        dataset, stored = _stored(film)
        values = _modality(film, dataset, stored)
        if film.mirrored:
            low, high = modality_of(dataset).limits(film.bits, film.stored.signed)
            values = np.float32(low + high) - values
    return Radiograph(values, film.spacing_yx_mm, film.spacing_source, _valid(film, stored))


def display_8bit(film: FilmInfo) -> NDArray[np.uint8]:
    """The picture ``[y, x]`` as the file wants it shown: window or VOI LUT, then presentation LUT.

    A film without a (valid) window is stretched over the values that it has. Padding is black. For
    the eye only: values are clipped and bent.

    Raises:
        InputRefused: as :func:`load_radiograph`.
    """
    with quiet_pydicom():
        dataset, stored = _stored(film)
        values = _modality(film, dataset, stored)
        valid = _valid(film, stored)
        inside = values if valid is None else values[valid]
        limits = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 1.0)
        shown = presentation_of(dataset).apply(voi_of(dataset).apply(values, limits))
    if valid is not None:
        shown = np.where(valid, shown, np.float32(0))
    return np.asarray(np.rint(shown * 255), dtype=np.uint8)


def _stored(film: FilmInfo) -> tuple[Dataset, NDArray[Any]]:
    """The data set, and the stored values of the film's frame."""
    from pydicom import dcmread

    from hoimg.dicom.pixels import decode

    if not film.usable:
        errors = [f for f in film.findings if f.level == "error"]
        said = " ".join(f.message for f in errors)
        raise InputRefused(f"{film.file}: {said} {errors[0].fix}", errors[0].code)
    try:
        dataset = dcmread(film.file, force=True)
        if film.high_bit == film.bits - 1:
            stored = decode(dataset, film.file)
        else:
            stored = _shifted(film, dataset)
    except InputRefused:
        raise
    except Exception as error:  # parsers and codecs raise anything on damaged data; named below
        raise _unreadable(film, type(error).__name__) from error
    shape = (film.rows, film.columns)
    if film.stored.frames > 1 and stored.shape == (film.stored.frames, *shape):
        stored = stored[film.frame]
    if stored.shape != shape:
        raise _unreadable(film, f"{stored.shape} pixels where {shape} belong")
    return dataset, stored


def _shifted(film: FilmInfo, dataset: Dataset) -> NDArray[Any]:
    """Values that do not lie in the lowest bits (HighBit above BitsStored - 1, in old writers)."""
    from pydicom.pixels.decoders.base import get_decoder

    lowest = film.high_bit + 1 - film.bits
    syntax = dataset.file_meta.TransferSyntaxUID
    if lowest < 0 or film.high_bit >= film.stored.bits_allocated or syntax.is_compressed:
        raise _unreadable(film, "HighBit contradicts BitsStored")
    options: dict[str, Any] = {"raw": True, "correct_unused_bits": False}
    whole = get_decoder(syntax).as_array(dataset, **options)[0]
    unsigned = whole.view(f"u{whole.dtype.itemsize}") >> lowest
    kept = (unsigned & (2**film.bits - 1)).astype(np.int32)
    if film.stored.signed:
        kept = np.where(kept >= 2 ** (film.bits - 1), kept - 2**film.bits, kept)
    return np.asarray(kept)


def _modality(film: FilmInfo, dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.float32]:
    try:
        return modality_of(dataset).apply(stored)
    except DamagedLut as error:
        raise _unreadable(film, f"damaged look-up table: {error}") from error


def _unreadable(film: FilmInfo, why: str) -> InputRefused:
    return InputRefused(
        f"{film.file}: cannot be read as a radiograph ({why}); copy or export it again",
        "pixels_unreadable",
    )


def _valid(film: FilmInfo, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where the film was exposed, as far as the header says; None for everywhere."""
    valid = np.ones(stored.shape, dtype=bool)
    if film.stored.padding is not None:
        low, high = film.stored.padding
        valid &= ~((stored >= low) & (stored <= high))
    if film.field_yx is not None:
        top, bottom, left, right = film.field_yx
        inside = np.zeros_like(valid)
        inside[top:bottom, left:right] = True
        valid &= inside
    return None if valid.all() else valid
