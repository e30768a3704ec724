"""An earlier exam adds suspects: what had no bone under it then, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from limb_patient import GRID, limb, points

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.segment import segment_exam
from hoimg.segment.body import body_mask
from hoimg.segment.prior import Prior, _rigid, fresh_bone, make_prior_scan, prior_skeleton
from hoimg.segment.symmetry import _affine
from hoimg.segment.working import Working, make_working
from hoimg.settings import SegmentSettings

SETTINGS = SegmentSettings()
SHIFT = (4.0, -3.0, 5.0)


def grown(radius_mm: float, *, seed: int, shift=(0.0, 0.0, 0.0)) -> tuple[CTVolume, np.ndarray]:
    """The limb with a hollow ball of bone on its shaft, and the ball outside of the shaft."""
    volume = limb(None, seed=seed, shift=shift)
    x, y, z = points(shift)
    lean = 0.15 * (z - 139.0)
    ball = np.sqrt((x + 5 - lean) ** 2 + (y + 5) ** 2 + (z - 142) ** 2)
    shaft = np.hypot(x - 12 - lean, y + 5) < 13
    hu = volume.hu.copy()
    inside = (ball < radius_mm) & ~shaft
    hu[inside] = 800
    hu[inside & (ball < radius_mm - 3)] = 150
    return CTVolume(hu, GRID), inside


@pytest.fixture(scope="module")
def before() -> CTVolume:
    return limb(None, seed=1)


def laid(scan: CTVolume, volume: CTVolume) -> tuple[Prior, Working]:
    working = make_working(volume, 1.5)
    body = body_mask(working.hu, working.spacing_zyx_mm)
    none = np.zeros_like(body)
    return prior_skeleton(make_prior_scan(scan), working, body, none, SETTINGS), working


def test_the_small_copy_lies_where_the_exam_lies_and_is_small(before):
    scan = make_prior_scan(before)
    assert scan.hu.dtype == np.int16
    assert scan.hu.max() <= 1500
    first = scan.grid.to_lps_mm([0, 0, 0])
    assert np.all(np.abs(first - before.grid.to_lps_mm([0, 0, 0])) <= 2.5)
    assert scan.hu.nbytes <= before.hu.nbytes


def test_the_same_bone_in_another_position_is_laid_on_itself(before):
    prior, working = laid(before, limb(None, seed=2, shift=SHIFT))
    assert prior.why is None
    assert prior.agreement > 0.97
    dense = working.hu > 150
    assert not fresh_bone(prior, dense, working, SETTINGS).any()


def test_bone_that_is_new_on_the_shaft_is_fresh_and_the_shaft_is_not(before):
    volume, lesion = grown(9.0, seed=3, shift=SHIFT)
    prior, working = laid(before, volume)
    assert prior.why is None
    fresh = fresh_bone(prior, working.hu > 150, working, SETTINGS)
    x, y, z = points(SHIFT)
    away = np.hypot(x - 12 - 0.15 * (z - 139.0), y + 5) - 13
    assert fresh[(working.hu > 250) & lesion & (away > 4.5)].mean() > 0.85
    assert fresh[~lesion].sum() < 0.15 * fresh.sum()


def test_what_was_there_before_is_not_fresh():
    volume, _ = grown(9.0, seed=4, shift=SHIFT)
    earlier, _ = grown(9.0, seed=5)
    prior, working = laid(earlier, volume)
    assert not fresh_bone(prior, working.hu > 150, working, SETTINGS).any()


def test_another_anatomy_fails_its_own_check(before):
    prior, working = laid(limb(None, forearm=True, seed=6), before)
    assert prior.why is not None
    assert not fresh_bone(prior, working.hu > 150, working, SETTINGS).any()
    said = prior.provided(SETTINGS)
    assert not said.usable


def test_an_exam_without_bone_is_not_usable(before):
    nothing = CTVolume(np.where(before.hu > 100, 55, before.hu).astype(np.int16), GRID)
    prior, _ = laid(nothing, before)
    assert prior.why is not None


# On made-up distances: what counts as fresh, at the limits.

SHAPE = (30, 40, 40)
PLAIN = Grid(SHAPE, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def plain(dense: np.ndarray) -> Working:
    return Working(np.where(dense, 800, 50).astype(np.float32), PLAIN, (1, 1, 1))


def made(distance: np.ndarray, seen: np.ndarray | None = None, why: str | None = None) -> Prior:
    known = np.ones(SHAPE, bool) if seen is None else seen
    return Prior(distance.astype(np.float32), known, 1.0, "then", why)


def shaft_with_lump() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shaft, lump, and the distance to the shaft."""
    x = np.indices(SHAPE)[2] * 2.0
    shaft = x <= 20
    lump = np.zeros(SHAPE, bool)
    lump[10:20, 15:25, 11:21] = True
    return shaft, lump, np.maximum(x - 20, 0.0)


