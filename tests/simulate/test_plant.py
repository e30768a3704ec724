"""Planting: truth, mass, point spread and geometry against independent integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.simulate.noise import FWHM_PER_SIGMA
from hoimg.simulate.places import find_place, native_bone_mask, prepare
from hoimg.simulate.plant import PlantSpec, build_lesion, gap_to_bone_mm, plant
from hoimg.simulate.resample import regrid, resample, rigid_matrix
from hoimg.simulate.shapes import Lobulated, Sphere
from hoimg.simulate.texture import SOFT_HU


def soft(size=(40, 56, 56), spacing=(1.5, 1.0, 1.0), hu=50, direction=None, dtype=np.float32):
    extra = {} if direction is None else {"direction": direction}
    grid = Grid(size, spacing, (-20.0, -30.0, 5.0), **extra)
    return CTVolume(np.full(size, hu, dtype), grid)


def middle(volume):
    point = volume.grid.to_lps_mm([(n - 1) / 2 for n in volume.grid.size_zyx])
    return tuple(float(v) for v in point)


FLIPPED = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))


@pytest.mark.parametrize("direction", [None, FLIPPED])
@pytest.mark.parametrize("stage", [0.0, 0.5, 1.0])
def test_mass_volume_and_place_survive_the_scanner(direction, stage):
    scan = soft(direction=direction)
    spec = PlantSpec(3, middle(scan), Lobulated(4), 3000.0, stage, seed=1)
    out = plant(scan, [spec], psf_fwhm_mm=(2.0, 1.3, 1.3))
    truth = out.truths[3]
    voxel = scan.grid.voxel_volume_mm3
    excess = (out.volume.hu.astype(float) - SOFT_HU).sum() * voxel
    assert excess == pytest.approx(truth.excess_hu_mm3, rel=0.01)
    assert (out.labelmap.array == 3).sum() * voxel == pytest.approx(truth.volume_mm3, rel=0.03)
    index = np.argwhere(out.labelmap.array == 3)
    centre = scan.grid.to_lps_mm(index).mean(0)
    np.testing.assert_allclose(centre, truth.centroid_lps_mm, atol=0.2)
    assert truth.volume_mm3 == pytest.approx(3000.0, rel=0.003)
    assert truth.gap_to_bone_mm is None


def test_soft_tissue_is_replaced_not_added_to():
    scan = soft(hu=-100)
    out = plant(scan, [PlantSpec(1, middle(scan), Sphere(1.0), 8000.0, 0.0)])
    deep = out.volume.hu[20, 28, 28]
    assert deep > 40
    # Integral over fat: what the lesion adds above soft tissue, and soft tissue for fat.
    gain = (out.volume.hu.astype(float) + 100).sum() * scan.grid.voxel_volume_mm3
    truth = out.truths[1]
    assert gain == pytest.approx(truth.excess_hu_mm3 + 150 * truth.volume_mm3, rel=0.01)


def test_a_planted_face_has_the_stated_edge():
    """A very large ball is nearly flat at its pole: its outer edge is the blur's error function."""
    scan = soft((60, 60, 60), (1.0, 1.0, 1.0))
    spec = PlantSpec(1, middle(scan), Sphere(1.0), 4 / 3 * np.pi * 18**3, 1.0, shell_mm=6.0)
    fwhm = 2.4
    sharp = plant(scan, [spec], psf_fwhm_mm=(0.01, 0.01, 0.01)).volume.hu
    hu = plant(scan, [spec], psf_fwhm_mm=(fwhm,) * 3).volume.hu
    # Both are averaged over a 1 mm voxel; compare with the analytic edge of a plane.
    x = np.arange(60) - 29.5
    pole = slice(28, 32)
    profile = hu[pole, pole, :].mean((0, 1)) - SOFT_HU
    plateau = float(np.median(sharp[pole, pole, 44:47])) - SOFT_HU
    sigma = np.hypot(fwhm / FWHM_PER_SIGMA, np.sqrt(1 / 12))
    expected = 0.5 * plateau * (1 - erf((x - 18.0) / (np.sqrt(2) * sigma)))
    outer = (x > 15) & (x < 24)
    assert np.abs(profile - expected)[outer].max() < 0.08 * plateau


