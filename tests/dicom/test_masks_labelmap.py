"""Label maps of other programs: NIfTI, NRRD, MetaImage, 3D Slicer's layers, folders."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_writers import centres, ellipsoid, make_grid, rotation

from hoimg.dicom.masks import given_from_mask, put_on, read_given
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import Mask

CENTRE = (12.0, -30.0, 640.0)
TILTED = rotation(0.3, -0.2, 0.7)
ONE = ellipsoid(CENTRE, (7, 9, 6))


def write(path: Path, array: np.ndarray, grid: Grid, **meta: str) -> Path:
    """By SimpleITK: ``[z, y, x]``, or ``[z, y, x, layer]``."""
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing(grid.spacing_zyx_mm[::-1])
    image.SetOrigin(grid.origin_lps_mm)
    image.SetDirection(np.ravel(grid.direction).tolist())
    for key, value in meta.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path))
    return path


def write_nifti(path: Path, array: np.ndarray, grid: Grid) -> Path:
    """By nibabel: x first, RAS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(grid.direction) * np.array(grid.spacing_zyx_mm[::-1])
    affine[:3, 3] = grid.origin_lps_mm
    affine = np.diag([-1, -1, 1, 1]) @ affine
    image = nib.Nifti1Image(array.transpose(2, 1, 0), affine, dtype=array.dtype)
    nib.save(image, path)
    return path


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid((14, 33, 30), (2.0, 0.9, 1.1), CENTRE, TILTED)


def labels(grid: Grid) -> np.ndarray:
    out = ONE(centres(grid)).astype(np.uint8) * 3
    out[:2] = 9
    return out


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_every_format_lands_voxel_for_voxel(tmp_path, grid, suffix):
    array = labels(grid)
    writer = write_nifti if "nii" in suffix else write
    placed = put_on(read_given(writer(tmp_path / f"m{suffix}", array, grid), "mask"), grid, "mask")
    assert np.array_equal(placed.mask.array, array)
    assert placed.flags == {}
    assert placed.findings == ()


@settings(max_examples=15, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.booleans()] * 3),
    seed=st.integers(0, 9999),
)
def test_the_same_voxels_in_any_order_of_axes(
    tmp_path_factory, angles, spacing, order, flips, seed
):
    """The file's axes are the exam's, permuted and reversed; left-handed ones included."""
    exam = make_grid((5, 6, 7), spacing, CENTRE, rotation(*angles))
    truth = np.random.default_rng(seed).integers(0, 4, exam.size_zyx).astype(np.uint8)
    array = truth.transpose(order)
    steps = [spacing[a] for a in order]
    columns = [np.array(exam.direction)[:, 2 - a] for a in order]  # zyx order
    origin = np.array(exam.origin_lps_mm)
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            origin = origin + columns[axis] * steps[axis] * (array.shape[axis] - 1)
            columns[axis] = -columns[axis]
    matrix = np.stack(columns[::-1], axis=1)
    rows = tuple(tuple(float(v) for v in r) for r in matrix)
    there = Grid(array.shape, tuple(steps), tuple(float(v) for v in origin), rows)
    path = write(tmp_path_factory.mktemp("m") / "m.nrrd", np.ascontiguousarray(array), there)
    placed = put_on(read_given(path, "mask"), exam, "mask")
    assert np.array_equal(placed.mask.array, truth)
    assert not placed.flags


EXAM_SPACING = (1.3, 1.0, 1.0)


def on_another_grid(folder: Path, mine, theirs, spacing):
    exam = make_grid((26, 34, 34), EXAM_SPACING, CENTRE, rotation(*mine))
    size = [int(30 / s) for s in spacing]
    there = make_grid(size, spacing, np.add(CENTRE, (0.4, 0.3, -0.2)), rotation(*theirs))
    array = ellipsoid(CENTRE, (10, 11, 9))(centres(there)).astype(np.uint8)
    placed = put_on(read_given(write(folder / "m.nrrd", array, there), "mask"), exam, "mask")
    assert placed.flags == {1: ("outline_resampled",)}
    return exam, there, array, placed.mask.array


ANGLES = st.tuples(*[st.floats(-3.1, 3.1)] * 3)


@settings(max_examples=8, deadline=None)
@given(mine=ANGLES, theirs=ANGLES, spacing=st.tuples(*[st.floats(1.35, 3.0)] * 3))
def test_a_coarser_mask_is_looked_up_at_the_centres_as_simpleitk_does(
    tmp_path_factory, mine, theirs, spacing
):
    folder = tmp_path_factory.mktemp("m")
    exam, there, array, found = on_another_grid(folder, mine, theirs, spacing)
    expected = nearest(array, there, exam)
    assert (found != expected).sum() <= 0.002 * expected.sum()  # centres on a border


