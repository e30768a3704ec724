#!/usr/bin/env python3
"""Make ``sample_data/``: a public pelvis CT with three planted lesions at four dates.

Usage: ``python scripts/make_sample_data.py [FOLDER] [-o sample_data]`` where FOLDER holds
``example_ct.nii.gz`` and ``example_seg_fast_force_split.nii.gz`` of the TotalSegmentator source
distribution (default: ``$HOIMG_REAL_DATA/totalsegmentator`` or
``../shared/data/totalsegmentator``). The same input gives the same pixels.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LOW_LPS_MM = (-178.0, -258.0, 106.0)
HIGH_LPS_MM = (172.0, -22.0, 222.0)
DAYS = (0, 90, 190, 290)
BONE_LABELS = [*range(25, 51), *range(69, 79), *range(92, 118)]


def main() -> int:
    """Read the source, place the lesions, write the case."""
    default = Path(os.environ.get("HOIMG_REAL_DATA") or ROOT.parent / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=default / "totalsegmentator")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "sample_data")
    args = parser.parse_args()
    if not (args.folder / "example_ct.nii.gz").is_file():
        print(f"{args.folder}: holds no example_ct.nii.gz; name the folder", file=sys.stderr)
        return 2

    from hoimg.simulate.case import write_case

    for made in ("patient", "truth"):
        if (args.output / made).exists():
            shutil.rmtree(args.output / made)
    path = write_case(make_plan(args.folder), args.output / "patient", args.output / "truth")
    size = sum(f.stat().st_size for f in args.output.rglob("*") if f.is_file())
    print(f"{path}: {size / 1e6:.1f} MB in all")
    return 0


def make_plan(folder: Path):  # type: ignore[no-untyped-def]
    """The patient: source scan, four exams, three lesions."""
    import SimpleITK as sitk

    from hoimg.geometry import Grid
    from hoimg.image import CTVolume, Mask, from_sitk, resample_mask
    from hoimg.simulate.places import find_place, native_bone_mask, prepare
    from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan
    from hoimg.simulate.resample import resample

    array, grid = from_sitk(sitk.ReadImage(str(folder / "example_ct.nii.gz")))
    source = CTVolume(np.rint(array).clip(-1024, 3071).astype(np.int16), grid)
    labels, seg_grid = from_sitk(
        sitk.ReadImage(str(folder / "example_seg_fast_force_split.nii.gz"))
    )
    # Bone on a fine grid: the model's masks (coarse, but with marrow) and the threshold.
    low = np.array(LOW_LPS_MM) - 10
    size = ((np.array(HIGH_LPS_MM) + 10 - low)[::-1] / 1.25).astype(int)
    fine = resample(source, Grid((size[0], size[1], size[2]), (1.25,) * 3, tuple(low)))
    model = resample_mask(Mask(np.isin(labels, BONE_LABELS), seg_grid), fine.grid)
    bone = Mask(native_bone_mask(fine).array | model.array, fine.grid)
    # Lesions lie in the muscles that the model names: glutei and iliopsoas of the right side.
    muscle = resample_mask(
        Mask(np.isin(labels, [80, 81, 82, 83, 84, 85, 88, 89]), seg_grid), fine.grid
    )
    points_x = fine.grid.to_lps_mm(
        np.stack([np.zeros(size[2]), np.zeros(size[2]), np.arange(size[2])], axis=1)
    )[:, 0]
    right = muscle.array & (points_x < -20)[None, None, :]
    site = prepare(fine, bone, Mask(right, fine.grid))

    courses = [
        # id, place, expected label, volumes, stages, seed, band of z in which its centre lies
        (
            "A",
            "free",
            "mature",
            (3800.0, 4600.0, 5000.0, 5000.0),
            (0.5, 0.75, 1.0, 1.0),
            101,
            (165, 200),
        ),
        (
            "B",
            "near",
            "immature",
            (1600.0, 2320.0, 3360.0, 4870.0),
            (0.6, 0.65, 0.7, 0.75),
            203,
            (124, 158),
        ),
        (
            "C",
            "near",
            "immature",
            (None, 1300.0, 2000.0, 3000.0),
            (0.0, 0.2, 0.5, 0.7),
            305,
            (135, 170),
        ),
    ]
    placed = []
    lesions = []
    for number, (name, where, label, volumes, stages, seed, band) in enumerate(courses, start=1):
        largest = max(v for v in volumes if v is not None)
        z = site.grid.to_lps_mm(np.argwhere(np.ones(site.grid.size_zyx, bool)))[:, 2]
        level = ((z > band[0]) & (z < band[1])).reshape(site.grid.size_zyx)
        here = replace(site, muscle=site.muscle & level)
        found = find_place(
            here, where, largest, 1.0, label=number, seed=seed, others=placed, tries=200
        )
        placed.append(found)
        spec = found.spec
        lesions.append(
            LesionPlan(
                name,
                where,
                label,
                spec.center_lps_mm,
                seed,
                volumes,
                stages,
                [spec.shape] * len(DAYS),
                shell_mm=1.8,
                shell_hu=1200.0,
            )
        )
    moves = [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((1.5, -1.0, 2.0), (3.0, -4.0, 2.5)),
        ((-1.0, 1.5, -2.5), (-4.0, 2.0, -3.0)),
        ((1.0, 1.0, 1.5), (2.0, 5.0, 1.0)),
    ]
    exams = [
        ExamPlan(
            days,
            slice_mm=1.25,
            pixel_mm=1.2,
            psf_fwhm_mm=1.2,
            noise_sd_hu=9.0,
            noise_fwhm_mm=2.2,
            degrees_xyz=turn,
            shift_mm=shift,
            thick_mm=5.0 if days == 0 else None,
        )
        for days, (turn, shift) in zip(DAYS, moves, strict=True)
    ]
    return CasePlan(
        source,
        bone,
        exams,
        lesions,
        LOW_LPS_MM,
        HIGH_LPS_MM,
        patient_id="SAMPLE-HIP",
        seed=7,
        clean_air=True,
        note="Real anatomy (TotalSegmentator example CT, Apache-2.0); planted lesions.",
    )


if __name__ == "__main__":
    raise SystemExit(main())
