"""Scans of one side alone, with nothing planted: no normal bone may be called."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.segment.exam import segment_exam
from hoimg.segment.kneecap import in_front_of_bone
from hoimg.segment.working import make_working
from hoimg.simulate.film_anatomy import make_body
from hoimg.simulate.limb import make_limb

MM = 1.5
SHAPE = (40, 90, 100)  # z up, y to the back, x to the left


def noisy(volume, seed):
    noise = np.random.default_rng(seed).normal(0, 12, volume.hu.shape)
    return CTVolume((volume.hu + noise).astype(np.int16), volume.grid)


def cropped(volume, low_lps_mm, high_lps_mm):
    corners = itertools.product(*zip(low_lps_mm, high_lps_mm, strict=True))
    index = np.array([volume.grid.to_index_zyx(p) for p in corners]).reshape(-1, 3)
    first = np.maximum(np.floor(index.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, volume.grid.size_zyx)
    return volume.crop(tuple(slice(a, b) for a, b in zip(first, last, strict=True)))


@pytest.mark.parametrize("seed", [311, 312])
def test_a_hip_alone_has_no_lesion(seed):
    made = make_limb("hip", spacing_zyx_mm=(1.5, 1.25, 1.25), seed=seed, length_mm=110.0)
    found = segment_exam(noisy(cropped(made.volume, made.low_lps_mm, made.high_lps_mm), seed))
    assert not found.lesions.array.any()
    assert [f.code for f in found.findings] == ["no_other_side"]


@pytest.mark.parametrize(("side", "seed"), [("r", 311), ("l", 312)])
def test_a_knee_alone_has_no_lesion_and_its_kneecap_is_named(side, seed):
    body = make_body("knees", seed=seed, side=side, spacing_mm=1.5)
    found = segment_exam(noisy(body.volume, seed))
    assert not found.lesions.array.any()
    kneecap = body.bones[f"patella_{side}"] >= 0.5
    labels = found.excluded.array[kneecap]
    most = int(np.bincount(labels[labels > 0]).argmax())
    region = next(r for r in found.excluded_regions if r.label == most)
    assert region.reason == "native_bone"
    assert "kneecap" in region.note


def knee(*, breadth=42.0, depth=18.0, to_skin=10.0, gap=6.0, condyles=80.0):
    """A thigh's cross-section as boxes, mm: body, bone, and a plate in front of it."""
    y = MM * np.arange(SHAPE[1])[None, :, None] + np.zeros(SHAPE)
    x = MM * (np.arange(SHAPE[2])[None, None, :] - SHAPE[2] // 2) + np.zeros(SHAPE)
    z = MM * (np.arange(SHAPE[0])[:, None, None] - SHAPE[0] // 2) + np.zeros(SHAPE)
    front = 20.0
    body = (y >= front) & (y < 120) & (abs(x) < 65)
    start = front + to_skin
    piece = (y >= start) & (y < start + depth) & (abs(x) <= breadth / 2) & (abs(z) <= 20)
    behind = start + depth + gap
    bone = (y >= behind) & (y < behind + 30) & (abs(x) <= condyles / 2)
    return piece, body, bone


def seen(piece, body, bone, turn=None):
    """What is said of the piece, on a grid whose array may be turned against the patient."""
    direction = np.eye(3)
    order = (2, 1, 0)  # of array axes: along patient z, y, x
    flips = (False, False, False)
    if turn is not None:
        order, flips = turn
    arrays = []
    for array in (piece, body, bone):
        made = np.transpose(array, [2 - k for k in order])
        arrays.append(made[tuple(slice(None, None, -1 if f else 1) for f in flips)])
    columns = [direction[:, k] * (-1 if f else 1) for k, f in zip(order, flips, strict=True)]
    axes = tuple(map(tuple, np.array(columns[::-1]).T))
    grid = Grid(arrays[0].shape, (MM, MM, MM), (0.0, 0.0, 0.0), axes)
    working = make_working(CTVolume(np.zeros(arrays[0].shape, np.int16), grid), MM)
    whole = tuple(slice(0, n) for n in arrays[0].shape)
    return in_front_of_bone(whole, arrays[0], arrays[1], arrays[2], working)


def test_what_lies_in_front_and_behind_is_measured_in_mm():
    said = seen(*knee())
    assert said.to_skin_mm == pytest.approx(10.0, abs=MM)
    assert said.covered == 1.0
    assert said.breadth_mm == pytest.approx(42.0, abs=MM)
    assert said.behind_mm == pytest.approx(80.0, abs=MM)
    assert said.depth_mm == pytest.approx(18.0, abs=MM)
    assert said.is_kneecap


TURNS = [
    (order, flips)
    for order in ((2, 1, 0), (1, 2, 0), (0, 1, 2))
    for flips in ((False, True, False), (True, False, True))
]


@pytest.mark.parametrize("turn", TURNS)
def test_the_patient_may_lie_any_way_in_the_array(turn):
    assert seen(*knee(), turn=turn) == seen(*knee())


@pytest.mark.parametrize(
    "changes",
    [
        {"to_skin": 30.0},  # muscle in front: in the quadriceps
        {"condyles": 32.0},  # on a shaft
        {"gap": 25.0},  # nothing close behind
        {"depth": 36.0},  # no plate
        {"breadth": 24.0},
    ],
)
def test_ossification_in_the_thigh_is_no_kneecap(changes):
    assert not seen(*knee(**changes)).is_kneecap
