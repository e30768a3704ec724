"""A similarity between two films refined by least squares."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.film_pair import Pair
from hoimg.serial.film_picture import evened, ranked
from hoimg.serial.film_similarity import Similarity

Floats = NDArray[np.float64]

BLURS_MM = (2.0, 1.0)
"""Coarse to fine."""
STEPS = 40
LONGEST_MM, CLOSE_MM = 3.0, 2e-3
"""Of one step of the fit, at the window's edge; a shorter one than the second ends it."""
MOST_DAMPING = 1e3
LEAST_POINTS = 400
LEAST_COMMON = 0.4
"""Share of what surrounds the lesion that has to lie on the later film."""


def fitted(pair: Pair, start: Similarity) -> tuple[Similarity, float]:
    """The start moved to where the films are most alike, and how alike they are there."""
    found, likeness = start, 0.0
    for blur in BLURS_MM:
        found, likeness = _fit(pair, found, blur)
    return found, likeness


def _fit(pair: Pair, start: Similarity, blur_mm: float) -> tuple[Similarity, float]:
    """Least squares of the evened films by Gauss and Newton, damped by Levenberg and Marquardt.

    Places that differ by more than the spread count little (Cauchy's weights): what moved on its
    own or has been added does not draw the rest along.
    """
    from scipy import ndimage

    template, known = evened(pair.earlier, pair.window, blur_mm)
    whole = np.ones(pair.later.values.shape, bool)
    film, film_known = evened(pair.later, whole, blur_mm, start.scale)
    slopes = np.gradient(film)
    step = pair.later.step_yx_mm
    planes = (film, slopes[0] / step[0], slopes[1] / step[1], film_known.astype(np.float64))
    points, values = pair.earlier.places()[known], template[known]
    away = np.linalg.norm(points - np.asarray(pair.pivot_yx_mm), axis=1)
    reach = float(away.max(initial=1.0))
    near = np.exp(-0.5 * (away / (0.6 * reach)) ** 2)
    near *= ranked(pair.earlier, pair.window)[known] ** 2  # bone, not skin against air

    def look(at: Similarity) -> tuple[float, Floats, Floats, Floats]:
        """Mean loss, differences, weights, and slopes by the four unknowns."""
        there = at.forward(points)
        pixels = pair.later.pixels_of(there).T
        seen, down, right, on = (ndimage.map_coordinates(p, pixels, order=1) for p in planes)
        y, x = (there - np.asarray(at.at_yx_mm)).T / reach
        slope = np.stack([down, right, down * y + right * x, right * y - down * x], axis=1)
        weight = near * on
        rest = values - seen
        loss = float((weight * np.log1p(rest**2)).sum() / max(float(weight.sum()), 1e-9))
        return loss, rest, weight, slope

    now, damping = start, 1e-3
    loss, rest, weight, slope = look(now)
    for _ in range(STEPS):
        if (weight > 0).sum() < LEAST_POINTS:
            return now, 0.0
        w = weight / (1.0 + rest**2)
        # Not as a product of matrices, whose order of sums is the number of threads'.
        normal = np.einsum("n,ni,nj->ij", w, slope, slope)
        along = np.einsum("n,ni->i", w * rest, slope)
        damped = normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(4)
        move = np.clip(np.linalg.solve(damped, along), -LONGEST_MM, LONGEST_MM)
        tried = replace(
            now,
            at_yx_mm=(now.at_yx_mm[0] + float(move[0]), now.at_yx_mm[1] + float(move[1])),
            scale=now.scale * math.exp(float(move[2]) / reach),
            turn_deg=now.turn_deg + math.degrees(float(move[3]) / reach),
        )
        next_loss, *others = look(tried)
        if next_loss >= loss:
            damping *= 10.0
            if damping > MOST_DAMPING:
                break
            continue
        damping = max(damping / 5.0, 1e-6)
        now, loss = tried, next_loss
        rest, weight, slope = others
        if np.abs(move).max() < CLOSE_MM:
            break
    seen = values - rest
    total = float(np.sqrt((weight * values**2).sum() * (weight * seen**2).sum()))
    common = float(weight.sum() / max(float(near.sum()), 1e-9))
    if total <= 0 or common < LEAST_COMMON:
        return now, 0.0
    return now, float((weight * values * seen).sum()) / total
