"""Where lesions can lie: soft-tissue places that are free, near bone or attached to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import Grid, margin_voxels
from hoimg.image import CTVolume, Mask, from_sitk, to_sitk
from hoimg.simulate.forms import KINDS, draw_form
from hoimg.simulate.plant import LesionModel, PlantSpec, build_lesion, gap_to_bone_mm

WORK_MM = 2.0
"""Spacing of the grid on which places are looked for, mm."""

GAPS_MM = {"free": (8.0, 60.0), "near": (2.0, 6.0), "attached": (0.0, 0.8)}
"""Gap between envelope and native bone that each word stands for, mm."""


@dataclass(frozen=True, eq=False)
class Site:
    """A scan prepared for planting: maps on a coarse LPS grid, and native bone on the scan's own.

    Attributes:
        grid: The coarse grid (``WORK_MM``).
        bone_mm: Signed distance to native bone, mm, negative inside.
        soft: Where a lesion may lie: muscle and the fat between, inside the body.
        muscle: Where its centre may lie.
        metal_mm: Distance to metal, mm (1000 without metal).
        native_bone: Native skeleton on the scan's grid, filled.
    """

    grid: Grid
    bone_mm: NDArray[np.float32]
    soft: NDArray[np.bool_]
    muscle: NDArray[np.bool_]
    metal_mm: NDArray[np.float32]
    native_bone: Mask


def native_bone_mask(volume: CTVolume, threshold_hu: float = 160.0) -> Mask:
    """Native skeleton by threshold, closed 3 mm and filled: good enough to plant beside.

    Args:
        volume: A scan *without* planted lesions.
        threshold_hu: Half-way between muscle and a thin, blurred cortex, HU.

    Returns:
        bool mask; pieces below 1 mL are dropped (stones, vessel wall).
    """
    import SimpleITK as sitk

    spacing = volume.grid.spacing_zyx_mm
    image = to_sitk((volume.hu > threshold_hu).astype(np.uint8), volume.grid)
    radius = [max(1, round(3.0 / s)) for s in spacing[::-1]]
    closed = sitk.BinaryMorphologicalClosing(image, radius)
    # Marrow is closed in some planes only: fill in each plane, then in space.
    array = sitk.GetArrayFromImage(closed).astype(bool)
    for index in range(array.shape[0]):
        array[index] = ndimage.binary_fill_holes(array[index])
    parts = sitk.ConnectedComponent(to_sitk(array, volume.grid))
    smallest = int(1000.0 / volume.grid.voxel_volume_mm3)
    kept = sitk.RelabelComponent(parts, minimumObjectSize=max(smallest, 1))
    return Mask(sitk.GetArrayFromImage(kept) > 0, volume.grid)


def prepare(volume: CTVolume, native_bone: Mask | None = None, region: Mask | None = None) -> Site:
    """Find soft tissue, bone and metal of a scan on a coarse grid.

    Args:
        volume: A scan without planted lesions.
        native_bone: Native skeleton; None: :func:`native_bone_mask`.
        region: Only here may a lesion's centre lie (e.g. muscle masks); None: any muscle that
            keeps 12 mm from gas inside the body (which keeps bowel out).
    """
    bone = native_bone or native_bone_mask(volume)
    grid = _coarse_grid(volume.grid)
    smooth = _to_grid(volume.hu.astype(np.float32), volume.grid, grid, blur_mm=1.5)
    solid = _to_grid(bone.array.astype(np.float32), bone.grid, grid, blur_mm=0.6) > 0.4
    metal = _to_grid((volume.hu > 2000).astype(np.float32), volume.grid, grid, 1.0) > 0.05
    body = _body(smooth)
    inner = _distance(~body) > 6.0
    gas_near = _distance((smooth < -300) & body) < 12.0
    muscle = (smooth > 20) & (smooth < 95) & inner & ~solid & ~gas_near
    muscle = ndimage.binary_opening(muscle, _ball(4.0))
    if region is not None:
        muscle &= _to_grid((region.array > 0).astype(np.float32), region.grid, grid, 0.0) > 0.5
    soft = (smooth > -140) & (smooth < 150) & inner & (_distance((smooth < -300) & body) > 4.0)
    soft &= ~solid
    bone_mm = _distance(solid) - _distance(~solid)
    metal_mm = _distance(metal) if metal.any() else np.full(grid.size_zyx, 1000.0, np.float32)
    return Site(grid, bone_mm.astype(np.float32), soft, muscle, metal_mm, bone)


def find_place(
    site: Site,
    where: str,
    volume_mm3: float,
    stage: float,
    *,
    label: int,
    seed: int,
    others: list[LesionModel] | None = None,
    kind: str = "lobulated",
    manner: str = "zonal",
    metal_gap_mm: float = 25.0,
    near_lps_mm: tuple[float, float, float] | None = None,
    near_mm: float = 25.0,
    tries: int = 60,
) -> LesionModel:
    """Draw a lesion and a place for it, and build it.

    A centre is drawn in muscle; then the form slides along the bone distance until its gap to
    bone fits the word, and is kept when it lies in soft tissue and clear of metal, of the scan's
    ends and of the other lesions.

    Args:
        site: From :func:`prepare`.
        where: ``free``, ``near`` or ``attached``.
        volume_mm3: Wanted volume outside bone.
        stage: 0 to 1.
        label: Value in the label map.
        seed: Seed of form, texture and place.
        others: Lesions to keep 8 mm away from.
        kind: Its form, one of :data:`hoimg.simulate.forms.KINDS`.
        manner: Its texture, one of :data:`hoimg.simulate.texture.MANNERS`.
        metal_gap_mm: Least distance to metal, mm.
        near_lps_mm: Only centres within ``near_mm`` of this point are drawn.
        near_mm: See ``near_lps_mm``, mm.
        tries: Centres to try.

    Raises:
        ValueError: when no place fits or a word is unknown.
    """
    if where not in GAPS_MM or kind not in KINDS:
        raise ValueError(f"unknown place or kind: {where}, {kind}")
    rng = np.random.default_rng([seed, 51])
    radius = (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3)
    low, high = GAPS_MM[where]
    wanted = {"free": 10.0, "near": float(rng.uniform(2.8, 5.2)), "attached": -2.5}[where]
    # A margin of 4 mm keeps the lesion's blur and the 4.5 mm that methods drop at a scan's end.
    inside = _ends_mm(site.grid) > radius + 6.0
    reach = site.bone_mm
    band = (reach > wanted + 0.5 * radius) & (reach < max(wanted, 3.0) + 2.2 * radius)
    if where == "free":
        band = reach > wanted + 0.8 * radius
    ok = site.muscle & inside & (site.metal_mm > metal_gap_mm + radius) & band
    if near_lps_mm is not None:
        index = np.argwhere(ok)
        gap = np.linalg.norm(site.grid.to_lps_mm(index) - np.asarray(near_lps_mm), axis=1)
        candidates = index[gap < near_mm]
    else:
        candidates = np.argwhere(ok)
    if len(candidates) == 0:
        raise ValueError(f"no room for a {where} lesion of {volume_mm3:.0f} mm3")
    for attempt in range(tries):
        index = candidates[rng.integers(len(candidates))]
        pull = _outward(reach, index)
        pull = pull / max(float(np.linalg.norm(pull)), 1e-6)
        form = int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])
        shape = draw_form(kind, pull[::-1], form)
        centre = np.asarray(site.grid.to_lps_mm(index))
        spec = PlantSpec(
            label,
            _point(centre),
            shape,
            volume_mm3,
            stage,
            seed=seed,
            where=where,
            shell_mm=float(rng.uniform(1.2, 1.9)),
            shell_hu=float(rng.uniform(1000, 1350)),
            manner=manner,
        )
        found = _slide(site, spec, pull[::-1], wanted, where)
        if found is None:
            continue
        if others and any(_too_close(found, o, 8.0) for o in others):
            continue
        gap = gap_to_bone_mm(found, site.native_bone)
        if where != "attached" and not low - 0.5 <= gap <= high + 0.5:
            continue
        return found
    raise ValueError(f"no place found for a {where} lesion of {volume_mm3:.0f} mm3")


def _slide(
    site: Site,
    spec: PlantSpec,
    outward_lps: NDArray[Any],
    wanted_mm: float,
    where: str,
) -> LesionModel | None:
    """Move the form along the bone distance until its smallest gap is ``wanted_mm``."""
    model = build_lesion(spec, fine_mm=1.0)
    points = _voxels_lps(model)
    shift = np.zeros(3)
    if where != "free":
        for _ in range(5):
            gap = _lookup(site, site.bone_mm, points + shift, -50.0).min()
            if abs(gap - wanted_mm) < 0.4:
                break
            shift += outward_lps * (wanted_mm - gap)
    moved = points + shift
    gap = _lookup(site, site.bone_mm, moved, -50.0)
    low, high = GAPS_MM[where]
    if where == "attached":
        if not -4.0 < gap.min() < -1.2 or (gap < 0).mean() > 0.3:
            return None
    elif not low + 0.3 <= gap.min() <= high - 0.3:
        return None
    outside = gap > 2.5
    soft = _lookup(site, site.soft.astype(np.float32), moved[outside], 0.0)
    if outside.sum() < 10 or (soft > 0.5).mean() < 0.97:
        return None
    if _lookup(site, site.metal_mm, moved, 0.0).min() < 15.0:
        return None
    if _lookup(site, _ends_mm(site.grid), moved, 0.0).min() < 6.0:
        return None
    centre = np.asarray(spec.center_lps_mm) + shift
    return build_lesion(replace(spec, center_lps_mm=_point(centre)), site.native_bone)


def _outward(bone_mm: NDArray[np.float32], index: NDArray[Any]) -> NDArray[np.float64]:
    """Gradient (zyx) of the bone distance over 4 mm on either side: away from bone."""
    pull = np.zeros(3)
    for axis in range(3):
        ahead, behind = index.copy(), index.copy()
        ahead[axis] = min(index[axis] + 2, bone_mm.shape[axis] - 1)
        behind[axis] = max(index[axis] - 2, 0)
        pull[axis] = bone_mm[tuple(ahead)] - bone_mm[tuple(behind)]
    return pull


def _too_close(a: LesionModel, b: LesionModel, gap_mm: float) -> bool:
    """Whether two lesions come within ``gap_mm`` (boxes first, then voxels)."""
    from scipy.spatial import cKDTree

    first, second = _voxels_lps(a), _voxels_lps(b)
    if (first.min(0) - gap_mm > second.max(0)).any() or (
        second.min(0) - gap_mm > first.max(0)
    ).any():
        return False
    return bool(cKDTree(first[::5]).query(second[::5])[0].min() < gap_mm + 1.0)


def _voxels_lps(model: LesionModel) -> NDArray[np.float64]:
    """Voxels of a model about 1 mm apart, LPS mm."""
    step = max(1, round(1.0 / model.grid.spacing_zyx_mm[0]))
    index = np.argwhere(model.occupancy[::step, ::step, ::step] > 0.5) * step
    return model.grid.to_lps_mm(index)


def _lookup(
    site: Site, array: NDArray[Any], points: NDArray[Any], outside: float
) -> NDArray[np.float32]:
    index = site.grid.to_index_zyx(points).T
    out: NDArray[np.float32] = ndimage.map_coordinates(
        array, index, order=1, mode="constant", cval=outside, output=np.float32
    )
    return out


def _coarse_grid(grid: Grid) -> Grid:
    """An LPS-aligned grid of ``WORK_MM`` inside the scan's bounds."""
    corners = grid.to_lps_mm(grid.corners_zyx())
    low, high = corners.min(0), corners.max(0)
    size = np.maximum(((high - low) / WORK_MM).astype(int) + 1, 1)[::-1]
    return Grid((int(size[0]), int(size[1]), int(size[2])), (WORK_MM,) * 3, _point(low))


