"""Bodies that grow denser inwards throughout: where their boundary lies.

A rim or an even body reaches its plateau within the blur of its edge, and half of that plateau is
its boundary. In a body with a dense centre under a fainter edge (reverse zoning, as some sarcomas
have it) the highest HU of the outer zone is the ramp's, half of it lies millimetres inside, and
what is left of the body looks sharp and even: too small, and without its warning. Such a body's
boundary is the half-height of its edge alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.measure.profiles import DISTANCES_MM, STEP_MM

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FOOT_HU = 75.0
"""The body begins where a profile from outside has risen by this above soft tissue: more than
noise and fat between muscles make, less than the faintest mineral seen."""
SETTLED_SIGMA = 2.5
"""From the foot inwards, after this many sigma of blur, the flank of any edge is over."""
ZONE_MM = 1.0
"""Length over which edge and inside are read."""
INSIDE_MM = 3.25
"""How deep below the foot the inside is read."""
RISE_HU = 100.0
"""A body rises inwards where its inside exceeds its edge by more than this: the limit of reverse
zoning (R6)."""
RISE_FACTOR = 1.3
"""...and by this factor, counted from soft tissue: the far end of an even body's own blur, which is
no Gaussian in real scans, still lacks a tenth (a plastic skull at 1130 HU: 130)..."""
MIN_SHARE = 0.5
"""...on at least this share of the surface."""


def rise_inwards(
    profiles: NDArray[np.floating], base_hu: Floats, use: Bools, sigma_mm: Floats
) -> Floats | None:
    """By how much a body is denser inside than at its edge, if so over most of its surface.

    Args:
        profiles: HU ``(n, k)`` at ``DISTANCES_MM``, averaged over neighbours.
        base_hu: Soft tissue outside, ``(n,)``.
        use: Profiles that show the edge.
        sigma_mm: Blur along each profile, mm.

    Returns:
        HU inside less HU at the edge, a value for each profile that shows both; None where the body
        does not rise.
    """
    if not use.any():
        return None
    values = np.asarray(profiles[use], np.float64)
    base, sigma = base_hu[use], sigma_mm[use]
    above = values >= (base + FOOT_HU)[:, None]
    # The outermost sample of the body, reached from its inside without a break.
    start = int(np.searchsorted(DISTANCES_MM, -INSIDE_MM))
    outside = ~above[:, start:]
    foot = DISTANCES_MM[start] + STEP_MM * (
        np.where(outside.any(axis=1), outside.argmax(axis=1), outside.shape[1]) - 1
    )
    edge = _mean(values, foot - SETTLED_SIGMA * sigma)
    inside = _mean(values, foot - INSIDE_MM)
    read = np.isfinite(edge) & np.isfinite(inside) & (edge >= base + FOOT_HU)
    if np.count_nonzero(read) < MIN_SHARE * len(values):
        return None
    low, high = (edge - base)[read], (inside - base)[read]
    risen = (high - low > RISE_HU) & (high > RISE_FACTOR * low)
    return high - low if risen.mean() >= MIN_SHARE else None


def _mean(values: Floats, outer_mm: Floats) -> Floats:
    """Mean HU of each profile over ``ZONE_MM`` inwards from ``outer_mm``; NaN beyond its end."""
    s = DISTANCES_MM[None, :]
    zone = (s <= outer_mm[:, None]) & (s > outer_mm[:, None] - ZONE_MM)
    count = zone.sum(axis=1)
    total = np.where(zone, values, 0.0).sum(axis=1)
    full = outer_mm - ZONE_MM / 2 >= DISTANCES_MM[0]  # at least half of it
    return np.where(full & (count > 0), total / np.maximum(count, 1), np.nan)
