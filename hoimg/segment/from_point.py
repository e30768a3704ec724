"""The outline of a lesion from one point in it, in the ways that what lies there may be taken.

Native bone around is known by its marrow (the basin that holds the point is none), by the other
side where that does not reach the point, or is given. The surface that best parts the evidence is
drawn from the point (:mod:`hoimg.segment.star`), once by texture and, where a rim is met, again by
the rim; then :func:`hoimg.segment.outline.outline` finishes it as it does any other candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, Grid, bounding_box, margin_voxels, nested
from hoimg.image import CTVolume
from hoimg.segment.evidence import (
    CALM_MM,
    rim_evidence,
    soft_background,
    texture_evidence,
)
from hoimg.segment.middle import SeededLesion
from hoimg.segment.morphology import (
    dilate_mm,
    distance_mm,
    erode_mm,
    fill_holes,
    label_components,
    smooth_mm,
)
from hoimg.segment.nearby import native_around
from hoimg.segment.outline import convex, outline, plateau_percentile
from hoimg.segment.star import star_union
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]
Floats = NDArray[np.float32]

ROOM_MM = 36.0
"""Half of the side of the block around the point: lesions of 5 cm are seen whole."""
AT_POINT_MM = 1.5
"""No bone is native this near to the point."""
NEAR_MM = 7.0
"""The lesion's own level is read within this distance, until an outline is known."""
COARSE_MM, COARSE_PERCENTILE = 1.5, 75.0
LEVEL_ROUNDS = 2
"""Scale of texture and percentile of its level for the first, coarse surface."""
PAIRED_MM = 1.0
"""Dense voxels this near to mirrored bone are native..."""
UNPAIRED_MM = 5.0
"""...unless mirrored bone comes this near to the point: then it was stretched over the lesion, or
the other side has the same lesion."""
BESIDE_MM, MOSTLY = 3.0, 0.5
"""What is drawn and lies mostly this near to mirrored bone may be that bone, into which it leaked:
the two sides of a patient differ by about so much."""
HARD_HU = 250.0
"""Above the background: denser than floccules."""
HARD_MM3 = 300.0
"""Hard pieces of this size are bone; or the lesion's own rim, where they surround it."""
RINGED = 0.35
"""A lesion with this part of its surface on hard pieces is surrounded by its own rim."""
RIM_FROM_HU = 300.0
"""A lesion with a 95th percentile of this above the background has a rim."""
RIM_AWAY_MM = 4.0
"""A closed core's own rim ends here; denser tissue farther away is another bone's."""
CORE_MM = 2.0
"""Least depth of a core that has a rim of its own."""
CORE_MM3 = 80.0
TOO_SMALL_MM3 = 60.0
"""A coarse outline below this has fallen into one clump; the rim is tried."""
LEAST_VOXELS = 20
TRIM_MM = 12.0
PIECE = 0.25
"""Pieces of an outline that are smaller than this part of the largest are specks beside it."""
SPECK_MM3 = 10.0
"""An outline below this is a few voxels' noise."""
LEAST_CONTRAST_HU = 25.0
"""An outline that is on the average less than this above soft tissue holds no mineral."""
RIM_CLEAR = -0.125
"""Evidence by the rim below this is clear soft tissue outside of the lesion."""
RIM_GAP_MM = 4.0


