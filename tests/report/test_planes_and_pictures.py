"""Every grid is shown upright: expected places come from patient coordinates, not from the code."""

from __future__ import annotations

import base64
import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.report.pictures import MAX_PIXELS, draw, find_lesions, inner_voxel, side_for
from hoimg.report.planes import PLANES, plane_of
from hoimg.results import ExamImages

LETTERS = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "H", "F"),
    "sagittal": ("A", "P", "H", "F"),
}
# Where a point that lies to the left, in front and towards the head of the centre must appear,
# as signs of (right, down) on the picture: the radiological convention, written down by hand.
LEFT_FRONT_HEAD = {"axial": (1, -1), "coronal": (1, -1), "sagittal": (-1, -1)}


def pixels(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1]))))


def brightest_mm(picture) -> tuple[float, float]:
    """Centre of the bright pixels, mm from the picture's upper left corner (across, down)."""
    image = pixels(picture)
    rows, columns = np.nonzero(image > 200)
    x, y, width, height = picture.box_mm
    return (
        x + (columns.mean() + 0.5) * width / image.shape[1],
        y + (rows.mean() + 0.5) * height / image.shape[0],
    )


def path_points(path: str) -> np.ndarray:
    return np.array(
        [[float(v) for v in pair.split()] for pair in re.findall(r"[\d.-]+ [\d.-]+", path)]
    )


def axis_aligned(order, signs) -> tuple:
    """A direction matrix that permutes and flips the patient's axes."""
    matrix = np.zeros((3, 3))
    for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[row, column] = sign
    return tuple(map(tuple, matrix))


def tilt(direction, angles_deg) -> tuple:
    out = np.asarray(direction, float)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        a, b = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return tuple(map(tuple, out))


