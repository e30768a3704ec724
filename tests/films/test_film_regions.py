"""Boxes and polygons on films: words to pixels, and which film they speak of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from film_objects import COLUMNS, ROWS, film_dataset
from hypothesis import given
from hypothesis import strategies as st

from hoimg.dicom import Exam, read_patient
from hoimg.edits import Edits, FilmRegionEdit, given_edits, read_edits
from hoimg.errors import InputRefused, UsageError
from hoimg.film_regions import PlacedRegion, parse_film_region, place_regions, split_film


@pytest.fixture(scope="module")
def two_films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exam, ...]:
    folder = tmp_path_factory.mktemp("films")
    film_dataset(folder / "a", sop="1.2.3.1")
    film_dataset(folder / "b", sop="1.2.3.2", day="20240301", view="LL")
    return read_patient(folder).exams


@pytest.fixture(scope="module")
def one_film(two_films: tuple[Exam, ...]) -> tuple[Exam, ...]:
    return two_films[:1]


def placed(text: str, films: tuple[Exam, ...], series: str | None = None) -> PlacedRegion:
    region = parse_film_region(text)
    assert region is not None
    [(_, [found])] = place_regions([region], films, series).items()
    return found


@given(
    st.integers(0, COLUMNS - 1), st.integers(0, ROWS - 1), st.integers(1, 40), st.integers(1, 40)
)
def test_a_box_in_whole_pixels_is_these_pixels(
    one_film: tuple[Exam, ...], x: int, y: int, width: int, height: int
) -> None:
    found = placed(f"box:{x + width},{y},{x},{y + height}", one_film)
    wanted = np.zeros((ROWS, COLUMNS), bool)
    wanted[y : y + height, x : x + width] = True
    assert np.array_equal(found.region_yx, wanted)
    beyond = x + width > COLUMNS or y + height > ROWS
    assert found.flags == (("region_beyond_film",) if beyond else ())
    assert (found.label, found.ties) == (1, None)


def test_a_polygon_holds_the_pixels_whose_centres_it_holds(one_film: tuple[Exam, ...]) -> None:
    found = placed("polygon:20,10, 80,10, 20,70", one_film)
    y, x = np.mgrid[:ROWS, :COLUMNS] + 0.5
    wanted = (x > 20) & (y > 10) & ((x - 20) + (y - 10) < 60)
    different = found.region_yx ^ wanted
    # Centres on the slanted side itself may count either way.
    assert not different[np.abs((x - 20) + (y - 10) - 60) > 1e-9].any()
    assert found.region_yx.sum() == pytest.approx(60 * 60 / 2, abs=60)


def test_a_bow_tie_has_area_though_its_signed_area_is_zero(one_film: tuple[Exam, ...]) -> None:
    found = placed("polygon:10,10,50,50,50,10,10,50", one_film)
    assert found.region_yx.sum() == pytest.approx(40 * 40 / 2, abs=45)


def test_millimetres_are_those_of_the_films_lengths(one_film: tuple[Exam, ...]) -> None:
    # 0.2 mm a pixel at the detector
    found = placed("box:2,4,10,8mm", one_film)
    ys, xs = np.nonzero(found.region_yx)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (10, 50, 20, 40)


def test_millimetres_on_a_film_without_a_size_are_refused(tmp_path: Path) -> None:
    film_dataset(tmp_path / "a", ImagerPixelSpacing=None)
    films = read_patient(tmp_path).exams
    with pytest.raises(InputRefused, match="in pixels") as caught:
        placed("box:2,4,10,8mm", films)
    assert caught.value.code == "region_no_scale"
    assert placed("box:2,4,10,8", films).region_yx.sum() == 32


def test_labels_are_kept_and_free_ones_fill_up(one_film: tuple[Exam, ...]) -> None:
    texts = ["box:0,0,5,5", "2=box:10,0,15,5", "box:20,0,25,5", "2=box:30,0,35,5"]
    regions = [r for t in texts if (r := parse_film_region(t)) is not None]
    [found] = place_regions(regions, one_film).values()
    assert [(r.label, r.ties, int(r.region_yx.sum())) for r in found] == [
        (1, None, 25),
        (2, "label:2", 50),
        (3, None, 25),
    ]


@pytest.mark.parametrize("how", ["exam", "sop", "series", "option"])
def test_a_film_is_named_in_four_ways(two_films: tuple[Exam, ...], how: str) -> None:
    second = two_films[1]
    assert second.film is not None
    name = {
        "exam": second.exam_id,
        "sop": second.film.sop_uid,
        "series": second.series.series_uid,
        "option": None,
    }[how]
    region = parse_film_region("box:0,0,5,5" if name is None else f"4={name}:box:0,0,5,5")
    assert region is not None
    series = second.series.series_uid if name is None else None
    assert list(place_regions([region], two_films, series)) == [second.exam_id]


def test_a_series_that_is_a_ct_names_no_film(one_film: tuple[Exam, ...]) -> None:
    assert placed("box:0,0,5,5", one_film, "1.2.3.99").label == 1


def test_several_films_and_none_named_is_a_usage_error(two_films: tuple[Exam, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        placed("box:0,0,5,5", two_films)
    for exam in two_films:
        assert exam.exam_id in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("day0009_dx_aaaaaa:box:0,0,5,5", UsageError),
        ("1.2.3.9:box:0,0,5,5", InputRefused),
        ("box:500,0,510,5", InputRefused),
        ("box:3.1,3.1,3.2,3.2", InputRefused),
    ],
)
def test_regions_that_fit_no_film(
    one_film: tuple[Exam, ...], text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        placed(text, one_film)


def test_a_patient_without_films_has_no_place_for_a_region() -> None:
    with pytest.raises(UsageError, match="no film is there"):
        placed("box:0,0,5,5", ())


@pytest.mark.parametrize(
    "text",
    [
        "polygon:1,2,3",
        "polygon:0,0,1,1,2,2",
        "box:1,1,1,5",
        "1=box:1,2,3,4,5,6",
        "box:1,2,nan,4",
        "0=box:1,2,3,4",
        "70000=box:1,2,3,4",
        "box:0,0,1e9,5",
        "polygon:a,b,c,d,e,f",
    ],
)
def test_words_that_are_no_region(text: str) -> None:
    with pytest.raises(UsageError, match="--roi"):
        parse_film_region(text)


@pytest.mark.parametrize("text", ["box:1,2,3,4,5,6", "sphere:1,2,3,4", "mask.nii.gz", "C:box"])
def test_what_is_not_for_a_film_is_left_to_others(text: str) -> None:
    assert parse_film_region(text) is None


def test_a_files_name_may_follow_that_of_its_film() -> None:
    assert split_film("day0000_dx_bde10e:a/b.png") == ("day0000_dx_bde10e", "a/b.png")
    assert split_film("1.2.840.1:b.png") == ("1.2.840.1", "b.png")
    assert split_film("C:/b.png") == (None, "C:/b.png")


def test_edits_json_holds_regions(two_films: tuple[Exam, ...], tmp_path: Path) -> None:
    path = tmp_path / "edits.json"
    first = {"box": [0, 0, 5, 5], "label": 3, "sop_instance_uid": "1.2.3.2"}
    second = {"polygon": [[0, 0], [4, 0], [4, 4]], "unit": "mm", "exam_id": two_films[0].exam_id}
    path.write_text(json.dumps({"regions": [first, second]}))
    edits = given_edits(read_edits(path))
    found = place_regions(edits.film_regions, two_films)
    assert {e: [(r.label, r.ties) for r in rs] for e, rs in found.items()} == {
        two_films[0].exam_id: [(1, None)],
        two_films[1].exam_id: [(3, "label:3")],
    }
    assert read_edits_text(edits.text(), tmp_path) == edits


def read_edits_text(text: str, folder: Path) -> Edits:
    (folder / "again.json").write_text(text)
    return read_edits(folder / "again.json")


@pytest.mark.parametrize(
    "region",
    [
        FilmRegionEdit(),
        FilmRegionEdit(box=(0, 0, 1, 1), polygon=((0, 0), (1, 0), (1, 1))),
        FilmRegionEdit(polygon=((0, 0), (1, 1))),
        FilmRegionEdit(box=(0, 0, 1, 1), label=0),
    ],
)
def test_a_region_of_edits_json_that_is_none(region: FilmRegionEdit) -> None:
    with pytest.raises(UsageError, match="region 1 of edits"):
        _ = Edits(regions=(region,)).film_regions
