"""The scan's own blur, on bodies and bones whose Gaussian blur is planted by calculation."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from hoimg.measure.blur import sigma_of_flank
from hoimg.measure.psf import point_spread

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
SIZE_MM = (84.0, 84.0, 100.0)
CORTEX, MARROW, MUSCLE, FAT, SKIN, AIR = 1200.0, -30.0, 55.0, -100.0, 20.0, -1000.0
BALL = ((0.0, 0.0, -24.0), (17.0, 15.0, 16.0))
SHAFT = ((5.0, 0.0, 0.0), (1e4, 10.0, 9.0))
EGG = ((-5.0, 5.0, 21.0), (14.0, 17.0, 15.0))
LIMB = ((0.0, 0.0, 0.0), (34.0, 38.0, 46.0))


class Scene:
    """A limb with bones: an edge at depth d reads Phi(d / sigma), sigma along the surface's normal.

    Exact for a flat surface; the smallest radius here is many sigma.
    """

    def __init__(
        self,
        spacing,
        fwhm,
        *,
        wall=4.0,
        noise=0.0,
        bones=(BALL, SHAFT, EGG),
        limb=LIMB,
        fat_mm=3.0,
        seed=3,
    ):
        self.spacing, rng = spacing, np.random.default_rng(seed)
        shape = [round(s / d) for s, d in zip(SIZE_MM, spacing, strict=True)]
        # The grid lies anywhere between the voxels of the surfaces.
        phase = rng.random(3)
        axes = [
            ((np.arange(n) + p - n / 2) * d).astype(np.float32)
            for n, p, d in zip(shape, phase, spacing, strict=True)
        ]
        self.points = np.meshgrid(*axes, indexing="ij", sparse=True)
        self.variance = ((np.asarray(fwhm) / FWHM_PER_SIGMA) ** 2).tolist()
        depth, sigma = self.ellipsoid(*limb)
        hu = AIR + (SKIN - AIR) * ndtr(depth / sigma)
        hu += (FAT - SKIN) * ndtr((depth - 2.0) / sigma)
        hu += (MUSCLE - FAT) * ndtr((depth - 2.0 - fat_mm) / sigma)
        self.body, self.bone = depth > 0, np.zeros(shape, bool)
        for bone in bones:
            depth, sigma = self.ellipsoid(*bone)
            hu += (CORTEX - MUSCLE) * ndtr(depth / sigma)
            hu -= (CORTEX - MARROW) * ndtr((depth - wall) / sigma)
            self.bone |= depth > 0
        if noise:
            grain = ndimage.gaussian_filter(
                rng.standard_normal(shape), [1.8 / FWHM_PER_SIGMA / d for d in spacing]
            )
            hu += noise * grain / grain.std()
        self.hu = np.rint(hu).astype(np.int16)

    def ellipsoid(self, centre, radii):
        """Depth inside (first order, mm) and the blur's sigma along the normal."""
        u = [(p - c) / r for p, c, r in zip(self.points, centre, radii, strict=True)]
        g = [a / r for a, r in zip(u, radii, strict=True)]
        far = np.sqrt(sum(a * a for a in u))
        steep = np.sqrt(sum(a * a for a in g)) + 1e-9
        variance = sum(a * a * v for a, v in zip(g, self.variance, strict=True)) / steep**2
        return far * (1 - far) / steep, np.sqrt(variance) + np.float32(1e-6)

    def read(self, **changed):
        given = {"skeleton": self.bone, "body": self.body, **changed}
        return point_spread(given.pop("hu", self.hu), self.spacing, **given)


def nothing(scene):
    return np.zeros(scene.hu.shape, bool)


SCANS = [
    ((1.0, 0.75, 0.75), (1.0, 1.0, 1.0)),
    ((1.0, 0.75, 0.75), (1.2, 1.6, 1.6)),
    ((0.7, 0.5, 0.5), (0.8, 0.7, 0.7)),
    ((1.5, 0.9, 0.9), (1.6, 1.2, 1.2)),
    ((2.0, 0.7, 0.7), (3.0, 1.0, 1.0)),
    ((3.0, 0.75, 0.75), (2.5, 1.0, 1.0)),
    ((5.0, 0.75, 0.75), (4.0, 1.0, 1.0)),
]


@pytest.mark.parametrize(("spacing", "fwhm"), SCANS)
@pytest.mark.parametrize("noise", [0.0, 40.0])
def test_both_directions_from_both_surfaces(spacing, fwhm, noise):
    found = Scene(spacing, fwhm, noise=noise).read()
    assert found.fwhm_zyx_mm[1] == found.fwhm_zyx_mm[2]
    assert found.fwhm_zyx_mm[1] == pytest.approx(fwhm[1], rel=0.12)
    assert found.fwhm_zyx_mm[0] == pytest.approx(fwhm[0], rel=0.15)
    assert set(found.source_zyx) <= {"cortex", "skin"}
    assert found.measured


