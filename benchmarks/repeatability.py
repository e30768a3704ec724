#!/usr/bin/env python3
"""How well hoimg repeats itself, and what its rule for change makes of it.

    python benchmarks/repeatability.py [--count 100] [--jobs 2] [-o FILE]

Bodies of ``physics_objects.py`` (6-40 mm, solid or with a rim, 250-1200 HU, slices of 1-2.5 mm) are
scanned twice without having changed, each time elsewhere between the voxels and with other noise,
then grown by 30 % in volume, shrunk by the same factor, and made denser by half without growing.
Outlined and measured each time; the within-subject SD (wSD) of every quantity is that of the
unchanged pairs, and ``hoimg.serial.compare`` says what it calls each pair. This is simulation: no
patient was repositioned, no scanner drifted, and the outline started from a plain threshold, so
that in patients the spread is larger. Prints tables ready for ``docs/validation.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from physics import measured
from physics_objects import Scan, Thing, scanned

from hoimg.results import Acquisition, Change, Observation
from hoimg.serial import compare
from hoimg.settings import SerialSettings

FIRST_SEED = 500
"""Below 1000: settings may be chosen on these."""
SIZES_ML = ((0.1, 0.32), (0.32, 1.0), (1.0, 3.0), (3.0, 35.0))
GROWTH = 1.3


@dataclass(frozen=True)
class Pairs:
    """One body: the earlier measurement, and what was read after each kind of change."""

    volume_ml: float
    slice_mm: float
    first: Observation
    same: Observation
    grown: Observation
    shrunk: Observation
    denser: Observation


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.count)
    with ProcessPoolExecutor(args.jobs) as pool:
        found = [p for p in pool.map(one, seeds, chunksize=4) if p is not None]
    text = "\n".join(table(found, args.count)) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    return 0


def drawn(seed: int) -> tuple[Thing, Scan]:
    """A body and a scan, drawn evenly over what is asked for."""
    rng = np.random.default_rng([seed, 23])
    diameter = float(np.exp(rng.uniform(np.log(6.0), np.log(36.0))))
    rim = None if rng.random() < 0.4 else float(rng.uniform(1.0, 3.0))
    if rim is not None and rim > 0.35 * diameter:
        rim = None
    thing = Thing(
        form=str(rng.choice(["sphere", "ellipsoid", "lobulated"])),
        diameter_mm=diameter,
        hu=float(rng.uniform(250.0, 1200.0)),
        rim_mm=rim,
        core_hu=float(rng.uniform(0.0, 200.0)),
        seed=seed,
    )
    scan = Scan(
        slice_mm=float(rng.choice([1.0, 1.5, 2.0, 2.5])),
        pixel_mm=float(rng.uniform(0.5, 0.95)),
        fwhm_mm=float(rng.uniform(0.8, 1.6)),
        noise_hu=float(rng.uniform(5.0, 25.0)),
        soft_hu=float(rng.uniform(30.0, 65.0)),
    )
    return thing, scan


def one(seed: int) -> Pairs | None:
    """One body measured five times; None where a scan gave no outline."""
    thing, scan = drawn(seed)
    side = GROWTH ** (1 / 3)
    things = (
        thing,
        thing,
        replace(thing, diameter_mm=thing.diameter_mm * side),
        replace(thing, diameter_mm=thing.diameter_mm / side),
        replace(thing, hu=1.5 * thing.hu),
    )
    seen = []
    truth = 0.0
    for again, body in enumerate(things):
        made = scanned(body, scan, again)
        truth = truth or made.volume_mm3
        said = measured(made)
        if said is None:
            return None
        values = {k: v for k, v in said.items() if k in Observation.model_fields}
        exam = "a" if again == 0 else "b"
        seen.append(
            Observation.model_validate(
                {**values, "exam_id": exam, "status": "measured", "touches_fov": False}
            )
        )
    return Pairs(truth / 1000, scan.slice_mm, *seen)


def called(pairs: Pairs, later: str, settings: SerialSettings) -> Change:
    alike = Acquisition(kvp=120.0, kernel="B", slice_thickness_mm=pairs.slice_mm)
    return compare([pairs.first], [getattr(pairs, later)], (alike, alike), 100, settings)


def wsd(group: Sequence[Pairs], field: str, *, log: bool) -> float:
    """Within-subject SD from pairs: root mean square of the differences over the root of two."""
    diffs = []
    for pairs in group:
        before, after = getattr(pairs.first, field), getattr(pairs.same, field)
        if before is None or after is None:
            continue
        diffs.append(float(np.log(after / before)) if log else after - before)
    return float(np.sqrt(np.mean(np.square(diffs)) / 2)) if diffs else float("nan")


def table(found: Sequence[Pairs], count: int) -> list[str]:
    """Rows of Markdown."""
    root = Path(__file__).resolve().parents[1]
    commit = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    settings = SerialSettings()
    out = [
        f"{dt.date.today()}, commit {commit}; {count - len(found)} of {count} bodies were not "
        "outlined in every scan.",
        "",
        "| unchanged pairs | n | wSD volume, % | RC, % | wSD mass, % | RC, % | wSD density, HU "
        "| RC, HU | wSD rim | RC |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups = [
        (f"{low:g}-{high:g} mL", [p for p in found if low <= p.volume_ml < high])
        for low, high in SIZES_ML
    ]
    groups.append(("all", list(found)))
    for name, group in groups:
        cells = []
        for field, log, scale in (
            ("volume_mm3", True, 100),
            ("mineral_mass_hu_mm3", True, 100),
            ("mean_hu", False, 1),
            ("rim_fraction", False, 1),
        ):
            spread = scale * wsd(group, field, log=log)
            form = ".3f" if field == "rim_fraction" else ".1f"
            cells += [f"{spread:{form}}", f"{2.77 * spread:{form}}"]
        out.append(f"| {name} | {len(group)} | {' | '.join(cells)} |")
    out += [
        "",
        "| called, % | n | unchanged: larger or smaller | unchanged: any of volume, mass, density "
        "beyond | +30 %: larger | ÷ 1.3: smaller | half denser: larger | half denser: volume read, "
        "median (95th) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in groups:
        if not group:
            continue
        same = [called(p, "same", settings) for p in group]
        wrong = share([c.category != "no_detectable_change" for c in same])
        beyond = share([beyond_any(c) for c in same])
        larger = share([called(p, "grown", settings).category == "enlarging" for p in group])
        smaller = share([called(p, "shrunk", settings).category == "shrinking" for p in group])
        dense = [called(p, "denser", settings) for p in group]
        matured = share([c.category == "enlarging" for c in dense])
        apparent = [c.volume_change_pct for c in dense if c.volume_change_pct is not None]
        read = f"{np.median(apparent):+.1f} ({np.percentile(apparent, 95):+.1f})"
        out.append(
            f"| {name} | {len(group)} | {wrong} | {beyond} | {larger} | {smaller} | {matured} "
            f"| {read} |"
        )
    out += [
        "",
        "Share of the errors' variance that two measurements have in common (1 - z^2, z: error of "
        "the difference over what independent intervals allow): volume "
        + ", ".join(
            f"{name} {shared(found, later, 'volume_mm3', growth):.2f}"
            for name, later, growth in (
                ("unchanged", "same", 1.0),
                ("grown", "grown", GROWTH),
                ("denser", "denser", 1.0),
            )
        )
        + f"; mass unchanged {shared(found, 'same', 'mineral_mass_hu_mm3', 1.0):.2f}.",
    ]
    return out


def shared(found: Sequence[Pairs], later: str, field: str, growth: float) -> float:
    """Correlation of the errors of two measurements, by their spread and their intervals."""
    interval = field.replace("_hu", "_ci95_hu") if "mass" in field else "volume_ci95_mm3"
    squares = []
    for pairs in found:
        seen = (pairs.first, getattr(pairs, later))
        spread = 0.0
        for o in seen:
            low, high = getattr(o, interval)
            spread += (np.log(high / max(low, 1.0)) / 3.92) ** 2
        off = np.log(getattr(seen[1], field) / getattr(seen[0], field) / growth)
        squares.append(off**2 / spread)
    return 1 - float(np.mean(squares))


def beyond_any(change: Change) -> bool:
    """Whether one of the three quantities that the label looks at is beyond its RC."""
    pairs = (
        (change.volume_change_pct, change.volume_rc_pct),
        (change.mass_change_pct, change.mass_rc_pct),
        (change.density_change_hu, change.density_rc_hu),
    )
    return any(abs(v) > rc for v, rc in pairs if v is not None and rc is not None)


def share(hits: Sequence[bool]) -> str:
    return f"{100 * float(np.mean(hits)):.0f}" if hits else "–"


if __name__ == "__main__":
    raise SystemExit(main())
