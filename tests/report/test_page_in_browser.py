"""The page as a reader has it: in Chromium, hostile, on paper, on a phone, without 3D."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from browsing import Watched, chromium, of_colour
from pydantic import BaseModel
from scipy import ndimage
from synthetic_report import CENTRES_LPS, RADII, exam_ids, patient

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.report.page import page_html
from hoimg.results import ExamImages, Link, Links, PatientResult

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = (
    '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=2">\'"><svg/onload='
    "window.pwned=3> javascript:window.pwned=4 http://evil.example/x =cmd|'/C calc'!A0 {{7*7}} "
    "<!-- \u202eright to left\u202c &lt;b&gt; \u2028 " + "N" * 10_000
)
KEYS = {"exam_id", "from_exam", "to_exam", "lateral_exam", "schema_version", "config_sha256"}


def moved(images: ExamImages, matrix: np.ndarray) -> ExamImages:
    """The same voxels, the patient lying elsewhere in the scanner: LPS points moved rigidly."""
    old = images.volume.grid
    grid = Grid(
        old.size_zyx,
        old.spacing_zyx_mm,
        tuple(matrix[:3, :3] @ old.origin_lps_mm + matrix[:3, 3]),
        tuple(map(tuple, matrix[:3, :3] @ np.array(old.direction))),
    )
    return ExamImages(
        images.exam_id,
        CTVolume(images.volume.hu, grid),
        Mask(images.lesions.array, grid),
        Mask(images.excluded.array, grid),
    )


def a_motion() -> np.ndarray:
    """A turn of 25 degrees about the long axis and 10 about the left one, and a shift."""
    a, b = np.deg2rad(25), np.deg2rad(10)
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_l = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_l @ about_s
    matrix[:3, 3] = (18.0, -9.0, 31.0)
    return matrix


def linked() -> PatientResult:
    """Three lesions; at exam 2 the patient lay otherwise, exams 0 and 1 were not registered."""
    result = patient()
    first, second, third, last = exam_ids()
    images = {**result.images, third: moved(result.images[third], a_motion())}
    shift = np.eye(4)
    to = {
        first: Link(None, None, "bones_do_not_overlap"),
        second: Link(shift, "centres", "bones_do_not_overlap"),
        third: Link(a_motion(), "registration"),
    }
    links = {lesion.tracking_uid: Links(last, to) for lesion in result.report.lesions}
    return PatientResult(result.report, images, result.settings_toml, links=links)


@pytest.fixture(scope="module")
def start():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def browser(start):
    started = start()
    yield started
    started.close()


def written(folder: Path, result: PatientResult) -> Path:
    file = folder / "report.html"
    file.write_text(
        page_html(result.report, result.images, result.settings_toml, links=result.links),
        encoding="utf-8",
        newline="\n",
    )
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("page"), linked())


@pytest.fixture
def shown(browser, file):
    watched = Watched(browser, file)
    watched.painted()
    yield watched
    assert watched.faults == []
    assert all(url.startswith(("file:", "data:")) for url in watched.requests)
    watched.page.close()


def lesion_data(file: Path, index: int) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    found = re.search(r'id="viewer-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])["lesions"][index]


def expected_disc(
    lesion: dict[str, Any], label: int, radius: float, side: int, z_mm: float
) -> tuple[float, float, float]:
    """Column, row and radius in pixels of a sphere's outline on the axial picture.

    Made from the phantom's millimetres: the patient's right is on the left, the front on top.
    """
    x, y, z = CENTRES_LPS[label]
    scale = side / (max(lesion["size"]) * lesion["step"])
    margins = [(side - n * lesion["step"] * scale) / 2 for n in lesion["size"][1:]]
    column = margins[1] + (x - lesion["origin"][0] + lesion["step"] / 2) * scale
    row = margins[0] + (y - lesion["origin"][1] + lesion["step"] / 2) * scale
    return column, row, np.sqrt(max(0.0, radius**2 - (z_mm - z) ** 2)) * scale


def extent(hit: np.ndarray, axis: int) -> tuple[float, float]:
    where = np.flatnonzero(hit.any(axis=axis))
    return float(where[0]), float(where[-1]) + 1


def z_of(watched: Watched, lesion: dict[str, Any]) -> float:
    cursor = watched.page.locator("#viewer-root").get_attribute("data-cursor").split(",")
    return lesion["origin"][2] + lesion["step"] * int(cursor[0])


def check_disc(watched, lesion, label, radius, colour, beside=0):
    """The outline's four outermost points are those of the sphere, within a voxel and a half."""
    pixels = watched.canvas("axial", beside)
    side = len(pixels)
    scale = side / (max(lesion["size"]) * lesion["step"])
    column, row, reach = expected_disc(lesion, label, radius, side, z_of(watched, lesion))
    hit = of_colour(pixels, colour)
    # The name beside the outline has its colour too.
    hit[:, int(column + reach + 2.2 * scale) :] = False
    left, right = extent(hit, 0)
    top, bottom = extent(hit, 1)
    found = np.array([left, right, top, bottom])
    wanted = np.array([column - reach, column + reach, row - reach, row + reach])
    assert np.abs(found - wanted).max() < 1.5 * 1.6 * scale, (found, wanted, scale)