def outlines_at(
    volume: CTVolume,
    point_lps_mm: Sequence[float],
    metal: Bool,
    lesions: NDArray[np.uint16],
    settings: SegmentSettings,
    *,
    mineral_hu: float,
    working: Working,
    given: Bool | None = None,
    paired_mm: NDArray[np.float32] | None = None,
) -> list[SeededLesion]:
    """Outline the lesion that holds a point, in the ways that what lies there may be taken.

    Args:
        volume: The exam, HU.
        point_lps_mm: In the lesion; LPS mm.
        metal: Metal on the exam's grid.
        lesions: Other lesions, not 0 there, on the exam's grid.
        settings: Section ``segment``.
        mineral_hu: Voxels above this are mineral (in this exam's tube voltage).
        working: The exam's working grid.
        given: A native skeleton on the working grid, or None to find it by marrow and other side.
        paired_mm: Distance to mirrored bone on the working grid, or None.

    Returns:
        The lesion; where its outline comes in several pieces, these joined; and where it lies
        mostly on mirrored bone, the same with that as native. Empty when the point lies outside of
        the exam or nothing there is denser than soft tissue.
    """
    index = np.asarray(volume.grid.to_index_zyx(point_lps_mm), dtype=float)
    nearest = np.rint(index).astype(int)
    size = volume.grid.size_zyx
    if (nearest < 0).any() or (nearest >= size).any():
        return []
    block = _block(nearest, volume.grid)
    point = index - [s.start for s in block]
    hu = volume.hu[block].astype(np.float32)
    near = _Near(hu, point, volume.grid.spacing_zyx_mm)
    own = np.zeros(hu.shape, dtype=bool)
    to_mirrored: Floats | None = None
    if given is not None:
        native = working.block(given, block)
    else:
        native, own = native_around(hu, point, near.spacing, settings, mineral_hu)
        if paired_mm is not None:
            to_mirrored = working.block(paired_mm, block)
    barred = (metal[block] | (lesions[block] > 0)) & (near.distance_mm > 0)

    def drawn(native: Bool) -> list[Bool]:
        native = native & (near.distance_mm > AT_POINT_MM)
        return _drawn(near, native, own, barred, mineral_hu, settings)

    if to_mirrored is None:
        found = drawn(native)
    else:
        paired = (to_mirrored <= PAIRED_MM) & (near.calm > mineral_hu) & ~own
        away = float(to_mirrored[tuple(np.rint(point).astype(int))])
        found = drawn(native | paired if away > UNPAIRED_MM else native)
        beside = PAIRED_MM < away <= UNPAIRED_MM and found[0].any()
        if beside and (to_mirrored[found[0]] <= BESIDE_MM).mean() > MOSTLY:
            found += drawn(native | paired)
    kept = [_placed(one, block) for one in found if _is_lesion(one, near)]
    return [one for one in kept if one is not None]


def _is_lesion(found: Bool, near: _Near) -> bool:
    """Whether an outline is more than noise."""
    if near.volume_mm3(found) < SPECK_MM3:
        return False
    return float(near.calm[found].mean()) - near.background_hu >= LEAST_CONTRAST_HU


def _placed(found: Bool, block: Box) -> SeededLesion | None:
    """An outline in a block as a lesion in the exam."""
    tight = bounding_box(found, (1, 1, 1))
    if tight is None:
        return None
    return SeededLesion(nested(block, tight), found[tight])


class _Near:
    """The block around the point."""

    def __init__(
        self, hu: Floats, point: NDArray[np.float64], spacing: tuple[float, float, float]
    ) -> None:
        self.hu, self.point, self.spacing = hu, point, spacing
        self.calm = smooth_mm(hu, CALM_MM, spacing)
        z, y, x = np.ogrid[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
        squared = (
            ((z - point[0]) * spacing[0]) ** 2
            + ((y - point[1]) * spacing[1]) ** 2
            + ((x - point[2]) * spacing[2]) ** 2
        )
        self.distance_mm: Floats = np.sqrt(squared).astype(np.float32)
        self.background_hu = soft_background(hu, (hu > 0) & (hu < 110))

    def volume_mm3(self, mask: Bool) -> float:
        return float(mask.sum()) * float(np.prod(self.spacing))


def _drawn(
    near: _Near,
    native: Bool,
    own: Bool,
    barred: Bool,
    mineral_hu: float,
    settings: SegmentSettings,
) -> list[Bool]:
    """The lesion in the block: by texture, or by its rim where it has one."""
    hard = (near.calm > near.background_hu + HARD_HU) & ~native
    labels, count = label_components(hard)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(near.spacing))
    sizes[0] = 0.0
    large = (sizes > HARD_MM3)[labels]
    bone = native | (dilate_mm(large, 0.8, near.spacing) & (near.calm > mineral_hu))
    bone = fill_holes(bone) & (near.distance_mm > AT_POINT_MM)
    rough, _ = _by_texture(near, bone | barred)
    if not _rimmed(near, rough, bone, large):
        return _finished(near, rough, bone | barred, settings)
    if near.volume_mm3(own) > CORE_MM3 and distance_mm(~own, near.spacing).max() > CORE_MM:
        # A closed core has a rim of its own; what lies behind that is another bone.
        far = distance_mm(own, near.spacing) > RIM_AWAY_MM
        native = native | (far & (near.calm > mineral_hu))
    rough, texture = _by_texture(near, native | barred)
    evidence = rim_evidence(near.calm, near.background_hu, texture, native | barred, near.spacing)
    by_rim = star_union(
        evidence, near.point, near.spacing, ROOM_MM - 2.0, clear=RIM_CLEAR, gap_mm=RIM_GAP_MM
    )
    by_rim &= ~(native | barred)
    if by_rim.sum() >= LEAST_VOXELS:
        rough = by_rim
    return _finished(near, rough, native | barred, settings)


