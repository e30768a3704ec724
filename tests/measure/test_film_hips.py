"""Hips on drawn films: what is joined to what, and gaps that can be read off a ruler."""

from __future__ import annotations

import film_phantom as phantom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hoimg.film_shapes import HipLandmarks
from hoimg.image import Radiograph
from hoimg.measure.film_hips import hips_on_film
from hoimg.segment.film_landmarks import (
    find_hip_landmarks,
    landmarks_at_head,
    landmarks_outlined,
)
from hoimg.settings.film import FilmSettings

SETTINGS = FilmSettings()


def plain(spacing=0.5, source="calibrated", *, shape=(200, 160)):
    """An empty film, and a pelvis (rows 0-40 mm) over a femur (rows 70-100 mm)."""
    known = None if source == "none" else (spacing, spacing)
    film = Radiograph(np.zeros(shape, np.float32), known, source)
    pelvis, femur = np.zeros(shape, bool), np.zeros(shape, bool)
    pelvis[:80] = True
    femur[140:] = True
    return film, HipLandmarks("right", pelvis, femur)


def measured(film, marks, labels, plane="frontal"):
    (hip,) = hips_on_film(film, plane, labels, [marks], SETTINGS)
    return hip


def spur(labels, value, rows, columns=slice(60, 80)):
    labels[rows, columns] = value
    return labels


def test_a_gap_is_that_between_two_spurs():
    film, marks = plain()
    labels = spur(np.zeros((200, 160), np.uint8), 3, slice(80, 100))
    spur(labels, 7, slice(116, 140))
    hip = measured(film, marks, labels)
    # Rows 100 to 115 are empty: 16 rows of half a millimetre.
    assert hip.gap_px == pytest.approx(16)
    assert hip.gap_mm == pytest.approx(8.0)
    assert hip.joined_to_pelvis == (3,)
    assert hip.joined_to_femur == (7,)
    assert hip.gap_ci95_mm[0] < 8.0 < hip.gap_ci95_mm[1]
    assert hip.gap_ends_yx[0][0] == 99
    assert hip.gap_ends_yx[1][0] == 116


def test_a_spur_alone_faces_the_other_bone():
    film, marks = plain()
    hip = measured(film, marks, spur(np.zeros((200, 160), np.uint8), 1, slice(80, 110)))
    assert hip.gap_mm == pytest.approx(15.0)
    assert hip.joined_to_femur == ()


def test_native_bones_alone_have_no_gap():
    film, marks = plain()
    hip = measured(film, marks, np.zeros((200, 160), bool))
    assert hip.gap_px is None
    assert hip.labels == ()
    assert hip.flags == ()


def test_what_touches_both_bones_is_an_apparent_bridge():
    film, marks = plain(source="none")
    hip = measured(film, marks, spur(np.zeros((200, 160), np.uint8), 1, slice(80, 140)))
    assert hip.gap_px == 0
    assert hip.gap_mm is None
    assert hip.joined_to_pelvis == hip.joined_to_femur == (1,)


def test_lesions_that_touch_each_other_are_one():
    film, marks = plain()
    labels = spur(np.zeros((200, 160), np.uint8), 1, slice(80, 110))
    spur(labels, 2, slice(110, 140))
    hip = measured(film, marks, labels)
    assert hip.gap_px == 0
    assert hip.joined_to_pelvis == hip.joined_to_femur == (1, 2)
    apart = spur(np.zeros((200, 160), np.uint8), 1, slice(80, 110))
    spur(apart, 2, slice(112, 140))
    assert measured(film, marks, apart).gap_mm == pytest.approx(1.0)


def test_what_touches_a_spur_has_grown_on_its_bone():
    film, marks = plain()
    labels = spur(np.zeros((200, 160), np.uint8), 1, slice(80, 100))
    spur(labels, 2, slice(100, 120))
    hip = measured(film, marks, labels)
    assert hip.joined_to_pelvis == (1, 2)
    assert hip.gap_mm == pytest.approx(10.0)


def head(side, row, column, radius=20.0):
    """Landmarks of a head alone, which touches nothing."""
    bare = np.zeros((200, 160), bool)
    return HipLandmarks(side, bare, bare, (row, column), (radius, radius))


