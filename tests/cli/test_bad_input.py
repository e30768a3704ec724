"""Bad input ends in one line that names the file and the fix, with the right exit code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from hoimg.cli.main import run

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


def write_series(folder: Path, *, slices: int = 8, modality: str = "CT", patient: str = "P1"):
    """A small axial series as a scanner writes it: no suffix, names that do not sort."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = (generate_uid(entropy_srcs=[patient, x]) for x in ("st", "se", "fr"))
    for number in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CT if modality == "CT" else MR
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient, str(number)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID = meta.MediaStorageSOPClassUID
        ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        ds.PatientID, ds.PatientName = patient, "DOE^JANE"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.Modality = modality
        ds.StudyDate = ds.SeriesDate = "20200101"
        ds.SeriesNumber, ds.InstanceNumber = 1, number + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient = [0.0, 0.0, 2.0 * number]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [1.0, 1.0], 2.0
        ds.Rows = ds.Columns = 32
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        if modality == "CT":
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 0, "HU"
            ds.KVP = 120
        ds.PixelData = np.full((32, 32), 40, np.int16).tobytes()
        ds.save_as(folder / f"IM{(number * 7) % 11:03d}_{number}", enforce_file_format=True)
    return folder


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def text(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    return folder / "notes.txt"


def mr(folder: Path) -> Path:
    return write_series(folder, modality="MR")


def one_slice(folder: Path) -> Path:
    return write_series(folder, slices=1)


def truncated(folder: Path) -> Path:
    """Every second file ends in the middle of its pixels, as after a copy that broke off."""
    write_series(folder)
    for path in sorted(folder.iterdir())[::2]:
        path.write_bytes(path.read_bytes()[:-900])
    return folder


def headless(folder: Path) -> Path:
    write_series(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    return folder


def gap(folder: Path) -> Path:
    write_series(folder, slices=10)
    next(p for p in folder.iterdir() if p.name.endswith("_4")).unlink()
    return folder


def absent(folder: Path) -> Path:
    return folder / "nowhere"


CASES = [
    pytest.param(empty, 3, ["empty"], id="empty"),
    pytest.param(text, 3, ["notes.txt"], id="text"),
    pytest.param(mr, 3, ["CT"], id="mr"),
    pytest.param(one_slice, 3, ["slice"], id="one-slice"),
    pytest.param(truncated, 3, ["again"], id="truncated"),
    pytest.param(headless, 3, ["again"], id="headless"),
    pytest.param(gap, 3, ["missing"], id="gap"),
    pytest.param(absent, 2, ["nowhere"], id="absent"),
]


@pytest.mark.parametrize("command", ["info", "report"])
@pytest.mark.parametrize(("make", "code", "parts"), CASES)
def test_bad_input_is_one_line_with_the_path_and_the_fix(
    tmp_path, capsys, command, make, code, parts
):
    path = make(tmp_path / "scans")
    target = tmp_path / "report"
    words = [command, str(path)] + (["-o", str(target)] if command == "report" else [])
    before = snapshot(tmp_path)
    assert run(words) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("hoimg: ")
    for part in [str(tmp_path), *parts]:
        assert part in err
    assert "DOE" not in err
    assert snapshot(tmp_path) == before, "nothing may be changed or written"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_output_that_is_a_file_is_a_usage_error(tmp_path, capsys):
    target = tmp_path / "out"
    target.write_text("keep me")
    assert run(["report", str(write_series(tmp_path / "scans")), "-o", str(target)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(target) in err
    assert target.read_text() == "keep me"


def test_two_patients_are_a_usage_error_that_names_the_way_out(tmp_path, capsys):
    write_series(tmp_path / "scans" / "a", patient="P1")
    write_series(tmp_path / "scans" / "b", patient="P2")
    assert run(["report", str(tmp_path / "scans"), "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--patient" in err
    assert "P1" in err
    assert "P2" in err
    assert not (tmp_path / "out").exists()


def test_a_bad_settings_file_is_a_usage_error(tmp_path, capsys):
    scans = write_series(tmp_path / "scans")
    bad = tmp_path / "bad.toml"
    bad.write_text("[segment]\nminerl = 1\n")
    words = ["report", str(scans), "-o", str(tmp_path / "out"), "--config", str(bad)]
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "bad.toml" in err
    assert "segment.minerl" in err


def test_good_input_passes_info(tmp_path, capsys):
    assert run(["info", str(write_series(tmp_path / "scans"))]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "DOE" not in out
