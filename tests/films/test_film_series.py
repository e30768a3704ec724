"""The area of one lesion followed over films, from pixels to its label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from film_objects import film_dataset
from film_scene import STEP, analysed

import hoimg
from hoimg.dicom import Exam
from hoimg.films.analysis import FilmAnalysis
from hoimg.films.follow import film_lesions
from hoimg.films.series import changes_on_films, film_on_film
from hoimg.follow import Course
from hoimg.results import Lesion, RegistrationSummary
from hoimg.settings import Settings

S = Settings()
RIPE = {"rim": 1.5}
"""A lesion with a bright line all round, as a shell of cortex throws."""


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exam]:
    """AP and lateral on three days, by ``AP0`` .. ``LL2``."""
    folder = tmp_path_factory.mktemp("films")
    for k, day in enumerate(("20240110", "20240601", "20241001")):
        for n, view in enumerate(("AP", "LL")):
            film_dataset(folder / f"{view}{k}", sop=f"1.2.3.1{n}{k}", day=day, view=view)
    found = hoimg.read_patient(folder).exams
    planes = {"frontal": "AP", "lateral": "LL"}
    days = sorted({e.days_from_baseline for e in found})
    return {
        planes[e.film.plane or ""] + str(days.index(e.days_from_baseline)): e
        for e in found
        if e.film is not None
    }


def followed(films: list[FilmAnalysis]) -> tuple[Lesion, list[RegistrationSummary]]:
    course = Course("p", {f.exam.exam_id: f.exam.days_from_baseline for f in films}, None, None)
    [lesion], told, placed = film_lesions(films, course, S, [], {})
    assert told == []
    assert {p.tracking_uid for p in placed} == {lesion.tracking_uid}
    return lesion, placed


def named(exams: dict[str, Exam], name: str, **how: float) -> FilmAnalysis:
    """The scene on one film, later days moved; ``label:1`` round its lesion."""
    return analysed(exams[name], ("label:1",), moved=name.endswith("1"), **how)


def test_a_grown_lesion_is_called_by_the_bone_beside_it(exams: dict[str, Exam]) -> None:
    films = [named(exams, "AP0"), named(exams, "AP1", grown=1.3), named(exams, "AP2")]
    changes, placed = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    ids = [f.exam.exam_id for f in films]
    assert [(c.from_exam, c.to_exam) for c in changes] == [
        (ids[0], ids[1]),
        (ids[1], ids[2]),
        (ids[0], ids[2]),
    ]
    assert [c.category for c in changes] == ["enlarging", "shrinking", "no_detectable_change"]
    assert changes[0].area_change_pct == pytest.approx(69, abs=6)
    assert changes[2].area_change_pct == pytest.approx(0, abs=4)
    assert ["long_interval" in c.flags for c in changes] == [False, False, True]
    assert all(c.comparable for c in changes)
    assert all("area_change_of_outlines_together" in c.flags for c in changes)
    assert all(p.accepted for p in placed)


def drawn_by_a_reader(film: FilmAnalysis) -> FilmAnalysis:
    """The same outline, as if a reader had drawn it."""
    return replace(film, kept={1: replace(film.kept[1], flags=("outline_edited",))})


@pytest.mark.parametrize(("which", "step"), [(0, 0.3), (1, 0.25)])
def test_an_outline_that_a_reader_drew_is_not_drawn_again(
    exams: dict[str, Exam], which: int, step: float
) -> None:
    films = [named(exams, "AP0"), named(exams, "AP1", grown=1.3, step=step)]
    films[which] = drawn_by_a_reader(films[which])
    [change], _ = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert "area_change_of_outlines_together" not in change.flags
    sizes = [f.observations[1].area_px2 or 0.0 for f in films]
    # The film was enlarged 1.07 times besides, and its pixels are of another size.
    ratio = sizes[1] / sizes[0] / (1.07 * 0.3 / step) ** 2
    assert change.area_change_pct == pytest.approx(100 * (ratio - 1), abs=4)


def test_where_one_film_alone_is_wrongly_outlined_both_at_once_are_what_is_compared(
    exams: dict[str, Exam],
) -> None:
    """An outline 4 mm aside of the lesion would tell another projection, and no growth."""
    before, after = named(exams, "AP0"), named(exams, "AP1", grown=1.3)
    wrong = replace(after, labels_yx=np.roll(after.labels_yx, round(4 / STEP), axis=1))
    made = film_on_film(before, before.regions[0], wrong, wrong.regions[0], S.film)
    assert made.together is not None
    assert made.reasons == ()
    assert made.check is not None
    assert made.check.lesion_aside_mm == pytest.approx(0.0, abs=0.5)
    # What came is as bright as the lesion, all of it; nothing went.
    assert made.shown == (pytest.approx(1.0, abs=0.25), None)


def test_a_lesion_that_moved_against_the_bone_is_another_projection(exams: dict[str, Exam]) -> None:
    """By 2 mm: each side's crescent is 2 * 7 * 2 mm2 of pi * 49, 18 %; neither is 3 mm wide."""
    films = [named(exams, "AP0"), named(exams, "AP1", aside_mm=2.0)]
    [change], _ = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert "area_change_of_outlines_together" in change.flags
    assert (change.comparable, "projection_changed" in change.flags) == (False, True)
    # Outlines of one film each may lie aside by how they were drawn: only the width tells.
    films[0] = drawn_by_a_reader(films[0])
    [change], _ = changes_on_films([(f, f.regions[0]) for f in films], S.film)
    assert (change.comparable, "projection_changed" in change.flags) == (True, False)


