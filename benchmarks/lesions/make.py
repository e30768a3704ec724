#!/usr/bin/env python3
"""Write the cases of the lesion benchmark: ``make.py --set tuning|reporting -o FOLDER``.

Every case is a folder with one DICOM study, its truth and ``case.json``; it depends on its seed
and on ``recipe.toml`` alone. Cases that are already there are left as they are. See ``README.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from anatomy import Anatomy, anatomy, data_folder, varied

from hoimg.simulate.case import write_case
from hoimg.simulate.places import Site, find_place, prepare
from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan, model_key
from hoimg.simulate.plant import LesionModel

RECIPE = tomllib.loads((Path(__file__).resolve().parent / "recipe.toml").read_text())
SMALLER = 0.7
"""A lesion without room is tried again at this part of its volume."""


@dataclass(frozen=True)
class Wish:
    """A lesion as it is wanted: place, volume and stage."""

    where: str
    volume_mm3: float
    stage: float
    kind: str
    manner: str = "zonal"


@dataclass(frozen=True)
class Job:
    """A case to make: its seed, family and wishes (none: an unplanted scan)."""

    seed: int
    family: str
    wishes: tuple[Wish, ...]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.family}-{self.seed:04d}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=sorted(RECIPE["sets"]), required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--family", choices=sorted(RECIPE["family"]), action="append")
    parser.add_argument("--list", action="store_true", help="say what would be made, and end")
    args = parser.parse_args()
    jobs = [j for j in plan_jobs(args.set) if not args.family or j.family in args.family]
    if args.list:
        for job in jobs:
            print(job.name, *(f"{w.where}:{w.volume_mm3:.0f}:{w.stage:.2f}" for w in job.wishes))
        print(f"{len(jobs)} scans, {sum(len(j.wishes) for j in jobs)} lesions")
        return 0
    data_folder()
    for number, job in enumerate(jobs, start=1):
        folder = args.output / job.name
        if (folder / "case.json").exists():
            continue
        start = time.perf_counter()
        plan, models = plan_case(job, args.set)
        write_case(plan, folder, models=models)
        print(
            f"{number}/{len(jobs)} {job.name}: {len(plan.lesions)} of {len(job.wishes)} lesions, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    return 0


def plan_jobs(name: str) -> list[Job]:
    """All cases of a set, families taking turns, so that a part of the set is a mixture."""
    seed = int(RECIPE["sets"][name])
    columns: list[list[Job]] = []
    for number, (family, table) in enumerate(RECIPE["family"].items()):
        rng = np.random.default_rng([seed, number, 81])
        wishes = _wishes(family, table, rng)
        if name in RECIPE["varied"]["sets"]:
            wishes = [tuple(_varied(w, rng) for w in case) for case in wishes]
        jobs = [Job(seed + n, family, w) for n, w in enumerate(wishes)]
        jobs += [Job(seed + len(jobs) + n, family, ()) for n in range(table["unplanted"])]
        seed += 100
        columns.append(jobs)
    return [job for row in zip_longest(*columns) for job in row if job is not None]


def _wishes(family: str, table: dict[str, Any], rng: np.random.Generator) -> list[tuple[Wish, ...]]:
    """What to plant in each case of a family: volumes and stages stratified per place."""
    if family == "bilateral":
        turn = table["lesions"]
        places = [(turn[n % len(turn)],) * 2 for n in range(table["cases"])]
    else:
        places = [tuple(table["lesions"])] * table["cases"]
    draws = {}
    for where in sorted({w for case in places for w in case}):  # a set's order is not fixed
        count = sum(case.count(where) for case in places)
        low, high = np.log(table["attached"] if where == "attached" else table["volume"])
        volumes = np.exp(low + (high - low) * _stratified(count, rng))
        draws[where] = iter(list(zip(volumes * 1000, _stratified(count, rng), strict=True)))
    made = []
    for case in places:
        row = []
        for where in case:
            volume, stage = next(draws[where])
            kind = "plaque" if rng.random() < 0.3 else "lobulated"
            row.append(Wish(where, round(float(volume), 1), round(float(stage), 3), kind))
        made.append(tuple(row))
    return made


def _varied(wish: Wish, rng: np.random.Generator) -> Wish:
    """The same wish in another form and, by half, in another texture that suits its stage."""
    table = RECIPE["varied"]
    kind = str(rng.choice(table["kinds"]))
    manners = ["cloud"] if wish.stage < table["cloud_below"] else []
    manners += ["solid"] if wish.stage >= table["solid_from"] else []
    manners += ["spongy"] if wish.stage >= table["spongy_from"] else []
    other = bool(manners) and rng.random() < 0.5
    manner = str(rng.choice(manners)) if other else "zonal"
    return replace(wish, kind=kind, manner=manner)


def _stratified(count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers in 0..1, one in each of ``count`` equal parts, in random order."""
    return (rng.permutation(count) + rng.uniform(size=count)) / count


