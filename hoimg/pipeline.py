"""The one place where the stages are called in order: dicom, segment, measure, serial, maturity."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import hoimg
from hoimg.anatomy import Anatomy
from hoimg.earlier import EarlierScans
from hoimg.editing import all_edits, check_no_edits, edited, strangers
from hoimg.edits import Edit, Edits, for_exams
from hoimg.errors import InputRefused, UsageError
from hoimg.guidance import Guidance, place_guidance
from hoimg.image import CTVolume, Mask
from hoimg.model_skeleton import model_skeleton
from hoimg.outlines import GIVEN, outlines_of
from hoimg.results import (
    Exam as ExamResult,
)
from hoimg.results import (
    ExamImages,
    Excluded,
    Finding,
    Hip,
    Lesion,
    Observation,
    Outline,
    PatientResult,
    RegistrationSummary,
    Report,
)
from hoimg.settings import Settings

if TYPE_CHECKING:
    from datetime import date

    from hoimg.dicom import Exam, Patient
    from hoimg.measure import ExamMeasurements
    from hoimg.report.saved import SavedReport
    from hoimg.segment import Segmentation
    from hoimg.segment.prior import PriorScan
    from hoimg.serial import Registration, Track

Step = Callable[[str], None]
T = TypeVar("T")
R = TypeVar("R")


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


def analyze_exam(
    exam: Exam,
    settings: Settings | None = None,
    guidance: Guidance | None = None,
    *,
    edits: Sequence[Edit] = (),
    children: int | None = None,
    earlier: Callable[[CTVolume], PriorScan | None] | None = None,
) -> ExamAnalysis:
    """Read, segment and measure one exam.

    Args:
        exam: From :func:`hoimg.read_patient`.
        settings: None for the defaults.
        guidance: What a reader gave for this exam.
        edits: A reader's corrections of this exam, applied to what was found.
        children: Processes that decode compressed pixels; None for two (one with one core).
        earlier: Called once with the exam's own pixels when they have passed their checks; gives
            an earlier CT of the patient, or None. What is new since then is suspect.

    Raises:
        InputRefused: when the pixels cannot be read or fail their checks, or a mask does not
            speak of this exam.
        UsageError: when corrections are given beside a mask of lesions, which nothing corrects.
    """
    from hoimg.segment import segment_exam

    settings = settings or Settings()
    guidance = guidance or Guidance()
    if guidance.mask is not None:
        check_no_edits(edits)
    volume, found = _pixels(exam, settings, children)
    prior = None if earlier is None else earlier(volume)
    placed = place_guidance(
        guidance,
        volume.grid,
        frame_of_reference_uid=exam.series.frame_of_reference_uid,
        settings=settings,
    )
    drawn, told = (
        model_skeleton(volume, settings.segment) if placed.skeleton is None else (None, ())
    )
    segmentation = segment_exam(
        volume,
        settings.segment,
        kvp=exam.acquisition.kvp,
        contrast=exam.acquisition.contrast,
        skeleton=placed.skeleton if drawn is None else drawn,
        skeleton_by=None if drawn is None else "TotalSegmentator",
        roi=placed.roi,
        seeds_lps_mm=guidance.seeds_lps_mm,
        lesions=placed.mask,
        prior=prior if settings.segment.prior_exam else None,
    )
    done: tuple[Edit, ...] = ()
    if edits:
        segmentation, done = edited(volume, segmentation, edits, settings)
    if placed.mask is not None:
        segmentation = _with_mask(segmentation, placed.mask, placed.lesion_flags)
    segmentation = replace(segmentation, findings=[*placed.findings, *told, *segmentation.findings])
    measurements = _measured(exam, volume, segmentation, settings)
    return ExamAnalysis(
        exam,
        volume,
        segmentation,
        measurements,
        tuple(outlines_of(segmentation.lesions, segmentation.lesion_flags)),
        placed.tracking_uids,
        found,
        done,
    )


def remeasure_exam(exam: Exam, saved: SavedReport, *, children: int | None = None) -> ExamAnalysis:
    """Measure one exam of an existing report again, by its label maps.

    Args:
        exam: From :func:`hoimg.dicom.again.read_again`.
        saved: The report that it is an exam of.
        children: Processes that decode compressed pixels; None for two (one with one core).

    Raises:
        InputRefused: when the pixels cannot be read or fail their checks, or the report's maps are
            unreadable or no longer lie on the exam's voxels.
    """
    from hoimg.remeasure import segmented_before

    volume, _ = _pixels(exam, saved.settings, children)  # their findings stand in the report
    before = segmented_before(saved, exam.exam_id, volume.grid)
    measurements = _measured(exam, volume, before.segmentation, saved.settings)
    return ExamAnalysis(
        exam, volume, before.segmentation, measurements, before.outlines, before.tracking_uids
    )


def _pixels(
    exam: Exam, settings: Settings, children: int | None
) -> tuple[CTVolume, tuple[Finding, ...]]:
    """An exam's pixels with what their checks say; refused where that is an error."""
    from hoimg.dicom import check_volume, load_volume

    volume = load_volume(exam, children=children)
    found = check_volume(volume, settings.intake)
    if any(f.level == "error" for f in found):
        raise _refused(exam, found)
    return volume, found


