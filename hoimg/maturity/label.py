"""From criteria to the label, its reasons, and the day from which stability could be rated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from hoimg.maturity.followup import STILL_A_PRIOR, follow_up
from hoimg.maturity.gate import gate, gate_reasons
from hoimg.maturity.rules import r1_rim, r2_margin, r3_inside, r5_age, r6_zoning
from hoimg.maturity.stability import r4_serial
from hoimg.maturity.wording import summarise
from hoimg.results import (
    Acquisition,
    Change,
    Criterion,
    CriterionResult,
    Label,
    Maturity,
    Observation,
)
from hoimg.settings import MaturitySettings

WITHOUT_FOLLOWUP = frozenset({"resolved", "merged_into_another", "red_flag_reverse_zoning"})
"""Reasons after which no follow-up date is named for this lesion."""


@dataclass(frozen=True)
class Evidence:
    """What the label is decided from; see :func:`decide`."""

    gate_reasons: Sequence[str]
    r1: CriterionResult
    r2: CriterionResult
    r4: CriterionResult
    r4_reasons: Sequence[str]
    r5: CriterionResult
    r6: CriterionResult


def decide(evidence: Evidence) -> tuple[Label, list[str]]:
    """The label logic, to the letter.

    - MATURE: gate, R1, R2 and R4 pass; R5 not violated; no flag.
    - IMMATURE: gate passes, no flag, and either a real increase (R4 fails) or both R1 and R2 fail.
      Growth beats morphology.
    - INDETERMINATE: everything else.

    Returns:
        The label and its reason codes, most important first.
    """
    withheld = ["red_flag_reverse_zoning"] if evidence.r6 == "fail" else []
    withheld += list(evidence.gate_reasons)
    if withheld:
        return "indeterminate", withheld
    if evidence.r4 == "fail":
        return "immature", list(evidence.r4_reasons)
    if evidence.r1 == "fail" and evidence.r2 == "fail":
        return "immature", ["rim_and_margin_absent"]
    both = evidence.r1 == "pass" and evidence.r2 == "pass"
    if both and evidence.r4 == "pass" and evidence.r5 != "fail":
        return "mature", ["rim_complete", "margin_sharp", *evidence.r4_reasons]
    reasons = []
    if evidence.r5 == "fail":
        reasons.append("age_below_limit")
    if both and evidence.r4 == "unrated":
        reasons.append("mature_appearing")
    if {evidence.r1, evidence.r2} == {"pass", "fail"}:
        reasons.append("rim_and_margin_contradict")
    reasons += _morphology_reason("rim", evidence.r1) + _morphology_reason("margin", evidence.r2)
    if evidence.r4 == "unrated":
        reasons += evidence.r4_reasons
    return "indeterminate", reasons


def assess(
    observations: Sequence[Observation],
    changes: Sequence[Change],
    acquisitions: Mapping[str, Acquisition],
    days: Mapping[str, int],
    settings: MaturitySettings | None = None,
    *,
    baseline_date: date | None = None,
    onset_day: int | None = None,
) -> Maturity:
    """Label one lesion at the latest exam in which it was measured.

    Args:
        observations: Of this lesion, at most one per exam, in any order.
        changes: Of this lesion, as :func:`hoimg.serial.track` gives them.
        acquisitions: By exam_id; an exam without one has an unknown slice thickness.
        days: Days from baseline by exam_id.
        settings: Thresholds; defaults when None.
        baseline_date: Date of day 0, to name the follow-up as a date.
        onset_day: Known onset (injury, operation) in days from baseline, may be negative.

    Returns:
        Label, reasons, every criterion, and the earliest day from which R4 could be rated.

    Raises:
        KeyError: when an observation's exam has no entry in ``days``.
    """
    settings = settings or MaturitySettings()
    ordered = sorted(observations, key=lambda o: days[o.exam_id])
    measured = [o for o in ordered if o.status == "measured"]
    # A radiograph gives no volume; it must not hide the CT before it.
    volumes = [o for o in measured if o.volume_mm3 is not None or o.area_mm2 is None]
    if not measured:
        return never_measured(ordered)
    latest = (volumes or measured)[-1]
    acquisition = acquisitions.get(latest.exam_id, Acquisition())
    day = days[latest.exam_id]
    passed = gate(latest, acquisition, settings)
    r1 = r1_rim(latest, acquisition, settings)
    r2 = r2_margin(latest, acquisition, settings)
    r4 = r4_serial(latest.exam_id, {o.exam_id: o for o in ordered}, changes, days, settings)
    r5 = r5_age(None if onset_day is None else day - onset_day, settings)
    r6 = r6_zoning(latest, settings)
    evidence = Evidence(
        gate_reasons(passed), r1.result, r2.result, r4.result, r4.reasons, r5.result, r6.result
    )
    label, reasons = decide(evidence)
    label, reasons, note = _after(ordered, latest, label, reasons, days)
    followup = _followup_day(label, reasons, evidence.gate_reasons, day, onset_day, settings)
    when = None
    if followup is not None and baseline_date is not None:
        when = baseline_date + timedelta(days=followup)
    criteria: list[Criterion] = [*passed, r1, r2, r3_inside(latest, settings), *r4.criteria, r5, r6]
    return Maturity(
        label=label,
        exam_id=latest.exam_id,
        reasons=reasons,
        summary=summarise(
            label,
            reasons,
            day=day,
            followup_day=followup,
            when=when,
            note=note,
            limits=r4.limits,
        ),
        criteria=criteria,
        stage_ledermann=stage(evidence, label, reasons),
        earliest_informative_followup=when,
        earliest_informative_followup_day=followup,
        followup=follow_up(
            latest,
            acquisition,
            label,
            reasons,
            evidence.gate_reasons,
            day,
            earliest_day(day, onset_day, settings),
            settings,
            baseline_date=baseline_date,
        ),
    )


def never_measured(ordered: Sequence[Observation]) -> Maturity:
    """Of a lesion that no exam measured.

    Args:
        ordered: Its observations in date order; the label speaks of the last one.
    """
    return Maturity(
        label="indeterminate",
        exam_id=ordered[-1].exam_id if ordered else None,
        reasons=["never_measured"],
        summary=summarise("indeterminate", ["never_measured"]),
        criteria=[],
    )


def stage(evidence: Evidence, label: Label, reasons: Sequence[str]) -> int | None:
    """Approximate Ledermann 2002 grade of a lesion seen on CT.

    4 (mature ossification) when rim and margin pass and nothing grows; 2 (calcification) when
    both fail; 3 (immature ossification) otherwise. None when the lesion was not judged: gate or
    red flag, rim or margin unrated, or gone at a later exam. Grade 1 has no mineral and is not
    seen here.
    """
    rated = "unrated" not in (evidence.r1, evidence.r2)
    if evidence.gate_reasons or evidence.r6 == "fail" or not rated:
        return None
    if {"resolved", "merged_into_another"}.intersection(reasons):
        return None
    if evidence.r1 == "fail" and evidence.r2 == "fail":
        return 2
    if evidence.r1 == "pass" and evidence.r2 == "pass" and label != "immature":
        return 4
    return 3


def _morphology_reason(name: str, result: CriterionResult) -> list[str]:
    codes = {"unrated": "unrated", "intermediate": "intermediate", "fail": "absent"}
    return [f"{name}_{codes[result]}"] if result in codes else []


def _after(
    ordered: Sequence[Observation],
    latest: Observation,
    label: Label,
    reasons: list[str],
    days: Mapping[str, int],
) -> tuple[Label, list[str], str]:
    """What exams after the one judged mean for its label.

    Gone: nothing is left to label. Out of view: the label stands for its own exam and the reader
    is told. Not matched for any other reason: the later exam may show it grown, so nothing is said.
    """
    later = [o for o in ordered if days[o.exam_id] > days[latest.exam_id]]
    later = [o for o in later if o.status != "measured"]
    if not later:
        return label, reasons, ""
    if any(o.status == "absent" for o in later):
        return "indeterminate", ["resolved"], ""
    if all("outside_fov" in o.flags for o in later):
        return (
            label,
            [*reasons, "not_in_view_later"],
            f"not in view on day {days[later[-1].exam_id]}",
        )
    if any(flag.startswith("merged_into:") for o in later for flag in o.flags):
        return "indeterminate", ["merged_into_another"], ""
    return "indeterminate", ["not_followed_later", *reasons], ""


def _followup_day(
    label: Label,
    reasons: Sequence[str],
    gate_reasons: Sequence[str],
    day: int,
    onset_day: int | None,
    settings: MaturitySettings,
) -> int | None:
    """Earliest day from which an exam made like the one judged could rate R4 (and R5).

    At least ``serial_min_days`` after the exam judged, because only an interval after it says
    anything about the lesion as it is now. None for a mature, resolved or red-flag lesion, and
    where the exam judged could not serve as the prior (too thick, cut, disturbed).
    """
    if label == "mature" or WITHOUT_FOLLOWUP.intersection(reasons):
        return None
    if not STILL_A_PRIOR.issuperset(gate_reasons):
        return None
    return earliest_day(day, onset_day, settings)


def earliest_day(day: int, onset_day: int | None, settings: MaturitySettings) -> int:
    """First day on which an exam could rate stability since ``day``, and age where it is known."""
    earliest = day + settings.serial_min_days
    if onset_day is not None:
        earliest = max(earliest, onset_day + settings.age_min_days)
    return earliest
