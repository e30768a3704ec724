"""Several exams of one patient, written as DICOM folders with ``case.json`` and label maps."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hoimg.image import Mask, write_nifti
from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, WrittenStudy, write_study
from hoimg.simulate.exam import (
    exam_grid,
    exam_to_patient,
    lesion_model,
    lesion_to_patient,
    metal_gap,
    scan_exam,
    share_in_view,
)
from hoimg.simulate.plans import CasePlan, ExamPlan
from hoimg.simulate.plant import LesionModel, Planted
from hoimg.simulate.pose import transform
from hoimg.simulate.posing import posed_bones
from hoimg.simulate.resample import average_slices, resample_nearest

FIRST_DATE = dt.date(2021, 3, 1)
"""Invented date of day 0."""


def write_case(
    plan: CasePlan,
    dicom_folder: Path,
    truth_folder: Path | None = None,
    models: dict[Any, LesionModel] | None = None,
) -> Path:
    """Write every exam as a DICOM study, the label maps and ``case.json``.

    Args:
        plan: The case.
        dicom_folder: Where the study folders go.
        truth_folder: Where ``case.json`` and the label maps go; None: ``dicom_folder`` for
            ``case.json`` and ``truth/`` in it for the label maps.
        models: Lesions built before, see :func:`scan_exam`.

    Returns:
        Path of ``case.json``; the paths in it are relative to its folder.
    """
    home = dicom_folder if truth_folder is None else truth_folder
    maps = dicom_folder / "truth" if truth_folder is None else truth_folder
    maps.mkdir(parents=True, exist_ok=True)
    models = {} if models is None else models
    exams: list[dict[str, Any]] = []
    truths = []
    for index, exam in enumerate(plan.exams):
        planted = scan_exam(plan, index, models)
        folder = dicom_folder / f"S{(index * 7919 + plan.seed * 104729 + 4721) % 0xFFFFF:05X}"
        written = _write_exam(plan, exam, index, planted, folder)
        labelmap = maps / f"day{exam.days:04d}_truth.nii.gz"
        array = planted.labelmap.array
        write_nifti(
            labelmap,
            array.astype(np.uint8 if array.max() < 256 else np.uint16),
            planted.labelmap.grid,
        )
        truths.append(planted.truths)
        exams.append(
            {
                "folder": _relative(folder, home),
                "days": exam.days,
                "labelmap": _relative(labelmap, home),
                "study_instance_uid": written.study_uid,
                "series_instance_uid": written.series_uids[0],
                "slice_mm": exam.slice_mm,
                "pixel_mm": exam.pixel_mm,
                "psf_fwhm_zyx_mm": [0.8 * exam.slice_mm, exam.psf_fwhm_mm, exam.psf_fwhm_mm],
                "kernel": exam.kernel,
                "kvp": exam.kvp,
                "noise_sd_hu": exam.noise_sd_hu,
                "contrast": exam.contrast,
                "exam_to_patient_lps": exam_to_patient(plan, exam).round(9).tolist(),
                "metal": len(exam.metal),
                "bends": [
                    {"joint": b.joint, "degrees_xyz": list(b.degrees_xyz)} for b in exam.bends
                ],
            }
        )
        if plan.skeleton is not None:
            given = maps / f"day{exam.days:04d}_skeleton.nii.gz"
            put = _skeleton(plan, exam)
            write_nifti(given, put.array, put.grid)
            exams[-1]["skeleton"] = _relative(given, home)
    case = {
        "note": plan.note,
        "seed": plan.seed,
        "exams": exams,
        "lesions": [_lesion_truth(plan, n, truths, models) for n in range(len(plan.lesions))],
        **plan.extra,
    }
    path = home / "case.json"
    path.write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")
    return path


def _write_exam(
    plan: CasePlan, exam: ExamPlan, index: int, planted: Planted, folder: Path
) -> WrittenStudy:
    """The DICOM study of one exam."""
    shared: dict[str, Any] = {
        "kernel": exam.kernel,
        "kvp": float(exam.kvp),
        "contrast": exam.contrast,
    }
    series = [SeriesSpec(planted.volume, f"Axial {exam.slice_mm:g}", **shared)]
    if exam.thick_mm:
        thick = average_slices(planted.volume, exam.thick_mm)
        series.append(SeriesSpec(thick, f"Axial {exam.thick_mm:g}", **shared))
    spec = StudySpec(
        series,
        FIRST_DATE + dt.timedelta(days=exam.days),
        plan.patient_id,
        seed=f"{plan.seed}-{index}",
        compression=plan.compression,
    )
    return write_study(spec, folder)


def _skeleton(plan: CasePlan, exam: ExamPlan) -> Mask:
    """A reader's skeleton on an exam's grid; with a bent joint, the rig's own bones."""
    grid, way = exam_grid(plan, exam), exam_to_patient(plan, exam)
    if exam.bends:
        bones = posed_bones(plan.pose(exam), grid, way)
        return Mask((bones.array > 0).astype(np.uint8), grid)
    assert plan.skeleton is not None
    return resample_nearest(plan.skeleton, grid, way)


