"""Distances between the surfaces of two masks on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STAIR_SIGMA_VOXELS = 0.8
"""Blur of a mask before its surface is drawn. Distances to a stair are too small by a fifth of a
voxel, since its nearest edge stands out; this takes most of that away and moves the surface of a
ball by 0.6 voxels over its radius in voxels, of both masks alike."""


def surface_distances(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_zyx_mm: Sequence[float]
) -> tuple[float, float]:
    """Mean and 95th percentile of the distances between two surfaces, both ways.

    Both masks are drawn as triangles, their voxel stairs smoothed away. Each vertex stands for a
    third of the area of its triangles; its distance is that to the nearest vertex or triangle
    centre of the other surface, which lie about half a voxel apart. The weighted distances of both
    directions are pooled.

    Args:
        first: bool array zyx, not empty.
        second: The same shape, not empty.
        spacing_zyx_mm: Voxel spacing, mm.

    Returns:
        Mean and 95th percentile, mm; 0 for equal masks.

    Raises:
        ValueError: when a mask is empty.
    """
    from scipy.spatial import cKDTree

    if not first.any() or not second.any():
        raise ValueError("a surface distance needs two masks that are not empty")
    if np.array_equal(first, second):
        return 0.0, 0.0
    meshes = [_surface(mask, spacing_zyx_mm) for mask in (first, second)]
    trees = [cKDTree(np.concatenate([points, centres])) for points, centres, _ in meshes]
    distances = np.concatenate(
        [trees[1].query(meshes[0][0])[0], trees[0].query(meshes[1][0])[0]]
    ).astype(float)
    weights = np.concatenate([meshes[0][2], meshes[1][2]])
    order = np.argsort(distances)
    share = np.cumsum(weights[order]) / weights.sum()
    p95 = distances[order][min(int(np.searchsorted(share, 0.95)), distances.size - 1)]
    return float(np.average(distances, weights=weights)), float(p95)


def _surface(mask: NDArray[np.bool_], spacing: Sequence[float]) -> tuple[Floats, Floats, Floats]:
    """Vertices, triangle centres (mm zyx) and the area that each vertex stands for, mm2."""
    from scipy import ndimage
    from skimage.measure import marching_cubes

    padded = np.pad(mask, 3).astype(np.float32)
    smooth = ndimage.gaussian_filter(padded, STAIR_SIGMA_VOXELS)
    if smooth.max() > 0.5:  # else it is no thicker than a voxel or two, and stays as it is
        padded = smooth
    vertices, faces, _, _ = marching_cubes(padded, 0.5, spacing=tuple(spacing))
    points: Floats = np.asarray(vertices, np.float64)
    corners: Floats = points[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    weight = np.zeros(len(points))
    np.add.at(weight, faces.ravel(), np.repeat(area / 3, 3))
    centres: Floats = corners.mean(axis=1)
    return points, centres, weight
