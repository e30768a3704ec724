"""Which calibration an exam gets: what the site gives goes first, phantomless last."""

from __future__ import annotations

import math

from hoimg.image import CTVolume
from hoimg.measure.calibration import NOT_TRIED, Refusal
from hoimg.measure.phantom import found_phantom
from hoimg.measure.phantomless import phantomless
from hoimg.measure.rods import given_rods
from hoimg.measure.tissue import Tissues
from hoimg.results import Acquisition, Calibration
from hoimg.settings import MeasureSettings

SAME_KVP = 1.0
"""Tube voltages are printed in whole kV."""


def calibrate(
    volume: CTVolume,
    acquisition: Acquisition,
    tissues: Tissues,
    *,
    metal: bool,
    settings: MeasureSettings,
) -> Calibration | Refusal:
    """Calibrate one exam.

    A way that the settings name is the only one tried: where it fails the exam stays without
    milligrams, so that no series of exams changes its method unnoticed.

    Args:
        volume: The exam, HU.
        acquisition: Tube voltage and contrast.
        tissues: The patient's own.
        metal: Whether the body holds metal.
        settings: What the site gives.
    """
    if settings.calibration_slope_hu is not None:
        return _given(acquisition.kvp, settings.calibration_slope_hu, settings)
    if settings.calibration_rods:
        return given_rods(volume, tissues.noise_hu, settings)
    if settings.calibration_phantom_mg_cm3:
        return found_phantom(volume, settings)
    if settings.phantomless:
        return phantomless(acquisition.kvp, acquisition.contrast, metal, tissues, settings)
    return NOT_TRIED


def _given(kvp: float | None, slope: float, settings: MeasureSettings) -> Calibration | Refusal:
    """A site's own slope, where the exam was made at the tube voltage it holds for."""
    meant = settings.calibration_kvp
    if kvp is None or meant is None:
        return Refusal(("not_calibrated", "calibration_refused_kvp_unknown"))
    if not math.isclose(kvp, meant, abs_tol=SAME_KVP):
        return Refusal(("not_calibrated", "calibration_refused_kvp_differs"))
    return Calibration(
        method="given",
        material=settings.calibration_material,
        slope_hu_per_mg_cm3=slope,
        intercept_hu=settings.calibration_intercept_hu,
        slope_error=settings.calibration_error,
        source=f"settings, for {meant:g} kVp",
    )
