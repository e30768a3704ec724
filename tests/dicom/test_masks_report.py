"""A mask from the command line to the report: the same numbers, whatever file it came in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limb_patient import GRID, limb, outline, write_exams
from mask_writers import circle, save, segmentation, structure_set
from pydicom import dcmread

import hoimg
from hoimg.cli.main import run
from hoimg.dicom import scan as scan_files
from hoimg.guidance import place_guidance, read_guidance
from hoimg.image import write_nifti
from hoimg.pipeline import analyze_patient
from hoimg.settings import Settings

UID = "1.2.826.0.1.3680043.8.498.4711"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    write_exams(folder, {0: limb(9.0, seed=4)})
    return folder


@pytest.fixture(scope="module")
def frame(scan: Path) -> str:
    file = next(f for f in sorted(scan.rglob("*")) if f.is_file())
    return str(dcmread(file, stop_before_pixels=True).FrameOfReferenceUID)


def lesions(path: Path) -> list[dict[str, Any]]:
    report: dict[str, Any] = json.loads((path / "report.json").read_text())
    found: list[dict[str, Any]] = report["lesions"]
    return found


@pytest.fixture(scope="module")
def by_nifti(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("nifti")
    mask = outline(9.0)
    write_nifti(folder / "mask.nii.gz", mask.array, mask.grid)
    out = folder / "out"
    assert run(["-q", "report", str(scan), "-o", str(out), "--mask", str(folder)]) == 0
    (lesion,) = lesions(out)
    assert lesion["observations"][0]["volume_mm3"] is not None
    return lesion


def test_a_segmentation_gives_the_numbers_that_a_label_map_gives(scan, frame, by_nifti, tmp_path):
    seg = segmentation(GRID, [outline(9.0).array > 0], frame=frame)
    seg.SegmentSequence[0].TrackingUID, seg.SegmentSequence[0].TrackingID = UID, "a"
    path = save(seg, tmp_path / "lesion")
    assert run(["-q", "report", str(scan), "-o", str(tmp_path / "out"), "--mask", str(path)]) == 0
    (lesion,) = lesions(tmp_path / "out")
    assert lesion["observations"] == by_nifti["observations"]
    assert lesion["maturity"] == by_nifti["maturity"]
    assert lesion["tracking_uid"] == UID != by_nifti["tracking_uid"]


def test_our_own_segmentation_can_be_given_back(scan, by_nifti, tmp_path):
    arguments = ["-q", "report", str(scan), "-o", str(tmp_path / "first")]
    assert run(arguments) == 0
    (own,) = lesions(tmp_path / "first")
    (path,) = (tmp_path / "first").rglob("lesions.seg.dcm")
    arguments = ["-q", "report", str(scan), "-o", str(tmp_path / "out"), "--mask", str(path)]
    assert run(arguments) == 0
    (lesion,) = lesions(tmp_path / "out")
    assert lesion["tracking_uid"] == own["tracking_uid"]
    for name in ("volume_mm3", "mean_hu", "max_diameter_mm", "centroid_lps_mm"):
        assert lesion["observations"][0][name] == own["observations"][0][name]


def test_a_structure_set_gives_the_volume_it_encloses(scan, frame, by_nifti, tmp_path):
    """Circles through the ellipsoid of the outline, slice by slice."""
    centre = np.array([-26.0, 4.0, 139.0]) - GRID.origin_lps_mm
    cuts = []
    for plane in range(GRID.size_zyx[0]):
        height = (plane * GRID.spacing_zyx_mm[0] - centre[2]) / 1.3
        if abs(height) < 9.0:
            radius = np.sqrt(81.0 - height**2)
            cuts.append(circle(GRID, plane, centre[1], centre[0], radius))
    path = save(structure_set([{"contours": cuts}], frame=frame), tmp_path / "rt.dcm")
    given = place_guidance(
        read_guidance(mask=path), GRID, frame_of_reference_uid=frame, settings=Settings()
    )
    truth = outline(9.0).array > 0
    assert given.mask is not None
    assert np.array_equal(given.mask.array > 0, truth)


def test_a_mask_of_another_scan_ends_the_command_with_three(scan, tmp_path, capsys):
    seg = segmentation(GRID, [outline(9.0).array > 0])
    path = save(seg, tmp_path / "lesion.dcm")
    for option in ("--mask", "--roi", "--skeleton"):
        out = tmp_path / "out"
        assert run(["report", str(scan), "-o", str(out), option, str(path)]) == 3
        assert "frame of reference" in capsys.readouterr().err
        assert not (out / "report.json").exists()


def test_nothing_at_the_path_of_a_mask_ends_with_two(scan, tmp_path, capsys):
    arguments = ["report", str(scan), "-o", str(tmp_path / "o"), "--mask", str(tmp_path / "none")]
    assert run(arguments) == 2
    assert "none" in capsys.readouterr().err


def test_a_segmentation_among_the_scans_is_listed_and_not_analysed(scan, frame, tmp_path):
    save(segmentation(GRID, [outline(9.0).array > 0], frame=frame), tmp_path / "s.dcm")
    found = scan_files([scan, tmp_path])
    assert [s.kind for s in found.series if s.modality == "SEG"] == ["object"]
    codes = [f.code for s in found.series if s.modality == "SEG" for f in s.findings]
    assert "not_an_image" in codes


def test_two_lesions_never_take_one_tracking_uid(scan, frame, tmp_path):
    """Nor one that another lesion has already."""
    halves = [outline(9.0).array > 0 for _ in range(2)]
    halves[0][:, :, 20:], halves[1][:, :, :20] = False, False
    seg = segmentation(GRID, halves, frame=frame)
    for item in seg.SegmentSequence:
        item.TrackingUID, item.TrackingID = UID, "a"
    path = save(seg, tmp_path / "lesion.dcm")
    patient = hoimg.read_patient(scan)
    result = analyze_patient(patient, guidance=read_guidance(mask=path))
    uids = [lesion.tracking_uid for lesion in result.report.lesions]
    assert len(uids) == 2
    assert sorted(uid == UID for uid in uids) == [False, True]


def test_what_was_assumed_of_a_mask_is_told_in_the_report(scan, tmp_path):
    seg = segmentation(GRID, [outline(9.0).array > 0])
    del seg.FrameOfReferenceUID
    path = save(seg, tmp_path / "lesion.dcm")
    patient = hoimg.read_patient(scan)
    result = analyze_patient(patient, guidance=read_guidance(mask=path))
    codes = [f.code for f in result.report.exams[0].findings]
    assert "mask_frame_unknown" in codes
