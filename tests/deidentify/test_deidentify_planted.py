"""Planted names, numbers, dates and texts: none survives; references and intervals do."""

from __future__ import annotations

from pathlib import Path

import planted_phi as planted
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from hoimg.deidentify import Outcome, Pseudonyms, deidentify_files
from hoimg.dicom.files import list_files

KEY = b"a key for the tests, long enough"


def run(source: Path, output: Path, key: bytes = KEY) -> Outcome:
    return deidentify_files(list_files([source]).files, output, Pseudonyms(key))


def objects(folder: Path) -> dict[str, object]:
    found = [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
    return {f"{ds.Modality}{ds.get('InstanceNumber', '')}": ds for ds in found}


@pytest.fixture
def pair(tmp_path):
    planted.write(planted.ct(), tmp_path / "Zoltanfy" / "20240315")
    later = planted.ct(2, uid=planted.IMAGE + ".2", date="20240614")
    planted.write(later, tmp_path / "Zoltanfy" / "later")
    planted.write(planted.report(), tmp_path / "Zoltanfy" / "report")
    outcome = run(tmp_path / "Zoltanfy", tmp_path / "out")
    assert (outcome.written, outcome.patients, outcome.refused) == (3, 1, ())
    return tmp_path / "out"


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=["explicit", "implicit", "big endian"],
)
@pytest.mark.parametrize("make", [planted.ct, planted.report], ids=["CT", "SR"])
def test_no_planted_text_is_in_the_bytes_or_the_names(tmp_path, make, syntax):
    path = planted.write(make(), tmp_path / "in" / "file", syntax)
    before = path.read_bytes()
    assert run(tmp_path / "in", tmp_path / "out").written == 1
    (written,) = (tmp_path / "out").rglob("*.dcm")
    after = written.read_bytes()
    present = 0
    for text in planted.PLANTED:
        present += text.encode() in before
        for form in (text.encode(), text.encode("utf-16-le"), text.lower().encode()):
            assert form not in after, text
        assert text not in str(written.relative_to(tmp_path))
    assert present >= len(planted.PLANTED) - 2  # else this test looks for nothing
    assert dcmread(written).file_meta.TransferSyntaxUID == syntax


def test_deflated_files_are_inflated_cleaned_and_deflated(tmp_path):
    planted.write(planted.ct(), tmp_path / "in" / "file", DeflatedExplicitVRLittleEndian)
    assert run(tmp_path / "in", tmp_path / "out").written == 1
    new = dcmread(next((tmp_path / "out").rglob("*.dcm")))
    said = str(new)
    assert f"{new.PatientName}" in said
    assert new.PixelData == planted.ct().PixelData
    for text in planted.PLANTED:
        assert text not in said


def test_references_and_intervals_stay(pair):
    ct1, ct2, sr = (objects(pair)[name] for name in ("CT1", "CT2", "SR1"))
    (inner,) = sr.ContentSequence
    number, comment, label, person, day, clock, both, uid, image = inner.ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == ct1.SOPInstanceUID
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == planted.CT
    assert ct1.SourceImageSequence[0].ReferencedSOPInstanceUID == ct1.SOPInstanceUID
    assert uid.UID == ct1.FrameOfReferenceUID == sr.FrameOfReferenceUID
    assert ct1.StudyInstanceUID == sr.StudyInstanceUID
    assert ct1.SeriesInstanceUID == ct2.SeriesInstanceUID != sr.SeriesInstanceUID
    assert ct1.SOPInstanceUID != ct2.SOPInstanceUID
    assert ct1.PatientID == ct2.PatientID == sr.PatientID == str(sr.PatientName)
    assert days(ct2.StudyDate) - days(ct1.StudyDate) == 91  # 15 March to 14 June
    assert days(day.Date) - days(ct1.StudyDate) == 2
    assert both.DateTime.startswith(day.Date)
    assert clock.Time == ct1.StudyTime != "101533"
    assert ct1.AcquisitionDateTime[:8] == ct1.AcquisitionDate
    assert number.MeasuredValueSequence[0].NumericValue == 1234.5
    assert number.ConceptNameCodeSequence[0].CodeMeaning == "Volume"
    assert (comment.TextValue, label.TextValue) == ("REMOVED", "L1")
    assert person.PersonName == "REMOVED"


