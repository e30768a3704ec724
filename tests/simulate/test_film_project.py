"""Projection against objects whose shadow can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.simulate.film_geometry import aim
from hoimg.simulate.film_project import project, project_coarse
from hoimg.simulate.resample import rigid_matrix

STEP = 0.8


def solid(distance, center=(0.0, 0.0, 0.0), half=34.0, step=STEP):
    """Part of each voxel inside an object given by its signed distance."""
    n = int(2 * half / step) + 1
    grid = Grid((n, n, n), (step,) * 3, tuple(c - half for c in center))
    axes = [grid.origin_lps_mm[k] + step * np.arange(n) for k in range(3)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return np.clip(0.5 - distance(x, y, z) / step, 0, 1).astype(np.float32), grid


def chord_through_ball(geometry, center, radius):
    """Exact length of each pixel's ray inside a ball."""
    rows, columns = np.indices(geometry.shape_yx).reshape(2, -1)
    ends = geometry.to_lps_mm(np.stack([rows, columns], 1), geometry.sid_mm)
    way = ends - geometry.source_lps_mm
    way /= np.linalg.norm(way, axis=1)[:, None]
    to = np.asarray(center) - geometry.source_lps_mm
    off = np.linalg.norm(np.cross(way, to), axis=1)
    return (2 * np.sqrt(np.clip(radius**2 - off**2, 0, None))).reshape(geometry.shape_yx)


@pytest.mark.parametrize("degrees", [0.0, -90.0, 37.0])
@pytest.mark.parametrize("tilt", [0.0, 12.0])
def test_a_ball_off_the_central_ray(degrees, tilt):
    center, radius = (30.0, -25.0, 18.0), 22.0
    ball, grid = solid(
        lambda x, y, z: np.sqrt((x - 30) ** 2 + (y + 25) ** 2 + (z - 18) ** 2) - radius, center
    )
    geometry = aim(
        (0, 0, 0), degrees=degrees, tilt_degrees=tilt, spacing_mm=0.6, shape_yx=(260, 260)
    )
    made = project(ball, grid, geometry)
    true = chord_through_ball(geometry, center, radius)
    # Total, height, place and width of the shadow.
    assert made.sum() == pytest.approx(true.sum(), rel=0.003)
    assert made.max() == pytest.approx(2 * radius, rel=0.01)
    # Within a voxel of the rim, rays graze: there the voxels' own blur shows.
    deep = true > 26
    np.testing.assert_allclose(made[deep], true[deep], rtol=0.01)
    index = np.indices(made.shape)
    for axis in (0, 1):
        place, expected = ((index[axis] * m).sum() / m.sum() for m in (made, true))
        assert place == pytest.approx(expected, abs=0.05)
    assert (made > 6).sum() == pytest.approx((true > 6).sum(), rel=0.01)


def test_a_wire_is_magnified_by_its_depth():
    # Two thin rods 40 mm apart, at two depths: distance on the plate is 40 x SID / depth.
    geometry = aim((0, 0, 0), sid_mm=1000, sod_mm=800, spacing_mm=0.3, shape_yx=(60, 420))
    for depth in (-40.0, 0.0, 60.0):
        rods, grid = solid(
            lambda x, y, z, d=depth: (
                np.minimum(np.hypot(x - 20, y - d), np.hypot(x + 20, y - d)) - 1.0
            ),
            (0, depth, 0),
        )
        line = project(rods, grid, geometry)[30]
        middle = 209.5
        left = np.arange(420) < middle
        at = [float((np.arange(420)[s] * line[s]).sum() / line[s].sum()) for s in (left, ~left)]
        wanted = 40.0 * 1000 / (800 + depth)
        assert (at[1] - at[0]) * 0.3 == pytest.approx(wanted, rel=0.002)
        # Patient's right (-x) is on the picture's left.
        assert geometry.to_pixel_yx(np.array([[-20.0, depth, 0]]))[0, 1] == pytest.approx(
            at[0], abs=0.1
        )
        factor = geometry.magnification(np.array([[0.0, depth, 0.0]]))[0]
        assert factor == pytest.approx(1000 / (800 + depth))


