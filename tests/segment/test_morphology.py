"""Morphology in millimetres against scipy's Euclidean distance between voxel centres."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hoimg.segment import morphology as mm

spacings = st.tuples(*[st.sampled_from([0.5, 0.7, 0.98, 1.5, 2.0, 3.0])] * 3)
radii = st.sampled_from([0.33, 1.13, 1.9, 2.57, 4.11, 6.03])


def random_mask(seed, share=0.03, shape=(11, 13, 15)):
    return np.random.default_rng(seed).random(shape) < share


def within(mask, radius, spacing):
    """Voxels whose centre lies within the radius of a true voxel's centre."""
    if not mask.any():
        return np.zeros_like(mask)
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= radius


@given(st.integers(0, 10_000), spacings)
@settings(max_examples=25, deadline=None)
def test_distance_is_that_between_voxel_centres(seed, spacing):
    mask = random_mask(seed)
    mask[3, 4, 5] = True
    expected = ndimage.distance_transform_edt(~mask, sampling=spacing)
    np.testing.assert_allclose(mm.distance_mm(mask, spacing), expected, atol=2e-3)


def test_distance_to_nothing_is_infinite():
    assert np.isinf(mm.distance_mm(np.zeros((3, 3, 3), bool), (1, 1, 1))).all()


@given(st.integers(0, 10_000), spacings, radii)
@settings(max_examples=40, deadline=None)
def test_dilation_and_erosion_equal_thresholded_distances(seed, spacing, radius):
    mask = random_mask(seed)
    np.testing.assert_array_equal(
        mm.dilate_mm(mask, radius, spacing), within(mask, radius, spacing)
    )
    full = random_mask(seed, 0.97)
    np.testing.assert_array_equal(
        mm.erode_mm(full, radius, spacing), full & ~within(~full, radius, spacing)
    )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (1.5, 0.98, 0.98)])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_small_ball_and_a_distance_map_give_the_same(monkeypatch, spacing, steps):
    # Radii that are whole numbers of voxels: centres lie exactly on the sphere.
    mask = random_mask(steps, 0.004, (12, 24, 24))
    radius = steps * spacing[1]
    results = []
    for limit in (0, 10**9):
        monkeypatch.setattr(mm, "MOST_ROWS", limit)
        results.append(mm.dilate_mm(mask, radius, spacing))
    np.testing.assert_array_equal(*results)


def test_one_voxel_grows_by_exactly_the_radius_along_each_axis():
    mask = np.zeros((21, 21, 21), bool)
    mask[10, 10, 10] = True
    grown = mm.dilate_mm(mask, 3.0, (1.5, 1.0, 0.75))
    assert [int(grown.any(axis=a).any(axis=b).sum()) for a, b in ((1, 1), (0, 1), (0, 0))] == [
        5,
        7,
        9,
    ]


def test_opening_removes_a_thin_plate_and_keeps_a_block():
    mask = np.zeros((30, 30, 30), bool)
    mask[5:15, 5:15, 5:15] = True
    mask[20:22, 5:25, 5:25] = True  # 2 mm thick
    opened = mm.open_mm(mask, 2.0, (1.0, 1.0, 1.0))
    assert not opened[20:22].any()
    assert opened[10, 10, 10]
    assert not (opened & ~mask).any()


@pytest.mark.parametrize(("gap", "filled"), [(4, True), (5, False)])
def test_closing_bridges_gaps_up_to_twice_the_radius(gap, filled):
    # Two layers of 1 mm voxels from either side: four fill, the middle one of five stays.
    mask = np.zeros((20, 20, 30), bool)
    mask[3:17, 3:17, 3:10] = True
    mask[3:17, 3:17, 10 + gap : 20 + gap] = True
    closed = mm.close_mm(mask, 2.0, (1.0, 1.0, 1.0))
    assert bool(closed[10, 10, 10 : 10 + gap].all()) is filled
    assert not (mask & ~closed).any()


def test_an_erosion_counts_beyond_the_edge_as_inside():
    assert mm.erode_mm(np.ones((5, 5, 5), bool), 2.0, (1, 1, 1)).all()


def test_an_empty_mask_stays_empty():
    empty = np.zeros((4, 5, 6), bool)
    for result in (
        mm.dilate_mm(empty, 2, (1, 1, 1)),
        mm.erode_mm(empty, 2, (1, 1, 1)),
        mm.fill_holes(empty),
        mm.remove_small(empty, 1),
    ):
        assert result.shape == empty.shape
        assert not result.any()


def test_holes_fill_in_three_dimensions_or_slice_by_slice():
    tube = np.zeros((6, 9, 9), bool)
    tube[:, 2:7, 2:7] = True
    tube[:, 4, 4] = False  # open at both ends: only slice by slice is it a hole
    assert not mm.fill_holes(tube)[3, 4, 4]
    assert mm.fill_holes(tube, per_slice=True)[:, 4, 4].all()
    closed = tube.copy()
    closed[[0, 5], 4, 4] = True
    assert mm.fill_holes(closed)[:, 4, 4].all()


def test_components_touch_by_corners_and_small_ones_go():
    mask = np.zeros((6, 6, 6), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    mask[4, 4, 0] = True
    labels, count = mm.label_components(mask)
    assert count == 2
    assert labels[1, 1, 1] == labels[2, 2, 2] != labels[4, 4, 0]
    np.testing.assert_array_equal(np.argwhere(mm.remove_small(mask, 2)), [[1, 1, 1], [2, 2, 2]])
    assert mm.remove_small(mask, 1).sum() == 3


def test_smoothing_has_its_width_in_millimetres():
    hu = np.zeros((41, 41, 41), np.int16)
    hu[20, 20, 20] = 30_000
    smooth = mm.smooth_mm(hu, 3.0, (1.5, 1.0, 1.0)).astype(float)
    for axis, spacing in enumerate((1.5, 1.0, 1.0)):
        line = smooth.sum(axis=tuple(a for a in range(3) if a != axis))
        at = (np.arange(41) - 20) * spacing
        assert np.sqrt((line * at**2).sum() / line.sum()) == pytest.approx(3.0, rel=0.03)


@given(st.integers(0, 10_000), spacings)
@settings(max_examples=25, deadline=None)
def test_depth_is_the_distance_to_the_nearest_voxel_outside(seed, spacing):
    mask = ~random_mask(seed, share=0.1)
    outside = np.pad(mask, 1)  # beyond the edge is outside
    expected = ndimage.distance_transform_edt(outside, sampling=spacing)[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(mm.depth_mm(mask, spacing), expected, atol=2e-3)


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=25, deadline=None)
def test_components_holes_and_specks_are_those_of_scipy(seed, share):
    mask = random_mask(seed, share)
    corners = np.ones((3, 3, 3), bool)
    labels, count = mm.label_components(mask)
    expected, number = ndimage.label(mask, corners)
    assert count == number
    np.testing.assert_array_equal(labels, expected)
    sizes = np.bincount(expected.ravel())
    sizes[0] = 0
    for least in (2, 3.5, 8):
        np.testing.assert_array_equal(mm.remove_small(mask, least), (sizes >= least)[expected])
    np.testing.assert_array_equal(mm.fill_holes(mask), ndimage.binary_fill_holes(mask))
    for z, plane in enumerate(mm.fill_holes(mask, per_slice=True)):
        np.testing.assert_array_equal(plane, ndimage.binary_fill_holes(mask[z]))
