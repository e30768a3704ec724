"""A patient's films over time, written as DICOM with ``case.json`` and label maps (PNG)."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.simulate.case import FIRST_DATE
from hoimg.simulate.film_anatomy import Body
from hoimg.simulate.film_bridge import HipTruth, hip_truth
from hoimg.simulate.film_geometry import FilmGeometry
from hoimg.simulate.film_lesion import FilmTruth
from hoimg.simulate.film_render import Film, FilmPlan, Scene, render_film
from hoimg.simulate.film_writer import FilmHeader, write_film
from hoimg.simulate.plant import LesionModel


@dataclass(frozen=True)
class FilmLesion:
    """One lesion over all exams.

    Attributes:
        lesion_id: Its name.
        where: ``free``, ``near`` or ``attached``.
        label: Expected maturity; from films alone hardly more than ``indeterminate``.
        models: One per exam; None where it is absent.
        bone: ``pelvis``, ``femur`` or ``both`` when it is one with that bone of a graded hip; None
            for an island or elsewhere.
        extra: More fields of its entry in ``case.json``.
    """

    lesion_id: str
    where: str
    label: str
    models: Sequence[LesionModel | None]
    bone: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FilmExam:
    """The films of one date.

    Attributes:
        days: After the first exam.
        films: In order.
        pose: 4x4 rigid motion of the patient from rest; None: at rest.
    """

    days: int
    films: Sequence[FilmPlan]
    pose: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class FilmCase:
    """A patient with films.

    Attributes:
        scene: The body.
        exams: In date order, the first at day 0.
        lesions: At most 255; the label in the maps is that of their models.
        body: For grading hips; None: nothing is graded.
        hips: Sides to grade, ``r`` or ``l``.
        patient_id: Invented.
        seed: Of UIDs and file names.
        note: Copied into ``case.json``.
        extra: More top-level fields of ``case.json``.
        compression: See :mod:`hoimg.simulate.dicom_writer`.
        lateral_scene: The body on lateral films, e.g. without the other leg; None: ``scene``.
    """

    scene: Scene
    exams: Sequence[FilmExam]
    lesions: Sequence[FilmLesion]
    body: Body | None = None
    hips: Sequence[str] = ()
    patient_id: str = "SIM-FILM"
    seed: int = 0
    note: str = "simulated films"
    extra: Mapping[str, Any] = field(default_factory=dict)
    compression: str = "jpeg-2000"
    lateral_scene: Scene | None = None


def write_film_case(case: FilmCase, dicom_folder: Path, truth_folder: Path | None = None) -> Path:
    """Make and write every film, its label maps and ``case.json``.

    Args:
        case: The patient.
        dicom_folder: Where the study folders go.
        truth_folder: Where ``case.json`` and the label maps go; None: ``dicom_folder`` for
            ``case.json`` and ``truth/`` in it for the maps.

    Returns:
        Path of ``case.json``; the paths in it are relative to its folder.
    """
    from PIL import Image

    home = dicom_folder if truth_folder is None else truth_folder
    maps = dicom_folder / "truth" if truth_folder is None else truth_folder
    maps.mkdir(parents=True, exist_ok=True)
    exams: list[dict[str, Any]] = []
    observations: list[list[dict[str, Any]]] = [[] for _ in case.lesions]
    for index, exam in enumerate(case.exams):
        folder = dicom_folder / f"F{(index * 7919 + case.seed * 104729 + 4721) % 0xFFFFF:05X}"
        present = [lesion.models[index] for lesion in case.lesions]
        models = [m for m in present if m is not None]
        entries = []
        for number, plan in enumerate(exam.films, start=1):
            scene = case.scene
            if plan.view == "LAT" and case.lateral_scene is not None:
                scene = case.lateral_scene
            film = render_film(scene, models, plan, exam.pose)
            path = folder / f"I{(number * 6151 + case.seed * 13007 + index) % 0xFFFFFFF:07X}"
            header = film_header(case, exam, index, number, plan)
            study, series, instance = write_film(film.stored, header, path)
            stem = f"day{exam.days:04d}_{number}_{plan.view.lower()}"
            for kind, array in (("labels", film.labels), ("envelopes", film.envelopes)):
                Image.fromarray(array).save(maps / f"{stem}_{kind}.png", optimize=True)
            entry = {
                "file": _relative(path, home),
                "labelmap": _relative(maps / f"{stem}_labels.png", home),
                "envelopes": _relative(maps / f"{stem}_envelopes.png", home),
                "study_instance_uid": study,
                "series_instance_uid": series,
                "sop_instance_uid": instance,
                **film_entry(plan, film),
                "metal": case.scene.metal is not None,
            }
            if case.hips and case.body is not None and plan.beside is None:
                graded = [_hip(case, index, side, film.geometry) for side in case.hips]
                entry["hips"] = [_rounded(asdict(g)) for g in graded]
            entries.append(entry)
            for place, model in enumerate(present):
                if model is None:
                    continue
                for part, truths in enumerate((film.truths, film.truths_beside or {})):
                    truth = truths.get(model.spec.label)
                    if truth is None:
                        continue
                    seen = _observation(index, number - 1, model, truth)
                    if film.truths_beside is not None:
                        seen["exposure"] = part
                    observations[place].append(seen)
        exams.append(
            {
                "folder": _relative(folder, home),
                "days": exam.days,
                "labelmap": entries[0]["labelmap"],
                "study_instance_uid": entries[0]["study_instance_uid"],
                "pose": None if exam.pose is None else np.round(exam.pose, 9).tolist(),
                "films": entries,
            }
        )
    lesions = [
        {
            "id": lesion.lesion_id,
            "where": lesion.where,
            "label": lesion.label,
            "bone": lesion.bone,
            "observations": seen,
            **lesion.extra,
        }
        for lesion, seen in zip(case.lesions, observations, strict=True)
    ]
    whole = {
        "note": case.note,
        "seed": case.seed,
        "exams": exams,
        "lesions": lesions,
        **case.extra,
    }
    path = home / "case.json"
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return path


def film_header(
    case: FilmCase, exam: FilmExam, index: int, number: int, plan: FilmPlan
) -> FilmHeader:
    """The header that a film of a case gets."""
    geometry = plan.geometry
    return FilmHeader(
        modality=plan.modality,
        view=plan.view,
        laterality=plan.laterality,
        body_part=plan.body_part,
        orientation=(_letters(geometry.column_lps), _letters(geometry.row_lps)),
        spacing_mm=geometry.spacing_mm,
        sid_mm=geometry.sid_mm,
        sod_mm=plan.sod_mm,
        spacing=plan.spacing,
        look=plan.look,
        kvp=plan.exposure.kvp,
        study_date=FIRST_DATE + dt.timedelta(days=exam.days),
        patient_id=case.patient_id,
        seed=f"{case.seed}-{index}",
        number=number,
        burned_in=plan.text is not None,
        field_yx=plan.exposure.field_yx if plan.state_field else None,
        compression=case.compression,
    )


def film_entry(plan: FilmPlan, film: Film) -> dict[str, Any]:
    """How a film was made, for ``case.json``."""
    geometry, exposure = film.geometry, plan.exposure
    return {
        "view": plan.view,
        "laterality": plan.laterality,
        "body_part": plan.body_part,
        "modality": plan.modality,
        "rows": int(film.stored.values.shape[0]),
        "columns": int(film.stored.values.shape[1]),
        "spacing_detector_mm": geometry.spacing_mm,
        "spacing": plan.spacing,
        "sid_mm": round(geometry.sid_mm, 3),
        "sod_mm": round(plan.sod_mm, 3),
        "magnification_stated": round(geometry.sid_mm / plan.sod_mm, 5),
        "source_lps_mm": [round(v, 4) for v in geometry.source_lps_mm],
        "detector_center_lps_mm": [round(v, 4) for v in geometry.center_lps_mm],
        "column_lps": [round(v, 8) for v in geometry.column_lps],
        "row_lps": [round(v, 8) for v in geometry.row_lps],
        "kvp": exposure.kvp,
        "photons_per_mm2": exposure.photons_per_mm2,
        "scatter": exposure.scatter,
        "field_yx": exposure.field_yx,
        "painted": plan.painted,
        "text": plan.text,
        "two_exposures": plan.beside is not None,
        "processing": plan.processing,
        "bits": plan.bits,
        "monochrome": plan.monochrome,
        "look": plan.look,
    }


def _hip(case: FilmCase, index: int, side: str, geometry: FilmGeometry) -> HipTruth:
    """Grade one hip of an exam."""
    assert case.body is not None
    parts: dict[str, list[LesionModel]] = {"pelvis": [], "femur": [], "island": []}
    for lesion in case.lesions:
        model = lesion.models[index]
        if model is None or lesion.extra.get("side", side) != side:
            continue
        names = ("pelvis", "femur") if lesion.bone == "both" else (lesion.bone or "island",)
        for name in names:
            parts[name].append(model)
    return hip_truth(case.body, side, parts["pelvis"], parts["femur"], parts["island"], geometry)


def _observation(exam: int, film: int, model: LesionModel, truth: FilmTruth) -> dict[str, Any]:
    return {
        "exam": exam,
        "film": film,
        "label": model.spec.label,
        "volume_mm3": round(model.volume_mm3, 2),
        "stage": model.spec.stage,
        **_rounded(asdict(truth)),
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.6g}")
        if isinstance(value, tuple):
            return [short(v) for v in value]
        return value

    return {name: short(value) for name, value in values.items()}


def _letters(way_lps: Sequence[float]) -> str:
    """Where a direction points, as PatientOrientation writes it: the larger axis first."""
    names = (("R", "L"), ("A", "P"), ("F", "H"))
    order = np.argsort(-np.abs(way_lps))
    return "".join(names[k][int(way_lps[k] > 0)] for k in order if abs(way_lps[k]) > 0.17)


def _relative(path: Path, home: Path) -> str:
    return Path(os.path.relpath(path, home)).as_posix()
