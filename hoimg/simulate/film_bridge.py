"""Hips with bone that grows towards the other bone: spurs with a known gap, islands, a prosthesis.

Spurs run outside of the joint, where an AP film shows the gap: one from the front edge of the
ilium outwards and down, one from the tip of the trochanter up. Grades follow from the gap that the
finished surfaces have, never from the gap that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from hoimg.geometry import Grid, Triple, bounding_box
from hoimg.image import CTVolume
from hoimg.simulate.film_anatomy import Body, Floats, open_box
from hoimg.simulate.film_bones import ball, bar
from hoimg.simulate.film_geometry import FilmGeometry
from hoimg.simulate.film_lesion import Shadow, cast_shadow, longest_mm
from hoimg.simulate.film_project import peak_coarse
from hoimg.simulate.noise import SmoothField
from hoimg.simulate.plant import FINE_MM, LesionModel, PlantSpec
from hoimg.simulate.shapes import Sphere, smooth_min
from hoimg.simulate.texture import SOFT_HU, Texture

BORDER_MM = (8.0, 12.0)
"""Gaps within a fifth of 10 mm are borderline between Brooker II and III."""
TOUCH_MM = 0.5
"""A gap up to this, about what a film can show, is none."""
FAR_MM = 60.0
ISLAND_MM = 10.0


@dataclass(frozen=True)
class HipTruth:
    """Gap and grades of one hip.

    Attributes:
        side: ``r`` or ``l``.
        gap_3d_mm: Smallest distance between ossification on one bone and the other bone or what
            grows on that; None without ossification on a bone.
        gap_mm: The same between shadows on the film, divided by the magnification in the middle of
            the gap; None without, and where the shadows of the bones alone overlap there.
        brooker: 0 to IV by ``gap_mm``; None where it is not known.
        brooker_3d: 0 to IV by ``gap_3d_mm``.
        della_valle: A, B or C by ``gap_mm``.
        borderline: Whether ``gap_mm`` lies within a fifth of 10 mm.
        largest_island_mm: Longest dimension of the largest island; None without islands.
    """

    side: str
    gap_3d_mm: float | None
    gap_mm: float | None
    brooker: str | None
    brooker_3d: str | None
    della_valle: str | None
    borderline: bool
    largest_island_mm: float | None


def plant_spurs(
    body: Body,
    side: str,
    gap_mm: float,
    *,
    labels: tuple[int, int] = (1, 2),
    stage: float = 0.9,
    seed: int = 0,
    depth_mm: float = 0.0,
    radius_mm: float = 5.0,
) -> list[LesionModel]:
    """Grow spurs from ilium and trochanter towards each other.

    Args:
        body: A digital pelvis.
        side: ``r`` or ``l``.
        gap_mm: Wanted gap between their tips, mm; 0 joins them. Above 18 mm the spur from the ilium
            is alone, and shorter.
        labels: Of the spur from the pelvis and of the one from the femur.
        stage: 0 to 1.
        seed: Of form and texture.
        depth_mm: By which the femur's spur lies further to the front: the film then shows a smaller
            gap than there is.
        radius_mm: Half their thickness.
    """
    rim, tip = np.array(body.points[f"rim_{side}"]), np.array(body.points[f"trochanter_{side}"])
    out = np.sign(tip[0])
    # From the front edge of the ilium, above the socket, in a bow outside of the joint.
    root = rim + np.array([-8 * out, -18, 22])
    knee = np.array([tip[0] + 1 * out, rim[1] - 6, rim[2] + 14])
    middle = np.array([tip[0] + 2 * out, 0.5 * (rim[1] - 6 + tip[1]), 0.5 * (rim[2] + tip[2]) + 8])
    alone = gap_mm > 18
    if alone:
        far = root + (knee - root) * float(np.clip(1.4 - gap_mm / 45, 0.35, 1.0))
        return [_spur([root, far], radius_mm, labels[0], stage, seed, body)]
    way = tip - middle
    way /= np.linalg.norm(way)
    half = 0.5 * gap_mm + radius_mm * 0.9
    upper = middle - way * half
    lower = middle + way * half + np.array([0.0, -depth_mm, 0.0])
    if gap_mm <= 0:
        path = [root, knee, middle, tip - (0, 0, 8)]
        return [_spur(path, radius_mm, labels[0], stage, seed, body)]
    return [
        _spur([root, knee, upper], radius_mm, labels[0], stage, seed, body),
        _spur([tip - (0, 0, 8), lower], radius_mm, labels[1], stage, seed + 1, body),
    ]


def _spur(
    path: list[NDArray[np.float64]],
    radius: float,
    label: int,
    stage: float,
    seed: int,
    body: Body,
) -> LesionModel:
    """A rough bar along a path, a little thinner at its end, outside native bone."""
    joints = np.asarray(path)
    fine = FINE_MM
    low = joints.min(0) - radius - 3
    size = np.ceil((joints.max(0) + radius + 3 - low) / fine).astype(int)[::-1]
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), (fine,) * 3, _triple(low))
    axes = [(low[k] + fine * np.arange(size[2 - k])).astype(np.float32) for k in range(3)]
    x, y, z = axes[0][None, None, :], axes[1][None, :, None], axes[2][:, None, None]
    radii = np.linspace(radius * 1.15, radius * 0.9, len(joints))
    field = np.full(grid.size_zyx, np.float32(1e3))
    for k in range(len(joints) - 1):
        one = bar(_triple(joints[k]), _triple(joints[k + 1]), radii[k], radii[k + 1])
        field = smooth_min(field, np.asarray(one(x, y, z), np.float32), 5.0)
    near = np.abs(field) < 2.0
    index = np.argwhere(near)
    points = np.stack([axes[0][index[:, 2]], axes[1][index[:, 1]], axes[2][index[:, 0]]], axis=1)
    field[near] += 0.35 * np.clip(SmoothField([seed, 85], 3.5)(points), -2, 2)
    depth = -field
    share = np.clip(0.5 + depth / np.float32(fine), 0, 1)
    share *= 1.0 - sample(sum_of(list(body.bones.values())), body.volume.grid, grid)
    # What its root leaves on the bone's far side is none of it.
    pieces, count = ndimage.label(share > 0)
    if count > 1:
        sizes = np.bincount(pieces.ravel())[1:]
        share[pieces != 1 + int(sizes.argmax())] = 0.0
    filled = share.ravel() > 0
    hu = np.zeros(share.size, np.float32)
    index = np.argwhere(share > 0)
    points = np.stack([axes[0][index[:, 2]], axes[1][index[:, 1]], axes[2][index[:, 0]]], axis=1)
    center = joints.mean(0)
    hu[filled] = Texture(stage, seed).hu(points - center, depth.ravel()[filled])
    hu = hu.reshape(share.shape)
    volume = float(share.sum(dtype=np.float64)) * fine**3
    excess = float(((hu - SOFT_HU) * share).sum(dtype=np.float64)) * fine**3
    box = bounding_box(share > 0, (2, 2, 2))
    if box is None:
        raise ValueError("the spur lies wholly inside bone")
    spec = PlantSpec(label, _triple(center), Sphere(radius), volume, stage, seed, "attached")
    return LesionModel(spec, grid.crop(box), share[box], hu[box], volume, excess)


def put_prosthesis(body: Body, side: str, fine_mm: float = 0.6) -> tuple[Body, Floats, Grid]:
    """Replace a hip by metal: head on a tapered stem, and a cup.

    Returns:
        The body without that femoral head, the metal's part of each fine voxel, and its grid.
    """
    head = np.array(body.points[f"head_{side}"])
    shaft = np.array(body.points[f"shaft_{side}"])
    out = float(np.sign(head[0]))
    elbow = head + np.array([30 * out, 2, -24])
    end = shaft + (shaft - elbow) / np.linalg.norm(shaft - elbow) * 85
    low = np.minimum(np.minimum(head, end), elbow) - 36
    high = np.maximum(np.maximum(head, end), elbow) + 36
    size = np.ceil((high - low) / fine_mm).astype(int)[::-1]
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), (fine_mm,) * 3, _triple(low))
    x, y, z = (
        (low[k] + fine_mm * np.arange(size[2 - k])).astype(np.float32).reshape(shape)
        for k, shape in ((0, (1, 1, -1)), (1, (1, -1, 1)), (2, (-1, 1, 1)))
    )
    center = _triple(head)
    field = ball(center, (16.0,) * 3)(x, y, z)
    for start, stop, first, last in ((head, elbow, 6.0, 7.5), (elbow, end, 9.0, 4.5)):
        field = np.minimum(field, bar(_triple(start), _triple(stop), first, last)(x, y, z))
    cup = np.maximum(ball(center, (27.5,) * 3)(x, y, z), -ball(center, (23.5,) * 3)(x, y, z))
    opening = (x - head[0]) * 0.66 * out + (y - head[1]) * -0.25 + (z - head[2]) * -0.71
    field = np.minimum(field, np.maximum(cup, opening))
    metal = np.clip(0.5 - field / np.float32(fine_mm), 0, 1).astype(np.float32)
    # The head, and what was reamed for the cup, are gone.
    hu = body.volume.hu.copy()
    bones = dict(body.bones)
    near, (x, y, z) = open_box(body.volume.grid, _triple(head - 30), _triple(head + 30))
    gone = ball(center, (27.0,) * 3)(x, y, z) < 0
    hu[near][gone] = 45
    for name in (f"femur_{side}", f"pelvis_{side}"):
        share = bones[name].copy()
        share[near][gone] = 0.0
        bones[name] = share
    return replace(body, volume=CTVolume(hu, body.volume.grid), bones=bones), metal, grid


def hip_truth(
    body: Body,
    side: str,
    pelvic: list[LesionModel],
    femoral: list[LesionModel],
    islands: list[LesionModel],
    geometry: FilmGeometry,
) -> HipTruth:
    """Gap and grades of a hip from its finished surfaces, in space and on a film.

    Args:
        body: The body.
        side: ``r`` or ``l``.
        pelvic: Ossification that is one with the pelvis.
        femoral: With the femur. A model in both lists joins them.
        islands: With neither.
        geometry: Of the film.
    """
    gap = _gap_3d(body, side, pelvic, femoral)
    shown = _gap_on_film(body, side, pelvic, femoral, geometry)
    largest = None
    if islands:
        shadows = [s for s in (cast_shadow(m, geometry) for m in islands) if s is not None]
        largest = max((_longest(s, geometry) for s in shadows), default=None)
    grown = bool(pelvic or femoral)
    return HipTruth(
        side,
        gap,
        shown,
        brooker(grown, bool(islands), shown),
        brooker(grown, bool(islands), gap),
        della_valle(grown, largest, shown),
        shown is not None and BORDER_MM[0] <= shown <= BORDER_MM[1],
        largest,
    )


def brooker(grown: bool, islands: bool, gap_mm: float | None) -> str | None:
    """Brooker's class: islands I; spurs with a gap of 1 cm or more II, less III, none IV."""
    if not grown:
        return "I" if islands else "0"
    if gap_mm is None:
        return None
    return "IV" if gap_mm <= TOUCH_MM else "III" if gap_mm < 10.0 else "II"


