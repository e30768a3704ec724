"""What the page shows of one lesion, as texts and pictures; the template only lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hoimg.geometry import Box
from hoimg.report import words
from hoimg.report.change_words import change_words, course_words, on_films
from hoimg.report.files import change_into
from hoimg.report.film_view import area_words, film_parts, only_films, view_words
from hoimg.report.lesion_rows import number_rows, volume_text
from hoimg.report.pictures import (
    Encoding,
    Picture,
    draw,
    extent_mm,
    find_lesions,
    inner_voxel,
    side_for,
)
from hoimg.report.planes import PLANES
from hoimg.report.plots import course
from hoimg.report.reasons import reason_text
from hoimg.results import (
    Change,
    Criterion,
    Exam,
    ExamImages,
    FilmImages,
    Lesion,
    Observation,
)

PICTURE_BUDGET = 6_500_000
"""Bytes of pictures in one page, so that it stays below 10 MB with many lesions."""
LOSSLESS_LESIONS = 10
"""With more lesions than this the pictures are JPEG."""


def change_text(value: float | None, rc: float | None) -> str:
    """``+42 % (RC 25 %: beyond)``; ``not measured`` for none."""
    if value is None:
        return words.NOT_MEASURED
    if rc is None:
        return f"{words.percent(value)} (RC unknown)"
    verdict = "beyond" if abs(value) > rc else "within"
    return f"{words.percent(value)} (RC {words.number(rc, 2)} %: {verdict})"


class PictureMaker:
    """Draws the pictures of all lesions of a report and keeps the page's size in bounds."""

    def __init__(self, images: Mapping[str, ExamImages], lesions: int) -> None:
        self._images = images
        self.boxes = {exam_id: find_lesions(exam) for exam_id, exam in images.items()}
        """Box of every label of each exam."""
        self._encoding: Encoding = "png" if lesions <= LOSSLESS_LESIONS else "jpeg"
        self.spent = 0
        """Characters of all pictures so far."""

    def side_mm(self, lesion: Lesion) -> float:
        """One side length for all pictures of a lesion, so that growth is seen as growth."""
        extents = [
            extent_mm(box, self._images[seen.exam_id].volume.grid.spacing_zyx_mm)
            for seen in lesion.observations
            if (box := self._box(seen)) is not None
        ]
        return side_for(max(extents, default=30.0))

    def three_planes(self, seen: Observation, side_mm: float) -> list[Picture]:
        """The three planes through the lesion; empty when there is nothing to draw."""
        return [p for name in PLANES if (p := self._draw(seen, side_mm, name, "large"))]

    def axial(self, seen: Observation, side_mm: float) -> Picture | None:
        """A small axial slice through the lesion, or None."""
        return self._draw(seen, side_mm, "axial", "small")

    def _box(self, seen: Observation) -> Box | None:
        return self.boxes.get(seen.exam_id, {}).get(seen.label or 0)

    def _draw(self, seen: Observation, side_mm: float, name: Any, size: Any) -> Picture | None:
        images = self._images.get(seen.exam_id)
        if images is None or self.spent > PICTURE_BUDGET:
            return None
        box = self._box(seen)
        center: Sequence[float]
        if box is not None and seen.label is not None:
            center = inner_voxel(images.lesions.array, box, seen.label)
        elif seen.centroid_lps_mm is not None:
            center = images.volume.grid.to_index_zyx(seen.centroid_lps_mm).tolist()
        else:
            return None
        picture = draw(
            images,
            name,
            (center[0], center[1], center[2]),
            side_mm,
            label=seen.label,
            size=size,
            encoding=self._encoding,
        )
        self.spent += picture.bytes
        return picture


def latest(lesion: Lesion) -> Observation:
    """The observation that the label speaks of: of the named exam, else the last measured one."""
    seen = lesion.observations
    named = [o for o in seen if o.exam_id == lesion.maturity.exam_id]
    measured = [o for o in seen if o.status == "measured"]
    return (named or measured[-1:] or seen[-1:])[0]


