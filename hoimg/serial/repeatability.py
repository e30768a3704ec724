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


def allowed_pct(before: Measured | None, after: Measured | None, shared: float) -> float | None:
    """By how many percent two measurements may differ by their own 95 % intervals.

    Each interval gives an SD of the logarithm, s1 and s2. Part of either error is shared by both
    scans and cancels: 100 (exp(1.96 sqrt(s1^2 + s2^2 - 2 shared s1 s2)) - 1).

    Args:
        before: Earlier measurement.
        after: Later measurement.
        shared: Correlation of their errors, 0 to 1.

    Returns:
        Percent; None where a value or an interval is missing or not positive.
    """
    if before is None or after is None:
        return None
    halves = []
    for seen in (before, after):
        if seen.ci95 is None or seen.ci95[0] <= 0 or seen.ci95[1] < seen.ci95[0]:
            return None
        halves.append(math.log(seen.ci95[1] / seen.ci95[0]) / 2)
    return 100 * math.expm1(min(_difference(halves[0], halves[1], shared), 50.0))


def allowed(before: Measured | None, after: Measured | None, shared: float) -> float | None:
    """The same for a difference, in the unit of the values."""
    if before is None or after is None or before.ci95 is None or after.ci95 is None:
        return None
    one, two = ((ci[1] - ci[0]) / 2 for ci in (before.ci95, after.ci95))
    return _difference(one, two, shared)


def _difference(one: float, two: float, shared: float) -> float:
    """Half-width of the difference of two numbers with these half-widths."""
    return math.sqrt(max(one * one + two * two - 2 * shared * one * two, 0.0))


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
