"""What a reader gives: regions with their names and places, not yet on any exam's voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hoimg.dicom.masks.planes import Piece, Planes
from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.results import Finding

Use = Literal["roi", "skeleton", "mask"]
"""What a mask is given for: the option's name."""


@dataclass(frozen=True)
class Region:
    """One structure of a given mask.

    Attributes:
        label: Its number, from 1.
        name: As the file names it, cleaned; may be empty. For messages on the terminal only.
        bone: Whether its code or name says that it is bone; None when it has neither.
        tracking_uid: The DICOM tracking UID that a segmentation states for it.
    """

    label: int
    name: str = ""
    bone: bool | None = None
    tracking_uid: str | None = None


@dataclass(frozen=True, eq=False)
class GivenMask:
    """Regions that a file holds, before they are put onto an exam's voxels.

    Attributes:
        source: What the file is, in words: ``label map``, ``segmentation``, ``structure set``.
        regions: The structures in it, by label.
        pieces: Their voxels; regions of different pieces may overlap. Contours are drawn on the
            exam's own voxels, so that they have pieces only once the exam is known.
        draw: Makes the pieces of contours for an exam's grid, and says what it left out.
        extents: The grids that the file speaks of: inside, what has no label is known to be
            none. Empty for files that store only what is there.
        frame_of_reference_uid: The patient space that positions are in; None when not stated.
        closed_names: Whether the names come from a program's fixed list of classes, so that a
            mask in which none is bone holds no bone.
        findings: What was left out or assumed when the file was read.
    """

    source: str
    regions: tuple[Region, ...]
    pieces: tuple[Piece, ...] = ()
    draw: Callable[[Grid], tuple[tuple[Piece, ...], tuple[Finding, ...]]] | None = None
    extents: tuple[Grid, ...] = ()
    frame_of_reference_uid: str | None = None
    closed_names: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class Placed:
    """A given mask on an exam's own voxels.

    Attributes:
        mask: Bool for a region or a skeleton, uint16 with the regions' labels for lesions.
        findings: What was left out, assumed or changed on the way.
        flags: Label to flags of that lesion's outline (``outline_resampled``).
        tracking_uids: Label to the tracking UID that the file states for it.
    """

    mask: Mask
    findings: tuple[Finding, ...] = ()
    flags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    tracking_uids: Mapping[int, str] = field(default_factory=dict)


def given_from_mask(mask: Mask) -> GivenMask:
    """A mask in memory as if it had been read from a label map."""
    piece = Piece(mask.array, Planes.of_grid(mask.grid)).cropped()
    labels = [] if piece is None else [int(v) for v in np.unique(piece.labels) if v]
    return GivenMask(
        source="label map",
        regions=tuple(Region(label) for label in labels),
        pieces=() if piece is None else (piece,),
        extents=(mask.grid,),
    )
