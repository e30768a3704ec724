"""The change of a lesion's projected area between two films of the same view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.results import Category, Change, Observation
from hoimg.serial.repeatability import Measured, allowed_pct
from hoimg.settings import FilmSettings

if TYPE_CHECKING:
    from hoimg.serial.film_together import Together

RC_FROM_INTERVALS = "area_rc_from_intervals"
NOT_MEASURED = "area_change_not_measured"
NOT_IN_FILMS = "change_not_in_images"
TOGETHER = "area_change_of_outlines_together"
DISAGREE = "area_changes_disagree"
SHARED_MM = 0.5
"""Outlines nearer to each other than this share their error, which cancels in a change."""
IN_PATIENT = ("calibrated", "detector_corrected")


@dataclass(frozen=True)
class AreasTogether:
    """Areas of a lesion on two films by outlines that were drawn on both, in one unit.

    Attributes:
        earlier: With an interval for the parts of its outline that differ.
        later: Likewise.
        ratios: Least and largest ratio of the areas, over theirs, that fit nearly as well.
    """

    earlier: Measured
    later: Measured
    ratios: tuple[float, float]


def areas_together(
    outlines: Together, spacing_yx_mm: tuple[float, float], settings: FilmSettings
) -> AreasTogether:
    """The areas of outlines that were drawn on both films.

    What both have in common cancels in their change, errors too: only where they differ does the
    place of an outline, by the edge that it lies on, add to the interval.

    Args:
        outlines: On the earlier film's pixels.
        spacing_yx_mm: Of these.
        settings: How well an outline's place is known.
    """
    one, two = outlines.earlier_yx, outlines.later_yx
    costs = outlines.edge_costs
    return AreasTogether(
        _area(one, two, costs[0], spacing_yx_mm, settings),
        _area(two, one, costs[1], spacing_yx_mm, settings),
        outlines.ratios,
    )


def _area(
    inside: NDArray[np.bool_],
    other: NDArray[np.bool_],
    edge_cost: float,
    spacing_yx_mm: tuple[float, float],
    settings: FilmSettings,
) -> Measured:
    """mm2, with an interval for the parts of the outline that are not the other's."""
    from scipy import ndimage

    from hoimg.measure.film import outline_sd_mm
    from hoimg.measure.film_profiles import POINT_MM, contours
    from hoimg.measure.uncertainty import Z95

    rim = other ^ ndimage.binary_erosion(other)
    away = ndimage.distance_transform_edt(~rim, sampling=spacing_yx_mm)
    differs = 0
    for points, _ in contours(inside, spacing_yx_mm):
        rows, columns = np.rint(points / np.asarray(spacing_yx_mm)).astype(int).T
        rows, columns = np.clip(rows, 0, away.shape[0] - 1), np.clip(columns, 0, away.shape[1] - 1)
        differs += int((away[rows, columns] > SHARED_MM).sum())
    area = float(inside.sum()) * math.prod(spacing_yx_mm)
    aside = Z95 * outline_sd_mm(edge_cost, settings) * differs * POINT_MM
    return Measured(area, (max(area - aside, 0.0), area + aside))


