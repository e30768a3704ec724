"""The cheapest closed outline on a grid, by a minimum cut; costs depend on which side is inside.

A cut between an inside pixel ``p`` and an outside neighbour ``q`` costs little where the film falls
steeply from ``p`` to ``q``. Eight neighbours with the weights of Cauchy and Crofton make the length
of a cut nearly the same in all directions (Boykov and Kolmogorov 2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Offsets = tuple[tuple[int, int], ...]

OFFSETS: Offsets = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Neighbours, rows and columns."""
FLOOR = 0.05
"""Cost of a unit of length on a perfect edge: a short outline is better than a long one."""
NO_EDGE = FLOOR + 1.0
"""Cost where the film does not change."""
WRONG_WAY = 0.5
"""What a steep rise outwards adds to the cost of no edge (1)."""
WHOLE = 60_000
"""Pixels up to which a cut is found in one go: a square of 110 mm, larger than readers draw."""
BAND = 2
"""Coarse pixels to either side of a coarse border within which the fine one is looked for."""
_UNITS = 20000
"""Whole numbers in a cost of 1: the flow is computed with integers."""


def length_of(offset: tuple[int, int]) -> float:
    """Pixels of outline that one cut link to this neighbour stands for."""
    return math.pi / 8 / math.hypot(*offset)


def link_costs(gradient_yx: tuple[Floats, Floats], scale: float, *, even: bool = False) -> Floats:
    """Cost of every directed link, ``[offset, y, x]``, length included.

    Args:
        gradient_yx: Of the film, per pixel.
        scale: A fall of this much per pixel costs 1/e of none.
        even: Whether all of a gradient counts for a link, by the side to which it points, and not
            only its part along the link. A place on one edge then costs the same whichever way
            the edge runs, where the parts make a straight edge at 22.5 degrees to rows and columns
            cost three quarters more than one along them, and round things eight-cornered. An
            outline across an edge costs little then as well: for places near one that is known.
    """
    down, right = gradient_yx
    size = np.hypot(down, right)
    costs = np.zeros((len(OFFSETS), *down.shape))
    for number, (dy, dx) in enumerate(OFFSETS):
        fall = -(down * dy + right * dx) / math.hypot(dy, dx)
        here, there = _pair(down.shape, dy, dx)
        mean = (fall[here] + fall[there]) / 2
        if even:
            mean = np.sign(mean) * (size[here] + size[there]) / 2
        cost = FLOOR + np.exp(-np.clip(mean, 0, None) / scale)
        cost += WRONG_WAY * (1 - np.exp(np.clip(mean, None, 0) / scale))
        costs[number][here] = length_of((dy, dx)) * cost
    return costs


