"""Films from DICOM to report: regions, numbers, labels, pages, and what gives no number."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pydicom
import pytest
from film_objects import film_dataset, write_gsps, write_seg, write_tid1500
from film_reports import (
    AREA_MM2,
    BOX,
    CENTRE,
    RADIUS,
    SIDE,
    SPACING,
    ball,
    inverted_film,
    made,
    only,
    report_of,
)
from PIL import Image
from pydicom.data import get_testdata_file

from hoimg.cli.main import run
from hoimg.image import Radiograph
from hoimg.results import Report
from hoimg.segment import film_outline

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom
UID = "1.2.826.0.1.3680043.8.498.321"


@pytest.fixture
def film(tmp_path: Path) -> pydicom.Dataset:
    return film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1", view="AP")


def test_one_film_with_a_box(
    film: pydicom.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made(tmp_path, "--roi", BOX)
    told = capsys.readouterr().out
    [exam] = report["exams"]
    assert (exam["modality"], exam["film"]["view"], exam["film"]["side"]) == ("DX", "AP", "R")
    assert exam["film"]["spacing_source"] == "detector_uncorrected"
    assert exam["film"]["sop_instance_uid"] == "1.2.3.1"
    assert (exam["excluded_labelmap"], exam["anatomy"], report["totals"]) == (None, None, None)
    seen = only(report)
    assert (seen["status"], seen["label"], seen["region_label"]) == ("measured", 1, 1)
    assert seen["area_mm2"] == pytest.approx(AREA_MM2, rel=0.1)
    assert seen["area_px2"] == pytest.approx(np.pi * RADIUS**2, rel=0.1)
    assert seen["length_mm"] == pytest.approx(2 * RADIUS * SPACING, rel=0.08)
    low, high = seen["area_ci95_mm2"]
    assert low <= seen["area_mm2"] <= high
    for name in ("volume_mm3", "mean_hu", "mineral_mass_mg", "mineral_mass_hu_mm3", "rim_fraction"):
        assert seen[name] is None
    assert "film_gives_no_volume" in seen["flags"]
    map_ = nib.load(tmp_path / "out" / exam["labelmap"])
    labels = np.asarray(map_.dataobj)
    assert labels.shape == (SIDE, SIDE, 1)
    assert np.allclose(map_.header.get_zooms()[:2], SPACING)
    assert (labels == 1).sum() == pytest.approx(seen["area_px2"], rel=0.05)
    # First axis columns, second rows: the middle of the ball.
    xs, ys, _ = np.nonzero(labels)
    assert (ys.mean() + 0.5, xs.mean() + 0.5) == pytest.approx(CENTRE, abs=2)
    assert report["lesions"][0]["maturity"]["label"] != "mature"
    assert "mm2 at detector, uncorrected" in told
    text = json.dumps(report) + (tmp_path / "out" / "report.html").read_text()
    assert "Secret" not in text
    assert "ID-9" not in text


def test_the_files_of_a_film_report(
    film: pydicom.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made(tmp_path, "--roi", BOX)
    folder = tmp_path / "out"
    jsonschema.validate(report, Report.model_json_schema())
    [row] = csv.DictReader((folder / "lesions.csv").read_text().splitlines())
    seen = only(report)
    assert float(row["area_mm2"]) == seen["area_mm2"]
    assert (row["modality"], row["volume_mm3"]) == ("DX", "")
    manifest = json.loads((folder / "manifest.json").read_text())
    hashes = {e["path"]: e["sha256"] for e in manifest["files"]}
    labelmap = report["exams"][0]["labelmap"]
    assert hashes[labelmap] == hashlib.sha256((folder / labelmap).read_bytes()).hexdigest()
    page = (folder / "report.html").read_text()
    assert "mm at detector, uncorrected" in page
    assert "ossification on films" in page
    assert page.count("data:image/jpeg") == 2  # the film and the cut-out
    assert page.count('class="o" d="M') == 2
    capsys.readouterr()
    assert run(["explain", str(folder), "L1"]) == 0
    told = capsys.readouterr().out
    assert "projected area" in told
    assert "mm at detector, uncorrected" in told
    assert "volume" not in told.split("The rules")[0].split("What was measured")[1].split("[")[0]


def test_without_a_region_nothing_is_called_and_the_report_says_how(
    film: pydicom.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made(tmp_path)
    told = capsys.readouterr().out
    [exam] = report["exams"]
    assert report["lesions"] == []
    assert not np.asarray(nib.load(tmp_path / "out" / exam["labelmap"]).dataobj).any()
    [found] = [f for f in exam["findings"] if f["code"] == "no_region_given"]
    # The region is given with the words that the report says.
    [name] = re.findall(r"--roi (\S+):box", found["fix"])
    assert f"--roi {name}:box" in told
    assert f"--roi {name}:box" in (tmp_path / "out" / "report.html").read_text()
    assert only(made(tmp_path, "--roi", f"{name}:{BOX}"))["status"] == "measured"


def test_every_form_of_one_region_gives_one_result(film: pydicom.Dataset, tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[75:205, 85:215] = 1
    corners = [85.0, 75.0, 215.0, 75.0, 215.0, 205.0, 85.0, 205.0]
    closed = [*corners, *corners[:2]]
    Image.fromarray(mask).save(tmp_path / "l.png")
    nib.save(nib.Nifti1Image(mask.T[..., None], np.eye(4)), tmp_path / "l.nii.gz")
    write_seg(tmp_path / "s.dcm", film, [mask > 0], [None])
    write_tid1500(tmp_path / "t.dcm", film, np.reshape(closed, (-1, 2)), "POLYLINE", UID)
    write_gsps(tmp_path / "g.dcm", film, [("POLYLINE", closed)])
    edits = {"regions": [{"polygon": np.reshape(corners, (-1, 2)).tolist()}]}
    (tmp_path / "e.json").write_text(json.dumps(edits))
    millimetres = ",".join(f"{v * SPACING:g}" for v in (85, 75, 215, 205))
    ways = [
        ["--roi", BOX],
        ["--roi", "polygon:" + ",".join(map(str, corners))],
        ["--roi", f"box:{millimetres}mm"],
        *(["--roi", str(tmp_path / n)] for n in ("l.png", "l.nii.gz", "s.dcm", "t.dcm", "g.dcm")),
        ["--edits", str(tmp_path / "e.json")],
    ]
    # Many corners make words longer than the name of a file can be.
    dense = [p for x in range(85, 215) for p in (x, 75)] + corners[2:]
    ways.append(["--roi", "polygon:" + ",".join(map(str, dense))])
    areas = {only(made(tmp_path, *way))["area_px2"] for way in ways}
    assert len(areas) == 1


def test_the_same_input_gives_the_same_bytes_and_edits_make_it_again(
    film: pydicom.Dataset, tmp_path: Path
) -> None:
    (tmp_path / "e.json").write_text(json.dumps({"regions": [{"box": [85, 75, 215, 205]}]}))
    for name, edits in (("r1", "e.json"), ("r2", "e.json"), ("r3", "r1/edits.json")):
        words = ["report", str(tmp_path / "in"), "-o", str(tmp_path / name)]
        assert run([*words, "--edits", str(tmp_path / edits)]) == 0
    for file in (p for p in (tmp_path / "r1").rglob("*") if p.is_file()):
        relative = file.relative_to(tmp_path / "r1")
        for other in ("r2", "r3"):
            assert (tmp_path / other / relative).read_bytes() == file.read_bytes(), relative


def test_faint_mineral_is_not_measurable_and_never_a_guess(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(height=0.0))
    report = made(tmp_path, "--roi", BOX)
    seen = only(report)
    assert (seen["status"], seen["label"], seen["region_label"]) == ("not_measurable", None, 1)
    assert seen["flags"][0] == "film_contrast_below_noise"
    assert seen["area_mm2"] is seen["area_px2"] is None
    assert report["lesions"][0]["maturity"]["reasons"] == ["never_measured"]
    assert "does not stand out" in (tmp_path / "out" / "report.html").read_text()


def test_without_a_pixel_size_there_are_pixels_and_no_millimetre(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), ImagerPixelSpacing=["0.0", "0.0"])
    report = made(tmp_path, "--roi", BOX)
    seen = only(report)
    assert seen["area_px2"] == pytest.approx(np.pi * RADIUS**2, rel=0.1)
    assert seen["area_mm2"] is seen["length_mm"] is seen["area_ci95_mm2"] is None
    assert (seen["spacing_source"], report["exams"][0]["film"]["spacing_yx_mm"]) == ("none", None)
    assert report["lesions"][0]["maturity"]["label"] == "indeterminate"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "pixels only" in page
    assert "px²" in page


def test_a_film_that_looks_inverted_gives_no_number(sample_data: Path, tmp_path: Path) -> None:
    inverted_film(sample_data, tmp_path / "in")
    report = made(tmp_path, "--roi", "box:594,627,712,747")
    seen = only(report)
    assert (seen["status"], seen["area_px2"]) == ("not_measurable", None)
    assert seen["flags"] == ["film_looks_inverted"]
    codes = [f["code"] for f in report["exams"][0]["findings"]]
    assert "polarity_doubtful" in codes


def test_a_header_that_contradicts_itself_about_polarity_withholds_the_label(
    tmp_path: Path,
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), PixelIntensityRelationshipSign=1)
    report = made(tmp_path, "--roi", BOX)
    seen = only(report)
    assert seen["area_mm2"] == pytest.approx(AREA_MM2, rel=0.1)
    assert "polarity_doubtful" in seen["flags"]
    assert report["lesions"][0]["maturity"]["label"] == "indeterminate"
    assert "polarity_doubtful" in report["lesions"][0]["maturity"]["reasons"]


def two_exposures() -> np.ndarray:
    """Two halves side by side, the ball on the left one, an unexposed band between them."""
    left = ball()[:, :250]
    band = np.full((SIDE, 12), 4000, np.uint16)
    return np.hstack([left, band, ball(seed=9)[:, :240]])


def test_of_two_exposures_a_region_sees_its_own(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", two_exposures())
    report = made(tmp_path, "--roi", BOX)
    assert "two_exposures" in [f["code"] for f in report["exams"][0]["findings"]]
    assert only(report)["area_mm2"] == pytest.approx(AREA_MM2, rel=0.1)
    seen = only(made(tmp_path, "--roi", "box:85,75,300,205"))
    assert (seen["status"], seen["flags"][0]) == ("not_measurable", "region_across_exposures")


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({}, "Whether text is burned into the pixels"),
        ({"BurnedInAnnotation": "YES"}, "it may name the patient"),
        ({"BurnedInAnnotation": "NO"}, None),
    ],
)
def test_the_page_says_that_pictures_may_name_the_patient(
    tmp_path: Path, stated: dict[str, str], told: str | None
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), **stated)
    made(tmp_path, "--roi", BOX)
    page = (tmp_path / "out" / "report.html").read_text()
    assert ("before you share this page" in page) == (told is not None)
    assert told is None or told in page


@pytest.mark.parametrize(("first", "stop"), [(85, 215), (270, 400)])
@pytest.mark.parametrize("turned", [False, True])
def test_what_measures_a_region_is_given_its_own_exposure_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, stop: int, turned: bool
) -> None:
    stored = np.ascontiguousarray(two_exposures().T) if turned else two_exposures()
    film_dataset(tmp_path / "in" / "a", stored)
    given = []
    ours = film_outline.outline_in_region

    def outline(film: Radiograph, *rest: Any) -> film_outline.FilmOutline:
        given.append(film.valid)
        return ours(film, *rest)

    monkeypatch.setattr(film_outline, "outline_in_region", outline)
    corners = (75, first, 205, stop) if turned else (first, 75, stop, 205)
    made(tmp_path, "--roi", "box:" + ",".join(map(str, corners)))
    [valid] = given
    known = valid.T if turned else valid
    assert known[:, first:stop].all()
    assert not known[:, 250:262].any()  # the band
    assert not known[:, 262:].any() or not known[:, :250].any()


def test_burned_in_text_stays_told(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), BurnedInAnnotation="YES")
    report = made(tmp_path, "--roi", BOX)
    assert "burned_in_text" in only(report)["flags"]
    assert "burned_in_text" in [f["code"] for f in report["exams"][0]["findings"]]


def test_a_film_stored_the_other_way_round_gives_the_same_numbers(tmp_path: Path) -> None:
    stored = 4095 - ball()
    film_dataset(tmp_path / "in" / "a", stored, PhotometricInterpretation="MONOCHROME1")
    seen = only(made(tmp_path, "--roi", BOX))
    film_dataset(tmp_path / "in" / "a", ball())
    assert seen["area_px2"] == only(made(tmp_path, "--roi", BOX))["area_px2"]


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm", "dx_image.dcm"])
def test_real_films_are_reported_and_nothing_is_called(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    path = (
        real_data / "dicom_objects" / name
        if name.startswith("dx")
        else Path(str(get_testdata_file(name, download=False)))
    )
    assert run(["report", str(path), "-o", str(tmp_path / "out")]) == 0
    report = report_of(tmp_path / "out")
    [exam] = report["exams"]
    assert report["lesions"] == []
    assert exam["film"]["mirrored"] is True or name.startswith("RG1")
    known = exam["film"]["spacing_yx_mm"] is not None
    assert known == name.startswith("dx")
    # Also with a region no millimetre comes from a film without a size.
    words = ["--roi", "box:10,10,110,110", "-o", str(tmp_path / "out")]
    assert run(["report", str(path), *words]) == 0
    seen = only(report_of(tmp_path / "out"))
    assert known or seen["area_mm2"] is seen["length_mm"] is None


def test_the_sample_films(sample_data: Path, tmp_path: Path) -> None:
    """Loose boxes round the planted shadows; the truth is read from its own label maps."""
    truth = json.loads((sample_data / "films" / "truth" / "case.json").read_text())
    wanted: dict[tuple[str, int], np.ndarray] = {}
    words = []
    for film in (f for e in truth["exams"] for f in e["films"]):
        labels = np.array(Image.open(sample_data / "films" / "truth" / film["labelmap"]))
        for label in np.unique(labels[labels > 0]).tolist():
            ys, xs = np.nonzero(labels == label)
            box = (xs.min() - 25, ys.min() - 25, xs.max() + 26, ys.max() + 26)
            sop = film["sop_instance_uid"]
            words += ["--roi", f"{label}={sop}:box:{','.join(map(str, box))}"]
            wanted[sop, label] = labels == label
    words += [str(sample_data / "films"), "-o", str(tmp_path / "out")]
    assert run(["report", *words]) == 0
    report = report_of(tmp_path / "out")
    assert len(report["exams"]) == 3
    assert len(report["lesions"]) == 3
    by_id = {e["exam_id"]: e for e in report["exams"]}
    dices = []
    for lesion in report["lesions"]:
        assert lesion["maturity"]["label"] != "mature"
        for seen in lesion["observations"]:
            exam = by_id[seen["exam_id"]]
            true = wanted[exam["film"]["sop_instance_uid"], seen["region_label"]]
            if seen["status"] != "measured":
                assert seen["area_mm2"] is None
                continue
            labels = np.asarray(nib.load(tmp_path / "out" / exam["labelmap"]).dataobj)[..., 0].T
            found = labels == seen["label"]
            dices.append(2 * (found & true).sum() / (found.sum() + true.sum()))
    assert len(dices) >= 5
    assert np.median(dices) > 0.8
