"""The first look at an exam: patient, metal, lumens, mineral and basins on the working grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.attenuation import hu_at_kvp
from hoimg.image import CTVolume
from hoimg.segment.basins import Basins, find_basins
from hoimg.segment.body import body_mask, metal_mask
from hoimg.segment.candidates import SoftTissue
from hoimg.segment.contrast import contrast_seen, enhanced_lumen, wall_calcium
from hoimg.segment.morphology import remove_small, smooth_mm
from hoimg.segment.working import Working, block_maxima, make_working
from hoimg.settings import SegmentSettings
from hoimg.side_threads import side_threads

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scene:
    """What can be said of every voxel before anything is judged.

    Attributes:
        working: The working grid.
        body: The patient.
        metal: Metal and cement.
        streaks: The zone round it.
        soft: Muscle and noise.
        contrast: Whether a contrast agent was given: the header names one, or it is seen.
        lumen: Enhanced lumens; empty without contrast.
        wall: Calcium in their walls that touches the skeleton.
        dense: Voxels above the mineral threshold, without metal, lumen and wall.
        parted: Basins of the watershed.
    """

    working: Working
    body: Bool
    metal: Bool
    streaks: Bool
    soft: SoftTissue
    contrast: bool
    lumen: Bool
    wall: Bool
    dense: Bool
    parted: Basins


def look(
    volume: CTVolume, settings: SegmentSettings, *, kvp: float | None, contrast: bool
) -> Scene:
    """Take the first look.

    Args:
        volume: The exam, HU.
        settings: Section ``segment``.
        kvp: Tube voltage, for the mineral threshold; None counts as 120 kV.
        contrast: Whether the header names a contrast agent.
    """
    working = make_working(volume, settings.working_mm)
    spacing = working.spacing_zyx_mm
    with side_threads(1) as beside:
        parted = beside.submit(find_basins, working, settings)  # needs nothing of what follows
        body = body_mask(working.hu, spacing)
        peak = block_maxima(volume, working) > settings.metal_hu
        metal, streaks = metal_mask(working.hu, peak, body, spacing)
        calm = smooth_mm(working.hu, 0.7, spacing)
        dense = (calm > hu_at_kvp(settings.mineral_hu_120kvp, kvp)) & ~metal
        soft = SoftTissue.of(working.hu, body)
        lumen = enhanced_lumen(working, body, metal, soft)
        contrast = contrast or contrast_seen(lumen, working)
        if not contrast:  # what is evenly dense is something else
            lumen = np.zeros_like(metal)
        wall = wall_calcium(dense & ~lumen, lumen, working, settings.skeleton_component_mm3)
        dense = remove_small(dense & ~lumen & ~wall, 30.0 / working.voxel_mm3)
        apart = parted.result()
        return Scene(working, body, metal, streaks, soft, contrast, lumen, wall, dense, apart)
