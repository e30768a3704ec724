"""A thinned copy of a volume for the checks of its pixels: every slice, every few rows and columns.

A check of 512x512x400 voxels must cost little beside reading them, so that all checks share one
thinned copy, one histogram and one estimate of the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume

SIDE = 128
"""Rows and columns of the thinned copy, about."""
NOISE_SLICES = 40
"""Slices in which noise is estimated, at most."""
LAG = 2
"""Voxels between the two of a pair whose difference shows noise: neighbours share theirs."""
LOW, HIGH = -4096, 8192
"""Limits of the histogram, HU; values beyond are counted at the limits."""
SOFT_HU = (-150, 150)
"""Soft tissue: fat to muscle with contrast agent."""
MIN_PAIRS = 50
"""Fewer pairs of soft-tissue voxels in a slice tell nothing of its noise."""
PADDING_HU = -1020
"""Values up to here that are spikes are padding, or air that was cut off there."""
SPIKE = 10
"""A value is a spike where it is this often more frequent than its neighbours."""
MIN_PADDING_SHARE = 0.01
"""A spike at the lowest value that holds a smaller share of the voxels is no padding."""
FILLED_FROM_HU = -950
"""From here on no value is common to many voxels of a scan; below, air and padding may be."""
FILLED_SHARE = 0.05
"""One value held by this share of the voxels was put there by software."""
_MAD_TO_SD = 1 / 0.67449


@dataclass(frozen=True, eq=False)
class Sample:
    """The thinned copy and what all checks need of it.

    Attributes:
        volume: The volume itself.
        step: Every how manieth row and column is taken.
        hu: Array ``[z, y, x]``, int16.
        valid: Where ``hu`` was measured; None for everywhere.
        counts: Voxels of each whole HU from :data:`LOW`; measured ones only.
        floor_hu: Lowest measured value.
        floor_share: Share of the measured voxels that hold the lowest value, where that is a spike
            (padding without a tag, or values cut off there); else 0.
        filled_hu: A value that so many more voxels hold than any other near it that software has
            put it there, or that the image was computed; None as a rule.
        noise_yx_hu: Per looked-at slice, noise SD from differences along y and along x, HU; nan
            where there is too little soft tissue. Array ``[slice, 2]``.
        noise_slices: Indices of these slices.
        top_hu: Highest value of each slice, at full resolution. Array ``[slice]``.
    """

    volume: CTVolume
    step: int
    hu: NDArray[np.int16]
    valid: NDArray[np.bool_] | None
    counts: NDArray[np.int64]
    floor_hu: int
    floor_share: float
    filled_hu: int | None
    noise_yx_hu: NDArray[np.float64]
    noise_slices: NDArray[np.intp]
    top_hu: NDArray[Any]

    @property
    def total(self) -> int:
        """Number of measured voxels in the copy."""
        return int(self.counts.sum())

    @property
    def noise_hu(self) -> float | None:
        """Noise SD in soft tissue, the median over slices; None when there is too little of it."""
        per_slice = np.sqrt((self.noise_yx_hu**2).mean(axis=1))
        known = per_slice[np.isfinite(per_slice)]
        return float(np.median(known)) if known.size else None

    @property
    def padding_share(self) -> float:
        """Share of the measured voxels that hold the lowest value, where that may be padding."""
        return self.floor_share if self.floor_hu <= PADDING_HU else 0.0

    def share_below(self, hu: int) -> float:
        """Share of the measured voxels below a value, HU."""
        return float(self.counts[: max(hu - LOW, 0)].sum()) / max(self.total, 1)

    def count_above(self, hu: float) -> int:
        """Voxels of the volume at full resolution above a value, HU."""
        slices = np.flatnonzero(self.top_hu > hu)
        return sum(int(np.count_nonzero(self.volume.hu[k] > hu)) for k in slices)


def sample_of(volume: CTVolume) -> Sample:
    """Thin a volume out (see :class:`Sample`)."""
    _, rows, columns = volume.hu.shape
    step = max(1, round(math.sqrt(rows * columns) / SIDE))
    hu = _as_int16(volume.hu[:, ::step, ::step])
    valid = None if volume.valid is None else volume.valid[:, ::step, ::step]
    measured = hu.ravel() if valid is None else hu[valid]
    counts = np.bincount(
        np.clip(measured, LOW, HIGH).astype(np.intp) - LOW, minlength=HIGH - LOW + 1
    )
    floor = int(measured.min()) if measured.size else 0
    filled = _filled(counts)
    noise, slices = _noise(volume, step, filled)
    return Sample(
        volume=volume,
        step=step,
        hu=hu,
        valid=valid,
        counts=counts,
        floor_hu=floor,
        floor_share=_floor_share(counts, floor),
        filled_hu=filled,
        noise_yx_hu=noise,
        noise_slices=slices,
        top_hu=np.array([plane.max() for plane in volume.hu]),
    )


def _as_int16(values: NDArray[Any]) -> NDArray[np.int16]:
    if values.dtype == np.int16:
        return np.array(values, dtype=np.int16, order="C")
    out: NDArray[np.int16] = np.rint(np.clip(values, -32768, 32767)).astype(np.int16)
    return out


def bin_of(hu: int) -> int:
    """Where a value is counted in the histogram; those beyond its ends, at its ends."""
    return min(max(hu, LOW), HIGH) - LOW


def _floor_share(counts: NDArray[np.int64], floor: int) -> float:
    at = bin_of(floor)
    beside = counts[at + 1 : at + 11].mean() if at + 1 < counts.size else 0.0
    share = float(counts[at] / max(int(counts.sum()), 1))
    return share if share >= MIN_PADDING_SHARE and counts[at] > SPIKE * beside else 0.0


def _filled(counts: NDArray[np.int64]) -> int | None:
    """A spike above air that holds many voxels."""
    first = FILLED_FROM_HU - LOW
    at = int(counts[first:].argmax()) + first
    enough = counts[at] >= FILLED_SHARE * counts.sum()
    return at + LOW if enough and at in spikes(counts) else None


def spikes(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places in a histogram whose values are far more frequent than those beside them."""
    from scipy.ndimage import uniform_filter1d

    beside = (11 * uniform_filter1d(counts.astype(float), 11, mode="constant") - counts) / 10
    return np.flatnonzero(counts > SPIKE * np.maximum(beside, 1))


def _noise(
    volume: CTVolume, step: int, filled: int | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Noise SD along y and x in soft tissue of up to :data:`NOISE_SLICES` slices."""
    count = len(volume.hu)
    slices = np.unique(np.linspace(0, count - 1, min(count, NOISE_SLICES)).round().astype(np.intp))
    out = np.full((len(slices), 2), np.nan)
    if min(volume.hu.shape[1:]) <= LAG:
        return out, slices
    low, high = SOFT_HU
    for row, z in enumerate(slices):
        plane = volume.hu[z]
        here = plane[:-LAG:step, :-LAG:step]
        soft = (here >= low) & (here <= high)
        if filled is not None:
            soft &= here != filled
        for axis, other in ((0, plane[LAG::step, :-LAG:step]), (1, plane[:-LAG:step, LAG::step])):
            both = soft & (other >= low) & (other <= high)
            if volume.valid is not None:
                both &= volume.valid[z, :-LAG:step, :-LAG:step]
            if np.count_nonzero(both) < MIN_PAIRS:
                continue
            gap = here[both].astype(np.float32) - other[both]
            mad = float(np.median(np.abs(gap)))
            out[row, axis] = mad * _MAD_TO_SD / math.sqrt(2)
    return out, slices
