"""The cheapest closed outline on a grid, by a minimum cut; costs depend on which side is inside.

A cut between an inside pixel ``p`` and an outside neighbour ``q`` costs little where the film falls
steeply from ``p`` to ``q``. Eight neighbours with the weights of Cauchy and Crofton make the length
of a cut nearly the same in all directions (Boykov and Kolmogorov 2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OFFSETS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Neighbours, rows and columns."""
FLOOR = 0.05
"""Cost of a unit of length on a perfect edge: a short outline is better than a long one."""
WRONG_WAY = 0.5
"""What a steep rise outwards adds to the cost of no edge (1)."""
_UNITS = 20000
"""Whole numbers in a cost of 1: the flow is computed with integers."""


def length_of(offset: tuple[int, int]) -> float:
    """Pixels of outline that one cut link to this neighbour stands for."""
    return math.pi / 8 / math.hypot(*offset)


def link_costs(gradient_yx: tuple[Floats, Floats], scale: float) -> Floats:
    """Cost of every directed link, ``[offset, y, x]``, length included.

    Args:
        gradient_yx: Of the film, per pixel.
        scale: A fall of this much per pixel costs 1/e of none.
    """
    down, right = gradient_yx
    costs = np.zeros((len(OFFSETS), *down.shape))
    for number, (dy, dx) in enumerate(OFFSETS):
        fall = -(down * dy + right * dx) / math.hypot(dy, dx)
        here, there = _pair(down.shape, dy, dx)
        mean = (fall[here] + fall[there]) / 2
        cost = FLOOR + np.exp(-np.clip(mean, 0, None) / scale)
        cost += WRONG_WAY * (1 - np.exp(np.clip(mean, None, 0) / scale))
        costs[number][here] = length_of((dy, dx)) * cost
    return costs


def cheapest_region(costs: Floats, reward: Floats, allowed: Bools) -> Bools:
    """The set of pixels with the least (cost of its outline - reward of its pixels).

    Args:
        costs: From :func:`link_costs`. Links across the picture's edge cost nothing.
        reward: For each pixel inside.
        allowed: Pixels that may be inside.

    Returns:
        Bool ``[y, x]``; all false when nothing is worth its outline.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count = int(allowed.sum())
    number = np.full(allowed.shape, -1)
    number[allowed] = np.arange(count)
    source, sink = count, count + 1
    leaving = np.zeros(count)
    rows, columns, values = [], [], []
    for links, here, there in _links(costs):
        p, q, v = number[here].ravel(), number[there].ravel(), links[here].ravel()
        both = (p >= 0) & (q >= 0)
        rows.append(p[both])
        columns.append(q[both])
        values.append(v[both])
        out = (p >= 0) & (q < 0)
        np.add.at(leaving, p[out], v[out])
    wins = reward[allowed] - leaving
    gain, loss = wins > 0, wins < 0
    every = np.arange(count)
    rows += [np.full(int(gain.sum()), source), every[loss]]
    columns += [every[gain], np.full(int(loss.sum()), sink)]
    values += [wins[gain], -wins[loss]]
    whole = np.rint(np.concatenate(values) * _UNITS).astype(np.int32)
    at = (np.concatenate(rows), np.concatenate(columns))
    graph = sparse.csr_matrix((whole, at), (count + 2, count + 2))
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    inside = np.zeros(allowed.shape, bool)
    inside[allowed] = reached[:count]
    return inside


def mean_cost(costs: Floats, inside: Bools) -> tuple[float, float]:
    """Cost per length of an outline, and its length in pixels, the picture's edge left out."""
    cost = length = 0.0
    for number, (links, here, there) in enumerate(_links(costs)):
        cut = inside[here] & ~inside[there]
        cost += float(links[here][cut].sum())
        length += length_of(OFFSETS[number]) * int(cut.sum())
    return (cost / length, length) if length else (math.inf, 0.0)


def _links(costs: Floats) -> Iterator[tuple[Floats, tuple[slice, slice], tuple[slice, slice]]]:
    for links, (dy, dx) in zip(costs, OFFSETS, strict=True):
        here, there = _pair(links.shape, dy, dx)
        yield links, here, there


def _pair(shape: tuple[int, ...], dy: int, dx: int) -> tuple[tuple[slice, slice], ...]:
    """Slices of all pixels that have this neighbour, and of the neighbours."""
    rows, columns = shape
    here = (slice(max(0, -dy), rows - max(0, dy)), slice(max(0, -dx), columns - max(0, dx)))
    there = (slice(max(0, dy), rows - max(0, -dy)), slice(max(0, dx), columns - max(0, -dx)))
    return here, there
