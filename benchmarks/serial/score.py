"""The rows of the table, from the facts of all patients. Nothing here calls hoimg."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

Facts = dict[str, Any]
ALIKE = 0.25
METAL_MM = 10.0
RESAMPLES = 2000


@dataclass(frozen=True)
class Row:
    """One number of the table.

    Attributes:
        words: What it is.
        goal: As it is written; empty: shown only.
        met: Whether a value reaches the goal; None: shown only.
        items: Facts of a patient to its numbers, one per lesion, pair or point.
        summary: Numbers of all patients to the value.
        unit: ``%`` (of zeros and ones) or ``mm``, or nothing for a count.
    """

    words: str
    goal: str
    met: Callable[[float], bool] | None
    items: Callable[[Facts], list[float]]
    summary: Callable[[np.ndarray], float]
    unit: str = "%"


def measure(row: Row, patients: Sequence[Facts]) -> tuple[float | None, float, float, int]:
    """Value, 95 % bootstrap interval over patients, and how many items it stands for."""
    groups = [np.asarray(row.items(p), float) for p in patients]
    groups = [g for g in groups if g.size]
    if not groups:
        return None, np.nan, np.nan, 0
    everything = np.concatenate(groups)
    rng = np.random.default_rng(1)
    drawn = [
        row.summary(np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return row.summary(everything), float(low), float(high), everything.size


def alike(a: Facts, b: Facts) -> bool:
    """Same scanner: tube voltage, kernel, slices within 25 %."""
    slices = sorted((a["slice_mm"], b["slice_mm"]))
    same = a["kvp"] == b["kvp"] and a["kernel"] == b["kernel"]
    return same and slices[1] / slices[0] - 1 <= ALIKE


def undisturbed(seen: Facts) -> bool:
    """Whether a lesion is there, all of it in view, and clear of metal."""
    clear = seen["metal_mm"] is None or seen["metal_mm"] >= METAL_MM
    return seen["volume_mm3"] is not None and seen["in_view"] >= 0.999 and clear


def points_mm(patient: Facts, bent: bool) -> list[float]:
    """Errors of accepted registrations at the points of lesions, mm."""
    return [
        mm
        for r in patient["registrations"]
        if r["accepted"] and r["bent"] == bent
        for e in r["errors"]
        for mm in e["mm"]
    ]


def accepted(patient: Facts, bent: bool) -> list[float]:
    """Whether registrations of one patient's exams were accepted."""
    return [float(r["accepted"]) for r in patient["registrations"] if r["bent"] == bent]


def pairs(patient: Facts) -> Iterable[tuple[str, Facts, int, int, bool]]:
    """Pairs of exams in which one true lesion was found: its id and whether they were joined."""
    for lesion in patient["lesions"]:
        found = [i for i, s in enumerate(lesion["seen"]) if s["track"]]
        for a, b in combinations(found, 2):
            first, last = lesion["seen"][a]["track"], lesion["seen"][b]["track"]
            right = first == last
            if lesion["story"] == "merging":  # either name may be the whole's
                right |= _named(lesion, first, "merged", last)
            if lesion["story"] == "splitting":
                right |= _named(lesion, last, "split", first)
            yield lesion["id"], lesion, a, b, right
        if lesion["split_from"]:
            whole = next(x for x in patient["lesions"] if x["id"] == lesion["split_from"])
            first = next((i for i, s in enumerate(lesion["seen"]) if s["volume_mm3"]), None)
            if first is None or first == 0:
                continue
            before, after = whole["seen"][first - 1]["track"], lesion["seen"][first]["track"]
            if before and after:
                right = before == after or _named(lesion, after, "split", before)
                yield lesion["id"], lesion, first - 1, first, right


def joined(patient: Facts) -> list[float]:
    """Whether each pair of observations of a true lesion has one name."""
    return [float(right) for *_, right in pairs(patient)]


def swaps(patient: Facts) -> list[float]:
    """For each two true lesions and exams whether one's name was given to the other."""
    out = []
    for one, two in combinations(patient["lesions"], 2):
        if two["id"] in (one["merged_into"], one["split_from"]):
            continue
        if one["id"] in (two["merged_into"], two["split_from"]):
            continue
        for a, b in combinations(range(len(patient["exams"])), 2):
            at = [(x["seen"][a], x["seen"][b]) for x in (one, two)]
            if not all(s["track"] for pair in at for s in pair):
                continue
            same = [p[0]["reported"] for p in at], [p[1]["reported"] for p in at]
            if same[0][0] == same[0][1] or same[1][0] == same[1][1]:
                continue  # drawn as one lesion: not a matter of names
            crossed = at[0][0]["track"] == at[1][1]["track"]
            crossed |= at[1][0]["track"] == at[0][1]["track"]
            out.append(float(crossed))
    return out


