"""What lies round a lesion on a film: a smooth background, noise, the contrast at its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COARSE_SIGMA_MM = 4.25
"""10 mm full width at half maximum; what is broader is no noise."""
NOISE_MM = 1.0, 9.0
"""Distance from the outline between which noise is looked at."""


def fill_smoothly(values: Floats, hole: Bools, margin_px: float) -> Floats:
    """Carry on what surrounds a hole: the harmonic function with the values at its border.

    Args:
        values: ``[y, x]``.
        hole: To be filled.
        margin_px: The hole is widened by this, past the blur of its edge.
    """
    from scipy import ndimage, sparse
    from scipy.sparse.linalg import spsolve

    wide = ndimage.distance_transform_edt(~hole) <= margin_px
    if wide.all():
        return np.full_like(values, float(values.mean()))
    count = int(wide.sum())
    number = np.full(values.shape, -1)
    number[wide] = np.arange(count)
    rows, columns = np.nonzero(wide)
    degree, known = np.zeros(count), np.zeros(count)
    links = sparse.csr_matrix((count, count))
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = rows + dy, columns + dx
        on = np.flatnonzero((y >= 0) & (y < values.shape[0]) & (x >= 0) & (x < values.shape[1]))
        degree[on] += 1
        there = number[y[on], x[on]]
        inner = there >= 0
        known[on[~inner]] += values[y[on], x[on]][~inner]
        ones = np.ones(int(inner.sum()))
        links = links + sparse.csr_matrix((ones, (on[inner], there[inner])), (count, count))
    filled = values.astype(np.float64).copy()
    filled[wide] = spsolve((sparse.diags(degree) - links).tocsc(), known)
    return filled


def local_noise(values: Floats, inside: Bools, valid: Bools, spacing_mm: float) -> float:
    """Typical unevenness round an outline: 1.4826 times the median deviation, film units.

    Over 1 to 9 mm round it, less the local mean over 10 mm of what is outside.
    """
    from scipy import ndimage

    low, high = NOISE_MM
    distance = ndimage.distance_transform_edt(~inside) * spacing_mm
    outside = valid & (distance > low)
    near = outside & (distance <= high)
    if not near.any():
        return 0.0
    fine = (values - mean_near(values, outside, COARSE_SIGMA_MM / spacing_mm))[near]
    return 1.4826 * float(np.median(np.abs(fine - np.median(fine))))


def steps_across(values: Floats, inside: Bools, spacing_mm: float) -> Floats:
    """For each pixel of an outline: mean within 2 mm inside less that of 0.4-2.5 mm outside."""
    from scipy import ndimage

    within = ndimage.distance_transform_edt(inside) * spacing_mm
    beyond = ndimage.distance_transform_edt(~inside) * spacing_mm
    sigma = 1.0 / spacing_mm
    inner = mean_near(values, inside & (within < 2.0), sigma)
    outer = mean_near(values, ~inside & (beyond > 0.4) & (beyond < 2.5), sigma)
    edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
    return np.asarray((inner - outer)[edge], np.float64)


def mean_near(values: Floats, chosen: Bools, sigma_px: float) -> Floats:
    """Mean of the chosen pixels near each pixel, by a Gaussian weight."""
    from scipy import ndimage

    weight = ndimage.gaussian_filter(chosen.astype(np.float64), sigma_px, mode="constant")
    total = ndimage.gaussian_filter(np.where(chosen, values, 0.0), sigma_px, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-9), np.float64)
