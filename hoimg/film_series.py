"""One patient's films of one view over time: which lesion is which, and how its area changed.

Ties and regions come from the reader first; where the reader gave a region on one date only, or no
label, the films are placed onto each other by the bone round the lesion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.film_analysis import FilmAnalysis, with_regions
from hoimg.film_regions import PlacedRegion
from hoimg.results import Change, RegistrationSummary
from hoimg.serial.change import LONG_INTERVAL
from hoimg.settings import FilmSettings, Settings

if TYPE_CHECKING:
    from hoimg.serial.film_projection import ProjectionCheck
    from hoimg.serial.film_register import FilmPlacement

Bools = NDArray[np.bool_]
Seen = list[tuple[FilmAnalysis, PlacedRegion]]

CARRIED = "region_carried"
SAME = 0.3
"""Share of the smaller of two outlines that lies in the other one, for them to be one lesion."""


@dataclass(frozen=True)
class Placed:
    """How a later film was placed by one lesion, and whether the projection is the same."""

    placement: FilmPlacement
    check: ProjectionCheck | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why numbers may not be compared."""
        found = (self.placement.reason, None if self.check is None else self.check.reason)
        return tuple(r for r in found if r is not None)


def key_of(film: FilmAnalysis, region: PlacedRegion) -> str:
    """A lesion's name that later films do not change: what ties it, else its place of origin."""
    if region.ties is not None:
        return region.ties
    info = film.exam.film
    assert info is not None
    return f"film:{info.sop_uid or film.exam.exam_id}|{info.frame}|{region.label}"


def tied_and_carried(films: Sequence[FilmAnalysis], settings: Settings) -> list[FilmAnalysis]:
    """Tie lesions that the reader left untied, and look where a region was given elsewhere.

    Each film is compared with the one of its view before it. Two regions of which the reader named
    at most one are one lesion when one's outline, carried over, overlaps the other's. A region
    that has no counterpart on the other film is carried there and outlined
    (``region_carried``), unless the films could not be placed, the projection changed, or a
    lesion that the reader calls by another name lies there.

    Args:
        films: In date order.
        settings: All of them.

    Returns:
        The films in the same order, with more ties and regions.
    """
    now = list(films)
    for a, b in [*_steps(now)]:
        for region in _without_counterpart(now[a], now[b]):
            _tie_or_carry(now, a, b, region, settings)
    for a, b in reversed([*_steps(now)]):
        for region in _without_counterpart(now[b], now[a]):
            _tie_or_carry(now, b, a, region, settings)
    return now


def changes_on_films(
    seen: Seen, settings: FilmSettings
) -> tuple[list[Change], list[RegistrationSummary]]:
    """The changes of one lesion's area, and how the films were placed for them.

    Each film on which it was measured is compared with the one of its view before it, and with
    the first (flag ``long_interval``).

    Args:
        seen: Of one lesion, one region per film.
        settings: Thresholds.
    """
    from hoimg.serial.film_change import compare_on_films

    measured = [s for s in seen if s[0].observations[s[1].label].status == "measured"]
    measured.sort(key=lambda s: s[0].exam.days_from_baseline)
    changes: list[Change] = []
    summaries: list[RegistrationSummary] = []
    for number, (film, region) in enumerate(measured):
        day = film.exam.days_from_baseline
        before = [
            s
            for s in measured[:number]
            if same_view(s[0], film) and s[0].exam.days_from_baseline < day
        ]
        for other, its in dict.fromkeys((*before[-1:], *before[:1])):
            made = _placed(other, its, film, region, settings)
            changes.append(
                compare_on_films(
                    other.observations[its.label],
                    film.observations[region.label],
                    day - other.exam.days_from_baseline,
                    settings,
                    area_scale=_area_scale(made, other, film, settings),
                    reasons=made.reasons,
                    flags=(LONG_INTERVAL,) if other is not before[-1][0] else (),
                )
            )
            summaries.append(
                RegistrationSummary(
                    from_exam=other.exam.exam_id,
                    to_exam=film.exam.exam_id,
                    accepted=not made.reasons,
                    residual_mm=None if made.check is None else made.check.moved_mm,
                    reason=next(iter(made.reasons), None),
                )
            )
    return changes, summaries