def changes(patient: Facts, wanted: Callable[[float, float, float], bool]) -> list[tuple[str, str]]:
    """Lesion and category of each change between consecutive exams made alike that is wanted.

    Args:
        patient: Facts.
        wanted: True earlier volume, ratio and rise of the stage to whether it counts.
    """
    out = []
    for lesion in patient["lesions"]:
        if lesion["story"] in ("merging", "splitting"):
            continue
        for a in range(len(patient["exams"]) - 1):
            b = a + 1
            before, after = lesion["seen"][a], lesion["seen"][b]
            if not (undisturbed(before) and undisturbed(after)):
                continue
            if not alike(patient["exams"][a], patient["exams"][b]):
                continue
            ratio = after["volume_mm3"] / before["volume_mm3"]
            if not wanted(before["volume_mm3"], ratio, after["stage"] - before["stage"]):
                continue
            if not before["track"] or before["track"] != after["track"]:
                continue  # not found, or not joined: other rows
            named = [
                c["category"] if c["comparable"] else "not comparable"
                for c in lesion["tracks"][before["track"]]["changes"]
                if (c["from"], c["to"]) == (a, b)
            ]
            out.append((f"{lesion['id']} {a}>{b}", named[0] if named else "none"))
    return out


def unchanged(_volume: float, ratio: float, rise: float) -> bool:
    """Nothing changed."""
    return abs(ratio - 1) < 0.005 and rise == 0


def thirty(volume: float, ratio: float, _rise: float) -> bool:
    """+30 % from 1 mL on."""
    return volume >= 1000 and 1.29 <= ratio <= 1.32


def flagged(patient: Facts, wanted: Any, as_: tuple[str, ...]) -> list[float]:
    """Whether each wanted change was named in one of the ways."""
    return [float(category in as_) for _, category in changes(patient, wanted)]


def last_label(patient: Facts, lesion: Facts) -> tuple[str | None, list[str]]:
    """The label reported for a true lesion at the last exam, and its reasons."""
    track = lesion["seen"][len(patient["exams"]) - 1]["track"]
    if track is None:
        return None, []
    return lesion["tracks"][track]["label"], lesion["tracks"][track]["reasons"]


def active(lesion: Facts) -> bool:
    """Whether a lesion is immature or growing at the last exam, whatever can be shown of it."""
    seen = lesion["seen"]
    if seen[-1]["volume_mm3"] is None or lesion["merged_into"]:
        return False
    before = seen[-2] if len(seen) > 1 else seen[-1]
    grew = bool(before["volume_mm3"]) and seen[-1]["volume_mm3"] > 1.15 * before["volume_mm3"]
    ripening = before["stage"] is not None and seen[-1]["stage"] - before["stage"] > 0.1
    return lesion["label"] == "immature" or grew or ripening or seen[-1]["stage"] <= 0.3


def called_mature(patient: Facts) -> list[float]:
    """Whether each active lesion that was found was called mature."""
    out = []
    for lesion in patient["lesions"]:
        label, _ = last_label(patient, lesion)
        if active(lesion) and label is not None:
            out.append(float(label == "mature"))
    return out


def clear_cut(patient: Facts) -> list[tuple[Facts, str | None, list[str]]]:
    """Clear-cut lesions with the label that was reported and its reasons."""
    out = []
    exam = patient["exams"][-1]
    for lesion in patient["lesions"]:
        now = lesion["seen"][-1]
        if lesion["red_flag"] or lesion["story"] in ("merging", "splitting"):
            continue
        if not undisturbed(now) or now["volume_mm3"] < 1000 or exam["slice_mm"] > 1.5:
            continue
        if lesion["label"] == "indeterminate" or now["track"] is None:
            continue
        if lesion["label"] == "mature":
            sure = now["stage"] >= 0.9 and _constant(patient, lesion)
        else:
            sure = now["stage"] <= 0.3 or _grown(patient, lesion)
        if not sure:
            continue
        out.append((lesion, *last_label(patient, lesion)))
    return out


def clear_right(patient: Facts) -> list[float]:
    """Whether clear-cut lesions have the right label."""
    return [float(label == lesion["label"]) for lesion, label, _ in clear_cut(patient)]


