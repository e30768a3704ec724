"""The sample patient from DICOM to report: what was planted is what is told."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pydicom
import pytest
from browsing import Watched, chromium, of_colour

import hoimg
from hoimg import pipeline
from hoimg.analysis import ExamAnalysis
from hoimg.cli.main import run
from hoimg.results import Lesion, PatientResult

# One worker runs them all, so that the minute of work behind the fixture is spent once.
pytestmark = pytest.mark.xdist_group("sample")

DAYS = [0, 90, 190, 290]
PER_EXAM = {
    "lesions.nii.gz",
    "excluded.nii.gz",
    "anatomy.nii.gz",
    "lesions.seg.dcm",
    "measurements.sr.dcm",
    "summary.sc.dcm",
}


@dataclass(frozen=True)
class Sample:
    """The report of all four exams, the labels without the fourth, and the truth."""

    folder: Path
    result: PatientResult
    without_fourth: PatientResult
    truth: dict[str, Any]
    truth_folder: Path

    @property
    def report(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return read


@pytest.fixture(scope="module")
def sample(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    patient = hoimg.read_patient(sample_data / "patient")
    assert [e.days_from_baseline for e in patient.exams] == DAYS
    analysed: dict[str, ExamAnalysis] = {}
    real = pipeline.analyze_exam

    def once(exam: Any, settings: Any = None, guidance: Any = None, **how: Any) -> ExamAnalysis:
        """An exam's own analysis depends on the first exam, which both have: do it once."""
        if exam.exam_id not in analysed:
            analysed[exam.exam_id] = real(exam, settings, guidance, **how)
        return analysed[exam.exam_id]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "analyze_exam", once)
        result = hoimg.analyze_patient(patient)
        shorter = hoimg.analyze_patient(replace(patient, exams=patient.exams[:3]))
    folder = tmp_path_factory.mktemp("sample") / "report"
    page = hoimg.write_report(result, folder)
    assert page == folder / "report.html"
    truth_folder = sample_data / "truth"
    truth = json.loads((truth_folder / "case.json").read_text())
    return Sample(folder, result, shorter, truth, truth_folder)


