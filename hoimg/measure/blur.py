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


@lru_cache(maxsize=1)
def shell_tables() -> ShellTables:
    """Compute the tables once per process (a few milliseconds)."""
    from scipy.special import ndtr

    x = np.arange(-14.0, 5.0, 0.02)
    peak = np.empty((len(_C), len(_U)))
    half = np.empty_like(peak)
    thickness = np.empty_like(peak)
    columns = np.arange(len(_U))
    for i, c in enumerate(_C):
        g = ndtr(-x)[None, :] - (1.0 - c) * ndtr(-(x[None, :] + _U[:, None]))
        at = g.argmax(axis=1)
        top = g[columns, at]
        peak[i] = top
        index = np.arange(len(x))[None, :]
        out = (index > at[:, None]) & (g < 0.5 * top[:, None])
        half[i] = x[out.argmax(axis=1)]
        inner_level = 0.5 * (top + c)
        into = (index < at[:, None]) & (g < inner_level[:, None])
        last = len(x) - 1 - into[:, ::-1].argmax(axis=1)
        thickness[i] = half[i] - np.where(into.any(axis=1), x[last], -14.0)
    return ShellTables(_C, _U, np.maximum.accumulate(peak, axis=1), half, thickness)


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
