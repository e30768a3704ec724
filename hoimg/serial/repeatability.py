"""How much two measurements of an unchanged lesion may differ (repeatability coefficients, RC).

RC = 2.77 x within-subject SD: in 95 of 100 unchanged lesions the difference stays below it. None
was measured on heterotopic ossification; volume is borrowed, mass, density and rim are defaults.
No change counts that the 95 % intervals of its two measurements allow, whatever the RC.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from hoimg.settings import SerialSettings


class Measured(NamedTuple):
    """A value with its 95 % interval; None where it has none."""

    value: float
    ci95: tuple[float, float] | None


def allowed_pct(before: Measured | None, after: Measured | None) -> float | None:
    """By how many percent two measurements may differ by their own 95 % intervals.

    Each interval gives an SD in the logarithm; the two errors are taken as independent, so that
    they add as squares: 100 (exp(1.96 sqrt(s1^2 + s2^2)) - 1). Errors that two scans share make the
    true limit smaller, never larger.

    Returns:
        Percent; None where a value or an interval is missing or not positive.
    """
    if before is None or after is None:
        return None
    spread = 0.0
    for seen in (before, after):
        if seen.ci95 is None or seen.ci95[0] <= 0 or seen.ci95[1] < seen.ci95[0]:
            return None
        spread += (math.log(seen.ci95[1] / seen.ci95[0]) / 2) ** 2
    return 100 * math.expm1(min(math.sqrt(spread), 50.0))


def allowed(before: Measured | None, after: Measured | None) -> float | None:
    """The same for a difference, in the unit of the values."""
    if before is None or after is None or before.ci95 is None or after.ci95 is None:
        return None
    return math.hypot(*((seen.ci95[1] - seen.ci95[0]) / 2 for seen in (before, after) if seen.ci95))


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
