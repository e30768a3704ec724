"""A change of size that only the outlines show: planted scans, outlines cut by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.results import Acquisition, Observation
from hoimg.serial import ExamLesions, Registration, track
from hoimg.serial.align import rigid
from hoimg.serial.contents import Shown, growth_shown
from hoimg.serial.matching import clouds
from hoimg.settings import SerialSettings

SIZE, SPACING = (40, 50, 50), (1.5, 1.0, 1.0)
MIDDLE, RADIUS = (25.0, 25.0, 30.0), 9.0
ACQUISITION = Acquisition(kvp=120, kernel="B", slice_thickness_mm=1.5)
STILL = np.eye(4)
MOVED = rigid(np.radians((4.0, -3.0, 10.0)), np.array((3.0, -2.0, 1.5)), np.array(MIDDLE))


def away(grid, matrix):
    """Distance of every voxel from the lesion's middle, and its x in the first exam's frame."""
    points = grid.to_lps_mm(np.indices(SIZE).reshape(3, -1).T)
    back = np.linalg.inv(matrix)
    first = points @ back[:3, :3].T + back[:3, 3]
    return (
        np.linalg.norm(first - MIDDLE, axis=1).reshape(SIZE),
        first[:, 0].reshape(SIZE),
    )


def exam(
    k,
    *,
    body_mm,
    keeps=lambda x: x > -np.inf,
    hu=600.0,
    matrix=STILL,
    seed=0,
    outline_mm=None,
    spread=None,
):
    """A ball of ``body_mm`` in the scan; the outline holds the part of it that ``keeps`` says.

    Or of another ball, ``outline_mm``. ``spread``: half-width of the intervals' logarithms.
    """
    grid = Grid(SIZE, SPACING, (0.0, 0.0, 0.0))
    mm, x = away(grid, matrix)
    body = np.clip(body_mm - mm + 0.5, 0, 1)
    scan = 50 + (hu - 50) * body + np.random.default_rng(seed + k).normal(0, 15, SIZE)
    outline = (mm <= (outline_mm or body_mm)) & keeps(x)
    volume = float(outline.sum()) * grid.voxel_volume_mm3
    mass = volume * (hu - 50)
    ci = None if spread is None else np.exp([-spread, spread])
    seen = Observation(
        exam_id=f"e{k}",
        status="measured",
        label=1,
        volume_mm3=volume,
        volume_ci95_mm3=None if ci is None else tuple(volume * ci),
        mineral_mass_hu_mm3=mass,
        mineral_mass_ci95_hu_mm3=None if ci is None else tuple(mass * ci),
        mean_hu=hu,
        background_hu=50.0,
        touches_fov=False,
    )
    return ExamLesions(
        f"e{k}",
        100 * k,
        ACQUISITION,
        Mask(outline.astype(np.uint16), grid),
        {1: seen},
        volume=CTVolume(scan.astype(np.float32), grid),
    )


def change(first, second, matrix=STILL, settings=None):
    placed = {("e0", "e1"): Registration(matrix, True, 0.95, 0.3)}
    (found,) = track([first, second], placed, settings, patient_key="key")
    (only,) = found.changes
    return only


def left_half(x):
    return x < MIDDLE[0]


@pytest.mark.parametrize("matrix", [STILL, MOVED])
def test_an_outline_that_lost_half_of_an_unchanged_lesion_makes_no_change(matrix):
    first = exam(0, body_mm=RADIUS)
    found = change(first, exam(1, body_mm=RADIUS, keeps=left_half, matrix=matrix), matrix)
    assert found.category == "no_detectable_change"
    assert not found.comparable
    assert "change_not_in_images" in found.flags
    assert found.volume_change_pct == pytest.approx(-50, abs=5)


@pytest.mark.parametrize("matrix", [STILL, MOVED])
def test_an_outline_that_took_in_the_other_half_makes_no_growth(matrix):
    found = change(
        exam(0, body_mm=RADIUS, keeps=left_half), exam(1, body_mm=RADIUS, matrix=matrix), matrix
    )
    assert (found.category, found.comparable) == ("no_detectable_change", False)


@pytest.mark.parametrize(("before", "after"), [(7.0, 9.0), (6.0, 12.0), (9.0, 10.0)])
@pytest.mark.parametrize("matrix", [STILL, MOVED])
def test_what_grew_or_shrank_in_the_images_is_called(before, after, matrix):
    grown = change(exam(0, body_mm=before), exam(1, body_mm=after, matrix=matrix), matrix)
    assert (grown.category, grown.comparable) == ("enlarging", True)
    less = change(exam(0, body_mm=after), exam(1, body_mm=before, matrix=matrix), matrix)
    assert less.category in ("shrinking", "no_detectable_change")  # 10 to 9 mm is 27 %, near the RC
    assert less.comparable


def test_growth_into_faint_mineral_that_became_dense_is_growth():
    """A quarter as dense before: most of what lies there came since."""
    first = exam(0, body_mm=RADIUS, keeps=left_half, hu=190.0)
    found = change(first, exam(1, body_mm=RADIUS, hu=610.0))
    assert found.category == "enlarging"


def test_a_small_part_that_an_outline_missed_does_not_speak_for_the_rest():
    """A ball that grew by 0.8 mm all round, which is not deep; before, a cap of it was left out.

    Of the later ball the cap beyond 8.5 mm is 8 %; all of it but its top is as dense before.
    """
    first = exam(0, body_mm=12.0, keeps=lambda x: x < MIDDLE[0] + 7)
    found = change(first, exam(1, body_mm=12.8))
    assert (found.category, found.comparable) == ("enlarging", True)


WIDE = 0.8
"""By such intervals two alike lesions may differ by exp(0.8 sqrt(2 - 2 * 0.9)) - 1 = 43 %."""


@pytest.mark.parametrize("hu", [600.0, 190.0])
@pytest.mark.parametrize("matrix", [STILL, MOVED])
def test_growth_that_the_images_show_is_called_whatever_the_outlines_intervals(matrix, hu):
    first = exam(0, body_mm=10.0, hu=hu, spread=WIDE)
    found = change(first, exam(1, body_mm=10.9, hu=hu, spread=WIDE, matrix=matrix), matrix)
    assert found.volume_change_pct == pytest.approx(29.5, abs=2)  # 1.09³
    assert (found.category, found.comparable) == ("enlarging", True)
    assert "growth_in_images" in found.flags
    assert "volume_rc_from_intervals" not in found.flags
    assert (found.volume_rc_pct, found.mass_rc_pct) == (25.0, 10.0)


@pytest.mark.parametrize("matrix", [STILL, MOVED])
def test_short_of_the_volumes_rc_the_mass_has_to_grow_too(matrix):
    first = exam(0, body_mm=10.0, spread=WIDE)
    second = exam(1, body_mm=10.7, spread=WIDE, matrix=matrix)
    found = change(first, second, matrix)
    assert 20 < found.volume_change_pct < 25  # 1.07³ = 1.225
    assert found.category == "enlarging"
    assert {"by_volume_and_mass", "growth_in_images"} <= set(found.flags)
    seen = second.observations[1]
    masses = [first.observations[1].mineral_mass_hu_mm3 * k for k in (1.0999, 1.1001)]
    found = [
        change(
            first,
            replace(
                second, observations={1: seen.model_copy(update={"mineral_mass_hu_mm3": mass})}
            ),
            matrix,
        ).category
        for mass in masses
    ]
    assert found == ["no_detectable_change", "enlarging"]


NOT_GROWN = {
    "the outline alone": ({"outline_mm": 10.0}, {}),
    "denser, and drawn larger for it": ({"outline_mm": 10.0, "hu": 300.0}, {}),
    "shrunk": ({"body_mm": 11.7, "outline_mm": 10.0}, {}),
}


@pytest.mark.parametrize("case", NOT_GROWN)
@pytest.mark.parametrize("matrix", [STILL, MOVED])
def test_what_only_the_outline_gained_is_held_to_its_intervals(case, matrix):
    before, after = ({"body_mm": 10.9, "spread": WIDE} | given for given in NOT_GROWN[case])
    found = change(exam(0, **before), exam(1, **after, matrix=matrix), matrix)
    assert found.volume_change_pct == pytest.approx(29.5, abs=2)
    assert (found.category, found.comparable) == ("no_detectable_change", True)
    assert "volume_rc_from_intervals" in found.flags


def test_a_lesion_that_is_laid_aside_did_not_grow():
    """Placed 3 mm off: one side seems gained, the other lost."""
    aside = np.eye(4)
    aside[0, 3] = 3.0
    first = exam(0, body_mm=10.9, outline_mm=10.0, spread=WIDE)
    assert change(first, exam(1, body_mm=10.9, spread=WIDE), aside).category == (
        "no_detectable_change"
    )


def test_a_fall_stays_held_to_the_intervals():
    """Called regressing it would lift the guard of a label; growth never does."""
    first = exam(0, body_mm=10.9, spread=WIDE)
    found = change(first, exam(1, body_mm=9.6, spread=WIDE))
    assert found.volume_change_pct < -25
    assert found.category == "no_detectable_change"
    assert found.volume_rc_pct > 40


def test_how_much_of_a_growth_has_to_be_seen_is_a_setting():
    pair = exam(0, body_mm=10.0, spread=WIDE), exam(1, body_mm=10.9, spread=WIDE)
    assert change(*pair, settings=SerialSettings(growth_in_images=2.0)).category == (
        "no_detectable_change"
    )


def with_pieces(*pieces):
    """A ball of 9 mm, and balls of 5 mm at ``x`` from its middle with a part of its excess."""
    grid = Grid(SIZE, SPACING, (0.0, 0.0, 0.0))
    points = grid.to_lps_mm(np.indices(SIZE).reshape(3, -1).T).reshape(*SIZE, 3)
    excess, outline = np.zeros(SIZE), np.zeros(SIZE, np.uint8)
    for x, radius, part in ((0.0, RADIUS, 1.0), *((x, 5.0, part) for x, part in pieces)):
        mm = np.linalg.norm(points - np.add(MIDDLE, (x, 0, 0)), axis=-1)
        excess += 550 * part * np.clip(radius - mm + 0.5, 0, 1)
        outline[mm <= radius] = 1
    volume, lesions = CTVolume((50 + excess).astype(np.int16), grid), Mask(outline, grid)
    return Shown(volume, lesions, clouds(lesions)[1], 50.0)


PIECE = (5.0 / RADIUS) ** 3


@pytest.mark.parametrize(
    ("before", "after", "growth"),
    [
        ([], [(17, 1.0)], PIECE),
        ([(17, 1.0)], [], -PIECE),
        ([(-17, 1.0)], [(17, 1.0)], 0.0),  # one came, one went
        ([], [(17, 0.4)], 0.0),  # drawn, and hardly there
        ([(17, 1.0)], [(17, 1.0)], 0.0),
    ],
)
def test_growth_is_what_came_less_what_went_of_what_is_dense(before, after, growth):
    found = growth_shown(with_pieces(*before), with_pieces(*after), STILL)
    assert found == pytest.approx(growth, abs=0.1 * PIECE)


def test_growth_is_not_seen_without_the_scans():
    first = replace(exam(0, body_mm=10.0, spread=WIDE), volume=None)
    assert change(first, exam(1, body_mm=10.9, spread=WIDE)).category == "no_detectable_change"


def test_without_the_scans_nobody_can_tell():
    first = replace(exam(0, body_mm=RADIUS), volume=None)
    found = change(first, exam(1, body_mm=RADIUS, keeps=left_half))
    assert (found.category, found.comparable) == ("shrinking", True)
