"""Outlines that touch: blocks of voxels, areas of their faces counted by hand."""

import numpy as np
import pytest

from hoimg.segment.touching import contacts_mm2, joined

SPACING = (3.0, 1.0, 2.0)  # faces: 2 mm2 across z, 6 across y, 3 across x


def blocks(*parts):
    labels = np.zeros((12, 12, 16), np.uint16)
    for number, where in enumerate(parts, start=1):
        labels[where] = number
    return labels


def no_flags(labels):
    return {int(k): [] for k in np.unique(labels) if k}


@pytest.mark.parametrize(
    ("one", "other", "area"),
    [
        (np.s_[2:4, 2:5, 2:6], np.s_[4:6, 2:5, 2:6], 12 * 2.0),
        (np.s_[2:4, 2:5, 2:6], np.s_[2:4, 5:7, 2:6], 8 * 6.0),
        (np.s_[2:4, 2:5, 2:6], np.s_[2:4, 2:5, 6:9], 6 * 3.0),
        (np.s_[2:4, 2:5, 2:6], np.s_[2:4, 4:9, 6:9], 2 * 3.0),
        (np.s_[2:4, 2:5, 2:6], np.s_[4:6, 5:7, 2:6], 0.0),  # an edge
        (np.s_[2:4, 2:5, 2:6], np.s_[5:7, 2:5, 2:6], 0.0),  # a gap of one voxel
    ],
)
def test_the_area_that_two_outlines_share(one, other, area):
    for labels in (blocks(one, other), blocks(other, one)):
        assert contacts_mm2(labels, SPACING) == ({(1, 2): area} if area else {})


@pytest.mark.parametrize(("faces", "lesions"), [(3, 2), (4, 1)])  # 9 and 12 mm2
def test_from_ten_square_millimetres_on_they_are_one(faces, lesions):
    labels = blocks(np.s_[2:3, 2:9, 2:6], np.s_[2:3, 2 : 2 + faces, 6:9])
    before = labels > 0
    assert len(joined(labels, no_flags(labels), SPACING)) == lesions
    assert len(np.unique(labels)) - 1 == lesions
    np.testing.assert_array_equal(labels > 0, before)


def test_chains_are_one_and_the_others_keep_their_order():
    labels = blocks(
        np.s_[0:2, 0:3, 0:4],
        np.s_[6:9, 6:9, 0:4],
        np.s_[0:2, 0:3, 8:12],
        np.s_[6:9, 6:9, 8:12],
        np.s_[0:2, 0:3, 4:8],  # between the first and the third
    )
    old = labels.copy()
    flags = {1: ["attached_to_bone"], 2: [], 3: ["skeleton_disputed"], 4: ["b"], 5: []}
    flags[5] = ["attached_to_bone"]
    kept = joined(labels, flags, SPACING)
    assert kept == {1: ["attached_to_bone", "skeleton_disputed"], 2: [], 3: ["b"]}
    for was, now in {1: 1, 2: 2, 3: 1, 4: 3, 5: 1}.items():
        assert (labels[old == was] == now).all()


def test_nothing_that_does_not_touch_is_changed():
    labels = blocks(np.s_[0:2, 0:3, 0:4], np.s_[6:9, 6:9, 0:4])
    old, flags = labels.copy(), {1: ["a"], 2: ["b"]}
    assert joined(labels, flags, SPACING) == flags
    np.testing.assert_array_equal(labels, old)
    empty = np.zeros((3, 3, 3), np.uint16)
    assert joined(empty, {}, SPACING) == {}
