"""One lesion divided among the points that a reader put into its parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple

Bool = NDArray[np.bool_]


def beyond_plane(
    points_lps_mm: NDArray[np.float64], plane_lps_mm: Sequence[Triple]
) -> NDArray[np.bool_]:
    """Which points lie on the far side of a plane; those on the plane itself do.

    Args:
        points_lps_mm: ``(n, 3)``.
        plane_lps_mm: Three points of the plane, on no one line. The far side is the one from which
            they run counter-clockwise.
    """
    a, b, c = np.asarray(plane_lps_mm, dtype=np.float64)
    return np.asarray((points_lps_mm - a) @ np.cross(b - a, c - a) >= 0)


def nearest_part(
    mask: Bool, seeds_zyx: NDArray[np.float64], spacing_zyx_mm: Sequence[float]
) -> NDArray[np.uint8]:
    """Each voxel of a lesion to the point from which it is reached first.

    Fronts start at all points at once and run through the lesion only, with the square of the
    depth below its surface as their speed: they are fast inside and slow in a neck, so that they
    meet there, and halfway where there is none. In two balls joined by a neck of half width n that
    is within about n / 3 of the neck's narrowest place, however unlike the balls are. A piece that
    no front reaches goes to the point nearest in a straight line.

    Args:
        mask: The lesion in a crop, not empty.
        seeds_zyx: Indices of the points in the crop, one row each; one outside of the lesion
            starts at the lesion's voxel nearest to it.
        spacing_zyx_mm: Of the voxels.

    Returns:
        Number of the point from 1, in the order given; 0 outside. Where two points mean one voxel
        the later one's part is empty.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.graph import MCP_Geometric

    spacing = np.asarray(spacing_zyx_mm, dtype=np.float64)
    depth = distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    costs = np.full(mask.shape, -1.0)  # negative: no way through
    costs[mask] = 1.0 / depth[mask] ** 2
    inside = np.argwhere(mask)
    away = [np.linalg.norm((inside - seed) * spacing, axis=1) for seed in seeds_zyx]
    reached = []
    for straight in away:
        start = tuple(inside[np.argmin(straight)].tolist())
        times, _ = MCP_Geometric(costs, sampling=tuple(spacing.tolist())).find_costs([start])
        reached.append(times[tuple(inside.T)])
    first = np.argmin(reached, axis=0)
    lost = ~np.isfinite(reached).any(axis=0)
    first[lost] = np.argmin(away, axis=0)[lost]
    parts = np.zeros(mask.shape, np.uint8)
    parts[tuple(inside.T)] = first + 1
    return parts
