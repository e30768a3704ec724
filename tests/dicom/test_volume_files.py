"""NIfTI and NRRD files as exams: placed as SimpleITK places them, or refused by name.

The oracle is ITK's own readers, which share no code with nibabel or pynrrd.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.dicom import load_volume, read_patient, scan
from hoimg.dicom.types import SeriesInfo
from hoimg.dicom.volume_files import describe_volume_file, read_volume_file, volume_format
from hoimg.errors import InputRefused, UsageError
from hoimg.image import CTVolume, grid_of_affine
from hoimg.settings import IntakeSettings

SHAPE = (7, 6, 5)  # x, y, z


def ct(shape: tuple[int, ...] = SHAPE, seed: int = 3) -> np.ndarray:
    """Values in which every voxel is its own, with air and fat among them; array xyz."""
    return np.random.default_rng(seed).integers(-1024, 1500, shape).astype(np.int16)


def write(
    path: Path,
    data: np.ndarray | None = None,
    affine: np.ndarray | None = None,
    *,
    sform: int = 1,
    qform: int = 1,
    unit: str = "mm",
    kind: type = nib.Nifti1Image,
) -> Path:
    affine = np.diag([0.9, 0.8, 2.0, 1.0]) if affine is None else affine
    image = kind(ct() if data is None else data, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


def describe(path: Path, **limits: Any) -> SeriesInfo:
    info = describe_volume_file(path, IntakeSettings(**limits))
    assert info is not None
    return info


def codes(info: SeriesInfo) -> list[str]:
    return [f.code for f in info.findings if f.level == "error"]


def volume_of(path: Path) -> CTVolume:
    info = describe(path)
    assert info.usable, info.findings
    assert info.grid is not None
    return read_volume_file(path, info.grid)


def assert_as_itk(path: Path, volume: CTVolume) -> None:
    """Every voxel lies where ITK puts it, with the value that ITK reads."""
    image = sitk.ReadImage(str(path))
    grid = volume.grid
    assert np.linalg.det(np.asarray(grid.direction)) == pytest.approx(1, abs=1e-5)
    assert int(np.prod(grid.size_zyx)) == image.GetNumberOfPixels()
    for index in np.ndindex(grid.size_zyx):
        there = image.TransformPhysicalPointToContinuousIndex(grid.to_lps_mm(index).tolist())
        nearest = tuple(round(v) for v in there)
        assert np.abs(np.array(there) - nearest).max() < 2e-3
        assert image[nearest] == pytest.approx(float(volume.hu[index]), abs=1e-3)


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        one = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        one[a, a], one[a, b], one[b, a], one[b, b] = c, -s, s, c
        turned = turned @ one
    return turned


@settings(max_examples=20, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    flips=st.tuples(*[st.sampled_from([1.0, -1.0])] * 3),
    order=st.permutations([0, 1, 2]),
    spacing=st.tuples(*[st.floats(0.3, 3)] * 3),
    suffix=st.sampled_from([".nii", ".nii.gz", ".nrrd"]),
)
def test_any_orientation_is_placed_as_itk_places_it(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    flips: tuple[float, float, float],
    order: list[int],
    spacing: tuple[float, float, float],
    suffix: str,
) -> None:
    path = tmp_path_factory.mktemp("any") / f"scan{suffix}"
    axes = (rotation(angles) * flips)[:, order]
    if suffix == ".nrrd":
        write_nrrd(path, axes * spacing, (10.0, -20.0, 30.0))
    else:
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = axes * spacing, (10, -20, 30)
        write(path, affine=affine)
    assert_as_itk(path, volume_of(path))


def test_nothing_is_turned_where_the_axes_are_right_handed(tmp_path: Path) -> None:
    """RAS+ (x to the right, y to the front): right-handed in LPS, kept as it lies in the file."""
    volume = volume_of(write(tmp_path / "a.nii"))
    assert np.array_equal(volume.hu, ct().transpose(2, 1, 0))
    assert volume.grid.direction == ((-1, 0, 0), (0, -1, 0), (0, 0, 1))


def test_a_left_handed_file_gets_its_dicom_order_back(tmp_path: Path) -> None:
    """As dcm2niix writes: rows from back to front. Voxel [0, 0, 0] becomes the foremost row."""
    affine = np.diag([-0.9, 0.8, 2.0, 1.0])
    affine[:3, 3] = 50, -60, 70
    volume = volume_of(write(tmp_path / "a.nii.gz", affine=affine))
    assert volume.grid.direction == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    # RAS y of the last row: -60 + 5 * 0.8 = -56, which is +56 in LPS
    assert volume.grid.origin_lps_mm == pytest.approx((-50, 56, 70), abs=1e-5)
    assert np.array_equal(volume.hu, ct().transpose(2, 1, 0)[:, ::-1])


def test_dcm2niix_and_we_read_the_same_scan(real_data: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    source = real_data / "totalsegmentator" / "example_ct_dicom"
    program = str(Path(sys.executable).with_name("dcm2niix"))
    command = [program, "-ba", "n", "-z", "n", "-f", "s", "-o", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    ours = load_volume(read_patient(source).exams[0])
    patient = read_patient(tmp_path)
    theirs = load_volume(patient.exams[0])
    assert theirs.grid.same_as(ours.grid, tolerance_mm=1e-3)
    assert np.array_equal(theirs.hu, ours.hu)
    # Its sidecar is no valid JSON (a kernel name ends in a backslash) and is read all the same.
    exam = patient.exams[0]
    assert exam.acquisition.kernel == "Br38f/3"
    assert exam.acquisition.patient_position == "HFS"
    assert exam.date is not None
    assert exam.date.isoformat() == "2022-12-08"
    assert "sidecar_damaged" in [f.code for f in exam.findings]


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "out"),
    [
        (np.int16, None, None, np.int16),
        (np.uint16, 1.0, -1024.0, np.int16),
        (np.int32, None, None, np.int16),
        (np.uint8, 12.0, -1000.0, np.int16),
        (np.float32, None, None, np.int16),
        (np.float64, None, None, np.int16),
        (np.int16, 0.5, -300.0, np.float32),
        (np.float32, 0.25, -300.5, np.float32),
        (np.int16, 40.0, 0.0, np.float32),
    ],
)
def test_slope_and_intercept_give_hu(
    tmp_path: Path, dtype: type, slope: float | None, intercept: float | None, out: type
) -> None:
    rng = np.random.default_rng(1)
    low, high = (0, 255) if np.dtype(dtype).kind == "u" else (-1000, 1000)
    stored = rng.integers(low, high, SHAPE).astype(dtype)
    path = write(tmp_path / "a.nii.gz", stored)
    with gzip.open(path) as stream:
        raw = bytearray(stream.read())
    if slope is not None:
        raw[112:120] = np.array([slope, intercept], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(gzip.compress(bytes(raw)))
    volume = volume_of(path)
    expected = stored.astype(float) * (slope or 1.0) + (intercept or 0.0)
    assert volume.hu.dtype == out
    assert np.allclose(volume.hu, expected.transpose(2, 1, 0), atol=1e-3)
    assert_as_itk(path, volume)


def test_big_endian_and_nifti2(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ct().astype(">i2"), np.eye(4), nib.Nifti1Header(endianness=">"))
    image.set_sform(np.eye(4), 1)
    nib.save(image, tmp_path / "big.nii")
    assert_as_itk(tmp_path / "big.nii", volume_of(tmp_path / "big.nii"))
    two = write(tmp_path / "two.nii", kind=nib.Nifti2Image)
    assert np.array_equal(volume_of(two).hu, ct().transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1.0), ("meter", 0.001), ("micron", 1000.0), ("unknown", 1.0)]
)
def test_units_become_mm(tmp_path: Path, unit: str, factor: float) -> None:
    affine = np.diag([0.9 * factor, 0.8 * factor, 2 * factor, 1])
    affine[:3, 3] = np.array([5, 6, 7]) * factor
    path = write(tmp_path / "a.nii", affine=affine, unit=unit)
    info = describe(path)
    volume = volume_of(path)
    assert volume.grid.spacing_zyx_mm == pytest.approx((2, 0.8, 0.9), rel=1e-6)
    assert volume.grid.origin_lps_mm == pytest.approx((-5, -6, 7), rel=1e-6)
    assert ("unit_not_stated" in [f.code for f in info.findings]) == (unit == "unknown")


def test_metres_without_saying_so_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", affine=np.diag([0.0009, 0.0008, 0.002, 1]), unit="unknown")
    assert codes(describe(path)) == ["implausible_spacing"]


@pytest.mark.parametrize(("shift", "expected"), [(0.09, []), (0.11, ["sform_qform_disagree"])])
def test_sform_and_qform_must_agree(tmp_path: Path, shift: float, expected: list[str]) -> None:
    image = nib.Nifti1Image(ct(), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = shift
    image.set_sform(np.eye(4), 1)
    image.set_qform(moved, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.nii")
    assert codes(describe(tmp_path / "a.nii")) == expected


def test_a_small_turn_counts_where_it_moves_most(tmp_path: Path) -> None:
    """Both origins agree; 0.02 rad over the 7 voxels of 3 mm is 0.36 mm at the far corner."""
    image = nib.Nifti1Image(ct(), np.diag([3, 3, 3, 1]))
    turned = np.eye(4)
    turned[:3, :3] = rotation((0, 0, 0.02)) * 3
    image.set_sform(turned, 1)
    image.set_qform(np.diag([3, 3, 3, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    assert codes(describe(tmp_path / "a.nii")) == ["sform_qform_disagree"]


def test_voxel_sizes_must_agree_with_the_sform(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", qform=0)
    raw = bytearray(path.read_bytes())
    raw[80:84] = np.array([1.0], "<f4").tobytes()  # pixdim[1] was 0.9
    path.write_bytes(bytes(raw))
    assert codes(describe(path)) == ["sform_qform_disagree"]


@pytest.mark.parametrize(
    ("sform", "qform", "expected"),
    [
        (0, 0, ["no_orientation"]),
        (1, 0, []),
        (0, 1, []),
        (2, 1, []),
        (4, 0, ["template_space"]),
        (3, 3, ["template_space"]),
    ],
)
def test_the_codes_of_sform_and_qform(
    tmp_path: Path, sform: int, qform: int, expected: list[str]
) -> None:
    path = write(tmp_path / "a.nii", sform=sform, qform=qform)
    assert codes(describe(path)) == expected


def test_a_sheared_affine_is_refused(tmp_path: Path) -> None:
    """As converters write a tilted gantry: the slices are shifted along y."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 0.1
    image = nib.Nifti1Image(ct(), affine)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    assert "sheared_affine" in codes(describe(tmp_path / "a.nii"))


