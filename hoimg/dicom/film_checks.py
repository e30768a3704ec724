"""What only a film's pixels show: that it may be inverted, that a plate holds two exposures.

Nothing is corrected here. A film that looks inverted may be one (its tags lie) or may be unusual;
turning it round on a suspicion would be worse than saying so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.image import Radiograph
from hoimg.results import Finding

SIDE = 256
"""Pixels of the longer side at which polarity is judged: bone's edges are 1-4 of them wide."""
LEAST_SIDE = 48
"""Shorter films hold too few edges to judge."""
FRAME = 0.03
"""Share of the shorter side that counts as the film's frame, where air and not the body is."""
SKEW = -0.05
"""Mean skewness of fine detail below which a film shows dark lines rather than light ones. Three
real films and twelve projections of CT have 0.07 to 1.3 (and exactly the negative when inverted).
Of random halves of them, 2 % are doubted wrongly and 73 % rightly when inverted."""
PLATEAU = 0.03
"""What is this close to a film's highest value (share of its range) is unexposed."""
FULL = 0.98
"""Share of a line of pixels that is unexposed between two exposures; writing may lie across it."""
NARROWEST, WIDEST, SIDES = 0.005, 0.25, 0.15
"""A band between two exposures, and what is left on either side, as shares of the side."""


def check_film(film: Radiograph) -> tuple[Finding, ...]:
    """Judge a film by its pixels.

    Returns:
        ``polarity_doubtful`` when both its fine detail (cortex makes thin light lines, never dark
        ones) and its frame (air is darker than the body) look inverted; ``two_exposures`` when a
        straight unexposed band parts the plate. Nothing found is no proof: a collimated film has
        light margins either way, and a band that was painted black is not seen.
    """
    found = []
    if looks_inverted(film):
        said = "Fine detail is darker than what surrounds it, and the frame lighter."
        found.append(finding("polarity_doubtful", said))
    if (band := exposure_gap(film)) is not None:
        axis, first, last = band
        said = f"Unexposed {('rows', 'columns')[axis]} {first} to {last} part the plate."
        found.append(finding("two_exposures", said))
    return tuple(found)


def looks_inverted(film: Radiograph) -> bool:
    """Whether detail and frame both look as on a film that shows bone dark.

    Grey values are replaced by their ranks, so that window and look-up tables do not matter and an
    inverted film gives exactly the negative.
    """
    from scipy import ndimage

    step = max(1, round(max(film.pixels.shape) / SIDE))
    small = ndimage.uniform_filter(film.pixels, step)[::step, ::step]
    if min(small.shape) < LEAST_SIDE:
        return False
    known = np.ones(small.shape, bool) if film.valid is None else film.valid[::step, ::step]
    ranks = np.full(small.shape, 0.5)
    ranks[known] = _ranks(small[known])
    frame = max(2, round(min(small.shape) * FRAME))
    edge = np.ones(small.shape, bool)
    edge[frame:-frame, frame:-frame] = False
    # Within 8 pixels of the margin, or of padding, smoothing sees what is not there.
    inner = ndimage.binary_erosion(known, iterations=8, border_value=0)
    if not inner.any() or not (edge & known).any():
        return False
    skews = []
    for sigma in (1.0, 2.0):
        fine = ndimage.gaussian_filter(ranks, sigma) - ndimage.gaussian_filter(ranks, 2 * sigma)
        values = fine[inner]
        power = float(np.mean(values**2))
        skews.append(float(np.mean(values**3)) / power**1.5 if power > 0 else 0.0)
    return sum(skews) / len(skews) < SKEW and float(ranks[edge & known].mean()) > 0.5


def exposure_gap(film: Radiograph) -> tuple[int, int, int] | None:
    """The straight band, parallel to a side, that parts two exposures on one plate.

    Returns:
        Axis (0: the band is made of rows, 1: of columns), its first and last line; or None.
    """
    known = film.pixels if film.valid is None else film.pixels[film.valid]
    if not known.size:
        return None
    low, high = np.percentile(known, (0.5, 99.5))
    if high <= low:
        return None
    empty = film.pixels >= high - PLATEAU * (high - low)
    for axis in (0, 1):
        lines = empty.mean(axis=1 - axis) >= FULL
        band = _middle_run(lines)
        if band is not None:
            return axis, *band
    return None


def _middle_run(lines: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last of the one run of true lines that leaves an exposure on either side."""
    length = len(lines)
    steps = np.flatnonzero(np.diff(np.concatenate(([False], lines, [False])).astype(np.int8)))
    runs = [
        (int(first), int(stop) - 1)
        for first, stop in zip(steps[::2], steps[1::2], strict=True)
        if NARROWEST * length <= stop - first <= WIDEST * length
        and np.count_nonzero(~lines[:first]) >= SIDES * length
        and np.count_nonzero(~lines[stop:]) >= SIDES * length
    ]
    return runs[0] if len(runs) == 1 else None


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Each value's share of lower values, ties at their middle: between 0 and 1."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(values)
    return np.asarray(middle[place.ravel()])
