"""Section ``batch``: how far the analysis of one patient of many may go. It changes no result."""

from __future__ import annotations

from hoimg.settings.threshold import Section, threshold


class BatchSettings(Section):
    """Many patients: limits of one, and when to try again. No limit is infinite."""

    minutes: float = threshold(
        60.0,
        unit="minutes",
        meaning="A patient whose analysis takes longer is stopped and recorded as over_time.",
        source="ten times what four exams of 400 slices take on two cores",
        status="default",
        gt=0,
        allow_inf_nan=False,
    )
    memory_gb: float = threshold(
        8.0,
        unit="GB (10^9 bytes)",
        meaning="A patient whose processes hold more memory together is stopped and recorded as "
        "over_memory.",
        source="engineering choice: a common size of memory for each core of a cluster",
        status="default",
        gt=0,
        allow_inf_nan=False,
    )
    tries: int = threshold(
        3,
        unit="attempts",
        meaning="How often a patient is tried in one run when what failed may pass (a worker that "
        "was lost, an input or output error).",
        source="engineering choice",
        status="default",
        ge=1,
        le=10,
    )
    free_gb: float = threshold(
        1.0,
        unit="GB (10^9 bytes)",
        meaning="No further patient is begun when less is free where results are written.",
        source="engineering choice: a report takes tens of megabytes, and several are written at "
        "once",
        status="default",
        ge=0,
        allow_inf_nan=False,
    )
    settle_s: float = threshold(
        60.0,
        unit="s",
        meaning="With --watch a patient is taken when no file of theirs, nor any beside it, has "
        "changed for so long.",
        source="engineering choice, as of hoimg listen: copying pauses for seconds, no reader "
        "misses a minute",
        status="default",
        gt=0,
        allow_inf_nan=False,
    )
