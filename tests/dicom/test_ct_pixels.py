"""Pixels: HU to the last digit, padding, decoders, and two other programs that must agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from synthetic_ct import AXIAL, SERIES, noise, stack, write_ct, write_slice

from hoimg.dicom import load_volume, read_patient
from hoimg.errors import InputRefused
from hoimg.image import CTVolume

TURN = Rotation.from_euler("zyx", [20, -35, 10], degrees=True).as_matrix()
ORIENTATIONS = {
    "axial": AXIAL,
    "prone": (-1, 0, 0, 0, -1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "mirrored": (1, 0, 0, 0, -1, 0),
    "oblique": (*TURN[:, 0], *TURN[:, 1]),
}


def load(folder: Path) -> CTVolume:
    return load_volume(read_patient(folder).exams[0])


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("step", [1.0, -1.0])
def test_every_voxel_keeps_its_place(tmp_path: Path, name: str, step: float) -> None:
    cosines = ORIENTATIONS[name]
    stored = noise()
    places = stack(6, step, cosines)
    write_ct(tmp_path, stored, places, cosines=cosines)
    volume = load(tmp_path)
    assert volume.hu.dtype == np.int16
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    for k, r, c in [(0, 0, 0), (1, 9, 0), (4, 2, 7), (5, 9, 11)]:
        point = places[k] + c * 0.9 * row + r * 0.7 * column
        z, y, x = np.rint(volume.grid.to_index_zyx(point)).astype(int)
        assert volume.grid.to_lps_mm((z, y, x)) == pytest.approx(point, abs=1e-4)
        assert volume.hu[z, y, x] == stored[k, r, c] - 1024


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_simpleitk_reads_the_same_volume(tmp_path: Path, name: str) -> None:
    write_ct(tmp_path, noise(), stack(6, 1.0, ORIENTATIONS[name]), cosines=ORIENTATIONS[name])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    volume = load(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.hu)
    assert image.GetSpacing() == pytest.approx(volume.grid.spacing_zyx_mm[::-1], abs=1e-5)
    for index in volume.grid.corners_zyx():
        point = image.TransformContinuousIndexToPhysicalPoint(index[::-1].tolist())
        assert volume.grid.to_lps_mm(index) == pytest.approx(point, abs=1e-3)


def dcm2niix(folder: Path, out: Path) -> nib.Nifti1Image:
    out.mkdir()
    command = [str(Path(sys.executable).with_name("dcm2niix")), "-z", "n", "-f", "ct"]
    done = subprocess.run(
        [*command, "-o", str(out), str(folder)], capture_output=True, text=True, check=False
    )
    files = list(out.glob("*.nii"))
    assert len(files) == 1, done.stdout
    return nib.load(files[0])


def agrees_with_nifti(volume: CTVolume, image: nib.Nifti1Image) -> None:
    """Compare through physical space: converters may flip axes, the voxels may not move."""
    data = np.asanyarray(image.dataobj)
    assert data.size == volume.hu.size
    # Every voxel of a small volume; of a real one every fifth along a row and down a column.
    every = 1 if volume.hu.size < 1e5 else 5
    axes = [np.arange(0, n, 1 if a == 0 else every) for a, n in enumerate(volume.hu.shape)]
    zyx = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    lps = volume.grid.to_lps_mm(zyx)
    ras = lps * (-1, -1, 1)
    inverse = np.linalg.inv(image.affine)
    ijk = ras @ inverse[:3, :3].T + inverse[:3, 3]
    assert np.abs(ijk - np.rint(ijk)).max() < 0.01
    i, j, k = np.rint(ijk).astype(int).T
    np.testing.assert_array_equal(data[i, j, k], volume.hu[tuple(zyx.T)])


@pytest.mark.parametrize("name", ["axial", "prone", "sagittal", "coronal", "oblique"])
def test_dcm2niix_puts_every_voxel_at_the_same_place(tmp_path: Path, name: str) -> None:
    cosines = ORIENTATIONS[name]
    folder = tmp_path / "dicom"
    write_ct(folder, noise(), stack(6, 1.0, cosines), cosines=cosines, Manufacturer="GE")
    agrees_with_nifti(load(folder), dcm2niix(folder, tmp_path / "nifti"))


@pytest.mark.parametrize(
    "folder",
    ["totalsegmentator/example_ct_dicom", "qrm_phantom/dicom", "plastic_skull/ct_5mm_standard"],
)
def test_real_scanners_agree_with_dcm2niix(real_data: Path, tmp_path: Path, folder: str) -> None:
    agrees_with_nifti(load(real_data / folder), dcm2niix(real_data / folder, tmp_path / "out"))


@pytest.mark.parametrize("implicit", [False, True])
def test_signed_pixels_and_a_rescale_per_slice(tmp_path: Path, implicit: bool) -> None:
    stored = noise() - 1500
    for k, place in enumerate(stack(6)):
        write_slice(
            tmp_path / f"s{k}",
            stored[k],
            place,
            number=k + 1,
            signed=True,
            implicit=implicit,
            RescaleSlope=str(1 + k % 2),
            RescaleIntercept=str(10 * k),
        )
    expected = stored * np.array([1, 2, 1, 2, 1, 2])[:, None, None]
    expected = expected + 10 * np.arange(6)[:, None, None]
    np.testing.assert_array_equal(load(tmp_path).hu, expected)


def test_fractional_rescale_gives_float32(tmp_path: Path) -> None:
    stored = noise()
    write_ct(tmp_path, stored, RescaleSlope="0.25", RescaleIntercept="-1000.5")
    volume = load(tmp_path)
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, stored * 0.25 - 1000.5)  # exact in binary


def test_fractional_slope_with_whole_results_stays_int16(tmp_path: Path) -> None:
    stored = noise() * 2
    write_ct(tmp_path, stored, RescaleSlope="0.5", RescaleIntercept="-1024")
    volume = load(tmp_path)
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, stored // 2 - 1024)


@pytest.mark.parametrize(("top", "kind"), [(33791, np.int16), (33792, np.float32)])
def test_values_beyond_int16_are_kept(tmp_path: Path, top: int, kind: type) -> None:
    stored = noise()
    stored[3, 4, 5] = top  # 32767 + 1024 is the last that fits
    write_ct(tmp_path, stored)
    volume = load(tmp_path)
    assert volume.hu.dtype == kind
    np.testing.assert_array_equal(volume.hu, stored - 1024)


def test_padding_is_not_valid_and_keeps_its_value(tmp_path: Path) -> None:
    stored = noise() - 1000
    stored[:, 0, :3] = -2000
    write_ct(tmp_path, stored, signed=True, PixelPaddingValue=-2000)
    volume = load(tmp_path)
    assert volume.valid is not None
    np.testing.assert_array_equal(~volume.valid, stored == -2000)
    assert volume.hu[0, 0, 0] == -3024


@pytest.mark.parametrize(("signed", "value", "limit"), [(True, -2000, -1995), (False, 2990, 2999)])
def test_padding_range(tmp_path: Path, signed: bool, value: int, limit: int) -> None:
    stored = noise() - (2500 if signed else 0)
    write_ct(tmp_path, stored, signed=signed, PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
    volume = load(tmp_path)
    assert volume.valid is not None
    np.testing.assert_array_equal(~volume.valid, (stored >= value) & (stored <= limit))


def test_padding_on_some_slices_only(tmp_path: Path) -> None:
    stored = noise()
    stored[2] = np.minimum(stored[2], 2500)
    stored[2, :2] = 4000
    write_ct(tmp_path, stored, PixelPaddingValue=4000)
    volume = load(tmp_path)
    assert volume.valid is not None
    assert (~volume.valid).sum(axis=(1, 2)).tolist() == [0, 0, 24, 0, 0, 0]


def test_no_padding_in_the_pixels_means_no_mask(tmp_path: Path) -> None:
    write_ct(tmp_path, PixelPaddingValue=60000)
    assert load(tmp_path).valid is None


def test_a_file_that_changed_after_the_scan_is_named(tmp_path: Path) -> None:
    files = write_ct(tmp_path)
    exam = read_patient(tmp_path).exams[0]
    write_slice(files[2], np.zeros((4, 4)), stack(6)[2], number=3)
    with pytest.raises(InputRefused, match=f"{files[2].name}.*pixels where") as refusal:
        load_volume(exam)
    assert refusal.value.code == "pixels_unreadable"
    files[2].write_bytes(b"no more DICOM")
    with pytest.raises(InputRefused, match=files[2].name):
        load_volume(exam)


def test_files_without_part_10_header_are_read(tmp_path: Path) -> None:
    stored = noise()
    for file in write_ct(tmp_path, stored, implicit=True):
        content = file.read_bytes()
        start = content.index(b"\x08\x00\x08\x00", 132)  # first element after the meta group
        file.write_bytes(content[start:])
    np.testing.assert_array_equal(load(tmp_path).hu, stored - 1024)
    assert read_patient(tmp_path).exams[0].series.series_uid == SERIES
