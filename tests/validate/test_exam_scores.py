"""Scores of one exam against balls and blocks whose scores are known from formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.validate.cases import TruthLesion, TruthObservation
from hoimg.validate.distance import surface_distances
from hoimg.validate.score import score_exam

SPACING = (0.6, 0.5, 0.5)
SIZE = (90, 110, 110)


def ball(radius, centre=(0.0, 0.0, 0.0)):
    """A ball in mm (zyx) about the middle of the array."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SIZE, SPACING, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    gap = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    return gap < radius**2


def lesion(label=1, volume=1000.0, name="A", where="free", stage=1.0):
    seen = TruthObservation(exam=0, label=label, volume_mm3=volume, stage=stage)
    return TruthLesion(id=name, observations=(seen,), where=where), seen


def score(truth, called, lesions, spacing=(1.0, 1.0, 1.0), **more):
    grid = Grid(truth.shape, spacing, (-10.0, 20.0, 300.0))
    return score_exam(
        Mask(truth.astype(np.uint16), grid),
        Mask(called.astype(np.uint16), grid),
        lesions,
        case="c",
        **more,
    )


def blocks(*spans, length=60):
    """A row of voxels 3 x 3 wide; each span (first, last, label)."""
    out = np.zeros((5, 5, length), np.uint16)
    for first, last, label in spans:
        out[1:4, 1:4, first:last] = label
    return out


@pytest.mark.parametrize(("inner", "outer"), [(6.0, 8.0), (10.0, 10.9), (4.0, 12.0)])
def test_surfaces_of_balls_in_one_another_are_their_radii_apart(inner, outer):
    mean, p95 = surface_distances(ball(inner), ball(outer), SPACING)
    assert mean == pytest.approx(outer - inner, abs=0.08)
    assert p95 == pytest.approx(outer - inner, abs=0.35)


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.0])
def test_surfaces_of_a_ball_and_its_shifted_copy(shift):
    radius = 10.0

    # A point of one sphere at cos(angle) = u lies sqrt(r^2 + d^2 - 2 r d u) from the other's
    # centre; u is uniform over a sphere.
    def away(u):
        return abs(np.sqrt(radius**2 + shift**2 - 2 * radius * shift * u) - radius)

    flip = shift / (2 * radius)
    expected = quad(away, -1, 1, points=[flip])[0] / 2

    def share(limit):  # of the sphere that lies within this distance
        low = (radius**2 + shift**2 - (radius + limit) ** 2) / (2 * radius * shift)
        high = (radius**2 + shift**2 - (radius - limit) ** 2) / (2 * radius * shift)
        return (min(high, 1.0) - max(low, -1.0)) / 2

    p95_expected = brentq(lambda v: share(v) - 0.95, 1e-6, shift - 1e-9)
    mean, p95 = surface_distances(ball(radius), ball(radius, (0, 0, shift)), SPACING)
    assert mean == pytest.approx(expected, abs=0.08)
    assert p95 == pytest.approx(p95_expected, abs=0.3)


