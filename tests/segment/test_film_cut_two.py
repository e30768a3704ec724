"""Two outlines of one minimum cut, held against every pair there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.segment.film_cut import OFFSETS, link_costs
from hoimg.segment.film_cut_two import Unlike, cheapest_pairs

SHAPE = (2, 2)
EVERY = [np.array(bits).reshape(SHAPE) for bits in itertools.product((False, True), repeat=4)]


def _outline(costs: np.ndarray, inside: np.ndarray) -> float:
    """Links from a pixel inside to a neighbour outside, one by one."""
    total = 0.0
    for number, (dy, dx) in enumerate(OFFSETS):
        for y, x in np.argwhere(inside):
            if 0 <= y + dy < SHAPE[0] and 0 <= x + dx < SHAPE[1] and not inside[y + dy, x + dx]:
                total += costs[number, y, x]
    return total


def _price(
    pair: tuple[np.ndarray, np.ndarray],
    costs: tuple[np.ndarray, np.ndarray],
    reward: tuple[np.ndarray, np.ndarray],
    unlike: Unlike,
) -> float:
    one, two = pair
    total = _outline(costs[0], one) + _outline(costs[1], two)
    total -= reward[0][one].sum() + reward[1][two].sum()
    total += unlike.neither[~one & ~two].sum()
    return float(total + unlike.came[two & ~one].sum() + unlike.went[one & ~two].sum())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), weight=st.floats(0.0, 2.0))
def test_no_other_pair_is_cheaper(seed, weight):
    rng = np.random.default_rng(seed)
    costs = tuple(link_costs(tuple(rng.normal(size=(2, *SHAPE))), 0.7) for _ in range(2))
    worth = (rng.random(SHAPE), rng.random(SHAPE))
    allowed = (rng.random(SHAPE) < 0.8, rng.random(SHAPE) < 0.8)
    came, went = weight * rng.random(SHAPE), weight * rng.random(SHAPE)
    unlike = Unlike((came + went) * rng.random(SHAPE), came, went)
    rewards = (0.2, 0.9)
    for reward, found in zip(
        rewards, cheapest_pairs(costs, worth, rewards, allowed, unlike), strict=True
    ):
        paid = (reward * worth[0], reward * worth[1])
        best = min(
            _price(pair, costs, paid, unlike)
            for pair in itertools.product(EVERY, EVERY)
            if not any((p & ~a).any() for p, a in zip(pair, allowed, strict=True))
        )
        assert not any((f & ~a).any() for f, a in zip(found, allowed, strict=True))
        assert _price(found, costs, paid, unlike) == pytest.approx(best, abs=1e-3)


def test_what_no_cut_can_find_is_refused():
    none = np.zeros(SHAPE)
    links = np.zeros((len(OFFSETS), *SHAPE))
    every = np.ones(SHAPE, bool)
    with pytest.raises(ValueError, match="neither costs more"):
        cheapest_pairs(
            (links, links), (none, none), (1.0,), (every, every), Unlike(none + 1, none, none)
        )