def test_the_outline_lies_where_the_lesion_is_and_scrolls(shown, file):
    lesion = lesion_data(file, 0)
    shown.control("cross").uncheck()
    assert shown.page.locator("#viewer-root").get_attribute("data-lesion-id") == "L1"
    check_disc(shown, lesion, 1, RADII[1][3], "mature")
    slider = shown.page.locator("[data-plane=axial] input")
    before = shown.canvas("axial")
    slider.focus()
    for _ in range(int(6 / lesion["step"])):
        shown.painted(by=lambda: slider.press("ArrowUp"))
    assert np.abs(shown.canvas("axial") - before).max() > 60
    check_disc(shown, lesion, 1, RADII[1][3], "mature")
    shown.painted(by=lambda: slider.press("PageDown"))
    shown.painted(by=lambda: slider.press("Home"))
    assert not of_colour(shown.canvas("axial"), "mature").any()
    assert slider.get_attribute("aria-valuetext").startswith("slice 1 of ")


@pytest.mark.parametrize("exam", [1, 2])
def test_left_back_and_head_are_shown_where_radiologists_expect_them(browser, tmp_path, exam):
    """Three dense balls beside the lesion, of an oblique exam and of one scanned feet first."""
    result = patient((1,))
    exam_id = exam_ids()[exam]
    images = result.images[exam_id]
    grid = images.volume.grid
    index = np.stack(np.meshgrid(*map(np.arange, grid.size_zyx), indexing="ij"), -1)
    points = grid.to_lps_mm(index.reshape(-1, 3)).reshape(*grid.size_zyx, 3)
    hu = np.full(grid.size_zyx, 40, np.int16)
    ways = {"left": (17.0, 0.0, 0.0), "back": (0.0, 14.0, 0.0), "head": (0.0, 0.0, 20.0)}
    for way in ways.values():
        hu[np.linalg.norm(points - np.add(CENTRES_LPS[1], way), axis=-1) < 4] = 2000
    # A lesion longer than wide, so that its slices are no squares.
    long = (np.abs(points - CENTRES_LPS[1]) < (6, 6, 24)).all(axis=-1)
    labels = Mask(long.astype(np.uint16), grid)
    made = ExamImages(exam_id, CTVolume(hu, grid), labels, images.excluded)
    report = result.report.model_copy(deep=True)
    report.lesions[0].maturity.exam_id = exam_id
    shown = PatientResult(report, {exam_id: made}, "")
    watched = Watched(browser, written(tmp_path, shown))
    watched.painted()
    for box in ("cross", "lesions"):
        watched.control(box).uncheck()
    lesion = lesion_data(tmp_path / "report.html", 0)
    expected = {  # millimetres to the right and down
        "axial": [(17.0, 0.0), (0.0, 14.0)],
        "coronal": [(17.0, 0.0), (0.0, -20.0)],
        "sagittal": [(14.0, 0.0), (0.0, -20.0)],
    }
    for plane, wanted in expected.items():
        bright = watched.canvas(plane)[..., 0] > 200
        scale = len(bright) / (max(lesion["size"]) * lesion["step"])
        edge = int(8 * scale)  # letters and the bar
        bright[:edge] = bright[-edge:] = bright[:, :edge] = bright[:, -edge:] = False
        parts, count = ndimage.label(bright)
        middles = ndimage.center_of_mass(bright, parts, range(1, count + 1))
        found = sorted(((x, y) for y, x in middles), reverse=True)
        # Two balls tell the scale of both axes and their signs; the lesion is where they cross.
        assert len(found) == 2, (plane, found)
        (across, y), (x, down) = found
        assert across - x == pytest.approx(wanted[0][0] * scale, abs=1.6 * scale)
        assert down - y == pytest.approx(wanted[1][1] * scale, abs=1.6 * scale)
        # A tap on a ball puts the cross into it; a tap back on the lesion's middle ends there.
        canvas = watched.page.locator(f"[data-plane={plane}] figure:first-child canvas")
        canvas.scroll_into_view_if_needed()
        frame = canvas.bounding_box()
        for (right, below), dense in (((across, y), True), ((x, down), True), ((x, y), False)):
            watched.painted(
                by=lambda a=right, b=below, f=frame: watched.page.mouse.click(
                    f["x"] + a, f["y"] + b
                )
            )
            told = watched.control("at").inner_text()
            assert re.findall(r"(\d+) HU", told) == ["2010" if dense else "39"], told
    watched.page.close()


