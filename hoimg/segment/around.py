"""What lies round a candidate farther out than its own crop: wall or cavity, muscle or organ.

Ossification grows in muscle and along bone. The same faint mineral amid enhanced liver, bowel or
lung is a vessel or content; only what lies some centimetres around tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.candidates import Candidate
from hoimg.segment.morphology import smooth_mm
from hoimg.segment.working import Working, over_blocks

Bool = NDArray[np.bool_]

COARSE_MM = 6.0
WIDE_MM = 15.0
"""Standard deviation of the window."""
TISSUES = {
    "wide_gas": (-2000.0, -300.0),
    "wide_fat": (-150.0, -30.0),
    "wide_muscle": (20.0, 80.0),
    "wide_enhanced": (80.0, 220.0),
    "wide_bone": (220.0, 4000.0),
}
"""HU at a resolution of ``COARSE_MM``."""


@dataclass(frozen=True)
class Around:
    """Environment of one candidate, each a fraction of the body within some 25 mm.

    Attributes:
        wide_gas: Gas, lung.
        wide_fat: Fat.
        wide_muscle: As dense as muscle.
        wide_enhanced: Enhanced organs and vessels, spongy bone, bone's partial volume.
        wide_bone: Bone.
    """

    wide_gas: float
    wide_fat: float
    wide_muscle: float
    wide_enhanced: float
    wide_bone: float


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The maps of one exam that :class:`Around` is read from.

    Attributes:
        tissue: Name in :class:`Around` to the fraction on a coarse grid, float32.
        step: Voxels of the working grid per voxel of the coarse one, zyx.
    """

    tissue: dict[str, NDArray[np.float32]]
    step: tuple[int, int, int]

    def of(self, candidate: Candidate) -> Around:
        """The environment of one candidate: the mean over its voxels."""
        coarse = tuple(k // n for k, n in zip(candidate.at, self.step, strict=True))
        return Around(**{name: float(part[coarse].mean()) for name, part in self.tissue.items()})


def surroundings(working: Working, body: Bool) -> Surroundings:
    """Prepare the maps of one exam."""
    step = _triple(max(1, round(COARSE_MM / s)) for s in working.spacing_zyx_mm)
    coarse_mm = tuple(n * s for n, s in zip(step, working.spacing_zyx_mm, strict=True))
    mean = _blocks(np.clip(working.hu, -1000, 1500), step)
    inside = _blocks(body.astype(np.float32), step)
    whole = np.maximum(smooth_mm(inside, WIDE_MM, coarse_mm), 1e-3)
    tissue = {}
    for name, (low, high) in TISSUES.items():
        part = np.where((mean > low) & (mean <= high), inside, 0).astype(np.float32)
        tissue[name] = np.divide(smooth_mm(part, WIDE_MM, coarse_mm), whole, dtype=np.float32)
    return Surroundings(tissue, step)


def _triple(values: Iterable[int]) -> tuple[int, int, int]:
    z, y, x = values
    return (z, y, x)


def _blocks(array: NDArray[np.float32], step: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means over blocks; the last ones are filled up with the edge's values."""
    pad = [(0, -n % s) for n, s in zip(array.shape, step, strict=True)]
    full = np.pad(array, pad, mode="edge")
    slabs = full.reshape(-1, step[0], *full.shape[1:])
    out = np.stack([over_blocks(np.add, slab, step[1:]) for slab in slabs])
    out /= np.float32(np.prod(step))
    return out
