"""Features against formulas; every exclusion rule at its limit and one step past it."""

from dataclasses import replace

import numpy as np
import pytest

from hoimg.segment.exclude import RULES, Place, exclusion, hard_exclusion
from hoimg.segment.features import Features, extents_mm, features_of
from hoimg.segment.search import asked_score
from hoimg.segment.survey import metal_near_mm
from hoimg.settings import SegmentSettings


def sphere_crop(radius, spacing, around=50.0):
    count = [int(2 * (radius + 11) / s) | 1 for s in spacing]
    axes = [(np.arange(n) - n // 2) * s for n, s in zip(count, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    r = np.sqrt(z**2 + y**2 + x**2)
    hu = np.where(r <= radius, 600.0, around).astype(np.float32)
    return hu, r, x


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 0.9, 0.9)])
@pytest.mark.parametrize("radius", [6.0, 10.0])
def test_a_sphere_has_its_radius_volume_and_extent(radius, spacing):
    hu, r, _ = sphere_crop(radius, spacing)
    f = features_of(hu, r <= radius, np.zeros(r.shape, bool), spacing)
    assert f.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    assert f.inscribed_mm == pytest.approx(radius, abs=0.6)
    # The standard deviation of a ball's coordinate is r / sqrt(5).
    assert f.length_mm == pytest.approx(4 * radius / np.sqrt(5), rel=0.04)
    assert f.breadth_mm == pytest.approx(f.length_mm, rel=0.05)
    assert f.mean_hu == f.rim_hu == f.core_hu == f.peak_hu == 600
    assert f.core_sd_hu == 0
    assert f.surround_hu == 50
    assert (f.soft_shell, f.gas_near, f.fat_near) == (1, 0, 0)


def test_a_rod_has_its_length():
    mask = np.zeros((60, 20, 20), bool)
    mask[5:55, 8:12, 9:11] = True
    length, breadth = extents_mm(mask, (1.0, 1.0, 1.0))
    # 4 standard deviations of a uniform line: 4 L / sqrt(12).
    assert length == pytest.approx(4 * 50 / np.sqrt(12), rel=0.01)
    assert breadth == pytest.approx(4 * 4 / np.sqrt(12), rel=0.05)
    assert extents_mm(mask & False, (1.0, 1.0, 1.0)) == (0.0, 0.0)


def test_a_shell_has_a_dense_rim_and_a_quiet_core():
    hu, r, _ = sphere_crop(10.0, (1.0, 1.0, 1.0))
    hu[r < 7] = 40
    f = features_of(hu, r <= 10, np.zeros(r.shape, bool), (1.0, 1.0, 1.0))
    assert f.rim_hu == 600
    assert f.core_hu == 40


def test_surroundings_are_counted_without_what_is_ignored():
    hu, r, x = sphere_crop(8.0, (1.0, 1.0, 1.0))
    hu[(r > 8) & (x > 0)] = -900  # gas on one side
    hu[(r > 8) & (x < 0)] = -90  # fat on the other
    mask = r <= 8
    f = features_of(hu, mask, np.zeros(r.shape, bool), (1.0, 1.0, 1.0))
    assert f.gas_near == pytest.approx(0.5, abs=0.05)
    assert f.fat_near == pytest.approx(0.5, abs=0.05)
    assert f.soft_shell == pytest.approx(0.5, abs=0.05)
    f = features_of(hu, mask, x >= 0, (1.0, 1.0, 1.0))
    assert (f.gas_near, f.fat_near, f.soft_shell, f.surround_hu) == (0, 1, 1, -90)


def test_without_any_surroundings_there_is_no_background_value():
    mask = np.ones((6, 6, 6), bool)
    f = features_of(np.full((6, 6, 6), 300, np.float32), mask, ~mask, (1.0, 1.0, 1.0))
    assert np.isnan(f.surround_hu)
    assert f.soft_shell == f.gas_near == 0


