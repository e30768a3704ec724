"""The order of the stages: what one exam's failure, a reader's guidance and a date of onset do."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from limb_patient import BASELINE, CENTRE, GRID, limb, outline, write_exams

import hoimg
from hoimg.dicom import Patient
from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Grid
from hoimg.guidance import Guidance, place_guidance, read_guidance
from hoimg.image import CTVolume, Mask, write_nifti
from hoimg.pipeline import analyze_exam, analyze_patient
from hoimg.results import Context, Lesion, PatientResult
from hoimg.settings import Settings

ELSEWHERE = Grid((10, 10, 10), (2.0, 2.0, 2.0), (500.0, 500.0, 500.0))


def damage(exam_folder: Path) -> None:
    """Cut one file's pixels after the headers were read, as when a network drive fails."""
    file = sorted(exam_folder.iterdir())[7]
    file.write_bytes(file.read_bytes()[:-900])


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """One exam with one ossification."""
    folder = tmp_path_factory.mktemp("single")
    return hoimg.read_patient(write_exams(folder, {0: limb(9.0, seed=4)}))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Patient, PatientResult, list[str]]:
    """Three exams with a growing ossification; the second cannot be read any more."""
    folder = tmp_path_factory.mktemp("three")
    write_exams(
        folder,
        {
            0: limb(8.0, seed=1),
            100: limb(9.0, seed=2),
            200: limb(9.5, shift=(4.0, -3.0, 2.5), seed=3),
        },
    )
    patient = hoimg.read_patient(folder)
    damage(folder / "day100")
    words: list[str] = []
    onset = BASELINE + dt.timedelta(days=40)
    result = analyze_patient(patient, onset=onset, on_step=words.append)
    return patient, result, words


def only(result: PatientResult) -> Lesion:
    (lesion,) = result.report.lesions
    return lesion


