"""Stories of lesions over time: growing, maturing, stable, appearing, merging, or all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hoimg.errors import UsageError
from hoimg.image import CTVolume, Mask
from hoimg.simulate.places import Site, find_place, prepare
from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan
from hoimg.simulate.plant import LesionModel, natural_volume_mm3
from hoimg.simulate.shapes import Lobulated, Scaled, Union

SCENARIOS = ("growing", "maturing", "stable", "appearing", "merging", "mixed")
PLACES = ("free", "near", "attached")
STEP_DAYS = 95
"""Days between exams; more than the 84 that a stable pair needs."""

CHANGES = ("none", "thick", "sharp", "kvp")
"""What differs at the last exam: nothing, 3 mm slices, a bone kernel, 100 kVp."""


def plan_exams(count: int, slice_mm: float, change: str, seed: int) -> list[ExamPlan]:
    """Exams ``STEP_DAYS`` apart with small random re-positioning.

    Args:
        count: Number of exams.
        slice_mm: Slice spacing.
        change: One of :data:`CHANGES`, applied to the last exam.
        seed: Of the re-positioning.
    """
    rng = np.random.default_rng([seed, 71])
    exams = []
    for index in range(count):
        turn = rng.uniform(-3, 3, 3) if index else np.zeros(3)
        shift = rng.uniform(-5, 5, 3) if index else np.zeros(3)
        exams.append(
            ExamPlan(
                days=index * STEP_DAYS,
                slice_mm=slice_mm,
                degrees_xyz=(float(turn[0]), float(turn[1]), float(turn[2])),
                shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
                thick_mm=5.0 if index == 0 and slice_mm < 2.5 else None,
            )
        )
    if change == "thick":
        exams[-1] = replace(exams[-1], slice_mm=3.0)
    elif change == "sharp":
        exams[-1] = replace(
            exams[-1], kernel="B70f", psf_fwhm_mm=0.7, noise_sd_hu=35.0, noise_fwhm_mm=1.0
        )
    elif change == "kvp":
        exams[-1] = replace(exams[-1], kvp=100)
    elif change != "none":
        raise UsageError(f"unknown change {change!r}; one of {', '.join(CHANGES)}")
    return exams


def course(story: str, count: int, volume_mm3: float) -> tuple[list[float | None], list[float]]:
    """Volumes and stages over the exams of one story, and at the end ``volume_mm3``.

    ``growing``: +45 % an interval under a partial rim. ``maturing``: grows 20 % and ripens until
    the last but one exam, then stays. ``stable``: mature throughout. ``appearing``: absent at
    first, then young and growing.
    """
    steps = list(range(count))
    back = [count - 1 - s for s in steps]
    if story == "growing":
        return [volume_mm3 / 1.45**b for b in back], [0.75 - 0.05 * min(b, 6) for b in back]
    if story == "maturing":
        ripe = [max(b - 1, 0) for b in back]
        return (
            [volume_mm3 / 1.2**r for r in ripe],
            [max(1.0 - 0.25 * float(r), 0.3) for r in ripe],
        )
    if story == "stable":
        return [volume_mm3] * count, [1.0] * count
    if story == "appearing":
        volumes: list[float | None] = [volume_mm3 / 1.5**b for b in back]
        volumes[0] = None
        return volumes, [min(0.15 + 0.2 * max(s - 1, 0), 0.7) for s in steps]
    raise UsageError(f"unknown scenario {story!r}; one of {', '.join(SCENARIOS)}")


EXPECTED = {
    "growing": "immature",
    "maturing": "mature",
    "stable": "mature",
    "appearing": "immature",
}
"""Label that the truth supports at the last exam, given comparable exams."""


def plan_case(
    base: CTVolume,
    native_bone: Mask | None = None,
    *,
    scenario: str = "mixed",
    lesions: int = 3,
    exams: int = 3,
    slice_mm: float = 1.25,
    change: str = "none",
    seed: int = 0,
) -> CasePlan:
    """Place lesions in a scan and plan their course.

    Args:
        base: Scan or phantom without lesions.
        native_bone: Its native skeleton; None: by threshold.
        scenario: One of :data:`SCENARIOS`; ``mixed`` gives every lesion the next story.
        lesions: Number of lesions (``merging`` makes pairs).
        exams: Number of exams.
        slice_mm: Slice spacing.
        change: One of :data:`CHANGES`.
        seed: Of everything.

    Raises:
        UsageError: for unknown words, no lesion or exam, one exam for a story that needs two, or
            a scan without room.
    """
    if scenario not in SCENARIOS:
        raise UsageError(f"unknown scenario {scenario!r}; one of {', '.join(SCENARIOS)}")
    if lesions < 1 or exams < 1 or slice_mm <= 0:
        raise UsageError("need at least one lesion, one exam and a positive slice spacing")
    if exams < 2 and scenario in ("appearing", "merging"):
        raise UsageError(f"scenario {scenario!r} needs at least two exams")
    site = prepare(base, native_bone)
    rng = np.random.default_rng([seed, 72])
    stories = ["maturing", "growing", "appearing", "stable"]
    if exams < 2:
        stories = ["growing", "stable"]
    placed: list[LesionModel] = []
    plans: list[LesionPlan] = []
    number = 0
    while len(plans) < lesions:
        story = stories[number % len(stories)] if scenario == "mixed" else scenario
        volume = float(np.exp(rng.uniform(np.log(1500), np.log(5000))))
        where = PLACES[int(number) % 3]
        if story == "merging":
            # Twice the size, so that the parts can be measured before they meet.
            plans += _merging(site, exams, 2 * volume, len(plans), seed * 100 + number, placed)
        else:
            plans.append(_single(site, story, where, exams, volume, len(plans), seed, placed))
        number += 1
    if change != "none":
        # The last pair cannot be compared, or the last exam not judged: nothing can be called.
        plans = [replace(p, label="indeterminate") for p in plans]
    return CasePlan(
        base,
        site.native_bone,
        plan_exams(exams, slice_mm, change, seed),
        plans,
        patient_id=f"SIM-{seed:04d}",
        seed=seed,
        note=f"simulated, scenario {scenario}",
    )


def _place(
    site: Site, where: str, volume: float, label: int, seed: int, placed: list[LesionModel]
) -> LesionModel:
    """A place for the lesion at its largest; smaller, then elsewhere, when there is no room."""
    for word in (where, *(w for w in PLACES if w != where)):
        for part in (1.0, 0.6):
            try:
                found = find_place(
                    site, word, volume * part, 1.0, label=label, seed=seed, others=placed
                )
            except ValueError:
                continue
            placed.append(found)
            return found
    raise UsageError("the scan has no room for that many lesions; ask for fewer with --lesions")


def _single(
    site: Site,
    story: str,
    where: str,
    exams: int,
    volume: float,
    index: int,
    seed: int,
    placed: list[LesionModel],
) -> LesionPlan:
    """A lesion that stays one."""
    spec = _place(site, where, volume, index + 1, seed * 100 + index, placed).spec
    volumes, stages = course(story, exams, spec.volume_mm3)
    # Mature needs an unchanged pair, growth a pair at all: one exam cannot tell.
    label = EXPECTED[story] if exams >= 2 else "indeterminate"
    if story == "appearing" and exams < 3:
        label = "indeterminate"
    return LesionPlan(
        _name(index),
        spec.where,
        label,
        spec.center_lps_mm,
        spec.seed,
        volumes,
        stages,
        [spec.shape] * exams,
        shell_mm=spec.shell_mm,
        shell_hu=spec.shell_hu,
    )


def _merging(
    site: Site, exams: int, volume: float, index: int, seed: int, placed: list[LesionModel]
) -> list[LesionPlan]:
    """Two neighbours that are one at the last exam."""
    spec = _place(site, "free", volume, index + 1, seed, placed).spec
    # Each of the two is a plain form that overlaps the other at the last exam only.
    radius = float((3 * spec.volume_mm3 / 2.2 / (4 * np.pi)) ** (1 / 3))
    side = np.random.default_rng([seed, 73]).standard_normal(3)
    side *= 0.95 * radius / np.linalg.norm(side)
    forms = [Lobulated(seed + n, 0.04, lobes=0) for n in (0, 1)]
    joined = Union(
        Scaled(forms[0], radius, (side[0], side[1], side[2])),
        Scaled(forms[1], radius, (-side[0], -side[1], -side[2])),
        4.0,
    )
    united = Scaled(joined, 1.0, (-side[0], -side[1], -side[2]))
    volume = natural_volume_mm3(united)
    back = [exams - 1 - e for e in range(exams)]
    # Before they meet each is small enough to leave a gap.
    apart: list[float | None] = [0.09 * volume / 1.4 ** (b - 1) for b in back[:-1]]
    stages = [0.8 - 0.08 * min(b, 6) for b in back]
    centre = np.asarray(spec.center_lps_mm)

    def alone(number: int, sign: float) -> LesionPlan:
        at = centre + sign * side
        last: list[float | None] = [volume] if number == 0 else [None]
        shape = forms[number]
        shapes = [shape] * (exams - 1) + [united if number == 0 else shape]
        return LesionPlan(
            _name(index + number),
            "free",
            "immature",
            (at[0], at[1], at[2]),
            seed + number,
            apart + last,
            stages,
            shapes,
            merged_into=None if number == 0 else _name(index),
        )

    return [alone(0, 1.0), alone(1, -1.0)]


def _name(index: int) -> str:
    """A, B, ... Z, then L27, L28, ..."""
    return chr(65 + index) if index < 26 else f"L{index + 1}"
