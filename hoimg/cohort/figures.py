"""Inline SVG of many lesions at once: waterfall of change, volume by region, counts by reason.

Each mark's class says what it is of, colours stand in ``cohort.css``. Nothing is told by colour
alone: bars point up or down, boxes and counts carry their words. What is said aloud
(``aria-label``) holds the numbers.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hoimg.cohort.read import LesionCourse
from hoimg.report.plots import nice_step, tick_text
from hoimg.report.words import CATEGORIES, count, number, percent

WIDTH, LEFT, RIGHT = 1080, 64, 16
HIGH = 240
"""Of the plot area of the waterfall."""
CUT_PCT = 200.0
"""Longer bars of the waterfall are cut here, which an arrow on them says."""
NO_REGION = "region not known"

KINDS = ("enlarging", "no_detectable_change", "shrinking", "other")
"""Of bars; ``other`` is a change between exams that are not alike, or of parts that merged."""


@dataclass(frozen=True)
class Waterfall:
    """The drawing, and what it leaves out, by category (``new``, …)."""

    svg: Markup
    bars: int
    kinds: Counter[str]
    cut: int
    without: Counter[str]


def waterfall(lesions: Iterable[LesionCourse]) -> Waterfall:
    """The last change of volume of every lesion that has one, the greatest increase first."""
    changed = [lesion.change for lesion in lesions if lesion.change is not None]
    bars = sorted(
        (
            (c.volume_pct, _kind(c.category, c.comparable))
            for c in changed
            if c.volume_pct is not None
        ),
        key=lambda bar: -bar[0],
    )
    kinds = Counter(kind for _, kind in bars)
    without = Counter(c.category for c in changed if c.volume_pct is None)
    cut = sum(value > CUT_PCT for value, _ in bars)
    return Waterfall(_waterfall_svg(bars, kinds), len(bars), kinds, cut, without)


def _kind(category: str, comparable: bool) -> str:
    return category if comparable and category in KINDS else "other"


def _waterfall_svg(bars: Sequence[tuple[float, str]], kinds: Counter[str]) -> Markup:
    if not bars:
        return Markup("")
    values = [value for value, _ in bars]
    top, bottom = min(CUT_PCT, max(0.0, values[0])), min(0.0, values[-1])
    step = nice_step(top - bottom, 6)
    top, bottom = math.ceil(top / step) * step, math.floor(bottom / step) * step
    scale = HIGH / ((top - bottom) or 1.0)
    zero = 22 + top * scale
    each = (WIDTH - LEFT - RIGHT) / len(bars)
    spoken = (
        f"Last change of volume of {count(len(bars), 'lesion')}, sorted: from {percent(values[0])} "
        f"to {percent(values[-1])}, median {percent(statistics.median(values))}. "
        + ", ".join(f"{kinds[k]} {_kind_words(k)}" for k in KINDS if kinds[k])
    )
    parts = [open_plot(HIGH + 44, spoken)]
    for k in range(round((top - bottom) / step) + 1):
        value = bottom + k * step
        parts.append(_level(zero - value * scale, tick_text(value, step)))
    parts.append(
        Markup('<text class="title" x="{}" y="12">Change of volume, %</text>').format(LEFT)
    )
    paths, arrows = defaultdict(list), []
    for n, (value, kind) in enumerate(bars):
        x, wide = LEFT + n * each, max(each * 0.86, 0.4)
        tip = zero - min(value, CUT_PCT) * scale
        # A lesion without any change is there, too.
        tip = tip if abs(tip - zero) >= 0.8 else zero - 0.8
        paths[kind].append(f"M{x:.2f} {zero:.1f}V{tip:.1f}h{wide:.2f}V{zero:.1f}Z")
        if value > CUT_PCT:
            middle = x + wide / 2
            arrows.append(f"M{middle - 3:.2f} {tip - 2:.1f}h6l-3 -5Z")
    parts += [
        Markup('<path class="w-{}" d="{}"/>').format(kind, "".join(paths[kind]))
        for kind in KINDS
        if paths[kind]
    ]
    parts.append(Markup('<path class="zero" d="M{} {:.1f}H{}"/>').format(LEFT, zero, WIDTH - RIGHT))
    if arrows:
        parts.append(Markup('<path class="arrow" d="{}"/>').format("".join(arrows)))
    parts.append(
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text></svg>').format(
            (LEFT + WIDTH - RIGHT) / 2,
            HIGH + 38,
            f"{count(len(bars), 'lesion')}, by change",
        )
    )
    return Markup("").join(parts)


def _kind_words(kind: str) -> str:
    return CATEGORIES.get(kind, "not compared")


def regions(lesions: Iterable[LesionCourse]) -> Markup:
    """Volume now by region of the body: middle half as a box, range as a line, median as a bar.

    Counted is what the newest exam that speaks of the lesion measured.
    """
    by_region: defaultdict[str, list[float]] = defaultdict(list)
    for lesion in lesions:
        if lesion.now_mm3:  # a scale of powers of ten has no place for zero
            by_region[lesion.region or NO_REGION].append(lesion.now_mm3 / 1000)
    if not by_region:
        return Markup("")
    rows = sorted(by_region.items(), key=lambda item: -sum(item[1]))
    everything = [v for _, values in rows for v in values]
    low, high = math.floor(math.log10(min(everything))), math.ceil(math.log10(max(everything)))
    high = max(high, low + 1)
    left, right, row = 190, WIDTH - 220, 30

    def x_of(volume: float) -> float:
        return left + (right - left) * (math.log10(volume) - low) / (high - low)

    spoken = "; ".join(
        f"{name.replace('_', ' ')}: {count(len(v), 'lesion')}, median "
        f"{number(statistics.median(v))} cm³, total {number(sum(v))} cm³"
        for name, v in rows
    )
    height = 24 + row * len(rows)
    parts = [open_plot(height + 40, f"Volume by region. {spoken}.")]
    for power in range(low, high + 1):
        x = x_of(10.0**power)
        parts.append(
            Markup(
                '<path class="grid" d="M{0:.1f} 20V{1}"/>'
                '<text class="tick" x="{0:.1f}" y="{2}" text-anchor="middle">{3}</text>'
            ).format(x, height, height + 16, number(10.0**power, 1))
        )
    head = '<text class="title" x="{}" y="12"{}>{}</text>'
    parts.append(Markup(head).format(right + 20, "", "median, total cm³"))
    parts.append(Markup(head).format(left, "", "Volume of each lesion now, cm³"))
    for n, (name, volumes) in enumerate(rows):
        parts.append(_box_row(name, sorted(volumes), 24 + n * row + row / 2, x_of, right))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _box_row(
    name: str, volumes: list[float], y: float, x_of: Callable[[float], float], right: float
) -> Markup:
    median = statistics.median(volumes)
    quarters = statistics.quantiles(volumes, n=4) if len(volumes) > 3 else None
    said = f"{name.replace('_', ' ')} ({len(volumes)})"
    parts = [
        Markup('<text class="row" x="178" y="{:.1f}" text-anchor="end">{}</text>').format(
            y + 4, said
        ),
        Markup('<path class="range" d="M{:.1f} {:.1f}H{:.1f}"/>').format(
            x_of(volumes[0]), y, x_of(volumes[-1])
        ),
    ]
    if quarters is None:
        parts += [
            Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x_of(v), y)
            for v in volumes
        ]
    else:
        first, third = x_of(quarters[0]), x_of(quarters[2])
        parts.append(
            Markup('<rect class="box" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="16"/>').format(
                first, y - 8, max(third - first, 1.0)
            )
        )
    parts.append(
        Markup(
            '<path class="median" d="M{:.1f} {:.1f}v18"/>'
            '<text class="tick" x="{}" y="{:.1f}">{}</text>'
        ).format(
            x_of(median), y - 9, right + 20, y + 4, f"{number(median)}, {number(sum(volumes))}"
        )
    )
    return Markup("").join(parts)


def counts(title: str, rows: Sequence[tuple[str, int]]) -> Markup:
    """Counts as bars, in the order given; nothing for none.

    Args:
        title: What is counted, for who hears it.
        rows: Words and their count.
    """
    if not rows:
        return Markup("")
    most, left, row = max(n for _, n in rows), 420, 26
    spoken = "; ".join(f"{name}: {n}" for name, n in rows)
    parts = [open_plot(row * len(rows) + 8, f"{title}. {spoken}.")]
    for k, (name, n) in enumerate(rows):
        y, wide = 4 + k * row, (WIDTH - left - 70) * n / most
        parts.append(
            Markup(
                '<text class="row" x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect class="bar" x="{}" y="{}" width="{:.1f}" height="16"/>'
                '<text class="tick" x="{:.1f}" y="{}">{}</text>'
            ).format(
                left - 12, y + 17, cut_text(name, 58), left, y + 4, wide, left + wide + 8, y + 17, n
            )
        )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def cut_text(text: str, most: int) -> str:
    """A text of at most so many characters; an ellipsis says that more was there."""
    return text if len(text) <= most else text[: most - 1] + "…"


def open_plot(height: float, spoken: str) -> Markup:
    """Begin a drawing of this height, px; what is said aloud stands for all in it."""
    return Markup(
        '<svg class="plot wide" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">'
    ).format(WIDTH, height, spoken)


def _level(y: float, text: str) -> Markup:
    return Markup(
        '<path class="grid" d="M{0} {1:.1f}H{2}"/>'
        '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
    ).format(LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, text)
