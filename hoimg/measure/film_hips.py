"""Hips on a film: what grows on which bone, and the gap that is left between them.

A film shows shadows. What touches a bone's shadow may lie in front of it, so "joined" and "bridged"
are apparent, and a gap is that of the shadows: never longer than the one in space but for
magnification. Lengths are divided by the magnification that the film's header supports; the spur
itself may lie nearer to the tube or the detector than the plane that it states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hoimg.film_shapes import HipLandmarks
from hoimg.image import Radiograph
from hoimg.measure.shape import max_diameter
from hoimg.measure.uncertainty import Z95
from hoimg.settings.film import FilmSettings

Bools = NDArray[np.bool_]
Plane = Literal["frontal", "lateral"]

HEAD_RADIUS_MM = 24.0
"""The ruler of a film without spacing: half of what heads of adults are wide."""


@dataclass(frozen=True)
class FilmHip:
    """One hip on one film.

    Attributes:
        side: The patient's.
        plane: Of the film.
        labels: Lesions about it, values in the map that was given.
        joined_to_pelvis: Of them: apparently one with the pelvis, or with one that is.
        joined_to_femur: Likewise.
        overlying: Of them: all round within a bone's shadow, so that the film does not show whether
            they are one with it.
        gap_px: Least distance between opposing shadows, pixels along rows (columns scaled where
            pixels are not square); 0 where ossification apparently joins both; None without any.
        gap_mm: The same in mm of ``spacing_source``; None without spacing.
        gap_ci95_mm: Of the boundary and of the depth at which the gap may lie.
        gap_ends_yx: Where it was measured, film pixels: pelvic side, femoral side.
        spacing_source: Of the film: ``detector_uncorrected`` gaps are too long by magnification.
        largest_island_mm: Longest dimension of the largest lesion that is joined to neither; None
            without one, and without spacing.
        landmarks: ``given``, ``found``.
        flags: ``no_ossification_joined``, ``lesion_overlies_bone``, ``no_spacing``,
            ``gap_at_detector``.
    """

    side: Literal["right", "left"]
    plane: Plane
    labels: tuple[int, ...]
    joined_to_pelvis: tuple[int, ...]
    joined_to_femur: tuple[int, ...]
    overlying: tuple[int, ...]
    gap_px: float | None
    gap_mm: float | None
    gap_ci95_mm: tuple[float, float] | None
    gap_ends_yx: tuple[tuple[float, float], tuple[float, float]] | None
    spacing_source: str
    largest_island_mm: float | None
    landmarks: Literal["given", "found"]
    flags: tuple[str, ...] = ()


def hips_on_film(
    film: Radiograph,
    plane: str | None,
    mineral_yx: NDArray[np.generic],
    landmarks: Sequence[HipLandmarks],
    settings: FilmSettings,
) -> list[FilmHip]:
    """Measure the hips of a film.

    Args:
        film: Of a hip or a pelvis.
        plane: ``frontal`` or ``lateral``.
        mineral_yx: Outlines of lesions, on the film's pixels: one value each, 0 elsewhere; of a
            boolean mask every connected piece is one, numbered from 1.
        landmarks: Of each hip, given by a reader or found
            (:func:`hoimg.segment.film_landmarks.find_hip_landmarks`).
        settings: Named thresholds.

    Returns:
        A hip for each of the landmarks, in their order, those without lesions included; none on a
        film of another plane.

    Raises:
        ValueError: when a mask has another shape than the film.
    """
    labels = _labels(mineral_yx, film)
    if plane not in ("frontal", "lateral"):
        return []
    for one in landmarks:
        for mask in (one.pelvis_yx, one.femur_yx):
            if mask.shape != film.pixels.shape:
                raise ValueError(f"a silhouette {mask.shape} does not fit the film")
    about = lesions_about(landmarks, labels, settings)
    return [
        _hip(film, "frontal" if plane == "frontal" else "lateral", labels, mine, one, settings)
        for one, mine in zip(landmarks, about, strict=True)
    ]


def _labels(mineral: NDArray[np.generic], film: Radiograph) -> NDArray[np.integer]:
    from scipy import ndimage

    if mineral.shape != film.pixels.shape:
        raise ValueError(f"the lesions' map {mineral.shape} does not fit the film")
    if mineral.dtype == bool:
        pieces, _ = ndimage.label(mineral, np.ones((3, 3)))
        return np.asarray(pieces)
    return np.asarray(mineral, np.int64)


def lesions_about(
    landmarks: Sequence[HipLandmarks], labels: NDArray[np.integer], settings: FilmSettings
) -> list[list[int]]:
    """The lesions about each hip: those within reach of its head, each with the nearest.

    Nearest is told by the heads, and by the femora where not every head is known.

    Args:
        landmarks: Of each hip; without a head every lesion is within its reach.
        labels: Lesions, or regions of them, on the film's pixels: one value each.
        settings: The reach.
    """
    about: list[list[int]] = [[] for _ in landmarks]
    by_head = len(landmarks) == 1 or all(one.head_center_yx is not None for one in landmarks)
    femora = [] if by_head else [_distance(one.femur_yx, (1.0, 1.0)) for one in landmarks]
    for value in (int(v) for v in np.unique(labels) if v):
        lesion = labels == value
        away = [_away(np.argwhere(lesion).astype(float), one) for one in landmarks]
        order = away if by_head else [float(d[lesion].min()) for d in femora]
        if order and away[nearest := int(np.argmin(order))] <= settings.hip_reach_heads:
            about[nearest].append(value)
    return about


def _away(points: NDArray[np.float64], hip: HipLandmarks) -> float:
    """Distance of points from a hip's middle in radii of its head; 0 where that is not known."""
    if hip.head_center_yx is None or hip.head_radius_px is None:
        return 0.0
    apart = (points - np.asarray(hip.head_center_yx)) / np.asarray(hip.head_radius_px)
    return float(np.hypot(apart[:, 0], apart[:, 1]).min())


