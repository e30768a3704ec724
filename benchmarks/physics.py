#!/usr/bin/env python3
"""How right size, mass and their intervals are on objects of known volume and mass.

    python benchmarks/physics.py [--count 520] [--jobs 2] [-o FILE] [--exam 0] [--data FOLDER]

The objects (``physics_objects.py``) are scanned by calculation, without hoimg: balls, ellipsoids
and lobulated bodies of 5-40 mm, solid or with a rim, 250-1200 HU, in slices of 1-3 mm, with the
point spread and noise of common kernels. Each is outlined from a plain threshold of 150 HU by
hoimg's own outline and measured; the point spread is the planted one. ``--exam N`` adds the time
to measure N lesions in one exam of 512 x 512 x 400 voxels. ``--data`` is the folder with
``qrm_phantom`` and ``plastic_skull``: real scans of objects of known or equal size. Prints tables
as they stand in ``docs/validation.md``, and renews them there with ``-o docs/validation.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from physics_objects import Scan, Scanned, Thing, scanned
from tables import renew

SLICES_MM = (1.0, 1.5, 2.0, 3.0)
FIRST_SEED = 9001
"""No setting was chosen on these."""
GROUP_MM = 3.0
ROUGH_HU = 150.0


@dataclass(frozen=True)
class Measured:
    """One object: what it is and what was read. Errors in per cent of the truth."""

    thing: Thing
    slice_mm: float
    volume_error: float
    threshold_error: float
    mass_error: float
    covered: bool
    mass_covered: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=520)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--exam", type=int, default=0, help="lesions in one exam that is timed")
    parser.add_argument("--data", type=Path, help="folder of the real phantoms")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        made = list(pool.map(one, range(FIRST_SEED, FIRST_SEED + args.count), chunksize=4))
        grown = list(pool.map(densified, range(FIRST_SEED, FIRST_SEED + 40)))
    lines = table([m for m in made if m is not None], made.count(None), grown)
    if args.exam:
        lines.append(
            f"| {args.exam} lesions in 512 × 512 × 400, s | {timed(args.exam):.1f} | | ≤ 6 |"
        )
    if args.data:
        lines += ["", *qrm(args.data / "qrm_phantom" / "dicom"), "", *skull(args.data)]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        renew(args.output, text)
    return 0


def drawn(seed: int) -> tuple[Thing, Scan]:
    """A body and a scan, drawn evenly over what is asked for."""
    rng = np.random.default_rng([seed, 11])
    diameter = float(np.exp(rng.uniform(np.log(5.0), np.log(40.0))))
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
        slice_mm=float(rng.choice(SLICES_MM)),
        pixel_mm=float(rng.uniform(0.5, 0.95)),
        fwhm_mm=float(rng.uniform(0.8, 1.6)),
        noise_hu=float(rng.uniform(5.0, 25.0)),
        soft_hu=float(rng.uniform(30.0, 65.0)),
    )
    return thing, scan


def outlined(seen: Scanned) -> np.ndarray | None:
    """The body as hoimg draws it from a plain threshold; None where that finds nothing."""
    from hoimg.segment.morphology import fill_holes, label_components, smooth_mm
    from hoimg.segment.outline import outline

    spacing = seen.scan.spacing
    labels, count = label_components(fill_holes(smooth_mm(seen.hu, 0.7, spacing) > ROUGH_HU))
    if count == 0:
        return None
    rough = labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    mask = outline(seen.hu, rough, np.zeros_like(rough), spacing, GROUP_MM)
    return mask if mask.any() else None


def measured(seen: Scanned) -> dict[str, float | tuple[float, float] | None] | None:
    from hoimg.measure.lesion import measure_lesion, plain_references
    from hoimg.measure.view import view_of_arrays
    from hoimg.settings import MeasureSettings

    mask = outlined(seen)
    if mask is None:
        return None
    scan = seen.scan
    references = plain_references(
        scan.spacing,
        fwhm_zyx_mm=(scan.slice_mm, scan.fwhm_mm, scan.fwhm_mm),
        slice_mm=scan.slice_mm,
        noise_hu=scan.noise_hu,
    )
    view = view_of_arrays(seen.hu, scan.spacing, mask)
    return dict(measure_lesion(view, MeasureSettings(), references).values)


def one(seed: int) -> Measured | None:
    """One body scanned, outlined and measured; None where nothing was outlined."""
    thing, scan = drawn(seed)
    seen = scanned(thing, scan)
    said = measured(seen)
    if said is None:
        return None
    low, high = said["volume_ci95_mm3"]
    least, most = said["mineral_mass_ci95_hu_mm3"]
    return Measured(
        thing,
        scan.slice_mm,
        100 * (said["volume_mm3"] / seen.volume_mm3 - 1),
        100 * (said["threshold_volume_mm3"] / seen.volume_mm3 - 1),
        100 * (said["mineral_mass_hu_mm3"] / seen.excess_hu_mm3 - 1),
        low <= seen.volume_mm3 <= high,
        least <= seen.excess_hu_mm3 <= most,
    )


def densified(seed: int) -> tuple[float, float]:
    """Apparent growth in per cent of a body that only densifies: envelope, fixed threshold."""
    thing, scan = drawn(seed)
    volumes, threshold = [], []
    for hu in (250.0, 600.0, 1000.0):
        body = Thing(thing.form, max(thing.diameter_mm, 10.0), hu, seed=seed)
        said = measured(scanned(body, scan))
        if said is None:
            return float("nan"), float("nan")
        volumes.append(said["volume_mm3"])
        threshold.append(said["threshold_volume_mm3"])
    return 100 * (max(volumes) / min(volumes) - 1), 100 * (max(threshold) / min(threshold) - 1)


def timed(count: int) -> float:
    """Seconds to measure so many balls in one exam of 512 x 512 x 400 voxels."""
    from hoimg.geometry import Grid
    from hoimg.image import CTVolume, Mask
    from hoimg.measure import measure_exam
    from hoimg.results import Acquisition
    from hoimg.settings import MeasureSettings

    rng = np.random.default_rng(FIRST_SEED)
    size, spacing = (400, 512, 512), (1.0, 0.7, 0.7)
    hu = np.full(size, -1000, np.int16)
    body = np.zeros(size, bool)
    body[:, 40:-40, 40:-40] = True
    hu[body] = 50
    hu[:, 200:300, 200:300] += rng.normal(0, 12, (400, 100, 100)).astype(np.int16)
    labels = np.zeros(size, np.uint16)
    z, y, x = np.mgrid[-12:13, -17:18, -17:18]
    away = np.sqrt((z * spacing[0]) ** 2 + (y * spacing[1]) ** 2 + (x * spacing[2]) ** 2)
    ball = np.clip(10.0 - away + 0.5, 0, 1) * np.where(away > 8.0, 700, 150)
    places = [(20 + 36 * (k // 10) * 2, 90, 60 + 42 * (k % 10)) for k in range(count)]
    for label, (cz, cy, cx) in enumerate(places, start=1):
        box = np.s_[cz - 12 : cz + 13, cy - 17 : cy + 18, cx - 17 : cx + 18]
        hu[box] += ball.astype(np.int16)
        labels[box][away < 10.0] = label
    grid = Grid(size, spacing, (0.0, 0.0, 0.0))
    none = Mask(np.zeros(size, bool), grid)
    start = time.perf_counter()
    found = measure_exam(
        "E1",
        CTVolume(hu, grid),
        Mask(labels, grid),
        skeleton=none,
        metal=none,
        body=Mask(body, grid),
        settings=MeasureSettings(),
        acquisition=Acquisition(),
    )
    seconds = time.perf_counter() - start
    if len(found.observations) != count:
        raise RuntimeError(f"{len(found.observations)} of {count} lesions were measured")
    return seconds


INSERT_MM = ((-5.0, 0.0, 600.0), 52.0)
RODS = ("200=box:-7.6,-4.8,627.5,2.4,5.2,635", "0=box:-17.8,-24.6,627.5,-9.8,-16.6,635")
"""The rod of 200 mg/cm3 at the insert's end, and the water beside it, LPS mm."""
CYLINDERS = (
    (5, 800, (-40.6, 1.5, 600.8), "≤ 10", "≤ 20"),
    (5, 400, (13.7, -32.5, 600.3), "≤ 10", "≤ 20"),
    (5, 200, (17.2, 31.2, 600.5), "≤ 20", "≤ 30"),
    (3, 800, (-28.1, 1.6, 600.8), "≤ 25", ""),
    (3, 400, (8.3, -21.4, 600.8), "≤ 25", ""),
    (3, 200, (10.5, 20.9, 600.8), "", ""),
)
"""Diameter and length, mm; mg/cm3; place, LPS mm; goals for mass and volume, %."""


