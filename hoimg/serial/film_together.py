"""One lesion outlined on two films at once, where they lie on each other.

What a single film leaves open, two can tell: bone that lies over a lesion's edge hides it on each
of them, and not in their difference. See ``docs/methods/film-serial.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_cut import WHOLE, link_costs
from hoimg.segment.film_cut_two import Unlike, cheapest_pairs
from hoimg.segment.film_edges import (
    EdgeField,
    edge_field,
    gradient_of,
    holes_filled,
    settling,
    widened,
)
from hoimg.segment.film_outline import NEARLY, REWARDS
from hoimg.segment.film_working import Working
from hoimg.serial.film_images import step_across
from hoimg.serial.film_laid import Laid, laid_on
from hoimg.serial.film_similarity import Similarity, carried
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNLIKE_COST = 0.05
"""Of a pixel in one outline alone where the films are alike, in pixels of outline without an edge;
also of one in neither where they differ. Chosen on simulated films, tuning set."""
PLAIN = 0.5
"""Differences of this part of the lesion's contrast are as much as none as they are plain: where a
blurred edge has its place."""
BLUR_MM = 0.7
SHARP_PER_MM = 0.1
"""An edge of the difference that rises by this part of the lesion's contrast in 1 mm costs 1/e of
none."""
TIGHT_MM, TIGHT = 1.6, 0.1
"""An outline that lies this near to its region's border for more than this part may go on."""


@dataclass(frozen=True, eq=False)
class Together:
    """Outlines of one lesion on two films, drawn on both.

    Attributes:
        earlier_yx: Bool on the earlier film's pixels.
        later_yx: That of the later film, on the earlier one's pixels.
        edge_costs: Mean cost of either, 0.05 on perfect edges, of its film or of the difference.
        ratios: Least and largest ratio of the areas, over that of these, of other pairs that fit
            nearly as well.
    """

    earlier_yx: Bools
    later_yx: Bools
    edge_costs: tuple[float, float]
    ratios: tuple[float, float]


def outline_together(
    films: tuple[Radiograph, Radiograph],
    regions: tuple[Bools, Bools],
    outlines: tuple[Bools, Bools],
    similarity: Similarity,
    settings: FilmSettings,
) -> Together | None:
    """Outline a lesion on two films at once.

    Args:
        films: The earlier and the later one.
        regions: Where the lesion may be, each on its own film's pixels.
        outlines: As either film alone has it, both on the earlier film's pixels: they tell the
            lesion's contrast, and nothing else.
        similarity: From the earlier film to the later one.
        settings: Thresholds.

    Returns:
        None where the films do not lie on each other there, where no outlines lie on edges that are
        good enough, or where they end at the border of a region.
    """
    back = carried(regions[1], similarity.inverse, films[1], films[0], settings)
    laid = laid_on(films[0], films[1], regions[0] | back, similarity, settings)
    if laid is None:
        return None
    works = laid.earlier, laid.later
    own = tuple(
        _on_grid(r, laid.earlier) & w.valid for r, w in zip((regions[0], back), works, strict=True)
    )
    contrast = _contrast(laid, outlines)
    if not contrast > 0 or not all(r.any() for r in own) or max(r.sum() for r in own) > WHOLE:
        return None
    fields = tuple(
        _with_difference(edge_field(w, r, settings), laid, contrast, first)
        for w, r, first in zip(works, own, (True, False), strict=True)
    )
    unlike = _unlike(laid, contrast)
    chosen = _chosen(fields, unlike)
    if chosen is None:
        return None
    pair, costs, ratios = chosen
    if max(costs) > settings.outline_max_edge_cost:
        return None
    pair = _settled(fields, pair, works, unlike)
    if any(_tight(inside, f) for inside, f in zip(pair, fields, strict=True)):
        return None
    shape = films[0].pixels.shape
    one, two = (widened(inside, w, shape) for inside, w in zip(pair, works, strict=True))
    return Together(one, two, costs, ratios)


def _on_grid(mask_yx: Bools, work: Working) -> Bools:
    """A mask of the film on the working pixels, nearest."""
    at = np.meshgrid(work.rows, work.columns, indexing="ij")
    rows, columns = (np.rint(a).astype(int) for a in at)
    return np.asarray(mask_yx[rows, columns], bool)