@settings(max_examples=8, deadline=None)
@given(mine=ANGLES, theirs=ANGLES, spacing=st.tuples(*[st.floats(0.4, 0.9)] * 3))
def test_a_finer_mask_keeps_its_volume_and_place(tmp_path_factory, mine, theirs, spacing):
    folder = tmp_path_factory.mktemp("m")
    exam, _, array, found = on_another_grid(folder, mine, theirs, spacing)
    own = array.sum() * np.prod(spacing)
    assert found.sum() * np.prod(EXAM_SPACING) == pytest.approx(own, rel=0.03)
    assert np.allclose(centres(exam)[found > 0].mean(axis=0), CENTRE, atol=0.2)


def test_half_a_voxel_is_decided_by_its_centre_without_bias(tmp_path):
    """Borders through the exam's centres: as many voxels as the lesion is long."""
    exam = make_grid((10, 20, 20), (1.0, 1.0, 1.0), (9.5, 9.5, 4.5))
    fine = make_grid((20, 40, 40), (0.5, 0.5, 0.5), (9.5, 9.5, 4.5))
    array = np.zeros(fine.size_zyx, np.uint8)
    array[4:14, 10:30, 11:31] = 1  # 5 x 10 x 10 mm, borders along x halfway through voxels
    placed = put_on(read_given(write(tmp_path / "m.nrrd", array, fine), "mask"), exam, "mask")
    assert placed.mask.array.sum() == 500
    assert [f.code for f in placed.findings] == ["mask_resampled"]


def test_single_voxels_never_vanish(tmp_path):
    exam = make_grid((20, 20, 20), (1.0, 1.0, 1.0), CENTRE)
    there = make_grid((19, 19, 19), (1.0, 1.0, 1.0), CENTRE, TILTED)
    array = np.zeros(there.size_zyx, np.uint16)
    array[4:16:3, 4:16:3, 4:16:3] = np.arange(1, 65).reshape(4, 4, 4)
    placed = put_on(read_given(write(tmp_path / "m.nrrd", array, there), "mask"), exam, "mask")
    assert len(np.unique(placed.mask.array)) == 65
    assert len(np.unique(nearest(array, there, exam))) < 60  # as plain sampling would have


