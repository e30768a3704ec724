"""Which regions on films show one lesion, and where a region of another date would lie."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from film_objects import film_dataset
from film_reports import made, report_of
from film_scene import MOVED, STEP, analysed, film

import hoimg
from hoimg.cli.main import run
from hoimg.dicom import Exam
from hoimg.films.follow import film_lesions
from hoimg.films.series import changes_on_films
from hoimg.films.tie import CARRIED, SUGGESTED, key_of, tells_of, tied_films
from hoimg.follow import Course
from hoimg.report.saved import read_saved
from hoimg.results import Finding, Suggestion
from hoimg.review.decisions import Asked, added
from hoimg.review.places import Places
from hoimg.settings import FilmSettings, Settings

S = Settings()
COUNTED = Settings(film=FilmSettings(carried_regions_count=True))


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> list[Exam]:
    folder = tmp_path_factory.mktemp("films")
    for k, day in enumerate(("20240110", "20240601")):
        film_dataset(folder / f"{k}", sop=f"1.2.3.{k}", day=day)
    return hoimg.read_patient(folder).exams


@pytest.mark.parametrize(("tie", "option"), [("label:4", "4="), (None, ""), ("uid:1.2.9", "")])
@pytest.mark.parametrize("first", [True, False])
def test_where_no_region_was_given_a_place_is_suggested_and_nothing_called(
    exams: list[Exam], first: bool, tie: str | None, option: str
) -> None:
    films = [
        analysed(exams[0], (tie,) if first else ()),
        analysed(exams[1], () if first else (tie,), moved=True),
    ]
    tied = tied_films(films, S)
    other = tied[1 if first else 0]
    assert (other.regions, dict(other.observations), other.labels_yx.any()) == ((), {}, False)
    [told] = [f for f in other.findings if f.code == SUGGESTED]
    assert told.level == "info"
    words = re.search(rf"--roi {option}{other.exam.exam_id}:box:([\d,]+) ", told.fix or "")
    assert words is not None
    x0, y0, x1, y1 = map(int, words[1].split(","))
    _, shadow = film(MOVED if first else None)
    rows, columns = np.nonzero(shadow)
    # The given box has 20 pixels of margin on each side; turned by 4 degrees it is a little wider.
    for margin in (rows.min() - y0, y1 - rows.max(), columns.min() - x0, x1 - columns.max()):
        assert 15 <= margin <= 30
    assert tied[0 if first else 1] is films[0 if first else 1]


def test_a_finding_is_told_of_its_own_place_alone() -> None:
    told = Finding(code=SUGGESTED, level="info", message="", fix="give --roi 4=e1:box:1,2,3,44 (or")
    for roi, expected in (
        ("4=e1:box:1,2,3,44", True),
        ("4=e1:box:1,2,3,4", False),
        ("e1:box:1,2,3,44", False),
    ):
        place = Suggestion(box=(1, 2, 3, 44), source="other_side", roi=roi)
        assert tells_of(told, place) is expected
    assert not tells_of(told.model_copy(update={"code": "no_region_given"}), place)


@pytest.mark.parametrize("named", ["1=", ""])
def test_a_confirmed_place_is_of_the_lesion_that_it_was_carried_from(
    tmp_path: Path, named: str
) -> None:
    for k, (move, day) in enumerate(((None, "20240110"), (MOVED, "20240601"))):
        pixels, shadow = film(move, noise=1 + k)
        low, high = float(pixels.pixels.min()), float(pixels.pixels.max())
        stored = np.rint(200 + 3500 * (pixels.pixels - low) / (high - low)).astype(np.uint16)
        film_dataset(
            tmp_path / "in" / f"{k}", stored, sop=f"1.2.3.{k}", day=day,
            ImagerPixelSpacing=[str(STEP)] * 2,
        )  # fmt: skip
        if not k:
            rows, columns = np.nonzero(shadow)
            corners = columns.min() - 20, rows.min() - 20, columns.max() + 21, rows.max() + 21
            box = "box:" + ",".join(str(v) for v in corners)
    later = made(tmp_path, "--roi", f"{named}1.2.3.0:{box}")["exams"][1]
    saved = read_saved(tmp_path / "out")
    asked = Asked(kind="confirm", exam_id=later["exam_id"], number=0)
    edits = added(saved.edits, asked, saved, Places(), "R.", datetime(2025, 3, 4, tzinfo=UTC))
    assert [r.label for r in edits.regions] == [1 if named else None]
    (tmp_path / "out" / "edits.json").write_text(edits.text())
    words = [str(tmp_path / "out"), str(tmp_path / "in"), "-o", str(tmp_path / "again")]
    assert run(["-q", "measure", *words]) == 0
    report = report_of(tmp_path / "again")
    (lesion,), after = report["lesions"], report["exams"][1]
    assert lesion["lesion_id"] == "L1"
    assert [o["status"] for o in lesion["observations"]] == ["measured"] * 2
    assert len(lesion["changes"]) == 1
    gone = {SUGGESTED, "no_region_given"}
    assert gone <= {f["code"] for f in later["findings"]}
    assert gone.isdisjoint(f["code"] for f in after["findings"])
    assert all(f in after["findings"] for f in later["findings"] if f["code"] not in gone)
    assert (len(later["suggestions"]), after["suggestions"]) == (1, [])


def test_a_label_and_the_uid_that_a_report_made_of_it_are_one_lesion(exams: list[Exam]) -> None:
    course = Course("p", {e.exam_id: e.days_from_baseline for e in exams}, None, None)
    [before], _, _ = film_lesions([analysed(exams[0], ("label:3",))], course, S, [], {})
    films = [
        analysed(exams[0], (f"uid:{before.tracking_uid}",)),
        analysed(exams[1], ("label:3",), moved=True),
    ]
    [lesion], _, _ = film_lesions(films, course, S, [], {before.tracking_uid: "L1"})
    assert (lesion.tracking_uid, len(lesion.observations)) == (before.tracking_uid, 2)


@pytest.mark.parametrize("first", [True, False])
def test_where_the_settings_say_so_it_is_measured_there(exams: list[Exam], first: bool) -> None:
    films = [
        analysed(exams[0], ("label:1",) if first else ()),
        analysed(exams[1], () if first else ("label:1",), moved=True),
    ]
    films = tied_films(films, COUNTED)
    assert [len(f.regions) for f in films] == [1, 1]
    assert {key_of(f, f.regions[0]) for f in films} == {"label:1"}
    assert [CARRIED in f.observations[1].flags for f in films] == [not first, first]
    [change], _ = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert change.comparable
    assert change.area_change_pct == pytest.approx(0, abs=5)


@pytest.mark.parametrize("settings", [S, COUNTED])
def test_nothing_is_carried_into_another_projection(exams: list[Exam], settings: Settings) -> None:
    films = [analysed(exams[0], ("label:1",)), analysed(exams[1], (), moved=True, deep_mm=6.0)]
    assert tied_films(films, settings) == films


@pytest.mark.parametrize(
    ("ties", "films_each"),
    [
        ((None, None), [2]),
        ((None, "label:7"), [2]),
        (("label:7", None), [2]),
        (("label:1", "label:2"), [1, 1]),  # the reader has said that they are two
    ],
)
def test_what_the_reader_left_untied_is_tied_by_its_place(
    exams: list[Exam], ties: tuple[str | None, str | None], films_each: list[int]
) -> None:
    films = [analysed(exams[0], ties[:1]), analysed(exams[1], ties[1:], moved=True)]
    films = tied_films(films, S)
    assert [f.code for a in films for f in a.findings] == []
    course = Course("p", {e.exam_id: e.days_from_baseline for e in exams}, None, None)
    found, told, placed = film_lesions(films, course, S, [], {})
    assert told == []
    assert [len(x.observations) for x in found] == films_each
    assert [len(x.changes) for x in found] == [n - 1 for n in films_each]
    assert len(placed) == sum(films_each) - len(films_each)
