"""Lesions between two bones that moved: analytic bodies in even flesh, moved by a known share."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.serial import Part, Registration
from hoimg.serial.body_match import Scan, place_bodies
from hoimg.serial.matching import clouds
from hoimg.settings import SerialSettings

GRID = Grid((64, 52, 56), (2.0, 2.0, 2.0), (-55.0, -51.0, -63.0))
RISE_MM, TURN_DEG = 30.0, 25.0
RISE = np.eye(4)
RISE[2, 3] = RISE_MM
TURN = np.eye(4)
TURN[:3, :3] = Rotation.from_euler("y", TURN_DEG, degrees=True).as_matrix()
PROBES = 6.0 * np.vstack([np.zeros((1, 3)), np.eye(3), -np.eye(3)])


@cache
def points():
    return GRID.to_lps_mm(np.indices(GRID.size_zyx).reshape(3, -1).T)


def part_of(motion, share):
    """That share of a rise, or of a turn about the origin: written down, not blended."""
    if motion is RISE:
        out = np.eye(4)
        out[2, 3] = share * RISE_MM
        return out
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("y", share * TURN_DEG, degrees=True).as_matrix()
    return out


def apply(matrix, p):
    return p @ matrix[:3, :3].T + matrix[:3, 3]


def bars(right):
    """Left bar at rest, right bar moved by ``right``: inside or not."""
    p, back = points(), apply(np.linalg.inv(right), points())
    return (np.hypot(p[:, 0] + 40, p[:, 1]) < 8) | (np.hypot(back[:, 0] - 40, back[:, 1]) < 8)


def lesion(centre, motion=None, size=1.0, hu=500.0):
    """A lopsided lump with a dense knob about ``centre`` of the unmoved body: HU over flesh."""
    p = apply(np.linalg.inv(np.eye(4) if motion is None else motion), points()) - centre
    lump = np.linalg.norm(p / (size * np.array([9.0, 6.0, 7.0])), axis=1) < 1
    knob = np.linalg.norm(p - size * np.array([5.0, 3.0, 2.0]), axis=1) < 5 * size
    return np.where(knob, 1.4 * hu, np.where(lump, hu, 0.0))


def scan(right, *lesions, noise=0):
    """A CT with the bones and lesions, its skeleton, and the lesions' label map."""
    bone, labels, hu = bars(right), np.zeros(len(points()), np.uint8), np.full(len(points()), 45.0)
    for number, own in enumerate(lesions, start=1):
        labels[own > 0] = number
        hu += own
    hu = np.where(bone, 900, hu).reshape(GRID.size_zyx)
    hu = gaussian_filter(hu, 0.6) + np.random.default_rng(noise).normal(0, 12, GRID.size_zyx)
    return Scan(
        CTVolume(hu.astype(np.int16), GRID),
        Mask(bone.reshape(GRID.size_zyx), GRID),
        Mask(labels.reshape(GRID.size_zyx), GRID),
    )


def unnamed(seen):
    """The same scan with no lesion outlined."""
    return replace(seen, lesions=Mask(np.zeros(GRID.size_zyx, np.uint8), GRID))


@cache
def placed(kind):
    """The bones as they were placed."""
    right = {"rise": RISE, "turn": TURN}[kind]
    parts = []
    for side, motion in ((-40, np.eye(4)), (40, right)):
        own = points()[np.hypot(points()[:, 0] - side, points()[:, 1]) < 8]
        parts.append(Part(motion, True, 0.9, 0.4, None, own, apply(motion, own)))
    return Registration(np.eye(4), True, 0.9, 0.4, None, tuple(parts))


def told(kind, before, after):
    found = placed(kind)
    return replace(found, bodies=place_bodies(before, after, found, SerialSettings()))