def _lesion_truth(
    plan: CasePlan, number: int, truths: Sequence[Any], models: dict[Any, LesionModel]
) -> dict[str, Any]:
    """One lesion's entry in ``case.json``."""
    lesion = plan.lesions[number]
    labels = {other.lesion_id: n for n, other in enumerate(plan.lesions, start=1)}
    seen = False
    observations: list[dict[str, Any]] = []
    for index in range(len(plan.exams)):
        merged = False
        label = number + 1
        if lesion.volumes_mm3[index] is None:
            if not (seen and lesion.merged_into):
                continue
            merged, label = True, labels[lesion.merged_into]
        seen = True
        truth = truths[index].get(label)
        if truth is None:  # there, but out of this exam's view
            continue
        entry = {
            "exam": index,
            "label": label,
            "volume_mm3": round(truth.volume_mm3, 2),
            "stage": truth.stage,
            "centroid_lps_mm": [round(v, 3) for v in truth.centroid_lps_mm],
            "excess_hu_mm3": round(truth.excess_hu_mm3, 1),
            "gap_to_bone_mm": truth.gap_to_bone_mm and round(truth.gap_to_bone_mm, 2),
        }
        if merged:
            entry["merged_into"] = lesion.merged_into
        observations.append(entry)
    return {
        "id": lesion.lesion_id,
        "where": lesion.where,
        "label": lesion.label,
        "observations": observations,
        "story": lesion.story,
        "split_from": lesion.split_from,
        "red_flag": lesion.manner == "reverse",
        "places": [_place(plan, number, index, models) for index in range(len(plan.exams))],
        **lesion.extra,
    }


def _place(
    plan: CasePlan, number: int, index: int, models: dict[Any, LesionModel]
) -> dict[str, Any]:
    """Where a lesion's neighbourhood is in an exam, the lesion present or not."""
    way = lesion_to_patient(plan, number, index, models)
    lesion, back = plan.lesions[number], np.linalg.inv(way)
    present = lesion.volumes_mm3[index] is not None
    model = lesion_model(plan, number, index, models) if present else None
    center = np.asarray(lesion.center_lps_mm)
    # Points of the tissue in and round the lesion: its middle, and 10 mm along each axis.
    points = center + 10.0 * np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    return {
        "exam": index,
        "exam_to_patient_lps": way.round(9).tolist(),
        "points_lps_mm": transform(back, points).round(4).tolist(),
        "in_view": None
        if model is None
        else round(share_in_view(model, exam_grid(plan, plan.exams[index]), way), 4),
        "metal_mm": None if model is None else metal_gap(plan, index, model, way),
    }


def _relative(path: Path, home: Path) -> str:
    return Path(os.path.relpath(path, home)).as_posix()