@pytest.mark.parametrize(("spacing", "fwhm"), SCANS[:3])
@pytest.mark.parametrize(("wall", "low"), [(1.0, 0.75), (2.0, 0.85), (6.0, 0.9)])
def test_bone_alone(spacing, fwhm, wall, low):
    # A wall of 1 mm is a line to some of these blurs, to others nearly a step.
    scene = Scene(spacing, fwhm, wall=wall, noise=20.0, limb=((0, 0, 0), (500, 660, 860)))
    found = scene.read()
    assert found.source_zyx == ("cortex", "cortex", "cortex")
    for axis in (0, 1):
        assert low <= found.fwhm_zyx_mm[axis] / fwhm[axis] <= 1.2


@pytest.mark.parametrize(("spacing", "fwhm"), SCANS)
def test_skin_alone(spacing, fwhm):
    scene = Scene(spacing, fwhm, noise=20.0, bones=())
    found = scene.read()
    assert found.source_zyx == ("skin", "skin", "skin")
    assert found.fwhm_zyx_mm[1] == pytest.approx(fwhm[1], rel=0.12)
    assert found.fwhm_zyx_mm[0] == pytest.approx(fwhm[0], rel=0.15)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_mirrored_scan_is_as_sharp(axes):
    scene = Scene((1.5, 0.9, 0.9), (1.6, 1.2, 1.2), noise=10.0)
    plain = scene.read().fwhm_zyx_mm
    turned = point_spread(
        np.flip(scene.hu, axes),
        scene.spacing,
        skeleton=np.flip(scene.bone, axes),
        body=np.flip(scene.body, axes),
    ).fwhm_zyx_mm
    np.testing.assert_allclose(turned, plain, rtol=0.04)


def test_the_sharper_surface_counts():
    # Cloth or hair on the skin: its edge is blurred by 3 mm.
    scene = Scene((1.0, 0.75, 0.75), (1.0, 1.0, 1.0), noise=10.0, wall=6.0)
    wide = Scene((1.0, 0.75, 0.75), (3.0, 3.0, 3.0), noise=10.0, wall=6.0)
    outside = scene.ellipsoid(*LIMB)[0] < 12.0
    found = scene.read(hu=np.where(outside, wide.hu, scene.hu))
    assert found.source_zyx == ("cortex", "cortex", "cortex")
    assert found.fwhm_zyx_mm[1] == pytest.approx(1.0, rel=0.12)


@pytest.mark.parametrize(
    ("stated", "expected", "source"),
    [
        (None, 2.0, "read"),
        (2.7, 2.0, "read"),
        (1.25, 1.25, None),
        # A slice of 5 mm is the mean over 5 mm: FWHM 2.355 x 5 / sqrt(12).
        (5.0, 3.4, "read"),
    ],
)
def test_the_stated_slice_thickness_bounds_what_is_read(stated, expected, source):
    # Edges only widen; the blur here is 2 mm.
    found = Scene((1.0, 0.75, 0.75), (2.0, 1.0, 1.0), noise=10.0).read(slice_mm=stated)
    assert found.fwhm_zyx_mm[0] == pytest.approx(expected, rel=0.15)
    assert (found.source_zyx[0] == "slice_thickness") == (source is None)
    assert found.source_zyx[1] != "slice_thickness"


def test_no_finer_than_the_voxels():
    found = Scene((3.0, 0.9, 0.9), (0.6, 0.3, 0.3), noise=5.0).read()
    # A Gaussian with the spread of a box of one voxel: FWHM 2.355 / sqrt(12).
    assert found.fwhm_zyx_mm[0] >= 0.99 * 3.0 * FWHM_PER_SIGMA / np.sqrt(12)
    assert found.fwhm_zyx_mm[1] >= 0.99 * 0.9 * FWHM_PER_SIGMA / np.sqrt(12)


@pytest.mark.parametrize("cut", [False, True])
def test_a_shaft_says_nothing_along_z(cut):
    # Nor does the place where its mask ends within the bone, or the scan's own end.
    scene = Scene(
        (1.5, 0.9, 0.9), (1.5, 1.2, 1.2), bones=(SHAFT,), limb=((0, 0, 0), (1e4, 36.0, 45.0))
    )
    skeleton = scene.bone.copy()
    if cut:
        skeleton[30:] = False
    found = scene.read(skeleton=skeleton, slice_mm=2.5)
    assert found.source_zyx[0] == "slice_thickness"
    assert found.fwhm_zyx_mm[0] == 2.5
    assert found.fwhm_zyx_mm[1] == pytest.approx(1.2, rel=0.12)


def test_nothing_to_read():
    scene = Scene((2.0, 0.9, 0.9), (2.0, 1.2, 1.2), bones=())
    none = nothing(scene)
    found = scene.read(skeleton=none, body=none, slice_mm=3.0)
    assert found.source_zyx == ("slice_thickness", "usual", "usual")
    assert found.fwhm_zyx_mm == (3.0, pytest.approx(1.26), pytest.approx(1.26))
    assert not found.measured
    # One slice, and a body that fills the scan.
    assert not point_spread(
        scene.hu[30:31], scene.spacing, skeleton=none[30:31], body=none[30:31]
    ).measured
    assert not scene.read(skeleton=none, body=~none).measured


