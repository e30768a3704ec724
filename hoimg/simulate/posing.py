"""A posed patient scanned: bones as they are, soft tissue between them warped.

Bones and what lies within the rig's band round them are resampled by their own rigid motion alone,
so that no bone is bent or stretched. Soft tissue is a layer of its own in which bone is painted
over with the tissue beside it: where a fold or a sliding joint uncovers it, no second bone appears.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hoimg.geometry import Box, Grid, bounding_box
from hoimg.image import CTVolume, Mask, to_sitk
from hoimg.simulate.pose import Pose, Rig, lookup, signed_distance, transform
from hoimg.simulate.resample import AIR_HU, affine, resample, resample_linear, resample_nearest

FIELD_MM = 3.0
"""Spacing of the grid on which the warp is evaluated, mm."""
STILL_MM = 0.02
"""Tissue that moves less is left where it is."""


class PosedScanner:
    """Scans one patient in any pose; what does not depend on the pose is made once.

    Args:
        base: Scan without lesions, in the patient's frame.
        rig: Its skeleton and joints.
    """

    def __init__(self, base: CTVolume, rig: Rig) -> None:
        self._rig = rig
        self._base = base
        points = base.grid.to_lps_mm(np.indices(base.grid.size_zyx).reshape(3, -1).T)
        gaps = np.stack([lookup(d, rig.bone.grid, points) for d in rig.distances_mm])
        nearest = gaps.argmin(axis=0).reshape(base.grid.size_zyx)
        banded = (gaps.min(axis=0) < rig.band_mm).reshape(base.grid.size_zyx)
        soft = without(base, banded)
        # Layer k shows bone group k and no other.
        self._layers = [
            CTVolume(np.where(banded & (nearest != k), soft, base.hu), base.grid)
            for k in range(len(gaps))
        ]
        self._soft = CTVolume(soft, base.grid)

    def scan(self, pose: Pose, grid: Grid, exam_to_moved_lps: NDArray[np.float64]) -> CTVolume:
        """The posed patient on an exam's grid.

        Args:
            pose: A pose of this scanner's rig.
            grid: The exam's grid.
            exam_to_moved_lps: 4x4 rigid matrix from the exam's LPS points to the posed patient's.
        """
        if pose.rig is not self._rig:
            raise ValueError("the pose belongs to another rig")
        names = [None, *(j.name for j in self._rig.joints)]
        ways = [np.linalg.inv(pose.motion(n)) @ exam_to_moved_lps for n in names]
        bone = self._rig.bone.grid
        gaps = [
            resample_linear(d, bone, grid, w)
            for d, w in zip(self._rig.distances_mm, ways, strict=True)
        ]
        hu = resample(self._layers[0], grid, ways[0]).hu
        field, coarse = self._field(pose, grid, exam_to_moved_lps)
        box = _stirred(field, coarse, grid, exam_to_moved_lps)
        if box is not None:
            moved = self._warped(grid.crop(box), exam_to_moved_lps, field, coarse)
            still = np.min([g[box] for g in gaps], axis=0) < self._rig.band_mm
            hu[box] = np.where(still, hu[box], moved)
        # Tissue that stays is right in the first layer, its own band of bone included.
        for k in range(1, len(ways)):
            others = np.min([g for j, g in enumerate(gaps) if j != k], axis=0)
            mine = (gaps[k] < self._rig.band_mm) & (gaps[k] <= others)
            part = bounding_box(mine)
            if part is None:
                continue
            layer = resample(self._layers[k], grid.crop(part), ways[k]).hu
            hu[part] = np.where(mine[part], layer, hu[part])
        return CTVolume(hu, grid)

    def _field(
        self, pose: Pose, grid: Grid, to_moved: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], Grid]:
        """Displacement (moved to unmoved, LPS mm, ``[z, y, x, 3]``) on a coarse grid."""
        corners = transform(to_moved, grid.to_lps_mm(grid.corners_zyx()))
        low, high = corners.min(0) - FIELD_MM, corners.max(0) + FIELD_MM
        size = [int(n) for n in np.ceil((high - low) / FIELD_MM)[::-1] + 1]
        coarse = Grid((size[0], size[1], size[2]), (FIELD_MM,) * 3, (low[0], low[1], low[2]))
        points = coarse.to_lps_mm(np.indices(coarse.size_zyx).reshape(3, -1).T)
        return (pose.backward(points) - points).reshape(*coarse.size_zyx, 3), coarse

    def _warped(
        self, grid: Grid, to_moved: NDArray[np.float64], field: NDArray[np.float64], coarse: Grid
    ) -> NDArray[np.float32]:
        """The soft layer through the warp."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(field, isVector=True)
        image.SetSpacing(coarse.spacing_zyx_mm[::-1])
        image.SetOrigin(coarse.origin_lps_mm)
        warp = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
        whole = sitk.CompositeTransform([warp, affine(to_moved)])  # the last one acts first
        moved = sitk.Resample(
            to_sitk(self._soft.hu.astype(np.float32), self._soft.grid),
            to_sitk(np.zeros(grid.size_zyx, np.uint8), grid),
            whole,
            sitk.sitkBSpline,
            AIR_HU,
        )
        low, high = float(self._base.hu.min()), float(self._base.hu.max())
        out = np.clip(sitk.GetArrayFromImage(moved), low, high)
        return np.asarray(np.rint(out) if self._base.hu.dtype == np.int16 else out, np.float32)


