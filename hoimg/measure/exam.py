"""All lesions of one exam, measured one crop at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.attenuation import hu_at_kvp
from hoimg.geometry import Box, Triple, label_boxes, margin_voxels, widened
from hoimg.image import CTVolume, Mask
from hoimg.measure.calibrate import calibrate
from hoimg.measure.calibration import Refusal
from hoimg.measure.cortex import Cortex, own_cortex
from hoimg.measure.hips import measure_hips
from hoimg.measure.lesion import LesionNumbers, References, measure_lesion
from hoimg.measure.psf import point_spread
from hoimg.measure.tissue import own_tissues
from hoimg.measure.view import LesionView
from hoimg.results import Acquisition, BoneContact, Hip, Observation
from hoimg.settings import MeasureSettings
from hoimg.side_threads import side_threads

CROP_MARGIN_MM = 12.0


@dataclass(frozen=True, eq=False)
class ExamMeasurements:
    """The numbers of one exam.

    Attributes:
        observations: By label value.
        acquisition: The exam's acquisition with noise, point spread, the patient's own tissues and
            the calibration filled in.
        references: What the numbers were measured against.
        hips: The hips that lesions lie about, without grades.
    """

    observations: dict[int, Observation]
    acquisition: Acquisition
    references: References
    hips: tuple[Hip, ...] = ()


def measure_exam(
    exam_id: str,
    volume: CTVolume,
    lesions: Mask,
    *,
    skeleton: Mask,
    metal: Mask,
    body: Mask,
    settings: MeasureSettings,
    acquisition: Acquisition,
    flags: Mapping[int, list[str]] | None = None,
) -> ExamMeasurements:
    """Measure every lesion of an exam.

    Args:
        exam_id: Written into every observation.
        volume: The exam, HU.
        lesions: Label map on the exam's grid; each value is one lesion's filled envelope.
        skeleton: Native bone, filled, bool, same grid.
        metal: Metal and cement, bool, same grid.
        body: The patient, filled, bool, same grid.
        settings: Named thresholds.
        acquisition: How the exam was made; missing spacing is taken from the grid.
        flags: Flags of segmentation per label, passed on.

    Returns:
        Observations by label, the completed acquisition, the references and the hips.

    Raises:
        ValueError: when a mask lies on another grid than the volume.
    """
    for name, mask in (
        ("lesions", lesions), ("skeleton", skeleton), ("metal", metal), ("body", body)
    ):  # fmt: skip
        if not mask.grid.same_as(volume.grid):
            raise ValueError(f"{name}: the mask lies on another grid than the volume")
    spacing = volume.grid.spacing_zyx_mm
    labels = lesions.array.astype(np.uint8) if lesions.array.dtype == bool else lesions.array
    boxes = label_boxes(labels)
    with side_threads(1) as beside:  # hips need none of the references
        hips = beside.submit(
            measure_hips,
            volume,
            labels,
            boxes,
            skeleton=_binary(skeleton),
            metal=_binary(metal),
            settings=settings,
        )
        references = exam_references(
            volume,
            labels,
            _binary(skeleton),
            _binary(metal),
            _binary(body),
            settings,
            acquisition,
        )

    def measured(found: tuple[int, Box]) -> Observation:
        label, box = found
        scene = _Scene(volume, labels, skeleton.array, metal.array, label, box)
        numbers = measure_lesion(
            scene.view(CROP_MARGIN_MM),
            settings,
            references,
            bone_within=partial(scene.mask_within, "skeleton"),
            metal_within=partial(scene.mask_within, "metal"),
        )
        return _observation(exam_id, label, numbers, volume, list((flags or {}).get(label, [])))

    with side_threads(2) as both:  # what takes time runs outside of Python's lock
        observations = dict(zip(boxes, both.map(measured, boxes.items()), strict=True))
    filled = acquisition.model_copy(
        update={
            "noise_hu": references.noise_hu,
            "psf_fwhm_zyx_mm": references.measured_fwhm_zyx_mm,
            "psf_source_zyx": references.psf_source_zyx,
            "cortex_hu": references.cortex.peak_hu if references.cortex else None,
            "muscle_hu": references.muscle_hu,
            "fat_hu": references.fat_hu,
            "calibration": None
            if isinstance(references.calibration, Refusal)
            else references.calibration,
            "spacing_zyx_mm": acquisition.spacing_zyx_mm or spacing,
            "size_zyx": acquisition.size_zyx or volume.grid.size_zyx,
        }
    )
    return ExamMeasurements(observations, filled, references, tuple(hips.result()))


def exam_references(
    volume: CTVolume,
    labels: NDArray[Any],
    skeleton: NDArray[np.bool_],
    metal: NDArray[np.bool_],
    body: NDArray[np.bool_],
    settings: MeasureSettings,
    acquisition: Acquisition,
) -> References:
    """Noise, point spread, own tissues and calibration of an exam, from a few slabs of it."""
    spacing = volume.grid.spacing_zyx_mm
    slice_mm = max(acquisition.slice_thickness_mm or 0.0, spacing[0])
    has_metal = bool(metal.any())
    rim_material = hu_at_kvp(settings.rim_material_hu, acquisition.kvp)
    psf = point_spread(
        volume.hu,
        spacing,
        skeleton=skeleton,
        body=body,
        lesions=labels,
        metal=metal if has_metal else None,
        valid=volume.valid,
        slice_mm=acquisition.slice_thickness_mm,
        material_hu=rim_material,
    )
    fwhm = psf.fwhm_zyx_mm
    cortex: Cortex | None = own_cortex(
        volume.hu,
        spacing,
        skeleton,
        labels,
        fwhm_zyx_mm=fwhm,
        matched_mm=settings.matched_cortex_mm,
        metal=metal if has_metal else None,
    )
    tissues = own_tissues(volume.hu, spacing, body)
    return References(
        noise_hu=tissues.noise_hu,
        fwhm_zyx_mm=fwhm,
        measured_fwhm_zyx_mm=fwhm if psf.measured else None,
        psf_source_zyx=psf.source_zyx,
        cortex=cortex,
        slice_mm=slice_mm,
        kvp=acquisition.kvp,
        threshold_hu=hu_at_kvp(settings.threshold_hu_120kvp, acquisition.kvp),
        rim_material_hu=rim_material,
        has_bone=bool(skeleton.any()),
        has_metal=has_metal,
        muscle_hu=tissues.muscle_hu,
        fat_hu=tissues.fat_hu,
        calibration=calibrate(volume, acquisition, tissues, metal=has_metal, settings=settings),
    )


@dataclass(frozen=True, eq=False)
class _Scene:
    """One lesion's place in the exam; cuts crops of any margin."""

    volume: CTVolume
    labels: NDArray[Any]
    skeleton: NDArray[Any]
    metal: NDArray[Any]
    label: int
    box: Box

    def crop_box(self, margin_mm: float) -> Box:
        """The lesion's box widened by ``margin_mm`` and clipped to the exam."""
        more = margin_voxels(margin_mm, self.volume.grid.spacing_zyx_mm)
        return widened(self.box, more, self.labels.shape)

    def view(self, margin_mm: float) -> LesionView:
        """Everything that the measurements may look at."""
        box = self.crop_box(margin_mm)
        lesion = self.labels[box] == self.label
        metal = self.metal[box] != 0
        other = ((self.labels[box] != 0) & ~lesion) | metal
        invalid = None if self.volume.valid is None else ~self.volume.valid[box]
        z, y, x = self.labels.shape
        return LesionView(
            hu=np.asarray(self.volume.hu[box], np.float32),
            lesion=lesion,
            bone=(self.skeleton[box] != 0) & ~lesion,
            other=other if invalid is None else other | (invalid & ~lesion),
            metal=metal,
            spacing_mm=self.volume.grid.spacing_zyx_mm,
            start=(box[0].start, box[1].start, box[2].start),
            full_size=(z, y, x),
            invalid=invalid,
            gap_planes=self.volume.gap_planes,
        )

    def mask_within(
        self, name: str, margin_mm: float
    ) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
        """Skeleton or metal within ``margin_mm`` of the lesion, and the crop's first index."""
        box = self.crop_box(margin_mm)
        array = self.skeleton if name == "skeleton" else self.metal
        return (array[box] != 0), (box[0].start, box[1].start, box[2].start)


def _binary(mask: Mask) -> NDArray[np.bool_]:
    return mask.array if mask.array.dtype == bool else mask.array != 0


def _observation(
    exam_id: str, label: int, numbers: LesionNumbers, volume: CTVolume, given: list[str]
) -> Observation:
    spacing: Triple = volume.grid.spacing_zyx_mm

    def lps(point_mm: NDArray[np.float64]) -> tuple[float, float, float]:
        x, y, z = volume.grid.to_lps_mm(point_mm / np.asarray(spacing))
        return (float(x), float(y), float(z))

    flags = given + [flag for flag in numbers.flags if flag not in given]
    return Observation(
        exam_id=exam_id,
        status="measured",
        label=label,
        centroid_lps_mm=lps(numbers.centroid_mm),
        bone_contacts=[
            BoneContact(area_mm2=c.area_mm2, centroid_lps_mm=lps(c.centroid_mm), bone=c.bone)
            for c in numbers.contacts
        ],
        flags=flags,
        **numbers.values,
    )
