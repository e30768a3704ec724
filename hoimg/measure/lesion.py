"""One lesion: the measurements in order, and the flags that say what could not be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.attenuation import hu_at_kvp
from hoimg.geometry import Triple
from hoimg.measure.background import local_background
from hoimg.measure.calibration import NOT_TRIED, Refusal, mineral_mass
from hoimg.measure.cleft import cleft_of
from hoimg.measure.contact import BoneContact, Contact, bone_contact
from hoimg.measure.cortex import Cortex
from hoimg.measure.density import Density, DepthMap, density_of, depth_map
from hoimg.measure.features import features_of
from hoimg.measure.partial import start_surface
from hoimg.measure.psf import fallback_fwhm
from hoimg.measure.relation import (
    MaskWithin,
    crosses_gap,
    distance_to,
    nearest_mm,
    surface_points,
    touches,
    touches_scan_end,
)
from hoimg.measure.second_bone import gap_to_second_bone
from hoimg.measure.shape import shape_of
from hoimg.measure.size import half_maximum_envelope
from hoimg.measure.tissue import USUAL_NOISE_HU
from hoimg.measure.uncertainty import Uncertainty
from hoimg.measure.view import LesionView
from hoimg.results import Calibration, PsfSource
from hoimg.settings import MeasureSettings


@dataclass(frozen=True)
class References:
    """What the lesions of an exam are measured against.

    Attributes:
        noise_hu: Noise SD in muscle, HU; None when not measurable.
        fwhm_zyx_mm: Point spread used.
        measured_fwhm_zyx_mm: The same when it was measured in the scan, else None.
        cortex: The patient's own cortex, or None.
        slice_mm: Larger of slice thickness and slice distance.
        kvp: Tube voltage, kV.
        threshold_hu: Fixed mineral threshold at this tube voltage.
        rim_material_hu: Density of compact rim at this tube voltage.
        has_bone: Whether the exam holds native bone.
        has_metal: Whether the exam holds metal.
        muscle_hu: The patient's own muscle, HU, or None.
        fat_hu: The same of fat.
        calibration: How HU become milligrams, or why they do not.
        psf_source_zyx: What the point spread was read from; None where it was given.
    """

    noise_hu: float | None
    fwhm_zyx_mm: Triple
    measured_fwhm_zyx_mm: Triple | None
    cortex: Cortex | None
    slice_mm: float
    kvp: float | None
    threshold_hu: float
    rim_material_hu: float
    has_bone: bool
    has_metal: bool
    muscle_hu: float | None = None
    fat_hu: float | None = None
    calibration: Calibration | Refusal = NOT_TRIED
    psf_source_zyx: tuple[PsfSource, PsfSource, PsfSource] | None = None


@dataclass(frozen=True, eq=False)
class LesionNumbers:
    """The numbers of one lesion.

    Attributes:
        values: By field name of :class:`hoimg.results.Observation`.
        centroid_mm: Centre, mm zyx in the array's frame.
        contacts: Patches of its surface on native bone.
        flags: What could not be measured, and why.
    """

    values: Mapping[str, Any]
    centroid_mm: NDArray[np.float64]
    contacts: tuple[Contact, ...]
    flags: tuple[str, ...]


def plain_references(
    spacing_mm: Triple,
    settings: MeasureSettings | None = None,
    *,
    fwhm_zyx_mm: Triple | None = None,
    slice_mm: float | None = None,
    kvp: float | None = None,
    noise_hu: float | None = None,
    cortex: Cortex | None = None,
    calibration: Calibration | None = None,
) -> References:
    """References for scripts that measure a single lesion without an exam around it."""
    chosen = settings or MeasureSettings()
    thick = max(slice_mm or 0.0, spacing_mm[0])
    return References(
        noise_hu=noise_hu,
        fwhm_zyx_mm=fwhm_zyx_mm or fallback_fwhm(spacing_mm, thick),
        measured_fwhm_zyx_mm=fwhm_zyx_mm,
        cortex=cortex,
        slice_mm=thick,
        kvp=kvp,
        threshold_hu=hu_at_kvp(chosen.threshold_hu_120kvp, kvp),
        rim_material_hu=hu_at_kvp(chosen.rim_material_hu, kvp),
        has_bone=False,
        has_metal=False,
        calibration=calibration or NOT_TRIED,
    )


def measure_lesion(
    view: LesionView,
    settings: MeasureSettings,
    references: References,
    *,
    bone_within: MaskWithin | None = None,
    metal_within: MaskWithin | None = None,
) -> LesionNumbers:
    """Measure the lesion in ``view``.

    Args:
        view: The lesion's crop.
        settings: Named thresholds.
        references: Noise, point spread, own cortex of the exam.
        bone_within: Gives native bone to a margin round the lesion; None: only that in the view.
        metal_within: The same for metal.

    Returns:
        Numbers and flags.

    Raises:
        ValueError: when the view holds no voxel of the lesion.
    """
    flags: list[str] = []
    spacing = view.spacing_mm
    noise = USUAL_NOISE_HU if references.noise_hu is None else references.noise_hu
    background = local_background(view)
    start = start_surface(view, background.hu if background.measured else None)
    if start is None:
        raise ValueError("the view holds no voxel of the lesion: there is nothing to measure")
    bone_points = surface_points(view.bone, spacing, view.start)
    contact_distance = nearest_mm(start.points, bone_points, 10.0) if len(bone_points) else None
    envelope = half_maximum_envelope(
        view,
        start,
        background_hu=background.hu,
        fwhm_zyx_mm=references.fwhm_zyx_mm,
        contact_distance_mm=contact_distance,
        contact_mm=settings.contact_mm,
        rim_material_hu=references.rim_material_hu,
        noise_hu=noise,
    )
    if not background.measured:
        flags.append("background_not_measurable")
    depths = depth_map(view, envelope.mesh, envelope.sigma_mm)
    density = density_of(
        depths, view.voxel_mm3, background_hu=background.hu, threshold_hu=references.threshold_hu
    )
    if density.mean_hu is None:
        flags.append("no_mineral_voxels")
    sure = Uncertainty(envelope, spacing, references.fwhm_zyx_mm, noise, background, settings)
    milligrams, told = _milligrams(references.calibration, density, sure, depths, view.voxel_mm3)
    flags += told
    cortex = references.cortex
    if cortex is None:
        flags.append("cortex_not_measurable")
    features = features_of(
        sure,
        depths,
        view.voxel_mm3,
        slice_mm=references.slice_mm,
        cortex_peak_hu=None if cortex is None else cortex.matched_peak_hu,
        cortex_width_mm=None if cortex is None else cortex.width_mm,
    )
    flags += features.flags
    shape = shape_of(envelope.mesh)
    in_contact = touches(view, view.bone)
    bone_near: MaskWithin = bone_within or (lambda _: (view.bone, view.start))
    contact = (
        bone_contact(envelope.mesh, bone_near, spacing, settings.contact_mm)
        if in_contact
        else BoneContact(0.0, (), False)
    )
    if contact.bridges is None:
        flags.append("bones_not_separable")
    cleft = cleft_of(
        view,
        envelope,
        background_hu=background.hu,
        reach_mm=settings.cleft_reach_mm,
        min_contrast_hu=settings.edge_min_contrast_hu,
    )
    second = gap_to_second_bone(envelope.mesh.points, bone_near, spacing, settings.contact_mm)
    bone = distance_to(
        envelope.mesh.points,
        bone_near,
        spacing,
        name="bone",
        present=references.has_bone or bool(view.bone.any()),
        radius_mm=settings.search_radius_mm,
    )
    metal = distance_to(
        envelope.mesh.points,
        metal_within or (lambda _: (view.metal, view.start)),
        spacing,
        name="metal",
        present=references.has_metal or bool(view.metal.any()),
        radius_mm=settings.search_radius_mm,
    )
    flags += [found.reason for found in (bone, metal, cleft, second) if found.reason]
    at_end = touches_scan_end(view)
    if at_end:
        flags.append("touches_fov")
    if crosses_gap(view):
        flags.append("crosses_gap")
    if not envelope.seen.any():
        flags.append("boundary_from_mask_only")
    voxel, threshold = view.voxel_mm3, references.threshold_hu
    mass = density.mass_hu_mm3 if background.measured else None
    values: dict[str, Any] = {
        "volume_mm3": shape.volume_mm3,
        "volume_ci95_mm3": sure.volume_mm3,
        "threshold_volume_mm3": density.threshold_volume_mm3,
        "threshold_volume_ci95_mm3": sure.threshold_volume_mm3(
            density.threshold_volume_mm3, depths, voxel, threshold_hu=threshold
        ),
        "mineral_mass_hu_mm3": mass,
        "mineral_mass_ci95_hu_mm3": _unless_none(
            mass, lambda m: sure.mineral_mass_hu_mm3(m, depths, voxel)
        ),
        **milligrams,
        "mean_hu": density.mean_hu,
        "mean_ci95_hu": _unless_none(
            density.mean_hu, lambda m: sure.mean_hu(m, depths, threshold_hu=threshold)
        ),
        "mean_over_cortex": None
        if cortex is None or density.mean_hu is None
        else density.mean_hu / cortex.peak_hu,
        "sd_hu": density.sd_hu,
        "median_hu": density.median_hu,
        "p95_hu": density.p95_hu,
        "rim_fraction": features.rim_fraction,
        "rim_fraction_ci95": features.rim_ci95,
        "edge_ratio": features.edge_ratio,
        "edge_ratio_ci95": features.edge_ci95,
        "zone_contrast_hu": features.zone_contrast_hu,
        "zone_contrast_ci95_hu": features.zone_ci95,
        "core_marrow_fraction": features.core_marrow_fraction,
        "core_marrow_fraction_ci95": features.core_ci95,
        "max_diameter_mm": shape.max_diameter_mm,
        "max_diameter_ci95_mm": sure.max_diameter_mm(shape.max_diameter_mm),
        "surface_area_mm2": shape.surface_area_mm2,
        "surface_area_ci95_mm2": sure.surface_area_mm2,
        "sphericity": min(shape.sphericity, 1.0),
        "distance_to_bone_mm": 0.0 if in_contact else bone.value_mm,
        "touches_bone": in_contact,
        "bone_contact_area_mm2": contact.area_mm2,
        "bridges_bones": contact.bridges,
        "cleft_fraction": cleft.fraction,
        "cleft_width_mm": cleft.width_mm,
        "gap_to_second_bone_mm": second.gap_mm,
        "touches_fov": at_end,
        "distance_to_metal_mm": metal.value_mm,
        "background_hu": background.hu if background.measured else None,
        "rim_profiles": features.profiles,
    }
    return LesionNumbers(values, shape.centroid_mm, contact.contacts, tuple(flags))


def _milligrams(
    calibration: Calibration | Refusal,
    density: Density,
    sure: Uncertainty,
    depths: DepthMap,
    voxel_mm3: float,
) -> tuple[dict[str, Any], list[str]]:
    """The fields in milligrams, each under its own material, and the flags about them."""
    if isinstance(calibration, Refusal):
        return {}, list(calibration.flags)
    flags = []
    if calibration.method == "phantomless":
        flags.append("calibration_phantomless")
    if calibration.material != "HA":
        flags.append("calibrated_in_k2hpo4")
    if not sure.background.measured:
        return {}, flags
    mass = mineral_mass(
        calibration,
        mass_hu_mm3=density.mass_hu_mm3,
        mass_sd_hu_mm3=sure.mass_sd_hu_mm3(density.mass_hu_mm3, depths, voxel_mm3),
        mean_hu=density.mean_hu,
        background_hu=sure.background.hu,
    )
    name = "" if calibration.material == "HA" else "_k2hpo4"
    values = {
        f"mineral_mass{name}_mg": mass.mass_mg,
        f"mineral_mass{name}_ci95_mg": mass.ci95_mg,
        f"mean{name}_mg_cm3": mass.mean_mg_cm3,
    }
    return values, flags


def _unless_none(
    value: float | None, interval: Callable[[float], tuple[float, float]]
) -> tuple[float, float] | None:
    """What is not measured has no interval."""
    return None if value is None else interval(value)
