"""DICOM folders and ``case.json`` read back by other libraries."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_validator import validator_errors
from scipy import ndimage

from hoimg.errors import UsageError
from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.simulate.case import write_case
from hoimg.simulate.dicom_writer import COMPRESSIONS, SeriesSpec, StudySpec, write_study
from hoimg.simulate.exam import exam_to_patient, outside_body, scan_exam
from hoimg.simulate.limb import make_limb
from hoimg.simulate.plans import MINERAL_SCALE, CasePlan, ExamPlan, LesionPlan
from hoimg.simulate.scenarios import course, plan_case, plan_exams
from hoimg.simulate.shapes import Lobulated

DAY = dt.date(2021, 3, 1)


def volume(seed=0, direction=None):
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1024, 3071, (7, 36, 40)).astype(np.int16)
    extra = {} if direction is None else {"direction": direction}
    return CTVolume(hu, Grid(hu.shape, (1.25, 0.7, 0.7), (-11.5, 22.25, -301.125), **extra))


def read_series(folder, uid):
    """HU and grid by SimpleITK, which decodes and sorts without pydicom."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
    image = sitk.ReadImage(files)
    return sitk.GetArrayFromImage(image), image


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_series_reads_back_exactly_in_simpleitk(tmp_path, compression):
    scan = volume()
    spec = StudySpec([SeriesSpec(scan)], DAY, seed="a", compression=compression)
    written = write_study(spec, tmp_path)
    array, image = read_series(tmp_path, written.series_uids[0])
    np.testing.assert_array_equal(array, scan.hu)
    np.testing.assert_allclose(image.GetOrigin(), scan.grid.origin_lps_mm, atol=1e-6)
    np.testing.assert_allclose(image.GetSpacing(), (0.7, 0.7, 1.25), atol=1e-6)
    assert written.files == 8
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [validator_errors(path) for path in (files[0], files[-1])] == [[], []]


