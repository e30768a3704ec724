"""Groups, medians and intervals of scores, against other libraries and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.validate.summary import (
    confusion,
    estimate,
    false_groups,
    select,
    standard_groups,
    summarize,
)
from hoimg.validate.types import CaseScore, ExamScore, FalseLesion, LabelPair, LesionScore


def one(case="a", found=True, dice=0.9, ml=1.0, where="free", stage=0.7, error=5.0, **more):
    return LesionScore(
        case=case,
        exam=0,
        lesion="A",
        where=where,
        stage=stage,
        truth_mm3=1000 * ml,
        found=found,
        called=1 if found else None,
        dice=dice if found else 0.0,
        volume_error_pct=error if found else None,
        surface_mean_mm=0.4 if found else None,
        surface_p95_mm=1.0 if found else None,
        **more,
    )


def scan(case, count, family=None, lesions=()):
    false = FalseLesion(
        case=case,
        exam=0,
        family=family,
        called=1,
        volume_mm3=100.0 * (count + 1),
        centroid_lps_mm=(0.0, 0.0, 0.0),
        in_truth=0.0,
    )
    return ExamScore(
        case=case,
        exam=0,
        family=family,
        called=count,
        lesions=tuple(lesions),
        false_lesions=(false,) * count,
    )


def test_a_group_counts_all_and_measures_the_found():
    made = summarize(
        "g",
        [
            one("a", dice=0.8, error=-10.0, pieces=2),
            one("b", dice=0.9, error=4.0, merged=True),
            one("c", dice=1.0, error=2.0),
            one("d", found=False),
        ],
    )
    assert (made.lesions, made.found, made.split, made.merged) == (4, 3, 1, 1)
    assert made.sensitivity.value == 0.75
    assert made.dice.value == 0.9
    assert made.dice_p10 == pytest.approx(0.82)
    assert made.volume_error_pct.value == 4.0  # of 10, 4, 2
    assert made.volume_bias_pct.value == 2.0  # of -10, 4, 2
    assert made.surface_mean_mm.value == 0.4


def test_a_group_in_which_nothing_was_found_has_no_measures():
    made = summarize("g", [one("a", found=False), one("b", found=False)])
    assert made.sensitivity.value == 0.0
    assert made.dice.value is None
    assert made.dice_p10 is None
    assert made.volume_error_pct.low is None


@pytest.mark.parametrize(("count", "found"), [(24, True), (10, False), (1, True)])
def test_all_or_none_found_gives_the_exact_interval(count, found):
    made = summarize("g", [one(f"c{n}", found=found) for n in range(count)]).sensitivity
    edge = 0.025 ** (1 / count)  # Clopper and Pearson in closed form
    assert (made.low, made.high) == pytest.approx((edge, 1.0) if found else (0.0, 1 - edge))


def test_the_interval_of_a_mean_is_the_normal_one_for_many_cases():
    values = np.random.default_rng(4).normal(3.0, 2.0, 400)
    made = estimate([(str(n), v) for n, v in enumerate(values)], np.mean)
    half = 1.96 * values.std() / np.sqrt(400)
    assert made.value == pytest.approx(values.mean())
    assert made.low == pytest.approx(values.mean() - half, abs=0.03)
    assert made.high == pytest.approx(values.mean() + half, abs=0.03)


def test_lesions_of_one_case_do_not_narrow_the_interval():
    values = np.random.default_rng(5).normal(size=12)
    single = estimate([(f"{n:02}", v) for n, v in enumerate(values)], np.mean)
    many = estimate([(f"{n:02}", v) for n, v in enumerate(values) for _ in range(9)], np.mean)
    assert (many.low, many.high) == pytest.approx((single.low, single.high))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_intervals_lie_within_the_values_and_do_not_depend_on_the_order(values):
    pairs = [(f"{n:02}", v) for n, v in enumerate(values)]
    made = estimate(pairs, np.median)
    assert min(values) <= made.low <= made.high <= max(values)
    assert estimate(pairs[::-1], np.median) == made


def test_one_case_has_no_interval():
    made = estimate([("a", 1.0), ("a", 3.0)], np.median)
    assert (made.value, made.low, made.high) == (2.0, None, None)
    assert estimate([], np.median).value is None


def test_limits_of_size_and_stage_count_from_below():
    lesions = [one(ml=v) for v in (0.499, 0.5, 0.999, 1.0)]
    assert len(select(lesions, ml=(0.5, 1.0))) == 2
    stages = [one(stage=v) for v in (0.499, 0.5, 1.0, None)]
    assert len(select(stages, stage=(0.5, 1.01))) == 2
    assert len(select(stages, stage=(0.0, 0.5))) == 1
    assert len(select([one(where=None), one(where="near")], where=["near", "free"])) == 1
    assert len(select([one(family="x"), one()], families=["x"])) == 1


def test_groups_without_lesions_are_left_out():
    names = dict(standard_groups([one(ml=0.3), one(ml=2.0, where="attached", family="hip")]))
    assert set(names) == {
        "all",
        "free",
        "attached",
        "below 0.5 mL",
        "1-5 mL",
        "stage 0.5 and above",
        "free or near, below 0.5 mL",
        "attached, 1 mL and more",
        "family hip",
    }
    assert standard_groups([]) == []


def test_false_lesions_are_counted_per_scan():
    made = false_groups([scan("a", 3, "hip", [one()]), scan("b", 0, "hip"), scan("c", 1, "arm")])
    found = {group.name: (group.scans, group.false_lesions, group.per_scan.value) for group in made}
    assert found == {
        "all scans": (3, 4, pytest.approx(4 / 3)),
        "scans without lesions": (2, 1, 0.5),
        "family arm": (1, 1, 1.0),
        "family hip": (2, 3, 1.5),
    }
    assert made[0].largest_mm3 == 400.0
    assert false_groups([scan("a", 0)])[0].largest_mm3 is None


def test_labels_are_counted_in_pairs():
    pairs = [("mature", "mature"), ("mature", "not_found"), ("immature", "mature")] * 2
    labels = tuple(
        LabelPair(case="a", lesion=str(n), truth=t, called=c) for n, (t, c) in enumerate(pairs)
    )
    assert confusion([CaseScore(case="a", labels=labels)]) == {
        "immature": {"mature": 2},
        "mature": {"mature": 2, "not_found": 2},
    }
