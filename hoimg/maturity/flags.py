"""The one table of flags that keep a lesion from being labelled, and what each means."""

from __future__ import annotations

from collections.abc import Iterable

MIMIC_PREFIX = "mimic_"

MIMICS: dict[str, str] = {
    "mimic_osteosarcoma": "extraskeletal or parosteal osteosarcoma (centre denser than the rim)",
    "mimic_sarcoma": "other mineralised sarcoma (mineral inside a mass)",
    "mimic_tumoral_calcinosis": "tumoral calcinosis (lobules without a cortex)",
    "mimic_calcific_tendinitis": "calcific tendinitis (homogeneous, in a tendon)",
    "mimic_phlebolith": "phlebolith (small, round, lucent centre)",
    "mimic_vascular": "arterial calcification (tram-track)",
    "mimic_stone": "stone in the urinary tract or bowel content",
    "mimic_lymph_node": "calcified lymph node",
    "mimic_fracture": "avulsion, fragment or callus",
    "mimic_sesamoid": "sesamoid, ossicle or apophysis",
}
"""Known mimic flags. Any other flag that begins with ``mimic_`` blocks a label just the same."""

NEAR_METAL = frozenset({"near_metal"})
STREAK = frozenset({"streak", "streaks", "metal_streak", "metal_streaks"})
CONTRAST = frozenset({"contrast_overlap"})
CUT = frozenset({"touches_fov", "cut_by_fov", "scan_end"})
GAP = frozenset({"crosses_gap"})


def has_any(flags: Iterable[str], names: frozenset[str]) -> bool:
    """Whether one of ``names`` is among an observation's flags."""
    return not names.isdisjoint(flags)


def mimic_flags(flags: Iterable[str]) -> list[str]:
    """The mimic flags among ``flags``, sorted and without repeats."""
    return sorted({flag for flag in flags if flag.startswith(MIMIC_PREFIX)})


def mimic_meaning(flag: str) -> str:
    """What a mimic flag stands for, in words."""
    return MIMICS.get(flag, flag.removeprefix(MIMIC_PREFIX).replace("_", " "))
