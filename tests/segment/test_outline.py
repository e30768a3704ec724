"""The outline of blurred analytic bodies: at half of the local maximum, filled, gaps bridged."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import erf

from hoimg.segment.outline import outline

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
