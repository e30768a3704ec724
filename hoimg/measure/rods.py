"""Calibration by rods of known density in the scan: read, and joined by a line.

A rod is read against water (or against the phantom's rod with none): both ends of the line must be
known. Where one rod alone is given, water is taken as 0 HU, which is a claim about the scanner: in
a real scan of the QRM phantom the water insert reads 33 HU and that claim costs 12 % of the slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume
from hoimg.measure.calibration import Refusal
from hoimg.measure.coefficients import hydroxyapatite_slope
from hoimg.measure.tissue import USUAL_NOISE_HU
from hoimg.regions import inside_box, parse_rod
from hoimg.results import Calibration
from hoimg.settings import MeasureSettings

UNEVEN = 2.0
"""A region whose SD is this many times the scan's noise holds the rod's edge, air or a streak."""

GRAIN_VOXELS = 8.0
"""Neighbouring voxels share their noise: about two along each axis count as one."""

SLOPE_KEV = (110.0, 35.0)
"""No beam of diagnostic CT has an effective energy outside; nor a slope beyond theirs."""

LINE_TOLERANCE = 0.1
"""Rods that lie further from their line than this share of its rise are not the rods named."""


@dataclass(frozen=True)
class Rod:
    """One rod as read.

    Attributes:
        mg_cm3: Its nominal density.
        hu: Mean, HU.
        se_hu: Standard error of the mean, HU.
    """

    mg_cm3: float
    hu: float
    se_hu: float


def given_rods(
    volume: CTVolume, noise_hu: float | None, settings: MeasureSettings
) -> Calibration | Refusal:
    """Calibrate by the regions of ``calibration_rods``.

    Args:
        volume: The exam, HU.
        noise_hu: Noise SD of a voxel; None: 15 HU are assumed.
        settings: With ``calibration_rods``.

    Returns:
        The calibration; refused where a rod's region is not wholly in view or is uneven, and
        where the densities do not make a line.
    """
    limit = UNEVEN * (USUAL_NOISE_HU if noise_hu is None else noise_hu)
    rods = []
    for mg_cm3, region in map(parse_rod, settings.calibration_rods):
        found = inside_box(region, volume.grid)
        if found is None:
            return Refusal(("not_calibrated", "calibration_rod_not_in_view"))
        box, held = found
        if volume.valid is not None and not volume.valid[box][held].all():
            return Refusal(("not_calibrated", "calibration_rod_not_in_view"))
        values = volume.hu[box][held].astype(np.float64)
        if float(values.std()) > limit:
            return Refusal(("not_calibrated", "calibration_rod_uneven"))
        rods.append(read_rod(mg_cm3, values))
    return line_through(rods, settings, "regions given")


def read_rod(mg_cm3: float, values: NDArray[np.float64]) -> Rod:
    """A rod from its voxels, HU."""
    se = float(values.std()) / math.sqrt(max(values.size / GRAIN_VOXELS, 1.0))
    return Rod(mg_cm3, float(values.mean()), se)


def line_through(rods: Sequence[Rod], settings: MeasureSettings, how: str) -> Calibration | Refusal:
    """The line of HU over density through rods, by least squares.

    Rods of one density alone are read against water at 0 HU with ``calibration_water_sd_hu``. The
    slope's error is that of the rods' HU and ``calibration_error``, in quadrature.

    Args:
        rods: At least one, with a density other than 0.
        settings: Material and errors.
        how: For the calibration's source, in words.

    Returns:
        The calibration; refused where three rods or more do not lie on a line, or the slope is
        none that diagnostic CT can have (0.8 to 4.2 HU per mg/cm3).
    """
    points = list(rods)
    against = ""
    if len({rod.mg_cm3 for rod in rods}) == 1:
        points.append(Rod(0.0, 0.0, settings.calibration_water_sd_hu))
        against = ", water taken as 0 HU"
    density = np.array([rod.mg_cm3 for rod in points])
    hu = np.array([rod.hu for rod in points])
    away = density - density.mean()
    square = float(away @ away)
    slope = float(away @ hu) / square
    intercept = float(hu.mean() - slope * density.mean())
    misfit = float(np.abs(hu - intercept - slope * density).max())
    low, high = (float(s) for s in hydroxyapatite_slope(np.array(SLOPE_KEV)))
    if not low <= slope <= high or misfit > LINE_TOLERANCE * slope * float(np.ptp(density)):
        return Refusal(("not_calibrated", "calibration_rods_implausible"))
    se = math.sqrt(sum((a * rod.se_hu) ** 2 for a, rod in zip(away, points, strict=True))) / square
    listed = ", ".join(f"{rod.mg_cm3:g} mg/cm3 {rod.hu:.0f} HU" for rod in rods)
    return Calibration(
        method="rod",
        material=settings.calibration_material,
        slope_hu_per_mg_cm3=slope,
        intercept_hu=intercept,
        slope_error=math.hypot(se / slope, settings.calibration_error),
        source=f"{how}: {listed}{against}",
    )