def _hip(
    film: Radiograph,
    plane: Plane,
    labels: NDArray[np.integer],
    mine: list[int],
    hip: HipLandmarks,
    settings: FilmSettings,
) -> FilmHip:
    spacing = film.spacing_yx_mm
    # In pixels a row's height is one, and a column's width what it is beside it.
    step = (1.0, 1.0) if spacing is None else (1.0, spacing[1] / spacing[0])
    scale = None if spacing is None else spacing[0]
    joined = _Joined(hip, labels, mine, step, scale, settings)
    flags = list(joined.flags)
    gap, ends = joined.gap()
    gap_mm = ci = None
    if gap is not None and scale is None:
        flags.append("no_spacing")
    elif gap is not None and scale is not None:
        gap_mm = gap * scale
        ci = _interval(gap_mm, settings)
        if film.spacing_source == "detector_uncorrected" and gap > 0:
            flags.append("gap_at_detector")
    islands = [v for v in mine if v not in (*joined.pelvis, *joined.femur)]
    largest = None
    if islands and scale is not None:
        largest = max(_longest(labels == v, step) for v in islands) * scale
    return FilmHip(
        hip.side, plane, tuple(mine), tuple(joined.pelvis), tuple(joined.femur),
        tuple(joined.overlying), gap, gap_mm, ci, ends, film.spacing_source, largest, hip.source,
        tuple(flags),
    )  # fmt: skip


