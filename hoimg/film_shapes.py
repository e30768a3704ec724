"""What was drawn on a film's pixels, whoever drew it: a lesion's outline, the bones of a hip.

Segmentation and readers make them, measures take them; neither knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FilmOutline:
    """The outline of one lesion on one film.

    Attributes:
        region_yx: What was given, bool on the film's pixels.
        inside_yx: The mineral's shadow, holes filled, likewise; None when ``reason`` is set.
        background_yx: Film units: under the outline what surrounds it, carried on smoothly; the
            film itself elsewhere. None without an outline.
        contrast_to_noise: Mean of film less background inside over the typical unevenness round it
            (1.4826 times the median deviation, after a blur of 1 mm, less the mean over 10 mm);
            also of an outline that was refused. None when nothing could be tried.
        reason: Why there is none: ``film_contrast_below_noise``, ``region_outside_field``,
            ``region_leaves_no_background``, ``region_too_large``; None when there is one.
        flags: ``touches_fov``, ``overlaps_cortex`` (an edge of native bone runs through it),
            ``region_too_tight`` (the outline lies on the region's border). Of a refused outline
            ``film_outline_follows_bone``: what was found runs along edges that go on outside of it.
        edge_cost: Mean cost of the outline, 0.05 on a perfect edge, 1.05 on none.
        area_span: Least and largest area, over its own, of the outlines that fit nearly as well.
        length_span: The same of the longest dimension.
        excess: Mean of film less background inside, film units, of an outline that was kept
            without its background; None: it is read off the background.
    """

    region_yx: Bools
    inside_yx: Bools | None
    background_yx: NDArray[np.float32] | None
    contrast_to_noise: float | None
    reason: str | None
    flags: tuple[str, ...] = ()
    edge_cost: float | None = None
    area_span: tuple[float, float] = (1.0, 1.0)
    length_span: tuple[float, float] = (1.0, 1.0)
    excess: float | None = None


@dataclass(frozen=True, eq=False)
class HipLandmarks:
    """What is native at one hip of a film, on the film's pixels.

    Attributes:
        side: The patient's.
        pelvis_yx: Silhouette of the pelvis, ``[y, x]``, without the head's disc and the mineral.
        femur_yx: Of the femur, likewise.
        head_center_yx: Pixels; None when it is not known.
        head_radius_px: Along rows and columns, pixels; None with it.
        source: ``given`` or ``found``.
    """

    side: Literal["right", "left"]
    pelvis_yx: Bools
    femur_yx: Bools
    head_center_yx: tuple[float, float] | None = None
    head_radius_px: tuple[float, float] | None = None
    source: Literal["given", "found"] = "given"
