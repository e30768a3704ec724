"""What dciodvfy finds wrong with de-identified files was wrong with their sources."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dicom_validator import validator_errors
from pydicom import dcmread

from hoimg.deidentify import Pseudonyms, deidentify_files
from hoimg.dicom.files import list_files

KEY = b"a key for the tests, long enough"


@pytest.mark.parametrize("sample", ["films", "patient/SB610F"])
def test_no_error_is_added(sample_data: Path, tmp_path: Path, sample: str) -> None:
    files = [p for p in list_files([sample_data / sample]).files if p.suffix == ""]
    # of a CT the first and last slices and the localizer: the others are like them
    chosen = sorted(files)[:3] + sorted(files, key=lambda p: p.stat().st_size)[:2]
    (tmp_path / "in").mkdir()
    for path in chosen:
        shutil.copy(path, tmp_path / "in" / path.name)
    before = {e for path in (tmp_path / "in").iterdir() for e in validator_errors(path)}
    outcome = deidentify_files(
        list_files([tmp_path / "in"]).files, tmp_path / "out", Pseudonyms(KEY)
    )
    written = list((tmp_path / "out").rglob("*.dcm"))
    assert len(written) == outcome.written == len({p.name for p in chosen})
    assert {e for path in written for e in validator_errors(path)} <= before
    # the sample's CT were written before Laterality was known to be missing
    assert all("Laterality" in error for error in before)
    assert dcmread(written[0]).PatientIdentityRemoved == "YES"
