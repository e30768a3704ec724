"""From folders to exams: clutter, groups, choice of series, dates, patients, hostile files."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)
from synthetic_ct import STUDY, noise, stack, write_ct, write_slice

from hoimg.dicom import FINDINGS, Patient, load_volume, read_patient, scan
from hoimg.dicom.choose import kernel_class
from hoimg.dicom.header import clean_uid, parse_date, patient_key
from hoimg.dicom.read import exam_ids
from hoimg.errors import InputRefused, UsageError
from hoimg.results import Finding


def codes(findings: tuple[Finding, ...]) -> list[str]:
    return [f.code for f in findings]


def refused(path: Path) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        read_patient(path)
    assert "\n" not in str(caught.value)
    return caught.value


# ---------------------------------------------------------------- what is under a path


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        read_patient(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no such file"):
        read_patient(Path("a\0b"))
    error = refused(tmp_path)
    assert error.code == "empty_folder"
    assert str(tmp_path) in str(error)
    assert "give a folder with a CT series" in str(error)


def test_a_text_file_is_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "notes.dcm"
    text.write_text("not DICOM")
    error = refused(text)
    assert (error.code, error.exit_code) == ("no_dicom", 3)
    assert "notes.dcm" in str(error)


def test_clutter_is_counted_and_folders_are_searched(tmp_path: Path) -> None:
    files = write_ct(tmp_path / "a" / "b c" / "ü")
    (tmp_path / "Thumbs.db").write_bytes(bytes(500))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "a" / "report.pdf").write_bytes(b"%PDF-1.4" + bytes(300))
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "dangling").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    inventory = scan(tmp_path)
    assert (inventory.files_seen, inventory.files_skipped) == (9, 3)
    assert codes(inventory.findings) == ["skipped_files"]
    patient = read_patient([tmp_path, tmp_path / "a"])  # the same files named twice
    assert patient.exams[0].series.files == tuple(files)
    assert patient.unused == ()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, while the test writes it
def test_a_dicomdir_is_no_image_and_its_references_are_not_followed(tmp_path: Path) -> None:
    write_ct(tmp_path / "scan")
    path = write_slice(tmp_path / "DICOMDIR", noise()[0], None, cosines=None)
    ds = dcmread(path)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.1.3.10"
    ds.ReferencedFileID = ["..", "..", "etc", "passwd"]
    ds.save_as(path)
    inventory = scan(tmp_path)
    assert inventory.files_skipped == 1
    assert len(inventory.series) == 1


# ---------------------------------------------------------------- one series


def test_the_exam_carries_the_acquisition(tmp_path: Path) -> None:
    write_ct(
        tmp_path,
        KVP="100",
        ConvolutionKernel=["Br38f", "3"],
        SliceThickness="1.25",
        ContrastBolusAgent="ISOVUE",
        Manufacturer="SIEMENS\n",
        ManufacturerModelName="Force",
        XRayTubeCurrent="210",
        PatientPosition="HFS",
        BodyPartExamined="PELVIS",
    )
    exam = read_patient(tmp_path).exams[0]
    made = exam.acquisition
    assert (made.kvp, made.kernel, made.slice_thickness_mm) == (100.0, "Br38f/3", 1.25)
    assert made.spacing_zyx_mm == pytest.approx((1.0, 0.7, 0.9))
    assert made.size_zyx == (6, 10, 12)
    assert made.contrast is True
    assert (made.manufacturer, made.model) == ("SIEMENS", "Force")
    assert made.tube_current_ma == 210.0
    assert (made.patient_position, made.body_part) == ("HFS", "PELVIS")
    assert made.series_choice == "the only usable CT series of the study"
    assert exam.date == datetime.date(2024, 1, 10)
    assert re.fullmatch(r"day0000_ct_[0-9a-f]{6}", exam.exam_id)


@pytest.mark.parametrize("agent", ["", "NONE", "No"])
def test_no_contrast_agent_named(tmp_path: Path, agent: str) -> None:
    write_ct(tmp_path, ContrastBolusAgent=agent)
    assert read_patient(tmp_path).exams[0].acquisition.contrast is False


def test_missing_tags_are_none_not_zero(tmp_path: Path) -> None:
    write_ct(tmp_path, drop=("KVP", "ConvolutionKernel", "SliceThickness"))
    made = read_patient(tmp_path).exams[0].acquisition
    assert (made.kvp, made.kernel, made.slice_thickness_mm, made.model) == (None,) * 4


BAD_SERIES = {
    "no_pixel_spacing": {"drop": ("PixelSpacing",)},
    "no_rescale": {"drop": ("RescaleSlope",)},
    "not_hounsfield": {"RescaleType": "MGML"},
    "slice_too_thick": {"SliceThickness": "12"},
    "slice_gaps": {"SliceThickness": "0.5"},
    "bad_image": {"PhotometricInterpretation": "RGB"},
    "localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "derived_image": {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
    "secondary_capture": {"SOPClassUID": SecondaryCaptureImageStorage},
    "multiframe_not_supported": {"SOPClassUID": EnhancedCTImageStorage},
    "modality_not_supported": {"Modality": "MR"},
    "radiograph_not_measured": {"Modality": "XA"},
    "not_an_image": {"Modality": "SEG"},
}


@pytest.mark.parametrize("code", BAD_SERIES)
def test_series_that_cannot_be_measured_are_refused_by_name(tmp_path: Path, code: str) -> None:
    write_ct(tmp_path, **BAD_SERIES[code])
    error = refused(tmp_path)
    assert error.code == code
    assert str(tmp_path) in str(error)
    assert str(error).rstrip().endswith(".")


@pytest.mark.parametrize("code", BAD_SERIES)
def test_one_bad_study_does_not_stop_the_good_one(tmp_path: Path, code: str) -> None:
    write_ct(tmp_path / "bad", study="1.2.3", series="1.2.3.4", **BAD_SERIES[code])
    write_ct(tmp_path / "good")
    patient = read_patient(tmp_path)
    assert [e.study_uid for e in patient.exams] == [STUDY]
    assert [codes(s.findings) for s in patient.unused] == [[code]]
    level = FINDINGS[code][0]
    expected = {"error": ["study_refused", code], "warning": [code], "info": []}[level]
    assert codes(patient.findings) == expected


def test_positions_missing(tmp_path: Path) -> None:
    for k in range(6):
        write_slice(tmp_path / f"{k}", noise()[k], None, cosines=None, number=k + 1)
    assert refused(tmp_path).code == "no_position"
    shutil.rmtree(tmp_path)
    write_slice(tmp_path / "0", noise()[0], None, cosines=None)
    assert "too_few_slices" in str(refused(tmp_path))


def test_one_slice_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path, noise(1))
    assert refused(tmp_path).code == "too_few_slices"


def test_warnings_do_not_refuse(tmp_path: Path) -> None:
    write_ct(tmp_path, RescaleType="US", LossyImageCompression="01", GantryDetectorTilt="12")
    exam = read_patient(tmp_path).exams[0]
    assert sorted(codes(exam.findings)) == [
        "gantry_tilt_tag",
        "lossy_compression",
        "unspecified_units",
    ]


# ---------------------------------------------------------------- copies, phases, odd images


def test_a_file_present_twice_is_used_once(tmp_path: Path) -> None:
    files = write_ct(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    exam = read_patient(tmp_path).exams[0]
    assert exam.series.files == tuple(files)
    assert codes(exam.findings) == ["identical_copies"]
    assert "6 file(s)" in exam.findings[0].message


@pytest.mark.parametrize("same_uid", [True, False])
def test_a_doubled_slice_with_other_pixels_is_refused(tmp_path: Path, same_uid: bool) -> None:
    write_ct(tmp_path)
    number = 3 if same_uid else 99
    write_slice(tmp_path / "other", noise(seed=5)[2], stack(6)[2], number=number)
    assert refused(tmp_path).code == "duplicate_slices"


def test_a_doubled_slice_with_a_uid_of_its_own_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path)
    write_slice(tmp_path / "copy", noise()[2], stack(6)[2], number=99)
    assert refused(tmp_path).code == "duplicate_slices"


@pytest.mark.parametrize("tag", ["AcquisitionNumber", "KVP", "TemporalPositionIdentifier"])
def test_phases_under_one_series_number_are_parted(tmp_path: Path, tag: str) -> None:
    for phase in (1, 2):
        for k, place in enumerate(stack(6)):
            write_slice(
                tmp_path / f"{phase}{k}",
                noise(seed=phase)[k],
                place,
                number=10 * phase + k,
                **{tag: 80 * phase},
            )
    patient = read_patient(tmp_path)
    assert len(patient.exams) == 1
    assert len(patient.unused) == 1
    assert patient.unused[0].usable
    volume = load_volume(patient.exams[0])
    seed = 1 if patient.exams[0].series.files[0].name.startswith("1") else 2
    np.testing.assert_array_equal(volume.hu, noise(seed=seed) - 1024)


def test_a_localizer_inside_the_series_is_set_apart(tmp_path: Path) -> None:
    files = write_ct(tmp_path)
    sagittal = (0, 1, 0, 0, 0, -1)
    write_slice(tmp_path / "scout", noise()[0], (0, 0, 0), cosines=sagittal, number=50)
    write_slice(
        tmp_path / "scout2",
        noise()[0],
        (0, 0, 0),
        cosines=sagittal,
        number=51,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    patient = read_patient(tmp_path)
    assert patient.exams[0].series.files == tuple(files)
    assert sorted(codes(sum((s.findings for s in patient.unused), ()))) == [
        "localizer",
        "too_few_slices",
    ]


def test_two_stacks_of_different_orientation_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "a")
    for k, place in enumerate(stack(6, cosines=(0, 1, 0, 0, 0, -1))):
        write_slice(
            tmp_path / f"s{k}", noise()[k], place, cosines=(0, 1, 0, 0, 0, -1), number=20 + k
        )
    assert refused(tmp_path).code == "mixed_orientation"


def test_two_image_sizes_in_one_series_become_two_groups(tmp_path: Path) -> None:
    files = write_ct(tmp_path / "a", noise(8), stack(8))
    for k, place in enumerate(stack(5)):
        write_slice(tmp_path / f"s{k}", noise(5, 8, 8)[k], place, number=30 + k)
    patient = read_patient(tmp_path)
    assert patient.exams[0].series.files == tuple(files)
    assert patient.unused[0].acquisition.size_zyx == (5, 8, 8)


# ---------------------------------------------------------------- the right series


def test_the_series_a_radiologist_would_take(tmp_path: Path) -> None:
    def series(name: str, n: int, step: float, **tags: object) -> None:
        tags.setdefault("SliceThickness", str(step))
        places = stack(n, step)
        write_ct(tmp_path / name, noise(n), places, series=f"1.2.{len(name)}.{n}", **tags)

    series("soft 1 mm", 20, 1.0, ConvolutionKernel="B30f")
    series("bone 1 mm kernel", 20, 1.0, ConvolutionKernel="B70s")
    series("soft 5 mm", 5, 5.0, ConvolutionKernel="B30f", SliceThickness="5")
    series("thin but short", 8, 0.5, ConvolutionKernel="B30f")
    series("coronal reformat", 60, 0.5, ImageType=["DERIVED", "SECONDARY", "MPR"])
    patient = read_patient(tmp_path)
    assert patient.exams[0].series.files[0].parent.name == "soft 1 mm"
    assert patient.exams[0].acquisition.series_choice == (
        "chosen of 5 usable CT series: original axial images, longest coverage (19 mm), "
        "1 mm slices, soft kernel B30f"
    )
    named = read_patient(tmp_path, series="1.2.16.20").exams[0]
    assert named.acquisition.kernel == "B70s"
    assert named.acquisition.series_choice == "named by the user (--series)"
    with pytest.raises(UsageError, match=r"no series 9\.9"):
        read_patient(tmp_path, series="9.9")


def test_without_contrast_is_preferred(tmp_path: Path) -> None:
    write_ct(tmp_path / "a", series="1.2.3", ContrastBolusAgent="IOMERON")
    write_ct(tmp_path / "b", series="1.2.4")
    exam = read_patient(tmp_path).exams[0]
    assert exam.series.series_uid == "1.2.4"
    assert "without contrast agent" in str(exam.acquisition.series_choice)


def test_a_refused_series_of_the_study_is_mentioned_and_cannot_be_named(tmp_path: Path) -> None:
    write_ct(tmp_path / "good")
    places = stack(12)
    del places[5]
    write_ct(tmp_path / "gap", noise(11), places, series="1.2.99")
    exam = read_patient(tmp_path).exams[0]
    assert codes(exam.findings) == ["series_refused"]
    assert "missing_slices" in exam.findings[0].message
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path, series="1.2.99")
    assert caught.value.code == "missing_slices"


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("Br38f/3", "soft"), ("B30f", "soft"), ("B49s", "soft"), ("B50s", "sharp"),
        ("B70f", "sharp"), ("FC08", "soft"), ("FC12", "soft"), ("FC29", "soft"),
        ("FC30", "sharp"), ("FC52", "sharp"), ("STANDARD", "soft"), ("BONEPLUS", "sharp"),
        ("LUNG", "sharp"), ("UB", "soft"), ("YA", "sharp"), ("B", "soft"),
        ("mystery", "unknown"), (None, "unknown"), ("", "unknown"),
    ],
)  # fmt: skip
def test_kernel_names(kernel: str | None, expected: str) -> None:
    assert kernel_class(kernel) == expected


# ---------------------------------------------------------------- exams over time


def test_exams_are_in_date_order_with_days_from_the_first(tmp_path: Path) -> None:
    for n, day in enumerate(["20240410", "20240110", "20241231"]):
        write_ct(tmp_path / f"x{n}", study=f"1.2.{n}", series=f"1.3.{n}", StudyDate=day)
    patient = read_patient(tmp_path)
    assert [e.days_from_baseline for e in patient.exams] == [0, 91, 356]
    assert patient.baseline_date == datetime.date(2024, 1, 10)
    assert [e.exam_id[:7] for e in patient.exams] == ["day0000", "day0091", "day0356"]


def test_two_studies_of_one_day_are_two_exams_in_order_of_time(tmp_path: Path) -> None:
    write_ct(tmp_path / "a", study="1.2.1", series="1.3.1", StudyTime="150000")
    write_ct(tmp_path / "b", study="1.2.2", series="1.3.2", StudyTime="090000.12")
    exams = read_patient(tmp_path).exams
    assert [e.study_uid for e in exams] == ["1.2.2", "1.2.1"]
    assert len({e.exam_id for e in exams}) == 2


def test_exam_ids_stay_unique_where_short_hashes_collide() -> None:
    # 2500 studies on one day: the birthday paradox makes six hex digits collide
    uids = [f"1.2.{n}" for n in range(9000)]
    names = exam_ids([(0, "CT", uid) for uid in uids])
    assert len(set(names)) == 9000
    with pytest.raises(ValueError, match="same key"):
        exam_ids([(0, "CT", "1.2"), (0, "CT", "1.2")])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, while the test writes it
def test_other_dates_stand_in_and_a_missing_one_is_refused_only_among_several(
    tmp_path: Path,
) -> None:
    gone = ("StudyDate",)
    write_ct(tmp_path / "a", study="1.2.1", series="1.3.1", drop=gone, AcquisitionDate="20240201")
    assert read_patient(tmp_path).baseline_date == datetime.date(2024, 2, 1)
    write_ct(tmp_path / "b", study="1.2.2", series="1.3.2", StudyDate="20241350")
    patient = read_patient(tmp_path)
    assert [e.study_uid for e in patient.exams] == ["1.2.1"]
    assert codes(patient.findings) == ["missing_date"]
    alone = read_patient(tmp_path / "b")
    assert (alone.baseline_date, alone.exams[0].days_from_baseline) == (None, 0)
    write_ct(tmp_path / "c", study="1.2.3", series="1.3.3", drop=gone)
    with pytest.raises(InputRefused) as caught:
        read_patient([tmp_path / "b", tmp_path / "c"])
    assert caught.value.code == "missing_date"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("20240229", datetime.date(2024, 2, 29)), ("2024.02.29", datetime.date(2024, 2, 29)),
        ("20230229", None), ("", None), ("2024-1-1", None), ("20240101x", None), ("²0240101", None),
    ],
)  # fmt: skip
def test_dates(raw: str, expected: datetime.date | None) -> None:
    assert parse_date(raw) == expected


# ---------------------------------------------------------------- identity


def two_patients(folder: Path) -> None:
    write_ct(folder / "a", study="1.2.1", series="1.3.1", PatientID="ANNA")
    write_ct(folder / "b", study="1.2.2", series="1.3.2", PatientID="BERT")


def test_several_patients_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    two_patients(tmp_path)
    with pytest.raises(UsageError, match=r"2 patients .*with --patient ID") as caught:
        read_patient(tmp_path)
    assert "ANNA" in str(caught.value)
    assert "BERT" in str(caught.value)
    by_id = read_patient(tmp_path, patient="BERT")
    assert by_id.exams[0].study_uid == "1.2.2"
    assert read_patient(tmp_path, patient=by_id.patient_key) == by_id
    with pytest.raises(UsageError, match="no patient CARL"):
        read_patient(tmp_path, patient="CARL")


def test_exams_without_a_patient_id_are_not_joined(tmp_path: Path) -> None:
    write_ct(tmp_path / "a", study="1.2.1", series="1.3.1", PatientID="")
    assert len(read_patient(tmp_path).exams) == 1
    write_ct(tmp_path / "b", study="1.2.2", series="1.3.2", PatientID="")
    with pytest.raises(UsageError, match=r"2 patients .no ID"):
        read_patient(tmp_path)


def test_the_patient_key_hides_the_id_and_depends_on_the_secret(tmp_path, monkeypatch) -> None:
    write_ct(tmp_path)
    patient = read_patient(tmp_path)
    assert re.fullmatch(r"p[0-9a-f]{12}", patient.patient_key)
    text = repr(patient) + repr(scan(tmp_path))
    assert "ID-7" not in text.replace(str(tmp_path), "")
    assert "Secret" not in text
    monkeypatch.setenv("HOIMG_PATIENT_KEY", "ward 12")
    assert patient_key("id:ID-7") != patient.patient_key


def test_one_id_with_two_birth_dates_is_noticed(tmp_path: Path) -> None:
    write_ct(tmp_path / "a", study="1.2.1", series="1.3.1", PatientBirthDate="19700101")
    write_ct(tmp_path / "b", study="1.2.2", series="1.3.2", PatientBirthDate="19550101")
    write_ct(tmp_path / "c", study="1.2.3", series="1.3.3", PatientBirthDate="")
    assert codes(read_patient(tmp_path).findings) == ["identity_conflict"]


def test_missing_and_hostile_uids_become_valid_ones(tmp_path: Path) -> None:
    write_ct(tmp_path / "none", PatientID="A", drop=("StudyInstanceUID", "SeriesInstanceUID"))
    exam = read_patient(tmp_path).exams[0]
    assert re.fullmatch(r"2\.25\.\d{1,39}", exam.study_uid)
    assert codes(exam.findings) == ["missing_uids"]
    for raw in ("../../etc", "1.2\0.3", "1" * 10_000, "1..2", "1.2.", "a.b", "1.2\n", ""):
        uid, made = clean_uid(raw, "seed")
        assert made
        assert re.fullmatch(r"2\.25\.\d{1,39}", uid)
    assert clean_uid("1.2.840", "seed") == ("1.2.840", False)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, while the test writes them
@pytest.mark.parametrize("evil", ["../../../x", "a\0b", "x" * 10_000, "[red]\x1b[2J<script>"])
def test_hostile_headers_reach_neither_paths_nor_names(tmp_path: Path, evil: str) -> None:
    write_ct(
        tmp_path,
        study=evil[:64].strip("\0"),
        series=evil[:64].strip("\0"),
        PatientID=evil,
        SeriesDescription=evil,
        ConvolutionKernel=evil,
        Manufacturer=evil,
    )
    exam = read_patient(tmp_path).exams[0]
    assert re.fullmatch(r"day0000_ct_[0-9a-f]{6}", exam.exam_id)
    assert re.fullmatch(r"[0-9.]+", exam.study_uid)
    for text in (exam.series.description, exam.acquisition.kernel, exam.acquisition.manufacturer):
        assert text is not None
        assert text.isprintable()
        assert len(text) <= 64


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize("missing", [1, 100, 239])
def test_a_cut_off_file_is_named(tmp_path: Path, missing: int) -> None:
    files = write_ct(tmp_path)
    files[3].write_bytes(files[3].read_bytes()[:-missing])
    error = refused(tmp_path)
    assert error.code == "truncated_files"
    assert files[3].name in str(error)


@pytest.mark.parametrize("kept", [133, 200, 300, 420])
def test_files_cut_off_in_the_header_are_named(tmp_path: Path, kept: int) -> None:
    files = write_ct(tmp_path / "cut")
    for file in files:
        file.write_bytes(file.read_bytes()[:kept])
    assert len(scan(tmp_path).unreadable) == 6
    error = refused(tmp_path)
    assert error.code == "truncated_files"
    assert "and 5 more" in str(error)
    write_ct(tmp_path / "good", series="1.2.9")
    patient = read_patient(tmp_path)
    assert codes(patient.findings) == ["unreadable_files"]


def test_vendor_objects_of_modality_ct_are_no_images(tmp_path: Path) -> None:
    write_ct(tmp_path / "good")
    raw = "1.2.840.10008.5.1.4.1.1.66"
    gone = ("Rows", "Columns", "PixelSpacing")
    write_slice(tmp_path / "raw", noise()[0], None, SOPClassUID=raw, drop=gone, number=70)
    patient = read_patient(tmp_path)
    assert codes(patient.unused[0].findings) == ["not_an_image"]


def test_a_cut_off_compressed_file_is_named(tmp_path: Path, real_data: Path) -> None:
    for file in sorted((real_data / "totalsegmentator" / "example_ct_dicom").iterdir())[:6]:
        shutil.copy(file, tmp_path)
    victim = sorted(tmp_path.iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:-3000])
    assert victim.name in str(refused(tmp_path))


def test_one_study_of_cut_off_files_does_not_stop_the_other(tmp_path: Path) -> None:
    for file in write_ct(tmp_path / "bad", study="1.2.3", series="1.2.3.4"):
        file.write_bytes(file.read_bytes()[:-50])
    write_ct(tmp_path / "good")
    patient: Patient = read_patient(tmp_path)
    assert len(patient.exams) == 1
    assert codes(patient.findings) == ["study_refused", "truncated_files"]
    assert len(patient.unused[0].bad_files) == 6


@pytest.mark.filterwarnings("error")
@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_never_ends_in_anything_but_a_refusal(tmp_path: Path, capfd, data) -> None:
    path = write_slice(tmp_path / "one", noise()[0], (0, 0, 0))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(132, len(content) - 1), max_size=12)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with pytest.raises(InputRefused):
        read_patient(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("hoimg.dicom.inflate.MAX_INFLATED", 8 * 2**20)
    path = write_slice(tmp_path / "bomb", noise()[0], (0, 0, 0))
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path)
    content = path.read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(9)) + packer.flush()
    path.write_bytes(content[:meta] + packed)
    inventory = scan(tmp_path)
    assert inventory.unreadable == (path,)
    assert inventory.series == ()


def test_an_absurd_size_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path, Rows=60000, Columns=60000)
    assert "bad_image" in str(refused(tmp_path))


def test_pydicom_stays_silent_and_its_settings_unchanged(tmp_path: Path, capfd, recwarn) -> None:
    from pydicom import config

    before = config.settings.reading_validation_mode
    files = write_ct(tmp_path)
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"20240110", b"2024011x"))
    read_patient(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert config.settings.reading_validation_mode == before
