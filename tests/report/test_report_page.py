"""The page: self-contained, escaped, honest about what is missing, and usable without colour."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from synthetic_report import exam_ids, patient

from hoimg.image import Mask
from hoimg.report import plots, reasons, words
from hoimg.report.excluded_view import place_text
from hoimg.report.lesion_rows import ROWS, volume_text
from hoimg.report.lesion_view import change_text, latest
from hoimg.report.page import context, page_html
from hoimg.results import Observation

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>"


class Page(HTMLParser):
    """Tags with attributes, in order, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._hidden = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._hidden = tag in ("style", "script")
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if not self._hidden:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def result():
    return patient()


@pytest.fixture(scope="module")
def html(result):
    return page_html(result.report, result.images, result.settings_toml)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_asks_the_network_for_nothing(html, page):
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", html)
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"url\(|@import", html)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    # Only the page's own script and style may run: their hashes, computed here from the page.
    for tag in ("script", "style"):
        (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    others = [a for t, a in page.tags if t == "script" and a]
    assert [a["type"] for a in others] == ["application/json"] * 2
    assert "style" not in {name for _, a in page.tags for name in a}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
    assert len(html.encode()) < 10_000_000


def test_the_first_thing_said_is_the_answer(page, result):
    text = page.text
    assert "3 lesions in 4 exams: 1 immature, 1 indeterminate and 1 mature on imaging" in text
    first = [text.index(lesion.maturity.summary) for lesion in result.report.lesions]
    assert max(first) < text.index("Three planes".lower()) < text.index("Criteria")
    assert text.index(result.report.statement) < text.index("Lesion L1 ", text.index("Left out"))
    assert result.report.patient_key in text


def test_the_page_says_what_the_point_spread_was_read_from(page):
    assert "1.25 × 1.1 × 1.1" in page.text
    assert "slice thickness × cortex × cortex" in page.text


def test_labels_are_never_colour_alone(html, page):
    for text in ("Mature on imaging", "Immature on imaging", "Indeterminate"):
        assert text in page.text
    chips = re.findall(r'<span class="chip (\w+)"><svg[^>]*>\s*<(\w+)', html)
    assert dict(chips) == {
        "mature": "circle",
        "immature": "path",
        "indeterminate": "path",
    }
    for sign, word in (("✓", "pass"), ("✗", "fail"), ("~", "between"), ("–", "not rated")):
        assert re.search(rf"{sign}</span> {word}", html)


def test_every_picture_is_described_and_inline(page, result):
    pictures = [a for t, a in page.tags if t == "svg" and a.get("role") == "img"]
    # 3 lesions: three planes each, strips of 4, 4 and 3 exams, one course plot each.
    # And a small one of each candidate: 4 arteries, 9 too small ones without voxels of their own.
    assert len(pictures) == 9 + 11 + 3 + 13
    assert all(a["aria-label"] for a in pictures)
    sources = [a["href"] for t, a in page.tags if t == "image"]
    assert sum(s.startswith("data:image/png;base64,") for s in sources) == 20
    assert sum(s.startswith("data:image/jpeg;base64,") for s in sources) == 13
    outlines = [a for t, a in page.tags if t == "path" and a.get("class") == "o"]
    assert len(outlines) == 20 + 4


def test_structure_for_readers_that_listen(page):
    tags = [t for t, _ in page.tags]
    assert {"main", "nav", "header", "footer", "h1"} <= set(tags)
    assert tags.count("h1") == 1
    assert next(a for t, a in page.tags if t == "html")["lang"] == "en"
    assert all(a.get("scope") in ("col", "row") for t, a in page.tags if t == "th")
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, a in page.tags:
        if (a.get("href") or "").startswith("#"):
            assert a["href"][1:] in ids
        if "aria-labelledby" in a:
            assert a["aria-labelledby"] in ids


def test_missing_is_said_with_its_reason_and_is_never_zero(result):
    views = context(result.report, {}, "")["lesions"]
    rows = {row["title"]: row["cells"] for row in views[0]["rows"]}
    rim = rows["Rim: cortex-like part of the surface"]
    assert rim[0]["text"] == "0.20"
    assert rim[3]["text"] == "not measured"
    assert rim[3]["why"] == "rim unrated thick slices"
    volume = {row["title"]: row["cells"] for row in views[2]["rows"]}["Volume, cm³ (95 % interval)"]
    assert volume[0]["text"] == "not seen"
    assert volume[1]["text"].startswith("0.524 (")
    assert "Mineral mass, mg hydroxyapatite" not in rows


def test_hostile_tags_stay_text(result):
    report = patient(kernel=HOSTILE, manufacturer=HOSTILE, body_part=HOSTILE).report
    report.patient_key = HOSTILE
    report.lesions[0].lesion_id = HOSTILE
    report.lesions[0].maturity.summary = HOSTILE
    report.lesions[0].maturity.reasons = [HOSTILE]
    report.lesions[0].maturity.criteria[0].note = HOSTILE
    report.lesions[0].observations[0].flags = [HOSTILE]
    report.excluded[0].reason = HOSTILE
    report.excluded[0].note = HOSTILE
    report.exams[0].findings = [report.exams[3].findings[0].model_copy(update={"message": HOSTILE})]
    text = page_html(report, result.images, HOSTILE)
    page = Page(text)
    assert {"img", "b"}.isdisjoint(tag for tag, _ in page.tags)
    assert [a for tag, a in page.tags if tag == "script"] == [
        {"type": "application/json", "id": "viewer-data"},
        {"type": "application/json", "id": "scene-data"},
        {},
    ]
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    assert "<script>alert(1)</script>" in page.text
    assert text.count("<script") == 3


def test_long_texts_are_cut_and_long_outlines_are_not(result):
    report = result.report.model_copy(deep=True)
    report.excluded[0].note = "W" * 5000
    report.excluded[1].note = "word " * 1000
    report.lesions[0].maturity.summary = "a" * 199 + " " + "b" * 200 + " " + "c" * 201
    # A lesion like a comb: its outline has thousands of characters.
    exam_id = exam_ids()[3]
    labels = result.images[exam_id].lesions.array.copy()
    labels[:, 10:90:2, 20:70] = 1
    comb = replace(
        result.images[exam_id], lesions=Mask(labels, result.images[exam_id].lesions.grid)
    )
    text = page_html(report, {**result.images, exam_id: comb})
    shown = Page(text).text
    assert "W" * 199 + "…" in shown
    assert "W" * 201 not in shown
    assert max(len(part) for part in re.findall("(?:word )+", shown)) <= 1500
    assert "a" * 199 + " " + "b" * 199 + "… " + "c" * 199 + "…" in shown
    paths = re.findall(r' d="([^"]*)"', text)
    assert max(map(len, paths)) > 5000
    assert not any("…" in path for path in paths)


def test_no_lesion_is_said_plainly_with_what_was_left_out():
    result = patient(lesions=())
    result.report.exams[1].findings = [
        result.report.exams[3].findings[0].model_copy(update={"level": "error"})
    ]
    text = Page(page_html(result.report, result.images)).text
    assert "No heterotopic ossification was called in 4 exams" in text
    assert "None was called." in text
    assert "9 × too small to judge and 4 × vascular calcification" in text
    assert "Not assessed, or in doubt:" in text
    assert "exam of day 90" in text
    assert result.report.statement in text


def test_an_empty_report_is_a_page():
    result = patient(lesions=())
    bare = result.report.model_copy(update={"exams": [], "excluded": [], "registrations": []})
    text = Page(page_html(bare, {})).text
    assert "No heterotopic ossification was called in 0 exams" in text
    assert "No candidate was left out" in text


def test_long_lists_of_candidates_are_cut_with_a_word(result):
    report = result.report.model_copy(deep=True)
    report.excluded += [report.excluded[-1].model_copy(update={"label": k}) for k in range(300)]
    text = Page(page_html(report, {})).text
    assert "Too small to judge: 309 candidates" in text
    assert "109 more stand in report.json" in text


def test_many_lesions_stay_below_ten_megabytes(result, monkeypatch):
    from hoimg.report import lesion_view

    report = result.report.model_copy(deep=True)
    report.lesions = [
        report.lesions[0].model_copy(update={"lesion_id": f"L{k}"}) for k in range(11)
    ]
    text = page_html(report, result.images)
    assert "data:image/jpeg" in text
    assert "data:image/png;base64,i" not in text
    monkeypatch.setattr(lesion_view, "PICTURE_BUDGET", 20_000)
    short = page_html(report, result.images)
    assert len(short) < len(text)
    assert "No picture:" in short


def test_expected_place_is_shown_for_a_lesion_not_yet_seen(result):
    report = result.report.model_copy(deep=True)
    report.lesions[2].observations[0].centroid_lps_mm = (5.0, 25.0, 20.0)
    view = context(report, result.images)["lesions"][2]
    assert view["strip"][0]["picture"].outline == ""
    assert view["strip"][0]["status"] == "not seen"


def test_baseline_date_is_shown_only_when_it_is_given(result):
    from datetime import date

    assert "Day 0</dt>" not in page_html(result.report, {})
    dated = result.report.model_copy(update={"baseline_date": date(2020, 2, 3)})
    assert "<dt>Day 0</dt><dd>2020-02-03</dd>" in page_html(dated, {})


def test_course_plot_joins_neighbours_only_and_scales_from_zero():
    ids = exam_ids()
    seen = [
        Observation(
            exam_id=ids[0], status="measured", volume_mm3=1000, volume_ci95_mm3=(900, 1200)
        ),
        Observation(exam_id=ids[1], status="not_measurable"),
        Observation(exam_id=ids[2], status="measured", volume_mm3=4000),
        Observation(exam_id=ids[3], status="measured", volume_mm3=2000),
    ]
    svg = str(plots.course(seen, [0, 100, 200, 400], "L1"))
    dots = re.findall(r'class="dot" cx="([\d.]+)" cy="([\d.]+)"', svg)
    xs, ys = [float(x) for x, _ in dots], [float(y) for _, y in dots]
    assert len(dots) == 3
    assert (xs[1] - xs[0]) / (xs[2] - xs[1]) == pytest.approx(1.0, abs=0.01)
    # Height above the axis is proportional to the volume: 1, 4 and 2 cm3.
    grid_ys = [float(y) for y in re.findall(r'class="grid" d="M62 ([\d.]+)H', svg)]
    zero = grid_ys[0]
    assert (zero - ys[1]) / (zero - ys[0]) == pytest.approx(4, rel=0.02)
    assert (zero - ys[2]) / (zero - ys[0]) == pytest.approx(2, rel=0.02)
    assert svg.count('class="line"') == 1
    assert svg.count('class="bar"') == 1
    assert "not measurable" in svg
    assert "day 0: 1.00 cm³" in svg


def test_course_plot_of_one_exam_and_of_none_measured():
    one = Observation(exam_id="a", status="absent")
    svg = str(plots.course([one], [0], "<L>"))
    assert "&lt;L&gt;" in svg
    assert svg.count("not seen") == 3


@pytest.mark.parametrize(
    ("span", "ticks", "step"),
    [(10, 3, 5), (6, 3, 2), (3, 3, 1), (0.7, 3, 0.5), (0, 3, 1), (900, 3, 500)],
)
def test_ticks_are_round(span, ticks, step):
    assert plots.nice_step(span, ticks) == pytest.approx(step)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (float("nan"), "not measured"),
        (0, "0"),
        (0.04567, "0.0457"),
        (4.186, "4.19"),
        (1234.5, "1\u202f234"),
        (1_234_567.0, "1\u202f234\u202f567"),
        (-2.5, "−2.50"),
    ],
)
def test_numbers(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (42.4, "+42 %"),
        (-3.6, "−4 %"),
        (0.2, "0 %"),
        (2500, "+2\u202f500 %"),
    ],
)
def test_percent(value, text):
    assert words.percent(value) == text


