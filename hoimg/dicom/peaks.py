"""Peaks of a curve, with how far they stand out and how wide they are.

The same as scipy.signal's ``find_peaks`` and ``peak_widths`` at half of the prominence, which a
test holds it to. Importing scipy.signal takes half a second and 40 MB of every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def peaks_of(values: NDArray[np.float64], least: float) -> Iterator[tuple[int, float]]:
    """Peaks in their order: index and full width at half prominence.

    A peak is higher than what lies beside it on both sides; of a flat one the middle is given.

    Args:
        values: The curve, one value a step.
        least: Prominence, the height over the higher of the two saddles, that is enough.

    Yields:
        Index and width in steps.
    """
    steps = np.flatnonzero(np.diff(values))
    begin, end = np.append(0, steps + 1), np.append(steps, len(values) - 1)
    height = values[begin]
    inner = np.flatnonzero((height[1:-1] > height[:-2]) & (height[1:-1] > height[2:])) + 1
    for peak in ((begin[inner] + end[inner]) // 2).tolist():
        before, after = _slope(values[peak::-1]), _slope(values[peak:])
        prominence = float(values[peak] - max(before.min(), after.min()))
        if prominence >= least:
            half = float(values[peak]) - 0.5 * prominence
            yield peak, _reach(before, half) + _reach(after, half)


def _slope(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a peak outwards to the lowest value before anything higher comes."""
    higher = np.flatnonzero(away > away[0])
    until = away[: higher[0]] if len(higher) else away
    lowest: NDArray[np.float64] = until[: int(np.argmin(until)) + 1]
    return lowest


def _reach(slope: NDArray[np.float64], height: float) -> float:
    """Steps down a slope to a height, between two steps by proportion."""
    under = np.flatnonzero(slope <= height)
    step = int(under[0]) if len(under) else len(slope) - 1
    if slope[step] >= height:
        return float(step)
    return step - float((height - slope[step]) / (slope[step - 1] - slope[step]))
