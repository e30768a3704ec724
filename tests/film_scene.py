"""Films of a scene that is written down: two bones, one lesion, moved by a known similarity."""

from __future__ import annotations

import numpy as np

from hoimg.dicom import Exam
from hoimg.film_regions import PlacedRegion
from hoimg.films.analysis import FilmAnalysis, with_regions
from hoimg.image import Radiograph
from hoimg.serial.film_similarity import Similarity
from hoimg.settings import Settings

STEP = 0.3
LESION = (62.0, 84.0)


def _smooth_step(depth_mm: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-depth_mm / 0.4))


def scene(
    y: np.ndarray,
    x: np.ndarray,
    deep_mm: float = 0.0,
    grown: float = 1.0,
    rim: float = 0.0,
    aside_mm: float = 0.0,
) -> np.ndarray:
    """A femur-like and a pelvis-like part, mm; the second lies deeper and shifts by ``deep_mm``.

    The lesion is a disc of 7 mm times ``grown``; ``rim`` is what a line of 1.5 mm at its edge adds,
    and ``aside_mm`` how far it alone lies to the right.
    """
    shaft = _smooth_step(9 - np.abs(x - 60 + 0.1 * (y - 60)))
    marrow = _smooth_step(5 - np.abs(x - 60 + 0.1 * (y - 60)))
    head = _smooth_step(16 - np.hypot(y - 30, x - 52))
    ring = _smooth_step(22 - np.hypot((y - 35) * 1.2, x - 100 - deep_mm))
    hole = _smooth_step(11 - np.hypot(y - 37, (x - 102 - deep_mm) * 1.3))
    wing = _smooth_step(7 - np.abs((x - 95 - deep_mm) + 0.8 * (y - 95)))
    inwards = 7 * grown - np.hypot(y - LESION[0], x - LESION[1] - aside_mm)
    lesion = _smooth_step(inwards) + rim * (_smooth_step(inwards) - _smooth_step(inwards - 1.5))
    soft = 2.0 - ((y - 60) / 120) ** 2 - ((x - 70) / 110) ** 2
    bones = shaft - 0.5 * marrow + 0.8 * head + 0.9 * ring - 0.7 * hole + 0.6 * wing
    return soft + 0.5 * bones + 0.4 * lesion


def film(
    move: Similarity | None = None,
    *,
    step: float = STEP,
    size_mm: tuple[float, float] = (120.0, 140.0),
    curve: bool = False,
    noise: int = 1,
    spacing: bool = True,
    **parts: float,
) -> tuple[Radiograph, np.ndarray]:
    """A film of the scene, moved by a similarity, and the lesion's true shadow on it."""
    rows, columns = (round(s / step) for s in size_mm)
    y, x = np.meshgrid(
        (np.arange(rows) + 0.5) * step, (np.arange(columns) + 0.5) * step, indexing="ij"
    )
    places = np.stack([y, x], axis=-1)
    if move is not None:
        places = move.backward(places)
    values = scene(places[..., 0], places[..., 1], **parts)
    if curve:
        values = 4000 - 5000 * np.exp(-0.6 * values)
    spread = float(np.ptp(values))
    values = values + np.random.default_rng(noise).normal(0, 0.01 * spread, values.shape)
    middle = LESION[1] + parts.get("aside_mm", 0.0)
    away = np.hypot(places[..., 0] - LESION[0], places[..., 1] - middle)
    lesion = away < 7 * parts.get("grown", 1.0)
    known = (step, step) if spacing else None
    source = "detector_uncorrected" if spacing else "none"
    return Radiograph(values.astype(np.float32), known, source), lesion


MOVED = Similarity(1.07, 4.0, LESION, (66.0, 79.0))


def region_round(shadow: np.ndarray, margin: int = 20) -> np.ndarray:
    """A box round a shadow, pixels to each side."""
    rows, columns = (np.flatnonzero(shadow.any(axis=1 - k)) for k in (0, 1))
    region = np.zeros_like(shadow)
    region[rows[0] - margin : rows[-1] + margin, columns[0] - margin : columns[-1] + margin] = True
    return region


def analysed(
    exam: Exam, ties: tuple[str | None, ...], moved: bool = False, **parts: float
) -> FilmAnalysis:
    """A film of the scene as that exam, with a region for each tie, all round the one lesion."""
    pixels, shadow = film(MOVED if moved else None, noise=1 + moved, **parts)
    empty = FilmAnalysis(exam, pixels, (), np.zeros(shadow.shape, np.uint16), {}, ())
    regions = [PlacedRegion(k, region_round(shadow), t) for k, t in enumerate(ties, 1)]
    return with_regions(empty, regions, Settings())
