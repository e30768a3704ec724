"""A film made small and even, in which what is looked for has a known size.

Grey levels of a film are ordinal: a detector's law, a curve for the eye and a narrow window bend
them. So they are replaced by their rank, and then made even: less the local mean, divided by the
local spread. What is found in that depends on neither curve nor exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

ONE_SIDE_MM, BOTH_SIDES_MM = 300.0, 430.0
"""Longer side taken for a film without spacing: usual cassettes are 24 x 30 and 35 x 43 cm."""

AIR_PART = 0.2
"""Of the way from a film's lowest values to its dense half: less is air, or skin beside it."""


@dataclass(frozen=True, eq=False)
class EvenFilm:
    """A film on a coarse grid of square pixels.

    Attributes:
        ranks: float32 ``[y, x]``, 0 to 1: the share of the film's valid pixels that attenuate less.
        body: Where the patient is: neither air, nor what was not exposed.
        step_mm: Size of its pixels; on a film without spacing a guess by the film's size.
        pixels_yx: Film pixels per working pixel.
    """

    ranks: Floats
    body: Bools
    step_mm: float
    pixels_yx: tuple[float, float]

    def to_film_yx(self, points_yx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places on this grid, on the film's pixels (centres are whole numbers on both)."""
        scale = np.asarray(self.pixels_yx)
        return np.asarray((np.asarray(points_yx) + 0.5) * scale - 0.5)

    def to_film(self, mask: Bools, shape_yx: tuple[int, int]) -> Bools:
        """A mask on this grid, on the film's pixels (nearest)."""
        sizes = zip(shape_yx, self.pixels_yx, mask.shape, strict=True)
        index = [
            np.clip(((np.arange(wide) + 0.5) / scale).astype(int), 0, narrow - 1)
            for wide, scale, narrow in sizes
        ]
        return np.asarray(mask[np.ix_(*index)])

    def of_film(self, mask: Bools) -> Bools:
        """A mask on the film's pixels, on this grid: where it takes any part of a pixel."""
        out = np.zeros(self.ranks.shape, bool)
        places = ((np.argwhere(mask) + 0.5) / self.pixels_yx).astype(int)
        y, x = np.minimum(places, np.array(out.shape) - 1).T
        out[y, x] = True
        return out


def even_film(film: Radiograph, step_mm: float, both_sides: bool) -> EvenFilm:
    """Bring a film to a coarse grid and replace values by ranks.

    Args:
        film: Any film.
        step_mm: Wanted size of pixels, mm of the film's own spacing; never finer than the film.
        both_sides: Whether both sides of the body are on it, for a film without spacing.
    """
    import SimpleITK as sitk
    from scipy import ndimage

    spacing = film.spacing_yx_mm
    if spacing is None:
        guess = (BOTH_SIDES_MM if both_sides else ONE_SIDE_MM) / max(film.pixels.shape)
        spacing = (guess, guess)
    step = max(step_mm, *spacing)
    shape = [max(round(n * s / step), 1) for n, s in zip(film.pixels.shape, spacing, strict=True)]
    scale = (film.pixels.shape[0] / shape[0], film.pixels.shape[1] / shape[1])
    smooth = ndimage.gaussian_filter(film.pixels, [0.5 * (s - 1) for s in scale])
    image = sitk.GetImageFromArray(smooth)
    target = sitk.Image([shape[1], shape[0]], sitk.sitkFloat32)
    target.SetSpacing((scale[1], scale[0]))
    target.SetOrigin((0.5 * (scale[1] - 1), 0.5 * (scale[0] - 1)))
    small = sitk.GetArrayFromImage(sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear))
    valid = np.ones(small.shape, bool)
    if film.valid is not None:
        part = ndimage.uniform_filter(film.valid.astype(np.float32), scale)
        rows, columns = (
            np.clip(np.rint((np.arange(n) + 0.5) * s - 0.5).astype(int), 0, m - 1)
            for n, s, m in zip(small.shape, scale, film.valid.shape, strict=True)
        )
        valid = part[np.ix_(rows, columns)] > 0.99
    known = np.sort(small[valid]) if valid.any() else np.sort(small.ravel())
    ranks = np.searchsorted(known, small).astype(np.float32) / np.float32(known.size)
    return EvenFilm(ranks, valid & _body(small, known), step, scale)


def _body(values: Floats, known: Floats) -> Bools:
    """What attenuates more than air and the thinnest skin do."""
    low = float(known[int(0.005 * (known.size - 1))])
    high = float(known[int(0.75 * (known.size - 1))])
    return np.asarray(values > low + AIR_PART * (high - low))


def made_even(values: Floats, body: Bools, sigma: float) -> Floats:
    """Values less the body's local mean, divided by its local spread; 0 outside of the body.

    Args:
        values: Ranks ``[y, x]``.
        body: What counts; skin beside air would else stand out like bone.
        sigma: Of the Gaussian neighbourhood, pixels.
    """
    away = values - mean_near(values, body, sigma)
    # Two ranks of a thousand: below that, an even field would be blown up to noise.
    even = away / np.sqrt(mean_near(away**2, body, sigma) + np.float32(0.002**2))
    return np.where(body, even, np.float32(0))


def mean_near(values: Floats, inside: Bools, sigma: float) -> Floats:
    """Gaussian mean of the pixels inside.

    Args:
        values: ``[y, x]``.
        inside: What counts.
        sigma: Pixels.
    """
    from scipy import ndimage

    share = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(inside, values, np.float32(0)), sigma)
    return np.asarray(total / np.maximum(share, np.float32(1e-3)))


def disc(radius: float) -> Bools:
    """A flat disc of a radius in pixels."""
    n = int(np.ceil(radius))
    y, x = np.ogrid[-n : n + 1, -n : n + 1]
    return np.asarray(np.hypot(y, x) <= radius)
