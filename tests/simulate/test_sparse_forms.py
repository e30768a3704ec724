"""Forms evaluated where they are, models handed over, and a given skeleton."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.simulate import CasePlan, ExamPlan, LesionPlan, PlantSpec, build_lesion, write_case
from hoimg.simulate.plans import model_key
from hoimg.simulate.shapes import Lobulated, Plaque, Scaled, Sphere, evaluate_on_cube

STEP = 0.4


@pytest.mark.parametrize(
    "shape",
    [
        Sphere(14.0),
        Scaled(Lobulated(5), 5.0),
        Scaled(Plaque((2.5, 0.0, 1.0), (0.0, 1.0, 0.0), 7), 2.2),
    ],
)
def test_values_in_and_about_a_form_are_the_same_as_everywhere_evaluated(shape):
    half = int(np.ceil(shape.reach_mm / STEP)) + 2
    axis = np.arange(-half, half + 1, dtype=np.float32) * np.float32(STEP)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    side = axis.size
    whole = shape(points).reshape((side,) * 3)
    sparse = evaluate_on_cube(shape, points, side, STEP)
    near = whole < 1.5
    np.testing.assert_array_equal(sparse[near], whole[near])
    np.testing.assert_array_equal(sparse < 0, whole < 0)
    assert (sparse[whole > 0] > 0).all()
    assert (sparse == 10.0).mean() > 0.1


def test_a_case_uses_models_that_were_built_and_names_skeleton_and_contrast(tmp_path):
    base = CTVolume.from_array(np.full((30, 40, 40), 55, np.int16), (2.0, 2.0, 2.0))
    bone = np.zeros(base.hu.shape, bool)
    bone[:, 4:8, :] = True
    lesion = LesionPlan(
        "A", "free", "mature", (40.0, 50.0, 30.0), 3, [900.0], [0.9], [Sphere(1.0)],
        extra={"form": "ball"},
    )  # fmt: skip
    # A model twice as large as the plan says: what is written shows which one was used.
    spec = PlantSpec(1, lesion.center_lps_mm, Sphere(1.0), 1800.0, 0.9, 3)
    model = build_lesion(spec)
    turned = ExamPlan(0, 2.0, 2.0, degrees_xyz=(0.0, 0.0, 90.0), contrast="Iodine")
    plan = CasePlan(
        base,
        Mask(bone, base.grid),
        [turned],
        [lesion],
        compression="none",
        skeleton=Mask(bone.astype(np.uint8) * 75, base.grid),
    )
    path = write_case(plan, tmp_path, models={model_key(lesion, 0): model})
    case = json.loads(path.read_text())
    exam = case["exams"][0]
    assert case["lesions"][0]["observations"][0]["volume_mm3"] == pytest.approx(1800, rel=0.003)
    assert case["lesions"][0]["form"] == "ball"
    assert exam["contrast"] == "Iodine"
    heads = [pydicom.dcmread(p) for p in (tmp_path / exam["folder"]).iterdir()]
    named = {h.ImageType[2]: h.get("ContrastBolusAgent") for h in heads}
    assert named == {"AXIAL": "Iodine", "LOCALIZER": None}
    given = nib.load(tmp_path / exam["skeleton"])
    found = np.asarray(given.dataobj)
    assert set(np.unique(found)) == {0, 1}
    # Bone lay at y = 8 to 14 mm of a body 78 mm wide; turned by 90 degrees about its middle
    # (x, y) becomes (78 - y, x): now it lies at x = 64 to 70 mm.
    ras = nib.affines.apply_affine(given.affine, np.argwhere(found))
    assert np.unique(-ras[:, 0].round(2)).tolist() == [64.0, 66.0, 68.0, 70.0]


def test_a_grid_that_is_too_coarse_is_evaluated_in_full():
    axis = np.arange(-12, 13, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    values = evaluate_on_cube(Sphere(3.0), points, 25, 1.0)
    np.testing.assert_allclose(values, np.sqrt(x**2 + y**2 + z**2) - 3.0, rtol=1e-5, atol=1e-5)


def test_the_grid_of_a_case_without_a_given_skeleton_names_none(tmp_path):
    base = CTVolume.from_array(np.full((8, 40, 40), 55, np.int16), (2.0, 2.0, 2.0))
    empty = Mask(np.zeros(base.hu.shape, bool), Grid(base.hu.shape, (2.0, 2.0, 2.0)))
    plan = CasePlan(base, empty, [ExamPlan(0, 2.0, 2.0)], [], compression="none")
    case = json.loads(write_case(plan, tmp_path).read_text())
    assert "skeleton" not in case["exams"][0]
    assert case["lesions"] == []
