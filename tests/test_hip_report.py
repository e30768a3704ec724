"""A hip from DICOM to the page: the grade belongs to an exam's side and names its lesions."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from hoimg.cli.main import run
from hoimg.image import write_nifti
from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, write_study

sys.path.insert(0, str(Path(__file__).parent / "measure"))
from hip_phantom import hip, lower_spur, upper_spur


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A report on two spurs, 5 mm apart, on a right hip, outlines and skeleton given."""
    folder = tmp_path_factory.mktemp("hip")
    made = hip([upper_spur, lower_spur(5.0)], out=-1)
    write_study(StudySpec([SeriesSpec(made.volume)], dt.date(2020, 1, 1)), folder / "scan")
    for name, array in (("bone", made.skeleton), ("lesions", made.labels)):
        write_nifti(folder / f"{name}.nii.gz", array.astype(np.uint16), made.volume.grid)
    words = ["report", str(folder / "scan"), "-o", str(folder / "out"), "-q"]
    given = ["--skeleton", str(folder / "bone.nii.gz"), "--mask", str(folder / "lesions.nii.gz")]
    assert run([*words, *given]) == 0
    out = folder / "out"
    return json.loads((out / "report.json").read_text()), (out / "report.html").read_text()


def test_report_json_holds_the_hip(reported):
    report, _ = reported
    (found,) = report["exams"][0]["hips"]
    assert found["side"] == "right"
    assert found["gap_mm"] == pytest.approx(5.0, abs=0.75)
    assert found["brooker_equivalent"] == "III"
    assert found["della_valle_equivalent"] == "C"
    labels = {x["lesion_id"]: x["observations"][0]["label"] for x in report["lesions"]}
    assert sorted(found["lesions"]) == sorted(labels)
    assert [labels[name] for name in found["lesions"]] == found["labels"]
    assert found["joined_to_pelvis"] == [1]
    assert found["joined_to_femur"] == [2]


def test_the_page_prints_the_gap_beside_the_grades(reported):
    report, html = reported
    table = re.search(r'aria-label="Table of hips">(.*?)</table>', html, re.DOTALL)
    assert table is not None
    text = re.sub(r"<[^>]+>", " ", table[1])
    assert "Brooker-equivalent (CT)" in text
    assert "Della Valle-equivalent (CT)" in text
    assert "Mavrogenis-equivalent (CT)" in text
    assert "apparent" in text
    gap = report["exams"][0]["hips"][0]["gap_mm"]
    assert re.search(rf"0, right .*{gap:.2f} \([^)]*\)\s+III\s+C\s", text)
