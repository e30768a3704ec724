"""The grid: expected positions from DICOM's own formula and from SimpleITK, not from our code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from hoimg.geometry import (
    IDENTITY,
    ORTHONORMAL_TOLERANCE,
    Grid,
    Matrix,
    bounding_box,
    label_boxes,
    margin_voxels,
    nested,
    overlap,
)

spacings = st.tuples(*[st.floats(0.2, 6.0)] * 3)
sizes = st.tuples(*[st.integers(1, 40)] * 3)
origins = st.tuples(*[st.floats(-500, 500)] * 3)
angles = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)


def rotation(angles_rad: tuple[float, float, float]) -> Matrix:
    a, b, c = angles_rad
    about_x = [[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]]
    about_y = [[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]]
    about_z = [[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]]
    matrix = np.array(about_z) @ np.array(about_y) @ np.array(about_x)
    return tuple(tuple(float(v) for v in row) for row in matrix)  # type: ignore[return-value]


grids = st.builds(Grid, sizes, spacings, origins, angles.map(rotation))


def test_index_maps_to_position_by_dicoms_formula():
    # A sagittal-like frame: rows run to the back (+y), columns to the feet (-z), slices to left.
    columns_as_lps = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    direction = tuple(tuple(row) for row in columns_as_lps.T)
    if np.linalg.det(columns_as_lps) < 0:
        columns_as_lps[2] *= -1
        direction = tuple(tuple(row) for row in columns_as_lps.T)
    grid = Grid((10, 20, 30), (3.0, 0.5, 0.7), (1.0, -2.0, 5.0), direction)
    z, y, x = 4, 7, 11
    # PS3.3 C.7.6.2.1.1: P = S + X * dx * i + Y * dy * j, and the slice step along the third axis.
    expected = (
        np.array([1.0, -2.0, 5.0])
        + columns_as_lps[0] * 0.7 * x
        + columns_as_lps[1] * 0.5 * y
        + columns_as_lps[2] * 3.0 * z
    )
    np.testing.assert_allclose(grid.to_lps_mm((z, y, x)), expected, atol=1e-9)


@given(grids, st.tuples(*[st.floats(-20, 60)] * 3))
def test_position_agrees_with_itk(grid, index):
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    image.SetSpacing(grid.spacing_zyx_mm[::-1])
    image.SetOrigin(grid.origin_lps_mm)
    image.SetDirection(np.asarray(grid.direction).ravel().tolist())
    expected = image.TransformContinuousIndexToPhysicalPoint(index[::-1])
    np.testing.assert_allclose(grid.to_lps_mm(index), expected, atol=1e-6)


@given(grids, st.lists(st.tuples(*[st.floats(-20, 60)] * 3), min_size=1, max_size=5))
def test_there_and_back(grid, points):
    np.testing.assert_allclose(
        grid.to_index_zyx(grid.to_lps_mm(points)), np.asarray(points, dtype=float), atol=1e-6
    )


@given(grids)
def test_distance_between_neighbours_is_the_spacing(grid):
    home = grid.to_lps_mm((0, 0, 0))
    for axis in range(3):
        step = [0, 0, 0]
        step[axis] = 1
        distance = np.linalg.norm(grid.to_lps_mm(step) - home)
        assert distance == pytest.approx(grid.spacing_zyx_mm[axis], abs=1e-9)


def test_voxel_volume_is_the_product_of_the_spacing():
    assert Grid((1, 1, 1), (2.0, 0.5, 0.25)).voxel_volume_mm3 == pytest.approx(0.25)


@given(grids, st.data())
def test_crop_keeps_every_voxel_where_it_was(grid, data):
    box = []
    for n in grid.size_zyx:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    cropped = grid.crop(tuple(box))
    assert cropped.size_zyx == tuple(s.stop - s.start for s in box)
    np.testing.assert_allclose(
        cropped.to_lps_mm((0, 0, 0)), grid.to_lps_mm([s.start for s in box]), atol=1e-9
    )
    assert cropped.direction == grid.direction


def test_same_as_at_the_tolerance_and_one_past_it():
    grid = Grid((5, 5, 5), (1.0, 1.0, 1.0))
    at = Grid((5, 5, 5), (1.0, 1.0, 1.0), (0.0625, 0.0, 0.0))
    past = Grid((5, 5, 5), (1.0, 1.0, 1.0), (0.0626, 0.0, 0.0))
    assert grid.same_as(at, tolerance_mm=0.0625)
    assert not grid.same_as(past, tolerance_mm=0.0625)


def test_a_small_error_of_spacing_counts_at_the_far_end():
    near = Grid((2, 2, 2), (1.0, 1.0, 1.0))
    assert near.same_as(Grid((2, 2, 2), (1.001, 1.0, 1.0)))
    far = Grid((400, 2, 2), (1.0, 1.0, 1.0))
    assert not far.same_as(Grid((400, 2, 2), (1.001, 1.0, 1.0)))


def test_other_size_is_another_grid():
    assert not Grid((2, 2, 2), (1, 1, 1)).same_as(Grid((2, 2, 3), (1, 1, 1)))


@pytest.mark.parametrize(
    ("size", "spacing", "origin", "direction", "word"),
    [
        ((0, 1, 1), (1, 1, 1), (0, 0, 0), IDENTITY, "size"),
        ((1.5, 1, 1), (1, 1, 1), (0, 0, 0), IDENTITY, "size"),
        ((1, 1), (1, 1, 1), (0, 0, 0), IDENTITY, "size"),
        ((1, 1, 1), (0.0, 1, 1), (0, 0, 0), IDENTITY, "spacing"),
        ((1, 1, 1), (-1.0, 1, 1), (0, 0, 0), IDENTITY, "spacing"),
        ((1, 1, 1), (math.nan, 1, 1), (0, 0, 0), IDENTITY, "spacing"),
        ((1, 1, 1), (math.inf, 1, 1), (0, 0, 0), IDENTITY, "spacing"),
        ((1, 1, 1), (1, 1), (0, 0, 0), IDENTITY, "spacing"),
        ((1, 1, 1), (1, 1, 1), (math.nan, 0, 0), IDENTITY, "origin"),
        ((1, 1, 1), (1, 1, 1), (0, 0, 0), ((1, 0), (0, 1)), "direction"),
        ((1, 1, 1), (1, 1, 1), (0, 0, 0), ((2, 0, 0), (0, 1, 0), (0, 0, 1)), "direction"),
        ((1, 1, 1), (1, 1, 1), (0, 0, 0), ((1, 0.5, 0), (0, 1, 0), (0, 0, 1)), "direction"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(size, spacing, origin, direction, word):
    with pytest.raises(ValueError, match=word):
        Grid(size, spacing, origin, direction)


def test_direction_is_checked_at_its_tolerance():
    inside = math.sqrt(1 + ORTHONORMAL_TOLERANCE * 0.9)
    outside = math.sqrt(1 + ORTHONORMAL_TOLERANCE * 1.1)
    Grid((1, 1, 1), (1, 1, 1), direction=((inside, 0, 0), (0, 1, 0), (0, 0, 1)))
    with pytest.raises(ValueError, match="orthonormal"):
        Grid((1, 1, 1), (1, 1, 1), direction=((outside, 0, 0), (0, 1, 0), (0, 0, 1)))


def test_numpy_numbers_become_plain_ones():
    grid = Grid(tuple(np.array([2, 3, 4])), np.array([1.0, 2.0, 3.0]), np.zeros(3), np.eye(3))
    assert grid == Grid((2, 3, 4), (1.0, 2.0, 3.0))
    assert hash(grid) == hash(Grid((2, 3, 4), (1.0, 2.0, 3.0)))


def test_bounding_box_of_one_voxel_with_margin_is_clipped():
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[0, 2, 5] = True
    assert bounding_box(mask) == (slice(0, 1), slice(2, 3), slice(5, 6))
    assert bounding_box(mask, (1, 1, 2)) == (slice(0, 2), slice(1, 4), slice(3, 6))


@given(sizes, st.integers(0, 2**16), st.sampled_from([0.0, 0.002, 0.2]))
def test_boxes_of_labels_hold_each_label_and_no_more(size, seed, share):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(size) < share, rng.integers(1, 5, size), 0).astype(np.uint16)
    found = label_boxes(labels)
    assert sorted(found) == [int(v) for v in np.unique(labels) if v]
    for value, box in found.items():
        at = np.argwhere(labels == value)
        assert [s.start for s in box] == at.min(axis=0).tolist()
        assert [s.stop - 1 for s in box] == at.max(axis=0).tolist()
    whole = label_boxes(labels > 0)
    assert whole == ({1: bounding_box(labels > 0)} if labels.any() else {})


def test_bounding_box_of_nothing_is_none():
    assert bounding_box(np.zeros((2, 2, 2), dtype=bool)) is None


@given(st.lists(st.tuples(*[st.integers(0, 7)] * 3), min_size=1, max_size=6))
def test_bounding_box_holds_all_and_is_tight(points):
    mask = np.zeros((8, 8, 8), dtype=bool)
    for point in points:
        mask[point] = True
    box = bounding_box(mask)
    assert mask[box].sum() == mask.sum()
    for axis in range(3):
        assert box[axis].start == min(p[axis] for p in points)
        assert box[axis].stop == max(p[axis] for p in points) + 1


def test_margin_is_rounded_up_to_whole_voxels():
    assert margin_voxels(3.0, (3.0, 1.0, 0.7)) == (1, 3, 5)
    assert margin_voxels(3.01, (3.0, 1.0, 0.7)) == (2, 4, 5)
    # 0.3 / 0.1 is a little more than 3 in binary; that must not add a voxel.
    assert margin_voxels(0.3, (0.1, 0.1, 0.1)) == (3, 3, 3)


def test_a_box_in_a_crop_is_the_same_voxels_of_the_whole():
    whole = np.arange(6 * 7 * 8).reshape(6, 7, 8)
    crop, part = np.s_[2:6, 1:7, 3:8], np.s_[1:3, 0:2, 2:5]
    np.testing.assert_array_equal(whole[nested(crop, part)], whole[crop][part])


def boxes(size: tuple[int, int, int]) -> st.SearchStrategy[tuple[slice, ...]]:
    ends = [st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in size]
    return st.tuples(*ends).map(lambda e: tuple(slice(min(a, b - 1), max(a + 1, b)) for a, b in e))


@given(boxes((5, 6, 7)), boxes((5, 6, 7)))
def test_what_two_crops_share_is_the_same_in_both(one, other):
    whole = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    here, there = overlap(one, other)
    shared = whole[one][here]
    np.testing.assert_array_equal(shared, whole[other][there])
    expected = np.intersect1d(whole[one], whole[other])
    np.testing.assert_array_equal(np.sort(shared.ravel()), expected)
