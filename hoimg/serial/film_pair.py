"""Two films of one lesion made ready to be placed onto each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_working import spacing_of
from hoimg.serial.film_picture import Picture, small
from hoimg.settings import FilmSettings

Bools = NDArray[np.bool_]

FINE_MM = 0.6
"""Size of the small pixels."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two films made ready: the earlier one round the lesion, the later one whole.

    Attributes:
        earlier: In small.
        later: In small.
        window: What of the earlier one is used.
        pivot_yx_mm: The lesion's middle on the earlier film.
        scales: To start from, in rising order: narrow where both films state sizes in the patient.
        target_yx_mm: The lesion's middle on the later film, where it is known.
    """

    earlier: Picture
    later: Picture
    window: Bools
    pivot_yx_mm: tuple[float, float]
    scales: tuple[float, ...]
    target_yx_mm: tuple[float, float] | None = None


def make_pair(
    earlier: Radiograph,
    later: Radiograph,
    lesion_yx: Bools,
    settings: FilmSettings,
    later_lesion_yx: Bools | None = None,
) -> Pair:
    """Both films in small, lesions left out with a margin, and the window round the lesion.

    Exposure, distances, pixel size and processing may differ; polarity is equal by the reader
    (larger is more attenuating). The lesion is left out: it must not hide its own growth.

    Args:
        earlier: Film.
        later: Film of the same view.
        lesion_yx: The lesion (or the region round it) on the earlier film.
        settings: Thresholds.
        later_lesion_yx: The same on the later film, where it is known.

    Raises:
        ValueError: ``lesion_yx`` is empty.
    """
    if not lesion_yx.any():
        raise ValueError("no lesion to look around")
    before, after = spacing_of(earlier, settings), spacing_of(later, settings)
    margin = settings.registration_leave_out_mm
    first = small(earlier, before, _grown(lesion_yx, before, margin), FINE_MM)
    second = small(
        later,
        after,
        None if later_lesion_yx is None else _grown(later_lesion_yx, after, margin),
        FINE_MM,
    )
    pivot = _middle(lesion_yx, before)
    target = None if later_lesion_yx is None else _middle(later_lesion_yx, after)
    rows, columns = np.nonzero(lesion_yx)
    reach = 0.5 * float(np.hypot(np.ptp(rows) * before[0], np.ptp(columns) * before[1]))
    away = np.linalg.norm(first.places() - np.asarray(pivot), axis=-1)
    window = away <= reach + settings.registration_within_mm
    return Pair(first, second, window, pivot, _scales(earlier, later), target)


def _middle(mask_yx: Bools, spacing_yx_mm: tuple[float, float]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask_yx)
    return (
        (float(rows.mean()) + 0.5) * spacing_yx_mm[0],
        (float(columns.mean()) + 0.5) * spacing_yx_mm[1],
    )


def _grown(mask_yx: Bools, spacing_yx_mm: tuple[float, float], margin_mm: float) -> Bools:
    from scipy import ndimage

    rows, columns = (np.flatnonzero(mask_yx.any(axis=1 - k)) for k in (0, 1))
    if not len(rows):
        return mask_yx
    box = tuple(
        slice(max(int(n[0]) - round(margin_mm / s) - 1, 0), int(n[-1]) + round(margin_mm / s) + 2)
        for n, s in zip((rows, columns), spacing_yx_mm, strict=True)
    )
    out = np.zeros_like(mask_yx)
    out[box] = ndimage.distance_transform_edt(~mask_yx[box], sampling=spacing_yx_mm) <= margin_mm
    return out


def _scales(earlier: Radiograph, later: Radiograph) -> tuple[float, ...]:
    """Of a pixel's size on the later film to that on the earlier one, as far as it is not known."""
    sources = {earlier.spacing_source, later.spacing_source}
    if None in (earlier.spacing_yx_mm, later.spacing_yx_mm):
        return tuple(0.5 * 2 ** (k / 5) for k in range(11))
    if "detector_uncorrected" in sources:
        return (0.84, 0.92, 1.0, 1.09, 1.19)
    return (0.94, 1.0, 1.06)
