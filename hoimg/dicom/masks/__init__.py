"""Masks that a reader or another program gives: regions, lesions, native skeletons.

:func:`read_given` reads any kind of them, :func:`put_on` puts it onto an exam's voxels by place in
millimetres, or refuses it.
"""

from hoimg.dicom.masks.given import GivenMask, Placed, Region, Use, given_from_mask
from hoimg.dicom.masks.put import put_on
from hoimg.dicom.masks.read import read_given
from hoimg.dicom.masks.skeleton import TOTALSEGMENTATOR_BONES

__all__ = [
    "TOTALSEGMENTATOR_BONES",
    "GivenMask",
    "Placed",
    "Region",
    "Use",
    "given_from_mask",
    "put_on",
    "read_given",
]
