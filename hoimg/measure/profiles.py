"""HU along lines that cross a surface: where the edge is, how high it rises, how wide it is.

A profile runs from inside (negative distance) to outside (positive), in mm, sampled between the
voxels. The same reading serves lesions and the patient's own cortex, so that both can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEP_MM = 0.25
INSIDE_MM = 5.0
OUTSIDE_MM = 6.0
DISTANCES_MM: Floats = np.arange(-INSIDE_MM, OUTSIDE_MM + STEP_MM / 2, STEP_MM)
"""Distances along a profile, mm; 0 is the surface, positive is outside."""


@dataclass(frozen=True, eq=False)
class Edges:
    """What was read from ``n`` profiles; NaN where it could not be read.

    Attributes:
        peak_hu: Plateau or peak of the outer zone, HU.
        peak_mm: Where it lies along the profile, mm.
        base_hu: Soft tissue outside, HU.
        half_mm: Outermost crossing of half way between the two, mm.
        width_mm: 10-90 % width of the outer flank, mm.
        inner_hu: Lowest HU inside the peak (the core's side), HU.
        thickness_mm: Distance between the outer and the inner half-height of a rim, mm; infinite
            where the profile does not fall again inside.
    """

    peak_hu: Floats
    peak_mm: Floats
    base_hu: Floats
    half_mm: Floats
    width_mm: Floats
    inner_hu: Floats
    thickness_mm: Floats


def line_points(points_mm: Floats, normals: Floats) -> Floats:
    """Sampling points ``(n, len(DISTANCES_MM), 3)`` of profiles through surface points."""
    lines: Floats = points_mm[:, None, :] + DISTANCES_MM[None, :, None] * normals[:, None, :]
    return lines


def read_edges(
    profiles: NDArray[Any],
    base_hu: Floats,
    centre_mm: Floats,
    *,
    depth_mm: Floats | float,
    reach_mm: float,
    blocked: Bools | None = None,
    floor: float = -np.inf,
) -> Edges:
    """Read the outer edge of each profile.

    The peak is the highest value from ``depth_mm`` inside to ``reach_mm`` outside the expected
    surface. Going outwards from it, the half-height is the first place below half way between
    peak and base; the flank's ends are the first places below 90 % and 10 %.

    Args:
        profiles: HU ``(n, k)`` at ``DISTANCES_MM``.
        base_hu: HU of the tissue outside, ``(n,)``.
        centre_mm: Where the surface is expected along each profile, mm, ``(n,)``.
        depth_mm: How far inside of it the peak may lie, mm.
        reach_mm: How far outside of it the peak and the half-height may lie, mm.
        blocked: ``(n, k)``, true at samples that belong to something else; a flank that would
            have to cross one has no value.
        floor: The half-height is looked for at no lower HU.
    """
    s = DISTANCES_MM[None, :]
    values = np.asarray(profiles, np.float64)
    n = len(values)
    rows = np.arange(n)
    relative = s - centre_mm[:, None]
    zone = (relative >= -np.broadcast_to(depth_mm, (n,))[:, None]) & (relative <= reach_mm)
    if blocked is not None:
        zone &= ~blocked
    at = np.where(zone, values, -np.inf).argmax(axis=1)
    usable = zone.any(axis=1)
    peak = np.where(usable, values[rows, at], np.nan)
    contrast = peak - base_hu
    first_block = _first(blocked & (s > s[0, at][:, None])) if blocked is not None else None

    def outwards(fraction: float) -> Floats:
        level = np.maximum(base_hu + fraction * contrast, floor if fraction == 0.5 else -np.inf)
        after = s > s[0, at][:, None]
        return _crossing(values, level, after, first_block)

    half = outwards(0.5)
    half = np.where(half - centre_mm <= reach_mm, half, np.nan)
    width = outwards(0.1) - outwards(0.9)
    inside = (s <= s[0, at][:, None]) & (s >= s[0, at][:, None] - 4.0)
    inner = np.where(inside, values, np.inf).min(axis=1)
    inner_half = _inner_crossing(values, 0.5 * (peak + inner), at)
    dips = (peak - inner) > 0.15 * np.maximum(contrast, 1.0)
    thickness = np.where(dips, half - inner_half, np.inf)
    return Edges(
        peak_hu=peak,
        peak_mm=np.where(usable, s[0, at], np.nan),
        base_hu=base_hu,
        half_mm=half,
        width_mm=np.where(contrast > 0, width, np.nan),
        inner_hu=np.where(usable, inner, np.nan),
        thickness_mm=np.where(np.isfinite(half), thickness, np.nan),
    )


def outside_base(
    profiles: NDArray[Any], blocked: Bools, centre_mm: Floats, from_mm: Floats | float
) -> tuple[Floats, NDArray[np.intp]]:
    """Mean soft tissue outside each profile's edge, and how many samples it rests on.

    Samples within 1 mm of something blocked (bone, another lesion, air) are left out, since its
    blur reaches into them.
    """
    reach = round(1.0 / STEP_MM)
    near = blocked.copy()
    for shift in range(1, reach + 1):
        near[:, shift:] |= blocked[:, :-shift]
        near[:, :-shift] |= blocked[:, shift:]
    relative = DISTANCES_MM[None, :] - centre_mm[:, None]
    start = np.broadcast_to(from_mm, centre_mm.shape)[:, None]
    use = (relative >= start) & (relative <= start + 3.0) & ~near
    count = use.sum(axis=1)
    total = np.where(use, profiles, 0.0).sum(axis=1)
    return total / np.maximum(count, 1), count


def _first(flags: Bools) -> NDArray[np.intp]:
    """Index of the first true value of each row; the row's length when there is none."""
    first = np.where(flags.any(axis=1), flags.argmax(axis=1), flags.shape[1])
    return np.asarray(first, np.intp)


def _crossing(
    values: Floats, level: Floats, after: Bools, first_block: NDArray[np.intp] | None
) -> Floats:
    """Where each profile first falls below ``level`` among the samples ``after``, mm."""
    below = after & (values < level[:, None])
    k = below.argmax(axis=1)
    rows = np.arange(len(values))
    found = below.any(axis=1) & (k > 0)
    if first_block is not None:
        found &= k <= first_block
    high, low = values[rows, k - 1], values[rows, k]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((high - level) / (high - low), 0.0, 1.0)
    place = DISTANCES_MM[k] - STEP_MM * (1.0 - part)
    return np.where(found & np.isfinite(part), place, np.nan)


def _inner_crossing(values: Floats, level: Floats, at: NDArray[np.intp]) -> Floats:
    """Where each profile, going inwards from its peak, first falls below ``level``, mm."""
    flipped = values[:, ::-1]
    k = values.shape[1]
    after = np.arange(k)[None, :] > (k - 1 - at)[:, None]
    below = after & (flipped < level[:, None])
    i = below.argmax(axis=1)
    rows = np.arange(len(values))
    found = below.any(axis=1) & (i > 0)
    high, low = flipped[rows, i - 1], flipped[rows, i]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((high - level) / (high - low), 0.0, 1.0)
    place = DISTANCES_MM[::-1][i] + STEP_MM * (1.0 - part)
    return np.where(found & np.isfinite(part), place, -np.inf)