def della_valle(grown: bool, island_mm: float | None, gap_mm: float | None) -> str | None:
    """Della Valle's grade: A none or islands below 1 cm; B larger ones or a gap of 1 cm; C less."""
    if grown:
        return None if gap_mm is None else "C" if gap_mm < 10.0 else "B"
    return "B" if island_mm is not None and island_mm >= ISLAND_MM else "A"


def _gap_3d(
    body: Body, side: str, pelvic: list[LesionModel], femoral: list[LesionModel]
) -> float | None:
    if not pelvic and not femoral:
        return None
    if any(m in femoral for m in pelvic):
        return 0.0
    bones = {
        name: _surface(body.bones[f"{name}_{side}"], body.volume.grid)
        for name in ("pelvis", "femur")
    }
    first = [_surface(m.occupancy, m.grid) for m in pelvic]
    second = [_surface(m.occupancy, m.grid) for m in femoral]
    pairs = [(a, b) for a in first for b in [bones["femur"], *second]]
    pairs += [(b, bones["pelvis"]) for b in second]
    return min(float(cKDTree(b).query(a, distance_upper_bound=1e3)[0].min()) for a, b in pairs)


def _surface(share: Floats, grid: Grid) -> NDArray[np.float64]:
    """Points of the surface at one half, LPS mm."""
    from skimage.measure import marching_cubes

    box = bounding_box(share > 0, (1, 1, 1))
    if box is None:
        return np.full((1, 3), 1e6)
    points = marching_cubes(np.pad(share[box], 1), 0.5)[0] - 1
    return grid.crop(box).to_lps_mm(points)


