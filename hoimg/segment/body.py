"""The patient without table, and metal with its streak zone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.morphology import (
    dilate_mm,
    fill_holes,
    label_components,
    open_mm,
)

Bool = NDArray[np.bool_]

TABLE_HALF_THICKNESS_MM = 6.0
"""Anything thinner than twice this is table, sheet, tube or line; a wrist is 40 mm."""

SMALLEST_BODY_PART_MM3 = 30_000.0
"""A body part smaller than 30 mL apart from the trunk is not kept (a forearm in view is 300 mL)."""


COARSE_MM = 3.0
"""In-plane spacing at which the body is outlined."""
APART_MM = 1e12
"""Spacing of slices for what is done in the axial plane alone."""

BULKY_METAL_MM3 = 1000.0


def body_mask(hu: NDArray[np.float32], spacing_zyx_mm: Sequence[float]) -> Bool:
    """The patient: everything denser than fat's lower end, without table, filled slice by slice.

    Several parts (trunk, arms, two legs) are kept. The opening that removes the table works in
    the axial plane, so that thin slabs at the ends of a scan are not eaten.

    Args:
        hu: float32 array zyx, HU, at about 1.5-3 mm.
        spacing_zyx_mm: Its spacing.

    Returns:
        Boolean array zyx; all false when there is no patient in view.
    """
    step = max(1, round(COARSE_MM / spacing_zyx_mm[2]))
    tissue = fill_holes(hu[:, ::step, ::step] > -250, per_slice=True)
    in_plane = (APART_MM, spacing_zyx_mm[1] * step, spacing_zyx_mm[2] * step)
    framed = np.pad(tissue, [(0, 0), (1, 1), (1, 1)])  # the table is cut off at the frame, too
    coarse = open_mm(framed, TABLE_HALF_THICKNESS_MM, in_plane)[:, 1:-1, 1:-1]
    kept = coarse.repeat(step, axis=2).repeat(step, axis=1)[:, : hu.shape[1], : hu.shape[2]]
    kept = kept & (hu > -400)  # the coarse outline reaches a little into the air
    voxel = float(np.prod(spacing_zyx_mm))
    labels, count = label_components(kept)
    if count == 0:
        return kept
    sizes = np.bincount(labels[kept], minlength=count + 1) * voxel
    keep = sizes >= min(SMALLEST_BODY_PART_MM3, sizes.max())
    # A table survives the opening where it is thick. It holds no fat-to-muscle tissue inside:
    # less than half of it lies between -150 and 150 HU.
    soft = np.bincount(labels[(hu > -150) & (hu < 150)], minlength=count + 1) * voxel
    keep &= soft >= 0.3 * sizes
    keep[0] = False
    return fill_holes(keep[labels], per_slice=True)


def metal_mask(
    hu: NDArray[np.float32], peak: Bool, body: Bool, spacing_zyx_mm: Sequence[float]
) -> tuple[Bool, Bool]:
    """Metal and cement, and the zone around them in which HU cannot be trusted.

    Args:
        hu: float32 array zyx, HU.
        peak: Voxels in which any native voxel passed the metal threshold.
        body: The patient.
        spacing_zyx_mm: Spacing.

    Returns:
        ``(metal, streaks)``: the solid (thresholded voxels and what is connected to them above
        1700 HU), and the voxels within 8 mm of bulky metal (1 mL and more) or 4 mm of wires,
        clips and seeds.
    """
    seeds = peak & dilate_mm(body, 5.0, spacing_zyx_mm)
    if not seeds.any():
        return seeds, seeds.copy()
    labels, _ = label_components((hu > 1700) | seeds)
    hit = np.zeros(labels.max() + 1, dtype=bool)
    hit[np.unique(labels[seeds])] = True
    hit[0] = False
    metal: Bool = hit[labels]
    sizes = np.bincount(labels.ravel())
    bulky = metal & (sizes * float(np.prod(spacing_zyx_mm)) >= BULKY_METAL_MM3)[labels]
    streaks = dilate_mm(metal, 4.0, spacing_zyx_mm) | dilate_mm(bulky, 8.0, spacing_zyx_mm)
    return metal, streaks & ~metal
