"""The typed results of one lesion in one exam: everything that is measured.

Part of :mod:`hoimg.results`, from which they are imported; the rules stated there hold here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hoimg.results_over_time import ResultModel

Status = Literal["measured", "not_measurable", "absent"]


class BoneContact(ResultModel):
    """One patch of a lesion's surface that lies on native bone."""

    area_mm2: float
    centroid_lps_mm: tuple[float, float, float]
    bone: int = Field(
        description="Piece of native bone, from 1; pieces do not join within 30 mm of the lesion."
    )


class Observation(ResultModel):
    """One lesion in one exam. ``None`` is never zero: its reason stands in ``flags``."""

    exam_id: str
    status: Status
    label: int | None = Field(default=None, description="Value in the exam's label map.")
    volume_mm3: float | None = Field(
        default=None, description="V_env: filled half-maximum envelope, the primary size, mm3."
    )
    volume_ci95_mm3: tuple[float, float] | None = None
    threshold_volume_mm3: float | None = Field(
        default=None, description="V_min: volume at or above 150 HU (120 kVp equivalent), mm3."
    )
    threshold_volume_ci95_mm3: tuple[float, float] | None = None
    mineral_mass_hu_mm3: float | None = Field(
        default=None, description="Integrated excess attenuation over local background, HU mm3."
    )
    mineral_mass_ci95_hu_mm3: tuple[float, float] | None = None
    mineral_mass_mg: float | None = Field(
        default=None, description="Mineral mass in mg hydroxyapatite; only when calibrated."
    )
    mineral_mass_ci95_mg: tuple[float, float] | None = Field(
        default=None,
        description="Its 95 % interval: errors of the slope and of mineral_mass_hu_mm3.",
    )
    mean_mg_cm3: float | None = Field(
        default=None,
        description="Mean of mineral voxels over the soft tissue, mg hydroxyapatite per cm3.",
    )
    mineral_mass_k2hpo4_mg: float | None = Field(
        default=None,
        description="Mineral mass where the calibration is one of K2HPO4, in mg K2HPO4; never "
        "converted to hydroxyapatite.",
    )
    mineral_mass_k2hpo4_ci95_mg: tuple[float, float] | None = None
    mean_k2hpo4_mg_cm3: float | None = None
    mean_hu: float | None = Field(default=None, description="D_min: mean of mineral voxels, HU.")
    mean_ci95_hu: tuple[float, float] | None = None
    mean_over_cortex: float | None = Field(
        default=None, description="mean_hu over the patient's own cortex (cortex_hu) in that exam."
    )
    sd_hu: float | None = None
    median_hu: float | None = None
    p95_hu: float | None = None
    rim_fraction: float | None = Field(
        default=None, description="RIM: fraction of the surface with a cortex-like peak, 0 to 1."
    )
    rim_fraction_ci95: tuple[float, float] | None = None
    edge_ratio: float | None = Field(
        default=None, description="EDGE: 10-90 % edge width over that of the patient's own cortex."
    )
    edge_ratio_ci95: tuple[float, float] | None = None
    zone_contrast_hu: float | None = Field(
        default=None, description="ZONE: mean of the shell minus mean of the core, HU."
    )
    zone_contrast_ci95_hu: tuple[float, float] | None = None
    core_marrow_fraction: float | None = Field(
        default=None, description="CORE: fraction of the core that is marrow-like, 0 to 1."
    )
    core_marrow_fraction_ci95: tuple[float, float] | None = None
    max_diameter_mm: float | None = None
    max_diameter_ci95_mm: tuple[float, float] | None = None
    surface_area_mm2: float | None = None
    surface_area_ci95_mm2: tuple[float, float] | None = None
    sphericity: float | None = None
    centroid_lps_mm: tuple[float, float, float] | None = None
    distance_to_bone_mm: float | None = None
    touches_bone: bool | None = None
    bone_contact_area_mm2: float | None = Field(
        default=None, description="Area of the surface that lies on native bone, mm2."
    )
    bone_contacts: list[BoneContact] = Field(default_factory=list)
    bridges_bones: bool | None = Field(
        default=None, description="Whether it lies on two bones that do not join near it."
    )
    cleft_fraction: float | None = Field(
        default=None,
        description="Share of the surface facing bone that a lucent cleft separates from it, 0 to "
        "1; null where none is seen, since a narrow one would not be.",
    )
    cleft_width_mm: float | None = Field(
        default=None, description="Median width of that cleft, mm."
    )
    gap_to_second_bone_mm: float | None = Field(
        default=None,
        description="Distance to the nearest bone that it does not lie on, or to the second "
        "nearest where it lies on none, mm; within 30 mm.",
    )
    touches_fov: bool | None = None
    distance_to_metal_mm: float | None = None
    background_hu: float | None = Field(
        default=None, description="Local soft-tissue background, HU."
    )
    rim_profiles: int | None = Field(
        default=None, description="Number of surface profiles behind RIM and EDGE."
    )
    region_label: int | None = Field(
        default=None,
        description="Radiographs: label of the region that was given, also where nothing was "
        "outlined in it.",
    )
    area_mm2: float | None = Field(default=None, description="Radiographs: projected area, mm2.")
    area_ci95_mm2: tuple[float, float] | None = None
    area_px2: float | None = Field(
        default=None, description="Radiographs: the same in pixels, also without a pixel size."
    )
    area_ci95_px2: tuple[float, float] | None = None
    length_mm: float | None = Field(
        default=None, description="Radiographs: longest dimension of the shadow, mm."
    )
    length_ci95_mm: tuple[float, float] | None = None
    length_px: float | None = None
    corticated_fraction: float | None = Field(
        default=None,
        description="Radiographs: fraction of the outline with a cortex-like line, 0 to 1; what "
        "rim_fraction is on CT.",
    )
    corticated_fraction_ci95: tuple[float, float] | None = None
    density_index: float | None = Field(
        default=None, description="Radiographs: (lesion - soft) / (cortex - soft), same film."
    )
    density_index_ci95: tuple[float, float] | None = None
    contrast_to_noise: float | None = Field(
        default=None, description="Radiographs: the lesion's signal over the unevenness around it."
    )
    spacing_source: str | None = Field(
        default=None, description="Radiographs: where the pixel size comes from; see exams[].film."
    )
    flags: list[str] = Field(default_factory=list)
