"""The files of a report agree with each other and never cost an earlier or foreign file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from dataclasses import replace

import jsonschema
import nibabel
import numpy as np
import pytest
from synthetic_report import CENTRES_LPS, RADII, exam_ids, patient
from typer.testing import CliRunner

from hoimg.errors import UsageError
from hoimg.report import files, write_report
from hoimg.report import writer as writer_module
from hoimg.results import Excluded, Observation, Report


@pytest.fixture(scope="module")
def result():
    return patient()


@pytest.fixture(scope="module")
def written(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "report"
    start = time.perf_counter()
    page = write_report(result, folder)
    assert time.perf_counter() - start < 20  # 1.5 s on an idle machine
    assert page == folder / "report.html"
    return folder


def load(folder) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def snapshot(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_json_follows_the_published_schema(written):
    content = load(written)
    for mode in ("validation", "serialization"):
        jsonschema.validate(content, Report.model_json_schema(mode=mode))
    assert [e["labelmap"] for e in content["exams"]] == [
        f"exams/{exam_id}/lesions.nii.gz" for exam_id in exam_ids()
    ]
    assert content["lesions"][2]["observations"][0]["volume_mm3"] is None


def test_schema_command_prints_the_schema(written):
    import typer

    from hoimg.cli.schema import schema

    app = typer.Typer()
    app.command()(schema)
    out = CliRunner().invoke(app, [])
    assert out.exit_code == 0
    printed = json.loads(out.stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    jsonschema.validate(load(written), printed)
    broken = load(written)
    broken["lesions"][0]["maturity"]["label"] = "ready for surgery"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, printed)


def test_label_maps_lie_where_the_lesions_are(written):
    for k, exam in enumerate(load(written)["exams"]):
        image = nibabel.load(written / exam["labelmap"])
        array = np.asarray(image.dataobj)
        for label, lps in CENTRES_LPS.items():
            voxels = np.argwhere(array == label)
            if RADII[label][k] is None:
                assert len(voxels) == 0
                continue
            centre = nibabel.affines.apply_affine(image.affine, voxels.mean(axis=0))
            # NIfTI is RAS, the report LPS.
            assert centre == pytest.approx((-lps[0], -lps[1], lps[2]), abs=0.5)
        excluded = nibabel.load(written / exam["excluded_labelmap"])
        where = np.argwhere(np.asarray(excluded.dataobj) == 1).mean(axis=0)
        found = nibabel.affines.apply_affine(excluded.affine, where)
        assert found == pytest.approx((10.0, 30.0, 30.0), abs=0.6)


INTERVALS = [("volume", "mm3"), ("mineral_mass", "mg"), ("mineral_mass_k2hpo4", "mg")]


def test_csv_holds_what_the_json_holds(written):
    content = load(written)
    with (written / "lesions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = [(lesion, seen) for lesion in content["lesions"] for seen in lesion["observations"]]
    assert len(rows) == len(pairs) == 12
    days = {e["exam_id"]: e["days_from_baseline"] for e in content["exams"]}
    for row, (lesion, seen) in zip(rows, pairs, strict=True):
        assert row["lesion_id"] == lesion["lesion_id"]
        assert int(row["days_from_baseline"]) == days[seen["exam_id"]]
        for name, value in seen.items():
            if "_ci95" in name:
                first, _, unit = name.partition("_ci95")
                for end, limit in zip(("low", "high"), value or (None, None), strict=True):
                    cell = row[f"{first}_ci95_{end}{unit}"]
                    assert (float(cell) if cell else None) == limit
                continue
            if name in ("flags", "centroid_lps_mm", "bone_contacts"):
                continue
            if value is None:
                assert row[name] == "", name
            elif isinstance(value, bool):
                assert row[name] == str(value).lower()
            elif isinstance(value, int | float):
                assert float(row[name]) == value
            else:
                assert row[name] == value
        assert row["flags"] == ";".join(seen["flags"])
        place = [row[f"centroid_{d}_lps_mm"] for d in ("left", "posterior", "superior")]
        assert [float(v) for v in place if v] == (seen["centroid_lps_mm"] or [])
        change = next((c for c in lesion["changes"] if c["to_exam"] == seen["exam_id"]), None)
        assert row["change_category"] == (change["category"] if change else "")
        if change and change["volume_change_pct"] is not None:
            assert float(row["volume_change_pct"]) == change["volume_change_pct"]
        speaks = lesion["maturity"]["exam_id"] == seen["exam_id"]
        assert row["maturity_label"] == (lesion["maturity"]["label"] if speaks else "")


def test_the_change_shown_is_the_one_from_the_exam_just_before(result):
    lesion = result.report.lesions[0].model_copy(deep=True)
    long = lesion.changes[-1].model_copy(update={"from_exam": exam_ids()[0], "days": 290})
    lesion.changes = [*lesion.changes[:-1], long, lesion.changes[-1]]
    found = files.change_into(lesion, exam_ids()[3])
    assert (found.from_exam, found.days) == (exam_ids()[2], 100)
    assert files.change_into(lesion, exam_ids()[0]) is None


def test_every_observation_field_has_a_column():
    joined = " ".join(files.CSV_COLUMNS)
    for name in Observation.model_fields:
        assert name in files.CSV_COLUMNS or name.split("_")[0] in joined


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("\rx", "'\rx"),
        ("＝1", "'＝1"),
        ("B60s", "B60s"),
        ("", ""),
        (None, ""),
        (-3.25, "-3.25"),
        (0.0, "0.0"),
        (True, "true"),
        (False, "false"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_csv_cells_run_no_formula_and_keep_numbers(text, cell):
    assert files.csv_cell(text) == cell


def test_hostile_text_in_the_csv_is_neutralised(result):
    report = result.report.model_copy(deep=True)
    report.patient_key = '=HYPERLINK("x")'
    report.lesions[0].observations[0].flags = ["@evil", "ok"]
    row = next(csv.DictReader(io.StringIO(files.lesions_csv(report))))
    assert row["patient_key"] == '\'=HYPERLINK("x")'
    assert row["flags"] == "'@evil;ok"


def test_manifest_names_every_file_with_size_and_hash(written, result):
    manifest = json.loads((written / "manifest.json").read_text())
    listed = {entry["path"]: entry for entry in manifest["files"]}
    on_disk = set(snapshot(written)) - {"manifest.json"}
    assert set(listed) == on_disk
    for path, entry in listed.items():
        data = (written / path).read_bytes()
        assert entry["size_bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert manifest["config_sha256"] == result.report.config_sha256
    assert manifest["software"] == result.report.software
    assert manifest["settings"]["segment"]["metal_hu"] == 2500.0
    assert manifest["inputs"][1]["series_instance_uid"] == "2.25.2.5"
    assert (written / "settings.toml").read_text() == result.settings_toml


def test_a_second_run_gives_the_same_bytes_and_leaves_foreign_files(result, tmp_path):
    folder = tmp_path / "report"
    (folder / "exams").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "exams" / "scan.txt").write_text("mine too")
    write_report(result, folder)
    first = snapshot(folder)
    write_report(result, folder)
    assert snapshot(folder) == first
    assert first["notes.txt"] == b"mine"
    assert (folder / "exams" / "scan.txt").read_bytes() == b"mine too"


def changed(result):
    report = result.report.model_copy(deep=True)
    report.excluded.append(
        Excluded(exam_id=exam_ids()[0], label=1, reason="metal", volume_mm3=1.0,
                 centroid_lps_mm=(0, 0, 0))
    )  # fmt: skip
    return replace(result, report=report)


@pytest.mark.parametrize(
    "breaks", ["lesions_csv", "report_json", "manifest_json", "write_labelmaps"]
)
def test_a_failure_leaves_the_earlier_report_as_it_was(result, tmp_path, monkeypatch, breaks):
    folder = tmp_path / "report"
    write_report(result, folder)
    before = snapshot(folder)

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(files, breaks, fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(changed(result), folder)
    assert snapshot(folder) == before
    monkeypatch.undo()
    write_report(changed(result), folder)
    assert load(folder)["excluded"][-1]["reason"] == "metal"


def test_a_run_stopped_while_moving_can_be_repeated(result, tmp_path, monkeypatch):
    folder = tmp_path / "report"
    moved = []
    original = writer_module.Path.replace

    def stop(self, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return original(self, target)

    monkeypatch.setattr(writer_module.Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(result, folder)
    monkeypatch.undo()
    assert len(snapshot(folder)) == 3
    assert not (folder / "manifest.json").exists()
    write_report(result, folder)
    assert (folder / "manifest.json").exists()


def test_refuses_a_file_as_folder(result, tmp_path):
    target = tmp_path / "report"
    target.write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        write_report(result, target)
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(result, target / "below")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("patient_key", "other", "another patient"), ("config_sha256", "0" * 64, "other settings")],
)
def test_refuses_the_folder_of_another_report(result, tmp_path, field, value, told):
    write_report(result, tmp_path)
    before = snapshot(tmp_path)
    other = replace(result, report=result.report.model_copy(update={field: value}))
    with pytest.raises(UsageError, match=told):
        write_report(other, tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["report.html", "manifest.json", "lesions.csv"])
def test_refuses_to_replace_a_file_that_is_not_its_own(result, tmp_path, name):
    (tmp_path / name).write_text("somebody's")
    with pytest.raises(UsageError, match="not written by hoimg"):
        write_report(result, tmp_path)
    assert snapshot(tmp_path) == {name: b"somebody's"}


def test_refuses_to_replace_a_label_map_that_a_reader_corrected(result, tmp_path):
    write_report(result, tmp_path)
    corrected = tmp_path / "exams" / exam_ids()[0] / "lesions.nii.gz"
    corrected.write_bytes(b"corrected by hand")
    with pytest.raises(UsageError, match="changed since"):
        write_report(result, tmp_path)
    assert corrected.read_bytes() == b"corrected by hand"


def test_refuses_a_link_or_folder_in_the_way(result, tmp_path):
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("keep")
    for k, make in enumerate((lambda p: p.symlink_to(elsewhere), lambda p: p.mkdir())):
        folder = tmp_path / str(k)
        folder.mkdir()
        make(folder / "report.json")
        with pytest.raises(UsageError, match="in the way"):
            write_report(result, folder)
    assert elsewhere.read_text() == "keep"


@pytest.mark.parametrize("bad", ["../out", "a/b", "", ".hidden", "x" * 101])
def test_an_exam_id_is_never_a_way_out_of_the_folder(result, tmp_path, bad):
    report = result.report.model_copy(deep=True)
    report.exams[0].exam_id = bad
    with pytest.raises(ValueError, match="safe folder name"):
        write_report(replace(result, report=report), tmp_path)
    assert snapshot(tmp_path) == {}


def test_exam_ids_must_be_unique_and_known(result, tmp_path):
    twice = result.report.model_copy(deep=True)
    twice.exams[0].exam_id = twice.exams[1].exam_id.upper()
    with pytest.raises(ValueError, match="unique"):
        write_report(replace(result, report=twice), tmp_path)
    images = {**result.images, "stranger": next(iter(result.images.values()))}
    with pytest.raises(ValueError, match="stranger"):
        write_report(replace(result, images=images), tmp_path)


def test_source_files_that_are_gone_become_a_finding_not_a_lost_report(result, tmp_path):
    gone = tuple(tmp_path / f"gone{k}" for k in range(60))
    first = exam_ids()[0]
    images = {**result.images, first: replace(result.images[first], source_files=gone)}
    write_report(replace(result, images=images), tmp_path / "report")
    told = load(tmp_path / "report")["exams"][0]["findings"]
    assert [f["level"] for f in told] == ["warning"]
    assert "were not written" in told[0]["message"]
    assert "were not written" in (tmp_path / "report" / "report.html").read_text()


def test_an_exam_without_pixels_has_no_label_map(result, tmp_path):
    images = {k: v for k, v in result.images.items() if k != exam_ids()[1]}
    write_report(replace(result, images=images), tmp_path)
    content = load(tmp_path)
    assert content["exams"][1]["labelmap"] is None
    assert not (tmp_path / "exams" / exam_ids()[1]).exists()
