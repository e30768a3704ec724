"""Physical features of one candidate, each in mm or HU, from a small crop around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box, margin_voxels
from hoimg.segment.morphology import depth_mm, dilate_mm, dilations_mm, smooth_mm

Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Features:
    """What the exclusion rules look at.

    Attributes:
        volume_mm3: Volume of the filled candidate.
        inscribed_mm: Radius of the largest sphere inside it.
        length_mm: Extent along its longest principal axis (4 standard deviations).
        breadth_mm: The same along the middle axis.
        soft_shell: Fraction of the layer 1.5-3.5 mm outside that is soft tissue (-150 to 130 HU).
        gas_near: Fraction of the layer 2-7 mm outside that is gas (below -300 HU).
        peak_hu: 98th percentile inside.
        mean_hu: Mean inside.
        rim_hu: Mean of the outermost 2 mm.
        core_hu: Mean of what is deeper than half of the inscribed radius.
        centre_hu: Mean of what is deeper than three quarters of it.
        core_sd_hu: Standard deviation there.
        surround_hu: Median of the soft layer outside.
        fat_near: Fraction of the layer 2-7 mm outside that is fat (-150 to -30 HU).
        muscle_near: Fraction of that layer that is muscle (20 to 100 HU).
        gas_wide: Fraction of the layer 7-15 mm outside that is gas or lung.
        fat_wide: Fraction of the layer 7-15 mm outside that is fat.
        bone_wide: Fraction of the layer 2-15 mm outside that is denser than 250 HU.
        thickness_mm: Extent along the shortest principal axis (4 standard deviations).
        bright: Fraction inside that is denser than 300 HU.
        texture_hu: Mean spread of HU within 2 mm inside: floccules are uneven, blood is even.
    """

    volume_mm3: float
    inscribed_mm: float
    length_mm: float
    breadth_mm: float
    soft_shell: float
    gas_near: float
    peak_hu: float
    mean_hu: float
    rim_hu: float
    core_hu: float
    centre_hu: float
    core_sd_hu: float
    surround_hu: float
    fat_near: float
    muscle_near: float
    gas_wide: float
    fat_wide: float
    bone_wide: float
    thickness_mm: float
    bright: float
    texture_hu: float


def features_of(
    hu: NDArray[np.float32],
    mask: Bool,
    ignore: Bool,
    spacing_zyx_mm: Sequence[float],
) -> Features:
    """Compute the features of one candidate.

    Args:
        hu: float32 crop, HU, with at least 8 mm around the candidate where the scan has it.
        mask: The candidate, filled, in the same crop.
        ignore: Voxels that do not count as surroundings (other candidates, native bone for a
            candidate attached to it).
        spacing_zyx_mm: Spacing.
    """
    near = bounding_box(mask, margin_voxels(7.0, spacing_zyx_mm))
    if near is None:
        raise ValueError("a candidate has at least one voxel")
    own, hu_near = mask[near], hu[near]
    depth = depth_mm(own, spacing_zyx_mm)[own]
    voxel = float(np.prod(spacing_zyx_mm))
    half_voxel = 0.5 * float(np.mean(spacing_zyx_mm))
    # Distances run between voxel centres; the surface lies half a voxel before the next one.
    radius = float(depth.max()) - half_voxel
    extents = principal_extents_mm(own, spacing_zyx_mm)
    radii = (1.5, 2.0, 3.5 + half_voxel, 7.0)
    to_1, to_2, to_3, to_7 = dilations_mm(own, radii, spacing_zyx_mm)
    seen = ~ignore[near]
    next_to = hu_near[to_3 & ~to_1 & seen]
    around = hu_near[to_7 & ~to_2 & seen]
    grown = np.zeros_like(mask)
    grown[near] = to_7
    beyond = dilate_mm(grown, 8.0, spacing_zyx_mm)  # in two steps, which is three times as fast
    beyond[near] &= ~to_7
    far = hu[beyond]
    broad = np.concatenate([far, hu_near[to_7 & ~to_2]])
    capped = np.clip(hu_near, -100, 600)
    mean = smooth_mm(capped, 2.0, spacing_zyx_mm)
    spread = np.sqrt(np.maximum(smooth_mm(capped * capped, 2.0, spacing_zyx_mm) - mean * mean, 0))
    soft = around[(around > -150) & (around < 130)]
    values = hu_near[own]
    rim = values[depth <= 2.0 + half_voxel]
    core = values[depth >= 0.5 * radius]
    return Features(
        volume_mm3=values.size * voxel,
        inscribed_mm=radius,
        length_mm=extents[0],
        breadth_mm=extents[1],
        soft_shell=_fraction((next_to > -150) & (next_to < 130)),
        gas_near=_fraction(around < -300),
        peak_hu=float(np.percentile(values, 98)),
        mean_hu=float(values.mean()),
        rim_hu=float(rim.mean()) if rim.size else float(values.mean()),
        core_hu=float(core.mean()),
        centre_hu=float(values[depth >= 0.75 * float(depth.max())].mean()),
        core_sd_hu=float(core.std()),
        surround_hu=float(np.median(soft)) if soft.size else float("nan"),
        fat_near=_fraction((around > -150) & (around < -30)),
        muscle_near=_fraction((around > 20) & (around < 100)),
        gas_wide=_fraction(far < -300),
        fat_wide=_fraction((far > -150) & (far < -30)),
        bone_wide=_fraction(broad > 250),
        thickness_mm=extents[2],
        bright=_fraction(values > 300),
        texture_hu=float(spread[own].mean()),
    )


def _fraction(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else 0.0


def extents_mm(mask: Bool, spacing_zyx_mm: Sequence[float]) -> tuple[float, float]:
    """Four standard deviations of a mask along its two longest principal axes, mm."""
    length, breadth, _ = principal_extents_mm(mask, spacing_zyx_mm)
    return (length, breadth)


def principal_extents_mm(mask: Bool, spacing_zyx_mm: Sequence[float]) -> tuple[float, float, float]:
    """Four standard deviations of a mask along its principal axes, mm, longest first."""
    points_mm = np.stack([k * s for k, s in zip(np.nonzero(mask), spacing_zyx_mm, strict=True)])
    count = points_mm.shape[1]
    if count < 4:
        return (0.0, 0.0, 0.0)
    points_mm -= points_mm.mean(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(points_mm @ points_mm.T / (count - 1))[::-1]
    longest, middle, least = np.sqrt(np.maximum(values, 0)) * 4
    return (float(longest), float(middle), float(least))
