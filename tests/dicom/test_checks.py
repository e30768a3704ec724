"""One test per check of headers: at its limit, one past it, and a clean scan that gives none."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from synthetic_ct import noise, stack, write_ct, write_slice

from hoimg.dicom import read_patient, scan
from hoimg.dicom.checks import Facts, check_acquisition, judge
from hoimg.dicom.findings import FINDINGS, finding
from hoimg.errors import InputRefused
from hoimg.results import Acquisition
from hoimg.settings import IntakeSettings, Settings

DAY = datetime.date(2024, 1, 2)
PLAIN: dict[str, Any] = {
    "kvp": 120.0,
    "kernel": "STANDARD",
    "slice_thickness_mm": 1.0,
    "contrast": False,
    "patient_position": "HFS",
}
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def codes_of(
    words: tuple[str, ...] = ("Thigh 1.0", "ORIGINAL", "PRIMARY", "AXIAL"),
    date: datetime.date | None = DAY,
    orientation: tuple[float, ...] | None = UPRIGHT,
    **made: Any,
) -> list[str]:
    facts = Facts(Acquisition(**(PLAIN | made)), words, date, orientation)
    return [f.code for f in check_acquisition(facts, IntakeSettings())]


def codes_in(folder: Path, **intake: Any) -> list[str]:
    (series,) = scan(folder, Settings(intake=IntakeSettings(**intake))).series
    return [f.code for f in series.findings]


def test_a_clean_scan_gives_none(tmp_path: Path) -> None:
    assert codes_of() == []
    write_ct(tmp_path)
    assert codes_in(tmp_path) == []


@pytest.mark.parametrize(
    ("kvp", "expected"),
    [
        (70, []),
        (69.9, ["unusual_kvp"]),
        (150, []),
        (150.1, ["unusual_kvp"]),
        (None, ["missing_kvp"]),
    ],
)
def test_tube_voltage(kvp: float | None, expected: list[str]) -> None:
    assert codes_of(kvp=kvp) == expected


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("B49f", []),
        ("B50f", ["sharp_kernel"]),
        ("FC29", []),
        ("FC30", ["sharp_kernel"]),
        ("UC", []),
        ("YA", ["sharp_kernel"]),
        ("BONEPLUS", ["sharp_kernel"]),
        ("Br38f/3", []),
        (None, []),
    ],
)
def test_kernel(kernel: str | None, expected: list[str]) -> None:
    assert codes_of(kernel=kernel) == expected


def test_thickness_contrast_and_date() -> None:
    assert codes_of(slice_thickness_mm=None) == ["missing_thickness"]
    assert codes_of(contrast=True) == ["contrast_given"]
    assert codes_of(contrast=None) == []
    assert codes_of(date=None) == ["no_date"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("DET_VNC", "material_map"),
        ("Virtual non-contrast", "material_map"),
        ("VNCa bone marrow", "material_map"),
        ("Virtual Non-Calcium", "material_map"),
        ("Iodine map", "material_map"),
        ("Iodine no Water", "material_map"),
        ("MD Iodine(Water)", "material_map"),
        ("WATER(IODINE)", "material_map"),
        ("Calcium Suppressed 25", "material_map"),
        ("Z_EFF", "material_map"),
        ("Electron Density", "material_map"),
        ("MONO 70 keV", "monoenergetic"),
        ("Monoenergetic Plus 50keV", "monoenergetic"),
        ("QC 40keV", "monoenergetic"),
        ("Synthetic CT", "synthetic_ct"),
        ("MRCAT pelvis", "synthetic_ct"),
        ("pseudo-CT", "synthetic_ct"),
        ("CBCT pelvis", "cone_beam"),
        ("Cone beam", "cone_beam"),
        ("Monosegment spiral", None),
        ("Thorax with iodine contrast", None),
        ("Native non contrast", None),
        ("Material: prosthesis left", None),
        ("Karo beam", None),
    ],
)
def test_images_whose_numbers_are_no_plain_hu(word: str, expected: str | None) -> None:
    assert codes_of((word, "DERIVED")) == ([] if expected is None else [expected])
    assert codes_of((word.upper(),)) == ([] if expected is None else [expected])


def test_cone_beam_by_its_maker() -> None:
    assert codes_of(model="O-arm") == ["cone_beam"]
    assert codes_of(manufacturer="NewTom", model="5G") == ["cone_beam"]
    assert codes_of(model="SOMATOM Force") == []


# Rows and columns as the gantry sees the patient (PS3.3 C.7.3.1.1.2), and the usual view.
GANTRY = {"HFS": (1, 1), "HFP": (-1, -1), "FFS": (-1, 1), "FFP": (1, -1)}


@pytest.mark.parametrize("position", GANTRY)
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_position_against_orientation(position: str, signs: tuple[int, int]) -> None:
    axes = (float(signs[0]), 0.0, 0.0, 0.0, float(signs[1]), 0.0)
    fits = signs in ((1, 1), GANTRY[position])
    expected = [] if fits else ["position_contradiction"]
    assert codes_of(orientation=axes, patient_position=position) == expected
    assert codes_of(orientation=axes, patient_position="HFDR") == []
    assert codes_of(orientation=axes, patient_position=None) == []
    assert codes_of(orientation=None, patient_position=position) == []


def test_position_says_nothing_of_sagittal_images() -> None:
    assert codes_of(orientation=(0, 1, 0, 0, 0, -1), patient_position="HFS") == []


def test_position_is_read_from_the_images(tmp_path: Path) -> None:
    turned = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    write_ct(tmp_path / "a", cosines=turned, PatientPosition="HFS")
    assert codes_in(tmp_path / "a") == ["position_contradiction"]
    write_ct(tmp_path / "b", cosines=turned, PatientPosition="HFP")
    assert codes_in(tmp_path / "b") == []


def test_rescale_of_its_own_per_slice(tmp_path: Path) -> None:
    for k, (pixels, place) in enumerate(zip(noise(), stack(6), strict=True)):
        tags = {"RescaleIntercept": "-1000"} if k == 3 else {}
        write_slice(tmp_path / str(k), pixels, place, number=k + 1, **tags)
    assert codes_in(tmp_path) == ["rescale_varies"]


@pytest.mark.parametrize(
    "tags", [{"KVP": "100"}, {"ConvolutionKernel": "SOFT"}, {"SliceThickness": "1.2"}]
)
def test_slices_made_differently(tmp_path: Path, tags: dict[str, str]) -> None:
    for k, (pixels, place) in enumerate(zip(noise(), stack(6), strict=True)):
        write_slice(tmp_path / str(k), pixels, place, number=k + 1, **(tags if k == 3 else {}))
    assert codes_in(tmp_path) == ["mixed_acquisition"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"RescaleType": "US"}, ["unspecified_units"]),
        ({"RescaleType": "OD"}, ["not_hounsfield"]),
        ({"LossyImageCompression": "01"}, ["lossy_compression"]),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, ["bad_image"]),
        ({"ContrastBolusAgent": "Iomeprol"}, ["contrast_given"]),
        ({"ContrastBolusAgent": "NONE"}, []),
        ({"SeriesDescription": "DE VNC"}, ["material_map"]),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "VNC"]}, ["material_map"]),
    ],
)
def test_tags_of_a_series(tmp_path: Path, tags: dict[str, Any], expected: list[str]) -> None:
    write_ct(tmp_path, **tags)
    assert codes_in(tmp_path) == expected


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        ("RescaleSlope", ["no_rescale"]),
        ("PixelSpacing", ["no_pixel_spacing"]),
        ("ImagePositionPatient", ["no_position"]),
        ("KVP", ["missing_kvp"]),
        ("SliceThickness", ["missing_thickness"]),
        ("StudyDate", ["no_date"]),
    ],
)
def test_tags_that_are_missing(tmp_path: Path, drop: str, expected: list[str]) -> None:
    write_ct(tmp_path, drop=(drop,))
    assert codes_in(tmp_path) == expected


def test_what_weakens_numbers_is_not_said_of_a_refused_series(tmp_path: Path) -> None:
    write_ct(tmp_path, RescaleType="OD", ConvolutionKernel="BONE", SeriesDescription="Iodine map")
    assert codes_in(tmp_path) == ["not_hounsfield", "material_map"]


def test_one_threshold_turns_levels_into_refusals(tmp_path: Path) -> None:
    write_ct(tmp_path, ConvolutionKernel="BONE")
    assert read_patient(tmp_path).exams[0].findings[0].level == "warning"
    strict = Settings(intake=IntakeSettings(refuse_at="warning"))
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path, strict)
    assert caught.value.code == "sharp_kernel"


def test_judging_moves_nothing_below_the_threshold() -> None:
    found = [finding("no_rescale", "a"), finding("sharp_kernel", "b"), finding("localizer", "c")]
    assert [f.level for f in judge(found, IntakeSettings())] == ["error", "warning", "info"]
    strict = judge(found, IntakeSettings(refuse_at="warning"))
    assert [f.level for f in strict] == ["error", "error", "info"]
    assert [f.level for f in found] == ["error", "warning", "info"]


def test_every_finding_says_what_to_do() -> None:
    for code, (level, fix) in FINDINGS.items():
        made = finding(code, "x")
        assert (made.level, made.fix) == (level, fix)
        assert fix
        assert fix.endswith(".")


def test_real_scans_give_what_their_headers_say(real_data: Path) -> None:
    """Every warning of a header below was looked up in the files."""
    expected = {
        "plastic_skull/ct_1mm_bone_kernel": {"sharp_kernel"},
        "plastic_skull/ct_1mm_standard": set(),
        "plastic_skull/ct_5mm_standard": {"thick_slices"},
        "qrm_phantom/dicom": {"thick_slices"},
        "totalsegmentator/example_ct_dicom": {"contrast_given", "missing_uids", "thick_slices"},
    }
    for name, codes in expected.items():
        (series,) = [s for s in scan(real_data / name).series if s.usable]
        warned = {f.code for f in series.findings if f.level == "warning"}
        assert warned == codes, name
