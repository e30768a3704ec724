"""Serial cases: what the lesions do and what the exams do, in a word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hoimg.errors import UsageError
from hoimg.geometry import Triple
from hoimg.image import CTVolume, Mask
from hoimg.simulate.courses import STORIES, course
from hoimg.simulate.exam import exam_grid, lesion_model, lesion_to_patient, metal_gap, share_in_view
from hoimg.simulate.labels import Seen, true_label
from hoimg.simulate.metal import KINDS, draw_metal
from hoimg.simulate.pairs import merging, splitting
from hoimg.simulate.places import Site, find_place, prepare
from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan
from hoimg.simulate.plant import LesionModel
from hoimg.simulate.pose import Bend, Rig

PAIRS = ("merging", "splitting")
EVENTS = ("changed-scanner", "moved-limb", "metal", "truncated")
"""What happens to the exams; the lesions are a mixture then."""
SCENARIOS = (*STORIES, *PAIRS, *EVENTS, "mixed")
PLACES = ("free", "near", "attached")

CHANGES = ("none", "thick", "sharp", "kvp")
"""What differs at the last exam: nothing, 3 mm slices, a bone kernel, 100 kVp."""

LIMITS_DEG = {"hip": ((-40, 20), (-30, 30), (-30, 30)), "arm": ((-40, 0), (0, 0), (0, 0))}
"""How far a joint may be turned about x, y, z, by a word in its name, degrees."""
METAL_MM = 10.0
"""A lesion nearer to metal is not judged, mm."""


def draw_days(count: int, seed: int) -> list[int]:
    """Days of exams: 84 to 190 apart, some of the earlier intervals 30 to 80 days."""
    rng = np.random.default_rng([seed, 74])
    gaps = rng.integers(84, 191, max(count - 1, 0))
    short = rng.random(len(gaps)) < 0.3
    short[-1:] = False
    gaps[short] = rng.integers(30, 81, int(short.sum()))
    return [0, *(int(d) for d in np.cumsum(gaps))][:count]


def plan_exams(count: int, slice_mm: float, change: str, seed: int) -> list[ExamPlan]:
    """Exams at drawn dates with random re-positioning (turns up to 8 degrees, shifts up to 5 mm).

    Args:
        count: Number of exams.
        slice_mm: Slice spacing.
        change: One of :data:`CHANGES`, applied to the last exam.
        seed: Of dates and re-positioning.
    """
    rng = np.random.default_rng([seed, 71])
    exams = []
    for index, days in enumerate(draw_days(count, seed)):
        turn = rng.uniform(-1, 1, 3) * (3, 3, 8) if index else np.zeros(3)
        shift = rng.uniform(-5, 5, 3) if index else np.zeros(3)
        exams.append(
            ExamPlan(
                days=days,
                slice_mm=slice_mm,
                degrees_xyz=(float(turn[0]), float(turn[1]), float(turn[2])),
                shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
                thick_mm=5.0 if index == 0 and slice_mm < 2.5 else None,
            )
        )
    exams[-1] = changed(exams[-1], change)
    return exams


def changed(exam: ExamPlan, change: str) -> ExamPlan:
    """An exam scanned in another way, one of :data:`CHANGES`.

    Raises:
        UsageError: for another word.
    """
    if change == "thick":
        return replace(exam, slice_mm=3.0)
    if change == "sharp":
        return replace(exam, kernel="B70f", psf_fwhm_mm=0.7, noise_sd_hu=35.0, noise_fwhm_mm=1.0)
    if change == "kvp":
        return replace(exam, kvp=100)
    if change != "none":
        raise UsageError(f"unknown change {change!r}; one of {', '.join(CHANGES)}")
    return exam


def draw_bend(rig: Rig, seed: int, least_deg: float = 15.0) -> Bend:
    """A joint of a rig bent within its limits, by ``least_deg`` or more about one axis."""
    rng = np.random.default_rng([seed, 75])
    joint = rig.joints[int(rng.integers(len(rig.joints)))]
    limits = next((v for k, v in LIMITS_DEG.items() if k in joint.name), LIMITS_DEG["hip"])
    ways = [
        (axis, end) for axis, ends in enumerate(limits) for end in ends if abs(end) >= least_deg
    ]
    axis, end = ways[int(rng.integers(len(ways)))]
    turn = [0.0, 0.0, 0.0]
    turn[axis] = float(np.sign(end) * rng.uniform(least_deg, abs(end)))
    return Bend(joint.name, (turn[0], turn[1], turn[2]))


def check_wish(scenario: str, lesions: int, exams: int, slice_mm: float, *, jointed: bool) -> None:
    """Refuse what :func:`plan_case` cannot plan, before an anatomy is made for it.

    Raises:
        UsageError: as :func:`plan_case`, but for a scan without room.
    """
    if scenario not in SCENARIOS:
        raise UsageError(f"unknown scenario {scenario!r}; one of {', '.join(SCENARIOS)}")
    if lesions < 1 or exams < 1 or slice_mm <= 0:
        raise UsageError("need at least one lesion, one exam and a positive slice spacing")
    if exams < 2 and scenario in ("new", "shrinking", *PAIRS, *EVENTS):
        raise UsageError(f"scenario {scenario!r} needs at least two exams")
    if scenario == "moved-limb" and not jointed:
        raise UsageError("scenario 'moved-limb' needs joints; use --limb hip or --limb arm")


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
    rig: Rig | None = None,
    low_lps_mm: Triple | None = None,
    high_lps_mm: Triple | None = None,
) -> CasePlan:
    """Place lesions in a scan and plan their course.

    Args:
        base: Scan or phantom without lesions.
        native_bone: Its native skeleton; None: by threshold.
        scenario: One of :data:`SCENARIOS`; ``mixed`` and what happens to exams give every lesion
            the next story.
        lesions: Number of lesions (``merging`` and ``splitting`` make pairs).
        exams: Number of exams.
        slice_mm: Slice spacing.
        change: One of :data:`CHANGES`.
        seed: Of everything.
        rig: Skeleton with joints, for ``moved-limb``.
        low_lps_mm: Lower corner of what is scanned; None: all of ``base``.
        high_lps_mm: Upper corner.

    Raises:
        UsageError: for unknown words, no lesion or exam, one exam for a scenario that needs two,
            no joint for ``moved-limb``, or a scan without room.
    """
    check_wish(scenario, lesions, exams, slice_mm, jointed=rig is not None)
    if scenario == "changed-scanner" and change == "none":
        change = CHANGES[1 + seed % 3]
    site = prepare(_viewed(base, low_lps_mm, high_lps_mm), native_bone)
    plan = CasePlan(
        base,
        native_bone or site.native_bone,
        plan_exams(exams, slice_mm, change, seed),
        _lesions(site, scenario, lesions, exams, seed),
        low_lps_mm,
        high_lps_mm,
        patient_id=f"SIM-{seed:04d}",
        seed=seed,
        note=f"simulated, scenario {scenario}",
        rig=rig if scenario == "moved-limb" else None,
    )
    plan = replace(plan, exams=_with_event(plan, scenario))
    try:
        return labelled(plan)
    except ValueError as error:
        raise UsageError(
            f"a lesion has no place when the limb moves: {error}; use another --seed"
        ) from error


def labelled(plan: CasePlan, models: dict[Any, LesionModel] | None = None) -> CasePlan:
    """The plan with each lesion's true label at the last exam (:mod:`hoimg.simulate.labels`)."""
    models = {} if models is None else models
    made = [
        replace(
            lesion,
            label=true_label(
                plan.exams, true_course(plan, n, models), reverse_zoning=lesion.manner == "reverse"
            ),
        )
        for n, lesion in enumerate(plan.lesions)
    ]
    return replace(plan, lesions=made)


