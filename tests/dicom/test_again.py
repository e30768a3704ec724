"""The series of a report, found again among others by UID, voxels and how they were made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from limb_patient import limb, write_exams

import hoimg
from hoimg.dicom import again
from hoimg.dicom.types import Inventory, Patient, SeriesInfo
from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Grid
from hoimg.results import Exam as Reported
from hoimg.results import Finding


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("one")
    return hoimg.read_patient(write_exams(folder, {0: limb(9.0)}))


def reported(patient: Patient, **changed: object) -> Reported:
    exam = patient.exams[0]
    return Reported(
        exam_id="day0030_ct_named",
        modality="CT",
        study_instance_uid=exam.study_uid,
        series_instance_uid=exam.series.series_uid,
        days_from_baseline=30,
        acquisition=exam.acquisition.model_copy(update={"noise_hu": 11.0, **changed}),
    )


def find(monkeypatch, wanted: Reported, grid: Grid, *series: SeriesInfo):
    monkeypatch.setattr(again, "scan", lambda *_a, **_k: Inventory(series=series))
    (exam,) = again.read_again([Path("scans")], [wanted], {wanted.exam_id: grid})
    return exam


def test_names_days_and_acquisition_are_those_of_the_report(monkeypatch, patient):
    series = patient.exams[0].series
    other = replace(series, series_uid="1.2.3")
    wanted = reported(patient)
    exam = find(monkeypatch, wanted, series.grid, other, series)
    assert exam.series is series
    assert (exam.exam_id, exam.days_from_baseline) == ("day0030_ct_named", 30)
    assert exam.acquisition == wanted.acquisition
    assert exam.date == series.date


def test_of_volumes_under_one_uid_the_one_with_the_maps_voxels_is_taken(monkeypatch, patient):
    series = patient.exams[0].series
    g = series.grid
    moved = Grid(g.size_zyx, g.spacing_zyx_mm, (0.0, 0.0, 0.0), g.direction)
    coronal = replace(series, grid=moved)
    assert find(monkeypatch, reported(patient), g, coronal, series).series is series
    assert find(monkeypatch, reported(patient), moved, coronal, series).series is coronal
    with pytest.raises(InputRefused, match="day0030_ct_named") as caught:
        find(monkeypatch, reported(patient), moved, series)
    assert caught.value.code == "labelmap_other_grid"


TRAITS = {
    "kvp": (100.0, 140.0),
    "kernel": ("B30f", "B70f"),
    "slice_thickness_mm": (2.0, 5.0),
    "contrast": (False, True),
    "tube_current_ma": (80.0, 200.0),
}
"""How two volumes of one series on the same voxels may differ."""


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("trait", TRAITS)
def test_of_two_volumes_on_the_same_voxels_the_one_made_as_reported(
    monkeypatch, patient, trait, first
):
    series = patient.exams[0].series
    one, other = (
        replace(series, acquisition=series.acquisition.model_copy(update={trait: value}))
        for value in TRAITS[trait]
    )
    wanted = reported(patient, **{trait: TRAITS[trait][0 if first else 1]})
    for order in ((one, other), (other, one)):
        assert find(monkeypatch, wanted, series.grid, *order).series is (one if first else other)


def test_contrast_that_only_the_image_shows_is_asked_of_no_header(monkeypatch, patient):
    series = patient.exams[0].series
    soft, sharp = (
        replace(series, acquisition=series.acquisition.model_copy(update={"kernel": kernel}))
        for kernel in TRAITS["kernel"]
    )
    seen = Finding(code="contrast_seen", level="warning", message="Vessels show an agent.")
    for one in (soft, sharp):
        told = {"kernel": one.acquisition.kernel, "contrast": True}
        wanted = reported(patient, **told).model_copy(update={"findings": [seen]})
        for order in ((soft, sharp), (sharp, soft)):
            assert find(monkeypatch, wanted, series.grid, *order).series is one


def test_a_series_that_fails_its_checks_now_is_refused_with_their_codes(monkeypatch, patient):
    from hoimg.dicom.findings import finding

    series = patient.exams[0].series
    broken = replace(
        series, usable=False, findings=(finding("missing_slices", "Slice 3 is missing."),)
    )
    with pytest.raises(InputRefused, match=r"day0030_ct_named.*\[missing_slices\]") as caught:
        find(monkeypatch, reported(patient), series.grid, broken)
    assert caught.value.code == "missing_slices"
    scout = replace(series, usable=False, findings=())
    with pytest.raises(InputRefused, match="no CT volume") as caught:
        find(monkeypatch, reported(patient), series.grid, scout)
    assert caught.value.code == "not_a_volume"


def test_a_lacking_series_is_a_usage_error_that_names_it(monkeypatch, patient):
    series = patient.exams[0].series
    with pytest.raises(UsageError, match=f"day0030_ct_named.*{series.series_uid}"):
        find(monkeypatch, reported(patient), series.grid, replace(series, series_uid="1.2.3"))
