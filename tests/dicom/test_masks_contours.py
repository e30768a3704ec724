"""Structure sets written by hand: contours against formulas and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_writers import (
    FRAME,
    OTHER_FRAME,
    centres,
    circle,
    ellipsoid,
    make_grid,
    rotation,
    save,
    structure_set,
    volume_mm3,
)
from pydicom import dcmread
from skimage.draw import polygon2mask

from hoimg.dicom.masks import put_on, read_given
from hoimg.dicom.masks.polygon import fill
from hoimg.errors import InputRefused
from hoimg.geometry import Grid

CENTRE = (12.0, -30.0, 640.0)
TILTED = rotation(0.3, -0.2, 0.7)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid((12, 60, 50), (2.0, 0.8, 1.0), CENTRE, TILTED)


def place(tmp_path, structures, grid, use="mask", frame=FRAME, **more):
    path = save(structure_set(structures, **more), tmp_path / "rt.dcm")
    return put_on(read_given(path, use), grid, use, frame_of_reference_uid=frame)


def contour(grid: Grid, plane: float, rows_columns: np.ndarray) -> np.ndarray:
    """Points in pixels of a plane of the grid to LPS mm."""
    index = np.insert(np.asarray(rows_columns, float), 0, plane, axis=1)
    steps = index[:, ::-1] * np.array(grid.spacing_zyx_mm[::-1])
    return steps @ np.array(grid.direction).T + np.array(grid.origin_lps_mm)


def square(low: float, high: float) -> np.ndarray:
    return np.array([(low, low), (low, high), (high, high), (high, low)])


# Polygons into pixels


@pytest.mark.parametrize("low", [1.5, 1.2, 2.0])
def test_a_centre_on_the_border_belongs_to_the_second_region(low):
    """Half-open: pixels from low (included) to low + 4 (excluded)."""
    inside = fill([square(low, low + 4)], 10, 10)
    first, last = int(np.ceil(low)), int(np.ceil(low + 4))
    expected = np.zeros((10, 10), bool)
    expected[first:last, first:last] = True
    assert np.array_equal(inside, expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40))
def test_any_polygon_agrees_with_skimage(seed, corners):
    points = np.random.default_rng(seed).uniform(-2, 22, (corners, 2))
    ours = fill([points], 20, 20)
    assert np.array_equal(ours, polygon2mask((20, 20), points))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_polygons_with_a_common_border_share_nothing_and_leave_nothing_out(seed):
    """Four triangles around a point, corners on whole pixels: every border meets centres."""
    random = np.random.default_rng(seed)
    middle = random.integers(1, 15, 2)
    corners = np.array([(0, 0), (0, 16), (16, 16), (16, 0)])
    parts = [fill([np.array([middle, corners[i], corners[(i + 1) % 4]])], 18, 18) for i in range(4)]
    assert np.array_equal(np.sum(parts, axis=0), fill([corners], 18, 18))


def test_outside_the_picture_is_cut_off():
    assert fill([square(-50, 50)], 4, 5).all()
    assert not fill([square(10, 20)], 4, 5).any()
    assert not fill([square(-20, -10)], 4, 5).any()


@pytest.mark.parametrize(("radius", "limit"), [(5.0, 0.03), (10.0, 0.01), (40.0, 0.002)])
def test_area_of_circles(radius, limit):
    """Error on average over places beside the pixel centres; stated in docs/methods/masks.md."""
    random = np.random.default_rng(3)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    errors = []
    for place in random.uniform(0, 1, (40, 2)):
        points = place + 45 + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        errors.append(fill([points], 92, 92).sum() / (np.pi * radius**2) - 1)
    assert abs(np.mean(errors)) < limit / 5
    assert np.sqrt(np.mean(np.square(errors))) < limit


# Contours into an exam's voxels


def test_contours_on_the_exams_slices_hold_exactly_the_centres_inside(tmp_path, grid):
    circles = [circle(grid, plane, 24.3, 25.1, radius) for plane, radius in [(3, 9), (4, 11)]]
    placed = place(tmp_path, [{"name": "L1", "contours": circles}], grid)
    local = (centres(grid) - np.array(grid.origin_lps_mm)) @ np.array(grid.direction)
    distance = np.hypot(local[..., 0] - 25.1, local[..., 1] - 24.3)
    expected = np.zeros(grid.size_zyx, np.uint16)
    expected[3], expected[4] = distance[3] < 9, distance[4] < 11
    assert np.array_equal(placed.mask.array, expected)
    assert placed.flags == {}
    assert placed.findings == ()


@settings(max_examples=10, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    step=st.sampled_from([0.4, 0.6, 1.1, 1.2, 1.37, 2.1, 2.3]),
    flip=st.booleans(),
    seed=st.integers(0, 999),
)
def test_stacks_of_contours_have_the_volume_of_their_solid(
    tmp_path_factory, angles, step, flip, seed
):
    """An ellipsoid cut every ``step`` mm, in any order, on an exam of 1.2 mm slices."""
    exam = make_grid((40, 40, 40), (1.2, 1.1, 1.1), CENTRE, rotation(*angles))
    radii = (15.0, 12.0, 17.0)
    middle = [(n - 1) / 2 * s for n, s in zip(exam.size_zyx, exam.spacing_zyx_mm, strict=True)]
    cuts = []
    for along in np.arange(-radii[2] + step / 2, radii[2], step):
        scale = np.sqrt(1 - (along / radii[2]) ** 2)
        angle = np.linspace(0, 2 * np.pi, 180, endpoint=False) * (-1 if flip else 1)
        local = np.stack(
            [
                middle[2] + radii[0] * scale * np.cos(angle),
                middle[1] + radii[1] * scale * np.sin(angle),
                np.full(180, middle[0] + along),
            ],
            axis=1,
        )
        cuts.append(local @ np.array(exam.direction).T + np.array(exam.origin_lps_mm))
    np.random.default_rng(seed).shuffle(cuts)
    folder = tmp_path_factory.mktemp("rt")
    placed = place(folder, [{"name": "a", "contours": cuts}], exam)
    found = placed.mask.array.sum() * exam.voxel_volume_mm3
    if step <= 1.2:
        assert found == pytest.approx(volume_mm3(radii), rel=0.015)
    else:  # an exam's slice takes the cut in whose stretch it lies: its area by formula
        cut = np.arange(-radii[2] + step / 2, radii[2], step)
        slices = np.arange(exam.size_zyx[0]) * exam.spacing_zyx_mm[0] - middle[0]
        apart = np.abs(slices[:, None] - cut[None])
        nearest = cut[apart.argmin(axis=1)][apart.min(axis=1) < step / 2]
        areas = np.pi * radii[0] * radii[1] * (1 - (nearest / radii[2]) ** 2)
        assert found == pytest.approx(areas.sum() * exam.spacing_zyx_mm[0], rel=0.01)
    weight = centres(exam)[placed.mask.array > 0].mean(axis=0)
    assert np.allclose(weight, CENTRE, atol=0.3)


@pytest.mark.parametrize("keyhole", [False, True])
def test_holes_are_holes(tmp_path, grid, keyhole):
    outer, inner = square(10, 30), square(15, 25)
    if keyhole:  # out, along a bridge, round the hole the other way, back
        points = np.vstack([outer, outer[:1], inner[:1], inner[::-1], outer[:1]])
        contours = [contour(grid, 5, points)]
    else:
        contours = [contour(grid, 5, outer), contour(grid, 5, inner)]
    placed = place(tmp_path, [{"contours": contours}], grid)
    expected = np.zeros(grid.size_zyx, bool)
    expected[5, 10:30, 10:30] = True
    expected[5, 15:25, 15:25] = False
    assert np.array_equal(placed.mask.array > 0, expected)
    assert placed.findings == ()


def test_islands_in_a_plane_and_the_repeated_first_point(tmp_path, grid):
    one, two = square(5, 9), square(20, 28)
    contours = [contour(grid, 2, np.vstack([one, one[:1]])), contour(grid, 2, two)]
    placed = place(tmp_path, [{"contours": contours}], grid)
    assert placed.mask.array.sum() == 4 * 4 + 8 * 8


def test_contours_that_cross_are_told(tmp_path, grid):
    contours = [contour(grid, 2, square(5, 15)), contour(grid, 2, square(10, 20))]
    placed = place(tmp_path, [{"contours": contours}], grid)
    assert placed.mask.array.sum() == 2 * (100 - 25)
    assert [f.code for f in placed.findings] == ["contours_cross"]


def test_contours_every_third_slice_fill_the_slices_between(tmp_path, grid):
    contours = [contour(grid, plane, square(5, 15)) for plane in (1, 4, 7)]
    placed = place(tmp_path, [{"contours": contours}], grid)
    assert np.flatnonzero(placed.mask.array.any(axis=(1, 2))).tolist() == list(range(9))
    assert placed.flags == {1: ("outline_resampled",)}
    assert not any(f.code == "contours_skip_slices" for f in placed.findings)


@pytest.mark.parametrize("planes", [(1, 2, 3, 8, 9), (2, 7)])
def test_stretches_without_an_outline_stay_empty_with_a_warning(tmp_path, grid, planes):
    contours = [contour(grid, plane, square(5, 15)) for plane in planes]
    placed = place(tmp_path, [{"contours": contours}], grid)
    assert tuple(np.flatnonzero(placed.mask.array.any(axis=(1, 2)))) == planes
    assert [f.code for f in placed.findings] == ["contours_skip_slices"]


def test_a_lone_contour_stands_for_the_step_of_the_other_structures(tmp_path, grid):
    many = [contour(grid, plane, square(5, 15)) for plane in (1, 4, 7, 10)]
    alone = [contour(grid, 4, square(30, 40))]
    placed = place(tmp_path, [{"contours": many}, {"contours": alone}], grid)
    assert np.flatnonzero((placed.mask.array == 2).any(axis=(1, 2))).tolist() == [3, 4, 5]


def test_contours_between_the_exams_slices_land_on_the_nearest(tmp_path, grid):
    contours = [contour(grid, plane + 0.3, square(5, 15)) for plane in (3, 4, 5)]
    placed = place(tmp_path, [{"contours": contours}], grid)
    assert np.flatnonzero(placed.mask.array.any(axis=(1, 2))).tolist() == [3, 4, 5]


def test_contours_on_a_sagittal_reformat_have_their_place(tmp_path):
    exam = make_grid((40, 40, 40), (1.0, 1.0, 1.0), CENTRE, TILTED)
    side = make_grid((40, 40, 40), (1.0, 1.0, 1.0), CENTRE, TILTED[:, [1, 2, 0]])
    cuts = [circle(side, k, 19.5, 19.5, np.sqrt(144 - (k - 19.5) ** 2)) for k in range(8, 32)]
    placed = place(tmp_path, [{"contours": cuts}], exam)
    truth = ellipsoid(CENTRE, (12, 12, 12))(centres(exam))
    assert placed.mask.array.sum() == pytest.approx(volume_mm3((12, 12, 12)), rel=0.01)
    assert ((placed.mask.array > 0) ^ truth).sum() < 0.03 * truth.sum()


def test_points_and_open_contours_are_left_out_with_a_finding(tmp_path, grid):
    closed = {"contours": [contour(grid, 2, square(5, 9))]}
    point = {"contours": [contour(grid, 2, square(5, 9)[:1])], "kind": "POINT"}
    line = {"contours": [contour(grid, 2, square(5, 9))], "kind": "OPEN_PLANAR"}
    two = {"contours": [contour(grid, 2, square(5, 9)[:2])]}
    placed = place(tmp_path, [point, closed, line, two], grid)
    assert np.unique(placed.mask.array).tolist() == [0, 2]
    assert [(f.code, f.message[0]) for f in placed.findings] == [("contours_skipped", "3")]


def test_nothing_but_points_is_refused(tmp_path, grid):
    point = {"contours": [contour(grid, 2, square(5, 9)[:1])], "kind": "POINT"}
    with pytest.raises(InputRefused, match="no closed contour") as caught:
        place(tmp_path, [point, {"contours": []}], grid)
    assert caught.value.code == "mask_empty"


@pytest.mark.parametrize(("numbers", "labels"), [((7, 3), {7, 3}), ((0, 70000), {1, 2})])
def test_roi_numbers_become_labels_where_they_can(tmp_path, grid, numbers, labels):
    given = [
        {"contours": [contour(grid, 2, square(low, low + 4))], "number": number}
        for low, number in zip((5, 20), numbers, strict=True)
    ]
    placed = place(tmp_path, given, grid)
    assert set(np.unique(placed.mask.array)) - {0} == labels


def test_bones_by_name_code_and_type_make_a_skeleton(tmp_path, grid):
    boxes = [
        {"contours": [contour(grid, k, square(low, low + 4)) for k in range(12)], **more}
        for low, more in [
            (2, {"name": "Femur_Head_L"}),
            (8, {"name": "Bladder"}),
            (14, {"name": "xyz", "interpreted": "BONE"}),
            (20, {"name": "x", "code": ("T-12710", "SRT", "Oberschenkel")}),
            (26, {"name": "Femoral_Artery_L"}),
            (32, {"name": "", "code": ("1", "99X", "Sacrum")}),
        ]
    ]
    placed = place(tmp_path, boxes, grid, "skeleton")
    found = placed.mask.array[6].any(axis=1)
    assert [bool(found[low]) for low in (2, 8, 14, 20, 26, 32)] == [1, 0, 1, 1, 0, 1]
    assert [f.code for f in placed.findings] == ["skeleton_chosen"]


def test_frames_of_reference(tmp_path, grid):
    here = {"contours": [contour(grid, 2, square(5, 9))]}
    there = {"contours": [contour(grid, 2, square(20, 29))], "frame": OTHER_FRAME}
    two = {"contours": [contour(grid, 3, square(5, 9))]}
    placed = place(tmp_path, [here, there, two], grid)
    assert np.unique(placed.mask.array).tolist() == [0, 1, 3]
    assert [f.code for f in placed.findings] == ["structures_elsewhere"]
    with pytest.raises(InputRefused) as caught:
        place(tmp_path, [here], grid, frame=OTHER_FRAME)
    assert caught.value.code == "mask_other_frame"
    with pytest.raises(InputRefused) as caught:  # stated for the whole file only
        place(tmp_path, [here], grid, frame=OTHER_FRAME, frame_per_roi=False)
    assert caught.value.code == "mask_other_frame"


def test_a_contour_out_of_its_plane_is_refused(tmp_path, grid):
    points = contour(grid, 2, square(5, 25))
    points[0] += np.array(grid.direction)[:, 2] * 3
    with pytest.raises(InputRefused, match="one plane") as caught:
        place(tmp_path, [{"contours": [points]}], grid)
    assert caught.value.code == "mask_unreadable"


def test_a_contour_of_absurd_size_is_refused(tmp_path, grid):
    with pytest.raises(InputRefused, match="8192 pixels"):
        place(tmp_path, [{"contours": [contour(grid, 2, square(-9000, 9000))]}], grid)


@pytest.mark.parametrize("data", [["1", "2"], ["1", "2", "x"], ["1", "2", "inf"]])
def test_points_that_are_no_numbers_are_refused(tmp_path, grid, data):
    path = save(structure_set([{"contours": [contour(grid, 2, square(5, 9))]}]), tmp_path / "r")
    dataset = dcmread(path)
    item = dataset.ROIContourSequence[0].ContourSequence[0]
    item.add_new(0x30060050, "LO", data)  # as text; pydicom writes no such DS
    save(dataset, tmp_path / "bad.dcm")
    with pytest.raises(InputRefused, match="contour points") as caught:
        read_given(tmp_path / "bad.dcm", "mask")
    assert caught.value.code == "mask_unreadable"
