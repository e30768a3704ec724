"""Regions on films as a reader gives them, and which film each one speaks of.

A region says where to look on one film; one label is one lesion. Written on a command line as
``[LABEL=][FILM:]box:X0,Y0,X1,Y1`` or ``...polygon:X1,Y1,X2,Y2,X3,Y3,...``: X to the right and Y
down from the film's upper left corner, in pixels (the first pixel reaches from 0 to 1, as in DICOM
annotations), or with ``mm`` after the last number in millimetres of the pixel size that the film's
lengths are given with. FILM is an exam_id, or the film's SOP or series instance UID.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from hoimg.dicom import Exam

FORMS = (
    "[LABEL=][FILM:]box:X0,Y0,X1,Y1 or [LABEL=][FILM:]polygon:X1,Y1,X2,Y2,X3,Y3,... in pixels from "
    "the film's upper left corner, with mm at the end in millimetres"
)
MAX_LABEL = 65535
FARTHEST = 1e6
"""No point of a region lies farther from a film's corner, pixels or mm."""
_WORDS = re.compile(
    r"(?:(?P<label>\d+)=)?(?:(?P<film>[^:=]+):)?(?P<kind>box|polygon):(?P<numbers>[^:]*)",
    re.IGNORECASE,
)
_NAMED_FILE = re.compile(r"(?P<film>day\d{4,}_[a-z0-9]*_[0-9a-f]{6,64}|\d+(?:\.\d+)+):(?P<path>.+)")

Unit = Literal["px", "mm"]


class _NamesFilm(Protocol):
    @property
    def film(self) -> str | None: ...


NamesFilm = TypeVar("NamesFilm", bound=_NamesFilm)


@dataclass(frozen=True, eq=False)
class FilmRegion:
    """A region on one film, before it is known which of the patient's films it is.

    Attributes:
        source: Where it comes from, for messages on the terminal.
        label: The lesion's number as the reader gave it; None for the next free one.
        film: exam_id, SOPInstanceUID or SeriesInstanceUID; None when it is not stated.
        frame: Frame number from 0; None when it is not stated.
        contours_xy: Closed polygons by the even-odd rule, each ``(n, 2)``; empty with a mask.
        unit: Of the contours.
        mask_yx: The region on the film's own pixels; None with contours.
        tracking_uid: As a DICOM object states it; such a region has no label.
    """

    source: str
    label: int | None = None
    film: str | None = None
    frame: int | None = None
    contours_xy: tuple[NDArray[np.float64], ...] = ()
    unit: Unit = "px"
    mask_yx: NDArray[np.bool_] | None = None
    tracking_uid: str | None = None

    @property
    def ties(self) -> str | None:
        """What the reader calls the lesion on all films: ``label:N`` or ``uid:TRACKING_UID``.

        Only equal ties make one lesion of two films; None ties nothing.
        """
        if self.tracking_uid is not None:
            return f"uid:{self.tracking_uid}"
        return None if self.label is None else f"label:{self.label}"


@dataclass(frozen=True, eq=False)
class PlacedRegion:
    """One lesion's region on the pixels of its film.

    Attributes:
        label: Value in the film's label map.
        region_yx: Where to look.
        ties: As in :class:`FilmRegion`.
        flags: ``region_beyond_film`` where a part of it lies outside.
    """

    label: int
    region_yx: NDArray[np.bool_]
    ties: str | None = None
    flags: tuple[str, ...] = field(default=())


def parse_film_region(text: str, named: str = "--roi") -> FilmRegion | None:
    """Read a box or polygon on a film; None where the text is neither (a file, a box of a CT).

    Args:
        text: The words.
        named: The option or file that they were given with, for messages.

    Raises:
        UsageError: too few or infinite numbers, a shape without area, or a label that is none.
    """
    found = _WORDS.fullmatch(text.strip())
    if found is None:
        return None
    numbers, unit = found["numbers"].strip(), "px"
    if numbers.lower().endswith("mm"):
        numbers, unit = numbers[:-2], "mm"
    parts = numbers.split(",")
    box = found["kind"].lower() == "box"
    if box and len(parts) != 4 and found["label"] is None and found["film"] is None:
        return None  # six numbers are a box of a CT; its own reader says what else is wrong
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise UsageError(f"{named} {text}: give {FORMS}") from error
    wrong = len(values) != 4 if box else len(values) < 6 or len(values) % 2
    if wrong or not all(map(math.isfinite, values)):
        raise UsageError(f"{named} {text}: give {FORMS}")
    if box:
        x0, y0, x1, y1 = values
        values = [x0, y0, x1, y0, x1, y1, x0, y1]
    label = None if found["label"] is None else int(found["label"])
    return film_region(
        list(zip(values[::2], values[1::2], strict=True)),
        "mm" if unit == "mm" else "px",
        source=f"{named} {text}",
        label=label,
        film=None if found["film"] is None else found["film"].strip(),
    )


