"""A whole small exam: a bone with a cortex, lesions near it, metal, the scan's end, other grids."""

import numpy as np
import pytest
from scipy import ndimage

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.measure import measure_exam
from hoimg.measure.tissue import own_tissues
from hoimg.results import Acquisition
from hoimg.settings import MeasureSettings

SPACING = (1.0, 0.75, 0.75)
SHAPE = (70, 150, 150)
FWHM = 1.2
CENTRE = np.array([35.0, 56.0, 56.0])
"""The bone's axis runs along z through here, mm."""


def points():
    z, y, x = np.indices(SHAPE, dtype=np.float32)
    return z * SPACING[0], y * SPACING[1], x * SPACING[2]


def limb(lesions, *, noise=8.0, seed=1, cortex=1200.0):
    """(hu, labels, bone, body): lesions are (centre mm zyx, radius, rim HU, rim mm, core HU)."""
    z, y, x = points()
    r = np.hypot(y - CENTRE[1], x - CENTRE[2])
    hu = np.where(r < 50, 55.0, -1000.0).astype(np.float32)
    bone = r < 11
    hu[bone] = cortex
    hu[r < 8.5] = -30
    labels = np.zeros(SHAPE, np.uint16)
    for i, (centre, radius, rim, thick, core) in enumerate(lesions, start=1):
        d = radius - np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        inside = (d > 0) & ~bone
        hu[inside] = np.where(d < thick, rim, core)[inside]
        labels[inside] = i
    hu = ndimage.gaussian_filter(hu, [FWHM / 2.3548 / s for s in SPACING])
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 0.6)
    return hu + noise * grain / grain.std(), labels, bone, r < 50


def run(hu, labels, bone, body, *, metal=None, grid=None, slice_mm=1.0, valid=None, gaps=(), **kw):
    grid = grid or Grid(SHAPE, SPACING)
    metal = np.zeros(SHAPE, bool) if metal is None else metal
    return measure_exam(
        "day0000_ct_0",
        CTVolume(np.rint(hu).astype(np.int16), grid, valid, gaps),
        Mask(labels, grid),
        skeleton=Mask(bone & (labels == 0), grid),
        metal=Mask(metal, grid),
        body=Mask(body, grid),
        settings=kw.pop("settings", MeasureSettings()),
        acquisition=Acquisition(slice_thickness_mm=slice_mm, kvp=kw.pop("kvp", 120)),
        **kw,
    )


MATURE = ((35.0, 30.0, 56.0), 8.0, 1150.0, 1.5, -20.0)
FAINT = ((35.0, 56.0, 86.0), 8.0, 130.0, 1.5, 130.0)
ATTACHED = ((35.0, 73.0, 56.0), 8.0, 1150.0, 1.5, -20.0)


@pytest.fixture(scope="module")
def exam():
    scene = limb([MATURE, FAINT, ATTACHED])
    return scene, run(*scene, flags={1: ["given_by_segmentation"]})


def test_mature_and_faint_differ_in_every_feature(exam):
    mature, faint = (exam[1].observations[i] for i in (1, 2))
    assert mature.rim_fraction >= 0.95
    assert mature.edge_ratio <= 1.5
    assert mature.zone_contrast_hu > 300
    assert mature.core_marrow_fraction > 0.9
    assert faint.rim_fraction == 0.0
    assert faint.edge_ratio >= 2.5
    assert abs(faint.zone_contrast_hu) < 30
    assert faint.core_marrow_fraction == 0.0
    assert "core_not_enclosed" in faint.flags
    assert mature.rim_profiles > 300


def test_status_and_flags(exam):
    first = exam[1].observations[1]
    assert (first.exam_id, first.status, first.label) == ("day0000_ct_0", "measured", 1)
    assert first.flags[0] == "given_by_segmentation"
    # No fat in this limb, so nothing to calibrate by.
    assert {"not_calibrated", "calibration_refused_no_tissue", "no_metal_in_view"} <= set(
        first.flags
    )
    assert first.mineral_mass_mg is None
    assert first.distance_to_metal_mm is None


def test_density_over_own_cortex(exam):
    cortex = exam[1].acquisition.cortex_hu
    for seen in (exam[1].observations[i] for i in (1, 3)):
        assert seen.mean_over_cortex == pytest.approx(seen.mean_hu / cortex)
    hu, labels, bone, body = exam[0]
    bare = run(hu, labels, np.zeros_like(bone), body).observations[1]
    assert bare.mean_hu is not None
    assert bare.mean_over_cortex is None
    assert "cortex_not_measurable" in bare.flags


def test_relation_to_bone(exam):
    mature, faint, attached = (exam[1].observations[i] for i in (1, 2, 3))
    # Centre 26 and 30 mm from the axis, radius 8, bone 11.
    assert mature.distance_to_bone_mm == pytest.approx(26 - 8 - 11, abs=0.5)
    assert faint.distance_to_bone_mm == pytest.approx(30 - 8 - 11, abs=0.6)
    assert not mature.touches_bone
    assert attached.touches_bone
    assert attached.distance_to_bone_mm == 0.0


