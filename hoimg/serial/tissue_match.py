"""Soft tissue of two exams laid on each other: how far it goes with each bone of a bent joint.

Between two bones tissue goes a part of the way along the screw that leads from one bone's motion to
the other's. Which part is asked of the images (a plane sweep; Collins 1996, with motions of a screw
for planes): the moving exam is put through the rigid motion of each part of the way in turn, and
at the nodes of a lattice the one is taken that makes the tissue round the node alike, pulled
towards its neighbours by turns of choosing and smoothing. Bone and mineral are left out on both
sides, so that neither a bone nor a lesion drives it. Where the match becomes no better, the blend
by distance stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, bounding_box
from hoimg.image import CTVolume, Mask, to_sitk
from hoimg.serial.placement import Registration, between, weights_by_distance
from hoimg.serial.surface import Matrix4, coarse_grid, move, resample
from hoimg.serial.tissue import Tissue
from hoimg.settings import SerialSettings

if TYPE_CHECKING:
    import SimpleITK as sitk
    from scipy.sparse import csr_matrix

VOXEL_MM, STRIDE = 2.5, 3
"""Voxels of the matched images, and how many of them lie between nodes."""
LOW_HU, HIGH_HU = -150.0, 200.0
"""Soft tissue's range: fat, muscle and vessels; it is flat beyond."""
MINERAL_HU, MINERAL_MM = 130.0, 3.0
"""What is denser is bone, mineral or metal: left out, with what lies this near to it."""
WINDOW_MM, WINDOW_ENDS, SEEN = 5.0, 2.5, 0.3
"""Standard deviation of the window that is compared, how many of them it reaches, and how much of
it must count."""
NOISE_HU = 10.0
"""Variation that says nothing: correlation of what varies less tends to zero."""
STEP_MM, MOST_STEPS = 3.0, 32
"""Parts of the way lie so near to each other at its widest."""
REACH_MM, LEAST_WAY_MM = 80.0, 1.0
"""Nodes count up to this distance from both bones, where their motions differ by more than this."""
SMOOTH_MM = 6.0
"""Standard deviation of the smoothing over neighbours."""
HOLD = 0.01
"""What the blend by distance weighs against a rise of the correlation, in smoothing."""
TOLERANCES_MM = (12.0, 8.0, 5.0, 3.5, 2.5)
"""How far from its neighbours' mean a node is free to choose, turn by turn."""
PULL, SHARPNESS = 0.15, 0.02
"""Correlation that a choice one tolerance away must gain, and what counts as a tie."""


@dataclass(frozen=True, eq=False)
class _Soft:
    """An exam's soft tissue on a coarse grid: HU, and where they count (1, else 0)."""

    grid: Grid
    hu: NDArray[np.float32]
    counts: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Sweep:
    """Nodes and what was tried at them.

    Attributes:
        grid: The nodes.
        ends_mm: ``(parts, n, 3)``: where each part alone would carry each node.
        blend: ``(parts, n)``: shares by distance.
        tried: ``(k, parts)``: the shares that were tried.
        alike: ``(k, n)``: correlation of the tissue round the node; -1 where it was not tried.
    """

    grid: Grid
    ends_mm: NDArray[np.float64]
    blend: NDArray[np.float64]
    tried: NDArray[np.float64]
    alike: NDArray[np.float64]


def match_tissue(
    fixed: CTVolume,
    fixed_bone: Mask,
    moving: CTVolume,
    moving_bone: Mask,
    found: Registration,
    settings: SerialSettings,
) -> Tissue | None:
    """Shares of the parts' motions that soft tissue follows, where the images tell.

    Args:
        fixed: The fixed exam.
        fixed_bone: Its native skeleton, filled, on its grid.
        moving: The moving exam.
        moving_bone: Its native skeleton.
        found: Their registration with all its parts.
        settings: ``min_tissue_correlation``, ``min_tissue_gain``.

    Returns:
        None where fewer than two parts were placed, nothing moves against anything, or the match
        becomes nowhere better.
    """
    parts = [part for part in found.parts if part.accepted]
    if len(parts) < 2:
        return None
    grid = coarse_grid(fixed.grid, VOXEL_MM)
    nodes = _nodes(grid)
    points = nodes.to_lps_mm(np.indices(nodes.size_zyx).reshape(3, -1).T)
    away = np.stack([part.distance_mm(points) for part in parts])
    matrices = [np.asarray(part.matrix_lps, float) for part in parts]
    ends = np.stack([move(matrix, points) for matrix in matrices]).astype(np.float64)
    ways = _ways(ends, away)
    if not ways:
        return None
    here = _soft(fixed, fixed_bone, grid)
    there = _soft(moving, moving_bone, coarse_grid(moving.grid, VOXEL_MM))
    images = to_sitk(there.hu, there.grid), to_sitk(there.counts, there.grid)
    tried, alike = [], []
    for near, shares in ways:
        box, part, windows = _round(near.reshape(nodes.size_zyx), here)
        for motion in between(matrices, np.array(shares).T):
            value = np.full(nodes.size_zyx, -1.0)
            value[box] = _likeness(part, *_through(images, part.grid, motion), windows)
            alike.append(np.where(near, value.ravel(), -1.0))
        tried += shares
    sweep = _Sweep(nodes, ends, weights_by_distance(away), np.array(tried), np.array(alike))
    return _trusted(sweep, _chosen(sweep), settings)


