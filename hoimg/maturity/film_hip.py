"""Grades of a hip on films: Brooker's and Della Valle's from the front, biplanar with a lateral.

A bridge is an "apparent" one: shadows may only lie over each other. Beside every grade stands the
gap, since readers agree poorly on the grade alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hoimg.maturity.hip import BY_GAP, Brooker, DellaValle, Gap, gap_class
from hoimg.measure.film_hips import FilmHip
from hoimg.settings import MaturitySettings
from hoimg.settings.film import FilmSettings

Biplanar = Literal["1", "borderline 1/2", "2"]
Grades = tuple[Brooker | None, DellaValle | None]


@dataclass(frozen=True)
class FilmHipGrades:
    """Grades of one hip.

    Attributes:
        brooker: From a frontal film; None with a reason.
        della_valle: Likewise.
        biplanar: From a frontal and a lateral film; 2 where either shows a narrow gap.
        reasons: Why a grade is None, and what it was made of that has to be known:
            ``view_not_frontal``, ``gap_not_in_mm``, ``island_size_not_in_mm``,
            ``island_size_not_corrected``, ``lesion_overlies_bone``, ``magnification_assumed``,
            ``lateral_gap_unknown``, ``no_ossification_joined``.
    """

    brooker: Brooker | None
    della_valle: DellaValle | None
    biplanar: Biplanar | None
    reasons: tuple[str, ...]


def grade_film_hip(
    frontal: FilmHip,
    lateral: FilmHip | None = None,
    settings: MaturitySettings | None = None,
    film_settings: FilmSettings | None = None,
) -> FilmHipGrades:
    """Grade a hip.

    Args:
        frontal: As measured on an AP film.
        lateral: The same hip of the same day on a lateral film; None without one.
        settings: Limit of the gap, and how near to it is borderline; defaults when None.
        film_settings: Usual magnification; defaults when None.
    """
    settings = settings or MaturitySettings()
    film_settings = film_settings or FilmSettings()
    if frontal.plane != "frontal":
        return FilmHipGrades(None, None, None, ("view_not_frontal",))
    joined = bool(frontal.joined_to_pelvis or frontal.joined_to_femur)
    gap = film_gap_class(frontal, settings, film_settings)
    told: Grades
    if gap is not None:
        told = BY_GAP[gap]
        reasons = ["magnification_assumed"] if "gap_at_detector" in frontal.flags else []
    elif joined:
        told, reasons = (None, None), ["gap_not_in_mm"]
    else:
        told, reasons = _islands(frontal, settings, film_settings)
    biplanar, why = _biplanar(gap, joined, lateral, settings, film_settings)
    return FilmHipGrades(*told, biplanar, (*reasons, *why))


def film_gap_class(
    hip: FilmHip, settings: MaturitySettings, film_settings: FilmSettings
) -> Gap | None:
    """On which side of the limit a gap on a film lies; None where it is not known in mm.

    A gap at the detector is classed with the least and the largest usual magnification: where they
    disagree it is borderline.
    """
    if hip.gap_px == 0:
        return "bridged"
    if hip.gap_mm is None:
        return None
    if not _uncorrected(hip):
        return gap_class(hip.gap_mm, settings)
    classes = {gap_class(hip.gap_mm / m, settings) for m in film_settings.hip_usual_magnification}
    return classes.pop() if len(classes) == 1 else "borderline"


def _islands(
    hip: FilmHip, settings: MaturitySettings, film_settings: FilmSettings
) -> tuple[Grades, list[str]]:
    """Ossification that is joined to neither bone, or none at all."""
    if not hip.labels:
        return ("0", "A"), []
    if hip.overlying:
        return (None, None), ["lesion_overlies_bone"]
    if hip.largest_island_mm is None:
        return ("I", None), ["island_size_not_in_mm"]
    factors = film_settings.hip_usual_magnification if _uncorrected(hip) else (1.0,)
    large = {hip.largest_island_mm / m >= settings.hip_gap_limit_mm for m in factors}
    if len(large) > 1:
        return ("I", None), ["island_size_not_corrected"]
    why = ["magnification_assumed"] if _uncorrected(hip) else []
    return ("I", "B" if large.pop() else "A"), why


def _uncorrected(hip: FilmHip) -> bool:
    return hip.spacing_source == "detector_uncorrected"


def _biplanar(
    gap: Gap | None,
    joined: bool,
    lateral: FilmHip | None,
    settings: MaturitySettings,
    film_settings: FilmSettings,
) -> tuple[Biplanar | None, list[str]]:
    if lateral is not None and lateral.plane != "lateral":
        raise ValueError("the second view is no lateral film")
    other = None if lateral is None else film_gap_class(lateral, settings, film_settings)
    if any(g in ("narrow", "bridged") for g in (gap, other)):
        return "2", []
    if lateral is None:
        return None, []
    if not joined:
        return None, ["no_ossification_joined"]
    if gap is None:
        return None, []
    if other is None:
        return None, ["lateral_gap_unknown"]
    return ("1" if gap == other == "wide" else "borderline 1/2"), []
