"""Where a lesion lies in the other exams, as far as the registrations tell."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.links import NOT_CARRIED, links_of
from hoimg.report.reasons import reason_text
from hoimg.results import Lesion, Maturity, Observation
from hoimg.serial import Part, Registration
from hoimg.serial.matching import Way
from hoimg.serial.surface import move

GRID = Grid((20, 20, 20), (2.0, 2.0, 2.0), (-20.0, -20.0, -20.0))


def rigid(seed: int, shift_mm: float = 5.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
    matrix[:3, 3] = rng.normal(0, shift_mm, 3)
    return matrix


def analysis(exam_id: str, seen: bool) -> SimpleNamespace:
    labels = np.zeros(GRID.size_zyx, np.uint16)
    if seen:
        labels[8:12, 8:12, 8:12] = 1
    return SimpleNamespace(
        exam=SimpleNamespace(exam_id=exam_id),
        volume=SimpleNamespace(grid=GRID),
        segmentation=SimpleNamespace(lesions=Mask(labels, GRID)),
    )


def lesion(seen: dict[str, tuple[float, float, float] | None], of: str | None = None) -> Lesion:
    return Lesion(
        lesion_id="L1",
        tracking_uid="2.25.1",
        observations=[
            Observation(exam_id=e, status="absent")
            if place is None
            else Observation(exam_id=e, status="measured", label=1, centroid_lps_mm=place)
            for e, place in seen.items()
        ],
        changes=[],
        maturity=Maturity(label="immature", exam_id=of, reasons=[], criteria=[]),
    )


def test_registrations_are_chained_and_turned_about():
    """Reference c; c is known from b, and b from a: c to a goes back over b."""
    one, two = rigid(1), rigid(2)
    ways = {
        ("a", "b"): Registration(one, accepted=True),
        ("a", "c"): Registration(reason="mirrored"),
        ("b", "c"): Registration(two, accepted=True),
    }
    here = lesion({"a": None, "b": (0.0, 0.0, 0.0), "c": (1.0, 2.0, 3.0)}, "c")
    found = links_of([here], [analysis(e, e != "a") for e in "abc"], ways)["2.25.1"]
    assert found.exam_id == "c"
    assert found.to["a"].by == found.to["b"].by == "registration"
    points = np.random.default_rng(3).normal(0, 30, (20, 3))
    in_a = points
    in_c = move(two, move(one, in_a))
    assert move(found.to["a"].matrix_lps, in_c) == pytest.approx(in_a, abs=1e-9)
    assert move(found.to["b"].matrix_lps, in_c) == pytest.approx(move(one, in_a), abs=1e-9)


def test_a_rejected_registration_leaves_the_centres_or_nothing():
    ways = {
        ("a", "b"): Registration(reason="bones_do_not_overlap"),
        ("a", "c"): Registration(reason="mirrored"),
    }
    here = lesion({"a": (4.0, 5.0, 6.0), "b": (1.0, 1.0, 1.0), "c": None})
    found = links_of([here], [analysis(e, e != "c") for e in "abc"], ways)["2.25.1"]
    assert found.exam_id == "b"  # the last that shows it, since the label names none
    assert found.to["a"].by == "centres"
    assert found.to["a"].reason == "bones_do_not_overlap"
    assert move(found.to["a"].matrix_lps, np.array([[1.0, 1.0, 1.0]])) == pytest.approx(
        np.array([[4.0, 5.0, 6.0]])
    )
    assert (found.to["c"].matrix_lps, found.to["c"].by) == (None, None)
    assert found.to["c"].reason == "mirrored"


def test_a_lesion_at_bone_that_was_not_placed_is_not_carried():
    near = np.array([[0.0, 0.0, 4.0]])
    far = np.array([[0.0, 0.0, 500.0]])
    parts = (
        Part(np.eye(4), True, fixed_points_lps_mm=far, moving_points_lps_mm=far),
        Part(np.eye(4), False, fixed_points_lps_mm=near, moving_points_lps_mm=near),
    )
    ways = {("a", "b"): Registration(np.eye(4), accepted=True, parts=parts)}
    here = lesion({"a": (0.0, 0.0, 0.0), "b": None}, "a")
    found = links_of([here], [analysis("a", True), analysis("b", False)], ways)["2.25.1"]
    assert found.to["b"].matrix_lps is None
    assert found.to["b"].reason == NOT_CARRIED
    assert reason_text(NOT_CARRIED).startswith("bone near the lesion was not placed")


def test_a_lesion_that_no_ct_shows_has_no_links():
    assert links_of([lesion({"film": (0, 0, 0)})], [analysis("a", False)], {}) == {}


def test_a_ways_motion_is_the_one_that_carries_the_body():
    """Two parts in each step: the body goes by a blend of their motions."""
    rng = np.random.default_rng(5)
    body = rng.normal(0, 4, (50, 3))

    def step(seed: int) -> Registration:
        ends = [rng.normal(12 * side, 2, (40, 3)) for side in (-1, 1)]
        parts = tuple(
            Part(rigid(seed + k, 2.0), True, fixed_points_lps_mm=p, moving_points_lps_mm=p)
            for k, p in enumerate(ends)
        )
        return Registration(parts[0].matrix_lps, accepted=True, parts=parts)

    way = Way((step(10), step(20)), (GRID,))
    assert move(way.motion(body), body) == pytest.approx(way.carry(body), abs=1e-9)
    assert Way().motion(body) == pytest.approx(np.eye(4))
