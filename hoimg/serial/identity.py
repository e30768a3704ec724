"""Names of tracks: a lesion_id and a tracking UID, kept where an earlier report gave them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from hoimg.serial.threads import Shapes, Thread


@dataclass(frozen=True)
class Known:
    """How a lesion of an exam was named before.

    Attributes:
        tracking_uid: As an earlier report, or a mask, states it.
        lesion_id: As the earlier report in the same folder has it; None where there is none.
    """

    tracking_uid: str
    lesion_id: str | None = None


@dataclass(frozen=True)
class Name:
    """What a track is called."""

    lesion_id: str
    tracking_uid: str


def names_of(
    threads: Sequence[Thread],
    shapes: Shapes,
    exam_ids: Sequence[str],
    known: Sequence[Mapping[int, Known]],
    patient_key: str,
    used_ids: Collection[str] = (),
) -> list[Name]:
    """The name of each thread.

    A thread keeps the tracking UID, and the lesion_id, that was given to its lesion in the earliest
    exam where one is known. A UID or an id is given once: of two threads with the same claim (the
    parts of a lesion that split, or two that an edit made of one) the one that was first seen
    earlier, then the larger one, keeps it. The others are named anew: ``L`` and the next free
    number, by the exam first seen, then by size; and a UID of its own.

    Args:
        threads: The lesions.
        shapes: Their points, by exam and label.
        exam_ids: Exams in date order.
        known: For each exam, label to how the lesion was named before.
        patient_key: Goes into new UIDs.
        used_ids: Ids that an earlier report used: they stay with their lesions, also if those are
            gone now.

    Returns:
        Names in the order of the threads.
    """
    order = sorted(range(len(threads)), key=lambda k: _rank(threads[k], shapes))
    uids: dict[int, str] = {}
    ids: dict[int, str] = {}
    fresh = [_uid(patient_key, exam_ids[t.first], shapes, t) for t in threads]
    for k in order:
        told = [known[j].get(label) for j, label in sorted(threads[k].labels.items())]
        others = set(uids.values()) | {fresh[i] for i in range(len(threads)) if i != k}
        uid = next((n.tracking_uid for n in told if n and n.tracking_uid not in others), None)
        if uid is not None:
            uids[k] = uid
        given = next(
            (n.lesion_id for n in told if n and n.lesion_id and n.lesion_id not in ids.values()),
            None,
        )
        if given is not None:
            ids[k] = given
    used = {*used_ids, *ids.values()}
    numbers = (f"L{n}" for n in count(1))
    free = (name for name in numbers if name not in used)
    for k in order:
        if k not in ids:
            ids[k] = next(free)
    return [Name(ids[k], uids.get(k, fresh[k])) for k in range(len(threads))]


def _rank(thread: Thread, shapes: Shapes) -> tuple[int, int, tuple[float, ...]]:
    cloud = shapes[thread.first][thread.labels[thread.first]]
    return (thread.first, -cloud.voxels, tuple(cloud.centroid_lps_mm.tolist()))


def _uid(
    patient_key: str,
    exam_id: str,
    shapes: Shapes,
    thread: Thread,
) -> str:
    """A UID under 2.25 (derived from a hash): no two runs and no two machines differ."""
    place = np.rint(shapes[thread.first][thread.labels[thread.first]].centroid_lps_mm).astype(int)
    text = f"{patient_key}|{exam_id}|{thread.labels[thread.first]}|{place.tolist()}"
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"
