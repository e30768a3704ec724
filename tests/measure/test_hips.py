"""Hips of balls and rods: found, told apart, their gap measured and graded, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hip_phantom import HIGH, LOW, ROD, Hip, ball, hip, joined, lower_spur, rod, upper_spur
from scipy import ndimage

from hoimg.image import CTVolume, from_sitk
from hoimg.maturity import grade_hip
from hoimg.measure.femoral_head import find_heads
from hoimg.measure.hip_sides import FEMUR, PELVIS, tell_sides
from hoimg.measure.hips import measure_hips
from hoimg.results import Observation
from hoimg.settings import MeasureSettings

SPACINGS = [(1.2, 1.0, 1.0), (2.0, 0.9, 0.9), (1.5, 1.5, 1.5)]


def measured(made, **settings):
    boxes = {v: b for v, b in enumerate(ndimage.find_objects(made.labels), start=1) if b}
    return measure_hips(
        made.volume,
        made.labels,
        boxes,
        skeleton=made.skeleton,
        metal=np.zeros_like(made.skeleton),
        settings=MeasureSettings(**settings),
    )


def island(lateral, y, z, radius=5.0):
    return lambda p: ball(p, (lateral, y, z), radius)


@pytest.mark.parametrize(
    ("spacing", "out", "turn"),
    [(SPACINGS[0], 1, 0.0), (SPACINGS[0], -1, 15.0), (SPACINGS[1], -1, 20.0), (SPACINGS[2], 1, 10)],
)
@pytest.mark.parametrize("gap", [2.0, 7.9, 8.1, 10.0, 11.9, 12.1, 25.0])
def test_a_planted_gap_between_spurs_is_read_and_graded(gap, spacing, out, turn):
    made = hip([upper_spur, lower_spur(gap)], out=out, spacing=spacing, turn_deg=turn, shift=0.3)
    (found,) = measured(made)
    assert found.side == ("left" if out > 0 else "right")
    assert (found.joined_to_pelvis, found.joined_to_femur) == ([1], [2])
    assert found.gap_mm == pytest.approx(gap, abs=max(0.5 * max(spacing), 0.6))
    low, high = found.gap_ci95_mm
    assert low < gap < high
    # The gap runs along the lower rod's axis, 60 mm lateral, from 55 mm up downwards.
    above, below = np.asarray(found.gap_ends_lps_mm)
    assert above == pytest.approx([60 * out, 0, 55], abs=3.5)
    assert below == pytest.approx([60 * out, 0, 55 - gap], abs=3.5)
    assert found.head_radius_mm == pytest.approx(24.0, abs=1.0)
    assert np.linalg.norm(found.head_centre_lps_mm) < 2.0
    grade = grade_hip(found, {}).brooker_equivalent
    if 8.5 < gap < 11.5:
        assert grade == "borderline II/III"
    elif gap < 7.5 or gap > 12.5:
        assert grade == ("III" if gap < 8 else "II")
    else:  # beside a limit, measurement decides
        assert grade in ("borderline II/III", "III" if gap < 10 else "II")


def test_a_spur_faces_native_bone_too():
    def spur(p):
        return np.maximum(upper_spur(p), rod(p, (55, 0, 60), (55, 0, 17), ROD))

    # Its round end's lowest point, 12 mm up, faces the trochanter's ball, whose top is 1 mm up.
    (found,) = measured(hip([spur]))
    assert (found.joined_to_pelvis, found.joined_to_femur) == ([1], [])
    assert found.gap_mm == pytest.approx(17 - 5 - (-15 + 16), abs=0.75)


def test_ossification_between_both_is_apparent_ankylosis():
    (found,) = measured(hip([lambda p: np.maximum(upper_spur(p), lower_spur(-4.0)(p))]))
    assert found.gap_mm == 0.0
    assert (found.joined_to_pelvis, found.joined_to_femur) == ([1], [1])
    assert grade_hip(found, {}).brooker_equivalent == "IV (apparent)"


def test_two_lesions_that_lie_on_one_another_join_what_each_is_joined_to():
    (found,) = measured(hip([upper_spur, lower_spur(-4.0)]))
    assert (found.joined_to_pelvis, found.joined_to_femur) == ([1, 2], [1, 2])
    assert found.gap_mm == 0.0


def test_islands_are_joined_to_nothing():
    (found,) = measured(hip([island(75, 20, 30), island(50, -30, 40)]))
    assert found.labels == [1, 2]
    assert found.gap_mm is None
    assert found.flags == ["no_ossification_joined"]
    sizes = {v: Observation(exam_id="e", status="measured", max_diameter_mm=9.0) for v in (1, 2)}
    assert grade_hip(found, sizes).brooker_equivalent == "I"


def test_an_island_far_from_the_head_belongs_to_no_hip():
    # Its nearest voxel lies 85 mm from the middle of the head, the reach is 80 mm.
    far = hip([island(90, 0, 0)], high=(100.0, 45.0, 80.0))
    assert measured(far) == []
    assert len(measured(far, hip_reach_mm=90.0)) == 1


def test_only_lesions_within_reach_are_about_the_hip():
    made = hip([island(70, 20, 30), island(90, 0, 0)], high=(100.0, 45.0, 80.0))
    (found,) = measured(made)
    assert found.labels == [1]


def scene_of(depth, lesion, spacing=(1.5, 1.5, 1.5), half=75.0):
    """A scan of any body, given by its depth inside, with a lesion."""
    axis = np.arange(-half, half + 0.1, 1.5)
    p = np.meshgrid(axis, axis, axis, indexing="ij")[::-1]  # x, y, z
    inside, spot = depth(p), lesion(p)
    labels = ((spot > 0) & (inside <= 0)).astype(np.uint16)
    hu = 50.0 + np.clip(np.maximum(inside, spot) / 1.5 + 0.5, 0, 1) * 650.0
    hu += np.random.default_rng(1).normal(0, 15, hu.shape)
    origin = (-half, -half, -half)
    volume = CTVolume.from_array(np.rint(hu).astype(np.int16), spacing, origin)
    return Hip(volume, inside > 0, labels)


def spine(p):
    """Vertebral bodies 44 mm wide and 30 mm high, 6 mm apart, with a row of arches behind."""
    level = np.abs((p[2] + 18.0) % 36.0 - 18.0)
    body = np.minimum(22.0 - np.hypot(p[0], p[1]), 15.0 - level)
    arch = np.minimum(8.0 - np.hypot(p[0], p[1] - 32.0), 14.0 - level)
    stalk = np.minimum(6.0 - np.hypot(p[0], p[2] * 0 + level), 32.0 - np.abs(p[1] - 16.0))
    return joined(body, arch, stalk)


def balls_in_a_row(p):
    """Balls of a head's size above one another: each is met by bone above and below."""
    return 24.0 - np.sqrt(p[0] ** 2 + p[1] ** 2 + ((p[2] + 26.0) % 52.0 - 26.0) ** 2)


