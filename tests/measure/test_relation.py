"""Distances between surfaces and diameters, against plain geometry."""

import numpy as np
import pytest

from hoimg.measure.relation import distance_to, nearest_mm, surface_points
from hoimg.measure.shape import max_diameter


def test_faces_of_one_voxel():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    found = surface_points(mask, (2.0, 1.0, 0.5), (10, 0, 0))
    expected = {(21, 1, 0.5), (23, 1, 0.5), (22, 0.5, 0.5), (22, 1.5, 0.5), (22, 1, 0.25)}
    assert {tuple(p) for p in found} == expected | {(22, 1, 0.75)}


def test_nearest_without_targets_is_infinite():
    assert np.isinf(nearest_mm(np.zeros((2, 3)), np.empty((0, 3)))).all()


@pytest.mark.parametrize("gap", [4, 20, 45])
def test_the_search_widens_until_it_finds(gap):
    spacing = (1.0, 1.0, 1.0)
    wall = np.zeros((60, 160, 160), bool)
    wall[:, :, 60 + gap :] = True  # its face lies at x = 60 + gap - 0.5

    asked = []

    def within(margin):
        asked.append(margin)
        low, high = max(60 - int(margin), 0), 60 + int(margin) + 1
        return wall[:, :, low:high], (0, 0, low)

    points = np.array([[30.0, 80.0, 60.0], [30.0, 80.0, 58.0]])
    found = distance_to(points, within, spacing, name="bone", present=True, radius_mm=60.0)
    assert found.value_mm == pytest.approx(gap - 0.5)
    assert found.reason is None
    assert len(asked) == {4: 1, 20: 2, 45: 3}[gap]


def test_many_targets_are_thinned_without_losing_the_nearest():
    mask = np.zeros((300, 300, 2), bool)
    mask[:, :, 1] = True
    mask[150, 150, 0] = True
    points = np.array([[150.0, 150.0, -10.0], [150.0, 150.0, -12.0]])
    found = distance_to(
        points, lambda _: (mask, (0, 0, 0)), (1.0, 1.0, 1.0), name="bone", present=True,
        radius_mm=60.0,
    )  # fmt: skip
    # The lone voxel's outer face is the array's own face, hence no surface: its sides are.
    assert found.value_mm == pytest.approx(np.hypot(10, 0.5))


def test_a_crop_all_bone_touches():
    full = np.ones((4, 4, 4), bool)
    found = distance_to(
        np.ones((1, 3)), lambda _: (full, (0, 0, 0)), (1.0, 1.0, 1.0), name="bone", present=True,
        radius_mm=10.0,
    )  # fmt: skip
    assert found.value_mm == 0.0


def test_nothing_within_the_radius():
    empty = np.zeros((4, 4, 4), bool)
    found = distance_to(
        np.ones((1, 3)), lambda _: (empty, (0, 0, 0)), (1.0, 1.0, 1.0), name="metal",
        present=True, radius_mm=10.0,
    )  # fmt: skip
    assert found.value_mm is None
    assert found.reason == "metal_beyond_search_radius"


def test_diameter_of_a_box_and_of_flat_points():
    box = np.array([[z, y, x] for z in (0, 2) for y in (0, 3) for x in (0, 6)], float)
    assert max_diameter(box) == pytest.approx(7.0)
    flat = np.array([[0, 0, 0], [0, 3, 0], [0, 0, 4], [0, 3, 4]], float)
    assert max_diameter(flat) == pytest.approx(5.0)