def _to_grid(
    array: NDArray[Any], source: Grid, target: Grid, blur_mm: float
) -> NDArray[np.float32]:
    """Resample linearly after smoothing (standard deviation ``blur_mm``)."""
    import SimpleITK as sitk

    image = to_sitk(array.astype(np.float32), source)
    if blur_mm > 0:
        image = sitk.SmoothingRecursiveGaussian(image, blur_mm)
    reference = to_sitk(np.zeros(target.size_zyx, np.uint8), target)
    moved = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, -1024.0)
    return np.asarray(from_sitk(moved)[0], np.float32)


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance to the nearest true voxel, mm, on the coarse grid."""
    if not mask.any():
        return np.full(mask.shape, 1000.0, np.float32)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=WORK_MM), np.float32)


def _body(smooth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest thing above -350 HU, filled plane by plane."""
    labels, count = ndimage.label(ndimage.binary_opening(smooth > -350, _ball(4.0)))
    if count == 0:
        return np.zeros(smooth.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    # Both legs, or trunk and arm: every large part is body.
    body = np.isin(labels, np.flatnonzero(sizes > 0.15 * sizes.max()))
    for index in range(body.shape[0]):
        body[index] = ndimage.binary_fill_holes(body[index])
    return body


def _ends_mm(grid: Grid) -> NDArray[np.float32]:
    """Distance to the scan's borders, mm."""
    axes = [np.minimum(np.arange(n), n - 1 - np.arange(n)) for n in grid.size_zyx]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.asarray(np.minimum(np.minimum(z, y), x) * WORK_MM, np.float32)


def _ball(radius_mm: float) -> NDArray[np.bool_]:
    n = margin_voxels(radius_mm, (WORK_MM,) * 3)[0]
    z, y, x = np.ogrid[-n : n + 1, -n : n + 1, -n : n + 1]
    return np.asarray((z * z + y * y + x * x) * WORK_MM**2 <= radius_mm**2 + 1e-6)


def _point(values: NDArray[Any]) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
