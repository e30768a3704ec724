"""Evidence, voxel by voxel, that a place belongs to a lesion: by its texture, and by its rim.

Both run from -1 (soft tissue) to 1 (lesion) and are 0 on the boundary that they would draw: half
way between the soft tissue around and the lesion, at the scale on which it has a boundary at all.
Single floccules and patches of rim have gaps between them; :mod:`hoimg.segment.star` draws the
surface that crosses these gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.morphology import dilate_mm, smooth_mm
from hoimg.segment.star import enclosed_part

Bool = NDArray[np.bool_]
Floats = NDArray[np.float32]

CALM_MM = 0.6
"""A voxel's own noise must not be its local maximum: this much smoothing comes first."""
BRIGHT_HU = 300.0
"""Above the background; denser is rim, and must not outweigh the floccules in a mean."""
BLUR_MM = 1.2
"""Next to native bone its partial volume brightens soft tissue: there evidence counts little."""
IN_BLUR = 0.3
NATIVE = -2.0
LEAST_PLATEAU_HU = 40.0
"""A lesion that is on the average less than this above soft tissue cannot be told from it."""
ENCLOSED = 0.72
"""A voxel that meets mineral in this part of all directions is more inside than outside: on a flat
surface it would be half of them, in a furrow between two lobes two thirds."""
ENCLOSED_SPREAD = 0.15
REACH_MM = 16.0
RIM_MM = 3.0
"""The rim's maximum is looked for within this distance."""


def soft_background(values: NDArray[Any], where: Bool, otherwise: float = 50.0) -> float:
    """Median of the soft tissue (-150 to 130 HU) of a region; ``otherwise`` below 50 voxels."""
    around = values[where & (values > -150) & (values < 130)]
    return float(np.median(around)) if around.size >= 50 else otherwise


def texture_evidence(
    calm: Floats,
    background_hu: float,
    inside: Bool,
    forbidden: Bool,
    spacing_zyx_mm: Sequence[float],
    *,
    scale_mm: float,
    percentile: float,
) -> tuple[Floats, float]:
    """Evidence by the local mean: for floccules, which have no boundary of their own.

    Args:
        calm: The crop, HU, smoothed against noise.
        background_hu: Soft tissue around.
        inside: Where the lesion's own level is read.
        forbidden: Native bone, metal, other lesions.
        spacing_zyx_mm: Voxel spacing, mm.
        scale_mm: Standard deviation of the local mean: that of gaps between clumps, not more, as
            half of a smoothed body's height lies inside of a small body's boundary.
        percentile: Of the local means inside, the one that stands for the lesion.

    Returns:
        The evidence, float32, and the lesion's level above the background, HU.
    """
    blurred, clear = _blurred(forbidden, spacing_zyx_mm)
    excess = np.clip(calm - background_hu, 0.0, BRIGHT_HU).astype(np.float32)
    weight = smooth_mm(clear.astype(np.float32), scale_mm, spacing_zyx_mm)
    mean = smooth_mm(excess * clear, scale_mm, spacing_zyx_mm) / np.maximum(weight, 0.15)
    own = mean[inside & clear]
    level = float(np.percentile(own, percentile)) if own.size >= 20 else 2 * LEAST_PLATEAU_HU
    level = max(level, LEAST_PLATEAU_HU)
    by_mean = np.clip(2.0 * mean / level - 1.0, -1.0, 1.0)
    # A soft core inside of a ring of mineral is inside.
    mineral = clear & (calm > background_hu + float(np.clip(1.2 * level, 90.0, 200.0)))
    enclosed = enclosed_part(mineral, spacing_zyx_mm, REACH_MM)
    by_place = np.clip((enclosed - ENCLOSED) / ENCLOSED_SPREAD, -1.0, 1.0)
    return _barred(np.maximum(by_mean, by_place), blurred, forbidden), level


def _blurred(forbidden: Bool, spacing_zyx_mm: Sequence[float]) -> tuple[Bool, Bool]:
    """The partial volume of what is forbidden, and everything clear of both."""
    wide = dilate_mm(forbidden, BLUR_MM, spacing_zyx_mm)
    return wide & ~forbidden, ~wide


def _barred(evidence: NDArray[Any], blurred: Bool, forbidden: Bool) -> Floats:
    out = np.where(blurred, np.minimum(evidence, IN_BLUR), evidence)
    out[forbidden] = NATIVE
    return out.astype(np.float32)


SHARP_LEAST_HU = 75.0
"""Half of the contrast of the faintest rim."""
RIM_HU = 250.0
"""Above the background: from here on it is rim, and what lies next to it is its blur."""
RIM_BLUR_MM = 2.5
MINERAL_HU = 120.0
SHARP_REACH_MM = 20.0
OPEN, SHUT = 0.55, 0.95
"""Soft tissue that meets mineral in fewer directions than the first counts in full against the
lesion, in more than the second hardly: it is the lesion's core."""
SOFT_WEIGHT = 0.2
"""Soft tissue counts this much against, mineral in full for: a core and gaps in a rim are soft."""
TEXTURE_WEIGHT = 0.5


def rim_evidence(
    calm: Floats,
    background_hu: float,
    texture: Floats,
    forbidden: Bool,
    spacing_zyx_mm: Sequence[float],
) -> Floats:
    """Evidence by half of the local maximum: for lesions with a rim, complete or in patches.

    Args:
        calm: The crop, HU, smoothed against noise.
        background_hu: Soft tissue around.
        texture: From :func:`texture_evidence`: floccules where there is no rim.
        forbidden: Native bone, metal, other lesions.
        spacing_zyx_mm: Voxel spacing, mm.
    """
    blurred, clear = _blurred(forbidden, spacing_zyx_mm)
    excess = np.where(clear, calm - np.float32(background_hu), 0).astype(np.float32)
    half = np.maximum(SHARP_LEAST_HU, 0.5 * local_maximum(excess, spacing_zyx_mm))
    enclosed = enclosed_part(excess > MINERAL_HU, spacing_zyx_mm, SHARP_REACH_MM)
    soft = SOFT_WEIGHT * np.clip((SHUT - enclosed) / (SHUT - OPEN), 0.05, 1.0)
    evidence = np.clip(excess / half - 1.0, -1.0, 1.0)
    evidence = np.where(evidence < 0, evidence * soft, evidence)
    beside_rim = dilate_mm(clear & (excess > RIM_HU), RIM_BLUR_MM, spacing_zyx_mm)
    floccules = ~beside_rim & (texture > 0)
    evidence = np.where(
        floccules, np.maximum(evidence, np.minimum(texture, TEXTURE_WEIGHT)), evidence
    )
    return _barred(evidence, blurred, forbidden)


def local_maximum(values: Floats, spacing_zyx_mm: Sequence[float]) -> Floats:
    """The largest value within ``RIM_MM``, smoothed by half of that."""
    from scipy import ndimage as ndi

    size = [2 * max(1, round(RIM_MM / s)) + 1 for s in spacing_zyx_mm]
    return smooth_mm(ndi.maximum_filter(values, size=size), 0.5 * RIM_MM, spacing_zyx_mm)