def same_view(one: FilmAnalysis, other: FilmAnalysis) -> bool:
    """Whether two films may show the same, by what their headers say."""
    first, second = one.exam.film, other.exam.film
    assert first is not None
    assert second is not None
    return first.plane == second.plane and not {first.side, second.side}.issuperset("RL")


def _steps(films: Sequence[FilmAnalysis]) -> Iterator[tuple[int, int]]:
    """Each film with the last one of its view on an earlier day, by number."""
    days = [f.exam.days_from_baseline for f in films]
    for b, film in enumerate(films):
        before = [a for a in range(b) if days[a] < days[b] and same_view(films[a], film)]
        if before:
            yield before[-1], b


def _without_counterpart(film: FilmAnalysis, other: FilmAnalysis) -> list[PlacedRegion]:
    there = {key_of(other, r) for r in other.regions}
    return [r for r in film.regions if key_of(film, r) not in there]


def _tie_or_carry(
    films: list[FilmAnalysis], a: int, b: int, region: PlacedRegion, settings: Settings
) -> None:
    """Find the lesion of film ``a`` on film ``b``; changes the list in place."""
    from hoimg.serial.film_register import carried

    one, other = films[a], films[b]
    made = _placed(one, region, other, None, settings.film)
    similarity = made.placement.similarity
    if made.reasons or similarity is None:
        return
    here = carried(outline_of(one, region), similarity, one.film, other.film, settings.film)
    shared = [(_overlap(here, outline_of(other, r)), r) for r in _without_counterpart(other, one)]
    best, partner = max(shared, key=lambda s: s[0], default=(0.0, None))
    if partner is not None and best >= SAME:
        if partner.ties is not None and region.ties is not None:
            return  # the reader named both, differently
        old, new = key_of(other, partner), key_of(one, region)
        if partner.ties is not None:
            old, new = new, old
        films[:] = [_renamed(f, old, new) for f in films]
        return
    asked = carried(region.region_yx, similarity, one.film, other.film, settings.film)
    if not asked.any():
        return
    label = max((r.label for r in other.regions), default=0) + 1
    region = PlacedRegion(label, asked, key_of(one, region), (CARRIED,))
    films[b] = with_regions(other, [region], settings)


def _renamed(film: FilmAnalysis, old: str, new: str) -> FilmAnalysis:
    regions = [replace(r, ties=new) if key_of(film, r) == old else r for r in film.regions]
    return replace(film, regions=tuple(regions))


def _overlap(one: Bools, other: Bools) -> float:
    least = min(int(one.sum()), int(other.sum()))
    return float((one & other).sum()) / least if least else 0.0


def outline_of(film: FilmAnalysis, region: PlacedRegion) -> Bools:
    """The lesion's outline on its film; the region where none was found."""
    inside = film.labels_yx == region.label
    return inside if inside.any() else region.region_yx


def _placed(
    one: FilmAnalysis,
    region: PlacedRegion,
    other: FilmAnalysis,
    its: PlacedRegion | None,
    settings: FilmSettings,
) -> Placed:
    """Place ``other`` onto ``one`` by what surrounds a lesion, and compare the projections."""
    from hoimg.segment.film_working import spacing_of
    from hoimg.serial.film_projection import check_projection
    from hoimg.serial.film_register import carried, make_pair, register_films, turned_back

    mine = outline_of(one, region)
    theirs = None if its is None else outline_of(other, its)
    placement = register_films(one.film, other.film, mine, settings, theirs)
    similarity = placement.similarity
    if similarity is None or not placement.accepted:
        return Placed(placement, None)
    outlines = None
    if theirs is not None:
        back = carried(theirs, turned_back(similarity), other.film, one.film, settings)
        outlines = (mine, back)
    pair = make_pair(one.film, other.film, mine, settings, theirs)
    spacing = spacing_of(one.film, settings)
    return Placed(placement, check_projection(pair, placement, settings, outlines, spacing))


def _area_scale(
    made: Placed, earlier: FilmAnalysis, later: FilmAnalysis, settings: FilmSettings
) -> float | None:
    """Pixels of the later film for one of the earlier; None without a placement to trust."""
    from hoimg.segment.film_working import spacing_of

    if not made.placement.accepted or made.placement.similarity is None:
        return None
    before, after = spacing_of(earlier.film, settings), spacing_of(later.film, settings)
    return made.placement.similarity.scale**2 * (before[0] * before[1]) / (after[0] * after[1])
