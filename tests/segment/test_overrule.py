"""A reader's points on finished maps: what is called, what is left out, and that nothing is silent.

Maps are made by hand here, so that no rule of the search plays a part; volumes are those of balls.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.segment.draft import middle_and_inside, taken_from
from hoimg.segment.overrule import Asked, overrule
from hoimg.segment.types import ExcludedRegion, Segmentation

GRID = Grid((60, 70, 80), (1.0, 1.0, 1.0), (-40.0, -35.0, 200.0))
STONE, LESION, OTHER, BONE = (-20, 0, 230), (15, -10, 225), (20, 18, 240), (-5, 20, 225)
RADIUS = 7.0
BALL_MM3 = 4 / 3 * np.pi * RADIUS**3


def depth(centre, radius):
    """Signed depth below a ball's surface, mm, positive inside."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in GRID.size_zyx), indexing="ij")
    at = np.asarray(centre, dtype=float) - GRID.origin_lps_mm
    return radius - np.sqrt((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2)


def region(label, mask, reason, note="numbers"):
    middle = tuple(GRID.to_lps_mm(np.argwhere(mask).mean(0)).tolist())
    return ExcludedRegion(label, reason, float(mask.sum()), middle, note)


def scene(**values):
    """Two lesions, a stone left out, a hollow native bone that is listed, and metal."""
    hu = np.full(GRID.size_zyx, 50.0)
    for centre in (STONE, LESION, OTHER):
        inside = np.clip(depth(centre, RADIUS) + 0.5, 0, 1)
        hu += inside * (700.0 - hu)
    shell = np.clip(depth(BONE, 8.0) + 0.5, 0, 1)
    core = np.clip(depth(BONE, 5.0) + 0.5, 0, 1)
    hu += shell * (900.0 - hu)
    hu += core * (-20.0 - hu)
    hu = ndimage.gaussian_filter(hu, 0.5)
    hu += np.random.default_rng(3).normal(0, 8, hu.shape)
    lesions, excluded = np.zeros(GRID.size_zyx, np.uint16), np.zeros(GRID.size_zyx, np.uint16)
    lesions[depth(LESION, RADIUS) > 0] = 1
    lesions[depth(OTHER, RADIUS) > 0] = 2
    excluded[depth(STONE, RADIUS + 1) > 0] = 1  # drawn too large, as on coarse voxels
    rim = (depth(BONE, 8.0) > 0) & (depth(BONE, 5.0) <= 0)
    excluded[rim] = 2
    metal = np.zeros(GRID.size_zyx, bool)
    metal[50:53, 5:8, 5:8] = True
    excluded[metal] = 3
    hu[metal] = values.get("metal_hu", 3000.0)
    nothing = np.zeros(GRID.size_zyx, bool)
    found = Segmentation(
        lesions=Mask(lesions, GRID),
        excluded=Mask(excluded, GRID),
        skeleton=Mask(depth(BONE, 9.0) > 0, GRID),
        metal=Mask(metal, GRID),
        body=Mask(~nothing, GRID),
        lesion_flags={1: [], 2: ["attached_to_bone"]},
        excluded_regions=[
            region(1, excluded == 1, "stone_or_bowel", "compact"),
            region(2, excluded == 2, "native_bone", "has a partner"),
            region(3, excluded == 3, "metal", "above 2500 HU"),
        ],
        provider="given",
    )
    return CTVolume(np.rint(hu).astype(np.int16), GRID), found


VOLUME, FOUND = scene()


def done(*points, volume=VOLUME, found=FOUND):
    after, outcomes = overrule(volume, found, [Asked(a, tuple(map(float, p))) for a, p in points])
    check_consistent(after)
    return after, outcomes


def check_consistent(after):
    lesions, excluded = after.lesions.array, after.excluded.array
    assert not ((lesions > 0) & (excluded > 0)).any()
    assert not ((lesions > 0) & after.skeleton.array).any()
    assert not ((lesions > 0) & after.metal.array).any()
    assert sorted(after.lesion_flags) == list(range(1, len(after.lesion_flags) + 1))
    assert set(np.unique(lesions)) - {0} == set(after.lesion_flags)
    assert set(np.unique(excluded)) - {0} == {r.label for r in after.excluded_regions}
    for item in after.excluded_regions:
        assert item.volume_mm3 == pytest.approx((excluded == item.label).sum())


def test_an_included_piece_is_a_lesion_with_the_outline_of_any_other():
    before = [m.array.copy() for m in (FOUND.lesions, FOUND.excluded, FOUND.skeleton)]
    after, (outcome,) = done(("include", STONE))
    drawn = after.lesions.array == 3
    assert drawn.sum() == pytest.approx(BALL_MM3, rel=0.05)  # not the larger rough piece
    np.testing.assert_allclose(GRID.to_lps_mm(np.argwhere(drawn).mean(0)), STONE, atol=0.3)
    assert after.lesion_flags[3] == ["included_by_reader", "overruled:stone_or_bowel"]
    assert [r.reason for r in after.excluded_regions] == ["native_bone", "metal"]
    assert (outcome.outcome, outcome.was, outcome.note) == ("included", "stone_or_bowel", "compact")
    assert outcome.volume_mm3 == FOUND.excluded_regions[0].volume_mm3
    assert outcome.finding is None
    assert not after.findings
    # Nothing else moved, and what came in was not written to.
    assert ((after.lesions.array == 1) == (before[0] == 1)).all()
    assert ((after.lesions.array == 2) == (before[0] == 2)).all()
    for mask, old in zip((FOUND.lesions, FOUND.excluded, FOUND.skeleton), before, strict=True):
        assert np.array_equal(mask.array, old)


def test_an_excluded_lesion_is_listed_with_its_numbers_and_the_others_close_up():
    after, (outcome,) = done(("exclude", LESION))
    assert dict(after.lesion_flags) == {1: ["attached_to_bone"]}
    assert ((after.lesions.array == 1) == (FOUND.lesions.array == 2)).all()
    new = after.excluded_regions[-1]
    assert (new.label, new.reason) == (4, "excluded_by_reader")
    size = float((FOUND.lesions.array == 1).sum())
    assert new.volume_mm3 == outcome.volume_mm3 == size
    assert f"{size:.0f} mm3" in new.note
    np.testing.assert_allclose(new.centroid_lps_mm, LESION, atol=0.3)
    assert new.inside_lps_mm == pytest.approx(LESION, abs=0.6)
    assert ((after.excluded.array == 4) == (FOUND.lesions.array == 1)).all()
    assert (outcome.outcome, outcome.was) == ("excluded", "lesion")


def test_bone_with_a_partner_becomes_a_lesion_with_its_marrow():
    after, _ = done(("include", (BONE[0] + 6.5, BONE[1], BONE[2])))
    drawn = after.lesions.array == 3
    # The filled ball of 8 mm, marrow core and all, though the skeleton had closed over it.
    assert drawn.sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.06)
    z, y, x = np.rint(GRID.to_index_zyx(BONE)).astype(int)
    assert drawn[z, y, x]
    assert "overruled:native_bone" in after.lesion_flags[3]


