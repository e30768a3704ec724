"""The label at each exam, from what was known up to then, and since when a lesion is mature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from hoimg.maturity.label import assess
from hoimg.results import Acquisition, Change, LabelAt, Maturity, Observation
from hoimg.settings import MaturitySettings


def assess_over_time(
    observations: Sequence[Observation],
    changes: Sequence[Change],
    acquisitions: Mapping[str, Acquisition],
    days: Mapping[str, int],
    settings: MaturitySettings | None = None,
    *,
    earlier_changes: Sequence[Change] = (),
    baseline_date: date | None = None,
    onset_day: int | None = None,
) -> Maturity:
    """Label one lesion at its latest exam and, looking back, at each exam that measured it.

    Args:
        observations: As for :func:`assess`.
        changes: As for :func:`assess`.
        acquisitions: By exam_id.
        days: Days from baseline by exam_id.
        settings: Thresholds; defaults when None.
        earlier_changes: Changes that end before the latest measurement and skip exams in between,
            which :func:`assess` does not need for the latest label.
        baseline_date: Date of day 0.
        onset_day: Known onset in days from baseline.

    Returns:
        The label with ``history`` and, where it is mature, ``mature_since_exam``: the first of the
        exams in a row up to the one judged that were all labelled mature. A mature label needs a
        comparable exam 84 days before, so that the lesion may have looked so for longer.
    """
    now = assess(
        observations,
        changes,
        acquisitions,
        days,
        settings,
        baseline_date=baseline_date,
        onset_day=onset_day,
    )
    history = []
    for seen in sorted(observations, key=lambda o: days[o.exam_id]):
        day = days[seen.exam_id]
        if seen.status != "measured":
            continue
        known = [o for o in observations if days[o.exam_id] <= day]
        found = assess(
            known,
            [c for c in (*changes, *earlier_changes) if days[c.to_exam] <= day],
            acquisitions,
            days,
            settings,
            onset_day=onset_day,
        )
        if found.exam_id == seen.exam_id:
            history.append(
                LabelAt(
                    exam_id=seen.exam_id,
                    day=day,
                    label=found.label,
                    reasons=found.reasons,
                    stage_ledermann=found.stage_ledermann,
                )
            )
    since = mature_since(now, history)
    return now.model_copy(update={"history": history, "mature_since_exam": since})


def mature_since(now: Maturity, history: Sequence[LabelAt]) -> str | None:
    """The first of the exams in a row up to now that were all labelled mature; None for none."""
    if now.label != "mature":
        return None
    since = None
    for past in reversed(history):
        if past.label != "mature":
            break
        since = past.exam_id
    return since
