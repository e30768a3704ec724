"""Boxes and spheres in numbers: read, refused, and put onto grids of any direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Grid
from hoimg.guidance import Guidance, place_guidance
from hoimg.image import Mask
from hoimg.regions import (
    BoxRegion,
    SphereRegion,
    inside_box,
    on_grid,
    parse_region,
    parse_rod,
)

UPRIGHT = Grid((40, 50, 60), (1.0, 0.5, 0.5), (-10.0, -20.0, 100.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sphere:1,-2.5,3e1,4", SphereRegion((1.0, -2.5, 30.0), 4.0)),
        (" Sphere: 1, 2 ,3, 0.5", SphereRegion((1.0, 2.0, 3.0), 0.5)),
        ("box:0,0,0,1,2,3", BoxRegion((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))),
        ("box:1,-2,3,-4,5,-6", BoxRegion((-4.0, -2.0, -6.0), (1.0, 5.0, 3.0))),
        ("region.nii.gz", None),
        ("C:/masks/box.nrrd", None),
        ("box", None),
        ("spheres:1,2,3,4", None),
    ],
)
def test_words_are_a_region_or_the_name_of_a_file(text, expected):
    assert parse_region(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "sphere:1,2,3",
        "sphere:1,2,3,4,5",
        "sphere:1,2,3,x",
        "sphere:",
        "sphere:1,2,3,nan",
        "sphere:1,2,3,0",
        "sphere:1,2,3,-1",
        "sphere:1,2,3,inf",
        "box:1,2,3,4,5",
        "box:1,2,3,1,5,6",
        "box:1,2,3,4,2,6",
        "box:1,2,3,4,5,3",
    ],
)
def test_a_region_without_volume_or_sense_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--roi"):
        parse_region(text)


def test_a_sphere_has_the_volume_of_its_formula_and_lies_where_it_was_put():
    mask = on_grid([SphereRegion((5.0, -8.0, 120.0), 7.0)], UPRIGHT)
    found = np.argwhere(mask.array)
    assert len(found) * UPRIGHT.voxel_volume_mm3 == pytest.approx(4 / 3 * np.pi * 343, rel=0.01)
    np.testing.assert_allclose(UPRIGHT.to_lps_mm(found).mean(0), (5, -8, 120), atol=0.1)


def test_a_box_holds_the_voxels_between_its_corners_and_its_border():
    mask = on_grid([BoxRegion((-9.0, -19.0, 101.0), (-8.0, -18.0, 102.0))], UPRIGHT)
    # x: -9, -8.5, -8; y: -19, -18.5, -18; z: 101, 102.
    assert mask.array.sum() == 3 * 3 * 2
    assert mask.array[1:3, 2:5, 2:5].all()


def rotated(seed):
    m = Rotation.random(random_state=seed).as_matrix()
    return Grid((12, 15, 18), (2.0, 1.3, 1.1), (3.0, -7.0, 40.0), tuple(map(tuple, m.tolist())))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    index=st.tuples(*(st.floats(-3, n + 3) for n in (12, 15, 18))),
    reach=st.tuples(*(st.floats(0.8, 15) for _ in range(3))),
    ball=st.booleans(),
)
def test_every_voxel_of_an_oblique_grid_is_asked_by_its_own_centre(seed, index, reach, ball):
    grid = rotated(seed)
    middle = grid.to_lps_mm(index)
    z, y, x = np.indices((12, 15, 18))
    columns = np.asarray(grid.direction).T
    points = sum(
        (n * step)[..., None] * column
        for n, step, column in zip((x, y, z), (1.1, 1.3, 2.0), columns, strict=True)
    ) + np.asarray(grid.origin_lps_mm)
    if ball:
        region = SphereRegion(tuple(middle), reach[0])
        expected = np.linalg.norm(points - middle, axis=-1) <= reach[0]
        doubtful = np.abs(np.linalg.norm(points - middle, axis=-1) - reach[0]) < 1e-6
    else:
        region = BoxRegion(tuple(middle - reach), tuple(middle + reach))
        away = np.abs(points - middle) - reach
        expected = (away <= 0).all(axis=-1)
        doubtful = (np.abs(away) < 1e-6).any(axis=-1)
    if not expected.any():
        return
    found = on_grid([region], grid).array
    assert (found == expected)[~doubtful].all()


def test_a_region_between_voxel_centres_is_the_voxel_that_it_lies_in():
    mask = on_grid([SphereRegion((-9.8, -19.8, 100.3), 0.1)], UPRIGHT)
    assert np.argwhere(mask.array).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    "region",
    [
        SphereRegion((500.0, 0.0, 0.0), 5.0),
        SphereRegion((-15.0, -19.0, 101.0), 4.9),
        BoxRegion((-10.0, -20.0, 140.0), (20.0, 5.0, 150.0)),
    ],
)
def test_a_region_outside_of_the_exam_is_refused_with_its_place(region):
    with pytest.raises(InputRefused, match=r"--roi: no voxel .* (sphere of|box from)") as caught:
        on_grid([SphereRegion((5.0, -8.0, 120.0), 7.0), region], UPRIGHT)
    assert caught.value.code == "mask_elsewhere"


def test_a_region_that_reaches_out_of_the_exam_is_cut_there():
    mask = on_grid([BoxRegion((-100.0, -100.0, 0.0), (100.0, 100.0, 110.0))], UPRIGHT)
    assert mask.array[:11].all()
    assert not mask.array[11:].any()


def test_several_regions_and_a_mask_are_one_region():
    first, second = SphereRegion((5.0, -8.0, 120.0), 3.0), SphereRegion((15.0, 0.0, 120.0), 3.0)
    own = np.zeros(UPRIGHT.size_zyx, bool)
    own[30:33, 10:14, 10:14] = True
    given_all = Guidance(roi=Mask(own, UPRIGHT), regions=(first, second))
    assert given_all.given
    assert Guidance(regions=(first,)).given
    placed = place_guidance(given_all, UPRIGHT)
    parts = own | on_grid([first], UPRIGHT).array | on_grid([second], UPRIGHT).array
    assert placed.roi is not None
    assert np.array_equal(placed.roi.array, parts)


def test_a_rod_is_a_density_and_a_region():
    assert parse_rod("-51.8=sphere:1,-2,3,4") == (-51.8, SphereRegion((1.0, -2.0, 3.0), 4.0))
    for text in ("sphere:1,2,3,4", "x=sphere:1,2,3,4", "nan=sphere:1,2,3,4", "200=mask.nii"):
        with pytest.raises(UsageError, match="calibration_rods"):
            parse_rod(text)


def test_a_region_wholly_in_the_grid_holds_what_its_mask_holds():
    c, s = np.cos(0.3), np.sin(0.3)
    grid = Grid(
        (20, 30, 40),
        (2.0, 0.7, 0.9),
        (-5.0, 8.0, 3.0),
        ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)),
    )
    for region in (SphereRegion((6.0, 18.0, 20.0), 5.0), BoxRegion((4, 16, 15), (8, 20, 25))):
        box, held = inside_box(region, grid)
        drawn = np.zeros(grid.size_zyx, bool)
        drawn[box] = held
        assert drawn.any()
        np.testing.assert_array_equal(drawn, on_grid([region], grid).array)
    # Two millimetres of the sphere lie below the first slice.
    assert inside_box(SphereRegion((6.0, 18.0, 6.0), 5.0), grid) is None
