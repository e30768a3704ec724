"""A joint's ball is most of the surface: the best single motion is true of neither bone."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.serial.align import align
from hoimg.serial.hinge import two_motions
from hoimg.serial.skin import Skin
from hoimg.serial.surface import prepare

SIZE = (90, 60, 60)


def turn(deg):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("x", deg, degrees=True).as_matrix()
    return matrix


def bar(p, a, b, radii):
    """Inside of an elliptic bar from a to b along z, thicker across one axis."""
    t = (p[:, 2] - a[2]) / (b[2] - a[2])
    mid = np.asarray(a)[:2] + t[:, None] * (np.asarray(b) - a)[:2]
    return (t > 0) & (t < 1) & ((((p[:, :2] - mid) / radii) ** 2).sum(axis=1) < 1)


def upper(p):
    return bar(p, (4, 0, 20), (10, 6, 84), (10, 22))


def lower(p):
    return bar(p, (-6, 4, -84), (0, 0, -20), (12, 9)) | bar(p, (-20, 4, -50), (-8, 0, -30), (9, 8))


def skeleton(up, down):
    """Bones on a grid: a ball about the origin, one bone above it, one below, each turned."""
    half = np.array([n - 1 for n in SIZE])[::-1]
    grid = Grid(SIZE, (2.0, 2.0, 2.0), tuple(-half.astype(float)))
    p = grid.to_lps_mm(np.indices(SIZE).reshape(3, -1).T)
    inside = np.linalg.norm(p, axis=1) < 34
    inside |= upper(p @ up[:3, :3]) | lower(p @ down[:3, :3])
    found = prepare(Mask(inside.reshape(SIZE), grid), 2.0)
    assert found is not None
    return found


def apart(matrix, truth, which):
    at = np.random.default_rng(1).uniform((-20, -20, -80), (20, 20, 80), (60_000, 3))
    points = at[which(at)]
    gap = matrix[:3, :3] - truth[:3, :3]
    return np.linalg.norm(points @ gap.T + matrix[:3, 3] - truth[:3, 3], axis=1).max()


@pytest.mark.parametrize("deg", [14.0, 24.0])
def test_both_bones_of_a_ball_joint_are_found(deg):
    up, down = turn(deg / 2), turn(-deg / 2)
    fixed, moving = skeleton(np.eye(4), np.eye(4)), skeleton(up, down)
    skin = Skin(fixed)
    found = two_motions(skin, align(fixed, moving), moving)
    assert len(found) == 2
    of_upper = min(found, key=lambda m: apart(m, up, upper))
    of_lower = min(found, key=lambda m: apart(m, down, lower))
    assert of_upper is not of_lower
    assert apart(of_upper, up, upper) < 2.5
    assert apart(of_lower, down, lower) < 2.5


def test_a_skeleton_that_moved_as_one_keeps_one_motion():
    fixed, moving = skeleton(np.eye(4), np.eye(4)), skeleton(turn(6), turn(6))
    main = align(fixed, moving)
    assert two_motions(Skin(fixed), main, moving) == [main]
