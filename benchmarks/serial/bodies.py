"""The anatomies of the serial benchmark: those of the lesion benchmark, with joints that bend.

The real pelvis ends below the lesser trochanters. Its lowest slice is continued downwards, so that
a bent thigh does not end in air inside the view; joints are the hips, each femur about the middle
of its head.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lesions"))
import anatomy as plain

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask, resample_mask
from hoimg.simulate.pose import Joint, Rig
from hoimg.simulate.posing import split_bones

FEMORA = {"left hip": 75, "right hip": 76}
HIP_BONES = {"left hip": 77, "right hip": 78}
BELOW_MM = 75.0
"""How far the pelvis scan is continued downwards, mm."""
CONTACT_MM = 6.0
"""A femur's surface this near to the hip bone is the head, mm."""


@dataclass(frozen=True, eq=False)
class Body:
    """A patient without lesions whose joints bend.

    Attributes:
        volume: The scan.
        rig: Its skeleton (``rig.bone``: native, filled) and joints.
        region: Where a lesion's centre may lie; None: any muscle.
    """

    volume: CTVolume
    rig: Rig
    region: Mask | None = None


@cache
def pelvis() -> Body:
    """Pelvis and thighs' upper end; both hips bend. A nail lies in the left femur."""
    folder = plain.data_folder()
    volume = _lengthened(plain._nifti(folder / "example_ct.nii.gz"))
    labels = _lengthened(plain._labels(folder / "example_seg_fast_force_split.nii.gz"))
    low = np.array([-1e9, -1e9, -1e9])
    high = np.array([1e9, 1e9, 300.0])
    volume, labels = _between(volume, low, high), _between(labels, low, high)
    bone = plain._bone(volume, Mask(np.isin(labels.array, plain.BONES), labels.grid))
    groups = np.zeros(labels.array.shape, np.uint8)
    groups[np.isin(labels.array, plain.BONES)] = 1
    for value, label in enumerate(FEMORA.values(), start=2):
        groups[labels.array == label] = value
    fine = resample_mask(Mask(groups, labels.grid), bone.grid)
    split = split_bones(bone, fine)
    joints = [
        Joint(
            name,
            Mask(split.array == value, bone.grid),
            femoral_head(labels, FEMORA[name], HIP_BONES[name]),
        )
        for value, name in enumerate(FEMORA, start=2)
    ]
    muscles = Mask(np.isin(labels.array, plain.MUSCLES), labels.grid)
    return Body(volume, Rig(bone, joints, band_mm=4.0), resample_mask(muscles, bone.grid))


def femoral_head(labels: Mask, femur: int, hip: int) -> tuple[float, float, float]:
    """Middle of a femoral head, LPS mm: a ball through the surface that faces the hip bone."""
    from scipy import ndimage
    from scipy.optimize import least_squares

    grid = labels.grid
    mine = labels.array == femur
    near = ndimage.distance_transform_edt(labels.array != hip, sampling=grid.spacing_zyx_mm)
    surface = mine & ~ndimage.binary_erosion(mine) & (near < CONTACT_MM)
    points = grid.to_lps_mm(np.argwhere(surface))

    def miss(ball: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - ball[:3], axis=1) - ball[3]

    start = np.append(points.mean(0), 24.0)
    found = least_squares(miss, start, loss="soft_l1", f_scale=1.5).x
    return (float(found[0]), float(found[1]), float(found[2]))


def _lengthened(part: CTVolume | Mask):
    """Its lowest slice repeated downwards (all sources have z upwards)."""
    old = part.grid
    count = int(BELOW_MM / old.spacing_zyx_mm[0])
    x, y, z = old.origin_lps_mm
    size = (old.size_zyx[0] + count, *old.size_zyx[1:])
    grid = Grid(size, old.spacing_zyx_mm, (x, y, z - count * old.spacing_zyx_mm[0]), old.direction)
    array = part.hu if isinstance(part, CTVolume) else part.array
    longer = np.concatenate([np.repeat(array[:1], count, axis=0), array])
    return CTVolume(longer, grid) if isinstance(part, CTVolume) else Mask(longer, grid)


def _between(part: CTVolume | Mask, low: np.ndarray, high: np.ndarray):
    """The slices between two levels."""
    grid = part.grid
    z = grid.to_lps_mm([(k, 0, 0) for k in range(grid.size_zyx[0])])[:, 2]
    kept = np.flatnonzero((z >= low[2]) & (z <= high[2]))
    box = (
        slice(int(kept[0]), int(kept[-1]) + 1),
        slice(0, grid.size_zyx[1]),
        slice(0, grid.size_zyx[2]),
    )
    if isinstance(part, CTVolume):
        return part.crop(box)
    return Mask(part.array[box], grid.crop(box))


@cache
def trunk(family: str) -> Body:
    """Chest with shoulders, or abdomen: nothing bends."""
    source = "chest" if family == "chest" else "trunk"
    found = plain.anatomy(source, "wall", 0)
    return Body(found.volume, Rig(found.bone, []), found.region)


def limb(family: str, seed: int) -> tuple[Body, tuple, tuple]:
    """A digital limb, another person for each seed, and the corners of what a scan shows."""
    from hoimg.simulate.limb import make_limb

    made = make_limb(family, spacing_zyx_mm=(1.25, 1.1, 1.1), seed=seed, length_mm=125.0)
    return Body(made.volume, made.rig), made.low_lps_mm, made.high_lps_mm


def varied(body: Body, mirrored: bool, scale: float) -> Body:
    """The same body mirrored left to right and scaled, its distances carried over."""
    first = plain.Anatomy(body.volume, body.rig.bone, body.region)
    made = plain.varied(first, mirrored, (scale,) * 3)
    grid = body.rig.bone.grid
    middle = body.volume.grid.to_lps_mm([(n - 1) / 2 for n in body.volume.grid.size_zyx])[0]

    def turned(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[:, :, ::-1]) if mirrored else array

    def point(p: tuple) -> tuple:
        x = 2 * middle - p[0] if mirrored else p[0]
        return (x * scale, p[1] * scale, p[2] * scale)

    joints = [
        Joint(
            _other(j.name) if mirrored else j.name,
            Mask(turned(j.bones.array), made.bone.grid),
            point(j.center_lps_mm),
        )
        for j in body.rig.joints
    ]
    assert grid.size_zyx == made.bone.grid.size_zyx
    rig = Rig(made.bone, joints, body.rig.band_mm * scale)
    if joints:
        vars(rig)["distances_mm"] = [turned(d) * np.float32(scale) for d in body.rig.distances_mm]
    return Body(made.volume, rig, made.region)


def _other(name: str) -> str:
    left, right = ("left", "right") if name.startswith("left") else ("right", "left")
    return name.replace(left, right)
