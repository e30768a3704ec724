"""Films of a report measured again: the same byte for byte, but for what a reader redrew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from film_objects import film_dataset
from film_reports import AREA_MM2, BOX, CENTRE, SPACING, ball, inverted_film, made, only, report_of
from hypothesis import given, settings
from hypothesis import strategies as st
from limb_patient import limb, write_exams

from hoimg.cli.main import run
from hoimg.dicom import load_radiograph, read_patient
from hoimg.film_shapes import FilmOutline
from hoimg.films.analysis import kept_of
from hoimg.outlines import covered_of
from hoimg.results import Outline
from hoimg.segment.film_given import outline_given
from hoimg.settings import FilmSettings


@pytest.fixture
def nothing_segments(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called when a report is made: from then on outlining and segmenting are errors."""

    def stop() -> None:
        def refuse(*_args: object, **_named: object) -> None:
            raise AssertionError("hoimg measure must not segment")

        monkeypatch.setattr("hoimg.segment.segment_exam", refuse)
        monkeypatch.setattr("hoimg.segment.film_outline.outline_in_region", refuse)

    return stop


def measured(tmp_path: Path, code: int = 0) -> dict[str, Any]:
    words = ["measure", str(tmp_path / "out"), str(tmp_path / "in"), "-o", str(tmp_path / "again")]
    assert run(words) == code
    return report_of(tmp_path / "again") if code == 0 else {}


