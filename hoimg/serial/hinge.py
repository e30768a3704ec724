"""Two motions that explain a skeleton together, where the best single one is true of neither bone.

A ball in its socket fits at any turn. When most of the surface is a joint, the single motion that
fits best lies between those of the two bones, and no group of points stands out. Regions of the
skeleton say more by themselves: each descends alone, and the pair of their motions is taken that
leaves the least gap where every point may choose.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from hoimg.serial.align import OUT_OF_VIEW_MM, descend
from hoimg.serial.skin import Skin
from hoimg.serial.surface import Bones, Matrix4, Points, thin

REGIONS = 10
"""Middles of regions, each as far as can be from those before."""
REGION_SHARE = 0.25
"""A region is this share of the points, the nearest ones."""
MOST_GAP_MM = 6.0
"""A point farther off counts as this far off."""
WORTH_TRYING_MM = 0.9
"""Mean gap under one motion from which two are tried."""
PAIR_GAIN = 0.85
"""Two motions must leave less than this fraction of the mean gap that one leaves."""
ROUNDS = 2
STILL_MM = 0.02


def two_motions(skin: Skin, main: Matrix4, moving: Bones) -> list[Matrix4]:
    """The best pair of regional motions, or the main motion alone where a pair gains little.

    Args:
        skin: Points of the fixed skeleton.
        main: The best single motion, fixed LPS to moving LPS.
        moving: The skeleton it is carried onto.

    Returns:
        One or two matrices; of two the first is that of more bone.
    """

    seen = ~np.isnan(skin.gaps(main, moving))
    if np.count_nonzero(seen) < len(seen) / 4:
        return [main]

    def left(matrix: Matrix4) -> Points:
        gap = np.nan_to_num(skin.gaps(matrix, moving)[seen], nan=OUT_OF_VIEW_MM)
        return np.minimum(gap, MOST_GAP_MM)

    alone = left(main)
    if alone.mean() < WORTH_TRYING_MM:
        return [main]
    few = thin(skin.points[seen], 2000)
    chosen, gaps = [main], [alone]
    for _ in range(ROUNDS):
        tried, reach = list(chosen), list(gaps)
        for start in chosen:
            for region in _regions(few):
                found = descend(
                    region, moving, start, scales_mm=(10.0, 6.0, 3.0, 1.5), still_mm=STILL_MM
                )
                tried.append(found)
                reach.append(left(found))
        together = {
            (i, j): float(np.minimum(reach[i], reach[j]).mean())
            for i, j in combinations(range(len(tried)), 2)
        }
        best = min(together, key=lambda pair: (together[pair], pair))
        chosen, gaps = [tried[k] for k in best], [reach[k] for k in best]
    if np.minimum(*gaps).mean() >= PAIR_GAIN * alone.mean():
        return [main]
    second = gaps[1] < gaps[0]
    bone = skin.volume_mm3[seen]
    if bone[second].sum() > bone[~second].sum():
        chosen.reverse()
    return chosen


def _regions(points: Points) -> list[Points]:
    """Overlapping regions that cover the points from their ends inwards."""
    away = np.linalg.norm(points - points.mean(axis=0), axis=1)
    count = max(int(REGION_SHARE * len(points)), 1)
    found = []
    for _ in range(REGIONS):
        middle = points[int(away.argmax())]
        gap = np.linalg.norm(points - middle, axis=1)
        found.append(points[np.argsort(gap, kind="stable")[:count]])
        away = np.minimum(away, gap)
    return found
