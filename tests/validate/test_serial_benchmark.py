"""The recipe of ``benchmarks/serial`` and the rows of its table, on facts written by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parents[2] / "benchmarks" / "serial"
MODULES = ("make", "score", "facts", "run", "bodies")


def test_the_sets_are_apart_and_hold_what_the_goals_need(bench):
    sets = {name: bench["make"].plan_jobs(name) for name in ("tuning", "reporting")}
    assert max(j.seed for j in sets["tuning"]) < 1000
    assert min(j.seed for j in sets["reporting"]) >= 5001
    jobs = sets["reporting"]
    assert len(jobs) >= 60
    assert len({j.seed for j in jobs}) == len(jobs)
    assert {j.exams for j in jobs} == {2, 3, 4, 5}
    assert sum(j.bent for j in jobs) >= 20
    count = Counter(s for j in jobs for s in j.stories)
    young = ("growing", "growing-without-rim", "new", "young")
    assert sum(count[s] for s in young) >= 180  # of which some find no room
    assert count["growing"] + count["growing-without-rim"] >= 100
    assert count["stable"] >= 55
    assert count["reverse-zoning"] >= 15
    assert min(count["merging"], count["splitting"]) >= 5
    assert bench["make"].plan_jobs("reporting") == jobs


def seen(volume=2000.0, stage=1.0, track="L1", label=1, **more):
    return {
        "volume_mm3": volume, "stage": stage, "merged": False, "in_view": 1.0, "metal_mm": None,
        "reported": label, "track": track, "measured_mm3": volume, "flags": [],
    } | more  # fmt: skip


def change(a, b, category, parents=(), comparable=True):
    return {
        "from": a, "to": b, "category": category, "comparable": comparable,
        "volume_change_pct": None, "volume_rc_pct": None, "parents": list(parents), "flags": [],
    }  # fmt: skip


def lesion(states, tracks, **more):
    return {
        "id": "A", "story": "stable", "where": "free", "label": "mature", "red_flag": False,
        "split_from": None, "merged_into": None, "seen": states, "tracks": tracks,
    } | more  # fmt: skip


def track(label="mature", changes=(), reasons=()):
    return {"label": label, "reasons": list(reasons), "changes": list(changes)}


def patient(*lesions, exams=2, **more):
    exam = {"slice_mm": 1.25, "kernel": "B30f", "kvp": 120, "bends": [], "metal": 0}
    return {
        "case": "x", "family": "pelvis", "mode": "none", "event": "none", "registrations": [],
        "exams": [exam | {"days": 100 * n} for n in range(exams)], "lesions": list(lesions),
    } | more  # fmt: skip


def test_joined_lesions_and_swaps(bench):
    score = bench["score"]
    same = lesion([seen(), seen()], {"L1": track()})
    states = [seen(track="L2", label=2), seen(track="L3", label=3)]
    lost = lesion(states, {"L2": track(), "L3": track()}, id="B")
    assert score.joined(patient(same, lost)) == [1.0, 0.0]
    assert score.swaps(patient(same, lost)) == [0.0]
    one = lesion([seen(track="L1", label=1), seen(track="L2", label=2)], {})
    two = lesion([seen(track="L2", label=2), seen(track="L1", label=1)], {}, id="B")
    assert score.swaps(patient(one, two)) == [1.0]
    assert score.joined(patient(one, two)) == [0.0, 0.0]


@pytest.mark.parametrize(("parents", "right"), [(["L2", "L1"], 1.0), (["L2", "L7"], 0.0)])
def test_a_merge_is_right_when_it_names_both(bench, parents, right):
    taken = lesion(
        [seen(track="L2", label=2), seen(merged=True)],
        {"L1": track(), "L2": track(changes=[change(0, 1, "merged", parents)])},
        merged_into="A",
        story="merging",
        id="B",
    )
    assert bench["score"].joined(patient(taken)) == [right]
    # The same names in a lesion that never merged are a mistake.
    assert bench["score"].joined(patient(taken | {"story": "stable"})) == [0.0]


@pytest.mark.parametrize(("parents", "right"), [(["L1"], 1.0), (["L4"], 0.0)])
def test_a_split_is_right_when_it_names_the_whole(bench, parents, right):
    whole = lesion([seen(), seen()], {"L1": track()})
    part = lesion(
        [seen(None, track=None, label=None), seen(track="L2", label=2)],
        {"L2": track(changes=[change(0, 1, "split", parents)])},
        split_from="A",
        id="B",
    )
    assert bench["score"].joined(patient(whole, part)) == [1.0, right]


def test_changes_count_only_where_exams_are_alike_and_nothing_disturbs(bench):
    score = bench["score"]
    grown = lesion([seen(1000.0), seen(1300.0)], {"L1": track(changes=[change(0, 1, "enlarging")])})
    assert score.flagged(patient(grown), score.thirty, ("enlarging",)) == [1.0]
    assert score.flagged(patient(grown), score.unchanged, score.CHANGED) == []
    for away in ({"in_view": 0.99}, {"metal_mm": 9.9}, {"volume_mm3": 1280.0}):
        other = lesion([seen(1000.0), seen(1300.0) | away], grown["tracks"])
        assert score.changes(patient(other), score.thirty) == []
    small = lesion([seen(999.0), seen(1299.0)], grown["tracks"])
    assert score.changes(patient(small), score.thirty) == []
    other = patient(grown)
    other["exams"][1]["kvp"] = 100
    assert score.changes(other, score.thirty) == []
    hidden = lesion(
        [seen(1000.0), seen(1300.0)],
        {"L1": track(changes=[change(0, 1, "enlarging", comparable=False)])},
    )
    assert score.flagged(patient(hidden), score.thirty, ("enlarging",)) == [0.0]


def test_labels_are_scored_at_the_last_exam(bench):
    score = bench["score"]
    ripe = lesion([seen(), seen()], {"L1": track("mature")})
    assert score.clear_right(patient(ripe)) == [1.0]
    assert score.called_mature(patient(ripe)) == []
    young = lesion([seen(stage=0.2), seen(stage=0.2)], {"L1": track("mature")}, label="immature")
    assert score.called_mature(patient(young)) == [1.0]
    assert score.clear_wrong(patient(young)) == [1.0]
    unsure = lesion([seen(), seen()], {"L1": track("indeterminate")})
    assert (score.clear_right(patient(unsure)), score.clear_wrong(patient(unsure))) == ([0], [0])
    thick = patient(ripe)
    thick["exams"][1]["slice_mm"] = 1.6
    assert score.clear_right(thick) == []
    tumour = lesion(
        [seen(), seen()],
        {"L1": track("indeterminate", reasons=["red_flag_reverse_zoning"])},
        red_flag=True,
    )
    assert score.red_flags(patient(tumour)) == [1.0]
    missed = lesion([seen(), seen()], {"L1": track("indeterminate")}, red_flag=True)
    assert score.red_flags(patient(missed)) == [0.0]


@pytest.mark.parametrize(
    ("label", "stage", "before_mm3", "counts"),
    [
        ("immature", 0.3, 2000.0, True),
        ("immature", 0.31, 2000.0, False),
        ("immature", 0.5, 1590.0, True),  # +26 %
        ("immature", 0.5, 1610.0, False),  # +24 %
        ("mature", 0.9, 2000.0, True),
        ("mature", 0.89, 2000.0, False),
        ("mature", 1.0, 1900.0, False),
        ("indeterminate", 0.2, 2000.0, False),
    ],
)
def test_clear_cut_is_early_or_growing_or_late_and_unchanged(
    bench, label, stage, before_mm3, counts
):
    states = [seen(before_mm3, stage), seen(2000.0, stage)]
    one = lesion(states, {"L1": track(label)}, label=label)
    assert bool(bench["score"].clear_cut(patient(one))) is counts


def test_growth_between_exams_made_otherwise_is_not_clear_cut(bench):
    one = lesion(
        [seen(1000.0, 0.5), seen(2000.0, 0.5)], {"L1": track("immature")}, label="immature"
    )
    other = patient(one)
    other["exams"][0]["kvp"] = 100
    assert bench["score"].clear_cut(patient(one)) != []
    assert bench["score"].clear_cut(other) == []


def test_registration_errors_count_once_accepted(bench):
    score = bench["score"]
    errors = [{"lesion": "A", "where": "near", "mm": [0.1, 0.3]}]
    rows = [
        {"accepted": True, "bent": False, "errors": errors},
        {"accepted": False, "bent": False, "errors": [errors[0] | {"mm": [9.0]}]},
        {"accepted": True, "bent": True, "errors": [errors[0] | {"mm": [3.0]}]},
    ]
    facts = patient(registrations=rows)
    assert score.points_mm(facts, False) == [0.1, 0.3]
    assert score.points_mm(facts, True) == [3.0]
    assert score.accepted(facts, False) == [1.0, 0.0]
    row = next(r for r in score.ROWS if "limb motion" in r.words)
    assert score.measure(row, [facts] * 3)[::3] == (3.0, 3)
    assert row.met(4.0)
    assert not row.met(4.01)


def test_true_lesions_are_matched_by_overlap(bench):
    truth, reported = np.zeros((2, 10, 10), int), np.zeros((2, 10, 10), int)
    truth[:, :4, :5] = 1
    truth[:, 6:, 6:] = 2
    reported[:, 3:8, :5] = 7  # covers a quarter of lesion 1
    assert bench["facts"]._overlaps(truth, reported) == {1: 7}
    reported[:, 3, 0] = 0
    assert bench["facts"]._overlaps(truth, reported) == {}


def test_a_body_is_mirrored_with_its_joints(bench):
    from hoimg.geometry import Grid
    from hoimg.image import CTVolume, Mask
    from hoimg.simulate.pose import Joint, Rig

    grid = Grid((4, 6, 9), (2.0, 2.0, 2.0), (10.0, 0.0, 0.0))
    bone = np.zeros(grid.size_zyx, bool)
    bone[1:3, 2:4, 1:4] = True
    mask = Mask(bone, grid)
    hu = np.where(bone, 700, 40).astype(np.int16)
    center = tuple(grid.to_lps_mm((1.5, 2.5, 2)))
    body = bench["bodies"].Body(
        CTVolume(hu, grid), Rig(mask, [Joint("left hip", mask, center)]), None
    )
    made = bench["bodies"].varied(body, True, 1.1)
    joint = made.rig.joints[0]
    assert joint.name == "right hip"
    found = made.rig.bone.grid.to_lps_mm(np.argwhere(joint.bones.array)).mean(0)
    np.testing.assert_allclose(found, joint.center_lps_mm, atol=1e-6)
    fresh = Rig(made.rig.bone, made.rig.joints, made.rig.band_mm).distances_mm
    np.testing.assert_allclose(made.rig.distances_mm[1], fresh[1], atol=1e-4)
