"""What happened to one lesion between exams: how it began and ended, and each change in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hoimg.results import Change, Observation
from hoimg.serial.change import LONG_INTERVAL, as_images_show, compare
from hoimg.serial.contents import Shown, growth_shown, only_in_outlines
from hoimg.serial.followed import ExamLesions, Followed
from hoimg.serial.threads import Thread


def changes_of(k: int, seen: Sequence[Observation], patient: Followed) -> list[Change]:
    """Consecutive changes, then the long ones to the latest measurement.

    Args:
        k: The thread.
        seen: Its observations, one per exam.
        patient: All lesions.
    """
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


def earlier_changes_of(k: int, seen: Sequence[Observation], patient: Followed) -> list[Change]:
    """The long changes to each measurement before the latest; arguments as :func:`changes_of`."""
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


def _between(k: int, a: int, b: int, patient: Followed, flags: Sequence[str] = ()) -> Change:
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
        seen = earlier[0], later[0]
        if called.category == "enlarging" and _in_images(thread, a, b, change, seen, patient):
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
    thread: Thread, larger: int, smaller: int, soft_hu: float | None, patient: Followed
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
    seen: tuple[Observation, Observation],
    patient: Followed,
) -> bool:
    """Whether the images show enough of a growth between two exams; false where nobody can tell."""
    way, points = patient.ways[b, a], thread.cloud(patient.shapes, b).points_lps_mm
    if change.volume_change_pct is None or way is None or not way.covers(points):
        return False
    shown = []
    for k, observation in zip((a, b), seen, strict=True):
        exam, soft = patient.exams[k], observation.background_hu
        if exam.volume is None or soft is None:
            return False
        lesion = thread.cloud(patient.shapes, k)
        shown.append(Shown(exam.volume, exam.lesions, lesion, soft))
    grown = growth_shown(shown[0], shown[1], way.motion(points))
    least = patient.settings.growth_in_images * change.volume_change_pct / 100
    return grown is not None and grown >= least
