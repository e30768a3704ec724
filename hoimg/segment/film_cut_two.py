"""The cheapest pair of closed outlines on one grid: of one thing, on two pictures that lie alike.

Each outline has the costs of its own picture; what lies in one and not in the other costs by what
the pictures say of that place. One minimum cut finds both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.film_cut import OFFSETS, cheapest_regions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Two = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Unlike:
    """What a pixel costs by which outline it lies in, ``[y, x]``, none negative; in both nothing.

    ``neither`` may not be more than ``came + went``: else no cut finds the cheapest pair.

    Attributes:
        neither: In neither of them.
        came: In the second alone.
        went: In the first alone.
    """

    neither: Floats
    came: Floats
    went: Floats


def cheapest_pairs(
    costs: Two,
    worth: Two,
    rewards: Sequence[float],
    allowed: tuple[Bools, Bools],
    unlike: Unlike,
) -> list[tuple[Bools, Bools]]:
    """The pair of regions with the least cost for each reward.

    That is: both outlines, what is unlike, less ``reward * worth`` of both.

    Args:
        costs: From :func:`hoimg.segment.film_cut.link_costs`, of either picture.
        worth: For each pixel, 0 or more.
        rewards: Ascending.
        allowed: Pixels that may be inside.
        unlike: On the same pixels.

    Returns:
        For each reward the first region and the second.

    Raises:
        ValueError: when to be in neither costs more than to be in one and in the other.
    """
    # Of a in the first and b in the second (0 or 1) what is unlike costs, but for what is the same
    # for all: (came + went - neither) (1 - a) b + (went - neither) a - went b.
    across = unlike.came + unlike.went - unlike.neither
    if (across < -1e-9).any():
        raise ValueError("what is in neither costs more than came and went together")
    rows, columns = across.shape
    # Both pictures in one, the second below the first, with a line between that nothing crosses.
    down = rows + 1
    whole = (2 * rows + 1, columns)
    first, second = np.s_[:rows, :], np.s_[down:, :]
    links = np.zeros((len(OFFSETS) + 1, *whole))
    for place, own in ((first, costs[0]), (second, costs[1])):
        links[:-1, *place] = own
    links[-1, *second] = np.maximum(across, 0.0)

    def stacked(one: NDArray[np.generic], other: NDArray[np.generic]) -> NDArray[np.generic]:
        line = np.zeros((1, columns), one.dtype)
        return np.concatenate([one, line, other])

    found = cheapest_regions(
        links,
        np.asarray(stacked(*worth), np.float64),
        rewards,
        np.asarray(stacked(*allowed), bool),
        np.asarray(stacked(unlike.neither - unlike.went, unlike.went), np.float64),
        (*OFFSETS, (-down, 0)),
    )
    return [(both[first], both[second]) for both in found]