def test_unchanged_in_two_projections_may_be_mature(exams: dict[str, Exam]) -> None:
    lesion, _ = followed([named(exams, n, **RIPE) for n in ("AP0", "LL0", "AP1", "LL1")])
    assert [c.category for c in lesion.changes] == ["no_detectable_change"] * 2
    assert all(c.comparable for c in lesion.changes)
    assert lesion.maturity.label == "mature"
    assert "no_detectable_area_change" in lesion.maturity.reasons


def test_unchanged_in_one_projection_is_mature_appearing(exams: dict[str, Exam]) -> None:
    lesion, _ = followed([named(exams, n, **RIPE) for n in ("AP0", "AP1")])
    assert [c.category for c in lesion.changes] == ["no_detectable_change"]
    assert lesion.maturity.label == "indeterminate"
    assert {"mature_appearing", "one_projection"} <= set(lesion.maturity.reasons)


def test_unchanged_without_a_rim_is_not_mature(exams: dict[str, Exam]) -> None:
    lesion, _ = followed([named(exams, n) for n in ("AP0", "LL0", "AP1", "LL1")])
    assert all(c.comparable for c in lesion.changes)
    assert lesion.maturity.label != "mature"
    assert "rim_absent" in lesion.maturity.reasons


@pytest.mark.parametrize("grown_on", ["AP1", "LL1"])
def test_growth_in_one_projection_is_immature_whatever_the_rim(
    exams: dict[str, Exam], grown_on: str
) -> None:
    lesion, _ = followed(
        [
            named(exams, n, **RIPE, grown=1.2 if n == grown_on else 1.0)
            for n in ("AP0", "LL0", "AP1", "LL1")
        ]
    )
    assert sorted(c.category for c in lesion.changes) == ["enlarging", "no_detectable_change"]
    assert lesion.maturity.label == "immature"
    assert "area_increase" in lesion.maturity.reasons


def test_another_projection_blocks_and_says_so(exams: dict[str, Exam]) -> None:
    films = [
        named(exams, "AP0", **RIPE),
        named(exams, "LL0", **RIPE),
        named(exams, "AP1", **RIPE),
        named(exams, "LL1", **RIPE, grown=1.3, deep_mm=6.0),
    ]
    lesion, placed = followed(films)
    lateral = next(c for c in lesion.changes if c.to_exam == exams["LL1"].exam_id)
    assert (lateral.comparable, lateral.category) == (False, "no_detectable_change")
    assert "projection_changed" in lateral.flags
    # Neither called grown nor mature: that plane was not compared.
    assert lesion.maturity.label == "indeterminate"
    assert "area_not_compared" in lesion.maturity.reasons
    assert [p.reason for p in placed if not p.accepted] == ["projection_changed"]


def test_another_projection_in_one_view_alone_leaves_it_open(exams: dict[str, Exam]) -> None:
    lesion, _ = followed([named(exams, "AP0", **RIPE), named(exams, "AP1", **RIPE, deep_mm=6.0)])
    assert lesion.maturity.label == "indeterminate"
    assert {"one_projection", "area_not_compared"} <= set(lesion.maturity.reasons)