def test_one_volume_in_four_axes_is_read_and_two_are_refused(tmp_path: Path) -> None:
    assert describe(write(tmp_path / "one.nii", ct((*SHAPE, 1)))).usable
    assert codes(describe(write(tmp_path / "two.nii", ct((*SHAPE, 2))))) == ["several_volumes"]


def labels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 100, SHAPE).astype(np.uint8)


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (labels(), "label_map", ["not_hounsfield"]),
        (labels().astype(np.float32), "label_map", ["not_hounsfield"]),
        (np.random.default_rng(0).random(SHAPE).astype(np.float32), "label_map", None),
        (np.zeros(SHAPE, np.int16), "label_map", ["not_hounsfield"]),
        (ct((10, 10, 10)) + 1074, "volume", ["not_hounsfield"]),  # without its rescale: from 50 up
        (np.maximum(ct(), -50), "volume", []),
        (np.maximum(ct(), -49), "volume", ["not_hounsfield"]),
    ],
)
def test_what_is_no_ct(
    tmp_path: Path, data: np.ndarray, kind: str, expected: list[str] | None
) -> None:
    info = describe(write(tmp_path / "a.nii.gz", data))
    assert info.kind == kind
    assert codes(info) == (["not_hounsfield"] if expected is None else expected)


def test_a_label_map_beside_the_scan_is_nobodys_exam(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii.gz")
    write(tmp_path / "lesions.nii.gz", labels())
    wide = nib.Nifti1Image(labels().astype(np.int64), np.eye(4), dtype=np.int64)
    nib.save(wide, tmp_path / "wide.nii.gz")
    patient = read_patient(tmp_path)
    assert [e.series.files[0].name for e in patient.exams] == ["ct.nii.gz"]
    assert "label_maps_aside" in [f.code for f in patient.findings]
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path / "lesions.nii.gz")
    assert caught.value.code == "not_hounsfield"
    write(tmp_path / "more.nii.gz", labels() + 1)
    (tmp_path / "ct.nii.gz").unlink()
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path)
    assert caught.value.code == "not_hounsfield"


