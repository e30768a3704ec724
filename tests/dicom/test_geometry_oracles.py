"""Volume and place of known bodies, whatever the orientation, order, tilt, spacing and gaps.

Two oracles that share no code with the reader: a formula, and dcm2niix. Everything is compared in
millimetres in the patient, never by array index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from analytic_ball import Ball, centre_of, content
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation
from synthetic_ct import AXIAL, write_ct

from hoimg.dicom import load_volume, read_patient
from hoimg.dicom.pixels import read_stack
from hoimg.dicom.place import place
from hoimg.dicom.scan import scan
from hoimg.dicom.slices import check_geometry
from hoimg.dicom.types import Stack
from hoimg.image import CTVolume
from hoimg.settings import IntakeSettings, Settings

GAPS = Settings.model_validate({"intake": {"allow_gaps": True}})
SIZE = (52, 50)


def leaning(
    n: int, step: float, cosines: tuple[float, ...], tilt: tuple[float, float]
) -> list[np.ndarray]:
    """Origins of slices whose line leans by tilt (degrees down columns, along rows)."""
    row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
    lean = np.tan(np.radians(tilt[0])) * column + np.tan(np.radians(tilt[1])) * row
    return [k * step * (np.cross(row, column) + lean) for k in range(n)]


def ball_in(
    places: list[np.ndarray],
    cosines: tuple[float, ...],
    spacing: tuple[float, float],
    radius: float,
    sigma: float,
    size: tuple[int, int] = SIZE,
) -> Ball:
    """A ball about the middle of the stack, not on a voxel."""
    row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
    middle = (places[0] + places[-1]) / 2
    middle = middle + column * spacing[0] * (size[0] / 2 - 0.3)
    return Ball(middle + row * spacing[1] * (size[1] / 2 + 0.2), radius, sigma)


def volume_of(
    ball: Ball,
    places: list[np.ndarray],
    cosines: tuple[float, ...],
    spacing: tuple[float, float],
    order: list[int],
    thickness: float,
) -> tuple[CTVolume, list[str]]:
    """The reader's geometry and resampling of slices given in some order, without files."""
    given_places = [places[i] for i in order]
    found = check_geometry(
        given_places,
        [cosines] * len(order),
        spacing,
        SIZE,
        thickness,
        IntakeSettings(allow_gaps=True),
    )
    assert found.grid is not None, found.findings
    sorted_places = [given_places[i] for i in found.order]
    hu = np.stack([ball.slice(p, cosines, spacing, SIZE) for p in sorted_places])
    stack = Stack((), found.along_mm, found.shift_yx_mm, found.gaps_mm, found.regular)
    return place(hu, None, stack, found.grid), [f.code for f in found.findings]


def assert_measures(volume: CTVolume, ball: Ball, percent: float, mm: float) -> None:
    measured = content(volume.hu, volume.grid.voxel_volume_mm3)
    assert measured == pytest.approx(ball.volume_mm3, rel=percent / 100)
    centre = volume.grid.to_lps_mm(centre_of(volume.hu))
    assert np.linalg.norm(centre - ball.centre) < mm
    assert np.linalg.det(np.asarray(volume.grid.direction)) == pytest.approx(1)


@st.composite
def stacks(draw: st.DrawFn) -> dict[str, object]:
    turn = Rotation.from_euler("zyx", [draw(st.floats(-180, 180)) for _ in "123"], degrees=True)
    axes = turn.as_matrix()
    if draw(st.booleans()):  # the six planes, both ways: axial, prone, feet first, sagittal ...
        axes = np.rint(Rotation.random(random_state=draw(st.integers(0, 99))).as_matrix())
        axes = np.eye(3)[:, draw(st.permutations(range(3)))]
        axes = axes * [draw(st.sampled_from([-1, 1])) for _ in "123"]
    step = draw(st.floats(0.5, 1.5))
    n = int(np.ceil(27 / step))
    tilt = draw(st.sampled_from([(0, 0), (1, 0), (0, 1), (0.7, 0.7)]))
    degrees = draw(st.floats(-30, 30))
    return {
        "cosines": (*map(float, axes[:, 0]), *map(float, axes[:, 1])),
        "step": step,
        "n": n,
        "tilt": (tilt[0] * degrees, tilt[1] * degrees),
        "spacing": (draw(st.floats(0.75, 0.95)), draw(st.floats(0.75, 0.95))),
        "thickness": step * draw(st.floats(0.7, 2.0)),
        "seed": draw(st.integers(0, 2**31)),
    }


@given(made=stacks())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_orientation_order_spacing_and_tilt_measures_the_formula(made):
    places = leaning(made["n"], made["step"], made["cosines"], made["tilt"])
    ball = ball_in(places, made["cosines"], made["spacing"], 7.0, 1.0)
    order = np.random.default_rng(made["seed"]).permutation(made["n"]).tolist()
    args = (made["cosines"], made["spacing"], order, made["thickness"])
    volume, codes = volume_of(ball, places, *args)
    assert_measures(volume, ball, 0.1, 0.01)
    assert volume.gap_planes == ()
    leans = np.hypot(*np.tan(np.radians(made["tilt"]))) * made["step"] * (made["n"] - 1)
    if leans > max(made["spacing"]):
        assert "gantry_tilt" in codes


