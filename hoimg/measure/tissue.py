"""Even squares of soft tissue: the scan's noise, and what the patient's own muscle and fat read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple, bounding_box

Floats = NDArray[np.float64]

SLICES = 10
"""Slices that are read: enough for a median, no full pass."""

USUAL_NOISE_HU = 15.0
"""Where no even muscle is in view."""

SQUARE_MM = 7.0
MIN_SQUARES = 30

MUSCLE_HU = (20.0, 90.0)
FAT_HU = (-150.0, -50.0)

EVEN = 1.3
"""A square is even with an SD up to this times the lower quartile: fat planes and vessels add."""


@dataclass(frozen=True, eq=False)
class Squares:
    """Squares of about 7 mm that lie wholly inside the body.

    Attributes:
        mean_hu: Their means, ``(n,)``.
        sd_hu: The SD of their pixels, ``(n,)``.
    """

    mean_hu: Floats
    sd_hu: Floats

    def even(self, between_hu: tuple[float, float]) -> Squares | None:
        """Those of one tissue with little in them but noise; None with fewer than 30 in view."""
        low, high = between_hu
        use = (self.mean_hu > low) & (self.mean_hu < high)
        if np.count_nonzero(use) < MIN_SQUARES:
            return None
        mean, sd = self.mean_hu[use], self.sd_hu[use]
        quiet = sd <= EVEN * float(np.percentile(sd, 25))
        return Squares(mean[quiet], sd[quiet])


@dataclass(frozen=True)
class Tissues:
    """The patient's own soft tissue; None where it is not in view.

    Attributes:
        noise_hu: Noise SD of a voxel in muscle, HU.
        muscle_hu: Muscle, HU.
        fat_hu: Fat, HU.
    """

    noise_hu: float | None
    muscle_hu: float | None
    fat_hu: float | None


def own_tissues(hu: NDArray[np.generic], spacing_mm: Triple, body: NDArray[np.bool_]) -> Tissues:
    """Noise, muscle and fat from up to ten slices.

    Squares of about 7 mm are sorted into muscle (20 to 90 HU) and fat (-150 to -50 HU) by their
    mean; of each the even ones count. Muscle is their median, fat the median of the
    shortest interval with half of them: septa and skin make fat denser, nothing makes it lighter.

    Args:
        hu: HU ``[z, y, x]``.
        spacing_mm: Spacing zyx, mm.
        body: The patient, filled.
    """
    squares = read_squares(hu, spacing_mm, body)
    muscle, fat = squares.even(MUSCLE_HU), squares.even(FAT_HU)
    return Tissues(
        noise_hu=None if muscle is None else float(np.median(muscle.sd_hu)),
        muscle_hu=None if muscle is None else float(np.median(muscle.mean_hu)),
        fat_hu=None if fat is None else shortest_half_middle(fat.mean_hu),
    )


def read_squares(hu: NDArray[np.generic], spacing_mm: Triple, body: NDArray[np.bool_]) -> Squares:
    """Every seventh square of up to ten slices."""
    from scipy import ndimage

    rows = np.flatnonzero(body.any(axis=(1, 2)))
    size = tuple(max(round(SQUARE_MM / s) | 1, 3) for s in spacing_mm[1:])
    means, sds = [np.empty(0)], [np.empty(0)]
    picks = rows[np.linspace(0, rows.size - 1, SLICES).round().astype(int)] if rows.size else rows
    for z in np.unique(picks):
        plane = bounding_box(body[z : z + 1])
        if plane is None:
            continue
        values = np.asarray(hu[z][plane[1], plane[2]], np.float64)
        inside = ndimage.minimum_filter(
            body[z][plane[1], plane[2]].astype(np.uint8), size, mode="constant"
        )
        mean = ndimage.uniform_filter(values, size)
        square = ndimage.uniform_filter(values * values, size)
        n = size[0] * size[1]
        sd = np.sqrt(np.maximum(square - mean * mean, 0.0) * n / (n - 1))
        use = inside != 0
        means.append(mean[use][::7])
        sds.append(sd[use][::7])
    return Squares(np.concatenate(means), np.concatenate(sds))


def shortest_half_middle(values: Floats) -> float:
    """Middle of the shortest interval that holds half of the values (the mode's neighbourhood)."""
    ordered = np.sort(values)
    half = (ordered.size + 1) // 2
    widths = ordered[half - 1 :] - ordered[: ordered.size - half + 1]
    first = int(widths.argmin())
    return float(np.median(ordered[first : first + half]))
