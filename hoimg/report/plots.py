"""The course of a lesion as one inline SVG: volume with its interval, mass and density over days.

Made by hand rather than with matplotlib: the text stays text (it scales, prints and is read out),
ids cannot clash between plots, the same numbers give the same bytes, and it costs no import time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hoimg.report.words import cm3, number
from hoimg.results import Observation

WIDTH, LEFT, RIGHT, TOP, PANEL, GAP = 460, 62, 16, 20, 96, 30


@dataclass(frozen=True)
class Point:
    """One exam in one panel; ``value`` None leaves a gap, ``note`` says why."""

    day: int
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """One of the stacked plots; its axis starts at zero."""

    title: str
    points: Sequence[Point]


def nice_step(span: float, ticks: int = 3) -> float:
    """Distance between ticks: 1, 2 or 5 times a power of ten, about ``ticks`` of them in a span."""
    if not span > 0:
        return 1.0
    raw = span / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    return power * next(f for f in (1.0, 2.0, 5.0, 10.0) if f >= raw / power - 1e-9)


def tick_text(value: float, step: float) -> str:
    """A tick's number with just the decimals that its step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}".replace(",", "\u202f").replace("-", "−")


def course(observations: Sequence[Observation], days: Sequence[int], name: str) -> Markup:
    """Plot a lesion's observations, in date order, against days from baseline."""
    pairs = list(zip(observations, days, strict=True))
    notes = {"absent": "not seen", "not_measurable": "not measurable"}

    def points(field: str, scale: float = 1.0) -> list[Point]:
        made = []
        for seen, day in pairs:
            value = getattr(seen, field)
            ci = seen.volume_ci95_mm3 if field == "volume_mm3" and value is not None else None
            low, high = (ci[0] * scale, ci[1] * scale) if ci else (None, None)
            kept = None if value is None or not math.isfinite(value) else value * scale
            note = "" if kept is not None else notes.get(seen.status, "not measured")
            made.append(Point(day, kept, low, high, note))
        return made

    panels = [
        Panel("Volume, cm³ (bars: 95 % interval)", points("volume_mm3", 1e-3)),
        Panel("Mineral mass, HU·cm³", points("mineral_mass_hu_mm3", 1e-3)),
        Panel("Density, mean HU of mineral", points("mean_hu")),
    ]
    spoken = "; ".join(
        f"day {day}: "
        + (f"{number(cm3(seen.volume_mm3))} cm³" if seen.volume_mm3 is not None else seen.status)
        for seen, day in pairs
    )
    return _svg(panels, f"Course of {name} over time. Volume {spoken}.")


def _svg(panels: Sequence[Panel], spoken: str) -> Markup:
    days = sorted({p.day for p in panels[0].points})
    first, last = days[0], days[-1]
    span = max(last - first, 1)

    def x_of(day: int) -> float:
        inner = WIDTH - LEFT - RIGHT - 24
        return LEFT + 12 + (inner / 2 if first == last else inner * (day - first) / span)

    height = TOP + len(panels) * (PANEL + GAP) + 16
    parts = [
        Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, height, spoken
        )
    ]
    top = TOP
    for panel in panels:
        parts.append(_panel(panel, top, x_of))
        top += PANEL + GAP
    bottom = top - GAP
    previous = -math.inf
    for day in days:
        if x_of(day) - previous >= 30:
            previous = x_of(day)
            parts.append(
                Markup(
                    '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
                ).format(previous, bottom + 15, day)
            )
    parts.append(
        Markup(
            '<text class="axis" x="{}" y="{}" text-anchor="middle">days from baseline</text>'
        ).format((LEFT + WIDTH - RIGHT) / 2, bottom + 32)
    )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _panel(panel: Panel, top: float, x_of: Callable[[int], float]) -> Markup:
    values = [v for p in panel.points for v in (p.value, p.low, p.high) if v is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    step = nice_step(high - low)
    low, high = math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step
    high = high if high > low else low + step

    def y_of(value: float) -> float:
        return top + PANEL * (1 - (value - low) / (high - low))

    right = WIDTH - RIGHT
    parts = [
        Markup('<text class="title" x="{}" y="{}">{}</text>').format(LEFT, top - 7, panel.title)
    ]
    for k in range(round((high - low) / step) + 1):
        value = low + k * step
        parts.append(
            Markup(
                '<path class="grid" d="M{0} {1:.1f}H{2}"/>'
                '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
            ).format(LEFT, y_of(value), right, LEFT - 6, y_of(value) + 4, tick_text(value, step))
        )
    # The line joins neighbouring exams only: across a gap nothing is known.
    for a, b in zip(panel.points, panel.points[1:], strict=False):
        if a.value is not None and b.value is not None:
            parts.append(
                Markup('<path class="line" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
                    x_of(a.day), y_of(a.value), x_of(b.day), y_of(b.value)
                )
            )
    for point in panel.points:
        x = x_of(point.day)
        if point.value is None:
            parts.append(
                Markup(
                    '<text class="gap" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>'
                ).format(x, top + PANEL - 5, point.note)
            )
            continue
        if point.low is not None and point.high is not None:
            parts.append(
                Markup(
                    '<path class="bar" d="M{0:.1f} {1:.1f}V{2:.1f}'
                    'M{3:.1f} {1:.1f}h10M{3:.1f} {2:.1f}h10"/>'
                ).format(x, y_of(point.low), y_of(point.high), x - 5)
            )
        parts.append(
            Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(
                x, y_of(point.value)
            )
        )
    return Markup("").join(parts)
