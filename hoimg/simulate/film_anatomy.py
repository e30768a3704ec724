"""Digital bodies for films: a pelvis with hips, and knees, on a grid finer than most CT.

As in :mod:`hoimg.simulate.limb` every part is an implicit function (negative inside, about
millimetres). Here parts are painted each in its own box, bones keep a mask of their own, and both
sides of the body differ a little, as people do. Sizes are those of an average adult, rounded;
nothing was measured on a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume, Mask
from hoimg.simulate.film_bones import Bone, ball, hip, knee, spine
from hoimg.simulate.noise import correlated_noise
from hoimg.simulate.shapes import smooth_min
from hoimg.simulate.tissues import CORTEX, FAT, MARROW, MUSCLE, SKIN

BLEND_MM = 7.0
"""Width over which the parts of a bone run into each other."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Body:
    """A body without lesions.

    Attributes:
        volume: int16, patient's frame.
        bones: Part of each voxel that lies in a bone, by the bone's name (``pelvis_r``,
            ``femur_l``), float32 on the volume's grid.
        points: Named places, LPS mm (``head_r``: middle of the right femoral head).
    """

    volume: CTVolume
    bones: dict[str, Floats]
    points: dict[str, Triple] = field(default_factory=dict)

    @property
    def native_bone(self) -> Mask:
        """All bones; a voxel counts from one half on."""
        total = np.zeros(self.volume.grid.size_zyx, np.float32)
        for share in self.bones.values():
            np.maximum(total, share, out=total)
        return Mask(total >= 0.5, self.volume.grid)


def make_body(kind: str, *, seed: int = 0, spacing_mm: float = 1.0, side: str = "both") -> Body:
    """Make a digital body.

    Args:
        kind: ``pelvis`` (both hips, sacrum, last lumbar vertebra) or ``knees``.
        seed: Draws the person.
        spacing_mm: Of the cubic voxels.
        side: ``both``, or ``r`` or ``l`` for a part that holds one side alone.

    Raises:
        ValueError: for another kind or side.
    """
    if kind not in ("pelvis", "knees") or side not in ("both", "r", "l"):
        raise ValueError(f"a body is pelvis or knees, both, r or l; got {kind}, {side}")
    rng = np.random.default_rng([seed, 81])
    size = float(rng.uniform(0.93, 1.07))
    low, high = (np.array(corner) * size for corner in _EXTENT[kind])
    if side == "r":
        high[0] = 15.0
    elif side == "l":
        low[0] = -15.0
    count = np.ceil((high - low)[::-1] / spacing_mm).astype(int)
    grid = Grid((int(count[0]), int(count[1]), int(count[2])), (spacing_mm,) * 3, _triple(low))
    hu = np.full(grid.size_zyx, np.float32(-1000.0))
    _soft(hu, grid, kind, size, rng, seed)
    bones: dict[str, Floats] = {}
    points: dict[str, Triple] = {}
    parts = []
    for name, sign in (("r", -1.0), ("l", 1.0)):
        own = np.random.default_rng([seed, 82, int(sign > 0)])
        made, places = (hip if kind == "pelvis" else knee)(name, sign, size, own)
        if side in ("both", name):
            parts += made
            points |= places
    if kind == "pelvis":
        parts += spine(size)
    grain = correlated_noise(grid.size_zyx, grid.spacing_zyx_mm, 1.0, 2.2, [seed, 83])
    for bone in parts:
        _paint(hu, bones, bone, grid, grain)
    stored = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    return Body(CTVolume(stored, grid), bones, points)


_EXTENT = {
    "pelvis": ((-195.0, -125.0, -185.0), (195.0, 125.0, 150.0)),
    "knees": ((-170.0, -80.0, -150.0), (170.0, 80.0, 170.0)),
}


