"""A later film laid on an earlier one round a lesion, and what it has that the earlier has not.

Native bone and soft tissue cancel in the difference; what stays is what came and went, and noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_working import Working, work_on
from hoimg.serial.film_similarity import Similarity, resampled
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROUNDS = 8
FAR_OFF = 2.5
"""Standard deviations beyond which a place tells nothing of how the films' grey levels agree."""


@dataclass(frozen=True, eq=False)
class Laid:
    """Two films on one grid, that of the earlier one.

    Attributes:
        earlier: Round the lesion.
        later: The same of the later film; its ``region`` is that of both.
        difference: Later film less what the earlier one foretells, units of the later one.
        gain: Units of the later film for one of the earlier one, mean.
    """

    earlier: Working
    later: Working
    difference: Floats
    gain: float


def laid_on(
    earlier: Radiograph,
    later: Radiograph,
    region_yx: Bools,
    similarity: Similarity,
    settings: FilmSettings,
) -> Laid | None:
    """Lay the later film on the earlier one.

    Its grey levels are foretold from the earlier one's by a polynomial of degree 2 that changes
    slowly over the picture (scatter and processing), fitted by least squares without what is far
    off: what came and went is the lesser part.

    Args:
        earlier: Film.
        later: Film, placed.
        region_yx: Where the lesion may be on either of them, on the earlier one's pixels.
        similarity: From the earlier film to the later one.
        settings: The spacing that is assumed where a film has none.

    Returns:
        None where too little is on both films, or they say nothing of each other.
    """
    moved = _moved(earlier, later, similarity, settings)
    works = work_on(earlier, region_yx, settings), work_on(moved, region_yx, settings)
    before, after = works
    # Cut out round what was exposed of the region: two boxes where it was not on either.
    if before is None or after is None or not _same_grid(before, after):
        return None
    known = before.valid & after.valid
    ring = before.around & after.around
    if not (before.has_background and after.has_background and ring.any()):
        return None
    spread = float(before.values[known].std())
    if spread <= 0:
        return None
    level = (before.values - before.values[known].mean()) / spread
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in level.shape), indexing="ij")
    terms = np.stack(
        [np.ones_like(level), level, level**2, x, y, x * y, x**2, y**2, level * x, level * y], -1
    )
    used, rest = known, np.zeros_like(level)
    weights = np.zeros(terms.shape[-1])
    for _ in range(ROUNDS):
        # Normal equations by einsum: their sums do not depend on the number of threads.
        chosen = terms[used]
        normal = np.einsum("ni,nj->ij", chosen, chosen)
        along = np.einsum("ni,n->i", chosen, after.values[used])
        weights = np.linalg.lstsq(normal, along, rcond=None)[0]
        rest = after.values - np.einsum("yxi,i->yx", terms, weights)
        middle = float(np.median(rest[used]))
        sd = 1.4826 * float(np.median(np.abs(rest[used] - middle)))
        used = known & (np.abs(rest) <= FAR_OFF * max(sd, 1e-12))
    slope = weights[1] + 2 * weights[2] * level + weights[8] * x + weights[9] * y
    gain = float(slope[known].mean()) / spread
    if not gain > 0:
        return None
    return Laid(before, after, rest, gain)


def _same_grid(one: Working, other: Working) -> bool:
    return np.array_equal(one.rows, other.rows) and np.array_equal(one.columns, other.columns)


def _moved(
    earlier: Radiograph, later: Radiograph, similarity: Similarity, settings: FilmSettings
) -> Radiograph:
    """The later film on the earlier one's pixels; not valid where it has none."""
    back = similarity.inverse
    known = np.ones(later.pixels.shape, bool) if later.valid is None else later.valid
    pixels = resampled(later.pixels, back, later, earlier, settings)
    share = resampled(known, back, later, earlier, settings)
    return replace(earlier, pixels=pixels, valid=share > 0.99)
