"""Lesions that show by themselves how they moved: their own mineral, laid on the other exam.

Between two bones that moved against each other nobody knows from the bones with which of them a
lesion went, or how far. Where the lesion is in both exams its image tells: the exam is looked at
along the whole way from the one bone's motion to the other's, and where one place alone looks like
the lesion and what lies round it, it moved there. Bone is left out, so that the bones do not speak
again. Where no place is alike, or more than one is, the placement by bones and tissue stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask, to_sitk
from hoimg.serial.body import Body, owner
from hoimg.serial.matching import clouds, lattice
from hoimg.serial.placement import Registration, between
from hoimg.serial.surface import Points, move, resample
from hoimg.settings import SerialSettings

VOXEL_MM = 2.0
"""Voxels of the images that are laid on each other."""
LOW_HU, HIGH_HU = -150.0, 600.0
"""From fat to mineral; beyond it a lesion that only became denser stays alike."""
ROUND_MM = 5.0
"""What lies round the lesion counts up to this distance."""
NOISE_HU = 15.0
"""Variation that says nothing: correlation of what varies less tends to zero."""
STEP_MM = 1.5
"""Places that are tried lie so near to each other."""
REACH_MM, LEAST_WAY_MM = 80.0, 1.0
"""A bone farther away than this is not asked, nor one that moves the lesion by less than this."""
SEEN = 0.6
"""Share of what counts that must count at the place too."""
APART_MM = 5.0
"""Another place that is as alike counts as a rival from this far on."""
SHARED = 0.2
"""Two lesions that have more in common at the one exam, and less than half of it at the other,
cannot both have been placed rightly."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What is looked at of one exam.

    Attributes:
        volume: HU.
        bone: Its native skeleton, on the same grid.
        lesions: Label map on the same grid.
    """

    volume: CTVolume
    bone: Mask
    lesions: Mask


@dataclass(frozen=True, eq=False)
class _Looked:
    """An exam on a coarse grid: HU less ``LOW_HU``, clamped, and where they count (1, else 0)."""

    grid: Grid
    hu: NDArray[np.float32]
    counts: NDArray[np.float32]

    def at(self, points_lps_mm: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """HU and counts at points, trilinear; 0 outside of the view."""
        from scipy.ndimage import map_coordinates

        index = self.grid.to_index_zyx(points_lps_mm).T
        hu, counts = (
            map_coordinates(a, index, order=1, cval=0.0, output=np.float64)
            for a in (self.hu, self.counts)
        )
        return hu, counts


def place_bodies(
    fixed: Scan, moving: Scan, found: Registration, settings: SerialSettings
) -> tuple[Body, ...]:
    """The lesions of either exam whose own image tells where they lie in the other.

    Args:
        fixed: The fixed exam.
        moving: The moving exam.
        found: Their registration by bones and tissue.
        settings: ``min_lesion_correlation``, ``min_lesion_lead``, ``min_lesion_gain``.

    Returns:
        Bodies from the fixed exam's side; none where fewer than two parts were placed. No two of
        them are laid on each other.
    """
    if sum(part.accepted for part in found.parts) < 2:
        return ()
    here, there = _looked(fixed), _looked(moving)
    bodies = _of_lesions(fixed, here, there, found, settings)
    back = _of_lesions(moving, there, here, found.inverse(), settings)
    known = [body.inverse() for body in bodies]
    fresh = [b for b in back if owner(known, b.points_lps_mm) is None]
    every = [*bodies, *(body.inverse() for body in fresh)]
    return _without_clashes(every, settings.min_lesion_lead)


def _looked(scan: Scan) -> _Looked:
    import SimpleITK as sitk

    view = scan.volume.grid
    z, y, x = (
        max(int(np.floor((n - 1) * s / VOXEL_MM)) + 1, 1)
        for n, s in zip(view.size_zyx, view.spacing_zyx_mm, strict=True)
    )
    grid = Grid((z, y, x), (VOXEL_MM,) * 3, view.origin_lps_mm, view.direction)
    image = to_sitk(scan.volume.hu, view)
    clamped = sitk.Clamp(image, sitk.sitkFloat32, LOW_HU, HIGH_HU)
    hu = sitk.GetArrayFromImage(resample(clamped, grid, LOW_HU)) - np.float32(LOW_HU)
    bone = (scan.bone.array > 0) & (scan.lesions.array == 0)
    mask = sitk.Cast(to_sitk(bone, view), sitk.sitkFloat32)
    counts = sitk.GetArrayFromImage(resample(mask, grid, 0.0)) < 0.2
    return _Looked(grid, hu, counts.astype(np.float32))


def _of_lesions(
    scan: Scan, here: _Looked, there: _Looked, found: Registration, settings: SerialSettings
) -> list[Body]:
    bodies = []
    for cloud in clouds(scan.lesions).values():
        around, _ = lattice(scan.lesions, cloud, VOXEL_MM, ROUND_MM)
        body = _placed(cloud.points_lps_mm, around, here, there, found, settings)
        if body is not None:
            bodies.append(body)
    return bodies


def _placed(
    points: Points,
    around: Points,
    here: _Looked,
    there: _Looked,
    found: Registration,
    settings: SerialSettings,
) -> Body | None:
    """One lesion by its own image, from its points and those round it; None: that does not tell."""
    ways = _ways(points, found)
    if not ways:
        return None
    hu, counts = here.at(around)
    kept = counts > 0.5
    if not kept.any():
        return None
    around, hu = around[kept], hu[kept]
    tried = np.concatenate(ways)
    alike = np.array([_likeness(hu, *there.at(move(motion, around))) for motion in tried])
    start = found.body_motion(points)
    best = int(alike.argmax())
    places = np.stack([move(motion, points) for motion in tried])
    off = np.linalg.norm(places - places[best], axis=2).mean(axis=1)
    peaks = np.concatenate([_peaks(part) for part in np.split(alike, _ends(ways))])
    rivals = alike[peaks & (off > APART_MM)]
    if alike[best] < settings.min_lesion_correlation:
        return None
    if len(rivals) and rivals.max() > alike[best] - settings.min_lesion_lead:
        return None
    motion = tried[best]
    if _likeness(hu, *there.at(move(start, around))) > alike[best] - settings.min_lesion_gain:
        motion = start
    return Body(points, motion, float(alike[best]))


def _ways(points: Points, found: Registration) -> list[NDArray[np.float64]]:
    """Motions ``(k, 4, 4)`` from that of the nearest bone to that of each other near one."""
    parts = [part for part in found.parts if part.accepted]
    away = np.array([part.distance_mm(points).min() for part in parts])
    near = int(away.argmin())
    ways = []
    for k, part in enumerate(parts):
        if k == near or away[k] > REACH_MM:
            continue
        ends = [move(parts[near].matrix_lps, points), move(part.matrix_lps, points)]
        long = float(np.linalg.norm(ends[0] - ends[1], axis=1).max())
        if long > LEAST_WAY_MM:
            share = np.linspace(0, 1, int(np.ceil(long / STEP_MM)) + 1)
            both = [parts[near].matrix_lps, part.matrix_lps]
            ways.append(between(both, np.stack([1 - share, share])))
    return ways


def _ends(ways: Sequence[NDArray[np.float64]]) -> NDArray[np.intp]:
    """Where each way but the first begins among the places of all."""
    ends: NDArray[np.intp] = np.cumsum([len(way) for way in ways])[:-1]
    return ends


def _peaks(alike: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Places of a way at which neither neighbour is more alike."""
    wide = np.pad(alike, 1, constant_values=-np.inf)
    peaks: NDArray[np.bool_] = (alike >= wide[:-2]) & (alike >= wide[2:])
    return peaks


