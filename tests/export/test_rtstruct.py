"""Structure sets: every voxel comes back, in every orientation, and the objects are valid."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_series import (
    EXAM_ID,
    FRAME_UID,
    ORIENTATIONS,
    SERIES_UID,
    STUDY_UID,
    Look,
    lesion,
    make_result,
    observation,
    planted_labels,
    write_enhanced,
    write_series,
)
from dicom_validator import validator_errors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from scipy import ndimage
from skimage.draw import polygon2mask

from hoimg.contours import outlines
from hoimg.deidentify import Pseudonyms, deidentify_files
from hoimg.dicom import load_volume, read_patient
from hoimg.dicom.files import list_files
from hoimg.dicom.masks import put_on, read_given
from hoimg.dicom.masks.polygon import fill
from hoimg.export.rtstruct import structure_set
from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.report.dicom_objects import write_dicom_objects
from hoimg.results import PatientResult

HOLED = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 0, 0, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 1, 0, 1, 0],
        [1, 0, 0, 1, 0, 0, 1, 1],
        [1, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ],
    bool,
)
"""Two holes with notches, a spur, and a pixel that touches at its corner only."""


def write(result: PatientResult, folder: Path) -> Path:
    seg = write_dicom_objects(result, folder)[0]
    path = folder / "lesions.rtstruct.dcm"
    path.write_bytes(structure_set(result.report, EXAM_ID, seg))
    return path


def read(path: Path, grid: Grid) -> np.ndarray:
    placed = put_on(read_given(path, "mask"), grid, "mask", frame_of_reference_uid=FRAME_UID)
    assert placed.findings == ()
    assert not any(placed.flags.values()), "drawn on the exam's own voxels"
    return placed.mask.array


@settings(max_examples=100, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_polygons_hold_the_pixels_of_their_pieces_and_no_others(mask: np.ndarray) -> None:
    polygons = outlines(mask)
    pieces, count = ndimage.label(mask)
    assert len(polygons) == count
    together = np.zeros_like(mask)
    for polygon, number in zip(polygons, range(1, count + 1), strict=True):
        inside = fill([polygon], *mask.shape)
        np.testing.assert_array_equal(inside, pieces == number)
        together |= inside
        # skimage, with the pixels a third of a pixel off the grid so that no point lies on one
        np.testing.assert_array_equal(
            polygon2mask((mask.shape[0] * 3 + 3, mask.shape[1] * 3 + 3), polygon * 3 + 1.03)[
                1::3, 1::3
            ][: mask.shape[0], : mask.shape[1]],
            pieces == number,
        )
    np.testing.assert_array_equal(together, mask)
    np.testing.assert_array_equal(fill(polygons, *mask.shape), mask)


def test_holes_are_joined_and_points_lie_half_way() -> None:
    big, corner = outlines(HOLED)
    assert len(corner) == 4
    np.testing.assert_allclose(sorted(corner.tolist()), [[4.5, 7], [5, 6.5], [5, 7.5], [5.5, 7]])
    # half-way: one coordinate is a whole number, the other ends in .5
    fractions = np.sort(np.mod(np.concatenate([big, corner]), 1), axis=1)
    np.testing.assert_array_equal(fractions, np.tile([0, 0.5], (len(fractions), 1)))


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_every_voxel_comes_back(tmp_path: Path, orientation: str) -> None:
    series = write_series(tmp_path / "in", Look(orientation=orientation))
    labels = planted_labels(series.grid.size_zyx)
    labels[3][HOLED.shape[0] - 6 : HOLED.shape[0], :8][HOLED] = 4
    path = write(make_result(series, labels), tmp_path / "out")
    np.testing.assert_array_equal(read(path, series.grid), labels)
    assert validator_errors(path) == []
    # Each outline lies in the slice that it cites.
    place = {f"{SERIES_UID}.{k + 1}": series.place(k, 0, 0) for k in range(labels.shape[0])}
    data = dcmread(path)
    count = 0
    for drawn in data.ROIContourSequence:
        for contour in drawn.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            (cited,) = contour.ContourImageSequence
            away = (points - place[cited.ReferencedSOPInstanceUID]) @ series.normal
            assert np.abs(away).max() < 1e-4
            assert contour.NumberOfContourPoints == len(points) >= 4
            count += 1
    planes = [
        ndimage.label(plane == label)[1] for plane in labels for label in np.unique(plane) if label
    ]
    assert count == sum(planes)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(sorted(ORIENTATIONS)),
    st.integers(0, 2**32 - 1),
    st.tuples(st.floats(0.2, 2.0), st.floats(0.2, 2.0), st.floats(0.4, 6.0)),
)
def test_any_label_map_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    orientation: str,
    seed: int,
    spacing: tuple[float, float, float],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    y, x, z = (round(v, 3) for v in spacing)
    series = write_series(
        folder / "in", Look(orientation=orientation, size=(4, 7, 6), spacing_yx=(y, x), step=z)
    )
    labels = np.random.default_rng(seed).choice(
        np.array([0, 0, 2, 4], np.uint16), size=series.grid.size_zyx
    )
    labels[0, 0, 0], labels[-1, -1, -1] = 2, 4
    path = write(make_result(series, labels), folder / "out")
    np.testing.assert_array_equal(read(path, series.grid), labels)


def test_a_multi_frame_source_is_cited_by_frame(tmp_path: Path) -> None:
    order = [3, 0, 6, 1, 5, 2, 4]
    series = write_enhanced(tmp_path / "in", Look(orientation="oblique"), order)
    labels = planted_labels(series.grid.size_zyx)
    path = write(make_result(series, labels), tmp_path / "out")
    np.testing.assert_array_equal(read(path, series.grid), labels)
    assert validator_errors(path) == []
    for drawn in dcmread(path).ROIContourSequence:
        for contour in drawn.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            k = order[int(contour.ContourImageSequence[0].ReferencedFrameNumber) - 1]
            assert np.abs((points - series.place(k, 0, 0)) @ series.normal).max() < 1e-4


def test_it_belongs_to_the_study_and_names_its_lesions(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    result = make_result(series, planted_labels(series.grid.size_zyx))
    path = write(result, tmp_path / "out")
    again = write(result, tmp_path / "again")
    assert path.read_bytes() == again.read_bytes()
    data = dcmread(path)
    assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
    assert (str(data.PatientName), data.PatientID, data.StudyDate) == (
        "Doe^Jane",
        "P-1",
        "20210304",
    )
    assert [(r.ROINumber, r.ROIName) for r in data.StructureSetROISequence] == [
        (2, "HO L2"),
        (4, "HO L1"),
    ]
    for roi, told in zip(data.StructureSetROISequence, (1, 0), strict=True):
        assert result.report.lesions[told].tracking_uid in roi.ROIDescription
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
    (frame,) = data.ReferencedFrameOfReferenceSequence
    (cited,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert cited.SeriesInstanceUID == SERIES_UID
    used = {
        c.ContourImageSequence[0].ReferencedSOPInstanceUID
        for drawn in data.ROIContourSequence
        for c in drawn.ContourSequence
    }
    assert used <= {i.ReferencedSOPInstanceUID for i in cited.ContourImageSequence}
    other = planted_labels(series.grid.size_zyx)
    other[0, 0, 0] = 4
    changed = dcmread(write(make_result(series, other), tmp_path / "other"))
    assert changed.SeriesInstanceUID == data.SeriesInstanceUID
    assert changed.SOPInstanceUID != data.SOPInstanceUID


def test_de_identified_it_still_fits_its_images(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in", Look(orientation="feet_first"))
    labels = planted_labels(series.grid.size_zyx)
    path = write(make_result(series, labels), tmp_path / "objects")
    shutil.copy(path, tmp_path / "in" / "rtstruct")
    outcome = deidentify_files(
        list_files([tmp_path / "in"]).files, tmp_path / "out", Pseudonyms(b"a key for the tests!")
    )
    assert outcome.refused == ()
    found = {dcmread(p).Modality: p for p in (tmp_path / "out").rglob("*.dcm")}
    assert validator_errors(found["RTSTRUCT"]) == []
    frame = dcmread(found["CT"]).FrameOfReferenceUID
    placed = put_on(
        read_given(found["RTSTRUCT"], "mask"), series.grid, "mask", frame_of_reference_uid=frame
    )
    np.testing.assert_array_equal(placed.mask.array, labels)


def test_a_segment_of_no_lesion_is_an_error(tmp_path: Path) -> None:
    series = write_series(tmp_path / "in")
    result = make_result(series, planted_labels(series.grid.size_zyx))
    seg = write_dicom_objects(result, tmp_path / "out")[0]
    strangers = result.report.model_copy(update={"lesions": [lesion("X", observation(4))]})
    with pytest.raises(ValueError, match="no lesion of the report"):
        structure_set(strangers, EXAM_ID, seg)


@pytest.mark.parametrize("folder", ["totalsegmentator/example_ct_dicom", "qrm_phantom/dicom"])
def test_headers_of_real_scanners(real_data: Path, tmp_path: Path, folder: str) -> None:
    exam = read_patient(real_data / folder).exams[0]
    grid = load_volume(exam).grid
    labels = np.zeros(grid.size_zyx, np.uint16)
    labels[3:6, 100:104, 200:207] = 1
    labels[4, 101:103, 203] = 0
    base = make_result(write_series(tmp_path / "in"), planted_labels((7, 11, 13)))
    images = replace(
        base.images[EXAM_ID],
        volume=CTVolume(np.zeros(grid.size_zyx, np.int16), grid),
        lesions=Mask(labels, grid),
        source_files=tuple(exam.series.files),
    )
    report = base.report.model_copy(update={"lesions": [lesion("L1", observation(1))]})
    path = write(replace(base, report=report, images={EXAM_ID: images}), tmp_path / "out")
    assert validator_errors(path) == []
    frame = dcmread(path).FrameOfReferenceUID
    placed = put_on(read_given(path, "mask"), grid, "mask", frame_of_reference_uid=frame)
    np.testing.assert_array_equal(placed.mask.array, labels)
