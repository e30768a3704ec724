"""Three masks in one map and back, also through a file and for other readers of it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from hoimg.anatomy import Anatomy, unpacked
from hoimg.geometry import Grid
from hoimg.image import Mask, read_grid, read_mask, write_nifti

GRID = Grid((3, 4, 5), (2.0, 0.7, 0.8), (-3.5, 10.25, 700.0), ((0, 1, 0), (-1, 0, 0), (0, 0, 1)))


def anatomy() -> Anatomy:
    """Each of the eight combinations of the masks somewhere."""
    values = (np.arange(60) % 8).reshape(GRID.size_zyx)
    body, skeleton, metal = ((values // n) % 2 == 1 for n in (1, 2, 4))
    return Anatomy(Mask(body, GRID), Mask(skeleton, GRID), Mask(metal, GRID))


def test_every_combination_comes_back():
    given = anatomy()
    packed = given.packed()
    assert packed.array.dtype == np.uint8
    assert packed.array.ravel()[:9].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    back = unpacked(packed)
    for name in ("body", "skeleton", "metal"):
        mask = getattr(back, name)
        assert mask.array.dtype == bool
        assert np.array_equal(mask.array, getattr(given, name).array)
        assert mask.grid is packed.grid


@pytest.mark.parametrize("slices", [1, 63, 64, 65, 128, 129])
def test_every_slice_is_packed(slices):
    grid = Grid((slices, 1, 1), (1.0, 1.0, 1.0))
    z = np.arange(slices)
    masks = (z % 2 == 0, z % 3 == 0, z == slices - 1)
    packed = Anatomy(*(Mask(m.reshape(-1, 1, 1), grid) for m in masks)).packed()
    expected = [(k % 2 == 0) * 1 + (k % 3 == 0) * 2 + (k == slices - 1) * 4 for k in range(slices)]
    assert packed.array.ravel().tolist() == expected


def test_masks_of_numbers_count_like_truth():
    given = anatomy()
    counted = Anatomy(
        given.body, Mask(given.skeleton.array.astype(np.uint16) * 9, GRID), given.metal
    )
    assert np.array_equal(counted.packed().array, given.packed().array)


def test_the_file_is_placed_and_others_read_the_bits(tmp_path):
    packed = anatomy().packed()
    path = tmp_path / "anatomy.nii.gz"
    write_nifti(path, packed.array, packed.grid)
    assert read_grid(path).same_as(GRID)
    assert np.array_equal(read_mask(path).array, packed.array)
    image = nib.load(path)
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj).T, packed.array)
    # Voxel x=4, y=1, z=2 by the direction cosines, by hand: LPS, and RAS in the file.
    x, y, z = -3.5 + 1 * 0.7, 10.25 - 4 * 0.8, 700.0 + 2 * 2.0
    assert np.allclose(image.affine @ [4, 1, 2, 1], [-x, -y, z, 1], atol=1e-4)
