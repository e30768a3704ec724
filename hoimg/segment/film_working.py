"""The part of a film round a region on a grid of its own: square pixels, noise of 1 mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PIXEL_MM = 0.45
AROUND_MM = 10.0
BLUR_SIGMA_MM = 0.42
"""1 mm full width at half maximum: finer noise hides no outline."""
LEAST_BACKGROUND = 60
"""Pixels."""
LARGEST_MM2 = 100_000.0
"""A square of 316 mm: no lesion is larger, and time and memory of a region have a bound."""


@dataclass(frozen=True, eq=False)
class Working:
    """A smoothed, resampled part of a film.

    Attributes:
        values: Film units, ``[y, x]``.
        region: Where the lesion may be.
        valid: What was exposed.
        around: Background to learn from: valid, outside of the region, not flat.
        spacing_mm: Of the grid, both axes.
        rows: Film rows (fractional) of the grid's rows.
        columns: Film columns of its columns.
        film_ends: Whether the film ends at the top, bottom, left, right of the part.
    """

    values: Floats
    region: Bools
    valid: Bools
    around: Bools
    spacing_mm: float
    rows: Floats
    columns: Floats
    film_ends: tuple[bool, bool, bool, bool]

    @property
    def has_background(self) -> bool:
        """Whether enough is left around the region."""
        return int(self.around.sum()) >= LEAST_BACKGROUND


def spacing_of(film: Radiograph, settings: FilmSettings) -> tuple[float, float]:
    """Size of the pixels for smoothing, mm; assumed where the film states none."""
    assumed = settings.assumed_spacing_mm
    return film.spacing_yx_mm or (assumed, assumed)


def too_large(film: Radiograph, region_yx: Bools, settings: FilmSettings) -> bool:
    """Whether the box round a region is larger than :data:`LARGEST_MM2`."""
    sides = []
    for axis, size in enumerate(spacing_of(film, settings)):
        used = np.flatnonzero(region_yx.any(axis=1 - axis))
        sides.append((float(np.ptp(used)) + 1) * size if used.size else 0.0)
    return sides[0] * sides[1] > LARGEST_MM2


def work_on(film: Radiograph, region_yx: Bools, settings: FilmSettings) -> Working | None:
    """Cut out and resample.

    None when the region holds less than nine exposed grid pixels, or the film one line of them.
    """
    from scipy import ndimage

    valid = np.ones(region_yx.shape, bool) if film.valid is None else film.valid
    asked = region_yx & valid
    if not asked.any():
        return None
    pixel = spacing_of(film, settings)
    box, ends, places = [], [], []
    for axis, size in enumerate(pixel):
        used = np.flatnonzero(asked.any(axis=1 - axis))
        margin = round(AROUND_MM / size)
        low = max(int(used[0]) - margin, 0)
        high = min(int(used[-1]) + 1 + margin, asked.shape[axis])
        ends += [int(used[0]) - margin < 0, int(used[-1]) + 1 + margin > asked.shape[axis]]
        box.append(slice(low, high))
        count = max(int((high - 1 - low) * size / PIXEL_MM) + 1, 1)
        rest = (high - 1 - low) - (count - 1) * PIXEL_MM / size
        places.append(low + rest / 2 + np.arange(count) * PIXEL_MM / size)
    part = (box[0], box[1])
    pixels = film.pixels[part].astype(np.float64)
    if not valid[part].all():
        nearest = ndimage.distance_transform_edt(
            ~valid[part], return_distances=False, return_indices=True
        )
        pixels = pixels[tuple(nearest)]
    smooth = ndimage.gaussian_filter(pixels, [BLUR_SIGMA_MM / p for p in pixel], mode="nearest")
    at = np.meshgrid(places[0] - box[0].start, places[1] - box[1].start, indexing="ij")
    values = ndimage.map_coordinates(smooth, at, order=1, mode="nearest")
    whole = tuple(np.rint(a).astype(int) for a in at)
    region, exposed = asked[part][whole], valid[part][whole]
    if region.sum() < 9 or min(values.shape) < 2:
        return None
    # Painted margins and saturated air have no noise to learn from.
    flat = np.hypot(*np.gradient(values)) <= 1e-6 * max(float(np.ptp(values)), 1e-12)
    around = exposed & ~region & ~flat
    return Working(
        values, region, exposed, around, PIXEL_MM, places[0], places[1],
        (ends[0], ends[1], ends[2], ends[3]),
    )  # fmt: skip


def to_film(
    values: Floats, work: Working, shape: tuple[int, ...], smooth: bool = False
) -> NDArray[np.float64]:
    """Grid values on the film's pixels by linear interpolation, 0 away from the grid.

    With ``smooth`` the steps of the grid are rounded first (a blur of 0.6 pixels).
    """
    from scipy import ndimage

    if smooth:
        values = ndimage.gaussian_filter(values, 0.6, mode="nearest")
    film = np.zeros(shape)
    axes, box = [], []
    for places, size in zip((work.rows, work.columns), shape, strict=True):
        step = float(places[1] - places[0]) if len(places) > 1 else 1.0
        low, high = max(int(places[0]), 0), min(int(np.ceil(places[-1])) + 1, size)
        box.append(slice(low, high))
        axes.append((np.arange(low, high) - places[0]) / step)
    at = np.meshgrid(*axes, indexing="ij")
    film[box[0], box[1]] = ndimage.map_coordinates(values, at, order=1, mode="nearest")
    return film
