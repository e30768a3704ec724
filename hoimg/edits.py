"""A reader's corrections of a report, as a file: what was wrongly left out or wrongly called.

A piece is named by its exam and a point in it (LPS mm), never by a label: labels change with
settings and versions, places do not. ``edits.json`` in a report's folder holds every correction of
that run with what it did; given back with ``--edits`` it makes the same report again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date as Date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hoimg.errors import UsageError
from hoimg.results_over_time import Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hoimg.film_regions import FilmRegion
    from hoimg.hip_marks import GivenHip

EDITS_VERSION = "1.1.0"
MAX_BYTES = 16 * 2**20
"""A file of edits is a few kilobytes; ten thousand points make two megabytes."""

MAX_NOTE = 20_000
"""Characters of a note."""
MAX_PARTS = 16
"""Points that one split or merge may name."""

Point = tuple[float, float, float]
Action = Literal["include", "exclude", "split", "cut", "merge", "accept", "relabel", "note"]
OF_THE_MAP = frozenset({"include", "exclude", "split", "cut", "merge"})
"""Actions that change a label map; the others are words beside what was computed."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Applied(_Model):
    """What a correction did; written by hoimg."""

    outcome: Literal["included", "excluded", "split", "merged", "noted", "no_effect"]
    was: str = Field(
        description="What lay there: the reason of an exclusion, lesion, native_skeleton, nothing "
        "or outside_scan."
    )
    note: str = Field(default="", description="The numbers of the exclusion that was overruled.")
    volume_mm3: float | None = Field(default=None, description="Volume of what lay there, before.")
    label: int | None = Field(
        default=None,
        description="Value at the point afterwards: in the map of what was left out where the "
        "outcome is excluded, else in that of the lesions.",
    )


class Words(_Model):
    """What every decision of a reader may carry."""

    note: str = Field(default="", max_length=MAX_NOTE, description="Why, in the reader's words.")
    reader: str | None = Field(
        default=None, max_length=200, description="Who decided; as the reader wants it."
    )
    date: Date | None = None
    time: AwareDatetime | None = Field(default=None, description="When; UTC.")
    lesion: str | None = Field(
        default=None,
        max_length=64,
        description="What the report that the reader saw called it; the point decides.",
    )
    label: Label | None = Field(
        default=None,
        description="relabel: the reader's own maturity label. accept: the computed one as seen.",
    )
    reason: str = Field(
        default="", max_length=200, description="exclude: what it is, if it is no ossification."
    )


class Edit(Words):
    """One correction or decision: about the piece at a point in one exam."""

    action: Action
    point_lps_mm: Point = Field(description="A point in the piece, LPS mm.")
    more_points_lps_mm: tuple[Point, ...] = Field(
        default=(),
        max_length=MAX_PARTS - 1,
        description="split: a point in each other part. cut: three points of the plane, on no "
        "one line. merge: one in each other lesion.",
    )
    exam_id: str | None = Field(
        default=None, description="The exam; null where the patient has one exam."
    )
    series_instance_uid: str | None = Field(
        default=None, description="The exam's series; where both are given, this one decides."
    )
    applied: Applied | None = None

    @model_validator(mode="after")
    def _whole(self) -> Edit:
        if (self.action in ("split", "cut", "merge")) != bool(self.more_points_lps_mm):
            raise ValueError("more_points_lps_mm belong to split, cut and merge, which need them")
        if self.action == "cut" and not spans_plane(self.more_points_lps_mm):
            raise ValueError("a cut needs three points of a plane, a millimetre off one line")
        if self.action == "relabel" and self.label is None:
            raise ValueError("relabel needs a label")
        return self

    @property
    def of_the_map(self) -> bool:
        """Whether it changes a label map."""
        return self.action in OF_THE_MAP

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two corrections one and the same."""
        return (
            *(self.exam_id, self.action, self.point_lps_mm, self.more_points_lps_mm),
            *(self.label, self.reason, self.time),
        )

    @property
    def words(self) -> str:
        """As it is written on the command line, or would be."""
        return f"--{self.action} {point_words(self.point_lps_mm, self.exam_id)}"


class FilmRegionEdit(_Model):
    """Where to look for one lesion on one film: a box or a polygon."""

    box: tuple[float, float, float, float] | None = Field(
        default=None, description="X0, Y0, X1, Y1 from the film's upper left corner."
    )
    polygon: tuple[tuple[float, float], ...] | None = Field(
        default=None, description="X, Y of its corners; closed by itself."
    )
    unit: Literal["px", "mm"] = "px"
    label: int | None = Field(
        default=None,
        description="Value in the film's label map; equal ones on several films are one lesion. "
        "Null: the next free one, which ties nothing.",
    )
    exam_id: str | None = None
    sop_instance_uid: str | None = Field(
        default=None, description="The film's; where both are given, this one decides."
    )
    note: str = ""
    reader: str | None = None
    date: Date | None = None
    time: AwareDatetime | None = Field(default=None, description="When; UTC.")
    applied: bool | None = Field(
        default=None, description="Whether a report's label map holds it; written by hoimg."
    )

    @property
    def film(self) -> str | None:
        """The film that it names."""
        return self.sop_instance_uid or self.exam_id


class LandmarkEdit(_Model):
    """The landmarks of one hip on one film, by which its gap is measured and graded."""

    side: Literal["right", "left"] | None = Field(
        default=None, description="The patient's; null: that which the film states."
    )
    head: tuple[float, float, float] | None = Field(
        default=None, description="X, Y of the femoral head's middle, and its radius."
    )
    pelvis: tuple[tuple[float, float], ...] | None = Field(
        default=None, description="X, Y of the corners of its outline; with femur, or neither."
    )
    femur: tuple[tuple[float, float], ...] | None = None
    unit: Literal["px", "mm"] = "px"
    exam_id: str | None = None
    sop_instance_uid: str | None = Field(
        default=None, description="The film's; where both are given, this one decides."
    )
    note: str = ""
    reader: str | None = None
    date: Date | None = None


class FilmEdit(Words):
    """A decision about the lesion in one region of one film."""

    action: Literal["exclude", "accept", "relabel", "note"]
    point_px: tuple[float, float] = Field(
        description="X, Y of a pixel in its outline, else in its region, from the upper left."
    )
    exam_id: str | None = Field(default=None, description="The film; null where there is one.")
    sop_instance_uid: str | None = Field(
        default=None, description="The film's; where both are given, this one decides."
    )
    applied: Applied | None = None

    @property
    def film(self) -> str | None:
        """The film that it names."""
        return self.sop_instance_uid or self.exam_id

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two decisions one and the same."""
        return (self.exam_id, self.action, self.point_px, self.label, self.reason, self.time)


