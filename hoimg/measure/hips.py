"""The hips that lesions of an exam lie about: found, told apart, measured; or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, margin_voxels, widened
from hoimg.image import CTVolume
from hoimg.measure.femoral_head import CLEAR, Head, find_heads
from hoimg.measure.hip_sides import AROUND_MM, HipSides, tell_sides
from hoimg.measure.hip_site import site_of
from hoimg.measure.opposing import opposing_gap
from hoimg.measure.uncertainty import Z95
from hoimg.results import Hip
from hoimg.settings import MeasureSettings

Bools = NDArray[np.bool_]


def measure_hips(
    volume: CTVolume,
    labels: NDArray[Any],
    boxes: Mapping[int, Box],
    *,
    skeleton: Bools,
    metal: Bools,
    settings: MeasureSettings,
) -> list[Hip]:
    """Measure every hip that a lesion lies about; nothing is looked for away from lesions.

    Args:
        volume: The exam, HU.
        labels: Lesions on its grid, one value each.
        boxes: Of the lesions, by value.
        skeleton: Native bone, filled, same shape.
        metal: Metal and cement, same shape.
        settings: Named thresholds.

    Returns:
        A hip per side at most, right before left, without grades (see
        :func:`hoimg.maturity.grade_hip`).
    """
    if not boxes:
        return []
    grid = volume.grid
    bone = _native(skeleton, metal, labels, boxes, settings, grid)
    if bone is None:
        return []
    kept: list[HipSides] = []
    refused: list[HipSides] = []

    def is_hip(head: Head) -> bool:
        told = tell_sides(head, bone, grid, valid=volume.valid)
        if told is not None:
            (kept if told.reason is None else refused).append(told)
        # A clear head whose sides cannot be told is not replaced by a lesser sphere beside it.
        return told is not None and (told.reason is None or head.seen >= CLEAR)

    find_heads(
        volume.hu,
        bone,
        list(boxes.values()),
        grid.spacing_zyx_mm,
        settings.hip_reach_mm,
        is_hip,
    )
    refused.sort(key=lambda r: -r.head.seen)
    sides = {s.side for s in kept}
    for told in refused:
        near = any(_apart(told.head, k.head) < AROUND_MM for k in kept)
        if told.side not in sides and not near:
            kept.append(told)
            sides.add(told.side)
    about = _nearest_hip(kept, labels, boxes, grid, settings.hip_reach_mm)
    made = [
        measured_hip(told, volume, labels, about[k], bone, settings)
        for k, told in enumerate(kept)
        if about[k]
    ]
    return sorted(made, key=lambda h: h.side, reverse=True)


def measured_hip(
    sides: HipSides,
    volume: CTVolume,
    labels: NDArray[Any],
    boxes: Mapping[int, Box],
    bone: Bools,
    settings: MeasureSettings,
) -> Hip:
    """The numbers of one hip.

    Args:
        sides: The hip; refused ones give their reason alone.
        volume: The exam, HU.
        labels: Its lesions, one value each.
        boxes: Of the lesions about this hip, by value.
        bone: Native bone and metal in it, without the lesions, same shape.
        settings: Named thresholds.
    """
    grid = volume.grid
    spacing = np.asarray(grid.spacing_zyx_mm)
    hip = Hip(side=sides.side, labels=sorted(boxes))
    if sides.reason is not None:
        return hip.model_copy(update={"flags": [sides.reason]})
    gap = opposing_gap(
        sides,
        labels,
        boxes,
        bone,
        volume.hu,
        grid.spacing_zyx_mm,
        joint_mm=settings.hip_joint_mm,
        boundary_sd_voxels=settings.segmentation_sd_voxels,
    )
    site = site_of(sides, labels, boxes, grid)

    def lps(point: NDArray[np.float64]) -> tuple[float, float, float]:
        x, y, z = grid.to_lps_mm(point / spacing)
        return (float(x), float(y), float(z))

    islands = bool(boxes) and not (gap.to_pelvis or gap.to_femur)
    ci = None
    if gap.gap_mm is not None and gap.sd_mm is not None:
        ci = (max(gap.gap_mm - Z95 * gap.sd_mm, 0.0), gap.gap_mm + Z95 * gap.sd_mm)
    return hip.model_copy(
        update={
            "head_centre_lps_mm": lps(sides.head.centre_mm),
            "head_radius_mm": sides.head.radius_mm,
            "joined_to_pelvis": list(gap.to_pelvis),
            "joined_to_femur": list(gap.to_femur),
            "gap_mm": gap.gap_mm,
            "gap_ci95_mm": ci,
            "gap_ends_lps_mm": None if gap.ends_mm is None else tuple(map(lps, gap.ends_mm)),
            "site_angle_deg": None if site is None else site[0],
            "site_share": None if site is None else site[1],
            "flags": ["no_ossification_joined"] if islands else [],
        }
    )


def _native(
    skeleton: Bools,
    metal: Bools,
    labels: NDArray[Any],
    boxes: Mapping[int, Box],
    settings: MeasureSettings,
    grid: Grid,
) -> Bools | None:
    """Native bone with its metal and without the lesions; None where none lies near a lesion."""
    reach = margin_voxels(settings.hip_reach_mm, grid.spacing_zyx_mm)
    near = any(skeleton[widened(box, reach, skeleton.shape)].any() for box in boxes.values())
    if not near:
        return None
    bone = skeleton | metal
    for box in boxes.values():
        bone[box] &= labels[box] == 0
    return np.asarray(bone, bool)


def _apart(one: Head, other: Head) -> float:
    return float(np.linalg.norm(one.centre_mm - other.centre_mm))


def _nearest_hip(
    hips: list[HipSides],
    labels: NDArray[Any],
    boxes: Mapping[int, Box],
    grid: Grid,
    reach_mm: float,
) -> list[dict[int, Box]]:
    """The lesions about each hip: each belongs to the nearest head within reach of its voxels."""
    about: list[dict[int, Box]] = [{} for _ in hips]
    if not hips:
        return about
    for value, box in boxes.items():
        index = np.argwhere(labels[box] == value) + [s.start for s in box]
        points = index[:: len(index) // 20_000 + 1] * np.asarray(grid.spacing_zyx_mm)
        away = [float(np.linalg.norm(points - h.head.centre_mm, axis=1).min()) for h in hips]
        k = int(np.argmin(away))
        if away[k] <= reach_mm:
            about[k][value] = box
    return about
