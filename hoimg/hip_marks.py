"""Landmarks of hips on films as a reader gives them, put onto the pixels of their film.

A femoral head as a circle, and where bones cannot be found by it (a lateral film, a prosthesis) the
outlines of pelvis and femur. Places are those of regions (:mod:`hoimg.film_regions`): X to the
right and Y down from the film's upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused, UsageError
from hoimg.film_regions import FARTHEST, film_named, scale_of

if TYPE_CHECKING:
    from hoimg.dicom import Exam
    from hoimg.edits import Edits

Bools = NDArray[np.bool_]
Side = Literal["right", "left"]
SIDES: dict[str, Side] = {"R": "right", "L": "left"}


@dataclass(frozen=True, eq=False)
class GivenHip:
    """The landmarks of one hip, before it is known which of the patient's films they lie on.

    Attributes:
        source: Where they come from, for messages on the terminal.
        side: The patient's; None: that of the film.
        film: exam_id, SOPInstanceUID or SeriesInstanceUID; None when it is not stated.
        head_xyr: Middle and radius of the femoral head's circle; None without it.
        pelvis_xy: Outline of the pelvis, ``(n, 2)``, closed by itself; None without it.
        femur_xy: Of the femur, likewise; both or neither.
        unit: Of all numbers.
    """

    source: str
    side: Side | None
    film: str | None
    head_xyr: tuple[float, float, float] | None = None
    pelvis_xy: NDArray[np.float64] | None = None
    femur_xy: NDArray[np.float64] | None = None
    unit: Literal["px", "mm"] = "px"

    def __post_init__(self) -> None:
        """Refuse what is no landmark.

        Raises:
            UsageError: nothing is given, one outline without the other, no radius, no area.
        """
        outlines = [xy for xy in (self.pelvis_xy, self.femur_xy) if xy is not None]
        if len(outlines) == 1 or (self.head_xyr is None and not outlines):
            raise UsageError(f"{self.source}: give a head, or pelvis and femur, or all three")
        if self.head_xyr is not None:
            fits = all(abs(v) < FARTHEST for v in self.head_xyr) and self.head_xyr[2] > 0
            if not fits:
                raise UsageError(f"{self.source}: a head is X, Y and a radius above 0")
        for xy in outlines:
            if not (np.abs(xy) < FARTHEST).all():
                raise UsageError(f"{self.source}: an outline is X, Y of its corners")
            if len(xy) < 3 or np.linalg.matrix_rank(xy - xy[0]) < 2:
                raise UsageError(f"{self.source}: an outline has no area")


@dataclass(frozen=True, eq=False)
class HipMarks:
    """The landmarks of one hip on the pixels of its film.

    Attributes:
        side: The patient's.
        head_center_yx: Pixels, whole numbers at their centres; None without a head.
        head_radius_px: Along rows and columns; None with it.
        pelvis_yx: Inside of its outline; None without it.
        femur_yx: Likewise.
    """

    side: Side
    head_center_yx: tuple[float, float] | None = None
    head_radius_px: tuple[float, float] | None = None
    pelvis_yx: Bools | None = None
    femur_yx: Bools | None = None


def place_marks(
    given: Sequence[GivenHip], films: Sequence[Exam], series_uid: str | None = None
) -> dict[str, list[HipMarks]]:
    """Put landmarks onto the films that they speak of.

    Args:
        given: As a reader gave them.
        films: Every film of the patient.
        series_uid: What ``--series`` names: the film of landmarks that name none.

    Returns:
        By exam_id; only films with landmarks.

    Raises:
        UsageError: they name no film and there are several, or no side on a film that states none,
            or one side of a film twice.
        InputRefused: ``region_other_film``, ``region_elsewhere``, ``region_no_scale``, as for
            regions.
    """
    found: dict[str, list[HipMarks]] = {}
    for hip in given:
        exam = film_named(hip.film, hip.source, films, series_uid)
        marks = _placed(hip, exam)
        here = found.setdefault(exam.exam_id, [])
        if any(m.side == marks.side for m in here):
            raise UsageError(
                f"{hip.source}: the {marks.side} hip of {exam.exam_id} has landmarks already"
            )
        here.append(marks)
    return found


def with_films_named(edits: Edits, films: Sequence[Exam], series_uid: str | None = None) -> Edits:
    """A reader's corrections with the film of each hip's landmarks named, to be kept.

    Args:
        edits: As given.
        films: Every film of the patient.
        series_uid: What ``--series`` names; a report does not keep that.
    """
    landmarks = tuple(
        mark
        if mark.exam_id or mark.sop_instance_uid
        else mark.model_copy(
            update={"exam_id": film_named(None, "landmarks", films, series_uid).exam_id}
        )
        for mark in edits.landmarks
    )
    return edits.model_copy(update={"landmarks": landmarks})


def _placed(hip: GivenHip, exam: Exam) -> HipMarks:
    from hoimg.dicom.masks.polygon import fill

    film = exam.film
    assert film is not None
    side = hip.side or SIDES.get(film.side or "")
    if side is None:
        raise UsageError(f"{hip.source}: {exam.exam_id} states no side; give side left or right")
    y, x = scale_of(exam, hip.unit, hip.source)
    outlines: list[Bools | None] = [None, None]
    for k, xy in enumerate((hip.pelvis_xy, hip.femur_xy)):
        if xy is not None:
            # Pixel k reaches from k to k + 1, so that its centre lies half a pixel in.
            inside = fill([xy[:, ::-1] / np.array((y, x)) - 0.5], film.rows, film.columns)
            if not inside.any():
                raise _elsewhere(hip, exam)
            outlines[k] = inside
    center = radius = None
    if hip.head_xyr is not None:
        x0, y0, r = hip.head_xyr
        center = (y0 / y - 0.5, x0 / x - 0.5)
        # A circle in space, also on pixels that are not square.
        radius = (r / y, r / x) if hip.unit == "mm" else _round(r, film.spacing_yx_mm)
        if not (0 <= center[0] < film.rows and 0 <= center[1] < film.columns):
            raise _elsewhere(hip, exam)
    return HipMarks(side, center, radius, *outlines)


def _round(radius: float, spacing_yx_mm: tuple[float, float] | None) -> tuple[float, float]:
    """A radius in columns along rows and columns, so that the head is round in space."""
    if spacing_yx_mm is None or math.isclose(*spacing_yx_mm, rel_tol=1e-6):
        return (radius, radius)
    return (radius * spacing_yx_mm[1] / spacing_yx_mm[0], radius)


def _elsewhere(hip: GivenHip, exam: Exam) -> InputRefused:
    film = exam.film
    assert film is not None
    return InputRefused(
        f"{hip.source}: lies outside of {exam.exam_id} ({film.rows} rows, {film.columns} columns); "
        "X counts columns, Y rows",
        "region_elsewhere",
    )
