"""The anatomies of the lesion benchmark: real scans that may be mirrored and scaled, and limbs.

Each source is read and its bone found once. A case then sees it mirrored left to right and scaled
by up to a tenth per axis: the grid's spacing changes, no voxel is resampled for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask, from_sitk, resample_mask

ROOT = Path(__file__).resolve().parents[2]
FINE_MM = 1.5
"""Spacing of the masks of bone and of the region that lesions may lie in, mm."""

BONES = (*range(25, 51), *range(69, 79), *range(92, 118))
"""TotalSegmentator's classes that are bone or rib cartilage."""
MUSCLES = (80, 81, 82, 83, 84, 85, 86, 87, 88, 89)
WALL_MM = 45.0
"""Lesions of the trunk's wall have their centre within this depth below the skin, mm."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One patient without lesions.

    Attributes:
        volume: The scan.
        bone: Native skeleton, filled.
        region: Where a lesion's centre may lie; None: any muscle.
        skeleton: A model's mask of the skeleton; None where there is none.
        hips_lps_mm: Middle of the right and the left hip; None elsewhere.
        contrast: Agent to name in the header; None: none.
    """

    volume: CTVolume
    bone: Mask
    region: Mask | None = None
    skeleton: Mask | None = None
    hips_lps_mm: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    contrast: str | None = None


def data_folder() -> Path:
    """Folder of the TotalSegmentator sample data.

    Raises:
        SystemExit: with what to do, when it is not there.
    """
    home = Path(os.environ.get("HOIMG_REAL_DATA") or ROOT.parent / "shared" / "data")
    folder = home / "totalsegmentator"
    needed = ("example_ct.nii.gz", "chest_ct.nii.gz", "example_ct_dicom")
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        raise SystemExit(
            f"{folder}: holds no {', '.join(missing)}; set HOIMG_REAL_DATA to the folder that has "
            "totalsegmentator/ in it (see benchmarks/lesions/README.md)"
        )
    return folder


def anatomy(source: str, region: str | None, seed: int) -> Anatomy:
    """An anatomy by the name that stands in ``recipe.toml``; limbs are drawn from the seed."""
    if source in ("thigh", "elbow"):
        from hoimg.simulate.limb import make_limb

        made = make_limb(source, seed=seed)
        region = None
        if source == "elbow":
            # In the arm, which is painted beside x = 12 mm; the trunk's wall is only its neighbour.
            grid = made.volume.grid
            x = grid.origin_lps_mm[0] + np.arange(grid.size_zyx[2]) * grid.spacing_zyx_mm[2]
            region = Mask(np.broadcast_to(x > 12.0, grid.size_zyx).copy(), grid)
        return Anatomy(made.volume, made.native_bone, region)
    if source == "chest":
        return _chest()
    return _trunk(region or "muscle") if source == "trunk" else _arms()


def varied(base: Anatomy, mirrored: bool, scale_xyz: tuple[float, float, float]) -> Anatomy:
    """The same anatomy mirrored left to right (about the middle of each grid) and scaled."""
    middle = base.volume.grid.to_lps_mm([(n - 1) / 2 for n in base.volume.grid.size_zyx])[0]

    def grid(old: Grid) -> Grid:
        # All sources have axes along the patient's, perhaps reversed.
        sx, sy, sz = scale_xyz
        z, y, x = old.spacing_zyx_mm
        start = np.asarray(old.origin_lps_mm)
        direction = np.asarray(old.direction)
        if mirrored:
            # The last voxel in x becomes the first; the array is reversed with it.
            last = old.to_lps_mm((0, 0, old.size_zyx[2] - 1))
            start = np.array([2 * middle - last[0], start[1], start[2]])
        origin = start * scale_xyz
        return Grid(
            old.size_zyx,
            (z * sz, y * sy, x * sx),
            (origin[0], origin[1], origin[2]),
            tuple(map(tuple, direction)),
        )

    def array(old: NDArray) -> NDArray:
        return np.ascontiguousarray(old[:, :, ::-1]) if mirrored else old

    def mask(old: Mask | None) -> Mask | None:
        return None if old is None else Mask(array(old.array), grid(old.grid))

    hips = base.hips_lps_mm
    if hips is not None:
        right, left = hips
        if mirrored:
            right, left = (np.array([2 * middle - p[0], *p[1:]]) for p in (left, right))
        hips = (right * scale_xyz, left * scale_xyz)
    bone = mask(base.bone)
    assert bone is not None
    return replace(
        base,
        volume=CTVolume(array(base.volume.hu), grid(base.volume.grid)),
        bone=bone,
        region=mask(base.region),
        skeleton=mask(base.skeleton),
        hips_lps_mm=hips,
    )


@cache
def _trunk(region: str) -> Anatomy:
    """Abdomen and pelvis; a nail in the left femur, no contrast."""
    volume = _nifti(data_folder() / "example_ct.nii.gz")
    labels = _labels(data_folder() / "example_seg_fast_force_split.nii.gz")
    skeleton = Mask(np.isin(labels.array, BONES), labels.grid)
    bone = _bone(volume, skeleton)
    if region == "muscle":
        where = resample_mask(Mask(np.isin(labels.array, MUSCLES), labels.grid), bone.grid)
    else:
        where = _wall(volume, labels, bone.grid)
    index = [np.argwhere(labels.array == label).mean(0) for label in (76, 75)]  # right, left femur
    hips = (labels.grid.to_lps_mm(index[0]), labels.grid.to_lps_mm(index[1]))
    return Anatomy(volume, bone, where, skeleton, hips)