def test_nan_is_not_measured(tmp_path: Path) -> None:
    data = ct().astype(np.float32) + 0.5
    data[0, 1, 2], data[3, 2, 1] = np.nan, np.inf
    path = write(tmp_path / "a.nii", data)
    info = describe(path)
    assert "non_finite_values" in [f.code for f in info.findings]
    volume = volume_of(path)
    assert volume.valid is not None
    assert sorted(map(tuple, np.argwhere(~volume.valid).tolist())) == [(1, 2, 3), (2, 1, 0)]
    assert volume.hu[1, 2, 3] == -1024
    assert np.isfinite(volume.hu).all()
    # the same on a grid that is turned round
    affine = np.diag([0.9, 0.8, -2.0, 1.0])
    turned = volume_of(write(tmp_path / "b.nii", data, affine))
    assert turned.valid is not None
    assert turned.grid.direction[2][2] == -1
    assert int((~turned.valid).sum()) == 2


@pytest.mark.parametrize(("bad", "expected"), [(105, []), (106, ["too_few_values"])])
def test_half_may_be_unmeasured(tmp_path: Path, bad: int, expected: list[str]) -> None:
    data = ct().astype(np.float32)
    data.ravel()[:bad] = np.nan  # of 210
    assert codes(describe(write(tmp_path / "a.nii", data))) == expected


