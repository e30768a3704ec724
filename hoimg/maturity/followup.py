"""By which scan, and from when, an open lesion could be judged; what that takes is no advice.

The label needs a rated rim and margin (thin slices), and stability (two exams made alike, at least
``serial_min_days`` apart). Where the exam judged can serve as the first of the two, one more scan
made like it is enough; where it cannot (too thick, cut, disturbed), two are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from hoimg.maturity.gate import effective_slice_mm
from hoimg.results import Acquisition, FollowUp, Label, Need, Observation
from hoimg.settings import MaturitySettings

STILL_A_PRIOR = frozenset({"too_small_to_judge"})
"""Gate failures that leave the exam fit to be the prior of a later one."""
NOTHING_OPEN = frozenset({"resolved", "merged_into_another"})
NOT_A_MATTER_OF_TIME = {
    "red_flag_reverse_zoning": "red_flag_not_settled_by_follow_up",
    "mimic_suspected": "mimic_not_settled_by_follow_up",
}
"""Reasons that no later scan of this kind settles, and the flag that says so."""


def follow_up(
    latest: Observation,
    acquisition: Acquisition,
    label: Label,
    reasons: Sequence[str],
    gate_reasons: Sequence[str],
    day: int,
    earliest_day: int,
    settings: MaturitySettings,
    *,
    baseline_date: date | None = None,
) -> FollowUp | None:
    """What would let a lesion be judged.

    Args:
        latest: Observation that the label speaks of.
        acquisition: Of its exam.
        label: The label.
        reasons: Its reason codes.
        gate_reasons: Those of the quality gate.
        day: Day of the exam judged.
        earliest_day: Earliest day on which stability could be rated.
        settings: Thresholds.
        baseline_date: Date of day 0.

    Returns:
        None where nothing is open: mature, resolved, merged into another lesion. Without a date
        and with the reason in ``flags`` where a red flag or a mimic stands against the label.
    """
    if label == "mature" or NOTHING_OPEN.intersection(reasons):
        return None
    flags = [flag for code, flag in NOT_A_MATTER_OF_TIME.items() if code in reasons]
    if flags:
        return FollowUp(flags=flags)
    thickness = effective_slice_mm(acquisition)
    thin = thickness is not None and thickness <= settings.rim_max_slice_mm
    alike = thin and STILL_A_PRIOR.issuperset(gate_reasons)
    needs = _alike(f"as at day {day}", acquisition) if alike else _anew(settings)
    if not (alike and acquisition.contrast):  # made like a scan with contrast agent, it has some
        needs.append(Need(code="no_contrast", text="without contrast agent"))
    needs += _disturbances(reasons, settings)
    return FollowUp(
        earliest_day=earliest_day,
        earliest_date=None if baseline_date is None else baseline_date + timedelta(earliest_day),
        scans=1 if alike else 2,
        like_exam=latest.exam_id if alike else None,
        needs=needs,
    )


def _alike(like: str, acquisition: Acquisition) -> list[Need]:
    """A scan made like the exam judged."""
    kvp = "the tube voltage" if acquisition.kvp is None else f"tube voltage {acquisition.kvp:g} kV"
    kernel = "the kernel" if acquisition.kernel is None else f"kernel {acquisition.kernel}"
    slices = effective_slice_mm(acquisition)
    return [
        Need(code="same_kvp", text=f"{kvp}, {like}"),
        Need(code="same_kernel", text=f"{kernel}, {like}"),
        Need(code="same_slices", text=f"slices of {slices:g} mm, {like}"),
        Need(code="whole_lesion", text="the whole lesion in view"),
    ]


def _anew(settings: MaturitySettings) -> list[Need]:
    """Two scans: the exam judged cannot be compared with."""
    return [
        Need(
            code="two_scans",
            text=f"two scans at least {settings.serial_min_days} days apart, since the exam judged "
            "cannot be the first of the two",
        ),
        Need(code="same_kvp", text="the same tube voltage in both"),
        Need(code="same_kernel", text="the same kernel in both"),
        Need(
            code="thin_slices",
            text=f"slices of at most {settings.rim_max_slice_mm:g} mm, the same in both",
        ),
        Need(code="whole_lesion", text="the whole lesion in view"),
    ]


def _disturbances(reasons: Sequence[str], settings: MaturitySettings) -> list[Need]:
    needs = []
    if {"near_metal", "metal_streaks"}.intersection(reasons):
        limit = f"{settings.gate_metal_distance_mm:g} mm"
        needs.append(
            Need(
                code="metal_artefact_reduction",
                text="metal-artefact reduction; what lies within "
                f"{limit} of metal stays unjudged even so",
            )
        )
    if "crosses_gap" in reasons:
        needs.append(Need(code="no_gaps", text="no missing slices"))
    if "not_followed_later" in reasons:
        needs.append(Need(code="bones_in_view", text="the bones beside it in view, to place it by"))
    if "too_small_to_judge" in reasons:
        limit = f"{settings.gate_min_volume_mm3:g} mm³"
        needs.append(
            Need(code="size", text=f"a lesion of at least {limit}: as small as now it stays open")
        )
    return needs