def same_files(tmp_path: Path) -> None:
    one, other = (
        {str(p.relative_to(tmp_path / n)): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in ("out", "again")
    )
    assert one.keys() == other.keys()
    assert [n for n in one if one[n] != other[n]] == []


def redraw(tmp_path: Path, exam: dict[str, Any], change: Callable[[np.ndarray], None]) -> None:
    """Change a film's label map as a viewer would, ``[x, y]``."""
    path = tmp_path / "out" / exam["labelmap"]
    image = nib.load(path)
    array = np.asarray(image.dataobj).copy()
    change(array[..., 0])
    nib.save(nib.Nifti1Image(array, image.affine, image.header), path)


def disc(radius: float) -> np.ndarray:
    x, y = np.ogrid[:300, :300]
    return np.hypot(x + 0.5 - CENTRE[1], y + 0.5 - CENTRE[0]) <= radius


def test_untouched_maps_give_the_same_bytes(
    tmp_path: Path, nothing_segments: Callable[[], None]
) -> None:
    """Two views at two dates; one label ties all, one lies over it, one is not measurable."""
    for k, (day, view) in enumerate(
        [("20240110", "AP"), ("20240110", "LL"), ("20240601", "AP"), ("20240601", "LL")]
    ):
        burned = {"BurnedInAnnotation": "YES"} if k == 3 else {}
        film_dataset(
            tmp_path / "in" / f"{k}", ball(seed=k), sop=f"1.2.3.{k}", day=day, view=view, **burned
        )
    words = [w for k in range(4) for w in ("--roi", f"1=1.2.3.{k}:{BOX}")]
    words += ["--roi", f"1.2.3.0:{BOX}", "--roi", "1.2.3.1:box:200,200,290,290"]
    words += ["--roi", "1.2.3.2:box:150,70,215,210", "--roi", "1.2.3.2:box:-9,4,60,60"]
    report = made(tmp_path, *words)
    states = {o["status"] for x in report["lesions"] for o in x["observations"]}
    assert states == {"measured", "not_measurable"}
    whole = report["exams"][0]["outlines"]
    assert [o["label"] for o in whole] == [1, 2]
    # The second lies under the first, all of it or nearly: its pixels are kept beside the map.
    hidden = sum(n for _, n in whole[1]["on_film"]["covered"])
    seen = np.asarray(nib.load(tmp_path / "out" / report["exams"][0]["labelmap"]).dataobj)
    areas = [o["area_px2"] for x in report["lesions"] for o in x["observations"]
             if o["exam_id"] == report["exams"][0]["exam_id"]]  # fmt: skip
    assert hidden + (seen == 2).sum() == areas[1] == areas[0]
    nothing_segments()
    assert measured(tmp_path) == report
    same_files(tmp_path)


def test_films_beside_ct_and_a_film_without_a_region(
    tmp_path: Path, nothing_segments: Callable[[], None]
) -> None:
    write_exams(tmp_path / "in" / "ct", {0: limb(8.0, seed=1)})
    patient = read_patient(tmp_path / "in")
    ids = {
        name: value
        for name, value in _identity(patient.exams[0].series.files[0]).items()
        if name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    }
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1", **ids)
    film_dataset(tmp_path / "in" / "b", ball(), sop="1.2.3.2", view="LL", **ids)
    report = made(tmp_path, "--roi", f"1.2.3.1:{BOX}")
    assert [e["modality"] for e in report["exams"]].count("DX") == 2
    assert any(e["modality"] == "CT" for e in report["exams"])
    assert len(report["lesions"]) == 2
    nothing_segments()
    assert measured(tmp_path) == report
    same_files(tmp_path)


def _identity(path: Path) -> dict[str, Any]:
    import pydicom

    ds = pydicom.dcmread(path, stop_before_pixels=True)
    return {e.keyword: e.value for e in ds if e.keyword}


def test_a_redrawn_outline_is_measured_as_it_was_drawn(
    tmp_path: Path, nothing_segments: Callable[[], None]
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1")
    report = made(tmp_path, "--roi", BOX)
    [exam], [lesion] = report["exams"], report["lesions"]

    def smaller(array: np.ndarray) -> None:
        array[:] = disc(30.0)

    redraw(tmp_path, exam, smaller)
    nothing_segments()
    again = measured(tmp_path)
    [now] = again["lesions"]
    seen = only(again)
    assert seen["area_px2"] == disc(30.0).sum()
    assert seen["area_mm2"] == pytest.approx(np.pi * (30 * SPACING) ** 2, rel=0.01)
    low, high = seen["area_ci95_mm2"]
    assert low < seen["area_mm2"] < high
    assert "outline_edited" in seen["flags"]
    assert (now["lesion_id"], now["tracking_uid"]) == (lesion["lesion_id"], lesion["tracking_uid"])
    assert "outlines_edited" in [f["code"] for f in again["exams"][0]["findings"]]
    # A second time nothing has changed.
    (tmp_path / "out").rename(tmp_path / "first")
    (tmp_path / "again").rename(tmp_path / "out")
    third = measured(tmp_path)
    assert third["exams"][0] == again["exams"][0]
    assert third == again


def test_a_new_label_is_a_new_lesion_and_a_removed_one_is_gone(
    tmp_path: Path, nothing_segments: Callable[[], None]
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1")
    film_dataset(tmp_path / "in" / "b", ball(seed=8), sop="1.2.3.2", view="LL")
    report = made(tmp_path, *(w for k in (1, 2) for w in ("--roi", f"1=1.2.3.{k}:{BOX}")))
    first, second = report["exams"]

    def renamed(array: np.ndarray) -> None:
        array[array == 1] = 7

    redraw(tmp_path, first, renamed)
    nothing_segments()
    again = measured(tmp_path)
    old, new = sorted(
        again["lesions"], key=lambda x: x["tracking_uid"] != report["lesions"][0]["tracking_uid"]
    )
    assert [o["exam_id"] for o in old["observations"]] == [second["exam_id"]]
    assert old["lesion_id"] == report["lesions"][0]["lesion_id"] != new["lesion_id"]
    [seen] = new["observations"]
    assert (seen["exam_id"], seen["label"], seen["status"]) == (first["exam_id"], 7, "measured")
    assert "outline_given" in seen["flags"]
    assert seen["area_mm2"] == pytest.approx(AREA_MM2, rel=0.1)


def test_where_nothing_was_outlined_a_reader_can_draw(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(height=0.0), sop="1.2.3.1")
    report = made(tmp_path, "--roi", f"3={BOX}")
    assert only(report)["status"] == "not_measurable"

    def drawn(array: np.ndarray) -> None:
        array[disc(40.0)] = 3

    redraw(tmp_path, report["exams"][0], drawn)
    again = measured(tmp_path)
    assert again["lesions"][0]["tracking_uid"] == report["lesions"][0]["tracking_uid"]
    assert only(again)["area_px2"] == disc(40.0).sum()


def test_what_lay_under_a_label_that_was_taken_away_is_seen_again(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1", PixelIntensityRelationshipSign=1)
    report = made(tmp_path, "--roi", f"1={BOX}", "--roi", f"2={BOX}")
    whole = [o["area_px2"] for x in report["lesions"] for o in x["observations"]]

    def taken(array: np.ndarray) -> None:
        array[array == 1] = 0
        array[40:60, 40:60] = 5

    redraw(tmp_path, report["exams"][0], taken)
    again = measured(tmp_path)
    seen = {o["label"]: o for x in again["lesions"] for o in x["observations"]}
    assert seen.keys() == {2, 5}
    assert seen[2]["area_px2"] == whole[1]
    shown = np.asarray(nib.load(tmp_path / "again" / again["exams"][0]["labelmap"]).dataobj)
    assert (shown == 2).sum() == whole[1]
    # A new outline on a film in doubt says so, too.
    assert "polarity_doubtful" in seen[5]["flags"]
    assert seen[5]["area_px2"] == 400


def test_what_is_drawn_on_a_film_that_looks_inverted_gives_no_number(
    sample_data: Path, tmp_path: Path
) -> None:
    inverted_film(sample_data, tmp_path / "in")
    report = made(tmp_path, "--roi", "box:594,627,712,747")

    def drawn(array: np.ndarray) -> None:
        array[600:700, 640:740] = 1

    redraw(tmp_path, report["exams"][0], drawn)
    seen = only(measured(tmp_path))
    assert (seen["status"], seen["flags"][0], seen["area_px2"]) == (
        "not_measurable",
        "film_looks_inverted",
        None,
    )


def test_files_and_maps_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1")
    report = made(tmp_path, "--roi", BOX)
    film_dataset(tmp_path / "in" / "a", ball()[:-10], sop="1.2.3.1")
    measured(tmp_path, code=3)
    assert "cannot be measured any more" in capsys.readouterr().err
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.2")
    measured(tmp_path, code=2)
    assert "1.2.3.1" in capsys.readouterr().err
    film_dataset(tmp_path / "in" / "a", ball(), sop="1.2.3.1")
    path = tmp_path / "out" / report["exams"][0]["labelmap"]
    written = path.read_bytes()
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[:-1].copy(), image.affine), path)
    measured(tmp_path, code=3)
    assert "own columns" in capsys.readouterr().err
    (tmp_path / "out" / report["exams"][0]["regions"]).unlink()
    path.write_bytes(written)
    measured(tmp_path, code=2)
    assert "regions.nii.gz" in capsys.readouterr().err


def test_an_outline_drawn_as_the_body_is_reads_its_contrast(tmp_path: Path) -> None:
    film_dataset(tmp_path / "a", ball(height=300.0), sop="1.2.3.1")
    [exam] = read_patient(tmp_path).radiographs
    assert exam.film is not None
    film = load_radiograph(exam.film)
    outline = outline_given(film, disc(40.0).T, FilmSettings())
    assert outline.inside_yx is not None
    assert outline.background_yx is not None
    excess = (film.pixels - outline.background_yx)[disc(40.0).T].mean()
    # The mean depth of half a ball over its disc is two thirds of its radius.
    assert excess == pytest.approx(300 * 2 / 3, rel=0.1)
    assert outline.flags == ()
    at_edge = np.zeros(film.pixels.shape, bool)
    at_edge[100:160, :40] = True
    assert outline_given(film, at_edge, FilmSettings()).flags == ("touches_fov",)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_what_is_hidden_in_the_map_is_kept_and_read_back(seed: int, share: float) -> None:
    hidden = np.random.default_rng(seed).random((7, 11)) < share
    outline = FilmOutline(hidden, hidden, None, 3.0, None, excess=1.0)
    kept = kept_of(outline, hidden, ("a", "b", "a"))
    assert kept.flags == ("a", "b")
    written = Outline(label=1, sha256="", on_film=kept.facts)
    again = Outline.model_validate_json(written.model_dump_json())
    assert np.array_equal(covered_of(again, hidden.shape), hidden)