def test_without_a_sidecar_two_files_are_two_people(tmp_path: Path) -> None:
    write(tmp_path / "a.nii")
    write(tmp_path / "b.nii", ct(seed=9))
    series = scan(tmp_path).series
    assert len({s.patient_key for s in series}) == 2
    assert all(s.date is None and s.acquisition.kvp is None for s in series)
    assert all("no_acquisition_facts" in [f.code for f in s.findings] for s in series)
    with pytest.raises(UsageError, match="2 patients"):
        read_patient(tmp_path)


SIDECAR = {
    "Modality": "CT",
    "Manufacturer": "Make\u0000r",
    "ManufacturersModelName": "Model 1",
    "KVP": 100,
    "ConvolutionKernel": "B30f",
    "SliceThickness": 2.0,
    "ContrastBolusAgent": "Iodine",
    "PatientID": "P-1",
    "PatientName": "Secret^Name",
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.3.5",
    "AcquisitionDateTime": "2023-05-06T07:08:09.5",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "PatientPosition": "HFS",
    "SeriesDescription": "Thigh",
}


def test_the_sidecar_tells_who_when_and_how(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text(json.dumps(SIDECAR))
    info = describe(path)
    made = info.acquisition
    assert (made.kvp, made.kernel, made.slice_thickness_mm) == (100.0, "B30f", 2.0)
    assert (made.manufacturer, made.model, made.contrast) == ("Make r", "Model 1", True)
    assert (info.study_uid, info.series_uid, info.description) == ("1.2.3.4", "1.2.3.5", "Thigh")
    assert info.date is not None
    assert (info.date.isoformat(), info.study_time, info.original) == ("2023-05-06", "070809", True)
    assert [f.code for f in info.findings] == ["thick_slices", "contrast_given", "no_dicom_source"]
    assert "Secret" not in repr(info)
    # a second exam of the same person, as DICOM does it
    write(tmp_path / "b.nii.gz", ct(seed=5))
    later = SIDECAR | {"StudyInstanceUID": "1.2.3.6", "StudyDate": "20230606"}
    (tmp_path / "b.json").write_text(json.dumps(later))
    patient = read_patient(tmp_path)
    assert [e.days_from_baseline for e in patient.exams] == [0, 31]


def test_a_sidecar_of_another_modality(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text('{"Modality": "MR"}')
    info = describe(path)
    assert (info.kind, info.usable) == ("other_image", False)
    assert [f.code for f in info.findings] == ["modality_not_supported"]


@pytest.mark.parametrize(
    "text",
    [
        '["a list"]',
        '{"KVP": "many", "PatientID": {"a": 1}, "ImageType": 3, "StudyDate": true}',
        '{"KVP": NaN, "AcquisitionDateTime": "yesterday"}',
        "[" * 100_000,
        '{"StudyInstanceUID": "../../etc", "PatientID": "' + "x" * 500_000 + '"}',
        "\x00\x01",
    ],
)
def test_a_sidecar_that_makes_no_sense_says_nothing(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text(text)
    info = describe(path)
    assert info.usable
    assert (info.acquisition.kvp, info.date) == (None, None)
    assert info.study_uid.startswith("2.25.")


def test_a_huge_sidecar_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text(json.dumps({"KVP": 80, "x": "y" * 2**20}))
    assert describe(path).acquisition.kvp is None


def test_a_header_that_asks_for_too_much_gets_nothing(tmp_path: Path) -> None:
    """Sizes are looked at before memory is asked for; what a gzip stream holds beyond is left."""
    path = write(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()  # dim[1..3]
    path.write_bytes(bytes(raw))
    assert codes(describe(path))[0] == "volume_file_too_large"
    raw[42:48] = np.array([700, 600, 500], "<i2").tobytes()
    path.write_bytes(bytes(raw))
    assert codes(describe(path)) == ["truncated_files"]
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(bytes(raw)))
    assert codes(describe(packed)) == ["truncated_files"]
    raw[42:48] = np.array([7, 6, 5], "<i2").tobytes()
    packed.write_bytes(gzip.compress(bytes(raw) + b"\0" * 50_000_000))
    assert np.array_equal(volume_of(packed).hu, ct().transpose(2, 1, 0))


@pytest.mark.parametrize("cut", [3, 60, 300, -3])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd"])
def test_a_cut_file_is_refused_or_is_none(tmp_path: Path, name: str, cut: int) -> None:
    path = tmp_path / name
    write(path) if ".nii" in name else write_nrrd(path)
    path.write_bytes(path.read_bytes()[:cut])
    info = describe_volume_file(path, IntakeSettings())
    assert info is None or codes(info)[0] in ("truncated_files", "volume_file_unreadable")


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(["a.nii", "a.nrrd"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_headers_end_in_a_finding(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("bad") / name
    write(path) if name == "a.nii" else write_nrrd(path)
    raw = bytearray(path.read_bytes())
    for at, value in changes:
        raw[at] = value
    path.write_bytes(bytes(raw))
    info = describe_volume_file(path, IntakeSettings())
    if info is not None and info.usable and info.grid is not None:
        read_volume_file(path, info.grid)


def test_a_file_that_changed_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii")
    grid = describe(path).grid
    assert grid is not None
    write(path, affine=np.eye(4))
    with pytest.raises(InputRefused, match="has changed"):
        read_volume_file(path, grid)
    path.unlink()
    with pytest.raises(InputRefused, match="No such file"):
        read_volume_file(path, grid)


def test_other_files_are_none(tmp_path: Path) -> None:
    for name, content in (("a.nii", b"hello"), ("a.nii.gz", b"hello"), ("a.nrrd", b"hello")):
        (tmp_path / name).write_bytes(content)
        assert describe_volume_file(tmp_path / name, IntakeSettings()) is None
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"hello"))
    assert describe_volume_file(tmp_path / "b.nii.gz", IntakeSettings()) is None
    assert volume_format(Path("a.NII.GZ")) == "nifti"
    assert volume_format(Path("a.dcm")) is None


def test_thickness_and_count_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", affine=np.diag([1, 1, 11.0, 1]))
    assert codes(describe(path)) == ["slice_too_thick"]
    assert codes(describe(write(tmp_path / "b.nii", ct((7, 6, 4))))) == ["too_few_slices"]
    strict = describe(write(tmp_path / "c.nii"), refuse_at="warning")
    assert not strict.usable
    assert "no_acquisition_facts" in codes(strict)


# --- NRRD -----------------------------------------------------------------------------------------


def write_nrrd(
    path: Path,
    axes: np.ndarray | None = None,
    origin: tuple[float, ...] = (1.0, 2.0, 3.0),
    *,
    space: str | None = "left-posterior-superior",
    encoding: str = "gzip",
    extra: str = "",
    drop: str = "",
    data: bytes | None = None,
) -> Path:
    """An NRRD file straight from the format's definition."""
    axes = np.diag([0.9, 0.8, 2.0]) if axes is None else axes
    vectors = " ".join("(" + ",".join(f"{v:.12g}" for v in axes[:, k]) + ")" for k in range(3))
    fields = {
        "type": "short",
        "dimension": "3",
        "space": space,
        "sizes": " ".join(map(str, SHAPE)),
        "space directions": vectors,
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": encoding,
        "space origin": "(" + ",".join(map(str, origin)) + ")",
    }
    lines = ["NRRD0004", "# by a test"]
    lines += [f"{k}: {v}" for k, v in fields.items() if v is not None and k != drop]
    raw = ct().transpose(2, 1, 0).astype("<i2").tobytes() if data is None else data
    body = gzip.compress(raw) if encoding == "gzip" else raw
    if "data file" in extra:
        body = b""
    path.write_bytes(("\n".join(lines) + "\n" + extra + "\n").encode() + body)
    return path


@pytest.mark.parametrize(
    "space", ["left-posterior-superior", "LPS", "RAS", "left-anterior-superior"]
)
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd_spaces(tmp_path: Path, space: str, encoding: str) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", space=space, encoding=encoding)
    volume = volume_of(path)
    signs = {"l": (1, 1), "r": (-1, -1)}[space[0].lower()]
    if "anterior" in space:
        signs = (1, -1)
    first = volume.grid.to_index_zyx((signs[0] * 1.0, signs[1] * 2.0, 3.0))
    corner = tuple(np.rint(first).astype(int))
    assert np.allclose(first, corner, atol=1e-6)
    assert volume.hu[corner] == ct()[0, 0, 0]
    if "anterior" not in space:  # ITK 5.4 takes LAS for what it is not told
        assert_as_itk(path, volume)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"space": None}, "unknown_space"),
        ({"space": "scanner-xyz"}, "unknown_space"),
        ({"extra": 'space units: "m" "m" "m"\n'}, "unknown_space"),
        ({"drop": "space directions"}, "no_orientation"),
        ({"drop": "space origin"}, "no_orientation"),
        ({"axes": np.array([[1, 0, 0], [0, 1, 0.1], [0, 0, 2.0]])}, "sheared_affine"),
        ({"encoding": "ascii"}, "volume_file_unreadable"),
        ({"drop": "endian"}, "volume_file_unreadable"),
        ({"drop": "type"}, "volume_file_unreadable"),
        ({"drop": "sizes"}, "volume_file_unreadable"),
        ({"extra": "line skip: 2\n"}, "volume_file_unreadable"),
        ({"extra": "byte skip: 2\n"}, "volume_file_unreadable"),
        ({"extra": "space: RAS\n"}, "volume_file_unreadable"),
        ({"data": b"\0" * 100, "encoding": "raw"}, "truncated_files"),
    ],
)
def test_nrrd_refusals(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    assert codes(describe(write_nrrd(tmp_path / "a.nrrd", **change))) == [expected]


def test_units_in_mm_may_be_named(tmp_path: Path) -> None:
    assert describe(write_nrrd(tmp_path / "a.nrrd", extra='space units: "mm" "mm" "mm"\n')).usable


@pytest.mark.parametrize(("skip", "before"), [(0, b""), (16, b"x" * 16), (-1, b"y" * 7)])
def test_a_detached_header(tmp_path: Path, skip: int, before: bytes) -> None:
    raw = ct().transpose(2, 1, 0).astype("<i2").tobytes()
    (tmp_path / "voxels.raw").write_bytes(before + raw)
    path = write_nrrd(
        tmp_path / "a.nhdr",
        encoding="raw",
        extra=f"byte skip: {skip}\ndata file: ./voxels.raw\n",
    )
    assert_as_itk(path, volume_of(path))


@pytest.mark.parametrize(
    "name", ["../voxels.raw", "/etc/hostname", "sub/voxels.raw", "..", "missing.raw", "link.raw"]
)
def test_a_detached_header_does_not_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    raw = ct().astype("<i2").tobytes()
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "voxels.raw").write_bytes(raw)
    (folder / "sub" / "voxels.raw").write_bytes(raw)
    (folder / "link.raw").symlink_to(tmp_path / "voxels.raw")
    path = write_nrrd(folder / "a.nhdr", encoding="raw", extra=f"data file: {name}\n")
    assert codes(describe(path)) == ["volume_file_unreadable"]


def test_a_short_data_file(tmp_path: Path) -> None:
    (tmp_path / "v.raw").write_bytes(b"\0" * 10)
    extra = "byte skip: -1\ndata file: v.raw\n"
    path = write_nrrd(tmp_path / "a.nhdr", encoding="raw", extra=extra)
    assert codes(describe(path)) == ["volume_file_unreadable"]


# --- where other formats put their axes -----------------------------------------------------------


def test_frames_of_other_formats() -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 4, 5, 6
    assert grid_of_affine(affine, (2, 2, 2), "LPS").origin_lps_mm == (4, 5, 6)
    ras = grid_of_affine(affine, (2, 2, 2), "RAS")
    assert ras.origin_lps_mm == (-4, -5, 6)
    assert ras.spacing_zyx_mm == (3, 2, 1)
    assert ras.direction == ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
    for frame in ("XYZ", "RA", "SAR", ""):
        with pytest.raises(ValueError, match="frame"):
            grid_of_affine(affine, (2, 2, 2), frame)
    with pytest.raises(ValueError, match="singular"):
        grid_of_affine(np.diag([1.0, 0.0, 1.0, 1.0]), (2, 2, 2), "RAS")
