"""Enhanced lumens: evenly dense regions of vessels and heart under a contrast agent.

They must go before bone is looked for: an enhanced aorta joins the calcium in its wall to the
spine, and both would be taken for skeleton.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import margin_voxels, widened
from hoimg.segment.candidates import SoftTissue
from hoimg.segment.morphology import (
    dilate_mm,
    dilations_mm,
    label_components,
    open_mm,
    remove_small,
    smooth_mm,
)
from hoimg.segment.working import Working

Bool = NDArray[np.bool_]

LUMEN_HU = (110.0, 500.0)
"""Blood with contrast agent; below lies muscle, above it cortical bone."""
LUMEN_RADIUS_MM = 3.0
"""Thinner vessels are left to the exclusion rules."""

SEEN_MM3, SEEN_PIECE_MM3 = 100_000.0, 10_000.0
"""So much evenly dense within soft tissue, in pieces of at least the second, is blood or an organ
under a contrast agent (engineering choice: one chest has 220 mL, scans without agent none)."""
AROUND_MM = (2.5, 4.5)
"""Layer round a piece in which its surroundings are read."""
SOFT_FROM_HU, STEP_HU = -150.0, 40.0
"""Soft tissue around is denser than the one, and differs from a lumen by the other."""

WALL_MM = 3.5
"""Calcium this close to a lumen lies in its wall."""


def enhanced_lumen(working: Working, body: Bool, metal: Bool, soft: SoftTissue) -> Bool:
    """Large vessels and heart chambers on the working grid.

    A voxel belongs where the mean over 1.5 mm lies in ``LUMEN_HU`` and the spread there is no more
    than noise makes (marrow between trabeculae is uneven), in a region that holds a ball of
    ``LUMEN_RADIUS_MM``. Where neither the header names a contrast agent nor
    :func:`contrast_seen` sees one, evenly dense regions are something else.

    Args:
        working: The working grid.
        body: The patient.
        metal: Metal.
        soft: Muscle and noise.

    Returns:
        Boolean array of the working grid.
    """
    spacing = working.spacing_zyx_mm
    hu = np.clip(working.hu, -200, 900)
    mean = smooth_mm(hu, 1.5, spacing)
    spread = np.sqrt(np.maximum(smooth_mm(hu * hu, 1.5, spacing) - mean * mean, 0))
    low, high = LUMEN_HU
    even = (mean > low) & (mean < high) & (spread < max(25.0, 1.6 * soft.noise_hu)) & body & ~metal
    core = remove_small(open_mm(even, LUMEN_RADIUS_MM, spacing), 1000.0 / working.voxel_mm3)
    # The wall's own blur, but not calcium: that is denser than the lumen beside it.
    rim = dilate_mm(core, 2.0, spacing) & (working.hu < mean + 60)
    lumen: Bool = core | (rim & (working.hu < high) & (spread < 80))
    return lumen


def contrast_seen(lumen: Bool, working: Working) -> bool:
    """Whether vessels and chambers show a contrast agent that the header does not name.

    Headers are often silent of it, most of all those of converted and de-identified scans. What
    is evenly dense without an agent is smaller than ``SEEN_MM3`` in all (a lesion, a phantom's
    insert), enclosed by something denser (marrow within its cortex) or bare in air (plastic).

    Args:
        lumen: From :func:`enhanced_lumen`.
        working: The working grid.
    """
    from scipy import ndimage as ndi

    labels, count = label_components(lumen)
    sizes_mm3 = np.bincount(labels.ravel(), minlength=count + 1) * working.voxel_mm3
    spacing = working.spacing_zyx_mm
    seen_mm3 = 0.0
    for label, found in enumerate(ndi.find_objects(labels), start=1):
        if sizes_mm3[label] < SEEN_PIECE_MM3:
            continue
        box = widened(found, margin_voxels(AROUND_MM[1], spacing), lumen.shape)
        piece, hu = labels[box] == label, working.hu[box]
        inner, outer = dilations_mm(piece, AROUND_MM, spacing)
        around, mean = hu[outer & ~inner], float(hu[piece].mean())
        if not around.size:
            continue
        soft = (around > SOFT_FROM_HU) & (around < mean - STEP_HU)
        if soft.mean() >= 0.5 and (around > mean + STEP_HU).mean() <= 0.15:
            seen_mm3 += sizes_mm3[label]
    return bool(seen_mm3 >= SEEN_MM3)


def wall_calcium(dense: Bool, lumen: Bool, working: Working, skeleton_component_mm3: float) -> Bool:
    """Dense voxels in a vessel's wall that touch the skeleton, and would be taken for it.

    Only pieces as large as a skeleton are cut: a small piece beside a vessel is judged as a whole,
    so that a lesion next to an artery is not nibbled at.

    Args:
        dense: Mineral without the lumen.
        lumen: From :func:`enhanced_lumen`.
        working: The working grid.
        skeleton_component_mm3: Size from which a connected piece holds native bone.
    """
    if not lumen.any():
        return np.zeros_like(dense)
    labels, _ = label_components(dense)
    large = np.bincount(labels.ravel()) * working.voxel_mm3 >= skeleton_component_mm3
    large[0] = False
    wall: Bool = large[labels] & dilate_mm(lumen, WALL_MM, working.spacing_zyx_mm)
    return wall