def _nodes(grid: Grid) -> Grid:
    """Every ``STRIDE``-th voxel of a coarse grid."""
    z, y, x = (max(-(-(n - STRIDE // 2) // STRIDE), 1) for n in grid.size_zyx)
    x0, y0, z0 = grid.to_lps_mm([STRIDE // 2] * 3)
    return Grid((z, y, x), (VOXEL_MM * STRIDE,) * 3, (x0, y0, z0), grid.direction)


def _ways(
    ends_mm: NDArray[np.float64], away_mm: NDArray[np.float64]
) -> list[tuple[NDArray[np.bool_], list[list[float]]]]:
    """Nodes between the nearest bone and any near one, and the shares to try at them, by pair."""
    ways = []
    nearest = away_mm.min(axis=0)
    for a, b in combinations(range(len(ends_mm)), 2):
        way = np.linalg.norm(ends_mm[a] - ends_mm[b], axis=1)
        near = np.minimum(away_mm[a], away_mm[b]) <= nearest
        near &= (np.maximum(away_mm[a], away_mm[b]) < REACH_MM) & (way > LEAST_WAY_MM)
        if not near.any():
            continue
        steps = int(np.clip(np.ceil(np.percentile(way[near], 95) / STEP_MM), 4, MOST_STEPS))
        tried = []
        for part in np.linspace(0, 1, steps + 1):
            shares = [0.0] * len(ends_mm)
            shares[a], shares[b] = float(1 - part), float(part)
            tried.append(shares)
        ways.append((near, tried))
    return ways


def _round(near: NDArray[np.bool_], soft: _Soft) -> tuple[Box, _Soft, list[csr_matrix]]:
    """The box of some nodes, and what their windows see: a joint is a small part of a trunk."""
    box = bounding_box(near)
    assert box is not None
    reach = int(WINDOW_ENDS * WINDOW_MM / VOXEL_MM)
    first, last = STRIDE // 2 - reach, STRIDE // 2 + reach + 1
    z, y, x = (
        slice(max(s.start * STRIDE + first, 0), min((s.stop - 1) * STRIDE + last, n))
        for s, n in zip(box, soft.grid.size_zyx, strict=True)
    )
    seen = (z, y, x)
    windows = [
        _window(n)[nodes][:, voxels]
        for n, nodes, voxels in zip(soft.grid.size_zyx, box, seen, strict=True)
    ]
    return box, _Soft(soft.grid.crop(seen), soft.hu[seen], soft.counts[seen]), windows


def _soft(volume: CTVolume, bone: Mask, grid: Grid) -> _Soft:
    import SimpleITK as sitk
    from scipy.ndimage import distance_transform_edt

    outside = LOW_HU - 1e4
    clamped = sitk.Clamp(to_sitk(volume.hu, volume.grid), sitk.sitkFloat32, LOW_HU, HIGH_HU)
    hu = sitk.GetArrayFromImage(resample(clamped, grid, outside))
    mask = sitk.Cast(to_sitk(bone.array > 0, bone.grid), sitk.sitkFloat32)
    dense = (sitk.GetArrayFromImage(resample(mask, grid, 0.0)) > 0.2) | (hu > MINERAL_HU)
    counts = hu >= LOW_HU
    if dense.any():
        counts &= distance_transform_edt(~dense, sampling=VOXEL_MM) > MINERAL_MM
    return _Soft(grid, np.maximum(hu, LOW_HU).astype(np.float32), counts.astype(np.float32))


def _through(
    images: tuple[sitk.Image, sitk.Image], grid: Grid, motion: Matrix4
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The moving exam's HU and counts on the fixed grid by a rigid motion."""
    import SimpleITK as sitk

    way = sitk.AffineTransform(3)
    way.SetMatrix(motion[:3, :3].ravel().tolist())
    way.SetTranslation(motion[:3, 3].tolist())
    out = []
    for image, outside in zip(images, (LOW_HU, 0.0), strict=True):
        moved = sitk.Resample(
            image,
            list(grid.size_zyx[::-1]),
            way,
            sitk.sitkLinear,
            list(grid.origin_lps_mm),
            list(grid.spacing_zyx_mm[::-1]),
            [v for row in grid.direction for v in row],
            outside,
        )
        out.append(sitk.GetArrayFromImage(moved))
    return out[0], out[1]


def _window(size: int) -> csr_matrix:
    """Gaussian weights ``(nodes, voxels)`` along one axis; a sparse product adds in fixed order."""
    from scipy.sparse import csr_matrix

    voxel = np.arange(size)
    node = np.arange(size)[STRIDE // 2 :: STRIDE] if size > STRIDE // 2 else np.zeros(1)
    away = (voxel[None] - node[:, None]) * VOXEL_MM / WINDOW_MM
    weight = np.where(np.abs(away) <= WINDOW_ENDS, np.exp(-0.5 * away**2), 0.0)
    made: csr_matrix = csr_matrix(weight * VOXEL_MM / (WINDOW_MM * np.sqrt(2 * np.pi)))
    return made


def _pooled(array: NDArray[np.floating], windows: list[csr_matrix]) -> NDArray[np.float64]:
    out = np.asarray(array, np.float64)
    for axis, window in enumerate(windows):
        front = np.moveaxis(out, axis, 0)
        made = window @ front.reshape(front.shape[0], -1)
        out = np.moveaxis(made.reshape(-1, *front.shape[1:]), 0, axis)
    return out


def _likeness(
    here: _Soft,
    hu: NDArray[np.float32],
    counts: NDArray[np.float32],
    windows: list[csr_matrix],
) -> NDArray[np.float64]:
    """Correlation at the nodes, each variance raised by the noise's; 0 where too little counts."""
    weight = here.counts * counts
    seen = _pooled(weight, windows)
    # About the middle of the range, so that the squares stay small.
    ours, theirs = here.hu - np.float32(LOW_HU), hu - np.float32(LOW_HU)
    first, second = weight * ours, weight * theirs
    whole = np.maximum(seen, 1e-6)
    mean, other = _pooled(first, windows) / whole, _pooled(second, windows) / whole
    spread = _pooled(first * ours, windows) / whole - mean**2
    wide = _pooled(second * theirs, windows) / whole - other**2
    common = _pooled(first * theirs, windows) / whole - mean * other
    floor = NOISE_HU**2
    alike = common / np.sqrt((np.maximum(spread, 0) + floor) * (np.maximum(wide, 0) + floor))
    return np.where(seen >= SEEN, alike, 0.0)


def _smooth(values: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    sigma = SMOOTH_MM / (VOXEL_MM * STRIDE)
    made: NDArray[np.float64] = gaussian_filter(
        values.reshape(grid.size_zyx), sigma, mode="constant", truncate=3.0
    )
    return made.ravel()


def _chosen(sweep: _Sweep) -> NDArray[np.float64]:
    """Shares ``(parts, n)``: what is alike, smooth where it tells, the blend where it does not.

    Choosing at each node and smoothing take turns, with less and less freedom (Heinrich et al.
    2014, coupled convex optimisation). A node speaks as loudly as its best correlation rises
    above the mean of all that were tried.
    """
    possible = sweep.alike > -1
    free = possible.any(axis=0)
    mean = np.where(possible, sweep.alike, 0).sum(axis=0) / np.maximum(possible.sum(axis=0), 1)
    loud = np.where(free, np.clip(sweep.alike.max(axis=0) - mean, 0, 1), 0.0)
    grid, tried = sweep.grid, sweep.tried
    places = np.einsum("kp,pni->kni", tried, sweep.ends_mm)
    held = HOLD * np.stack([_smooth(share, grid) for share in sweep.blend])
    total = _smooth(loud, grid) + HOLD * _smooth(np.ones(len(loud)), grid)
    shares = sweep.blend
    for tolerance in TOLERANCES_MM:
        mean_place = np.einsum("pn,pni->ni", shares, sweep.ends_mm)
        off = ((places - mean_place) ** 2).sum(axis=2) / tolerance**2
        value = np.where(possible, sweep.alike - PULL * off, -np.inf)
        value[:, ~free] = 0.0
        vote = np.exp((value - value.max(axis=0)) / SHARPNESS)
        choice = (tried.T @ vote) / vote.sum(axis=0)
        shares = np.stack([_smooth(loud * c, grid) for c in choice]) + held
        shares = np.where(free, shares / total, sweep.blend)
        shares = shares / shares.sum(axis=0)
    return shares


def _trusted(sweep: _Sweep, shares: NDArray[np.float64], settings: SerialSettings) -> Tissue | None:
    """The shares with trust only where they make the tissue clearly more alike than the blend."""
    before, after = _alike_at(sweep, sweep.blend), _alike_at(sweep, shares)
    free = (sweep.alike > -1).any(axis=0)
    count = np.maximum(_smooth(free.astype(float), sweep.grid), 1e-9)
    gain = _smooth(np.where(free, after - before, 0), sweep.grid) / count
    level = _smooth(np.where(free, after, 0), sweep.grid) / count
    better = free & (gain >= settings.min_tissue_gain)
    better &= level >= settings.min_tissue_correlation
    if not better.any():
        return None
    trust = np.clip(2 * _smooth(better.astype(float), sweep.grid) / count, 0, 1) * free
    size = sweep.grid.size_zyx
    return Tissue(sweep.grid, shares.reshape(-1, *size), trust.reshape(size))


def _alike_at(sweep: _Sweep, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of the nearest shares that were tried; 0 where none was."""
    place = np.einsum("pn,pni->ni", shares, sweep.ends_mm)
    off = np.stack(
        [((np.tensordot(t, sweep.ends_mm, 1) - place) ** 2).sum(axis=1) for t in sweep.tried]
    )
    off = np.where(sweep.alike > -1, off, np.inf)
    best = off.argmin(axis=0)
    found = sweep.alike[best, np.arange(len(best))]
    return np.where(found > -1, found, 0.0)
