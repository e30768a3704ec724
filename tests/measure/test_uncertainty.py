"""95 % intervals: against repeated scans of one body, textbook formulas and known truth."""

from types import SimpleNamespace

import numpy as np
import pytest
from phantoms import blurred, sphere
from scipy import stats

from hoimg.measure.background import local_background
from hoimg.measure.cortex import Cortex
from hoimg.measure.lesion import measure_lesion, plain_references
from hoimg.measure.uncertainty import Uncertainty
from hoimg.measure.view import view_of_arrays
from hoimg.settings import MaturitySettings, MeasureSettings

SPACING, FWHM = (1.0, 0.7, 0.7), (1.0, 1.1, 1.1)


def measured(hu, mask, spacing=SPACING, fwhm=FWHM, noise=8.0, bone=None):
    view = view_of_arrays(hu, spacing, mask, bone=bone)
    references = plain_references(spacing, fwhm_zyx_mm=fwhm, noise_hu=noise)
    return measure_lesion(view, MeasureSettings(), references).values


def holds(interval, value):
    return interval[0] <= value <= interval[1]


def bare(**kw):
    """Intervals that need no surface."""
    return Uncertainty(None, SPACING, FWHM, 8.0, None, MeasureSettings(), **kw)


@pytest.mark.parametrize(("hits", "of"), [(0, 8), (3, 8), (50, 100), (99, 100), (100, 100)])
def test_a_fraction_has_wilsons_interval(hits, of):
    expected = stats.binomtest(hits, of).proportion_ci(0.95, method="wilson")
    assert bare().fraction(hits / of, of) == pytest.approx((expected.low, expected.high), abs=2e-4)


@pytest.mark.parametrize("of", [25, 101, 400])
def test_a_medians_ranks_are_those_of_the_binomial_distribution(of):
    low, middle, high = bare().median_ranks(of)
    assert middle == 0.5
    # The rank-k reading lies below the true median when at least k of n tosses give heads.
    tosses = stats.binom(of, 0.5)
    inside = tosses.cdf(np.floor(high * of) - 1) - tosses.cdf(np.ceil(low * of) - 1)
    assert inside == pytest.approx(0.95, abs=0.05)


def test_the_ranks_of_a_single_reading_are_all_there_are():
    assert bare().median_ranks(0.3) == (0.0, 0.5, 1.0)


def test_a_difference_of_means_adds_both_errors():
    low, high = bare().difference(10.0, (30.0, 9.0), (40.0, 16.0))
    assert (low, high) == pytest.approx((10 - 1.96 * 200**0.5, 10 + 1.96 * 200**0.5))


@pytest.mark.parametrize("noise", [6.0, 20.0])
def test_scans_of_one_body_that_differ_in_noise_alone_lie_within_each_others_intervals(noise):
    """The spread of mass and mean over scans is what noise does; the interval must hold it."""
    masses, means, sums = [], [], []
    for seed in range(12):
        hu, mask, volume, _ = sphere(7.0, 500.0, SPACING, FWHM, noise=noise, seed=seed)
        said = measured(hu, mask, noise=noise)
        masses.append((said["mineral_mass_hu_mm3"], *said["mineral_mass_ci95_hu_mm3"]))
        means.append((said["mean_hu"], *said["mean_ci95_hu"]))
        sums.append(volume * 450.0)
    for found in (masses, means):
        value, low, high = np.array(found).T
        assert value.std() < np.mean(high - low) / 2 / 1.96 * 1.3
    value, low, high = np.array(masses).T
    assert np.mean((low <= sums) & (sums <= high)) >= 10 / 12
    assert np.median(high / value - 1) < 0.03  # and says something


def test_every_number_that_is_measured_lies_in_its_interval_and_no_other_has_one():
    hu, mask, _, _ = sphere(7.0, 900.0, SPACING, FWHM, shell=1.5)
    said = measured(hu, mask)
    names = [name for name in said if "_ci95" in name]
    assert len(names) == 10
    for name in names:
        value = said[name.replace("_ci95", "")]
        assert (said[name] is None) == (value is None), name
        assert value is None or holds(said[name], value), name
    # No cortex is in view; everything else of a shell is rated, its core too.
    assert [name for name in names if said[name] is None] == ["edge_ratio_ci95"]
    # Where nothing is known of the soft tissue round it, the mass and its interval are not given.
    alone = measured(np.full_like(hu, 900.0), mask)
    assert alone["mineral_mass_hu_mm3"] is None
    assert alone["mineral_mass_ci95_hu_mm3"] is None


