"""Lesions followed through all exams of a patient: who is who, what is new, what is gone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hoimg.image import Mask
from hoimg.results import Acquisition, Change, Observation
from hoimg.serial.change import LONG_INTERVAL, compare
from hoimg.serial.matching import (
    Cloud,
    Matches,
    clouds,
    fraction_outside,
    match,
    transform_between,
)
from hoimg.serial.registration import Registration
from hoimg.serial.surface import Matrix4
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
    """

    exam_id: str
    days: int
    acquisition: Acquisition
    lesions: Mask
    observations: Mapping[int, Observation]


@dataclass(frozen=True, eq=False)
class Track:
    """One lesion through time.

    Attributes:
        lesion_id: ``L1``, ``L2`` …: by the day first seen, then by size.
        tracking_uid: A DICOM UID that repeats for the same patient, first exam and place.
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


@dataclass
class _Thread:
    """A track in the making: label by exam index, and what happened to it."""

    labels: dict[int, int] = field(default_factory=dict)
    merged_into: tuple[int, int] | None = None  # exam index, index of the other thread
    split_from: tuple[int, int] | None = None
    merges: dict[int, list[int]] = field(default_factory=dict)  # exam index -> threads it took in
    splits: dict[int, list[int]] = field(default_factory=dict)  # exam index -> threads that left

    @property
    def first(self) -> int:
        return min(self.labels)

    @property
    def last(self) -> int:
        return max(self.labels)


def track(
    exams: Sequence[ExamLesions],
    registrations: Registrations,
    settings: SerialSettings | None = None,
    *,
    patient_key: str,
) -> list[Track]:
    """Follow every lesion through the exams of one patient.

    Args:
        exams: In any order; they are taken in date order.
        registrations: By ``(fixed exam_id, moving exam_id)``; chained and inverted as needed. A
            rejected one is never used.
        settings: Matching and change.
        patient_key: Stable key of the patient, never the identity; goes into the tracking UIDs.

    Returns:
        Tracks in the order of their ``lesion_id``. Where a lesion's place is outside an exam's
        view, or no accepted registration leads to the exam, the observation is
        ``not_measurable`` with its reason; it is ``absent`` only where its place was seen.
    """
    settings = settings or SerialSettings()
    ordered = sorted(exams, key=lambda e: (e.days, e.exam_id))
    shapes = [clouds(e.lesions) for e in ordered]
    ways = _ways(ordered, registrations)
    threads = _link(ordered, shapes, ways, settings)
    order = sorted(range(len(threads)), key=lambda k: _rank(threads[k], shapes))
    names = {k: f"L{n}" for n, k in enumerate(order, start=1)}
    tracks = []
    for k in order:
        seen = [
            _observe(k, i, threads, ordered, shapes, ways, names, settings)
            for i in range(len(ordered))
        ]
        tracks.append(
            Track(
                names[k],
                _uid(patient_key, ordered[threads[k].first], shapes, threads[k]),
                seen,
                _changes(k, threads, ordered, seen, names, settings),
                _earlier_changes(k, threads, ordered, seen, names, settings),
            )
        )
    return tracks


def _ways(
    exams: Sequence[ExamLesions], registrations: Registrations
) -> dict[tuple[int, int], Matrix4 | None]:
    return {
        (i, j): transform_between(a.exam_id, b.exam_id, registrations)
        for i, a in enumerate(exams)
        for j, b in enumerate(exams)
    }


def _link(
    exams: Sequence[ExamLesions],
    shapes: Sequence[Mapping[int, Cloud]],
    ways: Mapping[tuple[int, int], Matrix4 | None],
    settings: SerialSettings,
) -> list[_Thread]:
    """Join labels into threads, exam by exam; a thread reaches an exam from where it was last."""
    threads: list[_Thread] = []
    for j in range(len(exams)):
        open_ = [
            (k, shapes[t.last][t.labels[t.last]], ways[t.last, j])
            for k, t in enumerate(threads)
            if t.merged_into is None
        ]
        reach = [(k, cloud, way) for k, cloud, way in open_ if way is not None]
        pairs = [(cloud, way) for _, cloud, way in reach]
        found: Matches = match(pairs, shapes[j].values(), settings)
        owner = {label: reach[i][0] for i, label in found.same.items()}
        for label, k in owner.items():
            threads[k].labels[j] = label
        for i, label in found.merged.items():
            k, into = reach[i][0], owner[label]
            threads[k].merged_into = (j, into)
            threads[into].merges.setdefault(j, []).append(k)
        for label in shapes[j]:
            if label in owner:
                continue
            thread = _Thread(labels={j: label})
            if label in found.split:
                parent = reach[found.split[label]][0]
                thread.split_from = (j, parent)
                threads[parent].splits.setdefault(j, []).append(len(threads))
            threads.append(thread)
    return threads


def _rank(
    thread: _Thread, shapes: Sequence[Mapping[int, Cloud]]
) -> tuple[int, int, tuple[float, ...]]:
    cloud = shapes[thread.first][thread.labels[thread.first]]
    return (thread.first, -cloud.voxels, tuple(cloud.centroid_lps_mm.tolist()))


def _uid(
    patient_key: str,
    exam: ExamLesions,
    shapes: Sequence[Mapping[int, Cloud]],
    thread: _Thread,
) -> str:
    """A UID under 2.25 (derived from a hash): no two runs and no two machines differ."""
    place = np.rint(shapes[thread.first][thread.labels[thread.first]].centroid_lps_mm).astype(int)
    text = f"{patient_key}|{exam.exam_id}|{thread.labels[thread.first]}|{place.tolist()}"
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def _observe(
    k: int,
    i: int,
    threads: Sequence[_Thread],
    exams: Sequence[ExamLesions],
    shapes: Sequence[Mapping[int, Cloud]],
    ways: Mapping[tuple[int, int], Matrix4 | None],
    names: Mapping[int, str],
    settings: SerialSettings,
) -> Observation:
    """The observation of one thread in one exam, or why there is none."""
    thread, exam = threads[k], exams[i]
    if i in thread.labels:
        return _own(thread, i, exam, exams, ways)
    gone = thread.merged_into is not None and i >= thread.merged_into[0]
    if gone and thread.merged_into is not None:
        return _missing(exam, f"merged_into:{names[thread.merged_into[1]]}")
    if thread.split_from is not None and i < thread.split_from[0]:
        return _missing(exam, f"part_of:{names[thread.split_from[1]]}")
    near = min(thread.labels, key=lambda j: (abs(j - i), j))
    way = ways[near, i]
    if way is None:
        return _missing(exam, "registration_rejected")
    outside = fraction_outside(exam.lesions.grid, shapes[near][thread.labels[near]], way)
    if outside > settings.max_outside_view:
        return _missing(exam, "outside_fov")
    return Observation(exam_id=exam.exam_id, status="absent")


def _own(
    thread: _Thread,
    i: int,
    exam: ExamLesions,
    exams: Sequence[ExamLesions],
    ways: Mapping[tuple[int, int], Matrix4 | None],
) -> Observation:
    label = thread.labels[i]
    given = exam.observations.get(label)
    if given is None:
        return _missing(exam, "no_measurement", label)
    # A lesion that stands alone although other exams exist may be one of theirs.
    others = [j for j in range(len(exams)) if j != i]
    alone = len(thread.labels) == 1 and any(ways[i, j] is None for j in others)
    if alone and "registration_rejected" not in given.flags:
        return given.model_copy(update={"flags": [*given.flags, "registration_rejected"]})
    return given


def _missing(exam: ExamLesions, reason: str, label: int | None = None) -> Observation:
    return Observation(exam_id=exam.exam_id, status="not_measurable", label=label, flags=[reason])


def _changes(
    k: int,
    threads: Sequence[_Thread],
    exams: Sequence[ExamLesions],
    seen: Sequence[Observation],
    names: Mapping[int, str],
    settings: SerialSettings,
) -> list[Change]:
    """Consecutive changes, then the long ones to the latest measurement."""
    thread = threads[k]
    measured = [i for i in sorted(thread.labels) if seen[i].status == "measured"]
    changes = _beginning(thread, exams, seen, names)
    for a, b in pairwise(measured):
        changes.append(_between(k, a, b, threads, exams, names, settings))
    changes += _end(k, thread, exams, seen, names)
    for a in measured[:-2]:
        changes.append(
            _between(k, a, measured[-1], threads, exams, names, settings, [LONG_INTERVAL])
        )
    return changes


def _earlier_changes(
    k: int,
    threads: Sequence[_Thread],
    exams: Sequence[ExamLesions],
    seen: Sequence[Observation],
    names: Mapping[int, str],
    settings: SerialSettings,
) -> list[Change]:
    measured = [i for i in sorted(threads[k].labels) if seen[i].status == "measured"]
    return [
        _between(k, a, b, threads, exams, names, settings, [LONG_INTERVAL])
        for n, b in enumerate(measured[:-1])
        for a in measured[: max(n - 1, 0)]
    ]


def _beginning(
    thread: _Thread,
    exams: Sequence[ExamLesions],
    seen: Sequence[Observation],
    names: Mapping[int, str],
) -> list[Change]:
    first = thread.first
    if thread.split_from is not None:
        parent = names[thread.split_from[1]]
        return [_event(exams[first - 1], exams[first], "split", [parent])]
    before = [i for i in range(first) if seen[i].status == "absent"]
    return [_event(exams[before[-1]], exams[first], "new")] if before else []


def _end(
    k: int,
    thread: _Thread,
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


def _between(
    k: int,
    a: int,
    b: int,
    threads: Sequence[_Thread],
    exams: Sequence[ExamLesions],
    names: Mapping[int, str],
    settings: SerialSettings,
    flags: Sequence[str] = (),
) -> Change:
    """The change of a thread between two exams, with the parts that joined or left in between.

    Merged: the sum of the parts before is compared with the whole after. Split: the whole before
    with the sum of the parts after. A part not measured there leaves the numbers to the rest, and
    the change is not comparable.
    """
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
        settings,
        category="merged" if joined else "split" if left else None,
        parents=parents,
        flags=flags,
    )
    if lost:
        return change.model_copy(
            update={"comparable": False, "flags": [*change.flags, "part_not_measured"]}
        )
    return change
