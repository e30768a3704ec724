"""Closed shells against bodies made of formulas: what is a lesion by its form, and what is not."""

import numpy as np
import pytest
from body_phantoms import axes, ball, paint, patient, with_shell, with_stone

from hoimg.segment.basins import find_basins
from hoimg.segment.shells import closed_shells
from hoimg.segment.working import make_working
from hoimg.settings import SegmentSettings

CUBE = (2.0, 2.0, 2.0)


def shells_of(volume, **changes):
    working = make_working(volume, 1.5)
    everywhere = np.ones(working.hu.shape, bool)
    settings = SegmentSettings(**changes)
    parted = find_basins(working, settings)
    return closed_shells(parted, working, everywhere, ~everywhere, settings)


def overlap(labels, depth):
    """Dice of all labels with the formula's voxels."""
    found, truth = labels > 0, depth > 0
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_a_free_shell_with_marrow_is_found_and_native_bones_are_not():
    result = shells_of(patient(with_shell))
    assert len(result.shells) == 1
    shell = result.shells[0]
    assert overlap(result.labels, ball((-22.0, -42.0, 40.0), 10.0)) > 0.9
    # The basin ends on the ridge, in the middle of the 3 mm thick shell.
    assert shell.volume_mm3 == pytest.approx(4 / 3 * np.pi * 8.5**3, rel=0.25)
    assert shell.soft_outside > 0.95
    assert shell.compactness < 3.0  # a ball has 1; the inscribed radius is in whole voxels


@pytest.mark.parametrize("part", [None, with_stone])
def test_bones_alone_and_a_stone_without_a_core_give_none(part):
    assert not shells_of(patient(*([part] if part else []))).shells


def fused(hu):
    """A shell with marrow grown onto the left thigh bone: their cortices are one."""
    paint(hu, ball((48.0, 0.0, 20.0), 11.0), 800.0)
    paint(hu, ball((48.0, 0.0, 20.0), 8.0), 40.0)


def test_a_fused_shell_is_cut_at_the_cortex_between_the_two_marrows():
    result = shells_of(patient(fused))
    assert len(result.shells) == 1
    x = -143.0 + 2.0 * np.argwhere(result.labels > 0)[:, 2]
    # The bone's own cortex spans x = 56 to 60 there, its marrow starts at 60.
    assert 54 <= x.max() <= 60
    assert overlap(result.labels, ball((48.0, 0.0, 20.0), 11.0)) > 0.85
    inside = result.beyond & (ball((48.0, 0.0, 20.0), 11.0) > 0)
    assert (-143.0 + 2.0 * np.argwhere(inside)[:, 2]).min() >= 54


def septum(hu):
    with_shell(hu)
    x = -143.0 + 2.0 * np.arange(hu.shape[2])
    wall = (np.abs(x + 22.0) < 1.5)[None, None, :] & (ball((-22.0, -42.0, 40.0), 10.0) > 0)
    hu[wall] = np.maximum(hu[wall], 300.0)


def test_a_low_septum_does_not_part_a_lesion():
    result = shells_of(patient(septum))
    assert len(result.shells) == 1
    assert overlap(result.labels, ball((-22.0, -42.0, 40.0), 10.0)) > 0.9


def rib(hu):
    """A curved tube of 5 mm radius with marrow, 100 mm long, inside the body."""
    z = 2.0 * np.arange(hu.shape[0])[:, None, None]
    y = -103.0 + 2.0 * np.arange(hu.shape[1])[None, :, None]
    x = -143.0 + 2.0 * np.arange(hu.shape[2])[None, None, :]
    tube = 6.0 - np.hypot(y + 50 - 0.004 * x**2, z - 44)
    tube = np.minimum(tube, 50 - np.abs(x))
    paint(hu, tube, 800.0)
    paint(hu, tube - 2.0, 150.0)


def test_a_tube_with_closed_ends_is_no_lesion():
    assert not shells_of(patient(rib)).shells


def leaky(hu):
    with_shell(hu)
    paint(hu, ball((-22.0, -52.0, 40.0), 6.0), 55.0)


