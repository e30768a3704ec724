"""Registration against known rigid movements; planted failures must be rejected."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask, read_mask
from hoimg.serial import Registration, register

CENTRE = np.array([0.0, 0.0, 0.0])


def movement(turn_deg=(0, 0, 0), shift=(0, 0, 0)):
    """4x4 from fixed to moving, built apart from the package's own helper."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def skeleton(points, scale=1.0):
    """Signed depth (mm, positive inside) of an asymmetrical 'pelvis' at LPS points."""
    p = points / scale
    x, y, z = p[:, 0], p[:, 1], p[:, 2]

    def ball(cx, cy, cz, *radii):
        r = np.sqrt(
            ((x - cx) / radii[0]) ** 2 + ((y - cy) / radii[1]) ** 2 + ((z - cz) / radii[2]) ** 2
        )
        return (1 - r) * min(radii)

    shaft = np.minimum(11 - np.hypot(x - 38 - 0.15 * z, y + 2), -10 - z)
    other = np.minimum(9 - np.hypot(x + 40 - 0.05 * z, y - 6), -18 - z)
    parts = [
        ball(35, 0, 0, 18, 16, 17),
        ball(-37, 5, -4, 15, 17, 15),
        ball(5, 18, 22, 26, 13, 18),
        ball(30, 10, 30, 14, 20, 10),
        ball(-28, 12, 24, 10, 18, 14),
        shaft,
        other,
    ]
    return np.max(parts, axis=0)


def scan(
    matrix=None, *, size=(60, 80, 80), spacing=(2.0, 2.0, 2.0), middle=(0, 0, 0), scale=1.0,
    flip=False, seed=0,
):  # fmt: skip
    """A CT of the phantom after a movement, and its bone mask."""
    moved = np.eye(4) if matrix is None else matrix
    half = np.array([(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)])[::-1]
    grid = Grid(size, spacing, tuple(np.asarray(middle, float) - half))
    points = grid.to_lps_mm(np.indices(size).reshape(3, -1).T)
    still = (points - moved[:3, 3]) @ moved[:3, :3]  # the inverse of a rotation is its transpose
    if flip:
        still = still * [-1, 1, 1]
    depth = skeleton(still, scale).reshape(size)
    hu = np.where(depth > 3, 250.0, np.where(depth > 0, 1100.0, 50.0))
    noise = np.random.default_rng(seed).normal(0, 20, size)
    hu = gaussian_filter(hu, [1.0 / s for s in spacing]) + noise
    return CTVolume(hu.astype(np.int16), grid), Mask(depth > 0, grid)


def error_mm(found: Registration, truth, points):
    gap = found.matrix_lps - truth
    return np.linalg.norm(points @ gap[:3, :3].T + gap[:3, 3], axis=1)


@pytest.fixture(scope="module")
def fixed():
    return scan()


@pytest.fixture(scope="module")
def targets(fixed):
    volume, bone = fixed
    return volume.grid.to_lps_mm(np.argwhere(bone.array)[::50])


@pytest.mark.parametrize(
    ("turn", "shift", "options"),
    [
        ((0, 0, 0), (0, 0, 0), {"seed": 5}),
        ((4, -3, 6), (9, -12, 7), {}),
        ((8, -10, 22), (40, 30, -50), {"middle": (40, 30, -50)}),
        ((3, 2, -4), (5, 4, 3), {"size": (24, 90, 90), "spacing": (5.0, 1.8, 1.8)}),
        ((-3, 2, 4), (4, 0, 0), {"size": (32, 80, 80), "middle": (4, 0, -22)}),
    ],
    ids=["same place", "re-positioned", "far off", "thick slices", "half the view"],
)
def test_known_movements_are_found(fixed, targets, turn, shift, options):
    truth = movement(turn, shift)
    found = register(*fixed, *scan(truth, **options))
    assert found.reason is None
    assert found.accepted
    error = error_mm(found, truth, targets)
    assert np.median(error) <= 0.4
    assert error.max() <= 0.7
    assert found.bone_overlap > 0.85
    assert found.residual_mm < 1.0


def nailed(volume, bone, matrix=None):
    """The same scan with a plate and rods through the bones, which bloom; bone mask, metal."""
    moved = np.eye(4) if matrix is None else matrix
    points = volume.grid.to_lps_mm(np.indices(volume.hu.shape).reshape(3, -1).T)
    x, y, z = ((points - moved[:3, 3]) @ moved[:3, :3]).T
    rods = np.min([np.hypot(y - a, z - b) for a, b in ((0, 2), (8, 24), (-4, -26))], axis=0) < 3.5
    metal = ((np.abs(x) < 52) & rods).reshape(volume.hu.shape)
    bloomed = volume.hu + 9000 * gaussian_filter(metal.astype(np.float32), 1.0)
    hu = np.minimum(bloomed, 3071).astype(np.int16)
    return CTVolume(hu, volume.grid), Mask(bone.array & ~metal, bone.grid), Mask(metal, bone.grid)


