"""Line integrals of a volume along the rays of a point source, slab by slab.

A slab is the part of the volume at one distance from the source. The rays cross it on a lattice
that is the detector's, scaled about the central ray, so that each slab is one plain resampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import to_sitk
from hoimg.simulate.film_geometry import FilmGeometry

Pixels = tuple[slice, slice]


def project(
    array_zyx: NDArray[Any],
    grid: Grid,
    geometry: FilmGeometry,
    *,
    step_mm: float | None = None,
    pixels: Pixels | None = None,
    extend: bool = False,
) -> NDArray[np.float32]:
    """Integrate values along the ray of each pixel.

    Args:
        array_zyx: Values per voxel.
        grid: Where they lie (patient's frame); joined linearly between voxel centres.
        geometry: Source and detector.
        step_mm: Thickness of a slab along the central ray; None: the smallest voxel side.
        pixels: Rows and columns to do; None: all.
        extend: Whether what lies at the volume's border goes on beyond it (a body that the scan
            cuts); otherwise there is nothing.

    Returns:
        ``[y, x]``, value times mm.

    Raises:
        ValueError: when the source lies inside the volume.
    """
    step = min(grid.spacing_zyx_mm) if step_mm is None else step_mm
    box = _box(geometry, pixels)
    total = np.zeros([s.stop - s.start for s in box], np.float32)
    for slab in _slabs(array_zyx, grid, geometry, step, box, extend):
        total += slab
    return np.asarray(total * (np.float32(step) * _slant(geometry, *box)))


def peak(
    array_zyx: NDArray[Any], grid: Grid, geometry: FilmGeometry, *, pixels: Pixels | None = None
) -> NDArray[np.float32]:
    """The highest value that each pixel's ray meets: at one half, an object's silhouette.

    A silhouette by path length would be too large: where rays graze, what interpolation smears
    over a surface adds up.

    Args:
        array_zyx: Values per voxel, not negative.
        grid: Where they lie.
        geometry: Source and detector.
        pixels: Rows and columns to do; None: all.
    """
    box = _box(geometry, pixels)
    top = np.zeros([s.stop - s.start for s in box], np.float32)
    for slab in _slabs(array_zyx, grid, geometry, min(grid.spacing_zyx_mm), box, False):
        np.maximum(top, slab, out=top)
    return top


def _box(geometry: FilmGeometry, pixels: Pixels | None) -> Pixels:
    return pixels or (slice(0, geometry.shape_yx[0]), slice(0, geometry.shape_yx[1]))


def _slabs(
    array_zyx: NDArray[Any],
    grid: Grid,
    geometry: FilmGeometry,
    step: float,
    box: Pixels,
    extend: bool,
) -> Iterator[NDArray[np.float32]]:
    """The volume where the rays cross the middle of each slab, from the source on."""
    import SimpleITK as sitk

    depths = geometry.depth_mm(grid.to_lps_mm(grid.corners_zyx()))
    # A voxel reaches half its side beyond its centre, and interpolation one side.
    nearest, farthest = float(depths.min()) - step, float(depths.max()) + step
    if nearest <= 0:
        raise ValueError("the source lies inside the volume")
    rows, columns = box
    size = [columns.stop - columns.start, rows.stop - rows.start, 1]
    axes = np.stack([geometry.column_lps, geometry.row_lps, geometry.beam_lps], axis=1)
    image = to_sitk(np.asarray(array_zyx, np.float32), grid)
    first = np.array([[rows.start, columns.start]])
    for number in range(int(np.ceil((farthest - nearest) / step))):
        depth = nearest + (number + 0.5) * step
        spacing = geometry.spacing_mm * depth / geometry.sid_mm
        slab = sitk.Resample(
            image,
            size,
            sitk.Transform(),
            sitk.sitkLinear,
            geometry.to_lps_mm(first, depth)[0].tolist(),
            [spacing, spacing, 1.0],
            axes.ravel().tolist(),
            0.0,
            sitk.sitkFloat32,
            extend,
        )
        yield sitk.GetArrayFromImage(slab)[0]


def project_coarse(
    array_zyx: NDArray[Any],
    grid: Grid,
    geometry: FilmGeometry,
    *,
    pixel_mm: float,
    step_mm: float | None = None,
) -> NDArray[np.float32]:
    """:func:`project` of a large smooth volume on larger pixels, joined by cubic splines.

    What lies at the volume's border goes on beyond it. Good as long as ``pixel_mm`` is well below
    the voxel's magnified side.

    Args:
        array_zyx: Values per voxel.
        grid: Where they lie.
        geometry: Source and detector; the result has its pixels.
        pixel_mm: At the detector.
        step_mm: See :func:`project`.
    """
    if pixel_mm <= geometry.spacing_mm:
        return project(array_zyx, grid, geometry, step_mm=step_mm, extend=True)
    wide = project(array_zyx, grid, geometry.coarser(pixel_mm), step_mm=step_mm, extend=True)
    # A spline overshoots at the skin; no ray is longer or shorter than those it was made from.
    return np.clip(_finer(wide, geometry, pixel_mm, 3), wide.min(), wide.max())


def peak_coarse(
    array_zyx: NDArray[Any], grid: Grid, geometry: FilmGeometry, *, pixel_mm: float
) -> NDArray[np.float32]:
    """:func:`peak` on larger pixels, joined linearly."""
    if pixel_mm <= geometry.spacing_mm:
        return peak(array_zyx, grid, geometry)
    return _finer(peak(array_zyx, grid, geometry.coarser(pixel_mm)), geometry, pixel_mm, 1)


def _finer(
    wide: NDArray[np.float32], geometry: FilmGeometry, pixel_mm: float, order: int
) -> NDArray[np.float32]:
    """A picture on larger pixels round the same middle, on a film's own pixels."""
    scale = geometry.spacing_mm / pixel_mm
    offset = [
        (m - 1) / 2 - (n - 1) / 2 * scale
        for m, n in zip(wide.shape, geometry.shape_yx, strict=True)
    ]
    fine: NDArray[np.float32] = ndimage.affine_transform(
        wide, [scale, scale], offset, geometry.shape_yx, np.float32, order=order, mode="nearest"
    )
    return fine


def _slant(geometry: FilmGeometry, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Length of each pixel's ray per mm along the central ray."""
    middle = (np.asarray(geometry.shape_yx) - 1) / 2
    y = (np.arange(rows.start, rows.stop) - middle[0]) * geometry.spacing_mm
    x = (np.arange(columns.start, columns.stop) - middle[1]) * geometry.spacing_mm
    squared = y[:, None] ** 2 + x[None, :] ** 2 + geometry.sid_mm**2
    return np.asarray(np.sqrt(squared) / geometry.sid_mm, np.float32)
