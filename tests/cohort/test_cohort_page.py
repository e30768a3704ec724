"""The cohort page as its readers have it: a thousand patients, hostile names, decisions, files."""

from __future__ import annotations

import csv
import json
import random
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import Watched, chromium
from synthetic_cohort import key_of, patient_row, put, report_of, write_cohort_of

from hoimg.archive.tables import PATIENTS, rows_of
from hoimg.cli.main import run
from hoimg.cohort.page import write_cohort
from hoimg.errors import UsageError

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>\"'><svg/onload="
    "window.pwned=3>"
)
COUNT = 1000


@pytest.fixture(scope="module")
def browser():
    with chromium() as start:
        yield start()


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A thousand patients; those of the first ten have a page that can be linked to."""
    out = tmp_path_factory.mktemp("cohort")
    reports = write_cohort_of(out, COUNT)
    for report in reports[:10]:
        folder = out / "patients" / report.patient_key
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("<!DOCTYPE html><title>a report</title>")
    return write_cohort(out), reports


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough where the number does not matter."""
    out = tmp_path_factory.mktemp("forty")
    write_cohort_of(out, 40)
    return write_cohort(out)


@pytest.fixture
def opened(browser, thousand):
    with opening(browser, thousand[0]) as watched:
        yield watched


@contextmanager
def opening(browser: Any, page: Path) -> Iterator[Watched]:
    """The page, which must ask the network for nothing and run without a fault."""
    watched = Watched(browser, page)
    yield watched
    assert watched.faults == []
    assert {address.partition(":")[0] for address in watched.requests} <= {"file", "blob"}
    watched.page.close()


def keys(page: Any, where: str = "#table tbody tr") -> list[str]:
    """Keys in the order shown, those hidden left out."""
    got = page.eval_on_selector_all(
        where, "rows => rows.filter((r) => !r.hidden).map((r) => r.dataset.key)"
    )
    assert isinstance(got, list)
    return got


def sort(page: Any, column: str) -> None:
    page.click(f"#table button[data-column={column}]")


def test_a_thousand_patients_are_told_sorted_and_filtered(opened, thousand):
    page, reports = opened.page, thousand[1]
    lesions = [x for r in reports for x in r.lesions]
    labels = Counter(x.maturity.label for x in lesions)
    said = page.inner_text("h1")
    assert f"{len(reports)} of {COUNT} patients with a report, {len(lesions)} lesions" in said
    for label in ("immature", "indeterminate", "mature"):
        assert f"{labels[label]} {label}" in said

    total = {r.patient_key: r.totals.exams[-1].volume_mm3 for r in reports}
    sort(page, "volume")
    shown = keys(page)
    assert len(shown) == COUNT
    with_volume = [total[k] for k in shown if k in total]
    assert with_volume == sorted(with_volume, reverse=True)
    assert all(k not in total for k in shown[len(total) :])  # no value: last, either way
    assert keys(page, "#cards li") == shown[: len(total)]
    sort(page, "volume")
    assert [total[k] for k in keys(page)[: len(total)]] == sorted(with_volume)
    assert keys(page)[len(total) :] == shown[len(total) :]
    head = page.locator("th", has=page.locator("[data-column=volume]"))
    assert head.get_attribute("aria-sort") == "ascending"

    page.select_option("#show", "growing")
    growing = {
        r.patient_key
        for r in reports
        if any(x.changes and x.changes[-1].category == "enlarging" for x in r.lesions)
    }
    assert set(keys(page)) == growing
    assert set(keys(page, "#cards li")) == growing
    assert page.inner_text("#shown") == f"{len(growing)} of {COUNT} patients"
    page.fill("#search", "METAL_NEAR")
    near_metal = {
        r.patient_key for r in reports if any("metal_near" in x.maturity.reasons for x in r.lesions)
    }
    assert set(keys(page)) == growing & near_metal
    page.click("#clear")
    assert len(keys(page)) == COUNT
    page.select_option("#show", "failed")
    assert set(keys(page)) == {key_of(n) for n in range(COUNT)} - set(total)


def test_figures_say_the_numbers(opened, thousand):
    page, reports = opened.page, thousand[1]
    last = [x.changes[-1] for r in reports for x in r.lesions if x.changes]
    said = page.get_attribute("#change svg", "aria-label")
    median = round(statistics.median(c.volume_change_pct for c in last))
    assert f"of {len(last)} lesions" in said
    assert f"median {median:+d} %" in said.replace("−", "-")
    kinds = Counter(c.category if c.comparable else "not compared" for c in last)
    for kind, n in kinds.items():
        assert f"{n} {kind.replace('_', ' ')}" in said
    regions = Counter(
        r.totals.region_of.get(x.lesion_id, "region not known") for r in reports for x in r.lesions
    )
    said = page.get_attribute("#regions svg", "aria-label")
    for region, n in regions.items():
        assert f"{region.replace('_', ' ')}: {n} lesions" in said
    assert "Shown are the 200 of" in page.inner_text("#maturity")
    failed = page.eval_on_selector_all(
        "#open tbody tr", "rows => rows.map((r) => [...r.cells].map((c) => c.textContent))"
    )
    assert sum(int(row[1]) for row in failed) == COUNT - len(reports)
    assert failed[0][2] == f"What {failed[0][0]} means, and what to do."


