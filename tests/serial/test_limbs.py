"""Bones that moved on their own: analytic bones that touch at a joint, turned by known angles."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.serial import Part, Registration, register
from hoimg.serial.align import stretch
from hoimg.serial.parts import _elsewhere
from hoimg.serial.skin import Skin
from hoimg.serial.surface import prepare

HEAD = np.array([34.0, 0.0, 0.0])
SIZE, SPACING = (88, 84, 84), (2.0, 2.0, 2.0)


def ball(p, centre, *radii):
    r = np.linalg.norm((p - centre) / radii, axis=1)
    return (1 - r) * min(radii)


def bar(p, a, b, radius):
    """Depth inside a round bar from a to b."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return radius - np.linalg.norm(p - a - t[:, None] * (b - a), axis=1)


def trunk(p):
    """An asymmetrical 'pelvis' whose socket touches the head of the 'femur'."""
    parts = [
        ball(p, (20, 4, 32), 30, 14, 26),
        ball(p, (-30, 8, 24), 26, 20, 16),
        ball(p, (0, 20, 50), 14, 22, 12),
        ball(p, (-46, 0, 40), 10, 12, 26),
        bar(p, (-20, -20, 12), (24, -24, 20), 8),
        bar(p, (-40, 14, 0), (-44, 30, 60), 8),
    ]
    cup = np.minimum(ball(p, HEAD, 26, 26, 26), p[:, 2] - 4)
    return np.maximum(np.max(parts, axis=0), cup)


def femur(p):
    """Head, neck, a knob and a bent shaft."""
    return np.max(
        [
            ball(p, HEAD, 17, 17, 17),
            bar(p, HEAD, (52, 6, -22), 10),
            ball(p, (58, 10, -18), 12, 12, 14),
            bar(p, (52, 6, -22), (46, 0, -60), 12),
            bar(p, (46, 0, -60), (44, 8, -92), 11),
        ],
        axis=0,
    )