def shoulder(p):
    """A head with its shaft, and a socket as shallow as a glenoid, 0.1 of the sphere."""
    away = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
    shell = np.minimum(away - 28.0, 36.0 - away)
    glenoid = np.minimum(shell, -p[0] - 0.8 * away)
    blade = np.minimum(rod(p, (-34, 0, 0), (-70, 10, -40), 10), away - 28.0)
    return joined(ball(p, (0, 0, 0), 24.0), rod(p, (6, 0, 0), (14, 0, -140), 13), glenoid, blade)


@pytest.mark.parametrize("body", [spine, balls_in_a_row, shoulder])
def test_what_is_no_hip_is_not_reported_as_one(body):
    assert measured(scene_of(body, island(45, -30, 0))) == []


def test_the_joint_space_is_no_gap():
    # A small spur on the upper end of the socket: the head lies 4 mm away, the femur's neck and
    # trochanter much farther.
    def spur(p):
        return rod(p, (10, 0, 36), (10, 0, 48), ROD)

    (found,) = measured(hip([spur], spacing=(1.0, 0.8, 0.8)))
    assert found.joined_to_pelvis == [1]
    assert found.gap_mm > 20.0
    # With no joint left out, the head itself is the nearest.
    (wrong,) = measured(hip([spur], spacing=(1.0, 0.8, 0.8)), hip_joint_mm=0.01)
    assert wrong.gap_mm < found.gap_mm - 5.0


