"""Outlines on edges that go on: strips, discs and crossings whose share can be written down."""

from __future__ import annotations

import numpy as np
import pytest
from film_phantoms import ball, bar, box, coordinates, dice, film
from scipy import ndimage

from hoimg.segment.film_goes_on import share_going_on
from hoimg.segment.film_outline import outline_in_region
from hoimg.settings.film import FilmSettings

SETTINGS = FilmSettings()
PIXEL = 0.45


def share(values, inside, noise=0.03, seed=0, **settings):
    """The share of an outline on a film of 0 and 1 with noise of 1 mm."""
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=values.shape), 0.9)
    image = ndimage.gaussian_filter(values.astype(float), 1.3) + noise * grain / grain.std()
    gradient = tuple(ndimage.gaussian_filter(image, 0.9, order=o) for o in ((1, 0), (0, 1)))
    typical = float(np.median(np.hypot(*gradient)))
    return share_going_on([gradient], inside, typical, PIXEL, FilmSettings(**settings))


@pytest.mark.parametrize("radius", [5.0, 8.0, 12.0, 20.0, 30.0])
def test_the_edge_of_a_disc_ends_with_it(radius):
    """Also where it bends less than a bone's may."""
    y, x = coordinates((90, 90), PIXEL)
    disc = np.hypot(y, x) < radius
    assert share(disc, disc) < 0.03


@pytest.mark.parametrize("half_length", [10.0, 15.0, 20.0])
@pytest.mark.parametrize("turned", [0, 30])
def test_the_sides_of_a_strip_go_on_and_its_ends_do_not(half_length, turned):
    """A rectangle cut out of a strip 12 mm wide: two sides of four are the strip's."""
    y, x = coordinates((90, 90), PIXEL)
    angle = np.radians(turned)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    strip = np.abs(across) < 6
    inside = strip & (np.abs(along) < half_length)
    sides = 4 * half_length / (4 * half_length + 2 * 12)
    assert share(strip, inside) == pytest.approx(sides, abs=0.12)


def test_a_disc_over_a_strip_is_its_own():
    y, x = coordinates((90, 90), PIXEL)
    disc = np.hypot(y, x) < 10
    assert share((np.abs(x) < 5) + 1.0 * disc, disc) < 0.1


def test_where_two_strips_cross_all_edges_go_on():
    y, x = coordinates((90, 90), PIXEL)
    both = (np.abs(x) < 6) & (np.abs(y) < 6)
    assert share((np.abs(x) < 6) + 1.0 * (np.abs(y) < 6), both) > 0.9


def test_an_edge_has_to_go_on_as_far_as_the_setting_says():
    """A strip that ends 8 mm beyond the outline."""
    y, x = coordinates((90, 90), PIXEL)
    strip = (np.abs(x) < 6) & (np.abs(y) < 18)
    inside = (np.abs(x) < 6) & (np.abs(y) < 10)
    assert share(strip, inside, native_outside_mm=5.0) > 0.5
    assert share(strip, inside, native_outside_mm=20.0) < 0.1


def test_an_edge_has_to_go_on_in_each_gradient():
    y, x = coordinates((90, 90), PIXEL)
    strip = np.abs(x) < 6
    inside = strip & (np.abs(y) < 15)
    image = ndimage.gaussian_filter(strip.astype(float), 1.3)
    whole = tuple(ndimage.gaussian_filter(image, 0.9, order=o) for o in ((1, 0), (0, 1)))
    gone = tuple(np.zeros_like(g) for g in whole)
    ask = lambda gradients: share_going_on(gradients, inside, 0.01, PIXEL, SETTINGS)  # noqa: E731
    assert ask([whole]) > 0.6
    assert ask([whole, whole]) == ask([whole])
    assert ask([whole, gone]) == 0.0


def test_a_picture_without_an_outline_has_no_share():
    inside = np.ones((40, 40), bool)
    flat = np.zeros(inside.shape)
    assert share_going_on([(flat, flat)], inside, 1.0, PIXEL, SETTINGS) == 0.0


def bone_end(y, x, edge_mm=2.0):
    """A shaft 14 mm wide whose upper end fades inside of the region."""
    return 0.6 * np.sqrt(np.clip(1 - (x / 7) ** 2, 0, None)) / (1 + np.exp(-(y + 8) / edge_mm))


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_end_of_a_bone_is_no_lesion(seed):
    """Its sides leave the region, its end does not: refused for the sides alone."""
    y, x = coordinates((80, 80))
    one = film(bone_end(y, x), noise=0.03, seed=seed)
    region = box((np.abs(x) < 8) & (np.abs(y + 2) < 8), 6)
    made = outline_in_region(one, region, SETTINGS)
    assert made.inside_yx is None
    assert made.reason == "film_contrast_below_noise"
    # Without the question where its edges go, it would have been drawn.
    blind = FilmSettings(outline_max_own_edge_cost=1.1)
    drawn = outline_in_region(one, region, blind)
    assert drawn.reason is None
    assert made.flags == ("film_outline_follows_bone",)


@pytest.mark.parametrize("half_width", [4.0, 7.0, 12.0])
@pytest.mark.parametrize("aside", [0.0, 5.0])
def test_a_ball_over_a_bone_of_any_width_is_drawn(half_width, aside):
    """The bone's own edges are known as such and count against nothing."""
    y, x = coordinates((80, 80))
    shadow = np.hypot(y, x) < 8
    leaning = x * np.cos(0.35) + y * np.sin(0.35)
    values = 0.5 * ball(y, x, 8) + bar(leaning, aside, half_width)
    made = outline_in_region(film(values, noise=0.03, seed=1), box(shadow, 7), SETTINGS)
    assert made.reason is None
    assert dice(made.inside_yx, shadow) > 0.9


def test_what_stands_out_clearly_is_drawn_on_any_edges():
    y, x = coordinates((80, 80))
    one = film(bone_end(y, x), noise=0.03)
    region = box((np.abs(x) < 8) & (np.abs(y + 2) < 8), 6)
    assert outline_in_region(one, region, SETTINGS).reason is not None
    clear = FilmSettings(outline_clear_step_to_noise=0.5)
    assert outline_in_region(one, region, clear).reason is None