def sharp(scene):
    """The same scene with hardly any blur: what must not be read."""
    return Scene(scene.spacing, (0.6, 0.6, 0.6), bones=(BALL, SHAFT, EGG)).hu


def test_edges_near_metal_are_not_read():
    scene = Scene((1.0, 0.75, 0.75), (2.0, 2.0, 2.0), noise=10.0, limb=((0, 0, 0), (500, 660, 860)))
    plain = scene.read().fwhm_zyx_mm
    metal = scene.ellipsoid((5.0, 0.0, 0.0), (1e4, 4.0, 4.0))[0] > 0
    # Within 15 mm of a nail all edges are far too sharp.
    near = scene.ellipsoid((5.0, 0.0, 0.0), (1e4, 17.0, 17.0))[0] > 0
    hu = np.where(near, sharp(scene), scene.hu)
    hu[metal] = 3000
    found = scene.read(hu=hu, metal=metal).fwhm_zyx_mm
    np.testing.assert_allclose(found, plain, rtol=0.06)
    assert scene.read(hu=hu).fwhm_zyx_mm[1] < 0.8 * plain[1]


def test_metal_everywhere_leaves_nothing():
    scene = Scene((1.0, 0.75, 0.75), (2.0, 2.0, 2.0), limb=((0, 0, 0), (500, 660, 860)))
    metal = nothing(scene)
    metal[::8, ::8, ::8] = True
    assert scene.read(metal=metal).source_zyx == ("slice_thickness", "usual", "usual")


def test_edges_of_lesions_are_not_read():
    scene = Scene((1.0, 0.75, 0.75), (2.0, 2.0, 2.0), noise=10.0, limb=((0, 0, 0), (500, 660, 860)))
    plain = scene.read().fwhm_zyx_mm
    # All of one bone and its surroundings is called a lesion, and is far too sharp.
    lesion = scene.ellipsoid((0.0, 0.0, -24.0), (25.0, 23.0, 24.0))[0] > 0
    hu = np.where(lesion, sharp(scene), scene.hu)
    found = scene.read(hu=hu, lesions=lesion.astype(np.uint16)).fwhm_zyx_mm
    np.testing.assert_allclose(found, plain, rtol=0.08)


def test_the_end_of_the_field_of_view_is_no_skin():
    scene = Scene((1.5, 0.9, 0.9), (1.5, 1.2, 1.2), noise=10.0, bones=())
    none = nothing(scene)
    half = np.ones(scene.hu.shape, bool)
    half[:, :, scene.hu.shape[2] // 2 :] = False
    cut = np.where(half, scene.hu, -1000).astype(np.int16)
    found = scene.read(hu=cut, skeleton=none, body=scene.body & half, valid=half)
    assert found.fwhm_zyx_mm[1] == pytest.approx(1.2, rel=0.12)
    # With nothing measured beyond the body there is no skin in view at all.
    assert not scene.read(skeleton=none, valid=scene.body).measured


def test_padding_beyond_a_body_is_no_air():
    scene = Scene((1.5, 0.9, 0.9), (1.5, 1.2, 1.2), noise=10.0, bones=())
    hu, body = scene.hu.copy(), scene.body.copy()
    for part in (np.s_[:, :25], np.s_[:, 68:]):
        hu[part], body[part] = -2048, False
    found = scene.read(hu=hu, body=body)
    assert found.fwhm_zyx_mm[1] == pytest.approx(1.2, rel=0.12)


@pytest.mark.parametrize("core", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("thick", [0.4, 0.8, 1.5, 2.5, 3.5, 5.0, 8.0])
def test_sigma_of_a_shell_of_any_thickness(thick, core):
    # A shell of known thickness, blurred by convolution and read with a ruler.
    sigma, step = 0.6, 0.005
    x = np.arange(-12.0, 6.0, step)
    shell = np.where(x > 0, 0.0, np.where(x > -thick * sigma, 1150.0, core * 1150.0))
    seen = ndimage.gaussian_filter1d(shell, sigma / step, truncate=6)
    top = int(seen.argmax())
    outer, inner = seen[top:], seen[: top + 1]

    def falls(level):
        return x[top + np.flatnonzero(outer < level)[0]]

    low = float(inner[int(-4.0 / step) :].min())
    inner_half = x[np.flatnonzero(inner < 0.5 * (seen[top] + low))[-1]]
    found = sigma_of_flank(
        np.array([falls(0.1 * seen[top]) - falls(0.9 * seen[top])]),
        np.array([seen[top]]),
        np.array([low]),
        np.array([falls(0.5 * seen[top]) - inner_half]),
        1150.0,
    )
    assert found[0] == pytest.approx(sigma, rel=0.06)


def test_sigma_of_a_step_is_that_of_the_normal_distribution():
    width = 2 * 1.2815515655446004 * 0.7
    found = sigma_of_flank(
        np.array([width]), np.array([1000.0]), np.array([990.0]), np.array([np.inf]), 0.0
    )
    assert found[0] == pytest.approx(0.7, rel=1e-3)
