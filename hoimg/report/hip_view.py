"""What page, table and ``hoimg explain`` say of hips on CT and on films, in words."""

from __future__ import annotations

from typing import Any

from hoimg.report import words
from hoimg.report.film_view import VIEWS
from hoimg.report.reasons import reason_text
from hoimg.results import Exam, Hip, Report


def hips_on_ct(report: Report) -> list[dict[str, Any]]:
    """A row for each hip on CT."""
    return [
        _row(exam, hip)
        | {
            "gap": words.with_interval(hip.gap_mm, hip.gap_ci95_mm),
            "grades": [
                grade or words.NOT_RATED
                for grade in (
                    hip.brooker_equivalent,
                    hip.della_valle_equivalent,
                    hip.mavrogenis_equivalent,
                )
            ],
        }
        for exam in report.exams
        for hip in exam.hips
        if exam.film is None
    ]


def hips_on_films(report: Report) -> list[dict[str, Any]]:
    """A row for each hip on films."""
    return [
        _row(exam, hip)
        | {
            "view": _view(exam),
            "grades": [g or words.NOT_RATED for g in (hip.brooker, hip.della_valle, hip.biplanar)],
            "landmarks": hip.landmarks,
        }
        for exam in report.exams
        for hip in exam.hips
        if exam.film is not None
    ]


def hip_line(exam: Exam, hip: Hip) -> str:
    """A hip in one line of text, the gap beside its grades."""
    gap = gap_words(exam, hip)
    lead = f"day {exam.days_from_baseline}, {hip.side} hip on "
    graded: tuple[tuple[str, str | None], ...]
    if exam.film is None:
        graded = (
            ("Brooker-equivalent (CT)", hip.brooker_equivalent),
            ("Della Valle-equivalent (CT)", hip.della_valle_equivalent),
            ("Mavrogenis-equivalent (CT)", hip.mavrogenis_equivalent),
        )
        lead += "CT"
    else:
        graded = (
            ("Brooker", hip.brooker),
            ("Della Valle", hip.della_valle),
            ("biplanar", hip.biplanar),
        )
        lead += f"a film, {_view(exam)}"
    told = ", ".join(f"{name} {grade or words.NOT_RATED}" for name, grade in graded)
    flags = f" [{', '.join(hip.flags)}]" if hip.flags else ""
    return f"{lead}: gap {gap}; {told}{flags}"


def gap_words(exam: Exam, hip: Hip) -> str:
    """``5.02 (3.6 to 6.4) mm``, where it holds, or pixels; ``not measured`` for none."""
    film = exam.film
    if film is not None and hip.gap_px == 0:
        return "none: shadows touch (apparent bridge)"
    if hip.gap_mm is not None:
        where = ""
        if film is not None and film.spacing_source == "detector_uncorrected":
            where = " at detector, uncorrected"
        return f"{words.with_interval(hip.gap_mm, hip.gap_ci95_mm)} mm{where}"
    return words.NOT_MEASURED if hip.gap_px is None else f"{words.number(hip.gap_px)} px"


def _row(exam: Exam, hip: Hip) -> dict[str, Any]:
    return {
        "day": exam.days_from_baseline,
        "side": hip.side,
        "lesions": ", ".join(hip.lesions) or "none",
        "gap": gap_words(exam, hip),
        "why": "; ".join(reason_text(flag) for flag in hip.flags),
    }


def _view(exam: Exam) -> str:
    assert exam.film is not None
    return VIEWS.get(exam.film.view or "") or exam.film.plane or "view not stated"
