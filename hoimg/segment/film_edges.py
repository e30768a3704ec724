"""The edges of a film on which a lesion's outline may lie, and where on an edge it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.film_cut import FLOOR, cheapest_region, link_costs, mean_cost
from hoimg.segment.film_even import disc
from hoimg.segment.film_native import native_edges, without_native
from hoimg.segment.film_working import BLUR_SIGMA_MM, Working, to_film
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EDGE_SIGMA_MM = 0.4
"""Of the Gaussian whose derivative is the gradient, after the film's own blur to 1 mm."""
COARSE_SIGMA_MM = 6.0
"""Broader slopes are soft tissue that gets thicker, no edges."""
FULL_REWARD_MM = 6.0
"""Pixels nearer to the region's border are worth less: a reader leaves a margin."""
NATIVE_REACH_MM = 1.0
SETTLE_MM = 2.0
"""How far the outline may move to the steepest place near it."""
SETTLED_COST = 0.3
"""There, a fall of this part of the steepest one near costs 1/e of none."""
SETTLED_RADIUS_MM = 8.0
"""A shorter outline is cheaper, which draws the tips of a lesion in; a reward for what is inside
makes up for that at this radius of curvature."""
CORE_REWARD = 100.0
"""What has to stay inside."""
ROUNDED = 0.76
"""A round body's shadow begins as the square root of the depth behind its outline; blurred by a
Gaussian, that is steepest this many standard deviations inside of the outline (calculated). For a
flat side seen edge-on it would be none."""
LOOSE_MM, LOOSE_COST = 12.0, 0.03
"""A mean margin beyond this is too loose to be what the reader meant; cost of each mm more."""


@dataclass(frozen=True, eq=False)
class EdgeField:
    """What each outline in a region costs, on the pixels of a :class:`Working`.

    Attributes:
        region: Where the lesion may be, ``[y, x]``.
        allowed: Pixels that may be inside.
        worth: Of a pixel inside, 0 to 1.
        costs: Of each link, by :func:`hoimg.segment.film_cut.link_costs`.
        gradient_yx: Of the film per pixel, without edges of native bone.
        whole_gradient_yx: With them.
        native_on: Where an edge of native bone runs.
        typical: Strength of the gradient that is usual outside of the region.
        spacing_mm: Of the pixels.
    """

    region: Bools
    allowed: Bools
    worth: Floats
    costs: Floats
    gradient_yx: tuple[Floats, Floats]
    whole_gradient_yx: tuple[Floats, Floats]
    native_on: Bools
    typical: float
    spacing_mm: float

    def cost_of(self, inside: Bools) -> float:
        """Mean cost of an outline, and what it costs to lie far inside of the region."""
        loose = LOOSE_COST * _looseness(inside, self.region, self.spacing_mm)
        return mean_cost(self.costs, inside)[0] + loose


def edge_field(work: Working, region: Bools, settings: FilmSettings) -> EdgeField:
    """The edges of a film in a region.

    Args:
        work: The film round it.
        region: On its pixels.
        settings: What is native.
    """
    from scipy import ndimage

    spacing = work.spacing_mm
    whole = gradient_of(work.values, spacing)
    around = np.hypot(*whole)[work.around]
    typical = float(np.median(around))
    if typical <= 0:  # a film without noise
        typical = float(around.mean()) or 1e-6
    native = native_edges(whole, region, typical, spacing, settings)
    gradient = without_native(whole, native, NATIVE_REACH_MM / spacing)
    depth = ndimage.distance_transform_edt(region) * spacing
    return EdgeField(
        region,
        (depth > 1.0) & work.valid,
        np.clip(depth / FULL_REWARD_MM, 0, 1),
        link_costs(gradient, typical),
        gradient,
        whole,
        native.on,
        typical,
        spacing,
    )


def gradient_of(values: Floats, spacing_mm: float) -> tuple[Floats, Floats]:
    """Down and to the right, per pixel, of what is not broad."""
    from scipy import ndimage

    flat = values - ndimage.gaussian_filter(values, COARSE_SIGMA_MM / spacing_mm)
    sigma = EDGE_SIGMA_MM / spacing_mm
    down, right = (ndimage.gaussian_filter(flat, sigma, order=o) for o in ((1, 0), (0, 1)))
    return down, right


@dataclass(frozen=True, eq=False)
class Settling:
    """What a minimum cut needs to move an outline to the steepest place near it.

    Attributes:
        costs: Of each link.
        reward: Of each pixel inside.
        allowed: Pixels that may be inside.
    """

    costs: Floats
    reward: Floats
    allowed: Bools


def settling(edges: EdgeField, inside: Bools, valid: Bools) -> Settling:
    """Costs of the places near an outline, by how steep the film is there.

    What chooses an outline takes every edge well above the noise as perfect, and so leaves open
    where on the edge it lies.

    Args:
        edges: Of the film.
        inside: The outline.
        valid: What was exposed.
    """
    from scipy import ndimage

    spacing = edges.spacing_mm
    down, right = edges.gradient_yx
    most = ndimage.maximum_filter(np.hypot(down, right), footprint=disc(SETTLE_MM / spacing))
    most = np.maximum(most, edges.typical)
    within = ndimage.distance_transform_edt(inside) * spacing
    beyond = ndimage.distance_transform_edt(~inside) * spacing
    perfect = FLOOR + math.exp(-1 / SETTLED_COST)
    reward = np.full(within.shape, perfect * spacing / SETTLED_RADIUS_MM)
    reward[within > min(SETTLE_MM, within.max() / 2)] = CORE_REWARD
    return Settling(
        link_costs((down / most, right / most), SETTLED_COST, even=True),
        reward,
        (beyond <= SETTLE_MM) & edges.region & valid,
    )


def settled(edges: EdgeField, inside: Bools, valid: Bools) -> Bools:
    """The outline moved to the steepest place near it, however steep that is."""
    near = settling(edges, inside, valid)
    moved = cheapest_region(near.costs, near.reward, near.allowed)
    return holes_filled(moved) if moved.any() else inside


def widened(inside: Bools, work: Working, shape: tuple[int, ...]) -> Bools:
    """The outline of the body on the film, from the line where its shadow is steepest."""
    from scipy import ndimage

    within = ndimage.distance_transform_edt(inside) - 0.5
    beyond = ndimage.distance_transform_edt(~inside) - 0.5
    depth = np.where(inside, within, -beyond) * work.spacing_mm
    blur = math.hypot(BLUR_SIGMA_MM, EDGE_SIGMA_MM)
    on_film = to_film(depth + 1e3, work, shape, smooth=True) - 1e3 >= -ROUNDED * blur
    return holes_filled(on_film)


def holes_filled(inside: Bools) -> Bools:
    """The region with what it encloses."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(inside), bool)


def _looseness(inside: Bools, region: Bools, spacing_mm: float) -> float:
    """Mean over the four sides of the margin beyond :data:`LOOSE_MM`, mm."""
    beyond = 0.0
    for axis in (0, 1):
        outer, inner = (np.flatnonzero(m.any(axis=1 - axis)) for m in (region, inside))
        for margin in (inner[0] - outer[0], outer[-1] - inner[-1]):
            beyond += max(float(margin) * spacing_mm - LOOSE_MM, 0.0)
    return beyond / 4
