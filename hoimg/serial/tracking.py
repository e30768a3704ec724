"""Lesions followed through all exams of a patient: who is who, what is new, what is gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hoimg.results import Change, Observation
from hoimg.serial.followed import ExamLesions, Followed
from hoimg.serial.identity import names_of
from hoimg.serial.matching import clouds, fraction_near, fraction_outside, way_between
from hoimg.serial.placement import Registration
from hoimg.serial.threads import Shapes, Thread, Ways, link
from hoimg.serial.track_changes import changes_of, earlier_changes_of
from hoimg.settings import SerialSettings

Registrations = Mapping[tuple[str, str], Registration]


@dataclass(frozen=True, eq=False)
class Track:
    """One lesion through time.

    Attributes:
        lesion_id: ``L1``, ``L2`` …: as it was named before, or by the day first seen, then by
            size.
        tracking_uid: As it was before, or a DICOM UID that repeats for the same patient, first
            exam and place.
        observations: One per exam, in date order.
        changes: Between consecutive measurements, and from every earlier measurement to the
            latest one (flag ``long_interval``), because stability needs a long interval.
        earlier_changes: The same from every earlier measurement to each one before the latest, for
            what could have been said then.
    """

    lesion_id: str
    tracking_uid: str
    observations: list[Observation]
    changes: list[Change]
    earlier_changes: list[Change] = field(default_factory=list)


def track(
    exams: Sequence[ExamLesions],
    registrations: Registrations,
    settings: SerialSettings | None = None,
    *,
    patient_key: str,
    used_ids: Collection[str] = (),
) -> list[Track]:
    """Follow every lesion through the exams of one patient.

    Args:
        exams: In any order; they are taken in date order.
        registrations: By ``(fixed exam_id, moving exam_id)``; chained and inverted as needed. A
            rejected one is never used.
        settings: Matching and change.
        patient_key: Stable key of the patient, never the identity; goes into the tracking UIDs.
        used_ids: Each lesion_id of an earlier report, for no other lesion than the known ones.

    Returns:
        Tracks in the order of their ``lesion_id``. Where a lesion's place is outside an exam's
        view or hidden by metal, or no verified part of a registration leads to the exam, the
        observation is ``not_measurable`` with its reason; it is ``absent`` only where its place
        was seen.
    """
    settings = settings or SerialSettings()
    ordered = sorted(exams, key=lambda e: (e.days, e.exam_id))
    shapes = [clouds(e.lesions) for e in ordered]
    ways = _ways(ordered, registrations)
    threads = link(shapes, ways, settings)
    named = names_of(
        threads,
        shapes,
        [e.exam_id for e in ordered],
        [e.known for e in ordered],
        patient_key,
        used_ids,
    )
    names = {k: name.lesion_id for k, name in enumerate(named)}
    patient = Followed(threads, ordered, shapes, ways, names, settings)
    tracks = []
    for k in sorted(names, key=lambda k: _number(names[k])):
        seen = [_observe(k, i, patient) for i in range(len(ordered))]
        tracks.append(
            Track(
                names[k],
                named[k].tracking_uid,
                seen,
                changes_of(k, seen, patient),
                earlier_changes_of(k, seen, patient),
            )
        )
    return tracks


def _ways(exams: Sequence[ExamLesions], registrations: Registrations) -> Ways:
    views = {e.exam_id: e.lesions.grid for e in exams}
    return {
        (i, j): way_between(a.exam_id, b.exam_id, registrations, views)
        for i, a in enumerate(exams)
        for j, b in enumerate(exams)
    }


def _observe(k: int, i: int, patient: Followed) -> Observation:
    """The observation of one thread in one exam, or why there is none."""
    names, shapes, ways = patient.names, patient.shapes, patient.ways
    settings, thread, exam = patient.settings, patient.threads[k], patient.exams[i]
    if i in thread.labels:
        return _own(thread, i, patient.exams, shapes, ways)
    gone = thread.merged_into is not None and i >= thread.merged_into[0]
    if gone and thread.merged_into is not None:
        return _missing(exam, f"merged_into:{names[thread.merged_into[1]]}")
    if thread.split_from is not None and i < thread.split_from[0]:
        return _missing(exam, f"part_of:{names[thread.split_from[1]]}")
    for near in sorted(thread.labels, key=lambda j: (abs(j - i), j)):
        points = thread.cloud(shapes, near).points_lps_mm
        way = ways[near, i]
        if way is not None and way.covers(points):
            place = way.carry(points)
            break
    else:
        return _missing(exam, "registration_rejected")
    if fraction_outside(exam.lesions.grid, place) > settings.max_outside_view:
        return _missing(exam, "outside_fov")
    if exam.metal is not None:
        hidden = fraction_near(exam.metal, place, settings.metal_hides_mm)
        if hidden > settings.max_outside_view:
            return _missing(exam, "hidden_by_metal")
    return Observation(exam_id=exam.exam_id, status="absent")


def _own(
    thread: Thread, i: int, exams: Sequence[ExamLesions], shapes: Shapes, ways: Ways
) -> Observation:
    """The observation of a thread in an exam that shows it, and how it was matched."""
    label, exam = thread.labels[i], exams[i]
    given = exam.observations.get(label)
    if given is None:
        return _missing(exam, "no_measurement", label)
    points = thread.cloud(shapes, i).points_lps_mm
    told = []
    before = [j for j in thread.labels if j < i]
    if before and (way := ways[i, max(before)]) is not None and way.by_own_part(points):
        told.append("matched_by_nearest_bone")
    # A lesion that stands alone although other exams exist may be one of theirs.
    others = [ways[i, j] for j in range(len(exams)) if j != i]
    if len(thread.labels) == 1 and any(way is None or not way.covers(points) for way in others):
        told.append("registration_rejected")
    flags = [*given.flags, *(flag for flag in told if flag not in given.flags)]
    return given.model_copy(update={"flags": flags}) if len(flags) > len(given.flags) else given


def _number(lesion_id: str) -> tuple[int, str]:
    digits = lesion_id.removeprefix("L")
    return (int(digits) if digits.isdigit() else 0, lesion_id)


def _missing(exam: ExamLesions, reason: str, label: int | None = None) -> Observation:
    return Observation(exam_id=exam.exam_id, status="not_measurable", label=label, flags=[reason])
