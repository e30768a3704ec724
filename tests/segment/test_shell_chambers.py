"""Which basins are chambers of one lesion: blocks of voxels, common faces counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from hoimg.segment.basins import Basins
from hoimg.segment.shells import _masses

RIM_HU = 500.0


def lesions(blocks, shells, wall_hu=400.0):
    """Basins that belong together, of blocks numbered from 2 on in soft tissue (1)."""
    labels = np.ones((12, 10, 30), np.int32)
    for number, where in enumerate(blocks, start=2):
        labels[where] = number
    background = np.arange(len(blocks) + 2) < 2
    parted = Basins(
        labels, background, np.full(labels.shape, wall_hu, np.float32), np.bincount(labels.ravel())
    )
    found = {k: SimpleNamespace(rim_hu=RIM_HU) for k in shells}
    return _masses(parted, ndimage.find_objects(labels), found, pass_ratio=0.9)


ONE = np.s_[4:8, 2:6, 4:8]  # 64 voxels
BESIDE = np.s_[4:8, 2:6, 8:12]  # and a wall of 16 faces
APART = np.s_[4:8, 2:6, 9:13]


def test_shells_with_a_wall_are_one_and_those_apart_are_two():
    assert lesions([ONE, BESIDE], {2, 3}) == [[2, 3]]
    assert lesions([ONE, APART], {2, 3}) == [[2], [3]]


@pytest.mark.parametrize(
    ("faces", "wall_hu", "together"),
    [(6, 400.0, True), (5, 449.0, False), (5, 450.0, True), (1, 450.0, True)],
)
def test_a_wall_of_fewer_than_six_faces_has_to_be_as_dense_as_the_rims(faces, wall_hu, together):
    other = [np.s_[4:5, 2 : 2 + min(faces, 3), 8:12]]
    if faces > 3:
        other.append(np.s_[5:6, 2 : faces - 1, 8:12])
    labels = np.zeros((12, 10, 30), bool)
    for where in other:
        labels[where] = True
    expected = [[2, 3]] if together else [[2], [3]]
    assert lesions([ONE, np.nonzero(labels)], {2, 3}, wall_hu) == expected


@pytest.mark.parametrize(("length", "together"), [(4, True), (5, False)])  # 64 and 80 voxels
def test_an_open_basin_is_a_chamber_where_half_of_the_mass_is_closed(length, together):
    opened = np.s_[4:8, 2:6, 8 : 8 + length]
    assert lesions([ONE, opened], {2}) == [[2, 3] if together else [2]]
    assert lesions([opened, ONE], {3}) == [[2, 3] if together else [3]]


@pytest.mark.parametrize(
    ("first", "last", "together"),
    [(1, 7, True), (0, 6, False), (5, 11, True), (6, 12, False)],
)
def test_a_mass_that_the_scan_cuts_has_no_chambers_but_shells(first, last, together):
    opened = np.s_[first:last, 2:6, 8:10]  # 48 voxels, and a wall of 8 faces or more
    assert lesions([ONE, opened], {2}) == [[2, 3] if together else [2]]


def test_shells_with_a_wall_are_one_where_native_bone_hangs_on_too():
    bone = np.s_[0:12, 2:6, 12:20]
    assert lesions([ONE, BESIDE, bone], {2, 3}) == [[2, 3]]
    assert lesions([ONE, bone, BESIDE], {2, 4}) == [[2, 4]]


def test_without_shells_there_is_nothing():
    assert lesions([ONE, BESIDE], set()) == []
