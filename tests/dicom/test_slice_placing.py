"""Resampling onto the grid: exact where nothing has to move, honest where nothing was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analytic_ball import Ball
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_ct import AXIAL, noise, stack, write_ct
from typer.testing import CliRunner

from hoimg.cli.main import app
from hoimg.dicom import load_volume, read_patient, scan
from hoimg.dicom.place import AIR_HU, gap_planes, move, place
from hoimg.dicom.slices import Geometry, check_geometry
from hoimg.dicom.spacing import MAX_PLANES
from hoimg.dicom.types import Stack
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.settings import IntakeSettings, Settings, with_gaps

GAPS = with_gaps(Settings(), True)
ALL = np.ones((10, 12), bool)


def geometry(along: list[float], thickness: float | None = 1.0, allow: bool = True) -> Geometry:
    places = [np.array([0.0, 0.0, z]) for z in along]
    limits = IntakeSettings(allow_gaps=allow)
    return check_geometry(places, [AXIAL] * len(along), (0.7, 0.9), (10, 12), thickness, limits)


def codes(found: Geometry) -> list[str]:
    return [f.code for f in found.findings]


def placed(found: Geometry, hu: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    assert found.grid is not None
    stacked = Stack((), found.along_mm, found.shift_yx_mm, found.gaps_mm, found.regular)
    volume = place(hu, None, stacked, found.grid)
    valid = np.ones(hu.shape[1:], bool) if volume.valid is None else volume.valid
    return volume.hu, valid, volume.gap_planes


# moving within the plane


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_whole_pixels_are_copied(kind: type) -> None:
    image = noise(1)[0].astype(kind)
    moved, known = move(image, ALL, (3.0, 2.0), (15, 16))
    np.testing.assert_array_equal(moved[3:13, 2:14], image)
    assert known.sum() == 120
    assert known[3:13, 2:14].all()
    assert (moved[~known] == AIR_HU).all()
    # a hundredth of a pixel is nothing
    np.testing.assert_array_equal(move(image, ALL, (2.991, 2.009), (15, 16))[0], moved)


@given(share=st.floats(0.02, 0.98), axis=st.sampled_from([0, 1]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_part_of_a_pixel_keeps_lines_sums_and_the_number_of_pixels(share, axis):
    r, c = np.indices((20, 24))
    ramp = 7.0 * (c if axis else r) + 100.0
    shift = (0.0, share) if axis else (share, 0.0)
    moved, known = move(ramp.astype(np.float32), np.ones((20, 24), bool), shift, (21, 25))
    inner = moved[3:-4, 3:-4]
    grid = np.indices(moved.shape)[axis][3:-4, 3:-4]
    # mirroring at the ends bends the outermost two pixels
    np.testing.assert_allclose(inner, 7.0 * (grid - share) + 100.0, atol=0.3)
    assert known.sum() == 20 * 24
    ball = Ball(np.array([9.3, 10.1, 0.0]), 4.0, 1.0)
    image = ball.slice(np.zeros(3), AXIAL, (1.0, 1.0), (20, 24)).astype(np.float32)
    moved, _ = move(image, np.ones((20, 24), bool), shift, (21, 25))
    assert (moved + 1000).sum() == pytest.approx((image + 1000).sum(), rel=1e-3)


def test_metal_casts_no_overshoot() -> None:
    image = np.zeros((20, 20), np.int16)
    image[8:12, 8:12] = 3071
    moved, known = move(image, np.ones((20, 20), bool), (0.5, 0.25), (21, 21))
    assert moved[known].min() >= 0
    assert moved.max() <= 3071
    # and does not reach further than two pixels
    assert (moved[known & (np.indices((21, 21)).min(axis=0) < 5)] == 0).all()


def test_padding_does_not_bleed() -> None:
    image = np.full((10, 12), 50, np.int16)
    known = ALL.copy()
    known[:, :4] = False
    image[~known] = -32768
    moved, seen = move(image, known, (0.0, 0.5), (10, 13))
    # between a padded pixel and a measured one nothing is known
    assert not seen[:, :5].any()
    assert seen[:, 5:12].all()
    assert moved[seen].min() > 40
    assert (moved[:, :3] == AIR_HU).all()


# planes


def test_gaps_are_filled_on_a_line_and_marked() -> None:
    found = geometry([0, 1, 2, 5, 6, 7])
    assert codes(found) == ["gaps_allowed"]
    assert found.findings[0].message.startswith("2 slice(s) missing in 1 place(s)")
    assert found.gaps_mm == ((2.5, 4.5),)
    hu = (np.arange(6)[:, None, None] * np.ones((6, 10, 12))).astype(np.int16) * 30
    filled, valid, gaps = placed(found, hu)
    assert gaps == (3, 4)
    np.testing.assert_array_equal(filled[:, 0, 0], [0, 30, 60, 70, 80, 90, 120, 150])
    np.testing.assert_array_equal(valid[:, 0, 0], [1, 1, 1, 0, 0, 1, 1, 1])
    assert codes(geometry([0, 1, 2, 5, 6, 7], allow=False)) == ["missing_slices"]


def test_uneven_slices_take_the_finest_step() -> None:
    along = [0, 1, 2, 3.3, 4.6, 5.9, 7]
    found = geometry(along)
    assert codes(found) == ["uneven_resampled", "thickness_not_spacing"]
    assert found.grid is not None
    assert found.grid.size_zyx[0] == 8
    assert found.grid.spacing_zyx_mm[0] == pytest.approx(1.0)
    hu = np.rint(np.array(along)[:, None, None] * np.full((7, 10, 12), 100)).astype(np.int16)
    filled, valid, gaps = placed(found, hu)
    np.testing.assert_array_equal(filled[:, 3, 3], np.arange(8) * 100)
    assert valid.all()
    assert gaps == ()
    assert codes(geometry(along, allow=False)) == ["variable_spacing"]


@pytest.mark.parametrize(("thickness", "gaps"), [(1.7, ()), (1.6, (4, 5))])
def test_an_uneven_step_beyond_one_and_a_half_thicknesses_is_a_gap(
    thickness: float, gaps: tuple[int, ...]
) -> None:
    found = geometry([0, 1, 2, 3, 5.5, 6.5, 7.5], thickness)
    assert "uneven_resampled" in codes(found)
    _, valid, marked = placed(found, np.zeros((7, 10, 12), np.int16))
    assert marked == gaps
    assert not valid[list(gaps)].any()


def test_slices_with_gaps_between_all_of_them() -> None:
    assert codes(geometry([0, 3, 6, 9, 12], 1.5, allow=False)) == ["slice_gaps"]
    found = geometry([0, 3, 6, 9, 12], 1.5)
    assert codes(found) == ["gaps_allowed", "thick_slices"]
    assert found.grid is not None
    assert found.grid.size_zyx[0] == 9
    filled, _, gaps = placed(found, np.arange(600).reshape(5, 10, 12).astype(np.int16))
    assert gaps == (1, 3, 5, 7)
    np.testing.assert_array_equal(filled[::2], np.arange(600).reshape(5, 10, 12))


def test_positions_that_are_damaged_are_refused_even_so() -> None:
    # two slices almost on top of each other, or one a kilometre away
    assert "variable_spacing" in codes(geometry([0, 1, 2, 2.2, 3, 4, 5]))
    far = geometry([0, 1, 2, 3, 4, 1_000_000])
    assert far.grid is None
    assert "variable_spacing" in codes(far)
    assert str(MAX_PLANES) not in far.findings[0].message
    # many tiny steps are one plane many times
    tiny = geometry([0.01 * k for k in range(9)])
    assert tiny.grid is None
    assert "duplicate_slices" in codes(tiny)


def test_duplicates_stay_refused() -> None:
    assert codes(geometry([0, 1, 2, 2, 3, 4])) == ["duplicate_slices"]


def test_gap_planes_of_touching_gaps() -> None:
    grid = Grid((10, 2, 2), (0.625, 1.0, 1.0))
    gaps = ((0.3125, 1.5625), (4 * 0.625 + 0.3125, 4 * 0.625 + 1.5625))
    stacked = Stack((), (), (), gaps, regular=False)
    assert gap_planes(stacked, grid) == (1, 2, 5, 6)


# a tilt and a gap at once, floats, through files


def test_tilt_gap_padding_and_fractions_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    stored = rng.integers(100, 2000, (9, 10, 12))
    stored[:, 0, :] = 9
    places = [p + np.array([0, 0.7 * k, 0]) for k, p in enumerate(stack(9))]
    keep = [0, 1, 2, 3, 5, 6, 7, 8]
    write_ct(
        tmp_path, stored[keep], [places[k] for k in keep], RescaleSlope="0.5",
        PixelPaddingValue=9, SliceThickness="1",
    )  # fmt: skip
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path)
    assert caught.value.code == "missing_slices"
    exam = read_patient(tmp_path, GAPS).exams[0]
    assert [f.code for f in exam.findings] == ["gaps_allowed", "gantry_tilt"]
    volume = load_volume(exam)
    assert volume.hu.dtype == np.float32
    assert volume.gap_planes == (4,)
    assert volume.valid is not None
    assert volume.hu.shape == (9, 18, 12)
    for k in keep:  # a whole pixel per slice: exact
        rows = slice(k + 1, k + 10)
        np.testing.assert_array_equal(volume.hu[k, rows], stored[k, 1:] * 0.5 - 1024)
        assert volume.valid[k].sum() == 9 * 12
        assert volume.valid[k, rows].all()
        point = places[k] + 2 * 0.7 * np.array([0, 1, 0]) + 5 * 0.9 * np.array([1, 0, 0])
        z, y, x = volume.grid.to_index_zyx(point)
        assert (z, y, x) == pytest.approx((k, k + 2, 5), abs=1e-3)
    assert (volume.hu[~volume.valid][: 12 * 8] == AIR_HU).all()
    part = volume.crop((slice(2, 6), slice(0, 18), slice(0, 12)))
    assert part.gap_planes == (2,)


# the command line


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(w) for w in words])
    return done.exit_code, done.output


def test_the_flag_and_the_setting(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    write_ct(folder, noise(6), stack(8)[:3] + stack(8)[5:])
    code, _ = run("info", folder)
    assert code != 0
    code, said = run("info", folder, "--allow-gaps", "--json")
    assert code == 0
    assert "gaps_allowed" in said
    config = tmp_path / "s.toml"
    config.write_text("[intake]\nallow_gaps = true\n")
    assert run("info", folder, "--config", config)[0] == 0
    config.write_text("[intake]\nallow_gaps = false\n")
    assert run("info", folder, "--config", config, "--allow-gaps")[0] == 0


@pytest.mark.parametrize(
    ("stated", "lean", "iop", "expected"),
    [
        ("0", 0.0, AXIAL, []),
        ("0.4", 0.0, AXIAL, []),
        ("-18.5", 0.0, AXIAL, ["gantry_tilt_tag"]),
        ("20.0", 20.0, AXIAL, ["gantry_tilt"]),
        ("19.1", 20.0, AXIAL, ["gantry_tilt"]),
        ("18.9", 20.0, AXIAL, ["gantry_tilt", "gantry_tilt_tag"]),
        # a spiral reformatted along the tilted gantry: nothing to mend
        ("-15", 0.0, (1, 0, 0, 0, 0.9659258, -0.2588190), []),
    ],
)
def test_the_tilt_tag_against_the_positions(
    tmp_path: Path, stated: str, lean: float, iop: tuple[float, ...], expected: list[str]
) -> None:
    shear = np.tan(np.radians(lean)) * np.asarray(iop[3:])
    places = [p + k * shear for k, p in enumerate(stack(8, cosines=iop))]
    write_ct(tmp_path, noise(8), places, cosines=iop, GantryDetectorTilt=stated)
    (series,) = scan(tmp_path).series
    assert [f.code for f in series.findings] == expected
    if stated == "-18.5":
        assert "5.4 % too large" in series.findings[0].message
