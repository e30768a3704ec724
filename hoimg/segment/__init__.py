"""Image to lesions: body, metal, native skeleton, mineral, candidates, and what was left out."""

from hoimg.segment.exam import segment_exam
from hoimg.segment.types import ExcludedRegion, Segmentation

__all__ = ["ExcludedRegion", "Segmentation", "segment_exam"]
