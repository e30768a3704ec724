"""What a scanner adds to an object: a point spread, the averaging in a voxel, correlated noise.

Also the smooth random field that shapes and textures are made of. Everything is drawn from a
seed, so that the same call gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian, in standard deviations (2.3548)."""

_LATTICE = 24


class SmoothField:
    """A periodic smooth random field with zero mean and unit variance.

    A 24-cubed lattice of normal numbers, ``length_mm`` apart, joined by cubic splines; so it can be
    evaluated at any point, and the same point always has the same value.

    Args:
        seed: Any whole number or sequence of them.
        length_mm: Distance between lattice points; clumps are about that wide.
    """

    def __init__(self, seed: int | Sequence[int], length_mm: float) -> None:
        lattice = np.random.default_rng(seed).standard_normal((_LATTICE,) * 3)
        # A cubic B-spline through unit lattice noise; scaled to unit variance on a finer lattice.
        self._coefficients = ndimage.spline_filter(lattice, 3, mode="grid-wrap").astype(np.float32)
        self._length_mm = length_mm
        probe = np.random.default_rng(0).uniform(0, _LATTICE * length_mm, (4096, 3))
        self._scale = 1.0
        self._shift = 0.0
        values = self(probe)
        self._shift = float(values.mean())
        self._scale = float(values.std())

    def __call__(self, points_mm: NDArray[Any]) -> NDArray[np.float32]:
        """Values at points ``(n, 3)`` in mm, float32 ``(n,)``."""
        index = np.asarray(points_mm, dtype=np.float32).T / self._length_mm
        values = ndimage.map_coordinates(
            self._coefficients, index, order=3, mode="grid-wrap", prefilter=False, output=np.float32
        )
        scaled: NDArray[np.float32] = (values - np.float32(self._shift)) / np.float32(self._scale)
        return scaled


def blur(
    array_zyx: NDArray[Any], fwhm_zyx_mm: Sequence[float], spacing_zyx_mm: Sequence[float]
) -> NDArray[np.float32]:
    """Convolve with a Gaussian point spread of the stated full width at half maximum, per axis.

    The sum is kept as long as the object stays four standard deviations away from the edge.

    Args:
        array_zyx: Any numbers.
        fwhm_zyx_mm: Full width at half maximum along z, y, x, mm; 0 leaves that axis alone.
        spacing_zyx_mm: Voxel spacing, mm.
    """
    sigma = [f / FWHM_PER_SIGMA / s for f, s in zip(fwhm_zyx_mm, spacing_zyx_mm, strict=True)]
    out: NDArray[np.float32] = ndimage.gaussian_filter(
        np.asarray(array_zyx, dtype=np.float32), sigma, mode="nearest", truncate=4.0
    )
    return out


def block_mean(array_zyx: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Mean over ``factor``-cubed blocks: the averaging of an object inside a voxel.

    Raises:
        ValueError: when a side is no multiple of ``factor``.
    """
    if any(n % factor for n in array_zyx.shape):
        raise ValueError(f"shape {array_zyx.shape} is no multiple of {factor}")
    z, y, x = (n // factor for n in array_zyx.shape)
    blocks = array_zyx.reshape(z, factor, y, factor, x, factor)
    mean: NDArray[np.float32] = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def correlated_noise(
    shape_zyx: tuple[int, int, int],
    spacing_zyx_mm: Sequence[float],
    sd_hu: float,
    fwhm_mm: float,
    seed: int | Sequence[int],
) -> NDArray[np.float32]:
    """Gaussian noise with a stated standard deviation and blob size.

    White noise smoothed by a Gaussian of ``fwhm_mm`` along all axes and scaled back by the
    kernel's exact norm, so that the standard deviation is ``sd_hu`` whatever the smoothing. The
    autocorrelation is then a Gaussian whose width is sqrt(2) times the kernel's.

    Args:
        shape_zyx: Shape of the result.
        spacing_zyx_mm: Voxel spacing, mm.
        sd_hu: Standard deviation, HU; 0 gives zeros.
        fwhm_mm: Full width at half maximum of the smoothing kernel, mm.
        seed: Seed of the random numbers.
    """
    if sd_hu <= 0:
        return np.zeros(shape_zyx, np.float32)
    noise = np.random.default_rng(seed).standard_normal(shape_zyx, dtype=np.float32)
    gain = 1.0
    for axis, spacing in enumerate(spacing_zyx_mm):
        sigma = fwhm_mm / FWHM_PER_SIGMA / spacing
        if sigma < 0.05:
            continue
        noise = ndimage.gaussian_filter1d(noise, sigma, axis=axis, mode="wrap", truncate=4.0)
        impulse = np.zeros(2 * math.ceil(4 * sigma) + 3)
        impulse[impulse.size // 2] = 1.0
        kernel = ndimage.gaussian_filter1d(impulse, sigma, mode="constant", truncate=4.0)
        gain *= float(np.sqrt((kernel**2).sum()))
    noise *= np.float32(sd_hu / gain)
    return noise
