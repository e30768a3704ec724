"""A point source and a flat detector: where a film's pixels lie, and how much it magnifies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Triple


@dataclass(frozen=True)
class FilmGeometry:
    """Source and detector in the patient's frame. The central ray meets the detector's middle.

    Attributes:
        source_lps_mm: Focal spot.
        center_lps_mm: Middle of the detector.
        column_lps: Unit vector along which column numbers grow.
        row_lps: Unit vector along which row numbers grow; ``column x row`` points along the beam,
            so that the picture is seen from the source.
        spacing_mm: Distance of square pixels at the detector.
        shape_yx: Rows, columns.
    """

    source_lps_mm: Triple
    center_lps_mm: Triple
    column_lps: Triple
    row_lps: Triple
    spacing_mm: float
    shape_yx: tuple[int, int]

    @property
    def beam_lps(self) -> NDArray[np.float64]:
        """Unit vector of the central ray, from the source to the detector."""
        return np.cross(self.column_lps, self.row_lps)

    @property
    def sid_mm(self) -> float:
        """Distance from source to detector."""
        return float(np.linalg.norm(np.subtract(self.center_lps_mm, self.source_lps_mm)))

    def depth_mm(self, points_lps: NDArray[Any]) -> NDArray[np.float64]:
        """Distance from the source along the central ray of points ``(n, 3)``."""
        gap = np.asarray(points_lps, float) - np.asarray(self.source_lps_mm)
        return np.asarray(gap @ self.beam_lps)

    def magnification(self, points_lps: NDArray[Any]) -> NDArray[np.float64]:
        """How many times larger a small thing at points ``(n, 3)`` is on the detector."""
        return self.sid_mm / self.depth_mm(points_lps)

    def to_pixel_yx(self, points_lps: NDArray[Any]) -> NDArray[np.float64]:
        """Row and column ``(n, 2)`` (pixel centres are whole numbers) at which points are seen."""
        points = np.asarray(points_lps, float)
        gap = points - np.asarray(self.source_lps_mm)
        on_plate = gap * (self.sid_mm / (gap @ self.beam_lps))[:, None]
        place = np.stack([on_plate @ np.asarray(self.row_lps), on_plate @ self.column_lps], axis=1)
        middle = (np.asarray(self.shape_yx) - 1) / 2
        return np.asarray(place / self.spacing_mm + middle)

    def to_lps_mm(self, pixel_yx: NDArray[Any], depth_mm: float) -> NDArray[np.float64]:
        """Points ``(n, 3)`` that pixels ``(n, 2)`` see at a distance from the source."""
        middle = (np.asarray(self.shape_yx) - 1) / 2
        place = (np.asarray(pixel_yx, float) - middle) * self.spacing_mm
        on_plate = place @ np.array([self.row_lps, self.column_lps])
        ray = on_plate + self.beam_lps * self.sid_mm
        return np.asarray(self.source_lps_mm + ray * (depth_mm / self.sid_mm))

    def moved(self, matrix: NDArray[Any]) -> FilmGeometry:
        """The geometry after a rigid 4x4 motion: a patient who moves sees the inverse of it."""
        turn, shift = matrix[:3, :3], matrix[:3, 3]
        return replace(
            self,
            source_lps_mm=_triple(turn @ self.source_lps_mm + shift),
            center_lps_mm=_triple(turn @ self.center_lps_mm + shift),
            column_lps=_triple(turn @ self.column_lps),
            row_lps=_triple(turn @ self.row_lps),
        )

    def coarser(self, spacing_mm: float) -> FilmGeometry:
        """The same plate, a little larger, with larger pixels round the same middle."""
        extent = np.asarray(self.shape_yx) * self.spacing_mm
        rows, columns = (int(n) for n in np.ceil(extent / spacing_mm) + 4)
        return replace(self, spacing_mm=spacing_mm, shape_yx=(rows, columns))


def aim(
    at_lps_mm: Triple,
    *,
    degrees: float = 0.0,
    tilt_degrees: float = 0.0,
    sid_mm: float = 1100.0,
    sod_mm: float = 950.0,
    spacing_mm: float = 0.15,
    shape_yx: tuple[int, int] = (1400, 1400),
) -> FilmGeometry:
    """Aim a beam at a point of a standing or lying patient; the feet are down in the picture.

    Args:
        at_lps_mm: Where the central ray goes through.
        degrees: Of the beam about the patient's long axis: 0 is AP (right side on the picture's
            left), -90 a lateral with the left side at the detector (front on the picture's right),
            90 the other lateral, 180 PA as seen from behind; others are obliques.
        tilt_degrees: Of the beam towards the head.
        sid_mm: Source to detector.
        sod_mm: Source to the point aimed at.
        spacing_mm: Pixel of the detector.
        shape_yx: Rows, columns.

    Raises:
        ValueError: when the point does not lie between source and detector.
    """
    if not 0 < sod_mm < sid_mm:
        raise ValueError(f"need 0 < SOD < SID, got {sod_mm} and {sid_mm} mm")
    turn, tilt = np.deg2rad([degrees, tilt_degrees])
    level = np.array([-np.sin(turn), np.cos(turn), 0.0])
    beam = np.cos(tilt) * level + np.sin(tilt) * np.array([0.0, 0.0, 1.0])
    column = np.array([np.cos(turn), np.sin(turn), 0.0])
    row = np.cross(beam, column)
    at = np.asarray(at_lps_mm, float)
    return FilmGeometry(
        _triple(at - sod_mm * beam),
        _triple(at + (sid_mm - sod_mm) * beam),
        _triple(column),
        _triple(row),
        spacing_mm,
        shape_yx,
    )


def _triple(values: NDArray[Any]) -> Triple:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
