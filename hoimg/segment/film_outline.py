"""The outline of mineral in a region that a reader gives, against what lies around and behind it.

On a film shadows add, and grey levels are ordinal: no level tells mineral. What tells it is an edge
that runs round it with the brighter side inside and ends inside of the region. See
``docs/methods/film-measures.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.film_shapes import FilmOutline
from hoimg.image import Radiograph
from hoimg.segment.film_background import fill_smoothly, local_noise, steps_across
from hoimg.segment.film_cut import (
    FLOOR,
    NO_EDGE,
    cheapest_region,
    cheapest_regions,
    link_costs,
    mean_cost,
)
from hoimg.segment.film_even import disc
from hoimg.segment.film_goes_on import share_going_on
from hoimg.segment.film_native import NativeEdges, native_edges, without_native
from hoimg.segment.film_working import BLUR_SIGMA_MM, Working, to_film, too_large, work_on
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BELOW_NOISE = "film_contrast_below_noise"
OUTSIDE_FIELD = "region_outside_field"
TOO_LARGE = "region_too_large"
NO_BACKGROUND = "region_leaves_no_background"
FOLLOWS_BONE = "film_outline_follows_bone"

EDGE_SIGMA_MM = 0.4
"""Of the Gaussian whose derivative is the gradient, after the film's own blur to 1 mm."""
COARSE_SIGMA_MM = 6.0
"""Broader slopes are soft tissue that gets thicker, no edges."""
REWARDS = tuple(0.006 * 1.45**n for n in range(9))
"""What a pixel inside is worth against the cost of a pixel of outline without any edge (1): from
outlines of 15 mm radius that are perfect to small ones that are poor."""
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
ROUNDED = 0.76
"""A round body's shadow begins as the square root of the depth behind its outline; blurred by a
Gaussian, that is steepest this many standard deviations inside of the outline (calculated). For a
flat side seen edge-on it would be none."""
PAST_BLUR_MM = 1.6
"""The background is carried on from this far outside of the steepest line."""
NEARLY = 0.1
"""An outline that costs no more than this beyond the best one could be right as well."""
LOOSE_MM, LOOSE_COST = 12.0, 0.03
"""A mean margin beyond this is too loose to be what the reader meant; cost of each mm more."""


@dataclass(frozen=True, eq=False)
class _Choice:
    inside: Bools
    cost: float
    others: tuple[Bools, ...]
    native: NativeEdges
    gradient_yx: tuple[Floats, Floats]
    whole_gradient_yx: tuple[Floats, Floats]
    typical: float


def outline_in_region(
    film: Radiograph, region_yx: NDArray[np.bool_], settings: FilmSettings
) -> FilmOutline:
    """Outline the mineral in a region.

    Args:
        film: Larger is more attenuating. Without a spacing, pixels count as
            ``assumed_spacing_mm``, which sets only how much is smoothed.
        region_yx: Bool on the film's pixels; all of the lesion with some margin.
        settings: Thresholds.

    Raises:
        ValueError: when the region has another shape than the film.
    """
    if region_yx.shape != film.pixels.shape:
        raise ValueError(f"region {region_yx.shape} does not fit film {film.pixels.shape}")
    if too_large(film, region_yx, settings):
        return FilmOutline(region_yx, None, None, None, TOO_LARGE)
    work = work_on(film, region_yx, settings)
    if work is None:
        return FilmOutline(region_yx, None, None, None, OUTSIDE_FIELD)
    if not work.has_background:
        return FilmOutline(region_yx, None, None, None, NO_BACKGROUND)
    choice = _choose(work, settings)
    if choice is None:
        return FilmOutline(region_yx, None, None, None, BELOW_NOISE)
    inside = _settled(choice, work)
    background = fill_smoothly(work.values, inside, PAST_BLUR_MM / work.spacing_mm)
    noise = local_noise(work.values, inside, work.valid, work.spacing_mm)
    signal = float((work.values - background)[inside].mean())
    contrast = signal / noise if noise > 0 else math.inf
    weakest = float(np.percentile(steps_across(work.values, inside, work.spacing_mm), 25))
    faint = (
        contrast < settings.outline_min_contrast_to_noise
        or weakest < settings.outline_min_step_to_noise * noise
        or choice.cost > settings.outline_max_edge_cost
    )
    on_bone = (
        not faint
        and weakest < settings.outline_clear_step_to_noise * noise
        and _own_edge_cost(choice, inside, work, settings) > settings.outline_max_own_edge_cost
    )
    if faint or on_bone:
        why = (FOLLOWS_BONE,) if on_bone else ()
        return FilmOutline(region_yx, None, None, contrast, BELOW_NOISE, why, choice.cost)
    shape = film.pixels.shape
    on_film = _widened(inside, work, shape)
    behind = to_film(background - work.values, work, shape)
    return FilmOutline(
        region_yx,
        on_film,
        (film.pixels + np.where(on_film, behind, 0.0)).astype(np.float32),
        contrast,
        None,
        _flags(work, choice),
        choice.cost,
        *_spans(choice),
    )


