"""Volumes and masks, and the one place where LPS meets RAS (checked with nibabel)."""

from __future__ import annotations

import gzip
import resource

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import (
    CTVolume,
    Mask,
    Radiograph,
    from_sitk,
    grid_of_sitk,
    read_mask,
    resample_mask,
    to_sitk,
    write_nifti,
)

OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))


def oblique_grid(size=(3, 4, 5)) -> Grid:
    return Grid(size, (2.5, 0.9, 0.7), (-40.0, 12.0, 300.0), OBLIQUE)


def test_array_and_grid_must_agree():
    grid = Grid((2, 3, 4), (1, 1, 1))
    with pytest.raises(ValueError, match="does not fit"):
        CTVolume(np.zeros((2, 3, 5), np.int16), grid)
    with pytest.raises(ValueError, match="does not fit"):
        Mask(np.zeros((4, 3, 2), bool), grid)
    with pytest.raises(ValueError, match="valid"):
        CTVolume(np.zeros((2, 3, 4), np.int16), grid, np.ones((2, 3, 5), bool))


def test_number_types_are_checked():
    grid = Grid((2, 3, 4), (1, 1, 1))
    for good in (np.int16, np.float32):
        assert CTVolume(np.zeros((2, 3, 4), good), grid).hu.dtype == good
    for bad in (np.float64, np.uint16, np.int32):
        with pytest.raises(ValueError, match="int16 or float32"):
            CTVolume(np.zeros((2, 3, 4), bad), grid)
    for good in (bool, np.uint8, np.uint16):
        assert Mask(np.zeros((2, 3, 4), good), grid).array.dtype == good
    for bad in (np.int16, np.float32):
        with pytest.raises(ValueError, match="mask"):
            Mask(np.zeros((2, 3, 4), bad), grid)


def test_from_array_keeps_int16_and_narrows_others():
    whole = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = CTVolume.from_array(whole, (3.0, 1.0, 1.0), (1.0, 2.0, 3.0))
    assert volume.hu is whole
    assert volume.grid == Grid((2, 3, 4), (3.0, 1.0, 1.0), (1.0, 2.0, 3.0))
    fractions = CTVolume.from_array(whole.astype(float) + 0.5, (3.0, 1.0, 1.0))
    assert fractions.hu.dtype == np.float32
    assert fractions.hu[0, 0, 1] == 1.5


def test_crop_takes_pixels_grid_and_validity_along():
    hu = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    valid = hu > 30
    box = (slice(1, 3), slice(0, 2), slice(2, 5))
    part = CTVolume(hu, oblique_grid(), valid).crop(box)
    np.testing.assert_array_equal(part.hu, hu[1:3, 0:2, 2:5])
    np.testing.assert_array_equal(part.valid, valid[1:3, 0:2, 2:5])
    np.testing.assert_allclose(
        part.grid.to_lps_mm((0, 0, 0)), oblique_grid().to_lps_mm((1, 0, 2)), atol=1e-9
    )
    mask = Mask(valid, oblique_grid()).crop(box)
    np.testing.assert_array_equal(mask.array, part.valid)
    assert CTVolume(hu, oblique_grid()).crop(box).valid is None


def test_radiograph_states_where_its_spacing_is_from():
    film = Radiograph(np.zeros((2, 2), np.float32), None, "none")
    assert film.spacing_yx_mm is None
    assert film.spacing_source == "none"


@given(st.tuples(*[st.integers(2, 6)] * 3), st.tuples(*[st.floats(0.3, 5)] * 3))
def test_to_itk_and_back(size, spacing):
    grid = Grid(size, spacing, (7.0, -8.0, 9.0), OBLIQUE)
    array = np.arange(np.prod(size), dtype=np.uint16).reshape(size)
    back, back_grid = from_sitk(to_sitk(array, grid))
    np.testing.assert_array_equal(back, array)
    assert back_grid.same_as(grid, tolerance_mm=1e-6)


def test_an_itk_voxel_lies_where_the_grid_says():
    image = to_sitk(np.zeros((3, 4, 5), bool), oblique_grid())
    assert image.GetSize() == (5, 4, 3)
    assert image.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint((4, 1, 2)), oblique_grid().to_lps_mm((2, 1, 4))
    )
    assert grid_of_sitk(image).same_as(oblique_grid(), 1e-6)


@pytest.mark.parametrize("slices", [1, 63, 64, 65, 128, 129])
def test_every_slice_is_in_the_file_however_many_are_packed_in_one_go(tmp_path, slices):
    array = np.arange(slices * 6, dtype=np.uint16).reshape(slices, 2, 3)
    for given_array in (array, array[::-1], np.asfortranarray(array)):
        write_nifti(tmp_path / "m.nii.gz", given_array, Grid(array.shape, (1.0, 1.0, 1.0)))
        held = np.asarray(nib.load(tmp_path / "m.nii.gz").dataobj)
        np.testing.assert_array_equal(held.T, given_array)


def test_nifti_is_placed_in_ras_by_another_reader(tmp_path):
    array = np.zeros((3, 4, 5), np.uint16)
    array[2, 1, 4] = 7
    write_nifti(tmp_path / "m.nii.gz", array, oblique_grid())
    image = nib.load(tmp_path / "m.nii.gz")
    i, j, k = np.argwhere(np.asanyarray(image.dataobj) == 7)[0]
    ras = (image.affine @ [i, j, k, 1])[:3]
    lps = oblique_grid().to_lps_mm((2, 1, 4))
    np.testing.assert_allclose(ras, lps * [-1, -1, 1], atol=1e-3)


