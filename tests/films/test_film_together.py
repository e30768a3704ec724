"""One lesion outlined on two films at once, and the change of its area told by that."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from film_scene import LESION, MOVED, STEP, film, region_round, scene

from hoimg.image import Radiograph
from hoimg.results import Observation
from hoimg.serial.film_change import TOGETHER, AreasTogether, areas_together, compare_on_films
from hoimg.serial.film_laid import laid_on
from hoimg.serial.film_projection import both_ways
from hoimg.serial.film_similarity import Similarity, carried
from hoimg.serial.film_together import Together, outline_together
from hoimg.serial.repeatability import Measured
from hoimg.settings import FilmSettings

S = FilmSettings()


def together(
    before: tuple[Radiograph, np.ndarray],
    after: tuple[Radiograph, np.ndarray],
    similarity: Similarity = MOVED,
) -> Together:
    back = carried(after[1], similarity.inverse, after[0], before[0], S)
    made = outline_together(
        (before[0], after[0]),
        (region_round(before[1]), region_round(after[1])),
        (before[1], back),
        similarity,
        S,
    )
    assert made is not None
    return made


@pytest.mark.parametrize("curve", [False, True])
@pytest.mark.parametrize("grown", [1.0, 1.3, 1.0 / 1.3])
def test_the_ratio_of_areas_is_that_of_the_discs(curve: bool, grown: float) -> None:
    made = together(film(), film(MOVED, curve=curve, noise=2, grown=grown))
    ratio = made.later_yx.sum() / made.earlier_yx.sum()
    assert ratio == pytest.approx(grown**2, rel=0.08)
    # Outlines are widened as of round bodies, by 0.44 mm: the disc's sides are steep.
    assert made.earlier_yx.sum() * STEP**2 == pytest.approx(math.pi * 7.22**2, rel=0.12)
    assert made.ratios[0] <= 1 <= made.ratios[1]


STILL = Similarity(1.0, 0.0, LESION, LESION)
BAND = 79.0, 92.0
"""A bar of bone over the lesion's right side, as wide as nothing in the scene; mm."""


def _under_a_bar(grown: float, noise: int) -> tuple[Radiograph, np.ndarray]:
    """The lesion half behind a bar that is brighter than itself and ends outside of the region."""
    made, shadow = film(noise=noise, grown=grown)
    x = (np.arange(shadow.shape[1]) + 0.5) * STEP
    bar = 1.2 / (1 + np.exp(-(x - BAND[0]) / 0.4)) / (1 + np.exp((x - BAND[1]) / 0.4))
    return replace(made, pixels=(made.pixels + bar[None]).astype(np.float32)), shadow


def test_bone_over_the_lesions_edge_cancels_between_films() -> None:
    before, after = _under_a_bar(1.0, 1), _under_a_bar(1.2, 2)
    made = together(before, after, STILL)
    assert made.later_yx.sum() / made.earlier_yx.sum() == pytest.approx(1.44, rel=0.1)
    for drawn, (_, true) in ((made.earlier_yx, before), (made.later_yx, after)):
        assert 2 * (drawn & true).sum() / (drawn.sum() + true.sum()) > 0.9


def _with_rim(
    film_and_shadow: tuple[Radiograph, np.ndarray], softness_mm: float, bright: float = 0.4
) -> tuple[Radiograph, np.ndarray]:
    """More bone out to 9.8 mm, of the lesion's 0.4 or less, that ends over some 4 softnesses."""
    made, _ = film_and_shadow
    y, x = (np.indices(made.pixels.shape) + 0.5) * STEP
    inwards = 9.8 - np.hypot(y - LESION[0], x - LESION[1])
    added = bright / (1 + np.exp(-inwards / softness_mm))
    return replace(made, pixels=(made.pixels + added).astype(np.float32)), inwards > 0


@pytest.mark.parametrize("came", [True, False])
def test_what_came_or_went_counts_though_a_better_edge_lies_within(came: bool) -> None:
    """The 7 mm disc keeps its sharp edge inside of what came; the films tell that more is there."""
    plain, more = film(), _with_rim(film(noise=2), 1.0)
    made = together(plain, more, STILL) if came else together(more, plain, STILL)
    ratio = made.later_yx.sum() / made.earlier_yx.sum()
    # Where on the soft edge it lies is open by 0.7 mm; at the sharp one the ratio were 1.
    assert (ratio if came else 1 / ratio) == pytest.approx((9.8 / 7) ** 2, rel=0.15)


