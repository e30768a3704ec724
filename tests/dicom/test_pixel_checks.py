"""One test per check of pixels: at its limit, one past it, and clean scans that give none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_ct import write_ct

from hoimg.dicom import check_volume, load_volume, read_patient, scan
from hoimg.dicom.pixel_sample import sample_of
from hoimg.dicom.types import Exam
from hoimg.dicom.volume_files import describe_volume_file, read_volume_file
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.pipeline import analyze_exam, analyze_patient
from hoimg.settings import IntakeSettings

SLICES, SIDE = 24, 128
SPACING = (1.0, 2.0, 2.0)


def thigh(
    *,
    noise: float = 15.0,
    centre: tuple[float, float] = (0.0, 0.0),
    radius: float = 45.0,
    air: float = -1000.0,
    bone: float = 600.0,
    seed: int = 0,
) -> np.ndarray:
    """A tapering thigh: fat around muscle around a shaft; array zyx, HU, float."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    hu = np.full((SLICES, SIDE, SIDE), air)
    for k in range(SLICES):
        far = np.hypot(y - centre[0], x - centre[1])
        outer = radius - 0.3 * k
        hu[k][far < outer] = -100.0
        hu[k][far < 0.75 * outer] = 50.0
        shaft = np.hypot(y - centre[0] - 3 - 0.2 * k, x - centre[1])
        hu[k][shaft < 9] = bone
        hu[k][shaft < 5] = -100.0
    return np.clip(hu + rng.normal(0, noise, hu.shape), -1024, 3071)


def volume(hu: np.ndarray, valid: np.ndarray | None = None) -> CTVolume:
    kept = np.rint(hu).astype(np.int16)
    return CTVolume(kept, Grid(kept.shape, SPACING), valid)


def codes(hu: np.ndarray | CTVolume, **limits: Any) -> list[str]:
    made = hu if isinstance(hu, CTVolume) else volume(hu)
    return [f.code for f in check_volume(made, IntakeSettings(**limits))]


def message(hu: np.ndarray, code: str, **limits: Any) -> str:
    (found,) = [f for f in check_volume(volume(hu), IntakeSettings(**limits)) if f.code == code]
    return found.message


def test_a_clean_scan_gives_none() -> None:
    assert codes(thigh()) == []
    assert codes(CTVolume(thigh().astype(np.float32), Grid((SLICES, SIDE, SIDE), SPACING))) == []


# --- scale ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (-51, ["wrong_hu_scale"]),
        (-49, ["hu_offset"]),
        (-26, ["hu_offset"]),
        (-24, []),
        (24, []),
        (26, ["hu_offset"]),
        (49, ["hu_offset"]),
        (51, ["wrong_hu_scale"]),
        (100, ["wrong_hu_scale"]),
        (-200, ["wrong_hu_scale"]),
    ],
)
def test_a_shifted_scale(shift: int, expected: list[str]) -> None:
    hu = thigh(noise=8) + shift  # little noise, so that nothing is cut at -1024
    assert codes(hu) == expected


@pytest.mark.parametrize("shift", [1000, 1024, -1024, 2048])
def test_a_rescale_that_is_missing_or_applied_twice(shift: int) -> None:
    assert "wrong_hu_scale" in codes(thigh() + shift)


@pytest.mark.parametrize("slope", [0.5, 2.0, 0.25])
def test_a_wrong_slope(slope: float) -> None:
    found = codes(thigh() * slope)
    assert {"wrong_hu_scale", "clipped_hu"} & set(found)


def inside(hu: np.ndarray) -> np.ndarray:
    """What a small field of view shows: no air."""
    return hu[:, 40:88, 40:88]


@pytest.mark.parametrize("region", ["fat and muscle", "muscle"])
def test_without_air_in_view(region: str) -> None:
    hu = thigh(radius=60 if region == "muscle" else 50)
    hu = inside(hu) if region == "muscle" else hu[:, 34:94, 34:94]
    assert not {"wrong_hu_scale", "hu_offset"} & set(codes(hu))
    assert "wrong_hu_scale" in codes(hu + 1024)
    assert "wrong_hu_scale" in codes(hu - 1024)
    assert "wrong_hu_scale" in codes(hu + 500)


