"""hoimg's own SEG and SR after de-identification: the same numbers, of the de-identified images."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_series import make_result, planted_labels, write_series
from dicom_validator import validator_errors
from film_objects import film_dataset, write_gsps
from film_reports import BOX, ball, made

from hoimg.cli.main import run
from hoimg.deidentify import Pseudonyms, deidentify_files
from hoimg.dicom.files import list_files
from hoimg.report.dicom_objects import PR_NAME, SEG_NAME, SR_NAME, write_dicom_objects

KEY = b"a key for the tests, long enough"


def values(dataset: pydicom.Dataset, keyword: str) -> list[str]:
    return [str(e.value) for e in dataset.iterall() if e.keyword == keyword]


def test_own_objects_keep_numbers_and_refer_to_the_new_images(tmp_path):
    series = write_series(tmp_path / "in")
    paths = write_dicom_objects(
        make_result(series, planted_labels(series.grid.size_zyx)), tmp_path / "in" / "objects"
    )
    old = {path.name: pydicom.dcmread(path) for path in paths}
    outcome = deidentify_files(
        list_files([tmp_path / "in"]).files, tmp_path / "out", Pseudonyms(KEY)
    )
    assert outcome.refused == ()
    for path in paths:
        assert validator_errors(path) == []
    for path in (tmp_path / "out").rglob("*.dcm"):
        if pydicom.dcmread(path).Modality != "CT":
            assert validator_errors(path) == []
    new = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    by_modality = {ds.Modality: ds for ds in new}
    images = {ds.SOPInstanceUID for ds in new if ds.Modality == "CT"}
    assert len({ds.PatientID for ds in new}) == len({ds.StudyInstanceUID for ds in new}) == 1

    seg, before = by_modality["SEG"], old[SEG_NAME]
    assert np.array_equal(seg.pixel_array, before.pixel_array)
    sources = set(values(seg, "ReferencedSOPInstanceUID"))
    assert sources
    assert sources <= images
    for keyword in ("SegmentNumber", "ImagePositionPatient", "ReferencedSegmentNumber"):
        assert values(seg, keyword) == values(before, keyword)
    assert values(seg, "CodeMeaning")[0] != "REMOVED"

    sr, before = by_modality["SR"], old[SR_NAME]
    for keyword in ("NumericValue", "CodeValue", "RelationshipType", "ValueType"):
        kept = [v for v in values(sr, keyword) if v not in ("113100", "113104", "113105", "113107")]
        assert kept == values(before, keyword), keyword
    assert set(values(sr, "ReferencedSOPInstanceUID")) <= images | {seg.SOPInstanceUID}
    assert seg.SOPInstanceUID in values(sr, "ReferencedSOPInstanceUID")
    tracked = set(values(seg, "TrackingUID"))
    assert tracked
    assert tracked <= set(values(sr, "UID"))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom
def test_own_outlines_on_a_film_stay_and_what_others_drew_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOIMG_PATIENT_KEY", KEY.decode())
    film = film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1", view="AP")
    made(tmp_path, "--roi", BOX)
    (own,) = (tmp_path / "out").rglob(PR_NAME)
    drawn = pydicom.dcmread(own)
    foreign = write_gsps(
        tmp_path / "foreign", film, [("POLYLINE", [3, 3, 60, 3, 60, 60])],
        StudyInstanceUID=film.StudyInstanceUID, SeriesInstanceUID="1.2.3.9", Manufacturer="maker",
        PatientID=film.PatientID,
    )  # fmt: skip
    other = pydicom.dcmread(foreign)
    text = pydicom.Dataset()
    text.AnchorPoint, text.AnchorPointVisibility = [5.0, 5.0], "N"
    text.AnchorPointAnnotationUnits, text.UnformattedTextValue = "PIXEL", "seen by Refphys"
    other.GraphicAnnotationSequence[0].TextObjectSequence = [text]
    other.save_as(foreign)
    words = [tmp_path / "in", own, foreign]
    outcome = deidentify_files(list_files(words).files, tmp_path / "clean", Pseudonyms(KEY))
    assert (outcome.written, outcome.refused) == (3, ())
    found = {p: pydicom.dcmread(p) for p in (tmp_path / "clean").rglob("*.dcm")}
    (image,) = [ds for ds in found.values() if ds.Modality == "DX"]
    states = [(path, ds) for path, ds in found.items() if ds.Modality == "PR"]
    ((path, ours),) = [(p, ds) for p, ds in states if ds.get("Manufacturer") == "hoimg"]
    ((_, theirs),) = [(p, ds) for p, ds in states if ds.get("Manufacturer") != "hoimg"]
    assert "GraphicAnnotationSequence" not in theirs
    assert b"Refphys" not in b"".join(p.read_bytes() for p in found)
    for keyword in ("GraphicData", "GraphicType", "GraphicLayer", "UnformattedTextValue"):
        assert values(ours, keyword) == values(drawn, keyword) != []
    assert set(values(ours, "ReferencedSOPInstanceUID")) == {image.SOPInstanceUID}
    assert [c.CodeValue for c in ours.DeidentificationMethodCodeSequence] == [
        "113100", "113103", "113105", "113107",
    ]  # fmt: skip
    assert validator_errors(own) == []
    assert validator_errors(path) == []
    # Read back as regions of the de-identified film.
    films = tmp_path / "films"
    films.mkdir()
    (film_path,) = [p for p, ds in found.items() if ds.Modality == "DX"]
    film_path.rename(films / film_path.name)
    assert run(["report", str(films), "-o", str(tmp_path / "again"), "--roi", str(path)]) == 0