def test_mask_file_round_trip(tmp_path):
    array = np.random.default_rng(1).integers(0, 4, (3, 4, 5)).astype(np.uint16)
    write_nifti(tmp_path / "m.nii.gz", array, oblique_grid())
    mask = read_mask(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(mask.array, array)
    assert mask.grid.same_as(oblique_grid(), tolerance_mm=1e-3)


def test_mask_drawn_by_another_program_lands_in_place(tmp_path):
    # nibabel writes RAS: a voxel at RAS (-10, -20, 30) is LPS (10, 20, 30).
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = [0, 0, 10]
    data = np.zeros((30, 30, 20), np.uint8)
    data[10, 20, 10] = 1
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "roi.nii.gz")
    mask = read_mask(tmp_path / "roi.nii.gz")
    place = mask.grid.to_lps_mm(np.argwhere(mask.array)[0])
    np.testing.assert_allclose(place, [10, 20, 30], atol=1e-4)


@pytest.mark.parametrize(
    ("values", "code"),
    [([0.0, 0.5], "mask_not_labels"), ([-1.0, 1.0], "mask_not_labels"), ([0.0, 65536.0], None)],
)
def test_what_is_no_label_map_is_refused(tmp_path, values, code):
    array = np.resize(np.array(values, np.float32), (2, 2, 2))
    write_nifti(tmp_path / "m.nii.gz", array, Grid((2, 2, 2), (1, 1, 1)))
    with pytest.raises(InputRefused, match=r"m\.nii\.gz") as caught:
        read_mask(tmp_path / "m.nii.gz")
    assert caught.value.code == (code or "mask_not_labels")
    assert caught.value.exit_code == 3


def test_the_largest_label_is_kept(tmp_path):
    array = np.full((2, 2, 2), 65535, np.float32)
    write_nifti(tmp_path / "m.nii.gz", array, Grid((2, 2, 2), (1, 1, 1)))
    assert read_mask(tmp_path / "m.nii.gz").array.max() == 65535


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "no.nii.gz").write_bytes(gzip.compress(b"words"))
    with pytest.raises(InputRefused, match="label map") as caught:
        read_mask(tmp_path / "no.nii.gz")
    assert caught.value.code == "mask_unreadable"
    with pytest.raises(InputRefused):
        read_mask(tmp_path / "absent.nii.gz")


def test_a_flat_picture_is_no_3d_mask(tmp_path):
    sitk.WriteImage(sitk.Image([4, 4], sitk.sitkUInt8), str(tmp_path / "flat.nrrd"))
    with pytest.raises(InputRefused, match="3D"):
        read_mask(tmp_path / "flat.nrrd")


def test_resampling_onto_the_same_grid_changes_nothing():
    mask = Mask(np.ones((3, 4, 5), bool), oblique_grid())
    assert resample_mask(mask, oblique_grid()) is mask


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_resampling_moves_a_block_by_position(dz, dy, dx):
    # The target is a crop of the source: every voxel must take the label at its own place.
    source = Grid((8, 8, 8), (2.0, 1.0, 1.0), (5.0, 6.0, 7.0), OBLIQUE)
    array = np.random.default_rng(2).integers(0, 300, (8, 8, 8)).astype(np.uint16)
    box = (slice(dz, dz + 3), slice(dy, dy + 4), slice(dx, dx + 4))
    moved = resample_mask(Mask(array, source), source.crop(box))
    np.testing.assert_array_equal(moved.array, array[box])
    assert moved.array.dtype == np.uint16


def test_resampling_to_finer_voxels_keeps_the_volume():
    coarse = Grid((6, 6, 6), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0))
    array = np.zeros((6, 6, 6), bool)
    array[1:4, 2:5, 2:4] = True
    fine = Grid((12, 12, 12), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
    moved = resample_mask(Mask(array, coarse), fine)
    assert moved.array.dtype == bool
    assert moved.array.sum() * fine.voxel_volume_mm3 == array.sum() * coarse.voxel_volume_mm3


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(1, 7)] * 3),
    st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_a_nifti_file_holds_the_bytes_that_itk_writes(tmp_path_factory, size, dtype, turned, seed):
    folder = tmp_path_factory.mktemp("nifti")
    grid = Grid(size, (2.5, 0.9, 0.7), (-40.0, 12.0, 300.0), *([OBLIQUE] if turned else []))
    array = np.random.default_rng(seed).integers(0, 200, size).astype(dtype)
    sitk.WriteImage(to_sitk(array, grid), str(folder / "itk.nii"))
    for given_array in (array, np.asfortranarray(array)):
        write_nifti(folder / "ours.nii.gz", given_array, grid)
        held = gzip.decompress((folder / "ours.nii.gz").read_bytes())
        assert held == (folder / "itk.nii").read_bytes()


def test_a_map_that_does_not_fit_onto_the_disk_is_an_error(tmp_path):
    array = np.random.default_rng(0).integers(0, 60000, (10, 40, 40)).astype(np.uint16)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="not written whole"):
            write_nifti(tmp_path / "x.nii.gz", array, Grid(array.shape, (1.0, 1.0, 1.0)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    write_nifti(tmp_path / "x.nii.gz", array, Grid(array.shape, (1.0, 1.0, 1.0)))
    assert np.array_equal(read_mask(tmp_path / "x.nii.gz").array, array)