@pytest.mark.parametrize(("tolerance", "first"), [(2.5, 4.0), (4.0, 6.0), (5.9, 6.0)])
def test_fresh_begins_beyond_the_tolerance(tolerance, first):
    shaft, lump, distance = shaft_with_lump()
    settings = SETTINGS.model_copy(update={"prior_tolerance_mm": tolerance})
    fresh = fresh_bone(made(distance), shaft | lump, plain(shaft | lump), settings)
    expected = lump & (distance >= first)
    assert not (fresh & ~expected).any()
    assert (expected & ~fresh).sum() <= 8  # the corners, which opening rounds


def test_outside_of_the_earlier_field_of_view_nothing_is_fresh():
    shaft, lump, distance = shaft_with_lump()
    seen = np.ones(SHAPE, bool)
    seen[:15] = False
    fresh = fresh_bone(made(distance, seen), shaft | lump, plain(shaft | lump), SETTINGS)
    assert not fresh[:15].any()
    assert fresh[15:20].any()


def test_where_the_bone_round_about_does_not_lie_on_earlier_bone_nothing_is_fresh():
    shaft, lump, distance = shaft_with_lump()
    off = np.where(shaft, 2.2, distance)  # within the tolerance, but not well
    assert not fresh_bone(made(off), shaft | lump, plain(shaft | lump), SETTINGS).any()


def test_a_skin_and_a_crumb_are_not_fresh():
    shaft, _, distance = shaft_with_lump()
    skin = np.zeros(SHAPE, bool)
    skin[:, :, 13] = True
    crumb = np.zeros(SHAPE, bool)
    crumb[5:7, 5:7, 30:32] = True
    dense = shaft | skin | crumb
    assert not fresh_bone(made(distance), dense, plain(dense), SETTINGS).any()


def test_an_unusable_prior_adds_nothing():
    shaft, lump, distance = shaft_with_lump()
    prior = made(distance, why="it could not be laid on this exam")
    assert not fresh_bone(prior, shaft | lump, plain(shaft | lump), SETTINGS).any()


def test_that_bone_was_there_before_is_no_proof_that_it_is_native():
    _, _, distance = shaft_with_lump()
    said = made(distance).provided(SETTINGS)
    assert said.confidence.max() == pytest.approx(0.5)
    assert said.confidence[distance > 5].max() == 0.0


# The stage as a whole.


def test_the_earlier_exam_finds_what_shape_alone_misses_and_removes_nothing(before):
    volume, lesion = grown(9.0, seed=7, shift=SHIFT)
    found = segment_exam(volume, prior=make_prior_scan(before, "exam A"))
    called = found.lesions.array > 0
    assert 2 * (called & lesion).sum() / (called.sum() + lesion.sum()) > 0.7
    assert "exam A (its bone explains" in found.provider
    again = segment_exam(volume, prior=make_prior_scan(before, "exam A"))
    np.testing.assert_array_equal(again.lesions.array, found.lesions.array)


def test_an_earlier_exam_that_does_not_fit_is_told():
    volume = limb(9.0, seed=8)
    other = make_prior_scan(limb(None, forearm=True, seed=9), "exam A")
    alone, beside = segment_exam(volume), segment_exam(volume, prior=other)
    np.testing.assert_array_equal(alone.lesions.array, beside.lesions.array)
    assert "prior_not_used" in [f.code for f in beside.findings]
    assert "exam A" not in beside.provider


def test_registrations_are_the_same_with_one_thread_or_two():
    """Of the earlier exam and of the other side; sums in another order would differ in their last
    digits."""
    rng = np.random.default_rng(0)
    fixed = ndimage.gaussian_filter(rng.normal(size=(60, 80, 80)), 3) * 3000
    moving = ndimage.gaussian_filter(np.roll(fixed, (2, 3, -2), (0, 1, 2)), 0.5)
    images = [sitk.GetImageFromArray(a.astype(np.float32)) for a in (fixed, moving)]
    usual = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    try:
        for threads in (1, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            found.append([way(*images).GetParameters() for way in (_rigid, _affine)])
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(usual)
    assert found[0] == found[1]