LESION = Features(
    volume_mm3=4000,
    inscribed_mm=8,
    length_mm=20,
    breadth_mm=18,
    soft_shell=0.95,
    gas_near=0,
    peak_hu=700,
    mean_hu=350,
    rim_hu=450,
    core_hu=200,
    centre_hu=200,
    core_sd_hu=60,
    surround_hu=55,
    fat_near=0.1,
    muscle_near=0.7,
    gas_wide=0,
    fat_wide=0.2,
    bone_wide=0,
    thickness_mm=16,
    bright=0.5,
    texture_hu=120,
)
FREE = Place(
    shell=False,
    attached=False,
    metal_mm=float("inf"),
    scan_end_mm=60,
    inward_mm=80,
    mirror_mm=30,
    mirrored=0,
    agreed=1,
    outside_body=0,
    contrast=False,
    lumen=0,
    streaked=0,
)
ON_BONE = {"attached": True}
AT_END = {"scan_end_mm": 3.0}
LUMEN = {"contrast": True, "core_hu": 300.0, "rim_hu": 310.0, "core_sd_hu": 20.0}
ROD = {"length_mm": 40.0, "breadth_mm": 10.0, "inscribed_mm": 3.9}
CALCULUS = {"volume_mm3": 1000.0, "core_hu": 500.0, "centre_hu": 500.0}
PELLET = {"volume_mm3": 1000.0, "inscribed_mm": 2.4, "length_mm": 14.0, "breadth_mm": 10.0}
SHAFT = {"length_mm": 80.1, "breadth_mm": 20.0}
SLENDER = {"attached": True, "length_mm": 25.1, "breadth_mm": 10.0, "inscribed_mm": 3.4}
FAINT = {"mean_hu": 160.0, "inscribed_mm": 1.9}

SPECK = {**FAINT, "inscribed_mm": 2.4, "volume_mm3": 599.0, "peak_hu": 300.0}


def decide(**changes):
    features = {k: v for k, v in changes.items() if hasattr(LESION, k)}
    place = {k: v for k, v in changes.items() if k not in features}
    return exclusion(replace(LESION, **features), replace(FREE, **place), SegmentSettings(), RULES)


def test_a_free_lesion_and_one_on_bone_are_called():
    assert decide() is None
    assert decide(attached=True) is None


