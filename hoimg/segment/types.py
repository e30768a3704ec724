"""What segmentation gives: label maps on the exam's own grid, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hoimg.image import Mask
from hoimg.results import Finding


@dataclass(frozen=True)
class ExcludedRegion:
    """A candidate that was not called ossification.

    Attributes:
        label: Value in ``Segmentation.excluded``.
        reason: ``native_bone``, ``vascular``, ``stone_or_bowel``, ``metal``, ``contrast``,
            ``soft_tissue``, ``too_small``, ``outside_body``, ``scan_end``, ``unassessed``.
        volume_mm3: Volume of its voxels, mm3.
        centroid_lps_mm: LPS mm.
        note: The numbers behind the decision, for a reader.
        inside_lps_mm: A voxel's centre in it, the nearest to its centroid (a curved piece does not
            hold its centroid), LPS mm: the point with which a reader names it.
    """

    label: int
    reason: str
    volume_mm3: float
    centroid_lps_mm: tuple[float, float, float]
    note: str = ""
    inside_lps_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The outcome of :func:`hoimg.segment.segment_exam`.

    Attributes:
        lesions: Label map, uint16: one value per lesion, its *filled* envelope.
        excluded: Label map, uint16, of candidates left out.
        skeleton: Native bone, filled (cortex and marrow), bool, without lesions and metal.
        metal: Metal and cement, bool, without its streak zone.
        body: The patient without table and air around, filled, bool.
        lesion_flags: Flags per lesion label, e.g. ``attached_to_bone``, ``near_metal``.
        excluded_regions: One entry per value in ``excluded``.
        provider: Which providers decided what native skeleton is, in words.
        findings: What the stage wants the reader to know.
        skeleton_confidence: How sure the providers are on average that a voxel is native bone,
            uint8, whole per cent, on the working grid of about 1.5 mm; None without a provider.
    """

    lesions: Mask
    excluded: Mask
    skeleton: Mask
    metal: Mask
    body: Mask
    lesion_flags: Mapping[int, list[str]]
    excluded_regions: list[ExcludedRegion]
    provider: str
    findings: list[Finding] = field(default_factory=list)
    skeleton_confidence: Mask | None = None
