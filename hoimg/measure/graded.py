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
LEAST_HU = 40.0
"""Below this above soft tissue nothing is called an edge."""
EDGE_SIGMA = 1.5
"""An edge's level is read so many sigma inside of it: deeper, blur mixes in what lies behind. There
..."""
EDGE_SHARE = 0.5 / 0.9332
"""...a step has reached 93 % (the normal distribution at 1.5), of which its half is this share."""
STEP_SLACK, SLACK_MM = 1.3, 0.3
"""A step's foot lies before its middle by what its blur makes; by this much more, in times and mm,
blur that is known badly may. Farther, it is no step: HU climb from the foot on..."""
CLIMB_SIGMA = 0.75
"""...and only so many sigma behind it are they the edge's own."""
CLIMB_SHARE = 0.7734
"""What a step has reached there."""
ZONE_MM = 1.0
"""Length over which the inside is read."""
INSIDE_MM = (3.25, 4.0)
"""How deep below the edge the inside is read: the denser of two places, of which the deeper one is
past the middle of a thin body."""
RISE_HU = 100.0
"""A body rises inwards where its inside exceeds its edge by more than this: the limit of reverse
zoning (R6)."""
RISE_FACTOR = 1.3
"""...and by this factor, counted from soft tissue: the far end of an even body's own blur, which is
no Gaussian in real scans, still lacks a tenth (a plastic skull at 1130 HU: 130)..."""
MIN_SHARE = 0.5
"""...on at least this share of the surface."""


def rise_inwards(
    profiles: NDArray[np.floating],
    base_hu: Floats,
    use: Bools,
    sigma_mm: Floats,
    not_its_own: Bools,
) -> Floats | None:
    """By how much a body is denser inside than at its edge, if so over most of its surface.

    Args:
        profiles: HU ``(n, k)`` at ``DISTANCES_MM``, averaged over neighbours.
        base_hu: Soft tissue outside, ``(n,)``.
        use: Profiles that show the edge.
        sigma_mm: Blur along each profile, mm.
        not_its_own: ``(n, k)``, samples that bone or another lesion reaches, from
            :func:`reached`: they are no inside of this body.

    Returns:
        HU inside less HU at the edge, a value for each profile that shows both; None where the body
        does not rise.
    """
    if not use.any():
        return None
    excess = np.asarray(profiles[use], np.float64) - base_hu[use][:, None]
    sigma = sigma_mm[use]
    place, low, _ = _edges(excess, sigma)
    with np.errstate(invalid="ignore"):
        high = np.fmax(*(_mean(excess, not_its_own[use], place - depth) for depth in INSIDE_MM))
    # A fainter edge is haze, which the outline alone bounds.
    read = np.isfinite(low) & np.isfinite(high) & (low >= FOOT_HU)
    if np.count_nonzero(read) < MIN_SHARE * len(excess):
        return None
    low, high = low[read], high[read]
    risen = (high - low > RISE_HU) & (high > RISE_FACTOR * low)
    return high - low if risen.mean() >= MIN_SHARE else None


def edge_alone(
    profiles: NDArray[np.floating], base_hu: Floats, sigma_mm: Floats
) -> tuple[Floats, Floats]:
    """Where a body begins by its edge alone, whatever it rises to farther in.

    Outside and in the first 1.5 sigma of blur a body whose edge is even for a little more than
    that looks like a step of the edge's height. The boundary is the outermost place where HU are
    half of that step's, as they are 1.5 sigma farther in. Where HU climb from the boundary on, so
    that no step is seen, it is where the body begins at all.

    Args:
        profiles: HU ``(n, k)`` at ``DISTANCES_MM``, averaged over neighbours.
        base_hu: Soft tissue outside, ``(n,)``.
        sigma_mm: Blur along each profile, mm.

    Returns:
        The place along each profile, mm, and the depth behind it at which its height is read, mm;
        NaN where a profile shows no edge.
    """
    excess = np.asarray(profiles, np.float64) - base_hu[:, None]
    place, _, depth = _edges(excess, sigma_mm)
    return place, depth