def film_region(
    points: Sequence[tuple[float, float]],
    unit: Unit,
    *,
    source: str,
    label: int | None = None,
    film: str | None = None,
) -> FilmRegion:
    """A region of one polygon.

    Args:
        points: X and Y of its corners, from the film's upper left corner.
        unit: Theirs.
        source: Where it comes from, for messages.
        label: The lesion's number, if the reader gave one.
        film: exam_id, SOP or series instance UID, if stated.

    Raises:
        UsageError: a polygon without area, points that are none, or a label that is none.
    """
    points_xy = np.array(points, dtype=np.float64).reshape(-1, 2)
    if not (np.abs(points_xy) < FARTHEST).all():
        raise UsageError(f"{source}: give {FORMS}")
    if len(points_xy) < 3 or np.linalg.matrix_rank(points_xy - points_xy[0]) < 2:
        raise UsageError(f"{source}: the region has no area")
    if label is not None and not 1 <= label <= MAX_LABEL:
        raise UsageError(f"{source}: a label is a whole number from 1 to {MAX_LABEL}")
    return FilmRegion(source, label, film, contours_xy=(points_xy,), unit=unit)


def split_film(text: str) -> tuple[str | None, str]:
    """``FILM:PATH`` in two; without a film's name the text as it is."""
    found = _NAMED_FILE.fullmatch(text.strip())
    return (None, text) if found is None else (found["film"], found["path"])


def place_regions(
    regions: Sequence[FilmRegion], films: Sequence[Exam], series_uid: str | None = None
) -> dict[str, list[PlacedRegion]]:
    """Put regions onto the films that they speak of.

    Args:
        regions: As given.
        films: Every film of the patient.
        series_uid: What ``--series`` names: the film of regions that name none.

    Returns:
        By exam_id; only films with a region. Regions of one film with one label are one region.

    Raises:
        UsageError: a region names no film and there are several, or names something else.
        InputRefused: ``region_other_film``: the film that a DICOM object speaks of is not there;
            ``region_other_size``: a label image of another size; ``region_elsewhere``: a region
            without any pixel of the film; ``region_no_scale``: millimetres on a film without a
            pixel size.
    """
    found: dict[str, list[FilmRegion]] = {}
    for region in regions:
        exam = film_named(region.film, region.source, films, series_uid, region.frame)
        found.setdefault(exam.exam_id, []).append(region)
    by_id = {e.exam_id: e for e in films}
    return {e: _numbered(by_id[e], found[e]) for e in by_id if e in found}


def split_by_film(
    given: Sequence[NamesFilm], films: Sequence[Exam]
) -> tuple[list[NamesFilm], list[NamesFilm]]:
    """What may speak of these films (regions, landmarks), and what names another one."""
    here: list[NamesFilm] = []
    elsewhere: list[NamesFilm] = []
    for one in given:
        known = one.film is None or any(_is(one.film, e) for e in films)
        (here if known else elsewhere).append(one)
    return here, elsewhere


def scale_of(exam: Exam, unit: Unit, source: str) -> tuple[float, float]:
    """What a row and a column of a film measure in a unit.

    Raises:
        InputRefused: ``region_no_scale``: millimetres on a film without a pixel size.
    """
    assert exam.film is not None
    if unit == "px":
        return (1.0, 1.0)
    if exam.film.spacing_yx_mm is None:
        raise InputRefused(
            f"{source}: {exam.exam_id} states no pixel size that can be trusted; give it in pixels",
            "region_no_scale",
        )
    return exam.film.spacing_yx_mm


def describe_films(films: Sequence[Exam]) -> str:
    """The films' names with what they show, for messages."""
    return "; ".join(f"{e.exam_id} ({e.film.summary})" for e in films if e.film is not None)


