"""The blur round an outline is told from bone: analytic bodies, blurred by a known Gaussian."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from hoimg.geometry import bounding_box
from hoimg.segment.blur_rind import REACH_MM, boxes_of, with_own_blur

SIZE = (30, 64, 64)
SPACING = (1.5, 1.0, 1.0)


def axes():
    z, y, x = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(SIZE, SPACING, strict=True)), indexing="ij"
    )
    return z, y, x


def blurred(hu, fwhm_mm=2.0):
    return ndi.gaussian_filter(hu, [fwhm_mm / 2.3548 / s for s in SPACING]).astype(np.float32)


def body(centre_mm, radius_mm):
    z, y, x = axes()
    return np.hypot(np.hypot(z - centre_mm[0], y - centre_mm[1]), x - centre_mm[2]) <= radius_mm


def grown(outline, hu):
    box = bounding_box(outline)
    return with_own_blur(outline, hu, SPACING, [] if box is None else [box])


def shaft(x_mm, outer_mm, cortex_mm):
    """A tube along z through the middle of y: its cortex and its whole."""
    _, y, x = axes()
    away = np.hypot(y - 32.0, x - x_mm)
    return (away <= outer_mm) & (away > outer_mm - cortex_mm), away <= outer_mm


@settings(max_examples=25, deadline=None)
@given(
    radius=st.floats(4.0, 9.0),
    lesion_hu=st.floats(300.0, 1300.0),
    off=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    fwhm=st.floats(1.0, 2.2),
)
def test_a_body_alone_takes_all_of_its_dense_blur(radius, lesion_hu, off, fwhm):
    """Nothing above 130 HU is left beside an even ball in muscle; muscle far off stays."""
    ball = body(np.add((22.0, 32.0, 32.0), off), radius)
    hu = blurred(np.where(ball, lesion_hu, 50.0), fwhm)
    outline = hu > (lesion_hu + 50.0) / 2
    own = grown(outline, hu)
    assert (own >= outline).all()
    assert not ((hu > 130) & ~own).any()
    far = ndi.distance_transform_edt(~outline, SPACING) > max(REACH_MM, 2 * max(SPACING)) * np.sqrt(
        3
    )
    assert not (own & far).any()


@pytest.mark.parametrize("gap_mm", [3.0, 4.0, 6.0])
def test_cortex_beside_a_lesion_stays_bone(gap_mm):
    cortex, _ = shaft(20.0, 10.0, 3.0)
    ball = body((22.0, 32.0, 30.0 + gap_mm + 7.0), 7.0)
    hu = blurred(np.where(cortex, 1300.0, np.where(ball, 700.0, 50.0)))
    own = grown((hu > 375) & ball, hu)
    assert not (own & cortex).any()
    rind = (hu > 130) & ~own & (ndi.distance_transform_edt(~cortex, SPACING) > 2.5)
    assert not rind.any()


@pytest.mark.parametrize("lesion_hu", [250.0, 600.0, 1000.0])
def test_cortex_that_a_lesion_lies_on_stays_bone(lesion_hu):
    """However dense the lesion: no more than the outermost voxel of the cortex may go to it."""
    cortex, whole = shaft(20.0, 10.0, 3.0)
    ball = body((22.0, 32.0, 35.0), 7.0) & ~whole
    hu = blurred(np.where(cortex, 1300.0, np.where(ball, lesion_hu, 50.0)))
    own = grown(ball, hu)
    assert not (own & cortex).any()


def test_no_outline_gives_none():
    hu = np.full(SIZE, 50.0, np.float32)
    assert not grown(np.zeros(SIZE, bool), hu).any()


def test_what_comes_in_is_not_written_to():
    ball = body((22.0, 32.0, 32.0), 6.0)
    hu = blurred(np.where(ball, 800.0, 50.0))
    before = ball.copy()
    grown(ball, hu)
    assert np.array_equal(ball, before)


@pytest.mark.parametrize("gap_mm", [0.5, 3.0, 20.0])
def test_lesions_take_their_blur_together_as_each_would_alone(gap_mm):
    """Each is looked at in its own box, into which the other one's blur reaches or not."""
    one, other = body((22.0, 32.0, 14.0), 6.0), body((22.0, 32.0, 26.0 + gap_mm), 6.0)
    hu = blurred(np.where(one | other, 800.0, 50.0))
    labels = (one + 2 * other).astype(np.uint16)
    together = with_own_blur(labels > 0, hu, SPACING, boxes_of(labels))
    assert np.array_equal(together, grown(labels > 0, hu))
