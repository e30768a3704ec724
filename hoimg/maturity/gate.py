"""The quality gate: is this lesion in this exam measurable well enough to be judged at all?

Each function is one check and returns one :class:`~hoimg.results.Criterion`; :data:`REASONS`
names the reason code of each check that does not pass. None of the gate's numbers is established.
"""

from __future__ import annotations

from hoimg.maturity import flags
from hoimg.results import Acquisition, Criterion, CriterionResult, Observation
from hoimg.settings import MaturitySettings

DEFAULT = "default (engineering choice)"

REASONS: dict[str, tuple[str, str]] = {
    "gate.slice": ("slice_too_thick", "slice_thickness_unknown"),
    "gate.volume": ("too_small_to_judge", "volume_not_measured"),
    "gate.metal": ("near_metal", "near_metal"),
    "gate.streak": ("metal_streaks", "metal_streaks"),
    "gate.contrast": ("contrast_overlap", "contrast_overlap"),
    "gate.fov": ("cut_by_field_of_view", "field_of_view_unknown"),
    "gate.gap": ("crosses_gap", "crosses_gap"),
    "gate.mimic": ("mimic_suspected", "mimic_suspected"),
}
"""Reason code when the check fails, and when it cannot be rated."""


def effective_slice_mm(acquisition: Acquisition) -> float | None:
    """The coarser of nominal slice thickness and slice distance, mm; None when neither is known.

    Rounded to a thousandth, because a distance computed from printed positions carries noise that
    must not decide at a limit.
    """
    known = [acquisition.slice_thickness_mm]
    if acquisition.spacing_zyx_mm is not None:
        known.append(acquisition.spacing_zyx_mm[0])
    values = [value for value in known if value is not None]
    return round(max(values), 3) if values else None


def gate_slice(acquisition: Acquisition, settings: MaturitySettings) -> Criterion:
    """Slices of at most ``gate_max_slice_mm``."""
    limit = settings.gate_max_slice_mm
    value = effective_slice_mm(acquisition)
    return Criterion(
        id="gate.slice",
        name="slice thickness",
        value=value,
        unit="mm",
        pass_at=f"<= {limit:g}",
        fail_at=f"> {limit:g}",
        result="unrated" if value is None else _verdict(value <= limit),
        evidence=DEFAULT,
    )


def gate_volume(observation: Observation, settings: MaturitySettings) -> Criterion:
    """An envelope of at least ``gate_min_volume_mm3``."""
    limit = settings.gate_min_volume_mm3
    value = observation.volume_mm3
    return Criterion(
        id="gate.volume",
        name="size of the filled envelope",
        value=value,
        unit="mm3",
        pass_at=f">= {limit:g}",
        fail_at=f"< {limit:g}",
        result="unrated" if value is None else _verdict(value >= limit),
        evidence="borrowed (below it the volume's repeatability coefficient exceeds 40 %)",
    )


def gate_metal(observation: Observation, settings: MaturitySettings) -> Criterion:
    """At least ``gate_metal_distance_mm`` from metal; no distance means no metal in view."""
    limit = settings.gate_metal_distance_mm
    value = observation.distance_to_metal_mm
    flagged = flags.has_any(observation.flags, flags.NEAR_METAL)
    passed = not flagged and (value is None or value >= limit)
    note = "no metal in view" if value is None and not flagged else ""
    return Criterion(
        id="gate.metal",
        name="distance to metal",
        value=value,
        unit="mm",
        pass_at=f">= {limit:g}",
        fail_at=f"< {limit:g}, or flagged near_metal",
        result=_verdict(passed),
        evidence=DEFAULT,
        note="flagged near_metal" if flagged else note,
    )


def gate_streak(observation: Observation) -> Criterion:
    """No metal streaks through the lesion."""
    hit = flags.has_any(observation.flags, flags.STREAK)
    return _flag_check("gate.streak", "metal streaks", hit, DEFAULT)


def gate_contrast(observation: Observation) -> Criterion:
    """No overlap with contrast agent."""
    hit = flags.has_any(observation.flags, flags.CONTRAST)
    return _flag_check("gate.contrast", "overlap with contrast agent", hit, DEFAULT)


def gate_fov(observation: Observation) -> Criterion:
    """Not cut by the field of view; unrated when nobody looked."""
    flagged = flags.has_any(observation.flags, flags.CUT)
    cut = True if flagged else observation.touches_fov
    if cut is not None:
        return _flag_check("gate.fov", "cut by the field of view", cut, DEFAULT)
    return Criterion(
        id="gate.fov",
        name="cut by the field of view",
        value=None,
        unit=None,
        pass_at="absent",
        fail_at="present",
        result="unrated",
        evidence=DEFAULT,
    )


def gate_gap(observation: Observation) -> Criterion:
    """No gap between slices through or right beside the lesion."""
    hit = flags.has_any(observation.flags, flags.GAP)
    return _flag_check("gate.gap", "gap between slices", hit, DEFAULT)


def gate_mimic(observation: Observation) -> Criterion:
    """No flag for something that looks like ossification and is not."""
    found = flags.mimic_flags(observation.flags)
    note = "; ".join(flags.mimic_meaning(flag) for flag in found)
    return _flag_check(
        "gate.mimic", "suspicion of a mimic", bool(found), "concept established", note
    )


def gate(
    observation: Observation, acquisition: Acquisition, settings: MaturitySettings
) -> list[Criterion]:
    """All checks, each one run whatever the others say."""
    return [
        gate_slice(acquisition, settings),
        gate_volume(observation, settings),
        gate_metal(observation, settings),
        gate_streak(observation),
        gate_contrast(observation),
        gate_fov(observation),
        gate_gap(observation),
        gate_mimic(observation),
    ]


def gate_reasons(criteria: list[Criterion]) -> list[str]:
    """Reason codes of the gate's checks that did not pass; empty when the gate is passed."""
    reasons = []
    for criterion in criteria:
        if criterion.id in REASONS and criterion.result != "pass":
            failed, unknown = REASONS[criterion.id]
            reasons.append(failed if criterion.result == "fail" else unknown)
    return reasons


def _verdict(passed: bool) -> CriterionResult:
    return "pass" if passed else "fail"


def _flag_check(id_: str, name: str, hit: bool, evidence: str, note: str = "") -> Criterion:
    return Criterion(
        id=id_,
        name=name,
        value=float(hit),
        unit=None,
        pass_at="absent",
        fail_at="present",
        result=_verdict(not hit),
        evidence=evidence,
        note=note,
    )