def _measured(
    exam: Exam, volume: CTVolume, segmentation: Segmentation, settings: Settings
) -> ExamMeasurements:
    from hoimg.measure import measure_exam

    return measure_exam(
        exam.exam_id,
        volume,
        segmentation.lesions,
        skeleton=segmentation.skeleton,
        metal=segmentation.metal,
        body=segmentation.body,
        settings=settings.measure,
        acquisition=exam.acquisition.model_copy(update={"native_skeleton": segmentation.provider}),
        flags=segmentation.lesion_flags,
    )


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


def analyze_patient(
    patient: Patient,
    settings: Settings | None = None,
    *,
    guidance: Guidance | None = None,
    edits: Edits | None = None,
    onset: date | None = None,
    on_step: Step | None = None,
) -> PatientResult:
    """Analyse all exams of one patient and follow each lesion over them.

    An exam whose pixels cannot be read does not stop the others: it stays in the report with its
    finding, and every lesion is ``not_measurable`` there.

    Args:
        patient: From :func:`hoimg.read_patient`.
        settings: None for the defaults.
        guidance: Masks, seeds or a region for one exam.
        edits: A reader's corrections of any of the exams.
        onset: Date of injury or first symptom, if known (rule R5).
        on_step: Called with a few words when a step starts.

    Returns:
        Everything that :func:`hoimg.write_report` writes.

    Raises:
        InputRefused: when no exam can be analysed.
        UsageError: when guidance or a correction is given for a patient with several exams
            without naming one, or both a mask of lesions and a correction of the same exam.
    """
    settings = settings or Settings()
    say = on_step or (lambda _words: None)
    guided = _guided_exam(patient, guidance)
    corrections, strange = for_exams(
        edits or Edits(), {e.exam_id: e.series.series_uid for e in patient.exams}
    )
    if guidance is not None and guidance.mask is not None:
        check_no_edits([e for e in corrections.edits if e.exam_id == guided])
    analyses: list[ExamAnalysis] = []
    unread: dict[str, Finding] = {}
    refusals: dict[str, InputRefused] = {}

    # Two exams are read at once: together they decode with two processes, not with four.
    children = 1 if len(patient.exams) > 1 else None
    earlier = EarlierScans([e.exam_id for e in patient.exams])

    def one(exam: Exam) -> ExamAnalysis | Finding:
        say(f"{exam.exam_id}: finding and measuring")
        given = guidance if exam.exam_id == guided else None
        try:
            wanted = [e for e in corrections.edits if e.exam_id == exam.exam_id]
            return analyze_exam(
                exam,
                settings,
                given,
                edits=wanted,
                children=children,
                earlier=partial(earlier.before, exam.exam_id),
            )
        except InputRefused as refused:
            if len(patient.exams) == 1 or refused.code.startswith("mask_"):
                raise  # what the reader gave is wrong; leaving the exam out would hide that
            refusals[exam.exam_id] = refused
            if refused.findings:
                return refused.findings[0]
            # Its message names a path, which may name the patient: not into a report.
            return Finding(
                code=refused.code,
                level="error",
                message="The pixels of this exam could not be read; it was not analysed.",
                fix="Copy or export the series again, uncompressed or as JPEG 2000 lossless.",
            )
        finally:
            earlier.over(exam.exam_id)

    for exam, outcome in zip(patient.exams, _each(one, patient.exams), strict=True):
        if isinstance(outcome, Finding):
            unread[exam.exam_id] = outcome
        else:
            analyses.append(outcome)
    if not analyses:
        raise next(refusals[e.exam_id] for e in patient.exams)
    onset_day = None
    if onset is not None and patient.baseline_date is not None:
        onset_day = (onset - patient.baseline_date).days
    course = _Course(
        patient.patient_key,
        {exam.exam_id: exam.days_from_baseline for exam in patient.exams},
        patient.baseline_date,
        onset_day,
    )
    lesions, registrations = _followed(analyses, course, unread, settings, say)
    analysed = {a.exam.exam_id: a for a in analyses}
    hips = {a.exam.exam_id: _hips(a, lesions, settings) for a in analyses}
    report = Report(
        software=f"hoimg {hoimg.__version__}",
        config_sha256=settings.sha256,
        patient_key=patient.patient_key,
        onset_day=onset_day,
        exams=[
            _exam_result(
                exam,
                patient,
                analysed.get(exam.exam_id),
                hips.get(exam.exam_id, []),
                unread,
                strangers(strange),
            )
            for exam in patient.exams
        ],
        lesions=lesions,
        excluded=[item for a in analyses for item in _excluded(a)],
        registrations=registrations,
    )
    return PatientResult(
        report,
        _images(analyses),
        settings.to_toml(),
        all_edits(corrections, strange, [e for a in analyses for e in a.edits]),
    )


