"""Suggestions on films in reports: shown, listed, confirmed by their own words, never counted."""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from film_objects import film_dataset
from film_reports import made, report_of

from hoimg.cli.main import run
from hoimg.edits import Edits, FilmEdit
from hoimg.errors import UsageError
from hoimg.report.saved import read_saved
from hoimg.review.decisions import Asked, added
from hoimg.review.places import Places

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "segment"))
from test_film_suggest import body

FINE = 4
"""Pixels of 0.5 mm for one of the drawn scene."""
PLACE = (60, 70, 7)
"""Row, column and radius of the lesion in the scene."""


def write(folder: Path, *lesions: tuple[int, int, int], name: str = "a", **tags: Any) -> None:
    pixels = np.kron(body(lesions).pixels, np.ones((FINE, FINE)))
    noise = np.random.default_rng(2).normal(0, 4, pixels.shape)
    stored = np.rint(500 + 600 * pixels + noise).astype(np.uint16)
    named = {
        "sop": "1.2.3.1",
        "BodyPartExamined": "KNEE",
        "ImageLaterality": "B",
        "ImagerPixelSpacing": ["0.5", "0.5"],
    } | tags
    film_dataset(folder / "in" / name, stored, **named)


def test_a_place_is_suggested_and_is_no_lesion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, PLACE)
    report = made(tmp_path)
    told = capsys.readouterr().out
    [exam] = report["exams"]
    place = exam["suggestions"][0]
    x0, y0, x1, y1 = place["box"]
    row, column, radius = (FINE * v for v in PLACE)
    assert x0 < column < x1
    assert y0 < row < y1
    assert x1 - x0 < 6 * radius
    assert (place["source"], place["from_exam"]) == ("other_side", None)
    assert 0.3 <= place["score"] <= 1
    # It is in no number and no label.
    assert report["lesions"] == []
    assert list(csv.DictReader((tmp_path / "out" / "lesions.csv").read_text().splitlines())) == []
    assert exam["outlines"] == []
    assert "No ossification was called" in told
    assert "Suggested, to be confirmed by a reader, not findings" in told
    assert f"--roi {place['roi']}" in told
    page = (tmp_path / "out" / "report.html").read_text()
    drawn = re.findall(r'<rect class="o ask" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', page)
    assert [float(v) for v in drawn[0]] == [x0, y0, x1 - x0]
    assert "To be confirmed by a reader, not a finding" in page
    assert f"--roi {place['roi']}" in page
    # The words that are told confirm it: measured there, and suggested no more.
    words = ["--roi", place["roi"]]
    again = made(tmp_path, *words)
    [lesion] = again["lesions"]
    [seen] = lesion["observations"]
    assert seen["status"] == "measured"
    assert seen["area_mm2"] == pytest.approx(np.pi * (PLACE[2] * 2) ** 2, rel=0.15)
    assert place["box"] not in [s["box"] for s in again["exams"][0]["suggestions"]]
    # A report that is measured again keeps what was suggested.
    out = [str(tmp_path / n) for n in ("out", "in")]
    assert run(["measure", *out, "-o", str(tmp_path / "again")]) == 0
    kept = report_of(tmp_path / "again")["exams"][0]["suggestions"]
    assert kept == again["exams"][0]["suggestions"]


def test_a_place_is_confirmed_once_and_suggested_no_more(tmp_path: Path) -> None:
    write(tmp_path, PLACE, (95, 66, 6))
    [place, *others] = made(tmp_path)["exams"][0]["suggestions"]
    saved = read_saved(tmp_path / "out")
    [exam] = saved.report.exams
    asked = Asked(kind="confirm", exam_id=exam.exam_id, number=0)
    none = asked.model_copy(update={"number": None})
    now = datetime(2025, 3, 4, tzinfo=UTC)
    with pytest.raises(UsageError, match="not among those that are suggested"):
        added(Edits(), none, saved, Places(), "R.", now)
    edits = added(Edits(), asked, saved, Places(), "R.", now)
    with pytest.raises(UsageError, match="confirmed already"):
        added(edits, asked, saved, Places(), "S.", now)
    (tmp_path / "out" / "edits.json").write_text(edits.text())
    for earlier, later in (("out", "again"), ("again", "third")):
        words = [str(tmp_path / earlier), str(tmp_path / "in"), "-o", str(tmp_path / later)]
        assert run(["-q", "measure", *words]) == 0
        report = report_of(tmp_path / later)
        assert len(report["lesions"]) == 1
        assert report["exams"][0]["suggestions"] == others
    assert others
    assert place not in others


