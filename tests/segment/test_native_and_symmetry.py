"""What is native bone: by a given mask, by the mirrored side, by shape; and the mirror itself."""

from dataclasses import replace

import numpy as np
import pytest
from body_phantoms import index_of, patient
from scipy import ndimage

from hoimg.image import CTVolume
from hoimg.segment import candidates, symmetry
from hoimg.segment.basins import find_basins
from hoimg.segment.body import body_mask
from hoimg.segment.candidates import SoftTissue, faint_mineral, muscle_hu, noise_hu
from hoimg.segment.contrast import enhanced_lumen, wall_calcium
from hoimg.segment.division import divide_unaided, standing_out
from hoimg.segment.given import divide_by_given
from hoimg.segment.marrow import Marrow
from hoimg.segment.parts import bone_depth
from hoimg.segment.routes import propose
from hoimg.segment.scene import Scene
from hoimg.segment.shells import Shells
from hoimg.segment.survey import survey
from hoimg.segment.symmetry import Mirror, mirror_skeleton
from hoimg.segment.working import make_working
from hoimg.settings import SegmentSettings
from hoimg.simulate.film_anatomy import make_body

SMALL = SegmentSettings(skeleton_component_mm3=5000.0, cut_bone_mm3=500.0)
SHAPE = (40, 50, 60)
BLOCKS = tuple((n + 1) // 2 for n in SHAPE)
CUBE = (1.5, 1.5, 1.5)


def scene():
    """A bone through the scan with a knob, a small piece with a partner, a rib, a free piece."""
    parts = {name: np.zeros(SHAPE, bool) for name in ("bone", "knob", "partner", "rib", "free")}
    parts["bone"][:, 10:20, 10:20] = True
    parts["knob"][15:22, 12:18, 20:28] = True
    parts["partner"][30:34, 40:44, 10:14] = True
    parts["rib"][5:8, 30:32, 10:50] = True
    parts["free"][20:26, 36:42, 40:46] = True
    return parts


def working_of(dense, value=600):
    hu = np.where(dense, value, 50).astype(np.int16)
    return make_working(CTVolume.from_array(hu, CUBE), 1.5)


def mirror_of(expected, faint=None):
    def away(mask):
        return ndimage.distance_transform_edt(~mask, sampling=CUBE).astype(np.float32)

    return Mirror(away(expected), away(expected if faint is None else faint), 0.97)


def no_marrow():
    """A scan in which no bone shows its marrow."""
    far = np.full(SHAPE, np.inf, np.float32)
    return Marrow(np.zeros(SHAPE, bool), far, np.full(BLOCKS, np.nan, np.float32))


def divided(dense, mirror=None, marrow=None, shells=None, fresh=None, settings=SMALL):
    none = np.zeros(SHAPE, bool)
    marrow, working = marrow or no_marrow(), working_of(dense)
    shells = none if shells is None else shells
    return divide_unaided(
        standing_out(dense, shells, marrow, working, settings),
        working,
        settings,
        marrow=marrow,
        mirror=mirror,
        fresh=none if fresh is None else fresh,
    )


def test_the_mirrored_side_makes_an_outgrowth_suspect_and_leaves_small_pieces_to_be_judged():
    parts = scene()
    dense = np.any(list(parts.values()), axis=0)
    expected = parts["bone"] | parts["partner"] | parts["rib"]
    made = divided(dense, mirror_of(expected))
    np.testing.assert_array_equal(made.free, parts["free"] | parts["partner"] | parts["rib"])
    np.testing.assert_array_equal(made.bone, parts["bone"] | parts["knob"])
    # Of the knob, what lies farther than 3 mm (2 voxels) from the mirrored bone is suspect.
    far = ndimage.distance_transform_edt(~expected, sampling=CUBE) > 3.0
    # Opened by 1.6 mm: its edges and corners stay with the bone.
    assert not (made.mirror_suspects & ~(parts["knob"] & far)).any()
    assert made.mirror_suspects.sum() >= 0.75 * (parts["knob"] & far).sum()
    np.testing.assert_array_equal(made.kept, made.bone & ~made.mirror_suspects)
    assert not made.marrow_suspects.any()
    assert made.provider.startswith("symmetry (mirrored bone explains 97 %)")


def test_an_outgrowth_that_is_faintly_there_on_the_other_side_is_native():
    parts = scene()
    dense = parts["bone"] | parts["knob"]
    made = divided(dense, mirror_of(parts["bone"], faint=dense))
    assert not made.mirror_suspects.any()
    np.testing.assert_array_equal(made.kept, dense)


@pytest.mark.parametrize(("agreement", "heard"), [(0.85, True), (0.849, False)])
def test_a_side_that_explains_little_calls_nothing_suspect(agreement, heard):
    parts = scene()
    dense = parts["bone"] | parts["knob"]
    mirror = replace(mirror_of(parts["bone"]), agreement=agreement)
    made = divided(dense, mirror)
    assert made.mirror_suspects.any() == heard
    assert made.provider.startswith("symmetry") == heard


def test_what_lies_beyond_the_cortex_round_about_is_suspect_without_another_side():
    parts = scene()
    dense = parts["bone"] | parts["knob"]
    marrow_inside = np.zeros(SHAPE, bool)
    marrow_inside[:, 13:17, 13:17] = True
    distance = ndimage.distance_transform_edt(~marrow_inside, sampling=CUBE).astype(np.float32)
    marrow = Marrow(marrow_inside, distance, np.full(BLOCKS, 5.0, np.float32))
    made = divided(dense, marrow=marrow)
    beyond = parts["knob"] & (distance > 6.5)
    # Opening takes edges and corners only.
    assert (made.marrow_suspects & ~beyond).sum() == 0
    assert made.marrow_suspects.sum() >= 0.75 * beyond.sum()
    assert not divided(dense).marrow_suspects.any()


def test_shells_are_never_bone_and_what_is_new_since_an_earlier_exam_is_suspect():
    parts = scene()
    dense = parts["bone"] | parts["knob"]
    shell = divided(dense, mirror_of(dense), shells=parts["knob"])
    np.testing.assert_array_equal(shell.free, parts["knob"])
    assert not (shell.solid & parts["knob"]).any()
    new = divided(dense, mirror_of(dense), fresh=parts["knob"])
    np.testing.assert_array_equal(new.mirror_suspects, parts["knob"])


def by_given(dense, given, settings=SMALL):
    return given_parts(dense, given, settings).division


def given_parts(dense, given, settings=SMALL):
    none = np.zeros(SHAPE, bool)
    working = working_of(dense)
    return divide_by_given(dense, given, working, settings, shells=none, fresh=none, before=none)


def test_a_given_skeleton_decides_with_its_own_tolerance():
    parts = scene()
    dense = np.any(list(parts.values()), axis=0)
    given = parts["bone"]
    settings = SMALL.model_copy(update={"given_tolerance_mm": 4.6})
    found = by_given(dense, given, settings)
    far = ndimage.distance_transform_edt(~given, sampling=CUBE) > 4.6
    np.testing.assert_array_equal(found.marrow_suspects, parts["knob"] & far)
    np.testing.assert_array_equal(found.free, parts["partner"] | parts["rib"] | parts["free"])
    assert found.provider == "given"


def test_without_another_side_what_is_large_or_cut_is_native():
    parts = scene()
    cut = np.zeros(SHAPE, bool)
    cut[:9, 40:46, 10:16] = True  # 1.1 mL, leaves the scan
    stub = np.zeros(SHAPE, bool)
    stub[-3:, 40:45, 50:55] = True  # 0.25 mL, leaves the scan
    dense = parts["bone"] | cut | stub | parts["free"]
    made = divided(dense)
    np.testing.assert_array_equal(made.bone, parts["bone"] | cut)
    np.testing.assert_array_equal(made.free, stub | parts["free"])
    assert made.provider == "shape (marrow and cortex)"


def candidates_of(dense, given):
    working = working_of(dense)
    none = np.zeros(SHAPE, bool)
    parts = given_parts(dense, given)
    looked = Scene(
        working,
        body=~none,
        metal=none,
        streaks=none,
        soft=SoftTissue(55.0, 10.0),
        contrast=False,
        lumen=none,
        wall=none,
        dense=dense,
        parted=find_basins(working, SMALL),
    )
    maps = survey(
        looked,
        SMALL,
        body=~none,
        closed=Shells.named(none),
        marrow=parts.marrow,
        mirror=None,
        bone_depth=bone_depth(parts.division.bone, parts.marrow, none, working),
        division=parts.division,
        given=given,
        fresh=none,
    )
    every = propose(maps)
    return [c for c in every if c.route not in ("basin", "lump", "parts")]  # see test_parts


def test_free_pieces_and_outgrowths_become_candidates_and_say_whether_they_touch_bone():
    parts = scene()
    dense = parts["bone"] | parts["knob"] | parts["free"]
    found = candidates_of(dense, parts["bone"])
    assert [c.attached for c in found] == [True, False]
    knob, free = found
    np.testing.assert_array_equal(free.mask, parts["free"][free.box])
    assert knob.mask[parts["knob"][knob.box]].all()
    # Grown back towards the bone that it stands on, by 4.5 mm and not into its middle.
    away = ndimage.distance_transform_edt(~parts["knob"], sampling=CUBE)[knob.box]
    assert away[knob.mask].max() <= 4.5
    assert not (knob.mask & parts["bone"][knob.box]).any()


def test_floccules_two_voxels_apart_are_one_candidate_and_a_cavity_is_filled():
    dense = np.zeros(SHAPE, bool)
    dense[20:26, 20:26, 20:24] = dense[20:26, 20:26, 26:30] = True  # centres 4.5 mm apart: 3 free
    shell = np.zeros(SHAPE, bool)
    shell[5:15, 36:46, 40:50] = True
    shell[7:13, 38:44, 42:48] = False
    elsewhere = np.indices(SHAPE)[0] > 38
    found = candidates_of(dense | shell, elsewhere)
    assert len(found) == 2
    assert found[0].mask.sum() == 1000  # the shell's whole cube


def soft_of(working, body):
    return SoftTissue.of(working.hu, body)


def soft_tissue(noise, seed=0):
    hu = 55 + np.random.default_rng(seed).normal(0, noise, SHAPE)
    return hu, np.ones(SHAPE, bool), np.zeros(SHAPE, bool)


@pytest.mark.parametrize("noise", [5.0, 12.0, 25.0])
def test_muscle_and_noise_are_read_from_the_scan_and_noise_alone_is_no_floccule(noise):
    hu, body, none = soft_tissue(noise)
    assert muscle_hu(hu, body) == pytest.approx(55, abs=8)
    assert noise_hu(hu, body, 55.0) == pytest.approx(noise, rel=0.1)
    working = make_working(CTVolume.from_array(hu, CUBE), 1.5)
    assert not faint_mineral(working, body, none, soft_of(working, body), SegmentSettings())[
        0
    ].any()


def test_too_little_soft_tissue_falls_back_to_fixed_values():
    hu = np.full((4, 4, 4), 60.0)
    body = np.ones(hu.shape, bool)
    assert muscle_hu(hu, body) == 50.0
    assert noise_hu(hu, body, 50.0) == 10.0


def test_clumps_denser_than_muscle_are_found_and_an_even_body_is_not():
    hu, body, none = soft_tissue(6.0)
    z, y, x = (g * 1.5 for g in np.indices(SHAPE))
    clumps = np.hypot(np.hypot(z - 30, y - 37), x - 25) < 9
    chess = (np.indices(SHAPE) // 2).sum(axis=0) % 2 == 0
    hu = np.where(clumps & chess, 230.0, hu)
    even = np.hypot(np.hypot(z - 30, y - 37), x - 65) < 12
    hu = np.where(even, 105.0 + 0.5 * (hu - 55), hu)
    working = make_working(CTVolume.from_array(hu, CUBE), 1.5)
    (found,) = faint_mineral(working, body, none, soft_of(working, body), SegmentSettings())
    assert found[clumps].mean() > 0.5
    assert not (found & ~ndimage.binary_dilation(clumps, iterations=2)).any()
    assert not faint_mineral(working, body, clumps, soft_of(working, body), SegmentSettings())[0][
        clumps
    ].any()


@pytest.mark.parametrize("slab", [1, 7, 20, 39])
def test_floccules_are_the_same_however_many_slices_are_looked_at_in_one_go(slab, monkeypatch):
    hu, body, avoid = soft_tissue(6.0)
    z, y, x = (g * 1.5 for g in np.indices(SHAPE))
    patchy = ndimage.gaussian_filter(np.random.default_rng(3).normal(0, 1500, SHAPE), 1.2)
    hu = np.where(np.hypot(y - 37 + 0 * z, x - 40) < 30, 130 + patchy, hu)  # much near the limits
    avoid[:, 20:24, 20:24] = True
    working = make_working(CTVolume.from_array(hu, CUBE), 1.5)
    soft = soft_of(working, body)
    whole = faint_mineral(working, body, avoid, soft, SegmentSettings(), (1.0, 0.65))
    assert 0.05 < whole[0].mean() < whole[1].mean() < 0.5
    monkeypatch.setattr(candidates, "SLAB", slab)
    parts = faint_mineral(working, body, avoid, soft, SegmentSettings(), (1.0, 0.65))
    np.testing.assert_array_equal(parts, whole)


def test_an_even_tube_is_a_lumen_and_uneven_marrow_and_a_thin_vessel_are_not():
    hu, body, none = soft_tissue(8.0)
    _, y, x = (g * 1.5 for g in np.indices(SHAPE))
    vessel = np.hypot(y - 37, x - 20) < 9
    thin = np.hypot(y - 15, x - 20) < 2.5
    marrow = np.hypot(y - 37, x - 65) < 9
    speckle = np.random.default_rng(5).normal(0, 90, SHAPE)
    hu = np.where(vessel | thin, hu + 245, np.where(marrow, 250 + speckle, hu))
    working = make_working(CTVolume.from_array(hu, CUBE), 1.5)
    lumen = enhanced_lumen(working, body, none, soft_of(working, body))
    # Within three standard deviations of the 1.5 mm window the edge itself is uneven.
    assert lumen[np.hypot(y - 37 + 0 * x, x - 20) < 9 - 4.5].all()
    assert not (lumen & ~ndimage.binary_dilation(vessel, iterations=2)).any()


def test_wall_calcium_is_cut_from_a_skeleton_and_a_small_piece_is_left_whole():
    lumen, dense = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    lumen[:, 20:28, 20:28] = True
    dense[:, 20:28, 28:40] = True  # 13 mL beside the lumen
    dense[10:14, 14:18, 20:24] = True  # 0.2 mL within 3.5 mm of it
    working = working_of(dense)
    wall = wall_calcium(dense, lumen, working, 5000.0)
    expected = np.zeros(SHAPE, bool)
    expected[:, 20:28, 28:30] = True  # centres at 1.5 and 3 mm
    np.testing.assert_array_equal(wall, expected)
    assert not wall_calcium(dense, lumen & False, working, 5000.0).any()


def mirror_of_patient(**kw):
    volume = patient(**kw)
    working = make_working(volume, 1.5)
    body = body_mask(working.hu, working.spacing_zyx_mm)
    return mirror_skeleton(working, body, np.zeros_like(body))


def test_a_knob_on_one_side_lies_away_from_mirrored_bone_twice_alike():
    mirror = mirror_of_patient(knob=10.0)
    assert mirror is not None
    assert mirror.agreement > 0.93
    knob = index_of((-70, -22, 30))
    assert mirror.distance_mm[knob] > 4.0
    assert mirror.faint_distance_mm[knob] > 2.0
    for side in (-1, 1):  # the cortex of both shafts has its partner
        assert mirror.distance_mm[index_of((70 * side, 12, 30))] < 2.0
    again = mirror_of_patient(knob=10.0)
    assert again is not None
    np.testing.assert_array_equal(mirror.distance_mm, again.distance_mm)
    assert mirror.agreement == again.agreement


def test_one_limb_and_a_body_without_bone_have_no_other_side():
    assert mirror_of_patient(sides=(-1,)) is None
    assert mirror_of_patient(sides=()) is None


@pytest.mark.parametrize(
    ("axes_mm", "factor"),
    [
        (np.diag([1.0, 1.0, 1.0]), 1.0),
        (np.diag([1.0, 1.2, 0.9]), 1.2),
        (np.diag([1.1, 1.0, 0.5]), 2.0),
        # A shear by 1 has the golden ratio for its largest stretch.
        (np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), (1 + 5**0.5) / 2),
    ],
)
def test_the_stretch_of_a_transform_is_told_however_it_is_turned_and_moved(axes_mm, factor):
    sitk = pytest.importorskip("SimpleITK")
    c, s = np.cos(0.4), np.sin(0.4)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine = sitk.AffineTransform((turn @ axes_mm @ turn).ravel().tolist(), (30.0, -7.0, 12.0))
    assert symmetry._stretch(affine) == pytest.approx(factor)


def test_how_far_apart_two_transforms_lay_points():
    sitk = pytest.importorskip("SimpleITK")
    points = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 30.0, 0.0], [0.0, 0.0, 7.0]])
    still = sitk.AffineTransform(3)
    moved = sitk.AffineTransform(np.eye(3).ravel().tolist(), (2.0, -1.0, 2.0))
    assert symmetry._apart_mm(points, still, moved) == pytest.approx(3.0)
    # x twice as long about a centre at x = 4: 4, 6, 4 and 4 mm aside.
    stretched = sitk.AffineTransform(np.diag([2.0, 1.0, 1.0]).ravel().tolist(), (0.0, 0.0, 0.0))
    stretched.SetCenter((4.0, 5.0, 6.0))
    assert symmetry._apart_mm(points, stretched, still) == pytest.approx(4.5)


