"""Landmarks of hips on a film: femoral head, and the silhouettes of pelvis and femur beside it.

Given by a reader, or found on a frontal film: all of them, or the bones beside a given head. Found
ones are bone that stands out in the evened film, told apart by where it lies about the head: the
femur outwards and down from the joint, the pelvis above it and towards the middle. Lateral films,
on which both lie over each other, need given ones.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hoimg.film_shapes import HipLandmarks
from hoimg.image import Radiograph
from hoimg.segment.film_even import EvenFilm, disc, even_film, made_even, mean_near
from hoimg.segment.film_head import EVEN_MM, FilmHead, find_film_heads
from hoimg.settings.film import FilmSettings

Bools = NDArray[np.bool_]

STEP_MM = 1.0
BONE_LEVEL = 0.2
"""Of the evened film (standard deviations of its neighbourhood): bone and its edges lie above."""
RIDGE_MM, RIDGE_LEVEL = 2.0, 1.0
"""Cortex seen along its sheet is a bright line; so it shows where the body gets thinner towards the
skin, too: curvature of the evened film across it, of the root mean square one in its neighbourhood
and on the film."""
RIDGE_LEAST = 0.5
"""Of the film as it is, of its root mean square curvature: added lines of cortex have 0.6 in the
middle (tuning seeds), lines of noise 0.1 (a drawn film)."""
FEMUR_FROM_DEG, FEMUR_TO_DEG = -60.0, 35.0
"""Directions from the head's middle, outwards = 0, up = 90, between which bone is femur: from below
the edge of the socket (a line to it stands 45 to 65 degrees up) to the neck's lower edge."""
RIM = (1.6, 10.0)
"""Nearer to the head than so many radii, where the socket's edge is, femur ends at this angle."""
SHAFT = (0.4, -1.5)
"""Below the neck, bone farther out than this many radii is femur, from so many radii down."""
HEAD_OUT = 1.05
"""Nearer to the head's middle, in radii, is the head itself."""
NEAR_HEADS = 3.5
"""A piece of bone that comes this near to the head's middle, in radii, belongs to the hip."""
MIN_PIECE_MM2, LINED = 150.0, 0.06
"""Smaller pieces, and pieces with less of them in lines of cortex (muscle, skin), are no bone."""


def find_hip_landmarks(
    film: Radiograph,
    side: str | None,
    plane: str | None,
    mineral_yx: NDArray[np.generic],
    settings: FilmSettings,
) -> list[HipLandmarks]:
    """Find the hips of a frontal film.

    Args:
        film: Of one hip or of the pelvis, the patient's right on its left.
        side: ``R``, ``L``, or ``B`` for both.
        plane: ``frontal``; in another one hips are not looked for.
        mineral_yx: Lesions on the film's pixels, non-zero; they are no native bone.
        settings: Named thresholds.

    Returns:
        Right before left; none for another side or plane, or where no femoral head is sure.
    """
    if plane != "frontal" or side not in ("R", "L", "B"):
        return []
    small = even_film(film, STEP_MM, side == "B")
    bone = _bone(small, np.asarray(mineral_yx) != 0)
    heads = find_film_heads(small, side, settings)
    return [_landmarks(small, head, bone, film.pixels.shape) for head in heads]


def landmarks_at_head(
    film: Radiograph,
    side: Literal["right", "left"],
    head_center_yx: tuple[float, float],
    head_radius_px: tuple[float, float],
    mineral_yx: NDArray[np.generic],
    *,
    both_sides: bool,
) -> HipLandmarks:
    """Find pelvis and femur beside a femoral head that a reader gave, on a frontal film.

    Args:
        film: Of one hip or of the pelvis, the patient's right on its left.
        side: The patient's.
        head_center_yx: Film pixels.
        head_radius_px: Along rows and columns.
        mineral_yx: Lesions on the film's pixels, non-zero; they are no native bone.
        both_sides: Whether both sides of the body are on the film.

    Returns:
        The landmarks, ``given``.
    """
    from dataclasses import replace

    small = even_film(film, STEP_MM, both_sides)
    y, x = ((c + 0.5) / s - 0.5 for c, s in zip(head_center_yx, small.pixels_yx, strict=True))
    radius = head_radius_px[0] / small.pixels_yx[0]
    head = FilmHead((y, x), radius, -1 if side == "right" else 1)
    bone = _bone(small, np.asarray(mineral_yx) != 0)
    found = _landmarks(small, head, bone, film.pixels.shape)
    return replace(
        found, head_center_yx=head_center_yx, head_radius_px=head_radius_px, source="given"
    )