def remeasure_patient(
    saved: SavedReport, exams: Sequence[Exam], *, on_step: Step | None = None
) -> PatientResult:
    """Compute every number of an existing report again from its label maps; nothing is segmented.

    With untouched label maps and the same version of hoimg the result is that of the run which
    wrote the report. Outlines that a reader redrew since then are measured as they are now, and
    what follows from them (changes, labels) is new. An exam whose pixels that run could not read
    stays as it is.

    Args:
        saved: From :func:`hoimg.report.saved.read_saved`.
        exams: Every exam of the report that has a label map, from
            :func:`hoimg.dicom.again.read_again`.
        on_step: Called with a few words when a step starts.

    Returns:
        Everything that :func:`hoimg.write_report` writes.

    Raises:
        InputRefused: as :func:`remeasure_exam`; no exam is left out in silence.
    """
    from hoimg.remeasure import remeasured_exam

    say = on_step or (lambda _words: None)
    children = 1 if len(exams) > 1 else None

    def one(exam: Exam) -> ExamAnalysis:
        say(f"{exam.exam_id}: measuring")
        return remeasure_exam(exam, saved, children=children)

    analyses = _each(one, exams)
    before = saved.report
    measured = {a.exam.exam_id: a for a in analyses}
    starts = [e.date - timedelta(e.days_from_baseline) for e in exams if e.date is not None]
    course = _Course(
        before.patient_key,
        {exam.exam_id: exam.days_from_baseline for exam in before.exams},
        min(starts, default=None),
        before.onset_day,
    )
    unread = [exam.exam_id for exam in before.exams if exam.exam_id not in measured]
    settings = saved.settings
    lesions, registrations = _followed(analyses, course, unread, settings, say)
    report = before.model_copy(
        update={
            "software": f"hoimg {hoimg.__version__}",
            "config_sha256": saved.settings.sha256,
            "exams": [
                remeasured_exam(exam, analysis, _hips(analysis, lesions, settings))
                if (analysis := measured.get(exam.exam_id))
                else exam
                for exam in before.exams
            ],
            "lesions": lesions,
            "excluded": [item for a in analyses for item in _excluded(a)],
            "registrations": registrations,
        }
    )
    return PatientResult(report, _images(analyses), saved.settings.to_toml(), saved.edits)