@cache
def _arms() -> Anatomy:
    """Upper abdomen with both upper arms, 20 slices; contrast in the aorta, its wall calcified."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(data_folder() / "example_ct_dicom")))
    array, grid = from_sitk(reader.Execute())
    volume = CTVolume(np.clip(array, -1024, 3071).astype(np.int16), grid)
    labels = _labels(data_folder() / "example_seg_dicom.nii.gz")
    skeleton = Mask(np.isin(labels.array, BONES), labels.grid)
    bone = _bone(volume, skeleton)
    return Anatomy(
        volume, bone, _wall(volume, labels, bone.grid), skeleton, contrast="iodinated contrast"
    )


@cache
def _chest() -> Anatomy:
    """Chest and shoulders: dense contrast, stent-graft, sternal wires, ECG leads; no model mask.

    Bone is a threshold, without what is large and bright (veins and heart full of contrast).
    """
    volume = _nifti(data_folder() / "chest_ct.nii.gz")
    found = _bone(volume, None)
    bright = _near(_fine(volume, found.grid) > 550.0, found.grid, opened_mm=3.0, grown_mm=6.0)
    bone = Mask(found.array & ~bright, found.grid)
    where = _wall(volume, None, bone.grid).array
    # Behind the breast bone and the front ribs lies the heart: the back and the sides only.
    points = bone.grid.to_lps_mm(np.argwhere(where))
    behind = (points[:, 1] > -150.0) | (np.abs(points[:, 0]) > 90.0)
    kept = np.zeros_like(where)
    kept[where] = behind
    kept &= ~_near(bright, bone.grid, opened_mm=0.0, grown_mm=8.0)
    return Anatomy(volume, bone, Mask(kept, bone.grid), contrast="iodinated contrast")


def _bone(volume: CTVolume, model: Mask | None) -> Mask:
    """Threshold and model together, on a fine grid: neither alone holds all marrow and cortex."""
    from hoimg.simulate.places import native_bone_mask

    fine = _fine_volume(volume)
    bone = native_bone_mask(fine).array
    if model is not None:
        bone = bone | resample_mask(model, fine.grid).array
    return Mask(bone, fine.grid)


def _wall(volume: CTVolume, labels: Mask | None, grid: Grid) -> Mask:
    """Tissue of arms and trunk's wall: under the skin, outside of what a model calls an organ."""
    from scipy import ndimage

    hu = _fine(volume, grid)
    solid = ndimage.binary_opening(hu > -300, iterations=2)
    parts, _ = ndimage.label(solid)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = np.isin(parts, np.flatnonzero(sizes * grid.voxel_volume_mm3 > 60_000))
    for index in range(len(body)):
        body[index] = ndimage.binary_fill_holes(body[index])
    # Depth within each slice: the scan's ends are no skin.
    depth = np.stack([ndimage.distance_transform_edt(np.pad(s, 1))[1:-1, 1:-1] for s in body])
    where = body & (depth * grid.spacing_zyx_mm[1] < WALL_MM)
    if labels is not None:
        organs = ~np.isin(labels.array, (0, *BONES, *MUSCLES))
        inner = resample_mask(Mask(organs, labels.grid), grid).array
        where &= ~_near(inner, grid, opened_mm=0.0, grown_mm=5.0)
    return Mask(where, grid)


def _near(mask: NDArray, grid: Grid, opened_mm: float, grown_mm: float) -> NDArray[np.bool_]:
    """Opened, then grown, by distance."""
    from scipy import ndimage

    step = grid.spacing_zyx_mm
    if opened_mm > 0:
        core = ndimage.distance_transform_edt(mask, sampling=step) > opened_mm
        grown_mm += opened_mm
    else:
        core = mask
    if not core.any():
        return np.zeros_like(mask, dtype=bool)
    return np.asarray(ndimage.distance_transform_edt(~core, sampling=step) <= grown_mm)


def _fine_volume(volume: CTVolume) -> CTVolume:
    """Half-fine copy on LPS axes for the masks."""
    from hoimg.simulate.resample import resample

    corners = volume.grid.to_lps_mm(volume.grid.corners_zyx())
    low, high = corners.min(0), corners.max(0)
    z, y, x = (int(n) for n in ((high - low)[::-1] / FINE_MM).astype(int) + 1)
    return resample(volume, Grid((z, y, x), (FINE_MM,) * 3, (low[0], low[1], low[2])))


def _fine(volume: CTVolume, grid: Grid) -> NDArray[np.float32]:
    """HU on a fine grid, smoothed 1.5 mm."""
    from scipy import ndimage

    from hoimg.simulate.resample import resample

    hu = resample(volume, grid).hu.astype(np.float32)
    return ndimage.gaussian_filter(hu, [1.5 / s for s in grid.spacing_zyx_mm])


def _nifti(path: Path) -> CTVolume:
    import SimpleITK as sitk

    array, grid = from_sitk(sitk.ReadImage(str(path)))
    return CTVolume(np.rint(array).clip(-1024, 3071).astype(np.int16), grid)


def _labels(path: Path) -> Mask:
    import SimpleITK as sitk

    array, grid = from_sitk(sitk.ReadImage(str(path)))
    return Mask(array.astype(np.uint8), grid)
