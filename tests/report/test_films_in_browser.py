"""Films on the page in Chromium: enlarged, moved, outlines taken away, on paper, without script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from browsing import Watched, chromium
from film_objects import film_dataset
from film_reports import BOX, SIDE, ball, made
from PIL import Image

from hoimg.image import Radiograph
from hoimg.report.film_pictures import MOST_WHOLE_PX2, whole_film
from hoimg.results import FilmImages

pytestmark = pytest.mark.xdist_group("browser")

STAGE = "#films .film-stage"
OUTLINE_RGB = (255, 210, 62)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as start:
        started = start()
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of one patient, a region on the first."""
    folder: Path = tmp_path_factory.mktemp("films")
    film_dataset(folder / "in" / "a", ball(), sop="1.2.3.1")
    film_dataset(folder / "in" / "b", ball(30.0), sop="1.2.3.2", day="20240601", view="LL")
    made(folder, "--roi", f"1.2.3.1:{BOX}")
    return folder


@pytest.fixture
def shown(browser: Any, folder: Path) -> Iterator[Watched]:
    watched = Watched(browser, folder / "out" / "report.html")
    yield watched
    assert watched.faults == []
    assert all(url.startswith(("file:", "data:")) for url in watched.requests)
    watched.page.close()


def view(watched: Watched) -> tuple[float, float, float]:
    """Zoom, left and top of what is seen of the first film, columns."""
    text = watched.page.locator(STAGE).first.get_attribute("data-view")
    zoom, x, y = map(float, text.split(","))
    return zoom, x, y


def yellow(watched: Watched) -> np.ndarray:
    """Where the picture of the first film has the colour of outlines, ``[row, column]``."""
    # The mouse and the focus leave no mark on the picture itself, the ring is outside of it.
    data = watched.page.locator(f"{STAGE} svg").first.screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    return np.asarray((np.abs(pixels - OUTLINE_RGB) <= 45).all(axis=-1))


def lesion(folder: Path) -> np.ndarray:
    """Left, right, top and bottom of the outline, columns."""
    first, _ = sorted((folder / "out" / "exams").glob("*/lesions.nii.gz"))
    xs, ys, _ = np.nonzero(np.asarray(nib.load(first).dataobj))
    return np.array([xs.min(), xs.max() + 1, ys.min(), ys.max() + 1], dtype=float)


def check_outline(watched: Watched, folder: Path) -> None:
    """The outline is seen where zoom and place put it, to two pixels of the screen."""
    zoom, x, y = view(watched)
    hit = yellow(watched)
    scale = hit.shape[1] / (SIDE / zoom)
    hit[:, :2] = False
    wanted = (lesion(folder) - (x, x, y, y)) * scale
    rows, columns = np.nonzero(hit)
    # The lesion's name is white; the outline is wholly in view.
    found = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
    assert np.abs(np.array(found) - wanted).max() < 0.5 * scale + 2.5, (found, wanted, scale)


def test_keys_enlarge_and_move_with_the_outline_in_its_place(shown: Watched, folder: Path) -> None:
    stage = shown.page.locator(STAGE).first
    assert view(shown) == (1, 0, 0)
    check_outline(shown, folder)
    stage.focus()
    stage.press("+")
    zoom, x, y = view(shown)
    assert zoom == 1.5
    assert (x, y) == pytest.approx((SIDE / 6, SIDE / 6), abs=0.01)
    check_outline(shown, folder)
    stage.press("ArrowLeft")
    stage.press("ArrowUp")
    assert view(shown) == pytest.approx((1.5, x - 30, y - 30), abs=0.01)
    check_outline(shown, folder)
    for _ in range(9):
        stage.press("ArrowLeft")
    assert view(shown)[1] == 0
    for _ in range(20):
        stage.press("+")
    assert view(shown)[0] == 16
    stage.press("0")
    assert view(shown) == (1, 0, 0)


def test_the_arrows_scroll_the_page_while_the_film_is_whole(shown: Watched) -> None:
    shown.page.locator(STAGE).first.focus()
    before = shown.page.evaluate("scrollY")
    shown.page.keyboard.press("ArrowDown")
    shown.page.wait_for_function("before => scrollY > before", arg=before)
    assert view(shown) == (1, 0, 0)


