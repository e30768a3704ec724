"""The scan's own blur, read from its pixels."""

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
PADDING_HU = -1100.0
"""Nothing reads lower: scanners write -2000 and less where they reconstructed nothing, and a body
cut off there ends in a step sharper than any scanner's."""

FWHM_PER_STEP_WIDTH = 2.3548 / 2.5631
"""FWHM of a Gaussian over the 10-90 % width of a step edge blurred by it."""


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
        & (air > PADDING_HU)
        & (edges.peak_hu > -200.0)
        & (edges.peak_hu < 150.0)
        & np.isfinite(edges.width_mm)
    )
    if valid is not None:
        good &= view.pick(valid[box], lines).all(axis=1)
    widths: Floats = edges.width_mm[good]
    return widths