def _edges(excess: Floats, sigma_mm: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each profile's edge the place, mm, the height, HU above soft tissue, and how deep behind
    the place that is read, mm; NaN where there is none."""
    from scipy.special import ndtri

    begin, last = _beginnings(excess)
    place, height = _steps(excess, sigma_mm, last)
    with np.errstate(invalid="ignore", divide="ignore"):
        ramp = -sigma_mm * ndtri(np.minimum(FOOT_HU / height, 0.5))
        climbs = ~(begin - place <= STEP_SLACK * ramp + SLACK_MM) & np.isfinite(begin)
    rows, depth = np.arange(len(excess)), np.where(climbs, CLIMB_SIGMA, EDGE_SIGMA) * sigma_mm
    at = np.clip((begin - depth - DISTANCES_MM[0]) / STEP_MM, 0, len(DISTANCES_MM) - 2)
    low = np.nan_to_num(at).astype(np.intp)
    part = at - low
    climbed = ((1 - part) * excess[rows, low] + part * excess[rows, low + 1]) / CLIMB_SHARE
    return np.where(climbs, begin, place), np.where(climbs, climbed, height), depth


def _beginnings(excess: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Where each profile, come from inside without a break, falls below ``FOOT_HU``, mm, and the
    last sample before; NaN where the body does not begin on the profile."""
    start = int(np.searchsorted(DISTANCES_MM, -INSIDE_MM[0]))
    outside = ~(excess >= FOOT_HU)[:, start:]
    last = start - 1 + np.where(outside.any(axis=1), outside.argmax(axis=1), outside.shape[1])
    rows, count = np.arange(len(excess)), len(DISTANCES_MM)
    there = np.minimum(last + 1, count - 1)
    high, low = excess[rows, last], excess[rows, there]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((high - FOOT_HU) / (high - low), 0.0, 1.0)
    begun = (last >= start) & (last < count - 1) & np.isfinite(part)
    return np.where(begun, DISTANCES_MM[last] + STEP_MM * part, np.nan), last


def _steps(excess: Floats, sigma_mm: Floats, last: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The outermost place of each profile that lies as in the middle of a step, mm, and the step's
    height, HU; NaN where none does. ``last``: sample up to which the body reaches."""
    behind = _shifted(excess, EDGE_SIGMA * sigma_mm)
    with np.errstate(invalid="ignore"):
        over = excess - EDGE_SHARE * behind
        body = (over >= 0) & (excess >= LEAST_HU)
    last = last + np.rint(EDGE_SIGMA * sigma_mm / STEP_MM).astype(np.intp)
    count = len(DISTANCES_MM)
    body &= np.arange(count) <= np.minimum(last, count - 2)[:, None]
    found = body.any(axis=1)
    k = np.where(found, np.minimum(count - 1 - body[:, ::-1].argmax(axis=1), count - 2), 0)
    rows = np.arange(len(excess))
    here, there = over[rows, k], over[rows, k + 1]
    found &= there < 0  # or else it is too faint to tell where it ends
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip(here / (here - there), 0.0, 1.0)
    place = np.where(found & np.isfinite(part), DISTANCES_MM[k] + STEP_MM * part, np.nan)
    height = (1 - part) * behind[rows, k] + part * behind[rows, k + 1]
    return place, np.where(np.isfinite(place), height * 2 * EDGE_SHARE, np.nan)


def _shifted(values: Floats, by_mm: Floats) -> Floats:
    """Each profile's values ``by_mm`` farther in, linear between samples; NaN beyond its end."""
    at = np.arange(values.shape[1])[None, :] - (by_mm / STEP_MM)[:, None]
    low = np.floor(at).astype(np.intp)
    part = at - low
    first = np.take_along_axis(values, np.maximum(low, 0), axis=1)
    second = np.take_along_axis(values, np.clip(low + 1, 0, values.shape[1] - 1), axis=1)
    return np.where(low >= 0, (1 - part) * first + part * second, np.nan)


def reached(foreign: Bools, sigma_mm: Floats) -> Bools:
    """Samples within two sigma of what is foreign, on either side along the profile."""
    reach = np.ceil(2.0 * sigma_mm / STEP_MM)
    near = foreign.copy()
    for shift in range(1, int(reach.max(initial=0)) + 1):
        far = (shift <= reach)[:, None]
        near[:, shift:] |= foreign[:, :-shift] & far
        near[:, :-shift] |= foreign[:, shift:] & far
    return near


def _mean(values: Floats, other: Bools, outer_mm: Floats) -> Floats:
    """Mean of each profile over ``ZONE_MM`` inwards from ``outer_mm``.

    NaN where less than half of it lies on the profile, or any of it in what is foreign.
    """
    s = DISTANCES_MM[None, :]
    with np.errstate(invalid="ignore"):
        zone = (s <= outer_mm[:, None]) & (s > outer_mm[:, None] - ZONE_MM)
        full = outer_mm - ZONE_MM / 2 >= DISTANCES_MM[0]
    count = zone.sum(axis=1)
    total = np.where(zone, values, 0.0).sum(axis=1)
    good = full & (count > 0) & ~(zone & other).any(axis=1)
    return np.where(good, total / np.maximum(count, 1), np.nan)
