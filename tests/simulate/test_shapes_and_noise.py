"""Forms, textures and noise against analytic values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.simulate.noise import FWHM_PER_SIGMA, SmoothField, block_mean, blur, correlated_noise
from hoimg.simulate.plant import PlantSpec, build_lesion, natural_volume_mm3
from hoimg.simulate.shapes import Lobulated, Plaque, Scaled, Sphere, Union, smooth_min
from hoimg.simulate.texture import SOFT_HU, Texture


def test_sphere_is_an_exact_distance():
    points = np.array([[0, 0, 0], [3, 0, 0], [0, 8, 6]], float)
    np.testing.assert_allclose(Sphere(5.0)(points), [-5, -2, 5], atol=1e-5)
    np.testing.assert_allclose(Sphere(1.0, (3, 0, 0))(points), [2, -1, np.sqrt(109) - 1], rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 20), st.tuples(*[st.floats(-5, 5)] * 3))
def test_scaled_sphere_equals_a_larger_sphere(factor, shift):
    points = np.random.default_rng(1).uniform(-20, 20, (50, 3))
    scaled = Scaled(Sphere(1.0), factor, shift)
    np.testing.assert_allclose(scaled(points), Sphere(factor, shift)(points), atol=1e-3)
    assert scaled.reach_mm >= factor


def test_smooth_min_is_the_minimum_far_apart_and_lower_close_by():
    a, b = np.array([1.0, 0.0]), np.array([9.0, 0.0])
    # Where both are equal the quadratic joint lies a quarter of the width below.
    np.testing.assert_allclose(smooth_min(a, b, 4.0), [1.0, -1.0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["lobulated", "plaque"])
def test_forms_are_closed_inside_their_reach(seed, kind):
    shape = Lobulated(seed) if kind == "lobulated" else Plaque((2, 0.5, 0), (0, 0, 1), seed)
    directions = np.random.default_rng(seed).standard_normal((500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert (shape(directions * shape.reach_mm) > 0).all()
    assert shape(np.zeros((1, 3)))[0] < 0 or kind == "plaque"
    assert natural_volume_mm3(shape) > 1.0


def test_plaque_is_longer_than_thick():
    shape = Plaque((4, 0, 0), (0, 0, 1), 3)
    axis = np.linspace(-6, 6, 121)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    inside = grid[shape(grid) < 0]
    extent = np.ptp(inside, axis=0)
    assert extent[0] > 8
    assert extent[0] > 2 * extent[2]


def test_a_plaque_along_its_own_normal_still_has_a_thin_direction():
    assert natural_volume_mm3(Plaque((2, 0, 0), (1, 0, 0), 1)) > 1.0


def test_union_of_spheres_has_the_analytic_volume_and_a_neck():
    pair = Union(Sphere(5, (7, 0, 0)), Sphere(5, (-7, 0, 0)), 0.5)
    assert natural_volume_mm3(pair) == pytest.approx(2 * 4 / 3 * np.pi * 125, rel=0.03)
    assert Union(Sphere(5, (5.5, 0, 0)), Sphere(5, (-5.5, 0, 0)), 4.0)(np.zeros((1, 3)))[0] < 0


@pytest.mark.parametrize("volume", [500.0, 4189.0])
def test_a_built_sphere_has_the_wanted_volume_and_the_analytic_radius(volume):
    model = build_lesion(PlantSpec(1, (1.0, 2.0, 3.0), Sphere(1.0), volume, 1.0))
    assert model.volume_mm3 == pytest.approx(volume, rel=0.003)
    radius = (3 * volume / 4 / np.pi) ** (1 / 3)
    index = np.argwhere(model.occupancy > 0.5)
    distance = np.linalg.norm(model.grid.to_lps_mm(index) - [1, 2, 3], axis=1)
    assert distance.max() == pytest.approx(radius, abs=0.45)
    # Independent integration: count voxels of the analytic ball on the same grid.
    points = model.grid.to_lps_mm(np.argwhere(np.ones(model.grid.size_zyx)))
    ball = (np.linalg.norm(points - [1, 2, 3], axis=1) < radius).sum() * 0.4**3
    assert ball == pytest.approx(model.volume_mm3, rel=0.01)


def test_a_mature_sphere_has_a_shell_of_the_stated_thickness_and_volume():
    spec = PlantSpec(1, (0, 0, 0), Sphere(1.0), 4189.0, 1.0, seed=5, shell_mm=1.6, shell_hu=1200.0)
    model = build_lesion(spec)
    dense = ((model.hu > 600) * model.occupancy).sum() * 0.4**3
    radius = 10.0
    shell = 4 / 3 * np.pi * (radius**3 - (radius - 1.6) ** 3)
    assert dense == pytest.approx(shell, rel=0.06)
    assert 900 < np.median(model.hu[(model.hu > 600)]) < 1400
    core = model.hu[(model.occupancy == 1) & (model.hu < 600)]
    assert -60 < np.median(core) < 150


def test_stages_go_from_faint_to_a_complete_rim():
    directions = np.random.default_rng(0).standard_normal((2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    surface, depth = directions * 9.3, np.full(2000, 0.7)
    cover = [(Texture(s, 3).hu(surface, depth) > 350).mean() for s in (0, 0.3, 0.5, 0.7, 1.0)]
    assert cover[0] == 0.0
    assert cover[-1] == 1.0
    assert all(np.diff(cover[1:]) >= 0)
    assert 0.3 < cover[2] < 0.8


def test_stage_zero_is_clumps_over_soft_tissue():
    points = np.random.default_rng(1).uniform(-8, 8, (5000, 3))
    hu = Texture(0.0, 4).hu(points, np.full(5000, 4.0))
    assert hu.min() >= SOFT_HU - 1
    assert hu.max() < 320
    assert 84 < hu.mean() < 200
    assert hu.std() > 38
    assert ((hu > 110) & (hu < 300)).mean() > 0.3


def test_smooth_field_is_standardised_and_repeats():
    points = np.random.default_rng(2).uniform(0, 60, (4000, 3))
    field = SmoothField(9, 2.5)(points)
    assert abs(field.mean()) < 0.1
    assert field.std() == pytest.approx(1.0, abs=0.07)
    np.testing.assert_array_equal(field, SmoothField(9, 2.5)(points))
    np.testing.assert_allclose(field, SmoothField(9, 2.5)(points + 24 * 2.5), atol=1e-2)


@pytest.mark.parametrize(("sd", "fwhm"), [(10.0, 2.0), (25.0, 3.0)])
def test_noise_has_the_stated_sd_and_correlation(sd, fwhm):
    noise = correlated_noise((48, 64, 64), (1.5, 1.0, 1.0), sd, fwhm, 3)
    assert noise.std() == pytest.approx(sd, rel=0.03)
    # White noise through a Gaussian: correlation exp(-d^2 / (4 sigma^2)) at distance d.
    sigma = fwhm / FWHM_PER_SIGMA
    for lag in (1, 2):
        a, b = noise[:, :, :-lag].ravel(), noise[:, :, lag:].ravel()
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(
            np.exp(-(lag**2) / (4 * sigma**2)), abs=0.04
        )
    assert not correlated_noise((2, 2, 2), (1, 1, 1), 0.0, 1.0, 0).any()


def test_narrow_noise_is_white():
    noise = correlated_noise((20, 40, 40), (2.0, 2.0, 2.0), 5.0, 0.1, 1)
    assert abs(np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]) < 0.02


def test_blur_keeps_the_sum_and_has_the_stated_width():
    point = np.zeros((61, 61, 61), np.float32)
    point[30, 30, 30] = 1000.0
    out = blur(point, (2.0, 1.2, 0.0), (0.3, 0.3, 0.3))
    assert out.sum(dtype=float) == pytest.approx(1000.0, rel=1e-4)
    for axis, fwhm in enumerate((2.0, 1.2)):
        profile = out.sum(axis=tuple(a for a in range(3) if a != axis))
        x = (np.arange(61) - 30) * 0.3
        sd = np.sqrt((profile * x**2).sum() / profile.sum())
        assert sd * FWHM_PER_SIGMA == pytest.approx(fwhm, rel=0.02)
    assert (out[30, 30, :30] == 0).all()


def test_block_mean_refuses_a_shape_that_does_not_fit():
    assert block_mean(np.arange(8.0).reshape(2, 2, 2), 2).item() == 3.5
    with pytest.raises(ValueError, match="no multiple"):
        block_mean(np.zeros((3, 2, 2)), 2)
