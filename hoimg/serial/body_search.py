"""One stiff body looked for on the way from its nearest bone's motion to those of other bones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.body import Body
from hoimg.serial.placement import Registration, between
from hoimg.serial.surface import Matrix4, Points, move
from hoimg.settings import SerialSettings

STEP_MM = 1.5
"""Places that are tried lie so near to each other."""
REACH_MM, LEAST_WAY_MM = 80.0, 1.0
"""A bone farther away than this is not asked, nor one that moves the lesion by less than this."""
APART_MM = 5.0
"""Another place that is as alike counts as a rival from this far on."""


def searched(
    points: Points,
    likeness: Callable[[Matrix4], float],
    found: Registration,
    least: float,
    settings: SerialSettings,
) -> Body | None:
    """A body at the one place that is most like it.

    Args:
        points: The body's points in the fixed exam, ``(n, 3)``, LPS mm.
        likeness: How alike the body is where a motion, 4x4, lays it: a correlation.
        found: The registration by bones and tissue.
        least: Likeness that the place must reach.
        settings: ``min_lesion_lead``, ``min_lesion_gain``.

    Returns:
        None where no bone moved against its nearest one, no place is alike enough, or another place
        is nearly as alike.
    """
    ways = _ways(points, found)
    if not ways:
        return None
    by_way = [np.array([likeness(motion) for motion in way]) for way in ways]
    tried, alike = np.concatenate(ways), np.concatenate(by_way)
    best = int(alike.argmax())
    if alike[best] < least:
        return None
    places = np.stack([move(motion, points) for motion in tried])
    off = np.linalg.norm(places - places[best], axis=2).mean(axis=1)
    peaks = np.concatenate([_peaks(part) for part in by_way])
    rivals = alike[peaks & (off > APART_MM)]
    if len(rivals) and rivals.max() > alike[best] - settings.min_lesion_lead:
        return None
    start = found.body_motion(points)
    kept = likeness(start) > alike[best] - settings.min_lesion_gain
    return Body(points, start if kept else tried[best], float(alike[best]))


def _ways(points: Points, found: Registration) -> list[NDArray[np.float64]]:
    """Motions ``(k, 4, 4)`` from that of the nearest bone to that of each other near one."""
    parts = [part for part in found.parts if part.accepted]
    away = np.array([part.distance_mm(points).min() for part in parts])
    near = int(away.argmin())
    ways = []
    for k, part in enumerate(parts):
        if k == near or away[k] > REACH_MM:
            continue
        ends = [move(parts[near].matrix_lps, points), move(part.matrix_lps, points)]
        long = float(np.linalg.norm(ends[0] - ends[1], axis=1).max())
        if long > LEAST_WAY_MM:
            share = np.linspace(0, 1, int(np.ceil(long / STEP_MM)) + 1)
            both = [parts[near].matrix_lps, part.matrix_lps]
            ways.append(between(both, np.stack([1 - share, share])))
    return ways


def _peaks(alike: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Places of a way at which neither neighbour is more alike."""
    wide = np.pad(alike, 1, constant_values=-np.inf)
    peaks: NDArray[np.bool_] = (alike >= wide[:-2]) & (alike >= wide[2:])
    return peaks


def correlation(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    counts: NDArray[np.float64],
    noise: float,
) -> float:
    """Weighted correlation of two values at each point, each variance raised by the noise's."""
    weight = counts / counts.sum()
    one, two = ours - weight @ ours, theirs - weight @ theirs
    floor = noise**2
    spread, wide = weight @ one**2 + floor, weight @ two**2 + floor
    return float(weight @ (one * two) / np.sqrt(spread * wide))
