"""A native skeleton that somebody gave: what it says of the dense voxels, and where it is wrong.

Models draw the skeleton that they have learnt: they miss bones that they were not taught, and may
take ectopic bone that is fused to a bone for that bone. So a given mask is compared with the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box
from hoimg.results import Finding
from hoimg.segment.division import Division
from hoimg.segment.features import extents_mm
from hoimg.segment.marrow import Marrow
from hoimg.segment.morphology import (
    close_mm,
    dilate_mm,
    distance_mm,
    fill_holes,
    label_components,
    open_mm,
    remove_small,
)
from hoimg.segment.skeletons import ProvidedSkeleton, by_mask
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

HARD_HU = 250.0
"""Bone that a mask of the skeleton must hold: cortex and dense spongy bone on the working grid."""
WIDTH_MM = 3.0
"""The mask and the image agree to this; a left-right mirrored pelvis, or one moved by 10 mm, agrees
by 0.7 at most, masks of a model by 0.9 and more (eight scans)."""
MIRRORED_BY = 0.15
"""A mask whose mirror image fits better by more than this is mirrored."""
LACKING_MM3 = 5000.0
"""Least volume of dense bone that the mask lacks and that is told to the reader."""
LARGEST_MM3 = 60_000.0
"""A closed shell larger than this is a bone with its marrow."""
FRESH_MM = 8.0
"""What a mask holds this near to new bone is native only where there was bone before."""
CUT_SHARE = 0.4
"""A shaft leaves the scan with this much of its largest cross-section, what ends there does not."""
LONG_MM = 100.0
LONG_RATIO = 4.0
"""A lacking piece this long and this many times longer than broad is a bone; ectopic bone of 86 mm
and four times its breadth was planted."""


def given_skeleton(
    mask: Bool, dense: Bool, working: Working, settings: SegmentSettings, name: str
) -> ProvidedSkeleton:
    """Compare a given skeleton with the image.

    Args:
        mask: The skeleton on the working grid.
        dense: Dense voxels in the body, without metal.
        working: The exam at about 1.5 mm.
        settings: Section ``segment``.
        name: Who made it.

    Returns:
        The skeleton. Its agreement is the larger of: the fraction of hard bone within 3 mm of the
        mask; the fraction of the mask within 3 mm of bone with its marrow; None where either holds
        no bone. Below ``given_refused_below``, or where the mask fits much better when mirrored
        left to right, it is not usable; below ``given_doubted_below`` it carries a
        ``skeleton_disagrees`` finding.
    """
    spacing = working.spacing_zyx_mm
    said = by_mask(name, mask, spacing)
    hard = remove_small(dense, settings.cut_bone_mm3 / working.voxel_mm3) & (working.hu > HARD_HU)
    if not hard.any() or not mask.any():
        return said
    bone = fill_holes(close_mm(hard, WIDTH_MM, spacing), per_slice=True)
    to_bone = distance_mm(bone, spacing)

    def fit(other: Bool) -> float:
        covered = float((to_bone[other] <= WIDTH_MM).mean())
        explained = float((distance_mm(other, spacing)[hard] <= WIDTH_MM).mean())
        return max(covered, explained)

    agreement = fit(mask)
    percent = f"{100 * agreement:.0f} %"
    said = replace(said, agreement=agreement)
    if agreement >= settings.given_doubted_below:
        return said
    axis = 2 - int(np.argmax(np.abs(np.asarray(working.grid.direction)[0])))
    mirrored = fit(np.flip(mask, axis))
    if mirrored > max(agreement + MIRRORED_BY, settings.given_refused_below):
        why = f"it agrees with {percent} of the bone, mirrored left to right with "
        return replace(said, why=f"{why}{100 * mirrored:.0f} %")
    if agreement < settings.given_refused_below:
        return replace(said, why=f"it agrees with only {percent} of the exam's bone")
    doubt = Finding(
        code="skeleton_disagrees",
        level="warning",
        message=f"The given skeleton agrees with only {percent} of the bone.",
        fix="Check that it is of this exam and lies on its bones.",
    )
    return replace(said, findings=(doubt,))


@dataclass(frozen=True, eq=False)
class GivenDivision:
    """Dense voxels as a given skeleton divides them, in the words of the built-in providers.

    Attributes:
        division: What lies on the mask is kept, what is joined to it and lies off it is suspect.
        marrow: The mask in the place of marrow, with no cortex beyond it.
        lacking: Bones that the mask lacks, part of the kept bone.
    """

    division: Division
    marrow: Marrow
    lacking: Bool


def divide_by_given(
    dense: Bool,
    given: Bool,
    working: Working,
    settings: SegmentSettings,
    *,
    shells: Bool,
    fresh: Bool,
    before: Bool,
) -> GivenDivision:
    """Native is what lies on the mask; what is joined to it and lies off the mask is suspect.

    A piece off the mask that leaves the scan, or is long and thin, is a bone that the mask lacks.

    Args:
        dense: Voxels above the mineral threshold, without metal.
        given: The skeleton on the working grid.
        working: The working grid.
        settings: Section ``segment``.
        shells: Lesions with a closed shell, known by their form: never native.
        fresh: What an earlier exam of the patient did not have: suspect, whoever explains it.
        before: The bone of that exam.
    """
    spacing = working.spacing_zyx_mm
    reach = max(settings.given_tolerance_mm, max(spacing) + 1e-3)
    rest = dense & ~shells
    given_mm = distance_mm(given, spacing)
    near = given_mm <= reach
    labels, count = label_components(rest)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    on = np.bincount(labels[near], minlength=count + 1)
    native = (on >= 0.5 * np.maximum(sizes, 1)) | (on * working.voxel_mm3 >= settings.cut_bone_mm3)
    native[0] = False
    bone = native[labels]
    lacking = _lacking(rest & ~near, working)
    bone |= lacking
    suspects = bone & ~near & ~lacking
    core = given | lacking
    if fresh.any():
        # Round about, native bone is what was there before, and nothing that it was closed with.
        core &= ~fresh & (before | ~dilate_mm(fresh, FRESH_MM, spacing))
    apart = bone & fresh
    kept = bone & ~suspects & ~apart
    solid = fill_holes(close_mm(kept, WIDTH_MM, spacing), per_slice=True) & (near | kept) | core
    solid &= ~shells & ~suspects & ~apart
    core &= ~shells
    out_mm = distance_mm(core, spacing)
    division = Division(
        dense,
        bone,
        suspects & ~apart,
        apart,
        kept,
        solid,
        np.zeros_like(dense),
        (rest & ~bone) | shells,
        "given",
    )
    return GivenDivision(division, Marrow.bare(core, out_mm), lacking)


def _lacking(off: Bool, working: Working) -> Bool:
    """Bones among what is dense and off the mask, with their spongy part, which may lie apart."""
    spacing = working.spacing_zyx_mm
    lacking = np.zeros_like(off)
    lumps = open_mm(off, 1.6, spacing)  # without what joins a lacking bone to a known one
    for box, lump in _pieces(lumps, LACKING_MM3 / working.voxel_mm3):
        if _is_bone(lump, box, working):
            lacking[box] |= lump
    if not lacking.any():
        return lacking
    whole = fill_holes(close_mm(lacking, WIDTH_MM, spacing), per_slice=True)
    return off & (distance_mm(whole, spacing) <= WIDTH_MM)


@dataclass(frozen=True, eq=False)
class Held:
    """A piece where a given skeleton and the image disagree; it counts as native bone.

    Attributes:
        mask: Boolean array of the box's shape.
        box: Its place in the working array.
        finding: For the reader, with volume and place.
        note: Beside it in the list of what was left out.
    """

    mask: Bool
    box: Box
    finding: Finding
    note: str


def lacking_bones(lacking: Bool, working: Working) -> list[Held]:
    """Each bone that the given mask lacks: ``skeleton_lacks_bone``.

    Args:
        lacking: See :class:`GivenDivision`.
        working: The exam at about 1.5 mm.
    """
    return [
        Held(
            lump,
            box,
            Finding(
                code="skeleton_lacks_bone",
                level="warning",
                message=f"The given skeleton lacks a bone of {_said(lump, box, working)}.",
                fix="Ossification joined to that bone may be missed; give a skeleton that has it.",
            ),
            "bone by its form or as it leaves the scan; the given skeleton lacks it",
        )
        for box, lump in _pieces(lacking, LACKING_MM3 / working.voxel_mm3)
    ]


def swallowed(shells: NDArray[np.unsignedinteger], given: Bool, working: Working) -> list[Held]:
    """Closed shells that a given skeleton holds by half or more: ``skeleton_disagrees``.

    Args:
        shells: Compact bodies with a closed shell and soft tissue around, one label each.
        given: The skeleton.
        working: The exam at about 1.5 mm.
    """
    from scipy import ndimage as ndi

    out = []
    for label, box in enumerate(ndi.find_objects(shells), start=1):
        if box is None:
            continue
        shell = shells[box] == label
        share = float(given[box][shell].mean())
        if share < 0.5 or shell.sum() * working.voxel_mm3 > LARGEST_MM3:
            continue
        finding = Finding(
            code="skeleton_disagrees",
            level="warning",
            message="The given skeleton takes for native bone a closed shell with soft tissue "
            f"around: {_said(shell, box, working)}.",
            fix="If it is ectopic, take it out of the skeleton or give --seed.",
        )
        note = f"closed shell of its own, but {100 * share:.0f} % inside of the given skeleton"
        out.append(Held(shell, box, finding, note))
    return out


def _is_bone(lump: Bool, box: Box, working: Working) -> bool:
    """Whether a piece leaves the scan with much of its cross-section, or is long and thin."""
    areas = lump.sum(axis=(1, 2))
    last = box[0].stop == working.hu.shape[0]
    ends = [areas[0] if box[0].start == 0 else 0, areas[-1] if last else 0]
    if max(ends) >= CUT_SHARE * areas.max():
        return True
    length, breadth = extents_mm(lump, working.spacing_zyx_mm)
    return length >= LONG_MM and length >= LONG_RATIO * breadth


def _pieces(mask: Bool, min_voxels: float) -> Iterator[tuple[Box, Bool]]:
    from scipy import ndimage as ndi

    labels, count = label_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for label, box in enumerate(ndi.find_objects(labels, max_label=count), start=1):
        if box is not None and sizes[label] >= min_voxels:
            yield box, labels[box] == label


def _said(mask: Bool, box: Box, working: Working) -> str:
    """Volume and place of a piece, in words."""
    index = np.argwhere(mask).mean(axis=0) + [s.start for s in box]
    x, y, z = working.grid.to_lps_mm(index)
    volume = float(mask.sum()) * working.voxel_mm3 / 1000
    return f"{volume:.1f} mL at LPS {x:.0f}, {y:.0f}, {z:.0f} mm"
