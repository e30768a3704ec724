"""An exam as an earlier run left it, with what a reader redrew since, ready to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

import hoimg
from hoimg.analysis import ExamAnalysis, excluded_of, images_of, measured_in, pixels_of
from hoimg.editing import all_edits, decided, edited, strangers
from hoimg.edits import Edit, for_exams
from hoimg.errors import InputRefused
from hoimg.film_regions import split_by_film
from hoimg.films.again import remeasure_film
from hoimg.films.analysis import NO_REGION, FilmAnalysis
from hoimg.films.decided import decisions_by_film, film_decided, with_confirmed, with_films_told
from hoimg.films.follow import film_lesions
from hoimg.films.hips import NO_LANDMARKS, HipsOfFilm, hips_of_films
from hoimg.films.tie import tells_of
from hoimg.follow import Course, Step, each, followed, hips_of
from hoimg.hip_marks import place_marks
from hoimg.image import CTVolume, Mask
from hoimg.names import labelled
from hoimg.outlines import GIVEN, Redrawn, outlines_of, redrawn
from hoimg.reading import with_findings, with_reader
from hoimg.results import Exam as ExamResult
from hoimg.results import Finding, Hip, Lesion, Outline, PatientResult, Report
from hoimg.segment import Segmentation
from hoimg.segment.draft import taken_from
from hoimg.segment.types import ExcludedRegion

if TYPE_CHECKING:
    from hoimg.dicom import Exam
    from hoimg.report.saved import SavedReport

EDITED = "outline_edited"
OF_THE_OLD_SHAPE = frozenset({"attached_to_bone", "outline_rough", "outline_resampled"})
"""Flags of segmentation that a new outline makes untrue."""


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
        exams: Every exam of the report that has a label map, CT and films, from
            :func:`hoimg.dicom.again.read_again`.
        on_step: Called with a few words when a step starts.

    Returns:
        Everything that :func:`hoimg.write_report` writes.

    Raises:
        InputRefused: as :func:`remeasure_exam`; no exam is left out in silence.
    """
    from hoimg.serial.totals import totals_of

    say = on_step or (lambda _words: None)
    told, strange = for_exams(
        saved.edits,
        {e.exam_id: e.series_instance_uid for e in saved.report.exams if e.film is None},
        again=True,
    )
    scans = [e for e in exams if e.film is None]
    told, on_films, away = decisions_by_film(
        told, [e for e in exams if e.film is not None], again=True
    )
    saved = replace(saved, edits=told)
    settings = saved.settings
    children = 1 if len(scans) > 1 else None

    def one(exam: Exam) -> ExamAnalysis:
        say(f"{exam.exam_id}: measuring")
        return remeasure_exam(exam, saved, children=children)

    def film(exam: Exam) -> tuple[FilmAnalysis, Redrawn]:
        say(f"{exam.exam_id}: measuring")
        found, changed = remeasure_film(exam, saved)
        found = with_confirmed(found, saved)
        return film_decided(found, on_films.get(exam.exam_id, ())), changed

    analyses = each(one, scans)
    films = {
        a.exam.exam_id: (a, r) for a, r in each(film, [e for e in exams if e.film is not None])
    }
    shown = [a for a, _ in films.values()]
    before = saved.report
    measured = {a.exam.exam_id: a for a in analyses}
    starts = [e.date - timedelta(e.days_from_baseline) for e in exams if e.date is not None]
    course = Course(
        before.patient_key,
        {exam.exam_id: exam.days_from_baseline for exam in before.exams},
        min(starts, default=None),
        before.onset_day,
    )
    unread = [e.exam_id for e in before.exams if e.film is None and e.exam_id not in measured]
    used = [lesion.lesion_id for lesion in before.lesions]
    lesions, registrations, links = (
        followed(analyses, course, unread, settings, say, labelled(before), used)
        if analyses
        else ([], [], {})
    )
    names = {lesion.tracking_uid: lesion.lesion_id for lesion in before.lesions}
    together, _, placements = film_lesions(shown, course, settings, lesions, names, used)
    here, _ = split_by_film(saved.edits.hips, [a.exam for a in shown])
    marks = place_marks(here, [a.exam for a in shown])
    film_hips = hips_of_films(shown, marks, together, settings)
    exams_now = [
        remeasured_exam(exam, analysis, hips_of(analysis, lesions, settings))
        if (analysis := measured.get(exam.exam_id))
        else remeasured_film(exam, *again, film_hips.get(exam.exam_id, HipsOfFilm()), saved)
        if (again := films.get(exam.exam_id))
        else exam
        for exam in before.exams
    ]
    if exams_now:
        exams_now[0] = with_findings(exams_now[0], strangers([*strange, *away]))
    volumes = [e for e in exams_now if e.film is None]
    report = before.model_copy(
        update={
            "software": f"hoimg {hoimg.__version__}",
            "config_sha256": saved.settings.sha256,
            "exams": exams_now,
            "lesions": together,
            "totals": totals_of(volumes, lesions, settings.serial, unread=unread)
            if volumes
            else None,
            "excluded": [item for a in analyses for item in excluded_of(a)],
            "registrations": [*registrations, *placements],
        }
    )
    edits = with_films_told(all_edits(told, strange, [e for a in analyses for e in a.edits]), shown)
    return PatientResult(
        with_reader(report, edits),
        images_of(analyses),
        saved.settings.to_toml(),
        edits,
        {a.exam.exam_id: a.images for a in shown},
        links,
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
    volume, _ = pixels_of(exam, saved.settings, children)  # their findings stand in the report
    before = segmented_before(saved, exam.exam_id, volume)
    segmentation, done = _corrected(exam.exam_id, volume, before.segmentation, saved)
    measurements = measured_in(exam, volume, segmentation, saved.settings)
    return ExamAnalysis(
        exam,
        volume,
        segmentation,
        measurements,
        tuple(outlines_of(segmentation.lesions, segmentation.lesion_flags)),
        before.tracking_uids,
        edits=done,
    )


def _corrected(
    exam_id: str, volume: CTVolume, segmentation: Segmentation, saved: SavedReport
) -> tuple[Segmentation, tuple[Edit, ...]]:
    """What a reader decided since the report was written, put into its maps.

    Corrections that the report's own run has applied are in the maps already. Lesions keep their
    numbers, by which the report names them.
    """
    here = [e for e in saved.edits.edits if e.exam_id == exam_id]
    new = [e for e in here if e.of_the_map and e.applied is None]
    done: tuple[Edit, ...] = ()
    if new:
        segmentation, done = edited(volume, segmentation, new, saved.settings, keep_numbers=True)
    after = {e.key: e for e in done}
    said, doubts = decided(segmentation, [after.get(e.key, e) for e in here])
    return replace(segmentation, findings=[*segmentation.findings, *doubts]), said


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


def segmented_before(saved: SavedReport, exam_id: str, volume: CTVolume) -> SegmentedBefore:
    """Read an exam's maps back, as the stage of segmentation would give them.

    Where a reader redrew or added an outline, its voxels are no native bone and not left out.

    Args:
        saved: The report.
        exam_id: One of its exams that have a label map.
        volume: The exam, as its pixels were read now.

    Raises:
        UsageError: when a map other than that of the lesions is missing or was changed.
        InputRefused: when a map cannot be read, or does not lie on the exam's voxels.
    """
    exam, grid = saved.exam(exam_id), volume.grid
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
    names = _lesions_of(saved.report, exam_id)
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
        redrawn_only = lesions.array * np.isin(lesions.array, changed.drawn)
        segmentation = taken_from(segmentation, redrawn_only, volume)
    outlines = tuple(o.model_copy(update={"flags": flags[o.label]}) for o in now)
    return SegmentedBefore(segmentation, outlines, {k: le.tracking_uid for k, le in names.items()})


def remeasured_exam(before: ExamResult, analysis: ExamAnalysis, hips: list[Hip]) -> ExamResult:
    """The exam's entry in the new report: what was measured anew, the rest as it was said before.

    Args:
        before: The exam in the earlier report.
        analysis: Of :func:`remeasure_exam`.
        hips: Its hips with their grades.
    """
    return before.model_copy(
        update={
            "acquisition": analysis.measurements.acquisition,
            "findings": [*before.findings, *_news(analysis.segmentation.findings, before)],
            "outlines": list(analysis.outlines),
            "hips": hips,
        }
    )


def _news(findings: Sequence[Finding], before: ExamResult) -> list[Finding]:
    """Findings without what was told of the same decision before."""
    return [f for f in findings if not (f.code.startswith("edit_") and f in before.findings)]


def remeasured_film(
    before: ExamResult,
    analysis: FilmAnalysis,
    changed: Redrawn,
    hips: HipsOfFilm,
    saved: SavedReport,
) -> ExamResult:
    """The film's entry in the new report, likewise.

    Args:
        before: The film in the earlier report.
        analysis: Of :func:`hoimg.films.again.remeasure_film`.
        changed: What a reader redrew.
        hips: Its hips with their grades, and what is said where there are none.
        saved: The earlier report; what a reader confirmed since is suggested no more.
    """
    names = {k: lesion.lesion_id for k, lesion in _lesions_of(saved.report, before.exam_id).items()}
    here, _ = split_by_film(saved.edits.regions, [analysis.exam])
    confirmed = {r.box for r in here if r.time is not None}
    new = [f for f in analysis.findings if f not in before.findings]
    done = [s for s in before.suggestions if tuple(map(float, s.box)) in confirmed]
    known = [
        f
        for f in before.findings
        if not (analysis.regions and f.code == NO_REGION) and not any(tells_of(f, s) for s in done)
    ]
    findings = [*known, *new]
    if [f for f in findings if f.code == NO_LANDMARKS] != list(hips.findings):
        findings = [*(f for f in findings if f.code != NO_LANDMARKS), *hips.findings]
    return before.model_copy(
        update={
            "findings": [*findings, *_told(changed, names)],
            "outlines": analysis.outlines,
            "hips": list(hips.hips),
            "suggestions": [s for s in before.suggestions if s not in done],
        }
    )


def _lesions_of(report: Report, exam_id: str) -> dict[int, Lesion]:
    """Label to lesion of one exam."""
    return {
        seen.label: lesion
        for lesion in report.lesions
        for seen in lesion.observations
        if seen.exam_id == exam_id and seen.label is not None
    }


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
