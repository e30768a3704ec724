"""Slices of 3 mm: the volume of a small body does not hang on how many of them the mask takes."""

import numpy as np
import pytest
from scipy import ndimage

from hoimg.measure import measure_lesion, plain_references, view_of_arrays
from hoimg.measure.partial import start_surface
from hoimg.measure.surface import mesh_of_mask
from hoimg.settings import MeasureSettings

FINE = 0.25
SPACING = (3.0, 0.5, 0.5)


def slices_of(depth_of, hu, offset):
    """(hu, part of each voxel that is filled): a body on slices of 3 mm, 0.9 mm sharp in plane."""
    z, y, x = ((np.arange(n) - n // 2) * FINE for n in (161, 97, 97))
    depth = depth_of(z[:, None, None] - offset, y[None, :, None], x[None, None, :])
    inside = np.clip(depth / FINE + 0.5, 0, 1).astype(np.float32)
    rows = (np.arange(-6, 7) * 3.0 / FINE).astype(int) + 80
    filled = ndimage.uniform_filter1d(inside, 12, axis=0)[rows]
    sharp = 0.9 / 2.3548 / FINE
    seen = 60 + (hu - 60) * ndimage.gaussian_filter(filled, (0, sharp, sharp))[:, ::2, ::2]
    grain = np.random.default_rng(2).normal(size=seen.shape)
    grain = ndimage.gaussian_filter(grain, (0, 0.6, 0.6))
    return (seen + 15 * grain / grain.std()).astype(np.float32), filled[:, ::2, ::2]


def cylinder(z, y, x):
    """5 mm long and wide: 98.2 mm3."""
    return np.minimum(2.5 - np.abs(z), 2.5 - np.hypot(y, x))


def volume(hu, mask):
    references = plain_references(SPACING, fwhm_zyx_mm=(3.0, 0.9, 0.9), noise_hu=15.0, slice_mm=3.0)
    view = view_of_arrays(hu, SPACING, mask)
    return measure_lesion(view, MeasureSettings(), references).values["volume_mm3"]


@pytest.mark.parametrize("hu", [330.0, 620.0, 1170.0])
@pytest.mark.parametrize("offset", [-1.5, -0.6, 0.0, 0.9])
def test_volume_of_a_cylinder_whatever_slices_are_drawn(hu, offset):
    seen, filled = slices_of(cylinder, hu, offset)
    for least in (0.2, 0.5, 0.8):
        mask = filled >= least
        assert 1 <= mask.any(axis=(1, 2)).sum() <= 3
        assert volume(seen, mask) == pytest.approx(np.pi * 5**3 / 4, rel=0.12)


@pytest.mark.parametrize("slices", [2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_at_the_end_of_the_scan_the_part_in_view_is_whole(slices, last):
    """A cylinder of 20 mm through the scan's end: whole slices of it are in view."""
    y, x = (np.arange(97) - 48.0 for _ in range(2))
    disc = np.hypot(y[:, None], x[None, :]) * 0.5 <= 10.0
    mask = np.zeros((9, 97, 97), bool)
    mask[-slices:] = disc
    mask = mask if last else mask[::-1]
    hu = np.where(mask, 500.0, 40.0)
    hu = ndimage.gaussian_filter(hu, (0, 0.8, 0.8)).astype(np.float32)
    assert volume(hu, mask) == pytest.approx(np.pi * 100.0 * 3.0 * slices, rel=0.06)


def test_floccules_keep_the_hull_that_was_drawn_around_them():
    def grains(z, y, x):
        places = [(-3, -3), (-3, 3), (3, -3), (3, 3), (0, 0)]
        return np.max([1.2 - np.sqrt(z * z + (y - a) ** 2 + (x - b) ** 2) for a, b in places], 0)

    seen, _ = slices_of(grains, 900.0, 0.0)
    z, y, x = np.indices(seen.shape)
    hull = (np.abs(z - 6) < 1) & (np.hypot(y - 24, x - 24) * 0.5 < 6)
    view = view_of_arrays(seen, SPACING, hull)
    drawn = mesh_of_mask(hull, SPACING).volume_mm3
    assert start_surface(view, 60.0).volume_mm3 == pytest.approx(drawn)


def test_a_lucent_core_is_filled_and_thin_slices_are_left_alone():
    def shell(z, y, x):
        r = np.sqrt(z * z + y * y + x * x)
        return np.minimum(4.0 - r, r - 2.5)

    seen, _ = slices_of(shell, 900.0, 0.0)
    z, y, x = np.indices(seen.shape)
    ball = np.sqrt(((z - 6) * 3) ** 2 + ((y - 24) ** 2 + (x - 24) ** 2) * 0.25) < 4.0
    view = view_of_arrays(seen, SPACING, ball)
    filled = start_surface(view, 60.0).volume_mm3
    assert filled > 0.8 * 4 / 3 * np.pi * 4.0**3
    thin = view_of_arrays(seen, (1.0, 0.5, 0.5), ball)
    drawn = mesh_of_mask(ball, (1.0, 0.5, 0.5)).volume_mm3
    assert start_surface(thin, 60.0).volume_mm3 == pytest.approx(drawn)
    assert start_surface(view, None).volume_mm3 == pytest.approx(
        mesh_of_mask(ball, SPACING).volume_mm3
    )
