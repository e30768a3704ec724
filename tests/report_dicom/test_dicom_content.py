"""What the objects say, to whom they belong, and that they are valid DICOM."""

from __future__ import annotations

import hashlib
import logging
import uuid
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_series import (
    EXAM_ID,
    ORIENTATIONS,
    SERIES_UID,
    STUDY_UID,
    Look,
    default_lesions,
    lesion,
    make_result,
    observation,
    planted_labels,
    write_enhanced,
    write_series,
)
from dicom_validator import validator_errors
from pydicom.uid import UID

from hoimg.dicom.quiet import quiet_pydicom
from hoimg.errors import InputRefused
from hoimg.report import dicom_codes, dicom_objects, dicom_sc
from hoimg.report.dicom_context import derive_uid
from hoimg.report.dicom_header import UNKNOWN_DATE
from hoimg.report.dicom_objects import SC_NAME, SEG_NAME, SR_NAME, write_dicom_objects
from hoimg.report.dicom_source import read_source
from hoimg.results import STATEMENT, Exam, Maturity, PatientResult, ReaderEdit


@pytest.fixture
def planted(tmp_path: Path) -> PatientResult:
    series = write_series(tmp_path / "in")
    return make_result(series, planted_labels(series.grid.size_zyx))


def by_name(paths: list[Path]) -> dict[str, pydicom.Dataset]:
    return {path.name: pydicom.dcmread(path) for path in paths}


@pytest.mark.parametrize("source", ["multi", "anonymous", "one_lesion", "empty", *ORIENTATIONS])
def test_objects_are_valid_dicom(tmp_path: Path, source: str) -> None:
    look = Look(orientation=source if source in ORIENTATIONS else "oblique")
    labels = planted_labels(look.size)
    lesions = None
    if source == "multi":
        series = write_enhanced(tmp_path / "in", look, list(range(look.size[0])))
    elif source == "anonymous":
        blank = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate")
        look.tags = dict.fromkeys((*blank, "StudyTime", "AccessionNumber", "StudyID"), "")
        series = write_series(tmp_path / "in", look)
    else:
        series = write_series(tmp_path / "in", look)
    if source == "one_lesion":
        labels[labels == 2], lesions = 0, default_lesions()[:1]
    if source == "empty":
        labels, lesions = np.zeros_like(labels), []
    paths = write_dicom_objects(make_result(series, labels, lesions), tmp_path / "out")
    names = [SR_NAME, SC_NAME] if source == "empty" else [SEG_NAME, SR_NAME, SC_NAME]
    assert [path.name for path in paths] == names
    for path in paths:
        assert validator_errors(path) == []


def test_missing_mandatory_source_attributes_still_give_valid_objects(tmp_path: Path) -> None:
    gone = ("PatientName", "PatientID", "StudyID", "AccessionNumber", "ReferringPhysicianName")
    series = write_series(tmp_path / "in", Look(drop=(*gone, "PatientSex", "StudyTime")))
    result = make_result(series, planted_labels(series.grid.size_zyx))
    for path in write_dicom_objects(result, tmp_path / "out"):
        assert validator_errors(path) == []


def test_emptied_uids_are_taken_from_the_file_meta_and_the_report(tmp_path: Path) -> None:
    empty = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    series = write_series(tmp_path / "in")
    for k, path in enumerate(series.files, start=1):
        data = pydicom.dcmread(path)
        for keyword in empty:
            setattr(data, keyword, "")
        data.file_meta.MediaStorageSOPInstanceUID = f"{SERIES_UID}.{k}"
        with path.open("wb") as stream:
            pydicom.dcmwrite(stream, data, enforce_file_format=False)
    result = make_result(series, planted_labels(series.grid.size_zyx))
    paths = write_dicom_objects(result, tmp_path / "out")
    seg = pydicom.dcmread(paths[0])
    assert seg.StudyInstanceUID == STUDY_UID
    (cited,) = seg.ReferencedSeriesSequence
    assert cited.SeriesInstanceUID == SERIES_UID
    uids = [i.ReferencedSOPInstanceUID for i in cited.ReferencedInstanceSequence]
    assert uids == [f"{SERIES_UID}.{k}" for k in (2, 3, 4, 5)]
    for path in paths:
        assert validator_errors(path) == []
    bare = read_source(series.files, series.grid)
    assert UID(bare.study_uid).is_valid
    assert UID(bare.series_uid).is_valid
    assert bare.study_uid != bare.series_uid