def test_rows_lead_to_their_reports(opened, thousand):
    page, reports = opened.page, thousand[1]
    links = page.eval_on_selector_all("#table a, #cards a", "all => all.map((a) => a.href)")
    wanted = [
        (thousand[0].parent / "patients" / r.patient_key / "report.html").as_uri()
        for r in reports[:10]
    ]
    assert sorted(links) == sorted(wanted * 2)
    page.click("#table tbody a >> nth=3")
    assert page.title() == "a report"


def test_decisions_are_kept_and_saved(browser, forty, tmp_path):
    with opening(browser, forty) as watched:
        decide_and_save(watched.page, tmp_path)


def decide_and_save(page: Any, tmp_path: Path) -> None:
    card = page.locator("#cards li")
    card.nth(0).get_by_role("button", name="Accept").click()
    card.nth(1).get_by_role("button", name="Reject").click()
    card.nth(1).locator("input").fill('=1+1 "streaks", says A')
    # By the keyboard alone, on to the next card each time.
    card.nth(2).get_by_role("button", name="Accept").focus()
    page.keyboard.press("r")
    page.keyboard.press("a")
    page.keyboard.press("a")
    page.keyboard.press("Tab")
    said = ["accepted", "rejected", "rejected", "accepted", "accepted"]
    assert [card.nth(n).get_attribute("data-said") for n in range(5)] == said
    card.nth(4).get_by_role("button", name="Accept").click()  # taken back
    names = keys(page, "#cards li")
    page.reload()
    assert page.inner_text("#tally").startswith("2 accepted, 2 rejected, ")
    page.select_option("#show", "rejected")
    assert keys(page) == names[1:3]

    with page.expect_download() as got:
        page.click("#csv")
    assert got.value.suggested_filename == "exclusions.csv"
    got.value.save_as(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["patient_key"], r["reason"]) for r in rows] == [
        (names[1], '\'=1+1 "streaks", says A'),
        (names[2], ""),
    ]
    with page.expect_download() as got:
        page.click("#json")
    got.value.save_as(tmp_path / "x.json")
    saved = json.loads((tmp_path / "x.json").read_text())
    assert [r["patient_key"] for r in saved["excluded"]] == names[1:3]
    assert [r["patient_key"] for r in saved["accepted"]] == [names[0], names[3]]
    assert saved["excluded"][0]["reason"] == '=1+1 "streaks", says A'


def test_axe_finds_no_violation(browser, forty):
    from axe_playwright_python.sync_playwright import Axe

    with opening(browser, forty) as watched:
        page = watched.page
        page.locator("#cards li").nth(0).get_by_role("button", name="Accept").click()
        page.locator("#cards li").nth(1).get_by_role("button", name="Reject").click()
        sort(page, "exams")
        found = Axe().run(page)
        assert found.response["violations"] == [], found.generate_report()
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_nothing_that_the_data_say_is_run(browser, tmp_path):
    seeds = (random.Random(f"hostile {n}") for n in range(100))
    report = next(r for rng in seeds if (r := report_of(key_of(1), rng)).lesions)
    bad = report.lesions[0].model_copy(
        update={
            "lesion_id": HOSTILE,
            "maturity": report.lesions[0].maturity.model_copy(
                update={"label": "indeterminate", "reasons": [HOSTILE]}
            ),
        }
    )
    rows = {PATIENTS: [patient_row(HOSTILE)]}
    hostile = report.model_copy(update={"patient_key": HOSTILE, "lesions": [bad]})
    put(
        tmp_path,
        {
            HOSTILE: {**rows, **rows_of(hostile)},
            "../p": {PATIENTS: [patient_row("../p")]},
            "u1": {PATIENTS: [patient_row("u1", HOSTILE, HOSTILE)]},
        },
    )
    (tmp_path / "patients").mkdir()  # else nothing is found by "patients/../p"
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "report.html").write_text("not of this batch")
    watched = Watched(browser, write_cohort(tmp_path))
    page = watched.page
    sort(page, "key")
    page.fill("#search", "<script>")
    assert set(keys(page)) == {HOSTILE, "u1"}
    page.locator("#cards li").nth(1).get_by_role("button", name="Reject").click()
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert page.locator("#table a").count() == 0
    assert watched.faults == []
    assert watched.requests == [page.url]
    page.close()


def test_by_hoimg_query(thousand, tmp_path, capsys):
    out = thousand[0].parent
    before = thousand[0].read_bytes()
    assert run(["query", str(out), "cohort"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "cohort.html")
    assert (out / "cohort.html").read_bytes() == before
    for more in (["--since-day", "3"], ["--format", "csv"]):
        assert run(["query", str(out), "cohort", *more]) == 2
    assert run(["query", str(tmp_path), "cohort"]) == 2
    assert "hoimg batch" in capsys.readouterr().err


def test_too_many_patients_are_refused_and_pictures_have_a_budget(tmp_path, monkeypatch):
    from hoimg.cohort import page, read

    write_cohort_of(tmp_path, 4)
    for number in range(4):
        folder = tmp_path / "patients" / key_of(number)
        folder.mkdir(parents=True)
        (folder / "report.html").touch()
    monkeypatch.setattr(page, "thumbnail", lambda _file: "data:image/jpeg;base64," + "A" * 77)
    monkeypatch.setattr(page, "PICTURES_BYTES", 200)
    monkeypatch.setattr(read, "MOST_PATIENTS", 4)
    # 100 bytes each: what is left is 200, 100, none.
    assert write_cohort(tmp_path).read_text().count("<img ") == 2
    monkeypatch.setattr(read, "MOST_PATIENTS", 3)
    with pytest.raises(UsageError, match="4 patients are too many"):
        write_cohort(tmp_path)
