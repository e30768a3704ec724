"""One exam of a case as arrays: the patient posed and placed, the lesions of that date planted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.simulate.metal import insert, metal_distance_mm
from hoimg.simulate.plans import MINERAL_SCALE, CasePlan, ExamPlan, model_key
from hoimg.simulate.plant import LesionModel, Planted, PlantSpec, build_lesion, plant
from hoimg.simulate.pose import lookup, transform
from hoimg.simulate.resample import AIR_HU, resample, rigid_matrix

CARRIED_MM = 7.0
"""Ossification this near to bone goes with it when a joint bends: every ``near`` and ``attached``
lesion does."""


def exam_grid(plan: CasePlan, exam: ExamPlan) -> Grid:
    """The LPS-aligned grid on which an exam is scanned."""
    corners = plan.base.grid.to_lps_mm(plan.base.grid.corners_zyx())
    low, high = corners.min(0), corners.max(0)
    for ends in ((plan.low_lps_mm, plan.high_lps_mm), (exam.low_lps_mm, exam.high_lps_mm)):
        low = low if ends[0] is None else np.asarray(ends[0])
        high = high if ends[1] is None else np.asarray(ends[1])
    spacing = (exam.slice_mm, exam.pixel_mm, exam.pixel_mm)
    size = ((high - low)[::-1] / spacing).astype(int) + 1
    return Grid((int(size[0]), int(size[1]), int(size[2])), spacing, tuple(low))


def exam_to_patient(plan: CasePlan, exam: ExamPlan) -> NDArray[np.float64]:
    """4x4 rigid matrix from an exam's LPS points to the patient's frame.

    Where the exam bends joints this holds for the bones that stay; see :func:`lesion_to_patient`.
    """
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
    grid = exam_grid(plan, exam)
    if plan.rig is not None:  # at every exam, so that joints look alike bent or not
        scan = plan.scanner.scan(plan.pose(exam), grid, to_patient)
    else:
        scan = resample(plan.base, grid, to_patient)
    if exam.kvp != 120:
        scan = _other_kvp(scan, MINERAL_SCALE[exam.kvp])
    present, ways = [], {}
    for number, lesion in enumerate(plan.lesions, start=1):
        if lesion.volumes_mm3[index] is None:
            continue
        model = lesion_model(plan, number - 1, index, models)
        way = lesion_to_patient(plan, number - 1, index, models)
        if share_in_view(model, grid, way) > 0:
            present.append(model)
            ways[number] = way
    outside = outside_body(scan) if plan.clean_air else None
    planted = plant(
        scan,
        present,
        psf_fwhm_mm=(0.8 * exam.slice_mm, exam.psf_fwhm_mm, exam.psf_fwhm_mm),
        noise_sd_hu=exam.noise_sd_hu,
        noise_fwhm_mm=exam.noise_fwhm_mm,
        seed=plan.seed * 1000 + index,
        native_bone=plan.native_bone,
        exam_to_patient_lps=ways,
        mineral_scale=MINERAL_SCALE[exam.kvp],
    )
    if exam.metal:
        psf = (0.8 * exam.slice_mm, exam.psf_fwhm_mm, exam.psf_fwhm_mm)
        seed = plan.seed * 1000 + index
        shown = insert(planted.volume, list(exam.metal), metal_ways(plan, exam), psf, seed)
        planted = Planted(shown, planted.labelmap, planted.truths)
    if outside is not None:
        hu = planted.volume.hu.copy()
        hu[outside] = AIR_HU
        planted = Planted(CTVolume(hu, scan.grid), planted.labelmap, planted.truths)
    return planted


def lesion_model(
    plan: CasePlan, number: int, index: int, models: dict[Any, LesionModel]
) -> LesionModel:
    """A lesion of the plan at an exam where it is there, built now or before."""
    lesion = plan.lesions[number]
    volume = lesion.volumes_mm3[index]
    if volume is None:
        raise ValueError(f"lesion {lesion.lesion_id} is not there at exam {index}")
    key = model_key(lesion, index)
    if key not in models:
        models[key] = build_lesion(
            PlantSpec(
                number + 1,
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
    return models[key]


def lesion_to_patient(
    plan: CasePlan, number: int, index: int, models: dict[Any, LesionModel] | None = None
) -> NDArray[np.float64]:
    """4x4 rigid matrix from an exam's LPS points to the patient's, for a lesion's neighbourhood.

    A lesion within :data:`CARRIED_MM` of bone goes with that bone, any other as the tissue at its
    centre does; it is never stretched. The same holds at exams where it is absent.

    Args:
        plan: The case.
        number: Which lesion.
        index: Which exam.
        models: As in :func:`scan_exam`.

    Raises:
        ValueError: when the lesion's centre lies where joint surfaces slide.
    """
    exam = plan.exams[index]
    whole = exam_to_patient(plan, exam)
    if not exam.bends:
        return whole
    pose = plan.pose(exam)
    lesion = plan.lesions[number]
    sizes = [0.0 if v is None else v for v in lesion.volumes_mm3]
    largest = lesion_model(plan, number, int(np.argmax(sizes)), {} if models is None else models)
    points = largest.grid.to_lps_mm(np.argwhere(largest.occupancy > 0.5)[::7])
    gaps = [lookup(d, pose.rig.bone.grid, points).min() for d in pose.rig.distances_mm]
    by = int(np.argmin(gaps)) if min(gaps) < CARRIED_MM else None
    return np.asarray(np.linalg.inv(pose.carried(lesion.center_lps_mm, by)) @ whole)


def metal_ways(plan: CasePlan, exam: ExamPlan) -> list[NDArray[np.float64]]:
    """For each piece of metal the matrix from the exam's LPS points to the patient's."""
    whole = exam_to_patient(plan, exam)
    if not exam.bends:
        return [whole] * len(exam.metal)
    pose = plan.pose(exam)
    names = [None, *(j.name for j in pose.rig.joints)]
    return [np.asarray(np.linalg.inv(pose.motion(names[r.group])) @ whole) for r in exam.metal]


def metal_gap(
    plan: CasePlan, index: int, model: LesionModel, exam_to_patient_lps: NDArray[Any]
) -> float | None:
    """Smallest distance of a lesion to metal that was put in, mm; None without such metal."""
    exam = plan.exams[index]
    if not exam.metal:
        return None
    inside = model.grid.to_lps_mm(np.argwhere(model.occupancy > 0.5)[::5])
    points = transform(np.linalg.inv(exam_to_patient_lps), inside)
    return round(metal_distance_mm(list(exam.metal), metal_ways(plan, exam), points), 2)


def share_in_view(model: LesionModel, grid: Grid, exam_to_patient_lps: NDArray[Any]) -> float:
    """Part of a lesion's envelope that lies in an exam's view, 0 to 1."""
    inside = np.argwhere(model.occupancy > 0.5)
    points = transform(np.linalg.inv(exam_to_patient_lps), model.grid.to_lps_mm(inside))
    index = grid.to_index_zyx(points)
    seen = ((index > -0.5) & (index < np.asarray(grid.size_zyx) - 0.5)).all(axis=1)
    return float(seen.mean())


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
