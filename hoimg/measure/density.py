"""How dense a lesion is: mineral voxels, fixed-threshold volume, integrated excess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.measure.surface import Mesh
from hoimg.measure.view import LesionView

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Voxels in and just round a lesion with their depth below its surface.

    Attributes:
        index: Crop indices zyx, ``(n, 3)``.
        hu: HU, ``(n,)``.
        depth_mm: Depth, positive inside, ``(n,)``; beyond a few mm inside a lower bound.
        own: False in native bone, other lesions, metal and voxels never measured.
        sigma_mm: Blur along the nearest surface's normal, mm.
    """

    index: NDArray[np.intp]
    hu: Floats
    depth_mm: Floats
    own: NDArray[np.bool_]
    sigma_mm: Floats

    @property
    def region(self) -> NDArray[np.bool_]:
        """Voxels that the mass is summed over: the lesion, and two sigma of blur round it.

        Farther out 1 % of a flank's excess remains, while every HU of error in the background
        weighs more with each millimetre.
        """
        return self.own & (self.depth_mm >= -2.0 * self.sigma_mm - 0.25)

    def mineral_hu(self, threshold_hu: float, moved_mm: float = 0.0) -> Floats:
        """HU of the voxels inside the envelope at or above a threshold.

        Args:
            threshold_hu: Fixed threshold at this exam's tube voltage.
            moved_mm: How far outwards the envelope is moved for this.
        """
        inside = self.own & (self.depth_mm >= -moved_mm)
        return self.hu[inside & (self.hu >= threshold_hu)]


@dataclass(frozen=True)
class Density:
    """Density of a lesion; None with no mineral voxel.

    Attributes:
        mean_hu: D_min, mean of voxels inside the envelope at or above the threshold.
        sd_hu: Their standard deviation.
        median_hu: Their median.
        p95_hu: Their 95th percentile.
        threshold_volume_mm3: Volume of voxels at or above the threshold, blur included.
        mass_hu_mm3: Integrated excess over the background, HU mm3.
    """

    mean_hu: float | None
    sd_hu: float | None
    median_hu: float | None
    p95_hu: float | None
    threshold_volume_mm3: float
    mass_hu_mm3: float


DEEP_MM = 6.0
"""Depths are told apart to here; deeper voxels are given this depth."""


def depth_map(view: LesionView, mesh: Mesh, sigma_mm: Floats) -> DepthMap:
    """Depth of the voxels in and round the lesion below its sub-voxel surface.

    Depth is measured along the normal of the nearest vertex, to two sigma of blur outside.
    """
    from scipy import ndimage
    from scipy.spatial import cKDTree

    from hoimg.geometry import margin_voxels

    margin = 2.0 * float(sigma_mm.max()) + 0.25
    moved = 1.0  # the envelope may lie a little outside of the mask
    near = view.narrow(margin + moved + 1.0)
    spacing = near.spacing_mm
    wide = [2 * m + 1 for m in margin_voxels(margin + moved, spacing)]
    deep = [2 * m + 1 for m in margin_voxels(DEEP_MM + moved, spacing)]
    solid = near.lesion.astype(np.uint8)
    reach = ndimage.maximum_filter(solid, size=wide, mode="constant") != 0
    core = ndimage.minimum_filter(solid, size=deep, mode="constant") != 0
    # Deep voxels are not asked for their nearest vertex: all vertices are equally far from them.
    band, deeper = np.argwhere(reach & ~core), np.argwhere(core)
    points = near.voxel_points(band)
    distance, nearest = cKDTree(mesh.points).query(points)
    along = np.einsum("ij,ij->i", points - mesh.points[nearest], mesh.normals[nearest])
    # Near the surface the distance to the tangent plane, farther away that to the vertex.
    depth = np.where(distance > 2.0 * mesh.step_mm, -np.sign(along) * distance, -along)
    take = depth >= -margin
    index = np.concatenate([band[take], deeper])
    depth = np.concatenate([depth[take], np.full(len(deeper), DEEP_MM)])
    blur = np.concatenate([sigma_mm[nearest[take]], np.zeros(len(deeper))])
    at = tuple(index.T)
    away = (near.bone | near.other) & ~near.lesion
    shift = np.asarray(near.start) - np.asarray(view.start)
    return DepthMap(
        index=index + shift,
        hu=near.hu[at].astype(np.float64),
        depth_mm=depth,
        own=~away[at],
        sigma_mm=blur,
    )


def density_of(
    depths: DepthMap, voxel_mm3: float, *, background_hu: float, threshold_hu: float
) -> Density:
    """Density numbers from the voxels of a lesion.

    Mineral voxels are those inside the envelope at or above ``threshold_hu``. The threshold volume
    counts voxels to two sigma of blur outside as well, as a fixed threshold does, and the mass is
    summed over the same region.

    Args:
        depths: Voxels and depths.
        voxel_mm3: Volume of a voxel.
        background_hu: Soft tissue that the lesion displaces.
        threshold_hu: Fixed threshold at this exam's tube voltage.
    """
    hu = depths.hu[depths.region]
    mineral = depths.mineral_hu(threshold_hu)
    some = mineral.size > 0
    return Density(
        mean_hu=float(mineral.mean()) if some else None,
        sd_hu=float(mineral.std()) if some else None,
        median_hu=float(np.median(mineral)) if some else None,
        p95_hu=float(np.percentile(mineral, 95)) if some else None,
        threshold_volume_mm3=float(np.count_nonzero(hu >= threshold_hu) * voxel_mm3),
        mass_hu_mm3=float((hu - background_hu).sum() * voxel_mm3),
    )
