"""How slices lie beside each other: straight along their normal, leaning evenly, or scattered.

A tilted gantry (and a table that moves along its own axis) gives slices whose origins lie on a
line that leans from their normal n by the angle a: slice k is moved in its own plane by
``s_k = (p_k - p_0) - ((p_k - p_0) . n) n``, which grows evenly with the distance
``d_k = (p_k - p_0) . n`` along the normal, ``|s_k| = d_k tan a``. Read as a straight stack with
the distance of the origins as its spacing, volumes come out too large by ``1 / cos a``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.findings import finding
from hoimg.dicom.spacing import POSITION_ROUNDING_MM
from hoimg.results import Finding

MAX_TILT_DEG = 45.0
"""Gantries lean by up to 30 degrees. Above this the tags rather than the gantry are askew."""
MIN_TILT_DEG = 0.5
"""Slices that scatter about a line leaning by more than this count as a tilt that is not even,
about a straighter one as slices shifted against each other."""
MAX_SHIFT_PIXELS = 0.25
"""A slice further beside its place is moved, if all lean evenly, or refused. A quarter of a pixel
is what a series taken as it stands may be off: no voxel is nearer to a neighbour's place."""
TAG_TOLERANCE_DEG = 1.0
"""GantryDetectorTilt is a whole or half degree on many consoles."""


@dataclass(frozen=True)
class Lean:
    """How the slices lie beside the normal through the first one.

    Attributes:
        shift_yx_mm: Place of each slice's first pixel beside that normal along the slices' columns
            (array y) and rows (array x), ``(n, 2)``; zeros when the slices need no move.
        angle_deg: Tilt; 0 for a straight stack.
        findings: What was seen.
    """

    shift_yx_mm: NDArray[np.float64]
    angle_deg: float
    findings: tuple[Finding, ...] = ()


def lean_of(
    points: NDArray[np.float64], axes: NDArray[np.float64], spacing_yx_mm: tuple[float, float]
) -> Lean:
    """Tilt of a stack of slices.

    Args:
        points: Origins ``(n, 3)``, LPS mm, in order along the normal, at least two of them apart.
        axes: Columns x (row), y (column), z (normal).
        spacing_yx_mm: Pixel spacing, for :data:`MAX_SHIFT_PIXELS`.
    """
    offsets = (points - points[0]) @ axes
    along, shift = offsets[:, 2], offsets[:, 1::-1]
    straight = Lean(np.zeros_like(shift), 0.0)
    limit = max(MAX_SHIFT_PIXELS * min(spacing_yx_mm), POSITION_ROUNDING_MM)
    if np.abs(shift).max() <= limit:
        return straight
    centred = along - along.mean()
    slope = centred @ (shift - shift.mean(axis=0)) / (centred @ centred)
    beside = shift - shift.mean(axis=0) - centred[:, None] * slope
    angle = math.degrees(math.atan(float(np.hypot(*slope))))
    scatter = float(np.abs(beside).max())
    if scatter > limit:
        steps = np.diff(along)
        usual = np.median(np.diff(shift, axis=0)[steps > 0] / steps[steps > 0, None], axis=0)
        leaning = math.degrees(math.atan(float(np.hypot(*usual)))) > MIN_TILT_DEG
        code = "gantry_tilt_uncorrectable" if leaning else "shifted_slices"
        line = f"a line that leans by {angle:.1f} degrees" if leaning else "the others"
        return Lean(
            straight.shift_yx_mm,
            angle,
            (finding(code, f"Slices lie up to {scatter:.2f} mm beside {line}."),),
        )
    if angle > MAX_TILT_DEG:
        said = f"The line of slices leans by {angle:.1f} degrees from their normal."
        return Lean(straight.shift_yx_mm, angle, (finding("gantry_tilt_uncorrectable", said),))
    shown = f"{angle:.1f}" if angle >= 1 else f"{angle:.2f}"
    said = f"The gantry was tilted by {shown} degrees; slices are moved to their true places."
    return Lean(np.array(shift), angle, (finding("gantry_tilt", said),))


def check_tag(
    tilts_deg: set[float], angle_deg: float, cosines: NDArray[np.float64] | None
) -> list[Finding]:
    """Whether GantryDetectorTilt agrees with the slices' places and orientation.

    An oblique stack without shear is silent: the console has reformatted it (a spiral scan with
    a tilted gantry), and says so by its oblique direction.

    Args:
        tilts_deg: Stated tilts.
        angle_deg: Tilt measured from positions; 0 for none.
        cosines: Orientation of the slices; None when unknown.
    """
    stated = {t for t in tilts_deg if abs(t) > MIN_TILT_DEG}
    if not stated or cosines is None:
        return []
    worst = max(stated, key=lambda t: abs(abs(t) - angle_deg))
    if angle_deg > 0:
        if abs(abs(worst) - angle_deg) <= TAG_TOLERANCE_DEG:
            return []
        said = f"The header states a tilt of {worst:g} degrees, positions show {angle_deg:.1f}."
        return [finding("gantry_tilt_tag", said)]
    if np.abs(np.abs(cosines) - np.round(np.abs(cosines))).max() > 1e-3:
        return []
    wrong = 100 * (1 / math.cos(math.radians(min(abs(worst), 89.0))) - 1)
    said = (
        f"The header states a tilt of {worst:g} degrees, but its slices are upright; if they were "
        f"not resampled, volumes are {wrong:.1f} % too large."
    )
    return [finding("gantry_tilt_tag", said)]
