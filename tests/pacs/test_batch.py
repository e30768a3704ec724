"""``hoimg batch`` of a PACS: each patient is pulled in their own task."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from limb_patient import limb, write_exams
from orthanc_server import NEEDS_ORTHANC, Orthanc
from pydicom import dcmread
from studies import SECRET_ID, SECRET_NAME, write_study

from hoimg.archive.child import do
from hoimg.archive.remote import census_of_pacs, split_query
from hoimg.archive.task import REPORT, Task, probe
from hoimg.cli.main import run
from hoimg.errors import UsageError
from hoimg.pacs.archive import Query
from hoimg.settings import Settings


def hashes(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def statuses(out: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(out / "results.sqlite")) as database:
        return sorted(database.execute("SELECT status, code FROM patients").fetchall())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, Path]]:
    """A limb with an ossification, and a study of two small slices, in an archive."""
    folder = tmp_path_factory.mktemp("batch")
    scans = write_exams(folder / "limb", {0: limb()})
    write_study(folder / "small", 1, series=1, slices=2)
    server = Orthanc(folder / "orthanc").start()
    try:
        for path in [*scans.rglob("*"), *(folder / "small").iterdir()]:
            if path.is_file() and path.suffix != ".json":
                server.put(path)
        yield server, scans
    finally:
        server.kill()


@NEEDS_ORTHANC
def test_everybody_who_matches_is_pulled_and_reported(served, tmp_path, capsys):
    server, scans = served
    out, address = tmp_path / "out", f"{server.web}?ModalitiesInStudy=CT"
    assert run(["-q", "batch", address, "-o", str(out), "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("2 to run, 0 kept, 0 without a patient\n")
    assert not out.exists()
    assert run(["-q", "batch", address, "-o", str(out), "--workers", "2"]) == 4
    assert statuses(out) == [("done", None), ("failed", "too_few_slices")]
    assert "2 slice(s)" in capsys.readouterr().err  # its reason is told, without a path
    (made,) = (out / "patients").iterdir()
    assert run(["-q", "report", str(scans), "-o", str(tmp_path / "one")]) == 0
    assert hashes(made) == hashes(tmp_path / "one")
    # Nothing of what was pulled stays, and nobody is named.
    assert not (out / "work").exists()
    for path in out.rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            data = path.read_bytes()
            assert SECRET_ID.encode() not in data
            assert SECRET_NAME.encode() not in data
    before = hashes(out / "patients")
    capsys.readouterr()
    assert run(["-q", "batch", address, "-o", str(out)]) == 4
    assert "(0 in this run)" in capsys.readouterr().out
    assert hashes(out / "patients") == before


@NEEDS_ORTHANC
def test_images_of_another_patient_than_was_said_make_no_report(served, tmp_path):
    server, scans = served
    study = str(dcmread(next(p for p in scans.rglob("*") if p.is_file())).StudyInstanceUID)
    task = Task(
        "p-somebody-else", (), Settings().model_dump_json(), "f" * 64, str(tmp_path),
        probe=probe(), url=server.web, studies=(study,),
    )  # fmt: skip
    outcome = do(task)
    assert (outcome.status, outcome.code, outcome.passing) == ("failed", "other_patient", False)
    assert not (tmp_path / REPORT).exists()


@NEEDS_ORTHANC
@pytest.mark.parametrize("words", ["PatientID=PAT-0", "ModalitiesInStudy=MR"])
def test_where_nobody_matches_the_query_is_not_repeated(served, tmp_path, capsys, words):
    server, _ = served
    assert run(["-q", "batch", f"{server.web}?{words}", "-o", str(tmp_path / "out")]) == 2
    assert "PAT-0" not in capsys.readouterr().err


@NEEDS_ORTHANC
def test_the_same_by_dimse(served, tmp_path, capsys):
    server, _ = served
    words = ["batch", f"{server.dimse}?PatientID={SECRET_ID}", "-o", str(tmp_path / "out")]
    assert run(["-q", *words]) == 4
    assert statuses(tmp_path / "out") == [("failed", "too_few_slices")]


def test_a_query_as_qido_writes_it():
    url, query = split_query(
        "https://host/dicom-web?ModalitiesInStudy=CT&StudyDate=20240101-20240630&PatientID=A%20B"
    )
    assert url == "https://host/dicom-web"
    assert query.asked() == {
        "PatientID": "A B",
        "StudyDate": "20240101-20240630",
        "ModalitiesInStudy": "CT",
    }
    for days, asked in (("20240101", "20240101-20240101"), ("20240101-", "20240101-"),
                        ("-20240630", "-20240630")):  # fmt: skip
        assert split_query(f"https://h/d?StudyDate={days}")[1].asked() == {"StudyDate": asked}


@pytest.mark.parametrize(
    "words",
    ["", "PatientName=X", "PatientID=", "PatientID=A&PatientID=B", "StudyDate=2024-01-01",
     "StudyDate=-", "PatientID=*", "ModalitiesInStudy=C?", "limit=5"],
)  # fmt: skip
def test_a_query_that_cannot_be_held_to_is_refused(words):
    with pytest.raises(UsageError):
        split_query(f"https://host/dicom-web?{words}")


def test_a_modality_that_an_archive_ignores_fetches_nobody_else():
    _, query = split_query("https://h/d?ModalitiesInStudy=CT")
    assert query.matches({"ModalitiesInStudy": "SEG\\CT"})
    assert not query.matches({"ModalitiesInStudy": "MR"})
    assert not query.matches({"ModalitiesInStudy": ""})
    assert not query.matches({})

    class Ignores:
        """An archive that names everybody, whatever it is asked."""

        def studies(self, _: Query) -> list[dict[str, str]]:
            one = {"IssuerOfPatientID": "", "NumberOfStudyRelatedInstances": "3"}
            return [
                {"PatientID": who, "StudyInstanceUID": uid, "ModalitiesInStudy": what, **one}
                for who, uid, what in (("A", "1.1", "CT"), ("A", "1.2", "MR"), ("B", "1.3", "MR"))
            ]

    (case,) = census_of_pacs(Ignores(), query, "https://h/d").cases  # type: ignore[arg-type]
    assert case.studies == ("1.1",)