@given(made=stacks(), holes=st.integers(1, 3), data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_gaps_leave_every_slice_at_its_true_place(made, holes, data):
    n = made["n"]
    gone = set(data.draw(st.lists(st.integers(2, n - 3), min_size=1, max_size=holes)))
    places = leaning(n, made["step"], made["cosines"], made["tilt"])
    kept = [p for k, p in enumerate(places) if k not in gone]
    ball = ball_in(places, made["cosines"], made["spacing"], 7.0, 1.0)
    order = np.random.default_rng(made["seed"]).permutation(len(kept)).tolist()
    thickness = max(made["thickness"], made["step"])
    volume, codes = volume_of(ball, kept, made["cosines"], made["spacing"], order, thickness)
    assert "gaps_allowed" in codes
    # planes count along the grid's own normal, which is the files'
    assert set(volume.gap_planes) == gone
    assert volume.grid.size_zyx[0] == n
    assert volume.valid is not None
    assert not volume.valid[list(volume.gap_planes)].any()
    # the line between neighbours cuts the ball's curve: pi h^3 per hole, more where they join
    run = max(len(r) for r in "".join("x" if k in gone else " " for k in range(n)).split())
    lost = 100 * np.pi * made["step"] ** 3 * len(gone) * run**2 / ball.volume_mm3
    assert_measures(volume, ball, 0.1 + lost, 0.02 + 0.07 * lost)


@given(made=stacks(), data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_uneven_slices_are_interpolated_at_their_true_places(made, data):
    n, step = made["n"], made["step"]
    even = leaning(n, 1.0, made["cosines"], made["tilt"])
    moves = np.random.default_rng(made["seed"]).uniform(-0.12, 0.12, n) * step
    moves[[0, -1]] = 0
    places = [even[1] * (k * step + moves[k]) for k in range(n)]
    ball = ball_in(places, made["cosines"], made["spacing"], 7.0, 1.0)
    order = data.draw(st.permutations(range(n)))
    args = (made["cosines"], made["spacing"], order, max(made["thickness"], step))
    volume, codes = volume_of(ball, places, *args)
    assert "uneven_resampled" in codes
    assert volume.gap_planes == ()
    assert_measures(volume, ball, 0.5, 0.03)


@pytest.mark.parametrize("degrees", [-25.0, -18.5, 7.3, 30.0])
def test_a_tilted_body_keeps_its_volume_at_half_its_brightness(degrees: float) -> None:
    """The volume within a surface, not only the sum: 0.5 % is the limit, 0.1 % is reached."""
    cosines, spacing, size = AXIAL, (0.7, 0.7), (110, 76)
    places = leaning(56, 1.0, cosines, (degrees, 0.0))
    ball = ball_in(places, cosines, spacing, 16.0, 0.6, size)
    found = check_geometry(places, [cosines] * 56, spacing, size, 1.0, IntakeSettings())
    assert found.grid is not None
    stack = Stack((), found.along_mm, found.shift_yx_mm, (), found.regular)
    hu = np.stack([ball.slice(p, cosines, spacing, size) for p in places])
    volume = place(hu, None, stack, found.grid)
    half = ndimage.zoom(volume.hu.astype(np.float32), 3, order=1, grid_mode=True, mode="nearest")
    inside = (half > 0).sum() / 27 * volume.grid.voxel_volume_mm3
    assert inside == pytest.approx(ball.half_volume_mm3, rel=0.002)
    # The same slices read as if they were upright and the steps those of the line are wrong.
    wrong = content(hu, 0.49 / np.cos(np.radians(degrees)))
    assert abs(wrong / ball.volume_mm3 - 1) == pytest.approx(
        1 / np.cos(np.radians(degrees)) - 1, abs=1e-3
    )


def gantry(degrees: float) -> tuple[float, ...]:
    """Orientation of slices of a gantry leaning by an angle, the table moving along z."""
    a = np.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, float(np.cos(a)), float(np.sin(a)))


def dcm2niix(folder: Path, out: Path, name: str) -> nib.Nifti1Image:
    out.mkdir()
    program = str(Path(sys.executable).with_name("dcm2niix"))
    done = subprocess.run(
        [program, "-z", "n", "-f", "ct", "-o", str(out), str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (out / name).exists(), done.stdout
    return nib.load(out / name)


def agrees_with_dcm2niix(
    volume: CTVolume, image: nib.Nifti1Image, percent: float, *, placed: bool = True
) -> None:
    """Content and centre of the ball, each through its own affine."""
    data = np.asanyarray(image.dataobj)
    data = np.maximum(data, -1000)
    voxel = abs(np.linalg.det(image.affine[:3, :3]))
    ours = content(volume.hu, volume.grid.voxel_volume_mm3)
    assert content(data, voxel) == pytest.approx(ours, rel=percent / 100)
    if not placed:
        return
    ras = image.affine[:3, :3] @ centre_of(data) + image.affine[:3, 3]
    centre = volume.grid.to_lps_mm(centre_of(volume.hu))
    np.testing.assert_allclose(centre, ras * (-1, -1, 1), atol=0.05)


@pytest.mark.parametrize("degrees", [-30.0, -18.5, 12.0, 25.0])
def test_dcm2niix_corrects_a_tilt_to_the_same_place_and_size(
    tmp_path: Path, degrees: float
) -> None:
    cosines = gantry(degrees)
    places = [np.array([-20.0, 15.0, 700.0 + 1.5 * k]) for k in range(26)]
    spacing = (0.7, 0.9)
    ball = ball_in(places, cosines, spacing, 7.0, 1.0)
    stored = np.stack([ball.slice(p, cosines, spacing, SIZE) for p in places])
    folder = tmp_path / "in"
    write_ct(
        folder, stored, places, cosines=cosines, signed=True, RescaleIntercept="0",
        SliceThickness="1.5", Manufacturer="GE", GantryDetectorTilt=f"{degrees}",
    )  # fmt: skip
    exam = read_patient(folder).exams[0]
    assert [f.code for f in exam.findings] == [
        "gantry_tilt",
        *(["thickness_not_spacing"] if abs(degrees) > 11.5 else []),
    ]
    volume = load_volume(exam)
    assert volume.hu.dtype == np.int16
    assert_measures(volume, ball, 0.1, 0.01)
    # dcm2niix leaves the origin as it was where the tilt is positive, and so is off by up to the
    # whole shear (20 mm here); there only the formula above judges the place.
    image = dcm2niix(folder, tmp_path / "out", "ct_Tilt_1.nii")
    agrees_with_dcm2niix(volume, image, 0.2, placed=degrees < 0)


@pytest.mark.parametrize("kind", ["missing", "uneven"])
def test_dcm2niix_fills_gaps_to_the_same_place_and_size(tmp_path: Path, kind: str) -> None:
    along = np.arange(28) * 1.5
    along = np.delete(along, [9, 15]) if kind == "missing" else along + 0.2 * (along > 15)
    places = [np.array([-20.0, 15.0, -300.0 + z]) for z in along]
    ball = ball_in(places, AXIAL, (0.7, 0.9), 7.0, 1.0)
    stored = np.stack([ball.slice(p, AXIAL, (0.7, 0.9), SIZE) for p in places])
    folder = tmp_path / "in"
    write_ct(
        folder, stored, places, signed=True, RescaleIntercept="0", SliceThickness="1.5",
        Manufacturer="GE",
    )  # fmt: skip
    volume = load_volume(read_patient(folder, GAPS).exams[0])
    assert_measures(volume, ball, 1.0, 0.15)
    agrees_with_dcm2niix(volume, dcm2niix(folder, tmp_path / "out", "ct_Eq_1.nii"), 0.6)


def real_volume(real_data: Path, name: str) -> CTVolume:
    series = next(s for s in scan(real_data / "plastic_skull" / name).series if s.usable)
    assert series.stack is not None
    assert series.grid is not None
    return place(*read_stack(series.stack), series.stack, series.grid)


def test_the_tilted_skull_measures_what_the_straight_one_measures(real_data: Path) -> None:
    """The 1 mm series averaged over the tilted slices' own thickness, at the tilted voxels."""
    straight = real_volume(real_data, "ct_1mm_standard")
    tilted = real_volume(real_data, "ct_2p5mm_tilted")
    assert tilted.grid.spacing_zyx_mm[0] == pytest.approx(2.5 * np.cos(np.radians(18.5)), abs=1e-3)
    # every fourth voxel along a row and down a column is enough
    assert tilted.valid is not None
    index = np.argwhere(tilted.valid[:, ::4, ::4]) * (1, 4, 4)
    points = tilted.grid.to_lps_mm(index)
    z = straight.grid.to_index_zyx(points)[:, 0]
    near = (z > 0) & (z < straight.hu.shape[0] - 1)
    index, points = index[near], points[near]
    normal = np.asarray(tilted.grid.direction)[:, 2]
    hu = straight.hu.astype(np.float32)
    mean = np.zeros(len(points), np.float32)
    common = np.ones(len(points), bool)
    for share in (-0.4, -0.2, 0.0, 0.2, 0.4):
        there = straight.grid.to_index_zyx(points + share * 2.5 * normal).astype(np.float32)
        common &= ((there >= 0) & (there <= np.array(hu.shape) - 1)).all(axis=1)
        mean += ndimage.map_coordinates(hu, there.T, order=1, mode="nearest") / 5
    seen = tilted.hu[tuple(index.T)]
    assert common.sum() > 100_000
    seen, mean = seen[common].astype(float), mean[common].astype(float)
    # what all matter together amounts to, and the volume above several thresholds
    assert (seen + 1000).mean() == pytest.approx((mean + 1000).mean(), rel=0.005)
    for threshold in (-500, -200, 0, 200, 400):
        ratio = (seen > threshold).sum() / (mean > threshold).sum()
        assert ratio == pytest.approx(1, abs=0.02), threshold
    assert np.corrcoef(seen, mean)[0, 1] > 0.95
