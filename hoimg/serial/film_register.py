"""A later film of the same view placed onto an earlier one by the bone round a lesion.

A similarity (shift, turn in the plane, scale): what another distance, another detector and a
patient laid down anew do to what lies in one plane. See ``docs/methods/film-serial.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.serial.film_fit import LEAST_COMMON, LEAST_POINTS, fitted
from hoimg.serial.film_pair import FINE_MM, Pair
from hoimg.serial.film_picture import Picture, evened
from hoimg.serial.film_similarity import Similarity
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOO_LITTLE = "film_registration_too_little_in_common"
UNLIKE = "film_registration_bones_unlike"
IMPLAUSIBLE = "film_registration_implausible"

COARSE_MM = 2.4
STARTS = 3
APART_MM = 10.0
"""Between two starts."""
TURNS_DEG = tuple(range(-12, 13, 4))
MOST_TURN_DEG = 25.0
MOST_SCALE = 1.1
"""By how much the scale may end beyond those it started from."""
AWAY_MM = 25.0
"""How far a lesion that both films show may seem to move against the bone round it."""
LEAST_SIDE = 16


@dataclass(frozen=True)
class FilmPlacement:
    """How a later film lies on an earlier one near a lesion, and whether that is trusted.

    Attributes:
        similarity: The best found; None where there was nothing to compare.
        likeness: Weighted correlation (0..1) of the locally evened films round the lesion.
        reason: Why it is not trusted, a code; None when it is.
    """

    similarity: Similarity | None
    likeness: float | None
    reason: str | None

    @property
    def accepted(self) -> bool:
        """Whether numbers may rest on it."""
        return self.reason is None


def register_films(pair: Pair, settings: FilmSettings) -> FilmPlacement:
    """Place the later film of a pair by what surrounds the lesion on the earlier one.

    Args:
        pair: From :func:`hoimg.serial.film_pair.make_pair`.
        settings: Thresholds.
    """
    if min(*pair.earlier.values.shape, *pair.later.values.shape) < LEAST_SIDE:
        return FilmPlacement(None, None, TOO_LITTLE)
    starts = _starts(pair)
    if not starts:
        return FilmPlacement(None, None, TOO_LITTLE)
    found = [fitted(pair, start) for start in starts]
    best, likeness = max(found, key=lambda f: f[1])
    reason = None
    if likeness < settings.registration_min_likeness:
        reason = UNLIKE
    elif abs(best.turn_deg) > MOST_TURN_DEG or not (
        pair.scales[0] / MOST_SCALE <= best.scale <= pair.scales[-1] * MOST_SCALE
    ):
        reason = IMPLAUSIBLE
    return FilmPlacement(best, likeness, reason)


def _starts(pair: Pair) -> list[Similarity]:
    """The best few places of the window on the later film, over turns and scales.

    Correlation over what both films know (Padfield 2012), by Fourier transforms.
    """
    from scipy import fft, ndimage

    step = COARSE_MM
    window, window_known = _coarse(pair.earlier, 1.0, pair.window)
    pivot = np.asarray(pair.pivot_yx_mm)
    around = np.argwhere(pair.window)
    fine = np.asarray(pair.earlier.step_yx_mm)
    reach = float(np.abs((around + 0.5) * fine - pivot).max())
    found: list[tuple[float, Similarity]] = []
    for scale in pair.scales:
        film, film_known = _coarse(pair.later, scale)
        allowed = np.ones(film.shape, bool)
        if pair.target_yx_mm is not None:
            down, right = ((np.arange(n) + 0.5) * step for n in film.shape)
            down, right = down[:, None] - pair.target_yx_mm[0], right - pair.target_yx_mm[1]
            allowed = np.hypot(down, right) <= AWAY_MM
        half = math.ceil(reach * scale / step) + 1
        side = np.arange(-half, half + 1) * step
        grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1)
        size = [fft.next_fast_len(n + 2 * half + 1, real=True) for n in film.shape]
        known = film_known.astype(np.float64)
        parts = [fft.rfft2(p, size) for p in (film * known, film**2 * known, known)]
        for turn in TURNS_DEG:
            at = Similarity(scale, turn, pair.pivot_yx_mm, (0.0, 0.0)).backward(grid)
            there = np.moveaxis(at / step - 0.5, -1, 0)
            on = ndimage.map_coordinates(window_known.astype(np.float64), there, order=1) > 0.5
            values = np.where(on, ndimage.map_coordinates(window, there, order=1), 0.0)
            if on.sum() * step**2 < LEAST_POINTS * FINE_MM**2:
                continue
            turned = [fft.rfft2(p[::-1, ::-1], size) for p in (values, values**2, on * 1.0)]
            across, own, other, common = (
                fft.irfft2(parts[i] * turned[k], size) for i, k in ((0, 0), (2, 1), (1, 2), (2, 2))
            )
            score = across / np.sqrt(np.maximum(own * other, 1e-6))
            score[common < LEAST_COMMON * on.sum()] = -1.0
            score = score[half : half + film.shape[0], half : half + film.shape[1]]
            score = np.where(allowed, score, -1.0)
            found += [
                (value, Similarity(scale, turn, pair.pivot_yx_mm, place))
                for value, place in _peaks(score)
            ]
    found.sort(key=lambda f: -f[0])
    chosen: list[Similarity] = []
    for _, start in found:
        if all(math.dist(start.at_yx_mm, c.at_yx_mm) > APART_MM for c in chosen):
            chosen.append(start)
        if len(chosen) == STARTS:
            break
    return chosen


def _peaks(score: Floats) -> Iterator[tuple[float, tuple[float, float]]]:
    """The highest positive scores that lie apart, and their places, mm."""
    left, near = score.copy(), round(APART_MM / COARSE_MM)
    for _ in range(STARTS):
        y, x = np.unravel_index(int(np.argmax(left)), left.shape)
        if left[y, x] <= 0:
            return
        yield float(left[y, x]), ((float(y) + 0.5) * COARSE_MM, (float(x) + 0.5) * COARSE_MM)
        left[max(y - near, 0) : y + near + 1, max(x - near, 0) : x + near + 1] = -1.0


def _coarse(picture: Picture, scale: float, window: Bools | None = None) -> tuple[Floats, Bools]:
    """Evened, on square pixels of :data:`COARSE_MM`."""
    from scipy import ndimage

    whole = np.ones(picture.values.shape, bool) if window is None else window
    even, known = evened(picture, whole, COARSE_MM / 2, scale)
    step = np.asarray(picture.step_yx_mm)
    counts = [int(n * s / COARSE_MM) for n, s in zip(even.shape, step, strict=True)]
    axes = [(np.arange(n) + 0.5) * COARSE_MM / s - 0.5 for n, s in zip(counts, step, strict=True)]
    at = np.meshgrid(*axes, indexing="ij")
    values = ndimage.map_coordinates(even, at, order=1, mode="nearest")
    sure = ndimage.map_coordinates(known.astype(np.float64), at, order=1, mode="nearest") > 0.5
    return np.asarray(values), np.asarray(sure)
