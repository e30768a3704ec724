"""Native skeletons that other programs made: which labels or files count as bone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hoimg.dicom.masks import TOTALSEGMENTATOR_BONES, read_skeleton
from hoimg.errors import InputRefused

AFFINE = np.diag([-1.5, -2.0, 3.0, 1.0])  # RAS; both in-plane axes run as in DICOM


def write(path: Path, array_xyz: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """With nibabel, as those programs do; ``array_xyz`` is indexed x, y, z."""
    nib.save(nib.Nifti1Image(array_xyz, affine), path)
    return path


def columns(*values: int) -> np.ndarray:
    """A label map in which the label of column x is ``values[x]``."""
    array = np.zeros((len(values), 4, 5), np.uint8)
    array += np.asarray(values, np.uint8)[:, None, None]
    return array


def test_a_plain_label_map_counts_whole(tmp_path: Path) -> None:
    read = read_skeleton(write(tmp_path / "bone.nii.gz", columns(0, 1, 0, 3, 117)))
    assert read.array.dtype == bool
    assert read.array.shape == (5, 4, 5)
    assert read.array[0, 0].tolist() == [False, True, False, True, True]
    assert read.grid.spacing_zyx_mm == pytest.approx((3.0, 2.0, 1.5))
    assert np.allclose(read.grid.to_lps_mm((1, 1, 1)), (1.5, 2.0, 3.0))


MANY = (1, 5, 20, 25, 50, 51, 69, 75, 80, 88, 91, 92, 116, 117)
IS_BONE = (0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0)


def test_of_many_classes_only_bones_count(tmp_path: Path) -> None:
    """Sacrum 25, vertebrae 26-50, limbs 69-78, skull 91, ribs 92-115, sternum 116; no organ."""
    read = read_skeleton(write(tmp_path / "total.nii.gz", columns(0, *MANY)))
    assert read.array[0, 0].tolist() == [False, *map(bool, IS_BONE)]


@pytest.mark.parametrize(("count", "organs_count"), [(10, True), (11, False)])
def test_ten_labels_are_plain_and_eleven_are_classes(
    tmp_path: Path, count: int, organs_count: bool
) -> None:
    labels = [1, *range(25, 24 + count)]
    assert len(labels) == count
    read = read_skeleton(write(tmp_path / "m.nii.gz", columns(*labels)))
    assert bool(read.array[0, 0, 0]) is organs_count
    assert read.array[0, 0, 1:].all()


def test_a_label_above_the_classes_makes_it_a_plain_map(tmp_path: Path) -> None:
    read = read_skeleton(write(tmp_path / "m.nii.gz", columns(*range(1, 13), 118)))
    assert read.array.all()


def test_classes_without_bone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="holds no bone") as caught:
        read_skeleton(write(tmp_path / "organs.nii.gz", columns(*range(1, 15))))
    assert caught.value.code == "mask_empty"
    assert not TOTALSEGMENTATOR_BONES & set(range(1, 15))


def test_an_empty_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"empty\.nii\.gz") as caught:
        read_skeleton(write(tmp_path / "empty.nii.gz", columns(0, 0, 0)))
    assert caught.value.code == "mask_empty"


def test_the_real_classes_of_a_pelvis_are_read(real_data: Path) -> None:
    path = real_data / "totalsegmentator" / "example_seg_fast_force_split.nii.gz"
    read = read_skeleton(path)
    image = nib.load(path)
    classes = np.asarray(image.dataobj)
    bones = {25, *range(26, 51), *range(69, 79), 91, *range(92, 117)}
    wanted = np.isin(classes, sorted(bones))
    assert 0 < wanted.sum() < (classes > 0).sum()
    assert read.array.sum() == wanted.sum()
    # The same place in space: nibabel says RAS, hoimg LPS.
    centre = nib.affines.apply_affine(image.affine, np.argwhere(wanted)).mean(axis=0)
    ours = read.grid.to_lps_mm(np.argwhere(read.array)).mean(axis=0)
    assert np.allclose(ours, centre * (-1, -1, 1), atol=0.05)


def test_a_folder_joins_its_bones_and_leaves_other_structures(tmp_path: Path) -> None:
    write(tmp_path / "femur_left.nii.gz", columns(1, 0, 0, 0))
    write(tmp_path / "hip_right.nii", columns(0, 2, 0, 0))
    write(tmp_path / "liver.nii.gz", columns(0, 0, 1, 0))
    write(tmp_path / "rib_left_1.nii.gz", columns(0, 0, 0, 0))
    (tmp_path / "hip.json").write_text("{}")
    read = read_skeleton(tmp_path)
    assert read.array[0, 0].tolist() == [True, True, False, False]


def test_masks_of_a_folder_are_joined_in_space_not_by_index(tmp_path: Path) -> None:
    write(tmp_path / "femur_left.nii.gz", columns(1, 0, 0, 0))
    moved = AFFINE.copy()
    moved[0, 3] = -3.0  # RAS: two columns of 1.5 mm towards the right of the image
    write(tmp_path / "hip_left.nii.gz", columns(1, 0, 0, 0), moved)
    read = read_skeleton(tmp_path)
    assert read.array[0, 0].tolist() == [True, False, True, False]


@pytest.mark.parametrize("names", [[], ["liver.nii.gz", "spleen.nii.gz"]])
def test_a_folder_without_bones_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write(tmp_path / name, columns(1, 1))
    with pytest.raises(InputRefused, match="femur_left") as caught:
        read_skeleton(tmp_path)
    assert caught.value.code == "mask_empty"
    assert str(tmp_path) in str(caught.value)


def test_a_folder_of_empty_bones_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "femur_left.nii.gz", columns(0, 0))
    write(tmp_path / "femur_right.nii.gz", columns(0, 0))
    with pytest.raises(InputRefused, match="all empty") as caught:
        read_skeleton(tmp_path)
    assert caught.value.code == "mask_empty"


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 3, 3), 0.5, np.float32),
        np.full((3, 3, 3), -1, np.int16),
        np.full((3, 3, 3), 65536, np.int32),
    ],
    ids=["fraction", "negative", "too-large"],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    path = write(tmp_path / "map.nii.gz", array)
    with pytest.raises(InputRefused, match=r"map\.nii\.gz") as caught:
        read_skeleton(path)
    assert caught.value.code == "mask_not_labels"


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bone.nii.gz"
    path.write_text("not an image")
    with pytest.raises(InputRefused, match=r"bone\.nii\.gz") as caught:
        read_skeleton(path)
    assert caught.value.code == "mask_unreadable"
