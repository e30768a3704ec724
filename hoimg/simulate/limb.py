"""Digital limbs: anatomy that has no public CT. A thigh, an elbow, a hip and an arm that bend.

Every tissue is an implicit function (negative inside, about millimetres); tissues are painted one
over the other on a grid finer than the scan, blurred by the point spread and averaged.
Sizes are those of an average adult, rounded; nothing here was measured on a person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume, Mask
from hoimg.simulate.jointed import arm, hip
from hoimg.simulate.noise import blur, correlated_noise
from hoimg.simulate.pose import Joint, Rig
from hoimg.simulate.tissues import (
    AIR,
    CORTEX,
    FAT,
    MARROW,
    MUSCLE,
    SKIN,
    SPONGY,
    UNEVEN_HU,
    VESSEL,
    Field,
    Points,
    Tissue,
    ellipse,
    length,
    muscles,
    tube,
)


@dataclass(frozen=True, eq=False)
class Limb:
    """A digital limb.

    Attributes:
        volume: The scan, int16.
        native_bone: Bone with its marrow on the scan's grid (a voxel counts from one half on).
        bone_volume_mm3: Its volume on the fine grid.
        rig: Its bones with the joint that bends; None for ``thigh`` and ``elbow``.
        low_lps_mm: Lower corner of what a scan should show: a limb that bends is painted further
            down and up, so that its ends do not come into view; None: all.
        high_lps_mm: Upper corner.
    """

    volume: CTVolume
    native_bone: Mask
    bone_volume_mm3: float
    rig: Rig | None = None
    low_lps_mm: Triple | None = None
    high_lps_mm: Triple | None = None


def make_limb(
    kind: str,
    *,
    spacing_zyx_mm: Triple = (1.25, 0.9, 0.9),
    psf_fwhm_mm: Triple = (1.0, 1.0, 1.0),
    noise_sd_hu: float = 0.0,
    noise_fwhm_mm: float = 1.8,
    seed: int = 0,
    length_mm: float = 130.0,
) -> Limb:
    """Make a digital limb.

    Args:
        kind: ``thigh`` (femur shaft, muscles, vessels) or ``elbow`` (humerus, radius and ulna of
            an arm at the patient's side, beside the trunk's wall with ribs); with a joint that
            bends ``hip`` (half a pelvis and upper femur, right side) or ``arm`` (humerus against
            radius and ulna, a hinge).
        spacing_zyx_mm: Spacing of the scan.
        psf_fwhm_mm: Point spread along z, y, x.
        noise_sd_hu: Standard deviation of correlated noise.
        noise_fwhm_mm: Width of the noise's kernel.
        seed: Draws the person (sizes vary by some per cent) and the noise.
        length_mm: Length along z of what a scan should show.

    Raises:
        ValueError: for another kind.
    """
    rng = np.random.default_rng([seed, 61])
    plain = {"thigh": _thigh, "elbow": _elbow}
    bending = {"hip": hip, "arm": arm}
    center: Triple | None = None
    if kind in plain:
        tissues, low, high = plain[kind](rng, length_mm)
    elif kind in bending:
        tissues, low, high, center = bending[kind](rng, length_mm)
    else:
        raise ValueError(f"a limb is one of {', '.join(sorted(plain | bending))}, got {kind}")
    size = np.ceil((np.asarray(high) - low)[::-1] / spacing_zyx_mm).astype(int)
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), spacing_zyx_mm, low)
    hu = np.empty(grid.size_zyx, np.float32)
    bone = np.zeros(grid.size_zyx, bool)
    total = 0.0
    # Slab by slab: the fine grid of the whole limb would be four times the scan.
    pad, slab = int(np.ceil(1.7 * psf_fwhm_mm[0] / spacing_zyx_mm[0])) + 1, 32
    fine_spacing = (spacing_zyx_mm[0], spacing_zyx_mm[1] / 2, spacing_zyx_mm[2] / 2)
    grain = np.empty(grid.size_zyx, np.float32)
    for start in range(0, grid.size_zyx[0], slab):
        stop = min(start + slab, grid.size_zyx[0])
        fine, share, uneven = _paint(tissues, grid, start - pad, stop + pad)
        kept = slice(pad, pad + stop - start)
        hu[start:stop] = _plane_mean(blur(fine, psf_fwhm_mm, fine_spacing))[kept]
        grain[start:stop] = _plane_mean(uneven)[kept]
        coarse = _plane_mean(share)[kept]
        bone[start:stop] = coarse >= 0.5
        total += float(coarse.sum()) * grid.voxel_volume_mm3
    # Fat between fibres and struts.
    hu += grain * correlated_noise(grid.size_zyx, spacing_zyx_mm, 1.0, 4.0, [seed, 62])
    if noise_sd_hu > 0:
        hu += correlated_noise(
            grid.size_zyx, spacing_zyx_mm, noise_sd_hu, noise_fwhm_mm, [seed, 63]
        )
    stored = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    volume, native = CTVolume(stored, grid), Mask(bone, grid)
    if center is None:
        return Limb(volume, native, total)
    joint = Joint(f"{kind} joint", _beyond(tissues, native), center)
    return Limb(
        volume,
        native,
        total,
        Rig(native, [joint]),
        (low[0], low[1], 0.0),
        (high[0], high[1], length_mm),
    )


def _beyond(tissues: list[Tissue], bone: Mask) -> Mask:
    """The bones beyond the joint: each voxel of bone belongs to the nearer side."""
    index = np.argwhere(bone.array)
    points = bone.grid.to_lps_mm(index).astype(np.float32)
    sides = [
        np.min([t.inside(points) for t in tissues if t.bone and t.beyond == side], axis=0)
        for side in (False, True)
    ]
    array = np.zeros(bone.array.shape, bool)
    array[tuple(index.T)] = sides[1] < sides[0]
    return Mask(array, bone.grid)


def _paint(
    tissues: list[Tissue], grid: Grid, start: int, stop: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """HU, share of native bone and unevenness (HU) of slices ``start`` to ``stop``.

    On a grid twice as fine within the slice; along z the edges' partial volume has to do. One
    slice at a time, which stays in the processor's cache.
    """
    layers = [_paint_slice(tissues, grid, index) for index in range(start, stop)]
    hu, share, uneven = (np.stack(parts) for parts in zip(*layers, strict=True))
    return hu, share, uneven


def _paint_slice(
    tissues: list[Tissue], grid: Grid, index: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One slice of :func:`_paint`, ``[y, x]``."""
    sz, sy, sx = grid.spacing_zyx_mm
    ox, oy, oz = grid.origin_lps_mm
    z = np.float32(index) * np.float32(sz) + np.float32(oz)
    y = (np.arange(2 * grid.size_zyx[1], dtype=np.float32) / 2 - 0.25) * sy + oy
    x = (np.arange(2 * grid.size_zyx[2], dtype=np.float32) / 2 - 0.25) * sx + ox
    yy, xx = np.meshgrid(y, x, indexing="ij")
    shape = yy.shape
    points = np.empty((yy.size, 3), np.float32, order="F")
    points[:, 0], points[:, 1], points[:, 2] = xx.ravel(), yy.ravel(), z
    hu = np.full(len(points), np.float32(AIR))
    share = np.zeros(len(points), np.float32)
    uneven = np.zeros(len(points), np.float32)
    width = np.float32((sx + sy) / 4)
    for tissue in tissues:
        # A voxel at the edge takes its part of both tissues.
        part = np.clip(0.5 - tissue.inside(points) / width, 0.0, 1.0).astype(np.float32)
        hu += part * (np.float32(tissue.hu) - hu)
        uneven += part * (np.float32(UNEVEN_HU.get(tissue.hu, 0.0)) - uneven)
        if tissue.bone:
            np.maximum(share, part, out=share)
    return hu.reshape(shape), share.reshape(shape), uneven.reshape(shape)