def qrm_measured(folder: Path, rods: tuple[str, ...] = RODS) -> Any:
    """The lesions of the QRM phantom's insert as hoimg measures them, calibrated by its rods."""
    import hoimg
    from hoimg.dicom import load_volume
    from hoimg.measure import measure_exam
    from hoimg.regions import SphereRegion, on_grid
    from hoimg.segment import segment_exam
    from hoimg.settings import MeasureSettings

    exam = hoimg.read_patient(folder).exams[0]
    volume = load_volume(exam)
    found = segment_exam(volume, kvp=120.0, roi=on_grid([SphereRegion(*INSERT_MM)], volume.grid))
    return measure_exam(
        exam.exam_id,
        volume,
        found.lesions,
        skeleton=found.skeleton,
        metal=found.metal,
        body=found.body,
        settings=MeasureSettings(calibration_rods=rods),
        acquisition=exam.acquisition,
        flags=found.lesion_flags,
    )


def lesion_at(result: Any, place: tuple[float, float, float]) -> Any:
    """The observation whose centroid lies nearest to a place, LPS mm."""
    return min(
        result.observations.values(),
        key=lambda seen: float(np.linalg.norm(np.subtract(seen.centroid_lps_mm, place))),
    )


def qrm(folder: Path) -> list[str]:
    """Mass and volume of the QRM phantom's cylinders, calibrated by its rod."""
    result = qrm_measured(folder)
    out = [
        "| QRM cylinder | mass, mg | error, % | goal | volume, mm³ | error, % | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, density, place, mass_goal, volume_goal in CYLINDERS:
        seen = lesion_at(result, place)
        true = np.pi * size**3 / 4
        mass, volume_mm3 = seen.mineral_mass_mg or float("nan"), seen.volume_mm3 or float("nan")
        off = (100 * (mass / (true * density / 1000) - 1), 100 * (volume_mm3 / true - 1))
        out.append(
            f"| {size} mm, {density} mg/cm³ | {mass:.1f} | {off[0]:+.1f} | {mass_goal} "
            f"| {volume_mm3:.0f} | {off[1]:+.1f} | {volume_goal} |"
        )
    return out


SKULL_SLAB_MM = (738.6, 798.8)
SKULL_BOXES = {"jaw": np.s_[:, 200:330, 150:290], "half of the slab": np.s_[:, 100:420, 100:400]}
AIR_HU, AS_TISSUE_HU = -1000.0, 40.0


def skull(data: Path) -> list[str]:
    """One plastic skull by three reconstructions: the volume of the same region of each.

    It stands in air. What is measured are differences of HU, so that air is shifted to soft tissue.
    Outlined like every other body here.
    """
    import hoimg
    from hoimg.dicom import load_volume
    from hoimg.measure.lesion import measure_lesion, plain_references
    from hoimg.measure.psf import point_spread
    from hoimg.measure.view import view_of_arrays
    from hoimg.segment.body import body_mask
    from hoimg.segment.morphology import smooth_mm
    from hoimg.segment.outline import outline
    from hoimg.settings import MeasureSettings

    kinds = {"1 mm standard": "ct_1mm_standard", "1 mm bone": "ct_1mm_bone_kernel"}
    kinds["5 mm standard"] = "ct_5mm_standard"
    out = [
        "| plastic skull, same region | volume, cm³ | from 1 mm standard, % | mass, % | goal |",
        "|---|---|---|---|---|",
    ]
    for region, box in SKULL_BOXES.items():
        first: tuple[float, float] | None = None
        for kind, folder in kinds.items():
            exam = hoimg.read_patient(data / "plastic_skull" / folder).exams[0]
            volume = load_volume(exam)
            spacing = volume.grid.spacing_zyx_mm
            low = volume.grid.origin_lps_mm[2] + (np.arange(len(volume.hu)) - 0.5) * spacing[0]
            inside = (low >= SKULL_SLAB_MM[0]) & (low + spacing[0] <= SKULL_SLAB_MM[1])
            hu = volume.hu[inside][box].astype(np.float32) - (AIR_HU - AS_TISSUE_HU)
            rough = smooth_mm(hu, 0.7, spacing) > ROUGH_HU
            mask = outline(hu, rough, np.zeros_like(rough), spacing, GROUP_MM)
            # In its own air the skull's surface is what skin is to a patient.
            none = np.zeros(volume.hu.shape, bool)
            body = body_mask(volume.hu, spacing)
            own = point_spread(
                volume.hu, spacing, skeleton=none, body=body, slice_mm=volume.grid.spacing_zyx_mm[0]
            )
            references = plain_references(
                spacing, fwhm_zyx_mm=own.fwhm_zyx_mm, slice_mm=spacing[0], noise_hu=10.0
            )
            said = measure_lesion(
                view_of_arrays(hu, spacing, mask), MeasureSettings(), references
            ).values
            value, mass = said["volume_mm3"] / 1000, said["mineral_mass_hu_mm3"]
            first = first or (value, mass)
            goal = {"1 mm bone": "≤ 3", "5 mm standard": "≤ 8"}.get(kind, "")
            out.append(
                f"| {region}, {kind} | {value:.1f} | {100 * (value / first[0] - 1):+.1f} "
                f"| {100 * (mass / first[1] - 1):+.1f} | {goal} |"
            )
    return out


def table(made: Sequence[Measured], lost: int, grown: Sequence[tuple[float, float]]) -> list[str]:
    """Rows of Markdown."""
    root = Path(__file__).resolve().parents[1]
    commit = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()

    def row(words: str, take: Callable[[Measured], bool], value: str, goal: str) -> str:
        group = np.array([getattr(m, value) for m in made if take(m)])
        middle, bias = float(np.median(np.abs(group))), float(np.median(group))
        worst = float(np.percentile(np.abs(group), 95))
        said = f"{middle:.1f} (bias {bias:+.1f}, 95th {worst:.0f})"
        return f"| {words} | {said} | {len(group)} | {goal} |"

    def large(m: Measured) -> bool:
        return m.thing.diameter_mm >= 10.0

    covered, mass_covered = (
        100 * float(np.mean([getattr(m, name) for m in made]))
        for name in ("covered", "mass_covered")
    )
    out = [
        f"{dt.date.today()}, commit {commit}; {lost} of {len(made) + lost} were not outlined.",
        "",
        "| | median error, % | of | goal |",
        "|---|---|---|---|",
        row("volume, from 10 mm", large, "volume_error", "≤ 5"),
        row("volume, 5-10 mm", lambda m: not large(m), "volume_error", "≤ 10"),
    ]
    for slice_mm in SLICES_MM:
        out.append(
            row(
                f"volume, from 10 mm, slices of {slice_mm:g} mm",
                lambda m, s=slice_mm: large(m) and m.slice_mm == s,
                "volume_error",
                "",
            )
        )
    out += [
        row("the same by a fixed threshold, from 10 mm", large, "threshold_error", ""),
        row("mass, from 10 mm", large, "mass_error", "≤ 5"),
        row("mass, 5-10 mm", lambda m: not large(m), "mass_error", "≤ 5"),
    ]
    envelope, threshold = (np.nanmedian([g[k] for g in grown]) for k in (0, 1))
    most = np.nanpercentile([g[0] for g in grown], 95)
    out += [
        f"| apparent growth, 250 to 1000 HU | {envelope:.1f} (95th {most:.0f}; fixed threshold "
        f"{threshold:.0f}) | {len(grown)} | ≤ 3 |",
        f"| 95 % intervals hold the true volume, % | {covered:.0f} | {len(made)} | 92-98 |",
        f"| 95 % intervals hold the true mass, % | {mass_covered:.0f} | {len(made)} | 92-98 |",
    ]
    return out


if __name__ == "__main__":
    raise SystemExit(main())
