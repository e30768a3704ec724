"""Later films placed onto earlier ones, the projection compared, the change of area."""

from __future__ import annotations

import math

import numpy as np
import pytest
from film_scene import LESION, MOVED, STEP, film

from hoimg.image import Radiograph
from hoimg.results import Observation
from hoimg.serial.film_change import compare_on_films
from hoimg.serial.film_images import shown_in_films
from hoimg.serial.film_pair import make_pair
from hoimg.serial.film_projection import PROJECTION, check_projection, reaching_aside
from hoimg.serial.film_register import UNLIKE, FilmPlacement, register_films
from hoimg.serial.film_similarity import Similarity, carried
from hoimg.settings import FilmSettings

S = FilmSettings()


def placed(before: Radiograph, after: Radiograph, lesion: np.ndarray) -> FilmPlacement:
    return register_films(make_pair(before, after, lesion, S), S)


def test_similarity_there_and_back() -> None:
    points = np.array([[0.0, 0.0], [12.0, 7.0], [62.0, 84.0]])
    there = MOVED.forward(points)
    assert there[2] == pytest.approx((66.0, 79.0))
    # From y towards x by 4 degrees, 1.07 times as long.
    side = MOVED.forward(np.array([[63.0, 84.0]]))[0] - there[2]
    turn = math.radians(4.0)
    assert side == pytest.approx((1.07 * math.cos(turn), 1.07 * math.sin(turn)))
    assert MOVED.backward(there) == pytest.approx(points)
    assert MOVED.inverse.forward(there) == pytest.approx(points)


@pytest.mark.parametrize(("curve", "step"), [(False, 0.3), (True, 0.25)])
def test_a_moved_film_is_placed_whatever_its_curve_and_pixels(curve: bool, step: float) -> None:
    before, lesion = film()
    after, there = film(MOVED, curve=curve, step=step, noise=2, grown=1.3)
    made = placed(before, after, lesion)
    assert made.accepted
    found = made.similarity
    assert found is not None
    assert found.scale == pytest.approx(1.07, abs=0.01)
    assert found.turn_deg == pytest.approx(4.0, abs=0.5)
    corners = np.array([[40.0, 60.0], [90.0, 60.0], [62.0, 84.0], [40.0, 110.0]])
    assert np.abs(found.forward(corners) - MOVED.forward(corners)).max() < 0.6
    # The lesion was 14 mm wide, and is carried to where it grew from.
    here = carried(lesion, found, before, after, S)
    assert here.sum() * step**2 == pytest.approx(math.pi * 49 * 1.07**2, rel=0.05)
    assert (here & ~there).sum() < 0.03 * here.sum()


def test_a_disc_is_carried_to_its_place_between_pixels_of_any_shape() -> None:
    sizes = {"earlier": (0.2, 0.5), "later": (0.4, 0.25)}
    films = {
        name: Radiograph(
            np.zeros((round(130 / size[0]), round(130 / size[1])), np.float32), size, "calibrated"
        )
        for name, size in sizes.items()
    }

    def disc(name: str, middle: tuple[float, float], radius: float) -> np.ndarray:
        y, x = (
            (n + 0.5) * s
            for n, s in zip(np.indices(films[name].pixels.shape), sizes[name], strict=True)
        )
        return np.hypot(y - middle[0], x - middle[1]) < radius

    # The pivot (62, 84) goes to (66, 79); 10 mm below it lie 10.7 mm along the turn of 4 degrees.
    turn = math.radians(4.0)
    there = 66 + 10.7 * math.cos(turn), 79 + 10.7 * math.sin(turn)
    made = carried(disc("earlier", (72.0, 84.0), 12), MOVED, films["earlier"], films["later"], S)
    true = disc("later", there, 12 * 1.07)
    assert (made ^ true).sum() < 0.02 * true.sum()


def test_without_a_spacing_the_scale_is_solved_too() -> None:
    before, lesion = film()
    after, _ = film(Similarity(1.2, -3.0, LESION, (66.0, 79.0)), spacing=False, noise=3)
    made = placed(before, after, lesion)
    assert made.accepted
    assert made.similarity is not None
    # A film without a spacing counts 0.15 mm a pixel.
    assert made.similarity.scale == pytest.approx(1.2 * S.assumed_spacing_mm / STEP, rel=0.02)


