#!/usr/bin/env python3
"""Write the cases of the film benchmark: ``make.py --set tuning|reporting -o FOLDER``.

Every case is a folder with DX or CR images, label maps and ``case.json``; it depends on its seed
and on ``recipe.toml`` alone. Cases that are already there are left as they are. See ``README.md``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bodies import Source, data_folder, source

from hoimg.simulate.film_bridge import plant_spurs, put_prosthesis
from hoimg.simulate.film_case import FilmCase, FilmExam, FilmLesion, write_film_case
from hoimg.simulate.film_exposure import Exposure
from hoimg.simulate.film_geometry import aim
from hoimg.simulate.film_render import FilmPlan, make_scene
from hoimg.simulate.places import find_place
from hoimg.simulate.plant import LesionModel, build_lesion
from hoimg.simulate.resample import rigid_matrix

RECIPE = tomllib.loads((Path(__file__).resolve().parent / "recipe.toml").read_text())
PAIRS = ("unchanged", "grown", "projection", "grown_seen")
DRAWS = 40
PAIR_BODIES = ("hip", "thigh", "elbow", "hip", "knees")
WHERE = ("free", "near", "attached")
INTERVAL_DAYS = 120
PROCESSING = (("presentation", 0.6), ("curve", 0.15), ("log", 0.15), ("linear", 0.1))


@dataclass(frozen=True)
class Job:
    """A case to make."""

    seed: int
    family: str
    number: int
    person: int

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
        print(*(job.name for job in jobs), f"{len(jobs)} cases", sep="\n")
        return 0
    if any(j.family == "real" for j in jobs) and not data_folder().is_dir():
        print(f"{data_folder()}: is not there; set HOIMG_REAL_DATA, or name families without real")
        return 2
    for number, job in enumerate(jobs, start=1):
        folder = args.output / job.name
        if (folder / "case.json").exists():
            continue
        start = time.perf_counter()
        case = write_case(job, folder)
        films = sum(len(e.films) for e in case.exams)
        seconds = time.perf_counter() - start
        print(f"{number}/{len(jobs)} {job.name}: {films} film(s), {seconds:.0f} s", flush=True)
    return 0


def plan_jobs(name: str) -> list[Job]:
    """All cases of a set, families taking turns."""
    seed = int(RECIPE["sets"][name])
    # Nobody of the tuning set is in the reporting set; families share their people.
    people = seed // 1000 * 100
    columns = []
    for family, table in RECIPE["family"].items():
        columns.append(
            [Job(seed + n, family, n, people + n % table["persons"]) for n in range(table[name])]
        )
        seed += 100 if name == "reporting" else 90
    return [job for row in zip_longest(*columns) for job in row if job is not None]


def write_case(job: Job, folder: Path) -> FilmCase:
    """Make and write a case; where the recipe asks for a contrast, the first draw that has it."""
    least = RECIPE["family"][job.family].get("least_cnr", -np.inf)
    for draw in range(DRAWS):
        case = plan_case(job, draw)
        made = json.loads(write_film_case(case, folder).read_text(encoding="utf-8"))
        if all(_shown(seen, least) for one in made["lesions"] for seen in one["observations"]):
            return case
        shutil.rmtree(folder)
    raise RuntimeError(f"{job.name}: no lesion of contrast to noise {least:g} in {DRAWS} draws")


def _shown(seen: dict[str, Any], least: float) -> bool:
    """Whether a lesion stands out by that much, whole on the film; where nothing is asked, yes."""
    return least == -np.inf or (seen["in_field"] >= 0.999 and (seen["cnr"] or 0.0) >= least)


def plan_case(job: Job, draw: int = 0) -> FilmCase:
    """Body, lesions and films of a case; every draw of a case is another one."""
    rng = np.random.default_rng([job.seed, 95, draw] if draw else [job.seed, 95])
    if job.family == "graded":
        return _graded(job, rng)
    if job.family == "trait":
        return _trait(job, rng)
    if job.family in PAIRS:
        return _pair(job, rng)
    body = source(job.family, job.person)
    limb = job.family in ("thigh", "elbow")
    lesions = _lesions(job, body, rng, 1 if limb else 2)
    films = [_film(body, rng)]
    if limb:
        films.append(_film(body, rng, "LAT"))
    # The real pelvis has its own metal, which `films[].metal` does not know of.
    extra: dict[str, object] = {"traits": ["nail"]} if job.family == "real" else {}
    return _case(job, body, [FilmExam(0, films)], lesions, extra)


def _graded(job: Job, rng: np.random.Generator) -> FilmCase:
    """A hip with spurs, islands or nothing."""
    body = source("hip", job.person)
    assert body.body is not None
    side = body.side.lower()
    wanted = RECIPE["family"]["graded"]["gaps"][job.number]
    lesions: list[FilmLesion] = []
    if wanted == "islands":
        count = int(rng.integers(1, 3))
        # An island that no film shows would make a grade that no film can give.
        lesions = _lesions(job, body, rng, count, ("free",), (0.3, 4.0), faintest=0.6)
    elif wanted != "none":
        spurs = plant_spurs(
            body.body,
            side,
            float(wanted),
            stage=float(rng.uniform(0.7, 1.0)),
            seed=job.seed,
            depth_mm=float(rng.uniform(0, 8)),
            radius_mm=float(rng.uniform(4, 6.5)),
        )
        bones = ("both",) if wanted == 0 else ("pelvis", "femur")
        lesions = [
            FilmLesion(name, "attached", "indeterminate", [model], bone)
            for name, model, bone in zip("AB", spurs, bones, strict=False)
        ]
    films = [_film(body, rng)]
    if job.number % 2:
        films.append(_film(body, rng, "LAT"))
    case = _case(job, body, [FilmExam(0, films)], lesions, {"wanted_gap": wanted})
    return replace(case, body=body.body, hips=body.hips)


def _trait(job: Job, rng: np.random.Generator) -> FilmCase:
    """One film with something that has to be told."""
    traits = RECIPE["family"]["trait"]["traits"]
    trait = traits[job.number % len(traits)]
    body = source("hip", job.person)
    lesions = _lesions(job, body, rng, 1, WHERE[:2])
    film = _film(body, rng)
    rows, columns = film.geometry.shape_yx
    field = (round(0.1 * rows), round(0.92 * rows), round(0.09 * columns), round(0.9 * columns))
    scene, pose = None, None
    if trait == "prosthesis":
        assert body.body is not None
        bare, metal, grid = put_prosthesis(body.body, body.side.lower())
        scene = make_scene(bare.volume, metal, grid)
    elif trait in ("collimated", "painted"):
        film = replace(
            film,
            exposure=replace(film.exposure, field_yx=field),
            painted=trait == "painted",
            state_field=bool(rng.random() < 0.5),
        )
    elif trait == "two_exposures":
        other = _film(body, rng, "OBL")
        geometry = replace(
            other.geometry, spacing_mm=film.geometry.spacing_mm, shape_yx=(rows, columns)
        )
        film = replace(
            film,
            modality="CR",
            processing="presentation",
            beside=replace(other, geometry=geometry),
        )
    elif trait == "text":
        film = replace(film, text=f"{body.side}  {film.exposure.kvp:.0f} KV  HIP  01.03.2021")
    elif trait.endswith("_spacing"):
        words = {"no": "missing", "zero": "zero", "copied": "copied"}
        film = replace(film, modality="CR", spacing=words[trait.split("_")[0]])
    elif trait == "tilted":
        pose = rigid_matrix((0.0, float(rng.choice([-1, 1]) * 18.0), 0.0), (0, 0, 0), body.aim)
    else:
        # The film's edge goes through the lesion.
        model = lesions[0].models[0]
        assert model is not None
        place = film.geometry.to_pixel_yx(np.array([model.spec.center_lps_mm]))[0]
        edge = int(place[1])
        left, right = (0, edge) if body.side == "L" else (edge, columns)
        shifted = film.geometry.to_lps_mm(
            np.array([[(rows - 1) / 2, (left + right - 1) / 2]]), film.geometry.sid_mm
        )[0]
        # Another plate under the same patient, the tube moved along with it: the shadow moves on
        # the plate by that, magnified.
        factor = film.geometry.magnification(np.array([model.spec.center_lps_mm]))[0]
        away = (shifted - np.asarray(film.geometry.center_lps_mm)) / factor
        film = replace(
            film,
            geometry=replace(
                film.geometry,
                center_lps_mm=_triple(np.asarray(film.geometry.center_lps_mm) + away),
                source_lps_mm=_triple(np.asarray(film.geometry.source_lps_mm) + away),
                shape_yx=(rows, right - left),
            ),
        )
    case = _case(job, body, [FilmExam(0, [film], pose)], lesions, {"traits": [trait]})
    return case if scene is None else replace(case, scene=scene)


def _pair(job: Job, rng: np.random.Generator) -> FilmCase:
    """Two dates."""
    name = PAIR_BODIES[job.number % len(PAIR_BODIES)]
    body = source(name, job.person)
    faintest = float(RECIPE["family"][job.family].get("faintest", 0.0))
    first = _lesions(job, body, rng, 1, faintest=faintest)[0]
    model = first.models[0]
    assert model is not None
    second: LesionModel = model
    if job.family in ("grown", "grown_seen"):
        # The form enlarged: the shadow's area by 1.4.
        spec = replace(model.spec, volume_mm3=model.volume_mm3 * 1.4**1.5)
        second = build_lesion(spec, body.site.native_bone)
    before, after = _film(body, rng), _film(body, rng)
    # One department: the same reader and the same processing at both dates.
    after = replace(
        after,
        processing=before.processing,
        modality=before.modality,
        spacing=before.spacing,
        look=before.look,
    )
    turn = rng.uniform(-3, 3, 3)
    shift = rng.uniform(-8, 8, 3)
    if job.family == "projection":
        angle = float(rng.choice([-1, 1]) * rng.uniform(10, 25))
        if job.number % 4 == 3:
            oblique = float(rng.choice([-45.0, 45.0]))
            after = replace(_film(body, rng, "OBL", oblique), processing=before.processing)
        else:
            turn[2] += angle
    pose = rigid_matrix(_triple(turn), _triple(shift), body.aim)
    lesion = replace(first, models=[model, second])
    exams = [FilmExam(0, [before]), FilmExam(INTERVAL_DAYS, [after], pose)]
    return _case(job, body, exams, [lesion], {"pair": job.family})


def _lesions(
    job: Job,
    body: Source,
    rng: np.random.Generator,
    count: int,
    places: tuple[str, ...] = WHERE,
    volume: tuple[float, float] | None = None,
    faintest: float = 0.0,
) -> list[FilmLesion]:
    """Lesions near one side's points; smaller where there is no room."""
    low, high = np.log(volume or RECIPE["family"][job.family]["volume"])
    kinds = ("lobulated", "plaque", "cluster", "bar", "spiky")
    centers = body.centers
    per_side = max(len(centers) // 2, 1)
    if body.side == "B":
        start = per_side * int(rng.integers(2))
        centers = centers[start : start + per_side]
    made: list[LesionModel] = []
    for number in range(count):
        size = float(np.exp(rng.uniform(low, high))) * 1000.0
        stage = float(rng.uniform(faintest, 1))
        kind = str(rng.choice(kinds, p=(0.5, 0.2, 0.1, 0.1, 0.1)))
        center = centers[int(rng.integers(len(centers)))]
        first = int(rng.integers(len(places)))
        words = [places[(first + k) % len(places)] for k in range(len(places))]
        found = None
        for part in (1.0, 0.6, 0.35, 0.2):
            for where in words:
                try:
                    found = find_place(
                        body.site,
                        where,
                        size * part,
                        stage,
                        label=number + 1,
                        seed=job.seed * 10 + number,
                        others=made,
                        kind=kind,
                        near_lps_mm=center,
                        near_mm=body.near_mm,
                    )
                except ValueError:
                    continue
                break
            if found is not None:
                break
        if found is None:
            raise RuntimeError(f"{job.name}: no room for lesion {number + 1}")
        made.append(found)
    return [
        FilmLesion("ABC"[n], model.spec.where, "indeterminate", [model])
        for n, model in enumerate(made)
    ]


def _film(
    body: Source, rng: np.random.Generator, view: str = "AP", degrees: float | None = None
) -> FilmPlan:
    """A film with its device, exposure and header drawn."""
    turn = {"AP": 0.0, "LAT": -90.0, "OBL": 35.0}[view] if degrees is None else degrees
    sid = float(rng.choice([1000.0, 1050.0, 1100.0, 1150.0]))
    behind = float(rng.uniform(110, 170)) if body.part in ("HIP", "PELVIS") else 90.0
    behind += 40.0 if view == "LAT" and body.part == "HIP" else 0.0
    spacing = float(rng.choice(body.pixels))
    rows, columns = (round(s / spacing) for s in body.size_mm)
    geometry = aim(
        body.aim,
        degrees=turn,
        sid_mm=sid,
        sod_mm=sid - behind,
        spacing_mm=spacing,
        shape_yx=(rows, columns),
    )
    lateral = view == "LAT" and body.part == "HIP"
    exposure = Exposure(
        kvp=float(round(body.kvp + rng.uniform(-5, 5) + (8 if lateral else 0))),
        photons_per_mm2=body.photons
        * float(np.exp(rng.uniform(-0.7, 0.7)))
        * (4 if lateral else 1),
        scatter=body.scatter * float(rng.uniform(0.8, 1.25)),
        focal_spot_mm=float(rng.choice([0.6, 1.0, 1.2])),
        detector_fwhm_mm=float(rng.uniform(0.2, 0.4)),
        seed=int(rng.integers(1 << 30)),
    )
    words, shares = zip(*PROCESSING, strict=True)
    modality = str(rng.choice(["DX", "CR"]))
    looks = ["window", "voi_lut"] + (["presentation_lut"] if modality == "CR" else [])
    return FilmPlan(
        view,
        geometry,
        body.aim,
        exposure,
        processing=str(rng.choice(words, p=shares)),
        bits=int(rng.choice([12, 14])),
        monochrome=int(rng.choice([1, 2])),
        modality=modality,
        spacing=str(rng.choice(["imager", "imager_only", "calibrated"], p=[0.7, 0.15, 0.15])),
        look=str(rng.choice(looks)),
        laterality=body.side,
        body_part=body.part,
    )


def _case(
    job: Job,
    body: Source,
    exams: list[FilmExam],
    lesions: list[FilmLesion],
    extra: dict[str, object] | None = None,
) -> FilmCase:
    return FilmCase(
        body.scene,
        exams,
        lesions,
        patient_id=f"SIM-FILM-{job.seed:04d}",
        seed=job.seed,
        note=f"simulated films, {job.family}",
        extra={"family": job.family, "person": job.person, **(extra or {})},
    )


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return (a, b, c)


if __name__ == "__main__":
    sys.exit(main())
