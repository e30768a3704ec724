"""Which outline a point means: off the middle, leaks, and what is drawn in more ways than one."""

import numpy as np
import pytest
from body_phantoms import SHELL_AT, SHELL_RADIUS, ball, patient, with_shell
from test_seeded import dice, nothing_found

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.segment.from_point import outlines_at
from hoimg.segment.middle import SeededLesion, middle_part, off_middle
from hoimg.segment.seeded import _meant, call_at_points
from hoimg.segment.working import Working, make_working
from hoimg.settings import SegmentSettings

SPACING = (2.0, 1.0, 1.0)
SIZE = (40, 80, 80)
GRID = Grid(SIZE, SPACING, (0.0, 0.0, 0.0))
BOX = tuple(slice(0, n) for n in SIZE)
MIDDLE = np.array([20.0, 40.0, 40.0])


def millimetres():
    """Offsets z, y, x of all voxels from the middle voxel, mm."""
    axes = [(np.arange(n) - m) * s for n, m, s in zip(SIZE, MIDDLE, SPACING, strict=True)]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def ellipsoid(z_mm, y_mm, x_mm):
    z, y, x = millimetres()
    return SeededLesion(BOX, (z / z_mm) ** 2 + (y / y_mm) ** 2 + (x / x_mm) ** 2 <= 1.0)


# The variance of a uniform ellipsoid along a half axis a is a^2 / 5.
@pytest.mark.parametrize(
    ("shift_mm", "expected"),
    [
        ((0.0, 0.0, 0.0), 0.0),
        ((10.0, 0.0, 0.0), 10.0 * 5**0.5 / 30.0),
        ((0.0, 5.0, 0.0), 5.0 * 5**0.5 / 10.0),
        ((0.0, 0.0, 5.0), 5.0 * 5**0.5 / 20.0),
    ],
)
def test_the_distance_from_the_middle_is_in_the_measure_of_the_form(shift_mm, expected):
    point = MIDDLE + np.array(shift_mm) / SPACING
    assert off_middle(ellipsoid(30, 10, 20), point, SPACING) == pytest.approx(expected, abs=0.03)


def test_the_middle_part_has_no_side_three_times_as_far_as_the_opposite():
    z, y, x = millimetres()
    rod = (x >= -5) & (x <= 30) & (abs(y) <= 4) & (abs(z) <= 4)
    part = middle_part(SeededLesion(BOX, rod), MIDDLE).mask
    there = np.argwhere(part)
    assert (there[:, 2].min() - 40, there[:, 2].max() - 40) == (-5, 16)  # 5.33 rounds to 5
    assert np.array_equal(part, rod & (x <= 16))


def called(volume, point, suggestion, **kw):
    box = tuple(slice(0, n) for n in volume.grid.size_zyx)
    made = call_at_points(
        volume,
        nothing_found(volume),
        [point],
        SegmentSettings(),
        mineral_hu=150.0,
        working=make_working(volume, 2.0),
        suggested=[None if suggestion is None else (box, [suggestion])],
        **kw,
    )
    return made.lesions.array == 1


def test_a_suggestion_that_runs_off_to_one_side_does_not_replace_what_is_drawn():
    x, y, z = SHELL_AT
    shell = ball(SHELL_AT, SHELL_RADIUS) > 0
    leaked = shell | (ball((x, y, z + 22.0), 16.0) > 0)
    mask = called(patient(with_shell), SHELL_AT, leaked)
    assert dice(mask, shell) > 0.93


def test_a_suggestion_that_has_the_point_in_its_middle_replaces_one_that_has_not():
    # The drawn shell is centred 7 mm off the point, 1.6 standard deviations of its 10 mm ball.
    x, y, z = SHELL_AT
    point = (x, y, z + 7.0)
    suggestion = ball(point, 7.0) > 0
    assert np.array_equal(called(patient(with_shell), point, suggestion), suggestion)


def scan(hu):
    noise = np.random.default_rng(0).normal(0.0, 4.0, SIZE)
    return CTVolume(np.round(hu + noise).astype(np.int16), GRID)


def lps(shift_mm):
    z, y, x = np.asarray(shift_mm) + MIDDLE * SPACING
    return (float(x), float(y), float(z))


