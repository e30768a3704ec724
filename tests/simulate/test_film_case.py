"""Truth of lesions on films: shadows, areas, lengths, contrast and gaps against known shapes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.simulate.film_anatomy import Body
from hoimg.simulate.film_bridge import brooker, della_valle, hip_truth
from hoimg.simulate.film_case import FilmCase, FilmExam, FilmLesion, write_film_case
from hoimg.simulate.film_exposure import Exposure
from hoimg.simulate.film_geometry import aim
from hoimg.simulate.film_lesion import cast_shadow, longest_mm
from hoimg.simulate.film_render import FilmPlan, make_scene, project_scene, render_film
from hoimg.simulate.plant import LesionModel, PlantSpec, build_lesion
from hoimg.simulate.resample import rigid_matrix
from hoimg.simulate.shapes import Sphere

AIM = (0.0, 0.0, 0.0)


def ball_lesion(center=AIM, radius=8.0, hu=450.0, label=1):
    """An even ball, without any texture."""
    spec = PlantSpec(label, center, Sphere(1.0), 4 / 3 * np.pi * radius**3, 0.5)
    model = build_lesion(spec)
    level = np.where(model.occupancy > 0, np.float32(hu), np.float32(0))
    return replace(model, hu=level)


@pytest.fixture(scope="module")
def scene():
    """A slab of muscle, 100 mm deep, that fills the film."""
    grid = Grid((70, 54, 70), (2.0, 2.0, 2.0), (-69.0, -53.0, -69.0))
    hu = np.full(grid.size_zyx, 60, np.int16)
    hu[:, :2] = hu[:, -2:] = -1000
    return make_scene(CTVolume(hu, grid))


def plan(**change):
    geometry = aim(AIM, sid_mm=1000, sod_mm=850, spacing_mm=0.25, shape_yx=(360, 400))
    base = FilmPlan("AP", geometry, AIM, Exposure(seed=5, photons_per_mm2=4e6))
    return replace(base, **change)


def test_a_balls_shadow_is_a_disc_at_its_own_magnification(scene):
    for center in ((0.0, 0.0, 0.0), (12.0, -35.0, 9.0), (-15.0, 30.0, -20.0)):
        film = render_film(scene, [ball_lesion(center)], plan())
        truth = film.truths[1]
        factor = 1000 / (850 + center[1])
        assert truth.magnification == pytest.approx(factor, rel=1e-3)
        assert truth.area_mm2 == pytest.approx(np.pi * 64, rel=0.02)
        assert truth.area_detector_mm2 == pytest.approx(np.pi * 64 * factor**2, rel=0.02)
        assert truth.length_mm == pytest.approx(16.0, abs=0.35)
        assert truth.length_detector_mm == pytest.approx(truth.length_mm * factor, rel=1e-3)
        assert (film.labels == 1).sum() * 0.0625 == pytest.approx(truth.area_detector_mm2)
        where = plan().geometry.to_pixel_yx(np.array([center]))[0]
        np.testing.assert_allclose(truth.centroid_yx, where, atol=0.6)
        assert truth.in_field == 1.0


def test_signal_is_the_minerals_by_beer_and_lambert(scene):
    # Mean over a disc of the chord of a ball: 4/3 of its radius. Narrow spectrum by hand.
    quiet = Exposure(scatter=0.0, detector_fwhm_mm=0.0, focal_spot_mm=0.0, photons_per_mm2=0.0)
    lesion = ball_lesion()
    film = render_film(scene, [lesion], plan(exposure=quiet))
    from hoimg.measure.coefficients import mass_attenuation

    bare = project_scene(scene, plan().geometry).water_mm[180, 200] / 10
    assert bare * 10 == pytest.approx(1.06 * 100, rel=0.02)
    kev = np.arange(32.5, 70.0, 5.0)
    filtered = np.interp(
        np.log(kev), np.log([30, 40, 50, 60, 80]), np.log([1.128, 0.5685, 0.3681, 0.2778, 0.2018])
    )
    weight = (70 / kev - 1) * np.exp(-np.exp(filtered) * 2.7 * 0.3) * kev
    mu_w, mu_h = (mass_attenuation(m, kev) for m in ("water", "hydroxyapatite"))
    mineral = (450 - 50) / 1400  # g/cm3
    chord = 1.6
    beam = weight * np.exp(-mu_w * bare)
    behind = beam * np.exp(-(mu_h * mineral - mu_w * mineral / 3.16) * chord)
    peak = np.log(beam.sum() / behind.sum())
    row, column = np.rint(film.truths[1].centroid_yx).astype(int)
    other = render_film(scene, [], plan(exposure=quiet))
    got = np.log(other.signal[row, column] / film.signal[row, column])
    assert got == pytest.approx(peak, rel=0.02)
    assert film.truths[1].signal == pytest.approx(peak * 2 / 3, rel=0.03)


def test_noise_in_an_even_slab_is_that_of_the_quanta(scene):
    film = render_film(scene, [ball_lesion()], plan())
    truth = film.truths[1]
    assert truth.noise == pytest.approx(truth.quantum_noise, rel=0.1)
    assert truth.noise_sd == pytest.approx(truth.quantum_noise, rel=0.1)
    assert truth.cnr == pytest.approx(truth.signal / truth.noise)
    # Four times the quanta, half the noise; a fainter lesion, a smaller ratio.
    more = render_film(
        scene, [ball_lesion()], plan(exposure=Exposure(seed=5, photons_per_mm2=16e6))
    )
    assert more.truths[1].quantum_noise == pytest.approx(truth.quantum_noise / 2, rel=0.05)
    faint = render_film(scene, [ball_lesion(hu=150.0)], plan())
    assert faint.truths[1].cnr == pytest.approx(truth.cnr / 4, rel=0.1)


def test_the_background_of_bone_counts_as_noise(scene):
    mineral = scene.mineral.copy()
    mineral[:, 20:24, 34:37] += 0.8  # one strut through the lesion
    crossed = replace(scene, mineral=mineral)
    plain, other = (render_film(s, [ball_lesion()], plan()).truths[1] for s in (scene, crossed))
    assert other.noise_sd > 3 * plain.noise_sd
    assert other.cnr_sd == pytest.approx(other.signal / other.noise_sd)
    # A single edge is not what most of the neighbourhood looks like; many struts are.
    mineral[:, 20:24, ::4] += 0.8
    barred = render_film(replace(scene, mineral=mineral), [ball_lesion()], plan()).truths[1]
    assert plain.noise < other.noise < other.noise_sd
    assert barred.noise > 5 * plain.noise
    assert other.quantum_noise == pytest.approx(plain.quantum_noise, rel=0.3)


def test_a_moved_patient_is_seen_from_another_side(scene):
    lesions = [ball_lesion((20.0, 0.0, 0.0)), ball_lesion((0.0, -30.0, 0.0), label=2)]
    still = render_film(scene, lesions, plan())
    turned = render_film(scene, lesions, plan(), rigid_matrix((0, 0, 90), (0, 0, 0), AIM))
    # Turned from x to y: what lay at the left lies behind, what lay in front at the left.
    assert still.truths[1].magnification == pytest.approx(1000 / 850, rel=1e-3)
    assert turned.truths[1].magnification == pytest.approx(1000 / 870, rel=1e-3)
    assert turned.truths[2].magnification == pytest.approx(1000 / 850, rel=1e-3)
    assert turned.truths[2].centroid_yx[1] > 199.5 + 20
    shifted = render_film(scene, lesions[:1], plan(), rigid_matrix((0, 0, 0), (8, 0, 0), AIM))
    moved = shifted.truths[1].centroid_yx[1] - still.truths[1].centroid_yx[1]
    assert moved == pytest.approx(8 * (1000 / 850) / 0.25, abs=0.5)


def test_longest_dimension_of_plain_masks():
    mask = np.zeros((40, 50), bool)
    assert longest_mm(mask, 0.5) == 0.0
    mask[10, 10] = True
    assert longest_mm(mask, 0.5) == 0.5
    mask[10, 10:40] = True
    assert longest_mm(mask, 0.5) == 15.0
    mask[10:34, 10:40] = True
    assert longest_mm(mask, 0.5) == pytest.approx((np.hypot(29, 23) + 1) * 0.5)


def test_the_collimator_and_the_films_edge_cut_a_lesion(scene):
    exposure = replace(plan().exposure, field_yx=(0, 360, 0, 200))
    film = render_film(scene, [ball_lesion()], plan(exposure=exposure))
    assert film.truths[1].in_field == pytest.approx(0.5, abs=0.06)
    away = ball_lesion((300.0, 0.0, 0.0))
    assert cast_shadow(away, plan().geometry) is None
    assert render_film(scene, [away], plan()).truths == {}


def block(low, high, label=1):
    """A box of ossification, LPS mm, on its own fine grid."""
    step = 0.4
    low, high = np.array(low, float), np.array(high, float)
    size = np.ceil((high - low) / step + 6).astype(int)[::-1]
    grid = Grid(tuple(int(n) for n in size), (step,) * 3, tuple(low - 3 * step))
    parts = []
    for axis, n in enumerate(size[::-1]):
        at = grid.origin_lps_mm[axis] + step * np.arange(n)
        parts.append(np.clip(0.5 + np.minimum(at - low[axis], high[axis] - at) / step, 0, 1))
    share = np.minimum(np.minimum(parts[2][:, None, None], parts[1][None, :, None]), parts[0])
    share = share.astype(np.float32)
    spec = PlantSpec(label, tuple((low + high) / 2), Sphere(1.0), 1.0, 1.0)
    return LesionModel(spec, grid, share, np.full(share.shape, 700, np.float32), 1.0, 1.0)


@pytest.fixture(scope="module")
def hip():
    """A pelvis above and a femur below, as boxes, 60 mm apart."""
    grid = Grid((121, 41, 81), (1.0, 1.0, 1.0), (-40.0, -20.0, -60.0))
    shares = {}
    for name, rows in (("pelvis_r", slice(90, 119)), ("femur_r", slice(2, 31))):
        share = np.zeros(grid.size_zyx, np.float32)
        share[rows, 5:36, 10:71] = 1.0
        shares[name] = share
    hu = np.full(grid.size_zyx, 50, np.int16)
    return Body(CTVolume(hu, grid), shares)


@pytest.mark.parametrize(
    ("gap", "grade", "valle"),
    [(5.0, "III", "C"), (9.4, "III", "C"), (10.8, "II", "B"), (20.0, "II", "B")],
)
def test_gap_between_two_spurs(hip, gap, grade, valle):
    geometry = aim(AIM, sid_mm=1000, sod_mm=850, spacing_mm=0.2, shape_yx=(700, 500))
    upper = block((-5, -5, gap / 2), (5, 5, 32))
    lower = block((-5, -5, -32), (5, 5, -gap / 2), 2)
    truth = hip_truth(hip, "r", [upper], [lower], [], geometry)
    assert truth.gap_3d_mm == pytest.approx(gap, abs=0.1)
    # Edges of both boxes are seen at their nearest face: 5 mm in front of the middle.
    assert truth.gap_mm == pytest.approx(gap * 850 / 855, abs=0.35)
    assert truth.brooker == truth.brooker_3d == grade
    assert truth.della_valle == valle
    assert truth.borderline == (8 <= truth.gap_mm <= 12)


def test_a_spur_alone_is_measured_to_the_other_bone(hip):
    geometry = aim(AIM, sid_mm=1000, sod_mm=850, spacing_mm=0.2, shape_yx=(700, 500))
    upper = block((-5, -5, -15.5), (5, 5, 32))
    truth = hip_truth(hip, "r", [upper], [], [], geometry)
    # The femur's highest voxel has its middle at -30: its surface lies half a voxel above.
    assert truth.gap_3d_mm == pytest.approx(14.0, abs=0.15)
    assert truth.brooker == "II"
    joined = block((-5, -5, -32), (5, 5, 32))
    truth = hip_truth(hip, "r", [joined], [joined], [], geometry)
    assert (truth.gap_mm, truth.brooker, truth.della_valle) == (0.0, "IV", "C")


def test_depth_hides_a_gap_on_the_film(hip):
    # One spur 15 mm before the other and overlapping it in height: apparent ankylosis.
    geometry = aim(AIM, sid_mm=1000, sod_mm=850, spacing_mm=0.2, shape_yx=(700, 500))
    upper = block((-5, -14, -3), (5, -9, 32))
    lower = block((-5, 6, -32), (5, 11, 3), 2)
    truth = hip_truth(hip, "r", [upper], [lower], [], geometry)
    assert truth.gap_3d_mm == pytest.approx(15.0, abs=0.15)
    assert truth.gap_mm == 0.0
    assert (truth.brooker, truth.brooker_3d) == ("IV", "II")


def test_grades_at_their_limits(hip):
    assert [brooker(True, False, g) for g in (0.5, 0.6, 9.99, 10.0)] == ["IV", "III", "III", "II"]
    assert [brooker(False, i, None) for i in (False, True)] == ["0", "I"]
    assert brooker(True, False, None) is None
    assert [della_valle(False, i, None) for i in (None, 9.9, 10.0)] == ["A", "A", "B"]
    assert [della_valle(True, None, g) for g in (0.0, 9.9, 10.0)] == ["C", "C", "B"]
    geometry = aim(AIM, spacing_mm=0.2, shape_yx=(700, 500))
    island = ball_lesion(radius=6.0)
    truth = hip_truth(hip, "r", [], [], [island], geometry)
    assert (truth.gap_mm, truth.brooker, truth.della_valle) == (None, "I", "B")
    assert truth.largest_island_mm == pytest.approx(12.0, abs=0.4)


def test_a_case_on_disk(scene, tmp_path):
    grown = ball_lesion(radius=8.0 * 1.4**0.5)
    films = [plan(), plan(view="LAT", monochrome=1, bits=14, processing="log", modality="CR")]
    beside = plan(modality="CR", beside=plan())
    case = FilmCase(
        scene,
        [FilmExam(0, films), FilmExam(90, [beside])],
        [FilmLesion("A", "free", "indeterminate", [ball_lesion(), grown], extra={"side": "r"})],
        seed=7,
        extra={"pair": "grown"},
    )
    path = write_film_case(case, tmp_path)
    made = json.loads(path.read_text())
    assert [e["days"] for e in made["exams"]] == [0, 90]
    assert made["pair"] == "grown"
    assert made["lesions"][0]["side"] == "r"
    seen = made["lesions"][0]["observations"]
    assert [(o["exam"], o["film"], o.get("exposure")) for o in seen] == [
        (0, 0, None), (0, 1, None), (1, 0, 0), (1, 0, 1),
    ]  # fmt: skip
    assert seen[2]["area_mm2"] / seen[0]["area_mm2"] == pytest.approx(1.4, rel=0.03)
    assert {"volume_mm3", "stage", "label", "cnr"} <= seen[0].keys()
    for exam in made["exams"]:
        for film in exam["films"]:
            ds = pydicom.dcmread(tmp_path / film["file"])
            labels = np.asarray(Image.open(tmp_path / film["labelmap"]))
            assert labels.shape == ds.pixel_array.shape == (film["rows"], film["columns"])
            assert ds.StudyInstanceUID == exam["study_instance_uid"]
            assert ds.SOPInstanceUID == film["sop_instance_uid"]
            assert set(np.unique(labels)) == {0, 1}
            assert ds.PatientID == "SIM-FILM"
    # The second exposure holds the lesion again.
    labels = np.asarray(Image.open(tmp_path / made["exams"][1]["films"][0]["labelmap"]))
    assert labels[:, :400].any()
    assert labels[:, 432:].any()
    assert not labels[:, 400:432].any()
    again = write_film_case(case, tmp_path / "again")
    first = (tmp_path / made["exams"][0]["films"][0]["file"]).read_bytes()
    assert (again.parent / made["exams"][0]["films"][0]["file"]).read_bytes() == first
