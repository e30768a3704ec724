"""A small digital limb with one ossification, written as DICOM exams; fast enough for units.

The limb is a cylinder along z with a shaft of bone that leans and carries a knob, so that it can be
registered in one way only. The ossification is a hollow ellipsoid beside it, free in muscle.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, write_study

GRID = Grid((40, 72, 72), (2.0, 1.6, 1.6), (-57.0, -57.0, 100.0))
BASELINE = dt.date(2020, 1, 1)
CENTRE = (-26.0, 4.0, 139.0)
"""Centre of the ossification in the unmoved exam, LPS mm."""


def points(shift: Sequence[float] = (0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LPS coordinates x, y, z of every voxel in the limb's own frame, each of the grid's shape."""
    axes = [
        GRID.origin_lps_mm[k]
        - shift[k]
        + GRID.spacing_zyx_mm[2 - k] * np.arange(72 if k < 2 else 40)
        for k in range(3)
    ]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return x, y, z


def depth(radius_mm: float, shift: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Signed depth below the surface of the ossification, an ellipsoid longer along z, mm."""
    x, y, z = points(shift)
    r = np.sqrt((x - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2 + ((z - CENTRE[2]) / 1.3) ** 2)
    return radius_mm - r


def limb(
    radius_mm: float | None = 9.0,
    *,
    shift: Sequence[float] = (0.0, 0.0, 0.0),
    forearm: bool = False,
    seed: int = 0,
) -> CTVolume:
    """One exam: ``radius_mm`` of the ossification (None: absent); another anatomy on wish."""
    from scipy.ndimage import gaussian_filter

    x, y, z = points(shift)
    hu = np.full(GRID.size_zyx, -1000.0, np.float32)
    hu[np.hypot(x, y) < 50] = -100  # fat
    hu[np.hypot(x, y) < 45] = 55  # muscle
    if forearm:  # two thin bones that cross: nothing to lay onto one leaning shaft
        rise = (z - 139.0) / 40.0
        for side in (-1.0, 1.0):
            r = np.hypot(x - side * 22 * rise, y - 25 * side)
            hu[r < 8] = 1200
            hu[r < 3] = -40
    else:
        lean = 0.15 * (z - 139.0)
        r = np.hypot(x - 12 - lean, y + 5)
        knob = np.sqrt((x - 22 - lean) ** 2 + (y + 14) ** 2 + (z - 118.0) ** 2)
        solid = np.minimum(r - 13, knob - 10)
        hu[solid < 0] = 1200
        hu[solid < -4] = -40
    if radius_mm is not None:
        below = depth(radius_mm, shift)
        hu[below > 0] = 900
        hu[below > 2.5] = 60
    hu = gaussian_filter(hu, (0.4, 0.5, 0.5))
    hu += np.random.default_rng(seed).normal(0, 10, hu.shape).astype(np.float32)
    return CTVolume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), GRID)


def outline(radius_mm: float, shift: Sequence[float] = (0.0, 0.0, 0.0)) -> Mask:
    """The ossification of :func:`limb` as a label map of one label."""
    return Mask((depth(radius_mm, shift) > 0).astype(np.uint16), GRID)


def write_exams(folder: Path, exams: dict[int, CTVolume]) -> Path:
    """Write one study per day after the baseline, uncompressed, under ``folder/dayN``."""
    for day, volume in exams.items():
        spec = StudySpec(
            [SeriesSpec(volume)],
            BASELINE + dt.timedelta(days=day),
            seed=str(day),
            localizer=False,
            compression="none",
        )
        write_study(spec, folder / f"day{day}")
    return folder