@pytest.mark.parametrize(("near_mm", "times"), [(symmetry.SAME_PLACE_MM, 1), (0.0, 2)])
def test_a_second_start_that_comes_to_the_same_place_is_not_followed(monkeypatch, near_mm, times):
    laid = []
    real = symmetry._laid_over
    monkeypatch.setattr(symmetry, "SURE_AGREEMENT", 1.1)  # the first start never is enough
    monkeypatch.setattr(symmetry, "SAME_PLACE_MM", near_mm)
    monkeypatch.setattr(symmetry, "_laid_over", lambda *a: laid.append(real(*a)) or laid[-1])
    mirror = mirror_of_patient()
    assert mirror is not None
    assert len(laid) == times
    assert mirror.agreement == max(one.agreement for one in laid)


@pytest.fixture(scope="module")
def digital_pelvis():
    return {
        side: make_body("pelvis", seed=311, spacing_mm=2.0, side=side) for side in ("both", "r")
    }


@pytest.mark.parametrize(("side", "usable"), [("both", True), ("r", False)])
def test_half_a_pelvis_is_not_its_own_other_side(digital_pelvis, side, usable):
    working = make_working(digital_pelvis[side].volume, 2.0)
    body = body_mask(working.hu, working.spacing_zyx_mm)
    assert (mirror_skeleton(working, body, np.zeros_like(body)) is not None) == usable


def test_a_registration_that_fails_means_no_other_side(monkeypatch):
    def fails(*_):
        raise RuntimeError("metric is singular")

    monkeypatch.setattr(symmetry, "_affine", fails)
    assert mirror_of_patient() is None
