"""A finished segmentation while it is changed: pieces picked at points, called, left out, split.

Its maps are copied once, however many changes follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, Triple, bounding_box, margin_voxels
from hoimg.image import CTVolume, Mask
from hoimg.memory import sparse_filled
from hoimg.results import Finding
from hoimg.segment.blur_rind import boxes_of, with_own_blur
from hoimg.segment.morphology import dilate_mm, fill_holes, label_components
from hoimg.segment.outline import outline
from hoimg.segment.reader_split import beyond_plane, nearest_part
from hoimg.segment.types import ExcludedRegion, Segmentation
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

PICK_MM = 3.0
"""A point within this distance of a piece means it: a click is not that exact, and the candidates'
maps are drawn at about 1.5 mm."""
ROOM_MM = 9.0
"""Around a piece, for the soft tissue that its outline is drawn against."""
BY_READER = "excluded_by_reader"
SPLIT = "split_by_reader"
MERGED = "merged_by_reader"
ATTACHED = "attached_to_bone"


@dataclass(frozen=True)
class Pick:
    """A label near a point and the distance of its nearest voxel centre, mm (0 inside)."""

    label: int
    away_mm: float


def index_of(grid: Grid, point_lps_mm: Triple) -> tuple[int, int, int] | None:
    """The voxel that a point lies in; None outside of the scan."""
    z, y, x = (int(v) for v in np.rint(grid.to_index_zyx(point_lps_mm)))
    nz, ny, nx = grid.size_zyx
    return (z, y, x) if 0 <= z < nz and 0 <= y < ny and 0 <= x < nx else None


def pick_at(labels: NDArray[np.uint16], grid: Grid, point_lps_mm: Triple) -> Pick | None:
    """The label at a point, or the nearest within 3 mm (of equal ones the lowest)."""
    index = index_of(grid, point_lps_mm)
    if index is not None and labels[index]:
        return Pick(int(labels[index]), 0.0)
    centre = np.rint(grid.to_index_zyx(point_lps_mm)).astype(int)
    reach = margin_voxels(PICK_MM, grid.spacing_zyx_mm)
    box = tuple(
        slice(max(c - r, 0), max(min(c + r + 1, n), 0))
        for c, r, n in zip(centre.tolist(), reach, grid.size_zyx, strict=True)
    )
    there = np.argwhere(labels[box])
    if not there.size:
        return None
    native = there + [s.start for s in box]
    away = np.linalg.norm(grid.to_lps_mm(native) - np.asarray(point_lps_mm), axis=1)
    found = labels[box][tuple(there.T)]
    k = int(np.lexsort((found, np.round(away, 6)))[0])
    return Pick(int(found[k]), float(away[k])) if away[k] <= PICK_MM else None


class Draft:
    """A segmentation while it is changed: its maps are copied once, however many changes follow."""

    def __init__(
        self, volume: CTVolume, segmentation: Segmentation, settings: SegmentSettings
    ) -> None:
        self.volume, self.before, self.settings = volume, segmentation, settings
        self.lesions: NDArray[np.uint16] = segmentation.lesions.array.astype(np.uint16)
        self.excluded: NDArray[np.uint16] = segmentation.excluded.array.astype(np.uint16)
        self.skeleton: Bool = segmentation.skeleton.array.astype(bool)
        self.metal: Bool = segmentation.metal.array.astype(bool)
        self.flags: dict[int, list[str]] = {
            k: list(v) for k, v in segmentation.lesion_flags.items()
        }
        self.regions = {r.label: r for r in segmentation.excluded_regions}
        self._touched: set[int] = set()
        self._next_left = max(self.regions, default=0) + 1
        self._next_lesion = max(self.flags, default=0) + 1

    @property
    def grid(self) -> Grid:
        """The exam's grid."""
        return self.volume.grid

    def index_of(self, point_lps_mm: Triple) -> tuple[int, int, int] | None:
        """The voxel that a point lies in; None outside of the scan."""
        return index_of(self.grid, point_lps_mm)

    def pick(self, labels: NDArray[np.uint16], point_lps_mm: Triple) -> Pick | None:
        """As :func:`pick_at`, on this exam's grid."""
        return pick_at(labels, self.grid, point_lps_mm)

    def volume_of(self, labels: NDArray[np.uint16], label: int) -> float:
        """Volume of a label, mm3."""
        return float(np.count_nonzero(labels == label)) * self.grid.voxel_volume_mm3

    def nearest(self, wanted: str, point_lps_mm: Triple) -> str:
        """Where the nearest piece that could have been meant lies, in words."""
        centres: list[tuple[str, Triple]]
        if wanted == "include":
            centres = [(r.reason, r.centroid_lps_mm) for r in self.regions.values()]
        else:
            centres = [("lesion", self._centroid(label)) for label in sorted(self.flags)]
        if not centres:
            return "There is none in this exam."
        away = [float(np.linalg.norm(np.subtract(c, point_lps_mm))) for _, c in centres]
        k = int(np.argmin(away))
        name, (x, y, z) = centres[k]
        place = f"{x:.1f},{y:.1f},{z:.1f}"
        return f"The nearest ({name}) has its middle {away[k]:.0f} mm away at {place}."

    def call(self, label: int, flags: Sequence[str]) -> None:
        """Make an excluded piece a lesion; where its outline is empty, the piece as it is."""
        mask = self.excluded == label
        tight = bounding_box(mask, margin_voxels(ROOM_MM, self.grid.spacing_zyx_mm))
        self.regions.pop(label)
        if tight is None:
            return
        rough = fill_holes(mask[tight])
        self.excluded[tight][mask[tight]] = 0
        self.metal[tight] &= ~rough  # the reader says that it is none
        drawn = self._outline(rough, tight)
        self.add(drawn, rough, tight, flags)

    def restore(self, label: int, flags: Sequence[str]) -> None:
        """Make a piece a lesion again with the very voxels that a reader left out."""
        mask = self.excluded == label
        tight = bounding_box(mask, margin_voxels(ROOM_MM, self.grid.spacing_zyx_mm))
        self.regions.pop(label)
        if tight is None:
            return
        part, number = mask[tight], self._new_label()
        self.excluded[mask] = 0
        self.lesions[mask] = number
        self.flags[number] = [*self._attached(part, self.skeleton[tight] & ~part), *flags]

    def add(self, drawn: Bool, rough: Bool, box: Box, flags: Sequence[str]) -> None:
        """Put an outline into the maps, each of its larger parts a lesion of its own."""
        spacing = self.grid.spacing_zyx_mm
        said = list(flags)
        if not drawn.any():
            drawn = rough & (self.lesions[box] == 0)
            said.append("outline_rough")
        bone = self.skeleton[box] & ~dilate_mm(drawn | rough, 0.5, spacing)
        for part in large_parts(drawn):
            label = self._new_label()
            self.lesions[box][part] = label
            self.flags[label] = [*(self._attached(part, bone)), *said]
        self._touched |= _labels_in(self.excluded[box], drawn)
        self.excluded[box][drawn] = 0
        tight = bounding_box(drawn)
        hu, boxes = self.volume.hu[box], [] if tight is None else [tight]
        self.skeleton[box] &= ~with_own_blur(drawn, hu, spacing, boxes)

    def split(self, label: int, seeds_lps_mm: Sequence[Triple]) -> bool:
        """Divide a lesion among points; false, and nothing done, where a part would be empty."""
        tight, mask = self._cropped(label)
        seeds = self.grid.to_index_zyx(seeds_lps_mm) - [s.start for s in tight]
        parts = nearest_part(mask, seeds, self.grid.spacing_zyx_mm)
        return self._divide(label, tight, mask, parts, len(seeds))

    def cut(self, label: int, plane_lps_mm: Sequence[Triple]) -> bool:
        """Divide a lesion by a plane, given by three points; false as :meth:`split`."""
        tight, mask = self._cropped(label)
        inside = np.argwhere(mask)
        places = self.grid.to_lps_mm(inside + [s.start for s in tight])
        parts = np.zeros(mask.shape, np.uint8)
        parts[tuple(inside.T)] = 1 + beyond_plane(places, plane_lps_mm)
        return self._divide(label, tight, mask, parts, 2)

    def _cropped(self, label: int) -> tuple[Box, Bool]:
        """A lesion with room around it: where, and its voxels there."""
        spacing = self.grid.spacing_zyx_mm
        tight = bounding_box(self.lesions == label, margin_voxels(2 * max(spacing), spacing))
        assert tight is not None
        return tight, self.lesions[tight] == label

    def _divide(
        self, label: int, tight: Box, mask: Bool, parts: NDArray[np.uint8], count: int
    ) -> bool:
        """Make each part a lesion, of which the largest keeps the number."""
        sizes = np.bincount(parts[mask], minlength=count + 1)[1:]
        if not sizes.all():
            return False
        kept = int(np.argmax(sizes))
        bone = self.skeleton[tight] & ~mask
        said = [*(f for f in self.flags[label] if f not in (ATTACHED, SPLIT)), SPLIT]
        for k in range(count):
            part = parts == k + 1
            number = label if k == kept else self._new_label()
            self.lesions[tight][part] = number
            self.flags[number] = [*self._attached(part, bone), *said]
        return True

    def merge(self, labels: Sequence[int]) -> float:
        """Make lesions one, which has the largest one's number; volume of all, mm3."""
        sizes = {label: self.volume_of(self.lesions, label) for label in sorted(set(labels))}
        into = max(sizes, key=lambda label: sizes[label])
        said = dict.fromkeys(flag for label in (into, *sizes) for flag in self.flags[label])
        for label in sizes.keys() - {into}:
            self.lesions[self.lesions == label] = into
            self.flags.pop(label)
        self.flags[into] = [*(f for f in said if f != MERGED), MERGED]
        return sum(sizes.values())

    def _new_label(self) -> int:
        self._next_lesion += 1
        return self._next_lesion - 1

    def _attached(self, part: Bool, bone: Bool) -> list[str]:
        spacing = self.grid.spacing_zyx_mm
        touching = (dilate_mm(part, 1.01 * max(spacing), spacing) & bone).any()
        return [ATTACHED] if touching else []

    def forget(self, label: int) -> None:
        """Take a piece off the excluded map; what it covers is named otherwise."""
        self.excluded[self.excluded == label] = 0
        self.regions.pop(label)

    def leave(self, label: int) -> float:
        """Move a lesion to the excluded map; its volume in mm3."""
        mask = self.lesions == label
        size = float(np.count_nonzero(mask)) * self.grid.voxel_volume_mm3
        self.lesions[mask] = 0
        self.excluded[mask] = self._next_left
        flags = self.flags.pop(label)
        tight = bounding_box(mask) or (slice(0, 1),) * 3
        middle, inside = middle_and_inside(mask[tight], tight, self.grid)
        note = f"was called a lesion of {size:.0f} mm3"
        note += f" ({', '.join(flags)})" if flags else ""
        self.regions[self._next_left] = ExcludedRegion(
            self._next_left, BY_READER, size, middle, note, inside
        )
        self._next_left += 1
        return size

    def finished(self, findings: Sequence[Finding], *, keep_numbers: bool = False) -> Segmentation:
        """The segmentation with all changes, its lesions numbered without gaps or as they were."""
        kept = sorted(self.flags)
        if not keep_numbers and kept != list(range(1, len(kept) + 1)):
            numbers = np.zeros(max(kept, default=0) + 1, dtype=np.uint16)
            numbers[kept] = np.arange(1, len(kept) + 1)
            self.lesions = numbers[self.lesions]
        regions = [self.regions[label] for label in sorted(self.regions)]
        return replace(
            self.before,
            lesions=Mask(self.lesions, self.grid),
            excluded=Mask(self.excluded, self.grid),
            skeleton=Mask(self.skeleton, self.grid),
            metal=Mask(self.metal, self.grid),
            lesion_flags={
                old if keep_numbers else new: self.flags[old]
                for new, old in enumerate(kept, start=1)
            },
            excluded_regions=_rests(regions, self.excluded, self._touched, self.grid),
            findings=[*self.before.findings, *findings],
        )

    def _outline(self, rough: Bool, box: Box) -> Bool:
        spacing = self.grid.spacing_zyx_mm
        bone = self.skeleton[box]
        # A piece that was taken for native bone lies in the filled skeleton with its marrow; the
        # blur around it went with it.
        own = dilate_mm(rough, 2.0, spacing) if (bone & rough).sum() > 0.5 * rough.sum() else rough
        forbidden = (bone & ~own) | self.metal[box] | (self.lesions[box] > 0)
        return outline(self.volume.hu[box], rough, forbidden, spacing, self.settings.group_mm)

    def _centroid(self, label: int) -> Triple:
        x, y, z = self.grid.to_lps_mm(np.argwhere(self.lesions == label).mean(axis=0)).tolist()
        return (x, y, z)


