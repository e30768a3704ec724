"""The rows of the table of ``run.py``, from its facts. Nothing here calls hoimg."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Facts = dict[str, Any]
CLASSES = (("≥ 3", 3.0, np.inf), ("1 to 3", 1.0, 3.0), ("< 1", -np.inf, 1.0))
BELOW = "film_contrast_below_noise"
REPEATED = ("corticated_fraction", "edge_ratio", "density_index")


def table(facts: Sequence[Facts], name: str, region: str) -> str:
    """Markdown, ready for ``docs/validation.md``."""
    whole = [f for f in facts if scored(f)]
    lines = [
        f"Set *{name}*, regions drawn as {region}, {dt.date.today().isoformat()}: "
        f"{len(whole)} lesions on films; {len(facts) - len(whole)} more are cut by the film's edge "
        "or lie under another lesion and are left out.",
        "",
        "| by the true contrast-to-noise ratio | goal | "
        + " | ".join(c[0] for c in CLASSES)
        + " |",
        "|---|---|" + "---|" * len(CLASSES),
    ]
    for words, goal, number in ROWS:
        cells = [
            number([f for f in whole if low <= f["truth"]["cnr"] < high])
            for _, low, high in CLASSES
        ]
        lines.append(f"| {words} | {goal} | {' | '.join(cells)} |")
    lines += [
        "",
        "| repeated on unchanged pairs | pairs | inside the joint interval |",
        "|---|---|---|",
    ]
    for field in REPEATED:
        agree = repeated(whole, field)
        share = f"{100 * np.mean(agree):.0f} %" if agree else "–"
        lines.append(f"| {field} | {len(agree)} | {share} |")
    slowest = max((f["seconds"] for f in whole), default=0.0)
    lines += ["", f"Slowest lesion {slowest:.1f} s.", ""]
    return "\n".join(lines)


def scored(facts: Facts) -> bool:
    """Whether its truth is whole: on the film, not under another lesion, contrast known."""
    truth = facts["truth"]
    return not facts["overlapped"] and truth["in_field"] >= 0.999 and truth["cnr"] is not None


def outlined(facts: Sequence[Facts]) -> list[Facts]:
    """Those with an outline."""
    return [f for f in facts if f["reason"] is None]


def area_error(fact: Facts) -> float:
    """Measured over true area at the detector less 1, per cent."""
    return 100.0 * (float(fact["area_px2"]) / float(fact["area_true_px2"]) - 1.0)


def length_error(fact: Facts) -> float:
    """Measured over true length in the patient less 1, per cent."""
    return 100.0 * (float(fact["length_mm"]) / float(fact["length_true_mm"]) - 1.0)


def inside(fact: Facts, value: str, interval: str) -> bool:
    """Whether a true value lies in a measured interval."""
    low, high = fact[interval]
    return bool(low <= fact[value] <= high)


def repeated(facts: Sequence[Facts], field: str) -> list[bool]:
    """For each unchanged pair: do two films of the same lesion agree within both intervals?"""
    pairs: dict[tuple[str, str], list[Facts]] = {}
    for fact in facts:
        if fact["family"] == "unchanged" and fact.get(field) is not None:
            pairs.setdefault((fact["case"], fact["lesion"]), []).append(fact)
    agree = []
    for pair in pairs.values():
        if len(pair) != 2:
            continue
        a, b = pair
        low, high = (a, b) if a[field] <= b[field] else (b, a)
        reach = np.hypot(
            low[f"{field}_ci95"][1] - low[field], high[field] - high[f"{field}_ci95"][0]
        )
        agree.append(bool(high[field] - low[field] <= reach))
    return agree


def _median(of: Callable[[Facts], float], facts: Sequence[Facts], unit: str = "") -> str:
    values = [of(f) for f in facts]
    return f"{np.median(values):.{0 if unit else 2}f}{unit and ' ' + unit}" if values else "–"


def _share(of: Callable[[Facts], bool], facts: Sequence[Facts]) -> str:
    values = [of(f) for f in facts]
    return f"{100 * np.mean(values):.0f} % of {len(values)}" if values else "–"


def _signed(of: Callable[[Facts], float], facts: Sequence[Facts]) -> str:
    values = [of(f) for f in facts]
    if not values:
        return "–"
    middle, low, high = np.median(values), *np.percentile(values, [10, 90])
    return f"{middle:+.1f} ({low:+.0f} to {high:+.0f}) %"


def _corrected(facts: Sequence[Facts]) -> list[Facts]:
    return [f for f in outlined(facts) if f.get("corrected")]


Number = Callable[[Sequence[Facts]], str]
ROWS: tuple[tuple[str, str, Number], ...] = (
    ("lesions on films", "", lambda g: str(len(g))),
    ("outlined", "", lambda g: _share(lambda f: f["reason"] is None, g)),
    (
        "not measurable, contrast below noise",
        "≥ 90 % below 1",
        lambda g: _share(lambda f: f["reason"] == BELOW, g),
    ),
    (
        "Dice, median of the outlined",
        "≥ 0.85; ≥ 0.70",
        lambda g: _median(lambda f: f["dice"], outlined(g)),
    ),
    (
        "Dice ≥ 0.85, of the outlined",
        "",
        lambda g: _share(lambda f: f["dice"] >= 0.85, outlined(g)),
    ),
    (
        "Dice ≥ 0.70, of the outlined",
        "",
        lambda g: _share(lambda f: f["dice"] >= 0.70, outlined(g)),
    ),
    (
        "Dice, median of all (0 where not outlined)",
        "",
        lambda g: _median(lambda f: f["dice"] or 0.0, g),
    ),
    (
        "area error, median size",
        "≤ 10 %",
        lambda g: _median(lambda f: abs(area_error(f)), outlined(g), "%"),
    ),
    ("area error, median (10th to 90th)", "", lambda g: _signed(area_error, outlined(g))),
    (
        "area's interval holds the truth (px²)",
        "95 %",
        lambda g: _share(lambda f: inside(f, "area_true_px2", "area_ci95_px2"), outlined(g)),
    ),
    (
        "half width of that interval, median",
        "",
        lambda g: _median(
            lambda f: 50 * (f["area_ci95_px2"][1] - f["area_ci95_px2"][0]) / f["area_px2"],
            outlined(g),
            "%",
        ),
    ),
    (
        "length in the patient: error, median size",
        "≤ 3 %",
        lambda g: _median(lambda f: abs(length_error(f)), _corrected(g), "%"),
    ),
    ("length error, median (10th to 90th)", "", lambda g: _signed(length_error, _corrected(g))),
    (
        "length's interval holds the truth",
        "95 %",
        lambda g: _share(lambda f: inside(f, "length_true_mm", "length_ci95_mm"), _corrected(g)),
    ),
)
"""Words, goal, and what a cell shows of a group."""
