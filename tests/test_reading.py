"""Which of several readers' words about a label counts, and that every output tells the same."""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hoimg.edits import Applied, Edit, Edits, FilmEdit
from hoimg.reading import last_word, with_reader
from hoimg.report.files import lesions_csv
from hoimg.report.reader_view import lesion_reader
from hoimg.results import ReaderEdit

sys.path.insert(0, str(Path(__file__).resolve().parent / "report"))
from synthetic_report import patient


def at(day: int | None) -> datetime | None:
    return None if day is None else datetime(2025, 1, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "which"),
    [
        ([], None),
        ([None], 0),
        ([None, None], 1),
        ([1, 2, 3], 2),
        ([3, 1, 2], 0),
        ([2, 2], 1),
        ([None, 1], 1),
        ([3, None, 1], 0),
        ([3, 1, None], 2),
    ],
    ids=str,
)
def test_the_latest_word_counts_unless_one_without_a_time_comes_last(days, which):
    said = [ReaderEdit(action="accept", exam_id="e", lesion_id="L1", time=at(d)) for d in days]
    others = [
        ReaderEdit(action="accept", exam_id="e", lesion_id="L2", time=at(9)),
        ReaderEdit(action="note", exam_id="e", lesion_id="L1", time=at(9)),
    ]
    assert last_word("L1", [*said, *others]) is (None if which is None else said[which])


def test_a_later_word_on_ct_counts_above_an_earlier_one_on_film_in_every_output():
    report = patient().report
    lesion = report.lesions[0]
    seen = next(o for o in lesion.observations if o.label is not None)
    done = Applied(outcome="noted", was="lesion", label=seen.label)
    own = {"action": "relabel", "exam_id": seen.exam_id, "applied": done}
    edits = Edits(
        edits=(Edit(point_lps_mm=(0, 0, 0), label="mature", reader="Late", time=at(2), **own),),
        on_films=(FilmEdit(point_px=(0, 0), label="immature", reader="Early", time=at(1), **own),),
    )
    told = with_reader(report, edits)
    assert told.lesions[0].reader_label == "mature"
    assert lesion_reader(told, told.lesions[0])["word"].endswith("(Late, 2025-01-02 00:00 UTC)")
    rows = csv.DictReader(io.StringIO(lesions_csv(told)))
    assert {r["reader"] for r in rows if r["lesion_id"] == lesion.lesion_id} == {"Late", ""}
