"""The whole way in Chromium: open, decide, save, measure again; and what must not be possible."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from browsing import Watched, chromium
from film_objects import film_dataset
from film_reports import ball
from five_lesions import DUMBBELL, DUMBBELL_RADII, NUMBERS, Made, made_in

import hoimg
from hoimg.cli.main import run
from hoimg.edits import Edits, FilmEdit, read_edits
from hoimg.errors import UsageError
from hoimg.film_regions import film_region
from hoimg.guidance import Guidance
from hoimg.report.saved import read_saved
from hoimg.results import Suggestion
from hoimg.review.decisions import Asked, added
from hoimg.review.guard import Guard
from hoimg.review.places import Places
from hoimg.review.server import ReviewServer, reviewed

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>'\"><svg onload="
    "window.pwned=3> javascript:window.pwned=4 =cmd|'/C calc'!A0 {{7*7}} <!-- \u202eright to left"
    "\u202c \u2028 &lt;b&gt; " + "N" * 10_000
)


@pytest.fixture(scope="module")
def browser():
    with chromium() as start:
        started = start()
        yield started
        started.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return made_in(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return Path(shutil.copytree(made.folder, tmp_path / "report"))


@contextmanager
def serving(folder: Path, reader: str | None = None, **more: Any) -> Iterator[ReviewServer]:
    with ReviewServer(reviewed(folder, reader), **more) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(browser: Any, server: ReviewServer, *faults: str, **size: int) -> Iterator[Watched]:
    """The page, watched: it asks its own server only, and nothing in it fails."""
    watched = Watched(browser, server.url, **size)
    watched.page.wait_for_selector("body[data-review=ready]")
    yield watched
    own = f"http://127.0.0.1:{server.guard.port}/"
    assert [u for u in watched.requests if not u.startswith((own, "data:"))] == []
    assert [f for f in watched.faults if not any(re.search(x, f) for x in faults)] == []
    watched.page.close()


def lesion_of(folder: Path, label: int) -> dict[str, Any]:
    (found,) = [
        x
        for x in json.loads((folder / "report.json").read_text())["lesions"]
        if x["observations"][0]["label"] == label
    ]
    return found


def named(folder: Path, label: int) -> str:
    return lesion_of(folder, label)["lesion_id"]


def form(page: Any, lesion_id: str) -> Any:
    return page.locator(f"form[data-review='{lesion_id}']")


def decide(page: Any, lesion_id: str, kind: str, note: str = "", **fields: str) -> None:
    """Fill one lesion's form as a reader does, and wait until it is saved."""
    own = form(page, lesion_id)
    before = own.locator(".decided li").count()
    own.locator("[name=kind]").select_option(kind)
    for name, value in fields.items():
        control = own.locator(f"[name={name}]")
        if control.evaluate("e => e.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)
    own.locator("[name=note]").fill(note)
    own.locator("[type=submit]").click()
    own.locator(f".decided li >> nth={before}").wait_for()
    assert own.locator(".told").inner_text() == "Saved to edits.json."


def edits(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "edits.json").read_text())["edits"]


def items(dataset: pydicom.Dataset, depth: int = 0) -> Iterator[tuple[int, pydicom.Dataset]]:
    """Every content item of a structured report."""
    for item in dataset.get("ContentSequence", ()):
        yield depth, item
        yield from items(item, depth + 1)


def coded_items(dataset: pydicom.Dataset) -> Iterator[tuple[int, pydicom.Dataset]]:
    return ((depth, x) for depth, x in items(dataset) if x.ValueType == "CODE")


