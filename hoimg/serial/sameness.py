"""Is it the same patient, the right way round? Asked of placements that fit by their surfaces.

Two skeletons can fit well without being one patient's: a trunk is nearly its own mirror image, and
two people of one size have bones of one shape. What they do not share is the pattern inside the
bone, the struts and marrow that lie elsewhere in everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume, to_sitk
from hoimg.serial.align import cost, descend
from hoimg.serial.intensity import NEAR_BONE_MM, Images, correlation
from hoimg.serial.parts import Division
from hoimg.serial.surface import Bones, Matrix4, move, resample, thin
from hoimg.serial.verification import labels_near
from hoimg.settings import SerialSettings

CORTEX_HU = 650.0
"""Above it is cortex, whose course follows the shape; the pattern is that of what it holds."""
PATTERN_HU = (-150.0, 500.0)
"""Range in which marrow and struts lie: what exceeds it at a voxel counts as its end."""
DEPTH_MM = 3.0
"""The pattern is read this far from cortex, joint gaps and the surface: their blur ends there."""
FINE_MM, COARSE_MM = 1.2, 4.0
"""The pattern is what a Gaussian of the first SD leaves and one of the second takes away."""
MUSCLE_HU = (0.0, 110.0)
MUSCLE_AWAY_MM = (6.0, 18.0)
"""Noise is read in soft tissue that far from bone."""
LEAST_VOXELS = 150
"""Fewer tell nothing: 1.2 mL, about fifteen grains of 4 mm."""
VISIBLE = 1.5
"""The pattern shows where its SD is this many times that of the noise."""
REFLECTED_MM = (-10.0, 0.0, 10.0)
"""Where the mirror plane is tried, from the middle of the bone."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """What lies inside the bones of an exam, on its working grid.

    Attributes:
        hu: HU, float32, clipped to :data:`PATTERN_HU`.
        depth_mm: Distance to the nearest voxel that is cortex or not bone, mm.
        noise_hu: SD of the noise in the pattern's band, from muscle; None without muscle in view.
    """

    hu: NDArray[np.float32]
    depth_mm: NDArray[np.float32]
    noise_hu: float | None


def pattern(volume: CTVolume, bones: Bones) -> Pattern:
    """Read the pattern of an exam's bones."""
    import SimpleITK as sitk
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    image = resample(to_sitk(volume.hu, volume.grid), bones.grid, -1000.0)
    hu = sitk.GetArrayFromImage(sitk.Cast(image, sitk.sitkFloat32))
    spacing = bones.grid.spacing_zyx_mm[0]
    calm = gaussian_filter(hu, FINE_MM / spacing)
    within = bones.mask & (calm > PATTERN_HU[0]) & (calm < CORTEX_HU)
    depth = distance_transform_edt(within, sampling=spacing).astype(np.float32)
    muscle = (bones.distance_mm > MUSCLE_AWAY_MM[0]) & (bones.distance_mm < MUSCLE_AWAY_MM[1])
    muscle &= (hu > MUSCLE_HU[0]) & (hu < MUSCLE_HU[1])
    noise = None
    if np.count_nonzero(muscle) >= LEAST_VOXELS:
        left = _band(hu, muscle, spacing)
        noise = float(1.4826 * np.median(np.abs(left - np.median(left))))
    return Pattern(np.clip(hu, *PATTERN_HU), depth, noise)


