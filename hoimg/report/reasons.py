"""Reason codes and flags of the other stages in plain words, and which flag explains which gap."""

from __future__ import annotations

from hoimg.report.words import plain
from hoimg.results import Observation

REASONS: dict[str, str] = {}

# Which words in a flag say that it speaks of this field.
_ABOUT: dict[str, tuple[str, ...]] = {
    "volume_mm3": ("volume", "size"),
    "threshold_volume_mm3": ("threshold", "volume"),
    "mineral_mass_hu_mm3": ("mass", "background"),
    "mean_hu": ("density", "mean", "mineral"),
    "median_hu": ("density", "mineral"),
    "p95_hu": ("density", "mineral"),
    "background_hu": ("background",),
    "rim_fraction": ("rim",),
    "edge_ratio": ("edge", "margin", "cortex"),
    "zone_contrast_hu": ("zone", "shell"),
    "core_marrow_fraction": ("core",),
    "max_diameter_mm": ("diameter",),
    "surface_area_mm2": ("surface",),
    "sphericity": ("sphericity", "surface"),
    "distance_to_bone_mm": ("bone", "skeleton"),
    "touches_bone": ("bone", "skeleton"),
    "distance_to_metal_mm": ("metal",),
}


def reason_text(code: str) -> str:
    """A reason code or flag in plain words; an unknown one is spelt out.

    A code may carry a detail after a colon (``merged:L2``); the detail is kept.
    """
    head, colon, detail = code.partition(":")
    text = REASONS.get(head, plain(head))
    return f"{text}: {detail.strip()}" if colon and detail.strip() else text


def missing_reason(field: str, seen: Observation) -> str:
    """Why a field of an observation is missing, in plain words; empty when its status says it."""
    if seen.status == "absent":
        return ""
    about = _ABOUT.get(field, ())
    told = [flag for flag in seen.flags if any(word in flag.split(":")[0] for word in about)]
    if told:
        return "; ".join(reason_text(flag) for flag in told)
    return "see flags" if seen.flags else ""