def _paint(hu: Floats, bones: dict[str, Floats], bone: Bone, grid: Grid, grain: Floats) -> None:
    """Paint one bone, cortex first, its inside over it."""
    box, (x, y, z) = open_box(grid, bone.low, bone.high)
    if any(s.stop <= s.start for s in box):
        return
    inside = np.full((z.size, y.size, x.size), np.float32(1e3))
    for part in bone.parts:
        inside = smooth_min(inside, np.asarray(part(x, y, z), np.float32), BLEND_MM)
    for hollow in bone.cut:
        np.maximum(inside, -hollow(x, y, z), out=inside, casting="same_kind")
    step = np.float32(grid.spacing_zyx_mm[0])
    share = np.clip(0.5 - inside / step, 0, 1)
    core = np.clip(0.5 - (inside + bone.shell_mm(z)) / step, 0, 1)
    part_hu = hu[box]
    part_hu += share * (np.float32(CORTEX) - part_hu)
    level = bone.inside_hu(z)
    # Struts are coarse where there is spongy bone, and marrow is even.
    rough = np.clip(level - MARROW, 0, None) * np.float32(0.45)
    part_hu += core * (level + rough * grain[box] - part_hu)
    whole = bones.setdefault(bone.name, np.zeros(grid.size_zyx, np.float32))
    np.maximum(whole[box], share, out=whole[box])


def open_box(grid: Grid, low: Triple, high: Triple) -> tuple[Any, tuple[Floats, Floats, Floats]]:
    """Slices of a box, and open coordinates x, y, z (LPS mm) of its voxels."""
    step = grid.spacing_zyx_mm[0]
    origin = np.asarray(grid.origin_lps_mm)
    limits = np.array(grid.size_zyx[::-1])
    first = np.clip(np.floor((np.minimum(low, high) - origin) / step).astype(int), 0, limits)
    last = np.clip(np.ceil((np.maximum(low, high) - origin) / step).astype(int) + 1, 0, limits)
    x, y, z = (
        (origin[k] + step * np.arange(first[k], last[k])).astype(np.float32) for k in range(3)
    )
    box = tuple(slice(int(first[k]), int(last[k])) for k in (2, 1, 0))
    return box, (x[None, None, :], y[None, :, None], z[:, None, None])


def _soft(
    hu: Floats, grid: Grid, kind: str, size: float, rng: np.random.Generator, seed: int
) -> None:
    """Skin, fat, muscle with fat between its fibres; bowel gas in a pelvis."""
    corner = grid.to_lps_mm([n - 1 for n in grid.size_zyx])
    _, (x, y, z) = open_box(grid, grid.origin_lps_mm, _triple(corner))
    fat = float(rng.uniform(10, 26))
    girth = size * float(rng.uniform(0.95, 1.05))

    def cover(shrink: float) -> Any:
        if kind == "knees":
            t = np.clip((z + 40) / 180, 0, 1)
            wide = (56 + 22 * t) * girth - shrink
            return np.sqrt((np.abs(x) - 84 * size) ** 2 + (y * 1.05) ** 2) - wide
        trunk_x, trunk_y = 172 * girth - shrink, 108 * girth - shrink
        trunk = np.sqrt((x / trunk_x) ** 2 + (y / trunk_y) ** 2) * trunk_y - trunk_y
        # Closed below with a round edge.
        closed = -smooth_min(-trunk, z + np.float32(78 * size), 60.0)
        leg = 80 * girth - 0.06 * np.clip(-60 - z, 0, None) - shrink
        legs = np.sqrt((np.abs(x) - 88 * size) ** 2 + (y * 0.95) ** 2) - leg
        return smooth_min(closed, legs, 40.0)

    veins = correlated_noise(grid.size_zyx, grid.spacing_zyx_mm, 1.0, 9.0, [seed, 84])
    thickness = fat * (0.5 if kind == "knees" else 1.0)
    for depth, level in ((0.0, SKIN), (2.0, FAT)):
        part: Floats = np.clip(0.5 - cover(depth), 0, 1).astype(np.float32)
        hu += part * (np.float32(level) - hu)
    inner = np.clip(0.5 - cover(thickness), 0, 1).astype(np.float32)
    flesh = np.float32(MUSCLE) - np.clip(veins - 0.9, 0, 1.2) * np.float32(95)
    hu += inner * (flesh - hu)
    if kind == "pelvis":
        for _ in range(int(rng.integers(3, 9))):
            at = (rng.uniform(-70, 70), rng.uniform(-60, 10), rng.uniform(10, 120))
            radii = rng.uniform(7, 19, 3)
            low = _triple(np.array(at) - radii - 2)
            box, (gx, gy, gz) = open_box(grid, low, _triple(np.array(at) + radii + 2))
            gas = np.clip(0.5 - ball(_triple(np.array(at)), radii)(gx, gy, gz), 0, 1)
            hu[box] += gas.astype(np.float32) * (np.float32(-950) - hu[box])


def _triple(values: Any) -> Triple:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