def test_a_pair_on_good_edges_that_leaves_much_unexplained_is_not_the_best() -> None:
    """What went was fainter than the lesion: the sharp disc on both films costs less edge."""
    made = together(_with_rim(film(noise=2), 1.0, bright=0.25), film(), STILL)
    ratio = made.later_yx.sum() / made.earlier_yx.sum()
    assert ratio == pytest.approx((7 / 9.8) ** 2, rel=0.15)


def test_outlines_differ_only_where_the_films_do() -> None:
    """Noise of a quarter of the contrast moves the outline of either film, and of both at once."""
    rng = np.random.default_rng(8)
    noisy = []
    for number in (1, 2):
        made, shadow = film(noise=number)
        pixels = made.pixels + rng.normal(0, 0.1, made.pixels.shape)
        noisy.append((replace(made, pixels=pixels.astype(np.float32)), shadow))
    made = together(noisy[0], noisy[1], STILL)
    assert (made.earlier_yx ^ made.later_yx).sum() < 0.005 * made.earlier_yx.sum()


def test_an_edge_of_eight_millimetres_leaves_the_ratio_open_and_a_sharp_one_does_not() -> None:
    sharp, soft = (together(film(), _with_rim(film(noise=2), s), STILL) for s in (0.4, 2.0))
    ratio = soft.later_yx.sum() / soft.earlier_yx.sum()
    assert ratio * soft.ratios[0] < (9.8 / 7) ** 2 < ratio * soft.ratios[1]
    assert soft.ratios[1] / soft.ratios[0] > 1.3
    assert sharp.ratios[1] / sharp.ratios[0] < 1.1


def test_edges_poorer_than_the_setting_on_either_film_give_no_outlines() -> None:
    noisy, shadow = film(noise=2)
    noise = np.random.default_rng(3).normal(0, 0.3, noisy.pixels.shape)
    before, after = (
        film(),
        (replace(noisy, pixels=(noisy.pixels + noise).astype(np.float32)), shadow),
    )
    for one, two in ((before, after), (after, before)):
        poorest = max(together(one, two, STILL).edge_costs)
        assert poorest > 2 * min(together(one, two, STILL).edge_costs)
        for limit, drawn in ((poorest, True), (poorest - 1e-6, False)):
            settings = S.model_copy(update={"outline_max_edge_cost": limit})
            regions = region_round(one[1]), region_round(two[1])
            made = outline_together((one[0], two[0]), regions, (one[1], two[1]), STILL, settings)
            assert (made is not None) == drawn


@pytest.mark.parametrize("how", ["bent", "uneven across", "uneven down"])
def test_how_a_film_was_processed_is_no_difference(how: str) -> None:
    """Grey levels to the fourth power; contrast that rises by 2 % with each millimetre."""
    before, shadow = film()
    made, _ = film(noise=2)
    y, x = (np.indices(made.pixels.shape) + 0.5) * STEP
    pixels = {
        "bent": made.pixels**4,
        "uneven across": made.pixels * (1 + 0.02 * (x - LESION[1])),
        "uneven down": made.pixels * (1 + 0.02 * (y - LESION[0])),
    }[how]
    after = replace(made, pixels=pixels.astype(np.float32))
    laid = laid_on(before, after, region_round(shadow), STILL, S)
    assert laid is not None
    # Nothing came or went; 0.4 is the lesion's contrast.
    assert np.abs(laid.difference).max() / laid.gain < 0.06


def test_the_difference_is_what_was_added() -> None:
    before, shadow = film()
    after, _ = film(MOVED, noise=2, grown=1.4)
    laid = laid_on(before, after, region_round(shadow), MOVED, S)
    assert laid is not None
    y, x = np.meshgrid(laid.earlier.rows, laid.earlier.columns, indexing="ij")
    away = np.hypot((y + 0.5) * STEP - LESION[0], (x + 0.5) * STEP - LESION[1])
    # The scene's lesion adds 0.4 between 7 and 9.8 mm; both films have one and the same curve.
    assert laid.difference[(away > 8) & (away < 9)].mean() == pytest.approx(0.4, abs=0.06)
    assert laid.difference[away > 12].mean() == pytest.approx(0, abs=0.02)
    assert laid.gain == pytest.approx(1.0, abs=0.05)
    assert float(np.ptp(scene(y * STEP, x * STEP))) > 0.4