def spans_plane(points: Sequence[Point]) -> bool:
    """Whether three points lie a millimetre at least off any line through two of them."""
    if len(points) != 3:
        return False
    sides = [math.dist(points[k], points[k - 1]) for k in range(3)]
    longest, half = max(sides), sum(sides) / 2
    area = math.sqrt(max(half * math.prod(half - side for side in sides), 0.0))  # Heron
    return longest > 0 and 2 * area / longest >= 1.0


class Edits(_Model):
    """The whole of ``edits.json``."""

    schema_version: str = EDITS_VERSION
    edits: tuple[Edit, ...] = ()
    on_films: tuple[FilmEdit, ...] = Field(default=(), description="Decisions about films.")
    regions: tuple[FilmRegionEdit, ...] = Field(default=(), description="On films.")
    landmarks: tuple[LandmarkEdit, ...] = Field(default=(), description="Of hips on films.")

    @property
    def film_regions(self) -> tuple[FilmRegion, ...]:
        """The regions on films, ready to be placed.

        Raises:
            UsageError: one has no area, no shape or two, or a label that is none.
        """
        return tuple(_film_region(r, k) for k, r in enumerate(self.regions, start=1))

    @property
    def hips(self) -> tuple[GivenHip, ...]:
        """The landmarks of hips on films, ready to be placed.

        Raises:
            UsageError: they are none.
        """
        return tuple(_hip(h, k) for k, h in enumerate(self.landmarks, start=1))

    def text(self) -> str:
        """As it is written: names in the model's order, a line break at the end."""
        return self.model_dump_json(indent=2) + "\n"


