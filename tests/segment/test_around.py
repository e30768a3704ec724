"""What lies round a candidate: fractions of the body, known from plane interfaces."""

import numpy as np
import pytest
from scipy.stats import norm

from hoimg.geometry import Grid
from hoimg.segment.around import COARSE_MM, WIDE_MM, surroundings
from hoimg.segment.candidates import Candidate
from hoimg.segment.working import Working

SPACING = (2.0, 1.5, 1.5)
SIZE = (80, 110, 110)


def scan(hu_of_x_mm):
    x_mm = (np.arange(SIZE[2]) + 0.5) * SPACING[2]
    hu = np.broadcast_to(hu_of_x_mm(x_mm), SIZE).astype(np.float32)
    return Working(hu, Grid(SIZE, SPACING, (0.0, 0.0, 0.0)), (1, 1, 1))


def at(x_mm):
    """A candidate of two voxels a side in the middle of the other axes."""
    k = round(x_mm / SPACING[2])
    box = (slice(30, 50), slice(45, 65), slice(max(k - 10, 0), k + 10))
    mask = np.zeros(tuple(s.stop - s.start for s in box), dtype=bool)
    mask[9:11, 9:11, k - box[2].start - 1 : k - box[2].start + 1] = True
    return Candidate(box, mask, attached=False)


def of(working, x_mm, body=None):
    body = np.ones(SIZE, dtype=bool) if body is None else body
    return surroundings(working, body).of(at(x_mm))


@pytest.mark.parametrize("away_mm", [0.0, 12.0, 24.0, -18.0])
def test_beside_a_plane_the_fractions_are_those_of_a_gaussian_window(away_mm):
    found = of(scan(lambda x: np.where(x < 84.0, 50.0, -800.0)), 84.0 - away_mm)
    # The coarse grid rounds the candidate's place by up to half a block.
    low, high = (norm.cdf((away_mm + s * COARSE_MM / 2) / WIDE_MM) for s in (-1.2, 1.2))
    assert low <= found.wide_muscle <= high
    assert found.wide_gas == pytest.approx(1 - found.wide_muscle, abs=0.01)
    assert found.wide_fat == found.wide_bone == 0.0


def test_what_is_no_body_does_not_count():
    working = scan(lambda x: np.where(x < 84.0, -100.0, -1000.0))
    body = np.broadcast_to(working.hu > -500, SIZE)
    found = of(working, 78.0, body)
    assert found.wide_fat == pytest.approx(1.0, abs=0.01)
    assert found.wide_gas == 0.0


def test_the_last_block_is_no_different():
    found = of(scan(lambda x: np.full_like(x, 120.0)), SIZE[2] * SPACING[2] - 4.0)
    assert found.wide_enhanced == pytest.approx(1.0, abs=1e-4)
    assert found.wide_muscle == 0.0
