"""Bones as surface points and distance fields: what registration aligns and is verified with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, bounding_box, margin_voxels
from hoimg.image import Mask, grid_of_sitk, to_sitk

if TYPE_CHECKING:
    import SimpleITK as sitk

MARGIN_MM = 20.0
"""Bones are cropped with this margin, and distances are trusted up to it."""
UNSURE_MM = 3.0
"""So near to mineral that is not called bone the skeleton may have lost some of its own."""
EDGE_MM = 4.0
"""A bone surface nearer to the end of the view than this may be a cut, not a surface."""

Points = NDArray[np.floating[Any]]
Matrix4 = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Bones:
    """One exam's bones on an isotropic working grid.

    Attributes:
        mask: Boolean array zyx on ``grid``, cropped round the bones.
        grid: The working grid.
        distance_mm: Signed distance to the bone surface, float32, negative inside.
        view: The exam's own grid: what was in view.
        points_lps_mm: ``(n, 3)`` surface points, none of them near the end of the view.
        unsure: Boolean array zyx on ``grid``: mineral that this exam does not count as bone, or
            may have cut off it, and its surroundings; None where there is none.
    """

    mask: NDArray[np.bool_]
    grid: Grid
    distance_mm: NDArray[np.float32]
    view: Grid
    points_lps_mm: Points
    unsure: NDArray[np.bool_] | None = None

    @property
    def volume_mm3(self) -> float:
        """Volume of the bones, mm3."""
        return float(np.count_nonzero(self.mask)) * self.grid.voxel_volume_mm3


def working_grid(mask: Mask, voxel_mm: float) -> Grid | None:
    """An isotropic grid round the mask, along the exam's axes, within its view; None if empty."""
    array = mask.array.astype(bool, copy=False)
    box = bounding_box(array, margin_voxels(MARGIN_MM, mask.grid.spacing_zyx_mm))
    if box is None:
        return None
    crop = mask.grid.crop(box)
    z, y, x = (
        max(int(np.floor((n - 1) * s / voxel_mm)) + 1, 1)
        for n, s in zip(crop.size_zyx, crop.spacing_zyx_mm, strict=True)
    )
    return Grid((z, y, x), (voxel_mm,) * 3, crop.origin_lps_mm, crop.direction)


def prepare(bone: Mask, voxel_mm: float, unsure: Sequence[Mask] = ()) -> Bones | None:
    """Bones on a working grid of ``voxel_mm``; None when there is no bone surface to use.

    Args:
        bone: The native skeleton, filled.
        voxel_mm: Of the working grid.
        unsure: Label maps of other mineral, which is no bone but may be: it tells nothing.
    """
    import SimpleITK as sitk

    grid = working_grid(bone, voxel_mm)
    if grid is None:
        return None
    box = bounding_box(bone.array.astype(bool, copy=False), (2, 2, 2))
    part = bone.crop(box) if box is not None else bone
    image = to_sitk(part.array.astype(bool), part.grid)
    soft = resample(sitk.Cast(image, sitk.sitkFloat32), grid, 0.0)
    mask = sitk.BinaryThreshold(soft, 0.5, 1e9, 1, 0)
    array = sitk.GetArrayFromImage(mask).astype(bool)
    if not array.any():
        return None
    field = sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True)
    distance = sitk.GetArrayFromImage(field)
    # ITK's zero level runs through the outermost bone voxels: those are the surface points.
    points = grid.to_lps_mm(np.argwhere(array & (distance > -0.5 * voxel_mm)))
    points = points[inside(bone.grid, points, EDGE_MM)]
    if not len(points):
        return None
    return Bones(array, grid, distance, bone.grid, points, _unsure(unsure, grid, array))


