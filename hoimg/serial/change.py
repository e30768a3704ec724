"""What changed in a lesion between two exams, and whether the two may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hoimg.results import Acquisition, Category, Change, Observation
from hoimg.serial.repeatability import (
    Measured,
    allowed,
    allowed_pct,
    rc_density_hu,
    rc_mass_pct,
    rc_volume_pct,
)
from hoimg.settings import SerialSettings

LONG_INTERVAL = "long_interval"
"""Flag of a change that skips exams in between; those without it link consecutive measurements."""

BY_VOLUME_AND_MASS = "by_volume_and_mass"
"""Flag of a change called by volume and mass together, the volume alone being within its RC."""

GROWTH_IN_IMAGES = "growth_in_images"
"""Flag of growth that the images show: the RC of volume and mass are those of the settings."""


def comparability(earlier: Acquisition, later: Acquisition, settings: SerialSettings) -> list[str]:
    """Why two exams may not be compared; empty when they were made alike.

    A value that only one of the two states is a reason too (nobody knows that it is the same); one
    that neither states is not, so that plain arrays can be compared.

    Returns:
        Some of ``kvp_differs``, ``kernel_differs``, ``slice_thickness_differs`` and the same with
        ``_unknown``. Thickness differs when the thicker exceeds the thinner by more than
        ``max_slice_difference``, which is the same in both directions.
    """
    reasons = []
    pairs = (
        ("kvp", earlier.kvp, later.kvp),
        ("kernel", _kernel(earlier), _kernel(later)),
        ("slice_thickness", _slice_mm(earlier), _slice_mm(later)),
    )
    for name, a, b in pairs:
        if (a is None) != (b is None):
            reasons.append(f"{name}_unknown")
        elif a != b and (name != "slice_thickness" or _too_unlike(a, b, settings)):
            reasons.append(f"{name}_differs")
    return reasons


def compare(
    earlier: Sequence[Observation],
    later: Sequence[Observation],
    acquisitions: tuple[Acquisition, Acquisition],
    days: int,
    settings: SerialSettings,
    *,
    category: Category | None = None,
    parents: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> Change:
    """The change from one exam to another, both seen in it.

    Args:
        earlier: The lesion in the earlier exam; several where they merged since.
        later: The lesion in the later exam; several where it split since.
        acquisitions: Of the earlier and of the later exam.
        days: Interval.
        settings: Repeatability and comparability.
        category: ``merged`` or ``split``; None to derive it from the numbers.
        parents: lesion_id of the lesions that merged or split.
        flags: Flags to add.

    Returns:
        Percentages are of the earlier value; density is compared in HU, the rim as a difference of
        fractions. The RC in force is never below what the 95 % intervals of both measurements
        allow. Where the exams may not be compared the numbers stand, ``comparable`` is false with
        the reasons in ``flags``, and no change is claimed.
    """
    reasons = comparability(*acquisitions, settings)
    reasons += incomparable_in(earlier, later, settings)
    sizes = volumes(earlier), volumes(later)
    masses = (
        _sum(earlier, "mineral_mass_hu_mm3", "mineral_mass_ci95_hu_mm3"),
        _sum(later, "mineral_mass_hu_mm3", "mineral_mass_ci95_hu_mm3"),
    )
    volume_pct, mass_pct = _percent(*sizes), _percent(*masses)
    shared = _shared(earlier, later, settings)
    volume_rc = mass_rc = density = density_rc = rim = rim_rc = None
    known_volume = known_mass = known_density = None
    found = list(flags)
    widened: list[str] = []
    if volume_pct is None:
        found.append("volume_change_not_measured")
    elif sizes[0] is not None:
        known_volume = rc_volume_pct(sizes[0].value, settings)
        volume_rc = _in_force(known_volume, allowed_pct(*sizes, shared), "volume", widened)
    if mass_pct is not None:
        known_mass = rc_mass_pct(settings)
        mass_rc = _in_force(known_mass, allowed_pct(*masses, shared), "mass", widened)
    if len(earlier) == len(later) == 1:  # parts of different density have no common one
        hus = _sum(earlier, "mean_hu", "mean_ci95_hu"), _sum(later, "mean_hu", "mean_ci95_hu")
        rims = (
            _sum(earlier, "rim_fraction", "rim_fraction_ci95"),
            _sum(later, "rim_fraction", "rim_fraction_ci95"),
        )
        if hus[0] is not None and hus[1] is not None:
            density = hus[1].value - hus[0].value
            known_density = rc_density_hu(hus[0].value, settings)
            density_rc = _in_force(known_density, allowed(*hus, shared), "density", widened)
        if rims[0] is not None and rims[1] is not None:
            rim = rims[1].value - rims[0].value
            rim_rc = _in_force(settings.rc_rim, allowed(*rims, shared), "rim", widened)
    kind: Category = "no_detectable_change"
    if category is not None:
        kind = category
    elif not reasons:
        own = max(settings.volume_with_mass_pct, allowed_pct(*sizes, shared) or 0.0)
        steps = _way(volume_pct, volume_rc), _way(mass_pct, mass_rc), _way(volume_pct, own)
        kind, how = _category(*steps)
        found += how
    return Change(
        from_exam=earlier[0].exam_id,
        to_exam=later[0].exam_id,
        days=days,
        volume_change_pct=volume_pct,
        volume_rc_pct=volume_rc,
        mass_change_pct=mass_pct,
        mass_rc_pct=mass_rc,
        density_change_hu=density,
        density_rc_hu=density_rc,
        volume_rc_settings_pct=known_volume,
        mass_rc_settings_pct=known_mass,
        density_rc_settings_hu=known_density,
        rim_change=rim,
        rim_rc=rim_rc,
        category=kind,
        comparable=not reasons,
        parents=list(parents),
        flags=[*found, *widened, *reasons],
    )


def as_images_show(change: Change, settings: SerialSettings) -> Change:
    """What a change would be called if the images showed all of it.

    The intervals of two measurements are those of their outlines above all, and widen the RC. Where
    what was gained is seen to have been soft tissue before, no outline has made it: the RC of the
    settings hold.

    Args:
        change: From :func:`compare`.
        settings: ``volume_with_mass_pct``.
    """
    volume_rc, mass_rc = change.volume_rc_settings_pct, change.mass_rc_settings_pct
    kind, how = _category(
        _way(change.volume_change_pct, volume_rc),
        _way(change.mass_change_pct, mass_rc),
        _way(change.volume_change_pct, settings.volume_with_mass_pct),
    )
    lifted = ("volume_rc_from_intervals", "mass_rc_from_intervals", BY_VOLUME_AND_MASS)
    flags = [*(flag for flag in change.flags if flag not in lifted), *how, GROWTH_IN_IMAGES]
    return change.model_copy(
        update={
            "category": kind,
            "volume_rc_pct": volume_rc,
            "mass_rc_pct": mass_rc,
            "flags": flags,
        }
    )


def _shared(
    earlier: Sequence[Observation], later: Sequence[Observation], settings: SerialSettings
) -> float:
    """How far the errors of two measurements cancel: less where the lesion looks different."""
    if len(earlier) == len(later) == 1:
        before, after = earlier[0].mean_hu, later[0].mean_hu
        if before is not None and after is not None:
            alike = abs(after - before) <= rc_density_hu(before, settings)
            return settings.shared_error if alike else settings.shared_error_changed
    return settings.shared_error_changed


def incomparable_in(
    earlier: Sequence[Observation], later: Sequence[Observation], settings: SerialSettings
) -> list[str]:
    """Why two observations may not be compared, however their exams were made.

    Returns:
        Some of ``touches_fov`` and ``crosses_gap`` (in either) and ``metal_differs`` (metal near
        the lesion in one only: what was put in between shades and streaks).
    """
    reasons = []
    if any(o.touches_fov for o in (*earlier, *later)):
        reasons.append("touches_fov")
    if any("crosses_gap" in o.flags for o in (*earlier, *later)):
        reasons.append("crosses_gap")
    near = [any(_near_metal(o, settings) for o in seen) for seen in (earlier, later)]
    if near[0] != near[1]:
        reasons.append("metal_differs")
    return reasons


def _near_metal(seen: Observation, settings: SerialSettings) -> bool:
    distance = seen.distance_to_metal_mm
    return distance is not None and distance < settings.near_metal_mm


def _category(volume: int, mass: int, own: int) -> tuple[Category, list[str]]:
    """What a change is called, from the directions (1, 0, -1) of its quantities.

    Volume beyond its RC decides alone. Short of it, a smaller change of volume is called where the
    mass, whose repeatability is better, changed with it. Mass alone never makes a lesion larger:
    mineral laid down in a lesion that kept its size is ripening.

    Args:
        volume: Beyond its RC.
        mass: Beyond its RC.
        own: Of the volume, beyond ``volume_with_mass_pct`` and the measurements' intervals.
    """
    names: dict[int, Category] = {1: "enlarging", -1: "shrinking", 0: "no_detectable_change"}
    if volume:
        return names[volume], []
    if own and own == mass:
        return names[own], [BY_VOLUME_AND_MASS]
    return names[0], []


def _way(change: float | None, limit: float | None) -> int:
    """1 beyond the limit, -1 beyond it downwards, 0 within it or unknown."""
    if change is None or limit is None:
        return 0
    return (change > limit) - (change < -limit)


def _in_force(known: float, intervals: float | None, name: str, widened: list[str]) -> float:
    """The larger of the RC of the settings and of what the measurements' intervals allow."""
    if intervals is None or intervals <= known:
        return known
    widened.append(f"{name}_rc_from_intervals")
    return intervals


