"""The further forms and textures of planted lesions: closed, of the wanted size, as described."""

from __future__ import annotations

import numpy as np
import pytest

from hoimg.simulate.forms import KINDS, Ellipsoid, Sheet, draw_form
from hoimg.simulate.plant import PlantSpec, build_lesion, natural_volume_mm3
from hoimg.simulate.texture import MANNERS, Texture

UP = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_forms_are_closed_inside_their_reach_and_can_be_built_at_any_size(kind, seed):
    shape = draw_form(kind, UP, seed)
    directions = np.random.default_rng(seed).standard_normal((500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert (shape(directions * shape.reach_mm) > 0).all()
    model = build_lesion(PlantSpec(1, (0.0, 0.0, 0.0), shape, 1500.0, 0.5, seed=seed))
    counted = float((model.occupancy >= 0.5).sum()) * 0.4**3
    assert counted == pytest.approx(1500.0, rel=0.04)


def test_an_unknown_form_is_refused_by_name():
    with pytest.raises(ValueError, match="potato"):
        draw_form("potato", UP, 1)


@pytest.mark.parametrize("seed", range(6))
def test_an_ellipsoid_has_the_volume_of_its_axes(seed):
    form = Ellipsoid(seed)
    # Its own axes, found anew: along each eigenvector the surface lies at one half axis.
    lattice = np.stack(np.meshgrid(*[np.linspace(-2, 2, 81)] * 3, indexing="ij"), -1).reshape(-1, 3)
    inside = lattice[form(lattice) < 0]
    # A solid ellipsoid's variance along an axis is a fifth of the axis squared.
    axes = np.sqrt(5 * np.linalg.eigvalsh(np.cov(inside.T)))
    assert natural_volume_mm3(form) == pytest.approx(4 / 3 * np.pi * axes.prod(), rel=0.04)


@pytest.mark.parametrize("seed", range(4))
def test_a_sheet_is_thin_along_its_normal_and_bends_away_from_it(seed):
    form = Sheet((0.0, 0.0, 1.0), seed)
    axis = np.linspace(-form.reach_mm, form.reach_mm, 91)
    lattice = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    inside = lattice[form(lattice) < 0]
    middle = inside[np.hypot(inside[:, 0], inside[:, 1]) < 0.15]
    assert np.ptp(middle[:, 2]) < 1.1
    assert np.ptp(inside[:, :2], axis=0).max() > 2.0
    # Away from its middle it lies below the plane rather than above.
    turn = np.linspace(0, 2 * np.pi, 90)
    ring = np.stack([0.7 * np.cos(turn), 0.7 * np.sin(turn), np.zeros(90)], axis=1)
    up = np.array([0.0, 0.0, 0.12])
    assert form(ring - up).mean() < form(ring + up).mean()


@pytest.mark.parametrize("seed", range(3))
def test_bars_are_rounder_than_plaques(seed):
    def across(kind):
        form = draw_form(kind, UP, seed)
        axis = np.linspace(-form.reach_mm, form.reach_mm, 91)
        lattice = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        spread = np.linalg.eigvalsh(np.cov(lattice[form(lattice) < 0].T))
        return float(np.sqrt(spread[1] / spread[0]))

    assert across("bar") < across("plaque")


def hu_at(manner, stage, depth_mm, seed=3):
    points = np.random.default_rng(0).uniform(-12, 12, (4000, 3))
    depth = np.full(len(points), depth_mm)
    return Texture(stage, seed, manner=manner).hu(points, depth)


def test_a_cloud_thins_towards_its_edge_and_rises_with_the_stage():
    assert 85 < hu_at("cloud", 0.0, 6.0).mean() < 160
    assert hu_at("cloud", 0.0, 0.0).mean() < hu_at("cloud", 0.0, 3.0).mean() - 25
    assert hu_at("cloud", 0.35, 6.0).mean() > hu_at("cloud", 0.0, 6.0).mean() + 50


def test_a_solid_one_is_as_dense_inside_as_at_its_surface():
    inside, surface = hu_at("solid", 0.8, 9.0), hu_at("solid", 0.8, 0.2)
    assert abs(inside.mean() - surface.mean()) < 10
    assert 600 < inside.mean() < 900


def test_a_spongy_one_has_a_dense_rim_and_bone_in_place_of_fat():
    fat, bone = hu_at("zonal", 1.0, 9.0), hu_at("spongy", 1.0, 9.0)
    assert 100 < bone.mean() < 320
    assert fat.mean() < bone.mean() - 60
    assert hu_at("spongy", 1.0, 0.5).mean() > 900


def test_every_manner_is_known_to_the_builder():
    for manner in MANNERS:
        spec = PlantSpec(1, (0, 0, 0), draw_form("ellipsoid", UP, 2), 800.0, 0.8, manner=manner)
        assert np.isfinite(build_lesion(spec).hu).all()
