"""The course of a lesion as one inline SVG: volume with its interval, mass and density over days.

Made by hand rather than with matplotlib: the text stays text (it scales, prints and is read out),
ids cannot clash between plots, the same numbers give the same bytes, and it costs no import time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hoimg.report.words import cm3, number
from hoimg.results import Change, Course, ExamTotal, Observation, Totals

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
class Band:
    """What an unchanged lesion may read between two days: within its repeatability."""

    from_day: int
    to_day: int
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """One of the stacked plots; its axis starts at zero.

    Attributes:
        title: Above the panel.
        points: One per exam.
        band: Drawn behind the points, or None.
        fit: Days and values of a fitted curve, drawn dashed.
    """

    title: str
    points: Sequence[Point]
    band: Band | None = None
    fit: Sequence[tuple[float, float]] = ()


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


def course(
    observations: Sequence[Observation],
    days: Sequence[int],
    name: str,
    *,
    change: Change | None = None,
    fitted: Course | None = None,
) -> Markup:
    """Plot a lesion's observations, in date order, against days from baseline.

    Args:
        observations: Of the lesion.
        days: Of their exams.
        name: Of the lesion.
        change: The change whose repeatability is drawn as a band about its earlier volume.
        fitted: The course whose line is drawn.
    """
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

    on_day = {seen.exam_id: (day, seen.volume_mm3) for seen, day in pairs}
    band, fit = _band(change, on_day), _fit(fitted, on_day)
    title = "Volume, cm³ (bars: 95 % interval" + ("; band: RC)" if band else ")")
    panels = [
        Panel(title, points("volume_mm3", 1e-3), band, fit),
        Panel("Mineral mass, HU·cm³", points("mineral_mass_hu_mm3", 1e-3)),
        Panel("Density, mean HU of mineral", points("mean_hu")),
    ]
    spoken = "; ".join(
        f"day {day}: "
        + (f"{number(cm3(seen.volume_mm3))} cm³" if seen.volume_mm3 is not None else seen.status)
        for seen, day in pairs
    )
    return _svg(panels, f"Course of {name} over time. Volume {spoken}.")


def _band(change: Change | None, on_day: Mapping[str, tuple[int, float | None]]) -> Band | None:
    """Volumes, cm3, that the change's earlier measurement allows without a detectable change."""
    if change is None or change.volume_rc_pct is None or not change.comparable:
        return None
    if change.from_exam not in on_day or change.to_exam not in on_day:
        return None
    (start, volume), (end, _) = on_day[change.from_exam], on_day[change.to_exam]
    if volume is None or not math.isfinite(change.volume_rc_pct):
        return None
    share = change.volume_rc_pct / 100
    return Band(start, end, max(0.0, volume * (1 - share)) / 1000, volume * (1 + share) / 1000)


def _fit(
    fitted: Course | None, on_day: Mapping[str, tuple[int, float | None]]
) -> list[tuple[float, float]]:
    """A straight line in the logarithm as points of a curve, cm3."""
    if fitted is None or fitted.start_mm3 is None or fitted.end_mm3 is None:
        return []
    start, end = on_day[fitted.from_exam or ""][0], on_day[fitted.to_exam or ""][0]
    ratio = fitted.end_mm3 / fitted.start_mm3
    return [
        (start + part * (end - start), fitted.start_mm3 * ratio**part / 1000)
        for part in (k / 16 for k in range(17))
    ]


def totals_plot(totals: Totals, days: Mapping[str, int]) -> Markup:
    """The patient's total volume and the volume of new lesions over days."""

    def point(total: ExamTotal, value: float | None, ci: tuple[float, float] | None) -> Point:
        low, high = (ci[0] / 1000, ci[1] / 1000) if ci is not None else (None, None)
        note = "not evaluable" if value is None else ""
        return Point(days[total.exam_id], cm3(value), low, high, note)

    exams = totals.exams
    partly = "" if all(t.complete for t in exams) else "; incomplete where the text says so"
    panels = [
        Panel(
            f"Total volume, cm³ (bars: 95 % interval{partly})",
            [point(t, t.volume_mm3, t.volume_ci95_mm3) for t in exams],
        ),
        Panel(
            "Of it in lesions new since baseline, cm³",
            [
                point(t, 0.0 if k == 0 else t.new_since_baseline_volume_mm3, None)
                for k, t in enumerate(exams)
            ],
        ),
    ]
    spoken = "; ".join(
        f"day {days[t.exam_id]}: "
        + ("not evaluable" if t.volume_mm3 is None else f"{number(cm3(t.volume_mm3))} cm³")
        for t in exams
    )
    return _svg(panels, f"Total volume over time. {spoken}.")


def _svg(panels: Sequence[Panel], spoken: str) -> Markup:
    days = sorted({p.day for p in panels[0].points})
    first, last = days[0], days[-1]
    span = max(last - first, 1)

    def x_of(day: float) -> float:
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


def _panel(panel: Panel, top: float, x_of: Callable[[float], float]) -> Markup:
    values = [v for p in panel.points for v in (p.value, p.low, p.high) if v is not None]
    values += [v for _, v in panel.fit] + ([panel.band.high] if panel.band else [])
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
    if panel.band is not None:
        x = x_of(panel.band.from_day)
        parts.append(
            Markup(
                '<rect class="band" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
            ).format(
                x,
                y_of(panel.band.high),
                x_of(panel.band.to_day) - x,
                y_of(panel.band.low) - y_of(panel.band.high),
            )
        )
    if panel.fit:
        path = "L".join(f"{x_of(day):.1f} {y_of(value):.1f}" for day, value in panel.fit)
        parts.append(Markup('<path class="fit" d="M{}"/>').format(path))
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
