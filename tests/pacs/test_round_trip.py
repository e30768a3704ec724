"""From the archive to a report and back into the archive, and from there into the next report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import requests
from film_objects import film_dataset
from film_reports import BOX, ball, made, report_of
from orthanc_server import NEEDS_ORTHANC, Orthanc
from proxies import old_archive
from pydicom import Dataset, dcmread

from hoimg.cli.main import run
from hoimg.image import read_mask
from hoimg.pacs.address import DimseAddress, WebAddress
from hoimg.pacs.credentials import Credentials
from hoimg.pacs.dimse import DimseArchive
from hoimg.pacs.errors import PacsError
from hoimg.pacs.push import dicom_objects, push
from hoimg.pacs.web import WebArchive

pytestmark = NEEDS_ORTHANC


@dataclass
class Reported:
    """A study in an archive, pulled and reported."""

    server: Orthanc
    scans: Path
    report: Path

    @property
    def labelmap(self) -> np.ndarray:
        return labels_of(self.report)


def labels_of(report: Path) -> np.ndarray:
    (exam,) = json.loads((report / "report.json").read_text())["exams"]
    return read_mask(report / exam["labelmap"]).array


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Iterator[Reported]:
    folder = tmp_path_factory.mktemp("round")
    server = Orthanc(folder / "orthanc").start()
    try:
        headers = {
            path: dcmread(path, stop_before_pixels=True)
            for path in (sample_data / "patient" / "SB4220").iterdir()
        }
        # the series of 5 mm: a fifth of the slices, two of the three lesions
        source = [path for path, header in headers.items() if header.SliceThickness == 5]
        for path in source:
            server.put(path)
        patient = str(headers[source[0]].PatientID)
        scans, report = folder / "scans", folder / "report"
        assert run(["pull", server.web, "-o", str(scans), "--patient", patient]) == 0
        assert sorted(p.read_bytes() for p in scans.rglob("*.dcm")) == sorted(
            p.read_bytes() for p in source
        )
        assert run(["report", str(scans), "-o", str(report)]) == 0
        assert run(["push", str(report), server.web]) == 0
        yield Reported(server, scans, report)
    finally:
        server.kill()


def search(server: Orthanc, modality: str) -> list[dict[str, str]]:
    """Objects of a modality, by a search that is not hoimg's."""
    answer = requests.get(
        f"{server.web}/instances",
        params={"Modality": modality},
        headers={"Accept": "application/dicom+json"},
        timeout=10,
    )
    tags = {"study": "0020000D", "series": "0020000E", "sop": "00080018"}
    return [{n: item[tag]["Value"][0] for n, tag in tags.items()} for item in answer.json()]


def test_a_search_finds_the_objects_in_the_study_they_are_of(reported: Reported) -> None:
    (study,) = {item["study"] for item in search(reported.server, "CT")}
    for modality, name in (("SEG", "lesions.seg"), ("SR", "measurements.sr"), ("OT", "summary.sc")):
        (found,) = search(reported.server, modality)
        (path,) = reported.report.rglob(f"{name}.dcm")
        assert found["study"] == study
        assert found["sop"] == dcmread(path).SOPInstanceUID


def test_pushed_again_nothing_is_sent(
    reported: Reported, capsys: pytest.CaptureFixture[str]
) -> None:
    before = reported.server.count()
    assert run(["push", str(reported.report), reported.server.web]) == 0
    assert capsys.readouterr().out == "0 object(s) stored, 3 already there\n"
    assert reported.server.count() == before