def compare_on_films(
    earlier: Observation,
    later: Observation,
    days: int,
    settings: FilmSettings,
    *,
    area_scale: float | None,
    together: AreasTogether | None = None,
    shown: tuple[float | None, float | None] = (None, None),
    reasons: tuple[str, ...] = (),
    flags: tuple[str, ...] = (),
) -> Change:
    """The change of area from one film to another.

    Args:
        earlier: Of the lesion on the earlier film.
        later: On the later one.
        days: Interval.
        settings: Repeatability.
        area_scale: Pixels of the later film for one of the earlier, by the registration: the ratio
            of areas in pixels that an unchanged lesion would show. None where there is no
            registration to trust; then areas in mm2 are compared for showing, where both hold in
            the patient.
        together: The areas by outlines that were drawn on both films, where there are such: they
            are compared in place of those of each film alone, and a flag says so; not where each
            film's own outline tells another change than its interval allows, nor where these
            differ by more than the RC and the ones drawn together do not
            (``area_changes_disagree``).
        shown: Gain and loss in the films where only one outline reaches
            (:func:`hoimg.serial.film_images.shown_in_films`); None where it is not known.
        reasons: Why the films may not be compared.
        flags: Flags to add.

    Returns:
        The change in percent of the earlier area. The RC in force is that of the settings, or what
        the intervals of both allow where that is more (``area_rc_from_intervals``). Where the
        outlines differ by more and the films do not, nothing is compared
        (``change_not_in_images``). Without comparability the numbers stand and no change is
        claimed.
    """
    why = list(reasons)
    if earlier.touches_fov or later.touches_fov:
        why.append("touches_fov")
    if any("region_too_tight" in o.flags for o in (earlier, later)):
        why.append("region_too_tight")
    found = list(flags)
    sizes = own = _sizes(earlier, later, area_scale)
    if together is not None:
        sizes = together.earlier, together.later
        found.append(TOGETHER)
        if own is not None and not _agree(sizes, own, settings):
            why.append(DISAGREE)
    percent = rc = None
    if sizes is None:
        found.append(NOT_MEASURED)
    else:
        percent = _percent(sizes)
        rc = settings.rc_area_pct
        by_intervals = allowed_pct(*sizes, settings.area_shared_error)
        if by_intervals is not None and together is not None:
            by_intervals = _with_others(by_intervals, together.ratios)
        if by_intervals is not None and by_intervals > rc:
            rc = by_intervals
            found.append(RC_FROM_INTERVALS)
    alone = None if together is None or own is None else _percent(own)
    kind: Category = "no_detectable_change"
    if not why and percent is not None and rc is not None:
        if abs(percent) > rc:
            seen = shown[0] if percent > 0 else shown[1]
            if seen is not None and seen < settings.area_min_shown:
                why.append(NOT_IN_FILMS)
            else:
                kind = "enlarging" if percent > 0 else "shrinking"
        elif alone is not None and abs(alone) > rc:
            # No change may be said of a lesion only where neither way of drawing shows one.
            why.append(DISAGREE)
    return Change(
        from_exam=earlier.exam_id,
        to_exam=later.exam_id,
        days=days,
        area_change_pct=percent,
        area_rc_pct=rc,
        category=kind,
        comparable=not why and percent is not None,
        flags=[*found, *why],
    )


def _percent(sizes: tuple[Measured, Measured]) -> float:
    return 100.0 * (sizes[1].value / sizes[0].value - 1.0)


def _agree(
    together: tuple[Measured, Measured], own: tuple[Measured, Measured], settings: FilmSettings
) -> bool:
    """Whether both ways to draw tell one change, within what each film's own outline allows.

    Outlines drawn together follow the films' difference, and so where a film was placed wrongly.
    """
    by_intervals = allowed_pct(*own, settings.area_shared_error) or 0.0
    room = math.log1p(max(settings.rc_area_pct, by_intervals) / 100)
    ratios = (math.log(two.value / one.value) for one, two in (together, own))
    return abs(next(ratios) - next(ratios)) <= room


def _with_others(allowed: float, ratios: tuple[float, float]) -> float:
    """Percent that may be by chance, with what other pairs of outlines leave open."""
    open_log = max(abs(math.log(r)) for r in ratios)
    return 100 * math.expm1(math.hypot(math.log1p(allowed / 100), open_log))


def _sizes(
    earlier: Observation, later: Observation, area_scale: float | None
) -> tuple[Measured, Measured] | None:
    """Both areas in one unit, with their intervals."""
    if area_scale is not None and math.isfinite(area_scale) and area_scale > 0:
        before, after = (Measured(o.area_px2 or 0.0, o.area_ci95_px2) for o in (earlier, later))
        low, high = after.ci95 or (math.nan, math.nan)
        scaled = None if after.ci95 is None else (low / area_scale, high / area_scale)
        after = Measured(after.value / area_scale, scaled)
    elif earlier.spacing_source in IN_PATIENT and later.spacing_source in IN_PATIENT:
        before, after = (Measured(o.area_mm2 or 0.0, o.area_ci95_mm2) for o in (earlier, later))
    else:
        return None
    return (before, after) if before.value > 0 and after.value > 0 else None