def _contrast(laid: Laid, outlines: tuple[Bools, Bools]) -> float:
    """The lesion's step against what is round it, mean of both films, units of the later one."""
    one, two = (_on_grid(o, laid.earlier) for o in outlines)
    step = (laid.earlier.spacing_mm,) * 2
    before = laid.gain * step_across(one, laid.earlier.values, step)
    return 0.5 * (before + step_across(two, laid.later.values, step))


def _with_difference(field: EdgeField, laid: Laid, contrast: float, earlier: bool) -> EdgeField:
    """The edges of a film, or of the difference where it has a better one.

    What was added ends at the later outline, and begins at the earlier one: the difference falls
    outwards across the one and rises across the other.
    """
    spacing = field.spacing_mm
    down, right = gradient_of(laid.difference, spacing)
    if earlier:
        down, right = -down, -right
    ring = laid.earlier.around & laid.later.around
    typical = float(np.median(np.hypot(down, right)[ring]))
    costs = link_costs((down, right), max(2 * typical, SHARP_PER_MM * contrast * spacing))
    unit = 1 / laid.gain if earlier else 1.0
    own, other = field.gradient_yx, (unit * down, unit * right)
    steeper = np.hypot(*other) > np.hypot(*own)
    return replace(
        field,
        costs=np.minimum(field.costs, costs),
        gradient_yx=(np.where(steeper, other[0], own[0]), np.where(steeper, other[1], own[1])),
    )


def _unlike(laid: Laid, contrast: float) -> Unlike:
    """What it costs that outlines differ where the films do not, or the other way round."""
    from scipy import ndimage

    sigma = BLUR_MM / laid.earlier.spacing_mm
    share = ndimage.gaussian_filter(laid.difference, sigma) / contrast
    came = np.clip(1 - share / PLAIN, 0, 1)
    went = np.clip(1 + share / PLAIN, 0, 1)
    neither = np.clip(np.abs(share) / PLAIN - 1, 0, 1)
    return Unlike(UNLIKE_COST * neither, UNLIKE_COST * came, UNLIKE_COST * went)


def _chosen(
    fields: tuple[EdgeField, ...], unlike: Unlike
) -> tuple[tuple[Bools, Bools], tuple[float, float], tuple[float, float]] | None:
    """The pair on the best edges that agrees with the difference, its costs, others' ratios."""
    one, two = fields
    found: list[tuple[float, tuple[float, float], tuple[Bools, Bools]]] = []
    for regions in cheapest_pairs(
        (one.costs, two.costs), (one.worth, two.worth), REWARDS, (one.allowed, two.allowed), unlike
    ):
        before, after = (holes_filled(r) for r in regions)
        if not before.any() or not after.any():
            continue
        costs = one.cost_of(before), two.cost_of(after)
        # What the pair leaves unexplained, as a share of the lesion.
        rest = _unexplained(before, after, unlike, one.region | two.region) / before.sum()
        found.append((sum(costs) + rest, costs, (before, after)))
    if not found:
        return None
    best, costs, pair = min(found, key=lambda f: f[0])
    own = pair[1].sum() / pair[0].sum()
    ratios = [float(p[1].sum() / p[0].sum() / own) for more, _, p in found if more <= best + NEARLY]
    return pair, costs, (min(ratios), max(ratios))


def _unexplained(before: Bools, after: Bools, unlike: Unlike, region: Bools) -> float:
    """Pixels where the outlines differ and the films do not, or the other way round."""
    total = unlike.came[after & ~before].sum() + unlike.went[before & ~after].sum()
    return float(total + unlike.neither[region & ~before & ~after].sum()) / UNLIKE_COST


def _settled(
    fields: tuple[EdgeField, ...],
    pair: tuple[Bools, Bools],
    works: tuple[Working, Working],
    unlike: Unlike,
) -> tuple[Bools, Bools]:
    """Both outlines moved to the steepest places near them, still by what is unlike."""
    near = [settling(f, inside, w.valid) for f, inside, w in zip(fields, pair, works, strict=True)]
    (moved,) = cheapest_pairs(
        (near[0].costs, near[1].costs),
        (near[0].reward, near[1].reward),
        (1.0,),
        (near[0].allowed, near[1].allowed),
        unlike,
    )
    one, two = (holes_filled(m) if m.any() else was for m, was in zip(moved, pair, strict=True))
    return one, two


def _tight(inside: Bools, field: EdgeField) -> bool:
    from scipy import ndimage

    edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
    depth = ndimage.distance_transform_edt(field.region) * field.spacing_mm
    return bool((depth[edge] <= TIGHT_MM).mean() > TIGHT)