def plan_case(job: Job, set_name: str) -> tuple[CasePlan, dict[Any, LesionModel]]:
    """Anatomy, scan and lesions of one case, and the lesions as built."""
    table = RECIPE["family"][job.family]
    rng = np.random.default_rng([job.seed, 82])
    limb = table["source"] in ("thigh", "elbow")
    mirrored = bool(rng.random() < 0.5)
    scale = _scale(rng)
    base = varied(anatomy(table["source"], table.get("region"), job.seed), mirrored, scale)
    thin = table["source"] == "arms"
    low, high, exam = _scan(table, base, scale[2], rng, tilted=not thin)
    lesions: list[LesionPlan] = []
    models: dict[Any, LesionModel] = {}
    if job.wishes:
        # What a tilt may bring out of the scan at its ends stays free of lesions.
        margin = 0.0 if thin else 4.0 if limb else 6.0
        site = prepare(_cropped(base, low[2] + margin, high[2] - margin), base.bone, base.region)
        place = _bilateral if job.family == "bilateral" else _single
        for number, model in enumerate(place(job, site, base)):
            lesions.append(_plan(model, number))
            models[model_key(lesions[-1], 0)] = model
    plan = CasePlan(
        base.volume,
        base.bone,
        [exam],
        lesions,
        low,
        high,
        patient_id=f"BENCH-{job.name.upper()}",
        seed=job.seed,
        note="Benchmark: planted lesions; anatomy real (TotalSegmentator sample data, Apache-2.0)"
        if not limb
        else "Benchmark: planted lesions in a digital limb",
        extra={
            "set": set_name,
            "family": job.family,
            "anatomy": {"source": table["source"], "mirrored": mirrored, "scale_xyz": list(scale)},
            "wished": [vars(w) for w in job.wishes],
        },
        skeleton=base.skeleton,
    )
    return plan, models


def _scan(
    table: dict[str, Any], base: Anatomy, scale_z: float, rng: np.random.Generator, tilted: bool
) -> tuple[tuple[float, float, float], tuple[float, float, float], ExamPlan]:
    """Bounds (LPS mm) and settings of the scan."""
    scan = RECIPE["scan"]
    corners = base.volume.grid.to_lps_mm(base.volume.grid.corners_zyx())
    low, high = corners.min(0), corners.max(0)
    first, last = (low[2] + 5, high[2] - 5)
    if "z" in table:
        first, last = (z * scale_z for z in table["z"])
    span = min(float(rng.uniform(*table["span"])), last - first)
    start = float(rng.uniform(first, last - span)) if last - span > first else first
    kernel = RECIPE["kernel"][int(rng.integers(len(RECIPE["kernel"])))]
    tilt = scan["tilt_deg"] if tilted else 0.0
    turn = rng.uniform(-1, 1, 3) * (tilt, tilt, scan["turn_deg"])
    shift = rng.uniform(-1, 1, 3) * (scan["shift_mm"], scan["shift_mm"], 0.0)
    # A scan of 20 slices keeps its own 2 mm.
    slices = scan["slice_mm"] if tilted else [2.0]
    exam = ExamPlan(
        days=0,
        slice_mm=float(slices[int(rng.integers(len(slices)))]),
        pixel_mm=round(float(rng.uniform(*table.get("pixel_mm", scan["pixel_mm"]))), 3),
        psf_fwhm_mm=kernel["psf_fwhm_mm"],
        kernel=kernel["name"],
        kvp=int(scan["kvp"][int(rng.integers(len(scan["kvp"])))]),
        noise_sd_hu=round(float(rng.uniform(*kernel["noise_hu"])), 1),
        noise_fwhm_mm=kernel["noise_fwhm_mm"],
        degrees_xyz=(float(turn[0]), float(turn[1]), float(turn[2])),
        shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
        contrast=base.contrast,
    )
    return (low[0], low[1], start), (high[0], high[1], start + span), exam