def test_the_settings_can_let_suggestions_count(tmp_path: Path) -> None:
    write(tmp_path, PLACE)
    [place, *_] = made(tmp_path)["exams"][0]["suggestions"]
    (tmp_path / "c.toml").write_text("[film]\nsuggestions_count = true\nsuggest_most = 1\n")
    words = ["report", str(tmp_path / "in"), "-o", str(tmp_path / "c")]
    assert run([*words, "--config", str(tmp_path / "c.toml")]) == 0
    report = report_of(tmp_path / "c")
    assert report["exams"][0]["suggestions"] == []
    [lesion] = report["lesions"]
    [seen] = lesion["observations"]
    assert (seen["status"], seen["region_label"]) == ("measured", 1)
    assert "region_suggested" in seen["flags"]
    assert "no_region_given" not in [f["code"] for f in report["exams"][0]["findings"]]
    # As if a reader had given its words.
    [told] = made(tmp_path, "--roi", place["roi"])["lesions"]
    assert seen["area_px2"] == told["observations"][0]["area_px2"]


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageLaterality": "R"},
        {"view": "LL"},
        {"ImageLaterality": None},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
)
def test_only_a_frontal_film_of_both_sides_is_compared(
    tmp_path: Path, tags: dict[str, Any]
) -> None:
    write(tmp_path, PLACE, **tags)
    [exam] = made(tmp_path)["exams"]
    inverted = "PresentationLUTShape" in tags
    codes = [f["code"] for f in exam["findings"]]
    assert exam["suggestions"] == [] or (inverted and "polarity_doubtful" not in codes)


def test_a_pelvis_without_a_side_is_compared(tmp_path: Path) -> None:
    write(tmp_path, PLACE, ImageLaterality=None, BodyPartExamined="PELVIS")
    assert made(tmp_path)["exams"][0]["suggestions"]


def test_sides_that_do_not_match_are_told_and_nothing_is_suggested(tmp_path: Path) -> None:
    write(tmp_path)
    import pydicom

    ds = pydicom.dcmread(tmp_path / "in" / "a")
    pixels = ds.pixel_array.copy()
    pixels[:, 380:] = np.random.default_rng(2).normal(1100, 300, (600, 380)).clip(0, 4095)
    ds.PixelData = pixels.tobytes()
    ds.save_as(tmp_path / "in" / "a")
    [exam] = made(tmp_path)["exams"]
    assert exam["suggestions"] == []
    assert "sides_unlike" in [f["code"] for f in exam["findings"]]


def test_the_same_on_both_sides_is_not_suggested(tmp_path: Path) -> None:
    write(tmp_path, PLACE, (60, 119, 7))
    for place in made(tmp_path)["exams"][0]["suggestions"]:
        x0, y0, x1, y1 = place["box"]
        for column in (70, 119):
            assert not (x0 < FINE * column < x1 and y0 < FINE * 60 < y1)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["lesions"] == []


def dates(tmp_path: Path, *lesions: tuple[tuple[int, int, int], ...], **tags: Any) -> None:
    """A film at each date, one side only, another noise each time."""
    for k, (day, there) in enumerate(zip(("20240110", "20240601"), lesions, strict=True)):
        write(tmp_path, *there, name=str(k), sop=f"1.2.3.{k}", day=day,
              ImageLaterality="R", **tags)  # fmt: skip


def test_what_an_earlier_film_has_not_is_suggested_on_the_later(tmp_path: Path) -> None:
    old = (100, 130, 7)
    dates(tmp_path, (old,), (old, PLACE))
    first, second = made(tmp_path)["exams"]
    assert first["suggestions"] == []
    [place] = second["suggestions"]
    assert (place["source"], place["from_exam"]) == ("earlier_film", first["exam_id"])
    x0, y0, x1, y1 = place["box"]
    assert x0 < FINE * PLACE[1] < x1
    assert y0 < FINE * PLACE[0] < y1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "it was not there on the film of day 0" in page


@pytest.mark.parametrize("counted", [False, True])
def test_a_place_that_a_reader_rejected_is_neither_suggested_nor_called_again(
    tmp_path: Path, counted: bool
) -> None:
    old = (100, 130, 7)
    dates(tmp_path, (old,), (old, PLACE))
    row, column, radius = (FINE * v for v in PLACE)
    far = radius + 20
    box = f"box:{column - far},{row - far},{column + far},{row + far}"
    (tmp_path / "c.toml").write_text("[film]\nsuggestions_count = true\n")
    words = ["--config", str(tmp_path / "c.toml")] if counted else ["--roi", f"1.2.3.1:{box}"]
    away = FilmEdit(action="exclude", point_px=(column, row), sop_instance_uid="1.2.3.1")
    (tmp_path / "edits.json").write_text(Edits(on_films=(away,)).text())
    report = made(tmp_path, *words, "--edits", str(tmp_path / "edits.json"))
    assert report["lesions"] == []
    assert [e["suggestions"] for e in report["exams"]] == [[], []]
    assert [e["outcome"] for e in report["reader"]] == ["excluded"]


def test_what_was_there_before_is_not_new_and_what_has_gone_is_not_suggested(
    tmp_path: Path,
) -> None:
    dates(tmp_path, (PLACE, (100, 130, 7)), (PLACE,))
    assert [e["suggestions"] for e in made(tmp_path)["exams"]] == [[], []]


def test_films_of_one_day_or_of_two_views_are_not_held_against_each_other(tmp_path: Path) -> None:
    write(tmp_path, name="a", sop="1.2.3.1", ImageLaterality="R")
    write(tmp_path, PLACE, name="b", sop="1.2.3.2", ImageLaterality="R")
    write(tmp_path, PLACE, name="c", sop="1.2.3.3", view="LL", day="20240601", ImageLaterality="R")
    write(tmp_path, PLACE, name="d", sop="1.2.3.4", day="20240601", ImageLaterality="L")
    assert [e["suggestions"] for e in made(tmp_path)["exams"]] == [[]] * 4
