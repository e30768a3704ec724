"""Lines across an outline on a film: how high the edge rises, how wide it is, whether it is a line.

The same reading serves a lesion's outline and the film's own cortex, so that both can be compared.
Distances are in mm along the line, negative inside; grey levels are film units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP_MM = 0.15
DISTANCES_MM: Floats = np.arange(-6.0, 4.0 + STEP_MM / 2, STEP_MM)
POINT_MM = 0.5
"""Distance between two lines along an outline."""
SMOOTH_MM = 1.5
"""Lines are averaged with their neighbours along the outline by a Gaussian of this deviation."""
OUTER_MM = 0.8, 2.5
"""Where the level outside is read."""
PEAK_MM = -3.0, 0.6
"""Where the highest level of an edge is looked for."""
INNER_MM = 3.0
"""The inner side of a line is looked for this far behind it."""


@dataclass(frozen=True, eq=False)
class FilmEdges:
    """What was read from ``n`` lines, film units and mm.

    Attributes:
        outside: The level outside.
        rise: Highest level of the edge less the level outside.
        width_mm: 10-90 % width of the rise; NaN where it is not crossed.
        fall: Part of the rise by which the film falls again inside, 0..1.
    """

    outside: Floats
    rise: Floats
    width_mm: Floats
    fall: Floats


def contours(
    inside_yx: NDArray[np.bool_], spacing_yx_mm: tuple[float, float]
) -> list[tuple[Floats, Floats]]:
    """Points every half millimetre along each outline, and outward normals, mm.

    Points on the film's own edge are left out. ``(n, 2)`` each, rows then columns, 0 in the middle
    of the first pixel.
    """
    from scipy import ndimage
    from skimage import measure

    size = np.array(spacing_yx_mm)
    found = []
    for line in measure.find_contours(np.pad(inside_yx, 1).astype(np.float32), 0.5):
        closed = (line - 1.0) * size
        steps = np.hypot(*np.diff(closed, axis=0).T)
        length = np.concatenate([[0.0], np.cumsum(steps)])
        count = int(length[-1] / POINT_MM)
        if count < 8:
            continue
        at = np.arange(count) * length[-1] / count
        points = np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], 1)
        # The stairs of the pixels.
        points = ndimage.gaussian_filter1d(points, 1.0, axis=0, mode="wrap")
        along = ndimage.gaussian_filter1d(points, 2.0, axis=0, order=1, mode="wrap")
        along /= np.maximum(np.hypot(*along.T), 1e-12)[:, None]
        normals = np.stack([-along[:, 1], along[:, 0]], 1)
        pixel = np.rint((points + normals) / size).astype(int)
        pixel = np.clip(pixel, 0, np.array(inside_yx.shape) - 1)
        if inside_yx[pixel[:, 0], pixel[:, 1]].mean() > 0.5:
            normals = -normals
        last = (np.array(inside_yx.shape) - 1) * size
        ends = ((points < 1.0) | (points > last - 1.0)).any(1)
        if not ends.all():
            found.append((points[~ends], normals[~ends]))
    return found


def read_lines(
    pixels_yx: NDArray[np.float32],
    spacing_yx_mm: tuple[float, float],
    points_mm: Floats,
    normals: Floats,
    *,
    in_order: bool,
) -> Floats:
    """Film units along lines through points, ``(n, len(DISTANCES_MM))``.

    With ``in_order`` the points follow each other round an outline, and lines are averaged with
    their neighbours.
    """
    from scipy import ndimage

    if len(points_mm) == 0:
        return np.zeros((0, len(DISTANCES_MM)))
    at = points_mm[:, None, :] + DISTANCES_MM[None, :, None] * normals[:, None, :]
    at = at / np.array(spacing_yx_mm)
    low = np.maximum(np.floor(at.min((0, 1))).astype(int) - 1, 0)
    high = np.ceil(at.max((0, 1))).astype(int) + 2
    part = pixels_yx[low[0] : high[0], low[1] : high[1]]
    if part.size == 0:
        return np.zeros((0, len(DISTANCES_MM)))
    index = np.moveaxis(at - low, -1, 0)
    lines = ndimage.map_coordinates(part, index, order=1, mode="nearest", output=np.float64)
    if not in_order:
        return np.asarray(lines)
    return np.asarray(ndimage.gaussian_filter1d(lines, SMOOTH_MM / POINT_MM, axis=0, mode="wrap"))


def read_edges(lines: Floats) -> FilmEdges:
    """Read each line."""
    d = DISTANCES_MM
    base = lines[:, (d >= OUTER_MM[0]) & (d <= OUTER_MM[1])].mean(1)
    places = np.flatnonzero((d >= PEAK_MM[0]) & (d <= PEAK_MM[1]))
    top = places[np.argmax(lines[:, places], axis=1)]
    rows = np.arange(len(lines))
    rise = lines[rows, top] - base
    level = (lines - base[:, None]) / np.where(rise > 0, rise, np.nan)[:, None]
    width = _crossing(level, top, 0.1) - _crossing(level, top, 0.9)
    inner = (np.arange(len(d)) <= top[:, None]) & (d >= d[top][:, None] - INNER_MM)
    lowest = np.where(inner, level, np.inf).min(1, initial=np.inf)
    fall = np.clip(1.0 - np.where(np.isfinite(lowest), lowest, 1.0), 0.0, 1.0)
    return FilmEdges(base, rise, width, fall)


def _crossing(level: Floats, top: NDArray[np.int_], at: float) -> Floats:
    """Where each line, followed outwards from its top, first falls below ``at``, mm."""
    found = np.full(len(level), np.nan)
    for row, (line, start) in enumerate(zip(level, top, strict=True)):
        below = np.flatnonzero(line[start:] < at)
        if len(below) == 0 or below[0] == 0:
            continue
        k = start + int(below[0])
        part = (line[k - 1] - at) / max(line[k - 1] - line[k], 1e-12)
        found[row] = DISTANCES_MM[k - 1] + part * STEP_MM
    return found
