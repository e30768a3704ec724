"""Whether a lucent cleft separates a lesion from the bone that it faces.

Along the normal of the lesion's surface HU has a peak in the lesion's outer zone and one in the
bone. A cleft is a dip between them to less than half way down to soft tissue. Blur fills a narrow
one up: two surfaces at a distance w, blurred with sigma, leave ``1 - erf(w / (2 sqrt(2) sigma))``
of the contrast in its middle. So half of it is reached at 0.57 of the point spread's full width,
and what is narrower cannot be told from contact: without any cleft seen the answer is null, not 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.measure.contact import MIN_CONTACT_MM2
from hoimg.measure.profiles import DISTANCES_MM, STEP_MM, line_points
from hoimg.measure.size import Envelope
from hoimg.measure.view import LesionView

Floats = NDArray[np.float64]

ZONE_MM = 3.0
"""How far inside the lesion's surface, and inside the bone's, a peak is looked for."""

DIP = 0.5
"""What is left of the contrast in a cleft."""


@dataclass(frozen=True)
class Cleft:
    """A lesion's cleft.

    Attributes:
        fraction: Share of the rated surface that faces bone across a cleft; None with a reason.
        width_mm: Median width of the cleft over that surface, mm.
        reason: ``cleft_no_bone_faced``, ``cleft_unrated_faint`` or ``cleft_below_resolution``.
    """

    fraction: float | None
    width_mm: float | None = None
    reason: str | None = None


def cleft_of(
    view: LesionView,
    envelope: Envelope,
    *,
    background_hu: float,
    reach_mm: float,
    min_contrast_hu: float,
) -> Cleft:
    """Look for a cleft between a lesion and native bone.

    Args:
        view: The lesion's crop.
        envelope: Its surface, with HU along the normals.
        background_hu: Local soft tissue, HU.
        reach_mm: Bone that the normal meets within this is faced, at most 4 mm.
        min_contrast_hu: Surface where lesion or bone rises less above soft tissue is not rated.
    """
    mesh = envelope.read_mesh
    bone = view.pick(view.bone, line_points(mesh.points, mesh.normals)) != 0
    bone[:, (DISTANCES_MM < -1.0) | (reach_mm < DISTANCES_MM)] = False
    facing = bone.any(axis=1)
    area = mesh.vertex_area
    if area[facing].sum() < MIN_CONTACT_MM2:
        return Cleft(None, reason="cleft_no_bone_faced")
    profile = np.asarray(envelope.profiles[facing], np.float64)
    meets = DISTANCES_MM[bone[facing].argmax(axis=1)][:, None]
    of_lesion = (DISTANCES_MM >= -ZONE_MM) & (np.minimum(0.75, meets) >= DISTANCES_MM)
    of_bone = (meets - 0.5 <= DISTANCES_MM) & (meets + ZONE_MM >= DISTANCES_MM)
    first, lesion = _peak(profile, of_lesion)
    second, other = _peak(profile, of_bone)
    place = np.arange(len(DISTANCES_MM))
    amid = (place >= first[:, None]) & (place <= second[:, None])
    low = np.where(amid, profile, np.inf).min(axis=1)
    contrast = np.minimum(lesion, other) - background_hu
    rated = contrast >= min_contrast_hu
    weight = area[facing]
    if weight[rated].sum() < MIN_CONTACT_MM2:
        return Cleft(None, reason="cleft_unrated_faint")
    left = np.where(np.isfinite(low), (low - background_hu) / np.maximum(contrast, 1.0), 1.0)
    lucent = rated & (left <= DIP)
    if weight[lucent].sum() < MIN_CONTACT_MM2:
        return Cleft(None, reason="cleft_below_resolution")
    width = _width(
        profile[lucent],
        amid[lucent],
        (lesion[lucent] + background_hu) / 2.0,
        (other[lucent] + background_hu) / 2.0,
    )
    fraction = float(weight[lucent].sum() / weight[rated].sum())
    return Cleft(fraction, _weighted_median(width, weight[lucent]))


def _peak(profile: Floats, where: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Floats]:
    """Index and height of the highest sample of each profile where asked."""
    masked = np.where(where, profile, -np.inf)
    return masked.argmax(axis=1), masked.max(axis=1)


def _width(
    profile: Floats,
    amid: NDArray[np.bool_],
    lesion_half: Floats,
    bone_half: Floats,
) -> Floats:
    """Width between the half-heights on both sides, mm."""
    place = np.arange(profile.shape[1])
    middle = np.where(amid, profile, np.inf).argmin(axis=1)[:, None]
    high = (profile >= lesion_half[:, None]) & (place <= middle)
    start = np.where(high, place, -1).max(axis=1)
    beyond = (profile >= bone_half[:, None]) & (place >= middle)
    stop = np.where(beyond, place, profile.shape[1]).min(axis=1)
    overshoot = _overshoot(profile, start, stop, lesion_half, bone_half)
    width: Floats = STEP_MM * (stop - start - overshoot)
    return width


def _overshoot(
    profile: Floats,
    start: NDArray[np.intp],
    stop: NDArray[np.intp],
    lesion_half: Floats,
    bone_half: Floats,
) -> Floats:
    """Parts of a step, linear between samples, by which the two crossings lie further inwards."""
    n = np.arange(len(profile))
    last = profile.shape[1] - 1
    a, b = profile[n, np.clip(start, 0, last)], profile[n, np.clip(start + 1, 0, last)]
    c, d = profile[n, np.clip(stop - 1, 0, last)], profile[n, np.clip(stop, 0, last)]
    one = (a - lesion_half) / np.maximum(a - b, 1e-6)
    two = (d - bone_half) / np.maximum(d - c, 1e-6)
    part: Floats = np.clip(one, 0.0, 1.0) + np.clip(two, 0.0, 1.0)
    return part


def _weighted_median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2.0)])
