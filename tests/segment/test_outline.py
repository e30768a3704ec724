"""The outline of blurred analytic bodies: at half of the local maximum, filled, gaps bridged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import erf

from hoimg.segment.outline import convex, outline, plateau_percentile

FINE = (1.0, 0.8, 0.8)


def coordinates(half_mm, spacing):
    count = [int(2 * half_mm / s) | 1 for s in spacing]
    axes = [(np.arange(n) - n // 2) * s for n, s in zip(count, spacing, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def blurred(depth, inside, background=50.0, sigma=0.7, noise=8.0):
    """HU of a body whose edge is blurred along its normal."""
    share = 0.5 * (1 + erf(depth / (sigma * np.sqrt(2))))
    hu = background + (inside - background) * share
    return (hu + np.random.default_rng(0).normal(0, noise, depth.shape)).astype(np.float32)


def cut_at_150(hu):
    """What detection hands over: the piece above 150 HU at the centre, closed and filled."""
    rough = ndimage.binary_closing(ndimage.gaussian_filter(hu, 0.7) > 150, iterations=2)
    rough = ndimage.binary_fill_holes(rough)
    labels, _ = ndimage.label(rough)
    return labels == labels[tuple(n // 2 for n in hu.shape)]


@pytest.mark.parametrize(
    ("radius", "inside", "spacing"),
    [(8.0, hu, FINE) for hu in (250.0, 400.0, 700.0, 1200.0)]
    + [(8.0, hu, (2.0, 0.7, 0.7)) for hu in (250.0, 1200.0)]
    + [(12.0, 700.0, (2.0, 1.0, 1.0)), (6.0, 700.0, FINE)],
)
def test_a_solid_sphere_has_its_volume_at_any_density(radius, inside, spacing):
    z, y, x = coordinates(radius + 12, spacing)
    hu = blurred(radius - np.sqrt(x**2 + y**2 + z**2), inside)
    rough = cut_at_150(hu)
    mask = outline(hu, rough, np.zeros(hu.shape, bool), spacing, 4.0)
    assert mask.sum() * np.prod(spacing) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.06)


def test_a_shell_is_filled():
    z, y, x = coordinates(22, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    hu = blurred(np.minimum(10 - r, r - 7.5), 900.0)
    mask = outline(hu, cut_at_150(hu), np.zeros(hu.shape, bool), FINE, 4.0)
    assert mask[r < 9].all()
    assert mask.sum() * np.prod(FINE) == pytest.approx(4 / 3 * np.pi * 1000, rel=0.06)


def test_a_narrow_gap_in_the_rim_is_closed():
    z, y, x = coordinates(22, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    gap = (np.abs(y) < 1.5) & (x > 0)  # a slot 3 mm wide through half of the shell
    depth = np.where(gap, -2.0, np.minimum(10 - r, r - 7.5))
    hu = blurred(depth, 900.0)
    rough = r <= 10
    mask = outline(hu, rough, np.zeros(hu.shape, bool), FINE, 4.0)
    assert mask[r < 7].all()
    assert mask.sum() * np.prod(FINE) == pytest.approx(4 / 3 * np.pi * 1000, rel=0.08)


def test_native_bone_beside_is_left_out():
    z, y, x = coordinates(20, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    forbidden = x > 5
    hu = blurred(np.maximum(8 - r, x - 5), 800.0)
    mask = outline(hu, (r <= 8) & ~forbidden, forbidden, FINE, 4.0)
    assert not (mask & forbidden).any()
    cap = np.pi * 3**2 * (3 * 8 - 3) / 3  # the cap of height 3 mm beyond the plane
    assert mask.sum() * np.prod(FINE) == pytest.approx(4 / 3 * np.pi * 512 - cap, rel=0.08)


def test_floccules_are_enclosed_by_the_hull_of_their_texture():
    z, y, x = coordinates(22, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    rng = np.random.default_rng(3)
    centres = rng.uniform(-9, 9, (400, 3))
    centres = centres[np.linalg.norm(centres, axis=1) < 8.5]
    clump = np.max([1.4 - np.hypot(np.hypot(z - a, y - b), x - c) for a, b, c in centres], axis=0)
    hu = blurred(clump, 300.0)
    mask = outline(hu, r <= 10, np.zeros(hu.shape, bool), FINE, 4.0)
    assert mask[r < 7].mean() > 0.95
    assert not mask[r > 12.6].any()  # never farther out than its reach


def test_tissue_without_a_denser_middle_gives_nothing_far_away():
    z, y, x = coordinates(14, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    rough = r <= 1.0  # a few voxels only: no convex hull to take
    hu = blurred(2.0 - r, 800.0)
    mask = outline(hu, rough, np.zeros(hu.shape, bool), FINE, 4.0)
    assert mask.any()
    assert not mask[r > 3.6].any()


def test_fat_beside_a_faint_lesion_does_not_move_its_edge():
    z, y, x = coordinates(26, FINE)
    radius = np.sqrt(x**2 + y**2 + z**2)
    muscle = 0.5 * (1 + erf((10.5 - radius) / 0.7))
    around = -100.0 + 155.0 * muscle
    hu = blurred(8.0 - radius, 170.0, around).astype(np.float32)
    mask = outline(hu, cut_at_150(hu), np.zeros(hu.shape, bool), FINE, 4.0)
    assert mask.sum() * np.prod(FINE) == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.1)


def test_a_core_behind_a_rim_with_wide_gaps_is_inside():
    z, y, x = coordinates(28, FINE)
    radius = np.sqrt(x**2 + y**2 + z**2)
    shell = np.minimum(14.0 - radius, radius - 11.0)
    for across, along in ((y, x), (z, y), (x, z)):  # three slots of 6 mm, a quarter round each
        shell = np.where((np.abs(across) < 3) & (along > 8), -3.0, shell)
    hu = blurred(shell, 700.0)
    rough = ndimage.gaussian_filter(hu, 0.7) > 150
    mask = outline(hu, rough, np.zeros(hu.shape, bool), FINE, 4.0)
    assert mask[radius < 10].mean() > 0.95
    assert mask.sum() * np.prod(FINE) == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.12)


def test_a_flat_piece_has_no_hull_and_is_kept():
    hu = np.full((9, 30, 30), 50.0, np.float32)
    hu[4, 8:20, 8:20] = 900.0
    rough = hu > 500
    mask = outline(hu, rough, np.zeros(hu.shape, bool), (3.0, 1.0, 1.0), 4.0)
    assert mask[rough].all()
    assert mask.sum() < 2 * rough.sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(6, 30))
def test_the_convex_hull_is_that_of_a_second_library(seed, side):
    from skimage.morphology import convex_hull_image

    field = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=(side, side + 3, 24)), 2
    )
    labels, _ = ndimage.label(field > np.percentile(field, 95))
    mask = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    flat = min(np.ptp(np.argwhere(mask), axis=0)) == 0
    if flat or mask.sum() < 8:
        assert (convex(mask) == mask).all()
    else:
        assert (convex(mask) == (convex_hull_image(mask) | mask)).all()


@pytest.mark.parametrize(("radius", "sigma"), [(4.0, 1.2), (8.0, 1.2), (20.0, 1.5)])
def test_the_plateau_percentile_reads_a_blurred_ball_at_nearly_its_own_height(radius, sigma):
    z, y, x = coordinates(radius + 8, (0.5, 0.5, 0.5))
    ball = (np.sqrt(x**2 + y**2 + z**2) < radius).astype(float)
    smooth = ndimage.gaussian_filter(ball, sigma / 0.5)
    volume = 4 / 3 * np.pi * radius**3
    height = np.percentile(smooth[ball > 0], plateau_percentile(volume, sigma))
    assert 0.8 < height <= 1.0


def test_a_body_smaller_than_the_window_is_read_at_its_peak():
    assert plateau_percentile(2.0, 1.2) == 100.0
    assert plateau_percentile(0.0, 1.2) == 100.0


# Below 5 mm the blur of the window remains: known to come out too large, though far from the 2.6
# times of what is handed over.
@pytest.mark.parametrize(("radius", "within"), [(4.0, 0.5), (6.0, 0.22), (10.0, 0.22)])
def test_floccules_drawn_too_large_are_outlined_at_their_own_size(radius, within):
    z, y, x = coordinates(radius + 12, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    rng = np.random.default_rng(5)
    clumps = ndimage.gaussian_filter(rng.normal(size=r.shape), [1.3 / s for s in FINE])
    clumps /= clumps.std()
    share = 0.5 * (1 + erf((radius - r) / (0.7 * np.sqrt(2))))
    hu = 50 + share * (85 + 40 * np.clip(clumps, -1.5, 2)) + rng.normal(0, 15, r.shape)
    rough = r < radius + 1.5  # what a search with a wide window hands over
    mask = outline(hu.astype(np.float32), rough, np.zeros(r.shape, bool), FINE, 4.0)
    assert mask.sum() * np.prod(FINE) == pytest.approx(4 / 3 * np.pi * radius**3, rel=within)


def half_rimmed(radius, spacing, fwhm, cover, seed=0):
    """A ball of floccules with 2 mm of rim over a part of its surface, blurred as a scanner does.

    Built on a grid of 0.5 mm, averaged over each voxel (spacings are multiples of 0.5 mm).
    """
    step = 0.5
    count = [2 * round((radius + 12) / s) * round(s / step) for s in spacing]
    axes = [(np.arange(n) - (n - 1) / 2) * step for n in count]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    r = np.sqrt(z * z + y * y + x * x)
    rng = np.random.default_rng(seed)
    clumps = ndimage.gaussian_filter(rng.normal(size=r.shape).astype(np.float32), 0.8 / step)
    hu = np.where((r < radius) & (clumps > 0), 300.0, 50.0)  # a mean of 125 HU above muscle
    hu[(r < radius) & (r > radius - 2) & cover(z, y, x, r)] = 700.0
    hu = ndimage.gaussian_filter(hu, [f / 2.3548 / step for f in fwhm])
    for axis, s in enumerate(spacing):
        parts = round(s / step)
        shape = [*hu.shape[:axis], hu.shape[axis] // parts, parts, *hu.shape[axis + 1 :]]
        hu = hu.reshape(shape).mean(axis=axis + 1)
    return (hu + rng.normal(0, 12, hu.shape)).astype(np.float32)


COVERS = {
    "one side": lambda z, y, x, r: y + 0 * r > 0,
    "poles": lambda z, y, x, r: np.abs(z) > 0.5 * r,
}


@pytest.mark.parametrize("cover", list(COVERS))
@pytest.mark.parametrize(
    ("spacing", "fwhm"),
    [
        ((1.0, 1.0, 1.0), (1.0, 0.8, 0.8)),
        ((1.5, 1.0, 1.0), (1.6, 1.4, 1.4)),
        ((3.0, 0.5, 0.5), (2.5, 0.9, 0.9)),
    ],
)
@pytest.mark.parametrize("radius", [6.0, 9.0])
def test_a_rim_over_half_of_a_ball_of_floccules(cover, spacing, fwhm, radius):
    hu = half_rimmed(radius, spacing, fwhm, COVERS[cover])
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(hu.shape, spacing, strict=True)]
    r = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    mask = outline(hu, r < radius + 0.5, np.zeros(hu.shape, bool), spacing, 4.0)
    assert mask.sum() * np.prod(spacing) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.1)


@pytest.mark.parametrize("radius", [9.0, 13.0])
def test_nothing_lies_beyond_a_faint_rim_that_closes(radius):
    """Half of the plateau inside, which is low, would lie outside of a rim of 300 HU."""
    z, y, x = coordinates(radius + 12, FINE)
    r = np.sqrt(x**2 + y**2 + z**2)
    lobed = radius * (1 + 0.15 * np.sin(3 * np.arctan2(y, x)) * np.sin(np.arctan2(r, z)))
    depth = lobed - r
    hu = blurred(depth, 300.0) - blurred(depth - 2.5, 335.0, noise=0.0) + 50.0
    mask = outline(hu, cut_at_150(hu), np.zeros(hu.shape, bool), FINE, 4.0)
    truth = (depth > 0).sum()
    assert mask.sum() == pytest.approx(truth, rel=0.07)


def test_thin_dense_rims_are_outlined_at_their_surface():
    """More smoothing lowers their peak, and half of that lies outside: 5 % of such volumes."""
    found = []
    for radius, rim_mm, rim_hu, step in [
        (4.0, 1.5, 1000.0, 0.5),
        (5.0, 1.5, 1000.0, 0.6),
        (5.0, 1.2, 1100.0, 0.5),
    ]:
        n, fine = int(2 * (radius + 9) / step) | 1, step / 3
        axis = (np.arange(3 * n) - (3 * n - 1) / 2) * fine
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
        depth = radius - np.sqrt(x**2 + y**2 + z**2)
        hu = np.where(depth > rim_mm, 40.0, np.where(depth > 0, rim_hu, 50.0))
        hu = ndimage.gaussian_filter(hu, 0.8 / 2.3548 / fine)
        hu = hu.reshape(n, 3, n, 3, n, 3).mean(axis=(1, 3, 5))
        hu = (hu + np.random.default_rng(0).normal(0, 8, hu.shape)).astype(np.float32)
        mask = outline(hu, cut_at_150(hu), np.zeros(hu.shape, bool), (step, step, step), 4.0)
        found.append(mask.sum() * step**3 / (4 / 3 * np.pi * radius**3))
    assert np.mean(found) == pytest.approx(1.0, abs=0.03)


def test_a_patchy_plate_of_middling_density_ends_at_half_of_it_beside_denser_tissue():
    """Its densest patches are hardly rim, and what is fainter beside them no floccules of it."""
    spacing = (1.5, 1.0, 1.0)
    z, y, x = coordinates(24, spacing)
    depth = np.minimum(2.6 - np.abs(x), 11 - np.hypot(z, y))
    rng = np.random.default_rng(3)
    patches = ndimage.gaussian_filter(rng.normal(size=depth.shape), 1.2 / np.array(spacing))
    tissue = np.where(x > 0, 100.0, 40.0)  # an organ on one side, muscle on the other
    hu = blurred(depth, 420.0 + 90.0 * patches / patches.std(), tissue)
    rough = ndimage.binary_dilation(cut_at_150(hu))
    mask = outline(hu, rough, np.zeros(hu.shape, bool), spacing, 4.0)
    truth = np.pi * 11**2 * 5.2
    assert mask.sum() * np.prod(spacing) == pytest.approx(truth, rel=0.15)


def test_a_lesion_half_in_an_organ_ends_at_half_of_what_lies_on_either_side():
    """Half of its height over muscle, most of what is around, is hardly above the organ."""
    z, y, x = coordinates(24, FINE)
    depth = 10 - np.sqrt(x**2 + y**2 + z**2)
    hu = blurred(depth, 260.0, np.where((x > 0) & (x < 18), 110.0, 20.0))
    mask = outline(hu, cut_at_150(hu), np.zeros(hu.shape, bool), FINE, 4.0)
    for half in (mask & (x > 0), mask & (x < 0)):
        assert half.sum() * np.prod(FINE) == pytest.approx(2 / 3 * np.pi * 1000, rel=0.06)
