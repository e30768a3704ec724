"""What a lesion is measured beside, kept with a report: body, native skeleton and metal.

The three masks are one small label map, a bit for each, so that a report can be measured again
without segmenting again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hoimg.image import SLICES_AT_ONCE, Mask
from hoimg.memory import sparse_filled

BODY, SKELETON, METAL = 1, 2, 4
"""Bits of a voxel in ``anatomy.nii.gz``."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The masks of one exam that segmentation gives beside its lesions.

    Attributes:
        body: The patient without table and air around, filled, bool.
        skeleton: Native bone, filled, bool, without lesions and metal.
        metal: Metal and cement, bool.
    """

    body: Mask
    skeleton: Mask
    metal: Mask

    def packed(self) -> Mask:
        """One uint8 map of the three; bits are :data:`BODY`, :data:`SKELETON`, :data:`METAL`."""
        bits = np.zeros(self.body.array.shape, dtype=np.uint8)
        for mask, bit in ((self.body, BODY), (self.skeleton, SKELETON), (self.metal, METAL)):
            for first in range(0, len(bits), SLICES_AT_ONCE):  # no copy of the whole volume
                some = slice(first, first + SLICES_AT_ONCE)
                bits[some] |= (mask.array[some] != 0) * np.uint8(bit)
        return Mask(bits, self.body.grid)


def unpacked(bits: Mask) -> Anatomy:
    """The three masks of :meth:`Anatomy.packed`, on the same grid.

    Args:
        bits: Map of any unsigned type; bits without a meaning are passed over.
    """
    body, skeleton, metal = (
        Mask(
            sparse_filled(
                bits.array.shape, bool, ((plane & np.uint8(bit)) != 0 for plane in bits.array)
            ),
            bits.grid,
        )
        for bit in (BODY, SKELETON, METAL)
    )
    return Anatomy(body, skeleton, metal)
