"""When a difference is called a change: RC, the measurements' intervals, volume with mass."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoimg.results import Acquisition, Observation
from hoimg.serial import compare
from hoimg.serial.repeatability import Measured, allowed, allowed_pct
from hoimg.settings import SerialSettings

S = SerialSettings()
ALIKE = Acquisition(kvp=120, kernel="B30f", slice_thickness_mm=1.0)


def seen(exam="a", volume=1000.0, mass=500_000.0, hu=500.0, *, volume_ci=0.05, **more):
    """One measurement; ``volume_ci`` is its interval's half-width as a factor in the logarithm."""
    return Observation(
        exam_id=exam,
        status="measured",
        volume_mm3=volume,
        volume_ci95_mm3=(volume * math.exp(-volume_ci), volume * math.exp(volume_ci)),
        mineral_mass_hu_mm3=mass,
        mean_hu=hu,
        **({"touches_fov": False} | more),
    )


def change(before, after, acquisitions=(ALIKE, ALIKE), settings=S):
    return compare([before], [after], acquisitions, 90, settings)


def test_thirty_percent_at_one_millilitre_is_called_growth_by_volume_and_mass():
    # RC of volume there is 29.6 %, so that volume alone would call every second one.
    for factor in (1.25, 1.29, 1.30, 1.31):
        found = change(seen(), seen("b", volume=1000 * factor, mass=500_000 * factor))
        assert found.category == "enlarging"
        assert found.volume_rc_pct == pytest.approx(29.6, abs=0.05)
        assert ("by_volume_and_mass" in found.flags) == (factor < 1.2959)


@pytest.mark.parametrize(
    ("volume", "mass", "category"),
    [
        (1.20, 1.30, "no_detectable_change"),  # at the limit, not past it
        (1.2001, 1.30, "enlarging"),
        (1.2001, 1.0999, "no_detectable_change"),  # mass within its RC
        (1.2001, 1.1001, "enlarging"),
        (1.2001, 0.80, "no_detectable_change"),  # volume and mass contradict each other
        (0.7999, 0.8999, "shrinking"),
        (0.7999, 0.9001, "no_detectable_change"),
        (0.80, 0.50, "no_detectable_change"),
        (1.00, 3.00, "no_detectable_change"),  # mineral laid down in a lesion of the same size
        (1.19, 3.00, "no_detectable_change"),
        (0.9, 0.2, "no_detectable_change"),
    ],
)
def test_short_of_its_rc_volume_counts_with_mass_only(volume, mass, category):
    found = change(seen(), seen("b", volume=1000 * volume, mass=500_000 * mass))
    assert found.category == category


@pytest.mark.parametrize("half", [0.6, 1.0])
def test_what_the_intervals_allow_is_no_change(half):
    # Equal half-widths h with shared part r: h sqrt(2 - 2 r) in the logarithm.
    limit = 100 * (math.exp(half * math.sqrt(2 - 2 * S.shared_error)) - 1)
    past, within = 1 + (limit + 0.1) / 100, 1 + (limit - 0.1) / 100
    small = {"volume_ci": half}
    found = change(seen(**small), seen("b", volume=1000 * within, mass=9e5, **small))
    assert found.category == "no_detectable_change"
    assert found.volume_rc_pct == pytest.approx(limit)
    assert found.volume_rc_settings_pct == pytest.approx(16 + 430 / math.sqrt(1000))
    assert "volume_rc_from_intervals" in found.flags
    assert change(seen(**small), seen("b", volume=1000 * past, **small)).category == "enlarging"


def test_narrow_intervals_leave_the_rc_of_the_settings():
    found = change(seen(), seen("b"))
    assert found.volume_rc_pct == found.volume_rc_settings_pct
    assert not [f for f in found.flags if f.endswith("_from_intervals")]