def test_the_whole_loop_ends_in_a_report_with_the_readers_decisions(
    browser, made, folder, tmp_path, capsys
):
    wrong, right, dumbbell = (named(folder, NUMBERS[k]) for k in ("wrong", "right", "dumbbell"))
    one, two = (named(folder, k) for k in NUMBERS["pair"])
    whole = lesion_of(folder, NUMBERS["dumbbell"])["observations"][0]["volume_mm3"]
    halves = [lesion_of(folder, k)["observations"][0]["volume_mm3"] for k in NUMBERS["pair"]]
    new = tmp_path / "new"
    with (
        serving(folder, scans=[made.scans], output=new) as server,
        opened(browser, server) as watched,
    ):
        page = watched.page
        assert "key=" not in page.url
        again = page.locator("[data-review=rerun] button")
        assert again.is_disabled(), "nothing was decided yet"
        # Who decides is asked once.
        form(page, wrong).locator("[name=kind]").select_option("exclude")
        form(page, wrong).locator("[type=submit]").click()
        assert "say who you are" in form(page, wrong).locator(".told").inner_text()
        page.locator("#reader-name").fill("A. Reader")
        decide(page, wrong, "exclude", HOSTILE, reason="vascular calcification")
        decide(page, right, "relabel", "rim is closed", label="mature")
        decide(page, right, "note", HOSTILE)
        spots = "\n".join(", ".join(map(str, c)) for c in DUMBBELL)
        decide(page, dumbbell, "split", points=spots)
        decide(page, one, "merge", other=two)
        decide(page, two, "accept", "by mistake")
        undo = form(page, two).locator(".decided button")
        undo.focus()
        page.keyboard.press("Enter")
        page.wait_for_function(
            "id => !document.querySelector(`form[data-review='${id}'] .decided li`)", arg=two
        )
        assert page.locator("[data-c=pending]").inner_text().startswith("5 decisions")
        assert page.evaluate("window.pwned") is None
        page.reload()
        page.wait_for_selector("body[data-review=ready]")
        said = form(page, right).locator(".decided").inner_text()
        assert "label by the reader: mature" in said
        assert "A. Reader" in said
        assert "not in the report yet" in said
        assert page.evaluate("window.pwned") is None
        kept = edits(folder)
        again.click()
        told = page.locator("[data-review=rerun] .told")
        assert told.inner_text().startswith("Making the new report")
        # The page opens anew with the new report, in which everything is done.
        page.locator("[data-c=pending]", has_text="0 decisions").wait_for(timeout=180_000)
        page.wait_for_selector("body[data-review=ready]")
        assert "vascular calcification" in page.locator("#reader").inner_text()
        assert again.is_disabled()
        decide(page, right, "note", "of the new report")
    assert edits(folder) == kept, "the old report stays as it was"
    assert edits(new)[-1]["note"] == "of the new report"
    without_note = {**json.loads((new / "edits.json").read_text()), "edits": edits(new)[:-1]}
    (new / "edits.json").write_text(Edits.model_validate(without_note).text())
    assert [e["action"] for e in kept] == ["exclude", "relabel", "note", "split", "merge"]
    assert all(e["reader"] == "A. Reader" and e["time"].endswith("Z") for e in kept)
    assert all(e["exam_id"] == made.exam_id and len(e["point_lps_mm"]) == 3 for e in kept)
    assert kept[0]["note"] == HOSTILE

    report = json.loads((new / "report.json").read_text())
    assert wrong not in [x["lesion_id"] for x in report["lesions"]]
    (left,) = [x for x in report["excluded"] if x["reason"] == "excluded_by_reader"]
    assert "vascular calcification" in left["note"]
    assert "A. Reader" in left["note"]
    assert HOSTILE in left["note"]
    own = lesion_of(new, NUMBERS["right"])
    assert own["lesion_id"] == right
    assert (own["reader_decision"], own["reader_label"]) == ("relabelled", "mature")
    assert own["maturity"] == lesion_of(folder, NUMBERS["right"])["maturity"]
    volumes = {x["lesion_id"]: x["observations"][0]["volume_mm3"] for x in report["lesions"]}
    assert sum(volumes[k] for k in (one, two) if k in volumes) == pytest.approx(
        sum(halves), rel=0.02
    )
    assert len({one, two} & set(volumes)) == 1
    parts = [v for k, v in volumes.items() if k == dumbbell or k not in (right, one, two)]
    assert sum(parts) == pytest.approx(whole, rel=0.03)
    ratio = np.divide(*(r**3 for r in DUMBBELL_RADII))
    assert max(parts) / min(parts) == pytest.approx(ratio, rel=0.15)
    assert [(e["action"], e["outcome"]) for e in report["reader"]] == [
        ("exclude", "excluded"),
        ("relabel", "noted"),
        ("note", "noted"),
        ("split", "split"),
        ("merge", "merged"),
    ]
    table = (new / "lesions.csv").read_text()
    (row,) = [line for line in table.split("\n") if f",{right}," in line]
    assert "relabelled,mature,A. Reader," in row
    assert "rim is closed | </script><script>" in row
    objects = pydicom.dcmread(new / "exams" / made.exam_id / "measurements.sr.dcm")
    labels = {
        (item.ConceptNameCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodeValue)
        for _, item in coded_items(objects)
        if item.ConceptNameCodeSequence[0].CodeValue in ("HO-MATURITY", "HO-READER-LABEL")
    }
    assert labels == {("HO-MATURITY", "HO-INDETERMINATE"), ("HO-READER-LABEL", "HO-MATURE")}
    texts = [x.TextValue for _, x in items(objects) if "TextValue" in x]
    assert any(
        "By the reader: label by the reader: mature on imaging (A. Reader, " in x for x in texts
    )
    assert run(["explain", str(new), right]) == 0
    assert "label by the reader: mature on imaging (A. Reader" in capsys.readouterr().out

    page = Watched(browser, new / "report.html")
    section = page.page.locator(f"section.lesion[data-lesion-id={right}]")
    assert "label by the reader: mature" in section.locator(".reader").inner_text()
    assert section.get_attribute("data-label") == "indeterminate"
    assert "vascular calcification" in page.page.locator("#reader").inner_text()
    assert page.page.locator(".answers").inner_text().count("Reader: label by the reader") == 1
    assert page.page.evaluate("window.pwned") is None
    assert page.page.locator("form, img").count() == 0
    assert page.faults == []
    assert [u for u in page.requests if not u.startswith(("file:", "data:"))] == []
    page.page.close()
    # The same again: everything is in the maps now, and nothing happens twice.
    third = tmp_path / "third"
    assert run(["-q", "measure", str(new), str(made.scans), "-o", str(third)]) == 0
    capsys.readouterr()
    for name in ("report.json", "edits.json", "lesions.csv", "report.html"):
        assert (third / name).read_bytes() == (new / name).read_bytes(), name


