"""Outlines on films whose lesions can be written down."""

from __future__ import annotations

import numpy as np
import pytest
from film_phantoms import SPACING, ball, bar, box, coordinates, dice, film, shell
from scipy import ndimage

from hoimg.image import Radiograph
from hoimg.measure.film import measure_on_film
from hoimg.segment.film_outline import outline_in_region
from hoimg.segment.film_working import too_large
from hoimg.settings.film import FilmSettings

SETTINGS = FilmSettings()


def outlined(values, shadow, margin=7.0, **more):
    """The outline in the widened box of a shadow."""
    return outline_in_region(film(values, **more), box(shadow, margin), SETTINGS)


@pytest.mark.parametrize("radius", [6.0, 11.0])
@pytest.mark.parametrize("margin", [4.0, 12.0])
def test_a_ball_on_a_slope_is_outlined_at_its_own_edge(radius, margin):
    y, x = coordinates()
    shadow = np.hypot(y, x) < radius
    made = outlined(ball(y, x, radius), shadow, margin, noise=0.04)
    assert made.reason is None
    assert dice(made.inside_yx, shadow) > 0.95
    # A quarter of a millimetre all round.
    assert abs(np.sqrt(made.inside_yx.sum() / shadow.sum()) - 1) * radius < 0.25
    assert made.contrast_to_noise > 5
    assert made.flags == ()


def test_a_disc_is_drawn_round_and_not_with_eight_corners():
    y, x = coordinates()
    away = np.hypot(y, x)
    values = ndimage.gaussian_filter((away < 10).astype(float), 0.3 / SPACING)
    made = outlined(values, away < 10, noise=0.04)
    rim = made.inside_yx & ~ndimage.binary_erosion(made.inside_yx)
    turn = np.arctan2(y, x)[rim]
    uneven = away[rim] - away[rim].mean()
    # How much farther it reaches towards the corners of an octagon than towards its sides, which
    # face rows, columns and diagonals: 0.34 mm where edges cost more in some directions.
    assert abs(4 * (uneven * np.cos(8 * turn)).mean()) < 0.15


def test_a_shell_over_a_shaft_is_outlined_through_its_cortex():
    y, x = coordinates((70, 70))
    shadow = np.hypot(y - 2, x - 3) < 12
    shaft = bar(x, -3.0, 9.0)
    made = outlined(0.5 * shell(y, x, 12, 1.5, (2, 3)) + shaft, shadow, noise=0.01)
    assert made.reason is None
    assert dice(made.inside_yx, shadow) > 0.93
    assert "overlaps_cortex" in made.flags


def test_the_least_way_outside_that_can_be_asked_for_tells_a_shaft():
    y, x = coordinates((70, 70))
    values = 0.5 * shell(y, x, 12, 1.5, (2, 3)) + bar(x, -3.0, 9.0)
    region = box(np.hypot(y - 2, x - 3) < 12, 7)
    made = outline_in_region(film(values, noise=0.01), region, FilmSettings(native_outside_mm=0.5))
    assert "overlaps_cortex" in made.flags
    with pytest.raises(ValueError, match="native_outside_mm"):
        FilmSettings(native_outside_mm=0.49)


def test_an_ellipse_of_two_lobes_is_one_outline():
    y, x = coordinates((70, 70))
    parts = [((-5, 0), 7.0, 1.3), ((6, 4), 5.0, 1.0)]
    shadow = np.zeros(y.shape, bool)
    values = np.zeros(y.shape)
    for centre, radius, squash in parts:
        path = ball(y, x, radius, centre, squash)
        shadow |= path > 0
        values += radius * path / 7.0
    made = outlined(values, shadow, noise=0.03)
    assert dice(made.inside_yx, shadow) > 0.94


