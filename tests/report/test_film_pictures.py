"""Cut-outs of films: the whole outline is in view, with its surroundings."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from hoimg.image import Radiograph
from hoimg.report.film_pictures import MARGIN, part_of_film, whole_film
from hoimg.results import FilmImages

ROWS, COLUMNS = 200, 260


@pytest.mark.parametrize(("height", "width"), [(4, 6), (60, 60), (150, 20), (30, 190), (200, 260)])
@pytest.mark.parametrize("spacing_yx_mm", [None, (0.4, 0.2)])
def test_a_cut_out_shows_the_whole_outline_and_what_is_round_it(
    height: int, width: int, spacing_yx_mm: tuple[float, float] | None
) -> None:
    labels = np.zeros((ROWS, COLUMNS), np.uint16)
    top, left = (ROWS - height) // 2, (COLUMNS - width) // 2
    labels[top : top + height, left : left + width] = 3
    pixels = np.random.default_rng(1).normal(0, 1, labels.shape).astype(np.float32)
    source = "none" if spacing_yx_mm is None else "calibrated"
    film = Radiograph(pixels, spacing_yx_mm, source)
    picture = part_of_film(FilmImages("e", film, labels, np.zeros_like(labels)), 3)
    assert picture is not None
    aspect = 1.0 if spacing_yx_mm is None else 2.0
    [(label, path)] = picture.outlines
    points = np.array(re.findall(r"([-\d.]+) ([-\d.]+)", path), dtype=float)
    assert label == 3
    assert np.ptp(points, axis=0) == pytest.approx((width, height * aspect))
    around = MARGIN * max(height, width)
    shown = (picture.width, picture.height / aspect)
    for size, count, view in zip((width, height), (COLUMNS, ROWS), shown, strict=True):
        assert min(count, size + 2 * around) <= view + 1e-9
        assert view <= count


def test_what_attenuates_more_is_lighter_and_what_is_not_known_is_black() -> None:
    pixels = np.tile(np.linspace(-3, 5, COLUMNS, dtype=np.float32), (ROWS, 1))
    valid = np.ones(pixels.shape, bool)
    valid[150:] = False
    none = np.zeros(pixels.shape, np.uint16)
    uri = whole_film(FilmImages("e", Radiograph(pixels, None, "none", valid), none, none)).uri
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    grey = np.asarray(Image.open(io.BytesIO(data))).astype(float)
    assert grey.shape == pixels.shape
    steps = grey[20:130].reshape(110, 26, 10).mean(axis=(0, 2))
    assert (np.diff(steps) > 0).all()
    assert steps[0] < 15
    assert steps[-1] > 240
    assert grey[160:].max() < 10