def check_numbers(item, mask):
    """Volume, middle and point of a piece, computed from its voxels by hand."""
    indices = np.argwhere(mask)
    assert item.volume_mm3 == len(indices)
    middle = indices.mean(axis=0)[::-1] + GRID.origin_lps_mm
    assert item.centroid_lps_mm == pytest.approx(middle)
    z, y, x = np.rint(np.subtract(item.inside_lps_mm, GRID.origin_lps_mm)).astype(int)[::-1]
    assert mask[z, y, x]


def test_what_an_outline_leaves_of_the_pieces_has_its_own_numbers():
    """It cuts the stone, covers the metal whole, and leaves the listed bone alone."""
    before = [m.array.copy() for m in (FOUND.excluded, FOUND.skeleton)]
    drawn = FOUND.metal.array.copy()
    drawn |= depth(STONE, RADIUS + 1) > 3
    drawn |= depth((BONE[0], BONE[1], BONE[2] + 20), 14.5) > 0  # reaches into the bone's fill
    drawn &= FOUND.excluded.array != 2
    after = taken_from(FOUND, drawn.astype(np.uint16), VOLUME)
    assert [r.label for r in after.excluded_regions] == [1, 2]
    stone, bone = after.excluded_regions
    check_numbers(stone, (before[0] == 1) & ~drawn)
    assert (stone.reason, stone.note) == ("stone_or_bowel", "compact")
    assert bone is FOUND.excluded_regions[1]
    assert np.array_equal(after.excluded.array, np.where(drawn, 0, before[0]))
    assert after.excluded.array.dtype == np.uint16
    assert (before[1] & drawn).any()
    left = after.skeleton.array
    assert not (left & drawn).any()
    # Beyond the outline only its own blur went, which is little where it cuts through bone.
    gone = before[1] & ~drawn & ~left
    assert gone.sum() < 0.02 * before[1].sum()
    assert not (gone & (VOLUME.hu > 0.7 * VOLUME.hu[drawn].max())).any()
    # What came in was not written to.
    assert np.array_equal(FOUND.excluded.array, before[0])
    assert np.array_equal(FOUND.skeleton.array, before[1])


