"""An exam as an earlier run left it, with what a reader redrew since, ready to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.image import Mask
from hoimg.outlines import GIVEN, Redrawn, outlines_of, redrawn
from hoimg.results import Exam, Finding, Hip, Outline
from hoimg.segment import Segmentation
from hoimg.segment.overrule import taken_from
from hoimg.segment.types import ExcludedRegion

if TYPE_CHECKING:
    from hoimg.pipeline import ExamAnalysis
    from hoimg.report.saved import SavedReport

EDITED = "outline_edited"
OF_THE_OLD_SHAPE = frozenset({"attached_to_bone", "outline_rough", "outline_resampled"})
"""Flags of segmentation that a new outline makes untrue."""


@dataclass(frozen=True, eq=False)
class SegmentedBefore:
    """The segmentation that a report holds of one exam.

    Attributes:
        segmentation: Its maps on the exam's own grid; the findings are those about redrawn
            outlines only.
        outlines: Its lesions' outlines.
        tracking_uids: Label to the tracking UID that its lesion has in the report.
    """

    segmentation: Segmentation
    outlines: tuple[Outline, ...]
    tracking_uids: Mapping[int, str]


def segmented_before(saved: SavedReport, exam_id: str, grid: Grid) -> SegmentedBefore:
    """Read an exam's maps back, as the stage of segmentation would give them.

    Where a reader redrew or added an outline, its voxels are no native bone and not left out.

    Args:
        saved: The report.
        exam_id: One of its exams that have a label map.
        grid: The exam's voxels, as its pixels were read now.

    Raises:
        UsageError: when a map other than that of the lesions is missing or was changed.
        InputRefused: when a map cannot be read, or does not lie on ``grid``.
    """
    exam = saved.exam(exam_id)
    anatomy = saved.anatomy(exam_id)
    written = anatomy.body.grid
    if not written.same_as(grid):
        raise InputRefused(
            f"{exam_id}: its series has other voxels than the report's label maps; "
            "give the files that the report was made from",
            "labelmap_other_grid",
        )
    # A NIfTI header rounds positions to 32 bits: the maps are the exam's, voxel by voxel.
    lesions = Mask(saved.lesions(exam_id, written).array, grid)
    now = outlines_of(lesions, {})
    changed = redrawn(exam.outlines, now)
    flags = _flags(exam.outlines, changed)
    regions = [
        ExcludedRegion(**item.model_dump(exclude={"exam_id"}))
        for item in saved.report.excluded
        if item.exam_id == exam_id
    ]
    names = {
        seen.label: lesion
        for lesion in saved.report.lesions
        for seen in lesion.observations
        if seen.exam_id == exam_id and seen.label is not None
    }
    segmentation = Segmentation(
        lesions=lesions,
        excluded=Mask(saved.excluded(exam_id).array, grid),
        skeleton=Mask(anatomy.skeleton.array, grid),
        metal=Mask(anatomy.metal.array, grid),
        body=Mask(anatomy.body.array, grid),
        lesion_flags=flags,
        excluded_regions=regions,
        provider=exam.acquisition.native_skeleton or "",
        findings=_told(changed, {label: lesion.lesion_id for label, lesion in names.items()}),
    )
    if changed.drawn:
        segmentation = taken_from(segmentation, np.isin(lesions.array, changed.drawn))
    outlines = tuple(o.model_copy(update={"flags": flags[o.label]}) for o in now)
    return SegmentedBefore(segmentation, outlines, {k: le.tracking_uid for k, le in names.items()})


def remeasured_exam(before: Exam, analysis: ExamAnalysis, hips: list[Hip]) -> Exam:
    """The exam's entry in the new report: what was measured anew, the rest as it was said before.

    Args:
        before: The exam in the earlier report.
        analysis: Of :func:`hoimg.pipeline.remeasure_exam`.
        hips: Its hips with their grades.
    """
    return before.model_copy(
        update={
            "acquisition": analysis.measurements.acquisition,
            "findings": [*before.findings, *analysis.segmentation.findings],
            "outlines": list(analysis.outlines),
            "hips": hips,
        }
    )


def _flags(before: Sequence[Outline], changed: Redrawn) -> dict[int, list[str]]:
    flags = {o.label: list(o.flags) for o in before if o.label not in changed.removed}
    for label in changed.changed:
        kept = [f for f in flags[label] if f not in OF_THE_OLD_SHAPE]
        flags[label] = kept if EDITED in kept else [*kept, EDITED]
    return flags | {label: [GIVEN] for label in changed.new}


def _told(changed: Redrawn, names: Mapping[int, str]) -> list[Finding]:
    """That a reader redrew outlines, and which."""
    if not changed:
        return []

    def listed(labels: Sequence[int]) -> str:
        return ", ".join(f"{k} (was {names[k]})" if k in names else str(k) for k in labels)

    parts = [
        f"{listed(labels)} {word}"
        for labels, word in (
            (changed.changed, "redrawn"),
            (changed.new, "new"),
            (changed.removed, "removed"),
        )
        if labels
    ]
    return [
        Finding(
            code="outlines_edited",
            level="info",
            message=f"A reader changed the label map after the run; labels: {'; '.join(parts)}.",
        )
    ]