def _likeness(
    hu: NDArray[np.float64], other: NDArray[np.float64], counts: NDArray[np.float64]
) -> float:
    """Correlation of HU, each variance raised by the noise's; -1 where too little counts."""
    if counts.mean() < SEEN:
        return -1.0
    weight = counts / counts.sum()
    ours, theirs = hu - weight @ hu, other - weight @ other
    floor = NOISE_HU**2
    spread, wide = weight @ ours**2 + floor, weight @ theirs**2 + floor
    return float(weight @ (ours * theirs) / np.sqrt(spread * wide))


def _without_clashes(bodies: Sequence[Body], least_lead: float) -> tuple[Body, ...]:
    """Bodies without those laid on another one that they do not lie on in the other exam.

    Neither of two such lesions is believed, unless one of them is clearly more alike.
    """
    lost = set()
    moved = [body.inverse().points_lps_mm for body in bodies]
    for a, b in combinations(range(len(bodies)), 2):
        before = _common(bodies[a].points_lps_mm, bodies[b].points_lps_mm)
        after = _common(moved[a], moved[b])
        if max(before, after) < SHARED or min(before, after) >= max(before, after) / 2:
            continue
        lead = bodies[a].alike - bodies[b].alike
        lost |= {a} if lead <= -least_lead else {b} if lead >= least_lead else {a, b}
    return tuple(body for k, body in enumerate(bodies) if k not in lost)


def _common(one: Points, other: Points) -> float:
    """Larger share of either's points within a voxel's diagonal of the other's."""
    from scipy.spatial import cKDTree

    reach = VOXEL_MM
    low = np.maximum(one.min(axis=0), other.min(axis=0)) - reach
    high = np.minimum(one.max(axis=0), other.max(axis=0)) + reach
    if (low > high).any():
        return 0.0
    shares = []
    for points, target in ((one, other), (other, one)):
        distance, _ = cKDTree(target).query(points, distance_upper_bound=reach)
        shares.append(float(np.isfinite(distance).mean()))
    return max(shares)