def lesion_view(
    lesion: Lesion,
    number: int,
    exams: Mapping[str, Exam],
    maker: PictureMaker,
    films: Mapping[str, FilmImages] | None = None,
) -> dict[str, Any]:
    """Everything the template shows of a lesion.

    Args:
        lesion: With at least one observation.
        number: Position in the report, from 1; makes the anchor.
        exams: By ``exam_id``.
        maker: Draws the pictures.
        films: By ``exam_id``.
    """
    now = latest(lesion)
    side = maker.side_mm(lesion)
    film = exams[now.exam_id].film
    alone = only_films(lesion, exams)
    scans = [o for o in lesion.observations if exams[o.exam_id].film is None]
    maturity = lesion.maturity
    change = change_into(lesion, now.exam_id)
    return {
        "id": lesion.lesion_id,
        "anchor": f"lesion-{number}",
        "label": maturity.label,
        "label_text": words.LABELS[maturity.label],
        "sentence": maturity.summary or _sentence(lesion),
        "reasons": [{"code": code, "text": reason_text(code)} for code in maturity.reasons],
        "day": exams[now.exam_id].days_from_baseline,
        "volume": volume_text(now) if film is None else area_words(now, film),
        "measured": now.volume_mm3 is not None or now.area_px2 is not None,
        "only_films": alone,
        "films": film_parts(lesion, exams, films or {}),
        "change": _change(change, exams) if change else None,
        "followup": _followup(lesion),
        "stage": maturity.stage_ledermann,
        "stage_text": words.LEDERMANN.get(maturity.stage_ledermann or 0, ""),
        "pictures": maker.three_planes(now, side),
        "strip": [_strip(seen, exams, maker, side) for seen in scans],
        "plot": ""
        if alone
        else course(
            scans,
            [exams[o.exam_id].days_from_baseline for o in scans],
            lesion.lesion_id,
            change=change,
            fitted=lesion.course,
        ),
        "course": course_words(lesion.course) if lesion.course is not None else "",
        "columns": [exams[o.exam_id] for o in lesion.observations],
        "statuses": [words.STATUSES[o.status] for o in lesion.observations],
        "rows": list(number_rows(lesion.observations, exams)),
        "flags": [[reason_text(f) for f in o.flags] for o in lesion.observations],
        "changes": [_change(c, exams) for c in lesion.changes],
        "criteria": [_criterion(c) for c in maturity.criteria],
        "tracking_uid": lesion.tracking_uid,
    }


def _sentence(lesion: Lesion) -> str:
    reasons = words.join([reason_text(code) for code in lesion.maturity.reasons])
    label = words.LABELS[lesion.maturity.label]
    return f"{label}: {reasons}." if reasons else f"{label}."


def _strip(
    seen: Observation, exams: Mapping[str, Exam], maker: PictureMaker, side: float
) -> dict[str, Any]:
    return {
        "day": exams[seen.exam_id].days_from_baseline,
        "status": words.STATUSES[seen.status],
        "volume": volume_text(seen),
        "measured": seen.volume_mm3 is not None,
        "picture": maker.axial(seen, side),
    }


def _change(change: Change, exams: Mapping[str, Exam]) -> dict[str, Any]:
    rim = words.NOT_MEASURED
    if change.rim_change is not None:
        rim = words.signed(change.rim_change, 2)
        rim += f" (RC {words.number(change.rim_rc, 2)})" if change.rim_rc is not None else ""
    density = words.whole(change.density_change_hu)
    if change.density_change_hu is not None:
        rc = change.density_rc_hu
        verdict = "beyond" if rc is not None and abs(change.density_change_hu) > rc else "within"
        density += " HU" + (f" (RC {words.number(rc, 2)} HU: {verdict})" if rc is not None else "")
    return {
        "from_day": exams[change.from_exam].days_from_baseline,
        "to_day": exams[change.to_exam].days_from_baseline,
        "days": change.days,
        "view": view_words(exams[change.to_exam].film),
        "on_films": on_films(change),
        "area": change_text(change.area_change_pct, change.area_rc_pct),
        "volume": change_text(change.volume_change_pct, change.volume_rc_pct),
        "mass": change_text(change.mass_change_pct, change.mass_rc_pct),
        "density": density,
        "rim": rim,
        "sign": words.CATEGORY_SIGNS[change.category] if change.comparable else "–",
        "category": change_words(change, brief=True),
        "comparable": change.comparable,
        "parents": change.parents,
        "flags": [reason_text(flag) for flag in change.flags],
    }


def _criterion(criterion: Criterion) -> dict[str, Any]:
    sign, text = words.RESULTS[criterion.result]
    value = words.number(criterion.value)
    unit = f" {criterion.unit}" if criterion.unit and criterion.value is not None else ""
    return {
        "id": criterion.id,
        "name": criterion.name,
        "value": value + unit,
        "pass_at": _limit(criterion.pass_at),
        "fail_at": _limit(criterion.fail_at),
        "result": criterion.result,
        "sign": sign,
        "text": text,
        "evidence": criterion.evidence,
        "note": criterion.note,
    }


def _limit(text: str | None) -> str:
    return (text or "–").replace(">=", "≥").replace("<=", "≤")


def _followup(lesion: Lesion) -> str:
    maturity = lesion.maturity
    parts = []
    if maturity.earliest_informative_followup_day is not None:
        parts.append(f"day {maturity.earliest_informative_followup_day}")
    if maturity.earliest_informative_followup is not None:
        parts.append(maturity.earliest_informative_followup.isoformat())
    return f"{parts[0]} ({parts[1]})" if len(parts) == 2 else "".join(parts)
