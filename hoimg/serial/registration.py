"""One exam placed onto another one by their bones, and checked afterwards.

The placement is used for matching lesions only; every number is measured on the native grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume, Mask
from hoimg.serial.align import align, settled
from hoimg.serial.body_match import Scan, place_bodies
from hoimg.serial.intensity import NEAR_BONE_MM, Blind, Images, bone_image, refine
from hoimg.serial.parts import Division, divide, without_parts
from hoimg.serial.placement import Registration
from hoimg.serial.sameness import doubt, pattern
from hoimg.serial.surface import Bones, near_any, prepare
from hoimg.serial.tissue_match import match_tissue
from hoimg.serial.verification import labels_near, verify
from hoimg.settings import SerialSettings


def register(
    fixed: CTVolume,
    fixed_bone: Mask,
    moving: CTVolume,
    moving_bone: Mask,
    settings: SerialSettings | None = None,
    *,
    fixed_unsure: Sequence[Mask] = (),
    moving_unsure: Sequence[Mask] = (),
    lesions: tuple[Mask, Mask] | None = None,
    metal: tuple[Mask, Mask] | None = None,
) -> Registration:
    """Registration of two exams of one patient, driven by native bone.

    Bone surfaces are aligned from many starts, and bones that this leaves unexplained are aligned
    on their own. The main part is refined by mutual information of its intensities. Every part is
    verified by overlap, surface distance and likeness; then a mirrored exam and another patient are
    ruled out. Where parts moved against each other, the images tell how far the tissue between
    them went along, and a lesion's own image where it went. It repeats exactly: nothing is random,
    and one thread is used where the order of sums matters.

    Args:
        fixed: The exam whose points are mapped.
        fixed_bone: Its native skeleton, filled, without lesions and metal, on its own grid.
        moving: The exam they are mapped into.
        moving_bone: Its native skeleton.
        settings: Limits; defaults when None.
        fixed_unsure: Label maps of the fixed exam's other mineral: lesions, and what was left out.
            Bone of the other exam that comes to lie there may be the same bone called otherwise:
            it speaks neither for a placement nor against it.
        moving_unsure: The same of the moving exam.
        lesions: Label maps of the lesions of the fixed and of the moving exam, on their volumes'
            grids; each is looked for between bones that moved. None: nothing but bone and tissue
            tells.
        metal: Metal of the fixed and of the moving exam, on their volumes' grids. HU within
            ``metal_hides_mm`` of it say nothing about whether the bones are alike. None: none.

    Returns:
        The registration; when rejected it carries a reason and must not be used for matching.

    Raises:
        ValueError: when a mask is not on its volume's grid.
    """
    settings = settings or SerialSettings()
    for volume, bone in ((fixed, fixed_bone), (moving, moving_bone)):
        if not volume.grid.same_as(bone.grid):
            raise ValueError("a bone mask must lie on its volume's grid")
    voxel = settings.registration_voxel_mm
    ours = prepare(fixed_bone, voxel, fixed_unsure)
    theirs = prepare(moving_bone, voxel, moving_unsure)
    if ours is None or theirs is None:
        return Registration(reason="no_bone")
    blind: Blind = (None, None)
    if metal is not None:
        reach = settings.metal_hides_mm
        blind = near_any(metal[:1], ours.grid, reach), near_any(metal[1:], theirs.grid, reach)
    images = Images(bone_image(fixed, ours), bone_image(moving, theirs), blind)
    start = align(ours, theirs)
    division = divide(ours, theirs, images, start, settings.min_common_bone_mm3)
    if not division.hopeless:
        matrices = [
            settled(refine(ours, theirs, images, matrix, near, settings.seed))
            for matrix, near in zip(division.matrices, _near(division), strict=True)
        ]
        division = replace(division, matrices=matrices)
    found = verify(division, theirs, images, settings)
    if found.accepted and not (ours.unsure is None and theirs.unsure is None):
        division, found = _without_lost(division, theirs, images, found, settings)
    if not found.accepted:
        return found
    patterns = (pattern(fixed, ours), pattern(moving, theirs))
    reason = doubt(division, theirs, images, patterns, settings)
    if reason is None:
        images_tell = match_tissue(fixed, fixed_bone, moving, moving_bone, found, settings)
        found = replace(found, tissue=images_tell)
        if lesions is None:
            return found
        scans = Scan(fixed, fixed_bone, lesions[0]), Scan(moving, moving_bone, lesions[1])
        return replace(found, bodies=place_bodies(*scans, found, settings))
    main = replace(found.parts[0], accepted=False, reason=reason)
    return replace(found, accepted=False, reason=reason, parts=(main, *found.parts[1:]))


def _without_lost(
    division: Division, theirs: Bones, images: Images, found: Registration, settings: SerialSettings
) -> tuple[Division, Registration]:
    """The registration by its accepted parts alone, where all of them hold so too.

    Where an exam calls bone ossification, what the other exam still has as bone there seemed to
    have moved on its own, or not to be found.
    """
    kept = [k for k in range(len(division.matrices)) if found.parts[k].accepted]
    if len(kept) == len(found.parts):
        return division, found
    fewer = without_parts(division, kept, theirs)
    again = verify(fewer, theirs, images, settings)
    better = again.accepted and all(part.accepted for part in again.parts[: len(kept)])
    return (fewer, again) if better else (division, found)


def _near(division: Division) -> list[NDArray[np.bool_]]:
    """Voxels of the fixed working grid that each part's refinement looks at."""
    near = division.skin.bones.distance_mm < NEAR_BONE_MM
    if not division.divided:
        return [near]
    index = np.argwhere(near)
    label = labels_near(division, index)
    out = []
    for k in range(len(division.matrices)):
        own = np.zeros_like(near)
        own[tuple(index[label == k].T)] = True
        out.append(own)
    return out
