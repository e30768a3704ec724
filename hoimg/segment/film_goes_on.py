"""How far an outline lies on edges that do not end with it: those of bone, not of a lesion.

A lesion's outline closes on itself. The edge of a bone, or of two bones that overlap, comes from
outside, runs along the outline for a while, and leaves it again, hardly bent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.film_follow import STEP_MM, Follower
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ASIDE_MM = 1.5
"""An edge farther than this from the outline has left it."""
ALONG_MM = 25.0
"""An edge is followed along the outline for this far."""
LEAVES_MM = 4.0
"""That long after it left, it has to be outside, not inside."""
SEEN = 0.8
"""Part of its way on which an edge has to be seen."""


def share_going_on(
    gradients_yx: Sequence[tuple[Floats, Floats]],
    inside: Bools,
    typical: float,
    spacing_mm: float,
    settings: FilmSettings,
) -> float:
    """Part of an outline whose edge goes on outside of it.

    From each pixel of the outline its edge is followed along the outline, both ways, bending no
    more than ``native_min_radius_mm``. It goes on where it leaves the outline outwards and is still
    seen for ``native_outside_mm``.

    Args:
        gradients_yx: Of the film, per pixel; of several, as with native edges and without, an edge
            has to go on in each.
        inside: The outline, bool ``[y, x]``, not empty.
        typical: Strength of the gradient that is usual around.
        spacing_mm: Of the pixels.
        settings: How straight bones' edges are, and how far they go on.

    Returns:
        0 to 1.
    """
    from scipy import ndimage

    within = ndimage.distance_transform_edt(inside) - 0.5
    beyond = ndimage.distance_transform_edt(~inside) - 0.5
    depth = np.where(inside, within, -beyond) * spacing_mm
    inwards = np.stack(
        [ndimage.gaussian_filter(depth, 0.75 / spacing_mm, order=o) for o in ((1, 0), (0, 1))]
    )
    edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
    points = np.argwhere(edge).astype(np.float64)
    if not len(points):  # all of the picture
        return 0.0
    normals = inwards[:, edge].T
    normals = normals / (np.hypot(*normals.T)[:, None] + 1e-12)
    along = np.stack([-normals[:, 1], normals[:, 0]], 1)
    last = np.array(inside.shape) - 1
    outside = settings.native_outside_mm
    in_each = np.ones(len(points), bool)
    for gradient in gradients_yx:
        follow = Follower(gradient, inside, typical, spacing_mm, settings.native_min_radius_mm)
        goes_on = np.zeros(len(points), bool)
        for ways in (along, -along):
            course = follow.run(points, ways, normals, ALONG_MM + outside, None)
            rows, columns = np.moveaxis(np.clip(np.rint(course.points).astype(int), 0, last), -1, 0)
            goes_on |= _leaves(course.seen, depth[rows, columns], outside)
        in_each &= goes_on
    return float(in_each.mean())


def _leaves(seen: Bools, depth: Floats, outside_mm: float) -> Bools:
    """Which courses, ``[step, edge]``, leave the outline outwards and are seen on both parts."""
    steps, edges = seen.shape
    off = np.abs(depth) > ASIDE_MM
    first = np.where(off.any(0), off.argmax(0), steps)
    step = np.arange(steps)[:, None]
    long = max(round(outside_mm / STEP_MM), 1)
    before = (seen & (step < first)).sum(0) / np.maximum(first, 1)
    after = (seen & (step >= first) & (step < first + long)).sum(0) / long
    later = np.minimum(first + round(LEAVES_MM / STEP_MM), steps - 1)
    outwards = depth[later, np.arange(edges)] < -ASIDE_MM
    on_it = (first == 0) | (before >= SEEN)
    return np.asarray(on_it & (after >= SEEN) & outwards & (first * STEP_MM <= ALONG_MM))
