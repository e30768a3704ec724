"""Lesions that show by themselves how they moved: their own mineral, laid on the other exam.

Between two bones that moved against each other nobody knows from the bones with which of them a
lesion went, or how far. Where the lesion is in both exams its image tells: the exam is looked at
along the whole way from the one bone's motion to the other's, and where one place alone looks like
the lesion and what lies round it, it moved there. Bone is left out, so that the bones do not speak
again. Where no place is alike, or more than one is, the placement by bones and tissue stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask, to_sitk
from hoimg.serial.body import Body, owner, without_clashes
from hoimg.serial.body_outlines import by_outlines
from hoimg.serial.body_search import correlation, searched
from hoimg.serial.matching import clouds, lattice
from hoimg.serial.placement import Registration
from hoimg.serial.surface import Matrix4, Points, coarse_grid, move, resample
from hoimg.settings import SerialSettings

VOXEL_MM = 2.0
"""Voxels of the images that are laid on each other."""
LOW_HU, HIGH_HU = -150.0, 600.0
"""From fat to mineral; beyond it a lesion that only became denser stays alike."""
ROUND_MM = 5.0
"""What lies round the lesion counts up to this distance."""
NOISE_HU = 15.0
"""Variation that says nothing: correlation of what varies less tends to zero."""
SEEN = 0.6
"""Share of what counts that must count at the place too."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What is looked at of one exam.

    Attributes:
        volume: HU.
        bone: Its native skeleton, on the same grid.
        lesions: Label map on the same grid.
    """

    volume: CTVolume
    bone: Mask
    lesions: Mask


@dataclass(frozen=True, eq=False)
class _Looked:
    """An exam on a coarse grid: HU less ``LOW_HU``, clamped, and where they count (1, else 0)."""

    grid: Grid
    hu: NDArray[np.float32]
    counts: NDArray[np.float32]

    def at(self, points_lps_mm: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """HU and counts at points, trilinear; 0 outside of the view."""
        from scipy.ndimage import map_coordinates

        index = self.grid.to_index_zyx(points_lps_mm).T
        hu, counts = (
            map_coordinates(a, index, order=1, cval=0.0, output=np.float64)
            for a in (self.hu, self.counts)
        )
        return hu, counts


def place_bodies(
    fixed: Scan, moving: Scan, found: Registration, settings: SerialSettings
) -> tuple[Body, ...]:
    """The lesions of either exam whose own image tells where they lie in the other.

    Args:
        fixed: The fixed exam.
        moving: The moving exam.
        found: Their registration by bones and tissue.
        settings: ``min_lesion_correlation``, ``min_lesion_lead``, ``min_lesion_gain``.

    Returns:
        Bodies from the fixed exam's side; none where fewer than two parts were placed. No two of
        them are laid on each other.
    """
    if sum(part.accepted for part in found.parts) < 2:
        return ()
    here, there = _looked(fixed), _looked(moving)
    bodies = _of_lesions(fixed, here, there, found, settings)
    back = _of_lesions(moving, there, here, found.inverse(), settings)
    known = [body.inverse() for body in bodies]
    fresh = [b for b in back if owner(known, b.points_lps_mm) is None]
    every = [*bodies, *(body.inverse() for body in fresh)]
    every = list(without_clashes(every, settings.min_lesion_lead))
    return tuple(every + by_outlines(fixed.lesions, moving.lesions, every, found, settings))


def _looked(scan: Scan) -> _Looked:
    import SimpleITK as sitk

    view = scan.volume.grid
    grid = coarse_grid(view, VOXEL_MM)
    image = to_sitk(scan.volume.hu, view)
    clamped = sitk.Clamp(image, sitk.sitkFloat32, LOW_HU, HIGH_HU)
    hu = sitk.GetArrayFromImage(resample(clamped, grid, LOW_HU)) - np.float32(LOW_HU)
    bone = (scan.bone.array > 0) & (scan.lesions.array == 0)
    mask = sitk.Cast(to_sitk(bone, view), sitk.sitkFloat32)
    counts = sitk.GetArrayFromImage(resample(mask, grid, 0.0)) < 0.2
    return _Looked(grid, hu, counts.astype(np.float32))


def _of_lesions(
    scan: Scan, here: _Looked, there: _Looked, found: Registration, settings: SerialSettings
) -> list[Body]:
    bodies = []
    for cloud in clouds(scan.lesions).values():
        around, _ = lattice(scan.lesions, cloud, VOXEL_MM, ROUND_MM)
        hu, counts = here.at(around)
        kept = counts > 0.5
        if not kept.any():
            continue
        alike = partial(_likeness, around[kept], hu[kept], there)
        least = settings.min_lesion_correlation
        body = searched(cloud.points_lps_mm, alike, found, least, settings)
        if body is not None:
            bodies.append(body)
    return bodies


def _likeness(around: Points, hu: NDArray[np.float64], there: _Looked, motion: Matrix4) -> float:
    """Correlation of HU where a motion lays the points; -1 where too little counts."""
    other, counts = there.at(move(motion, around))
    return correlation(hu, other, counts, NOISE_HU) if counts.mean() >= SEEN else -1.0
