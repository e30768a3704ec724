"""What lesions do over the exams: stable, maturing, growing, shrinking, new, and a mimic."""

from __future__ import annotations

from dataclasses import dataclass

from hoimg.errors import UsageError

STORIES = (
    "maturing",
    "growing",
    "new",
    "stable",
    "growing-without-rim",
    "shrinking",
    "reverse-zoning",
)
"""Courses of one lesion; a mixed case goes through them in this order."""

GROWTH = 1.45
"""Growth of a growing lesion from exam to exam: more than the repeatability of 1 mL (30 %)."""


@dataclass(frozen=True)
class Course:
    """One lesion over the exams.

    Attributes:
        volumes_mm3: One per exam; None: absent.
        stages: One per exam.
        manner: Kind of texture.
    """

    volumes_mm3: list[float | None]
    stages: list[float]
    manner: str = "zonal"


def course(story: str, count: int, volume_mm3: float) -> Course:
    """The course of one story; the lesion has ``volume_mm3`` where it is largest.

    ``growing``: by :data:`GROWTH` from exam to exam under a complete rim; ``growing-without-rim``:
    the same, faint. ``maturing``: grows 20 % and ripens until the last but one exam, then stays.
    ``stable``: mature throughout. ``shrinking``: mature, to 0.65 of its volume from exam to exam.
    ``new``: absent at first, then young and growing. ``reverse-zoning``: a dense centre under a
    faint edge, growing slowly.

    Raises:
        UsageError: for an unknown story.
    """
    steps = list(range(count))
    back = [count - 1 - s for s in steps]
    if story == "growing":
        return Course([volume_mm3 / GROWTH**b for b in back], [0.95] * count)
    if story == "growing-without-rim":
        stages = [max(0.3 - 0.08 * b, 0.0) for b in back]
        return Course([volume_mm3 / GROWTH**b for b in back], stages)
    if story == "maturing":
        ripe = [max(b - 1, 0) for b in back]
        return Course(
            [volume_mm3 / 1.2**r for r in ripe], [max(1.0 - 0.25 * float(r), 0.3) for r in ripe]
        )
    if story == "stable":
        return Course([volume_mm3] * count, [1.0] * count)
    if story == "shrinking":
        return Course([volume_mm3 * 0.65**s for s in steps], [1.0] * count)
    if story == "new":
        volumes: list[float | None] = [volume_mm3 / 1.5**b for b in back]
        volumes[0] = None
        return Course(volumes, [min(0.15 + 0.2 * max(s - 1, 0), 0.7) for s in steps])
    if story == "reverse-zoning":
        return Course([volume_mm3 / 1.1**b for b in back], [0.5] * count, "reverse")
    raise UsageError(f"unknown scenario {story!r}; one of {', '.join(STORIES)}")
