"""The real analysis on a small archive: the reports are those of ``hoimg report``."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from archives import statuses
from small_limb import slices, write

from hoimg.cli.main import run


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two good patients, and three whose files are broken in different ways; and the results."""
    base = tmp_path_factory.mktemp("real")
    root = base / "Zoltanfy"
    for number in range(5):
        write(root / f"Otto{number}", f"SECRET-{number}", number)
    for path in slices(root / "Otto2"):  # cut off within the pixels
        path.write_bytes(path.read_bytes()[:-500])
    for path in slices(root / "Otto3"):
        data = pydicom.dcmread(path)
        del data.PixelData
        data.save_as(path)
    for path in slices(root / "Otto4"):  # three slices are no volume
        if pydicom.dcmread(path).ImagePositionPatient[2] > 5:  # of 0, 2, 4 ... 46 mm
            path.unlink()
    (root / "letters").mkdir()
    (root / "letters" / "Otto.txt").write_text("no image")
    assert run(["-q", "batch", str(root), "-o", str(base / "out"), "--workers", "2"]) == 4
    return root, base / "out"


def hashes(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_report_is_that_of_hoimg_report_to_the_byte(archive, tmp_path, capsys):
    root, out = archive
    assert run(["-q", "report", str(root / "Otto0"), "-o", str(tmp_path / "one")]) == 0
    alone = hashes(tmp_path / "one")
    assert len(alone) > 10
    assert alone in [hashes(folder) for folder in (out / "patients").iterdir()]


def test_every_patient_has_its_report_or_its_reason(archive):
    _, out = archive
    found = statuses(out)
    assert sorted(s for s, _ in found.values()) == ["done"] * 2 + ["failed"] * 4
    assert {c for _, c in found.values() if c} >= {"truncated_files", "too_few_slices", "no_dicom"}
    with closing(sqlite3.connect(out / "results.sqlite")) as database:
        lesions = database.execute("SELECT patient_key, count(*) FROM lesions GROUP BY 1")
        assert {n for _, n in lesions} == {1}
        volumes = [v for (v,) in database.execute("SELECT volume_mm3 FROM observations")]
    # 4/3 pi 9^3 mm3, within what voxels of 5 mm3 can show
    assert volumes == pytest.approx([3053.6] * 2, rel=0.06)
    for path in out.rglob("*"):
        assert "Otto" not in path.name
        if path.is_file() and path.suffix != ".dcm":  # those are filed by identity, see privacy
            data = path.read_bytes()
            assert b"Zoltanfy" not in data
            assert b"SECRET-" not in data


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        p.relative_to(folder).as_posix(): (p.stat().st_mtime_ns, p.stat().st_size)
        for p in [folder, *folder.rglob("*")]
    }


def test_a_second_run_has_nothing_to_do_and_a_dry_run_says_so(archive, capsys):
    root, out = archive
    before, there = hashes(out / "patients"), everything(out)
    assert run(["-q", "batch", str(root), "-o", str(out), "--dry-run"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    found = statuses(out)
    assert sorted(line[:2] for line in lines[:-1]) == sorted(
        [key, "keep" if key.startswith("p") else "fail"] for key in found
    )
    for key, _, why in lines[:-1]:  # each says what became of it
        status, code = found[key]
        assert (code or status) in why
    assert lines[-1] == ["0 to run, 5 kept, 1 without a patient"]
    assert everything(out) == there
    assert run(["-q", "batch", str(root), "-o", str(out)]) == 4
    assert "2 with a report, 4 failed (0 in this run)" in capsys.readouterr().out
    assert hashes(out / "patients") == before


def test_a_dry_run_writes_nothing(archive, tmp_path, capsys):
    root, _ = archive
    assert run(["-q", "batch", str(root), "-o", str(tmp_path / "new"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[1:] for line in lines if "\trun\t" in line] == [["run", "new"]] * 5
    assert lines[-1].startswith("5 to run, 0 kept")
    assert not (tmp_path / "new").exists()
    (tmp_path / "thesis.doc").touch()  # where a run would refuse to write
    assert run(["-q", "batch", str(root), "-o", str(tmp_path), "--dry-run"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["batch", "-o", "out"],
        ["batch", "here", "--list", "x", "-o", "out"],
        ["batch", "here", "-o", "out", "--workers", "2", "--scheduler", "tcp://x:1"],
        ["batch", "here", "-o", "here/out"],
        ["batch", "here", "-o", "out"],
        ["batch", "--list", "absent", "-o", "out"],
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert run(["-q", *words]) == 2
    assert not (tmp_path / "out").exists()
