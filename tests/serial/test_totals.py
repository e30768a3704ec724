"""Totals of a patient: sums, what they lack, and signed changes over the same lesions."""

import math

import pytest

from hoimg.results import Acquisition, Change, Exam, Hip, Lesion, Maturity, Observation
from hoimg.serial import totals_of
from hoimg.settings import SerialSettings

S = SerialSettings()
ALIKE = Acquisition(kvp=120, kernel="B30f", slice_thickness_mm=1.0, body_part="PELVIS")
DAYS = {"d0": 0, "d100": 100, "d300": 300}


def exam(exam_id, **more):
    return Exam(
        exam_id=exam_id,
        modality="CT",
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        days_from_baseline=DAYS[exam_id],
        **({"acquisition": ALIKE} | more),
    )


def measured(exam_id, volume, **more):
    base = {
        "exam_id": exam_id,
        "status": "measured",
        "volume_mm3": volume,
        "volume_ci95_mm3": (0.9 * volume, 1.1 * volume),
        "mineral_mass_hu_mm3": 500 * volume,
        "mineral_mass_ci95_hu_mm3": (400 * volume, 600 * volume),
        "touches_fov": False,
    }
    return Observation(**(base | more))


def gone(exam_id, *flags):
    status = "not_measurable" if flags else "absent"
    return Observation(exam_id=exam_id, status=status, flags=list(flags))


def lesion(name, *observations, changes=()):
    return Lesion(
        lesion_id=name,
        tracking_uid="2.25.1",
        observations=list(observations),
        changes=list(changes),
        maturity=Maturity(label="indeterminate", reasons=["x"], criteria=[]),
    )


def event(category, start, end):
    return Change(from_exam=start, to_exam=end, days=DAYS[end] - DAYS[start], category=category)


def totals(*lesions, exams=None, unread=()):
    exams = exams or [exam("d0"), exam("d100"), exam("d300")]
    return totals_of(exams, lesions, S, unread=unread)


def test_sums_intervals_new_lesions_and_rates():
    found = totals(
        lesion("L1", measured("d0", 4000), measured("d100", 5000), measured("d300", 6000)),
        lesion(
            "L2",
            gone("d0"),
            measured("d100", 1000),
            measured("d300", 3000),
            changes=[event("new", "d0", "d100")],
        ),
    )
    first, second, third = found.exams
    assert (first.volume_mm3, first.lesions, first.complete) == (4000, 1, True)
    assert second.volume_mm3 == 6000
    assert second.volume_ci95_mm3 == pytest.approx((5400, 6600))  # limits add up
    assert second.mineral_mass_hu_mm3 == 500 * 6000
    assert (first.new_volume_mm3, first.since_previous) == (None, None)
    assert (second.new_lesions, second.new_volume_mm3) == (["L2"], 1000)
    assert (third.new_lesions, third.new_volume_mm3) == ([], 0)
    assert (third.new_since_baseline, third.new_since_baseline_volume_mm3) == (["L2"], 3000)
    since = third.since_previous
    assert (since.volume_change_mm3, since.days, since.lesions) == (3000, 200, ["L1", "L2"])
    assert since.volume_change_pct == pytest.approx(50)
    assert since.annualised_mm3_per_year == pytest.approx(3000 * 365.25 / 200)
    assert since.annualised_pct_per_year == pytest.approx(50 * 365.25 / 200)
    half = math.hypot(600, 900)
    assert since.volume_change_ci95_mm3 == pytest.approx((3000 - half, 3000 + half))
    assert third.since_baseline.volume_change_mm3 == 5000


def test_less_ossification_is_negative_and_not_clipped():
    found = totals(
        lesion("L1", measured("d0", 4000), measured("d100", 1500), measured("d300", 1000)),
        lesion(
            "L2",
            measured("d0", 2000),
            gone("d100"),
            gone("d300"),
            changes=[event("resolved", "d0", "d100")],
        ),
    )
    second = found.exams[1]
    assert second.since_previous.volume_change_mm3 == -4500
    assert second.since_previous.annualised_mm3_per_year == pytest.approx(-4500 * 3.6525)
    assert second.resolved == ["L2"]
    assert second.complete
    assert found.exams[2].new_volume_mm3 == 0


def test_a_lesion_out_of_view_makes_the_total_incomplete_and_leaves_the_change():
    found = totals(
        lesion("L1", measured("d0", 4000), measured("d100", 4400), measured("d300", 4400)),
        lesion("L2", measured("d0", 2000), gone("d100", "outside_fov"), measured("d300", 2200)),
    )
    second, third = found.exams[1:]
    assert (second.volume_mm3, second.complete) == (4400, False)
    assert [(x.lesion_id, x.reasons) for x in second.not_evaluable] == [("L2", ["outside_fov"])]
    change = second.since_previous
    assert (change.volume_change_mm3, change.lesions, change.complete) == (400, ["L1"], False)
    assert [x.lesion_id for x in change.left_out] == ["L2"]
    assert (third.since_baseline.volume_change_mm3, third.since_baseline.complete) == (600, True)


def test_a_cut_lesion_is_counted_as_far_as_it_is_seen_and_said():
    found = totals(
        lesion("L1", measured("d0", 4000), measured("d100", 900, touches_fov=True), gone("d300")),
    )
    second = found.exams[1]
    assert (second.volume_mm3, second.complete) == (900, False)
    assert second.not_evaluable[0].reasons == ["touches_fov"]
    assert second.since_previous.volume_change_mm3 is None
    assert "nothing_evaluable" in second.since_previous.flags