@dataclass(frozen=True)
class _Course:
    """When one patient's exams were made.

    Attributes:
        patient_key: Keyed hash of the patient.
        days: Days from baseline by exam_id, exams in date order.
        baseline_date: Date of the first exam, if known.
        onset_day: Given onset in days from baseline.
    """

    patient_key: str
    days: Mapping[str, int]
    baseline_date: date | None
    onset_day: int | None


def _followed(
    analyses: Sequence[ExamAnalysis],
    course: _Course,
    unread: Collection[str],
    settings: Settings,
    say: Step,
) -> tuple[list[Lesion], list[RegistrationSummary]]:
    """The lesions of all exams, each followed and labelled, and how the exams were placed."""
    from hoimg.maturity import assess

    registrations = _register_all(analyses, settings, say)
    tracks = _track(course.patient_key, analyses, registrations, settings)
    acquisitions = {a.exam.exam_id: a.measurements.acquisition for a in analyses}
    given_uids = _given_uids(tracks, analyses)
    lesions = [
        Lesion(
            lesion_id=track.lesion_id,
            tracking_uid=given_uids.get(track.lesion_id, track.tracking_uid),
            observations=_complete(track.observations, course.days, unread),
            changes=track.changes,
            maturity=assess(
                track.observations,
                track.changes,
                acquisitions,
                course.days,
                settings.maturity,
                baseline_date=course.baseline_date,
                onset_day=course.onset_day,
            ),
        )
        for track in tracks
    ]
    summaries = [
        RegistrationSummary(
            from_exam=fixed,
            to_exam=moving,
            accepted=found.accepted,
            bone_overlap=found.bone_overlap,
            residual_mm=found.residual_mm,
            reason=found.reason,
        )
        for (fixed, moving), found in registrations.items()
    ]
    return lesions, summaries


def _images(analyses: Sequence[ExamAnalysis]) -> dict[str, ExamImages]:
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


def _guided_exam(patient: Patient, guidance: Guidance | None) -> str | None:
    if guidance is None or not guidance.given:
        return None
    if guidance.series_uid is not None:
        for exam in patient.exams:
            if exam.series.series_uid == guidance.series_uid:
                return exam.exam_id
    elif len(patient.exams) == 1:
        return patient.exams[0].exam_id
    raise UsageError(
        f"a mask, region or seed speaks of one exam, and there are {len(patient.exams)}: "
        "name it with --series UID (see 'hoimg info')"
    )


def _given_uids(tracks: Sequence[Track], analyses: Sequence[ExamAnalysis]) -> dict[str, str]:
    """Lesion to the tracking UID of a mask that is followed already; one lesion for each UID."""
    found: dict[str, str] = {}
    for track in tracks:
        seen = {o.exam_id: o.label for o in track.observations if o.label is not None}
        for analysis in analyses:
            uid = analysis.tracking_uids.get(seen.get(analysis.exam.exam_id, 0))
            others = {t.tracking_uid for t in tracks if t is not track} | set(found.values())
            if uid is not None and uid not in others:
                found[track.lesion_id] = uid
    return found


def _with_mask(
    segmentation: Segmentation, mask: Mask, flags: Mapping[int, Sequence[str]]
) -> Segmentation:
    """The reader's own outlines in place of the lesions found.

    Args:
        segmentation: Of the exam.
        mask: The outlines on the exam's voxels, one label each.
        flags: Label to what else is to be said of that outline.
    """
    import numpy as np

    from hoimg.segment.overrule import taken_from

    inside = mask.array > 0
    labels = np.unique(mask.array[inside]).tolist()
    return replace(
        taken_from(segmentation, inside),
        lesions=mask,
        lesion_flags={label: [GIVEN, *flags.get(label, ())] for label in labels},
    )