def true_course(plan: CasePlan, number: int, models: dict[Any, LesionModel]) -> list[Seen]:
    """A lesion's true state at each exam."""
    lesion = plan.lesions[number]
    partners = [x for x in plan.lesions if lesion.lesion_id in (x.merged_into, x.split_from)]
    out = []
    for index, volume in enumerate(lesion.volumes_mm3):
        whole, alone = True, lesion.split_from is None
        if volume is not None:
            model = lesion_model(plan, number, index, models)
            way = lesion_to_patient(plan, number, index, models)
            gap = metal_gap(plan, index, model, way)
            seen = share_in_view(model, exam_grid(plan, plan.exams[index]), way)
            whole = seen > 0.999 and (gap is None or gap >= METAL_MM)
        for partner in partners:
            part = partner.volumes_mm3[index]
            if partner.merged_into and volume is not None:
                volume += part or 0.0  # the sum of the parts is what the whole grew from
            alone &= partner.split_from is None
        out.append(Seen(volume, lesion.stages[index], whole, alone))
    return out


def _with_event(plan: CasePlan, scenario: str) -> list[ExamPlan]:
    """The exams after what the scenario does to them; the first lesion is the one it hits."""
    exams, first = list(plan.exams), plan.lesions[0]
    last = len(exams) - 1
    if scenario == "moved-limb" and plan.rig is not None:
        for index in range(1, len(exams)):
            bend = draw_bend(plan.rig, plan.seed * 10 + index)
            exams[index] = replace(exams[index], bends=(bend,))
    if scenario == "metal":
        kind = KINDS[plan.seed % 3]
        metal = draw_metal(kind, plan.native_bone, first.center_lps_mm, plan.seed)
        for index in range(max(1, last), len(exams)):
            exams[index] = replace(exams[index], metal=tuple(metal))
    if scenario == "truncated":
        exams[last] = _cut(plan, exams[last], 0.0)
        if last > 1:
            exams[1] = _cut(plan, exams[1], _radius(first) + 12.0)
    return exams