def test_bone_inside_the_form_does_not_count():
    scan = soft((40, 60, 60), (1.0, 1.0, 1.0), dtype=np.int16)
    bone = np.zeros(scan.hu.shape, bool)
    bone[:, :, :30] = True
    hu = scan.hu.copy()
    hu[bone] = 900
    scan = CTVolume(hu, scan.grid)
    mask = Mask(bone, scan.grid)
    # Centre on the bone's face (half a voxel beyond the last bone voxel): half of the ball counts.
    centre = tuple(float(v) for v in scan.grid.to_lps_mm((19.5, 29.5, 29.5)))
    model = build_lesion(PlantSpec(1, centre, Sphere(1.0), 2000.0, 1.0, where="attached"), mask)
    radius = (2000.0 * 2 * 3 / 4 / np.pi) ** (1 / 3)
    extent = model.grid.to_lps_mm(np.argwhere(model.occupancy > 0.5))[:, 1]
    assert np.ptp(extent) == pytest.approx(2 * radius, abs=1.0)
    out = plant(scan, [model], psf_fwhm_mm=(0.5, 0.5, 0.5), native_bone=mask)
    assert not (out.labelmap.array[bone] > 0).any()
    assert out.truths[1].gap_to_bone_mm == 0.0
    assert out.volume.hu.dtype == np.int16
    # Deep in the bone nothing has changed.
    np.testing.assert_array_equal(out.volume.hu[:, :, :24], scan.hu[:, :, :24])
    inside = tuple(float(v) for v in scan.grid.to_lps_mm((19.5, 29.5, 8.0)))
    with pytest.raises(ValueError, match="inside native bone"):
        build_lesion(PlantSpec(1, inside, Sphere(1.0), 300.0, 1.0), Mask(bone | True, scan.grid))


def test_gap_is_measured_from_surface_to_surface():
    scan = soft((40, 60, 60), (1.0, 1.0, 1.0))
    bone = np.zeros(scan.hu.shape, bool)
    bone[:, :, :20] = True
    centre = scan.grid.to_lps_mm((19.5, 29.5, 19.5 + 5.0 + 8.0))
    spec = PlantSpec(1, tuple(map(float, centre)), Sphere(1.0), 4 / 3 * np.pi * 8**3, 1.0)
    gap = gap_to_bone_mm(build_lesion(spec), Mask(bone, scan.grid))
    assert gap == pytest.approx(5.0, abs=0.9)
    assert gap_to_bone_mm(build_lesion(spec), Mask(np.zeros_like(bone), scan.grid)) == 20.0


def test_the_same_lesion_is_seen_in_a_moved_exam():
    scan = soft((40, 60, 60), (1.25, 1.0, 1.0))
    spec = PlantSpec(2, middle(scan), Lobulated(7), 2500.0, 1.0, seed=3)
    model = build_lesion(spec)
    moved = rigid_matrix((4.0, -3.0, 6.0), (3.0, -2.0, 1.0), middle(scan))
    first = plant(scan, [model])
    second = plant(scan, [model], exam_to_patient_lps=np.linalg.inv(moved))
    expected = moved[:3, :3] @ first.truths[2].centroid_lps_mm + moved[:3, 3]
    np.testing.assert_allclose(second.truths[2].centroid_lps_mm, expected, atol=1e-6)
    index = np.argwhere(second.labelmap.array == 2)
    np.testing.assert_allclose(scan.grid.to_lps_mm(index).mean(0), expected, atol=0.2)
    mass = [(p.volume.hu.astype(float) - SOFT_HU).sum() for p in (first, second)]
    assert mass[1] == pytest.approx(mass[0], rel=0.005)
    assert first.truths[2].volume_mm3 == second.truths[2].volume_mm3


def test_kvp_scales_mineral_and_leaves_marrow():
    scan = soft()
    model = build_lesion(PlantSpec(1, middle(scan), Sphere(1.0), 4000.0, 1.0, seed=2))
    base = plant(scan, [model]).volume.hu
    other = plant(scan, [model], mineral_scale=1.3).volume.hu
    peak = base.argmax()
    assert (other.flat[peak] - 50) / (base.flat[peak] - 50) == pytest.approx(1.3, abs=0.02)
    assert other.min() == pytest.approx(base.min(), abs=25)


def test_noise_is_repeatable_and_only_on_request():
    scan = soft((10, 64, 64))
    assert plant(scan, []).volume.hu.std() == 0
    noisy = [plant(scan, [], noise_sd_hu=12.0, seed=5).volume.hu for _ in range(2)]
    assert noisy[0].std() == pytest.approx(12.0, rel=0.05)
    np.testing.assert_array_equal(*noisy)


@pytest.mark.parametrize(
    ("stage", "volume", "label"),
    [(-0.01, 100.0, 1), (1.01, 100.0, 1), (0.5, 0.0, 1), (0.5, 9.0, 0)],
)
def test_bad_specs_are_refused(stage, volume, label):
    with pytest.raises(ValueError, match="need 0 <= stage"):
        build_lesion(PlantSpec(label, (0, 0, 0), Sphere(1.0), volume, stage))


