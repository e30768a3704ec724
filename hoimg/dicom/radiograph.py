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
        padding.

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
    """The header, and the stored values of the film's frame."""
    from hoimg.dicom.film_header import film_dataset
    from hoimg.dicom.pixels import read_stored

    if not film.usable:
        errors = [f for f in film.findings if f.level == "error"]
        said = " ".join(f.message for f in errors)
        raise InputRefused(f"{film.file}: {said} {errors[0].fix}", errors[0].code)
    try:
        dataset = film_dataset(film.file)
    except Exception as error:  # parsers raise anything on damaged data; named below
        raise _unreadable(film, type(error).__name__) from error
    return dataset, read_stored(film.file, film.stored, film.frame)


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
    """Where the values are no padding; None for everywhere.

    Collimator edges in the header are left aside: a real CR (RG1) states them from the film's
    centre, and taken by the standard's letter they would cut away all but a corner.
    """
    if film.stored.padding is None:
        return None
    low, high = film.stored.padding
    valid = np.asarray((stored < low) | (stored > high))
    return None if valid.all() else valid
