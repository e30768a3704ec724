"""Distances between slices: regular, with slices missing, or uneven; and the planes they fill.

A series with evenly spaced slices is taken as it stands. One with holes or uneven steps is refused,
or, where the user allows gaps, put on regular planes at its true positions with the holes marked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

POSITION_ROUNDING_MM = 0.02
"""Step between two positions that were each rounded to 0.01 mm may be off by this much."""
MAX_DRIFT = 0.25
"""A slice may lie this far from its plane, in steps; beyond, it nears its neighbour's place."""
MAX_STEP_PER_THICKNESS = 1.5
"""Slices further apart than this many thicknesses leave tissue between them unseen."""
MIN_STEP_SHARE = 0.25
"""Uneven slices are put on planes as far apart as the closest ones; where those are closer than
this share of the median step, positions are damaged rather than uneven."""
MAX_PLANES = 4096
"""More planes than this are a damaged position, not a scan (2 m at 0.5 mm)."""

Gap = tuple[float, float]


@dataclass(frozen=True)
class Planes:
    """Regular planes and where the slices lie among them.

    Attributes:
        step_mm: Distance of the planes.
        count: Number of planes.
        along_mm: Place of each slice, from the first plane.
        gaps_mm: Stretches that no slice imaged, from the first plane.
        regular: Whether slice k is plane k.
        findings: What was seen; the planes mean nothing when one is an error.
    """

    step_mm: float
    count: int
    along_mm: tuple[float, ...]
    gaps_mm: tuple[Gap, ...] = ()
    regular: bool = True
    findings: tuple[Finding, ...] = ()


def planes_of(
    along: NDArray[np.float64], thickness_mm: float | None, settings: IntakeSettings
) -> Planes:
    """Planes for slices at the given places.

    Args:
        along: Distances along the slice normal, mm, ascending, at least two of them apart.
        thickness_mm: Nominal slice thickness; None when unknown.
        settings: Section ``intake``: ``spacing_tolerance`` and ``allow_gaps``.
    """
    along = along - along[0]
    found: list[Finding] = []
    steps = np.diff(along)
    doubled = int((steps <= POSITION_ROUNDING_MM).sum())
    if doubled:
        found.append(finding("duplicate_slices", f"{doubled} slice position(s) occur twice."))
        steps = steps[steps > POSITION_ROUNDING_MM]
    if steps.size == 0:
        return Planes(1.0, len(along), tuple(along.tolist()), findings=tuple(found))
    # The smallest step is the true one where slices are missing, however many are missing.
    base = float(steps.min())
    tolerance = max(settings.spacing_tolerance * base, POSITION_ROUNDING_MM)
    base = float(np.median(steps[steps <= base + 2 * tolerance]))
    multiples = np.rint(steps / base)
    # Positions rounded to 0.01 mm put the same absolute error on a long step as on a short one,
    # but an error of the base itself grows with the number of slices left out.
    odd = np.abs(steps - multiples * base) > tolerance * np.maximum(multiples, 1)
    holes = (multiples > 1) & ~odd
    index = np.concatenate([[0.0], np.cumsum(multiples)])
    count = int(index[-1]) + 1
    mean = float(along[-1]) / (count - 1)
    if holes.any():
        found.append(_missing(along, base, tolerance, multiples[holes], settings))
    uneven = ""
    if odd.any():
        uneven = f"Slice steps vary from {steps.min():.3f} to {steps.max():.3f} mm."
    elif not doubled and np.abs(along - mean * index).max() > MAX_DRIFT * mean:
        # Each step passes, but small errors add up and slices end up in a neighbour's place.
        uneven = "Slice positions drift from even spacing along the stack."
    too_uneven = base < MIN_STEP_SHARE * float(np.median(steps))
    if uneven or (too_uneven and settings.allow_gaps):
        allowed = settings.allow_gaps and not too_uneven
        said = uneven or f"Two slices are only {base:.3f} mm apart; a position is damaged."
        found.append(finding("uneven_resampled" if allowed else "variable_spacing", said))
    if any(f.level == "error" for f in found):
        return Planes(mean, count, tuple(along.tolist()), findings=tuple(found))
    if uneven:
        even = round(float(along[-1]) / base)
        planes = Planes(float(along[-1]) / even, even + 1, tuple(along.tolist()), regular=False)
        widest = MAX_STEP_PER_THICKNESS * (thickness_mm or base)
        gaps = _gaps(along, planes.step_mm, np.diff(along) > widest)
    else:
        places = tuple((index * mean).tolist())
        planes = Planes(mean, count, places, regular=not holes.any())
        gaps = _gaps(np.asarray(places), mean, np.diff(index) > 1)
    planes = replace(planes, gaps_mm=gaps, findings=tuple(found))
    return _limited(_subdivided(planes, thickness_mm, settings))


def _missing(
    along: NDArray[np.float64],
    base: float,
    tolerance: float,
    multiples: NDArray[np.float64],
    settings: IntakeSettings,
) -> Finding:
    wide = np.flatnonzero(np.diff(along) > base + tolerance)
    where = float(along[wide[0]] + along[wide[0] + 1]) / 2
    return finding(
        "gaps_allowed" if settings.allow_gaps else "missing_slices",
        f"{int((multiples - 1).sum())} slice(s) missing in {multiples.size} place(s), the first "
        f"at {where:.1f} mm from the first slice.",
    )


def _gaps(along: NDArray[np.float64], step: float, wide: NDArray[np.bool_]) -> tuple[Gap, ...]:
    """What lies more than half a step from both slices of every wide step."""
    pairs = zip(along[:-1][wide], along[1:][wide], strict=True)
    return tuple((float(a) + step / 2, float(b) - step / 2) for a, b in pairs)


def _subdivided(planes: Planes, thickness_mm: float | None, settings: IntakeSettings) -> Planes:
    """Refuse slices with unseen tissue between all of them, or lay planes into the gaps."""
    step = planes.step_mm
    if thickness_mm is None or step <= MAX_STEP_PER_THICKNESS * thickness_mm + 1e-9:
        return planes
    said = f"Slices are {step:.4g} mm apart but only {thickness_mm:.4g} mm thick."
    if not settings.allow_gaps:
        return replace(planes, findings=(*planes.findings, finding("slice_gaps", said)))
    parts = math.ceil(step / thickness_mm)
    along = np.asarray(planes.along_mm)
    fine = step / parts
    return replace(
        planes,
        step_mm=fine,
        count=(planes.count - 1) * parts + 1,
        gaps_mm=_gaps(along, fine, np.ones(len(along) - 1, bool)),
        regular=False,
        findings=(*planes.findings, finding("gaps_allowed", said)),
    )


def _limited(planes: Planes) -> Planes:
    if planes.count <= MAX_PLANES:
        return planes
    said = f"The slices span {planes.count} planes; a position is damaged."
    return replace(planes, findings=(*planes.findings, finding("variable_spacing", said)))
