"""A lesion's outline on the native grid: filled envelope at half of the local maximum.

A fixed threshold makes a lesion that only densifies look as if it grew; half-way between the local
soft tissue and the local rim does not (``EVIDENCE.md``: 10 mm sphere, 96 % of truth against 105 to
156 %). Floccules and marrow cores are inside of the envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import bounding_box
from hoimg.segment.morphology import (
    close_mm,
    dilate_mm,
    erode_mm,
    fill_holes,
    label_components,
    smooth_mm,
)
from hoimg.segment.star import enclosed_part

Bool = NDArray[np.bool_]

REACH_MM = 2.5
"""How far the outline may lie outside of the candidate that was found on the working grid."""
RIM_SEARCH_MM = 3.0
"""The local maximum is looked for within this distance: the rim is at most that far inside."""
CALM_MM, SHARP_MM = 0.45, 0.3
"""A voxel's own noise must not be its local maximum: a little smoothing. More of it lowers the peak
of a rim 1-2 mm thick, and half of a peak that is too low lies outside of the surface..."""
DENSE_RIM_HU = 450.0
"""...so that a rim this much above the background, to which noise adds little, is smoothed less."""

LEAST_CONTRAST_HU = 100.0
"""Half of this above the background is the lowest boundary: below it lies muscle's own texture."""

FLOCCULAR = 0.4
"""Below this density (0 at 150 HU over background, 1 at 550) a lesion is outlined as floccules."""
CLOSED = 0.3
"""A faint rim that encloses this part of what it bounds is closed, and no floccules: its own half
height is the edge (a rim of 1 mm in slices of 2 mm is no denser than floccules)."""
RIM_CONTRAST_HU = 300.0
"""Floccules stay below this contrast; what is denser is rim."""
TWO_KINDS = 0.7
"""Below this density rim and floccules are hardly two kinds of edge: what lies beside the dense
part and is fainter than floccules is its own blur, and would be outlined a second time."""
HULL_SIGMA_MM = 1.2
"""Wide enough to join clumps 2-3 mm apart, and no wider: half of the plateau of a body that is not
much wider than the window lies outside of it."""
NEAR_MM = 2.5
"""The plateau is that of the floccules within about this distance: one window's width deeper than
the edge, and a clump and its gap wide."""
FAR_PART = 0.02
"""Where less than this part of that neighbourhood is known, the whole lesion's plateau counts."""
BLUR_MM = 1.5
"""Bone and rim reach this far by their blur, but in any scan at least to the next voxel."""
LEAST_WEIGHT = 0.35
"""Local means are taken over what is clear of that blur. Over a smaller part of the window than
this they say nothing: there the rim itself, or nothing, is the outline."""
LEAST_MEAN_HU = 60.0
"""Floccules reach this mean above the background: half of it is muscle's own texture."""
LEAST_BEHIND_RIM_HU = 80.0
"""The same behind a rim: lower means are marrow that has come in their place, blurred rim and all,
and nothing that could show where the rim is missing."""
BONE_MM = 5.0
"""Nearer to bone than this, floccules outside of the convex hull of what is dense are not trusted:
bone's own blur and texture run on beside the lesion. That is bone's blur and two windows."""
MUSCLE_HU = 50.0
"""Background where there is too little soft tissue. Fat does not count as background: floccules lie
in muscle or in what has become of it, and half-way down to fat is muscle."""
BACKGROUND_MM = 5.0
"""Standard deviation of the window of the background: it reaches through 4 mm of blur."""
ENCLOSED = 0.55
"""What mineral surrounds in this part of 26 directions, within the convex hull, is inside: the gap
in a rim that is not complete yet meets the rim in little more than half of them."""
CORE_REACH_MM = 20.0


