"""The patient as a whole: totals over all lesions at each exam, and how they change.

A total is a sum over what could be measured. Lesions that could not are named beside it, and a
total without them is marked incomplete: never silently smaller. Totals of two exams are compared
over the same lesions only; less ossification is a negative change, which is never clipped. The
volume of new lesions is a volume, so it cannot be negative.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from hoimg.results import (
    Exam,
    ExamTotal,
    LeftOut,
    Lesion,
    Observation,
    RegionTotal,
    TotalChange,
    Totals,
)
from hoimg.serial.change import comparability, incomparable_in
from hoimg.serial.repeatability import Measured, allowed, allowed_pct, rc_volume_pct
from hoimg.settings import SerialSettings

DAYS_PER_YEAR = 365.25
FIELDS = ("volume_mm3", "volume_ci95_mm3")
ELSEWHERE = ("merged_into:", "part_of:")
"""Flags of a lesion that is counted as part of another one."""
UNMATCHED = "registration_rejected"
"""Flag of a lesion that could not be looked for in an exam: what is there is counted all the same,
under the name that it has there, so that the sum lacks nothing; a change cannot be told."""

Seen = Mapping[str, Mapping[str, Observation]]
"""Observations by exam_id, then by lesion_id."""


def totals_of(
    exams: Sequence[Exam],
    lesions: Sequence[Lesion],
    settings: SerialSettings,
    *,
    unread: Collection[str] = (),
) -> Totals:
    """Totals of a patient.

    Args:
        exams: In date order, with their hips.
        lesions: Tracked.
        settings: Repeatability and comparability.
        unread: exam_id of exams whose pixels could not be read.
    """
    regions = {lesion.lesion_id: _region(lesion, exams) for lesion in lesions}
    seen: Seen = {
        exam.exam_id: {
            lesion.lesion_id: o
            for lesion in lesions
            for o in lesion.observations
            if o.exam_id == exam.exam_id
        }
        for exam in exams
    }
    names = {lesion_id: region for lesion_id, (region, _) in regions.items()}
    found: list[ExamTotal] = []
    for k, exam in enumerate(exams):
        closed = exam.exam_id in unread
        before = [e for e in exams[:k] if e.exam_id not in unread]
        total = _at(exam.exam_id, seen[exam.exam_id], lesions, unread=closed, baseline=not before)
        if not closed:
            priors = (before[-1], before[0]) if before else None
            parts = [
                _in_region(name, [k for k, r in names.items() if r == name], total, exam, priors,
                           seen, settings)
                for name in sorted(set(names.values()), key=lambda r: (r is None, r or ""))
            ]  # fmt: skip
            total = total.model_copy(
                update={**_since(exam, priors, seen, settings), "regions": parts}
            )
        found.append(total)
    return Totals(
        exams=found,
        region_of=names,
        region_source={lesion_id: source for lesion_id, (_, source) in regions.items()},
    )


def _region(lesion: Lesion, exams: Sequence[Exam]) -> tuple[str | None, str]:
    """Where a lesion lies, as far as CT tells, and what told it; else None and why."""
    hips = [(e, h) for e in exams for h in e.hips if lesion.lesion_id in h.lesions]
    sides = {h.side for _, h in hips}
    if len(sides) == 1:
        return f"{sides.pop()} hip", "hip_in_view"
    measured = {o.exam_id for o in lesion.observations if o.status == "measured"}
    stated = {
        part.strip().lower()
        for e in exams
        if e.exam_id in measured and (part := e.acquisition.body_part) and part.strip()
    }
    if len(stated) == 1:
        return stated.pop(), "dicom_body_part"
    return None, "body_parts_differ" if stated else "no_region_known"


def _at(
    exam_id: str,
    seen: Mapping[str, Observation],
    lesions: Sequence[Lesion],
    *,
    unread: bool,
    baseline: bool,
) -> ExamTotal:
    """The sums of one exam; ``baseline``: no exam before it was read."""
    if unread:
        return ExamTotal(
            exam_id=exam_id,
            lesions=0,
            complete=False,
            not_evaluable=[LeftOut(lesion_id=k, reasons=["exam_unreadable"]) for k in seen],
            flags=["exam_unreadable"],
        )
    counted = {k: o for k, o in seen.items() if _has_volume(o)}
    missing = [
        LeftOut(lesion_id=k, reasons=list(o.flags) or ["not_measured"])
        for k, o in seen.items()
        if k not in counted and o.status != "absent" and not _within(o) and UNMATCHED not in o.flags
    ]
    unmatched = any(UNMATCHED in o.flags for o in seen.values())
    cut = [
        LeftOut(lesion_id=k, reasons=["touches_fov"]) for k, o in counted.items() if o.touches_fov
    ]
    changed = {
        x.lesion_id: {c.category for c in x.changes if c.to_exam == exam_id} for x in lesions
    }
    fresh = [k for k in counted if "new" in changed[k]]
    ever_new = {x.lesion_id for x in lesions if any(c.category == "new" for c in x.changes)}
    since_start = [k for k in counted if k in ever_new]
    firsts = {x.lesion_id: _first(x) for x in lesions}
    nothing = not counted and bool(missing)
    volume, volume_ci = _sums(counted.values(), "volume_mm3", "volume_ci95_mm3")
    mass, mass_ci = _sums(counted.values(), "mineral_mass_hu_mm3", "mineral_mass_ci95_hu_mm3")
    return ExamTotal(
        exam_id=exam_id,
        lesions=len(counted),
        volume_mm3=None if nothing else volume,
        volume_ci95_mm3=None if nothing else volume_ci,
        mineral_mass_hu_mm3=None if nothing else mass,
        mineral_mass_ci95_hu_mm3=None if nothing else mass_ci,
        complete=not missing and not cut,
        not_evaluable=[*missing, *cut],
        new_lesions=fresh,
        new_volume_mm3=None if baseline else _volume_of(fresh, counted),
        new_since_baseline=since_start,
        new_since_baseline_volume_mm3=None if baseline else _volume_of(since_start, counted),
        first_in_view=[
            k
            for k in counted
            if not baseline and firsts[k] == exam_id and not {"new", "split"} & changed[k]
        ],
        resolved=[k for k in seen if "resolved" in changed[k]],
        flags=[
            *(["nothing_evaluable"] if nothing else []),
            *(["lesions_not_matched"] if unmatched else []),
        ],
    )


def _in_region(
    name: str | None,
    ids: Sequence[str],
    total: ExamTotal,
    exam: Exam,
    priors: tuple[Exam, Exam] | None,
    seen: Seen,
    settings: SerialSettings,
) -> RegionTotal:
    """The part of an exam's total that lies in one region."""
    here = {k: o for k, o in seen[exam.exam_id].items() if k in ids}
    counted = {k: o for k, o in here.items() if _has_volume(o)}
    lacking = any(x.lesion_id in ids for x in total.not_evaluable)
    volume, interval = _sums(counted.values(), *FIELDS)
    nothing = not counted and lacking
    only: Seen = {e: {k: o for k, o in of.items() if k in ids} for e, of in seen.items()}
    fresh = [k for k in total.new_lesions if k in ids]
    return RegionTotal(
        region=name,
        lesions=list(counted),
        volume_mm3=None if nothing else volume,
        volume_ci95_mm3=None if nothing else interval,
        new_volume_mm3=None if priors is None else _volume_of(fresh, counted),
        complete=not lacking,
        **_since(exam, priors, only, settings),
    )