def measured(group: Any) -> dict[tuple[str, str | None], tuple[float, str]]:
    """(code, derivation) -> (value, unit) read from the raw items, not through highdicom."""
    found = {}
    for item in group.ContentSequence:
        if item.ValueType != "NUM" or item.RelationshipType != "CONTAINS":
            continue
        value = item.MeasuredValueSequence[0]
        unit = value.MeasurementUnitsCodeSequence[0].CodeValue
        derivation = None
        for below in item.get("ContentSequence", []):
            if below.ConceptNameCodeSequence[0].CodeValue == "121401":
                derivation = below.ConceptCodeSequence[0].CodeValue
        number = value.get("FloatingPointValue", None)
        code = item.ConceptNameCodeSequence[0].CodeValue
        key = (code, derivation)
        assert key not in found
        found[key] = (float(value.NumericValue) if number is None else float(number), unit)
    return found


def groups_of(sr: pydicom.Dataset) -> list[Any]:
    for item in sr.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == "126010":
            return list(item.ContentSequence)
    raise AssertionError("no imaging measurements")


def texts_of(item: Any) -> list[str]:
    return [i.TextValue for i in item.ContentSequence if i.ValueType == "TEXT"]


def coded(group: Any) -> dict[str, str]:
    return {
        i.ConceptNameCodeSequence[0].CodeValue: i.ConceptCodeSequence[0].CodeValue
        for i in group.ContentSequence
        if i.ValueType == "CODE"
    }


def test_sr_numbers_equal_the_reports(planted: PatientResult, tmp_path: Path) -> None:
    sr = by_name(write_dicom_objects(planted, tmp_path / "out"))[SR_NAME]
    first, second = groups_of(sr)
    mean, sd, median = "373098007", "386136009", "373099004"
    assert measured(first) == {
        ("118565006", None): (1234.5678901234567, "mm3"),
        ("HO-V-LOW", None): (1100.25, "mm3"),
        ("HO-V-HIGH", None): (1399.75, "mm3"),
        ("HO-V-MIN", None): (987.125, "mm3"),
        ("HO-MASS-HU", None): (345678.9012345, "[hnsf'U].mm3"),
        ("112031", mean): (312.1, "[hnsf'U]"),
        ("112031", sd): (88.0, "[hnsf'U]"),
        ("112031", median): (0.0, "[hnsf'U]"),
        ("HO-P95", None): (512.5, "[hnsf'U]"),
        ("L0JK", None): (41.25, "mm"),
        ("C0JK", None): (2222.5, "mm2"),
        ("QCFX", None): (0.61, "1"),
        ("HO-RIM", None): (0.2, "1"),
        ("HO-EDGE", None): (2.75, "1"),
        ("HO-ZONE", None): (-31.5, "[hnsf'U]"),
        ("HO-D-BONE", None): (0.0, "mm"),
        ("HO-C-DAYS", None): (90.0, "d"),
        ("HO-C-VOLUME", None): (35.5, "%"),
        ("HO-RC-VOLUME", None): (12.0, "%"),
        ("HO-C-DENSITY", None): (-4.0, "[hnsf'U]"),
    }
    other = measured(second)
    assert other[("118565006", None)] == (77.0, "mm3")
    assert other[("HO-MASS-HA", None)] == (12.5, "mg")
    assert other[("112031", median)] == (201.5, "[hnsf'U]")
    assert ("HO-C-VOLUME", None) not in other
    offsets = [i for i in first.ContentSequence if i.RelationshipType == "HAS OBS CONTEXT"]
    (offset,) = [i for i in offsets if i.ValueType == "NUM"]
    assert offset.ConceptNameCodeSequence[0].CodeValue == "128740"
    assert float(offset.MeasuredValueSequence[0].NumericValue) == 90
    assert coded(first)["HO-MATURITY"] == "HO-IMMATURE"
    assert coded(first)["HO-CHANGE"] == "263768009"
    assert coded(first)["HO-STATUS"] == "HO-MEASURED"
    assert "HO-CHANGE" not in coded(second)
    assert any("r2_no_rim" in text for text in texts_of(first))
    assert any("no_calibration" in text for text in texts_of(first))
    assert STATEMENT in texts_of(sr)


