"""Exams whose grid is not that of their slices: tilt corrected, gaps allowed, frames over files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_series import (
    EXAM_ID,
    FRAME_UID,
    SERIES_UID,
    Look,
    Series,
    finish,
    geometry,
    header,
    make_result,
    planted_labels,
    write_enhanced,
    write_series,
)
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from test_dicom_content import validator_errors
from test_dicom_geometry import raw_points

from hoimg.dicom import load_volume, read_patient
from hoimg.errors import InputRefused
from hoimg.report.dicom_objects import write_dicom_objects
from hoimg.report.dicom_source import read_source
from hoimg.results import PatientResult
from hoimg.settings import Settings

GAPS = Settings.model_validate({"intake": {"allow_gaps": True}})


def write_moved(folder: Path, look: Look, along: list[float], lean_deg: float) -> Series:
    """Single slices at given places along the normal, moved down the columns by the tilt."""
    series = geometry(look)
    folder.mkdir(parents=True)
    for k, mm in enumerate(along):
        data = header(look, CTImageStorage, f"{SERIES_UID}.{k + 1}")
        data.InstanceNumber = k + 1
        shift = mm * np.tan(np.radians(lean_deg)) * series.column
        place = series.origin + mm * series.normal + shift
        data.ImagePositionPatient = [f"{v:.6f}" for v in place]
        data.ImageOrientationPatient = [f"{v:.8f}" for v in (*series.row, *series.column)]
        data.PixelSpacing = [str(v) for v in look.spacing_yx]
        data.PixelData = np.full(look.size[1:], k, np.int16).tobytes()
        series.files.append(finish(data, look, folder / f"{97 * k % 31}"))
    return series


def exam_of(folder: Path, lesions_at: tuple[int, int]) -> tuple[PatientResult, np.ndarray]:
    """The exam as the reader has it, with the planted labels in its own grid."""
    exam = read_patient(folder, GAPS).exams[0]
    volume = load_volume(exam)
    labels = np.zeros(volume.grid.size_zyx, np.uint16)
    planted = planted_labels((7, 11, 13))
    low = lesions_at[0]
    labels[low : low + 7, lesions_at[1] : lesions_at[1] + 11, :13] = planted[
        :, :, : labels.shape[2]
    ]
    grid = volume.grid
    series = Series(
        list(exam.series.files), grid, *np.asarray(grid.direction).T[:3], np.zeros(3), 1.0, (1, 1)
    )
    result = make_result(series, labels)
    stack = exam.series.stack
    assert stack is not None
    images = replace(result.images[EXAM_ID], volume=volume, resampled=not stack.regular)
    return replace(result, images={EXAM_ID: images}), labels


def assert_seg_lies_on_the_grid(result: PatientResult, labels: np.ndarray, out: Path) -> Dataset:
    paths = write_dicom_objects(result, out)
    assert len(paths) == 3
    for path in paths:
        assert validator_errors(path) == []
    grid = result.images[EXAM_ID].volume.grid
    for label, segment in {4: 1, 2: 2}.items():
        expected = grid.to_lps_mm(np.argwhere(labels == label))
        found = raw_points(paths[0], segment)
        assert found.shape == expected.shape
        order = np.lexsort(np.round(expected, 2).T)
        np.testing.assert_allclose(
            found[np.lexsort(np.round(found, 2).T)], expected[order], atol=0.02
        )
    data = pydicom.dcmread(paths[0])
    assert data.FrameOfReferenceUID == FRAME_UID
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES_UID
    # an independent reader puts every voxel at the same place
    seg = hd.seg.Segmentation.from_dataset(data)
    read = seg.get_volume(combine_segments=True)
    for label, segment in {4: 1, 2: 2}.items():
        places = read.map_indices_to_reference(np.argwhere(np.asarray(read.array) == segment))
        expected = grid.to_lps_mm(np.argwhere(labels == label))
        assert len(places) == len(expected)
        np.testing.assert_allclose(places.mean(axis=0), expected.mean(axis=0), atol=1e-3)
    return data


def cited(data: Dataset) -> set[int]:
    """Numbers of the source images that the object refers to."""
    items = data.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    return {int(item.ReferencedSOPInstanceUID.rsplit(".", 1)[1]) for item in items}


@pytest.mark.parametrize("orientation", ["axial", "axial_descending", "oblique"])
def test_a_corrected_tilt(tmp_path: Path, orientation: str) -> None:
    look = Look(orientation=orientation, size=(12, 11, 13))
    write_moved(tmp_path / "in", look, [2.5 * k for k in range(12)], 18.0)
    result, labels = exam_of(tmp_path / "in", (3, 4))
    assert result.images[EXAM_ID].resampled
    assert labels.shape[1] > 11
    data = assert_seg_lies_on_the_grid(result, labels, tmp_path / "out")
    # labels fill planes 4 to 7: the 5th to 8th slice, or from the other end
    slices = {5, 6, 7, 8}
    normal = orientation != "axial_descending"
    assert cited(data) == (slices if normal else {13 - s for s in slices})


def test_missing_slices(tmp_path: Path) -> None:
    write_moved(tmp_path / "in", Look(), [2.5 * k for k in range(14) if k not in (4, 5)], 0.0)
    result, labels = exam_of(tmp_path / "in", (3, 0))
    assert result.images[EXAM_ID].volume.gap_planes == (4, 5)
    data = assert_seg_lies_on_the_grid(result, labels, tmp_path / "out")
    # planes 4 to 7; 4 and 5 are made of slices 3 and 6, files number 4 to 6
    assert cited(data) == {4, 5, 6}


def test_uneven_slices(tmp_path: Path) -> None:
    along = [0, 2.5, 5, 7.7, 10, 12.9, 15.4, 18, 20.4, 23, 25.5, 28, 30.5]
    write_moved(tmp_path / "in", Look(tags={"SliceThickness": 3}), along, 0.0)
    result, labels = exam_of(tmp_path / "in", (2, 0))
    assert result.images[EXAM_ID].resampled
    assert_seg_lies_on_the_grid(result, labels, tmp_path / "out")


def test_frames_over_two_files(tmp_path: Path) -> None:
    look = Look(size=(7, 11, 13))
    whole = write_enhanced(tmp_path / "in", look, [0])
    source = whole.files.pop()
    for name, planes in (("1", [5, 0, 2]), ("2", [1, 6, 3, 4])):
        data = pydicom.dcmread(source)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{SERIES_UID}.{name}"
        data.NumberOfFrames = len(planes)
        frames = []
        for k in planes:
            frame, place, scale = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [f"{v:.6f}" for v in whole.place(k, 0, 0)]
            scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
            frame.PlanePositionSequence = [place]
            frame.PixelValueTransformationSequence = [scale]
            frames.append(frame)
        data.PerFrameFunctionalGroupsSequence = frames
        data.PixelData = np.zeros((len(planes), *look.size[1:]), np.int16).tobytes()
        data.save_as(tmp_path / "in" / name, enforce_file_format=True)
    source.unlink()
    result, labels = exam_of(tmp_path / "in", (0, 0))
    assert not result.images[EXAM_ID].resampled
    data = assert_seg_lies_on_the_grid(result, labels, tmp_path / "out")
    assert cited(data) == {1, 2}
    assert (
        data.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPClassUID
        == EnhancedCTImageStorage
    )


def test_a_grid_that_slices_were_not_moved_onto_is_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    with pytest.raises(InputRefused, match="not that of the source images"):
        read_source(series.files[:-1], series.grid, resampled=True)
    for wrong in (
        replace(series.grid, spacing_zyx_mm=(2.5, 0.7, 0.85)),
        replace(series.grid, origin_lps_mm=(-31.0, 45.0, -107.25)),
        replace(series.grid, direction=((1, 0, 0), (0, 0, -1), (0, 1, 0))),
        replace(series.grid, direction=((-1, 0, 0), (0, -1, 0), (0, 0, 1))),
    ):
        with pytest.raises(InputRefused, match="not that of the source images"):
            read_source(series.files, wrong, resampled=True)
