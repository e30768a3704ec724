"""Serial scenarios: the truth they state, and the label a perfect reader would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.errors import UsageError
from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.simulate.exam import (
    exam_grid,
    lesion_model,
    lesion_to_patient,
    metal_gap,
    scan_exam,
    share_in_view,
)
from hoimg.simulate.labels import Seen, rc_fraction, true_label
from hoimg.simulate.metal import draw_metal, insert
from hoimg.simulate.plans import ExamPlan
from hoimg.simulate.pose import Joint, Rig
from hoimg.simulate.scenarios import SCENARIOS, draw_bend, draw_days, plan_case
from hoimg.simulate.texture import Texture

FAST = {"lesions": 2, "exams": 3, "slice_mm": 1.5, "seed": 4}


def cylinder():
    """Muscle with a bone in it, 135 mm long, and the bone's joint in the middle."""
    z, y, x = np.mgrid[:68, :90, :90]
    hu = np.full(z.shape, -1000, np.int16)
    hu[np.hypot(y - 45, x - 45) < 43] = 55
    bone = np.hypot(y - 45, x - 38) < 9
    hu[bone] = 900
    volume = CTVolume.from_array(hu, (2.0, 1.5, 1.5))
    lower = Mask(bone & (z < 20), volume.grid)
    joint = Joint("arm", lower, (57.0, 67.5, 40.0))
    return volume, Rig(Mask(bone, volume.grid), [joint])


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s != "mixed"])
def test_every_scenario_can_be_planned(scenario):
    base, rig = cylinder()
    plan = plan_case(base, rig.bone, scenario=scenario, rig=rig, **FAST)
    exams, models = plan.exams, {}
    assert exams[0].days == 0
    assert exams[-1].days - exams[-2].days >= 84
    first = plan.lesions[0]
    if scenario == "truncated":
        seen = [
            share_in_view(
                lesion_model(plan, 0, i, models), exam_grid(plan, exams[i]),
                lesion_to_patient(plan, 0, i, models),
            )
            for i in range(3)
        ]  # fmt: skip
        assert seen[0] == 1
        assert seen[1] == 0
        assert 0.2 < seen[2] < 0.8
        assert first.label == "indeterminate"
    elif scenario == "metal":
        model = lesion_model(plan, 0, 2, models)
        gap = metal_gap(plan, 2, model, lesion_to_patient(plan, 0, 2, models))
        assert not exams[0].metal
        assert exams[2].metal
        assert gap is not None
        hu = scan_exam(plan, 2, models).volume.hu
        assert hu.max() == 3071
        assert scan_exam(plan, 0, models).volume.hu.max() < 2500
    elif scenario == "moved-limb":
        assert not exams[0].bends
        assert all(15 <= max(map(abs, e.bends[0].degrees_xyz)) <= 40 for e in exams[1:])
    elif scenario == "changed-scanner":
        assert (exams[2].kernel, exams[2].kvp, exams[2].slice_mm) != ("B30f", 120, 1.5)
        assert {x.label for x in plan.lesions if x.stages[-1] > 0.3} == {"indeterminate"}
    elif scenario == "merging":
        assert plan.lesions[1].merged_into == "A"
        assert plan.lesions[1].volumes_mm3[-1] is None
        assert first.label == "immature"
    elif scenario == "splitting":
        assert plan.lesions[1].split_from == "A"
        assert [v is None for v in plan.lesions[1].volumes_mm3] == [True, True, False]
        assert sum(x.volumes_mm3[2] for x in plan.lesions) < first.volumes_mm3[1]
        assert first.label == "indeterminate"
    else:
        wanted = {
            "growing": "immature", "growing-without-rim": "immature", "new": "immature",
            "reverse-zoning": "indeterminate",
        }  # fmt: skip
        assert {x.label for x in plan.lesions} == {wanted.get(scenario, "mature")}


EXAMS = [ExamPlan(0), ExamPlan(100), ExamPlan(200)]


