"""What edges enclose on one of two drawn pictures and not on the other."""

from __future__ import annotations

import numpy as np
import pytest

from hoimg.segment.film_enclosed import Enclosed, _best, enclosed

STEP = 1.35
TOLERANCE = 3.0
SHAPE = (90, 100)
WHOLE = np.ones(SHAPE, bool)
PLACE = (40, 50)


def picture(*discs, seed=1):
    """Even soft tissue with a bar of bone; discs as (row, column, radius in mm, step)."""
    y, x = np.indices(SHAPE)
    values = np.random.default_rng(seed).normal(0, 0.02, SHAPE)
    values += 1.0 * (np.abs(x - 15) < 5)
    for row, column, radius, step in discs:
        values += step * (np.hypot(y - row, x - column) * STEP < radius)
    return values.astype(np.float32)


def found(one, other, usable=WHOLE):
    return enclosed(one, other, (WHOLE, WHOLE), usable, STEP, TOLERANCE)


def clear(places):
    return [p for p in places if p.closed > 0.5]


@pytest.mark.parametrize("radius", [5.0, 9.0, 14.0])
def test_a_disc_on_one_picture_alone_is_enclosed_as_it_is(radius):
    [place] = clear(found(picture((*PLACE, radius, 0.5)), picture(seed=2)))
    y, x = np.indices(SHAPE)
    disc = np.hypot(y - PLACE[0], x - PLACE[1]) * STEP < radius
    assert (place.region & disc).sum() / (place.region | disc).sum() > 0.75
    assert place.closed > 0.85


def test_what_both_have_within_the_tolerance_is_the_same_and_beyond_it_is_not():
    one = picture((*PLACE, 8.0, 0.5))
    for pixels, expected in ((0, 0), (2, 0), (14, 1)):  # 0, 2.7 and 19 mm aside
        other = picture((PLACE[0], PLACE[1] + pixels, 8.0, 0.5), seed=2)
        assert len(clear(found(one, other))) == expected


def test_what_is_darker_or_has_gone_is_not_enclosed():
    assert clear(found(picture((*PLACE, 8.0, -0.5)), picture(seed=2))) == []
    assert clear(found(picture(), picture((*PLACE, 8.0, 0.5), seed=2))) == []


def test_an_edge_on_one_side_alone_is_not_taken_for_a_closed_one():
    # Steep where it begins, fading over 40 mm, as thick as the picture is high.
    x = np.indices(SHAPE)[1]
    one = picture() + 0.5 * (x >= 45) * np.clip(1 - (x - 45) * STEP / 40, 0, 1)
    usable = np.zeros(SHAPE, bool)
    usable[6:-6, 6:-6] = True
    places = found(one.astype(np.float32), picture(seed=2), usable)
    assert any(p.region[:, 50].sum() > 40 for p in places)
    assert max(p.closed for p in places) < 0.75
    [whole] = clear(found(picture((*PLACE, 14.0, 0.5)), picture(seed=2), usable))
    assert whole.closed > 0.9


def test_places_that_cannot_be_compared_are_left_out():
    one, usable = picture((*PLACE, 8.0, 0.5)), WHOLE.copy()
    usable[:, 35:70] = False
    assert clear(found(one, picture(seed=2), usable)) == []
    assert found(one, picture(seed=2), ~WHOLE) == []


def test_of_two_alike_the_one_in_even_surroundings_comes_first():
    one, other = picture((25, 60, 8.0, 0.5), (65, 60, 8.0, 0.5)), picture(seed=2)
    # Stripes that both pictures have, so that their edges are of neither alone.
    stripes = 0.2 * np.sin(np.indices(SHAPE)[1] * STEP * 2 * np.pi / 8)
    one[45:], other[45:] = one[45:] + stripes[45:], other[45:] + stripes[45:]
    places = found(one, other)
    first, second = places[0], next(p for p in places if p.region[65, 60])
    assert first.region[25, 60]
    assert not first.region[65, 60]
    assert first.uneven < 0.1 < second.uneven
    assert first.score > second.score
    assert Enclosed(WHOLE, 0.1, 0.5).score == 0.0


def test_of_places_that_overlap_the_better_closed_one_is_kept():
    def place(first, last, closed):
        region = np.zeros((1, 30), bool)
        region[0, first:last] = True
        return Enclosed(region, closed, 0.0)

    # 10 pixels each: 3 in common are one place, 2 are two.
    wide, beside, apart = place(0, 10, 0.7), place(7, 17, 0.8), place(15, 25, 0.6)
    assert _best([wide, beside, apart]) == [beside, apart]
    assert _best([]) == []