def test_on_bone_the_boundary_is_known_less_the_larger_the_contact():
    hu, mask, _, centre = sphere(8.0, 600.0, SPACING, FWHM, noise=4.0)
    z, _, _ = np.indices(hu.shape)
    free = measured(hu, mask)
    spans = [np.log(free["volume_ci95_mm3"][1] / free["volume_mm3"])]
    for depth_mm in (7.0, 3.0):
        bone = (centre[0] - z) * SPACING[0] > depth_mm
        said = measured(np.where(bone, 900, hu).astype(np.float32), mask & ~bone, bone=bone)
        spans.append(np.log(said["volume_ci95_mm3"][1] / said["volume_mm3"]))
    assert spans[0] < 0.06
    assert 1.5 * spans[0] < spans[1] < spans[2]


@pytest.mark.parametrize(("sixteenths", "part"), [(0, 0.0), (1, 0.25), (4, 0.5), (16, 1.0)])
def test_what_bone_hides_goes_with_the_root_of_its_share(sixteenths, part):
    """``contact_sd_mm`` speaks of a surface all on bone; a sixteenth of it keeps a quarter."""
    contact = np.arange(32) < 2 * sixteenths
    mesh = SimpleNamespace(vertex_area=np.full(32, 0.7))
    surface = SimpleNamespace(mesh=mesh, contact=contact, seen=~contact)
    sure = Uncertainty(surface, SPACING, FWHM, 8.0, None, MeasureSettings(contact_sd_mm=2.0))
    assert sure.outline_sd_mm == pytest.approx(2.0 * part)


@pytest.mark.parametrize("cortex_mm", [0.8, 1.5, 3.5])
def test_a_body_without_a_margin_has_a_wide_edge_however_blurred_the_scan(cortex_mm):
    """It rises by 120 HU; a length in mm would call it sharp beside a wide cortex."""
    hu, mask, _, _ = sphere(8.0, 170.0, SPACING, FWHM, noise=4.0)
    references = plain_references(
        SPACING, fwhm_zyx_mm=FWHM, noise_hu=4.0, cortex=Cortex(1200.0, 1100.0, cortex_mm, 500)
    )
    view = view_of_arrays(hu, SPACING, mask)
    said = measure_lesion(view, MeasureSettings(), references).values
    assert said["edge_ratio"] == MeasureSettings().edge_wide_ratio
    assert said["edge_ratio"] > MaturitySettings().edge_fail


def test_patchy_soft_tissue_makes_the_background_less_known_than_noise_alone():
    rng = np.random.default_rng(4)
    _, mask, _, _ = sphere(6.0, 500.0, SPACING, FWHM)
    fine = rng.normal(45, 12, mask.shape)
    fat = np.indices(mask.shape)[2] < mask.shape[2] / 2
    errors = []
    for tissue in (fine, np.where(fat, fine - 145, fine)):
        found = local_background(view_of_arrays(tissue.astype(np.float32), SPACING, mask))
        assert found.measured
        errors.append(found.sd_hu)
    # Half fat, half muscle: eight octants that differ by 145 HU; noise alone is far below.
    assert errors[0] < 1.0
    assert errors[1] == pytest.approx(145 / 2 * (8 / 7) ** 0.5 / 8**0.5, rel=0.2)


@pytest.mark.parametrize(("radius", "off"), [(5.0, 0.19), (8.0, 0.14), (12.0, 0.08)])
def test_in_thick_slices_a_thin_rim_is_hardly_drawn_too_large(radius, off):
    """The blur along z is that of the slice, however sharp the edges in the plane are."""
    spacing, fwhm = (3.0, 0.7, 0.7), (3.0, 1.1, 1.1)

    def depth(z, y, x):
        return radius - np.sqrt(z * z + y * y + x * x)

    def rim(d):
        return np.where(d < 1.3, 1100.0, 60.0)

    hu, mask, volume, _ = blurred(depth, rim, spacing, fwhm, radius + 10)
    said = measured(hu, mask, spacing, fwhm)
    assert said["volume_mm3"] == pytest.approx(volume, rel=off)
