"""Labels from films: what one view or one date may say at most, and growth."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoimg.maturity import FilmFacts, assess_on_films
from hoimg.results import Change, Maturity, Observation
from hoimg.settings import MaturitySettings

FILMS = {
    "ap0": FilmFacts(0, "frontal"),
    "lat0": FilmFacts(0, "lateral"),
    "ap1": FilmFacts(84, "frontal"),
    "lat1": FilmFacts(84, "lateral"),
    "ap_early": FilmFacts(83, "frontal"),
    "lat_early": FilmFacts(83, "lateral"),
    "unknown": FilmFacts(84, None),
    "pa1": FilmFacts(84, "frontal"),
}


def seen(exam_id: str, **values: Any) -> Observation:
    """A lesion that looks mature on a film, unless said otherwise."""
    flags = values.pop("flags", [])
    told = {
        "status": "measured",
        "label": 1,
        "area_mm2": 300.0,
        "corticated_fraction": 0.9,
        "edge_ratio": 1.2,
        "touches_fov": False,
        **values,
    }
    return Observation(exam_id=exam_id, flags=["film_gives_no_volume", *flags], **told)


def change(first: str, second: str, percent: float, **values: Any) -> Change:
    return Change(
        from_exam=first,
        to_exam=second,
        days=FILMS[second].day - FILMS[first].day,
        area_change_pct=percent,
        area_rc_pct=values.pop("rc", 25.0),
        category="no_detectable_change",
        **values,
    )


PAIR = [change("ap0", "ap1", 5.0), change("lat0", "lat1", -3.0)]
FOUR = [seen(e) for e in ("ap0", "lat0", "ap1", "lat1")]


def label(
    observations: list[Observation], changes: list[Change] | None = None, **how: Any
) -> Maturity:
    return assess_on_films(observations, changes or [], FILMS, MaturitySettings(), **how)


def test_two_projections_and_two_dates_make_mature() -> None:
    found = label(FOUR, PAIR)
    assert (found.label, found.exam_id) == ("mature", "ap1")
    assert found.reasons == ["rim_complete", "margin_sharp", "no_detectable_area_change"]
    assert found.followup is None
    assert [(h.day, h.label) for h in found.history] == [(0, "indeterminate"), (84, "mature")]
    assert [h.exam_id for h in found.history] == ["ap0", "ap1"]
    assert found.mature_since_exam == "ap1"
    results = {c.id: c.result for c in found.criteria}
    assert (results["R3"], results["R6"]) == ("unrated", "unrated")
    assert "films alone" in found.summary


@pytest.mark.parametrize(
    ("observations", "changes", "reason"),
    [
        ([seen("ap1")], [], "one_projection"),
        ([seen("ap1"), seen("lat1")], [], "stability_untested"),
        ([seen("ap0"), seen("ap1")], PAIR[:1], "one_projection"),
        ([seen("ap1"), seen("pa1")], [], "one_projection"),  # AP and PA are one projection
        ([seen("ap1"), seen("unknown")], [], "one_projection"),
        (FOUR, [], "area_not_compared"),
        (FOUR, PAIR[:1], "area_not_compared"),  # the lateral was not compared
        (FOUR, [PAIR[0], change("ap0", "lat1", 0.0)], "area_not_compared"),  # two planes
        (FOUR, [PAIR[0], change("lat0", "lat1", 0.0, comparable=False)], "area_not_compared"),
        ([seen("ap_early"), seen("ap1"), seen("lat1")], [], "interval_too_short"),
    ],
)
def test_with_less_it_is_at_most_mature_appearing(
    observations: list[Observation], changes: list[Change], reason: str
) -> None:
    found = label(observations, changes)
    assert found.label == "indeterminate"
    assert "mature_appearing" in found.reasons
    assert reason in found.reasons
    assert "mature-appearing" in found.summary


def test_83_days_are_too_short_and_84_are_enough() -> None:
    short = [change("ap_early", "ap1", 0.0), change("lat_early", "lat1", 0.0)]
    views = [seen(e) for e in ("ap_early", "lat_early", "ap1", "lat1")]
    assert "interval_too_short" in label(views, short).reasons
    assert label(FOUR, PAIR).label == "mature"


@pytest.mark.parametrize(("percent", "wanted"), [(25.0, "mature"), (25.1, "immature")])
def test_growth_in_any_projection_beats_looks(percent: float, wanted: str) -> None:
    found = label(FOUR, [PAIR[0], change("lat0", "lat1", percent)])
    assert found.label == wanted
    assert ("area_increase" in found.reasons) == (wanted == "immature")


def test_growth_counts_however_short_the_interval() -> None:
    views = [seen("ap_early"), seen("ap1"), seen("lat1")]
    assert label(views, [change("ap_early", "ap1", 60.0)]).label == "immature"


def test_a_smaller_shadow_is_regressing() -> None:
    found = label(FOUR, [PAIR[0], change("lat0", "lat1", -40.0)])
    assert (found.label, "regressing" in found.reasons) == ("mature", True)


def test_neither_contour_nor_margin_on_every_film_is_immature() -> None:
    bad = {"corticated_fraction": 0.1, "edge_ratio": 3.0}
    assert label([seen("ap1", **bad)]).label == "immature"
    assert label([seen("ap1", **bad), seen("lat1", **bad)]).label == "immature"
    mixed = label([seen("ap1", **bad), seen("lat1")])
    assert mixed.label == "indeterminate"
    assert mixed.reasons[:2] == ["rim_intermediate", "margin_intermediate"]


def test_a_rule_shows_the_value_of_its_least_ripe_film() -> None:
    views = [
        seen("ap1", corticated_fraction=0.9, edge_ratio=1.4),
        seen("lat1", corticated_fraction=0.8, edge_ratio=1.2),
    ]
    rules = {c.id: c for c in label(views).criteria}
    assert (rules["R1"].value, rules["R2"].value) == (0.8, 1.4)
    assert (rules["R1"].note, rules["R2"].note) == (
        "each film: 0.90, 0.80",
        "each film: 1.40, 1.20",
    )


@pytest.mark.parametrize(
    ("values", "rule", "result"),
    [
        ({"corticated_fraction": 0.75}, "R1", "pass"),
        ({"corticated_fraction": 0.7499}, "R1", "intermediate"),
        ({"corticated_fraction": 0.2501}, "R1", "intermediate"),
        ({"corticated_fraction": 0.25}, "R1", "fail"),
        ({"edge_ratio": 1.5}, "R2", "pass"),
        ({"edge_ratio": 1.5001}, "R2", "intermediate"),
        ({"edge_ratio": 2.4999}, "R2", "intermediate"),
        ({"edge_ratio": 2.5}, "R2", "fail"),
    ],
)
def test_limits_count_as_reached(values: dict[str, Any], rule: str, result: str) -> None:
    [found] = [c for c in label([seen("ap1", **values)]).criteria if c.id == rule]
    assert found.result == result


def test_one_film_that_cannot_be_rated_leaves_the_rule_open() -> None:
    found = label([seen("ap1"), seen("lat1", corticated_fraction=None)])
    assert "rim_unrated" in found.reasons
    assert "mature_appearing" not in found.reasons
    [rule] = [c for c in found.criteria if c.id == "R1"]
    assert (rule.value, "not measured" in rule.note) == (0.9, True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"touches_fov": True}, "cut_by_field_of_view"),
        ({"flags": ["touches_fov"]}, "cut_by_field_of_view"),
        ({"flags": ["near_metal"]}, "near_metal"),
        ({"flags": ["mimic_stone"]}, "mimic_suspected"),
        ({"flags": ["polarity_doubtful"]}, "polarity_doubtful"),
        ({"area_mm2": 56.9}, "too_small_to_judge"),
        ({"area_mm2": None}, "area_not_measured"),
        ({"touches_fov": None}, "field_of_view_unknown"),
    ],
)
def test_the_gate_withholds_every_label(values: dict[str, Any], reason: str) -> None:
    views = [*FOUR[:3], seen("lat1", **values)]
    for changes in (PAIR, [change("ap0", "ap1", 90.0)]):
        found = label(views, changes)
        assert (found.label, found.reasons) == ("indeterminate", [reason])
    assert (label(views).followup is None) == (
        reason not in ("too_small_to_judge", "mimic_suspected")
    )


def test_a_known_onset_holds_mature_back() -> None:
    assert label(FOUR, PAIR, onset_day=29).label == "indeterminate"
    assert label(FOUR, PAIR, onset_day=28).label == "mature"


def test_the_earliest_follow_up_is_named() -> None:
    found = label([seen("ap1"), seen("lat1")], baseline_date=date(2024, 1, 1))
    assert found.earliest_informative_followup_day == 84 + 84
    assert found.earliest_informative_followup == date(2024, 6, 17)
    assert found.followup is not None
    assert found.followup.needs[0].code == "two_projections"


def test_nothing_measured_and_only_the_measured_ones_are_judged() -> None:
    lost = Observation(exam_id="ap1", status="not_measurable", flags=["film_contrast_below_noise"])
    assert label([lost]).reasons == ["never_measured"]
    assert label([seen("ap0"), lost]).exam_id == "ap0"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(FILMS)),
            st.one_of(st.none(), st.floats(0, 1)),
            st.one_of(st.none(), st.floats(0.5, 4)),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda row: row[0],
    ),
    st.lists(
        st.tuples(st.sampled_from(["ap", "lat"]), st.floats(-60, 60)),
        max_size=3,
    ),
)
def test_mature_always_has_two_planes_and_two_dates(
    rows: list[tuple[str, float | None, float | None]], moved: list[tuple[str, float]]
) -> None:
    views = [seen(e, corticated_fraction=c, edge_ratio=w) for e, c, w in rows]
    changes = [change(f"{v}0", f"{v}1", p) for v, p in moved]
    found = label(views, changes)
    if found.label == "mature":
        last = max(FILMS[e].day for e, _, _ in rows)
        planes = {FILMS[e].plane for e, _, _ in rows if FILMS[e].day == last}
        assert {"frontal", "lateral"} <= planes
        assert last == 84
        assert {v for v, _ in moved} == {"ap", "lat"}
        assert all(p <= 25 for _, p in moved)
