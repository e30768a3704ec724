"""How far blur moves the half-height of a shell's outer edge, and the inverse of that.

A step edge keeps its half-height in place under a symmetric blur. A thin rim does not: blurred, it
is lower and wider, and its outer half-height lies outside the true surface (by up to 1.2 sigma
minus half its thickness). For a rim of height 1 and thickness ``w`` over a core of height ``c``
(both above the soft tissue outside) and a Gaussian blur sigma, the profile is

    g(x) = Phi(-x / sigma) - (1 - c) Phi(-(x + w) / sigma),

x outwards from the true surface. The tables hold, over ``w / sigma`` and ``c``, the height of its
peak, the place of its outer half-height and the distance between outer and inner half-height.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WIDTH_TOLERANCE_SIGMA = 0.7
"""How well a rim's thickness is known from its profile, in sigma of the blur."""

STEP_FLANK = 2.5631
"""10-90 % width of a step's flank, sigma."""

MIN_FLANK = 1.5
"""A line darker inside than outside is sharper still, but it is no bone."""

THIN_U, THIN_RATIO, THICK_RATIO = 3.0, 1.5, 2.0
"""A shell this many sigma thick is this many flank widths thick (core of soft tissue or marrow)."""

_U: Floats = np.concatenate([np.linspace(0.02, 3.0, 60), np.linspace(3.1, 8.0, 30)])
_C: Floats = np.linspace(-0.5, 0.98, 75)


@dataclass(frozen=True, eq=False)
class ShellTables:
    """Tables over core height (rows, ``core``) and thickness in sigma (columns, ``u``)."""

    core: Floats
    u: Floats
    peak: Floats
    half: Floats
    thickness: Floats
    flank: Floats
    """10-90 % width of the outer flank."""


@lru_cache(maxsize=1)
def shell_tables() -> ShellTables:
    """Compute the tables once per process (a few milliseconds)."""
    from scipy.special import ndtr

    x = np.arange(-14.0, 5.0, 0.02)
    peak = np.empty((len(_C), len(_U)))
    half = np.empty_like(peak)
    thickness = np.empty_like(peak)
    flank = np.empty_like(peak)
    columns = np.arange(len(_U))
    for i, c in enumerate(_C):
        g = ndtr(-x)[None, :] - (1.0 - c) * ndtr(-(x[None, :] + _U[:, None]))
        at = g.argmax(axis=1)
        top = g[columns, at]
        peak[i] = top
        index = np.arange(len(x))[None, :]
        outside = index > at[:, None]
        half[i], foot, shoulder = (
            x[(outside & (g < part * top[:, None])).argmax(axis=1)] for part in (0.5, 0.1, 0.9)
        )
        flank[i] = foot - shoulder
        inner_level = 0.5 * (top + c)
        into = (index < at[:, None]) & (g < inner_level[:, None])
        last = len(x) - 1 - into[:, ::-1].argmax(axis=1)
        thickness[i] = half[i] - np.where(into.any(axis=1), x[last], -14.0)
    return ShellTables(_C, _U, np.maximum.accumulate(peak, axis=1), half, thickness, flank)


def half_height_shift(
    peak: Floats, core: Floats, thickness_mm: Floats, material: Floats | float, sigma_mm: Floats
) -> Floats:
    """How far outside the true surface the half-height lies, mm.

    The rim's thickness follows from the peak's height, since a rim is at most as dense as
    ``material``, and from the measured thickness where that is clearly larger, so that neither a
    less dense rim nor a solid lesion is over-corrected.

    Args:
        peak: Peak above soft tissue, HU, ``(n,)``.
        core: Core side above soft tissue, HU, ``(n,)``.
        thickness_mm: Between outer and inner half-height; infinite for a solid lesion.
        material: Density of compact rim above soft tissue, HU.
        sigma_mm: Blur along each profile, mm.

    Returns:
        Shift in mm, 0 where nothing thin was seen (solid lesion, unread profile).
    """
    tables = shell_tables()
    sigma = np.asarray(sigma_mm, float)
    solid = ~np.isfinite(thickness_mm) | ~(peak > 0)
    height = np.maximum(np.asarray(material, float), np.where(solid, 1.0, peak))
    row = np.interp(np.where(solid, 0.0, core) / height, tables.core, np.arange(len(tables.core)))
    i = np.clip(np.rint(row).astype(int), 0, len(tables.core) - 1)
    by_peak = (tables.peak[i] < (np.where(solid, 0.0, peak) / height)[:, None]).sum(axis=1)
    measured = np.where(solid, 0.0, thickness_mm) / sigma
    by_width = (tables.thickness[i] < measured[:, None]).sum(axis=1)
    u = tables.u
    thin = u[np.clip(by_peak, 0, len(u) - 1)]
    wide = u[np.clip(by_width, 0, len(u) - 1)]
    # The measured thickness of a thin rim is mostly blur and noise: it counts only where it
    # exceeds what the height says by more than that.
    thickness = np.maximum(thin, wide - WIDTH_TOLERANCE_SIGMA)
    j = np.clip(np.searchsorted(u, thickness), 0, len(u) - 1)
    return np.where(solid, 0.0, tables.half[i, j] * sigma)


def sigma_of_flank(
    width_mm: Floats, peak: Floats, core: Floats, thickness_mm: Floats, material: Floats | float
) -> Floats:
    """Blur that gave the outer flank of a shell its width, mm.

    The 10-90 % width is 2.56 sigma at a thick shell (a step) and 1.69 sigma at a very thin one (a
    line). From 1.5 widths on the measured thickness tells where between; below, it is mostly blur
    itself, and the height tells, since a shell is at most as dense as ``material``.

    Args:
        width_mm: 10-90 % width of the outer flank, ``(n,)``.
        peak: Peak above what lies outside, HU, ``(n,)``.
        core: Core side above what lies outside, HU, ``(n,)``.
        thickness_mm: Between outer and inner half-height; infinite for a step.
        material: Density of the shell's material above what lies outside, HU.
    """
    tables = shell_tables()
    height = np.maximum(material, np.maximum(peak, 1.0))
    row = np.interp(core / height, tables.core, np.arange(len(tables.core)))
    i = np.clip(np.rint(row).astype(int), 0, len(tables.core) - 1)
    last = len(tables.u) - 1
    by_peak = np.minimum((tables.peak[i] < (peak / height)[:, None]).sum(axis=1), last)
    ratio = np.where(np.isfinite(thickness_mm), thickness_mm / width_mm, np.inf)
    flank = np.maximum(tables.flank[i], MIN_FLANK)
    tabled = np.where(tables.u >= THIN_U, tables.thickness[i] / flank, 0.0)
    by_width = np.minimum((tabled < ratio[:, None]).sum(axis=1), last)
    shells = np.arange(len(flank))
    thin = flank[shells, np.minimum(by_peak, by_width)]
    thick = flank[shells, by_width]
    share = np.clip((ratio - THIN_RATIO) / (THICK_RATIO - THIN_RATIO), 0.0, 1.0)
    per_sigma = thin + share * (thick - thin)
    return width_mm / np.where(np.isfinite(ratio), per_sigma, STEP_FLANK)
