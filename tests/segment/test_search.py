"""Pieces free of bone against cuts of them: bars of voxels, shares counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from hoimg.segment.candidates import Candidate
from hoimg.segment.classifier import Opinion
from hoimg.segment.search import _Judged, _wholes_for_cuts


def judged(first, last, score, route="free", attached=False, hard=None):
    """A bar from voxel ``first`` up to ``last`` of a row, with room of two voxels about it."""
    box = (slice(0, 5), slice(0, 5), slice(first - 2, last + 2))
    mask = np.zeros((5, 5, last - first + 4), bool)
    mask[2, 2, 2:-2] = True
    place = SimpleNamespace(attached=attached)
    return _Judged(
        Candidate(box, mask, attached, route=route), None, place, Opinion(score, ()), hard
    )


def chosen(*those):
    """Of each, the first voxel, the last and the score of what stands for it."""
    out = []
    for one in _wholes_for_cuts(those):
        row = one.candidate.box[2]
        out.append((row.start + 2, row.stop - 2, one.said.probability))
    return out


WHOLE = judged(10, 40, 0.30)


@pytest.mark.parametrize("route", ["basin", "lump", "parts"])
def test_a_cut_gives_way_to_the_whole_with_the_better_score_of_the_two(route):
    assert chosen(WHOLE, judged(12, 22, 0.5, route)) == [(10, 40, 0.30), (10, 40, 0.5)]
    assert chosen(judged(12, 22, 0.1, route), WHOLE) == [(10, 40, 0.30), (10, 40, 0.30)]


@pytest.mark.parametrize(("score", "gives_way"), [(0.60, True), (0.61, False)])
def test_from_half_of_its_score_on_the_whole_is_taken(score, gives_way):
    first = chosen(WHOLE, judged(12, 22, score, "basin"))[1][0]
    assert first == (10 if gives_way else 12)


@pytest.mark.parametrize(("first", "gives_way"), [(9, True), (8, False)])  # 9 and 8 of 10 voxels
def test_a_cut_lies_in_the_whole_by_nine_tenths(first, gives_way):
    found = chosen(WHOLE, judged(first, first + 10, 0.3, "lump"))[1]
    assert found[:2] == ((10, 40) if gives_way else (first, first + 10))


@pytest.mark.parametrize(
    ("whole", "cut"),
    [
        ({}, {"route": "basin", "attached": True}),
        ({"attached": True}, {"route": "basin"}),
        ({"route": "shell"}, {"route": "basin"}),
        ({}, {"route": "free"}),
        ({}, {"route": "marrow"}),
    ],
)
def test_what_stands_on_bone_and_what_is_no_cut_stays(whole, cut):
    pair = judged(10, 40, 0.3, **whole), judged(12, 22, 0.3, **cut)
    assert chosen(*pair) == [(10, 40, 0.3), (12, 22, 0.3)]


def test_of_two_wholes_the_likelier_is_taken_with_what_speaks_against_it():
    refused = judged(10, 60, 0.4, hard=("metal", "near"))
    cut = judged(12, 22, 0.3, "parts")
    assert chosen(WHOLE, refused, cut)[2] == (10, 60, 0.4)
    assert _wholes_for_cuts([WHOLE, refused, cut])[2].hard == ("metal", "near")
