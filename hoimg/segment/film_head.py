"""Femoral heads on a frontal film: round, dense, edged like bone, with a roof over them.

A circle scores by three things that a head has together and its neighbours have not: an edge all
round that gets denser inwards, an edge above it that gets denser outwards (the roof of the socket;
on a film with an artificial joint, the cup), and an inside that is dense among its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.film_even import EvenFilm, disc, made_even
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float32]

ANGLES = np.deg2rad(np.arange(0.0, 360.0, 10.0))
ROOF = np.sin(ANGLES) > np.sin(np.deg2rad(40.0))
"""The upper 100 degrees."""
ROOF_AT = np.arange(1.04, 1.4, 0.06)
"""Where the roof is looked for, in radii of the head."""
EDGE_SIGMA_MM = 1.5
EVEN_MM, DENSE_MM = 12.0, 25.0
COARSE_MM = 4.0
APART_MM = (110.0, 280.0)
"""Distance of the two heads of a pelvis; about 180 mm in adults, times the magnification."""
TILT_MM, UNLIKE_MM = 35.0, 8.0
"""By which they may differ in height and in radius: the rim of a socket is a circle, too."""


@dataclass(frozen=True)
class FilmHead:
    """A femoral head as a circle.

    Attributes:
        center_yx: Working pixels.
        radius: Working pixels.
        lateral: +1 where the patient's outside lies towards larger columns, else -1.
    """

    center_yx: tuple[float, float]
    radius: float
    lateral: int


def find_film_heads(film: EvenFilm, side: str, settings: FilmSettings) -> list[FilmHead]:
    """Look for the head of one hip, or for both of a pelvis.

    Args:
        film: A frontal film, the patient's right on its left as usual.
        side: ``R``, ``L`` or ``B`` (both).
        settings: Range of radii and least score.

    Returns:
        One head for ``R`` and ``L``; right and left for ``B``; none where none is sure.
    """
    search = _Search(film, settings)
    if side != "B":
        found = search.best(slice(None), 1)
        if not found or found[0][0] < settings.hip_head_min_score:
            return []
        return [search.refined(found[0], -1 if side == "R" else 1)]
    middle = film.ranks.shape[1] // 2
    pairs = [
        (a[0] + b[0], a, b)
        for a in search.best(slice(0, middle), 8)
        for b in search.best(slice(middle, None), 8)
        if _are_pair(a, b, film.step_mm)
    ]
    if not pairs:
        return []
    total, right, left = max(pairs)
    if total < 2 * settings.hip_head_min_score:
        return []
    return [search.refined(right, -1), search.refined(left, 1)]


Circle = tuple[float, float, float, float]
"""Score, row, column, radius."""


def _are_pair(right: Circle, left: Circle, step_mm: float) -> bool:
    apart = (left[2] - right[2]) * step_mm
    return (
        APART_MM[0] <= apart <= APART_MM[1]
        and abs(left[1] - right[1]) * step_mm <= TILT_MM
        and abs(left[3] - right[3]) * step_mm <= UNLIKE_MM
    )


class _Search:
    """The fields in which circles are scored."""

    def __init__(self, film: EvenFilm, settings: FilmSettings) -> None:
        from scipy import ndimage

        self.film = film
        even = made_even(film.ranks, film.body, EVEN_MM / film.step_mm)
        sigma = EDGE_SIGMA_MM / film.step_mm
        down = ndimage.gaussian_filter(even, sigma, order=(1, 0))
        right = ndimage.gaussian_filter(even, sigma, order=(0, 1))
        steep = np.hypot(down, right)
        # Strong edges count hardly more than clear ones, or metal and skin would decide.
        weight = 1.0 / (steep + 2 * np.median(steep) + 1e-9)
        self.down, self.right = down * weight, right * weight
        self.dense = made_even(film.ranks, film.body, DENSE_MM / film.step_mm)
        low, high = settings.hip_head_min_radius_mm, settings.hip_head_max_radius_mm
        self._discs: dict[float, Floats] = {}
        self.radii = np.arange(low / film.step_mm, high / film.step_mm + 1e-6, 2.0)

    def best(self, columns: slice, count: int) -> list[Circle]:
        """The best circles with their middle in some columns, no two at one place."""
        rows, width = self.film.ranks.shape
        step = max(round(COARSE_MM / self.film.step_mm), 1)
        x = np.arange(width)[columns][::step]
        y = np.arange(0, rows, step)
        if not x.size or not y.size or not self.radii.size:
            return []
        # Most middles lie in nothing dense, and need no circle drawn.
        hopeful = self.dense[np.ix_(y, x)] > 0
        some = np.nonzero(hopeful)
        scores = np.zeros((self.radii.size, *hopeful.shape))
        for row, r in enumerate(self.radii):
            scores[row][some] = self.scores(y[some[0]], x[some[1]], float(r))
        near = max(round(24.0 / self.film.step_mm / step), 1)
        found: list[Circle] = []
        for _ in range(count):
            k, i, j = np.unravel_index(int(scores.argmax()), scores.shape)
            if scores[k, i, j] <= 0:
                break
            found.append((float(scores[k, i, j]), float(y[i]), float(x[j]), float(self.radii[k])))
            scores[:, max(i - near, 0) : i + near + 1, max(j - near, 0) : j + near + 1] = 0
        return found

    def refined(self, circle: Circle, lateral: int) -> FilmHead:
        """The best circle by single pixels about a coarse one."""
        _, y, x, r = circle
        reach = np.arange(-4.0, 5.0)
        cy, cx = np.meshgrid(y + reach, x + reach, indexing="ij")
        radii = r + np.arange(-2.0, 3.0)
        scores = np.stack([self.scores(cy, cx, one) for one in radii])
        k, i, j = np.unravel_index(int(scores.argmax()), scores.shape)
        place = (float(cy[i, j]), float(cx[i, j]))
        return FilmHead(place, float(radii[k]), lateral)

    def scores(
        self, cy: NDArray[np.generic], cx: NDArray[np.generic], radius: float
    ) -> NDArray[np.float64]:
        """Score of circles of one radius round some middles."""
        edge = np.zeros((*cy.shape, ANGLES.size))
        for r in (radius - 1, radius, radius + 1):
            np.maximum(edge, self._inwards(cy, cx, r, ANGLES), out=edge)
        roof = np.zeros((*cy.shape, int(ROOF.sum())))
        for s in ROOF_AT:
            np.maximum(roof, -self._inwards(cy, cx, radius * s, ANGLES[ROOF]), out=roof)
        rows, columns = self.down.shape
        y = np.clip(np.asarray(cy, int), 0, rows - 1)
        inside = self._dense(radius)[y, np.clip(np.asarray(cx, int), 0, columns - 1)]
        return np.asarray(edge.mean(-1) ** 1.5 * roof.mean(-1) * np.clip(inside, 0, 1))

    def _dense(self, radius: float) -> Floats:
        """Mean of the dense field over discs of 0.85 of a radius."""
        from scipy import signal

        if radius not in self._discs:
            kernel = disc(0.85 * radius).astype(np.float32)
            self._discs[radius] = np.asarray(
                signal.fftconvolve(self.dense, kernel / kernel.sum(), mode="same"), np.float32
            )
        return self._discs[radius]

    def _inwards(
        self,
        cy: NDArray[np.generic],
        cx: NDArray[np.generic],
        radius: float,
        angles: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """How much it gets denser towards the middle, by angle; 0 outside of the film."""
        uy, ux = -np.sin(angles), np.cos(angles)
        y = np.rint(np.asarray(cy, float)[..., None] + radius * uy).astype(int)
        x = np.rint(np.asarray(cx, float)[..., None] + radius * ux).astype(int)
        rows, columns = self.down.shape
        on = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
        y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
        return np.asarray(np.where(on, -(self.down[y, x] * uy + self.right[y, x] * ux), 0.0))
