"""Candidates: pieces of mineral that may be a lesion, grouped and filled, on the working grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, margin_voxels, widened
from hoimg.segment.morphology import (
    close_mm,
    dilate_mm,
    fill_holes,
    label_components,
    open_mm,
    remove_small,
    smooth_mm,
)
from hoimg.segment.native import Native
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

GROW_BACK_MM = 4.5
"""An outgrowth's seed is grown back this far towards the bone that it stands on (trial A: 6-8 mm
leaks along the bone)."""


BRIGHT_HU = 350.0
"""Floccules stay below this; what is denser has a rim of its own, with its blur around."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate on the working grid.

    Attributes:
        box: Its place in the working array, with room around.
        mask: Boolean array of the box's shape, filled.
        attached: Whether it stands on native bone (found as an outgrowth, or touching it).
        shell: Whether it has a closed shell of its own with soft tissue around.
        route: Which route proposed it: ``shell``, ``marrow``, ``mirror``, ``free``, ``joined``.
    """

    box: Box
    mask: Bool
    attached: bool
    shell: bool = False
    route: str = "free"


def muscle_hu(hu: NDArray[np.float32], body: Bool) -> float:
    """The patient's own muscle: the most frequent value between 30 and 100 HU inside the body.

    Below 30 HU lie urine, bowel and the blend of muscle with fat.

    Returns:
        HU; 50 when fewer than 1000 voxels lie in that range (a phantom without muscle).
    """
    inside = hu[body]
    inside = inside[(inside > 30) & (inside < 100)]
    if inside.size < 1000:
        return 50.0
    counts, edges = np.histogram(inside, bins=35, range=(30, 100))
    smooth = np.convolve(counts, np.full(5, 0.2), mode="same")
    k = int(np.argmax(smooth))
    return float(0.5 * (edges[k] + edges[k + 1]))


def noise_hu(hu: NDArray[np.float32], body: Bool, muscle: float) -> float:
    """Noise SD on the working grid: robust spread of in-slice neighbour differences in muscle."""
    soft = body & (np.abs(hu - muscle) < 60)
    both = soft[:, :, 2:] & soft[:, :, :-2]
    difference = (hu[:, :, 2:] - hu[:, :, :-2])[both]
    if difference.size < 1000:
        return 10.0
    return float(1.4826 * np.median(np.abs(difference)) / np.sqrt(2))


def faint_mineral(
    working: Working, body: Bool, avoid: Bool, settings: SegmentSettings, part: float = 1.0
) -> Bool:
    """Faint floccules: locally denser than muscle *and* uneven beyond the noise.

    Args:
        working: The working grid.
        body: The patient.
        avoid: Native bone with its margin, metal, streaks.
        settings: Section ``segment``.
        part: Part of the settings' limits that is enough.
    """
    spacing = working.spacing_zyx_mm
    muscle = muscle_hu(working.hu, body)
    noise = noise_hu(working.hu, body, muscle)
    # Only what is denser than muscle counts: fat beside muscle is uneven too, and bone or gas
    # close by would leak into the local mean.
    hu = np.clip(working.hu, muscle, BRIGHT_HU)
    hu = np.where(avoid, muscle, hu).astype(np.float32)
    mean = smooth_mm(hu, 2.0, spacing)
    spread = np.sqrt(np.maximum(smooth_mm(hu * hu, 2.0, spacing) - mean * mean, 0))
    limit = float(np.hypot(part * settings.faint_sd_hu, noise))
    excess = part * settings.faint_excess_hu
    found = (mean > muscle + excess) & (spread > limit) & body & ~avoid
    # The 2 mm window also lights up around a dense body; only what is dense itself is kept.
    found &= smooth_mm(hu, 0.8, spacing) > muscle + excess
    return open_mm(found, 1.6, spacing)


def find_candidates(
    working: Working,
    native: Native,
    body: Bool,
    metal: Bool,
    streaks: Bool,
    shells: NDArray[np.int32],
    settings: SegmentSettings,
) -> Iterator[Candidate]:
    """Group free mineral, faint floccules and outgrowths of bone into filled candidates.

    Yields:
        Candidates in order of their label; small ones too, so that they can be listed.
    """
    spacing = working.spacing_zyx_mm
    closed_ones = list(_shelled(shells, native, spacing))
    taken = shells > 0
    for candidate in closed_ones:
        taken[candidate.box] |= candidate.mask
    yield from closed_ones
    halo = max(native.halo_mm, 1.2 * max(spacing))  # partial volume of cortex
    avoid = dilate_mm(native.solid | native.bone | native.explained, halo, spacing)
    avoid |= metal | streaks
    faint = faint_mineral(working, body, avoid, settings)
    # The blur around a dense body is no floccule, and would bridge two lesions side by side.
    bright = native.free & (working.hu > BRIGHT_HU)
    faint &= ~dilate_mm(bright, 3.5, spacing)
    # What lies on a shell's surface is its blur and its crumbs.
    free = (native.free | (faint & ~native.bone)) & ~dilate_mm(taken, 2.0, spacing)
    free = remove_small(free, 20.0 / working.voxel_mm3)
    closed = native.bone | native.solid | metal | taken
    grouped = close_mm(free, settings.group_mm / 2, spacing) & ~closed
    # A closed shell, or floccules round a soft core, are one envelope.
    grouped = fill_holes(grouped) & ~closed
    grown = _grow_back(working, native, settings, metal | taken)
    both = grouped | grown
    both = remove_small(both, 40.0 / working.voxel_mm3)
    yield from _split(both, grown, native, spacing)


def _shelled(
    shells: NDArray[np.int32], native: Native, spacing: tuple[float, float, float]
) -> Iterator[Candidate]:
    """Each closed shell with the smaller pieces of free mineral that touch it."""
    from scipy import ndimage as ndi

    margin = margin_voxels(12.0, spacing)
    for label, part in enumerate(ndi.find_objects(shells), start=1):
        if part is None:
            continue
        box = widened(part, margin, shells.shape)
        piece = shells[box] == label
        crumbs, count = label_components(native.free[box] & (shells[box] == 0))
        touching = np.unique(crumbs[dilate_mm(piece, max(spacing), spacing)])
        sizes = np.bincount(crumbs.ravel(), minlength=count + 1)
        keep = np.zeros(count + 1, dtype=bool)
        keep[touching] = sizes[touching] < 0.5 * piece.sum()
        keep[0] = False
        mask = fill_holes(piece | keep[crumbs])
        attached = bool((dilate_mm(mask, max(spacing), spacing) & native.bone[box]).any())
        yield Candidate(box, mask, attached, shell=True)


def _grow_back(working: Working, native: Native, settings: SegmentSettings, metal: Bool) -> Bool:
    """Outgrowths of native bone: opened seeds, grown back to the bone that they stand on."""
    spacing = working.spacing_zyx_mm
    seeds = open_mm(native.residual & ~metal, 1.6, spacing)
    seeds = remove_small(seeds, 180.0 / working.voxel_mm3)
    if not seeds.any():
        return seeds
    near = dilate_mm(seeds, GROW_BACK_MM, spacing)
    reach = native.dense & near & ~native.core & ~metal
    grown = seeds | reach
    grown = close_mm(grown, settings.group_mm / 2, spacing)
    # Lesion and native bone together close the envelope of a fused lesion's marrow core.
    filled = fill_holes(grown | native.solid) & ~native.solid
    grown |= filled & dilate_mm(grown, 8.0, spacing)
    return grown & ~native.core & ~metal


def _split(
    mask: Bool, grown: Bool, native: Native, spacing: tuple[float, float, float]
) -> Iterator[Candidate]:
    from scipy import ndimage as ndi

    labels, _ = label_components(mask)
    margin = margin_voxels(12.0, spacing)
    for label, part in enumerate(ndi.find_objects(labels), start=1):
        if part is None:
            continue
        box = widened(part, margin, labels.shape)
        piece = labels[box] == label
        touching = bool((dilate_mm(piece, max(spacing), spacing) & native.bone[box]).any())
        yield Candidate(box, piece, touching or bool(grown[box][piece].any()))
