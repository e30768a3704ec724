"""HU into milligrams: known contents, known energies, and what must be refused.

Expected HU are computed here from attenuation at 70 keV written out by hand (NIST XCOM by another
program, cm2/g): hydroxyapatite 0.31312, water 0.19285. One mg/cm3 of mineral in water then adds
0.31312 / 0.19285 - 1 / 3.16 = 1.3072 HU.
"""

import numpy as np
import pytest
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.measure import measure_exam, view_of_arrays
from hoimg.measure.background import local_background
from hoimg.measure.calibration import mineral_mass
from hoimg.measure.coefficients import hydroxyapatite_slope, tissue_hu
from hoimg.measure.phantomless import phantomless
from hoimg.measure.tissue import Tissues, own_tissues
from hoimg.results import Acquisition, Calibration
from hoimg.settings import MeasureSettings

HA, WATER, CRYSTAL = 0.31312, 0.19285, 3.16  # cm2/g at 70 keV, and g/cm3
SPACING = (1.0, 0.75, 0.75)
SHAPE = (48, 130, 130)
MIDDLE = (24.0, 48.0, 48.0)
ROD, ZERO = (24.0, 20.0, 14.0), (24.0, 76.0, 14.0)
RADIUS, CONTENT = 6.0, 400.0
TRUE_MG = 4 / 3 * np.pi * RADIUS**3 * CONTENT / 1000


def mixed_hu(mg_cm3, tissue_hu):
    """HU of tissue in which so much hydroxyapatite takes its volume, at 70 keV."""
    part = mg_cm3 / 1000 / CRYSTAL
    attenuation = mg_cm3 / 1000 * HA + (1 - part) * (1 + tissue_hu / 1000) * WATER
    return 1000 * (attenuation / WATER - 1)


def near(centre):
    z, y, x = np.indices(SHAPE, dtype=np.float32)
    return (z * SPACING[0] - centre[0], y * SPACING[1] - centre[1], x * SPACING[2] - centre[2])


def scene(*, tissue=45.0, fat=-76.0, water=0.0, noise=6.0, rod=200.0):
    """(hu, labels, body): a limb of fat round muscle, a ball of known content, two rods."""
    z, y, x = near(MIDDLE)
    r = np.hypot(y, x)
    hu = np.where(r < 30, fat, -1000.0).astype(np.float32)
    hu[r < 20] = tissue
    ball = np.sqrt(z * z + y * y + x * x) < RADIUS
    # Voxels count by the part inside, so that the ball's content is that of the sphere.
    part = np.clip((RADIUS - np.sqrt(z * z + y * y + x * x)) / 0.75 + 0.5, 0, 1)
    hu += part * (mixed_hu(CONTENT, tissue) - tissue)
    for centre, content in ((ROD, rod), (ZERO, 0.0)):
        _, ry, rx = near(centre)
        hu[np.hypot(ry, rx) < 8] = mixed_hu(content, water)
    hu = ndimage.gaussian_filter(hu, [1.2 / 2.3548 / s for s in SPACING])
    hu += noise * np.random.default_rng(3).normal(size=SHAPE)
    return hu, ball.astype(np.uint16), r < 30


def measured(hu, labels, body, *, contrast=False, kvp=120.0, metal=None, grid=None, **settings):
    grid = grid or Grid(SHAPE, SPACING)
    empty = np.zeros(SHAPE, bool)
    found = measure_exam(
        "e",
        CTVolume(np.rint(hu).astype(np.int16), grid),
        Mask(labels, grid),
        skeleton=Mask(empty, grid),
        metal=Mask(empty if metal is None else metal, grid),
        body=Mask(body, grid),
        settings=MeasureSettings(**settings),
        acquisition=Acquisition(slice_thickness_mm=1.0, kvp=kvp, contrast=contrast),
    )
    return found.observations[1], found.acquisition


def sphere(mg_cm3, centre, radius=5.0):
    z, y, x = centre
    return f"{mg_cm3}=sphere:{x},{y},{z},{radius}"


RODS = (sphere(200, ROD), sphere(0, ZERO))


@pytest.fixture(scope="module")
def usual():
    return scene()


