"""The cheapest outline against every outline there is, and its length against a circle's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hoimg.segment.film_background import fill_smoothly, local_noise, steps_across
from hoimg.segment.film_cut import (
    FLOOR,
    OFFSETS,
    cheapest_region,
    cheapest_regions,
    link_costs,
    mean_cost,
)


def energy(costs, reward, inside):
    """Sum over links by hand."""
    total = -float(reward[inside].sum())
    for number, (dy, dx) in enumerate(OFFSETS):
        for y, x in np.argwhere(inside):
            q = (y + dy, x + dx)
            if 0 <= q[0] < inside.shape[0] and 0 <= q[1] < inside.shape[1] and not inside[q]:
                total += costs[number, y, x]
    return total


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), worth=st.floats(0.1, 1.5))
def test_no_other_set_of_pixels_is_cheaper(seed, worth):
    rng = np.random.default_rng(seed)
    gradient = rng.normal(size=(2, 3, 4))
    costs = link_costs((gradient[0], gradient[1]), 0.5)
    reward = worth * rng.random((3, 4))
    allowed = rng.random((3, 4)) < 0.8
    made = cheapest_region(costs, reward, allowed)
    assert not (made & ~allowed).any()
    places = np.argwhere(allowed)
    least = 0.0
    for chosen in itertools.product((False, True), repeat=len(places)):
        inside = np.zeros((3, 4), bool)
        inside[tuple(places[list(chosen)].T)] = True
        least = min(least, energy(costs, reward, inside))
    assert energy(costs, reward, made) <= least + 1e-3


def test_an_outline_is_as_long_in_every_direction_as_its_circle():
    y, x = np.indices((81, 81)) - 40.3
    for radius in (12.0, 20.0, 33.0):
        inside = np.hypot(y, x) <= radius
        flat = np.zeros(inside.shape)
        cost, length = mean_cost(link_costs((flat, flat), 1.0), inside)
        assert abs(length / (2 * np.pi * radius) - 1) < 0.03
        assert abs(cost - (1 + FLOOR)) < 1e-9


def test_a_fall_outwards_is_cheap_and_a_rise_is_dearer_than_nothing():
    y, x = np.indices((61, 61)) - 30.0
    inside = np.hypot(y, x) <= 15
    r = np.hypot(y, x) + 1e-9
    down, right = -5 * y / r, -5 * x / r
    good, _ = mean_cost(link_costs((down, right), 1.0), inside)
    bad, _ = mean_cost(link_costs((-down, -right), 1.0), inside)
    assert good < 0.15
    assert bad > 1.3


@pytest.mark.parametrize("even", [False, True])
def test_an_even_cost_does_not_ask_which_way_an_edge_runs(even):
    # A straight edge falling along a normal at every angle: a unit of it against 22.5 degrees on.
    y, x = np.indices((41, 41)) - 20.0
    costs = []
    for degrees in (0.0, 22.5, 45.0, 67.5, 90.0):
        ny, nx = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        fall = (np.full(y.shape, -ny), np.full(y.shape, -nx))
        costs.append(mean_cost(link_costs(fall, 0.3, even=even), y * ny + x * nx < 0.3)[0])
    # All of a fall of 1 at a scale of 0.3: FLOOR + exp(-1 / 0.3); its part along a link is less.
    whole = FLOOR + np.exp(-1 / 0.3)
    if even:
        assert costs == pytest.approx([whole] * 5)
    else:
        assert max(costs) > 1.3 * min(costs)


def test_an_even_cost_knows_the_sides_of_an_edge_and_nothing_of_its_course():
    flat, rise = np.zeros((5, 5)), np.ones((5, 5))
    along = link_costs((flat, rise), 0.3, even=True)
    steep, none = np.exp(-1 / 0.3), 1.0
    for offset, expected in (((0, -1), steep), ((1, 0), none), ((0, 1), none + 0.5 * (1 - steep))):
        number = OFFSETS.index(offset)
        unit = np.pi / 8 / np.hypot(*offset)
        assert along[number, 2, 2] == pytest.approx(unit * (FLOOR + expected))


@settings(max_examples=20, deadline=None)
@given(a=st.floats(-3, 3), b=st.floats(-3, 3), c=st.floats(-0.1, 0.1))
def test_a_harmonic_background_is_filled_as_it_was(a, b, c):
    y, x = np.indices((30, 34)) - 15.0
    truth = a * y + b * x + c * (x * x - y * y)
    hole = np.hypot(y, x) < 8
    damaged = truth + 100 * hole
    assert np.abs(fill_smoothly(damaged, hole, 1.0) - truth).max() < 1e-6


def test_noise_is_that_of_the_surroundings_and_not_of_the_lesion():
    rng = np.random.default_rng(3)
    y, x = np.indices((120, 120)) - 60.0
    inside = np.hypot(y, x) < 20
    values = rng.normal(0, 2.0, inside.shape) + 500 * inside
    noise = local_noise(values, inside, np.ones(inside.shape, bool), 0.5)
    assert abs(noise - 2.0) < 0.15


def test_the_step_across_an_outline_is_that_of_the_disc():
    y, x = np.indices((120, 120)) - 60.0
    inside = np.hypot(y, x) < 30
    steps = steps_across(7.0 * inside + 0.0 * x, inside, 0.5)
    assert np.allclose(steps, 7.0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.floats(0.01, 1.0), count=st.integers(1, 6))
def test_several_rewards_at_once_give_what_each_gives_alone(seed, first, count):
    """Whole numbers in the gradient make ties, which must be broken alike."""
    rng = np.random.default_rng(seed)
    gradient = rng.integers(-2, 3, size=(2, 12, 15)).astype(float)
    costs = link_costs((gradient[0], gradient[1]), 0.7)
    worth = rng.integers(0, 3, size=(12, 15)) / 2
    allowed = rng.random((12, 15)) < 0.85
    rewards = [first * 1.4**k for k in range(count)]
    together = cheapest_regions(costs, worth, rewards, allowed)
    for reward, inside in zip(rewards, together, strict=True):
        assert np.array_equal(inside, cheapest_region(costs, reward * worth, allowed))
    for smaller, larger in itertools.pairwise(together):
        assert not (smaller & ~larger).any()


def test_what_is_known_of_the_answer_does_not_change_it():
    rng = np.random.default_rng(4)
    gradient = rng.normal(size=(2, 20, 20))
    costs = link_costs((gradient[0], gradient[1]), 0.5)
    allowed = np.ones((20, 20), bool)
    allowed[0], allowed[:, -1] = False, False
    reward = np.where(np.hypot(*(np.indices((20, 20)) - 9.0)) < 6, 0.6, 0.0)
    alone = cheapest_region(costs, reward, allowed)
    assert 40 < alone.sum() < 360
    some = alone & (rng.random((20, 20)) < 0.5)
    more = alone | (allowed & (rng.random((20, 20)) < 0.5))
    for between in ((some, more), (alone, alone), (some, allowed), (np.zeros_like(some), more)):
        known = cheapest_region(costs, reward, allowed, between)
        assert np.array_equal(known, alone)


@pytest.mark.parametrize("odd", [0, 1])
def test_a_large_region_is_cut_near_a_coarse_border_and_gives_the_same(monkeypatch, odd):
    """Discs and a bar on noise, cut as a whole and by bands."""
    y, x = np.indices((150 + odd, 170 + odd)) - 75.0
    bodies = (np.hypot(y, x) < 30) | (np.hypot(y - 40, x - 60) < 12)
    bodies |= (np.abs(y + 50) < 4) & (np.abs(x - 40) < 40)
    noise = np.random.default_rng(6).normal(0, 0.05, bodies.shape)
    film = ndimage.gaussian_filter(bodies + noise, 1.0)
    costs = link_costs(
        tuple(ndimage.gaussian_filter(film, 0.9, order=o) for o in ((1, 0), (0, 1))), 0.01
    )
    allowed = np.zeros(bodies.shape, bool)
    allowed[5:-4, 3:-6] = True
    worth = np.ones(bodies.shape)
    rewards = (0.004, 0.009, 0.013)
    whole = cheapest_regions(costs, worth, rewards, allowed)
    monkeypatch.setattr("hoimg.segment.film_cut.WHOLE", 10_000)
    for one, other in zip(whole, cheapest_regions(costs, worth, rewards, allowed), strict=True):
        assert one.any()
        assert not (other & ~allowed).any()
        assert (one ^ other).sum() <= 0.01 * one.sum()
    assert 2 * (whole[2] & bodies).sum() / (whole[2].sum() + bodies.sum()) > 0.85