def turn(deg, centre=HEAD, shift=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", deg, degrees=True).as_matrix()
    matrix[:3, 3] = centre + np.asarray(shift) - matrix[:3, :3] @ centre
    return matrix


def apply(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@cache
def fibres():
    """Muscle with fat between its fibres, SD 1, voxels of 2 mm about the origin."""
    field = gaussian_filter(np.random.default_rng(5).normal(size=(160, 160, 160)), 2.5)
    return field / field.std()


def muscle(p):
    """HU at points of the unmoved body."""
    return 30 + 35 * map_coordinates(fibres(), p.T[::-1] / 2 + 80, order=1, mode="reflect")


def scan(
    body=None,
    limb=None,
    *,
    scale=1.0,
    bones=(trunk, femur),
    seed=0,
    flip=False,
    soft=None,
    size=SIZE,
    centre=(0.0, 0.0, -18.0),
):
    """A CT with the trunk moved by ``body`` and the femur by ``body @ limb``, and its bone mask.

    Soft tissue is even, or goes with the trunk, with ``soft``'s HU.
    """
    body = np.eye(4) if body is None else body
    limb = np.eye(4) if limb is None else limb
    half = np.array([(n - 1) / 2 * s for n, s in zip(size, SPACING, strict=True)])[::-1]
    grid = Grid(size, SPACING, tuple(np.array(centre) - half))
    points = grid.to_lps_mm(np.indices(size).reshape(3, -1).T)
    if flip:
        points = points * [-1, 1, 1]
    motions = {trunk: body, femur: body @ limb}
    depths = [bone(apply(np.linalg.inv(motions[bone]), points) / scale) * scale for bone in bones]
    depth = np.max(depths, axis=0).reshape(size)
    flesh = 50.0
    if soft is not None:
        flesh = soft(apply(np.linalg.inv(body), points)).reshape(size)
    hu = np.where(depth > 3, 250.0, np.where(depth > 0, 1100.0, flesh))
    hu = gaussian_filter(hu, 0.5) + np.random.default_rng(seed).normal(0, 15, size)
    return CTVolume(hu.astype(np.int16), grid), Mask(depth > 0, grid)


@cache
def still():
    return scan()


@cache
def places(bone):
    """Points round a bone, 2 to 12 mm outside it, at least 24 mm from the joint and other bone."""
    volume, _ = still()
    points = volume.grid.to_lps_mm(np.argwhere(np.ones(SIZE, bool))[::37])
    other = femur if bone is trunk else trunk
    away, apart = -bone(points), -other(points)
    near = (away > 2) & (away < 10) & (apart > 24)
    return points[near & (np.linalg.norm(points - HEAD, axis=1) > 30)]


BODY = turn((3, -2, 5), np.zeros(3), (4, -5, 3))


@pytest.mark.parametrize("bend", [(-10, 0, 0), (0, 20, 10), (-40, 0, 0), (15, -12, -25)])
def test_a_bent_limb_is_followed_by_its_own_bone(bend):
    limb = turn(bend)
    found = register(*still(), *scan(BODY, limb, seed=1))
    assert found.accepted
    assert [p.accepted for p in found.parts[:2]] == [True, True]
    assert found.turn_deg(found.parts[1]) == pytest.approx(
        np.degrees(Rotation.from_matrix(limb[:3, :3]).magnitude()), abs=3
    )
    for bone, truth in ((trunk, BODY), (femur, BODY @ limb)):
        points = places(bone)
        assert len(points) > 100
        error = np.linalg.norm(found.carry(points) - apply(truth, points), axis=1)
        assert np.median(error) <= 1.0
        assert np.percentile(error, 95) <= 2.5
        back = np.linalg.norm(found.inverse().carry(apply(truth, points)) - points, axis=1)
        assert np.percentile(back, 95) <= 2.5
        assert found.covers(points).mean() > 0.95


WIDE = {"size": (120, 84, 130), "centre": (40.0, 0.0, 10.0)}
"""A view in which the limb may hang down or stand straight up."""


@pytest.mark.parametrize("bend", [(0, -120, 0), (20, -150, 0)])
def test_a_limb_that_was_raised_over_the_trunk_is_followed(bend):
    # Arms up at one exam and down at the next: far beyond what a search about the joint reaches.
    limb = turn(bend)
    found = register(*scan(**WIDE), *scan(BODY, limb, seed=1, **WIDE))
    assert [p.accepted for p in found.parts] == [True, True]
    for bone, truth in ((trunk, BODY), (femur, BODY @ limb)):
        error = np.linalg.norm(found.carry(places(bone)) - apply(truth, places(bone)), axis=1)
        assert np.percentile(error, 95) <= 2.5
        assert found.covers(places(bone)).mean() > 0.95


def test_a_limb_raised_until_it_lies_on_other_bone_is_given_up_and_carries_nothing():
    found = register(*scan(**WIDE), *scan(BODY, turn((0, -170, 0)), seed=1, **WIDE))
    assert found.parts[0].accepted
    assert not any(p.accepted for p in found.parts[1:])
    error = np.linalg.norm(found.carry(places(trunk)) - apply(BODY, places(trunk)), axis=1)
    assert np.percentile(error, 95) <= 2.5
    assert found.covers(places(femur)).mean() < 0.05


def test_tissue_beside_a_bent_limb_goes_where_the_images_show_it():
    """It stays with the trunk, and its nearest bone, the femur, turns away from it."""
    limb = turn((0, 12, 0))
    found = register(*scan(seed=2, soft=muscle), *scan(BODY, limb, seed=1, soft=muscle))
    assert [p.accepted for p in found.parts] == [True, True]
    points = still()[0].grid.to_lps_mm(np.argwhere(np.ones(SIZE, bool))[::37])
    away, apart = -femur(points), -trunk(points)
    beside = points[(away > 10) & (away < 25) & (apart > 2 * away) & (apart < 50)]
    assert len(beside) > 50
    blend = replace(found, tissue=None)
    off, blended_off = (
        np.linalg.norm(way.carry(beside) - apply(BODY, beside), axis=1) for way in (found, blend)
    )
    assert np.median(blended_off) > 8
    # The voxels that are matched are as wide.
    assert np.median(off) < 2.5


def test_a_lesion_between_the_bones_goes_where_its_own_image_shows_it():
    """It stays with the trunk; the femur, as near, turns; the flesh is even and tells nothing."""
    centre, limb = np.array([19.0, 13.0, -31.0]), turn((0, -25, 0))

    def lump(p):
        return np.linalg.norm((p - centre) / (9, 6, 7), axis=1) < 1

    def soft(p):
        return np.where(lump(p), 450.0, 50.0)

    scans = scan(seed=2, soft=soft), scan(BODY, limb, seed=1, soft=soft)
    points = still()[0].grid.to_lps_mm(np.indices(SIZE).reshape(3, -1).T)
    masks = [
        Mask(lump(p).reshape(SIZE).astype(np.uint8), still()[1].grid)
        for p in (points, apply(np.linalg.inv(BODY), points))
    ]
    found = register(*scans[0], *scans[1], lesions=(masks[0], masks[1]))
    own = points[lump(points)]
    off, half_way = (
        np.linalg.norm(way.carry_body(own) - apply(BODY, own), axis=1)
        for way in (found, replace(found, bodies=()))
    )
    assert half_way.max() > 5
    assert off.max() < 2


def test_what_moved_as_one_body_is_one_part():
    found = register(*still(), *scan(BODY, seed=2))
    assert found.accepted
    assert len(found.parts) == 1
    points = np.concatenate([places(trunk), places(femur)])
    error = np.linalg.norm(found.carry(points) - apply(BODY, points), axis=1)
    assert np.percentile(error, 95) <= 0.5


def test_a_bone_that_is_gone_is_rejected_and_nothing_near_it_carried():
    found = register(*still(), *scan(BODY, bones=(trunk,), seed=3))
    assert found.accepted
    assert [p.reason for p in found.parts] == [None, "bone_unexplained"]
    low = places(femur)[places(femur)[:, 2] < -40]
    assert not found.covers(low).any()
    assert found.covers(places(trunk)).all()
    # The other way round the bone is new: what lies near it was not seen before.
    gained = register(*scan(BODY, bones=(trunk,), seed=3), *still()).inverse()
    assert not gained.covers(low).any()
    assert gained.covers(places(trunk)).mean() > 0.95


@pytest.mark.parametrize("bend", [None, (0, 20, 10)])
@pytest.mark.parametrize("called", ["new", "old"])
def test_bone_that_one_exam_calls_ossification_is_no_bone_of_its_own(bend, called):
    """Half of the head and its socket are lost to the skeleton of one exam."""
    limb = np.eye(4) if bend is None else turn(bend)
    truth = BODY @ limb

    def lost(volume, bone, motion):
        points = volume.grid.to_lps_mm(np.indices(SIZE).reshape(3, -1).T)
        home = apply(np.linalg.inv(motion), points).reshape(*SIZE, 3)
        gone = bone.array & (home[..., 0] > 36) & (home[..., 2] > -8)
        return Mask(bone.array & ~gone, bone.grid), [Mask(gone.astype(np.uint16), bone.grid)]

    volume, bone = still()
    moved, moved_bone = scan(BODY, limb, seed=3)
    unsure = {}
    if called == "old":
        bone, unsure["fixed_unsure"] = lost(volume, bone, np.eye(4))
    else:
        moved_bone, unsure["moving_unsure"] = lost(moved, moved_bone, truth)
    found = register(volume, bone, moved, moved_bone, **unsure)
    assert [p.accepted for p in found.parts] == [True] * (1 if bend is None else 2)
    low = places(femur)[places(femur)[:, 2] < -40]
    error = np.linalg.norm(found.carry(low) - apply(truth, low), axis=1)
    assert np.percentile(error, 95) <= 2.5
    # Unsaid, it is bone that went nowhere.
    assert not all(p.accepted for p in register(volume, bone, moved, moved_bone).parts)


@pytest.mark.parametrize(
    "options",
    [{"scale": 1.04}, {"scale": 0.96}, {"flip": True}],
    ids=["larger", "smaller", "mirrored"],
)
def test_many_parts_do_not_explain_a_stranger(options):
    found = register(*still(), *scan(BODY, **options, seed=4))
    assert not found.accepted
    assert not found.covers(places(trunk)).any()


def test_a_limb_that_would_have_left_its_joint_is_rejected():
    found = register(*still(), *scan(BODY, turn((0, 0, 0), HEAD, (25, 22, -10)), seed=4))
    assert [p.accepted for p in found.parts].count(True) == 1
    assert {p.reason for p in found.parts[1:]} <= {"joint_torn", "bone_unexplained"}
    low = places(femur)[places(femur)[:, 2] < -40]
    assert not found.covers(low).any()
    assert found.covers(places(trunk)).mean() > 0.95


@pytest.mark.parametrize("scale", [1.0, 1.03, 0.97])
def test_stretch_is_measured(scale):
    fixed, moving = prepare(still()[1], 2.0), prepare(scan(scale=scale)[1], 2.0)
    start = np.eye(4)
    found, by_mm = stretch(fixed.points_lps_mm, moving, start)
    assert found == pytest.approx(abs(scale - 1), abs=0.008)
    assert (by_mm > 0.6) == (scale != 1.0)


def two_parts(bend=30.0):
    """A placement with two bones: points along z at x = -40, and at x = 40, the latter turned."""
    line = np.stack([np.zeros(41), np.zeros(41), np.linspace(-40, 40, 41)], axis=1)
    aside = np.array([40.0, 0.0, 0.0])
    left, right = line - aside, line + aside
    matrix = turn((0, bend, 0), np.array([0.0, 0.0, 40.0]))
    parts = (
        Part(np.eye(4), True, 0.9, 0.4, None, left, left),
        Part(matrix, True, 0.9, 0.4, None, right, apply(matrix, right)),
    )
    return Registration(np.eye(4), True, 0.9, 0.4, None, parts), matrix


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.floats(-12, 12), st.floats(-12, 12), st.floats(-30, 30)), st.floats(-40, 40))
def test_near_a_bone_the_map_is_rigid_with_it_and_inverts(offset, bend):
    found, matrix = two_parts(bend)
    for side, truth in ((-40.0, np.eye(4)), (40.0, matrix)):
        point = np.array([offset]) + np.array([side, 0.0, 0.0])
        np.testing.assert_allclose(found.carry(point), apply(truth, point), atol=1e-9)
        moved = found.carry(point)
        other = found.parts[1 if side < 0 else 0].moving_points_lps_mm
        if np.linalg.norm(other - moved, axis=1).min() > 40:  # still twice as far as its own bone
            np.testing.assert_allclose(found.inverse().carry(moved), point, atol=1e-6)


