"""``report.html``: one self-contained page that asks the network for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hoimg.report import scripted, words
from hoimg.report.excluded_view import excluded_view
from hoimg.report.film_view import films_view
from hoimg.report.hip_view import hips_on_ct, hips_on_films
from hoimg.report.lesion_view import PictureMaker, lesion_view
from hoimg.report.over_time_view import context_lines, timing_view, totals_view
from hoimg.report.reader_view import lesion_reader, reader_rows
from hoimg.report.reasons import reason_text
from hoimg.report.templating import environment
from hoimg.report.viewer_view import viewers
from hoimg.results import Calibration, Exam, ExamImages, FilmImages, Links, Report

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
    links: Mapping[str, Links] | None = None,
) -> str:
    """Render the page.

    Args:
        report: With label map paths filled.
        images: Pixels by ``exam_id``; exams without any get no pictures.
        settings_toml: Shown as it is.
        films: Pixels of films by ``exam_id``.
        links: By tracking UID of each lesion; how the viewer lays exams beside each other.

    Returns:
        A whole HTML document. Every text of the report is escaped.
    """
    given = context(report, images, settings_toml, films, links)
    return environment("hoimg.report").get_template("report.html.j2").render(given)


def context(
    report: Report,
    images: Mapping[str, ExamImages],
    settings_toml: str = "",
    films: Mapping[str, FilmImages] | None = None,
    links: Mapping[str, Links] | None = None,
) -> dict[str, Any]:
    """What the template is given."""
    from markupsafe import Markup, escape

    exams = {exam.exam_id: exam for exam in report.exams}
    maker = PictureMaker(images, len(report.lesions))
    lesions = [
        {
            **lesion_view(lesion, number, exams, maker, films),
            "reader": lesion_reader(report, lesion),
        }
        for number, lesion in enumerate(report.lesions, start=1)
    ]
    excluded, spent = excluded_view(report, images)
    on_films = films_view(report, films or {})
    of_lesions = [film for lesion in lesions for film in lesion["films"]]
    spent += sum(len(f["picture"].uri) for f in [*on_films, *of_lesions] if f["picture"])
    shown = viewers(report, images, links or {}, maker.boxes, maker.spent + spent)
    with_script = bool(shown["viewer"] or shown["scene"] or films)
    return {
        **shown,
        # Files of this package, not data.
        "style": Markup(scripted.style()),
        "script": Markup(scripted.script()) if with_script else "",
        "policy": scripted.policy(with_script),
        "report": report,
        "exams": report.exams,
        "span_days": report.exams[-1].days_from_baseline - report.exams[0].days_from_baseline
        if report.exams
        else 0,
        "answer": answer(report),
        "lesions": lesions,
        "films": on_films,
        "seen_by": seen_by(report),
        "totals": totals_view(report),
        "timing": timing_view(report),
        "told": context_lines(report.context),
        "hips": hips_on_ct(report),
        "film_hips": hips_on_films(report),
        "reader_rows": reader_rows(report),
        "excluded": excluded,
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
        "settings_toml": escape(settings_toml),
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


def _brief(report: Report) -> str:
    counts = Counter(words.EXCLUSIONS.get(e.reason, reason_text(e.reason)) for e in report.excluded)
    return words.join([f"{n} × {reason.lower()}" for reason, n in counts.most_common()])


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
