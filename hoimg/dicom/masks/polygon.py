"""Closed contours into pixels: a pixel is inside when its centre is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def fill(contours: Sequence[Float], rows: int, columns: int) -> NDArray[np.bool_]:
    """Fill closed polygons by the even-odd rule.

    A contour inside another one is a hole, and so is what a keyhole goes round. Borders are half
    open: a centre that lies exactly on one belongs to the region below or right of it, so that
    two regions with a common border share no pixel and leave none out.

    Args:
        contours: Each ``(n, 2)``: row and column of its points, in pixels; pixel centres are
            whole numbers. Not repeated at the end.
        rows: Rows of the result.
        columns: Columns of the result.
    """
    toggles = np.zeros((rows, columns + 1), dtype=bool)
    for points in contours:
        # every edge from its upper end, so that neighbours round a common border alike
        after = np.roll(points, -1, axis=0)
        down = (points[:, 0] <= after[:, 0])[:, None]
        (row, column), (next_row, next_column) = (
            np.where(down, points, after).T,
            np.where(down, after, points).T,
        )
        # pixel rows that an edge crosses: centres from the upper end on, to before the lower
        first, last = np.ceil(row).astype(np.int64), np.ceil(next_row).astype(np.int64)
        first, last = np.clip(first, 0, rows), np.clip(last, 0, rows)
        count = last - first
        edge = np.repeat(np.arange(len(row)), count)
        within = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        crossed = first[edge] + within
        slope = (next_column - column)[edge] / (next_row - row)[edge]
        at = column[edge] + (crossed - row[edge]) * slope
        start = np.clip(np.ceil(at), 0, columns).astype(np.int64)
        np.logical_xor.at(toggles, (crossed, start), True)
    inside: NDArray[np.bool_] = np.logical_xor.accumulate(toggles[:, :columns], axis=1)
    return inside
