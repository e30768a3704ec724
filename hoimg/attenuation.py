"""What the tube voltage does to a mineral's HU: a neutral function that several stages share.

Hydroxyapatite attenuates more, relative to water, at a lower tube voltage. The published factors
from the hydroxyapatite signal at a tube voltage to that at 120 kVp are 0.88 at 100 kVp and 0.63
at 70 kVp. Both, and 1 at 120 kVp, are joined by the parabola in ``ln(kVp)`` through the three
points; for 80 and 140 kVp, that parabola gives 0.73 and 1.10 (an extrapolation for
140 kVp). It is clamped to 70-150 kVp, the range of diagnostic CT.
"""

from __future__ import annotations

import math

REFERENCE_KVP = 120.0
KVP_RANGE = (70.0, 150.0)
"""Tube voltages outside are treated as the nearest limit."""

# (kVp, factor from that kVp's hydroxyapatite signal to the one at 120 kVp), published.
_PUBLISHED = ((70.0, 0.63), (100.0, 0.88), (120.0, 1.0))


def factor_to_120kvp(kvp: float | None) -> float:
    """Factor that turns a mineral's excess HU at ``kvp`` into that at 120 kVp.

    Args:
        kvp: Tube voltage in kV; None (unknown), zero, negative or not finite counts as 120 kV.

    Returns:
        1.0 at 120 kVp, 0.88 at 100, 0.63 at 70; smooth and rising between.
    """
    if kvp is None or not math.isfinite(kvp) or kvp <= 0:
        return 1.0
    x = math.log(min(max(kvp, KVP_RANGE[0]), KVP_RANGE[1]))
    nodes = [math.log(k) for k, _ in _PUBLISHED]
    total = 0.0
    for i, (_, factor) in enumerate(_PUBLISHED):
        weight = 1.0
        for j, node in enumerate(nodes):
            if j != i:
                weight *= (x - node) / (nodes[i] - node)
        total += weight * factor
    return total


def hu_at_kvp(hu_120: float, kvp: float | None) -> float:
    """The HU at ``kvp`` of a mineral that reads ``hu_120`` at 120 kVp.

    For thresholds: 130 HU at 120 kVp is 148 HU at 100 kVp and 206 HU at 70 kVp. It holds for
    mineral in water-like tissue, so not for fat, air or iodine.

    Args:
        hu_120: HU at 120 kVp.
        kvp: Tube voltage in kV; None (unknown) leaves the value as it is.

    Returns:
        HU at that tube voltage.
    """
    return hu_120 / factor_to_120kvp(kvp)