def test_pulled_back_they_are_masks_that_give_the_same_voxels(
    reported: Reported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    shutil.copytree(reported.scans, scans)
    study = search(reported.server, "SEG")[0]["study"]
    capsys.readouterr()
    assert run(["pull", reported.server.web, "-o", str(scans), "--study", study]) == 0
    assert capsys.readouterr().out.endswith("3 of them new\n")
    new = {p for p in scans.rglob("*.dcm") if not (reported.scans / p.relative_to(scans)).exists()}
    assert {p.read_bytes() for p in new} == {p.read_bytes() for p in reported.report.rglob("*.dcm")}
    (mask,) = [p for p in new if dcmread(p).Modality == "SEG"]
    second = tmp_path / "second"
    assert run(["report", str(scans), "-o", str(second), "--mask", str(mask)]) == 0
    assert reported.labelmap.max() == 2
    np.testing.assert_array_equal(labels_of(second), reported.labelmap)


def test_a_push_that_broke_off_is_resumed_and_another_object_is_not_replaced(
    reported: Reported,
    start_orthanc: Callable[..., Orthanc],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_orthanc()
    (seg,) = reported.report.rglob("*.seg.dcm")
    (sr,) = reported.report.rglob("*.sr.dcm")
    server.put(sr)  # what a run that broke off has left
    other = dcmread(seg)
    pixels = bytearray(other.PixelData)
    pixels[0] ^= 1
    other.PixelData = bytes(pixels)
    other.save_as(tmp_path / "other.dcm")
    server.put(tmp_path / "other.dcm")
    assert run(["push", str(reported.report), server.web]) == 1
    out, err = capsys.readouterr()
    assert out == "1 object(s) stored, 1 already there\n"
    assert "lesions.seg.dcm: the archive has another object of the same UID" in err
    assert "1 object(s) are not in the archive as they were made" in err
    assert server.count() == 3
    assert (tmp_path / "other.dcm").read_bytes() in server.files()


def test_a_server_that_dies_while_it_is_pushed_to_gets_each_object_once(
    reported: Reported,
    start_orthanc: Callable[..., Orthanc],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_orthanc()
    objects = dicom_objects(reported.report)

    def kill_before_the_second(name: str) -> None:
        if name == objects[1].name:
            server.kill()

    with (
        WebArchive(WebAddress(server.web), Credentials()) as archive,
        pytest.raises(PacsError) as broken,
    ):
        push(archive, objects, kill_before_the_second)
    assert broken.value.kind in {"unreachable", "broken_off"}
    server.start()
    assert server.count() == 1
    assert run(["push", str(reported.report), server.web]) == 0
    assert capsys.readouterr().out == "2 object(s) stored, 1 already there\n"
    assert sorted(server.files()) == sorted(o.path.read_bytes() for o in objects)


def test_by_dimse_they_are_stored_once_and_read_back(
    reported: Reported,
    start_orthanc: Callable[..., Orthanc],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_orthanc()
    words = ["push", str(reported.report), server.dimse]
    assert run(words) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("3 object(s) stored, 0 already there\n", "")
    assert run(words) == 0
    assert capsys.readouterr().out == "0 object(s) stored, 3 already there\n"
    assert server.count() == 3
    held = [dcmread(BytesIO(data)) for data in server.files()]
    assert same(held, reported.report)


def test_an_archive_that_lets_nobody_fetch_is_believed_and_that_is_said(
    reported: Reported, capsys: pytest.CaptureFixture[str]
) -> None:
    with old_archive() as (url, held):
        for counts in ("3 object(s) stored, 0 already there\n",
                       "0 object(s) stored, 3 already there\n"):  # fmt: skip
            assert run(["push", str(reported.report), url]) == 0
            said = capsys.readouterr()
            assert said.out == counts
            assert "3 object(s) are there by its own word and were not compared" in said.err
        assert same(list(held.values()), reported.report)


def same(held: list[Dataset], report: Path) -> bool:
    """Whether the data sets are those of the report: all but group 2."""
    ours = {d.SOPInstanceUID: d for d in map(dcmread, report.rglob("*.dcm"))}
    return {d.SOPInstanceUID for d in held} == set(ours) and all(
        d == ours[d.SOPInstanceUID] for d in held
    )


def test_by_dimse_another_object_of_the_same_uid_is_told(
    reported: Reported,
    start_orthanc: Callable[..., Orthanc],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_orthanc()
    (sr,) = reported.report.rglob("*.sr.dcm")
    other = dcmread(sr)
    other.ContentSequence[-1].ConceptNameCodeSequence[0].CodeMeaning = "Another"
    other.save_as(tmp_path / "other.dcm")
    server.put(tmp_path / "other.dcm")
    assert run(["push", str(reported.report), server.dimse]) == 1
    out, err = capsys.readouterr()
    assert out == "2 object(s) stored, 0 already there\n"
    assert "measurements.sr.dcm: the archive has another object of the same UID" in err


def test_a_films_objects_go_out_and_come_back_as_its_regions(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.826.0.1.3680043.8.498.5.1")
    first = made(tmp_path, "--roi", BOX)
    report = tmp_path / "out"
    names = [Path(o.name).name for o in dicom_objects(report)]
    seg, *others = names
    assert (seg, others) == (
        "lesions.seg.dcm",
        ["measurements.sr.dcm", "outlines.pr.dcm", "summary.sc.dcm"],
    )
    server = start_orthanc()
    server.put(tmp_path / "in" / "a")
    capsys.readouterr()
    assert run(["push", str(report), server.web]) == 0
    assert capsys.readouterr().out == "4 object(s) stored, 0 already there\n"
    # By DIMSE of an archive that has not said of what class they are.
    with DimseArchive(DimseAddress("ORTHANC", "127.0.0.1", server.dicom), "HOIMG") as archive:
        for out in dicom_objects(report):
            [(_, data)] = archive.fetch([out.instance])
            assert isinstance(data, bytes), out.name
            assert dcmread(BytesIO(data)) == dcmread(out.path)
    for modality in ("SEG", "SR", "PR", "OT"):
        [found] = search(server, modality)
        assert found["study"] == film.StudyInstanceUID
    scans, second = tmp_path / "scans", tmp_path / "second"
    assert run(["pull", server.web, "-o", str(scans), "--study", film.StudyInstanceUID]) == 0
    pulled = {dcmread(p).Modality: p for p in scans.rglob("*.dcm")}
    assert set(pulled) == {"DX", "SEG", "SR", "PR", "OT"}
    for modality in ("SEG", "SR", "PR"):
        # The folder holds its own objects beside the film.
        words = ["report", str(scans), "-o", str(second), "--roi", str(pulled[modality])]
        assert run(words) == 0
        [lesion] = report_of(second)["lesions"]
        assert lesion["tracking_uid"] == first["lesions"][0]["tracking_uid"]
        [exam] = report_of(second)["exams"]
        regions = read_mask(second / exam["regions"]).array
        np.testing.assert_array_equal(regions > 0, labels_of(report) > 0)


def test_what_an_archive_may_put_right_is_told_by_name_only(
    reported: Reported,
    start_orthanc: Callable[..., Orthanc],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_orthanc()
    (sr,) = reported.report.rglob("*.sr.dcm")
    other = dcmread(sr)
    other.PatientID, other.AccessionNumber = "RECONCILED-77", "ACC-99"
    other.save_as(tmp_path / "other.dcm")
    server.put(tmp_path / "other.dcm")
    assert run(["push", str(reported.report), server.web]) == 0
    out, err = capsys.readouterr()
    assert out == "2 object(s) stored, 1 already there\n"
    assert "the archive changed AccessionNumber, PatientID in filing them" in err
    assert "77" not in err


def test_a_changed_report_and_one_without_objects_are_not_pushed(
    reported: Reported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(reported.report, changed)
    (sr,) = changed.rglob("*.sr.dcm")
    sr.write_bytes(sr.read_bytes() + b"\0\0")
    before = reported.server.count()
    assert run(["push", str(changed), reported.server.web]) == 2
    assert "was changed since the report was written" in capsys.readouterr().err
    listed = json.loads((changed / "manifest.json").read_text())
    listed["files"] = [f for f in listed["files"] if not f["path"].endswith(".dcm")]
    (changed / "manifest.json").write_text(json.dumps(listed))
    assert run(["push", str(changed), reported.server.web]) == 2
    assert "holds no DICOM objects" in capsys.readouterr().err
    assert run(["push", str(tmp_path), reported.server.web]) == 2
    assert "no folder that hoimg report has written" in capsys.readouterr().err
    assert reported.server.count() == before
