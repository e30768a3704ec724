"""What the page's 3D view shows: how full each cell of a coarse grid is of bone, metal or a lesion.

The page's script draws the surface at half full. Such maps take a tenth of the bytes of a mesh, and
making them takes a sum over the masks instead of a walk over millions of triangles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, bounding_box, widened
from hoimg.report import words
from hoimg.report.tiles import checksum, columns_for, tiled_png
from hoimg.results import ExamImages, Report

BONE_CELLS, LESION_CELLS = 1_200_000, 60_000
"""At most about so many cells for the skeleton and for each lesion."""
BONE_CELL_MM = 2.0
"""Least side of a cell of the skeleton, mm."""
LEVELS = 31
"""A full cell's value."""


def scene_3d(
    report: Report,
    images: Mapping[str, ExamImages],
    boxes: Mapping[str, Mapping[int, Box]],
    budget: int,
) -> dict[str, Any] | None:
    """The skeleton, metal and lesions of the latest CT that shows a lesion.

    Args:
        report: The numbers.
        images: CT exams by ``exam_id``.
        boxes: Of each label of each exam.
        budget: Characters; lesions that find no room are not in it, and counted as ``missing``.

    Returns:
        As the script reads it; None where no CT shows a lesion.
    """
    exam = next((e for e in reversed(report.exams) if boxes.get(e.exam_id)), None)
    if exam is None:
        return None
    found = boxes[exam.exam_id]
    shown = images[exam.exam_id]
    parts = []
    if shown.anatomy is not None:
        for kind, mask in (("bone", shown.anatomy.skeleton), ("metal", shown.anatomy.metal)):
            box = bounding_box(mask.array)
            if box is not None:
                parts.append({"kind": kind, **_map(mask.array, box, mask.grid, BONE_CELLS)})
    budget -= sum(len(p["cells"]) for p in parts)
    missing = 0
    for lesion in report.lesions:
        for seen in lesion.observations:
            if seen.exam_id != exam.exam_id or seen.label not in found:
                continue
            box = found[seen.label or 0]
            labels = shown.lesions.array[box] == seen.label
            inner = shown.lesions.grid.crop(box)
            whole = (
                slice(0, labels.shape[0]),
                slice(0, labels.shape[1]),
                slice(0, labels.shape[2]),
            )
            made = _map(labels, whole, inner, LESION_CELLS, finest_mm=0.0)
            budget -= len(made["cells"])
            if budget < 0:
                missing += 1
                continue
            label = lesion.maturity.label
            name = {"id": lesion.lesion_id, "label": label, "label_text": words.LABELS[label]}
            parts.append({"kind": "lesion", **name, **made})
    if not missing and all(part["kind"] != "lesion" for part in parts):
        return None
    return {
        "day": exam.days_from_baseline,
        "full": LEVELS,
        "parts": parts,
        "missing": missing,
        "bone": shown.anatomy is not None,
    }


def _map(
    mask: NDArray[Any], box: Box, grid: Grid, cells: float, finest_mm: float = BONE_CELL_MM
) -> dict[str, Any]:
    """Fullness of the cells about a box of a mask, with the way to LPS mm."""
    spacing = np.array(grid.spacing_zyx_mm)
    extent = [(s.stop - s.start) * mm for s, mm in zip(box, spacing, strict=True)]
    side = max(finest_mm, (float(np.prod(extent)) / cells) ** (1 / 3))
    factors = [max(1, round(side / mm)) for mm in spacing]
    box = widened(box, factors, mask.shape)
    full = _fullness(mask[box], factors)
    full = np.pad(full, 1)  # so that a surface closes where the scan ends
    start = np.array([s.start for s in box]) - factors
    centre = start + (np.array(factors) - 1) / 2
    affine = grid.affine_xyz_to_lps
    steps = affine[:3, :3] * np.array(factors[::-1])
    return {
        "cells": tiled_png(full),
        "sum": checksum(full),
        "size": full.shape,
        "columns": columns_for((full.shape[0], full.shape[1], full.shape[2])),
        "origin": [round(float(v), 3) for v in grid.to_lps_mm(centre)],
        "axes": [[round(float(v), 5) for v in row] for row in steps],
    }


def _fullness(mask: NDArray[Any], factors: list[int]) -> NDArray[np.uint8]:
    """Mean of every cell of so many voxels, 0 to :data:`LEVELS`; slab by slab, no copy."""
    z, y, x = mask.shape
    fz, fy, fx = factors
    out = np.empty((-(-z // fz), -(-y // fy), -(-x // fx)), np.uint8)
    rows, columns = np.arange(0, y, fy), np.arange(0, x, fx)
    for k in range(out.shape[0]):
        flat = (mask[k * fz : (k + 1) * fz] != 0).sum(axis=0, dtype=np.uint16)
        sums = np.add.reduceat(np.add.reduceat(flat, rows, axis=0), columns, axis=1)
        out[k] = np.rint(sums * (LEVELS / (fz * fy * fx)))
    return out