def test_the_tables_agree_with_attenuation_written_out_by_hand():
    kev = np.array([70.0])
    assert hydroxyapatite_slope(kev)[0] == pytest.approx(HA / WATER - 1 / CRYSTAL, rel=1e-3)
    # 45, 90 keV: the same from XCOM, between the tabulated energies.
    for energy, ha, water in ((45.0, 0.74365, 0.24362), (90.0, 0.22484, 0.17655)):
        found = hydroxyapatite_slope(np.array([energy]))[0]
        assert found == pytest.approx(ha / water - 1 / CRYSTAL, rel=1e-3)
    # ICRU-44 tissues in NIST's own tables of compounds, not mixed from elements, at 60 keV.
    assert tissue_hu("adipose", np.array([60.0]))[0] == pytest.approx(
        1000 * (0.1974 * 0.95 / 0.2059 - 1), abs=0.7
    )
    assert tissue_hu("muscle", np.array([60.0]))[0] == pytest.approx(
        1000 * (0.2048 * 1.05 / 0.2059 - 1), abs=0.7
    )


@pytest.mark.parametrize("tissue", [45.0, -76.0])
def test_rods_give_the_mass_that_is_there(tissue):
    seen, made = measured(*scene(tissue=tissue), calibration_rods=RODS)
    assert made.calibration.method == "rod"
    assert made.calibration.slope_hu_per_mg_cm3 == pytest.approx(1.3072, rel=0.01)
    assert seen.mineral_mass_mg == pytest.approx(TRUE_MG, rel=0.02)
    low, high = seen.mineral_mass_ci95_mg
    assert low < TRUE_MG < high
    # 5 % of the slope is most of the error.
    assert high - low == pytest.approx(2 * 1.96 * 0.05 * TRUE_MG, rel=0.1)
    assert not any("calibrat" in flag for flag in seen.flags)


def test_the_displaced_tissue_is_accounted_for():
    made = Calibration(
        method="given", material="HA", slope_hu_per_mg_cm3=1.3072, intercept_hu=0.0,
        slope_error=0.05, source="",
    )  # fmt: skip
    for tissue in (-100.0, 0.0, 60.0):
        excess = (mixed_hu(500.0, tissue) - tissue) * 1000.0
        found = mineral_mass(
            made, mass_hu_mm3=excess, mass_sd_hu_mm3=0.0, mean_hu=mixed_hu(500.0, tissue),
            background_hu=tissue,
        )  # fmt: skip
        assert found.mass_mg == pytest.approx(500.0, rel=1e-3)
        assert found.mean_mg_cm3 == pytest.approx(500.0, rel=1e-3)


def test_the_interval_adds_its_errors_in_quadrature():
    made = Calibration(
        method="given", material="HA", slope_hu_per_mg_cm3=1.25, intercept_hu=0.0,
        slope_error=0.03, source="",
    )  # fmt: skip
    found = mineral_mass(
        made, mass_hu_mm3=125_000.0, mass_sd_hu_mm3=5000.0, mean_hu=None, background_hu=0.0
    )
    # 100 mg: 3 mg by the slope; 5000 HU mm3 are 4 mg.
    assert found.mass_mg == pytest.approx(100.0)
    assert found.ci95_mg == pytest.approx((100 - 1.96 * 5, 100 + 1.96 * 5))
    assert found.mean_mg_cm3 is None


def test_a_rod_is_read_against_water_and_not_against_zero():
    """A scanner on which water reads 30 HU: one rod alone is 11 % out, and its error says so."""
    shifted = scene(water=30.0)
    both, _ = measured(*shifted, calibration_rods=RODS)
    alone, made = measured(*shifted, calibration_rods=RODS[:1])
    assert both.mineral_mass_mg == pytest.approx(TRUE_MG, rel=0.02)
    assert alone.mineral_mass_mg / both.mineral_mass_mg == pytest.approx(1.3 / 1.45, abs=0.02)
    # 15 HU of 291 HU, and 5 %.
    assert made.calibration.slope_error == pytest.approx(np.hypot(15 / 291, 0.05), rel=0.05)
    assert "water taken as 0 HU" in made.calibration.source