def _cut(plan: CasePlan, exam: ExamPlan, beyond_mm: float) -> ExamPlan:
    """An exam that ends at the first lesion's middle or before it; the longer side stays."""
    exam = replace(exam, degrees_xyz=(0.0, 0.0, exam.degrees_xyz[2]), shift_mm=(0.0, 0.0, 0.0))
    grid = exam_grid(plan, exam)
    low, high = grid.to_lps_mm(grid.corners_zyx()).min(0), grid.to_lps_mm(grid.corners_zyx()).max(0)
    z = plan.lesions[0].center_lps_mm[2]
    if z - low[2] > high[2] - z:
        return replace(exam, high_lps_mm=(high[0], high[1], z - beyond_mm))
    return replace(exam, low_lps_mm=(low[0], low[1], z + beyond_mm))


def _radius(lesion: LesionPlan) -> float:
    largest = max(v for v in lesion.volumes_mm3 if v is not None)
    return 1.6 * float((3 * largest / (4 * np.pi)) ** (1 / 3))


def _lesions(site: Site, scenario: str, lesions: int, exams: int, seed: int) -> list[LesionPlan]:
    rng = np.random.default_rng([seed, 72])
    stories = list(STORIES) if exams >= 2 else ["growing", "stable"]
    placed: list[LesionModel] = []
    plans: list[LesionPlan] = []
    number = 0
    while len(plans) < lesions:
        mixture = scenario == "mixed" or scenario in EVENTS
        story = stories[number % len(stories)] if mixture else scenario
        volume = float(np.exp(rng.uniform(np.log(1500), np.log(5000))))
        where = PLACES[number % 3]
        names = (_name(len(plans)), _name(len(plans) + 1))
        if story in PAIRS:
            # Twice the size, so that the parts can be measured before they meet.
            spec = _place(site, "free", 2 * volume, len(plans) + 1, seed * 100 + number, placed)
            pair = merging if story == "merging" else splitting
            plans += pair(spec.spec, exams, seed * 100 + number, names)
        else:
            found = _place(site, where, volume, len(plans) + 1, seed * 100 + len(plans), placed)
            plans.append(single(found, story, exams, names[0]))
        number += 1
    return plans


def single(model: LesionModel, story: str, exams: int, name: str) -> LesionPlan:
    """A lesion that stays one: a place and form, and a story of :data:`STORIES`."""
    spec = model.spec
    told = course(story, exams, spec.volume_mm3)
    return LesionPlan(
        name,
        spec.where,
        "indeterminate",
        spec.center_lps_mm,
        spec.seed,
        told.volumes_mm3,
        told.stages,
        [spec.shape] * exams,
        shell_mm=spec.shell_mm,
        shell_hu=spec.shell_hu,
        manner=told.manner,
        story=story,
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


def _viewed(base: CTVolume, low: Triple | None, high: Triple | None) -> CTVolume:
    """What is scanned of a base whose axes are the patient's."""
    if low is None and high is None:
        return base
    index = base.grid.to_index_zyx(np.array([p for p in (low, high) if p is not None]))
    first = np.zeros(3, int) if low is None else np.maximum(np.floor(index[0]), 0).astype(int)
    last = np.asarray(base.grid.size_zyx)
    if high is not None:
        last = np.minimum(np.ceil(index[-1]).astype(int) + 1, last)
    a, b, c = (slice(int(i), int(j)) for i, j in zip(first, last, strict=True))
    return base.crop((a, b, c))


def _name(index: int) -> str:
    """A, B, ... Z, then L27, L28, ..."""
    return chr(65 + index) if index < 26 else f"L{index + 1}"