def test_a_lesion_belongs_to_the_nearest_head_within_four_radii():
    film, _ = plain()
    labels = np.zeros((200, 160), np.uint8)
    labels[100, 10], labels[100, 150] = 1, 2
    pair = [head("right", 100, 40), head("left", 100, 120)]
    right, left = hips_on_film(film, "frontal", labels, pair, SETTINGS)
    assert (right.labels, left.labels) == ((1,), (2,))
    for radius, about in ((27.5, (2,)), (27.4, ())):
        lone = measured(film, head("right", 100, 40, radius), np.where(labels == 2, 2, 0))
        assert lone.labels == about  # 110 pixels away


def test_without_heads_a_lesion_belongs_to_the_nearest_femur():
    film, _ = plain()
    sides = []
    for side, columns in (("right", slice(10, 40)), ("left", slice(120, 150))):
        pelvis, femur = np.zeros((200, 160), bool), np.zeros((200, 160), bool)
        pelvis[:80, columns], femur[140:, columns] = True, True
        sides.append(HipLandmarks(side, pelvis, femur))
    labels = spur(np.zeros((200, 160), np.uint8), 1, slice(120, 140), slice(20, 30))
    spur(labels, 2, slice(100, 140), slice(130, 140))
    right, left = hips_on_film(film, "frontal", labels, sides, SETTINGS)
    assert (right.labels, left.labels) == ((1,), (2,))
    assert (right.gap_mm, left.gap_mm) == (pytest.approx(20.0), pytest.approx(10.0))


def test_a_mask_of_pieces_is_read_as_lesions_of_their_own():
    film, marks = plain()
    mask = spur(np.zeros((200, 160), bool), True, slice(80, 100))
    spur(mask, True, slice(110, 140))
    hip = measured(film, marks, mask)
    assert hip.labels == (1, 2)
    assert hip.gap_mm == pytest.approx(5.0)


@pytest.mark.parametrize(("first", "joined"), [(83, True), (84, False)])
def test_contact_ends_at_its_limit(first, joined):
    film, marks = plain()
    # Row 79 is bone: row 83 is four rows away, 2 mm.
    hip = measured(film, marks, spur(np.zeros((200, 160), np.uint8), 1, slice(first, 100)))
    assert bool(hip.joined_to_pelvis) is joined


def test_an_island_has_a_length_and_no_gap():
    film, marks = plain()
    labels = np.zeros((200, 160), np.uint8)
    labels[100:104, 60:80] = 5
    hip = measured(film, marks, labels)
    assert hip.gap_px is None
    assert hip.flags == ("no_ossification_joined",)
    # Corner to corner of 20 x 4 pixels, as pixels have a width.
    assert hip.largest_island_mm == pytest.approx(0.5 * (np.hypot(19, 3) + 1))


def test_what_lies_over_bone_all_round_is_not_called_joined():
    film, marks = plain()
    labels = np.zeros((200, 160), np.uint8)
    labels[30:50, 60:80] = 1
    bare = HipLandmarks("right", marks.pelvis_yx & (labels == 0), marks.femur_yx)
    hip = measured(film, bare, labels)
    assert hip.overlying == (1,)
    assert hip.joined_to_pelvis == ()
    assert "lesion_overlies_bone" in hip.flags


def test_without_spacing_there_are_pixels_only():
    film, marks = plain(source="none")
    labels = spur(np.zeros((200, 160), np.uint8), 1, slice(80, 100))
    hip = measured(film, marks, labels)
    assert hip.gap_px == pytest.approx(40)
    assert hip.gap_mm is None
    assert hip.gap_ci95_mm is None
    assert "no_spacing" in hip.flags


def test_a_gap_at_the_detector_says_so():
    film, marks = plain(source="detector_uncorrected")
    labels = spur(np.zeros((200, 160), np.uint8), 1, slice(80, 100))
    assert "gap_at_detector" in measured(film, marks, labels).flags


