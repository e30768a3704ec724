"""Regions that a reader gives in numbers: a box or a sphere in patient space, as a mask.

Written ``box:X0,Y0,Z0,X1,Y1,Z1`` (two opposite corners) and ``sphere:X,Y,Z,R``, LPS mm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Box, Grid, Triple
from hoimg.image import Mask

FORMS = "box:X0,Y0,Z0,X1,Y1,Z1 or sphere:X,Y,Z,R, in LPS mm"


@dataclass(frozen=True)
class BoxRegion:
    """A box along the patient's axes.

    Attributes:
        low_lps_mm: Its corner towards right, front and feet (smallest x, y and z), mm.
        high_lps_mm: The corner opposite, mm.
    """

    low_lps_mm: Triple
    high_lps_mm: Triple

    def holds(self, points_lps_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points ``(..., 3)`` lie inside or on the surface."""
        low, high = np.asarray(self.low_lps_mm), np.asarray(self.high_lps_mm)
        within = (points_lps_mm >= low) & (points_lps_mm <= high)
        inside: NDArray[np.bool_] = np.all(within, axis=-1)
        return inside

    @property
    def middle_lps_mm(self) -> Triple:
        """Its centre."""
        x, y, z = (0.5 * (a + b) for a, b in zip(self.low_lps_mm, self.high_lps_mm, strict=True))
        return (x, y, z)

    @property
    def bounds_lps_mm(self) -> tuple[Triple, Triple]:
        """Lowest and highest corner."""
        return self.low_lps_mm, self.high_lps_mm


