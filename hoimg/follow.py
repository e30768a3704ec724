"""The lesions of all exams of a patient followed over time: placed, matched, compared, labelled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hoimg.links import links_of
from hoimg.results import Hip, Lesion, Links, Observation, RegisteredPart, RegistrationSummary
from hoimg.settings import Settings
from hoimg.side_threads import side_threads

if TYPE_CHECKING:
    from datetime import date

    from hoimg.analysis import ExamAnalysis
    from hoimg.serial import Known, Registration, Track

Step = Callable[[str], None]
"""Called with a few words when a step starts."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Course:
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


def followed(
    analyses: Sequence[ExamAnalysis],
    course: Course,
    unread: Collection[str],
    settings: Settings,
    say: Step,
    known: Mapping[str, Mapping[int, Known]] | None = None,
    used_ids: Collection[str] = (),
) -> tuple[list[Lesion], list[RegistrationSummary], dict[str, Links]]:
    """The lesions of all exams, each followed and labelled, and how the exams were placed.

    Last come the links of each lesion by its tracking UID (:func:`hoimg.links.links_of`).

    Args:
        analyses: The exams, in date order.
        course: When they were made.
        unread: Exams whose pixels could not be read.
        settings: All of them.
        say: Told what is being done.
        known: By exam and label, how an earlier report named the lesion there.
        used_ids: Each lesion_id of that report; no other lesion gets one of them.
    """
    from hoimg.maturity import assess_over_time
    from hoimg.serial import fit_course

    registrations = _register_all(analyses, settings, say)
    tracks = _track(course.patient_key, analyses, registrations, known or {}, used_ids, settings)
    acquisitions = {a.exam.exam_id: a.measurements.acquisition for a in analyses}
    lesions = [
        Lesion(
            lesion_id=track.lesion_id,
            tracking_uid=track.tracking_uid,
            observations=_complete(track.observations, course.days, unread),
            changes=track.changes,
            course=fit_course(
                track.observations, track.changes, acquisitions, course.days, settings.serial
            ),
            maturity=assess_over_time(
                track.observations,
                track.changes,
                acquisitions,
                course.days,
                settings.maturity,
                earlier_changes=track.earlier_changes,
                baseline_date=course.baseline_date,
                onset_day=course.onset_day,
            ),
        )
        for track in tracks
    ]
    summaries = [_summary(*pair, found) for pair, found in registrations.items()]
    return lesions, summaries, links_of(lesions, analyses, registrations)


def hips_of(analysis: ExamAnalysis, lesions: Sequence[Lesion], settings: Settings) -> list[Hip]:
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


def each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do independent work for each item, results in order.

    Two at a time: ITK and scipy leave Python's lock while they compute, but an exam's working
    copies are large, so no more than two are in memory.
    """

    with side_threads(2) as pool:
        return list(pool.map(work, items))


def _register_all(
    analyses: Sequence[ExamAnalysis], settings: Settings, say: Step
) -> dict[tuple[str, str], Registration]:
    """Each exam onto the first; where that is not enough, also onto the one before it.

    It is not enough where it was rejected, and where lesions of either exam lie at bone that it
    could not place or outside the first one's view: each other they may show what it does not.
    """
    from hoimg.serial import register

    first = analyses[0]

    def one(pair: tuple[ExamAnalysis, ExamAnalysis]) -> Registration:
        fixed, moving = pair
        say(f"{moving.exam.exam_id}: registering to {fixed.exam.exam_id}")
        return register(
            fixed.volume,
            fixed.segmentation.skeleton,
            moving.volume,
            moving.segmentation.skeleton,
            settings.serial,
            fixed_unsure=(fixed.segmentation.lesions, fixed.segmentation.excluded),
            moving_unsure=(moving.segmentation.lesions, moving.segmentation.excluded),
            lesions=(fixed.segmentation.lesions, moving.segmentation.lesions),
            metal=(fixed.segmentation.metal, moving.segmentation.metal),
        )

    def named(pair: tuple[ExamAnalysis, ExamAnalysis]) -> tuple[str, str]:
        return pair[0].exam.exam_id, pair[1].exam.exam_id

    pairs = [(first, moving) for moving in analyses[1:]]
    out = {named(p): found for p, found in zip(pairs, each(one, pairs), strict=True)}
    short = {m.exam.exam_id for f, m in pairs if not _enough(out[named((f, m))], f, m)}
    again = [
        (before, moving)
        for before, moving in pairwise(analyses)
        if before is not first and short & {before.exam.exam_id, moving.exam.exam_id}
    ]
    return out | {named(p): found for p, found in zip(again, each(one, again), strict=True)}


def _enough(found: Registration, first: ExamAnalysis, moving: ExamAnalysis) -> bool:
    if not found.accepted:
        return False
    seen = moving.measurements.observations.values()
    places = np.array([o.centroid_lps_mm for o in seen if o.centroid_lps_mm is not None])
    if not len(places):
        return True
    back = found.inverse()
    index = first.volume.grid.to_index_zyx(back.carry(places))
    in_view = ((index >= 0) & (index <= np.array(first.volume.grid.size_zyx) - 1)).all()
    return bool(in_view and back.covers(places).all())


def _summary(fixed: str, moving: str, found: Registration) -> RegistrationSummary:
    return RegistrationSummary(
        from_exam=fixed,
        to_exam=moving,
        accepted=found.accepted,
        bone_overlap=found.bone_overlap,
        residual_mm=found.residual_mm,
        reason=found.reason,
        parts=[
            RegisteredPart(
                accepted=part.accepted,
                bone_overlap=part.bone_overlap,
                residual_mm=part.residual_mm,
                turn_deg=found.turn_deg(part),
                reason=part.reason,
            )
            for part in found.parts
        ],
    )


def _track(
    patient_key: str,
    analyses: Sequence[ExamAnalysis],
    registrations: dict[tuple[str, str], Registration],
    known: Mapping[str, Mapping[int, Known]],
    used_ids: Collection[str],
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
            metal=a.segmentation.metal,
            volume=a.volume,
            known=_known(a, known.get(a.exam.exam_id, {})),
        )
        for a in analyses
    ]
    return track(exams, registrations, settings.serial, patient_key=patient_key, used_ids=used_ids)


def _known(analysis: ExamAnalysis, before: Mapping[int, Known]) -> dict[int, Known]:
    """How each label of an exam was named: a mask's own tracking UID before the report's."""
    from hoimg.serial import Known

    given = {k: Known(uid) for k, uid in analysis.tracking_uids.items()}
    both = {
        k: replace(given[k], lesion_id=before[k].lesion_id) for k in given.keys() & before.keys()
    }
    return {**before, **given, **both}


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
