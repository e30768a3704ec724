"""Objects of known volume and mass, scanned by calculation, without hoimg.

An object is a depth below its surface (mm, positive inside) and HU as a function of that depth. It
is put onto a fine grid, blurred by the point spread of the scanner (Gaussian in plane; along z a
slice profile of the stated thickness, itself slightly blurred), averaged over nothing but the
scan's own sampling points, and given correlated noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
SIGMA = 2.3548


@dataclass(frozen=True)
class Scan:
    """How an object is scanned: voxels, blur and noise."""

    slice_mm: float = 1.0
    pixel_mm: float = 0.7
    fwhm_mm: float = 1.1
    noise_hu: float = 12.0
    soft_hu: float = 50.0
    box_profile: bool = True

    @property
    def spacing(self) -> tuple[float, float, float]:
        return (self.slice_mm, self.pixel_mm, self.pixel_mm)


@dataclass(frozen=True, eq=False)
class Scanned:
    """A scanned object.

    Attributes:
        hu: Crop, float32 zyx.
        inside: Whether a voxel's centre lies in the object.
        volume_mm3: True volume.
        excess_hu_mm3: True integral of HU minus soft tissue.
        scan: How it was scanned.
    """

    hu: NDArray[np.float32]
    inside: NDArray[np.bool_]
    volume_mm3: float
    excess_hu_mm3: float
    scan: Scan


@dataclass(frozen=True)
class Thing:
    """A body of one size: form, rim and core.

    Attributes:
        form: ``sphere``, ``lobulated`` or ``ellipsoid``.
        diameter_mm: Of the sphere of about the same volume.
        hu: Of the whole body, or of its rim.
        rim_mm: Thickness of the rim; None: solid.
        core_hu: Inside the rim.
        rim_part: Part of the surface that has a rim (a cap is missing).
        seed: Draws form and place.
    """

    form: str
    diameter_mm: float
    hu: float
    rim_mm: float | None = None
    core_hu: float = 0.0
    rim_part: float = 1.0
    seed: int = 0


def scanned(thing: Thing, scan: Scan, again: int = 0) -> Scanned:
    """Scan a body in soft tissue, its centre anywhere between the voxels.

    ``again`` numbers further scans of the same body: another place between the voxels, other noise.
    """
    rng = np.random.default_rng([thing.seed, 5])
    radius = thing.diameter_mm / 2
    fine = float(np.clip(thing.diameter_mm / 40, 0.2, 0.4))
    half = radius * (1.45 if thing.form != "sphere" else 1.0) + 11.0
    count = int(2 * half / fine) | 1
    axis = (np.arange(count) - count // 2) * fine
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    depth, up = _depth(thing, z, y, x, rng)
    part = np.clip(depth / fine + 0.5, 0, 1).astype(np.float32)
    hu = np.float32(thing.hu)
    if thing.rim_mm is not None:
        core = np.clip((depth - thing.rim_mm) / fine + 0.5, 0, 1)
        if thing.rim_part < 1:
            core = np.where(up > 2 * thing.rim_part - 1, 1.0, core)
        hu = (thing.hu + core * (thing.core_hu - thing.hu)).astype(np.float32)
    excess = part * (hu - np.float32(scan.soft_hu))
    volume, mass = float(part.sum()) * fine**3, float(excess.sum(dtype=np.float64)) * fine**3
    blurred = _scanner(excess, fine, scan)
    if again:
        rng = np.random.default_rng([thing.seed, 5, again])
    shift = rng.uniform(-0.5, 0.5, 3)
    sizes = [int(2 * (half - 2) / s) for s in scan.spacing]
    places = [
        ((np.arange(n) - (n - 1) / 2 + d) * s / fine + count // 2)
        for n, s, d in zip(sizes, scan.spacing, shift, strict=True)
    ]
    grid = np.meshgrid(*places, indexing="ij")
    seen = ndimage.map_coordinates(blurred, grid, order=1) + scan.soft_hu
    inside = ndimage.map_coordinates(depth.astype(np.float32), grid, order=1) > 0
    return Scanned(
        (seen + _noise(seen.shape, scan, rng)).astype(np.float32), inside, volume, mass, scan
    )


def _scanner(excess: NDArray[np.float32], fine: float, scan: Scan) -> NDArray[np.float32]:
    plane = scan.fwhm_mm / SIGMA / fine
    if not scan.box_profile:
        along = scan.slice_mm / SIGMA / fine
        return ndimage.gaussian_filter(excess, (along, plane, plane), truncate=4)
    out = ndimage.gaussian_filter(excess, (0.3 * scan.slice_mm / SIGMA / fine, plane, plane))
    width = max(scan.slice_mm / fine, 1.0)
    # A box of any width: whole fine voxels plus a part of one more at each end.
    whole = int((width - 1) // 2)
    weights = np.ones(2 * whole + 3)
    weights[[0, -1]] = (width - (2 * whole + 1)) / 2
    return ndimage.convolve1d(out, weights / weights.sum(), axis=0)


def _noise(shape: tuple[int, ...], scan: Scan, rng: np.random.Generator) -> Floats:
    grain = [0.3, 0.6 * scan.fwhm_mm / scan.pixel_mm / SIGMA * 1.5] * 1
    made = ndimage.gaussian_filter(rng.normal(size=shape), (grain[0], grain[1], grain[1]))
    return made / made.std() * scan.noise_hu


def _depth(
    thing: Thing, z: Floats, y: Floats, x: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Depth below the surface, mm, and the cosine to the body's upper pole."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    a, b, c = (turn[k, 0] * z + turn[k, 1] * y + turn[k, 2] * x for k in range(3))
    r = np.maximum(np.sqrt(a * a + b * b + c * c), 1e-6)
    radius = thing.diameter_mm / 2
    up = a / r
    if thing.form == "sphere":
        return radius - r, up
    if thing.form == "ellipsoid":
        axes = radius * np.array([1.35, 1.0, 0.74])
        q = np.sqrt((a / axes[0]) ** 2 + (b / axes[1]) ** 2 + (c / axes[2]) ** 2)
        slope = np.sqrt(
            (a / axes[0] ** 2) ** 2 + (b / axes[1] ** 2) ** 2 + (c / axes[2] ** 2) ** 2
        ) / np.maximum(q, 1e-6)
        return (1 - q) / np.maximum(slope, 1e-3), up
    wave = 0.5 * np.sin(3 * np.arccos(np.clip(up, -1, 1))) * np.cos(
        2 * np.arctan2(c, b)
    ) + 0.35 * np.sin(2.3 * b / r + 1.1) * np.cos(3.1 * c / r)
    return radius * (1 + 0.22 * wave) - r, up
