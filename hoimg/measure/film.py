"""What a projection honestly gives of an outlined lesion: sizes, its edge, its ordinal density.

Formulas and limits stand in ``docs/methods/film-measures.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.film_shapes import FilmOutline
from hoimg.image import Radiograph
from hoimg.measure.film_cortex import OwnCortex, own_cortex
from hoimg.measure.film_profiles import POINT_MM, FilmEdges, contours, read_edges, read_lines
from hoimg.measure.shape import max_diameter
from hoimg.measure.uncertainty import Z95, Interval
from hoimg.settings.film import FilmSettings

Floats = NDArray[np.float64]

ALIKE_MM = 6.0
"""Places of an outline nearer to each other than this are not counted as independent."""
LEAST_LINES = 30


@dataclass(frozen=True)
class FilmMeasurement:
    """Numbers of one lesion on one film; null with a reason in ``flags``.

    Attributes:
        area_mm2: Projected area. With ``spacing_source`` ``detector_uncorrected`` this is the area
            of the shadow at the detector, too large by the square of the magnification.
        area_ci95_mm2: Its interval, with the unknown depth of the lesion where the spacing is said
            to hold in the patient.
        area_px2: In pixels.
        area_ci95_px2: Its interval.
        length_mm: Longest dimension of the shadow.
        length_ci95_mm: Its interval.
        length_px: In pixels (of the mean of both sides).
        corticated_fraction: Part of the outline whose edge is a bright line, 0..1.
        corticated_fraction_ci95: Its interval.
        edge_ratio: Median 10-90 % width of the outline's edge over that of the film's own cortex.
        edge_ratio_ci95: Its interval.
        density_index: (lesion - soft) / (own cortex - soft), ordinal, within this film only.
        density_index_ci95: Its interval.
        excess: Mean of film less background inside, film units.
        spacing_source: As of the film.
        flags: Those of the outline; ``no_spacing``; ``detector_uncorrected``;
            ``edge_not_readable``; ``no_own_cortex``.
    """

    spacing_source: str
    flags: tuple[str, ...]
    area_mm2: float | None = None
    area_ci95_mm2: Interval | None = None
    area_px2: float | None = None
    area_ci95_px2: Interval | None = None
    length_mm: float | None = None
    length_ci95_mm: Interval | None = None
    length_px: float | None = None
    corticated_fraction: float | None = None
    corticated_fraction_ci95: Interval | None = None
    edge_ratio: float | None = None
    edge_ratio_ci95: Interval | None = None
    density_index: float | None = None
    density_index_ci95: Interval | None = None
    excess: float | None = None


def measure_on_film(
    film: Radiograph, outline: FilmOutline, settings: FilmSettings
) -> FilmMeasurement:
    """Measure an outlined lesion.

    Args:
        film: Larger is more attenuating.
        outline: On the same pixels. One with a reason gives nulls and that reason as a flag.
        settings: Thresholds.
    """
    inside, excess = outline.inside_yx, outline.excess
    if inside is not None and excess is None and outline.background_yx is not None:
        excess = _mean_excess(film, inside, outline.background_yx)
    if inside is None or excess is None or not inside.any():
        return FilmMeasurement(film.spacing_source, (outline.reason or "no_outline",))
    assumed = settings.assumed_spacing_mm
    spacing = film.spacing_yx_mm or (assumed, assumed)
    lines_at = contours(inside, spacing)
    perimeter = sum(len(points) for points, _ in lines_at) * POINT_MM
    sizes = _sizes(outline, spacing, perimeter, settings)
    flags = list(outline.flags)
    known: dict[str, float | Interval] = {
        "excess": excess,
        "area_px2": float(inside.sum()),
        "area_ci95_px2": _scaled(sizes.area_ci, 1 / math.prod(spacing)),
        "length_px": sizes.length / math.sqrt(math.prod(spacing)),
    }
    if film.spacing_yx_mm is None:
        flags.append("no_spacing")
    else:
        corrected = film.spacing_source != "detector_uncorrected"
        if not corrected:
            flags.append("detector_uncorrected")
        depth = settings.depth_relative_sd if corrected else 0.0
        known |= {
            "area_mm2": sizes.area,
            "area_ci95_mm2": _with_depth(sizes.area, sizes.area_ci, 2 * depth),
            "length_mm": sizes.length,
            "length_ci95_mm": _with_depth(sizes.length, sizes.length_ci, depth),
        }
    contrast = outline.contrast_to_noise or 0.0
    noise = max(excess, 0.0) / contrast if contrast > 0 else 0.0
    edges = [
        read_edges(read_lines(film.pixels, spacing, points, normals, in_order=True))
        for points, normals in lines_at
    ]
    least = settings.profile_min_step_to_noise * noise
    known |= _corticated(edges, least, settings)
    if "corticated_fraction" not in known:
        flags.append("edge_not_readable")
    soft = float(np.median(np.concatenate([e.outside for e in edges]))) if edges else 0.0
    cortex = own_cortex(film, spacing, inside, soft, least, settings) if edges else None
    if cortex is None:
        flags.append("no_own_cortex")
    else:
        known |= _against_cortex(edges, cortex, excess, noise, least)
        if "edge_ratio" not in known and "edge_not_readable" not in flags:
            flags.append("edge_not_readable")
    return FilmMeasurement(film.spacing_source, tuple(flags), **known)  # type: ignore[arg-type]


def _mean_excess(
    film: Radiograph, inside: NDArray[np.bool_], background: NDArray[np.float32]
) -> float | None:
    """Mean of film less background inside; None without any inside."""
    if not inside.any():
        return None
    return float((film.pixels[inside] - background[inside]).mean(dtype=np.float64))


@dataclass(frozen=True)
class _Sizes:
    area: float
    area_ci: Interval
    length: float
    length_ci: Interval


def _sizes(
    outline: FilmOutline, spacing: tuple[float, float], perimeter: float, settings: FilmSettings
) -> _Sizes:
    """Area and longest dimension with what the place of the outline leaves open, mm."""
    inside = outline.inside_yx
    assert inside is not None
    area = float(inside.sum()) * math.prod(spacing)
    rim = np.argwhere(inside & ~_eroded(inside))
    half = 0.5 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    corners = (rim[:, None, :] + half[None]).reshape(-1, 2) * np.array(spacing)
    # The corners of a pixel are its diagonal apart; pixels are counted from side to side.
    length = max_diameter(corners) - (math.hypot(*spacing) - math.sqrt(math.prod(spacing)))
    sd = outline_sd_mm(outline.edge_cost, settings)
    low, high = outline.area_span
    aside = Z95 * sd * perimeter
    area_ci = (max(low * area - aside, 0.0), high * area + aside)
    low, high = outline.length_span
    aside = Z95 * sd * 2
    return _Sizes(area, area_ci, length, (max(low * length - aside, 0.0), high * length + aside))


def outline_sd_mm(edge_cost: float | None, settings: FilmSettings) -> float:
    """Standard deviation of where an outline lies, mm.

    Args:
        edge_cost: Its mean cost, 0.05 on a perfect edge; None for an outline that was given.
        settings: How much poor edges add.
    """
    poor = max((edge_cost or 0.05) - 0.05, 0.0) * settings.outline_sd_mm_per_cost
    return math.hypot(settings.outline_sd_mm, poor)


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.binary_erosion(inside))


def _with_depth(value: float, interval: Interval, relative_sd: float) -> Interval:
    """An interval widened by a relative error of its own."""
    more = Z95 * relative_sd * value
    low = value - math.hypot(value - interval[0], more)
    return max(low, 0.0), value + math.hypot(interval[1] - value, more)


def _corticated(
    edges: list[FilmEdges], least_rise: float, settings: FilmSettings
) -> dict[str, float | Interval]:
    """Part of the outline whose edge is a line, with Wilson's interval."""
    count = sum(len(e.rise) for e in edges)
    if count < LEAST_LINES:
        return {}
    lines = sum(
        int(((e.rise > least_rise) & (e.fall >= settings.corticated_min_fall)).sum()) for e in edges
    )
    share = lines / count
    return {
        "corticated_fraction": share,
        "corticated_fraction_ci95": wilson(share, count * POINT_MM / ALIKE_MM),
    }


