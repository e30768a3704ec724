"""A reader's corrections: their words, their file, and the report that comes out of them again."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limb_patient import CENTRE, GRID, limb, outline, points, write_exams

import hoimg
from hoimg.cli.main import run
from hoimg.edits import Applied, Edit, Edits, for_exams, given_edits, point_words, read_edits
from hoimg.errors import UsageError
from hoimg.guidance import Guidance
from hoimg.image import CTVolume, Mask, write_nifti
from hoimg.pipeline import analyze_exam, analyze_patient

STONE = (-20.0, 30.0, 120.0)
STONE_MM3 = 4 / 3 * np.pi * 5.5**3
SERIES = {"day0": "1.2.3", "day9": "1.2.4"}


def words_of(point: Any) -> str:
    return ",".join(f"{v:g}" for v in point)


# Words


@pytest.mark.parametrize(
    ("text", "exam", "point"),
    [
        ("1,2,3", None, (1.0, 2.0, 3.0)),
        ("-1.5, 2e1 ,+3", None, (-1.5, 20.0, 3.0)),
        ("day0000_ct_ab12:-1,2,3", "day0000_ct_ab12", (-1.0, 2.0, 3.0)),
        (" day9 :1,2,3", "day9", (1.0, 2.0, 3.0)),
    ],
)
def test_a_point_may_name_its_exam(text, exam, point):
    (edit,) = given_edits(include=[text]).edits
    assert (edit.action, edit.exam_id, edit.point_lps_mm) == ("include", exam, point)
    assert given_edits(exclude=[text]).edits[0].action == "exclude"


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "1,2,x", "day9:", ":1,2,3", "nan,1,2", "3"])
@pytest.mark.parametrize("action", ["include", "exclude"])
def test_what_is_no_point_is_a_usage_error(text, action):
    with pytest.raises(UsageError, match=f"--{action}"):
        given_edits(**{action: [text]})


def test_series_names_the_exam_of_bare_words_only():
    edits = given_edits(include=["1,2,3"], exclude=["day9:1,2,3"], series_uid="1.2.3").edits
    assert [(e.exam_id, e.series_instance_uid) for e in edits] == [(None, "1.2.3"), ("day9", None)]


def test_words_and_point_are_each_others_inverse():
    for point in [(0.0, -0.001, 12.345), (-1234.56, 99.995, 3.0)]:
        text = point_words(point, "day9")
        (edit,) = given_edits(include=[text]).edits
        np.testing.assert_allclose(edit.point_lps_mm, point, atol=0.0051)
        assert edit.words == f"--include {text}"
    assert point_words((-0.001, 0.0, 1.0)) == "0,0,1"


# Which exam


def edit(action="include", point=(1.0, 2.0, 3.0), **kw):
    return Edit(action=action, point_lps_mm=point, **kw)


def test_the_series_decides_before_the_exams_name():
    given = Edits(
        edits=(
            edit(exam_id="day9", series_instance_uid="1.2.3"),
            edit(point=(4.0, 5.0, 6.0), exam_id="day9", series_instance_uid="9.9.9"),
            edit(point=(7.0, 8.0, 9.0), series_instance_uid="1.2.4"),
        )
    )
    placed, strange = for_exams(given, SERIES)
    assert [(e.exam_id, e.series_instance_uid) for e in placed.edits] == [
        ("day0", "1.2.3"),
        ("day9", "1.2.4"),
        ("day9", "1.2.4"),
    ]
    assert strange == []


def test_what_earlier_runs_said_is_dropped_and_repeats_count_once():
    said = Applied(outcome="included", was="vascular")
    first = edit(exam_id="day0", note="mine", applied=said)
    again = edit(exam_id="day0", series_instance_uid="1.2.3")
    other = edit("exclude", exam_id="day0")
    elsewhere = edit(exam_id="day77", applied=said)
    placed, strange = for_exams(Edits(edits=(first, again, other, elsewhere)), SERIES)
    assert [(e.action, e.note, e.applied) for e in placed.edits] == [
        ("include", "mine", None),
        ("exclude", "", None),
    ]
    assert [(e.exam_id, e.applied) for e in strange] == [("day77", None)]


def test_without_a_name_there_must_be_one_exam():
    (only,) = for_exams(Edits(edits=(edit(),)), {"day0": "1.2.3"})[0].edits
    assert (only.exam_id, only.series_instance_uid) == ("day0", "1.2.3")
    with pytest.raises(UsageError, match=r"--include 1,2,3: there are 2 exams.*day0:X,Y,Z.*day9"):
        for_exams(Edits(edits=(edit(),)), SERIES)


# The file


def test_a_file_is_read_as_it_was_written(tmp_path):
    edits = Edits(
        edits=(
            edit(point=(0.1, -1 / 3, 1e3), exam_id="day0", series_instance_uid="1.2.3"),
            edit("exclude", note='ä "b"', reader="r1", date=dt.date(2025, 2, 3)),
            edit(applied=Applied(outcome="no_effect", was="lesion", volume_mm3=12.5)),
        )
    )
    path = tmp_path / "edits.json"
    path.write_text(edits.text(), encoding="utf-8")
    assert read_edits(path) == edits
    assert read_edits(path).text() == edits.text()


def test_action_and_point_are_enough(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"edits": [{"action": "exclude", "point_lps_mm": [1, 2.5, -3]}]}')
    assert read_edits(path) == Edits(edits=(edit("exclude", (1.0, 2.5, -3.0)),))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no file of edits"),
        ("[]", "no file of edits"),
        ("{", "no file of edits"),
        ('{"edits": [{"action": "delete", "point_lps_mm": [1, 2, 3]}]}', "edits.0.action"),
        ('{"edits": [{"action": "include", "point_lps_mm": [1, 2]}]}', "edits.0.point_lps_mm"),
        ('{"edits": [{"action": "include", "point_lps_mm": [1, 2, NaN]}]}', "no file of edits"),
        ('{"edits": [{"action": "include", "point_lps_mm": [1, 2, 1e999]}]}', "point_lps_mm"),
        ('{"edits": [{"action": "include"}]}', "edits.0.point_lps_mm"),
        ('{"edits": [], "more": 1}', "more"),
        ('{"schema_version": "2.0.0", "edits": []}', "schema_version 2.0.0"),
    ],
)
def test_a_file_that_is_none_is_a_usage_error_that_names_the_place(tmp_path, text, part):
    path = tmp_path / "edits.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"edits\.json") as caught:
        read_edits(path)
    assert part in str(caught.value)


def test_an_absent_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no edits can be read"):
        read_edits(tmp_path / "none.json")


# From the command line to the report and back


def with_stone(volume: CTVolume) -> CTVolume:
    """A ball of 11 mm across, densest in its middle, as a stone is."""
    hu = volume.hu.copy()
    x, y, z = points()
    r = np.sqrt((x - STONE[0]) ** 2 + (y - STONE[1]) ** 2 + (z - STONE[2]) ** 2)
    hu[r < 5.5] = 600
    hu[r < 3.2] = 900
    return CTVolume(hu, GRID)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    return write_exams(folder, {0: with_stone(limb(9.0, seed=4))})


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def report_of(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return read


@pytest.fixture(scope="module")
def edited(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stone called, the ossification left out, and one point that hits nothing."""
    out = tmp_path_factory.mktemp("edited") / "out"
    words = ["--include", words_of(STONE), "--exclude", words_of(CENTRE), "--include", "-10,35,170"]
    assert run(["report", str(scan), "-o", str(out), *words]) == 0
    return out


