"""Repeatability coefficients at and past their limits, and when two exams may be compared."""

import math

import pytest

from hoimg.results import Acquisition, Observation
from hoimg.serial import comparability, compare, rc_density_hu, rc_mass_pct, rc_volume_pct
from hoimg.settings import SerialSettings

S = SerialSettings()
ALIKE = Acquisition(kvp=120, kernel="B30f", slice_thickness_mm=1.0)


def seen(exam="a", volume=1000.0, mass=500_000.0, hu=500.0, **more):
    return Observation(
        exam_id=exam,
        status="measured",
        volume_mm3=volume,
        mineral_mass_hu_mm3=mass,
        mean_hu=hu,
        **({"touches_fov": False} | more),
    )


def change(before, after, acquisitions=(ALIKE, ALIKE), **more):
    return compare([before], [after], acquisitions, 90, S, **more)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (320.0, 40.04),  # 16 + 430 / 17.8885
        (1000.0, 29.5978),  # 16 + 430 / 31.6228
        ((430 / 9) ** 2, 25.0),  # where the formula reaches the floor
        (10_000.0, 25.0),
        (1.0, 446.0),
    ],
)
def test_rc_volume(volume, expected):
    assert rc_volume_pct(volume, S) == pytest.approx(expected, abs=0.01)


def test_rc_of_an_empty_lesion_allows_no_conclusion():
    assert rc_volume_pct(0.0, S) == math.inf


@pytest.mark.parametrize(("hu", "expected"), [(300, 50), (500, 50), (501, 50.1), (-800, 80)])
def test_rc_density(hu, expected):
    assert rc_density_hu(hu, S) == pytest.approx(expected)


def test_rc_mass():
    assert rc_mass_pct(S) == 10


@pytest.mark.parametrize(
    ("volume", "category"),
    [
        (12_500.0, "no_detectable_change"),
        (12_500.1, "enlarging"),
        (7_500.0, "no_detectable_change"),
        (7_499.9, "shrinking"),
    ],
)
def test_category_at_and_past_the_rc(volume, category):
    found = change(seen(volume=10_000.0), seen("b", volume=volume))
    assert found.category == category
    assert found.volume_rc_pct == 25.0
    assert found.volume_change_pct == pytest.approx(volume / 100 - 100)
    assert found.comparable


def test_numbers_of_a_change():
    found = change(seen(hu=600.0), seen("b", mass=550_000.0, hu=560.0))
    assert found.mass_change_pct == pytest.approx(10.0)
    assert found.mass_rc_pct == 10.0
    assert found.density_change_hu == -40.0
    assert found.density_rc_hu == 60.0
    assert (found.from_exam, found.to_exam, found.days) == ("a", "b", 90)


@pytest.mark.parametrize(
    ("other", "reasons"),
    [
        (ALIKE, []),
        (ALIKE.model_copy(update={"kvp": 100}), ["kvp_differs"]),
        (ALIKE.model_copy(update={"kvp": None}), ["kvp_unknown"]),
        (ALIKE.model_copy(update={"kernel": " b30F "}), []),
        (ALIKE.model_copy(update={"kernel": "B70f"}), ["kernel_differs"]),
        (ALIKE.model_copy(update={"slice_thickness_mm": 1.25}), []),
        (ALIKE.model_copy(update={"slice_thickness_mm": 1.26}), ["slice_thickness_differs"]),
        (ALIKE.model_copy(update={"slice_thickness_mm": 0.8}), []),
        (ALIKE.model_copy(update={"slice_thickness_mm": 0.79}), ["slice_thickness_differs"]),
        (ALIKE.model_copy(update={"slice_thickness_mm": 0.0}), ["slice_thickness_differs"]),
        (
            ALIKE.model_copy(update={"slice_thickness_mm": None, "spacing_zyx_mm": (3.0, 1, 1)}),
            ["slice_thickness_differs"],
        ),
    ],
)
def test_comparability_is_the_same_both_ways(other, reasons):
    assert comparability(ALIKE, other, S) == reasons
    assert comparability(other, ALIKE, S) == reasons


def test_exams_that_state_nothing_are_comparable():
    assert comparability(Acquisition(), Acquisition(), S) == []


def test_incomparable_exams_keep_their_numbers_but_claim_no_change():
    other = ALIKE.model_copy(update={"kernel": "B70f"})
    found = change(seen(), seen("b", volume=3000.0), (ALIKE, other))
    assert (found.category, found.comparable) == ("no_detectable_change", False)
    assert found.flags == ["kernel_differs"]
    assert found.volume_change_pct == pytest.approx(200)


def test_a_lesion_cut_by_the_view_is_not_comparable():
    found = change(seen(), seen("b", volume=400.0, touches_fov=True))
    assert (found.comparable, found.flags) == (False, ["touches_fov"])


def test_a_lesion_at_a_gap_is_not_comparable():
    found = change(seen(), seen("b", volume=400.0, flags=["crosses_gap"]))
    assert (found.comparable, found.flags) == (False, ["crosses_gap"])


def test_missing_values_stay_missing():
    found = change(seen(volume=None, mass=None, hu=None), seen("b"))
    assert found.volume_change_pct is found.mass_change_pct is found.density_change_hu is None
    assert found.volume_rc_pct is found.mass_rc_pct is found.density_rc_hu is None
    assert found.flags == ["volume_change_not_measured"]


def test_merged_compares_the_sum_of_the_parts():
    found = compare(
        [seen(volume=1000.0), seen(volume=600.0)],
        [seen("b", volume=1760.0)],
        (ALIKE, ALIKE),
        90,
        S,
        category="merged",
        parents=["L1", "L2"],
    )
    assert found.volume_change_pct == pytest.approx(10.0)
    assert found.volume_rc_pct == pytest.approx(16 + 430 / 40)
    assert found.density_change_hu is None  # parts of different density have no common one
    assert (found.category, found.parents) == ("merged", ["L1", "L2"])
