"""Grades of hips on films, against the published definitions written out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hoimg.maturity.film_hip import grade_film_hip
from hoimg.measure.film_hips import FilmHip

NOTHING = FilmHip(
    "right", "frontal", (), (), (), (), None, None, None, None, "calibrated", None, "found"
)


def spurs(gap_mm, *, source="calibrated", plane="frontal"):
    flags = ("gap_at_detector",) if source == "detector_uncorrected" else ()
    return replace(
        NOTHING, plane=plane, labels=(1, 2), joined_to_pelvis=(1,), joined_to_femur=(2,),
        gap_px=gap_mm * 5, gap_mm=None if source == "none" else gap_mm, spacing_source=source,
        flags=flags,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "brooker", "della_valle"),
    [
        (0.0, "IV (apparent)", "C"),
        (0.6, "III", "C"),
        (7.99, "III", "C"),
        (8.0, "borderline II/III", "borderline B/C"),
        (12.0, "borderline II/III", "borderline B/C"),
        (12.01, "II", "B"),
    ],
)
def test_the_gap_decides(gap, brooker, della_valle):
    graded = grade_film_hip(spurs(gap))
    assert (graded.brooker, graded.della_valle) == (brooker, della_valle)
    assert graded.reasons == ()


@pytest.mark.parametrize(
    ("at_detector", "brooker"),
    [
        (9.19, "III"),  # 7.99 at a magnification of 1.15, less at 1.25
        (9.21, "borderline II/III"),
        (14.99, "borderline II/III"),  # 11.99 at 1.25
        (15.01, "II"),
    ],
)
def test_a_gap_at_the_detector_is_graded_where_every_magnification_agrees(at_detector, brooker):
    graded = grade_film_hip(spurs(at_detector, source="detector_uncorrected"))
    assert graded.brooker == brooker
    assert graded.reasons == ("magnification_assumed",)


def test_without_spacing_only_a_bridge_is_graded():
    graded = grade_film_hip(spurs(4.0, source="none"))
    assert graded.brooker is None
    assert graded.della_valle is None
    assert graded.reasons == ("gap_not_in_mm",)
    assert grade_film_hip(spurs(0.0, source="none")).brooker == "IV (apparent)"


def test_nothing_is_0_and_a():
    graded = grade_film_hip(NOTHING)
    assert (graded.brooker, graded.della_valle) == ("0", "A")


@pytest.mark.parametrize(("length", "della_valle"), [(9.9, "A"), (10.0, "B")])
def test_islands_are_told_by_their_length(length, della_valle):
    graded = grade_film_hip(replace(NOTHING, labels=(1,), largest_island_mm=length))
    assert (graded.brooker, graded.della_valle) == ("I", della_valle)


@pytest.mark.parametrize(("at_detector", "della_valle"), [(11.49, "A"), (12.51, "B")])
def test_an_island_at_the_detector_says_that_its_magnification_is_assumed(at_detector, della_valle):
    # 9.99 mm at a magnification of 1.15, less at 1.25; 10.01 mm at 1.25, more at 1.15.
    island = replace(
        NOTHING, labels=(1,), largest_island_mm=at_detector, spacing_source="detector_uncorrected"
    )
    graded = grade_film_hip(island)
    assert (graded.brooker, graded.della_valle) == ("I", della_valle)
    assert graded.reasons == ("magnification_assumed",)


def test_an_island_whose_length_is_not_known_has_no_della_valle():
    island = replace(NOTHING, labels=(1,), spacing_source="none")
    assert grade_film_hip(island).reasons == ("island_size_not_in_mm",)
    island = replace(island, largest_island_mm=12.0, spacing_source="detector_uncorrected")
    graded = grade_film_hip(island)  # 10.4 or 9.6 mm
    assert (graded.brooker, graded.della_valle) == ("I", None)
    assert graded.reasons == ("island_size_not_corrected",)


def test_what_only_overlies_bone_is_not_graded():
    graded = grade_film_hip(replace(NOTHING, labels=(1,), overlying=(1,)))
    assert graded.brooker is None
    assert "lesion_overlies_bone" in graded.reasons


@pytest.mark.parametrize(
    ("frontal", "lateral", "biplanar"),
    [
        (15.0, 13.0, "1"),
        (15.0, 9.0, "borderline 1/2"),
        (9.0, 20.0, "borderline 1/2"),
        (15.0, 3.0, "2"),
        (3.0, 15.0, "2"),
        (3.0, None, "2"),
        (0.0, 15.0, "2"),
        (15.0, None, None),
    ],
)
def test_biplanar_takes_the_narrower_of_two_views(frontal, lateral, biplanar):
    other = None if lateral is None else spurs(lateral, plane="lateral")
    assert grade_film_hip(spurs(frontal), other).biplanar == biplanar


def test_a_lateral_that_shows_no_gap_leaves_biplanar_open():
    other = replace(NOTHING, plane="lateral", labels=(1,))
    graded = grade_film_hip(spurs(15.0), other)
    assert graded.biplanar is None
    assert graded.reasons == ("lateral_gap_unknown",)
    assert graded.brooker == "II"


def test_islands_from_the_front_leave_biplanar_open_whatever_gap_the_lateral_shows():
    islands = replace(NOTHING, labels=(1,), largest_island_mm=5.0)
    graded = grade_film_hip(islands, spurs(15.0, plane="lateral"))
    assert (graded.brooker, graded.biplanar) == ("I", None)
    assert graded.reasons == ("no_ossification_joined",)


def test_a_lateral_alone_is_no_brooker():
    graded = grade_film_hip(spurs(5.0, plane="lateral"))
    assert graded.brooker is None
    assert graded.reasons == ("view_not_frontal",)
    with pytest.raises(ValueError, match="no lateral"):
        grade_film_hip(spurs(15.0), spurs(15.0))