def _since(
    exam: Exam, priors: tuple[Exam, Exam] | None, seen: Seen, settings: SerialSettings
) -> dict[str, TotalChange]:
    """The changes since the exam before and since the first one that was read."""
    if priors is None:
        return {}
    previous, baseline = (_change(e, exam, seen, settings) for e in priors)
    return {"since_previous": previous, "since_baseline": baseline}


def _change(earlier: Exam, later: Exam, seen: Seen, settings: SerialSettings) -> TotalChange:
    """The total of the later exam minus that of the earlier one, over the same lesions."""
    days = later.days_from_baseline - earlier.days_from_baseline
    before, after = seen[earlier.exam_id], seen[later.exam_id]
    names = list(dict.fromkeys([*before, *after]))
    left: dict[str, list[str]] = {}
    for k in names:
        reasons = _not_compared(before.get(k), after.get(k), settings)
        if reasons:
            left[k] = reasons
    for group in _joined(names, before, after):
        if any(k in left for k in group):
            left |= {k: left.get(k, ["part_not_measured"]) for k in group}
    kept = [k for k in names if k not in left]
    measured = [[o[k] for k in kept if k in o and _has_volume(o[k])] for o in (before, after)]
    sums = [Measured(total or 0.0, ci) for total, ci in (_sums(m, *FIELDS) for m in measured)]
    reasons = comparability(earlier.acquisition, later.acquisition, settings)
    base = TotalChange(
        from_exam=earlier.exam_id,
        days=days,
        lesions=kept,
        comparable=not reasons,
        complete=not left,
        left_out=[LeftOut(lesion_id=k, reasons=why) for k, why in left.items()],
        flags=list(reasons),
    )
    if not kept and left:
        return base.model_copy(update={"flags": [*reasons, "nothing_evaluable"]})
    difference = sums[1].value - sums[0].value
    # Independent errors: the sums of two exams need not hold the same lesions.
    half = allowed(sums[0], sums[1], 0.0)
    pct = 100 * difference / sums[0].value if sums[0].value > 0 else None
    rc = None
    if pct is not None:
        rc = max(rc_volume_pct(sums[0].value, settings), allowed_pct(sums[0], sums[1], 0.0) or 0.0)
    yearly = DAYS_PER_YEAR / days if days > 0 and not reasons else None
    return base.model_copy(
        update={
            "volume_change_mm3": difference,
            "volume_change_ci95_mm3": None
            if half is None
            else (difference - half, difference + half),
            "volume_change_pct": pct,
            "volume_rc_pct": rc,
            "annualised_mm3_per_year": None if yearly is None else difference * yearly,
            "annualised_pct_per_year": None if yearly is None or pct is None else pct * yearly,
        }
    )