def _plane_mean(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of 2 x 2 voxels within each slice."""
    z, y, x = array.shape
    mean: NDArray[np.float32] = array.reshape(z, y // 2, 2, x // 2, 2).mean(
        axis=(2, 4), dtype=np.float32
    )
    return mean


def _thigh(rng: np.random.Generator, long: float) -> tuple[list[Tissue], Triple, Triple]:
    """Right thigh at mid shaft; the femur is slightly bent, thicker and spongier at one end."""
    girth = rng.uniform(0.92, 1.08)
    outer = rng.uniform(13.0, 15.0)
    wall = rng.uniform(4.5, 6.5)

    def centre(p: Points) -> tuple[Points, Points]:
        t = p[:, 2] / np.float32(long)
        return 6.0 + 4.0 * t, -8.0 - 10.0 * (t - 0.5) ** 2 * 4

    def round_bone(radius: float) -> Field:
        def inside(p: Points) -> Points:
            cx, cy = centre(p)
            flare = 1.0 + 0.5 * np.clip(p[:, 2] / long - 0.75, 0, None) * 2
            gap = length(p[:, 0] - cx, (p[:, 1] - cy) * 0.95) - radius * flare
            return np.asarray(gap, np.float32)

        return inside

    tissues = [
        Tissue(tube(0, 0, 82 * girth, 76 * girth), SKIN),
        Tissue(tube(0, 0, 82 * girth - 2, 76 * girth - 2), FAT),
        *muscles(rng, 70 * girth, 64 * girth, (6.0, -8.0)),
        Tissue(tube(-22, 8, 4.5, 4.5), VESSEL),
        Tissue(tube(-30, 11, 5.5, 5.0), VESSEL),
        Tissue(round_bone(outer), CORTEX, True),
        Tissue(round_bone(outer - wall), MARROW, True),
    ]
    edge = 82 * girth + 14
    return tissues, (-edge, -edge, 0.0), (edge, edge, long)


def _elbow(rng: np.random.Generator, long: float) -> tuple[list[Tissue], Triple, Triple]:
    """Left arm at the side: humerus widening to the joint, radius and ulna; trunk wall, ribs."""
    joint = 0.48 * long + float(rng.uniform(-4, 4))
    size = rng.uniform(0.93, 1.07)
    arm_x = 62.0

    def humerus(shrink: float) -> Field:
        def inside(p: Points) -> Points:
            up = np.clip((p[:, 2] - joint) / 38.0, 0.0, 1.0)
            wide = (10.5 + 16.0 * (1 - up) ** 2) * size - shrink
            deep = (10.5 - 1.5 * (1 - up)) * size - shrink
            value = ellipse(p[:, 0] - arm_x, p[:, 1], wide, deep)
            return np.asarray(np.maximum(value, joint + 2.0 + shrink - p[:, 2]), np.float32)

        return inside

    def forearm_bone(x: float, y: float, radius: float, top: float, shrink: float) -> Field:
        def inside(p: Points) -> Points:
            near = np.clip((p[:, 2] - joint + 28.0) / 28.0, 0.0, 1.0)
            value = length(p[:, 0] - arm_x - x, p[:, 1] - y) - (radius + 3.5 * near - shrink)
            return np.asarray(np.maximum(value, p[:, 2] - (joint + top - shrink)), np.float32)

        return inside

    arm_wide = 46 * size
    ulna = (-8.0, 6.0, 7.0 * size, -2.0)
    radius = (12.0, -3.0, 6.5 * size, -2.0)
    # The olecranon stands behind the humerus.
    olecranon = (-3.0, 17.0, 6.0 * size, 20.0)
    tissues = [
        Tissue(tube(arm_x, 0, arm_wide, arm_wide * 0.92), SKIN),
        Tissue(tube(arm_x, 0, arm_wide - 2, arm_wide * 0.92 - 2), FAT),
        *muscles(rng, arm_wide - 8, arm_wide * 0.92 - 8, (0.0, 0.0), arm_x),
        Tissue(tube(arm_x - 18, -10, 2.6, 2.6), VESSEL),
        # Trunk: skin, fat, wall muscle, and air-filled lung behind it.
        Tissue(tube(-95, 0, 100, 120), SKIN),
        Tissue(tube(-95, 0, 98, 118), FAT),
        Tissue(tube(-95, 0, 84, 104), MUSCLE),
        *_ribs(),
        Tissue(tube(-95, 0, 66, 86), -40),
    ]
    for bone in (ulna, radius, olecranon):
        tissues.append(Tissue(forearm_bone(*bone, 0.0), CORTEX, True))
    tissues.append(Tissue(humerus(0.0), CORTEX, True))
    for bone in (ulna, radius, olecranon):
        tissues.append(Tissue(forearm_bone(*bone, 2.2), SPONGY, True))
    tissues.append(Tissue(humerus(2.6), SPONGY, True))
    return tissues, (-60.0, -62.0, 0.0), (arm_x + arm_wide + 12, 62.0, long)


def _ribs() -> list[Tissue]:
    """Oblique ribs in the trunk's wall, 30 mm apart."""

    def rib(shrink: float) -> Field:
        def inside(p: Points) -> Points:
            along = np.mod(p[:, 2] - np.float32(0.3) * p[:, 1] + 15, 30) - 15
            ring = ellipse(p[:, 0] + 95, p[:, 1], 74.0, 94.0)
            return ellipse(ring, along, 4.0 - shrink, 6.5 - shrink)

        return inside

    return [Tissue(rib(0.0), 900, True), Tissue(rib(1.6), SPONGY, True)]
