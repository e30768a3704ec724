"""Inside a region that a reader gave: everything but native bone is called, the small ones too.

The automatic way looks at voxels of about 1.5 mm and calls nothing below 200 mm3. In a region the
question is no longer whether something is a lesion, so that what was left out there is called, and
what those voxels cannot show is looked for on the exam's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hoimg.attenuation import hu_at_kvp
from hoimg.geometry import Box, bounding_box, margin_voxels, widened
from hoimg.image import CTVolume, Mask
from hoimg.results import Finding
from hoimg.segment.draft import Draft
from hoimg.segment.morphology import dilate_mm, fill_holes, label_components, smooth_mm
from hoimg.segment.types import Segmentation
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

IN_REGION = "called_in_region"
NEVER = frozenset({"metal", "contrast", "unassessed"})
"""No mineral, or outside of the region by its own reason."""
SMALL_MM3 = 500.0
"""Free pieces up to this size, at the mineral threshold, are outlined on the exam's own voxels."""
SPECK_MM3 = 4.0
"""Outlines below this are a few voxels' noise."""
FINE_LIMIT_MM3 = 1.0e6
"""In a larger region (one litre) no small pieces are looked for: it is no place but a body part."""
ROOM_MM = 15.0
NOISE_SD = 5.0
"""A small piece must exceed the soft tissue in the region by this many SD of its noise."""
CALM_MM = 0.6
REACH_MM = 2.5


def call_in_region(
    volume: CTVolume,
    segmentation: Segmentation,
    roi: Mask,
    settings: SegmentSettings | None = None,
    *,
    kvp: float | None = None,
) -> Segmentation:
    """Call what a segmentation left out inside a region.

    Pieces of the excluded map of which at least half lies in the region become lesions, whatever
    the reason (not metal, not an enhanced lumen); then free mineral on the exam's own voxels up to
    500 mm3 that nothing has named yet. Native bone stays native.

    Args:
        volume: The exam, HU.
        segmentation: Of :func:`hoimg.segment.segment_exam` with the same region.
        roi: The region, bool, on the exam's grid.
        settings: Section ``segment``; None for the defaults.
        kvp: Tube voltage, for the mineral threshold; None counts as 120 kV.
    """
    settings = settings or SegmentSettings()
    draft = Draft(volume, segmentation, settings)
    inside = roi.array > 0
    box = bounding_box(inside, margin_voxels(ROOM_MM, volume.grid.spacing_zyx_mm))
    if box is None:
        return segmentation
    size_mm3 = float(np.count_nonzero(inside[box])) * volume.grid.voxel_volume_mm3
    told: list[Finding] = []
    if size_mm3 <= FINE_LIMIT_MM3:
        _call_listed(draft, inside, above_mm3=SMALL_MM3)
        _call_small(draft, inside, hu_at_kvp(settings.mineral_hu_120kvp, kvp))
    else:
        told.append(
            Finding(
                code="region_large",
                level="info",
                message="The region is larger than a litre: pieces below "
                f"{settings.min_lesion_mm3:.0f} mm3 were not looked for.",
                fix="Give a smaller region around the place that is meant.",
            )
        )
    _call_listed(draft, inside, above_mm3=0.0)
    return draft.finished(told)


def _call_listed(draft: Draft, inside: Bool, above_mm3: float) -> None:
    """Call the listed pieces of which at least half lies inside, in the order of their labels."""
    found = np.bincount(draft.excluded[inside], minlength=1)
    for label in np.flatnonzero(found).tolist():
        region = draft.regions.get(label)
        if region is None or region.reason in NEVER or region.volume_mm3 <= above_mm3:
            continue
        if found[label] * draft.grid.voxel_volume_mm3 >= 0.5 * region.volume_mm3:
            draft.call(label, [IN_REGION, f"overruled:{region.reason}"])


def _call_small(draft: Draft, inside: Bool, mineral_hu: float) -> None:
    """Small free pieces on the exam's own voxels, each outlined at half of its own maximum."""
    from scipy import ndimage as ndi

    spacing = draft.grid.spacing_zyx_mm
    voxel = draft.grid.voxel_volume_mm3
    box = bounding_box(inside, margin_voxels(ROOM_MM, spacing))
    if box is None:
        return
    calm = smooth_mm(draft.volume.hu[box], CALM_MM, spacing)
    soft = calm[(calm > -150) & (calm < 130)]
    if soft.size:
        middle = float(np.median(soft))
        noise = 1.4826 * float(np.median(np.abs(soft - middle)))
        mineral_hu = max(mineral_hu, middle + NOISE_SD * noise)
    labels, count = label_components(calm > mineral_hu)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel
    taken = dilate_mm(draft.skeleton[box], 1.01 * max(spacing), spacing)
    taken |= (draft.lesions[box] > 0) | draft.metal[box]
    wanted = sizes <= SMALL_MM3
    wanted[np.unique(labels[taken])] = False
    wanted[0] = False
    wanted[np.setdiff1d(np.arange(count + 1), np.unique(labels[inside[box]]))] = False
    for label, part in enumerate(ndi.find_objects(labels, max_label=count), start=1):
        if part is None or not wanted[label]:
            continue
        here = widened(part, margin_voxels(REACH_MM + 4.0, spacing), labels.shape)
        native = _moved(here, box)
        piece = labels[here] == label
        others = (labels[here] > 0) & ~piece
        drawn = half_maximum(draft.volume.hu[native], calm[here], piece, others, spacing)
        drawn &= ~taken[here]
        if drawn.sum() * voxel < SPECK_MM3:
            continue
        flags = [IN_REGION]
        covered = np.unique(draft.excluded[native][piece])
        for k in covered[covered > 0].tolist():
            flags.append(f"overruled:{draft.regions[k].reason}")
            draft.forget(k)
        draft.add(drawn, piece, native, flags)


def half_maximum(
    hu: NDArray[np.int16] | NDArray[np.float32],
    calm: NDArray[np.float32],
    piece: Bool,
    others: Bool,
    spacing_zyx_mm: tuple[float, float, float],
) -> Bool:
    """A small piece at half way between the soft tissue around and its own maximum.

    A body of a few millimetres has one peak; there is neither a rim to follow nor room for texture.

    Args:
        hu: Crop of the exam, HU.
        calm: The same crop, smoothed against noise, from which the maximum is read.
        piece: The piece at the mineral threshold.
        others: Other mineral in the crop.
        spacing_zyx_mm: Spacing.

    Returns:
        Boolean array of the crop's shape, filled; empty when nothing passes.
    """
    region = dilate_mm(piece, REACH_MM, spacing_zyx_mm)
    far = ~region & ~dilate_mm(others, REACH_MM, spacing_zyx_mm)
    around = hu[far & (hu > -150) & (hu < 130)]
    background = float(np.median(around)) if around.size >= 50 else 50.0
    half = background + 0.5 * (float(calm[piece].max()) - background)
    dense = region & (hu >= half) & ~others
    labels, count = label_components(dense)
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.unique(labels[piece & dense])] = True
    keep[0] = False
    return fill_holes(keep[labels])


def _moved(inner: Box, outer: Box) -> Box:
    """A box of a crop as a box of the whole."""
    z, y, x = (
        slice(o.start + i.start, o.start + i.stop) for i, o in zip(inner, outer, strict=True)
    )
    return (z, y, x)
