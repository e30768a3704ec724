"""The change of a lesion's projected area between two films of the same view."""

from __future__ import annotations

import math

from hoimg.results import Category, Change, Observation
from hoimg.serial.repeatability import Measured, allowed_pct
from hoimg.settings import FilmSettings

RC_FROM_INTERVALS = "area_rc_from_intervals"
NOT_MEASURED = "area_change_not_measured"
NOT_IN_FILMS = "change_not_in_images"
IN_PATIENT = ("calibrated", "detector_corrected")


def compare_on_films(
    earlier: Observation,
    later: Observation,
    days: int,
    settings: FilmSettings,
    *,
    area_scale: float | None,
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
    sizes = _sizes(earlier, later, area_scale)
    percent = rc = None
    if sizes is None:
        found.append(NOT_MEASURED)
    else:
        percent = 100.0 * (sizes[1].value / sizes[0].value - 1.0)
        rc = settings.rc_area_pct
        by_intervals = allowed_pct(*sizes, settings.area_shared_error)
        if by_intervals is not None and by_intervals > rc:
            rc = by_intervals
            found.append(RC_FROM_INTERVALS)
    kind: Category = "no_detectable_change"
    if not why and percent is not None and rc is not None and abs(percent) > rc:
        seen = shown[0] if percent > 0 else shown[1]
        if seen is not None and seen < settings.area_min_shown:
            why.append(NOT_IN_FILMS)
        else:
            kind = "enlarging" if percent > 0 else "shrinking"
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
