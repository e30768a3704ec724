"""Measures on films against shapes and edges that can be written down."""

from __future__ import annotations

import math

import numpy as np
import pytest
from film_phantoms import SPACING, bar, coordinates, film, shell
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hoimg.film_shapes import FilmOutline
from hoimg.image import Radiograph
from hoimg.measure.film import measure_on_film, wilson
from hoimg.settings.film import FilmSettings

SETTINGS = FilmSettings()


def given_outline(inside, background, contrast=50.0, **more):
    """An outline as if it had been found."""
    return FilmOutline(
        inside, inside, np.asarray(background, np.float32), contrast, None, (), 0.05, **more
    )


def plain(inside, spacing=(SPACING, SPACING), source="calibrated"):
    """A film that is 1 inside and 0 outside."""
    return Radiograph(inside.astype(np.float32), spacing, source)


@settings(max_examples=25, deadline=None)
@given(
    a=st.floats(6, 18),
    b=st.floats(4, 6),
    turn=st.floats(0, math.pi),
    aspect=st.floats(0.5, 2.0),
)
def test_area_and_length_of_an_ellipse_turned_on_pixels_of_any_form(a, b, turn, aspect):
    spacing = (0.2, 0.2 * aspect)
    n = np.array([round(44 / s) for s in spacing])
    y, x = np.indices(n) * np.array(spacing)[:, None, None]
    y, x = y - 22, x - 22
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    inside = (u / a) ** 2 + (v / b) ** 2 <= 1
    film_ = plain(inside, spacing)
    made = measure_on_film(film_, given_outline(inside, np.zeros(n)), SETTINGS)
    assert made.area_mm2 == pytest.approx(math.pi * a * b, rel=0.02)
    assert made.length_mm == pytest.approx(2 * a, abs=0.5)
    assert made.area_px2 == inside.sum()
    assert made.area_ci95_mm2[0] <= math.pi * a * b <= made.area_ci95_mm2[1]
    assert made.length_ci95_mm[0] <= 2 * a <= made.length_ci95_mm[1]


def disc(radius=8.0, size=(50.0, 50.0)):
    y, x = coordinates(size)
    return y, x, np.hypot(y, x) < radius


def test_without_a_spacing_there_are_pixels_and_no_millimetres():
    _, _, inside = disc()
    made = measure_on_film(
        plain(inside, None, "none"), given_outline(inside, 0.0 * inside), SETTINGS
    )
    assert (made.area_mm2, made.length_mm, made.area_ci95_mm2) == (None, None, None)
    assert made.area_px2 == inside.sum()
    assert made.length_px == pytest.approx(16.0 / SPACING, abs=2)
    assert "no_spacing" in made.flags


@pytest.mark.filterwarnings("error")
def test_a_lesion_along_the_films_edge_has_a_size_and_no_edge_to_read():
    inside = np.zeros((200, 200), bool)
    inside[:4] = True
    made = measure_on_film(plain(inside), given_outline(inside, 0.0 * inside), SETTINGS)
    assert made.area_mm2 == pytest.approx(4 * 200 * SPACING**2)
    assert (made.corticated_fraction, made.density_index) == (None, None)
    assert made.flags == ("edge_not_readable", "no_own_cortex")


def test_a_length_at_the_detector_says_so_and_has_no_error_of_depth():
    _, _, inside = disc()
    found = {
        source: measure_on_film(
            plain(inside, source=source), given_outline(inside, 0.0 * inside), SETTINGS
        )
        for source in ("detector_uncorrected", "detector_corrected")
    }
    at, corrected = found["detector_uncorrected"], found["detector_corrected"]
    assert "detector_uncorrected" in at.flags
    assert "detector_uncorrected" not in corrected.flags
    assert at.area_mm2 == corrected.area_mm2
    wide = [m.length_ci95_mm[1] - m.length_ci95_mm[0] for m in (at, corrected)]
    assert wide[1] > wide[0]


def test_other_outlines_that_fit_widen_the_intervals():
    _, _, inside = disc()
    narrow = measure_on_film(plain(inside), given_outline(inside, 0.0 * inside), SETTINGS)
    wide = measure_on_film(
        plain(inside),
        given_outline(inside, 0.0 * inside, area_span=(0.6, 1.3), length_span=(0.8, 1.1)),
        SETTINGS,
    )
    assert wide.area_ci95_px2[0] < 0.6 * wide.area_px2 < narrow.area_ci95_px2[0]
    assert wide.area_ci95_px2[1] > 1.3 * wide.area_px2 > narrow.area_ci95_px2[1]


def test_poor_edges_widen_the_intervals():
    _, _, inside = disc()
    widths = []
    for cost in (0.05, 0.25):
        outline = FilmOutline(inside, inside, np.zeros(inside.shape, np.float32), 50.0, None,
                              (), cost)  # fmt: skip
        low, high = measure_on_film(plain(inside), outline, SETTINGS).area_ci95_px2
        widths.append((high - low) * SPACING**2)
    # 0.3 mm all round a circle of 8 mm; 1.2 mm more in quadrature for a cost of 0.2.
    usual = 2 * 1.96 * 0.3 * 2 * math.pi * 8
    assert widths[0] == pytest.approx(usual, rel=0.05)
    assert widths[1] == pytest.approx(usual * math.hypot(0.3, 1.2) / 0.3, rel=0.05)