def middle_and_inside(mask: Bool, box: Box, grid: Grid) -> tuple[Triple, Triple]:
    """The centroid of a piece and its voxel centre nearest to that, both LPS mm.

    Args:
        mask: The piece in a crop; at least one voxel.
        box: Where the crop lies in the grid.
        grid: Of the whole array.
    """
    indices = np.argwhere(mask) + [s.start for s in box]
    middle = indices.mean(axis=0)
    away = (((indices - middle) * grid.spacing_zyx_mm) ** 2).sum(axis=1)
    nearest = indices[int(np.argmin(away))]
    (a, b, c), (x, y, z) = grid.to_lps_mm([middle, nearest]).tolist()
    return (a, b, c), (x, y, z)


def taken_from(
    segmentation: Segmentation, outlines: NDArray[np.unsignedinteger[Any]], volume: CTVolume
) -> Segmentation:
    """The segmentation without native bone and excluded pieces where a reader drew an outline.

    The blur round an outline is no native bone either. A piece that lost some of its voxels has the
    numbers of what is left, one that lost all is gone.

    Args:
        segmentation: Of an exam; its maps are not written to.
        outlines: The reader's outlines as labels, of the exam's shape.
        volume: The exam, HU.
    """
    drawn = outlines > 0
    left, bone = segmentation.excluded, segmentation.skeleton
    touched = _labels_in(left.array, drawn)
    spacing = volume.grid.spacing_zyx_mm
    blurred = with_own_blur(drawn, volume.hu, spacing, boxes_of(outlines))
    # Plane by plane: what is empty takes no memory.
    kept = (plane * ~taken for plane, taken in zip(left.array, drawn, strict=True))
    native = (plane & ~taken for plane, taken in zip(bone.array, blurred, strict=True))
    excluded = sparse_filled(left.array.shape, left.array.dtype, kept)
    skeleton = sparse_filled(bone.array.shape, bool, native)
    return replace(
        segmentation,
        excluded=Mask(excluded, left.grid),
        skeleton=Mask(skeleton, bone.grid),
        excluded_regions=_rests(segmentation.excluded_regions, excluded, touched, left.grid),
    )