def test_attached_volume_ends_at_the_native_surface(exam):
    truth = np.count_nonzero(exam[0][1] == 3) * np.prod(SPACING)
    assert exam[1].observations[3].volume_mm3 == pytest.approx(truth, rel=0.06)
    assert exam[1].observations[3].rim_fraction >= 0.75


def test_shape_of_a_ball(exam):
    ball = exam[1].observations[1]
    assert ball.volume_mm3 == pytest.approx(4 / 3 * np.pi * 512, rel=0.05)
    assert ball.max_diameter_mm == pytest.approx(16, abs=0.7)
    assert ball.surface_area_mm2 == pytest.approx(4 * np.pi * 64, rel=0.05)
    assert 0.95 < ball.sphericity <= 1.0
    # Grid at the origin, axis aligned: LPS is (x, y, z) mm.
    np.testing.assert_allclose(ball.centroid_lps_mm, (56.0, 30.0, 35.0), atol=0.15)
    low, high = ball.volume_ci95_mm3
    assert low < ball.volume_mm3 < high


def test_references_of_the_exam(exam):
    acquisition = exam[1].acquisition
    assert acquisition.noise_hu == pytest.approx(8.0, rel=0.25)
    assert acquisition.psf_fwhm_zyx_mm[1] == pytest.approx(FWHM, rel=0.12)
    assert acquisition.psf_fwhm_zyx_mm[0] == 1.0
    assert acquisition.psf_source_zyx[0] == "slice_thickness"
    assert acquisition.psf_source_zyx[1] in ("cortex", "skin")
    assert 950 < acquisition.cortex_hu <= 1260
    assert acquisition.size_zyx == SHAPE
    assert acquisition.spacing_zyx_mm == SPACING


def test_density_of_mineral_voxels(exam):
    hu, labels, _, _ = exam[0]
    mineral = hu[(labels == 1) & (hu >= 150)]
    found = exam[1].observations[1]
    assert found.mean_hu == pytest.approx(mineral.mean(), rel=0.05)
    assert found.sd_hu == pytest.approx(mineral.std(), rel=0.1)
    assert found.median_hu == pytest.approx(np.median(mineral), rel=0.08)
    assert found.p95_hu == pytest.approx(np.percentile(mineral, 95), rel=0.05)
    assert found.background_hu == pytest.approx(55, abs=3)


