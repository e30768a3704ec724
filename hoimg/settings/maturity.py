"""Section ``maturity``: the rules."""

from __future__ import annotations

from hoimg.settings.threshold import Section, threshold


class MaturitySettings(Section):
    """The rule set."""

    gate_max_slice_mm: float = threshold(
        2.5, unit="mm", meaning="Thicker slices fail the quality gate.",
        source="engineering choice", status="default",
    )  # fmt: skip
    rim_max_slice_mm: float = threshold(
        1.5, unit="mm", meaning="Thicker slices leave rim and margin unrated.",
        source="partial-volume calculation", status="default",
    )  # fmt: skip
    gate_min_volume_mm3: float = threshold(
        320.0, unit="mm3", meaning="Smaller lesions have a volume repeatability above 40 %.",
        source="from the borrowed repeatability formula", status="borrowed",
    )  # fmt: skip
    gate_metal_distance_mm: float = threshold(
        10.0, unit="mm", meaning="Lesions nearer to metal fail the quality gate.",
        source="engineering choice", status="default",
    )  # fmt: skip
    rim_pass: float = threshold(
        0.75, unit="fraction", meaning="R1 passes at or above.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    rim_fail: float = threshold(
        0.25, unit="fraction", meaning="R1 fails at or below.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    edge_pass: float = threshold(
        1.5, unit="ratio", meaning="R2 passes at or below.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    edge_fail: float = threshold(
        2.5, unit="ratio", meaning="R2 fails at or above.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    core_pass: float = threshold(
        0.2, unit="fraction", meaning="R3 (supportive) passes at or above.",
        source="engineering choice", status="default",
    )  # fmt: skip
    serial_min_days: int = threshold(
        84, unit="days", meaning="R4 needs at least this interval.",
        source="guided by the best interval of 81 d for nodules", status="default",
    )  # fmt: skip
    serial_max_widening: float = threshold(
        2.0, unit="times the RC by the settings",
        meaning="R4 does not pass where the measurements' own intervals allow more than this: "
        "growth could hide in them.",
        source="engineering choice", status="default", ge=1,
    )  # fmt: skip
    age_min_days: int = threshold(
        56, unit="days", meaning="R5: a known age below this blocks mature.",
        source="zoning appears at 5-8 weeks", status="established",
    )  # fmt: skip
    reverse_zone_hu: float = threshold(
        100.0, unit="HU", meaning="R6: a shell darker than the core by more is a red flag.",
        source="concept established, number not", status="default",
    )  # fmt: skip
    hip_gap_limit_mm: float = threshold(
        10.0, unit="mm", meaning="Brooker II and III, Della Valle B and C part at this gap.",
        source="Brooker, Della Valle: 1 cm on a film", status="established", gt=0,
    )  # fmt: skip
    hip_gap_borderline: float = threshold(
        0.2, unit="fraction of the limit",
        meaning="A gap within this of the limit is borderline: readers agree poorly (kappa .43).",
        source="engineering choice on poor agreement", status="default", ge=0, lt=1,
    )  # fmt: skip
    hip_circumferential: float = threshold(
        0.75, unit="fraction of the circumference",
        meaning="Ossification that goes round the femur by this much is circumferential.",
        source="engineering choice; the published class is a reader's word", status="default",
    )  # fmt: skip
    hip_anterior_deg: float = threshold(
        30.0, unit="degrees",
        meaning="Anterior reaches this far to either side; medial of it is anteromedial.",
        source="engineering choice; the published class is a reader's word", status="default",
    )  # fmt: skip
    hip_posterior_deg: float = threshold(
        75.0, unit="degrees",
        meaning="Posterior reaches this far to either side of straight back.",
        source="engineering choice; the published class is a reader's word", status="default",
    )  # fmt: skip
    slow_rise_fraction: float = threshold(
        0.5, unit="fraction of the mean rate of rise",
        meaning="A rise beyond its RC since an older exam is still going on, and fails R4, when "
        "no later exam shows it to have slowed below this fraction of its mean rate.",
        source="engineering choice; guards against growth hidden in steps below the RC",
        status="default", gt=0, le=1,
    )  # fmt: skip
    film_min_area_mm2: float = threshold(
        57.0, unit="mm2",
        meaning="Below this projected area a lesion on a film is too small to be labelled.",
        source="the shadow of a ball of gate_min_volume_mm3", status="default", ge=0,
    )  # fmt: skip
