"""What the page shows of the patient as a whole over time: totals, and what is mature since when.

Texts and a plot; the template only lays them out. Nothing here advises to operate or to wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from hoimg.report import words
from hoimg.report.change_words import total_change_words
from hoimg.report.plots import totals_plot
from hoimg.report.reasons import reason_text
from hoimg.results import Context, Exam, ExamTotal, Lesion, Report, TotalChange

AETIOLOGY = {
    "spinal_cord_injury": "spinal cord injury",
    "brain_injury": "brain injury",
    "other_neurogenic": "other neurogenic",
    "arthroplasty": "arthroplasty",
    "other_surgery": "other surgery",
    "trauma": "trauma",
    "burn": "burn",
    "fop": "fibrodysplasia ossificans progressiva",
    "other": "other",
    "unknown": "unknown",
}


def totals_view(report: Report) -> dict[str, Any] | None:
    """Rows of the table of totals, and the plot; None without totals."""
    totals = report.totals
    if totals is None or not report.exams:
        return None
    days = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    plot: Markup | None = totals_plot(totals, days) if len(totals.exams) > 1 else None
    regions = {r.region for t in totals.exams for r in t.regions}
    return {
        "rows": [_total(t, days) for t in totals.exams],
        "plot": plot,
        "regions": [
            {
                "name": region or "region not known",
                "cells": [_of_region(t, region) for t in totals.exams],
                "why": ""
                if region is not None
                else "; ".join(
                    sorted(
                        {
                            reason_text(totals.region_source.get(k, ""))
                            for k, r in totals.region_of.items()
                            if r is None
                        }
                    )
                ),
            }
            for region in sorted(regions, key=lambda r: (r is None, r or ""))
        ],
        "days": [days[t.exam_id] for t in totals.exams],
    }


def _total(total: ExamTotal, days: Mapping[str, int]) -> dict[str, Any]:
    volume = words.NOT_MEASURED
    if total.volume_mm3 is not None:
        volume = words.number(words.cm3(total.volume_mm3))
        if total.volume_ci95_mm3 is not None and total.lesions:
            low, high = (words.number(words.cm3(v)) for v in total.volume_ci95_mm3)
            volume += f" ({low} to {high})"
    return {
        "day": days[total.exam_id],
        "lesions": total.lesions,
        "volume": ("" if total.complete or total.volume_mm3 is None else "at least ") + volume,
        "mass": words.number(words.cm3(total.mineral_mass_hu_mm3)),
        "missing": [
            f"{x.lesion_id}: {', '.join(reason_text(r) for r in x.reasons)}"
            for x in total.not_evaluable
        ],
        "flags": [reason_text(f) for f in total.flags],
        "new": _new(total),
        "resolved": ", ".join(total.resolved),
        "previous": _since(total.since_previous, days),
        "baseline": _since(total.since_baseline, days),
        "complete": total.complete,
    }


def _new(total: ExamTotal) -> str:
    if total.new_volume_mm3 is None:
        return "–"
    if not total.new_lesions:
        text = "none"
    else:
        size = words.number(words.cm3(total.new_volume_mm3))
        text = f"{', '.join(total.new_lesions)}: {size} cm³"
    if total.first_in_view:
        text += f"; first in view, not called new: {', '.join(total.first_in_view)}"
    return text


def _since(change: TotalChange | None, days: Mapping[str, int]) -> dict[str, Any] | None:
    if change is None:
        return None
    yearly = ""
    if change.annualised_mm3_per_year is not None:
        yearly = f"{words.signed(change.annualised_mm3_per_year / 1000)} cm³ a year"
        if change.annualised_pct_per_year is not None:
            yearly += f", {words.percent(change.annualised_pct_per_year)} a year"
    return {
        "text": total_change_words(change),
        "from_day": days[change.from_exam],
        "days": change.days,
        "yearly": yearly,
        "left_out": ", ".join(x.lesion_id or "" for x in change.left_out),
    }


def _of_region(total: ExamTotal, region: str | None) -> str:
    for found in total.regions:
        if found.region == region:
            if found.volume_mm3 is None:
                return words.NOT_MEASURED
            if not found.lesions:
                return "none seen" if found.complete else words.NOT_MEASURED
            lead = "" if found.complete else "at least "
            volume = words.number(words.cm3(found.volume_mm3))
            text = f"{lead}{volume} ({', '.join(found.lesions)})"
            change = found.since_baseline
            if change is not None and change.annualised_mm3_per_year is not None:
                text += f"; {words.signed(change.annualised_mm3_per_year / 1000)} a year"
            return text
    return words.NOT_MEASURED


def timing_view(report: Report) -> dict[str, list[dict[str, Any]]]:
    """Lesions by what can be said now: mature and since when, active, open, no longer there."""
    exams = {exam.exam_id: exam for exam in report.exams}
    groups: dict[str, list[dict[str, Any]]] = {"mature": [], "active": [], "open": [], "gone": []}
    for number, lesion in enumerate(report.lesions, start=1):
        maturity = lesion.maturity
        gone = {"resolved", "merged_into_another"}.intersection(maturity.reasons)
        name = {"mature": "mature", "immature": "active", "indeterminate": "open"}[maturity.label]
        groups["gone" if gone else name].append(_timing(lesion, number, exams))
    return groups


def _timing(lesion: Lesion, number: int, exams: Mapping[str, Exam]) -> dict[str, Any]:
    maturity = lesion.maturity
    follow = maturity.followup
    days = {exam_id: exam.days_from_baseline for exam_id, exam in exams.items()}
    when = ""
    if follow is not None and follow.earliest_day is not None:
        when = f"day {follow.earliest_day}"
        if follow.earliest_date is not None:
            when += f" ({follow.earliest_date.isoformat()})"
    return {
        "id": lesion.lesion_id,
        "anchor": f"lesion-{number}",
        "judged": days.get(maturity.exam_id or ""),
        "since": days.get(maturity.mature_since_exam or ""),
        "reasons": [reason_text(code) for code in maturity.reasons],
        "history": [
            {"day": past.day, "label": past.label, "text": words.LABELS[past.label]}
            for past in maturity.history
        ],
        "when": when,
        "scans": follow.scans if follow is not None else None,
        "needs": [need.text for need in follow.needs] if follow is not None else [],
        "flags": [reason_text(f) for f in follow.flags] if follow is not None else [],
    }


def context_lines(context: Context | None) -> list[str]:
    """Aetiology, laboratory values and bone scans in words, for the page and for explain."""
    return list(_context(context)) if context is not None else []


def _context(context: Context) -> Iterable[str]:
    if context.aetiology is not None:
        yield f"Aetiology: {AETIOLOGY[context.aetiology]}"
    for lab in context.laboratory:
        limit = ""
        if lab.upper_limit is not None:
            side = "above" if lab.value > lab.upper_limit else "not above"
            limit = f" ({side} the upper limit of {lab.upper_limit:g})"
        yield f"Day {lab.day}: {words.plain(lab.name)} {lab.value:g} {lab.unit}{limit}"
    for scan in context.bone_scans:
        yield f"Day {scan.day}: bone scan, uptake {words.plain(scan.uptake)}"