def ellipsoid_mm3(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3 * 1.3


def test_one_unreadable_exam_does_not_stop_the_others(three):
    _, result, _ = three
    exams = result.report.exams
    assert [e.days_from_baseline for e in exams] == [0, 100, 200]
    lesion = only(result)
    assert [o.exam_id for o in lesion.observations] == [e.exam_id for e in exams]
    first, second, third = lesion.observations
    assert (first.status, second.status, third.status) == (
        "measured", "not_measurable", "measured",
    )  # fmt: skip
    assert second.flags == ["exam_unreadable"]
    assert second.volume_mm3 is None
    assert second.label is None
    assert first.volume_mm3 == pytest.approx(ellipsoid_mm3(8.0), rel=0.1)
    assert third.volume_mm3 == pytest.approx(ellipsoid_mm3(9.5), rel=0.1)
    assert [c.category for c in lesion.changes] == ["enlarging"]
    assert lesion.changes[0].days == 200


def test_an_unreadable_exam_stays_in_the_report_with_its_finding(three):
    _, result, _ = three
    broken = result.report.exams[1]
    (found,) = [f for f in broken.findings if f.level == "error"]
    assert found.code == "truncated_files"
    assert found.fix
    assert "day100" not in found.message  # a path may name the patient
    assert broken.labelmap is None
    assert broken.exam_id not in result.images
    assert len(result.images) == 2
    # What the header said is kept; what needs pixels is missing.
    assert broken.acquisition.kvp == 120.0
    assert broken.acquisition.noise_hu is None
    assert not [f for e in result.report.exams[::2] for f in e.findings if f.level == "error"]


def test_a_report_with_an_unreadable_exam_can_be_written(three, tmp_path):
    _, result, _ = three
    page = hoimg.write_report(result, tmp_path / "out")
    broken = result.report.exams[1].exam_id
    assert broken in page.read_text()
    assert not (tmp_path / "out" / "exams" / broken / "lesions.nii.gz").exists()


def test_only_readable_exams_are_registered(three):
    patient, result, _ = three
    (found,) = result.report.registrations
    assert (found.from_exam, found.to_exam) == (patient.exams[0].exam_id, patient.exams[2].exam_id)
    assert found.accepted
    assert found.residual_mm is not None
    assert found.residual_mm < 0.8


def test_what_was_done_is_told_step_by_step(three):
    patient, _, words = three
    ids = [e.exam_id for e in patient.exams]
    assert {w for w in words if "finding" in w} == {f"{i}: finding and measuring" for i in ids}
    assert [w for w in words if "registering" in w] == [f"{ids[2]}: registering to {ids[0]}"]


def test_a_known_onset_rates_the_age_of_the_lesion(three, single):
    _, result, _ = three
    (r5,) = [c for c in only(result).maturity.criteria if c.id == "R5"]
    assert r5.value == 160.0  # day 200, onset at day 40
    assert r5.unit is not None
    unknown = only(analyze_patient(single))
    (r5,) = [c for c in unknown.maturity.criteria if c.id == "R5"]
    assert r5.value is None
    assert r5.result == "unrated"


def test_context_is_shown_and_changes_no_number_and_no_label(single):
    context = Context(aetiology="fop", bone_scans=[{"day": 5, "uptake": "not_increased"}])
    told = analyze_patient(single, context=context).report
    bare = analyze_patient(single).report
    assert told.context == context
    assert told.model_dump(exclude={"context"}) == bare.model_dump(exclude={"context"})


def test_totals_courses_and_history_stand_in_the_report(three):
    _, result, _ = three
    report = result.report
    lesion = only(result)
    first, second, third = report.totals.exams
    assert first.volume_mm3 == lesion.observations[0].volume_mm3
    assert (second.volume_mm3, second.flags) == (None, ["exam_unreadable"])
    assert third.since_previous.from_exam == report.exams[0].exam_id
    change = lesion.changes[0].volume_change_pct
    assert third.since_previous.volume_change_pct == pytest.approx(change)
    assert (lesion.course.n, lesion.course.flags) == (2, ["too_few_exams"])
    assert [p.day for p in lesion.maturity.history] == [0, 200]
    assert lesion.maturity.history[-1].label == lesion.maturity.label
    assert lesion.maturity.followup.earliest_day == 284


def test_settings_are_kept_with_the_result(three):
    _, result, _ = three
    assert result.report.config_sha256 == Settings().sha256
    assert result.settings_toml == Settings().to_toml()
    assert result.report.software == f"hoimg {hoimg.__version__}"


def test_no_readable_exam_at_all_is_refused(tmp_path):
    volume = limb(None)
    write_exams(tmp_path, {0: volume, 90: volume})
    patient = hoimg.read_patient(tmp_path)
    for name in ("day0", "day90"):
        damage(tmp_path / name)
    with pytest.raises(InputRefused, match="day0") as caught:
        analyze_patient(patient)
    assert caught.value.code == "truncated_files"
    alone = replace(patient, exams=patient.exams[:1])
    with pytest.raises(InputRefused, match="day0"):
        analyze_patient(alone)


def test_an_exam_without_ossification_gives_an_empty_list(tmp_path):
    write_exams(tmp_path, {0: limb(None)})
    result = analyze_patient(hoimg.read_patient(tmp_path))
    assert result.report.lesions == []
    (image,) = result.images.values()
    assert not image.lesions.array.any()
    assert result.report.exams[0].acquisition.native_skeleton


def test_exams_that_do_not_fit_leave_lesions_unmatched(tmp_path):
    """The second and third exam show another anatomy; they fit each other, not the first."""
    write_exams(
        tmp_path,
        {
            0: limb(9.0, seed=1),
            100: limb(9.0, forearm=True, seed=2),
            200: limb(9.0, forearm=True, shift=(2.0, 1.0, 0.0), seed=3),
        },
    )
    patient = hoimg.read_patient(tmp_path)
    report = analyze_patient(patient).report
    a, b, c = (e.exam_id for e in patient.exams)
    tried = {(r.from_exam, r.to_exam): r for r in report.registrations}
    assert list(tried) == [(a, b), (a, c), (b, c)]
    assert not tried[a, b].accepted
    assert not tried[a, c].accepted
    assert tried[a, b].reason
    assert tried[b, c].accepted  # the way out: the exam just before
    seen = [[o.status for o in lesion.observations] for lesion in report.lesions]
    assert seen == [
        ["measured", "not_measurable", "not_measurable"],
        ["not_measurable", "measured", "measured"],
    ]
    for lesion in report.lesions:
        lost = [o for o in lesion.observations if o.status == "not_measurable"]
        assert all("registration_rejected" in o.flags for o in lost)
        assert all(o.volume_mm3 is None for o in lost)
        assert lesion.maturity.label != "mature"


# Guidance of a reader


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Guidance(), False),
        (Guidance(series_uid="1.2"), False),
        (Guidance(seeds_lps_mm=((0.0, 0.0, 0.0),)), True),
        (Guidance(mask=outline(9.0)), True),
        (Guidance(roi=outline(9.0)), True),
        (Guidance(skeleton=outline(9.0)), True),
    ],
)
def test_guidance_knows_whether_anything_is_given(given, expected):
    assert given.given is expected