def _shown_to(x_mm: float, how: str) -> tuple[Radiograph, int]:
    """The scene on a film that ends there, or is covered from there on, or there by a marker.

    And the column.
    """
    made, _ = film(noise=2)
    column = round(x_mm / STEP)
    if how == "ends":
        return replace(made, pixels=made.pixels[:, :column]), column
    pixels, valid = made.pixels.copy(), np.ones(made.pixels.shape, bool)
    hidden = slice(column, column + 10 if how == "marked" else None)
    pixels[:, hidden], valid[:, hidden] = 50.0, False
    return replace(made, pixels=pixels, valid=valid), column


@pytest.mark.parametrize("how", ["ends", "covered"])
def test_what_the_later_film_does_not_show_tells_nothing(how: str) -> None:
    before, shadow = film()
    after, column = _shown_to(LESION[1] + 14, how)
    laid = laid_on(before, after, region_round(shadow), STILL, S)
    assert laid is not None
    shown = laid.earlier.columns < column - 1
    assert 0 < (~shown).sum() < len(shown)
    assert not laid.later.valid[:, laid.later.columns > column].any()
    assert laid.later.valid[:, shown].all()
    # Nothing came or went; the noise of both films is 0.03, that of what is blurred less.
    assert np.abs(laid.difference[:, shown]).max() < 0.1
    assert laid.gain == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("how", ["ends", "covered", "marked"])
def test_a_lesion_that_the_later_film_cuts_has_no_outline_of_both(how: str) -> None:
    before, shadow = film()
    after, column = _shown_to(LESION[1] + 6, how)
    there = shadow.copy()
    there[:, column:] = False
    width = after.pixels.shape[1]
    regions = region_round(shadow), region_round(shadow)[:, :width]
    assert outline_together((before, after), regions, (shadow, there), STILL, S) is None


def test_films_that_say_nothing_of_each_other_give_no_outlines() -> None:
    before, shadow = film()
    negative = replace(before, pixels=-before.pixels)
    off = Similarity(1.0, 0.0, LESION, (500.0, 500.0))
    for other, where in ((negative, STILL), (before, off)):
        assert laid_on(before, other, region_round(shadow), where, S) is None
    # Nothing round the lesion to tell by how the films' grey levels agree.
    assert laid_on(before, before, np.ones_like(shadow), STILL, S) is None


def test_only_a_lesion_that_moved_has_something_of_its_own_both_ways() -> None:
    y, x = np.indices((100, 100))
    small, large = (np.hypot(y - 50, x - 50) < r for r in (10, 20))
    assert both_ways(small, large) == both_ways(large, small) == 0
    square = np.zeros((100, 100), bool)
    square[20:40, 20:40] = True
    assert both_ways(square, np.roll(square, 5, axis=1)) == pytest.approx(0.25)
    assert both_ways(square, np.zeros_like(square)) == math.inf


def _square(side: int) -> np.ndarray:
    made = np.zeros((200, 200), bool)
    made[20 : 20 + side, 20 : 20 + side] = True
    return made


def test_what_both_outlines_share_adds_nothing_to_the_interval() -> None:
    same = areas_together(Together(_square(60), _square(60), (0.2, 0.2), (1, 1)), (0.5, 0.5), S)
    assert same.earlier == same.later == Measured(900.0, (900.0, 900.0))
    # They share 30 mm of two sides: of 4 x 30 mm 60 are left, of 4 x 40 mm 100. An edge that costs
    # 0.05 more than a perfect one adds 0.05 x 6 mm in quadrature.
    grown = areas_together(Together(_square(60), _square(80), (0.05, 0.1), (1, 1)), (0.5, 0.5), S)
    for made, area, border, sd in (
        (grown.earlier, 900.0, 60.0, 0.3),
        (grown.later, 1600.0, 100.0, math.hypot(0.3, 0.3)),
    ):
        assert made.value == area
        assert made.ci95 is not None
        assert (made.ci95[1] - area) == pytest.approx(1.96 * sd * border, rel=0.12)


