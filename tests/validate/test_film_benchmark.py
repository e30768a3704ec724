"""Regions and rows of ``benchmarks/films``, on shadows and facts written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks" / "films"
MODULES = ("cases", "score", "run", "serial")


@pytest.mark.parametrize("kind", ["box", "polygon"])
def test_a_region_holds_its_shadow_with_the_margin_and_no_more(bench, kind):
    y, x = np.indices((200, 220)) * 0.25
    shadow = (np.hypot(y - 25, x - 25) < 7) | (np.hypot(y - 22, x - 35) < 4)
    for seed in range(4):
        region = bench["run"].draw_region(shadow, 0.25, kind, np.random.default_rng(seed))
        assert not (shadow & ~region).any()
        rows = np.flatnonzero(region.any(1)), np.flatnonzero(shadow.any(1))
        for margin in (rows[1][0] - rows[0][0], rows[0][-1] - rows[1][-1]):
            assert 3.5 <= margin * 0.25 <= 12.6


def fact(cnr, dice=0.9, **more):
    """A fact of a lesion with 10 % too much area."""
    truth = {"cnr": cnr, "in_field": 1.0}
    return {
        "case": "a",
        "family": "pelvis",
        "lesion": "A",
        "truth": truth,
        "overlapped": False,
        "reason": None if dice is not None else "film_contrast_below_noise",
        "dice": dice,
        "seconds": 1.0,
        "area_px2": 110.0,
        "area_true_px2": 100.0,
        "area_ci95_px2": [90.0, 130.0],
        "corrected": True,
        "length_mm": 10.2,
        "length_true_mm": 10.0,
        "length_ci95_mm": [10.1, 10.3],
    } | more


def test_the_table_counts_by_the_true_contrast(bench):
    facts = [fact(5.0), fact(3.0, 0.8), fact(2.9, None), fact(0.5, None), fact(0.9, 0.1)]
    facts += [fact(9.0, 0.0, overlapped=True), fact(9.0, 0.0, truth={"cnr": 9.0, "in_field": 0.5})]
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[3:6]]
        for line in bench["score"].table(facts, "x", "box").splitlines()
        if line.count("|") == 6
    }
    assert rows["lesions on films"] == ["2", "1", "2"]
    assert rows["not measurable, contrast below noise"] == ["0 % of 2", "100 % of 1", "50 % of 2"]
    assert rows["Dice, median of the outlined"] == ["0.85", "–", "0.10"]
    assert rows["area error, median size"][0] == "10 %"
    assert rows["area's interval holds the truth (px²)"][0] == "100 % of 2"
    assert rows["length's interval holds the truth"][0] == "0 % of 2"


def test_repeated_values_agree_within_both_intervals_or_do_not(bench):
    def pair(case, a, b, half):
        return [
            fact(
                5.0,
                case=case,
                family="unchanged",
                edge_ratio=v,
                edge_ratio_ci95=[v - half, v + half],
            )
            for v in (a, b)
        ]

    facts = pair("a", 1.0, 1.2, 0.2) + pair("b", 1.0, 2.0, 0.2) + pair("c", 1.0, 1.0, 0.1)[:1]
    assert bench["score"].repeated(facts, "edge_ratio") == [True, False]


def pair_fact(family, category, **more):
    return {
        "family": family,
        "cnr": 5.0,
        "compared": category is not None,
        "category": category,
        "pct": 41.0,
        "true_pct": 40.0,
        "rc": 30.0,
        "flags": [],
        "seconds": 2.0,
    } | more


def test_pairs_are_counted_by_what_was_said_of_them(bench):
    same = "no_detectable_change"
    facts = [
        pair_fact("grown", "enlarging"),
        pair_fact("grown", same, cnr=2.9, pct=21.0),
        pair_fact("grown", None),
        pair_fact("projection", same, compared=False, flags=["projection_changed"]),
        pair_fact("projection", same, compared=False, flags=["film_registration_x"]),
        pair_fact("unchanged", "shrinking"),
    ]
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in bench["serial"].table(facts, "x", False).splitlines()
        if line.startswith("|")
    }
    assert rows["grown"] == ["3", "2", "1", "0", "0", "0", "1", "+31 % (+40 %)", "30 %"]
    assert rows["grown, seen"][:3] == ["2", "1", "1"]
    assert rows["projection"] == ["2", "0", "0", "0", "1", "1", "0", "–", "–"]
    assert rows["unchanged"][3] == "1"