def volumes(seen: Sequence[Observation]) -> Measured | None:
    """The volume of a lesion, or of its parts together, mm3; None where one has none."""
    return _sum(seen, "volume_mm3", "volume_ci95_mm3")


def _sum(seen: Sequence[Observation], field: str, interval: str) -> Measured | None:
    """A number, or the sum over parts; the limits of parts add up, their errors being alike."""
    values = [getattr(o, field) for o in seen]
    if any(v is None for v in values):
        return None
    limits = [getattr(o, interval) for o in seen]
    if any(ci is None for ci in limits):
        return Measured(float(sum(values)), None)
    return Measured(float(sum(values)), (sum(ci[0] for ci in limits), sum(ci[1] for ci in limits)))


def _percent(before: Measured | None, after: Measured | None) -> float | None:
    if before is None or after is None or before.value <= 0:
        return None
    ratio = after.value / before.value
    return 100 * (ratio - 1) if math.isfinite(ratio) else None


def _kernel(acquisition: Acquisition) -> str | None:
    return None if acquisition.kernel is None else acquisition.kernel.strip().upper() or None


def _slice_mm(acquisition: Acquisition) -> float | None:
    """The coarser of nominal thickness and slice distance, mm: thin slices far apart are thick."""
    spacing = acquisition.spacing_zyx_mm
    known = (acquisition.slice_thickness_mm, None if spacing is None else spacing[0])
    return max((v for v in known if v is not None), default=None)


def _too_unlike(a: object, b: object, settings: SerialSettings) -> bool:
    if not isinstance(a, float) or not isinstance(b, float) or min(a, b) <= 0:
        return True
    # Rounded, because 1.25 against 1.0 is at the limit whatever the last binary digit says.
    return round(max(a, b) / min(a, b) - 1, 6) > settings.max_slice_difference
