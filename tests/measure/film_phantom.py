"""A hip on a film, drawn by hand: discs and bars of known place, and a lesion if one is given."""

from __future__ import annotations

import numpy as np

from hoimg.image import Radiograph

SIZE = (300, 260)
HEAD_YX, HEAD = (130.0, 150.0), 25.0
"""Middle and radius of the head, mm; the patient's right hip, outside to the left."""


def grid(spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns in mm."""
    shape = [round(s / spacing) for s in SIZE]
    return tuple(np.meshgrid(*((np.arange(n) + 0.5) * spacing for n in shape), indexing="ij"))


def disc(spacing: float, y: float, x: float, r: float) -> np.ndarray:
    rows, columns = grid(spacing)
    return np.hypot(rows - y, columns - x) <= r


def box(spacing: float, y0: float, y1: float, x0: float, x1: float) -> np.ndarray:
    rows, columns = grid(spacing)
    return (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)


def bones(spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Pelvis (a wing with the socket, an ischium) and femur (head, neck, trochanter, shaft)."""
    rows, columns = grid(spacing)
    y0, x0 = HEAD_YX
    ring = disc(spacing, y0, x0, 34) & ~disc(spacing, y0, x0, 28) & (rows < y0 + 10)
    ring &= columns > x0 - 22
    pelvis = ring | box(spacing, 20, 100, 140, 175) | box(spacing, 150, 220, 160, 180)
    neck = np.abs((rows - y0) - 0.7 * (x0 - columns)) < 14
    neck &= (columns > x0 - 48) & (columns < x0 - 15)
    femur = disc(spacing, y0, x0, HEAD) | neck | box(spacing, 135, 300, 82, 112)
    return pelvis, femur


def film(
    spacing: float = 0.5,
    *,
    lesion: np.ndarray | None = None,
    source: str = "calibrated",
    mirrored: bool = False,
    skin: float = 25.0,
) -> Radiograph:
    """The hip in a block of soft tissue that gets thinner towards the skin, with a little noise.

    The skin is so many mm from the film's edge; the trochanter begins at 82.
    """
    _rows, columns = grid(spacing)
    pelvis, femur = bones(spacing)
    soft = np.sqrt(np.clip((columns - skin) / (SIZE[1] - skin), 0, 1)) * 3.0
    values = soft + 0.5 * pelvis + 0.5 * femur
    if lesion is not None:
        values = values + 0.35 * lesion
    noise = np.random.default_rng(3).normal(0, 0.004, values.shape)
    pixels = (values + noise).astype(np.float32)
    if mirrored:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    known = None if source == "none" else (spacing, spacing)
    return Radiograph(pixels, known, source)