def read_edits(path: Path) -> Edits:
    """Read a file of corrections.

    Raises:
        UsageError: no such file, or it is no file of corrections that this version can read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: is too large for a file of edits")
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: no edits can be read there ({error.strerror}); "
            "name an edits.json that hoimg report has written"
        ) from error
    return edits_of(text, path)


def edits_of(text: bytes, path: Path) -> Edits:
    """The corrections in a file's text; the same errors.

    Args:
        text: JSON.
        path: Of the file, for messages.
    """
    try:
        edits = Edits.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(
            f"{path}: is no file of edits ({where}: {first['msg'].lower()}); "
            "see edits.json in docs/contracts.md"
        ) from error
    if edits.schema_version.split(".")[0] != EDITS_VERSION.split(".")[0]:
        raise UsageError(
            f"{path}: has schema_version {edits.schema_version}; this version reads {EDITS_VERSION}"
        )
    return edits


def given_edits(
    edits: Edits | None = None,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    series_uid: str | None = None,
) -> Edits:
    """The corrections of a file and of a command line together, each once.

    Args:
        edits: Of a file.
        include: Words ``X,Y,Z`` or ``EXAM_ID:X,Y,Z`` (LPS mm) of pieces to call.
        exclude: The same of lesions to leave out.
        series_uid: The exam that words without an exam speak of.

    Raises:
        UsageError: words that are no point.
    """
    found = list(edits.edits) if edits is not None else []
    for text in include:
        found.append(_edit_of("include", text, series_uid))
    for text in exclude:
        found.append(_edit_of("exclude", text, series_uid))
    return (edits or Edits()).model_copy(update={"edits": tuple(found)})


def for_exams(
    edits: Edits, series: Mapping[str, str], *, again: bool = False
) -> tuple[Edits, list[Edit]]:
    """Tell each correction its exam.

    Args:
        edits: As given.
        series: ``exam_id`` to SeriesInstanceUID of every exam of the patient.
        again: Keep what an earlier run said of them: its maps are used again.

    Returns:
        The corrections that speak of one of these exams, each with both names and (unless
        ``again``) without what an earlier run said of it, a repeated one once; and those that
        speak of other exams.

    Raises:
        UsageError: a correction that names no exam, where there are several.
    """
    by_series = {uid: exam_id for exam_id, uid in series.items()}
    placed: dict[tuple[object, ...], Edit] = {}
    strange: list[Edit] = []
    for edit in edits.edits:
        exam_id = edit.exam_id
        if edit.series_instance_uid in by_series:
            exam_id = by_series[edit.series_instance_uid]
        elif exam_id is None and edit.series_instance_uid is None:
            if len(series) > 1:
                first = next(iter(series))
                raise UsageError(
                    f"{edit.words}: there are {len(series)} exams; name one as in "
                    f"--{edit.action} {first}:X,Y,Z, or with --series UID; "
                    f"the exams are {', '.join(series)}"
                )
            exam_id = next(iter(series), None)
        if exam_id is None or exam_id not in series:
            strange.append(edit.model_copy(update={"applied": None}))
            continue
        changed = {
            "exam_id": exam_id,
            "series_instance_uid": series[exam_id],
            "applied": edit.applied if again else None,
        }
        known = edit.model_copy(update=changed)
        placed.setdefault(known.key, known)
    return edits.model_copy(update={"edits": tuple(placed.values())}), strange


def all_of(earlier: Edits, later: Edits) -> bool:
    """Whether everything that readers said in the one file stands in the other."""
    known = {e.key[1:] for e in later.edits}
    return (
        all(e.key[1:] in known for e in earlier.edits)
        and {e.key[1:] for e in earlier.on_films} <= {e.key[1:] for e in later.on_films}
        and _as_said(earlier.regions) <= _as_said(later.regions)
        and set(earlier.landmarks) <= set(later.landmarks)
    )


def _as_said(regions: Sequence[FilmRegionEdit]) -> set[FilmRegionEdit]:
    """Regions without whether a map holds them, which a later report changes."""
    return {r.model_copy(update={"applied": None}) for r in regions}


def point_words(point_lps_mm: Point, exam_id: str | None = None) -> str:
    """A point as ``--include`` and ``--exclude`` take it, to a hundredth of a millimetre."""
    numbers = ",".join(f"{round(v, 2) + 0.0:g}" for v in point_lps_mm)
    return numbers if exam_id is None else f"{exam_id}:{numbers}"


def _film_region(region: FilmRegionEdit, number: int) -> FilmRegion:
    from hoimg.film_regions import film_region

    source = f"region {number} of edits.json"
    if (region.box is None) == (region.polygon is None):
        raise UsageError(f"{source}: give a box or a polygon")
    points = region.polygon or ()
    if region.box is not None:
        x0, y0, x1, y1 = region.box
        points = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return film_region(
        points,
        region.unit,
        source=source,
        label=region.label,
        film=region.film,
    )


def _hip(hip: LandmarkEdit, number: int) -> GivenHip:
    import numpy as np

    from hoimg.hip_marks import GivenHip

    def outline(points: tuple[tuple[float, float], ...] | None) -> NDArray[np.float64] | None:
        return None if points is None else np.array(points, dtype=np.float64).reshape(-1, 2)

    return GivenHip(
        f"landmarks {number} of edits.json",
        hip.side,
        hip.sop_instance_uid or hip.exam_id,
        hip.head,
        outline(hip.pelvis),
        outline(hip.femur),
        hip.unit,
    )


def _edit_of(action: Literal["include", "exclude"], text: str, series_uid: str | None) -> Edit:
    exam, colon, numbers = text.rpartition(":")
    exam = exam.strip()
    try:
        x, y, z = (float(part) for part in numbers.split(","))
    except ValueError:
        x = y = z = math.nan
    if not all(map(math.isfinite, (x, y, z))) or (colon and not exam):
        raise UsageError(
            f"--{action} {text}: give a point as X,Y,Z in LPS mm, or EXAM_ID:X,Y,Z; "
            "'hoimg explain REPORT excluded' lists one for each piece that was left out"
        )
    return Edit(
        action=action,
        point_lps_mm=(x, y, z),
        exam_id=exam or None,
        series_instance_uid=None if exam else series_uid,
    )
