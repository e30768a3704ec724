"""A limb with five lesions of known shape, given as a mask: one for each decision of a reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from limb_patient import GRID, limb, points, write_exams

import hoimg
from hoimg.guidance import Guidance
from hoimg.image import CTVolume, Mask

WRONG = (-26.0, -10.0, 112.0)
RIGHT = (-26.0, 14.0, 112.0)
DUMBBELL = ((-24.0, 4.0, 132.0), (-24.0, 4.0, 153.0))
DUMBBELL_RADII = (8.0, 5.0)
NECK = 2.5
PAIR = ((2.0, 32.0, 132.0), (2.0, 32.0, 152.0))
RADIUS = 6.0
NUMBERS = {"wrong": 1, "right": 2, "dumbbell": 3, "pair": (4, 5)}


def away(centre: tuple[float, float, float]) -> np.ndarray:
    """Distance of every voxel from a point, mm."""
    x, y, z = points()
    return np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)


def shapes() -> np.ndarray:
    """Label map of the five."""
    x, y, z = points()
    labels = np.zeros(GRID.size_zyx, np.uint16)
    labels[away(WRONG) <= RADIUS] = 1
    labels[away(RIGHT) <= RADIUS] = 2
    big, small = DUMBBELL
    bar = np.hypot(x - big[0], y - big[1]) <= NECK
    labels[bar & (z >= big[2]) & (z <= small[2])] = 3
    for centre, radius in zip(DUMBBELL, DUMBBELL_RADII, strict=True):
        labels[away(centre) <= radius] = 3
    labels[away(PAIR[0]) <= RADIUS] = 4
    labels[away(PAIR[1]) <= RADIUS] = 5
    return labels


def scene() -> CTVolume:
    hu = limb(None, seed=4).hu.copy()
    inside = shapes() > 0
    noise = np.random.default_rng(5).normal(0, 10, hu.shape)
    hu[inside] = (700 + noise)[inside]
    return CTVolume(hu, GRID)


@dataclass(frozen=True)
class Made:
    """The patient and the report.

    Attributes:
        scans: Folder of the exam.
        folder: Of the report.
        exam_id: Its only exam.
    """

    scans: Path
    folder: Path
    exam_id: str


def made_in(base: Path) -> Made:
    """Write the exam and its report."""
    scans = write_exams(base / "scans", {0: scene()})
    guidance = Guidance(mask=Mask(shapes(), GRID))
    result = hoimg.analyze_patient(hoimg.read_patient(scans), guidance=guidance)
    hoimg.write_report(result, base / "report")
    (exam,) = result.report.exams
    return Made(scans, base / "report", exam.exam_id)