def cheapest_region(
    costs: Floats,
    reward: Floats,
    allowed: Bools,
    between: tuple[Bools, Bools] | None = None,
    offsets: Offsets = OFFSETS,
) -> Bools:
    """The set of pixels with the least (cost of its outline - reward of its pixels).

    Args:
        costs: From :func:`link_costs`. Links across the picture's edge cost nothing.
        reward: For each pixel inside.
        allowed: Pixels that may be inside.
        between: Pixels that are known to be inside, and all (allowed) ones that may be, where
            something is known of the answer: it is the same, and found sooner. None for nothing.
        offsets: To the neighbours that the links of ``costs`` go to.

    Returns:
        Bool ``[y, x]``; all false when nothing is worth its outline. Of several sets that cost the
        same, what they have in common.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    surely, perhaps = between or (np.zeros_like(allowed), allowed)
    asked = perhaps & ~surely
    inside = surely.copy()
    count = int(asked.sum())
    if not count:
        return inside
    number = np.full(allowed.shape, -1)
    number[asked] = np.arange(count)
    source, sink = count, count + 1
    leaving = np.zeros(count)
    wins = np.zeros(count, np.int64)
    rows, columns, values = [], [], []
    for links, here, there in _links(costs, offsets):
        p, q = number[here].ravel(), number[there].ravel()
        v = links[here].ravel()
        whole = np.rint(v * _UNITS).astype(np.int64)
        both = (p >= 0) & (q >= 0)
        rows.append(p[both])
        columns.append(q[both])
        values.append(whole[both])
        out = (p >= 0) & ~allowed[there].ravel()
        np.add.at(leaving, p[out], v[out])
        # What is known: a link to a pixel outside is cut, one from a pixel inside may be.
        cut = (p >= 0) & (q < 0) & ~out & ~surely[there].ravel()
        np.subtract.at(wins, p[cut], whole[cut])
        kept = (q >= 0) & surely[here].ravel()
        np.add.at(wins, q[kept], whole[kept])
    wins += np.rint((reward[asked] - leaving) * _UNITS).astype(np.int64)
    gain, loss = wins > 0, wins < 0
    every = np.arange(count)
    rows += [np.full(int(gain.sum()), source), every[loss]]
    columns += [every[gain], np.full(int(loss.sum()), sink)]
    values += [wins[gain], -wins[loss]]
    at = (np.concatenate(rows), np.concatenate(columns))
    capacity = np.concatenate(values).astype(np.int32)
    graph = sparse.csr_matrix((capacity, at), (count + 2, count + 2))
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    inside[asked] = reached[:count]
    return inside


def cheapest_regions(
    costs: Floats,
    worth: Floats,
    rewards: Sequence[float],
    allowed: Bools,
    fixed: Floats | None = None,
    offsets: Offsets = OFFSETS,
) -> list[Bools]:
    """:func:`cheapest_region` for several rewards, each ``fixed + reward * worth``.

    A larger reward gives a region that holds that of a smaller one (the least minimisers of a
    submodular function whose linear part grows are nested), so that the rewards are taken from both
    ends to the middle and only what lies between two regions is left open: the same regions as one
    by one, in a fraction of the time.

    Above :data:`WHOLE` pixels the regions are first found on pixels of twice the size, and then
    only near (:data:`BAND`) their border (Lombaert and others 2005, banded cuts): where a border
    lies is as exact as before, which one is chosen is decided on the coarse pixels.

    Args:
        costs: As there.
        worth: For each pixel, 0 or more.
        rewards: Ascending.
        allowed: As there.
        fixed: The part of the reward that stays, of either sign; None for none.
        offsets: As there; with others than the eight neighbours all is found on fine pixels.
    """
    if int(allowed.sum()) > WHOLE and offsets is OFFSETS and fixed is None:
        return _banded(costs, worth, rewards, allowed)
    found: dict[int, Bools] = {}
    same = 0.0 if fixed is None else fixed

    def fill(low: int, high: int) -> None:
        """All rewards between two, those left out."""
        middle = (low + high) // 2
        if middle in (low, high):
            return
        look(middle, (found[low], found[high]))
        fill(low, middle)
        fill(middle, high)

    def look(k: int, between: tuple[Bools, Bools] | None) -> None:
        reward = same + rewards[k] * worth
        found[k] = cheapest_region(costs, reward, allowed, between, offsets)

    last = len(rewards) - 1
    look(last, None)
    if last:
        look(0, (np.zeros_like(allowed), found[last]))
        fill(0, last)
    return [found[k] for k in range(len(rewards))]


def _banded(costs: Floats, worth: Floats, rewards: Sequence[float], allowed: Bools) -> list[Bools]:
    """The regions on coarse pixels, then near their border on fine ones."""
    from scipy import ndimage

    # A coarse pixel's side is two fine ones, its area four.
    rough = cheapest_regions(
        _coarse_costs(costs),
        4 * _halved(np.where(allowed, worth, 0.0)),
        rewards,
        _halved(allowed.astype(np.float64)) >= 0.5,
    )
    found: list[Bools] = []
    before = np.zeros_like(allowed)
    for reward, region in zip(rewards, rough, strict=True):
        core = ndimage.binary_erosion(region, iterations=BAND, border_value=1)
        reach = ndimage.binary_dilation(region, iterations=BAND)
        surely = (_doubled(core, allowed.shape) & allowed) | before
        perhaps = (_doubled(reach, allowed.shape) & allowed) | surely
        before = cheapest_region(costs, reward * worth, allowed, (surely, perhaps))
        found.append(before)
    return found


def _coarse_costs(costs: Floats) -> Floats:
    """Costs of links between coarse pixels, in lengths of fine ones.

    Across the border a coarse cut can lie on either of two fine ones, and takes the cheaper; along
    it, it takes both.
    """
    coarse = []
    for links, (dy, dx) in zip(costs, OFFSETS, strict=True):
        both = _paired(links)
        down, right = both.min(axis=1).mean(axis=-1), both.min(axis=-1).mean(axis=1)
        coarse.append(right if dy == 0 else down if dx == 0 else (down + right) / 2)
    return 2 * np.stack(coarse)


def _halved(values: Floats) -> Floats:
    """Means over two by two."""
    return np.asarray(_paired(values).mean(axis=(-3, -1)))


def _paired(values: Floats) -> Floats:
    """``[y, x]`` as ``[y, 2, x, 2]``; an odd last line is repeated."""
    rows, columns = values.shape
    even = np.pad(values, ((0, rows % 2), (0, columns % 2)), mode="edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)


def _doubled(mask: Bools, shape: tuple[int, ...]) -> Bools:
    return np.repeat(np.repeat(mask, 2, 0), 2, 1)[: shape[0], : shape[1]]


def mean_cost(costs: Floats, inside: Bools) -> tuple[float, float]:
    """Cost per length of an outline, and its length in pixels, the picture's edge left out."""
    cost = length = 0.0
    for number, (links, here, there) in enumerate(_links(costs)):
        cut = inside[here] & ~inside[there]
        cost += float(links[here][cut].sum())
        length += length_of(OFFSETS[number]) * int(cut.sum())
    return (cost / length, length) if length else (math.inf, 0.0)


def _links(
    costs: Floats, offsets: Offsets = OFFSETS
) -> Iterator[tuple[Floats, tuple[slice, slice], tuple[slice, slice]]]:
    for links, (dy, dx) in zip(costs, offsets, strict=True):
        here, there = _pair(links.shape, dy, dx)
        yield links, here, there


def _pair(shape: tuple[int, ...], dy: int, dx: int) -> tuple[tuple[slice, slice], ...]:
    """Slices of all pixels that have this neighbour, and of the neighbours."""
    rows, columns = shape
    here = (slice(max(0, -dy), rows - max(0, dy)), slice(max(0, -dx), columns - max(0, dx)))
    there = (slice(max(0, dy), rows - max(0, -dy)), slice(max(0, dx), columns - max(0, -dx)))
    return here, there
