"""A later film of the same view placed onto an earlier one by the bone round a lesion.

A similarity (shift, turn in the plane, scale): what another distance, another detector and a
patient laid down anew do to what lies in one plane. See ``docs/methods/film-serial.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.segment.film_working import spacing_of
from hoimg.serial.film_picture import FINE_MM, Picture, evened, ranked, small
from hoimg.settings import FilmSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOO_LITTLE = "film_registration_too_little_in_common"
UNLIKE = "film_registration_bones_unlike"
IMPLAUSIBLE = "film_registration_implausible"

COARSE_MM = 2.4
STARTS = 3
TURNS_DEG = tuple(range(-12, 13, 4))
MOST_TURN_DEG = 25.0
LEAST_COMMON = 0.4
"""Share of what surrounds the lesion that a start has to find on the later film."""
AWAY_MM = 25.0
"""How far a lesion that both films show may seem to move against the bone round it."""
LEAST_SIDE = 16
LEAST_POINTS = 400
BLURS_MM = (2.0, 1.0)
STEPS = 40
LONGEST_MM, CLOSE_MM = 3.0, 2e-3
"""Of one step of the fit, at the window's edge; a shorter one than the second ends it."""
MOST_DAMPING = 1e3


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


@dataclass(frozen=True, eq=False)
class Pair:
    """Two films made ready: the earlier one round the lesion, the later one whole.

    Attributes:
        earlier: In small.
        later: In small.
        window: What of the earlier one is used.
        pivot_yx_mm: The lesion's middle on the earlier film.
        target_yx_mm: Its middle on the later one, where it is known.
    """

    earlier: Picture
    later: Picture
    window: Bools
    pivot_yx_mm: tuple[float, float]
    target_yx_mm: tuple[float, float] | None = None


def register_films(
    earlier: Radiograph,
    later: Radiograph,
    lesion_yx: Bools,
    settings: FilmSettings,
    later_lesion_yx: Bools | None = None,
) -> FilmPlacement:
    """Place the later film by what surrounds the lesion on the earlier one.

    Polarity is equal by the reader (larger is more attenuating); exposure, distances, pixel size
    and processing may differ. The lesion is left out: it must not hide its own growth.

    Args:
        earlier: Film.
        later: Film of the same view.
        lesion_yx: The lesion (or the region round it) on the earlier film.
        settings: Thresholds.
        later_lesion_yx: The same on the later film, where it is known.

    Raises:
        ValueError: ``lesion_yx`` is empty.
    """
    pair = make_pair(earlier, later, lesion_yx, settings, later_lesion_yx)
    if min(*pair.earlier.values.shape, *pair.later.values.shape) < LEAST_SIDE:
        return FilmPlacement(None, None, TOO_LITTLE)
    scales = _scales(earlier, later)
    starts = _starts(pair, scales)
    if not starts:
        return FilmPlacement(None, None, TOO_LITTLE)
    fitted = [_fitted(pair, start) for start in starts]
    best, likeness = max(fitted, key=lambda f: f[1])
    reason = None
    if likeness < settings.registration_min_likeness:
        reason = UNLIKE
    elif abs(best.turn_deg) > MOST_TURN_DEG or not (
        scales[0] / 1.1 <= best.scale <= scales[-1] * 1.1
    ):
        reason = IMPLAUSIBLE
    return FilmPlacement(best, likeness, reason)


def make_pair(
    earlier: Radiograph,
    later: Radiograph,
    lesion_yx: Bools,
    settings: FilmSettings,
    later_lesion_yx: Bools | None = None,
    step_mm: float = FINE_MM,
) -> Pair:
    """Both films in small, lesions left out with a margin, and the window round the lesion."""
    if not lesion_yx.any():
        raise ValueError("no lesion to look around")
    before, after = spacing_of(earlier, settings), spacing_of(later, settings)
    margin = settings.registration_leave_out_mm
    first = small(earlier, before, _grown(lesion_yx, before, margin), step_mm)
    second = small(
        later,
        after,
        None if later_lesion_yx is None else _grown(later_lesion_yx, after, margin),
        step_mm,
    )
    pivot = _middle(lesion_yx, before)
    target = None if later_lesion_yx is None else _middle(later_lesion_yx, after)
    rows, columns = np.nonzero(lesion_yx)
    reach = 0.5 * float(np.hypot(np.ptp(rows) * before[0], np.ptp(columns) * before[1]))
    away = np.linalg.norm(first.places() - np.asarray(pivot), axis=-1)
    window = away <= reach + settings.registration_within_mm
    return Pair(first, second, window, pivot, target)


