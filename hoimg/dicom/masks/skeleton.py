"""Native skeletons from other programs: a mask, a multilabel file, or a folder of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hoimg.errors import InputRefused
from hoimg.image import Mask, read_mask, resample_mask

TOTALSEGMENTATOR_BONES = frozenset([*range(25, 51), *range(69, 79), 91, *range(92, 117)])
"""Class numbers of bone in TotalSegmentator's task ``total``, version 2: sacrum, vertebrae, humeri,
scapulae, clavicles, femora, hips, skull, ribs, sternum."""

BONE_FILES = (
    "sacrum", "vertebrae_", "humerus", "scapula", "clavicula", "femur", "hip", "skull", "rib_",
    "sternum", "patella", "tibia", "fibula", "tarsal", "metatarsal", "phalanges", "ulna", "radius",
    "carpal", "metacarpal",
)  # fmt: skip
"""Beginnings of the names of bone masks in such a program's output folder."""


def read_skeleton(path: Path) -> Mask:
    """Read a native skeleton.

    Args:
        path: A label map; where it holds classes of TotalSegmentator's ``total`` task (more than
            ten classes, none above 117) its bones are taken, else every label counts. Or a folder
            with one mask per structure, of which the bones are taken by name.

    Returns:
        A boolean mask on the (first) file's own grid.

    Raises:
        InputRefused: nothing that can be read, or no bone in it.
    """
    if path.is_dir():
        return _from_folder(path)
    mask = read_mask(path)
    present = set(np.unique(mask.array).tolist()) - {0}
    if len(present) > 10 and max(present) <= 117:
        array = np.isin(mask.array, sorted(TOTALSEGMENTATOR_BONES))
    else:
        array = mask.array > 0
    if not array.any():
        raise InputRefused(f"{path}: holds no bone; give a mask of the skeleton", "mask_empty")
    return Mask(array, mask.grid)


def _from_folder(folder: Path) -> Mask:
    files = sorted(
        f
        for f in folder.iterdir()
        if f.name.startswith(BONE_FILES) and f.name.endswith((".nii.gz", ".nii", ".nrrd"))
    )
    if not files:
        raise InputRefused(
            f"{folder}: holds no bone mask such as femur_left.nii.gz or vertebrae_L5.nii.gz",
            "mask_empty",
        )
    first = read_mask(files[0])
    array = first.array > 0
    for file in files[1:]:
        array |= resample_mask(read_mask(file), first.grid).array > 0
    if not array.any():
        raise InputRefused(f"{folder}: its bone masks are all empty", "mask_empty")
    return Mask(array, first.grid)
