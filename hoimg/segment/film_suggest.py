"""Where a lesion may be on a film of both sides: what one side has and the other has not.

Suggestions are for a reader to confirm, never findings. The film is laid on its own mirror image;
what edges enclose that the other side has not, is offered, the clearest first
(:mod:`hoimg.segment.film_enclosed`). Metal, writing, and the edges of body and film are left out.
What is alike on both sides is not seen at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_enclosed import enclosed
from hoimg.segment.film_even import EvenFilm, disc, even_film, made_even
from hoimg.segment.film_mirror import LaidFilm, mirrored_film
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

STEP_MM = 1.35
EVEN_MM = 25.0
"""Neighbourhood against which both sides are made even: broader than a lesion."""
EDGE_MM = 8.0
"""Nearer to the edge of the body, of the film or of the open field nothing is suggested."""
METAL_RANK, METAL_STEP = 0.995, 0.25


@dataclass(frozen=True, eq=False)
class FilmSuggestion:
    """A place that a reader may look at.

    Attributes:
        region_yx: Where it stands out, on the film's pixels, with a margin: a region for
            :func:`hoimg.segment.film_outline.outline_in_region` once it is confirmed.
        center_yx: Its middle, film pixels.
        score: How steep and how closed the edge is that runs round it and that the other side, or
            the other film, has not, less how uneven its surroundings are: 0 to 1.
    """

    region_yx: Bools
    center_yx: tuple[float, float]
    score: float


@dataclass(frozen=True, eq=False)
class FilmSuggestions:
    """What is suggested on a film.

    Attributes:
        found: The clearest first.
        agreement: Correlation of the film with its mirror image where both have body, -1 to 1.
        reason: ``sides_unlike`` (``films_unlike``) where they do not match well enough to be
            compared; None.
    """

    found: tuple[FilmSuggestion, ...]
    agreement: float | None
    reason: str | None


def suggest_on_film(film: Radiograph, settings: FilmSettings) -> FilmSuggestions:
    """Suggest lesions on a frontal film of both sides (pelvis, both knees).

    Args:
        film: With both sides on it.
        settings: Least score, number and size of suggestions.

    Returns:
        Suggestions; none with a reason where the sides cannot be compared.
    """
    small = even_film(film, STEP_MM, True)
    even = made_even(small.ranks, small.body, EVEN_MM / small.step_mm)
    other = mirrored_film(even, small.body, small.step_mm)
    if other is None or other.agreement < settings.suggest_min_agreement:
        return FilmSuggestions((), None if other is None else other.agreement, "sides_unlike")
    return set_against(film, small, even, other, settings)


def set_against(
    film: Radiograph, small: EvenFilm, even: Floats, other: LaidFilm, settings: FilmSettings
) -> FilmSuggestions:
    """Where a film shows what another picture of the same part has not.

    Args:
        film: The film.
        small: The same in small.
        even: Its values, made even.
        other: The other side or another film, laid on it and alike enough.
        settings: Least score, number and size of suggestions.
    """
    usable = usable_part(small, film) & other.body
    places = enclosed(
        even,
        other.values,
        (small.body, other.body),
        usable,
        small.step_mm,
        settings.suggest_tolerance_mm,
    )
    least = settings.suggest_min_area_mm2 / small.step_mm**2
    found = [
        placed_on_film(film, small, place.region, place.score)
        for place in places
        if place.region.sum() >= least and place.score >= settings.suggest_min_score
    ]
    return FilmSuggestions(tuple(found[: settings.suggest_most]), other.agreement, None)


def usable_part(small: EvenFilm, film: Radiograph) -> Bools:
    """Body, away from its edges and from metal and writing.

    Args:
        small: The film in small.
        film: The film.
    """
    from scipy import ndimage

    margin = disc(EDGE_MM / small.step_mm)
    usable = ndimage.binary_erosion(small.body, margin)
    # Metal and writing: denser than all but a few pixels, and by a step.
    values = film.pixels if film.valid is None else film.pixels[film.valid]
    low, dense, top = (float(v) for v in np.percentile(values, (1, 100 * METAL_RANK, 99.99)))
    if top - dense > METAL_STEP * (dense - low):
        bright = small.of_film(film.pixels > 0.5 * (top + dense))
        usable &= ~ndimage.binary_dilation(bright, margin)
    return np.asarray(usable)


def placed_on_film(
    film: Radiograph, small: EvenFilm, region: Bools, score: float
) -> FilmSuggestion:
    """A place of the small film, with a margin, on the film's pixels.

    Args:
        film: The film.
        small: The same in small.
        region: What stands out, on its pixels.
        score: By how much.
    """
    from scipy import ndimage

    rows, columns = film.pixels.shape
    wide = ndimage.binary_dilation(region, disc(4.0 / small.step_mm))
    center = small.to_film_yx(np.asarray(ndimage.center_of_mass(region)))
    return FilmSuggestion(
        small.to_film(np.asarray(wide), (rows, columns)),
        (float(center[0]), float(center[1])),
        score,
    )
