"""Whether a change between two outlines of a lesion is in the films too, or in the outlines alone.

A lesion that grew adds its shadow where only the later outline reaches; an outline drawn along
another edge adds nothing. The films are set side by side there, whatever their curves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_working import spacing_of
from hoimg.serial.film_pair import FINE_MM
from hoimg.serial.film_picture import small
from hoimg.serial.film_similarity import Similarity
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BLUR_MM = 1.0
STEP_MM = 0.5, 3.0
"""Distances from an outline, to both sides, between which the lesion's own contrast is read."""
AROUND_MM = 1.5, 10.0
"""Distances from both outlines of the surroundings by which grey levels are set equal."""
INSIDE_MM = 1.0
LEAST_PIXELS = 30
CURVE = 2
"""Degree of the polynomial from one film's grey levels to the other's."""


def shown_in_films(
    earlier: Radiograph,
    later: Radiograph,
    outlines: tuple[Bools, Bools],
    similarity: Similarity,
    settings: FilmSettings,
) -> tuple[float | None, float | None]:
    """How much of the lesion's contrast was gained, and lost, where only one outline reaches.

    The later film is laid on the earlier one; its grey levels are told from the earlier one's by a
    polynomial fitted round the lesion and where both outlines have it. What is left is divided by
    the mean step across the two outlines.

    Args:
        earlier: Film.
        later: Film.
        outlines: On the earlier and on the later film, both on the earlier film's pixels.
        similarity: From the earlier film to the later one.
        settings: The spacing that is assumed where a film has none.

    Returns:
        Gain where only the later outline reaches, loss where only the earlier one does: about 1
        for growth and shrinking, 0 where the films are alike. None where there is no such place,
        or nothing to compare by.
    """
    from scipy import ndimage

    spacing = spacing_of(earlier, settings)
    film, other = (
        small(f, s, None, FINE_MM)
        for f, s in ((earlier, spacing), (later, spacing_of(later, settings)))
    )
    step = film.step_yx_mm
    sigma = [BLUR_MM / s for s in step]
    at = np.moveaxis(other.pixels_of(similarity.forward(film.places())), -1, 0)
    there = ndimage.map_coordinates(other.values, at, order=1, mode="nearest")
    known = ndimage.map_coordinates(other.usable.astype(np.float64), at, order=1) > 0.9
    before, after = (ndimage.gaussian_filter(v, sigma) for v in (film.values, there))
    one, two = (
        small(
            replace(earlier, pixels=m.astype(np.float32), valid=None), spacing, None, FINE_MM
        ).values
        > 0.5
        for m in outlines
    )
    known &= film.usable
    away = ndimage.distance_transform_edt(~(one | two), sampling=step)
    deep = ndimage.distance_transform_edt(one & two, sampling=step)
    same = (away > AROUND_MM[0]) & (away < AROUND_MM[1]) | (deep > INSIDE_MM)
    same &= known
    if same.sum() < LEAST_PIXELS or np.ptp(before[same]) == 0:
        return None, None
    curve = np.polynomial.Polynomial.fit(before[same], after[same], CURVE)
    expected = curve(before)
    contrast = 0.5 * (
        step_across(one & known, expected, step) + step_across(two & known, after, step)
    )
    if not contrast > 0:
        return None, None
    more, less = two & ~one & known, one & ~two & known
    gained = float((after - expected)[more].mean()) / contrast if more.any() else None
    lost = float((expected - after)[less].mean()) / contrast if less.any() else None
    return gained, lost


def step_across(inside: Bools, values: Floats, step_yx_mm: tuple[float, float]) -> float:
    """A lesion's contrast: mean just inside less mean just outside; NaN with nothing on one side.

    Args:
        inside: The lesion, bool ``[y, x]``.
        values: Of the film.
        step_yx_mm: Size of the pixels.
    """
    from scipy import ndimage

    means = []
    for mask in (inside, ~inside):
        deep = ndimage.distance_transform_edt(mask, sampling=step_yx_mm)
        near = (deep > STEP_MM[0]) & (deep < STEP_MM[1])
        means.append(float(values[near].mean()) if near.any() else float("nan"))
    return means[0] - means[1]
