"""One lesion that an exam's outlines cut into labels that touch: blocks of voxels of 2 mm."""

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.results import Acquisition, Observation
from hoimg.serial import ExamLesions, Registration, track
from hoimg.serial.matching import clouds, one_piece

GRID = Grid((20, 20, 40), (2.0, 2.0, 2.0))
ACQUISITION = Acquisition(kvp=120, kernel="B", slice_thickness_mm=2.0)
WHOLE = {1: np.s_[5:13, 5:13, 5:25]}
HALVES = {1: np.s_[5:13, 5:13, 5:16], 2: np.s_[5:13, 5:13, 16:25]}
GROWN = {1: np.s_[4:13, 5:14, 5:16], 2: np.s_[4:13, 5:14, 16:25]}  # 81/64 of it
APART = {1: np.s_[5:13, 5:13, 5:16], 2: np.s_[5:13, 5:13, 17:25]}


def blocks(parts):
    array = np.zeros(GRID.size_zyx, np.uint16)
    for label, where in parts.items():
        array[where] = label
    return Mask(array, GRID)


def exam(k, parts):
    mask = blocks(parts)
    seen = {}
    for label in parts:
        volume = float(np.count_nonzero(mask.array == label)) * 8
        seen[label] = Observation(
            exam_id=f"e{k}",
            status="measured",
            label=label,
            volume_mm3=volume,
            mineral_mass_hu_mm3=500 * volume,
            mean_hu=500.0,
            touches_fov=False,
        )
    return ExamLesions(f"e{k}", 100 * k, ACQUISITION, mask, seen)


def main_changes(*exams):
    placed = {("e0", e.exam_id): Registration(np.eye(4), True, 0.95, 0.3) for e in exams[1:]}
    return track(list(exams), placed, patient_key="key")[0].changes


@pytest.mark.parametrize(
    ("before", "after", "category", "percent"),
    [
        (WHOLE, GROWN, "enlarging", 100 * (81 / 64 - 1)),
        (WHOLE, HALVES, "no_detectable_change", 0.0),
        (HALVES, WHOLE, "no_detectable_change", 0.0),
        (GROWN, WHOLE, "shrinking", 100 * (64 / 81 - 1)),
    ],
)
def test_the_sum_of_parts_that_touch_says_what_became_of_it(before, after, category, percent):
    if category == "shrinking":  # 21 % of volume counts with the mass
        assert abs(percent) > 20
    (found,) = main_changes(exam(0, before), exam(1, after))
    assert found.category == category
    assert found.volume_change_pct == pytest.approx(percent)
    assert "drawn_in_parts" in found.flags
    assert found.density_change_hu is None  # no part's density is the whole's


def test_parts_with_a_gap_between_them_split_and_merge():
    (found,) = main_changes(exam(0, WHOLE), exam(1, APART))
    assert (found.category, found.flags) == ("split", [])
    (found,) = main_changes(exam(0, APART), exam(1, WHOLE))
    assert (found.category, found.flags) == ("merged", [])


def test_a_part_that_was_not_there_before_makes_no_drawing_in_parts():
    late = {**APART, 3: np.s_[13:16, 5:13, 5:16]}
    first, second, third = exam(0, APART), exam(1, late), exam(2, WHOLE)
    changes = {(c.from_exam, c.to_exam): c for c in main_changes(first, second, third)}
    assert changes["e0", "e2"].category == "merged"


@pytest.mark.parametrize(
    ("parts", "together"),
    [
        (HALVES, True),
        (APART, False),
        ({1: np.s_[5:7, 5:6, 5:9], 2: np.s_[5:7, 5:6, 9:12]}, False),  # 2 faces of 4 mm2
        ({1: np.s_[5:8, 5:6, 5:9], 2: np.s_[5:8, 5:6, 9:12]}, True),  # 3 faces
        ({1: np.s_[5:9, 5:9, 5:9], 2: np.s_[9:12, 9:12, 5:9]}, False),  # an edge
        ({1: np.s_[5:9, 5:9, 5:9], 2: np.s_[5:9, 5:9, 9:12], 3: np.s_[5:9, 5:9, 12:15]}, True),
        ({1: np.s_[5:9, 5:9, 5:9], 2: np.s_[5:9, 5:9, 9:12], 3: np.s_[5:9, 5:9, 13:15]}, False),
        ({4: np.s_[5:6, 5:6, 5:6]}, True),
    ],
)
def test_what_hangs_together(parts, together):
    mask = blocks(parts)
    assert one_piece(mask, list(clouds(mask).values())) == together
