"""``hoimg validate`` from DICOM folders to scores, pictures and exit codes."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from limb_patient import GRID, limb, outline, write_exams

from hoimg.cli.main import run
from hoimg.errors import InputRefused, UsageError
from hoimg.image import write_nifti
from hoimg.validate import find_cases, read_case
from hoimg.validate.run import Options, score_case, validate_cases

RADII = {0: 9.0, 100: 9.0}
TRUE_MM3 = 4 / 3 * np.pi * 9.0**3 * 1.3
"""The ossification is an ellipsoid of 9 x 9 x 11.7 mm."""


def write_truth(folder, radii, **more):
    exams, seen = [], []
    for number, (day, radius) in enumerate(radii.items()):
        exams.append({"folder": f"day{day}", "days": day, "labelmap": None})
        if radius is not None:
            name = f"truth{day}.nii.gz"
            write_nifti(folder / name, outline(radius).array * 3, GRID)
            exams[-1]["labelmap"] = name
            volume = TRUE_MM3 * (radius / 9.0) ** 3
            seen.append({"exam": number, "label": 3, "volume_mm3": volume, "stage": 0.9})
    lesions = [{"id": "A", "label": "mature", "where": "free", "observations": seen}]
    case = {"exams": exams, "lesions": lesions if seen else [], "note": "limb", **more}
    (folder / "case.json").write_text(json.dumps(case))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two exams with a lesion; a scan without one; a case whose files are no DICOM."""
    root = tmp_path_factory.mktemp("cases")
    for name, radii in (("serial", RADII), ("clean", {0: None})):
        (root / name).mkdir()
        write_exams(root / name, {d: limb(r, seed=d) for d, r in radii.items()})
        write_truth(root / name, radii, family="limb" if name == "serial" else None)
    (root / "broken" / "day0").mkdir(parents=True)
    (root / "broken" / "day0" / "a.dcm").write_text("no image")
    write_truth(root / "broken", {0: 9.0})
    return root


@pytest.fixture(scope="module")
def scored(cases, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores")
    code = run(["-q", "validate", str(cases), "-o", str(out)])
    return code, out, json.loads((out / "validation.json").read_text())


def test_a_broken_case_fails_alone_and_with_its_reason(scored, cases):
    code, _, made = scored
    assert code == 4
    by_name = {case["case"]: case for case in made["cases"]}
    assert list(by_name) == ["broken", "clean", "serial"]
    assert by_name["broken"]["failed"]
    assert by_name["broken"]["exams"] == []
    assert str(cases) not in json.dumps(made)
    assert [case["failed"] for name, case in by_name.items() if name != "broken"] == [None, None]


def test_the_lesion_is_scored_in_both_exams(scored):
    _, _, made = scored
    exams = next(case for case in made["cases"] if case["case"] == "serial")["exams"]
    assert [exam["exam"] for exam in exams] == [0, 1]
    for exam in exams:
        (lesion,) = exam["lesions"]
        assert lesion["found"]
        assert lesion["dice"] > 0.85
        assert lesion["truth_mm3"] == pytest.approx(TRUE_MM3)
        expected = 100 * (lesion["called_mm3"] / TRUE_MM3 - 1)
        assert lesion["volume_error_pct"] == pytest.approx(expected)
        assert exam["seconds"] > 0
    groups = {group["name"]: group for group in made["groups"]}
    assert groups["all"]["found"] == groups["family limb"]["found"] == 2
    assert sum(sum(row.values()) for row in made["confusion"].values()) == 1
    assert set(made["confusion"]) == {"mature"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.links = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("href", "src") and v]


def test_the_page_is_one_file_without_scripts(scored):
    _, out, _ = scored
    text = (out / "validation.html").read_text()
    page = _Page()
    page.feed(text)
    assert "script" not in page.tags
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert "default-src 'none'" in text
    assert "Failed cases" in text
    assert "2 of 2 lesions found" in text


def test_a_missed_lesion_is_drawn_with_its_truth_alone(cases, tmp_path):
    # No candidate is as large as this, so the lesion is missed.
    config = tmp_path / "hoimg.toml"
    config.write_text("[segment]\nmin_lesion_mm3 = 90000.0\n")
    case = tmp_path / "one"
    shutil.copytree(cases / "serial", case)
    assert (
        run(["-q", "validate", str(case), "-o", str(tmp_path / "s"), "--config", str(config)]) == 0
    )
    made = json.loads((tmp_path / "s" / "validation.json").read_text())
    assert made["groups"][0]["found"] == 0
    assert made["confusion"] == {"mature": {"not_found": 1}}
    text = (tmp_path / "s" / "validation.html").read_text()
    assert len(re.findall(r'<figure><svg class="picture"', text)) == 6
    assert 'class="t"' in text
    assert 'class="r"' not in text
    assert "missed" in text


def test_a_seed_lies_in_the_lesion_and_a_clean_case_has_none(cases):
    made, _ = validate_cases(
        [cases / "clean", cases / "serial"], Options("seed", jobs=1, pictures=False)
    )
    assert made.guidance == "seed"
    assert made.cases[0].skipped == "no lesion to point at"
    assert [one.found for exam in made.cases[1].exams for one in exam.lesions] == [True, True]
    assert made.confusion == {}


def test_a_given_skeleton_is_used_where_the_case_names_one(cases, tmp_path):
    folder = tmp_path / "guided"
    shutil.copytree(cases / "serial", folder)
    volume = limb(None)
    write_nifti(folder / "bone.nii.gz", (volume.hu > 300).astype(np.uint8), GRID)
    raw = json.loads((folder / "case.json").read_text())
    for exam in raw["exams"]:
        exam["skeleton"] = "bone.nii.gz"
    (folder / "case.json").write_text(json.dumps(raw))
    made, scenes = validate_cases([cases / "serial", folder], Options("skeleton", jobs=1))
    assert made.cases[0].skipped == "case.json names no skeleton"
    assert made.cases[1].failed is None
    assert all(one.found for exam in made.cases[1].exams for one in exam.lesions)
    assert all(scene.kind == "outline" for scene in scenes)


def test_a_case_whose_truth_lies_about_its_labels_fails(cases, tmp_path):
    folder = tmp_path / "wrong"
    shutil.copytree(cases / "serial", folder)
    text = (folder / "case.json").read_text().replace('"label": 3', '"label": 8')
    (folder / "case.json").write_text(text)
    score, scenes = score_case(folder, "wrong", Options())
    assert score.failed == "ValueError: label 8 of case.json has no voxel in the truth"
    assert scenes == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "is no truth of a case"),
        ('{"exams": []}', "exams"),
        ('{"exams": [{"days": 0}]}', "exams/0/folder"),
        (
            '{"exams": [{"folder": "a"}], "lesions": [{"id": "A", "observations": '
            '[{"exam": 0, "label": 1, "volume_mm3": 9}]}]}',
            "lesion A is seen in exam 0, which has no label map",
        ),
        (
            '{"exams": [{"folder": "a", "labelmap": "m"}], "lesions": [{"id": "A", "where": "in", '
            '"observations": []}]}',
            "lesions/0/where",
        ),
    ],
)
def test_a_truth_that_is_none_is_refused(tmp_path, text, part):
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(InputRefused, match=re.escape(part)):
        read_case(tmp_path)