def test_soft_tissue_alone_at_the_limits() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 15, (SLICES, 64, 64))
    for level, expected in (
        (148, None),
        (155, "hu_offset"),
        (195, "hu_offset"),
        (205, "wrong_hu_scale"),
        (-148, None),
        (-155, "hu_offset"),
        (-205, "wrong_hu_scale"),
        (-450, "wrong_hu_scale"),
    ):
        found = {"wrong_hu_scale", "hu_offset"} & set(codes(base + level))
        assert found == (set() if expected is None else {expected}), level


def test_fat_that_is_not_where_fat_is() -> None:
    """No air in view; peaks 150 HU apart are fat and muscle."""
    rng = np.random.default_rng(0)
    hu = rng.normal(0, 12, (SLICES, 64, 64))
    hu[:, :32] -= 100
    hu[:, 32:] += 50
    assert not {"wrong_hu_scale", "hu_offset"} & set(codes(hu))
    assert "hu_offset" not in codes(hu + 48)
    assert "hu_offset" in codes(hu + 53)


def test_air_alone_and_lungs_are_no_wrong_scale() -> None:
    rng = np.random.default_rng(0)
    assert "wrong_hu_scale" not in codes(rng.normal(-1000, 15, (SLICES, 64, 64)))
    chest = thigh(noise=25)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for side in (-20, 20):
        lung = np.hypot(y, x - side) < 15
        chest[:, lung] = np.clip(rng.normal(-860, 60, (SLICES, int(lung.sum()))), -1024, 3071)
    assert codes(chest) == []
    # a small field of view over lungs without outside air
    assert not {"wrong_hu_scale", "hu_offset"} & set(codes(chest[:, 40:88, 34:94]))


def test_foam_under_the_patient_is_not_air() -> None:
    """Foam reads -940 and looks like air that is 60 HU off; fat in its place says it is not."""
    hu = thigh(noise=8, air=-940)
    assert not {"wrong_hu_scale", "hu_offset"} & set(codes(hu))


