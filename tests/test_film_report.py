"""Films from DICOM to report: regions, numbers, labels, pages, and what gives no number."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pydicom
import pytest
from film_objects import film_dataset, write_gsps, write_seg, write_tid1500
from limb_patient import limb, write_exams
from PIL import Image
from pydicom.data import get_testdata_file
from scipy import ndimage

import hoimg
from hoimg.cli.main import run
from hoimg.film_analysis import FilmAnalysis
from hoimg.film_follow import film_lesions
from hoimg.film_regions import PlacedRegion
from hoimg.follow import Course
from hoimg.image import Radiograph
from hoimg.results import Lesion, Maturity, Observation, Report
from hoimg.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom
SIDE, CENTRE, RADIUS = 300, (140, 150), 40.0
SPACING = 0.2
AREA_MM2 = np.pi * (RADIUS * SPACING) ** 2
BOX = "box:85,75,215,205"
UID = "1.2.826.0.1.3680043.8.498.321"


def ball(radius: float = RADIUS, height: float = 250.0, seed: int = 5) -> np.ndarray:
    """A film of soft tissue that grows thicker to one side, with the shadow of a ball on it."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.sqrt(np.clip(1 - ((y - CENTRE[0]) ** 2 + (x - CENTRE[1]) ** 2) / radius**2, 0, 1))
    noise = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE))
    film = 1200 + x + height * ndimage.gaussian_filter(inside, 1.0)
    return np.rint(film + ndimage.gaussian_filter(noise, 0.6)).astype(np.uint16)


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def made(tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The report of what lies in ``in``."""
    assert run(["report", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == code
    return report_of(tmp_path / "out") if code == 0 else {}


def only(report: dict[str, Any]) -> dict[str, Any]:
    [lesion] = report["lesions"]
    [seen] = lesion["observations"]
    assert isinstance(seen, dict)
    return seen


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
    assert run(["measure", str(folder), str(tmp_path / "in"), "-o", str(tmp_path / "m")]) == 2
    assert "films" in capsys.readouterr().err


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
    [path] = list((sample_data / "films" / "FF80DF").iterdir())
    ds = pydicom.dcmread(path)
    ds.decompress()
    ds.PhotometricInterpretation = "MONOCHROME1"  # a lie: the pixels stay
    if "PresentationLUTShape" in ds:
        ds.PresentationLUTShape = "INVERSE"
    (tmp_path / "in").mkdir()
    ds.save_as(tmp_path / "in" / "a")
    report = made(tmp_path, "--roi", "box:594,627,712,747")
    seen = only(report)
    assert (seen["status"], seen["area_px2"]) == ("not_measurable", None)
    assert "film_looks_inverted" in seen["flags"] or "polarity_doubtful" in seen["flags"]
    codes = [f["code"] for f in report["exams"][0]["findings"]]
    assert "polarity_doubtful" in codes


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


def test_burned_in_text_stays_told(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), BurnedInAnnotation="YES")
    report = made(tmp_path, "--roi", BOX)
    assert "burned_in_text" in only(report)["flags"]
    assert "burned_in_text" in [f["code"] for f in report["exams"][0]["findings"]]


@pytest.fixture
def four_films(tmp_path: Path) -> Path:
    """AP and lateral at two dates."""
    for k, (day, view) in enumerate(
        [("20240110", "AP"), ("20240110", "LL"), ("20240601", "AP"), ("20240601", "LL")]
    ):
        film_dataset(tmp_path / "in" / f"{k}", ball(seed=k), sop=f"1.2.3.{k}", day=day, view=view)
    return tmp_path


def test_one_label_on_all_films_is_one_lesion_and_not_yet_mature(four_films: Path) -> None:
    words = [w for k in range(4) for w in ("--roi", f"1=1.2.3.{k}:{BOX}")]
    report = made(four_films, *words)
    [lesion] = report["lesions"]
    assert [o["exam_id"] for o in lesion["observations"]] == [e["exam_id"] for e in report["exams"]]
    # A ball alone: nothing round it places one film onto another.
    assert [c["comparable"] for c in lesion["changes"]] == [False, False]
    assert lesion["maturity"]["label"] != "mature"
    again = made(four_films, *words)["lesions"][0]
    assert (again["lesion_id"], again["tracking_uid"]) == (
        lesion["lesion_id"],
        lesion["tracking_uid"],
    )


def test_regions_without_labels_tie_nothing(four_films: Path) -> None:
    words = [w for k in range(4) for w in ("--roi", f"1.2.3.{k}:{BOX}")]
    report = made(four_films, *words)
    assert [len(x["observations"]) for x in report["lesions"]] == [1] * 4
    assert len({x["lesion_id"] for x in report["lesions"]}) == 4
    assert len({x["tracking_uid"] for x in report["lesions"]}) == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--roi", BOX], 2, "name one as FILM"),
        (["--roi", "1.2.3.9:" + BOX], 3, "none of these films"),
        (["--roi", "sphere:1,2,3,4"], 2, "only films"),
        (["--seed", "1,2,3"], 2, "only films"),
        (["--roi", "1.2.3.0:nothing.png"], 2, "no such file"),
        (["--roi", "1.2.3.0:box:900,900,950,950"], 3, "holds no pixel"),
    ],
)
def test_what_fits_no_film_ends_with_its_exit_code(
    four_films: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    made(four_films, *words, code=code)
    assert said in capsys.readouterr().err
    assert not (four_films / "out").exists()


@pytest.fixture(scope="module")
def with_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CT of one patient, films before, between and at the second."""
    folder = tmp_path_factory.mktemp("both")
    write_exams(folder / "in", {30: limb(8.0, seed=1), 130: limb(8.0, seed=2)})
    who = {"PatientID": "SIM-0001", "PatientName": "Simulated^Patient"}
    for k, day in enumerate(("20200101", "20200301", "20200510")):
        film_dataset(folder / "in" / f"film{k}", ball(seed=k), sop=f"1.2.3.{k}", day=day, **who)
    return folder


def test_ct_and_films_stand_in_one_time_line(with_ct: Path) -> None:
    words = ["--roi", f"1=1.2.3.0:{BOX}", "--roi", f"1=1.2.3.2:{BOX}"]
    report = made(with_ct, *words)
    kinds = [(e["days_from_baseline"], e["modality"]) for e in report["exams"]]
    assert kinds[:3] == [(0, "DX"), (30, "CT"), (60, "DX")]
    assert sorted(kinds[3:]) == [(130, "CT"), (130, "DX")]
    ct, drawn = sorted(report["lesions"], key=lambda x: x["observations"][0]["area_px2"] or 0)
    by_id = {e["exam_id"]: e for e in report["exams"]}
    assert [by_id[o["exam_id"]]["modality"] for o in ct["observations"]] == ["CT", "CT"]
    assert [by_id[o["exam_id"]]["modality"] for o in drawn["observations"]] == ["DX", "DX"]
    assert ct["lesion_id"] != drawn["lesion_id"]
    assert [c["category"] for c in ct["changes"]] == ["no_detectable_change"]
    assert len(report["totals"]["exams"]) == 2
    assert [t["lesions"] for t in report["totals"]["exams"]] == [1, 1]
    page = (with_ct / "out" / "report.html").read_text()
    assert "ossification on CT and films" in page
    for exam in report["exams"]:
        assert (with_ct / "out" / exam["labelmap"]).is_file()
        folder = (with_ct / "out" / exam["labelmap"]).parent
        assert (folder / "lesions.seg.dcm").exists() == (exam["modality"] == "CT")


def test_a_ct_is_not_changed_by_films_beside_it(with_ct: Path, tmp_path: Path) -> None:
    alone = [str(with_ct / "in" / d) for d in ("day30", "day130")]
    assert run(["report", *alone, "-o", str(tmp_path / "ct")]) == 0
    assert run(["report", str(with_ct / "in"), "-o", str(tmp_path / "both")]) == 0
    [before], [after] = (report_of(tmp_path / n)["lesions"] for n in ("ct", "both"))
    assert [o["volume_mm3"] for o in before["observations"]] == [
        o["volume_mm3"] for o in after["observations"]
    ]
    assert before["maturity"]["label"] == after["maturity"]["label"]


def test_a_region_in_space_goes_to_the_only_ct(with_ct: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("day30", "film0"):
        source = with_ct / "in" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / "in" / name)
    report = made(tmp_path, "--roi", "sphere:-26,4,139,25", "--roi", BOX)
    assert sorted(
        o["volume_mm3"] is None for x in report["lesions"] for o in x["observations"]
    ) == [False, True]


def film_analysis(exam: Any, label: int, uid: str | None, ties: str | None) -> FilmAnalysis:
    region = PlacedRegion(label, np.ones((4, 4), bool), ties, uid)
    seen = Observation(exam_id=exam.exam_id, status="measured", label=label, area_mm2=100.0)
    pixels = Radiograph(np.zeros((4, 4), np.float32), None, "none")
    return FilmAnalysis(exam, pixels, (region,), np.zeros((4, 4), np.uint16), {label: seen})


def test_a_tracking_uid_ties_films_to_a_lesion_of_ct(four_films: Path) -> None:
    exams = hoimg.read_patient(four_films / "in").exams
    ct = Lesion(
        lesion_id="L4",
        tracking_uid=UID,
        observations=[Observation(exam_id="ct", status="measured", volume_mm3=9.0)],
        changes=[],
        maturity=Maturity(label="immature", reasons=["volume_increase"], criteria=[]),
    )
    days = {e.exam_id: e.days_from_baseline for e in exams} | {"ct": 200}
    course = Course("p", days, None, None)
    films = [film_analysis(exams[0], 1, UID, f"uid:{UID}"), film_analysis(exams[2], 1, None, None)]
    found, told, _ = film_lesions(films, course, Settings(), [ct], {}, {"L1"})
    assert [x.lesion_id for x in found] == ["L4", "L2"]
    assert [o.exam_id for o in found[0].observations] == [exams[0].exam_id, "ct"]
    assert (found[0].maturity, told) == (ct.maturity, [])


def test_one_label_on_right_and_left_is_two_lesions(tmp_path: Path) -> None:
    for k, side in enumerate("RLR"):
        film_dataset(
            tmp_path / "in" / f"{k}", sop=f"1.2.3.{k}", day=f"2024010{k + 1}", ImageLaterality=side
        )
    exams = hoimg.read_patient(tmp_path / "in").exams
    course = Course("p", {e.exam_id: e.days_from_baseline for e in exams}, None, None)
    films = [film_analysis(e, 1, None, "label:1") for e in exams]
    found, [told], _ = film_lesions(films, course, Settings(), [], {})
    assert [[o.exam_id for o in x.observations] for x in found] == [
        [exams[0].exam_id, exams[2].exam_id],
        [exams[1].exam_id],
    ]
    assert told.code == "label_on_both_sides"


def test_an_unreadable_film_does_not_stop_the_others(four_films: Path) -> None:
    patient = hoimg.read_patient(four_films / "in")
    broken = four_films / "in" / "2"
    broken.write_bytes(broken.read_bytes()[:-5000])
    report = hoimg.analyze_patient(patient).report
    assert len(report.exams) == 4
    assert [any(f.level == "error" for f in e.findings) for e in report.exams].count(True) == 1


def test_a_film_is_drawn_lighter_where_it_attenuates_more(tmp_path: Path) -> None:
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