def _unsure(maps: Sequence[Mask], grid: Grid, bone: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Other mineral on a working grid with ``UNSURE_MM`` round it, without what is bone."""
    found = near_any(maps, grid, UNSURE_MM)
    return None if found is None else found & ~bone


def near_any(maps: Sequence[Mask], grid: Grid, reach_mm: float) -> NDArray[np.bool_] | None:
    """Voxels of a grid in or up to ``reach_mm`` from what label maps hold; None: they hold nothing.

    Args:
        maps: Label maps, on grids of their own.
        grid: Where it is asked.
        reach_mm: How far round them.
    """
    from scipy.ndimage import distance_transform_edt

    free = np.ones(grid.size_zyx, dtype=bool)
    for labels in maps:
        found = bounding_box(labels.array)
        if found is None:
            continue
        index = np.argwhere(labels.array[found]) + [part.start for part in found]
        there = np.rint(grid.to_index_zyx(labels.grid.to_lps_mm(index))).astype(int)
        there = there[((there >= 0) & (there < grid.size_zyx)).all(axis=1)]
        free[tuple(there.T)] = False
    if free.all():
        return None
    near: NDArray[np.bool_] = distance_transform_edt(free, sampling=grid.spacing_zyx_mm) <= reach_mm
    return near


def coarse_grid(view: Grid, voxel_mm: float) -> Grid:
    """A view in even voxels, from the same first voxel centre.

    Args:
        view: Of an exam.
        voxel_mm: Edge of the voxels.
    """
    z, y, x = (
        max(int(np.floor((n - 1) * s / voxel_mm)) + 1, 1)
        for n, s in zip(view.size_zyx, view.spacing_zyx_mm, strict=True)
    )
    return Grid((z, y, x), (voxel_mm,) * 3, view.origin_lps_mm, view.direction)


def resample(image: sitk.Image, grid: Grid, outside: float) -> sitk.Image:
    """Linear resampling onto a grid; fine images are averaged first so that nothing aliases."""
    import SimpleITK as sitk

    target = grid_of_sitk(image)
    coarse = min(grid.spacing_zyx_mm)
    factors = [
        max(1, min(int(coarse / s + 0.34), n))
        for s, n in zip(target.spacing_zyx_mm, target.size_zyx, strict=True)
    ]
    if max(factors) > 1:
        image = sitk.BinShrink(image, factors[::-1])
    return sitk.Resample(
        image,
        list(grid.size_zyx[::-1]),
        sitk.Transform(),
        sitk.sitkLinear,
        list(grid.origin_lps_mm),
        list(grid.spacing_zyx_mm[::-1]),
        [v for row in grid.direction for v in row],
        outside,
    )


def inside(view: Grid, points_lps_mm: Points, margin_mm: float = 0.0) -> NDArray[np.bool_]:
    """Which points lie within a grid's voxels, at least ``margin_mm`` from its faces."""
    index = view.to_index_zyx(points_lps_mm)
    margin = margin_mm / np.asarray(view.spacing_zyx_mm) - 0.5
    last = np.asarray(view.size_zyx) - 1
    hit: NDArray[np.bool_] = np.all((index >= margin) & (index <= last - margin), axis=1)
    return hit


def telling(bones: Bones, points_lps_mm: Points, margin_mm: float = 0.0) -> NDArray[np.bool_]:
    """At which points an exam tells whether there is bone: in view, not where it is unsure."""
    hit = inside(bones.view, points_lps_mm, margin_mm)
    if bones.unsure is None:
        return hit
    index = np.rint(bones.grid.to_index_zyx(points_lps_mm[hit])).astype(int)
    known = ((index >= 0) & (index < bones.grid.size_zyx)).all(axis=1)
    sure = np.ones(len(index), dtype=bool)
    sure[known] = ~bones.unsure[tuple(index[known].T)]
    hit[hit] = sure
    return hit


def move(matrix: Matrix4, points_lps_mm: Points) -> Points:
    """Apply a 4x4 matrix to ``(n, 3)`` points."""
    moved: Points = points_lps_mm @ matrix[:3, :3].T + matrix[:3, 3]
    return moved


def sample(bones: Bones, points_lps_mm: Points) -> NDArray[np.float64]:
    """Signed distance to the bones at points, mm, trilinear; at least ``MARGIN_MM`` outside."""
    from scipy.ndimage import map_coordinates

    index = bones.grid.to_index_zyx(points_lps_mm).T
    found: NDArray[np.float64] = map_coordinates(
        bones.distance_mm, index, order=1, mode="constant", cval=MARGIN_MM, output=np.float64
    )
    kept: NDArray[np.float64] = np.minimum(found, MARGIN_MM)
    return kept


def thin(points: NDArray[Any], most: int) -> NDArray[Any]:
    """At most ``most`` points, evenly through the list, always the same ones."""
    if len(points) <= most:
        return points
    chosen: NDArray[Any] = points[np.linspace(0, len(points) - 1, most).astype(int)]
    return chosen
