"""Soft tissue between bones that moved: textured blocks with a known shear or twist."""

from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.serial import Part, Registration
from hoimg.serial.tissue_match import match_tissue
from hoimg.settings import SerialSettings

GRID = Grid((52, 52, 56), (2.5, 2.5, 2.5), (-68.75, -63.75, -63.75))
SHEAR_MM, TWIST_DEG = 20.0, 20.0


@cache
def points():
    return GRID.to_lps_mm(np.indices(GRID.size_zyx).reshape(3, -1).T)


@cache
def texture():
    """Muscle with fat between its fibres: smooth random HU, twice as large as the block."""
    field = gaussian_filter(np.random.default_rng(5).normal(size=(104, 104, 112)), 2.0)
    return 30 + 35 * field / field.std()


def bars(p):
    """Two upright bars; which of them, or -1."""
    left = np.hypot(p[:, 0] + 45, p[:, 1]) < 8
    right = np.hypot(p[:, 0] - 45, p[:, 1]) < 8
    return np.where(left, 0, np.where(right, 1, -1))


def core_and_ring(p):
    """A bar with a round hollow bone about it."""
    r = np.hypot(p[:, 0], p[:, 1])
    return np.where(r > 52, 0, np.where(r < 8, 1, -1))


def smoothstep(t):
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def sheared(p, sign=1.0):
    """Tissue goes with the right bar, which rises, far beyond the middle: depends on x alone."""
    return p + sign * np.stack([0 * p[:, 0]] * 2 + [SHEAR_MM * smoothstep((p[:, 0] + 37) / 34)], 1)


def twisted(p, sign=1.0):
    """Tissue turns with the core up to near the ring: depends on the radius alone."""
    share = 1 - smoothstep((np.hypot(p[:, 0], p[:, 1]) - 20) / 30)
    turn = np.radians(sign * TWIST_DEG * share)[:, None] * [[0, 0, 1.0]]
    return Rotation.from_rotvec(turn).apply(p)


SHEAR = np.eye(4)
SHEAR[2, 3] = SHEAR_MM
TWIST = np.eye(4)
TWIST[:3, :3] = Rotation.from_euler("z", TWIST_DEG, degrees=True).as_matrix()
KINDS = {"shear": (bars, sheared, SHEAR), "twist": (core_and_ring, twisted, TWIST)}


def scan(bones, back, noise=0, lesion=None):
    """The block whose tissue is found by ``back`` in the unmoved texture, and its bone mask."""
    p = points()
    index = GRID.to_index_zyx(back(p)) + 26
    hu = map_coordinates(texture(), index.T, order=1, mode="reflect")
    hu += np.random.default_rng(noise).normal(0, 8, len(hu))
    hu = np.where(bones(p) >= 0, 900, hu)
    if lesion is not None:
        hu = np.where(np.linalg.norm(p - lesion, axis=1) < 10, 500, hu)
    bone = Mask((bones(p) >= 0).reshape(GRID.size_zyx), GRID)
    return CTVolume(hu.reshape(GRID.size_zyx).astype(np.int16), GRID), bone


def placed(bones, matrix):
    """The bones as they were placed; their surface points are the whole of them."""
    kind = bones(points())
    parts = []
    for k, motion in enumerate((np.eye(4), matrix)):
        own = points()[kind == k]
        parts.append(
            Part(motion, True, 0.9, 0.4, None, own, own @ motion[:3, :3].T + motion[:3, 3])
        )
    return Registration(np.eye(4), True, 0.9, 0.4, None, tuple(parts))


@cache
def told(kind, lesions=False):
    bones, moved, matrix = KINDS[kind]
    before = placed(bones, matrix)
    here, there = ([-5.0, 0, 0], [-5.0, 0, -25.0]) if lesions else (None, None)
    still = scan(bones, lambda p: p, 1, here)
    after = scan(bones, lambda p: moved(p, -1.0), 2, there)
    tissue = match_tissue(*still, *after, before, SerialSettings())
    return before, Registration(*([np.eye(4), True, 0.9, 0.4, None, before.parts, tissue]))


@cache
def between_bones(kind):
    """Points at least 10 mm from both bones and away from the block's ends."""
    found, _ = told(kind)
    p = points()[::29]
    p = p[(np.abs(p[:, 2]) < 35) & (np.abs(p[:, :2]) < 40).all(axis=1)]
    away = np.min([part.distance_mm(p) for part in found.parts], axis=0)
    p = p[away > 10]
    assert len(p) > 300
    return p