def test_equal_masks_are_no_distance_apart_and_an_empty_one_has_none():
    one = ball(5.0)
    assert surface_distances(one, one, SPACING) == (0.0, 0.0)
    with pytest.raises(ValueError, match="not empty"):
        surface_distances(one, np.zeros_like(one), SPACING)


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.integers(2, 7)] * 3), st.tuples(*[st.integers(0, 4)] * 3))
def test_distances_do_not_depend_on_the_order_and_grow_with_the_spacing(size, start):
    first = np.zeros((14, 14, 14), bool)
    first[3:9, 3:9, 3:9] = True
    second = np.zeros_like(first)
    second[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    one = surface_distances(first, second, (1.0, 0.8, 0.6))
    two = surface_distances(second, first, (1.0, 0.8, 0.6))
    double = surface_distances(first, second, (2.0, 1.6, 1.2))
    assert one == pytest.approx(two, abs=1e-6)
    assert double == pytest.approx([2 * v for v in one], rel=1e-4)


@pytest.mark.parametrize("shift", [2.0, 8.0])
def test_dice_of_balls_is_that_of_their_lens(shift):
    radius = 10.0
    lens = np.pi * (4 * radius + shift) * (2 * radius - shift) ** 2 / 12
    whole = 4 / 3 * np.pi * radius**3
    made = score(
        ball(radius), ball(radius, (0, shift, 0)), [lesion(volume=whole)], spacing=SPACING
    ).lesions[0]
    assert made.dice == pytest.approx(lens / whole, abs=0.005)
    assert made.covered == pytest.approx(lens / whole, abs=0.005)
    assert made.volume_error_pct == pytest.approx(0.0, abs=0.5)
    assert made.found


def test_volume_is_the_reported_one_against_that_of_the_case():
    called = ball(10.0) * 7
    one = score(ball(9.0), called, [lesion(volume=4000.0)], volumes_mm3={7: 5000.0})
    assert one.lesions[0].called == 7
    assert one.lesions[0].called_mm3 == 5000.0
    assert one.lesions[0].volume_error_pct == pytest.approx(25.0)
    counted = score(ball(9.0), called, [lesion(volume=4000.0)], volumes_mm3={7: None})
    assert counted.lesions[0].called_mm3 == np.count_nonzero(called)


@pytest.mark.parametrize(("extra", "found"), [(10, True), (11, False)])
def test_found_needs_a_dice_of_one_tenth(extra, found):
    # 10 true voxels, one of them called together with others: 2 / (10 + 10) is just enough.
    truth, called = np.zeros((1, 1, 40)), np.zeros((1, 1, 40))
    truth[..., :10] = 1
    called[..., 9 : 9 + extra] = 4
    made = score(truth, called, [lesion(volume=10.0)])
    assert made.lesions[0].found is found
    assert made.lesions[0].called == 4
    assert (made.lesions[0].called_mm3 is not None) is found
    assert len(made.false_lesions) == (0 if found else 1)


def test_the_larger_dice_is_the_match_and_the_rest_are_pieces():
    truth = blocks((10, 40, 1))
    called = blocks((10, 20, 1), (21, 40, 2), (50, 55, 3))
    made = score(truth, called, [lesion(volume=270.0)])
    assert made.called == 3
    assert made.lesions[0].called == 2
    assert made.lesions[0].dice == pytest.approx(2 * 19 / (30 + 19))
    assert made.lesions[0].covered == pytest.approx(19 / 30)
    assert made.lesions[0].pieces == 2
    (false,) = made.false_lesions
    assert (false.called, false.volume_mm3, false.in_truth) == (3, 45.0, 0.0)
    # Voxel 50 to 54 along x, centred at 52; rows 1 to 3, centred at 2.
    assert false.centroid_lps_mm == (42.0, 22.0, 302.0)


@pytest.mark.parametrize(("first", "count"), [(15, 1), (14, 0)])
def test_a_second_lesion_that_is_half_outside_is_false(first, count):
    # Lesion 2 is 10 long and lies by 5 (or 6) in the truth that lesion 1 has found.
    truth = blocks((0, 20, 1))
    called = blocks((0, 13, 1), (first, first + 10, 2))
    made = score(truth, called, [lesion(volume=180.0)])
    assert made.lesions[0].called == 1
    assert len(made.false_lesions) == count
    assert made.lesions[0].pieces == (1 if count else 2)
    if count:
        assert made.false_lesions[0].in_truth == 0.5


@pytest.mark.parametrize(("last", "merged"), [(26, True), (25, False)])
def test_a_lesion_that_holds_a_third_of_another_is_merged(last, merged):
    # The second truth is 20 long; 6 of them are 30 %.
    truth = blocks((0, 20, 1), (20, 40, 2))
    called = blocks((0, last, 9))
    made = score(truth, called, [lesion(1, 180.0), lesion(2, 180.0, "B")])
    assert made.lesions[0].merged is merged
    assert made.lesions[1].found
    assert made.lesions[1].dice == pytest.approx(2 * (last - 20) / (last + 20))
    assert made.lesions[1].merged  # the lesion that found it holds the whole of the first
    assert not made.false_lesions


def test_an_exam_without_truth_or_without_calls():
    nothing = np.zeros((3, 3, 9))
    something = blocks((0, 5, 1), length=9)[:3, :3]
    clean = score(nothing, nothing, [])
    assert (clean.called, clean.lesions, clean.false_lesions) == (0, (), ())
    only_false = score(something * 0, something, [])
    assert len(only_false.false_lesions) == 1
    missed = score(something, something * 0, [lesion(volume=20.0)])
    assert missed.lesions[0].dice == 0.0
    assert missed.lesions[0].called is None
    assert not missed.lesions[0].found


@pytest.mark.parametrize(("count", "why"), [(3, "stone: dense"), (2, None)])
def test_a_missed_lesion_says_what_it_was_taken_for(count, why):
    # 30 voxels long: an excluded piece of 3 holds a tenth of it.
    truth = blocks((0, 30, 1))
    grid = Grid(truth.shape, (1.0, 1.0, 1.0), (-10.0, 20.0, 300.0))
    left = Mask(blocks((0, 1, 6), (5, 5 + count, 4)), grid)
    reasons = {4: "stone: dense", 6: "metal"}
    missed = score(truth, blocks(), [lesion()], excluded=left, reasons=reasons)
    assert missed.lesions[0].left_out == why
    found = score(truth, truth, [lesion()], excluded=left, reasons=reasons)
    assert found.lesions[0].left_out is None


def test_a_label_that_the_case_does_not_name_is_no_truth():
    made = score(blocks((0, 10, 5)), blocks((0, 10, 1)), [])
    assert len(made.false_lesions) == 1


def test_what_cannot_be_compared_is_an_error():
    with pytest.raises(ValueError, match=r"label 3 of case\.json has no voxel"):
        score(blocks((0, 5, 1)), blocks(), [lesion(3)])
    grid = Grid((5, 5, 60), (1.0, 1.0, 1.0))
    moved = Grid((5, 5, 60), (1.0, 1.0, 1.0), (0.0, 0.06, 0.0))
    with pytest.raises(ValueError, match="different grids"):
        score_exam(Mask(blocks(), grid), Mask(blocks(), moved), [], case="c")
