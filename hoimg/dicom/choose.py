"""Which series of each study is measured, and the reason in words.

For one study, in this order:

1. original axial images before other originals, originals before reformats;
2. the longest coverage: what lies within 10 % (or one slice) of the longest counts as equal;
3. thin enough for the rim (1.5 mm), then for the quality gate (2.5 mm), then 5 mm, then the rest:
   the *thickness class*;
4. a soft-tissue kernel before an unknown and a sharp one: a bone kernel overshoots at edges, and
   sizes at a threshold come out too large (436 instead of 345 cm3 on a plastic skull);
5. without contrast agent, then the thinner, then the more slices.

Over time, what counts is that exams can be compared: among the series that pass 1 to 3 in their
own study, the combination is taken whose kernel class, contrast, thickness, tube voltage and
kernel agree best across the exams, in this order. That may overrule 4 and 5, never 1 to 3: if one
exam has a bone kernel only, the bone kernel of the others is the better partner. Where
combinations agree equally well, 4 and 5 decide.
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
THICKNESS_CLASSES_MM = (1.5, 2.5, 5.0)
"""Upper limits of the classes: good for the rim, for the quality gate, for finding at all."""
KVP_STEP = 5.0
"""Tube voltages that round to the same multiple count as equal, kV."""
_TRAITS = ("kernel class", "contrast", "thickness", "tube voltage", "kernel")
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
    return choose_together([candidates])[0]


def choose_together(
    studies: Sequence[Sequence[SeriesInfo]],
) -> list[tuple[SeriesInfo, str]]:
    """The series to measure in each study of one patient, so that they can be compared.

    Args:
        studies: Usable series of each study, at least one each.

    Returns:
        For each study the series and one sentence with the properties that decided.
    """
    shortlists = [_shortlist(candidates) for candidates in studies]
    own = [shortlist[0] for shortlist in shortlists]
    picked = own
    if len(studies) > 1 and any(len(shortlist) > 1 for shortlist in shortlists):
        references = {_signature(s): s for shortlist in shortlists for s in shortlist}
        rows = [
            [_nearest(shortlist, reference) for shortlist in shortlists]
            for reference in references.values()
        ]
        picked = min(rows, key=lambda row: _disagreement(row, shortlists))
    return [
        (best, _reason(best, first, candidates, picked))
        for best, first, candidates in zip(picked, own, studies, strict=True)
    ]


def _shortlist(candidates: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    """What passes rules 1 to 3, by rules 4 and 5."""
    long_enough = _long_enough(_most_original(candidates))
    thinnest = min(map(_thickness_class, long_enough))
    return sorted((s for s in long_enough if _thickness_class(s) == thinnest), key=_rank)


def _most_original(candidates: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    originals = [s for s in candidates if s.original]
    axial = [s for s in originals if _is_axial(s)]
    return axial or originals or list(candidates)


def _long_enough(candidates: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    longest = max(candidates, key=lambda s: s.coverage_mm)
    least = min(COVERAGE_TOLERANCE * longest.coverage_mm, longest.coverage_mm - _step(longest))
    return [s for s in candidates if s.coverage_mm >= least]


def _reason(
    best: SeriesInfo,
    own: SeriesInfo,
    candidates: Sequence[SeriesInfo],
    exams: Sequence[SeriesInfo],
) -> str:
    kernel = best.acquisition.kernel
    sharp = kernel_class(kernel) == "sharp"
    effect = " (overshoots at edges, sizes read too large)"
    if len(candidates) == 1:
        said = "the only usable CT series of the study"
        return f"{said}; sharp kernel {kernel}{effect}" if sharp else said
    originals = _most_original(candidates)
    long_enough = _long_enough(originals)
    reasons = []
    if best.original and len(originals) < len(candidates):
        reasons.append("original axial images" if _is_axial(best) else "original images")
    if len(long_enough) < len(originals):
        reasons.append(f"longest coverage ({best.coverage_mm:.0f} mm)")
    reasons.append(f"{_thickness(best):g} mm slices")
    if kernel:
        reasons.append(f"{kernel_class(kernel)} kernel {kernel}{effect if sharp else ''}")
    if any(s.acquisition.contrast for s in long_enough) and not best.acquisition.contrast:
        reasons.append("without contrast agent")
    if best is not own:
        others = [s for s in exams if s is not best]
        alike = [
            name
            for name, value, former in zip(_TRAITS, _signature(best), _signature(own), strict=True)
            if value != former and any(_signature(s)[_TRAITS.index(name)] == value for s in others)
        ]
        reasons.append(f"to match the {' and '.join(alike)} of the other exams")
    return f"chosen of {len(candidates)} usable CT series: " + ", ".join(reasons)


def _signature(series: SeriesInfo) -> tuple[object, ...]:
    """What should agree between exams, the weightiest first; see :data:`_TRAITS`."""
    made = series.acquisition
    kvp = None if made.kvp is None else round(made.kvp / KVP_STEP)
    return (
        kernel_class(made.kernel),
        bool(made.contrast),
        round(_thickness(series), 1),
        kvp,
        made.kernel,
    )


def _differences(series: SeriesInfo, reference: SeriesInfo) -> tuple[bool, ...]:
    pairs = zip(_signature(series), _signature(reference), strict=True)
    return tuple(a != b for a, b in pairs)


def _nearest(shortlist: Sequence[SeriesInfo], reference: SeriesInfo) -> SeriesInfo:
    """The series most like the reference; of equal ones the study's own favourite."""
    return min(shortlist, key=lambda s: _differences(s, reference))


def _disagreement(
    row: Sequence[SeriesInfo], shortlists: Sequence[Sequence[SeriesInfo]]
) -> tuple[tuple[int, ...], int]:
    """Number of further values of each trait, then how far the choice is from each favourite."""
    traits = zip(*(_signature(s) for s in row), strict=True)
    spread = tuple(len(set(values)) - 1 for values in traits)
    rank = sum(
        next(k for k, s in enumerate(shortlist) if s is chosen)
        for chosen, shortlist in zip(row, shortlists, strict=True)
    )
    return spread, rank


def _is_axial(series: SeriesInfo) -> bool:
    """Whether slices lie across the body's long axis, within 45 degrees."""
    if series.grid is None:
        return False
    x, y, z = (row[2] for row in series.grid.direction)
    return abs(z) > max(abs(x), abs(y))


def _step(series: SeriesInfo) -> float:
    assert series.grid is not None
    return series.grid.spacing_zyx_mm[0]


def _thickness(series: SeriesInfo) -> float:
    return series.acquisition.slice_thickness_mm or _step(series)


def _thickness_class(series: SeriesInfo) -> int:
    return sum(_thickness(series) > limit + 0.01 for limit in THICKNESS_CLASSES_MM)


def _rank(series: SeriesInfo) -> tuple[int, bool, float, int, str]:
    assert series.grid is not None
    kernel = ("soft", "unknown", "sharp").index(kernel_class(series.acquisition.kernel))
    contrast = bool(series.acquisition.contrast)
    slices = series.grid.size_zyx[0]
    return (kernel, contrast, _thickness(series), -slices, series.series_uid)
