"""The label at each exam, since when a lesion is mature, and the scan that would settle it."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_label import THIN, changed, seen

from hoimg.maturity import assess, assess_over_time
from hoimg.results import Acquisition
from hoimg.settings import MaturitySettings

RANK = {"immature": 0, "indeterminate": 1, "mature": 2}


def over_time(observations, changes, earlier=(), **more):
    days = {o.exam_id: int(o.exam_id[1:]) for o in observations}
    acquisitions = more.pop("acquisitions", dict.fromkeys(days, THIN))
    return assess_over_time(
        observations, list(changes), acquisitions, days, earlier_changes=list(earlier), **more
    )


def labels(found):
    return [(p.day, p.label) for p in found.history]


def test_mature_since_the_first_of_the_exams_in_a_row():
    found = over_time(
        [seen("d0", rim=0.1, edge=3.0), seen("d100"), seen("d200"), seen("d300")],
        [
            changed("d0", "d100", mass=80, volume=30),
            changed("d100", "d200"),
            changed("d200", "d300"),
            changed("d0", "d300", 300, mass=80, volume=30),
            changed("d100", "d300", 200),
        ],
        [changed("d0", "d200", 200, mass=80, volume=30)],
    )
    assert labels(found) == [
        (0, "immature"),
        (100, "immature"),
        (200, "mature"),
        (300, "mature"),
    ]
    assert found.mature_since_exam == "d200"
    assert found.label == "mature"
    assert found.followup is None


def test_a_lesion_that_grew_again_is_mature_since_the_later_time_only():
    observations = [seen(f"d{d}") for d in (0, 100, 200, 300)]
    found = over_time(
        observations,
        [
            changed("d0", "d100"),
            changed("d100", "d200", volume=40, mass=40),
            changed("d200", "d300"),
        ],
    )
    assert labels(found)[1:] == [(100, "mature"), (200, "immature"), (300, "mature")]
    assert found.mature_since_exam == "d300"


def test_looking_back_uses_nothing_that_came_later():
    observations = [seen("d0"), seen("d100"), seen("d200", 4000.0)]
    changes = [changed("d0", "d100"), changed("d100", "d200", volume=100, mass=100)]
    found = over_time(observations, changes)
    then = assess(observations[:2], changes[:1], {"d0": THIN, "d100": THIN}, {"d0": 0, "d100": 100})
    assert (found.history[1].label, found.history[1].reasons) == (then.label, then.reasons)
    assert found.history[1].label == "mature"
    assert (found.label, found.mature_since_exam) == ("immature", None)


def test_an_increase_that_only_the_intervals_excuse_is_no_stability():
    within = changed("d0", "d100", mass=12, mass_rc_pct=14, mass_rc_settings_pct=10)
    found = over_time([seen("d0"), seen("d100")], [within])
    assert found.label == "indeterminate"
    assert "increase_within_uncertainty" in found.reasons
    (part,) = [c for c in found.criteria if c.id == "R4.mass"]
    assert (part.result, part.pass_at, part.fail_at) == ("intermediate", "<= 10", "> 14")
    for mass, label in ((10.0, "mature"), (14.1, "immature"), (-13.0, "mature")):
        step = changed("d0", "d100", mass=mass, mass_rc_pct=14, mass_rc_settings_pct=10)
        assert over_time([seen("d0"), seen("d100")], [step]).label == label


@pytest.mark.parametrize(
    ("limit", "label"), [(20.0, "mature"), (20.1, "indeterminate"), (80.0, "indeterminate")]
)
def test_stability_is_not_shown_by_measurements_in_which_growth_could_hide(limit, label):
    step = changed("d0", "d100", mass=1.0, mass_rc_pct=limit, mass_rc_settings_pct=10)
    found = over_time([seen("d0"), seen("d100")], [step])
    assert found.label == label
    assert ("measurement_too_uncertain" in found.reasons) == (label != "mature")
    grown = changed("d0", "d100", mass=limit + 1, mass_rc_pct=limit, mass_rc_settings_pct=10)
    assert over_time([seen("d0"), seen("d100")], [grown]).label == "immature"


def needs(found):
    return [n.code for n in found.followup.needs]


def test_one_more_scan_made_alike():
    found = over_time([seen("d10")], [], baseline_date=date(2024, 1, 1))
    follow = found.followup
    assert (follow.earliest_day, follow.earliest_date) == (94, date(2024, 4, 4))
    assert (follow.scans, follow.like_exam) == (1, "d10")
    assert needs(found) == ["same_kvp", "same_kernel", "same_slices", "whole_lesion", "no_contrast"]
    assert [n.text for n in follow.needs][:3] == [
        "tube voltage 120 kV, as at day 10",
        "kernel B, as at day 10",
        "slices of 1 mm, as at day 10",
    ]


@pytest.mark.parametrize(
    ("more", "acquisition", "need"),
    [
        ({}, {"slice_thickness_mm": 1.51}, "thin_slices"),
        ({}, {"slice_thickness_mm": 5.0}, "thin_slices"),
        ({"touches_fov": True}, {}, "whole_lesion"),
        ({"distance_to_metal_mm": 4.0}, {}, "metal_artefact_reduction"),
        ({"flags": ["crosses_gap"]}, {}, "no_gaps"),
        ({"flags": ["contrast_overlap"]}, {"contrast": True}, "no_contrast"),
    ],
)
def test_an_exam_that_is_no_prior_takes_two_scans(more, acquisition, need):
    made = {"d10": THIN.model_copy(update=acquisition)}
    found = over_time([seen("d10", **more)], [], acquisitions=made)
    assert (found.followup.scans, found.followup.like_exam) == (2, None)
    assert found.followup.earliest_day == 94
    assert need in needs(found)
    assert "two_scans" in needs(found)


def test_slices_at_the_limit_are_thin_enough():
    made = {"d10": THIN.model_copy(update={"slice_thickness_mm": 1.5})}
    assert over_time([seen("d10")], [], acquisitions=made).followup.scans == 1


def test_a_small_lesion_is_told_that_only_growth_would_let_it_be_judged():
    found = over_time([seen("d0", 300.0)], [])
    assert found.followup.scans == 1
    assert "size" in needs(found)


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        ({"zone_contrast_hu": -150.0}, "red_flag_not_settled_by_follow_up"),
        ({"flags": ["mimic_sarcoma"]}, "mimic_not_settled_by_follow_up"),
    ],
)
def test_no_date_is_named_where_time_settles_nothing(more, flag):
    follow = over_time([seen("d0", **more)], []).followup
    assert (follow.earliest_day, follow.flags, follow.needs) == (None, [flag], [])


def test_the_onset_can_put_the_date_later():
    assert over_time([seen("d10")], [], onset_day=60).followup.earliest_day == 60 + 56
    assert over_time([seen("d10")], [], onset_day=-60).followup.earliest_day == 94


RESULT = st.sampled_from(["mature", "grown", "faint", "thick"])


@given(onset=st.integers(-4000, 400), kinds=st.lists(RESULT, min_size=1, max_size=4))
def test_a_known_onset_never_raises_a_label(onset, kinds):
    observations, changes, made = [], [], {}
    for k, kind in enumerate(kinds):
        faint = kind == "faint"
        observations.append(seen(f"d{100 * k}", rim=0.1 if faint else 0.9, edge=3 if faint else 1))
        made[f"d{100 * k}"] = Acquisition(
            kvp=120, kernel="B", slice_thickness_mm=5.0 if kind == "thick" else 1.0
        )
        if k:
            step = 40.0 if kind == "grown" else 0.0
            changes.append(changed(f"d{100 * (k - 1)}", f"d{100 * k}", volume=step, mass=step))
    without = over_time(observations, changes, acquisitions=made)
    told = over_time(observations, changes, acquisitions=made, onset_day=onset)
    assert RANK[told.label] <= RANK[without.label]
    for then, now in zip(without.history, told.history, strict=True):
        assert RANK[now.label] <= RANK[then.label]


def test_the_interval_needed_is_a_setting():
    found = assess_over_time(
        [seen("d0")], [], {"d0": THIN}, {"d0": 0}, MaturitySettings(serial_min_days=30)
    )
    assert found.followup.earliest_day == 30
