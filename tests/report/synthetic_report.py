"""A patient whose lesions are analytic spheres, so that every expected place is known by hand."""

from __future__ import annotations

import numpy as np

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.results import (
    Acquisition,
    Change,
    Criterion,
    Exam,
    ExamImages,
    Excluded,
    Finding,
    Lesion,
    Maturity,
    Observation,
    PatientResult,
    RegistrationSummary,
    Report,
)
from hoimg.settings import Settings

DAYS = (0, 90, 190, 290)
CENTRES_LPS = {1: (-30.0, 12.0, 40.0), 2: (35.0, -10.0, 55.0), 3: (5.0, 25.0, 20.0)}
RADII = {1: (7, 9, 10, 10), 2: (6, 8, 10, 12), 3: (None, 5, 6, 6.4)}


def turned(angle_deg: float) -> tuple:
    """A rotation about the patient's S axis followed by one about L, as direction matrix."""
    a, b = np.deg2rad(angle_deg), np.deg2rad(angle_deg / 2)
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_l = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return tuple(map(tuple, about_l @ about_s))


def grid(exam: int) -> Grid:
    """Four grids: plain, oblique, feet first with head-to-feet slices, and other spacing."""
    if exam == 1:
        g = Grid((60, 100, 110), (1.5, 1.6, 1.6), (0, 0, 0), turned(14))
        shift = np.array([0.0, 5.0, 40.0]) - g.to_lps_mm([30, 50, 55])
        return Grid(g.size_zyx, g.spacing_zyx_mm, tuple(shift), g.direction)
    if exam == 2:
        direction = ((-1, 0, 0), (0, 1, 0), (0, 0, -1))
        return Grid((60, 100, 110), (1.5, 1.6, 1.6), (88.0, -75.0, 85.0), direction)
    z = 3.0 if exam == 3 else 1.5
    return Grid((int(90 / z), 100, 110), (z, 1.6, 1.6), (-88.0, -75.0, -3.0))


def exam_images(exam: int) -> ExamImages:
    g = grid(exam)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in g.size_zyx], indexing="ij"), -1)
    points = g.to_lps_mm(index.reshape(-1, 3)).reshape(*g.size_zyx, 3)
    rng = np.random.default_rng(exam)
    hu = np.full(g.size_zyx, -1000.0)
    body = (points[..., 0] / 80) ** 2 + ((points[..., 1] - 5) / 65) ** 2 < 1
    hu[body] = 50
    femur = np.hypot(points[..., 0] - 12, points[..., 1] + 15)
    hu[body & (femur < 13)] = 1100
    hu[body & (femur < 9)] = 30
    labels = np.zeros(g.size_zyx, np.uint16)
    for label, centre in CENTRES_LPS.items():
        radius = RADII[label][exam]
        if radius is None:
            continue
        distance = np.linalg.norm(points - centre, axis=-1)
        labels[distance <= radius] = label
        hu[distance <= radius] = 250 + 150 * exam
        hu[(distance <= radius) & (distance > radius - 2)] = 500 + 150 * exam
    excluded = np.zeros(g.size_zyx, np.uint16)
    artery = np.linalg.norm(points - (-10.0, -30.0, 30.0), axis=-1) <= 3
    excluded[artery] = 1
    hu[artery] = 700
    hu += rng.normal(0, 18, hu.shape) * (hu > -900)
    ids = exam_ids()
    return ExamImages(
        ids[exam],
        CTVolume(np.rint(hu).astype(np.int16), g),
        Mask(labels, g),
        Mask(excluded, g),
    )


def exam_ids() -> list[str]:
    return [
        f"day{d:04d}_ct_{h}"
        for d, h in zip(DAYS, ("1a2b3c", "4d5e6f", "778899", "abcdef"), strict=True)
    ]


