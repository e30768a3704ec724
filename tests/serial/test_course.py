"""The course over three or more exams, against rates planted and a fit by numpy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.results import Acquisition, Change, Observation
from hoimg.serial import fit_course
from hoimg.settings import SerialSettings

S = SerialSettings()
ALIKE = Acquisition(kvp=120, kernel="B30f", slice_thickness_mm=1.0)


def seen(day, volume, half=0.03, **more):
    return Observation(
        exam_id=f"d{day}",
        **{
            "status": "measured",
            "volume_mm3": volume,
            "volume_ci95_mm3": (volume * math.exp(-half), volume * math.exp(half)),
            "touches_fov": False,
            **more,
        },
    )


def course(observations, changes=(), acquisitions=None):
    days = {o.exam_id: int(o.exam_id[1:]) for o in observations}
    return fit_course(
        observations, list(changes), acquisitions or dict.fromkeys(days, ALIKE), days, S
    )


@pytest.mark.parametrize("rate", [0.6, 0.0, -0.4])
def test_a_planted_rate_is_found_exactly(rate):
    days = (0, 100, 190, 400)
    found = course([seen(d, 5000 * (1 + rate) ** (d / 365.25)) for d in days])
    assert found.rate_pct_per_year == pytest.approx(100 * rate, abs=1e-6)
    assert found.n == 4
    assert found.days == 400
    low, high = found.rate_ci95_pct_per_year
    assert low < 100 * rate < high
    assert found.start_mm3 == pytest.approx(5000)
    # Errors of RC / 2.77 = 8.06 % in the logarithm, so the slope's error is 0.0806 / sqrt(Sxx).
    sd = math.log(1.25) / 2.77
    half = 1.96 * sd / math.sqrt(sum((d - np.mean(days)) ** 2 for d in days))
    # Within 25 % the RC is the floor, the same for all four.
    assert math.log1p(high / 100) - math.log1p(rate) == pytest.approx(365.25 * half, rel=1e-6)
    assert found.flags == []


def test_weights_are_those_of_the_intervals():
    steps = [(0, 3000.0, 0.5), (100, 4200.0, 0.03), (250, 4000.0, 0.9), (380, 6000.0, 0.03)]
    found = course([seen(*s) for s in steps])
    sd = [max(math.log1p(max(25, 16 + 430 / math.sqrt(v)) / 100) / 2.77, h / 1.96)
          for _, v, h in steps]  # fmt: skip
    fit = np.polyfit([s[0] for s in steps], np.log([s[1] for s in steps]), 1, w=1 / np.array(sd))
    assert found.rate_pct_per_year == pytest.approx(100 * math.expm1(fit[0] * 365.25), rel=1e-9)


def test_growth_beyond_doubt_has_a_doubling_time():
    found = course([seen(d, 4000 * 2 ** (d / 200)) for d in (0, 200, 400)])
    assert found.trend == "increasing"
    assert found.doubling_days == pytest.approx(200)
    slow = course([seen(d, 4000 * 1.02 ** (d / 200)) for d in (0, 200, 400)])
    assert (slow.trend, slow.doubling_days) == ("no_detectable_trend", None)
    assert course([seen(d, 9000 / 2 ** (d / 200)) for d in (0, 200, 400)]).trend == "decreasing"


def test_growth_that_came_to_rest_is_no_line_and_its_interval_says_so():
    days = (0, 100, 200, 300, 400)
    grown = course([seen(d, v) for d, v in zip(days, (1000, 3000, 9000, 9000, 9000), strict=True)])
    assert "not_log_linear" in grown.flags
    logs, x = np.log([1000, 3000, 9000, 9000, 9000]), np.array(days)
    sd = [math.log1p(max(25, 16 + 430 / math.sqrt(v)) / 100) / 2.77 for v in np.exp(logs)]
    slope = np.polyfit(x, logs, 1, w=1 / np.array(sd))[0]
    low, high = (math.log1p(v / 100) / 365.25 for v in grown.rate_ci95_pct_per_year)
    # Wider than errors alone: chi2 of 3 degrees of freedom and t of 3.18.
    moment = np.sum((x - np.average(x, weights=1 / np.square(sd))) ** 2 / np.square(sd))
    assert (high - low) / 2 > 1.5 * 1.96 / math.sqrt(moment)
    assert (high + low) / 2 == pytest.approx(slope, rel=1e-6)


def test_less_than_a_year_is_said():
    found = course([seen(d, 4000.0) for d in (0, 100, 365)])
    assert found.flags == ["annualised_beyond_span"]
    assert course([seen(d, 4000.0) for d in (0, 100, 366)]).flags == []


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_have_no_course(count):
    found = course([seen(d, 4000.0) for d in (0, 100)[:count]])
    assert (found.rate_pct_per_year, found.flags, found.n) == (None, ["too_few_exams"], count)


def test_incomparable_exams_are_left_out_by_name():
    four = [seen(d, 4000.0) for d in (0, 100, 200, 300)]
    made = dict.fromkeys(("d0", "d100", "d200", "d300"), ALIKE)
    made["d100"] = ALIKE.model_copy(update={"kvp": 100})
    found = course(four, acquisitions=made)
    assert found.exams == ["d0", "d200", "d300"]
    assert [(x.exam_id, x.reasons) for x in found.left_out] == [("d100", ["kvp_differs"])]
    made["d0"] = ALIKE.model_copy(update={"kernel": "B70f"})
    fewer = course(four, acquisitions=made)
    assert fewer.rate_pct_per_year is None
    assert fewer.flags == ["too_few_comparable_exams"]
    assert fewer.exams == ["d200", "d300"]


def test_what_is_cut_or_came_by_a_merge_is_left_out():
    five = [seen(d, 4000.0) for d in (0, 100, 200, 300, 400)]
    five[4] = seen(400, 2000.0, touches_fov=True)
    merge = Change(from_exam="d0", to_exam="d100", days=100, category="merged")
    found = course(five, [merge])
    assert found.exams == ["d100", "d200", "d300"]
    assert [(x.exam_id, x.reasons) for x in found.left_out] == [
        ("d0", ["before_merge_or_split"]),
        ("d400", ["touches_fov"]),
    ]


def test_three_exams_of_one_day_have_no_rate():
    days = {"d0": 5, "d1": 5, "d2": 5}
    three = [seen(d, 4000.0) for d in (0, 1, 2)]
    found = fit_course(three, [], dict.fromkeys(days, ALIKE), days, S)
    assert (found.rate_pct_per_year, found.flags) == (None, ["no_interval"])


@settings(max_examples=40)
@given(
    rate=st.floats(-0.8, 2.0),
    noise=st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=5),
    scale=st.floats(0.5, 20),
)
def test_the_interval_holds_the_truth_within_its_errors_and_scales_away(rate, noise, scale):
    days = [150 * k for k in range(len(noise))]
    volumes = [
        8000 * (1 + rate) ** (d / 365.25) * math.exp(e) for d, e in zip(days, noise, strict=True)
    ]
    found = course([seen(d, v) for d, v in zip(days, volumes, strict=True)])
    low, high = found.rate_ci95_pct_per_year
    assert low <= 100 * rate <= high
    if min(volumes) * min(scale, 1) > 3000:  # the RC is at its floor: nothing depends on size
        again = course([seen(d, v * scale) for d, v in zip(days, volumes, strict=True)])
        assert again.rate_pct_per_year == pytest.approx(found.rate_pct_per_year, rel=1e-6, abs=1e-6)
