"""Where marks stand: bars as long as their numbers, boxes where quartiles lie, lanes in days."""

from __future__ import annotations

import re

import pytest

from hoimg.cohort.figures import CUT_PCT, counts, regions, waterfall
from hoimg.cohort.read import LastChange, LesionCourse, _last
from hoimg.cohort.swimmer import MOST_LANES, swimmer


def lesion(
    pct: float | None = None,
    category: str = "enlarging",
    *,
    comparable: bool = True,
    volumes: tuple[tuple[int, float], ...] = (),
    labels: tuple[tuple[int, str], ...] = (),
    region: str | None = "left_hip",
    key: str = "p1",
    last_seen: str = "measured",
) -> LesionCourse:
    change = LastChange(category, 90, pct, 25.0, comparable)
    return LesionCourse(
        key, "L1", "mature", (), region, volumes, labels, change, last_seen
    )  # fmt: skip


def bars(svg: str, kind: str) -> list[tuple[float, float]]:
    """Left edge and signed length (up is positive) of each bar of a kind."""
    path = re.search(rf'class="w-{kind}" d="([^"]*)"', svg)
    if path is None:
        return []
    found = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", path[1])
    return [(float(x), float(zero) - float(tip)) for x, zero, tip in found]


def test_the_last_change_is_that_from_the_nearest_exam_to_the_newest():
    rows = [
        {"from_day": start, "to_day": end, "days": end - start, "category": "enlarging",
         "volume_change_pct": float(start), "volume_rc_pct": 25.0, "comparable": 1}
        for start, end in ((30, 60), (60, 90), (0, 90), (0, 30))
    ]  # fmt: skip
    assert _last(rows) == LastChange("enlarging", 30, 60.0, 25.0, True)
    assert _last(rows[::-1]) == _last(rows)
    assert _last([]) is None


def test_bars_are_as_long_as_their_changes_and_in_order():
    made = waterfall(
        [
            lesion(-50.0, "shrinking"),
            lesion(100.0),
            lesion(10.0, "no_detectable_change"),
            lesion(40.0, comparable=False),
            lesion(None, "new"),
            lesion(None, "resolved"),
        ]
    )
    svg = str(made.svg)
    ((x1, up),) = bars(svg, "enlarging")
    ((x2, other),) = bars(svg, "other")
    ((x3, little),) = bars(svg, "no_detectable_change")
    ((x4, down),) = bars(svg, "shrinking")
    assert x1 < x2 < x3 < x4
    # Drawn to a tenth of a pixel.
    assert [other / up, little / up, down / up] == pytest.approx([0.4, 0.1, -0.5], abs=0.005)
    assert made.bars == 4
    assert made.without == {"new": 1, "resolved": 1}
    assert (made.cut, "arrow" in svg) == (0, False)


def test_a_bar_that_is_too_long_is_cut_and_says_so():
    made = waterfall([lesion(CUT_PCT), lesion(CUT_PCT + 1), lesion(5000.0)])
    assert made.cut == 2
    assert str(made.svg).count("l-3 -5Z") == 2
    lengths = [long for _, long in bars(str(made.svg), "enlarging")]
    assert lengths == [lengths[0]] * 3
    assert "from +5\u202f000 % to +200 %" in str(made.svg)


def test_a_lesion_without_change_has_a_mark_and_none_gives_no_drawing():
    made = waterfall([lesion(0.0, "no_detectable_change")])
    ((_, long),) = bars(str(made.svg), "no_detectable_change")
    assert long > 0.5
    assert waterfall([]).svg == ""
    assert regions([]) == ""
    assert swimmer([]).svg == ""
    assert counts("Nothing", []) == ""


def test_boxes_stand_where_the_quartiles_are_on_a_scale_of_tens():
    volumes = [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]  # mm3: 0.01 to 100 cm3
    many = [lesion(volumes=((0, 7.0), (9, v))) for v in volumes]
    gone = lesion(volumes=((0, 9e9),), last_seen="absent")
    svg = str(regions([*many, gone]))
    low, high = map(float, re.search(r'class="range" d="M([\d.]+) [\d.]+H([\d.]+)', svg).groups())
    median = float(re.search(r'class="median" d="M([\d.]+)', svg)[1])
    assert (median - low) / (high - low) == pytest.approx(0.5, abs=0.001)
    assert "left hip: 5 lesions, median 1.00 cm³, total 111 cm³" in svg
    few = str(regions([lesion(volumes=((0, v),)) for v in volumes[:3]]))
    assert few.count('class="dot"') == 3
    assert "rect" not in few


def test_lanes_run_in_days_and_the_longest_followed_are_shown():
    long = lesion(labels=((0, "immature"), (50, "mature"), (200, "mature")), key="long")
    made = swimmer([lesion(labels=((0, "mature"),)), long, lesion()])
    svg = str(made.svg)
    assert (made.lanes, made.rated) == (2, 2)
    assert svg.index(">long L1<") < svg.index(">p1 L1<")
    ((a, b),) = re.findall(r'lane-immature" d="M([\d.]+) [\d.]+H([\d.]+)"', svg)
    ((c, d),) = re.findall(r'lane-mature" d="M([\d.]+) [\d.]+H([\d.]+)"', svg)
    assert b == c
    assert (float(d) - float(c)) / (float(b) - float(a)) == pytest.approx(3.0, abs=0.01)
    assert "2 mature, 0 immature, 0 indeterminate" in svg
    crowd = [lesion(labels=((0, "mature"), (n, "mature"))) for n in range(MOST_LANES + 1)]
    made = swimmer(crowd)
    assert (made.lanes, made.rated) == (MOST_LANES, MOST_LANES + 1)
