"""A seed outlines what holds it, whatever it may be; nothing else is called."""

import numpy as np
import pytest
from body_phantoms import (
    SHELL_AT,
    SHELL_RADIUS,
    STONE_AT,
    ball,
    bones,
    index_of,
    paint,
    patient,
    with_shell,
    with_stone,
)

from hoimg.image import Mask
from hoimg.segment import segment_exam
from hoimg.segment.seeded import call_at_points
from hoimg.segment.types import Segmentation
from hoimg.segment.working import make_working
from hoimg.settings import SegmentSettings

FLOCCULES_AT = (10.0, -48.0, 44.0)


def dice(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def with_floccules(hu):
    """A ball of 9 mm in which specks of 230 HU fill half of the muscle."""
    specks = np.random.default_rng(3).normal(size=hu.shape)
    from scipy import ndimage as ndi

    specks = ndi.gaussian_filter(specks, 1.0) > 0
    paint(hu, np.where(specks, ball(FLOCCULES_AT, 9.0), -1e3), 230.0)


def at(volume, *points, **kw):
    return segment_exam(volume, seeds_lps_mm=points, **kw)


@pytest.mark.parametrize("sides", [(-1, 1), (-1,)])
def test_a_shell_is_outlined_from_its_core_and_the_stone_is_not_called(sides):
    found = at(patient(with_shell, with_stone, sides=sides), SHELL_AT)
    assert list(found.lesion_flags.values()) == [["from_seed"]]
    assert dice(found.lesions.array == 1, ball(SHELL_AT, SHELL_RADIUS) > 0) > 0.93
    assert not found.lesions.array[index_of(STONE_AT)]
    left = {r.label for r in found.excluded_regions}
    assert left == set(np.unique(found.excluded.array[found.excluded.array > 0]))


def test_faint_floccules_are_outlined_by_their_envelope():
    found = at(patient(with_floccules), FLOCCULES_AT)
    mask = found.lesions.array == 1
    assert dice(mask, ball(FLOCCULES_AT, 9.0) > 0) > 0.65
    assert mask.sum() * 8.0 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.4)


@pytest.mark.parametrize("given", [False, True])
def test_an_outgrowth_is_cut_off_at_its_bone(given):
    volume = patient(knob=10.0, sides=(-1, 1))
    skeleton = Mask(bones() > 0, volume.grid) if given else None
    found = at(volume, (-70.0, -22.0, 30.0), skeleton=skeleton)
    mask = found.lesions.array == 1
    truth = (bones(knob=10.0) > 0) & ~(bones() > 0)
    assert dice(mask, truth) > 0.75
    assert (mask & (bones() > 0)).sum() < 0.25 * mask.sum()
    assert "attached_to_bone" in found.lesion_flags[1]


def test_each_seed_makes_one_lesion_and_two_in_one_lesion_do_not_make_two():
    volume = patient(with_shell, with_stone)
    x, y, z = SHELL_AT
    found = at(volume, SHELL_AT, STONE_AT, (x + 3.0, y, z))
    assert sorted(found.lesion_flags) == [1, 2]


@pytest.mark.parametrize(
    ("point", "said"), [((900.0, 0.0, 0.0), "outside of the scan"), ((0.0, -50.0, 40.0), "mineral")]
)
def test_a_seed_outside_of_the_scan_or_in_muscle_is_a_finding(point, said):
    found = at(patient(with_stone), point)
    assert found.lesions.array.max() == 0
    (told,) = [f for f in found.findings if f.code == "seed_hits_nothing"]
    assert said in told.message
    assert told.level == "warning"


# The shell's ball has 4.19 mL: too much beside a small part of it, too little beside a larger one.
@pytest.mark.parametrize(
    ("suggested_radius", "taken"),
    [(4.0, "suggested"), (8.0, "drawn"), (SHELL_RADIUS, "drawn"), (12.0, "suggested")],
)
def test_a_drawing_that_leaked_or_stopped_short_of_what_the_search_outlines_gives_way(
    suggested_radius, taken
):
    volume = patient(with_shell)
    suggested = ball(SHELL_AT, suggested_radius) > 0
    elsewhere = ball(STONE_AT, 6.0) > 0
    box = tuple(slice(0, n) for n in volume.grid.size_zyx)
    made = call_at_points(
        volume,
        nothing_found(volume),
        [SHELL_AT],
        SegmentSettings(),
        mineral_hu=150.0,
        working=make_working(volume, 2.0),
        suggested=[(box, [elsewhere, suggested])],
    )
    mask = made.lesions.array == 1
    if taken == "suggested":
        assert np.array_equal(mask, suggested)
    else:
        assert dice(mask, ball(SHELL_AT, SHELL_RADIUS) > 0) > 0.93
        assert not np.array_equal(mask, suggested)


def nothing_found(volume):
    def none(dtype):
        return Mask(np.zeros(volume.grid.size_zyx, dtype), volume.grid)

    return Segmentation(
        lesions=none(np.uint16),
        excluded=none(np.uint16),
        skeleton=none(bool),
        metal=none(bool),
        body=none(bool),
        lesion_flags={},
        excluded_regions=[],
        provider="",
    )