def error_mm(found, centre, motion):
    p = centre + PROBES
    return np.linalg.norm(found.carry_body(p) - apply(motion, p), axis=1).max()


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["rise", "turn"]),
    share=st.floats(0, 1),
    size=st.floats(0.9, 1.15),
    denser=st.floats(0.6, 1.6),
    x=st.floats(-8, 8),
)
def test_a_lesion_is_placed_where_it_went_whatever_it_grew(kind, share, size, denser, x):
    right = {"rise": RISE, "turn": TURN}[kind]
    centre, motion = np.array([x, 0.0, -20.0]), part_of(right, share)
    before = scan(np.eye(4), lesion(centre), noise=1)
    after = scan(right, lesion(centre, motion, size, 500 * denser), noise=2)
    found = told(kind, before, after)
    assert len(found.bodies) == 1
    assert error_mm(found, centre, motion) < 2.0
    # The lesion's own voxels too, there and back.
    cloud = clouds(before.lesions)[1].points_lps_mm
    there = found.carry_body(cloud)
    assert np.linalg.norm(there - apply(motion, cloud), axis=1).max() < 2.0
    np.testing.assert_allclose(found.inverse().carry_body(there), cloud, atol=1e-6)
    back = clouds(after.lesions)[1].points_lps_mm
    moved = found.inverse().carry_body(back)
    assert np.linalg.norm(moved - apply(np.linalg.inv(motion), back), axis=1).max() < 2.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_bones_alone_would_lay_it_half_way(share):
    centre, motion = np.array([0.0, 0.0, -20.0]), part_of(RISE, share)
    before, after = scan(np.eye(4), lesion(centre)), scan(RISE, lesion(centre, motion), noise=2)
    assert error_mm(placed("rise"), centre, motion) == pytest.approx(RISE_MM / 2, abs=1.0)
    assert error_mm(told("rise", before, after), centre, motion) < 2.0


def test_what_is_gone_or_came_anew_is_left_to_the_bones():
    centre = np.array([0.0, 0.0, -20.0])
    with_it, without = scan(np.eye(4), lesion(centre)), scan(RISE, noise=2)
    assert told("rise", with_it, without).bodies == ()
    assert told("rise", without, with_it).bodies == ()


def test_something_of_another_form_on_its_way_is_not_taken_for_it():
    centre = np.array([0.0, 0.0, -20.0])
    before = scan(np.eye(4), lesion(centre))
    pip = np.linalg.norm(points() - centre - [-5.0, 0.0, RISE_MM], axis=1) < 3.5
    found = told("rise", before, unnamed(scan(RISE, np.where(pip, 800.0, 0.0), noise=2)))
    assert found.bodies == ()


@pytest.mark.parametrize("outlined", [True, False])
def test_two_places_that_look_alike_tell_nothing(outlined):
    centre = np.array([0.0, 0.0, -25.0])
    before = scan(np.eye(4), lesion(centre))
    twins = [lesion(centre, part_of(RISE, share)) for share in (0.0, 1.0)]
    after = scan(RISE, *twins, noise=2)
    found = told("rise", before, after if outlined else unnamed(after))
    assert found.bodies == ()
    assert error_mm(found, centre, part_of(RISE, 0.5)) < 1.0


def test_a_lesion_that_is_gone_does_not_take_its_neighbours_place():
    # Both alike, the lower one gone: the upper one went half of the way along, where the lower one
    # would come to lie if it had gone all of it.
    low, high = np.array([0.0, 0.0, -35.0]), np.array([0.0, 0.0, -35.0 + RISE_MM / 2])
    motion = part_of(RISE, 0.5)
    before = scan(np.eye(4), lesion(low), lesion(high))
    found = told("rise", before, scan(RISE, lesion(high, motion), noise=2))
    assert error_mm(found, low, part_of(RISE, 0.5)) < 1.0  # by the bones: half way
    assert error_mm(found, high, motion) < 2.0


def test_a_lesion_outlined_in_the_later_exam_alone_is_placed_from_there():
    centre, motion = np.array([0.0, 0.0, -20.0]), part_of(RISE, 0.9)
    before, after = scan(np.eye(4), lesion(centre)), scan(RISE, lesion(centre, motion), noise=2)
    found = told("rise", unnamed(before), after)
    assert len(found.bodies) == 1
    assert error_mm(found, centre, motion) < 2.0


def shell(centre, motion=None, radius=7.0):
    """A dense rim round a faint core: one that tripled looks like no part of its old self."""
    p = apply(np.linalg.inv(np.eye(4) if motion is None else motion), points()) - centre
    mm = np.linalg.norm(p, axis=1)
    return np.where(mm >= radius, 0.0, np.where(mm > radius - 2.5, 600.0, 60.0))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_lesion_that_tripled_is_placed_by_its_outline(share):
    centre, motion = np.array([0.0, 0.0, -20.0]), part_of(RISE, share)
    before, after = scan(np.eye(4), shell(centre)), scan(RISE, shell(centre, motion, 10.2), noise=2)
    assert told("rise", before, unnamed(after)).bodies == ()
    assert told("rise", unnamed(before), after).bodies == ()
    found = told("rise", before, after)
    assert error_mm(found, centre, motion) < 2.5
    back = clouds(after.lesions)[1].points_lps_mm
    moved = found.inverse().carry_body(back)
    assert np.linalg.norm(moved - apply(np.linalg.inv(motion), back), axis=1).max() < 2.5


