"""Clefts between a lesion and bone, planted between two blocks with blur known from a formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from hoimg.measure import measure_lesion, plain_references, view_of_arrays
from hoimg.measure.second_bone import gap_to_second_bone
from hoimg.settings import MeasureSettings

SPACING = (0.8, 0.8, 0.8)
FWHM = 1.6
SIGMA = FWHM / 2.3548


def scene(cleft_mm, *, share=1.0, lesion_hu=700.0, meet=True):
    """A cushion (16 mm square, 8 mm thick) over a plate of bone, a slit between the two.

    The slit takes the part of the cushion's base with the lowest y; elsewhere the two join. Blur
    across it is exact: a slit's profile is a difference of two error functions.
    """
    z, y, x = np.meshgrid(*[np.arange(-20, 20.1, 0.8)] * 3, indexing="ij")
    inside = (np.abs(y) < 8) & (np.abs(x) < 8)

    def step(d):
        return 0.5 * (1 + erf(d / (SIGMA * np.sqrt(2))))

    slit = inside & (y < -8 + 16 * share)
    width = np.where(slit, cleft_mm, 0.0)
    plate = step(-z) * step(z + 8)
    side = step(8 - np.abs(y)) * step(8 - np.abs(x))
    cushion = step(z - width) * step(8 + width - z) * side
    hu = 50 + (lesion_hu - 50) * cushion + 850 * plate
    hu += np.random.default_rng(3).normal(0, 8.0, hu.shape)
    # Masks that meet half way, as a segmentation may leave them, or that keep to the slit's sides.
    lesion = inside & (z > (width / 2 if meet else width)) & (z < 8 + width)
    bone = (z <= (width / 2 if meet else 0.0)) & (z > -8)
    return hu.astype(np.float32), lesion, bone & ~lesion


def measured(hu, lesion, bone):
    view = view_of_arrays(hu, SPACING, lesion, bone=bone)
    references = plain_references(SPACING, fwhm_zyx_mm=(FWHM,) * 3)
    return measure_lesion(view, MeasureSettings(), references)


@pytest.mark.parametrize("meet", [True, False])
@pytest.mark.parametrize("width", [1.2, 1.6, 2.4, 3.2])
def test_a_cleft_is_seen_and_its_width_read(width, meet):
    found = measured(*scene(width, meet=meet))
    assert found.values["cleft_fraction"] > 0.85
    assert found.values["cleft_width_mm"] == pytest.approx(width, abs=0.2)


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_what_the_point_spread_hides_is_null_and_not_none(width):
    # Half of the contrast is lost at 0.57 x 1.6 mm = 0.9 mm.
    found = measured(*scene(width))
    assert found.values["cleft_fraction"] is None
    assert found.values["cleft_width_mm"] is None
    assert "cleft_below_resolution" in found.flags


def test_a_cleft_under_part_of_the_lesion_is_that_part():
    found = measured(*scene(2.4, share=0.5))
    assert found.values["cleft_fraction"] == pytest.approx(0.5, abs=0.15)


def test_a_faint_lesion_is_not_rated():
    found = measured(*scene(2.4, lesion_hu=180.0))
    assert found.values["cleft_fraction"] is None
    assert "cleft_unrated_faint" in found.flags


def test_a_lesion_away_from_bone_faces_none():
    found = measured(*scene(9.0, meet=False))
    assert found.values["cleft_fraction"] is None
    assert "cleft_no_bone_faced" in found.flags


def blocks(*spans):
    """Plates of bone across z, given by their x from and to, in voxels of 1 mm."""
    bone = np.zeros((40, 40, 100), bool)
    for a, b in spans:
        bone[5:35, 5:35, a:b] = True
    return lambda _margin: (bone, (0, 0, 0))


POINTS = np.array([[20.0, 20.0, float(x)] for x in range(30, 41)])


@pytest.mark.parametrize(
    ("spans", "gap"),
    [
        ([(10, 30), (52, 60)], 11.5),  # lies on the first, 40 to 51.5 is open
        ([(10, 20), (52, 60)], 11.5),  # lies on none: the nearest ends at 19.5, 10.5 away
        ([(10, 30), (41, 50), (60, 70)], 19.5),  # lies on two: the third
    ],
)
def test_the_second_bone_is_the_nearest_not_lain_on(spans, gap):
    found = gap_to_second_bone(POINTS, blocks(*spans), (1.0, 1.0, 1.0), 1.0)
    assert found.gap_mm == pytest.approx(gap)
    assert found.reason is None


@pytest.mark.parametrize("spans", [[], [(10, 30)], [(10, 30), (80, 90)]])
def test_no_second_bone_is_null_with_its_reason(spans):
    found = gap_to_second_bone(POINTS, blocks(*spans), (1.0, 1.0, 1.0), 1.0)
    assert (found.gap_mm, found.reason) == (None, "no_second_bone_near")
