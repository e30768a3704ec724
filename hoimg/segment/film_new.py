"""Where a lesion may be new on a film: what an earlier film of the same view has not.

As for the other side (:mod:`hoimg.segment.film_suggest`), with the earlier film laid on the later
one. A lesion that was there and has grown is not new.
"""

from __future__ import annotations

from hoimg.image import Radiograph
from hoimg.segment.film_even import even_film, made_even
from hoimg.segment.film_mirror import laid_on
from hoimg.segment.film_suggest import EVEN_MM, STEP_MM, FilmSuggestions, set_against
from hoimg.settings.film import FilmSettings


def new_on_film(
    film: Radiograph, earlier: Radiograph, both_sides: bool, settings: FilmSettings
) -> FilmSuggestions:
    """Suggest lesions that an earlier film of the same view does not show.

    Args:
        film: The later one.
        earlier: Of the same part, view and side.
        both_sides: Whether both sides of the body are on them, for films without spacing.
        settings: How alike they have to be, and as for the other side.

    Returns:
        Suggestions; none, with the reason ``films_unlike``, where the films cannot be compared: the
        patient was turned, or something large is on one of them only.
    """
    small, before = (even_film(f, STEP_MM, both_sides) for f in (film, earlier))
    even, old = (made_even(s.ranks, s.body, EVEN_MM / s.step_mm) for s in (small, before))
    laid = laid_on(even, small.body, old, before.body, small.step_mm)
    if laid is None or laid.agreement < settings.suggest_min_agreement_over_time:
        return FilmSuggestions((), None if laid is None else laid.agreement, "films_unlike")
    return set_against(film, small, even, laid, settings)
