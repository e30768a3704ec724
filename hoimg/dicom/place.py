"""Slices at their true places onto a regular grid.

A regular series is taken as it stands. Slices of a tilted gantry are moved in their own plane by
cubic B-spline interpolation, held to the range of the four pixels around (a spline overshoots
beside metal); by whole pixels they are copied. Planes between slices (a gap that the user allowed,
uneven steps) are interpolated linearly. Slice after slice, so that no second volume is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.slices import SNAP_PIXELS
from hoimg.dicom.types import Stack
from hoimg.geometry import Grid
from hoimg.image import CTVolume

AIR_HU = -1000
"""Value of voxels outside of every slice."""
SNAP_STEPS = 0.02
"""A plane this close to a slice, in steps, is that slice (``intake.spacing_tolerance``)."""

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def place(hu: NDArray[Any], padded: Bools | None, stack: Stack, grid: Grid) -> CTVolume:
    """Put slices on the grid of their series.

    Args:
        hu: HU ``[slice, y, x]``, int16 or float32, in the order of ``stack.slices``.
        padded: Where the file marks padding; None for nowhere. It is used up: of a regular series
            its memory becomes ``valid``.
        stack: Where each slice lies.
        grid: The grid to fill.

    Returns:
        The volume in the type of ``hu``. ``valid`` is false where the scanner wrote padding, where
        no slice reaches (there the value is air), and in planes that lie in a gap (interpolated;
        also named in ``gap_planes``).
    """
    if stack.regular:
        return CTVolume(hu, grid, None if padded is None else np.logical_not(padded, out=padded))
    out = np.full(grid.size_zyx, AIR_HU, dtype=hu.dtype)
    valid = np.zeros(grid.size_zyx, dtype=bool)
    for plane, values, known in _planes(hu, padded, stack, grid):
        out[plane] = np.rint(values) if hu.dtype == np.int16 else values
        valid[plane] = known
    out[~valid] = AIR_HU
    gaps = gap_planes(stack, grid)
    valid[list(gaps)] = False
    return CTVolume(out, grid, None if valid.all() else valid, gaps)


def gap_planes(stack: Stack, grid: Grid) -> tuple[int, ...]:
    """Planes of the grid that lie in a gap of the stack."""
    step = grid.spacing_zyx_mm[0]
    inside: list[int] = []
    for low, high in stack.gaps_mm:
        first, last = round(low / step - 0.5) + 1, round(high / step + 0.5) - 1
        inside += [k for k in range(first, last + 1) if low - 1e-6 <= k * step <= high + 1e-6]
    return tuple(sorted(set(inside)))


def _planes(
    hu: NDArray[Any], padded: Bools | None, stack: Stack, grid: Grid
) -> Iterator[tuple[int, Floats, Bools]]:
    """Each plane of the grid that a slice lies on or that lies between two, in order."""
    step = grid.spacing_zyx_mm[0]
    pixel = grid.spacing_zyx_mm[1:]
    frame = (grid.size_zyx[1], grid.size_zyx[2])

    def moved(k: int) -> tuple[Floats, Bools]:
        shift = [mm / size for mm, size in zip(stack.shift_yx_mm[k], pixel, strict=True)]
        known = np.ones(hu.shape[1:], bool) if padded is None else ~padded[k]
        return move(hu[k], known, (shift[0], shift[1]), frame)

    places = [mm / step for mm in stack.along_mm]
    before = moved(0)
    yield (0, *before)
    for k, (low, high) in enumerate(pairwise(places), 1):
        after = moved(k)
        for plane in range(int(np.floor(low + SNAP_STEPS)) + 1, int(high + SNAP_STEPS) + 1):
            share = (plane - low) / (high - low)
            if high - plane <= SNAP_STEPS:
                yield (plane, *after)
            else:
                mixed = before[0] + np.float32(share) * (after[0] - before[0])
                yield plane, mixed, before[1] & after[1]
        before = after


def move(
    image: NDArray[Any], known: Bools, shift_yx: tuple[float, float], frame_yx: tuple[int, int]
) -> tuple[Floats, Bools]:
    """A slice moved within its plane onto a larger frame.

    Args:
        image: HU ``[y, x]``.
        known: False where nothing was measured; such pixels do not reach into others.
        shift_yx: Place of the slice's first pixel in the frame, in pixels, at least 0.
        frame_yx: Size of the frame.

    Returns:
        The frame (air outside) and where it is known: where the nearest pixel of the slice is, and
        both pixels that an interpolated one lies between.
    """
    whole = [int(np.floor(s + SNAP_PIXELS)) for s in shift_yx]
    share = [max(s - w, 0.0) for s, w in zip(shift_yx, whole, strict=True)]
    values = np.where(known, image, AIR_HU).astype(np.float32)
    for axis in (0, 1):
        if share[axis] > SNAP_PIXELS:
            values, known = _move_part(values, known, share[axis], axis)
    rows, columns = values.shape
    out = np.full(frame_yx, AIR_HU, dtype=np.float32)
    seen = np.zeros(frame_yx, dtype=bool)
    place = (slice(whole[0], whole[0] + rows), slice(whole[1], whole[1] + columns))
    out[place], seen[place] = values, known
    return out, seen


def _move_part(values: Floats, known: Bools, share: float, axis: int) -> tuple[Floats, Bools]:
    """Move by part of a pixel along an axis; the result is one pixel longer.

    Pixel m of the result lies between m - 1 and m of the slice, ``share`` before m. The first or
    the last, whichever lies more than half a pixel outside of the slice, is unknown.
    """
    from scipy import ndimage

    values, known = np.moveaxis(values, axis, 0), np.moveaxis(known, axis, 0)
    n = len(values)
    edge = [(2, 2), (0, 0)]
    coefficients = ndimage.spline_filter1d(values, order=3, axis=0, output=np.float32)
    # SciPy's filter mirrors at the edge: so do the coefficients beyond it.
    beyond = np.pad(coefficients, edge, mode="reflect")
    around = np.pad(values, edge, mode="edge")
    t = 1.0 - share
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    out = np.zeros((n + 1, values.shape[1]), np.float32)
    low, high = around[: n + 1].copy(), around[: n + 1].copy()
    for k, weight in enumerate(weights):
        out += np.float32(weight) * beyond[k : k + n + 1]
        np.minimum(low, around[k : k + n + 1], out=low)
        np.maximum(high, around[k : k + n + 1], out=high)
    np.clip(out, low, high, out=out)
    # Beyond the outermost pixel's centre nothing was measured: its own value.
    out[0], out[-1] = values[0], values[-1]
    sides = np.pad(known, [(1, 1), (0, 0)], mode="edge")
    seen = sides[:-1] & sides[1:]
    seen[-1 if share < 0.5 else 0] = False
    return np.moveaxis(out, 0, axis), np.moveaxis(seen, 0, axis)
