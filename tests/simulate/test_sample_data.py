"""The committed sample patient against its own truth, read by other libraries."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def case(sample_data):
    return json.loads((sample_data / "truth" / "case.json").read_text())


def test_it_is_small_and_says_what_it_is(sample_data, case):
    assert sum(f.stat().st_size for f in sample_data.rglob("*") if f.is_file()) < 20e6
    text = (sample_data / "README.md").read_text()
    assert "The anatomy is real, the lesions are not" in text
    assert "Apache-2.0" in text
    assert "TotalSegmentator" in (ROOT / "NOTICE").read_text()
    assert "planted" in case["note"]


def test_the_course_of_the_three_lesions(case):
    assert [e["days"] for e in case["exams"]] == [0, 90, 190, 290]
    a, b, c = ({o["exam"]: o for o in one["observations"]} for one in case["lesions"])
    assert [one["label"] for one in case["lesions"]] == ["mature", "immature", "immature"]
    assert {one["where"] for one in case["lesions"]} == {"free", "near"}
    assert a[2]["volume_mm3"] == a[3]["volume_mm3"]
    assert a[2]["stage"] == a[3]["stage"] >= 0.95
    assert a[3]["volume_mm3"] > 3000
    assert a[0]["stage"] < a[1]["stage"] < a[2]["stage"]
    growth = [b[n + 1]["volume_mm3"] / b[n]["volume_mm3"] for n in range(3)]
    assert min(growth) > 1.4
    assert sorted(c) == [1, 2, 3]
    assert c[1]["stage"] < c[2]["stage"] < c[3]["stage"] < 0.9
    assert min(o["volume_mm3"] for one in (a, b, c) for o in one.values()) > 1000


def test_label_maps_hold_the_true_volumes(sample_data, case):
    for number, exam in enumerate(case["exams"]):
        image = nib.load(sample_data / "truth" / exam["labelmap"])
        labels = np.asarray(image.dataobj)
        voxel = abs(np.linalg.det(image.affine[:3, :3]))
        present = set()
        for one in case["lesions"]:
            for seen in [o for o in one["observations"] if o["exam"] == number]:
                present.add(seen["label"])
                inside = labels == seen["label"]
                assert inside.sum() * voxel == pytest.approx(seen["volume_mm3"], rel=0.03)
                ras = nib.affines.apply_affine(image.affine, np.argwhere(inside)).mean(0)
                np.testing.assert_allclose(ras * [-1, -1, 1], seen["centroid_lps_mm"], atol=0.3)
                # Room to the scan's ends: a lesion that is cut there may not be judged.
                z = np.argwhere(inside)[:, 2]
                assert min(z.min(), labels.shape[2] - 1 - z.max()) * 1.25 > 7
        assert set(np.unique(labels)) - {0} == present


def test_studies_are_lossless_and_lie_where_the_truth_does(sample_data, case):
    folder = (sample_data / "truth" / case["exams"][0]["folder"]).resolve()
    uid = case["exams"][0]["series_instance_uid"]
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
    image = sitk.ReadImage(files)
    truth = sitk.ReadImage(str(sample_data / "truth" / case["exams"][0]["labelmap"]))
    assert image.GetSize() == truth.GetSize()
    np.testing.assert_allclose(image.GetOrigin(), truth.GetOrigin(), atol=1e-4)
    assert image.GetSpacing()[2] <= 1.5
    hu, labels = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(truth)
    assert hu[labels == 1].mean() > 200
    # The nail is in the other thigh, far from every lesion.
    metal = np.argwhere(hu > 2500) * [1.25, 1.2, 1.2]
    assert len(metal) > 100
    lesion = np.argwhere(labels > 0)[::20] * [1.25, 1.2, 1.2]
    assert np.linalg.norm(lesion[:, None] - metal[None, ::10], axis=2).min() > 25
    series = {}
    for exam in case["exams"]:
        for path in (sample_data / "truth" / exam["folder"]).iterdir():
            head = pydicom.dcmread(path, stop_before_pixels=True)
            assert head.PatientID == "SAMPLE-HIP"
            assert head.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
            series.setdefault(head.StudyInstanceUID, set()).add(head.SeriesInstanceUID)
    assert sorted(len(s) for s in series.values()) == [2, 2, 2, 3]


def test_the_script_makes_the_same_pixels(real_data, sample_data, case):
    path = ROOT / "scripts" / "make_sample_data.py"
    loader = importlib.util.spec_from_file_location("make_sample_data", path)
    script = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(script)
    from hoimg.simulate.exam import scan_exam

    plan = script.make_plan(real_data / "totalsegmentator")
    made = scan_exam(plan, 1)
    exam = case["exams"][1]
    folder = (sample_data / "truth" / exam["folder"]).resolve()
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), exam["series_instance_uid"])
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(files)), np.maximum(made.volume.hu, -1024)
    )
