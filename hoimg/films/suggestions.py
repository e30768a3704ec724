"""Places on films that a reader may look at: never findings, unless the settings let them count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hoimg.film_regions import PlacedRegion
from hoimg.films.analysis import FilmAnalysis, with_regions
from hoimg.results import Finding, Suggestion
from hoimg.segment.film_suggest import FilmSuggestion
from hoimg.settings import Settings

SUGGESTED = "region_suggested"
"""Flag of a lesion in a region that nobody gave."""
UNLIKE = "sides_unlike"
COVERED = 0.5
"""A place is known already where regions take this much of it."""


def with_suggestions(film: FilmAnalysis, settings: Settings) -> FilmAnalysis:
    """The film with places where one side shows what the other has not.

    Only a frontal film of both sides (stated, or a pelvis without a side) that does not look
    inverted. Where a region was given already, nothing is suggested. With ``suggestions_count``
    the places are regions instead, and their lesions carry ``region_suggested``.

    Args:
        film: With its regions outlined.
        settings: All of them.
    """
    from hoimg.segment.film_suggest import suggest_on_film

    info = film.exam.film
    assert info is not None
    if info.plane != "frontal" or not info.both_sides or _in_doubt(film):
        return film
    said = suggest_on_film(film.film, settings.film)
    if said.reason == UNLIKE:
        told = Finding(
            code=UNLIKE,
            level="info",
            message="Its two sides do not match well enough to be compared: no place is suggested.",
        )
        return replace(film, findings=(*film.findings, told))
    return offered(film, said.found, settings)


def with_news(films: Sequence[FilmAnalysis], settings: Settings) -> list[FilmAnalysis]:
    """The films with places that the film of their view before, on an earlier day, has not.

    Args:
        films: In date order, with their regions outlined.
        settings: All of them.
    """
    from hoimg.films.series import same_view
    from hoimg.segment.film_new import new_on_film

    made: list[FilmAnalysis] = []
    for film in films:
        info, day = film.exam.film, film.exam.days_from_baseline
        assert info is not None
        before = [
            f
            for f in films
            if f.exam.days_from_baseline < day and same_view(f, film) and not _in_doubt(f)
        ]
        if before and info.plane is not None and not _in_doubt(film):
            said = new_on_film(film.film, before[-1].film, info.both_sides, settings.film)
            film = offered(film, said.found, settings, before[-1].exam.exam_id)
        made.append(film)
    return made


def _in_doubt(film: FilmAnalysis) -> bool:
    """Whether its pixels look inverted, or two exposures lie on it."""
    return any(f.code in ("polarity_doubtful", "two_exposures") for f in film.findings)


def offered(
    film: FilmAnalysis,
    places: Sequence[FilmSuggestion],
    settings: Settings,
    from_exam: str | None = None,
) -> FilmAnalysis:
    """The film with new places suggested, or as regions where the settings say so.

    Args:
        film: As analysed.
        places: The clearest first.
        settings: All of them.
        from_exam: The earlier film that has not got them; None: the other side has not.
    """
    new = [
        suggestion(film.exam.exam_id, p.region_yx, p.score, from_exam)
        for p in places
        if not _known(film, p.region_yx)
    ]
    if not settings.film.suggestions_count:
        return replace(film, suggestions=(*film.suggestions, *new))
    first = max((r.label for r in film.regions), default=0) + 1
    regions = [
        PlacedRegion(label, _inside(place, film), None, (SUGGESTED,))
        for label, place in enumerate(new, first)
    ]
    return with_regions(film, regions, settings) if regions else film


def _inside(place: Suggestion, film: FilmAnalysis) -> NDArray[np.bool_]:
    """The region that its words would give."""
    region = np.zeros(film.film.pixels.shape, bool)
    x0, y0, x1, y1 = place.box
    region[y0:y1, x0:x1] = True
    return region


def suggestion(
    exam_id: str, region_yx: NDArray[np.bool_], score: float, from_exam: str | None = None
) -> Suggestion:
    """A place that stands out, as a result.

    Args:
        exam_id: The film.
        region_yx: Where it is, on the film's pixels.
        score: By how much it stands out.
        from_exam: Against which earlier film; None: against the other side.
    """
    rows, columns = (np.flatnonzero(region_yx.any(axis=1 - k)) for k in (0, 1))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Suggestion(
        box=box,
        source="other_side" if from_exam is None else "earlier_film",
        from_exam=from_exam,
        score=score,
        roi=f"{exam_id}:box:{','.join(str(v) for v in box)}",
    )


def _known(film: FilmAnalysis, region_yx: NDArray[np.bool_]) -> bool:
    """Whether regions, or places suggested before, take most of it."""
    taken = np.zeros(region_yx.shape, bool)
    for region in film.regions:
        taken |= region.region_yx
    for place in film.suggestions:
        x0, y0, x1, y1 = place.box
        taken[y0:y1, x0:x1] = True
    return float(taken[region_yx].mean()) >= COVERED