def test_between_bones_the_map_is_continuous_and_half_way_in_the_middle():
    found, _ = two_parts()
    path = np.stack([np.linspace(-40, 40, 801), np.zeros(801), np.zeros(801)], axis=1)
    moved = found.carry(path)
    steps = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    assert steps.max() < 0.4  # 0.1 mm apart before
    middle = np.zeros((1, 3))
    # Half of the turn about the same joint: as far from it as before.
    half = apply(turn((0, 15.0, 0), np.array([0.0, 0.0, 40.0])), middle)
    np.testing.assert_allclose(found.carry(middle), half, atol=0.05)
    assert np.linalg.norm(found.carry(middle) - [0, 0, 40]) == pytest.approx(40, abs=0.05)
    # (d - 2.75) / (80 - d - 2.75) = 1/2 is where the other bone begins to count, not before.
    d = (40 - 2.75 / 2 + 2.75) / 1.5
    edge = np.array([[-40 + d - 0.01, 0, 0]])
    np.testing.assert_allclose(found.carry(edge), edge, atol=1e-9)
    past = edge + np.array([[2.0, 0, 0]])
    assert np.linalg.norm(found.carry(past) - past) > 0.01


def test_a_stiff_body_is_not_bent_and_goes_with_the_bone_that_it_touches():
    found, matrix = two_parts()
    beam = np.stack([np.linspace(-40, -2, 20), np.zeros(20), np.zeros(20)], axis=1)
    np.testing.assert_allclose(found.carry_body(beam), beam, atol=1e-9)
    np.testing.assert_allclose(found.carry_body(-beam), apply(matrix, -beam), atol=1e-9)
    free = np.array([[-9.0, 0, 0], [9.0, 0, 0], [0, 5.0, 3.0]])
    moved = found.carry_body(free)
    lengths = [np.linalg.norm(c[[0, 1, 2]] - c[[1, 2, 0]], axis=1) for c in (free, moved)]
    np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-9)
    assert np.linalg.norm(moved - free, axis=1).min() > 3


