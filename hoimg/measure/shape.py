"""Shape of a lesion from its surface mesh, with the IBSI name of each number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.measure.surface import Mesh


@dataclass(frozen=True)
class Shape:
    """Shape of a closed surface.

    Attributes:
        volume_mm3: Enclosed volume (IBSI RNU0).
        surface_area_mm2: Area (IBSI C0JK).
        sphericity: ``(36 pi V^2)^(1/3) / A`` (IBSI QCFX): 1 for a sphere, smaller otherwise.
        max_diameter_mm: Largest distance between two surface points (IBSI L0JK).
        centroid_mm: Centre of the enclosed volume, mm zyx.
    """

    volume_mm3: float
    surface_area_mm2: float
    sphericity: float
    max_diameter_mm: float
    centroid_mm: NDArray[np.float64]


def shape_of(mesh: Mesh) -> Shape:
    """Measure the mesh."""
    volume, area = mesh.volume_mm3, mesh.area_mm2
    return Shape(
        volume_mm3=volume,
        surface_area_mm2=area,
        sphericity=(36.0 * math.pi * max(volume, 0.0) ** 2) ** (1 / 3) / area,
        max_diameter_mm=max_diameter(mesh.points),
        centroid_mm=mesh.centroid_mm,
    )


def max_diameter(points_mm: NDArray[np.float64]) -> float:
    """Largest distance between two of the points, mm (found on their convex hull)."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    try:
        corners = points_mm[ConvexHull(points_mm).vertices]
    except QhullError:  # flat or fewer than five points: no hull, but still a diameter
        corners = points_mm
    return float(pdist(corners).max())