def test_an_outline_that_two_lesions_could_be_is_left_to_the_bones():
    # By the bones the upper one comes to lie there, with the right bone the lower one would.
    low, high = np.array([0.0, 0.0, -25.0]), np.array([0.0, 0.0, -25.0 + RISE_MM / 2])
    before = scan(np.eye(4), shell(low, radius=6.0), shell(high, radius=6.0))
    after = scan(RISE, shell(low, part_of(RISE, 1.0), 9.5), noise=2)
    found = told("rise", before, after)
    assert found.bodies == ()
    alone = told("rise", scan(np.eye(4), shell(low, radius=6.0)), after)
    assert error_mm(alone, low, part_of(RISE, 1.0)) < 2.5


def test_an_outline_on_which_another_lesion_comes_to_lie_by_the_bones_is_not_taken():
    # A thin upright rod, which is not like it.
    low, high = np.array([0.0, 0.0, -25.0]), np.array([0.0, 0.0, -25.0 + RISE_MM / 2])
    p = points() - high
    rod = np.where((np.hypot(p[:, 0], p[:, 1]) < 1.5) & (np.abs(p[:, 2]) < 5), 400.0, 0.0)
    after = scan(RISE, shell(low, part_of(RISE, 1.0), 9.5), noise=2)
    before = [scan(np.eye(4), shell(low, radius=6.0), *other) for other in ((), (rod,))]
    assert [len(told("rise", seen, after).bodies) for seen in before] == [1, 0]


def test_a_lesion_that_could_be_either_of_two_outlines_is_left_to_the_bones():
    centre = np.array([0.0, 0.0, -25.0])
    twins = [shell(centre, part_of(RISE, share), 9.5) for share in (0.0, 1.0)]
    before, after = scan(np.eye(4), shell(centre, radius=6.0)), scan(RISE, *twins, noise=2)
    assert told("rise", before, after).bodies == ()


def test_an_outline_that_is_another_lesions_by_its_image_is_not_taken():
    # A rim that is gone, and a solid ball of its size that went where the right bone would lay it.
    low, high, motion = (
        np.array([0.0, 0.0, -42.0]),
        np.array([0.0, 0.0, -20.0]),
        part_of(RISE, 0.25),
    )
    solid = [
        np.where(np.linalg.norm(points() - at, axis=1) < 9, 500.0, 0.0)
        for at in (high, apply(motion, high))
    ]
    before = scan(np.eye(4), shell(low, radius=9.0), solid[0])
    after = scan(RISE, solid[1], noise=2)
    strict, found = SerialSettings(min_lesion_correlation=0.9), placed("rise")
    (body,) = place_bodies(before, after, found, strict)
    found = replace(found, bodies=(body,))
    assert error_mm(found, high, motion) < 2.0
    assert error_mm(found, low, part_of(RISE, 0.5)) < 1.0


@pytest.mark.parametrize(("least_gain", "off_mm"), [(0.03, 0.0), (1.0, 6.0)])
def test_the_place_by_bones_is_kept_where_the_image_gains_too_little(least_gain, off_mm):
    centre, motion = np.array([0.0, 0.0, -20.0]), part_of(RISE, 0.7)  # half way, and 6 mm
    before, after = scan(np.eye(4), lesion(centre)), scan(RISE, lesion(centre, motion), noise=2)
    settings = SerialSettings(min_lesion_gain=least_gain)
    found = placed("rise")
    found = replace(found, bodies=place_bodies(before, after, found, settings))
    assert len(found.bodies) == 1
    assert error_mm(found, centre, motion) == pytest.approx(off_mm, abs=1.5)


def test_other_points_go_as_before():
    centre, motion = np.array([0.0, 0.0, -20.0]), part_of(RISE, 0.9)
    before, after = scan(np.eye(4), lesion(centre)), scan(RISE, lesion(centre, motion), noise=2)
    found, plain = told("rise", before, after), placed("rise")
    assert found.bodies
    far = np.array([0.0, 0.0, 15.0]) + PROBES
    np.testing.assert_array_equal(found.carry_body(far), plain.carry_body(far))
    np.testing.assert_array_equal(found.carry(centre + PROBES), plain.carry(centre + PROBES))


def test_bones_that_did_not_move_apart_are_not_asked():
    centre = np.array([0.0, 0.0, -20.0])
    before, after = scan(np.eye(4), lesion(centre)), scan(np.eye(4), lesion(centre), noise=2)
    found = placed("rise")
    still = [replace(part, matrix_lps=np.eye(4)) for part in found.parts]
    assert place_bodies(before, after, replace(found, parts=tuple(still)), SerialSettings()) == ()
    assert (
        place_bodies(before, after, replace(found, parts=found.parts[:1]), SerialSettings()) == ()
    )
