"""What changed in a lesion between two exams, and whether the two may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hoimg.results import Acquisition, Category, Change, Observation
from hoimg.serial.repeatability import rc_density_hu, rc_mass_pct, rc_volume_pct
from hoimg.settings import SerialSettings

LONG_INTERVAL = "long_interval"
"""Flag of a change that skips exams in between; those without it link consecutive measurements."""


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
        category: ``merged`` or ``split``; None to derive it from the volume.
        parents: lesion_id of the lesions that merged or split.
        flags: Flags to add.

    Returns:
        Percentages are of the earlier value; density is compared in HU. A lesion enlarges when
        its volume grows by more than the RC and shrinks when it falls by more than the RC. Where
        the exams may not be compared the numbers stand, ``comparable`` is false with the reasons
        in ``flags``, and no change is claimed.
    """
    reasons = comparability(*acquisitions, settings)
    if any(o.touches_fov for o in (*earlier, *later)):
        reasons.append("touches_fov")
    if any("crosses_gap" in o.flags for o in (*earlier, *later)):
        reasons.append("crosses_gap")
    found = list(flags)
    volumes = _sum(earlier, "volume_mm3"), _sum(later, "volume_mm3")
    masses = _sum(earlier, "mineral_mass_hu_mm3"), _sum(later, "mineral_mass_hu_mm3")
    volume_pct, mass_pct = _percent(*volumes), _percent(*masses)
    volume_rc = None
    if volume_pct is None:
        found.append("volume_change_not_measured")
    elif volumes[0] is not None:
        volume_rc = rc_volume_pct(volumes[0], settings)
    density, density_rc = None, None
    one_each = len(earlier) == len(later) == 1
    if one_each and earlier[0].mean_hu is not None and later[0].mean_hu is not None:
        density = later[0].mean_hu - earlier[0].mean_hu
        density_rc = rc_density_hu(earlier[0].mean_hu, settings)
    kind: Category = "no_detectable_change"
    if category is not None:
        kind = category
    elif not reasons and volume_pct is not None and volume_rc is not None:
        if volume_pct > volume_rc:
            kind = "enlarging"
        elif volume_pct < -volume_rc:
            kind = "shrinking"
    return Change(
        from_exam=earlier[0].exam_id,
        to_exam=later[0].exam_id,
        days=days,
        volume_change_pct=volume_pct,
        volume_rc_pct=volume_rc,
        mass_change_pct=mass_pct,
        mass_rc_pct=None if mass_pct is None else rc_mass_pct(settings),
        density_change_hu=density,
        density_rc_hu=density_rc,
        category=kind,
        comparable=not reasons,
        parents=list(parents),
        flags=[*found, *reasons],
    )


def _sum(observations: Sequence[Observation], field: str) -> float | None:
    values = [getattr(o, field) for o in observations]
    return None if any(v is None for v in values) else float(sum(values))


def _percent(before: float | None, after: float | None) -> float | None:
    if before is None or after is None or before <= 0 or not math.isfinite(after / before):
        return None
    return 100 * (after / before - 1)


def _kernel(acquisition: Acquisition) -> str | None:
    return None if acquisition.kernel is None else acquisition.kernel.strip().upper() or None


def _slice_mm(acquisition: Acquisition) -> float | None:
    if acquisition.slice_thickness_mm is not None:
        return acquisition.slice_thickness_mm
    return None if acquisition.spacing_zyx_mm is None else acquisition.spacing_zyx_mm[0]


def _too_unlike(a: object, b: object, settings: SerialSettings) -> bool:
    if not isinstance(a, float) or not isinstance(b, float) or min(a, b) <= 0:
        return True
    # Rounded, because 1.25 against 1.0 is at the limit whatever the last binary digit says.
    return round(max(a, b) / min(a, b) - 1, 6) > settings.max_slice_difference
