"""Several exams of one patient, written as DICOM folders with ``case.json`` and label maps."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume, Mask, write_nifti
from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, WrittenStudy, write_study
from hoimg.simulate.plant import LesionModel, Planted, PlantSpec, build_lesion, plant
from hoimg.simulate.resample import (
    AIR_HU,
    average_slices,
    resample,
    resample_nearest,
    rigid_matrix,
)
from hoimg.simulate.shapes import Shape

FIRST_DATE = dt.date(2021, 3, 1)
"""Invented date of day 0."""

MINERAL_SCALE = {70: 1.587, 80: 1.35, 100: 1.136, 120: 1.0, 140: 0.93}
"""Mineral signal relative to 120 kVp. 70 and 100: the inverse of published factors to 120 kVp
(0.63, 0.88); 80 and 140 are read off a smooth curve through them."""


@dataclass(frozen=True)
class ExamPlan:
    """How one exam is scanned.

    Attributes:
        days: Days after the first exam.
        slice_mm: Slice spacing and thickness.
        pixel_mm: In-plane spacing.
        psf_fwhm_mm: In-plane point spread of the kernel, mm; along z the slice sensitivity is 0.8
            of the slice.
        kernel: Name in the DICOM header.
        kvp: Tube voltage; a key of :data:`MINERAL_SCALE`.
        noise_sd_hu: Noise added, HU.
        noise_fwhm_mm: Width of the noise's kernel, mm.
        degrees_xyz: Rotation of the patient against the first exam, degrees.
        shift_mm: Shift of the patient against the first exam, LPS mm.
        thick_mm: When set, a second series averaged to this slice thickness is written too.
        contrast: Contrast agent named in the header; None: none.
    """

    days: int
    slice_mm: float = 1.25
    pixel_mm: float = 1.0
    psf_fwhm_mm: float = 1.1
    kernel: str = "B30f"
    kvp: int = 120
    noise_sd_hu: float = 10.0
    noise_fwhm_mm: float = 1.8
    degrees_xyz: Triple = (0.0, 0.0, 0.0)
    shift_mm: Triple = (0.0, 0.0, 0.0)
    thick_mm: float | None = None
    contrast: str | None = None


@dataclass(frozen=True)
class LesionPlan:
    """One lesion over all exams.

    Attributes:
        lesion_id: Its name in ``case.json``, e.g. ``A``.
        where: ``free``, ``near`` or ``attached``.
        label: Expected maturity at the last exam: ``immature``, ``mature``, ``indeterminate``.
        center_lps_mm: In the patient's frame.
        seed: Of the texture.
        volumes_mm3: One per exam; None: absent, or part of the lesion it merged into.
        stages: One per exam.
        shapes: One per exam (the same object as long as the lesion keeps its form).
        merged_into: Name of the lesion that has taken this one up wherever its volume is None
            after it was present.
        shell_mm: Thickness of the mature shell.
        shell_hu: HU of the mature shell.
        manner: Kind of texture.
        extra: More fields of its entry in ``case.json``.
    """

    lesion_id: str
    where: str
    label: str
    center_lps_mm: Triple
    seed: int
    volumes_mm3: Sequence[float | None]
    stages: Sequence[float]
    shapes: Sequence[Shape]
    merged_into: str | None = None
    shell_mm: float = 1.5
    shell_hu: float = 1150.0
    manner: str = "zonal"
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CasePlan:
    """A patient: anatomy, exams and lesions.

    Attributes:
        base: Scan or phantom without lesions, in the patient's frame.
        native_bone: Its native skeleton.
        exams: In date order, the first at day 0.
        lesions: At most 65535.
        low_lps_mm: Lower corner of what is scanned (scanner frame); None: all of ``base``.
        high_lps_mm: Upper corner.
        patient_id: Invented.
        seed: Of noise, UIDs and file names.
        clean_air: Write constant air outside the body (compresses better; removes the table).
        compression: See :mod:`hoimg.simulate.dicom_writer`.
        note: What the case is, copied into ``case.json``.
        extra: More top-level fields of ``case.json``.
        skeleton: A skeleton in the patient's frame as a reader would give it (a model's mask of
            the scan without lesions); written on each exam's grid and named in ``case.json``.
    """

    base: CTVolume
    native_bone: Mask
    exams: Sequence[ExamPlan]
    lesions: Sequence[LesionPlan]
    low_lps_mm: Triple | None = None
    high_lps_mm: Triple | None = None
    patient_id: str = "SIM-0001"
    seed: int = 0
    clean_air: bool = False
    compression: str = "jpeg-ls"
    note: str = "simulated"
    extra: dict[str, Any] = field(default_factory=dict)
    skeleton: Mask | None = None


def exam_grid(plan: CasePlan, exam: ExamPlan) -> Grid:
    """The LPS-aligned grid on which an exam is scanned."""
    corners = plan.base.grid.to_lps_mm(plan.base.grid.corners_zyx())
    low = np.asarray(plan.low_lps_mm) if plan.low_lps_mm is not None else corners.min(0)
    high = np.asarray(plan.high_lps_mm) if plan.high_lps_mm is not None else corners.max(0)
    spacing = (exam.slice_mm, exam.pixel_mm, exam.pixel_mm)
    size = ((high - low)[::-1] / spacing).astype(int) + 1
    return Grid((int(size[0]), int(size[1]), int(size[2])), spacing, tuple(low))


def exam_to_patient(plan: CasePlan, exam: ExamPlan) -> NDArray[np.float64]:
    """4x4 rigid matrix from an exam's LPS points to the patient's frame."""
    grid = exam_grid(plan, exam)
    middle = grid.to_lps_mm([(n - 1) / 2 for n in grid.size_zyx])
    moved = rigid_matrix(exam.degrees_xyz, exam.shift_mm, (middle[0], middle[1], middle[2]))
    return np.asarray(np.linalg.inv(moved))


def scan_exam(plan: CasePlan, index: int, models: dict[Any, LesionModel] | None = None) -> Planted:
    """One exam as arrays: the anatomy re-positioned, the lesions of that date planted.

    Args:
        plan: The case.
        index: Which exam.
        models: Lesions built before by :func:`model_key`, filled as they are built: an unchanged
            lesion is the same object at both dates.
    """
    exam = plan.exams[index]
    models = {} if models is None else models
    to_patient = exam_to_patient(plan, exam)
    scan = resample(plan.base, exam_grid(plan, exam), to_patient)
    if exam.kvp != 120:
        scan = _other_kvp(scan, MINERAL_SCALE[exam.kvp])
    present = []
    for number, lesion in enumerate(plan.lesions, start=1):
        volume = lesion.volumes_mm3[index]
        if volume is None:
            continue
        key = model_key(lesion, index)
        if key not in models:
            models[key] = build_lesion(
                PlantSpec(
                    number,
                    lesion.center_lps_mm,
                    lesion.shapes[index],
                    volume,
                    lesion.stages[index],
                    lesion.seed,
                    lesion.where,
                    lesion.shell_mm,
                    lesion.shell_hu,
                    lesion.manner,
                ),
                plan.native_bone,
            )
        present.append(models[key])
    outside = outside_body(scan) if plan.clean_air else None
    planted = plant(
        scan,
        present,
        psf_fwhm_mm=(0.8 * exam.slice_mm, exam.psf_fwhm_mm, exam.psf_fwhm_mm),
        noise_sd_hu=exam.noise_sd_hu,
        noise_fwhm_mm=exam.noise_fwhm_mm,
        seed=plan.seed * 1000 + index,
        native_bone=plan.native_bone,
        exam_to_patient_lps=to_patient,
        mineral_scale=MINERAL_SCALE[exam.kvp],
    )
    if outside is not None:
        hu = planted.volume.hu.copy()
        hu[outside] = AIR_HU
        planted = Planted(CTVolume(hu, scan.grid), planted.labelmap, planted.truths)
    return planted


def model_key(lesion: LesionPlan, index: int) -> tuple[Any, ...]:
    """What makes a lesion's model at one exam: the same key, the same object."""
    return (
        lesion.lesion_id,
        lesion.volumes_mm3[index],
        lesion.stages[index],
        id(lesion.shapes[index]),
    )


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
            }
        )
        if plan.skeleton is not None:
            given = maps / f"day{exam.days:04d}_skeleton.nii.gz"
            put = resample_nearest(
                plan.skeleton, exam_grid(plan, exam), exam_to_patient(plan, exam)
            )
            write_nifti(given, put.array, put.grid)
            exams[-1]["skeleton"] = _relative(given, home)
    case = {
        "note": plan.note,
        "seed": plan.seed,
        "exams": exams,
        "lesions": [_lesion_truth(plan, n, truths) for n in range(len(plan.lesions))],
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


def _lesion_truth(plan: CasePlan, number: int, truths: Sequence[Any]) -> dict[str, Any]:
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
        truth = truths[index][label]
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
        **lesion.extra,
    }


