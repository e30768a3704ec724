"""HU in one byte for the page's viewer: fine steps where soft tissue is, coarse ones elsewhere.

Eight even bits over the whole range would be steps of 16 HU: too coarse for a window of soft
tissue, and a window of 400 HU alone would not show bone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEGMENTS: tuple[tuple[int, int, int], ...] = (
    (-1050, 60, 15),
    (-150, 6, 84),
    (354, 12, 87),
    (1398, 24, 69),
)
"""From HU, step in HU, number of steps; each begins where the one before ends. Code 0 means that
nothing was scanned there, 1 is the first step and 255 the last; what lies outside is clipped."""

_EDGES = np.concatenate([start + step * np.arange(count) for start, step, count in SEGMENTS])
_STEPS = np.concatenate([np.full(count, step) for _, step, count in SEGMENTS])


def encode(hu: NDArray[Any]) -> NDArray[np.uint8]:
    """Code of every value; not a number becomes 0.

    Args:
        hu: HU, any shape; fractions are cut to the step that they lie in.
    """
    # A table over whole HU is ten times faster than a search for each voxel.
    whole = np.clip(np.floor(np.nan_to_num(hu, nan=_EDGES[0])), _EDGES[0], _EDGES[-1])
    table = np.searchsorted(_EDGES, np.arange(_EDGES[0], _EDGES[-1] + 1), side="right")
    codes: NDArray[np.uint8] = table.astype(np.uint8)[whole.astype(np.int32) - _EDGES[0]]
    return np.where(np.isnan(hu), np.uint8(0), codes)


def decode_table() -> list[float]:
    """HU of each of the 256 codes: the middle of its step; for 0 the lowest."""
    middle = _EDGES + _STEPS / 2
    return [float(_EDGES[0]), *(float(v) for v in middle)]


def steps_text() -> str:
    """The steps in words, for the page."""
    ends = [f"{a} to {b - 1} HU" for (a, *_), (b, *_) in pairwise(SEGMENTS)]
    above = f"from {SEGMENTS[-1][0]} HU"
    parts = [
        f"{step} HU {where}" for (_, step, _), where in zip(SEGMENTS, [*ends, above], strict=True)
    ]
    return ", ".join(parts).replace("-", "−")