@pytest.mark.parametrize("by", ["outline", "point"])
def test_the_blur_round_a_readers_lesion_is_no_native_bone(by):
    """The skeleton holds the whole stone, with all that the edge's blur makes dense."""
    room = depth(STONE, RADIUS + 4) > 0
    dense = (VOLUME.hu > 130) & room
    drawn = (VOLUME.hu > 375) & room
    assert (dense & ~drawn).sum() > 300
    found = replace(FOUND, skeleton=Mask(FOUND.skeleton.array | dense, GRID))
    if by == "outline":
        after = taken_from(found, drawn.astype(np.uint16), VOLUME)
    else:
        after, _ = done(("include", STONE), found=found)
    np.testing.assert_array_equal(after.skeleton.array, FOUND.skeleton.array)


def test_a_piece_that_an_included_one_cuts_has_the_numbers_of_its_rest():
    """The stone as two pieces, a thin slab and the rest: its outline takes most of the slab."""
    excluded = FOUND.excluded.array.copy()
    stone = excluded == 1
    slab = stone.copy()
    slab[:, :, : int(np.argwhere(stone)[:, 2].mean()) + 5] = False
    slab |= (depth(STONE, RADIUS + 4) > 0) & (depth(STONE, RADIUS + 1) <= 0)
    excluded[slab] = 4
    regions = [region(1, excluded == 1, "stone_or_bowel"), *FOUND.excluded_regions[1:]]
    found = replace(
        FOUND,
        excluded=Mask(excluded, GRID),
        excluded_regions=[*regions, region(4, slab, "vascular")],
    )
    after, _ = done(("include", STONE), found=found)
    rest = after.excluded_regions[-1]
    assert rest.reason == "vascular"
    left = after.excluded.array == 4
    assert 0 < left.sum() < slab.sum()
    check_numbers(rest, left)
    assert after.excluded_regions[0] is found.excluded_regions[1]


def test_metal_that_is_none_can_be_called():
    volume, found = scene(metal_hu=1500.0)
    after, (outcome,) = done(("include", (-34, -29, 251)), volume=volume, found=found)
    assert outcome.was == "metal"
    assert 15 < (after.lesions.array == 3).sum() < 60
    assert not after.metal.array.any()


def test_without_any_edge_the_piece_stands_as_it_was_found():
    flat = CTVolume(np.full(GRID.size_zyx, 50, np.int16), GRID)
    after, _ = done(("include", STONE), volume=flat)
    assert "included_by_reader" in after.lesion_flags[3]
    assert (after.lesions.array == 3).sum() > 0.9 * BALL_MM3


def test_in_and_out_again_in_the_order_that_was_given():
    after, outcomes = done(("include", STONE), ("exclude", STONE))
    assert [o.outcome for o in outcomes] == ["included", "excluded"]
    assert len(after.lesion_flags) == 2
    last = after.excluded_regions[-1]
    assert last.reason == "excluded_by_reader"
    assert "included_by_reader" in last.note
    again, outcomes = done(("exclude", LESION), ("include", LESION))
    assert [o.outcome for o in outcomes] == ["excluded", "included"]
    assert again.lesion_flags[2] == ["included_by_reader", "overruled:excluded_by_reader"]
    assert (again.lesions.array == 2).sum() == pytest.approx(BALL_MM3, rel=0.05)


def test_a_label_that_went_is_never_given_to_another_lesion():
    after, _ = done(("exclude", LESION), ("include", STONE), ("exclude", OTHER))
    assert len(after.lesion_flags) == 1
    assert "included_by_reader" in after.lesion_flags[1]
    assert (after.lesions.array == 1).sum() == pytest.approx(BALL_MM3, rel=0.05)