@pytest.mark.parametrize(("half", "radius"), [(15.0, 4.0), (12.0, 6.0), (10.0, 3.0)])
@pytest.mark.parametrize("turned", [0, 30, 77])
def test_the_ends_of_a_rod_are_not_drawn_in(half, radius, turned):
    """A cylinder with round ends: its length within 3 %."""
    y, x = coordinates((70, 70))
    angle = np.radians(turned)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    beyond = np.clip(np.abs(along) - (half - radius), 0, None)
    path = np.sqrt(np.clip(1 - (across / radius) ** 2 - (beyond / radius) ** 2, 0, None))
    one = film(0.6 * path, noise=0.03)
    made = outline_in_region(one, box(path > 0, 7), SETTINGS)
    measured = measure_on_film(one, made, SETTINGS)
    assert measured.length_mm == pytest.approx(2 * half, rel=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_outlined_where_nothing_is(seed):
    y, x = coordinates()
    region = box(np.hypot(y, x) < 8, 7)
    made = outline_in_region(film(0 * y, noise=0.05, seed=seed), region, SETTINGS)
    assert made.reason == "film_contrast_below_noise"
    assert made.inside_yx is None
    assert made.background_yx is None


def test_a_shaft_that_goes_through_the_region_is_no_lesion():
    y, x = coordinates((80, 80))
    region = box(np.hypot(y, x) < 12, 7)
    made = outline_in_region(film(bar(x, 0, 8.0), noise=0.02), region, SETTINGS)
    assert made.reason == "film_contrast_below_noise"


def test_a_ball_far_below_the_noise_is_not_guessed():
    y, x = coordinates()
    shadow = np.hypot(y, x) < 9
    made = outlined(ball(y, x, 9), shadow, noise=3.0, blur_mm=0.3)
    assert made.reason == "film_contrast_below_noise"
    assert made.contrast_to_noise is None or made.contrast_to_noise < 2.0


def test_each_limit_refuses_by_itself():
    y, x = coordinates()
    shadow = np.hypot(y, x) < 9
    one, region = film(ball(y, x, 9), noise=0.04), box(shadow, 7)
    made = outline_in_region(one, region, SETTINGS)
    contrast, cost = made.contrast_to_noise, made.edge_cost
    for name, kept, refused in (
        ("outline_min_contrast_to_noise", 0.999 * contrast, 1.001 * contrast),
        ("outline_max_edge_cost", 1.001 * cost, 0.999 * cost),
        ("outline_min_step_to_noise", 0.0, contrast),
    ):
        assert outline_in_region(one, region, FilmSettings(**{name: kept})).reason is None
        again = outline_in_region(one, region, FilmSettings(**{name: refused}))
        assert again.reason == "film_contrast_below_noise"
        assert again.inside_yx is None


def test_grey_levels_are_ordinal_gain_and_offset_change_nothing():
    y, x = coordinates()
    shadow = np.hypot(y, x) < 9
    first = film(ball(y, x, 9), noise=0.04)
    second = Radiograph(
        (first.pixels * 0.125 - 64).astype(np.float32), first.spacing_yx_mm, "calibrated"
    )
    a, b = (outline_in_region(f, box(shadow, 7), SETTINGS) for f in (first, second))
    assert dice(a.inside_yx, b.inside_yx) > 0.999
    assert a.contrast_to_noise == pytest.approx(b.contrast_to_noise, rel=1e-3)


def test_the_same_film_gives_the_same_outline():
    y, x = coordinates()
    one = film(ball(y, x, 9), noise=0.05)
    region = box(np.hypot(y, x) < 9, 6)
    a, b = (outline_in_region(one, region, SETTINGS) for _ in range(2))
    assert np.array_equal(a.inside_yx, b.inside_yx)
    assert np.array_equal(a.background_yx, b.background_yx)


def test_pixels_that_are_not_square_change_no_millimetre():
    spacing = (0.2, 0.4)
    y, x = coordinates()
    shadow = np.hypot(y, x) < 9
    square = film(ball(y, x, 9), noise=0.04)
    thin = Radiograph(np.ascontiguousarray(square.pixels[:, ::2]), spacing, "calibrated")
    a = outline_in_region(square, box(shadow, 7), SETTINGS)
    b = outline_in_region(thin, box(shadow, 7)[:, ::2], SETTINGS)
    assert b.inside_yx.sum() * 2 == pytest.approx(a.inside_yx.sum(), rel=0.04)


def test_background_goes_on_under_the_lesion_and_is_the_film_elsewhere():
    y, x = coordinates()
    shadow = np.hypot(y, x) < 9
    one = film(ball(y, x, 9), noise=0.01, slope=0.02)
    made = outline_in_region(one, box(shadow, 7), SETTINGS)
    bare = film(0 * y, noise=0.0, slope=0.02).pixels
    assert np.abs(made.background_yx - bare)[shadow].mean() < 0.05 * 500
    far = np.hypot(y, x) > 12
    assert np.array_equal(made.background_yx[far], one.pixels[far])


def test_a_lesion_that_the_film_cuts_says_so():
    y, x = coordinates()
    shadow = np.hypot(y + 29.9, x) < 9
    made = outlined(ball(y, x, 9, (-29.9, 0)), shadow, noise=0.03)
    assert made.reason is None
    assert "touches_fov" in made.flags
    assert dice(made.inside_yx, shadow) > 0.9


def test_a_region_that_cuts_the_lesion_says_so():
    y, x = coordinates()
    region = np.abs(y) < 6
    region &= np.abs(x) < 20
    made = outline_in_region(film(ball(y, x, 11), noise=0.02), region, SETTINGS)
    assert made.reason is not None or "region_too_tight" in made.flags


def test_regions_that_cannot_be_used():
    y, x = coordinates()
    one = film(ball(y, x, 9))
    nothing = np.zeros(y.shape, bool)
    assert outline_in_region(one, nothing, SETTINGS).reason == "region_outside_field"
    assert outline_in_region(one, ~nothing, SETTINGS).reason == "region_leaves_no_background"
    covered = Radiograph(one.pixels, one.spacing_yx_mm, "calibrated", valid=x < -5)
    region = box(np.hypot(y, x - 10) < 5, 2)
    assert outline_in_region(covered, region, SETTINGS).reason == "region_outside_field"
    strip = Radiograph(one.pixels[:3], one.spacing_yx_mm, "calibrated")
    assert outline_in_region(strip, ~nothing[:3], SETTINGS).reason == "region_outside_field"
    with pytest.raises(ValueError, match="does not fit"):
        outline_in_region(one, nothing[1:], SETTINGS)


def test_without_a_spacing_pixels_are_taken_as_assumed():
    y, x = coordinates()
    one = film(ball(y, x, 9), noise=0.03)
    region = box(np.hypot(y, x) < 9, 7)
    told = FilmSettings(assumed_spacing_mm=SPACING)
    unknown = Radiograph(one.pixels, None, "none")
    a = outline_in_region(one, region, told)
    b = outline_in_region(unknown, region, told)
    assert np.array_equal(a.inside_yx, b.inside_yx)


@pytest.mark.parametrize(("columns", "refused"), [(199, False), (201, True)])
def test_a_region_larger_than_any_lesion_is_refused_at_once(columns, refused):
    """Pixels of 2 mm by 5 mm: 50 rows of 100 mm, and 0.1 m2 with 200 columns of 5 mm."""
    film = Radiograph(np.ones((80, 300), np.float32), (2.0, 5.0), "calibrated")
    region = np.zeros((80, 300), bool)
    region[10, 20] = region[59, 20 + columns - 1] = True
    assert too_large(film, region, FilmSettings()) is refused
    if refused:
        assert outline_in_region(film, region, FilmSettings()).reason == "region_too_large"