def test_oblique_grid_only_moves_the_centroid(exam):
    c, s = np.cos(0.4), np.sin(0.4)
    grid = Grid(SHAPE, SPACING, (10.0, -20.0, 300.0), ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
    turned = run(*exam[0], grid=grid).observations[1]
    plain = exam[1].observations[1]
    assert turned.volume_mm3 == pytest.approx(plain.volume_mm3, rel=1e-9)
    x, y, z = plain.centroid_lps_mm
    expected = (10 + c * x - s * y, -20 + s * x + c * y, 300 + z)
    np.testing.assert_allclose(turned.centroid_lps_mm, expected, atol=1e-6)


def test_thick_slices_leave_rim_and_edge_unrated(exam):
    # 1.5 mm is still rated, one past it is not.
    for thickness, rated in ((1.5, True), (1.6, False)):
        found = run(*exam[0], slice_mm=thickness).observations[1]
        assert (found.rim_fraction is not None) == rated
        assert (found.edge_ratio is not None) == rated
        assert ("rim_unrated_slice_thickness" in found.flags) != rated
    assert found.core_marrow_fraction is None
    assert "core_unrated_without_rim" in found.flags


def test_tube_voltage_moves_the_fixed_threshold_only(exam):
    low = run(*exam[0], kvp=70).observations[1]
    usual = exam[1].observations[1]
    assert low.threshold_volume_mm3 < usual.threshold_volume_mm3
    assert low.volume_mm3 == pytest.approx(usual.volume_mm3, rel=0.03)
    assert low.mineral_mass_hu_mm3 == pytest.approx(usual.mineral_mass_hu_mm3, rel=0.02)


def test_scan_end_and_reconstruction_circle():
    cut = ((2.0, 30.0, 56.0), 8.0, 1150.0, 1.5, -20.0)
    scene = limb([cut, MATURE])
    valid = np.ones(SHAPE, bool)
    found = run(*scene, valid=valid).observations
    assert found[1].touches_fov
    assert "touches_fov" in found[1].flags
    # The part in view: a ball cut 2.5 mm below its centre (half a voxel below the first slice).
    h, radius = 8.0 + 2.5, 8.0
    part = np.pi * h * h * (3 * radius - h) / 3
    overlap = np.count_nonzero(scene[1] == 1) * np.prod(SPACING)
    assert found[1].volume_mm3 == pytest.approx(min(part, overlap), rel=0.1)
    assert not found[2].touches_fov
    valid[:, : int(23 / 0.75)] = False
    assert run(*scene, valid=valid).observations[2].touches_fov


@pytest.mark.parametrize(
    ("gap", "crossed"),
    [(35, True), (27, True), (43, True), (26, False), (44, False)],
)
def test_a_lesion_at_a_gap_is_flagged(exam, gap, crossed):
    # Lesion 1 fills the planes 28 to 42 (a ball of 8 mm about z = 35 mm, without its outermost
    # point); a gap right beside it counts.
    rows = np.flatnonzero((exam[0][1] == 1).any(axis=(1, 2)))
    assert (rows[0], rows[-1]) == (28, 42)
    valid = np.ones(SHAPE, bool)
    valid[gap] = False
    found = run(*exam[0], valid=valid, gaps=(gap,)).observations[1]
    assert ("crosses_gap" in found.flags) is crossed
    assert not found.touches_fov
    assert found.volume_mm3 == pytest.approx(exam[1].observations[1].volume_mm3, rel=0.05)


def test_metal_distance_and_no_bone():
    hu, labels, bone, body = limb([FAINT])
    metal = np.zeros(SHAPE, bool)
    metal[20:50, 70:80, 140:146] = True  # its near face lies at x = 139.5 * 0.75 mm
    hu[metal] = 3000
    found = run(hu, labels, np.zeros(SHAPE, bool), body, metal=metal).observations[1]
    assert found.distance_to_metal_mm == pytest.approx(139.5 * 0.75 - 86 - 8, abs=0.6)
    assert found.distance_to_bone_mm is None
    assert found.touches_bone is False
    assert "no_bone_in_view" in found.flags
    assert found.edge_ratio is None
    assert "edge_unrated_no_cortex" in found.flags
    assert "rim_without_cortex_reference" in found.flags
    far = run(
        hu, labels, bone, body, metal=metal, settings=MeasureSettings(search_radius_mm=5.0)
    ).observations[1]
    assert far.distance_to_bone_mm is None
    assert {"bone_beyond_search_radius", "metal_beyond_search_radius"} <= set(far.flags)


def test_small_and_unmineralised():
    tiny = ((35.0, 30.0, 56.0), 2.5, 600.0, 9.0, 600.0)
    soft = ((35.0, 56.0, 86.0), 5.0, 90.0, 9.0, 90.0)
    found = run(*limb([tiny, soft])).observations
    assert found[1].zone_contrast_hu is None
    assert "core_too_small" in found[1].flags
    assert found[2].mean_hu is None
    assert found[2].p95_hu is None
    assert "no_mineral_voxels" in found[2].flags


def test_no_soft_tissue_round_the_lesion_gives_no_mass():
    hu, labels, bone, body = limb([MATURE])
    hu[labels == 0] = -1000
    found = run(hu, labels, bone, body).observations[1]
    assert found.background_hu is None
    assert found.mineral_mass_hu_mm3 is None
    assert "background_not_measurable" in found.flags


def test_rim_rises_with_the_share_of_shell():
    z, _, _ = points()
    hu, labels, bone, body = limb([MATURE], noise=5.0)
    found = []
    for share in (0.0, 0.5, 1.0):
        array = hu.copy()
        bare = (labels == 1) & (z > 35 - 8 + 16 * share)
        grown = ndimage.binary_dilation(bare, iterations=2) & (z > 35 - 8 + 16 * share)
        array[grown & ~bone] = 55
        if share == 0.0:
            array[ndimage.binary_dilation(labels == 1, iterations=3)] = 55
        found.append(run(array, labels, bone, body).observations[1].rim_fraction)
    assert found[0] == 0.0
    # A ball's zone of half its height holds half of its surface.
    assert found[1] == pytest.approx(0.5, abs=0.12)
    assert found[2] > 0.95


def test_masks_on_another_grid_are_refused():
    hu, labels, bone, body = limb([MATURE])
    grid = Grid(SHAPE, SPACING)
    with pytest.raises(ValueError, match="skeleton"):
        measure_exam(
            "e",
            CTVolume(np.rint(hu).astype(np.int16), grid),
            Mask(labels, grid),
            skeleton=Mask(bone, Grid(SHAPE, (1.0, 0.75, 0.8))),
            metal=Mask(np.zeros(SHAPE, bool), grid),
            body=Mask(body, grid),
            settings=MeasureSettings(),
            acquisition=Acquisition(),
        )


def test_no_lesion_and_nothing_to_refer_to():
    hu = np.full(SHAPE, -1000.0)
    empty = np.zeros(SHAPE, bool)
    got = run(hu, np.zeros(SHAPE, np.uint16), empty, empty)
    assert got.observations == {}
    assert got.acquisition.noise_hu is None
    assert got.acquisition.psf_fwhm_zyx_mm is None
    assert got.acquisition.cortex_hu is None
    assert got.references.fwhm_zyx_mm == pytest.approx((1.0, 1.05, 1.05))


def test_noise_of_muscle():
    rng = np.random.default_rng(5)
    hu = rng.normal(55, 17, (12, 90, 90)).astype(np.float32)
    assert own_tissues(hu, (1.0, 0.8, 0.8), np.ones(hu.shape, bool)).noise_hu == pytest.approx(
        17, rel=0.12
    )