def clear_wrong(patient: Facts) -> list[float]:
    """Whether clear-cut lesions have the opposite label (not ``indeterminate``)."""
    return [
        float(label not in (lesion["label"], "indeterminate"))
        for lesion, label, _ in clear_cut(patient)
    ]


def red_flags(patient: Facts) -> list[float]:
    """Whether lesions with a dense centre have the red flag and no label."""
    out = []
    for lesion in patient["lesions"]:
        label, reasons = last_label(patient, lesion)
        if lesion["red_flag"] and label is not None and undisturbed(lesion["seen"][-1]):
            out.append(float(label == "indeterminate" and any("red_flag" in r for r in reasons)))
    return out


def found(patient: Facts) -> list[float]:
    """Whether each true lesion in view was found in each exam."""
    return [
        float(s["reported"] is not None)
        for x in patient["lesions"]
        for s in x["seen"]
        if s["volume_mm3"] is not None and not s["merged"] and (s["in_view"] or 0) >= 0.999
    ]


def _named(lesion: Facts, track: str, category: str, other: str) -> bool:
    """Whether a track says that it merged with, or split from, another one."""
    return any(
        c["category"] == category and other in c["parents"]
        for c in lesion["tracks"][track]["changes"]
    )


def _constant(patient: Facts, lesion: Facts) -> bool:
    """Unchanged since a comparable exam 84 days or more earlier."""
    last = len(patient["exams"]) - 1
    now = lesion["seen"][last]
    return any(
        undisturbed(s)
        and alike(patient["exams"][i], patient["exams"][last])
        and patient["exams"][last]["days"] - patient["exams"][i]["days"] >= 84
        and abs(s["volume_mm3"] / now["volume_mm3"] - 1) < 0.005
        and s["stage"] == now["stage"]
        for i, s in enumerate(lesion["seen"][:last])
    )


def _grown(patient: Facts, lesion: Facts) -> bool:
    """Grown by more than the RC's least since the exam before, made alike."""
    before, now = lesion["seen"][-2:]
    return bool(
        undisturbed(before)
        and alike(*patient["exams"][-2:])
        and now["volume_mm3"] > 1.25 * before["volume_mm3"]
    )


def mean_pct(values: np.ndarray) -> float:
    """Share, %."""
    return 100 * float(values.mean())


def p95(values: np.ndarray) -> float:
    """95th percentile."""
    return float(np.percentile(values, 95))


CHANGED = ("enlarging", "shrinking", "resolved", "new")
ROWS = (
    Row("lesion found in an exam", "", None, found, mean_pct),
    Row(
        "registration accepted, whole body re-positioned", "", None,
        lambda p: accepted(p, False), mean_pct,
    ),
    Row("registration accepted, limb moved", "", None, lambda p: accepted(p, True), mean_pct),
    Row(
        "lesion-point error after re-positioning, median", "≤ 0.7 mm", lambda v: v <= 0.7,
        lambda p: points_mm(p, False), lambda v: float(np.median(v)), "mm",
    ),
    Row(
        "the same, 95 %", "≤ 2 mm", lambda v: v <= 2.0, lambda p: points_mm(p, False), p95, "mm"
    ),
    Row(
        "lesion-point error after limb motion, 95 %", "≤ 4 mm", lambda v: v <= 4.0,
        lambda p: points_mm(p, True), p95, "mm",
    ),
    Row("pairs of observations joined rightly", "≥ 97 %", lambda v: v >= 97, joined, mean_pct),
    Row("identity swaps", "0", lambda v: v == 0, swaps, lambda v: float(v.sum()), ""),
    Row(
        "no true change: flagged as change", "≤ 5 %", lambda v: v <= 5,
        lambda p: flagged(p, unchanged, CHANGED), mean_pct,
    ),
    Row(
        "true +30 % at ≥ 1 mL, same scanner: flagged as increase", "≥ 95 %", lambda v: v >= 95,
        lambda p: flagged(p, thirty, ("enlarging",)), mean_pct,
    ),
    Row(
        "immature or growing called mature", "0", lambda v: v == 0, called_mature,
        lambda v: float(v.sum()), "",
    ),
    Row("clear-cut: right label", "≥ 90 %", lambda v: v >= 90, clear_right, mean_pct),
    Row("clear-cut: opposite label", "", None, clear_wrong, mean_pct),
    Row(
        "reverse zoning: red flag, label withheld", "all", lambda v: v == 100, red_flags, mean_pct
    ),
)  # fmt: skip
"""The rows in order."""
