"""Small pictures out of reports: the right place, the outline, and nothing from a broken page."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from synthetic_report import CENTRES_LPS, RADII, patient

from hoimg.cohort.thumbnails import LARGEST_PX, SIDE_PX, thumbnail
from hoimg.report.page import page_html


def png(size: tuple[int, int] = (4, 4)) -> str:
    stream = io.BytesIO()
    Image.new("L", size, 90).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def page(image: str, view: str = "0 0 40 40", uri: str = "data:image/png;base64,") -> str:
    return (
        f'<section class="lesion"><svg class="picture" viewBox="{view}">'
        f'<image x="0" y="0" width="40" height="40" href="{uri}{image}"/></svg></section>'
    )


def pixels(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def test_a_report_gives_its_first_lesion_with_its_outline(tmp_path):
    path = tmp_path / "report.html"
    result = patient()
    text = page_html(result.report, result.images)
    path.write_text(text)
    seen = pixels(thumbnail(path))
    assert seen.shape == (SIDE_PX, SIDE_PX, 3)
    side = float(re.search(r'class="picture" viewBox="0 0 ([0-9.]+)', text)[1])
    # Lesion 1 is a ball; the picture of its newest exam lies about its middle.
    yellow = (seen[..., 0] - seen[..., 2] > 50).nonzero()
    radius = RADII[1][3] * SIDE_PX / side
    away = np.hypot(*(np.array(yellow) - (SIDE_PX - 1) / 2))
    assert len(away) > 2 * np.pi * radius * 0.8
    assert np.median(away) == pytest.approx(radius, abs=2.5)
    assert CENTRES_LPS[1]  # of another place than the scan's middle


def test_what_is_no_picture_gives_none(tmp_path):
    path = tmp_path / "report.html"
    assert thumbnail(path) is None
    good = png()
    for text in (
        "",
        "<html></html>",
        page("not base64!"),
        page(base64.b64encode(b"no picture").decode()),
        page(good[: len(good) // 2 // 4 * 4]),
        page(good, view="0 0 0 40"),
        page(good, uri="https://example.org/"),
        page(png((LARGEST_PX + 1, 1))),
        page(good).replace("</svg>", ""),
    ):
        path.write_text(text)
        assert thumbnail(path) is None, text[:80]
    path.write_text(page(good))
    assert pixels(thumbnail(path)).shape == (SIDE_PX, SIDE_PX, 3)


def test_the_shape_of_a_film_is_kept(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(png(), view="0 0 40 20"))
    assert pixels(thumbnail(path)).shape == (SIDE_PX // 2, SIDE_PX, 3)


def test_what_the_page_shows_of_the_lesion_s_picture_is_taken_and_no_picture_before_it(tmp_path):
    halves, stream = Image.new("L", (80, 40), 0), io.BytesIO()
    halves.paste(200, (40, 0, 80, 40))
    halves.save(stream, "PNG")
    # Twice as wide as the view, and its left half lies outside.
    shown = page(base64.b64encode(stream.getvalue()).decode()).replace(
        'x="0" y="0" width="40"', 'x="-40" y="0" width="80"'
    )
    before = page(png()).replace("lesion", "overview")
    path = tmp_path / "report.html"
    path.write_text(before + shown)
    seen = pixels(thumbnail(path))
    assert seen.shape == (SIDE_PX, SIDE_PX, 3)
    assert seen[:, 8:].min() > 190  # at the edge the halves are mixed