@pytest.mark.parametrize(
    ("reason", "common", "name", "kept", "left_out"),
    [
        ("outside_body", {}, "outside_body", 0.5, 0.51),
        ("metal", {}, "metal_mm", 2.0, 1.99),
        ("metal", {}, "streaked", 0.5, 0.51),
        ("scan_end", {**ON_BONE, "inward_mm": 19.0}, "scan_end_mm", 4.51, 4.5),
        ("scan_end", {**ON_BONE, **AT_END}, "inward_mm", 20.0, 19.9),
        ("scan_end", {**ON_BONE, **AT_END}, "volume_mm3", 1000.0, 999.0),
        ("scan_end", AT_END, "inward_mm", 15.0, 14.9),
        ("scan_end", AT_END, "volume_mm3", 2000.0, 1999.0),
        ("scan_end", AT_END, "soft_shell", 0.8, 0.79),
        ("vascular", {"volume_mm3": 1000.0}, "inscribed_mm", 1.9, 1.89),
        ("vascular", {}, "lumen", 0.6, 0.61),
        ("vascular", {"lumen": 1.0}, "volume_mm3", 5000.0, 4999.0),
        ("vascular", {"inscribed_mm": 1.5}, "volume_mm3", 1500.0, 1499.0),
        ("stone_or_bowel", {}, "gas_near", 0.12, 0.121),
        ("stone_or_bowel", {"gas_near": 0.5}, "attached", True, False),
        ("stone_or_bowel", CALCULUS, "volume_mm3", 1500.0, 1499.0),
        ("stone_or_bowel", CALCULUS, "peak_hu", 450.0, 451.0),
        ("stone_or_bowel", {**CALCULUS, "rim_hu": 400.0}, "core_hu", 408.0, 408.1),
        ("stone_or_bowel", CALCULUS, "attached", True, False),
        ("stone_or_bowel", CALCULUS, "centre_hu", 420.0, 420.1),
        ("stone_or_bowel", PELLET, "inscribed_mm", 2.5, 2.49),
        ("stone_or_bowel", PELLET, "length_mm", 15.0, 14.9),
        ("stone_or_bowel", {**PELLET, "length_mm": 11.0}, "breadth_mm", 5.0, 5.1),
        ("stone_or_bowel", PELLET, "peak_hu", 450.0, 451.0),
        ("stone_or_bowel", PELLET, "volume_mm3", 1500.0, 1499.0),
        ("too_small", {}, "volume_mm3", 150.0, 149.9),
        ("soft_tissue", FAINT, "inscribed_mm", 2.0, 1.99),
        ("soft_tissue", FAINT, "mean_hu", 165.0, 164.9),
        ("soft_tissue", SPECK, "inscribed_mm", 3.3, 3.29),
        ("soft_tissue", SPECK, "volume_mm3", 600.0, 599.0),
        ("soft_tissue", SPECK, "peak_hu", 360.0, 359.0),
        ("soft_tissue", {**FAINT, "fat_near": 0.5}, "inscribed_mm", 3.0, 2.99),
        ("soft_tissue", {**FAINT, "inscribed_mm": 2.8}, "fat_near", 0.28, 0.281),
        ("soft_tissue", {"surround_hu": 95.0}, "mean_hu", 175.0, 174.9),
        ("soft_tissue", {"mean_hu": 120.0}, "surround_hu", 90.0, 90.1),
        ("contrast", LUMEN, "contrast", False, True),
        ("contrast", LUMEN, "core_sd_hu", 48.0, 47.9),
        ("contrast", LUMEN, "inscribed_mm", 2.5, 2.51),
        ("contrast", LUMEN, "rim_hu", 316.0, 315.0),
        ("contrast", {**LUMEN, "core_sd_hu": 1.0, "rim_hu": 110.0}, "core_hu", 110.0, 110.1),
        ("contrast", LUMEN, "core_hu", 500.0, 499.9),
        ("native_bone", {"volume_mm3": 999.0}, "mirrored", 0.95, 0.951),
        ("native_bone", {"mirrored": 1.0}, "volume_mm3", 1000.0, 999.0),
        ("native_bone", {"length_mm": 46.0}, "mirrored", 0.8, 0.81),
        ("native_bone", {"mirrored": 0.9}, "length_mm", 45.0, 45.1),
        ("native_bone", {"mirrored": 0.9, "breadth_mm": 5.0}, "length_mm", 20.0, 20.1),
        ("native_bone", ROD, "inscribed_mm", 3.91, 3.9),
        ("native_bone", ROD, "length_mm", 30.0, 30.1),
        ("native_bone", {**ROD, "breadth_mm": 5.0}, "length_mm", 25.0, 25.1),
        ("native_bone", ROD, "mean_hu", 180.0, 180.1),
        ("native_bone", SHAFT, "length_mm", 80.0, 80.1),
        ("native_bone", {**SHAFT, "breadth_mm": 10.0}, "length_mm", 60.0, 60.1),
        ("native_bone", SHAFT, "mean_hu", 180.0, 180.1),
        ("native_bone", {**ON_BONE, "inscribed_mm": 4.9}, "mirrored", 0.68, 0.681),
        ("native_bone", {**ON_BONE, "mirrored": 0.7}, "inscribed_mm", 5.0, 4.99),
        ("native_bone", {"mirror_mm": 14.0}, "agreed", 0.5, 0.49),
        ("native_bone", {"agreed": 0.4}, "mirror_mm", 15.0, 14.9),
        ("native_bone", {**ON_BONE, "inscribed_mm": 5.0}, "mirrored", 0.9, 0.91),
        ("native_bone", SLENDER, "inscribed_mm", 3.5, 3.49),
        ("native_bone", SLENDER, "length_mm", 25.0, 25.1),
        ("native_bone", ON_BONE, "agreed", 0.8, 0.79),
        ("native_bone", ON_BONE, "inscribed_mm", 3.0, 2.99),
        ("native_bone", ON_BONE, "soft_shell", 0.5, 0.49),
    ],
)
def test_a_rule_excludes_one_step_past_its_limit(reason, common, name, kept, left_out):
    assert decide(**{**common, name: kept}) is None
    verdict = decide(**{**common, name: left_out})
    assert verdict is not None
    assert verdict[0] == reason
    assert any(c.isdigit() for c in verdict[1])  # the numbers behind the decision