def _gap_on_film(
    body: Body,
    side: str,
    pelvic: list[LesionModel],
    femoral: list[LesionModel],
    geometry: FilmGeometry,
) -> float | None:
    if not pelvic and not femoral:
        return None
    grown = {"pelvis": pelvic, "femur": femoral}
    shadows = {
        name: [s for s in (cast_shadow(m, geometry) for m in models) if s is not None]
        for name, models in grown.items()
    }
    if any(m in femoral for m in pelvic):
        return 0.0
    native = {name: _bone_shadow(body, f"{name}_{side}", geometry) for name in grown}
    lone = {name: _mask(shadows[name], geometry.shape_yx) for name in grown}
    gaps: list[float] = []
    for name, other in (("pelvis", "femur"), ("femur", "pelvis")):
        if not lone[name].any():
            continue
        target = native[other] | lone[other]
        # Where a spur lies over the other bone, the film shows no gap and cannot.
        if (lone[name] & native[other]).any():
            return None
        if not target.any():
            continue
        distance = ndimage.distance_transform_edt(~target)
        edge = np.argwhere(lone[name])
        best = edge[int(distance[tuple(edge.T)].argmin())]
        # One pixel lies between the centres of two that touch.
        wide = max(float(distance[tuple(best)]) - 1.0, 0.0) * geometry.spacing_mm
        centers = np.array([s.model.spec.center_lps_mm for s in shadows[name]])
        depth = float(geometry.depth_mm(centers).mean())
        gaps.append(wide * depth / geometry.sid_mm)
    return min(gaps) if gaps else None


