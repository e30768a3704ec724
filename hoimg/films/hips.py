"""The hips on a patient's films: landmarks given or found, gaps, grades; and why there is none.

Only films whose header says hip or pelvis, or on which a reader gave landmarks, and only hips that
an outlined lesion lies about: where nobody looked, nothing is graded 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hoimg.hip_marks import HipMarks
from hoimg.results import Finding, Hip, Lesion
from hoimg.settings import Settings

if TYPE_CHECKING:
    from hoimg.film_shapes import HipLandmarks
    from hoimg.films.analysis import FilmAnalysis
    from hoimg.maturity.film_hip import FilmHipGrades
    from hoimg.measure.film_hips import FilmHip

NO_LANDMARKS = "hip_landmarks_missing"
NOT_OUTLINED = "lesion_not_outlined"
NO_LATERAL = "no_lateral_hip"
DOUBTFUL = "polarity_doubtful"


@dataclass(frozen=True)
class HipsOfFilm:
    """What is said of the hips of one film.

    Attributes:
        hips: Those that an outlined lesion lies about.
        findings: That landmarks are missing, and how to give them.
    """

    hips: tuple[Hip, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class _Seen:
    """A measured hip of a film."""

    film: FilmAnalysis
    hip: FilmHip
    landmarks: HipLandmarks
    hidden: bool


def hips_of_films(
    films: Sequence[FilmAnalysis],
    marks: Mapping[str, Sequence[HipMarks]],
    lesions: Sequence[Lesion],
    settings: Settings,
) -> dict[str, HipsOfFilm]:
    """Measure and grade the hips of all films of a patient.

    Args:
        films: With their lesions outlined.
        marks: Landmarks that a reader gave, by exam_id.
        lesions: Of the patient: their names stand beside the labels.
        settings: All of them.

    Returns:
        By exam_id, films with nothing to say left out.
    """
    found: dict[str, HipsOfFilm] = {}
    seen: list[_Seen] = []
    for film in films:
        given = marks.get(film.exam.exam_id, ())
        assert film.exam.film is not None
        if not film.labels_yx.any() or not (given or film.exam.film.shows_hip):
            continue
        landmarks = _landmarks(film, given, settings)
        if not landmarks:
            found[film.exam.exam_id] = HipsOfFilm(findings=(_missing(film),))
        seen += _measured(film, landmarks, settings)
    names: dict[tuple[str, int | None], str] = {
        (o.exam_id, o.label): lesion.lesion_id
        for lesion in lesions
        for o in lesion.observations
        if o.label is not None
    }
    for exam_id in dict.fromkeys(s.film.exam.exam_id for s in seen):
        hips = tuple(
            _graded(s, _lateral_of(s, seen), names, settings)
            for s in seen
            if s.film.exam.exam_id == exam_id
        )
        found[exam_id] = HipsOfFilm(hips, found.get(exam_id, HipsOfFilm()).findings)
    return found


def _landmarks(
    film: FilmAnalysis, given: Sequence[HipMarks], settings: Settings
) -> list[HipLandmarks]:
    """Landmarks as given, and found where none are; right before left."""
    from hoimg.segment.film_landmarks import (
        find_hip_landmarks,
        landmarks_at_head,
        landmarks_outlined,
    )

    info = film.exam.film
    assert info is not None
    both = info.both_sides
    made: list[HipLandmarks] = []
    for one in given:
        center, radius = one.head_center_yx, one.head_radius_px
        if one.pelvis_yx is not None and one.femur_yx is not None:
            made.append(landmarks_outlined(one.side, one.pelvis_yx, one.femur_yx, center, radius))
        elif info.plane == "frontal" and center is not None and radius is not None:
            made.append(
                landmarks_at_head(
                    film.film, one.side, center, radius, film.labels_yx, both_sides=both
                )
            )
    # Two exposures on one plate are two pictures: no head of one is to be taken for the other's.
    if not any(f.code == "two_exposures" for f in film.findings):
        side = "B" if both else info.side
        known = {one.side for one in made}
        if info.shows_hip and not (known and side != "B"):
            sought = find_hip_landmarks(film.film, side, info.plane, film.labels_yx, settings.film)
            made += [one for one in sought if one.side not in known]
    return sorted(made, key=lambda one: one.side, reverse=True)


def _measured(
    film: FilmAnalysis, landmarks: Sequence[HipLandmarks], settings: Settings
) -> list[_Seen]:
    """The hips of a film that an outlined lesion lies about."""
    from hoimg.measure.film_hips import hips_on_film, lesions_about

    info = film.exam.film
    assert info is not None
    hips = hips_on_film(film.film, info.plane, film.labels_yx, landmarks, settings.film)
    if not hips:
        return []
    asked = np.zeros(film.labels_yx.shape, np.int64)
    for region in film.regions:
        if film.observations[region.label].status != "measured":
            asked[region.region_yx] = region.label
    hidden = lesions_about(landmarks, asked, settings.film)
    return [
        _Seen(film, hip, marks, bool(unseen))
        for hip, marks, unseen in zip(hips, landmarks, hidden, strict=True)
        if hip.labels
    ]


def _lateral_of(hip: _Seen, seen: Sequence[_Seen]) -> _Seen | None:
    """The same hip on a lateral film of the same day, that with the narrowest gap first."""
    if hip.hip.plane != "frontal":
        return None
    day = hip.film.exam.days_from_baseline
    fitting = [
        s
        for s in seen
        if s.hip.plane == "lateral"
        and s.hip.side == hip.hip.side
        and s.film.exam.days_from_baseline == day
    ]
    return min(fitting, key=_gap_first, default=None)


def _gap_first(seen: _Seen) -> float:
    gap = seen.hip.gap_mm if seen.hip.gap_px != 0 else 0.0
    return float("inf") if gap is None else gap


def _graded(
    seen: _Seen,
    lateral: _Seen | None,
    names: Mapping[tuple[str, int | None], str],
    settings: Settings,
) -> Hip:
    from hoimg.maturity.film_hip import FilmHipGrades, grade_film_hip

    hip, exam_id = seen.hip, seen.film.exam.exam_id
    doubtful = any(f.code == DOUBTFUL for f in (*seen.film.exam.findings, *seen.film.findings))
    if hip.plane == "lateral":
        grades = FilmHipGrades(None, None, None, ("view_not_frontal",))
    elif doubtful:
        grades = FilmHipGrades(None, None, None, (DOUBTFUL,))
    else:
        other = None if lateral is None else lateral.hip
        grades = grade_film_hip(hip, other, settings.maturity, settings.film)
        if lateral is None and grades.biplanar is None:
            grades = replace(grades, reasons=(*grades.reasons, NO_LATERAL))
        if seen.hidden or (lateral is not None and lateral.hidden):
            grades = _at_least(grades, seen.hidden)
    head = seen.landmarks
    return Hip(
        side=hip.side,
        labels=list(hip.labels),
        lesions=[names[exam_id, v] for v in hip.labels if (exam_id, v) in names],
        joined_to_pelvis=list(hip.joined_to_pelvis),
        joined_to_femur=list(hip.joined_to_femur),
        gap_mm=hip.gap_mm,
        gap_ci95_mm=hip.gap_ci95_mm,
        plane=hip.plane,
        overlying=list(hip.overlying),
        gap_px=hip.gap_px,
        gap_ends_yx=hip.gap_ends_yx,
        largest_island_mm=hip.largest_island_mm,
        head_centre_yx=head.head_center_yx,
        head_radius_px=None if head.head_radius_px is None else head.head_radius_px[1],
        landmarks=hip.landmarks,
        brooker=grades.brooker,
        della_valle=grades.della_valle,
        biplanar=grades.biplanar,
        lateral_exam=None if lateral is None else lateral.film.exam.exam_id,
        flags=list(dict.fromkeys((*hip.flags, *grades.reasons))),
    )


def _at_least(grades: FilmHipGrades, frontal: bool) -> FilmHipGrades:
    """What holds however far a lesion reaches that could not be outlined.

    It can only narrow the gap: a bridge stays one, and so does a class that is the narrowest.
    """
    reasons = (*grades.reasons, NOT_OUTLINED)
    biplanar = grades.biplanar if grades.biplanar == "2" else None
    if not frontal:
        return replace(grades, biplanar=biplanar, reasons=reasons)
    return replace(
        grades,
        brooker=grades.brooker if grades.brooker == "IV (apparent)" else None,
        della_valle=grades.della_valle if grades.della_valle == "C" else None,
        biplanar=biplanar,
        reasons=reasons,
    )


def _missing(film: FilmAnalysis) -> Finding:
    """That a hip was not graded for want of landmarks, and how to give them."""
    info = film.exam.film
    assert info is not None
    exam_id = film.exam.exam_id
    outlines = '"pelvis": [[X, Y], ...], "femur": [[X, Y], ...]'
    give = '"head": [X, Y, RADIUS]' if info.plane == "frontal" else outlines
    side = "" if info.side in ("R", "L") else '"side": "right", '
    if info.plane is None:
        why, give = "its view is not stated", ""
    elif info.plane == "oblique":
        why, give = "it is an oblique one", ""
    elif info.plane == "lateral":
        why = "on a lateral film bones are not looked for"
    elif any(f.code == "two_exposures" for f in film.findings):
        why = "two exposures lie on it"
    elif not (info.both_sides or info.side in ("R", "L")):
        why = "which side it shows is not stated"
    else:
        why = "no femoral head stands out clearly enough"
    return Finding(
        code=NO_LANDMARKS,
        level="info",
        message=f"A hip on this film was not measured and not graded: {why}.",
        fix="Give a frontal or lateral film whose header says so."
        if not give
        else f'Give landmarks in edits.json (--edits): {{"landmarks": [{{{side}{give}, '
        f'"exam_id": "{exam_id}"}}]}}, in pixels from the upper left corner.',
    )