def test_another_lesion_can_be_chosen_by_list_and_from_its_section(shown, file):
    shown.control("cross").uncheck()
    shown.painted(by=lambda: shown.control("lesion").select_option("1"))
    check_disc(shown, lesion_data(file, 1), 2, RADII[2][3], "immature")
    shown.control("lesions").uncheck()
    assert not of_colour(shown.canvas("axial"), "immature", within=20).any()
    button = shown.page.locator("[data-lesion-id=L1] [data-show-lesion]")
    shown.painted(by=button.click)
    assert shown.page.locator("#viewer-root").get_attribute("data-lesion-id") == "L1"


def test_two_dates_move_together_by_the_registration(shown, file):
    """Exam 2 was turned by 25 and 10 degrees and moved by 37 mm; both spheres have 10 mm."""
    lesion = lesion_data(file, 0)
    assert RADII[1][2] == RADII[1][3] == 10
    shown.control("cross").uncheck()
    shown.painted(by=lambda: shown.control("beside").select_option("2"))
    assert shown.control("planes").input_value() == "axial"
    slider = shown.page.locator("[data-plane=axial] input")
    for steps in (0, 2, 2):
        slider.focus()
        for _ in range(steps):
            shown.painted(by=lambda: slider.press("ArrowUp"))
        for beside in (0, 1):
            check_disc(shown, lesion, 1, 10, "mature", beside)
    # The femur is as bright in both where the cross is put on it.
    shown.control("planes").select_option("three")
    canvas = shown.page.locator("[data-plane=axial] figure:first-child canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    shown.painted(
        by=lambda: shown.page.mouse.click(
            box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5
        )
    )
    told = shown.control("at").inner_text()
    values = [int(v) for v in re.findall(r": (-?\d+) HU", told)]
    assert len(values) == 2, told
    assert abs(values[0] - values[1]) < 90, told  # noise of 18 HU, and steps of 6
    assert "day 190: laid by the registration" in shown.control("how").inner_text()


