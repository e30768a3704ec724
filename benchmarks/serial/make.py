#!/usr/bin/env python3
"""Write the cases of the serial benchmark: ``make.py --set tuning|reporting -o FOLDER``.

Every case is a folder with the DICOM studies of one patient, their truth and ``case.json``; it
depends on its seed and on ``recipe.toml`` alone. Cases that are there are left. See ``README.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bodies import Body, limb, pelvis, plain, trunk, varied
from scipy.spatial import cKDTree

from hoimg.simulate.case import write_case
from hoimg.simulate.courses import course
from hoimg.simulate.exam import exam_to_patient, lesion_model, lesion_to_patient
from hoimg.simulate.metal import KINDS, draw_metal
from hoimg.simulate.pairs import merging, splitting
from hoimg.simulate.places import Site, find_place, prepare
from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan
from hoimg.simulate.plant import LesionModel
from hoimg.simulate.pose import Pose, lookup, transform
from hoimg.simulate.scenarios import changed, draw_bend, labelled, single

RECIPE = tomllib.loads((Path(__file__).resolve().parent / "recipe.toml").read_text())
PLACES = ("near", "attached", "free")
PAIRS = {"merging": merging, "splitting": splitting}
MOST_OVERLAP_MM3 = 3000.0
"""A bend that pushes bones further into each other is drawn anew, mm3 (a real head is no ball)."""
CLEAR_MM = 3.0
"""Lesions that come nearer to each other in a bent pose are not planted, mm."""


@dataclass(frozen=True)
class Job:
    """A patient to make."""

    seed: int
    family: str
    number: int
    stories: tuple[str, ...]
    event: str
    exams: int
    bent: bool

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.family}-{self.seed:04d}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=sorted(RECIPE["sets"]), required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--family", choices=sorted(RECIPE["family"]), action="append")
    parser.add_argument("--first", type=int, help="only so many patients")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="say what would be made, and end")
    args = parser.parse_args()
    jobs = [j for j in plan_jobs(args.set) if not args.family or j.family in args.family]
    jobs = jobs[: args.first]
    if args.list:
        for job in jobs:
            print(job.name, job.event, "bent" if job.bent else "", job.exams, *job.stories)
        print(f"{len(jobs)} patients, {sum(j.exams for j in jobs)} exams")
        return 0
    plain.data_folder()
    todo = [j for j in jobs if not (args.output / j.name / "case.json").exists()]
    # One family after the other in a worker, so that each prepares its anatomy once.
    todo.sort(key=lambda j: j.family)
    with ProcessPoolExecutor(args.jobs) as pool:
        for number, said in enumerate(
            pool.map(_made, todo, [args.output] * len(todo), [args.set] * len(todo)), start=1
        ):
            print(f"{number}/{len(todo)} {said}", flush=True)
    return 0


def _made(job: Job, output: Path, set_name: str) -> str:
    """Make one case; a failure is told and ends nothing else."""
    start = time.perf_counter()
    try:
        plan, models = plan_case(job, set_name)
        write_case(plan, output / job.name, models=models)
    except Exception:
        return f"{job.name} FAILED\n{traceback.format_exc()}"
    took = time.perf_counter() - start
    return f"{job.name}: {len(plan.lesions)} lesions, {len(plan.exams)} exams, {took:.0f} s"


def plan_jobs(name: str) -> list[Job]:
    """All patients of a set, families taking turns, so that a part of the set is a mixture."""
    which = 0 if name == "tuning" else 1
    seed = int(RECIPE["sets"][name])
    rng = np.random.default_rng([seed, 83])
    slots = sum(t["patients"][which] * t["lesions"] for t in RECIPE["family"].values())
    parts = RECIPE["story"]
    stories = [
        story
        for story, part in parts.items()
        for _ in range(int(np.ceil(slots * part / sum(parts.values()))))
    ]
    stories = [stories[i] for i in rng.permutation(len(stories))]
    scan, turn = RECIPE["scan"], RECIPE["events"]["turn"]
    columns: list[list[Job]] = []
    count = 0
    for family, table in RECIPE["family"].items():
        column = []
        for number in range(table["patients"][which]):
            mine = tuple(stories.pop() for _ in range(table["lesions"]))
            event = turn[count % len(turn)]
            exams = scan["exams"][count % len(scan["exams"])]
            bent = bool(table["bent"]) and number % table["bent"] == 0
            column.append(Job(seed + number, family, number, mine, event, exams, bent))
            count += 1
        columns.append(column)
        seed += 40
    return [job for row in zip_longest(*columns) for job in row if job is not None]


def plan_case(job: Job, set_name: str) -> tuple[CasePlan, dict[Any, LesionModel]]:
    """Anatomy, exams and lesions of one patient, and the lesions as built."""
    rng = np.random.default_rng([job.seed, 84])
    body, low, high = _body(job, rng)
    exams = _exams(job, rng)
    models: dict[Any, LesionModel] = {}
    plan = CasePlan(
        body.volume,
        body.rig.bone,
        exams,
        [],
        low,
        high,
        patient_id=f"SERIAL-{job.name.upper()}",
        seed=job.seed,
        clean_air=True,
        compression="none",
        note="Benchmark: planted lesions over serial exams; anatomy real (TotalSegmentator sample "
        "data, Apache-2.0) or a digital limb",
        extra={"set": set_name, "family": job.family, "event": job.event, "bent": job.bent},
        rig=body.rig if job.bent else None,
    )
    if job.bent:
        plan = replace(plan, exams=_bent(plan, job))
    plan = replace(plan, lesions=_lesions(job, plan, body, rng, models))
    plan = replace(plan, exams=_event(plan, job))
    return labelled(plan, models), models


def _body(job: Job, rng: np.random.Generator) -> tuple[Body, Any, Any]:
    """The anatomy and the corners of what is scanned of it, LPS mm."""
    table = RECIPE["family"][job.family]
    if "z" not in table:
        body, low, high = limb(job.family, job.seed)
        return body, low, high
    source = pelvis() if job.family == "pelvis" else trunk(job.family)
    scale = round(float(rng.uniform(*RECIPE["scan"]["scale"])), 4)
    body = varied(source, bool(rng.random() < 0.5), scale)
    first, last = (z * scale for z in table["z"])
    span = min(float(rng.uniform(*table["span"])), last - first)
    start = float(rng.uniform(first, last - span))
    return body, *_corners(body, start, start + span, 45.0 if job.bent else 0.0)


def _corners(body: Body, low_z: float, high_z: float, before_mm: float) -> tuple[Any, Any]:
    """The body's box between two levels, with room for re-positioning and a lifted thigh."""
    grid = body.volume.grid
    index = np.argwhere(body.volume.hu[:, ::3, ::3] > -300) * (1, 3, 3)
    points = grid.to_lps_mm(index)
    points = points[(points[:, 2] > low_z) & (points[:, 2] < high_z)]
    # The table lies behind; what is thin is not the body.
    low, high = (np.percentile(points, q, axis=0) for q in (0.5, 99.5))
    edges = grid.to_lps_mm(grid.corners_zyx())
    low = np.maximum(low - (12, 12 + before_mm, 0), edges.min(0) - (0, before_mm, 0))
    high = np.minimum(np.add(high, (12, 12, 0)), edges.max(0))
    return (low[0], low[1], low_z), (high[0], high[1], high_z)