def centred(size, spacing, direction, middle_lps) -> Grid:
    """A grid whose middle voxel lies at a point."""
    grid = Grid(size, spacing, (0.0, 0.0, 0.0), direction)
    at = grid.to_lps_mm([n // 2 for n in size])
    return Grid(size, spacing, tuple(np.asarray(middle_lps) - at), direction)


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    spacing=st.tuples(*[st.floats(0.8, 2.5)] * 3),
    angles=st.tuples(*[st.floats(-9, 9)] * 3),
)
def test_a_marker_left_front_head_appears_where_a_radiologist_expects_it(
    order, signs, spacing, angles
):
    middle, marker = np.array([12.0, -30.0, 400.0]), np.array([12.0, -18.0, 20.0])
    point = middle + marker  # left of, in front of and above the middle
    grid = centred((41, 45, 49), spacing, tilt(axis_aligned(order, signs), angles), middle)
    index = np.rint(grid.to_index_zyx(point)).astype(int)
    if (index < 1).any() or (index >= np.array(grid.size_zyx) - 1).any():
        point = middle + marker / 2
        index = np.rint(grid.to_index_zyx(point)).astype(int)
    index = np.clip(index, 1, np.array(grid.size_zyx) - 2)
    hu = np.full(grid.size_zyx, -1000, np.int16)
    hu[tuple(slice(i - 1, i + 2) for i in index)] = 3000
    labels = (hu > 0).astype(np.uint16)
    images = ExamImages("e", CTVolume(hu, grid), Mask(labels, grid), Mask(labels * 0, grid))
    shift = grid.to_lps_mm(index) - middle
    side = 120.0
    for name in PLANES:
        # The slice goes through the marker, the picture is centred on the grid's middle.
        plane = plane_of(grid, name)
        center = [float(n // 2) for n in grid.size_zyx]
        center[plane.normal_axis] = float(index[plane.normal_axis])
        picture = draw(images, name, tuple(center), side, label=1)
        assert picture.letters == LETTERS[name]
        across, down = brightest_mm(picture)
        right, below = LEFT_FRONT_HEAD[name]
        assert np.sign(across - side / 2) == right
        assert np.sign(down - side / 2) == below
        # On a grid along the axes the distance is exact, whatever the spacing of the voxels.
        if not np.any(angles):
            expected = {
                "axial": (shift[0], shift[1]),
                "coronal": (shift[0], -shift[2]),
                "sagittal": (shift[1], -shift[2]),
            }[name]
            assert (across - side / 2, down - side / 2) == pytest.approx(expected, abs=0.6)
        # The outline lies round the bright pixels.
        outline = path_points(picture.outline)
        assert outline.mean(axis=0) == pytest.approx((across, down), abs=0.3)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((-1, 1), repeat=3)))
def test_places_are_exact_on_every_axis_aligned_grid(order, signs):
    spacing = (3.0, 0.9, 1.3)
    middle = np.array([5.0, 6.0, -70.0])
    grid = centred((31, 61, 51), spacing, axis_aligned(order, signs), middle)
    point = middle + np.array([7.8, -5.4, 9.0])
    index = np.rint(grid.to_index_zyx(point)).astype(int)
    hu = np.full(grid.size_zyx, -1000, np.int16)
    hu[tuple(index)] = 3000
    mask = Mask((hu > 0).astype(np.uint16), grid)
    images = ExamImages("e", CTVolume(hu, grid), mask, mask)
    shift = grid.to_lps_mm(index) - middle
    for name, expected in {
        "axial": (shift[0], shift[1]),
        "coronal": (shift[0], -shift[2]),
        "sagittal": (shift[1], -shift[2]),
    }.items():
        center = [float(n // 2) for n in grid.size_zyx]
        center[plane_of(grid, name).normal_axis] = float(index[plane_of(grid, name).normal_axis])
        picture = draw(images, name, tuple(center), 60.0, label=1)
        across, down = brightest_mm(picture)
        assert (across - 30, down - 30) == pytest.approx(expected, abs=1e-6)
        assert picture.tilt_deg == pytest.approx(0, abs=1e-4)


def test_outline_runs_half_a_voxel_outside_of_the_outermost_centres():
    grid = Grid((5, 40, 40), (2.0, 1.5, 0.5))
    labels = np.zeros(grid.size_zyx, np.uint16)
    labels[2, 10:16, 20:30] = 4  # 6 rows of 1.5 mm = 9 mm high, 10 columns of 0.5 mm = 5 mm wide
    images = ExamImages(
        "e",
        CTVolume(np.zeros(grid.size_zyx, np.int16), grid),
        Mask(labels, grid),
        Mask(labels, grid),
    )
    picture = draw(images, "axial", (2.0, 12.5, 24.5), 30.0, label=4)
    points = path_points(picture.outline)
    assert np.ptp(points, axis=0) == pytest.approx((5.0, 9.0))
    assert (points.min(axis=0) + points.max(axis=0)) / 2 == pytest.approx((15.0, 15.0))


def test_holes_and_other_lesions_have_their_own_outlines():
    grid = Grid((3, 40, 40), (1.0, 1.0, 1.0))
    labels = np.zeros(grid.size_zyx, np.uint16)
    labels[:, 10:20, 10:20] = 1
    labels[:, 13:16, 13:16] = 0
    labels[:, 25:30, 25:30] = 2
    images = ExamImages(
        "e",
        CTVolume(np.zeros(grid.size_zyx, np.int16), grid),
        Mask(labels, grid),
        Mask(labels, grid),
    )
    picture = draw(images, "axial", (1, 20, 20), 40.0, label=1)
    assert picture.outline.count("M") == 2
    assert picture.others.count("M") == 1
    assert path_points(picture.others).mean() == pytest.approx(27.5, abs=0.5)
    assert draw(images, "axial", (1, 20, 20), 40.0, label=None).outline == ""


def test_window_and_voxel_values_are_kept():
    grid = Grid((1, 1, 4), (1.0, 1.0, 1.0))
    hu = np.array([[[-2000, -500, 400, 1300]]], np.int16)
    empty = Mask(np.zeros(hu.shape, np.uint16), grid)
    picture = draw(
        ExamImages("e", CTVolume(hu, grid), empty, empty), "axial", (0, 0, 1.5), 80, label=1
    )
    assert pixels(picture).tolist() == [[0, 0, 128, 255]]
    assert picture.box_mm == pytest.approx((38.0, 39.5, 4.0, 1.0))


def test_a_picture_beyond_the_scan_stays_a_picture():
    grid = Grid((4, 5, 6), (1.0, 1.0, 1.0))
    empty = Mask(np.zeros(grid.size_zyx, np.uint16), grid)
    images = ExamImages("e", CTVolume(np.zeros(grid.size_zyx, np.int16), grid), empty, empty)
    picture = draw(images, "coronal", (-90.0, 99.0, 300.0), 80, label=1)
    assert (picture.slice_number, picture.slice_count) == (5, 5)
    assert picture.outline == ""


@pytest.mark.parametrize("size", ["large", "small"])
def test_large_cut_outs_are_averaged_down(size):
    grid = Grid((2, 700, 600), (1.0, 0.5, 0.5))
    empty = Mask(np.zeros(grid.size_zyx, np.uint16), grid)
    images = ExamImages("e", CTVolume(np.zeros(grid.size_zyx, np.int16), grid), empty, empty)
    picture = draw(images, "axial", (0, 350, 300), 400.0, label=1, size=size, encoding="jpeg")
    assert max(pixels(picture).shape) == MAX_PIXELS[size]
    assert picture.box_mm[2:] == pytest.approx((300.0, 350.0))
    assert picture.uri.startswith("data:image/jpeg;base64,")


def test_a_ring_is_shown_where_it_is_and_not_in_its_empty_middle():
    yy, xx = np.mgrid[:41, :41]
    ring = (np.hypot(yy - 20, xx - 20) < 15) & (np.hypot(yy - 20, xx - 20) > 11)
    labels = np.zeros((7, 41, 41), np.uint16)
    labels[2:5, ring] = 9
    grid = Grid(labels.shape, (1, 1, 1))
    mask = Mask(labels, grid)
    images = ExamImages("e", CTVolume(np.zeros(labels.shape, np.int16), grid), mask, mask)
    boxes = find_lesions(images)
    assert list(boxes) == [9]
    assert labels[inner_voxel(labels, boxes[9], 9)] == 9


def test_letters_of_a_turned_grid_name_the_nearest_direction():
    grid = centred((9, 9, 9), (1, 1, 1), tilt(np.eye(3), (0, 0, 30)), (0, 0, 0))
    plane = plane_of(grid, "axial")
    assert plane.letters == ("R", "L", "A", "P")
    assert plane.tilt_deg == pytest.approx(30)


def test_side_shows_the_lesion_with_its_surroundings():
    assert side_for(5) == 80
    assert side_for(100) == 180
    assert side_for(900) == 420