def _by_texture(near: _Near, forbidden: Bool) -> tuple[Bool, Floats]:
    """The coarse surface, and the evidence that it was drawn by.

    The lesion's level is first read round the point, and then inside of what was found: round a
    small lesion lies mostly muscle, and half of a level that is too low lies far outside.
    """
    inside = near.distance_mm < NEAR_MM
    percentile = COARSE_PERCENTILE
    for _ in range(LEVEL_ROUNDS):
        evidence, _level = texture_evidence(
            near.calm,
            near.background_hu,
            inside,
            forbidden,
            near.spacing,
            scale_mm=COARSE_MM,
            percentile=percentile,
        )
        found = star_union(evidence, near.point, near.spacing, ROOM_MM - 2.0) & ~forbidden
        if found.sum() < LEAST_VOXELS:
            break
        inside = found
        percentile = plateau_percentile(near.volume_mm3(found), COARSE_MM)
    return found, evidence


def _rimmed(near: _Near, rough: Bool, bone: Bool, hard: Bool) -> bool:
    """Whether the lesion has a rim: in itself, or taken for bone around it."""
    if near.volume_mm3(rough) < TOO_SMALL_MM3:
        return True
    clear = rough & ~dilate_mm(bone, 1.2, near.spacing)
    if clear.sum() > 10:
        bright = float(np.percentile(near.calm[clear], 95)) - near.background_hu
        if bright > RIM_FROM_HU:
            return True
    surface = rough & ~erode_mm(rough, 1.01 * max(near.spacing), near.spacing)
    return bool(surface.any() and dilate_mm(hard, 2.5, near.spacing)[surface].mean() > RINGED)


def _finished(near: _Near, rough: Bool, forbidden: Bool, settings: SegmentSettings) -> list[Bool]:
    """The outline as of any other candidate: the piece at the point, and several joined."""
    out = np.zeros_like(rough)
    box = bounding_box(rough, margin_voxels(TRIM_MM, near.spacing))
    if box is None:
        return [out]
    out[box] = outline(near.hu[box], rough[box], forbidden[box], near.spacing, settings.group_mm)
    labels, count = label_components(out)
    if count <= 1:
        return [out]
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    here = int(labels[tuple(np.rint(near.point).astype(int))]) or int(np.argmax(sizes))
    large = sizes >= PIECE * sizes.max()
    if large.sum() == 1:
        return [labels == here]
    # The surface from the point holds them all: patches of one rim, or of two lesions.
    pieces: Bool = large[labels]
    return [labels == here, pieces | (convex(pieces) & rough & ~forbidden)]


def _block(nearest: NDArray[np.int64], grid: Grid) -> Box:
    margin = margin_voxels(ROOM_MM, grid.spacing_zyx_mm)
    parts = [
        slice(max(int(i) - m, 0), min(int(i) + m + 1, n))
        for i, m, n in zip(nearest, margin, grid.size_zyx, strict=True)
    ]
    return (parts[0], parts[1], parts[2])
