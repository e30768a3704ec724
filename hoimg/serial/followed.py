"""The exams and lesions of one patient while they are followed through time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hoimg.image import CTVolume, Mask
from hoimg.results import Acquisition, Observation
from hoimg.serial.identity import Known
from hoimg.serial.threads import Shapes, Thread, Ways
from hoimg.settings import SerialSettings


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
class Followed:
    """All lesions of a patient while they are written down.

    Attributes:
        threads: The lesions.
        exams: In date order.
        shapes: Their lesions as points.
        ways: From each exam to each other.
        names: ``lesion_id`` of each thread by its index.
        settings: Matching and change.
    """

    threads: Sequence[Thread]
    exams: Sequence[ExamLesions]
    shapes: Shapes
    ways: Ways
    names: Mapping[int, str]
    settings: SerialSettings
