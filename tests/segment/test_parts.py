"""Bone parted by form: a ball on a thin shaft comes off at its neck, a flat shell at its ridge."""

import numpy as np
import pytest
from body_phantoms import axes, ball, limbs, paint, volume

from hoimg.segment.basins import find_basins, join_shallow
from hoimg.segment.division import divide_unaided, standing_out
from hoimg.segment.marrow import native_marrow
from hoimg.segment.morphology import distance_mm, smooth_mm
from hoimg.segment.parts import basin_parts, bone_depth, joined_parts, lump_parts
from hoimg.segment.shells import closed_shells
from hoimg.segment.working import make_working
from hoimg.settings import SegmentSettings

SETTINGS = SegmentSettings()


def parted_scan(hu):
    working = make_working(volume(hu), 1.5)
    basins = find_basins(working, SETTINGS)
    none = np.zeros(working.hu.shape, bool)
    body = np.ones_like(none)
    closed = closed_shells(basins, working, body, none, SETTINGS)
    shells = closed.labels > 0
    dense = smooth_mm(working.hu, 0.7, working.spacing_zyx_mm) > 150
    marrow = native_marrow(basins, dense, shells, working)
    standing = standing_out(dense, shells, marrow, working, SETTINGS)
    division = divide_unaided(standing, working, SETTINGS, marrow=marrow, mirror=None, fresh=none)
    return working, basins, shells, marrow, division


def lps_ball(center, radius):
    return ball(center, radius) > 0


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def best(parts, truth):
    scores = [0.0]
    for box, mask in parts:
        whole = np.zeros_like(truth)
        whole[box] = mask
        scores.append(dice(whole, truth))
    return max(scores)


def solid_ball_on_shaft(hu):
    paint(hu, ball((-70.0, -26.0, 30.0), 11.0), 700.0)


def off_what_is_known(native, working):
    return distance_mm(native, working.spacing_zyx_mm) > 3.0


def test_what_is_known_to_be_native_is_not_proposed():
    hu = limbs().copy()
    solid_ball_on_shaft(hu)
    working, basins, shells, marrow, division = parted_scan(hu)
    off = off_what_is_known(division.bone | marrow.inside, working)
    assert lump_parts(bone_depth(division.bone, marrow, shells, working), off, working) == []
    assert basin_parts(basins, shells, off, working) == []
    assert list(joined_parts([], off, division.bone, working)) == []


def test_where_the_native_bone_is_known_the_ball_is_proposed_and_the_shaft_is_not():
    hu = limbs().copy()
    solid_ball_on_shaft(hu)
    working, _, shells, marrow, division = parted_scan(hu)
    truth = lps_ball((-70.0, -26.0, 30.0), 11.0)
    native = (division.bone | marrow.inside) & ~lps_ball((-70.0, -26.0, 30.0), 12.5)
    off = off_what_is_known(native, working)
    parts = lump_parts(bone_depth(division.bone, marrow, shells, working), off, working)
    assert parts
    assert best(parts, truth & ~native) > 0.7  # the neck's cut goes a little into the shaft
    joined = list(joined_parts(parts, off, division.bone, working))
    assert len(joined) == 1
    assert best(joined, truth & ~native) > 0.85  # and what is known is taken off


def test_a_basin_cut_by_the_scan_is_a_bone_and_not_proposed():
    working, basins, shells, _, _ = parted_scan(limbs())
    x, y, z = axes()
    shaft = (np.hypot(np.abs(x) - 70, y) + 0 * z < 8) & (z > 20) & (z < 40)
    for box, mask in basin_parts(basins, shells, None, working):
        assert not (mask & shaft[box]).any()


@pytest.mark.parametrize("depth", [3.9, 4.1])
def test_a_basin_joins_its_neighbour_below_the_dynamics_and_not_above(depth):
    heights = np.array([[[0.0, 10.0, 10.0 - depth]]], np.float32)
    basins = np.array([[[1, 1, 2]]], np.int32)
    joined, _ = join_shallow(basins, heights, np.zeros(3, bool), 4.0)
    assert (joined[0, 0, 0] == joined[0, 0, 2]) == (depth < 4.0)


def test_what_joins_background_is_background():
    heights = np.array([[[0.0, 2.0, 1.0]]], np.float32)
    basins = np.array([[[1, 1, 2]]], np.int32)
    background = np.array([False, True, False])
    joined, background = join_shallow(basins, heights, background, 4.0, 0.0)
    assert background[joined[0, 0, 2]]