def test_what_the_registration_does_not_carry_is_said(shown):
    shown.painted(by=lambda: shown.control("beside").select_option("1"))
    assert "laid by the lesion's centre alone" in shown.control("how").inner_text()
    shown.painted(by=lambda: shown.control("beside").select_option("0"))
    said = shown.page.locator("[data-plane=axial] figure:nth-child(2) .blank").inner_text()
    assert said.startswith("not shown: the lesion's place in this exam is not known (")
    assert shown.page.locator("[data-plane=axial] figure:nth-child(2) canvas").is_hidden()


def test_the_window_follows_buttons_sliders_and_the_hand(shown):
    shown.control("cross").uncheck()
    grey = shown.canvas("axial")[:, :, 0].astype(int)
    shown.painted(by=lambda: shown.page.locator("[data-window='40,400']").click())
    soft = shown.canvas("axial")[:, :, 0].astype(int)
    assert np.median(np.abs(soft - grey)) > 20
    assert shown.control("window").inner_text() == "Window −160 to 240 HU"
    canvas = shown.page.locator("[data-plane=axial] figure:first-child canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + 150, box["y"] + 150
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.painted(by=lambda: shown.page.mouse.move(x + 20, y - 30, steps=4))
    shown.page.mouse.up()
    root = shown.page.locator("#viewer-root")
    assert root.get_attribute("data-level") == str(40 + 120)
    assert root.get_attribute("data-width") == str(400 + 160)
    shown.control("width").focus()
    shown.painted(by=lambda: shown.control("width").press("ArrowRight"))
    assert root.get_attribute("data-width") == str(400 + 170)


def test_the_model_shows_each_lesion_on_its_side(shown):
    shown.page.wait_for_selector("#scene-root[data-ready=true]")
    assert shown.page.locator(".without-webgl").is_hidden()
    pixels = shown.pixels("canvas.scene")
    blue = (pixels[..., 2] > pixels[..., 0] + 50) & (pixels[..., 2] > 90)
    orange = (pixels[..., 0] > pixels[..., 2] + 60) & (pixels[..., 0] > 90)
    # L1 (mature) lies at the patient's right, 15 mm below L2 (immature) at the left.
    one, two = (np.argwhere(hit).mean(axis=0) for hit in (blue, orange))
    assert blue.sum() > 300
    assert orange.sum() > 300
    assert one[1] < pixels.shape[1] / 2 < two[1]
    assert one[0] > two[0]
    shown.page.locator("#scene-root [data-c=turn]").focus()
    shown.page.keyboard.press("End")  # seen from behind
    pixels = shown.pixels("canvas.scene")
    blue = (pixels[..., 2] > pixels[..., 0] + 50) & (pixels[..., 2] > 90)
    assert np.argwhere(blue)[:, 1].mean() > pixels.shape[1] / 2


def test_without_webgl_the_page_says_so_and_the_slices_stay(start, file):
    flat = start("--disable-3d-apis")
    watched = Watched(flat, file)
    watched.painted()
    watched.page.wait_for_selector("#scene-root[data-ready=false]")
    assert "no 3D" in watched.page.locator(".without-webgl").inner_text()
    assert watched.page.locator(".with-webgl").is_hidden()
    assert of_colour(watched.canvas("axial"), "mature").any()
    assert watched.faults == []
    flat.close()


def test_a_browser_that_alters_pictures_shows_no_wrong_outlines(browser, file, tmp_path):
    text = file.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(
        re.sub(r'"(sums?)":(\[?)(\d+)', lambda m: f'"{m[1]}":{m[2]}{int(m[3]) + 1}', text),
        encoding="utf-8",
    )
    watched = Watched(browser, changed)
    watched.page.wait_for_selector("#scene-root[data-ready=false]")
    note = watched.page.locator("#viewer .needs-script")
    watched.page.wait_for_function(
        "document.querySelector('#viewer .needs-script').textContent.includes('alters')"
    )
    assert note.is_visible()
    assert watched.page.locator("#viewer-root").is_hidden()
    assert watched.faults == []
    watched.page.close()


def test_without_script_the_pictures_say_the_same(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#viewer .needs-script").is_visible()
    assert page.locator("#viewer-root").is_hidden()
    assert page.locator("#lesion-1 .planes svg").count() == 3
    context.close()


def test_on_paper_the_answer_is_legible_and_no_page_is_blank(shown, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    shown.page.pdf(path=str(tmp_path / "page.pdf"), prefer_css_page_size=True)
    pages = [p.extract_text() for p in pypdf.PdfReader(tmp_path / "page.pdf").pages]
    assert "1 immature, 1 indeterminate and 1 mature on imaging" in pages[0].replace("\n", " ")
    assert all(len(text.strip()) > 40 for text in pages)
    assert not any("Beside it" in text for text in pages)
    assert len(pages) < 25


@pytest.mark.parametrize("width", [360, 1280])
def test_no_side_scrolling_and_no_fault_for_axe(browser, file, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    watched = Watched(browser, file, width=width)
    watched.painted()
    watched.page.wait_for_selector("#scene-root[data-ready=true]")
    watched.painted(by=lambda: watched.control("beside").select_option("2"))
    watched.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(watched.page).response
    told = [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]
    assert told == []
    # An empty page has no fault either.
    assert len(found["passes"]) > 30
    watched.page.close()


def hostile(model: BaseModel) -> None:
    """Every free text of a result replaced; names that only hoimg makes stay."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        free = str in (field.annotation, *get_args(field.annotation))
        if isinstance(value, BaseModel):
            hostile(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, BaseModel):
                    hostile(item)
            if free and value:
                setattr(model, name, [HOSTILE])
        elif free and name not in KEYS:
            setattr(model, name, HOSTILE if name != "tracking_uid" else f"{value}{HOSTILE}")


@pytest.fixture(scope="module")
def hostile_file(tmp_path_factory):
    result = linked()
    uids = [lesion.tracking_uid for lesion in result.report.lesions]
    hostile(result.report)
    for exam in result.report.exams:
        hostile(exam.acquisition)
    links = {
        lesion.tracking_uid: result.links[uid]
        for lesion, uid in zip(result.report.lesions, uids, strict=True)
    }
    changed = PatientResult(result.report, result.images, HOSTILE, links=links)
    return written(tmp_path_factory.mktemp("hostile"), changed)


def test_hostile_texts_do_nothing(browser, hostile_file):
    assert hostile_file.read_text(encoding="utf-8").count("7*7") > 50
    watched = Watched(browser, hostile_file, width=360, height=740)
    watched.painted()
    for index in range(3):
        watched.painted(by=lambda k=index: watched.control("lesion").select_option(str(k)))
    watched.painted(by=lambda: watched.control("beside").select_option("0"))
    watched.page.wait_for_selector("#scene-root[data-ready=true]")
    assert watched.page.evaluate("window.pwned") is None
    assert "49" not in watched.page.locator("h1").inner_text()
    assert watched.page.locator("img").count() == 0
    assert watched.faults == []
    assert watched.requests[0] == hostile_file.as_uri()
    assert all(url.startswith("data:image/") for url in watched.requests[1:])
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360
    watched.page.close()


def test_a_script_put_into_the_file_does_not_run(browser, file, tmp_path):
    """The policy, not only the escaping: a tampered file stands still."""
    text = file.read_text(encoding="utf-8")
    added = "<script>window.pwned=1</script><img src=x onerror='window.pwned=2'></body>"
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</body>", added), encoding="utf-8")
    watched = Watched(browser, changed)
    watched.painted()
    assert watched.page.evaluate("window.pwned") is None
    assert watched.blocked == ["csp"]
    assert any("Content Security Policy" in fault for fault in watched.faults)
    watched.page.close()
