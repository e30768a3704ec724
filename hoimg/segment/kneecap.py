"""The kneecap: the bone that lies free, shell and marrow, as a mature lesion does.

Where the other knee is in view its partner explains it. Alone it is known by its place, which no
ossification in muscle shares: skin and fat alone in front, and close behind it a bone that is much
broader than itself (both condyles of the femur; a shaft is narrower than a kneecap).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, margin_voxels, overlap, widened
from hoimg.segment.working import Working

Bool = NDArray[np.bool_]

VOLUME_MM3 = (4_000.0, 45_000.0)
"""A child's to a large man's, with its outline's error."""
BREADTH_MM = 28.0
"""Grown people have 36-50 mm."""
FLAT = 0.7
"""Its depth is less than this part of its breadth (anatomy books: 20-25 mm of 40-50 mm)."""
IN_FRONT_MM = 22.0
"""Skin, fat and tendon in front of it, in heavy people too."""
BEHIND_MM = 15.0
"""Cartilage and joint fluid between it and the femur."""
COVERED = 0.7
"""Part of it that has bone so close behind."""
BROADER = 1.3
"""The condyles are broader than the kneecap by at least this factor (75-90 mm to 40-50 mm)."""


@dataclass(frozen=True)
class InFrontOfBone:
    """How a piece of bone lies between the skin in front and the bone behind, mm.

    Attributes:
        to_skin_mm: Median depth of the body in front of it.
        covered: Part of it, seen from the front, with native bone close behind.
        breadth_mm: Its own breadth, left to right.
        behind_mm: Breadth of the bone behind it.
        depth_mm: Its depth, front to back (90 % of it are thinner).
    """

    to_skin_mm: float
    covered: float
    breadth_mm: float
    behind_mm: float
    depth_mm: float

    @property
    def is_kneecap(self) -> bool:
        """Whether only a kneecap lies like that; its volume is asked apart."""
        return (
            self.to_skin_mm <= IN_FRONT_MM
            and self.covered >= COVERED
            and self.breadth_mm >= BREADTH_MM
            and self.behind_mm >= BROADER * self.breadth_mm
            and self.depth_mm <= FLAT * self.breadth_mm
        )


def in_front_of_bone(
    box: Box, mask: Bool, body: Bool, bone: Bool, working: Working
) -> InFrontOfBone:
    """Look at a piece from the front of the patient.

    Args:
        box: Its place in the working array.
        mask: The piece, in its box.
        body: The patient, whole working array.
        bone: Native bone with its marrow, whole working array, without the piece.
        working: The working grid.
    """
    spacing = working.spacing_zyx_mm
    wide = widened(box, margin_voxels(60.0, spacing), body.shape)
    own = np.zeros([s.stop - s.start for s in wide], dtype=bool)
    own[overlap(wide, box)[0]] = mask
    # Array axes zyx that run closest to the patient's front-back and left-right.
    direction = np.asarray(working.grid.direction)[:, ::-1]
    back = int(np.argmax(np.abs(direction[1])))
    side = int(np.argmax([0 if k == back else abs(direction[0, k]) for k in range(3)]))

    def seen(array: Bool) -> Bool:
        """From the front (axis 0), left to right (axis 1)."""
        turned = np.moveaxis(array, (back, side), (0, 1))
        return turned if direction[1, back] > 0 else turned[::-1]

    piece, inside, native = seen(own), seen(body[wide]), seen(bone[wide]) & ~seen(own)
    columns = piece.any(axis=0)
    first = piece.argmax(axis=0)
    last = piece.shape[0] - 1 - piece[::-1].argmax(axis=0)
    level = np.arange(piece.shape[0])[:, None, None]
    in_front = (inside & (level < first)).sum(axis=0)[columns] * spacing[back]
    near = native & (level > last) & (level <= last + BEHIND_MM / spacing[back])
    covered = near.any(axis=0)[columns]
    depth = (last - first + 1)[columns] * spacing[back]
    beside = np.flatnonzero(columns.any(axis=0))  # slices that hold the piece
    behind = _breadth((native & (level > np.median(last[columns])))[..., beside])
    return InFrontOfBone(
        to_skin_mm=float(np.median(in_front)),
        covered=float(covered.mean()),
        breadth_mm=_breadth(piece) * spacing[side],
        behind_mm=behind * spacing[side],
        depth_mm=float(np.percentile(depth, 90)),
    )


def _breadth(array: Bool) -> float:
    """Voxels from the first to the last along axis 1, the median over what holds any on axis 2."""
    shadow: Bool = np.any(array, axis=0)
    held = shadow.any(axis=0)
    if not held.any():
        return 0.0
    shadow = shadow[:, held]
    width: NDArray[np.intp] = shadow.shape[0] - shadow[::-1].argmax(axis=0) - shadow.argmax(axis=0)
    return float(np.median(width))
