"""The working grid keeps places; the body is kept and the table is not; metal and its streaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.segment.body import body_mask, metal_mask
from hoimg.segment.working import block_maxima, make_working

TURNED = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def test_blocks_are_averaged_and_what_is_left_over_is_left_out():
    hu = np.arange(3 * 5 * 7, dtype=np.int16).reshape(3, 5, 7)
    working = make_working(CTVolume.from_array(hu, (1.5, 0.75, 0.75)), 1.5)
    assert working.factors == (1, 2, 2)
    assert working.hu.shape == (3, 2, 3)
    for z, y, x in np.ndindex(3, 2, 3):
        block = hu[z, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert working.hu[z, y, x] == pytest.approx(block.mean())
    assert working.spacing_zyx_mm == (1.5, 1.5, 1.5)
    assert working.voxel_mm3 == pytest.approx(1.5**3)


@given(st.integers(0, 999), st.tuples(*[st.sampled_from([0.3, 0.5, 0.8, 1.5])] * 3))
@settings(max_examples=25, deadline=None)
def test_every_block_has_its_mean_and_its_largest_voxel(seed, spacing):
    hu = np.random.default_rng(seed).integers(-1000, 3000, (9, 11, 13)).astype(np.int16)
    volume = CTVolume.from_array(hu, spacing)
    working = make_working(volume, 1.5)
    largest = block_maxima(volume, working)
    for place in np.ndindex(working.hu.shape):
        at = zip(place, working.factors, strict=True)
        block = hu[tuple(slice(k * f, (k + 1) * f) for k, f in at)]
        assert working.hu[place] == pytest.approx(block.mean(), abs=1e-3)
        assert largest[place] == block.max()


def test_padding_is_raised_to_the_floor_before_averaging():
    hu = np.full((2, 2, 2), 100, np.int16)
    hu[0, 0, 0] = -3024
    working = make_working(CTVolume.from_array(hu, (1.0, 1.0, 1.0)), 2.0)
    assert working.hu.item() == pytest.approx((7 * 100 - 1024) / 8)


@pytest.mark.parametrize(("spacing", "factor"), [(1.01, 1), (0.99, 2), (0.7, 2), (0.5, 3)])
def test_the_factor_is_the_nearest_whole_number(spacing, factor):
    hu = np.zeros((12, 12, 12), np.int16)
    assert make_working(CTVolume.from_array(hu, (spacing,) * 3), 1.5).factors == (factor,) * 3


def test_a_volume_thinner_than_a_block_is_one_block():
    hu = np.zeros((2, 9, 9), np.int16)
    assert make_working(CTVolume.from_array(hu, (0.3, 0.5, 0.5)), 1.5).hu.shape == (1, 3, 3)


@given(
    st.tuples(*[st.sampled_from([0.4, 0.6, 0.8, 1.5, 3.0])] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_a_working_voxel_lies_at_the_mean_place_of_its_block(spacing, origin, turned):
    direction = TURNED if turned else ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))
    grid = Grid((7, 9, 11), spacing, origin, direction)
    working = make_working(CTVolume(np.zeros((7, 9, 11), np.int16), grid), 1.5)
    index = np.array(working.hu.shape) - 1
    block = [range(i * f, (i + 1) * f) for i, f in zip(index, working.factors, strict=True)]
    places = [grid.to_lps_mm((z, y, x)) for z in block[0] for y in block[1] for x in block[2]]
    np.testing.assert_allclose(working.grid.to_lps_mm(index), np.mean(places, axis=0), atol=1e-6)


def test_the_way_back_repeats_voxels_and_covers_the_left_over_ones():
    hu = np.zeros((3, 5, 7), np.int16)
    working = make_working(CTVolume.from_array(hu, (1.5, 0.75, 0.75)), 1.5)
    array = np.arange(18).reshape(3, 2, 3)
    native = working.to_native(array, (3, 5, 7))
    assert native.shape == (3, 5, 7)
    for z, y, x in np.ndindex(3, 5, 7):
        assert native[z, y, x] == array[z, min(y // 2, 1), min(x // 2, 2)]
    box = working.native_box((slice(0, 2), slice(1, 3), slice(2, 4)), (3, 5, 7))
    assert box == (slice(0, 2), slice(2, 5), slice(4, 7))


def scanner_view(table=100.0, thickness=8.0, arm=True, step=3.0):
    """A body ellipse 260 x 180 mm, an arm 60 mm wide beside it, a table below; true volumes."""
    y = (np.arange(110) * step - 150)[None, :, None]
    x = (np.arange(150) * step - 225)[None, None, :]
    z = np.zeros((10, 1, 1))
    body = (x / 130) ** 2 + (y / 90) ** 2 + z <= 1
    limb = (x - 190) ** 2 + y**2 + z <= 30**2
    hu = np.full(body.shape, -1000.0)
    hu[body | (limb & arm)] = 50
    hu[(np.abs(x) < 50) & (np.abs(y) < 30) & (z == 0)] = -850  # lungs or bowel gas are inside
    hu[((y > 100) & (y <= 100 + thickness) & (np.abs(x) < 200)) & (z == 0)] = table
    hu += np.random.default_rng(1).normal(0, 10, hu.shape)
    return hu.astype(np.float32), (step,) * 3, body, limb


@pytest.mark.parametrize(("table", "thickness"), [(100.0, 8.0), (400.0, 30.0)])
def test_body_and_arm_are_kept_and_the_table_is_not(table, thickness):
    hu, spacing, body, limb = scanner_view(table, thickness)
    mask = body_mask(hu, spacing)
    for part, volume in ((body, np.pi * 130 * 90 * 30), (limb, np.pi * 30**2 * 30)):
        near = ndimage.binary_dilation(part, iterations=2)
        assert (mask & near).sum() * 27.0 == pytest.approx(volume, rel=0.04)
    assert not (mask & ~ndimage.binary_dilation(body | limb, iterations=2)).any()
    assert mask[5, 50, 75]  # gas within is filled


def test_the_body_at_a_finer_spacing_has_the_same_volume():
    hu, _, body, _ = scanner_view(arm=False)
    fine = hu.repeat(2, axis=1).repeat(2, axis=2)
    mask = body_mask(fine, (3.0, 1.5, 1.5))
    assert mask.sum() * 6.75 == pytest.approx(body.sum() * 27.0, rel=0.03)


def test_air_holds_no_body():
    assert not body_mask(np.full((4, 40, 40), -1000, np.float32), (3.0, 3.0, 3.0)).any()


def test_bulky_metal_spoils_8_mm_and_a_wire_4_mm():
    z, y, x = np.ogrid[0:40, 0:60, 0:100]
    hu = np.full((40, 60, 100), 50, np.float32)
    ball = (z - 20) ** 2 + (y - 30) ** 2 + (x - 25) ** 2 <= 7**2  # 1.4 mL
    wire = (np.abs(z - 20) <= 10) & ((y - 30) ** 2 + (x - 75) ** 2 <= 1)
    hu[ball | wire] = 2000  # the solid is blurred: only its middle passes the metal threshold
    peak = np.zeros(hu.shape, bool)
    peak[20, 30, [25, 75]] = True
    metal, streaks = metal_mask(hu, peak, np.ones(hu.shape, bool), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(metal, ball | wire)
    from_ball = ndimage.distance_transform_edt(~ball)
    from_wire = ndimage.distance_transform_edt(~wire)
    expected = ((from_ball <= 8) | (from_wire <= 4)) & ~metal
    np.testing.assert_array_equal(streaks, expected)


def test_metal_away_from_the_body_does_not_count():
    hu = np.full((9, 30, 30), 3000, np.float32)
    peak = np.zeros(hu.shape, bool)
    peak[4, 4, 4] = True
    body = np.zeros(hu.shape, bool)
    for gap, counts in ((5, True), (6, False)):
        body[:] = False
        body[4, 4, 4 + gap] = True
        metal, _ = metal_mask(hu, peak, body, (1.0, 1.0, 1.0))
        assert metal.any() == counts