def outline(
    hu: NDArray[Any],
    rough: Bool,
    forbidden: Bool,
    spacing_zyx_mm: Sequence[float],
    close: float,
) -> Bool:
    """Draw the envelope of one candidate in a native crop; it may come out as several lesions.

    Args:
        hu: Crop of the exam, HU, with about 9 mm around the lesion.
        rough: The candidate, filled, in the same crop.
        forbidden: Native bone, metal, other lesions.
        spacing_zyx_mm: Native spacing.
        close: Gaps in the rim narrower than this (mm) are bridged before filling.

    Returns:
        Boolean array of the crop's shape; empty when nothing passes half of the maximum.
    """
    from scipy import ndimage as ndi

    region = dilate_mm(rough, REACH_MM, spacing_zyx_mm) & ~forbidden
    values = hu.astype(np.float32)
    far = ~dilate_mm(rough, 4.0, spacing_zyx_mm) & ~forbidden
    background = _background(values, far, spacing_zyx_mm)
    calm = smooth_mm(values, CALM_MM, spacing_zyx_mm)
    sharp = smooth_mm(values, SHARP_MM, spacing_zyx_mm)
    inside = np.where(calm > background + DENSE_RIM_HU, sharp, calm)
    inside = np.where(region, inside, background)
    size = [2 * max(1, round(RIM_SEARCH_MM / s)) + 1 for s in spacing_zyx_mm]
    peak = ndi.maximum_filter(inside, size=size)
    peak = smooth_mm(peak, 1.5, spacing_zyx_mm)
    half = background + 0.5 * np.maximum(peak - background, LEAST_CONTRAST_HU)
    dense = region & (values >= half)
    # The candidate was cut at a fixed threshold, which lies the farther out the denser the lesion
    # is; floccules, barely above that threshold, are bridged more widely instead.
    bright = float(np.percentile((calm - background)[rough], 95))
    density = float(np.clip((bright - 150.0) / 400.0, 0.0, 1.0))
    deep = erode_mm(rough, 1.0 + 2.5 * density, spacing_zyx_mm) & ~forbidden
    bridge = 0.5 * close * (1.5 - 0.5 * density)
    solid = close_mm(dense | deep, bridge, spacing_zyx_mm) & ~forbidden
    rim = region & (values > background + RIM_CONTRAST_HU)
    if density < FLOCCULAR:
        # The hull is the lesion; the candidate itself was found by a wider window, and is larger.
        clear = ~_blurred(forbidden, spacing_zyx_mm) | solid
        solid = dense
        closed = fill_holes(dense)
        if np.count_nonzero(closed & ~dense) < CLOSED * np.count_nonzero(closed):
            solid |= _hull(values, clear, rough, region, background, LEAST_MEAN_HU, spacing_zyx_mm)
    else:
        # Where a rim is not complete yet, floccules in its gaps are inside of the envelope. Their
        # means are taken beside the rim's own blur, which would put their edge outside of it.
        clear = (~_blurred(forbidden, spacing_zyx_mm) | solid) & ~_blurred(rim, spacing_zyx_mm)
        hull = _hull(
            values,
            clear,
            rough,
            region,
            background,
            LEAST_BEHIND_RIM_HU,
            spacing_zyx_mm,
            must_reach=density < TWO_KINDS,
        )
        near_bone = dilate_mm(forbidden, BONE_MM, spacing_zyx_mm)
        solid |= hull & (~near_bone | _convex_parts(solid))
    solid = close_mm(solid, bridge, spacing_zyx_mm) & ~forbidden
    solid = fill_holes(solid | forbidden) & ~forbidden & dilate_mm(rough, REACH_MM, spacing_zyx_mm)
    if density >= FLOCCULAR and solid.any():
        # A core whose rim has wide gaps is no hole, yet rim lies around it in most directions.
        within = enclosed_part(solid, spacing_zyx_mm, CORE_REACH_MM) >= ENCLOSED
        solid |= within & _convex_parts(solid) & ~forbidden
        solid = fill_holes(solid | forbidden) & ~forbidden
    return solid


def _background(
    values: NDArray[np.float32], far: Bool, spacing_zyx_mm: Sequence[float]
) -> NDArray[np.float32]:
    """HU of the soft tissue round about, place by place: an organ may lie to one side."""
    soft = far & (values > 0) & (values < 130)
    if np.count_nonzero(soft) < 50:
        return np.full(values.shape, MUSCLE_HU, np.float32)
    middle = np.float32(np.median(values[soft]))
    weight = smooth_mm(soft.astype(np.float32), BACKGROUND_MM, spacing_zyx_mm)
    local = smooth_mm(np.where(soft, values - middle, np.float32(0)), BACKGROUND_MM, spacing_zyx_mm)
    local /= weight + np.float32(FAR_PART)
    local += middle
    return local