def test_sr_words_of_change_are_those_of_the_page(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    base = default_lesions()[0].changes[0].model_copy(update={"category": "no_detectable_change"})
    within = base.model_copy(update={"volume_change_pct": 2.0, "rim_change": 0.25, "rim_rc": 0.2})
    apart = base.model_copy(update={"comparable": False, "flags": ["kvp_differs"]})
    lesions = [
        lesion("L1", observation(4), changes=[within]),
        lesion("L2", observation(2), changes=[apart]),
    ]
    result = make_result(series, planted_labels(series.grid.size_zyx), lesions)
    first, second = groups_of(by_name(write_dicom_objects(result, tmp_path / "out"))[SR_NAME])
    assert any("no detectable change (RC 12 %)" in text for text in texts_of(first))
    assert coded(first)["HO-CHANGE"] == "HO-C-NONE"
    assert measured(first)[("HO-C-RIM", None)] == (0.25, "1")
    assert measured(first)[("HO-RC-RIM", None)] == (0.2, "1")
    # What may not be compared is neither changed nor unchanged.
    assert any("not compared: tube voltage differs" in text for text in texts_of(second))
    assert not any("no detectable change" in text for text in texts_of(second))
    assert "HO-CHANGE" not in coded(second)


def test_sr_tracks_lesions_and_points_at_their_segments(
    planted: PatientResult, tmp_path: Path
) -> None:
    paths = write_dicom_objects(planted, tmp_path / "out")
    seg = pydicom.dcmread(paths[0])
    report = hd.sr.srread(paths[1])
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 2
    for number, (group, said) in enumerate(zip(groups, planted.report.lesions, strict=True), 1):
        assert group.tracking_uid == said.tracking_uid
        assert group.tracking_identifier == said.lesion_id
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert list(np.atleast_1d(reference[0].referenced_segment_numbers)) == [number]
        cited = {i.referenced_sop_instance_uid for i in reference.source_images_for_segmentation}
        label = {1: 4, 2: 2}[number]
        planes = np.flatnonzero((planted_labels((7, 11, 13)) == label).any(axis=(1, 2)))
        assert cited == {f"{SERIES_UID}.{k + 1}" for k in planes}
        assert group.finding_type.value == "18115005"
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == STUDY_UID
    assert {s.SeriesInstanceUID for s in evidence.ReferencedSeriesSequence} == {
        SERIES_UID,
        seg.SeriesInstanceUID,
    }


def test_lesion_absent_or_labelled_elsewhere_is_said_without_numbers(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    labels = planted_labels(series.grid.size_zyx)
    labels[labels == 2] = 0
    missing = observation(None, status="absent", flags=["not_yet_present"])
    bare = missing.model_copy(
        update={name: None for name in type(missing).model_fields if name.endswith(("_mm3", "_hu"))}
        | dict.fromkeys(("max_diameter_mm", "surface_area_mm2", "sphericity", "rim_fraction"))
        | dict.fromkeys(("edge_ratio", "distance_to_bone_mm", "mineral_mass_hu_mm3"))
    )
    later = Maturity(label="mature", exam_id="day0400_ct_ffffff", reasons=[], criteria=[])
    lesions = [default_lesions()[0], lesion("L2", bare, maturity=later)]
    objects = by_name(write_dicom_objects(make_result(series, labels, lesions), tmp_path / "out"))
    assert [s.TrackingID for s in objects[SEG_NAME].SegmentSequence] == ["L1"]
    absent = groups_of(objects[SR_NAME])[1]
    assert measured(absent) == {}
    assert coded(absent)["HO-STATUS"] == "HO-ABSENT"
    assert "HO-MATURITY" not in coded(absent), "the label speaks of a later exam"
    assert absent.ContentTemplateSequence[0].TemplateIdentifier == "1501"


def test_exam_without_lesions_has_no_segmentation_and_says_so(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    result = make_result(series, np.zeros(series.grid.size_zyx, np.uint16), [])
    paths = write_dicom_objects(result, tmp_path / "out")
    assert [p.name for p in paths] == [SR_NAME, SC_NAME]
    assert sorted(p.name for p in paths[0].parent.iterdir()) == [SR_NAME, SC_NAME]
    (group,) = groups_of(pydicom.dcmread(paths[0]))
    assert coded(group)["HO-STATUS"] == "HO-NONE-FOUND"


def test_maturity_without_an_exam_goes_to_the_last_one(planted: PatientResult) -> None:
    nowhere = planted.report.lesions[0].maturity.model_copy(update={"exam_id": None})
    said = planted.report.lesions[0].model_copy(update={"maturity": nowhere})
    images = planted.images[EXAM_ID]
    source = read_source(images.source_files, images.lesions.grid)
    exam = planted.report.exams[0]
    context = dicom_objects.ObjectContext(planted.report, exam, source, (), (), "0")
    assert context.maturity_here(said)
    last = exam.model_copy(update={"exam_id": "day0400_ct_ffffff"})
    longer = planted.report.model_copy(update={"exams": [exam, last]})
    assert not replace(context, report=longer).maturity_here(said)


def test_exams_without_source_files_are_passed_over(planted: PatientResult, tmp_path: Path) -> None:
    bare = replace(planted.images[EXAM_ID], source_files=())
    assert write_dicom_objects(replace(planted, images={EXAM_ID: bare}), tmp_path / "out") == []
    assert write_dicom_objects(replace(planted, images={}), tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_same_result_same_bytes(planted: PatientResult, tmp_path: Path) -> None:
    first = write_dicom_objects(planted, tmp_path / "a")
    second = write_dicom_objects(planted, tmp_path / "b")
    assert len(first) == 3
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.read_bytes()[:132] == b"\0" * 128 + b"DICM"
    assert {p.name for p in first[0].parent.iterdir()} == {SEG_NAME, SR_NAME, SC_NAME}


def test_uids_follow_series_settings_and_content(planted: PatientResult, tmp_path: Path) -> None:
    base = by_name(write_dicom_objects(planted, tmp_path / "a"))
    other = hashlib.sha256(b"other settings").hexdigest()
    report = planted.report.model_copy(update={"config_sha256": other})
    settings = by_name(write_dicom_objects(replace(planted, report=report), tmp_path / "b"))
    lesions = default_lesions()
    lesions[1].observations[0].volume_mm3 = 77.5
    report = planted.report.model_copy(update={"lesions": lesions})
    content = by_name(write_dicom_objects(replace(planted, report=report), tmp_path / "c"))
    seen: list[str] = []
    for name in (SEG_NAME, SR_NAME, SC_NAME):
        assert base[name].SeriesInstanceUID != settings[name].SeriesInstanceUID
        assert base[name].SeriesInstanceUID == content[name].SeriesInstanceUID
        # the same UID must never name two different contents
        assert base[name].SOPInstanceUID != content[name].SOPInstanceUID
        seen += [base[name].SeriesInstanceUID, base[name].SOPInstanceUID]
        assert base[name].SoftwareVersions == "hoimg 0.0.test"
    assert len(set(seen)) == 6
    assert all(UID(uid).is_valid for uid in seen)


def test_what_a_reader_says_makes_another_object(planted: PatientResult, tmp_path: Path) -> None:
    base = by_name(write_dicom_objects(planted, tmp_path / "a"))[SR_NAME]
    exam, lesion = planted.report.exams[-1], planted.report.lesions[0]
    said = ReaderEdit(
        action="note", exam_id=exam.exam_id, lesion_id=lesion.lesion_id, note="looked at"
    )
    report = planted.report.model_copy(update={"reader": [said]})
    noted = by_name(write_dicom_objects(replace(planted, report=report), tmp_path / "b"))[SR_NAME]
    assert "looked at" in noted.to_json()
    assert noted.SOPInstanceUID != base.SOPInstanceUID


def test_derived_uid_is_stable_and_separates_its_parts() -> None:
    # a change here would give objects that are archived already a second UID
    name = b"hoimg\x1fa\x1fb"
    hashed = bytearray(hashlib.sha1(uuid.NAMESPACE_OID.bytes + name).digest()[:16])
    hashed[6] = hashed[6] & 0x0F | 0x50  # RFC 9562: version 5
    hashed[8] = hashed[8] & 0x3F | 0x80  # and variant
    assert derive_uid("a", "b") == f"2.25.{int.from_bytes(hashed, 'big')}"
    assert derive_uid("a", "b") != derive_uid("ab")
    assert derive_uid("a", "b") != derive_uid("b", "a")
    assert derive_uid("series").startswith("2.25.")
    assert len(derive_uid("x" * 1000)) <= 64


def test_dates_are_the_studys_not_todays(planted: PatientResult, tmp_path: Path) -> None:
    for data in by_name(write_dicom_objects(planted, tmp_path / "out")).values():
        assert (data.ContentDate, data.ContentTime) == ("20210304", "101112")
        assert (data.SeriesDate, data.StudyDate) == ("20210304", "20210304")
        assert "InstanceCreationDate" not in data
        assert "DateOfSecondaryCapture" not in data


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"StudyDate": "20211301", "SeriesDate": "20210506"}, ("20210506", "101112")),
        ({"StudyDate": "", "StudyTime": "256199"}, (UNKNOWN_DATE, "000000")),
        ({"StudyDate": "2021.03.04", "AcquisitionDate": "20210102"}, ("20210102", "101112")),
        ({"StudyTime": "235959.999999"}, ("20210304", "235959")),
    ],
)
def test_broken_dates_fall_back(
    tmp_path: Path, tags: dict[str, str], expected: tuple[str, str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = write_series(tmp_path / "in", Look(tags=tags))
    source = read_source(series.files, series.grid)
    assert (source.date, source.time) == expected


HOSTILE = {
    "PatientName": "<script>alert(1)</script>=cmd|' /C calc'!A0",
    "PatientID": "../../etc/passwd; DROP TABLE x",
    "StudyDescription": "Żółw 骨 <b>&amp;</b> ${jndi:x}",
    "AccessionNumber": "=1+1",
    "PatientSex": "<i>",
    "PatientBirthDate": "not a date",
}


def test_hostile_text_survives_as_text_and_is_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = write_series(tmp_path / "in", Look(tags=HOSTILE))
    result = make_result(series, planted_labels(series.grid.size_zyx))
    recwarn.clear()
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        paths = write_dicom_objects(result, tmp_path / "out")
    said = caplog.text + "".join(str(w.message) for w in recwarn)
    for value in HOSTILE.values():
        assert value not in said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in by_name(paths).values():
            for keyword, value in HOSTILE.items():
                assert str(data.get(keyword)) == value
            assert data.SpecificCharacterSet == "ISO_IR 192"
    assert all(tmp_path / "out" in path.parents for path in paths)


def test_quiet_pydicom_keeps_values_out_of_messages_and_then_lets_go(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    def odd() -> pydicom.Dataset:
        data = pydicom.Dataset()
        data.PatientBirthDate = "born in May"
        logging.getLogger("pydicom").warning("Invalid value: born in May")
        warnings.warn("Invalid value: born in May", stacklevel=1)
        return data

    with quiet_pydicom():
        assert odd().PatientBirthDate == "born in May"
    assert caplog.text == ""
    assert list(recwarn) == []
    odd()
    assert "born in May" in caplog.text
    assert any("born in May" in str(w.message) for w in recwarn)


def test_other_character_sets_are_carried_over(tmp_path: Path) -> None:
    tags = {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎",
        "StudyDescription": "骨",
    }
    series = write_series(tmp_path / "in", Look(tags=tags))
    result = make_result(series, planted_labels(series.grid.size_zyx))
    for data in by_name(write_dicom_objects(result, tmp_path / "out")).values():
        assert str(data.PatientName) == "Yamada^Tarou=山田^太郎"
        assert data.StudyDescription == "骨"


def test_no_identity_beyond_the_source_headers(tmp_path: Path) -> None:
    look = Look(
        tags={
            "InstitutionName": "Secret Hospital",
            "OperatorsName": "Operator^Olga",
            "PatientAddress": "1 Hidden Street",
            "PatientName": "",
            "PatientID": "",
            "PatientIdentityRemoved": "YES",
            "DeidentificationMethod": "by hand",
        }
    )
    series = write_series(tmp_path / "in", look)
    result = make_result(series, planted_labels(series.grid.size_zyx))
    for path in write_dicom_objects(result, tmp_path / "out"):
        raw = path.read_bytes()
        for text in (b"Secret", b"Olga", b"Hidden"):
            assert text not in raw
        data = pydicom.dcmread(path)
        assert str(data.PatientName) == ""
        assert data.PatientIdentityRemoved == "YES"


def test_summary_picture_holds_the_table_and_no_identity(
    planted: PatientResult, tmp_path: Path
) -> None:
    data = by_name(write_dicom_objects(planted, tmp_path / "out"))[SC_NAME]
    pixels = data.pixel_array
    assert data.PhotometricInterpretation == "MONOCHROME2"
    assert pixels.shape == (data.Rows, data.Columns)
    assert pixels.shape[1] == dicom_sc.WIDTH_PX
    assert (pixels == 255).mean() > 0.8
    assert pixels.min() == 0
    assert not pixels[:10].min() < 255, "nothing is cut off at the edge"
    assert not pixels[:, -10:].min() < 255
    assert data.BurnedInAnnotation == "NO"
    assert "research use only" in data.SeriesDescription
    cited = {i.ReferencedSOPInstanceUID for i in data.SourceImageSequence}
    assert cited == {f"{SERIES_UID}.{k}" for k in (2, 3, 4, 5)}


def context_of(result: PatientResult) -> dicom_objects.ObjectContext:
    images = result.images[EXAM_ID]
    source = read_source(images.source_files, images.lesions.grid)
    return dicom_objects.ObjectContext(result.report, result.report.exams[0], source, (), (), "0")


def test_summary_rows_are_the_reports_numbers(planted: PatientResult) -> None:
    (cells, note), (other, _) = dicom_sc.table_rows(context_of(planted))
    assert cells == [
        "L1",
        "measured",
        "1235 (1100 to 1400)",
        "345679",
        "312",
        "88",
        "0",
        "41.2",
        "0.20",
        "immature",
    ]
    assert note == "reasons: r2_no_rim; flags: no_calibration"
    assert other[2].startswith("77 ")


def test_summary_shows_missing_values_as_missing_and_fits_long_text(
    planted: PatientResult,
) -> None:
    seen = observation(4, volume_mm3=None, volume_ci95_mm3=None, rim_fraction=None)
    seen.flags = [f"flag_number_{i}_with_a_long_name" for i in range(40)]
    later = Maturity(label="mature", exam_id="another", reasons=[], criteria=[])
    long = lesion("L" * 60, seen, maturity=later)
    report = planted.report.model_copy(update={"lesions": [long]})
    context = context_of(replace(planted, report=report))
    ((cells, _),) = dicom_sc.table_rows(context)
    assert cells[2] == "-"
    assert cells[8] == "-"
    assert cells[9] == "see latest exam"
    picture = dicom_sc.render_table(context)
    assert picture[:, -20:].min() == 255
    assert picture.shape[0] > dicom_sc.render_table(context_of(planted)).shape[0]


def test_files_that_went_away_are_refused_by_name(planted: PatientResult, tmp_path: Path) -> None:
    gone = planted.images[EXAM_ID].source_files[3]
    gone.unlink()
    with pytest.raises(InputRefused, match=gone.name) as refused:
        write_dicom_objects(planted, tmp_path / "out")
    assert refused.value.code == "dicom_source_unreadable"
    gone.write_text("not DICOM at all")
    with pytest.raises(InputRefused, match=gone.name):
        write_dicom_objects(planted, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tags", "drop", "message"),
    [
        ({"SeriesInstanceUID": "1.2.3"}, (), "another series"),
        ({"Rows": 12}, (), "another series"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, (), "different orientations"),
        ({}, ("ImagePositionPatient",), "missing from its header"),
        ({}, ("Columns",), "no DICOM image"),
    ],
)
def test_one_odd_file_is_refused(
    planted: PatientResult, tags: dict[str, Any], drop: tuple[str, ...], message: str
) -> None:
    images = planted.images[EXAM_ID]
    data = pydicom.dcmread(images.source_files[2])
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    for keyword in drop:
        delattr(data, keyword)
    data.save_as(images.source_files[2], enforce_file_format=False)
    with pytest.raises(InputRefused, match=message):
        read_source(images.source_files, images.lesions.grid)


@pytest.mark.parametrize("exam_id", ["", ".", "..", "../up", "a/b", "a\\b", "C:x"])
def test_exam_id_that_is_no_folder_name_is_an_error(
    planted: PatientResult, tmp_path: Path, exam_id: str
) -> None:
    exam = Exam(
        exam_id=exam_id,
        modality="CT",
        study_instance_uid=STUDY_UID,
        series_instance_uid=SERIES_UID,
        days_from_baseline=0,
    )
    report = planted.report.model_copy(update={"exams": [exam]})
    bad = replace(planted, report=report, images={exam_id: planted.images[EXAM_ID]})
    with pytest.raises(ValueError, match="no plain folder name"):
        write_dicom_objects(bad, tmp_path / "out")


def test_failed_write_leaves_nothing(
    planted: PatientResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stream: Any, *_: Any, **__: Any) -> None:
        stream.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pydicom, "dcmwrite", full)
    with pytest.raises(OSError, match="no space left"):
        write_dicom_objects(planted, tmp_path / "out")
    assert list((tmp_path / "out" / "exams" / EXAM_ID).iterdir()) == []


def test_codes_fit_their_fields_and_are_used_once() -> None:
    tables = (*dicom_codes.OBSERVATION_MEASURES, *dicom_codes.CHANGE_MEASURES)
    values = [
        *(code.name for code in tables),
        *(code.unit for code in tables),
        *dicom_codes.MATURITY_LABELS.values(),
        *dicom_codes.STATUS_VALUES.values(),
        *dicom_codes.CHANGE_VALUES.values(),
    ]
    for value in values:
        assert 0 < len(value.value) <= 16, "Code Value is a short string"
        assert 0 < len(value.meaning) <= 64, "Code Meaning is a long string"
    pairs = [(code.name, code.derivation) for code in tables]
    assert len(pairs) == len(set(pairs))
