"""A given skeleton beside the image: misplaced, mirrored, lacking a bone, holding ectopic bone."""

from __future__ import annotations

import numpy as np
import pytest

from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.segment import segment_exam
from hoimg.segment.given import divide_by_given, given_skeleton, lacking_bones, swallowed
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

SPACING = 2.0
SHAPE = (40, 60, 80)
SETTINGS = SegmentSettings()
Z, Y, X = np.indices(SHAPE) * SPACING


def tube(x: float, y: float, radius: float = 12.0) -> np.ndarray:
    """A shaft along the whole scan, with its marrow."""
    return np.hypot(X - x, Y - y) <= radius


def ball(x: float, y: float, z: float, radius: float) -> np.ndarray:
    return np.sqrt((X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2) <= radius


def working_of(dense: np.ndarray) -> Working:
    hu = np.where(dense, 800.0, 50.0).astype(np.float32)
    return Working(hu, Grid(SHAPE, (SPACING,) * 3, (0.0, 0.0, 0.0)), (1, 1, 1))


# Two legs of unlike height: left and right can be told apart.
LEFT, RIGHT = tube(40, 70), tube(110, 40)
BOTH = LEFT | RIGHT
NOTHING = np.zeros(SHAPE, bool)


def test_a_skeleton_on_the_bone_is_believed():
    said = given_skeleton(BOTH, BOTH, working_of(BOTH), SETTINGS, "given")
    assert (said.usable, said.agreement, said.findings) == (True, 1.0, ())
    assert said.confidence[BOTH].min() == 1.0
    assert said.confidence[ball(80, 110, 40, 5)].max() == 0.0


@pytest.mark.parametrize(("x_mm", "warned"), [(2, False), (4, True)])
def test_a_skeleton_moved_a_little_is_doubted_from_some_shift_on(x_mm, warned):
    moved = np.roll(BOTH, int(x_mm / SPACING), axis=2)
    strict = SETTINGS.model_copy(update={"given_doubted_below": 0.99})
    said = given_skeleton(moved, BOTH, working_of(BOTH), strict, "given")
    assert said.usable
    assert [f.code for f in said.findings] == (["skeleton_disagrees"] if warned else [])


def test_a_mirrored_skeleton_is_named_as_mirrored():
    said = given_skeleton(np.flip(BOTH, 2), BOTH, working_of(BOTH), SETTINGS, "given")
    assert said.why is not None
    assert "mirrored left to right with 100 %" in said.why


def test_a_skeleton_beside_the_bone_is_refused():
    moved = np.roll(BOTH, 14, axis=1)
    said = given_skeleton(moved, BOTH, working_of(BOTH), SETTINGS, "given")
    assert said.why is not None
    assert "agrees with only" in said.why


def test_a_skeleton_without_bone_to_compare_with_is_taken_as_it_is():
    nothing = np.zeros(SHAPE, bool)
    assert given_skeleton(BOTH, nothing, working_of(nothing), SETTINGS, "given").usable
    assert given_skeleton(nothing, BOTH, working_of(BOTH), SETTINGS, "given").agreement is None


def divided(dense, fresh=NOTHING, before=NOTHING):
    working = working_of(dense)
    return divide_by_given(
        dense, LEFT, working, SETTINGS, shells=NOTHING, fresh=fresh, before=before
    )


def test_what_stands_off_the_mask_is_suspect_and_a_bone_that_it_lacks_is_not():
    lump = ball(40, 90, 40, 10)  # on the left shaft
    free = ball(75, 100, 30, 6)
    dense = BOTH | lump | free
    found = divided(dense)
    np.testing.assert_array_equal(found.lacking, RIGHT)
    np.testing.assert_array_equal(found.division.free, free)
    distance = np.hypot(X - 40, Y - 70) - 12.0
    suspects = found.division.marrow_suspects
    assert suspects[lump & (distance > 2 * SPACING)].all()
    assert not suspects[~lump].any()
    assert not (suspects & found.division.kept).any()
    # The mask takes the place of marrow, and nothing is cortex beyond it.
    np.testing.assert_array_equal(found.marrow.inside, LEFT | RIGHT)
    assert found.marrow.beyond(0.0)[~(LEFT | RIGHT)].all()
    held = lacking_bones(found.lacking, working_of(dense))
    assert [h.finding.code for h in held] == ["skeleton_lacks_bone"]
    volume = RIGHT.sum() * SPACING**3 / 1000
    assert f"{volume:.1f} mL at LPS 110, 40, 39 mm" in held[0].finding.message


def test_what_is_new_since_an_earlier_exam_is_suspect_though_the_mask_holds_it():
    new = ball(40, 70, 40, 6) & LEFT
    found = divided(LEFT, fresh=new, before=LEFT & ~new)
    np.testing.assert_array_equal(found.division.mirror_suspects, new)
    np.testing.assert_array_equal(found.division.kept, LEFT & ~new)
    np.testing.assert_array_equal(found.marrow.inside, LEFT & ~new)


def test_a_lump_that_does_not_leave_the_scan_is_no_bone_that_the_mask_lacks():
    lump = ball(40, 94, 40, 14)  # 11 mL
    dense = LEFT | lump
    found = divided(dense)
    assert not found.lacking.any()
    assert found.division.marrow_suspects.sum() > 0.7 * (lump & ~LEFT).sum()


@pytest.mark.parametrize(("wide", "bone"), [(8, True), (6, False)])
def test_what_leaves_the_scan_with_little_of_itself_is_no_bone_that_the_mask_lacks(wide, bone):
    lump = np.zeros(SHAPE, bool)
    lump[1:12, 40:58, 40:60] = True  # 32 mL, 18 x 20 in cross-section
    lump[0, 40:58, 40 : 40 + wide] = True  # 0.4 or 0.3 of that in the first slice
    found = divided(LEFT | lump)
    assert found.lacking.any() == bone


@pytest.mark.parametrize(("inside", "told"), [(0.45, False), (0.55, True)])
def test_a_closed_shell_inside_of_the_mask_is_told_from_one_half_on(inside, told):
    shells = np.zeros(SHAPE, np.int32)
    shells[10:20, 20:30, 20:40] = 1
    given = np.zeros(SHAPE, bool)
    given[10:20, 20:30, 20 : 20 + round(20 * inside)] = True
    held = swallowed(shells, given, working_of(given))
    assert [h.finding.code for h in held] == (["skeleton_disagrees"] if told else [])
    for each in held:
        assert each.mask.sum() == 2000
        assert f"{100 * inside:.0f} % inside" in each.note


# The whole stage on a body of soft tissue.


def body(dense: np.ndarray) -> CTVolume:
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 4:-4, 4:-4] = 50
    hu[dense] = 700
    return CTVolume.from_array(hu, (SPACING,) * 3)


