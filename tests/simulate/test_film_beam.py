"""Spectrum, attenuation, scatter, blur and noise against plain physics."""

from __future__ import annotations

import numpy as np
import pytest

from hoimg.measure.coefficients import mass_attenuation as tabulated
from hoimg.simulate.film_beam import Beam, mass_attenuation, water_and_mineral
from hoimg.simulate.film_exposure import (
    Exposure,
    Paths,
    attenuation,
    blur_mm,
    broad_blur,
    detect,
    primary,
    scattered,
)
from hoimg.simulate.film_geometry import aim
from hoimg.simulate.film_process import process

KEV = np.array([30.0, 40.0, 45.0, 50.0, 60.0, 70.0, 80.0, 90.0])


@pytest.mark.parametrize("material", ["water", "hydroxyapatite"])
def test_tables_agree_with_those_of_the_measures(material):
    np.testing.assert_allclose(
        mass_attenuation(material, KEV), tabulated(material, KEV), rtol=0.012
    )


def test_spectrum_is_one_and_ends_at_the_voltage():
    for kvp in (50.0, 70.0, 90.0):
        kev, share = Beam(kvp).bins()
        assert share.sum() == pytest.approx(1.0)
        assert (share > 0).all()
        assert kev.max() < kvp
    with pytest.raises(ValueError, match="kVp"):
        Beam(120.0).bins()
    # Mean energy of filtered 70 kVp beams lies in the low forties.
    kev, share = Beam(70.0).bins()
    assert 42 < (kev * share).sum() < 50


def film(water, mineral=0.0, metal=None, kvp=70.0):
    one = np.full((1, 1), water, np.float32)
    return Beam(kvp).transmitted(one, np.full((1, 1), mineral, np.float32), metal)[0, 0]


def test_beer_lambert_within_each_bin():
    kev, share = Beam(70.0).bins()
    expected = (share * np.exp(-mass_attenuation("water", kev) * 12.0)).sum()
    assert film(120.0) == pytest.approx(expected, rel=1e-5)
    assert film(0.0) == pytest.approx(1.0, rel=1e-6)


def test_the_beam_hardens_and_mineral_shows_less_at_higher_voltage():
    first, second = (-np.log(film(w)) for w in (50.0, 200.0))
    assert second < 4 * first
    shown = [-np.log(film(150.0, 0.1, kvp=k) / film(150.0, kvp=k)) for k in (60.0, 75.0, 90.0)]
    assert shown[0] > shown[1] > shown[2] > 0


def test_one_centimetre_of_cortex_in_hu_and_in_mineral():
    # 1350 HU: 920 mg/cm3 of hydroxyapatite; the CT number that this mixture has at 70 keV.
    water, mineral = water_and_mineral(np.array([1350.0, 60.0, -100.0, -1000.0], np.float32))
    assert mineral[0] == pytest.approx(1.29 / 1.4, rel=1e-4)
    np.testing.assert_allclose(mineral[1:], 0)
    np.testing.assert_allclose(water[1:], [1.06, 0.9, 0.0], atol=1e-6)
    at = np.array([70.0])
    ratio = water[0] + mineral[0] * tabulated("hydroxyapatite", at) / tabulated("water", at)
    assert 1000 * (ratio[0] - 1) == pytest.approx(1350, rel=0.1)


def flat(shape, water, spacing=0.5):
    geometry = aim((0, 0, 0), spacing_mm=spacing, shape_yx=shape)
    paths = Paths(np.full(shape, water, np.float32), np.zeros(shape, np.float32))
    return geometry, paths


def test_scatter_has_the_stated_ratio_in_a_slab_and_none_in_air():
    exposure = Exposure(scatter=0.4)
    for water, ratio in ((150.0, 0.4), (50.0, 0.2), (0.0, 0.0)):
        geometry, paths = flat((200, 240), water)
        first = primary(paths, exposure)
        np.testing.assert_allclose(
            scattered(first, paths, geometry, exposure) / first, ratio, atol=0.002
        )


def test_noise_has_the_variance_of_the_quanta():
    exposure = Exposure(photons_per_mm2=4e5, scatter=0.0, detector_fwhm_mm=0.0, electronic=0.0)
    _, paths = flat((300, 300), 100.0)
    first = primary(paths, exposure)
    got = detect(first, np.zeros_like(first), exposure, 0.5, 0.0, noise_seed=3)
    wanted = np.sqrt(first[0, 0] / (4e5 * 0.25))
    assert got.std() == pytest.approx(wanted, rel=0.02)
    assert got.mean() == pytest.approx(first[0, 0], rel=1e-3)
    twice = detect(first, np.zeros_like(first), exposure, 0.5, 0.0, noise_seed=3)
    np.testing.assert_array_equal(got, twice)
    clean = detect(first, np.zeros_like(first), exposure, 0.5, 0.0)
    np.testing.assert_array_equal(clean, first)


def test_blurs_have_their_width():
    point = np.zeros((201, 201), np.float32)
    point[100, 100] = 1
    for blurred in (blur_mm(point, 6.0, 0.25), broad_blur(point, 6.0, 0.25)):
        line = blurred[100] / blurred[100].max()
        # Half maximum by interpolation.
        left = np.interp(0.5, line[:101], np.arange(101))
        right = np.interp(0.5, line[:99:-1], np.arange(200, 99, -1))
        assert (right - left) * 0.25 == pytest.approx(6.0, rel=0.03)
        assert blurred.sum() == pytest.approx(1.0, rel=0.01)


def test_what_the_collimator_covers_is_dark_to_the_detector():
    _, paths = flat((120, 160), 100.0)
    exposure = Exposure(field_yx=(20, 100, 30, 130), scatter=0.0)
    got = detect(primary(paths, exposure), np.zeros((120, 160), np.float32), exposure, 0.5, 0.0)
    assert got[5, 80] < 1e-3 * got[60, 80]
    assert attenuation(got)[5, 5] == pytest.approx(12.0, abs=1.5)
    # The edge lies between the last open and the first covered row.
    column = got[:, 80] / got[60, 80]
    assert np.interp(0.5, column[:40], np.arange(40)) == pytest.approx(19.5, abs=0.2)


@pytest.mark.parametrize("processing", ["linear", "log", "presentation", "curve"])
@pytest.mark.parametrize("monochrome", [1, 2])
@pytest.mark.parametrize("bits", [12, 14])
def test_stored_values_say_truly_which_way_they_go(processing, monochrome, bits):
    ramp = np.exp(-np.linspace(2.5, 8, 400, dtype=np.float32))[None].repeat(300, 0)
    made = process(ramp, 0.5, processing=processing, bits=bits, monochrome=monochrome)
    assert made.values.max() <= 2**bits - 1
    rising = int(made.values[150, 330]) > int(made.values[150, 60])
    assert rising == (monochrome == 2)
    assert made.white_is_high == (monochrome == 2)
    # 1: lower stored values mean less radiation.
    assert made.sign == (-1 if rising else 1)
    assert made.relationship == ("LIN" if processing == "linear" else "LOG")
    assert len(np.unique(made.values)) > 100


def test_processing_refuses_unknown_words():
    with pytest.raises(ValueError, match="sepia"):
        process(np.ones((9, 9), np.float32), 0.5, processing="sepia")
