"""Which regions on films show one lesion, and where a region of another date would lie."""

from __future__ import annotations

import re

import numpy as np
import pytest
from film_objects import film_dataset
from film_scene import MOVED, analysed, film

import hoimg
from hoimg.dicom import Exam
from hoimg.films.follow import film_lesions
from hoimg.films.series import changes_on_films
from hoimg.films.tie import CARRIED, SUGGESTED, key_of, tied_films
from hoimg.follow import Course
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
