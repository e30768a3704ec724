"""The command: what is refused, the exit codes, the key, and that nothing is overwritten."""

from __future__ import annotations

import os
import stat

import planted_phi as planted
import pytest
from pydicom import Dataset, dcmread

from hoimg.cli.main import run


@pytest.fixture(autouse=True)
def _own_key(monkeypatch):
    monkeypatch.setenv("HOIMG_PATIENT_KEY", "a key for the tests, long enough")


def other(kind: str, **values) -> Dataset:
    """An object of another class with the planted patient."""
    ds = planted.ct(uid=planted.IMAGE + ".77")
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1." + kind
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def test_bad_files_are_named_and_the_good_ones_written(tmp_path, capsys):
    source = tmp_path / "in"
    whole = planted.write(planted.ct(), source / "good").read_bytes()
    planted.write(other("104.1", EncapsulatedDocument=b"%PDF Zoltanfy"), source / "pdf")
    planted.write(other("11.2"), source / "state")
    planted.write(other("7"), source / "capture")
    private = other("7")
    private.SOPClassUID = "1.3.12.2.1107.5.9.1"
    planted.write(private, source / "private")
    nameless = planted.ct()
    del nameless.SOPInstanceUID
    nameless.file_meta = None
    (source / "cut").write_bytes(whole[:-60])
    (source / "halved").write_bytes(whole[: len(whole) // 3])
    (source / "broken.dcm").write_bytes(os.urandom(3000))
    (source / "empty.dcm").write_bytes(b"")
    (source / "disc.zip").write_bytes(b"PK\x03\x04" + whole)
    (source / "readme of Zoltanfy.txt").write_text("Zoltanfy")
    (source / "pipe").symlink_to("/dev/zero")
    assert run(["deidentify", str(source), str(tmp_path / "out")]) == 4
    captured = capsys.readouterr()
    for name, said in (
        ("pdf", "Encapsulated PDF"),
        ("state", "Presentation State"),
        ("capture", "screen capture"),
        ("private", "private kind"),
        ("cut", "ends before"),
        ("halved", "is damaged"),
        ("broken.dcm", "called DICOM"),
        ("empty.dcm", "called DICOM"),
        ("disc.zip", "archive"),
    ):
        (line,) = [x for x in captured.err.splitlines() if f"{source / name} " in x]
        assert "refused" in line
        assert said in line
    assert "may carry text" in captured.err
    assert "1 file(s) without a DICOM object" in captured.err
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 1
    assert captured.out.startswith("1 file(s) of 1 patient(s)")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("7", {"BurnedInAnnotation": "NO"}),
        ("7", {"ConversionType": "DF"}),  # a scanned film
        ("6.1", {"BurnedInAnnotation": "NO"}),
        ("128", {"BurnedInAnnotation": "YES"}),
    ],
)
def test_pictures_that_may_pass(tmp_path, kind, values, capsys):
    planted.write(other(kind, **values), tmp_path / "in" / "file")
    assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").rglob("*.dcm")
    new = dcmread(path)
    for keyword, value in values.items():
        assert new[keyword].value == value
    burned = values.get("BurnedInAnnotation")
    assert ("may carry text" in capsys.readouterr().err) == (burned != "NO")


def test_a_file_without_part_10_header_gets_one(tmp_path):
    path = planted.write(planted.ct(), tmp_path / "in" / "file")
    data = path.read_bytes()
    start = data.index(b"\x08\x00\x05\x00CS")
    path.write_bytes(data[start:])
    assert run(["deidentify", str(path), str(tmp_path / "out")]) == 0
    (written,) = (tmp_path / "out").rglob("*.dcm")
    assert written.read_bytes()[128:132] == b"DICM"
    assert dcmread(written).PixelData == planted.ct().PixelData


def test_two_images_with_one_uid_stand_beside_each_other(tmp_path):
    planted.write(planted.ct(1), tmp_path / "in" / "a")
    planted.write(planted.ct(2), tmp_path / "in" / "b")
    assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    first, second = sorted((tmp_path / "out").rglob("*.dcm"), key=lambda p: len(p.name))
    assert second.name == f"{first.stem}-2.dcm"
    assert (dcmread(first).InstanceNumber, dcmread(second).InstanceNumber) == (1, 2)


def test_nothing_treatable_is_3_and_wrong_folders_are_2(tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    (source / "notes.txt").write_text("x")
    assert run(["deidentify", str(source), str(tmp_path / "none")]) == 3
    planted.write(planted.ct(), source / "file")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("keep")
    assert run(["deidentify", str(source), str(full)]) == 2
    assert run(["deidentify", str(source), str(source / "out")]) == 2
    assert run(["deidentify", str(source), str(full / "mine")]) == 2
    assert run(["deidentify", str(tmp_path / "missing"), str(tmp_path / "out2")]) == 2
    (tmp_path / "link").symlink_to(full)
    assert run(["deidentify", str(source), str(tmp_path / "link")]) == 2
    assert (full / "mine").read_text() == "keep"
    assert "Traceback" not in capsys.readouterr().err


def test_the_key_is_kept_beside_the_output_for_its_owner_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("HOIMG_PATIENT_KEY")
    planted.write(planted.ct(), tmp_path / "in" / "file")
    assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    kept = tmp_path / "out.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secret = kept.read_text().strip()
    assert len(secret) == 64
    assert secret not in capsys.readouterr().out
    (first,) = (tmp_path / "out").rglob("*.dcm")
    # The same secret, now of the environment, gives the same file in another folder.
    monkeypatch.setenv("HOIMG_PATIENT_KEY", secret)
    assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "two")]) == 0
    again = tmp_path / "two" / first.relative_to(tmp_path / "out")
    assert again.read_bytes() == first.read_bytes()
    # A file that others can read, and secrets that can be guessed, are refused.
    monkeypatch.delenv("HOIMG_PATIENT_KEY")
    (tmp_path / "three.key").write_text(secret)
    (tmp_path / "three.key").chmod(0o644)
    assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "three")]) == 2
    (tmp_path / "three.key").chmod(0o600)
    assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "three")]) == 0
    for weak in ("", "short"):
        monkeypatch.setenv("HOIMG_PATIENT_KEY", weak)
        assert run(["deidentify", str(tmp_path / "in"), str(tmp_path / "four")]) == 2
    assert not (tmp_path / "four").exists()