def carried(
    mask_yx: Bools,
    similarity: Similarity,
    earlier: Radiograph,
    later: Radiograph,
    settings: FilmSettings,
) -> Bools:
    """A mask of the earlier film on the pixels of the later one."""
    from scipy import ndimage

    before = np.asarray(spacing_of(earlier, settings))
    after = np.asarray(spacing_of(later, settings))
    corner = similarity.backward(0.5 * after) / before - 0.5
    steps = [
        similarity.backward((0.5 + np.eye(2)[k]) * after) / before - 0.5 - corner for k in (0, 1)
    ]
    moved = ndimage.affine_transform(
        mask_yx.astype(np.float32),
        np.stack(steps, axis=1),
        corner,
        output_shape=later.pixels.shape,
        order=1,
        mode="constant",
    )
    return np.asarray(moved >= 0.5)


def turned_back(similarity: Similarity) -> Similarity:
    """The same from the later film to the earlier one."""
    return Similarity(
        1.0 / similarity.scale, -similarity.turn_deg, similarity.at_yx_mm, similarity.pivot_yx_mm
    )


def _middle(mask_yx: Bools, spacing_yx_mm: tuple[float, float]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask_yx)
    return (
        (float(rows.mean()) + 0.5) * spacing_yx_mm[0],
        (float(columns.mean()) + 0.5) * spacing_yx_mm[1],
    )


def _grown(mask_yx: Bools, spacing_yx_mm: tuple[float, float], margin_mm: float) -> Bools:
    from scipy import ndimage

    rows, columns = (np.flatnonzero(mask_yx.any(axis=1 - k)) for k in (0, 1))
    if not len(rows):
        return mask_yx
    box = tuple(
        slice(max(int(n[0]) - round(margin_mm / s) - 1, 0), int(n[-1]) + round(margin_mm / s) + 2)
        for n, s in zip((rows, columns), spacing_yx_mm, strict=True)
    )
    out = np.zeros_like(mask_yx)
    out[box] = ndimage.distance_transform_edt(~mask_yx[box], sampling=spacing_yx_mm) <= margin_mm
    return out


def _scales(earlier: Radiograph, later: Radiograph) -> list[float]:
    """Scales to start from: narrow where both films state sizes in the patient."""
    sources = {earlier.spacing_source, later.spacing_source}
    if None in (earlier.spacing_yx_mm, later.spacing_yx_mm):
        return [0.5 * 2 ** (k / 5) for k in range(11)]
    if "detector_uncorrected" in sources:
        return [0.84, 0.92, 1.0, 1.09, 1.19]
    return [0.94, 1.0, 1.06]


def _starts(pair: Pair, scales: list[float]) -> list[Similarity]:
    """The best few places of the window on the later film, over turns and scales."""
    from scipy import fft, ndimage

    step = COARSE_MM
    window, window_known = _coarse(pair.earlier, 1.0, pair.window)
    pivot = np.asarray(pair.pivot_yx_mm)
    around = np.argwhere(pair.window)
    fine = np.asarray(pair.earlier.step_yx_mm)
    reach = float(np.abs((around + 0.5) * fine - pivot).max())
    found: list[tuple[float, Similarity]] = []
    for scale in scales:
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
            for _ in range(STARTS):
                y, x = np.unravel_index(int(np.argmax(score)), score.shape)
                if score[y, x] <= 0:
                    break
                place = ((float(y) + 0.5) * step, (float(x) + 0.5) * step)
                found.append((float(score[y, x]), Similarity(scale, turn, pair.pivot_yx_mm, place)))
                near = round(10.0 / step)
                score[max(y - near, 0) : y + near + 1, max(x - near, 0) : x + near + 1] = -1.0
    found.sort(key=lambda f: -f[0])
    chosen: list[Similarity] = []
    for _, start in found:
        if all(math.dist(start.at_yx_mm, c.at_yx_mm) > 10.0 for c in chosen):
            chosen.append(start)
        if len(chosen) == STARTS:
            break
    return chosen


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


