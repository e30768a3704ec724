"""Who is there, whose file is whose, and what would be done about it."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from archives import key_of, key_of_id, settings, write_root
from synthetic_archive_ct import write_one

from hoimg.archive.census import Case, Census, census_of_list, census_of_root
from hoimg.archive.database import Known
from hoimg.archive.plan import make_plan
from hoimg.archive.run import check_places
from hoimg.archive.task import SOFTWARE
from hoimg.archive.wording import safe_message
from hoimg.dicom import scan
from hoimg.errors import InputRefused, UsageError
from hoimg.settings import Settings

S = settings()


def by_key(census: Census) -> dict[str, str]:
    return {c.key: c.input_sha256 for c in census.cases}


def test_patients_are_those_of_info_whatever_the_folders_are_called(tmp_path):
    write_one(tmp_path / "a" / "1", "ANNA")
    write_one(tmp_path / "a" / "2", "BERT")  # two people in one folder
    write_one(tmp_path / "b" / "c" / "3", "ANNA", number=2)  # one person in two
    census = census_of_root(tmp_path, S)
    assert tuple(c.key for c in census.cases) == scan(tmp_path).patient_keys
    files = {c.key: {f.name for f in c.files} for c in census.cases}
    assert files == {key_of(tmp_path / "a" / "1"): {"1", "3"}, key_of(tmp_path / "a" / "2"): {"2"}}
    assert not census.refused


def test_the_hash_of_the_input_follows_content_and_not_names(tmp_path):
    root = write_root(tmp_path / "root", "good", "good")
    before = by_key(census_of_root(root, S))
    assert len(set(before.values())) == 2
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(root, moved)  # keeps times
    for number, path in enumerate(sorted(moved.rglob("*.dcm"))):
        path.rename(moved / f"x{number}")
    assert by_key(census_of_root(tmp_path / "elsewhere", S)) == before
    first, second = sorted(before)
    touched = next(p for p in root.rglob("*.dcm") if key_of(p) == first)
    info = touched.stat()
    os.utime(touched, ns=(info.st_atime_ns, info.st_mtime_ns + 1))
    after = by_key(census_of_root(root, S))
    assert after[first] != before[first]
    assert after[second] == before[second]
    os.utime(touched, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert by_key(census_of_root(root, S)) == before
    touched.write_bytes(touched.read_bytes() + b"\0\0")
    os.utime(touched, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert by_key(census_of_root(root, S))[first] != before[first]


def test_an_archive_stands_for_what_it_holds(tmp_path):
    path = write_one(tmp_path / "one.dcm", "ANNA")
    (tmp_path / "root" / "disc").mkdir(parents=True)
    packed = tmp_path / "root" / "disc" / "exam.zip"
    with zipfile.ZipFile(packed, "w") as out:
        out.write(path, "x")
    first = census_of_root(tmp_path / "root", S)
    assert [(c.key, c.files) for c in first.cases] == [(key_of(path), (packed,))]
    # It is unpacked anew each time, and is the same each time.
    assert by_key(census_of_root(tmp_path / "root", S)) == by_key(first)


def test_a_damaged_file_counts_to_whose_folder_it_lies_in_alone(tmp_path):
    whole = write_one(tmp_path / "a" / "1", "ANNA")
    broken = tmp_path / "a" / "2"
    broken.write_bytes(whole.read_bytes()[:150] + b"\xff" * 40)
    census = census_of_root(tmp_path, S)
    assert {f.name for f in census.cases[0].files} == {"1", "2"}
    write_one(tmp_path / "a" / "3", "BERT")
    assert all("2" not in {f.name for f in c.files} for c in census_of_root(tmp_path, S).cases)


def test_what_is_nobodys_is_refused_by_name_of_its_reason(tmp_path):
    write_one(tmp_path / "a" / "1", "ANNA")
    (tmp_path / "Zoltanfy Otto").mkdir()
    (tmp_path / "Zoltanfy Otto" / "letter.txt").write_text("x")
    (tmp_path / "empty").mkdir()  # no file, nobody lost
    (tmp_path / "notes.txt").write_text("beside the folders")
    census = census_of_root(tmp_path, S)
    (one,) = census.refused
    assert one.code == "no_dicom"
    assert one.key.startswith("u")
    assert "Zoltanfy" not in one.message + one.key
    assert one.path == tmp_path / "Zoltanfy Otto"


def test_what_was_meant_to_be_images_at_the_top_is_not_lost(tmp_path):
    path = write_one(tmp_path / "one.dcm", "ANNA")
    root = tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(root / "anna.zip", "w") as out:
        out.write(path, "x")
    whole = (root / "anna.zip").read_bytes()
    with zipfile.ZipFile(root / "inner.zip", "w") as out:  # its one image is damaged
        out.writestr("x", path.read_bytes()[:150] + b"\xff" * 40)
    (root / "Zoltanfy.zip").write_bytes(whole[: len(whole) // 2])  # without its directory
    (root / "nothing.ZIP").write_bytes(b"")
    (root / "packed.tar.gz").write_bytes(b"\x1f\x8b")
    (root / "empty.dcm").write_bytes(b"")
    (root / "notes.txt").write_text("beside")
    census = census_of_root(root, S)
    assert [c.files for c in census.cases] == [(root / "anna.zip",)]
    assert {r.path.name: r.code for r in census.refused} == {
        "Zoltanfy.zip": "archive_damaged",
        "nothing.ZIP": "no_dicom",
        "packed.tar.gz": "no_dicom",
        "empty.dcm": "no_dicom",
        "inner.zip": "truncated_files",
    }
    assert "Zoltanfy" not in "".join(r.message + r.key for r in census.refused)


def test_a_broken_archive_in_a_patients_folder_is_theirs(tmp_path):
    whole = write_one(tmp_path / "root" / "a" / "1", "ANNA")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as out:
        out.write(whole, "x")
    data = (tmp_path / "more.zip").read_bytes()
    packed = tmp_path / "root" / "a" / "more.zip"
    packed.write_bytes(data[: len(data) // 2])
    (case,) = census_of_root(tmp_path / "root", S).cases
    assert case.files == (whole, packed)  # so that the report says that it is broken
    packed.write_bytes(data)
    (mended,) = census_of_root(tmp_path / "root", S).cases
    assert mended.input_sha256 != case.input_sha256


def write_volume(path: Path, patient: str) -> Path:
    """A NIfTI file of air and soft tissue, with a sidecar that says whose it is."""
    values = np.full((16, 16, 16), -1000, np.int16)
    values[4:12, 4:12] = 50
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(
        json.dumps({"PatientID": patient, "Modality": "CT"})
    )
    return path


def test_volume_files_count_where_there_is_no_dicom_beside_them(tmp_path):
    scan_of = write_one(tmp_path / "anna" / "1", "ANNA")
    write_volume(tmp_path / "anna" / "converted" / "copy.nii.gz", "ANNA-COPY")
    volume = write_volume(tmp_path / "bert" / "ct.nii.gz", "BERT")
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[3:5] = 1
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "bert" / "mask.nii.gz")
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "atlas.nii.gz")
    (tmp_path / "cara").mkdir()
    (tmp_path / "cara" / "ct.nii.gz").write_bytes(b"no volume")
    census = census_of_root(tmp_path, S)
    files = {c.key: c.files for c in census.cases}
    assert files == {key_of(scan_of): (scan_of,), key_of_id("BERT"): (volume,)}
    assert [r.path.name for r in census.refused] == ["cara"]
    (said,) = census.findings
    assert (said.code, said.message[:2]) == ("volume_files_aside", "1 ")


def test_what_is_read_beside_a_volume_file_is_input_too(tmp_path):
    volume = write_volume(tmp_path / "root" / "bert" / "ct.nii.gz", "BERT")
    before = by_key(census_of_root(tmp_path / "root", S))
    side = volume.with_name("ct.json")
    side.write_text(json.dumps({"PatientID": "BERT", "Modality": "CT", "KVP": 120}))
    after = by_key(census_of_root(tmp_path / "root", S))
    assert after.keys() == before.keys()
    assert after != before
    (tmp_path / "n" / "a").mkdir(parents=True)
    nrrd.write(
        str(tmp_path / "n" / "a" / "ct.nhdr"),
        nib.load(volume).get_fdata().astype(np.int16),
        {"encoding": "raw", "space": "left-posterior-superior",
         "space directions": np.eye(3), "space origin": [0, 0, 0]},
        detached_header=True,
    )  # fmt: skip
    before = by_key(census_of_root(tmp_path / "n", S))
    (data,) = (p for p in (tmp_path / "n" / "a").iterdir() if p.suffix == ".raw")
    os.utime(data, ns=(1, 1))
    after = by_key(census_of_root(tmp_path / "n", S))
    assert len(before) == 1
    assert list(after.values()) != list(before.values())


def test_a_list_holds_one_patient_a_path(tmp_path):
    for name, who in (("a", "ANNA"), ("b", "BERT"), ("c", "ANNA")):
        write_one(tmp_path / name / name, who, number=ord(name))
    write_one(tmp_path / "two" / "1", "CARA")
    write_one(tmp_path / "two" / "2", "DORA")
    names = ["a", "b", "c", "two", "absent"]
    census = census_of_list([tmp_path / n for n in names], S)
    assert {r.path.name: r.code for r in census.refused} == {
        "two": "several_patients",
        "absent": "no_such_path",
    }
    files = {tuple(f.name for f in c.files) for c in census.cases}
    assert files == {("a", "c"), ("b",)}
    assert by_key(census) == by_key(census_of_list([tmp_path / n for n in names[::-1]], S))


def test_results_within_the_input_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in ("in", "in/out", "link/out"):
        with pytest.raises(UsageError, match="lies within"):
            check_places(tmp_path / out, [tmp_path / "in"])
    check_places(tmp_path / "in2", [tmp_path / "in"])


CASE = Case("p1", (Path("x"),), "i" * 64)
DONE = Known("done", None, False, None, CASE.input_sha256, S.sha256, SOFTWARE)
SLOW = replace(DONE, status="failed", code="over_time", over_limit=S.batch.minutes)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (None, "new"),
        (DONE, None),
        (replace(DONE, input_sha256="j" * 64), "files changed"),
        (replace(DONE, config_sha256="k" * 64), "settings changed"),
        (replace(DONE, software="hoimg 0.0.1"), "another version of hoimg"),
        (replace(DONE, status="failed", code="no_dicom"), None),
        (replace(DONE, status="failed", code="io_error", passing=True), "may pass"),
        (SLOW, None),
        (replace(SLOW, over_limit=S.batch.minutes - 0.01), "limit"),
        (replace(SLOW, code="over_memory", over_limit=S.batch.memory_gb), None),
        (replace(SLOW, code="over_memory", over_limit=S.batch.memory_gb - 0.01), "limit"),
    ],
)
def test_only_what_has_changed_is_done_again(tmp_path, known, why):
    (tmp_path / "patients" / "p1").mkdir(parents=True)
    (tmp_path / "patients" / "p1" / "manifest.json").touch()
    census = Census((CASE,), (), 1)
    plan = make_plan(census, {} if known is None else {"p1": known}, tmp_path, S)
    if why is None:
        assert (plan.steps, list(plan.kept)) == ((), ["p1"])
    else:
        assert why in plan.steps[0].why


def test_the_largest_come_first_so_that_none_is_waited_for_alone(tmp_path):
    cases = [replace(CASE, key=f"p{k}", files=(Path("x"),) * n) for k, n in enumerate((3, 9, 1, 9))]
    plan = make_plan(Census(tuple(cases), (), 22), {}, tmp_path, S)
    assert [step.case.key for step in plan.steps] == ["p1", "p3", "p0", "p2"]


def test_a_report_that_is_gone_is_made_again_and_who_is_gone_stays(tmp_path):
    plan = make_plan(Census((CASE,), (), 1), {"p1": DONE, "p2": DONE}, tmp_path, S)
    assert [s.why for s in plan.steps] == ["its report is gone"]
    assert plan.gone == ("p2",)


def test_limits_are_no_settings_of_a_result(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text("[batch]\nminutes = 3\n")
    from hoimg.settings import read_settings

    given = read_settings(file)
    assert given.batch.minutes == 3
    assert given.sha256 == Settings().sha256
    assert given.to_toml() == Settings().to_toml()


HIDDEN = "The input was refused (c); run hoimg report on it to see why."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/a/Otto Z/x: holds no DICOM; give a CT", "Holds no DICOM; give a CT."),
        ("/a/Otto Z/x and 3 more: the file is truncated", "The file is truncated."),
        ("no tissue in Otto Z", HIDDEN),
        ("/b/other: broken", HIDDEN),
        ("the scan is broken", "The scan is broken."),
        ("Zoltanfy: no tissue", HIDDEN),  # a part of a name
        ("li.dcm: its header is broken", HIDDEN),  # a short one, in other letters
        ("patient 4711 is broken", HIDDEN),
        ("the other li-ne", HIDDEN),
        ("the line has 47 slices", "The line has 47 slices."),
    ],
)  # fmt: skip
def test_messages_are_told_without_paths(text, said):
    paths = [Path("/a/Otto Z/x"), Path("/dicom/Zoltanfy^Otto/Li.dcm"), Path("/scan/A_4711/x")]
    assert safe_message(InputRefused(text, "c"), paths) == said


def test_identities_are_not_told_whatever_the_error(tmp_path):
    said = safe_message(UsageError(f"{tmp_path}: 2 patients (SECRET-1)"), [tmp_path])
    assert said == "The input was refused (usage); run hoimg report on it to see why."
