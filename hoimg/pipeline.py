"""The one place where the stages are called in order: dicom, segment, measure, serial, maturity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import hoimg
from hoimg.analysis import ExamAnalysis, excluded_of, images_of, measured_in, pixels_of
from hoimg.earlier import EarlierScans
from hoimg.editing import all_edits, check_no_edits, decided, edited, strangers
from hoimg.edits import Edit, Edits, for_exams
from hoimg.errors import InputRefused, UsageError
from hoimg.film_regions import place_regions, split_by_film
from hoimg.films.analysis import FilmAnalysis, analyze_film, film_of
from hoimg.films.decided import decisions_by_film, film_decided, with_films_told
from hoimg.films.follow import film_lesions
from hoimg.films.hips import HipsOfFilm, hips_of_films
from hoimg.films.suggestions import with_news, with_suggestions
from hoimg.films.tie import tied_films
from hoimg.follow import Course, Step, each, followed, hips_of
from hoimg.guidance import Guidance, place_guidance
from hoimg.hip_marks import place_marks, with_films_named
from hoimg.image import CTVolume, Mask
from hoimg.memory import give_back_freed_memory
from hoimg.model_skeleton import model_skeleton
from hoimg.outlines import GIVEN, outlines_of
from hoimg.reading import with_reader
from hoimg.results import Context, Finding, PatientResult, Report
from hoimg.results import Exam as ExamResult
from hoimg.settings import Settings

if TYPE_CHECKING:
    from datetime import date

    from hoimg.dicom import Exam, Patient
    from hoimg.names import NamesBefore
    from hoimg.segment import Segmentation
    from hoimg.segment.prior import PriorScan


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
        exam: A CT from :func:`hoimg.read_patient`; for a film see
            :func:`hoimg.films.analysis.analyze_film`.
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
    volume, found = pixels_of(exam, settings, children)
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
    give_back_freed_memory()  # of the segmentation, much of which is not needed again
    done: tuple[Edit, ...] = ()
    if changing := [e for e in edits if e.of_the_map]:
        segmentation, done = edited(volume, segmentation, changing, settings)
    if placed.mask is not None:
        segmentation = _with_mask(segmentation, placed.mask, placed.lesion_flags, volume)
    done, doubts = decided(segmentation, [*done, *(e for e in edits if not e.of_the_map)])
    segmentation = replace(
        segmentation, findings=[*placed.findings, *told, *segmentation.findings, *doubts]
    )
    measurements = measured_in(exam, volume, segmentation, settings)
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


def analyze_patient(
    patient: Patient,
    settings: Settings | None = None,
    *,
    guidance: Guidance | None = None,
    edits: Edits | None = None,
    onset: date | None = None,
    context: Context | None = None,
    names: NamesBefore | None = None,
    on_step: Step | None = None,
) -> PatientResult:
    """Analyse all exams of one patient and follow each lesion over them.

    CT and films stand in one time line. A lesion is called on a film only in a region that
    ``guidance`` or ``edits`` gives on it, or on another film of its view with the setting
    ``film.carried_regions_count``. An exam whose pixels cannot be read does not stop the others:
    it stays in the report with its finding, and every lesion of CT is ``not_measurable`` there.

    Args:
        patient: From :func:`hoimg.read_patient`.
        settings: None for the defaults.
        guidance: Masks, seeds or a region for one CT, regions for films.
        edits: A reader's corrections of any of the exams.
        onset: Date of injury or first symptom, if known (rule R5).
        context: Aetiology, laboratory values and bone scans; shown, no label depends on it.
        names: What an earlier report called its lesions (:func:`hoimg.names.names_in`): they keep
            their lesion_id and tracking UID.
        on_step: Called with a few words when a step starts.

    Returns:
        Everything that :func:`hoimg.write_report` writes.

    Raises:
        InputRefused: when no exam can be analysed.
        UsageError: when guidance or a correction is given for a patient with several exams
            without naming one, or both a mask of lesions and a correction of the same exam.
    """
    from hoimg.serial.totals import totals_of

    settings = settings or Settings()
    say = on_step or (lambda _words: None)
    guidance = guidance or Guidance()
    scans, films = patient.scans, patient.radiographs
    guided = _guided_exam(patient, guidance)
    corrections, strange = for_exams(
        edits or Edits(), {e.exam_id: e.series.series_uid for e in scans}
    )
    if guidance.mask is not None:
        check_no_edits([e for e in corrections.edits if e.exam_id == guided])
    drawn, drawn_elsewhere = split_by_film(corrections.film_regions, films)
    regions = place_regions([*guidance.film_regions, *drawn], films, guidance.series_uid)
    marked, marked_elsewhere = split_by_film(corrections.hips, films)
    marks = place_marks(marked, films, guidance.series_uid)
    corrections, on_films, decided_elsewhere = decisions_by_film(corrections, films)
    # Two exams are read at once: together they decode with two processes, not with four.
    children = 1 if len(scans) > 1 else None
    earlier = EarlierScans([e.exam_id for e in scans])

    def scan(exam: Exam) -> ExamAnalysis:
        try:
            wanted = [e for e in corrections.edits if e.exam_id == exam.exam_id]
            return analyze_exam(
                exam,
                settings,
                guidance if exam.exam_id == guided else None,
                edits=wanted,
                children=children,
                earlier=partial(earlier.before, exam.exam_id),
            )
        finally:
            earlier.over(exam.exam_id)

    def film(exam: Exam) -> FilmAnalysis:
        found = analyze_film(exam, regions.get(exam.exam_id, ()), settings)
        return with_suggestions(found, settings)

    unread: dict[str, Finding] = {}
    refusals: dict[str, InputRefused] = {}

    def contained(exam: Exam) -> ExamAnalysis | FilmAnalysis | None:
        """The exam analysed; None where its pixels refuse it, which is kept as a finding."""
        say(f"{exam.exam_id}: finding and measuring")
        try:
            return scan(exam) if exam.film is None else film(exam)
        except InputRefused as refused:
            if len(patient.exams) == 1 or refused.code.startswith("mask_"):
                raise  # what the reader gave is wrong; leaving the exam out would hide that
            refusals[exam.exam_id] = refused
            unread[exam.exam_id] = _why_unread(refused)
            return None

    outcomes = [*each(contained, scans), *each(contained, films)]
    analyses = [a for a in outcomes if isinstance(a, ExamAnalysis)]
    shown = [a for a in outcomes if isinstance(a, FilmAnalysis)]
    if not analyses and not shown:
        raise next(refusals[e.exam_id] for e in patient.exams)
    if len(shown) > 1:
        say("films: placed onto each other, lesions compared")
    shown = with_news(shown, settings)
    # Not before: to what is suggested a place is known that a reader rejected.
    shown = [film_decided(a, on_films.get(a.exam.exam_id, ())) for a in shown]
    shown = tied_films(shown, settings)
    onset_day = None
    if onset is not None and patient.baseline_date is not None:
        onset_day = (onset - patient.baseline_date).days
    course = Course(
        patient.patient_key,
        {exam.exam_id: exam.days_from_baseline for exam in patient.exams},
        patient.baseline_date,
        onset_day,
    )
    known = {
        a.exam.exam_id: names.known(a.exam.series.series_uid, a.segmentation.lesions)
        for a in analyses
        if names is not None
    }
    used = () if names is None else names.lesion_ids
    lesions, registrations, links = (
        ([], [], {})
        if not analyses
        else followed(
            analyses,
            course,
            [e.exam_id for e in scans if e.exam_id in unread],
            settings,
            say,
            known,
            used,
        )
    )
    hips = {a.exam.exam_id: hips_of(a, lesions, settings) for a in analyses}
    together, doubts, placements = film_lesions(
        shown, course, settings, lesions, {} if names is None else names.by_tracking_uid, used
    )
    film_hips = hips_of_films(shown, marks, together, settings)
    told = [
        *strangers([*strange, *drawn_elsewhere, *marked_elsewhere, *decided_elsewhere]),
        *doubts,
    ]
    every: list[ExamAnalysis | FilmAnalysis] = [*analyses, *shown]
    analysed = {a.exam.exam_id: a for a in every}
    exams = [
        _exam_result(
            exam,
            patient,
            analysed.get(exam.exam_id),
            film_hips.get(exam.exam_id) or HipsOfFilm(tuple(hips.get(exam.exam_id, ()))),
            unread,
            told,
        )
        for exam in patient.exams
    ]
    # A film has no volume: totals are those of CT.
    volumes = [e for e in exams if e.film is None]
    report = Report(
        software=f"hoimg {hoimg.__version__}",
        config_sha256=settings.sha256,
        patient_key=patient.patient_key,
        onset_day=onset_day,
        context=context,
        exams=exams,
        lesions=together,
        totals=totals_of(volumes, lesions, settings.serial, unread=unread) if volumes else None,
        excluded=[item for a in analyses for item in excluded_of(a)],
        registrations=[*registrations, *placements],
    )
    kept = with_films_named(
        with_films_told(
            all_edits(corrections, strange, [e for a in analyses for e in a.edits]), shown
        ),
        films,
        guidance.series_uid,
    )
    return PatientResult(
        with_reader(report, kept),
        images_of(analyses),
        settings.to_toml(),
        kept,
        {a.exam.exam_id: a.images for a in shown},
        links,
    )


def _why_unread(refused: InputRefused) -> Finding:
    """What a report says of an exam that could not be read."""
    if refused.findings:
        return refused.findings[0]
    # Its message names a path, which may name the patient: not into a report.
    return Finding(
        code=refused.code,
        level="error",
        message="The pixels of this exam could not be read; it was not analysed.",
        fix="Copy or export the series again, uncompressed or as JPEG 2000 lossless.",
    )


def _guided_exam(patient: Patient, guidance: Guidance) -> str | None:
    """The CT that masks, regions and seeds in space speak of; None where none are given."""
    scans = patient.scans
    if not guidance.given:
        return None
    if guidance.series_uid is not None:
        for exam in scans:
            if exam.series.series_uid == guidance.series_uid:
                return exam.exam_id
    elif len(scans) == 1:
        return scans[0].exam_id
    if not scans:
        raise UsageError(
            "a mask, seed, or region in space speaks of a CT, and there are only films: give a "
            "region on a film, e.g. --roi box:X0,Y0,X1,Y1 in pixels (see 'hoimg report --help')"
        )
    raise UsageError(
        f"a mask, region or seed speaks of one CT, and there are {len(scans)}: "
        "name it with --series UID (see 'hoimg info')"
    )


def _with_mask(
    segmentation: Segmentation, mask: Mask, flags: Mapping[int, Sequence[str]], volume: CTVolume
) -> Segmentation:
    """The reader's own outlines in place of the lesions found.

    Args:
        segmentation: Of the exam.
        mask: The outlines on the exam's voxels, one label each.
        flags: Label to what else is to be said of that outline.
        volume: The exam.
    """
    import numpy as np

    from hoimg.segment.draft import taken_from

    inside = mask.array > 0
    labels = np.unique(mask.array[inside]).tolist()
    return replace(
        taken_from(segmentation, mask.array, volume),
        lesions=mask,
        lesion_flags={label: [GIVEN, *flags.get(label, ())] for label in labels},
    )


def _exam_result(
    exam: Exam,
    patient: Patient,
    analysis: ExamAnalysis | FilmAnalysis | None,
    hips: HipsOfFilm,
    unread: Mapping[str, Finding],
    told: Sequence[Finding],
) -> ExamResult:
    findings = list(exam.findings)
    if exam is patient.exams[0]:
        # About files and studies that gave no exam, and edits of other exams.
        findings += [*patient.findings, *told]
    acquisition = exam.acquisition
    if isinstance(analysis, FilmAnalysis):
        # A doubt of the header and one of the pixels are two.
        findings += [*analysis.findings, *hips.findings]
    elif analysis is not None:
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
        hips=list(hips.hips),
        film=None if exam.film is None else film_of(exam),
        suggestions=list(analysis.suggestions) if isinstance(analysis, FilmAnalysis) else [],
    )
