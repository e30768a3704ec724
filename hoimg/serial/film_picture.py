"""Films made alike for comparing: small pixels, and grey levels of which only the order counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOCAL_MM = 6.0
"""Sigma of what counts as local: a cortex and what lies beside it."""
LEAST_SPREAD = 0.03
"""Added to the local spread, in ranks of 0..1: noise of flat parts is not blown up to edges."""
SLOPE_COST = 0.02
"""Added to the variance of places (1 without an edge): too few of them give no slope."""
ON_FILM = 0.5
"""Share of a pixel's neighbourhood that has to be usable."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A film in small.

    Attributes:
        values: ``[y, x]``, film units.
        usable: Exposed, and not in what was left out.
        step_yx_mm: Of its pixels. Pixel centre ``k`` lies at ``(k + 0.5) * step`` from the film's
            upper or left edge.
    """

    values: Floats
    usable: Bools
    step_yx_mm: tuple[float, float]

    def pixels_of(self, points_yx_mm: Floats) -> Floats:
        """Fractional pixels of places in mm from the upper left corner, ``(n, 2)``."""
        return np.asarray(points_yx_mm / np.asarray(self.step_yx_mm) - 0.5)

    def places(self) -> Floats:
        """Place of each pixel's centre, mm, ``(rows, columns, 2)``."""
        rows, columns = self.values.shape
        y = (np.arange(rows) + 0.5) * self.step_yx_mm[0]
        x = (np.arange(columns) + 0.5) * self.step_yx_mm[1]
        return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)


def small(
    film: Radiograph, spacing_yx_mm: tuple[float, float], leave_out_yx: Bools | None, step_mm: float
) -> Picture:
    """Means over whole pixels, as many as come nearest to ``step_mm``.

    Args:
        film: Larger is more attenuating.
        spacing_yx_mm: Size of its pixels; assumed where it states none.
        leave_out_yx: Not to be used, such as the lesion itself; None for nothing.
        step_mm: Wanted size.
    """
    used = np.ones(film.pixels.shape, bool) if film.valid is None else film.valid.copy()
    if leave_out_yx is not None:
        used &= ~leave_out_yx
    by = [max(round(step_mm / s), 1) for s in spacing_yx_mm]
    total = _summed(np.where(used, film.pixels, 0.0).astype(np.float64), by)
    count = _summed(used.astype(np.float64), by)
    usable = count >= 0.5 * by[0] * by[1]
    values = total / np.maximum(count, 1.0)
    step = (by[0] * spacing_yx_mm[0], by[1] * spacing_yx_mm[1])
    return Picture(values, usable, step)


def _summed(values: Floats, by: list[int]) -> Floats:
    """Sums over blocks; what is left over at the lower and right end is dropped."""
    rows, columns = (n // k for n, k in zip(values.shape, by, strict=True))
    whole = values[: rows * by[0], : columns * by[1]]
    return np.asarray(whole.reshape(rows, by[0], columns, by[1]).sum(axis=(1, 3)))


def evened(
    picture: Picture, window: Bools, blur_mm: float, scale: float = 1.0
) -> tuple[Floats, Bools]:
    """Local contrast whatever the film's curve: ranks, less their local trend, over their spread.

    Ranks are the same for every rising curve (detector signal, logarithm, a look-up table); the
    local trend and spread take away broad processing and exposure.

    Args:
        picture: A film.
        window: Whose pixels are ranked.
        blur_mm: Sigma of a blur first.
        scale: All lengths are this much longer: what is one length on two films differs.

    Returns:
        About -3..3, 0 where nothing is known; and where it is known.
    """
    from scipy import ndimage

    known = picture.usable & window
    ranks = ranked(picture, window)
    if not known.any():
        return ranks, known

    def mean(values: Floats, sigma_mm: float) -> tuple[Floats, Floats]:
        sigma = [sigma_mm * scale / s for s in picture.step_yx_mm]
        total = ndimage.gaussian_filter(np.where(known, values, 0.0), sigma, mode="constant")
        share = ndimage.gaussian_filter(known.astype(np.float64), sigma, mode="constant")
        return total / np.maximum(share, 1e-6), share

    smooth, share = mean(ranks, blur_mm)
    smooth = np.where(known, smooth, 0.0)
    middle = _trend(smooth, known, [LOCAL_MM * scale / s for s in picture.step_yx_mm])
    spread = np.sqrt(np.maximum(mean((smooth - middle) ** 2, LOCAL_MM)[0], 0.0))
    sure = known & (share > ON_FILM)
    return np.where(sure, (smooth - middle) / (spread + LEAST_SPREAD), 0.0), sure


def _trend(values: Floats, known: Bools, sigma: list[float]) -> Floats:
    """At each pixel the local straight trend: a plane fitted with Gaussian weights where known.

    A local mean would leave a mark all along the edge of what is known, round a lesion left out
    also: two films would be alike by the lesion's place alone.
    """
    from scipy import ndimage

    def blurred(field: Floats) -> Floats:
        return np.asarray(ndimage.gaussian_filter(field, sigma, mode="constant"))

    y, x = (np.arange(n) / s for n, s in zip(values.shape, sigma, strict=True))
    y = y[:, None]
    mask = known.astype(np.float64)
    one, by_y, by_x = blurred(mask), blurred(mask * y), blurred(mask * x)
    yy = blurred(mask * y * y) - 2 * y * by_y + y * y * one + SLOPE_COST * one
    xx = blurred(mask * x * x) - 2 * x * by_x + x * x * one + SLOPE_COST * one
    yx = blurred(mask * y * x) - y * by_x - x * by_y + y * x * one
    by_y, by_x = by_y - y * one, by_x - x * one
    seen = blurred(values * mask)
    seen_y, seen_x = blurred(values * mask * y) - y * seen, blurred(values * mask * x) - x * seen
    size = np.maximum(yy * xx - yx * yx, 1e-12)
    slope_y, slope_x = (xx * by_y - yx * by_x) / size, (yy * by_x - yx * by_y) / size
    level = np.maximum(one - slope_y * by_y - slope_x * by_x, 1e-6)
    return np.asarray((seen - slope_y * seen_y - slope_x * seen_x) / level)


def ranked(picture: Picture, window: Bools) -> Floats:
    """Ranks of a film's pixels within a window, 0 (least attenuating) to 1; 0 where not usable."""
    known = picture.usable & window
    ranks = np.zeros(picture.values.shape)
    if known.any():
        order = np.sort(picture.values[known])
        low = np.searchsorted(order, picture.values[known], "left")
        high = np.searchsorted(order, picture.values[known], "right")
        # Equal values, such as burnt-out air, are one.
        ranks[known] = (low + high) / (2 * len(order))
    return ranks
