"""A phantom below the patient is found by what no body shows; what it holds is never guessed."""

import numpy as np
import pytest

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.measure.calibration import Refusal
from hoimg.measure.phantom import find_discs, found_phantom
from hoimg.settings import MeasureSettings

SPACING = (2.0, 0.8, 0.8)
SHAPE = (70, 250, 250)
SLOPE, ZERO = 1.31, 12.0
CENTRES_X = (60.0, 100.0, 140.0)
CENTRE_Y = 165.0
RADIUS = 9.0


def scan(densities, *, slab=20.0, noise=12.0, bend=0.0, rows=slice(None), curve=0.0):
    """A trunk with spine, lung and vessels above a slab with rods; HU are written down by hand."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    z, y, x = z * SPACING[0], y * SPACING[1], x * SPACING[2]
    hu = np.full(SHAPE, -1000.0, np.float32)
    trunk = ((x - 100) / 90) ** 2 + ((y - 75) / 62) ** 2 + 0 * z
    hu[trunk < 1] = -95
    hu[trunk < 0.8] = 50
    lung = ((x - 60) / 30) ** 2 + ((y - 65) / 35) ** 2 + ((z - 30) / 60) ** 2
    hu[lung < 1] = -850
    spine = np.hypot(x - 100, y - 110 - 3 * np.sin(z / 12))
    hu[spine < 18] = 600
    hu[spine < 15] = 180
    hu[np.hypot(x - 125 - 0.15 * z, y - 90) < 11] = 250  # an enhanced vessel, slightly oblique
    hu[np.hypot(x - 20 + 0 * z, y - 170) < 6] = 15  # a tube in air
    part = np.zeros(SHAPE, bool)
    part[rows] = True
    hu[part & (np.abs(y - CENTRE_Y) < 15) & (np.abs(x - 100) < 75)] = slab
    for centre, density in zip(CENTRES_X, densities, strict=True):
        rod = np.hypot(x - centre - bend * z, y - CENTRE_Y) < RADIUS
        hu[part & rod] = ZERO + SLOPE * density + curve * density**2
    from scipy import ndimage

    hu = ndimage.gaussian_filter(hu, [0.4, 0.6, 0.6])
    hu += noise * np.random.default_rng(8).normal(size=SHAPE)
    return CTVolume(np.rint(hu).astype(np.int16), Grid(SHAPE, SPACING))


def found(volume, *densities, **settings):
    return found_phantom(volume, MeasureSettings(calibration_phantom_mg_cm3=densities, **settings))


@pytest.fixture(scope="module")
def usual():
    return scan((100.0, 400.0, 200.0))


def test_three_rods_are_found_where_they_lie_and_nothing_else(usual):
    discs = find_discs(usual.hu, SPACING, (20, 50))
    rods = sorted(d.centre_yx_mm[1] for d in discs if abs(d.centre_yx_mm[0] - CENTRE_Y) < 2)
    assert rods == pytest.approx(CENTRES_X, abs=1.5)
    line = found(usual, 100.0, 200.0, 400.0)
    assert line.method == "rod"
    assert line.slope_hu_per_mg_cm3 == pytest.approx(SLOPE, rel=0.01)
    assert line.intercept_hu == pytest.approx(ZERO, abs=3.0)
    assert "3 rods of 18 mm" in line.source


def test_material_and_order_come_from_the_settings(usual):
    line = found(usual, 400.0, 100.0, 200.0, calibration_material="K2HPO4")
    assert line.material == "K2HPO4"
    assert line.slope_hu_per_mg_cm3 == pytest.approx(SLOPE, rel=0.01)


def test_a_phantom_in_a_part_of_the_scan_is_enough():
    line = found(scan((100.0, 400.0, 200.0), rows=slice(30, None)), 100.0, 200.0, 400.0)
    assert line.slope_hu_per_mg_cm3 == pytest.approx(SLOPE, rel=0.01)


@pytest.mark.parametrize(
    ("volume", "densities", "reason"),
    [
        ({}, (100.0, 200.0), "calibration_phantom_not_found"),
        ({}, (100.0, 200.0, 300.0, 400.0), "calibration_phantom_not_found"),
        ({}, (10.0, 20.0, 40.0), "calibration_rods_implausible"),
        ({}, (100.0, 390.0, 400.0), "calibration_rods_implausible"),
        ({"bend": 0.3}, (100.0, 200.0, 400.0), "calibration_phantom_not_found"),
        ({"slab": -1000.0}, (100.0, 200.0, 400.0), "calibration_phantom_not_found"),  # tubes
        ({"slab": 800.0}, (100.0, 200.0, 400.0), "calibration_phantom_not_found"),  # marrow
        ({"rows": slice(0, 12)}, (100.0, 200.0, 400.0), "calibration_phantom_not_found"),
    ],
)
def test_what_is_not_the_phantom_named_is_refused(usual, volume, densities, reason):
    scanned = scan((100.0, 400.0, 200.0), **volume) if volume else usual
    outcome = found(scanned, *densities)
    assert outcome == Refusal(("not_calibrated", reason))


def test_a_patient_without_a_phantom_has_none():
    assert isinstance(
        found(scan((0.0, 0.0, 0.0), slab=-1000.0, rows=slice(0, 0)), 0.0, 100.0), Refusal
    )