def test_what_lies_on_a_bone_goes_with_it_even_in_a_joint():
    found, matrix = two_parts()
    near = found.parts[0].fixed_points_lps_mm + np.array([8.0, 0.0, 0.0])
    other = Part(matrix, True, 0.9, 0.4, None, near, apply(matrix, near))
    joint = Registration(np.eye(4), True, 0.9, 0.4, None, (found.parts[0], other))
    points = found.parts[0].fixed_points_lps_mm
    on_left, on_right = points + np.array([2.0, 0, 0]), points + np.array([6.0, 0, 0])
    np.testing.assert_allclose(joint.carry(on_left), on_left, atol=1e-9)
    np.testing.assert_allclose(joint.carry(on_right), apply(matrix, on_right), atol=1e-9)


def test_a_rejected_part_covers_nothing_and_does_not_blend():
    both, _ = two_parts()
    lost = Part(both.parts[1].matrix_lps, False, 0.2, 5.0, "bones_unlike", *[
        both.parts[1].fixed_points_lps_mm] * 2)  # fmt: skip
    found = Registration(np.eye(4), True, 0.9, 0.4, None, (both.parts[0], lost))
    points = np.array([[-40.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0], [40.0, 0, 0]])
    assert found.covers(points).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(found.carry(points), points)
    assert not Registration(np.eye(4), False, parts=found.parts).covers(points).any()


@pytest.mark.parametrize(("astray_deg", "mended"), [(24.0, True), (0.0, False)])
def test_a_part_that_came_to_rest_on_half_of_its_bone_is_placed_anew(astray_deg, mended):
    """The head turns in its socket without a trace; knob and shaft tell that it is wrong."""
    limb = BODY @ turn((-30, 0, 0))
    fixed, moving = (prepare(mask, 2.0) for _, mask in (still(), scan(BODY, turn((-30, 0, 0)))))
    assert fixed is not None
    assert moving is not None
    skin, other = Skin(fixed), Skin(moving)
    matrices = [BODY, limb @ turn((astray_deg, 0, 0))]
    gaps = [skin.gaps(matrix, moving) for matrix in matrices]
    own = femur(skin.points) > trunk(skin.points)
    group = np.flatnonzero(own & (np.fmin(*gaps) > 2.0)) if mended else np.flatnonzero(own)
    found = _elsewhere(skin, group, matrices, gaps, other)
    assert (found is not None) == mended
    if found is not None:
        points = places(femur)
        error = np.linalg.norm(apply(found[1], points) - apply(limb, points), axis=1)
        assert np.median(error) <= 1.0
