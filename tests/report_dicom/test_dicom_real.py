"""Real, de-identified scanner headers: emptied UIDs, JPEG 2000, implicit VR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_series import Series, lesion, make_result, observation
from dicom_validator import validator_errors
from test_dicom_geometry import assert_same_places, raw_points

from hoimg.dicom import load_volume, read_patient
from hoimg.report.dicom_objects import write_dicom_objects


@pytest.mark.parametrize("folder", ["totalsegmentator/example_ct_dicom", "qrm_phantom/dicom"])
def test_objects_of_a_real_series(real_data: Path, tmp_path: Path, folder: str) -> None:
    exam = read_patient(real_data / folder).exams[0]
    grid = load_volume(exam).grid
    labels = np.zeros(grid.size_zyx, np.uint16)
    labels[3:6, 100:104, 200:207] = 1
    axes = np.array(grid.direction)
    dz, dy, dx = grid.spacing_zyx_mm
    series = Series(
        list(exam.series.files),
        grid,
        axes[:, 0],
        axes[:, 1],
        axes[:, 2],
        np.array(grid.origin_lps_mm),
        dz,
        (dy, dx),
    )
    result = make_result(series, labels, [lesion("L1", observation(1))])
    paths = write_dicom_objects(result, tmp_path)
    planted = np.array([series.place(*map(int, where)) for where in np.argwhere(labels)])
    assert_same_places(raw_points(paths[0], 1), planted)
    for path in paths:
        assert validator_errors(path) == []
