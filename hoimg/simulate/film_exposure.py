"""From path lengths to the detector's signal: primary beam, scatter, blur, noise, collimation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.simulate.film_beam import Beam
from hoimg.simulate.film_geometry import FilmGeometry
from hoimg.simulate.noise import FWHM_PER_SIGMA

Floats = NDArray[np.float32]

LEAKAGE = 2e-4
"""Share of the open beam that reaches what the collimator covers."""
SCATTER_SIGMA_MM = 30.0
"""Standard deviation of the blur of scattered radiation at the detector."""


@dataclass(frozen=True)
class Exposure:
    """How one film is exposed.

    Attributes:
        kvp: Tube voltage, kV.
        photons_per_mm2: Detected quanta per mm2 in the open beam; 0 for a film without noise.
            2e7 leave about 60 000 behind 20 cm of tissue, what a detector gets at 2.5 uGy.
        scatter: Scattered over primary radiation at the detector (behind the grid) under 10 cm of
            tissue and more; less under less, none in air.
        focal_spot_mm: Width of the focal spot.
        detector_fwhm_mm: Blur of the detector (full width at half maximum of a Gaussian).
        electronic: Standard deviation of the read-out's noise, as a share of the open beam.
        field_yx: First row, row after the last, first and last column likewise, of what the
            collimator leaves open; None for all.
        seed: Of the noise.
    """

    kvp: float = 70.0
    photons_per_mm2: float = 2e7
    scatter: float = 0.3
    focal_spot_mm: float = 1.0
    detector_fwhm_mm: float = 0.25
    electronic: float = 2e-6
    field_yx: tuple[int, int, int, int] | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Paths:
    """What lies along the ray of each pixel, ``[y, x]``.

    Attributes:
        water_mm: Water-equivalent path, mm.
        mineral_g_cm2: Hydroxyapatite, g/cm2.
        metal_mm: Metal, mm; None for none.
    """

    water_mm: Floats
    mineral_g_cm2: Floats
    metal_mm: Floats | None = None

    def crop(self, box: tuple[slice, slice]) -> Paths:
        """The part in a box of pixels."""
        metal = None if self.metal_mm is None else self.metal_mm[box]
        return Paths(self.water_mm[box], self.mineral_g_cm2[box], metal)


def primary(paths: Paths, exposure: Exposure) -> Floats:
    """Primary beam at the detector, as a share of the open beam, before any blur."""
    return Beam(exposure.kvp).transmitted(paths.water_mm, paths.mineral_g_cm2, paths.metal_mm)


def scattered(first: Floats, paths: Paths, geometry: FilmGeometry, exposure: Exposure) -> Floats:
    """Scattered radiation: a broad blur of what the body let through, by its thickness.

    ``scatter x G(primary x min(water / 100 mm, 1))``.
    """
    source = first * np.clip(paths.water_mm / np.float32(100.0), 0, 1)
    wide = broad_blur(source, SCATTER_SIGMA_MM * FWHM_PER_SIGMA, geometry.spacing_mm)
    return wide * np.float32(exposure.scatter)


def broad_blur(signal: Floats, fwhm_mm: float, spacing_mm: float) -> Floats:
    """As :func:`blur_mm` for a blur of many pixels: on pixels of about a twelfth of its width."""
    # An odd step, so that the mean over a large pixel has that pixel's middle.
    step = max(1, int(fwhm_mm / 12.0 / spacing_mm) // 2 * 2 + 1)
    small = ndimage.uniform_filter(signal, step, mode="nearest")[::step, ::step]
    small = blur_mm(small, fwhm_mm, spacing_mm * step)
    out: Floats = ndimage.affine_transform(
        small, [1 / step, 1 / step], 0.0, signal.shape, np.float32, order=1, mode="nearest"
    )
    return out


def blur_mm(signal: Floats, fwhm_mm: float, spacing_mm: float) -> Floats:
    """A Gaussian blur of the stated full width at half maximum, mm at the detector."""
    sigma = fwhm_mm / FWHM_PER_SIGMA / spacing_mm
    if sigma < 0.1:
        return signal
    out: Floats = ndimage.gaussian_filter(signal, sigma, mode="nearest", truncate=4.0)
    return out


def penumbra_mm(
    geometry: FilmGeometry, exposure: Exposure, at_lps_mm: Sequence[float] | NDArray[np.float64]
) -> float:
    """Width of the focal spot's shadow of an edge at a point: ``f (M - 1)``."""
    magnification = float(geometry.magnification(np.asarray([at_lps_mm]))[0])
    return exposure.focal_spot_mm * (magnification - 1.0)


def detect(
    first: Floats,
    scatter: Floats,
    exposure: Exposure,
    spacing_mm: float,
    penumbra: float,
    *,
    noise_seed: int | Sequence[int] | None = None,
) -> Floats:
    """Detector signal as a share of the open beam, larger for more radiation.

    Primary blurred by the focal spot, scatter added, collimated; quantum noise (Gaussian with
    Poisson's variance); all of that blurred by the detector; the read-out's noise on top.

    Args:
        first: From :func:`primary`.
        scatter: From :func:`scattered`.
        exposure: The exposure.
        spacing_mm: Of the pixels.
        penumbra: From :func:`penumbra_mm`, taken as the same everywhere.
        noise_seed: Seed of the noise; None for the expected signal without noise.
    """
    signal = blur_mm(first, penumbra, spacing_mm) + scatter
    if exposure.field_yx is not None:
        opened = np.full(signal.shape, np.float32(LEAKAGE))
        top, bottom, left, right = exposure.field_yx
        opened[top:bottom, left:right] = 1.0
        # The collimator is close to the source: its own penumbra is about a millimetre.
        signal = signal * blur_mm(opened, 1.0, spacing_mm)
    if noise_seed is None or exposure.photons_per_mm2 <= 0:
        return blur_mm(signal, exposure.detector_fwhm_mm, spacing_mm)
    rng = np.random.default_rng(noise_seed)
    quanta = np.float32(exposure.photons_per_mm2 * spacing_mm**2)
    white = rng.standard_normal(signal.shape, dtype=np.float32)
    noisy = signal + white * np.sqrt(signal / quanta)
    out = blur_mm(noisy, exposure.detector_fwhm_mm, spacing_mm)
    out += np.float32(exposure.electronic) * rng.standard_normal(signal.shape, dtype=np.float32)
    return out


def attenuation(signal: Floats) -> Floats:
    """``-ln`` of a detector signal, larger where more was attenuated; at most 12."""
    return -np.log(np.clip(signal, np.float32(np.exp(-12.0)), None))