def _exams(job: Job, rng: np.random.Generator) -> list[ExamPlan]:
    scan = RECIPE["scan"]
    kernel = RECIPE["kernel"][int(rng.integers(len(RECIPE["kernel"])))]
    slice_mm = scan["slice_mm"][(job.number * 3 + job.seed) % len(scan["slice_mm"])]
    pixel = round(float(rng.uniform(*scan["pixel_mm"])), 3)
    kvp = int(scan["kvp"][int(rng.integers(len(scan["kvp"])))])
    noise = round(float(rng.uniform(*kernel["noise_hu"])), 1)
    days, exams = 0, []
    for index in range(job.exams):
        if index:
            short = rng.random() < 0.25 and index < job.exams - 1
            days += int(rng.integers(*scan["short_days" if short else "days"]))
        tilt, turn = scan["tilt_deg"], scan["turn_deg"]
        degrees = rng.uniform(-1, 1, 3) * (tilt, tilt, turn) * (index > 0)
        shift = rng.uniform(-1, 1, 3) * scan["shift_mm"] * (index > 0)
        exams.append(
            ExamPlan(
                days,
                slice_mm,
                pixel,
                kernel["psf_fwhm_mm"],
                kernel["name"],
                kvp,
                noise,
                kernel["noise_fwhm_mm"],
                (float(degrees[0]), float(degrees[1]), float(degrees[2])),
                (float(shift[0]), float(shift[1]), float(shift[2])),
            )
        )
    if job.event == "changed-scanner":
        at = int(rng.integers(job.exams))
        other = ("thick", "sharp", "kvp")[job.seed % 3]
        other = "sharp" if other == "kvp" and kvp == 100 else other
        exams[at] = changed(exams[at], other)
    return exams


