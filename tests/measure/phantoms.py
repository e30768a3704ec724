"""Analytic objects with their true volume: blurred on a grid finer than the scan, then sampled."""

import numpy as np
from scipy import ndimage
from scipy.special import erf

FINE = 0.25


def blurred(depth_of, hu_of, spacing, fwhm, half_mm, *, background=50.0, noise=8.0, seed=0):
    """(hu, mask, true volume, centre index): an object given by depth(z, y, x) and hu(depth).

    ``depth_of`` is positive inside and 0 on the boundary, in mm about the centre.
    """
    n = int(2 * half_mm / FINE) | 1
    axis = (np.arange(n) - n // 2) * FINE
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    depth = depth_of(z, y, x) + 0 * (z + y + x)
    inside = np.clip(depth / FINE + 0.5, 0, 1)
    fine = (background + inside * (hu_of(depth) - background)).astype(np.float32)
    fine = ndimage.gaussian_filter(fine, [w / 2.3548 / FINE for w in fwhm], truncate=4)
    count = [int(2 * (half_mm - 1) / s) for s in spacing]
    place = np.meshgrid(
        *[
            (np.arange(k) - (k - 1) / 2) * s / FINE + n // 2
            for k, s in zip(count, spacing, strict=True)
        ],
        indexing="ij",
    )
    hu = ndimage.map_coordinates(fine, place, order=1)
    mask = ndimage.map_coordinates(depth.astype(np.float32), place, order=1) > 0
    hu = hu + np.random.default_rng(seed).normal(0, noise, hu.shape)
    return hu.astype(np.float32), mask, float(inside.sum() * FINE**3), (np.array(count) - 1) / 2


def sphere(radius, hu, spacing, fwhm, *, shell=None, core=-20.0, lobes=0.0, **kw):
    """A solid sphere, or a shell round a core; ``lobes`` makes its surface wavy."""

    def depth_of(z, y, x):
        r = np.sqrt(z * z + y * y + x * x)
        if not lobes:
            return radius - r
        wave = np.sin(3 * np.arccos(z / np.maximum(r, 1e-6))) * np.cos(3 * np.arctan2(y, x))
        return radius * (1 + lobes * wave) - r

    def hu_of(depth):
        return np.full(depth.shape, hu) if shell is None else np.where(depth < shell, hu, core)

    return blurred(depth_of, hu_of, spacing, fwhm, radius * (1 + lobes) + 9, **kw)


def erf_sphere(radius, hu, spacing, shape, centre_mm, sigma, background=50.0):
    """A solid sphere with an edge blurred along its radius: exact at every voxel, no sampling."""
    axes = [np.arange(n) * s - c for n, s, c in zip(shape, spacing, centre_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    r = np.sqrt(z * z + y * y + x * x)
    edge = 0.5 * (1 - erf((r - radius) / (sigma * np.sqrt(2))))
    return (background + (hu - background) * edge).astype(np.float32), r < radius