def test_no_fault_for_axe_and_no_side_scrolling(browser, folder):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with serving(folder) as server, opened(browser, server) as watched:
        page = watched.page
        page.locator("#reader-name").fill("A. Reader")
        decide(page, "L1", "note", "long " * 200)
        form(page, "L1").locator("[name=kind]").select_option("split")
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response
        told = [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]
        assert told == []
        assert len(found["passes"]) > 30


def test_the_viewers_cross_gives_the_points(browser, folder):
    with serving(folder, "B. Reader") as server, opened(browser, server) as watched:
        page = watched.page
        watched.painted()
        lesion = named(folder, NUMBERS["dumbbell"])
        watched.painted(
            by=page.locator(f"section.lesion[data-lesion-id={lesion}] [data-show-lesion]").click
        )
        own = form(page, lesion)
        own.locator("[name=kind]").select_option("split")
        slider = page.locator("[data-plane=axial] input")
        data = json.loads(page.locator("#viewer-data").inner_text())
        shown = next(x for x in data["lesions"] if x["id"] == lesion)
        for centre in DUMBBELL:
            index = [(centre[k] - shown["origin"][k]) / shown["step"] for k in range(3)]
            watched.painted(
                by=lambda z=index[2]: slider.evaluate(
                    "(e, z) => { e.value = z; e.dispatchEvent(new Event('input')); }", round(z)
                )
            )
            own.get_by_role("button", name="Take the viewer's cross").click()
        own.locator("[type=submit]").click()
        own.locator(".decided li").wait_for()
        own.locator("[name=points]").fill("")
        # Upright on a coronal slice, through the neck, level: the plane z = 142.
        own.locator("[name=kind]").select_option("cut")
        assert "Two points of the line" in own.inner_text()
        neck = "-34, 4, 142\n-14, 4, 142"
        decide(page, lesion, "cut", "at the neck", slice="coronal", points=neck)
    edit, cut = edits(folder)
    assert cut["action"] == "cut"
    assert {round(p[2], 6) for p in cut["more_points_lps_mm"]} == {142.0}
    points = [edit["point_lps_mm"], *edit["more_points_lps_mm"]]
    # The cross starts inside of the lesion, whose axis is along z; so it does in x and y.
    assert np.abs(np.subtract(points, DUMBBELL)).max() < 3
    assert edit["reader"] == "B. Reader"


def test_two_windows_lose_nothing(browser, folder):
    with (
        serving(folder, "C.") as server,
        opened(browser, server, "412") as one,
        opened(browser, server, "412") as two,
    ):
        decide(one.page, "L1", "accept", "first")
        own = form(two.page, "L2")
        own.locator("[name=kind]").select_option("note")
        own.locator("[name=note]").fill("second")
        own.locator("[type=submit]").click()
        form(two.page, "L1").locator(".decided li").wait_for()
        assert "changed in another window" in own.locator(".told").inner_text()
        assert own.locator("[name=note]").input_value() == "second"
        decide(two.page, "L2", "note", "second")
    assert [e["note"] for e in edits(folder)] == ["first", "second"]