def test_ectopic_bone_on_a_given_skeleton_is_called():
    lump = ball(40, 90, 40, 9)
    volume = body(BOTH | lump)
    found = segment_exam(volume, skeleton=Mask(BOTH, volume.grid))
    called = found.lesions.array > 0
    truth = lump & ~BOTH
    assert 2 * (called & truth).sum() / (called.sum() + truth.sum()) > 0.8
    assert found.provider == "given"
    assert found.skeleton_confidence is not None
    assert found.skeleton_confidence.array.dtype == np.uint8
    assert found.skeleton_confidence.array.max() == 100


def test_a_readers_skeleton_that_does_not_fit_is_refused_and_a_programs_is_left_aside():
    volume = body(BOTH)
    wrong = Mask(np.ascontiguousarray(np.flip(BOTH, 2)), volume.grid)
    with pytest.raises(InputRefused, match="mirrored left to right") as refused:
        segment_exam(volume, skeleton=wrong)
    assert refused.value.code == "mask_misplaced"
    found = segment_exam(volume, skeleton=wrong, skeleton_by="a program")
    assert "model_skeleton_unused" in [f.code for f in found.findings]
    assert "a program" not in found.provider


def test_a_bone_that_a_given_skeleton_lacks_is_listed_and_not_called():
    volume = body(BOTH)
    found = segment_exam(volume, skeleton=Mask(LEFT, volume.grid))
    assert not found.lesions.array.any()
    assert "skeleton_lacks_bone" in [f.code for f in found.findings]
    listed = [r for r in found.excluded_regions if "lacks it" in r.note]
    assert [r.reason for r in listed] == ["native_bone"]
