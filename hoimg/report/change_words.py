"""One change between two exams, and one course over several, in words.

The page, the CSV, the DICOM report and ``hoimg explain`` all take them from here, so that they
cannot disagree. Within its repeatability a lesion shows "no detectable change", never "stable".
"""

from __future__ import annotations

from collections.abc import Iterable

from hoimg.report import words
from hoimg.report.reasons import reason_text
from hoimg.results import Change, Course, TotalChange

NOTES = frozenset(
    {
        "long_interval",
        "by_volume_and_mass",
        "growth_in_images",
        "volume_change_not_measured",
        "area_change_not_measured",
    }
)
"""Flags of a change that are no reason against comparing."""


def change_words(change: Change, *, brief: bool = False) -> str:
    """What is called of a change, with the repeatability that it stands against.

    ``brief`` leaves away the numbers of changed quantities, for places that print them beside it.
    """
    if change.category in ("new", "resolved", "merged", "split"):
        text = words.CATEGORIES[change.category]
        return f"{text} with {', '.join(change.parents)}" if change.parents else text
    if not change.comparable:
        why = [f for f in change.flags if f not in NOTES and not f.endswith("_rc_from_intervals")]
        return f"not compared: {'; '.join(reason_text(f) for f in why)}"
    if on_films(change):
        return _area_words(change, brief)
    volume = quantity(change.volume_change_pct, change.volume_rc_pct, "%")
    mass = quantity(change.mass_change_pct, change.mass_rc_pct, "%")
    if change.category != "no_detectable_change":
        text = words.CATEGORIES[change.category]
        numbers = f"volume {volume}"
        if "by_volume_and_mass" in change.flags:
            text, numbers = f"{text} by volume and mass together", f"{numbers}, mass {mass}"
        return text if brief else f"{text}: {numbers}"
    if change.volume_change_pct is None or change.volume_rc_pct is None:
        return "change of volume not measured"
    beyond = list(_beyond(change))
    rc = f"RC {words.number(change.volume_rc_pct, 2)} %"
    if not beyond:
        return f"no detectable change ({rc})"
    text = f"no detectable change of volume ({rc})"
    return text if brief else f"{text}, but {words.join(beyond)}"


def on_films(change: Change) -> bool:
    """Whether a change is one of projected area."""
    return change.area_change_pct is not None or "area_change_not_measured" in change.flags


def _area_words(change: Change, brief: bool) -> str:
    if change.area_change_pct is None or change.area_rc_pct is None:
        return "change of area not measured"
    if change.category == "no_detectable_change":
        return (
            f"no detectable change of projected area (RC {words.number(change.area_rc_pct, 2)} %)"
        )
    text = words.CATEGORIES[change.category]
    area = quantity(change.area_change_pct, change.area_rc_pct, "%")
    return text if brief else f"{text}: projected area {area}"


def _beyond(change: Change) -> Iterable[str]:
    """Mass and density where they changed beyond their RC."""
    for name, value, rc, unit in (
        ("mass", change.mass_change_pct, change.mass_rc_pct, "%"),
        ("density", change.density_change_hu, change.density_rc_hu, "HU"),
    ):
        if value is not None and rc is not None and abs(value) > rc:
            yield f"{name} {quantity(value, rc, unit)}"


def quantity(value: float | None, rc: float | None, unit: str) -> str:
    """``+42 % (RC 25 %)``; ``not measured`` for none."""
    if value is None:
        return words.NOT_MEASURED
    text = f"{words.whole(value)} {unit}"
    return f"{text} (RC {words.number(rc, 2)} {unit})" if rc is not None else f"{text} (RC unknown)"


def course_words(course: Course) -> str:
    """A course in one sentence, with its interval and what limits it."""
    left = "; ".join(
        f"{x.exam_id} left out: {', '.join(reason_text(r) for r in x.reasons)}"
        for x in course.left_out
    )
    tail = f" ({left})" if left else ""
    why = [reason_text(flag) for flag in course.flags]
    if course.rate_pct_per_year is None or course.rate_ci95_pct_per_year is None:
        return f"no course: {'; '.join(why)}{tail}"
    low, high = (words.percent(v) for v in course.rate_ci95_pct_per_year)
    trend = {
        "increasing": "increasing",
        "decreasing": "decreasing",
        "no_detectable_trend": "no detectable trend",
        None: "",
    }[course.trend]
    text = (
        f"{trend}: volume {words.percent(course.rate_pct_per_year)} a year "
        f"(95 % interval {low} to {high}), {course.n} exams over {course.days} days"
    )
    if course.doubling_days is not None:
        text += f", doubling in {words.number(course.doubling_days, 2)} days"
    return "; ".join([text, *why]) + tail


def total_change_words(change: TotalChange) -> str:
    """How the total changed since an earlier exam."""
    if change.volume_change_mm3 is None:
        return "not evaluable"
    size = f"{words.signed(change.volume_change_mm3 / 1000)} cm³"
    if change.volume_change_pct is not None:
        size += f", {words.percent(change.volume_change_pct)}"
    if not change.comparable:
        return f"{size}; not compared: {'; '.join(reason_text(f) for f in change.flags)}"
    pct, rc = change.volume_change_pct, change.volume_rc_pct
    if pct is not None and rc is not None and abs(pct) <= rc:
        return f"no detectable change (RC {words.number(rc, 2)} %): {size}"
    return size