@contextmanager
def elsewhere(text: str) -> Iterator[int]:
    """A page of another origin on this machine; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_another_origins_page_can_neither_read_nor_write(browser, folder, monkeypatch):
    """The same browser holds the session's cookie, and cookies know no port."""
    before = (folder / "edits.json").read_bytes()
    forged = """async ([base, version]) => {
      const body = JSON.stringify({kind: "note", lesion: "L1", note: "forged", reader: "X"});
      const out = [];
      for (const type of ["application/json", "text/plain"])
        for (const mode of ["cors", "no-cors"])
          try {
            const headers = {"Content-Type": type};
            if (mode === "cors") headers["If-Match"] = version;
            const answer = await fetch(base + "api/decide",
              {method: "POST", mode, body, credentials: "include", headers});
            out.push(answer.type + answer.status);
          } catch (e) { out.push("refused"); }
      try { out.push(await (await fetch(base + "api/review", {credentials: "include"})).text()); }
      catch (e) { out.push("unread"); }
      const frame = document.createElement("iframe");
      frame.src = base;
      const form = document.createElement("form");
      Object.assign(form, {method: "POST", action: base + "api/decide",
        enctype: "text/plain", target: "_blank"});
      document.body.append(frame, form);
      const input = document.createElement("input");
      form.append(Object.assign(input, {name: body.slice(0, -1) + ', "a": "', value: '"}'}));
      form.submit();
      await new Promise((done) => { frame.onload = done; setTimeout(done, 2000); });
      try { out.push(frame.contentDocument ? "open" : "closed"); } catch (e) { out.push("closed"); }
      return out;
    }"""
    with serving(folder, "D.") as server, elsewhere("<body>evil") as port:
        context = browser.new_context()
        own = context.new_page()
        own.goto(server.url)
        own.wait_for_selector("body[data-review=ready]")
        assert [c["sameSite"] for c in context.cookies()] == ["Strict"]
        assert [c["httpOnly"] for c in context.cookies()] == [True]
        assert own.evaluate("document.cookie") == ""
        refusals: list[Any] = []
        rules = Guard.refuses

        def told(guard: Guard, *asked: Any) -> Any:
            refused = rules(guard, *asked)
            if asked[1] != "/favicon.ico":  # of the answer itself, in the form's window
                refusals.append(refused)
            return refused

        monkeypatch.setattr(Guard, "refuses", told)
        evil = context.new_page()
        evil.goto(f"http://127.0.0.1:{port}/")
        version = server.what.store.read()[1]
        base = f"http://127.0.0.1:{server.guard.port}/"
        out = evil.evaluate(forged, [base, version])
        assert [x for x in out if x not in ("refused", "opaque0", "unread", "closed")] == []
        assert out[-2:] == ["unread", "closed"]
        for _ in range(50):
            if len(refusals) < 5:
                evil.wait_for_timeout(100)
        # Two bare posts, the form, the frame, one read; what must be asked first was asked in vain.
        assert len(refusals) >= 5
        assert {r and r.status for r in refusals} == {403}
        context.close()
    assert (folder / "edits.json").read_bytes() == before


def test_films_are_decided_and_suggested_places_confirmed(browser, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1")
    patient = hoimg.read_patient(tmp_path / "in")
    region = film_region([(85, 75), (215, 75), (215, 205), (85, 205)], "px", source="a test")
    result = hoimg.analyze_patient(patient, guidance=Guidance(film_regions=(region,)))
    (exam,) = result.report.exams
    place = Suggestion(box=(10, 220, 70, 290), source="other_side", score=7.0, roi="box:1,2,3,4")
    report = result.report.model_copy(
        update={"exams": [exam.model_copy(update={"suggestions": [place]})]}
    )
    folder = tmp_path / "report"
    hoimg.write_report(replace(result, report=report), folder)
    # A decision that stands at no lesion, and no piece that was left out to call after all.
    nowhere = FilmEdit(action="exclude", point_px=(299, 299))
    (folder / "edits.json").write_text(Edits(on_films=(nowhere,)).text())
    with serving(folder, "E.") as server, opened(browser, server) as watched:
        rest = watched.page.locator("form[data-review=include]")
        assert rest.locator(".decided li").count() == 1
        assert not rest.locator("[type=submit]").is_visible()
        kinds = form(watched.page, "L1").locator("[name=kind] option").all()
        assert [k.get_attribute("value") for k in kinds] == ["accept", "exclude", "relabel", "note"]
        decide(watched.page, "L1", "relabel", label="immature")
        own = watched.page.locator("form[data-review=confirm]")
        own.locator("[type=submit]").click()
        own.locator(".decided li").wait_for()
        assert axe.Axe().run(watched.page).response["violations"] == []
    kept = read_edits(folder / "edits.json")
    assert [(e.action, e.label, e.reader) for e in kept.on_films] == [
        ("exclude", None, None),
        ("relabel", "immature", "E."),
    ]
    assert [(r.box, r.reader) for r in kept.regions] == [((10, 220, 70, 290), "E.")]
    again = Asked(kind="confirm", exam_id=exam.exam_id, number=0)
    with pytest.raises(UsageError, match="confirmed already"):
        added(kept, again, read_saved(folder), Places(), "E.", datetime(2025, 1, 2, tzinfo=UTC))