def test_a_cylinder_along_the_beam_has_its_length():
    rod, grid = solid(lambda x, y, z: np.maximum(np.hypot(x, z) - 12, np.abs(y) - 25))
    geometry = aim((0, 0, 0), spacing_mm=0.5, shape_yx=(81, 81))
    made = project(rod, grid, geometry)
    assert made[40, 40] == pytest.approx(50.0, rel=0.005)
    # Rays that leave through its wall have half its length at the magnification of its middle.
    area = (made > 25.0).sum() * 0.25
    assert area == pytest.approx(np.pi * 12**2 * (1100 / 950) ** 2, rel=0.02)


def test_pixels_and_points_are_each_others_inverse():
    geometry = aim((5, -8, 30), degrees=25, tilt_degrees=-7, shape_yx=(300, 200))
    pixels = np.array([[0.0, 0.0], [299, 199], [17.5, 120.25]])
    for depth in (600.0, 900.0, 1100.0):
        points = geometry.to_lps_mm(pixels, depth)
        np.testing.assert_allclose(geometry.to_pixel_yx(points), pixels, atol=1e-9)
        np.testing.assert_allclose(geometry.depth_mm(points), depth)
    np.testing.assert_allclose(
        geometry.to_pixel_yx(np.array([[5.0, -8.0, 30.0]])), [[149.5, 99.5]], atol=1e-9
    )
    moved = rigid_matrix((4, -3, 11), (7, 2, -5), (0, 0, 0))
    point = np.array([[12.0, 3.0, 21.0]])
    there = point @ moved[:3, :3].T + moved[:3, 3]
    np.testing.assert_allclose(
        geometry.moved(moved).to_pixel_yx(there), geometry.to_pixel_yx(point), atol=1e-9
    )


def test_views_show_what_a_reader_expects():
    # Up is towards the head; AP: the patient's right on the left; lateral with the left side at
    # the detector: front on the right.
    for degrees, point, column in (
        (0, (-10, 0, 0), -1),
        (-90, (0, -10, 0), 1),
        (90, (0, -10, 0), -1),
    ):
        geometry = aim((0, 0, 0), degrees=degrees, shape_yx=(101, 101), spacing_mm=0.5)
        row, col = geometry.to_pixel_yx(np.array([point], float))[0] - 50
        assert row == pytest.approx(0)
        assert np.sign(col) == column
        assert geometry.to_pixel_yx(np.array([[0.0, 0.0, 10.0]]))[0, 0] < 50


def test_a_part_and_coarse_pixels_agree_with_the_whole():
    blob, grid = solid(
        lambda x, y, z: np.sqrt((x / 1.4) ** 2 + y**2 + (z / 0.8) ** 2) - 15, step=1.0
    )
    geometry = aim((0, 0, 0), degrees=10, spacing_mm=0.2, shape_yx=(240, 300))
    whole = project(blob, grid, geometry)
    box = (slice(60, 150), slice(20, 140))
    np.testing.assert_allclose(project(blob, grid, geometry, pixels=box), whole[box], atol=1e-3)
    coarse = project_coarse(blob, grid, geometry, pixel_mm=0.7)
    assert np.abs(coarse - whole).max() < 0.02 * whole.max()
    assert coarse.sum() == pytest.approx(whole.sum(), rel=0.001)


def test_a_body_that_the_scan_cuts_goes_on():
    grid = Grid((21, 41, 41), (1.0, 1.0, 1.0), (-20.0, -20.0, -10.0))
    block = np.ones(grid.size_zyx, np.float32)
    block[:, :3] = block[:, -3:] = 0
    geometry = aim((0, 0, 0), spacing_mm=0.5, shape_yx=(120, 60))
    cut = project(block, grid, geometry)
    whole = project(block, grid, geometry, extend=True)
    assert cut[2, 30] == 0
    assert whole[2, 30] == pytest.approx(whole[60, 30], rel=0.01)
    assert whole[60, 30] == pytest.approx(35.0, rel=0.01)


def test_refuses_a_source_inside_the_body():
    blob, grid = solid(lambda x, y, z: np.sqrt(x * x + y * y + z * z) - 15)
    with pytest.raises(ValueError, match="source"):
        project(blob, grid, aim((0, 0, 0), sid_mm=100, sod_mm=20, shape_yx=(10, 10)))
    with pytest.raises(ValueError, match="SOD"):
        aim((0, 0, 0), sid_mm=1000, sod_mm=1000)