def _bent(plan: CasePlan, job: Job) -> list[ExamPlan]:
    """A joint bent at every exam after the first, but every third of them."""
    assert plan.rig is not None
    out = [plan.exams[0]]
    for index, exam in enumerate(plan.exams[1:], start=1):
        for attempt in range(8):
            seed = (job.seed * 10 + index) * 10 + attempt
            bend = draw_bend(plan.rig, seed, RECIPE["scan"]["least_bend_deg"])
            if Pose(plan.rig, [bend]).overlap_mm3() < MOST_OVERLAP_MM3:
                break
        out.append(replace(exam, bends=(bend,)) if index % 3 else exam)
    return out


def _lesions(
    job: Job, plan: CasePlan, body: Body, rng: np.random.Generator, models: dict[Any, LesionModel]
) -> list[LesionPlan]:
    assert plan.low_lps_mm is not None
    assert plan.high_lps_mm is not None
    # What tilts and shifts may bring out of the scan stays free of lesions.
    site = prepare(
        _cropped(body, plan.low_lps_mm[2] + 9, plan.high_lps_mm[2] - 9), body.rig.bone, body.region
    )
    table = RECIPE["family"][job.family]
    placed: list[LesionModel] = []
    made: list[LesionPlan] = []
    for slot, story in enumerate(job.stories):
        volume = 1000 * float(np.exp(rng.uniform(*np.log(table["volume"]))))
        grows = story in ("growing", "growing-without-rim", "new")
        if grows:  # large enough to start above 1 mL
            volume = max(volume, 1080.0 * RECIPE["scan"]["growth"] ** (job.exams - 1))
        if story == "reverse-zoning":  # a centre and an edge need room
            volume = max(volume, 2500.0)
        where = "free" if story in PAIRS else PLACES[slot % 3]
        found = _place(job, site, where, volume * (2 if story in PAIRS else 1), slot, placed)
        if found is None:
            continue
        names = (f"L{len(made) + 1:02d}", f"L{len(made) + 2:02d}")
        if story in PAIRS:
            at = int(rng.integers(1, job.exams))
            more = PAIRS[story](found.spec, job.exams, job.seed * 100 + slot, names, at)
        else:
            more = [_told(found, story, job.exams, names[0], rng)]
        trial = replace(plan, lesions=[*made, *more])
        if not all(_fits(trial, len(made) + n, models) for n in range(len(more))):
            print(f"{job.name}: {story} would run into something, left out", file=sys.stderr)
            continue
        placed.append(found)
        made += more
    return made


def _told(
    found: LesionModel, story: str, exams: int, name: str, rng: np.random.Generator
) -> LesionPlan:
    """A lesion with its course; growth is by the recipe's factor."""
    volume = found.spec.volume_mm3
    if story == "young":
        stage = round(float(rng.uniform(0.05, 0.3)), 3)
        return replace(single(found, "stable", exams, name), stages=[stage] * exams, story=story)
    if story in ("growing", "growing-without-rim"):
        stage = 0.95 if story == "growing" else round(float(rng.uniform(0.1, 0.3)), 3)
        sizes = [volume / RECIPE["scan"]["growth"] ** (exams - 1 - e) for e in range(exams)]
        return replace(single(found, story, exams, name), volumes_mm3=sizes, stages=[stage] * exams)
    course(story, exams, volume)  # a story of the simulator's own
    return single(found, story, exams, name)


