"""The QRM phantom, a real scan: milligrams and volumes of its hydroxyapatite cylinders."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import physics

RODS = physics.RODS
# How far the mass may be off, by diameter and mg/cm3.
WITHIN = {(5, 800): 0.10, (5, 400): 0.10, (5, 200): 0.20, (3, 800): 0.25, (3, 400): 0.25}
PLACE = {(size, density): place for size, density, place, *_ in physics.CYLINDERS}

measured = cache(physics.qrm_measured)


@pytest.mark.parametrize(("diameter", "density"), list(WITHIN))
def test_mass_by_the_rods(real_data, diameter, density):
    result = measured(real_data / "qrm_phantom" / "dicom", RODS)
    place, within = PLACE[diameter, density], WITHIN[diameter, density]
    seen = physics.lesion_at(result, place)
    assert np.linalg.norm(np.subtract(seen.centroid_lps_mm, place)) < 2.5
    truth = np.pi * diameter**3 / 4 * density / 1000  # as long as wide
    assert seen.mineral_mass_mg == pytest.approx(truth, rel=within)
    low, high = seen.mineral_mass_ci95_mg
    assert low < truth < high


@pytest.mark.parametrize(("density", "within"), [(800, 0.20), (400, 0.20), (200, 0.30)])
def test_volume_of_the_cylinders_of_five_millimetres(real_data, density, within):
    """Three slices hold them; a fixed threshold of 130 HU reads 298, 213 and 165 mm3."""
    seen = physics.lesion_at(measured(real_data / "qrm_phantom" / "dicom", RODS), PLACE[5, density])
    assert seen.volume_mm3 == pytest.approx(np.pi * 5**3 / 4, rel=within)


def test_the_point_spread_of_a_scan_cut_by_padding_is_no_step(real_data):
    # The phantom is cut off by the field of view, with -2048 beyond; its kernel is a soft one.
    found = measured(real_data / "qrm_phantom" / "dicom", RODS).acquisition.psf_fwhm_zyx_mm
    assert found is None or 0.8 < found[1] < 2.0


def test_water_is_the_other_end_of_the_rod(real_data):
    """Resin around the rod and water at 0 HU both miss by more than 10 %; the insert is water."""
    folder = real_data / "qrm_phantom" / "dicom"
    both = measured(folder, RODS).acquisition.calibration
    alone = measured(folder, RODS[:1]).acquisition.calibration
    assert both.intercept_hu == pytest.approx(35.0, abs=5.0)
    assert alone.slope_hu_per_mg_cm3 / both.slope_hu_per_mg_cm3 == pytest.approx(1.12, abs=0.03)
    assert alone.slope_error > both.slope_error


def test_without_rods_the_tube_voltage_comes_close(real_data):
    folder = real_data / "qrm_phantom" / "dicom"
    by_rods = measured(folder, RODS).acquisition.calibration
    without = measured(folder, ()).acquisition.calibration
    assert without.method == "phantomless"
    off = without.slope_hu_per_mg_cm3 / by_rods.slope_hu_per_mg_cm3 - 1
    assert abs(off) < 1.96 * without.slope_error