def test_pixels_need_not_be_square():
    film, _marks = plain()
    wide = Radiograph(film.pixels, (0.5, 1.0), "calibrated")
    pelvis, femur = np.zeros((200, 160), bool), np.zeros((200, 160), bool)
    pelvis[:, :40], femur[:, 100:] = True, True
    labels = np.zeros((200, 160), np.uint8)
    labels[90:100, 40:60] = 1
    hip = measured(wide, HipLandmarks("left", pelvis, femur), labels)
    # 40 columns of 1 mm, less half a pixel's difference between a row and a column.
    assert hip.gap_mm == pytest.approx(40.0, abs=0.6)


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(0, 2 * np.pi), gap=st.floats(2, 30))
def test_a_gap_does_not_depend_on_its_direction(angle, gap):
    """Two half planes across a turned gap, a bar on one of them."""
    shape, spacing = (240, 240), 0.5
    rows, columns = np.indices(shape) * spacing
    along = (rows - 60) * np.sin(angle) + (columns - 60) * np.cos(angle)
    aside = (rows - 60) * np.cos(angle) - (columns - 60) * np.sin(angle)
    pelvis, femur = along < -20, along >= 20
    labels = ((along >= -20) & (along < 20 - gap) & (np.abs(aside) < 8)).astype(np.uint8)
    if not labels.any() or 40 - gap < 1:
        return
    film = Radiograph(np.zeros(shape, np.float32), (spacing, spacing), "calibrated")
    hip = measured(film, HipLandmarks("right", pelvis, femur), labels)
    assert hip.gap_mm == pytest.approx(gap, abs=1.5 * spacing)


def test_lateral_films_and_unknown_sides_need_given_landmarks():
    film = phantom.film()
    nothing = np.zeros(film.pixels.shape, bool)
    for side, plane in (("R", "lateral"), (None, "frontal"), ("U", "frontal"), ("R", None)):
        assert find_hip_landmarks(film, side, plane, nothing, SETTINGS) == []
    assert len(find_hip_landmarks(film, "R", "frontal", nothing, SETTINGS)) == 1
    _, marks = plain(shape=film.pixels.shape)
    hip = measured(film, marks, nothing, "lateral")
    assert hip.plane == "lateral"
    assert hip.landmarks == "given"
    assert hips_on_film(film, "oblique", nothing, [marks], SETTINGS) == []


def test_a_map_of_another_shape_is_refused():
    film, marks = plain()
    with pytest.raises(ValueError, match="does not fit"):
        hips_on_film(film, "frontal", np.zeros((3, 3), bool), [marks], SETTINGS)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("law", [None, np.exp, lambda v: np.tanh(v - 2)])
def test_head_and_bones_are_found_whatever_the_grey_levels_mean(mirrored, law):
    plainly = phantom.film(mirrored=mirrored)
    values = plainly.pixels if law is None else law(plainly.pixels).astype(np.float32)
    film = Radiograph(values, plainly.spacing_yx_mm, "calibrated")
    lesion = phantom.box(0.5, 66, 76, 100, 140)
    lesion = lesion[:, ::-1] if mirrored else lesion
    side = "L" if mirrored else "R"
    (marks,) = find_hip_landmarks(film, side, "frontal", lesion, SETTINGS)
    hip = measured(film, marks, lesion)
    assert hip.side == ("left" if mirrored else "right")
    assert hip.landmarks == "found"
    assert hip.joined_to_pelvis == (1,)
    assert hip.joined_to_femur == ()
    # From its lower edge (row 76) down to the femur's top (row 135).
    assert hip.gap_mm == pytest.approx(59.0, abs=2.0)


@pytest.mark.parametrize("skin", [25.0, 70.0])
def test_a_bridge_reaches_a_trochanter_close_under_the_skin(skin):
    # From the wing out and down along the trochanter's outer edge, 12 mm from where the body ends.
    bridge = phantom.box(0.5, 66, 78, 72, 140) | phantom.box(0.5, 66, 137, 72, 82)
    film = phantom.film(lesion=bridge, skin=skin)
    (marks,) = find_hip_landmarks(film, "R", "frontal", bridge, SETTINGS)
    hip = measured(film, marks, bridge)
    assert (hip.joined_to_pelvis, hip.joined_to_femur, hip.gap_mm) == ((1,), (1,), 0.0)


