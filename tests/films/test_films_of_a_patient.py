"""Several films of one patient, and films beside CT: which of them show one lesion."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from film_objects import film_dataset
from film_reports import BOX, ball, made, report_of
from film_scene import MOVED, STEP, film
from limb_patient import limb, write_exams

import hoimg
from hoimg.cli.main import run
from hoimg.film_regions import PlacedRegion
from hoimg.films.analysis import FilmAnalysis
from hoimg.films.follow import film_lesions
from hoimg.follow import Course
from hoimg.image import Radiograph
from hoimg.results import Lesion, Maturity, Observation
from hoimg.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom
UID = "1.2.826.0.1.3680043.8.498.321"


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
        seen = exam["modality"] == "CT" or exam["exam_id"] in {
            o["exam_id"] for o in drawn["observations"]
        }
        assert (folder / "lesions.seg.dcm").exists() == seen


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


def film_analysis(exam: Any, label: int, ties: str | None) -> FilmAnalysis:
    region = PlacedRegion(label, np.ones((4, 4), bool), ties)
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
    films = [film_analysis(exams[0], 1, f"uid:{UID}"), film_analysis(exams[2], 1, None)]
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
    films = [film_analysis(e, 1, "label:1") for e in exams]
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


def test_a_change_of_area_stands_in_report_page_table_and_explanation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moves = {"20240110": (None, 1.0), "20240601": (MOVED, 1.25)}
    words = []
    for k, (day, (move, grown)) in enumerate(moves.items()):
        pixels, shadow = film(move, noise=k, grown=grown)
        values = pixels.pixels - pixels.pixels.min()
        stored = np.rint(values * (4095 / values.max())).astype(np.uint16)
        tags = {"sop": f"1.2.3.{k}", "day": day, "ImagerPixelSpacing": [STEP, STEP]}
        film_dataset(tmp_path / "in" / f"{k}", stored, **tags)
        rows, columns = (np.flatnonzero(shadow.any(axis=1 - n)) for n in (0, 1))
        corners = (columns[0] - 20, rows[0] - 20, columns[-1] + 20, rows[-1] + 20)
        words += ["--roi", f"1=1.2.3.{k}:box:{','.join(map(str, corners))}"]
    report = made(tmp_path, *words)
    [lesion] = report["lesions"]
    [change] = lesion["changes"]
    # 1.25 times as wide, seen in the size of the bone beside it: the later film magnifies by 1.07.
    # Each outline's area is known to some 4 %, so that 1.56 is known to 0.08.
    assert change["area_change_pct"] == pytest.approx(56, abs=8)
    assert (change["category"], change["comparable"]) == ("enlarging", True)
    assert change["volume_change_pct"] is None
    assert lesion["maturity"]["label"] == "immature"
    [placed] = report["registrations"]
    assert (placed["accepted"], placed["tracking_uid"]) == (True, lesion["tracking_uid"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "enlarging" in page
    assert "near L1" in page
    assert "Projected area" in page
    table = (tmp_path / "out" / "changes.csv").read_text()
    assert "enlarging: projected area +" in table
    capsys.readouterr()
    assert run(["explain", str(tmp_path / "out"), "L1"]) == 0
    told = capsys.readouterr().out
    assert "day 0 to 143, AP: enlarging; projected area +" in told
    assert "films, by the bone near; residual" in told
