"""Digital bodies for films, and what grows on them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hoimg.simulate.film_anatomy import make_body
from hoimg.simulate.film_bones import ball, bar
from hoimg.simulate.film_bridge import hip_truth, plant_spurs, put_prosthesis
from hoimg.simulate.film_geometry import aim
from hoimg.simulate.film_lesion import cast_shadow
from hoimg.simulate.plant import LesionModel


@pytest.fixture(scope="module")
def hip():
    return make_body("pelvis", seed=2, side="r", spacing_mm=2.0)


def test_a_body_has_skin_flesh_and_bones(hip):
    hu = hip.volume.hu
    assert hu.min() <= -990
    assert 40 < np.median(hu[(hu > 0) & (hu < 120)]) < 75
    assert hu.max() > 900
    assert set(hip.bones) == {"pelvis_r", "femur_r", "sacrum", "lumbar"}
    # Head and socket do not touch, as cartilage keeps them apart.
    both = np.minimum(hip.bones["pelvis_r"], hip.bones["femur_r"])
    assert (both > 0.5).sum() == 0
    # Its parts lie where they are said to be: patient's right is -x.
    assert hip.points["head_r"][0] < -70
    index = np.rint(hip.volume.grid.to_index_zyx(np.array([hip.points["head_r"]])))[0].astype(int)
    assert hip.bones["femur_r"][tuple(index)] == 1.0
    with pytest.raises(ValueError, match="pelvis or knees"):
        make_body("hand")


def test_the_same_seed_is_the_same_person_and_another_is_not():
    first, again, other = (make_body("knees", seed=s, spacing_mm=4.0) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.volume.hu, again.volume.hu)
    assert first.volume.grid != other.volume.grid or (first.volume.hu != other.volume.hu).any()
    right, left = first.bones["femur_r"].sum(), first.bones["femur_l"].sum()
    assert right == pytest.approx(left, rel=0.1)


def test_parts_are_distances():
    inside = bar((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), 3.0, 3.0)
    assert inside(5.0, 4.0, 0.0) == pytest.approx(1.0)
    assert inside(13.0, 0.0, 0.0) == pytest.approx(0.0)
    round_one = ball((1.0, 2.0, 3.0), (4.0, 4.0, 4.0))
    assert round_one(1.0, 2.0, 9.0) == pytest.approx(2.0)
    assert round_one(1.0, 2.0, 5.0) == pytest.approx(-2.0, abs=1e-6)


@pytest.mark.parametrize("wanted", [4.0, 15.0])
def test_spurs_keep_the_gap_that_was_asked_for(hip, wanted):
    spurs = plant_spurs(hip, "r", wanted, seed=3)
    x, y, z = hip.points["head_r"]
    geometry = aim((x - 20, y, z), spacing_mm=0.3, shape_yx=(700, 700))
    truth = hip_truth(hip, "r", spurs[:1], spurs[1:], [], geometry)
    # Rough tips: a millimetre or so either way; the truth is what was measured.
    assert truth.gap_3d_mm == pytest.approx(wanted, abs=2.0)
    assert truth.gap_mm is not None
    assert truth.gap_mm <= truth.gap_3d_mm + 0.3
    assert truth.brooker == ("III" if wanted < 10 else "II")
    assert all(isinstance(s, LesionModel) and s.volume_mm3 > 300 for s in spurs)
    shadows = [cast_shadow(s, geometry) for s in spurs]
    assert all(s is not None and s.mineral.any() for s in shadows)
    # Each is one piece, and none lies in bone.
    assert [ndimage.label(s.occupancy > 0)[1] for s in spurs] == [1, 1]
    for spur in spurs:
        center = spur.grid.to_lps_mm(np.argwhere(spur.occupancy > 0.5)[::50])
        at = np.rint(hip.volume.grid.to_index_zyx(center)).astype(int)
        assert hip.bones["femur_r"][tuple(at.T)].mean() < 0.1


def test_a_prosthesis_takes_the_heads_place(hip):
    body, metal, grid = put_prosthesis(hip, "r", fine_mm=1.5)
    head = np.array([hip.points["head_r"]])
    at = tuple(np.rint(grid.to_index_zyx(head))[0].astype(int))
    assert metal[at] == 1.0
    inside = tuple(np.rint(hip.volume.grid.to_index_zyx(head))[0].astype(int))
    assert body.bones["femur_r"][inside] == 0
    assert body.volume.hu[inside] < 100
    assert hip.bones["femur_r"][inside] == 1
    volume = metal.sum() * 1.5**3
    assert 25_000 < volume < 90_000
