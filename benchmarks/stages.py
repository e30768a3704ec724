#!/usr/bin/env python3
"""Whether rim, margin, zoning and core follow a lesion's stage, and R1 and R2 take the right side.

    python benchmarks/stages.py [--count 66] [--jobs 2] [-o FILE]

One lesion of 2-8 mL is planted free or near bone in a digital thigh (``hoimg.simulate``: stage 0
faint floccules, stage 1 a cortical shell round marrow), scanned at 1-1.5 mm with the blur and noise
of common kernels, found from one seed and measured beside the thigh's own cortex. Prints tables
as they stand in ``docs/validation.md``, and renews them there with ``-o docs/validation.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import renew

STAGES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0)
FIRST_SEED = 9501
"""No setting was chosen on these."""
RULED_FROM, RULED_TO = 0.9, 0.2
"""From this stage on R1 and R2 shall pass, up to the other one they shall fail."""
LEAST_MM3 = 2000.0


@dataclass(frozen=True)
class Seen:
    """One lesion: its stage, the four features and what R1 and R2 say."""

    stage: float
    volume_mm3: float
    rim: float | None
    edge: float | None
    zone: float | None
    core: float | None
    r1: str
    r2: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=66)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        made = list(pool.map(one, range(args.first, args.first + args.count)))
    text = "\n".join(table([m for m in made if m is not None], made.count(None))) + "\n"
    print(text)
    if args.output:
        renew(args.output, text)
    return 0


def one(seed: int) -> Seen | None:
    """One thigh with a lesion; None where there was no room or nothing was found."""
    import SimpleITK as sitk

    from hoimg.maturity.rules import r1_rim, r2_margin
    from hoimg.measure import measure_exam
    from hoimg.results import Acquisition
    from hoimg.segment import segment_exam
    from hoimg.settings import Settings
    from hoimg.simulate.exam import scan_exam
    from hoimg.simulate.limb import make_limb
    from hoimg.simulate.places import find_place, prepare
    from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rng = np.random.default_rng([seed, 17])
    stage = STAGES[seed % len(STAGES)]
    limb = make_limb("thigh", spacing_zyx_mm=(1.0, 0.7, 0.7), seed=seed, length_mm=110.0)
    try:
        model = find_place(
            prepare(limb.volume, limb.native_bone),
            str(rng.choice(["free", "near"])),
            float(rng.uniform(2500.0, 8000.0)),
            stage,
            label=1,
            seed=seed,
        )
    except ValueError:
        return None
    spec = model.spec
    plan = CasePlan(
        limb.volume,
        limb.native_bone,
        [
            ExamPlan(
                days=0,
                slice_mm=float(rng.choice([1.0, 1.25, 1.5])),
                pixel_mm=float(rng.uniform(0.6, 0.9)),
                psf_fwhm_mm=float(rng.uniform(0.8, 1.5)),
                noise_sd_hu=float(rng.uniform(8.0, 22.0)),
            )
        ],
        [
            LesionPlan(
                "A",
                spec.where,
                "indeterminate",
                spec.center_lps_mm,
                spec.seed,
                [spec.volume_mm3],
                [stage],
                [spec.shape],
                shell_mm=spec.shell_mm,
                shell_hu=spec.shell_hu,
            )
        ],
        seed=seed,
    )
    planted = scan_exam(plan, 0)
    volume, truth = planted.volume, planted.labelmap.array > 0
    inside = np.argwhere(truth)
    middle = inside[np.linalg.norm(inside - inside.mean(0), axis=1).argmin()]
    x, y, z = (float(v) for v in volume.grid.to_lps_mm(middle))
    found = segment_exam(volume, seeds_lps_mm=[(x, y, z)])
    settings = Settings()
    acquisition = Acquisition(slice_thickness_mm=volume.grid.spacing_zyx_mm[0], kvp=120.0)
    measured = measure_exam(
        "E1",
        volume,
        found.lesions,
        skeleton=found.skeleton,
        metal=found.metal,
        body=found.body,
        settings=settings.measure,
        acquisition=acquisition,
        flags=found.lesion_flags,
    )
    if not measured.observations:
        return None
    (seen,) = measured.observations.values()
    return Seen(
        stage,
        float(truth.sum()) * volume.grid.voxel_volume_mm3,
        seen.rim_fraction,
        seen.edge_ratio,
        seen.zone_contrast_hu,
        seen.core_marrow_fraction,
        r1_rim(seen, measured.acquisition, settings.maturity).result,
        r2_margin(seen, measured.acquisition, settings.maturity).result,
    )


def table(made: list[Seen], lost: int) -> list[str]:
    """Rows of Markdown."""
    root = Path(__file__).resolve().parents[1]
    commit = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()

    def median(group: list[Seen], name: str) -> str:
        values = [v for v in (getattr(m, name) for m in group) if v is not None]
        return f"{np.median(values):.2f} ({len(values)})" if values else "-"

    out = [
        f"{dt.date.today()}, commit {commit}; {lost} of {len(made) + lost} had no room or were not "
        "found. Median (how many were rated).",
        "",
        "| stage | lesions | RIM | EDGE | ZONE, HU | CORE | R1 | R2 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for stage in STAGES:
        group = [m for m in made if m.stage == stage]
        said = [
            ", ".join(
                f"{sum(getattr(m, rule) == word for m in group)} {word}"
                for word in ("pass", "intermediate", "fail", "unrated")
                if any(getattr(m, rule) == word for m in group)
            )
            for rule in ("r1", "r2")
        ]
        cells = [median(group, name) for name in ("rim", "edge", "zone", "core")]
        out.append(f"| {stage:g} | {len(group)} | {' | '.join(cells)} | {' | '.join(said)} |")
    out += ["", "| on the right side | of | goal |", "|---|---|---|"]
    large = [m for m in made if m.volume_mm3 >= LEAST_MM3]
    for rule in ("r1", "r2"):
        ripe = [getattr(m, rule) == "pass" for m in large if m.stage >= RULED_FROM]
        unripe = [getattr(m, rule) == "fail" for m in large if m.stage <= RULED_TO]
        for words, hits in (("passes at >= 0.9", ripe), ("fails at <= 0.2", unripe)):
            share = 100 * float(np.mean(hits)) if hits else float("nan")
            out.append(f"| {rule.upper()} {words}: {share:.0f} % | {len(hits)} | ≥ 95 % |")
    return out


if __name__ == "__main__":
    raise SystemExit(main())
