"""Native skeletons that other programs made: which labels, files and names count as bone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from mask_writers import make_grid
from nibabel.nifti1 import Nifti1Extension
from pydicom.sr import _concepts_dict

from hoimg.dicom.masks import TOTALSEGMENTATOR_BONES, Placed, put_on, read_given
from hoimg.dicom.masks.skeleton import BONE_CODES, bone_by_code, bone_by_name
from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Grid

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


def grid(count: int) -> Grid:
    return Grid((5, 4, count), (3.0, 2.0, 1.5))


def read(path: Path, count: int) -> Placed:
    return put_on(read_given(path, "skeleton"), grid(count), "skeleton")


def row(path: Path, count: int) -> list[bool]:
    return read(path, count).mask.array[0, 0].tolist()


def test_a_plain_label_map_counts_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "bone.nii.gz", columns(0, 1, 0, 3, 117))
    placed = read(path, 5)
    assert placed.mask.array.dtype == bool
    assert placed.mask.array[0, 0].tolist() == [False, True, False, True, True]
    assert placed.findings == ()


MANY = (1, 5, 20, 25, 50, 51, 69, 75, 80, 88, 91, 92, 116, 117)
IS_BONE = (0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0)


def test_of_many_classes_only_bones_count(tmp_path: Path) -> None:
    """Sacrum 25, vertebrae 26-50, limbs 69-78, skull 91, ribs 92-115, sternum 116; no organ."""
    path = write(tmp_path / "total.nii.gz", columns(0, *MANY))
    placed = read(path, 15)
    assert placed.mask.array[0, 0].tolist() == [False, *map(bool, IS_BONE)]
    assert [f.code for f in placed.findings] == ["skeleton_chosen"]


@pytest.mark.parametrize(("count", "organs_count"), [(10, True), (11, False)])
def test_ten_labels_are_plain_and_eleven_are_classes(
    tmp_path: Path, count: int, organs_count: bool
) -> None:
    labels = [1, *range(25, 24 + count)]
    found = row(write(tmp_path / "m.nii.gz", columns(*labels)), count)
    assert found == [organs_count, *[True] * (count - 1)]


def test_a_label_above_the_classes_makes_it_a_plain_map(tmp_path: Path) -> None:
    assert all(row(write(tmp_path / "m.nii.gz", columns(*range(1, 13), 118)), 13))


def test_classes_without_bone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="holds no bone") as caught:
        read(write(tmp_path / "organs.nii.gz", columns(*range(1, 15))), 14)
    assert caught.value.code == "mask_empty"
    assert not TOTALSEGMENTATOR_BONES & set(range(1, 15))


def named(path: Path, array: np.ndarray, names: dict[int, str]) -> Path:
    """With the table of names that TotalSegmentator stores in its multilabel files."""
    image = nib.Nifti1Image(array, AFFINE)
    table = "".join(
        f'<Label Key="{k}" Red="0.0" Green="1.0" Blue="0.0" Alpha="1"><![CDATA[{v}]]></Label>\n'
        for k, v in names.items()
    )
    text = f"<?xml version='1.0'?><CaretExtension><LabelTable>\n{table}</LabelTable>"
    image.header.extensions.append(Nifti1Extension(0, text.encode()))
    nib.save(image, path)
    return path


def test_stored_names_of_classes_tell_bone(tmp_path: Path) -> None:
    """Any task, few classes or many: the numbers say nothing then."""
    names = {1: "femur_left", 2: "gluteus_maximus_left", 25: "skin", 118: "patella", 4: "x"}
    path = named(tmp_path / "m.nii.gz", columns(1, 2, 25, 118, 4), names)
    assert row(path, 5) == [True, False, False, True, False]
    with pytest.raises(InputRefused, match="holds no bone"):
        read(named(tmp_path / "n.nii.gz", columns(2, 25), names), 2)


def test_a_folder_joins_its_bones_and_leaves_other_structures(tmp_path: Path) -> None:
    write(tmp_path / "femur_left.nii.gz", columns(1, 0, 0, 0))
    write(tmp_path / "hip_right.nii", columns(0, 2, 0, 0))
    write(tmp_path / "liver.nii.gz", columns(0, 0, 1, 0))
    write(tmp_path / "rib_left_1.nii.gz", columns(0, 0, 0, 0))
    (tmp_path / "hip.json").write_text("{}")
    assert row(tmp_path, 4) == [True, True, False, False]
    region = put_on(read_given(tmp_path, "roi"), grid(4), "roi")
    assert region.mask.array[0, 0].tolist() == [True, True, True, False]
    lesions = put_on(read_given(tmp_path, "mask"), grid(4), "mask")
    assert lesions.mask.array[0, 0].tolist() == [1, 2, 3, 0]


def test_masks_of_a_folder_are_joined_in_space_not_by_index(tmp_path: Path) -> None:
    write(tmp_path / "femur_left.nii.gz", columns(1, 0, 0, 0))
    moved = AFFINE.copy()
    moved[0, 3] = -3.0  # RAS: two columns of 1.5 mm towards the left of the patient
    write(tmp_path / "hip_left.nii.gz", columns(1, 0, 0, 0), moved)
    assert row(tmp_path, 4) == [True, False, True, False]


def test_a_folder_with_one_label_map_is_that_map(tmp_path: Path) -> None:
    write(tmp_path / "segmentations.nii.gz", columns(1, 0, 5))
    assert row(tmp_path, 3) == [True, False, True]


def test_a_folder_without_bones_is_refused(tmp_path: Path) -> None:
    for name in ("liver.nii.gz", "spleen.nii.gz"):
        write(tmp_path / name, columns(1, 1))
    with pytest.raises(InputRefused, match="femur_left") as caught:
        read_given(tmp_path, "skeleton")
    assert caught.value.code == "mask_empty"
    assert str(tmp_path) in str(caught.value)


def test_a_folder_of_empty_bones_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "femur_left.nii.gz", columns(0, 0))
    write(tmp_path / "femur_right.nii.gz", columns(0, 0))
    with pytest.raises(InputRefused, match="all empty") as caught:
        read_given(tmp_path, "skeleton")
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
        read_given(path, "skeleton")
    assert caught.value.code == "mask_not_labels"


@pytest.mark.parametrize("name", ["bone.nii.gz", "bone", "bone.nrrd"])
def test_what_is_no_image_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("not an image")
    with pytest.raises(InputRefused, match=name) as caught:
        read_given(path, "skeleton")
    assert caught.value.code == "mask_unreadable"


def test_nothing_at_the_path_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--roi .*none\.nrrd"):
        read_given(tmp_path / "none.nrrd", "roi")


@pytest.mark.parametrize(
    "name",
    ["Bone", "Femur_Head_L", "FemoralHead_R", "vertebrae_L5", "VB_T12", "rib_left_3", "Ribs",
     "Bone_Pelvic", "SKULL", "hip_left", "Humerus Right", "L3 vertebra", "Rib01_L", "skeleton",
     "Rib cage", "Bone structure of tibia"],
)  # fmt: skip
def test_names_of_bone(name: str) -> None:
    assert bone_by_name(name) is True


@pytest.mark.parametrize(
    "name",
    ["Femoral_Artery_L", "hip prosthesis", "SpinalCord", "femur_lesion", "Heterotopic ossification",
     "costal_cartilages", "Liver", "BoneMarrow", "iliopsoas_left", "Hip_Joint", "radiation",
     "bone metastasis", "segment 1", "Spinal canal", "femur nail", "HO femur"],
)  # fmt: skip
def test_names_that_are_no_bone(name: str) -> None:
    assert bone_by_name(name) is False


def test_no_name_tells_nothing() -> None:
    assert bone_by_name("", "") is None
    assert bone_by_name("Muscle", "femur") is True


def test_codes_of_bone_are_in_dicoms_dictionary() -> None:
    known: dict[str, str] = {}
    for meanings in _concepts_dict.concepts["SCT"].values():
        known.update({code: entry[0] for code, entry in meanings.items()})
    for code in BONE_CODES - {272673000}:  # "Bone" in its older sense, still written by many
        assert str(code) in known, code
    assert bone_by_code("71341001", "SCT")
    assert bone_by_code("T-12710", "SRT")  # femur in the older notation
    assert not bone_by_code("T-62000", "SRT")  # liver
    assert not bone_by_code("71341001", "99LOCAL")
    assert not bone_by_code("abc", "SCT")


def test_the_real_classes_of_a_pelvis_are_read(real_data: Path) -> None:
    path = real_data / "totalsegmentator" / "example_seg_fast_force_split.nii.gz"
    image = nib.load(path)
    classes = np.asarray(image.dataobj)
    bones = {25, *range(26, 51), *range(69, 79), 91, *range(92, 117)}
    wanted = np.isin(classes, sorted(bones))
    assert 0 < wanted.sum() < (classes > 0).sum()
    spacing = image.header.get_zooms()[::-1]
    there = make_grid(classes.shape[::-1], [float(s) for s in spacing], (0, 0, 0))
    origin = nib.affines.apply_affine(image.affine, (0, 0, 0)) * (-1, -1, 1)
    signs = np.sign(np.diag(image.affine)[:3]) * (-1, -1, 1)
    direction = tuple(tuple(float(v) for v in row) for row in np.diag(signs))
    exam = Grid(there.size_zyx, there.spacing_zyx_mm, tuple(origin), direction)
    placed = put_on(read_given(path, "skeleton"), exam, "skeleton")
    assert np.array_equal(placed.mask.array, wanted.transpose(2, 1, 0))
