"""How a reader's corrections meet the stages: applied to one exam, gathered over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hoimg.edits import Applied, Edit, Edits, FilmEdit
from hoimg.errors import UsageError
from hoimg.results import Finding

if TYPE_CHECKING:
    from hoimg.film_regions import FilmRegion
    from hoimg.hip_marks import GivenHip
    from hoimg.image import CTVolume
    from hoimg.segment import Segmentation
    from hoimg.settings import Settings


def edited(
    volume: CTVolume,
    segmentation: Segmentation,
    edits: Sequence[Edit],
    settings: Settings,
    *,
    keep_numbers: bool = False,
) -> tuple[Segmentation, tuple[Edit, ...]]:
    """The segmentation after a reader's corrections of the maps, and each with what it did.

    Args:
        volume: The exam.
        segmentation: Of it.
        edits: Those that change a map, in their order.
        settings: Of the run.
        keep_numbers: As in :func:`hoimg.segment.overrule.overrule`.
    """
    from hoimg.segment.overrule import Asked, overrule

    asked = [
        Asked(e.action, e.point_lps_mm, e.more_points_lps_mm)  # type: ignore[arg-type]
        for e in edits
    ]
    after, outcomes = overrule(
        volume, segmentation, asked, settings.segment, keep_numbers=keep_numbers
    )
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


def decided(
    segmentation: Segmentation, edits: Sequence[Edit]
) -> tuple[tuple[Edit, ...], tuple[Finding, ...]]:
    """What each correction and each decision speaks of in an exam's final maps.

    Args:
        segmentation: After all corrections of the maps.
        edits: All of the exam: those of the maps with what they did, the others as given.

    Returns:
        Each with the label at its point, and a warning for every decision that means no lesion.
    """
    from hoimg.segment.draft import pick_at

    grid = segmentation.lesions.grid
    told: list[Finding] = []

    def at(edit: Edit) -> Edit:
        before = edit.applied
        if edit.of_the_map and before is None:
            return edit
        left_out = before is not None and before.outcome == "excluded"
        labels = (segmentation.excluded if left_out else segmentation.lesions).array
        found = pick_at(labels, grid, edit.point_lps_mm)
        label = None if found is None else found.label
        if edit.of_the_map and before is not None:
            now = None if before.outcome == "no_effect" else label
            return edit.model_copy(update={"applied": before.model_copy(update={"label": now})})
        if label is None:
            told.append(_means_nothing(edit, segmentation))
        return edit.model_copy(
            update={
                "applied": Applied(
                    outcome="no_effect" if label is None else "noted",
                    was="nothing" if label is None else "lesion",
                    label=label,
                )
            }
        )

    return tuple(map(at, edits)), tuple(told)


def _means_nothing(edit: Edit, segmentation: Segmentation) -> Finding:
    from hoimg.segment.draft import pick_at

    excluded = segmentation.excluded
    left = pick_at(excluded.array, excluded.grid, edit.point_lps_mm)
    reasons = {r.label: r.reason for r in segmentation.excluded_regions}
    there = (
        "no lesion lies within 3 mm"
        if left is None
        else f"what lies there is left out ({reasons.get(left.label, 'unknown')})"
    )
    x, y, z = edit.point_lps_mm
    return Finding(
        code="edit_hits_nothing" if left is None else "edit_no_effect",
        level="warning",
        message=f"The reader's {edit.action} at {x:g},{y:g},{z:g}: {there}; it is kept in "
        "edits.json and stands at no lesion.",
        fix="Decide again at the lesion that was meant: hoimg review REPORT.",
    )


def check_no_edits(edits: Sequence[Edit]) -> None:
    """Refuse corrections of an exam whose lesions a mask gives; decisions about them are welcome.

    Raises:
        UsageError: when there are any.
    """
    wrong = [e for e in edits if e.of_the_map]
    if wrong:
        raise UsageError(
            f"{wrong[0].words}: --mask gives the lesions of this exam as they are; "
            "correct the mask instead, or leave one of the two away"
        )


def strangers(edits: Sequence[Edit | FilmEdit | FilmRegion | GivenHip]) -> list[Finding]:
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
    known = {e.key: e for e in done}
    told = (known.get(e.key, e) for e in edits.edits)
    return edits.model_copy(update={"edits": (*told, *strange)})
