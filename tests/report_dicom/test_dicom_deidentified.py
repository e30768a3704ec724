"""hoimg's own SEG and SR after de-identification: the same numbers, of the de-identified images."""

from __future__ import annotations

import numpy as np
import pydicom
from dicom_series import make_result, planted_labels, write_series
from dicom_validator import validator_errors

from hoimg.deidentify import Pseudonyms, deidentify_files
from hoimg.dicom.files import list_files
from hoimg.report.dicom_objects import SEG_NAME, SR_NAME, write_dicom_objects

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
