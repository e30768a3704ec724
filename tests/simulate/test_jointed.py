"""Digital limbs with a joint: surfaces that fit, limits of motion, and what a scan shows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hoimg.simulate.limb import make_limb
from hoimg.simulate.pose import Bend, Pose

COARSE = (2.0, 1.6, 1.6)


@pytest.fixture(scope="module", params=["hip", "arm"])
def limb(request):
    return request.param, make_limb(request.param, spacing_zyx_mm=COARSE, seed=3, length_mm=110.0)


def test_the_bones_on_both_sides_are_apart_by_the_cartilage(limb):
    kind, made = limb
    far = made.rig.joints[0].bones.array
    near = made.native_bone.array & ~far
    assert far.sum() > 1000
    assert near.sum() > 1000
    # The joint is open: what stays and what moves touch nowhere along the view's middle slices.
    touching = ndimage.binary_dilation(far) & near
    assert touching.sum() < 0.02 * min(far.sum(), near.sum())
    center = made.rig.joints[0].center_lps_mm
    index = np.rint(made.volume.grid.to_index_zyx(center)).astype(int)
    # A hip's centre lies in the femoral head, an elbow's in the humerus.
    assert far[tuple(index)] == (kind == "hip")
    assert near[tuple(index)] == (kind == "arm")


def test_bending_within_the_limits_runs_into_nothing(limb):
    kind, made = limb
    ways = {
        "hip": [(-40, 0, 0), (20, 0, 0), (0, 30, 0), (0, -30, 0), (0, 0, 30), (0, 0, -30)],
        "arm": [(-20, 0, 0), (-40, 0, 0)],
    }[kind]
    bone_mm3 = made.rig.joints[0].bones.array.sum() * made.volume.grid.voxel_volume_mm3
    for degrees in ways:
        pose = Pose(made.rig, [Bend(f"{kind} joint", degrees)])
        assert pose.overlap_mm3() < 0.003 * bone_mm3
    if kind == "arm":  # the hook of the ulna stops it
        assert Pose(made.rig, [Bend("arm joint", (40, 0, 0))]).overlap_mm3() > 300


def test_it_is_painted_beyond_what_a_scan_shows(limb):
    _, made = limb
    corners = made.volume.grid.to_lps_mm(made.volume.grid.corners_zyx())
    assert corners[:, 2].min() <= made.low_lps_mm[2] - 60
    assert corners[:, 2].max() >= made.high_lps_mm[2] + 25
    assert made.high_lps_mm[2] - made.low_lps_mm[2] == 110


def test_another_seed_is_another_person():
    one, two = (make_limb("arm", spacing_zyx_mm=(4.0, 2.0, 2.0), seed=s) for s in (1, 2))
    assert one.bone_volume_mm3 != two.bone_volume_mm3
    again = make_limb("arm", spacing_zyx_mm=(4.0, 2.0, 2.0), seed=1)
    np.testing.assert_array_equal(one.volume.hu, again.volume.hu)
