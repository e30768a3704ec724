"""Grades of a hip on CT: Brooker's, Della Valle's and Mavrogenis's, as equivalents.

The first two were made for films from the front: projection shortens a gap, magnification lengthens
it, and what merely overlies looks like a bridge, hence "apparent". On CT the gap is measured in
space, so the same words mean something else; the gap in mm stands beside every grade.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hoimg.results import Hip, Observation
from hoimg.settings import MaturitySettings

REFUSED = ("hip_not_in_view", "hip_not_separable")
"""Flags of a hip whose two sides are not known: nothing is graded."""

Gap = Literal["wide", "borderline", "narrow", "bridged"]
Brooker = Literal["0", "I", "II", "borderline II/III", "III", "IV (apparent)"]
DellaValle = Literal["A", "B", "borderline B/C", "C"]
BY_GAP: Mapping[Gap, tuple[Brooker, DellaValle]] = {
    "wide": ("II", "B"),
    "borderline": ("borderline II/III", "borderline B/C"),
    "narrow": ("III", "C"),
    "bridged": ("IV (apparent)", "C"),
}
"""What a gap between opposing ossification says, on CT as on films."""


def grade_hip(
    hip: Hip, observations: Mapping[int, Observation], settings: MaturitySettings | None = None
) -> Hip:
    """The hip with its grades.

    Args:
        hip: As measured.
        observations: Of the exam, by label value; those about this hip give their size.
        settings: Thresholds; defaults when None.

    Returns:
        A copy with ``brooker_equivalent``, ``della_valle_equivalent`` and
        ``mavrogenis_equivalent``; None where they cannot be told, with the reason in its flags.
    """
    settings = settings or MaturitySettings()
    if any(flag in REFUSED for flag in hip.flags):
        return hip
    joined = bool(hip.joined_to_pelvis or hip.joined_to_femur)
    if joined and hip.gap_mm is None:
        told: dict[str, Any] = {}
        flags = ["gap_not_measured"]
    elif joined and hip.gap_mm is not None:
        brooker, della_valle = BY_GAP[gap_class(hip.gap_mm, settings)]
        told = {"brooker_equivalent": brooker, "della_valle_equivalent": della_valle}
        flags = []
    else:
        told, flags = _islands(hip, observations, settings)
    site, why = _mavrogenis(hip, settings)
    return hip.model_copy(
        update=told | {"mavrogenis_equivalent": site, "flags": [*hip.flags, *flags, *why]}
    )


def gap_class(gap_mm: float, settings: MaturitySettings) -> Gap:
    """On which side of the limit a gap lies."""
    limit, share = settings.hip_gap_limit_mm, settings.hip_gap_borderline
    if gap_mm == 0:
        return "bridged"
    if gap_mm < limit * (1 - share):
        return "narrow"
    return "borderline" if gap_mm <= limit * (1 + share) else "wide"


def _islands(
    hip: Hip, observations: Mapping[int, Observation], settings: MaturitySettings
) -> tuple[dict[str, Any], list[str]]:
    """Ossification that is joined to neither side, or none at all."""
    if not hip.labels:
        return {"brooker_equivalent": "0", "della_valle_equivalent": "A"}, []
    sizes = [observations[v].max_diameter_mm if v in observations else None for v in hip.labels]
    known = [s for s in sizes if s is not None]
    if any(s >= settings.hip_gap_limit_mm for s in known):
        return {"brooker_equivalent": "I", "della_valle_equivalent": "B"}, []
    if len(known) < len(sizes):
        return {"brooker_equivalent": "I"}, ["island_size_not_measured"]
    return {"brooker_equivalent": "I", "della_valle_equivalent": "A"}, []


def _mavrogenis(
    hip: Hip, settings: MaturitySettings
) -> tuple[Literal["1", "2", "3", "4"] | None, list[str]]:
    if hip.site_angle_deg is None or hip.site_share is None:
        return None, []
    if hip.site_share >= settings.hip_circumferential:
        return "4", []
    angle = (hip.site_angle_deg + 180.0) % 360.0 - 180.0
    if abs(angle) <= settings.hip_anterior_deg:
        return "1", []
    if abs(angle) >= 180.0 - settings.hip_posterior_deg:
        return "2", []
    return ("3", []) if angle > 0 else (None, ["site_lateral"])
