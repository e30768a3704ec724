"""Dense voxels divided into the native skeleton, what stands out from it, and free pieces.

Two built-in providers say what stands out: the *mirrored other side* (bone has its partner there)
and the *marrow* (mineral beyond the cortex of a bone that has marrow). They fail in different
places, so each makes its own suspects, and every suspect is judged later with what both say of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.segment.marrow import Marrow
from hoimg.segment.morphology import (
    close_mm,
    fill_holes,
    label_components,
    open_mm,
)
from hoimg.segment.symmetry import Mirror
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

STRONG_AGREEMENT = 0.85
"""From this agreement on the other side may call bone suspect; below it is only heard."""
OPENED_MM = (1.6, 2.6, 3.6)
"""Suspects thinner than twice the least are the skin of a bone; the wider ones part a lump from a
bone whose marrow was not seen."""
LARGEST_MM3 = 80_000.0
"""Suspects larger than this are bones whose marrow was not seen."""
BEYOND_MM = 1.5
"""What lies this much, and a voxel, beyond the cortex round about stands out."""
SURFACE_MM = 0.5
"""A suspect is grown back to this distance from the native surface."""


@dataclass(frozen=True, eq=False)
class Division:
    """Dense voxels of the working grid, divided.

    Attributes:
        dense: All dense voxels, without metal.
        bone: Those of pieces that hold native bone, suspects included.
        marrow_suspects: Of these, what stands out beyond the native cortex.
        mirror_suspects: Of these, what has no partner on the other side.
        kept: Native bone without any suspect.
        solid: Kept bone with its marrow.
        loose: Of the bone, thin things that stand out and may be floccules on it.
        free: Dense voxels of all other pieces, shells included.
        provider: Which provider decided, in words.
    """

    dense: Bool
    bone: Bool
    marrow_suspects: Bool
    mirror_suspects: Bool
    kept: Bool
    solid: Bool
    loose: Bool
    free: Bool
    provider: str


@dataclass(frozen=True, eq=False)
class Standing:
    """What stands out from bone by its marrow alone.

    Attributes:
        dense: Voxels above the mineral threshold, without metal.
        shells: Lesions with a closed shell, known by their form: never native.
        bone: Dense voxels of pieces that hold native bone.
        beyond: Of these, what lies beyond the native cortex.
        out: Of these, what is thick and large enough to be suspect.
    """

    dense: Bool
    shells: Bool
    bone: Bool
    beyond: Bool
    out: Bool


def standing_out(
    dense: Bool, shells: Bool, marrow: Marrow, working: Working, settings: SegmentSettings
) -> Standing:
    """Find what stands out from bone by its marrow; see :class:`Standing` for what goes in."""
    spacing = working.spacing_zyx_mm
    bone = _large(dense & ~shells, working, settings)
    beyond = bone & marrow.beyond(max(BEYOND_MM, max(spacing)))
    out = np.zeros_like(dense)
    for radius in OPENED_MM:
        out |= _sized(open_mm(beyond, radius, spacing), 150.0, LARGEST_MM3, working)
    return Standing(dense, shells, bone, beyond, out)


def divide_unaided(
    standing: Standing,
    working: Working,
    settings: SegmentSettings,
    *,
    marrow: Marrow,
    mirror: Mirror | None,
    fresh: Bool,
) -> Division:
    """Divide dense voxels.

    Args:
        standing: What stands out from bone by its marrow.
        working: The working grid.
        settings: Section ``segment``.
        marrow: Native bone by its marrow.
        mirror: The mirrored skeleton, or None.
        fresh: What an earlier exam of the patient did not have: suspect, whoever explains it.
    """
    spacing = working.spacing_zyx_mm
    dense, shells, bone = standing.dense, standing.shells, standing.bone
    beyond, out = standing.beyond, standing.out
    apart, loose = np.zeros_like(dense), beyond
    words = "shape (marrow and cortex)"
    if mirror is not None and mirror.agreement >= STRONG_AGREEMENT:
        apart = bone & (mirror.distance_mm > mirror.known_to_mm(settings, spacing))
        apart &= mirror.faint_distance_mm > settings.mirror_faint_mm
        loose = beyond & apart
        apart = _sized(open_mm(apart, OPENED_MM[0], spacing), 180.0, np.inf, working)
        words = f"symmetry (mirrored bone explains {100 * mirror.agreement:.0f} %) and {words}"
    apart = apart | (bone & fresh)
    kept = bone & ~out & ~apart
    solid = _solid(kept, spacing)
    if mirror is not None and mirror.agreement >= STRONG_AGREEMENT:
        # The marrow of a fused lesion must not be closed into the skeleton.
        solid &= (mirror.distance_mm <= settings.mirror_tolerance_mm) | marrow.within(0.0) | kept
    solid = (solid | marrow.inside) & ~shells & ~out & ~apart
    free = (dense & ~shells & ~bone) | shells
    return Division(dense, bone, out, apart, kept, solid, loose & kept, free, words)


def _large(dense: Bool, working: Working, settings: SegmentSettings) -> Bool:
    """Pieces that hold native bone: large ones, and those of some size that leave the scan."""
    labels, count = label_components(dense)
    volume = np.bincount(labels[dense], minlength=count + 1) * working.voxel_mm3
    ends = np.zeros(count + 1, dtype=bool)
    ends[np.unique(labels[0])] = True
    ends[np.unique(labels[-1])] = True
    native = volume >= settings.skeleton_component_mm3
    native |= ends & (volume >= settings.cut_bone_mm3)
    native[0] = False
    found: Bool = native[labels]
    return found


def _sized(mask: Bool, least_mm3: float, most_mm3: float, working: Working) -> Bool:
    labels, count = label_components(mask)
    at = np.nonzero(mask)
    own = labels[at]
    volume = np.bincount(own, minlength=count + 1)[own] * working.voxel_mm3
    kept = np.zeros_like(mask)
    kept[at] = (volume >= least_mm3) & (volume <= most_mm3)
    return kept


def _solid(bone: Bool, spacing: tuple[float, float, float]) -> Bool:
    return fill_holes(close_mm(bone, 3.0, spacing), per_slice=True)