def test_merged_lesions_are_compared_together_or_not_at_all():
    whole = lesion("L1", measured("d0", 4000), measured("d100", 7000), measured("d300", 7000))
    part = lesion(
        "L2", measured("d0", 2500), *[gone(d, "merged_into:L1") for d in ("d100", "d300")]
    )
    found = totals(whole, part).exams[1]
    assert (found.since_previous.volume_change_mm3, found.complete) == (500, True)
    hidden = lesion("L1", gone("d0", "outside_fov"), measured("d100", 7000), measured("d300", 7000))
    blocked = totals(hidden, part).exams[1].since_previous
    assert blocked.volume_change_mm3 is None
    assert {x.lesion_id for x in blocked.left_out} == {"L1", "L2"}


def test_other_acquisitions_are_named_and_have_no_rate():
    exams = [exam("d0"), exam("d100", acquisition=ALIKE.model_copy(update={"kvp": 80}))]
    found = totals(lesion("L1", measured("d0", 4000), measured("d100", 9000)), exams=exams)
    change = found.exams[1].since_previous
    assert (change.comparable, change.flags) == (False, ["kvp_differs"])
    assert change.volume_change_mm3 == 5000
    assert change.annualised_mm3_per_year is None


def test_an_unread_exam_has_no_total_and_is_skipped():
    found = totals(
        lesion("L1", measured("d0", 4000), gone("d100", "exam_unreadable"), measured("d300", 5000)),
        unread={"d100"},
    )
    second, third = found.exams[1:]
    assert (second.volume_mm3, second.complete, second.flags) == (None, False, ["exam_unreadable"])
    assert third.since_previous.from_exam == "d0"


def test_none_is_zero_and_a_missing_mass_is_no_smaller_mass():
    assert totals().exams[0].volume_mm3 == 0
    found = totals(
        lesion("L1", measured("d0", 4000)),
        lesion("L2", measured("d0", 500, mineral_mass_hu_mm3=None)),
        exams=[exam("d0")],
    ).exams[0]
    assert (found.volume_mm3, found.mineral_mass_hu_mm3) == (4500, None)
    assert found.complete


def test_first_in_view_is_not_new():
    found = totals(
        lesion("L1", gone("d0", "outside_fov"), measured("d100", 4000), measured("d300", 4000))
    )
    assert found.exams[1].new_lesions == []
    assert found.exams[1].first_in_view == ["L1"]
    assert found.exams[2].first_in_view == []


def test_regions_by_hip_then_by_what_the_scan_states():
    hip = Hip(side="left", labels=[1], lesions=["L1"])
    exams = [exam("d0", hips=[hip]), exam("d100")]
    found = totals(
        lesion("L1", measured("d0", 4000), measured("d100", 4000)),
        lesion("L2", measured("d0", 700), measured("d100", 800)),
        exams=exams,
    )
    assert found.region_of == {"L1": "left hip", "L2": "pelvis"}
    assert found.region_source == {"L1": "hip_in_view", "L2": "dicom_body_part"}
    assert [(r.region, r.volume_mm3) for r in found.exams[1].regions] == [
        ("left hip", 4000),
        ("pelvis", 800),
    ]
    left = found.exams[1].regions[1]
    assert left.since_baseline.annualised_mm3_per_year == pytest.approx(100 * 3.6525)
    assert left.volume_ci95_mm3 == pytest.approx((720, 880))
    assert (left.new_volume_mm3, left.complete) == (0, True)
    bare = [exam("d0", acquisition=Acquisition())]
    unknown = totals(lesion("L1", measured("d0", 4000)), exams=bare)
    assert unknown.region_of == {"L1": None}
    assert unknown.region_source == {"L1": "no_region_known"}


def test_an_exam_that_could_not_be_placed_has_its_total_but_no_change():
    found = totals(
        lesion("L1", measured("d0", 4000), gone("d100", "registration_rejected")),
        lesion(
            "L2",
            gone("d0", "registration_rejected"),
            measured("d100", 4400, flags=["registration_rejected"]),
        ),
        exams=[exam("d0"), exam("d100")],
    ).exams[1]
    assert (found.volume_mm3, found.complete) == (4400, True)
    assert found.flags == ["lesions_not_matched"]
    assert found.since_previous.volume_change_mm3 is None
    assert {x.lesion_id for x in found.since_previous.left_out} == {"L1", "L2"}


def test_a_region_that_emptied_has_its_negative_change_and_one_out_of_view_has_none():
    hip = Hip(side="left", labels=[1], lesions=["L1"])
    exams = [exam("d0", hips=[hip]), exam("d100")]
    found = totals(
        lesion("L1", measured("d0", 4000), gone("d100")),
        lesion("L2", measured("d0", 700), gone("d100", "outside_fov")),
        exams=exams,
    ).exams[1]
    hips, pelvis = found.regions
    assert (hips.volume_mm3, hips.lesions, hips.complete) == (0, [], True)
    assert hips.since_previous.volume_change_mm3 == -4000
    assert (pelvis.volume_mm3, pelvis.complete) == (None, False)
    assert pelvis.since_previous.volume_change_mm3 is None
    assert (found.volume_mm3, found.complete) == (None, False)