def _fitted(pair: Pair, start: Similarity) -> tuple[Similarity, float]:
    """The start moved to where the films are most alike, and how alike they are there."""
    found, likeness = start, 0.0
    for blur in BLURS_MM:
        found, likeness = _fit(pair, found, blur)
    return found, likeness


def _fit(pair: Pair, start: Similarity, blur_mm: float) -> tuple[Similarity, float]:
    """Least squares of the evened films by Gauss and Newton, damped by Levenberg and Marquardt.

    Places that differ by more than the spread count little (Cauchy's weights): what moved on its
    own or has been added does not draw the rest along.
    """
    from scipy import ndimage

    template, known = evened(pair.earlier, pair.window, blur_mm)
    whole = np.ones(pair.later.values.shape, bool)
    film, film_known = evened(pair.later, whole, blur_mm, start.scale)
    slopes = np.gradient(film)
    step = pair.later.step_yx_mm
    planes = (film, slopes[0] / step[0], slopes[1] / step[1], film_known.astype(np.float64))
    points, values = pair.earlier.places()[known], template[known]
    away = np.linalg.norm(points - np.asarray(pair.pivot_yx_mm), axis=1)
    reach = float(away.max(initial=1.0))
    near = np.exp(-0.5 * (away / (0.6 * reach)) ** 2)
    near *= ranked(pair.earlier, pair.window)[known] ** 2  # bone, not skin against air

    def look(at: Similarity) -> tuple[float, Floats, Floats, Floats]:
        """Mean loss, differences, weights, and slopes by the four unknowns."""
        there = at.forward(points)
        pixels = pair.later.pixels_of(there).T
        seen, down, right, on = (ndimage.map_coordinates(p, pixels, order=1) for p in planes)
        y, x = (there - np.asarray(at.at_yx_mm)).T / reach
        slope = np.stack([down, right, down * y + right * x, right * y - down * x], axis=1)
        weight = near * on
        rest = values - seen
        loss = float((weight * np.log1p(rest**2)).sum() / max(float(weight.sum()), 1e-9))
        return loss, rest, weight, slope

    now, damping = start, 1e-3
    loss, rest, weight, slope = look(now)
    for _ in range(STEPS):
        if (weight > 0).sum() < LEAST_POINTS:
            return now, 0.0
        w = weight / (1.0 + rest**2)
        normal = slope.T @ (w[:, None] * slope)
        damped = normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(4)
        move = np.clip(np.linalg.solve(damped, slope.T @ (w * rest)), -LONGEST_MM, LONGEST_MM)
        tried = replace(
            now,
            at_yx_mm=(now.at_yx_mm[0] + float(move[0]), now.at_yx_mm[1] + float(move[1])),
            scale=now.scale * math.exp(float(move[2]) / reach),
            turn_deg=now.turn_deg + math.degrees(float(move[3]) / reach),
        )
        next_loss, *others = look(tried)
        if next_loss >= loss:
            damping *= 10.0
            if damping > MOST_DAMPING:
                break
            continue
        damping = max(damping / 5.0, 1e-6)
        now, loss = tried, next_loss
        rest, weight, slope = others
        if np.abs(move).max() < CLOSE_MM:
            break
    seen = values - rest
    total = float(np.sqrt((weight * values**2).sum() * (weight * seen**2).sum()))
    common = float(weight.sum() / max(float(near.sum()), 1e-9))
    if total <= 0 or common < LEAST_COMMON:
        return now, 0.0
    return now, float((weight * values * seen).sum()) / total
