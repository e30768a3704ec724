"""How a lesion's projected area changed from one film of a patient to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.film_regions import PlacedRegion
from hoimg.films.analysis import FilmAnalysis
from hoimg.results import Change, RegistrationSummary
from hoimg.serial.change import LONG_INTERVAL
from hoimg.settings import FilmSettings

if TYPE_CHECKING:
    from hoimg.serial.film_projection import ProjectionCheck
    from hoimg.serial.film_register import FilmPlacement
    from hoimg.serial.film_similarity import Similarity
    from hoimg.serial.film_together import Together

Bools = NDArray[np.bool_]
Seen = tuple[FilmAnalysis, PlacedRegion]
"""A film, and the region of one lesion on it."""


@dataclass(frozen=True)
class FilmOnFilm:
    """How a film was placed onto another by one lesion, and whether the projection is the same.

    Attributes:
        placement: By the bone round the lesion.
        check: Of the projection; None where the placement is not trusted.
        shown: How far the films differ where only one outline reaches: gain and loss.
        together: The lesion's outlines as both films have them; None where each has its own.
    """

    placement: FilmPlacement
    check: ProjectionCheck | None
    shown: tuple[float | None, float | None] = (None, None)
    together: Together | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why numbers may not be compared, codes; empty where they may."""
        found = (self.placement.reason, None if self.check is None else self.check.reason)
        return tuple(r for r in found if r is not None)


def same_view(one: FilmAnalysis, other: FilmAnalysis) -> bool:
    """Whether two films may show the same, by what their headers say."""
    first, second = one.exam.film, other.exam.film
    assert first is not None
    assert second is not None
    return first.plane == second.plane and not {first.side, second.side}.issuperset("RL")


def outline_of(film: FilmAnalysis, region: PlacedRegion) -> Bools:
    """The lesion's outline on its film, ``[y, x]``; the region where none was found."""
    inside = film.labels_yx == region.label
    return inside if inside.any() else region.region_yx


def film_on_film(
    one: FilmAnalysis,
    region: PlacedRegion,
    other: FilmAnalysis,
    its: PlacedRegion | None,
    settings: FilmSettings,
) -> FilmOnFilm:
    """Place a film onto another by what surrounds a lesion, and compare the projections.

    Args:
        one: A film with the lesion.
        region: Of the lesion on it.
        other: The film to be placed.
        its: Of the lesion on that one; None where it is not known there.
        settings: Thresholds.
    """
    from hoimg.segment.film_working import spacing_of
    from hoimg.serial.film_images import shown_in_films
    from hoimg.serial.film_pair import make_pair
    from hoimg.serial.film_projection import check_projection
    from hoimg.serial.film_register import register_films
    from hoimg.serial.film_similarity import carried

    mine = outline_of(one, region)
    theirs = None if its is None else outline_of(other, its)
    pair = make_pair(one.film, other.film, mine, settings, theirs)
    placement = register_films(pair, settings)
    similarity = placement.similarity
    if similarity is None or not placement.accepted:
        return FilmOnFilm(placement, None)
    together = outlines = None
    shown: tuple[float | None, float | None] = (None, None)
    if its is not None and theirs is not None:
        back = carried(theirs, similarity.inverse, other.film, one.film, settings)
        outlines = (mine, back)
        together = _together((one, region), (other, its), outlines, similarity, settings)
        if together is not None:
            outlines = (together.earlier_yx, together.later_yx)
        shown = shown_in_films(one.film, other.film, outlines, similarity, settings)
    spacing = spacing_of(one.film, settings)
    check = check_projection(
        pair, placement, settings, outlines, spacing, together=together is not None
    )
    return FilmOnFilm(placement, check, shown, together)


def _together(
    earlier: Seen,
    later: Seen,
    outlines: tuple[Bools, Bools],
    similarity: Similarity,
    settings: FilmSettings,
) -> Together | None:
    """The lesion as both films have it; None where a reader drew it on either of them."""
    from hoimg.serial.film_together import outline_together

    seen = (earlier, later)
    if any(film.by_reader(region.label) for film, region in seen):
        return None
    films, regions = (earlier[0].film, later[0].film), (earlier[1].region_yx, later[1].region_yx)
    return outline_together(films, regions, outlines, similarity, settings)


def changes_on_films(
    seen: Sequence[Seen], settings: FilmSettings, tracking_uid: str | None = None
) -> tuple[list[Change], list[RegistrationSummary]]:
    """The changes of one lesion's area, and how the films were placed for them.

    Each film on which it was measured is compared with the one of its view before it on an earlier
    day, and with the first (flag ``long_interval``).

    Args:
        seen: Of one lesion, one region per film.
        settings: Thresholds.
        tracking_uid: Of the lesion, for the placements: another lesion places the films anew.
    """
    changes: list[Change] = []
    summaries: list[RegistrationSummary] = []
    for earlier, later, flags in _steps(seen):
        (one, region), (other, its) = earlier, later
        made = film_on_film(one, region, other, its, settings)
        changes.append(_change(earlier, later, made, settings, flags))
        summaries.append(
            RegistrationSummary(
                from_exam=one.exam.exam_id,
                to_exam=other.exam.exam_id,
                accepted=not made.reasons,
                residual_mm=None if made.check is None else made.check.moved_mm,
                reason=next(iter(made.reasons), None),
                tracking_uid=tracking_uid,
            )
        )
    return changes, summaries


def _steps(seen: Sequence[Seen]) -> list[tuple[Seen, Seen, tuple[str, ...]]]:
    """What is compared: earlier film, later film, flags."""
    measured = [s for s in seen if s[0].observations[s[1].label].status == "measured"]
    measured.sort(key=lambda s: s[0].exam.days_from_baseline)
    steps: list[tuple[Seen, Seen, tuple[str, ...]]] = []
    for number, later in enumerate(measured):
        day = later[0].exam.days_from_baseline
        before = [
            s
            for s in measured[:number]
            if same_view(s[0], later[0]) and s[0].exam.days_from_baseline < day
        ]
        if before:
            steps.append((before[-1], later, ()))
        if len(before) > 1:
            steps.append((before[0], later, (LONG_INTERVAL,)))
    return steps


def _change(
    earlier: Seen,
    later: Seen,
    made: FilmOnFilm,
    settings: FilmSettings,
    flags: Sequence[str],
) -> Change:
    from hoimg.segment.film_working import spacing_of
    from hoimg.serial.film_change import areas_together, compare_on_films

    (one, region), (other, its) = earlier, later
    return compare_on_films(
        one.observations[region.label],
        other.observations[its.label],
        other.exam.days_from_baseline - one.exam.days_from_baseline,
        settings,
        area_scale=_area_scale(made, one, other, settings),
        together=None
        if made.together is None
        else areas_together(made.together, spacing_of(one.film, settings), settings),
        shown=made.shown,
        reasons=made.reasons,
        flags=tuple(flags),
    )


def _area_scale(
    made: FilmOnFilm, earlier: FilmAnalysis, later: FilmAnalysis, settings: FilmSettings
) -> float | None:
    """Pixels of the later film for one of the earlier; None without a placement to trust."""
    from hoimg.segment.film_working import spacing_of

    if not made.placement.accepted or made.placement.similarity is None:
        return None
    before, after = spacing_of(earlier.film, settings), spacing_of(later.film, settings)
    return made.placement.similarity.scale**2 * (before[0] * before[1]) / (after[0] * after[1])