@pytest.mark.parametrize("at", ["fixed", "moving"])
def test_metal_put_in_between_exams_does_not_make_the_bones_unlike(fixed, targets, at):
    truth = movement((4, -3, 6), (9, -12, 7))
    moving = scan(truth, seed=5)
    none = [Mask(np.zeros_like(bone.array), bone.grid) for _, bone in (fixed, moving)]
    if at == "fixed":
        *one, metal = nailed(*fixed)
        pair, told = (*one, *moving), (metal, none[1])
    else:
        *two, metal = nailed(*moving, truth)
        pair, told = (*fixed, *two), (none[0], metal)
    assert register(*pair).reason == "bones_unlike"
    found = register(*pair, metal=told)
    assert found.reason is None
    assert error_mm(found, truth, targets).max() <= 1.0


@pytest.mark.parametrize("options", [{"flip": True}, {"scale": 0.88}], ids=["mirrored", "another"])
def test_a_stranger_with_metal_is_still_refused(fixed, options):
    *one, metal = nailed(*fixed)
    other = scan(**options)
    told = metal, Mask(np.zeros_like(other[1].array), other[1].grid)
    assert not register(*one, *other, metal=told).accepted


@pytest.mark.parametrize(
    "options",
    [{"flip": True}, {"scale": 0.88}, {"middle": (0, 0, 400)}],
    ids=["mirrored", "another patient", "no overlap"],
)
def test_planted_failures_are_rejected_with_a_reason(fixed, options):
    found = register(*fixed, *scan(**options))
    assert not found.accepted
    assert found.reason in {
        "no_bone",
        "no_common_view",
        "bones_do_not_overlap",
        "surfaces_too_far_apart",
        "bones_unlike",
        "mirrored",
    }


def test_it_repeats_exactly_with_one_thread_or_two(fixed):
    import SimpleITK as sitk

    moving = scan(movement((4, -3, 6), (9, -12, 7)))
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    results = []
    try:
        for threads in (1, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            results.append(register(*fixed, *moving))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    one, two = results
    np.testing.assert_array_equal(one.matrix_lps, two.matrix_lps)
    assert (one.bone_overlap, one.residual_mm) == (two.bone_overlap, two.residual_mm)


def test_no_bone_has_its_reason(fixed):
    volume, bone = fixed
    empty = Mask(np.zeros_like(bone.array), bone.grid)
    found = register(volume, empty, volume, bone)
    assert (found.accepted, found.reason, found.bone_overlap) == (False, "no_bone", None)


def test_a_mask_on_another_grid_is_refused(fixed):
    volume, bone = fixed
    other = Mask(bone.array[1:], Grid((59, 80, 80), (2.0, 2.0, 2.0)))
    with pytest.raises(ValueError, match="grid"):
        register(volume, other, volume, bone)


def test_inverse_undoes():
    matrix = movement((10, 20, 30), (1, 2, 3))
    found = Registration(matrix, True, 0.9, 0.4)
    np.testing.assert_allclose(found.inverse().matrix_lps @ matrix, np.eye(4), atol=1e-12)
    assert found.inverse().accepted


def test_real_anatomy_moved_by_a_known_amount(real_data):
    folder = real_data / "totalsegmentator"
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "example_ct.nii.gz")))
    classes = read_mask(folder / "example_seg_fast_force_split.nii.gz")
    grid = classes.grid
    hu = array.astype(np.int16)
    bone = np.isin(classes.array, [25, *range(26, 51), 75, 76, 77, 78, *range(92, 117)])
    middle = grid.to_lps_mm((np.array(grid.size_zyx) - 1) / 2)
    turn = movement((3, -2, 5))[:3, :3]
    truth = np.eye(4)
    truth[:3, :3] = turn
    truth[:3, 3] = middle + np.array([8.0, -12.0, 15.0]) - turn @ middle
    size, spacing = (70, 105, 125), (3.0, 2.8, 2.8)
    half = np.array([(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)])[::-1]
    target = Grid(size, spacing, tuple(middle + np.array([8.0, -12.0, 15.0]) - half))

    def moved(flip):
        points = target.to_lps_mm(np.indices(size).reshape(3, -1).T)
        still = (points - truth[:3, 3]) @ turn
        if flip:
            still[:, 0] = 2 * middle[0] - still[:, 0]
        index = grid.to_index_zyx(still).T
        values = map_coordinates(hu, index, order=1, cval=-1024, output=np.float32)
        inside = map_coordinates(bone.astype(np.float32), index, order=1, cval=0) > 0.5
        volume = CTVolume(values.reshape(size).astype(np.int16), target)
        return volume, Mask(inside.reshape(size), target)

    fixed = CTVolume(hu, grid), Mask(bone, grid)
    found = register(*fixed, *moved(flip=False))
    error = error_mm(found, truth, grid.to_lps_mm(np.argwhere(bone)[::200]))
    assert found.accepted
    assert np.median(error) <= 0.3
    assert error.max() <= 0.7
    mirrored = register(*fixed, *moved(flip=True))
    assert not mirrored.accepted
    assert mirrored.reason in {"bones_unlike", "surfaces_too_far_apart"}