@given(
    before=st.floats(400, 50_000),
    factor=st.floats(0.2, 5),
    halves=st.tuples(st.floats(0.001, 0.8), st.floats(0.001, 0.8)),
    mass=st.floats(0.2, 5),
)
def test_no_call_within_the_intervals_and_none_against_the_volume(before, factor, halves, mass):
    found = change(
        seen(volume=before, volume_ci=halves[0]),
        seen("b", volume=before * factor, mass=500_000 * mass, volume_ci=halves[1]),
    )
    assert found.category in ("enlarging", "shrinking", "no_detectable_change")
    if found.category == "enlarging":
        assert factor > 1.2
        # Never less than what the difference of the two SDs leaves, however much is shared.
        assert math.log(factor) > abs(halves[0] - halves[1])
    if found.category == "shrinking":
        assert factor < 0.8


def test_independent_and_wholly_shared_errors():
    before, after = Measured(100.0, (80.0, 125.0)), Measured(100.0, (80.0, 125.0))
    one = math.log(1.25)
    assert allowed_pct(before, after, 0.0) == pytest.approx(
        100 * (math.exp(one * math.sqrt(2)) - 1)
    )
    assert allowed_pct(before, after, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert allowed(Measured(5.0, (2.0, 8.0)), Measured(9.0, (5.0, 13.0)), 0.0) == pytest.approx(5.0)


@pytest.mark.parametrize("ci", [None, (0.0, 10.0), (-1.0, 4.0)])
def test_without_a_usable_interval_the_rc_of_the_settings_holds(ci):
    assert allowed_pct(Measured(5.0, ci), Measured(5.0, (4.0, 6.0)), 0.5) is None


def test_the_rim_is_compared_and_decides_nothing():
    before = seen(rim_fraction=0.2, rim_fraction_ci95=(0.1, 0.3))
    after = seen("b", rim_fraction=0.9, rim_fraction_ci95=(0.4, 1.0))
    found = change(before, after)
    assert found.rim_change == pytest.approx(0.7)
    assert found.rim_rc == pytest.approx(
        math.sqrt(0.1**2 + 0.3**2 - 2 * S.shared_error * 0.1 * 0.3)
    )
    assert found.category == "no_detectable_change"
    assert change(seen(), after).rim_change is None


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (None, 9.9, True),
        (None, 10.0, False),
        (9.9, None, True),
        (5.0, 6.0, False),
        (9.0, 12.0, True),
    ],
)
def test_metal_put_in_between_blocks_the_comparison_both_ways(first, second, reason):
    found = change(
        seen(distance_to_metal_mm=first), seen("b", volume=3000.0, distance_to_metal_mm=second)
    )
    assert ("metal_differs" in found.flags) == reason
    assert found.comparable != reason
    assert found.category == ("no_detectable_change" if reason else "enlarging")


def test_thin_slices_far_apart_are_thick():
    apart = ALIKE.model_copy(update={"spacing_zyx_mm": (3.0, 0.7, 0.7)})
    assert change(seen(), seen("b"), (ALIKE, apart)).flags[-1] == "slice_thickness_differs"
    assert change(seen(), seen("b"), (apart, ALIKE)).flags[-1] == "slice_thickness_differs"


def test_every_limit_is_a_setting():
    own = SerialSettings(volume_with_mass_pct=10.0, rc_mass_pct=5.0)
    after = seen("b", volume=1110.0, mass=530_000.0)
    assert change(seen(), after).category == "no_detectable_change"
    assert change(seen(), after, settings=own).category == "enlarging"


def test_errors_cancel_less_where_the_lesion_looks_different():
    before = seen(volume_ci=0.6)
    alike = change(before, seen("b", hu=550.0, volume_ci=0.6))
    other = change(before, seen("b", hu=550.1, volume_ci=0.6))  # beyond its RC of 50 HU
    for found, shared in ((alike, S.shared_error), (other, S.shared_error_changed)):
        expected = 100 * (math.exp(0.6 * math.sqrt(2 - 2 * shared)) - 1)
        assert found.volume_rc_pct == pytest.approx(max(expected, 29.598), abs=0.01)
    assert S.shared_error > S.shared_error_changed