def test_a_given_slope_holds_for_its_tube_voltage_alone(usual):
    given = {"calibration_slope_hu": 1.3072, "calibration_kvp": 120.0}
    seen, made = measured(*usual, **given)
    assert seen.mineral_mass_mg == pytest.approx(TRUE_MG, rel=0.02)
    assert (made.calibration.method, made.calibration.slope_error) == ("given", 0.05)
    for kvp, reason in ((100.0, "kvp_differs"), (None, "kvp_unknown")):
        seen, made = measured(*usual, kvp=kvp, **given)
        assert made.calibration is None
        assert seen.mineral_mass_mg is None
        assert {"not_calibrated", f"calibration_refused_{reason}"} <= set(seen.flags)


def test_k2hpo4_is_kept_apart(usual):
    seen, made = measured(*usual, calibration_rods=RODS, calibration_material="K2HPO4")
    assert made.calibration.material == "K2HPO4"
    assert seen.mineral_mass_mg is None
    assert seen.mineral_mass_ci95_mg is None
    assert seen.mean_mg_cm3 is None
    # What dissolved K2HPO4 displaces is not known: the rods' slope as it is, 1.3072 by hand.
    excess = (mixed_hu(CONTENT, 45.0) - 45.0) * 4 / 3 * np.pi * RADIUS**3
    assert seen.mineral_mass_k2hpo4_mg == pytest.approx(excess / 1.3072 / 1000, rel=0.02)
    assert seen.mean_k2hpo4_mg_cm3 > 0
    low, high = seen.mineral_mass_k2hpo4_ci95_mg
    assert low < seen.mineral_mass_k2hpo4_mg < high
    assert "calibrated_in_k2hpo4" in seen.flags
    assert "not_calibrated" not in seen.flags


@pytest.mark.parametrize(
    ("rods", "reason"),
    [
        ((sphere(200, (24.0, 20.0, 2.0)), RODS[1]), "calibration_rod_not_in_view"),
        ((sphere(200, (24.0, 20.0, 22.0)), RODS[1]), "calibration_rod_uneven"),
        ((sphere(20, ROD), RODS[1]), "calibration_rods_implausible"),
        ((RODS[0], sphere(400, ZERO)), "calibration_rods_implausible"),
        ((RODS[0], RODS[1], sphere(100, (24.0, 48.0, 33.0), 3.0)), "calibration_rods_implausible"),
    ],
)
def test_rods_that_are_none_are_refused_and_nothing_takes_their_place(usual, rods, reason):
    seen, made = measured(*usual, calibration_rods=rods)
    assert made.calibration is None
    assert seen.mineral_mass_mg is None
    assert {"not_calibrated", reason} <= set(seen.flags)


def test_own_muscle_and_fat(usual):
    _, made = measured(*usual)
    assert made.muscle_hu == pytest.approx(45.0, abs=2.0)
    assert made.fat_hu == pytest.approx(-76.0, abs=2.0)
    nothing = own_tissues(usual[0], SPACING, np.zeros(SHAPE, bool))
    assert nothing == Tissues(None, None, None)


def test_fat_is_not_pulled_up_by_what_lies_in_it():
    rng = np.random.default_rng(5)
    hu = rng.normal(-100.0, 6.0, (12, 160, 160))
    # Two thirds of it hold more and more septa and muscle.
    hu[:, :110] += np.linspace(0.0, 80.0, 110)[:, None]
    found = own_tissues(hu, (3.0, 1.0, 1.0), np.ones(hu.shape, bool)).fat_hu
    assert found == pytest.approx(-100.0, abs=1.5)
    # The median of what can be fat would not do.
    assert np.median(hu[hu < -50.0]) > -94.0


def test_phantomless_holds_the_truth_and_is_marked(usual):
    seen, made = measured(*usual)
    assert made.calibration.method == "phantomless"
    assert made.calibration.material == "HA"
    assert "calibration_phantomless" in seen.flags
    assert "not_calibrated" not in seen.flags
    # The scene was made at 70 keV.
    assert made.calibration.slope_hu_per_mg_cm3 == pytest.approx(1.3072, rel=0.09)
    assert made.calibration.effective_kev == pytest.approx(70.0, abs=5.0)
    low, high = seen.mineral_mass_ci95_mg
    assert low < TRUE_MG < high
    assert (high - low) / (2 * 1.96) / seen.mineral_mass_mg == pytest.approx(0.09, abs=0.015)


