"""Lesions on films tied and carried over dates, and their changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from film_objects import film_dataset
from film_scene import MOVED, film

import hoimg
from hoimg.film_analysis import FilmAnalysis, with_regions
from hoimg.film_follow import film_lesions
from hoimg.film_regions import PlacedRegion
from hoimg.film_series import CARRIED, changes_on_films, key_of, tied_and_carried
from hoimg.follow import Course
from hoimg.settings import Settings

S = Settings()


def region_round(shadow: np.ndarray, margin: int = 20) -> np.ndarray:
    rows, columns = (np.flatnonzero(shadow.any(axis=1 - k)) for k in (0, 1))
    region = np.zeros_like(shadow)
    region[rows[0] - margin : rows[-1] + margin, columns[0] - margin : columns[-1] + margin] = True
    return region


@pytest.fixture
def exams(tmp_path: Path) -> list[hoimg.Exam]:
    for k, day in enumerate(("20240110", "20240601", "20241001")):
        film_dataset(tmp_path / "in" / f"{k}", sop=f"1.2.3.{k}", day=day)
    return hoimg.read_patient(tmp_path / "in").exams


def analysed(
    exam: hoimg.Exam, ties: tuple[str | None, ...], moved: bool = False, **parts: float
) -> FilmAnalysis:
    """A film of the scene with a region for each tie, all round the one lesion."""
    pixels, shadow = film(MOVED if moved else None, noise=1 + moved, **parts)
    empty = FilmAnalysis(exam, pixels, (), np.zeros(shadow.shape, np.uint16), {}, ())
    regions = [PlacedRegion(k, region_round(shadow), t) for k, t in enumerate(ties, 1)]
    return with_regions(empty, regions, S)


def test_a_grown_lesion_is_called_by_the_bone_beside_it(exams: list[hoimg.Exam]) -> None:
    films = [
        analysed(exams[0], ("label:1",)),
        analysed(exams[1], ("label:1",), moved=True, grown=1.3),
        analysed(exams[2], ("label:1",)),
    ]
    films = tied_and_carried(films, S)
    changes, placed = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert [(c.from_exam, c.to_exam) for c in changes] == [
        (exams[0].exam_id, exams[1].exam_id),
        (exams[1].exam_id, exams[2].exam_id),
        (exams[0].exam_id, exams[2].exam_id),
    ]
    assert [c.category for c in changes] == ["enlarging", "shrinking", "no_detectable_change"]
    assert changes[0].area_change_pct == pytest.approx(69, abs=6)
    assert changes[2].area_change_pct == pytest.approx(0, abs=4)
    assert changes[2].flags == ["long_interval"]
    assert all(c.comparable for c in changes)
    assert all(p.accepted for p in placed)


def test_another_projection_blocks(exams: list[hoimg.Exam]) -> None:
    films = [
        analysed(exams[0], ("label:1",)),
        analysed(exams[1], ("label:1",), moved=True, grown=1.3, deep_mm=6.0),
    ]
    [change], [placed] = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert not change.comparable
    assert change.category == "no_detectable_change"
    assert "projection_changed" in change.flags
    assert (placed.accepted, placed.reason) == (False, "projection_changed")


@pytest.mark.parametrize("first", [True, False])
def test_a_region_of_one_date_is_carried_to_the_other(exams: list[hoimg.Exam], first: bool) -> None:
    films = [
        analysed(exams[0], ("label:1",) if first else ()),
        analysed(exams[1], () if first else ("label:1",), moved=True),
    ]
    films = tied_and_carried(films, S)
    assert [len(f.regions) for f in films] == [1, 1]
    assert {key_of(f, f.regions[0]) for f in films} == {"label:1"}
    assert [CARRIED in f.observations[1].flags for f in films] == [not first, first]
    [change], _ = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert change.comparable
    assert change.area_change_pct == pytest.approx(0, abs=5)


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
    exams: list[hoimg.Exam], ties: tuple[str | None, str | None], films_each: list[int]
) -> None:
    films = [analysed(exams[0], ties[:1]), analysed(exams[1], ties[1:], moved=True)]
    films = tied_and_carried(films, S)
    course = Course("p", {e.exam_id: e.days_from_baseline for e in exams}, None, None)
    found, told, placed = film_lesions(films, course, S, [], {})
    assert told == []
    assert [len(x.observations) for x in found] == films_each
    assert [len(x.changes) for x in found] == [n - 1 for n in films_each]
    assert len(placed) == sum(films_each) - len(films_each)
