"""The rods of a phantom below the patient, found in the scan.

A rod is known by what no part of a body shows: it is round, even, lies in an even slab, and its
place, size and HU are the same slice after slice. What each holds is never guessed: the site names
the densities, exactly as many rods must be there, and their HU must make a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple
from hoimg.image import CTVolume
from hoimg.measure.calibration import Refusal
from hoimg.measure.rods import line_through, read_rod
from hoimg.results import Calibration
from hoimg.settings import MeasureSettings

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

PIXEL_MM = 1.5
"""In-plane size at which rods are looked for."""

WINDOW_MM = 60.0
"""Length along which a rod must stay the same: longer than any straight even part of a body."""

SLABS = 4
"""Parts of a window that are compared with each other."""

SLICES_PER_SLAB = 4

RADII_MM = tuple(np.arange(5.0, 13.1, 1.0))
"""Rods of phantoms below a patient are 10 to 25 mm wide."""

INNER, RING = 0.75, (1.2, 1.5)
"""A disc is read to this part of its radius, and the slab around it in this ring."""

MIN_CONTRAST_HU = 30.0
EVEN_HU = 8.0
"""Spread within a disc and its ring that noise and beam hardening make."""

SLAB_HU = (-200.0, 300.0)
"""What rods are embedded in: plastic, water or resin, not air (a tube) nor bone."""


@dataclass(frozen=True)
class Disc:
    """A round even place in one window.

    Attributes:
        centre_yx_mm: In the array's plane, mm.
        radius_mm: Its radius, mm.
        rows: First and last slice (excluded) of the window.
        misfit: Unevenness of disc and ring over contrast, to choose among overlapping discs.
    """

    centre_yx_mm: tuple[float, float]
    radius_mm: float
    rows: tuple[int, int]
    misfit: float


def found_phantom(volume: CTVolume, settings: MeasureSettings) -> Calibration | Refusal:
    """Find the rods of ``calibration_phantom_mg_cm3`` and calibrate by them.

    Args:
        volume: The exam, HU; slices along the rods.
        settings: With the densities.

    Returns:
        The calibration; refused unless in some 60 mm of the scan there are exactly as many rods
        as densities, on a line that diagnostic CT can have.
    """
    wanted = sorted(settings.calibration_phantom_mg_cm3)
    spacing = volume.grid.spacing_zyx_mm
    outcome = Refusal(("not_calibrated", "calibration_phantom_not_found"))
    for rows in windows(volume.hu.shape[0], spacing[0]):
        discs = _alike(find_discs(volume.hu, spacing, rows), len(wanted))
        if discs is None:
            continue
        values = [_inside(volume, disc) for disc in discs]
        values.sort(key=lambda v: float(v.mean()))
        rods = [read_rod(d, v) for d, v in zip(wanted, values, strict=True)]
        width = 2 * float(np.median([disc.radius_mm for disc in discs]))
        line = line_through(rods, settings, f"phantom found, {len(rods)} rods of {width:.0f} mm")
        if not isinstance(line, Refusal):
            return line
        outcome = line
    return outcome


def windows(slices: int, step_mm: float) -> Iterator[tuple[int, int]]:
    """Windows of 60 mm, from the middle of the scan outwards, a quarter apart."""
    length = max(round(WINDOW_MM / step_mm), SLABS)
    starts = sorted(
        range(0, slices - length + 1, max(length // 4, 1)),
        key=lambda first: abs(2 * first + length - slices),
    )
    for first in starts:
        yield first, first + length


def find_discs(hu: NDArray[np.generic], spacing_mm: Triple, rows: tuple[int, int]) -> list[Disc]:
    """Rods in one window: even discs in an even ring that stay the same along it."""
    parts = _slab_means(hu, spacing_mm, rows)
    pixel = [s * _factor(s) for s in spacing_mm[1:]]
    mean = parts.mean(axis=0)
    found: list[Disc] = []
    for radius in RADII_MM:
        inner = _kernel(0.0, INNER * radius, pixel)
        ring = _kernel(RING[0] * radius, RING[1] * radius, pixel)
        (in_mean, in_sd), (ring_mean, ring_sd) = (_local(mean, k) for k in (inner, ring))
        contrast = np.abs(in_mean - ring_mean)
        spread = np.maximum(EVEN_HU, 0.1 * contrast)
        good = (contrast > MIN_CONTRAST_HU) & (in_sd < spread) & (ring_sd < spread)
        good &= (ring_mean > SLAB_HU[0]) & (ring_mean < SLAB_HU[1])
        for y, x in np.argwhere(good):
            along = [_at(part, inner, y, x) for part in parts]
            if not float(np.ptp(along)) <= float(spread[y, x]):  # not a number beyond the image
                continue
            centre = (
                (y + 0.5) * pixel[0] - 0.5 * spacing_mm[1],
                (x + 0.5) * pixel[1] - 0.5 * spacing_mm[2],
            )
            misfit = float((in_sd[y, x] + ring_sd[y, x]) / contrast[y, x])
            found.append(Disc(centre, float(radius), rows, misfit))
    return _apart(found)


def _apart(found: Sequence[Disc]) -> list[Disc]:
    """Of discs that overlap the one with the most contrast for its unevenness."""
    kept: list[Disc] = []
    for disc in sorted(found, key=lambda d: d.misfit):
        centre = np.asarray(disc.centre_yx_mm)
        if all(
            np.hypot(*(centre - other.centre_yx_mm)) > disc.radius_mm + other.radius_mm
            for other in kept
        ):
            kept.append(disc)
    return kept


def _alike(discs: Sequence[Disc], count: int) -> list[Disc] | None:
    """The ``count`` discs of one width (to a step of 1 mm); None when there is not one such set."""
    sets = {
        tuple(other for other in discs if abs(other.radius_mm - disc.radius_mm) <= 1.0)
        for disc in discs
    }
    fitting = [group for group in sets if len(group) == count]
    return list(fitting[0]) if len(fitting) == 1 else None


def _factor(spacing_mm: float) -> int:
    return max(round(PIXEL_MM / spacing_mm), 1)


def _slab_means(hu: NDArray[np.generic], spacing_mm: Triple, rows: tuple[int, int]) -> Floats:
    """Means of a few slices in each part of the window, in pixels of about 1.5 mm."""
    fy, fx = (_factor(s) for s in spacing_mm[1:])
    ny, nx = hu.shape[1] // fy, hu.shape[2] // fx
    out = []
    for part in np.array_split(np.arange(*rows), SLABS):
        picks = part[np.linspace(0, part.size - 1, SLICES_PER_SLAB).round().astype(int)]
        slab = np.zeros((ny, nx), np.float32)
        for z in np.unique(picks):
            plane = np.asarray(hu[z, : ny * fy, : nx * fx], np.float32)
            slab += plane.reshape(ny, fy, nx, fx).mean(axis=(1, 3))
        out.append(slab / np.unique(picks).size)
    return np.stack(out)


def _kernel(low_mm: float, high_mm: float, pixel_mm: Sequence[float]) -> Floats:
    """Weights of a disc (from 0) or a ring, of sum 1; pixels count by the part inside."""
    fine = 5
    half = [int(high_mm / p) + 1 for p in pixel_mm]
    y, x = (
        ((np.arange((2 * h + 1) * fine) + 0.5) / fine - h - 0.5) * p
        for h, p in zip(half, pixel_mm, strict=True)
    )
    r = np.hypot(y[:, None], x[None, :])
    parts = ((r >= low_mm) & (r <= high_mm)).reshape(2 * half[0] + 1, fine, 2 * half[1] + 1, fine)
    weights = parts.mean(axis=(1, 3))
    return np.asarray(weights / weights.sum(), np.float32)


def _local(image: Floats, kernel: Floats) -> tuple[Floats, Floats]:
    """Mean and SD under a kernel; clipped HU, so that air and metal stay within float32."""
    from scipy.signal import fftconvolve

    clipped = np.clip(image, -1100.0, 2000.0)
    mean = fftconvolve(clipped, kernel, mode="same")
    square = fftconvolve(clipped * clipped, kernel, mode="same")
    return mean, np.sqrt(np.maximum(square - mean * mean, 0.0))


def _at(image: Floats, kernel: Floats, y: int, x: int) -> float:
    """Mean under the kernel at one pixel; beyond the image nothing is read."""
    half = kernel.shape[0] // 2, kernel.shape[1] // 2
    patch = image[max(y - half[0], 0) : y + half[0] + 1, max(x - half[1], 0) : x + half[1] + 1]
    if patch.shape != kernel.shape:
        return float("nan")
    return float((patch * kernel).sum())


def _inside(volume: CTVolume, disc: Disc) -> NDArray[np.float64]:
    """HU of a rod's inner voxels in its window."""
    _, sy, sx = volume.grid.spacing_zyx_mm
    y0, x0 = disc.centre_yx_mm
    reach = INNER * disc.radius_mm
    rows = slice(max(int((y0 - reach) / sy), 0), int((y0 + reach) / sy) + 2)
    columns = slice(max(int((x0 - reach) / sx), 0), int((x0 + reach) / sx) + 2)
    crop = volume.hu[disc.rows[0] : disc.rows[1], rows, columns]
    y = (np.arange(crop.shape[1]) + rows.start) * sy - y0
    x = (np.arange(crop.shape[2]) + columns.start) * sx - x0
    held = np.hypot(y[:, None], x[None, :]) <= reach
    return crop[:, held].astype(np.float64).ravel()
