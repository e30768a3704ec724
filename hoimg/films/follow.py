"""The lesions of all films of a patient: tied over views and dates, compared, labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

from hoimg.films.series import changes_on_films
from hoimg.films.tie import key_of
from hoimg.follow import Course
from hoimg.results import Finding, Lesion, RegistrationSummary
from hoimg.settings import Settings

if TYPE_CHECKING:
    from hoimg.film_regions import PlacedRegion
    from hoimg.films.analysis import FilmAnalysis

Seen = list[tuple["FilmAnalysis", "PlacedRegion"]]


def film_lesions(
    films: Sequence[FilmAnalysis],
    course: Course,
    settings: Settings,
    scans: Sequence[Lesion],
    before: Mapping[str, str],
    used_ids: Collection[str] = (),
) -> tuple[list[Lesion], list[Finding], list[RegistrationSummary]]:
    """The lesions of films, with those of CT that a reader tied them to.

    Two films show one lesion where their regions have one tie (a label, a tracking UID, or what
    :func:`hoimg.films.tie.tied_films` found). Films that state opposite sides are never
    tied by a label. A tracking UID that a lesion of a CT has adds the films to that lesion; its
    label stays that of CT.

    Args:
        films: In date order, ties made.
        course: When all exams were made.
        settings: All of them.
        scans: The lesions of the CT exams.
        before: Tracking UID to lesion_id of an earlier report.
        used_ids: Each lesion_id of that report.

    Returns:
        The lesions of CT, with films added where tied, then those of films alone; findings; and
        how films were placed onto each other.
    """
    from hoimg.maturity import FilmFacts, assess_on_films

    groups, told = _groups(films, course.patient_key)
    by_uid = {lesion.tracking_uid: lesion for lesion in scans}
    order = {exam_id: k for k, exam_id in enumerate(course.days)}
    facts = {
        a.exam.exam_id: FilmFacts(
            a.exam.days_from_baseline, None if a.exam.film is None else a.exam.film.plane
        )
        for a in films
    }
    used = {*used_ids, *(lesion.lesion_id for lesion in scans)}
    numbers = (f"L{n}" for n in count(1))
    made: list[Lesion] = []
    placements: list[RegistrationSummary] = []
    for uid, seen in groups.items():
        observations = [a.observations[r.label] for a, r in seen]
        changes, placed = changes_on_films(seen, settings.film, uid)
        placements += placed
        if (partner := by_uid.get(uid)) is not None:
            both = [*partner.observations, *observations]
            both.sort(key=lambda o: order[o.exam_id])
            by_uid[uid] = partner.model_copy(
                update={"observations": both, "changes": [*partner.changes, *changes]}
            )
            continue
        name = before.get(uid)
        if name is None or any(name == lesion.lesion_id for lesion in (*scans, *made)):
            name = next(n for n in numbers if n not in used)
            used.add(name)
        made.append(
            Lesion(
                lesion_id=name,
                tracking_uid=uid,
                observations=observations,
                changes=changes,
                maturity=assess_on_films(
                    observations,
                    changes,
                    facts,
                    settings.maturity,
                    baseline_date=course.baseline_date,
                    onset_day=course.onset_day,
                ),
            )
        )
    return [*(by_uid[lesion.tracking_uid] for lesion in scans), *made], told, placements


def _groups(
    films: Sequence[FilmAnalysis], patient_key: str
) -> tuple[dict[str, Seen], list[Finding]]:
    """What each film shows of each lesion, by its tracking UID.

    A label and the UID that an earlier report made of it are one lesion.
    """
    sides: dict[str, set[str]] = {}
    for film in films:
        for region in film.regions:
            side = film.exam.film.side if film.exam.film is not None else None
            if region.ties is not None and side in ("R", "L"):
                sides.setdefault(region.ties, set()).add(side)
    groups: dict[str, Seen] = {}
    apart: set[str] = set()
    for film in films:
        info = film.exam.film
        assert info is not None
        for region in film.regions:
            key = key_of(film, region)
            if key.startswith("label:") and len(sides.get(key, ())) > 1:
                apart.add(key)
                key = f"{key}|{info.side or film.exam.exam_id}"
            groups.setdefault(_uid(patient_key, key), []).append((film, region))
    told = [
        Finding(
            code="label_on_both_sides",
            level="warning",
            message=f"Regions with {key.replace(':', ' ')} lie on films of the right and of the "
            "left side: they were taken for different lesions.",
            fix="Give lesions of different sides different labels.",
        )
        for key in sorted(apart)
    ]
    return groups, told


def _uid(patient_key: str, key: str) -> str:
    """A UID under 2.25 (derived from a hash): no two runs and no two machines differ."""
    if key.startswith("uid:"):
        return key.removeprefix("uid:")
    digest = hashlib.sha256(f"{patient_key}|{key}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