@pytest.mark.parametrize("uid", [None, "1.2.3.4"])
def test_guidance_for_several_exams_must_name_one(three, uid):
    patient, _, _ = three
    guidance = Guidance(series_uid=uid, seeds_lps_mm=(CENTRE,))
    with pytest.raises(UsageError, match="--series") as caught:
        analyze_patient(patient, guidance=guidance)
    assert "3" in str(caught.value)


def test_guidance_speaks_of_the_named_exam_only(tmp_path):
    write_exams(tmp_path, {0: limb(8.0, seed=1), 100: limb(9.5, seed=2)})
    patient = hoimg.read_patient(tmp_path)
    given = Guidance(series_uid=patient.exams[1].series.series_uid, mask=outline(9.5))
    first, second = only(analyze_patient(patient, guidance=given)).observations
    assert "outline_given" not in first.flags
    assert "outline_given" in second.flags


def test_a_given_mask_is_measured_as_it_is(single):
    mask = outline(9.0)
    seven = Mask(mask.array * np.uint16(7), mask.grid)
    result = analyze_patient(single, guidance=Guidance(mask=seven))
    (seen,) = only(result).observations
    assert seen.label == 7
    assert "outline_given" in seen.flags
    assert seen.volume_mm3 == pytest.approx(ellipsoid_mm3(9.0), rel=0.1)
    assert np.allclose(seen.centroid_lps_mm, CENTRE, atol=0.5)
    (image,) = result.images.values()
    assert np.array_equal(image.lesions.array, seven.array)


def test_a_given_mask_takes_what_was_left_out_or_was_bone(single):
    """A reader who outlines the bone's knob gets it measured; it is skeleton no longer."""
    x, y, z = (GRID.to_lps_mm(np.indices(GRID.size_zyx).reshape(3, -1).T)).T
    knob = np.sqrt((x - 18.85) ** 2 + (y + 14) ** 2 + (z - 118) ** 2) < 9
    mask = Mask(knob.reshape(GRID.size_zyx), GRID)
    analysis = analyze_exam(single.exams[0], guidance=Guidance(mask=mask))
    found = analysis.segmentation
    assert np.array_equal(found.lesions.array > 0, mask.array)
    assert not (found.skeleton.array & mask.array).any()
    assert not (found.excluded.array[mask.array]).any()
    listed = {r.label for r in found.excluded_regions}
    assert listed == set(np.unique(found.excluded.array).tolist()) - {0}
    assert list(analysis.measurements.observations) == [1]


