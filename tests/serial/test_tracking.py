"""Planted label maps followed through known rigid movements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.results import Acquisition, Observation
from hoimg.serial import ExamLesions, Known, Part, Registration, track
from hoimg.serial.align import rigid

ACQUISITION = Acquisition(kvp=120, kernel="B", slice_thickness_mm=2.0)
SIZE, SPACING = (40, 50, 50), (2.0, 2.0, 2.0)


def exam(
    k, balls, *, matrix=None, size=SIZE, origin=(0.0, 0.0, 0.0), days=None, metal=None, known=None
):
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
    if metal is not None:
        metal = Mask((np.linalg.norm(points - metal, axis=1) <= 4).reshape(size), grid)
    return ExamLesions(
        f"e{k}",
        100 * k if days is None else days,
        ACQUISITION,
        Mask(array, grid),
        observations,
        metal,
        known or {},
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


LEFT_BONE = np.array([[20.0, 30.0, z] for z in range(10, 60, 2)])
RIGHT_BONE = np.array([[80.0, 30.0, z] for z in range(10, 60, 2)])


def two_bones(matrix, *, right_accepted=True):
    """A placement in which the right bone moved by itself, or could not be placed."""
    moved = RIGHT_BONE @ matrix[:3, :3].T + matrix[:3, 3]
    parts = (
        Part(np.eye(4), True, 0.9, 0.4, None, LEFT_BONE, LEFT_BONE),
        Part(
            matrix, right_accepted, 0.9, 0.4, None if right_accepted else "bones_unlike",
            RIGHT_BONE, moved,
        ),
    )  # fmt: skip
    return Registration(np.eye(4), True, 0.9, 0.4, None, parts)


def test_a_lesion_moves_with_its_limb_and_the_report_says_so():
    by = rigid(np.radians([0.0, 0.0, 25.0]), np.array([-8.0, 6.0, 4.0]), np.array([80.0, 30, 30]))
    near_right = (72.0, 34.0, 30.0)
    first = exam(0, [(1, A, 7), (2, near_right, 6)])
    second = exam(1, [(1, A, 7)])
    place = by[:3, :3] @ np.array(near_right) + by[:3, 3]
    second = exam(1, [(1, A, 7), (2, tuple(place), 6)])
    stays, goes = follow([first, second], {("e0", "e1"): two_bones(by)})
    assert labels(stays) == [1, 1]
    assert labels(goes) == [2, 2]
    assert stays.observations[1].flags == []
    assert goes.observations[1].flags == ["matched_by_nearest_bone"]
    # Taken for one body it would have been lost.
    assert len(follow([first, second])) == 3


def test_near_a_bone_that_was_not_placed_nothing_is_matched_resolved_or_new():
    near_right = (72.0, 34.0, 30.0)
    exams = [exam(0, [(1, A, 7), (2, near_right, 6)]), exam(1, [(1, A, 7), (2, near_right, 6)])]
    lost = two_bones(np.eye(4), right_accepted=False)
    kept, before, after = follow(exams, {("e0", "e1"): lost})
    assert statuses(kept) == ["measured", "measured"]
    assert statuses(before) == ["measured", "not_measurable"]
    assert statuses(after) == ["not_measurable", "measured"]
    assert before.changes == after.changes == []
    for found, i in ((before, 1), (after, 0)):
        assert found.observations[i].flags == ["registration_rejected"]
        assert "registration_rejected" in found.observations[1 - i].flags


@pytest.mark.parametrize(("gap_mm", "seen"), [(11.0, False), (40.0, True)])
def test_under_metal_a_lesion_is_neither_resolved_nor_new(gap_mm, seen):
    screw = (A[0] + gap_mm, A[1], A[2])  # its surface is 4 mm from its middle, the lesion's 8
    with_lesion, with_metal = [(1, A, 8)], {"metal": screw}
    (gone,) = follow([exam(0, with_lesion), exam(1, [], **with_metal)])
    assert statuses(gone) == ["measured", "absent" if seen else "not_measurable"]
    assert [c.category for c in gone.changes] == (["resolved"] if seen else [])
    (came,) = follow([exam(0, [], **with_metal), exam(1, with_lesion)])
    assert [c.category for c in came.changes] == (["new"] if seen else [])
    if not seen:
        assert gone.observations[1].flags == ["hidden_by_metal"]


def test_a_way_through_an_exam_that_does_not_show_the_place_is_not_taken():
    top = (50.0, 50.0, 70.0)
    exams = [
        exam(0, [(1, A, 8)], size=(25, 50, 50)),  # ends below z = 50 mm
        exam(1, [(1, A, 8), (2, top, 7)]),
        exam(2, [(1, A, 8), (2, top, 7)]),
    ]
    tracks = follow(exams)  # both later exams are placed onto the first one only
    assert [labels(t) for t in tracks] == [[1, 1, 1], [None, 2, None], [None, None, 2]]
    assert all(t.changes == [] for t in tracks[1:])
    direct = {("e0", "e1"): accepted(), ("e0", "e2"): accepted(), ("e1", "e2"): accepted()}
    assert [labels(t) for t in follow(exams, direct)] == [[1, 1, 1], [None, 2, 2]]


@settings(max_examples=25, deadline=None)
@given(
    error=st.tuples(*[st.floats(-2.2, 2.2)] * 3),
    gone=st.integers(-1, 2),
    grown=st.floats(0.85, 1.3),
)
def test_close_lesions_never_swap(error, gone, grown):
    places = [(40.0, 50.0, 40.0), (52.0, 50.0, 40.0), (64.0, 50.0, 40.0)]  # 2 mm apart
    shift = np.eye(4)
    shift[:3, 3] = error
    first = exam(0, [(k + 1, c, 5.0) for k, c in enumerate(places)])
    later = [(k + 1, c, min(5.0 * grown, 5.8)) for k, c in enumerate(places) if k != gone]
    tracks = follow([first, exam(1, later)], {("e0", "e1"): accepted(shift)})
    for found in tracks:
        one, two = labels(found)
        assert one is None or two is None or one == two


def as_known(tracks, k):
    """What a report of these tracks says of exam ``k``."""
    return {
        o.label: Known(t.tracking_uid, t.lesion_id)
        for t in tracks
        for o in t.observations
        if o.exam_id == f"e{k}" and o.label is not None
    }


@pytest.mark.parametrize("added", [0, 1, 2], ids=["older", "between", "later"])
def test_names_stay_when_an_exam_is_added(added):
    balls = [(1, A, 7), (2, B, 9)]
    seen = [k for k in range(3) if k != added]
    old = {k: exam(k, balls) for k in seen}
    ways = {("e0", "e1"): accepted(), ("e1", "e2"): accepted(), ("e0", "e2"): accepted()}
    before = follow(list(old.values()), ways)
    # The added exam shows one more lesion, larger than all: it must not take L1.
    again = [exam(k, balls, known=as_known(before, k)) for k in seen]
    extra = exam(added, [(4, B, 9), (5, A, 7), (6, C, 12)])
    used = [t.lesion_id for t in before]
    after = track([*again, extra], ways, patient_key="key", used_ids=used)
    named = {t.lesion_id: t.tracking_uid for t in after}
    assert {t.lesion_id: t.tracking_uid for t in before}.items() <= named.items()
    assert list(named) == ["L1", "L2", "L3"]
    assert len(set(named.values())) == 3


def test_two_lesions_that_prove_one_keep_the_earlier_name_and_a_gone_one_keeps_its_number():
    first = exam(0, [(1, A, 8)], known={1: Known("1.2.3", "L2")})
    second = exam(1, [(1, A, 8), (2, B, 7)], known={1: Known("1.2.4", "L1")})
    one, new = track(
        [first, second], {("e0", "e1"): accepted()}, patient_key="key", used_ids=["L1", "L2", "L3"]
    )
    assert (one.lesion_id, one.tracking_uid) == ("L2", "1.2.3")
    assert new.lesion_id == "L4"


def test_of_two_parts_the_larger_keeps_the_name():
    near = (44.0, 30.0, 30.0)
    whole = exam(0, [(1, A, 8), (1, near, 6)], known={1: Known("1.2.3", "L7")})
    main, part = follow([whole, exam(1, [(1, A, 7), (2, near, 5)])])
    assert {main.lesion_id, part.lesion_id} == {"L7", "L1"}
    kept = main if main.lesion_id == "L7" else part
    assert kept.tracking_uid == "1.2.3"
    assert labels(kept) == [1, 1]


def test_a_lesion_is_reached_from_an_earlier_exam_where_the_last_one_cannot_carry_it():
    """Between e1 and e2 the bone beside it could not be placed; from e0 it could."""
    near, far = np.array([[40.0, 40.0, 55.0]]), np.array([[90.0, 90.0, 10.0]])

    def placed(good):
        still = np.eye(4)
        sure = Part(still, True, 0.9, 0.3, None, far, far)
        beside = Part(still, good, 0.9, 0.3, None, near, near)
        return Registration(still, True, 0.9, 0.3, None, (sure, beside))

    exams = [exam(k, [(1, (40.0, 40.0, 40.0), 10)]) for k in range(3)]
    good = {("e0", "e1"): placed(True), ("e0", "e2"): placed(True)}
    (found,) = follow(exams, good | {("e1", "e2"): placed(False)})
    assert statuses(found) == ["measured"] * 3
    assert {c.category for c in found.changes} == {"no_detectable_change"}
