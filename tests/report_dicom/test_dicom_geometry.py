"""A segment has to lie where it was planted, whatever the orientation of the source."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_series import (
    EXAM_ID,
    FRAME_UID,
    ORIENTATIONS,
    SERIES_UID,
    STUDY_UID,
    Look,
    Series,
    default_lesions,
    lesion,
    make_result,
    observation,
    planted_labels,
    write_enhanced,
    write_series,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.report.dicom_objects import SEG_NAME, write_dicom_objects
from hoimg.report.dicom_source import PLANE_TOLERANCE, read_source

SEGMENT_OF_LABEL = {4: 1, 2: 2}


def planted_points(series: Series, labels: np.ndarray, label: int) -> np.ndarray:
    """LPS mm of every planted voxel, from the series' own formula."""
    points = [series.place(*map(int, where)) for where in np.argwhere(labels == label)]
    return np.array(sorted(np.round(p, 2).tolist() for p in points))


def raw_points(path: Path, segment: int) -> np.ndarray:
    """LPS mm of every voxel of a segment, from raw frames and per-frame positions."""
    data = pydicom.dcmread(path)
    frames = data.pixel_array.reshape(int(data.NumberOfFrames), data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    dy, dx = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    points = []
    for frame, group in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        named = group if "SegmentIdentificationSequence" in group else shared
        if named.SegmentIdentificationSequence[0].ReferencedSegmentNumber != segment:
            continue
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for r, c in np.argwhere(frame):
            points.append(origin + r * dy * cosines[3:] + c * dx * cosines[:3])
    return np.array(sorted(np.round(p, 2).tolist() for p in points))


def highdicom_points(path: Path, segment: int) -> np.ndarray:
    """The same through highdicom's volume and its affine."""
    volume = hd.seg.segread(path).get_volume(segment_numbers=[segment], combine_segments=False)
    index = np.argwhere(volume.array[..., 0])
    points = volume.map_indices_to_reference(index)
    return np.array(sorted(np.round(p, 2).tolist() for p in points))


def assert_same_places(found: np.ndarray, planted: np.ndarray) -> None:
    assert found.shape == planted.shape
    # every planted voxel has a found one within a hundredth of a millimetre, and the reverse
    gaps = np.linalg.norm(found[:, None] - planted[None], axis=2)
    assert gaps.min(axis=0).max() < 0.02
    assert gaps.min(axis=1).max() < 0.02


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_segments_lie_where_they_were_planted(tmp_path: Path, orientation: str) -> None:
    series = write_series(tmp_path / "in", Look(orientation=orientation))
    labels = planted_labels(series.grid.size_zyx)
    paths = write_dicom_objects(make_result(series, labels), tmp_path / "out")
    seg = paths[0]
    assert seg == tmp_path / "out" / "exams" / EXAM_ID / SEG_NAME
    for label, segment in SEGMENT_OF_LABEL.items():
        planted = planted_points(series, labels, label)
        assert_same_places(raw_points(seg, segment), planted)
        assert_same_places(highdicom_points(seg, segment), planted)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    seed=st.integers(0, 2**32 - 1),
    step=st.floats(0.5, 6.0),
    spacing=st.tuples(st.floats(0.3, 2.0), st.floats(0.3, 2.0)),
)
def test_any_label_map_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    orientation: str,
    seed: int,
    step: float,
    spacing: tuple[float, float],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    look = Look(
        orientation=orientation,
        size=(4, 5, 6),
        step=round(step, 3),
        spacing_yx=(round(spacing[0], 3), round(spacing[1], 3)),
    )
    series = write_series(folder / "in", look)
    labels = np.random.default_rng(seed).choice(
        np.array([0, 0, 0, 2, 4], np.uint16), size=look.size
    )
    labels[0, 0, 0], labels[-1, -1, -1] = 2, 4
    seg = write_dicom_objects(make_result(series, labels), folder / "out")[0]
    for label, segment in SEGMENT_OF_LABEL.items():
        assert_same_places(raw_points(seg, segment), planted_points(series, labels, label))