def days(text: str) -> int:
    import datetime as dt

    return dt.datetime.strptime(text, "%Y%m%d").toordinal()


def test_what_images_are_read_by_stays(pair):
    new, old = objects(pair)["CT1"], planted.ct()
    for keyword in (
        *("PixelData", "Rows", "PixelSpacing", "ImagePositionPatient", "RescaleIntercept"),
        *("ImageType", "KVP", "ConvolutionKernel", "Manufacturer", "SmallestImagePixelValue"),
        *("BodyPartExamined", "RescaleType", "ManufacturerModelName", "InstanceNumber"),
    ):
        assert new[keyword].value == old[keyword].value, keyword
    assert new.SeriesDescription == "Thin BONE 1.25 mm"
    assert new.ContrastBolusAgent == "REMOVED"  # that there was one is a fact of the image
    assert "DateOfLastCalibration" not in new  # the same day under two shifts would tell them
    assert not any(element.tag.is_private for element in new)


def test_the_marks_say_what_was_done(pair):
    found = objects(pair)
    for name, codes in (
        ("CT1", ["113100", "113105", "113107"]),
        ("SR1", ["113100", "113104", "113105", "113107"]),
    ):
        ds = found[name]
        assert ds.PatientIdentityRemoved == "YES"
        assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
        assert [c.CodeValue for c in ds.DeidentificationMethodCodeSequence] == codes
        assert "PS3.15" in ds.DeidentificationMethod[0]
        assert max(map(len, ds.DeidentificationMethod)) <= 64
        assert "BurnedInAnnotation" not in ds  # the source states nothing


def test_the_same_key_gives_the_same_bytes_and_another_key_other_uids(pair, tmp_path):
    run(tmp_path / "Zoltanfy", tmp_path / "again")
    run(tmp_path / "Zoltanfy", tmp_path / "other", b"quite another key of some length")

    def bytes_of(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.dcm")}

    assert bytes_of(pair) == bytes_of(tmp_path / "again")
    assert not set(bytes_of(pair)) & set(bytes_of(tmp_path / "other"))
    one, other = objects(pair)["CT1"], objects(tmp_path / "other")["CT1"]
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert one[keyword].value != other[keyword].value
    assert one.StudyDate != other.StudyDate


def test_two_patients_get_two_shifts_and_the_issuer_counts(tmp_path):
    for number, (who, issuer) in enumerate([("A1234", ""), ("B1234", ""), ("A1234", "North")]):
        ds = planted.ct(uid=f"{planted.IMAGE}.{number}")
        ds.PatientID, ds.IssuerOfPatientID = who, issuer
        planted.write(ds, tmp_path / "in" / str(number))
    assert run(tmp_path / "in", tmp_path / "out").patients == 3
    found = [dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len({ds.PatientID for ds in found}) == len({ds.StudyDate for ds in found}) == 3


def test_a_name_that_the_file_states_is_cut_from_kept_texts(tmp_path):
    ds = planted.ct()
    ds.ManufacturerModelName, ds.SoftwareVersions = "Flash of Zoltanfy", "built 15.03.2024"
    ds.ConvolutionKernel = "Drwernerkern"
    ds.NameOfPhysiciansReadingStudy = "Drwerner"
    ds.BodyPartExamined = "MRN88211"
    ds.AcquisitionNumber = None
    ds.add_new(0x00181401, "LO", "Bone")  # AcquisitionDeviceProcessingCode, harmless
    planted.write(ds, tmp_path / "in" / "file")
    run(tmp_path / "in", tmp_path / "out")
    new = objects(tmp_path / "out")["CT1"]
    for keyword in ("ManufacturerModelName", "ConvolutionKernel"):
        assert keyword not in new
    assert new.SoftwareVersions == "REMOVED"  # a segmentation may not lack it
    assert not new.BodyPartExamined
    assert new.AcquisitionDeviceProcessingCode == "Bone"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Müller^Jörg", ["Muller", "MUELLER", "Jorg"]),
        ("Yamada^Taro=山田^太郎=やまだ^たろう", ["Yamada", "TARO", "yamada taro"]),
        ("O'Hara-Løken^Zoë^van der", ["OHara", "HARA", "Loken", "Loeken", "zoe", "Vander"]),
        ("Li^Wu", ["Li", "wu"]),
        ("=王^小東=", ["王小東"]),
    ],
)
def test_a_surname_alone_is_cut_in_every_spelling(tmp_path, name, written):
    """In texts that otherwise stay as they are, beside a text that does."""
    for number, text in enumerate(written):
        ds = planted.ct(uid=f"{planted.IMAGE}.{number}")
        ds.PatientName = name
        ds.ManufacturerModelName = f"Flash {text}"
        ds.ConvolutionKernel = [f"Br5-{text}2", "Standard"]
        ds.SeriesDescription = f"Hip {text} bone"
        planted.write(ds, tmp_path / "in" / str(number))
    assert run(tmp_path / "in", tmp_path / "out").written == len(written)
    for path in (tmp_path / "out").rglob("*.dcm"):
        new = dcmread(path)
        assert "ManufacturerModelName" not in new
        assert list(new.ConvolutionKernel) == ["", "Standard"]
        assert new.SeriesDescription == "Hip bone"


