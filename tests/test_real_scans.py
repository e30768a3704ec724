"""``hoimg report`` on real CT without ossification: nothing invented, all else named."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from hoimg.cli.main import run
from hoimg.image import CTVolume, from_sitk
from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, write_study


def report_of(scan: Path, folder: Path) -> dict[str, Any]:
    """Run the command and read what it wrote."""
    assert run(["report", str(scan), "-o", str(folder), "-q"]) == 0
    read: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return read


def reasons(report: dict[str, Any]) -> Counter[str]:
    return Counter(item["reason"] for item in report["excluded"])


def test_a_calcified_aorta_is_left_out_as_vascular(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(real_data / "totalsegmentator" / "example_ct_dicom", tmp_path / "out")
    assert report["lesions"] == []
    assert reasons(report)["vascular"] >= 1
    made = report["exams"][0]["acquisition"]
    assert made["spacing_zyx_mm"] == [2.0, 0.9765625, 0.9765625]
    assert made["contrast"] is True
    out = capsys.readouterr().out
    assert "No ossification was called." in out
    assert "vascular" in out


def test_stones_and_a_nail_are_left_out_by_name(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sitk.ReadImage(str(real_data / "totalsegmentator" / "example_ct.nii.gz"))
    array, grid = from_sitk(image)
    volume = CTVolume(np.clip(np.rint(array), -1024, 3071).astype(np.int16), grid)
    spec = StudySpec([SeriesSpec(volume)], dt.date(2020, 1, 1))
    write_study(spec, tmp_path / "scan")
    report = report_of(tmp_path / "scan", tmp_path / "out")
    found = reasons(report)
    assert found["metal"] >= 1
    assert found["stone_or_bowel"] >= 2
    assert len(report["lesions"]) <= 1
    nail = max((e for e in report["excluded"] if e["reason"] == "metal"), key=volume_of)
    # The nail, found without hoimg: the brightest voxel of the file, in LPS millimetres.
    z, y, x = np.unravel_index(int(array.argmax()), array.shape)
    brightest = image.TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
    assert np.linalg.norm(np.subtract(nail["centroid_lps_mm"], brightest)) < 80.0
    assert "metal" in capsys.readouterr().out


def volume_of(item: dict[str, Any]) -> float:
    return float(item["volume_mm3"])


def test_a_phantom_ends_with_findings_and_not_with_an_error(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(real_data / "qrm_phantom" / "dicom", tmp_path / "out")
    assert [e["acquisition"]["kvp"] for e in report["exams"]] == [120.0]
    assert report["exams"][0]["acquisition"]["size_zyx"][0] == 47
    # The inserts are hydroxyapatite: called or left out, each is listed with its size.
    called = [o for lesion in report["lesions"] for o in lesion["observations"]]
    listed = [*report["excluded"], *called]
    assert listed
    assert all(item["volume_mm3"] > 0 for item in listed)
    # Slices of 3 mm: no number may pretend that a rim was rated.
    for item in called:
        assert item["rim_fraction"] is None
        assert "rim_unrated_slice_thickness" in item["flags"]
    assert all(lesion["maturity"]["label"] == "indeterminate" for lesion in report["lesions"])
    assert capsys.readouterr().err == ""
