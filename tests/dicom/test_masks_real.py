"""Real masks: segmentations beside the label maps they were made from, TotalSegmentator's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from hoimg.dicom.masks import put_on, read_given
from hoimg.errors import InputRefused
from hoimg.geometry import Grid

FRAME = "1.2.392.200103.20080913.113635.3.2009.6.22.21.44.34.23882.1"


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "ct_with_seg" / "data" / "segmentations"


@pytest.fixture(scope="module")
def exam(folder: Path) -> Grid:
    """From the headers of the three slices."""
    slices = sorted(
        (dcmread(f, stop_before_pixels=True) for f in (folder / "ct-3slice").iterdir()),
        key=lambda ds: float(ds.ImagePositionPatient[2]),
    )
    first = slices[0]
    step = float(slices[1].ImagePositionPatient[2]) - float(first.ImagePositionPatient[2])
    spacing = (step, float(first.PixelSpacing[0]), float(first.PixelSpacing[1]))
    origin = tuple(float(v) for v in first.ImagePositionPatient)
    return Grid((3, first.Rows, first.Columns), spacing, origin)


def labels_of(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))  # ascending z, as the exam
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    return sitk.GetArrayFromImage(image)


def test_a_segmentation_is_the_label_map_it_was_made_from(folder, exam):
    truth = labels_of(folder / "liver_seg.nrrd") == 1
    for name in ("liver.dcm", "liver_seg.nrrd"):
        given = read_given(folder / name, "mask")
        placed = put_on(given, exam, "mask", frame_of_reference_uid=FRAME)
        assert np.array_equal(placed.mask.array == 1, truth), name
        assert placed.flags == {}


def test_overlapping_segments_are_each_the_label_map_they_were_made_from(folder, exam):
    maps = [labels_of(folder / f"partial_overlaps-{n}.nrrd") for n in (1, 2, 3)]
    given = read_given(folder / "partial_overlaps.dcm", "mask")
    assert [r.name for r in given.regions] == [
        "GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE",
    ]  # fmt: skip
    box = tuple(slice(0, n) for n in exam.size_zyx)
    for piece in given.pieces:
        number = int(piece.labels.max())
        truth = np.logical_or.reduce([m == number for m in maps])
        assert truth.any()
        assert np.array_equal(piece.at(exam, box) > 0, truth)
    with pytest.raises(InputRefused, match=r"GREEN.*ORANGE") as caught:
        put_on(given, exam, "mask", frame_of_reference_uid=FRAME)
    assert caught.value.code == "mask_overlaps"
    joined = put_on(given, exam, "roi", frame_of_reference_uid=FRAME).mask.array
    assert np.array_equal(joined, np.logical_or.reduce([m > 0 for m in maps]))


@pytest.mark.parametrize("name", ["liver_spine_gapped_seg.nrrd", "spine_seg_label5.nrrd"])
def test_label_numbers_with_gaps_are_kept(folder, exam, name):
    placed = put_on(read_given(folder / name, "mask"), exam, "mask")
    assert np.array_equal(placed.mask.array, labels_of(folder / name))


@pytest.mark.parametrize(
    ("name", "voxels"),
    [
        ("seg_image_ct_binary", 638),
        ("seg_image_ct_binary_fractional", 638),
        ("seg_image_ct_binary_overlap", 80),
        ("seg_image_ct_binary_single_frame", 1832),
        ("seg_image_ct_true_fractional", None),
    ],
)
def test_highdicoms_own_files_have_every_voxel_at_its_place(real_data, name, voxels):
    path = real_data / "dicom_objects" / f"{name}.dcm"
    dataset = dcmread(path)
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    inside = frames >= 128 if dataset.SegmentationType == "FRACTIONAL" else frames > 0
    shared = dataset.SharedFunctionalGroupsSequence[0]
    spacing = [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]
    cosines = [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    points = []
    for frame, group in zip(inside, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array([float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient])
        for r, c in np.argwhere(frame):
            points.append(
                origin
                + c * spacing[1] * np.array(cosines[:3])
                + r * spacing[0] * np.array(cosines[3:])
            )
    given = read_given(path, "mask")
    ours = np.concatenate([p for piece in given.pieces for p in piece.points_lps_mm()])
    assert voxels in (None, len(ours))
    assert len(ours) == len(points)
    key = lambda array: np.array(sorted(np.round(array, 3).tolist()))  # noqa: E731
    assert np.allclose(key(ours), key(np.array(points)), atol=2e-3)
    assert all(r.bone for r in given.regions)


def test_a_segmentation_of_a_radiograph_is_refused_by_name(real_data):
    path = real_data / "dicom_objects" / "seg_image_cr_binary.dcm"
    with pytest.raises(InputRefused, match="seg_image_cr_binary") as caught:
        read_given(path, "roi")
    assert caught.value.code == "mask_no_geometry"


@pytest.mark.parametrize("name", ["ct_image.dcm", "sr_document.dcm", "dx_image.dcm"])
def test_other_dicom_objects_are_no_masks(real_data, name):
    with pytest.raises(InputRefused, match="no segmentation and no structure set") as caught:
        read_given(real_data / "dicom_objects" / name, "mask")
    assert caught.value.code == "mask_unreadable"


def test_a_folder_with_one_segmentation_among_images(folder, exam, tmp_path):
    (tmp_path / "deep").mkdir()
    shutil.copytree(folder / "ct-3slice", tmp_path / "ct")
    shutil.copy(folder / "liver.dcm", tmp_path / "deep" / "IM0001")
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "broken").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    placed = put_on(read_given(tmp_path, "mask"), exam, "mask", frame_of_reference_uid=FRAME)
    assert placed.mask.array.sum() == 107098
    shutil.copy(folder / "partial_overlaps.dcm", tmp_path / "second")
    with pytest.raises(InputRefused, match="holds 2 segmentations") as caught:
        read_given(tmp_path, "mask")
    assert caught.value.code == "mask_ambiguous"
    with pytest.raises(InputRefused, match="holds no mask") as caught:
        read_given(folder / "ct-3slice", "mask")
    assert caught.value.code == "mask_empty"
    cut = (folder / "liver.dcm").read_bytes()[:300]
    for content in (b"\0" * 128 + b"DICM\x02", cut):
        (tmp_path / "broken").write_bytes(content)
        with pytest.raises(InputRefused, match="broken") as caught:
            read_given(tmp_path / "broken", "mask")
        assert caught.value.code == "mask_unreadable"


def test_masks_whose_rows_run_the_other_way_than_the_scans(real_data):
    """Twenty Siemens slices; their NIfTI masks have y reversed."""
    place = real_data / "totalsegmentator"
    slices = sorted(
        (dcmread(f, stop_before_pixels=True) for f in (place / "example_ct_dicom").iterdir()),
        key=lambda ds: float(ds.ImagePositionPatient[2]),
    )
    first = slices[0]
    spacing = (2.0, float(first.PixelSpacing[0]), float(first.PixelSpacing[1]))
    origin = tuple(float(v) for v in first.ImagePositionPatient)
    exam = Grid((len(slices), first.Rows, first.Columns), spacing, origin)
    path = place / "example_seg_dicom.nii.gz"
    placed = put_on(read_given(path, "mask"), exam, "roi")
    image = nib.load(path)
    there = np.argwhere(np.asarray(image.dataobj) > 0)
    lps = nib.affines.apply_affine(image.affine, there) * (-1, -1, 1)
    index = (lps - np.array(origin)) / np.array(spacing[::-1])
    assert np.abs(index - np.rint(index)).max() < 0.05
    expected = np.zeros(exam.size_zyx, bool)
    expected[tuple(np.rint(index).astype(int)[:, ::-1].T)] = True
    assert np.array_equal(placed.mask.array, expected)
    assert expected.sum() == len(there)
