"""Planted label maps followed through known rigid movements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.results import Acquisition, Observation
from hoimg.serial import ExamLesions, Registration, track
from hoimg.serial.align import rigid

ACQUISITION = Acquisition(kvp=120, kernel="B", slice_thickness_mm=2.0)
SIZE, SPACING = (40, 50, 50), (2.0, 2.0, 2.0)


def exam(k, balls, *, matrix=None, size=SIZE, origin=(0.0, 0.0, 0.0), days=None):
    """An exam with balls given in the frame of the first exam: (label, centre LPS, radius)."""
    grid = Grid(size, SPACING, origin)
    index = np.indices(size).reshape(3, -1).T
    points = grid.to_lps_mm(index)
    array = np.zeros(size, dtype=np.uint16)
    flat = array.reshape(-1)
    moved = np.eye(4) if matrix is None else matrix
    for label, centre, radius in balls:
        middle = moved[:3, :3] @ np.asarray(centre, float) + moved[:3, 3]
        flat[np.linalg.norm(points - middle, axis=1) <= radius] = label
    observations = {
        int(label): Observation(
            exam_id=f"e{k}",
            status="measured",
            label=int(label),
            volume_mm3=float((array == label).sum() * 8),
            mineral_mass_hu_mm3=float((array == label).sum() * 8 * 500),
            mean_hu=500.0,
            touches_fov=False,
        )
        for label in np.unique(array)
        if label
    }
    return ExamLesions(
        f"e{k}", 100 * k if days is None else days, ACQUISITION, Mask(array, grid), observations
    )


def accepted(matrix=None):
    return Registration(np.eye(4) if matrix is None else matrix, True, 0.95, 0.3)


def follow(exams, registrations=None):
    if registrations is None:
        registrations = {("e0", e.exam_id): accepted() for e in exams if e.exam_id != "e0"}
    return track(exams, registrations, patient_key="key")


def statuses(found):
    return [o.status for o in found.observations]


def labels(found):
    return [o.label for o in found.observations]


def events(found):
    return [(c.from_exam, c.to_exam, c.category) for c in found.changes]


A, B, C = (30.0, 30.0, 30.0), (70.0, 30.0, 30.0), (50.0, 70.0, 50.0)


def test_swapped_labels_are_followed_and_named_by_size():
    first = exam(0, [(1, A, 7), (2, B, 10)])
    second = exam(1, [(5, B, 10), (9, A, 7)])
    one, two = follow([second, first])  # any order
    assert (one.lesion_id, labels(one)) == ("L1", [2, 5])  # the larger one comes first
    assert (two.lesion_id, labels(two)) == ("L2", [1, 9])
    assert events(one) == [("e0", "e1", "no_detectable_change")]
    assert one.changes[0].volume_change_pct == 0


def test_new_resolved_and_reappearing():
    exams = [exam(0, [(1, A, 8)]), exam(1, [(1, B, 8)]), exam(2, [(1, A, 8), (2, B, 8)])]
    gone, new = follow(exams)
    assert statuses(gone) == ["measured", "absent", "measured"]
    assert events(gone)[0] == ("e0", "e2", "no_detectable_change")
    assert statuses(new) == ["absent", "measured", "measured"]
    assert events(new) == [("e0", "e1", "new"), ("e1", "e2", "no_detectable_change")]
    ended = follow([exams[0], exams[1]])[0]
    assert statuses(ended) == ["measured", "absent"]
    assert events(ended) == [("e0", "e1", "resolved")]


def test_growth_beyond_the_old_outline_keeps_the_identity():
    (found,) = follow([exam(0, [(1, A, 5)]), exam(1, [(1, A, 12)])])
    assert events(found) == [("e0", "e1", "enlarging")]


def test_merge():
    near = (44.0, 30.0, 30.0)
    both = exam(0, [(1, A, 8), (2, near, 5)])
    merged = exam(1, [(1, A, 8), (1, near, 6), (1, (37.0, 30.0, 30.0), 6)])
    after = exam(2, [(1, A, 8), (1, near, 6), (1, (37.0, 30.0, 30.0), 6)])
    main, part = follow([both, merged, after])
    assert statuses(main) == ["measured"] * 3
    assert events(main) == [
        ("e0", "e1", "merged"),
        ("e1", "e2", "no_detectable_change"),
        ("e0", "e2", "merged"),
    ]
    assert main.changes[0].parents == ["L1", "L2"]
    volumes = [both.observations[1].volume_mm3, both.observations[2].volume_mm3]
    expected = 100 * (merged.observations[1].volume_mm3 / sum(volumes) - 1)
    assert main.changes[0].volume_change_pct == pytest.approx(expected)
    assert main.changes[2].flags == ["long_interval"]
    assert statuses(part) == ["measured", "not_measurable", "not_measurable"]
    assert part.observations[2].flags == ["merged_into:L1"]
    assert events(part) == [("e0", "e1", "merged")]
    assert part.changes[0].parents == ["L2", "L1"]


def test_split():
    near = (44.0, 30.0, 30.0)
    whole = exam(0, [(1, A, 8), (1, near, 6)])
    parts = exam(1, [(1, A, 7), (2, near, 5)])
    main, child = follow([whole, parts])
    assert events(main) == [("e0", "e1", "split")]
    volumes = [parts.observations[1].volume_mm3, parts.observations[2].volume_mm3]
    expected = 100 * (sum(volumes) / whole.observations[1].volume_mm3 - 1)
    assert main.changes[0].volume_change_pct == pytest.approx(expected)
    assert events(child) == [("e0", "e1", "split")]
    assert child.changes[0].parents == ["L1"]
    assert child.observations[0].flags == ["part_of:L1"]


def test_out_of_view_is_never_resolved_nor_new():
    top = (50.0, 50.0, 70.0)
    short = exam(1, [(1, A, 8)], size=(25, 50, 50))  # ends below z = 50 mm
    kept, high = sorted(
        follow([exam(0, [(1, A, 8), (2, top, 7)]), short]), key=lambda t: t.lesion_id
    )
    assert statuses(kept) == ["measured", "measured"]
    assert statuses(high) == ["measured", "not_measurable"]
    assert high.observations[1].flags == ["outside_fov"]
    assert high.changes == []
    _, late = follow([exam(0, [(1, A, 8)], size=(25, 50, 50)), exam(1, [(1, A, 8), (2, top, 7)])])
    assert statuses(late) == ["not_measurable", "measured"]
    assert late.changes == []


def test_a_gap_in_view_is_bridged():
    top = (50.0, 50.0, 70.0)
    exams = [exam(0, [(1, top, 8)]), exam(1, [], size=(25, 50, 50)), exam(2, [(4, top, 8)])]
    (found,) = follow(exams)
    assert statuses(found) == ["measured", "not_measurable", "measured"]
    assert events(found) == [("e0", "e2", "no_detectable_change")]


def test_a_rejected_registration_is_never_used():
    exams = [exam(0, [(1, A, 8)]), exam(1, [(1, A, 8)])]
    rejected = Registration(np.eye(4), False, 0.3, 5.0, "bones_do_not_overlap")
    for registrations in ({("e0", "e1"): rejected}, {}):
        one, two = follow(exams, registrations)
        assert statuses(one) == ["measured", "not_measurable"]
        assert statuses(two) == ["not_measurable", "measured"]
        assert one.changes == two.changes == []
        assert one.observations[1].flags == ["registration_rejected"]
        assert "registration_rejected" in two.observations[1].flags


def test_consecutive_registrations_are_chained_and_inverted():
    to1 = rigid(np.radians([5.0, -8.0, 12.0]), np.array([6.0, -4.0, 3.0]), np.full(3, 40.0))
    to2 = rigid(np.radians([-4.0, 3.0, 9.0]), np.array([-5.0, 2.0, 4.0]), np.full(3, 40.0))
    balls = [(1, (38.0, 40.0, 38.0), 8), (2, (62.0, 44.0, 40.0), 7)]
    exams = [exam(0, balls), exam(1, balls, matrix=to1), exam(2, balls, matrix=to2 @ to1)]
    chained = {("e0", "e1"): accepted(to1), ("e2", "e1"): accepted(np.linalg.inv(to2))}
    one, two = follow(exams, chained)
    assert labels(one) == [1, 1, 1]
    assert labels(two) == [2, 2, 2]


@settings(max_examples=15, deadline=None)
@given(
    turn=st.tuples(*[st.floats(-25, 25)] * 3),
    shift=st.tuples(*[st.floats(-6, 6)] * 3),
)
def test_any_known_movement_keeps_every_identity(turn, shift):
    centre = np.array([49.0, 49.0, 39.0])
    matrix = rigid(np.radians(turn), np.array(shift), centre)
    balls = [(1, (40.0, 49.0, 39.0), 8), (2, (60.0, 49.0, 39.0), 6), (3, (49.0, 64.0, 39.0), 5)]
    renamed = [({1: 3, 2: 1, 3: 2}[n], c, r) for n, c, r in balls]
    tracks = follow(
        [exam(0, balls), exam(1, renamed, matrix=matrix)], {("e0", "e1"): accepted(matrix)}
    )
    assert [labels(t) for t in tracks] == [[1, 3], [2, 1], [3, 2]]


def test_changes_hold_consecutive_pairs_and_every_pair_to_the_latest():
    exams = [exam(k, [(1, A, 8)]) for k in range(4)]
    (found,) = follow(exams)
    pairs = [(c.from_exam, c.to_exam, "long_interval" in c.flags, c.days) for c in found.changes]
    assert pairs == [
        ("e0", "e1", False, 100),
        ("e1", "e2", False, 100),
        ("e2", "e3", False, 100),
        ("e0", "e3", True, 300),
        ("e1", "e3", True, 200),
    ]


def test_tracking_uids_repeat_differ_and_do_not_depend_on_later_exams():
    exams = [exam(0, [(1, A, 8), (2, B, 8)]), exam(1, [(1, A, 8), (2, B, 8)])]
    first, again, alone = follow(exams), follow(exams), follow(exams[:1])
    uids = [t.tracking_uid for t in first]
    assert uids == [t.tracking_uid for t in again] == [t.tracking_uid for t in alone]
    assert len(set(uids)) == 2
    other = track(exams, {("e0", "e1"): accepted()}, patient_key="another")
    assert {t.tracking_uid for t in other}.isdisjoint(uids)
    for uid in uids:
        assert uid.startswith("2.25.")
        assert len(uid) <= 64
        assert uid[5:].isdigit()


def test_a_label_without_measurement_is_said_so():
    bare = exam(1, [(1, A, 8)])
    bare = ExamLesions(bare.exam_id, bare.days, bare.acquisition, bare.lesions, {})
    (found,) = follow([exam(0, [(1, A, 8)]), bare])
    assert found.observations[1].flags == ["no_measurement"]
    assert found.observations[1].label == 1
    assert found.changes == []


def test_nothing_gives_nothing():
    assert follow([]) == []
    assert follow([exam(0, [])]) == []


def test_a_part_that_appeared_and_merged_later_adds_nothing_before():
    near = (44.0, 30.0, 30.0)
    joined = [(1, A, 8), (1, near, 6), (1, (37.0, 30.0, 30.0), 6)]
    exams = [exam(0, [(1, A, 8)]), exam(1, [(1, A, 8), (2, near, 5)]), exam(2, joined)]
    main, part = follow(exams)
    long = main.changes[-1]
    assert (long.from_exam, long.to_exam, long.category) == ("e0", "e2", "merged")
    before, after = exams[0].observations[1].volume_mm3, exams[2].observations[1].volume_mm3
    assert long.comparable
    assert long.volume_change_pct == pytest.approx(100 * (after / before - 1))
    assert events(part) == [("e0", "e1", "new"), ("e1", "e2", "merged")]
