"""What edges enclose on one picture of a part and not on another of it: not how bright it is.

Sides of a body differ by more than a lesion adds: bowel, a turned leg, bone that lies 3 mm aside. A
lesion is told by an edge that runs all round it and that the other picture has not. So edges that
both have are taken away, and of all sets of places the one whose outlines lie on the steepest
edges that are left is found at once (:mod:`hoimg.segment.film_cut`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.film_cut import NO_EDGE, cheapest_region, link_costs, mean_cost
from hoimg.segment.film_even import disc, mean_near

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Gradient = tuple[NDArray[np.float64], NDArray[np.float64]]

EDGE_SIGMA_MM = 1.2
"""Of the Gaussian whose derivative is the gradient."""
USUAL_MM = 12.0
"""An edge is measured by the gradient that is usual (median) so near: bowel and thigh differ."""
LEAST_USUAL = 0.1
"""Quantile of the picture's gradients below which none is usual: even parts have noise alone."""
AROUND_MM = 14.0
"""Standard deviation of the neighbourhood than which a lesion is brighter."""
BRIGHTER = 0.15
"""By so much (standard deviations of 25 mm, of the evened picture) a pixel counts whole."""
REWARDS = (0.06, 0.1, 0.16, 0.25, 0.4)
"""What such a pixel is worth against a pixel of outline without any edge: from large places with
poor edges to small ones."""
BESIDE_MM = 1.5, 5.0
"""How far beside a place it is looked at how uneven its surroundings are."""
UNEVEN_COST = 0.4
"""What each standard deviation (of 25 mm) of unevenness takes from how closed a place counts;
simulated films, tuning seeds: 0.3 to 0.7 do nearly the same."""
ALIKE = 0.3
"""Two places that share this part of the smaller one are one."""


@dataclass(frozen=True, eq=False)
class Enclosed:
    """A place that edges enclose.

    Attributes:
        region: Bool ``[y, x]``, holes filled.
        closed: How steep and how closed its outline is: 1 a steep edge all round, 0 none.
        uneven: Spread of the evened film beside it.
    """

    region: Bools
    closed: float
    uneven: float

    @property
    def score(self) -> float:
        """How clear it is, 0 to 1: bowel and bone have edges everywhere."""
        return max(self.closed - UNEVEN_COST * self.uneven, 0.0)


def enclosed(
    even: Floats,
    other: Floats,
    body: tuple[Bools, Bools],
    usable: Bools,
    step_mm: float,
    tolerance_mm: float,
) -> list[Enclosed]:
    """Places that are brighter than what is round them, with edges that the other has not.

    Args:
        even: A film, made even (:func:`hoimg.segment.film_even.made_even`).
        other: The other one, laid on it.
        body: Where the patient is on both.
        usable: Where both can be compared.
        step_mm: Pixel size.
        tolerance_mm: How exactly the other is laid: an edge so near it is the same.

    Returns:
        The clearest first; of places that overlap, the better closed one.
    """
    from scipy import ndimage

    if not usable.any():
        return []
    costs = link_costs(_own_edges(even, other, usable, step_mm, tolerance_mm), 1.0)
    higher, theirs = (
        values - mean_near(values, inside, AROUND_MM / step_mm)
        for values, inside in zip((even, other), body, strict=True)
    )
    worth = np.clip(np.minimum(higher, higher - theirs) / BRIGHTER, -1, 1).astype(np.float64)
    found: list[Enclosed] = []
    for reward in REWARDS:
        inside = ndimage.binary_fill_holes(cheapest_region(costs, reward * worth, usable))
        pieces, count = ndimage.label(inside)
        for number in range(1, count + 1):
            region = pieces == number
            cost, _ = mean_cost(costs, region)
            closed = float(np.clip(NO_EDGE - cost, 0, 1))
            found.append(Enclosed(region, closed, _uneven(even, region, body[0], step_mm)))
    return sorted(_best(found), key=lambda one: -one.score)


def _uneven(even: Floats, region: Bools, body: Bools, step_mm: float) -> float:
    """Spread of the values beside a place; 0 where there are none."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~region) * step_mm
    beside = even[body & (away > BESIDE_MM[0]) & (away <= BESIDE_MM[1])]
    return float(beside.std()) if beside.size else 0.0


def _own_edges(
    even: Floats, other: Floats, usable: Bools, step_mm: float, tolerance_mm: float
) -> Gradient:
    """The gradient without what the other has of it near, in units of what is usual around."""
    from scipy import ndimage

    sigma = EDGE_SIGMA_MM / step_mm
    (down, right), (its_down, its_right) = (
        tuple(
            ndimage.gaussian_filter(v.astype(np.float64), sigma, order=o) for o in ((1, 0), (0, 1))
        )
        for v in (even, other)
    )
    strength = np.hypot(down, right)
    # The largest part along this edge of any gradient of the other picture near.
    shared = np.zeros(strength.shape)
    near = disc(tolerance_mm / step_mm)
    middle = near.shape[0] // 2
    for y, x in np.argwhere(near) - middle:
        shift = (int(y), int(x))
        theirs = down * np.roll(its_down, shift, (0, 1)) + right * np.roll(its_right, shift, (0, 1))
        np.maximum(shared, theirs, out=shared)
    shared /= np.maximum(strength, 1e-12)
    own = np.clip(1 - shared / np.maximum(strength, 1e-12), 0, 1)
    # A median over a wide neighbourhood, of every second pixel: it changes slowly.
    half = strength[::2, ::2].astype(np.float32)
    usual = ndimage.median_filter(half, footprint=disc(USUAL_MM / step_mm / 2))
    usual = np.repeat(np.repeat(usual, 2, 0), 2, 1)[: even.shape[0], : even.shape[1]]
    least = float(np.quantile(strength[usable], LEAST_USUAL))
    scale = own / np.maximum(usual, max(least, 1e-6))
    return down * scale, right * scale


def _best(found: list[Enclosed]) -> list[Enclosed]:
    """The best closed first, without those that overlap a better one."""
    kept: list[Enclosed] = []
    for one in sorted(found, key=lambda e: -e.closed):
        size = int(one.region.sum())
        shared = ((int((one.region & k.region).sum()), int(k.region.sum())) for k in kept)
        if all(both < ALIKE * min(size, other) for both, other in shared):
            kept.append(one)
    return kept
