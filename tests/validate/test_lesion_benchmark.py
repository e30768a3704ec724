"""The recipe of ``benchmarks/lesions``: sets apart, the same each time, anatomy moved rightly."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.validate.run import Options, tabulate
from hoimg.validate.types import CaseScore, ExamScore, FalseLesion, LesionScore

HERE = Path(__file__).resolve().parents[2] / "benchmarks" / "lesions"


SETS = ("tuning", "training", "varied", "varied2", "reporting")


def load(name):
    loader = importlib.util.spec_from_file_location(f"lesions_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(loader)
    sys.modules[loader.name] = module
    loader.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make():
    return load("make")


@pytest.fixture(scope="module")
def anatomy():
    return load("anatomy")


@pytest.fixture(scope="module")
def bench():
    return load("run")


def test_the_sets_are_apart_and_large_enough(make):
    sets = {name: make.plan_jobs(name) for name in SETS}
    seeds = {name: [job.seed for job in jobs] for name, jobs in sets.items()}
    assert max(seeds["tuning"]) < 1000 < min(seeds["training"])
    assert max(seeds["training"]) < 2000
    assert 2000 < min(seeds["varied"]) < max(seeds["varied"]) < min(seeds["varied2"])
    assert max(seeds["varied2"]) < 4000
    assert min(seeds["reporting"]) >= 5000
    for name, jobs in sets.items():
        assert len(set(seeds[name])) == len(jobs)
        lesions = [wish for job in jobs for wish in job.wishes]
        assert len(lesions) >= 120
        assert {job.family for job in jobs if not job.wishes} >= {"pelvis", "chest", "elbow"}
        for job in jobs:
            table = make.RECIPE["family"][job.family]
            for wish in job.wishes:
                low, high = table["attached"] if wish.where == "attached" else table["volume"]
                assert low * 1000 <= wish.volume_mm3 <= high * 1000
                assert 0 <= wish.stage <= 1
    wishes = {name: [j.wishes for j in jobs] for name, jobs in sets.items()}
    assert wishes["tuning"] != wishes["training"] != wishes["reporting"] != wishes["tuning"]


def test_the_varied_sets_have_all_forms_and_textures_and_the_others_only_two_forms(make):
    wishes = {name: [w for j in make.plan_jobs(name) for w in j.wishes] for name in SETS}
    for name in ("tuning", "training", "reporting"):
        assert {w.kind for w in wishes[name]} == {"lobulated", "plaque"}
        assert {w.manner for w in wishes[name]} == {"zonal"}
    for name in ("varied", "varied2"):
        assert {w.kind for w in wishes[name]} == set(make.RECIPE["varied"]["kinds"])
        assert {w.manner for w in wishes[name]} == {"zonal", "cloud", "solid", "spongy"}
        assert all(w.stage < 0.4 for w in wishes[name] if w.manner == "cloud")
        assert all(w.stage >= 0.7 for w in wishes[name] if w.manner == "spongy")


def test_stages_and_volumes_are_spread_evenly(make):
    pelvis = [j for j in make.plan_jobs("tuning") if j.family == "pelvis"]
    attached = [w for j in pelvis for w in j.wishes if w.where == "attached"]
    assert len(attached) == 26
    stages = np.sort([w.stage for w in attached])
    assert np.abs(stages - (np.arange(26) + 0.5) / 26).max() <= 0.5 / 26 + 1e-3
    logs = np.sort(np.log([w.volume_mm3 for w in attached]))
    steps = np.linspace(np.log(500), np.log(15000), 27)
    assert ((logs >= steps[:-1] - 1e-3) & (logs <= steps[1:] + 1e-3)).all()


def test_the_same_seed_wishes_the_same_in_every_process():
    def listed(hash_seed):
        return subprocess.run(
            [sys.executable, str(HERE / "make.py"), "--set", "reporting", "-o", "x", "--list"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert listed("1") == listed("2")


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_place_in_a_varied_anatomy_is_mirrored_and_scaled(anatomy, sign, mirrored):
    grid = Grid(
        (6, 5, 8), (3.0, 2.0, 2.5), (40.0, -20.0, 100.0),
        ((sign, 0.0, 0.0), (0.0, sign, 0.0), (0.0, 0.0, 1.0)),
    )  # fmt: skip
    # The mask lies on another grid of the same space.
    other = Grid((6, 5, 3), (3.0, 2.0, 2.5), (44.0 if sign > 0 else 30.0, -20.0, 100.0),
                 grid.direction)  # fmt: skip
    hu = np.zeros(grid.size_zyx, np.int16)
    hu[4, 1, 2] = 900
    bone = np.zeros(other.size_zyx, bool)
    bone[2, 3, 1] = True
    hips = (np.array([30.0, 1.0, 110.0]), np.array([55.0, 2.0, 111.0]))
    base = anatomy.Anatomy(CTVolume(hu, grid), Mask(bone, other), hips_lps_mm=hips)
    scale = np.array([1.1, 0.9, 1.05])
    made = anatomy.varied(base, mirrored, tuple(scale))
    middle = 40.0 + sign * 2.5 * 3.5  # half-way between the first and the last of 8 voxels

    def moved(point):
        point = np.array(point, float)
        if mirrored:
            point[0] = 2 * middle - point[0]
        return point * scale

    def found(array, on):
        return on.to_lps_mm(np.argwhere(array))[0]

    np.testing.assert_allclose(
        found(made.volume.hu, made.volume.grid), moved(grid.to_lps_mm((4, 1, 2))), atol=1e-9
    )
    np.testing.assert_allclose(
        found(made.bone.array, made.bone.grid), moved(other.to_lps_mm((2, 3, 1))), atol=1e-9
    )
    right, left = made.hips_lps_mm
    expected = [moved(p) for p in (hips[::-1] if mirrored else hips)]
    np.testing.assert_allclose([right, left], expected)
    assert right[0] < left[0]  # the patient's right is at smaller x, mirrored or not


def test_absent_data_are_said_plainly(anatomy, monkeypatch, tmp_path):
    monkeypatch.setenv("HOIMG_REAL_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"holds no example_ct\.nii\.gz.*set HOIMG_REAL_DATA"):
        anatomy.data_folder()


def test_the_table_holds_each_row_against_its_limits(bench):
    def one(case, family, where, found=True, **more):
        fields = {"dice": 0.95, "stage": 0.8, "truth_mm3": 1500.0, "volume_error_pct": -4.0}
        fields |= more
        if not found:
            fields |= {"dice": 0.0, "volume_error_pct": None}
        return LesionScore(
            case=case, exam=0, lesion="A", family=family, where=where, found=found, **fields
        )

    false = FalseLesion(
        case="p", exam=0, family="pelvis", called=3, volume_mm3=500.0, in_truth=0.0,
        centroid_lps_mm=(0.0, 0.0, 0.0),
    )  # fmt: skip
    exams = [
        ("p", "pelvis", [one("p", "pelvis", "free"), one("p", "pelvis", "attached")], (false,)),
        ("q", "abdomen", [one("q", "abdomen", "near", found=False)], ()),
        ("t", "thigh", [one("t", "thigh", "near")], ()),
        ("s", "small", [one("s", "small", "free", truth_mm3=300.0)], ()),
    ]
    cases = [
        CaseScore(
            case=name,
            exams=(
                ExamScore(
                    case=name, exam=0, family=family, called=1, lesions=tuple(lesions),
                    false_lesions=wrong,
                ),
            ),
        )
        for name, family, lesions, wrong in exams
    ]  # fmt: skip
    cases.append(CaseScore(case="u", failed="broke"))
    text = bench.table({"none": tabulate(cases, Options())}, "tuning")
    rows = {
        cells[0]: cells[1:]
        for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines())
        if cells
    }
    sensitivity = rows["free or near, ≥ 0.5 mL: sensitivity"]
    assert sensitivity == ["0.50 (0.00 to 1.00)", "2 lesions", "≥ 0.93", "≥ 0.98", "**below**"]
    assert rows["their volume error, stage ≥ 0.5, %"][-1] == "must"
    assert rows["stage ≥ 0.5: bias, %"][0] == "-4.0"
    assert rows["stage ≥ 0.5: bias, %"][-1] == "must"
    assert rows["0.2-0.5 mL, free: sensitivity"][-1] == "goal"
    assert rows["false a scan, without contrast"][0].startswith("0.33")
    assert rows["false a scan, chest with contrast"][-1] == "no data"
    assert rows["one-sided limb: false a scan"][-1] == "goal"
    assert "with one seed: found" not in rows
    assert "Failed cases: none: u (broke)." in text
