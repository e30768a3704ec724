"""Real scans: each folder must end as its README says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hoimg.dicom import Exam, load_volume, read_patient, scan
from hoimg.errors import InputRefused, UsageError

FAIL = "geometry_failures/failing"
REFUSED = {
    "plastic_skull/localizer": ["localizer"],
    "plastic_skull/exam_summary": ["secondary_capture"],
    f"{FAIL}/gantrytilting": ["gantry_tilt", "too_few_slices"],
    f"{FAIL}/notavolume": ["not_a_volume"],
    f"{FAIL}/slicecount": ["modality_not_supported"],
    f"{FAIL}/sliceincrement/001": ["missing_slices", "too_few_slices"],
    f"{FAIL}/sliceincrement/002": ["missing_slices", "gantry_tilt", "too_few_slices"],
    f"{FAIL}/sliceorientation": ["modality_not_supported"],
    "ct_with_seg/data/segmentations/ct-3slice": ["too_few_slices"],
    "transfer_syntaxes/CTImage.dcm": ["too_few_slices"],
    "transfer_syntaxes/no-pixel-spacing.dcm": ["modality_not_supported"],
    "transfer_syntaxes/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": ["derived_image"],
    "dicom_objects/seg_image_ct_binary.dcm": ["not_an_image"],
    "dicom_objects/sr_document.dcm": ["not_an_image"],
    "README.md": [],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(real_data: Path, name: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read_patient(real_data / name)
    expected = REFUSED[name]
    # A tilt is mended; alone it refuses nothing.
    refusing = [code for code in expected if code != "gantry_tilt"]
    assert caught.value.code == (refusing[0] if refusing else "no_dicom")
    found = [f.code for s in scan(real_data / name).series for f in s.findings]
    assert found == expected


def test_the_veterinary_film_is_an_exam(real_data: Path) -> None:
    [exam] = read_patient(real_data / "dicom_objects" / "dx_image.dcm").exams
    assert (exam.modality, exam.film is not None) == ("DX", True)
    assert [f.code for f in exam.findings] == ["film_processed", "spacing_uncorrected"]


def one_exam(folder: Path) -> Exam:
    patient = read_patient(folder)
    assert len(patient.exams) == 1
    return patient.exams[0]


def test_the_siemens_slices(real_data: Path) -> None:
    exam = one_exam(real_data / "totalsegmentator" / "example_ct_dicom")
    grid, made = exam.series.grid, exam.acquisition
    assert grid is not None
    assert grid.size_zyx == (20, 512, 512)
    assert grid.spacing_zyx_mm == (2.0, 0.9765625, 0.9765625)
    assert grid.origin_lps_mm == (-249.51171875, -437.51171875, -804.5)
    assert (made.slice_thickness_mm, made.kernel, made.contrast) == (3.0, "Br38f/3", True)
    assert sorted(f.code for f in exam.findings) == [
        "contrast_given",
        "missing_uids",
        "thick_slices",
        "thickness_not_spacing",
    ]


def test_the_toshiba_phantom(real_data: Path) -> None:
    exam = one_exam(real_data / "qrm_phantom")
    volume = load_volume(exam)
    assert volume.hu.shape == (47, 512, 512)
    assert volume.grid.spacing_zyx_mm == (3.0, 0.488, 0.488)
    assert (exam.acquisition.kvp, exam.acquisition.kernel) == (120.0, "FC12")
    # The phantom's body is water-equivalent resin; the air outside reads -1000 HU or padding.
    assert np.percentile(volume.hu, 99.9) > 150
    assert exam.date is not None
    assert exam.date.isoformat() == "2016-02-11"


def test_the_skull_takes_the_thin_soft_series_and_lists_the_rest(real_data: Path) -> None:
    patient = read_patient(real_data / "plastic_skull")
    exam = patient.exams[0]
    assert exam.series.files[0].parent.name == "ct_1mm_standard"
    assert exam.acquisition.series_choice == (
        "chosen of 3 usable CT series: 1 mm slices, soft kernel UB"
    )
    assert {s.kind for s in patient.unused} == {"volume", "localizer", "secondary_capture"}
    assert [f.code for f in patient.findings] == ["skipped_files"]
    # The tilted scan is a study of its own.
    assert [e.series.files[0].parent.name for e in patient.exams] == [
        "ct_1mm_standard",
        "ct_2p5mm_tilted",
    ]
    assert [f.code for f in patient.exams[1].findings] == [
        "gantry_tilt",
        "thick_slices",
        "thickness_not_spacing",
    ]


def test_the_syntax_folder_is_one_plane_many_times(real_data: Path) -> None:
    folder = real_data / "transfer_syntaxes"
    with pytest.raises(UsageError, match="5 patients"):
        read_patient(folder)
    with pytest.raises(InputRefused) as caught:
        read_patient(folder, patient="2178309")
    assert caught.value.code == "not_a_volume"


def test_everything_can_be_scanned_without_a_word(real_data: Path, capfd, recwarn) -> None:
    inventory = scan(real_data)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert inventory.unreadable == ()
    usable = sorted(s.files[0].parent.name for s in inventory.series if s.usable)
    assert usable == [
        "ct_1mm_bone_kernel",
        "ct_1mm_standard",
        "ct_2p5mm_tilted",
        "ct_5mm_standard",
        "dicom",
        "example_ct_dicom",
    ]