def test_a_coded_string_that_is_a_surname_is_emptied_and_a_word_of_radiology_stays(tmp_path):
    for number, (name, part) in enumerate(
        [("Zoltanfy^H", "ZOLTANFY"), ("Hip^Anna", "HIP"), ("No^Pelvis", "PELVIS")]
    ):
        ds = planted.ct(uid=f"{planted.IMAGE}.{number}")
        ds.PatientName, ds.BodyPartExamined, ds.BurnedInAnnotation = name, part, "NO"
        ds.InstanceNumber = number
        planted.write(ds, tmp_path / "in" / str(number))
    run(tmp_path / "in", tmp_path / "out")
    found = objects(tmp_path / "out")
    assert [found[f"CT{n}"].BodyPartExamined for n in range(3)] == ["", "HIP", "PELVIS"]
    assert {(ds.Modality, ds.BurnedInAnnotation) for ds in found.values()} == {("CT", "NO")}


def test_text_behind_a_number_or_in_an_unknown_element_is_not_copied(tmp_path):
    ds = planted.ct()
    ds.add_new(0x0018FFF0, "LO", "Aunt Trudel")  # no such element
    ds.add_new(0x00280A06, "UN", b"Aunt Trudel ")
    path = planted.write(ds, tmp_path / "in" / "file")
    # A number that is none: written as bytes, since no writer lets it pass.
    whole = path.read_bytes()
    raw = whole.replace(b"DS\x06\x00-1024 ", b"DS\x06\x00Trudel")
    assert raw != whole
    path.write_bytes(raw)
    run(tmp_path / "in", tmp_path / "out")
    (written,) = (tmp_path / "out").rglob("*.dcm")
    assert b"Trudel" not in written.read_bytes()


@pytest.mark.parametrize(
    ("maker", "kept"), [("hoimg", {"HO_OUTLINES": ["L1"], "HO_HIPS": []}), ("SIEMENS", {})]
)
def test_of_drawings_only_hoimgs_own_layers_and_labels_stay(tmp_path, maker, kept):
    """Both are asked: another's object may have a layer of that name, ours one of another's."""
    ds = planted.ct()
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.11.1", "PR"
    ds.Manufacturer = maker
    ds.GraphicAnnotationSequence = [
        drawn("HO_OUTLINES", "L1", "Aunt Trudel"), drawn("HO_HIPS", "seen by Refphys"),
        drawn("NOTES", "L2"),
    ]  # fmt: skip
    planted.write(ds, tmp_path / "in" / "state")
    assert run(tmp_path / "in", tmp_path / "out").written == 1
    (path,) = (tmp_path / "out").rglob("*.dcm")
    found = dcmread(path)
    assert {
        item.GraphicLayer: [t.UnformattedTextValue for t in item.get("TextObjectSequence", [])]
        for item in found.get("GraphicAnnotationSequence", [])
    } == kept
    for item in found.get("GraphicAnnotationSequence", []):
        assert item.GraphicObjectSequence[0].GraphicData == [1, 2, 3, 4]


def drawn(layer: str, *texts: str) -> Dataset:
    line, item = Dataset(), Dataset()
    line.GraphicType, line.GraphicData = "POLYLINE", [1, 2, 3, 4]
    item.GraphicLayer, item.GraphicObjectSequence = layer, [line]
    item.TextObjectSequence = [Dataset() for _ in texts]
    for held, text in zip(item.TextObjectSequence, texts, strict=True):
        held.UnformattedTextValue = text
    return item