def label_map(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def pairs(sample: Sample) -> list[tuple[str, str, int, float]]:
    """(truth lesion, report lesion, exam, Dice) for each truth lesion at each of its exams.

    The report lesion is the one that covers most of the truth there, whatever its name.
    """
    report = sample.report
    by_study = {e["study_instance_uid"]: e for e in report["exams"]}
    out = []
    for number, exam in enumerate(sample.truth["exams"]):
        mine = by_study[exam["study_instance_uid"]]
        found, found_affine = label_map(sample.folder / mine["labelmap"])
        planted, planted_affine = label_map(sample.truth_folder / exam["labelmap"])
        assert found.shape == planted.shape
        assert np.allclose(found_affine, planted_affine, atol=1e-3)
        names = {
            o["label"]: le["lesion_id"]
            for le in report["lesions"]
            for o in le["observations"]
            if o["exam_id"] == mine["exam_id"] and o["label"] is not None
        }
        assert sorted(names) == sorted(set(np.unique(found).tolist()) - {0})
        for lesion in sample.truth["lesions"]:
            for seen in lesion["observations"]:
                if seen["exam"] != number:
                    continue
                true = planted == seen["label"]
                counts = np.bincount(found[true], minlength=2)
                counts[0] = 0
                label = int(counts.argmax())
                assert label, f"{lesion['id']} was not found on day {exam['days']}"
                both = int(counts[label])
                dice = 2 * both / (int(true.sum()) + int((found == label).sum()))
                out.append((lesion["id"], names[label], number, dice))
    return out


def reported(sample: Sample) -> dict[str, Lesion]:
    """Truth name to report lesion."""
    by_id = {le.lesion_id: le for le in sample.result.report.lesions}
    return {truth: by_id[name] for truth, name, _, _ in pairs(sample)}


def test_three_lesions_are_found_at_each_date_and_followed_as_three(sample: Sample) -> None:
    found = pairs(sample)
    assert len(found) == 11
    names = {truth: {name for t, name, _, _ in found if t == truth} for truth in "ABC"}
    assert all(len(n) == 1 for n in names.values()), names
    assert len(set.union(*names.values())) == 3
    assert len(sample.report["lesions"]) == 3
    poor = [f for f in found if f[3] < 0.75]
    assert not poor, poor


def test_a_lesion_is_measured_where_it_exists_and_absent_before(sample: Sample) -> None:
    lesions = reported(sample)
    status = {k: [o.status for o in lesions[k].observations] for k in "ABC"}
    assert status["A"] == status["B"] == ["measured"] * 4
    assert status["C"] == ["absent"] + ["measured"] * 3
    before = lesions["C"].observations[0]
    assert before.volume_mm3 is None
    assert before.label is None


def test_the_true_volume_lies_in_the_interval(sample: Sample) -> None:
    lesions = reported(sample)
    inside, total = 0, 0
    for lesion in sample.truth["lesions"]:
        for seen in lesion["observations"]:
            observation = lesions[lesion["id"]].observations[seen["exam"]]
            assert observation.volume_ci95_mm3 is not None
            low, high = observation.volume_ci95_mm3
            inside += low <= seen["volume_mm3"] <= high
            total += 1
    assert total == 11
    assert inside >= 9


def test_centroids_are_where_the_lesions_were_planted(sample: Sample) -> None:
    lesions = reported(sample)
    for lesion in sample.truth["lesions"]:
        for seen in lesion["observations"]:
            observation = lesions[lesion["id"]].observations[seen["exam"]]
            assert observation.centroid_lps_mm is not None
            off = np.subtract(observation.centroid_lps_mm, seen["centroid_lps_mm"])
            assert np.linalg.norm(off) < 2.0


def test_labels(sample: Sample) -> None:
    lesions = reported(sample)
    assert lesions["A"].maturity.label == "mature"
    assert lesions["B"].maturity.label == "immature"
    assert lesions["C"].maturity.label != "mature"
    results = {c.id: c.result for c in lesions["A"].maturity.criteria}
    assert (results["R1"], results["R2"], results["R4"]) == ("pass", "pass", "pass")
    growth = {c.id: c.result for c in lesions["B"].maturity.criteria}
    assert growth["R4"] == "fail"
    assert lesions["A"].maturity.exam_id == sample.result.report.exams[-1].exam_id


def test_without_the_fourth_date_the_first_lesion_is_not_yet_mature(sample: Sample) -> None:
    shorter = sample.without_fourth.report
    assert [e.days_from_baseline for e in shorter.exams] == DAYS[:3]
    name = reported(sample)["A"].lesion_id
    same_uid = reported(sample)["A"].tracking_uid
    lesion = next(le for le in shorter.lesions if le.tracking_uid == same_uid)
    assert lesion.lesion_id == name
    assert lesion.maturity.label != "mature"
    # Its look is that of a mature one already: only the course over time stands against it.
    results = {c.id: c.result for c in lesion.maturity.criteria}
    assert (results["R1"], results["R2"]) == ("pass", "pass")
    assert results["R4"] != "pass"
    stability = {"stability_untested", "volume_increase", "mass_increase", "density_increase"}
    assert stability & set(lesion.maturity.reasons)
    followup = lesion.maturity.earliest_informative_followup_day
    assert followup is not None
    assert 190 < followup <= 290
    assert all(le.maturity.label != "mature" for le in shorter.lesions)


def test_exams_are_registered_by_their_bones(sample: Sample) -> None:
    ids = [e["exam_id"] for e in sample.report["exams"]]
    summary = sample.report["registrations"]
    assert [(r["from_exam"], r["to_exam"]) for r in summary] == [(ids[0], i) for i in ids[1:]]
    for item in summary:
        assert item["accepted"] is True
        assert item["residual_mm"] < 1.0
        assert item["bone_overlap"] > 0.8


def test_the_growing_lesion_is_told_as_enlarging(sample: Sample) -> None:
    grown = {(c.from_exam, c.to_exam): c for c in reported(sample)["B"].changes}
    ids = [e.exam_id for e in sample.result.report.exams]
    planted = [o["volume_mm3"] for o in sample.truth["lesions"][1]["observations"]]
    for first, second in ((0, 1), (1, 2), (2, 3)):
        change = grown[ids[first], ids[second]]
        assert change.category == "enlarging"
        assert change.days == DAYS[second] - DAYS[first]
        true = 100 * (planted[second] / planted[first] - 1)
        assert change.volume_change_pct == pytest.approx(true, abs=12)


def test_the_report_folder_is_complete(sample: Sample) -> None:
    top = {p.name for p in sample.folder.iterdir()}
    assert {"report.json", "report.html", "lesions.csv", "manifest.json", "exams"} <= top
    ids = {e["exam_id"] for e in sample.report["exams"]}
    assert {p.name for p in (sample.folder / "exams").iterdir()} == ids
    for exam_id in ids:
        there = {p.name for p in (sample.folder / "exams" / exam_id).iterdir() if p.is_file()}
        assert there >= PER_EXAM


def test_the_manifest_names_each_file_with_its_hash(sample: Sample) -> None:
    manifest = json.loads((sample.folder / "manifest.json").read_text())
    text = json.dumps(manifest)
    for path in sample.folder.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            assert path.relative_to(sample.folder).as_posix() in text
            assert hashlib.sha256(path.read_bytes()).hexdigest() in text


def test_report_json_follows_the_schema_that_the_command_prints(
    sample: Sample, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema"]) == 0
    jsonschema.validate(sample.report, json.loads(capsys.readouterr().out))
    assert "not advice to operate or to wait" in sample.report["statement"]


def test_the_table_has_a_row_per_lesion_and_exam(sample: Sample) -> None:
    with (sample.folder / "lesions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    wanted = {
        (le["lesion_id"], o["exam_id"]): o["volume_mm3"]
        for le in sample.report["lesions"]
        for o in le["observations"]
    }
    read = {
        (r["lesion_id"], r["exam_id"]): float(r["volume_mm3"]) if r["volume_mm3"] else None
        for r in rows
    }
    assert read == wanted


def test_label_map_volumes_are_near_the_reported_ones(sample: Sample) -> None:
    """The envelope is finer than voxels, but counts of voxels must not tell another story."""
    for exam in sample.report["exams"]:
        array, affine = label_map(sample.folder / exam["labelmap"])
        voxel = abs(float(np.linalg.det(affine[:3, :3])))
        for lesion in sample.report["lesions"]:
            seen = next(o for o in lesion["observations"] if o["exam_id"] == exam["exam_id"])
            if seen["status"] == "measured":
                counted = float((array == seen["label"]).sum()) * voxel
                assert counted == pytest.approx(seen["volume_mm3"], rel=0.3)


def test_dicom_objects_point_to_the_exam(sample: Sample) -> None:
    for exam in sample.report["exams"]:
        folder = sample.folder / "exams" / exam["exam_id"]
        labels = {
            o["label"]
            for le in sample.report["lesions"]
            for o in le["observations"]
            if o["exam_id"] == exam["exam_id"] and o["status"] == "measured"
        }
        seg = pydicom.dcmread(folder / "lesions.seg.dcm")
        assert len(seg.SegmentSequence) == len(labels)
        for name in ("lesions.seg.dcm", "measurements.sr.dcm", "summary.sc.dcm"):
            made = pydicom.dcmread(folder / name, stop_before_pixels=True)
            assert made.StudyInstanceUID == exam["study_instance_uid"]
            assert made.SeriesInstanceUID != exam["series_instance_uid"]


def test_the_report_measured_again_is_the_same_byte_for_byte(
    sample: Sample, sample_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["measure", str(sample.folder), str(sample_data / "patient"), "-o", str(tmp_path / "m")]
    assert run(words) == 0
    files = sorted(p.relative_to(sample.folder) for p in sample.folder.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "m") for p in (tmp_path / "m").rglob("*") if p.is_file()
    )
    differing = [
        str(f)
        for f in files
        if (sample.folder / f).read_bytes() != (tmp_path / "m" / f).read_bytes()
    ]
    assert differing == []
    assert "mature" in capsys.readouterr().out


def test_the_page_answers_first_and_says_what_it_is_not(sample: Sample) -> None:
    page = (sample.folder / "report.html").read_text()
    for lesion in sample.result.report.lesions:
        assert lesion.maturity.summary
        assert lesion.lesion_id in page
    assert "Not validated" in page
    assert "does not exclude malignancy" in page


def test_links_carry_each_lesion_to_where_the_other_exams_have_it(sample: Sample) -> None:
    """The patient lay 4 to 11 mm elsewhere at each date; the outlines change with growth."""
    compared = 0
    for lesion in sample.result.report.lesions:
        links = sample.result.links[lesion.tracking_uid]
        seen = {o.exam_id: o.centroid_lps_mm for o in lesion.observations}
        for exam_id, link in links.to.items():
            assert link.by == "registration"
            assert link.matrix_lps is not None
            if seen[exam_id] is None:
                continue
            carried = link.matrix_lps @ [*seen[links.exam_id], 1.0]
            assert np.linalg.norm(carried[:3] - seen[exam_id]) < 1.0
            assert np.linalg.norm(np.subtract(seen[links.exam_id], seen[exam_id])) > 3.0
            compared += 1
    assert compared == 8


def test_the_page_in_a_browser_shows_each_outline_where_its_label_map_has_it(
    sample: Sample,
) -> None:
    """The latest exam is the viewer's reference: its own label map says where the outlines lie."""
    page = (sample.folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 10_000_000
    found = re.search(r'id="viewer-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    boxes = json.loads(found[1])["lesions"]
    exam = sample.report["exams"][3]
    labels, affine = label_map(sample.folder / exam["labelmap"])
    with chromium() as start:
        browser = start()
        watched = Watched(browser, sample.folder / "report.html")
        watched.painted()
        watched.control("cross").uncheck()
        for index, lesion in enumerate(sample.report["lesions"]):
            if index:
                watched.painted(by=lambda k=index: watched.control("lesion").select_option(str(k)))
            box, label = boxes[index], lesion["observations"][3]["label"]
            root = watched.page.locator("#viewer-root")
            cursor = [int(n) for n in root.get_attribute("data-cursor").split(",")]
            z_mm = box["origin"][2] + box["step"] * cursor[0]
            points = np.argwhere(labels == label) @ affine[:3, :3].T + affine[:3, 3]
            points[:, :2] *= -1  # RAS to LPS
            plane = points[np.abs(points[:, 2] - z_mm) < 1.25 / 2 + 0.01]
            pixels = watched.canvas("axial")
            scale = len(pixels) / (max(box["size"]) * box["step"])
            hit = of_colour(pixels, lesion["maturity"]["label"])
            corner = [
                len(pixels) / 2 - n * box["step"] * scale / 2 - (o - box["step"] / 2) * scale
                for n, o in zip(box["size"][:0:-1], box["origin"][:2], strict=True)
            ]
            right = corner[0] + (plane[:, 0].max() + 0.6) * scale
            hit[:, int(right + 4) :] = False  # the lesion's name, and other lesions
            rows, columns = np.nonzero(hit)
            seen = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
            wanted = [
                corner[0] + (plane[:, 0].min() - 0.6) * scale,
                right,
                corner[1] + (plane[:, 1].min() - 0.6) * scale,
                corner[1] + (plane[:, 1].max() + 0.6) * scale,
            ]
            assert np.abs(np.subtract(seen, wanted)).max() < 0.6 * scale + 2, (index, seen, wanted)
        watched.painted(by=lambda: watched.control("beside").select_option("1"))
        assert "laid by the registration" in watched.control("how").inner_text()
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        faults = axe.Axe().run(watched.page).response["violations"]
        assert [fault["id"] for fault in faults] == []
        assert watched.faults == []
        assert all(url.startswith(("file:", "data:")) for url in watched.requests)
        browser.close()


def test_the_native_metal_nail_is_never_a_lesion(sample: Sample) -> None:
    metal = [e for e in sample.report["excluded"] if e["reason"] == "metal"]
    assert {e["exam_id"] for e in metal} == {e["exam_id"] for e in sample.report["exams"]}
