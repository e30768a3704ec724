#!/usr/bin/env python3
"""Make ``sample_data/films/``: radiographs of the sample patient's right hip at day 0 and day 290.

Usage: ``python scripts/make_sample_films.py [FOLDER] [-o sample_data/films]`` with the FOLDER of
``make_sample_data.py``. The lesions are those of the sample patient's CT at the same dates. The
same input gives the same pixels.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
AIM_LPS_MM = (-98.0, -145.0, 186.0)
"""Middle of the films: above the right hip, as the scan ends just below the trochanters."""
FINE_MM = 1.5
"""The scan's 3 mm voxels are joined by cubic splines, or their steps would show."""
MIDLINE_MM = 25.0
"""On the lateral film, what lies further to the left is out of the beam (the leg is lifted)."""


def main() -> int:
    """Read the source, make the films, write them."""
    default = Path(os.environ.get("HOIMG_REAL_DATA") or ROOT.parent / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=default / "totalsegmentator")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "sample_data" / "films")
    args = parser.parse_args()
    if not (args.folder / "example_ct.nii.gz").is_file():
        print(f"{args.folder}: holds no example_ct.nii.gz; name the folder", file=sys.stderr)
        return 2
    if args.output.exists():
        shutil.rmtree(args.output)
    path = write_films(args.folder, args.output)
    size = sum(f.stat().st_size for f in args.output.rglob("*") if f.is_file())
    print(f"{path}: {size / 1e6:.1f} MB in all")
    return 0


def write_films(folder: Path, output: Path) -> Path:
    """All films, their truth and ``case.json``."""
    from hoimg.simulate.film_case import write_film_case

    return write_film_case(make_case(folder), output, output / "truth")


def make_case(folder: Path) -> Any:
    """The patient: AP at both dates, a lateral at the second."""
    from dataclasses import replace

    import SimpleITK as sitk

    from hoimg.image import CTVolume, from_sitk
    from hoimg.simulate.exam import outside_body
    from hoimg.simulate.film_case import FilmCase, FilmExam, FilmLesion
    from hoimg.simulate.film_exposure import Exposure
    from hoimg.simulate.film_geometry import aim
    from hoimg.simulate.film_render import FilmPlan, make_scene
    from hoimg.simulate.plant import PlantSpec, build_lesion
    from hoimg.simulate.resample import regrid, resample, rigid_matrix

    patient = _sample_plan(folder)
    days = [exam.days for exam in patient.exams]
    lesions = []
    for number, lesion in enumerate(patient.lesions, start=1):
        models = []
        for index in (0, len(days) - 1):
            volume = lesion.volumes_mm3[index]
            spec = PlantSpec(
                number,
                lesion.center_lps_mm,
                lesion.shapes[index],
                volume or 1.0,
                lesion.stages[index],
                lesion.seed,
                lesion.where,
                lesion.shell_mm,
                lesion.shell_hu,
            )
            models.append(build_lesion(spec, patient.native_bone) if volume else None)
        # Two films cannot make a lesion mature; what CT says of it is in the CT's own truth.
        lesions.append(FilmLesion(lesion.lesion_id, lesion.where, "indeterminate", models))

    array, grid = from_sitk(sitk.ReadImage(str(folder / "example_ct.nii.gz")))
    hu = np.rint(array).clip(-1024, 3071).astype(np.int16)
    hu[outside_body(CTVolume(hu, grid))] = -1000
    body = CTVolume(hu, grid)
    body = resample(body, regrid(grid, (FINE_MM,) * 3))
    hu, grid = body.hu, body.grid
    one_side = hu.copy()
    x = grid.to_lps_mm(np.stack([np.zeros(hu.shape[2])] * 2 + [np.arange(hu.shape[2])], axis=1))
    one_side[:, :, x[:, 0] > MIDLINE_MM] = -1000

    def film(view: str, seed: int, sod: float, kvp: float, photons: float, **change: Any) -> Any:
        geometry = aim(
            AIM_LPS_MM,
            degrees=0.0 if view == "AP" else 90.0,
            sid_mm=1100.0,
            sod_mm=sod,
            spacing_mm=0.2,
            shape_yx=(930, 1150),
        )
        exposure = Exposure(kvp=kvp, photons_per_mm2=photons, seed=seed)
        plan = FilmPlan(view, geometry, AIM_LPS_MM, exposure, laterality="R", body_part="HIP")
        return replace(plan, **change)

    first = film("AP", 1, 950.0, 73.0, 2e7)
    second = film("AP", 2, 935.0, 77.0, 1.5e7, monochrome=1, modality="CR")
    lateral = film("LAT", 3, 900.0, 81.0, 6e7)
    pose = rigid_matrix((1.0, -2.0, 2.5), (5.0, -3.0, -4.0), AIM_LPS_MM)
    exams = [FilmExam(days[0], [first]), FilmExam(days[-1], [second, lateral], pose)]
    return FilmCase(
        make_scene(body),
        exams,
        lesions,
        patient_id=patient.patient_id,
        seed=290,
        note="sample patient's radiographs: real anatomy, planted lesions, simulated projection",
        lateral_scene=make_scene(CTVolume(one_side, grid)),
    )


def _sample_plan(folder: Path) -> Any:
    """The plan of the sample patient's CT."""
    path = Path(__file__).resolve().parent / "make_sample_data.py"
    loader = importlib.util.spec_from_file_location("make_sample_data", path)
    assert loader is not None
    assert loader.loader is not None
    script = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(script)
    return script.make_plan(folder)


if __name__ == "__main__":
    sys.exit(main())