def sphere_mm3(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3


def _milligrams(volume: float, exam: int) -> dict[str, object]:
    """Exam 1 is calibrated in hydroxyapatite, exam 2 in K2HPO4, the others not at all."""
    material = {1: "", 2: "_k2hpo4"}.get(exam)
    if material is None:
        return {}
    mass = 0.31 * volume
    return {
        f"mineral_mass{material}_mg": mass,
        f"mineral_mass{material}_ci95_mg": (0.8 * mass, 1.2 * mass),
        f"mean{material}_mg_cm3": 300.0,
    }


def _observation(label: int, exam: int) -> Observation:
    radius = RADII[label][exam]
    if radius is None:
        return Observation(exam_id=exam_ids()[exam], status="absent")
    volume = sphere_mm3(radius)
    thick = exam == 3
    return Observation(
        exam_id=exam_ids()[exam],
        status="measured",
        label=label,
        volume_mm3=volume,
        volume_ci95_mm3=(volume * 0.93, volume * 1.08),
        threshold_volume_mm3=volume * 1.15,
        mineral_mass_hu_mm3=volume * (250 + 120 * exam),
        **_milligrams(volume, exam),
        mean_hu=330.0 + 140 * exam,
        sd_hu=88.0,
        median_hu=310.0 + 140 * exam,
        p95_hu=600.0 + 140 * exam,
        rim_fraction=None if thick else 0.2 + 0.25 * exam,
        edge_ratio=None if thick else 2.6 - 0.6 * exam,
        zone_contrast_hu=250.0,
        core_marrow_fraction=0.0,
        max_diameter_mm=2 * radius,
        surface_area_mm2=4 * np.pi * radius**2,
        sphericity=0.98,
        centroid_lps_mm=CENTRES_LPS[label],
        distance_to_bone_mm=8.4,
        touches_bone=False,
        touches_fov=False,
        background_hu=52.0,
        flags=["rim_unrated_thick_slices"] if thick else [],
    )


def _change(label: int, exam: int) -> Change | None:
    before, now = RADII[label][exam - 1], RADII[label][exam]
    base = {
        "from_exam": exam_ids()[exam - 1],
        "to_exam": exam_ids()[exam],
        "days": DAYS[exam] - DAYS[exam - 1],
    }
    if before is None:
        return Change(**base, category="new")
    pct = (now**3 / before**3 - 1) * 100
    rc = max(25.0, 16 + 430 / np.sqrt(sphere_mm3(before)))
    return Change(
        **base,
        volume_change_pct=pct,
        volume_rc_pct=rc,
        mass_change_pct=pct + 12,
        mass_rc_pct=10.0,
        density_change_hu=140.0,
        density_rc_hu=50.0,
        category="enlarging" if pct > rc else "no_detectable_change",
        comparable=exam != 3,
        flags=["slice_differs"] if exam == 3 else [],
    )


def _criteria(label: int) -> list[Criterion]:
    return [
        Criterion(id="R1", name="Rim", value=0.81, unit="fraction of surface", pass_at=">= 0.75",
                  fail_at="<= 0.25", result="pass",
                  evidence="concept established, number default"),
        Criterion(id="R2", name="Margin", value=1.9, unit="ratio", pass_at="<= 1.5",
                  fail_at=">= 2.5", result="intermediate", evidence="default"),
        Criterion(id="R4", name="Serial", value=None, unit="%", pass_at="within RC", fail_at="> RC",
                  result="unrated", evidence="default", note="prior not comparable"),
        Criterion(id="R6", name="Reverse zoning", value=-40.0 * label, unit="HU", pass_at=None,
                  fail_at="> 100", result="fail" if label == 2 else "pass", evidence="default"),
    ]  # fmt: skip


def _lesion(label: int) -> Lesion:
    verdict = {1: "mature", 2: "immature", 3: "indeterminate"}[label]
    reason = {1: "all_criteria_pass", 2: "volume_increase", 3: "stability_untested"}[label]
    text = {
        1: "Mature on imaging (day 290): its cortical rim is complete, no detectable change.",
        2: "Immature on imaging (day 290): its volume increased beyond repeatability.",
        3: "Indeterminate at day 290: slices too thick to rate the rim; stability untested.",
    }[label]
    return Lesion(
        lesion_id=f"L{label}",
        tracking_uid=f"2.25.{1000 + label}",
        observations=[_observation(label, exam) for exam in range(4)],
        changes=[c for exam in range(1, 4) if RADII[label][exam] and (c := _change(label, exam))],
        maturity=Maturity(
            label=verdict,
            exam_id=exam_ids()[3],
            reasons=[reason],
            summary=text,
            criteria=_criteria(label),
            stage_ledermann=4 if label == 1 else 3,
            earliest_informative_followup_day=None if label == 1 else 374,
        ),
    )


def patient(lesions: tuple[int, ...] = (1, 2, 3), **acquisition: object) -> PatientResult:
    """Three lesions over four exams; ``acquisition`` overrides fields of every exam's."""
    settings = Settings()
    images = {exam_id: exam_images(k) for k, exam_id in enumerate(exam_ids())}
    exams = [
        Exam(
            exam_id=exam_id,
            modality="CT",
            study_instance_uid=f"2.25.{k + 1}",
            series_instance_uid=f"2.25.{k + 1}.5",
            days_from_baseline=DAYS[k],
            acquisition=Acquisition(
                **{
                    "kvp": 120.0,
                    "kernel": "B60s",
                    "slice_thickness_mm": grid(k).spacing_zyx_mm[0],
                    "spacing_zyx_mm": grid(k).spacing_zyx_mm,
                    "size_zyx": grid(k).size_zyx,
                    "noise_hu": 18.0,
                    "psf_fwhm_zyx_mm": (1.25, 1.1, 1.1),
                    "psf_source_zyx": ("slice_thickness", "cortex", "cortex"),
                    "manufacturer": "Maker",
                    **acquisition,
                }
            ),
            findings=[
                Finding(code="thick_slices", level="warning", message="Slices are 3 mm thick.",
                        fix="Scan with 1.5 mm or thinner to rate the rim.")
            ] if k == 3 else [],
        )
        for k, exam_id in enumerate(exam_ids())
    ]  # fmt: skip
    report = Report(
        software="hoimg 0.1.0",
        config_sha256=settings.sha256,
        patient_key="p-3f2a9c11d0",
        exams=exams,
        lesions=[_lesion(label) for label in lesions],
        excluded=[
            Excluded(exam_id=exam_id, label=1, reason="vascular", volume_mm3=sphere_mm3(3),
                     centroid_lps_mm=(-10.0, -30.0, 30.0), note="tubular, on the artery's course")
            for exam_id in exam_ids()
        ] + [
            Excluded(exam_id=exam_ids()[0], label=2 + k, reason="too_small", volume_mm3=40.0 + k,
                     centroid_lps_mm=(k, -k, 30.0)) for k in range(9)
        ],
        registrations=[
            RegistrationSummary(from_exam=exam_ids()[k], to_exam=exam_ids()[k + 1], accepted=k != 1,
                                bone_overlap=0.91 - 0.3 * (k == 1), residual_mm=0.4,
                                reason="bone_overlap_below_0.7" if k == 1 else None)
            for k in range(3)
        ],
    )  # fmt: skip
    return PatientResult(report, images, settings.to_toml())