def outside_body(volume: CTVolume) -> NDArray[np.bool_]:
    """Air and table round the body: all but the largest connected thing above -500 HU, filled.

    The skin keeps a margin of two voxels, so that its blur stays.
    """
    import SimpleITK as sitk

    solid = ndimage.binary_opening(volume.hu > -500, np.ones((1, 3, 3), bool))
    parts = sitk.RelabelComponent(
        sitk.ConnectedComponent(sitk.GetImageFromArray(solid.astype(np.uint8))), 1
    )
    labels = sitk.GetArrayFromImage(parts)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = np.isin(labels, np.flatnonzero(sizes > 0.15 * sizes.max()))
    for index in range(body.shape[0]):
        body[index] = ndimage.binary_fill_holes(body[index])
    grown: NDArray[np.bool_] = ndimage.binary_dilation(body, np.ones((1, 3, 3), bool), 2)
    return np.asarray(~grown)


def _other_kvp(volume: CTVolume, scale: float) -> CTVolume:
    """Scale what lies above 100 HU (bone; metal is not modelled) as mineral does."""
    hu = volume.hu.astype(np.float32)
    hu = np.where(hu > 100, 100 + (hu - 100) * scale, hu)
    out = np.clip(np.rint(hu), -1024, 32767).astype(np.int16)
    return CTVolume(out if volume.hu.dtype == np.int16 else hu.astype(np.float32), volume.grid)


def _relative(path: Path, home: Path) -> str:
    return Path(os.path.relpath(path, home)).as_posix()
