"""Whether an outline was redrawn shows, whatever its label and wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.outlines import Redrawn, outlines_of, redrawn

GRID = Grid((6, 8, 10), (1.0, 1.0, 1.0))


def labels() -> np.ndarray:
    array = np.zeros(GRID.size_zyx, np.uint16)
    array[1:3, 1:4, 1:4] = 1
    array[4:6, 5:8, 6:9] = 300
    return array


def difference(change) -> Redrawn:
    now = labels()
    change(now)
    before = outlines_of(Mask(labels(), GRID), {})
    return redrawn(before, outlines_of(Mask(now, GRID), {}))


def put(box, value):
    return lambda array: array.__setitem__(box, value)


def swap(array):
    one = array == 1
    array[array == 300] = 1
    array[one] = 300


def move(array):
    array[array == 1] = 0
    array[1:3, 1:4, 2:5] = 1  # the same shape, one voxel further


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda array: None, Redrawn()),
        (put((1, 1, 4), 1), Redrawn(changed=(1,))),  # one voxel more
        (put((2, 2, 2), 0), Redrawn(changed=(1,))),  # one less, inside: its box is the same
        (move, Redrawn(changed=(1,))),
        (swap, Redrawn(changed=(1, 300))),
        (put((0, 7, 0), 2), Redrawn(new=(2,))),
        (put(np.s_[4:6], 0), Redrawn(removed=(300,))),
        (put(np.s_[1:3], 5), Redrawn(new=(5,), removed=(1,))),
    ],
)
def test_what_changed_is_told_by_label(change, expected):
    found = difference(change)
    assert found == expected
    assert bool(found) == (expected != Redrawn())


def test_the_type_of_numbers_says_nothing_of_the_outline():
    """A viewer may write the map back with another type."""
    before = outlines_of(Mask(labels(), GRID), {})
    after = outlines_of(Mask(labels().astype(np.uint32), GRID), {1: ["from_seed"]})
    assert not redrawn(before, after)
    binary = labels() == 1
    assert outlines_of(Mask(binary, GRID), {})[0].sha256 == before[0].sha256


def test_each_label_has_its_flags():
    found = outlines_of(Mask(labels(), GRID), {300: ["from_seed"], 4: ["of another"]})
    assert [(o.label, o.flags) for o in found] == [(1, []), (300, ["from_seed"])]
    assert outlines_of(Mask(labels() * 0, GRID), {}) == []
