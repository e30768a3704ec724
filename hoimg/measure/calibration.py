"""From HU to milligrams of mineral: what one exam's calibration is and what it converts.

A lesion's integrated excess over its soft tissue is divided by the HU that 1 mg/cm3 of mineral
adds *in place of that tissue*. Of hydroxyapatite (3.16 g/cm3) 100 mg/cm3 fill 3 % of a voxel; the
tissue that they push out read 1000 + HU on a scale from air. A rod of "200 mg hydroxyapatite per
cm3" is defined in the same way, against the same rod with none; where its matrix reads another HU
than the lesion's tissue, the slope is corrected for the difference, 0.3 HU per mg/cm3 for 1000 HU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hoimg.measure.coefficients import HYDROXYAPATITE_G_CM3
from hoimg.measure.uncertainty import Z95
from hoimg.results import Calibration


@dataclass(frozen=True)
class Refusal:
    """Why an exam has no calibration.

    Attributes:
        flags: ``not_calibrated`` and, where one was tried, the reason; for every lesion.
    """

    flags: tuple[str, ...] = ("not_calibrated",)


NOT_TRIED = Refusal()


@dataclass(frozen=True)
class MineralMass:
    """A lesion's mineral in milligrams of the calibration's material.

    Attributes:
        mass_mg: Mass, mg; of a lesion that reads darker than its soft tissue it is negative.
        ci95_mg: Its 95 % interval, mg.
        mean_mg_cm3: Density of its mineral voxels, mg/cm3; None with none.
    """

    mass_mg: float
    ci95_mg: tuple[float, float]
    mean_mg_cm3: float | None


def slope_in(calibration: Calibration, tissue_hu: float) -> float:
    """HU that 1 mg/cm3 of mineral adds in tissue of ``tissue_hu``.

    For hydroxyapatite ``slope - (tissue - intercept) / 3160``. For K2HPO4, which phantoms hold
    dissolved, no such volume is known and the slope stands as it is.
    """
    if calibration.material != "HA":
        return calibration.slope_hu_per_mg_cm3
    more = (tissue_hu - calibration.intercept_hu) / (1000.0 * HYDROXYAPATITE_G_CM3)
    return calibration.slope_hu_per_mg_cm3 - more


def mineral_mass(
    calibration: Calibration,
    *,
    mass_hu_mm3: float,
    mass_sd_hu_mm3: float,
    mean_hu: float | None,
    background_hu: float,
) -> MineralMass:
    """Convert one lesion.

    The interval holds the errors of the slope (a fraction of the mass) and of the excess itself
    (:meth:`hoimg.measure.uncertainty.Uncertainty.mass_sd_hu_mm3`), in quadrature. Not in it:
    the organic matrix of bone, which counts as mineral, and fat in a marrow core, which counts
    against it where the soft tissue is muscle.

    Args:
        calibration: Of the exam.
        mass_hu_mm3: Integrated excess over the soft tissue, HU mm3.
        mass_sd_hu_mm3: SD of its error, HU mm3.
        mean_hu: Mean of the mineral voxels, HU, or None.
        background_hu: The soft tissue, HU.
    """
    slope = slope_in(calibration, background_hu)
    mass = mass_hu_mm3 / slope / 1000.0
    sd = math.hypot(mass * calibration.slope_error, mass_sd_hu_mm3 / slope / 1000.0)
    mean = None if mean_hu is None else (mean_hu - background_hu) / slope
    return MineralMass(mass, (mass - Z95 * sd, mass + Z95 * sd), mean)
