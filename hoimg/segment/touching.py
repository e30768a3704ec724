"""Outlines that touch each other are one lesion, from however many candidates they were drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box
from hoimg.segment.basins import united

TOUCH_MM2 = 10.0
"""With less of common faces outlines only graze each other. An engineering choice: of 16 pairs of
outlines that touched on tuning patients (17 mm2 or more) each was drawn of one lesion."""


def joined(
    lesions: NDArray[np.uint16],
    flags: Mapping[int, list[str]],
    spacing_zyx_mm: tuple[float, float, float],
) -> dict[int, list[str]]:
    """Make one label of those that touch; the label map is changed in place.

    Args:
        lesions: Label map zyx, labels 1 to n.
        flags: Of each label.
        spacing_zyx_mm: Of its voxels.

    Returns:
        Flags of the labels that are left, 1 to m in the old order; a joined one has those of all.
    """
    areas = contacts_mm2(lesions, spacing_zyx_mm)
    root = united(max(flags, default=0) + 1, [p for p, area in areas.items() if area >= TOUCH_MM2])
    groups: dict[int, list[int]] = {}
    for old in sorted(flags):
        groups.setdefault(int(root[old]), []).append(old)
    if len(groups) == len(flags):
        return dict(flags)
    renamed = np.arange(max(flags) + 1, dtype=lesions.dtype)
    kept = {}
    for label, group in enumerate(groups.values(), start=1):
        renamed[group] = label
        kept[label] = list(dict.fromkeys(flag for old in group for flag in flags[old]))
    box = bounding_box(lesions)
    if box is not None:
        lesions[box] = renamed[lesions[box]]
    return kept


def contacts_mm2(
    labels: NDArray[np.uint16], spacing_zyx_mm: tuple[float, float, float]
) -> dict[tuple[int, int], float]:
    """Area of the voxels' faces that two labels have in common, mm2.

    Args:
        labels: Label map zyx.
        spacing_zyx_mm: Of its voxels.

    Returns:
        By the two labels, the smaller one first; those without a common face are not in it.
    """
    box = bounding_box(labels)
    areas: dict[tuple[int, int], float] = {}
    if box is None:
        return areas
    part = labels[box]
    for axis in range(3):
        face = float(np.prod(np.delete(spacing_zyx_mm, axis)))
        ahead, behind = np.moveaxis(part, axis, 0)[1:], np.moveaxis(part, axis, 0)[:-1]
        meet = (ahead > 0) & (behind > 0) & (ahead != behind)
        pairs = np.sort(np.stack([ahead[meet], behind[meet]], axis=1), axis=1)
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        for (one, other), count in zip(found.tolist(), counts.tolist(), strict=True):
            areas[one, other] = areas.get((one, other), 0.0) + face * count
    return areas
