"""What a reader may ask for in the page, and the edits that it means."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hoimg.edits import (
    MAX_NOTE,
    MAX_PARTS,
    Edit,
    Edits,
    FilmEdit,
    FilmRegionEdit,
    Point,
    spans_plane,
)
from hoimg.errors import UsageError
from hoimg.film_regions import parse_film_region
from hoimg.results import Label
from hoimg.review.places import Place, Places

if TYPE_CHECKING:
    from hoimg.report.saved import SavedReport
    from hoimg.results import Lesion

Kind = Literal[
    "accept", "exclude", "relabel", "note", "split", "cut", "merge", "include", "confirm"
]
ACROSS = {"axial": (0.0, 0.0, 10.0), "coronal": (0.0, 10.0, 0.0), "sagittal": (10.0, 0.0, 0.0)}
"""Which way (LPS mm) a cut stands on the slice that its line is drawn on."""


class Asked(BaseModel):
    """A decision as the page sends it.

    Attributes: ``lesion`` for all but ``include`` (a piece by exam and label) and ``confirm`` (a
    suggestion on a film by exam and number).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Kind
    lesion: str | None = Field(default=None, max_length=64)
    other: str | None = Field(default=None, max_length=64, description="merge: the other lesion.")
    exam_id: str | None = Field(default=None, max_length=100)
    number: int | None = Field(default=None, description="Label of a piece, or of a suggestion.")
    points_lps_mm: tuple[Point, ...] = Field(default=(), max_length=MAX_PARTS)
    slice: Literal["axial", "coronal", "sagittal"] | None = Field(
        default=None, description="cut: of the viewer's, on which its line is drawn."
    )
    label: Label | None = None
    reason: str = Field(default="", max_length=200)
    note: str = Field(default="", max_length=MAX_NOTE)
    reader: str = Field(default="", max_length=200)