def _not_compared(
    before: Observation | None, after: Observation | None, settings: SerialSettings
) -> list[str]:
    """Why a lesion is left out of a change of the total; gone or not yet there counts as zero."""
    seen = [o for o in (before, after) if o is not None]
    for o in seen:
        if o.status != "absent" and not _has_volume(o) and not _within(o):
            return list(o.flags) or ["not_measured"]
    measured = [o for o in seen if _has_volume(o)]
    if len(measured) == 2:
        return incomparable_in(measured[:1], measured[1:], settings)
    return incomparable_in(measured, measured, settings)


def _joined(
    names: Sequence[str], before: Mapping[str, Observation], after: Mapping[str, Observation]
) -> list[set[str]]:
    """Lesions that merged or split in between: compared together or not at all."""
    groups: list[set[str]] = []
    for k in names:
        for o in (before.get(k), after.get(k)):
            for flag in () if o is None else o.flags:
                if flag.startswith(ELSEWHERE):
                    mine = {k, flag.split(":", 1)[1]}
                    for group in [g for g in groups if g & mine]:
                        mine |= group
                        groups.remove(group)
                    groups.append(mine)
    return groups


def _has_volume(seen: Observation) -> bool:
    return seen.status == "measured" and seen.volume_mm3 is not None


def _within(seen: Observation) -> bool:
    return any(flag.startswith(ELSEWHERE) for flag in seen.flags)


def _first(lesion: Lesion) -> str | None:
    return next((o.exam_id for o in lesion.observations if o.status == "measured"), None)


def _volume_of(ids: Iterable[str], counted: Mapping[str, Observation]) -> float:
    return math.fsum(counted[k].volume_mm3 or 0.0 for k in ids)


def _sums(
    seen: Iterable[Observation], field: str, interval: str
) -> tuple[float | None, tuple[float, float] | None]:
    """Sum of a field, and of its limits: within an exam the errors (blur, threshold) are one.

    None where one of the lesions lacks it.
    """
    values = [(getattr(o, field), getattr(o, interval)) for o in seen]
    if any(v is None for v, _ in values):
        return None, None
    total = math.fsum(v for v, _ in values)
    if any(ci is None for _, ci in values):
        return total, None
    return total, (math.fsum(ci[0] for _, ci in values), math.fsum(ci[1] for _, ci in values))