def test_a_lesion_that_was_taken_up_counts_as_the_other(tmp_path):
    seen = [
        {"exam": 0, "label": 2, "volume_mm3": 5},
        {"exam": 1, "label": 1, "volume_mm3": 9, "merged_into": "A"},
    ]
    exams = [{"folder": "a", "labelmap": "m"}, {"folder": "b", "labelmap": "n"}]
    case = {"exams": exams, "lesions": [{"id": "B", "observations": seen}], "kernel": "B30f"}
    (tmp_path / "case.json").write_text(json.dumps(case))
    read = read_case(tmp_path)
    assert [len(read.in_exam(n)) for n in (0, 1)] == [1, 0]


def test_cases_are_found_below_a_folder_and_behind_links(tmp_path):
    for name in ("b", "a/x"):
        (tmp_path / "here" / name).mkdir(parents=True)
        (tmp_path / "here" / name / "case.json").touch()
    assert find_cases(tmp_path / "here" / "b") == [tmp_path / "here" / "b"]
    assert find_cases(tmp_path / "here") == [tmp_path / "here" / "a/x", tmp_path / "here" / "b"]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to(tmp_path / "here" / "b")
    assert find_cases(tmp_path / "links") == [tmp_path / "links" / "one"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no case\.json in it"):
        find_cases(tmp_path / "empty")
    with pytest.raises(UsageError, match="no such folder"):
        find_cases(tmp_path / "absent")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["absent", "-o", "out"], "absent: no such folder"),
        (["."], "-o"),
        ([".", "-o", "out", "--guidance", "luck"], "--guidance"),
        ([".", "-o", "out", "--jobs", "0"], "--jobs"),
        ([".", "-o", "file"], "file: is a file"),
    ],
)
def test_what_cannot_be_run_is_a_usage_error(capsys, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run(["validate", *words]) == 2
    assert part in capsys.readouterr().err


def test_the_tables_say_what_was_found(cases, tmp_path, capsys):
    code = run(["validate", str(cases / "clean"), "-o", str(tmp_path / "s"), "--jobs", "1"])
    out = capsys.readouterr().out
    assert code == 0
    assert "No true lesion; 0 false lesions in 1 scan" in out
    assert "validation.html" in out
