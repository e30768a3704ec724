"""Where about a hip ossification lies: its direction from the femur, level by level."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid
from hoimg.measure.hip_sides import FEMUR, HipSides

Floats = NDArray[np.float64]

LEVEL_MM = 5.0
SECTORS = 12

MIN_SECTOR_SHARE = 0.02
"""A sector of 30 degrees counts as taken when it holds this share of the ossification's voxels."""

MAX_VOXELS = 50_000


def site_of(
    sides: HipSides, labels: NDArray[np.integer], boxes: Mapping[int, Box], grid: Grid
) -> tuple[float, float] | None:
    """Direction of the ossification about the femur, and how far it goes round.

    At each level of 5 mm along the body the middle is that of the femur there, head included, or
    the head's own above and below it. 0 degrees is anterior, 90 medial, 180 posterior, 270 lateral.

    Args:
        sides: The hip, not refused.
        labels: The exam's lesions, one value each.
        boxes: Of the lesions about this hip, by value.
        grid: Of the exam.

    Returns:
        The mean direction in degrees, and the share of twelve sectors taken (0 to 1); None without
        a lesion.
    """
    lesion = np.concatenate(
        [np.empty((0, 3))]
        + [
            np.argwhere(labels[box] == value) + [s.start for s in box]
            for value, box in boxes.items()
        ]
    )
    if len(lesion) == 0:
        return None
    points = grid.to_lps_mm(lesion[:: len(lesion) // MAX_VOXELS + 1])
    own = np.argwhere(sides.labels[::2, ::2, ::2] == FEMUR) * 2
    femur = grid.to_lps_mm(own * sides.step + [s.start for s in sides.box])
    head = grid.to_lps_mm(sides.head.centre_mm / np.asarray(grid.spacing_zyx_mm))
    level = np.floor(points[:, 2] / LEVEL_MM).astype(int)
    of_femur = np.floor(femur[:, 2] / LEVEL_MM).astype(int)
    middle = np.tile(head[:2], (len(points), 1))
    for k in np.unique(level):
        here = of_femur == k
        if here.any():
            middle[level == k] = femur[here, :2].mean(axis=0)
    away = points[:, :2] - middle
    medial = away[:, 0] * (-1.0 if sides.side == "left" else 1.0)
    angle = np.arctan2(medial, -away[:, 1])
    mean = np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) % 360.0
    sector = np.floor((angle % (2 * np.pi)) / (2 * np.pi) * SECTORS).astype(int) % SECTORS
    share = np.bincount(sector, minlength=SECTORS) / len(angle)
    return float(mean), float((share >= MIN_SECTOR_SHARE).mean())
