"""A reader's decisions about lesions on films: what each speaks of, and those left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hoimg.edits import Applied, Edits, FilmEdit, FilmRegionEdit
from hoimg.film_regions import (
    FilmRegion,
    PlacedRegion,
    film_named,
    place_regions,
    split_by_film,
)
from hoimg.films.again import ties_of
from hoimg.films.analysis import FilmAnalysis, with_regions
from hoimg.outlines import covered_of, runs_of
from hoimg.results import Finding

if TYPE_CHECKING:
    from hoimg.dicom import Exam
    from hoimg.report.saved import SavedReport


def decisions_by_film(
    edits: Edits, films: Sequence[Exam], *, again: bool = False
) -> tuple[Edits, dict[str, list[FilmEdit]], list[FilmEdit]]:
    """Tell each decision about films its film.

    Args:
        edits: As given.
        films: Every film of the patient.
        again: Keep what an earlier run said of them: its maps are used again.

    Returns:
        The edits with the exam_id of each decision's film, in the same order; those decisions by
        exam_id; and the decisions of films that are not here, as they were given.

    Raises:
        UsageError: one names no film, and there are several.
    """
    every: list[FilmEdit] = []
    found: dict[str, list[FilmEdit]] = {}
    elsewhere: list[FilmEdit] = []
    for edit in edits.on_films:
        if not films or not split_by_film([edit], films)[0]:
            elsewhere.append(edit)
        else:
            exam_id = film_named(edit.film, "a decision of edits.json", films).exam_id
            changed = {"exam_id": exam_id, "applied": edit.applied if again else None}
            edit = edit.model_copy(update=changed)
            found.setdefault(exam_id, []).append(edit)
        every.append(edit)
    return edits.model_copy(update={"on_films": tuple(every)}), found, elsewhere


def film_decided(film: FilmAnalysis, edits: Sequence[FilmEdit]) -> FilmAnalysis:
    """The film without the lesions that a reader left out, and every decision with what it did.

    Args:
        film: Outlined and measured.
        edits: Of this film; one that an earlier run applied stays as it is told.
    """
    done: list[FilmEdit] = []
    told: list[Finding] = []
    for edit in edits:
        if edit.action == "exclude" and edit.applied is not None:
            done.append(edit)
            continue
        label = _label_at(film, edit.point_px)
        if label is None:
            told.append(_means_nothing(edit))
            outcome, was = "no_effect", "nothing"
        elif edit.action == "exclude":
            film = _without(film, label)
            outcome, was, label = "excluded", "lesion", None
        else:
            outcome, was = "noted", "lesion"
        applied = Applied.model_validate({"outcome": outcome, "was": was, "label": label})
        done.append(edit.model_copy(update={"applied": applied}))
    new = [f for f in told if f not in film.findings]
    return replace(film, decided=tuple(done), findings=(*film.findings, *new))


def with_confirmed(film: FilmAnalysis, saved: SavedReport) -> FilmAnalysis:
    """A film of an earlier report with the regions that a reader gave since, outlined and measured.

    A place that was suggested because a lesion of another film would lie there is of that lesion.

    Args:
        film: As it was.
        saved: The report; regions of its edits with a time that no map holds yet are new.
    """
    new = [r for r in saved.edits.regions if r.time is not None and not r.applied]
    here, _ = split_by_film(new, [film.exam])
    drawn = Edits(regions=tuple(here)).film_regions
    given = [
        _of_its_lesion(region, edit, film.exam.exam_id, saved)
        for region, edit in zip(drawn, here, strict=True)
    ]
    placed = place_regions(given, [film.exam]).get(film.exam.exam_id, [])
    first = max((r.label for r in film.regions), default=0) + 1
    regions = [
        PlacedRegion(label, region.region_yx, region.ties, region.flags)
        for label, region in enumerate(placed, first)
    ]
    return with_regions(film, regions, saved.settings) if regions else film


def with_films_told(edits: Edits, films: Sequence[FilmAnalysis]) -> Edits:
    """The edits with what the decisions about films did, and which regions the maps hold now.

    Args:
        edits: Of :func:`decisions_by_film`.
        films: Every film that could be read.
    """
    known = {e.key: e for f in films for e in f.decided}
    exams = [f.exam for f in films]
    regions = tuple(
        r.model_copy(update={"applied": True})
        if r.time is not None and films and split_by_film([r], exams)[0]
        else r
        for r in edits.regions
    )
    decided = tuple(known.get(e.key, e) for e in edits.on_films)
    return edits.model_copy(update={"on_films": decided, "regions": regions})


def _of_its_lesion(
    region: FilmRegion, edit: FilmRegionEdit, exam_id: str, saved: SavedReport
) -> FilmRegion:
    for place in saved.exam(exam_id).suggestions:
        if tuple(map(float, place.box)) != edit.box or place.from_label is None:
            continue
        tie = ties_of(saved, place.from_exam or "").get(place.from_label)
        if tie is not None:
            return replace(region, label=None, tracking_uid=tie.removeprefix("uid:"))
    return region


def _label_at(film: FilmAnalysis, point_px: tuple[float, float]) -> int | None:
    x, y = (int(np.floor(v + 0.5)) for v in point_px)
    rows, columns = film.labels_yx.shape
    if not (0 <= y < rows and 0 <= x < columns):
        return None
    if film.labels_yx[y, x]:
        return int(film.labels_yx[y, x])
    return next((r.label for r in film.regions if r.region_yx[y, x]), None)


def _without(film: FilmAnalysis, label: int) -> FilmAnalysis:
    """The film without a lesion; pixels that it covered of others are theirs again."""
    labels = np.where(film.labels_yx == label, np.uint16(0), film.labels_yx)
    kept = {}
    for outline in film.outlines:
        if outline.label == label:
            continue
        hidden = covered_of(outline, labels.shape)
        labels = np.where(hidden & (labels == 0), np.uint16(outline.label), labels)
        before = film.kept[outline.label]
        still = {"covered": runs_of(hidden & (labels != outline.label))}
        kept[outline.label] = replace(before, facts=before.facts.model_copy(update=still))
    # Of a region that another one hid wholly a report holds nothing: its outline takes its place.
    regions = tuple(
        r if r.region_yx.any() else replace(r, region_yx=labels == r.label)
        for r in film.regions
        if r.label != label
    )
    return replace(
        film,
        regions=regions,
        labels_yx=labels,
        observations={k: v for k, v in film.observations.items() if k != label},
        kept=kept,
    )


def _means_nothing(edit: FilmEdit) -> Finding:
    x, y = edit.point_px
    return Finding(
        code="edit_hits_nothing",
        level="warning",
        message=f"The reader's {edit.action} at pixel {x:g},{y:g}: no lesion was looked for there; "
        "it is kept in edits.json and stands at no lesion.",
        fix="Decide again at the lesion that was meant: hoimg review REPORT.",
    )
