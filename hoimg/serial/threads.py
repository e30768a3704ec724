"""Labels of all exams joined into threads, one for each lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hoimg.serial.matching import Cloud, Matches, Way, match
from hoimg.settings import SerialSettings

Shapes = Sequence[Mapping[int, Cloud]]
"""Lesions by label, for each exam in date order."""
Ways = Mapping[tuple[int, int], Way | None]
"""How points of one exam (its index) reach another one."""


@dataclass
class Thread:
    """A track in the making.

    Attributes:
        labels: Label by exam index.
        merged_into: Exam index, and index of the other thread.
        split_from: The same of the thread that it was part of.
        merges: Exam index to the threads that it took in.
        splits: Exam index to the threads that left it.
    """

    labels: dict[int, int] = field(default_factory=dict)
    merged_into: tuple[int, int] | None = None
    split_from: tuple[int, int] | None = None
    merges: dict[int, list[int]] = field(default_factory=dict)
    splits: dict[int, list[int]] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """Index of the first exam that shows it."""
        return min(self.labels)

    @property
    def last(self) -> int:
        """Index of the last one."""
        return max(self.labels)

    def cloud(self, shapes: Shapes, exam: int) -> Cloud:
        """Its points in an exam that shows it."""
        return shapes[exam][self.labels[exam]]


def link(shapes: Shapes, ways: Ways, settings: SerialSettings) -> list[Thread]:
    """Join labels into threads, exam by exam.

    A thread reaches an exam from the latest one that shows it and whose placement carries it there.
    """
    threads: list[Thread] = []
    for j in range(len(shapes)):
        reach = []
        pairs = []
        for k, thread in enumerate(threads):
            if thread.merged_into is not None:
                continue
            for near in sorted(thread.labels, reverse=True):
                points, way = thread.cloud(shapes, near).points_lps_mm, ways[near, j]
                if way is not None and way.covers(points):
                    reach.append(k)
                    pairs.append(way.carry(points))
                    break
        found: Matches = match(pairs, shapes[j].values(), settings)
        owner = {label: reach[i] for i, label in found.same.items()}
        for label, k in owner.items():
            threads[k].labels[j] = label
        for i, label in found.merged.items():
            k, into = reach[i], owner[label]
            threads[k].merged_into = (j, into)
            threads[into].merges.setdefault(j, []).append(k)
        for label in shapes[j]:
            if label in owner:
                continue
            thread = Thread(labels={j: label})
            if label in found.split:
                parent = reach[found.split[label]]
                thread.split_from = (j, parent)
                threads[parent].splits.setdefault(j, []).append(len(threads))
            threads.append(thread)
    return threads