def test_ossification_that_meets_nothing_is_joined_all_the_same():
    # All native bone counts as the joint's own surface: nothing is left to measure to.
    (found,) = measured(hip([upper_spur]), hip_joint_mm=400.0)
    assert (found.joined_to_pelvis, found.gap_mm) == ([1], None)
    assert found.flags == []
    assert grade_hip(found, {}).flags == ["gap_not_measured", "site_lateral"]


def test_a_normal_hip_has_no_gap_and_grade_0():
    made = hip()
    box = tuple(slice(n // 2 - 1, n // 2 + 1) for n in made.labels.shape)
    heads = find_heads(
        made.volume.hu, made.skeleton, [box], (1.5, 1.5, 1.5), 80.0, lambda head: head.seen > 0.7
    )
    sides = tell_sides(heads[0], made.skeleton, made.volume.grid)
    assert sides is not None
    assert sides.reason is None
    from hoimg.measure.hips import measured_hip

    found = measured_hip(sides, made.volume, made.labels, {}, made.skeleton, MeasureSettings())
    assert found.gap_mm is None
    graded = grade_hip(found, {})
    assert (graded.brooker_equivalent, graded.della_valle_equivalent) == ("0", "A")
    assert graded.mavrogenis_equivalent is None
    assert graded.flags == []


def test_nothing_is_looked_for_without_a_lesion(monkeypatch):
    monkeypatch.setattr("hoimg.measure.hips.find_heads", lambda *_: pytest.fail("looked"))
    assert measured(hip()) == []


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (LOW, (*HIGH[:2], 12.0)),  # the scan ends in the head: no roof
        ((-10.0, *LOW[1:]), HIGH),  # only what is lateral of the head
    ],
)
def test_half_a_hip_that_shows_no_socket_is_not_called_a_hip(low, high):
    lesion = island(62, -30, 0)
    assert [h.side for h in measured(hip([lesion]))] == ["left"]
    assert measured(hip([lesion], low=low, high=high)) == []


def test_a_hip_whose_neck_is_not_in_view_is_refused():
    """The scan begins in the head."""
    (found,) = measured(hip([island(62, -30, 0)], low=(*LOW[:2], -8.0)))
    assert found.flags == ["hip_not_in_view"]
    assert found.gap_mm is None
    graded = grade_hip(found, {})
    assert graded.brooker_equivalent is None
    assert graded.della_valle_equivalent is None
    assert graded.mavrogenis_equivalent is None


def test_a_head_seen_from_two_lesions_is_asked_about_once(monkeypatch):
    """Two lesions far apart search two regions whose rims both hold the head."""
    accepted = []

    def told(head, *args, **kw):
        sides = tell_sides(head, *args, **kw)
        if sides is not None and sides.reason is None:
            accepted.append(head)
        return sides

    monkeypatch.setattr("hoimg.measure.hips.tell_sides", told)
    wide = {"low": (-115.0, *LOW[1:]), "high": (115.0, *HIGH[1:])}
    made = hip([island(50, -30, 0), island(-90, -38, 30)], **wide)
    (found,) = measured(made, hip_reach_mm=60.0)
    assert found.labels == [1]
    assert len(accepted) == 1


def test_a_scan_that_begins_in_the_head_says_so():
    made = hip([island(62, -30, 20)], low=(*LOW[:2], -8.0), out=-1)
    (found,) = measured(made)
    assert (found.side, found.flags) == ("right", ["hip_not_in_view"])