class Undo(BaseModel):
    """Take the decision of a moment back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: datetime


def added(
    edits: Edits, asked: Asked, saved: SavedReport, places: Places, reader: str, time: datetime
) -> Edits:
    """The edits with one decision more, an edit for each exam that it speaks of.

    Args:
        edits: Before.
        asked: The decision.
        saved: The report that the reader sees.
        places: Of its lesions.
        reader: Who decides.
        time: When, UTC.

    Raises:
        UsageError: it speaks of something that is not there, or leaves out what it needs.
    """
    say = {"reader": reader, "time": time, "note": asked.note}
    if asked.kind == "include":
        return _with(edits, [_piece(asked, saved, say)])
    if asked.kind == "confirm":
        region = _suggestion(asked, saved, say)
        if any((r.box, r.film) == (region.box, region.film) for r in edits.regions):
            raise UsageError("that place is confirmed already")
        return edits.model_copy(update={"regions": (*edits.regions, region)})
    lesion = next((x for x in saved.report.lesions if x.lesion_id == asked.lesion), None)
    if lesion is None:
        raise UsageError(f"{asked.lesion}: is no lesion of this report")
    here = places.of(lesion.lesion_id)
    if not here:
        raise UsageError(f"{lesion.lesion_id}: no label map shows it, so that no point names it")
    say["lesion"] = lesion.lesion_id
    if asked.kind == "split":
        return _with(edits, [_split(asked, lesion, here, saved, say)])
    if asked.kind == "cut":
        return _with(edits, [_cut(asked, lesion, here, saved, say)])
    if asked.kind == "merge":
        return _with(edits, _merge(asked, here, places, saved, say))
    say |= {"label": asked.label, "reason": asked.reason}
    if asked.kind == "exclude":
        return _at(edits, "exclude", here, saved, {**say, "label": None})
    if asked.kind == "relabel" and asked.label is None:
        raise UsageError("name the label that you give")
    if asked.kind == "accept":
        say["label"] = lesion.maturity.label
    if asked.kind == "note":
        if not asked.note.strip():
            raise UsageError("write the note")
        say["label"] = None
    named = [p for p in here if p.exam_id == lesion.maturity.exam_id]
    return _at(edits, asked.kind, named or here[-1:], saved, {**say, "reason": ""})


def _with(edits: Edits, more: Sequence[Edit]) -> Edits:
    return edits.model_copy(update={"edits": (*edits.edits, *more)})


def _at(
    edits: Edits, action: str, here: Sequence[Place], saved: SavedReport, say: dict[str, object]
) -> Edits:
    """One edit at each place, on CT or film."""
    scans = [_edit(action, p, saved, say) for p in here if p.point_lps_mm is not None]
    films = [
        FilmEdit.model_validate(
            {
                "action": action,
                "exam_id": p.exam_id,
                "sop_instance_uid": _sop_uid(saved, p.exam_id),
                "point_px": p.point_px,
                **say,
            }
        )
        for p in here
        if p.point_px is not None
    ]
    return _with(edits, scans).model_copy(update={"on_films": (*edits.on_films, *films)})


def _edit(
    action: str,
    place: Place,
    saved: SavedReport,
    say: dict[str, object],
    points: Sequence[Point] = (),
) -> Edit:
    return Edit.model_validate(
        {
            "action": action,
            "exam_id": place.exam_id,
            "series_instance_uid": saved.exam(place.exam_id).series_instance_uid,
            "point_lps_mm": place.point_lps_mm,
            "more_points_lps_mm": tuple(points),
            **say,
        }
    )


def _sop_uid(saved: SavedReport, exam_id: str) -> str | None:
    film = saved.exam(exam_id).film
    return None if film is None else film.sop_instance_uid


def _piece(asked: Asked, saved: SavedReport, say: dict[str, object]) -> Edit:
    """A piece that was left out, called after all."""
    for item in saved.report.excluded:
        if (item.exam_id, item.label) == (asked.exam_id, asked.number) and item.inside_lps_mm:
            place = Place(item.exam_id, item.label, point_lps_mm=item.inside_lps_mm)
            return _edit("include", place, saved, say)
    raise UsageError("that piece is not among those that were left out")


def _suggestion(asked: Asked, saved: SavedReport, say: dict[str, object]) -> FilmRegionEdit:
    number = -1 if asked.number is None else asked.number
    for exam in saved.report.exams:
        if exam.exam_id == asked.exam_id and 0 <= number < len(exam.suggestions):
            place = exam.suggestions[number]
            region = parse_film_region(place.roi)
            return FilmRegionEdit.model_validate(
                {
                    "box": tuple(map(float, place.box)),
                    "label": None if region is None else region.label,
                    "exam_id": exam.exam_id,
                    "sop_instance_uid": _sop_uid(saved, exam.exam_id),
                    **say,
                }
            )
    raise UsageError("that place is not among those that are suggested")


def _on_ct(asked: Asked, lesion: Lesion, here: Sequence[Place]) -> Place:
    """The lesion in the exam that the decision names, which has to be a CT."""
    for place in here:
        if place.exam_id == asked.exam_id and place.point_lps_mm is not None:
            return place
    raise UsageError(f"{lesion.lesion_id}: is not outlined on a CT of that name")


def _split(
    asked: Asked,
    lesion: Lesion,
    here: Sequence[Place],
    saved: SavedReport,
    say: dict[str, object],
) -> Edit:
    from hoimg.segment.draft import pick_at

    place = _on_ct(asked, lesion, here)
    if len(asked.points_lps_mm) < 2:
        raise UsageError("to split it takes a point in each part: two at least")
    grid = saved.grid(place.exam_id)
    labels = saved.lesions(place.exam_id, grid).array
    for number, point in enumerate(asked.points_lps_mm, start=1):
        found = pick_at(labels, grid, point)
        if found is None or found.label != place.label:
            raise UsageError(f"point {number} does not lie in {lesion.lesion_id} of that exam")
    first, *others = asked.points_lps_mm
    at = Place(place.exam_id, place.label, point_lps_mm=first)
    return _edit("split", at, saved, say, others)


def _cut(
    asked: Asked,
    lesion: Lesion,
    here: Sequence[Place],
    saved: SavedReport,
    say: dict[str, object],
) -> Edit:
    """A plane through two points that stands upright on a slice of the viewer."""
    from hoimg.segment.reader_split import beyond_plane

    place = _on_ct(asked, lesion, here)
    if len(asked.points_lps_mm) != 2 or asked.slice is None:
        raise UsageError("to cut it takes two points of the line, and the slice that it is on")
    (a, b), (x, y, z) = asked.points_lps_mm, ACROSS[asked.slice]
    plane = (a, b, (a[0] + x, a[1] + y, a[2] + z))
    if not spans_plane(plane):
        raise UsageError(
            f"the two points lie within 1 mm of each other on the {asked.slice} slice; take them "
            "further apart"
        )
    grid = saved.grid(place.exam_id)
    inside = np.argwhere(saved.lesions(place.exam_id, grid).array == place.label)
    far = beyond_plane(grid.to_lps_mm(inside), plane)
    if far.all() or not far.any():
        raise UsageError(f"all of {lesion.lesion_id} lies on one side of that line")
    return _edit("cut", place, saved, say, plane)


def _merge(
    asked: Asked,
    here: Sequence[Place],
    places: Places,
    saved: SavedReport,
    say: dict[str, object],
) -> list[Edit]:
    """One edit for each CT that shows both as two; where they share a label they are one."""
    others = {p.exam_id: p for p in places.of(asked.other or "") if asked.other != asked.lesion}
    made = [
        _edit("merge", p, saved, say, [others[p.exam_id].point_lps_mm])  # type: ignore[list-item]
        for p in here
        if p.point_lps_mm is not None and p.exam_id in others and p.label != others[p.exam_id].label
    ]
    if not made:
        raise UsageError(f"{asked.lesion} and {asked.other}: no CT shows both, as two")
    return made
