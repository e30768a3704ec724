"""What places one film on another: shift, turn in the plane, and scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_working import spacing_of
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Similarity:
    """``later = at + scale * R(turn) (earlier - pivot)``, mm from each film's upper left corner.

    Attributes:
        scale: Millimetres of the later film for one of the earlier one.
        turn_deg: From the y axis (down) to the x axis.
        pivot_yx_mm: On the earlier film: the lesion's middle.
        at_yx_mm: Where that lies on the later film.
    """

    scale: float
    turn_deg: float
    pivot_yx_mm: tuple[float, float]
    at_yx_mm: tuple[float, float]

    def _matrix(self) -> Floats:
        a = math.radians(self.turn_deg)
        return self.scale * np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])

    def forward(self, points_yx_mm: Floats) -> Floats:
        """Points of the earlier film on the later one, ``(..., 2)``."""
        away = points_yx_mm - np.asarray(self.pivot_yx_mm)
        return np.asarray(away @ self._matrix().T + np.asarray(self.at_yx_mm))

    def backward(self, points_yx_mm: Floats) -> Floats:
        """Points of the later film on the earlier one."""
        away = points_yx_mm - np.asarray(self.at_yx_mm)
        return np.asarray(away @ np.linalg.inv(self._matrix()).T + np.asarray(self.pivot_yx_mm))

    @property
    def inverse(self) -> Similarity:
        """The same from the later film to the earlier one."""
        return Similarity(1.0 / self.scale, -self.turn_deg, self.at_yx_mm, self.pivot_yx_mm)


def carried(
    mask_yx: Bools,
    similarity: Similarity,
    earlier: Radiograph,
    later: Radiograph,
    settings: FilmSettings,
) -> Bools:
    """A mask of the earlier film on the pixels of the later one; what falls beyond it is lost."""
    moved = resampled(mask_yx, similarity, earlier, later, settings)
    return np.asarray(moved >= 0.5)


def resampled(
    values_yx: NDArray[Any],
    similarity: Similarity,
    earlier: Radiograph,
    later: Radiograph,
    settings: FilmSettings,
) -> NDArray[np.float32]:
    """Values on the earlier film's pixels, on those of the later one; linear, 0 beyond it.

    Args:
        values_yx: ``[y, x]``.
        similarity: From the earlier film to the later one.
        earlier: Whose pixels they are on.
        later: Whose pixels they come to.
        settings: The spacing that is assumed where a film has none.
    """
    from scipy import ndimage

    before = np.asarray(spacing_of(earlier, settings))
    after = np.asarray(spacing_of(later, settings))
    corner = similarity.backward(0.5 * after) / before - 0.5
    steps = [
        similarity.backward((0.5 + np.eye(2)[k]) * after) / before - 0.5 - corner for k in (0, 1)
    ]
    moved = ndimage.affine_transform(
        values_yx.astype(np.float32),
        np.stack(steps, axis=1),
        corner,
        output_shape=later.pixels.shape,
        order=1,
        mode="constant",
    )
    return np.asarray(moved)
