"""Outlines on a film as closed polygons that hold exactly the pixels of the mask.

Points are columns and rows as in DICOM's pixel annotations: the film's upper left corner is 0, 0,
and the first pixel's centre 0.5, 0.5 (PS3.3 C.10.5.1.2, C.18.6.1.2). They are whole and half
numbers, so that single precision keeps them exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.contours import joined, outlines
from hoimg.outlines import covered_of
from hoimg.results import Exam, FilmImages

Floats = NDArray[np.float64]

MOST_POINTS = 8191
"""GraphicData holds no more: 65534 bytes of two numbers of four bytes each (PS3.5 7.1.2)."""


def outlines_of_film(exam: Exam, images: FilmImages) -> dict[int, NDArray[np.bool_]]:
    """Each label's whole outline, ``[y, x]``: what a lower label covers in the map is part of it.

    Args:
        exam: The film in the report.
        images: Its label map.
    """
    found = {}
    for outline in exam.outlines:
        inside = images.labels_yx == outline.label
        if outline.on_film is not None:
            inside = inside | covered_of(outline, inside.shape)
        if inside.any():
            found[outline.label] = inside
    return found


def pieces_of(mask: NDArray[np.bool_]) -> list[Floats]:
    """One closed polygon ``(n, 2)`` for each piece of a mask; its last point is its first.

    Corners are cut off half-way to the next pixel, so that the area is that of the pixels less half
    a pixel for each piece, and half a pixel more for each hole.

    Args:
        mask: ``[y, x]``.
    """
    return [_closed(ring) for ring in outlines(mask)]


def one_line(mask: NDArray[np.bool_]) -> Floats:
    """All pieces of a mask as one such polygon, for where there may be one alone."""
    return _closed(joined(outlines(mask)))


def _closed(ring_yx: Floats) -> Floats:
    return np.concatenate([ring_yx, ring_yx[:1]])[:, ::-1] + 0.5