def _scale(rng: np.random.Generator) -> tuple[float, float, float]:
    """Scale along x, y, z: one size for all, and up to 4 % of its own per axis."""
    low, high = RECIPE["scan"]["scale"]
    size = rng.uniform(low, high)
    x, y, z = (round(float(v), 4) for v in np.clip(size + rng.uniform(-0.04, 0.04, 3), low, high))
    return (x, y, z)


def _cropped(base: Anatomy, low_z: float, high_z: float) -> Any:
    """The slices of the source between two levels."""
    grid = base.volume.grid
    z = grid.to_lps_mm([(k, 0, 0) for k in range(grid.size_zyx[0])])[:, 2]
    inside = np.flatnonzero((z >= low_z) & (z <= high_z))
    _, ny, nx = grid.size_zyx
    return base.volume.crop(
        (slice(int(inside[0]), int(inside[-1]) + 1), slice(0, ny), slice(0, nx))
    )


def _single(job: Job, site: Site, _base: Anatomy) -> Iterator[LesionModel]:
    """Lesions anywhere, largest first: they need most room."""
    placed: list[LesionModel] = []
    order = sorted(job.wishes, key=lambda w: -w.volume_mm3)
    for number, wish in enumerate(order, start=1):
        model = _place(job, site, wish, number, placed, near=None, near_mm=0.0)
        if model is not None:
            placed.append(model)
            yield model


def _bilateral(job: Job, site: Site, base: Anatomy) -> Iterator[LesionModel]:
    """A lesion at one hip and another at the mirrored place of the other hip."""
    assert base.hips_lps_mm is not None
    right, left = base.hips_lps_mm
    middle = (right[0] + left[0]) / 2
    # The side with the nail has less room, so it comes first.
    nailed, other = (right, left) if _nail_right(base) else (left, right)
    first = _place(job, site, job.wishes[0], 1, [], near=nailed, near_mm=60.0)
    if first is None:
        return
    yield first
    x, y, z = first.spec.center_lps_mm
    mirrored = np.array([2 * middle - x, y, z])
    for near, reach in ((mirrored, 14.0), (mirrored, 30.0), (other, 60.0)):
        second = _place(job, site, job.wishes[1], 2, [first], near=near, near_mm=reach)
        if second is not None:
            yield second
            return


def _nail_right(base: Anatomy) -> bool:
    """Whether the nail lies on the patient's right (that is where it is after mirroring)."""
    assert base.hips_lps_mm is not None
    metal = base.volume.grid.to_lps_mm(np.argwhere(base.volume.hu > 2500))
    right, left = base.hips_lps_mm
    return bool(metal[:, 0].mean() < (right[0] + left[0]) / 2)


def _place(
    job: Job,
    site: Site,
    wish: Wish,
    number: int,
    placed: list[LesionModel],
    near: np.ndarray | None,
    near_mm: float,
) -> LesionModel | None:
    """Room for a wish: another form first, then smaller; None and a word when there is none."""
    point = None if near is None else (float(near[0]), float(near[1]), float(near[2]))
    for shrink in range(5):
        for attempt in range(3):
            try:
                return find_place(
                    site,
                    wish.where,
                    wish.volume_mm3 * SMALLER**shrink,
                    wish.stage,
                    label=number,
                    seed=(job.seed * 100 + number) * 10 + attempt,
                    others=placed,
                    kind=wish.kind,
                    manner=wish.manner,
                    # find_place itself keeps 15 mm to metal.
                    metal_gap_mm=15.0,
                    near_lps_mm=point,
                    near_mm=near_mm,
                    tries=40,
                )
            except ValueError:
                continue
    print(f"{job.name}: no room for {wish}", file=sys.stderr)
    return None


def _plan(model: LesionModel, index: int) -> LesionPlan:
    """The lesion for one exam: a single exam never tells maturity."""
    spec = model.spec
    return LesionPlan(
        chr(65 + index),
        spec.where,
        "indeterminate",
        spec.center_lps_mm,
        spec.seed,
        [spec.volume_mm3],
        [spec.stage],
        [spec.shape],
        shell_mm=spec.shell_mm,
        shell_hu=spec.shell_hu,
        manner=spec.manner,
        extra={"form": type(spec.shape).__name__.lower(), "manner": spec.manner},
    )


if __name__ == "__main__":
    raise SystemExit(main())