def _place(
    job: Job, site: Site, where: str, volume: float, slot: int, placed: list[LesionModel]
) -> LesionModel | None:
    """Room for a lesion: elsewhere, then smaller; None and a word when there is none."""
    for part in (1.0, 0.75, 0.55):
        for attempt, word in enumerate((where, "free", "near")):
            try:
                return find_place(
                    site,
                    word,
                    volume * part,
                    1.0,
                    label=len(placed) + 1,
                    seed=(job.seed * 100 + slot) * 10 + attempt,
                    others=placed,
                    kind="plaque" if slot % 4 == 3 else "lobulated",
                    metal_gap_mm=15.0,
                    tries=30,
                )
            except ValueError:
                continue
    print(f"{job.name}: no room for {volume:.0f} mm3 {where}", file=sys.stderr)
    return None


def _fits(plan: CasePlan, number: int, models: dict[Any, LesionModel]) -> bool:
    """Whether a lesion keeps clear of bones and of earlier lesions in every pose."""
    if plan.rig is None:
        return True
    for index, exam in enumerate(plan.exams):
        if not exam.bends:
            continue
        pose = plan.pose(exam)
        try:
            points = [_moved(plan, n, index, models) for n in range(number + 1)]
        except ValueError:
            return False
        if plan.lesions[number].where == "free" and pose.gaps_mm(points[-1]).min() < 1.0:
            return False
        tree = cKDTree(points[-1])
        partner = plan.lesions[number].merged_into or plan.lesions[number].split_from
        for n, other in enumerate(points[:-1]):
            if plan.lesions[n].lesion_id == partner:
                continue
            if tree.query(other)[0].min() < CLEAR_MM:
                return False
    return True


def _moved(plan: CasePlan, number: int, index: int, models: dict[Any, LesionModel]) -> np.ndarray:
    """Points of a lesion at its largest in the posed patient, LPS mm."""
    sizes = [0.0 if v is None else v for v in plan.lesions[number].volumes_mm3]
    model = lesion_model(plan, number, int(np.argmax(sizes)), models)
    way = lesion_to_patient(plan, number, index, models)
    whole = exam_to_patient(plan, plan.exams[index])
    points = model.grid.to_lps_mm(np.argwhere(model.occupancy > 0.5)[::23])
    return transform(whole @ np.linalg.inv(way), points)


def _event(plan: CasePlan, job: Job) -> list[ExamPlan]:
    """The exams after metal was put in, or with a shorter view."""
    exams = list(plan.exams)
    last = len(exams) - 1
    if not plan.lesions:
        return exams
    hit = plan.lesions[job.seed % len(plan.lesions)]
    if job.event == "metal":
        rods = draw_metal(KINDS[job.seed % 3], plan.native_bone, hit.center_lps_mm, job.seed)
        if plan.rig is not None:  # fixed to the bone that it is in
            middle = np.mean([(r.start_lps_mm, r.end_lps_mm) for r in rods], axis=(0, 1))[None]
            grid = plan.rig.bone.grid
            gaps = [lookup(d, grid, middle)[0] for d in plan.rig.distances_mm]
            rods = [replace(r, group=int(np.argmin(gaps))) for r in rods]
        exams[last] = replace(exams[last], metal=tuple(rods))
    if job.event == "truncated":
        assert plan.low_lps_mm is not None
        assert plan.high_lps_mm is not None
        at = 1 + job.seed % last if last > 1 else last
        z = hit.center_lps_mm[2]
        low, high = plan.low_lps_mm, plan.high_lps_mm
        past = 0.0 if job.seed % 2 else 20.0  # cut, or wholly out of view
        cut = (
            {"high_lps_mm": (high[0], high[1], z - past)}
            if z - low[2] > high[2] - z
            else {"low_lps_mm": (low[0], low[1], z + past)}
        )
        exams[at] = replace(exams[at], **cut)
    return exams


def _cropped(body: Body, low_z: float, high_z: float) -> Any:
    """The slices of the source between two levels (its axes are the patient's, maybe reversed)."""
    grid = body.volume.grid
    z = grid.to_lps_mm([(k, 0, 0) for k in range(grid.size_zyx[0])])[:, 2]
    inside = np.flatnonzero((z >= low_z) & (z <= high_z))
    _, ny, nx = grid.size_zyx
    box = (slice(int(inside[0]), int(inside[-1]) + 1), slice(0, ny), slice(0, nx))
    return body.volume.crop(box)


if __name__ == "__main__":
    raise SystemExit(main())
