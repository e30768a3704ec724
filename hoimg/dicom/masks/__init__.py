"""Masks that a reader or another program gives: regions, lesions, native skeletons."""

from hoimg.dicom.masks.skeleton import TOTALSEGMENTATOR_BONES, read_skeleton

__all__ = ["TOTALSEGMENTATOR_BONES", "read_skeleton"]
