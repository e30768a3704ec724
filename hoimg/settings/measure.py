"""Section ``measure``: sizes, densities, rim, calibration, intervals."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from hoimg.errors import UsageError
from hoimg.settings.threshold import Section, threshold


class MeasureSettings(Section):
    """Numbers of a lesion."""

    threshold_hu_120kvp: float = threshold(
        150.0,
        unit="HU at 120 kVp",
        meaning="Fixed threshold of the secondary volume, for comparison with papers.",
        source="150-200 HU in HO papers",
        status="default",
    )
    rim_peak_fraction: float = threshold(
        0.5,
        unit="fraction of the patient's own cortex at matched thickness",
        meaning="A surface profile whose peak reaches this is cortex-like.",
        source="engineering choice",
        status="default",
    )
    rim_peak_fallback_hu: float = threshold(
        500.0,
        unit="HU",
        meaning="Used where no normal cortex is in view and slices are 1.5 mm or thinner.",
        source="engineering choice",
        status="default",
    )
    rim_max_slice_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Slices thicker than this leave rim and edge unrated.",
        source="a 1 mm shell of 1200 HU peaks at 401 HU for FWHM 3 mm (calculated)",
        status="default",
    )
    rim_peak_floor_hu: float = threshold(
        300.0,
        unit="HU",
        meaning="A profile with a lower peak is never cortex-like, however faint the own cortex.",
        source="cancellous bone and floccules read up to 300 HU",
        status="default",
    )
    rim_depth_mm: float = threshold(
        3.0,
        unit="mm",
        meaning="Depth of the outer zone (shell) in which a rim is looked for.",
        source="engineering choice",
        status="default",
    )
    rim_min_profiles: int = threshold(
        50,
        unit="profiles",
        meaning="Fewer surface profiles away from native bone leave rim and edge unrated.",
        source="engineering choice",
        status="default",
    )
    rim_material_hu: float = threshold(
        1200.0,
        unit="HU at 120 kVp",
        meaning="Density of a compact shell, assumed when a thin shell is corrected for blur.",
        source="compact bone reads 800-1500 HU",
        status="default",
    )
    matched_cortex_mm: float = threshold(
        1.5,
        unit="mm",
        meaning="Own cortex thicker than this is compared as if it were this thick.",
        source="shells of mature ossification are 1-2 mm thick",
        status="default",
    )
    edge_min_contrast_hu: float = threshold(
        200.0,
        unit="HU",
        meaning="Surface profiles that rise less above soft tissue have no margin: they are wide.",
        source="engineering choice",
        status="default",
    )
    edge_wide_ratio: float = threshold(
        4.5,
        unit="times the own cortex's edge width",
        meaning="EDGE of a profile without a margin, and the most that any profile counts; no "
        "length, or else a blurred scan could not show that a margin is missing.",
        source="engineering choice: well beyond the limit of R2",
        status="default",
    )
    core_depth_mm: float = threshold(
        4.0,
        unit="mm",
        meaning="Deeper voxels are the core.",
        source="shell depth plus blur",
        status="default",
    )
    core_min_mm3: float = threshold(
        30.0,
        unit="mm3",
        meaning="Smaller cores leave zone and core unrated.",
        source="engineering choice",
        status="default",
    )
    core_marrow_low_hu: float = threshold(
        -150.0,
        unit="HU",
        meaning="Lower limit of marrow-like core voxels.",
        source="below fat",
        status="default",
    )
    core_marrow_high_hu: float = threshold(
        250.0,
        unit="HU",
        meaning="Upper limit of marrow-like core voxels.",
        source="trabecular marrow reads up to about 250 HU",
        status="default",
    )
    core_enclosed_rim: float = threshold(
        0.5,
        unit="fraction",
        meaning="A core under a rim of less than this share of the surface holds no marrow.",
        source="engineering choice",
        status="default",
    )
    contact_mm: float = threshold(
        1.0,
        unit="mm",
        meaning="Surface this close to native bone is attached to it and is no free margin.",
        source="about one voxel",
        status="default",
    )
    cleft_reach_mm: float = threshold(
        4.0,
        unit="mm",
        meaning="Bone that the surface's normal meets within this is faced: a cleft is looked for.",
        source="engineering choice; profiles are read to 6 mm",
        status="default",
        gt=0,
        le=4.0,
    )
    search_radius_mm: float = threshold(
        60.0,
        unit="mm",
        meaning="Bone and metal farther away are not looked for.",
        source="engineering choice",
        status="default",
    )
    hip_reach_mm: float = threshold(
        80.0,
        unit="mm",
        meaning="A lesion this close to the middle of a femoral head lies about that hip.",
        source="engineering choice; the trochanters end 60-70 mm from it",
        status="default",
        gt=0,
    )
    hip_joint_mm: float = threshold(
        6.0,
        unit="mm",
        meaning="Native bone this close to a femoral head's sphere is the joint's own surface and "
        "faces no gap.",
        source="engineering choice; a joint space of 3-5 mm and a voxel",
        status="default",
        gt=0,
    )
    boundary_sd_fraction: float = threshold(
        0.02,
        unit="fraction of the point spread",
        meaning="SD of the boundary's place where the image shows it.",
        source="240 bodies of known volume (benchmarks/physics_objects.py, tuning seeds)",
        status="default",
    )
    correction_sd_fraction: float = threshold(
        0.4,
        unit="fraction",
        meaning="SD of what is taken back for blur at thin rims and curved surfaces, of its size.",
        source="240 bodies of known volume (benchmarks/physics_objects.py, tuning seeds)",
        status="default",
    )
    segmentation_sd_voxels: float = threshold(
        0.4,
        unit="voxels",
        meaning="SD of the boundary's place where only the mask gives it (no edge, scan's end).",
        source="102 planted lesions off bone of the tuning seeds: 0.5 held the truth of all 46 "
        "faint ones, 0.35 began to miss",
        status="default",
    )
    contact_sd_mm: float = threshold(
        1.3,
        unit="mm",
        meaning="SD of the boundary's place, were all of the surface on bone; it goes with the "
        "square root of the share that is.",
        source="66 planted lesions on bone of the tuning seeds, by share of contact",
        status="default",
    )
    calibration_material: Literal["HA", "K2HPO4"] = threshold(
        "HA",
        unit="",
        meaning="What the given slope, rods or phantom are of: hydroxyapatite or K2HPO4.",
        source="the site's phantom",
        status="default",
    )
    calibration_slope_hu: float | None = threshold(
        None,
        unit="HU per mg/cm3",
        meaning="Slope of the site's own phantom at calibration_kvp, HU for each mg/cm3 (not the "
        "other way round), as diagnostic CT can have; unset: none is given.",
        source="the site's phantom",
        status="default",
        ge=0.8,
        le=4.2,
    )
    calibration_intercept_hu: float = threshold(
        0.0,
        unit="HU",
        meaning="HU without mineral that goes with calibration_slope_hu.",
        source="water reads 0 HU",
        status="default",
    )
    calibration_kvp: float | None = threshold(
        None,
        unit="kV",
        meaning="Tube voltage at which calibration_slope_hu was measured; an exam at another one "
        "is not calibrated by it.",
        source="the site's phantom",
        status="default",
        gt=0,
    )
    calibration_rods: tuple[str, ...] = threshold(
        (),
        unit="mg/cm3=region in LPS mm",
        meaning="Rods of known density in the scan, such as 200=sphere:X,Y,Z,R and 0=sphere:... "
        "for water; with one rod alone water is taken as 0 HU.",
        source="the site's phantom",
        status="default",
    )
    calibration_phantom_mg_cm3: tuple[float, ...] = threshold(
        (),
        unit="mg/cm3",
        meaning="Densities of the rods of the phantom below the patient that stand out from its "
        "body, two at least; as many rods are looked for outside of the patient.",
        source="the site's phantom",
        status="default",
    )
    calibration_error: float = threshold(
        0.05,
        unit="fraction of the slope, 1 SD",
        meaning="Error of a given slope or of rods besides noise: another place in the beam.",
        source="engineering choice",
        status="default",
        ge=0,
        lt=1,
    )
    calibration_water_sd_hu: float = threshold(
        15.0,
        unit="HU",
        meaning="SD of water's HU where one rod is read against water at 0 HU.",
        source="engineering choice; a water insert read 33 HU in one real phantom scan",
        status="default",
        ge=0,
    )
    phantomless: bool = threshold(
        True,
        unit="",
        meaning="Without a given slope, rods or phantom, milligrams are estimated from the tube "
        "voltage and the patient's own fat and muscle, and marked as such.",
        source="after Michalski 2020",
        status="borrowed",
    )
    phantomless_slope_120kvp: float = threshold(
        1.4,
        unit="HU per mg/cm3 at 120 kVp",
        meaning="Usual slope of hydroxyapatite, from which phantomless calibration starts.",
        source="1.2-1.7 at 120 kVp (calculated); other tube voltages by published factors",
        status="borrowed",
        gt=0,
    )
    phantomless_slope_sd: float = threshold(
        0.09,
        unit="SD of the slope's logarithm",
        meaning="How far scanners and patients lie from the usual slope.",
        source="1.2 to 1.7 taken as a 95 % range",
        status="borrowed",
        gt=0,
    )
    fat_sd_hu: float = threshold(
        20.0,
        unit="HU",
        meaning="SD of fat's HU about the tabulated composition.",
        source="adipose tissue with 1 SD less and more lipid than the mean (Woodard and White "
        "1986) reads 22 HU more and less at 70 keV",
        status="borrowed",
        gt=0,
    )
    muscle_sd_hu: float = threshold(
        10.0,
        unit="HU",
        meaning="SD of muscle's HU about the tabulated composition; 3 SD off is refused.",
        source="engineering choice",
        status="default",
        gt=0,
    )

    @model_validator(mode="after")
    def _one_calibration(self) -> MeasureSettings:
        """One way to calibrate at the most, and complete."""
        ways = (self.calibration_slope_hu, self.calibration_rods, self.calibration_phantom_mg_cm3)
        if sum(way not in (None, ()) for way in ways) > 1:
            raise ValueError(
                "give one of calibration_slope_hu, calibration_rods, calibration_phantom_mg_cm3"
            )
        if self.calibration_slope_hu is not None and self.calibration_kvp is None:
            raise ValueError("calibration_slope_hu needs calibration_kvp")
        if len(set(self.calibration_phantom_mg_cm3)) == 1:
            raise ValueError("calibration_phantom_mg_cm3 needs two different densities")
        if self.calibration_rods:
            from hoimg.regions import parse_rod

            try:
                densities = {parse_rod(text)[0] for text in self.calibration_rods}
            except UsageError as error:
                raise ValueError(str(error)) from error
            if densities == {0.0}:
                raise ValueError("calibration_rods needs a rod with mineral")
        return self