def test_another_part_is_refused() -> None:
    before, lesion = film()
    rng = np.random.default_rng(5)
    from scipy import ndimage

    other = ndimage.gaussian_filter(rng.normal(size=(400, 460)), 12)
    after = Radiograph((other / other.std()).astype(np.float32), (0.3, 0.3), "detector_uncorrected")
    made = placed(before, after, lesion)
    assert made.reason == UNLIKE
    assert not made.accepted


def test_a_film_that_shows_nothing_is_refused() -> None:
    before, lesion = film()
    flat = Radiograph(np.zeros((400, 460), np.float32), (0.3, 0.3), "detector_uncorrected")
    assert not placed(before, flat, lesion).accepted
    with pytest.raises(ValueError, match="no lesion"):
        make_pair(before, flat, np.zeros_like(lesion), S)


@pytest.mark.parametrize(("deep_mm", "changed"), [(0.0, False), (1.0, False), (6.0, True)])
def test_bones_of_another_depth_tell_another_projection(deep_mm: float, changed: bool) -> None:
    before, lesion = film()
    after, _ = film(MOVED, noise=2, deep_mm=deep_mm)
    pair = make_pair(before, after, lesion, S)
    made = register_films(pair, S)
    assert made.similarity is not None
    check = check_projection(pair, made, S)
    assert (check.reason == PROJECTION) == changed
    if not changed:
        assert check.reason is None


def test_a_lesion_reaches_aside_only_where_it_moved() -> None:
    y, x = np.indices((100, 100))
    small, large = (np.hypot(y - 50, x - 50) < r for r in (10, 20))
    off = np.hypot(y - 50, x - 58) < 10
    assert reaching_aside(small, large, (0.5, 0.5)) == 0
    assert reaching_aside(small, small, (0.5, 0.5)) == 0
    assert reaching_aside(small, off, (0.5, 0.5)) == pytest.approx(4.0, abs=0.6)
    assert reaching_aside(small, off, (0.5, 0.25)) == pytest.approx(2.0, abs=0.3)
    assert reaching_aside(small, np.zeros_like(small), (0.5, 0.5)) == math.inf


def _seen(exam: str, area: float, half: float = 0.05, **more: object) -> Observation:
    values: dict[str, object] = {
        "exam_id": exam,
        "status": "measured",
        "area_px2": area,
        "area_ci95_px2": (area * (1 - half), area * (1 + half)),
        "spacing_source": "detector_uncorrected",
        "flags": [],
    } | more
    return Observation.model_validate(values)


@pytest.mark.parametrize(
    ("area", "category"),
    [
        (1250.0, "no_detectable_change"),
        (1251.0, "enlarging"),
        (750.0, "no_detectable_change"),
        (749.0, "shrinking"),
    ],
)
def test_a_change_counts_beyond_the_repeatability(area: float, category: str) -> None:
    made = compare_on_films(_seen("a", 1000.0), _seen("b", area), 90, S, area_scale=1.0)
    assert made.category == category
    assert made.comparable
    assert made.area_change_pct == pytest.approx(area / 10 - 100)
    assert made.area_rc_pct == 25


@pytest.mark.parametrize(
    ("area", "shown", "category"),
    [
        (1300.0, (0.4, None), "enlarging"),
        (1300.0, (0.39, 0.9), "no_detectable_change"),
        (1300.0, (None, None), "enlarging"),
        (700.0, (None, 0.4), "shrinking"),
        (700.0, (0.9, 0.39), "no_detectable_change"),
        (1200.0, (0.0, None), "no_detectable_change"),
    ],
)
def test_a_change_counts_where_the_films_show_it(
    area: float, shown: tuple[float | None, float | None], category: str
) -> None:
    made = compare_on_films(
        _seen("a", 1000.0), _seen("b", area), 90, S, area_scale=1.0, shown=shown
    )
    assert made.category == category
    # Outlines that differ while the films do not say nothing; within the RC nothing is asked.
    blocked = area != 1200.0 and category == "no_detectable_change"
    assert made.comparable != blocked
    assert ("change_not_in_images" in made.flags) == blocked


def _disc(radius: float) -> np.ndarray:
    y, x = (np.indices((400, 467)) + 0.5) * STEP
    return np.hypot(y - LESION[0], x - LESION[1]) < radius