class _Joined:
    """Which lesions are apparently one with which bone."""

    def __init__(
        self,
        hip: HipLandmarks,
        labels: NDArray[np.integer],
        mine: list[int],
        step: tuple[float, float],
        scale: float | None,
        settings: FilmSettings,
    ) -> None:
        box = _box(hip, labels, mine)
        self.corner = (float(box[0].start), float(box[1].start))
        self.labels = labels[box]
        self.step = step
        self.bones = (hip.pelvis_yx[box], hip.femur_yx[box])
        if scale is None:
            radius = None if hip.head_radius_px is None else hip.head_radius_px[0]
            scale = HEAD_RADIUS_MM / radius if radius else settings.assumed_spacing_mm
        contact, fused = settings.hip_contact_mm / scale, settings.hip_fused_mm / scale
        self.away = [_distance(bone, step) for bone in self.bones]
        self.flags: list[str] = []
        sides: tuple[list[int], list[int]] = ([], [])
        self.overlying: list[int] = []
        near_bone = (self.away[0] <= contact) | (self.away[1] <= contact)
        for value in mine:
            lesion = self.labels == value
            bones = [k for k in (0, 1) if float(self.away[k][lesion].min()) <= contact]
            out = _distance(lesion, step)
            rim = near_bone[(out > 0) & (out <= 2 * contact)]
            if bones and rim.size and float(rim.mean()) >= settings.hip_overlying_share:
                self.overlying.append(value)
                continue
            for k in bones:
                sides[k].append(value)
        self._chain(sides, [v for v in mine if v not in self.overlying], fused)
        self.pelvis, self.femur = (sorted(s) for s in sides)
        if mine and not (self.pelvis or self.femur):
            self.flags.append("no_ossification_joined")
        if self.overlying:
            self.flags.append("lesion_overlies_bone")

    def _chain(self, sides: tuple[list[int], list[int]], mine: list[int], fused: float) -> None:
        """Lesions that touch each other are one."""
        for side in sides:
            queue = list(side)
            while queue:
                away = _distance(self.labels == queue.pop(), self.step)
                for value in mine:
                    # One pixel lies between the centres of two that touch.
                    if value not in side and away[self.labels == value].min() - 1.0 <= fused:
                        side.append(value)
                        queue.append(value)

    def gap(self) -> tuple[float | None, tuple[tuple[float, float], tuple[float, float]] | None]:
        """Gap in pixels and its ends."""
        both = [v for v in self.pelvis if v in self.femur]
        if both:
            return 0.0, None
        grown = [np.isin(self.labels, side) for side in (self.pelvis, self.femur)]
        best: tuple[float, tuple[tuple[float, float], tuple[float, float]]] | None = None
        for k in (0, 1):
            target = self.bones[1 - k] | grown[1 - k]
            if not grown[k].any() or not target.any():
                continue
            found = _nearest(grown[k], target, self.step)
            if best is None or found[0] < best[0]:
                ends = found[1] if k == 0 else found[1][::-1]
                best = (found[0], (self._on_film(ends[0]), self._on_film(ends[1])))
        return (None, None) if best is None else best

    def _on_film(self, place: tuple[float, float]) -> tuple[float, float]:
        return (place[0] + self.corner[0], place[1] + self.corner[1])


def _box(hip: HipLandmarks, labels: NDArray[np.integer], mine: list[int]) -> tuple[slice, slice]:
    """Rows and columns that hold the hip's bones and its lesions."""
    wanted = hip.pelvis_yx | hip.femur_yx | np.isin(labels, mine)
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    if not rows.size:
        return slice(0, labels.shape[0]), slice(0, labels.shape[1])
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def _distance(mask: Bools, step: tuple[float, float]) -> NDArray[np.float64]:
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=step))


def _nearest(
    one: Bools, other: Bools, step: tuple[float, float]
) -> tuple[float, tuple[tuple[float, float], tuple[float, float]]]:
    from scipy import ndimage

    away, index = ndimage.distance_transform_edt(~other, sampling=step, return_indices=True)
    points = np.argwhere(one)
    at = points[int(away[tuple(points.T)].argmin())]
    end = index[:, at[0], at[1]]
    wide = max(float(away[at[0], at[1]]) - 1.0, 0.0)
    return wide, ((float(at[0]), float(at[1])), (float(end[0]), float(end[1])))


def _interval(gap_mm: float, settings: FilmSettings) -> tuple[float, float]:
    sd = float(np.hypot(settings.hip_boundary_sd_mm, settings.depth_relative_sd * gap_mm))
    return (max(gap_mm - Z95 * sd, 0.0), gap_mm + Z95 * sd)


def _longest(mask: Bools, step: tuple[float, float]) -> float:
    """Largest distance between two of a mask's pixels, plus one pixel."""
    points = np.argwhere(mask) * np.asarray(step)
    return (max_diameter(points) if len(points) > 1 else 0.0) + 1.0
