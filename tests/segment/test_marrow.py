"""Native bone by its marrow, against tubes of formulas: what is inside, how thick the cortex is."""

import numpy as np
import pytest
from body_phantoms import ball, limbs, paint, volume, with_shell

from hoimg.segment.basins import find_basins
from hoimg.segment.marrow import Marrow, native_marrow
from hoimg.segment.morphology import smooth_mm
from hoimg.segment.working import make_working
from hoimg.settings import SegmentSettings


def marrow_of(*parts, shells=None, **kw):
    hu = limbs(**kw).copy()
    for part in parts:
        part(hu)
    working = make_working(volume(hu), 1.5)
    basins = find_basins(working, SegmentSettings())
    dense = smooth_mm(working.hu, 0.7, working.spacing_zyx_mm) > 150
    none = np.zeros(dense.shape, bool)
    return native_marrow(basins, dense, none if shells is None else shells, working), dense


def on_shaft(hu):
    """A solid lump of half the cortex's density on the shaft at x = -70."""
    lump = np.minimum(ball((-70.0, -20.0, 30.0), 11.0), -(14.5 - _from_axis()))
    paint(hu, lump, 400.0)


def _from_axis():
    x = -143.0 + 2.0 * np.arange(144)[None, None, :]
    y = -103.0 + 2.0 * np.arange(104)[None, :, None]
    return np.hypot(x + 70, y) + 0 * np.zeros((48, 1, 1))


def test_the_marrow_of_shafts_is_inside_and_muscle_is_not():
    marrow, _ = marrow_of()
    middle = 15  # a slice through both shafts
    assert marrow.inside[middle, 51, 36]  # the axis at x = -70
    assert marrow.inside[middle, 51, 106]
    assert not marrow.inside[middle, 20, 72]
    # Up to the ridge of a cortex 4 mm thick, at 12 mm from the axis.
    filled = marrow.inside[middle] & (_from_axis()[0] < 20)
    assert np.sqrt(filled.sum() * 4.0 / np.pi) == pytest.approx(12.0, abs=1.0)


def test_a_bare_shaft_has_nothing_beyond_its_cortex_and_a_lump_on_it_has():
    bare, dense = marrow_of()
    shaft = dense & (_from_axis() < 18) & (np.arange(48)[:, None, None] < 25)
    assert not (bare.beyond(2.0) & shaft).any()
    marrow, dense = marrow_of(on_shaft)
    lump = ball((-70.0, -20.0, 30.0), 10.0) > 0
    lump &= _from_axis() > 18.0
    assert (marrow.beyond(2.0) & dense & lump).sum() >= 0.9 * (dense & lump).sum()
    # And the shaft below it stays native: the cut follows the shaft's surface.
    below = dense & (_from_axis() < 14.0) & (np.arange(48)[:, None, None] < 25)
    assert not (marrow.beyond(2.0) & below).any()


def test_far_from_any_marrow_nothing_is_known():
    marrow, _ = marrow_of(sides=(-1,))
    assert np.isnan(marrow.cortex_mm[:, :, -5:]).all()
    assert not marrow.known()[:, :, -10:].any()
    assert np.isnan(
        marrow.out_mm(np.nonzero(np.ones((3, 3, 144), bool))).reshape(9, 144)[:, -10:]
    ).all()
    assert not marrow.beyond(0.0)[:, :, -10:].any()
    assert not marrow.within(0.0)[:, :, -10:].any()


def test_the_core_of_a_closed_lesion_is_no_native_marrow():
    shell = ball((-22.0, -42.0, 40.0), 11.0) > 0
    marrow, _ = marrow_of(with_shell, shells=shell)
    assert not (marrow.inside & shell).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 4, 6), (3, 5, 7), (4, 3, 2)])
def test_the_cortex_of_a_block_is_that_of_each_of_its_voxels(shape):
    rng = np.random.default_rng(4)
    # Whole numbers, so that many voxels lie at a limit, and a block that nothing is known of.
    distance = rng.integers(0, 6, shape).astype(np.float32)
    cortex = rng.integers(0, 4, [(n + 1) // 2 for n in shape]).astype(np.float32)
    cortex[-1, -1, -1] = np.nan
    marrow = Marrow(distance == 0, distance, cortex)
    out = marrow.out_mm(np.nonzero(np.ones(shape, bool))).reshape(shape)
    beyond, within, known = marrow.beyond(1.0), marrow.within(1.0), marrow.known()
    for z, y, x in np.ndindex(*shape):
        own = cortex[z // 2, y // 2, x // 2]
        far = distance[z, y, x] - own
        assert known[z, y, x] == (own == own)
        assert beyond[z, y, x] == (far > 1.0)
        assert within[z, y, x] == (far <= 1.0)
        assert out[z, y, x] == far or (np.isnan(out[z, y, x]) and np.isnan(far))
    bare = Marrow.bare(distance == 0, distance)
    np.testing.assert_array_equal(bare.beyond(0.0), distance > 0)
    assert bare.known().all()