def _bone_shadow(body: Body, name: str, geometry: FilmGeometry) -> NDArray[np.bool_]:
    """Where rays run through a native bone."""
    share = body.bones[name]
    box = bounding_box(share > 0, (1, 1, 1))
    if box is None:
        return np.zeros(geometry.shape_yx, bool)
    fine = np.pad(share[box], 1), _padded(body.volume.grid.crop(box))
    return np.asarray(peak_coarse(*fine, geometry, pixel_mm=0.4) >= 0.5)


def _padded(grid: Grid) -> Grid:
    """A grid with one voxel more on every side."""
    a, b, c = grid.size_zyx
    return replace(
        grid, size_zyx=(a + 2, b + 2, c + 2), origin_lps_mm=_triple(grid.to_lps_mm((-1, -1, -1)))
    )


def _mask(shadows: list[Shadow], shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    out = np.zeros(shape_yx, bool)
    for shadow in shadows:
        out[shadow.box] |= shadow.envelope
    return out


def _longest(shadow: Shadow, geometry: FilmGeometry) -> float:
    center = np.asarray([shadow.model.spec.center_lps_mm])
    return longest_mm(shadow.mineral, geometry.spacing_mm) / float(
        geometry.magnification(center)[0]
    )


def sum_of(shares: list[Floats]) -> Floats:
    """The largest of several parts of voxels."""
    total = shares[0]
    for share in shares[1:]:
        total = np.maximum(total, share)
    return total


def sample(share: Floats, source: Grid, target: Grid) -> Floats:
    """Linear interpolation of one LPS-aligned grid at another's voxels; 0 outside."""
    start = source.to_index_zyx(target.to_lps_mm((0, 0, 0)))
    step = np.divide(target.spacing_zyx_mm, source.spacing_zyx_mm)
    out: Floats = ndimage.affine_transform(
        share, step, start, target.size_zyx, np.float32, order=1, mode="constant"
    )
    return out


def _triple(values: NDArray[np.float64]) -> Triple:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