@dataclass(frozen=True)
class SphereRegion:
    """A sphere.

    Attributes:
        centre_lps_mm: Its centre, mm.
        radius_mm: Its radius, mm; above 0.
    """

    centre_lps_mm: Triple
    radius_mm: float

    def holds(self, points_lps_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points ``(..., 3)`` lie inside or on the surface."""
        away = points_lps_mm - np.asarray(self.centre_lps_mm)
        inside: NDArray[np.bool_] = np.einsum("...i,...i", away, away) <= self.radius_mm**2
        return inside

    @property
    def middle_lps_mm(self) -> Triple:
        """Its centre."""
        return self.centre_lps_mm

    @property
    def bounds_lps_mm(self) -> tuple[Triple, Triple]:
        """Lowest and highest corner of the box around it."""
        x, y, z = self.centre_lps_mm
        r = self.radius_mm
        return (x - r, y - r, z - r), (x + r, y + r, z + r)


Region = BoxRegion | SphereRegion


def parse_region(text: str, named: str = "--roi") -> Region | None:
    """Read ``box:...`` or ``sphere:...``; None where the text is neither (a file's name).

    Args:
        text: The words.
        named: The option or setting that they were given with, for messages.

    Raises:
        UsageError: the wrong number of numbers, an infinite one, a box without volume or a radius
            that is not above 0.
    """
    kind, colon, rest = text.strip().partition(":")
    kind = kind.lower()
    if not colon or kind not in ("box", "sphere"):
        return None
    try:
        numbers = [float(part) for part in rest.split(",")]
    except ValueError as error:
        raise UsageError(f"{named} {text}: give {FORMS}") from error
    if len(numbers) != (6 if kind == "box" else 4) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{named} {text}: give {FORMS}")
    if kind == "sphere":
        x, y, z, radius = numbers
        if radius <= 0:
            raise UsageError(f"{named} {text}: the radius must be above 0 mm")
        return SphereRegion((x, y, z), radius)
    (x0, x1), (y0, y1), (z0, z1) = (sorted(numbers[axis::3]) for axis in range(3))
    if x0 == x1 or y0 == y1 or z0 == z1:
        raise UsageError(f"{named} {text}: the box has no volume; give two opposite corners")
    return BoxRegion((x0, y0, z0), (x1, y1, z1))


def parse_rod(text: str) -> tuple[float, Region]:
    """Read ``DENSITY=REGION``: a calibration rod's density in mg/cm3 and where it lies.

    Raises:
        UsageError: no such form, a density that is no number, or a bad region.
    """
    named = "calibration_rods"
    density, equals, place = text.partition("=")
    region = parse_region(place, named) if equals else None
    try:
        value = float(density)
    except ValueError:
        value = math.nan
    if region is None or not math.isfinite(value):
        raise UsageError(f"{named} {text}: give MG_PER_CM3={FORMS}")
    return value, region


def on_grid(regions: Sequence[Region], grid: Grid) -> Mask:
    """The union of regions on a grid: voxels whose centre lies inside of one of them.

    A region that holds no voxel's centre stands for the voxel that its middle lies in.

    Args:
        regions: At least one.
        grid: Any spacing and direction.

    Returns:
        Boolean mask; what lies beyond the grid is cut off.

    Raises:
        InputRefused: a region without any voxel of the exam (``mask_elsewhere``).
    """
    inside = np.zeros(grid.size_zyx, dtype=bool)
    for region in regions:
        if not _draw(region, grid, inside):
            raise InputRefused(
                f"--roi: no voxel of the exam lies in the {_words(region)}; "
                "points are LPS mm (x to the patient's left, y to the back, z to the head)",
                "mask_elsewhere",
            )
    return Mask(inside, grid)


def inside_box(region: Region, grid: Grid) -> tuple[Box, NDArray[np.bool_]] | None:
    """A region that lies wholly in the grid: its box of voxels, and which of them it holds.

    Args:
        region: A box or a sphere.
        grid: Any spacing and direction.

    Returns:
        Index slices zyx, and a boolean array of that shape; None for a region that reaches beyond
        the grid or holds no voxel's centre.
    """
    corners = grid.to_index_zyx(list(itertools.product(*zip(*region.bounds_lps_mm, strict=True))))
    low = np.ceil(corners.min(axis=0) - 1e-9).astype(int)
    high = np.floor(corners.max(axis=0) + 1e-9).astype(int)
    if (low < 0).any() or (high >= np.asarray(grid.size_zyx)).any() or (low > high).any():
        return None
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    cut = grid.crop((z, y, x))
    held = region.holds(cut.to_lps_mm(np.moveaxis(np.indices(cut.size_zyx), 0, -1)))
    return ((z, y, x), held) if held.any() else None


def _draw(region: Region, grid: Grid, inside: NDArray[np.bool_]) -> bool:
    size = np.asarray(grid.size_zyx)
    corners = grid.to_index_zyx(list(itertools.product(*zip(*region.bounds_lps_mm, strict=True))))
    low = np.maximum(np.ceil(corners.min(axis=0) - 1e-9), 0).astype(int)
    high = np.minimum(np.floor(corners.max(axis=0) + 1e-9), size - 1).astype(int)
    hit = False
    for z in range(low[0], high[0] + 1):  # a slice at a time: points take 24 bytes a voxel
        y, x = np.mgrid[low[1] : high[1] + 1, low[2] : high[2] + 1]
        points = grid.to_lps_mm(np.stack([np.full_like(y, z), y, x], axis=-1))
        held = region.holds(points)
        inside[z, low[1] : high[1] + 1, low[2] : high[2] + 1] |= held
        hit = hit or bool(held.any())
    if hit:
        return True
    nearest = np.rint(grid.to_index_zyx(region.middle_lps_mm)).astype(int)
    if (nearest < 0).any() or (nearest >= size).any():
        return False
    inside[tuple(nearest)] = True
    return True


def _words(region: Region) -> str:
    if isinstance(region, SphereRegion):
        x, y, z = region.centre_lps_mm
        return f"sphere of {region.radius_mm:g} mm around {x:g}, {y:g}, {z:g}"
    low = ", ".join(f"{v:g}" for v in region.low_lps_mm)
    return f"box from {low} to {', '.join(f'{v:g}' for v in region.high_lps_mm)}"