def test_padding_is_no_air() -> None:
    """Untagged padding fills the corners with -2000, or with the lowest value that there is."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    corners = np.hypot(y, x) > 64
    for padding in (-1024, -2000, -3024):
        hu = thigh()
        hu[:, corners] = padding
        assert codes(hu) == [], padding
        tagged = volume(hu, np.broadcast_to(~corners, hu.shape).copy())
        assert codes(tagged) == []
    hu = thigh() + 1024
    hu[:, corners] = 0
    assert "wrong_hu_scale" in codes(hu)


def test_fractions_are_no_hu() -> None:
    hu = ((thigh() + 1024) / 4095).astype(np.float32)
    assert "wrong_hu_scale" in codes(CTVolume(hu, Grid(hu.shape, SPACING)))


# --- range ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1024, 3071, []),
        (-960, 3071, []),
        (-940, 3071, ["clipped_hu"]),
        (-200, 3071, ["clipped_hu"]),
        (-1024, 550, ["clipped_hu"]),
    ],
)
def test_a_windowed_copy(low: int, high: int, expected: list[str]) -> None:
    assert [c for c in codes(np.clip(thigh(), low, high)) if "clip" in c] == expected


@pytest.mark.parametrize(
    ("ceiling", "expected"), [(1999, "clipped_hu"), (2000, "saturated_hu"), (3071, "saturated_hu")]
)
def test_metal_at_the_ceiling(ceiling: int, expected: str) -> None:
    hu = np.clip(thigh(bone=3600), -1024, ceiling)
    assert [c for c in codes(hu) if c != "metal_present"] == [expected]


@pytest.mark.parametrize(("voxels", "expected"), [(2, []), (3, ["saturated_hu"])])
def test_how_much_must_be_saturated(voxels: int, expected: list[str]) -> None:
    """A voxel has 4 mm3; 10 mm3 is the limit... and one voxel may be the highest by chance."""
    hu = thigh()
    hu[5, 60, 60 : 60 + voxels] = 3071
    limits = {"saturated_mm3": 9.0}
    assert [c for c in codes(hu, **limits) if c == "saturated_hu"] == []
    hu[5:10, 60:64, 60 : 60 + voxels] = 3071  # 40 or 60 voxels
    found = codes(hu, saturated_mm3=200.0)
    assert [c for c in found if c == "saturated_hu"] == expected


def test_air_replaced_by_zero() -> None:
    hu = thigh()
    assert "clipped_hu" in codes(np.where(hu < -400, 0, hu))


def test_a_computed_image_may_repeat_its_values() -> None:
    """No noise at all: every tissue is one value, slices repeat, and nothing of it was cut."""
    assert codes(np.repeat(thigh(noise=0)[:1], SLICES, axis=0)) == []


# --- slices ---------------------------------------------------------------------------------------


def test_one_value_throughout() -> None:
    assert codes(np.full((SLICES, SIDE, SIDE), 7)) == ["empty_volume"]


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        ([0, 1], ["empty_end_slices"]),
        ([SLICES - 1], ["empty_end_slices"]),
        ([12], ["empty_slices"]),
        ([0, 12], ["empty_slices", "empty_end_slices"]),
    ],
)
def test_empty_slices(empty: list[int], expected: list[str]) -> None:
    hu = thigh()
    hu[empty] = -1000
    assert codes(hu) == expected
    if 12 in empty:
        assert message(hu, "empty_slices") == "1 slice(s) hold one value: 12."


def test_a_speck_between_the_thinned_rows_is_no_empty_slice() -> None:
    hu = np.repeat(np.repeat(thigh(), 2, axis=1), 2, axis=2)
    hu[0] = -1000
    hu[0, 1, 1] = 5  # every second row and column is looked at first
    assert sample_of(volume(hu)).step == 2
    assert "empty_end_slices" not in codes(hu)


def test_planes_of_a_gap_may_hold_anything() -> None:
    hu = thigh()
    hu[[11, 12]] = -1000
    made = volume(hu)
    valid = np.ones(hu.shape, dtype=bool)
    valid[[11, 12]] = False
    assert codes(CTVolume(made.hu, made.grid, valid, (11, 12))) == []


def test_repeated_slices() -> None:
    hu = thigh()
    hu[13] = hu[12]
    assert codes(hu) == ["repeated_slices"]
    assert message(hu, "repeated_slices") == "1 slice(s) repeat another: 13."
    hu[13, 64, 64] += 1  # one voxel differs
    assert codes(hu) == []
    doubled = np.repeat(thigh(), 2, axis=0)  # an upsampled copy
    assert "24 slice(s) repeat another" in message(doubled, "repeated_slices")


@pytest.mark.parametrize("how", ["upside down", "elsewhere", "other noise"])
def test_a_slice_from_elsewhere(how: str) -> None:
    hu = thigh(centre=(12, 0), radius=40)
    if how == "upside down":
        hu[10] = hu[10, ::-1]
    elif how == "elsewhere":
        hu[10] = thigh(radius=30, seed=5)[3]
    else:
        hu[10] = thigh(centre=(12, 0), radius=40, seed=5)[10]
    assert codes(hu) == ([] if how == "other noise" else ["foreign_slice"])
    if how != "other noise":
        assert message(hu, "foreign_slice") == "1 slice(s) do not belong here: 10."


def test_a_jump() -> None:
    """Twenty slices of one scan, then of another."""
    hu = np.concatenate([thigh(), thigh(centre=(12, 8), radius=35, seed=3)])
    assert codes(hu) == ["slice_jump"]
    assert message(hu, "slice_jump") == f"Abrupt change after slice(s) {SLICES - 1}."
    assert codes(hu, jump_ratio=1000.0) == []
    assert codes(thigh()[:8]) == []  # too few to compare


# --- view -----------------------------------------------------------------------------------------


def test_a_body_cut_by_the_image() -> None:
    """Moved by 30 pixels of 2 mm, the thigh (45 at its widest) crosses the edge at 64."""
    assert codes(thigh(centre=(0, 18))) == []
    assert codes(thigh(centre=(0, 30))) == ["truncated_fov"]
    # chord at 34 of a circle of 45: 2 acos(34/45) = 82 degrees of 360, less towards the other end
    share = float(message(thigh(centre=(0, 30)), "truncated_fov").split()[0])
    assert 12 < share < 25


@pytest.mark.parametrize("tagged", [True, False])
def test_a_body_cut_by_the_circle(tagged: bool) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for away, expected in ((0, []), (25, ["truncated_fov"])):
        circle = 63
        hu = thigh(centre=(0, away))
        outside = np.hypot(y, x) > circle
        hu[:, outside] = -1024 if tagged else -2000
        valid = np.broadcast_to(~outside, hu.shape).copy() if tagged else None
        found = [c for c in codes(volume(hu, valid)) if c == "truncated_fov"]
        assert found == expected


def test_air_that_software_replaced_is_no_field_of_view() -> None:
    """Everything around the body holds -1024: the body then touches nothing but air."""
    hu = thigh(noise=8)
    hu[hu < -500] = -1024
    assert codes(hu) == []


def test_a_bladder_full_of_contrast_agent_is_no_tissue_beside_air() -> None:
    """Fat at -100 and urine at 900 HU lie apart like air and tissue; no air is in view."""
    hu = inside(thigh(radius=60, bone=300))
    rng = np.random.default_rng(1)
    hu[:, :12] = rng.normal(-100, 15, hu[:, :12].shape)
    hu[:, 30:, :20] = rng.normal(900, 15, hu[:, 30:, :20].shape)
    assert not {"wrong_hu_scale", "hu_offset"} & set(codes(hu))


def test_the_table_is_no_body() -> None:
    hu = thigh()
    hu[:, 118:121, :] = 100  # 6 mm thick, from edge to edge
    assert codes(hu) == []


@pytest.mark.parametrize(("sd", "expected"), [(47, []), (53, ["high_noise"])])
def test_noise(sd: float, expected: list[str]) -> None:
    """Soft tissue is what lies from -150 to 150 HU, which hides some of the noise beyond."""
    hu = np.random.default_rng(0).normal(0, sd, (SLICES, SIDE, SIDE))
    hu[:, :20] -= 1000
    measured = sample_of(volume(hu)).noise_hu
    assert measured == pytest.approx(sd, rel=0.08)
    assert [c for c in codes(hu, max_noise_hu=measured + 0.1) if c == "high_noise"] == []
    assert [c for c in codes(hu, max_noise_hu=measured - 0.1) if c == "high_noise"] == [
        "high_noise"
    ]
    assert [c for c in codes(hu) if c == "high_noise"] == expected


def test_noise_is_unknown_without_soft_tissue() -> None:
    assert sample_of(volume(np.full((6, 40, 40), -1000.0))).noise_hu is None
    assert sample_of(volume(np.zeros((6, 2, 2)))).noise_hu is None


@pytest.mark.parametrize(
    ("slices", "axis", "expected"), [(1, 1, []), (2, 1, ["streaks"]), (2, 2, ["streaks"])]
)
def test_streaks(slices: int, axis: int, expected: list[str]) -> None:
    """Every row (or column) of a slice its own shift, as photon starvation makes; 5 % of 24."""
    hu = thigh(noise=12)
    rng = np.random.default_rng(2)
    shape = (slices, SIDE, 1) if axis == 1 else (slices, 1, SIDE)
    hu[8 : 8 + slices] += rng.normal(0, 50, shape)
    assert [c for c in codes(hu) if c == "streaks"] == expected
    if expected:
        lying = "horizontal" if axis == 1 else "vertical"
        assert lying in message(hu, "streaks")


@pytest.mark.parametrize(("voxels", "expected"), [(5, []), (6, ["metal_present"])])
def test_metal(voxels: int, expected: list[str]) -> None:
    """A voxel has 4 mm3; more than 20 mm3 is told."""
    hu = thigh()
    hu[4, 64, 50 : 50 + voxels] = 2501 + np.arange(voxels)
    assert codes(hu) == expected
    hu[4, 64, 50 : 50 + voxels] = 2500
    assert codes(hu) == []


def test_the_threshold_turns_a_warning_into_a_refusal() -> None:
    found = check_volume(volume(thigh(centre=(0, 30))), IntakeSettings(refuse_at="warning"))
    assert [f.level for f in found] == ["error"]


# --- real scans -----------------------------------------------------------------------------------


def test_real_scans_give_what_is_seen_on_them(real_data: Path, sample_data: Path) -> None:
    """Looked at one by one: nothing is told that is not on the images.

    The abdomen holds a nail and was cropped at the skin; the chest has wires and a stent-graft and
    was cropped at the arms; the thorax phantom was reconstructed in a circle smaller than itself.
    """
    expected = {
        "totalsegmentator/example_ct.nii.gz": ["truncated_fov", "metal_present"],
        "totalsegmentator/chest_ct.nii.gz": ["truncated_fov", "metal_present"],
        "totalsegmentator/example_ct_dicom": [],
        "qrm_phantom/dicom": ["truncated_fov"],
        "plastic_skull/ct_1mm_standard": [],
        "plastic_skull/ct_1mm_bone_kernel": [],
        "plastic_skull/ct_5mm_standard": [],
    }
    for name, codes_there in expected.items():
        assert codes(read(real_data / name)) == codes_there, name


def read(path: Path) -> CTVolume:
    if path.is_file():
        info = describe_volume_file(path, IntakeSettings())
        assert info is not None
        assert info.grid is not None
        return read_volume_file(path, info.grid)
    (series,) = [s for s in scan(path).series if s.usable]
    return load_volume(Exam("x", "CT", "1", series, None, 0, series.acquisition))


@pytest.mark.parametrize("shift", [60, -60, 1024, -1024])
def test_a_real_scan_on_a_wrong_scale(real_data: Path, shift: int) -> None:
    made = read(real_data / "totalsegmentator" / "example_ct.nii.gz")
    assert "wrong_hu_scale" in codes(CTVolume(made.hu + np.int16(shift), made.grid))


def test_the_sample_patient_is_measured(sample_data: Path) -> None:
    exam = read_patient(sample_data / "patient").exams[0]
    assert not [f for f in check_volume(load_volume(exam)) if f.level == "error"]


# --- in the pipeline ------------------------------------------------------------------------------


def test_an_exam_on_a_wrong_scale_is_not_measured(tmp_path: Path) -> None:
    """Stored values are HU + 2048, the header says - 1024: everything reads 1024 too much."""
    stored = np.rint(thigh()).astype(int) + 2048
    for day in ("20240101", "20240201"):
        write_ct(tmp_path / day, stored, study=f"1.2.{day}", series=f"1.3.{day}", StudyDate=day)
    patient = read_patient(tmp_path)
    with pytest.raises(InputRefused, match="wrong_hu_scale") as caught:
        analyze_exam(patient.exams[0])
    assert caught.value.exit_code == 3
    assert [f.code for f in caught.value.findings] == ["wrong_hu_scale"]
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(InputRefused) as caught:
        analyze_patient(patient)
    assert caught.value.code == "wrong_hu_scale"


def test_a_refused_exam_stays_in_the_report_with_its_reason(tmp_path: Path) -> None:
    """Beside an exam that can be measured."""
    for day, shift in (("20240101", 1024), ("20240201", 2048)):
        stored = np.rint(thigh()).astype(int) + shift
        write_ct(tmp_path / day, stored, study=f"1.2.{day}", series=f"1.3.{day}", StudyDate=day)
    patient = read_patient(tmp_path)
    result = analyze_patient(patient)
    good, bad = result.report.exams
    assert "wrong_hu_scale" not in [f.code for f in good.findings]
    (found,) = [f for f in bad.findings if f.level == "error"]
    assert found.code == "wrong_hu_scale"
    assert "Air reads" in found.message
    assert set(result.images) == {good.exam_id}