def test_soft_tissue_around_is_no_lesion_beside_a_dense_suggestion():
    # Muscle 30 HU above what lies around it, and in it, 4 mm off the point, a speck of mineral.
    z, y, x = millimetres()
    muscle = z**2 + y**2 + x**2 <= 10.0**2
    speck = z**2 + y**2 + (x - 4.0) ** 2 <= 3.0**2
    volume = scan(np.where(speck, 350.0, np.where(muscle, 60.0, 30.0)))
    assert np.array_equal(called(volume, lps((0, 0, 0)), speck), speck)


def test_what_lies_mostly_on_mirrored_bone_is_drawn_again_with_that_as_native():
    # A lesion of 5 mm on a plate of even, marrowless bone 10 mm thick.
    z, y, x = millimetres()
    plate = (y >= 4) & (y <= 14) & (abs(z) <= 24) & (abs(x) <= 24)
    lesion = (z**2 + y**2 + x**2 <= 5.0**2) & ~plate
    volume = scan(np.where(plate | lesion, 240.0, 40.0))
    distance = np.maximum(4.0 - y, 0.0) + 0.0 * (x + z)  # mirrored bone is the plate
    working = Working(volume.hu.astype(np.float32), GRID, (1, 1, 1))
    none = np.zeros(SIZE, bool)
    drawn = outlines_at(
        volume,
        lps((0, 0, 0)),
        none,
        none.astype(np.uint16),
        SegmentSettings(),
        mineral_hu=150.0,
        working=working,
        paired_mm=distance.astype(np.float32),
    )
    first, again = (one.mask.sum() * 2.0 for one in (drawn[0], drawn[-1]))
    assert first > 3 * lesion.sum() * 2.0
    assert again == pytest.approx(lesion.sum() * 2.0, rel=0.4)


def test_patches_around_the_point_are_drawn_as_one():
    # Of a rim of 2.5 mm on a ball of 6 mm two caps, 6 mm apart on either side of the point.
    z, y, x = millimetres()
    radius = np.sqrt(z**2 + y**2 + x**2)
    caps = (radius <= 6.0) & (radius >= 3.5) & (abs(x) >= 3.0)
    mask = called(scan(np.where(caps, 500.0, 40.0)), lps((0, 0, 0)), None)
    assert (mask & caps & (x < 0)).sum() > 0.8 * (caps & (x < 0)).sum()
    assert (mask & caps & (x > 0)).sum() > 0.8 * (caps & (x > 0)).sum()
    assert dice(mask, radius <= 6.0) > 0.7


def ball_off(shift_mm, radius_mm):
    """A ball whose middle lies along x from the point; its standard deviation is radius / √5."""
    z, y, x = millimetres()
    return SeededLesion(BOX, z**2 + y**2 + (x - shift_mm) ** 2 <= radius_mm**2)


@pytest.mark.parametrize(
    ("drawn", "suggestion", "taken"),
    [
        # 1.4 times the volume: the search's outline has to be nearer by 0.3 standard deviations.
        (ball_off(3.0, 10.0), ball_off(0.0, 9.0), "suggestion"),
        (ball_off(1.0, 10.0), ball_off(0.0, 9.0), "drawn"),
        # 4.6 times: the drawing has to be nearer, by 0.1.
        (ball_off(0.0, 10.0), ball_off(2.5, 6.0), "drawn"),
        (ball_off(0.0, 10.0), ball_off(0.0, 6.0), "suggestion"),
        (ball_off(4.0, 10.0), ball_off(0.0, 6.0), "suggestion"),
        # 0.2 times: the search's outline, unless it runs off itself.
        (ball_off(0.0, 6.0), ball_off(4.0, 10.0), "suggestion"),
        (ball_off(0.0, 6.0), ball_off(7.0, 10.0), "drawn"),
    ],
)
def test_what_is_meant_has_the_point_in_its_middle(drawn, suggestion, taken):
    found = _meant([drawn], suggestion, MIDDLE, SPACING)
    assert found is (drawn if taken == "drawn" else suggestion)


@pytest.mark.parametrize(("half_mm", "cut"), [(8.0, True), (2.0, False)])
def test_what_runs_off_to_one_side_is_cut_where_that_takes_off_a_millilitre(half_mm, cut):
    # The point lies 12.5 mm from the middle of 36 mm, 1.2 standard deviations (36 / sqrt 12).
    z, y, x = millimetres()
    rod = (x >= -5) & (x <= 30) & (abs(y) <= half_mm) & (abs(z) <= half_mm)
    found = _meant([SeededLesion(BOX, rod)], None, MIDDLE, SPACING).mask
    assert np.array_equal(found, rod & (x <= 16) if cut else rod)
