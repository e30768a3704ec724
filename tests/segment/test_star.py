"""The star-convex surface: known forms are found from their evidence, gaps are crossed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.segment.star import enclosed_part, star_union

SPACING = (1.5, 0.9, 1.0)
SHAPE = (40, 64, 58)
MIDDLE = np.array([20.0, 32.0, 29.0])


def offsets_mm():
    axes = [(np.arange(n) - m) * s for n, m, s in zip(SHAPE, MIDDLE, SPACING, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def ellipsoid(a, b, c):
    z, y, x = offsets_mm()
    return (z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2 <= 1


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@given(
    st.tuples(*(st.floats(9.0, 16.0) for _ in range(3))),
    st.tuples(*(st.floats(-2.0, 2.0) for _ in range(3))),
)
@settings(max_examples=8, deadline=None)
def test_an_ellipsoid_is_found_from_any_point_near_its_middle(axes_mm, away_mm):
    truth = ellipsoid(*axes_mm)
    evidence = np.where(truth, 1.0, -1.0).astype(np.float32)
    found = star_union(evidence, MIDDLE + np.array(away_mm) / SPACING, SPACING, 25.0)
    assert dice(found, truth) > 0.95
    assert found.sum() == pytest.approx(4 / 3 * np.pi * np.prod(axes_mm) / 1.35, rel=0.07)


def test_a_soft_core_and_a_gap_in_the_rim_are_inside():
    z, y, x = offsets_mm()
    radius = np.sqrt(z * z + y * y + x * x)
    rim = (radius <= 14) & (radius > 11) & ~((x > 0) & (np.abs(y) < 2.5))
    # Soft tissue counts little where rim lies around it, mineral in full.
    soft = np.where(radius < 14, -0.1, -0.4)
    evidence = np.where(rim, 1.0, soft).astype(np.float32)
    found = star_union(evidence, MIDDLE, SPACING, 25.0)
    assert dice(found, radius <= 14) > 0.93


def test_what_lies_behind_a_wide_gap_is_something_else():
    z, y, x = offsets_mm()
    ball = np.sqrt(z * z + y * y + x * x) <= 8
    wall = x > 16
    evidence = np.where(ball | wall, 1.0, -1.0).astype(np.float32)
    found = star_union(evidence, MIDDLE, SPACING, 28.0)
    assert dice(found, ball) > 0.93
    assert not found[wall].any()


def test_a_form_that_one_point_does_not_see_whole_is_put_together():
    z, y, x = offsets_mm()
    bent = (np.hypot(z, np.hypot(x, y) - 14) <= 4) & (y > -4)  # half a ring
    start = MIDDLE + np.array([0.0, 0.0, 14.0]) / SPACING
    evidence = np.where(bent, 1.0, -1.0).astype(np.float32)
    found = star_union(evidence, start, SPACING, 25.0)
    assert (found & bent).sum() > 0.8 * bent.sum()
    assert (found & ~bent).sum() < 0.15 * bent.sum()


def test_enclosed_is_every_direction_in_a_shell_and_fewer_than_half_outside_of_it():
    z, y, x = offsets_mm()
    radius = np.sqrt(z * z + y * y + x * x)
    part = enclosed_part((radius <= 14) & (radius > 11), SPACING, 20.0)
    assert part[tuple(MIDDLE.astype(int))] == 1.0
    assert part[(radius > 17)].max() < 0.5
    assert enclosed_part(np.zeros(SHAPE, bool), SPACING, 20.0).max() == 0.0