def test_bad_scans_are_refused():
    scan = soft()
    spec = PlantSpec(1, middle(scan), Sphere(1.0), 500.0, 1.0)
    with pytest.raises(ValueError, match="labels must differ"):
        plant(scan, [spec, spec])
    far = PlantSpec(1, (900.0, 0.0, 0.0), Sphere(1.0), 500.0, 1.0)
    with pytest.raises(ValueError, match="outside the scan"):
        plant(scan, [far])


def phantom():
    """A muscle cylinder in air with a bone cylinder in it and a metal pin far away."""
    z, y, x = np.mgrid[:50, :110, :110]
    hu = np.full(z.shape, -1000, np.int16)
    hu[np.hypot(y - 55, x - 55) < 52] = 55
    hu[np.hypot(y - 55, x - 40) < 11] = 1100
    hu[np.hypot(y - 55, x - 40) < 7] = 0
    hu[(np.hypot(y - 90, x - 80) < 3) & (z < 8)] = 3000
    return CTVolume.from_array(hu, (2.0, 1.2, 1.2))


@pytest.mark.parametrize("where", ["free", "near", "attached"])
def test_places_keep_their_word(where):
    scan = phantom()
    bone = native_bone_mask(scan)
    assert bone.array[25, 55, 40]
    site = prepare(scan, bone)
    model = find_place(site, where, 1200.0, 0.8, label=1, seed=4, metal_gap_mm=20)
    gap = gap_to_bone_mm(model, bone, 60.0)
    low, high = {"free": (7.0, 60.0), "near": (1.5, 6.5), "attached": (0.0, 0.8)}[where]
    assert low <= gap <= high
    out = plant(scan, [model], native_bone=bone)
    inside = out.labelmap.array == 1
    assert inside.sum() * scan.grid.voxel_volume_mm3 == pytest.approx(1200, rel=0.06)
    assert scan.hu[inside].min() > -500
    assert out.truths[1].where == where
    other = find_place(site, "free", 800.0, 0.2, label=2, seed=5, others=[model], metal_gap_mm=20)
    assert not (plant(scan, [other]).labelmap.array.astype(bool) & inside).any()


def test_places_refuse_what_cannot_be():
    site = prepare(phantom())
    with pytest.raises(ValueError, match="unknown place"):
        find_place(site, "anywhere", 500.0, 0.5, label=1, seed=1)
    with pytest.raises(ValueError, match="no room"):
        find_place(site, "free", 900000.0, 0.5, label=1, seed=1)
    with pytest.raises(ValueError, match="no room"):
        find_place(site, "free", 500.0, 0.5, label=1, seed=1, near_lps_mm=(900.0, 0.0, 0.0))


def test_a_region_limits_where_lesions_lie():
    scan = phantom()
    left = np.zeros(scan.hu.shape, bool)
    left[:, :, 70:] = True
    site = prepare(scan, None, Mask(left, scan.grid))
    model = find_place(site, "free", 600.0, 0.5, label=1, seed=3, metal_gap_mm=10)
    assert model.spec.center_lps_mm[0] > 69 * 1.2


def test_resample_moves_a_linear_ramp_exactly():
    z, y, x = np.mgrid[:20, :24, :28].astype(np.float32)
    scan = CTVolume.from_array(2 * x + 3 * y - 4 * z, (2.0, 1.0, 1.0))
    grid = regrid(scan.grid, (1.0, 0.8, 0.8))
    assert grid.size_zyx == (39, 29, 34)
    matrix = rigid_matrix((0, 0, 0), (1.5, -0.5, 2.0), (0, 0, 0))
    out = resample(scan, grid, matrix)
    inner = out.hu[8:30, 8:20, 8:24]
    points = grid.to_lps_mm(np.argwhere(np.ones(grid.size_zyx)))
    wanted = 2 * (points[:, 0] + 1.5) + 3 * (points[:, 1] - 0.5) - 2 * (points[:, 2] + 2.0)
    wanted = wanted.reshape(grid.size_zyx)[8:30, 8:20, 8:24]
    np.testing.assert_allclose(inner, wanted, atol=0.5)


def test_thicker_slices_average():
    hu = np.zeros((40, 8, 8), np.int16)
    hu[20] = 1000
    scan = CTVolume.from_array(hu, (1.0, 1.0, 1.0))
    out = resample(scan, regrid(scan.grid, (4.0, 1.0, 1.0)))
    assert out.hu[:, 4, 4].max() < 400
    assert out.hu[:, 4, 4].sum() * 4 == pytest.approx(1000, rel=0.1)


def test_rigid_matrix_is_a_rotation_about_its_centre():
    matrix = rigid_matrix((10, 20, 30), (1, 2, 3), (5, 6, 7))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(matrix[:3, :3] @ [5, 6, 7] + matrix[:3, 3], [6, 8, 10], atol=1e-12)
    quarter = rigid_matrix((0, 0, 90), (0, 0, 0), (0, 0, 0))
    np.testing.assert_allclose(quarter[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)
