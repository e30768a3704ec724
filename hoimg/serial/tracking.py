"""Lesions followed through all exams of a patient: who is who, what is new, what is gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hoimg.image import CTVolume, Mask
from hoimg.results import Acquisition, Change, Observation
from hoimg.serial.change import LONG_INTERVAL, as_images_show, compare
from hoimg.serial.contents import gained, only_in_outlines
from hoimg.serial.identity import Known, names_of
from hoimg.serial.matching import clouds, fraction_near, fraction_outside, way_between
from hoimg.serial.placement import Registration
from hoimg.serial.threads import Shapes, Thread, Ways, link
from hoimg.settings import SerialSettings

Registrations = Mapping[tuple[str, str], Registration]


@dataclass(frozen=True, eq=False)
class ExamLesions:
    """What tracking needs of one exam.

    Attributes:
        exam_id: Name of the exam.
        days: Days from baseline.
        acquisition: How it was made.
        lesions: Label map on the exam's own grid.
        observations: By label.
        metal: Metal on the same grid, if any is known: what lies under it cannot be seen.
        known: Label to how that lesion was named before.
        volume: The exam, HU, to see whether a change of size is in the images; None leaves that.
    """

    exam_id: str
    days: int
    acquisition: Acquisition
    lesions: Mask
    observations: Mapping[int, Observation]
    metal: Mask | None = None
    known: Mapping[int, Known] = field(default_factory=dict)
    volume: CTVolume | None = None


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


@dataclass(frozen=True, eq=False)
class _Patient:
    """All lesions of a patient while they are written down."""

    threads: Sequence[Thread]
    exams: Sequence[ExamLesions]
    shapes: Shapes
    ways: Ways
    names: Mapping[int, str]
    settings: SerialSettings


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
    patient = _Patient(threads, ordered, shapes, ways, names, settings)
    tracks = []
    for k in sorted(names, key=lambda k: _number(names[k])):
        seen = [_observe(k, i, patient) for i in range(len(ordered))]
        tracks.append(
            Track(
                names[k],
                named[k].tracking_uid,
                seen,
                _changes(k, seen, patient),
                _earlier_changes(k, seen, patient),
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


def _observe(k: int, i: int, patient: _Patient) -> Observation:
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


def _changes(k: int, seen: Sequence[Observation], patient: _Patient) -> list[Change]:
    """Consecutive changes, then the long ones to the latest measurement."""
    threads, exams, names = patient.threads, patient.exams, patient.names
    thread = threads[k]
    measured = [i for i in sorted(thread.labels) if seen[i].status == "measured"]
    changes = _beginning(thread, threads, exams, seen, names)
    for a, b in pairwise(measured):
        changes.append(_between(k, a, b, patient))
    changes += _end(k, thread, exams, seen, names)
    for a in measured[:-2]:
        changes.append(_between(k, a, measured[-1], patient, [LONG_INTERVAL]))
    return changes


def _earlier_changes(k: int, seen: Sequence[Observation], patient: _Patient) -> list[Change]:
    measured = [i for i in sorted(patient.threads[k].labels) if seen[i].status == "measured"]
    return [
        _between(k, a, b, patient, [LONG_INTERVAL])
        for n, b in enumerate(measured[:-1])
        for a in measured[: max(n - 1, 0)]
    ]


def _beginning(
    thread: Thread,
    threads: Sequence[Thread],
    exams: Sequence[ExamLesions],
    seen: Sequence[Observation],
    names: Mapping[int, str],
) -> list[Change]:
    first = thread.first
    if thread.split_from is not None:
        parent = names[thread.split_from[1]]
        whole = max(j for j in threads[thread.split_from[1]].labels if j < first)
        return [_event(exams[whole], exams[first], "split", [parent])]
    before = [i for i in range(first) if seen[i].status == "absent"]
    return [_event(exams[before[-1]], exams[first], "new")] if before else []


def _end(
    k: int,
    thread: Thread,
    exams: Sequence[ExamLesions],
    seen: Sequence[Observation],
    names: Mapping[int, str],
) -> list[Change]:
    if thread.merged_into is not None:
        j, into = thread.merged_into
        return [_event(exams[thread.last], exams[j], "merged", [names[k], names[into]])]
    after = [i for i in range(thread.last + 1, len(exams)) if seen[i].status == "absent"]
    return [_event(exams[thread.last], exams[after[0]], "resolved")] if after else []


def _event(
    earlier: ExamLesions, later: ExamLesions, category: str, parents: Sequence[str] = ()
) -> Change:
    return Change.model_validate(
        {
            "from_exam": earlier.exam_id,
            "to_exam": later.exam_id,
            "days": later.days - earlier.days,
            "category": category,
            "parents": list(parents),
        }
    )


def _between(k: int, a: int, b: int, patient: _Patient, flags: Sequence[str] = ()) -> Change:
    """The change of a thread between two exams, with the parts that joined or left in between.

    Merged: the sum of the parts before is compared with the whole after. Split: the whole before
    with the sum of the parts after. A part not measured there leaves the numbers to the rest, and
    the change is not comparable; nor is one that only the outlines show.
    """
    threads, exams, names = patient.threads, patient.exams, patient.names
    thread = threads[k]
    joined = sorted(m for j, ms in thread.merges.items() if a < j <= b for m in ms)
    left = sorted(m for j, ms in thread.splits.items() if a < j <= b for m in ms)
    # A part that joined but did not exist yet at the earlier exam adds nothing there.
    before = [k, *(m for m in joined if threads[m].first <= a)]
    after, lost = [k, *left], False
    earlier: list[Observation] = []
    later: list[Observation] = []
    for part, exam, into in (
        *((p, a, earlier) for p in before),
        *((p, b, later) for p in after),
    ):
        label = threads[part].labels.get(exam)
        found = None if label is None else exams[exam].observations.get(label)
        if found is None or found.status != "measured":
            lost = True
        else:
            into.append(found)
    parents = [names[p] for p in (k, *joined)] if joined else [names[k]] if left else []
    change = compare(
        earlier,
        later,
        (exams[a].acquisition, exams[b].acquisition),
        exams[b].days - exams[a].days,
        patient.settings,
        category="merged" if joined else "split" if left else None,
        parents=parents,
        flags=flags,
    )
    if lost:
        return change.model_copy(
            update={"comparable": False, "flags": [*change.flags, "part_not_measured"]}
        )
    if change.category == "no_detectable_change" and change.comparable:
        called = as_images_show(change, patient.settings)
        soft = earlier[0].background_hu, later[0].background_hu
        if called.category == "enlarging" and _in_images(thread, a, b, change, soft, patient):
            return called
    larger, smaller = (a, b) if change.category == "shrinking" else (b, a)
    if change.category in ("enlarging", "shrinking") and _not_in_images(
        thread, larger, smaller, earlier[0].background_hu, patient
    ):
        return change.model_copy(
            update={
                "category": "no_detectable_change",
                "comparable": False,
                "flags": [*change.flags, "change_not_in_images"],
            }
        )
    return change


def _not_in_images(
    thread: Thread, larger: int, smaller: int, soft_hu: float | None, patient: _Patient
) -> bool:
    """Whether a change of size is of the outlines alone; false where nobody can tell."""
    way = patient.ways[larger, smaller]
    here, there = patient.exams[larger], patient.exams[smaller]
    if way is None or here.volume is None or there.volume is None or soft_hu is None:
        return False
    points = thread.cloud(patient.shapes, larger).points_lps_mm
    return way.covers(points) and only_in_outlines(
        points, way.carry(points), here.volume, there.volume, there.lesions, soft_hu
    )


def _in_images(
    thread: Thread,
    a: int,
    b: int,
    change: Change,
    soft_hu: tuple[float | None, float | None],
    patient: _Patient,
) -> bool:
    """Whether the images show half of a growth or more; false where nobody can tell.

    What the later outline gained has to be dense at the later exam alone, less what the earlier one
    holds that is dense at the earlier exam alone: a lesion that was laid aside gains and loses.
    """
    if change.volume_change_pct is None or soft_hu[0] is None or soft_hu[1] is None:
        return False
    shares = []
    for here, there, soft in (
        (b, a, (soft_hu[1], soft_hu[0])),
        (a, b, (soft_hu[0], soft_hu[1])),
    ):
        way, own, other = patient.ways[here, there], patient.exams[here], patient.exams[there]
        points = thread.cloud(patient.shapes, here).points_lps_mm
        if way is None or own.volume is None or other.volume is None or not way.covers(points):
            return False
        share = gained(points, way.carry(points), own.volume, other.volume, other.lesions, soft)
        if share is None:
            return False
        shares.append(share)
    return shares[0] - shares[1] >= patient.settings.growth_in_images * (
        change.volume_change_pct / 100
    )
