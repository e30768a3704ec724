"""Hips on films from DICOM to page: landmarks found or given, the gap, the grades beside it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from film_objects import film_dataset
from film_reports import made

from hoimg.cli.main import run
from hoimg.errors import UsageError
from hoimg.film_shapes import FilmOutline
from hoimg.hip_marks import GivenHip
from hoimg.image import Radiograph
from hoimg.report.words import number

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "measure"))
import film_phantom as phantom

SPACING = 0.5
DRAWN: list[np.ndarray] = []
FEMUR_TOP = 135.0
"""Of the drawn trochanter, mm from the film's upper edge."""
CALIBRATED = {
    "PixelSpacing": ["0.5", "0.5"],
    "PixelSpacingCalibrationType": "FIDUCIAL",
    "ImagerPixelSpacing": ["0.6", "0.6"],
}


def hook(end_mm: float) -> np.ndarray:
    """A spur from the drawn wing, out and down to so many mm from the film's upper edge."""
    across = phantom.box(SPACING, 66, 78, 92, 140)
    return across | phantom.box(SPACING, 66, end_mm, 92, 106)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Lesions are outlined as they were drawn: how well outlines are found is tested elsewhere."""
    lesions: list[np.ndarray] = []

    def outline(film: Radiograph, region: np.ndarray, *_: Any) -> FilmOutline:
        inside = region & lesions[-1]
        if not inside.any():
            return FilmOutline(region, None, None, 0.3, "film_contrast_below_noise")
        behind = np.where(inside, film.pixels - np.float32(100), film.pixels)
        return FilmOutline(region, inside, behind, 20.0, None)

    monkeypatch.setattr("hoimg.segment.film_outline.outline_in_region", outline)
    monkeypatch.setattr(sys.modules[__name__], "DRAWN", lesions)
    return lesions


def box_round(mask: np.ndarray, margin: int = 16) -> str:
    ys, xs = np.nonzero(mask)
    corners = (xs.min() - margin, ys.min() - margin, xs.max() + margin, ys.max() + margin)
    return "box:" + ",".join(str(int(v)) for v in corners)


def write(
    folder: Path, lesion: np.ndarray, name: str = "a", *, uniform: bool = False, **tags: Any
) -> pydicom.Dataset:
    DRAWN.append(lesion)
    values = phantom.film(SPACING, lesion=lesion).pixels
    if uniform:  # soft tissue and the lesion, no bone
        values = 2.0 + 0.35 * lesion + np.random.default_rng(1).normal(0, 0.004, values.shape)
    stored = np.rint(500 + 600 * values).astype(np.uint16)
    named = {"sop": "1.2.3.1", "BodyPartExamined": "HIP", **CALIBRATED} | tags
    return film_dataset(folder / "in" / name, stored, **named)


def edits(folder: Path, *landmarks: dict[str, Any], **more: Any) -> list[str]:
    path = folder / "e.json"
    path.write_text(json.dumps({"landmarks": list(landmarks), **more}))
    return ["--edits", str(path)]


def only_hip(report: dict[str, Any], exam: int = 0) -> dict[str, Any]:
    [hip] = report["exams"][exam]["hips"]
    assert isinstance(hip, dict)
    return hip


def codes(report: dict[str, Any]) -> list[str]:
    return [f["code"] for e in report["exams"] for f in e["findings"]]


@pytest.mark.parametrize(
    ("end_mm", "brooker", "della_valle"),
    [(118.0, "II", "B"), (125.0, "borderline II/III", "borderline B/C"), (130.0, "III", "C")],
)
def test_a_spur_is_graded_by_its_gap_with_landmarks_that_were_found(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    end_mm: float,
    brooker: str,
    della_valle: str,
) -> None:
    lesion = hook(end_mm)
    write(tmp_path, lesion)
    report = made(tmp_path, "--roi", box_round(lesion))
    told = capsys.readouterr().out
    hip = only_hip(report)
    assert (hip["side"], hip["plane"], hip["landmarks"]) == ("right", "frontal", "found")
    assert hip["gap_mm"] == pytest.approx(FEMUR_TOP - end_mm, abs=1.5)
    low, high = hip["gap_ci95_mm"]
    assert low < hip["gap_mm"] < high
    assert hip["gap_px"] * SPACING == pytest.approx(hip["gap_mm"])
    assert (hip["brooker"], hip["della_valle"]) == (brooker, della_valle)
    assert hip["biplanar"] == ("2" if brooker == "III" else None)
    assert hip["brooker_equivalent"] is hip["della_valle_equivalent"] is None
    assert (hip["labels"], hip["joined_to_pelvis"], hip["joined_to_femur"]) == ([1], [1], [])
    assert hip["lesions"] == [report["lesions"][0]["lesion_id"]]
    y, x = hip["head_centre_yx"]
    assert ((y + 0.5) * SPACING, (x + 0.5) * SPACING) == pytest.approx(phantom.HEAD_YX, abs=2)
    assert "hip_landmarks_missing" not in codes(report)
    page = (tmp_path / "out" / "report.html").read_text()
    table = re.search(r'aria-label="Table of hips on films">(.*?)</table>', page, re.DOTALL)
    assert table is not None
    text = " ".join(re.sub(r"<[^>]+>", " ", table[1]).split())
    gap = number(hip["gap_mm"])
    assert re.search(rf"0, right, AP L1 {gap} \([^)]*\) mm {brooker} ", text)
    assert 'Table of hips"' not in page
    assert f"Brooker {brooker}, Della Valle {della_valle}" in told
    assert run(["explain", str(tmp_path / "out"), "L1"]) == 0
    assert f"gap {gap} " in capsys.readouterr().out


@pytest.mark.parametrize("side", [None, "B"])
def test_of_a_pelvis_the_hip_with_the_lesion_is_graded(tmp_path: Path, side: str | None) -> None:
    lesion = hook(130.0)
    DRAWN.append(np.hstack([np.zeros_like(lesion), lesion[:, ::-1]]))
    right = phantom.film(SPACING).pixels
    left = phantom.film(SPACING, lesion=lesion).pixels[:, ::-1]
    # Thicker towards the feet, or the midline would look like a band between two exposures.
    both = np.hstack([right, left]) + np.linspace(0, 0.6, right.shape[0])[:, None]
    stored = np.rint(500 + 600 * both).astype(np.uint16)
    tags = {"BodyPartExamined": "PELVIS", "ImageLaterality": side, **CALIBRATED}
    film_dataset(tmp_path / "in" / "a", stored, **tags)
    report = made(tmp_path, "--roi", box_round(DRAWN[-1]))
    hip = only_hip(report)
    # Nobody looked at the other one: it is not called free.
    assert (hip["side"], hip["brooker"], hip["landmarks"]) == ("left", "III", "found")
    assert hip["gap_mm"] == pytest.approx(FEMUR_TOP - 130.0, abs=1.5)
    assert hip["head_centre_yx"][1] * SPACING == pytest.approx(
        2 * phantom.SIZE[1] - phantom.HEAD_YX[1], abs=2
    )


def test_shadows_that_touch_both_bones_are_an_apparent_bridge(tmp_path: Path) -> None:
    lesion = hook(FEMUR_TOP + 2)
    write(tmp_path, lesion)
    hip = only_hip(made(tmp_path, "--roi", box_round(lesion)))
    assert (hip["gap_px"], hip["gap_mm"]) == (0, 0)
    assert (hip["brooker"], hip["della_valle"], hip["biplanar"]) == ("IV (apparent)", "C", "2")
    assert "apparent bridge" in (tmp_path / "out" / "report.html").read_text()


def test_a_gap_at_the_detector_says_so_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesion = hook(118.0)
    detector = {"ImagerPixelSpacing": ["0.5", "0.5"]}
    write(tmp_path, lesion, **dict.fromkeys(()), **{**detector, "PixelSpacing": ["0.5", "0.5"]},
          PixelSpacingCalibrationType="")  # fmt: skip
    hip = only_hip(made(tmp_path, "--roi", box_round(lesion)))
    assert "gap_at_detector" in hip["flags"]
    assert "magnification_assumed" in hip["flags"]
    assert hip["brooker"] == "II"
    assert "mm at detector, uncorrected; Brooker II" in capsys.readouterr().out


def test_a_given_head_makes_a_hip_of_a_film_of_any_part(tmp_path: Path) -> None:
    lesion = hook(130.0)
    write(tmp_path, lesion, BodyPartExamined="THIGH")
    report = made(tmp_path, "--roi", box_round(lesion))
    assert report["exams"][0]["hips"] == []
    assert "hip_landmarks_missing" not in codes(report)
    y, x = phantom.HEAD_YX
    millimetres = {"head": [x, y, phantom.HEAD], "unit": "mm"}
    pixels = {"head": [x / SPACING, y / SPACING, phantom.HEAD / SPACING], "side": "right"}
    found = []
    for marks in (millimetres, pixels):
        words = [*edits(tmp_path, marks), "--roi", box_round(lesion)]
        found.append(only_hip(made(tmp_path, *words)))
    assert found[0] == found[1]
    hip = found[0]
    assert (hip["landmarks"], hip["brooker"]) == ("given", "III")
    assert hip["gap_mm"] == pytest.approx(5.0, abs=1.5)
    assert hip["head_centre_yx"] == pytest.approx([y / SPACING - 0.5, x / SPACING - 0.5])
    # The file of edits of a report makes that report again.
    again = ["--edits", str(tmp_path / "out" / "edits.json"), "--roi", box_round(lesion)]
    assert only_hip(made(tmp_path, *again)) == hip


def test_no_head_is_a_finding_that_says_how_to_give_one_and_no_grade(tmp_path: Path) -> None:
    lesion = hook(118.0)
    write(tmp_path, lesion, uniform=True)
    report = made(tmp_path, "--roi", box_round(lesion))
    assert report["exams"][0]["hips"] == []
    [told] = [f for f in report["exams"][0]["findings"] if f["code"] == "hip_landmarks_missing"]
    assert "no femoral head" in told["message"]
    # What it says to write is read, once a place is filled in.
    said = re.search(r"\{.*\}", told["fix"])
    assert said is not None
    filled = json.loads(said[0].replace("X, Y, RADIUS", "300, 260, 50"))
    words = [*edits(tmp_path, **filled), "--roi", box_round(lesion)]
    assert only_hip(made(tmp_path, *words))["landmarks"] == "given"


def test_front_and_side_of_one_day_are_biplanar(tmp_path: Path) -> None:
    lesion = hook(118.0)
    for name, view, sop in (("a", "AP", "1.2.3.1"), ("b", "LL", "1.2.3.2")):
        write(tmp_path, lesion, name, view=view, sop=sop)
    regions = [w for k in (1, 2) for w in ("--roi", f"1=1.2.3.{k}:{box_round(lesion)}")]
    report = made(tmp_path, *regions)
    front, side = report["exams"]
    assert (front["hips"][0]["biplanar"], side["hips"]) == (None, [])
    assert "no_lateral_hip" in front["hips"][0]["flags"]
    [told] = [f for f in side["findings"] if f["code"] == "hip_landmarks_missing"]
    assert '"pelvis"' in told["fix"]
    pelvis = [[280, 40], [350, 40], [350, 200], [280, 200]]
    for top, biplanar in ((300, "1"), (250, "2"), (255, "borderline 1/2")):
        # The spur ends at row 236: gaps of 32, 7 and 9.5 mm.
        femur = [[164, top], [224, top], [224, 600], [164, 600]]
        marks = {"side": "right", "pelvis": pelvis, "femur": femur, "sop_instance_uid": "1.2.3.2"}
        front, side = made(tmp_path, *edits(tmp_path, marks), *regions)["exams"]
        [hip], [lateral] = front["hips"], side["hips"]
        assert (hip["brooker"], hip["biplanar"]) == ("II", biplanar)
        assert "no_lateral_hip" not in hip["flags"]
        assert hip["lateral_exam"] == side["exam_id"]
        assert lateral["gap_mm"] == pytest.approx((top - 236) * SPACING, abs=1.2)
        assert lateral["brooker"] is lateral["biplanar"] is None
        assert "view_not_frontal" in lateral["flags"]


def test_a_lesion_that_could_not_be_outlined_leaves_only_what_it_cannot_change(
    tmp_path: Path,
) -> None:
    for end_mm, brooker, della_valle in (
        (118.0, None, None),
        (130.0, None, "C"),
        (FEMUR_TOP + 2, "IV (apparent)", "C"),
    ):
        lesion = hook(end_mm)
        write(tmp_path, lesion)
        empty = "box:60,300,120,360"  # soft tissue beside the trochanter
        report = made(tmp_path, "--roi", box_round(lesion), "--roi", empty)
        states = [x["observations"][0]["status"] for x in report["lesions"]]
        assert states == ["measured", "not_measurable"]
        hip = only_hip(report)
        assert (hip["brooker"], hip["della_valle"]) == (brooker, della_valle)
        assert "lesion_not_outlined" in hip["flags"]
        assert hip["gap_px"] is not None


def test_a_hip_is_not_graded_where_polarity_is_in_doubt(tmp_path: Path) -> None:
    lesion = hook(118.0)
    write(tmp_path, lesion, PixelIntensityRelationshipSign=1)
    hip = only_hip(made(tmp_path, "--roi", box_round(lesion)))
    assert hip["brooker"] is hip["della_valle"] is None
    assert "polarity_doubtful" in hip["flags"]


def test_where_nobody_looked_no_hip_is_graded(tmp_path: Path) -> None:
    write(tmp_path, hook(118.0))
    report = made(tmp_path)
    assert report["exams"][0]["hips"] == []
    assert "hip_landmarks_missing" not in codes(report)


def test_the_region_of_the_header_counts_where_it_states_no_body_part(tmp_path: Path) -> None:
    region = pydicom.Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = (
        "24136001",
        "SCT",
        "Hip joint",
    )
    lesion = hook(118.0)
    write(tmp_path, lesion, BodyPartExamined=None, AnatomicRegionSequence=[region])
    report = made(tmp_path, "--roi", box_round(lesion))
    assert report["exams"][0]["film"]["body_part"] == "Hip joint"
    assert only_hip(report)["brooker"] == "II"


@pytest.mark.parametrize(
    ("marks", "code", "said"),
    [
        ({"head": [10, 10, 0]}, 2, "radius above 0"),
        ({}, 2, "give a head"),
        ({"pelvis": [[0, 0], [9, 0], [9, 9]]}, 2, "give a head"),
        ({"pelvis": [[0, 0], [9, 0], [9, 9]], "femur": [[0, 0], [9, 9], [18, 18]]}, 2, "no area"),
        ({"head": [9000, 10, 40]}, 3, "lies outside"),
        ({"head": [10, 10, 40], "sop_instance_uid": "1.2.3.9"}, 0, ""),
    ],
)
def test_what_is_no_landmark_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    marks: dict[str, Any],
    code: int,
    said: str,
) -> None:
    write(tmp_path, hook(118.0))
    report = made(tmp_path, *edits(tmp_path, marks), code=code)
    assert said in capsys.readouterr().err
    # Those of a film that is not there had no effect, and are told.
    assert code != 0 or "edits_of_other_exams" in codes(report)


def test_hips_are_the_same_when_the_report_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesion = hook(130.0)
    write(tmp_path, lesion, BodyPartExamined="THIGH")
    y, x = phantom.HEAD_YX
    marks = edits(tmp_path, {"head": [x, y, phantom.HEAD], "unit": "mm"})
    report = made(tmp_path, *marks, "--roi", box_round(lesion))
    assert only_hip(report)["brooker"] == "III"
    monkeypatch.setattr("hoimg.segment.film_outline.outline_in_region", None)
    again = [str(tmp_path / name) for name in ("out", "in")]
    assert run(["measure", *again, "-o", str(tmp_path / "again")]) == 0
    for path in (tmp_path / "out").rglob("*.*"):
        other = tmp_path / "again" / path.relative_to(tmp_path / "out")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_landmarks_twice_or_without_a_side_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, hook(118.0))
    head = {"head": [300, 260, 50]}
    made(tmp_path, *edits(tmp_path, head, {**head, "side": "right"}), code=2)
    assert "has landmarks already" in capsys.readouterr().err
    write(tmp_path, hook(118.0), ImageLaterality=None)
    made(tmp_path, *edits(tmp_path, head), code=2)
    assert "states no side" in capsys.readouterr().err
    with pytest.raises(UsageError, match="radius"):
        GivenHip("it", None, None, (1.0, float("nan"), 3.0))
