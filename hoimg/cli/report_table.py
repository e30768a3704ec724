"""The table that a command prints of a patient's result: the answer per lesion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.cli.console import Console
from hoimg.films.analysis import NO_REGION

if TYPE_CHECKING:
    from hoimg.results import PatientResult


def print_table(result: PatientResult, page: Path, console: Console) -> None:
    """The answer per lesion on standard output, and where the report lies."""
    from hoimg.report.change_words import change_words
    from hoimg.report.film_view import area_words, suggestion_words
    from hoimg.report.hip_view import hip_line
    from hoimg.serial.change import LONG_INTERVAL

    report = result.report
    films = {e.exam_id: e.film for e in report.exams}
    days = {e.exam_id: e.days_from_baseline for e in report.exams}
    span = ", ".join(f"day {d}" for d in sorted(days.values()))
    print(f"{len(report.exams)} exam(s): {span}")
    if not report.lesions:
        print("No ossification was called.")
    else:
        print(f"{'lesion':8}{'seen':14}{'size at last exam':>28}  {'label':15}why")
    for lesion in report.lesions:
        measured = [o for o in lesion.observations if o.status == "measured"]
        last = measured[-1] if measured else None
        size = "not measured"
        if last is not None and last.volume_mm3 is None and last.area_px2 is not None:
            size = area_words(last, films.get(last.exam_id)).replace("²", "2")
        elif last is not None and last.volume_mm3 is not None:
            size = f"{last.volume_mm3 / 1000:.2f} mL"
            if last.volume_ci95_mm3 is not None:
                low, high = (v / 1000 for v in last.volume_ci95_mm3)
                size += f" ({low:.2f}-{high:.2f})"
        shown = ", ".join(dict.fromkeys(str(days[o.exam_id]) for o in measured))
        seen = f"day {shown}" if shown else "-"
        why = "; ".join(reason.replace("_", " ") for reason in lesion.maturity.reasons)
        print(f"{lesion.lesion_id:8}{seen:14}{size:>28}  {lesion.maturity.label:15}{why}")
        steps = [c for c in lesion.changes if LONG_INTERVAL not in c.flags]
        if steps:
            change = steps[-1]
            span = f"day {days[change.from_exam]} to {days[change.to_exam]}"
            print(f"{'':8}{span}: {change_words(change)}")
    for exam, hip in [(e, h) for e in report.exams for h in e.hips]:
        print(f"Hip: {hip_line(exam, hip)}")
    bare = [e.exam_id for e in report.exams if any(f.code == NO_REGION for f in e.findings)]
    if bare:
        print(f"No region was given, so none was called, on {len(bare)} film(s): {', '.join(bare)}")
        print(f"  To give one: --roi {bare[0]}:box:X0,Y0,X1,Y1 (pixels; more in --help)")
    places = [(e, s) for e in report.exams for s in e.suggestions]
    if places:
        print(f"Suggested, to be confirmed by a reader, not findings: {len(places)} place(s)")
    for exam, place in places:
        why = suggestion_words(place, report)
        print(f"  day {exam.days_from_baseline}: {why}; to have it measured: --roi {place.roi}")
    counts: dict[str, int] = {}
    for item in report.excluded:
        counts[item.reason] = counts.get(item.reason, 0) + 1
    if counts:
        listed = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
        print(f"Left out, with reasons in the report: {listed}")
    applied = [e.applied.outcome for e in result.edits.edits if e.applied] if result.edits else []
    if applied:
        none = applied.count("no_effect")
        words = f"{len(applied) - none} applied" + (f", {none} without effect" if none else "")
        print(f"The reader's edits: {words}")
    worst = [f for e in report.exams for f in e.findings if f.level != "info"]
    for finding in worst[:5]:
        console.say(f"{finding.level}: {finding.message}")
    print(f"Report: {page}")
    print("Imaging maturity for research use only; no advice to operate or to wait.")
