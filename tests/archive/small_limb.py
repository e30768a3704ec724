"""A limb that is small enough to be analysed in seconds, with a bony ball beside its shaft."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, write_study


def limb(seed: int) -> CTVolume:
    """A cylinder of muscle in fat with a shaft of bone and a bony ball beside it."""
    grid = Grid((24, 64, 64), (2.0, 1.6, 1.6), (-50.0, -50.0, 0.0))
    axes = [step * np.arange(n) for n, step in zip((24, 64, 64), (2.0, 1.6, 1.6), strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    hu = np.full(grid.size_zyx, -1000.0)
    hu[np.hypot(x - 50, y - 50) < 44] = -100
    hu[np.hypot(x - 50, y - 50) < 40] = 55
    hu[np.hypot(x - 62, y - 45) < 12] = 1200
    hu[np.hypot(x - 62, y - 45) < 8] = -40
    hu[np.sqrt((x - 26) ** 2 + (y - 54) ** 2 + (z - 24) ** 2) < 9] = 700
    hu += default_rng(seed).normal(0, 10, hu.shape)
    return CTVolume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), grid)


def write(folder: Path, patient: str, seed: int) -> Path:
    """One study, uncompressed."""
    spec = StudySpec(
        [SeriesSpec(limb(seed))],
        dt.date(2020, 1, 1),
        patient_id=patient,
        seed=patient,
        localizer=False,
        compression="none",
    )
    write_study(spec, folder)
    return folder


def slices(folder: Path) -> list[Path]:
    """The files of a folder."""
    return sorted(p for p in folder.rglob("*") if p.is_file())