def _choose(work: Working, settings: FilmSettings) -> _Choice | None:
    """The outline with the best edges that fits the region."""
    from scipy import ndimage

    spacing = work.spacing_mm
    flat = work.values - ndimage.gaussian_filter(work.values, COARSE_SIGMA_MM / spacing)
    sigma = EDGE_SIGMA_MM / spacing
    down, right = (ndimage.gaussian_filter(flat, sigma, order=o) for o in ((1, 0), (0, 1)))
    around = np.hypot(down, right)[work.around]
    typical = float(np.median(around))
    if typical <= 0:  # a film without noise
        typical = float(around.mean()) or 1e-6
    native = native_edges((down, right), work.region, typical, spacing, settings)
    whole = (down, right)
    down, right = without_native(whole, native, NATIVE_REACH_MM / spacing)
    costs = link_costs((down, right), typical)
    depth = ndimage.distance_transform_edt(work.region) * spacing
    worth = np.clip(depth / FULL_REWARD_MM, 0, 1)
    allowed = (depth > 1.0) & work.valid
    found: list[tuple[float, Bools]] = []
    for region in cheapest_regions(costs, worth, REWARDS, allowed):
        inside = ndimage.binary_fill_holes(region)
        if inside.any():
            cost, _ = mean_cost(costs, inside)
            found.append((cost + LOOSE_COST * _looseness(inside, work.region, spacing), inside))
    if not found:
        return None
    cost, inside = min(found, key=lambda one: one[0])
    others = tuple(other for more, other in found if more <= cost + NEARLY)
    return _Choice(inside, cost, others, native, (down, right), whole, typical)


def _own_edge_cost(choice: _Choice, inside: Bools, work: Working, settings: FilmSettings) -> float:
    """Mean cost of an outline, edges that go on outside of it counted as none."""
    gradients = choice.whole_gradient_yx, choice.gradient_yx
    share = share_going_on(gradients, inside, choice.typical, work.spacing_mm, settings)
    return share * NO_EDGE + (1 - share) * choice.cost


def _spans(choice: _Choice) -> tuple[tuple[float, float], tuple[float, float]]:
    """Areas and lengths of the other outlines over those of the chosen one."""
    sizes = [(float(o.sum()), _longest(o)) for o in choice.others]
    area, length = float(choice.inside.sum()), _longest(choice.inside)
    areas, lengths = ([one[k] / own for one in sizes] for k, own in ((0, area), (1, length)))
    return (min(areas), max(areas)), (min(lengths), max(lengths))


def _longest(inside: Bools) -> float:
    """Largest extent of a mask over directions 3 degrees apart, pixels."""
    angles = np.radians(np.arange(0, 180, 3))
    along = np.argwhere(inside) @ np.stack([np.sin(angles), np.cos(angles)])
    return float(np.ptp(along, axis=0).max()) + 1.0


def _settled(choice: _Choice, work: Working) -> Bools:
    """The outline moved to the steepest place near it, however steep that is.

    What chooses an outline takes every edge well above the noise as perfect, and so leaves open
    where on the edge it lies.
    """
    from scipy import ndimage

    spacing = work.spacing_mm
    down, right = choice.gradient_yx
    most = ndimage.maximum_filter(np.hypot(down, right), footprint=disc(SETTLE_MM / spacing))
    most = np.maximum(most, choice.typical)
    within = ndimage.distance_transform_edt(choice.inside) * spacing
    beyond = ndimage.distance_transform_edt(~choice.inside) * spacing
    allowed = (beyond <= SETTLE_MM) & work.region & work.valid
    costs = link_costs((down / most, right / most), SETTLED_COST, even=True)
    perfect = FLOOR + math.exp(-1 / SETTLED_COST)
    reward = np.full(within.shape, perfect * spacing / SETTLED_RADIUS_MM)
    # The core has to stay inside.
    reward[within > min(SETTLE_MM, within.max() / 2)] = 100.0
    moved = cheapest_region(costs, reward, allowed)
    return ndimage.binary_fill_holes(moved) if moved.any() else choice.inside


def _widened(inside: Bools, work: Working, shape: tuple[int, ...]) -> Bools:
    """The outline of the body on the film, from the line where its shadow is steepest."""
    from scipy import ndimage

    within = ndimage.distance_transform_edt(inside) - 0.5
    beyond = ndimage.distance_transform_edt(~inside) - 0.5
    depth = np.where(inside, within, -beyond) * work.spacing_mm
    blur = math.hypot(BLUR_SIGMA_MM, EDGE_SIGMA_MM)
    on_film = to_film(depth + 1e3, work, shape, smooth=True) - 1e3 >= -ROUNDED * blur
    return np.asarray(ndimage.binary_fill_holes(on_film), bool)


def _looseness(inside: Bools, region: Bools, spacing_mm: float) -> float:
    """Mean over the four sides of the margin beyond :data:`LOOSE_MM`, mm."""
    beyond = 0.0
    for axis in (0, 1):
        outer, inner = (np.flatnonzero(m.any(axis=1 - axis)) for m in (region, inside))
        for margin in (inner[0] - outer[0], outer[-1] - inner[-1]):
            beyond += max(float(margin) * spacing_mm - LOOSE_MM, 0.0)
    return beyond / 4


def _flags(work: Working, choice: _Choice) -> tuple[str, ...]:
    from scipy import ndimage

    inside = choice.inside
    flags = []
    framed = np.pad(inside & work.valid, 1)
    off = np.pad(~work.valid, 1, constant_values=False) | _frame(work)
    if (ndimage.binary_dilation(framed) & off).any():
        flags.append("touches_fov")
    if (choice.native.on & inside).sum() * work.spacing_mm > 3.0:
        flags.append("overlaps_cortex")
    edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
    depth = ndimage.distance_transform_edt(work.region)
    if (depth[edge] * work.spacing_mm <= 1.6).mean() > 0.1:
        flags.append("region_too_tight")
    return tuple(flags)


def _frame(work: Working) -> Bools:
    """The sides of the padded picture behind which the film ends."""
    frame = np.zeros(tuple(n + 2 for n in work.values.shape), bool)
    top, bottom, left, right = work.film_ends
    frame[0], frame[-1] = top, bottom
    frame[:, 0] |= left
    frame[:, -1] |= right
    return frame
