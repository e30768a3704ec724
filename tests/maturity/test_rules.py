"""Every threshold at the limit and one step past it."""

import math

import pytest

from hoimg.maturity import gate, gate_reasons, r1_rim, r2_margin, r3_inside, r5_age, r6_zoning
from hoimg.maturity.flags import mimic_meaning
from hoimg.results import Acquisition, Observation
from hoimg.settings import MaturitySettings

S = MaturitySettings()
THIN = Acquisition(slice_thickness_mm=1.0, spacing_zyx_mm=(1.0, 0.7, 0.7))


def seen(**values):
    base = {"exam_id": "e", "status": "measured", "volume_mm3": 1000.0, "touches_fov": False}
    return Observation(**(base | values))


def up(x):
    return math.nextafter(x, math.inf)


def down(x):
    return math.nextafter(x, -math.inf)


def one(criteria, id_):
    return next(c for c in criteria if c.id == id_)


@pytest.mark.parametrize(
    ("thickness", "spacing", "result"),
    [
        (2.5, None, "pass"),
        (2.501, None, "fail"),
        (2.5000001, None, "pass"),  # noise of computed positions does not decide
        (None, 2.5, "pass"),
        (None, 2.51, "fail"),
        (1.0, 3.0, "fail"),  # gaps between thin slices hide as much as thick slices
        (3.0, 1.0, "fail"),  # overlapping reconstruction of thick slices
        (None, None, "unrated"),
    ],
)
def test_gate_slice(thickness, spacing, result):
    spacing_zyx = None if spacing is None else (spacing, 0.7, 0.7)
    acquisition = Acquisition(slice_thickness_mm=thickness, spacing_zyx_mm=spacing_zyx)
    checks = gate(seen(), acquisition, S)
    assert one(checks, "gate.slice").result == result
    expected = {"pass": [], "fail": ["slice_too_thick"], "unrated": ["slice_thickness_unknown"]}
    assert gate_reasons(checks) == expected[result]


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({}, []),
        ({"volume_mm3": 320.0}, []),
        ({"volume_mm3": down(320.0)}, ["too_small_to_judge"]),
        ({"volume_mm3": None}, ["volume_not_measured"]),
        ({"distance_to_metal_mm": 10.0}, []),
        ({"distance_to_metal_mm": down(10.0)}, ["near_metal"]),
        ({"distance_to_metal_mm": 0.0}, ["near_metal"]),
        ({"flags": ["near_metal"]}, ["near_metal"]),
        ({"flags": ["streak"]}, ["metal_streaks"]),
        ({"flags": ["contrast_overlap"]}, ["contrast_overlap"]),
        ({"touches_fov": True}, ["cut_by_field_of_view"]),
        ({"touches_fov": None}, ["field_of_view_unknown"]),
        ({"flags": ["touches_fov"], "touches_fov": None}, ["cut_by_field_of_view"]),
        ({"flags": ["crosses_gap"]}, ["crosses_gap"]),
        ({"flags": ["mimic_phlebolith"]}, ["mimic_suspected"]),
        ({"flags": ["mimic_of_tomorrow"]}, ["mimic_suspected"]),
        ({"flags": ["attached_to_bone"]}, []),
        (
            {"volume_mm3": 1.0, "touches_fov": True, "flags": ["streak"]},
            ["too_small_to_judge", "metal_streaks", "cut_by_field_of_view"],
        ),
    ],
)
def test_gate_reasons(values, reasons):
    assert gate_reasons(gate(seen(**values), THIN, S)) == reasons


def test_mimics_are_named_in_the_note():
    checks = gate(seen(flags=["mimic_stone", "mimic_new_thing"]), THIN, S)
    assert one(checks, "gate.mimic").note == f"new thing; {mimic_meaning('mimic_stone')}"


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (0.75, "pass"),
        (down(0.75), "intermediate"),
        (up(0.25), "intermediate"),
        (0.25, "fail"),
        (0.0, "fail"),
        (1.0, "pass"),
        (None, "unrated"),
    ],
)
def test_r1(value, result):
    rule = r1_rim(seen(rim_fraction=value), THIN, S)
    assert (rule.result, rule.value) == (result, value)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (1.5, "pass"),
        (up(1.5), "intermediate"),
        (down(2.5), "intermediate"),
        (2.5, "fail"),
        (9.0, "fail"),
        (None, "unrated"),
    ],
)
def test_r2(value, result):
    assert r2_margin(seen(edge_ratio=value), THIN, S).result == result


@pytest.mark.parametrize(
    ("slice_mm", "result"), [(1.5, "pass"), (1.501, "unrated"), (None, "unrated")]
)
def test_thick_or_unknown_slices_leave_the_surface_unrated(slice_mm, result):
    acquisition = Acquisition(slice_thickness_mm=slice_mm)
    both = seen(rim_fraction=0.9, edge_ratio=1.0)
    assert r1_rim(both, acquisition, S).result == result
    assert r2_margin(both, acquisition, S).result == result
    if result == "unrated":
        assert r1_rim(both, acquisition, S).note


@pytest.mark.parametrize(
    ("value", "result"), [(0.2, "pass"), (down(0.2), "intermediate"), (None, "unrated")]
)
def test_r3_never_fails(value, result):
    rule = r3_inside(seen(core_marrow_fraction=value), S)
    assert rule.result == result
    assert rule.fail_at is None


@pytest.mark.parametrize(
    ("age", "result"), [(56, "pass"), (55, "fail"), (-3, "fail"), (None, "unrated")]
)
def test_r5(age, result):
    assert r5_age(age, S).result == result


@pytest.mark.parametrize(
    ("zone", "result"),
    [(-100.0, "pass"), (down(-100.0), "fail"), (0.0, "pass"), (400.0, "pass"), (None, "unrated")],
)
def test_r6(zone, result):
    assert r6_zoning(seen(zone_contrast_hu=zone), S).result == result


def test_no_rule_claims_an_established_number():
    rules = [
        r1_rim(seen(), THIN, S),
        r2_margin(seen(), THIN, S),
        r3_inside(seen(), S),
        r6_zoning(seen(), S),
        *gate(seen(), THIN, S),
    ]
    for rule in rules:
        assert "default" in rule.evidence or "borrowed" in rule.evidence or rule.unit is None