def test_change_names_its_repeatability():
    assert change_text(25.0, 25.0) == "+25 % (RC 25 %: within)"
    assert change_text(25.1, 25.0) == "+25 % (RC 25 %: beyond)"
    assert change_text(-60, None) == "−60 % (RC unknown)"
    assert change_text(None, 25.0) == "not measured"


def test_small_words():
    assert words.join([]) == ""
    assert words.join(["a"]) == "a"
    assert words.join(["a", "b", "c"]) == "a, b and c"
    assert words.count(1, "exam") == "1 exam"
    assert words.whole(-0.06) == "0"
    assert words.whole(140.0) == "+140"
    assert place_text((-10.2, 30.0, -105.0)) == "R 10, P 30, F 105 mm"
    alone = Observation(exam_id="a", status="measured", volume_mm3=500)
    assert volume_text(alone) == "0.500 (interval not measured)"


def test_reasons_in_words():
    seen = Observation(
        exam_id="a",
        status="measured",
        flags=["not_calibrated", "rim_unrated_slice_thickness", "merged_into:L2"],
    )
    assert (
        reasons.missing_reason("rim_fraction", seen) == "rim and margin not rated: slices too thick"
    )
    assert reasons.missing_reason("mineral_mass_mg", seen).startswith("no mg")
    assert reasons.missing_reason("sphericity", seen) == "see flags"
    assert reasons.reason_text("merged_into:L2") == "has grown together with: L2"
    # A piece may have been left out by the reader, too.
    told = reasons.reason_text("overruled:excluded_by_reader")
    assert told == "it had been left out as: excluded_by_reader"
    assert "rules" not in reasons.reason_text("included_by_reader")
    assert reasons.reason_text("stability_untested") == "its stability is untested"
    assert reasons.reason_text("never_heard_of") == "never heard of"
    only = Observation(
        exam_id="a", status="measured", flags=["not_calibrated", "no_mineral_voxels"]
    )
    assert reasons.missing_reason("sphericity", only) == "no voxel above the mineral threshold"
    refused = Observation(
        exam_id="a",
        status="measured",
        flags=["not_calibrated", "calibration_refused_contrast", "no_mineral_voxels"],
    )
    assert "contrast" in reasons.missing_reason("mineral_mass_mg", refused)
    assert reasons.missing_reason("sphericity", refused) == "no voxel above the mineral threshold"
    none = Observation(exam_id="a", status="measured", flags=["not_calibrated"])
    assert reasons.missing_reason("sphericity", none) == ""


def test_milligrams_carry_their_interval_material_and_method():
    seen = Observation(
        exam_id="a",
        status="measured",
        mineral_mass_mg=62.1,
        mineral_mass_ci95_mg=(51.9, 72.3),
        flags=["calibration_phantomless"],
    )
    rows = {row.title: row for row in ROWS}
    shown = rows["Mineral mass, mg hydroxyapatite (95 % interval)"].text(seen)
    assert shown == "62.1 (51.9 to 72.3), phantomless"
    other = Observation(
        exam_id="a",
        status="measured",
        mineral_mass_k2hpo4_mg=70.0,
        mineral_mass_k2hpo4_ci95_mg=(60.0, 80.0),
    )
    assert rows["Mineral mass, mg K2HPO4 (95 % interval)"].text(other) == "70.0 (60.0 to 80.0)"


def test_the_exam_shown_is_the_one_that_the_label_speaks_of(result):
    lesion = result.report.lesions[0].model_copy(deep=True)
    lesion.maturity.exam_id = exam_ids()[1]
    assert latest(lesion).exam_id == exam_ids()[1]
    lesion.maturity.exam_id = None
    lesion.observations[3].status = "not_measurable"
    assert latest(lesion).exam_id == exam_ids()[2]
