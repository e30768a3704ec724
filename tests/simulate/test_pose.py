"""Limbs that move on their own: bones stay rigid, maps invert each other, truth stays exact."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.simulate.case import write_case
from hoimg.simulate.exam import lesion_to_patient, scan_exam
from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan
from hoimg.simulate.pose import Bend, Joint, Pose, Rig
from hoimg.simulate.posing import PosedScanner, posed_bones
from hoimg.simulate.shapes import Lobulated

CENTER = np.array([3.0, -2.0, 60.0])
GRID = Grid((60, 70, 70), (2.0, 2.0, 2.0), (-69.0, -69.0, 0.0))


def points_of(grid):
    return grid.to_lps_mm(np.indices(grid.size_zyx).reshape(3, -1).T)


def body():
    """A ball on a shaft in a hollow block, inside a cylinder of muscle that varies with place."""
    p = points_of(GRID)
    r = np.linalg.norm(p - CENTER, axis=1)
    shaft = (np.hypot(p[:, 0] - 3, p[:, 1] + 2) < 9) & (p[:, 2] < 60)
    limb = (r < 18) | shaft
    socket = (r >= 20) & (np.abs(p[:, 0] - 3) < 30) & (np.abs(p[:, 1] + 2) < 30) & (p[:, 2] > 68)
    hu = np.where(np.hypot(p[:, 0], p[:, 1]) < 62, 50.0 + 15 * np.sin(p[:, 2] / 9), -1000.0)
    hu[limb] = 600 + 6 * (p[limb, 2] - 60)  # tells where along the shaft a voxel comes from
    hu[socket] = 900
    shape = GRID.size_zyx
    volume = CTVolume(np.rint(hu).astype(np.int16).reshape(shape), GRID)
    bone = Mask((limb | socket).reshape(shape), GRID)
    joint = Joint("hip", Mask(limb.reshape(shape), GRID), tuple(CENTER))
    return volume, Rig(bone, [joint])


BODY, RIG = body()
angles = st.floats(-40, 40)


def turned(degrees, points):
    """Independent of the package: about x, then y, then z, through the centre."""
    return Rotation.from_euler("xyz", degrees, degrees=True).apply(points - CENTER) + CENTER


@given(st.tuples(angles, angles, angles))
@settings(max_examples=15, deadline=None)
def test_points_of_bones_keep_their_distances_and_turn_as_stated(degrees):
    # In all no more than about 40 degrees, as in a patient.
    degrees = np.asarray(degrees) / max(1.0, np.linalg.norm(degrees) / 40)
    pose = Pose(RIG, [Bend("hip", tuple(degrees))])
    shaft = GRID.to_lps_mm(np.argwhere(RIG.joints[0].bones.array)[::50])
    shaft = shaft[shaft[:, 2] < 55]
    moved = pose.forward(shaft)
    np.testing.assert_allclose(moved, turned(degrees, shaft), atol=1e-6)
    np.testing.assert_allclose(pose.backward(moved), shaft, atol=1e-6)
    still = GRID.to_lps_mm(np.argwhere(RIG.bone.array & ~RIG.joints[0].bones.array)[::50])
    still = still[still[:, 2] > 100]
    np.testing.assert_allclose(pose.forward(still), still, atol=1e-6)


@given(st.tuples(angles, angles, angles), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_soft_tissue_follows_and_comes_back(degrees, seed):
    degrees = np.asarray(degrees) / max(1.0, np.linalg.norm(degrees) / 40)
    pose = Pose(RIG, [Bend("hip", tuple(degrees))])
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-60, 60, (40, 2)), rng.uniform(0, 45, 40)])
    moved = pose.forward(points)
    np.testing.assert_allclose(pose.backward(moved), points, atol=0.01)
    # Turning by a part of the angle keeps each point's distance from the joint.
    np.testing.assert_allclose(
        np.linalg.norm(moved - CENTER, axis=1), np.linalg.norm(points - CENTER, axis=1), atol=1e-6
    )


def test_shares_are_whole_at_bones_and_halve_between_them():
    pose = Pose(RIG, [Bend("hip", (0.0, 0.0, 0.0))])
    shares = pose.shares(np.array([[3.0, -2.0, 20.0], [3.0, -2.0, 110.0], [50.0, 50.0, 40.0]]))
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    np.testing.assert_allclose(shares[:, 0], [0, 1])
    np.testing.assert_allclose(shares[:, 1], [1, 0])
    assert 0.1 < shares[1, 2] < 0.9
    assert pose.overlap_mm3() == 0


def test_the_scan_shows_each_bone_at_its_rigid_place():
    pose = Pose(RIG, [Bend("hip", (-35.0, 0.0, 10.0))])
    whole = np.eye(4)
    whole[:3, 3] = (4.0, -3.0, 2.0)  # the exam's points plus this are the posed patient's
    grid = Grid((90, 110, 100), (1.5, 1.3, 1.5), (-72.0, -71.0, -6.0))
    scan = PosedScanner(BODY, RIG).scan(pose, grid, whole)
    p = points_of(GRID)
    inner = (np.hypot(p[:, 0] - 3, p[:, 1] + 2) < 5) & (p[:, 2] > 8) & (p[:, 2] < 50)
    there = turned((-35.0, 0.0, 10.0), p[inner]) - whole[:3, 3]
    image = sitk.GetImageFromArray(scan.hu.astype(np.float32))
    image.SetSpacing(grid.spacing_zyx_mm[::-1])
    image.SetOrigin(grid.origin_lps_mm)
    kept = [image.TransformPhysicalPointToIndex(q) for q in there.tolist()]
    ends = np.array(image.GetSize())
    seen = [k for k, i in enumerate(kept) if (np.array(i) >= 0).all() and (i < ends).all()]
    found = np.array([image.EvaluateAtPhysicalPoint(there[k].tolist()) for k in seen])
    wanted = 600 + 6 * (p[inner][seen][:, 2] - 60)
    assert len(seen) > 200
    assert np.abs(found - wanted).max() < 6  # 1 mm along the shaft
    # No second bone where the limb was: muscle, or the air that has come there.
    was = (np.hypot(p[:, 0] - 3, p[:, 1] + 2) < 7) & (p[:, 2] > 6) & (p[:, 2] < 22)
    old = np.array([image.EvaluateAtPhysicalPoint(q.tolist()) for q in p[was] - whole[:3, 3]])
    assert old.max() < 160
    labels = posed_bones(pose, grid, whole)
    assert set(np.unique(labels.array)) == {0, 1, 2}
    volume = np.count_nonzero(labels.array == 1) * grid.voxel_volume_mm3
    still = np.count_nonzero(RIG.bone.array & ~RIG.joints[0].bones.array) * GRID.voxel_volume_mm3
    assert volume == pytest.approx(still, rel=0.03)


def case(exams, **more):
    def lesion(name, center, where):
        return LesionPlan(
            name, where, "mature", center, 4, [700.0] * len(exams), [1.0] * len(exams),
            [Lobulated(5, lobes=0)] * len(exams),
        )  # fmt: skip

    lesions = [
        lesion("A", (21.0, -2.0, 24.0), "near"),  # on the limb
        lesion("B", (40.0, 24.0, 46.0), "free"),
        lesion("C", (3.0, 40.0, 84.0), "near"),  # on the block
    ]
    return CasePlan(BODY, RIG.bone, exams, lesions, rig=RIG, **more)


def test_lesions_are_carried_whole(tmp_path):
    degrees = (-30.0, 0.0, 0.0)
    exams = [
        ExamPlan(0, slice_mm=1.5, pixel_mm=1.2, noise_sd_hu=5),
        ExamPlan(
            90, slice_mm=1.5, pixel_mm=1.2, noise_sd_hu=5, degrees_xyz=(0, 0, 6),
            shift_mm=(2, 1, 0), bends=(Bend("hip", degrees),),
        ),
    ]  # fmt: skip
    truth = json.loads(write_case(case(exams), tmp_path).read_text())
    for lesion in truth["lesions"]:
        before, after = lesion["observations"]
        assert before["volume_mm3"] == after["volume_mm3"]
        place = lesion["places"][1]
        matrix = np.array(place["exam_to_patient_lps"])
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-7)
        image = sitk.ReadImage(str(tmp_path / truth["exams"][1]["labelmap"]))
        array = sitk.GetArrayFromImage(image) == after["label"]
        voxel = float(np.prod(image.GetSpacing()))
        assert array.sum() * voxel == pytest.approx(700.0, rel=0.05)
        index = np.argwhere(array).mean(0)[::-1]
        found = image.TransformContinuousIndexToPhysicalPoint(index.tolist())
        np.testing.assert_allclose(found, after["centroid_lps_mm"], atol=0.4)
        points = np.array(place["points_lps_mm"])
        np.testing.assert_allclose(
            points @ matrix[:3, :3].T + matrix[:3, 3],
            np.array(lesion["places"][0]["points_lps_mm"]),
            atol=1e-3,
        )
    whole = np.array(truth["exams"][1]["exam_to_patient_lps"])
    on_limb, free, on_block = (
        np.array(x["places"][1]["exam_to_patient_lps"]) for x in truth["lesions"]
    )
    np.testing.assert_allclose(on_block, whole, atol=1e-8)
    np.testing.assert_allclose(
        (on_limb @ np.linalg.inv(whole))[:3, :3],
        Rotation.from_euler("xyz", degrees, degrees=True).as_matrix().T,
        atol=1e-7,
    )
    turn = Rotation.from_matrix((free @ np.linalg.inv(whole))[:3, :3])
    part = np.degrees(turn.magnitude())
    assert 1 < part < 29


def test_a_lesion_out_of_view_is_left_out_but_its_place_is_told(tmp_path):
    exams = [
        ExamPlan(0, slice_mm=2.0, pixel_mm=1.5, noise_sd_hu=5),
        ExamPlan(90, slice_mm=2.0, pixel_mm=1.5, noise_sd_hu=5, low_lps_mm=(-69.0, -69.0, 46.0)),
    ]
    truth = json.loads(write_case(case(exams), tmp_path).read_text())
    views = {x["id"]: x["places"][1]["in_view"] for x in truth["lesions"]}
    assert views["A"] == 0
    assert 0.3 < views["B"] < 0.7
    assert views["C"] == 1
    assert [len(x["observations"]) for x in truth["lesions"]] == [1, 2, 2]


def test_a_pose_needs_known_joints_and_a_point_a_place():
    with pytest.raises(ValueError, match="no joint 'knee'"):
        Pose(RIG, [Bend("knee", (0.0, 0.0, 1.0))])
    small = Grid((2, 2, 2), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="grid"):
        Rig(RIG.bone, [replace(RIG.joints[0], bones=Mask(np.ones((2, 2, 2), bool), small))])
    plan = replace(case([ExamPlan(0, bends=(Bend("hip", (9.0, 0.0, 0.0)),))]), rig=None)
    with pytest.raises(ValueError, match="no rig"):
        scan_exam(plan, 0)
    with pytest.raises(ValueError, match="no rig"):
        lesion_to_patient(plan, 0, 0)