@pytest.mark.parametrize("across", [False, True])
def test_half_a_millimetre_apart_is_of_the_patient_whatever_the_pixels(across: bool) -> None:
    """Pixels of 0.1 x 0.2 mm, a square of 20 mm, and what is added on one side of it."""
    spacing = (0.2, 0.1) if across else (0.1, 0.2)

    def drawn(rows: int, columns: int) -> np.ndarray:
        made = np.zeros((260, 260), bool)
        made[20 : 20 + rows, 20 : 20 + columns] = True
        return made.T if across else made

    def interval(other: np.ndarray) -> float:
        made = areas_together(Together(drawn(200, 100), other, (0.05, 0.05), (1, 1)), spacing, S)
        assert made.earlier.value == pytest.approx(400.0)
        assert made.later.value == pytest.approx(other.sum() * 0.02)
        assert made.earlier.ci95 is not None
        return made.earlier.ci95[1] - 400.0

    assert interval(drawn(203, 100)) == pytest.approx(0.0, abs=1e-9)  # 0.3 mm
    assert interval(drawn(200, 104)) == pytest.approx(1.96 * 0.3 * 20.0, rel=0.12)  # 0.8 mm


def _seen(exam: str, area: float) -> Observation:
    return Observation(
        exam_id=exam,
        status="measured",
        area_px2=area,
        area_ci95_px2=(0.5 * area, 2 * area),
        spacing_source="detector_uncorrected",
    )


@pytest.mark.parametrize(
    ("ratios", "rc", "category"),
    [((1.0, 1.0), 25.0, "enlarging"), ((0.7, 1.1), 100 * (1 / 0.7 - 1), "no_detectable_change")],
)
def test_the_change_is_that_of_the_outlines_drawn_together(
    ratios: tuple[float, float], rc: float, category: str
) -> None:
    exact = AreasTogether(Measured(100.0, (100.0, 100.0)), Measured(140.0, (140.0, 140.0)), ratios)
    made = compare_on_films(
        _seen("a", 1000.0), _seen("b", 900.0), 90, S, area_scale=1.0, together=exact
    )
    assert made.area_change_pct == pytest.approx(40.0)
    assert made.area_rc_pct == pytest.approx(rc)
    assert made.category == category
    assert TOGETHER in made.flags


@pytest.mark.parametrize(
    ("own", "agrees"), [(1121.0, True), (1119.0, False), (1750.0, True), (1751.0, False)]
)
def test_a_change_that_the_films_own_outlines_deny_is_not_compared(
    own: float, agrees: bool
) -> None:
    """Own intervals of no width allow the 25 % of the settings: 1.4 / 1.25 to 1.4 * 1.25."""
    exact = AreasTogether(
        Measured(100.0, (100.0, 100.0)), Measured(140.0, (140.0, 140.0)), (1.0, 1.0)
    )
    one, two = (
        _seen(e, a).model_copy(update={"area_ci95_px2": (a, a)})
        for e, a in (("a", 1000.0), ("b", own))
    )
    made = compare_on_films(one, two, 90, S, area_scale=1.0, together=exact)
    assert made.comparable == agrees
    assert made.category == ("enlarging" if agrees else "no_detectable_change")
    assert ("area_changes_disagree" in made.flags) != agrees


@pytest.mark.parametrize(
    ("own", "agrees"), [(1250.0, True), (1251.0, False), (750.0, True), (749.0, False)]
)
def test_no_change_is_said_only_where_the_films_own_outlines_show_none_either(
    own: float, agrees: bool
) -> None:
    """Own intervals are wide: they allow any change, and so deny none. The RC is 25 %."""
    same = Measured(100.0, (100.0, 100.0))
    made = compare_on_films(
        _seen("a", 1000.0),
        _seen("b", own),
        90,
        S,
        area_scale=1.0,
        together=AreasTogether(same, same, (1.0, 1.0)),
    )
    assert made.category == "no_detectable_change"
    assert made.comparable == agrees
    assert ("area_changes_disagree" in made.flags) != agrees
