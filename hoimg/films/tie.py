"""Which regions on a patient's films show one lesion, where the reader left it open.

What the reader says comes first. Where at most one of two regions has a name, or a region was given
on one date only, the films are placed onto each other by the bone round the lesion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hoimg.film_regions import PlacedRegion
from hoimg.films.analysis import FilmAnalysis, with_regions
from hoimg.films.series import film_on_film, outline_of, same_view
from hoimg.results import Finding, Suggestion
from hoimg.settings import Settings

Bools = NDArray[np.bool_]

CARRIED = "region_carried"
SUGGESTED = "lesion_suggested_here"
SAME = 0.3
"""Share of the smaller of two outlines that lies in the other one, for them to be one lesion."""


def key_of(film: FilmAnalysis, region: PlacedRegion) -> str:
    """A lesion's name that later films do not change: what ties it, else its place of origin."""
    if region.ties is not None:
        return region.ties
    info = film.exam.film
    assert info is not None
    return f"film:{info.sop_uid or film.exam.exam_id}|{info.frame}|{region.label}"


def tied_films(films: Sequence[FilmAnalysis], settings: Settings) -> list[FilmAnalysis]:
    """Tie lesions that the reader left untied, and look where a region was given elsewhere.

    Each film is compared with the last one of its view on an earlier day, first from the earlier
    one to the later, then back. Two regions of which the reader named at most one are one lesion
    when one's outline, carried over, overlaps the other's. Where a region has no counterpart on
    the other film, that film gets a finding that says where to look (``lesion_suggested_here``);
    with ``carried_regions_count`` the region is carried there, outlined and measured instead
    (``region_carried``). Neither is done where the films could not be placed, the projection
    changed, or a lesion lies there that the reader calls by another name.

    Args:
        films: In date order.
        settings: All of them.

    Returns:
        The films in the same order, with more ties, findings or regions.
    """
    now = list(films)
    steps = list(_steps(now))
    for a, b in (*steps, *((b, a) for a, b in reversed(steps))):
        for region in _without_counterpart(now[a], now[b]):
            now = _tied_or_carried(now, a, b, region, settings)
    return now


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


def _tied_or_carried(
    films: list[FilmAnalysis], a: int, b: int, region: PlacedRegion, settings: Settings
) -> list[FilmAnalysis]:
    """The films when the lesion in a region of film ``a`` was looked for on film ``b``."""
    from hoimg.serial.film_similarity import carried

    one, other = films[a], films[b]
    made = film_on_film(one, region, other, None, settings.film)
    similarity = made.placement.similarity
    if made.reasons or similarity is None:
        return films
    here = carried(outline_of(one, region), similarity, one.film, other.film, settings.film)
    shared = [(_overlap(here, outline_of(other, r)), r) for r in _without_counterpart(other, one)]
    best, partner = max(shared, key=lambda s: s[0], default=(0.0, None))
    if partner is not None and best >= SAME:
        if partner.ties is not None and region.ties is not None:
            return films  # the reader named both, differently
        old, new = key_of(other, partner), key_of(one, region)
        if partner.ties is not None:
            old, new = new, old
        return [_renamed(f, old, new) for f in films]
    asked = carried(region.region_yx, similarity, one.film, other.film, settings.film)
    if not asked.any():
        return films
    if settings.film.carried_regions_count:
        label = max((r.label for r in other.regions), default=0) + 1
        moved = PlacedRegion(label, asked, key_of(one, region), (CARRIED,))
        changed = with_regions(other, [moved], settings)
    else:
        told, place = _suggestion(one, region, other, asked)
        changed = replace(
            other,
            findings=(*other.findings, told),
            suggestions=(*other.suggestions, place),
        )
    return [changed if k == b else film for k, film in enumerate(films)]


def _suggestion(
    one: FilmAnalysis, region: PlacedRegion, other: FilmAnalysis, asked: Bools
) -> tuple[Finding, Suggestion]:
    """Where a lesion of another film would lie on this one, and how to confirm it."""
    rows, columns = (np.flatnonzero(asked.any(axis=1 - k)) for k in (0, 1))
    corners = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    box = f"box:{','.join(str(v) for v in corners)}"
    named = region.ties is not None and region.ties.startswith("label:")
    label = f"{region.ties.removeprefix('label:')}=" if named and region.ties is not None else ""
    roi = f"{label}{other.exam.exam_id}:{box}"
    told = Finding(
        code=SUGGESTED,
        level="info",
        message=f"By the bone round it, the lesion in region {region.label} of "
        f"{one.exam.exam_id} would lie here at {box}. It was not measured on this film, because "
        "no region was given on it.",
        fix=f"Where the film shows it, give --roi {roi} (or set "
        "carried_regions_count in section film).",
    )
    return told, Suggestion(
        box=corners,
        source="region_on_another_film",
        from_exam=one.exam.exam_id,
        from_label=region.label,
        roi=roi,
    )


def tells_of(told: Finding, place: Suggestion) -> bool:
    """Whether a finding is what was said of a suggested place: its words are those of the place."""
    return told.code == SUGGESTED and f"--roi {place.roi} " in (told.fix or "")


def _renamed(film: FilmAnalysis, old: str, new: str) -> FilmAnalysis:
    regions = [replace(r, ties=new) if key_of(film, r) == old else r for r in film.regions]
    return replace(film, regions=tuple(regions))


def _overlap(one: Bools, other: Bools) -> float:
    least = min(int(one.sum()), int(other.sum()))
    return float((one & other).sum()) / least if least else 0.0
