"""Suggestions on drawn films: what one side has is found, what both have is not."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from hoimg.image import Radiograph
from hoimg.segment.film_even import even_film, made_even
from hoimg.segment.film_mirror import mirrored_film
from hoimg.segment.film_suggest import suggest_on_film
from hoimg.settings.film import FilmSettings

SETTINGS = FilmSettings()
SHAPE = (150, 190)
STEP = 2.0


def body(lesions=(), *, seed=5):
    """Two thighs with a shaft each; lesions as (row, column, radius) in pixels of 2 mm."""
    rows, columns = np.indices(SHAPE)
    values = np.zeros(SHAPE)
    for middle in (50, 140):
        away = np.abs(columns - middle)
        values += np.sqrt(np.clip(1 - (away / 40) ** 2, 0, 1)) * 2
        values += 0.8 * (away < 8) * (rows > 10)
        values += 0.4 * (np.hypot(rows - 110, away) < 16)
    for y, x, r in lesions:
        values += 0.5 * (np.hypot(rows - y, columns - x) < r)
    values += np.random.default_rng(seed).normal(0, 0.01, SHAPE)
    return Radiograph(values.astype(np.float32), (STEP, STEP), "calibrated")


def test_a_lesion_on_one_side_is_suggested():
    said = suggest_on_film(body([(60, 70, 7)]), SETTINGS)
    assert said.reason is None
    assert said.agreement > 0.8
    assert said.found[0].center_yx == pytest.approx((60, 70), abs=3)
    assert said.found[0].region_yx[60, 70]
    assert not said.found[0].region_yx[60, 120]


def test_the_same_on_both_sides_is_not():
    said = suggest_on_film(body([(60, 70, 7), (60, 119, 7)]), SETTINGS)
    assert not any(s.region_yx[60, 70] or s.region_yx[60, 119] for s in said.found)


def test_places_are_offered_by_their_edge_size_and_number():
    # A lesion of 616 mm2 and one of 28 mm2, less than the 40 that are asked for.
    film = body([(60, 72, 7), (30, 72, 1.5)])
    [place] = suggest_on_film(film, SETTINGS).found
    assert place.region_yx[60, 72]
    two = suggest_on_film(film, FilmSettings(suggest_min_area_mm2=20.0)).found
    assert {(bool(p.region_yx[60, 72]), bool(p.region_yx[30, 72])) for p in two} == {
        (True, False),
        (False, True),
    }
    assert two[0].score > two[1].score
    [best] = suggest_on_film(film, FilmSettings(suggest_min_area_mm2=20.0, suggest_most=1)).found
    assert best.score == two[0].score
    high = FilmSettings(suggest_min_score=(two[0].score + 1) / 2)
    assert suggest_on_film(film, high).found == ()


def test_metal_is_not_suggested():
    film = body([(60, 70, 7)])
    pixels = film.pixels.copy()
    pixels[55:66, 64:76] = 30.0
    said = suggest_on_film(Radiograph(pixels, film.spacing_yx_mm, "calibrated"), SETTINGS)
    assert said.reason is None
    assert not any(s.region_yx[60, 70] for s in said.found)


def bent(pixels):
    """One limb bowed by 8 mm in the middle, not at its ends."""
    pixels = pixels.copy()
    for row in range(SHAPE[0]):
        pixels[row, 95:] = np.roll(pixels[row, 95:], round(4 * np.sin(np.pi * row / SHAPE[0])))
    return pixels


def aside(pixels):
    """Both limbs 14 mm to one side."""
    return np.pad(pixels, ((0, 0), (0, 14)), mode="edge")


@pytest.mark.parametrize("moved", [bent, aside])
def test_a_limb_that_lies_otherwise_is_laid_on_the_other(moved):
    film = Radiograph(moved(body().pixels), (STEP, STEP), "calibrated")
    small = even_film(film, STEP, True)
    even = made_even(small.ranks, small.body, 25.0 / STEP)
    both = small.body & small.body[:, ::-1]
    assert np.corrcoef(even[both], even[:, ::-1][both])[0, 1] < 0.92
    assert mirrored_film(even, small.body, STEP).agreement > 0.975


def test_the_mirror_image_is_the_same_with_one_thread_or_two():
    small = even_film(body([(60, 70, 7)]), STEP, True)
    even = made_even(small.ranks, small.body, 25.0 / STEP)
    usual = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    laid = []
    try:
        for threads in (1, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            laid.append(mirrored_film(even, small.body, STEP))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(usual)
    assert np.array_equal(laid[0].values, laid[1].values)
    assert laid[0].agreement == laid[1].agreement


def test_one_limb_has_no_other_side():
    film = body()
    pixels = film.pixels.copy()
    pixels[:, 95:] = np.random.default_rng(2).normal(1.0, 0.5, (150, 95))
    said = suggest_on_film(Radiograph(pixels, film.spacing_yx_mm, "calibrated"), SETTINGS)
    assert said.found == ()
    assert said.reason == "sides_unlike"


def test_where_nobody_is_there_is_no_mirror_image():
    assert mirrored_film(np.ones((80, 80), np.float32), np.zeros((80, 80), bool), STEP) is None
