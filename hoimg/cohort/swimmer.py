"""The swimmer plot: a lane a lesion, its maturity label from exam to exam."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from hoimg.cohort.figures import WIDTH, cut_text, open_plot
from hoimg.cohort.read import LesionCourse
from hoimg.report.plots import nice_step, tick_text
from hoimg.report.words import LABELS, count

LEFT, RIGHT, TOP, LANE = 190, 24, 26, 15
MOST_LANES = 200
"""More cannot be read one by one; those that were followed longest are shown."""
MARKS = {
    "mature": "M{x:.1f} {y:.1f}m-4.4 0a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0 -8.8 0Z",
    "immature": "M{x:.1f} {y:.1f}m0 -5l5 9h-10Z",
    "indeterminate": "M{x:.1f} {y:.1f}m0 -4.4l4.4 4.4l-4.4 4.4l-4.4 -4.4Z",
}
"""The shapes that the labels have in reports, too."""


@dataclass(frozen=True)
class Swimmer:
    """The drawing, lanes in it, and lesions that were rated at all."""

    svg: Markup
    lanes: int
    rated: int


def swimmer(lesions: Iterable[LesionCourse]) -> Swimmer:
    """Draw lesions with their label at each exam, those that were followed longest first.

    Between two exams a lane has the label of the earlier one: what happened there is not known.
    """
    rated = [lesion for lesion in lesions if lesion.labels]
    rated.sort(key=lambda x: (-(x.labels[-1][0] - x.labels[0][0]), x.patient_key, x.lesion_id))
    lanes = rated[:MOST_LANES]
    return Swimmer(_svg(lanes) if lanes else Markup(""), len(lanes), len(rated))


def _svg(lanes: list[LesionCourse]) -> Markup:
    first = min(lane.labels[0][0] for lane in lanes)
    span = max(max(lane.labels[-1][0] for lane in lanes) - first, 1)
    step = nice_step(span, 8)
    inner = WIDTH - LEFT - RIGHT - 16

    def x_of(day: float) -> float:
        return LEFT + 8 + inner * (day - first) / span

    height = TOP + LANE * len(lanes)
    now = Counter(lane.labels[-1][1] for lane in lanes)
    spoken = (
        f"Maturity label of {count(len(lanes), 'lesion')} over {span} days; at their newest exam "
        + ", ".join(f"{now[label]} {label}" for label in MARKS)
    )
    parts = [open_plot(height + 26, spoken)]
    day: float = first - first % step
    while day <= first + span:
        if day >= first:
            for at in (TOP - 10, height + 16):
                parts.append(
                    Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>')
                    .format(x_of(day), at, tick_text(day, step))
                )  # fmt: skip
            parts.append(
                Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(
                    x_of(day), TOP - 4, height + 2
                )
            )
        day += step
    lines, marks = defaultdict(list), defaultdict(list)
    for n, lane in enumerate(lanes):
        y = TOP + LANE * (n + 0.5)
        parts.append(
            Markup('<text class="row" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                LEFT - 10, y + 4, f"{cut_text(lane.patient_key, 16)} {cut_text(lane.lesion_id, 6)}"
            )
        )
        for (day_a, label), (day_b, _) in zip(lane.labels, lane.labels[1:], strict=False):
            lines[label].append(f"M{x_of(day_a):.1f} {y:.1f}H{x_of(day_b):.1f}")
        for day_a, label in lane.labels:
            if label in MARKS:
                marks[label].append(MARKS[label].format(x=x_of(day_a), y=y))
    for label in MARKS:
        parts += [
            Markup('<path class="{}-{}" d="{}"/>').format(kind, label, "".join(paths[label]))
            for kind, paths in (("lane", lines), ("mark", marks))
            if paths[label]
        ]
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def legend() -> list[tuple[str, str]]:
    """Labels with their words, for the key above the plot."""
    return [(label, LABELS[label]) for label in MARKS]