def test_neither_skin_nor_what_lies_in_air_is_cortex():
    y, x = coordinates((90.0, 90.0))
    inside = np.hypot(y, x) < 9
    # A round limb, steepest at its skin, and a tube beside it.
    values = inside + 10.0 * np.sqrt(np.clip(1 - (x / 28) ** 2, 0, 1)) + bar(x, 36.0, 6.0)
    one = film(values, noise=0.002, slope=0.0)
    made = measure_on_film(one, given_outline(inside, np.full(y.shape, 6000.0)), SETTINGS)
    assert "no_own_cortex" in made.flags


def test_an_outline_that_was_not_found_gives_nulls_and_its_reason():
    _, _, inside = disc()
    none = FilmOutline(inside, None, None, 0.4, "film_contrast_below_noise")
    made = measure_on_film(plain(inside), none, SETTINGS)
    assert made.flags == ("film_contrast_below_noise",)
    assert (made.area_px2, made.corticated_fraction) == (None, None)


def test_a_shell_is_corticated_a_plate_is_not_and_half_of_each_is_half():
    y, x, inside = disc(10.0)
    ring = shell(y, x, 10.0, 1.5)
    plate = inside.astype(float)
    found = []
    for values in (ring, plate, np.where(y < 0, ring, plate)):
        one = film(values, noise=0.005, slope=0.0)
        back = np.full(y.shape, 1000.0)
        made = measure_on_film(one, given_outline(inside, back, 100.0), SETTINGS)
        found.append(made.corticated_fraction)
        low, high = made.corticated_fraction_ci95
        assert low <= made.corticated_fraction <= high
    assert found[0] > 0.95
    assert found[1] < 0.1
    assert abs(found[2] - 0.5) < 0.15


def with_bars(sigma_mm):
    """A disc of half the bars' contrast, its edge blurred by ``sigma_mm`` and theirs by 0.4 mm."""
    y, x = coordinates((90.0, 90.0))
    inside = np.hypot(y, x) < 9
    lesion = ndimage.gaussian_filter(inside.astype(float), sigma_mm / SPACING)
    bars = sum(bar(x, side, 7.0) for side in (-28.0, 28.0))
    bars = ndimage.gaussian_filter(bars, 0.4 / SPACING)
    return inside, film(lesion * 0.5 + bars, noise=0.002, blur_mm=0.01, slope=0.0)


def test_the_edge_ratio_follows_the_blur_of_the_lesions_edge():
    ratios, widths = [], []
    for sigma in (0.3, 0.6, 0.9):
        inside, one = with_bars(sigma)
        made = measure_on_film(one, given_outline(inside, np.full(inside.shape, 1000.0)), SETTINGS)
        ratios.append(made.edge_ratio)
        widths.append(2.563 * sigma)
        assert made.edge_ratio_ci95[0] < made.edge_ratio < made.edge_ratio_ci95[1]
    # 10-90 % of a blurred step are 2.563 standard deviations.
    assert ratios[1] / ratios[0] == pytest.approx(2.0, rel=0.15)
    assert ratios[2] / ratios[0] == pytest.approx(3.0, rel=0.2)


def test_the_density_index_is_ordinal_and_free_of_gain_and_offset():
    inside, one = with_bars(0.3)
    first = measure_on_film(one, given_outline(inside, np.full(inside.shape, 1000.0)), SETTINGS)
    bent = Radiograph(one.pixels * 3 - 700, one.spacing_yx_mm, "calibrated")
    second = measure_on_film(bent, given_outline(inside, np.full(inside.shape, 2300.0)), SETTINGS)
    assert second.density_index == pytest.approx(first.density_index, rel=1e-3)
    double = Radiograph(
        one.pixels + 250 * inside.astype(np.float32), one.spacing_yx_mm, "calibrated"
    )
    third = measure_on_film(double, given_outline(inside, np.full(inside.shape, 1000.0)), SETTINGS)
    assert third.density_index == pytest.approx(2 * first.density_index, rel=0.1)


def test_no_bone_in_view_leaves_the_index_and_the_ratio_unrated():
    y, _, inside = disc()
    one = film(inside.astype(float), noise=0.002, slope=0.0)
    made = measure_on_film(one, given_outline(inside, np.full(y.shape, 1000.0)), SETTINGS)
    assert (made.density_index, made.edge_ratio) == (None, None)
    assert "no_own_cortex" in made.flags


def test_wilsons_interval_is_the_published_one():
    # 8 of 10: 0.490 to 0.943 (Wilson 1927; e.g. statsmodels).
    low, high = wilson(0.8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0.0, 20)[0] == 0.0
    assert wilson(1.0, 20)[1] == pytest.approx(1.0)
