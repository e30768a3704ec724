"""A reader's decisions put beside the results: at which lesion each stands, and in what words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC

from hoimg.edits import Edit, Edits, FilmEdit, FilmRegionEdit, Words
from hoimg.results import Exam, Excluded, Finding, Lesion, ReaderEdit, Report

CHANGED_SINCE = "accepted_label_changed"


def with_reader(report: Report, edits: Edits) -> Report:
    """The report with every decision of ``edits``.

    A computed label is never replaced: a reader's own stands beside it. Where a reader accepted a
    label and another one is computed now, the exam that the label speaks of says so.

    Args:
        report: Finished otherwise.
        edits: Of this run, each with what it did.
    """
    places = {
        (seen.exam_id, label): lesion.lesion_id
        for lesion in report.lesions
        for seen in lesion.observations
        for label in (seen.label, seen.region_label)
        if label is not None
    }
    every: list[Edit | FilmEdit] = [*edits.edits, *edits.on_films]
    said = [said_of(edit, places) for edit in every]
    said += [confirmed_of(region) for region in edits.regions if region.time is not None]
    lesions = [_with_last_word(lesion, said) for lesion in report.lesions]
    doubts = _doubts(lesions, said)
    exams = [with_findings(exam, doubts.get(exam.exam_id, [])) for exam in report.exams]
    return report.model_copy(
        update={
            "exams": exams,
            "lesions": lesions,
            "excluded": _with_words(report.excluded, edits),
            "reader": said,
        }
    )


def with_findings(exam: Exam, findings: Sequence[Finding]) -> Exam:
    """The exam with findings that it does not have yet."""
    new = [f for f in findings if f not in exam.findings]
    return exam.model_copy(update={"findings": [*exam.findings, *new]}) if new else exam


def who_and_when(said: ReaderEdit | Words | FilmRegionEdit) -> str:
    """The reader's name as given, and the moment in UTC."""
    parts = [said.reader or "a reader not named"]
    if said.time is not None:
        parts.append(f"{said.time.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    elif said.date is not None:
        parts.append(said.date.isoformat())
    return ", ".join(parts)


def last_word(lesion_id: str, said: Sequence[ReaderEdit]) -> ReaderEdit | None:
    """The decision about a lesion's label that counts.

    It is the last one in their order (those of CT come before those of films); where that one has
    a time, the latest of all that have one.
    """
    words = [e for e in said if e.lesion_id == lesion_id and e.action in ("accept", "relabel")]
    if not words or words[-1].time is None:
        return words[-1] if words else None
    timed = [(e.time, k) for k, e in enumerate(words) if e.time is not None]
    return words[max(timed)[1]]


def said_of(edit: Edit | FilmEdit, places: Mapping[tuple[str, int], str]) -> ReaderEdit:
    """A decision as the report tells it.

    Args:
        edit: With what it did, if anything yet.
        places: Exam and label to lesion_id.
    """
    done = edit.applied
    lesion_id = None
    if done is not None and done.label is not None and done.outcome != "excluded":
        lesion_id = places.get((edit.exam_id or "", done.label))
    return ReaderEdit(
        action=edit.action,
        exam_id=edit.exam_id,
        lesion_id=lesion_id,
        lesion_before=edit.lesion,
        reader=edit.reader,
        time=edit.time,
        date=edit.date,
        label=edit.label,
        reason=edit.reason,
        note=edit.note,
        point_lps_mm=edit.point_lps_mm if isinstance(edit, Edit) else None,
        point_px=None if isinstance(edit, Edit) else edit.point_px,
        outcome=None if done is None else done.outcome,
        was=None if done is None else done.was,
        volume_mm3=None if done is None else done.volume_mm3,
    )


def confirmed_of(region: FilmRegionEdit) -> ReaderEdit:
    """A suggested place that a reader confirmed, as the report tells it.

    Args:
        region: With whether a label map holds it.
    """
    x0, y0, x1, y1 = _extent(region)
    return ReaderEdit(
        action="confirm",
        exam_id=region.exam_id,
        reader=region.reader,
        time=region.time,
        date=region.date,
        note=region.note,
        point_px=((x0 + x1) / 2, (y0 + y1) / 2) if region.unit == "px" else None,
        outcome="included" if region.applied else None,
    )


def identity_of(said: ReaderEdit) -> tuple[object, ...]:
    """What stays of a decision from report to report, whatever came of it."""
    return (said.exam_id, said.action, said.point_lps_mm, said.point_px, said.time)


def _extent(region: FilmRegionEdit) -> tuple[float, float, float, float]:
    if region.box is not None or not region.polygon:
        return region.box or (0.0, 0.0, 0.0, 0.0)
    xs, ys = zip(*region.polygon, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _with_last_word(lesion: Lesion, said: list[ReaderEdit]) -> Lesion:
    word = last_word(lesion.lesion_id, said)
    if word is None:
        return lesion.model_copy(update={"reader_decision": None, "reader_label": None})
    own = word.action == "relabel"
    return lesion.model_copy(
        update={
            "reader_decision": "relabelled" if own else "accepted",
            "reader_label": word.label if own else None,
        }
    )


def _doubts(lesions: Sequence[Lesion], said: list[ReaderEdit]) -> dict[str, list[Finding]]:
    """By exam: that an accepted label is not the one computed now."""
    found: dict[str, list[Finding]] = {}
    for lesion in lesions:
        word, now = last_word(lesion.lesion_id, said), lesion.maturity.label
        if word is None or word.action != "accept" or word.label in (None, now):
            continue
        where = lesion.maturity.exam_id or lesion.observations[-1].exam_id
        told = Finding(
            code=CHANGED_SINCE,
            level="warning",
            message=f"A reader accepted {lesion.lesion_id} as {word.label}; it is computed as "
            f"{now} now.",
            fix="Look at the lesion again and decide: hoimg review REPORT.",
        )
        found.setdefault(where, []).append(told)
    return found


def _with_words(excluded: list[Excluded], edits: Edits) -> list[Excluded]:
    """What readers left out, with their words."""
    words: dict[tuple[str | None, int | None], str] = {}
    for edit in edits.edits:
        if edit.applied is not None and edit.applied.outcome == "excluded":
            because = f"not ossification because: {edit.reason}; " if edit.reason else ""
            note = f": {edit.note}" if edit.note else ""
            told = f"{because}by {who_and_when(edit)}{note}"
            named = edit.reason or edit.note or edit.reader
            words[edit.exam_id, edit.applied.label] = told if named else ""
    made = []
    for item in excluded:
        said = words.get((item.exam_id, item.label), "")
        if item.reason == "excluded_by_reader" and said and said not in item.note:
            item = item.model_copy(update={"note": f"{item.note}; {said}"})
        made.append(item)
    return made
