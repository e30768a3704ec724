"""How a reader's corrections meet the stages: applied to one exam, gathered over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hoimg.edits import Applied, Edit, Edits
from hoimg.errors import UsageError
from hoimg.results import Finding

if TYPE_CHECKING:
    from hoimg.film_regions import FilmRegion
    from hoimg.hip_marks import GivenHip
    from hoimg.image import CTVolume
    from hoimg.segment import Segmentation
    from hoimg.settings import Settings


def edited(
    volume: CTVolume, segmentation: Segmentation, edits: Sequence[Edit], settings: Settings
) -> tuple[Segmentation, tuple[Edit, ...]]:
    """The segmentation after a reader's corrections, and each correction with what it did."""
    from hoimg.segment.overrule import overrule

    points = [(edit.action, edit.point_lps_mm) for edit in edits]
    after, outcomes = overrule(volume, segmentation, points, settings.segment)
    done = [
        edit.model_copy(
            update={
                "applied": Applied(
                    outcome=o.outcome, was=o.was, note=o.note, volume_mm3=o.volume_mm3
                )
            }
        )
        for edit, o in zip(edits, outcomes, strict=True)
    ]
    return after, tuple(done)


def check_no_edits(edits: Sequence[Edit]) -> None:
    """Refuse corrections of an exam whose lesions a mask gives.

    Raises:
        UsageError: when there are any.
    """
    if edits:
        raise UsageError(
            f"{edits[0].words}: --mask gives the lesions of this exam as they are; "
            "correct the mask instead, or leave one of the two away"
        )


def strangers(edits: Sequence[Edit | FilmRegion | GivenHip]) -> list[Finding]:
    """That some corrections, regions or landmarks speak of exams which are not here."""
    if not edits:
        return []
    return [
        Finding(
            code="edits_of_other_exams",
            level="warning",
            message=f"{len(edits)} of the reader's edits speak of exams that are not among those "
            "given; they had no effect and are kept in edits.json.",
            fix="Give all exams that the edits were made on.",
        )
    ]


def all_edits(edits: Edits, strange: Sequence[Edit], done: Iterable[Edit]) -> Edits:
    """Every correction in the order given, with what it did where its exam could be read.

    Args:
        edits: Those of the exams at hand.
        strange: Those of other exams; they come last, as they were given.
        done: Those that were applied.
    """
    known = {(e.exam_id, e.action, e.point_lps_mm): e for e in done}
    told = (known.get((e.exam_id, e.action, e.point_lps_mm), e) for e in edits.edits)
    return edits.model_copy(update={"edits": (*told, *strange)})