@pytest.fixture(scope="module")
def with_metal(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """A limb with a ball of metal in its muscle, which is left out."""
    volume = limb(None)
    hu = volume.hu.copy()
    hu[metal_ball()] = 3071
    folder = tmp_path_factory.mktemp("metal")
    return hoimg.read_patient(write_exams(folder, {0: CTVolume(hu, GRID)}))


def metal_ball() -> np.ndarray:
    x, y, z = (GRID.to_lps_mm(np.indices(GRID.size_zyx).reshape(3, -1).T)).T
    away = np.sqrt((x + 20) ** 2 + (y - 15) ** 2 + (z - 141) ** 2)
    return (away < 5).reshape(GRID.size_zyx)


def test_a_piece_that_a_given_mask_covers_in_part_has_the_numbers_of_its_rest(with_metal):
    exam = with_metal.exams[0]
    before = analyze_exam(exam).segmentation
    (piece,) = [r for r in before.excluded_regions if r.note == "above 2500 HU"]
    whole = before.excluded.array == piece.label
    low = whole.copy()
    low[:, :, int(np.argwhere(whole)[:, 2].mean()) :] = False  # its half on the patient's right
    after = analyze_exam(exam, guidance=Guidance(mask=Mask(low, GRID))).segmentation
    (rest,) = [r for r in after.excluded_regions if r.note == "above 2500 HU"]
    here = whole & ~low
    assert (after.excluded.array == rest.label).sum() == here.sum() < whole.sum()
    assert rest.volume_mm3 == pytest.approx(int(here.sum()) * 2.0 * 1.6 * 1.6)
    z, y, x = np.argwhere(here).mean(axis=0)
    (dz, dy, dx), (ox, oy, oz) = GRID.spacing_zyx_mm, GRID.origin_lps_mm
    assert rest.centroid_lps_mm == pytest.approx((ox + dx * x, oy + dy * y, oz + dz * z))
    inside = tuple(np.rint(GRID.to_index_zyx(rest.inside_lps_mm)).astype(int))
    assert after.excluded.array[inside] == rest.label
    covered = analyze_exam(exam, guidance=Guidance(mask=Mask(whole, GRID))).segmentation
    assert "above 2500 HU" not in {r.note for r in covered.excluded_regions}


def test_a_mask_on_another_grid_lands_at_the_same_place(single):
    fine = Grid((80, 40, 40), (1.0, 1.0, 1.0), (-46.0, -16.0, 99.0))
    x, y, z = (fine.to_lps_mm(np.indices(fine.size_zyx).reshape(3, -1).T)).T
    r = np.sqrt((x - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2 + ((z - CENTRE[2]) / 1.3) ** 2)
    mask = Mask((r < 9.0).reshape(fine.size_zyx), fine)
    (seen,) = only(analyze_patient(single, guidance=Guidance(mask=mask))).observations
    assert np.allclose(seen.centroid_lps_mm, CENTRE, atol=0.5)
    assert seen.volume_mm3 == pytest.approx(ellipsoid_mm3(9.0), rel=0.1)


@pytest.mark.parametrize("name", ["roi", "skeleton", "mask"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_mask_that_covers_nothing_of_the_exam_is_refused(single, name, empty):
    elsewhere = Mask(np.ones(ELSEWHERE.size_zyx, np.uint8), ELSEWHERE)
    nothing = Mask(np.zeros(GRID.size_zyx, np.uint8), GRID)
    given = Guidance(**{name: nothing if empty else elsewhere})
    with pytest.raises(InputRefused, match=f"--{name}") as caught:
        analyze_exam(single.exams[0], guidance=given)
    assert caught.value.code == ("mask_empty" if empty else "mask_elsewhere")


@pytest.mark.parametrize("kind", ["seed", "roi"])
def test_only_mineral_at_a_seed_or_in_a_region_is_called(single, kind):
    edge = (CENTRE[0] + 8.0, CENTRE[1], CENTRE[2])
    far = (-10.0, 35.0, 139.0)  # muscle, nothing there

    def there(point):
        if kind == "seed":
            return Guidance(seeds_lps_mm=(point,))
        array = np.zeros(GRID.size_zyx, bool)
        array[tuple(np.rint(GRID.to_index_zyx(point)).astype(int))] = True
        return Guidance(roi=Mask(array, GRID))

    lesion = only(analyze_patient(single, guidance=there(edge)))
    assert np.allclose(lesion.observations[0].centroid_lps_mm, CENTRE, atol=0.7)
    missed = analyze_patient(single, guidance=there(far)).report
    assert missed.lesions == []
    (left,) = [e for e in missed.excluded if e.reason == "unassessed"]
    assert np.linalg.norm(np.subtract(left.centroid_lps_mm, CENTRE)) < 2.0


def test_a_given_skeleton_decides_what_is_native(single):
    """Without the shaft in it, a given skeleton that holds the lesion makes the lesion native."""
    volume = limb(9.0, seed=4)
    bone = Mask(outline(10.5).array > 0, GRID)
    analysis = analyze_exam(single.exams[0], guidance=Guidance(skeleton=bone))
    assert isinstance(analysis.volume, CTVolume)
    assert np.array_equal(analysis.volume.hu, volume.hu)
    inside = analysis.segmentation.lesions.array[outline(9.0).array > 0]
    assert not inside.any()
    assert analysis.measurements.acquisition.native_skeleton == analysis.segmentation.provider


def test_a_mask_that_misses_the_named_one_of_several_exams_is_refused(three):
    patient, _, _ = three
    elsewhere = Mask(np.ones(ELSEWHERE.size_zyx, np.uint8), ELSEWHERE)
    uid = patient.exams[0].series.series_uid
    with pytest.raises(InputRefused, match="--mask") as caught:
        analyze_patient(patient, guidance=Guidance(series_uid=uid, mask=elsewhere))
    assert caught.value.code == "mask_elsewhere"


def test_reading_on_threads_leaves_the_process_as_it_was(three):
    """Logger, warning filters and validation mode of pydicom are shared by all threads."""
    import logging
    import threading
    import warnings

    from pydicom import config

    from hoimg.dicom.header import quiet_pydicom

    def state():
        mode = config.settings.reading_validation_mode
        return logging.getLogger("pydicom").level, mode, list(warnings.filters)

    before = state()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with quiet_pydicom():
            first_in.set()
            second_in.wait(5)
        first_out.set()

    def second():
        first_in.wait(5)
        with quiet_pydicom():
            second_in.set()
            first_out.wait(5)
            seen.append(logging.getLogger("pydicom").level)  # still silent for this one

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [logging.CRITICAL]
    assert state() == before


def test_guidance_is_read_from_files(tmp_path):
    mask = outline(9.0)
    write_nifti(tmp_path / "mask.nii.gz", mask.array, mask.grid)
    given = read_guidance(
        series_uid="1.2",
        roi=tmp_path / "mask.nii.gz",
        seeds_lps_mm=[(1.0, 2.0, 3.0)],
        skeleton=tmp_path / "mask.nii.gz",
        mask=tmp_path / "mask.nii.gz",
    )
    assert given.series_uid == "1.2"
    assert given.seeds_lps_mm == ((1.0, 2.0, 3.0),)
    placed = place_guidance(given, GRID)
    for read in (placed.roi, placed.skeleton, placed.mask):
        assert read is not None
        assert read.grid.same_as(GRID)
        assert np.array_equal(read.array > 0, mask.array > 0)
    assert not placed.findings
    assert read_guidance() == Guidance()


def test_guidance_that_is_no_label_map_is_refused(tmp_path):
    array = np.full((4, 4, 4), 0.5, np.float32)
    write_nifti(tmp_path / "half.nii.gz", array, Grid((4, 4, 4), (1.0, 1.0, 1.0)))
    for name in ("roi", "mask", "skeleton"):
        with pytest.raises(InputRefused, match=r"half\.nii\.gz") as caught:
            read_guidance(**{name: tmp_path / "half.nii.gz"})
        assert caught.value.code == "mask_not_labels"