def test_found_head_lies_where_it_was_drawn():
    film = phantom.film()
    nothing = np.zeros(film.pixels.shape, bool)
    (marks,) = find_hip_landmarks(film, "R", "frontal", nothing, SETTINGS)
    place = (np.asarray(marks.head_center_yx) + 0.5) * 0.5
    assert place == pytest.approx(phantom.HEAD_YX, abs=2.0)
    assert marks.head_radius_px[0] * 0.5 == pytest.approx(phantom.HEAD, abs=3.0)
    pelvis, femur = phantom.bones(0.5)
    assert (marks.femur_yx & femur).sum() > 0.8 * marks.femur_yx.sum()
    assert (marks.pelvis_yx & pelvis).sum() > 0.8 * marks.pelvis_yx.sum()


def test_both_heads_of_a_pelvis_are_found_where_they_were_drawn():
    right = phantom.film().pixels
    film = Radiograph(np.hstack([right, right[:, ::-1]]), (0.5, 0.5), "calibrated")
    nothing = np.zeros(film.pixels.shape, bool)
    found = find_hip_landmarks(film, "B", "frontal", nothing, SETTINGS)
    assert [marks.side for marks in found] == ["right", "left"]
    y, x = phantom.HEAD_YX
    for marks, column in zip(found, (x, 2 * phantom.SIZE[1] - x), strict=True):
        place = (np.asarray(marks.head_center_yx) + 0.5) * 0.5
        assert place == pytest.approx((y, column), abs=2.0)


def test_no_hip_is_found_where_there_is_none():
    rows, columns = phantom.grid(0.5)
    shaft = np.abs(columns - 130) < 15
    noise = np.random.default_rng(1).normal(0, 0.004, rows.shape)
    pixels = (2.0 + 0.5 * shaft + noise).astype(np.float32)
    film = Radiograph(pixels, (0.5, 0.5), "calibrated")
    nothing = np.zeros(pixels.shape, bool)
    for side in ("R", "L", "B"):
        assert find_hip_landmarks(film, side, "frontal", nothing, SETTINGS) == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_bones_are_found_beside_a_given_head(mirrored):
    film = phantom.film(mirrored=mirrored)
    lesion = phantom.box(0.5, 66, 76, 100, 140)
    lesion = lesion[:, ::-1] if mirrored else lesion
    y, x = phantom.HEAD_YX
    center = (y / 0.5 - 0.5, (phantom.SIZE[1] - x if mirrored else x) / 0.5 - 0.5)
    side = "left" if mirrored else "right"
    radius = (phantom.HEAD / 0.5, phantom.HEAD / 0.5)
    marks = landmarks_at_head(film, side, center, radius, lesion, both_sides=False)
    assert (marks.source, marks.head_center_yx, marks.head_radius_px) == ("given", center, radius)
    hip = measured(film, marks, lesion)
    assert (hip.landmarks, hip.joined_to_pelvis) == ("given", (1,))
    assert hip.gap_mm == pytest.approx(59.0, abs=2.0)


def test_a_head_is_taken_out_of_outlines_that_a_reader_gives():
    pelvis, femur = np.ones((80, 60), bool), np.ones((80, 60), bool)
    marks = landmarks_outlined("right", pelvis, femur, (40.0, 30.0), (10.0, 20.0))
    rows, columns = np.indices((80, 60))
    inside = ((rows - 40) / 10.5) ** 2 + ((columns - 30) / 21.0) ** 2 <= 1
    assert np.array_equal(marks.pelvis_yx, ~inside)
    assert np.array_equal(marks.femur_yx, ~inside)
    whole = landmarks_outlined("right", pelvis, femur)
    assert whole.pelvis_yx.all()
    assert whole.head_center_yx is None


@pytest.mark.parametrize(("usual", "right"), [((1.0, 1.0), True), ((0.99, 1.2), False)])
def test_no_film_makes_a_hip_smaller(usual, right):
    if right:
        assert FilmSettings(hip_usual_magnification=usual).hip_usual_magnification == usual
    else:
        with pytest.raises(ValidationError):
            FilmSettings(hip_usual_magnification=usual)