def film_named(
    name: str | None,
    source: str,
    films: Sequence[Exam],
    series_uid: str | None = None,
    frame: int | None = None,
) -> Exam:
    """The one film that a reader speaks of.

    Args:
        name: exam_id, SOPInstanceUID or SeriesInstanceUID; None when it is not stated.
        source: Where it was said, for messages.
        films: Every film of the patient.
        series_uid: What ``--series`` names, taken where no name is stated; that of a CT says
            nothing.
        frame: Frame number from 0; None when it is not stated.

    Raises:
        UsageError: there is no film, none of that name, or several that fit.
        InputRefused: ``region_other_film``: a UID that none of the films has.
    """
    if not films:
        raise UsageError(f"{source}: speaks of a film, and no film is there")
    if name is None and any(e.series.series_uid == series_uid for e in films):
        name = series_uid
    fitting = [
        e
        for e in films
        if (name is None or _is(name, e))
        and (frame is None or (e.film is not None and e.film.frame == frame))
    ]
    if len(fitting) == 1:
        return fitting[0]
    listed = describe_films(fitting or films)
    if fitting:
        raise UsageError(
            f"{source}: there are {len(fitting)} films; name one as FILM:... with one of: {listed}"
        )
    if re.fullmatch(r"\d+(\.\d+)+", name or ""):
        raise InputRefused(
            f"{source}: speaks of an image that is none of these films: {listed}",
            "region_other_film",
        )
    raise UsageError(f"{source}: there is no such film; the films are {listed}")


def _is(name: str, exam: Exam) -> bool:
    """Whether a name is that of a film: exam_id, SOP or series instance UID.

    Or of another image of the same exposure and size, for which it stands.
    """
    film = exam.film
    own = () if film is None else (film.sop_uid, *film.twins)
    return name in (exam.exam_id, exam.series.series_uid, *own)


def _numbered(exam: Exam, regions: Sequence[FilmRegion]) -> list[PlacedRegion]:
    """The regions of one film by label; those without one get the free numbers.

    Several outlines of one label, or of one tracking UID, are one region.
    """
    used = {r.label for r in regions if r.label is not None}
    free = (n for n in range(1, MAX_LABEL + 1) if n not in used)
    joined: dict[int, PlacedRegion] = {}
    named: dict[str, int] = {}
    for region in regions:
        label = region.label or named.get(region.tracking_uid or "") or next(free)
        if region.tracking_uid is not None:
            named[region.tracking_uid] = label
        drawn, flags = _on_film(region, exam)
        before = joined.get(label)
        if before is not None:
            drawn = drawn | before.region_yx
            flags = tuple(dict.fromkeys((*before.flags, *flags)))
        joined[label] = PlacedRegion(label, drawn, region.ties, flags)
    return [joined[label] for label in sorted(joined)]


def _on_film(region: FilmRegion, exam: Exam) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    film = exam.film
    assert film is not None
    shape = (film.rows, film.columns)
    flags: tuple[str, ...] = ()
    if region.mask_yx is not None:
        if region.mask_yx.shape != shape:
            rows, columns = region.mask_yx.shape
            turned = " (rows and columns are exchanged)" if (columns, rows) == shape else ""
            raise InputRefused(
                f"{region.source}: has {rows} rows and {columns} columns, and {exam.exam_id} "
                f"{film.rows} and {film.columns}{turned}; give a label image on the film's own "
                "pixels",
                "region_other_size",
            )
        inside = region.mask_yx
    else:
        from hoimg.dicom.masks.polygon import fill

        scale_yx = scale_of(exam, region.unit, region.source)
        # Pixel k reaches from k to k + 1, so that its centre lies half a pixel in.
        contours = [c[:, ::-1] / np.array(scale_yx) - 0.5 for c in region.contours_xy]
        inside = fill(contours, *shape)
        ends = np.concatenate(contours)
        if (ends < -0.5).any() or (ends > np.array(shape) - 0.5).any():
            flags = ("region_beyond_film",)
    if not inside.any():
        raise InputRefused(
            f"{region.source}: holds no pixel of {exam.exam_id} ({film.rows} rows, "
            f"{film.columns} columns); X counts columns, Y rows",
            "region_elsewhere",
        )
    return inside, flags