def test_bone_that_joins_both_sides_makes_the_hip_inseparable():
    # The skeleton itself holds the bridge: no lesion, no gap, and no side that it belongs to.
    made = hip([island(62, -30, 20), upper_spur, lower_spur(-4.0)])
    made.skeleton |= made.labels > 1
    made.labels[made.labels > 1] = 0
    (found,) = measured(made)
    assert (found.side, found.flags) == ("left", ["hip_not_separable"])
    assert found.gap_mm is None


def test_a_joint_that_the_mask_fills_is_opened_by_the_sphere():
    made = hip([upper_spur, lower_spur(10.0)])
    made.skeleton |= ndimage.binary_closing(made.skeleton, iterations=3) & (made.labels == 0)
    pieces, _ = ndimage.label(made.skeleton)
    assert len(np.unique(pieces[made.skeleton])) == 1
    (found,) = measured(made)
    assert found.gap_mm == pytest.approx(10.0, abs=0.75)


@pytest.mark.parametrize("out", [1, -1])
@pytest.mark.parametrize(
    ("lesion", "angle"),
    [
        (island(0, -40, 0), 0.0),
        (island(0, 40, 0), 180.0),
        (island(-30, -30, 45), 45.0),
    ],
)
def test_the_direction_of_ossification_is_that_from_the_head(lesion, angle, out):
    # Above the femur the head's own middle counts; level with it, the head's and the neck's.
    (found,) = measured(hip([lesion], out=out))
    turned = (found.site_angle_deg - angle + 180) % 360 - 180
    assert abs(turned) < (3.0 if angle == 45.0 else 40.0)


def test_ossification_all_round_takes_all_sectors():
    def ring(p):
        return 4.0 - np.hypot(np.hypot(p[0], p[1]) - 40.0, p[2] - 45.0)

    (found,) = measured(hip([ring]))
    assert found.site_share == 1.0


@pytest.fixture(scope="module")
def pelvis_scan(real_data: Path):
    """A CT of abdomen and pelvis at 3 mm, a nail in the left femur; and a model's masks of it."""
    folder = real_data / "totalsegmentator"
    hu, grid = from_sitk(sitk.ReadImage(str(folder / "example_ct.nii.gz")))
    model, _ = from_sitk(sitk.ReadImage(str(folder / "example_seg_fast_force_split.nii.gz")))
    return CTVolume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), grid), model.astype(int)


@pytest.mark.parametrize(("side", "femur", "hip_bone"), [("left", 75, 77), ("right", 76, 78)])
def test_both_real_hips_are_found_where_the_model_sees_them(pelvis_scan, side, femur, hip_bone):
    volume, model = pelvis_scan
    # Bone by the model, in which femur and hip bone touch all round; a lesion beside the hip.
    skeleton = np.isin(model, [*range(25, 35), *range(69, 80)])
    middle = np.argwhere(model == femur).mean(axis=0).astype(int)
    labels = np.zeros(model.shape, np.uint16)
    z, y, x = middle + np.array([6, 0, -12 if side == "left" else 12])
    labels[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = 1
    labels[skeleton] = 0
    box = ndimage.find_objects(labels)[0]
    kept = []

    def is_hip(head):
        told = tell_sides(head, skeleton, volume.grid)
        kept.extend([told] if told is not None and told.reason is None else [])
        return told is not None and told.reason is None

    find_heads(volume.hu, skeleton, [box], volume.grid.spacing_zyx_mm, 80.0, is_hip)
    (told,) = kept
    assert told.side == side
    of = told.at(told.box)
    near = model[told.box]
    # The model's own middle of the head: of the upper end of its femur, a ball of some 24 mm.
    top = np.argwhere(model == femur)
    top = top[top[:, 0] > top[:, 0].max() - 8]
    assert np.linalg.norm(told.head.centre_mm / 3.0 - top.mean(axis=0)) * 3.0 < 15.0
    assert np.mean(of[near == femur] == FEMUR) > 0.9
    assert np.mean(of[near == femur] == PELVIS) < 0.05
    assert np.mean(of[near == hip_bone] == PELVIS) > 0.75
