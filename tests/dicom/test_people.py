"""Never join two people in silence; never part one without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_ct import write_ct

from hoimg.dicom import read_patient, scan
from hoimg.dicom.clean import person_key
from hoimg.errors import UsageError


def pair(folder: Path, one: dict[str, object], two: dict[str, object]) -> None:
    for number, tags in enumerate((one, two)):
        tags = {"study": f"1.2.{number}", "PatientName": f"N{number}^X"} | tags
        write_ct(folder / f"{number}", series=f"1.3.{number}", **tags)


def doubts(folder: Path) -> list[list[str]]:
    inventory = scan(folder)
    return [
        sorted(f.code for f in inventory.patient_findings.get(key, ()))
        for key in inventory.patient_keys
    ]


BORN = {"PatientName": "Doe^Jane", "PatientBirthDate": "19700101", "PatientSex": "F"}


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        (BORN, BORN | {"PatientName": "DOE^ Jane^^"}, "same name, birth date and sex"),
        ({"study": "1.2.7"}, {"study": "1.2.7"}, "images of the same study"),
        ({"FrameOfReferenceUID": "1.9"}, {"FrameOfReferenceUID": "1.9"}, "frame of reference"),
        ({"PatientID": "ab 12"}, {"PatientID": "AB12"}, "differs only in case"),
        ({"PatientID": "0012"}, {"PatientID": "12"}, "leading zeros"),
    ],
)
def test_one_person_under_two_ids_is_told_on_both(
    tmp_path: Path, one: dict[str, object], two: dict[str, object], words: str
) -> None:
    pair(tmp_path, {"PatientID": "A1"} | one, {"PatientID": "B2"} | two)
    inventory = scan(tmp_path)
    first, second = inventory.patient_keys
    for key, other in ((first, second), (second, first)):
        (note,) = inventory.patient_findings[key]
        assert note.code == "same_person_two_ids"
        assert words in note.message
        assert other in note.message
        for secret in ("Doe", "Jane", "1970", "A1", "B2", "AB12"):
            assert secret not in note.message
        assert note in read_patient(tmp_path, patient=key).findings
    with pytest.raises(UsageError, match="2 patients"):
        read_patient(tmp_path)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {}),
        (BORN, BORN | {"PatientSex": "M"}),
        (BORN, BORN | {"PatientBirthDate": "19700102"}),
        (BORN, BORN | {"PatientName": "Doe^John"}),
        ({"PatientName": "Doe^Jane"}, {"PatientName": "Doe^Jane"}),  # no birth date
        (BORN | {"PatientName": "ANONYMOUS"}, BORN | {"PatientName": "ANONYMOUS"}),
        (BORN | {"PatientName": ""}, BORN | {"PatientName": "^^"}),
    ],
)
def test_two_people_raise_no_doubt(
    tmp_path: Path, one: dict[str, object], two: dict[str, object]
) -> None:
    pair(tmp_path, {"PatientID": "A1"} | one, {"PatientID": "B2"} | two)
    assert doubts(tmp_path) == [[], []]


@pytest.mark.parametrize("other", ["St Elsewhere", ""])
def test_one_id_of_two_issuers_is_two_patients(tmp_path: Path, other: str) -> None:
    pair(tmp_path, {"IssuerOfPatientID": "General"}, {"IssuerOfPatientID": other})
    assert doubts(tmp_path) == [["one_id_two_issuers"]] * 2
    inventory = scan(tmp_path)
    text = repr(inventory.patient_findings)
    assert "General" not in text
    assert "ID-7" not in text
    with pytest.raises(UsageError, match="2 patients of different issuers") as caught:
        read_patient(tmp_path, patient="ID-7")
    key = inventory.patient_keys[1]
    assert key in str(caught.value)
    assert read_patient(tmp_path, patient=key).patient_key == key


def test_one_issuer_is_one_patient_found_by_the_id_alone(tmp_path: Path) -> None:
    pair(tmp_path, {"IssuerOfPatientID": "General"}, {"IssuerOfPatientID": "General"})
    assert doubts(tmp_path) == [[]]
    assert len(read_patient(tmp_path, patient="ID-7").exams) == 2


def test_two_issuers_and_the_same_study(tmp_path: Path) -> None:
    pair(
        tmp_path,
        {"IssuerOfPatientID": "General", "study": "1.2.7"},
        {"IssuerOfPatientID": "Other", "study": "1.2.7"},
    )
    assert doubts(tmp_path) == [["one_id_two_issuers", "same_person_two_ids"]] * 2


def test_many_alike_name_a_few(tmp_path: Path) -> None:
    for number in range(30):
        write_ct(
            tmp_path / f"{number}", series=f"1.3.{number}", study=f"1.2.{number}",
            PatientID=f"P{number}", FrameOfReferenceUID="1.9",
        )  # fmt: skip
    inventory = scan(tmp_path)
    assert len(inventory.patient_findings) == 30
    for notes in inventory.patient_findings.values():
        assert len(notes[0].message) < 200


def test_the_person_s_key_hides_the_person(monkeypatch) -> None:
    key = person_key("Doe^Jane", "19700101", "F")
    assert len(key) == 12
    assert key == person_key(" DOE^jane^^ =ﾄﾞｳ", "19700101", "f ")
    monkeypatch.setenv("HOIMG_PATIENT_KEY", "ward 12")
    assert key != person_key("Doe^Jane", "19700101", "F")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("evil", ["../../../x", "a\0b", "x" * 10_000, "/etc/passwd"])
def test_hostile_issuers_and_frames_stay_text(tmp_path: Path, evil: str) -> None:
    write_ct(tmp_path, IssuerOfPatientID=evil, FrameOfReferenceUID=evil[:64].strip("\0"))
    inventory = scan(tmp_path)
    assert inventory.series[0].usable
    assert evil not in repr(inventory)
