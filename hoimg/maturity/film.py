"""The label of a lesion that only films show: what projections can say, and no more.

Mature needs two projections and two dates; with less, a lesion whose contour is corticated and
sharp is at most mature-appearing. A shadow tells nothing of marrow inside or of zoning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from hoimg.maturity.followup import STILL_A_PRIOR
from hoimg.maturity.gate import gate_fov, gate_metal, gate_mimic
from hoimg.maturity.history import mature_since
from hoimg.maturity.label import Evidence, decide, earliest_day, never_measured
from hoimg.maturity.rules import Limits, margin_limits, r5_age, rim_limits
from hoimg.maturity.wording import summarise
from hoimg.results import (
    Change,
    Criterion,
    CriterionResult,
    FollowUp,
    Label,
    LabelAt,
    Maturity,
    Need,
    Observation,
)
from hoimg.settings import MaturitySettings

DEFAULT = "default (engineering choice)"
PROJECTIONS = 2
_GATE = {
    "gate.metal": "near_metal",
    "gate.fov": "cut_by_field_of_view",
    "gate.mimic": "mimic_suspected",
    "gate.polarity": "polarity_doubtful",
}


@dataclass(frozen=True)
class FilmFacts:
    """When and how one film was made.

    Attributes:
        day: Days from baseline.
        plane: ``frontal``, ``lateral`` or ``oblique``; None where it is not stated.
    """

    day: int
    plane: str | None


def assess_on_films(
    observations: Sequence[Observation],
    changes: Sequence[Change],
    films: Mapping[str, FilmFacts],
    settings: MaturitySettings | None = None,
    *,
    baseline_date: date | None = None,
    onset_day: int | None = None,
) -> Maturity:
    """Label one lesion by its films, at the latest date on which one measured it.

    - Gate: wholly in the field, no mimic, no metal near, polarity certain, projected area of at
      least ``film_min_area_mm2``; on every film of that date.
    - R1: ``corticated_fraction`` against ``rim_pass`` and ``rim_fail``; R2: ``edge_ratio``. A rule
      passes (fails) when it passes (fails) on every film of that date.
    - R4: the area within its repeatability coefficient since a comparable film of the same plane
      at least ``serial_min_days`` before, for each plane of the date, of which there are two.
      An increase beyond it, in any plane, fails.

    R3 and R6 cannot be rated on a shadow. The label logic is that of CT
    (:func:`hoimg.maturity.decide`).

    Args:
        observations: Of this lesion, one per film.
        changes: Its changes of area.
        films: By exam_id.
        settings: Thresholds; defaults when None.
        baseline_date: Date of day 0.
        onset_day: Known onset in days from baseline.

    Raises:
        KeyError: when an observation's exam has no entry in ``films``.
    """
    settings = settings or MaturitySettings()
    ordered = sorted(observations, key=lambda o: films[o.exam_id].day)
    measured = [o for o in ordered if o.status == "measured"]
    if not measured:
        return never_measured(ordered)
    now = _assess(measured, changes, films, settings, baseline_date, onset_day)
    history = []
    for day in sorted({films[o.exam_id].day for o in measured}):
        known = [o for o in measured if films[o.exam_id].day <= day]
        past = [c for c in changes if films[c.to_exam].day <= day]
        found = _assess(known, past, films, settings, None, onset_day)
        history.append(
            LabelAt(exam_id=found.exam_id or "", day=day, label=found.label, reasons=found.reasons)
        )
    since = mature_since(now, history)
    return now.model_copy(update={"history": history, "mature_since_exam": since})


def _assess(
    measured: Sequence[Observation],
    changes: Sequence[Change],
    films: Mapping[str, FilmFacts],
    settings: MaturitySettings,
    baseline_date: date | None,
    onset_day: int | None,
) -> Maturity:
    day = films[measured[-1].exam_id].day
    judged = [o for o in measured if films[o.exam_id].day == day]
    gate = _gate(judged, settings)
    reasons_of_gate = _gate_reasons(gate)
    r1 = _on_each(
        "R1",
        "corticated contour",
        "fraction of the outline",
        [o.corticated_fraction for o in judged],
        rim_limits(settings),
    )
    r2 = _on_each(
        "R2",
        "sharp margin",
        "times the edge of cortex on the same film",
        [o.edge_ratio for o in judged],
        margin_limits(settings),
    )
    r4, r4_reasons = _serial(judged, measured, changes, films, settings)
    r5 = r5_age(None if onset_day is None else day - onset_day, settings)
    evidence = Evidence(
        reasons_of_gate, r1.result, r2.result, r4.result, r4_reasons, r5.result, "unrated"
    )
    label, reasons = decide(evidence)
    follow = _follow_up(label, reasons_of_gate, day, onset_day, settings, baseline_date)
    return Maturity(
        label=label,
        exam_id=judged[0].exam_id,
        reasons=reasons,
        summary=summarise(
            label,
            reasons,
            day=day,
            followup_day=None if follow is None else follow.earliest_day,
            when=None if follow is None else follow.earliest_date,
            note="judged on films alone",
        ),
        criteria=[
            *gate,
            _projections(judged, films),
            r1,
            r2,
            _unrated("R3", "marrow inside (supportive only)", "a shadow does not show the inside"),
            r4,
            r5,
            _unrated("R6", "no reverse zoning", "a shadow does not show zones"),
        ],
        earliest_informative_followup=None if follow is None else follow.earliest_date,
        earliest_informative_followup_day=None if follow is None else follow.earliest_day,
        followup=follow,
    )


def _gate(judged: Sequence[Observation], settings: MaturitySettings) -> list[Criterion]:
    """Each check at its worst film."""
    limit = settings.film_min_area_mm2
    areas = [o.area_mm2 for o in judged]
    least = None if None in areas else min(a for a in areas if a is not None)
    doubtful = any("polarity_doubtful" in o.flags for o in judged)
    return [
        Criterion(
            id="gate.area",
            name="projected area",
            value=least,
            unit="mm2",
            pass_at=f">= {limit:g}",
            fail_at=f"< {limit:g}",
            result="unrated" if least is None else "pass" if least >= limit else "fail",
            evidence=DEFAULT,
            note="no pixel size that can be trusted" if least is None else "",
        ),
        *(
            _worst([check(o) for o in judged])
            for check in (lambda o: _metal(o, settings), gate_fov, gate_mimic)
        ),
        Criterion(
            id="gate.polarity",
            name="doubt whether bone is light or dark",
            value=float(doubtful),
            unit=None,
            pass_at="absent",
            fail_at="present",
            result="fail" if doubtful else "pass",
            evidence=DEFAULT,
        ),
    ]


def _metal(observation: Observation, settings: MaturitySettings) -> Criterion:
    """As on CT, without the claim that there is none: on a film it is not looked for."""
    found = gate_metal(observation, settings)
    return found.model_copy(update={"note": "none flagged"}) if found.result == "pass" else found


def _worst(found: Sequence[Criterion]) -> Criterion:
    order: tuple[CriterionResult, ...] = ("fail", "unrated", "intermediate", "pass")
    return min(found, key=lambda c: order.index(c.result))


def _gate_reasons(gate: Sequence[Criterion]) -> list[str]:
    reasons = []
    for c in gate:
        if c.id == "gate.area" and c.result != "pass":
            reasons.append("too_small_to_judge" if c.result == "fail" else "area_not_measured")
        elif c.result == "fail":
            reasons.append(_GATE[c.id])
        elif c.result == "unrated":
            reasons.append("field_of_view_unknown")
    return reasons


def _projections(judged: Sequence[Observation], films: Mapping[str, FilmFacts]) -> Criterion:
    planes = _planes(judged, films)
    unknown = sum(films[o.exam_id].plane is None for o in judged)
    return Criterion(
        id="films.projections",
        name="projections on that day",
        value=float(len(planes)),
        unit=None,
        pass_at=f">= {PROJECTIONS}",
        fail_at=f"< {PROJECTIONS}",
        result="pass" if len(planes) >= PROJECTIONS else "fail",
        evidence=DEFAULT,
        note=", ".join(planes) + (f"; {unknown} of unknown projection" if unknown else ""),
    )


def _planes(judged: Sequence[Observation], films: Mapping[str, FilmFacts]) -> list[str]:
    return sorted({p for o in judged if (p := films[o.exam_id].plane) is not None})


def _together(results: Sequence[CriterionResult]) -> CriterionResult:
    """What all films say; unrated where one cannot say, between where they differ."""
    if len(set(results)) == 1:
        return results[0]
    return "unrated" if "unrated" in results else "intermediate"


def _on_each(
    id_: str, name: str, unit: str, values: Sequence[float | None], limits: Limits
) -> Criterion:
    """A rule on every film: with the least ripe value, and what they say together."""
    known = [v for v in values if v is not None]
    worst = min(known, default=None) if limits.upwards else max(known, default=None)
    result = _together([limits.rate(v) for v in values])
    return limits.criterion(id_, name, worst, unit, result, _each(values))


def _each(values: Sequence[float | None]) -> str:
    """The value of every film where there are several; that it is missing where there is none."""
    if all(v is None for v in values):
        return "not measured"
    if len(values) == 1:
        return ""
    return "each film: " + ", ".join("not measured" if v is None else f"{v:.2f}" for v in values)


def _serial(
    judged: Sequence[Observation],
    measured: Sequence[Observation],
    changes: Sequence[Change],
    films: Mapping[str, FilmFacts],
    settings: MaturitySettings,
) -> tuple[Criterion, list[str]]:
    """R4 on films, and the reasons for its result."""
    day = films[judged[0].exam_id].day
    ids = {o.exam_id for o in judged}
    known = [
        c
        for c in changes
        if c.to_exam in ids
        and c.comparable
        and c.area_change_pct is not None
        and c.area_rc_pct is not None
        and films[c.from_exam].plane == films[c.to_exam].plane is not None
    ]
    grown = [c for c in known if (c.area_change_pct or 0.0) > (c.area_rc_pct or 0.0)]
    old = [c for c in known if day - films[c.from_exam].day >= settings.serial_min_days]
    planes = _planes(judged, films)
    shown = {films[c.to_exam].plane for c in old}
    result: CriterionResult = "unrated"
    reasons: list[str] = []
    if grown:
        result, reasons = "fail", ["area_increase"]
    elif len(planes) >= PROJECTIONS and shown.issuperset(planes):
        result = "pass"
        shrunk = any((c.area_change_pct or 0.0) < -(c.area_rc_pct or 0.0) for c in old)
        reasons = ["regressing" if shrunk else "no_detectable_area_change"]
    else:
        if len(planes) < PROJECTIONS:
            reasons.append("one_projection")
        before = [day - films[o.exam_id].day for o in measured if films[o.exam_id].day < day]
        if not before:
            reasons.append("stability_untested")
        elif max(before) < settings.serial_min_days:
            reasons.append("interval_too_short")
        elif not shown.issuperset(planes) or not planes:
            reasons.append("area_not_compared")
    worst = max(grown or old, key=lambda c: c.area_change_pct or 0.0, default=None)
    limit = None if worst is None else worst.area_rc_pct
    criterion = Criterion(
        id="R4",
        name="projected area over time",
        value=None if worst is None else worst.area_change_pct,
        unit="percent",
        pass_at=f">= {settings.serial_min_days} days, increase <= RC"
        + ("" if limit is None else f" ({limit:.0f} %), in {PROJECTIONS} projections"),
        fail_at="increase > RC",
        result=result,
        evidence=DEFAULT,
        note="" if result != "unrated" else ", ".join(r.replace("_", " ") for r in reasons),
    )
    return criterion, reasons


def _unrated(id_: str, name: str, note: str) -> Criterion:
    return Criterion(
        id=id_,
        name=name,
        value=None,
        unit=None,
        pass_at=None,
        fail_at=None,
        result="unrated",
        evidence="not rated on films",
        note=note,
    )


def _follow_up(
    label: Label,
    gate_reasons: Sequence[str],
    day: int,
    onset_day: int | None,
    settings: MaturitySettings,
    baseline_date: date | None,
) -> FollowUp | None:
    """When stability could be rated, and by what."""
    if label == "mature":
        return None
    if "mimic_suspected" in gate_reasons:
        return FollowUp(flags=["mimic_not_settled_by_follow_up"])
    if not STILL_A_PRIOR.issuperset(gate_reasons):
        return None
    earliest = earliest_day(day, onset_day, settings)
    return FollowUp(
        earliest_day=earliest,
        earliest_date=None if baseline_date is None else baseline_date + timedelta(earliest),
        scans=1,
        needs=[
            Need(
                code="two_projections",
                text="films in two projections, placed and made as those before; a projection that "
                "was not made before starts anew",
            ),
            Need(code="or_ct", text="or a CT, which shows rim and inside, to start from"),
        ],
    )
