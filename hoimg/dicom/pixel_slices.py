"""Whether the slices of a volume are one scan in order: none empty, repeated or from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.pixel_sample import Sample
from hoimg.dicom.pixel_scale import NOISE_FREE_HU
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

VIEW_HU = (-1000, 400)
"""Values are clipped to this range before slices are compared: metal and padding say little."""
MIN_CHANGE_HU = 5.0
"""Slices that differ by less on average are never told apart."""
JUMP_NEIGHBOURS = 5
"""Steps on each side with which a step is compared."""


def check_empty(sample: Sample, _: IntakeSettings) -> Iterator[Finding]:
    """Slices, or a whole volume, that hold one value."""
    flat = _flat(sample)
    if flat.all():
        yield finding("empty_volume", "All slices hold one value each.")
        return
    first, last = np.flatnonzero(~flat)[[0, -1]]
    inside = np.flatnonzero(flat[first : last + 1]) + first
    inside = [int(k) for k in inside if k not in sample.volume.gap_planes]
    if inside:
        yield finding("empty_slices", f"{len(inside)} slice(s) hold one value: {_named(inside)}.")
    ends = int(flat[:first].sum() + flat[last + 1 :].sum())
    if ends:
        yield finding("empty_end_slices", f"{ends} slice(s) at the ends hold one value.")


def check_repeated(sample: Sample, _: IntakeSettings) -> Iterator[Finding]:
    """Equal pixels, noise included, at two positions."""
    noise = sample.noise_hu
    if noise is None or noise < NOISE_FREE_HU:
        return  # a computed image without noise may well repeat itself
    hu = sample.volume.hu
    flat = _flat(sample)
    seen: dict[bytes, int] = {}
    again = []
    for k in np.flatnonzero(~flat):
        key = hashlib.blake2b(sample.hu[k].tobytes(), digest_size=16).digest()
        before = seen.setdefault(key, int(k))
        if before != k and np.array_equal(hu[before], hu[k]):
            again.append(int(k))
    if again:
        yield finding("repeated_slices", f"{len(again)} slice(s) repeat another: {_named(again)}.")


def check_order(sample: Sample, settings: IntakeSettings) -> Iterator[Finding]:
    """Slices from elsewhere, and abrupt changes of anatomy."""
    gaps = set(sample.volume.gap_planes)
    kept = [k for k in np.flatnonzero(~_flat(sample)) if k not in gaps]
    if len(kept) < 2 * JUMP_NEIGHBOURS:
        return
    view = np.clip(sample.hu[kept, ::2, ::2], *VIEW_HU)
    one, two = _change(view, 1), _change(view, 2)
    # one[k]: slice k to k+1; a slice from elsewhere differs from both of its neighbours, which
    # differ little from each other.
    least = np.minimum(one[:-1], one[1:])
    foreign = [
        int(k) + 1
        for k in np.flatnonzero(
            (least > settings.foreign_ratio * two) & (least > two + MIN_CHANGE_HU)
        )
    ]
    if foreign:
        said = _named([int(kept[k]) for k in foreign])
        yield finding("foreign_slice", f"{len(foreign)} slice(s) do not belong here: {said}.")
    beside = {k for f in foreign for k in (f - 1, f)}
    jumps = [k for k in _jumps(one, settings.jump_ratio) if k not in beside]
    if jumps:
        said = _named([int(kept[k]) for k in jumps])
        yield finding("slice_jump", f"Abrupt change after slice(s) {said}.")


def _jumps(one: NDArray[np.float64], ratio: float) -> list[int]:
    out = []
    for k, change in enumerate(one):
        low, high = max(k - JUMP_NEIGHBOURS, 0), k + JUMP_NEIGHBOURS + 1
        beside = np.delete(one[low:high], k - low)
        if change > ratio * np.median(beside) and change > np.max(beside) + MIN_CHANGE_HU:
            out.append(k)
    return out


def _change(view: NDArray[np.int16], lag: int) -> NDArray[np.float64]:
    """Mean absolute difference between slices ``lag`` apart, HU."""
    # clipped values span less than 16 bits, so that the difference stays in int16
    pairs = range(len(view) - lag)
    return np.array([np.abs(view[k + lag] - view[k]).mean(dtype=np.float64) for k in pairs])


def _flat(sample: Sample) -> NDArray[np.bool_]:
    lowest, highest = sample.hu.min(axis=(1, 2)), sample.hu.max(axis=(1, 2))
    flat = lowest == highest
    for k in np.flatnonzero(flat):  # the thinned copy may have missed something small
        plane = sample.volume.hu[k]
        flat[k] = plane.min() == plane.max()
    return np.asarray(flat)


def _named(slices: Sequence[int]) -> str:
    more = " ..." if len(slices) > 5 else ""
    return ", ".join(str(k) for k in slices[:5]) + more
