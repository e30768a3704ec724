"""Which series of a study is measured, and the reason in words.

Order of preference: original axial images before reformats; the longest coverage (within 10 %);
thin enough for the rim (1.5 mm), then for the quality gate (2.5 mm), then the rest; a soft-tissue
kernel before an unknown and a sharp one (a bone kernel overshoots at edges: 436 instead of 345
cm3 on a plastic skull at one threshold); without contrast agent; the thinner; the more slices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from hoimg.dicom.types import SeriesInfo

KernelClass = Literal["soft", "unknown", "sharp"]

COVERAGE_TOLERANCE = 0.9
"""Series that cover at least this share of the longest one, or lack at most one of its slice
steps (thick slices reach further at both ends), count as equally long."""
_SIEMENS = re.compile(r"^[A-Z][A-Z]?(\d{2})[A-Z]?(\\|/|$)")
_TOSHIBA = re.compile(r"^FC(\d{2})")
_SHARP_WORDS = ("BONE", "EDGE", "LUNG", "SHARP", "ULTRA")
_SOFT_WORDS = ("STANDARD", "SOFT", "DETAIL", "CHST", "STND")
_PHILIPS_SOFT = {"A", "B", "C", "UA", "UB", "UC"}
_PHILIPS_SHARP = {"D", "E", "L", "YA", "YB", "YC", "YD"}


def kernel_class(kernel: str | None) -> KernelClass:
    """Soft-tissue or sharp, from the scanner's name of the kernel.

    Siemens names carry a sharpness (``Br38f``, ``B60s``: 50 and above is sharp), Toshiba/Canon a
    number (FC01-FC29 body and brain, FC30 and above bone and lung), GE words, Philips letters.
    """
    name = (kernel or "").upper().strip()
    if not name:
        return "unknown"
    if any(word in name for word in _SHARP_WORDS):
        return "sharp"
    if any(word in name for word in _SOFT_WORDS):
        return "soft"
    if match := _TOSHIBA.match(name):
        return "soft" if int(match[1]) < 30 or 40 <= int(match[1]) < 50 else "sharp"
    if match := _SIEMENS.match(name):
        return "soft" if int(match[1]) < 50 else "sharp"
    if name in _PHILIPS_SOFT:
        return "soft"
    return "sharp" if name in _PHILIPS_SHARP else "unknown"


def choose_series(candidates: Sequence[SeriesInfo]) -> tuple[SeriesInfo, str]:
    """The series of one study to measure, and why.

    Args:
        candidates: Usable series of one study, at least one.

    Returns:
        The series and one sentence with the properties that decided.
    """
    if len(candidates) == 1:
        return candidates[0], "the only usable CT series of the study"
    originals = [s for s in candidates if s.original] or list(candidates)
    longest = max(originals, key=lambda s: s.coverage_mm)
    least = min(COVERAGE_TOLERANCE * longest.coverage_mm, longest.coverage_mm - _step(longest))
    long_enough = [s for s in originals if s.coverage_mm >= least]
    best = min(long_enough, key=_rank)
    reasons = []
    if best.original and len(originals) < len(candidates):
        reasons.append("original axial images")
    if len(long_enough) < len(originals):
        reasons.append(f"longest coverage ({best.coverage_mm:.0f} mm)")
    reasons.append(f"{_thickness(best):g} mm slices")
    if best.acquisition.kernel:
        reasons.append(f"{kernel_class(best.acquisition.kernel)} kernel {best.acquisition.kernel}")
    if any(s.acquisition.contrast for s in long_enough) and not best.acquisition.contrast:
        reasons.append("without contrast agent")
    return best, f"chosen of {len(candidates)} usable CT series: " + ", ".join(reasons)


def _step(series: SeriesInfo) -> float:
    assert series.grid is not None
    return series.grid.spacing_zyx_mm[0]


def _thickness(series: SeriesInfo) -> float:
    return series.acquisition.slice_thickness_mm or _step(series)


def _rank(series: SeriesInfo) -> tuple[int, int, bool, float, int, str]:
    assert series.grid is not None
    thickness = _thickness(series)
    thin = sum(thickness > limit + 0.01 for limit in (1.5, 2.5, 5.0))
    kernel = ("soft", "unknown", "sharp").index(kernel_class(series.acquisition.kernel))
    contrast = bool(series.acquisition.contrast)
    slices = series.grid.size_zyx[0]
    return (thin, kernel, contrast, thickness, -slices, series.series_uid)