@pytest.mark.parametrize(("kvp", "slope"), [(70.0, 1.4 / 0.63), (100.0, 1.4 / 0.88), (120.0, 1.4)])
def test_phantomless_follows_the_tube_voltage(kvp, slope):
    made = phantomless(kvp, False, False, Tissues(10.0, 45.0, -85.0), MeasureSettings())
    assert made.slope_hu_per_mg_cm3 == pytest.approx(slope, rel=0.05)


def test_phantomless_finds_the_energy_where_nothing_is_assumed_of_it():
    """With a wide start and tissues of exactly the tabulated kind the search finds the energy."""
    loose = MeasureSettings(phantomless_slope_sd=2.0, fat_sd_hu=1.0, muscle_sd_hu=1.0)
    # Adipose and muscle from NIST's tables of ICRU-44 compounds, cm2/g, with 0.95 and 1.05 g/cm3.
    for kev, fat, muscle, water in (
        (60.0, 0.1974, 0.2048, 0.2059),
        (80.0, 0.1800, 0.1823, 0.1837),
    ):
        tissues = Tissues(10.0, 1000 * (muscle * 1.05 / water - 1), 1000 * (fat * 0.95 / water - 1))
        made = phantomless(120.0, False, False, tissues, loose)
        assert made.effective_kev == pytest.approx(kev, abs=1.5)
        truth = {60.0: 1.659, 80.0: 1.093}[kev]
        assert made.slope_hu_per_mg_cm3 == pytest.approx(truth, rel=0.03)
        # With the usual spreads the truth lies in the interval.
        usual = phantomless(120.0, False, False, tissues, MeasureSettings())
        assert abs(np.log(usual.slope_hu_per_mg_cm3 / truth)) < 2.8 * usual.slope_error


def test_phantomless_is_refused(usual):
    metal = np.zeros(SHAPE, bool)
    metal[20:24, 60:64, 80:84] = True
    cases = [
        ({"contrast": True}, "calibration_refused_contrast"),
        ({"metal": metal}, "calibration_refused_metal"),
        ({"kvp": None}, "calibration_refused_kvp_unknown"),
    ]
    for given, reason in cases:
        seen, made = measured(*usual, **given)
        assert made.calibration is None
        assert seen.mineral_mass_mg is None
        assert seen.mineral_mass_hu_mm3 is not None
        assert {"not_calibrated", reason} <= set(seen.flags)
    seen, _ = measured(*scene(fat=45.0))
    assert "calibration_refused_no_tissue" in seen.flags
    seen, _ = measured(*scene(tissue=88.0))
    assert "calibration_refused_tissue" in seen.flags
    seen, _ = measured(*usual, phantomless=False)
    assert seen.flags.count("not_calibrated") == 1
    assert not any(flag.startswith("calibration") for flag in seen.flags)


def test_without_soft_tissue_there_are_no_milligrams(usual):
    hu, labels, body = usual
    bare = np.where(labels == 0, -1000.0, hu)
    given = {"calibration_slope_hu": 1.3, "calibration_kvp": 120.0}
    seen, made = measured(bare, labels, body, **given)
    assert made.calibration is not None
    assert seen.mineral_mass_mg is None
    assert "background_not_measurable" in seen.flags
    assert "not_calibrated" not in seen.flags


def test_soft_tissue_of_two_kinds_is_less_certain():
    shape, spacing = (40, 60, 60), (1.0, 1.0, 1.0)
    lesion = np.zeros(shape, bool)
    lesion[15:25, 25:35, 25:35] = True
    noise = np.random.default_rng(4).normal(0.0, 8.0, shape)
    muscle = np.full(shape, 50.0) + noise
    half = muscle.copy()
    half[:, :, 30:] -= 150.0
    alike = local_background(view_of_arrays(muscle, spacing, lesion))
    mixed = local_background(view_of_arrays(half, spacing, lesion))
    assert alike.hu == pytest.approx(50.0, abs=0.5)
    assert alike.sd_hu < 0.5
    assert mixed.hu == pytest.approx(-25.0, abs=3.0)
    # Four octants at 50 HU and four at -100: SD 80.2 HU, over the root of eight.
    assert mixed.sd_hu == pytest.approx(80.2 / np.sqrt(8), rel=0.05)
