"""Slices at their true places onto a regular grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.types import Stack
from hoimg.geometry import Grid
from hoimg.image import CTVolume


def place(hu: NDArray[Any], padded: NDArray[np.bool_] | None, stack: Stack, grid: Grid) -> CTVolume:
    """Put slices on the grid of their series.

    Args:
        hu: HU ``[slice, y, x]`` in the order of ``stack.slices``.
        padded: Where the file marks padding; None for nowhere.
        stack: Where each slice lies.
        grid: The grid to fill.

    Returns:
        The volume; ``valid`` is false where the scanner wrote padding.
    """
    return CTVolume(hu, grid, None if padded is None else ~padded)