def test_order_of_the_list_does_not_matter(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    labels = planted_labels(series.grid.size_zyx)
    result = make_result(series, labels)
    shuffled = list(series.files)
    random.Random(1).shuffle(shuffled)
    assert shuffled != series.files
    images = replace(result.images[EXAM_ID], source_files=tuple(shuffled))
    first = write_dicom_objects(result, tmp_path / "a")[0]
    second = write_dicom_objects(replace(result, images={EXAM_ID: images}), tmp_path / "b")[0]
    assert first.read_bytes() == second.read_bytes()


def test_multi_frame_source_with_frames_out_of_order(tmp_path: Path) -> None:
    look = Look(orientation="oblique")
    order = [6, 4, 2, 0, 5, 3, 1]
    series = write_enhanced(tmp_path / "in", look, order)
    labels = planted_labels(look.size)
    seg = write_dicom_objects(make_result(series, labels), tmp_path / "out")[0]
    for label, segment in SEGMENT_OF_LABEL.items():
        assert_same_places(raw_points(seg, segment), planted_points(series, labels, label))
    data = pydicom.dcmread(seg)
    for group in data.PerFrameFunctionalGroupsSequence:
        cited = group.DerivationImageSequence[0].SourceImageSequence[0]
        frame = order[int(cited.ReferencedFrameNumber) - 1]
        here = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        assert np.allclose(here, series.place(frame, 0, 0), atol=0.01)


def test_each_frame_cites_the_image_at_its_place(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in", Look(orientation="axial_descending"))
    labels = planted_labels(series.grid.size_zyx)
    data = pydicom.dcmread(write_dicom_objects(make_result(series, labels), tmp_path / "out")[0])
    assert len(data.PerFrameFunctionalGroupsSequence) == 2 + 3  # L1 in planes 1-2, L2 in 2-4
    for group in data.PerFrameFunctionalGroupsSequence:
        cited = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        k = int(str(cited).removeprefix(f"{SERIES_UID}.")) - 1
        here = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        assert np.allclose(here, series.place(k, 0, 0), atol=1e-4)
    assert data.StudyInstanceUID == STUDY_UID
    assert data.FrameOfReferenceUID == FRAME_UID
    assert [s.SeriesInstanceUID for s in data.ReferencedSeriesSequence] == [SERIES_UID]
    assert (data.Rows, data.Columns) == series.grid.size_zyx[1:]
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == 2.5
    assert list(map(float, measures.PixelSpacing)) == [0.7, 0.9]


def test_segments_carry_the_lesions_tracking_and_codes(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    result = make_result(series, planted_labels(series.grid.size_zyx))
    data = pydicom.dcmread(write_dicom_objects(result, tmp_path / "out")[0])
    assert data.SegmentationType == "BINARY"
    for number, (item, planted) in enumerate(
        zip(data.SegmentSequence, result.report.lesions, strict=True), start=1
    ):
        assert item.SegmentNumber == number
        assert item.SegmentLabel == f"Heterotopic ossification {planted.lesion_id}"
        assert item.TrackingUID == planted.tracking_uid
        assert item.TrackingID == planted.lesion_id
        category = item.SegmentedPropertyCategoryCodeSequence[0]
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        assert (category.CodeValue, category.CodingSchemeDesignator) == ("49755003", "SCT")
        assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("18115005", "SCT")
    colours = [tuple(item.RecommendedDisplayCIELabValue) for item in data.SegmentSequence]
    assert len(set(colours)) == 2


def test_lesion_in_one_slice_and_two_lesions_with_one_label(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    labels = np.zeros(series.grid.size_zyx, np.uint16)
    labels[3, 4, 5] = 9
    merged = [lesion("L1", observation(9)), lesion("L2", observation(9))]
    data = pydicom.dcmread(
        write_dicom_objects(make_result(series, labels, merged), tmp_path / "out")[0]
    )
    assert int(data.NumberOfFrames) == 1
    assert [item.TrackingID for item in data.SegmentSequence] == ["L1"]
    frame = data.PerFrameFunctionalGroupsSequence[0]
    assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == 2.5


def test_single_lesion_over_several_slices(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in", Look(orientation="sagittal"))
    labels = planted_labels(series.grid.size_zyx)
    labels[labels == 2] = 0
    lesions = default_lesions()[:1]
    seg = write_dicom_objects(make_result(series, labels, lesions), tmp_path / "out")[0]
    assert_same_places(raw_points(seg, 1), planted_points(series, labels, 4))
    assert_same_places(highdicom_points(seg, 1), planted_points(series, labels, 4))


def test_frame_of_reference_is_made_up_where_the_source_has_none(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in", Look(drop=("FrameOfReferenceUID", "SliceThickness")))
    result = make_result(series, planted_labels(series.grid.size_zyx))
    first = pydicom.dcmread(write_dicom_objects(result, tmp_path / "a")[0])
    assert first.FrameOfReferenceUID.startswith("2.25.")
    second = pydicom.dcmread(write_dicom_objects(result, tmp_path / "b")[0])
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    thickness = first.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness
    assert float(thickness) == 2.5


def moved(grid: Grid, along_zyx_voxels: tuple[float, float, float]) -> Grid:
    return replace(grid, origin_lps_mm=tuple(grid.to_lps_mm(along_zyx_voxels)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_grid_may_be_off_by_less_than_the_tolerance_only(tmp_path: Path, axis: int) -> None:
    series = write_series(tmp_path / "in", Look(orientation="oblique"))
    inside = [0.0, 0.0, 0.0]
    inside[axis] = PLANE_TOLERANCE - 0.01
    kept = read_source(series.files, moved(series.grid, tuple(inside)))
    assert [str(i.SOPInstanceUID) for i in kept.headers] == [
        f"{SERIES_UID}.{k}" for k in range(1, 8)
    ]
    outside = [0.0, 0.0, 0.0]
    outside[axis] = PLANE_TOLERANCE + 0.01
    with pytest.raises(InputRefused) as refused:
        read_source(series.files, moved(series.grid, tuple(outside)))
    assert refused.value.code == "dicom_source_misaligned"


def flipped(grid: Grid, axis: int) -> Grid:
    """The grid of the array flipped along an axis: same voxels, other order."""
    last = [0.0, 0.0, 0.0]
    last[axis] = grid.size_zyx[axis] - 1
    direction = np.array(grid.direction)
    direction[:, 2 - axis] *= -1
    return replace(
        grid,
        origin_lps_mm=tuple(grid.to_lps_mm(last)),
        direction=tuple(map(tuple, direction)),
    )


@pytest.mark.parametrize("axis", [1, 2])
def test_in_plane_flip_is_refused(tmp_path: Path, axis: int) -> None:
    series = write_series(tmp_path / "in", Look(orientation="sagittal"))
    with pytest.raises(InputRefused, match="not that of the source images"):
        read_source(series.files, flipped(series.grid, axis))


def test_transposed_square_is_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in", Look(size=(5, 9, 9), spacing_yx=(0.8, 0.8)))
    direction = np.array(series.grid.direction)[:, [1, 0, 2]]
    turned = replace(series.grid, direction=tuple(map(tuple, direction)))
    with pytest.raises(InputRefused, match="not that of the source images"):
        read_source(series.files, turned)


def test_reversed_slice_axis_is_followed(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in", Look(orientation="oblique"))
    labels = planted_labels(series.grid.size_zyx)
    backwards = replace(series, grid=flipped(series.grid, 0))
    seg = write_dicom_objects(make_result(backwards, labels[::-1].copy()), tmp_path / "out")[0]
    for label, segment in SEGMENT_OF_LABEL.items():
        assert_same_places(raw_points(seg, segment), planted_points(series, labels, label))


def test_missing_slice_and_resampled_grid_are_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    with pytest.raises(InputRefused, match="not that of the source images"):
        read_source(series.files[:-1], series.grid)
    finer = replace(series.grid, spacing_zyx_mm=(2.5, 0.7, 0.85))
    with pytest.raises(InputRefused, match="not that of the source images"):
        read_source(series.files, finer)


def test_label_map_on_another_grid_than_the_exam_is_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    result = make_result(series, planted_labels(series.grid.size_zyx))
    images = result.images[EXAM_ID]
    elsewhere = Mask(images.lesions.array, moved(series.grid, (0.0, 3.0, 0.0)))
    wrong = replace(result, images={EXAM_ID: replace(images, lesions=elsewhere)})
    with pytest.raises(InputRefused, match="another grid"):
        write_dicom_objects(wrong, tmp_path / "out")


def test_label_without_a_lesion_is_an_error(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    result = make_result(series, planted_labels(series.grid.size_zyx), default_lesions()[:1])
    with pytest.raises(ValueError, match=r"\[2\] belong to no lesion"):
        write_dicom_objects(result, tmp_path / "out")
