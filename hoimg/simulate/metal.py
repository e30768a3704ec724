"""Metal put in between two exams: screws, a nail, a plate; saturated, with streaks.

Streaks are bright and dark rays in the axial plane that fade with distance from the metal. They
look like beam hardening and photon starvation; they are drawn, not computed from projections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume, Mask
from hoimg.simulate.noise import blur
from hoimg.simulate.pose import lookup, signed_distance, transform

METAL_HU = 12000.0
"""Before the scanner's range cuts it off."""
SATURATED_HU = 3071
STREAK_HU, STREAK_MM = 260.0, 9.0
"""Height of streaks at the metal's edge, HU, and distance over which they fall by half, mm."""
KINDS = ("screws", "nail", "plate")


@dataclass(frozen=True)
class Rod:
    """A round bar of metal.

    Attributes:
        start_lps_mm: One end's middle, in the patient's frame.
        end_lps_mm: The other.
        radius_mm: Its radius.
        group: Bone group that it is fixed to: 0 what stays, 1 + i the bones of joint i.
    """

    start_lps_mm: Triple
    end_lps_mm: Triple
    radius_mm: float
    group: int = 0


def draw_metal(kind: str, bone: Mask, near_lps_mm: Triple, seed: int, group: int = 0) -> list[Rod]:
    """Metal of a kind at the bone nearest to a point.

    Args:
        kind: One of :data:`KINDS`: two parallel screws across the bone, a nail inside it, or a
            plate (bars side by side) on it.
        bone: The bone, in the patient's frame.
        near_lps_mm: Where.
        seed: Draws directions.
        group: See :class:`Rod`.

    Raises:
        ValueError: for another kind, or without bone.
    """
    if kind not in KINDS:
        raise ValueError(f"metal is one of {', '.join(KINDS)}, got {kind}")
    rng = np.random.default_rng([seed, 91])
    depth = -signed_distance(bone.array > 0, bone.grid)
    inner = np.argwhere(depth > 0.5 * min(6.0, float(depth.max())))
    if len(inner) == 0 or depth.max() <= 0:
        raise ValueError("no bone for the metal")
    places = bone.grid.to_lps_mm(inner)
    middle = places[np.linalg.norm(places - near_lps_mm, axis=1).argmin()]
    # The bone's own direction here: the longest axis of what lies within 30 mm.
    round_it = places[np.linalg.norm(places - middle, axis=1) < 30.0]
    axis = np.linalg.svd(round_it - round_it.mean(0), full_matrices=False)[2][0]
    side = np.cross(axis, rng.standard_normal(3))
    side /= np.linalg.norm(side)
    if kind == "screws":
        return [
            _rod(middle + 14 * k * axis - 8 * side, middle + 14 * k * axis + 30 * side, 2.3, group)
            for k in (-0.5, 0.5)
        ]
    if kind == "nail":
        return [_rod(middle - 30 * axis, middle + 30 * axis, 4.5, group)]
    out = middle.copy()
    while lookup(depth, bone.grid, out[None])[0] > -1.0:
        out = out + side
    across = np.cross(axis, side)
    return [
        _rod(out + 3 * k * across - 25 * axis, out + 3 * k * across + 25 * axis, 1.8, group)
        for k in (-1, 0, 1)
    ]


def insert(
    volume: CTVolume,
    rods: list[Rod],
    ways: list[NDArray[np.float64]],
    psf_fwhm_mm: tuple[float, float, float],
    seed: int,
) -> CTVolume:
    """A scan with metal in it, int16, cut off at 3071 HU.

    Args:
        volume: The scan.
        rods: The metal.
        ways: For each rod the 4x4 matrix from the exam's LPS points to the patient's.
        psf_fwhm_mm: Point spread along z, y, x.
        seed: Of the streaks.
    """
    share = np.zeros(volume.hu.shape, np.float32)
    for rod, way in zip(rods, ways, strict=True):
        distance = _distance(rod, volume.grid, way)
        width = float(np.mean(volume.grid.spacing_zyx_mm))
        np.maximum(share, np.clip(0.5 - distance / width, 0, 1), out=share)
    hu = volume.hu + _streaks(share, volume.grid, seed)
    hu += blur(share * (METAL_HU - volume.hu), psf_fwhm_mm, volume.grid.spacing_zyx_mm)
    return CTVolume(np.clip(np.rint(hu), -1024, SATURATED_HU).astype(np.int16), volume.grid)


def metal_distance_mm(
    rods: list[Rod], ways: list[NDArray[np.float64]], points_lps: NDArray[np.float64]
) -> float:
    """Smallest distance of an exam's LPS points to its metal, mm; infinite without metal."""
    gaps = [
        float((_bar(rod, transform(way, points_lps))).min())
        for rod, way in zip(rods, ways, strict=True)
    ]
    return min(gaps, default=float("inf"))


def _rod(start: Any, end: Any, radius: float, group: int) -> Rod:
    a, b = ((float(p[0]), float(p[1]), float(p[2])) for p in (start, end))
    return Rod(a, b, radius, group)


def _bar(rod: Rod, points: NDArray[Any]) -> NDArray[np.float64]:
    a, b = np.asarray(rod.start_lps_mm), np.asarray(rod.end_lps_mm)
    along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.asarray(np.linalg.norm(points - a - along[:, None] * (b - a), axis=1) - rod.radius_mm)


def _distance(rod: Rod, grid: Grid, way: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance to a rod at every voxel, mm (large where it is far, slice by slice)."""
    out = np.empty(grid.size_zyx, np.float32)
    _, ny, nx = grid.size_zyx
    plane = np.indices((1, ny, nx)).reshape(3, -1).T.astype(float)
    for k in range(grid.size_zyx[0]):
        plane[:, 0] = k
        out[k] = _bar(rod, transform(way, grid.to_lps_mm(plane))).reshape(ny, nx)
    return out


def _streaks(share: NDArray[np.float32], grid: Grid, seed: int) -> NDArray[np.float32]:
    out = np.zeros(share.shape, np.float32)
    rng = np.random.default_rng([seed, 92])
    phases = rng.uniform(0, 2 * np.pi, 12)
    heights = rng.standard_normal(12) / np.sqrt(6)
    turns = rng.integers(3, 26, 12)
    _, sy, sx = grid.spacing_zyx_mm
    for k in range(len(share)):
        filled = np.argwhere(share[k] > 0.3)
        if len(filled) < 2:
            continue
        y0, x0 = filled.mean(0)
        yy, xx = np.mgrid[: share.shape[1], : share.shape[2]].astype(np.float32)
        dy, dx = (yy - y0) * sy, (xx - x0) * sx
        angle, away = np.arctan2(dy, dx), np.sqrt(dy * dy + dx * dx)
        rays = sum(
            h * np.cos(n * angle + p + 0.15 * k)
            for h, n, p in zip(heights, turns, phases, strict=True)
        )
        size = np.sqrt(len(filled) * sy * sx / np.pi)
        out[k] = STREAK_HU * rays * STREAK_MM / (STREAK_MM + np.maximum(away - size, 0))
    return out
