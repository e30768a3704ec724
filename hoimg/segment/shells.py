"""Closed shells: lesions with a rim of their own, found by shape alone.

The core of a mature lesion is a basin of the scan (:mod:`hoimg.segment.basins`), or a few that
lie wall to wall. A lesion differs from native marrow by its surroundings: most of a lesion's
outside is soft tissue (0.73 and more on the tuning cases, native bone below that or drawn out in
length). Needs no other side and no registration. After the second trial in
``docs/methods/segment.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, margin_voxels, widened
from hoimg.segment.basins import WALL_FACES, Basins, Labels, ridges_between, united
from hoimg.segment.morphology import depth_mm, dilate_mm, distance_mm, fill_holes
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

RIM_REACH_MM = 3.5
"""The rim lies within this distance of the basin."""
RIM_HU = 200.0
"""Rim voxels are at least this dense on the working grid."""
ROOM_MM = 10.0


@dataclass(frozen=True)
class Shell:
    """What decides whether a basin with its rim is a lesion.

    Attributes:
        volume_mm3: Volume of the basin, without rim.
        inscribed_mm: Radius of the largest sphere in it.
        compactness: Volume over that of the sphere: 1 for a ball, 10 and more for a rib.
        core_hu: Median inside.
        rim_low_hu: 10th percentile of the voxels round it: how tightly the shell is closed.
        rim_hu: Median of the voxels round it.
        soft_outside: Fraction of the layer 1.5-3.5 mm outside of the rim that is soft tissue.
        at_end: It touches the first or last slice.
    """

    volume_mm3: float
    inscribed_mm: float
    compactness: float
    core_hu: float
    rim_low_hu: float
    rim_hu: float
    soft_outside: float
    at_end: bool


@dataclass(frozen=True, eq=False)
class Shells:
    """Closed shells on the working grid.

    Attributes:
        labels: zyx, the lesions with their rim, filled; 0 elsewhere. Of the smallest unsigned type.
        beyond: Voxels near a lesion that lie on the far side of the ridge to another bone.
        shells: What was measured of each label, in order.
    """

    labels: NDArray[np.unsignedinteger]
    beyond: Bool
    shells: tuple[Shell, ...]

    @classmethod
    def named(cls, lesions: Bool) -> Shells:
        """Lesions that somebody outlined, in place of shells: one label, nothing measured."""
        return cls(lesions.astype(np.uint8), np.zeros_like(lesions), ())

    def without(self, native: Bool) -> Shells:
        """The shells of which less than half lies in a native skeleton that somebody gave."""
        count = len(self.shells) + 1
        sizes = np.bincount(self.labels.ravel(), minlength=count)
        inside = np.bincount(self.labels[native], minlength=count)
        keep = inside < 0.5 * sizes
        keep[0] = False
        numbers = np.where(keep, np.cumsum(keep), 0).astype(self.labels.dtype)
        kept = tuple(s for s, k in zip(self.shells, keep[1:], strict=True) if k)
        return Shells(numbers[self.labels], self.beyond, kept)


def closed_shells(
    parted: Basins, working: Working, body: Bool, metal: Bool, settings: SegmentSettings
) -> Shells:
    """Find compact bodies with a closed shell and soft tissue around.

    Args:
        parted: From :func:`find_basins`.
        working: The exam at about 1.5 mm.
        body: The patient on the same grid.
        metal: Metal with its streaks on the same grid.
        settings: Section ``segment``.

    Returns:
        The lesions on the working grid; none is a result.
    """
    from scipy import ndimage as ndi

    basins, background, hu = parted.labels, parted.background, parted.hu
    margin = margin_voxels(ROOM_MM, working.spacing_zyx_mm)
    places = ndi.find_objects(basins)
    found: dict[int, Shell] = {}
    for label, part in enumerate(places, start=1):
        if part is None or background[label]:
            continue
        tight = basins[part] == label
        volume = float(tight.sum()) * working.voxel_mm3
        if not settings.shell_min_mm3 <= volume <= settings.shell_max_mm3:
            continue
        radius = inscribed_mm(tight, working)
        if radius < settings.shell_inscribed_mm:
            continue
        if compactness(volume, radius) > settings.shell_compactness:
            continue
        box = widened(part, margin, hu.shape)
        core = basins[box] == label
        whole, _ = with_rim(core, basins[box], background, hu[box], working)
        shell = _measure(core, whole, hu[box], working)
        touching = (whole & metal[box]).any()
        inside = (core & body[box]).mean() / max(core.mean(), 1e-9)
        if not touching and inside > 0.9 and _is_lesion(shell, settings):
            found[label] = shell
    masses = _masses(parted, places, found, settings.shell_pass_ratio)
    out = np.zeros(hu.shape, dtype=np.min_scalar_type(len(masses)))
    beyond = np.zeros(hu.shape, dtype=bool)
    shells: list[Shell] = []
    for chambers in masses:
        box = widened(_around(places[k - 1] for k in chambers), margin, hu.shape)
        core = np.isin(basins[box], chambers)
        whole, native_side = with_rim(core, basins[box], background, hu[box], working)
        alone = found[chambers[0]] if len(chambers) == 1 else None
        shells.append(alone or _measure(core, whole, hu[box], working))
        out[box][whole & (out[box] == 0)] = len(shells)
        beyond[box] |= native_side
    return Shells(out, beyond & (out == 0), tuple(shells))


def _masses(
    parted: Basins,
    places: Sequence[Box | None],
    found: Mapping[int, Shell],
    pass_ratio: float,
) -> list[list[int]]:
    """Closed shells put together with the other chambers of the same mass of bone.

    Two shells with a common wall are one lesion of two chambers. So are all the basins of a mass
    that soft tissue surrounds, whether closed or not, if most of it is closed shells and the scan
    does not cut it; where native bone hangs on, what is no shell of its own stays with the bone.

    Args:
        parted: Basins of the scan.
        places: The box of each label, from label 1 on.
        found: Closed shells by label.
        pass_ratio: From this part of their rims a common wall is as dense as they are.

    Returns:
        Labels of each lesion, those with the lowest label first.
    """
    if not found:
        return []
    dense = np.where(parted.background[parted.labels], 0, parted.labels)
    walls = ridges_between(dense, parted.hu, quantile=0.5)
    pairs = []
    for a, b, height, faces in zip(
        walls.first.tolist(), walls.second.tolist(), walls.height, walls.faces, strict=True
    ):
        rims = [found[k].rim_hu for k in (a, b) if k in found]
        # Where two shells meet in a neck of solid bone the wall is small, and as dense as they.
        if faces >= WALL_FACES or (len(rims) == 2 and height >= pass_ratio * min(rims)):
            pairs.append((a, b))
    last = parted.labels.shape[0]
    mass = united(len(parted.background), pairs)
    members: dict[int, list[int]] = {}
    there = np.flatnonzero(~parted.background & (parted.sizes > 0))
    for label in there:
        members.setdefault(int(mass[label]), []).append(int(label))
    whole = set()
    for root, labels in members.items():
        ends = any(
            place is not None and (place[0].start == 0 or place[0].stop == last)
            for place in (places[k - 1] for k in labels)
        )
        closed = sum(parted.sizes[k] for k in labels if k in found)
        if not ends and closed >= 0.5 * sum(parted.sizes[k] for k in labels):
            whole.add(root)
    lesion = united(
        len(parted.background),
        [(a, b) for a, b in pairs if mass[a] in whole or (a in found and b in found)],
    )
    out: dict[int, list[int]] = {}
    for label in there:
        if label in found or mass[label] in whole:
            out.setdefault(int(lesion[label]), []).append(int(label))
    return list(out.values())


def _around(boxes: Iterable[Box | None]) -> Box:
    """The smallest box that holds every box."""
    every = [box for box in boxes if box is not None]
    z, y, x = (
        slice(min(b[axis].start for b in every), max(b[axis].stop for b in every))
        for axis in range(3)
    )
    return (z, y, x)


def _is_lesion(shell: Shell, settings: SegmentSettings) -> bool:
    # What is cut by the scan's end may be any bone's end (a femur's, 59 mL, on a tuning case).
    return (
        not shell.at_end
        and shell.soft_outside >= settings.shell_soft_outside
        and shell.compactness <= settings.shell_compactness
        and shell.inscribed_mm >= settings.shell_inscribed_mm
        and shell.rim_low_hu >= RIM_HU
        and shell.rim_hu >= settings.shell_rim_over_core * max(shell.core_hu, 0.0)
    )


def with_rim(
    core: Bool,
    basins: Labels,
    background: NDArray[np.bool_],
    hu: NDArray[np.float32],
    working: Working,
) -> tuple[Bool, Bool]:
    """A basin with the outer half of its rim, which the watershed gave to the soft tissue.

    Returns:
        The lesion, filled, and the voxels that lie nearer to another bone's basin.
    """
    spacing = working.spacing_zyx_mm
    own = distance_mm(core, spacing)
    others = distance_mm(~background[basins] & ~core, spacing)
    rim = background[basins] & (own <= RIM_REACH_MM) & (hu > RIM_HU) & (own < others)
    return fill_holes(core | rim), (others <= own) & np.isfinite(others)


def _measure(core: Bool, whole: Bool, hu: NDArray[np.float32], working: Working) -> Shell:
    spacing = working.spacing_zyx_mm
    half_voxel = 0.5 * float(np.mean(spacing))
    radius = inscribed_mm(core, working)
    edge = hu[dilate_mm(core, 1.01 * max(spacing), spacing) & ~core]
    outside = distance_mm(whole, spacing)
    around = hu[(outside > 1.5) & (outside <= 3.5 + half_voxel)]
    volume = float(core.sum()) * working.voxel_mm3
    return Shell(
        volume_mm3=volume,
        inscribed_mm=radius,
        compactness=compactness(volume, radius),
        core_hu=float(np.median(hu[core])),
        rim_low_hu=float(np.percentile(edge, 10)) if edge.size else 0.0,
        rim_hu=float(np.median(edge)) if edge.size else 0.0,
        soft_outside=float(((around > -150) & (around < 130)).mean()) if around.size else 0.0,
        at_end=bool(core[0].any() or core[-1].any()),
    )


def inscribed_mm(mask: Bool, working: Working) -> float:
    """Radius (mm) of the largest sphere inside; centres lie half a voxel before the surface."""
    spacing = working.spacing_zyx_mm
    return max(float(depth_mm(mask, spacing).max()) - 0.5 * float(np.mean(spacing)), 0.5)


def compactness(volume_mm3: float, radius_mm: float) -> float:
    """Volume over that of the inscribed sphere: 1 for a ball, 10 and more for a rib."""
    return float(volume_mm3 / (4 / 3 * np.pi * radius_mm**3))