def pattern_likeness(
    fixed: Bones,
    moving: Bones,
    patterns: tuple[Pattern, Pattern],
    matrices: list[Matrix4],
    labels: NDArray[np.intp],
    index: NDArray[np.intp],
) -> float | None:
    """Rank correlation of the patterns inside placed bones, all parts together.

    Ranks, so that a nutrient canal or an island of dense bone does not speak for all the rest.

    Args:
        fixed: The fixed bones.
        moving: The moving bones.
        patterns: Of both.
        matrices: Fixed LPS to moving LPS of each part.
        labels: The part of each voxel; negative: of none.
        index: Voxels zyx ``(n, 3)`` of the fixed working grid.

    Returns:
        Spearman's coefficient; None where too little can be seen: less than
        :data:`LEAST_VOXELS` deep enough in both, or a pattern that is hardly above the noise.
    """
    from scipy.ndimage import map_coordinates
    from scipy.stats import rankdata

    here, there = patterns
    chosen = (here.depth_mm[tuple(index.T)] >= DEPTH_MM) & (labels >= 0)
    index, labels = index[chosen], labels[chosen]
    points = fixed.grid.to_lps_mm(index)
    for k, matrix in enumerate(matrices):
        points[labels == k] = move(matrix, points[labels == k])
    at = moving.grid.to_index_zyx(points).T
    deep = map_coordinates(there.depth_mm, at, order=1) >= DEPTH_MM
    if np.count_nonzero(deep) < LEAST_VOXELS:
        return None
    voxels = tuple(index[deep].T)
    common = np.zeros(fixed.mask.shape, dtype=bool)
    common[voxels] = True
    carried = np.zeros(fixed.mask.shape, dtype=np.float32)
    carried[voxels] = map_coordinates(there.hu, at[:, deep], order=1)
    spacing = fixed.grid.spacing_zyx_mm[0]
    both = [_band(hu, common, spacing) for hu in (here.hu, carried)]
    for one, seen in zip(both, patterns, strict=True):
        if seen.noise_hu is None or one.std() <= VISIBLE * seen.noise_hu:
            return None
    return float(np.corrcoef(*(rankdata(one) for one in both))[0, 1])


def _band(
    hu: NDArray[np.float32], chosen: NDArray[np.bool_], spacing_mm: float
) -> NDArray[np.float64]:
    """Chosen voxels, smoothed among themselves, without what is coarser than the pattern."""
    from scipy.ndimage import gaussian_filter

    weight, value = chosen.astype(np.float32), np.where(chosen, hu, 0).astype(np.float32)
    means = []
    for sd_mm in (FINE_MM, COARSE_MM):
        sd = sd_mm / spacing_mm
        share = gaussian_filter(weight, sd)[chosen]
        means.append(gaussian_filter(value, sd)[chosen] / np.maximum(share, 1e-3))
    left: NDArray[np.float64] = (means[0] - means[1]).astype(np.float64)
    return left


def mirror_gain(division: Division, moving: Bones, images: Images) -> float | None:
    """How much better the bones correlate in HU when they are mirrored left to right.

    The fixed bones are reflected through planes near their middle and descend onto the moving ones
    from there; the best by surface is compared with the main part's motion, over all bone. Where
    limbs moved, neither explains them.

    Returns:
        Correlation mirrored minus correlation as placed, -2 to 2; None where either has none.
    """
    skin, matrix = division.skin, division.matrices[0]
    fixed = skin.bones
    points = thin(skin.points, 1500)
    if len(points) < 50:
        return None
    best, lowest = matrix, np.inf
    for shift in REFLECTED_MM:
        reflection = np.diag([-1.0, 1.0, 1.0, 1.0])
        reflection[0, 3] = 2 * (points[:, 0].mean() + shift)
        found = descend(points, moving, matrix @ reflection, scales_mm=(10.0, 6.0, 3.0))
        value = cost(points, moving, found)
        if value < lowest:
            best, lowest = found, value
    index = np.argwhere(fixed.distance_mm < NEAR_BONE_MM)
    placed, turned = (correlation(fixed, moving, images, m, index) for m in (matrix, best))
    return None if placed is None or turned is None else turned - placed


def doubt(
    division: Division,
    moving: Bones,
    images: Images,
    patterns: tuple[Pattern, Pattern],
    settings: SerialSettings,
) -> str | None:
    """Why an accepted placement is not believed: ``mirrored`` or ``bone_pattern_differs``; or None.

    Mirroring is asked of the main motion, the pattern of all parts, each by its own motion.
    """
    gain = mirror_gain(division, moving, images)
    if gain is not None and gain > settings.mirror_gain:
        return "mirrored"
    fixed = division.skin.bones
    index = np.argwhere(fixed.mask)
    labels = labels_near(division, index)
    likeness = pattern_likeness(fixed, moving, patterns, division.matrices, labels, index)
    if likeness is not None and likeness < settings.min_bone_pattern:
        return "bone_pattern_differs"
    return None