def _hull(
    values: NDArray[np.float32],
    clear: Bool,
    rough: Bool,
    region: Bool,
    background: NDArray[np.float32],
    least_hu: float,
    spacing_zyx_mm: Sequence[float],
    must_reach: bool = False,
) -> Bool:
    """The half-maximum boundary of floccules at the scale of their texture.

    Clumps a few millimetres apart have no boundary of their own worth the name: their local mean
    has, and half of its plateau is the envelope's edge just as half of a rim's peak is a rim's. The
    plateau is at first the median of what lies deeper than the window reaches, then the mean of
    what lies that deep nearby: floccules thin out to one side, and half of the whole lesion's
    plateau would cut that side off. Means are taken over ``clear`` voxels alone (normalised
    convolution), so that the edge beside a rim is that of the tissue to both sides of its blur.
    With ``must_reach`` there are none where the plateau does not reach ``least_hu``.
    """
    excess = np.clip(values - background, 0, RIM_CONTRAST_HU)
    weight = smooth_mm(clear.astype(np.float32), HULL_SIGMA_MM, spacing_zyx_mm)
    texture = smooth_mm(excess * clear, HULL_SIGMA_MM, spacing_zyx_mm)
    texture /= np.maximum(weight, LEAST_WEIGHT)
    known = weight >= LEAST_WEIGHT
    hull = rough & known
    for near in (False, True, True):  # the candidate itself may be much too large
        inside = hull & clear
        if not inside.any():
            return np.zeros_like(hull)
        volume_mm3 = float(hull.sum()) * float(np.prod(spacing_zyx_mm))
        percentile = plateau_percentile(volume_mm3, HULL_SIGMA_MM)
        plateau: Any = np.float32(np.percentile(texture[inside], percentile))
        if near:
            part = erode_mm(hull, 0.75 * HULL_SIGMA_MM, spacing_zyx_mm) * weight
            total = smooth_mm(texture * part, NEAR_MM, spacing_zyx_mm)
            part = smooth_mm(part, NEAR_MM, spacing_zyx_mm)
            plateau = (total + FAR_PART * plateau) / (part + np.float32(FAR_PART))
        hull = region & known & (texture >= 0.5 * np.maximum(plateau, np.float32(least_hu)))
        if must_reach:
            hull &= plateau >= least_hu
    return hull


def _blurred(mask: Bool, spacing_zyx_mm: Sequence[float]) -> Bool:
    """How far something dense reaches by its blur; a thicker slice blurs into the next one."""
    return dilate_mm(mask, BLUR_MM, [min(s, BLUR_MM) for s in spacing_zyx_mm])


def plateau_percentile(volume_mm3: float, sigma_mm: float) -> float:
    """Percentile of smoothed values inside a body that stands for its plateau.

    It is the median of what lies deeper than three quarters of the window's standard deviation: of
    a ball of radius R that is a part (1 - 0.75 sigma/R)^3 of its volume. Of 0.5, 0.75 and 1 this
    had the least bias on tuning and varied cases together.

    Args:
        volume_mm3: Volume of the body.
        sigma_mm: Standard deviation of the window.
    """
    radius_mm = (3 * max(volume_mm3, 1e-6) / (4 * np.pi)) ** (1 / 3)
    return float(100.0 * (1.0 - 0.5 * max(1.0 - 0.75 * sigma_mm / radius_mm, 0.0) ** 3))


def _convex_parts(mask: Bool) -> Bool:
    """The convex hulls of a mask's larger pieces, one by one."""
    labels, count = label_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    out = np.zeros_like(mask)
    for label in range(1, count + 1):
        if sizes[label] >= 0.15 * sizes[1:].max():
            out |= convex(labels == label)
    return out


def convex(mask: Bool) -> Bool:
    """The convex hull of a mask's voxels; the mask itself where it is flat or empty.

    A voxel's centre is inside when it lies in the hull of all voxels' faces. Along x the hull is
    one interval for each (z, y), bounded by the facets: that takes no test of every voxel against
    every facet, into which most of the outline's time once went.
    """
    from scipy.spatial import ConvexHull, QhullError

    box = bounding_box(mask)
    if box is None or mask.sum() < 8:
        return mask
    tight = np.pad(mask[box], 1)
    points = np.argwhere(tight & ~erode_mm(tight, 1.0, (1.0, 1.0, 1.0))).astype(float)
    if np.linalg.matrix_rank(np.cov(points.T)) < 3:
        return mask
    faces = np.concatenate([points + half * axis for axis in np.eye(3) for half in (-0.5, 0.5)])
    try:
        facets = ConvexHull(faces).equations
    except QhullError:
        return mask
    inside = _within(np.unique(facets.round(9), axis=0), tight.shape)[1:-1, 1:-1, 1:-1]
    out = mask.copy()
    out[box] |= inside
    return out


def _within(facets: NDArray[np.float64], shape: tuple[int, ...]) -> Bool:
    """Voxels behind all facets ``(n, 4)``: normal zyx pointing out, and offset."""
    z, y, x = (np.arange(n, dtype=float) for n in shape)
    low = np.full(shape[:2], -np.inf)
    high = np.full(shape[:2], np.inf)
    for a, b, c, offset in facets:
        rest = -(offset + a * z[:, None] + b * y[None, :]) + 1e-7
        if c > 1e-12:
            np.minimum(high, rest / c, out=high)
        elif c < -1e-12:
            np.maximum(low, rest / c, out=low)
        else:
            high[rest < 0] = -np.inf
    found: Bool = (x >= low[..., None]) & (x <= high[..., None])
    return found