def test_the_wheel_enlarges_about_the_mouse_once_the_film_was_chosen(
    shown: Watched, folder: Path
) -> None:
    stage = shown.page.locator(STAGE).first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    at = (box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"])
    shown.page.mouse.move(*at)
    before = shown.page.evaluate("scrollY")
    shown.page.mouse.wheel(0, -40)
    shown.page.wait_for_function("before => scrollY < before", arg=before)
    assert view(shown) == (1, 0, 0)
    box = stage.bounding_box()
    at = (box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"])
    shown.page.mouse.click(*at)
    shown.page.mouse.wheel(0, -40)
    shown.page.wait_for_function(
        f"!document.querySelector('{STAGE}').dataset.view.startsWith('1.000')"
    )
    zoom, x, y = view(shown)
    assert zoom == 1.25
    # What was under the mouse still is.
    assert x + 0.4 * SIDE / zoom == pytest.approx(0.4 * SIDE, abs=0.5)
    assert y + 0.55 * SIDE / zoom == pytest.approx(0.55 * SIDE, abs=0.5)
    check_outline(shown, folder)
    shown.page.mouse.down()
    shown.page.mouse.move(at[0] + 40, at[1] + 25, steps=4)
    shown.page.mouse.up()
    columns = SIDE / zoom / box["width"]
    assert view(shown)[1:] == pytest.approx((x - 40 * columns, y - 25 * columns), abs=0.1)
    check_outline(shown, folder)


def test_outlines_and_region_can_be_taken_away(shown: Watched) -> None:
    bar = shown.page.locator("#films .film-bar").first
    assert yellow(shown).sum() > 200
    bar.locator("[data-show=lesions]").uncheck()
    assert yellow(shown).sum() == 0
    assert shown.page.locator(f"{STAGE} .drawn-regions").first.is_visible()
    bar.locator("[data-show=regions]").uncheck()
    assert not shown.page.locator(f"{STAGE} .drawn-regions").first.is_visible()
    bar.locator("[data-show=lesions]").check()
    assert yellow(shown).sum() > 200
    # The second film has nothing drawn on it.
    other = shown.page.locator("#films .film-bar").nth(1)
    assert other.locator("input").count() == 0


def test_buttons_do_as_the_keys_and_the_scale_bar_keeps_its_meaning(shown: Watched) -> None:
    bar = shown.page.locator("#films .film-bar").first
    for _ in range(4):
        bar.get_by_role("button", name="Larger").click()
    zoom, x, y = view(shown)
    assert zoom == pytest.approx(1.5**4, abs=0.001)
    rule = shown.page.locator(f"{STAGE} .rule").first
    millimetres = float(rule.locator("text").text_content().removesuffix(" mm"))
    drawn = rule.locator("path").get_attribute("d")
    left, rest = drawn.removeprefix("M").split(" ")
    bottom, long = rest.split("h")
    # 0.2 mm a column
    assert float(long) * 0.2 == pytest.approx(millimetres)
    assert millimetres <= SIDE / zoom * 0.2 / 4
    assert x < float(left) < float(left) + float(long) < x + SIDE / zoom
    assert y < float(bottom) < y + SIDE / zoom
    bar.get_by_role("button", name="Smaller").click()
    assert view(shown)[0] == pytest.approx(1.5**3, abs=0.001)
    bar.get_by_role("button", name="Whole film").click()
    assert view(shown) == (1, 0, 0)


def test_on_paper_the_film_is_whole_with_all_that_is_drawn_on_it(
    shown: Watched, tmp_path: Path
) -> None:
    pypdf = pytest.importorskip("pypdf")
    bar = shown.page.locator("#films .film-bar").first
    bar.locator("[data-show=lesions]").uncheck()
    bar.get_by_role("button", name="Larger").click()
    before = view(shown)
    shown.page.evaluate(
        "window.addEventListener('beforeprint', () => { const s = document.querySelector("
        f"'{STAGE} svg'); window.printed = [s.getAttribute('viewBox'),"
        " s.querySelectorAll('[hidden]').length]; })"
    )
    shown.page.pdf(path=str(tmp_path / "page.pdf"), prefer_css_page_size=True)
    assert shown.page.evaluate("window.printed") == [f"0 0 {SIDE} {SIDE}", 0]
    text = "".join(p.extract_text() for p in pypdf.PdfReader(tmp_path / "page.pdf").pages)
    assert "Whole film" not in text
    assert "Choose a film" not in text
    assert view(shown) == before
    assert yellow(shown).sum() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_no_side_scrolling_and_no_fault_for_axe(browser: Any, folder: Path, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    watched = Watched(browser, folder / "out" / "report.html", width=width)
    watched.page.locator("#films .film-bar button").first.click()
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(watched.page).response
    told = [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]
    assert told == []
    assert len(found["passes"]) > 20
    watched.page.close()


def test_without_script_the_films_stand_as_they_are(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "out" / "report.html").as_uri())
    assert page.locator(f"{STAGE} svg").first.is_visible()
    assert not page.locator("#films .film-bar").first.is_visible()
    assert not page.locator("#films .with-script").is_visible()
    context.close()


def test_many_films_are_smaller_each() -> None:
    none = np.zeros((1700, 900), np.uint16)
    images = FilmImages("e", Radiograph(none.astype(np.float32), None, "none"), none, none)
    sizes = []
    for count in (1, 2, 3, 4, 5, 7, 8, 50):
        data = base64.b64decode(whole_film(images, count).uri.partition(",")[2])
        sizes.append(max(Image.open(io.BytesIO(data)).size))
    assert sizes == [1600, 1600, 1200, 1200, 900, 900, 640, 640]
    assert 7 * 900**2 <= MOST_WHOLE_PX2 < 8 * 900**2
