"""One exam analysed: its pixels checked, its lesions measured, and what a report keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from hoimg.anatomy import Anatomy
from hoimg.edits import Edit
from hoimg.errors import InputRefused
from hoimg.image import CTVolume
from hoimg.results import ExamImages, Excluded, Finding, Outline
from hoimg.settings import Settings

if TYPE_CHECKING:
    from hoimg.dicom import Exam
    from hoimg.measure import ExamMeasurements
    from hoimg.segment import Segmentation


@dataclass(frozen=True, eq=False)
class ExamAnalysis:
    """One exam after segmentation and measurement.

    Attributes:
        exam: As read.
        volume: Its pixels, HU.
        segmentation: Lesions, skeleton, exclusions.
        measurements: An observation per lesion label, and the exam's references.
        outlines: Of the lesions, as the report keeps them.
        tracking_uids: Label to the tracking UID that a given mask states for that lesion.
        findings: Of the checks of its pixels.
        edits: A reader's corrections of this exam, with what each did.
    """

    exam: Exam
    volume: CTVolume
    segmentation: Segmentation
    measurements: ExamMeasurements
    outlines: tuple[Outline, ...]
    tracking_uids: Mapping[int, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    edits: tuple[Edit, ...] = ()


def pixels_of(
    exam: Exam, settings: Settings, children: int | None
) -> tuple[CTVolume, tuple[Finding, ...]]:
    """An exam's pixels with what their checks say; refused where that is an error."""
    from hoimg.dicom import check_volume, load_volume

    volume = load_volume(exam, children=children)
    found = check_volume(volume, settings.intake)
    if any(f.level == "error" for f in found):
        raise _refused(exam, found)
    return volume, found


def measured_in(
    exam: Exam, volume: CTVolume, segmentation: Segmentation, settings: Settings
) -> ExamMeasurements:
    """The measurements of a segmented exam, under the settings in force."""
    from hoimg.measure import measure_exam

    made: dict[str, object] = {"native_skeleton": segmentation.provider}
    if any(f.code == "contrast_seen" for f in segmentation.findings):
        made["contrast"] = True
    return measure_exam(
        exam.exam_id,
        volume,
        segmentation.lesions,
        skeleton=segmentation.skeleton,
        metal=segmentation.metal,
        body=segmentation.body,
        settings=settings.measure,
        acquisition=exam.acquisition.model_copy(update=made),
        flags=segmentation.lesion_flags,
    )


def images_of(analyses: Sequence[ExamAnalysis]) -> dict[str, ExamImages]:
    """What the report draws and keeps of each exam, by exam_id."""
    return {
        a.exam.exam_id: ExamImages(
            a.exam.exam_id,
            a.volume,
            a.segmentation.lesions,
            a.segmentation.excluded,
            a.exam.series.files if a.exam.series.source == "dicom" else (),
            resampled=a.exam.series.stack is not None and not a.exam.series.stack.regular,
            anatomy=Anatomy(
                body=a.segmentation.body,
                skeleton=a.segmentation.skeleton,
                metal=a.segmentation.metal,
            ),
        )
        for a in analyses
    }


def excluded_of(analysis: ExamAnalysis) -> list[Excluded]:
    """Every candidate of an exam that was not called ossification, and why."""
    return [
        Excluded(exam_id=analysis.exam.exam_id, **asdict(region))
        for region in analysis.segmentation.excluded_regions
    ]


def _refused(exam: Exam, found: Sequence[Finding]) -> InputRefused:
    """Why the pixels of an exam, though they could be read, are not measured."""
    reasons = [f for f in found if f.level == "error"]
    said = " ".join(f.message for f in reasons)
    codes = ", ".join(f.code for f in reasons)
    return InputRefused(
        f"{exam.exam_id}: its pixels are refused [{codes}]: {said} {reasons[0].fix or ''}".rstrip(),
        reasons[0].code,
        tuple(reasons),
    )
