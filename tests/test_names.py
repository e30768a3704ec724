"""Names of lesions from an earlier report, found again by place in the same series."""

from pathlib import Path

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import Mask, write_nifti
from hoimg.names import labelled, names_in
from hoimg.results import Exam, Lesion, Maturity, Observation, Report
from hoimg.serial import Known

GRID = Grid((12, 20, 20), (2.0, 1.0, 1.0), (5.0, -3.0, 40.0))


def boxes(*parts):
    """A label map with boxes (label, x from, x to); each is 40 voxels for a step in x."""
    array = np.zeros(GRID.size_zyx, np.uint16)
    for label, start, stop in parts:
        array[2:6, 5:15, start:stop] = label
    return array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An earlier report: L2 at label 1, L1 at label 2 of its one exam."""
    lesions = [
        Lesion(
            lesion_id=name,
            tracking_uid=uid,
            observations=[Observation(exam_id="day0_ct", status="measured", label=label)],
            changes=[],
            maturity=Maturity(label="indeterminate", reasons=[], criteria=[]),
        )
        for name, uid, label in (("L1", "1.2.1", 2), ("L2", "1.2.2", 1))
    ]
    exam = Exam(
        exam_id="day0_ct", modality="CT", study_instance_uid="1.9", series_instance_uid="1.9.1",
        days_from_baseline=0, labelmap="lesions.nii.gz",
    )  # fmt: skip
    report = Report(
        software="hoimg 0", config_sha256="0", patient_key="key", exams=[exam], lesions=lesions,
        excluded=[],
    )  # fmt: skip
    (tmp_path / "report.json").write_text(report.model_dump_json())
    write_nifti(tmp_path / "lesions.nii.gz", boxes((1, 2, 6), (2, 10, 14)), GRID)
    return tmp_path


def test_names_are_found_by_place(folder):
    names = names_in(folder, "key")
    assert names is not None
    assert names.lesion_ids == {"L1", "L2"}
    now = Mask(boxes((7, 10, 13), (3, 2, 6), (5, 16, 18)), GRID)
    assert names.known("1.9.1", now) == {7: Known("1.2.1", "L1"), 3: Known("1.2.2", "L2")}
    assert names.known("1.9.2", now) == {}


@pytest.mark.parametrize(
    ("start", "stop", "same"), [(12, 16, True), (13, 17, False), (13, 14, True)]
)
def test_half_of_the_smaller_outline_must_be_common(folder, start, stop, same):
    now = Mask(boxes((1, start, stop)), GRID)  # L1 lay from 10 to 14
    found = names_in(folder, "key").known("1.9.1", now)
    assert found == ({1: Known("1.2.1", "L1")} if same else {})


def test_two_lesions_that_lie_in_one_share_no_name(folder):
    now = Mask(boxes((1, 10, 12), (2, 12, 14)), GRID)
    found = names_in(folder, "key").known("1.9.1", now)
    assert list(found.values()) == [Known("1.2.1", "L1")]


def test_nothing_is_known_of_another_patient_another_grid_or_no_report(folder, tmp_path):
    assert names_in(folder, "another") is None
    assert names_in(tmp_path / "none", "key") is None
    other = Grid(GRID.size_zyx, GRID.spacing_zyx_mm, (6.0, -3.0, 40.0))
    names = names_in(folder, "key")
    assert names.known("1.9.1", Mask(boxes((1, 2, 6)), other)) == {}
    (folder / "lesions.nii.gz").unlink()
    assert names.known("1.9.1", Mask(boxes((1, 2, 6)), GRID)) == {}
    (folder / "report.json").write_text("{}")
    assert names_in(folder, "key") is None


def test_labelled(folder):
    assert labelled(names_in(folder, "key").report) == {
        "day0_ct": {1: Known("1.2.2", "L2"), 2: Known("1.2.1", "L1")}
    }