def test_the_report_shows_what_the_reader_decided(edited, capsys):
    report = report_of(edited)
    (lesion,) = report["lesions"]
    (seen,) = lesion["observations"]
    assert {"included_by_reader", "overruled:stone_or_bowel"} <= set(seen["flags"])
    np.testing.assert_allclose(seen["centroid_lps_mm"], STONE, atol=0.6)
    assert seen["volume_mm3"] == pytest.approx(STONE_MM3, rel=0.35)
    (left,) = [e for e in report["excluded"] if e["reason"] == "excluded_by_reader"]
    np.testing.assert_allclose(left["centroid_lps_mm"], CENTRE, atol=0.6)
    assert left["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 9**3 * 1.3, rel=0.12)
    assert not [e for e in report["excluded"] if e["reason"] == "stone_or_bowel"]
    (told,) = [f for f in report["exams"][0]["findings"] if f["code"] == "edit_hits_nothing"]
    assert "-10,35,170" in told["message"]
    page = (edited / "report.html").read_text()
    assert "had been left out, called by the reader" in page
    assert f"--include {point_words(left['inside_lps_mm'])}" in page
    assert run(["explain", str(edited), "excluded"]) == 0
    out = capsys.readouterr().out
    assert "excluded_by_reader" in out
    assert f"--include {point_words(left['inside_lps_mm'])}" in out


def test_edits_json_says_what_was_done(edited):
    edits = read_edits(edited / "edits.json").edits
    exam = report_of(edited)["exams"][0]
    assert {(e.exam_id, e.series_instance_uid) for e in edits} == {
        (exam["exam_id"], exam["series_instance_uid"])
    }
    assert [(e.action, e.point_lps_mm) for e in edits] == [
        ("include", STONE),
        ("include", (-10.0, 35.0, 170.0)),
        ("exclude", CENTRE),
    ]
    done = [e.applied for e in edits]
    assert [(a.outcome, a.was) for a in done if a] == [
        ("included", "stone_or_bowel"),
        ("no_effect", "nothing"),
        ("excluded", "lesion"),
    ]
    assert done[0] is not None
    assert "centre" in done[0].note  # the rule's numbers
    files = json.loads((edited / "manifest.json").read_text())["files"]
    assert "edits.json" in {f["path"] for f in files}


def test_the_file_alone_makes_the_same_report_byte_for_byte(scan, edited, tmp_path, capsys):
    again = tmp_path / "again"
    file = str(edited / "edits.json")
    assert run(["report", str(scan), "-o", str(again), "--edits", file]) == 0
    assert files_of(again) == files_of(edited)
    assert "2 applied, 1 without effect" in capsys.readouterr().out


def test_a_run_without_corrections_writes_an_empty_list(scan, tmp_path):
    assert run(["-q", "report", str(scan), "-o", str(tmp_path / "out")]) == 0
    assert read_edits(tmp_path / "out" / "edits.json") == Edits()
    (left,) = report_of(tmp_path / "out")["excluded"]
    assert left["reason"] == "stone_or_bowel"
    z, y, x = np.rint(GRID.to_index_zyx(left["inside_lps_mm"])).astype(int)
    px, py, pz = (float(a[z, y, x]) for a in points())
    assert np.linalg.norm(np.subtract((px, py, pz), STONE)) < 6.5


def test_a_sphere_on_the_command_line_calls_the_stone(scan, tmp_path):
    sphere = f"sphere:{words_of(STONE)},9"
    assert run(["-q", "report", str(scan), "-o", str(tmp_path / "out"), "--roi", sphere]) == 0
    (lesion,) = report_of(tmp_path / "out")["lesions"]
    np.testing.assert_allclose(lesion["observations"][0]["centroid_lps_mm"], STONE, atol=0.6)


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--include", "1,2"], 2, "--include 1,2: give a point"),
        (["--exclude", "x"], 2, "--exclude x: give a point"),
        (["--edits", "none.json"], 2, "none.json: no edits can be read there"),
        (["--roi", "sphere:1,2,3"], 2, "--roi sphere:1,2,3: give box:"),
        (["--roi", "a.nii.gz", "--roi", "b.nii.gz"], 2, "--roi b.nii.gz: give one mask"),
        (["--roi", "sphere:900,0,0,5"], 3, "no voxel of the exam lies in the sphere of 5 mm"),
        (["--include", "day7_ct:1,2,3"], 0, ""),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(scan, tmp_path, capsys, words, code, part):
    assert run(["-q", "report", str(scan), "-o", str(tmp_path / "out"), *words]) == code
    err = capsys.readouterr().err
    if code:
        assert err.count("\n") == 1
        assert part in err
        assert not (tmp_path / "out" / "report.json").exists()
    else:
        codes = [f["code"] for f in report_of(tmp_path / "out")["exams"][0]["findings"]]
        assert "edits_of_other_exams" in codes
        (kept,) = read_edits(tmp_path / "out" / "edits.json").edits
        assert (kept.exam_id, kept.applied) == ("day7_ct", None)


def test_a_mask_and_a_correction_of_the_same_exam_exclude_each_other(scan, tmp_path, capsys):
    mask = outline(9.0)
    write_nifti(tmp_path / "mask.nii.gz", mask.array, mask.grid)
    words = ["--mask", str(tmp_path / "mask.nii.gz"), "--exclude", words_of(CENTRE)]
    assert run(["-q", "report", str(scan), "-o", str(tmp_path / "out"), *words]) == 2
    assert "--mask gives the lesions" in capsys.readouterr().err
    exam = hoimg.read_patient(scan).exams[0]
    with pytest.raises(UsageError, match="--mask"):
        analyze_exam(exam, None, Guidance(mask=mask), edits=[edit()])


def test_each_exam_has_its_own_corrections(tmp_path):
    """Left out at one of two dates: the other exam keeps it, and the list keeps its order."""
    write_exams(tmp_path, {0: limb(8.0, seed=1), 100: limb(9.0, seed=2)})
    patient = hoimg.read_patient(tmp_path)
    first, second = patient.exams
    wanted = Edits(
        edits=(
            edit("exclude", CENTRE, exam_id=second.exam_id),
            edit("include", (0.0, 0.0, 139.0), exam_id=first.exam_id),
        )
    )
    with pytest.raises(UsageError, match="2 exams"):
        analyze_patient(patient, edits=Edits(edits=(edit(),)))
    result = analyze_patient(patient, edits=wanted)
    (lesion,) = result.report.lesions
    assert [o.status for o in lesion.observations] == ["measured", "absent"]
    left = [e for e in result.report.excluded if e.reason == "excluded_by_reader"]
    assert [e.exam_id for e in left] == [second.exam_id]
    assert result.edits is not None
    assert [(e.exam_id, e.applied.outcome) for e in result.edits.edits if e.applied] == [
        (second.exam_id, "excluded"),
        (first.exam_id, "no_effect"),
    ]


def test_two_outlines_one_cut_by_the_edge_are_measured_without_a_search(scan):
    """A reader's own outlines: two lesions, one reaching the edge; nothing else is called."""
    exam = hoimg.read_patient(scan).exams[0]
    x, y, z = points()
    array = outline(9.0).array.copy()
    array[(np.hypot(x, y + 20) < 8) & (z > 165)] = 2  # muscle, up to the last slice
    analysis = analyze_exam(exam, guidance=Guidance(mask=Mask(array, GRID)))
    found = analysis.segmentation
    assert np.array_equal(found.lesions.array, array)
    one, two = (analysis.measurements.observations[k] for k in (1, 2))
    assert (one.touches_fov, two.touches_fov) == (False, True)
    assert one.volume_mm3 == pytest.approx(4 / 3 * np.pi * 9**3 * 1.3, rel=0.1)
    assert one.distance_to_bone_mm is not None  # the skeleton was found all the same
    assert not {r.reason for r in found.excluded_regions} & {"stone_or_bowel", "unassessed"}


# Real anatomy


def test_a_planted_lesion_of_the_sample_patient_is_left_out_at_its_true_centre(
    sample_data, tmp_path
):
    """The point is that of the truth, in the exam's own frame; a second lesion stays."""
    truth = json.loads((sample_data / "truth" / "case.json").read_text())
    study = sample_data / "truth" / truth["exams"][0]["folder"]
    planted = {x["id"]: x["observations"][0] for x in truth["lesions"]}
    assert planted["A"]["exam"] == planted["B"]["exam"] == 0
    patient = hoimg.read_patient(study)
    point = tuple(planted["B"]["centroid_lps_mm"])
    result = analyze_patient(patient, edits=Edits(edits=(edit("exclude", point),)))
    (left,) = [e for e in result.report.excluded if e.reason == "excluded_by_reader"]
    assert left.volume_mm3 == pytest.approx(planted["B"]["volume_mm3"], rel=0.25)
    centres = [x.observations[0].centroid_lps_mm for x in result.report.lesions]
    away = [np.linalg.norm(np.subtract(c, planted["A"]["centroid_lps_mm"])) for c in centres]
    assert min(away) < 3
    assert not any(np.linalg.norm(np.subtract(c, point)) < 5 for c in centres)