def test_an_oblique_grid_keeps_every_voxel_in_its_place(tmp_path):
    c, s = np.cos(0.1), np.sin(0.1)
    scan = volume(1, ((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))
    written = write_study(StudySpec([SeriesSpec(scan)], DAY), tmp_path)
    array, image = read_series(tmp_path, written.series_uids[0])
    np.testing.assert_array_equal(array, scan.hu)
    for index in [(0, 0, 0), (6, 35, 39)]:
        point = image.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(point, scan.grid.to_lps_mm(index), atol=1e-4)


def test_a_study_looks_like_a_scanners(tmp_path):
    thin = volume()
    spec = StudySpec(
        [SeriesSpec(thin, "thin", "B70f", 100.0), SeriesSpec(thin, "again")], DAY, "X1", "A^B", "s"
    )
    write_study(spec, tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir())
    sets = [pydicom.dcmread(tmp_path / n) for n in names]
    assert not any("." in n for n in names)
    axial = [d for d in sets if d.SeriesDescription == "thin"]
    places = [float(d.ImagePositionPatient[2]) for d in axial]
    assert places != sorted(places)
    assert places != sorted(places, reverse=True)
    assert [len({d.SeriesInstanceUID for d in sets}), len({d.StudyInstanceUID for d in sets})] == [
        3,
        1,
    ]
    assert len({d.SOPInstanceUID for d in sets}) == 15
    assert all(len(d.SOPInstanceUID) <= 64 for d in sets)
    scout = [d for d in sets if d.ImageType[2] == "LOCALIZER"]
    assert len(scout) == 1
    assert scout[0].ImageOrientationPatient == [1, 0, 0, 0, 0, -1]
    first = axial[0]
    assert (first.KVP, first.ConvolutionKernel, first.SliceThickness) == (100, "B70f", 1.25)
    assert (first.PatientID, first.StudyDate, first.PatientPosition) == ("X1", "20210301", "HFS")
    assert first.file_meta.TransferSyntaxUID == COMPRESSIONS["jpeg-ls"]


def test_the_same_seed_writes_the_same_files(tmp_path):
    for name in ("a", "b"):
        write_study(StudySpec([SeriesSpec(volume())], DAY, seed="4"), tmp_path / name)
    write_study(StudySpec([SeriesSpec(volume())], DAY, seed="5"), tmp_path / "c")
    files = {n: {p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in "abc"}
    assert files["a"] == files["b"]
    assert not set(files["a"]) & set(files["c"])


def test_bad_studies_are_refused(tmp_path):
    with pytest.raises(ValueError, match="compression"):
        write_study(StudySpec([SeriesSpec(volume())], DAY, compression="lossy"), tmp_path)
    with pytest.raises(ValueError, match="series"):
        write_study(StudySpec([], DAY), tmp_path)


def block(lesions, exams, **more):
    """A muscle block with no bone."""
    hu = np.full((48, 70, 70), -1000, np.int16)
    hu[:, 4:66, 4:66] = 50
    base = CTVolume.from_array(hu, (1.25, 1.0, 1.0))
    bone = Mask(np.zeros(hu.shape, bool), base.grid)
    return CasePlan(base, bone, exams, lesions, **more)


def lesion(name, centre, volumes, stages, **more):
    form = Lobulated(3)
    return LesionPlan(
        name, "free", "mature", centre, 5, volumes, stages, [form] * len(volumes), **more
    )


def test_case_tells_what_was_written(tmp_path):
    exams = [
        ExamPlan(0, thick_mm=5.0, noise_sd_hu=5),
        ExamPlan(90, degrees_xyz=(0, 0, 5), shift_mm=(2, 0, 1), noise_sd_hu=5),
        ExamPlan(200, slice_mm=2.5, kernel="B70f", kvp=100, noise_sd_hu=5),
    ]
    plan = block(
        [
            lesion("A", (22.0, 35.0, 30.0), (900.0, 1400.0, 1400.0), (0.5, 1.0, 1.0)),
            lesion("B", (50.0, 35.0, 30.0), (None, 800.0, 1200.0), (0.0, 0.1, 0.4)),
        ],
        exams,
        seed=3,
    )
    path = write_case(plan, tmp_path / "case")
    case = json.loads(path.read_text())
    assert path == tmp_path / "case" / "case.json"
    assert [e["days"] for e in case["exams"]] == [0, 90, 200]
    assert [[o["exam"] for o in one["observations"]] for one in case["lesions"]] == [
        [0, 1, 2],
        [1, 2],
    ]
    for number, exam in enumerate(case["exams"]):
        folder = path.parent / exam["folder"]
        array, image = read_series(folder, exam["series_instance_uid"])
        truth = sitk.ReadImage(str(path.parent / exam["labelmap"]))
        labels = sitk.GetArrayFromImage(truth)
        assert truth.GetSize() == image.GetSize()
        np.testing.assert_allclose(truth.GetOrigin(), image.GetOrigin(), atol=1e-4)
        voxel = np.prod(truth.GetSpacing())
        for one in case["lesions"]:
            assert {"id", "label", "where", "observations"} <= set(one)
            for seen in [o for o in one["observations"] if o["exam"] == number]:
                assert (labels == seen["label"]).sum() * voxel == pytest.approx(
                    seen["volume_mm3"], rel=0.04
                )
                assert array[labels == seen["label"]].mean() > 90
        dates = {pydicom.dcmread(f).StudyDate for f in folder.iterdir()}
        assert dates == {(DAY + dt.timedelta(days=exam["days"])).strftime("%Y%m%d")}
    thick = {
        pydicom.dcmread(f).get("SliceThickness")
        for f in (path.parent / case["exams"][0]["folder"]).iterdir()
    }
    assert 5.0 in thick
    unchanged = [o["volume_mm3"] for o in case["lesions"][0]["observations"]]
    assert unchanged[1] == unchanged[2]
    assert unchanged[1] / unchanged[0] == pytest.approx(1400 / 900, rel=0.01)


def test_repositioning_moves_the_anatomy_with_the_lesion():
    plan = block(
        [lesion("A", (30.0, 35.0, 30.0), (900.0, 900.0), (1.0, 1.0))],
        [ExamPlan(0, noise_sd_hu=0), ExamPlan(9, shift_mm=(4.0, -3.0, 2.5), noise_sd_hu=0)],
    )
    before, after = (scan_exam(plan, n).volume.hu for n in (0, 1))
    np.testing.assert_allclose(
        exam_to_patient(plan, plan.exams[1])[:3, 3], (-4, 3, -2.5), atol=1e-9
    )
    shifted = np.roll(before, (2, -3, 4), (0, 1, 2))
    inner = (slice(8, 40), slice(12, 56), slice(14, 60))
    assert np.abs(after[inner].astype(int) - shifted[inner]).max() <= 6


def test_kvp_and_kernel_change_what_they_should():
    base = block([lesion("A", (30.0, 35.0, 30.0), (2000.0,), (1.0,))], [ExamPlan(0, noise_sd_hu=0)])
    peak = {}
    for kvp in (100, 120):
        plan = replace(base, exams=[ExamPlan(0, kvp=kvp, noise_sd_hu=0)])
        peak[kvp] = np.percentile(scan_exam(plan, 0).volume.hu, 99.9) - 50.0
    assert peak[100] / peak[120] == pytest.approx(1 / 0.88, rel=0.02)
    assert MINERAL_SCALE[70] == pytest.approx(1 / 0.63, rel=0.01)
    soft = replace(base, exams=[ExamPlan(0, psf_fwhm_mm=2.5, noise_sd_hu=0)])
    assert scan_exam(soft, 0).volume.hu.max() < scan_exam(base, 0).volume.hu.max()


def test_clean_air_is_constant_and_keeps_the_body():
    plan = block([], [ExamPlan(0, noise_sd_hu=20.0)], clean_air=True)
    hu = scan_exam(plan, 0).volume.hu
    assert (hu[:, 0] == -1000).all()
    assert hu[24, 30:40, 30:40].std() > 5
    assert not outside_body(plan.base)[24, 4:66, 4:66].any()


def test_native_bone_follows_the_tube_voltage():
    hu = np.full((10, 20, 20), 1100, np.int16)
    base = CTVolume.from_array(hu, (1.25, 1.0, 1.0))
    plan = CasePlan(base, Mask(hu > 0, base.grid), [ExamPlan(0, kvp=70, noise_sd_hu=0)], [])
    assert scan_exam(plan, 0).volume.hu[5, 10, 10] == pytest.approx(100 + 1000 * 1.587, abs=1)


@pytest.mark.parametrize("kind", ["thigh", "elbow"])
def test_limbs_have_the_tissues_they_claim(kind):
    limb = make_limb(kind, spacing_zyx_mm=(3.0, 1.5, 1.5), length_mm=100.0, seed=2)
    hu = limb.volume.hu
    assert hu[0, 0, -1] < -990
    assert hu.max() > 1000
    for low, high in [(-120, -85), (40, 75), (900, 1500)]:
        assert ((hu > low) & (hu < high)).mean() > 0.002
    counted = limb.native_bone.array.sum() * limb.volume.grid.voxel_volume_mm3
    assert counted == pytest.approx(limb.bone_volume_mm3, rel=0.03)
    count = ndimage.label(ndimage.binary_opening(hu > -300, iterations=2))[1]
    assert count == (1 if kind == "thigh" else 2)
    noisy = make_limb(
        kind, spacing_zyx_mm=(3.0, 1.5, 1.5), length_mm=100.0, seed=2, noise_sd_hu=15.0
    ).volume.hu
    air = hu < -990
    assert noisy[air & (noisy > -1024)].std() > 3
    assert (noisy.astype(int) - hu)[hu > -500].std() == pytest.approx(15.0, rel=0.05)


def test_femur_volume_is_a_cylinders():
    limb = make_limb("thigh", spacing_zyx_mm=(2.0, 1.0, 1.0), length_mm=60.0, seed=1)
    areas = limb.native_bone.array[2:20].sum(axis=(1, 2)) * 1.0
    outer = np.random.default_rng([1, 61])
    outer.uniform(0.92, 1.08)
    radius = outer.uniform(13.0, 15.0)
    assert areas.mean() == pytest.approx(np.pi * radius**2 / 0.95, rel=0.02)


def test_an_unknown_limb_is_refused():
    with pytest.raises(ValueError, match="thigh"):
        make_limb("tail")


def test_courses_do_what_they_say():
    told = course("growing", 3, 3000.0)
    np.testing.assert_allclose(np.divide(told.volumes_mm3[1:], told.volumes_mm3[:-1]), 1.45)
    assert told.volumes_mm3[-1] == 3000.0
    assert min(told.stages) >= 0.9
    assert max(course("growing-without-rim", 5, 3000.0).stages) <= 0.3
    told = course("maturing", 4, 3000.0)
    assert told.volumes_mm3[2] == told.volumes_mm3[3] == 3000.0
    assert told.stages[2] == told.stages[3] == 1.0
    assert told.volumes_mm3[0] < told.volumes_mm3[1] < told.volumes_mm3[2]
    told = course("stable", 2, 500.0)
    assert (told.volumes_mm3, told.stages) == ([500.0, 500.0], [1.0, 1.0])
    told = course("shrinking", 3, 1000.0)
    np.testing.assert_allclose(told.volumes_mm3, [1000.0, 650.0, 422.5])
    told = course("new", 3, 3000.0)
    assert told.volumes_mm3[:2] == [None, 2000.0]
    assert course("reverse-zoning", 2, 900.0).manner == "reverse"
    with pytest.raises(UsageError, match="unknown scenario"):
        course("vanishing", 3, 100.0)


def test_the_last_exam_can_differ():
    assert plan_exams(2, 1.25, "thick", 0)[-1].slice_mm == 3.0
    sharp = plan_exams(2, 1.25, "sharp", 0)
    assert sharp[-1].psf_fwhm_mm < sharp[0].psf_fwhm_mm
    assert plan_exams(2, 1.25, "kvp", 0)[-1].kvp == 100
    assert plan_exams(2, 1.25, "none", 0)[0].shift_mm == (0.0, 0.0, 0.0)
    with pytest.raises(UsageError, match="unknown change"):
        plan_exams(2, 1.25, "mri", 0)


def cylinder():
    """Muscle with a bone in it."""
    z, y, x = np.mgrid[:60, :100, :100]
    hu = np.full(z.shape, -1000, np.int16)
    hu[np.hypot(y - 50, x - 50) < 48] = 55
    hu[np.hypot(y - 50, x - 40) < 10] = 1000
    return CTVolume.from_array(hu, (2.0, 1.5, 1.5))


def test_a_mixed_plan_tells_several_stories():
    plan = plan_case(cylinder(), scenario="mixed", lesions=4, exams=3, slice_mm=1.5, seed=2)
    assert [p.label for p in plan.lesions] == ["mature", "immature", "immature", "mature"]
    assert [p.lesion_id for p in plan.lesions] == ["A", "B", "C", "D"]
    assert plan.lesions[2].volumes_mm3[0] is None
    changed = plan_case(cylinder(), lesions=1, exams=2, slice_mm=2.0, change="thick", seed=2)
    assert changed.lesions[0].label == "indeterminate"
    alone = plan_case(cylinder(), lesions=2, exams=1, slice_mm=1.5, seed=2)
    assert {p.label for p in alone.lesions} == {"indeterminate"}


def test_two_lesions_merge_into_one(tmp_path):
    plan = plan_case(cylinder(), scenario="merging", lesions=2, exams=2, slice_mm=2.0, seed=6)
    case = json.loads(write_case(plan, tmp_path).read_text())
    first, second = case["lesions"]
    counts = []
    for exam in case["exams"]:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / exam["labelmap"])))
        counts.append(ndimage.label(labels > 0, np.ones((3, 3, 3)))[1])
    assert counts == [2, 1]
    assert second["observations"][1]["merged_into"] == first["id"]
    assert second["observations"][1]["label"] == first["observations"][1]["label"]
    assert second["observations"][1]["volume_mm3"] == first["observations"][1]["volume_mm3"]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"scenario": "odd"}, "unknown scenario"),
        ({"lesions": 0}, "at least one lesion"),
        ({"exams": 0}, "at least one lesion"),
        ({"slice_mm": 0.0}, "positive"),
        ({"scenario": "merging", "exams": 1}, "two exams"),
    ],
)
def test_impossible_wishes_are_usage_errors(wish, message):
    _, y, x = np.mgrid[:20, :40, :40]
    small = CTVolume.from_array(
        np.where(np.hypot(y - 20, x - 20) < 12, 55, -1000).astype(np.int16), (2.0, 2.0, 2.0)
    )
    with pytest.raises(UsageError, match=message):
        plan_case(small, **wish)


def test_a_scan_without_muscle_has_no_room():
    fat = CTVolume.from_array(np.full((20, 30, 30), -90, np.int16), (2.0, 2.0, 2.0))
    with pytest.raises(UsageError, match="no room"):
        plan_case(fat)


def test_paths_in_case_json_are_relative(tmp_path):
    plan = block([lesion("A", (30.0, 35.0, 30.0), (900.0,), (1.0,))], [ExamPlan(0)])
    case = json.loads(write_case(plan, tmp_path / "p", tmp_path / "t").read_text())
    assert case["exams"][0]["folder"].startswith("../p/")
    assert not Path(case["exams"][0]["labelmap"]).is_absolute()
