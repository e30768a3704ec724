"""The geometry checks on plain numbers: random orientations, every failure by name, boundaries."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from synthetic_ct import AXIAL, stack

from hoimg.dicom.slices import Geometry, check_geometry, direction_of, duplicate_positions
from hoimg.settings import IntakeSettings


def check(
    positions: list[np.ndarray],
    cosines: object = AXIAL,
    thickness: float | None = 1.0,
    **limits: float,
) -> Geometry:
    turned = np.asarray(cosines, float)
    each = turned if turned.ndim == 2 else np.tile(turned, (len(positions), 1))
    return check_geometry(
        positions, each.tolist(), (0.7, 0.9), (10, 12), thickness, IntakeSettings(**limits)
    )


def codes(result: Geometry) -> list[str]:
    return [f.code for f in result.findings]


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    order=st.permutations(range(7)),
    step=st.floats(0.3, 1.4),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_any_orientation_in_any_file_order_gives_the_files_own_affine(angles, order, step, origin):
    turn = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    cosines = (*turn[:, 0], *turn[:, 1])
    places = stack(7, step, cosines, origin)
    result = check([places[i] for i in order], cosines, thickness=step)
    assert result.findings == ()
    assert result.regular
    assert [order[i] for i in result.order] == list(range(7))
    assert result.grid is not None
    assert result.grid.size_zyx == (7, 10, 12)
    assert result.grid.spacing_zyx_mm == pytest.approx((step, 0.7, 0.9))
    # pixel (slice 4, row 3, column 5) by the standard's formula
    expected = places[4] + 5 * 0.9 * turn[:, 0] + 3 * 0.7 * turn[:, 1]
    assert result.grid.to_lps_mm((4, 3, 5)) == pytest.approx(expected, abs=1e-6)
    assert np.linalg.det(np.asarray(result.grid.direction)) == pytest.approx(1.0)


@given(n=st.integers(6, 40), gap=st.integers(1, 4), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_missing_slice_anywhere_inside_is_named(n, gap, data):
    first = data.draw(st.integers(1, n - 2))
    places = stack(n + gap, 0.625)
    kept = [p for i, p in enumerate(places) if not first <= i < first + gap]
    result = check(kept)
    assert "missing_slices" in codes(result)
    assert result.grid is None
    assert f"{gap} slice(s) missing" in result.findings[0].message


def test_most_slices_missing_is_still_a_gap() -> None:
    places = stack(30)
    kept = [places[i] for i in (0, 1, 3, 5, 7, 9, 11, 13, 15)]
    result = check(kept, thickness=5.0)
    assert codes(result) == ["missing_slices"]
    assert "7 slice(s) missing in 7 place(s)" in result.findings[0].message


@given(angle=st.floats(1, 44), sign=st.sampled_from([-1, 1]), axis=st.sampled_from([0, 1]))
@settings(max_examples=40, deadline=None)
def test_tilt_is_corrected_and_named_with_its_angle(angle, sign, axis):
    # Slices perpendicular to z, origins along a line that leans by the angle.
    places = [p.copy() for p in stack(12)]
    for k, place in enumerate(places):
        place[axis] += sign * k * np.tan(np.radians(angle))
    result = check(places)
    assert codes(result) == ["gantry_tilt"]
    said = float(re.search(r"by ([0-9.]+) degrees", result.findings[0].message)[1])
    assert said == pytest.approx(angle, abs=0.051)
    assert result.tilt_deg == pytest.approx(angle)
    assert not result.regular
    # Every slice's first pixel stands where its file says, by the grid and by the standard.
    assert result.grid is not None
    dz, dy, dx = result.grid.spacing_zyx_mm
    for place, along, (y, x) in zip(places, result.along_mm, result.shift_yx_mm, strict=True):
        index = (along / dz, y / dy, x / dx)
        assert result.grid.to_lps_mm(index) == pytest.approx(place, abs=1e-6)
        # and the whole slice lies inside of the grid
        assert min(index[1:]) >= -0.011
        assert index[1] + 9 <= result.grid.size_zyx[1] - 1 + 0.011
        assert index[2] + 11 <= result.grid.size_zyx[2] - 1 + 0.011


@pytest.mark.parametrize(("aside", "moved"), [(0.174, False), (0.176, True)])
def test_a_lean_of_a_quarter_pixel_stands(aside: float, moved: bool) -> None:
    places = [p + np.array([aside * k / 49, 0, 0]) for k, p in enumerate(stack(50))]
    result = check(places)
    assert (codes(result) == ["gantry_tilt"]) is moved
    assert result.regular is not moved


@pytest.mark.parametrize(("angle", "refused"), [(44.9, False), (45.1, True)])
def test_tilt_limit(angle: float, refused: bool) -> None:
    places = [p + np.array([k * np.tan(np.radians(angle)), 0, 0]) for k, p in enumerate(stack(9))]
    result = check(places)
    assert codes(result) == ["gantry_tilt_uncorrectable" if refused else "gantry_tilt"]
    assert (result.grid is None) is refused


def test_an_uneven_tilt_is_refused() -> None:
    places = [p + np.array([0, k * 0.3, 0]) for k, p in enumerate(stack(20))]
    places[7] = places[7] + (0, 0.4, 0)
    assert codes(check(places)) == ["gantry_tilt_uncorrectable"]
    bent = [p + np.array([0, 0.02 * k * k, 0]) for k, p in enumerate(stack(20))]
    assert codes(check(bent)) == ["gantry_tilt_uncorrectable"]


@pytest.mark.parametrize(("error", "refused"), [(0.0199, False), (0.021, True)])
def test_spacing_tolerance(error: float, refused: bool) -> None:
    # steps 1, 1, ..., then one that is longer by 2 % of the spacing
    along = [0, 1, 2, 3, 4, 5 + error, 6 + error, 7 + error]
    result = check([np.array([0, 0, z]) for z in along])
    assert (codes(result) == ["variable_spacing"]) is refused


def test_positions_rounded_by_the_scanner_pass() -> None:
    places = [np.array([0, 0, round(k * 0.625, 2)]) for k in range(200)]
    result = check(places, thickness=0.625)
    assert codes(result) == []
    assert result.grid is not None
    assert result.grid.spacing_zyx_mm[0] == pytest.approx(0.625, abs=1e-4)


def test_small_errors_that_add_up_are_refused() -> None:
    # Each step passes alone, but the middle of the stack would be misplaced by a slice or more.
    steps = np.concatenate([np.full(150, 1.0), np.full(150, 1.018)])
    places = [np.array([0, 0, z]) for z in np.concatenate([[0], np.cumsum(steps)])]
    result = check(places)
    assert codes(result) == ["variable_spacing"]
    assert "drift" in result.findings[0].message


@pytest.mark.parametrize("copies", [1, 3])
def test_doubled_positions_are_named(copies: int) -> None:
    places = stack(8)
    result = check(places + places[2 : 2 + copies])
    assert codes(result) == ["duplicate_slices"]
    assert f"{copies} slice position(s)" in result.findings[0].message
    groups = duplicate_positions(places + places[2 : 2 + copies], AXIAL)
    assert groups == [[2 + i, 8 + i] for i in range(copies)]


def test_one_plane_repeated_is_no_volume() -> None:
    assert codes(check([np.zeros(3)] * 9)) == ["not_a_volume"]


@pytest.mark.parametrize(
    ("n", "expected"), [(1, ["too_few_slices"]), (4, ["too_few_slices"]), (5, [])]
)
def test_least_number_of_slices(n: int, expected: list[str]) -> None:
    assert codes(check(stack(n))) == expected


def test_every_check_speaks_at_once() -> None:
    places = [p + np.array([k * 0.3, 0, 0]) for k, p in enumerate(stack(5))]
    del places[2]
    assert codes(check(places)) == ["missing_slices", "gantry_tilt", "too_few_slices"]


def test_two_orientations_are_refused() -> None:
    cosines = np.array([AXIAL] * 6 + [(0, 1, 0, 0, 0, -1)] * 6, dtype=float)
    result = check(stack(12), cosines)
    assert codes(result) == ["mixed_orientation"]
    assert "2 different planes" in result.findings[0].message


@pytest.mark.parametrize(
    "cosines",
    [
        (1, 0, 0, 0.1, 0.99498744, 0),  # not orthogonal
        (1.01, 0, 0, 0, 1, 0),  # not of unit length
        (0, 0, 0, 0, 1, 0),
    ],
)
def test_damaged_orientation_is_refused(cosines: tuple[float, ...]) -> None:
    assert direction_of(cosines) is None
    assert codes(check(stack(6), cosines)) == ["bad_orientation"]
    assert duplicate_positions(stack(6), cosines) == []


@pytest.mark.parametrize(("aside", "refused"), [(0.174, False), (0.21, True)])
def test_a_slice_beside_the_others(aside: float, refused: bool) -> None:
    places = stack(9)
    places[4] = places[4] + (aside, 0, 0)
    assert (codes(check(places)) == ["shifted_slices"]) is refused


@pytest.mark.parametrize(
    ("step", "thickness", "expected"),
    [
        (1.5, 1.5, []),
        (1.51, 1.5, ["thick_slices"]),
        (10.0, 10.0, ["thick_slices"]),
        (10.1, 10.1, ["slice_too_thick"]),
        (10.1, None, ["slice_too_thick"]),
        # overlapping slices, as in the Siemens example
        (2.0, 3.0, ["thick_slices", "thickness_not_spacing"]),
        (1.0, 1.019, []),
        (1.0, 1.021, ["thickness_not_spacing"]),
        (1.5, 1.0, ["thickness_not_spacing"]),
        (1.6, 1.0, ["slice_gaps"]),
        (5.0, None, ["thick_slices"]),
    ],
)
def test_thickness_against_step(step: float, thickness: float | None, expected: list[str]) -> None:
    assert codes(check(stack(6, step), thickness=thickness)) == expected


@given(st.lists(st.floats(-50, 50), min_size=5, max_size=12), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_accepts_only_what_highdicom_accepts(along, seed):
    """An independent judge: where we accept, highdicom sees a volume with the same order."""
    from highdicom.spatial import get_volume_positions

    rng = np.random.default_rng(seed)
    n = len(along)
    regular = rng.random() < 0.5
    zs = np.arange(n) * 1.25 if regular else np.sort(along)
    places = [np.array([0.0, 0.0, z]) for z in rng.permutation(zs)]
    result = check(places, thickness=10.0)
    if result.grid is None:
        return
    assert result.regular
    spacing, positions = get_volume_positions(places, list(AXIAL), rtol=0.05)
    assert spacing == pytest.approx(result.grid.spacing_zyx_mm[0])
    assert positions is not None
    ranks = [result.order.index(i) for i in range(n)]
    assert positions in (ranks, [n - 1 - r for r in ranks])
