"""A reader's decisions about films: left out, relabelled, a suggested place confirmed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from film_objects import film_dataset
from film_reports import AREA_MM2, BOX, ball, made, report_of

from hoimg.cli.main import run
from hoimg.edits import Edits, FilmEdit, FilmRegionEdit, read_edits
from hoimg.errors import UsageError
from hoimg.report.saved import read_saved
from hoimg.review.decisions import Asked, added
from hoimg.review.places import places_of

NOW = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
CORNER = "box:10,220,70,290"


def again(tmp_path: Path, name: str) -> dict[str, Any]:
    words = [str(tmp_path / "out"), str(tmp_path / "in"), "-o", str(tmp_path / name)]
    assert run(["-q", "measure", *words]) == 0
    return report_of(tmp_path / name)


def anew(tmp_path: Path, name: str, *words: str) -> dict[str, Any]:
    edits = str(tmp_path / "out" / "edits.json")
    folder = str(tmp_path / name)
    assert run(["-q", "report", str(tmp_path / "in"), "-o", folder, "--edits", edits, *words]) == 0
    return report_of(tmp_path / name)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1")
    return tmp_path


def test_a_film_lesion_is_left_out_or_relabelled(film):
    roi = ["--roi", f"1={BOX}", "--roi", f"2={CORNER}"]
    before = made(film, *roi)
    assert len(before["lesions"]) == 2
    saved = read_saved(film / "out")
    places = places_of(saved)
    one = next(x for x in before["lesions"] if x["observations"][0]["region_label"] == 1)
    two = next(x for x in before["lesions"] if x["observations"][0]["region_label"] == 2)
    edits = saved.edits
    for asked in (
        Asked(kind="relabel", lesion=one["lesion_id"], label="immature", note="faint"),
        Asked(kind="exclude", lesion=two["lesion_id"], reason="artefact"),
    ):
        edits = added(edits, asked, saved, places, "R.", NOW)
    assert [(e.action, e.sop_instance_uid) for e in edits.on_films] == [
        ("relabel", "1.2.3.1"),
        ("exclude", "1.2.3.1"),
    ]
    (film / "out" / "edits.json").write_text(edits.text(), encoding="utf-8")
    reports = {"new": again(film, "new"), "new2": anew(film, "new2", *roi)}
    for name, report in reports.items():
        (lesion,) = report["lesions"]
        assert lesion["reader_label"] == "immature"
        assert lesion["maturity"] == one["maturity"]
        assert lesion["observations"][0]["area_mm2"] == one["observations"][0]["area_mm2"]
        assert [(e["action"], e["outcome"], e["reason"]) for e in report["reader"]] == [
            ("relabel", "noted", ""),
            ("exclude", "excluded", "artefact"),
        ]
        assert "R., 2025-03-04 05:06 UTC" in (film / name / "report.html").read_text()
    # What the maps hold is not done twice.
    words = [str(film / "new"), str(film / "in"), "-o", str(film / "third")]
    assert run(["-q", "measure", *words]) == 0
    for name in ("report.json", "edits.json"):
        assert (film / "third" / name).read_bytes() == (film / "new" / name).read_bytes()


@pytest.mark.parametrize("second", [BOX, "box:75,65,225,215"])
def test_what_lay_under_a_lesion_that_was_left_out_is_seen_again(film, second):
    before = made(film, "--roi", f"1={BOX}", "--roi", f"2={second}")
    whole = [x["observations"][0]["area_px2"] for x in before["lesions"]]
    away = FilmEdit(action="exclude", point_px=(150, 140), time=NOW)
    (film / "out" / "edits.json").write_text(Edits(on_films=(away,)).text())
    report = again(film, "new")
    [(seen,)] = [x["observations"] for x in report["lesions"]]
    assert (seen["label"], seen["area_px2"]) == (2, whole[1])
    shown = np.asarray(nib.load(film / "new" / report["exams"][0]["labelmap"]).dataobj)
    assert (np.unique(shown).tolist(), (shown == 2).sum()) == ([0, 2], whole[1])
    # The map and what is kept of it say the same: measured again, nothing is found redrawn.
    words = [str(film / "new"), str(film / "in"), "-o", str(film / "third")]
    assert run(["-q", "measure", *words]) == 0
    assert (film / "third" / "report.json").read_bytes() == (
        film / "new" / "report.json"
    ).read_bytes()


def test_a_film_lesion_that_was_left_out_cannot_be_dropped_from_the_file(film):
    made(film, "--roi", BOX)
    away = FilmEdit(action="exclude", point_px=(150, 140), time=NOW)
    (film / "out" / "edits.json").write_text(Edits(on_films=(away,)).text())
    assert again(film, "new")["lesions"] == []
    assert read_saved(film / "new").edits.on_films[0].applied is not None
    (film / "new" / "edits.json").write_text(Edits().text())
    with pytest.raises(UsageError, match="lacks a correction"):
        read_saved(film / "new")


def test_a_confirmed_place_is_outlined_by_either_command(film):
    before = made(film)
    assert before["lesions"] == []
    region = FilmRegionEdit(box=(85, 75, 215, 205), sop_instance_uid="1.2.3.1", time=NOW)
    (film / "out" / "edits.json").write_text(Edits(regions=(region,)).text())
    reports = [again(film, "new"), anew(film, "new2")]
    for report in reports:
        ((seen,),) = [x["observations"] for x in report["lesions"]]
        assert seen["area_mm2"] == pytest.approx(AREA_MM2, rel=0.08)
        assert "no_region_given" not in [f["code"] for f in report["exams"][0]["findings"]]
    assert reports[0]["lesions"] == reports[1]["lesions"]
    (kept,) = read_edits(film / "new" / "edits.json").regions
    assert kept.applied is True
    words = [str(film / "new"), str(film / "in"), "-o", str(film / "third")]
    assert run(["-q", "measure", *words]) == 0
    assert report_of(film / "third")["lesions"] == reports[0]["lesions"]
    (said,) = reports[0]["reader"]
    assert (said["action"], said["outcome"], said["point_px"]) == (
        "confirm",
        "included",
        [150, 140],
    )
    assert "a suggested place on a film confirmed" in (film / "new" / "report.html").read_text()
    # The map holds it: a file that no longer tells of it is refused, one with another note is not.
    silent = kept.model_copy(update={"note": "seen again"})
    (film / "new" / "edits.json").write_text(Edits(regions=(silent,)).text())
    assert read_saved(film / "new").edits.regions == (silent,)
    (film / "new" / "edits.json").write_text(Edits().text())
    with pytest.raises(UsageError, match="lacks a correction"):
        read_saved(film / "new")


def test_a_decision_that_means_nothing_is_a_finding(film):
    made(film, "--roi", BOX)
    edits = Edits(
        on_films=(
            FilmEdit(action="accept", point_px=(299, 299)),
            FilmEdit(action="note", point_px=(-5, 1e9)),
            FilmEdit(action="note", point_px=(1, 1), exam_id="day9999_dx_ffffff"),
        )
    )
    (film / "out" / "edits.json").write_text(edits.text())
    for report in (again(film, "new"), anew(film, "new2", "--roi", BOX)):
        codes = [f["code"] for f in report["exams"][0]["findings"]]
        assert codes.count("edit_hits_nothing") == 2
        assert codes.count("edits_of_other_exams") == 1
        assert [e["outcome"] for e in report["reader"]] == ["no_effect", "no_effect", None]
    assert len(json.loads((film / "new" / "edits.json").read_text())["on_films"]) == 3
