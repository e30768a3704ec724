"""An outline that a reader drew on a film, with what its measures rest on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hoimg.film_shapes import FilmOutline
from hoimg.image import Radiograph
from hoimg.segment.film_background import fill_smoothly, local_noise
from hoimg.segment.film_outline import NO_BACKGROUND, OUTSIDE_FIELD, PAST_BLUR_MM, TOO_LARGE
from hoimg.segment.film_working import to_film, too_large, work_on
from hoimg.settings.film import FilmSettings


def outline_given(
    film: Radiograph, inside_yx: NDArray[np.bool_], settings: FilmSettings
) -> FilmOutline:
    """Take an outline as it was drawn.

    Background, noise and contrast are read as for one that was found; no contrast is too low, for a
    reader decided. How well the edge fits is not judged: the interval is that of perfect edges.

    Args:
        film: Larger is more attenuating.
        inside_yx: On the film's pixels.
        settings: Thresholds.

    Returns:
        The outline; with a reason and without ``inside_yx`` where nothing of it was exposed,
        nothing is left around it to compare with, or it is larger than any lesion.

    Raises:
        ValueError: when it has another shape than the film.
    """
    if inside_yx.shape != film.pixels.shape:
        raise ValueError(f"outline {inside_yx.shape} does not fit film {film.pixels.shape}")
    if too_large(film, inside_yx, settings):
        return FilmOutline(inside_yx, None, None, None, TOO_LARGE)
    work = work_on(film, inside_yx, settings)
    if work is None:
        return FilmOutline(inside_yx, None, None, None, OUTSIDE_FIELD)
    if not work.has_background:
        return FilmOutline(inside_yx, None, None, None, NO_BACKGROUND)
    background = fill_smoothly(work.values, work.region, PAST_BLUR_MM / work.spacing_mm)
    noise = local_noise(work.values, work.region, work.valid, work.spacing_mm)
    signal = float((work.values - background)[work.region].mean())
    behind = to_film(background - work.values, work, film.pixels.shape)
    return FilmOutline(
        inside_yx,
        inside_yx,
        (film.pixels + np.where(inside_yx, behind, 0.0)).astype(np.float32),
        signal / noise if noise > 0 else math.inf,
        None,
        ("touches_fov",) if _at_the_end(film, inside_yx) else (),
    )


def _at_the_end(film: Radiograph, inside_yx: NDArray[np.bool_]) -> bool:
    """Whether it reaches the film's edge, or what was not exposed."""
    from scipy import ndimage

    valid = np.ones(inside_yx.shape, bool) if film.valid is None else film.valid
    grown = ndimage.binary_dilation(np.pad(inside_yx, 1))
    return bool((grown & ~np.pad(valid, 1)).any())
