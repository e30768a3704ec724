"""``hoimg explain``: the numbers behind one lesion's label, or behind what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hoimg.results import Change, Criterion, Film, Lesion, Observation, Report

RESULT_WORDS = {
    "pass": "passes",
    "fail": "FAILS",
    "intermediate": "in between",
    "unrated": "not rated",
}


def explain(
    report: Annotated[Path, typer.Argument(help="A report folder or its report.json.")],
    lesion: Annotated[
        str, typer.Argument(help="Which lesion, for example L1; or: excluded, for what was not.")
    ],
) -> None:
    """Print every number behind one lesion's label, in plain words.

    With the word excluded: every piece that was not called ossification, why, and the option with
    which 'hoimg report' calls it after all.

    \b
    Examples:
      hoimg explain report/ L1
      hoimg explain report/ excluded
    """
    from hoimg.report.saved import read_report

    found = read_report(report)
    lines = excluded_lines(found) if lesion.lower() == "excluded" else explain_lines(found, lesion)
    for line in lines:
        typer.echo(line)


def explain_lines(report: Report, lesion_id: str) -> list[str]:
    """The explanation as lines of text.

    Raises:
        UsageError: when the report has no such lesion; the message names those it has.
    """
    from hoimg.errors import UsageError
    from hoimg.reading import who_and_when
    from hoimg.report.change_words import course_words
    from hoimg.report.over_time_view import context_lines
    from hoimg.report.reader_view import decision_text

    found = next((x for x in report.lesions if x.lesion_id.lower() == lesion_id.lower()), None)
    if found is None:
        known = ", ".join(x.lesion_id for x in report.lesions) or "none"
        raise UsageError(f"{lesion_id}: is no lesion of this report; it has: {known}")
    days = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    lines = [f"Lesion {found.lesion_id}: {found.maturity.summary}", ""]
    said = [e for e in report.reader if e.lesion_id == found.lesion_id]
    if said:
        lines += ["What readers decided (beside the computed label; it replaces nothing)"]
        lines += [
            f"  {decision_text(e)} ({who_and_when(e)})" + (f": {e.note}" if e.note else "")
            for e in said
        ]
        lines.append("")
    lines += ["What was measured (95 % intervals in brackets)"]
    films = {exam.exam_id: exam.film for exam in report.exams}
    lines += [
        f"  {_observation(o, days) if films.get(o.exam_id) is None else _on_film(o, days, films)}"
        for o in found.observations
    ]
    lines += _hips(report, found)
    lines += _placed(report, found, days)
    if found.changes:
        lines += ["", "What changed (RC: repeatability, smaller changes may be noise)"]
        lines += [f"  {_change(c, days, films)}" for c in found.changes]
    if found.course is not None:
        lines += ["", "Course over three or more exams", f"  {course_words(found.course)}"]
    lines += ["", *_rules(found, days)]
    told = context_lines(report.context)
    if told or report.onset_day is not None:
        lines += ["", "Context, as given (it can hold a label back by age, never raise it)"]
        if report.onset_day is not None:
            lines.append(f"  Onset: day {report.onset_day}")
        lines += [f"  {line}" for line in told]
    lines += ["", *_conclusion(found), "", report.statement]
    return lines


def _hips(report: Report, lesion: Lesion) -> list[str]:
    """The hips that the lesion lies about, with their grades."""
    from hoimg.report.hip_view import hip_line

    about = [
        (exam, hip) for exam in report.exams for hip in exam.hips if lesion.lesion_id in hip.lesions
    ]
    if not about:
        return []
    return ["", "The hip it lies about", *(f"  {hip_line(exam, hip)}" for exam, hip in about)]


def _placed(report: Report, lesion: Lesion, days: dict[str, int]) -> list[str]:
    """How the exams that hold the lesion were placed onto each other to find it again."""
    from hoimg.report.reasons import reason_text

    seen = {o.exam_id for o in lesion.observations}
    made = [
        r
        for r in report.registrations
        if {r.from_exam, r.to_exam} <= seen and r.tracking_uid in (None, lesion.tracking_uid)
    ]
    if not made:
        return []
    lines = ["", "How the exams were placed, to tell which lesion is which"]
    for r in made:
        overlap = "unknown" if r.bone_overlap is None else f"{r.bone_overlap:.2f}"
        by = f"bone overlap {overlap}, " if r.tracking_uid is None else "films, by the bone near; "
        residual = "unknown" if r.residual_mm is None else f"{r.residual_mm:.2f} mm"
        verdict = "accepted" if r.accepted else f"REJECTED: {reason_text(r.reason or '')}"
        lines.append(
            f"  day {days[r.from_exam]} to {days[r.to_exam]}: {verdict}; {by}residual {residual}"
        )
        for part in r.parts[1:]:
            turn = "" if part.turn_deg is None else f" turned by {part.turn_deg:.0f} degrees"
            fate = "followed" if part.accepted else f"NOT USED: {reason_text(part.reason or '')}"
            lines.append(f"    bone that moved on its own{turn}: {fate}")
    return lines


def excluded_lines(report: Report) -> list[str]:
    """What was left out, exam by exam, the largest first, each with the option to call it."""
    from hoimg.edits import point_words

    several = len(report.exams) > 1
    lines: list[str] = []
    for exam in report.exams:
        items = [e for e in report.excluded if e.exam_id == exam.exam_id]
        items.sort(key=lambda e: (-e.volume_mm3, e.label))
        lines.append(f"{exam.exam_id} (day {exam.days_from_baseline}): {len(items)} left out")
        for item in items:
            note = f" ({item.note})" if item.note else ""
            lines.append(f"  {item.label}: {item.reason}, {item.volume_mm3:.0f} mm3{note}")
            if item.inside_lps_mm is not None:
                exam_id = exam.exam_id if several else None
                lines.append(f"      --include {point_words(item.inside_lps_mm, exam_id)}")
        lines.append("")
    return [*lines, report.statement]


def _rules(lesion: Lesion, days: dict[str, int]) -> list[str]:
    exam = lesion.maturity.exam_id
    when = f" of day {days[exam]}" if exam in days else ""
    gate = [c for c in lesion.maturity.criteria if c.id.startswith("gate.")]
    rules = [c for c in lesion.maturity.criteria if not c.id.startswith("gate.")]
    lines = [f"Can the exam{when} be judged? (quality gate)"]
    lines += [f"  {_criterion(c)}" for c in gate] or ["  nothing was measured"]
    if rules:
        lines += ["", "The rules"]
        lines += [f"  {_criterion(c)}" for c in rules]
    return lines


def _conclusion(lesion: Lesion) -> list[str]:
    from hoimg.maturity.wording import reason_words
    from hoimg.report.reasons import reason_text

    maturity = lesion.maturity
    lines = [f"Label: {maturity.label}, because"]
    lines += [f"  - {reason_words(code)} [{code}]" for code in maturity.reasons]
    if maturity.history:
        past = ", ".join(f"day {p.day} {p.label}" for p in maturity.history)
        lines.append(f"At each exam, from what was known then: {past}")
    if maturity.stage_ledermann is not None:
        lines.append(f"Approximate Ledermann grade: {maturity.stage_ledermann} of 4")
    day = maturity.earliest_informative_followup_day
    if day is not None:
        when = maturity.earliest_informative_followup
        named = f"{when.isoformat()} (day {day})" if when else f"day {day}"
        lines.append(f"Stability could be rated by an exam made alike from {named}.")
    follow = maturity.followup
    if follow is not None and follow.needs:
        scans = "one more scan" if follow.scans == 1 else "two scans"
        lines.append(f"It could be judged from day {follow.earliest_day} on, by {scans}:")
        lines += [f"  - {need.text}" for need in follow.needs]
    elif follow is not None and follow.flags:
        lines.append(f"No date is named: {'; '.join(reason_text(f) for f in follow.flags)}.")
    return lines


def _observation(seen: Observation, days: dict[str, int]) -> str:
    day = f"day {days[seen.exam_id]}" if seen.exam_id in days else seen.exam_id
    flags = f" [{', '.join(seen.flags)}]" if seen.flags else ""
    if seen.status != "measured":
        words = "not seen" if seen.status == "absent" else "could not be measured"
        return f"{day}: {words}{flags}"
    parts = [
        _number("volume", seen.volume_mm3, seen.volume_ci95_mm3, "mm3", ".0f"),
        _number("density", seen.mean_hu, seen.mean_ci95_hu, "HU", ".0f"),
        _number("mass", seen.mineral_mass_hu_mm3, seen.mineral_mass_ci95_hu_mm3, "HU mm3", ".3g"),
        _number("rim", seen.rim_fraction, seen.rim_fraction_ci95, "of the surface", ".2f"),
        _number("edge", seen.edge_ratio, seen.edge_ratio_ci95, "x own cortex", ".2f"),
    ]
    return f"{day}: {', '.join(parts)}{flags}"


def _on_film(seen: Observation, days: Mapping[str, int], films: Mapping[str, Film | None]) -> str:
    from hoimg.report.film_view import (
        area_words,
        film_words,
        interval_words,
        length_words,
        spacing_words,
    )

    film = films[seen.exam_id]
    assert film is not None
    lead = f"day {days[seen.exam_id]}, film {film_words(film)}"
    flags = f" [{', '.join(seen.flags)}]" if seen.flags else ""
    if seen.status != "measured":
        return f"{lead}: could not be measured{flags}"
    parts = [
        f"projected area {area_words(seen, film)}",
        f"longest dimension {length_words(seen, film)}",
        f"corticated {interval_words(seen, 'corticated_fraction')} of the outline",
        f"edge {interval_words(seen, 'edge_ratio')} x cortex of that film",
        f"density index {interval_words(seen, 'density_index')}",
    ]
    return f"{lead}: {', '.join(parts)}; {spacing_words(film)}{flags}"


def _change(change: Change, days: dict[str, int], films: Mapping[str, Film | None]) -> str:
    from hoimg.report.change_words import change_words
    from hoimg.report.film_view import view_words

    start, end = days.get(change.from_exam), days.get(change.to_exam)
    parts: Sequence[str] = [
        _signed("volume", change.volume_change_pct, change.volume_rc_pct, "%"),
        _signed("projected area", change.area_change_pct, change.area_rc_pct, "%"),
        _signed("mass", change.mass_change_pct, change.mass_rc_pct, "%"),
        _signed("density", change.density_change_hu, change.density_rc_hu, "HU"),
        _signed("rim", change.rim_change, change.rim_rc, "of the surface", ".2f"),
    ]
    known = ", ".join(part for part in parts if part)
    limits = "" if change.comparable else "; NOT COMPARABLE"
    flags = f" [{', '.join(change.flags)}]" if change.flags else ""
    view = view_words(films.get(change.to_exam))
    lead = f"day {start} to {end}{', ' if view else ''}{view}: {change_words(change, brief=True)}"
    return f"{lead}{'; ' if known else ''}{known}; {change.days} days{limits}{flags}"


def _criterion(rule: Criterion) -> str:
    value = "no value" if rule.value is None else f"{rule.value:.4g}"
    if rule.id in ("gate.streak", "gate.contrast", "gate.fov", "gate.gap", "gate.mimic"):
        value = "unknown" if rule.value is None else ("present" if rule.value else "absent")
    unit = f" {rule.unit}" if rule.unit and rule.value is not None else ""
    limits = f"; passes at {rule.pass_at}" if rule.pass_at else ""
    limits += f", fails at {rule.fail_at}" if rule.fail_at else ""
    note = f" ({rule.note})" if rule.note else ""
    name = f"{rule.id} {rule.name}"
    return f"{name}: {value}{unit} -> {RESULT_WORDS[rule.result]}{limits}{note}. {rule.evidence}."


def _number(
    name: str, value: float | None, ci95: tuple[float, float] | None, unit: str, form: str
) -> str:
    if value is None:
        return f"{name} not measured"
    interval = "" if ci95 is None else f" [{ci95[0]:{form}} to {ci95[1]:{form}}]"
    return f"{name} {value:{form}}{interval} {unit}"


def _signed(
    name: str, value: float | None, limit: float | None, unit: str, form: str = ".0f"
) -> str:
    if value is None:
        return ""
    rc = "" if limit is None else f" (RC {limit:{form}} {unit})"
    return f"{name} {value:+{form}} {unit}{rc}"
