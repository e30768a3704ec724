"""What the page shows of the candidates that were not called ossification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hoimg.edits import point_words
from hoimg.report import words
from hoimg.report.pictures import Picture, draw
from hoimg.report.reasons import reason_text
from hoimg.results import ExamImages, Excluded, Report

ROWS_PER_REASON = 200
"""Excluded candidates listed per reason in the page; report.json always holds all."""
THUMBS_PER_REASON = 12
THUMB_BUDGET = 500_000
"""Characters of all small pictures; later reasons get none."""


def excluded_view(
    report: Report, images: Mapping[str, ExamImages]
) -> tuple[list[dict[str, Any]], int]:
    """Groups by reason, the most frequent first, and the characters that their pictures take.

    Args:
        report: The numbers.
        images: CT exams by ``exam_id``; without any there are no pictures.
    """
    exams = {exam.exam_id: exam for exam in report.exams}
    groups = defaultdict(list)
    for item in report.excluded:
        groups[item.reason].append(item)
    made: list[dict[str, Any]] = []
    spent = 0
    for reason, items in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        thumbs = []
        # The latest exam first, and in it the largest: what a reader would ask about.
        for item in sorted(
            items,
            key=lambda e: (-exams[e.exam_id].days_from_baseline, -e.volume_mm3, e.label),
        )[:THUMBS_PER_REASON]:
            picture = _picture(item, images) if spent < THUMB_BUDGET else None
            if picture is not None:
                spent += picture.bytes
                thumbs.append(
                    {
                        "picture": picture,
                        "day": exams[item.exam_id].days_from_baseline,
                        "label": item.label,
                        "volume": words.number(words.cm3(item.volume_mm3)),
                    }
                )
        items.sort(key=lambda e: (exams[e.exam_id].days_from_baseline, -e.volume_mm3, e.label))
        made.append(
            {
                "reason": words.EXCLUSIONS.get(reason, reason_text(reason)),
                "count": words.count(len(items), "candidate"),
                "thumbs": thumbs,
                "hidden": max(0, len(items) - ROWS_PER_REASON),
                "rows": [
                    {
                        "day": exams[e.exam_id].days_from_baseline,
                        "label": e.label,
                        "volume": words.number(words.cm3(e.volume_mm3)),
                        "place": place_text(e.centroid_lps_mm),
                        "note": e.note,
                        "overrule": None
                        if e.inside_lps_mm is None
                        else point_words(
                            e.inside_lps_mm, e.exam_id if len(report.exams) > 1 else None
                        ),
                    }
                    for e in items[:ROWS_PER_REASON]
                ],
            }
        )
    return made, spent


def _picture(item: Excluded, images: Mapping[str, ExamImages]) -> Picture | None:
    """A small axial slice through it with its outline."""
    exam = images.get(item.exam_id)
    if exam is None:
        return None
    # Its own point before its centroid, which may lie outside of a curved piece.
    center = exam.volume.grid.to_index_zyx(item.inside_lps_mm or item.centroid_lps_mm)
    side = 40.0 + 2.0 * float(item.volume_mm3 ** (1 / 3))
    return draw(
        exam,
        "axial",
        (float(center[0]), float(center[1]), float(center[2])),
        min(side, 120.0),
        label=item.label,
        size="thumb",
        encoding="jpeg",
        labels=exam.excluded,
    )


def place_text(centroid_lps_mm: tuple[float, float, float]) -> str:
    """``L 12, P 30, H 105 mm``: each coordinate with the direction that it points to."""
    pairs = (("L", "R"), ("P", "A"), ("H", "F"))
    return (
        ", ".join(
            f"{pair[0] if value >= 0 else pair[1]} {abs(value):.0f}"
            for pair, value in zip(pairs, centroid_lps_mm, strict=True)
        )
        + " mm"
    )