@pytest.mark.parametrize(
    ("action", "point", "was", "code", "said"),
    [
        ("include", (0, -20, 210), "nothing", "edit_hits_nothing", "nearest (stone_or_bowel)"),
        ("exclude", (0, -20, 210), "nothing", "edit_hits_nothing", "nearest (lesion)"),
        ("include", (0, -20, 900), "outside_scan", "edit_hits_nothing", "outside of the scan"),
        ("exclude", (-90, 0, 230), "outside_scan", "edit_hits_nothing", "outside of the scan"),
        ("include", LESION, "lesion", "edit_no_effect", "called there already"),
        ("exclude", STONE, "stone_or_bowel", "edit_no_effect", "left out already"),
        ("include", BONE, "native_skeleton", "edit_in_skeleton", "native bone"),
    ],
)
def test_a_point_without_effect_is_told_and_changes_nothing(action, point, was, code, said):
    after, (outcome,) = done((action, point))
    assert (outcome.outcome, outcome.was) == ("no_effect", was)
    (told,) = after.findings
    assert (told.code, told.level) == (code, "warning")
    assert said in told.message
    assert f"--{action} {point[0]}" in told.message
    assert np.array_equal(after.lesions.array, FOUND.lesions.array)
    assert np.array_equal(after.excluded.array, FOUND.excluded.array)


def test_the_nearest_piece_is_named_with_its_distance():
    point = (0, -20, 210)
    after, _ = done(("include", point))
    away = np.linalg.norm(np.subtract(STONE, point))
    assert f"{away:.0f} mm away at -20.0,0.0,230.0" in after.findings[0].message


def test_an_exam_without_pieces_says_so():
    bare = Segmentation(
        lesions=Mask(np.zeros(GRID.size_zyx, np.uint16), GRID),
        excluded=Mask(np.zeros(GRID.size_zyx, np.uint16), GRID),
        skeleton=FOUND.skeleton,
        metal=FOUND.metal,
        body=FOUND.body,
        lesion_flags={},
        excluded_regions=[],
        provider="given",
    )
    after, _ = done(("exclude", LESION), ("include", STONE), found=bare)
    assert ["none in this exam" in f.message for f in after.findings] == [True, True]
    assert after.lesion_flags == {}


@pytest.mark.parametrize(("beyond_mm", "hits"), [(0.0, True), (3.0, True), (3.2, False)])
def test_a_click_may_miss_by_three_millimetres(beyond_mm, hits):
    edge = np.argwhere(FOUND.excluded.array == 1)[:, 2].min() + GRID.origin_lps_mm[0]
    _, (outcome,) = done(("include", (edge - beyond_mm, STONE[1], STONE[2])))
    assert (outcome.outcome == "included") is hits


def test_between_two_pieces_the_nearer_one_is_meant():
    gap = np.zeros(GRID.size_zyx, np.uint16)
    gap[30, 35, 10:20], gap[30, 35, 24:34] = 1, 2
    found = Segmentation(
        lesions=Mask(np.zeros_like(gap), GRID),
        excluded=Mask(gap, GRID),
        skeleton=Mask(np.zeros(gap.shape, bool), GRID),
        metal=Mask(np.zeros(gap.shape, bool), GRID),
        body=FOUND.body,
        lesion_flags={},
        excluded_regions=[region(1, gap == 1, "vascular"), region(2, gap == 2, "too_small")],
        provider="given",
    )
    for x, was in ((21.4, "vascular"), (21.6, "too_small")):
        point = (x + GRID.origin_lps_mm[0], 0.0, 230.0)
        assert done(("include", point), found=found)[1][0].was == was


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 0.4))
def test_the_point_of_a_piece_lies_in_it_and_is_the_nearest_to_its_middle(seed, share):
    random = np.random.default_rng(seed)
    mask = random.random((6, 7, 8)) < share
    mask[random.integers(6), random.integers(7), random.integers(8)] = True
    grid = Grid((30, 30, 30), (3.0, 0.7, 1.1), (4.0, 5.0, -60.0))
    box = (slice(5, 11), slice(8, 15), slice(2, 10))
    middle, inside = middle_and_inside(mask, box, grid)
    whole = np.zeros(grid.size_zyx, bool)
    whole[box] = mask
    points = grid.to_lps_mm(np.argwhere(whole))
    np.testing.assert_allclose(middle, points.mean(0), atol=1e-9)
    away = np.linalg.norm(points - points.mean(0), axis=1)
    assert np.linalg.norm(np.subtract(inside, middle)) == pytest.approx(away.min(), abs=1e-9)
    z, y, x = np.rint(grid.to_index_zyx(inside)).astype(int)
    assert whole[z, y, x]