def landmarks_outlined(
    side: Literal["right", "left"],
    pelvis_yx: Bools,
    femur_yx: Bools,
    head_center_yx: tuple[float, float] | None = None,
    head_radius_px: tuple[float, float] | None = None,
) -> HipLandmarks:
    """The landmarks that a reader's outlines of both bones make.

    Where the head is known it is taken out of them, as it is of those that are found: the joint's
    own surface is no spur.

    Args:
        side: The patient's.
        pelvis_yx: Inside of its outline, on the film's pixels.
        femur_yx: Likewise.
        head_center_yx: Film pixels; None when it is not given.
        head_radius_px: Along rows and columns.
    """
    if head_center_yx is not None and head_radius_px is not None:
        y, x = np.ogrid[: pelvis_yx.shape[0], : pelvis_yx.shape[1]]
        away = np.hypot(
            (y - head_center_yx[0]) / head_radius_px[0], (x - head_center_yx[1]) / head_radius_px[1]
        )
        pelvis_yx, femur_yx = pelvis_yx & (away > HEAD_OUT), femur_yx & (away > HEAD_OUT)
    return HipLandmarks(side, pelvis_yx, femur_yx, head_center_yx, head_radius_px, "given")


def _bone(film: EvenFilm, mineral: Bools) -> Bools:
    """What stands out like bone and has lines of cortex, lesions and 1 mm round them left out."""
    from scipy import ndimage

    even = made_even(film.ranks, film.body, EVEN_MM / film.step_mm)
    ridges, broad = _ridges(film, even), even > BONE_LEVEL
    lesions = ndimage.binary_dilation(film.of_film(mineral), disc(1))
    bone = ndimage.binary_opening((broad | ridges) & film.body & ~lesions, disc(1.5))
    bone = ndimage.binary_closing(bone, disc(1.5)) & ~lesions
    pieces, _ = ndimage.label(bone)
    sizes = np.maximum(np.bincount(pieces.ravel()), 1)
    lined = np.bincount(pieces[ridges], minlength=sizes.size) / sizes
    kept = (lined >= LINED) & (sizes * film.step_mm**2 >= MIN_PIECE_MM2)
    kept[0] = False
    return np.asarray(kept[pieces])


def _ridges(film: EvenFilm, even: NDArray[np.float32]) -> Bools:
    """Bright lines of the evened film that the film itself has, too.

    In the film alone lines drown where the body ends steeply; evened, even tissue's noise has some.
    """
    from scipy import ndimage

    sigma = RIDGE_MM / film.step_mm
    inner = ndimage.binary_erosion(film.body, disc(1.5 * sigma))
    across = np.where(inner, _across(even, sigma), 0)
    local = mean_near(across**2, inner, EVEN_MM / film.step_mm)
    lines = across > RIDGE_LEVEL * np.sqrt(np.maximum(local, _usual(across, inner)))
    across = np.where(inner, _across(film.ranks, sigma), 0)
    return np.asarray(lines & (across > RIDGE_LEAST * np.sqrt(_usual(across, inner))))


def _across(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """How sharply values fall to both sides of a line, at most over its directions."""
    from scipy import ndimage

    yy, yx, xx = (
        ndimage.gaussian_filter(values, sigma, order=order) for order in ((2, 0), (1, 1), (0, 2))
    )
    return np.asarray(np.hypot(0.5 * (yy - xx), yx) - 0.5 * (yy + xx))


def _usual(across: NDArray[np.float32], inner: Bools) -> float:
    """Mean square over the body."""
    return float((across**2).sum()) / max(int(inner.sum()), 1)


def _landmarks(
    film: EvenFilm, head: FilmHead, bone: Bools, shape_yx: tuple[int, ...]
) -> HipLandmarks:
    rows, columns = shape_yx
    (y0, x0), r = head.center_yx, head.radius
    y, x = np.ogrid[: bone.shape[0], : bone.shape[1]]
    out, up = (x - x0) * head.lateral / r, (y0 - y) / r
    away = np.hypot(out, up)
    angle = np.rad2deg(np.arctan2(up, out))
    top = np.where(away < RIM[0], RIM[1], FEMUR_TO_DEG)
    femur = (angle > FEMUR_FROM_DEG) & (angle < top)
    femur = np.where(up < SHAFT[1], out > SHAFT[0], femur)
    # Not beyond the body's middle, about 90 mm from a head's.
    outside = (away > HEAD_OUT) & (out > -4.0)
    thigh = _near(bone & femur & outside, away)
    pelvis = _near(bone & ~femur & outside, away)
    center = film.to_film_yx(np.asarray(head.center_yx))
    return HipLandmarks(
        "right" if head.lateral < 0 else "left",
        film.to_film(pelvis, (rows, columns)),
        film.to_film(thigh, (rows, columns)),
        (float(center[0]), float(center[1])),
        (r * film.pixels_yx[0], r * film.pixels_yx[1]),
        "found",
    )


def _near(bone: Bools, away: NDArray[np.float64]) -> Bools:
    """The pieces that come near to the head."""
    from scipy import ndimage

    pieces, count = ndimage.label(bone)
    kept = np.zeros(count + 1, bool)
    kept[np.unique(pieces[bone & (away < NEAR_HEADS)])] = True
    kept[0] = False
    return np.asarray(kept[pieces])
