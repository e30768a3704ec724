"""How much two measurements of an unchanged lesion may differ (repeatability coefficients, RC).

RC = 2.77 x within-subject SD: in 95 of 100 unchanged lesions the difference stays below it. None
was measured on heterotopic ossification; volume is borrowed, mass and density are defaults.
"""

from __future__ import annotations

import math

from hoimg.settings import SerialSettings


def rc_volume_pct(volume_mm3: float, settings: SerialSettings) -> float:
    """RC of volume in percent of the earlier volume: max(25, 16 + 430 / sqrt(V)).

    Args:
        volume_mm3: Earlier volume, mm3.
        settings: Terms of the formula.

    Returns:
        Percent; infinite for an empty lesion, because nothing can be told from it.
    """
    if volume_mm3 <= 0:
        return math.inf
    varying = settings.rc_volume_base_pct + settings.rc_volume_root_pct / math.sqrt(volume_mm3)
    return max(settings.rc_volume_floor_pct, varying)


def rc_mass_pct(settings: SerialSettings) -> float:
    """RC of mineral mass in percent of the earlier mass."""
    return settings.rc_mass_pct


def rc_density_hu(mean_hu: float, settings: SerialSettings) -> float:
    """RC of density in HU: the larger of ``rc_density_hu`` and ``rc_density_pct`` of the value."""
    return max(settings.rc_density_hu, abs(mean_hu) * settings.rc_density_pct / 100)
