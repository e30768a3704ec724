"""Inside a region everything but native bone is called, down to a few cubic millimetres."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from body_phantoms import (
    SHELL_AT,
    STONE_AT,
    axes,
    ball,
    index_of,
    paint,
    patient,
    with_metal,
    with_shell,
    with_stone,
)
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.regions import BoxRegion, SphereRegion, on_grid
from hoimg.segment import segment_exam
from hoimg.segment.region import call_in_region
from hoimg.segment.types import ExcludedRegion, Segmentation
from hoimg.settings import SegmentSettings

# Small pieces: hand-made maps on fine voxels, so that only the region's own search is asked.

FINE = Grid((50, 90, 90), (0.8, 0.5, 0.5), (-22.0, -22.0, 0.0))
EVERYWHERE = BoxRegion((-16.0, -16.0, 5.0), (16.0, 16.0, 35.0))


def depth(centre, radius):
    z, y, x = (
        np.arange(n) * s + o
        for n, s, o in zip(
            FINE.size_zyx, FINE.spacing_zyx_mm, FINE.origin_lps_mm[::-1], strict=True
        )
    )
    return radius - np.sqrt(
        (x[None, None] - centre[0]) ** 2
        + (y[None, :, None] - centre[1]) ** 2
        + (z[:, None, None] - centre[2]) ** 2
    )


def fine_scan(*balls, noise=10.0, sigma_mm=0.4, seed=0):
    """Balls ``(centre, radius, hu)`` in muscle of 50 HU, with blur and noise."""
    hu = np.full(FINE.size_zyx, 50.0)
    for centre, radius, value in balls:
        inside = np.clip(depth(centre, radius) / 0.6 + 0.5, 0, 1)
        hu += inside * (value - hu)
    hu = ndimage.gaussian_filter(hu, [sigma_mm / s for s in FINE.spacing_zyx_mm])
    hu += np.random.default_rng(seed).normal(0, noise, hu.shape)
    return CTVolume(np.rint(hu).astype(np.int16), FINE)


def nothing_found(**maps):
    empty = np.zeros(FINE.size_zyx, bool)
    labels = np.zeros(FINE.size_zyx, np.uint16)
    made = Segmentation(
        lesions=Mask(labels, FINE),
        excluded=Mask(labels, FINE),
        skeleton=Mask(empty, FINE),
        metal=Mask(empty, FINE),
        body=Mask(~empty, FINE),
        lesion_flags={},
        excluded_regions=[],
        provider="given",
    )
    return replace(
        made, **{k: Mask(v, FINE) if k != "excluded_regions" else v for k, v in maps.items()}
    )


def called(volume, found=None, region=EVERYWHERE, **kw):
    return call_in_region(volume, found or nothing_found(), on_grid([region], FINE), **kw)


def sizes(found):
    return [
        float((found.lesions.array == k).sum()) * FINE.voxel_volume_mm3 for k in found.lesion_flags
    ]


def test_balls_of_three_to_eight_millimetres_have_the_volume_of_their_formula():
    places = [((-8, -8, 12), 1.5), ((8, -8, 12), 2.5), ((-8, 8, 26), 3.5), ((9, 8, 24), 4.0)]
    found = called(fine_scan(*((c, r, 700.0) for c, r in places)))
    assert len(found.lesion_flags) == 4
    assert all(flags == ["called_in_region"] for flags in found.lesion_flags.values())
    for centre, radius in places:
        index = tuple(np.rint(FINE.to_index_zyx(centre)).astype(int))
        label = found.lesions.array[index]
        assert label
        drawn = found.lesions.array == label
        volume = drawn.sum() * FINE.voxel_volume_mm3
        tolerance = 0.25 if radius < 2 else 0.12
        assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=tolerance)
        np.testing.assert_allclose(FINE.to_lps_mm(np.argwhere(drawn).mean(0)), centre, atol=0.3)


def test_noise_is_no_small_piece():
    for noise in (10.0, 40.0, 90.0):
        assert sizes(called(fine_scan(noise=noise, seed=5))) == []


def test_what_lies_outside_of_the_region_is_not_called():
    scan = fine_scan(((-8, 0, 20), 2.5, 700.0), ((8, 0, 20), 2.5, 700.0))
    found = called(scan, region=SphereRegion((-8.0, 0.0, 20.0), 5.0))
    assert len(sizes(found)) == 1
    assert not found.lesions.array[:, :, 45:].any()


def test_native_bone_and_what_is_joined_to_it_stay_native():
    bone = ((0, 0, 20), 6.0, 900.0)
    scan = fine_scan(bone, ((7.0, 0, 20), 2.0, 700.0), ((-12, -12, 20), 2.0, 700.0))
    found = called(scan, nothing_found(skeleton=depth((0, 0, 20), 6.0) > 0))
    assert len(sizes(found)) == 1  # the free one
    assert not (found.lesions.array > 0)[depth((0, 0, 20), 9.5) > 0].any()
    assert (found.skeleton.array == (depth((0, 0, 20), 6.0) > 0)).all()


@pytest.mark.parametrize(("radius", "expected"), [(4.0, 1), (5.2, 0)])
def test_free_pieces_above_five_hundred_cubic_millimetres_are_the_coarse_searchs(radius, expected):
    # 268 and 589 mm3, and more at 150 HU, which lies outside of the half height.
    assert len(sizes(called(fine_scan(((0, 0, 20), radius, 700.0))))) == expected


def test_the_tube_voltage_moves_the_threshold():
    # 60 mm3 of 200 HU: mineral at 120 kV (150 HU), not at 70 kV (238 HU).
    scan = fine_scan(((0, 0, 20), 2.5, 230.0), noise=3.0)
    assert len(sizes(called(scan, kvp=120.0))) == 1
    assert sizes(called(scan, kvp=70.0)) == []


def labelled(*pieces):
    array = np.zeros(FINE.size_zyx, np.uint16)
    regions = []
    for label, (mask, reason) in enumerate(pieces, start=1):
        array[mask] = label
        middle = tuple(FINE.to_lps_mm(np.argwhere(mask).mean(0)).tolist())
        size = float(mask.sum()) * FINE.voxel_volume_mm3
        regions.append(ExcludedRegion(label, reason, size, middle))
    return nothing_found(excluded=array, excluded_regions=regions)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stone_or_bowel", 1), ("native_bone", 1), ("outside_body", 1), ("metal", 0), ("contrast", 0)],
)
def test_a_listed_piece_is_called_unless_it_is_no_mineral(reason, expected):
    mask = depth((0, 0, 20), 6.5) > 0
    found = called(fine_scan(((0, 0, 20), 6.0, 600.0)), labelled((mask, reason)))
    assert len(sizes(found)) == expected
    if expected:
        assert found.lesion_flags[1] == ["called_in_region", f"overruled:{reason}"]
        assert sizes(found)[0] == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.08)
        assert found.excluded_regions == []
    else:
        assert [r.reason for r in found.excluded_regions] == [reason]


@pytest.mark.parametrize(("edge", "expected"), [(-0.6, 1), (0.6, 0)])
def test_half_of_a_listed_piece_must_lie_in_the_region(edge, expected):
    mask = depth((0, 0, 20), 6.5) > 0
    box = BoxRegion((edge, -16.0, 5.0), (16.0, 16.0, 35.0))
    found = called(fine_scan(((0, 0, 20), 6.0, 600.0)), labelled((mask, "vascular")), region=box)
    assert len(sizes(found)) == expected


def test_a_small_listed_piece_is_drawn_on_the_exams_own_voxels():
    rough = depth((0, 0, 20), 3.6) > 0
    found = called(fine_scan(((0, 0, 20), 2.5, 700.0)), labelled((rough, "too_small")))
    assert sizes(found) == [pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.12)]
    assert found.lesion_flags[1] == ["called_in_region", "overruled:too_small"]
    assert found.excluded_regions == []
    assert not found.excluded.array.any()


def test_in_a_region_above_a_litre_no_small_pieces_are_looked_for():
    grid = Grid((60, 60, 60), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    hu = np.full(grid.size_zyx, 50, np.int16)
    hu[30:32, 30:32, 30:32] = 700
    blank = np.zeros(grid.size_zyx, np.uint16)
    empty = Mask(blank, grid)
    bare = Segmentation(empty, empty, empty, empty, empty, {}, [], "given")
    for side, expected, codes in ((99.0, 1, []), (101.0, 0, ["region_large"])):
        box = on_grid([BoxRegion((0.0, 0.0, 0.0), (side - 1, 99.0 - 1, 99.0 - 1))], grid)
        box.array[:, :, :] = False
        n = 50 if expected else 51
        box.array[5 : 5 + n, 5:55, 5:55] = True  # 50 voxels of 2 mm: a litre exactly, or more
        found = call_in_region(CTVolume(hu, grid), bare, box)
        assert len(found.lesion_flags) == expected
        assert [f.code for f in found.findings] == codes


# The whole stage on a body of formulas.


INSERT_AT = (-130.0, -90.0, 40.0)  # in the air beside the body, as an insert of a phantom
SHAFT = BoxRegion((50.0, -20.0, 5.0), (90.0, 20.0, 60.0))


def with_insert(array):
    paint(array, ball(INSERT_AT, 11.0), 50.0)
    paint(array, ball(INSERT_AT, 6.0), 600.0)


@cache
def guided():
    """Regions round a stone, round an insert outside of the body and round a healthy bone."""
    volume = patient(with_shell, with_stone, with_metal, with_insert)
    regions = [SphereRegion(STONE_AT, 9.0), SphereRegion(INSERT_AT, 14.0), SHAFT]
    return segment_exam(volume, roi=on_grid(regions, volume.grid))


def volume_at(point):
    found = guided().lesions.array
    label = found[index_of(point)]
    return float((found == label).sum()) * 8.0 if label else 0.0


def test_a_stone_in_a_region_is_called_and_a_lesion_outside_is_not():
    # Half of its centre's 900 HU lies in the outer layer of 500 HU, between 3.5 and 6 mm.
    assert 4 / 3 * np.pi * 4**3 < volume_at(STONE_AT) < 1.1 * 4 / 3 * np.pi * 6**3
    assert {"unassessed", "metal"} <= {r.reason for r in guided().excluded_regions}
    assert volume_at(SHELL_AT) == 0


def test_what_the_bodys_outline_does_not_hold_is_called_in_a_region():
    assert not guided().body.array[index_of(INSERT_AT)]
    assert volume_at(INSERT_AT) == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.2)


def test_native_bone_in_a_region_stays_native():
    assert len(guided().lesion_flags) == 2
    assert guided().skeleton.array[index_of((70, 0, 30))]


def test_outlines_that_a_reader_gives_are_neither_searched_nor_native():
    volume = patient(with_shell, with_stone)
    x, y, z = axes()
    knob = np.sqrt((x - 70) ** 2 + (y + 10) ** 2 + (z - 30) ** 2) < 9  # half of it in the shaft
    found = segment_exam(volume, SegmentSettings(), lesions=Mask(knob, volume.grid))
    assert found.lesion_flags == {}
    assert not found.lesions.array.any()
    assert found.skeleton.array[index_of((70, 6, 50))]
    assert not {"stone_or_bowel", "unassessed"} & {r.reason for r in found.excluded_regions}
