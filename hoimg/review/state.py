"""What the page is told: the lesions, what may be decided, and what was decided so far."""

from __future__ import annotations

from typing import Any

from hoimg.edits import OF_THE_MAP, Edit, Edits, FilmEdit
from hoimg.reading import identity_of, said_of, who_and_when
from hoimg.report import words
from hoimg.report.film_view import film_words
from hoimg.report.reader_view import decision_text, grouped
from hoimg.report.saved import SavedReport
from hoimg.review.places import Places

MOST_PIECES = 500
"""Pieces that were left out which the page offers; the largest ones."""


def state_of(
    saved: SavedReport, places: Places, edits: Edits, version: str, reader: str | None
) -> dict[str, Any]:
    """Everything the page needs to show controls and decisions; JSON.

    Args:
        saved: The report.
        places: Of its lesions.
        edits: As the file holds them now.
        version: Of the file.
        reader: Who reviews; None where the page asks.
    """
    report = saved.report
    days = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    on_film = {exam.exam_id for exam in report.exams if exam.film is not None}
    decisions = _decisions(saved, edits)
    return {
        "version": version,
        "reader": reader,
        "lesions": [
            {
                "id": lesion.lesion_id,
                "exams": [
                    {
                        "exam_id": p.exam_id,
                        "day": days[p.exam_id],
                        "film": p.exam_id in on_film,
                    }
                    for p in places.of(lesion.lesion_id)
                ],
                "decisions": [d for d in decisions if d["lesion"] == lesion.lesion_id],
            }
            for lesion in report.lesions
        ],
        "pieces": [
            {
                "exam_id": item.exam_id,
                "number": item.label,
                "text": f"day {days[item.exam_id]}, {item.label}: "
                f"{words.EXCLUSIONS.get(item.reason, words.plain(item.reason)).lower()}, "
                f"{item.volume_mm3:.0f} mm³",
            }
            for item in sorted(report.excluded, key=lambda x: -x.volume_mm3)
            if item.inside_lps_mm is not None
        ][:MOST_PIECES],
        "suggestions": [
            {
                "exam_id": exam.exam_id,
                "number": k,
                "text": f"day {exam.days_from_baseline}, {film_words(exam.film)}: "
                f"box {', '.join(map(str, place.box))}",
            }
            for exam in report.exams
            if exam.film is not None
            for k, place in enumerate(exam.suggestions)
        ],
        "others": [d for d in decisions if d["lesion"] is None],
        "pending": sum(d["pending"] for d in decisions),
    }


def _decisions(saved: SavedReport, edits: Edits) -> list[dict[str, Any]]:
    """Each decision once, though it may speak of several exams."""
    known = {x.lesion_id for x in saved.report.lesions}
    now = {identity_of(e): e.lesion_id for e in saved.report.reader}
    every: list[Edit | FilmEdit] = [*edits.edits, *edits.on_films]
    pairs = [(said_of(e, {}), e) for e in every]
    source = {id(said): e for said, e in pairs}
    made = []
    for group in grouped([said for said, _ in pairs]):
        first = group[0]
        lesion = now.get(identity_of(first)) or first.lesion_before
        pending = any(source[id(s)].applied is None for s in group)
        changes_map = first.action in OF_THE_MAP
        made.append(
            {
                "lesion": lesion if lesion in known else None,
                "action": first.action,
                "what": decision_text(first),
                "exams": len(group),
                "who": who_and_when(first),
                "note": first.note,
                "pending": pending,
                "time": None
                if first.time is None or (changes_map and not pending)
                else first.time.isoformat(),
            }
        )
    for region in edits.regions:
        if region.time is not None:
            made.append(
                {
                    "lesion": None,
                    "action": "confirm",
                    "what": f"a suggested place confirmed on {region.exam_id}",
                    "exams": 1,
                    "who": who_and_when(region),
                    "note": region.note,
                    "pending": not region.applied,
                    "time": None if region.applied else region.time.isoformat(),
                }
            )
    return made
