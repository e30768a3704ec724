"""What the page and ``hoimg explain`` say of films, in words; no number is made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hoimg.report import words
from hoimg.report.film_pictures import FilmPicture, part_of_film, whole_film
from hoimg.report.reasons import reason_text
from hoimg.results import Exam, Film, FilmImages, Lesion, Observation, Report, Suggestion

VIEWS = {"AP": "AP", "PA": "PA", "LAT": "lateral", "oblique": "oblique"}
SIDES = {"R": "right", "L": "left", "B": "both sides", "U": "unpaired"}


def spacing_words(film: Film) -> str:
    """Where the millimetres of a film hold, in words."""
    if film.spacing_source == "calibrated":
        return "mm at the depth of the calibration"
    if film.spacing_source == "detector_corrected":
        return f"mm in the patient: the detector's, divided by {film.magnification:.3g}"
    if film.spacing_source == "detector_uncorrected":
        return "mm at detector, uncorrected: too long by the magnification, which is not known"
    return "pixels only: no pixel size that can be trusted"


def film_words(film: Film) -> str:
    """``AP, right, HIP``: view, side and body part."""
    parts = [view_words(film), SIDES.get(film.side or "", ""), film.body_part or ""]
    return ", ".join(p for p in parts if p)


def view_words(film: Film | None) -> str:
    """``AP``, ``lateral``, ...; empty for a CT."""
    if film is None:
        return ""
    return VIEWS.get(film.view or "") or film.plane or "view not stated"


def area_words(seen: Observation, film: Film | None) -> str:
    """``312 (290 to 335) mm²``, or pixels; ``not measured`` for none."""
    if seen.area_mm2 is not None:
        return f"{words.with_interval(seen.area_mm2, seen.area_ci95_mm2)} mm²{_where(film)}"
    if seen.area_px2 is not None:
        return f"{words.with_interval(seen.area_px2, seen.area_ci95_px2)} px²"
    return words.NOT_MEASURED


def length_words(seen: Observation, film: Film | None) -> str:
    """Longest dimension likewise."""
    if seen.length_mm is not None:
        return f"{words.with_interval(seen.length_mm, seen.length_ci95_mm)} mm{_where(film)}"
    if seen.length_px is not None:
        return f"{words.number(seen.length_px)} px"
    return words.NOT_MEASURED


def interval_words(seen: Observation, field: str) -> str:
    """A value without a unit, with its interval."""
    return words.with_interval(getattr(seen, field), getattr(seen, f"{field}_ci95"))


def text_words(film: Film) -> str:
    """What text in the pixels means for who gets the page; empty where the file states none."""
    if film.burned_in is None:
        return (
            "Whether text is burned into the pixels, such as a name, is not stated: "
            "look at the picture before you share this page."
        )
    if film.burned_in:
        return (
            "The picture shows the text that is burned into the pixels; it may name the patient: "
            "look before you share this page."
        )
    return ""


def films_view(report: Report, films: Mapping[str, FilmImages]) -> list[dict[str, Any]]:
    """Every film of the report with its picture and what was measured on it."""
    return [
        _film(exam, exam.film, report, films.get(exam.exam_id), len(films))
        for exam in report.exams
        if exam.film is not None
    ]


def film_parts(
    lesion: Lesion, exams: Mapping[str, Exam], films: Mapping[str, FilmImages]
) -> list[dict[str, Any]]:
    """A cut-out of each film that a lesion was outlined, or looked for, on."""
    made = []
    for seen in lesion.observations:
        exam, images = exams[seen.exam_id], films.get(seen.exam_id)
        if exam.film is None:
            continue
        made.append(
            {
                "day": exam.days_from_baseline,
                "what": film_words(exam.film),
                "area": area_words(seen, exam.film),
                "measured": seen.area_px2 is not None,
                "status": words.STATUSES[seen.status],
                "why": "; ".join(reason_text(f) for f in seen.flags)
                if seen.status != "measured"
                else "",
                "picture": None
                if images is None or seen.region_label is None
                else part_of_film(images, seen.region_label),
            }
        )
    return made


def only_films(lesion: Lesion, exams: Mapping[str, Exam]) -> bool:
    """Whether no CT shows the lesion."""
    return all(exams[o.exam_id].film is not None for o in lesion.observations)


def _film(
    exam: Exam, film: Film, report: Report, images: FilmImages | None, count: int
) -> dict[str, Any]:
    names = {
        o.region_label: lesion.lesion_id
        for lesion in report.lesions
        for o in lesion.observations
        if o.exam_id == exam.exam_id and o.region_label is not None
    }
    picture: FilmPicture | None = None if images is None else whole_film(images, count)
    return {
        "exam": exam,
        "day": exam.days_from_baseline,
        "what": film_words(film),
        "spacing": spacing_words(film),
        "size": f"{film.rows} rows, {film.columns} columns",
        "pixel": "" if film.spacing_yx_mm is None else f"{film.spacing_yx_mm[1]:.4g} mm",
        "picture": picture,
        "names": [(names.get(k, str(k)), x, y) for k, x, y in picture.places] if picture else [],
        "marks": hip_marks(exam) | {"places": _places(exam, film)},
        "suggestions": [
            {"number": n, "why": suggestion_words(s, report), "roi": s.roi}
            for n, s in enumerate(exam.suggestions, start=1)
        ],
        "given": bool(names),
        "doubts": [
            *(f.message for f in exam.findings if f.level != "info"),
            *([text] if picture is not None and (text := text_words(film)) else []),
        ],
    }


def hip_marks(exam: Exam) -> dict[str, Any]:
    """Heads (x, y, radius) and gaps (x, y, x, y) of a film's hips, in columns of the film."""
    assert exam.film is not None
    y, x = exam.film.spacing_yx_mm or (1.0, 1.0)

    def at(place_yx: tuple[float, float]) -> tuple[float, float]:
        return place_yx[1] + 0.5, (place_yx[0] + 0.5) * y / x

    heads = [
        (*at(hip.head_centre_yx), hip.head_radius_px)
        for hip in exam.hips
        if hip.head_centre_yx is not None and hip.head_radius_px is not None
    ]
    ends = [hip.gap_ends_yx for hip in exam.hips if hip.gap_ends_yx is not None]
    return {"heads": heads, "gaps": [(*at(a), *at(b)) for a, b in ends]}


def suggestion_words(place: Suggestion, report: Report) -> str:
    """Why a place is suggested, in words."""
    days = {exam.exam_id: exam.days_from_baseline for exam in report.exams}
    other = "" if place.from_exam is None else f" of day {days[place.from_exam]}"
    return {
        "other_side": "the other side has nothing like it",
        "earlier_film": f"it was not there on the film{other}",
        "region_on_another_film": f"the lesion in a region on the film{other} would lie here",
    }[place.source]


def _places(exam: Exam, film: Film) -> list[tuple[int, float, float, float, float]]:
    """Number, left, top, width and height of what is suggested, in columns."""
    y, x = film.spacing_yx_mm or (1.0, 1.0)
    return [
        (n, s.box[0], s.box[1] * y / x, s.box[2] - s.box[0], (s.box[3] - s.box[1]) * y / x)
        for n, s in enumerate(exam.suggestions, start=1)
    ]


def _where(film: Film | None) -> str:
    if film is None or film.spacing_source != "detector_uncorrected":
        return ""
    return " at detector, uncorrected"
