"""Candidates: pieces of mineral that may be a lesion, grouped and filled, on the working grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, bounding_box, margin_voxels, nested
from hoimg.segment.morphology import (
    open_mm,
    smooth_mm,
)
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

GROW_BACK_MM = 4.5
"""An outgrowth's seed is grown back this far towards the bone that it stands on (trial A: 6-8 mm
leaks along the bone)."""


ROOM_MM = 16.0
"""A candidate's box has this much room around, for what is read of its surroundings."""
ENOUGH, ENOUGH_SLICES = 200_000, 3_000_000
"""Voxels from which a median is read, of slices with so many."""
WINDOW_MM = 2.0
"""Standard deviation of the window in which floccules are uneven."""
SLAB = 32
"""Slices looked at in one go."""
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
        route: Which route proposed it: ``shell``, ``marrow``, ``mirror``, ``free``, ``joined``,
            ``basin``, ``lump``, ``parts``.
    """

    box: Box
    mask: Bool
    attached: bool
    shell: bool = False
    route: str = "free"

    @cached_property
    def at(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Indices zyx of its voxels in the working array."""
        inner = bounding_box(self.mask)
        if inner is None:
            raise ValueError("a candidate has at least one voxel")
        place = nested(self.box, inner)
        z, y, x = (k + s.start for k, s in zip(np.nonzero(self.mask[inner]), place, strict=True))
        return (z, y, x)

    @cached_property
    def voxels(self) -> int:
        """How many voxels it has."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class SoftTissue:
    """What the patient's soft tissue looks like on the working grid.

    Attributes:
        muscle_hu: The patient's own muscle.
        noise_hu: Noise SD.
    """

    muscle_hu: float
    noise_hu: float

    @classmethod
    def of(cls, hu: NDArray[np.float32], body: Bool) -> SoftTissue:
        """Read it inside the body of an array zyx, HU."""
        muscle = muscle_hu(hu, body)
        return cls(muscle, noise_hu(hu, body, muscle))


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
    step = max(1, hu.size // ENOUGH_SLICES)  # slices spread over the scan are as good as all
    hu, body = hu[::step], body[::step]
    soft = body & (np.abs(hu - np.float32(muscle)) < 60)
    both = np.nonzero(soft[:, :, 2:] & soft[:, :, :-2])
    if both[0].size > 2 * ENOUGH:  # the median of a part, spread over the scan, is as good
        both = tuple(axis[:: both[0].size // ENOUGH] for axis in both)
    difference = hu[both[0], both[1], both[2] + 2] - hu[both]
    if difference.size < 1000:
        return 10.0
    return float(1.4826 * np.median(np.abs(difference)) / np.sqrt(2))


def faint_mineral(
    working: Working,
    body: Bool,
    avoid: Bool,
    soft: SoftTissue,
    settings: SegmentSettings,
    parts: Sequence[float] = (1.0,),
) -> list[Bool]:
    """Faint floccules: locally denser than muscle *and* uneven beyond the noise.

    Args:
        working: The working grid.
        body: The patient.
        avoid: Native bone with its margin, metal, streaks.
        soft: Muscle and noise.
        settings: Section ``segment``.
        parts: Parts of the settings' limits that are enough.

    Returns:
        A mask for each part.
    """
    spacing = working.spacing_zyx_mm
    muscle, noise = soft.muscle_hu, soft.noise_hu
    looked_at = body & ~avoid
    found = [np.zeros_like(body) for _ in parts]
    reach = margin_voxels(3 * WINDOW_MM, spacing)[0]
    for start in range(0, len(body), SLAB):  # a scan's worth of floats at once is too much
        stop = start + SLAB
        room = slice(max(start - reach, 0), stop + reach)
        # Only what is denser than muscle counts: fat beside muscle is uneven too, and bone or gas
        # close by would leak into the local mean.
        hu = np.clip(working.hu[room], np.float32(muscle), np.float32(BRIGHT_HU))
        hu[avoid[room]] = muscle
        mean = smooth_mm(hu, WINDOW_MM, spacing)
        # The window also lights up around a dense body; only what is dense itself is kept.
        least = np.minimum(mean, smooth_mm(hu, 0.8, spacing))
        spread = smooth_mm(np.multiply(hu, hu, out=hu), WINDOW_MM, spacing)
        spread -= np.multiply(mean, mean, out=mean)
        np.sqrt(np.maximum(spread, 0, out=spread), out=spread)
        own = slice(start - room.start, stop - room.start)
        for part, out in zip(parts, found, strict=True):
            dense = least[own] > muscle + part * settings.faint_excess_hu
            uneven = spread[own] > float(np.hypot(part * settings.faint_sd_hu, noise))
            out[start:stop] = dense & uneven & looked_at[start:stop]
    return [open_mm(mask, 1.6, spacing) for mask in found]
