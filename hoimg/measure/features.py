"""Maturity features: RIM, EDGE, ZONE and CORE, from profiles across the surface.

Each is relative to the patient's own cortex in the same scan where there is one
(:mod:`hoimg.measure.cortex`), so that resolution and kernel cancel as far as they can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.measure.density import DepthMap
from hoimg.measure.profiles import DISTANCES_MM, STEP_MM
from hoimg.measure.size import Envelope
from hoimg.measure.uncertainty import Interval, Uncertainty
from hoimg.settings import MeasureSettings

Floats = NDArray[np.float64]

CORE_TOO_SMALL = "core_too_small"
"""Flag: CORE is null, and ZONE too unless the body grows denser inwards throughout."""


@dataclass(frozen=True)
class Features:
    """Maturity features; None where unrated, the reason in ``flags``.

    Attributes:
        rim_fraction: RIM, share of the free surface with a cortex-like peak.
        edge_ratio: EDGE, median 10-90 % width over that of the own cortex.
        zone_contrast_hu: ZONE, mean of the outer zone minus mean of the core, HU.
        core_marrow_fraction: CORE, marrow-like share of the enclosed core.
        rim_ci95: Interval of RIM.
        edge_ci95: Interval of EDGE.
        zone_ci95: Interval of ZONE, HU.
        core_ci95: Interval of CORE.
        profiles: Number of profiles behind RIM, EDGE and the outer zone.
        flags: Reasons.
    """

    rim_fraction: float | None
    edge_ratio: float | None
    zone_contrast_hu: float | None
    core_marrow_fraction: float | None
    rim_ci95: Interval | None
    edge_ci95: Interval | None
    zone_ci95: Interval | None
    core_ci95: Interval | None
    profiles: int
    flags: tuple[str, ...]


def features_of(
    sure: Uncertainty,
    depths: DepthMap,
    voxel_mm3: float,
    *,
    slice_mm: float,
    cortex_peak_hu: float | None,
    cortex_width_mm: float | None,
) -> Features:
    """Measure RIM, EDGE, ZONE and CORE.

    Args:
        sure: The lesion's surface with the profiles across it, and what its intervals rest on.
        depths: Its voxels with their depth.
        voxel_mm3: Volume of a voxel.
        slice_mm: Effective slice thickness (the larger of thickness and distance).
        cortex_peak_hu: Own cortex at matched thickness; None when there is none in view.
        cortex_width_mm: Its 10-90 % outer width; None likewise.
    """
    envelope, settings = sure.envelope, sure.settings
    flags: list[str] = []
    rated = envelope.free & np.isfinite(envelope.edges.peak_hu)
    count = int(np.count_nonzero(rated))
    rim: float | None = None
    edge: float | None = None
    edge_ci: Interval | None = None
    too_thick = slice_mm > settings.rim_max_slice_mm + 1e-3
    if too_thick:
        flags.append("rim_unrated_slice_thickness")
    elif count < settings.rim_min_profiles:
        flags.append("rim_unrated_few_profiles")
    else:
        if cortex_peak_hu is None:
            flags.append("rim_without_cortex_reference")
        rim = rim_fraction(envelope, rim_threshold(settings, cortex_peak_hu))
        if cortex_width_mm is None:
            flags.append("edge_unrated_no_cortex")
        else:
            ratios = edge_ratios(envelope, cortex_width_mm, settings)
            low, edge, high = np.quantile(ratios, sure.median_ranks(sure.independent_profiles))
            edge_ci = (float(low), float(high))
    zone = zone_contrast(sure, depths, voxel_mm3)
    core: float | None = None
    core_ci: Interval | None = None
    if isinstance(zone, str):
        flags.append(zone)
    elif _too_small(depths, voxel_mm3, settings):
        flags.append(CORE_TOO_SMALL)
    elif rim is None:
        flags.append("core_unrated_without_rim")
    elif rim < settings.core_enclosed_rim:
        core = 0.0
        flags.append("core_not_enclosed")
    else:
        core, mm3 = marrow_fraction(depths, voxel_mm3, settings)
        core_ci = sure.fraction(core, mm3 / sure.grain_mm3)
    return Features(
        rim_fraction=rim,
        edge_ratio=None if edge is None else float(edge),
        zone_contrast_hu=None if isinstance(zone, str) else zone[0],
        core_marrow_fraction=core,
        rim_ci95=None if rim is None else sure.fraction(rim, sure.independent_profiles),
        edge_ci95=edge_ci,
        zone_ci95=None if isinstance(zone, str) else zone[1],
        core_ci95=core_ci,
        profiles=count,
        flags=tuple(flags),
    )


def rim_threshold(settings: MeasureSettings, cortex_peak_hu: float | None) -> float:
    """Peak HU from which a profile is cortex-like."""
    if cortex_peak_hu is None:
        return settings.rim_peak_fallback_hu
    return max(settings.rim_peak_fraction * cortex_peak_hu, settings.rim_peak_floor_hu)


def rim_fraction(envelope: Envelope, threshold_hu: float) -> float:
    """Share of the free surface (by area) whose profile peaks at or above ``threshold_hu``."""
    peak = envelope.edges.peak_hu
    area = envelope.mesh.vertex_area
    rated = envelope.free & np.isfinite(peak)
    hit = rated & (np.nan_to_num(peak, nan=-np.inf) >= threshold_hu)
    return float(area[hit].sum() / area[rated].sum())


def edge_ratios(envelope: Envelope, cortex_width_mm: float, settings: MeasureSettings) -> Floats:
    """10-90 % widths of the free surface's profiles over that of the patient's own cortex.

    A profile that rises less than ``edge_min_contrast_hu`` above soft tissue, or that never falls
    to a tenth of its height, has no margin: it counts with ``edge_wide_ratio``. Profiles cut short
    by bone or another lesion count for nothing.
    """
    edges = envelope.edges
    contrast = edges.peak_hu - edges.base_hu
    beside = envelope.foreign[:, DISTANCES_MM < 3.0].any(axis=1)
    rated = envelope.free & np.isfinite(edges.peak_hu)
    no_edge = ~np.isfinite(edges.width_mm) | (contrast < settings.edge_min_contrast_hu)
    ratio = np.where(no_edge, np.inf, edges.width_mm / cortex_width_mm)
    use = rated & ~(beside & ~np.isfinite(edges.width_mm))
    return np.minimum(ratio[use if use.any() else rated], settings.edge_wide_ratio)


def zone_contrast(
    sure: Uncertainty, depths: DepthMap, voxel_mm3: float
) -> tuple[float, Interval] | str:
    """Mean of the outer zone minus mean of the core, HU, with its interval.

    What blur carries out across the boundary is added back to the outer zone: its mean is the
    integral of the profile's excess from two sigma outside to ``rim_depth_mm`` inside, over that
    depth. Otherwise every sharp, solid lesion would seem darker outside than inside. A thin body
    has no core that deep; where it grows denser inwards throughout, the median of that rise stands
    for it, since the warning of a dense centre must not hang on thickness.

    Returns:
        Or the reason why it is not rated.
    """
    envelope, settings = sure.envelope, sure.settings
    if _too_small(depths, voxel_mm3, settings):
        if (rise := envelope.rise_hu) is None:
            return CORE_TOO_SMALL
        middle = -float(np.median(rise))
        spread = (float(rise.std()), sure.independent_profiles)
        return middle, sure.difference(middle, spread, (0.0, 1.0))
    core = depths.hu[_core(depths, settings)]
    edges = envelope.edges
    rated = envelope.free & np.isfinite(edges.half_mm)
    if np.count_nonzero(rated) < settings.rim_min_profiles:
        return "zone_unrated_few_profiles"
    s = DISTANCES_MM[None, :]
    # The true surface in the frame of the profiles: where the final mesh's vertex lies.
    moved = np.einsum(
        "ij,ij->i", envelope.mesh.points - envelope.read_mesh.points, envelope.read_mesh.normals
    )
    relative = s - moved[:, None]
    inside = relative >= -settings.rim_depth_mm
    spilled = (relative <= (2.0 * envelope.sigma_mm + STEP_MM)[:, None]) & ~envelope.foreign
    excess = (envelope.profiles - edges.base_hu[:, None]) * (inside & spilled)
    shell = (edges.base_hu + excess.sum(axis=1) * STEP_MM / settings.rim_depth_mm)[rated]
    mean_shell = float(np.average(shell, weights=envelope.mesh.vertex_area[rated]))
    contrast = mean_shell - float(core.mean())
    return contrast, sure.difference(
        contrast,
        (float(shell.std()), sure.independent_profiles),
        (float(core.std()), core.size * voxel_mm3 / sure.grain_mm3),
    )


def marrow_fraction(
    depths: DepthMap, voxel_mm3: float, settings: MeasureSettings
) -> tuple[float, float]:
    """Share of core voxels that are as dense as marrow (by the settings), and the core in mm3."""
    hu = depths.hu[_core(depths, settings)]
    like = (hu >= settings.core_marrow_low_hu) & (hu <= settings.core_marrow_high_hu)
    return float(like.mean()), hu.size * voxel_mm3


def _core(depths: DepthMap, settings: MeasureSettings) -> NDArray[np.bool_]:
    return np.asarray(depths.own & (depths.depth_mm >= settings.core_depth_mm))


def _too_small(depths: DepthMap, voxel_mm3: float, settings: MeasureSettings) -> bool:
    voxels = np.count_nonzero(_core(depths, settings))
    return bool(voxels * voxel_mm3 < settings.core_min_mm3)