def test_rules_are_asked_in_order():
    order = [
        "outside_body",
        "metal",
        "scan_end",
        "stone_or_bowel",
        "vascular",
        "too_small",
        "soft_tissue",
        "contrast",
        "native_bone",
    ]
    assert list(RULES) == order
    # A candidate that every rule but contrast and native_bone would take; each is taken away.
    wrong = {
        "outside_body": 1.0,
        "metal_mm": 0.0,
        "scan_end_mm": 0.0,
        "volume_mm3": 100.0,
        "inscribed_mm": 1.0,
        "gas_near": 0.5,
        "mean_hu": 100.0,
        "mirrored": 1.0,
    }
    right = [
        ("outside_body", {"outside_body": 0.0}),
        ("metal", {"metal_mm": 50.0}),
        ("scan_end", {"scan_end_mm": 60.0}),
        ("stone_or_bowel", {"gas_near": 0.0}),
        ("vascular", {"inscribed_mm": 1.95}),
        ("too_small", {"volume_mm3": 300.0}),
        ("soft_tissue", {"mean_hu": 350.0}),
        ("native_bone", {"mirrored": 0.0}),
    ]
    for reason, repair in right:
        verdict = decide(**wrong)
        assert verdict is not None
        assert verdict[0] == reason
        wrong |= repair
    assert decide(**wrong) is None


def test_a_setting_moves_its_rule():
    small = replace(LESION, volume_mm3=150.0)
    assert exclusion(small, FREE, SegmentSettings(min_lesion_mm3=150.0), RULES) is None
    assert exclusion(small, FREE, SegmentSettings(min_lesion_mm3=151.0), RULES)[0] == "too_small"


@pytest.mark.parametrize(
    ("inscribed_mm", "attached", "layer"),
    [(1.6, True, False), (1.59, True, True), (1.59, False, False)],
)
def test_a_layer_on_a_given_skeleton_is_left_out_whatever_its_score(inscribed_mm, attached, layer):
    thin = replace(LESION, inscribed_mm=inscribed_mm)
    beside = replace(FREE, attached=attached, given_mm=0.0)
    said = hard_exclusion(thin, beside, SegmentSettings())
    assert (said is not None and said[0] == "native_bone") == layer
    assert hard_exclusion(thin, replace(beside, given_mm=float("nan")), SegmentSettings()) is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "least_score"),
        ({"attached": True}, "alone_score"),
        ({"attached": True, "agreement": 0.7}, "attached_score"),
        ({"attached": True, "volume_mm3": 90_000.0}, "alone_score"),
        ({"attached": True, "fresh": 0.6}, "new_score"),
        ({"attached": True, "given_mm": 0.0}, "given_score"),
        ({"attached": True, "unpaired": 0.4}, "attached_score"),
        ({"attached": True, "unpaired": 0.39}, "doubtful_score"),
        ({"attached": True, "unpaired": 0.9, "volume_mm3": 10_000.0}, "attached_score"),
        ({"attached": True, "unpaired": 0.9, "volume_mm3": 10_001.0}, "doubtful_score"),
        ({"volume_mm3": 90_000.0, "unpaired": 0.0}, "least_score"),
        ({"scan_end_mm": 4.5}, "end_score"),
        ({"scan_end_mm": 4.6}, "least_score"),
        ({"scan_end_mm": 0.0, "attached": True, "agreement": 0.9}, "end_score"),
        ({"scan_end_mm": 0.0, "attached": True, "fresh": 0.6}, "new_score"),
        ({"scan_end_mm": 0.0, "attached": True, "given_mm": 0.0}, "given_score"),
        ({"contrast": True}, "contrast_score"),
        ({"contrast": True, "attached": True, "unpaired": 0.1}, "doubtful_score"),
        ({"attached": True, "unpaired": 0.1, "fresh": 0.6}, "new_score"),
        ({"attached": True, "volume_mm3": 90_000.0, "given_mm": 0.0}, "given_score"),
    ],
)
def test_what_may_be_a_whole_bone_is_asked_for_more(changes, name):
    features = {k: v for k, v in changes.items() if hasattr(LESION, k)}
    place = {k: v for k, v in changes.items() if k not in features}
    if "unpaired" in place:  # only where there is another side
        place.setdefault("agreement", 0.97)
    settings = SegmentSettings()
    asked = asked_score(replace(LESION, **features), replace(FREE, **place), settings)
    assert asked == getattr(settings, name)


@pytest.mark.parametrize(
    ("steps_zyx", "expected"),
    [((1, 0, 0), 2.0), ((0, 2, 1), 5.0**0.5), ((2, 3, 0), 5.0), ((2, 3, 1), float("inf"))],
)
def test_metal_is_told_to_5_mm_from_a_candidate(steps_zyx, expected):
    mask, metal = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    mask[10, 10, 10] = True
    metal[tuple(10 + k for k in steps_zyx)] = True
    assert metal_near_mm(metal, mask, (2.0, 1.0, 1.0)) == pytest.approx(expected)
