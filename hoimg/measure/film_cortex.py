"""The film's own cortex: where bone begins, how far it stands out, how wide its edge is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.image import Radiograph
from hoimg.measure.film_profiles import POINT_MM, SMOOTH_MM, read_edges, read_lines
from hoimg.settings.film import FilmSettings

APART_MM = 3.0
"""The lesion and this much round it are left out."""
SIGMA_MM = 0.5
MOST_LINES = 2000


@dataclass(frozen=True)
class OwnCortex:
    """Normal cortex on the same film.

    Attributes:
        contrast: Height of its edges over the soft tissue beside them, film units: upper quartile.
        contrast_sd: Standard deviation of that quartile.
        width_mm: Median 10-90 % width of these edges.
        width_sd_mm: Standard deviation of that median.
    """

    contrast: float
    contrast_sd: float
    width_mm: float
    width_sd_mm: float


def own_cortex(
    film: Radiograph,
    spacing_yx_mm: tuple[float, float],
    inside_yx: NDArray[np.bool_],
    soft: float,
    least_rise: float,
    settings: FilmSettings,
) -> OwnCortex | None:
    """Read the strong edges near a lesion whose darker side is soft tissue.

    The skin (darker: air) and the collimator (flat) are no cortex: only edges count whose darker
    side lies within their own height of the soft tissue beside the lesion.

    Args:
        film: The film.
        spacing_yx_mm: Of its pixels; assumed where it states none.
        inside_yx: The lesion.
        soft: Level of the soft tissue beside it, film units.
        least_rise: Lower edges are noise.
        settings: How far and how much.

    Returns:
        None where less than ``cortex_min_length_mm`` was found.
    """
    points, normals = _crests(film, spacing_yx_mm, inside_yx, settings)
    if len(points) == 0:
        return None
    # Each crest point by itself: neighbours in the list are no neighbours on the film.
    lines = read_lines(film.pixels, spacing_yx_mm, points, normals, in_order=False)
    edges = read_edges(lines)
    ok = (edges.rise > least_rise) & (np.abs(edges.outside - soft) < edges.rise)
    ok &= np.isfinite(edges.width_mm) & (edges.fall > 0)
    length = ok.sum() * POINT_MM
    if length < settings.cortex_min_length_mm:
        return None
    rise, width = edges.rise[ok], edges.width_mm[ok]
    high = rise >= np.percentile(rise, 50)
    free = max(length / (4 * SMOOTH_MM), 2.0)
    spread = float(np.subtract(*np.percentile(rise[high], [75, 25]))) / 1.349
    width_spread = float(np.subtract(*np.percentile(width[high], [75, 25]))) / 1.349
    return OwnCortex(
        float(np.percentile(rise, 75)),
        1.36 * spread / np.sqrt(free),
        float(np.median(width[high])),
        1.25 * width_spread / np.sqrt(free / 2),
    )


def _crests(
    film: Radiograph,
    spacing_yx_mm: tuple[float, float],
    inside_yx: NDArray[np.bool_],
    settings: FilmSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on the steepest lines near the lesion, and their normals to the darker side, mm."""
    from scipy import ndimage

    size = np.array(spacing_yx_mm)
    rows, columns = np.nonzero(inside_yx)
    reach = np.round(settings.cortex_within_mm / size).astype(int)
    low = np.maximum([rows.min(), columns.min()] - reach, 0)
    high = np.minimum([rows.max(), columns.max()] + reach + 1, inside_yx.shape)
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    stride = np.maximum(np.round(POINT_MM / size), 1).astype(int)
    smooth = ndimage.gaussian_filter(film.pixels[box].astype(np.float64), SIGMA_MM / size)
    smooth = smooth[:: stride[0], :: stride[1]]
    step = stride * size
    down, right = np.gradient(smooth, *step)
    strength = np.hypot(down, right)
    lesion = ndimage.binary_dilation(inside_yx[box], iterations=1)[:: stride[0], :: stride[1]]
    far = ndimage.distance_transform_edt(~lesion, sampling=step) > APART_MM
    if film.valid is not None:
        shown = film.valid[box][:: stride[0], :: stride[1]]
        far &= ndimage.distance_transform_edt(shown, sampling=step) > APART_MM
    unit = np.stack([down, right]) / (strength + 1e-12)
    at = np.indices(strength.shape).astype(float)
    near = [
        ndimage.map_coordinates(strength, at + s * unit, order=1, mode="nearest") for s in (1, -1)
    ]
    crest = far & (strength >= near[0]) & (strength > near[1])
    inner = np.zeros_like(crest)
    inner[3:-3, 3:-3] = True
    crest &= inner
    if not crest.any():
        return np.zeros((0, 2)), np.zeros((0, 2))
    crest &= strength > np.percentile(strength[crest], 60)
    points = np.argwhere(crest) * step + low * size
    every = slice(None, None, len(points) // MOST_LINES + 1)
    return points[every], -unit[:, crest].T[every]
