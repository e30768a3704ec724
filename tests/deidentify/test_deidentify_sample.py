"""The sample patient after de-identification: the same exams, days, voxels and findings."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from hoimg.deidentify import Pseudonyms, deidentify_files
from hoimg.dicom import load_volume, read_patient
from hoimg.dicom.files import list_files

KEY = b"a key for the tests, long enough"


@pytest.fixture(scope="module")
def pair(sample_data, tmp_path_factory):
    """Two of the CT studies and the films, as they are and de-identified."""
    folder = tmp_path_factory.mktemp("sample")
    studies = sorted(path for path in (sample_data / "patient").iterdir() if path.is_dir())
    for study in studies[:2]:
        shutil.copytree(study, folder / "in" / study.name)
    for films in (sample_data / "films").glob("FF*"):
        shutil.copytree(films, folder / "in" / films.name)
    files = list_files([folder / "in"]).files
    outcome = deidentify_files(files, folder / "out", Pseudonyms(KEY))
    assert (outcome.written, outcome.refused, outcome.patients) == (len(files), (), 1)
    return read_patient(folder / "in"), read_patient(folder / "out")


def facts(exam) -> tuple:
    acquisition = exam.acquisition.model_dump()
    findings = [(f.code, f.level) for f in exam.findings]
    return exam.days_from_baseline, exam.modality, acquisition, findings


def test_the_same_series_are_chosen_with_the_same_days_and_findings(pair):
    before, after = pair
    assert len(before.exams) == 5
    assert len({e.days_from_baseline for e in before.exams}) > 1
    assert [facts(e) for e in after.exams] == [facts(e) for e in before.exams]
    assert [f.code for f in after.findings] == [f.code for f in before.findings]
    assert before.exams[0].study_uid != after.exams[0].study_uid


def test_the_voxels_and_their_place_are_the_same(pair):
    before, after = (load_volume(patient.scans[0]) for patient in pair)
    assert np.array_equal(before.hu, after.hu)
    assert before.grid == after.grid
