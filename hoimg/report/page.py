"""``report.html``: one self-contained page that asks the network for nothing and runs no script."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from hoimg.edits import point_words
from hoimg.report import words
from hoimg.report.film_view import films_view
from hoimg.report.hip_view import hips_on_ct, hips_on_films
from hoimg.report.lesion_view import PictureMaker, lesion_view
from hoimg.report.over_time_view import context_lines, timing_view, totals_view
from hoimg.report.reasons import reason_text
from hoimg.results import Calibration, Exam, ExamImages, FilmImages, Report

if TYPE_CHECKING:
    from jinja2 import Environment

ROWS_PER_REASON = 200
"""Excluded candidates listed per reason in the page; report.json always holds all."""

_LEVEL_ORDER = ("error", "warning", "info")

_ACQUISITION: tuple[tuple[str, str], ...] = (
    ("Tube voltage, kV", "kvp"),
    ("Tube current, mA", "tube_current_ma"),
    ("Kernel", "kernel"),
    ("Slice thickness, mm", "slice_thickness_mm"),
    ("Voxel z × y × x, mm", "spacing_zyx_mm"),
    ("Size z × y × x", "size_zyx"),
    ("Contrast agent", "contrast"),
    ("Manufacturer", "manufacturer"),
    ("Model", "model"),
    ("Patient position", "patient_position"),
    ("Body part", "body_part"),
    ("Noise SD, HU", "noise_hu"),
    ("Point spread z × y × x, mm FWHM", "psf_fwhm_zyx_mm"),
    ("Point spread read from", "psf_source_zyx"),
    ("Own normal cortex, HU", "cortex_hu"),
    ("Own muscle, HU", "muscle_hu"),
    ("Own fat, HU", "fat_hu"),
    ("Calibration", "calibration"),
    ("Native skeleton decided by", "native_skeleton"),
    ("Why this series", "series_choice"),
)


def page_html(
    report: Report,
    images: Mapping[str, ExamImages],
    settings_toml: str = "",
    films: Mapping[str, FilmImages] | None = None,
) -> str:
    """Render the page.

    Args:
        report: With label map paths filled.
        images: Pixels by ``exam_id``; exams without any get no pictures.
        settings_toml: Shown as it is.
        films: Pixels of films by ``exam_id``.

    Returns:
        A whole HTML document. Every text of the report is escaped.
    """
    given = context(report, images, settings_toml, films)
    return _environment().get_template("report.html.j2").render(given)


def context(
    report: Report,
    images: Mapping[str, ExamImages],
    settings_toml: str = "",
    films: Mapping[str, FilmImages] | None = None,
) -> dict[str, Any]:
    """What the template is given."""
    exams = {exam.exam_id: exam for exam in report.exams}
    maker = PictureMaker(images, len(report.lesions))
    return {
        "report": report,
        "exams": report.exams,
        "span_days": report.exams[-1].days_from_baseline - report.exams[0].days_from_baseline
        if report.exams
        else 0,
        "answer": answer(report),
        "lesions": [
            lesion_view(lesion, number, exams, maker, films)
            for number, lesion in enumerate(report.lesions, start=1)
        ],
        "films": films_view(report, films or {}),
        "seen_by": seen_by(report),
        "totals": totals_view(report),
        "timing": timing_view(report),
        "told": context_lines(report.context),
        "hips": hips_on_ct(report),
        "film_hips": hips_on_films(report),
        "excluded": _excluded(report, exams),
        "excluded_count": len(report.excluded),
        "excluded_brief": _brief(report),
        "findings": _findings(report),
        "doubtful": [
            exam.days_from_baseline
            for exam in report.exams
            if any(f.level == "error" for f in exam.findings)
        ],
        "registrations": _registrations(report, exams),
        "acquisition": _acquisition([e for e in report.exams if e.film is None]),
        "scans": [exam for exam in report.exams if exam.film is None],
        "settings_toml": settings_toml,
        "label_texts": words.LABELS,
    }


def seen_by(report: Report) -> str:
    """``CT``, ``films`` or ``CT and films``."""
    kinds = {exam.film is not None for exam in report.exams}
    return {frozenset({True}): "films", frozenset({True, False}): "CT and films"}.get(
        frozenset(kinds), "CT"
    )


def answer(report: Report) -> str:
    """The report in one line."""
    exams = words.count(len(report.exams), "exam")
    if not report.lesions:
        return f"No heterotopic ossification was called in {exams}"
    labels = Counter(lesion.maturity.label for lesion in report.lesions)
    parts = [
        f"{labels[label]} {label}"
        for label in ("immature", "indeterminate", "mature")
        if labels[label]
    ]
    lesions = words.count(len(report.lesions), "lesion")
    return f"{lesions} in {exams}: {words.join(parts)} on imaging"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("hoimg.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _brief(report: Report) -> str:
    counts = Counter(words.EXCLUSIONS.get(e.reason, reason_text(e.reason)) for e in report.excluded)
    return words.join([f"{n} × {reason.lower()}" for reason, n in counts.most_common()])


def _excluded(report: Report, exams: Mapping[str, Exam]) -> list[dict[str, Any]]:
    groups = defaultdict(list)
    for item in report.excluded:
        groups[item.reason].append(item)
    made = []
    for reason, items in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        items.sort(key=lambda e: (exams[e.exam_id].days_from_baseline, -e.volume_mm3, e.label))
        made.append(
            {
                "reason": words.EXCLUSIONS.get(reason, reason_text(reason)),
                "count": words.count(len(items), "candidate"),
                "hidden": max(0, len(items) - ROWS_PER_REASON),
                "rows": [
                    {
                        "day": exams[e.exam_id].days_from_baseline,
                        "label": e.label,
                        "volume": words.number(words.cm3(e.volume_mm3)),
                        "place": place_text(e.centroid_lps_mm),
                        "note": e.note,
                        "overrule": None
                        if e.inside_lps_mm is None
                        else point_words(
                            e.inside_lps_mm, e.exam_id if len(report.exams) > 1 else None
                        ),
                    }
                    for e in items[:ROWS_PER_REASON]
                ],
            }
        )
    return made


def place_text(centroid_lps_mm: tuple[float, float, float]) -> str:
    """``L 12, P 30, H 105 mm``: each coordinate with the direction that it points to."""
    pairs = (("L", "R"), ("P", "A"), ("H", "F"))
    return (
        ", ".join(
            f"{pair[0] if value >= 0 else pair[1]} {abs(value):.0f}"
            for pair, value in zip(pairs, centroid_lps_mm, strict=True)
        )
        + " mm"
    )


def _findings(report: Report) -> list[dict[str, Any]]:
    made = []
    for exam in report.exams:
        ordered = sorted(exam.findings, key=lambda f: _LEVEL_ORDER.index(f.level))
        made.append(
            {
                "exam": exam,
                "items": [
                    {
                        "level": f.level,
                        "sign": words.LEVELS[f.level][0],
                        "level_text": words.LEVELS[f.level][1],
                        "code": f.code,
                        "message": f.message,
                        "fix": f.fix,
                    }
                    for f in ordered
                ],
            }
        )
    return made


def _registrations(report: Report, exams: Mapping[str, Exam]) -> list[dict[str, Any]]:
    names = {lesion.tracking_uid: lesion.lesion_id for lesion in report.lesions}
    return [
        {
            "near": names.get(r.tracking_uid or "", ""),
            "from_day": exams[r.from_exam].days_from_baseline,
            "to_day": exams[r.to_exam].days_from_baseline,
            "accepted": r.accepted,
            "overlap": "–" if r.tracking_uid else words.number(r.bone_overlap, 2),
            "residual": words.number(r.residual_mm, 2),
            "reason": reason_text(r.reason) if r.reason else "",
            "parts": [
                {
                    "accepted": p.accepted,
                    "overlap": words.number(p.bone_overlap, 2),
                    "residual": words.number(p.residual_mm, 2),
                    "turn": "" if p.turn_deg is None else f"{p.turn_deg:.0f}",
                    "reason": reason_text(p.reason) if p.reason else "",
                }
                for p in r.parts[1:]
            ],
        }
        for r in report.registrations
    ]


def _acquisition(exams: list[Exam]) -> list[dict[str, Any]]:
    rows = []
    for title, field in _ACQUISITION:
        values = [_value_text(getattr(exam.acquisition, field)) for exam in exams]
        rows.append({"title": title, "cells": values, "differs": len(set(values)) > 1})
    return rows


def _value_text(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, Calibration):
        return (
            f"{value.method}: {value.slope_hu_per_mg_cm3:.3g} HU per mg {value.material}/cm³ "
            f"± {100 * value.slope_error:.2g} % ({value.source})"
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " × ".join(v.replace("_", " ") if isinstance(v, str) else f"{v:.4g}" for v in value)
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