def _register_all(
    analyses: Sequence[ExamAnalysis], settings: Settings, say: Step
) -> dict[tuple[str, str], Registration]:
    """Each exam onto the first; where that is rejected, also onto the one before it."""
    from hoimg.serial import register

    def one(pair: tuple[ExamAnalysis, ExamAnalysis]) -> Registration:
        fixed, moving = pair
        say(f"{moving.exam.exam_id}: registering to {fixed.exam.exam_id}")
        return register(
            fixed.volume,
            fixed.segmentation.skeleton,
            moving.volume,
            moving.segmentation.skeleton,
            settings.serial,
        )

    def named(pair: tuple[ExamAnalysis, ExamAnalysis]) -> tuple[str, str]:
        return pair[0].exam.exam_id, pair[1].exam.exam_id

    pairs = [(analyses[0], moving) for moving in analyses[1:]]
    out = {named(p): found for p, found in zip(pairs, _each(one, pairs), strict=True)}
    again = [
        (before, moving)
        for before, moving in pairwise(analyses)
        if before is not analyses[0] and not out[named((analyses[0], moving))].accepted
    ]
    return out | {named(p): found for p, found in zip(again, _each(one, again), strict=True)}


def _each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do independent work for each item, results in order.

    Two at a time: ITK and scipy leave Python's lock while they compute, but an exam's working
    copies are large, so no more than two are in memory.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(work, items))


def _track(
    patient_key: str,
    analyses: Sequence[ExamAnalysis],
    registrations: dict[tuple[str, str], Registration],
    settings: Settings,
) -> list[Track]:
    from hoimg.serial import ExamLesions, track

    exams = [
        ExamLesions(
            exam_id=a.exam.exam_id,
            days=a.exam.days_from_baseline,
            acquisition=a.measurements.acquisition,
            lesions=a.segmentation.lesions,
            observations=a.measurements.observations,
        )
        for a in analyses
    ]
    return track(exams, registrations, settings.serial, patient_key=patient_key)


def _complete(
    observations: Sequence[Observation], exam_ids: Iterable[str], unread: Collection[str]
) -> list[Observation]:
    """One observation per exam, those included whose pixels could not be read."""
    known = {o.exam_id: o for o in observations}
    for exam_id in unread:
        known[exam_id] = Observation(
            exam_id=exam_id, status="not_measurable", flags=["exam_unreadable"]
        )
    return [known[exam_id] for exam_id in exam_ids if exam_id in known]


def _exam_result(
    exam: Exam,
    patient: Patient,
    analysis: ExamAnalysis | None,
    hips: list[Hip],
    unread: Mapping[str, Finding],
    told: Sequence[Finding],
) -> ExamResult:
    findings = list(exam.findings)
    if exam is patient.exams[0]:
        # About files and studies that gave no exam, and edits of other exams.
        findings += [*patient.findings, *told]
    acquisition = exam.acquisition
    if analysis is not None:
        findings += [*analysis.findings, *analysis.segmentation.findings]
        acquisition = analysis.measurements.acquisition
    elif exam.exam_id in unread:
        findings.append(unread[exam.exam_id])
    return ExamResult(
        exam_id=exam.exam_id,
        modality=exam.modality,
        study_instance_uid=exam.study_uid,
        series_instance_uid=exam.series.series_uid,
        days_from_baseline=exam.days_from_baseline,
        acquisition=acquisition,
        findings=findings,
        outlines=[] if analysis is None else list(analysis.outlines),
        hips=hips,
    )


def _hips(analysis: ExamAnalysis, lesions: Sequence[Lesion], settings: Settings) -> list[Hip]:
    """The hips of an exam with their grades and the names of their lesions."""
    from hoimg.maturity import grade_hip

    exam_id = analysis.exam.exam_id
    names = {o.label: x.lesion_id for x in lesions for o in x.observations if o.exam_id == exam_id}
    return [
        grade_hip(
            hip.model_copy(update={"lesions": [names[v] for v in hip.labels if v in names]}),
            analysis.measurements.observations,
            settings.maturity,
        )
        for hip in analysis.measurements.hips
    ]


def _excluded(analysis: ExamAnalysis) -> list[Excluded]:
    return [
        Excluded(exam_id=analysis.exam.exam_id, **asdict(region))
        for region in analysis.segmentation.excluded_regions
    ]