def nearest(array: np.ndarray, there: Grid, exam: Grid) -> np.ndarray:
    """By SimpleITK."""
    images = []
    for grid in (there, exam):
        image = sitk.GetImageFromArray(array if grid is there else np.zeros(grid.size_zyx, "u2"))
        image.SetSpacing(grid.spacing_zyx_mm[::-1])
        image.SetOrigin(grid.origin_lps_mm)
        image.SetDirection(np.ravel(grid.direction).tolist())
        images.append(image)
    moved = sitk.Resample(*images, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(moved)


def test_two_lesions_in_one_voxel_of_the_exam_are_refused(tmp_path):
    exam = make_grid((10, 10, 10), (2.0, 2.0, 2.0), CENTRE)
    fine = make_grid((40, 40, 40), (0.5, 0.5, 0.5), CENTRE)
    array = np.zeros(fine.size_zyx, np.uint8)
    array[20, 20, 20], array[20, 20, 21] = 1, 2
    with pytest.raises(InputRefused, match="lesion 2 is smaller") as caught:
        put_on(read_given(write(tmp_path / "m.nrrd", array, fine), "mask"), exam, "mask")
    assert caught.value.code == "mask_too_fine"


def test_a_mask_on_coarser_voxels_is_flagged(tmp_path, grid):
    coarse = make_grid((10, 13, 13), (3.0, 3.0, 3.0), CENTRE, TILTED)
    array = ONE(centres(coarse)).astype(np.uint8)
    path = write(tmp_path / "m.nrrd", array, coarse)
    placed = put_on(read_given(path, "mask"), grid, "mask")
    assert placed.flags == {1: ("outline_resampled",)}
    found = placed.mask.array.sum() * grid.voxel_volume_mm3
    assert found == pytest.approx(array.sum() * 27.0, rel=0.03)


# 3D Slicer


def test_slicers_layers_with_names_and_values(tmp_path, grid):
    array = np.zeros((*grid.size_zyx, 2), np.uint8)
    array[3:6, 5:9, 5:9, 0], array[8:9, 5:9, 5:9, 0] = 1, 2
    array[3:5, 7:20, 5:9, 1] = 1
    meta = {
        "Segment0_Name": "Femur", "Segment0_Layer": "0", "Segment0_LabelValue": "1",
        "Segment1_Name": "Segment_2", "Segment1_Layer": "0", "Segment1_LabelValue": "2",
        "Segment1_Tags": "TerminologyEntry:Cat~SCT^123037004^Anatomical Structure"
        "~SCT^54735007^Kreuzbein~^^~x|",
        "Segment2_Name": "muscle", "Segment2_Layer": "1", "Segment2_LabelValue": "1",
    }  # fmt: skip
    path = write(tmp_path / "m.seg.nrrd", array, grid, **meta)
    read = read_given(path, "skeleton")
    assert [(r.label, r.name, r.bone) for r in read.regions] == [
        (1, "Femur", True), (2, "Segment_2", True), (3, "muscle", False),
    ]  # fmt: skip
    with pytest.raises(InputRefused, match=r"1 \(Femur\) and 3 \(muscle\) overlap"):
        put_on(read, grid, "mask")
    assert np.array_equal(put_on(read, grid, "roi").mask.array, array.any(axis=-1))
    array[..., 1] = 0
    with pytest.raises(InputRefused, match="slices hold some of it"):
        put_on(read, grid, "skeleton")  # such a file may be cut to what it holds


def test_slicers_header_calls_its_layers_a_list(tmp_path, grid):
    array = np.zeros((*grid.size_zyx, 2), np.uint8)
    array[3:6, 5:9, 5:9, 0], array[3:6, 12:15, 5:9, 1] = 1, 1
    path = write(tmp_path / "m.nrrd", array, grid)
    data = path.read_bytes()
    assert b"kinds: vector" in data
    path.write_bytes(data.replace(b"kinds: vector", b"kinds: list", 1))
    placed = put_on(read_given(path, "mask"), grid, "mask")
    assert np.array_equal(placed.mask.array, array[..., 0] + 2 * array[..., 1].astype(int))


def test_unnamed_slicer_segments_tell_nothing(tmp_path, grid):
    array = np.ones(grid.size_zyx, np.uint8)
    meta = {"Segment0_Name": "Segment_1", "Segment0_Layer": "0", "Segment0_LabelValue": "1",
            "Segment1_ID": "gone", "Segment1_Layer": "7"}  # fmt: skip
    read = read_given(write(tmp_path / "m.seg.nrrd", array, grid, **meta), "skeleton")
    assert [(r.label, r.bone) for r in read.regions] == [(1, None)]
    placed = put_on(read, grid, "skeleton")
    assert placed.mask.array.all()
    assert placed.findings == ()


def test_a_mask_in_memory_is_placed_as_one_from_a_file(grid):
    mask = Mask(labels(grid), grid)
    assert np.array_equal(put_on(given_from_mask(mask), grid, "mask").mask.array, mask.array)
    region = put_on(given_from_mask(mask), grid, "roi")
    assert np.array_equal(region.mask.array, mask.array > 0)
    with pytest.raises(InputRefused, match="empty"):
        put_on(given_from_mask(Mask(np.zeros_like(mask.array), grid)), grid, "mask")


def test_layers_in_a_folder_of_masks_are_one_structure_each(tmp_path, grid):
    array = np.zeros((*grid.size_zyx, 2), np.uint8)
    array[3:6, 5:9, 5:9, 0], array[3:6, 12:15, 5:9, 1] = 1, 1
    write(tmp_path / "a.nrrd", array, grid)
    write(tmp_path / "b.nrrd", labels(grid) // 9, grid)
    placed = put_on(read_given(tmp_path, "mask"), grid, "mask")
    assert np.array_equal(placed.mask.array == 1, array.any(axis=-1))
    assert np.unique(placed.mask.array).tolist() == [0, 1, 2]


# What is refused


@pytest.mark.parametrize("use", ["roi", "mask", "skeleton"])
def test_an_empty_map_is_refused(tmp_path, grid, use):
    path = write(tmp_path / "m.nrrd", np.zeros(grid.size_zyx, np.uint8), grid)
    with pytest.raises(InputRefused, match=f"--{use}") as caught:
        put_on(read_given(path, use), grid, use)
    assert caught.value.code == "mask_empty"


@pytest.mark.parametrize("use", ["roi", "mask", "skeleton"])
def test_a_mask_elsewhere_is_refused(tmp_path, grid, use):
    there = make_grid((5, 5, 5), (2.0, 2.0, 2.0), np.add(CENTRE, (0, 0, 400)))
    path = write(tmp_path / "m.nrrd", np.ones(there.size_zyx, np.uint8), there)
    with pytest.raises(InputRefused, match="no voxel") as caught:
        put_on(read_given(path, use), grid, use)
    assert caught.value.code == "mask_elsewhere"


@pytest.mark.parametrize(("outside", "refused"), [(2, False), (3, True)])
@pytest.mark.parametrize("use", ["roi", "mask"])
def test_more_than_two_percent_outside_is_refused(tmp_path, outside, refused, use):
    exam = make_grid((10, 10, 10), (1.0, 1.0, 1.0), (4.5, 4.5, 4.5))
    there = make_grid((12, 10, 10), (1.0, 1.0, 1.0), (4.5, 4.5, 5.5))
    array = np.zeros(there.size_zyx, np.uint8)
    array[9] = 1
    array[9].flat[:outside] = 0
    array[10].flat[:outside] = 1  # 100 voxels, some beyond the last slice
    read = read_given(write(tmp_path / "m.nrrd", array, there), use)
    if refused:
        with pytest.raises(InputRefused, match=r"3\.0 % of .* lies outside") as caught:
            put_on(read, exam, use)
        assert caught.value.code == "mask_outside"
    else:
        assert put_on(read, exam, use).mask.array.sum() == 98


def test_one_lesion_of_two_outside_is_refused_by_its_label(tmp_path):
    exam = make_grid((10, 10, 10), (1.0, 1.0, 1.0), (4.5, 4.5, 4.5))
    there = make_grid((30, 10, 10), (1.0, 1.0, 1.0), (4.5, 4.5, 14.5))
    array = np.zeros(there.size_zyx, np.uint8)
    array[2:9] = 4
    array[25, 5, 5] = 6
    with pytest.raises(InputRefused, match=r"100\.0 % of label 6"):
        put_on(read_given(write(tmp_path / "m.nrrd", array, there), "mask"), exam, "mask")


@pytest.mark.parametrize(("planes", "refused"), [(99, False), (98, True)])
def test_a_skeleton_must_cover_the_exam(tmp_path, planes, refused):
    """99 %, and half a voxel beyond the mask's own grid counts as covered."""
    exam = make_grid((100, 6, 6), (1.0, 1.0, 1.0), (2.5, 2.5, 49.5))
    there = make_grid((planes, 6, 6), (1.0, 1.0, 1.0), (2.5, 2.5, (planes - 1) / 2 - 0.5))
    array = np.ones(there.size_zyx, np.uint8)
    read = read_given(write(tmp_path / "m.nrrd", array, there), "skeleton")
    if refused:
        with pytest.raises(InputRefused, match=r"covers 98\.0 % of the exam") as caught:
            put_on(read, exam, "skeleton")
        assert caught.value.code == "mask_does_not_cover"
    else:
        assert put_on(read, exam, "skeleton").mask.array[:98].all()


def test_a_skeleton_of_a_longer_scan_is_welcome(tmp_path, grid):
    there = make_grid((40, 60, 60), (2.0, 1.5, 1.5), CENTRE, TILTED)
    path = write(tmp_path / "m.nrrd", np.ones(there.size_zyx, np.uint8), there)
    assert put_on(read_given(path, "skeleton"), grid, "skeleton").mask.array.all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_placements_that_disagree_are_refused(tmp_path, grid, dtype):
    path = write_nifti(tmp_path / "m.nii.gz", labels(grid).astype(dtype), grid)
    assert len(read_given(path, "mask").regions) == 2
    image = nib.load(path)
    moved = image.affine.copy()
    moved[:3, 3] += 5
    image.set_sform(image.affine, 1)
    image.set_qform(moved, 1)
    nib.save(image, tmp_path / "bad.nii.gz")
    with pytest.raises(InputRefused, match="no certain place") as caught:
        read_given(tmp_path / "bad.nii.gz", "mask")
    assert caught.value.code == "mask_unreadable"


def test_one_volume_of_four_axes_is_read_and_several_are_not(tmp_path, grid):
    array = labels(grid).transpose(2, 1, 0)
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(array[..., None], affine), tmp_path / "one.nii.gz")
    assert len(read_given(tmp_path / "one.nii.gz", "mask").regions) == 2
    nib.save(nib.Nifti1Image(np.stack([array] * 2, -1), affine), tmp_path / "two.nii.gz")
    with pytest.raises(InputRefused) as caught:
        read_given(tmp_path / "two.nii.gz", "mask")
    assert caught.value.code == "mask_unreadable"
