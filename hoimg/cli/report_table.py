"""The table that a command prints of a patient's result: the answer per lesion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.cli.console import Console

if TYPE_CHECKING:
    from hoimg.results import PatientResult


def print_table(result: PatientResult, page: Path, console: Console) -> None:
    """The answer per lesion on standard output, and where the report lies."""
    report = result.report
    days = {e.exam_id: e.days_from_baseline for e in report.exams}
    span = ", ".join(f"day {d}" for d in sorted(days.values()))
    print(f"{len(report.exams)} exam(s): {span}")
    if not report.lesions:
        print("No ossification was called.")
    else:
        print(f"{'lesion':8}{'seen':14}{'volume at last exam':>28}  {'label':15}why")
    for lesion in report.lesions:
        measured = [o for o in lesion.observations if o.status == "measured"]
        last = measured[-1] if measured else None
        size = "not measured"
        if last is not None and last.volume_mm3 is not None:
            size = f"{last.volume_mm3 / 1000:.2f} mL"
            if last.volume_ci95_mm3 is not None:
                low, high = (v / 1000 for v in last.volume_ci95_mm3)
                size += f" ({low:.2f}-{high:.2f})"
        seen = f"day {', '.join(str(days[o.exam_id]) for o in measured)}"
        why = "; ".join(reason.replace("_", " ") for reason in lesion.maturity.reasons)
        print(f"{lesion.lesion_id:8}{seen:14}{size:>28}  {lesion.maturity.label:15}{why}")
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