@pytest.mark.parametrize(
    ("seen", "label"),
    [
        ([(1000, 1.0)] * 3, "mature"),
        ([(1000, 0.6)] * 3, "indeterminate"),
        ([(1000, 0.2)] * 3, "immature"),
        ([(1000, 0.95), (1000, 0.95), (1290, 0.95)], "mature"),  # RC of 1 mL is 29.6 %
        ([(1000, 0.95), (1000, 0.95), (1310, 0.95)], "immature"),
        ([(1000, 1.0), (1200, 1.0), (1440, 1.0)], "immature"),  # in steps below the RC
        ([(1000, 0.5), (1500, 0.75), (1500, 0.95)], "immature"),  # still ripening
        ([(1000, 0.5), (1500, 1.0), (1500, 1.0)], "mature"),  # grew, then rested
        ([(None, 1.0), (None, 1.0), (1000, 1.0)], "indeterminate"),
        ([(300, 1.0)] * 3, "indeterminate"),
        ([(2000, 1.0), (1500, 1.0), (1000, 1.0)], "mature"),  # regressing
        ([(1000, 1.0), (1000, 1.0), (None, 1.0)], "indeterminate"),
    ],
)
def test_the_true_label_follows_the_rule_set(seen, label):
    assert true_label(EXAMS, [Seen(*s) for s in seen]) == label


def test_what_withholds_the_label():
    ripe = [Seen(2000.0, 1.0)] * 3
    assert true_label(EXAMS, ripe, reverse_zoning=True) == "indeterminate"
    assert true_label(EXAMS, [*ripe[:2], replace(ripe[0], whole=False)]) == "indeterminate"
    for last in (
        replace(EXAMS[2], kvp=100),
        replace(EXAMS[2], kernel="B70f"),
        replace(EXAMS[2], slice_mm=1.6),
        replace(EXAMS[2], slice_mm=3.0),
    ):
        assert true_label([*EXAMS[:2], last], ripe) == "indeterminate"
    near = [ExamPlan(0), ExamPlan(83)]
    assert true_label(near, ripe[:2]) == "indeterminate"
    assert true_label([ExamPlan(0), ExamPlan(84)], ripe[:2]) == "mature"


def test_the_repeatability_is_the_published_one():
    assert rc_fraction(1000.0) == pytest.approx(0.29598, abs=1e-5)
    assert rc_fraction(1e6) == 0.25


@given(st.integers(1, 6), st.integers(0, 5000))
def test_days_rise_and_the_last_interval_is_long(count, seed):
    days = draw_days(count, seed)
    assert len(days) == count
    assert days[0] == 0
    gaps = np.diff(days)
    assert ((gaps >= 30) & (gaps <= 190)).all()
    assert count < 2 or gaps[-1] >= 84


@given(st.integers(0, 5000))
def test_bends_stay_within_what_the_joint_allows(seed):
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0))
    bone = Mask(np.ones((2, 2, 2), bool), grid)
    x, y, z = draw_bend(Rig(bone, [Joint("arm joint", bone, (0.0, 0.0, 0.0))]), seed).degrees_xyz
    assert (y, z) == (0, 0)
    assert -40 <= x <= -15


@pytest.mark.parametrize("kind", ["screws", "nail", "plate"])
def test_metal_has_its_size_and_reaches_the_bone(kind):
    base, rig = cylinder()
    rods = draw_metal(kind, rig.bone, (60.0, 60.0, 60.0), 3)
    shown = insert(base, rods, [np.eye(4)] * len(rods), (0.0, 0.0, 0.0), 3)
    metal = shown.hu == 3071
    volume = sum(
        np.pi * r.radius_mm**2 * np.linalg.norm(np.subtract(r.end_lps_mm, r.start_lps_mm))
        + 4 / 3 * np.pi * r.radius_mm**3
        for r in rods
    )
    # Voxels filled by a quarter and more are saturated, so that metal blooms.
    assert 0.8 * volume < metal.sum() * base.grid.voxel_volume_mm3 < 2.5 * volume
    streaks = (shown.hu.astype(int) - base.hu)[~metal & (base.hu == 55)]
    assert streaks.max() > 60
    assert streaks.min() < -60
    with pytest.raises(ValueError, match="metal is one of"):
        draw_metal("pin", rig.bone, (0.0, 0.0, 0.0), 1)


def test_scenarios_that_lack_something_say_so():
    base, rig = cylinder()
    with pytest.raises(UsageError, match="joints"):
        plan_case(base, rig.bone, scenario="moved-limb", **FAST)
    with pytest.raises(UsageError, match="two exams"):
        plan_case(base, rig.bone, scenario="metal", lesions=1, exams=1)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_reverse_zoning_is_denser_inside_by_more_than_the_rule_asks(seed):
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-12, 12, (4000, 3))
    texture = Texture(0.5, seed, manner="reverse")
    shell = texture.hu(offsets, np.full(4000, 0.7)).mean()
    core = texture.hu(offsets, np.full(4000, 6.0)).mean()
    assert 160 < shell < 440
    assert 230 < core - shell < 660