@pytest.mark.parametrize("kind", ["shear", "twist"])
def test_tissue_is_carried_as_the_images_show(kind):
    before, after = told(kind)
    p, moved = between_bones(kind), KINDS[kind][1]
    error = {k: np.linalg.norm(r.carry(p) - moved(p), axis=1) for k, r in
             (("blend", before), ("images", after))}  # fmt: skip
    assert np.percentile(error["blend"], 95) > 5
    assert np.median(error["images"]) < 2.2
    assert np.percentile(error["images"], 95) < 3.5
    assert np.percentile(error["images"], 95) < 0.65 * np.percentile(error["blend"], 95)


@pytest.mark.parametrize("kind", ["shear", "twist"])
def test_the_way_back_undoes_it(kind):
    _, after = told(kind)
    p = between_bones(kind)
    there = after.carry(p)
    assert np.linalg.norm(after.inverse().carry(there) - p, axis=1).max() < 0.5
    ball = np.array([[4.0, -3.0, 5.0]]) + 6 * np.vstack([np.eye(3), -np.eye(3)])
    ball[:, 0] += 20 if kind == "twist" else 0
    there = after.carry_body(ball)
    assert np.linalg.norm(there - ball, axis=1).max() > 4
    np.testing.assert_allclose(after.inverse().carry_body(there), ball, atol=0.5)
    assert after.inverse().inverse() is after


def test_on_bone_nothing_changes():
    for kind in KINDS:
        before, after = told(kind)
        p = points()[::7]
        near = np.min([part.distance_mm(p) for part in before.parts], axis=0) < 6
        assert near.sum() > 100
        np.testing.assert_array_equal(after.carry(p[near]), before.carry(p[near]))


def test_a_body_by_the_bone_stays_with_it_and_a_free_one_goes_with_the_tissue():
    before, after = told("shear")
    cube = 4 * (np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)).astype(float)
    at_bone = cube + np.array([-30.0, 0, 0])  # 5 mm from the left bar's voxels
    np.testing.assert_array_equal(after.carry_body(at_bone), before.carry_body(at_bone))
    free = cube + np.array([-15.0, 0, 0])
    moved = after.carry_body(free)
    np.testing.assert_allclose(moved - free, np.tile(moved[0] - free[0], (8, 1)), atol=1e-9)
    rise = sheared(free).mean(axis=0)[2] - free.mean(axis=0)[2]
    assert (moved - free)[0, 2] == pytest.approx(rise, abs=2.0)
    assert abs((before.carry_body(free) - free)[0, 2] - rise) > 5


def test_a_lesion_does_not_drive_it():
    # It vanishes, and another one comes 39 mm from where the tissue carries its place.
    _, plain = told("shear")
    _, after = told("shear", lesions=True)
    p = between_bones("shear")
    near = np.linalg.norm(p - [-5, 0, 0], axis=1) < 14
    error = np.linalg.norm(after.carry(p[near]) - sheared(p[near]), axis=1)
    assert near.sum() > 5
    assert np.percentile(error, 95) < 3.0
    apart = np.linalg.norm(after.carry(p) - plain.carry(p), axis=1)
    assert 0 < apart.max() < 3.0  # it was there, and told nothing


def test_noise_tells_nothing():
    rng = np.random.default_rng(9)
    bone = Mask((bars(points()) >= 0).reshape(GRID.size_zyx), GRID)
    pair = [
        CTVolume(gaussian_filter(rng.normal(50, 60, GRID.size_zyx), 0.7).astype(np.int16), GRID)
        for _ in range(2)
    ]
    assert match_tissue(pair[0], bone, pair[1], bone, placed(bars, SHEAR), SerialSettings()) is None


def test_parts_that_did_not_move_and_single_parts_are_left():
    volume, bone = scan(bars, lambda p: p, 1)
    both = placed(bars, np.eye(4))
    assert match_tissue(volume, bone, volume, bone, both, SerialSettings()) is None
    one = Registration(np.eye(4), True, 0.9, 0.4, None, both.parts[:1])
    assert match_tissue(volume, bone, volume, bone, one, SerialSettings()) is None


def test_it_is_the_same_with_one_thread_and_two():
    bones, moved, matrix = KINDS["shear"]
    given = (*scan(bones, lambda p: p, 1), *scan(bones, lambda p: moved(p, -1.0), 2))
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    made = []
    try:
        for count in (1, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
            made.append(match_tissue(*given, placed(bones, matrix), SerialSettings()))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    np.testing.assert_array_equal(made[0].shares, made[1].shares)
    np.testing.assert_array_equal(made[0].trust, made[1].trust)