def posed_bones(pose: Pose, grid: Grid, exam_to_moved_lps: NDArray[np.float64]) -> Mask:
    """Bone groups on an exam's grid: 1 what stays, 2 + i the bones of joint i; 0 elsewhere.

    Where joint surfaces run into each other the later group has it.
    """
    rig = pose.rig
    moving = np.logical_or.reduce([j.bones.array > 0 for j in rig.joints])
    groups: list[tuple[str | None, NDArray[np.bool_]]] = [(None, (rig.bone.array > 0) & ~moving)]
    groups += [(j.name, j.bones.array > 0) for j in rig.joints]
    labels = np.zeros(grid.size_zyx, np.uint8)
    for value, (name, array) in enumerate(groups, start=1):
        way = np.linalg.inv(pose.motion(name)) @ exam_to_moved_lps
        found = resample_nearest(Mask(array, rig.bone.grid), grid, way)
        labels[found.array > 0] = value
    return Mask(labels, grid)


def _stirred(
    field: NDArray[np.float64], coarse: Grid, grid: Grid, to_moved: NDArray[np.float64]
) -> Box | None:
    """The part of an exam in which tissue moves by itself; None: nothing does."""
    moving = ndimage.binary_dilation(np.linalg.norm(field, axis=-1) > STILL_MM)
    if not moving.any():
        return None
    places = transform(np.linalg.inv(to_moved), coarse.to_lps_mm(np.argwhere(moving)))
    index = grid.to_index_zyx(places)
    first = np.maximum(np.floor(index.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, grid.size_zyx)
    if (first >= last).any():
        return None
    a, b, c = (slice(int(i), int(j)) for i, j in zip(first, last, strict=True))
    return (a, b, c)


def without(volume: CTVolume, painted_over: NDArray[np.bool_]) -> NDArray[np.int16]:
    """HU with a part painted over by the soft tissue round it (-150 to 130 HU)."""
    hu = volume.hu.astype(np.float32)
    known = ~painted_over & (hu > -150) & (hu < 130)
    out, left = hu.copy(), painted_over.copy()
    for sigma_mm in (3.0, 8.0, 20.0):
        sigma = [sigma_mm / s for s in volume.grid.spacing_zyx_mm]
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
        total = ndimage.gaussian_filter(np.where(known, hu, 0).astype(np.float32), sigma)
        done = left & (weight > 0.02)
        out[done] = total[done] / weight[done]
        left &= ~done
    out[left] = 40.0
    return np.asarray(np.rint(out), volume.hu.dtype)


def split_bones(bone: Mask, groups: Mask) -> Mask:
    """A skeleton divided among rough labels of its bones: each voxel takes the nearest label.

    Args:
        bone: The whole skeleton, bool.
        groups: Labels of the same bones (1, 2, ...), on the same grid; may be coarser than bone.

    Returns:
        Labels where there is bone.
    """
    distance = np.stack(
        [
            signed_distance(groups.array == value, groups.grid)
            for value in range(1, int(groups.array.max()) + 1)
        ]
    )
    labels = np.where(bone.array > 0, distance.argmin(axis=0) + 1, 0).astype(np.uint8)
    return Mask(labels, bone.grid)
