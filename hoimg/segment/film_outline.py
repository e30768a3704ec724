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
from hoimg.segment.film_cut import NO_EDGE, cheapest_regions
from hoimg.segment.film_edges import EdgeField, edge_field, holes_filled, settled, widened
from hoimg.segment.film_goes_on import share_going_on
from hoimg.segment.film_working import Working, to_film, too_large, work_on
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BELOW_NOISE = "film_contrast_below_noise"
OUTSIDE_FIELD = "region_outside_field"
TOO_LARGE = "region_too_large"
NO_BACKGROUND = "region_leaves_no_background"
FOLLOWS_BONE = "film_outline_follows_bone"

REWARDS = tuple(0.006 * 1.45**n for n in range(9))
"""What a pixel inside is worth against the cost of a pixel of outline without any edge (1): from
outlines of 15 mm radius that are perfect to small ones that are poor."""
PAST_BLUR_MM = 1.6
"""The background is carried on from this far outside of the steepest line."""
NEARLY = 0.1
"""An outline that costs no more than this beyond the best one could be right as well."""


@dataclass(frozen=True, eq=False)
class _Choice:
    inside: Bools
    cost: float
    others: tuple[Bools, ...]
    edges: EdgeField


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
    inside = settled(choice.edges, choice.inside, work.valid)
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
    on_film = widened(inside, work, shape)
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
    edges = edge_field(work, work.region, settings)
    found: list[tuple[float, Bools]] = []
    for region in cheapest_regions(edges.costs, edges.worth, REWARDS, edges.allowed):
        inside = holes_filled(region)
        if inside.any():
            found.append((edges.cost_of(inside), inside))
    if not found:
        return None
    cost, inside = min(found, key=lambda one: one[0])
    others = tuple(other for more, other in found if more <= cost + NEARLY)
    return _Choice(inside, cost, others, edges)


def _own_edge_cost(choice: _Choice, inside: Bools, work: Working, settings: FilmSettings) -> float:
    """Mean cost of an outline, edges that go on outside of it counted as none."""
    edges = choice.edges
    gradients = edges.whole_gradient_yx, edges.gradient_yx
    share = share_going_on(gradients, inside, edges.typical, work.spacing_mm, settings)
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


def _flags(work: Working, choice: _Choice) -> tuple[str, ...]:
    from scipy import ndimage

    inside = choice.inside
    flags = []
    framed = np.pad(inside & work.valid, 1)
    off = np.pad(~work.valid, 1, constant_values=False) | _frame(work)
    if (ndimage.binary_dilation(framed) & off).any():
        flags.append("touches_fov")
    if (choice.edges.native_on & inside).sum() * work.spacing_mm > 3.0:
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
