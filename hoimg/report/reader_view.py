"""What readers decided, in words: for the page, and for whoever reviews it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hoimg.reading import last_word, who_and_when
from hoimg.report import words
from hoimg.results import Lesion, ReaderEdit, Report

OUTCOMES = {
    "included": "called",
    "excluded": "left out",
    "split": "split",
    "merged": "made one",
    "noted": "kept beside the lesion",
    "no_effect": "had no effect; see the findings",
}


def decision_text(said: ReaderEdit) -> str:
    """What was decided, without who."""
    label = words.LABELS.get(said.label or "", "").lower()
    if said.action == "exclude":
        return f"not heterotopic ossification: {said.reason}" if said.reason else "rejected"
    return {
        "accept": f"accepted{f' as {label}' if label else ''}",
        "relabel": f"label by the reader: {label}",
        "note": "note",
        "include": "called after all",
        "split": "split into parts",
        "cut": "cut in two along a line",
        "merge": "merged with another lesion",
        "confirm": "a suggested place on a film confirmed",
    }[said.action]


def lesion_reader(report: Report, lesion: Lesion) -> dict[str, Any]:
    """A reader's word beside a lesion's computed label.

    Args:
        report: With :attr:`hoimg.results.Report.reader`.
        lesion: One of it.
    """
    said = [e for e in report.reader if e.lesion_id == lesion.lesion_id]
    last = last_word(lesion.lesion_id, said)
    word = "" if last is None else f"{decision_text(last)} ({who_and_when(last)})"
    return {"word": word, "items": [_item(e) for e in said]}


def reader_rows(report: Report) -> list[dict[str, Any]]:
    """Every decision with what it did, for the page's last sections."""
    days = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    return [
        {
            **_item(e),
            "day": days.get(e.exam_id or "", "of another exam"),
            "lesion": e.lesion_id or (f"was {e.lesion_before}" if e.lesion_before else "–"),
            "outcome": "its exam was not read" if e.outcome is None else OUTCOMES[e.outcome],
        }
        for e in report.reader
    ]


def _item(said: ReaderEdit) -> dict[str, str]:
    return {"what": decision_text(said), "who": who_and_when(said), "note": said.note}


def grouped(said: Sequence[ReaderEdit]) -> list[list[ReaderEdit]]:
    """Decisions of one moment together: one was made for each exam that shows the lesion."""
    groups: dict[tuple[object, ...], list[ReaderEdit]] = {}
    for number, one in enumerate(said):
        key = (one.time, one.reader, one.action) if one.time is not None else (number,)
        groups.setdefault(key, []).append(one)
    return list(groups.values())
