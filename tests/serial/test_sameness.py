"""Placements that fit by surface and are not true: bones of one shape, and a mirrored exam."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.serial import register
from hoimg.settings import SerialSettings

SIZE, SPACING = (56, 76, 76), (2.0, 2.0, 2.0)


def ball(p, centre, *radii):
    r = np.linalg.norm((p - np.asarray(centre)) / radii, axis=1)
    return (1 - r) * min(radii)


def trunk(p):
    """Depth, mm, of bones that are their own mirror image but for one process."""
    x = np.abs(p[:, 0])
    q = np.column_stack([x, p[:, 1:]])
    parts = [
        ball(p, (0, 20, 0), 22, 18, 40),
        ball(q, (42, 0, 10), 16, 26, 20),
        ball(q, (26, 8, -18), 20, 10, 12),
        ball(q, (40, -14, -24), 10, 10, 18),
        ball(p, (24, -20, 20), 14, 12, 12),
    ]
    return np.max(parts, axis=0)


def grain(p, seed):
    """Struts: waves of 7 to 12 mm in all directions, SD 1."""
    rng = np.random.default_rng(seed)
    way = rng.standard_normal((60, 3))
    way *= (2 * np.pi / rng.uniform(7, 12, 60) / np.linalg.norm(way, axis=1))[:, None]
    return np.cos(p @ way.T + rng.uniform(0, 2 * np.pi, 60)).sum(axis=1) / np.sqrt(30)


def scan(matrix=None, *, person=0, flip=False, strength=70.0, noise=8.0, seed=0):
    """A CT of the trunk after a movement, and its bone mask; ``person`` draws the struts."""
    matrix = np.eye(4) if matrix is None else matrix
    half = np.array([(n - 1) / 2 * s for n, s in zip(SIZE, SPACING, strict=True)])[::-1]
    grid = Grid(SIZE, SPACING, tuple(-half))
    still = grid.to_lps_mm(np.indices(SIZE).reshape(3, -1).T)
    if flip:
        still = still * [-1, 1, 1]
    still = (still - matrix[:3, 3]) @ matrix[:3, :3]
    depth = trunk(still)
    hu = np.where(depth > 3, 230 + strength * grain(still, person), np.where(depth > 0, 1100, 50))
    hu = gaussian_filter(hu.reshape(SIZE), 0.6)
    hu += np.random.default_rng(seed).normal(0, noise, SIZE)
    return CTVolume(hu.astype(np.int16), grid), Mask(depth.reshape(SIZE) > 0, grid)


def moved():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (3, -2, 5), degrees=True).as_matrix()
    matrix[:3, 3] = (4, -5, 3)
    return matrix


@pytest.fixture(scope="module")
def fixed():
    return scan()


def test_the_same_bones_are_accepted_also_in_noise(fixed):
    for noise in (8, 30):
        found = register(*fixed, *scan(moved(), noise=noise, seed=3))
        assert found.reason is None
        assert np.abs(found.matrix_lps - moved()).max() < 0.5


def test_bones_of_the_same_shape_that_differ_inside_are_another_patient_s(fixed):
    stranger = scan(moved(), person=1, seed=3)
    assert register(*fixed, *stranger).reason == "bone_pattern_differs"
    # It is the pattern alone that tells: nothing else rejects.
    assert register(*fixed, *stranger, SerialSettings(min_bone_pattern=-1)).accepted


def test_bones_without_a_pattern_cannot_be_told_apart_and_are_not_rejected_for_it():
    one, other = (scan(m, strength=0.0, seed=s) for m, s in ((None, 1), (moved(), 2)))
    assert register(*one, *other).accepted


def test_a_mirrored_exam_is_told_by_its_mirror_image():
    plain, right, mirrored = (
        scan(m, strength=0.0, flip=flip, seed=s)
        for m, flip, s in ((None, False, 1), (moved(), False, 2), (moved(), True, 2))
    )
    loose = {"min_bone_correlation": 0.5}
    assert register(*plain, *right, SerialSettings(**loose)).accepted
    found = register(*plain, *mirrored, SerialSettings(**loose))
    assert (found.accepted, found.reason) == (False, "mirrored")
    assert not found.parts[0].accepted
    assert register(*plain, *mirrored, SerialSettings(mirror_gain=1.9, **loose)).accepted
