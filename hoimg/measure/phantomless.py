"""Calibration without a phantom: the effective energy that best explains this patient's HU.

After Michalski et al. 2020 (Med Eng Phys 78:55): tabulated attenuation of the patient's own tissues
is compared with their HU for every energy, and the energy that explains them gives the slope of
hydroxyapatite. Fat and muscle alone tell little: between 60 and 80 keV fat moves by 20 HU, as much
as it does with its own lipid content, while the slope falls by a third. The search therefore
starts from the usual slope at the exam's tube voltage, and the tissues move it as far as their own
spread allows. Three of that method's tissues are left out: air fixes the HU scale by definition;
blood reads as muscle does at every energy; cortical bone thins and opens with disuse, which is what
patients with ossifications have, and would make mineral the measure of mineral.
"""

from __future__ import annotations

import numpy as np

from hoimg.attenuation import factor_to_120kvp
from hoimg.measure.calibration import Refusal
from hoimg.measure.coefficients import hydroxyapatite_slope, tissue_hu
from hoimg.measure.tissue import Tissues
from hoimg.results import Calibration
from hoimg.settings import MeasureSettings

SEARCH_KEV = np.arange(35.0, 140.0, 0.25)
"""Effective energies of beams of 70 to 150 kVp lie between 40 and 90 keV."""

UNLIKELY_SD = 3.0


def phantomless(
    kvp: float | None,
    contrast: bool | None,
    metal: bool,
    tissues: Tissues,
    settings: MeasureSettings,
) -> Calibration | Refusal:
    """Calibrate from tube voltage, fat and muscle.

    Every energy gets the likelihood of three readings: the tabulated slope of hydroxyapatite
    against ``phantomless_slope_120kvp`` at this tube voltage, fat and muscle against the table. The
    slope is the mean over energies of its logarithm, and its error the SD of that.

    Args:
        kvp: Tube voltage, kV.
        contrast: Whether a contrast agent is named; None for unknown, which passes.
        metal: Whether the body holds metal.
        tissues: The patient's own.
        settings: Named spreads.

    Returns:
        The calibration (hydroxyapatite, against water at 0 HU); refused with a contrast agent or
        metal, with an unknown tube voltage, without fat and muscle in view, and where fat or
        muscle lies more than 3 SD from every energy that the tube voltage allows.
    """
    reasons = []
    if contrast:
        reasons.append("calibration_refused_contrast")
    if metal:
        reasons.append("calibration_refused_metal")
    if kvp is None:
        reasons.append("calibration_refused_kvp_unknown")
    if tissues.fat_hu is None or tissues.muscle_hu is None:
        reasons.append("calibration_refused_no_tissue")
    if reasons or tissues.fat_hu is None or tissues.muscle_hu is None:
        return Refusal(("not_calibrated", *reasons))
    log_slope = np.log(hydroxyapatite_slope(SEARCH_KEV))
    usual = np.log(settings.phantomless_slope_120kvp / factor_to_120kvp(kvp))
    by_voltage = (log_slope - usual) / settings.phantomless_slope_sd
    by_fat = (tissues.fat_hu - tissue_hu("adipose", SEARCH_KEV)) / settings.fat_sd_hu
    by_muscle = (tissues.muscle_hu - tissue_hu("muscle", SEARCH_KEV)) / settings.muscle_sd_hu
    misfit = by_voltage**2 + by_fat**2 + by_muscle**2
    best = int(misfit.argmin())
    if max(abs(by_fat[best]), abs(by_muscle[best])) > UNLIKELY_SD:
        return Refusal(("not_calibrated", "calibration_refused_tissue"))
    weight = np.exp(-0.5 * (misfit - misfit[best]))
    weight /= weight.sum()
    mean = float(weight @ log_slope)
    return Calibration(
        method="phantomless",
        material="HA",
        slope_hu_per_mg_cm3=float(np.exp(mean)),
        intercept_hu=0.0,
        slope_error=float(np.sqrt(weight @ (log_slope - mean) ** 2)),
        effective_kev=float(SEARCH_KEV[best]),
        source=f"{kvp:g} kVp, fat {tissues.fat_hu:.0f} HU, muscle {tissues.muscle_hu:.0f} HU",
    )
