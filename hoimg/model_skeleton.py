"""A native skeleton by an installed program, read like one that a reader gives."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hoimg.errors import HoimgError
from hoimg.image import CTVolume, Mask, read_mask
from hoimg.results import Finding
from hoimg.settings import SegmentSettings

LEAST_MM3 = 1000.0
"""A skeleton smaller than this is none."""


def model_skeleton(
    volume: CTVolume, settings: SegmentSettings
) -> tuple[Mask | None, tuple[Finding, ...]]:
    """The native skeleton of an exam by TotalSegmentator.

    Args:
        volume: The exam.
        settings: Section ``segment``; with ``totalsegmentator = "off"`` nothing is started.

    Returns:
        The skeleton on the exam's voxels, bool, and what is to be said; None where the program is
        off, not there, or failed.
    """
    if settings.totalsegmentator == "off":
        return None, ()
    from hoimg.segment.totalsegmentator import PROGRAM, run_totalsegmentator

    with TemporaryDirectory(prefix="hoimg-") as name:
        made = run_totalsegmentator(volume, Path(name), settings)
        if isinstance(made, Finding):
            return None, (made,)
        try:
            bones = _bones(made)
        except HoimgError:  # its message names a folder that is gone
            bones = None
    why = None
    if bones is None:
        why = "what it wrote cannot be read as a label map"
    elif not bones.grid.same_as(volume.grid):
        why = "its label map lies on another grid than the exam"
    elif bones.array.sum() * bones.grid.voxel_volume_mm3 < LEAST_MM3:
        why = "it found no bone"
    if why is None:
        return bones, ()
    return None, (
        Finding(
            code="model_skeleton_unused",
            level="warning",
            message=f"{PROGRAM} was not used: {why}. The built-in providers decided.",
            fix=f"Try {PROGRAM} alone on this computer, or give --skeleton.",
        ),
    )


def _bones(path: Path) -> Mask:
    from hoimg.dicom.masks import TOTALSEGMENTATOR_BONES

    labels = read_mask(path)
    return Mask(np.isin(labels.array, sorted(TOTALSEGMENTATOR_BONES)), labels.grid)
