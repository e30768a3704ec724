"""``hoimg simulate`` from the outside."""

from __future__ import annotations

import json

import numpy as np
import SimpleITK as sitk

from hoimg.cli.main import run
from hoimg.simulate.scenarios import SCENARIOS


def write_base(path):
    _, y, x = np.mgrid[:50, :80, :80]
    hu = np.where(np.hypot(y - 40, x - 40) < 37, 55, -1000).astype(np.int16)
    hu[np.hypot(y - 40, x - 30) < 7] = 1000
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((1.5, 1.5, 2.0))
    sitk.WriteImage(image, str(path))


def test_a_case_from_a_file_and_again_from_its_dicom(tmp_path, capsys):
    write_base(tmp_path / "base.nii.gz")
    out = tmp_path / "case"
    words = ["simulate", "-o", str(out), "--base", str(tmp_path / "base.nii.gz"), "--slice", "2"]
    assert run([*words, "--lesions", "1", "--exams", "1", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "case.json")
    case = json.loads((out / "case.json").read_text())
    assert len(case["exams"]) == 1
    assert len(case["lesions"]) == 1
    folder = out / case["exams"][0]["folder"]
    again = ["simulate", "-o", str(tmp_path / "again"), "--base", str(folder), "--slice", "2"]
    assert run([*again, "--lesions", "1", "--exams", "2", "--serial", "growing"]) == 0
    case = json.loads((tmp_path / "again" / "case.json").read_text())
    assert len(case["exams"]) == 2
    assert [(x["story"], x["label"]) for x in case["lesions"]] == [("growing", "immature")]


def test_usage_errors_end_in_one_line(tmp_path, capsys):
    out = str(tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "text.nii").write_text("no image")
    for words, code, said in [
        (["-o", out, "--base", "a", "--limb", "thigh"], 2, "either"),
        (["-o", str(tmp_path / "full")], 2, "not an empty folder"),
        (["-o", out, "--base", str(tmp_path / "none")], 2, "no such file"),
        (["-o", out, "--limb", "tail"], 2, "thigh"),
        (["-o", out, "--base", str(tmp_path / "text.nii")], 3, "cannot be read"),
        (["-o", out, "--limb", "arm", "--serial", "healing"], 2, "unknown scenario"),
        (["-o", out, "--limb", "thigh", "--serial", "moved-limb"], 2, "--limb hip"),
    ]:
        assert run(["simulate", *words]) == code
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_the_help_shows_examples(capsys):
    assert run(["simulate", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--limb elbow" in said
    joined = "".join(said.split())  # words break at hyphens
    assert [s for s in SCENARIOS if s not in joined] == []
