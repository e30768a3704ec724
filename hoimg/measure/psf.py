"""The scan's own blur and noise, read from its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple, bounding_box, margin_voxels
from hoimg.measure.profiles import line_points, read_edges
from hoimg.measure.view import LesionView

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SLABS = 10
POINTS_PER_SLAB = 120
MIN_EDGES = 60
FWHM_PER_STEP_WIDTH = 2.3548 / 2.5631
"""FWHM of a Gaussian over the 10-90 % width of a step edge blurred by it."""

MUSCLE_HU = (20.0, 90.0)


def fallback_fwhm(spacing_mm: Triple, slice_mm: float) -> Triple:
    """A usual point spread where none can be measured: 1 mm or 1.4 pixels in plane, a slice in z.

    Body CT with a standard kernel resolves about 1 mm at best.
    """
    _, y, x = spacing_mm
    return (max(slice_mm, spacing_mm[0]), max(1.0, 1.4 * y), max(1.0, 1.4 * x))


def skin_fwhm(
    hu: NDArray[np.generic],
    spacing_mm: Triple,
    body: Bools,
    *,
    slice_mm: float,
    valid: Bools | None = None,
) -> Triple | None:
    """Point spread from the step between air and skin.

    Profiles cross the body's surface along the gradient of HU; from air at -1000 HU the flank
    rises to the skin. The 10-90 % width of a step times 0.919 is the FWHM of a Gaussian blur. The
    in-plane value is the 25th percentile (folds, hair, cloth and motion only widen edges); along z
    there are seldom edges in view, so the slice thickness stands for it.

    Args:
        hu: HU ``[z, y, x]``.
        spacing_mm: Spacing zyx, mm.
        body: The patient, filled.
        slice_mm: Effective slice thickness.
        valid: Where something was measured; None for everywhere. A body that is cut off by the
            field of view has an edge there as sharp as the mask, which is no skin.

    Returns:
        FWHM zyx in mm, or None with fewer than 60 usable edges.
    """
    rows = np.flatnonzero(body.any(axis=(1, 2)))
    if rows.size == 0:
        return None
    picks = np.unique(rows[np.linspace(0, rows.size - 1, SLABS + 2)[1:-1].round().astype(int)])
    widths = [_skin_widths(hu, spacing_mm, body, int(z), valid) for z in picks]
    found = np.concatenate(widths)
    if found.size < MIN_EDGES:
        return None
    in_plane = float(np.percentile(found, 25)) * FWHM_PER_STEP_WIDTH
    return (max(slice_mm, spacing_mm[0]), in_plane, in_plane)


def _skin_widths(
    hu: NDArray[np.generic], spacing_mm: Triple, body: Bools, z: int, valid: Bools | None
) -> Floats:
    margin = margin_voxels(8.0, spacing_mm)
    plane = bounding_box(body[z : z + 1], (0, margin[1], margin[2]))
    if plane is None:
        return np.empty(0)
    box = (slice(max(z - 1, 0), min(z + 2, hu.shape[0])), plane[1], plane[2])
    inside = body[z][plane[1], plane[2]]
    found = []
    for axis in (0, 1):
        low, high = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
        index = np.argwhere(low != high).astype(np.float64)
        index[:, 0] += 0.5
        found.append(index if axis == 0 else index[:, ::-1])
    flat = np.concatenate(found)
    flat = flat[:: max(len(flat) // POINTS_PER_SLAB, 1)]
    crop = np.asarray(hu[box], np.float32)
    empty = np.zeros(crop.shape, bool)
    start = (box[0].start, plane[1].start, plane[2].start)
    view = LesionView(crop, empty, empty, empty, empty, spacing_mm, start)
    points = (np.column_stack([np.full(len(flat), z - start[0]), flat]) + start) * np.asarray(
        spacing_mm
    )
    gradient = np.zeros_like(points)
    for axis in (1, 2):
        step = np.zeros(3)
        step[axis] = 2.0
        gradient[:, axis] = view.sample_hu(points + step) - view.sample_hu(points - step)
    size = np.linalg.norm(gradient, axis=1, keepdims=True)
    normals = -gradient / np.maximum(size, 1e-6)
    lines = line_points(points, normals)
    profiles = view.sample_hu(lines)
    # Air on the outer 2 mm of the profile, tissue inside.
    air = profiles[:, -8:].mean(axis=1).astype(np.float64)
    edges = read_edges(profiles, air, np.zeros(len(points)), depth_mm=3.0, reach_mm=2.0)
    good = (
        (air < -900.0)
        & (edges.peak_hu > -200.0)
        & (edges.peak_hu < 150.0)
        & np.isfinite(edges.width_mm)
    )
    if valid is not None:
        good &= view.pick(valid[box], lines).all(axis=1)
    widths: Floats = edges.width_mm[good]
    return widths


def muscle_noise(hu: NDArray[np.generic], spacing_mm: Triple, body: Bools) -> float | None:
    """Noise SD of a voxel in muscle, HU.

    In up to ten slices the SD within squares of about 7 mm is taken where their mean is
    muscle-like and half of their pixels are; the value is the lower quartile's own centre, since
    fat planes and vessels only add.

    Returns:
        HU, or None where no muscle-like square is in view.
    """
    from scipy import ndimage

    rows = np.flatnonzero(body.any(axis=(1, 2)))
    if rows.size == 0:
        return None
    size = tuple(max(round(7.0 / s) | 1, 3) for s in spacing_mm[1:])
    found = []
    for z in np.unique(rows[np.linspace(0, rows.size - 1, SLABS).round().astype(int)]):
        plane = bounding_box(body[z : z + 1])
        if plane is None:
            continue
        values = np.asarray(hu[z][plane[1], plane[2]], np.float64)
        inside = ndimage.minimum_filter(
            body[z][plane[1], plane[2]].astype(np.uint8), size, mode="constant"
        )
        mean = ndimage.uniform_filter(values, size)
        square = ndimage.uniform_filter(values * values, size)
        n = size[0] * size[1]
        sd = np.sqrt(np.maximum(square - mean * mean, 0.0) * n / (n - 1))
        use = (inside != 0) & (mean > MUSCLE_HU[0]) & (mean < MUSCLE_HU[1])
        found.append(sd[use][::7])
    values = np.concatenate(found) if found else np.empty(0)
    if values.size < 30:
        return None
    low = float(np.percentile(values, 25))
    return float(np.median(values[values <= 1.3 * low]))