def _labels_in(labels: NDArray[np.uint16], mask: Bool) -> set[int]:
    """Labels, without the background, of the voxels in a mask."""
    return set(np.unique(labels[mask]).tolist()) - {0}


def _rests(
    regions: Sequence[ExcludedRegion], left: NDArray[np.uint16], touched: set[int], grid: Grid
) -> list[ExcludedRegion]:
    """The pieces of a map, those that lost voxels with the numbers of what is left of them."""
    rests = [_rest(r, left, grid) if r.label in touched else r for r in regions]
    return [r for r in rests if r is not None]


def _rest(region: ExcludedRegion, left: NDArray[np.uint16], grid: Grid) -> ExcludedRegion | None:
    """What is left of an excluded piece; None for nothing."""
    mask = left == region.label
    box = bounding_box(mask)
    if box is None:
        return None
    middle, inside = middle_and_inside(mask[box], box, grid)
    size = float(np.count_nonzero(mask[box])) * grid.voxel_volume_mm3
    return replace(region, volume_mm3=size, centroid_lps_mm=middle, inside_lps_mm=inside)


def large_parts(mask: Bool) -> list[Bool]:
    """The components of a mask that hold at least 15 % of the largest one's voxels."""
    labels, count = label_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return [labels == k for k in range(1, count + 1) if sizes[k] >= 0.15 * sizes.max()]
