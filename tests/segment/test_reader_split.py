"""Split and merge by a reader, against the volumes of the balls that were joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.segment.overrule import Asked, overrule
from hoimg.segment.reader_split import nearest_part
from hoimg.segment.types import Segmentation

GRID = Grid((40, 36, 56), (1.2, 1.0, 0.9), (-25.0, -18.0, -24.0))


def points(grid: Grid = GRID) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.size_zyx), indexing="ij"), -1)
    return grid.to_lps_mm(index.reshape(-1, 3)).reshape(*grid.size_zyx, 3)


def ball(centre, radius, grid: Grid = GRID) -> np.ndarray:
    return np.linalg.norm(points(grid) - np.asarray(centre), axis=-1) <= radius


def bar(a, b, radius, grid: Grid = GRID) -> np.ndarray:
    start, way = np.asarray(a, float), np.subtract(b, a)
    along = (points(grid) - start) @ way / (way @ way)
    off = points(grid) - start - np.clip(along, 0, 1)[..., None] * way
    return np.linalg.norm(off, axis=-1) <= radius


def segmented(labels: np.ndarray, flags=None, grid: Grid = GRID):
    empty = np.zeros(grid.size_zyx, bool)
    found = Segmentation(
        lesions=Mask(labels.astype(np.uint16), grid),
        excluded=Mask(np.zeros(grid.size_zyx, np.uint16), grid),
        skeleton=Mask(empty, grid),
        metal=Mask(empty, grid),
        body=Mask(~empty, grid),
        lesion_flags=flags or {int(k): [] for k in np.unique(labels) if k},
        excluded_regions=[],
        provider="given",
    )
    return CTVolume(np.full(grid.size_zyx, 50, np.int16), grid), found


def sizes(after) -> dict[int, float]:
    labels = after.lesions.array
    return {
        int(k): float((labels == k).sum()) * GRID.voxel_volume_mm3 for k in np.unique(labels) if k
    }


def sphere(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3


@pytest.mark.parametrize(("big", "small"), [(8.0, 8.0), (9.0, 5.0)])
@pytest.mark.parametrize("off", [(0, 0, 0), (1.5, -1.5, 1)])
def test_a_dumbbell_splits_into_its_two_balls(big, small, off):
    a, b = (-14.0, 0.0, 0.0), (big + small - 11.0, 0.0, 0.0)  # 3 mm of bar between them
    joined = ball(a, big) | ball(b, small) | bar(a, b, 2.0)
    volume, found = segmented(joined)
    seeds = [tuple(np.add(a, off)), tuple(np.subtract(b, off))]
    after, (done,) = overrule(volume, found, [Asked("split", seeds[0], (seeds[1],))])
    assert done.outcome == "split"
    assert done.volume_mm3 == pytest.approx(joined.sum() * GRID.voxel_volume_mm3)
    got = sizes(after)
    # The bar between the balls, 3 mm by 12.6 mm2, goes to either.
    assert sorted(got.values()) == pytest.approx(sorted([sphere(small), sphere(big)]), rel=0.06)
    assert sum(got.values()) == pytest.approx(done.volume_mm3)
    # The larger part keeps the number.
    assert got[1] == max(got.values())
    assert after.lesion_flags == {1: ["split_by_reader"], 2: ["split_by_reader"]}


def test_a_bar_without_a_neck_is_halved():
    a, b = (-15.0, 0.0, 0.0), (15.0, 0.0, 0.0)
    whole = bar(a, b, 4.0)
    parts = nearest_part(whole, GRID.to_index_zyx([a, b]), GRID.spacing_zyx_mm)
    x = points()[..., 0]
    assert np.abs(x[parts == 1].max() - 0) < 1.5
    assert np.abs(x[parts == 2].min() - 0) < 1.5


def test_three_parts_and_a_piece_that_touches_none():
    centres = [(-15.0, 0.0, 0.0), (0.0, 0.0, 0.0), (15.0, 0.0, 0.0)]
    labels = ball(centres[0], 5) | ball(centres[1], 5) | ball(centres[2], 5)
    labels |= bar(centres[0], centres[2], 1.5)
    apart = ball((15.0, 12.0, 0.0), 2.5)
    volume, found = segmented(labels | apart)
    after, _ = overrule(volume, found, [Asked("split", centres[0], tuple(centres[1:]))])
    assert len(sizes(after)) == 3
    third = after.lesions.array[tuple(np.rint(GRID.to_index_zyx(centres[2])).astype(int))]
    assert (after.lesions.array[apart] == third).all()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-9, 9)] * 3), min_size=2, max_size=4),
    st.integers(0, 2**16),
)
def test_a_split_shares_every_voxel_among_the_points_whatever_they_are(seeds, seed):
    rng = np.random.default_rng(seed)
    mask = ball((0, 0, 0), 9) & (rng.random(GRID.size_zyx) < 0.9)
    parts = nearest_part(mask, GRID.to_index_zyx(seeds), GRID.spacing_zyx_mm)
    assert ((parts > 0) == mask).all()
    assert parts.max() <= len(seeds)


@settings(max_examples=25, deadline=None)
@example((0.0, 0.0, 0.0), (0.0, 0.0, 1.0))  # through a layer's centres: all of it goes to one side
@given(
    st.tuples(*[st.floats(-4, 4)] * 3),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda n: np.linalg.norm(n) > 0.2),
)
def test_a_ball_that_is_cut_has_the_two_caps_of_a_sphere(through, normal):
    radius, way = 11.0, np.asarray(normal) / np.linalg.norm(normal)
    across = np.cross(way, np.eye(3)[np.argmin(np.abs(way))])
    plane = [
        np.asarray(through),
        np.add(through, 9 * across),
        np.add(through, 9 * np.cross(way, across)),
    ]
    volume, found = segmented(ball((0, 0, 0), radius))
    asked = Asked("cut", (0.0, 0.0, 0.0), tuple(tuple(map(float, p)) for p in plane))
    after, (done,) = overrule(volume, found, [asked])
    assert (done.action, done.outcome) == ("cut", "split")
    # A cap of height h: pi h^2 (3 r - h) / 3.
    heights = [radius + sign * float(np.dot(through, way)) for sign in (-1, 1)]
    caps = sorted(np.pi * h**2 * (3 * radius - h) / 3 for h in heights)
    # A voxel goes to one side whole: half of one's extent across the plane, over all of the cut.
    cut_area = np.pi * (radius**2 - float(np.dot(through, way)) ** 2)
    half_voxel = np.abs(way) @ np.asarray(GRID.spacing_zyx_mm)[::-1] / 2
    assert sorted(sizes(after).values()) == pytest.approx(
        caps, abs=0.01 * sphere(radius) + cut_area * half_voxel
    )
    assert sum(sizes(after).values()) == pytest.approx(done.volume_mm3)
    assert sizes(after)[1] == max(sizes(after).values())
    side = (points() - through) @ way
    labels = after.lesions.array
    for k in (1, 2):
        own = side[labels == k]
        assert (own >= -1e-9).all() or (own <= 1e-9).all()
    assert after.lesion_flags == {1: ["split_by_reader"], 2: ["split_by_reader"]}


def test_two_balls_merged_are_their_sum_and_the_larger_ones_number_stays():
    labels = 2 * ball((-12, 0, 0), 6) + 3 * ball((12, 0, 0), 8) + 1 * ball((0, 12, 12), 4)
    volume, found = segmented(labels, {1: [], 2: ["outline_rough"], 3: ["attached_to_bone"]})
    asked = [Asked("merge", (-12.0, 0.0, 0.0), ((12.0, 0.0, 0.0),))]
    after, (done,) = overrule(volume, found, asked, keep_numbers=True)
    assert done.outcome == "merged"
    assert sizes(after)[3] == pytest.approx(sphere(6) + sphere(8), rel=0.03)
    assert set(sizes(after)) == {1, 3}
    assert after.lesion_flags[3] == ["attached_to_bone", "outline_rough", "merged_by_reader"]
    numbered, _ = overrule(volume, found, asked)
    assert set(sizes(numbered)) == set(numbered.lesion_flags) == {1, 2}
    assert sizes(numbered)[2] == sizes(after)[3]


def test_a_number_that_went_is_not_used_again():
    labels = 1 * ball((-12, 0, 0), 6) + 2 * ball((12, 0, 0), 6)
    volume, found = segmented(labels)
    asked = [
        Asked("exclude", (12.0, 0.0, 0.0)),
        Asked("split", (-15.0, 0.0, 0.0), ((-9.0, 0.0, 0.0),)),
    ]
    after, _ = overrule(volume, found, asked, keep_numbers=True)
    assert set(after.lesion_flags) == {1, 3}


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (Asked("split", (-12, 0, 0), ((12, 0, 0),)), "edit_no_effect", "different lesions"),
        (Asked("split", (-12, 0, 0), ((-12.1, 0, 0),)), "edit_no_effect", "one place"),
        (Asked("split", (-12, 0, 0), ((0, 0, 20),)), "edit_hits_nothing", "within 3 mm"),
        (Asked("split", (0, 0, 20), ((-12, 0, 0),)), "edit_hits_nothing", "within 3 mm"),
        (
            Asked("cut", (-12, 0, 0), ((0, 0, 0), (0, 9, 0), (0, 0, 9))),
            "edit_no_effect",
            "on one side",
        ),
        (
            Asked("cut", (0, 0, 20), ((0, 0, 0), (0, 9, 0), (0, 0, 9))),
            "edit_hits_nothing",
            "within 3 mm",
        ),
        (Asked("merge", (-12, 0, 0), ((-10, 0, 0),)), "edit_no_effect", "one lesion already"),
        (Asked("merge", (-12, 0, 0), ((500, 0, 0),)), "edit_hits_nothing", "outside"),
    ],
)
def test_what_means_nothing_is_told_and_changes_nothing(asked, code, words):
    labels = 1 * ball((-12, 0, 0), 6) + 2 * ball((12, 0, 0), 6)
    volume, found = segmented(labels)
    after, (done,) = overrule(volume, found, [asked])
    assert done.outcome == "no_effect"
    assert (after.lesions.array == found.lesions.array).all()
    (told,) = after.findings
    assert told.code == code
    assert words in told.message


def test_what_a_reader_left_out_comes_back_voxel_for_voxel():
    pair = ball((-12, 0, 0), 6) | ball((12, 0, 0), 3)  # one lesion in two pieces
    volume, found = segmented(1 * pair)
    place = (-12.0, 0.0, 0.0)
    after, done = overrule(volume, found, [Asked("exclude", place), Asked("include", place)])
    assert [o.outcome for o in done] == ["excluded", "included"]
    assert ((after.lesions.array > 0) == pair).all()
    assert after.lesion_flags == {1: ["included_by_reader", "overruled:excluded_by_reader"]}
    assert after.excluded_regions == []