def wilson(share: float, count: float) -> Interval:
    """Wilson's 95 % interval of a share of ``count`` independent places."""
    z = Z95 * Z95
    middle = (share + z / (2 * count)) / (1 + z / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + z / (4 * count * count)) / (1 + z / count)
    # Rounding must not leave the share itself outside.
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def _against_cortex(
    edges: list[FilmEdges], cortex: OwnCortex, excess: float, noise: float, least_rise: float
) -> dict[str, float | Interval]:
    """Edge ratio and density index."""
    index = excess / cortex.contrast
    sd = math.hypot(noise / cortex.contrast, index * cortex.contrast_sd / cortex.contrast)
    known: dict[str, float | Interval] = {
        "density_index": index,
        "density_index_ci95": (index - Z95 * sd, index + Z95 * sd),
    }
    widths = np.concatenate([e.width_mm[e.rise > least_rise] for e in edges])
    widths = widths[np.isfinite(widths)]
    if len(widths) >= LEAST_LINES:
        ratio = float(np.median(widths)) / cortex.width_mm
        spread = float(np.subtract(*np.percentile(widths, [75, 25]))) / 1.349
        own = 1.25 * spread / math.sqrt(max(len(widths) * POINT_MM / ALIKE_MM, 1.0))
        relative = math.hypot(own / float(np.median(widths)), cortex.width_sd_mm / cortex.width_mm)
        known["edge_ratio"] = ratio
        known["edge_ratio_ci95"] = (
            ratio * math.exp(-Z95 * relative),
            ratio * math.exp(Z95 * relative),
        )
    return known


def _scaled(interval: Interval, factor: float) -> Interval:
    return interval[0] * factor, interval[1] * factor