@pytest.mark.parametrize("curve", [False, True])
def test_growth_is_seen_between_the_outlines_and_a_wrong_outline_is_not(curve: bool) -> None:
    before, _ = film()
    grown, _ = film(MOVED, curve=curve, noise=2, grown=1.4)
    same, _ = film(MOVED, curve=curve, noise=3)
    small, large = _disc(7.0), _disc(9.8)
    gained, lost = shown_in_films(before, grown, (small, large), MOVED, S)
    assert lost is None
    assert gained == pytest.approx(1.0, abs=0.25)
    assert shown_in_films(before, same, (small, large), MOVED, S)[0] == pytest.approx(0, abs=0.1)
    gained, lost = shown_in_films(before, same, (large, small), MOVED, S)
    assert gained is None
    assert lost == pytest.approx(0, abs=0.1)
    back = shown_in_films(grown, before, (_moved(large), _moved(small)), MOVED.inverse, S)
    assert back[0] is None
    assert back[1] == pytest.approx(1.0, abs=0.25)


def _moved(mask: np.ndarray) -> np.ndarray:
    before, _ = film()
    after, _ = film(MOVED)
    return carried(mask, MOVED, before, after, S)


def test_films_without_a_lesion_or_ground_to_compare_by_say_nothing() -> None:
    before, _ = film()
    flat = Radiograph(np.zeros((400, 467), np.float32), (STEP, STEP), "detector_uncorrected")
    still = Similarity(1.0, 0.0, LESION, LESION)
    assert shown_in_films(flat, flat, (_disc(7.0), _disc(9.8)), still, S) == (None, None)
    assert shown_in_films(before, flat, (_disc(7.0), _disc(7.0)), still, S) == (None, None)


def test_the_solved_scale_takes_magnification_out() -> None:
    # 1.2 times the pixels a side: 1.44 times the area of a lesion that did not change.
    made = compare_on_films(_seen("a", 1000.0), _seen("b", 1440.0), 90, S, area_scale=1.44)
    assert made.area_change_pct == pytest.approx(0.0)
    assert made.category == "no_detectable_change"


def test_wide_intervals_widen_the_repeatability() -> None:
    one, two = _seen("a", 1000.0, 0.4), _seen("b", 1300.0, 0.4)
    made = compare_on_films(one, two, 90, S, area_scale=1.0)
    half = math.log(1.4 / 0.6) / 2
    own = 100 * math.expm1(math.sqrt(2 * half**2 * (1 - S.area_shared_error)))
    assert made.area_rc_pct == pytest.approx(max(own, 25.0))
    assert "area_rc_from_intervals" in made.flags
    assert made.category == "no_detectable_change"


def test_what_may_not_be_compared_claims_nothing() -> None:
    one, two = _seen("a", 1000.0), _seen("b", 2000.0)
    made = compare_on_films(one, two, 90, S, area_scale=1.0, reasons=(PROJECTION,))
    assert not made.comparable
    assert made.category == "no_detectable_change"
    assert made.area_change_pct == pytest.approx(100.0)
    assert PROJECTION in made.flags
    cut = _seen("b", 2000.0, touches_fov=True)
    assert not compare_on_films(one, cut, 90, S, area_scale=1.0).comparable
    tight = _seen("b", 2000.0, flags=["region_too_tight"])
    assert not compare_on_films(one, tight, 90, S, area_scale=1.0).comparable


def test_without_a_placement_only_sizes_in_the_patient_are_set_side_by_side() -> None:
    one, two = _seen("a", 1000.0), _seen("b", 2000.0)
    made = compare_on_films(one, two, 90, S, area_scale=None, reasons=(UNLIKE,))
    assert made.area_change_pct is None
    assert "area_change_not_measured" in made.flags
    sized = [
        _seen(e, 1.0, area_mm2=a, area_ci95_mm2=(a, a), spacing_source="detector_corrected")
        for e, a in (("a", 100.0), ("b", 150.0))
    ]
    made = compare_on_films(*sized, 90, S, area_scale=None, reasons=(UNLIKE,))
    assert made.area_change_pct == pytest.approx(50.0)
    assert made.category == "no_detectable_change"
