"""Contacts with bone, against the areas of plane geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.measure.contact import bone_contact
from hoimg.measure.surface import mesh_of_mask


def grid(spacing, half=(22.0, 22.0, 22.0), offset=(0.0, 0.0, 0.0)):
    axes = [np.arange(-h, h + s / 2, s) + o for h, s, o in zip(half, spacing, offset, strict=True)]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def contact(lesion, bone, spacing, contact_mm=1.0):
    return bone_contact(
        mesh_of_mask(lesion, spacing), lambda _: (bone, (0, 0, 0)), spacing, contact_mm
    )


@settings(max_examples=15, deadline=None)
@given(
    radius=st.floats(6.0, 12.0),
    spacing=st.tuples(st.floats(0.7, 1.6), st.floats(0.6, 1.0), st.floats(0.6, 1.0)),
    offset=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    axis=st.integers(0, 2),
)
def test_half_a_ball_on_a_plate_touches_with_a_disc(radius, spacing, offset, axis):
    points = grid(spacing, offset=offset)
    lesion = (sum(p**2 for p in points) < radius**2) & (points[axis] >= 0)
    bone = (points[axis] < 0) & (points[axis] > -8) & (sum(0 * p for p in points) == 0)
    found = contact(lesion, bone, spacing)
    # The disc lies in the ball's lowest slice; a smooth surface loses some of its rim to the
    # rounded edge, most where slices are thick.
    height = points[axis].ravel()
    lowest = height[height >= 0][0]
    assert found.area_mm2 == pytest.approx(np.pi * (radius**2 - lowest**2), rel=0.18)
    assert len(found.contacts) == 1
    assert found.bridges is False
    middle = np.array([p.ravel()[0] for p in points])  # of voxel [0, 0, 0]
    expected = -middle
    assert np.abs(found.contacts[0].centroid_mm - expected).max() < 1.5


def bars(gap, spacing=(1.0, 0.8, 0.8), joined=False, reach=None):
    """Two plates ``gap`` mm apart along x, and a rod of 5 mm radius between them."""
    z, y, x = grid(spacing)
    every = (z + y + x) == (z + y + x)
    bone = every & (np.abs(x) > gap / 2)
    if joined:
        bone = bone | (every & (z < -18))
    end = gap / 2 if reach is None else -gap / 2 + reach
    rod = ((z**2 + y**2) < 25.0) & (np.abs(x) <= gap / 2) & (x <= end)
    return rod & ~bone, bone, spacing


def test_a_rod_between_two_bones_bridges_them():
    found = contact(*bars(16.0))
    assert found.bridges is True
    assert {c.bone for c in found.contacts} == {1, 2}
    for one in found.contacts:
        assert one.area_mm2 == pytest.approx(25 * np.pi, rel=0.15)
    assert found.area_mm2 == pytest.approx(50 * np.pi, rel=0.15)


def test_a_rod_that_ends_before_the_second_bone_does_not():
    found = contact(*bars(16.0, reach=13.0))
    assert found.bridges is False
    assert len(found.contacts) == 1


def test_two_feet_on_bone_that_joins_nearby_leave_the_question_open():
    found = contact(*bars(16.0, joined=True))
    assert found.bridges is None
    assert [c.bone for c in found.contacts] == [1, 1]


def test_a_lesion_beside_bone_has_no_contact():
    z, y, x = grid((1.0, 1.0, 1.0))
    ball = (z**2 + y**2 + x**2) < 64.0
    found = contact(ball, (x > 12) & (z == z) & (y == y), (1.0, 1.0, 1.0))
    assert (found.area_mm2, found.contacts, found.bridges) == (0.0, (), False)