def test_a_shell_with_a_hole_is_left_to_the_other_routes():
    assert not shells_of(patient(leaky)).shells


def test_each_limit_decides():
    scan = patient(with_shell)
    shell = shells_of(scan).shells[0]
    assert shells_of(scan, shell_max_mm3=shell.volume_mm3).shells
    assert not shells_of(scan, shell_max_mm3=0.999 * shell.volume_mm3).shells
    assert not shells_of(scan, shell_min_mm3=1.001 * shell.volume_mm3).shells
    assert not shells_of(scan, shell_inscribed_mm=1.001 * shell.inscribed_mm).shells
    assert not shells_of(scan, shell_soft_outside=1.0).shells or shell.soft_outside == 1.0


def test_metal_inside_and_a_place_outside_of_the_body_are_refused():
    working = make_working(patient(with_shell), 1.5)
    everywhere = np.ones(working.hu.shape, bool)
    settings = SegmentSettings()
    none = ~everywhere
    parted = find_basins(working, settings)
    assert closed_shells(parted, working, everywhere, none, settings).shells
    assert not closed_shells(parted, working, none, none, settings).shells
    assert not closed_shells(parted, working, everywhere, everywhere, settings).shells


def test_what_lies_in_a_given_skeleton_is_native_and_the_others_are_numbered_anew():
    def second(hu):
        paint(hu, ball((-22.0, 45.0, 40.0), 10.0), 800.0)
        paint(hu, ball((-22.0, 45.0, 40.0), 7.0), 40.0)

    result = shells_of(patient(with_shell, second))
    assert len(result.shells) == 2
    first = ball((-22.0, -42.0, 40.0), 10.0) > 0
    left = result.without(first)
    assert len(left.shells) == 1
    assert overlap(left.labels, ball((-22.0, 45.0, 40.0), 10.0)) > 0.85
    assert set(np.unique(left.labels)) == {0, 1}
    assert result.without(first & ~first).shells == result.shells


def two_chambers(gap_mm):
    """Two shells side by side: with a common wall, or with soft tissue between their walls."""
    half = 7.5 + gap_mm / 2

    def part(hu):
        for dy in (-half, half):
            paint(hu, ball((-22.0, -42.0 + dy, 40.0), 10.0), 800.0)
        for dy in (-half, half):
            paint(hu, ball((-22.0, -42.0 + dy, 40.0), 6.5), 40.0)

    return part


def test_chambers_with_a_common_wall_are_one_lesion_and_shells_apart_are_two():
    together = shells_of(patient(two_chambers(0.0)))
    assert len(together.shells) == 1
    truth = np.maximum(ball((-22.0, -49.5, 40.0), 10.0), ball((-22.0, -34.5, 40.0), 10.0))
    assert overlap(together.labels, truth) > 0.85
    assert not (together.beyond & (truth > 0)).any()
    assert len(shells_of(patient(two_chambers(9.0))).shells) == 2  # 4 mm of muscle between


def open_chamber(hu):
    """A small chamber on a shell's side whose own wall is open to the muscle."""
    paint(hu, ball((-22.0, -55.0, 40.0), 6.5), 800.0)
    with_shell(hu)
    paint(hu, ball((-22.0, -56.0, 40.0), 3.5), 150.0)


def test_an_open_chamber_of_a_free_mass_belongs_to_its_shell():
    result = shells_of(patient(open_chamber))
    assert len(result.shells) == 1
    chamber = ball((-22.0, -56.0, 40.0), 3.5) > 0
    assert (result.labels > 0)[chamber].mean() > 0.9
    assert not result.beyond[chamber].any()


def test_a_bone_that_a_shell_is_fused_with_is_no_chamber_of_it():
    # Its marrow is cut by the scan's end, and larger than the shell's core.
    x = -143.0 + 2.0 * np.arange(144)
    marrow = (np.hypot(x[None, None, :] - 70, axes()[1]) < 8) & (axes()[2] > 12) & (axes()[2] < 30)
    assert not (shells_of(patient(fused)).labels > 0)[marrow].any()
